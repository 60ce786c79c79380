//! `debug` exporter: telemetry in the gateway's own log.
//!
//! ```yaml
//! debug:
//!   verbosity: basic   # basic: a line a request; normal: a line a record; detailed: each request as OTLP JSON
//!   sampling_initial: 2       # requests written in each second …
//!   sampling_thereafter: 1    # … and then every n-th; 0: none
//! ```
//!
//! Nothing is queued and nothing can fail. What others wrote into the telemetry cannot break out of its line: control
//! characters are escaped.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{direct, hexadecimal};
use crate::{
    config::Check,
    otlp::{
        Signal, json,
        view::{self, AnyValue, LogRecord, Span},
    },
    pipeline::{
        Batch, Boxed, Consumer, Next, Outcome,
        component::{Context, ExporterConfig, StartError},
    },
};

/// The configuration.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How much is written.
    pub verbosity: Verbosity,
    /// Requests written in each second.
    pub sampling_initial: u32,
    /// And then every how many.
    pub sampling_thereafter: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { verbosity: Verbosity::Basic, sampling_initial: 2, sampling_thereafter: 1 }
    }
}

/// How much is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verbosity {
    /// A line a request.
    #[default]
    Basic,
    /// A line a record.
    Normal,
    /// Everything.
    Detailed,
}

impl Check for Config {}

impl ExporterConfig for Config {
    fn build(&self, context: &Context) -> Result<Next, StartError> {
        let write = Arc::new(Writer {
            verbosity: self.verbosity,
            sampling: Mutex::new(Sampling { config: self.clone(), second: Instant::now(), seen: 0 }),
            component: context.component.clone(),
        });
        Ok(direct(write, context))
    }
}

/// How many requests there were in this second.
struct Sampling {
    config: Config,
    second: Instant,
    seen: u32,
}

impl Sampling {
    fn is_written(&mut self, now: Instant) -> bool {
        if now.duration_since(self.second) >= Duration::from_secs(1) {
            (self.second, self.seen) = (now, 0);
        }
        self.seen = self.seen.saturating_add(1);
        match self.seen.checked_sub(self.config.sampling_initial) {
            None | Some(0) => true,
            Some(more) => self.config.sampling_thereafter > 0 && more.is_multiple_of(self.config.sampling_thereafter),
        }
    }
}

struct Writer {
    verbosity: Verbosity,
    sampling: Mutex<Sampling>,
    component: String,
}

impl Writer {
    fn write(&self, batch: &Batch) {
        let (component, signal) = (&self.component, batch.signal.name());
        tracing::info!(component, signal, items = batch.items, bytes = batch.body.len(), "request");
        match self.verbosity {
            Verbosity::Basic => {}
            Verbosity::Normal => {
                for line in lines(batch) {
                    tracing::info!(component, "{line}");
                }
            }
            Verbosity::Detailed => {
                let mut text = Vec::new();
                json::to_json(batch.signal, &batch.body, &mut text);
                tracing::info!(component, "{}", String::from_utf8_lossy(&text));
            }
        }
    }
}

impl Consumer for Writer {
    fn consume(&self, batch: Batch) -> Boxed<'_, Outcome> {
        let written = self.sampling.lock().unwrap_or_else(PoisonError::into_inner).is_written(Instant::now());
        if written {
            self.write(&batch);
        }
        Box::pin(std::future::ready(Outcome::Accepted))
    }
}

