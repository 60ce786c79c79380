//! An attack is played through the gateway with every exporter of alerts on.
#![allow(clippy::unwrap_used, reason = "a test says more by failing where it stands")]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
};

use axum::{
    body::Bytes,
    extract::State,
    http::{Method, StatusCode, Uri},
};
use serde_json::{Value, json};

/// One request: method and body; null where there is none.
type Calls = BTreeMap<String, Vec<(Method, Value)>>;

/// Every destination at once, told apart by the first part of the path. Each refuses its first request for now.
#[derive(Clone, Default)]
struct StandIns(Arc<Mutex<Calls>>);

impl StandIns {
    /// Bodies that were taken at a destination.
    fn taken(&self, of: &str) -> Vec<(Method, Value)> {
        let calls = self.0.lock().unwrap();
        let mut all = calls.get(of).unwrap_or_else(|| panic!("{of} heard nothing")).clone();
        all.remove(0);
        all.retain(|(method, _)| *method != Method::GET);
        all
    }

    /// What is said of the incident at a destination, by `read`.
    fn story<'a, T>(&self, of: &'a str, read: impl Fn(&Value) -> T) -> (&'a str, Vec<T>) {
        (of, self.taken(of).iter().map(|(_, body)| read(body)).collect())
    }
}

async fn take(State(stand_ins): State<StandIns>, method: Method, uri: Uri, body: Bytes) -> (StatusCode, String) {
    let of = uri.path().trim_start_matches('/').split('/').next().unwrap().to_owned();
    let mut calls = stand_ins.0.lock().unwrap();
    let calls = calls.entry(of.clone()).or_default();
    let first = calls.is_empty();
    let annotated = calls.iter().skip(1).any(|(method, _)| *method == Method::POST);
    calls.push((method.clone(), serde_json::from_slice(&body).unwrap_or_default()));
    let answer = match (of.as_str(), method) {
        _ if first => return (StatusCode::SERVICE_UNAVAILABLE, String::new()),
        ("grafana", Method::GET) if annotated => "[{\"id\": 7}]",
        ("grafana" | "alertmanager", Method::GET) => "[]",
        ("grafana", Method::POST) => "{\"id\": 7}",
        _ => "{}",
    };
    (StatusCode::OK, answer.to_owned())
}

fn config(at: std::net::SocketAddr) -> String {
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
{}{}service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines:
    traces: {{receivers: [otlp], processors: [faas, anomaly], exporters: [file/spans]}}
    logs/alerts:
      receivers: [anomaly]
      exporters: [alertmanager, pagerduty, slack, microsoft_teams, grafana_annotations, datadog, ocsf, splunk_hec, webhook/plain, webhook/cloud]
",
        hook("plain", "signing_secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        hook("cloud", "format: cloudevents"),
    )
}

/// Half an hour after the recorded attack, more of it: another host, another table.
fn second_wave(recording: &Path, into: &Path) {
    let packed = std::fs::read(recording).unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut zstd::stream::read::Decoder::new(&packed[..]).unwrap(), &mut text).unwrap();
    let attack = text.lines().filter(|line| line.contains("attacker.example"));
    let later: Vec<String> = attack
        .map(|line| {
            let changed = line.replace("attacker.example", "second.example").replace("customers", "cards");
            let mut request: Value = serde_json::from_str(&changed).unwrap();
            postpone(&mut request);
            request.to_string()
        })
        .collect();
    assert!(!later.is_empty());
    std::fs::write(into, later.join("\n") + "\n").unwrap();
}

fn postpone(value: &mut Value) {
    match value {
        Value::Object(map) => {
            let invocation = map.get("key").is_some_and(|key| key == "faas.invocation_id");
            for (key, value) in map {
                if key.ends_with("TimeUnixNano") || key == "timeUnixNano" {
                    let nanos: u64 = value.as_str().unwrap().parse().unwrap();
                    *value = (nanos + 1_800_000_000_000).to_string().into();
                } else if key == "traceId" {
                    *value = format!("ff{}", &value.as_str().unwrap()[2..]).into();
                } else if invocation && key == "value" {
                    value["stringValue"] = format!("again-{}", value["stringValue"].as_str().unwrap()).into();
                } else {
                    postpone(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(postpone),
        _ => {}
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

/// Scenario: two functions for eight days; one of them is taken over, and half an hour later reaches further.
/// Guarantees: at every destination exactly one page, updated, then resolved, although each refuses at first.
#[tokio::test(flavor = "multi_thread")]
async fn every_destination_gets_one_page_updated_then_resolved() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let stand_ins = StandIns::default();
    let routes = axum::Router::new().fallback(take).with_state(stand_ins.clone());
    tokio::spawn(async move { axum::serve(listener, routes).await });

    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("config.yaml"), config(at)).unwrap();
    let recording = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/clients/lambda/recording.jsonl.zst");
    second_wave(&recording, &directory.path().join("second.jsonl"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_sekisho"));
    command
        .args(["replay", "--config", "config.yaml"])
        .arg(recording)
        .arg("second.jsonl")
        .current_dir(directory.path());
    let replayed = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let report = String::from_utf8(replayed.stdout).unwrap();
    assert!(replayed.status.success(), "{report}{}", String::from_utf8_lossy(&replayed.stderr));
    assert!(report.contains("1 page, 0 queue"), "{report}");

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
}
