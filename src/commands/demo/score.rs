//! Alerts against the truth.
//!
//! An alert belongs to an attack if it names one of the attack's invocations; if its list is full, so that the
//! attack's may be among those left out, also if it is about the attack's function and its strongest evidence falls
//! into the attack's time. An attack is detected by an alert of tier page or queue that belongs to it. An incident is a
//! false page if the alert that made it a page belongs to no attack, whatever joined it later.

use std::collections::HashSet;

use super::{
    alert::{Alert, LISTED_AT_MOST},
    report::{AttackFound, BenignJudged},
};
use crate::{
    detect::verdict::Tier,
    testbed::truth::{Attack, Benign, Truth},
};

/// The part of the report that follows from alerts and truth.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// In the order of the truth.
    pub attacks: Vec<AttackFound>,
    /// In the order of the truth.
    pub benign: Vec<BenignJudged>,
    /// All of them, whether or not something benign was going on.
    pub false_pages: u64,
    /// Places of the alerts that made them.
    pub false_alerts: Vec<usize>,
}

/// Judges `alerts`, which are in the order they came.
pub fn score(alerts: &[Alert], truth: &Truth) -> Score {
    let attacks = truth.attacks.iter().map(|attack| judge(attack, alerts)).collect();
    let mut benign: Vec<BenignJudged> =
        truth.benign.iter().map(|benign| BenignJudged { id: benign.id.to_owned(), false_pages: 0 }).collect();
    let mut false_alerts = Vec::new();
    for (place, page) in first_pages(alerts) {
        if truth.attacks.iter().any(|attack| belongs(page, attack)) {
            continue;
        }
        false_alerts.push(place);
        let during = truth.benign.iter().position(|benign| holds(benign, page));
        if let Some(judged) = during.and_then(|index| benign.get_mut(index)) {
            judged.false_pages += 1;
        }
    }
    Score { attacks, benign, false_pages: false_alerts.len() as u64, false_alerts }
}

fn judge(attack: &Attack, alerts: &[Alert]) -> AttackFound {
    let about = || alerts.iter().filter(|alert| alert.calls_for_attention() && belongs(alert, attack));
    let highest = about().map(|alert| alert.tier).max();
    let alert = about().find(|alert| Some(alert.tier) == highest);
    AttackFound {
        id: attack.id.to_owned(),
        function: attack.function.to_owned(),
        detected: alert.is_some(),
        tier: alert.map(|alert| alert.tier.name().to_owned()),
        seconds_to_detect: alert.map(|alert| alert.raised().saturating_sub(attack.begins) as f64 / 1e9),
        invocations_to_detect: alert.and_then(|alert| last_named(alert, attack)),
        headline: alert.map(|alert| alert.headline.clone()),
    }
}

/// The first alert of each incident that makes it a page.
fn first_pages(alerts: &[Alert]) -> impl Iterator<Item = (usize, &Alert)> {
    let mut seen = HashSet::new();
    let pages = alerts.iter().enumerate().filter(|(_, alert)| alert.tier == Tier::Page && alert.calls_for_attention());
    pages.filter(move |(_, alert)| seen.insert(alert.incident.as_str()))
}

fn belongs(alert: &Alert, attack: &Attack) -> bool {
    let full = alert.invocations.len() >= LISTED_AT_MOST;
    let then = (attack.begins..=attack.ends).contains(&alert.at);
    last_named(alert, attack).is_some() || (full && then && alert.function == attack.function)
}

/// How many malicious invocations there had been at the last one `alert` names.
fn last_named(alert: &Alert, attack: &Attack) -> Option<u64> {
    let last = attack.invocations.iter().rposition(|id| alert.invocations.contains(id))?;
    Some(last as u64 + 1)
}

fn holds(benign: &Benign, page: &Alert) -> bool {
    (benign.from..benign.to).contains(&page.raised())
}

#[cfg(test)]
mod tests {
    use super::{super::alert::State, *};

    fn truth() -> Truth {
        let attack = |id, function, begins, ends, invocations: &[&str]| Attack {
            id,
            function,
            begins,
            ends,
            invocations: invocations.iter().map(|id| (*id).to_owned()).collect(),
            description: String::new(),
            signs: Vec::new(),
            loot: Vec::new(),
        };
        Truth {
            attacks: vec![
                attack("dump", "confirm", 1_000_000_000, 5_000_000_000, &["d1", "d2", "d3"]),
                attack("peek", "search", 9_000_000_000, 9_500_000_000, &["p1"]),
            ],
            benign: vec![Benign { id: "crowd", from: 100, to: 200 }, Benign { id: "deploy", from: 150, to: 300 }],
        }
    }

