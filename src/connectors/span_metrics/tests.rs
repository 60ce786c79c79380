use std::path::Path;

use opentelemetry_proto::tonic::{
    collector::{metrics::v1::ExportMetricsServiceRequest, trace::v1::ExportTraceServiceRequest},
    common::v1::any_value::Value,
    metrics::v1::{HistogramDataPoint, NumberDataPoint, metric::Data, number_data_point},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, Status},
};
use prost::Message as _;

use super::*;
use crate::{
    config::Kind,
    otlp::{check::check, sample::pair},
    pipeline::{
        component::Route,
        probe::{self, Script},
    },
};

const MS: u64 = 1_000_000;
const AT: u64 = 1_793_491_200_000_000_000;

fn config(yaml: &str) -> Config {
    let (config, problems) = probe::config(Kind::Connector, yaml);
    assert_eq!(problems, "", "{yaml}");
    config
}

fn span(name: &str, millis: u64) -> Span {
    Span {
        trace_id: vec![7; 16],
        span_id: vec![8; 8],
        name: name.to_owned(),
        kind: 2,
        start_time_unix_nano: AT,
        end_time_unix_nano: AT + millis * MS,
        status: Some(Status { code: 2, ..Status::default() }),
        ..Span::default()
    }
}

fn batch(service: &str, spans: Vec<Span>) -> Batch {
    let items = spans.len();
    let attributes = vec![
        pair("service.name", Value::StringValue(service.to_owned())),
        pair("region", Value::StringValue("eu".into())),
    ];
    let resource_spans = vec![ResourceSpans {
        resource: Some(Resource { attributes, ..Resource::default() }),
        scope_spans: vec![ScopeSpans { spans, ..ScopeSpans::default() }],
        ..ResourceSpans::default()
    }];
    Batch { signal: Signal::Traces, body: ExportTraceServiceRequest { resource_spans }.encode_to_vec().into(), items }
}

fn see(aggregate: &mut Aggregate, batch: &Batch, now: u64) {
    view::resources(&batch.body).for_each(|group| aggregate.resource(&group, now));
}

/// Points of a kind as `service of the resource|attributes`, with what is wanted of each.
fn points<P, T>(
    requests: &[Batch],
    name: &str,
    of: impl Fn(&Data) -> Vec<P>,
    tell: impl Fn(&P) -> (Vec<opentelemetry_proto::tonic::common::v1::KeyValue>, T),
) -> Vec<(String, T)> {
    let text = |attributes: &[opentelemetry_proto::tonic::common::v1::KeyValue]| {
        let one = |kv: &opentelemetry_proto::tonic::common::v1::KeyValue| match kv.value.clone().unwrap().value.unwrap()
        {
            Value::StringValue(text) => format!("{}={text}", kv.key),
            other => format!("{}={other:?}", kv.key),
        };
        attributes.iter().map(one).collect::<Vec<_>>().join(" ")
    };
    let mut found = Vec::new();
    for request in requests {
        assert_eq!(check(Signal::Metrics, &request.body), Ok(request.items));
        for resource in ExportMetricsServiceRequest::decode(request.body.clone()).unwrap().resource_metrics {
            let of_resource = resource.resource.unwrap().attributes;
            for metric in resource.scope_metrics[0].metrics.iter().filter(|metric| metric.name == name) {
                for point in of(metric.data.as_ref().unwrap()) {
                    let (attributes, told) = tell(&point);
                    found.push((format!("{}|{}", text(&of_resource), text(&attributes)), told));
                }
            }
        }
    }
    found
}

fn calls(requests: &[Batch]) -> Vec<(String, i64)> {
    let of = |data: &Data| match data {
        Data::Sum(sum) => sum.data_points.clone(),
        other => panic!("{other:?}"),
    };
    points(requests, "traces.span.metrics.calls", of, |point: &NumberDataPoint| {
        let Some(number_data_point::Value::AsInt(count)) = point.value else { panic!("{point:?}") };
        (point.attributes.clone(), count)
    })
}

fn durations(requests: &[Batch]) -> Vec<HistogramDataPoint> {
    let of = |data: &Data| match data {
        Data::Histogram(histogram) => histogram.data_points.clone(),
        other => panic!("{other:?}"),
    };
    let all = points(requests, "traces.span.metrics.duration", of, |point: &HistogramDataPoint| {
        (point.attributes.clone(), point.clone())
    });
    all.into_iter().map(|(_, point)| point).collect()
}

