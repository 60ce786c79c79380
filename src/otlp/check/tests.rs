use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;

use super::*;
use crate::otlp::sample;

fn nested(depth: usize) -> Vec<u8> {
    let mut value = Vec::new();
    for _ in 0..depth {
        let mut list = Vec::new();
        wire::put_bytes(&mut list, 1, &value);
        value.clear();
        wire::put_bytes(&mut value, 5, &list);
    }
    let mut pair = Vec::new();
    wire::put_bytes(&mut pair, 2, &value);
    let mut body = Vec::new();
    for number in [1, 1] {
        body.clear();
        wire::put_bytes(&mut body, number, &pair);
        pair.clone_from(&body);
    }
    let mut request = Vec::new();
    wire::put_bytes(&mut request, 1, &body);
    request
}

#[test]
fn whole_requests_pass_and_their_items_are_counted() {
    assert_eq!(check(Signal::Traces, &sample::traces(7).encode_to_vec()), Ok(7));
    assert_eq!(check(Signal::Logs, &sample::logs(5).encode_to_vec()), Ok(5));
    assert_eq!(check(Signal::Metrics, &sample::metrics(3).encode_to_vec()), Ok(3 * sample::POINTS_A_ROUND));
    assert_eq!(check(Signal::Traces, &[]), Ok(0));
}

#[test]
fn malformed_requests_are_refused_with_their_place() {
    let table: [(&str, &[u8], &str, usize); 10] = [
        ("tag without a value", &[0x0a], "cut off", 0),
        ("length beyond the end", &[0x0a, 5, 0, 0], "cut off", 0),
        ("overlong varint", &[0x80; 11], "cut off", 0),
        ("group", &[0x0b, 0x0c], "cut off", 0),
        ("tag of 33 bits", &[0x8a, 0x80, 0x80, 0x80, 0x10, 0], "cut off", 0),
        ("wire type 7", &[0x0f, 1], "cut off", 0),
        ("field number 0", &[0x02, 0], "field number 0", 2),
        ("resourceSpans as varint", &[0x08, 1], "wrong wire type", 2),
        ("schemaUrl not UTF-8", &[0x0a, 4, 0x1a, 2, 0xff, 0xfe], "not UTF-8", 4),
        ("traceId as varint", &[0x0a, 6, 0x12, 4, 0x12, 2, 0x08, 1], "wrong wire type", 8),
    ];
    for (name, body, what, offset) in table {
        let refused = check(Signal::Traces, body).expect_err(name);
        assert!(refused.what.contains(what), "{name}: {refused}");
        assert_eq!(refused.offset, offset, "{name}: {refused}");
    }
}

#[test]
fn depth_is_bounded() {
    assert!(check(Signal::Traces, &nested(20)).is_ok());
    assert_eq!(check(Signal::Traces, &nested(100)).unwrap_err().what, "nested too deep");
    assert!(check(Signal::Traces, &nested(20_000)).is_err(), "and costs no stack");
}

#[test]
fn unknown_fields_pass() {
    let mut body = sample::traces(2).encode_to_vec();
    body.extend([0xa2, 0x06, 1, 0]);
    assert_eq!(check(Signal::Traces, &body), Ok(2));
}

/// Every single-byte change and cut of a request: no panic, and what passes is what the official decoder takes too.
#[test]
fn whatever_passes_the_official_decoder_takes() {
    let body = sample::traces(2).encode_to_vec();
    let mut passed = 0;
    for place in 0..body.len() {
        for change in [0x01, 0x08, 0x80, 0xff] {
            let mut changed = body.clone();
            changed[place] ^= change;
            if check(Signal::Traces, &changed).is_ok() {
                passed += 1;
                ExportTraceServiceRequest::decode(&changed[..]).unwrap_or_else(|error| panic!("{place}: {error}"));
            }
        }
        let cut = &body[..place];
        assert_eq!(
            check(Signal::Traces, cut).is_ok(),
            ExportTraceServiceRequest::decode(cut).is_ok(),
            "cut at {place}"
        );
    }
    assert!(passed > body.len(), "most changes are of content: {passed}");
}
