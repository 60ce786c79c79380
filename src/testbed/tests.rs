use std::collections::{HashMap, HashSet};

use opentelemetry_proto::tonic::{
    collector::{logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest},
    common::v1::{KeyValue, any_value::Value},
    trace::v1::Span,
};
use prost::Message;

use super::*;
use crate::otlp::check::check;

const SMALL: Options = Options {
    seed: 7,
    days: 2,
    scale: 0.2,
    start: DEFAULT_START,
    applications: &[&applications::airline::AIRLINE],
    story: Story::Demo,
    sources: Sources::NONE,
};

/// A span with the function it came from.
struct Seen {
    function: String,
    version: String,
    scope_version: String,
    at: Nanos,
    span: Span,
}

fn text<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    match attributes.iter().find(|kv| kv.key == key)?.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

fn spans(simulation: &mut Simulation) -> Vec<Seen> {
    spans_of(&mut simulation.by_ref())
}

fn spans_of(deliveries: &mut dyn Iterator<Item = Delivery>) -> Vec<Seen> {
    let mut seen = Vec::new();
    for delivery in deliveries.filter(|delivery| delivery.batch.signal == Signal::Traces) {
        let request = ExportTraceServiceRequest::decode(delivery.batch.body).unwrap();
        for resource_spans in request.resource_spans {
            let resource = resource_spans.resource.unwrap().attributes;
            for scope_spans in resource_spans.scope_spans {
                let scope_version = scope_spans.scope.unwrap().version;
                seen.extend(scope_spans.spans.into_iter().map(|span| Seen {
                    function: text(&resource, "faas.name").unwrap().to_owned(),
                    version: text(&resource, "faas.version").unwrap().to_owned(),
                    scope_version: scope_version.clone(),
                    at: delivery.at,
                    span,
                }));
            }
        }
    }
    seen
}

fn invocation(seen: &Seen) -> Option<&str> {
    text(&seen.span.attributes, "faas.invocation_id")
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let all = |seed| Simulation::new(Options { seed, ..SMALL }).map(|d| (d.at, d.batch.body)).collect::<Vec<_>>();
    let first = all(7);
    assert!(first == all(7));
    assert!(first != all(8));
}

#[test]
fn every_batch_is_valid_small_and_in_order() {
    let mut last = 0;
    let mut logs = 0;
    for Delivery { at, batch } in Simulation::new(Options { scale: 60.0, days: 1, ..SMALL }).take(6_000) {
        assert_eq!(check(batch.signal, &batch.body), Ok(batch.items));
        assert!((1..=1000).contains(&batch.items));
        assert!(at >= last);
        last = at;
        if batch.signal == Signal::Logs {
            let request = ExportLogsServiceRequest::decode(batch.body).unwrap();
            let records = request.resource_logs.iter().flat_map(|r| &r.scope_logs).flat_map(|s| &s.log_records);
            for record in records {
                logs += 1;
                assert_eq!((record.trace_id.len(), record.span_id.len()), (16, 8));
            }
        }
    }
    assert!(logs > 1000);
}

#[test]
fn spans_belong_together() {
    let mut simulation = Simulation::new(SMALL);
    let seen = spans(&mut simulation);
    let by_id: HashMap<&[u8], &Seen> = seen.iter().map(|s| (s.span.span_id.as_slice(), s)).collect();
    assert_eq!(by_id.len(), seen.len(), "span ids are unique");
    let handlers = seen.iter().filter_map(invocation).count();
    assert_eq!(seen.iter().filter_map(invocation).collect::<HashSet<_>>().len(), handlers, "invocation ids too");
    let mut functions_of_trace: HashMap<&[u8], HashSet<&str>> = HashMap::new();
    for s in &seen {
        assert!(s.span.start_time_unix_nano < s.span.end_time_unix_nano);
        assert!(s.span.end_time_unix_nano < s.at);
        functions_of_trace.entry(&s.span.trace_id).or_default().insert(&s.function);
        if s.span.parent_span_id.is_empty() {
            assert_eq!(s.span.kind, 2, "only requests from outside begin a trace");
            continue;
        }
        let parent = by_id[s.span.parent_span_id.as_slice()];
        assert_eq!(parent.span.trace_id, s.span.trace_id);
        if invocation(s).is_none() {
            assert!(s.at <= parent.at, "a call comes before or with its handler");
            assert!(s.span.end_time_unix_nano <= parent.span.end_time_unix_nano);
            assert_eq!(s.function, parent.function);
        } else {
            assert_eq!(s.span.kind, 5);
            assert!(s.span.start_time_unix_nano > parent.span.end_time_unix_nano);
        }
    }
    assert!(functions_of_trace.values().any(|functions| functions.len() == 6), "a whole booking is one trace");
    let functions: HashSet<_> = seen.iter().map(|s| s.function.as_str()).collect();
    assert_eq!(functions.len(), simulation.functions());
}