/// Scenario: spans of two services and two names, with and without a dimension.
/// Guarantees: one series for each combination, under its resource, with the usual dimensions and those asked for.
#[test]
fn series_are_told_apart_by_resource_and_dimensions() {
    let dimensions = "dimensions: [{name: region}, {name: method, default: none}]\nexclude_dimensions: [span.kind]";
    let mut aggregate = Aggregate::new(config(dimensions));
    let mut get = span("GET /", 5);
    get.attributes = vec![pair("method", Value::StringValue("GET".into()))];
    see(&mut aggregate, &batch("shop", vec![get.clone(), get, span("pay", 3)]), 1);
    see(&mut aggregate, &batch("till", vec![span("pay", 3)]), 1);
    let expected = [
        (
            "service.name=shop region=eu|service.name=shop span.name=GET / status.code=STATUS_CODE_ERROR region=eu method=GET",
            2,
        ),
        (
            "service.name=shop region=eu|service.name=shop span.name=pay status.code=STATUS_CODE_ERROR region=eu method=none",
            1,
        ),
        (
            "service.name=till region=eu|service.name=till span.name=pay status.code=STATUS_CODE_ERROR region=eu method=none",
            1,
        ),
    ];
    let mut found = calls(&aggregate.flush(2));
    found.sort();
    assert_eq!(found, expected.map(|(series, count)| (series.to_owned(), count)));
}

/// Scenario: durations on, below and above bounds; a span that ends before it starts.
/// Guarantees: a bound belongs to the bucket below it; count, sum, min and max are right; an impossible span lasts 0.
#[test]
fn durations_are_counted_in_their_buckets() {
    let mut aggregate = Aggregate::new(config("histogram: {explicit: {buckets: [2ms, 10ms]}}"));
    let mut backwards = span("op", 0);
    backwards.end_time_unix_nano = AT - 1;
    see(&mut aggregate, &batch("shop", vec![span("op", 2), span("op", 3), span("op", 11), backwards]), 7);
    let [point] = durations(&aggregate.flush(9)).try_into().unwrap();
    assert_eq!((point.explicit_bounds, point.bucket_counts), (vec![2.0, 10.0], vec![2, 1, 1]));
    assert_eq!((point.count, point.sum, point.min, point.max), (4, Some(16.0), Some(0.0), Some(11.0)));
    assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (7, 9));
}

#[test]
fn seconds_and_exponential_buckets_on_demand() {
    let mut aggregate = Aggregate::new(config("histogram: {unit: s, exponential: {max_size: 8}}"));
    see(&mut aggregate, &batch("shop", vec![span("op", 0), span("op", 1500), span("op", 60_000)]), 1);
    let of = |data: &Data| match data {
        Data::ExponentialHistogram(histogram) => histogram.data_points.clone(),
        other => panic!("{other:?}"),
    };
    let found = points(&aggregate.flush(2), "traces.span.metrics.duration", of, |point| {
        (
            Vec::new(),
            (
                point.zero_count,
                point.count,
                point.sum,
                point.positive.as_ref().unwrap().bucket_counts.iter().sum::<u64>(),
            ),
        )
    });
    assert_eq!(found[0].1, (1, 3, Some(61.5), 2));
}

#[test]
fn cumulative_counts_on_and_delta_begins_anew() {
    for (temporality, second) in [("CUMULATIVE", 3), ("DELTA", 1)] {
        let yaml = format!("aggregation_temporality: AGGREGATION_TEMPORALITY_{temporality}");
        let mut aggregate = Aggregate::new(config(&yaml));
        see(&mut aggregate, &batch("shop", vec![span("op", 1), span("op", 1)]), 1);
        assert_eq!(calls(&aggregate.flush(2))[0].1, 2);
        see(&mut aggregate, &batch("shop", vec![span("op", 1)]), 3);
        assert_eq!(calls(&aggregate.flush(4))[0].1, second, "{temporality}");
    }
}

/// Scenario: a sender makes up operations, resources and long names without end.
/// Guarantees: series and resources stay within their limits, every span is counted somewhere, known series go on.
#[test]
fn what_is_kept_is_bounded_and_nothing_is_uncounted() {
    let mut aggregate = Aggregate::new(config("aggregation_cardinality_limit: 10\nresource_metrics_cache_size: 3"));
    for n in 0..50 {
        see(&mut aggregate, &batch("shop", vec![span(&format!("GET /{n}"), 1), span("GET /0", 1)]), 1);
        see(&mut aggregate, &batch(&format!("made up {n}"), vec![span("op", 1)]), 1);
    }
    see(&mut aggregate, &batch("shop", vec![span(&"x".repeat(LONG), 1)]), 1);
    // Ten, and an overflow series for each resource and for what has none.
    assert!(aggregate.series() <= 10 + 3 + 1, "{}", aggregate.series());
    let found = calls(&aggregate.flush(2));
    assert_eq!(found.iter().map(|(_, count)| count).sum::<i64>(), 151);
    let known = found.iter().find(|(series, _)| series.contains("span.name=GET /0 ")).unwrap();
    assert_eq!(known.1, 51, "a known series counts on");
    let overflow: Vec<_> = found.iter().filter(|(series, _)| series.contains("otel.metric.overflow")).collect();
    assert!(overflow.iter().any(|(series, _)| series == "|otel.metric.overflow=BoolValue(true)"), "{overflow:?}");
    assert_eq!(overflow.iter().map(|(_, count)| *count).sum::<i64>() as u64, aggregate.overflowed);
}

const LONG: usize = 5000;

