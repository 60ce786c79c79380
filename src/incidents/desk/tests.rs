use super::*;
use crate::{
    detect::{
        observation::{Family, Quantity, Risk},
        verdict::{Feature, Tier},
    },
    incidents::{
        Finding, Incidents,
        control::proto::Scope,
        tests::{NOON, destination, novel, plain, verdict},
    },
};

const DAY: Nanos = 86_400_000_000_000;
const NOW: Nanos = 1_800_000_000_000_000_000;

/// Functions below 10 are of one application.
struct Fleet;

impl Model for Fleet {
    fn peers_of(&self, function: u64) -> u64 {
        u64::from(function < 10)
    }

    fn queue_line(&self) -> f64 {
        9.5
    }
}

struct Bench {
    desk: Desk,
    incidents: Incidents,
    invocations: u32,
}

impl Bench {
    fn new() -> Self {
        let settings = Settings { retention: 90 * DAY, most_incidents: 100 };
        Self { desk: Desk::new(settings), incidents: Incidents::new(super::super::Settings::default()), invocations: 0 }
    }

    /// A function shows evidence; the id of its incident.
    fn shows(&mut self, function: u64, at: Nanos, evidence: Vec<Evidence>) -> String {
        self.invocations += 1;
        let verdict = verdict(Tier::Page, evidence);
        let name = format!("f{function}");
        let reference = FunctionRef { hash: function, name: &name, version: "1" };
        let change = self.incidents.report(Finding {
            function: reference,
            resource: &|| std::borrow::Cow::Borrowed(b""),
            verdict: &verdict,
            invocation_id: &self.invocations.to_string(),
            trace_id: [0; 16],
            span_id: [0; 8],
            at,
        });
        let id = self.incidents.of_function(function, at).unwrap().id.clone();
        self.desk.sight(Some(&id), reference, &verdict.evidence, NOW);
        if let Some(change) = change {
            self.desk.file(&change, "active", NOW);
        }
        id
    }

    fn give(&mut self, incident: &str, kind: &str) -> Result<Verdict, Fault> {
        self.desk.give(&request(incident, kind), &Fleet, NOW)
    }

    fn kinds(&self, incident: &str) -> Vec<String> {
        self.desk.incident(incident).unwrap().timeline.into_iter().map(|entry| entry.kind).collect()
    }
}

fn request(incident: &str, kind: &str) -> GiveVerdictRequest {
    GiveVerdictRequest {
        incident_id: incident.to_owned(),
        kind: kind.to_owned(),
        note: "because".to_owned(),
        author: "ann".to_owned(),
        ..GiveVerdictRequest::default()
    }
}

#[test]
fn expected_becomes_one_typed_scope_for_each_piece_of_evidence_and_expires() {
    let mut bench = Bench::new();
    let slow = Evidence { amount: 1000, ..plain(Feature::Magnitude(Quantity::BytesOut), 3.0) };
    let id = bench.shows(1, NOON, vec![destination("a.example", 20.0), slow, plain(Feature::Order, 2.0)]);
    let verdict = bench.give(&id, "expected").unwrap();
    let scopes: Vec<(&str, &str, u64)> = verdict
        .scopes
        .iter()
        .map(|scope| (scope.feature.as_str(), scope.key_pattern.as_str(), scope.at_most))
        .collect();
    assert_eq!(scopes, [("novelty.destination", "a.example", 0), ("magnitude.bytes_out", "", 2000), ("order", "", 0)]);
    assert_eq!(verdict.expires, NOW + 30 * DAY);
    assert_eq!(bench.desk.exceptions(&Fleet).len(), 3);
    assert_eq!(bench.kinds(&id), ["opened", "verdict"]);
    assert_eq!(bench.desk.incident(&id).unwrap().incident.unwrap().verdict, "expected");

    bench.desk.covered(&[(verdicts::number(&verdict.id), Covered { evidence: 2, invocations: 1, last: NOON })]);
    assert!(!bench.desk.advance(verdict.expires - 1));
    assert!(bench.desk.advance(verdict.expires), "what is expected has changed");
    assert!(bench.desk.exceptions(&Fleet).is_empty());
    let listed = bench.desk.verdicts()[0].clone();
    assert_eq!((listed.state.as_str(), listed.covered_evidence, listed.covered_invocations), ("expired", 2, 1));
}

