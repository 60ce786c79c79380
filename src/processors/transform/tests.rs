use std::path::Path;

use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest, trace::v1::ExportTraceServiceRequest,
};
use prost::Message as _;

use super::*;
use crate::{
    config::Kind,
    otlp::{check::check, sample},
    pipeline::probe::{self, Script},
};

/// What became of a sample of the signal, what went in and what came out.
async fn through(yaml: &str, signal: Signal) -> (Outcome, Batch, Option<Batch>) {
    let (config, problems) = probe::config::<Config>(Kind::Processor, yaml);
    assert_eq!(problems, "", "{yaml}");
    let body = match signal {
        Signal::Traces => sample::traces(2).encode_to_vec(),
        Signal::Logs => sample::logs(2).encode_to_vec(),
        Signal::Metrics => sample::metrics(1).encode_to_vec(),
    };
    let items = check(signal, &body).unwrap();
    let given = Batch { signal, body: body.into(), items };
    let script = Script::new([]);
    let node = config.build(signal, script.clone(), &probe::context("transform", Path::new(""))).unwrap();
    let outcome = node.consume(given.clone()).await;
    let taken = script.taken().pop();
    if let Some(batch) = &taken {
        assert_eq!(check(signal, &batch.body), Ok(items), "{yaml}");
    }
    (outcome, given, taken)
}

#[tokio::test]
async fn every_message_of_a_request_can_be_changed_from_every_context_that_reaches_it() {
    let yaml = r#"
trace_statements:
- {context: resource, statements: ['set(attributes["by"], "resource")']}
- {context: scope, statements: ['set(name, "scope")', 'set(resource.attributes["by2"], name)']}
- {context: span, statements: ['set(name, "span")', 'set(scope.version, "span")', 'set(resource.attributes["by3"], scope.name)']}
- {context: spanevent, statements: ['set(name, "event")', 'set(span.status.message, name)', 'set(scope.attributes["by4"], span.name)']}
"#;
    let (_, _, taken) = through(yaml, Signal::Traces).await;
    let mut request = ExportTraceServiceRequest::decode(taken.unwrap().body).unwrap();
    let mut group = request.resource_spans.remove(0);
    let keys: Vec<String> = group.resource.unwrap().attributes.into_iter().map(|pair| pair.key).collect();
    assert!(["by", "by2", "by3"].iter().all(|key| keys.contains(&(*key).to_owned())), "{keys:?}");
    let scope_spans = group.scope_spans.remove(0);
    let scope = scope_spans.scope.unwrap();
    assert_eq!((scope.name.as_str(), scope.version.as_str()), ("scope", "span"));
    assert!(scope.attributes.iter().any(|pair| pair.key == "by4"));
    for span in scope_spans.spans {
        assert_eq!((span.name.as_str(), span.events[0].name.as_str()), ("span", "event"));
        assert_eq!(span.status.unwrap().message, "event");
    }
}

#[tokio::test]
async fn metrics_can_be_changed_from_their_points() {
    let yaml = r#"
metric_statements:
- {context: metric, statements: ['set(description, "metric")']}
- {context: datapoint, statements: ['set(metric.unit, Concat([metric.unit, "p"], "")) where metric.unit == "By"', 'set(attributes["seen"], true)', 'set(resource.attributes["seen"], true)']}
"#;
    let (_, _, taken) = through(yaml, Signal::Metrics).await;
    let request = ExportMetricsServiceRequest::decode(taken.unwrap().body).unwrap();
    let group = &request.resource_metrics[0];
    assert!(group.resource.as_ref().unwrap().attributes.iter().any(|pair| pair.key == "seen"));
    let metrics = &group.scope_metrics[0].metrics;
    assert_eq!(metrics.len(), sample::POINTS_A_ROUND);
    for metric in metrics {
        assert_eq!((metric.unit.as_str(), metric.description.as_str()), ("Byp", "metric"), "{}", metric.name);
        assert_eq!(format!("{:?}", metric.data).matches("\"seen\"").count(), 1, "{}", metric.name);
    }
}