#[test]
fn a_series_unseen_for_too_long_is_forgotten_with_its_resource() {
    let mut aggregate = Aggregate::new(config("metrics_expiration: 1s\nresource_metrics_cache_size: 2"));
    see(&mut aggregate, &batch("a", vec![span("op", 1)]), 0);
    see(&mut aggregate, &batch("b", vec![span("op", 1)]), 1_500_000_000);
    assert_eq!(calls(&aggregate.flush(1_500_000_000)).len(), 2, "told once more before it goes");
    see(&mut aggregate, &batch("c", vec![span("op", 1)]), 1_600_000_000);
    let found = calls(&aggregate.flush(1_600_000_000));
    let services: Vec<&str> = found.iter().map(|(series, _)| &series[13..14]).collect();
    assert_eq!(services, ["b", "c"]);
    assert_eq!(aggregate.overflowed, 0, "the room of `a` was free again");
}

#[test]
fn exemplars_are_few_and_told_once() {
    let mut aggregate = Aggregate::new(config("exemplars: {enabled: true, max_per_data_point: 2}"));
    see(&mut aggregate, &batch("shop", vec![span("op", 1), span("op", 2), span("op", 3)]), 1);
    let first = durations(&aggregate.flush(2)).remove(0).exemplars;
    assert_eq!(first.len(), 2);
    assert_eq!((first[0].trace_id.as_slice(), first[0].span_id.as_slice()), (&[7; 16][..], &[8; 8][..]));
    assert!(durations(&aggregate.flush(3))[0].exemplars.is_empty());
}

#[test]
fn calls_and_durations_may_have_dimensions_of_their_own() {
    let yaml = "calls_dimensions: [{name: region}]";
    let mut aggregate = Aggregate::new(config(yaml));
    see(&mut aggregate, &batch("shop", vec![span("op", 1)]), 1);
    let requests = aggregate.flush(2);
    assert!(calls(&requests)[0].0.ends_with("region=eu"));
    assert_eq!(durations(&requests)[0].attributes.len(), 4);
    let mut aggregate = Aggregate::new(config("histogram: {disable: true}\nnamespace: ''"));
    see(&mut aggregate, &batch("shop", vec![span("op", 1)]), 1);
    let request = ExportMetricsServiceRequest::decode(aggregate.flush(2).remove(0).body).unwrap();
    let names: Vec<_> =
        request.resource_metrics[0].scope_metrics[0].metrics.iter().map(|metric| &metric.name).collect();
    assert_eq!(names, ["calls"]);
}

#[test]
fn a_large_flush_is_several_requests() {
    let mut aggregate = Aggregate::new(config(""));
    for n in 0..200 {
        let spans = (0..50).map(|m| span(&format!("operation {n} {m}"), 1)).collect();
        see(&mut aggregate, &batch("shop", spans), 1);
    }
    let requests = aggregate.flush(2);
    assert!(requests.len() > 1);
    assert!(requests.iter().all(|request| request.body.len() < 3 << 20));
    assert_eq!(calls(&requests).iter().map(|(_, count)| count).sum::<i64>(), 10_000);
}

/// Scenario: the metrics pipeline is full, then takes; the connector is drained.
/// Guarantees: what was counted arrives, and once only.
#[tokio::test(start_paused = true)]
async fn a_flush_is_offered_until_it_is_taken_and_drain_flushes_the_rest() {
    let script = Script::new([Outcome::Overloaded { after: Duration::from_secs(2) }]);
    let outputs = Outputs::default();
    outputs.connect(vec![Route { signal: Signal::Metrics, pipeline: "metrics".to_owned(), head: script.clone() }]);
    let context = probe::context("span_metrics", Path::new(""));
    let yaml = "metrics_flush_interval: 10s\naggregation_temporality: AGGREGATION_TEMPORALITY_DELTA";
    let node = config(yaml).build(outputs, &context).unwrap();
    assert_eq!(node.consume(batch("shop", vec![span("op", 1)])).await, Outcome::Accepted);
    tokio::time::sleep(Duration::from_secs(13)).await;
    assert_eq!(script.asked(), 2);
    assert_eq!(calls(&script.taken())[0].1, 1);
    assert_eq!(node.consume(batch("shop", vec![span("op", 1), span("op", 1)])).await, Outcome::Accepted);
    node.drain().await;
    assert_eq!(calls(&script.taken()).iter().map(|(_, count)| count).sum::<i64>(), 3);
}

#[test]
fn mistakes_are_named() {
    for (yaml, said) in [
        ("aggregation_cardinality_limit: 0", "between 1 and"),
        ("exclude_dimensions: [span.nam]", "did you mean `span.name`?"),
        ("dimensions: [{name: span.name}]", "a dimension already"),
        ("dimensions: [{name: a}]\ncalls_dimensions: [{name: a}]", "a dimension already"),
        ("histogram: {explicit: {buckets: [2ms, 1ms]}}", "more than the one before"),
        ("histogram: {explicit: {}, exponential: {}}", "does not go with explicit"),
        ("histogram: {exponential: {max_size: 1}}", "between 2 and"),
        ("metrics_flush_interval: 0s", "more than 0"),
    ] {
        let (_, problems) = probe::config::<Config>(Kind::Connector, yaml);
        assert!(problems.contains(said), "{yaml}: {problems}");
    }
}
