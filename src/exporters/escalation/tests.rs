use std::{path::Path, time::Instant};

use serde_json::{Value, json};

use super::{
    super::{
        alert::sample::{alert, record},
        tests::destination::{Act, Destination, soon},
    },
    book::{Step, Task},
    playbook::Kind,
    proposals::Offer,
    *,
};
use crate::{
    config::Kind as Section,
    exporters::alert::{Alert, Tier, sample::batch},
    incidents::{control::proto::Proposal, escalation::audit, proposals::Refused},
    pipeline::probe,
};

const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;
/// When tests begin.
const DAY: u64 = 86_400 * SECOND;

fn playbooks(yaml: &str) -> Vec<Playbook> {
    let (config, wrong) =
        probe::config::<Config>(Section::Exporter, &format!("{{audit_log: a, storage: s, playbooks: [{yaml}]}}"));
    assert_eq!(wrong, "");
    config.playbooks
}

fn store(directory: &Path) -> Arc<Store> {
    Arc::new(Store::open(&directory.join("store"), true, "test").unwrap())
}

fn open(directory: &Path, store: &Arc<Store>, now: u64) -> Book {
    let place = Some((store.clone(), "escalation".to_owned()));
    Book::open(place, &directory.join("audit.jsonl"), "test", Arc::default(), now).unwrap()
}

/// Says `state` of incident `id` to `book`.
fn hear(book: &Book, id: &str, state: &str, tier: &str, now: u64) {
    let batch = alert(id, state, tier);
    let heard = Alert::all(&batch.body).next().flatten().unwrap();
    book.hear(heard, &batch.body, &[], now).unwrap();
}

/// Stages whose actions are due, and which are done at once.
fn due(book: &Book, playbooks: &[Playbook], now: u64) -> Vec<(String, usize)> {
    let tasks = book.due(playbooks, now).unwrap();
    let mut found = Vec::new();
    for task in tasks {
        book.done(&task, "done", json!({}), now).unwrap();
        if let Task::Act { incident, step, .. } = task {
            found.push((incident, step.stage));
        }
    }
    found
}

fn answer(book: &Book, id: &str, kind: &str) {
    let answer = Answer { incident: id.to_owned(), author: "eve".to_owned(), kind: kind.to_owned() };
    book.answered(&answer, DAY).unwrap();
}

/// Events in the audit log of one incident.
fn events(directory: &Path, incident: &str) -> Vec<String> {
    let path = directory.join("audit.jsonl");
    audit::verify(&path, None).unwrap();
    let lines = std::fs::read_to_string(path).unwrap();
    let entries = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["entry"].clone());
    let of = entries.filter(|entry| entry["incident"] == incident);
    of.map(|entry| {
        let stage = entry["stage"].as_str().map(|stage| format!(" {stage}")).unwrap_or_default();
        format!("{}{stage}", entry["event"].as_str().unwrap())
    })
    .collect()
}

const STEPS: &str = "{name: p, when: {tier: queue}, stages: [{stage: observe}, \
    {stage: notify, after: 1m, actions: [exec: {command: [a]}]}, \
    {stage: ask, after: 10m, actions: [exec: {command: [a]}]}, \
    {stage: act, after: 15m, actions: [quarantine: {}]}]}";

#[test]
fn stages_come_in_their_time_until_somebody_answers() {
    let table: [(&str, &dyn Fn(&Book), &[usize], &str); 6] = [
        ("nobody answers", &|_| {}, &[1, 2, 3], "entered act"),
        ("it ends", &|book| hear(book, "i", "resolved", "page", DAY), &[1], "passed over act"),
        ("it is expected", &|book| answer(book, "i", "expected"), &[1], "passed over act"),
        ("nobody knows", &|book| answer(book, "i", "unsure"), &[1], "passed over act"),
        ("it is malicious", &|book| answer(book, "i", "malicious"), &[1, 3], "entered act"),
        ("another is expected", &|book| answer(book, "j", "expected"), &[1, 2, 3], "entered act"),
    ];
    for (row, then, expected, last) in table {
        let directory = tempfile::tempdir().unwrap();
        let (store, playbooks) = (store(directory.path()), playbooks(STEPS));
        let book = open(directory.path(), &store, DAY);
        hear(&book, "i", "opened", "page", DAY);
        assert_eq!(due(&book, &playbooks, DAY), [], "{row}: observing does nothing");
        assert_eq!(due(&book, &playbooks, DAY + MINUTE - 1), [], "{row}: not before its time");
        let mut stages: Vec<usize> = due(&book, &playbooks, DAY + MINUTE).iter().map(|(_, stage)| *stage).collect();
        then(&book);
        for minute in [9, 10, 14, 15, 60] {
            stages.extend(due(&book, &playbooks, DAY + minute * MINUTE).iter().map(|(_, stage)| *stage));
        }
        assert_eq!(stages, expected, "{row}");
        let events = events(directory.path(), "i");
        assert_eq!(events[..2], ["began", "entered observe"], "{row}");
        assert!(events.iter().any(|event| event == last), "{row}: {events:?}");
    }
}

