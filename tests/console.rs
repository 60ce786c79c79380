//! The `console` extension of a running gateway: over HTTP, over gRPC and from the terminal.
#![allow(clippy::unwrap_used, reason = "a test says more by failing where it stands")]

mod support;

use std::process::Command;

use reqwest::{Method, StatusCode};
use sekisho::incidents::control::proto::{
    Event, Fleet, GetFleetRequest, GetIncidentRequest, GiveVerdictRequest, IncidentDetail, ListIncidentsRequest,
    ListIncidentsResponse, Verdict, WatchRequest,
};
use serde_json::{Value, json};
use support::{Gateway, eventually, http, recording};

const CONSOLE: &str = "extension console";

fn config(console: &str) -> String {
    format!(
        "
receivers: {{otlp: {{protocols: {{http: {{endpoint: 127.0.0.1:0}}}}}}}}
processors: {{faas: {{}}, anomaly: {{budget: 1/week, state: file_storage}}}}
exporters: {{file/alerts: {{path: alerts.jsonl}}, debug: {{verbosity: basic}}}}
extensions:
  file_storage: {{directory: state}}
  bearertokenauth: {{token: hunter2}}
  console: {{endpoint: 127.0.0.1:0, {console}}}
service:
  extensions: [file_storage, console, bearertokenauth]
  telemetry: {{metrics: {{level: none}}}}
  pipelines:
    traces: {{receivers: [otlp], processors: [faas, anomaly], exporters: [debug]}}
    logs/alerts: {{receivers: [anomaly], exporters: [file/alerts]}}
"
    )
}

/// A recorded week of two functions, and the requests of the hour in which one of them was taken over.
struct Recording {
    usual: Vec<String>,
    attack: Vec<String>,
}

impl Recording {
    fn read() -> Self {
        let (attack, usual) = recording::read();
        Self { usual, attack }
    }

    /// The attack once more, `hours` later.
    fn again(&self, hours: u64) -> Vec<String> {
        self.attack.iter().map(|line| recording::later(line, hours * recording::HOUR)).collect()
    }
}

/// `line` with two more attributes on each span.
fn with_secrets(line: &str) -> String {
    let mut request: Value = serde_json::from_str(line).unwrap();
    for group in request["resourceSpans"].as_array_mut().unwrap() {
        for scope in group["scopeSpans"].as_array_mut().unwrap() {
            for span in scope["spans"].as_array_mut().unwrap() {
                let attribute = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
                let attributes = span["attributes"].as_array_mut().unwrap();
                attributes.push(attribute("http.request.header.authorization", "hunter2"));
                attributes.push(attribute("app.note", "ask ann@mail.example"));
            }
        }
    }
    request.to_string()
}

async fn send(gateway: &Gateway, lines: &[String]) {
    let client = http();
    for line in lines {
        let url = format!("{}/v1/traces", gateway.http());
        let sent = client.post(url).header("content-type", "application/json").body(line.clone()).send().await.unwrap();
        assert_eq!(sent.status(), StatusCode::OK);
    }
}

fn console(gateway: &Gateway) -> String {
    format!("http://{}", gateway.endpoint(CONSOLE, "http"))
}

async fn get(gateway: &Gateway, path: &str) -> Value {
    let response = http().get(format!("{}/api/v1/{path}", console(gateway))).send().await.unwrap();
    let (status, body) = (response.status(), response.bytes().await.unwrap());
    assert_eq!(status, StatusCode::OK, "{path}: {}", String::from_utf8_lossy(&body));
    serde_json::from_slice(&body).unwrap()
}

async fn post(gateway: &Gateway, path: &str, message: &Value) -> Value {
    let request = http().post(format!("{}/api/v1/{path}", console(gateway))).header("content-type", "application/json");
    let response = request.body(message.to_string()).send().await.unwrap();
    let (status, body) = (response.status(), response.bytes().await.unwrap());
    assert_eq!(status, StatusCode::OK, "{path}: {}", String::from_utf8_lossy(&body));
    serde_json::from_slice(&body).unwrap()
}

