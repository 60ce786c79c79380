//! Refuses batches, retryably, while the process uses too much memory.
//!
//! ```yaml
//! memory_limiter:
//!   check_interval: 1s
//!   limit_percentage: 75          # or limit_mib: 512
//!   spike_limit_percentage: 20    # or spike_limit_mib: 100; 20 % of the limit if unset
//! ```
//!
//! The soft limit is the limit minus the spike limit; above it every batch is answered [`Outcome::Overloaded`] and
//! nothing is lost, as receivers pass that on to the sender. Percentages are of what the process may have: the
//! machine's memory, or its control group's limit if that is less. The resident size is read when a batch comes and the
//! last reading is older than `check_interval`, or so much has come since that it might say something else now: without
//! batches there is nothing to refuse. While it refuses it looks again after some milliseconds, whatever the interval, and
//! senders are asked to come back after `check_interval`.
//!
//! Where it comes first in a pipeline, as it should, receivers ask how much is left before they read a body, and refuse what
//! would only be refused here.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::Instant;

use crate::{
    config::{Check, Report},
    otlp::Signal,
    pipeline::{
        Batch, Boxed, Consumer, Headroom, Next, Outcome,
        component::{Context, ProcessorConfig, StartError},
    },
    telemetry::{
        Counter,
        memory::{available_bytes, give_back_freed, resident_bytes},
    },
};

const MIB: u64 = 1 << 20;
/// While memory is short, and for receivers, a reading is no older than this.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// Receivers are to stay below the soft limit by this part of the spike limit: what they let in should not be refused here.
const MARGIN: u64 = 2;
/// Of what is left up to the soft limit, this part may come before another reading: other pipelines take theirs, and a batch
/// may be held in more than one form.
const SHARE: u64 = 8;

/// The configuration; the keys are the Collector's.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How old a reading may be.
    #[serde(with = "crate::config::DurationText")]
    pub check_interval: Duration,
    /// Most memory the process should use; wins over `limit_percentage`.
    pub limit_mib: Option<u64>,
    /// The same, of what the process may have.
    pub limit_percentage: Option<u64>,
    /// How much can come in between two readings; goes with `limit_mib`.
    pub spike_limit_mib: Option<u64>,
    /// The same, of what the process may have; goes with `limit_percentage`.
    pub spike_limit_percentage: Option<u64>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            // The Collector has 0 here and refuses to start with it; a second is what it advises.
            check_interval: Duration::from_secs(1),
            limit_mib: None,
            limit_percentage: None,
            spike_limit_mib: None,
            spike_limit_percentage: None,
        }
    }
}

impl Check for Config {
    fn check(&self, report: &mut Report<'_>) {
        if self.check_interval.is_zero() {
            report.error("check_interval", "must be more than 0").hint("1s suits most");
        }
        for (key, value) in
            [("limit_percentage", self.limit_percentage), ("spike_limit_percentage", self.spike_limit_percentage)]
        {
            if value.is_some_and(|percent| percent == 0 || percent > 100) {
                report.error(key, "must be between 1 and 100");
            }
        }
        let (limit, spike, unit, spike_key) = match (self.limit_mib, self.limit_percentage) {
            (Some(limit), _) => (limit, self.spike_limit_mib, "limit_mib", "spike_limit_mib"),
            (None, Some(limit)) => (limit, self.spike_limit_percentage, "limit_percentage", "spike_limit_percentage"),
            (None, None) => {
                report.error("", "needs limit_mib or limit_percentage").hint("such as limit_percentage: 75");
                return;
            }
        };
        if limit == 0 {
            report.error(unit, "must be more than 0");
        } else if spike.is_some_and(|spike| spike >= limit) {
            report.error(spike_key, format!("must be less than {unit}"));
        }
        if self.limit_mib.is_some() && self.limit_percentage.is_some() {
            report.error("limit_percentage", "has no effect beside limit_mib; leave one of them out");
        }
        let other = if unit == "limit_mib" { "spike_limit_percentage" } else { "spike_limit_mib" };
        if report.is_set(other) {
            report.error(other, format!("does not go with {unit}")).hint(format!("use {spike_key}"));
        }
    }
}

impl Config {
    /// Bytes above which batches are refused, and how many more there may be for a while, if the process may have `total`.
    fn limits(&self, total: u64) -> Limits {
        let (limit, spike) = match (self.limit_mib, self.limit_percentage) {
            (Some(mib), _) => (mib.saturating_mul(MIB), self.spike_limit_mib.map(|mib| mib.saturating_mul(MIB))),
            (None, percent) => {
                let of_total = |percent: u64| (u128::from(total) * u128::from(percent) / 100) as u64;
                (of_total(percent.unwrap_or(100)), self.spike_limit_percentage.map(of_total))
            }
        };
        let spike = spike.unwrap_or(limit / 5);
        Limits { soft: limit.saturating_sub(spike), spike }
    }
}

/// Bytes.
struct Limits {
    soft: u64,
    spike: u64,
}

