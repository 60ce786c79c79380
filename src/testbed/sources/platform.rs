//! What the platform says of each invocation: the Lambda Telemetry API's `platform.*` events, as the collector's
//! receiver for it turns them into log records. Never sampled; no destinations, no calls.

use std::fmt::Write as _;

use super::{super::benign::SECOND, super::forwarder::Place, spans::Handler};
use crate::{
    detect::observation::Nanos,
    otlp::{
        wire::put_bytes,
        write::{
            field::{ITEMS, LOG_ATTRIBUTES},
            fixed64, nested, text, varint_field,
        },
    },
};

/// The receiver's scope.
pub const SCOPE: &str = "github.com/open-telemetry/opentelemetry-lambda/collector/receiver/telemetryapi";

/// What the platform knows of one invocation.
#[derive(Clone, Copy, Debug)]
pub struct Invoked {
    /// When the platform began it; before that, the instance was initialised.
    pub began: Nanos,
    /// How long the instance took to initialise, where it was new.
    pub init: Option<Nanos>,
    /// How long extensions and what was left running went on after the answer.
    pub after: Nanos,
    /// Peak memory, MB.
    pub memory_used: u64,
    /// Memory it may use, MB.
    pub memory_size: u64,
    /// Its version.
    pub version: u32,
}

impl Invoked {
    /// Wall time of the handler.
    pub const fn duration(&self, handler: &Handler) -> Nanos {
        handler.end - handler.start
    }
}

/// Writes the three records of an invocation, and the one of its initialisation.
pub fn put(place: &mut Place<'_>, of: &Invoked, handler: &Handler) {
    let id = handler.invocation.as_str();
    let milliseconds = |nanos: Nanos| nanos as f64 / 1e6;
    let duration = milliseconds(of.duration(handler) + of.after);
    let end = handler.end + of.after;
    if let Some(init) = of.init {
        let body = format!("initReport durationMs: {:.2} phase: init type: on-demand", milliseconds(init));
        record(place, handler.start, "platform.initReport", "", &body);
    }
    let body = format!("START RequestId: {id} Version: {}", of.version);
    record(place, of.began, "platform.start", id, &body);
    let status = if handler.failure.is_some() { "error" } else { "success" };
    let answered = milliseconds(of.duration(handler));
    let body = format!(
        "RUNTIME_DONE RequestId: {id} Status: {status} Duration: {answered:.2} ms ProducedBytes: {}",
        handler.answer
    );
    record(place, handler.end, "platform.runtimeDone", id, &body);
    let mut body = format!(
        "REPORT RequestId: {id} Duration: {duration:.2} ms Billed Duration: {:.0} ms Memory Size: {} MB Max Memory Used: {} MB",
        duration.ceil(),
        of.memory_size,
        of.memory_used
    );
    if let Some(init) = of.init {
        let _ = write!(body, " Init Duration: {:.2} ms", milliseconds(init));
    }
    record(place, end, "platform.report", id, &body);
}

/// How long the extension gathers before it sends.
pub const DELAY: Nanos = SECOND;

fn record(place: &mut Place<'_>, at: Nanos, kind: &str, invocation: &str, body: &str) {
    place.put(SCOPE, |out| {
        nested(out, ITEMS, 2, |out| {
            fixed64(out, 1, at);
            varint_field(out, 2, 9);
            put_bytes(out, 3, b"INFO");
            nested(out, 5, 1, |out| put_bytes(out, 1, body.as_bytes()));
            text(out, LOG_ATTRIBUTES, "type", kind);
            if !invocation.is_empty() {
                text(out, LOG_ATTRIBUTES, "faas.invocation_id", invocation);
            }
            fixed64(out, 11, at + 30_000_000);
        });
    });
}
