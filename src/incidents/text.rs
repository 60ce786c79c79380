//! An incident in words: the headline, a phrase for each piece of evidence, what would have kept it below the line, what
//! to do.
//!
//! Names come from telemetry that an attacker may have written: they are shortened, and characters that move the cursor
//! or the writing direction are replaced.

pub(super) mod clause;

use super::{FunctionRef, Incident};
use crate::detect::{
    observation::{Family, Quantity, Risk},
    verdict::{Evidence, Feature, Measure},
};

/// Longest headline, characters.
pub const HEADLINE: usize = 200;

/// Most families the counterfactual takes away.
const WITHOUT: usize = 3;

/// One sentence: who did what, and how unusual that is.
pub fn headline(function: FunctionRef<'_>, evidence: &[Evidence], sample_size: u64) -> String {
    let version = match function.version {
        "" => String::new(),
        number if number.chars().all(|c| c.is_ascii_digit()) => format!(" v{number}"),
        other => format!(" {}", shown(other, 12)),
    };
    let who = format!("{}{version}", shown(function.name, 64));
    // From the fullest form to the shortest; the first that fits is taken.
    for (clauses, name, fleet) in
        [(3, 48, true), (3, 28, true), (2, 48, true), (2, 28, true), (1, 64, true), (1, 64, false)]
    {
        let text = format!("{who} {}", clause::sentence(evidence, sample_size, clauses, name, fleet));
        if text.chars().count() <= HEADLINE {
            return text;
        }
    }
    shown(&format!("{who} {}", clause::sentence(evidence, sample_size, 1, 28, false)), HEADLINE)
}

/// What a headline says first, clause by clause.
pub fn clauses(evidence: &[Evidence], most: usize) -> Vec<String> {
    clause::first(evidence, most)
}

/// `headline`, with how many other functions were drawn in.
pub(super) fn with_others(headline: &str, others: usize) -> String {
    let suffix = match others {
        0 => return headline.to_owned(),
        1 => " (and 1 other function)".to_owned(),
        n => format!(" (and {n} other functions)"),
    };
    format!("{}{suffix}", shown(headline, HEADLINE - suffix.len()))
}

/// The headline of an incident that became part of another.
pub(super) fn merged(into: &str, headline: &str) -> String {
    shown(&format!("now part of {into}: {headline}"), HEADLINE)
}

/// One piece of evidence for a person: `new destination 185.1.2.3: never in 1,204 invocations, 0 of 11 other functions
/// (17.2 bits)`.
pub fn phrase(evidence: &Evidence) -> String {
    let what = match (&evidence.key, evidence.observed.as_str()) {
        (Some(key), observed) if observed.is_empty() || evidence.feature == Feature::Novelty => shown(&key.name, 64),
        (_, observed) => shown(observed, 64),
    };
    let usual = if evidence.usual.is_empty() { clause::seen(evidence) } else { shown(&evidence.usual, 64) };
    let others = clause::others(evidence).map_or_else(String::new, |(some, all)| {
        format!(", {some} of {all} other {}", if all == 1 { "function" } else { "functions" })
    });
    format!("{} {what}: {usual}{others} ({:.1} bits)", label(evidence), evidence.bits)
}

/// What would have kept it below the line. `evidence` adds up to `score`, so taking a family away is a subtraction.
pub fn counterfactual(score: f64, line: f64, evidence: &[Evidence]) -> String {
    let mut families: Vec<(&'static str, f64)> = Vec::new();
    for row in evidence {
        match families.iter_mut().find(|(known, _)| *known == label(row)) {
            Some((_, bits)) => *bits += row.bits,
            None => families.push((label(row), row.bits)),
        }
    }
    families.sort_by(|a, b| b.1.total_cmp(&a.1));
    let mut rest = score;
    let mut without: Vec<String> = Vec::new();
    for (family, bits) in families.iter().take(WITHOUT) {
        rest -= bits;
        without.push(format!("the {family}"));
        if rest < line {
            break;
        }
    }
    let names = clause::join(&without);
    let rest = rest.max(0.0);
    match (score < line, without.is_empty()) {
        (true, true) => format!("at {score:.1} bits it is below the {line:.1}-bit page line already"),
        (true, false) => {
            format!(
                "at {score:.1} bits it is below the {line:.1}-bit page line already; without {names}: {rest:.1} bits"
            )
        }
        (false, true) => format!("at {score:.1} bits it is above the {line:.1}-bit line, and no evidence says why"),
        (false, false) if rest < line => format!("without {names}: {rest:.1} bits, below the {line:.1}-bit line"),
        (false, false) => format!("even without {names}: {rest:.1} bits, above the {line:.1}-bit line"),
    }
}

/// What to do first.
pub fn advice(incident: &Incident) -> &'static str {
    incident
        .techniques
        .first()
        .map_or("Open the trace beside an ordinary one and ask the function's owner.", |technique| technique.advice)
}

