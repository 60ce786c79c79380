//! An attack is played through the gateway with every exporter of alerts on; alerts outlive a kill.
#![allow(clippy::unwrap_used, clippy::float_cmp, reason = "a test says more by failing where it stands")]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    pin::Pin,
    process::Command,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{Method, Uri},
    response::Response,
};
use opentelemetry_proto::tonic::{
    collector::logs::v1::{ExportLogsServiceRequest, logs_service_client::LogsServiceClient},
    common::v1::{AnyValue, KeyValue, any_value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
};
use serde_json::{Value, json};
use support::{Gateway, eventually, input, recording, sekisho};
use tokio::io::AsyncReadExt as _;

/// What a destination does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Takes,
    IsAway,
    Throttles,
    /// Hangs up in the middle of its answer.
    Dies,
    Refuses,
}

/// Before each of the three words on an incident, a destination is in another kind of trouble.
const TURNS: [Turn; 6] = [Turn::IsAway, Turn::Takes, Turn::Throttles, Turn::Takes, Turn::Dies, Turn::Takes];

/// One request: what was done with it, method and body; null where there is none.
type Calls = BTreeMap<String, Vec<(Turn, Method, Value)>>;

/// Every destination at once, told apart by the first part of the path.
#[derive(Clone, Default)]
struct StandIns(Arc<Mutex<Calls>>);

impl StandIns {
    /// Bodies that were taken at a destination.
    fn taken(&self, of: &str) -> Vec<(Method, Value)> {
        let calls = self.0.lock().unwrap();
        let all = calls.get(of).unwrap_or_else(|| panic!("{of} heard nothing")).iter();
        all.filter(|(turn, method, _)| *turn == Turn::Takes && *method != Method::GET)
            .map(|(_, method, body)| (method.clone(), body.clone()))
            .collect()
    }

    /// How often a destination was in each kind of trouble.
    fn troubles(&self, of: &str) -> [usize; 3] {
        let calls = self.0.lock().unwrap();
        [Turn::IsAway, Turn::Throttles, Turn::Dies]
            .map(|trouble| calls[of].iter().filter(|(turn, ..)| *turn == trouble).count())
    }

    /// What is said of the incident at a destination, by `read`.
    fn story<'a, T>(&self, of: &'a str, read: impl Fn(&Value) -> T) -> (&'a str, Vec<T>) {
        (of, self.taken(of).iter().map(|(_, body)| read(body)).collect())
    }
}

/// The beginning of an answer.
struct BreaksOff(bool);

impl http_body::Body for BreaksOff {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        let begun = std::mem::replace(&mut self.0, true);
        let frame = http_body::Frame::data(Bytes::from_static(b"{"));
        Poll::Ready(Some(if begun { Err(std::io::Error::other("told to")) } else { Ok(frame) }))
    }
}

async fn take(State(stand_ins): State<StandIns>, method: Method, uri: Uri, body: Bytes) -> Response {
    let of = uri.path().trim_start_matches('/').split('/').next().unwrap().to_owned();
    let mut calls = stand_ins.0.lock().unwrap();
    let calls = calls.entry(of.clone()).or_default();
    let annotated = calls.iter().any(|(turn, method, _)| *turn == Turn::Takes && *method == Method::POST);
    let before = calls.iter().filter(|(_, method, _)| *method != Method::GET).count();
    let turn = match (of.as_str(), &method) {
        ("refusing", _) => Turn::Refuses,
        // Questions are answered.
        (_, &Method::GET) => Turn::Takes,
        _ => TURNS.get(before).copied().unwrap_or(Turn::Takes),
    };
    calls.push((turn, method.clone(), serde_json::from_slice(&body).unwrap_or_default()));
    let answer = match (of.as_str(), method) {
        ("grafana", Method::GET) if annotated => "[{\"id\": 7}]",
        ("grafana" | "alertmanager", Method::GET) => "[]",
        ("grafana", Method::POST) => "{\"id\": 7}",
        _ => "{}",
    };
    let response = Response::builder();
    match turn {
        Turn::Takes => response.body(Body::from(answer)),
        Turn::IsAway => response.status(503).body(Body::empty()),
        Turn::Throttles => response.status(429).header("retry-after", "1").body(Body::empty()),
        Turn::Refuses => response.status(400).body(Body::from("no")),
        Turn::Dies => response.header("content-length", "100").body(Body::new(BreaksOff(false))),
    }
    .unwrap()
}

