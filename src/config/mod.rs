//! YAML text → one tree with places → a valid configuration, or everything that is wrong with it at once.
//!
//! Knows no component: [`read`] gives a [`Root`] whose sections are [`Node`]s; the registry turns each into the
//! component's own struct with [`decode`] and adds what it finds to the same [`Problems`]. Each problem has file, line,
//! column, `path::to::key`, the offending value, an excerpt, and where there is one the nearest valid name.
//!
//! The language is the OpenTelemetry Collector's. Stricter: an unset variable without a default is an error, and what a
//! variable holds is not expanded again. Nothing here panics or grows without bound, whatever the text.

mod check;
mod decode;
pub mod duration;
mod expand;
mod fault;
mod flow;
mod node;
mod parse;
mod print;
mod problem;
mod render;
mod root;
mod schema;
mod sources;
mod telemetry;
mod types;

pub use check::{Check, Report};
pub use decode::{decode, decode_placed};
pub use duration::{DurationText, OptionalDurationText};
pub use node::{Entry, Node, SourceId, Span, Value};
pub use print::{print, redacted};
pub use problem::{Problem, Problems, Severity, nearest};
pub use render::Style;
pub use root::{Component, Kind, Pipeline, PipelineId, Reference, Root, Service, load, read};
pub use schema::{component_schema, schema_definitions, service_schema};
pub use sources::Texts;
pub use telemetry::{
    Compression, Encoding, LogLevel, LogsTelemetry, MetricsLevel, MetricsTelemetry, Otlp, Periodic, Processor,
    Prometheus, Protocol, Sampler, Sampling, Telemetry, Temporality, TracesTelemetry,
};
pub use types::{ByteSize, Endpoint, Rate, Secret, Toggle};

/// How variables are looked up; `&|name| std::env::var(name).ok()` outside tests.
pub type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

#[cfg(test)]
mod tests;
