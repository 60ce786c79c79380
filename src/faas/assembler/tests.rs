use opentelemetry_proto::tonic::{
    collector::{logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest},
    common::v1::{InstrumentationScope, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, Status},
};
use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::{
    detect::observation::{Family, Quantity},
    otlp::sample::{pair, value},
};

mod bounds;
mod joining;
mod outside;

pub(super) const T: Nanos = 1_793_491_200_000_000_000;
const MS: Nanos = 1_000_000;

/// A span as a test writes it: what is not said is as in a call from Python.
#[derive(Clone, Debug)]
pub(super) struct Spoken {
    trace: u8,
    id: u64,
    parent: u64,
    kind: i32,
    name: String,
    at: Nanos,
    ms: u64,
    flags: u32,
    failed: bool,
    attributes: Vec<(String, Value)>,
}

fn text(value: &str) -> Value {
    Value::StringValue(value.to_owned())
}

/// A call to `DynamoDB` below span 1.
fn call(trace: u8, id: u64, at: u64, operation: &str, table: &str) -> Spoken {
    let attributes = [
        ("rpc.system", text("aws-api")),
        ("rpc.service", text("DynamoDB")),
        ("rpc.method", text(operation)),
        ("aws.dynamodb.table_names", text(table)),
        ("aws.request_id", text(&format!("request{id}"))),
    ];
    let attributes = attributes.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    let name = format!("DynamoDB.{operation}");
    Spoken { trace, id, parent: 1, kind: 3, name, at: T + at * MS, ms: 5, flags: 256, failed: false, attributes }
}

/// The handler's span, of 100 ms.
fn handler(trace: u8, id: u64, at: u64) -> Spoken {
    let attributes = [
        ("faas.invocation_id", text(&format!("invocation-{trace}-{id}"))),
        ("faas.trigger", text("http")),
        ("cloud.resource_id", text("arn:aws:lambda:eu-west-1:123456789012:function:reserve")),
    ];
    let attributes = attributes.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    let name = "reserve".to_owned();
    Spoken { trace, id, parent: 0, kind: 2, name, at: T + at * MS, ms: 100, flags: 256, failed: false, attributes }
}

fn resource(attributes: &[(&str, &str)]) -> Option<Resource> {
    let attributes = attributes.iter().map(|(key, value)| pair(key, text(value))).collect();
    Some(Resource { attributes, ..Resource::default() })
}

const RESERVE: &[(&str, &str)] =
    &[("cloud.provider", "aws"), ("cloud.region", "eu-west-1"), ("faas.name", "reserve"), ("faas.version", "12")];

fn request(groups: &[(&[(&str, &str)], &[Spoken])]) -> Vec<u8> {
    let span = |spoken: &Spoken| Span {
        trace_id: vec![spoken.trace; 16],
        span_id: spoken.id.to_be_bytes().to_vec(),
        parent_span_id: if spoken.parent == 0 { vec![] } else { spoken.parent.to_be_bytes().to_vec() },
        name: spoken.name.clone(),
        kind: spoken.kind,
        start_time_unix_nano: spoken.at,
        end_time_unix_nano: spoken.at.saturating_add(spoken.ms * MS),
        attributes: spoken.attributes.iter().map(|(key, value)| pair(key, value.clone())).collect(),
        status: Some(Status { message: String::new(), code: if spoken.failed { 2 } else { 0 } }),
        flags: spoken.flags,
        ..Span::default()
    };
    let scope = Some(InstrumentationScope { name: "lambda".into(), version: "0.66b1".into(), ..Default::default() });
    let groups = groups.iter().map(|(attributes, spans)| ResourceSpans {
        resource: resource(attributes),
        scope_spans: vec![ScopeSpans {
            scope: scope.clone(),
            spans: spans.iter().map(span).collect(),
            schema_url: String::new(),
        }],
        schema_url: String::new(),
    });
    ExportTraceServiceRequest { resource_spans: groups.collect() }.encode_to_vec()
}

/// What was emitted, owned.
#[derive(Clone, Debug, PartialEq)]
struct Told {
    function: u64,
    name: String,
    version: String,
    invocation: String,
    complete: bool,
    failed: bool,
    touches: Vec<String>,
    repeats: Vec<u32>,
    quantities: Vec<(Quantity, u64)>,
    records: Vec<u32>,
    handler: Option<u32>,
    span: u64,
    end: Nanos,
    resource: usize,
}

