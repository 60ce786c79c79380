//! `forward` connector: joins pipelines of the same signal, to gather several into one or to share one among several.
//!
//! ```yaml
//! connectors:
//!   forward: {}
//! service:
//!   pipelines:
//!     traces/in:  { receivers: [otlp], processors: [memory_limiter], exporters: [forward] }
//!     traces/out: { receivers: [forward], processors: [batch], exporters: [otlp_grpc] }
//! ```
//!
//! The answer is that of the pipelines it leads to.

use std::sync::Arc;

use serde::Deserialize;

use crate::{
    config::Check,
    pipeline::{
        Batch, Boxed, Consumer, Next, Outcome,
        component::{ConnectorConfig, Context, Outputs, StartError},
    },
};

/// The configuration: there is nothing to say.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

impl Check for Config {}

impl ConnectorConfig for Config {
    fn build(&self, outputs: Outputs, _context: &Context) -> Result<Next, StartError> {
        Ok(Arc::new(Forward(outputs)))
    }
}

struct Forward(Outputs);

impl Consumer for Forward {
    fn consume(&self, batch: Batch) -> Boxed<'_, Outcome> {
        Box::pin(self.0.hand_on(batch))
    }
}
