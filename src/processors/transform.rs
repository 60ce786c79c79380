//! Changes telemetry with statements of the OpenTelemetry Transformation Language; [`ottl`](crate::ottl) lists what there
//! is of it.
//!
//! ```yaml
//! transform:
//!   error_mode: ignore                   # or silent, propagate: what if a statement fails on a record
//!   trace_statements:                    # also metric_statements, log_statements
//!     - set(span.name, "GET") where span.attributes["http.method"] == "GET"
//!     - truncate_all(resource.attributes, 4096)
//!   log_statements:
//!     - context: log                     # or groups, one after the other: what paths without a prefix mean,
//!       conditions: [body["level"] == "warn"]                 # run only if one of these holds,
//!       error_mode: silent                                    # an error_mode of its own
//!       statements: [set(severity_number, SEVERITY_NUMBER_WARN), 'delete_key(attributes, "password")']
//! ```
//!
//! Statements run in order, each on what those before it have left; a group runs over the whole batch before the next one
//! does. A plain list is one group about the lowest message that any of its paths names. A statement that fails on a
//! record (`error_mode`) changes nothing there; with `propagate` the batch is refused for good.

mod pass;

use std::sync::Arc;

use serde::Deserialize;

use self::pass::{Pass, Program};
use super::{
    failures::{self, Failures},
    groups::{self, Entry},
};
use crate::{
    config::{Check, Report},
    otlp::{Signal, edit::edit},
    ottl::{Condition, Context, ErrorMode, Fault, Statement},
    pipeline::{
        Batch, Boxed, Consumer, Next, Outcome,
        component::{self, ProcessorConfig, StartError},
    },
};

/// The configuration; the keys are the Collector's.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What becomes of a record on which a statement fails.
    pub error_mode: ErrorMode,
    /// What happens to traces.
    pub trace_statements: Vec<Entry<Group>>,
    /// What happens to metrics.
    pub metric_statements: Vec<Entry<Group>>,
    /// What happens to logs.
    pub log_statements: Vec<Entry<Group>>,
}

/// Statements with settings.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Group {
    /// What paths without a prefix mean; if empty, each path says it.
    pub context: String,
    /// One of them must hold for the statements to run; if there are none, they always do.
    pub conditions: Vec<String>,
    /// If it is not the processor's.
    pub error_mode: Option<ErrorMode>,
    /// What happens, in this order.
    pub statements: Vec<String>,
}

impl Check for Config {
    fn check(&self, report: &mut Report<'_>) {
        for signal in Signal::ALL {
            let (name, list) = self.list(signal);
            groups::check_style(name, list, report);
            for (path, wrong) in self.programs(signal).1 {
                match wrong {
                    Ok(fault) => failures::report(&fault, &path, report),
                    Err((message, hint)) => {
                        report.error(&path, message).hint(hint);
                    }
                }
            }
        }
    }
}

/// A fault in a statement, or what is wrong with the name of a context and how to mend it.
type Wrong = Result<Fault, (String, String)>;

impl Config {
    fn list(&self, signal: Signal) -> (&'static str, &[Entry<Group>]) {
        match signal {
            Signal::Traces => ("trace_statements", &self.trace_statements),
            Signal::Metrics => ("metric_statements", &self.metric_statements),
            Signal::Logs => ("log_statements", &self.log_statements),
        }
    }

    /// What happens to a signal, and the path and kind of each fault.
    fn programs(&self, signal: Signal) -> (Vec<Program>, Vec<(String, Wrong)>) {
        let (name, list) = self.list(signal);
        let (mut programs, mut wrong) = (Vec::new(), Vec::new());
        let (indices, texts): (Vec<usize>, Vec<String>) =
            groups::texts(list).map(|(index, text)| (index, text.clone())).unzip();
        if !texts.is_empty() {
            let plain = Group { statements: texts, ..Group::default() };
            let path = |index: usize| format!("{name}.{}", indices.get(index).copied().unwrap_or_default());
            self.compile(&plain, None, signal, path, &mut programs, &mut wrong);
        }
        for (index, group) in groups::groups(list) {
            let of_statements = group.statements.len();
            let path = |inner: usize| match inner.checked_sub(of_statements) {
                None => format!("{name}.{index}.statements.{inner}"),
                Some(inner) => format!("{name}.{index}.conditions.{inner}"),
            };
            match (group.context.as_str(), groups::context(&group.context, signal)) {
                ("", _) => self.compile(group, None, signal, path, &mut programs, &mut wrong),
                (_, Ok(context)) => self.compile(group, Some(context), signal, path, &mut programs, &mut wrong),
                (_, Err(what)) => wrong.push((format!("{name}.{index}.context"), Err(what))),
            }
        }
        (programs, wrong)
    }

    /// Compiles a group; without a context, it is inferred.
    fn compile(
        &self,
        group: &Group,
        context: Option<Context>,
        signal: Signal,
        path: impl Fn(usize) -> String,
        programs: &mut Vec<Program>,
        wrong: &mut Vec<(String, Wrong)>,
    ) {
        if group.statements.is_empty() {
            return;
        }
        let compiled = match context {
            None => Statement::infer(&group.statements, &group.conditions, signal),
            Some(context) => in_context(group, context),
        };
        match compiled {
            Ok((context, statements, conditions)) => programs.push(Program {
                context,
                statements: statements.into_iter().zip(group.statements.iter().cloned()).collect(),
                conditions: conditions.into_iter().zip(group.conditions.iter().cloned()).collect(),
                mode: group.error_mode.unwrap_or(self.error_mode),
            }),
            Err(faults) => wrong.extend(faults.into_iter().map(|(index, fault)| (path(index), Ok(fault)))),
        }
    }
}

type Compiled = Result<(Context, Vec<Statement>, Vec<Condition>), Vec<(usize, Fault)>>;

fn in_context(group: &Group, context: Context) -> Compiled {
    let (mut statements, mut conditions, mut faults) = (Vec::new(), Vec::new(), Vec::new());
    for (index, text) in group.statements.iter().enumerate() {
        match Statement::parse(text, context) {
            Ok(statement) => statements.push(statement),
            Err(fault) => faults.push((index, fault)),
        }
    }
    for (index, text) in (group.statements.len()..).zip(&group.conditions) {
        match Condition::parse(text, context) {
            Ok(condition) => conditions.push(condition),
            Err(fault) => faults.push((index, fault)),
        }
    }
    if faults.is_empty() { Ok((context, statements, conditions)) } else { Err(faults) }
}

impl ProcessorConfig for Config {
    fn build(&self, signal: Signal, next: Next, context: &component::Context) -> Result<Next, StartError> {
        let (programs, wrong) = self.programs(signal);
        if let Some((path, _)) = wrong.first() {
            return Err(context.error(format!("{path} has not been checked")));
        }
        Ok(Arc::new(Transform { signal, programs, failures: Failures::new(context), next }))
    }
}

struct Transform {
    signal: Signal,
    programs: Vec<Program>,
    failures: Failures,
    next: Next,
}

impl Consumer for Transform {
    fn consume(&self, mut batch: Batch) -> Boxed<'_, Outcome> {
        for program in &self.programs {
            let mut pass = Pass::new(self.signal, program, &self.failures);
            batch = edit(&batch, &mut pass);
            if let Some(stopped) = pass.stopped {
                return Box::pin(std::future::ready(stopped.into()));
            }
        }
        self.next.consume(batch)
    }
}

#[cfg(test)]
mod tests;
