//! Drops what meets any of a list of conditions.
//!
//! ```yaml
//! filter:
//!   error_mode: ignore                   # or silent, propagate: what if a condition fails on a record
//!   trace_conditions:                    # also metric_conditions, log_conditions
//!     - span.name == "/health" and span.kind == SPAN_KIND_SERVER
//!     - IsMatch(spanevent.name, "^debug")
//!   metric_conditions:
//!     - context: datapoint               # or groups: what paths without a prefix mean, an error_mode of its own
//!       conditions: ['attributes["code"] == 404']
//! filter/older:
//!   traces: { span: ['attributes["test"] == true'], spanevent: [], resource: [] }
//!   metrics: { metric: [], datapoint: [], resource: [] }
//!   logs: { log_record: ['severity_number < SEVERITY_NUMBER_WARN'], resource: [] }
//! filter/oldest:
//!   spans: { exclude: { match_type: strict, span_names: [/health] } }
//!   metrics: { include: { match_type: regexp, metric_names: ["^http[.]"], resource_attributes: [] } }
//!   logs: { exclude: { match_type: strict, severity_number: { min: INFO }, bodies: [], record_attributes: [] } }
//! ```
//!
//! A condition is about the lowest message its paths name: resource, scope, span, span event, metric, data point, log
//! record. A span that loses all its events stays; a metric that loses all its points goes, and so does a scope or a
//! resource that loses all it had. A batch of which nothing is left goes no further, and that is success. Where a
//! condition fails on a record (`error_mode`), it does not hold; with `propagate` the batch is refused for good.

mod older;
mod pass;

use std::sync::Arc;

use serde::Deserialize;

use self::{
    older::{LogChoice, MetricChoice},
    pass::{Pass, Rule, Rules},
};
use super::{
    failures::{self, Failures},
    groups::{self, Entry},
    selection::{Properties, Selection},
};
use crate::{
    config::{Check, Report},
    otlp::{Signal, edit::edit},
    ottl::{Condition, Context, ErrorMode, Fault},
    pipeline::{
        Batch, Boxed, Consumer, Next, Outcome,
        component::{self, ProcessorConfig, StartError},
    },
    telemetry::Counter,
};

/// The configuration; the keys are the Collector's.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What becomes of a record on which a condition fails.
    pub error_mode: ErrorMode,
    /// Drops of traces, in the newest form.
    pub trace_conditions: Vec<Entry<Group>>,
    /// Drops of metrics, in the newest form.
    pub metric_conditions: Vec<Entry<Group>>,
    /// Drops of logs, in the newest form.
    pub log_conditions: Vec<Entry<Group>>,
    /// Drops of traces, by context.
    pub traces: TraceConditions,
    /// Drops of metrics, by context or by properties.
    pub metrics: MetricConditions,
    /// Drops of logs, by context or by properties.
    pub logs: LogConditions,
    /// Drops of spans by properties.
    pub spans: Choice<Properties>,
}

/// Conditions with settings.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Group {
    /// What paths without a prefix mean; if empty, each path says it.
    pub context: String,
    /// Any of them drops.
    pub conditions: Vec<String>,
    /// If it is not the processor's.
    pub error_mode: Option<ErrorMode>,
}

/// Conditions on traces, by what they are about.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "each drops what it is named after")]
pub struct TraceConditions {
    pub resource: Vec<String>,
    pub span: Vec<String>,
    pub spanevent: Vec<String>,
}

/// Conditions on metrics, by what they are about, or properties.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "each drops what it is named after")]
pub struct MetricConditions {
    pub resource: Vec<String>,
    pub metric: Vec<String>,
    pub datapoint: Vec<String>,
    /// Only these stay.
    pub include: Option<MetricChoice>,
    /// These go.
    pub exclude: Option<MetricChoice>,
}

/// Conditions on logs, by what they are about, or properties.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "each drops what it is named after")]
pub struct LogConditions {
    pub resource: Vec<String>,
    pub log_record: Vec<String>,
    /// Only these stay.
    pub include: Option<LogChoice>,
    /// These go.
    pub exclude: Option<LogChoice>,
}

/// What stays, and what goes of that.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Choice<P> {
    /// Only these stay.
    pub include: Option<P>,
    /// These go.
    pub exclude: Option<P>,
}

impl Check for Config {
    fn check(&self, report: &mut Report<'_>) {
        for signal in Signal::ALL {
            let (newest, listed, older) = (self.newest(signal), self.by_context(signal), self.has_properties(signal));
            let by_context = listed.iter().any(|(_, _, texts)| !texts.is_empty());
            if usize::from(!newest.1.is_empty()) + usize::from(by_context) + usize::from(older) > 1 {
                let message = format!("{} are filtered in several forms", signal.name());
                report.error("", message).hint(format!("put all conditions into {}", newest.0));
            }
            groups::check_style(newest.0, newest.1, report);
            for (path, fault) in self.rules(signal).1 {
                match fault {
                    Ok(fault) => failures::report(&fault, &path, report),
                    Err((message, hint)) => {
                        report.error(&path, message).hint(hint);
                    }
                }
            }
        }
        let spans = [("spans.include", &self.spans.include), ("spans.exclude", &self.spans.exclude)];
        for (path, properties) in spans {
            if let Some(properties) = properties {
                report.within(path, properties);
                if let Some(name) = properties.meaningless(Signal::Traces) {
                    report.error(&format!("{path}.{name}"), "has no meaning for traces");
                }
            }
        }
        let metrics = [("metrics.include", &self.metrics.include), ("metrics.exclude", &self.metrics.exclude)];
        for (path, choice) in metrics {
            older::check(path, choice.as_ref(), report);
        }
        let logs = [("logs.include", &self.logs.include), ("logs.exclude", &self.logs.exclude)];
        for (path, choice) in logs {
            older::check(path, choice.as_ref(), report);
        }
    }
}

