use std::collections::{BTreeMap, BTreeSet};

use opentelemetry_proto::tonic::{
    collector::{logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest},
    common::v1::{KeyValue, any_value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message as _;

use super::*;
use crate::{
    exporters::tests::destination::{Act, Destination, soon},
    otlp::{Signal, sample, view},
    pipeline::probe,
};

const PATIENT: &str = "retry_on_failure: {initial_interval: 10ms, max_interval: 20ms}";

fn configured(addresses: &[String], key: &str, otlp: &str) -> (Config, Context) {
    let yaml = format!(
        "{{routing_key: {key}, protocol: {{otlp: {{tls: {{insecure: true}}, compression: none, {otlp}}}}}, \
         resolver: {{static: {{hostnames: {addresses:?}}}}}}}"
    );
    let (config, said) = probe::config::<Config>(crate::config::Kind::Exporter, &yaml);
    assert_eq!(said, "");
    (config, probe::context("load_balancing", std::path::Path::new(".")))
}

async fn destinations(count: usize) -> (Vec<Destination>, Vec<String>) {
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(Destination::new([]).await);
    }
    let addresses = all.iter().map(|destination| destination.address.to_string()).collect();
    (all, addresses)
}

fn attribute(key: &str, value: &str) -> KeyValue {
    sample::pair(key, any_value::Value::StringValue(value.to_owned()))
}

/// Two spans of each trace, one after all the others, under a resource with `attributes`.
fn traces(first: u64, count: u64, attributes: Vec<KeyValue>) -> Batch {
    let spans = (first..first + count).chain(first..first + count).map(|n| Span {
        trace_id: u128::from(n + 1).to_be_bytes().to_vec(),
        span_id: vec![1; 8],
        ..Span::default()
    });
    let scope_spans = vec![ScopeSpans { spans: spans.collect(), ..ScopeSpans::default() }];
    let resource = Some(Resource { attributes, ..Resource::default() });
    let resource_spans = vec![ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }];
    let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec().into();
    Batch { signal: Signal::Traces, body, items: 2 * count as usize }
}

/// Spans of each trace at each destination.
fn traces_at(destinations: &[Destination]) -> Vec<BTreeMap<Vec<u8>, usize>> {
    let count = |destination: &Destination| {
        let mut traces = BTreeMap::new();
        for body in destination.taken() {
            let spans = view::resources(&body).flat_map(|group| group.scopes()).flat_map(|scope| scope.records());
            for span in spans {
                *traces.entry(view::Span::scan(span, |_, _| {}).trace_id.to_vec()).or_default() += 1;
            }
        }
        traces
    };
    destinations.iter().map(count).collect()
}

#[tokio::test]
async fn a_trace_is_at_one_destination_and_every_gateway_chooses_the_same() {
    let (sinks, addresses) = destinations(3).await;
    let mut reversed = addresses.clone();
    reversed.reverse();
    for addresses in [&addresses, &reversed] {
        let (config, context) = configured(addresses, "traceID", PATIENT);
        let exporter = config.build(&context).unwrap();
        for first in [0, 100] {
            assert_eq!(exporter.consume(traces(first, 100, vec![])).await, Outcome::Accepted);
        }
        soon("draining", exporter.drain()).await;
        assert_eq!(context.metrics.sum("otelcol_loadbalancer_num_backends", None), 3.0);
    }
    let at = traces_at(&sinks);
    assert_eq!(at.iter().map(BTreeMap::len).sum::<usize>(), 200, "no trace is at two");
    assert!(at.iter().flat_map(BTreeMap::values).all(|spans| *spans == 4), "all of it, from both gateways");
    assert!(at.iter().all(|traces| traces.len() > 30), "{:?}", at.iter().map(BTreeMap::len).collect::<Vec<_>>());
}

#[tokio::test]
async fn resources_go_by_service_function_or_all_their_attributes() {
    let aws = |name: &str, region: &str, version: &str| {
        vec![
            attribute("cloud.provider", "aws"),
            attribute("cloud.region", region),
            attribute("faas.name", name),
            attribute("faas.version", version),
            attribute("service.name", "shop"),
        ]
    };
    let reordered = |mut attributes: Vec<KeyValue>| {
        attributes.reverse();
        attributes
    };
    let (one, other_version, other_region) = (aws("f", "r1", "1"), aws("f", "r1", "2"), aws("f", "r2", "1"));
    let place = |key: RoutingKey, attributes: Vec<KeyValue>| {
        let batch = traces(0, 1, attributes);
        let group = view::resources(&batch.body).next().unwrap();
        // Of many owners two keys hardly have the same.
        key.of_resource(group, |hash| hash as usize)
    };
    #[rustfmt::skip]
    let table = [
        ("service", RoutingKey::Service, &other_region, true),
        ("function, other version", RoutingKey::Function, &other_version, true),
        ("function, other region", RoutingKey::Function, &other_region, false),
        ("resource, other version", RoutingKey::Resource, &other_version, false),
        ("resource, other order", RoutingKey::Resource, &reordered(one.clone()), true),
        ("function, other order", RoutingKey::Function, &reordered(one.clone()), true),
    ];
    for (row, key, other, same) in table {
        assert_eq!(place(key, one.clone()) == place(key, other.clone()), same, "{row}");
    }
    assert_eq!(place(RoutingKey::TraceId, one), crate::otlp::partition::Place::ByRecord);
    assert_eq!(RoutingKey::of(None, Signal::Metrics), RoutingKey::Service);
}

