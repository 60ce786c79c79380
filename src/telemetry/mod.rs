//! The gateway's own metrics, logs and traces. Stands on the configuration alone, so that everything may use it.
//!
//! Metrics are scraped, and all three are pushed over OTLP where `service::telemetry` says so, by the OpenTelemetry SDK
//! on threads of its own. What those threads do is not traced, and what the SDK and the libraries below it log goes to
//! the outputs only: telemetry about sending telemetry would never end.

mod logs;
pub mod memory;
mod metrics;
mod process;
mod push;
mod recent;
mod sampling;

pub use logs::{LogError, Started, start as start_logs};
pub use metrics::{BYTES, Counter, Detail, Form, Gauge, Histogram, ITEMS, Metrics, SECONDS};
pub use process::measure as measure_process;
pub use push::{PushError, PushedMetrics};
pub use recent::{Said, recent};

/// The target of spans about the flow of batches. Nothing but an own-traces processor looks at them.
pub const FLOW: &str = "sekisho::flow";
