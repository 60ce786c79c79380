//! What happens to telemetry on the way: one component, one file.

mod actions;
pub mod anomaly;
pub mod attributes;
pub mod batch;
pub mod faas;
mod matching;
pub mod memory_limiter;
pub mod resource;
