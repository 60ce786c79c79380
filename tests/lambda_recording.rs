//! A recording of real, instrumented Python Lambda functions, the last hour of it compromised
//! (`tests/clients/lambda/` makes it anew), replayed in event time.
#![allow(clippy::unwrap_used, reason = "a test says more by failing where it stands")]

mod support;

use std::process::Command;

use support::recording;

const CONFIG: &str = "
receivers: {otlp: {protocols: {grpc: {}}}}
processors: {faas: {}, anomaly: {budget: 1/week}}
exporters: {file/spans: {path: spans.jsonl}, file/alerts: {path: alerts.jsonl}}
service:
  pipelines:
    traces: {receivers: [otlp], processors: [faas, anomaly], exporters: [file/spans]}
    logs/alerts: {receivers: [anomaly], exporters: [file/alerts]}
";

/// The string attribute `key` of a log record in OTLP JSON.
fn text<'a>(record: &'a serde_json::Value, key: &str) -> &'a str {
    let attributes = record["attributes"].as_array().unwrap();
    let pair = attributes.iter().find(|pair| pair["key"] == key).unwrap();
    pair["value"]["stringValue"].as_str().unwrap()
}

/// Scenario: eight days of two functions; in the last hour one reads another table and posts to a new host.
/// Guarantees: that function and what it newly touched are paged; nothing else is; every span is forwarded.
#[test]
fn the_changed_handler_is_paged_with_what_it_newly_touched() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("config.yaml"), CONFIG).unwrap();
    let replayed = Command::new(env!("CARGO_BIN_EXE_sekisho"))
        .args(["replay", "--config", "config.yaml"])
        .arg(recording::path())
        .current_dir(directory.path())
        .output()
        .unwrap();
    let report = String::from_utf8(replayed.stdout).unwrap();
    assert!(replayed.status.success(), "{report}{}", String::from_utf8_lossy(&replayed.stderr));
    assert!(report.contains("3734 spans"), "{report}");

    let alerts = std::fs::read_to_string(directory.path().join("alerts.jsonl")).unwrap();
    let records: Vec<serde_json::Value> = alerts
        .lines()
        .flat_map(|line| {
            let request: serde_json::Value = serde_json::from_str(line).unwrap();
            let groups = request["resourceLogs"].as_array().unwrap().clone();
            groups.into_iter().map(|group| group["scopeLogs"][0]["logRecords"][0].clone())
        })
        .collect();
    let pages: Vec<_> = records.iter().filter(|record| text(record, "sekisho.incident.tier") == "page").collect();
    assert!(!pages.is_empty(), "{alerts}");
    for page in pages {
        assert_eq!(page["eventName"], "sekisho.incident");
        assert_eq!(text(page, "faas.name"), "reserve-seat");
        let headline = page["body"]["stringValue"].as_str().unwrap();
        assert!(headline.contains("attacker.example"), "{headline}");
        let evidence = page["attributes"].to_string();
        assert!(evidence.contains("customers"), "the other table is among the evidence: {evidence}");
    }
    let spans = std::fs::read_to_string(directory.path().join("spans.jsonl")).unwrap();
    assert_eq!(spans.matches("\"startTimeUnixNano\"").count(), 3734);
    assert!(spans.contains("anomaly.is_anomaly") && spans.contains("anomaly.reason"));
}

/// Scenario: the doctor looks at the same recording, then at one function, then at one that is not there.
/// Guarantees: what the instrumentation tells and does not tell is counted; each attack that would not show comes with
/// what it needs; a wrong name is refused.
#[test]
fn the_doctor_says_what_would_show_and_what_to_switch_on() {
    let doctor = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sekisho"));
        let output = command.arg("doctor").arg(recording::path()).args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, json, said) = doctor(&["--output", "json"]);
    assert_eq!(code, Some(0), "{said}");
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&report["functions"], &report["unattributed_records"]), (&2.into(), &0.into()));
    let functions = |list: &str, name: &str| {
        let all = report[list].as_array().unwrap();
        all.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("{list}: {name}"))["functions"].clone()
    };
    #[rustfmt::skip]
    let table = [
        ("cues",    "destinations",                2),
        ("cues",    "items returned",              1),
        ("cues",    "records of called services",  0),
        ("classes", "exfiltration to a new place", 2),
        ("classes", "one call, more data",         1),
        ("classes", "stolen credentials",          0),
    ];
    for (list, name, expected) in table {
        assert_eq!(functions(list, name), expected, "{name}");
    }
    let (code, text, said) = doctor(&["--function", "collect-payment"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(text.contains("one call, more data needs items returned: have database clients tell counts"), "{text}");
    assert!(!text.contains("reserve-seat"), "{text}");
    let (code, _, said) = doctor(&["--function", "collect-paymnt"]);
    assert_eq!(code, Some(2));
    assert!(said.contains("no function of these recordings is called `collect-paymnt`"), "{said}");
}
