//! `routing` connector: each record to the pipelines of the first condition that holds of it.
//!
//! ```yaml
//! connectors:
//!   routing:
//!     default_pipelines: [traces/rest]      # what no condition holds of; without any, it is dropped and counted
//!     error_mode: propagate                 # or ignore, silent: a condition that cannot be asked does not hold
//!     table:
//!       - condition: attributes["faas.name"] == "checkout"     # of the resource, unless `context` says otherwise
//!         pipelines: [traces/checkout]
//!       - context: span                     # resource, span, metric, datapoint, log
//!         statement: route() where status.code == STATUS_CODE_ERROR
//!         pipelines: [traces/errors, traces/rest]
//! ```
//!
//! A request whose records all go the same way is handed on as it came; otherwise it is cut at record boundaries. The
//! answer is the worst of those of the pipelines it went to. A condition that cannot be asked of a record (text where a
//! number must be) refuses the whole request for good, if errors propagate. The context `request` is not supported: what
//! a request was carried by is not kept.

use std::sync::Arc;

use serde::Deserialize;

use crate::{
    config::{Check, Report},
    otlp::{
        Signal,
        edit::{Edit, Keep, Patch, edit},
        view,
    },
    ottl::{self, Condition, Failure, Level, Scene},
    pipeline::{
        Batch, Boxed, Consumer, Next, Outcome,
        component::{ConnectorConfig, Context, Outputs, StartError},
    },
    telemetry::Counter,
};

/// The configuration.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Asked in this order.
    pub table: Vec<Route>,
    /// Where what no route takes goes.
    pub default_pipelines: Vec<String>,
    /// What becomes of a condition that cannot be asked.
    pub error_mode: ErrorMode,
}

/// One row of the table.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Route {
    /// What the condition is about.
    pub context: Of,
    /// What must hold.
    pub condition: String,
    /// The same, as `route() where …`.
    pub statement: String,
    /// Where it goes.
    pub pipelines: Vec<String>,
}

/// What a condition is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Of {
    /// Everything that a resource sent.
    #[default]
    Resource,
    /// A span.
    Span,
    /// A metric with all its points.
    Metric,
    /// A data point.
    Datapoint,
    /// A log record.
    Log,
    /// The request that brought it; refused.
    Request,
}

/// What becomes of a condition that cannot be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ErrorMode {
    /// The request is refused for good.
    #[default]
    Propagate,
    /// It does not hold, and that is logged.
    Ignore,
    /// It does not hold.
    Silent,
}

impl Of {
    const fn context(self) -> Option<ottl::Context> {
        Some(match self {
            Self::Resource => ottl::Context::Resource,
            Self::Span => ottl::Context::Span,
            Self::Metric => ottl::Context::Metric,
            Self::Datapoint => ottl::Context::Datapoint,
            Self::Log => ottl::Context::Log,
            Self::Request => return None,
        })
    }

    /// The only signal that has it.
    const fn signal(self) -> Option<Signal> {
        match self {
            Self::Resource | Self::Request => None,
            Self::Span => Some(Signal::Traces),
            Self::Metric | Self::Datapoint => Some(Signal::Metrics),
            Self::Log => Some(Signal::Logs),
        }
    }
}

impl Route {
    /// The condition, compiled; `None` if it always holds.
    fn compile(&self, context: ottl::Context) -> Result<Option<Condition>, ottl::Fault> {
        if self.statement.is_empty() {
            return Condition::parse(&self.condition, context).map(Some);
        }
        let where_ = self.where_clause().unwrap_or_default();
        if where_.trim().is_empty() { Ok(None) } else { Condition::parse(where_, context).map(Some) }
    }

    /// What follows `route() where`; empty for `route()` alone, `None` for any other statement.
    fn where_clause(&self) -> Option<&str> {
        let rest = self.statement.trim().strip_prefix("route")?.trim_start().strip_prefix('(')?;
        let rest = rest.trim_start().strip_prefix(')')?.trim_start();
        if rest.is_empty() {
            return Some("");
        }
        rest.strip_prefix("where").filter(|clause| clause.starts_with([' ', '\t', '\n', '(']))
    }
}