#[tokio::test]
async fn groups_run_one_after_the_other_and_only_under_their_conditions() {
    let yaml = r#"
log_statements:
- {context: log, statements: ['set(severity_text, "first")']}
- {context: log, conditions: ['body == "line 0"', 'body == "absent"'], statements: ['set(severity_text, "second") where severity_text == "first"']}
- {conditions: ['log.body == "line 1"'], statements: ['set(log.severity_text, "third")']}
"#;
    let (_, _, taken) = through(yaml, Signal::Logs).await;
    let mut request = ExportLogsServiceRequest::decode(taken.unwrap().body).unwrap();
    let records = request.resource_logs.remove(0).scope_logs.remove(0).log_records;
    let texts: Vec<&str> = records.iter().map(|record| record.severity_text.as_str()).collect();
    assert_eq!(texts, ["second", "third"]);
}

#[tokio::test]
async fn what_changes_nothing_goes_on_as_the_same_bytes() {
    for yaml in [
        r#"log_statements: ['delete_key(log.attributes, "absent")']"#,
        r#"log_statements: ['set(log.body, "a") where log.body == "absent"']"#,
        r#"trace_statements: ['set(span.name, "a")']"#,
        "{}",
    ] {
        let (_, given, taken) = through(yaml, Signal::Logs).await;
        assert_eq!(taken.unwrap().body.as_ptr(), given.body.as_ptr(), "{yaml}");
    }
}

#[tokio::test]
async fn a_failure_skips_the_statement_or_stops_the_batch() {
    for (mode, stops) in [("ignore", false), ("silent", false), ("propagate", true)] {
        let yaml = format!(
            "error_mode: {mode}\nlog_statements: ['set(log.flags, Int(log.body))', 'set(log.event_name, \"after\")']"
        );
        let (outcome, _, taken) = through(&yaml, Signal::Logs).await;
        assert_eq!(
            matches!(&outcome, Outcome::Permanent { reason } if reason.contains("Int(log.body)")),
            stops,
            "{mode}"
        );
        let Some(batch) = taken else {
            assert!(stops, "{mode}");
            continue;
        };
        let request = ExportLogsServiceRequest::decode(batch.body).unwrap();
        let record = &request.resource_logs[0].scope_logs[0].log_records[0];
        assert_eq!((record.flags, record.event_name.as_str()), (1, "after"), "{mode}");
    }
}

#[test]
fn says_what_is_wrong_and_where() {
    #[rustfmt::skip]
    let table = [
        ("an unknown editor",      r#"trace_statements: ['sett(span.name, "a")']"#,                                  "trace_statements::0", "did you mean `set`?"),
        ("the second statement",   r#"trace_statements: ['set(span.name, "a")', 'set(span.nme, "a")']"#,             "trace_statements::1", "did you mean `span.name`?"),
        ("in a group",             r#"log_statements: [{context: log, statements: ['set(bdy, "a")']}]"#,             "log_statements::0::statements::0", "`body`"),
        ("in a condition",         "log_statements: [{context: log, conditions: ['bdy == 1'], statements: ['set(body, 1)']}]", "log_statements::0::conditions::0", "`body`"),
        ("an unknown context",     r#"metric_statements: [{context: datapoints, statements: ['set(name, "a")']}]"#,  "metric_statements::0::context", "did you mean `datapoint`?"),
        ("a path that is fixed",   "metric_statements: ['set(metric.type, 1)']",                                  "cannot be set", ""),
        ("from too far away",      "metric_statements: ['set(metric.is_monotonic, true) where datapoint.flags == 0']", "only be set in the context metric", ""),
        ("both styles",            "log_statements: ['set(log.body, 1)', {statements: ['set(log.body, 1)']}]",    "mixes texts and groups", ""),
        ("an unknown key",         "trace_statements: [{statement: []}]",                                            "statement", ""),
    ];
    for (row, yaml, message, hint) in table {
        let (_, problems) = probe::config::<Config>(Kind::Processor, yaml);
        assert!(problems.contains(message) && problems.contains(hint), "{row}: {problems}");
    }
}
