//! Keeps a share of the traces or log records, the same share of the same traces wherever it is asked: decisions follow
//! from the trace id.
//!
//! ```yaml
//! probabilistic_sampler:
//!   sampling_percentage: 15            # 0 keeps nothing, 100 and more everything
//!   mode: hash_seed                    # or proportional, equalizing
//!   hash_seed: 0                       # samplers behind each other decide apart with different seeds; hash_seed only
//!   sampling_precision: 4              # hexadecimal digits of the threshold that is written down
//!   fail_closed: true                  # what cannot be decided goes
//!   attribute_source: traceID          # logs: or record, to decide by an attribute
//!   from_attribute: ""                 # logs: that attribute; also where there is no trace id; hash_seed only
//!   sampling_priority: ""              # logs: the attribute that holds a percentage of its own
//! ```
//!
//! Decisions are the Collector's, bit for bit, and so is what is written down for those who count: `ot=rv:…;th:…` in a
//! span's trace state, `sampling.randomness` and `sampling.threshold` on a log record. `proportional` keeps the given share
//! of what arrives, `equalizing` takes what an earlier sampler has taken into account. A span's attribute
//! `sampling.priority` keeps it if above 0 and drops it at 0.

mod decision;
mod trace_state;

use std::sync::Arc;

use serde::Deserialize;

use self::decision::{MAX, Sampler};
use crate::{
    config::{Check, Report},
    otlp::{
        Signal,
        edit::{Edit, Keep, Patch, edit},
    },
    pipeline::{
        Batch, Boxed, Consumer, Next, Outcome,
        component::{Context, ProcessorConfig, StartError},
    },
    telemetry::Counter,
};

/// The configuration; the keys are the Collector's.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What share stays, in percent.
    pub sampling_percentage: f32,
    /// Makes decisions of samplers differ.
    pub hash_seed: u32,
    /// How it is decided.
    pub mode: Mode,
    /// What cannot be decided goes.
    pub fail_closed: bool,
    /// Hexadecimal digits of a threshold.
    pub sampling_precision: u32,
    /// Logs: what decides.
    pub attribute_source: Source,
    /// Logs: the attribute that decides.
    pub from_attribute: String,
    /// Logs: the attribute that holds a percentage of its own.
    pub sampling_priority: String,
}

/// How it is decided.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// By a hash of the trace id and the seed.
    #[default]
    #[serde(alias = "")]
    HashSeed,
    /// By the trace id's own randomness; samples the given share of what arrives.
    Proportional,
    /// Likewise; samples the given share of what there was before any sampler.
    Equalizing,
}

/// What decides about a log record.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
pub enum Source {
    /// Its trace id.
    #[default]
    #[serde(rename = "traceID")]
    TraceId,
    /// An attribute.
    #[serde(rename = "record")]
    Record,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            sampling_percentage: 0.0,
            hash_seed: 0,
            mode: Mode::HashSeed,
            fail_closed: true,
            sampling_precision: 4,
            attribute_source: Source::TraceId,
            from_attribute: String::new(),
            sampling_priority: String::new(),
        }
    }
}

impl Check for Config {
    fn check(&self, report: &mut Report<'_>) {
        let ratio = f64::from(self.sampling_percentage) / 100.0;
        if ratio < 0.0 {
            report.error("sampling_percentage", "is negative");
        } else if ratio > 0.0 && ratio < 1.0 / MAX as f64 {
            report.error("sampling_percentage", "is too small to be told from 0");
        }
        if !(1..=14).contains(&self.sampling_precision) {
            report.error("sampling_precision", "must be from 1 to 14");
        }
        if self.mode != Mode::HashSeed && self.hash_seed != 0 {
            report.warning("hash_seed", "has no meaning in this mode").hint("it needs mode: hash_seed");
        }
        if self.attribute_source == Source::Record && self.from_attribute.is_empty() {
            report
                .error("from_attribute", "is missing")
                .hint("attribute_source: record needs an attribute to decide by");
        }
    }
}

impl ProcessorConfig for Config {
    fn build(&self, signal: Signal, next: Next, context: &Context) -> Result<Next, StartError> {
        let (name, help) = if signal == Signal::Logs { COUNT_LOGS } else { COUNT_TRACES };
        let counter =
            |sampled| context.metrics.counter(name, help, &[("processor", &context.id), ("sampled", sampled)]);
        let counters = [counter("false"), counter("true")];
        Ok(Arc::new(ProbabilisticSampler { signal, sampler: Sampler::new(self), counters, next }))
    }
}

struct ProbabilisticSampler {
    signal: Signal,
    sampler: Sampler,
    /// Dropped, kept.
    counters: [Counter; 2],
    next: Next,
}

impl Consumer for ProbabilisticSampler {
    fn consume(&self, batch: Batch) -> Boxed<'_, Outcome> {
        let left = edit(&batch, &mut Pass { signal: self.signal, sampler: &self.sampler });
        let [dropped, kept] = &self.counters;
        dropped.add((batch.items - left.items) as u64);
        kept.add(left.items as u64);
        if left.items == 0 {
            return Box::pin(std::future::ready(Outcome::Accepted));
        }
        self.next.consume(left)
    }
}

struct Pass<'a> {
    signal: Signal,
    sampler: &'a Sampler,
}

impl Edit for Pass<'_> {
    fn record(&mut self, _index: usize, record: &[u8], patch: &mut Patch) -> Keep {
        let keeps = match self.signal {
            Signal::Logs => self.sampler.keeps_log(record, patch),
            Signal::Traces | Signal::Metrics => self.sampler.keeps_span(record, patch),
        };
        if keeps { Keep::Yes } else { Keep::No }
    }
}

const COUNT_TRACES: (&str, &str) =
    ("otelcol_processor_probabilistic_sampler_count_traces_sampled", "Spans by whether they were sampled.");
const COUNT_LOGS: (&str, &str) =
    ("otelcol_processor_probabilistic_sampler_count_logs_sampled", "Log records by whether they were sampled.");

#[cfg(test)]
mod tests;
