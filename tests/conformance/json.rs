//! The rules of OTLP/JSON, as a sender may use them.

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value::Value},
    trace::v1::Span,
};
use prost::Message as _;
use tonic::Code;

use crate::{
    destination::Destination,
    support::{Gateway, http},
};

/// Scenario: one span, written in each way the rules allow, and in ways they do not.
/// Guarantees: what is allowed arrives as the same protobuf; what is not is refused with a place.
#[tokio::test]
async fn json_is_read_by_its_rules() {
    let span = Span {
        trace_id: vec![0x5b, 0x8e, 0xff, 0xf7, 0x98, 3, 0x81, 3, 0xd2, 0x69, 0xb6, 0x33, 0x81, 0x3f, 0xc6, 0x0c],
        span_id: vec![0xee, 0xe1, 0x9b, 0x7e, 0xc3, 0xc1, 0xb1, 0x74],
        name: "checkout".into(),
        kind: 2,
        start_time_unix_nano: 1_544_712_660_000_000_000,
        ..Span::default()
    };
    let id = r#""traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"EEE19B7EC3C1B174","name":"checkout""#;
    let lower = id.replace("5B8EFFF798038103D269B633813FC60C", "5b8efff798038103d269b633813fc60c");
    let time = r#""startTimeUnixNano":"1544712660000000000""#;
    let with = |attribute: &str| format!(r#"{id},"kind":2,{time},"attributes":[{{"key":"k","value":{attribute}}}]"#);
    let valued = |value: Option<Value>| Span {
        attributes: vec![KeyValue { key: "k".into(), value: Some(AnyValue { value }), ..KeyValue::default() }],
        ..span.clone()
    };
    let int = |value| valued(Some(Value::IntValue(value)));
    let plain = || Some(span.clone());
    #[rustfmt::skip]
    let table: Vec<(&str, String, Option<Span>)> = vec![
        ("ids in upper case",               format!(r#"{id},"kind":2,{time}"#), plain()),
        ("ids in lower case",               format!(r#"{lower},"kind":2,{time}"#), plain()),
        ("64-bit integers as numbers",      format!(r#"{id},"kind":2,"startTimeUnixNano":1544712660000000000"#), plain()),
        ("unknown fields are ignored",      format!(r#"{id},"kind":2,{time},"futureField":{{"a":[1,{{"b":null}}]}},"other":1"#), plain()),
        ("null is absent",                  format!(r#"{id},"kind":2,{time},"parentSpanId":null,"attributes":null"#), plain()),
        ("in any order, with white space",  format!("\n \"kind\" : 2 ,\t{time},{id}"), plain()),
        ("an integer attribute as string",  with(r#"{"intValue":"-7"}"#), Some(int(-7))),
        ("an integer attribute as number",  with(r#"{"intValue":-7}"#), Some(int(-7))),
        ("the largest integer",             with(r#"{"intValue":"9223372036854775807"}"#), Some(int(i64::MAX))),
        ("a double",                        with(r#"{"doubleValue":0.5}"#), Some(valued(Some(Value::DoubleValue(0.5))))),
        ("a double as string",              with(r#"{"doubleValue":"-Infinity"}"#), Some(valued(Some(Value::DoubleValue(f64::NEG_INFINITY))))),
        ("bytes are base64, unlike ids",    with(r#"{"bytesValue":"AP8="}"#), Some(valued(Some(Value::BytesValue(vec![0, 255]))))),
        ("an empty value",                  with("{}"), Some(valued(None))),
        // Looser than the rules for senders, as the Collector is: what is meant is clear, and ignoring it would lose it.
        ("the name of an enum's value",     format!(r#"{id},"kind":"SPAN_KIND_SERVER",{time}"#), plain()),
        ("names as in the proto files",     format!(r#"{},"kind":2,{time}"#, id.replace("traceId", "trace_id")), plain()),
        ("an id that is not hexadecimal",   format!(r#"{},"kind":2,{time}"#, id.replace("5B8E", "XYZW")), None),
        ("an id in base64",                 format!(r#"{},"kind":2,{time}"#, id.replace("EEE19B7EC3C1B174", "7uGbfsPBsXQ=")), None),
        ("a number too large for its field",with(r#"{"intValue":"9223372036854775808"}"#), None),
        ("an enum that does not exist",     format!(r#"{id},"kind":"SPAN_KIND_TOAST",{time}"#), None),
        ("a string where an object is due", with(r#""text""#), None),
        ("more behind the end",             format!("{id}}}]}}]}}]}} {{"), None),
    ];
    let destination = Destination::new([]).await;
    let gateway = Gateway::start(&format!(
        "
receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:0'}}}}}}}}
exporters:
  otlp_http:
    endpoint: 'http://{}'
    sending_queue: {{enabled: false}}
    retry_on_failure: {{enabled: false}}
service: {{pipelines: {{traces: {{receivers: [otlp], exporters: [otlp_http]}}}}}}
",
        destination.address
    ))
    .await;
    let client = http();
    for (row, fields, expected) in table {
        let body = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{fields}}}]}}]}}]}}"#);
        let before = destination.taken().len();
        let request = client.post(format!("{}/v1/traces", gateway.http()));
        let answer = request.header("content-type", "application/json; charset=utf-8").body(body.clone()).send().await;
        let answer = answer.unwrap();
        let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
        let arrived = destination.taken().split_off(before);
        if let Some(expected) = expected {
            assert_eq!((status, text.as_str()), (200, "{}"), "{row}: {body}");
            let request = ExportTraceServiceRequest::decode(arrived[0].clone()).unwrap();
            assert_eq!(request.resource_spans[0].scope_spans[0].spans, [expected], "{row}");
        } else {
            assert_eq!((status, arrived.len()), (400, 0), "{row}: {text}");
            let told: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(told["code"], Code::InvalidArgument as i64, "{row}");
            assert!(told["message"].as_str().unwrap().contains("line 1"), "{row}: {text}");
        }
    }
}
