use serde_json::{Value, json};

use super::{
    super::{alert::sample::alert, pagerduty},
    build,
    destination::{Act, Destination, soon},
};
use crate::{config::Kind, pipeline::probe};

const TAKEN: Act = Act::Http(202, &[("content-type", "application/json")], vec![]);

/// What PagerDuty's API refuses, by its documentation.
fn assert_takes(event: &Value) {
    assert_eq!(event["routing_key"].as_str().unwrap().len(), 32, "{event}");
    assert!(["trigger", "acknowledge", "resolve"].contains(&event["event_action"].as_str().unwrap()));
    assert!((1..=255).contains(&event["dedup_key"].as_str().unwrap().len()));
    let payload = &event["payload"];
    assert!((1..=1024).contains(&payload["summary"].as_str().unwrap().chars().count()));
    assert!(!payload["source"].as_str().unwrap().is_empty());
    assert!(["critical", "error", "warning", "info"].contains(&payload["severity"].as_str().unwrap()));
    let known = ["summary", "timestamp", "source", "severity", "component", "group", "class", "custom_details"];
    assert!(payload.as_object().unwrap().keys().all(|key| known.contains(&key.as_str())), "{payload}");
    for link in event["links"].as_array().unwrap() {
        assert!(link["href"].as_str().unwrap().starts_with("http") && link["text"].is_string());
    }
    assert!(event.to_string().len() < 512 << 10);
}

#[tokio::test]
async fn an_incident_is_one_alert_triggered_updated_and_resolved() {
    let busy = Act::Http(429, &[("retry-after", "0")], br#"{"status":"throttle exceeded"}"#.to_vec());
    let broken = Act::Http(500, &[], vec![]);
    let destination = Destination::new([TAKEN, busy, broken, Act::HangUp, TAKEN, TAKEN, TAKEN]).await;
    let (exporter, context) = build::<pagerduty::Config>(&format!(
        "{{routing_key: 0123456789abcdef0123456789abcdef, endpoint: 'http://{}/v2/enqueue', \
         links: {{trace: 'https://grafana.example/t/{{trace_id}}'}}, \
         retry_on_failure: {{initial_interval: 10ms, max_interval: 20ms}}}}",
        destination.address
    ));
    for (id, state, tier) in [
        ("inc-1", "opened", "page"),
        ("inc-2", "opened", "queue"),
        ("inc-1", "updated", "page"),
        ("inc-1", "resolved", "page"),
        ("inc-2", "resolved", "queue"),
    ] {
        exporter.consume(alert(id, state, tier)).await;
    }
    soon("draining", exporter.drain()).await;
    let seen = destination.seen();
    let events: Vec<Value> = seen.iter().map(|seen| serde_json::from_slice(&seen.body).unwrap()).collect();
    events.iter().for_each(assert_takes);
    let said: Vec<(&str, &str)> = events
        .iter()
        .map(|event| (event["dedup_key"].as_str().unwrap(), event["event_action"].as_str().unwrap()))
        .collect();
    let (trigger, resolve) = (("inc-1", "trigger"), ("inc-1", "resolve"));
    assert_eq!(said, [trigger, trigger, trigger, trigger, trigger, resolve], "the update is tried until it is taken");
    assert_eq!((seen[0].method.as_str(), seen[0].path.as_str()), ("POST", "/v2/enqueue"));
    assert_eq!(seen[0].headers["content-type"], "application/json");
    let payload = &events[0]["payload"];
    assert_eq!(payload["summary"], "checkout v7 talks to 198.51.100.23, which none of 1,204 invocations did");
    assert_eq!((&payload["source"], &payload["severity"]), (&json!("checkout"), &json!("critical")));
    assert_eq!(payload["timestamp"], "2026-11-23T14:02:09Z");
    assert_eq!(payload["custom_details"]["Priority"], "83 of 100");
    assert_eq!(
        events[0]["links"],
        json!([{"href": format!("https://grafana.example/t/{}", "ab".repeat(16)), "text": "trace"}])
    );
    let metric = |name| context.metrics.sum(name, None) as u64;
    assert_eq!((metric("sekisho_alerts_below_tier"), metric("otelcol_exporter_send_failed_log_records")), (2, 0));
}

#[tokio::test]
async fn what_pagerduty_refuses_for_good_is_lost_and_counted() {
    let destination =
        Destination::new([Act::Http(400, &[], br#"{"message":"Event object is invalid"}"#.to_vec())]).await;
    let (exporter, context) = build::<pagerduty::Config>(&format!(
        "{{routing_key: 0123456789abcdef0123456789abcdef, endpoint: 'http://{}/'}}",
        destination.address
    ));
    exporter.consume(alert("inc-1", "opened", "page")).await;
    soon("draining", exporter.drain()).await;
    assert_eq!(destination.seen().len(), 1);
    assert_eq!(context.metrics.sum("otelcol_exporter_send_failed_log_records", None) as u64, 1);
}

#[test]
fn the_configuration_is_checked_and_keeps_its_secret() {
    let table = [
        ("{routing_key: hunter2}", ""),
        ("{}", "routing_key"),
        ("{routing_key: hunter2, endpoint: 'ftp://x'}", "endpoint"),
        ("{routing_key: hunter2, sending_queue: {num_consumers: 4}}", "num_consumers"),
        ("{routing_key: hunter2, timeout: 0}", "timeout"),
        ("{routing_key: hunter2, links: {a: 'https://x/{nope}'}}", "nope"),
        ("{routing_key: {a: hunter2}}", "routing_key"),
    ];
    for (yaml, wrong) in table {
        let (config, said) = probe::config::<pagerduty::Config>(Kind::Exporter, yaml);
        assert_eq!(said.is_empty(), wrong.is_empty(), "{yaml}: {said}");
        assert!(said.contains(wrong), "{yaml}: {said}");
        assert!(!said.contains("hunter2") && !format!("{config:?}").contains("hunter2"), "{yaml}: {said}");
    }
}
