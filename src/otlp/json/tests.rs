use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::any_value::Value,
};
use prost::Message as _;

use super::*;
use crate::otlp::{Signal, check::check, sample};

fn there_and_back(signal: Signal, body: &[u8]) -> Vec<u8> {
    let mut json = Vec::new();
    to_json(signal, body, &mut json);
    assert!(serde_json::from_slice::<serde_json::Value>(&json).is_ok(), "{}", String::from_utf8_lossy(&json));
    assert!(!json.contains(&b'\n'));
    let back = to_protobuf(signal, &json).unwrap();
    check(signal, &back).unwrap();
    back
}

#[test]
fn every_field_of_every_signal_survives_there_and_back() {
    let traces = sample::traces(3);
    let back = there_and_back(Signal::Traces, &traces.encode_to_vec());
    assert_eq!(ExportTraceServiceRequest::decode(&back[..]).unwrap(), traces);
    let logs = sample::logs(3);
    let back = there_and_back(Signal::Logs, &logs.encode_to_vec());
    assert_eq!(ExportLogsServiceRequest::decode(&back[..]).unwrap(), logs);
    let metrics = sample::metrics(2);
    let back = there_and_back(Signal::Metrics, &metrics.encode_to_vec());
    assert_eq!(ExportMetricsServiceRequest::decode(&back[..]).unwrap(), metrics);
}

#[test]
fn numbers_that_json_cannot_hold_survive() {
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, -0.0] {
        let mut traces = sample::traces(1);
        traces.resource_spans[0].scope_spans[0].spans[0].attributes =
            vec![sample::pair("d", Value::DoubleValue(number))];
        let body = traces.encode_to_vec();
        assert_eq!(there_and_back(Signal::Traces, &body), body, "{number}");
    }
}

fn span(json: &str) -> Result<opentelemetry_proto::tonic::trace::v1::Span, String> {
    let request = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{json}]}}]}}]}}"#);
    let body = to_protobuf(Signal::Traces, request.as_bytes()).map_err(|error| error.to_string())?;
    let request = ExportTraceServiceRequest::decode(&body[..]).map_err(|error| error.to_string())?;
    Ok(request.resource_spans[0].scope_spans[0].spans[0].clone())
}

#[test]
fn readers_are_lenient_where_the_specification_says_so() {
    let table = [
        ("times as strings", r#"{"startTimeUnixNano":"5"}"#, r#"{"startTimeUnixNano":5}"#),
        ("ids in upper case", r#"{"traceId":"ABCDEF"}"#, r#"{"traceId":"abcdef"}"#),
        ("kind by name", r#"{"kind":"SPAN_KIND_CLIENT"}"#, r#"{"kind":3}"#),
        ("snake case", r#"{"parent_span_id":"0a"}"#, r#"{"parentSpanId":"0a"}"#),
        ("unknown fields", r#"{"name":"n","new":{"a":[1]}}"#, r#"{"name":"n"}"#),
        ("null", r#"{"name":"n","status":null,"attributes":null}"#, r#"{"name":"n"}"#),
        ("integers as floats", r#"{"startTimeUnixNano":1e3}"#, r#"{"startTimeUnixNano":1000}"#),
        (
            "64-bit values",
            r#"{"attributes":[{"key":"k","value":{"intValue":"-9223372036854775808"}}]}"#,
            r#"{"attributes":[{"key":"k","value":{"intValue":-9223372036854775808}}]}"#,
        ),
        (
            "base64 for URLs, without padding",
            r#"{"attributes":[{"key":"k","value":{"bytesValue":"-_8"}}]}"#,
            r#"{"attributes":[{"key":"k","value":{"bytesValue":"+/8="}}]}"#,
        ),
    ];
    for (name, given, same) in table {
        assert_eq!(span(given), span(same), "{name}");
        assert!(span(given).is_ok(), "{name}");
    }
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let table = [
        ("id with an odd digit", r#"{"traceId":"abc"}"#, "hexadecimal digits for `traceId`"),
        ("id not hexadecimal", r#"{"spanId":"zz"}"#, "hexadecimal digits for `spanId`"),
        ("negative time", r#"{"startTimeUnixNano":-1}"#, "an integer in range for `startTimeUnixNano`"),
        ("fraction", r#"{"startTimeUnixNano":1.5}"#, "an integer in range"),
        ("object for a list", r#"{"attributes":{}}"#, "an array for `attributes`"),
        ("list for an object", r#"{"status":[]}"#, "an object for `status`"),
        ("number for text", r#"{"name":1}"#, "a string for `name`"),
        ("text for an object", r#"{"status":"ok"}"#, "an object for `status`"),
        ("too large for 32 bits", r#"{"droppedEventsCount":4294967296}"#, "an integer in range"),
        ("unknown kind", r#"{"kind":"CLIENT"}"#, "an integer or a name"),
        ("cut off", r#"{"name":"#, "line 1 column"),
    ];
    for (name, given, reason) in table {
        let refused = span(given).expect_err(name);
        assert!(refused.contains(reason), "{name}: {refused}");
    }
    assert!(to_protobuf(Signal::Traces, b"[]").is_err());
    assert!(to_protobuf(Signal::Traces, b"").is_err());
    assert!(to_protobuf(Signal::Traces, b"{} {}").is_err());
    assert_eq!(to_protobuf(Signal::Traces, b"{}").unwrap(), b"");
}

#[test]
fn depth_is_bounded() {
    let deep = |levels: usize| {
        let (open, close) = (r#"{"arrayValue":{"values":["#.repeat(levels), "]}}".repeat(levels));
        span(&format!(r#"{{"attributes":[{{"key":"k","value":{open}{close}}}]}}"#))
    };
    assert!(deep(20).is_ok());
    assert!(deep(40).is_err_and(|refused| refused.contains("nested too deep")));
    assert!(deep(100_000).is_err());
}
