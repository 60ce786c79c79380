//! The detector: a pure library. Observations in, verdicts out; no tokio, no OTLP, no files, no wall clock.

pub mod observation;
pub mod verdict;
