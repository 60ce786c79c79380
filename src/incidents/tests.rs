//! Grouping, telling, ending, and the builders the other tests of this room use.

use super::*;
use crate::detect::{
    observation::{Family, Risk, Source},
    verdict::{Feature, OwnedKey},
};

const SECOND: Nanos = 1_000_000_000;
const MINUTE: Nanos = 60 * SECOND;
const HOUR: Nanos = 60 * MINUTE;
/// 2026-11-23T12:00Z.
pub const NOON: Nanos = 1_795_435_200 * SECOND;

pub fn key(family: Family, risk: Risk, name: &str) -> OwnedKey {
    let hash = name.bytes().fold(family as u64 + 1, |hash, byte| hash.wrapping_mul(31).wrapping_add(u64::from(byte)));
    OwnedKey { family, risk, hash, name: name.to_owned() }
}

pub fn plain(feature: Feature, bits: f64) -> Evidence {
    Evidence {
        feature,
        key: None,
        bits,
        observed: String::new(),
        usual: String::new(),
        seen_in: 0,
        out_of: 120_433,
        fleet: (0, 12),
        amount: 0,
        source: Source::default(),
    }
}

pub fn novel(family: Family, risk: Risk, name: &str, bits: f64) -> Evidence {
    Evidence {
        key: Some(key(family, risk, name)),
        observed: name.to_owned(),
        usual: "never in 120,433 invocations".to_owned(),
        ..plain(Feature::Novelty, bits)
    }
}

pub fn destination(name: &str, bits: f64) -> Evidence {
    novel(Family::Destination, Risk::Egress, name, bits)
}

pub fn verdict(tier: Tier, evidence: Vec<Evidence>) -> Verdict {
    let score = evidence.iter().map(|row| row.bits).sum();
    Verdict { score, standardised: score, line: 12.8, tier: Some(tier), evidence, sample_size: 120_433, at: NOON }
}

/// A finding of function number `function`, with its own trace.
struct Told<'a> {
    incidents: &'a mut Incidents,
    invocations: u64,
}

impl<'a> Told<'a> {
    fn new(incidents: &'a mut Incidents) -> Self {
        Self { incidents, invocations: 0 }
    }

    fn report(&mut self, function: u64, at: Nanos, tier: Tier, evidence: Vec<Evidence>) -> Option<Change> {
        let mut trace_id = [0; 16];
        self.invocations += 1;
        trace_id[..8].copy_from_slice(&(self.invocations << 32 | function).to_be_bytes());
        self.report_in(trace_id, function, at, tier, evidence)
    }

    fn report_in(
        &mut self,
        trace_id: [u8; 16],
        function: u64,
        at: Nanos,
        tier: Tier,
        evidence: Vec<Evidence>,
    ) -> Option<Change> {
        self.invocations += 1;
        self.incidents.report(Finding {
            function: FunctionRef { hash: function, name: &format!("function-{function}"), version: "41" },
            resource: &|| Cow::Borrowed(b""),
            verdict: &Verdict { at, ..verdict(tier, evidence) },
            invocation_id: &format!("invocation-{}", self.invocations),
            trace_id,
            span_id: [1; 8],
            at,
        })
    }
}

fn kinds(changes: &[Change]) -> Vec<(ChangeKind, &str)> {
    changes.iter().map(|change| (change.kind, change.incident.id.as_str())).collect()
}

/// A function, its trace if it is to be a certain one, and its evidence.
type Side = (u64, Option<[u8; 16]>, Evidence);

