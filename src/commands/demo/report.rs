//! The outcome of a demo as JSON. Others read it: names and order of the keys are part of what we promise.

use serde::Serialize;

/// Everything there is to say about a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// In order of time.
    pub attacks: Vec<AttackFound>,
    /// In order of time.
    pub benign: Vec<BenignJudged>,
    /// Functions times days.
    pub function_days: f64,
    /// Pages that no attack accounts for, as incidents.
    pub false_pages: u64,
    /// Sent into the gateway.
    pub spans: u64,
    /// By the clock on the wall, from first to last batch.
    pub spans_per_second: f64,
}

/// One attack, and what came of it. What is only known of a detected one is `null` otherwise.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AttackFound {
    /// As the testbed calls it.
    pub id: String,
    /// The compromised function.
    pub function: String,
    /// Whether it reached the queue or a page.
    pub detected: bool,
    /// The highest it reached: `page` or `queue`. The next three are of the first alert of that tier.
    pub tier: Option<String>,
    /// Event time from the first malicious act.
    pub seconds_to_detect: Option<f64>,
    /// Malicious invocations up to the last one that alert names.
    pub invocations_to_detect: Option<u64>,
    /// What the alert said.
    pub headline: Option<String>,
}

/// One benign disturbance, and whom it woke for nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BenignJudged {
    /// As the testbed calls it.
    pub id: String,
    /// Pages while it lasted that no attack accounts for.
    pub false_pages: u64,
}

impl Report {
    /// The report as a file's content.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_are_those_promised() {
        let found = AttackFound {
            id: "table-dump".into(),
            function: "confirm-booking".into(),
            detected: true,
            tier: Some("page".into()),
            seconds_to_detect: Some(1.5),
            invocations_to_detect: Some(1),
            headline: Some("Scan".into()),
        };
        let missed = AttackFound {
            id: "stealthy-read".into(),
            function: "search-flights".into(),
            detected: false,
            tier: None,
            seconds_to_detect: None,
            invocations_to_detect: None,
            headline: None,
        };
        let report = Report {
            attacks: vec![found, missed],
            benign: vec![BenignJudged { id: "flash-crowd".into(), false_pages: 0 }],
            function_days: 154.0,
            false_pages: 0,
            spans: 1000,
            spans_per_second: 250.5,
        };
        let expected = concat!(
            r#"{"attacks":[{"id":"table-dump","function":"confirm-booking","detected":true,"tier":"page","#,
            r#""seconds_to_detect":1.5,"invocations_to_detect":1,"headline":"Scan"},"#,
            r#"{"id":"stealthy-read","function":"search-flights","detected":false,"tier":null,"#,
            r#""seconds_to_detect":null,"invocations_to_detect":null,"headline":null}],"#,
            r#""benign":[{"id":"flash-crowd","false_pages":0}],"function_days":154.0,"false_pages":0,"#,
            r#""spans":1000,"spans_per_second":250.5}"#,
        );
        let (compact, pretty): (serde_json::Value, serde_json::Value) =
            (serde_json::from_str(expected).unwrap(), serde_json::from_str(&report.to_json()).unwrap());
        assert_eq!(serde_json::to_string(&report).unwrap(), expected);
        assert_eq!(compact, pretty);
    }
}
