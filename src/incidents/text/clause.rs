//! The clauses of a headline: what the function did, and how often that was seen before.

use super::shown;
use crate::detect::{
    observation::{Family, Quantity},
    verdict::{Evidence, Feature, Measure},
};

/// Evidence weaker than this does not belong in a headline.
const WORTH_SAYING: f64 = 1.0;
const HTTP_METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

/// What was done, with the evidence that says so.
struct Clause<'a> {
    text: String,
    evidence: &'a Evidence,
}

/// `called A on B and reached C: neither ever seen in 1,204 invocations; 0 of 11 other functions do`.
pub fn sentence(evidence: &[Evidence], sample_size: u64, most: usize, name: usize, fleet: bool) -> String {
    let clauses = clauses(evidence, most, name);
    let Some(strongest) = clauses.first() else { return "behaved unusually as a whole".to_owned() };
    let others = if fleet { fleet_tail(&clauses) } else { String::new() };
    if clauses.iter().all(|clause| is_new(clause.evidence)) {
        let known = clauses.iter().map(|clause| clause.evidence.out_of).max().filter(|known| *known > 0);
        let known = grouped(known.unwrap_or(sample_size));
        let never = match clauses.len() {
            1 => "never",
            2 => "neither ever",
            _ => "none ever",
        };
        let did = join(&clauses.iter().map(|clause| clause.text.clone()).collect::<Vec<_>>());
        return format!("{did}: {never} seen in {known} invocations{others}");
    }
    if clauses.len() == 1 {
        return format!("{}: {}{others}", strongest.text, usually(strongest.evidence));
    }
    let did: Vec<String> =
        clauses.iter().map(|clause| format!("{} ({})", clause.text, usually(clause.evidence))).collect();
    format!("{}{others}", join(&did))
}

