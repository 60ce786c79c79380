use std::path::Path;

use opentelemetry_proto::tonic::{
    collector::{logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest},
    common::v1::any_value::Value,
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    resource::v1::Resource,
};
use prost::Message as _;

use super::*;
use crate::{
    config::Kind,
    otlp::{check::check, sample},
    pipeline::{
        component,
        probe::{self, Script},
    },
};

/// A request with log records of these `(service, severity)`.
fn logs(records: &[(&str, i32)]) -> Batch {
    let resource_logs = records.chunk_by(|(a, _), (b, _)| a == b).map(|of_one| ResourceLogs {
        resource: Some(Resource {
            attributes: vec![sample::pair("service.name", Value::StringValue(of_one[0].0.to_owned()))],
            ..Resource::default()
        }),
        scope_logs: vec![ScopeLogs {
            log_records: of_one
                .iter()
                .map(|(_, severity)| LogRecord { severity_number: *severity, ..LogRecord::default() })
                .collect(),
            ..ScopeLogs::default()
        }],
        ..ResourceLogs::default()
    });
    let body = ExportLogsServiceRequest { resource_logs: resource_logs.collect() }.encode_to_vec();
    Batch { signal: Signal::Logs, body: body.into(), items: records.len() }
}

/// What arrived, as `service severity`.
fn told(script: &Script) -> Vec<String> {
    let mut found = Vec::new();
    for batch in script.taken() {
        assert_eq!(check(batch.signal, &batch.body), Ok(batch.items));
        for resource in ExportLogsServiceRequest::decode(batch.body).unwrap().resource_logs {
            let Some(Value::StringValue(service)) =
                resource.resource.unwrap().attributes.remove(0).value.unwrap().value
            else {
                panic!("a service")
            };
            let records = resource.scope_logs.iter().flat_map(|scope| &scope.log_records);
            found.extend(records.map(|record| format!("{service} {}", record.severity_number)));
        }
    }
    found
}

/// Pipelines `a`, `b` and `rest` of a signal behind the connector.
fn routed(signal: Signal, yaml: &str) -> (Next, component::Context, [Arc<Script>; 3]) {
    let (config, problems) = probe::config::<Config>(Kind::Connector, yaml);
    assert_eq!(problems, "", "{yaml}");
    let scripts = [Script::new([]), Script::new([]), Script::new([])];
    let outputs = Outputs::default();
    let route = |(name, head): (&str, &Arc<Script>)| component::Route {
        signal,
        pipeline: format!("{}/{name}", signal.name()),
        head: head.clone(),
    };
    outputs.connect(["a", "b", "rest"].into_iter().zip(&scripts).map(route).collect());
    let context = probe::context("routing", Path::new(""));
    (config.build(outputs, &context).unwrap(), context, scripts)
}

const TABLE: &str = "
default_pipelines: [logs/rest]
table:
  - {condition: 'attributes[\"service.name\"] == \"shop\"', pipelines: [logs/a]}
  - {context: log, statement: 'route() where severity_number >= SEVERITY_NUMBER_ERROR', pipelines: [logs/b, logs/rest]}";

/// Scenario: records that meet the first row, the second, both, none.
/// Guarantees: each goes by the first that holds, to all its pipelines; nothing is lost or doubled.
#[tokio::test]
async fn each_record_goes_by_the_first_row_that_holds() {
    let (node, _, [a, b, rest]) = routed(Signal::Logs, TABLE);
    let batch = logs(&[("shop", 9), ("shop", 17), ("till", 17), ("till", 9), ("desk", 17)]);
    assert_eq!(node.consume(batch).await, Outcome::Accepted);
    assert_eq!(told(&a), ["shop 9", "shop 17"]);
    assert_eq!(told(&b), ["till 17", "desk 17"]);
    assert_eq!(told(&rest), ["till 17", "desk 17", "till 9"]);
}

#[tokio::test]
async fn a_request_that_goes_one_way_is_handed_on_as_it_came() {
    let (node, _, [a, _, rest]) = routed(Signal::Logs, TABLE);
    for (batch, to) in [(logs(&[("shop", 9), ("shop", 17)]), a), (logs(&[("till", 9)]), rest)] {
        node.consume(batch.clone()).await;
        assert_eq!(to.taken()[0].body.as_ptr(), batch.body.as_ptr(), "the same bytes, not a copy");
    }
}

