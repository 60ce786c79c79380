//! *expected*: what exactly, and what that would have covered.

use super::{Model, archive::Archive, unknown};
use crate::{
    detect::{self, Reach, matches, observation::Nanos, verdict::Feature},
    incidents::{
        control::{
            Fault,
            proto::{Evidence, GiveVerdictRequest, IncidentDetail, Scope, Verdict, VerdictPreview},
        },
        text,
    },
};

/// How long something is expected unless said otherwise.
pub const DEFAULT_EXPIRY_SECONDS: u64 = 30 * 86_400;
/// How long at most.
pub const LONGEST_EXPIRY_SECONDS: u64 = 365 * 86_400;

const SECOND: Nanos = 1_000_000_000;
const MOST_SCOPES: usize = 128;
const LONGEST_PATTERN: usize = 256;
/// Incidents shown in a preview.
const MOST_COVERED: usize = 20;
/// So many times what was seen is expected of repeats and magnitudes, unless said otherwise.
const HEADROOM: u64 = 2;

/// What an *expected* would do.
pub fn preview(
    request: &GiveVerdictRequest,
    detail: &IncidentDetail,
    archive: &Archive,
    model: &impl Model,
    now: Nanos,
) -> Result<VerdictPreview, Fault> {
    let scopes = if request.scopes.is_empty() { proposed(detail) } else { request.scopes.clone() };
    check(&scopes)?;
    let seconds = match request.expires_in_seconds {
        0 => DEFAULT_EXPIRY_SECONDS,
        seconds if seconds <= LONGEST_EXPIRY_SECONDS => seconds,
        _ => return Err(Fault::invalid("an exception holds for at most 365 days".to_owned())),
    };
    let mut preview =
        VerdictPreview { expires: now.saturating_add(seconds.saturating_mul(SECOND)), ..VerdictPreview::default() };
    for (head, other) in archive.details() {
        let rows = other.evidence.iter().filter(|row| covers_any(&scopes, row, &other, model)).count() as u32;
        preview.evidence_rows += rows;
        if rows > 0 {
            preview.incidents += 1;
            if preview.covered.len() < MOST_COVERED {
                preview.covered.push(head.clone());
            }
        }
    }
    let head = detail.incident.clone().unwrap_or_default();
    let covered: f64 =
        detail.evidence.iter().filter(|row| covers_any(&scopes, row, detail, model)).map(|row| row.bits).sum();
    preview.line = head.line;
    preview.remaining_score = (head.score - covered).max(0.0);
    preview.covers_this = preview.remaining_score <= model.queue_line();
    preview.summary = summary(&preview, scopes.len(), seconds);
    preview.scopes = scopes;
    Ok(preview)
}

/// One scope for each piece of evidence and each function that showed it.
fn proposed(detail: &IncidentDetail) -> Vec<Scope> {
    let functions = detail.incident.as_ref().map(|incident| incident.functions.clone()).unwrap_or_default();
    let mut scopes = Vec::new();
    for row in &detail.evidence {
        let Some((feature, _)) = text::feature_of(&row.feature) else { continue };
        let showed = functions.iter().filter(|function| shows(row, &function.id));
        for function in showed {
            let scope = Scope {
                reach: "function".to_owned(),
                function_id: function.id.clone(),
                function_name: function.name.clone(),
                feature: row.feature.clone(),
                key_pattern: if has_pattern(feature) { row.key.clone() } else { String::new() },
                at_most: if has_amount(feature) { row.amount.saturating_mul(HEADROOM) } else { 0 },
            };
            if scopes.len() < MOST_SCOPES && !scopes.contains(&scope) {
                scopes.push(scope);
            }
        }
    }
    scopes
}

/// Rows from before functions were remembered count for all of the incident's.
fn shows(row: &Evidence, function: &str) -> bool {
    row.function_ids.is_empty() || row.function_ids.iter().any(|id| id == function)
}

