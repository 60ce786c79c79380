//! `debug` exporter: telemetry in the gateway's own log.
//!
//! ```yaml
//! debug:
//!   verbosity: basic   # basic: a line a request; normal: a line a record; detailed: each request as OTLP JSON
//! ```
//!
//! Nothing is queued and nothing can fail.

use std::{fmt::Write as _, sync::Arc};

use serde::Deserialize;

use super::{counted, hexadecimal};
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
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How much is written.
    pub verbosity: Verbosity,
}

/// How much is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
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
        let write = Arc::new(Writer { verbosity: self.verbosity, component: context.component.clone() });
        Ok(counted(write, context))
    }
}

struct Writer {
    verbosity: Verbosity,
    component: String,
}

impl Consumer for Writer {
    fn consume(&self, batch: Batch) -> Boxed<'_, Outcome> {
        let (component, signal) = (&self.component, batch.signal.name());
        tracing::info!(component, signal, items = batch.items, bytes = batch.body.len(), "request");
        match self.verbosity {
            Verbosity::Basic => {}
            Verbosity::Normal => {
                for line in lines(&batch) {
                    tracing::info!(component, "{line}");
                }
            }
            Verbosity::Detailed => {
                let mut text = Vec::new();
                json::to_json(batch.signal, &batch.body, &mut text);
                tracing::info!(component, "{}", String::from_utf8_lossy(&text));
            }
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
            let _ = write!(attributes, " {}={}", String::from_utf8_lossy(key), shown(value));
        };
        let head = match batch.signal {
            Signal::Traces => {
                let span = Span::scan(record, on_attribute);
                let milliseconds = span.end.saturating_sub(span.start) as f64 / 1e6;
                format!("{} {} {milliseconds:.3}ms", String::from_utf8_lossy(span.name), hexadecimal(span.trace_id))
            }
            Signal::Logs => {
                let log = LogRecord::scan(record, on_attribute);
                format!("{} {}", String::from_utf8_lossy(log.severity_text), shown(log.body))
            }
            // A metric's name is its first field.
            Signal::Metrics => {
                let name = view::messages(record, 1).last().unwrap_or_default();
                String::from_utf8_lossy(name).into_owned()
            }
        };
        head + &attributes
    })
}

fn shown(value: AnyValue<'_>) -> String {
    match value {
        AnyValue::Empty => String::new(),
        AnyValue::String(text) => String::from_utf8_lossy(text).into_owned(),
        AnyValue::Bool(value) => value.to_string(),
        AnyValue::Int(value) => value.to_string(),
        AnyValue::Double(value) => value.to_string(),
        AnyValue::Bytes(bytes) => hexadecimal(bytes),
        AnyValue::Array(_) => {
            let elements: Vec<String> = value.elements().map(shown).collect();
            format!("[{}]", elements.join(","))
        }
        AnyValue::KvList(_) => {
            let pair = |(key, value)| format!("{}:{}", String::from_utf8_lossy(key), shown(value));
            let pairs: Vec<String> = value.entries().map(pair).collect();
            format!("{{{}}}", pairs.join(","))
        }
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::otlp::sample;

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