#[test]
fn playbooks_are_for_some_incidents() {
    #[rustfmt::skip]
    let table = [
        ("{}", true),
        ("{tier: page}", true),
        ("{minimum_priority: 83}", true),
        ("{minimum_priority: 84}", false),
        ("{techniques: [T1041]}", true),
        ("{techniques: [T1552, T1041]}", true),
        ("{techniques: [T104]}", false),
        ("{functions: [checkout]}", true),
        ("{functions: ['check*']}", true),
        ("{functions: ['*ck*t']}", true),
        ("{functions: ['pay-*', 'check']}", false),
    ];
    let batch = alert("i", "opened", "page");
    let alert = Alert::all(&batch.body).next().flatten().unwrap();
    for (when, fits) in table {
        let yaml = format!("{{name: p, when: {when}, stages: [{{stage: observe}}]}}");
        assert_eq!(playbooks(&yaml)[0].when.fits(&alert), fits, "{when}");
    }
    let lower = Alert { tier: Tier::Queue, techniques: vec!["T1552.005 (x)".to_owned()], ..alert };
    let when =
        |yaml: &str| playbooks(&format!("{{name: p, when: {yaml}, stages: [{{stage: observe}}]}}"))[0].when.clone();
    assert!(!when("{tier: page}").fits(&lower));
    assert!(when("{techniques: [T1552]}").fits(&lower), "a sub-technique counts");
}

#[test]
fn silence_and_repetition_are_waited_for() {
    let act = "stages: [{stage: notify, actions: [exec: {command: [a]}]}]";
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let book = open(directory.path(), &store, DAY);
    let silent = playbooks(&format!("{{name: silent, when: {{silence: 15m}}, {act}}}"));
    hear(&book, "ignored", "opened", "page", DAY);
    hear(&book, "answered", "opened", "page", DAY);
    assert_eq!(due(&book, &silent, DAY + 14 * MINUTE), []);
    answer(&book, "answered", "unsure");
    assert_eq!(due(&book, &silent, DAY + 15 * MINUTE), [("ignored".to_owned(), 0)]);
    assert_eq!(due(&book, &silent, DAY + 60 * MINUTE), [], "once");

    let often = playbooks(&format!("{{name: often, when: {{repetition: {{times: 3, within: 1h}}}}, {act}}}"));
    assert_eq!(due(&book, &often, DAY + 30 * MINUTE), [], "two within the hour");
    hear(&book, "third", "opened", "page", DAY + 61 * MINUTE);
    assert_eq!(due(&book, &often, DAY + 61 * MINUTE), [], "the others are too long ago");
    hear(&book, "fourth", "opened", "page", DAY + 90 * MINUTE);
    hear(&book, "fifth", "opened", "page", DAY + 91 * MINUTE);
    let found = due(&book, &often, DAY + 91 * MINUTE);
    let ids: Vec<&str> = found.iter().map(|(id, _)| id.as_str()).collect();
    assert!(ids.contains(&"fifth") && ids.contains(&"fourth") && ids.contains(&"third"), "{ids:?}");
}

fn offer(id: &str, command: &[&str]) -> Offer {
    let proposal = Proposal {
        id: id.to_owned(),
        state: "waiting".to_owned(),
        made: DAY,
        expires: u64::MAX,
        ..Proposal::default()
    };
    let command = command.iter().map(|argument| (*argument).to_owned()).collect();
    Offer { proposal, command, timeout_seconds: 20, what: "quarantine of checkout".to_owned(), started: false }
}

fn task(id: &str) -> Task {
    let step = Step { stage: 3, action: 0 };
    Task::Act { incident: id.to_owned(), playbook: "p".to_owned(), step }
}

const FREE: Limits = Limits { cool_down: Duration::ZERO, maximum_per_hour: 100 };

fn state(book: &Book, id: &str) -> String {
    book.lock().offers[id].proposal.state.clone()
}

