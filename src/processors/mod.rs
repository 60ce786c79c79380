//! What happens to telemetry on the way: one component, one file.

mod actions;
pub mod attributes;
pub mod batch;
pub mod memory_limiter;
pub mod resource;