impl ProcessorConfig for Config {
    fn build(&self, signal: Signal, next: Next, context: &Context) -> Result<Next, StartError> {
        let unknown = |what| context.error(format!("cannot tell {what}: it is read from /proc, which only Linux has"));
        resident_bytes().ok_or_else(|| unknown("how much memory the process uses"))?;
        let total = match self.limit_mib {
            Some(_) => 0,
            None => available_bytes().ok_or_else(|| unknown("how much memory the process may use"))?,
        };
        Ok(std::sync::Arc::new(Limiter::new(self, total, resident_bytes, signal, next, context)))
    }
}

/// What the last reading said.
struct Reading {
    at: Option<Instant>,
    resident: u64,
    /// Bytes that may come before another reading.
    room: u64,
    /// What was said of it in the log, and when that may change.
    told_above: bool,
    next_telling: Option<Instant>,
}

struct Limiter {
    soft_limit: u64,
    /// What receivers are to stay below.
    aim: u64,
    check_interval: Duration,
    read: fn() -> Option<u64>,
    reading: Mutex<Reading>,
    accepted: Counter,
    refused: Counter,
    component: String,
    next: Next,
}

impl Limiter {
    fn new(
        config: &Config,
        total: u64,
        read: fn() -> Option<u64>,
        signal: Signal,
        next: Next,
        context: &Context,
    ) -> Self {
        let (accepted, refused) = match signal {
            Signal::Traces => ("otelcol_processor_accepted_spans", "otelcol_processor_refused_spans"),
            Signal::Metrics => ("otelcol_processor_accepted_metric_points", "otelcol_processor_refused_metric_points"),
            Signal::Logs => ("otelcol_processor_accepted_log_records", "otelcol_processor_refused_log_records"),
        };
        let labels = [("processor", context.id.as_str())];
        let Limits { soft, spike } = config.limits(total);
        Self {
            soft_limit: soft,
            aim: soft.saturating_sub(spike / MARGIN),
            check_interval: config.check_interval,
            read,
            reading: Mutex::new(Reading { at: None, resident: 0, room: 0, told_above: false, next_telling: None }),
            accepted: context.metrics.counter(accepted, "Items let through.", &labels),
            refused: context.metrics.counter(refused, "Items refused because memory is short.", &labels),
            component: context.component.clone(),
            next,
        }
    }

    /// Whether the process is above its soft limit with `bytes` more, by a reading no older than the interval.
    fn above(&self, bytes: u64) -> bool {
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = if reading.resident > self.soft_limit { LOOK_AGAIN } else { self.check_interval };
        self.look(&mut reading, oldest, bytes);
        reading.resident > self.soft_limit
    }

    /// Reads anew if the reading is as old as `oldest` or does not cover `bytes` more.
    fn look(&self, reading: &mut Reading, oldest: Duration, bytes: u64) {
        let now = Instant::now();
        let above = reading.resident > self.soft_limit;
        let age = reading.at.map(|at| now.saturating_duration_since(at));
        if age.is_some_and(|age| age < oldest.min(self.check_interval)) && (above || bytes <= reading.room) {
            reading.room = reading.room.saturating_sub(bytes);
            return;
        }
        reading.at = Some(now);
        // A reading that fails says nothing new.
        let Some(mut resident) = (self.read)() else { return };
        if resident > self.soft_limit {
            give_back_freed();
            resident = (self.read)().unwrap_or(resident);
        }
        reading.resident = resident;
        reading.room = self.soft_limit.saturating_sub(resident) / SHARE;
        self.tell(reading, now);
    }

    /// Says in the log what has changed, not more often than once in an interval.
    fn tell(&self, reading: &mut Reading, now: Instant) {
        let above = reading.resident > self.soft_limit;
        if above == reading.told_above || reading.next_telling.is_some_and(|next| now < next) {
            return;
        }
        reading.told_above = above;
        reading.next_telling = Some(now + self.check_interval);
        let (component, resident_mib, soft_limit_mib) =
            (&self.component, reading.resident / MIB, self.soft_limit / MIB);
        if above {
            tracing::warn!(component, resident_mib, soft_limit_mib, "memory is short, refusing data");
        } else {
            tracing::info!(component, resident_mib, soft_limit_mib, "memory suffices again");
        }
    }
}

impl Consumer for Limiter {
    fn consume(&self, batch: Batch) -> Boxed<'_, Outcome> {
        if self.above(batch.body.len() as u64) {
            self.refused.add(batch.items as u64);
            return Box::pin(std::future::ready(Outcome::Overloaded { after: self.check_interval }));
        }
        self.accepted.add(batch.items as u64);
        self.next.consume(batch)
    }

    fn headroom(&self) -> Option<Headroom> {
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        self.look(&mut reading, LOOK_AGAIN, 0);
        let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        reading.at.map(|at| Headroom { bytes: bytes(self.aim) - bytes(reading.resident), at })
    }
}

#[cfg(test)]
mod tests;
