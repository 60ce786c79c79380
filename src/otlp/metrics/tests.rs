use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    metrics::v1::{metric::Data, number_data_point},
};
use prost::Message as _;

use super::*;
use crate::otlp::check::check;

const EXEMPLAR: Exemplar = Exemplar { time: 5, value: 1.5, trace_id: [7; 16], span_id: [8; 8] };
const TOTALS: Totals = Totals { count: 3, sum: 6.5, min: Some(1.0), max: Some(4.0) };

fn describe(name: &str) -> Describe<'_> {
    Describe { name, description: "what it is", unit: "ms" }
}

fn written() -> Batch {
    let (mut resource, mut attributes) = (Vec::new(), Vec::new());
    write::text(&mut resource, 1, "service.name", "shop");
    write::text(&mut attributes, 1, "span.name", "GET /");
    let point = Point { attributes: &attributes, start: 10, time: 20 };
    let mut writer = Writer::default();
    writer.resource(&resource, "spanmetrics", |metrics| {
        metrics.sum(describe("calls"), Temporality::Cumulative, true, |points| {
            points.number(&point, Number::Int(-3), &[EXEMPLAR]);
            points.number(&point, Number::Double(0.5), &[]);
        });
        metrics.gauge(describe("empty"), |_| {});
        metrics.histogram(describe("duration"), Temporality::Delta, |points| {
            points.histogram(&point, &TOTALS, &[2.0, 4.0], &[1, 1, 1], &[EXEMPLAR]);
        });
        let buckets = Exponential { scale: -3, zero_count: 1, offset: -70, counts: &[1, 300] };
        metrics.exponential_histogram(describe("size"), Temporality::Delta, |points| {
            points.exponential(&point, &TOTALS, &buckets, &[EXEMPLAR]);
        });
    });
    writer.resource(&resource, "nothing", |_| {});
    writer.finish()
}

/// Scenario: every kind of metric and point is written.
/// Guarantees: the door lets the request in and counts its points; the official types read back what was written; what
/// has no points leaves no trace.
#[test]
fn the_official_types_read_what_was_written() {
    let batch = written();
    assert_eq!(check(Signal::Metrics, &batch.body), Ok(4));
    assert_eq!(batch.items, 4);
    let request = ExportMetricsServiceRequest::decode(batch.body).unwrap();
    let [resource] = request.resource_metrics.as_slice() else { panic!("{request:?}") };
    assert_eq!(resource.resource.as_ref().unwrap().attributes[0].key, "service.name");
    let [scope] = resource.scope_metrics.as_slice() else { panic!("{resource:?}") };
    assert_eq!(scope.scope.as_ref().unwrap().name, "spanmetrics");
    let [calls, duration, size] = scope.metrics.as_slice() else { panic!("{scope:?}") };
    assert_eq!((calls.name.as_str(), calls.description.as_str(), calls.unit.as_str()), ("calls", "what it is", "ms"));

    let Some(Data::Sum(sum)) = &calls.data else { panic!("{calls:?}") };
    assert_eq!((sum.aggregation_temporality, sum.is_monotonic), (2, true));
    let values: Vec<_> = sum.data_points.iter().map(|point| point.value.unwrap()).collect();
    assert_eq!(values, [number_data_point::Value::AsInt(-3), number_data_point::Value::AsDouble(0.5)]);
    let first = &sum.data_points[0];
    assert_eq!((first.start_time_unix_nano, first.time_unix_nano), (10, 20));
    assert_eq!(first.attributes[0].key, "span.name");
    assert_eq!((first.exemplars[0].trace_id.len(), first.exemplars[0].span_id.len()), (16, 8));

    let Some(Data::Histogram(histogram)) = &duration.data else { panic!("{duration:?}") };
    assert_eq!(histogram.aggregation_temporality, 1);
    let point = &histogram.data_points[0];
    assert_eq!((point.bucket_counts.as_slice(), point.explicit_bounds.as_slice()), (&[1, 1, 1][..], &[2.0, 4.0][..]));
    assert_eq!((point.count, point.sum, point.min, point.max), (3, Some(6.5), Some(1.0), Some(4.0)));
    assert_eq!((point.attributes.len(), point.exemplars.len()), (1, 1));

    let Some(Data::ExponentialHistogram(histogram)) = &size.data else { panic!("{size:?}") };
    let point = &histogram.data_points[0];
    let positive = point.positive.as_ref().unwrap();
    assert_eq!((point.scale, point.zero_count, positive.offset), (-3, 1, -70));
    assert_eq!(positive.bucket_counts, [1, 300]);
    assert_eq!((point.count, point.sum, point.min, point.max), (3, Some(6.5), Some(1.0), Some(4.0)));
    assert_eq!((point.attributes.len(), point.exemplars.len()), (1, 1));
}
