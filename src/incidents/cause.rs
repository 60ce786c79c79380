//! What two verdicts must share to be about the same thing.

use super::{Finding, bounds};
use crate::detect::{observation::Family, verdict::Feature};

/// Something that makes two verdicts one incident when both have it within a day.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The same function.
    Function(u64),
    /// The same trace.
    Trace([u8; 16]),
    /// A destination new to both functions.
    Destination(u64),
    /// A resource new to both functions.
    Resource(u64),
    /// An identity new to both functions.
    Identity(u64),
    /// The same build, as far as the version names one.
    Version(String),
}

/// All causes of a finding, the function first.
pub fn of(finding: &Finding<'_>) -> Vec<Cause> {
    let mut causes = vec![Cause::Function(finding.function.hash)];
    if finding.trace_id != [0; 16] {
        causes.push(Cause::Trace(finding.trace_id));
    }
    if names_a_build(finding.function.version) {
        causes.push(Cause::Version(bounds::text(finding.function.version)));
    }
    for evidence in finding.verdict.evidence.iter().take(bounds::EVIDENCE) {
        // What is merely rare is shared by many functions that have nothing to do with each other.
        let (Feature::Novelty, 0, Some(key)) = (evidence.feature, evidence.seen_in, &evidence.key) else { continue };
        let cause = match key.family {
            Family::Destination => Cause::Destination(key.hash),
            Family::Resource => Cause::Resource(key.hash),
            Family::Identity => Cause::Identity(key.hash),
            _ => continue,
        };
        if !causes.contains(&cause) {
            causes.push(cause);
        }
    }
    causes
}

/// `41`, `$LATEST` and `1.2.0` are shared by functions that have nothing in common; a digest or commit is not.
fn names_a_build(version: &str) -> bool {
    let version = version.strip_prefix("sha256:").unwrap_or(version);
    let has = |test: fn(&char) -> bool| version.chars().any(|c| test(&c));
    let digest = version.len() >= 7 && version.chars().all(|c| c.is_ascii_hexdigit());
    let base64_sha256 = version.len() == 44 && version.ends_with('=');
    base64_sha256 || (digest && has(char::is_ascii_digit) && has(char::is_ascii_alphabetic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_versions_that_name_a_build_are_a_cause() {
        #[rustfmt::skip]
        let table = [
            ("number",        "41", false),
            ("latest",        "$LATEST", false),
            ("semver",        "1.2.0", false),
            ("date",          "20261123", false),
            ("short commit",  "9fd0143", true),
            ("digest",        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", true),
            ("CodeSha256",    "n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=", true),
            ("word",          "deadbeef", false),
            ("empty",         "", false),
        ];
        for (row, version, expected) in table {
            assert_eq!(names_a_build(version), expected, "{row}");
        }
    }
}
