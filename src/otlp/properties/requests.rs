//! Random requests: a few of everything, of any content, keys from so few that they collide.

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    metrics::v1::{
        ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric,
        NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint,
        exponential_histogram_data_point::Buckets, metric::Data, number_data_point,
        summary_data_point::ValueAtQuantile,
    },
    resource::v1::Resource,
    trace::v1::{
        ResourceSpans, ScopeSpans, Span, Status,
        span::{Event, Link},
    },
};
use proptest::{collection::vec, num::f64, option, prelude::*};
use prost::Message as _;

use crate::otlp::Signal;

/// A request of any signal, serialised.
#[derive(Clone, Debug)]
pub struct Request {
    pub signal: Signal,
    pub body: Vec<u8>,
}

pub fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        traces().prop_map(|request| Request { signal: Signal::Traces, body: request.encode_to_vec() }),
        logs().prop_map(|request| Request { signal: Signal::Logs, body: request.encode_to_vec() }),
        metrics().prop_map(|request| Request { signal: Signal::Metrics, body: request.encode_to_vec() }),
    ]
}

/// Any float but NaN, which is not equal to itself.
fn float() -> impl Strategy<Value = f64> {
    f64::POSITIVE | f64::NEGATIVE | f64::NORMAL | f64::SUBNORMAL | f64::ZERO | f64::INFINITE
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![".{0,8}", "[a-z ]{100,200}"]
}

fn id() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(any::<u8>(), 16), vec(any::<u8>(), 8), vec(any::<u8>(), 0..3)]
}

fn value() -> impl Strategy<Value = AnyValue> {
    let leaf = option::of(prop_oneof![
        text().prop_map(Value::StringValue),
        any::<bool>().prop_map(Value::BoolValue),
        any::<i64>().prop_map(Value::IntValue),
        float().prop_map(Value::DoubleValue),
        vec(any::<u8>(), 0..5).prop_map(Value::BytesValue),
    ])
    .prop_map(|value| AnyValue { value });
    leaf.prop_recursive(3, 8, 3, |inner| {
        let entry = ("[a-c]", inner.clone()).prop_map(|(key, value)| KeyValue {
            key,
            value: Some(value),
            ..KeyValue::default()
        });
        prop_oneof![
            vec(inner, 0..3).prop_map(|values| Value::ArrayValue(ArrayValue { values })),
            vec(entry, 0..3).prop_map(|values| Value::KvlistValue(KeyValueList { values })),
        ]
        .prop_map(|value| AnyValue { value: Some(value) })
    })
}

pub fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    let pair = ("[a-f]|é|", option::weighted(0.9, value())).prop_map(|(key, value)| KeyValue {
        key,
        value,
        ..KeyValue::default()
    });
    vec(pair, 0..5)
}

fn resource() -> impl Strategy<Value = Option<Resource>> {
    option::weighted(0.8, (attributes(), any::<u32>())).prop_map(|given| {
        given.map(|(attributes, dropped_attributes_count)| Resource {
            attributes,
            dropped_attributes_count,
            ..Resource::default()
        })
    })
}

fn scope() -> impl Strategy<Value = Option<InstrumentationScope>> {
    option::of((text(), text(), attributes())).prop_map(|given| {
        given.map(|(name, version, attributes)| InstrumentationScope {
            name,
            version,
            attributes,
            dropped_attributes_count: 0,
        })
    })
}

fn span() -> impl Strategy<Value = Span> {
    let event = (any::<u64>(), text(), attributes()).prop_map(|(time_unix_nano, name, attributes)| Event {
        time_unix_nano,
        name,
        attributes,
        dropped_attributes_count: 0,
    });
    let link = (id(), id(), attributes(), any::<u32>()).prop_map(|(trace_id, span_id, attributes, flags)| Link {
        trace_id,
        span_id,
        attributes,
        flags,
        ..Link::default()
    });
    let status = option::of((text(), 0..3).prop_map(|(message, code)| Status { message, code }));
    let ids = (id(), id(), id());
    let rest = (vec(event, 0..3), vec(link, 0..2), status, any::<u32>(), any::<u32>());
    (ids, text(), 0..6, any::<(u64, u64)>(), attributes(), rest).prop_map(
        |((trace_id, span_id, parent_span_id), name, kind, (start, end), attributes, rest)| {
            let (events, links, status, flags, dropped_events_count) = rest;
            Span {
                trace_id,
                span_id,
                parent_span_id,
                name,
                kind,
                start_time_unix_nano: start,
                end_time_unix_nano: end,
                attributes,
                events,
                links,
                status,
                flags,
                dropped_events_count,
                ..Span::default()
            }
        },
    )
}

