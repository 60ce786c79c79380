use std::path::Path;

use prost::Message as _;

use super::*;
use crate::{
    config::Kind,
    otlp::{check::check, sample},
    pipeline::probe::{self, Script},
};

async fn grouped(yaml: &str, signal: Signal, body: Vec<u8>) -> Batch {
    let (config, problems) = probe::config::<Config>(Kind::Processor, yaml);
    assert_eq!(problems, "");
    let items = check(signal, &body).unwrap();
    let script = Script::new([]);
    let node = config.build(signal, script.clone(), &probe::context("group_by_attrs", Path::new(""))).unwrap();
    assert_eq!(node.consume(Batch { signal, body: body.into(), items }).await, Outcome::Accepted);
    let taken = script.taken().remove(0);
    assert_eq!((check(signal, &taken.body), taken.items), (Ok(items), items));
    taken
}

#[tokio::test]
async fn equal_groups_become_one_and_nothing_of_a_record_is_lost() {
    let mut request = sample::traces(2);
    request.resource_spans.extend(sample::traces(2).resource_spans);
    let taken = grouped("{}", Signal::Traces, request.encode_to_vec()).await;
    let mut expected = sample::traces(2);
    let spans = expected.resource_spans[0].scope_spans[0].spans.clone();
    expected.resource_spans[0].scope_spans[0].spans.extend(spans);
    let found =
        opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest::decode(taken.body).unwrap();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn points_of_every_kind_move() {
    let taken = grouped("keys: [text]", Signal::Metrics, sample::metrics(2).encode_to_vec()).await;
    let found =
        opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest::decode(taken.body).unwrap();
    // The text of each round is another.
    assert_eq!(found.resource_metrics.len(), 2);
    for group in found.resource_metrics {
        assert_eq!(group.scope_metrics[0].metrics.len(), sample::POINTS_A_ROUND);
        let points =
            format!("{:?}", group.scope_metrics[0].metrics.iter().map(|metric| &metric.data).collect::<Vec<_>>());
        // Exemplars keep theirs.
        assert_eq!(points.matches("\"text\"").count(), points.matches("filtered_attributes").count());
    }
}

#[test]
fn says_what_is_wrong() {
    let (_, problems) = probe::config::<Config>(Kind::Processor, "keys: [a, '']");
    assert!(problems.contains("keys::1"), "{problems}");
}
