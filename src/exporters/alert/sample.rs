//! Alerts as the anomaly processor writes them, for exporters' tests.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::{
    collector::logs::v1::ExportLogsServiceRequest,
    common::v1::{ArrayValue, KeyValueList, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    resource::v1::Resource,
};
use prost::Message as _;

use crate::{
    otlp::{
        Signal,
        sample::{pair, value},
    },
    pipeline::Batch,
};

/// 2026-11-23T14:02:09Z.
pub const AT: u64 = 1_795_442_529_000_000_000;

fn text(text: &str) -> Value {
    Value::StringValue(text.to_owned())
}

fn list(texts: &[&str]) -> Value {
    Value::ArrayValue(ArrayValue { values: texts.iter().map(|one| value(text(one)).unwrap()).collect() })
}

/// A record of incident `id`: `opened` `page`, or the like. Its texts are as hostile as telemetry may be.
pub fn record(id: &str, state: &str, tier: &str) -> LogRecord {
    let evidence = KeyValueList {
        values: vec![
            pair("feature", text("new destination")),
            pair("observed", text("<!channel> 198.51.100.23\u{202e}\u{1b}[31m")),
            pair("usual", text("")),
            pair("bits", Value::DoubleValue(17.25)),
            pair("seen_in", Value::IntValue(0)),
            pair("out_of", Value::IntValue(1204)),
            pair("source", text("platform")),
        ],
    };
    let evidence = ArrayValue { values: vec![value(Value::KvlistValue(evidence)).unwrap()] };
    // Time passes from one word on an incident to the next.
    let number = BTreeMap::from([("opened", 0), ("updated", 1), ("resolved", 2)])[state] * 60_000_000_000;
    LogRecord {
        event_name: "sekisho.incident".to_owned(),
        time_unix_nano: AT,
        observed_time_unix_nano: AT + 1_000_000_000 + number,
        severity_number: 17,
        severity_text: "ERROR".to_owned(),
        body: value(text("checkout v7 talks to 198.51.100.23, which none of 1,204 invocations did")),
        trace_id: vec![0xab; 16],
        span_id: vec![0xcd; 8],
        attributes: vec![
            pair("sekisho.incident.id", text(id)),
            pair("sekisho.incident.state", text(state)),
            pair("sekisho.incident.tier", text(tier)),
            pair("sekisho.incident.priority", Value::IntValue(83)),
            pair("sekisho.incident.score", Value::DoubleValue(38.5)),
            pair("sekisho.incident.line", Value::DoubleValue(21.0)),
            pair("sekisho.incident.first_seen", Value::IntValue(AT.cast_signed())),
            pair("sekisho.incident.last_seen", Value::IntValue((AT + number).cast_signed())),
            pair("sekisho.incident.invocations", list(&["i-1", "i-2", "i-3", "i-4"])),
            pair("sekisho.incident.evidence", Value::ArrayValue(evidence)),
            pair("sekisho.incident.counterfactual", text("Without the new destination it would score 4.0 bits.")),
            pair("sekisho.incident.techniques", list(&["T1041 (new destination)"])),
            pair("sekisho.guarantee", text("at most 1 false page a week")),
            pair("faas.name", text("checkout")),
            pair("faas.version", text("7")),
            pair("cloud.region", text("eu-west-1")),
        ],
        ..LogRecord::default()
    }
}

/// A request with these records.
pub fn batch(records: Vec<LogRecord>) -> Batch {
    let items = records.len();
    let resource = Resource {
        attributes: vec![pair("faas.name", text("checkout")), pair("cloud.account.id", text("123456789012"))],
        ..Resource::default()
    };
    let scope_logs = vec![ScopeLogs { log_records: records, ..ScopeLogs::default() }];
    let group = ResourceLogs { resource: Some(resource), scope_logs, ..ResourceLogs::default() };
    let body = ExportLogsServiceRequest { resource_logs: vec![group] }.encode_to_vec().into();
    Batch { signal: Signal::Logs, body, items }
}

/// A request with one record.
pub fn alert(id: &str, state: &str, tier: &str) -> Batch {
    batch(vec![record(id, state, tier)])
}
