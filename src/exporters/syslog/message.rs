//! A log record as a syslog message: RFC 5424 with structured data, or the older RFC 3164.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::super::alert::{Alert, State, Tier, clean, object, plain, text};
use crate::otlp::{
    time::rfc3339,
    view::{AnyValue, LogRecord},
};

/// Bytes of a message: what receivers take unless they are told otherwise.
pub const LONGEST: usize = 8192;
/// Of these, bytes of structured data; what does not fit is left out, the least important first.
const LONGEST_DATA: usize = 6144;
/// Characters of one value in structured data.
const LONGEST_VALUE: usize = 500;
/// Severities of RFC 5424.
const ALERT: u8 = 1;
const ERROR: u8 = 3;
const WARNING: u8 = 4;
const NOTICE: u8 = 5;
const INFO: u8 = 6;
const DEBUG: u8 = 7;

/// How messages look.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Whether it is RFC 5424, with structured data.
    pub structured: bool,
    /// 0 to 23.
    pub facility: u8,
    /// Whose the names in our structured data are.
    pub enterprise: u32,
    /// Whether a message may have several lines.
    pub lines: bool,
}

/// One message.
#[derive(Debug, Default)]
pub struct Message {
    priority: u8,
    /// Unix nanoseconds; zero if unknown.
    time: u64,
    host: String,
    application: String,
    process: String,
    kind: String,
    /// Id of an element, and its parameters.
    data: Vec<(String, Vec<(String, String)>)>,
    text: String,
}

impl Message {
    /// What is said of an incident.
    pub fn of_alert(alert: &Alert, style: Style) -> Self {
        let severity = match (alert.state, alert.tier) {
            (State::Resolved, _) => NOTICE,
            (_, Tier::Page) => ALERT,
            (_, Tier::Queue) => WARNING,
            (_, Tier::Evidence) => INFO,
        };
        let own = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut data = vec![
            own("id", &alert.id),
            own("state", alert.state.name()),
            own("tier", alert.tier.name()),
            own("priority", &alert.priority.to_string()),
            own("revision", &alert.revision()),
            own("function", &alert.function),
            own("version", &alert.version),
            own("score", &format!("{:.1}", alert.score)),
            own("line", &format!("{:.1}", alert.line)),
            own("firstSeen", &rfc3339(alert.first_seen)),
            own("lastSeen", &rfc3339(alert.last_seen)),
            own("traceId", &alert.trace_id),
            own("spanId", &alert.span_id),
        ];
        for key in ["cloud.provider", "cloud.account.id", "cloud.region", "cloud.resource_id"] {
            data.push((key.to_owned(), alert.attribute(key)));
        }
        let many = |name: &'static str, values: Vec<String>| values.into_iter().map(move |value| own(name, &value));
        data.extend(many("technique", alert.techniques.clone()));
        data.extend(many("evidence", text::evidence(alert)));
        data.extend([own("counterfactual", &alert.counterfactual), own("guarantee", &alert.guarantee)]);
        data.extend(many("invocation", alert.invocations.clone()));
        data.retain(|(_, value)| !value.is_empty());
        let mut words = format!("{}. {}", text::title(alert), text::call(alert.tier));
        for line in text::evidence(alert) {
            let _ = write!(words, "; {line}");
        }
        Self {
            priority: style.facility * 8 + severity,
            time: alert.at,
            host: alert.function.clone(),
            application: "sekisho".to_owned(),
            process: String::new(),
            kind: alert.state.name().to_owned(),
            data: vec![(format!("sekisho@{}", style.enterprise), data)],
            text: words,
        }
    }

    /// Any other record: what the Collector's attributes for syslog say, and where they say nothing, OpenTelemetry's.
    pub fn of_record(record: &[u8], resource: &Map<String, Value>, style: Style) -> Self {
        let mut attributes = Map::new();
        let log = LogRecord::scan(record, |key, value| {
            attributes.insert(String::from_utf8_lossy(key).into_owned(), plain(value));
        });
        let word = |own: &str, usual: &str| {
            let value = attributes.get(own).or_else(|| resource.get(usual)).unwrap_or(&Value::Null);
            value.as_str().map_or_else(|| scalar(value), ToOwned::to_owned)
        };
        let priority = attributes.get("priority").and_then(Value::as_u64).filter(|priority| *priority <= 191);
        let ids = [("traceId", log.trace_id), ("spanId", log.span_id)];
        let ids: Vec<_> = ids
            .into_iter()
            .filter(|(_, id)| !id.is_empty())
            .map(|(name, id)| (name.to_owned(), crate::otlp::hex(id)))
            .collect();
        let mut data = elements(attributes.get("structured_data"));
        if !ids.is_empty() {
            data.push((format!("sekisho@{}", style.enterprise), ids));
        }
        Self {
            priority: priority.map_or(style.facility * 8 + severity(log.severity), |priority| priority as u8),
            time: if log.time == 0 { log.observed_time } else { log.time },
            host: word("hostname", "host.name"),
            application: word("appname", "service.name"),
            process: word("proc_id", "process.pid"),
            kind: attributes.get("msg_id").map(scalar).unwrap_or_default(),
            data,
            text: attributes.get("message").map_or_else(|| words(log.body), scalar),
        }
    }

