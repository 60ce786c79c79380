use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{KeyValue, any_value::Value as Set},
};
use prost::Message;

use super::*;
use crate::otlp::{check::check, sample};

fn batch(signal: Signal, request: &impl Message) -> Batch {
    let body = Bytes::from(request.encode_to_vec());
    let items = check(signal, &body).unwrap();
    Batch { signal, body, items }
}

struct Nothing;
impl Edit for Nothing {}

#[test]
fn a_request_nobody_changes_is_the_same_bytes() {
    let given = batch(Signal::Traces, &sample::traces(3));
    let same = edit(&given, &mut Nothing);
    assert_eq!(same.body.as_ptr(), given.body.as_ptr());
    assert_eq!(same.items, 3);
}

/// Sets one attribute that is there and one that is not, removes one, on resources and on records with odd index.
struct Odd;

impl Edit for Odd {
    fn resource(&mut self, _group: &ResourceGroup<'_>, patch: &mut Patch) {
        apply_to(patch);
    }

    fn record(&mut self, index: usize, _record: &[u8], patch: &mut Patch) -> Keep {
        if index % 2 == 1 {
            apply_to(patch);
        }
        Keep::Yes
    }
}

fn apply_to(patch: &mut Patch) {
    patch.set("text", PatchValue::Str(&"long enough that lengths grow by a byte ".repeat(8)));
    patch.set("new.flag", PatchValue::Bool(false));
    patch.set("new.int", PatchValue::Int(-1));
    patch.set("new.double", PatchValue::Double(2.5));
    patch.set("new.raw", PatchValue::Raw(&[0x0a, 1, b'r']));
    patch.remove("list");
    patch.remove("not.there");
}

fn expected(attributes: &mut Vec<KeyValue>) {
    attributes.retain(|pair| pair.key != "text" && pair.key != "list");
    attributes.push(sample::pair("text", Set::StringValue("long enough that lengths grow by a byte ".repeat(8))));
    attributes.push(sample::pair("new.flag", Set::BoolValue(false)));
    attributes.push(sample::pair("new.int", Set::IntValue(-1)));
    attributes.push(sample::pair("new.double", Set::DoubleValue(2.5)));
    attributes.push(sample::pair("new.raw", Set::StringValue("r".into())));
}

#[test]
fn editing_then_decoding_is_decoding_then_editing() {
    let mut traces = sample::traces(4);
    let edited = edit(&batch(Signal::Traces, &traces), &mut Odd);
    for group in &mut traces.resource_spans {
        expected(&mut group.resource.as_mut().unwrap().attributes);
        for (index, span) in group.scope_spans.iter_mut().flat_map(|scope| &mut scope.spans).enumerate() {
            if index % 2 == 1 {
                expected(&mut span.attributes);
            }
        }
    }
    assert_eq!(ExportTraceServiceRequest::decode(edited.body.clone()).unwrap(), traces);
    assert_eq!(check(Signal::Traces, &edited.body), Ok(4));

    let mut logs = sample::logs(3);
    let edited = edit(&batch(Signal::Logs, &logs), &mut Odd);
    for group in &mut logs.resource_logs {
        expected(&mut group.resource.as_mut().unwrap().attributes);
        expected(&mut group.scope_logs[0].log_records[1].attributes);
    }
    assert_eq!(ExportLogsServiceRequest::decode(edited.body).unwrap(), logs);
}

#[test]
fn every_kind_of_data_point_is_reached() {
    struct All;
    impl Edit for All {
        fn record(&mut self, _index: usize, _record: &[u8], patch: &mut Patch) -> Keep {
            patch.set("seen", PatchValue::Bool(true));
            Keep::Yes
        }
    }
    let edited = edit(&batch(Signal::Metrics, &sample::metrics(2)), &mut All);
    let decoded = ExportMetricsServiceRequest::decode(edited.body).unwrap();
    let text = format!("{decoded:?}");
    assert_eq!(text.matches("\"seen\"").count(), 2 * sample::POINTS_A_ROUND);
}

#[test]
fn dropped_records_take_their_empty_groups_along() {
    struct Drop(Vec<usize>);
    impl Edit for Drop {
        fn record(&mut self, index: usize, _record: &[u8], _patch: &mut Patch) -> Keep {
            if self.0.contains(&index) { Keep::No } else { Keep::Yes }
        }
    }
    let mut two = sample::traces(2);
    two.resource_spans.extend(sample::traces(3).resource_spans);
    let given = batch(Signal::Traces, &two);
    let table: [(&str, &[usize], usize, &[usize]); 4] = [
        ("one of the second", &[3], 4, &[2, 2]),
        ("all of the first", &[0, 1], 3, &[3]),
        ("all", &[0, 1, 2, 3, 4], 0, &[]),
        ("none", &[], 5, &[2, 3]),
    ];
    for (name, drop, items, groups) in table {
        let edited = edit(&given, &mut Drop(drop.to_vec()));
        assert_eq!(edited.items, items, "{name}");
        let decoded = ExportTraceServiceRequest::decode(edited.body).unwrap();
        let left: Vec<usize> = decoded.resource_spans.iter().map(|group| group.scope_spans[0].spans.len()).collect();
        assert_eq!(left, groups, "{name}");
    }
}

#[test]
fn unknown_fields_survive() {
    let mut body = sample::traces(2).encode_to_vec();
    let unknown = [0xa2, 0x06, 2, 7, 7];
    body.extend(unknown);
    let given = Batch { signal: Signal::Traces, body: Bytes::from(body), items: 2 };
    assert!(edit(&given, &mut Odd).body.ends_with(&unknown));
}

/// Bytes that never passed the door must not panic either.
#[test]
fn damaged_bytes_do_not_panic() {
    let body = sample::traces(2).encode_to_vec();
    for place in 0..body.len() {
        for change in [0x01, 0x80, 0xff] {
            let mut damaged = body.clone();
            damaged[place] ^= change;
            let _ = edit(&Batch { signal: Signal::Traces, body: Bytes::from(damaged), items: 2 }, &mut Odd);
        }
    }
}