/// What a feature is called in the record: `novelty.destination`, `order`, `magnitude.duration_us`.
pub fn feature_name(evidence: &Evidence) -> String {
    match evidence.feature {
        Feature::Novelty => match &evidence.key {
            Some(key) => format!("novelty.{}", family_name(key.family)),
            None => "novelty".to_owned(),
        },
        Feature::Order => "order".to_owned(),
        Feature::Shape => "shape".to_owned(),
        Feature::Missing => "missing".to_owned(),
        Feature::Repeats => "repeats".to_owned(),
        Feature::Magnitude(quantity) => format!("magnitude.{}", quantity_name(quantity)),
        Feature::Window(measure) => format!("window.{}", measure_name(measure)),
        Feature::Drift(measure) => format!("drift.{}", measure_name(measure)),
        Feature::Instance(quantity) => format!("instance.{}", quantity_name(quantity)),
        Feature::Beacon => "beacon".to_owned(),
        Feature::Silence => "silence".to_owned(),
        Feature::AfterChange => "after_change".to_owned(),
    }
}

/// What a risk is called in the API.
pub const fn risk_name(risk: Risk) -> &'static str {
    match risk {
        Risk::Read => "read",
        Risk::Write => "write",
        Risk::Delete => "delete",
        Risk::Egress => "egress",
        Risk::Identity => "identity",
        Risk::Control => "control",
    }
}

/// The feature of this [`feature_name`], and the kind of key it is of.
pub fn feature_of(name: &str) -> Option<(Feature, Option<Family>)> {
    if let Some(family) = name.strip_prefix("novelty.") {
        let family = Family::ALL.into_iter().find(|known| family_name(*known) == family)?;
        return Some((Feature::Novelty, Some(family)));
    }
    if let Some(quantity) = name.strip_prefix("magnitude.") {
        let quantity = Quantity::ALL.into_iter().find(|known| quantity_name(*known) == quantity)?;
        return Some((Feature::Magnitude(quantity), None));
    }
    for (prefix, feature) in [("window.", Feature::Window as fn(Measure) -> Feature), ("drift.", Feature::Drift)] {
        if let Some(measure) = name.strip_prefix(prefix) {
            let measure = Measure::ALL.into_iter().find(|known| measure_name(*known) == measure)?;
            return Some((feature(measure), None));
        }
    }
    if let Some(quantity) = name.strip_prefix("instance.") {
        let quantity = Quantity::ALL.into_iter().find(|known| quantity_name(*known) == quantity)?;
        return Some((Feature::Instance(quantity), None));
    }
    let feature = match name {
        "beacon" => Feature::Beacon,
        "silence" => Feature::Silence,
        "after_change" => Feature::AfterChange,
        "order" => Feature::Order,
        "shape" => Feature::Shape,
        "missing" => Feature::Missing,
        "repeats" => Feature::Repeats,
        _ => return None,
    };
    Some((feature, None))
}

/// What a kind of key is called in the record.
pub const fn family_name(family: Family) -> &'static str {
    match family {
        Family::Operation => "operation",
        Family::Resource => "resource",
        Family::Destination => "destination",
        Family::Edge => "edge",
        Family::Trigger => "trigger",
        Family::Identity => "identity",
        Family::Artefact => "artefact",
        Family::Error => "error",
        Family::LogTemplate => "log_template",
        Family::Statement => "statement",
        Family::Untraced => "untraced",
        Family::Orphan => "orphan",
        Family::Credential => "credential",
        Family::Silence => "silence",
        Family::Change => "change",
    }
}

/// What a quantity is called in the record.
pub const fn quantity_name(quantity: Quantity) -> &'static str {
    match quantity {
        Quantity::DurationUs => "duration",
        Quantity::SelfTimeUs => "self_time",
        Quantity::Calls => "calls",
        Quantity::BytesOut => "bytes_out",
        Quantity::BytesIn => "bytes_in",
        Quantity::Rows => "rows",
        Quantity::DistinctResources => "distinct_resources",
        Quantity::MemoryMb => "memory",
        Quantity::InitUs => "init",
        Quantity::AfterUs => "after_response",
        Quantity::PlatformUs => "platform_duration",
        Quantity::AnswerBytes => "answer_bytes",
        Quantity::Invocations => "invocations",
        Quantity::Failures => "failures",
        Quantity::Throttles => "throttles",
        Quantity::Concurrency => "concurrency",
        Quantity::CallBytes => "call_bytes",
    }
}

