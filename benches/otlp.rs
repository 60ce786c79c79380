//! What a span costs on its way through the gateway's bytes, and what it costs a gateway that decodes instead.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue as ProtoValue, InstrumentationScope, KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span as ProtoSpan, Status},
};
use prost::Message;
use sekisho::otlp::{
    Batch, Signal,
    check::check,
    compression::{Encoding, compress, decompress},
    edit::{Edit, Keep, Patch, PatchValue, edit},
    view::{self, AnyValue, Span},
};

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SPANS: u64 = 1000;
const RESOURCES: u64 = 10;

fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(ProtoValue { value: Some(value) }), ..KeyValue::default() }
}

fn text(key: &str, value: impl Into<String>) -> KeyValue {
    pair(key, Value::StringValue(value.into()))
}

fn span(n: u64) -> ProtoSpan {
    let spread = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let start = 1_793_491_200_000_000_000 + n * 1_000_003;
    ProtoSpan {
        trace_id: (u128::from(spread) << 64 | u128::from(n)).to_be_bytes().to_vec(),
        span_id: spread.to_be_bytes().to_vec(),
        parent_span_id: spread.rotate_left(17).to_be_bytes().to_vec(),
        name: format!("POST /orders/{{id}}/items-{}", n % 7),
        kind: 2,
        start_time_unix_nano: start,
        end_time_unix_nano: start + spread % 900_000_000,
        attributes: vec![
            text(
                "faas.invocation_id",
                format!("{:08x}-7b1c-4f7e-9d4e-{:012x}", spread >> 32, spread & 0xffff_ffff_ffff),
            ),
            text("faas.trigger", "http"),
            pair("faas.coldstart", Value::BoolValue(n.is_multiple_of(50))),
            text("http.request.method", "POST"),
            text("http.route", "/orders/{id}/items"),
            text("url.path", format!("/orders/{}/items", spread % 100_000)),
            pair("http.response.status_code", Value::IntValue(if n.is_multiple_of(90) { 500 } else { 200 })),
            text("cloud.resource_id", "arn:aws:lambda:eu-central-1:123456789012:fn:orders"),
            text("server.address", "a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com"),
        ],
        status: Some(Status { message: String::new(), code: u8::from(n.is_multiple_of(90)).into() }),
        flags: 0x101,
        ..ProtoSpan::default()
    }
}

fn request() -> ExportTraceServiceRequest {
    let group = |r: u64| ResourceSpans {
        resource: Some(Resource {
            attributes: vec![
                text("service.name", format!("orders-{r}")),
                text("cloud.provider", "aws"),
                text("cloud.region", "eu-central-1"),
                text("faas.name", format!("orders-{r}-production")),
                text("faas.version", "$LATEST"),
                pair("faas.max_memory", Value::IntValue(512 << 20)),
            ],
            ..Resource::default()
        }),
        scope_spans: vec![ScopeSpans {
            scope: Some(InstrumentationScope {
                name: "io.opentelemetry.aws-lambda".into(),
                version: "0.54.0".into(),
                ..InstrumentationScope::default()
            }),
            spans: (0..SPANS / RESOURCES).map(|n| span(r * 1000 + n)).collect(),
            ..ScopeSpans::default()
        }],
        ..ResourceSpans::default()
    };
    ExportTraceServiceRequest { resource_spans: (0..RESOURCES).map(group).collect() }
}

/// Reads the fields and eight keys of every span.
fn walk(body: &[u8]) -> u64 {
    let mut sum = 0_u64;
    for group in view::resources(body) {
        for scope in group.scopes() {
            for record in scope.records() {
                let mut seen = [AnyValue::Empty; 8];
                let span = Span::scan(record, |key, value| {
                    let slot = match key {
                        b"faas.invocation_id" => 0,
                        b"faas.trigger" => 1,
                        b"faas.coldstart" => 2,
                        b"http.request.method" => 3,
                        b"http.route" => 4,
                        b"url.path" => 5,
                        b"http.response.status_code" => 6,
                        b"server.address" => 7,
                        _ => return,
                    };
                    seen[slot] = value;
                });
                black_box(&seen);
                sum = sum.wrapping_add(span.end - span.start);
            }
        }
    }
    sum
}