fn config(at: std::net::SocketAddr, syslog: std::net::SocketAddr) -> String {
    let retry = "retry_on_failure: {initial_interval: 50ms, max_interval: 100ms}";
    let hook =
        |name: &str, rest: &str| format!("  webhook/{name}: {{endpoint: 'http://{at}/{name}', {rest}, {retry}}}\n");
    format!(
        "
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: 127.0.0.1:0}}}}}}}}
processors: {{faas: {{}}, anomaly: {{budget: 1/week}}}}
exporters:
  file/spans: {{path: spans.jsonl}}
  alertmanager: {{endpoint: 'http://{at}/alertmanager', {retry}}}
  pagerduty: {{routing_key: 0123456789abcdef0123456789abcdef, endpoint: 'http://{at}/pagerduty', {retry}}}
  slack: {{webhook_url: 'http://{at}/slack', {retry}}}
  microsoft_teams: {{webhook_url: 'http://{at}/teams', updates: true, {retry}}}
  grafana_annotations: {{endpoint: 'http://{at}/grafana', token: t, {retry}}}
  datadog:
    api_key: k
    events_endpoint: 'http://{at}/events'
    logs_endpoint: 'http://{at}/logs'
    metrics_endpoint: 'http://{at}/series'
    {retry}
  ocsf: {{endpoint: 'http://{at}/ocsf', {retry}}}
  splunk_hec: {{endpoint: 'http://{at}/splunk', token: t, {retry}}}
  syslog: {{endpoint: 127.0.0.1, port: {}, enable_octet_counting: true, tls: {{insecure: true}}, {retry}}}
  escalation:
    audit_log: audit.jsonl
    playbooks:
      - name: told
        when: {{tier: page}}
        stages: [{{stage: notify, actions: [webhook: {{endpoint: 'http://{at}/escalation', {retry}}}]}}]
{}{}{}service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines:
    traces: {{receivers: [otlp], processors: [faas, anomaly], exporters: [file/spans]}}
    logs/alerts:
      receivers: [anomaly]
      exporters: [alertmanager, pagerduty, slack, microsoft_teams, grafana_annotations, datadog, ocsf, splunk_hec, syslog, escalation, webhook/plain, webhook/cloud, webhook/refusing]
",
        syslog.port(),
        hook("plain", "signing_secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        hook("cloud", "format: cloudevents"),
        hook("refusing", "method: PUT"),
    )
}

/// Longer than an incident without news stays open.
const DAYS: u64 = 48 * recording::HOUR;

/// Half an hour after the recorded attack, more of it: another host, another table. Then, days later, business as usual.
fn second_wave(into: &Path) {
    let (attack, usual) = recording::read();
    let changed = |line: &String| line.replace("attacker.example", "second.example").replace("customers", "cards");
    let mut lines: Vec<String> =
        attack.iter().map(|line| recording::later(&changed(line), recording::HOUR / 2)).collect();
    assert!(!lines.is_empty());
    // One record alone would be taken for one with a wrong clock.
    lines.extend(usual[usual.len() - 10..].iter().map(|line| recording::later(line, DAYS)));
    std::fs::write(into, lines.join("\n") + "\n").unwrap();
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

/// Replays `recording`, and more of the attack; what is said on stdout and stderr.
async fn replay(directory: &Path, recording: PathBuf) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sekisho"));
    command.args(["replay", "--config", "config.yaml"]).arg(recording).arg("second.jsonl").current_dir(directory);
    let replayed = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    [replayed.stdout, replayed.stderr].map(|text| String::from_utf8(text).unwrap()).concat()
}

