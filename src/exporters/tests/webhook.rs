use opentelemetry_proto::tonic::{
    collector::logs::v1::ExportLogsServiceRequest,
    common::v1::{ArrayValue, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    resource::v1::Resource,
};
use prost::Message as _;
use serde_json::json;

use super::{
    super::webhook,
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
