//! What serves the process rather than the telemetry: one component, one file.

pub mod file_storage;
pub mod health_check;
pub mod pprof;
pub mod zpages;

mod serve;
