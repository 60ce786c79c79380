//! Learns what every function normally does, annotates what is not normal, raises incidents.
//!
//! ```yaml
//! anomaly:
//!   budget: 1/week        # false pages you accept, for the whole fleet; the only number you set
//!   annotate: anomalous   # which spans and log records carry `anomaly.*`: anomalous, all, none
//!   state: file_storage   # the extension that keeps what was learned over restarts; none: memory only
//!   mode: active          # observe: alerts are kept in a file for `sekisho report`, and sent to nobody
//!   incidents:
//!     retention: 2160h    # how long a resolved incident is kept for people to look at (90 days)
//!     max_stored: 1000    # incidents kept at most
//!   redaction:            # what is masked before anything is stored or sent; these are the defaults, shortened
//!     allowed_keys: []    # the only attributes kept of spans and resources; empty: all
//!     blocked_key_patterns: ["(?i)password|secret|token"]
//!     blocked_values: ["[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+[.][A-Za-z]{2,}"]
//!     masking_string: "[redacted]"
//!     hash_function: hmac-sha256       # instead of the masking string, with hmac_key
//! ```
//!
//! One id is one detector: listed in several pipelines, it is the same instance, so that traces, logs and metrics feed
//! one model: what functions say of themselves, what the platform reports of them (Lambda's platform events, REPORT lines,
//! per-minute metrics) and what the services they call record (CloudTrail). Listed as a *receiver* of a logs pipeline, it sends its incidents there, as OTLP log records.
//!
//! Nothing is held back to be scored and nothing is refused for a score. What cannot be attributed to a function
//! passes unscored, with a count. A store that fails costs what would have been remembered, never telemetry.

mod annotate;
mod control;
mod core;
pub mod export;
mod functions;
mod model;
mod outbox;
mod redact;
mod roster;
mod state;
mod traces;
mod trial;

use std::{sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::{annotate::Annotate, core::Core};
pub use self::{
    core::Totals,
    model::{Model, Seen},
    redact::Redaction,
};
use crate::{
    config::{Check, Rate, Report},
    otlp::{Signal, edit::edit},
    pipeline::{
        Batch, Boxed, Consumer, Next, Outcome,
        component::{Context, Outputs, ProcessorConfig, Running, StartError},
    },
};

/// Each is some 10 KB, and as many may be in memory.
const MOST_STORED: u32 = 10_000;
/// Requests with more items than this are scored off the I/O threads: they would hold one for half a millisecond.
const MANY_ITEMS: usize = 500;

/// The configuration.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// False pages accepted, for the whole fleet.
    pub budget: Rate,
    /// What is annotated.
    pub annotate: Annotated,
    /// Id of the extension that keeps state.
    pub state: Option<String>,
    /// What becomes of alerts.
    pub mode: Mode,
    /// What is kept of incidents.
    pub incidents: Kept,
    /// What is masked before anything is stored or sent.
    pub redaction: Redaction,
}

/// What becomes of alerts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// They are sent.
    #[default]
    Active,
    /// They are kept for a report, and nobody hears of them: a trial.
    Observe,
}

/// How much is kept of incidents, and for how long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Kept {
    /// A resolved incident is forgotten so long after its last change.
    #[serde(with = "crate::config::DurationText")]
    pub retention: Duration,
    /// Incidents kept; beyond, those that changed longest ago go, resolved ones first.
    pub max_stored: u32,
}

impl Default for Kept {
    fn default() -> Self {
        Self { retention: Duration::from_hours(90 * 24), max_stored: 1000 }
    }
}

/// Which records of scored invocations carry annotations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Annotated {
    /// Those of invocations of tier queue or page.
    #[default]
    Anomalous,
    /// Those of every scored invocation.
    All,
    /// None.
    None,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            budget: Rate::weekly(1.0),
            annotate: Annotated::default(),
            state: None,
            mode: Mode::default(),
            incidents: Kept::default(),
            redaction: Redaction::default(),
        }
    }
}

impl Check for Config {
    fn check(&self, report: &mut Report<'_>) {
        if self.budget.per_day() <= 0.0 {
            report.error("budget", "must be more than 0").hint("1/week suits most; 1/day while you get to know it");
        }
        if self.mode == Mode::Observe && self.state.is_none() {
            report.error("mode", "`observe` needs `state`").hint("what would have been told is kept beside it");
        }
        if self.incidents.retention.is_zero() {
            report.error("incidents.retention", "must be more than 0");
        }
        if !(1..=MOST_STORED).contains(&self.incidents.max_stored) {
            report.error("incidents.max_stored", format!("must be between 1 and {MOST_STORED}"));
        }
        report.within("redaction", &self.redaction);
    }
}

impl ProcessorConfig for Config {
    fn build(&self, _signal: Signal, next: Next, context: &Context) -> Result<Next, StartError> {
        let core = Core::shared(self, context)?;
        Ok(Arc::new(Anomaly { core, annotated: self.annotate, turn: tokio::sync::Mutex::default(), next }))
    }

    fn source(&self, outputs: Outputs, context: &Context) -> Result<Option<Box<dyn Running>>, StartError> {
        let core = Core::shared(self, context)?;
        core.send_alerts_to(outputs);
        Ok(Some(Box::new(Alerts(core))))
    }

    fn extensions(&self) -> Vec<(&'static str, &str)> {
        self.state.iter().map(|id| ("state", id.as_str())).collect()
    }
}

struct Anomaly {
    core: Arc<Core>,
    annotated: Annotated,
    /// Who scores a large batch: there is one model, and several threads would only wait for it, each with memory of
    /// its own.
    turn: tokio::sync::Mutex<()>,
    next: Next,
}

impl Anomaly {
    async fn take(&self, batch: Batch) -> Outcome {
        let annotated = if batch.items > MANY_ITEMS {
            let _turn = self.turn.lock().await;
            let (core, which, given) = (self.core.clone(), self.annotated, batch.clone());
            // A panic while scoring must not cost telemetry: the batch goes on as it came.
            tokio::task::spawn_blocking(move || score(&core, which, &given)).await.unwrap_or(batch)
        } else {
            score(&self.core, self.annotated, &batch)
        };
        self.next.consume(annotated).await
    }
}

impl Consumer for Anomaly {
    fn consume(&self, batch: Batch) -> Boxed<'_, Outcome> {
        Box::pin(self.take(batch))
    }
}

/// What all nodes of one id share, until the end.
struct Alerts(Arc<Core>);

impl Running for Alerts {
    fn stop(&self) -> Boxed<'_, ()> {
        Box::pin(self.0.drain())
    }
}

fn score(core: &Core, annotated: Annotated, batch: &Batch) -> Batch {
    let marks = core.see(batch, annotated);
    if marks.is_empty() { batch.clone() } else { edit(batch, &mut Annotate::new(&marks)) }
}
