use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{InstrumentationScope, KeyValue, any_value::Value as Any},
};
use prost::Message;

use super::*;
use crate::{config::Kind, otlp::check::check, otlp::sample, pipeline::probe};

/// As the processors have them.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    include: Toggle<Properties>,
    exclude: Toggle<Properties>,
}

impl Check for Config {
    fn check(&self, report: &mut Report<'_>) {
        for (key, side) in [("include", &self.include), ("exclude", &self.exclude)] {
            if let Toggle::On(properties) = side {
                report.within(key, properties);
            }
        }
    }
}

fn batch(signal: Signal, request: &impl Message) -> Batch {
    let body = request.encode_to_vec();
    let items = check(signal, &body).unwrap();
    Batch { signal, body: body.into(), items }
}

/// `+` for each record that is chosen, `-` for each that is not.
fn chosen(yaml: &str, batch: &Batch) -> String {
    let (config, said) = probe::config::<Config>(Kind::Processor, yaml);
    assert_eq!(said, "", "{yaml}");
    let choice = Choice::new(batch.signal, &config.include, &config.exclude).unwrap().unwrap();
    let marks = choice.marks(batch);
    assert_eq!(marks.len(), batch.items, "{yaml}");
    marks.into_iter().map(|mark| if mark { '+' } else { '-' }).collect()
}

fn pairs(pairs: &[(&str, Any)]) -> Vec<KeyValue> {
    pairs.iter().map(|(key, value)| sample::pair(key, value.clone())).collect()
}

fn text(text: &str) -> Any {
    Any::StringValue(text.to_owned())
}

/// Two services; `auth` has two scopes.
fn spans() -> Batch {
    let mut request: ExportTraceServiceRequest = sample::traces(2);
    let mut other = sample::traces(1).resource_spans.remove(0);
    let auth = &mut request.resource_spans[0];
    auth.resource.as_mut().unwrap().attributes = pairs(&[("service.name", text("auth")), ("zone", text("eu-1"))]);
    let mut scope = auth.scope_spans[0].clone();
    scope.spans.truncate(1);
    scope.spans[0].name = "logout".into();
    scope.scope = Some(InstrumentationScope { name: "mongo".into(), version: "3.8".into(), ..Default::default() });
    auth.scope_spans.push(scope);
    let [login, check] = &mut auth.scope_spans[0].spans[..] else { panic!() };
    (login.name, login.kind) = ("login".into(), 2);
    login.attributes = pairs(&[("user", text("ann")), ("tries", Any::IntValue(3)), ("vip", Any::BoolValue(false))]);
    (check.name, check.kind) = ("check".into(), 1);
    check.attributes = pairs(&[("user", text("bob")), ("share", Any::DoubleValue(0.5))]);
    other.resource.as_mut().unwrap().attributes = pairs(&[("service.name", text("billing"))]);
    request.resource_spans.push(other);
    batch(Signal::Traces, &request)
}

#[test]
fn spans_are_chosen_by_every_property() {
    let table = [
        ("include: {match_type: strict, services: [auth]}", "+++-"),
        ("include: {match_type: strict, services: [aut]}", "----"),
        ("include: {match_type: regexp, services: ['^aut', other]}", "+++-"),
        ("exclude: {match_type: strict, services: [auth]}", "---+"),
        ("include: {match_type: strict, span_names: [login, check]}", "++--"),
        ("include: {match_type: regexp, span_names: ['log(in|out)']}", "+-+-"),
        ("include: {match_type: strict, span_kinds: [Server]}", "+---"),
        (
            "include: {match_type: regexp, services: ['auth.*']}\nexclude: {match_type: regexp, span_names: [login]}",
            "-++-",
        ),
        ("include: {match_type: strict, attributes: [{key: user}]}", "++--"),
        ("include: {match_type: strict, attributes: [{key: user, value: ann}]}", "+---"),
        ("include: {match_type: strict, attributes: [{key: user}, {key: tries, value: 3}]}", "+---"),
        ("include: {match_type: strict, attributes: [{key: tries, value: '3'}]}", "----"),
        ("include: {match_type: regexp, attributes: [{key: tries, value: '^3$'}]}", "+---"),
        ("include: {match_type: strict, attributes: [{key: vip, value: false}]}", "+---"),
        ("include: {match_type: strict, attributes: [{key: share, value: 0.5}]}", "-+--"),
        ("include: {match_type: strict, resources: [{key: zone, value: eu-1}]}", "+++-"),
        ("exclude: {match_type: regexp, resources: [{key: zone, value: 'eu-.*'}]}", "---+"),
        ("include: {match_type: strict, libraries: [{name: mongo}]}", "--+-"),
        ("include: {match_type: strict, libraries: [{name: mongo, version: '3.9'}, {name: io.test}]}", "++-+"),
        ("include: {match_type: strict, libraries: [{name: mongo, version: '3.8'}]}", "--+-"),
    ];
    for (yaml, expected) in table {
        assert_eq!(chosen(yaml, &spans()), expected, "{yaml}");
    }
}

