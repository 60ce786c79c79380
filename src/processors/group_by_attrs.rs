//! Moves attributes of records to their resource, so that records which share them share a resource; without keys, merges
//! resources and scopes that are the same.
//!
//! ```yaml
//! group_by_attrs:
//!   keys: [host.name]            # empty: only merges
//! ```
//!
//! A record that has one of the keys goes to a resource with the attributes of its own resource and those it had; the keys
//! leave the record. Resources are the same if their attributes are, scopes if name and version are, metrics of a scope if
//! name and kind are. Of what is merged, everything else (schema URLs, descriptions) is the first one's.

mod regroup;

use std::sync::Arc;

use serde::Deserialize;

use self::regroup::Regroup;
use crate::{
    config::{Check, Report},
    otlp::Signal,
    pipeline::{
        Batch, Boxed, Consumer, Next, Outcome,
        component::{Context, ProcessorConfig, StartError},
    },
};

/// The configuration; the keys are the Collector's.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Attributes that move to the resource.
    pub keys: Vec<String>,
}

impl Check for Config {
    fn check(&self, report: &mut Report<'_>) {
        for (index, key) in self.keys.iter().enumerate() {
            if key.is_empty() {
                report.error(&format!("keys.{index}"), "is empty");
            }
        }
    }
}

impl ProcessorConfig for Config {
    fn build(&self, _signal: Signal, next: Next, _context: &Context) -> Result<Next, StartError> {
        let mut keys = self.keys.clone();
        keys.sort_unstable();
        keys.dedup();
        Ok(Arc::new(GroupByAttrs { keys, next }))
    }
}

struct GroupByAttrs {
    keys: Vec<String>,
    next: Next,
}

impl Consumer for GroupByAttrs {
    fn consume(&self, batch: Batch) -> Boxed<'_, Outcome> {
        self.next.consume(Regroup::new(batch.signal, &self.keys).batch(&batch))
    }
}

#[cfg(test)]
mod tests;