/// Scenario: two functions for eight days; one of them is taken over, and half an hour later reaches further.
/// Guarantees: at every destination exactly one page, updated, then resolved, although each is away, throttles and dies
/// once; one that refuses for good costs the others nothing.
#[tokio::test(flavor = "multi_thread")]
async fn every_destination_gets_one_page_updated_then_resolved() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let stand_ins = StandIns::default();
    let routes = axum::Router::new().fallback(take).with_state(stand_ins.clone());
    tokio::spawn(async move { axum::serve(listener, routes).await });

    let syslog = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let syslog_at = syslog.local_addr().unwrap();
    let heard = tokio::spawn(async move {
        let mut text = String::new();
        syslog.accept().await.unwrap().0.read_to_string(&mut text).await.unwrap();
        text
    });

    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("config.yaml"), config(at, syslog_at)).unwrap();
    second_wave(&directory.path().join("second.jsonl"));
    let said = replay(directory.path(), recording::path()).await;
    // The one that refuses for good says so by the exit code.
    assert!(said.contains("1 page, 0 queue"), "{said}");

    let (_, ids) = stand_ins.story("plain", |body| text(&body["incident"]["id"]));
    let id = ids[0].clone();
    let states = ["opened", "updated", "resolved"];
    let expected = |words: [&str; 3]| words.map(|word| (id.clone(), word.to_owned())).to_vec();
    let pairs = [
        (stand_ins.story("plain", |body| (text(&body["incident"]["id"]), text(&body["incident"]["state"]))), states),
        (
            stand_ins.story("cloud", |body| (text(&body["subject"]), text(&body["type"]))),
            ["sekisho.incident.opened", "sekisho.incident.updated", "sekisho.incident.resolved"],
        ),
        (
            stand_ins.story("pagerduty", |body| (text(&body["dedup_key"]), text(&body["event_action"]))),
            ["trigger", "trigger", "resolve"],
        ),
        (
            stand_ins.story("events", |body| {
                let event = &body["data"]["attributes"];
                (text(&event["aggregation_key"]), text(&event["attributes"]["status"]))
            }),
            ["error", "error", "ok"],
        ),
        (
            stand_ins.story("logs", |body| {
                let incident = &body[0]["sekisho"]["incident"];
                (text(&incident["id"]), text(&incident["state"]))
            }),
            states,
        ),
        (
            stand_ins.story("ocsf", |body| (text(&body[0]["finding_info"]["uid"]), text(&body[0]["activity_name"]))),
            ["Create", "Update", "Close"],
        ),
        (
            stand_ins.story("splunk", |body| (text(&body["event"]["incident_id"]), text(&body["event"]["state"]))),
            states,
        ),
    ];
    for ((of, told), words) in pairs {
        assert_eq!(told, expected(words), "{of}");
    }
    assert_eq!(stand_ins.taken("series").len(), 3);

    // Alertmanager: one set of labels, so one alert; it ends with the last post.
    let posts: Vec<Value> =
        stand_ins.taken("alertmanager").iter().flat_map(|(_, body)| body.as_array().unwrap().clone()).collect();
    let labels: BTreeSet<String> = posts.iter().map(|post| post["labels"].to_string()).collect();
    assert_eq!((labels.len(), &posts[0]["labels"]["incident_id"]), (1, &json!(id)), "{labels:?}");
    let states: Vec<String> = posts.iter().map(|post| text(&post["annotations"]["incident_state"])).collect();
    assert_eq!(states, ["opened", "updated", "resolved"]);
    let ends: Vec<String> = posts.iter().map(|post| text(&post["endsAt"])).collect();
    assert!(ends[2] < ends[0] && ends[2] < ends[1], "{ends:?}");

    // Grafana: one annotation, changed twice.
    let calls: Vec<String> = stand_ins.taken("grafana").iter().map(|(method, _)| method.to_string()).collect();
    assert_eq!(calls, ["POST", "PATCH", "PATCH"]);

    // Chat: words for people.
    let (_, slack) = stand_ins.story("slack", |body| text(&body["blocks"][0]["text"]["text"]));
    assert_eq!(slack, ["Look at it now: reserve-seat", "It is over: reserve-seat"], "updates are not wanted there");
    let (_, teams) = stand_ins.story("teams", |body| text(&body["attachments"][0]["content"]["body"][0]["text"]));
    assert_eq!(teams, ["Look at it now", "Look at it now: there is more to it", "It is over"]);

    // Each was in every kind of trouble, and none of it was seen above.
    for of in ["plain", "cloud", "pagerduty", "events", "logs", "series", "ocsf", "splunk", "alertmanager", "teams"] {
        assert_eq!(stand_ins.troubles(of), [1, 1, 1], "{of}");
    }
    assert_eq!(stand_ins.0.lock().unwrap()["refusing"].len(), 3, "what is refused for good is not offered again");

    // Escalation told of it once.
    let (_, told) = stand_ins.story("escalation", |body| {
        (text(&body["incident"]["id"]), text(&body["attributes"]["sekisho.escalation.stage"]))
    });
    assert_eq!(told, [(id.clone(), "notify".to_owned())]);
    let (code, whole, wrong) = sekisho(&["audit", "verify", "audit.jsonl"], directory.path());
    assert!(code == Some(0) && whole.contains("whole"), "{whole}{wrong}");

    // Syslog: three messages, each as long as it says.
    let stream = heard.await.unwrap();
    let mut rest = stream.as_str();
    let mut kinds = Vec::new();
    while let Some((length, behind)) = rest.split_once(' ') {
        let (message, next) = behind.split_at(length.parse().unwrap());
        assert!(message.contains(&format!("[sekisho@32473 id=\"{id}\"")), "{message}");
        kinds.push(message.split(' ').nth(5).unwrap().to_owned());
        rest = next;
    }
    assert_eq!(kinds, states_of_all());
}

