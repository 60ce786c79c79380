use std::path::Path;

use prost::Message as _;

use super::*;
use crate::{
    config::Kind,
    otlp::{check::check, sample},
    pipeline::probe::{self, Script},
};

fn batch(signal: Signal) -> Batch {
    let body = match signal {
        Signal::Traces => sample::traces(3).encode_to_vec(),
        Signal::Logs => sample::logs(3).encode_to_vec(),
        Signal::Metrics => sample::metrics(1).encode_to_vec(),
    };
    let items = check(signal, &body).unwrap();
    Batch { signal, body: body.into(), items }
}

/// What became of a batch, what went on, and the process's metrics.
async fn through(yaml: &str, signal: Signal) -> (Outcome, Vec<Batch>, String) {
    let (config, problems) = probe::config::<Config>(Kind::Processor, yaml);
    assert_eq!(problems, "", "{yaml}");
    let (script, context) = (Script::new([]), probe::context("filter", Path::new("")));
    let node = config.build(signal, script.clone(), &context).unwrap();
    let outcome = node.consume(batch(signal)).await;
    (outcome, script.taken(), context.metrics.render(&crate::telemetry::Form::default()))
}

#[tokio::test]
async fn drops_what_any_condition_holds_for() {
    #[rustfmt::skip]
    let table = [
        ("a span",                      Signal::Traces,  r#"trace_conditions: ['span.name == "span 1"']"#,                                  Some(2)),
        ("one of two",                  Signal::Traces,  r#"trace_conditions: ['span.name == "x"', 'span.name == "span 0"']"#,              Some(2)),
        ("spans in a group",            Signal::Traces,  r#"trace_conditions: [{context: span, conditions: ['name == "span 1"']}]"#,        Some(2)),
        ("a resource",                  Signal::Traces,  r#"trace_conditions: ['resource.attributes["flag"] == true']"#,                    None),
        ("a scope",                     Signal::Traces,  r#"trace_conditions: ['scope.name == "io.test"']"#,                                None),
        ("events, not their spans",     Signal::Traces,  r#"trace_conditions: ['spanevent.name == "exception"']"#,                          Some(3)),
        ("by context",                  Signal::Traces,  r#"traces: {span: ['name == "span 2"']}"#,                                         Some(2)),
        ("by context, resources",       Signal::Traces,  r#"traces: {resource: ['attributes["flag"] == true']}"#,                           None),
        ("by properties",               Signal::Traces,  r#"spans: {exclude: {match_type: strict, span_names: ["span 0", "span 1"]}}"#,     Some(1)),
        ("all but some",                Signal::Traces,  r#"spans: {include: {match_type: regexp, span_names: ["0$"]}}"#,                   Some(1)),
        ("log records",                 Signal::Logs,    r#"log_conditions: ['log.body == "line 1"']"#,                                     Some(2)),
        ("log records by context",      Signal::Logs,    "logs: {log_record: ['severity_number >= SEVERITY_NUMBER_ERROR']}",                None),
        ("log records by properties",   Signal::Logs,    r#"logs: {exclude: {match_type: strict, bodies: ["line 2"]}}"#,                    Some(2)),
        ("log records by severity",     Signal::Logs,    "logs: {include: {match_type: strict, severity_number: {min: error2}}}",           None),
        ("a metric with its points",    Signal::Metrics, r#"metric_conditions: ['metric.name == "gauge"']"#,                                Some(4)),
        ("points with their metric",    Signal::Metrics, "metric_conditions: ['datapoint.scale == -2']",                                    Some(4)),
        ("metrics by context",          Signal::Metrics, "metrics: {metric: ['type == METRIC_DATA_TYPE_SUM']}",                             Some(4)),
        ("points by context",           Signal::Metrics, "metrics: {datapoint: ['count == 2']}",                                            Some(4)),
        ("metrics by properties",       Signal::Metrics, "metrics: {exclude: {match_type: regexp, metric_names: ['^s']}}",                  Some(3)),
        ("nothing",                     Signal::Logs,    r#"log_conditions: ['log.body == "absent"']"#,                                     Some(3)),
        ("another signal",              Signal::Logs,    r#"trace_conditions: ['span.name == "span 1"']"#,                                  Some(3)),
        ("where a condition fails",     Signal::Logs,    r#"log_conditions: ['Int(log.body) == 1', 'log.body == "line 0"']"#,               Some(2)),
    ];
    for (row, signal, yaml, left) in table {
        let (outcome, taken, metrics) = through(yaml, signal).await;
        assert_eq!(outcome, Outcome::Accepted, "{row}");
        assert_eq!(taken.first().map(|batch| batch.items), left, "{row}");
        for batch in &taken {
            assert_eq!(check(signal, &batch.body), Ok(batch.items), "{row}");
        }
        let dropped = batch(signal).items - left.unwrap_or_default();
        let line = format!("{}{{processor=\"filter\"}} {dropped}\n", DROPPED[signal as usize].0);
        assert!(metrics.contains(&line), "{row}: {metrics}");
    }
}

#[tokio::test]
async fn events_go_and_their_span_stays() {
    let (_, taken, _) = through(r#"traces: {spanevent: ['attributes["flag"] == true']}"#, Signal::Traces).await;
    let request = opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest::decode(&*taken[0].body);
    let spans = request.unwrap().resource_spans.remove(0).scope_spans.remove(0).spans;
    assert!(spans.iter().all(|span| span.events.is_empty()) && spans.len() == 3);
}

#[tokio::test]
async fn a_failure_stops_the_batch_only_where_it_is_to_propagate() {
    let failing =
        |mode| format!("log_conditions: [{{context: log, conditions: ['Int(body) == 1'], error_mode: {mode}}}]");
    for (mode, stops) in [("ignore", false), ("silent", false), ("propagate", true)] {
        let (outcome, taken, metrics) = through(&failing(mode), Signal::Logs).await;
        assert_eq!(
            matches!(&outcome, Outcome::Permanent { reason } if reason.contains("Int(body) == 1")),
            stops,
            "{mode}"
        );
        assert_eq!(taken.is_empty(), stops, "{mode}");
        let failures = if stops { 1 } else { 3 };
        assert!(metrics.contains(&format!("sekisho_ottl_failures{{processor=\"filter\"}} {failures}\n")), "{metrics}");
    }
}

#[test]
fn says_what_is_wrong_and_where() {
    #[rustfmt::skip]
    let table = [
        ("an unknown path",         r#"trace_conditions: ['span.nmae == "a"']"#,                            "trace_conditions::0",           "did you mean `span.name`?"),
        ("a bare path",             r#"trace_conditions: ['span.kind == 1 and name == "a"']"#,              "does not say of what",          "write `span.name`"),
        ("no path at all",          "log_conditions: ['true']",                                             "no path says",                  "resource, scope, log"),
        ("an unknown context",      "log_conditions: [{context: span, conditions: ['true']}]",              "logs have no context `span`",   "there are resource, scope, log"),
        ("an unknown function",     r#"logs: {log_record: ['IsMach(body, "a")']}"#,                         "logs::log_record::0",           "did you mean `IsMatch`?"),
        ("two forms",               "trace_conditions: ['span.kind == 1']\ntraces: {span: ['kind == 1']}",  "in several forms",              "trace_conditions"),
        ("two styles",              "log_conditions: ['log.flags == 1', {conditions: ['log.flags == 1']}]", "mixes texts and groups",        "only groups"),
        ("an unknown key",          "log_conditions: [{condition: []}]",                                    "condition",                     ""),
        ("an unknown mode",         "error_mode: ignored",                                                  "ignored",                       "ignore"),
        ("no match type",           "spans: {include: {span_names: [a]}}",                                  "spans::include::match_type",    "strict or regexp"),
        ("nothing to match",        "metrics: {exclude: {match_type: strict}}",                             "says nothing",                  ""),
        ("a broken pattern",        "logs: {exclude: {match_type: regexp, bodies: ['(']}}",                 "logs::exclude::bodies::0",      "not a regular expression"),
        ("no severity",             "logs: {include: {match_type: strict, severity_number: {min: LOUD}}}",  "`LOUD` is no severity",         "TRACE"),
        ("a metric's key",          "spans: {exclude: {match_type: strict, metric_names: [a]}}",            "no meaning for traces",         ""),
        ("a number as pattern",     "spans: {exclude: {match_type: regexp, attributes: [{key: a, value: 1}]}}", "attributes::0::value",      "expressions"),
    ];
    for (row, yaml, message, hint) in table {
        let (_, problems) = probe::config::<Config>(Kind::Processor, yaml);
        assert!(problems.contains(message) && problems.contains(hint), "{row}: {problems}");
    }
    let (_, problems) =
        probe::config::<Config>(Kind::Processor, "logs:\n  log_record:\n    - 'body == \"a\" and bdy == \"b\"'");
    let marked = "|         - 'body == \"a\" and bdy == \"b\"'\n    |                            ^^^\n";
    assert!(problems.contains(marked), "the caret points into the condition:\n{problems}");
}