impl Check for Config {
    fn check(&self, report: &mut Report<'_>) {
        if self.table.is_empty() {
            report.error("table", "has no routes").hint("`forward` joins pipelines without asking");
        }
        for (index, route) in self.table.iter().enumerate() {
            report.within(&format!("table.{index}"), route);
        }
    }
}

impl Check for Route {
    fn check(&self, report: &mut Report<'_>) {
        if self.pipelines.is_empty() {
            report.error("pipelines", "are missing").hint("say where it goes, such as [traces/errors]");
        }
        let key = match (self.condition.is_empty(), self.statement.is_empty()) {
            (true, true) => {
                report.error("", "needs a condition");
                return;
            }
            (false, false) => {
                report.error("statement", "does not go with condition; leave one of them out");
                return;
            }
            (false, true) => "condition",
            (true, false) => "statement",
        };
        if key == "statement" && self.where_clause().is_none() {
            report.error(key, "must be `route() where …`").hint("or write what follows `where` as `condition`");
            return;
        }
        let Some(context) = self.context.context() else {
            let message = "`request` is not supported: what a request was carried by is not kept";
            report.error("context", message).hint("route on resource attributes");
            return;
        };
        if let Err(fault) = self.compile(context) {
            let problem = report.error(key, fault.to_string());
            if let Some(hint) = fault.hint {
                problem.hint(hint);
            }
        }
        let Some(signal) = self.context.signal() else { return };
        for (index, pipeline) in self.pipelines.iter().enumerate() {
            if pipeline.split('/').next() != Some(signal.name()) {
                let message = format!("`{pipeline}` has no {}s", context.name());
                report.error(&format!("pipelines.{index}"), message);
            }
        }
    }
}

impl ConnectorConfig for Config {
    fn build(&self, outputs: Outputs, context: &Context) -> Result<Next, StartError> {
        let mut table = Vec::new();
        for route in &self.table {
            let of = route.context.context().ok_or_else(|| context.error("`request` is not supported"))?;
            let condition = route.compile(of).map_err(|fault| context.error(fault.to_string()))?;
            table.push(Row { of, condition });
        }
        let pipelines = self.table.iter().map(|route| route.pipelines.clone());
        let pipelines = pipelines.chain([self.default_pipelines.clone()]).collect();
        let labels = [("connector", context.id.as_str())];
        let counter = |name, help| context.metrics.counter(name, help, &labels);
        Ok(Arc::new(Routing {
            table,
            pipelines,
            error_mode: self.error_mode,
            outputs,
            unrouted: counter("sekisho_routing_dropped_items", "Items no route takes, without a default."),
            failed: counter("sekisho_routing_failed_conditions", "Conditions that could not be asked of a record."),
            component: context.component.clone(),
        }))
    }

    fn pipelines(&self) -> Vec<(String, &str)> {
        let of =
            |at: String, names: &'_ [String]| (0..names.len()).map(|index| format!("{at}.{index}")).collect::<Vec<_>>();
        let mut all = Vec::new();
        for (index, route) in self.table.iter().enumerate() {
            let keys = of(format!("table.{index}.pipelines"), &route.pipelines);
            all.extend(keys.into_iter().zip(route.pipelines.iter().map(String::as_str)));
        }
        let keys = of("default_pipelines".to_owned(), &self.default_pipelines);
        all.extend(keys.into_iter().zip(self.default_pipelines.iter().map(String::as_str)));
        all
    }
}

struct Row {
    of: ottl::Context,
    /// `None`: always holds.
    condition: Option<Condition>,
}

struct Routing {
    table: Vec<Row>,
    /// Of each row, then of what no row takes.
    pipelines: Vec<Vec<String>>,
    error_mode: ErrorMode,
    outputs: Outputs,
    unrouted: Counter,
    failed: Counter,
    component: String,
}

