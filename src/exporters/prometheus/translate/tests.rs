use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::{InstrumentationScope, KeyValue, any_value},
    metrics::v1::{
        ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint,
        Metric as ProtoMetric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
        exponential_histogram_data_point::Buckets as Side, metric::Data, number_data_point,
    },
    resource::v1::Resource as ProtoResource,
};
use prost::Message as _;

use super::*;
use crate::otlp::sample;

pub fn attribute(key: &str, value: &str) -> KeyValue {
    sample::pair(key, any_value::Value::StringValue(value.to_owned()))
}

pub fn number(value: f64, time: u64, attributes: Vec<KeyValue>) -> NumberDataPoint {
    let value = Some(number_data_point::Value::AsDouble(value));
    NumberDataPoint { start_time_unix_nano: 1, time_unix_nano: time, value, attributes, ..NumberDataPoint::default() }
}

pub fn sum(name: &str, delta: bool, points: Vec<NumberDataPoint>) -> ProtoMetric {
    let aggregation_temporality = if delta { 1 } else { 2 };
    let data = Data::Sum(Sum { data_points: points, aggregation_temporality, is_monotonic: true });
    ProtoMetric {
        name: name.to_owned(),
        description: format!("What {name} is."),
        data: Some(data),
        ..ProtoMetric::default()
    }
}

pub fn request(metrics: Vec<ProtoMetric>) -> Vec<u8> {
    let attributes = vec![
        attribute("service.name", "shop"),
        attribute("service.namespace", "acme"),
        attribute("service.instance.id", "i-1"),
        attribute("cloud.region", "eu-west-1"),
    ];
    let scope =
        Some(InstrumentationScope { name: "lib".into(), version: "1".into(), ..InstrumentationScope::default() });
    let scope_metrics = vec![ScopeMetrics { scope, metrics, ..ScopeMetrics::default() }];
    let resource = Some(ProtoResource { attributes, ..ProtoResource::default() });
    let resource_metrics = vec![ResourceMetrics { resource, scope_metrics, ..ResourceMetrics::default() }];
    ExportMetricsServiceRequest { resource_metrics }.encode_to_vec()
}

pub const USUAL: Translation = Translation {
    namespace: String::new(),
    suffixes: true,
    resource_labels: false,
    scope_labels: false,
    target_info: true,
};

fn translated(translation: &Translation, body: &[u8]) -> Vec<(Family, Sample)> {
    let mut all = Vec::new();
    translation.each(body, |family, sample| all.push((family.clone(), sample)));
    all
}