fn log_record() -> impl Strategy<Value = LogRecord> {
    let ids = (id(), id());
    (any::<(u64, u64)>(), 0..25, text(), option::of(value()), attributes(), ids, text()).prop_map(
        |((time, observed), severity_number, severity_text, body, attributes, (trace_id, span_id), event_name)| {
            LogRecord {
                time_unix_nano: time,
                observed_time_unix_nano: observed,
                severity_number,
                severity_text,
                body,
                attributes,
                trace_id,
                span_id,
                event_name,
                ..LogRecord::default()
            }
        },
    )
}

fn data() -> impl Strategy<Value = Data> {
    let number = || {
        let value = prop_oneof![
            float().prop_map(number_data_point::Value::AsDouble),
            any::<i64>().prop_map(number_data_point::Value::AsInt),
        ];
        let point = (attributes(), any::<u64>(), option::of(value)).prop_map(|(attributes, time_unix_nano, value)| {
            NumberDataPoint { attributes, time_unix_nano, value, ..NumberDataPoint::default() }
        });
        vec(point, 0..3)
    };
    let histogram = (attributes(), vec(any::<u64>(), 0..4), vec(float(), 0..4), option::of(float())).prop_map(
        |(attributes, bucket_counts, explicit_bounds, sum)| HistogramDataPoint {
            attributes,
            bucket_counts,
            explicit_bounds,
            sum,
            ..HistogramDataPoint::default()
        },
    );
    let buckets =
        (any::<i32>(), vec(any::<u64>(), 0..4)).prop_map(|(offset, bucket_counts)| Buckets { offset, bucket_counts });
    let exponential = (attributes(), any::<i32>(), option::of(buckets), option::of(float())).prop_map(
        |(attributes, scale, positive, max)| ExponentialHistogramDataPoint {
            attributes,
            scale,
            positive,
            max,
            ..ExponentialHistogramDataPoint::default()
        },
    );
    let quantile = (float(), float()).prop_map(|(quantile, value)| ValueAtQuantile { quantile, value });
    let summary = (attributes(), any::<u64>(), vec(quantile, 0..3)).prop_map(|(attributes, count, quantile_values)| {
        SummaryDataPoint { attributes, count, quantile_values, ..SummaryDataPoint::default() }
    });
    prop_oneof![
        number().prop_map(|data_points| Data::Gauge(Gauge { data_points })),
        (number(), 0..3, any::<bool>()).prop_map(|(data_points, aggregation_temporality, is_monotonic)| {
            Data::Sum(Sum { data_points, aggregation_temporality, is_monotonic })
        }),
        vec(histogram, 0..3)
            .prop_map(|data_points| Data::Histogram(Histogram { data_points, aggregation_temporality: 1 })),
        vec(exponential, 0..3).prop_map(|data_points| {
            Data::ExponentialHistogram(ExponentialHistogram { data_points, aggregation_temporality: 2 })
        }),
        vec(summary, 0..3).prop_map(|data_points| Data::Summary(Summary { data_points })),
    ]
}

pub fn traces() -> impl Strategy<Value = ExportTraceServiceRequest> {
    let scopes = (scope(), vec(span(), 0..4), text()).prop_map(|(scope, spans, schema_url)| ScopeSpans {
        scope,
        spans,
        schema_url,
    });
    let groups = (resource(), vec(scopes, 0..3), text())
        .prop_map(|(resource, scope_spans, schema_url)| ResourceSpans { resource, scope_spans, schema_url });
    vec(groups, 0..3).prop_map(|resource_spans| ExportTraceServiceRequest { resource_spans })
}

pub fn logs() -> impl Strategy<Value = ExportLogsServiceRequest> {
    let scopes = (scope(), vec(log_record(), 0..4), text()).prop_map(|(scope, log_records, schema_url)| ScopeLogs {
        scope,
        log_records,
        schema_url,
    });
    let groups = (resource(), vec(scopes, 0..3), text()).prop_map(|(resource, scope_logs, schema_url)| ResourceLogs {
        resource,
        scope_logs,
        schema_url,
    });
    vec(groups, 0..3).prop_map(|resource_logs| ExportLogsServiceRequest { resource_logs })
}

pub fn metrics() -> impl Strategy<Value = ExportMetricsServiceRequest> {
    let metric = (text(), text(), attributes(), option::weighted(0.9, data()))
        .prop_map(|(name, unit, metadata, data)| Metric { name, unit, metadata, data, ..Metric::default() });
    let scopes = (scope(), vec(metric, 0..4), text()).prop_map(|(scope, metrics, schema_url)| ScopeMetrics {
        scope,
        metrics,
        schema_url,
    });
    let groups = (resource(), vec(scopes, 0..3), text())
        .prop_map(|(resource, scope_metrics, schema_url)| ResourceMetrics { resource, scope_metrics, schema_url });
    vec(groups, 0..3).prop_map(|resource_metrics| ExportMetricsServiceRequest { resource_metrics })
}