#[test]
fn a_preview_says_what_would_have_been_covered_and_changes_nothing() {
    let mut bench = Bench::new();
    let first = bench.shows(1, NOON, vec![destination("a.example", 20.0)]);
    bench.shows(20, NOON + 3 * DAY, vec![destination("b.example", 15.0)]);
    let scope = |reach: &str, pattern: &str| Scope {
        reach: reach.to_owned(),
        function_id: function_id(1),
        feature: "novelty.destination".to_owned(),
        key_pattern: pattern.to_owned(),
        ..Scope::default()
    };
    bench.shows(2, NOON + 6 * DAY, vec![destination("a.example", 15.0), destination("c.example", 5.0)]);
    #[rustfmt::skip]
    let table = [
        ("as proposed",            vec![], 1, 1, true),
        ("another name",           vec![scope("function", "x.example")], 0, 0, false),
        ("the application",        vec![scope("application", "a.example")], 2, 2, true),
        ("a pattern",              vec![scope("application", "*.example")], 2, 3, true),
    ];
    for (row, scopes, incidents, rows, this) in table {
        let request = GiveVerdictRequest { scopes, ..request(&first, "expected") };
        let preview = bench.desk.preview(&request, &Fleet, NOW).unwrap();
        assert_eq!((preview.incidents, preview.evidence_rows, preview.covers_this), (incidents, rows, this), "{row}");
    }
    assert!(bench.desk.verdicts().is_empty());
    let preview = bench.desk.preview(&request(&first, "expected"), &Fleet, NOW).unwrap();
    assert_eq!(
        preview.summary,
        "For 30 days, 1 thing is expected. It would have covered 1 piece of evidence in 1 stored incident. This \
         incident would not have been told."
    );
}

#[test]
fn an_exception_is_never_a_mute() {
    let mut bench = Bench::new();
    let id = bench.shows(1, NOON, vec![destination("a.example", 20.0)]);
    let good = Scope {
        reach: "function".to_owned(),
        function_id: function_id(1),
        feature: "novelty.destination".to_owned(),
        key_pattern: "a.example".to_owned(),
        ..Scope::default()
    };
    #[rustfmt::skip]
    let table = [
        ("everything",          Scope { key_pattern: "*".into(), ..good.clone() }, "never a mute"),
        ("everything, longer",  Scope { key_pattern: "***".into(), ..good.clone() }, "never a mute"),
        ("no pattern",          Scope { key_pattern: String::new(), ..good.clone() }, "never a mute"),
        ("no feature",          Scope { feature: String::new(), ..good.clone() }, "no feature"),
        ("any feature",         Scope { feature: "novelty.*".into(), ..good.clone() }, "no feature"),
        ("everybody",           Scope { reach: "fleet".into(), ..good.clone() }, "reach must be"),
        ("nobody",              Scope { function_id: "x".into(), ..good.clone() }, "no function"),
        ("no amount",           Scope { feature: "repeats".into(), ..good.clone() }, "must say at_most"),
        ("an amount of what",   Scope { at_most: 3, ..good.clone() }, "has no at_most"),
        ("a key of an order",   Scope { feature: "order".into(), ..good.clone() }, "no key to match"),
    ];
    for (row, scope, expected) in table {
        let request = GiveVerdictRequest { scopes: vec![scope], ..request(&id, "expected") };
        let error = bench.desk.give(&request, &Fleet, NOW).unwrap_err();
        assert!(error.message.contains(expected), "{row}: {error}");
    }
    let long = GiveVerdictRequest { expires_in_seconds: 366 * 86_400, ..request(&id, "expected") };
    assert!(bench.desk.give(&long, &Fleet, NOW).unwrap_err().message.contains("365 days"));
    assert!(bench.desk.verdicts().is_empty());
}

#[test]
fn malicious_forbids_learning_and_hunts_in_what_is_stored_and_what_comes() {
    let mut bench = Bench::new();
    let steals = || vec![destination("evil.example", 20.0), plain(Feature::Order, 2.0)];
    let first = bench.shows(1, NOON, steals());
    let before = bench.shows(20, NOON + 3 * DAY, steals());
    let loose = FunctionRef { hash: 30, name: "f30", version: "" };
    bench.desk.sight(None, loose, &[destination("evil.example", 9.0)], NOW);
    let preview = bench.desk.preview(&request(&first, "malicious"), &Fleet, NOW).unwrap();
    assert_eq!((preview.incidents, preview.evidence_rows, preview.signature.len()), (1, 2, 1), "{}", preview.summary);

    let hunt = bench.give(&first, "malicious").unwrap();
    assert_eq!(bench.desk.forbidden(), [(1, NOON, NOON)]);
    let hits = |desk: &Desk| {
        let hits = desk.verdicts().into_iter().find(|one| one.id == hunt.id).unwrap().hits.clone();
        hits.into_iter().map(|hit| (hit.incident_id, hit.function.unwrap().name)).collect::<Vec<_>>()
    };
    let expected = [(before.clone(), "f20".to_owned()), (String::new(), "f30".to_owned())];
    assert_eq!(hits(&bench.desk), expected);
    assert_eq!(bench.kinds(&before), ["opened", "hunted"]);

    let after = bench.shows(40, NOON + 6 * DAY, steals());
    bench.shows(50, NOON + 9 * DAY, vec![destination("other.example", 20.0)]);
    assert_eq!(hits(&bench.desk).len(), 3);
    assert_eq!(hits(&bench.desk)[2], (after.clone(), "f40".to_owned()));

    bench.desk.undo(&hunt.id, "bob", "was a test", NOW + 1).unwrap();
    assert!(bench.desk.forbidden().is_empty());
    assert!(bench.desk.incident(&before).unwrap().hunts.is_empty());
    assert_eq!(bench.kinds(&first), ["opened", "verdict", "undone"]);
    let again = bench.desk.undo(&hunt.id, "bob", "", NOW + 2).unwrap_err();
    assert_eq!(again.code, 9, "{again}");
}

