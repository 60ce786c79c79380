use std::path::Path;

use opentelemetry_proto::tonic::{
    collector::{logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest},
    common::v1::{AnyValue, InstrumentationScope, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    metrics::v1::{Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric::Data},
    resource::v1::Resource,
};
use prost::Message as _;

use super::*;
use crate::{
    config::Kind,
    pipeline::{
        component::Context,
        probe::{self, Script},
    },
};

const MS: Duration = Duration::from_millis(1);

fn record(body: &str) -> LogRecord {
    let body = Some(AnyValue { value: Some(Value::StringValue(body.to_owned())) });
    LogRecord { body, ..LogRecord::default() }
}

/// A request with a resource for each of `scopes`, which says how many records its two scopes have.
fn request(scopes: &[(usize, usize)]) -> ExportLogsServiceRequest {
    let resource = |(at, (a, b)): (usize, &(usize, usize))| {
        let scope = |name: &str, n: usize| ScopeLogs {
            scope: Some(InstrumentationScope { name: name.to_owned(), ..InstrumentationScope::default() }),
            log_records: (0..n).map(|n| record(&format!("{at} {name} {n}"))).collect(),
            schema_url: "scope-schema".to_owned(),
        };
        ResourceLogs {
            resource: Some(Resource { dropped_attributes_count: at as u32 + 1, ..Resource::default() }),
            scope_logs: vec![scope("a", *a), scope("b", *b)],
            schema_url: "schema".to_owned(),
        }
    };
    ExportLogsServiceRequest { resource_logs: scopes.iter().enumerate().map(resource).collect() }
}

fn logs(items: usize) -> Batch {
    Batch { signal: Signal::Logs, body: request(&[(items, 0)]).encode_to_vec().into(), items }
}

fn started(config: &Config, next: &Arc<Script>) -> (Next, Context) {
    let context = probe::context("batch", Path::new(""));
    (config.build(Signal::Logs, next.clone(), &context).unwrap(), context)
}

fn config(send_batch_size: usize, timeout: Duration, send_batch_max_size: usize) -> Config {
    Config { send_batch_size, timeout, send_batch_max_size, ..Config::default() }
}

/// Every record's text, with the resource it is under.
fn texts(batch: &Batch) -> Vec<String> {
    let request = ExportLogsServiceRequest::decode(batch.body.clone()).unwrap();
    let mut texts = Vec::new();
    for resource in &request.resource_logs {
        assert_eq!(resource.schema_url, "schema");
        let number = resource.resource.as_ref().unwrap().dropped_attributes_count;
        for scope in &resource.scope_logs {
            assert_eq!(scope.schema_url, "scope-schema");
            let name = &scope.scope.as_ref().unwrap().name;
            for record in &scope.log_records {
                match record.body.as_ref().and_then(|body| body.value.as_ref()) {
                    Some(Value::StringValue(text)) => {
                        assert!(
                            text.starts_with(&format!("{} {name} ", number - 1)),
                            "{text} is under its own resource"
                        );
                        texts.push(text.clone());
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }
    texts
}

/// Name, configuration, items of each batch put in, how long to wait, items of each request that came out.
type Sent<'a> = (&'a str, Config, &'a [usize], Duration, &'a [usize]);

#[tokio::test(start_paused = true)]
async fn requests_are_sent_when_they_are_full_or_time_is_up() {
    #[rustfmt::skip]
    let table: &[Sent] = &[
        ("full",                   config(10, 200 * MS, 0), &[4, 4, 4, 1],  10 * MS,  &[12]),
        ("time is up",             config(10, 200 * MS, 0), &[4, 4],        202 * MS, &[8]),
        ("not yet",                config(10, 200 * MS, 0), &[4, 4],        199 * MS, &[]),
        ("full, then time",        config(10, 200 * MS, 0), &[12, 1, 2],    202 * MS, &[12, 3]),
        ("no more than needed",    config(10, 200 * MS, 0), &[10, 10],      10 * MS,  &[10, 10]),
        ("at once by timeout 0",   config(10, Duration::ZERO, 0),   &[1],           MS,       &[1]),
        ("at once by size 0",      config(0, 200 * MS, 0),  &[1],           MS,       &[1]),
        ("split",                  config(4, 200 * MS, 5),  &[3, 9],        10 * MS,  &[5, 5, 2]),
        ("nothing",                config(4, 200 * MS, 0),  &[0],           400 * MS, &[]),
    ];
    for (row, config, batches, wait, expected) in table {
        let next = Script::new([]);
        let (node, _) = started(config, &next);
        for items in *batches {
            assert_eq!(node.consume(logs(*items)).await, Outcome::Accepted, "{row}");
        }
        tokio::time::sleep(*wait).await;
        assert_eq!(next.items(), *expected, "{row}");
    }
}

#[tokio::test(start_paused = true)]
async fn several_batches_become_one_request_with_all_their_records() {
    let next = Script::new([]);
    let (node, context) = started(&config(5, 200 * MS, 0), &next);
    for _ in 0..2 {
        node.consume(logs(3)).await;
    }
    node.consume(logs(1)).await;
    tokio::time::sleep(300 * MS).await;
    let taken = next.taken();
    assert_eq!(texts(&taken[0]), ["0 a 0", "0 a 1", "0 a 2", "0 a 0", "0 a 1", "0 a 2"]);
    assert_eq!(next.items(), [6, 1]);
    let metrics = context.metrics.render(&crate::telemetry::Form::default());
    for expected in [
        "otelcol_processor_batch_batch_send_size_sum{processor=\"batch\"} 7",
        "otelcol_processor_batch_batch_send_size_count{processor=\"batch\"} 2",
        "otelcol_processor_batch_batch_size_trigger_send{processor=\"batch\"} 1",
        "otelcol_processor_batch_timeout_trigger_send{processor=\"batch\"} 1",
    ] {
        assert!(metrics.contains(expected), "{expected} in {metrics}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_taken_is_offered_again_after_the_hint() {
    let retryable = |after| Outcome::Retryable { after, reason: "down".to_owned() };
    let second = Duration::from_secs(1);
    #[rustfmt::skip]
    let table = [
        ("with a hint",       retryable(Some(second)),                 second),
        ("overloaded",        Outcome::Overloaded { after: second },   second),
        ("without a hint",    retryable(None),                         FIRST_PAUSE),
        ("with a long hint",  retryable(Some(second * 3600)),          LONGEST_PAUSE),
    ];
    for (row, answer, pause) in table {
        let next = Script::new([answer]);
        let (node, _) = started(&config(1, 200 * MS, 0), &next);
        node.consume(logs(3)).await;
        tokio::time::sleep(MS).await;
        // More batches do not hurry it.
        node.consume(logs(2)).await;
        tokio::time::sleep(pause / 2).await;
        assert_eq!((next.asked(), next.items()), (1, vec![]), "{row}");
        tokio::time::sleep(pause / 2).await;
        assert_eq!(next.items(), [3, 2], "{row}: in order");
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_buffer_tells_senders_to_slow_down_and_recovers() {
    let hour = Duration::from_hours(1);
    let next = Script::new([Outcome::Overloaded { after: hour }]);
    let (node, _) = started(&config(1000, 200 * MS, 0), &next);
    let (mut taken, mut turned_away) = (0, 0);
    for _ in 0..100 {
        match node.consume(logs(1000)).await {
            Outcome::Accepted => taken += 1000,
            Outcome::Overloaded { after } => {
                assert!(after >= COME_BACK && after <= LONGEST_PAUSE);
                turned_away += 1000;
            }
            other => panic!("{other:?}"),
        }
        tokio::task::yield_now().await;
    }
    assert_eq!((taken, turned_away), (65_000, 35_000));
    tokio::time::sleep(LONGEST_PAUSE + 2 * MS).await;
    assert_eq!(next.items().iter().sum::<usize>(), 65_000, "nothing that was accepted is lost");
    assert_eq!(node.consume(logs(1000)).await, Outcome::Accepted);
}

#[tokio::test(start_paused = true)]
async fn bytes_are_bounded_too_but_one_large_batch_passes() {
    let next = Script::new([Outcome::Overloaded { after: 1000 * MS }]);
    let (node, _) = started(&config(1, 200 * MS, 0), &next);
    let large = || Batch { signal: Signal::Logs, body: vec![0; BUFFER_BYTES + 1].into(), items: 1 };
    assert_eq!(node.consume(large()).await, Outcome::Accepted);
    assert!(matches!(node.consume(large()).await, Outcome::Overloaded { .. }));
    tokio::time::sleep(1100 * MS).await;
    assert_eq!(next.items(), [1]);
    assert_eq!(node.consume(large()).await, Outcome::Accepted);
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_for_good_is_counted() {
    let permanent = Outcome::Permanent { reason: "no".to_owned() };
    let partial = Outcome::Partial { rejected: 2, message: "bad".to_owned() };
    let next = Script::new([permanent, partial]);
    let (node, context) = started(&config(1, 200 * MS, 0), &next);
    for _ in 0..3 {
        node.consume(logs(5)).await;
        tokio::time::sleep(MS).await;
    }
    assert_eq!(next.asked(), 3, "refused for good is not offered again");
    let metrics = context.metrics.render(&crate::telemetry::Form::default());
    assert!(metrics.contains("otelcol_processor_batch_dropped_items{processor=\"batch\"} 7"), "{metrics}");
    assert!(metrics.contains("batch_send_size_sum{processor=\"batch\"} 8"), "{metrics}");
}

#[tokio::test(start_paused = true)]
async fn draining_hands_everything_on_and_then_takes_nothing() {
    let down = Outcome::Retryable { after: Some(Duration::from_secs(20)), reason: "down".to_owned() };
    let next = Script::new([down.clone(), down]);
    let (node, _) = started(&config(100, 200 * MS, 0), &next);
    node.consume(logs(3)).await;
    node.consume(logs(4)).await;
    let begun = tokio::time::Instant::now();
    node.drain().await;
    assert_eq!(next.items(), [7]);
    assert!(begun.elapsed() <= 2 * DRAINING_PAUSE, "pauses are short at the end");
    assert!(matches!(node.consume(logs(1)).await, Outcome::Retryable { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_a_pause_that_has_begun() {
    let next = Script::new([Outcome::Overloaded { after: Duration::from_secs(30) }]);
    let (node, _) = started(&config(1, 200 * MS, 0), &next);
    node.consume(logs(3)).await;
    tokio::time::sleep(2000 * MS).await;
    let begun = tokio::time::Instant::now();
    node.drain().await;
    assert_eq!(next.items(), [3]);
    assert!(begun.elapsed() < 10 * MS, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_dropped_ends_its_worker() {
    let next = Script::new([]);
    let (node, _) = started(&Config::default(), &next);
    node.consume(logs(3)).await;
    drop(node);
    tokio::time::sleep(MS).await;
    assert_eq!(next.items(), [3]);
    assert_eq!(Arc::strong_count(&next), 1, "the worker is gone");
}

/// Name, records of each resource's two scopes, most items, items of each part.
type Split<'a> = (&'a str, &'a [(usize, usize)], usize, &'a [usize]);

#[test]
fn splitting_keeps_every_record_under_its_resource_and_scope() {
    #[rustfmt::skip]
    let table: &[Split] = &[
        ("one resource",         &[(7, 0)],                 3, &[3, 3, 1]),
        ("across scopes",        &[(2, 5)],                 3, &[3, 3, 1]),
        ("across resources",     &[(2, 0), (0, 2), (1, 1)], 3, &[3, 3]),
        ("exactly at an edge",   &[(3, 3), (3, 0)],         3, &[3, 3, 3]),
        ("empty scopes between", &[(0, 0), (1, 0), (0, 0)], 3, &[1]),
        ("one at a time",        &[(2, 1)],                 1, &[1, 1, 1]),
    ];
    for (row, scopes, max, expected) in table {
        let items = scopes.iter().map(|(a, b)| a + b).sum();
        let whole = Batch { signal: Signal::Logs, body: request(scopes).encode_to_vec().into(), items };
        let parts = crate::otlp::split::split(&whole, *max);
        assert_eq!(parts.iter().map(|part| part.items).collect::<Vec<_>>(), *expected, "{row}");
        assert!(parts.iter().all(|part| texts(part).len() == part.items), "{row}");
        assert_eq!(parts.iter().flat_map(texts).collect::<Vec<_>>(), texts(&whole), "{row}");
    }
}

#[test]
fn metrics_are_split_by_points_and_not_inside_a_metric() {
    let metric = |name: &str, points| Metric {
        name: name.to_owned(),
        data: Some(Data::Gauge(Gauge { data_points: vec![NumberDataPoint::default(); points] })),
        ..Metric::default()
    };
    let metrics = vec![metric("a", 2), metric("b", 1), metric("c", 9), metric("d", 1)];
    let scope_metrics = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
    let request = ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics { scope_metrics, ..ResourceMetrics::default() }],
    };
    let whole = Batch { signal: Signal::Metrics, body: request.encode_to_vec().into(), items: 13 };
    let parts = crate::otlp::split::split(&whole, 3);
    assert_eq!(parts.iter().map(|part| part.items).collect::<Vec<_>>(), [3, 9, 1]);
    assert!(parts.iter().all(|part| ExportMetricsServiceRequest::decode(part.body.clone()).is_ok()));
}

#[test]
fn the_configuration_is_the_collectors() {
    let (config, said) = probe::config::<Config>(Kind::Processor, "send_batch_size: 100\ntimeout: 2s");
    assert_eq!((config.send_batch_size, config.timeout, said.as_str()), (100, 2000 * MS, ""));
    let (_, said) = probe::config::<Config>(Kind::Processor, "send_batch_size: 100\nsend_batch_max_size: 99");
    assert!(said.contains("must be 0 or at least send_batch_size"), "{said}");
    let (config, said) = probe::config::<Config>(Kind::Processor, "metadata_keys: [a, b]");
    assert_eq!((config.metadata_keys.len(), config.metadata_cardinality_limit, said.as_str()), (2, 1000, ""));
    let (_, said) = probe::config::<Config>(Kind::Processor, "metadata_keys: [a, A]\nmetadata_cardinality_limit: 0");
    assert!(said.contains("is there twice") && said.contains("must be more than 0"), "{said}");
}

/// Says for whom it was given what.
#[derive(Default)]
struct Names(Mutex<Vec<(Vec<String>, usize)>>);

impl Consumer for Names {
    fn consume(&self, batch: Batch) -> Boxed<'_, Outcome> {
        let sender = metadata::current().map(|said| said.get("tenant").to_vec());
        self.0.lock().unwrap().push((sender.unwrap_or_else(|| vec!["nobody".to_owned()]), batch.items));
        Box::pin(std::future::ready(Outcome::Accepted))
    }
}

/// Scenario: senders with one, another, an empty and no value take turns; then one more comes.
/// Guarantees: what differs is never merged and keeps its own value, and nothing else; one too many is refused for good.
#[tokio::test(start_paused = true)]
async fn senders_that_differ_are_kept_apart_up_to_a_limit() {
    let names = Arc::new(Names::default());
    let keys = Config { metadata_keys: vec!["Tenant".to_owned()], metadata_cardinality_limit: 4, ..config(100, MS, 0) };
    let node = keys.build(Signal::Logs, names.clone(), &probe::context("batch", Path::new(""))).unwrap();
    let said = |tenant: Option<&str>| {
        let headers = tenant.map(|tenant| (http::HeaderName::from_static("tenant"), tenant.parse().unwrap()));
        Some(Arc::new(Metadata::of(&headers.into_iter().collect(), &http::Uri::from_static("http://gateway"))))
    };
    for _ in 0..3 {
        for tenant in [Some("a"), Some("b"), Some(""), None] {
            let outcome = metadata::with(said(tenant), async { node.consume(logs(2)).await }).await;
            assert_eq!(outcome, Outcome::Accepted, "{tenant:?}");
        }
    }
    let outcome = metadata::with(said(Some("c")), async { node.consume(logs(2)).await }).await;
    assert!(matches!(&outcome, Outcome::Permanent { reason } if reason.contains("more than 4")), "{outcome:?}");
    node.drain().await;
    let mut heard = names.0.lock().unwrap().clone();
    heard.sort();
    let expected = [vec![], vec![""], vec!["a"], vec!["b"]];
    assert_eq!(heard, expected.map(|tenant| (tenant.into_iter().map(str::to_owned).collect(), 6)));
}
