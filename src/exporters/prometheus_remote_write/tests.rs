use std::time::Instant;

use opentelemetry_proto::tonic::metrics::v1::{Histogram, HistogramDataPoint, Metric, metric::Data};
use prost::Message as _;

use super::*;
use crate::{
    exporters::{
        prometheus::translate::tests::{attribute, number, request, sum},
        tests::destination::{Act, Destination, soon},
    },
    otlp::Signal,
    pipeline::probe,
};

/// The messages of remote write 1.0, as far as they are sent.
#[derive(Clone, PartialEq, prost::Message)]
struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<TimeSeries>,
    #[prost(message, repeated, tag = "3")]
    metadata: Vec<Metadata>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Sample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Metadata {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(string, tag = "2")]
    family: String,
    #[prost(string, tag = "4")]
    help: String,
}

const TIME: u64 = 1_793_491_200_123_000_000;

fn exporter(destination: &Destination, settings: &str) -> (Next, Context) {
    let yaml = format!("{{endpoint: 'http://{}/api/v1/write'{settings}}}", destination.address);
    let (config, said) = probe::config::<Config>(crate::config::Kind::Exporter, &yaml);
    assert_eq!(said, "");
    let context = probe::context("prometheus_remote_write", std::path::Path::new("."));
    (config.build(&context).unwrap(), context)
}

fn batch(metrics: Vec<Metric>, items: usize) -> Batch {
    Batch { signal: Signal::Metrics, body: request(metrics).into(), items }
}

/// `name{labels} value@milliseconds` of everything that was taken.
fn series(destination: &Destination) -> Vec<String> {
    let requests = destination.taken().into_iter().map(|body| WriteRequest::decode(body).unwrap());
    let series = requests.flat_map(|request| request.timeseries).flat_map(|series| {
        let names: Vec<&str> = series.labels.iter().map(|label| label.name.as_str()).collect();
        assert!(names.is_sorted(), "Prometheus wants labels sorted: {names:?}");
        let labels = series.labels.iter().map(|label| format!("{}={}", label.name, label.value));
        let labels = labels.collect::<Vec<_>>().join(",");
        series
            .samples
            .iter()
            .map(move |sample| format!("{labels} {}@{}", sample.value, sample.timestamp))
            .collect::<Vec<_>>()
    });
    series.collect()
}

const ALONE: &str = ", remote_write_queue: {enabled: false}, retry_on_failure: {enabled: false}";

#[tokio::test]
async fn requests_are_what_remote_write_says() {
    let destination = Destination::new([]).await;
    let settings = format!(
        "{ALONE}, headers: {{x-scope-orgid: team}}, external_labels: {{cluster: eu, job: mine}}, send_metadata: true, \
         target_info: {{enabled: false}}"
    );
    let (exporter, _) = exporter(&destination, &settings);
    let points = vec![number(6.0, TIME + 2_000_000, vec![]), number(5.0, TIME, vec![])];
    assert_eq!(
        soon("an answer", exporter.consume(batch(vec![sum("orders", false, points)], 2))).await,
        Outcome::Accepted
    );
    let seen = destination.seen().pop().unwrap();
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/api/v1/write"));
    for (header, value) in [
        ("content-type", "application/x-protobuf"),
        ("content-encoding", "snappy"),
        ("x-prometheus-remote-write-version", "0.1.0"),
        ("x-scope-orgid", "team"),
    ] {
        assert_eq!(seen.headers[header], value);
    }
    let labels = "__name__=orders_total,cluster=eu,instance=i-1,job=acme/shop";
    assert_eq!(
        series(&destination),
        [format!("{labels} 5@1793491200123"), format!("{labels} 6@1793491200125")],
        "one series, in order"
    );
    let metadata = WriteRequest::decode(seen.body).unwrap().metadata;
    assert_eq!(metadata, [Metadata { kind: 1, family: "orders_total".into(), help: "What orders is.".into() }]);
}

#[tokio::test]
async fn histograms_become_buckets_that_count_up() {
    let destination = Destination::new([]).await;
    let (exporter, _) = exporter(&destination, &format!("{ALONE}, target_info: {{enabled: false}}"));
    let point = HistogramDataPoint {
        time_unix_nano: TIME,
        count: 6,
        sum: Some(7.5),
        bucket_counts: vec![1, 2, 3],
        explicit_bounds: vec![0.5, 1.0],
        ..HistogramDataPoint::default()
    };
    let data = Data::Histogram(Histogram { data_points: vec![point], aggregation_temporality: 2 });
    let metric = Metric { name: "latency".into(), unit: "s".into(), data: Some(data), ..Metric::default() };
    assert_eq!(soon("an answer", exporter.consume(batch(vec![metric], 1))).await, Outcome::Accepted);
    let short: Vec<String> = series(&destination)
        .into_iter()
        .map(|line| line.replace(",instance=i-1,job=acme/shop", "").replace("@1793491200123", ""))
        .collect();
    let mut expected = [
        "__name__=latency_seconds_bucket,le=0.5 1",
        "__name__=latency_seconds_bucket,le=1 3",
        "__name__=latency_seconds_bucket,le=+Inf 6",
        "__name__=latency_seconds_sum 7.5",
        "__name__=latency_seconds_count 6",
    ];
    let mut short: Vec<&str> = short.iter().map(String::as_str).collect();
    short.sort_unstable();
    expected.sort_unstable();
    assert_eq!(short, expected);
}

