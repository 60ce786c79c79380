use serde_json::{Value, json};

use super::{
    super::{alert::sample::alert, datadog},
    build,
    destination::{Act, Destination, soon},
};
use crate::{config::Kind, pipeline::probe};

const TAKEN: Act = Act::Http(202, &[("content-type", "application/json")], vec![]);

fn config(destination: &Destination) -> String {
    let at = destination.address;
    format!(
        "{{api_key: hunter2, events_endpoint: 'http://{at}/api/v2/events', logs_endpoint: 'http://{at}/api/v2/logs', \
         metrics_endpoint: 'http://{at}/api/v2/series', tags: ['env:prod'], links: {{trace: 'https://t.example/{{trace_id}}'}}, \
         retry_on_failure: {{initial_interval: 10ms, max_interval: 20ms}}}}"
    )
}

/// Bodies by path, in the order of arrival.
fn bodies(destination: &Destination, path: &str) -> Vec<Value> {
    let seen = destination.seen().into_iter().filter(|seen| seen.path == path);
    seen.map(|seen| serde_json::from_slice(&seen.body).unwrap()).collect()
}

#[tokio::test]
async fn an_incident_is_events_logs_and_metrics_and_what_was_taken_is_not_sent_again() {
    let busy = Act::Http(429, &[], vec![]);
    let timeout = Act::Http(408, &[], vec![]);
    // Of the first alert: the event is taken, the log refused twice, then log and metrics taken.
    let acts = [TAKEN, busy, timeout, TAKEN, TAKEN].into_iter().chain(std::iter::repeat_n(TAKEN, 6));
    let destination = Destination::new(acts).await;
    let (exporter, context) = build::<datadog::Config>(&config(&destination));
    for state in ["opened", "updated", "resolved"] {
        exporter.consume(alert("inc-1", state, "page")).await;
    }
    soon("draining", exporter.drain()).await;
    assert!(destination.seen().iter().all(|seen| seen.headers["dd-api-key"] == "hunter2"));

    let events = bodies(&destination, "/api/v2/events");
    let told = |event: &Value| {
        let of_event = &event["data"]["attributes"];
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (
            text(&of_event["aggregation_key"]),
            text(&of_event["attributes"]["status"]),
            text(&of_event["attributes"]["priority"]),
        )
    };
    let expected = [("error", "2"), ("error", "2"), ("ok", "5")];
    let expected = expected.map(|(status, priority)| ("inc-1".to_owned(), status.to_owned(), priority.to_owned()));
    assert_eq!(events.iter().map(told).collect::<Vec<_>>(), expected);
    for event in &events {
        let of_event = &event["data"]["attributes"];
        assert_eq!((&event["data"]["type"], &of_event["category"]), (&json!("event"), &json!("alert")));
        assert!(of_event["title"].as_str().unwrap().chars().count() <= 500);
        assert!(of_event["message"].as_str().unwrap().chars().count() <= 4000);
        assert!(of_event["tags"].as_array().unwrap().contains(&json!("env:prod")));
        assert_eq!(of_event["attributes"]["links"][0]["category"], "resource");
    }

    let logs = bodies(&destination, "/api/v2/logs");
    let states: Vec<&str> = logs.iter().map(|log| log[0]["sekisho"]["incident"]["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["opened", "opened", "opened", "updated", "resolved"], "two attempts failed");
    assert_eq!((&logs[0][0]["ddsource"], &logs[0][0]["service"]), (&json!("sekisho"), &json!("checkout")));
    let tags = logs[0][0]["ddtags"].as_str().unwrap();
    assert!(tags.starts_with("env:prod,service:checkout,") && tags.contains("incident:inc-1"), "{tags}");
    assert_eq!(logs[0][0]["sekisho"]["incident"]["evidence"][0]["feature"], "new destination");

    let series = bodies(&destination, "/api/v2/series");
    let values = |metric: &str| -> Vec<f64> {
        let of_metric = |body: &Value| {
            let all = body["series"].as_array().unwrap();
            all.iter().find(|one| one["metric"] == metric).unwrap()["points"][0]["value"].as_f64().unwrap()
        };
        series.iter().map(of_metric).collect()
    };
    assert_eq!(values("sekisho.incident.score"), [38.5, 38.5, 0.0]);
    assert_eq!(values("sekisho.incident.opened"), [1.0, 0.0, 0.0]);
    assert_eq!(context.metrics.sum("otelcol_exporter_sent_log_records", None) as u64, 3);

    // For the official client's models: see tests/clients/datadog/.
    if let Some(path) = std::env::var_os("DATADOG_BODIES") {
        let all = json!({"events": events, "logs": logs, "series": series});
        std::fs::write(path, all.to_string()).unwrap();
    }
}

#[tokio::test]
async fn what_one_intake_refuses_for_good_the_others_still_get() {
    let refused = Act::Http(400, &[], b"no such tag".to_vec());
    let busy = Act::Http(429, &[], vec![]);
    // The event is refused; the log is taken at the second attempt, which does not offer the event again.
    let destination = Destination::new([refused, busy, TAKEN, TAKEN]).await;
    let (exporter, context) = build::<datadog::Config>(&config(&destination));
    exporter.consume(alert("inc-1", "opened", "page")).await;
    soon("draining", exporter.drain()).await;
    let paths: Vec<String> = destination.seen().into_iter().map(|seen| seen.path).collect();
    assert_eq!(paths, ["/api/v2/events", "/api/v2/logs", "/api/v2/logs", "/api/v2/series"]);
    assert_eq!(context.metrics.sum("otelcol_exporter_sent_log_records", None) as u64, 0);
    assert_eq!(context.metrics.sum("otelcol_exporter_send_failed_log_records", None) as u64, 1);
}

#[test]
fn the_configuration_is_checked_and_keeps_its_secret() {
    let table = [
        ("{api_key: hunter2, site: datadoghq.eu}", ""),
        ("{}", "api_key"),
        ("{api_key: hunter2, site: 'https://datadoghq.eu'}", "site"),
        ("{api_key: hunter2, events: false, logs: false, metrics: false}", "nothing is sent"),
        ("{api_key: hunter2, logs_endpoint: x}", "logs_endpoint"),
    ];
    for (yaml, wrong) in table {
        let (config, said) = probe::config::<datadog::Config>(Kind::Exporter, yaml);
        assert_eq!(said.is_empty(), wrong.is_empty(), "{yaml}: {said}");
        assert!(said.contains(wrong), "{yaml}: {said}");
        assert!(!said.contains("hunter2") && !format!("{config:?}").contains("hunter2"), "{yaml}: {said}");
    }
}