fn states_of_all() -> [String; 3] {
    ["opened", "updated", "resolved"].map(str::to_owned)
}

/// Scenario: the same attack during a trial.
/// Guarantees: nobody hears of it; the report says what would have been told.
#[tokio::test(flavor = "multi_thread")]
async fn a_trial_tells_nobody_and_reports() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let stand_ins = StandIns::default();
    let routes = axum::Router::new().fallback(take).with_state(stand_ins.clone());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let directory = tempfile::tempdir().unwrap();
    let config = format!(
        "
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: 127.0.0.1:0}}}}}}}}
processors: {{faas: {{}}, anomaly: {{mode: observe, state: file_storage}}}}
exporters: {{file/spans: {{path: spans.jsonl}}, webhook: {{endpoint: 'http://{at}/plain'}}}}
extensions: {{file_storage: {{directory: state}}}}
service:
  extensions: [file_storage]
  telemetry: {{metrics: {{level: none}}}}
  pipelines:
    traces: {{receivers: [otlp], processors: [faas, anomaly], exporters: [file/spans]}}
    logs/alerts: {{receivers: [anomaly], exporters: [webhook]}}
"
    );
    std::fs::write(directory.path().join("config.yaml"), config).unwrap();
    second_wave(&directory.path().join("second.jsonl"));
    let said = replay(directory.path(), recording::path()).await;
    assert!(said.contains("1 page, 0 queue"), "{said}");
    assert!(stand_ins.0.lock().unwrap().is_empty(), "somebody was told");

    let kept = "state/anomaly.observed.jsonl";
    let lines = std::fs::read_to_string(directory.path().join(kept)).unwrap();
    assert!(lines.lines().all(|line| line.contains("sekisho.incident.mode") && line.contains("observe")), "{lines}");
    let (code, report, wrong) = sekisho(&["report", kept, "--since", "1d"], directory.path());
    assert_eq!(code, Some(0), "{wrong}");
    assert!(report.contains("1 pages, 0 for the day's work") && report.contains("reserve-seat"), "{report}");
    let (_, report, _) = sekisho(&["report", kept, "--output", "json"], directory.path());
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!((&report["pages"], &report["incidents"][0]["words"]), (&json!(1), &json!(3)), "{report}");
    // Spans are annotated all the same.
    assert!(std::fs::read_to_string(directory.path().join("spans.jsonl")).unwrap().contains("anomaly.reason"));
}

