//! What a branch of a fleet's history came to: whether the attack in it was noticed, when, how, and what it had brought
//! by then; and whether people were woken for nothing.

use std::collections::HashSet;

use serde::Serialize;

use crate::{
    detect::{
        observation::{Family, Nanos},
        verdict::{Evidence, Feature, Tier},
    },
    incidents::{Change, ChangeKind, Incident, text},
    testbed::{Attack, Loot},
};

/// After the last malicious act, an alert may still be about it for as long as the audit log takes.
pub const HORIZON: Nanos = 20 * 60 * SECOND;
const SECOND: Nanos = 1_000_000_000;
/// An incident lists so many invocations at most.
const LISTED: usize = 16;

/// What became of one attack.
#[derive(Clone, Debug, Default, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "four facts, each counted for itself")]
pub struct Noticed {
    /// Whether somebody was woken.
    pub paged: bool,
    /// Whether it reached the queue, or a page.
    pub queued: bool,
    /// Event time from the first malicious act to the delivery that gave the first page or queue entry.
    pub seconds: Option<f64>,
    /// Malicious invocations up to then.
    pub invocations: Option<u64>,
    /// The place of its incident among those of the week before, by priority; 1 is the first.
    pub rank: Option<u64>,
    /// Whether the first evidence names what was done.
    pub first_names_it: bool,
    /// Whether one of the first three does.
    pub first_three_name_it: bool,
    /// The kind of the first evidence.
    pub evidence: Option<&'static str>,
    /// What the attacker had by the first page, or by the end.
    pub loot: Loot,
    /// What the incident said.
    pub headline: Option<String>,
}

/// Takes in what a model says over a branch, and keeps what is about `attack`.
#[derive(Debug)]
pub struct Judge<'a> {
    /// Priorities of the incidents of the week before.
    before: &'a [u8],
    found: Noticed,
}

impl<'a> Judge<'a> {
    /// With the priorities of the incidents of the week before.
    pub fn new(before: &'a [u8]) -> Self {
        Self { before, found: Noticed::default() }
    }

    /// Takes in a change told at `at`. True when a page was given, after which nothing more can be won.
    pub fn take(&mut self, change: &Change, attack: &Attack, at: Nanos) -> bool {
        let incident = &change.incident;
        if change.kind == ChangeKind::Resolved || incident.tier < Tier::Queue || !is_about(incident, attack) {
            return false;
        }
        let pages = incident.tier == Tier::Page;
        if !self.found.queued || (pages && !self.found.paged) {
            let last = attack.invocations.iter().rposition(|id| incident.invocations.contains(id));
            let said = text::clauses(&incident.evidence, 3);
            let names = |clause: &String| attack.signs.iter().any(|sign| clause.contains(sign));
            let higher = self.before.iter().filter(|priority| **priority > incident.priority).count();
            let found = &mut self.found;
            if !found.queued {
                found.seconds = Some(at.saturating_sub(attack.begins) as f64 / 1e9);
                found.invocations = last.map(|place| place as u64 + 1);
            }
            found.queued = true;
            found.paged |= pages;
            found.rank = Some(higher as u64 + 1);
            found.first_names_it = said.first().is_some_and(names);
            found.first_three_name_it = said.iter().any(names);
            found.evidence = incident.evidence.first().map(kind);
            found.headline = Some(incident.headline.clone());
        }
        if pages {
            self.found.loot = loot_by(attack, at);
        }
        pages
    }

    /// The outcome, when the branch has ended.
    pub fn finish(mut self, attack: &Attack) -> Noticed {
        if !self.found.paged {
            self.found.loot = loot_by(attack, Nanos::MAX);
        }
        self.found
    }
}

/// Pages that are told for the first time.
#[derive(Clone, Debug, Default)]
pub struct Pages {
    seen: HashSet<String>,
}

impl Pages {
    /// The incidents of `changes` that become pages with them.
    pub fn first<'a>(&mut self, changes: &'a [Change]) -> Vec<&'a Incident> {
        let pages = changes.iter().filter(|change| change.kind != ChangeKind::Resolved);
        let pages = pages.map(|change| &change.incident).filter(|incident| incident.tier == Tier::Page);
        pages.filter(|incident| self.seen.insert(incident.id.clone())).collect()
    }
}

/// Whether an incident is about an attack: it names one of its invocations; or it is about the attack's function at the
/// attack's time, and names what was done, as records of others do that know of no invocation; or it names nothing, or
/// too many to list.
pub fn is_about(incident: &Incident, attack: &Attack) -> bool {
    let names = attack.invocations.iter().any(|id| incident.invocations.contains(id));
    // Audit records know whole seconds only.
    let begins = attack.begins / SECOND * SECOND;
    let in_time = incident.at >= begins && incident.at <= attack.ends.saturating_add(HORIZON);
    let on_function = incident.functions.iter().any(|function| function.name == attack.function);
    let anonymous =
        incident.invocations.len() >= LISTED || attack.invocations.is_empty() || incident.invocations.is_empty();
    let says_it = || {
        let said = text::clauses(&incident.evidence, 3);
        said.iter().any(|clause| attack.signs.iter().any(|sign| clause.contains(sign)))
    };
    names || (in_time && on_function && (anonymous || says_it()))
}

