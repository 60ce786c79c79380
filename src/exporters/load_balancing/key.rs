//! What must stay together.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    faas::{
        identity::Identity,
        intern::{hash_from, mix},
        names,
    },
    otlp::{
        Signal,
        partition::Place,
        view::{ResourceGroup, messages},
    },
};

/// What must stay together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RoutingKey {
    /// A trace's spans and log records.
    #[serde(rename = "traceID")]
    TraceId,
    /// What has the same `service.name`.
    #[serde(rename = "service")]
    Service,
    /// What has the same resource attributes, in whatever order.
    #[serde(rename = "resource")]
    Resource,
    /// What the same function sent.
    #[serde(rename = "function")]
    Function,
}

impl RoutingKey {
    /// The key for `signal`: metrics have no trace.
    pub fn of(configured: Option<Self>, signal: Signal) -> Self {
        match (configured.unwrap_or(Self::TraceId), signal) {
            (Self::TraceId, Signal::Metrics) => Self::Service,
            (key, _) => key,
        }
    }

    /// Where a resource's telemetry belongs, if its resource says so.
    pub fn of_resource(self, group: ResourceGroup<'_>, owner: impl Fn(u64) -> usize) -> Place {
        let key = match self {
            Self::TraceId => return Place::ByRecord,
            Self::Service => service(group),
            Self::Resource => resource(group),
            Self::Function => function(group),
        };
        Place::Whole(owner(key))
    }

    /// The key of a span or log record by its trace; a record of no trace belongs with nothing else.
    pub fn of_record(signal: Signal, record: &[u8]) -> u64 {
        let field = if signal == Signal::Logs { 9 } else { 1 };
        let trace = messages(record, field).last().unwrap_or_default();
        hash_from(0, if trace.is_empty() { record } else { trace })
    }
}

fn service(group: ResourceGroup<'_>) -> u64 {
    let name = group.attributes().filter(|(key, _)| *key == b"service.name").last();
    name.and_then(|(_, value)| value.text()).map_or(0, |name| hash_from(0, name.as_bytes()))
}

fn resource(group: ResourceGroup<'_>) -> u64 {
    // A sum, so that order does not matter.
    messages(group.resource(), 1).fold(0, |sum, pair| sum.wrapping_add(mix(hash_from(0, pair), 1)))
}

fn function(group: ResourceGroup<'_>) -> u64 {
    let mut identity = Identity::default();
    for (key, value) in group.attributes() {
        if let Some(name) = names::lookup(key) {
            identity.take(name, value);
        }
    }
    identity.completed().function()
}
