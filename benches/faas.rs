//! What the assembler costs a span, by the number of functions: `cargo bench --bench faas`.

use std::{hint::black_box, time::Duration};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message;
use sekisho::faas::assembler::{Assembler, Settings};

const START: u64 = 1_793_491_200_000_000_000;
const SPANS: u64 = 10;
/// Invocations in one request, as a batch holds them.
const BATCH: u64 = 100;

fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn text(key: &str, value: &str) -> KeyValue {
    pair(key, Value::StringValue(value.into()))
}

/// What botocore's instrumentation says of a call.
fn call(function: u64, n: u64, request: u64) -> Vec<KeyValue> {
    let table = format!("table-{}-{}", ["seats", "orders", "users", "flights"][n as usize % 4], function % 2000);
    let tables = ArrayValue { values: vec![AnyValue { value: Some(Value::StringValue(table)) }] };
    vec![
        text("rpc.system", "aws-api"),
        text("rpc.service", "DynamoDB"),
        text("rpc.method", ["GetItem", "PutItem", "Query"][n as usize % 3]),
        text("cloud.region", "eu-west-1"),
        text("server.address", "dynamodb.eu-west-1.amazonaws.com"),
        pair("server.port", Value::IntValue(443)),
        text("db.system", "dynamodb"),
        text("db.operation", ["GetItem", "PutItem", "Query"][n as usize % 3]),
        pair("aws.dynamodb.table_names", Value::ArrayValue(tables)),
        text("aws.request_id", &format!("{:052}", request * SPANS + n)),
        pair("retry_attempts", Value::IntValue(0)),
        pair("http.status_code", Value::IntValue(200)),
    ]
}

fn invocation(function: u64, request: u64) -> ResourceSpans {
    let name = format!("function-{function}");
    let resource = vec![
        text("telemetry.sdk.language", "python"),
        text("telemetry.sdk.name", "opentelemetry"),
        text("telemetry.sdk.version", "1.45.1"),
        text("service.instance.id", &format!("514547e5-ba1c-4c3d-b698-{request:012}")),
        text("service.name", &name),
        text("cloud.provider", "aws"),
        text("cloud.platform", "aws_lambda"),
        text("cloud.region", "eu-west-1"),
        text("faas.name", &name),
        text("faas.version", "12"),
        text("faas.instance", "2026/06/09/[12]02dd099faba5453c1ba1544de5f75e2f"),
    ];
    let trace_id = u128::from(request.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1).to_le_bytes().to_vec();
    let start = START + request * 1_000_000;
    let span = |n: u64| Span {
        trace_id: trace_id.clone(),
        span_id: (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes().to_vec(),
        start_time_unix_nano: start + n * 1000,
        end_time_unix_nano: start + n * 1000 + 900,
        flags: 256,
        ..Span::default()
    };
    let calls = (1..SPANS).map(|n| Span {
        kind: 3,
        name: "DynamoDB.GetItem".into(),
        parent_span_id: span(0).span_id,
        attributes: call(function, n, request),
        ..span(n)
    });
    let handler = Span {
        kind: 2,
        name: name.clone(),
        end_time_unix_nano: start + 20_000,
        attributes: vec![
            text("cloud.account.id", "123456789012"),
            text("cloud.resource_id", &format!("arn:aws:lambda:eu-west-1:123456789012:function:{name}")),
            text("faas.invocation_id", &format!("e5c36988-0346-e0d3-d961-{request:012}")),
            text("faas.trigger", "http"),
            text("http.method", "GET"),
            text("http.route", "/flights"),
        ],
        ..span(0)
    };
    let scope =
        |name: &str| Some(InstrumentationScope { name: name.into(), version: "0.66b1".into(), ..Default::default() });
    ResourceSpans {
        resource: Some(Resource { attributes: resource, ..Resource::default() }),
        scope_spans: vec![
            ScopeSpans {
                scope: scope("opentelemetry.instrumentation.botocore.dynamodb"),
                spans: calls.collect(),
                ..ScopeSpans::default()
            },
            ScopeSpans {
                scope: scope("opentelemetry.instrumentation.aws_lambda"),
                spans: vec![handler],
                ..ScopeSpans::default()
            },
        ],
        ..ResourceSpans::default()
    }
}

/// Requests in which every function runs once, and more until there are some.
fn requests(functions: u64) -> Vec<Vec<u8>> {
    let invocations = functions.max(10_000);
    let batch = |first: u64| {
        let resource_spans = (first..first + BATCH).map(|n| invocation(n % functions, n)).collect();
        ExportTraceServiceRequest { resource_spans }.encode_to_vec()
    };
    (0..invocations / BATCH).map(|n| batch(n * BATCH)).collect()
}

fn assembler(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("assembler");
    group.sample_size(10).measurement_time(Duration::from_secs(5));
    for functions in [10, 1_000, 100_000] {
        let requests = requests(functions);
        let spans = requests.len() as u64 * BATCH * SPANS;
        group.throughput(Throughput::Elements(spans));
        let mut assembler = Assembler::new(Settings::default());
        let mut salt = 0u8;
        group.bench_function(BenchmarkId::from_parameter(functions), |bencher| {
            bencher.iter_custom(|rounds| {
                let mut total = Duration::ZERO;
                for _ in 0..rounds {
                    // New traces every round: what was seen would be a duplicate.
                    salt = salt.wrapping_add(1);
                    let requests: Vec<_> = requests.iter().map(|request| resalted(request, salt)).collect();
                    let before = cpu_time();
                    let told = run(&mut assembler, &requests);
                    total += cpu_time().saturating_sub(before);
                    assert_eq!(told * SPANS, spans);
                }
                total
            });
        });
    }
    group.finish();
}

/// Reads all requests; says how many complete invocations they told of.
fn run(assembler: &mut Assembler, requests: &[Vec<u8>]) -> u64 {
    let mut told = 0;
    for request in requests {
        assembler.traces(request, &mut |invocation| {
            told += u64::from(invocation.observation.complete);
            black_box(&invocation);
        });
        assembler.advance(0, &mut |_| {});
    }
    told
}

/// Time this thread has had a processor, so that a busy machine does not count. Linux only; exact to its clock tick.
fn cpu_time() -> Duration {
    let schedule = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(schedule.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0))
}

/// The request with other trace ids: their zero bytes, eight in a row behind the tag and length, become `salt`.
fn resalted(request: &[u8], salt: u8) -> Vec<u8> {
    let mut request = request.to_vec();
    let mut at = 0;
    while at + 18 <= request.len() {
        if request[at] == 0x0a && request[at + 1] == 16 && request[at + 10..at + 18] == [0; 8] {
            request[at + 10..at + 18].fill(salt);
            at += 18;
        } else {
            at += 1;
        }
    }
    request
}

criterion_group!(benches, assembler);
criterion_main!(benches);