fn loot_by(attack: &Attack, at: Nanos) -> Loot {
    let until = attack.loot.iter().filter(|(then, _)| *then <= at);
    until.fold(Loot::default(), |sum, (_, loot)| sum.with(*loot))
}

/// What kind of evidence it is, as the ablation table calls it.
pub fn kind(evidence: &Evidence) -> &'static str {
    match (evidence.feature, evidence.key.as_ref().map(|key| key.family)) {
        (Feature::Novelty, Some(Family::Operation)) => "new operation",
        (Feature::Novelty, Some(Family::Resource)) => "new resource",
        (Feature::Novelty, Some(Family::Destination)) => "new destination",
        (Feature::Novelty, Some(Family::Edge)) => "new edge",
        (Feature::Novelty, Some(Family::Error)) => "new error",
        (Feature::Novelty, Some(Family::LogTemplate)) => "new log line",
        (Feature::Novelty, _) => "other novelty",
        (Feature::Missing, _) => "missing step",
        (Feature::Order | Feature::Shape, _) => "order",
        (Feature::Repeats, _) => "repeats",
        (Feature::Magnitude(_), _) => "magnitude",
        #[allow(unreachable_patterns, reason = "features come and go")]
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::{
        observation::{Risk, Source},
        verdict::OwnedKey,
    };

    fn attack(invocations: &[&str]) -> Attack {
        Attack {
            id: "A04",
            function: "get",
            begins: 1_000 * SECOND,
            ends: 2_000 * SECOND,
            invocations: invocations.iter().map(|id| (*id).to_owned()).collect(),
            loot: [500, 1_500, 2_500].map(|at| (at * SECOND, Loot { records: 1, bytes: 10, gb_seconds: 0.0 })).to_vec(),
            description: String::new(),
            signs: vec!["customers"],
        }
    }

    /// At so many seconds.
    fn change(tier: Tier, function: &str, at: u64, invocations: &[&str]) -> Change {
        let at = at * SECOND;
        let incident = Incident {
            id: "inc-1".into(),
            tier,
            priority: 50,
            score: 20.0,
            line: 10.0,
            first_seen: at,
            last_seen: at,
            at,
            trace_id: [0; 16],
            span_id: [0; 8],
            functions: vec![crate::incidents::Function { hash: 1, name: function.into(), version: String::new() }],
            lead: 1,
            resource: bytes::Bytes::new(),
            invocations: invocations.iter().map(|id| (*id).to_owned()).collect(),
            invocation_count: 1,
            evidence: Vec::new(),
            headline: "it did".into(),
            counterfactual: String::new(),
            techniques: Vec::new(),
            merged_into: None,
        };
        Change { kind: ChangeKind::Opened, incident }
    }

    /// An audit log's record of `get`, which knows of no invocation.
    fn saying(touched: &str, at: u64) -> Change {
        let mut change = change(Tier::Page, "get", at, &["record"]);
        let key = OwnedKey { family: Family::Resource, risk: Risk::Read, hash: 1, name: touched.to_owned() };
        change.incident.evidence = vec![Evidence {
            feature: Feature::Novelty,
            key: Some(key),
            bits: 9.0,
            observed: String::new(),
            usual: String::new(),
            seen_in: 0,
            out_of: 100,
            fleet: (0, 1),
            amount: 0,
            source: Source::default(),
        }];
        change
    }

    #[test]
    fn an_incident_is_about_an_attack_whose_invocations_or_time_it_names() {
        let table = [
            ("names it", &["a"][..], change(Tier::Page, "other", 9_000, &["a"]), true),
            ("names another", &["a"], change(Tier::Page, "get", 1_500, &["b"]), false),
            ("no invocations, its function, its time", &[], change(Tier::Page, "get", 1_500, &["b"]), true),
            ("names it without an invocation", &["a"], saying("dynamodb:table/customers", 1_500), true),
            ("says something else", &["a"], saying("dynamodb:table/orders", 1_500), false),
            ("in the second in which it began", &[], change(Tier::Page, "get", 1_000, &["b"]), true),
            ("no invocations, too early", &[], change(Tier::Page, "get", 500, &["b"]), false),
            ("no invocations, much too late", &[], change(Tier::Page, "get", 5_000 + HORIZON / SECOND, &["b"]), false),
            ("no invocations, another function", &[], change(Tier::Page, "put", 1_500, &["b"]), false),
        ];
        for (name, invocations, change, expected) in table {
            assert_eq!(is_about(&change.incident, &attack(invocations)), expected, "{name}");
        }
    }

    #[test]
    fn what_was_lost_counts_up_to_the_first_page() {
        let attack = attack(&["a"]);
        let mut judge = Judge::new(&[90, 80, 10]);
        assert!(!judge.take(&change(Tier::Evidence, "get", 1_100, &["a"]), &attack, 1_200 * SECOND));
        assert!(!judge.take(&change(Tier::Queue, "get", 1_100, &["a"]), &attack, 1_200 * SECOND));
        assert!(judge.take(&change(Tier::Page, "get", 1_600, &["a"]), &attack, 1_700 * SECOND));
        let found = judge.finish(&attack);
        assert!(found.paged && found.queued);
        assert_eq!((found.rank, found.invocations, found.loot.records), (Some(3), Some(1), 2));
        assert!((found.seconds.unwrap() - 200.0).abs() < 1e-9);
        assert_eq!(Judge::new(&[]).finish(&attack).loot.records, 3);
    }
}
