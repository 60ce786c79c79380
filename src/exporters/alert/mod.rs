//! What exporters of alerts share: the `sekisho.incident` record as a typed [`Alert`], its words for people ([`text`]),
//! links, and how it is sent ([`send`]).
//!
//! Everything in an alert may have been written by an attacker. Texts are cut to what a person reads, and characters
//! that move the cursor or the writing direction are replaced; each exporter escapes for its own destination.

pub mod announced;
pub mod chat;
pub mod links;
pub mod send;
pub mod text;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    incidents::record::EVENT_NAME,
    otlp::view::{self, AnyValue, LogRecord},
};

const INCIDENT: &str = "sekisho.incident.";
/// Longest single text kept of a record.
const LONGEST: usize = 1000;

/// What happened to the incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is new.
    Opened,
    /// There is more to it.
    Updated,
    /// It is over.
    Resolved,
}

impl State {
    /// `opened`, `updated` or `resolved`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Updated => "updated",
            Self::Resolved => "resolved",
        }
    }
}

/// How much of a person's attention an incident wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// None: for the record.
    #[default]
    Evidence,
    /// During working hours.
    Queue,
    /// Now.
    Page,
}

impl Tier {
    /// `evidence`, `queue` or `page`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Evidence => "evidence",
            Self::Queue => "queue",
            Self::Page => "page",
        }
    }
}

/// One piece of evidence.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    /// What was odd.
    pub feature: String,
    /// What was seen.
    pub observed: String,
    /// What is usual.
    pub usual: String,
    /// How surprising.
    pub bits: f64,
    /// How often it was seen before.
    pub seen_in: u64,
    /// Among how many.
    pub out_of: u64,
    /// Who reported it: `in_process`, `platform`, `provider`.
    pub source: String,
}

/// One `sekisho.incident` record.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// Stable over updates and restarts: the key to deduplicate by.
    pub id: String,
    /// What happened.
    pub state: State,
    /// The highest so far.
    pub tier: Tier,
    /// 0 to 100.
    pub priority: u64,
    /// In bits.
    pub score: f64,
    /// What the score is measured against, in bits.
    pub line: f64,
    /// Event time of the first invocation, nanoseconds.
    pub first_seen: u64,
    /// Event time of the latest, nanoseconds.
    pub last_seen: u64,
    /// Event time of the strongest evidence, nanoseconds.
    pub at: u64,
    /// When the gateway said so, nanoseconds.
    pub observed: u64,
    /// One sentence.
    pub headline: String,
    /// Of the strongest evidence, hexadecimal; empty where unknown.
    pub trace_id: String,
    /// Of the strongest evidence, hexadecimal; empty where unknown.
    pub span_id: String,
    /// `faas.name`.
    pub function: String,
    /// `faas.version`.
    pub version: String,
    /// `cloud.*` and everything else the record says of the function.
    pub attributes: Map<String, Value>,
    /// The function's own resource attributes.
    pub resource: Map<String, Value>,
    /// The first invocations.
    pub invocations: Vec<String>,
    /// Strongest first.
    pub evidence: Vec<Evidence>,
    /// What would have kept it below the line.
    pub counterfactual: String,
    /// ATT&CK ids, with the rule that mapped each.
    pub techniques: Vec<String>,
    /// What is promised at that moment.
    pub guarantee: String,
    /// Where a person may look at it and say what it is; empty if the console makes no links.
    pub link: String,
}

impl Alert {
    /// The alerts of a request; `None` for each record that is no alert.
    pub fn all(body: &[u8]) -> impl Iterator<Item = Option<Self>> {
        view::resources(body).flat_map(|group| {
            let resource = object(group.attributes());
            let records = group.scopes().flat_map(|scope| scope.records());
            records.map(move |record| Self::read(record, &resource))
        })
    }

