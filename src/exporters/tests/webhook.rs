use opentelemetry_proto::tonic::{
    collector::logs::v1::ExportLogsServiceRequest,
    common::v1::{ArrayValue, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    resource::v1::Resource,
};
use prost::Message as _;
use serde_json::json;

use super::{
    super::{alert::sample, webhook},
    build,
    destination::{Act, Destination, soon},
};
use crate::{
    otlp::{
        Signal,
        sample::{pair, value},
    },
    pipeline::{Batch, Outcome},
};

fn alert(id: &str) -> LogRecord {
    let text = |text: &str| Value::StringValue(text.to_owned());
    let invocations = ArrayValue { values: vec![value(text("i-1")).unwrap(), value(text("i-2")).unwrap()] };
    LogRecord {
        time_unix_nano: 1_795_442_529_000_000_000,
        severity_text: "ERROR".to_owned(),
        body: value(text("checkout talks to a new destination")),
        trace_id: vec![0xab; 16],
        attributes: vec![
            pair("sekisho.incident.id", text(id)),
            pair("sekisho.incident.priority", Value::IntValue(83)),
            pair("sekisho.incident.invocations", Value::ArrayValue(invocations)),
            pair("sekisho.incident.first_seen", Value::IntValue(1_795_442_529_000_000_000)),
            pair("faas.version", text("7")),
        ],
        ..LogRecord::default()
    }
}

fn alerts(ids: &[&str]) -> Batch {
    let scope = ScopeLogs { log_records: ids.iter().map(|id| alert(id)).collect(), ..ScopeLogs::default() };
    let resource = Resource {
        attributes: vec![pair("faas.name", Value::StringValue("checkout".to_owned()))],
        ..Resource::default()
    };
    let group = ResourceLogs { resource: Some(resource), scope_logs: vec![scope], ..ResourceLogs::default() };
    let body = ExportLogsServiceRequest { resource_logs: vec![group] }.encode_to_vec().into();
    Batch { signal: Signal::Logs, body, items: ids.len() }
}

#[tokio::test]
async fn each_alert_is_one_document_and_a_retried_one_does_not_repeat_the_others() {
    let page = Act::Http(200, &[("content-type", "text/html")], b"\n<html>thank you</html>".to_vec());
    let acts = [page, Act::Http(503, &[], vec![]), Act::HangUp, Act::Http(400, &[], vec![])];
    let destination = Destination::new(acts).await;
    let (exporter, context) = build::<webhook::Config>(&format!(
        "{{endpoint: 'http://{}/hook', method: PUT, headers: {{authorization: Bearer x}}, \
         retry_on_failure: {{initial_interval: 10ms, max_interval: 20ms}}}}",
        destination.address
    ));
    assert_eq!(exporter.consume(alerts(&["a", "b", "c"])).await, Outcome::Accepted);
    soon("draining", exporter.drain()).await;

    let seen = destination.seen();
    let documents: Vec<serde_json::Value> =
        seen.iter().map(|seen| serde_json::from_slice(&seen.body).unwrap()).collect();
    let ids: Vec<_> = documents.iter().map(|document| document["incident"]["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["a", "b", "b", "b", "c"], "b is away twice, then refused for good; c is not held up by it");
    assert_eq!((seen[0].method.as_str(), seen[0].path.as_str()), ("PUT", "/hook"));
    assert_eq!(seen[0].headers["authorization"], "Bearer x");
    assert_eq!(
        documents[0],
        json!({
            "headline": "checkout talks to a new destination",
            "time": "2026-11-23T14:02:09Z",
            "severity": "ERROR",
            "trace_id": "abababababababababababababababab",
            "span_id": "",
            "incident": {
                "id": "a",
                "priority": 83,
                "invocations": ["i-1", "i-2"],
                "first_seen": "2026-11-23T14:02:09Z",
            },
            "attributes": { "faas.version": "7" },
            "resource": { "faas.name": "checkout" },
        })
    );
    let metric = |name| context.metrics.sum(name, None) as u64;
    assert_eq!(metric("otelcol_exporter_sent_log_records"), 2);
    assert_eq!(metric("otelcol_exporter_send_failed_log_records"), 1);
}

/// The one request that `yaml` makes of an alert.
async fn sent(yaml: &str) -> super::destination::Seen {
    let destination = Destination::new([]).await;
    let (exporter, _) =
        build::<webhook::Config>(&format!("{{endpoint: 'http://{}/hook', {yaml}}}", destination.address));
    exporter.consume(sample::alert("inc-1", "updated", "page")).await;
    soon("draining", exporter.drain()).await;
    destination.seen().remove(0)
}

#[tokio::test]
async fn a_template_writes_json_whatever_an_attacker_wrote() {
    let template = r#"{"subject": {{ title }}, "why": [{% for row in incident.evidence %}{{ row.observed }}{% endfor %}],
                      "link": {{ links.trace }}, "n": {{ incident.priority + 1 }}}"#;
    let yaml = format!(
        "format: template, template: '{template}', content_type: application/vnd.ours+json, \
         links: {{trace: 'https://t.example/{{trace_id}}'}}"
    );
    let seen = sent(&yaml).await;
    assert_eq!(seen.headers["content-type"], "application/vnd.ours+json");
    let body: serde_json::Value = serde_json::from_slice(&seen.body).unwrap();
    assert_eq!(
        body,
        json!({
            "subject": "checkout v7 talks to 198.51.100.23, which none of 1,204 invocations did",
            "why": ["<!channel> 198.51.100.23\u{202e}\u{1b}[31m"],
            "link": format!("https://t.example/{}", "ab".repeat(16)),
            "n": 84,
        })
    );
    let seen =
        sent("format: template, content_type: text/plain, template: '{{ incident.state }}: {{ headline }}'").await;
    assert!(seen.body.starts_with(b"updated: checkout v7"));
}

#[tokio::test]
async fn cloud_events_carry_the_document_in_the_body_or_beside_their_headers() {
    let seen = sent("format: cloudevents, source: 'https://gateway.example'").await;
    assert_eq!(seen.headers["content-type"], "application/cloudevents+json; charset=utf-8");
    let event: serde_json::Value = serde_json::from_slice(&seen.body).unwrap();
    let id = event["id"].as_str().unwrap();
    assert!(id.starts_with("inc-1-updated-"), "{id}");
    let expected = json!({
        "specversion": "1.0", "id": id, "source": "https://gateway.example", "type": "sekisho.incident.updated",
        "subject": "inc-1", "time": "2026-11-23T14:02:09Z", "datacontenttype": "application/json", "data": event["data"],
    });
    assert_eq!(event, expected);
    assert_eq!(event["data"]["incident"]["tier"], "page");

    let seen = sent("format: cloudevents_binary, signing_secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").await;
    assert_eq!(seen.headers["content-type"], "application/json");
    let header = |name: &str| seen.headers[name].to_str().unwrap().to_owned();
    assert_eq!((header("ce-specversion"), header("ce-type")), ("1.0".into(), "sekisho.incident.updated".into()));
    assert_eq!((header("ce-subject"), header("ce-source")), ("inc-1".into(), "/sekisho".into()));
    assert_eq!((header("ce-id"), header("webhook-id")), (id.to_owned(), id.to_owned()), "one id for one word");
    let body: serde_json::Value = serde_json::from_slice(&seen.body).unwrap();
    assert_eq!(body, event["data"]);
}

#[tokio::test]
async fn alerts_below_the_tier_are_not_posted() {
    let destination = Destination::new([]).await;
    let (exporter, _) =
        build::<webhook::Config>(&format!("{{endpoint: 'http://{}/', minimum_tier: page}}", destination.address));
    for tier in ["evidence", "queue", "page"] {
        exporter.consume(sample::alert(tier, "opened", tier)).await;
    }
    soon("draining", exporter.drain()).await;
    let bodies: Vec<serde_json::Value> =
        destination.seen().iter().map(|seen| serde_json::from_slice(&seen.body).unwrap()).collect();
    let ids: Vec<_> = bodies.iter().map(|body| body["incident"]["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["page"]);
}

#[test]
fn a_template_that_would_not_work_is_told_before_the_first_alert() {
    let endpoint = "endpoint: 'https://w.example'";
    let table = [
        ("format: template, template: '{\"a\": {{ title }}}'", ""),
        ("format: template, content_type: text/plain, template: '{{ title }}'", ""),
        ("format: template", "template: is missing"),
        ("template: '{{ title }}'", "does nothing without"),
        ("format: template, template: '{\"a\": \"{{ title }}\"}'", "does not make JSON"),
        ("format: template, template: '{{ title'", "does not work"),
        (
            "format: template, content_type: text/plain, template: '{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}'",
            "does not work",
        ),
        ("format: template, content_type: text/plain, template: '{{ incident.evidence.nope.nope }}'", "does not work"),
        ("signing_secret: hunter2", "whsec_"),
        ("format: xml", "must be one of"),
        ("source: ''", "source"),
    ];
    for (yaml, wrong) in table {
        let (_, said) = crate::pipeline::probe::config::<webhook::Config>(
            crate::config::Kind::Exporter,
            &format!("{{{endpoint}, {yaml}}}"),
        );
        assert_eq!(said.is_empty(), wrong.is_empty(), "{yaml}: {said}");
        assert!(said.contains(wrong) && !said.contains("hunter2"), "{yaml}: {said}");
    }
}
