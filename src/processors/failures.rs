//! What the processors that run OTTL do when a condition or statement is wrong in the configuration, or fails on a record.

use tracing::warn;

use crate::{
    config::Report,
    ottl::{ErrorMode, Failure, Fault},
    pipeline::{Outcome, component::Context},
    telemetry::Counter,
};

/// Reports a fault in the statement at `path`.
pub fn report(fault: &Fault, path: &str, report: &mut Report<'_>) {
    let problem = report.error_in(path, fault.at, fault.width, fault.to_string());
    if let Some(hint) = &fault.hint {
        problem.hint(hint.clone());
    }
}

/// Counts failures on records and says what becomes of them.
#[derive(Clone, Debug)]
pub struct Failures {
    component: String,
    counter: Counter,
}

impl Failures {
    pub fn new(context: &Context) -> Self {
        let labels = [("processor", context.id.as_str())];
        Self { component: context.component.clone(), counter: context.metrics.counter(FAILURES.0, FAILURES.1, &labels) }
    }

    /// Counts a failure; an error if it is to stop the batch. Logged each time their number has doubled, so that a sender
    /// cannot fill the log.
    pub fn note(&self, mode: ErrorMode, what: &str, failure: &Failure) -> Result<(), Stopped> {
        self.counter.add(1);
        let failures = self.counter.get();
        match mode {
            ErrorMode::Propagate => Err(Stopped(format!("{}: {what}: {failure}", self.component))),
            ErrorMode::Ignore if failures.is_power_of_two() => {
                warn!(component = self.component, statement = what, %failure, failures, "a statement failed on a record");
                Ok(())
            }
            ErrorMode::Ignore | ErrorMode::Silent => Ok(()),
        }
    }
}

/// Why a batch goes no further.
#[derive(Debug)]
pub struct Stopped(String);

impl From<Stopped> for Outcome {
    fn from(stopped: Stopped) -> Self {
        Self::Permanent { reason: stopped.0 }
    }
}

const FAILURES: (&str, &str) =
    ("sekisho_ottl_failures", "Conditions and statements that failed on a record, by processor.");
