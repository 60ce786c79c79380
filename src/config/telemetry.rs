//! `service::telemetry`: how the process speaks of itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    check::{Check, Report},
    types::Endpoint,
};

/// The section.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Telemetry {
    /// Own logs, on standard error.
    pub logs: LogsTelemetry,
    /// Own metrics, in Prometheus form.
    pub metrics: MetricsTelemetry,
}

/// `service::telemetry::logs`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LogsTelemetry {
    /// The least severe to write.
    pub level: LogLevel,
    /// For people or for machines.
    pub encoding: Encoding,
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

/// `service::telemetry::metrics`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsTelemetry {
    /// How many metrics there are.
    pub level: MetricsLevel,
    /// Where they can be scraped.
    pub address: Endpoint,
    /// The Collector's newer way to say the same; one pull reader with a Prometheus exporter.
    pub readers: Option<Vec<Reader>>,
}

impl Default for MetricsTelemetry {
    fn default() -> Self {
        Self { level: MetricsLevel::default(), address: Endpoint::localhost(8888), readers: None }
    }
}

impl MetricsTelemetry {
    /// Where to listen; `None` when metrics are off.
    pub fn listen(&self) -> Option<Endpoint> {
        match (&self.readers, self.level) {
            (_, MetricsLevel::None) => None,
            (None, _) => Some(self.address.clone()),
            (Some(readers), _) => {
                let prometheus = &readers.first()?.pull.exporter.prometheus;
                Some(Endpoint { host: prometheus.host.clone(), port: prometheus.port })
            }
        }
    }
}

/// How much detail own metrics have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MetricsLevel {
    /// None at all; nothing listens.
    None,
    /// The essential ones.
    Basic,
    /// The usual ones.
    #[default]
    Normal,
    /// Also those that cost something.
    Detailed,
}

/// One of `readers`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Reader {
    /// The only kind there is.
    pub pull: Pull,
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

/// Where Prometheus scrapes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Prometheus {
    /// Address to listen on.
    pub host: String,
    /// Port to listen on.
    pub port: u16,
}

impl Default for Prometheus {
    fn default() -> Self {
        Self { host: "localhost".to_owned(), port: 8888 }
    }
}

impl Check for Telemetry {
    fn check(&self, report: &mut Report<'_>) {
        let readers = self.metrics.readers.as_deref().unwrap_or_default();
        if readers.len() > 1 {
            report.error("metrics.readers", format!("has {} readers; there can be one", readers.len()));
        }
        if report.is_set("metrics.readers") && report.is_set("metrics.address") {
            report.error("metrics.address", "is set as well as `readers`").hint("keep one of them");
        }
    }
}
