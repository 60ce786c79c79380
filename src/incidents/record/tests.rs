//! The record read back with the official types.

use opentelemetry_proto::tonic::{
    collector::logs::v1::ExportLogsServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value::Value},
    logs::v1::LogRecord,
    resource::v1::Resource,
};
use prost::Message as _;

use super::*;
use crate::{
    detect::{
        observation::{Family, Quantity, Risk, Source},
        verdict::{Feature, PromiseState, Verdict},
    },
    incidents::{
        ChangeKind, Finding, FunctionRef, Incidents, Settings,
        tests::{NOON, destination, novel, plain, verdict},
    },
};

fn attribute(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value.to_owned())) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

fn resource() -> Resource {
    let attributes = vec![
        attribute("cloud.provider", "aws"),
        attribute("faas.name", "reserve-booking"),
        attribute("cloud.region", "eu-west-1"),
    ];
    Resource { attributes, ..Resource::default() }
}

fn change(tier: Tier) -> Change {
    let source = Source { trace_id: [0xab; 16], span_id: [0xcd; 8], trust: Trust::Provider };
    let secret = novel(Family::Operation, Risk::Identity, "secretsmanager.GetSecretValue", 9.5);
    let slow = Evidence {
        observed: "9.8 s".to_owned(),
        usual: "at most 1.2 s".to_owned(),
        seen_in: 2,
        ..plain(Feature::Magnitude(Quantity::DurationUs), 2.0)
    };
    let evidence = vec![Evidence { source, ..destination("185.1.2.3:443", 12.0) }, secret, slow];
    let mut incidents = Incidents::new(Settings::default());
    let report = Finding {
        function: FunctionRef { hash: 7, name: "reserve-booking", version: "41" },
        resource: &|| std::borrow::Cow::Owned(resource().encode_to_vec()),
        verdict: &Verdict { at: NOON + 5, ..verdict(tier, evidence) },
        invocation_id: "invocation-1",
        trace_id: [1; 16],
        span_id: [2; 8],
        at: NOON,
    };
    incidents.report(report).unwrap()
}

fn promise() -> Promise {
    Promise { budget_per_day: 1.0 / 7.0, days: 28, state: PromiseState::Active, realised: (0, 28) }
}

fn decode(batch: &Batch) -> ExportLogsServiceRequest {
    ExportLogsServiceRequest::decode(batch.body.clone()).unwrap()
}

fn record(tier: Tier) -> LogRecord {
    let request = decode(&alerts_request(&[change(tier)], &promise(), NOON + 99));
    request.resource_logs[0].scope_logs[0].log_records[0].clone()
}

/// A value with its type: `"text"`, `int 3`, `double 1.5`, `[a, b]`, `{k: v}`.
fn show(value: Option<&AnyValue>) -> String {
    let pairs = |pairs: &[KeyValue]| {
        pairs.iter().map(|pair| format!("{}: {}", pair.key, show(pair.value.as_ref()))).collect::<Vec<_>>().join(", ")
    };
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => format!("{text:?}"),
        Some(Value::IntValue(int)) => format!("int {int}"),
        Some(Value::DoubleValue(double)) => format!("double {double}"),
        Some(Value::ArrayValue(array)) => {
            format!("[{}]", array.values.iter().map(|value| show(Some(value))).collect::<Vec<_>>().join(", "))
        }
        Some(Value::KvlistValue(list)) => format!("{{{}}}", pairs(&list.values)),
        other => format!("{other:?}"),
    }
}

#[test]
fn every_attribute_has_its_name_type_and_value() {
    #[rustfmt::skip]
    let golden = [
        ("sekisho.incident.id", r#""inc-550a3730e8""#),
        ("sekisho.incident.state", r#""opened""#),
        ("sekisho.incident.tier", r#""page""#),
        ("sekisho.incident.priority", "int 80"),
        ("sekisho.incident.score", "double 23.5"),
        ("sekisho.incident.line", "double 12.8"),
        ("sekisho.incident.first_seen", "int 1795435200000000000"),
        ("sekisho.incident.last_seen", "int 1795435200000000000"),
        ("sekisho.incident.invocations", r#"["invocation-1"]"#),
        ("sekisho.incident.evidence", concat!(
            r#"[{feature: "novelty.destination", observed: "185.1.2.3:443", usual: "never in 120,433 invocations", bits: double 12, seen_in: int 0, out_of: int 120433, source: "provider"}, "#,
            r#"{feature: "novelty.operation", observed: "secretsmanager.GetSecretValue", usual: "never in 120,433 invocations", bits: double 9.5, seen_in: int 0, out_of: int 120433, source: "in_process"}, "#,
            r#"{feature: "magnitude.duration", observed: "9.8 s", usual: "at most 1.2 s", bits: double 2, seen_in: int 2, out_of: int 120433, source: "in_process"}]"#,
        )),
        ("sekisho.incident.counterfactual", r#""without the new destination: 11.5 bits, below the 12.8-bit line""#),
        ("sekisho.incident.techniques", r#"["T1041 (new external destination)", "T1555.006 (new use of a secret store)", "T1496 (unusual duration)"]"#),
        ("sekisho.guarantee", r#""active: at most 1 false page a week expected, from 28 days; realised 0 in 28 days""#),
        ("faas.name", r#""reserve-booking""#),
        ("faas.version", r#""41""#),
        ("cloud.provider", r#""aws""#),
        ("cloud.region", r#""eu-west-1""#),
    ];
    let record = record(Tier::Page);
    let found: Vec<(&str, String)> =
        record.attributes.iter().map(|pair| (pair.key.as_str(), show(pair.value.as_ref()))).collect();
    let golden: Vec<(&str, String)> = golden.into_iter().map(|(key, value)| (key, value.to_owned())).collect();
    assert_eq!(found, golden);
}

#[test]
fn fields_outside_the_attributes_are_where_otlp_has_them() {
    let record = record(Tier::Page);
    assert_eq!(record.event_name, "sekisho.incident");
    assert_eq!((record.time_unix_nano, record.observed_time_unix_nano), (NOON + 5, NOON + 99));
    assert_eq!((record.trace_id, record.span_id), (vec![0xab; 16], vec![0xcd; 8]), "of the strongest evidence");
    let headline = "reserve-booking v41 reached 185.1.2.3:443 and called secretsmanager.GetSecretValue: \
                    neither ever seen in 120,433 invocations; 0 of 11 other functions do";
    assert_eq!(show(record.body.as_ref()), format!("{headline:?}"));
}

#[test]
fn severity_follows_the_tier() {
    for (tier, number, text) in [(Tier::Page, 17, "ERROR"), (Tier::Queue, 13, "WARN")] {
        let record = record(tier);
        assert_eq!((record.severity_number, record.severity_text.as_str()), (number, text));
    }
}

#[test]
fn resource_and_scope_name_the_function_and_us() {
    let changes = [change(Tier::Page), Change { kind: ChangeKind::Resolved, ..change(Tier::Queue) }];
    let batch = alerts_request(&changes, &promise(), NOON);
    assert_eq!((batch.signal, batch.items), (Signal::Logs, 2));
    let request = decode(&batch);
    assert_eq!(request.resource_logs.len(), 2);
    for resource_logs in &request.resource_logs {
        assert_eq!(resource_logs.resource, Some(resource()));
        assert_eq!(resource_logs.scope_logs[0].scope.as_ref().unwrap().name, "sekisho");
    }
    assert_eq!(alerts_request(&[], &promise(), NOON).items, 0);
}