fn tell(told: &mut Vec<Told>) -> impl FnMut(Invocation<'_>) {
    |invocation| {
        let seen = invocation.observation;
        let touches = seen.touches.iter();
        told.push(Told {
            function: seen.function,
            name: seen.function_name.to_owned(),
            version: seen.version.to_owned(),
            invocation: seen.invocation_id.to_owned(),
            complete: seen.complete,
            failed: seen.failed,
            touches: touches
                .map(|touch| format!("{:?} {} ×{}", touch.key.family, touch.key.name, touch.count))
                .collect(),
            repeats: seen.steps.iter().map(|step| step.repeat).collect(),
            quantities: seen.quantities.to_vec(),
            records: invocation.records.to_vec(),
            handler: invocation.handler,
            span: u64::from_be_bytes(invocation.span_id),
            end: seen.end,
            resource: invocation.resource.len(),
        });
    }
}

fn traces(assembler: &mut Assembler, groups: &[(&[(&str, &str)], &[Spoken])]) -> Vec<Told> {
    let mut told = Vec::new();
    assembler.traces(&request(groups), &mut tell(&mut told));
    told
}

fn advance(assembler: &mut Assembler, now: Nanos) -> Vec<Told> {
    let mut told = Vec::new();
    assembler.advance(now, &mut tell(&mut told));
    told
}

#[test]
fn an_invocation_is_told_in_one_piece() {
    let spans = [
        call(1, 4, 40, "PutItem", "bookings"),
        call(1, 3, 20, "GetItem", "flights"),
        call(1, 2, 10, "GetItem", "flights"),
        handler(1, 1, 0),
    ];
    let mut assembler = Assembler::new(Settings::default());
    let told = traces(&mut assembler, &[(RESERVE, &spans)]);
    let [told] = &told[..] else { panic!("{told:?}") };
    assert_eq!(
        told.touches,
        [
            "Trigger http ×1",
            "Artefact lambda 0 ×1",
            "Operation dynamodb.GetItem ×2",
            "Resource dynamodb:table/flights ×2",
            "Operation dynamodb.PutItem ×1",
            "Resource dynamodb:table/bookings ×1",
        ]
    );
    assert_eq!(
        (told.name.as_str(), told.version.as_str(), told.invocation.as_str()),
        ("reserve", "12", "invocation-1-1")
    );
    assert_eq!((told.complete, told.failed, told.handler, told.span), (true, false, Some(3), 1));
    assert_eq!((&told.records[..], &told.repeats[..], told.end), (&[0, 1, 2, 3][..], &[2, 1][..], T + 100 * MS));
    assert_eq!(
        told.quantities,
        [
            (Quantity::DurationUs, 100_000),
            (Quantity::SelfTimeUs, 85_000),
            (Quantity::Calls, 3),
            (Quantity::AfterUs, 0),
            (Quantity::DistinctResources, 2),
        ]
    );
    assert_eq!((assembler.open(), assembler.watermark()), (0, T + 100 * MS));
    assert_eq!(assembler.counters(), Counters::default());
}

#[test]
fn amounts_rows_errors_and_starts_are_measured() {
    let mut scan = call(1, 2, 10, "Scan", "customers");
    scan.failed = true;
    for (key, value) in [
        ("aws.dynamodb.count", Value::IntValue(50)),
        ("http.request_content_length", text("120")),
        ("http.response.body.size", Value::IntValue(9000)),
        ("error.type", text("Throttled")),
    ] {
        scan.attributes.push((key.to_owned(), value));
    }
    let mut init = call(1, 3, 0, "", "");
    (init.kind, init.name, init.attributes) = (1, "init".into(), vec![]);
    let mut failing = handler(1, 1, 0);
    failing.attributes.push(("faas.coldstart".into(), Value::BoolValue(true)));
    failing.failed = true;
    let told = traces(&mut Assembler::new(Settings::default()), &[(RESERVE, &[scan, init, failing])]);
    let [told] = &told[..] else { panic!("{told:?}") };
    assert!(told.failed);
    for key in ["Error dynamodb.Scan Throttled ×1", "Error handler error ×1", "Operation span.init ×1"] {
        assert!(told.touches.iter().any(|touch| touch == key), "{key}: {:?}", told.touches);
    }
    for amount in [
        (Quantity::BytesOut, 120),
        (Quantity::BytesIn, 9000),
        (Quantity::Rows, 50),
        (Quantity::InitUs, 5000),
        (Quantity::SelfTimeUs, 90_000),
        (Quantity::Calls, 1),
    ] {
        assert!(told.quantities.contains(&amount), "{amount:?}: {:?}", told.quantities);
    }
}