#[test]
fn a_restart_goes_on_where_it_was_and_runs_nothing_strong_twice() {
    let directory = tempfile::tempdir().unwrap();
    let (store, playbooks) = (store(directory.path()), playbooks(STEPS));
    let book = open(directory.path(), &store, DAY);
    hear(&book, "i", "opened", "page", DAY);
    assert_eq!(due(&book, &playbooks, DAY), []);
    assert_eq!(book.due(&playbooks, DAY + MINUTE).unwrap().len(), 1, "under way when the process ends");
    for id in ["waits", "approved", "running"] {
        book.propose(&task(id), offer(id, &["true"]), DAY).unwrap();
    }
    book.decide("approved", (true, "eve", "go"), FREE, DAY).unwrap();
    book.decide("running", (true, "eve", "go"), FREE, DAY).unwrap();
    assert!(book.start("running", DAY).unwrap().is_some());
    drop(book);

    let book = open(directory.path(), &store, DAY + 2 * MINUTE);
    let states: Vec<String> = ["waits", "approved", "running"].iter().map(|id| state(&book, id)).collect();
    assert_eq!(states, ["waiting", "approved", "failed"]);
    let mut tasks = book.due(&playbooks, DAY + 10 * MINUTE).unwrap();
    tasks.sort();
    let stages = tasks.iter().filter_map(|task| match task {
        Task::Act { step, .. } => Some(step.stage),
        Task::Execute(_) => None,
    });
    assert_eq!(stages.collect::<Vec<_>>(), [1, 2], "what was not done, and what has become due");
    assert!(tasks.contains(&Task::Execute("approved".to_owned())) && tasks.len() == 3, "{tasks:?}");
    assert!(book.start("running", DAY).unwrap().is_none());
    drop(book);

    // Somebody shortens the log, or edits it, while the gateway is down.
    let path = directory.path().join("audit.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("eve", "bob")).unwrap();
    drop(open(directory.path(), &store, DAY + 11 * MINUTE));
    let fresh = std::fs::read_to_string(&path).unwrap();
    assert!(fresh.contains("\"event\":\"broken\"") && fresh.contains("was changed"), "{fresh}");
    assert!(directory.path().join("audit.jsonl.broken-0").exists());
}

#[test]
fn decisions_are_taken_once_in_time_and_within_limits() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let book = open(directory.path(), &store, DAY);
    let mut short = offer("short", &["true"]);
    short.proposal.expires = DAY + MINUTE;
    book.propose(&task("short"), short, DAY).unwrap();
    for id in ["first", "second", "third", "no"] {
        let mut offer = offer(id, &["true"]);
        if id == "third" {
            "rollback of checkout".clone_into(&mut offer.what);
        }
        book.propose(&task(id), offer, DAY).unwrap();
    }
    let limits = Limits { cool_down: Duration::from_mins(10), maximum_per_hour: 2 };
    let decide = |id: &str, approve, now| match book.decide(id, (approve, "eve", ""), limits, now) {
        Ok(proposal) => proposal.state,
        Err(Refused::Unknown(id)) => format!("unknown {id}"),
        Err(Refused::NotNow(why)) => why,
    };
    assert_eq!(decide("nothing", true, DAY), "unknown nothing");
    assert!(decide("short", true, DAY + MINUTE).contains("expired"));
    assert_eq!(decide("first", true, DAY), "approved");
    assert!(decide("first", true, DAY).contains("approved already"));
    assert!(decide("second", true, DAY + 9 * MINUTE).contains("cooling down"));
    assert_eq!(decide("third", true, DAY + 9 * MINUTE), "approved", "another action cools down by itself");
    assert!(decide("second", true, DAY + 30 * MINUTE).contains("maximum"));
    assert_eq!(decide("no", false, DAY + 30 * MINUTE), "rejected", "a refusal is always possible");
    assert_eq!(decide("second", true, DAY + 61 * MINUTE), "approved");
    book.due(&[], DAY + 62 * MINUTE).unwrap();
    assert_eq!(state(&book, "short"), "expired");
}

/// A running exporter, with all it stands on.
fn escalation(directory: &Path, playbooks: &str, more: &str) -> (Next, Context) {
    let context = probe::context("escalation", directory);
    context.shared.put("file_storage", store(directory));
    let yaml = format!("{{storage: file_storage, audit_log: audit.jsonl, {more} playbooks: [{playbooks}]}}");
    let (config, wrong) = probe::config::<Config>(Section::Exporter, &yaml);
    assert_eq!(wrong, "");
    (config.build(&context).unwrap(), context)
}

