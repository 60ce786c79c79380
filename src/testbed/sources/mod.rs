//! Telemetry as the real sources give it, each with its own form, delay and holes.

pub mod metrics;
pub mod platform;
pub mod spans;
pub mod trail;
