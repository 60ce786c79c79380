//! What the platform itself says of an invocation: Lambda's `platform.start`, `platform.runtimeDone` and
//! `platform.report`, as the Telemetry API gives them, as JSON lines or as the plain lines of a log group.
//!
//! It comes whether the function is instrumented or not, and is not sampled. A function can print a line that looks like
//! one; it cannot keep the real one from being written.

use std::borrow::Cow;

use serde::Deserialize;

use super::{keys::Facts, names::Name};
use crate::otlp::{
    any_value,
    view::{AnyValue, LogRecord},
};

/// One event of the platform.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Event<'a> {
    /// Lambda's request id.
    pub invocation: Cow<'a, str>,
    /// Whether the invocation is over, and this the last word on it.
    pub report: bool,
    /// `success`, `error`, `failure`, `timeout`; empty if it is not said.
    pub status: Cow<'a, str>,
    /// The invocation's trace is not sampled: there will be no spans.
    pub unsampled: bool,
    /// Wall time.
    pub duration_us: Option<u64>,
    /// Initialisation, of a cold start.
    pub init_us: Option<u64>,
    /// Peak memory.
    pub memory_mb: Option<u64>,
    /// Bytes of the answer.
    pub answer_bytes: Option<u64>,
}

impl Event<'_> {
    /// Whether it did not end well.
    pub fn failed(&self) -> bool {
        matches!(&*self.status, "error" | "failure" | "timeout")
    }
}

#[derive(Deserialize)]
struct Json<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    record: Record<'a>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Record<'a> {
    #[serde(borrow)]
    request_id: Cow<'a, str>,
    #[serde(borrow)]
    status: Cow<'a, str>,
    metrics: Metrics,
    #[serde(borrow)]
    tracing: Option<Tracing<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metrics {
    duration_ms: Option<f64>,
    init_duration_ms: Option<f64>,
    #[serde(rename = "maxMemoryUsedMB")]
    max_memory_used_mb: Option<f64>,
    produced_bytes: Option<f64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Tracing<'a> {
    #[serde(borrow)]
    value: Cow<'a, str>,
}

/// Whether a log record says of itself that it is the platform's.
pub fn is_named(log: &LogRecord<'_>, facts: &Facts<'_>) -> bool {
    let named = |kind: &str| kind.starts_with("platform.");
    facts.text(Name::EventType).is_some_and(named) || std::str::from_utf8(log.event_name).is_ok_and(named)
}

/// Reads a log record, if it is one of the platform's.
pub fn read<'a>(log: &LogRecord<'a>, facts: &Facts<'a>) -> Option<Event<'a>> {
    let said = facts.text(Name::EventType).or_else(|| std::str::from_utf8(log.event_name).ok());
    let said = said.filter(|kind| kind.starts_with("platform."));
    if let Some(text) = log.body.text() {
        let json_like = text.starts_with('{');
        let likely = said.is_some() || text.get(..256).unwrap_or(text).contains("\"platform.");
        return if json_like { likely.then(|| json(text, said))? } else { plain(text) };
    }
    let named = matches!(log.body, AnyValue::KvList(_))
        && log
            .body
            .entries()
            .any(|(key, value)| key == b"type" && value.text().is_some_and(|kind| kind.starts_with("platform.")));
    if !named && said.is_none() {
        return None;
    }
    json(&any_value::as_text(log.body), said).map(Event::owned)
}

/// Reads the whole event, or, where an attribute has `said` what it is, its record alone.
fn json<'a>(text: &'a str, said: Option<&str>) -> Option<Event<'a>> {
    match (serde_json::from_str::<Json<'a>>(text), said) {
        (Ok(whole), _) => event(&whole.kind, whole.record),
        (Err(_), Some(kind)) => event(kind, serde_json::from_str(text).ok()?),
        (Err(_), None) => None,
    }
}

fn event<'a>(kind: &str, record: Record<'a>) -> Option<Event<'a>> {
    let known = matches!(kind, "platform.start" | "platform.runtimeDone" | "platform.report");
    if !known || record.request_id.is_empty() {
        return None;
    }
    let micros = |millis: f64| if (0.0..1e12).contains(&millis) { Some((millis * 1000.0) as u64) } else { None };
    let whole = |number: f64| if (0.0..1e15).contains(&number) { Some(number as u64) } else { None };
    Some(Event {
        invocation: record.request_id,
        report: kind == "platform.report",
        status: record.status,
        unsampled: record.tracing.is_some_and(|tracing| tracing.value.contains("Sampled=0")),
        duration_us: record.metrics.duration_ms.and_then(micros),
        init_us: record.metrics.init_duration_ms.and_then(micros),
        memory_mb: record.metrics.max_memory_used_mb.and_then(whole),
        answer_bytes: record.metrics.produced_bytes.and_then(whole),
    })
}

