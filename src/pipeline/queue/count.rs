//! What did not arrive, and the Collector's names for it.

use crate::{
    otlp::Signal,
    pipeline::{Outcome, component::Context},
    telemetry::Counter,
};

/// How many of a batch's items did not arrive, and why.
pub fn loss(outcome: &Outcome, items: usize) -> Option<(u64, &str)> {
    let items = items as u64;
    match outcome {
        Outcome::Accepted => None,
        // The count is the destination's word.
        Outcome::Partial { rejected, message } => Some(((*rejected).min(items), message)),
        Outcome::Permanent { reason } | Outcome::Retryable { reason, .. } => Some((items, reason)),
        Outcome::Overloaded { .. } => Some((items, "the destination stayed overloaded")),
    }
}

/// A counter for each signal.
pub fn counters(name: fn(Signal) -> &'static str, help: &'static str, context: &Context) -> [Counter; 3] {
    Signal::ALL.map(|signal| context.metrics.counter(name(signal), help, &[("exporter", context.id.as_str())]))
}

/// Adds to the one of `signal`.
pub fn count(counters: &[Counter; 3], signal: Signal, items: u64) {
    if let Some(counter) = counters.get(signal as usize) {
        counter.add(items);
    }
}

/// Items that found no room.
pub const fn enqueue_failed(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "otelcol_exporter_enqueue_failed_spans",
        Signal::Metrics => "otelcol_exporter_enqueue_failed_metric_points",
        Signal::Logs => "otelcol_exporter_enqueue_failed_log_records",
    }
}

/// Items that did not arrive.
pub const fn send_failed(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "otelcol_exporter_send_failed_spans",
        Signal::Metrics => "otelcol_exporter_send_failed_metric_points",
        Signal::Logs => "otelcol_exporter_send_failed_log_records",
    }
}
