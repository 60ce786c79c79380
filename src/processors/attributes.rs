//! Changes the attributes of spans, log records and data points.
//!
//! ```yaml
//! attributes:
//!   include:                       # only these; and/or exclude: not these
//!     match_type: strict           # or regexp
//!     services: [checkout]         # spans: also span_names, span_kinds; logs: log_bodies, log_severity_texts,
//!     resources: []                #   log_severity_number; metrics: metric_names
//!     attributes: [{ key: env, value: test }]   # all of them; without a value it only must be there
//!     libraries: [{ name: io.http, version: "1.2" }]
//!   actions:                       # in this order
//!     - { key: env, value: prod, action: insert }            # or update, upsert; or from_attribute: KEY,
//!                                                            # default_value: VALUE
//!     - { key: user.id, action: hash }                       # SHA-256; or pattern: REGEX of keys
//!     - { pattern: "^internal[.]", action: delete }          # and/or key: KEY
//!     - { key: url.path, pattern: "^/o/(?P<order>[0-9]+)", action: extract }
//!     - { key: http.status, action: convert, converted_type: int }   # or double, string, bool
//! ```
//!
//! Requests that no action applies to go on as the same bytes. Keys, values and outcomes are the Collector's, except
//! that an attribute a sender has set twice is changed in both places.

use std::sync::Arc;

use serde::Deserialize;

use super::{
    actions::{self, Action, Steps},
    selection::{Properties, Selection},
};
use crate::{
    config::{Check, Report},
    otlp::{
        Signal,
        edit::{Edit, Keep, Patch, edit},
        view::{ResourceGroup, ScopeGroup},
    },
    ottl::{Level, Scene},
    pipeline::{
        Batch, Boxed, Consumer, Next, Outcome,
        component::{Context, ProcessorConfig, StartError},
    },
};

/// The configuration; the keys are the Collector's.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Only what matches is changed.
    pub include: Option<Properties>,
    /// What matches is not changed.
    pub exclude: Option<Properties>,
    /// What to do, in this order.
    pub actions: Vec<Action>,
}

impl Check for Config {
    fn check(&self, report: &mut Report<'_>) {
        actions::check("actions", &self.actions, report);
        for (path, properties) in [("include", &self.include), ("exclude", &self.exclude)] {
            if let Some(properties) = properties {
                report.within(path, properties);
            }
        }
    }
}

impl ProcessorConfig for Config {
    fn build(&self, signal: Signal, next: Next, context: &Context) -> Result<Next, StartError> {
        let steps = Steps::new(&self.actions).map_err(|reason| context.error(reason))?;
        for properties in [&self.include, &self.exclude].into_iter().flatten() {
            if let Some(name) = properties.meaningless(signal) {
                return Err(context.error(format!("{name} has no meaning for {}", signal.name())));
            }
        }
        let selection = Selection::new(self.include.as_ref(), self.exclude.as_ref());
        let selection = selection.map_err(|reason| context.error(reason))?;
        Ok(Arc::new(Attributes { signal, steps, selection, next }))
    }
}

struct Attributes {
    signal: Signal,
    steps: Steps,
    selection: Selection,
    next: Next,
}

impl Consumer for Attributes {
    fn consume(&self, batch: Batch) -> Boxed<'_, Outcome> {
        let around = [Vec::new(), Vec::new(), Vec::new()];
        self.next.consume(edit(&batch, &mut Records { processor: self, around }))
    }
}

struct Records<'a> {
    processor: &'a Attributes,
    /// The resource, scope and metric of the record at hand, where anybody asks.
    around: [Vec<u8>; 3],
}

impl Records<'_> {
    fn keep(&mut self, slot: usize, message: &[u8]) {
        if !self.processor.selection.is_everything()
            && let Some(copy) = self.around.get_mut(slot)
        {
            copy.clear();
            copy.extend_from_slice(message);
        }
    }
}

impl Edit for Records<'_> {
    fn resource(&mut self, group: &ResourceGroup<'_>, _patch: &mut Patch) {
        self.keep(0, group.resource());
    }

    fn scope(&mut self, group: &ScopeGroup<'_>, _patch: &mut Patch) -> Keep {
        self.keep(1, group.scope());
        Keep::Yes
    }

    fn metric(&mut self, metric: &[u8], _patch: &mut Patch) -> Keep {
        self.keep(2, metric);
        Keep::Yes
    }

    fn record(&mut self, _index: usize, record: &[u8], patch: &mut Patch) -> Keep {
        let Attributes { signal, steps, selection, .. } = self.processor;
        if !selection.is_everything() {
            let [resource, scope, metric] = &self.around;
            let scene =
                Scene::new().with(Level::Resource, resource).with(Level::Scope, scope).with(Level::Metric, metric);
            if !selection.applies(*signal, &scene, record, patch.field()) {
                return Keep::Yes;
            }
        }
        steps.run(record, patch);
        Keep::Yes
    }
}

#[cfg(test)]
mod tests;
