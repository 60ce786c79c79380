//! Changes the attributes of spans, log records and data points.
//!
//! ```yaml
//! attributes:
//!   actions:                       # in this order
//!     - { key: env, value: prod, action: insert }            # or update, upsert; or from_attribute: KEY
//!     - { key: user.id, action: hash }                       # SHA-256; or pattern: REGEX of keys
//!     - { pattern: "^internal[.]", action: delete }          # and/or key: KEY
//!     - { key: url.path, pattern: "^/o/(?P<order>[0-9]+)", action: extract }
//!     - { key: http.status, action: convert, converted_type: int }   # or double, string, bool
//! ```
//!
//! Requests that no action applies to go on as the same bytes. Keys, values and outcomes are the Collector's, except
//! that an attribute a sender has set twice is changed in both places.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use super::actions::{self, Action, Steps};
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
};

/// The configuration; the keys are the Collector's.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What to do, in this order.
    pub actions: Vec<Action>,
}

impl Check for Config {
    fn check(&self, report: &mut Report<'_>) {
        actions::check("actions", &self.actions, report);
    }
}

impl ProcessorConfig for Config {
    fn build(&self, _signal: Signal, next: Next, context: &Context) -> Result<Next, StartError> {
        let steps = Steps::new(&self.actions).map_err(|reason| context.error(reason))?;
        Ok(Arc::new(Attributes { steps, next }))
    }
}

struct Attributes {
    steps: Steps,
    next: Next,
}

impl Consumer for Attributes {
    fn consume(&self, batch: Batch) -> Boxed<'_, Outcome> {
        self.next.consume(edit(&batch, &mut Records(&self.steps)))
    }
}

struct Records<'a>(&'a Steps);

impl Edit for Records<'_> {
    fn record(&mut self, _index: usize, record: &[u8], patch: &mut Patch) -> Keep {
        self.0.run(record, patch);
        Keep::Yes
    }
}

#[cfg(test)]
mod tests;
