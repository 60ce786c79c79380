//! `sending_queue`: keys and defaults are the Collector's.

use std::{sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    config::{Check, Report, Toggle},
    otlp::{Batch, split::Most},
    pipeline::{metadata::Metadata, retry::AtEnd},
};

/// More consumers than this only wait for each other.
const MOST_CONSUMERS: usize = 1024;

/// The configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Without a queue, a batch is answered when it is delivered.
    pub enabled: bool,
    /// Requests on their way at once.
    pub num_consumers: usize,
    /// What the queue holds, in units of `sizer`.
    pub queue_size: usize,
    /// What is counted.
    pub sizer: Sizer,
    /// Whether a sender waits for room instead of being refused.
    pub block_on_overflow: bool,
    /// Whether a sender waits for the destination's own answer.
    pub wait_for_result: bool,
    /// Id of the extension on whose disk the queue is; none: in memory.
    pub storage: Option<String>,
    /// Making fewer, larger requests of what waits.
    pub batch: Toggle<Batching>,
}

/// Making fewer, larger requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Batching {
    /// Longest a batch waits for others.
    #[serde(with = "crate::config::DurationText")]
    pub flush_timeout: Duration,
    /// What makes a request, in units of `sizer`.
    pub min_size: usize,
    /// Larger requests are split; 0: never.
    pub max_size: usize,
    /// What is counted: items or bytes.
    pub sizer: Sizer,
    /// Which batches must not be mixed.
    pub partition: Partition,
}

/// Which batches must not be mixed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Partition {
    /// Those whose senders' metadata differs in one of these keys.
    pub metadata_keys: Vec<String>,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Sizer {
    /// Batches.
    Requests,
    /// Spans, log records, data points.
    Items,
    /// Serialised bytes.
    Bytes,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            num_consumers: 10,
            queue_size: 1000,
            sizer: Sizer::Requests,
            block_on_overflow: false,
            wait_for_result: false,
            storage: None,
            batch: Toggle::Off,
        }
    }
}

impl Default for Batching {
    fn default() -> Self {
        Self {
            flush_timeout: Duration::from_millis(200),
            min_size: 8192,
            max_size: 0,
            sizer: Sizer::Items,
            partition: Partition::default(),
        }
    }
}

impl Check for Config {
    fn check(&self, report: &mut Report<'_>) {
        if !(1..=MOST_CONSUMERS).contains(&self.num_consumers) {
            report.error("num_consumers", format!("must be between 1 and {MOST_CONSUMERS}"));
        }
        if self.queue_size == 0 {
            report.error("queue_size", "must be more than 0").hint("`enabled: false` delivers without a queue");
        }
        if self.wait_for_result && self.storage.is_some() {
            report
                .error("wait_for_result", "does not go with `storage`: a stored batch may be delivered after a restart")
                .hint("leave one of them out");
        }
        if let Some(batch) = self.batch.as_option() {
            report.within("batch", batch);
            if self.storage.is_some() && !batch.partition.metadata_keys.is_empty() {
                report
                    .error("batch.partition.metadata_keys", "does not go with `storage`: metadata is not kept on disk")
                    .hint("leave one of them out");
            }
            if batch.sizer == self.sizer && batch.min_size > self.queue_size {
                report.error("batch.min_size", format!("must not be more than queue_size, {}", self.queue_size));
            }
        }
        if !self.enabled {
            for (key, set) in [("storage", self.storage.is_some()), ("batch", self.batch.is_on())] {
                if set {
                    report.error(key, "needs the queue").hint("leave out `enabled: false`");
                }
            }
        }
    }
}

impl Check for Batching {
    fn check(&self, report: &mut Report<'_>) {
        if self.flush_timeout.is_zero() {
            report.error("flush_timeout", "must be more than 0");
        }
        if self.max_size > 0 && self.max_size < self.min_size {
            report.error("max_size", "must be 0 or at least min_size");
        }
        if self.sizer == Sizer::Requests {
            report.error("sizer", "must be items or bytes");
        }
    }
}

impl Config {
    /// The extension it stands on, as components say it.
    pub fn extensions(&self) -> Vec<(&'static str, &str)> {
        self.storage.iter().map(|id| ("sending_queue::storage", id.as_str())).collect()
    }

    /// What of its sender's metadata stays with a batch: where requests are made of several, what they have in common.
    pub fn keeps(&self, metadata: Option<Arc<Metadata>>) -> Option<Arc<Metadata>> {
        let metadata = metadata.filter(|_| self.storage.is_none())?;
        match self.batch.as_option() {
            None => Some(metadata),
            Some(Batching { partition, .. }) if partition.metadata_keys.is_empty() => None,
            Some(Batching { partition, .. }) => Some(Arc::new(metadata.only(&partition.metadata_keys))),
        }
    }

    /// What becomes of what is refused for now while draining.
    pub const fn at_end(&self) -> AtEnd {
        if self.storage.is_some() { AtEnd::Leave } else { AtEnd::Hurry }
    }
}

impl Batching {
    /// The limit that requests are split to, if there is one.
    pub fn most(&self) -> Option<Most> {
        match (self.max_size, self.sizer) {
            (0, _) => None,
            (most, Sizer::Bytes) => Some(Most::Bytes(most)),
            (most, _) => Some(Most::Items(most)),
        }
    }
}

/// How much something is, counted every way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Batches.
    pub requests: usize,
    /// Spans, log records, data points.
    pub items: usize,
    /// Serialised bytes.
    pub bytes: usize,
}

impl Size {
    /// Of one batch.
    pub fn of(batch: &Batch) -> Self {
        Self { requests: 1, items: batch.items, bytes: batch.body.len() }
    }

    /// Of one batch with what its sender said.
    pub fn with(batch: &Batch, metadata: Option<&Metadata>) -> Self {
        let size = Self::of(batch);
        Self { bytes: size.bytes + metadata.map_or(0, Metadata::bytes), ..size }
    }

    /// As `sizer` counts it.
    pub const fn by(self, sizer: Sizer) -> usize {
        match sizer {
            Sizer::Requests => self.requests,
            Sizer::Items => self.items,
            Sizer::Bytes => self.bytes,
        }
    }
}

impl std::ops::AddAssign for Size {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.items += other.items;
        self.bytes += other.bytes;
    }
}

impl std::ops::SubAssign for Size {
    fn sub_assign(&mut self, other: Self) {
        self.requests = self.requests.saturating_sub(other.requests);
        self.items = self.items.saturating_sub(other.items);
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }
}
