//! `service::telemetry`: how the process speaks of itself, in the Collector's form.
//!
//! ```yaml
//! telemetry:
//!   resource: { deployment.environment.name: production, service.name: edge }   # null takes a default away
//!   logs:
//!     level: info
//!     encoding: console
//!     output_paths: [stderr]
//!     sampling: { enabled: true, tick: 10s, initial: 10, thereafter: 100 }
//!     processors: [{ batch: { exporter: { otlp: { protocol: grpc, endpoint: "http://tempo:4317" } } } }]
//!   metrics:
//!     level: normal
//!     readers:
//!       - pull: { exporter: { prometheus: { host: localhost, port: 8888 } } }
//!       - periodic: { interval: 60000, exporter: { otlp: { protocol: http/protobuf, endpoint: "http://mimir:4318" } } }
//!   traces:
//!     sampler: { trace_id_ratio_based: { ratio: 0.1 } }
//!     processors: [{ batch: { exporter: { otlp: { protocol: grpc, endpoint: "http://tempo:4317" } } } }]
//! ```

mod push;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    check::{Check, Report},
    types::Endpoint,
};

pub use push::{Compression, Headers, Millis, Otlp, Periodic, Processor, Protocol, Temporality};

/// The section.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Telemetry {
    /// Who this is; `null` takes away one of the defaults `service.name` and `service.version`.
    pub resource: BTreeMap<String, Option<String>>,
    /// Own logs.
    pub logs: LogsTelemetry,
    /// Own metrics.
    pub metrics: MetricsTelemetry,
    /// Own traces.
    pub traces: TracesTelemetry,
}

impl Telemetry {
    /// The attributes of the process's resource.
    pub fn resource(&self) -> BTreeMap<String, String> {
        let defaults = [("service.name", env!("CARGO_PKG_NAME")), ("service.version", env!("CARGO_PKG_VERSION"))];
        let mut all: BTreeMap<String, String> =
            defaults.map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter().collect();
        for (key, value) in &self.resource {
            match value {
                Some(value) => all.insert(key.clone(), value.clone()),
                None => all.remove(key),
            };
        }
        all
    }
}

/// `service::telemetry::logs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LogsTelemetry {
    /// The least severe to write.
    pub level: LogLevel,
    /// For people or for machines.
    pub encoding: Encoding,
    /// `stderr`, `stdout` and files, which are appended to.
    pub output_paths: Vec<PathBuf>,
    /// What is written of messages that repeat.
    pub sampling: Sampling,
    /// Where they are also sent, level and sampling permitting.
    pub processors: Vec<Processor>,
}

impl Default for LogsTelemetry {
    fn default() -> Self {
        Self {
            level: LogLevel::default(),
            encoding: Encoding::default(),
            output_paths: vec![PathBuf::from("stderr")],
            sampling: Sampling::default(),
            processors: Vec::new(),
        }
    }
}

/// `sampling` of the logs: in each `tick`, of the same message at the same level, the first `initial` are written, and
/// then every `thereafter`th. Errors are always written: they count what was lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Sampling {
    /// Otherwise all are written.
    pub enabled: bool,
    /// After which counting begins anew.
    #[serde(with = "super::DurationText")]
    pub tick: Duration,
    /// So many are written first.
    pub initial: u64,
    /// Of the rest, one in so many; 0 for none.
    pub thereafter: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { enabled: true, tick: Duration::from_secs(10), initial: 10, thereafter: 100 }
    }
}

/// A log level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Everything.
    Debug,
    /// What an operator wants to know.
    #[default]
    Info,
    /// Degraded, nothing lost.
    Warn,
    /// Data lost.
    Error,
}

impl LogLevel {
    /// As `tracing` filters spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// For people.
    #[default]
    Console,
    /// One JSON object a line.
    Json,
}

/// `service::telemetry::traces`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TracesTelemetry {
    /// `none` switches them off, whatever the processors.
    pub level: MetricsLevel,
    /// Which are kept.
    pub sampler: Sampler,
    /// Where they are sent; nothing is traced without one.
    pub processors: Vec<Processor>,
}

/// Which of the process's own traces are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Sampler {
    /// All.
    #[default]
    AlwaysOn,
    /// None.
    AlwaysOff,
    /// A share, chosen by the trace's id.
    TraceIdRatioBased {
        /// Between 0 and 1.
        ratio: f64,
    },
}

/// `service::telemetry::metrics`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsTelemetry {
    /// How many metrics there are.
    pub level: MetricsLevel,
    /// Where they can be scraped.
    pub address: Endpoint,
    /// The Collector's newer way to say the same, which can also push.
    pub readers: Option<Vec<Reader>>,
}