/// `a`, `a and b`, `a, b and c`.
pub fn join(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// How often it was seen before, from the numbers.
pub fn seen(evidence: &Evidence) -> String {
    match (evidence.seen_in, evidence.out_of) {
        (_, 0) => "nothing to compare with".to_owned(),
        (0, all) => format!("never in {} invocations", grouped(all)),
        (some, all) => format!("in {} of {} invocations", grouped(some), grouped(all)),
    }
}

/// Other functions that have it, of how many.
pub fn others(evidence: &Evidence) -> Option<(u32, u32)> {
    let (some, fleet) = evidence.fleet;
    let all = fleet.saturating_sub(1);
    (all > 0).then(|| (some.min(all), all))
}

fn is_new(evidence: &Evidence) -> bool {
    evidence.feature == Feature::Novelty && evidence.seen_in == 0
}

fn usually(evidence: &Evidence) -> String {
    let usual = shown(&evidence.usual, 48);
    let measured = matches!(
        evidence.feature,
        Feature::Repeats
            | Feature::Magnitude(_)
            | Feature::Window(_)
            | Feature::Drift(_)
            | Feature::Instance(_)
            | Feature::Silence
    );
    match usual.as_str() {
        "" => seen(evidence),
        usual if measured && !usual.starts_with("usual") => format!("usually {usual}"),
        usual => usual.to_owned(),
    }
}

fn fleet_tail(clauses: &[Clause<'_>]) -> String {
    let novel = clauses.iter().filter(|clause| clause.evidence.feature == Feature::Novelty);
    match novel.filter_map(|clause| others(clause.evidence)).max() {
        Some((some, all)) => {
            let (noun, verb) = (if all == 1 { "function" } else { "functions" }, if some == 1 { "does" } else { "do" });
            format!("; {some} of {all} other {noun} {verb}")
        }
        None => String::new(),
    }
}

/// The first things the function did, a clause each.
pub fn first(evidence: &[Evidence], most: usize) -> Vec<String> {
    clauses(evidence, most, 64).into_iter().map(|clause| clause.text).collect()
}

fn clauses(evidence: &[Evidence], most: usize, name: usize) -> Vec<Clause<'_>> {
    let mut said: Vec<usize> = Vec::new();
    let mut clauses = Vec::new();
    // What is new makes one sentence of its own; where it leads, the rest only distracts.
    let only_new = evidence.first().is_some_and(is_new);
    for (at, row) in evidence.iter().enumerate() {
        if clauses.len() == most {
            break;
        }
        let worth_saying = if only_new { is_new(row) } else { row.bits >= WORTH_SAYING || clauses.is_empty() };
        if said.contains(&at) || !worth_saying {
            continue;
        }
        let partner = partner(evidence, at).filter(|(other, _)| !said.contains(other));
        let text = match partner {
            Some((other, partner)) => {
                said.push(other);
                together(row, partner, name)
            }
            None => alone(row, name),
        };
        said.push(at);
        clauses.push(Clause { text, evidence: row });
    }
    clauses
}

/// The new operation of a new resource or destination, or the other way round: the same span shows both.
fn partner(evidence: &[Evidence], at: usize) -> Option<(usize, &Evidence)> {
    let family = |row: &Evidence| is_new(row).then(|| row.key.as_ref().map(|key| key.family)).flatten();
    let row = evidence.get(at)?;
    let wanted: &[Family] = match family(row)? {
        Family::Operation => &[Family::Resource, Family::Destination],
        Family::Resource | Family::Destination => &[Family::Operation],
        _ => return None,
    };
    let same_span = |other: &Evidence| other.source.span_id != [0; 8] && other.source.span_id == row.source.span_id;
    evidence.iter().enumerate().find(|(other, candidate)| {
        *other != at && same_span(candidate) && family(candidate).is_some_and(|family| wanted.contains(&family))
    })
}

fn together(a: &Evidence, b: &Evidence, name: usize) -> String {
    let family = |row: &Evidence| row.key.as_ref().map(|key| key.family);
    let (operation, object) = if family(a) == Some(Family::Operation) { (a, b) } else { (b, a) };
    let (verb, what) = (key_name(operation, name), key_name(object, name));
    if HTTP_METHODS.contains(&verb.as_str()) {
        return format!("sent {verb} to {what}");
    }
    let preposition = if family(object) == Some(Family::Destination) { "at" } else { "on" };
    format!("called {verb} {preposition} {what}")
}

fn alone(evidence: &Evidence, name: usize) -> String {
    let what = key_name(evidence, name);
    let observed = shown(&evidence.observed, name);
    match evidence.feature {
        Feature::Novelty => match evidence.key.as_ref().map(|key| key.family) {
            None => format!("did something new ({observed})"),
            Some(Family::Operation) if HTTP_METHODS.contains(&what.as_str()) => format!("sent {what}"),
            Some(Family::Operation) => format!("called {what}"),
            Some(Family::Resource) => format!("touched {what}"),
            Some(Family::Destination) => format!("reached {what}"),
            Some(Family::Edge) => format!("invoked {what}"),
            Some(Family::Trigger) => format!("was triggered by {what}"),
            Some(Family::Identity) => format!("ran as {what}"),
            Some(Family::Artefact) => format!("ran with {what}"),
            Some(Family::Error) => format!("failed with {what}"),
            Some(Family::LogTemplate) => format!("logged \"{what}\""),
            Some(Family::Statement) => format!("ran the statement \"{what}\""),
            Some(Family::Untraced) => format!("called {what} without a span that says so"),
            Some(Family::Orphan) => format!("called {what} while no invocation was open"),
            Some(Family::Credential) => format!("had its credential used {what}"),
            Some(Family::Silence) => format!("ran without spans ({what})"),
            Some(Family::Change) => format!("was changed by {what}"),
        },
        Feature::Order => format!("did things in an unusual order ({observed})"),
        Feature::Shape => format!("took an unusual path ({observed})"),
        Feature::Missing if what.is_empty() => format!("left out {observed}"),
        Feature::Missing => format!("left out {what}"),
        Feature::Repeats if what.is_empty() => format!("repeated a step {observed}"),
        Feature::Repeats => format!("repeated {what} {observed}"),
        Feature::Magnitude(quantity) => measured(quantity, &observed),
        Feature::Window(Measure::Rate) => format!("had {observed}"),
        Feature::Window(_) => format!("came to {observed}"),
        Feature::Drift(_) => format!("has crept up to {observed}"),
        Feature::Instance(_) => format!("has an environment unlike the others: {observed}"),
        Feature::Beacon => format!("contacted {what} like clockwork ({observed})"),
        Feature::Silence => format!("fell silent: {observed}"),
        Feature::AfterChange => format!("had been changed just before by {observed}"),
    }
}

fn measured(quantity: Quantity, observed: &str) -> String {
    match quantity {
        Quantity::DurationUs => format!("ran for {observed}"),
        Quantity::SelfTimeUs => format!("computed for {observed}"),
        Quantity::Calls => format!("made {observed}"),
        Quantity::BytesOut => format!("sent {observed}"),
        Quantity::BytesIn => format!("received {observed}"),
        Quantity::Rows => format!("read {observed}"),
        Quantity::DistinctResources => format!("touched {observed}"),
        Quantity::MemoryMb => format!("used {observed}"),
        Quantity::InitUs => format!("took {observed} to start"),
        Quantity::AfterUs => format!("worked on for {observed} after its answer"),
        Quantity::PlatformUs => format!("ran for {observed} by the platform's clock"),
        Quantity::AnswerBytes => format!("answered with {observed}"),
        Quantity::Invocations | Quantity::Failures | Quantity::Throttles => format!("had {observed} in a minute"),
        Quantity::Concurrency => format!("had environments at work, {observed}"),
        Quantity::CallBytes => format!("moved {observed} in one call"),
    }
}

fn key_name(evidence: &Evidence, most: usize) -> String {
    evidence.key.as_ref().map(|key| shown(&key.name, most)).unwrap_or_default()
}

/// `120,433`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
