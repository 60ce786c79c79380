//! Scenario: the newcomer's first minute, in small. Guarantees: the real gateway detects what it should, the report
//! has the documented form, and nothing on the way is lost.
#![allow(clippy::unwrap_used, reason = "a test says more by failing where it stands")]

mod support;

use std::collections::BTreeSet;

use serde_json::Value;

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} of {value}"))
}

#[test]
fn the_demo_finds_compromises_and_writes_its_report() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["demo", "--days", "9", "--scale", "0.1", "--seed", "7", "--report", "report.json"];
    let (code, out, errors) = support::sekisho(&arguments, folder.path());
    assert_eq!(code, Some(0), "{out}{errors}");
    let report: Value = serde_json::from_slice(&std::fs::read(folder.path().join("report.json")).unwrap()).unwrap();

    let attacks = report["attacks"].as_array().unwrap();
    let found: BTreeSet<&str> =
        attacks.iter().filter(|attack| attack["detected"] == true).map(|attack| text(attack, "id")).collect();
    for id in ["credential-theft", "data-exfiltration", "lateral-movement", "crypto-mining", "metadata-access"] {
        assert!(found.contains(id), "{id} is not among {found:?}\n{out}");
    }
    for attack in attacks.iter().filter(|attack| attack["detected"] == true) {
        assert!(["page", "queue"].contains(&text(attack, "tier")), "{attack}");
        assert!(text(attack, "headline").starts_with(text(attack, "function")), "{attack}");
        assert!(attack["seconds_to_detect"].as_f64().is_some_and(|seconds| seconds < 600.0), "{attack}");
        assert!(attack["invocations_to_detect"].as_u64().is_none_or(|count| count >= 1), "{attack}");
    }
    let false_pages = report["false_pages"].as_u64().unwrap();
    assert!(false_pages <= 2, "{false_pages} false pages in nine days at one a week\n{out}");
    let benign = report["benign"].as_array().unwrap();
    assert!(benign.len() >= 3 && benign.iter().all(|benign| benign["false_pages"].is_u64()), "{benign:?}");
    assert_eq!(report["function_days"].as_f64(), Some(99.0));
    assert!(report["spans"].as_u64().is_some_and(|spans| spans > 50_000), "{}", report["spans"]);
    assert!(report["spans_per_second"].as_f64().is_some_and(|rate| rate > 0.0));

    for line in ["attack ", "false pages in 9 days; the budget is 1/week"] {
        assert!(out.contains(line), "{line:?} is not in:\n{out}");
    }
}
