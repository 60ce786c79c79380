//! Where one pipeline ends and others begin: one component, one file.

pub mod count;
pub mod forward;
pub mod routing;
pub mod span_metrics;