/// Sets the same attributes on every span.
struct Append<'a>(&'a [(&'a str, PatchValue<'a>)]);

impl Edit for Append<'_> {
    fn record(&mut self, _index: usize, _record: &[u8], patch: &mut Patch) -> Keep {
        for (key, value) in self.0 {
            patch.set(key, *value);
        }
        Keep::Yes
    }
}

const PLAIN: [(&str, PatchValue<'static>); 4] = [
    ("deployment.environment", PatchValue::Str("production")),
    ("team", PatchValue::Str("checkout")),
    ("sampled", PatchValue::Bool(true)),
    ("gateway.shard", PatchValue::Int(7)),
];
const ANOMALY: [(&str, PatchValue<'static>); 5] = [
    ("sekisho.anomaly", PatchValue::Bool(true)),
    ("sekisho.anomaly.score", PatchValue::Double(0.97)),
    ("sekisho.anomaly.p_value", PatchValue::Double(0.000_31)),
    ("sekisho.anomaly.kind", PatchValue::Str("latency")),
    ("sekisho.anomaly.reason", PatchValue::Str("took 2.4 s, 99 of 100 take less than 310 ms")),
];

fn decode_push_encode(body: &Bytes) -> Vec<u8> {
    let mut request = ExportTraceServiceRequest::decode(body.clone()).expect("the bench's own request");
    for group in &mut request.resource_spans {
        for scope in &mut group.scope_spans {
            for span in &mut scope.spans {
                span.attributes.extend([
                    text("deployment.environment", "production"),
                    text("team", "checkout"),
                    pair("sampled", Value::BoolValue(true)),
                    pair("gateway.shard", Value::IntValue(7)),
                ]);
            }
        }
    }
    request.encode_to_vec()
}

fn spans(criterion: &mut Criterion) {
    let body = Bytes::from(request().encode_to_vec());
    let items = check(Signal::Traces, &body).expect("the bench's own request");
    assert_eq!(items as u64, SPANS);
    let size = body.len() as u64 / SPANS;
    assert!((440..=520).contains(&size), "{size} bytes a span");
    let batch = Batch { signal: Signal::Traces, body: body.clone(), items };
    let gzip = compress(Encoding::Gzip, &body);
    let zstd = compress(Encoding::Zstd, &body);

    let mut group = criterion.benchmark_group("span");
    group.throughput(Throughput::Elements(SPANS));
    group.bench_function("check", |bencher| bencher.iter(|| check(Signal::Traces, black_box(&body))));
    group.bench_function("walk 8 keys", |bencher| bencher.iter(|| walk(black_box(&body))));
    group.bench_function("append 4", |bencher| bencher.iter(|| edit(black_box(&batch), &mut Append(&PLAIN))));
    group.bench_function("append 5 of an anomaly", |bencher| {
        bencher.iter(|| edit(black_box(&batch), &mut Append(&ANOMALY)));
    });
    group.bench_function("gzip compress", |bencher| bencher.iter(|| compress(Encoding::Gzip, black_box(&body))));
    group.bench_function("gzip decompress", |bencher| {
        bencher.iter(|| decompress(Encoding::Gzip, black_box(&gzip), 64 << 20));
    });
    group.bench_function("zstd compress", |bencher| bencher.iter(|| compress(Encoding::Zstd, black_box(&body))));
    group.bench_function("zstd decompress", |bencher| {
        bencher.iter(|| decompress(Encoding::Zstd, black_box(&zstd), 64 << 20));
    });
    group.bench_function("prost decode", |bencher| {
        bencher.iter_batched(
            || body.clone(),
            |body| ExportTraceServiceRequest::decode(body).expect("the bench's own request"),
            BatchSize::LargeInput,
        );
    });
    group.bench_function("prost decode, push 4, encode", |bencher| {
        bencher.iter(|| decode_push_encode(black_box(&body)));
    });
    group.finish();
}

criterion_group!(otlp, spans);
criterion_main!(otlp);