fn shown(labels: &Labels) -> String {
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

#[test]
fn who_sent_it_becomes_job_and_instance_and_the_rest_target_info() {
    let body =
        request(vec![sum("orders", false, vec![number(5.0, 9, vec![attribute("a.b", "1"), attribute("a_b", "2")])])]);
    let all = translated(&USUAL, &body);
    assert_eq!(all.len(), 2);
    assert_eq!((all[0].0.name.as_str(), all[0].0.kind), ("orders_total", Type::Counter));
    assert_eq!(all[0].0.help, "What orders is.");
    assert_eq!(shown(&all[0].1.labels), "a_b=1;2,instance=i-1,job=acme/shop");
    assert_eq!(all[1].0.name, "target_info");
    assert_eq!(shown(&all[1].1.labels), "cloud_region=eu-west-1,instance=i-1,job=acme/shop");
    assert_eq!(all[1].1.time, 9);

    let all =
        translated(&Translation { resource_labels: true, scope_labels: true, target_info: false, ..USUAL }, &body);
    assert_eq!(all.len(), 1);
    let labels = shown(&all[0].1.labels);
    for label in
        ["cloud_region=eu-west-1", "service_name=shop", "otel_scope_name=lib", "otel_scope_version=1", "a_b=1;2"]
    {
        assert!(labels.contains(label), "{label} in {labels}");
    }
}

#[test]
fn every_kind_of_metric_has_a_place() {
    let body = sample::metrics(1).encode_to_vec();
    let kinds: Vec<Type> = translated(&USUAL, &body).into_iter().map(|(family, _)| family.kind).collect();
    for kind in [Type::Gauge, Type::Counter, Type::Histogram, Type::Summary] {
        assert!(kinds.contains(&kind), "{kind:?} in {kinds:?}");
    }
}

#[test]
fn exponential_buckets_are_merged_to_powers_of_two_at_every_scale() {
    // At scale 1 the bounds are powers of the square root of two: 2^(index/2).
    let table = [
        ("scale 1", 1, 0, vec![1, 2, 4, 8], vec![(2.0, 3), (4.0, 12)]),
        ("scale 0", 0, -1, vec![5, 6], vec![(1.0, 5), (2.0, 6)]),
        ("scale -1", -1, 0, vec![7, 8], vec![(4.0, 7), (16.0, 8)]),
        ("far out", 0, i32::MAX, vec![9], vec![]),
        ("nonsense", i32::MIN, i32::MIN, vec![9], vec![(0.0, 9)]),
    ];
    for (row, scale, offset, bucket_counts, expected) in table {
        let point = ExponentialHistogramDataPoint {
            scale,
            positive: Some(Side { offset, bucket_counts }),
            ..ExponentialHistogramDataPoint::default()
        };
        assert_eq!(powers_of_two(&points::Buckets::parse(&point.encode_to_vec())), expected, "{row}");
    }
    let both = ExponentialHistogramDataPoint {
        scale: 0,
        zero_count: 3,
        positive: Some(Side { offset: 0, bucket_counts: vec![1] }),
        negative: Some(Side { offset: 0, bucket_counts: vec![10, 20] }),
        ..ExponentialHistogramDataPoint::default()
    };
    let merged = powers_of_two(&points::Buckets::parse(&both.encode_to_vec()));
    assert_eq!(merged, [(-2.0, 20), (-1.0, 10), (0.0, 3), (2.0, 1)]);
}

#[test]
fn what_ends_and_what_counts_from_before_is_told_apart() {
    let mut ended = number(1.0, 9, vec![]);
    ended.flags = 1;
    let gauge = Data::Gauge(Gauge { data_points: vec![ended] });
    let gauge = ProtoMetric { name: "g".into(), data: Some(gauge), ..ProtoMetric::default() };
    let point = HistogramDataPoint { count: 3, sum: None, bucket_counts: vec![3], ..HistogramDataPoint::default() };
    let histogram = Data::Histogram(Histogram { data_points: vec![point], aggregation_temporality: 1 });
    let histogram = ProtoMetric { name: "h".into(), data: Some(histogram), ..ProtoMetric::default() };
    let exponential = Data::ExponentialHistogram(ExponentialHistogram {
        data_points: vec![ExponentialHistogramDataPoint::default()],
        aggregation_temporality: 2,
    });
    let exponential = ProtoMetric { name: "e".into(), data: Some(exponential), ..ProtoMetric::default() };
    let body =
        request(vec![gauge, histogram, exponential, ProtoMetric { name: "nothing".into(), ..ProtoMetric::default() }]);
    let all = translated(&Translation { target_info: false, ..USUAL }, &body);
    let said: Vec<_> =
        all.iter().map(|(family, sample)| (family.name.as_str(), sample.delta, sample.value.is_some())).collect();
    assert_eq!(said, [("g", false, false), ("h", true, true), ("e", false, true)]);
}

#[test]
fn a_resource_with_too_many_attributes_gives_only_some_of_them() {
    let attributes = (0..100).map(|n| attribute(&format!("key{n}"), &"x".repeat(1000))).collect();
    let body = request(vec![sum("orders", false, vec![number(1.0, 9, attributes)])]);
    let labels = &translated(&USUAL, &body)[0].1.labels;
    let bytes: usize = labels.iter().map(|(key, value)| key.len() + value.len()).sum();
    assert!((15_000..=MOST_LABEL_BYTES).contains(&bytes), "{bytes}");
    assert!(labels.iter().any(|(key, _)| key == "job"), "who it is stays");
}

#[test]
fn long_values_are_cut_between_characters() {
    let long = "é".repeat(10_000);
    let body = request(vec![sum("orders", false, vec![number(1.0, 9, vec![attribute("a", &long)])])]);
    let all = translated(&USUAL, &body);
    assert_eq!(all[0].1.labels[0].1.len(), LONGEST_VALUE);
}