/// A line for each span, log record or metric.
fn lines(batch: &Batch) -> impl Iterator<Item = String> {
    let records = view::resources(&batch.body).flat_map(|group| group.scopes()).flat_map(|scope| scope.records());
    records.map(|record| {
        let mut attributes = String::new();
        let on_attribute = |key: &[u8], value: AnyValue<'_>| {
            attributes.extend([" ", &visible(key), "=", &shown(value)]);
        };
        let head = match batch.signal {
            Signal::Traces => {
                let span = Span::scan(record, on_attribute);
                let milliseconds = span.end.saturating_sub(span.start) as f64 / 1e6;
                format!("{} {} {milliseconds:.3}ms", visible(span.name), hexadecimal(span.trace_id))
            }
            Signal::Logs => {
                let log = LogRecord::scan(record, on_attribute);
                format!("{} {}", visible(log.severity_text), shown(log.body))
            }
            // A metric's name is its first field.
            Signal::Metrics => visible(view::messages(record, 1).last().unwrap_or_default()),
        };
        head + &attributes
    })
}

fn shown(value: AnyValue<'_>) -> String {
    match value {
        AnyValue::Empty => String::new(),
        AnyValue::String(text) => visible(text),
        AnyValue::Bool(value) => value.to_string(),
        AnyValue::Int(value) => value.to_string(),
        AnyValue::Double(value) => value.to_string(),
        AnyValue::Bytes(bytes) => hexadecimal(bytes),
        AnyValue::Array(_) => {
            let elements: Vec<String> = value.elements().map(shown).collect();
            format!("[{}]", elements.join(","))
        }
        AnyValue::KvList(_) => {
            let pair = |(key, value)| format!("{}:{}", visible(key), shown(value));
            let pairs: Vec<String> = value.entries().map(pair).collect();
            format!("{{{}}}", pairs.join(","))
        }
    }
}

/// Text without line breaks and what terminals obey.
fn visible(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for c in String::from_utf8_lossy(text).chars() {
        if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use opentelemetry_proto::tonic::common::v1::any_value::Value;

    use super::*;
    use crate::otlp::sample;

    #[test]
    fn nothing_breaks_out_of_its_line() {
        let mut request = sample::logs(1);
        let record = &mut request.resource_logs[0].scope_logs[0].log_records[0];
        record.body = sample::value(Value::StringValue("fine\n2026 ERROR forged \u{1b}[2J".into()));
        record.attributes = vec![sample::pair("a\rb", Value::StringValue("größe\u{9b}".into()))];
        let batch = Batch { signal: Signal::Logs, body: request.encode_to_vec().into(), items: 1 };
        let line = lines(&batch).next().unwrap();
        assert_eq!(line, "ERROR fine\\n2026 ERROR forged \\u{1b}[2J a\\rb=größe\\u{9b}");
    }

    #[test]
    fn each_second_the_first_and_then_some_are_written() {
        let table =
            [(2, 1, "11111111"), (2, 3, "11001001"), (2, 0, "11000000"), (0, 2, "01010101"), (0, 0, "00000000")];
        for (sampling_initial, sampling_thereafter, expected) in table {
            let begun = Instant::now();
            let config = Config { sampling_initial, sampling_thereafter, ..Config::default() };
            let mut sampling = Sampling { config, second: begun, seen: 0 };
            for second in [0, 1, 5] {
                let now = begun + Duration::from_secs(second);
                let written: String = (0..8).map(|_| if sampling.is_written(now) { '1' } else { '0' }).collect();
                assert_eq!(written, expected, "{sampling_initial} {sampling_thereafter}");
            }
        }
    }

    #[test]
    fn each_record_is_one_line_with_its_attributes() {
        let batch = |signal, body: Vec<u8>| Batch { signal, body: body.into(), items: 1 };
        let table = [
            (
                Signal::Traces,
                sample::traces(1).encode_to_vec(),
                "span 0 00000000000000000000000000000001 0.000ms text=",
            ),
            (Signal::Logs, sample::logs(1).encode_to_vec(), "ERROR line 0 text=größe 0 flag=true count=-1"),
            (Signal::Metrics, sample::metrics(1).encode_to_vec(), "gauge"),
        ];
        for (signal, body, start) in table {
            let batch = batch(signal, body);
            let first = lines(&batch).next().unwrap();
            assert!(first.starts_with(start), "{first}");
        }
    }
}