/// One unary gRPC call.
async fn call<Q, R>(gateway: &Gateway, method: &'static str, message: Q) -> Result<R, tonic::Status>
where
    Q: prost::Message + 'static,
    R: prost::Message + Default + 'static,
{
    let channel = tonic::transport::Endpoint::new(console(gateway)).unwrap().connect().await.unwrap();
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<Q, R>::default();
    let path = http::uri::PathAndQuery::from_static(method);
    client.unary(tonic::Request::new(message), path, codec).await.map(tonic::Response::into_inner)
}

/// The binary asking the gateway: exit code, stdout, stderr.
async fn terminal(gateway: &Gateway, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sekisho"));
    command.args(arguments).args(["--server", &console(gateway)]).env_remove("SEKISHO_TOKEN").env("USER", "ann");
    command.stdin(std::process::Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

async fn incidents(gateway: &Gateway, state: &str) -> Vec<Value> {
    get(gateway, &format!("incidents?state={state}")).await["incidents"].as_array().unwrap().clone()
}

/// Scenario: a function is taken over; a person says that was expected, takes it back, calls it malicious.
/// Guarantees: the incident is the same in all three forms; what is expected makes no incident until it is taken back;
/// a restart keeps all; retention lets go.
#[tokio::test(flavor = "multi_thread")]
async fn an_attack_becomes_an_incident_a_verdict_and_an_exception_that_can_be_taken_back() {
    let recording = Recording::read();
    let gateway = Gateway::start(&config("")).await;
    send(&gateway, &recording.usual).await;
    let mut changes = Watching::begin(&gateway).await;
    let attack: Vec<String> = recording.attack.iter().map(|line| with_secrets(line)).collect();
    send(&gateway, &attack).await;

    // One incident, in three forms.
    let listed = incidents(&gateway, "open").await;
    assert_eq!(listed.len(), 1, "{listed:#?}");
    let id = listed[0]["id"].as_str().unwrap().to_owned();
    assert_eq!((&listed[0]["tier"], &listed[0]["functions"][0]["name"]), (&json!("page"), &json!("reserve-seat")));
    let wanted = ListIncidentsRequest { state: "open".to_owned(), ..ListIncidentsRequest::default() };
    let over_grpc: ListIncidentsResponse =
        call(&gateway, "/sekisho.control.v1.Control/ListIncidents", wanted).await.unwrap();
    assert_eq!(serde_json::to_value(&over_grpc.incidents).unwrap(), Value::from(listed.clone()));
    let (code, table, _) = terminal(&gateway, &["incidents", "--state", "open"]).await;
    assert!(code == Some(0) && table.contains(&id) && table.contains("attacker.example"), "{table}");
    let (_, json, _) = terminal(&gateway, &["incidents", "list", "--output", "json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["incidents"], Value::from(listed));

    // What is kept of it: the invocation beside an ordinary one, and nothing that nobody may read.
    let request = GetIncidentRequest { id: id.clone() };
    let detail: IncidentDetail = call(&gateway, "/sekisho.control.v1.Control/GetIncident", request).await.unwrap();
    let (abnormal, normal) = (detail.abnormal.unwrap(), detail.normal.unwrap());
    assert!(abnormal.spans.iter().any(|span| span.evidence), "{abnormal:#?}");
    assert!(!normal.spans.is_empty() && normal.trace_id != String::new());
    let text = get(&gateway, &format!("incidents/{id}")).await.to_string();
    for (secret, kept) in [("hunter2", false), ("ann@mail.example", false), ("[redacted]", true), ("app.note", true)] {
        assert_eq!(text.contains(secret), kept, "{secret}: {text}");
    }
    let (_, shown, _) = terminal(&gateway, &["incidents", "show", &id]).await;
    for part in ["Why", "attacker.example", "The invocation", "An ordinary one", "Timeline", "opened"] {
        assert!(shown.contains(part), "{part}:\n{shown}");
    }

    // Expected: shown before it holds, and then the same again is no incident.
    let (code, _, asked) = terminal(&gateway, &["verdict", &id, "expected", "--note", "a drill"]).await;
    assert_eq!(code, Some(2), "{asked}");
    assert!(asked.contains("novelty.destination") && asked.contains("would not have been told"), "{asked}");
    assert_eq!(get(&gateway, "verdicts").await["total"], 0, "asking changes nothing");
    let (code, given, error) =
        terminal(&gateway, &["verdict", &id, "expected", "--note", "a drill", "--yes", "--output", "json"]).await;
    assert_eq!(code, Some(0), "{error}");
    let verdict: Verdict = serde_json::from_str(&given).unwrap();
    assert_eq!((verdict.state.as_str(), verdict.author.as_str(), verdict.note.as_str()), ("active", "ann", "a drill"));
    assert!(incidents(&gateway, "open").await.is_empty(), "a person has said that it is over");
    send(&gateway, &recording.again(2)).await;
    assert!(incidents(&gateway, "open").await.is_empty());
    eventually("the exception counts what it covers", async || {
        let covered = get(&gateway, "verdicts?kind=expected").await["verdicts"][0].clone();
        (covered["covered_invocations"] != "0").then_some(())
    })
    .await;
    changes.until("incident", &id).await;
    changes.until("verdict", &verdict.id).await;

    // Taken back: it is one.
    let (code, said, _) = terminal(&gateway, &["verdict", "undo", &verdict.id, "--note", "no drill"]).await;
    assert!(code == Some(0) && said.contains("undone"), "{said}");
    send(&gateway, &recording.again(4)).await;
    let again = incidents(&gateway, "open").await;
    assert_eq!(again.len(), 1, "{again:#?}");
    let second = again[0]["id"].as_str().unwrap().to_owned();
    assert_ne!(second, id);

    // Malicious: the hunt finds the first one.
    let malicious = json!({"incident_id": second, "kind": "malicious", "author": "bob"});
    let hunt = post(&gateway, "verdicts", &malicious).await;
    assert_eq!(hunt["hits"][0]["incident_id"], json!(id), "{hunt:#}");
    assert_eq!(get(&gateway, &format!("incidents/{id}")).await["hunts"], json!([hunt["id"]]));
    let (_, exported, _) = terminal(&gateway, &["verdicts", "--export"]).await;
    let kinds: Vec<String> =
        exported.lines().map(|line| serde_json::from_str::<Verdict>(line).unwrap()).map(|one| one.state).collect();
    assert_eq!(kinds, ["undone", "active"]);

    // Functions, and the fleet.
    let (_, functions, _) = terminal(&gateway, &["functions"]).await;
    assert!(functions.contains("reserve-seat") && functions.contains(&second), "{functions}");
    let (_, function, _) = terminal(&gateway, &["functions", "show", "reserve-seat"]).await;
    for part in ["Operations", "dynamodb", "quarantined", "Measured", "duration", "Versions"] {
        assert!(function.contains(part), "{part}:\n{function}");
    }
    let fleet: Fleet = call(&gateway, "/sekisho.control.v1.Control/GetFleet", GetFleetRequest {}).await.unwrap();
    assert_eq!((fleet.functions, fleet.open_pages, fleet.active_hunts, fleet.persistent), (2, 1, 1, true));

    // A restart keeps all.
    let paths = ["incidents".to_owned(), format!("incidents/{id}"), "verdicts".to_owned(), "functions".to_owned()];
    let mut before = Vec::new();
    for path in &paths {
        before.push(get(&gateway, path).await);
    }
    let gateway = Gateway::start_in(gateway.terminate().await, &config(""), &[]).await;
    for (path, before) in paths.iter().zip(before) {
        assert_eq!(get(&gateway, path).await, before, "{path}");
    }

    // Retention lets go of what is over, and of nothing else.
    let brief = ["--set", "processors.anomaly.incidents.retention=1s"];
    let gateway = Gateway::start_in(gateway.terminate().await, &config(""), &brief).await;
    eventually("the first incident is forgotten", async || {
        let left = incidents(&gateway, "").await;
        (left.len() == 1 && left[0]["id"] == json!(second)).then_some(())
    })
    .await;
}

/// Changes as a browser hears them.
struct Watching {
    response: reqwest::Response,
    heard: String,
}

impl Watching {
    async fn begin(gateway: &Gateway) -> Self {
        let response = http().get(format!("{}/api/v1/watch", console(gateway))).send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, heard: String::new() }
    }

    /// Waits for an event of a kind about something.
    async fn until(&mut self, kind: &str, id: &str) {
        let is_it = |event: &str| event.starts_with(&format!("event: {kind}\n")) && event.contains(id);
        while !self.heard.split("\n\n").any(is_it) {
            let chunk = tokio::time::timeout(support::DEADLINE, self.response.chunk()).await;
            let chunk = chunk.unwrap_or_else(|_| panic!("no {kind} {id} in {}", self.heard)).unwrap().unwrap();
            self.heard.push_str(&String::from_utf8_lossy(&chunk));
        }
    }
}

/// Scenario: a console that asks who comes in, and makes links.
/// Guarantees: without the token nobody learns anything, in either form; a link opens its incident and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_refused_and_a_link_opens_its_incident_only() {
    let recording = Recording::read();
    let links = "public_url: 'https://sekisho.example', link_secret: 0123456789abcdef0123456789abcdef";
    let gateway = Gateway::start(&config(&format!("auth: {{authenticator: bearertokenauth}}, {links}"))).await;
    send(&gateway, &recording.usual).await;
    send(&gateway, &recording.attack).await;

    let url = |path: &str| format!("{}/api/v1/{path}", console(&gateway));
    for path in ["incidents", "fleet", "watch", "verdicts/export", "functions", "nothing"] {
        let refused = http().get(url(path)).send().await.unwrap();
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED, "{path}");
        assert!(refused.headers().contains_key("www-authenticate"), "{path}");
        let status: Value = serde_json::from_slice(&refused.bytes().await.unwrap()).unwrap();
        assert_eq!((&status["code"], &status["details"]), (&json!(16), &json!([])), "{path}");
    }
    let refused = call::<_, Fleet>(&gateway, "/sekisho.control.v1.Control/GetFleet", GetFleetRequest {}).await;
    assert_eq!(refused.unwrap_err().code(), tonic::Code::Unauthenticated);
    let (code, _, said) = terminal(&gateway, &["incidents"]).await;
    assert!(code == Some(1) && said.contains("SEKISHO_TOKEN"), "{said}");
    let token = gateway.directory.path().join("token");
    std::fs::write(&token, "hunter2\n").unwrap();
    let (code, listed, said) =
        terminal(&gateway, &["incidents", "--output", "json", "--token-file", token.to_str().unwrap()]).await;
    assert_eq!(code, Some(0), "{said}");
    let listed: ListIncidentsResponse = serde_json::from_str(&listed).unwrap();
    let id = &listed.incidents[0].id;

    // The alert has the link too, and its words.
    let alert = eventually("the alert is written", async || {
        std::fs::read_to_string(gateway.directory.path().join("alerts.jsonl")).ok().filter(|text| !text.is_empty())
    })
    .await;
    assert!(alert.contains("sekisho.incident.link"), "{alert}");
    let begin = format!("https://sekisho.example/#/incidents/{id}?link=");
    let link = listed.incidents[0].link.strip_prefix(&begin).unwrap().to_owned();
    let with_link = |method: Method, path: &str, token: &str| {
        http().request(method, url(path)).header("x-sekisho-link", token.to_owned())
    };
    let mut forged = link.clone();
    forged.replace_range(..2, "AB");
    #[rustfmt::skip]
    let table = [
        ("its incident",     format!("incidents/{id}"),        &link,   StatusCode::OK),
        ("another incident", "incidents/inc-0".to_owned(),     &link,   StatusCode::FORBIDDEN),
        ("all incidents",    "incidents".to_owned(),           &link,   StatusCode::FORBIDDEN),
        ("changes",          "watch".to_owned(),               &link,   StatusCode::FORBIDDEN),
        ("verdicts",         "verdicts/export".to_owned(),     &link,   StatusCode::FORBIDDEN),
        ("a forged link",    format!("incidents/{id}"),        &forged, StatusCode::FORBIDDEN),
    ];
    for (row, path, token, expected) in table {
        assert_eq!(with_link(Method::GET, &path, token).send().await.unwrap().status(), expected, "{row}");
    }
    let unsure = json!({"incident_id": id, "kind": "unsure", "note": "asked the owner"}).to_string();
    let given = with_link(Method::POST, "verdicts", &link).header("content-type", "application/json").body(unsure);
    let given: Value = serde_json::from_slice(&given.send().await.unwrap().bytes().await.unwrap()).unwrap();
    assert_eq!((&given["kind"], &given["author"]), (&json!("unsure"), &json!("link")), "{given}");
}

/// What it is, method, path, headers, body, status.
type Hostile<'a> = (&'a str, Method, &'a str, &'a [(&'a str, &'a str)], &'a str, u16);

/// Scenario: requests that no console or program of ours would send.
/// Guarantees: each is refused with a status that says why; the gateway answers on.
#[tokio::test(flavor = "multi_thread")]
async fn hostile_requests_are_refused_with_a_reason() {
    let gateway = Gateway::start(&config("")).await;
    let base = console(&gateway);
    let json = ("content-type", "application/json");
    let long = format!(r#"{{"note": "{}"}}"#, "x".repeat(300 << 10));
    let deep = "[".repeat(100_000);
    #[rustfmt::skip]
    let table: &[Hostile<'_>] = &[
        ("another host name",     Method::GET,    "/api/v1/fleet", &[("host", "evil.example")], "", 403),
        ("another page",          Method::POST,   "/api/v1/verdicts", &[json, ("origin", "https://evil.example")], "{}", 403),
        ("a page from a file",    Method::POST,   "/api/v1/verdicts", &[json, ("origin", "null")], "{}", 403),
        ("a form",                Method::POST,   "/api/v1/verdicts", &[("content-type", "text/plain")], "{}", 400),
        ("no content type",       Method::POST,   "/api/v1/verdicts", &[], "{}", 400),
        ("not JSON",              Method::POST,   "/api/v1/verdicts", &[json], "{", 400),
        ("too deep",              Method::POST,   "/api/v1/verdicts", &[json], &deep, 400),
        ("too large",             Method::POST,   "/api/v1/verdicts", &[json], &long, 400),
        ("of another type",       Method::POST,   "/api/v1/verdicts", &[json], r#"{"kind": 3}"#, 400),
        ("an unknown field",      Method::POST,   "/api/v1/verdicts", &[json], r#"{"scope": []}"#, 400),
        ("nobody's incident",     Method::POST,   "/api/v1/verdicts", &[json], r#"{"incident_id": "x", "kind": "unsure"}"#, 404),
        ("nobody's proposal",     Method::POST,   "/api/v1/proposals/x/decide", &[json], r#"{"approve": true}"#, 404),
        ("a page too large",      Method::GET,    "/api/v1/incidents?page_size=501", &[], "", 400),
        ("a page of nobody",      Method::GET,    "/api/v1/incidents?page_token=x", &[], "", 400),
        ("an unknown state",      Method::GET,    "/api/v1/incidents?state=shut", &[], "", 400),
        ("an unknown path",       Method::GET,    "/api/v1/", &[], "", 404),
        ("an older version",      Method::GET,    "/api/v0/fleet", &[], "", 404),
        ("a file of the system",  Method::GET,    "/..%2f..%2fetc/passwd", &[], "", 404),
        ("another method",        Method::DELETE, "/api/v1/verdicts", &[], "", 501),
        ("gRPC without a prefix", Method::POST,   "/sekisho.control.v1.Control/GetFleet", &[("content-type", "application/grpc")], "x", 200),
    ];
    for (row, method, path, headers, body, expected) in table {
        let mut request = http().request(method.clone(), format!("{base}{path}")).body((*body).to_owned());
        for (name, value) in *headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), *expected, "{row}");
        if *expected == 200 {
            assert_eq!(response.headers()["grpc-status"], "3", "{row}");
            continue;
        }
        let status: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        assert!(status["message"].as_str().is_some_and(|text| !text.is_empty()), "{row}: {status}");
    }
    for (row, method, code) in [
        ("unknown method", "/sekisho.control.v1.Control/Nothing", tonic::Code::Unimplemented),
        ("unknown service", "/other.Service/GetFleet", tonic::Code::Unimplemented),
        ("nobody's incident", "/sekisho.control.v1.Control/GiveVerdict", tonic::Code::NotFound),
    ] {
        let refused = call::<_, Event>(&gateway, method, GiveVerdictRequest::default()).await.unwrap_err();
        assert_eq!(refused.code(), code, "{row}: {refused}");
    }
    let refused = call::<_, Event>(&gateway, "/sekisho.control.v1.Control/Watch", WatchRequest {});
    assert!(tokio::time::timeout(std::time::Duration::from_millis(200), refused).await.is_err(), "it goes on");
    assert_eq!(get(&gateway, "fleet").await["health"], "ready");
    let (code, _, said) = terminal(&gateway, &["incidents", "show", "inc-x"]).await;
    assert!(code == Some(1) && said.contains("there is no incident `inc-x`"), "{said}");
}

/// Scenario: an escalation proposes to take a function out of service; a person looks at it in the console and approves.
/// Guarantees: nothing runs before; then the very command that was shown runs, once; nothing is decided twice; the audit
/// log tells of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_strong_action_runs_once_a_person_has_approved_it() {
    let recording = Recording::read();
    // What stands for the cloud's program writes down what it is told.
    let programs = tempfile::tempdir().unwrap();
    let (aws, told) = (programs.path().join("aws"), programs.path().join("told"));
    std::fs::write(&aws, format!("#!/bin/sh\necho \"aws $*\" >> '{}'\n", told.display())).unwrap();
    std::fs::set_permissions(&aws, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", programs.path().display(), std::env::var("PATH").unwrap());
    let escalation = "{storage: file_storage, playbooks: [{name: takeover, when: {tier: page}, \
                      stages: [{stage: act, actions: [quarantine: {}]}]}]}";
    let config = config("")
        .replace("exporters: {file/alerts: {path: alerts.jsonl},", &format!("exporters: {{escalation: {escalation},"))
        .replace("[file/alerts]", "[escalation]");
    let gateway = Gateway::start_with(&config, &[("PATH", &path)]).await;
    send(&gateway, &recording.usual).await;
    send(&gateway, &recording.attack).await;

    let proposal = eventually("it is proposed", async || {
        let waiting = get(&gateway, "proposals?state=waiting").await;
        (waiting["total"] == 1).then(|| waiting["proposals"][0].clone())
    })
    .await;
    let command = proposal["command"].as_str().unwrap();
    assert!(
        command.starts_with("aws lambda put-function-concurrency") && command.contains("reserve-seat"),
        "{command}"
    );
    let listed = incidents(&gateway, "open").await;
    assert_eq!(proposal["incident_id"], listed[0]["id"]);
    assert!(!told.exists(), "it ran before anybody said so");

    let (id, yes) = (proposal["id"].as_str().unwrap(), json!({"approve": true, "author": "ann", "note": "seen"}));
    let decided = post(&gateway, &format!("proposals/{id}/decide"), &yes).await;
    assert_eq!((&decided["decided_by"], &decided["command"]), (&json!("ann"), &json!(command)));
    eventually("it is executed", async || {
        (get(&gateway, "proposals?state=executed").await["total"] == 1).then_some(())
    })
    .await;
    assert_eq!(std::fs::read_to_string(&told).unwrap().trim(), command);
    let again = http().post(format!("{}/api/v1/proposals/{id}/decide", console(&gateway)));
    let again = again.header("content-type", "application/json").body(yes.to_string()).send().await.unwrap();
    assert_eq!(again.status(), StatusCode::CONFLICT);

    let directory = gateway.terminate().await;
    let log = std::fs::read_to_string(directory.path().join("state/escalation.audit.jsonl")).unwrap();
    assert!(log.contains("put-function-concurrency") && log.contains("ann"), "{log}");
    let (code, said, _) = support::sekisho(&["audit", "verify", "state/escalation.audit.jsonl"], directory.path());
    assert_eq!(code, Some(0), "{said}");
}
