//! Small telemetry, built with the official types.

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{AnyValue, KeyValue, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    metrics::v1::{Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric, number_data_point},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, span::SpanKind},
};

/// 1 November 2026, the beginning of time in most tests.
pub const START: u64 = 1_793_491_200_000_000_000;

/// A string attribute.
pub fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value.into())) });
    KeyValue { key: key.into(), value, ..KeyValue::default() }
}

/// A resource that says which function it is.
pub fn function(name: &str) -> Resource {
    let attributes = vec![
        text("cloud.provider", "aws"),
        text("cloud.region", "eu-west-1"),
        text("faas.name", name),
        text("faas.version", "7"),
        text("service.name", name),
    ];
    Resource { attributes, ..Resource::default() }
}

/// `count` handler spans of `name`, each a trace of its own, a second apart; ids count up from `first`.
pub fn invocations(name: &str, first: u64, count: u64) -> ExportTraceServiceRequest {
    let spans = (first..first + count).map(|number| {
        let start = START + number * 1_000_000_000;
        Span {
            trace_id: u128::from(number + 1).to_be_bytes().to_vec(),
            span_id: (number + 1).to_be_bytes().to_vec(),
            name: format!("{name} handler"),
            kind: SpanKind::Server as i32,
            start_time_unix_nano: start,
            end_time_unix_nano: start + 20_000_000,
            attributes: vec![text("faas.invocation_id", &format!("invocation-{number}")), text("faas.trigger", "http")],
            ..Span::default()
        }
    });
    request(function(name), spans.collect())
}

/// One request with one resource and one scope.
pub fn request(resource: Resource, spans: Vec<Span>) -> ExportTraceServiceRequest {
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource_spans = ResourceSpans { resource: Some(resource), scope_spans, ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![resource_spans] }
}

/// `count` log records.
pub fn logs(count: u64) -> ExportLogsServiceRequest {
    let records = (0..count).map(|number| LogRecord {
        time_unix_nano: START + number,
        body: Some(AnyValue { value: Some(Value::StringValue(format!("line {number}"))) }),
        ..LogRecord::default()
    });
    let scope_logs = vec![ScopeLogs { log_records: records.collect(), ..ScopeLogs::default() }];
    let resource_logs = ResourceLogs { resource: Some(function("f")), scope_logs, ..ResourceLogs::default() };
    ExportLogsServiceRequest { resource_logs: vec![resource_logs] }
}

/// One gauge with `count` points.
pub fn metrics(count: u64) -> ExportMetricsServiceRequest {
    let points = (0..count).map(|number| NumberDataPoint {
        time_unix_nano: START + number,
        value: Some(number_data_point::Value::AsInt(7)),
        ..NumberDataPoint::default()
    });
    let gauge = Gauge { data_points: points.collect() };
    let metric = Metric { name: "queue.depth".into(), data: Some(metric::Data::Gauge(gauge)), ..Metric::default() };
    let scope_metrics = vec![ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() }];
    let resource_metrics =
        ResourceMetrics { resource: Some(function("f")), scope_metrics, ..ResourceMetrics::default() };
    ExportMetricsServiceRequest { resource_metrics: vec![resource_metrics] }
}