    fn read(record: &[u8], resource: &Map<String, Value>) -> Option<Self> {
        let (log, incident, attributes) = parts(record);
        let id = text_in(&incident, "id");
        if log.event_name != EVENT_NAME.as_bytes() || id.is_empty() {
            return None;
        }
        let number = |key: &str| incident.get(key).and_then(Value::as_u64).unwrap_or_default();
        let bits = |key: &str| incident.get(key).and_then(Value::as_f64).unwrap_or_default();
        let list = |key: &str| incident.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
        let texts = |key: &str| list(key).iter().filter_map(Value::as_str).map(clean).collect();
        Some(Self {
            state: match text_in(&incident, "state").as_str() {
                "resolved" => State::Resolved,
                "updated" => State::Updated,
                _ => State::Opened,
            },
            tier: match text_in(&incident, "tier").as_str() {
                "page" => Tier::Page,
                "queue" => Tier::Queue,
                _ => Tier::Evidence,
            },
            priority: number("priority"),
            score: bits("score"),
            line: bits("line"),
            first_seen: number("first_seen"),
            last_seen: number("last_seen"),
            at: if log.time == 0 { log.observed_time } else { log.time },
            observed: log.observed_time,
            headline: plain(log.body).as_str().map(clean).unwrap_or_default(),
            trace_id: crate::otlp::hex(log.trace_id),
            span_id: crate::otlp::hex(log.span_id),
            function: text_in(&attributes, "faas.name"),
            version: text_in(&attributes, "faas.version"),
            invocations: texts("invocations"),
            evidence: list("evidence").iter().filter_map(Value::as_object).map(Evidence::read).collect(),
            counterfactual: text_in(&incident, "counterfactual"),
            techniques: texts("techniques"),
            guarantee: text_in(&attributes, "sekisho.guarantee"),
            link: text_in(&incident, "link"),
            resource: resource.clone(),
            attributes,
            id,
        })
    }

    /// Something the record or the function's resource says, such as `cloud.region`; empty if neither does.
    pub fn attribute(&self, key: &str) -> String {
        let own = text_in(&self.attributes, key);
        if own.is_empty() { text_in(&self.resource, key) } else { own }
    }

    /// Distinguishes this word on the incident from every other, and not from its own repetition.
    pub fn revision(&self) -> String {
        format!("{}-{}-{}", self.id, self.state.name(), self.observed)
    }
}

impl Evidence {
    fn read(row: &Map<String, Value>) -> Self {
        let number = |key: &str| row.get(key).and_then(Value::as_u64).unwrap_or_default();
        Self {
            feature: text_in(row, "feature"),
            observed: text_in(row, "observed"),
            usual: text_in(row, "usual"),
            bits: row.get("bits").and_then(Value::as_f64).unwrap_or_default(),
            seen_in: number("seen_in"),
            out_of: number("out_of"),
            source: text_in(row, "source"),
        }
    }
}

/// A log record, what its attributes say of the incident (without `sekisho.incident.`), and its other attributes.
pub fn parts(record: &[u8]) -> (LogRecord<'_>, Map<String, Value>, Map<String, Value>) {
    let (mut incident, mut attributes) = (Map::new(), Map::new());
    let log = LogRecord::scan(record, |key, value| {
        let key = String::from_utf8_lossy(key);
        match key.strip_prefix(INCIDENT) {
            Some(name) => incident.insert(name.to_owned(), plain(value)),
            None => attributes.insert(key.into_owned(), plain(value)),
        };
    });
    (log, incident, attributes)
}

fn text_in(map: &Map<String, Value>, key: &str) -> String {
    map.get(key).and_then(Value::as_str).map(clean).unwrap_or_default()
}

/// Fit to be shown: bounded, and without characters that move the cursor or the writing direction.
pub fn clean(text: &str) -> String {
    let invisible = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    text.chars().take(LONGEST).map(|c| if invisible(c) { '\u{fffd}' } else { c }).collect()
}

/// Attributes as JSON.
pub fn object(attributes: view::Attributes<'_>) -> Map<String, Value> {
    attributes.map(|(key, value)| (String::from_utf8_lossy(key).into_owned(), plain(value))).collect()
}

/// A value as JSON.
pub fn plain(value: AnyValue<'_>) -> Value {
    match value {
        AnyValue::Empty => Value::Null,
        AnyValue::String(text) => String::from_utf8_lossy(text).into(),
        AnyValue::Bool(value) => value.into(),
        AnyValue::Int(value) => value.into(),
        AnyValue::Double(value) => value.into(),
        AnyValue::Bytes(bytes) => crate::otlp::hex(bytes).into(),
        AnyValue::Array(_) => value.elements().map(plain).collect(),
        AnyValue::KvList(_) => object(value.entries()).into(),
    }
}

#[cfg(test)]
pub mod sample;
#[cfg(test)]
mod tests;