impl Consumer for Routing {
    fn consume(&self, batch: Batch) -> Boxed<'_, Outcome> {
        Box::pin(self.route(batch))
    }
}

impl Routing {
    async fn route(&self, batch: Batch) -> Outcome {
        let ways = match self.ways(&batch) {
            Ok(ways) => ways,
            Err(Failure(reason)) => return Outcome::Permanent { reason: format!("{}: {reason}", self.component) },
        };
        let default = self.table.len();
        let first = ways.first().copied().unwrap_or(default);
        if ways.iter().all(|way| *way == first) {
            return self.hand_on(first, batch).await;
        }
        let mut worst = Outcome::Accepted;
        for way in 0..=default {
            if ways.contains(&way) {
                let part = edit(&batch, &mut Only { ways: &ways, way });
                worst = worst.and(self.hand_on(way, part).await);
            }
        }
        worst
    }

    /// The row that each record goes by, in the order of the views.
    fn ways(&self, batch: &Batch) -> Result<Vec<usize>, Failure> {
        let mut ways = Vec::with_capacity(batch.items);
        let record = match batch.signal {
            Signal::Traces => (ottl::Context::Span, Level::Span),
            Signal::Logs => (ottl::Context::Log, Level::Log),
            Signal::Metrics => (ottl::Context::Metric, Level::Metric),
        };
        for group in view::resources(&batch.body) {
            let scene = Scene::new().with(Level::Resource, group.resource());
            // Rows about what is above are asked once for all that is below.
            let of_resource = self.first(ottl::Context::Resource, &scene, self.table.len())?;
            for scope in group.scopes() {
                for message in scope.records() {
                    let scene = scene.with(Level::Scope, scope.scope()).with(record.1, message);
                    let way = self.first(record.0, &scene, of_resource)?;
                    if batch.signal == Signal::Metrics {
                        for (field, point) in view::points(message) {
                            ways.push(self.first(ottl::Context::Datapoint, &scene.with_point(field, point), way)?);
                        }
                    } else {
                        ways.push(way);
                    }
                }
            }
        }
        Ok(ways)
    }

    /// The first row about `of` that holds, if it comes before `limit`.
    fn first(&self, of: ottl::Context, scene: &Scene<'_>, limit: usize) -> Result<usize, Failure> {
        for (index, row) in self.table.iter().enumerate().take(limit) {
            if row.of != of {
                continue;
            }
            match row.condition.as_ref().map_or(Ok(true), |condition| condition.holds(scene)) {
                Ok(true) => return Ok(index),
                Ok(false) => {}
                Err(failure) => {
                    self.failed.add(1);
                    match self.error_mode {
                        ErrorMode::Propagate => return Err(failure),
                        ErrorMode::Ignore => {
                            tracing::warn!(component = self.component, route = index, %failure, "condition not asked");
                        }
                        ErrorMode::Silent => {}
                    }
                }
            }
        }
        Ok(limit)
    }

    async fn hand_on(&self, way: usize, batch: Batch) -> Outcome {
        let pipelines = self.pipelines.get(way).map_or(&[][..], Vec::as_slice);
        let mut worst = Outcome::Accepted;
        let mut taken = false;
        for name in pipelines.iter().filter(|name| name.split('/').next() == Some(batch.signal.name())) {
            taken = true;
            worst = worst.and(match self.outputs.pipeline(name) {
                Some(next) => next.consume(batch.clone()).await,
                None => Outcome::Retryable { after: None, reason: format!("pipeline {name} is not connected") },
            });
        }
        if !taken {
            self.unrouted.add(batch.items as u64);
        }
        worst
    }
}

/// Keeps the records that go one way.
struct Only<'a> {
    ways: &'a [usize],
    way: usize,
}

impl Edit for Only<'_> {
    fn record(&mut self, index: usize, _record: &[u8], _patch: &mut Patch) -> Keep {
        if self.ways.get(index) == Some(&self.way) { Keep::Yes } else { Keep::No }
    }
}

#[cfg(test)]
mod tests;