    /// The message, in at most [`LONGEST`] bytes.
    pub fn write(&self, style: Style) -> String {
        let mut out = if style.structured { self.head() } else { self.old_head() };
        let controls = |c: char| c.is_control() && (!style.lines || c != '\n');
        let mut room = LONGEST.saturating_sub(out.len());
        for c in self.text.trim_end().chars() {
            let c = if controls(c) { ' ' } else { c };
            let Some(left) = room.checked_sub(c.len_utf8()) else { break };
            room = left;
            out.push(c);
        }
        out
    }

    fn head(&self) -> String {
        let mut out = format!(
            "<{}>1 {} {} {} {} {} ",
            self.priority,
            self.timestamp(),
            word(&self.host, 255),
            word(&self.application, 48),
            word(&self.process, 128),
            word(&self.kind, 32),
        );
        let begun = out.len();
        for (id, parameters) in &self.data {
            let id = name(id);
            if out.len() - begun + id.len() + 2 > LONGEST_DATA {
                break;
            }
            let _ = write!(out, "[{id}");
            for (key, value) in parameters {
                let pair = format!(" {}=\"{}\"", name(key), escaped(value));
                if out.len() - begun + pair.len() < LONGEST_DATA {
                    out.push_str(&pair);
                }
            }
            out.push(']');
        }
        if out.len() == begun {
            out.push('-');
        }
        out.push(' ');
        out
    }

    /// Of RFC 3164, in UTC: it has no time zones.
    fn old_head(&self) -> String {
        const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let date = rfc3339(self.time);
        let part = |range: std::ops::Range<usize>| date.get(range).unwrap_or_default();
        let month = part(5..7).parse::<usize>().ok().and_then(|month| MONTHS.get(month.saturating_sub(1)));
        let (month, day) = (month.unwrap_or(&"Jan"), part(8..10).trim_start_matches('0'));
        let tag = word(&self.application, 32);
        let tag = if tag == "-" { String::new() } else { format!("{tag}: ") };
        format!("<{}>{month} {day:>2} {} {} {tag}", self.priority, part(11..19), word(&self.host, 255))
    }

    fn timestamp(&self) -> String {
        if self.time == 0 {
            return "-".to_owned();
        }
        let whole = rfc3339(self.time);
        format!("{}.{:06}Z", whole.trim_end_matches('Z'), self.time % 1_000_000_000 / 1000)
    }
}

/// Severity numbers 1 to 24 of OpenTelemetry; none is the Collector's notice.
const fn severity(number: u32) -> u8 {
    match number {
        1..=8 => DEBUG,
        9..=12 => INFO,
        13..=16 => WARNING,
        17..=20 => ERROR,
        21..=24 => 2,
        _ => NOTICE,
    }
}

/// `structured_data` in the Collector's form: element → parameter → value. An id that is there twice is kept once.
fn elements(value: Option<&Value>) -> Vec<(String, Vec<(String, String)>)> {
    let mut found: Vec<(String, Vec<(String, String)>)> = Vec::new();
    for (id, parameters) in value.and_then(Value::as_object).into_iter().flatten() {
        let id = name(id);
        let Some(parameters) = parameters.as_object() else { continue };
        if found.iter().all(|(known, _)| *known != id) {
            found.push((id, parameters.iter().map(|(key, value)| (key.clone(), scalar(value))).collect()));
        }
    }
    found
}

fn words(body: AnyValue<'_>) -> String {
    match body {
        AnyValue::Empty => String::new(),
        AnyValue::KvList(_) => Value::Object(object(body.entries())).to_string(),
        _ => scalar(&plain(body)),
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A field of the header: printable ASCII without spaces, or `-`.
fn word(text: &str, most: usize) -> String {
    let fit: String = text.chars().take(most).map(|c| if c.is_ascii_graphic() { c } else { '_' }).collect();
    if fit.is_empty() { "-".to_owned() } else { fit }
}

/// A name in structured data.
fn name(text: &str) -> String {
    let fit = |c: char| c.is_ascii_graphic() && !matches!(c, '=' | ']' | '"');
    let name: String = text.chars().take(32).map(|c| if fit(c) { c } else { '_' }).collect();
    if name.is_empty() { "_".to_owned() } else { name }
}

/// A value in structured data.
fn escaped(value: &str) -> String {
    let mut out = String::new();
    for c in clean(value).chars().take(LONGEST_VALUE) {
        if matches!(c, '"' | '\\' | ']') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
