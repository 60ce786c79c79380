use std::path::Path;

use bytes::Bytes;
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{KeyValue, any_value::Value},
    metrics::v1::metric::Data,
};
use prost::Message;

use super::*;
use crate::{
    config::Kind,
    otlp::{check::check, sample},
    pipeline::probe::{self, Script},
};

const ACTIONS: &str = "actions: [{key: new, value: x, action: insert}, {key: text, action: delete}]";

/// What comes out behind the processor.
async fn through(yaml: &str, signal: Signal, request: &impl Message) -> (Bytes, Batch) {
    let (config, problems) = probe::config::<Config>(Kind::Processor, yaml);
    assert_eq!(problems, "");
    let script = Script::new([]);
    let node = config.build(signal, script.clone(), &probe::context("attributes", Path::new(""))).unwrap();
    let body = Bytes::from(request.encode_to_vec());
    let items = check(signal, &body).unwrap();
    assert_eq!(node.consume(Batch { signal, body: body.clone(), items }).await, Outcome::Accepted);
    let taken = script.taken().remove(0);
    assert_eq!(taken.items, items);
    (body, taken)
}

fn act(attributes: &mut Vec<KeyValue>) {
    attributes.retain(|pair| pair.key != "text");
    attributes.push(sample::pair("new", Value::StringValue("x".into())));
}

#[tokio::test]
async fn acts_on_spans_only() {
    let (_, taken) = through(ACTIONS, Signal::Traces, &sample::traces(2)).await;
    let mut expected = sample::traces(2);
    expected.resource_spans[0].scope_spans[0].spans.iter_mut().for_each(|span| act(&mut span.attributes));
    assert_eq!(ExportTraceServiceRequest::decode(taken.body).unwrap(), expected);
}

#[tokio::test]
async fn acts_on_log_records_only() {
    let (_, taken) = through(ACTIONS, Signal::Logs, &sample::logs(2)).await;
    let mut expected = sample::logs(2);
    expected.resource_logs[0].scope_logs[0].log_records.iter_mut().for_each(|record| act(&mut record.attributes));
    assert_eq!(ExportLogsServiceRequest::decode(taken.body).unwrap(), expected);
}

#[tokio::test]
async fn acts_on_data_points_of_every_kind() {
    let (_, taken) = through(ACTIONS, Signal::Metrics, &sample::metrics(1)).await;
    let mut expected = sample::metrics(1);
    for metric in &mut expected.resource_metrics[0].scope_metrics[0].metrics {
        match metric.data.as_mut().unwrap() {
            Data::Gauge(data) => data.data_points.iter_mut().for_each(|point| act(&mut point.attributes)),
            Data::Sum(data) => data.data_points.iter_mut().for_each(|point| act(&mut point.attributes)),
            Data::Histogram(data) => data.data_points.iter_mut().for_each(|point| act(&mut point.attributes)),
            Data::ExponentialHistogram(data) => {
                data.data_points.iter_mut().for_each(|point| act(&mut point.attributes));
            }
            Data::Summary(data) => data.data_points.iter_mut().for_each(|point| act(&mut point.attributes)),
        }
    }
    assert_eq!(ExportMetricsServiceRequest::decode(taken.body).unwrap(), expected);
}

#[tokio::test]
async fn what_no_action_applies_to_goes_on_as_the_same_bytes() {
    let yaml = "actions: [{key: absent, value: x, action: update}, {pattern: ^absent, action: delete}]";
    let (body, taken) = through(yaml, Signal::Traces, &sample::traces(2)).await;
    assert_eq!(taken.body.as_ptr(), body.as_ptr());
}

#[test]
fn needs_actions() {
    let (_, problems) = probe::config::<Config>(Kind::Processor, "actions: []");
    assert!(problems.contains("needs at least one action"), "{problems}");
}

#[tokio::test]
async fn acts_only_on_what_is_included_and_not_excluded() {
    #[rustfmt::skip]
    let table = [
        ("a service",              "include: {match_type: strict, services: [absent]}",                             [false, false]),
        ("a span's name",          "include: {match_type: strict, span_names: [span 1]}",                           [false, true]),
        ("names that match",       "exclude: {match_type: regexp, span_names: ['1$']}",                             [true, false]),
        ("a kind",                 "include: {match_type: strict, span_kinds: [SPAN_KIND_CLIENT]}",                 [true, true]),
        ("an attribute's value",   "include: {match_type: strict, attributes: [{key: count, value: -2}]}",          [false, true]),
        ("an attribute's number",  "include: {match_type: regexp, attributes: [{key: count, value: '^-1$'}]}",      [true, false]),
        ("an attribute",           "exclude: {match_type: strict, attributes: [{key: flag}]}",                      [false, false]),
        ("a resource",             "include: {match_type: strict, resources: [{key: text, value: größe 0}]}",       [true, true]),
        ("a scope",                "include: {match_type: strict, libraries: [{name: io.test, version: '1.2'}]}",   [true, true]),
        ("another version",        "include: {match_type: strict, libraries: [{name: io.test, version: '1'}]}",     [false, false]),
        ("one and not another",    "include: {match_type: regexp, span_names: [span]}\nexclude: {match_type: strict, span_names: [span 0]}", [false, true]),
    ];
    for (row, selection, expected) in table {
        let (_, taken) = through(&format!("{ACTIONS}\n{selection}"), Signal::Traces, &sample::traces(2)).await;
        let request = ExportTraceServiceRequest::decode(taken.body).unwrap();
        let acted =
            |span: &opentelemetry_proto::tonic::trace::v1::Span| span.attributes.iter().any(|pair| pair.key == "new");
        let spans = &request.resource_spans[0].scope_spans[0].spans;
        assert_eq!(spans.iter().map(acted).collect::<Vec<_>>(), expected, "{row}");
    }
    let logs =
        format!("{ACTIONS}\ninclude: {{match_type: regexp, log_bodies: ['1$'], log_severity_number: {{min: 17}}}}");
    let (_, taken) = through(&logs, Signal::Logs, &sample::logs(2)).await;
    let text = format!("{:?}", ExportLogsServiceRequest::decode(taken.body).unwrap());
    assert_eq!(text.matches("key: \"new\"").count(), 1);
    let metrics = format!("{ACTIONS}\ninclude: {{match_type: strict, metric_names: [sum]}}");
    let (_, taken) = through(&metrics, Signal::Metrics, &sample::metrics(1)).await;
    let text = format!("{:?}", ExportMetricsServiceRequest::decode(taken.body).unwrap());
    assert_eq!(text.matches("key: \"new\"").count(), 1);
}

#[test]
fn a_selection_must_have_a_meaning_for_the_signal() {
    let yaml = format!("{ACTIONS}\ninclude: {{match_type: strict, span_names: [a]}}");
    let (config, problems) = probe::config::<Config>(Kind::Processor, &yaml);
    assert_eq!(problems, "");
    let error = config.build(Signal::Logs, Script::new([]), &probe::context("attributes", Path::new("")));
    assert!(error.err().unwrap().to_string().contains("span_names has no meaning for logs"));
}
