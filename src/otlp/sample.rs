//! Requests for tests, built with the official types: every field that OTLP has, set to something.

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    metrics::v1::{
        Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric,
        NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, exemplar,
        exponential_histogram_data_point::Buckets, metric::Data, number_data_point,
        summary_data_point::ValueAtQuantile,
    },
    resource::v1::Resource,
    trace::v1::{
        ResourceSpans, ScopeSpans, Span, Status,
        span::{Event, Link},
    },
};

/// Data points in each round of [`metrics`].
pub const POINTS_A_ROUND: usize = 5;
const TIME: u64 = 1_793_491_200_000_000_000;

pub fn value(value: Value) -> Option<AnyValue> {
    Some(AnyValue { value: Some(value) })
}

pub fn pair(key: &str, set: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: value(set), ..KeyValue::default() }
}

pub fn attributes(n: u64) -> Vec<KeyValue> {
    vec![
        pair("text", Value::StringValue(format!("größe {n}"))),
        pair("flag", Value::BoolValue(true)),
        pair("count", Value::IntValue(-(n as i64) - 1)),
        pair("ratio", Value::DoubleValue(0.5)),
        pair("bytes", Value::BytesValue(vec![0, 255, 10])),
        pair("list", Value::ArrayValue(ArrayValue { values: value(Value::IntValue(7)).into_iter().collect() })),
        pair("map", Value::KvlistValue(KeyValueList { values: vec![pair("inner", Value::StringValue("x".into()))] })),
        KeyValue { key: "empty".into(), ..KeyValue::default() },
    ]
}

fn resource() -> Option<Resource> {
    Some(Resource { attributes: attributes(0), dropped_attributes_count: 1, ..Resource::default() })
}

fn scope() -> Option<InstrumentationScope> {
    let (name, version) = ("io.test".into(), "1.2".into());
    Some(InstrumentationScope { name, version, attributes: attributes(1), dropped_attributes_count: 2 })
}

pub fn traces(spans: u64) -> ExportTraceServiceRequest {
    let span = |n: u64| Span {
        trace_id: u128::from(n + 1).to_be_bytes().to_vec(),
        span_id: (n + 1).to_be_bytes().to_vec(),
        trace_state: "a=b".into(),
        parent_span_id: vec![9; 8],
        name: format!("span {n}"),
        kind: 3,
        start_time_unix_nano: TIME + n,
        end_time_unix_nano: TIME + n + 5,
        attributes: attributes(n),
        dropped_attributes_count: 3,
        events: vec![Event {
            time_unix_nano: TIME,
            name: "exception".into(),
            attributes: attributes(2),
            dropped_attributes_count: 4,
        }],
        dropped_events_count: 5,
        links: vec![Link {
            trace_id: vec![3; 16],
            span_id: vec![4; 8],
            trace_state: "c=d".into(),
            attributes: attributes(3),
            dropped_attributes_count: 6,
            flags: 257,
        }],
        dropped_links_count: 7,
        status: Some(Status { message: "broken".into(), code: 2 }),
        flags: 256,
    };
    let scope_spans =
        vec![ScopeSpans { scope: scope(), spans: (0..spans).map(span).collect(), schema_url: "https://s".into() }];
    let resource_spans = vec![ResourceSpans { resource: resource(), scope_spans, schema_url: "https://r".into() }];
    ExportTraceServiceRequest { resource_spans }
}

pub fn logs(records: u64) -> ExportLogsServiceRequest {
    let record = |n: u64| LogRecord {
        time_unix_nano: TIME + n,
        observed_time_unix_nano: TIME + n + 1,
        severity_number: 17,
        severity_text: "ERROR".into(),
        body: value(Value::StringValue(format!("line {n}"))),
        attributes: attributes(n),
        dropped_attributes_count: 1,
        flags: 1,
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        event_name: "event".into(),
    };
    let log_records = (0..records).map(record).collect();
    let scope_logs = vec![ScopeLogs { scope: scope(), log_records, schema_url: String::new() }];
    let resource_logs = vec![ResourceLogs { resource: resource(), scope_logs, schema_url: String::new() }];
    ExportLogsServiceRequest { resource_logs }
}

pub fn metrics(rounds: u64) -> ExportMetricsServiceRequest {
    let metrics = (0..rounds).flat_map(round).collect();
    let scope_metrics = vec![ScopeMetrics { scope: scope(), metrics, schema_url: String::new() }];
    let resource_metrics = vec![ResourceMetrics { resource: resource(), scope_metrics, schema_url: String::new() }];
    ExportMetricsServiceRequest { resource_metrics }
}

fn round(n: u64) -> Vec<Metric> {
    let exemplars = vec![Exemplar {
        filtered_attributes: attributes(n),
        time_unix_nano: TIME,
        span_id: vec![5; 8],
        trace_id: vec![6; 16],
        value: Some(exemplar::Value::AsInt(-3)),
    }];
    let number = |value| NumberDataPoint {
        attributes: attributes(n),
        start_time_unix_nano: TIME,
        time_unix_nano: TIME + n,
        exemplars: exemplars.clone(),
        flags: 1,
        value: Some(value),
    };
    let histogram = HistogramDataPoint {
        attributes: attributes(n),
        start_time_unix_nano: TIME,
        time_unix_nano: TIME + n,
        count: 6,
        sum: Some(1.5),
        bucket_counts: vec![1, 2, 3],
        explicit_bounds: vec![0.5, 10.0],
        exemplars: exemplars.clone(),
        flags: 0,
        min: Some(0.25),
        max: Some(99.0),
    };
    let buckets = |offset| Some(Buckets { offset, bucket_counts: vec![1, 0, 300] });
    let exponential = ExponentialHistogramDataPoint {
        attributes: attributes(n),
        start_time_unix_nano: TIME,
        time_unix_nano: TIME + n,
        count: 301,
        sum: Some(2.5),
        scale: -2,
        zero_count: 1,
        positive: buckets(-1),
        negative: buckets(4),
        flags: 1,
        exemplars: exemplars.clone(),
        min: None,
        max: Some(7.0),
        zero_threshold: 0.001,
    };
    let summary = SummaryDataPoint {
        attributes: attributes(n),
        start_time_unix_nano: TIME,
        time_unix_nano: TIME + n,
        count: 2,
        sum: 3.0,
        quantile_values: vec![ValueAtQuantile { quantile: 0.5, value: 1.0 }],
        flags: 0,
    };
    let metric = |name: &str, data| Metric {
        name: name.into(),
        description: "what".into(),
        unit: "By".into(),
        metadata: attributes(n),
        data: Some(data),
    };
    vec![
        metric("gauge", Data::Gauge(Gauge { data_points: vec![number(number_data_point::Value::AsDouble(1.25))] })),
        metric(
            "sum",
            Data::Sum(Sum {
                data_points: vec![number(number_data_point::Value::AsInt(-5))],
                aggregation_temporality: 2,
                is_monotonic: true,
            }),
        ),
        metric("histogram", Data::Histogram(Histogram { data_points: vec![histogram], aggregation_temporality: 1 })),
        metric(
            "exponential",
            Data::ExponentialHistogram(ExponentialHistogram {
                data_points: vec![exponential],
                aggregation_temporality: 2,
            }),
        ),
        metric("summary", Data::Summary(Summary { data_points: vec![summary] })),
    ]
}