/// A fault in a condition, or what is wrong with the name of a context and how to mend it.
type Wrong = Result<Fault, (String, String)>;

impl Config {
    fn newest(&self, signal: Signal) -> (&'static str, &[Entry<Group>]) {
        match signal {
            Signal::Traces => ("trace_conditions", &self.trace_conditions),
            Signal::Metrics => ("metric_conditions", &self.metric_conditions),
            Signal::Logs => ("log_conditions", &self.log_conditions),
        }
    }

    fn by_context(&self, signal: Signal) -> Vec<(&'static str, Context, &[String])> {
        match signal {
            Signal::Traces => vec![
                ("traces.resource", Context::Resource, self.traces.resource.as_slice()),
                ("traces.span", Context::Span, &self.traces.span),
                ("traces.spanevent", Context::SpanEvent, &self.traces.spanevent),
            ],
            Signal::Metrics => vec![
                ("metrics.resource", Context::Resource, self.metrics.resource.as_slice()),
                ("metrics.metric", Context::Metric, &self.metrics.metric),
                ("metrics.datapoint", Context::Datapoint, &self.metrics.datapoint),
            ],
            Signal::Logs => vec![
                ("logs.resource", Context::Resource, self.logs.resource.as_slice()),
                ("logs.log_record", Context::Log, &self.logs.log_record),
            ],
        }
    }

    const fn has_properties(&self, signal: Signal) -> bool {
        match signal {
            Signal::Traces => self.spans.include.is_some() || self.spans.exclude.is_some(),
            Signal::Metrics => self.metrics.include.is_some() || self.metrics.exclude.is_some(),
            Signal::Logs => self.logs.include.is_some() || self.logs.exclude.is_some(),
        }
    }

    /// What is dropped of a signal, and the path and kind of each fault.
    fn rules(&self, signal: Signal) -> (Rules, Vec<(String, Wrong)>) {
        let (mut rules, mut wrong) = (Rules::new(signal), Vec::new());
        let mut add = |path: String, text: &str, context: Option<Context>, mode: ErrorMode| {
            let parsed = match context {
                Some(context) => Condition::parse(text, context).map(|condition| (context, condition)),
                None => Condition::infer(text, signal),
            };
            match parsed {
                Ok((context, condition)) => rules.add(context, Rule { condition, mode, text: text.to_owned() }),
                Err(fault) => wrong.push((path, Ok(fault))),
            }
        };
        let (name, newest) = self.newest(signal);
        let mut unknown = Vec::new();
        groups::texts(newest).for_each(|(index, text)| add(format!("{name}.{index}"), text, None, self.error_mode));
        for (index, group) in groups::groups(newest) {
            let context = match group.context.as_str() {
                "" => None,
                context => match groups::context(context, signal) {
                    Ok(context) => Some(context),
                    Err(what) => {
                        unknown.push((format!("{name}.{index}.context"), Err(what)));
                        continue;
                    }
                },
            };
            let mode = group.error_mode.unwrap_or(self.error_mode);
            for (inner, text) in group.conditions.iter().enumerate() {
                add(format!("{name}.{index}.conditions.{inner}"), text, context, mode);
            }
        }
        for (path, context, texts) in self.by_context(signal) {
            for (index, text) in texts.iter().enumerate() {
                add(format!("{path}.{index}"), text, Some(context), self.error_mode);
            }
        }
        wrong.extend(unknown);
        (rules, wrong)
    }

    fn selection(&self, signal: Signal) -> Result<Selection, String> {
        match signal {
            Signal::Traces => Selection::new(self.spans.include.as_ref(), self.spans.exclude.as_ref()),
            Signal::Metrics => older::selection(self.metrics.include.as_ref(), self.metrics.exclude.as_ref()),
            Signal::Logs => older::selection(self.logs.include.as_ref(), self.logs.exclude.as_ref()),
        }
    }
}

impl ProcessorConfig for Config {
    fn build(&self, signal: Signal, next: Next, context: &component::Context) -> Result<Next, StartError> {
        let (mut rules, wrong) = self.rules(signal);
        if let Some((path, _)) = wrong.first() {
            return Err(context.error(format!("{path} has not been checked")));
        }
        rules.selection = self.selection(signal).map_err(|reason| context.error(reason))?;
        let (name, help) = DROPPED[signal as usize];
        let dropped = context.metrics.counter(name, help, &[("processor", &context.id)]);
        Ok(Arc::new(Filter { rules, dropped, failures: Failures::new(context), next }))
    }
}

struct Filter {
    rules: Rules,
    dropped: Counter,
    failures: Failures,
    next: Next,
}

impl Consumer for Filter {
    fn consume(&self, batch: Batch) -> Boxed<'_, Outcome> {
        let mut pass = Pass::new(&self.rules, &self.failures);
        let left = edit(&batch, &mut pass);
        if let Some(stopped) = pass.stopped {
            return Box::pin(std::future::ready(stopped.into()));
        }
        self.dropped.add((batch.items - left.items) as u64);
        if left.body.is_empty() && !batch.body.is_empty() {
            return Box::pin(std::future::ready(Outcome::Accepted));
        }
        self.next.consume(left)
    }
}

/// The Collector's names, by signal.
const DROPPED: [(&str, &str); 3] = [
    ("otelcol_processor_filter_spans_filtered", "Spans dropped by the filter, by processor."),
    ("otelcol_processor_filter_datapoints_filtered", "Data points dropped by the filter, by processor."),
    ("otelcol_processor_filter_logs_filtered", "Log records dropped by the filter, by processor."),
];

#[cfg(test)]
mod tests;