fn pair(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// A word on an incident, as a request.
fn word(state: &str, number: u64) -> ExportLogsServiceRequest {
    let seconds = input::START + number * 1_000_000_000;
    let record = LogRecord {
        event_name: "sekisho.incident".to_owned(),
        time_unix_nano: seconds,
        observed_time_unix_nano: seconds,
        attributes: vec![
            input::text("sekisho.incident.id", "inc-1"),
            input::text("sekisho.incident.state", state),
            input::text("sekisho.incident.tier", "page"),
            pair("sekisho.incident.priority", any_value::Value::IntValue(80)),
            input::text("faas.name", "checkout"),
        ],
        ..LogRecord::default()
    };
    let scope_logs = vec![ScopeLogs { log_records: vec![record], ..ScopeLogs::default() }];
    let resource_logs =
        ResourceLogs { resource: Some(input::function("checkout")), scope_logs, ..ResourceLogs::default() };
    ExportLogsServiceRequest { resource_logs: vec![resource_logs] }
}

/// Scenario: every destination is dead while an incident opens, is updated and resolved; then the gateway is killed.
/// Guarantees: after another start each destination hears all of it, once and in order, and escalation goes on.
#[tokio::test(flavor = "multi_thread")]
async fn alerts_outlive_a_kill() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    drop(listener);
    let sending = "sending_queue: {storage: file_storage}, \
                   retry_on_failure: {initial_interval: 50ms, max_interval: 100ms, max_elapsed_time: 0}";
    let retry = "retry_on_failure: {initial_interval: 50ms, max_interval: 100ms, max_elapsed_time: 0}";
    let config = format!(
        "
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: 127.0.0.1:0}}}}}}}}
exporters:
  pagerduty: {{routing_key: 0123456789abcdef0123456789abcdef, endpoint: 'http://{at}/pagerduty', {sending}}}
  webhook: {{endpoint: 'http://{at}/plain', {sending}}}
  escalation:
    storage: file_storage
    playbooks:
      - name: told
        stages: [{{stage: notify, actions: [webhook: {{endpoint: 'http://{at}/escalation', {retry}}}]}}]
extensions: {{file_storage: {{directory: state}}}}
service:
  extensions: [file_storage]
  pipelines:
    logs: {{receivers: [otlp], exporters: [pagerduty, webhook, escalation]}}
"
    );
    let gateway = Gateway::start(&config).await;
    let mut client = LogsServiceClient::connect(gateway.grpc()).await.unwrap();
    for (number, state) in states_of_all().iter().enumerate() {
        client.export(word(state, number as u64)).await.unwrap();
    }
    let directory = gateway.kill();

    let listener = tokio::net::TcpListener::bind(at).await.unwrap();
    let stand_ins = StandIns::default();
    let routes = axum::Router::new().fallback(take).with_state(stand_ins.clone());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let gateway = Gateway::start_in(directory, &config, &[]).await;
    let count = |of: &str| {
        let calls = stand_ins.0.lock().unwrap();
        calls.get(of).into_iter().flatten().filter(|(turn, ..)| *turn == Turn::Takes).count()
    };
    eventually("everybody has heard", async || {
        (count("pagerduty") >= 3 && count("plain") >= 3 && count("escalation") >= 1).then_some(())
    })
    .await;
    let directory = gateway.terminate().await;
    let (_, told) = stand_ins.story("plain", |body| text(&body["incident"]["state"]));
    assert_eq!(told, states_of_all());
    let (_, told) = stand_ins.story("pagerduty", |body| (text(&body["dedup_key"]), text(&body["event_action"])));
    assert_eq!(told, ["trigger", "trigger", "resolve"].map(|action| ("inc-1".to_owned(), action.to_owned())));
    assert_eq!(count("escalation"), 1);
    let (code, whole, wrong) = sekisho(&["audit", "verify", "state/escalation.audit.jsonl"], directory.path());
    assert!(code == Some(0) && whole.contains("whole"), "{whole}{wrong}");

    // Somebody tidies up.
    let log = directory.path().join("state/escalation.audit.jsonl");
    let lines = std::fs::read_to_string(&log).unwrap();
    let shorter: Vec<&str> =
        lines.lines().enumerate().filter(|(number, _)| *number != 1).map(|(_, line)| line).collect();
    std::fs::write(&log, shorter.join("\n") + "\n").unwrap();
    let (code, _, wrong) = sekisho(&["audit", "verify", "state/escalation.audit.jsonl"], directory.path());
    assert!(code == Some(1) && wrong.contains("line 2: does not follow"), "{wrong}");
}
