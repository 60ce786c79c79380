use std::path::Path;

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{KeyValue, any_value::Value},
    resource::v1::Resource as ProtoResource,
};
use prost::Message;

use super::*;
use crate::{
    config::Kind,
    otlp::{check::check, sample},
    pipeline::probe::{self, Script},
};

/// The body behind the processor.
async fn through(yaml: &str, signal: Signal, request: &impl Message) -> bytes::Bytes {
    let (config, problems) = probe::config::<Config>(Kind::Processor, yaml);
    assert_eq!(problems, "");
    let script = Script::new([]);
    let node = config.build(signal, script.clone(), &probe::context("resource", Path::new(""))).unwrap();
    let body = bytes::Bytes::from(request.encode_to_vec());
    let items = check(signal, &body).unwrap();
    assert_eq!(node.consume(Batch { signal, body, items }).await, Outcome::Accepted);
    script.taken().remove(0).body
}

fn act(attributes: &mut Vec<KeyValue>) {
    attributes.retain(|pair| pair.key != "text" && pair.key != "flag");
    attributes.push(sample::pair("text", Value::StringValue("x".into())));
}

#[tokio::test]
async fn acts_on_resources_of_every_signal_only() {
    let yaml = "attributes: [{key: text, value: x, action: upsert}, {key: flag, action: delete}]";
    let mut traces = sample::traces(1);
    let body = through(yaml, Signal::Traces, &traces).await;
    act(&mut traces.resource_spans[0].resource.as_mut().unwrap().attributes);
    assert_eq!(ExportTraceServiceRequest::decode(body).unwrap(), traces);

    let mut logs = sample::logs(1);
    let body = through(yaml, Signal::Logs, &logs).await;
    act(&mut logs.resource_logs[0].resource.as_mut().unwrap().attributes);
    assert_eq!(ExportLogsServiceRequest::decode(body).unwrap(), logs);

    let mut metrics = sample::metrics(1);
    let body = through(yaml, Signal::Metrics, &metrics).await;
    act(&mut metrics.resource_metrics[0].resource.as_mut().unwrap().attributes);
    assert_eq!(ExportMetricsServiceRequest::decode(body).unwrap(), metrics);
}

#[tokio::test]
async fn a_group_without_a_resource_gets_one_only_if_something_is_set() {
    let mut request = sample::traces(1);
    request.resource_spans[0].resource = None;
    #[rustfmt::skip]
    let table = [
        ("inserted", "attributes: [{key: a, value: 1, action: insert}]", Some(vec![sample::pair("a", Value::IntValue(1))])),
        ("updated",  "attributes: [{key: a, value: 1, action: update}]", None),
        ("deleted",  "attributes: [{key: a, action: delete}]",           None),
    ];
    for (row, yaml, expected) in table {
        let body = through(yaml, Signal::Traces, &request).await;
        let resource = ExportTraceServiceRequest::decode(body).unwrap().resource_spans.remove(0).resource;
        let expected = expected.map(|attributes| ProtoResource { attributes, ..ProtoResource::default() });
        assert_eq!(resource, expected, "{row}");
    }
}

#[test]
fn needs_actions() {
    let (_, problems) = probe::config::<Config>(Kind::Processor, "attributes: []");
    assert!(problems.contains("needs at least one action"), "{problems}");
}