/// All three applications with everything that is heard of them.
const ACCOUNT: Options = Options {
    seed: 5,
    days: 1,
    scale: 0.02,
    start: DEFAULT_START,
    applications: applications::ALL,
    story: Story::Everyday,
    sources: Sources::ALL,
};

fn log_records(batch: &Batch) -> Vec<opentelemetry_proto::tonic::logs::v1::LogRecord> {
    let request = ExportLogsServiceRequest::decode(batch.body.clone()).unwrap();
    let scopes = request.resource_logs.into_iter().flat_map(|resource| resource.scope_logs);
    scopes.flat_map(|scope| scope.log_records).collect()
}

#[test]
fn every_source_gives_what_it_gives_and_the_same_seed_the_same() {
    let all = || Simulation::new(ACCOUNT).map(|d| (d.at, d.batch.body)).collect::<Vec<_>>();
    assert!(all() == all());
    let mut simulation = Simulation::new(ACCOUNT);
    let (mut handlers, mut reports, mut invocations, mut trail) = (HashSet::new(), HashSet::new(), 0, HashSet::new());
    let (mut own_calls, mut functions) = (HashSet::new(), HashSet::new());
    for delivery in simulation.by_ref() {
        assert_eq!(check(delivery.batch.signal, &delivery.batch.body), Ok(delivery.batch.items));
        match delivery.batch.signal {
            Signal::Traces => {
                let mut one = [delivery].into_iter();
                for seen in spans_of(&mut one) {
                    functions.insert(seen.function.clone());
                    handlers.extend(invocation(&seen).map(str::to_owned));
                    own_calls.extend(text(&seen.span.attributes, "aws.request_id").map(str::to_owned));
                }
            }
            Signal::Logs => {
                for record in log_records(&delivery.batch) {
                    if text(&record.attributes, "type") == Some("platform.report") {
                        reports.extend(text(&record.attributes, "faas.invocation_id").map(str::to_owned));
                    }
                    if text(&record.attributes, "aws.cloudtrail.event_id").is_some() {
                        assert!(delivery.at > record.time_unix_nano + MINUTE, "the audit log is late");
                        trail.extend(text(&record.attributes, "aws.request_id").map(str::to_owned));
                    }
                }
            }
            Signal::Metrics => invocations += summed(&delivery.batch, "amazonaws.com/AWS/Lambda/Invocations"),
        }
    }
    for function in ["search-flights", "vod-catalogue", "order-manager"] {
        assert!(functions.contains(function), "{function} is not among {functions:?}");
    }
    assert!(handlers.len() > 500, "{}", handlers.len());
    assert_eq!(handlers, reports, "the platform reports each invocation");
    assert_eq!(invocations, handlers.len(), "and the metrics count it");
    let joined = own_calls.intersection(&trail).count();
    assert!(joined > own_calls.len() * 9 / 10, "{joined} of {} calls are in the audit log", own_calls.len());
}

/// The sum of a metric's summaries.
fn summed(batch: &Batch, name: &str) -> usize {
    use opentelemetry_proto::tonic::{collector::metrics::v1::ExportMetricsServiceRequest, metrics::v1::metric::Data};
    let request = ExportMetricsServiceRequest::decode(batch.body.clone()).unwrap();
    let scopes = request.resource_metrics.into_iter().flat_map(|resource| resource.scope_metrics);
    let metrics = scopes.flat_map(|scope| scope.metrics).filter(|metric| metric.name == name);
    let points = metrics.flat_map(|metric| match metric.data {
        Some(Data::Summary(summary)) => summary.data_points,
        other => panic!("{other:?}"),
    });
    points.map(|point| point.sum as usize).sum()
}