#[test]
fn verdicts_that_share_a_cause_within_a_day_are_one_incident() {
    let new = destination;
    let resource = |name| novel(Family::Resource, Risk::Write, name, 20.0);
    let rare = Evidence { seen_in: 3, ..new("a.example", 20.0) };
    let trace = Some([7; 16]);
    #[rustfmt::skip]
    let table: &[(&str, Side, Side, Nanos, usize)] = &[
        ("the same function",               (1, None, new("a.example", 20.0)), (1, None, resource("x")), HOUR, 1),
        ("the same function a day later",   (1, None, new("a.example", 20.0)), (1, None, resource("x")), 25 * HOUR, 2),
        ("the same function, late data",    (1, None, new("a.example", 20.0)), (1, None, resource("x")), 0, 1),
        ("the same new destination",        (1, None, new("a.example", 20.0)), (2, None, new("a.example", 20.0)), HOUR, 1),
        ("a destination rare to both",      (1, None, rare.clone()),           (2, None, rare.clone()), HOUR, 2),
        ("different destinations",          (1, None, new("a.example", 20.0)), (2, None, new("b.example", 20.0)), HOUR, 2),
        ("the same new resource",           (1, None, resource("x")),          (2, None, resource("x")), HOUR, 1),
        ("the same trace",                  (1, trace, resource("x")),         (2, trace, resource("y")), SECOND, 1),
        ("nothing but the version 41",      (1, None, resource("x")),          (2, None, resource("y")), HOUR, 2),
    ];
    for (row, first, second, later, expected) in table {
        let mut incidents = Incidents::new(Settings::default());
        let mut told = Told::new(&mut incidents);
        for ((function, trace, evidence), at) in [(first, NOON), (second, NOON + later)] {
            match trace {
                Some(trace) => told.report_in(*trace, *function, at, Tier::Page, vec![evidence.clone()]),
                None => told.report(*function, at, Tier::Page, vec![evidence.clone()]),
            };
        }
        assert_eq!(incidents.open().len(), *expected, "{row}");
    }
}

#[test]
fn ids_are_short_and_the_same_in_every_replay() {
    let id = || {
        let mut incidents = Incidents::new(Settings::default());
        Told::new(&mut incidents).report(7, NOON, Tier::Page, vec![destination("a.example", 20.0)]).unwrap().incident.id
    };
    assert_eq!(id(), id());
    assert_eq!(id(), "inc-550a3730e8", "the ids' definition is part of the record");
}

