//! The currency: serialised OTLP export requests, read through views and edited in place, never decoded into objects.
//!
//! [`check`] walks a body once at the door; everything behind it may trust framing, depth and UTF-8.

pub mod any_value;
pub mod check;
pub mod compression;
pub mod edit;
pub mod json;
pub mod metrics;
pub mod partition;
pub mod points;
#[cfg(test)]
mod properties;
#[cfg(test)]
pub(crate) mod sample;
mod schema;
pub mod split;
pub mod time;
pub mod view;
pub mod wire;
pub mod write;

use bytes::Bytes;

/// Which of OTLP's three export services a [`Batch`] belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Signal {
    /// `ExportTraceServiceRequest`; items are spans.
    Traces,
    /// `ExportMetricsServiceRequest`; items are data points.
    Metrics,
    /// `ExportLogsServiceRequest`; items are log records.
    Logs,
}

impl Signal {
    /// Every signal, in the order pipelines are listed.
    pub const ALL: [Signal; 3] = [Signal::Traces, Signal::Metrics, Signal::Logs];

    /// The name used in pipeline ids: `traces`, `metrics`, `logs`.
    pub const fn name(self) -> &'static str {
        match self {
            Signal::Traces => "traces",
            Signal::Metrics => "metrics",
            Signal::Logs => "logs",
        }
    }

    /// What one item is called in metric names: `spans`, `metric_points`, `log_records`.
    pub const fn items_name(self) -> &'static str {
        match self {
            Signal::Traces => "spans",
            Signal::Metrics => "metric_points",
            Signal::Logs => "log_records",
        }
    }
}

/// One export request on its way through the gateway.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Which request type `body` is.
    pub signal: Signal,
    /// A serialised `Export{Trace,Metrics,Logs}ServiceRequest` that has passed the door's check.
    pub body: Bytes,
    /// Spans, data points or log records in `body`.
    pub items: usize,
}

/// Bytes in hexadecimal digits, as OTLP's JSON has ids.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