#[tokio::test]
async fn log_records_go_with_their_trace() {
    let (sinks, addresses) = destinations(3).await;
    let (config, context) = configured(&addresses, "traceID", PATIENT);
    let exporter = config.build(&context).unwrap();
    let mut request = sample::logs(60);
    for (n, record) in request.resource_logs[0].scope_logs[0].log_records.iter_mut().enumerate() {
        record.trace_id = (n as u128 % 20 + 1).to_be_bytes().to_vec();
    }
    let batch = Batch { signal: Signal::Logs, body: request.encode_to_vec().into(), items: 60 };
    assert_eq!(exporter.consume(batch).await, Outcome::Accepted);
    exporter.consume(traces(0, 20, vec![])).await;
    soon("draining", exporter.drain()).await;
    let mut records = 0;
    for sink in &sinks {
        let (mut logged, mut traced) = (BTreeSet::new(), BTreeSet::new());
        for seen in sink.seen() {
            if seen.path.contains("LogsService") {
                for record in
                    &ExportLogsServiceRequest::decode(seen.body).unwrap().resource_logs[0].scope_logs[0].log_records
                {
                    logged.insert(record.trace_id.clone());
                    records += 1;
                }
            } else {
                let request = ExportTraceServiceRequest::decode(seen.body).unwrap();
                traced.extend(request.resource_spans[0].scope_spans[0].spans.iter().map(|span| span.trace_id.clone()));
            }
        }
        assert_eq!(logged, traced);
    }
    assert_eq!(records, 60);
}

#[tokio::test]
async fn a_backend_more_takes_its_share_and_nothing_else_moves() {
    let addresses: Vec<String> = (1..=6).map(|n| format!("10.0.0.{n}:4317")).collect();
    let (config, context) = configured(&addresses, "traceID", PATIENT);
    let router = config.router(&context);
    router.list(&addresses[..5]).unwrap();
    let (five, keys) = (router.candidates(), 12_000_u64);
    let owners = |backends: &[Arc<Backend>]| -> Vec<String> {
        let key = |n: u64| {
            RoutingKey::of_record(
                Signal::Traces,
                &Span { trace_id: u128::from(n).to_be_bytes().to_vec(), ..Span::default() }.encode_to_vec(),
            )
        };
        (0..keys).map(|n| backends[backend::owner(backends, key(n))].endpoint.clone()).collect()
    };
    let before = owners(&five);
    router.list(&addresses).unwrap();
    let after = owners(&router.candidates());
    let moved: Vec<&String> =
        before.iter().zip(&after).filter(|(before, after)| before != after).map(|(_, to)| to).collect();
    assert!(moved.iter().all(|to| **to == addresses[5]), "what moves, moves to the new one");
    let share = moved.len() as f64 / keys as f64;
    assert!((0.15..0.185).contains(&share), "a sixth moves: {share}");
    for address in &addresses {
        let share = after.iter().filter(|owner| *owner == address).count() as f64 / keys as f64;
        assert!((0.145..0.19).contains(&share), "{address} has its share: {share}");
    }
}

