//! `debug` exporter: telemetry in the gateway's own log.
//!
//! ```yaml
//! debug:
//!   verbosity: basic   # basic: a line a request; normal: a line a record; detailed: each request as OTLP JSON
//!   sampling_initial: 2       # requests written in each second …
//!   sampling_thereafter: 1    # … and then every n-th; 0: none
//!   use_internal_logger: true # false: as bare lines to output_paths, by default [stdout]; or stderr, or files
//! ```
//!
//! Nothing is queued. A line that cannot be written is gone, and the log says so once. What others wrote into the telemetry cannot break out of its line: control
//! characters are escaped.

use std::{
    fmt,
    fs::File,
    io::{self, Write},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::direct;
use crate::{
    config::{Check, Report},
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
    /// Whether it goes into the gateway's own log.
    pub use_internal_logger: bool,
    /// If not: `stdout`, `stderr` or files, which are appended to; `stdout` unless set.
    pub output_paths: Option<Vec<String>>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            verbosity: Verbosity::Basic,
            sampling_initial: 2,
            sampling_thereafter: 1,
            use_internal_logger: true,
            output_paths: None,
        }
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

impl Check for Config {
    fn check(&self, report: &mut Report<'_>) {
        match &self.output_paths {
            Some(_) if self.use_internal_logger => {
                report.error("output_paths", "is set, but the log is written").hint("use_internal_logger: false");
            }
            Some(paths) if paths.is_empty() => {
                report.error("output_paths", "is empty").hint("leave it out for stdout");
            }
            Some(_) | None => {}
        }
    }
}

impl Config {
    fn sink(&self, base: &Path) -> Result<Sink, String> {
        if self.use_internal_logger {
            return Ok(Sink::Log);
        }
        let stdout = [String::from("stdout")];
        let paths = self.output_paths.as_deref().unwrap_or(&stdout);
        let outputs = paths.iter().map(|path| output(path, base)).collect::<Result<_, _>>()?;
        Ok(Sink::Outputs { outputs: Mutex::new(outputs), failed: AtomicBool::new(false) })
    }
}

fn output(path: &str, base: &Path) -> Result<Box<dyn Write + Send>, String> {
    Ok(match path {
        "stdout" => Box::new(io::stdout()),
        "stderr" => Box::new(io::stderr()),
        path => {
            let path = base.join(path);
            let file = File::options().create(true).append(true).open(&path);
            Box::new(file.map_err(|error| format!("cannot write {}: {error}", path.display()))?)
        }
    })
}

impl ExporterConfig for Config {
    fn build(&self, context: &Context) -> Result<Next, StartError> {
        let write = Arc::new(Writer {
            sink: self.sink(&context.base).map_err(|reason| context.error(reason))?,
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

/// Where lines go.
enum Sink {
    Log,
    Outputs { outputs: Mutex<Vec<Box<dyn Write + Send>>>, failed: AtomicBool },
}

struct Writer {
    sink: Sink,
    verbosity: Verbosity,
    sampling: Mutex<Sampling>,
    component: String,
}

impl Writer {
    fn write(&self, batch: &Batch) {
        let (component, signal) = (&self.component, batch.signal.name());
        let (items, bytes) = (batch.items, batch.body.len());
        match self.sink {
            Sink::Log => tracing::info!(component, signal, items, bytes, "request"),
            Sink::Outputs { .. } => self.line(format_args!("{component} {signal} items={items} bytes={bytes}")),
        }
        match self.verbosity {
            Verbosity::Basic => {}
            Verbosity::Normal => lines(batch).for_each(|line| self.line(format_args!("{line}"))),
            Verbosity::Detailed => {
                let mut text = Vec::new();
                json::to_json(batch.signal, &batch.body, &mut text);
                self.line(format_args!("{}", String::from_utf8_lossy(&text)));
            }
        }
    }

    fn line(&self, line: fmt::Arguments<'_>) {
        let component = &self.component;
        match &self.sink {
            Sink::Log => tracing::info!(component, "{line}"),
            Sink::Outputs { outputs, failed } => {
                for output in outputs.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
                    if let Err(error) = writeln!(output, "{line}")
                        && !failed.swap(true, Ordering::Relaxed)
                    {
                        tracing::warn!(component, %error, "an output cannot be written");
                    }
                }
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
                format!("{} {} {milliseconds:.3}ms", visible(span.name), crate::otlp::hex(span.trace_id))
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
        AnyValue::Bytes(bytes) => crate::otlp::hex(bytes),
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
    use bytes::Bytes;
    use prost::Message as _;

    use opentelemetry_proto::tonic::common::v1::any_value::Value;

    use super::*;
    use crate::{config::Kind, otlp::sample, pipeline::probe};

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

    #[tokio::test]
    async fn lines_go_to_every_output() {
        let directory = tempfile::tempdir().unwrap();
        let output_paths = Some(vec!["one".to_owned(), "two".to_owned()]);
        let config =
            Config { verbosity: Verbosity::Normal, use_internal_logger: false, output_paths, ..Config::default() };
        let body = sample::logs(2).encode_to_vec().into();
        for _ in 0..2 {
            let exporter = config.build(&probe::context("debug", directory.path())).unwrap();
            let batch = Batch { signal: Signal::Logs, body: Bytes::clone(&body), items: 2 };
            assert_eq!(exporter.consume(batch).await, Outcome::Accepted);
        }
        let text = std::fs::read_to_string(directory.path().join("one")).unwrap();
        let starts: Vec<&str> = text.lines().map(|line| line.split(" text=").next().unwrap()).collect();
        let request = format!("component debug logs items=2 bytes={}", body.len());
        assert_eq!(starts, [&request, "ERROR line 0", "ERROR line 1"].repeat(2));
        assert_eq!(std::fs::read_to_string(directory.path().join("two")).unwrap(), text);
    }

    #[test]
    fn outputs_and_the_log_exclude_each_other() {
        for (yaml, expected) in [
            ("output_paths: [stderr]", "the log is written"),
            ("output_paths: []\nuse_internal_logger: false", "is empty"),
        ] {
            let (_, said) = probe::config::<Config>(Kind::Exporter, yaml);
            assert!(said.contains("output_paths") && said.contains(expected), "{yaml}: {said}");
        }
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