#[test]
fn log_records_are_chosen_by_every_property() {
    let mut request: ExportLogsServiceRequest = sample::logs(3);
    let records = &mut request.resource_logs[0].scope_logs[0].log_records;
    for (record, (number, severity, body)) in records.iter_mut().zip([
        (0, "", text("AUTH failed")),
        (9, "INFO", text("bye")),
        (17, "ERROR", Any::IntValue(42)),
    ]) {
        (record.severity_number, record.severity_text) = (number, severity.to_owned());
        record.body = sample::value(body);
    }
    let table = [
        ("include: {match_type: regexp, log_bodies: ['^AUTH']}", "+--"),
        ("include: {match_type: strict, log_bodies: [bye, '42']}", "-++"),
        ("include: {match_type: regexp, log_severity_texts: [INF, ERR]}", "-++"),
        ("include: {match_type: strict, log_severity_number: {min: 10}}", "--+"),
        ("include: {match_type: strict, log_severity_number: {min: 9, match_undefined: true}}", "+++"),
        ("include: {match_type: strict, attributes: [{key: count, value: -2}]}", "-+-"),
    ];
    for (yaml, expected) in table {
        assert_eq!(chosen(yaml, &batch(Signal::Logs, &request)), expected, "{yaml}");
    }
}

#[test]
fn data_points_are_chosen_by_metric_and_by_their_own_attributes() {
    let request: ExportMetricsServiceRequest = sample::metrics(1);
    let batch = batch(Signal::Metrics, &request);
    let one = "-".repeat(batch.items - 1);
    assert_eq!(chosen("include: {match_type: strict, metric_names: [gauge]}", &batch), format!("+{one}"));
    let all = "+".repeat(batch.items);
    for yaml in [
        "include: {match_type: regexp, metric_names: ['.']}",
        "include: {match_type: strict, attributes: [{key: flag, value: true}]}",
        "exclude: {match_type: strict, attributes: [{key: none}]}",
    ] {
        assert_eq!(chosen(yaml, &batch), all, "{yaml}");
    }
}

#[test]
fn what_cannot_be_meant_is_said() {
    let table = [
        ("include: {services: [a]}", "include::match_type: is missing"),
        ("exclude: {match_type: strict}", "matches nothing in particular"),
        ("include: {match_type: regexp, services: ['(']}", "include::services: \"(\" is not a regular expression"),
        ("include: {match_type: regexp, attributes: [{key: a, value: 3}]}", "attributes::0::value: must be text"),
        ("include: {match_type: strict, attributes: [{value: 3}]}", "attributes::0::key: is missing"),
        ("include: {match_type: strict, resources: [{key: a, value: [3]}]}", "must be text, a number"),
        ("include: {match_type: strict, span_kinds: [SERVER]}", "Internal, Server"),
    ];
    for (yaml, expected) in table {
        let (_, said) = probe::config::<Config>(Kind::Processor, yaml);
        assert!(said.contains(expected), "{yaml}: {said}");
    }
}

#[test]
fn a_property_of_another_signal_stops_the_start() {
    let table = [
        ("span_names: [a]", Signal::Logs, "include: span_names is of no use in a pipeline of logs"),
        ("metric_names: [a]", Signal::Traces, "metric_names"),
        ("log_severity_number: {min: 1}", Signal::Metrics, "log_severity_number"),
    ];
    for (property, signal, expected) in table {
        let (config, said) =
            probe::config::<Config>(Kind::Processor, &format!("include: {{match_type: strict, {property}}}"));
        assert_eq!(said, "");
        let refused = Choice::new(signal, &config.include, &config.exclude).unwrap_err();
        assert!(refused.contains(expected), "{refused}");
    }
    assert!(Choice::new(Signal::Logs, &Toggle::Off, &Toggle::Off).unwrap().is_none());
}