    fn alert(incident: &str, tier: Tier, at: u64, invocations: &[&str]) -> Alert {
        Alert {
            incident: incident.into(),
            state: State::Opened,
            tier,
            function: "confirm".into(),
            at,
            last_seen: at,
            invocations: invocations.iter().map(|id| (*id).to_owned()).collect(),
            headline: format!("{incident} at {at}"),
        }
    }

    fn resolved(alert: Alert) -> Alert {
        Alert { state: State::Resolved, ..alert }
    }

    const MANY: [&str; LISTED_AT_MOST] =
        ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p"];

    #[test]
    fn attacks_are_detected_by_what_names_them() {
        type Detected = Option<(&'static str, f64, Option<u64>)>;
        let table: [(&str, Vec<Alert>, Detected); 9] = [
            ("nothing", vec![], None),
            ("a page", vec![alert("a", Tier::Page, 3_000_000_000, &["d1"])], Some(("page", 2.0, Some(1)))),
            ("the queue", vec![alert("a", Tier::Queue, 3_000_000_000, &["d1", "d2"])], Some(("queue", 2.0, Some(2)))),
            ("evidence only", vec![alert("a", Tier::Evidence, 3_000_000_000, &["d1"])], None),
            (
                "the queue, later a page",
                vec![
                    alert("a", Tier::Queue, 2_000_000_000, &["d1"]),
                    alert("a", Tier::Page, 4_000_000_000, &["d1", "d3"]),
                ],
                Some(("page", 3.0, Some(3))),
            ),
            ("another invocation", vec![alert("a", Tier::Page, 3_000_000_000, &["x"])], None),
            ("a full list, in its time", vec![alert("a", Tier::Page, 3_000_000_000, &MANY)], Some(("page", 2.0, None))),
            ("a full list, too late", vec![alert("a", Tier::Page, 6_000_000_000, &MANY)], None),
            ("told that it is over", vec![resolved(alert("a", Tier::Page, 3_000_000_000, &["d1"]))], None),
        ];
        for (name, alerts, expected) in table {
            let found = &score(&alerts, &truth()).attacks[0];
            let detected = found.tier.as_deref().zip(found.seconds_to_detect);
            let detected = detected.map(|(tier, seconds)| (tier, seconds, found.invocations_to_detect));
            assert_eq!(detected, expected, "{name}");
            assert_eq!(found.detected, expected.is_some(), "{name}");
            assert!(!score(&alerts, &truth()).attacks[1].detected, "{name}");
        }
    }

    #[test]
    fn a_full_list_counts_for_its_own_function_only() {
        let other = Alert { function: "cancel".into(), ..alert("a", Tier::Page, 3_000_000_000, &MANY) };
        let score = score(&[other], &truth());
        assert_eq!((score.attacks[0].detected, score.false_pages), (false, 1));
    }

    #[test]
    fn pages_without_an_attack_are_false_and_fall_to_what_went_on() {
        let table = [
            ("a page for an attack", vec![alert("a", Tier::Page, 2_000_000_000, &["d1"])], 0, [0, 0]),
            ("outside of everything", vec![alert("a", Tier::Page, 50, &["x"])], 1, [0, 0]),
            ("in a crowd", vec![alert("a", Tier::Page, 120, &["x"])], 1, [1, 0]),
            ("in two things", vec![alert("a", Tier::Page, 160, &["x"])], 1, [1, 0]),
            ("after a deploy", vec![alert("a", Tier::Page, 299, &["x"])], 1, [0, 1]),
            ("the queue is no page", vec![alert("a", Tier::Queue, 120, &["x"])], 0, [0, 0]),
            (
                "counted once an incident",
                vec![alert("a", Tier::Page, 120, &["x"]), alert("a", Tier::Page, 250, &["x", "y"])],
                1,
                [1, 0],
            ),
            (
                "false before an attack joins it",
                vec![alert("a", Tier::Page, 120, &["x"]), alert("a", Tier::Page, 2_000_000_000, &["x", "d1"])],
                1,
                [1, 0],
            ),
            (
                "queued for nothing, paged for an attack",
                vec![alert("a", Tier::Queue, 120, &["x"]), alert("a", Tier::Page, 2_000_000_000, &["x", "d1"])],
                0,
                [0, 0],
            ),
        ];
        for (name, alerts, false_pages, by_scenario) in table {
            let score = score(&alerts, &truth());
            let benign: Vec<u64> = score.benign.iter().map(|benign| benign.false_pages).collect();
            assert_eq!((score.false_pages, benign.as_slice()), (false_pages, by_scenario.as_slice()), "{name}");
        }
    }
}
