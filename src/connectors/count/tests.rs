use std::path::Path;

use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::any_value::Value,
    metrics::v1::{metric::Data, number_data_point},
};
use prost::Message as _;

use super::*;
use crate::{
    config::Kind,
    otlp::{check::check, sample},
    pipeline::{
        component::Route,
        probe::{self, Script},
    },
};

fn batch(signal: Signal, body: Vec<u8>) -> Batch {
    let items = check(signal, &body).unwrap();
    Batch { signal, body: body.into(), items }
}

/// What `yaml` counts in `batch`, as `metric{key=value}: count`.
async fn counted(yaml: &str, batch: Batch) -> Vec<String> {
    let (config, problems) = probe::config::<Config>(Kind::Connector, yaml);
    assert_eq!(problems, "", "{yaml}");
    let (script, outputs) = (Script::new([]), Outputs::default());
    outputs.connect(vec![Route { signal: Signal::Metrics, pipeline: "metrics".to_owned(), head: script.clone() }]);
    let node = config.build(outputs, &probe::context("count", Path::new(""))).unwrap();
    assert_eq!(node.consume(batch).await, Outcome::Accepted);
    let mut found = Vec::new();
    for batch in script.taken() {
        assert_eq!(check(Signal::Metrics, &batch.body), Ok(batch.items));
        let request = ExportMetricsServiceRequest::decode(batch.body).unwrap();
        let groups = request.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
        for metric in groups.flat_map(|scope| &scope.metrics) {
            let Some(Data::Sum(sum)) = &metric.data else { panic!("{metric:?}") };
            assert_eq!((sum.aggregation_temporality, sum.is_monotonic), (1, true));
            for point in &sum.data_points {
                assert!(0 < point.start_time_unix_nano && point.start_time_unix_nano <= point.time_unix_nano);
                let Some(number_data_point::Value::AsInt(count)) = point.value else { panic!("{point:?}") };
                let attributes: Vec<_> = point
                    .attributes
                    .iter()
                    .map(|kv| match kv.value.clone().unwrap().value.unwrap() {
                        Value::StringValue(text) => format!("{}={text}", kv.key),
                        other => format!("{}={other:?}", kv.key),
                    })
                    .collect();
                found.push(format!("{}{{{}}}: {count}", metric.name, attributes.join(",")));
            }
        }
    }
    found
}

#[tokio::test]
async fn without_a_section_everything_of_its_kind_is_counted() {
    let spans = batch(Signal::Traces, sample::traces(4).encode_to_vec());
    let found = counted("", spans).await;
    assert!(found.contains(&"trace.span.count{}: 4".to_owned()), "{found:?}");
    assert!(found.iter().any(|line| line.starts_with("trace.span.event.count{}: ")), "{found:?}");
    let metrics = batch(Signal::Metrics, sample::metrics(2).encode_to_vec());
    let points = metrics.items;
    let found = counted("", metrics).await;
    assert!(found.iter().any(|line| line.starts_with("metric.count{}: ")), "{found:?}");
    assert!(found.contains(&format!("metric.datapoint.count{{}}: {points}")), "{found:?}");
    let logs = batch(Signal::Logs, sample::logs(3).encode_to_vec());
    assert_eq!(counted("", logs).await, ["log.record.count{}: 3"]);
}

/// Scenario: metrics with conditions and attributes; one attribute is missing, with and without a default.
/// Guarantees: one condition that holds is enough; a point for each combination; what lacks an attribute without default is not counted.
#[tokio::test]
async fn conditions_choose_and_attributes_tell_apart() {
    let yaml = "
spans:
  none: {conditions: ['name == \"nothing like it\"']}
  either: {conditions: ['name == \"nothing like it\"', 'attributes[\"flag\"] == true']}
  by.text: {attributes: [{key: text}, {key: missing, default_value: '?'}]}
  lacking: {attributes: [{key: missing}]}
spanevents: {}";
    let found = counted(yaml, batch(Signal::Traces, sample::traces(3).encode_to_vec())).await;
    let by_text: Vec<&String> = found.iter().filter(|line| line.starts_with("by.text")).collect();
    assert_eq!(by_text.len(), 3, "{found:?}");
    assert!(by_text[0].ends_with(",missing=?}: 1"), "{found:?}");
    assert!(found.contains(&"either{}: 3".to_owned()), "{found:?}");
    assert_eq!(found.len(), 4, "{found:?}");
}

#[tokio::test]
async fn the_answer_is_that_of_the_metrics_pipeline() {
    let (config, _) = probe::config::<Config>(Kind::Connector, "");
    let refusal = Outcome::Permanent { reason: "no".to_owned() };
    let (script, outputs) = (Script::new([refusal.clone()]), Outputs::default());
    outputs.connect(vec![Route { signal: Signal::Metrics, pipeline: "metrics".to_owned(), head: script }]);
    let node = config.build(outputs, &probe::context("count", Path::new(""))).unwrap();
    assert_eq!(node.consume(batch(Signal::Logs, sample::logs(1).encode_to_vec())).await, refusal);
}

#[test]
fn mistakes_are_named() {
    for (yaml, said) in [
        ("spans: {a: {conditions: ['nam == 1']}}", "spans::a::conditions::0"),
        ("metrics: {a: {attributes: [{key: b}]}}", "a metric has no attributes"),
        ("logs: {a: {attributes: [{}]}}", "needs a key"),
        ("spans: {my.count: {conditions: ['name ==']}}", "spans::my.count::conditions::0"),
    ] {
        let (_, problems) = probe::config::<Config>(Kind::Connector, yaml);
        assert!(problems.contains(said), "{yaml}: {problems}");
    }
}