#[test]
fn a_verdict_that_joins_two_incidents_keeps_the_older_id_and_says_where_the_younger_went() {
    let mut incidents = Incidents::new(Settings::default());
    let mut told = Told::new(&mut incidents);
    let older = told.report(1, NOON, Tier::Queue, vec![destination("a.example", 10.0)]).unwrap().incident;
    let younger = told.report(2, NOON + MINUTE, Tier::Page, vec![destination("b.example", 30.0)]).unwrap().incident;
    let both = vec![destination("a.example", 10.0), destination("b.example", 10.0)];
    let joined = told.report(3, NOON + 2 * MINUTE, Tier::Queue, both).expect("it became a page: told at once").incident;
    assert_eq!((joined.id.as_str(), joined.tier), (older.id.as_str(), Tier::Page));
    assert_eq!(joined.functions.iter().map(|function| function.hash).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(joined.lead, 2, "the strongest verdict leads");
    assert!(joined.headline.ends_with("(and 2 other functions)"), "{}", joined.headline);

    let ended = incidents.advance(NOON + 2 * MINUTE);
    assert_eq!(kinds(&ended), [(ChangeKind::Resolved, younger.id.as_str())]);
    assert_eq!(ended[0].incident.merged_into.as_deref(), Some(older.id.as_str()));
    assert!(ended[0].incident.headline.starts_with(&format!("now part of {}", older.id)));
    assert_eq!(incidents.of_function(2, NOON + HOUR).map(|incident| incident.id.as_str()), Some(older.id.as_str()));
    assert_eq!(incidents.counters().merged, 1);
}

#[test]
fn repeats_are_silent_and_news_is_told_at_most_every_five_minutes() {
    let mut incidents = Incidents::new(Settings::default());
    let mut told = Told::new(&mut incidents);
    let a = || vec![destination("a.example", 10.0)];
    assert_eq!(told.report(1, NOON, Tier::Queue, a()).unwrap().kind, ChangeKind::Opened);
    for n in 1..9 {
        assert!(told.report(1, NOON + n * MINUTE, Tier::Queue, a()).is_none(), "a repeat is no news");
    }
    let tenth = told.report(1, NOON + 9 * MINUTE, Tier::Queue, a()).expect("ten times as many invocations are news");
    assert_eq!((tenth.kind, tenth.incident.invocation_count), (ChangeKind::Updated, 10));

    let b = vec![destination("b.example", 4.0)];
    assert!(told.report(1, NOON + 10 * MINUTE, Tier::Queue, b).is_none(), "too soon after the last");
    assert!(told.incidents.advance(NOON + 13 * MINUTE).is_empty());
    let held_back = told.incidents.advance(NOON + 14 * MINUTE);
    assert_eq!(held_back.len(), 1);
    assert_eq!(held_back[0].incident.evidence.len(), 2);

    let page = told.report(1, NOON + 15 * MINUTE, Tier::Page, a()).expect("a page does not wait");
    assert_eq!((page.kind, page.incident.tier), (ChangeKind::Updated, Tier::Page));
}

#[test]
fn evidence_seen_again_keeps_its_strongest_form() {
    let mut incidents = Incidents::new(Settings::default());
    let mut told = Told::new(&mut incidents);
    for (minute, bits) in [(0, 14.0), (1, 20.0), (2, 16.0)] {
        told.report(1, NOON + minute * MINUTE, Tier::Page, vec![destination("a.example", bits)]);
    }
    let incident = incidents.open().next().unwrap();
    assert_eq!(incident.evidence.iter().map(|row| row.bits).collect::<Vec<_>>(), [20.0]);
    assert_eq!((incident.score.to_bits(), incident.at), (20f64.to_bits(), NOON + MINUTE));
}

#[test]
fn an_incident_ends_a_day_after_its_last_verdict() {
    let mut incidents = Incidents::new(Settings::default());
    let mut told = Told::new(&mut incidents);
    let a = || vec![destination("a.example", 20.0)];
    let id = told.report(1, NOON, Tier::Page, a()).unwrap().incident.id;
    told.report(1, NOON + HOUR, Tier::Page, a());
    told.report(1, NOON + 2 * HOUR, Tier::Evidence, a());
    assert!(incidents.advance(NOON + 25 * HOUR - 1).is_empty());
    assert_eq!(kinds(&incidents.advance(NOON + 25 * HOUR)), [(ChangeKind::Resolved, id.as_str())]);
    assert_eq!(incidents.open().len(), 0);
    assert!(incidents.of_function(1, NOON + 25 * HOUR).is_none());
    let again = Told::new(&mut incidents).report(1, NOON + 26 * HOUR, Tier::Page, a()).unwrap();
    assert_eq!(again.kind, ChangeKind::Opened);
    assert_ne!(again.incident.id, id);
}

#[test]
fn weak_verdicts_open_nothing_and_only_corroborate() {
    let mut incidents = Incidents::new(Settings::default());
    let mut told = Told::new(&mut incidents);
    assert!(told.report(1, NOON, Tier::Evidence, vec![destination("a.example", 6.0)]).is_none());
    assert_eq!(told.incidents.open().len(), 0);
    told.report(1, NOON, Tier::Page, vec![destination("a.example", 20.0)]);
    assert!(told.report(1, NOON + HOUR, Tier::Evidence, vec![destination("b.example", 6.0)]).is_none());
    let incident = incidents.open().next().unwrap();
    assert_eq!((incident.evidence.len(), incident.invocation_count, incident.last_seen), (2, 2, NOON));
}

#[test]
fn ordinary_invocations_are_nothing() {
    let mut incidents = Incidents::new(Settings::default());
    let nothing = Verdict { tier: None, ..verdict(Tier::Page, Vec::new()) };
    let finding = Finding {
        function: FunctionRef { hash: 1, name: "f", version: "" },
        resource: &|| Cow::Borrowed(b""),
        verdict: &nothing,
        invocation_id: "i",
        trace_id: [0; 16],
        span_id: [0; 8],
        at: NOON,
    };
    assert!(incidents.report(finding).is_none());
    assert_eq!(incidents.open().len(), 0);
}

#[test]
fn a_flood_meets_caps_and_counters_and_the_graver_stays() {
    let mut incidents = Incidents::new(Settings { max_open: 8, ..Settings::default() });
    let mut told = Told::new(&mut incidents);
    for function in 0..20 {
        told.report(function, NOON, Tier::Queue, vec![destination(&format!("{function}.example"), 10.0)]);
    }
    assert_eq!((told.incidents.open().len(), told.incidents.counters().refused), (8, 12));
    assert!(told.report(99, NOON, Tier::Page, vec![destination("page.example", 30.0)]).is_some());
    assert_eq!(told.incidents.counters().evicted, 1);
    assert_eq!(told.incidents.advance(NOON).len(), 1, "the end of the evicted one is told");

    for n in 0..200 {
        told.report(99, NOON + n, Tier::Page, vec![destination(&format!("page-{n}.example"), 30.0)]);
    }
    let incident = told.incidents.open().find(|incident| incident.lead == 99).unwrap();
    assert_eq!(incident.evidence.len(), bounds::EVIDENCE);
    assert_eq!(incident.invocations.len(), bounds::INVOCATIONS);
    assert_eq!(incident.invocation_count, 201);
    let causes: Vec<usize> = told.incidents.open.values().map(|open| open.causes.len()).collect();
    assert!(causes.iter().all(|causes| *causes <= bounds::CAUSES));
    assert_eq!(told.incidents.index.len(), causes.iter().sum::<usize>(), "what is forgotten leaves the index");
}

#[test]
fn hostile_text_and_resources_are_cut() {
    let long = "é".repeat(10_000);
    let mut incidents = Incidents::new(Settings::default());
    let verdict = verdict(Tier::Page, vec![Evidence { observed: long.clone(), ..destination(&long, f64::INFINITY) }]);
    let change = incidents.report(Finding {
        function: FunctionRef { hash: 1, name: &long, version: &long },
        resource: &|| Cow::Owned(vec![0xff; 1 << 20]),
        verdict: &verdict,
        invocation_id: &long,
        trace_id: [0; 16],
        span_id: [0; 8],
        at: NOON,
    });
    let incident = change.unwrap().incident;
    assert!(incident.headline.chars().count() <= text::HEADLINE);
    assert!(incident.resource.len() <= bounds::RESOURCE);
    assert!(incident.functions[0].name.len() <= bounds::TEXT && incident.invocations[0].len() <= bounds::TEXT);
}

#[test]
fn an_oversized_resource_keeps_what_names_the_function() {
    use opentelemetry_proto::tonic::{
        common::v1::{AnyValue, KeyValue, any_value::Value},
        resource::v1::Resource,
    };
    use prost::Message as _;
    let attribute = |key: &str, value: &str| KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(Value::StringValue(value.to_owned())) }),
        ..KeyValue::default()
    };
    let attributes = vec![attribute("padding", &"x".repeat(20_000)), attribute("faas.name", "reserve")];
    let resource = Resource { attributes, ..Resource::default() }.encode_to_vec();
    let kept = Resource::decode(bounds::resource(&resource)).unwrap();
    assert_eq!(kept.attributes, [attribute("faas.name", "reserve")]);
}

