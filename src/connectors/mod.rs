//! Where one pipeline ends and others begin: one component, one file.

pub mod forward;
pub mod span_metrics;