#[tokio::test]
async fn what_a_backend_that_is_no_longer_listed_has_not_taken_goes_to_the_others() {
    let silent = Destination::new(vec![Act::Stall; 1000]).await;
    let (sinks, mut addresses) = destinations(2).await;
    addresses.push(silent.address.to_string());
    let (config, context) = configured(&addresses, "traceID", &format!("{PATIENT}, timeout: 60s"));
    let router = config.router(&context);
    router.list(&addresses).unwrap();
    for first in 0..10 {
        assert_eq!(router.route(traces(first * 100, 100, vec![])).await, Outcome::Accepted);
    }
    soon("a request to the silent one", async {
        while silent.seen().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    router.list(&addresses[..2]).unwrap();
    soon("draining", router.drain()).await;
    let at = traces_at(&sinks);
    assert_eq!(at.iter().flat_map(BTreeMap::values).sum::<usize>(), 2000, "all of it, each once");
    assert_eq!(at.iter().map(BTreeMap::len).sum::<usize>(), 1000);
    assert_eq!(context.metrics.sum("otelcol_exporter_send_failed_spans", None), 0.0);
    let gone = format!("load_balancing[{}]", silent.address);
    let forgotten = async {
        while !context.metrics.values("otelcol_exporter_queue_size").iter().all(|(labels, _)| labels[0].1 != gone) {
            tokio::task::yield_now().await;
        }
    };
    soon("forgetting its metrics", forgotten).await;
}

#[tokio::test]
async fn one_that_gives_up_is_replaced_until_it_has_rested() {
    let (sinks, mut addresses) = destinations(2).await;
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    addresses.push(dead.to_string());
    let impatient = "retry_on_failure: {initial_interval: 1ms, max_interval: 2ms, max_elapsed_time: 10ms}";
    let (config, context) = configured(&addresses, "traceID", impatient);
    let exporter = config.build(&context).unwrap();
    assert_eq!(exporter.consume(traces(0, 100, vec![])).await, Outcome::Accepted);
    let arrived = async {
        while traces_at(&sinks).iter().map(BTreeMap::len).sum::<usize>() < 100 {
            tokio::task::yield_now().await;
        }
    };
    soon("all of it at the others", arrived).await;
    exporter.consume(traces(100, 100, vec![])).await;
    soon("draining", exporter.drain()).await;
    let at = traces_at(&sinks);
    assert_eq!(at.iter().flat_map(BTreeMap::values).sum::<usize>(), 400, "each once");
    assert_eq!(context.metrics.sum("otelcol_exporter_send_failed_spans", None), 0.0, "nothing is lost");
}

#[tokio::test]
async fn when_all_give_up_it_is_a_loss_and_not_a_circle() {
    let dead = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let impatient = "retry_on_failure: {initial_interval: 1ms, max_interval: 2ms, max_elapsed_time: 10ms}";
    let (config, context) = configured(&[dead(), dead()], "traceID", impatient);
    let exporter = config.build(&context).unwrap();
    exporter.consume(traces(0, 10, vec![])).await;
    let lost = async {
        while context.metrics.sum("otelcol_exporter_send_failed_spans", None) < 20.0 {
            tokio::task::yield_now().await;
        }
    };
    soon("giving up", lost).await;
    assert_eq!(context.metrics.sum("otelcol_exporter_queue_size", None), 0.0);
}

#[tokio::test]
async fn backends_are_found_by_name_and_stay_when_the_name_is_gone() {
    let sink = Destination::new([]).await;
    let yaml = format!(
        "{{protocol: {{otlp: {{tls: {{insecure: true}}, compression: none}}}}, \
         resolver: {{dns: {{hostname: 127.0.0.1, port: '{}', interval: 10ms}}}}}}",
        sink.address.port()
    );
    let (config, said) = probe::config::<Config>(crate::config::Kind::Exporter, &yaml);
    assert_eq!(said, "");
    let context = probe::context("load_balancing", std::path::Path::new("."));
    let exporter = config.build(&context).unwrap();
    let found = async {
        while exporter.consume(traces(0, 1, vec![])).await != Outcome::Accepted {
            tokio::task::yield_now().await;
        }
    };
    soon("an answer", found).await;
    let asked = async {
        while context.metrics.sum("otelcol_loadbalancer_num_resolutions", Some(("success", "true"))) < 3.0 {
            tokio::task::yield_now().await;
        }
    };
    soon("asking again", asked).await;
    assert_eq!(
        context.metrics.sum("otelcol_loadbalancer_num_backend_updates", None),
        1.0,
        "the same list is no change"
    );
    soon("draining", exporter.drain()).await;
    assert_eq!(traces_at(&[sink])[0].len(), 1);
}

#[test]
fn the_configuration_is_checked() {
    let listed = "resolver: {static: {hostnames: [a, 'b:4317']}}";
    for (yaml, wrong) in [
        (format!("{{{listed}}}"), ""),
        (format!("{{{listed}, routing_key: function, protocol: {{otlp: {{timeout: 1s}}}}}}"), ""),
        ("{resolver: {dns: {hostname: a, port: 4317}}}".to_owned(), ""),
        ("{}".to_owned(), "resolver"),
        ("{resolver: {static: {hostnames: []}}}".to_owned(), "hostnames"),
        ("{resolver: {static: {hostnames: [a, 'a:4317']}}}".to_owned(), "twice"),
        ("{resolver: {static: {hostnames: ['a b']}}}".to_owned(), "hostnames::0"),
        ("{resolver: {static: {hostnames: [a]}, dns: {hostname: b}}}".to_owned(), "both"),
        ("{resolver: {dns: {hostname: a, port: many}}}".to_owned(), "port"),
        ("{resolver: {dns: {}}}".to_owned(), "hostname"),
        (format!("{{{listed}, protocol: {{otlp: {{endpoint: 'x:1'}}}}}}"), "endpoint"),
        (format!("{{{listed}, protocol: {{otlp: {{timeout: 0}}}}}}"), "timeout"),
        (format!("{{{listed}, routing_key: spanID}}"), "routing_key"),
    ] {
        let (_, said) = probe::config::<Config>(crate::config::Kind::Exporter, &yaml);
        assert_eq!(said.is_empty(), wrong.is_empty(), "{yaml}: {said}");
        assert!(said.contains(wrong), "{yaml}: {said}");
    }
}