#[test]
fn priority_is_belief_times_impact() {
    let with = |tier, evidence, functions: u64| {
        let mut incidents = Incidents::new(Settings::default());
        let mut told = Told::new(&mut incidents);
        for function in 0..functions {
            told.report_in([9; 16], function, NOON, tier, vec![Evidence::clone(&evidence)]);
        }
        incidents.open().next().unwrap().priority
    };
    let of = |risk, bits| novel(Family::Operation, risk, "x.Y", bits);
    #[rustfmt::skip]
    let table = [
        ("a read at the line",              with(Tier::Page, of(Risk::Read, 12.8), 1), 10),
        ("a change of code at the line",    with(Tier::Page, of(Risk::Control, 12.8), 1), 50),
        ("a change of code far above it",   with(Tier::Page, of(Risk::Control, 30.0), 1), 100),
        ("egress far above it",             with(Tier::Page, of(Risk::Egress, 30.0), 1), 60),
        ("egress from four functions",      with(Tier::Page, of(Risk::Egress, 30.0), 4), 90),
        ("a secret three bits below",       with(Tier::Queue, of(Risk::Identity, 9.8), 1), 4),
    ];
    for (row, priority, expected) in table {
        assert_eq!(priority, expected, "{row}");
    }
}

#[test]
fn evidence_is_scaled_to_the_lines_scale_so_that_it_adds_up() {
    let verdict =
        Verdict { standardised: 20.0, ..verdict(Tier::Page, vec![destination("a", 30.0), destination("b", 10.0)]) };
    let mut incidents = Incidents::new(Settings::default());
    let function = FunctionRef { hash: 1, name: "f", version: "" };
    let finding = Finding {
        function,
        resource: &|| Cow::Borrowed(b""),
        verdict: &verdict,
        invocation_id: "i",
        trace_id: [0; 16],
        span_id: [0; 8],
        at: NOON,
    };
    let incident = incidents.report(finding).unwrap().incident;
    assert_eq!(incident.evidence.iter().map(|row| row.bits).collect::<Vec<_>>(), [15.0, 5.0]);
    assert!((incident.score - 20.0).abs() < 1e-9);
}

