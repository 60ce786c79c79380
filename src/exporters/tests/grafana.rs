use serde_json::{Value, json};

use super::{
    super::{alert::sample::alert, grafana_annotations},
    build,
    destination::{Act, Destination, soon},
};
use crate::{config::Kind, pipeline::probe};

fn says(body: &str) -> Act {
    Act::Http(200, &[("content-type", "application/json")], body.as_bytes().to_vec())
}

fn config(destination: &Destination) -> String {
    format!(
        "{{endpoint: 'http://{}/grafana/', token: hunter2, dashboard_uid: fleet, panel_id: 3, \
         links: {{trace: 'https://grafana.example/t/{{trace_id}}?a&b'}}, \
         retry_on_failure: {{initial_interval: 10ms, max_interval: 20ms}}}}",
        destination.address
    )
}

#[tokio::test]
async fn an_incident_is_one_region_from_its_beginning_to_its_end() {
    // The answer to the first POST is lost on the way: the annotation is found, not made again.
    let acts = [says("[]"), Act::HangUp, says("[{\"id\": 7}]"), says("{}"), says("{}"), says("{}")];
    let destination = Destination::new(acts).await;
    let (exporter, context) = build::<grafana_annotations::Config>(&config(&destination));
    for state in ["opened", "updated", "resolved"] {
        exporter.consume(alert("inc-1", state, "page")).await;
    }
    soon("draining", exporter.drain()).await;
    let seen = destination.seen();
    let calls: Vec<(&str, &str)> = seen.iter().map(|seen| (seen.method.as_str(), seen.path.as_str())).collect();
    let (list, one) = ("/grafana/api/annotations", "/grafana/api/annotations/7");
    assert_eq!(calls, [("GET", list), ("POST", list), ("GET", list), ("PATCH", one), ("PATCH", one), ("PATCH", one)]);
    assert!(seen.iter().all(|seen| seen.headers["authorization"] == "Bearer hunter2"));
    let bodies: Vec<Value> = seen.iter().filter_map(|seen| serde_json::from_slice(&seen.body).ok()).collect();
    let known = ["time", "timeEnd", "tags", "text", "dashboardUID", "panelId"];
    for body in &bodies {
        assert!(body.as_object().unwrap().keys().all(|key| known.contains(&key.as_str())), "{body}");
        assert_eq!(body["tags"], json!(["sekisho", "inc-1", "page"]));
        assert_eq!((&body["dashboardUID"], &body["panelId"]), (&json!("fleet"), &json!(3)));
        assert_eq!(body["time"], 1_795_442_529_000_u64);
        let text = body["text"].as_str().unwrap();
        assert!(!text.contains("<!channel>") && text.contains("&lt;!channel&gt;"), "{text}");
        assert!(text.contains("?a&amp;b\">trace</a>"), "{text}");
    }
    let ends: Vec<u64> = bodies.iter().map(|body| body["timeEnd"].as_u64().unwrap() - 1_795_442_529_000).collect();
    assert_eq!(ends, [0, 0, 60_000, 120_000]);
    assert!(bodies[3]["text"].as_str().unwrap().starts_with("Resolved: "));
    assert_eq!(context.metrics.sum("otelcol_exporter_sent_log_records", None) as u64, 3);
}

#[tokio::test]
async fn one_that_was_deleted_is_made_anew_and_a_refusal_is_final() {
    let acts = [
        says("[{\"id\": 7}]"),
        Act::Http(404, &[], vec![]),
        says("{\"id\": 8}"),
        says("{}"),
        Act::Http(403, &[("content-type", "application/json")], b"{\"message\":\"no permission\"}".to_vec()),
    ];
    let destination = Destination::new(acts).await;
    let (exporter, context) = build::<grafana_annotations::Config>(&config(&destination));
    for (id, state) in [("inc-1", "updated"), ("inc-1", "resolved"), ("inc-2", "opened")] {
        exporter.consume(alert(id, state, "queue")).await;
    }
    soon("draining", exporter.drain()).await;
    let calls: Vec<String> = destination.seen().iter().map(|seen| format!("{} {}", seen.method, seen.path)).collect();
    let list = "/grafana/api/annotations";
    let expected = ["GET ", "PATCH 7", "POST ", "PATCH 8", "GET "];
    let expected = expected.map(|call| call.replace(' ', &format!(" {list}/")).trim_end_matches('/').to_owned());
    assert_eq!(calls, expected);
    let metric = |name| context.metrics.sum(name, None) as u64;
    assert_eq!(metric("otelcol_exporter_sent_log_records"), 2);
    assert_eq!(metric("otelcol_exporter_send_failed_log_records"), 1);
}

#[test]
fn the_configuration_is_checked_and_keeps_its_secret() {
    let table = [
        ("{endpoint: 'https://g.example', token: hunter2}", ""),
        ("{endpoint: 'https://g.example'}", "token"),
        ("{token: hunter2}", "endpoint"),
        ("{endpoint: 'https://g.example', token: \"hunter2\\n\"}", "header"),
        ("{endpoint: 'https://g.example', token: hunter2, panel_id: 3}", "dashboard_uid"),
    ];
    for (yaml, wrong) in table {
        let (config, said) = probe::config::<grafana_annotations::Config>(Kind::Exporter, yaml);
        assert_eq!(said.is_empty(), wrong.is_empty(), "{yaml}: {said}");
        assert!(said.contains(wrong), "{yaml}: {said}");
        assert!(!said.contains("hunter2") && !format!("{config:?}").contains("hunter2"), "{yaml}: {said}");
    }
}
