//! OCSF and Splunk.

use serde_json::{Value, json};

use super::{
    super::{
        alert::sample::{batch, record},
        ocsf, splunk_hec,
    },
    build,
    destination::{Act, Destination, soon},
};
use crate::{
    config::Kind,
    pipeline::{Batch, Next, probe},
};

fn story() -> Batch {
    batch(vec![
        record("inc-1", "opened", "queue"),
        record("inc-1", "updated", "page"),
        record("inc-1", "resolved", "page"),
    ])
}

async fn tell(exporter: &Next) {
    exporter.consume(story()).await;
    soon("draining", exporter.drain()).await;
}

const RETRY: &str = "retry_on_failure: {initial_interval: 10ms, max_interval: 20ms}";

#[tokio::test]
async fn ocsf_findings_are_created_updated_and_closed_in_one_request() {
    let destination = Destination::new([Act::Http(503, &[], vec![])]).await;
    let (exporter, context) = build::<ocsf::Config>(&format!(
        "{{endpoint: 'http://{}/ocsf', links: {{incident: 'https://s.example/{{incident_id}}'}}, \
         headers: {{authorization: Bearer hunter2}}, {RETRY}}}",
        destination.address
    ));
    tell(&exporter).await;
    let seen = destination.seen();
    assert_eq!(seen.len(), 2, "the whole request is sent again");
    assert_eq!(
        (&seen[1].headers["content-type"], &seen[1].headers["authorization"]),
        (&"application/json".parse().unwrap(), &"Bearer hunter2".parse().unwrap())
    );
    let findings: Value = serde_json::from_slice(&seen[1].body).unwrap();
    let findings = findings.as_array().unwrap();
    let told: Vec<(u64, u64, u64, u64, bool)> = findings
        .iter()
        .map(|finding| {
            let number = |key: &str| finding[key].as_u64().unwrap();
            (
                number("activity_id"),
                number("type_uid"),
                number("status_id"),
                number("severity_id"),
                finding["is_alert"] == true,
            )
        })
        .collect();
    assert_eq!(told, [(1, 200_401, 1, 3, false), (2, 200_402, 2, 4, true), (3, 200_403, 4, 4, true)]);
    for finding in findings {
        assert_eq!((&finding["class_uid"], &finding["category_uid"]), (&json!(2004), &json!(2)));
        assert_eq!(finding["time"], 1_795_442_529_000_u64);
        let info = &finding["finding_info"];
        assert_eq!((&info["uid"], &info["src_url"]), (&json!("inc-1"), &json!("https://s.example/inc-1")));
        assert_eq!(info["attacks"][0]["technique"], json!({"uid": "T1041", "name": "new destination"}));
        assert_eq!(finding["evidences"][0]["data"]["bits"], 17.25);
    }
    assert_eq!(context.metrics.sum("otelcol_exporter_sent_log_records", None) as u64, 3);

    // For the models of py-ocsf-models: see tests/clients/ocsf/.
    if let Some(path) = std::env::var_os("OCSF_FINDINGS") {
        std::fs::write(path, &seen[1].body).unwrap();
    }
}

#[tokio::test]
async fn ocsf_findings_may_be_lines() {
    let destination = Destination::new([]).await;
    let (exporter, _) =
        build::<ocsf::Config>(&format!("{{endpoint: 'http://{}/', body: lines, {RETRY}}}", destination.address));
    tell(&exporter).await;
    let seen = destination.seen();
    assert_eq!(seen[0].headers["content-type"], "application/x-ndjson");
    let lines = String::from_utf8(seen[0].body.to_vec()).unwrap();
    let uids: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["type_uid"].clone()).collect();
    assert_eq!(uids, [200_401, 200_402, 200_403]);
}

#[tokio::test]
async fn splunk_gets_events_one_after_the_other() {
    let busy =
        Act::Http(503, &[("content-type", "application/json")], br#"{"text":"Server is busy","code":9}"#.to_vec());
    let destination = Destination::new([busy]).await;
    let (exporter, context) = build::<splunk_hec::Config>(&format!(
        "{{endpoint: 'http://{}/', token: hunter2, index: security, {RETRY}}}",
        destination.address
    ));
    tell(&exporter).await;
    let seen = destination.seen();
    assert_eq!((seen.len(), seen[1].path.as_str()), (2, "/services/collector/event"));
    assert_eq!(seen[1].headers["authorization"], "Splunk hunter2");
    let events: Vec<Value> =
        serde_json::Deserializer::from_slice(&seen[1].body).into_iter().map(Result::unwrap).collect();
    let known = ["time", "host", "source", "sourcetype", "index", "event", "fields"];
    for event in &events {
        assert!(event.as_object().unwrap().keys().all(|key| known.contains(&key.as_str())), "{event}");
        assert!(event["fields"].as_object().unwrap().values().all(Value::is_string), "indexed fields are flat");
        assert_eq!(
            (&event["time"], &event["index"], &event["host"]),
            (&json!(1_795_442_529), &json!("security"), &json!("checkout"))
        );
    }
    let states: Vec<&str> = events.iter().map(|event| event["fields"]["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["opened", "updated", "resolved"]);
    assert_eq!(context.metrics.sum("otelcol_exporter_sent_log_records", None) as u64, 3);
}

#[tokio::test]
async fn what_splunk_does_not_understand_is_lost_and_counted() {
    let refused =
        Act::Http(403, &[("content-type", "application/json")], br#"{"text":"Invalid token","code":4}"#.to_vec());
    let destination = Destination::new([refused]).await;
    let (exporter, context) = build::<splunk_hec::Config>(&format!(
        "{{endpoint: 'http://{}/', token: hunter2, {RETRY}}}",
        destination.address
    ));
    tell(&exporter).await;
    assert_eq!(destination.seen().len(), 1);
    assert_eq!(context.metrics.sum("otelcol_exporter_send_failed_log_records", None) as u64, 3);
}

#[test]
fn the_configurations_are_checked_and_keep_their_secrets() {
    let table = [
        ("{endpoint: 'https://s.example:8088', token: hunter2}", ""),
        ("{endpoint: 'https://s.example:8088'}", "token"),
        ("{token: hunter2}", "endpoint"),
        ("{endpoint: 's.example', token: hunter2}", "endpoint"),
    ];
    for (yaml, wrong) in table {
        let (config, said) = probe::config::<splunk_hec::Config>(Kind::Exporter, yaml);
        assert_eq!(said.is_empty(), wrong.is_empty(), "{yaml}: {said}");
        assert!(said.contains(wrong), "{yaml}: {said}");
        assert!(!said.contains("hunter2") && !format!("{config:?}").contains("hunter2"), "{yaml}: {said}");
    }
    let (_, said) = probe::config::<ocsf::Config>(Kind::Exporter, "{}");
    assert!(said.contains("endpoint"), "{said}");
    let (_, said) = probe::config::<ocsf::Config>(Kind::Exporter, "{endpoint: 'https://s.example', body: xml}");
    assert!(said.contains("must be one of array, lines"), "{said}");
}