#[test]
fn invocations_are_emitted_in_event_time_order() {
    let mut assembler = Assembler::new(Settings::default());
    let told = traces(
        &mut assembler,
        &[(RESERVE, &[handler(3, 1, 300), handler(1, 1, 100), call(2, 2, 210, "GetItem", "a"), handler(2, 1, 200)])],
    );
    assert_eq!(told.iter().map(|told| (told.end - T) / MS).collect::<Vec<_>>(), [200, 300, 400]);
    assert_eq!(told.iter().map(|told| told.records.clone()).collect::<Vec<_>>(), [vec![1], vec![2, 3], vec![0]]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300), at in 0usize..2000, with: u8) {
        let spans = [call(1, 2, 10, "GetItem", "a"), handler(1, 1, 0), handler(2, 7, 0)];
        let mut broken = request(&[(RESERVE, &spans)]);
        let place = at % broken.len();
        broken[place] = with;
        let mut assembler = Assembler::new(Settings { max_open: 2, max_held: 3, max_recent: 2, ..Settings::default() });
        for body in [&bytes, &broken, &bytes] {
            assembler.traces(body, &mut |_| {});
            assembler.logs(body, &mut |_| {});
            assembler.metrics(body, &mut |_| {});
        }
        assembler.advance(Nanos::MAX, &mut |_| {});
        prop_assert_eq!(assembler.open(), 0);
    }

    #[test]
    fn every_span_is_told_at_most_once_in_any_order(
        spans in prop::collection::vec((1u8..4, 1u64..12, 0u64..12, 0i32..6, 0u64..200, prop::sample::select(vec![0u32, 256, 768])), 1..40),
        cuts in prop::collection::vec(1usize..8, 1..20),
    ) {
        let spans: Vec<Spoken> = spans.into_iter().map(|(trace, id, parent, kind, at, flags)| {
            let base = if kind == 2 { handler(trace, id, at) } else { call(trace, id, at, "GetItem", "a") };
            Spoken { parent, kind, flags, ..base }
        }).collect();
        let mut assembler = Assembler::new(Settings::default());
        let (mut told, mut rest) = (Vec::new(), &spans[..]);
        for cut in cuts.into_iter().cycle() {
            let (now, later) = rest.split_at(cut.min(rest.len()));
            let before = told.len();
            assembler.traces(&request(&[(RESERVE, now)]), &mut tell(&mut told));
            let mut records: Vec<u32> = told[before..].iter().flat_map(|told| told.records.clone()).collect();
            records.sort_unstable();
            prop_assert!(records.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", records);
            prop_assert!(records.iter().all(|record| (*record as usize) < now.len()));
            rest = later;
            if rest.is_empty() { break }
        }
        assembler.advance(Nanos::MAX, &mut tell(&mut told));
        let distinct: std::collections::HashSet<_> = spans.iter().map(|span| (span.trace, span.id)).collect();
        let counters = assembler.counters();
        prop_assert_eq!(distinct.len() + counters.duplicates as usize, spans.len());
        let handlers = told.iter().filter(|told| told.complete).count();
        prop_assert!(told.iter().all(|told| told.complete == told.handler.is_some()));
        prop_assert!(handlers <= distinct.len());
        // Every distinct span went into exactly one observation: each has a trigger or an operation.
        let count = |touch: &String| touch.rsplit('×').next().and_then(|count| count.parse::<usize>().ok()).unwrap_or(0);
        let first_keys = |touch: &&String| touch.starts_with("Trigger") || touch.starts_with("Operation");
        let all: usize = told.iter().flat_map(|told| told.touches.iter().filter(first_keys)).map(count).sum();
        prop_assert_eq!(all, distinct.len());
    }
}
