//! An alert in words, for every destination that a person reads.

use std::fmt::Write as _;

use super::{Alert, Evidence, State, Tier};
use crate::otlp::time::rfc3339;

/// Pieces of evidence a person reads.
const MOST_EVIDENCE: usize = 5;
/// Invocations named.
const MOST_INVOCATIONS: usize = 3;

/// The headline, and that it is over if it is.
pub fn title(alert: &Alert) -> String {
    if alert.state == State::Resolved { format!("Resolved: {}", alert.headline) } else { alert.headline.clone() }
}

/// What to do, in a word: for the first line.
pub const fn call(tier: Tier) -> &'static str {
    match tier {
        Tier::Page => "Look at it now",
        Tier::Queue => "Look at it today",
        Tier::Evidence => "For the record",
    }
}

/// Who, where, since when, how sure: name and value.
pub fn facts(alert: &Alert) -> Vec<(&'static str, String)> {
    let version = if alert.version.is_empty() { String::new() } else { format!(" (version {})", alert.version) };
    let place: Vec<String> = ["cloud.provider", "cloud.account.id", "cloud.region"]
        .into_iter()
        .map(|key| alert.attribute(key))
        .filter(|text| !text.is_empty())
        .collect();
    let since = if alert.first_seen == alert.last_seen {
        rfc3339(alert.first_seen)
    } else {
        format!("{} to {}", rfc3339(alert.first_seen), rfc3339(alert.last_seen))
    };
    let mut invocations = alert.invocations.iter().take(MOST_INVOCATIONS).cloned().collect::<Vec<_>>().join(", ");
    if alert.invocations.len() > MOST_INVOCATIONS {
        invocations.push_str(" and more");
    }
    let facts = [
        ("Function", format!("{}{version}", alert.function)),
        ("Where", place.join(", ")),
        ("When", since),
        ("Priority", format!("{} of 100", alert.priority)),
        ("Surprise", format!("{:.1} bits; {:.1} make a page", alert.score, alert.line)),
        ("Techniques", alert.techniques.join(", ")),
        ("Invocations", invocations),
        ("Incident", alert.id.clone()),
        ("Look and decide", alert.link.clone()),
    ];
    facts.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

/// Why we think so, a line for each of the strongest pieces of evidence.
pub fn evidence(alert: &Alert) -> Vec<String> {
    alert.evidence.iter().take(MOST_EVIDENCE).map(line).collect()
}

fn line(evidence: &Evidence) -> String {
    let usual = if evidence.usual.is_empty() {
        format!("seen in {} of {} before", evidence.seen_in, evidence.out_of)
    } else {
        format!("usually {}", evidence.usual)
    };
    format!("{}: {} ({usual}; {:.1} bits)", evidence.feature, evidence.observed, evidence.bits)
}

/// The whole alert as a few plain paragraphs.
pub fn plain(alert: &Alert) -> String {
    let mut text = format!("{}\n", title(alert));
    for (name, value) in facts(alert) {
        let _ = writeln!(text, "{name}: {value}");
    }
    let evidence = evidence(alert);
    if !evidence.is_empty() {
        text.push_str("Why:\n");
        for line in evidence {
            let _ = writeln!(text, "- {line}");
        }
    }
    if !alert.counterfactual.is_empty() {
        let _ = writeln!(text, "{}", alert.counterfactual);
    }
    text
}

/// `text` in at most `most` characters.
pub fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}
