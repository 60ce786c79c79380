//! `count` connector: how many spans, span events, metrics, data points and log records pass, as metrics.
//!
//! ```yaml
//! connectors:
//!   count:
//!     logs:                                # also spans, spanevents, metrics, datapoints
//!       errors.count:
//!         description: log records that tell of errors
//!         conditions: ['severity_number >= SEVERITY_NUMBER_ERROR']     # any of them
//!         attributes: [{ key: faas.name, default_value: unknown }]     # a point for each combination
//! ```
//!
//! Without a section its usual metric is written: `trace.span.count`, `trace.span.event.count`, `metric.count`,
//! `metric.datapoint.count`, `log.record.count`. Attributes are looked for on the record, its scope, its resource; a
//! record that lacks one without a default is not counted.
//!
//! Each request makes one request of delta sums, handed on before it is answered: the answer is that of the metrics
//! pipelines. A condition that cannot be asked of a record does not hold of it, with a count.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use serde::Deserialize;

use crate::{
    config::{Check, Report},
    otlp::{
        Signal,
        metrics::{Describe, Number, Point, Temporality, Writer},
        view::{self, ResourceGroup, messages, raw_key_value},
        wire::put_bytes,
        write,
    },
    ottl::{Condition, Context as Of, Level, Scene},
    pipeline::{
        Batch, Boxed, Consumer, Next, Outcome,
        component::{ConnectorConfig, Context, Outputs, StartError},
    },
    telemetry::Counter,
};

const SCOPE: &str = "countconnector";
/// The field of a span that holds its events.
const EVENTS: u32 = 11;

/// The configuration: metrics by name. A section that is missing counts everything.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Counted over spans.
    pub spans: Option<BTreeMap<String, Counted>>,
    /// Counted over events of spans.
    pub spanevents: Option<BTreeMap<String, Counted>>,
    /// Counted over metrics.
    pub metrics: Option<BTreeMap<String, Counted>>,
    /// Counted over data points.
    pub datapoints: Option<BTreeMap<String, Counted>>,
    /// Counted over log records.
    pub logs: Option<BTreeMap<String, Counted>>,
}

/// One metric.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Counted {
    /// For people.
    pub description: String,
    /// Counted if any of them holds, or if there are none.
    pub conditions: Vec<String>,
    /// A point for each combination of these.
    pub attributes: Vec<Attribute>,
}

/// An attribute that tells points apart.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Attribute {
    /// Its key.
    pub key: String,
    /// Its value where it is missing; none: what lacks it is not counted.
    pub default_value: Option<String>,
}

/// Sections: key, what is counted, the usual metric's name and description.
const SECTIONS: [(&str, Of, &str, &str); 5] = [
    ("spans", Of::Span, "trace.span.count", "The number of spans observed."),
    ("spanevents", Of::SpanEvent, "trace.span.event.count", "The number of span events observed."),
    ("metrics", Of::Metric, "metric.count", "The number of metrics observed."),
    ("datapoints", Of::Datapoint, "metric.datapoint.count", "The number of data points observed."),
    ("logs", Of::Log, "log.record.count", "The number of log records observed."),
];

impl Config {
    const fn sections(&self) -> [&Option<BTreeMap<String, Counted>>; 5] {
        [&self.spans, &self.spanevents, &self.metrics, &self.datapoints, &self.logs]
    }
}

impl Check for Config {
    fn check(&self, report: &mut Report<'_>) {
        for ((section, of, ..), metrics) in SECTIONS.iter().zip(self.sections()) {
            for (name, counted) in metrics.iter().flatten() {
                if name.is_empty() {
                    report.error(section, "a metric needs a name");
                }
                for (index, condition) in counted.conditions.iter().enumerate() {
                    if let Err(fault) = Condition::parse(condition, *of) {
                        let problem =
                            report.error(&format!("{section}::{name}::conditions::{index}"), fault.to_string());
                        if let Some(hint) = fault.hint {
                            problem.hint(hint);
                        }
                    }
                }
                for (index, attribute) in counted.attributes.iter().enumerate() {
                    let path = format!("{section}::{name}::attributes::{index}");
                    if attribute.key.is_empty() {
                        report.error(&path, "needs a key");
                    }
                    if *of == Of::Metric {
                        report.error(&path, "a metric has no attributes").hint("count its datapoints");
                    }
                }
            }
        }
    }
}

impl ConnectorConfig for Config {
    fn build(&self, outputs: Outputs, context: &Context) -> Result<Next, StartError> {
        let mut metrics = Vec::new();
        for ((_, of, usual, description), section) in SECTIONS.iter().zip(self.sections()) {
            let Some(section) = section else {
                let counted = Counted { description: (*description).to_owned(), ..Counted::default() };
                metrics.push(Metric::new(usual, *of, &counted, context)?);
                continue;
            };
            for (name, counted) in section {
                metrics.push(Metric::new(name, *of, counted, context)?);
            }
        }
        let help = "Conditions that could not be asked of a record.";
        let failed = context.metrics.counter("sekisho_count_failed_conditions", help, &[("connector", &context.id)]);
        Ok(Arc::new(Count { metrics, outputs, failed, told: AtomicU64::new(now()) }))
    }
}