const fn measure_name(measure: Measure) -> &'static str {
    match measure {
        Measure::Calls => "calls",
        Measure::Rows => "rows",
        Measure::BytesOut => "bytes_out",
        Measure::BytesIn => "bytes_in",
        Measure::Failures => "failures",
        Measure::Duration => "duration",
        Measure::Distinct => "distinct_resources",
        Measure::Rate => "rate",
    }
}

/// The family evidence belongs to, in words; what the counterfactual takes away as a whole.
pub(super) fn label(evidence: &Evidence) -> &'static str {
    match evidence.feature {
        Feature::Novelty => match (&evidence.key, evidence.seen_in) {
            (None, _) => "novelty",
            (Some(key), 0) => match key.family {
                Family::Operation => "new operation",
                Family::Resource => "new resource",
                Family::Destination => "new destination",
                Family::Edge => "new call to a function",
                Family::Trigger => "new trigger",
                Family::Identity => "new identity",
                Family::Artefact => "new library",
                Family::Error => "new error",
                Family::LogTemplate => "new log message",
                Family::Statement => "new statement",
                Family::Untraced => "call that no span reported",
                Family::Orphan => "call with no invocation open",
                Family::Credential => "credential used elsewhere",
                Family::Silence => "invocation without spans",
                Family::Change => "unusual change from outside",
            },
            (Some(key), _) => match key.family {
                Family::Operation => "rare operation",
                Family::Resource => "rare resource",
                Family::Destination => "rare destination",
                Family::Edge => "rare call to a function",
                Family::Trigger => "rare trigger",
                Family::Identity => "rare identity",
                Family::Artefact => "rare library",
                Family::Error => "rare error",
                Family::LogTemplate => "rare log message",
                Family::Statement => "rare statement",
                Family::Untraced => "rare call that no span reported",
                Family::Orphan => "rare call with no invocation open",
                Family::Credential => "rare use of a credential elsewhere",
                Family::Silence => "rare invocation without spans",
                Family::Change => "rare change from outside",
            },
        },
        Feature::Order => "unusual order",
        Feature::Shape => "unusual set of steps",
        Feature::Missing => "missing operation",
        Feature::Repeats => "unusual repetition",
        Feature::Magnitude(quantity) => match quantity {
            Quantity::DurationUs => "unusual duration",
            Quantity::SelfTimeUs => "unusual time of its own",
            Quantity::Calls => "unusual number of calls",
            Quantity::BytesOut => "unusual bytes out",
            Quantity::BytesIn => "unusual bytes in",
            Quantity::Rows => "unusual number of rows",
            Quantity::DistinctResources => "unusual number of resources",
            Quantity::MemoryMb => "unusual memory",
            Quantity::InitUs => "unusual start-up time",
            Quantity::AfterUs => "work after the answer",
            Quantity::PlatformUs => "unusual duration by the platform's clock",
            Quantity::AnswerBytes => "unusual size of the answer",
            Quantity::Invocations => "unusual number of invocations",
            Quantity::Failures => "unusual number of failures",
            Quantity::Throttles => "unusual throttling",
            Quantity::Concurrency => "unusual concurrency",
            Quantity::CallBytes => "unusual size of one call",
        },
        Feature::Window(Measure::Rate) => "unusual rate for the hour",
        Feature::Window(_) => "unusual hour",
        Feature::Drift(_) => "slow drift",
        Feature::Instance(_) => "environment unlike its siblings",
        Feature::Beacon => "contact like clockwork",
        Feature::Silence => "missing spans",
        Feature::AfterChange => "unusual change before it",
    }
}

/// `text` on one line, at most `most` characters, without control and direction characters.
pub fn shown(text: &str, most: usize) -> String {
    let harmless = |c: char| match c {
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' => '\u{fffd}',
        c if c.is_control() => ' ',
        c => c,
    };
    let mut out: String = text.chars().take(most + 1).map(harmless).collect();
    if let Some((last, _)) = out.char_indices().nth(most) {
        out.truncate(last);
        out.pop();
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests;