/// Scenario: one of the pipelines is full.
/// Guarantees: the others get theirs, and the sender hears of it.
#[tokio::test]
async fn the_worst_answer_is_the_answer() {
    let (config, _) = probe::config::<Config>(Kind::Connector, TABLE);
    let (full, rest) = (Script::new([Outcome::Permanent { reason: "no".to_owned() }]), Script::new([]));
    let outputs = Outputs::default();
    let route = |name: &str, head: &Arc<Script>| component::Route {
        signal: Signal::Logs,
        pipeline: format!("logs/{name}"),
        head: head.clone(),
    };
    outputs.connect(vec![route("a", &full), route("b", &rest), route("rest", &rest)]);
    let node = config.build(outputs, &probe::context("routing", Path::new(""))).unwrap();
    let outcome = node.consume(logs(&[("shop", 9), ("till", 9)])).await;
    assert_eq!(outcome, Outcome::Permanent { reason: "no".to_owned() });
    assert_eq!(told(&rest), ["till 9"]);
}

#[tokio::test]
async fn metrics_are_routed_by_metric_and_by_point() {
    let table = "
default_pipelines: [metrics/rest]
table:
  - {context: metric, condition: 'type == METRIC_DATA_TYPE_SUM', pipelines: [metrics/a]}
  - {context: datapoint, condition: 'attributes[\"flag\"] == true', pipelines: [metrics/b]}";
    let (node, _, [a, b, rest]) = routed(Signal::Metrics, table);
    let body = sample::metrics(3).encode_to_vec();
    let items = check(Signal::Metrics, &body).unwrap();
    node.consume(Batch { signal: Signal::Metrics, body: body.into(), items }).await;
    assert_eq!(a.items().len(), 1);
    let sums = ExportMetricsServiceRequest::decode(a.taken().remove(0).body).unwrap();
    let metrics: Vec<_> =
        sums.resource_metrics.iter().flat_map(|r| &r.scope_metrics).flat_map(|s| &s.metrics).collect();
    assert!(!metrics.is_empty() && metrics.iter().all(|metric| format!("{:?}", metric.data).starts_with("Some(Sum")));
    let all: usize = [&a, &b, &rest].iter().flat_map(|script| script.items()).sum();
    assert_eq!(all, items, "nothing lost, nothing doubled");
}

#[tokio::test]
async fn what_no_route_takes_is_counted_when_there_is_no_default() {
    let table = TABLE.replace("default_pipelines: [logs/rest]", "");
    let (node, context, [a, ..]) = routed(Signal::Logs, &table);
    assert_eq!(node.consume(logs(&[("shop", 9), ("till", 9), ("desk", 9)])).await, Outcome::Accepted);
    assert_eq!(told(&a), ["shop 9"]);
    assert_eq!(context.metrics.sum("sekisho_routing_dropped_items", None), 2.0);
}

#[tokio::test]
async fn a_condition_that_cannot_be_asked_refuses_or_does_not_hold() {
    let table = "
default_pipelines: [logs/rest]
error_mode: MODE
table: [{context: log, condition: 'Substring(attributes[\"service.name\"], 5, 3) == \"x\"', pipelines: [logs/a]}]";
    for (mode, refused) in [("propagate", true), ("ignore", false), ("silent", false)] {
        let (node, context, [_, _, rest]) = routed(Signal::Logs, &table.replace("MODE", mode));
        let outcome = node.consume(logs(&[("till", 9)])).await;
        assert_eq!(matches!(outcome, Outcome::Permanent { .. }), refused, "{mode}: {outcome:?}");
        assert_eq!(rest.items().len(), usize::from(!refused), "{mode}");
        assert_eq!(context.metrics.sum("sekisho_routing_failed_conditions", None), 1.0);
    }
}

#[test]
fn mistakes_are_named() {
    for (yaml, said) in [
        ("default_pipelines: [logs]", "has no routes"),
        ("table: [{pipelines: [logs]}]", "needs a condition"),
        ("table: [{condition: 'true'}]", "pipelines"),
        ("table: [{condition: 'true', statement: 'route()', pipelines: [logs]}]", "does not go with condition"),
        ("table: [{statement: 'set(name, 1)', pipelines: [logs]}]", "must be `route() where …`"),
        ("table: [{context: request, condition: 'true', pipelines: [logs]}]", "not supported"),
        ("table: [{context: span, condition: 'nam == \"a\"', pipelines: [traces]}]", "nam"),
        ("table: [{context: span, condition: 'name == \"a\"', pipelines: [logs/x]}]", "`logs/x` has no spans"),
    ] {
        let (_, problems) = probe::config::<Config>(Kind::Connector, yaml);
        assert!(problems.contains(said), "{yaml}: {problems}");
    }
}
