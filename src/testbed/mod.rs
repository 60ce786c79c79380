//! A simulated airline whose telemetry is known to the last span.

pub mod rng;
pub mod truth;
pub mod write;