struct Metric {
    name: String,
    of: Of,
    description: String,
    conditions: Vec<Condition>,
    attributes: Vec<Attribute>,
}

impl Metric {
    fn new(name: &str, of: Of, counted: &Counted, context: &Context) -> Result<Self, StartError> {
        let parse = |text: &String| Condition::parse(text, of).map_err(|fault| context.error(fault.to_string()));
        Ok(Self {
            name: name.to_owned(),
            of,
            description: counted.description.clone(),
            conditions: counted.conditions.iter().map(parse).collect::<Result<_, _>>()?,
            attributes: counted.attributes.clone(),
        })
    }

    /// The attributes of the point that counts this record, serialised; `None` if it is not counted.
    fn point(&self, scene: &Scene<'_>, failed: &Counter) -> Option<Vec<u8>> {
        let holds = |condition: &Condition| {
            condition.holds(scene).unwrap_or_else(|_| {
                failed.add(1);
                false
            })
        };
        if !self.conditions.is_empty() && !self.conditions.iter().any(holds) {
            return None;
        }
        let mut point = Vec::new();
        for attribute in &self.attributes {
            let found = [self.of.level(), Level::Scope, Level::Resource].into_iter().find_map(|level| {
                let pairs = messages(scene.get(level), scene.attributes(level)).map(raw_key_value);
                pairs.filter(|(key, _)| *key == attribute.key.as_bytes()).map(|(_, value)| value).last()
            });
            match (found, &attribute.default_value) {
                (Some(value), _) => write::nested(&mut point, 1, 1, |out| {
                    put_bytes(out, 1, attribute.key.as_bytes());
                    put_bytes(out, 2, value);
                }),
                (None, Some(default)) => write::text(&mut point, 1, &attribute.key, default),
                (None, None) => return None,
            }
        }
        Some(point)
    }
}

struct Count {
    metrics: Vec<Metric>,
    outputs: Outputs,
    failed: Counter,
    /// When the last points were made: from then on the next ones count. Unix nanoseconds.
    told: AtomicU64,
}

impl Consumer for Count {
    fn consume(&self, batch: Batch) -> Boxed<'_, Outcome> {
        Box::pin(async move {
            let counts = self.count(&batch);
            if counts.items == 0 { Outcome::Accepted } else { self.outputs.hand_on(counts).await }
        })
    }
}

impl Count {
    fn count(&self, batch: &Batch) -> Batch {
        let time = now();
        let start = self.told.swap(time, Ordering::Relaxed).min(time);
        let mut writer = Writer::default();
        for group in view::resources(&batch.body) {
            let counts = self.count_group(batch.signal, &group);
            let attributes = group.resource();
            writer.resource(attributes, SCOPE, |out| {
                for (metric, points) in self.metrics.iter().zip(&counts) {
                    let what = Describe { name: &metric.name, description: &metric.description, unit: "" };
                    out.sum(what, Temporality::Delta, true, |out| {
                        for (attributes, count) in points {
                            let count = Number::Int(i64::try_from(*count).unwrap_or(i64::MAX));
                            out.number(&Point { attributes, start, time }, count, &[]);
                        }
                    });
                }
            });
        }
        writer.finish()
    }

    /// Of each metric, how many there are at each point.
    fn count_group(&self, signal: Signal, group: &ResourceGroup<'_>) -> Vec<BTreeMap<Vec<u8>, u64>> {
        let mut counts = vec![BTreeMap::new(); self.metrics.len()];
        let mut see = |of: Of, scene: &Scene<'_>| {
            for (metric, points) in self.metrics.iter().zip(&mut counts).filter(|(metric, _)| metric.of == of) {
                if let Some(point) = metric.point(scene, &self.failed) {
                    *points.entry(point).or_default() += 1;
                }
            }
        };
        let scene = Scene::new().with(Level::Resource, group.resource());
        for scope in group.scopes() {
            let scene = scene.with(Level::Scope, scope.scope());
            for record in scope.records() {
                match signal {
                    Signal::Traces => {
                        let scene = scene.with(Level::Span, record);
                        see(Of::Span, &scene);
                        messages(record, EVENTS)
                            .for_each(|event| see(Of::SpanEvent, &scene.with(Level::SpanEvent, event)));
                    }
                    Signal::Logs => see(Of::Log, &scene.with(Level::Log, record)),
                    Signal::Metrics => {
                        let scene = scene.with(Level::Metric, record);
                        see(Of::Metric, &scene);
                        view::points(record)
                            .for_each(|(field, point)| see(Of::Datapoint, &scene.with_point(field, point)));
                    }
                }
            }
        }
        counts
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
