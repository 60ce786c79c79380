//! Changes the attributes of resources.
//!
//! ```yaml
//! resource:
//!   attributes:                    # the actions of the attributes processor, in this order
//!     - { key: deployment.environment.name, value: prod, action: upsert }
//! ```
//!
//! Requests that no action applies to go on as the same bytes.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use super::actions::{self, Action, Steps};
use crate::{
    config::{Check, Report},
    otlp::{
        Signal,
        edit::{Edit, Patch, edit},
        view::ResourceGroup,
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
    pub attributes: Vec<Action>,
}

impl Check for Config {
    fn check(&self, report: &mut Report<'_>) {
        actions::check("attributes", &self.attributes, report);
    }
}

impl ProcessorConfig for Config {
    fn build(&self, _signal: Signal, next: Next, context: &Context) -> Result<Next, StartError> {
        let steps = Steps::new(&self.attributes).map_err(|reason| context.error(reason))?;
        Ok(Arc::new(Resource { steps, next }))
    }
}

struct Resource {
    steps: Steps,
    next: Next,
}

impl Consumer for Resource {
    fn consume(&self, batch: Batch) -> Boxed<'_, Outcome> {
        self.next.consume(edit(&batch, &mut Resources(&self.steps)))
    }
}

struct Resources<'a>(&'a Steps);

impl Edit for Resources<'_> {
    const RECORDS: bool = false;

    fn resource(&mut self, group: &ResourceGroup<'_>, patch: &mut Patch) {
        self.0.run(group.resource(), patch);
    }
}

#[cfg(test)]
mod tests;