#[test]
fn a_clone_goes_its_own_way_from_where_it_was_made() {
    let mut simulation = Simulation::new(ACCOUNT);
    let noon = ACCOUNT.start + 12 * HOUR;
    while simulation.next_before(noon).is_some() {}
    let later = noon + 50 * MINUTE;
    let go_on = |mut simulation: Simulation| {
        let rest: Vec<_> = std::iter::from_fn(|| simulation.next_before(later)).map(|d| (d.at, d.batch.body)).collect();
        (rest, simulation)
    };
    let (quiet, _) = go_on(simulation.clone());
    assert!(quiet.len() > 50 && quiet.iter().all(|(at, _)| *at >= noon));
    assert!(quiet == go_on(simulation.clone()).0);
    let behaviours = attacks::catalogue::all();
    let stage = &applications::airline::AIRLINE.stages[0];
    for behaviour in behaviours {
        let campaign = behaviour.campaign(stage, attacks::catalogue::Intensity::Loud);
        let mut attacked = simulation.clone();
        attacked.attack(campaign, noon + 10 * MINUTE);
        let (loud, attacked) = go_on(attacked);
        assert!(loud != quiet, "{}", behaviour.id);
        let attack = &attacked.truth().attacks[0];
        assert!(
            !attack.invocations.is_empty() || !attack.loot.is_empty() || behaviour.id.starts_with("A34"),
            "{attack:?}"
        );
    }
}

#[test]
fn scenarios_are_there_and_leave_no_attack() {
    let mut simulation = Simulation::new(Options { days: 1, ..ACCOUNT });
    while simulation.next_before(simulation.end()).is_some() {}
    let day = simulation.end();
    for scenario in scenarios::ALL {
        let mut other = simulation.clone();
        other.disturb(scenario.on(applications::ALL, day, &mut Rng::new(1)));
        other.extend(day + DAY);
        // The night and the morning will do here.
        let until = day + 10 * HOUR;
        assert!(std::iter::from_fn(|| other.next_before(until)).count() > 50, "{}", scenario.id);
        assert!(other.truth().attacks.is_empty());
        let named = other.truth().benign.iter().any(|benign| benign.id == scenario.id);
        assert!(named || scenario.id == "quiet-day", "{}", scenario.id);
    }
}

#[test]
fn volume_is_as_announced() {
    for scale in [0.2, 1.0] {
        let mut simulation = Simulation::new(Options { days: 4, scale, ..SMALL });
        let expected = simulation.spans_expected();
        let (mut count, mut bytes) = (0, 0);
        for batch in simulation.by_ref().map(|delivery| delivery.batch).filter(|batch| batch.signal == Signal::Traces) {
            count += batch.items;
            bytes += batch.body.len();
        }
        let off = count as f64 / expected as f64 - 1.0;
        assert!(off.abs() < 0.06, "{count} for {expected}");
        let each = bytes / count;
        assert!((400..700).contains(&each), "{each} bytes a span");
    }
}

#[test]
fn days_and_crowds_show_in_the_traffic() {
    let mut simulation = Simulation::new(Options { days: 3, ..SMALL });
    let crowd = *simulation.truth().benign.iter().find(|benign| benign.id == "flash-crowd").unwrap();
    let mut by_hour = [0.0; 24];
    let (mut within, mut before) = (0.0, 0.0);
    for delivery in simulation.by_ref().filter(|delivery| delivery.batch.signal == Signal::Traces) {
        let items = delivery.batch.items as f64;
        if (crowd.from..crowd.to).contains(&delivery.at) {
            within += items;
        } else {
            by_hour[(delivery.at / HOUR % 24) as usize] += items;
        }
        if (crowd.from - 40 * MINUTE..crowd.from).contains(&delivery.at) {
            before += items;
        }
    }
    let (night, day) = (by_hour[2..5].iter().sum::<f64>(), by_hour[9..12].iter().sum::<f64>());
    assert!((6.0..12.0).contains(&(day / night)), "{day} by day, {night} by night");
    assert!((6.0..16.0).contains(&(within / before)), "{within} in the crowd, {before} before");
}

