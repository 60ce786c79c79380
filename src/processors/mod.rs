//! What happens to telemetry on the way: one component, one file.

pub mod batch;
pub mod faas;
pub mod memory_limiter;