#[test]
fn a_restart_forgets_nothing() {
    let mut incidents = Incidents::new(Settings::default());
    let mut told = Told::new(&mut incidents);
    let evidence = || {
        vec![
            destination("a.example", 20.0),
            Evidence {
                observed: "9.8 s".into(),
                ..plain(Feature::Magnitude(crate::detect::observation::Quantity::DurationUs), 3.0)
            },
            plain(Feature::Order, 2.0),
        ]
    };
    told.report(1, NOON, Tier::Page, evidence());
    told.report(2, NOON + MINUTE, Tier::Queue, vec![novel(Family::Resource, Risk::Write, "table", 11.0)]);
    told.report(3, NOON + 2 * MINUTE, Tier::Queue, vec![destination("c.example", 11.0)]);
    // Joins the second and third; the end of the third is still to be told.
    let joins = vec![novel(Family::Resource, Risk::Write, "table", 6.0), destination("c.example", 5.0)];
    told.report(4, NOON + 3 * MINUTE, Tier::Queue, joins);

    let mut restored = Incidents::restore(&incidents.snapshot(), Settings::default()).unwrap();
    let show = |incidents: &Incidents| incidents.open().map(|incident| format!("{incident:?}")).collect::<Vec<_>>();
    assert_eq!(show(&restored), show(&incidents));
    assert_eq!(restored.snapshot(), incidents.snapshot());
    for at in [NOON + 3 * MINUTE, NOON + 10 * MINUTE, NOON + 30 * HOUR] {
        let (before, after) = (incidents.advance(at), restored.advance(at));
        assert_eq!(kinds(&after), kinds(&before));
    }
    let id = restored.of_function(1, NOON).map(|incident| incident.id.clone());
    assert!(id.is_none(), "all resolved in both");
}

#[test]
fn a_restored_incident_still_draws_its_function_in() {
    let mut incidents = Incidents::new(Settings::default());
    Told::new(&mut incidents).report(1, NOON, Tier::Page, vec![destination("a.example", 20.0)]);
    let mut restored = Incidents::restore(&incidents.snapshot(), Settings::default()).unwrap();
    let mut told = Told { incidents: &mut restored, invocations: 10 };
    assert!(told.report(1, NOON + HOUR, Tier::Page, vec![destination("a.example", 20.0)]).is_none());
    assert_eq!(restored.open().map(|incident| incident.invocation_count).collect::<Vec<_>>(), [2]);
}

#[test]
fn damaged_state_is_refused_with_a_reason() {
    let restore = |bytes: &[u8]| Incidents::restore(bytes, Settings::default()).map(|_| ()).unwrap_err().to_string();
    assert!(restore(&[0xff, 0xff]).starts_with("saved incidents are damaged"));
    assert_eq!(restore(&[8, 2]), "saved incidents have format 2, this version reads format 1");
    assert!(restore(&[]).contains("format 0"));
}
