//! How telemetry gets in: one component, one file or folder.

pub mod otlp;