/// `REPORT RequestId: … Duration: 12.3 ms Billed Duration: … Max Memory Used: 74 MB Status: timeout`, `START` and
/// `RUNTIME_DONE`, with tabs or blanks between the parts.
fn plain(line: &str) -> Option<Event<'_>> {
    let known = ["REPORT", "START", "RUNTIME_DONE"];
    let (word, rest) = known.into_iter().find_map(|word| Some((word, line.strip_prefix(word)?)))?;
    let rest = rest.strip_prefix(" RequestId: ")?;
    let invocation = rest.split_ascii_whitespace().next()?;
    let after = |key: &str| {
        let found = rest.match_indices(key).map(|(at, _)| rest.split_at_checked(at)).find(|parts| {
            // "Billed Duration" and "Init Duration" are no "Duration".
            parts.is_some_and(|(before, _)| !before.ends_with("Billed ") && !before.ends_with("Init "))
        })??;
        found.1.strip_prefix(key)?.split_ascii_whitespace().next()
    };
    let number =
        |key: &str| after(key).and_then(|text| text.parse().ok()).filter(|number| (0.0..1e12).contains(number));
    let micros = |key: &str| number(key).map(|millis: f64| (millis * 1000.0) as u64);
    let whole = |key: &str| number(key).map(|number: f64| number as u64);
    let report = word == "REPORT";
    Some(Event {
        invocation: invocation.into(),
        report,
        status: after("Status: ").unwrap_or_default().into(),
        unsampled: after("Sampled: ") == Some("false"),
        duration_us: micros("Duration: ").filter(|_| report),
        init_us: micros("Init Duration: "),
        memory_mb: whole("Max Memory Used: "),
        answer_bytes: whole("ProducedBytes: "),
    })
}

impl Event<'_> {
    fn owned(self) -> Event<'static> {
        Event {
            invocation: self.invocation.into_owned().into(),
            status: self.status.into_owned().into(),
            report: self.report,
            unsampled: self.unsampled,
            duration_us: self.duration_us,
            init_us: self.init_us,
            memory_mb: self.memory_mb,
            answer_bytes: self.answer_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(body: &str) -> Option<Event<'_>> {
        let log = LogRecord { body: AnyValue::String(body.as_bytes()), ..LogRecord::default() };
        read(&log, &Facts::default())
    }

    #[test]
    fn events_are_read_in_every_form() {
        let report = Event {
            invocation: "79104EXAMPLEB723".into(),
            report: true,
            status: "success".into(),
            duration_us: Some(306_320),
            memory_mb: Some(70),
            ..Event::default()
        };
        let start = Event { invocation: "79104EXAMPLEB723".into(), ..Event::default() };
        let done = Event { answer_bytes: Some(754), status: "timeout".into(), ..start.clone() };
        #[rustfmt::skip]
        let table = [
            ("report", r#"{"time":"2026-11-23T14:02:09Z","type":"platform.report","record":{"requestId":"79104EXAMPLEB723","metrics":{"durationMs":306.32,"billedDurationMs":307,"memorySizeMB":128,"maxMemoryUsedMB":70},"status":"success"}}"#, Some(report.clone())),
            ("start", r#"{"type":"platform.start","record":{"requestId":"79104EXAMPLEB723","version":"$LATEST"}}"#, Some(start.clone())),
            ("unsampled", r#"{"type":"platform.start","record":{"requestId":"79104EXAMPLEB723","tracing":{"type":"X-Amzn-Trace-Id","value":"Root=1-62e;Parent=9;Sampled=0"}}}"#, Some(Event { unsampled: true, ..start.clone() })),
            ("done", r#"{"type":"platform.runtimeDone","record":{"requestId":"79104EXAMPLEB723","status":"timeout","metrics":{"producedBytes":754}}}"#, Some(done.clone())),
            ("line", "REPORT RequestId: 79104EXAMPLEB723\tDuration: 306.32 ms\tBilled Duration: 307 ms\tMemory Size: 128 MB\tMax Memory Used: 70 MB\tStatus: success\t\n", Some(report.clone())),
            ("blanks", "REPORT RequestId: 79104EXAMPLEB723 Duration: 306.32 ms Billed Duration: 307 ms Memory Size: 128 MB Max Memory Used: 70 MB Status: success", Some(report.clone())),
            ("init", "REPORT RequestId: r Duration: 2 ms Billed Duration: 3 ms Init Duration: 4.5 ms", Some(Event { invocation: "r".into(), report: true, duration_us: Some(2000), init_us: Some(4500), ..Event::default() })),
            ("done line", "RUNTIME_DONE RequestId: 79104EXAMPLEB723 Status: timeout Duration: 12.10 ms ProducedBytes: 754", Some(done.clone())),
            ("start line", "START RequestId: 79104EXAMPLEB723 Version: $LATEST", Some(start)),
            ("other event", r#"{"type":"platform.extension","record":{"name":"x"}}"#, None),
            ("no id", r#"{"type":"platform.report","record":{"metrics":{"durationMs":1}}}"#, None),
            ("absurd", r#"{"type":"platform.report","record":{"requestId":"r","metrics":{"durationMs":-1e300}}}"#, Some(Event { invocation: "r".into(), report: true, ..Event::default() })),
            ("a log line", r#"{"level":"info","message":"done"}"#, None),
            ("cut", r#"{"type":"platform.report","record":{"requestId":"#, None),
            ("other words", "REPORT RequestId of the day", None),
            ("empty", "", None),
        ];
        for (name, body, expected) in table {
            assert_eq!(of(body), expected, "{name}");
        }
    }

    #[test]
    fn a_record_alone_is_read_where_an_attribute_says_what_it_is() {
        let mut facts = Facts::default();
        facts.push(Name::EventType, AnyValue::String(b"platform.report"));
        let body = br#"{"requestId":"r","metrics":{"durationMs":2}}"#;
        let log = LogRecord { body: AnyValue::String(body), ..LogRecord::default() };
        let read = read(&log, &facts).unwrap();
        assert_eq!((&*read.invocation, read.report, read.duration_us), ("r", true, Some(2000)));
    }
}