#[test]
fn what_is_benign_is_there() {
    let mut simulation = Simulation::new(Options { days: 7, scale: 0.5, ..SMALL });
    let seen = spans(&mut simulation);
    let benign = |id| simulation.truth().benign.iter().find(|benign| benign.id == id).unwrap();
    let failed = |s: &Seen| s.span.status.as_ref().unwrap().message.contains("ProvisionedThroughputExceeded");
    let outages = [benign("dynamodb-throttling-1"), benign("dynamodb-throttling-2")];
    for outage in outages {
        assert!(seen.iter().any(|s| failed(s) && (outage.from..outage.to + MINUTE).contains(&s.at)), "{}", outage.id);
    }
    let rebooked = benign("deploy-confirm-booking");
    for s in seen.iter().filter(|s| s.function == "confirm-booking") {
        assert_eq!(
            s.version,
            if s.span.start_time_unix_nano < rebooked.from + MINUTE / 12 { s.version.as_str() } else { "10" }
        );
    }
    let reads_rules = seen.iter().filter(|s| format!("{:?}", s.span.attributes).contains("fare-rules"));
    assert_eq!(reads_rules.map(|s| s.version.as_str()).collect::<HashSet<_>>(), HashSet::from(["10"]));
    let newer: HashSet<_> = seen.iter().filter(|s| s.scope_version == "0.67b0").map(|s| s.function.as_str()).collect();
    assert_eq!(newer, HashSet::from(["search-flights", "get-loyalty"]));
    assert!(seen.iter().any(|s| s.span.name == "S3.PutObject"), "an administrator came by");
    assert!(seen.iter().any(|s| s.span.name == "tier-events send"), "somebody was lifted a tier");
}

/// For each attack a mark by which its spans are told, and how many invocations it has.
#[test]
fn every_attack_is_in_the_stream() {
    let mut simulation = Simulation::new(SMALL);
    let planned = simulation.truth().clone();
    let seen = spans(&mut simulation);
    let handlers: HashMap<&str, &Seen> = seen.iter().filter_map(|s| Some((invocation(s)?, s))).collect();
    let children = |handler: &Seen| {
        let of = |s: &&Seen| s.span.parent_span_id == handler.span.span_id && invocation(s).is_none();
        seen.iter().filter(of).map(|s| format!("{} {:?}", s.span.name, s.span.attributes)).collect::<Vec<_>>()
    };
    let count = |calls: &[String], mark: &str| calls.iter().filter(|call| call.contains(mark)).count();
    let table: [(&str, usize, &str, usize); 10] = [
        ("credential-theft", 1, "Secrets Manager.", 4),
        ("data-exfiltration", 12, "telemetry-cdn.example.net", 1),
        ("table-dump", 1, "DynamoDB.Scan", 60),
        ("skipped-payment", 20, "payments", 0),
        ("lateral-movement", 1, "admin-backoffice", 2),
        ("crypto-mining", 15, ":3333", 1),
        ("metadata-access", 3, "169.254.169.254", 1),
        ("bypassed-payment", 8, "api.payments.example", 0),
        ("destruction", 1, "Delete", 3),
        ("stealthy-read", 1, "loyalty", 1),
    ];
    let truth = simulation.truth();
    assert_eq!(truth.attacks.len(), table.len());
    for ((attack, plan), (id, invocations, mark, times)) in truth.attacks.iter().zip(&planned.attacks).zip(table) {
        assert_eq!((attack.id, attack.invocations.len()), (id, invocations));
        assert!(attack.begins >= plan.begins && attack.begins < plan.begins + MINUTE, "{id}");
        for invocation in &attack.invocations {
            let handler = handlers[invocation.as_str()];
            let caused = id == "skipped-payment" && handler.function == "confirm-booking";
            assert!(handler.function == attack.function || caused, "{id}");
            assert!(
                handler.span.start_time_unix_nano <= attack.ends && handler.span.end_time_unix_nano >= attack.begins
            );
            assert_eq!(count(&children(handler), mark), times, "{id}");
        }
    }
    let begins: Vec<_> = truth.attacks.iter().map(|attack| attack.begins).collect();
    assert!(begins.is_sorted_by(|one, next| next - one >= 90 * MINUTE));
    assert!(begins[0] >= SMALL.start + DAY, "only on the last day");
}