/// Never a mute: every scope is typed, and names what it is about.
fn check(scopes: &[Scope]) -> Result<(), Fault> {
    if scopes.is_empty() {
        return Err(Fault::conflict("nothing of this incident's evidence is left that could be expected".to_owned()));
    }
    if scopes.len() > MOST_SCOPES {
        return Err(Fault::invalid(format!("{} scopes; the most is {MOST_SCOPES}", scopes.len())));
    }
    for (at, scope) in scopes.iter().enumerate() {
        let wrong = |what: String| Fault::invalid(format!("scopes[{at}]: {what}"));
        let Some((feature, _)) = text::feature_of(&scope.feature) else {
            return Err(wrong(format!("there is no feature `{}`", text::shown(&scope.feature, 64))));
        };
        if !matches!(scope.reach.as_str(), "function" | "application") {
            return Err(wrong("reach must be function or application".to_owned()));
        }
        if u64::from_str_radix(&scope.function_id, 16).is_err() {
            return Err(unknown("function", &scope.function_id));
        }
        if scope.key_pattern.len() > LONGEST_PATTERN {
            return Err(wrong(format!("key_pattern is longer than {LONGEST_PATTERN} bytes")));
        }
        if has_pattern(feature) && scope.key_pattern.chars().all(|c| c == '*') {
            return Err(wrong("key_pattern must name something: an exception is never a mute".to_owned()));
        }
        if !has_pattern(feature) && !scope.key_pattern.is_empty() {
            return Err(wrong(format!("{} has no key to match", scope.feature)));
        }
        if has_amount(feature) != (scope.at_most > 0) {
            let what =
                if has_amount(feature) { "must say at_most: an exception is never a mute" } else { "has no at_most" };
            return Err(wrong(format!("{} {what}", scope.feature)));
        }
    }
    Ok(())
}

const fn has_pattern(feature: Feature) -> bool {
    matches!(feature, Feature::Novelty | Feature::Missing | Feature::Repeats)
}

const fn has_amount(feature: Feature) -> bool {
    matches!(feature, Feature::Repeats | Feature::Magnitude(_))
}

fn covers_any(scopes: &[Scope], row: &Evidence, of: &IncidentDetail, model: &impl Model) -> bool {
    scopes.iter().any(|scope| covers(scope, row, of, model))
}

/// Whether `scope` covers a stored row, as the detector would have.
fn covers(scope: &Scope, row: &Evidence, of: &IncidentDetail, model: &impl Model) -> bool {
    if scope.feature != row.feature
        || text::feature_of(&row.feature).is_none_or(|(feature, _)| {
            (has_pattern(feature) && !matches(&scope.key_pattern, &row.key))
                || (has_amount(feature) && row.amount > scope.at_most)
        })
    {
        return false;
    }
    let functions = of.incident.iter().flat_map(|incident| &incident.functions).map(|function| function.id.as_str());
    let mut showed = functions.filter(|id| shows(row, id));
    if scope.reach == "function" {
        return showed.any(|id| id == scope.function_id);
    }
    let peers = |id: &str| u64::from_str_radix(id, 16).map_or(0, |hash| model.peers_of(hash));
    let wanted = peers(&scope.function_id);
    wanted != 0 && showed.any(|id| peers(id) == wanted)
}

/// A verdict's scopes as the detector applies them.
pub fn exceptions(verdict: &Verdict, number: u64, model: &impl Model) -> Vec<detect::Exception> {
    let exception = |scope: &Scope| {
        let (feature, family) = text::feature_of(&scope.feature)?;
        let function = u64::from_str_radix(&scope.function_id, 16).ok()?;
        let reach = match scope.reach.as_str() {
            "application" => Reach::Application(model.peers_of(function)),
            _ => Reach::Function(function),
        };
        Some(detect::Exception {
            id: number,
            reach,
            feature,
            family,
            pattern: scope.key_pattern.clone(),
            at_most: scope.at_most,
        })
    };
    verdict.scopes.iter().filter_map(exception).collect()
}

fn summary(preview: &VerdictPreview, scopes: usize, seconds: u64) -> String {
    let days = seconds.div_ceil(86_400);
    let this = if preview.covers_this {
        "This incident would not have been told."
    } else {
        "This incident would still have been told."
    };
    format!(
        "For {days} {}, {scopes} {} expected. It would have covered {} {} of evidence in {} stored {}. {this}",
        plural(days, "day", "days"),
        plural(scopes as u64, "thing is", "things are"),
        preview.evidence_rows,
        plural(u64::from(preview.evidence_rows), "piece", "pieces"),
        preview.incidents,
        plural(u64::from(preview.incidents), "incident", "incidents"),
    )
}

pub fn plural<'a>(count: u64, one: &'a str, many: &'a str) -> &'a str {
    if count == 1 { one } else { many }
}
