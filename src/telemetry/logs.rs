//! Structured logs: WARN means degraded and nothing lost, ERROR means data lost. And the traces, which come the same way.

use std::{
    fs::{File, OpenOptions},
    io::IsTerminal as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{FilterExt as _, Targets},
    fmt::{
        self,
        writer::{BoxMakeWriter, MakeWriterExt as _},
    },
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use super::{
    FLOW,
    push::{self, PushError, Pushed},
    recent::Recent,
    sampling::{LEFT_OUT, Sampled},
};
use crate::config::{Encoding, Telemetry};

/// Libraries that speak up only when something is wrong; their debug output is nobody's but their authors'.
const LIBRARIES: [&str; 7] = ["h2", "hyper", "hyper_util", "opentelemetry", "reqwest", "rustls", "tonic"];

/// Why logs cannot be written or sent as the configuration says.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A file of `output_paths`.
    #[error("service::telemetry::logs::output_paths: cannot append to {path}: {error}", path = path.display())]
    Output {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A destination.
    #[error(transparent)]
    Push(#[from] PushError),
}

/// What to end when the process does.
#[derive(Default)]
pub struct Started {
    pushed: Pushed,
}

impl Started {
    /// Sends what is left. Blocks, for seconds at most.
    pub fn stop(self) {
        self.pushed.stop();
    }
}

/// Starts logs and traces as `telemetry` says, with files from `base` on; to be called within a runtime if any are to be
/// sent. A second call in one process changes nothing.
pub fn start(telemetry: &Telemetry, base: &Path) -> Result<Started, LogError> {
    let logs = &telemetry.logs;
    let mut pushed = Pushed::default();
    let levels = || {
        let quiet = LIBRARIES.map(|library| format!("{library}=warn")).join(",");
        // Spans of the flow are for the traces alone.
        EnvFilter::new(format!("{},{quiet},{FLOW}=off", logs.level.name()))
    };
    let sampled = Sampled::new(logs.sampling.clone(), Some(&LEFT_OUT));
    let colours = logs.output_paths == [Path::new("stderr")] && std::io::stderr().is_terminal();
    let writer = writer(&logs.output_paths, base)?;
    let written: Box<dyn Layer<Registry> + Send + Sync> = match logs.encoding {
        Encoding::Json => fmt::layer().json().flatten_event(true).with_writer(writer).boxed(),
        Encoding::Console => fmt::layer().with_target(false).with_ansi(colours).with_writer(writer).boxed(),
    };
    let mut layers = vec![written.with_filter(levels().and(sampled)).boxed()];
    layers.push(Recent.with_filter(LevelFilter::WARN).boxed());

    if let Some(provider) = push::logs(telemetry, base)? {
        let ours = Targets::new().with_target("sekisho", LevelFilter::TRACE);
        let bridge = OpenTelemetryTracingBridge::new(&provider);
        let sampled = Sampled::new(logs.sampling.clone(), None);
        layers.push(bridge.with_filter(levels().and(ours).and(sampled)).boxed());
        pushed.logs = Some(provider);
    }
    if let Some(provider) = push::traces(telemetry, base)? {
        use opentelemetry::trace::TracerProvider as _;
        let flow = Targets::new().with_target(FLOW, LevelFilter::TRACE);
        let spans = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("sekisho"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_target(false);
        layers.push(spans.with_filter(flow).boxed());
        pushed.traces = Some(provider);
    }
    let _ = tracing_subscriber::registry().with(layers).try_init();
    Ok(Started { pushed })
}

fn writer(outputs: &[PathBuf], base: &Path) -> Result<BoxMakeWriter, LogError> {
    let mut all: Option<BoxMakeWriter> = None;
    for output in outputs {
        let one = match output.to_str() {
            Some("stderr") => BoxMakeWriter::new(std::io::stderr),
            Some("stdout") => BoxMakeWriter::new(std::io::stdout),
            _ => BoxMakeWriter::new(Arc::new(append(&base.join(output))?)),
        };
        all = Some(match all {
            Some(others) => BoxMakeWriter::new(others.and(one)),
            None => one,
        });
    }
    Ok(all.unwrap_or_else(|| BoxMakeWriter::new(std::io::sink)))
}

fn append(path: &Path) -> Result<File, LogError> {
    let opened = OpenOptions::new().append(true).create(true).open(path);
    opened.map_err(|error| LogError::Output { path: path.to_owned(), error })
}