impl Default for MetricsTelemetry {
    fn default() -> Self {
        Self { level: MetricsLevel::default(), address: Endpoint::localhost(8888), readers: None }
    }
}

impl MetricsTelemetry {
    /// Where they can be scraped, and in which form.
    pub fn pulls(&self) -> Vec<Prometheus> {
        match (&self.readers, self.level) {
            (_, MetricsLevel::None) => Vec::new(),
            (None, _) => {
                vec![Prometheus { host: self.address.host.clone(), port: self.address.port, ..Prometheus::default() }]
            }
            (Some(readers), _) => {
                readers.iter().filter_map(|reader| Some(reader.pull.as_ref()?.exporter.prometheus.clone())).collect()
            }
        }
    }

    /// Where they are pushed.
    pub fn pushes(&self) -> Vec<&Periodic> {
        let readers = self.readers.iter().flatten().filter(|_| self.level != MetricsLevel::None);
        readers.filter_map(|reader| reader.periodic.as_ref()).collect()
    }
}

/// How much detail own metrics have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MetricsLevel {
    /// None at all; nothing listens.
    None,
    /// What came in, what went out, what the process costs.
    Basic,
    /// Also what happens in between.
    #[default]
    Normal,
    /// Also what few people ask for.
    Detailed,
}

/// One of `readers`: one of the two.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Reader {
    /// Waits to be scraped.
    pub pull: Option<Pull>,
    /// Sends.
    pub periodic: Option<Periodic>,
}

/// `pull` of a reader.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Pull {
    /// What is pulled from.
    pub exporter: PullExporter,
}

/// `exporter` of a pull reader.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PullExporter {
    /// The only kind there is.
    pub prometheus: Prometheus,
}

/// Where Prometheus scrapes, and what it finds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Prometheus {
    /// Address to listen on.
    pub host: String,
    /// Port to listen on.
    pub port: u16,
    /// Counters do not end in `_total`. In the Collector this is so by default on 8888 but not on a reader that somebody
    /// writes down, which is how dashboards break; here it is always so by default.
    pub without_type_suffix: bool,
    /// Names do not end in their unit; they never do.
    pub without_units: bool,
    /// No labels of an instrumentation scope; there never are any.
    pub without_scope_info: bool,
}

impl Default for Prometheus {
    fn default() -> Self {
        Self {
            host: "localhost".to_owned(),
            port: 8888,
            without_type_suffix: true,
            without_units: true,
            without_scope_info: true,
        }
    }
}

impl Check for Telemetry {
    fn check(&self, report: &mut Report<'_>) {
        report.within("logs", &self.logs);
        report.within("metrics", &self.metrics);
        report.within("traces", &self.traces);
    }
}

impl Check for LogsTelemetry {
    fn check(&self, report: &mut Report<'_>) {
        if self.output_paths.is_empty() {
            report.error("output_paths", "is empty").hint("such as [stderr]");
        }
        if self.sampling.tick.is_zero() {
            report.error("sampling.tick", "must be more than 0").hint("`enabled: false` writes everything");
        }
        push::check_processors(&self.processors, report);
    }
}

impl Check for TracesTelemetry {
    fn check(&self, report: &mut Report<'_>) {
        if let Sampler::TraceIdRatioBased { ratio } = self.sampler
            && !(0.0..=1.0).contains(&ratio)
        {
            report.error("sampler.trace_id_ratio_based.ratio", "must be between 0 and 1");
        }
        push::check_processors(&self.processors, report);
    }
}

impl Check for MetricsTelemetry {
    fn check(&self, report: &mut Report<'_>) {
        if report.is_set("readers") && report.is_set("address") {
            report.error("address", "is set as well as `readers`").hint("keep one of them");
        }
        for (number, reader) in self.readers.iter().flatten().enumerate() {
            let path = format!("readers.{number}");
            match (&reader.pull, &reader.periodic) {
                (Some(pull), None) => {
                    pull.exporter.prometheus.check(&format!("{path}.pull.exporter.prometheus"), report);
                }
                (None, Some(periodic)) => periodic.check(&format!("{path}.periodic"), report),
                _ => {
                    report.error(&path, "must have one of `pull` and `periodic`");
                }
            }
        }
    }
}

impl Prometheus {
    fn check(&self, path: &str, report: &mut Report<'_>) {
        for (key, value) in [("without_units", self.without_units), ("without_scope_info", self.without_scope_info)] {
            if !value {
                report
                    .error(&format!("{path}.{key}"), "cannot be false: there is none")
                    .hint(format!("leave out `{key}`"));
            }
        }
    }
}

#[cfg(test)]
mod tests;
