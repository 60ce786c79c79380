//! Changes the attributes of spans, log records and data points.
//!
//! ```yaml
//! attributes:
//!   actions:                       # in this order
//!     - { key: env, value: prod, action: insert }            # or update, upsert; or from_attribute: KEY,
//!                                                            # default_value: VALUE
//!     - { key: user.id, action: hash }                       # SHA-256; or pattern: REGEX of keys
//!     - { pattern: "^internal[.]", action: delete }          # and/or key: KEY
//!     - { key: url.path, pattern: "^/o/(?P<order>[0-9]+)", action: extract }
//!     - { key: http.status, action: convert, converted_type: int }   # or double, string, bool
//!   include: { match_type: strict, services: [checkout] }      # absent: all; the properties are listed in `matching`
//!   exclude: { match_type: regexp, attributes: [{ key: env, value: "^dev" }] }
//! ```
//!
//! Requests that no action applies to go on as the same bytes. Keys, values and outcomes are the Collector's, except
//! that an attribute a sender has set twice is changed in both places.

use std::sync::Arc;

use serde::Deserialize;

use super::{
    actions::{self, Action, Steps},
    matching::{Choice, Properties},
};
use crate::{
    config::{Check, Report, Toggle},
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
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What to do, in this order.
    pub actions: Vec<Action>,
    /// Only for these.
    pub include: Toggle<Properties>,
    /// And not for these.
    pub exclude: Toggle<Properties>,
}

impl Check for Config {
    fn check(&self, report: &mut Report<'_>) {
        actions::check("actions", &self.actions, report);
        for (key, side) in [("include", &self.include), ("exclude", &self.exclude)] {
            if let Toggle::On(properties) = side {
                report.within(key, properties);
            }
        }
    }
}

impl ProcessorConfig for Config {
    fn build(&self, signal: Signal, next: Next, context: &Context) -> Result<Next, StartError> {
        let steps = Steps::new(&self.actions).map_err(|reason| context.error(reason))?;
        let choice = Choice::new(signal, &self.include, &self.exclude).map_err(|reason| context.error(reason))?;
        Ok(Arc::new(Attributes { steps, choice, next }))
    }
}

struct Attributes {
    steps: Steps,
    choice: Option<Choice>,
    next: Next,
}

impl Consumer for Attributes {
    fn consume(&self, batch: Batch) -> Boxed<'_, Outcome> {
        let marks = self.choice.as_ref().map(|choice| choice.marks(&batch));
        self.next.consume(edit(&batch, &mut Records { steps: &self.steps, marks }))
    }
}

struct Records<'a> {
    steps: &'a Steps,
    /// Whether each record is chosen; `None` if all are.
    marks: Option<Vec<bool>>,
}

impl Edit for Records<'_> {
    fn record(&mut self, index: usize, record: &[u8], patch: &mut Patch) -> Keep {
        if self.marks.as_ref().is_none_or(|marks| marks.get(index) == Some(&true)) {
            self.steps.run(record, patch);
        }
        Keep::Yes
    }
}

#[cfg(test)]
mod tests;