#[test]
fn a_new_incident_knows_the_hunt_that_found_it() {
    let mut bench = Bench::new();
    let steals = || vec![destination("evil.example", 20.0)];
    let first = bench.shows(1, NOON, steals());
    let hunt = bench.give(&first, "malicious").unwrap();
    let after = bench.shows(40, NOON + 6 * DAY, steals());
    assert_eq!(bench.desk.incident(&after).unwrap().hunts, [hunt.id]);
}

#[test]
fn verdicts_that_make_no_sense_are_refused_with_a_reason() {
    let mut bench = Bench::new();
    let id = bench.shows(1, NOON, vec![destination("a.example", 20.0)]);
    #[rustfmt::skip]
    let table = [
        ("unknown incident", request("inc-x", "unsure"), 5, "no incident `inc-x`"),
        ("unknown kind",     request(&id, "maybe"), 3, "say expected, malicious or unsure"),
        ("silent doubt",     GiveVerdictRequest { note: " ".into(), ..request(&id, "unsure") }, 3, "needs a note"),
        ("an epic",          GiveVerdictRequest { note: "x".repeat(1001), ..request(&id, "unsure") }, 3, "longer than"),
    ];
    for (row, request, code, expected) in table {
        let error = bench.desk.give(&request, &Fleet, NOW).unwrap_err();
        assert!(error.code == code && error.message.contains(expected), "{row}: {error:?}");
    }
    let note = GiveVerdictRequest { note: "a\u{202e}b\nc".to_owned(), ..request(&id, "unsure") };
    assert_eq!(bench.desk.give(&note, &Fleet, NOW).unwrap().note, "a\u{fffd}b c");
    assert_eq!(bench.desk.undo("ver-x", "", "", NOW).unwrap_err().code, 5);
}

#[test]
fn a_restart_keeps_all_and_retention_lets_go() {
    let mut bench = Bench::new();
    let id = bench.shows(1, NOON, vec![destination("a.example", 20.0)]);
    bench.give(&id, "expected").unwrap();
    let records = bench.desk.take_records();
    assert!(bench.desk.take_records().is_empty());
    let settings = Settings { retention: DAY, most_incidents: 100 };
    let mut restored = Desk::new(settings);
    for record in &records {
        assert!(restored.restore(record.kind, record.value.as_deref().unwrap()));
    }
    assert!(!restored.restore(Kind::Incident, &[0xff, 0xff]) && !restored.restore(Kind::Verdict, b""));
    assert_eq!(restored.incident(&id), bench.desk.incident(&id));
    assert_eq!(restored.exceptions(&Fleet), bench.desk.exceptions(&Fleet));

    restored.advance(NOW + 3 * DAY);
    assert!(restored.incident(&id).is_some(), "what is open stays");
    for change in bench.incidents.advance(NOON + 2 * DAY) {
        restored.file(&change, "active", NOW);
    }
    assert_eq!(restored.incident(&id).unwrap().incident.unwrap().state, "resolved");
    restored.advance(NOW + DAY);
    assert!(restored.incident(&id).is_some());
    restored.take_records();
    restored.advance(NOW + DAY + 1);
    assert!(restored.incident(&id).is_none());
    let gone = restored.take_records();
    assert_eq!(gone, [Record { kind: Kind::Incident, key: id, value: None }]);
    assert_eq!(restored.active(), (1, 0), "the exception holds until it expires");
}

#[test]
fn a_flood_meets_the_cap_and_the_newest_stay() {
    let mut bench = Bench::new();
    bench.desk.set(Settings { retention: DAY, most_incidents: 3 });
    for function in 0..10 {
        bench.shows(100 + function, NOON, vec![novel(Family::Operation, Risk::Write, &format!("op{function}"), 20.0)]);
        assert!(bench.desk.incidents().len() <= 3);
    }
    for _ in 0..5000 {
        bench.desk.sight(None, FunctionRef { hash: 1, name: "f", version: "" }, &[destination("x", 9.0)], NOW);
    }
    assert_eq!(bench.desk.loose.len(), MOST_LOOSE);
    let head = TimelineEntry { kind: "opened".to_owned(), ..TimelineEntry::default() };
    let mut timeline: Vec<TimelineEntry> =
        [head].into_iter().chain((0..400).map(|_| TimelineEntry::default())).collect();
    archive::bound(&mut timeline);
    assert_eq!((timeline.len(), timeline[0].kind.as_str()), (256, "opened"));
}