async fn eventually<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Scenario: a page of a function on AWS; the webhook is away at first.
/// Guarantees: it is told once, signed; the program knows the incident; the proposal carries the exact command, is found by
/// the control API, and is executed once it is approved, not before.
#[tokio::test(flavor = "multi_thread")]
async fn people_are_told_programs_run_and_strong_actions_wait() {
    let destination = Destination::new([Act::Http(503, &[], vec![])]).await;
    let directory = tempfile::tempdir().unwrap();
    let hook = format!(
        "webhook: {{endpoint: 'http://{}/', signing_secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw, \
         retry_on_failure: {{initial_interval: 10ms, max_interval: 20ms}}}}",
        destination.address
    );
    let program = "exec: {command: [sh, -c, 'echo \"$SEKISHO_FUNCTION $TEAM $SEKISHO_STAGE\"; exit 3'], \
                   environment: {TEAM: shop}}";
    let playbook = format!(
        "{{name: p, stages: [{{stage: notify, actions: [{{{hook}}}, {{{program}}}]}}, \
         {{stage: act, actions: [quarantine: {{}}, rollback: {{alias: live}}, revoke: {{role: '{{function}}-role'}}]}}]}}"
    );
    let (exporter, context) = escalation(directory.path(), &playbook, "");
    let mut page = record("inc-1", "opened", "page");
    page.attributes.push(crate::otlp::sample::pair(
        "cloud.provider",
        opentelemetry_proto::tonic::common::v1::any_value::Value::StringValue("aws".to_owned()),
    ));
    assert_eq!(exporter.consume(batch(vec![page])).await, Outcome::Accepted);

    let registry = context.shared.get::<Registry>(Registry::NAME).unwrap();
    let proposals = eventually("proposals", || Some(registry.list()).filter(|all| all.len() == 3)).await;
    let commands: Vec<&str> = proposals.iter().map(|one| one.command.as_str()).collect();
    let quarantine = "aws lambda put-function-concurrency --function-name 123456789012:function:checkout \
                      --reserved-concurrent-executions 0 --region eu-west-1";
    assert!(commands.contains(&quarantine), "{commands:?}");
    assert!(commands.iter().any(|command| command.contains("--function-version 6")), "{commands:?}");
    assert!(proposals.iter().all(|one| one.state == "waiting" && one.incident_id == "inc-1" && one.stage == "p/act"));

    let taken = eventually("the webhook", || destination.taken().pop()).await;
    let seen = destination.seen();
    assert_eq!(seen.len(), 2, "refused once, taken once");
    assert!(seen[1].headers.contains_key("webhook-signature"));
    assert!(seen[1].headers["webhook-id"].to_str().unwrap().ends_with("-p.0.0"));
    let document: Value = serde_json::from_slice(&taken).unwrap();
    assert_eq!(document["attributes"]["sekisho.escalation.stage"], "notify");

    // A proposal of our own: the tools of the clouds are not here.
    let book = context.shared.get::<Book>("escalation book of escalation").unwrap();
    book.propose(&task("own"), offer("own", &["false"]), wall_clock()).unwrap();
    let refused = registry.decide("no such", true, "eve", "").unwrap_err();
    assert_eq!(refused, Refused::Unknown("no such".to_owned()));
    let at = directory.path().join("executed");
    let mut offer = offer("own-2", &["touch"]);
    offer.command.push(at.display().to_string());
    book.propose(&task("own-2"), offer, wall_clock()).unwrap();
    assert!(!at.exists(), "not before it is approved");
    assert_eq!(registry.decide("own-2", true, "eve", "go ahead").unwrap().state, "approved");
    eventually("the execution", || (state(&book, "own-2") == "executed").then_some(())).await;
    assert!(at.exists());
    registry.decide("own", false, "eve", "").unwrap();
    soon("draining", exporter.drain()).await;
    let log = std::fs::read_to_string(directory.path().join("audit.jsonl")).unwrap();
    assert!(log.contains("exit status: 3: checkout shop notify"), "{log}");
    audit::verify(&directory.path().join("audit.jsonl"), None).unwrap();
    let count = |outcome| context.metrics.sum("sekisho_escalation_actions", Some(("outcome", outcome))) as u64;
    assert_eq!((count("done"), count("failed"), count("proposed")), (2, 1, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_executes_nothing_and_a_cool_down_holds_back() {
    let directory = tempfile::tempdir().unwrap();
    let ran = directory.path().join("ran");
    let playbook = format!(
        "{{name: p, stages: [{{stage: notify, actions: [exec: {{command: [sh, -c, 'echo x >> {}']}}]}}]}}",
        ran.display()
    );
    let (exporter, context) = escalation(directory.path(), &playbook, "dry_run: true,");
    exporter.consume(alert("inc-1", "opened", "page")).await;
    let count = |context: &Context, outcome| {
        context.metrics.sum("sekisho_escalation_actions", Some(("outcome", outcome))) as u64
    };
    eventually("the dry run", || (count(&context, "done") == 1).then_some(())).await;
    assert!(!ran.exists());
    let book = context.shared.get::<Book>("escalation book of escalation").unwrap();
    let mut dry = offer("dry", &["touch"]);
    dry.command.push(ran.display().to_string());
    dry.proposal.dry_run = true;
    book.propose(&task("dry"), dry, wall_clock()).unwrap();
    let registry = context.shared.get::<Registry>(Registry::NAME).unwrap();
    registry.decide("dry", true, "eve", "").unwrap();
    eventually("the dry execution", || (state(&book, "dry") == "executed").then_some(())).await;
    assert!(!ran.exists());
    soon("draining", exporter.drain()).await;
    drop((exporter, book, context));

    let other = tempfile::tempdir().unwrap();
    let (exporter, context) = escalation(other.path(), &playbook, "cool_down: 1h,");
    exporter.consume(alert("inc-1", "opened", "page")).await;
    exporter.consume(alert("inc-2", "opened", "page")).await;
    eventually("both", || (count(&context, "done") + count(&context, "held") == 2).then_some(())).await;
    assert_eq!(std::fs::read_to_string(&ran).unwrap(), "x\n", "the second is cooling down");
    soon("draining", exporter.drain()).await;
}

#[test]
fn the_configuration_is_checked() {
    let with = |playbook: &str| format!("{{storage: file_storage, playbooks: [{playbook}]}}");
    let stage = |stage: &str| with(&format!("{{name: p, stages: [{stage}]}}"));
    #[rustfmt::skip]
    let table = [
        (with(STEPS), ""),
        (stage("{stage: act, actions: [quarantine: {}, rollback: {version: '7'}, revoke: {role: '{function}-r'}]}"), ""),
        ("{}".to_owned(), "playbooks"),
        (format!("{{playbooks: [{STEPS}]}}"), "audit_log"),
        (format!("{{playbooks: [{STEPS}], audit_log: a}}"), "forgotten"),
        (format!("{{storage: s, maximum_per_hour: 0, playbooks: [{STEPS}]}}"), "maximum_per_hour"),
        (with(&format!("{STEPS}, {STEPS}")), "this name"),
        (with("{name: a b, stages: [{stage: observe}]}"), "name"),
        (with("{name: p}"), "stages"),
        (with("{name: p, when: {techniques: [credential access]}, stages: [{stage: observe}]}"), "ATT&CK"),
        (with("{name: p, when: {repetition: {times: 1}}, stages: [{stage: observe}]}"), "repetition"),
        (with("{name: p, when: {minimum_priority: 101}, stages: [{stage: observe}]}"), "minimum_priority"),
        (stage("{stage: notify}"), "actions"),
        (stage("{stage: observe, actions: [exec: {command: [a]}]}"), "observing"),
        (stage("{stage: ask, actions: [quarantine: {}]}"), "strong"),
        (stage("{stage: act, actions: [quarantine: ]}"), "exactly one"),
        (stage("{stage: act, actions: [{quarantine: {}, rollback: {}}]}"), "exactly one"),
        (stage("{stage: act, actions: [revoke: {}]}"), "role"),
        (stage("{stage: act, actions: [rollback: {alias: '--x'}]}"), "alias"),
        (stage("{stage: notify, actions: [exec: {}]}"), "command"),
        (stage("{stage: notify, actions: [exec: {command: [a], timeout: 0}]}"), "timeout"),
        (stage("{stage: notify, actions: [webhook: {}]}"), "endpoint"),
        (stage("{stage: notify, actions: [webhook: {endpoint: 'http://a', sending_queue: {}}]}"), "sending_queue"),
        (stage("{stage: ask, actions: [exec: {command: [a]}]}, {stage: notify, actions: [exec: {command: [a]}]}"), "comes before"),
        (stage("{stage: observe, after: 5m}, {stage: notify, actions: [exec: {command: [a]}]}"), "before the stage above"),
    ];
    for (yaml, wrong) in table {
        let (_, said) = probe::config::<Config>(Section::Exporter, &yaml);
        assert_eq!(said.is_empty(), wrong.is_empty(), "{yaml}: {said}");
        assert!(said.contains(wrong), "{yaml}: {said}");
    }
    assert_eq!(Kind::Act.name(), "act");
}