#[tokio::test]
async fn answers_mean_what_remote_write_says() {
    for (status, expected) in [
        (200, "accepted"),
        (400, "permanent"),
        (404, "permanent"),
        (429, "retryable"),
        (500, "retryable"),
        (503, "retryable"),
    ] {
        let destination =
            Destination::new([Act::Http(status, &[("retry-after", "7")], b"out of order".to_vec())]).await;
        let (exporter, _) = exporter(&destination, ALONE);
        let outcome = exporter.consume(batch(vec![sum("orders", false, vec![number(5.0, TIME, vec![])])], 1));
        match (soon("an answer", outcome).await, expected) {
            (Outcome::Accepted, "accepted") => {}
            (Outcome::Permanent { reason }, "permanent") => assert!(reason.contains("out of order"), "{reason}"),
            (Outcome::Retryable { after, .. }, "retryable") => assert_eq!(after, Some(Duration::from_secs(7))),
            (outcome, expected) => panic!("{status} should be {expected}, not {outcome:?}"),
        }
    }
}

#[tokio::test]
async fn what_fails_is_sent_again_and_nothing_is_lost() {
    let acts = [Act::Http(500, &[], vec![]), Act::HangUp, Act::Http(429, &[], vec![])];
    let destination = Destination::new(acts).await;
    let (exporter, context) = exporter(
        &destination,
        ", retry_on_failure: {initial_interval: 10ms, max_interval: 20ms}, target_info: {enabled: false}",
    );
    for value in 1..=5_u32 {
        let point = number(f64::from(value), TIME + u64::from(value) * 1_000_000, vec![]);
        assert_eq!(exporter.consume(batch(vec![sum("orders", false, vec![point])], 1)).await, Outcome::Accepted);
    }
    soon("draining", exporter.drain()).await;
    let values: Vec<String> = series(&destination)
        .iter()
        .map(|line| line.rsplit(' ').next().unwrap().split('@').next().unwrap().to_owned())
        .collect();
    assert_eq!(values, ["1", "2", "3", "4", "5"], "in order, each once");
    assert_eq!(context.metrics.sum("otelcol_exporter_sent_metric_points", None), 5.0);
}

#[tokio::test]
async fn large_batches_are_several_requests_and_some_at_once() {
    let destination = Destination::new([]).await;
    let (exporter, _) =
        exporter(&destination, &format!("{ALONE}, max_batch_size_bytes: 10000, target_info: {{enabled: false}}"));
    let points = (0..1000).map(|n| number(1.0, TIME, vec![attribute("n", &n.to_string())])).collect();
    let begun = Instant::now();
    assert_eq!(
        soon("an answer", exporter.consume(batch(vec![sum("orders", false, points)], 1000))).await,
        Outcome::Accepted
    );
    let bodies = destination.taken();
    assert!(bodies.len() >= 8, "{} in {:?}", bodies.len(), begun.elapsed());
    assert!(bodies.iter().all(|body| body.len() <= 10_000 + 10), "none is larger than asked for");
    let mut all = series(&destination);
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 1000);
}

#[tokio::test]
async fn deltas_have_no_place_and_that_is_counted() {
    let destination = Destination::new([]).await;
    let (exporter, context) = exporter(&destination, ALONE);
    let metrics = vec![
        sum("kept", false, vec![number(5.0, TIME, vec![])]),
        sum("dropped", true, vec![number(5.0, TIME, vec![]), number(6.0, TIME + 1, vec![])]),
    ];
    let outcome = soon("an answer", exporter.consume(batch(metrics, 3))).await;
    assert!(matches!(&outcome, Outcome::Partial { rejected: 2, message } if message.contains("delta")), "{outcome:?}");
    assert_eq!(context.metrics.sum("sekisho_remote_write_dropped_deltas", None), 2.0);
    assert!(series(&destination).iter().any(|line| line.contains("kept_total")));
}

#[test]
fn the_configuration_is_checked() {
    for (yaml, wrong) in [
        ("{endpoint: 'https://mimir/api/v1/push'}", ""),
        ("{}", "endpoint"),
        ("{endpoint: 'ftp://mimir'}", "ftp"),
        ("{endpoint: 'http://mimir', max_batch_size_bytes: 10}", "max_batch_size_bytes"),
        ("{endpoint: 'http://mimir', remote_write_queue: {num_consumers: 0}}", "num_consumers"),
        ("{endpoint: 'http://mimir', remote_write_queue: {queue_size: 0}}", "queue_size"),
        ("{endpoint: 'http://mimir', external_labels: {a-b: c}}", "a_b"),
        ("{endpoint: 'http://mimir', wal: {directory: x}}", "unknown key `wal`"),
    ] {
        let (_, said) = probe::config::<Config>(crate::config::Kind::Exporter, yaml);
        assert_eq!(said.is_empty(), wrong.is_empty(), "{yaml}: {said}");
        assert!(said.contains(wrong), "{yaml}: {said}");
    }
}
