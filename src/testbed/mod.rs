//! A simulated airline whose telemetry is known to the last span.

pub mod application;
pub mod attacks;
pub mod benign;
pub mod handlers;
pub mod invocation;
pub mod load;
pub mod rng;
pub mod truth;
pub mod write;
