//! What happens to telemetry on the way: one component, one file.

mod actions;
pub mod anomaly;
pub mod attributes;
pub mod batch;
pub mod faas;
mod failures;
pub mod filter;
pub mod group_by_attrs;
mod groups;
pub mod memory_limiter;
pub mod probabilistic_sampler;
pub mod redaction;
pub mod resource;
pub mod resource_detection;
mod selection;
pub mod transform;
