//! `escalation` exporter: what to do about incidents, step by step, until somebody answers.
//!
//! ```yaml
//! escalation:
//!   playbooks:
//!     - name: takeover
//!       when:                            # all that are given must hold
//!         tier: page                     # or a higher one: evidence, queue, page
//!         minimum_priority: 60
//!         techniques: [T1552, T1041]     # any of them
//!         functions: [checkout, "pay-*"]
//!         repetition: { times: 3, within: 24h }   # of the function's incidents
//!         silence: 15m                   # nobody has given a verdict for so long
//!       stages:
//!         - stage: observe               # only the audit log hears of it
//!         - stage: notify
//!           actions:
//!             - webhook: { endpoint: https://on-call.example.com/sekisho, signing_secret: whsec_… }
//!         - stage: ask
//!           after: 10m                   # counted from the playbook's beginning, in wall time
//!           actions:
//!             - exec: { command: [/usr/local/bin/open-bridge, --now], timeout: 30s, environment: { TEAM: shop } }
//!         - stage: act
//!           after: 15m
//!           actions:                     # proposals: executed only once a person has approved them
//!             - quarantine: {}           # no concurrency is left to the function
//!             - rollback: { alias: live, version: "" }   # "": the version before
//!             - revoke: { role: "{function}-role" }
//!   dry_run: false                       # programs and approved actions are only written down
//!   cool_down: 10m                       # between two executions of the same for the same function
//!   maximum_per_hour: 10                 # executions of all kinds
//!   expires_after: 4h                    # proposals
//!   storage: file_storage                # open stages and proposals outlive the process
//!   audit_log: ""                        # default: beside the storage
//! ```
//!
//! A stage whose time has come is passed over once the incident is resolved or a person has called it expected or unsure;
//! of one that is malicious, only `act` goes on. Webhooks have the keys and the signature of the `webhook` exporter, and
//! on the record `sekisho.escalation.playbook`, `.stage` and `.step`. Programs are run without a shell, know the incident
//! from variables `SEKISHO_…`, and what they print goes into the audit log. Everything is at least once: an action under
//! way when the process is killed is done again. A strong action is at most once: it has failed then, and says so.
//!
//! An alert is taken once it is in the storage. Each step is in the audit log before it is taken: JSON lines, each bound
//! to those before it by a hash, checked at the start and by `sekisho audit verify FILE`. A log that does not hold is set
//! aside, and that is said; an action that cannot be written down is not taken.

mod book;
mod engine;
mod exec;
mod playbook;
mod proposals;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use book::{Book, Limits};
use engine::{Engine, Gauges, Webhooks};
use playbook::{Deed, Playbook, unqueued};
use proposals::Desk;

use super::direct;
use crate::{
    config::{Check, Report},
    incidents::{
        escalation::answers::{Answer, Answers, Listener},
        proposals::{Proposals, Registry},
    },
    pipeline::{
        Batch, Boxed, Consumer, Next, Outcome,
        component::{Context, ExporterConfig, StartError},
    },
    store::Store,
};

/// The configuration.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What to do, and about what.
    pub playbooks: Vec<Playbook>,
    /// Programs and approved actions are only written down; webhooks are sent.
    pub dry_run: bool,
    /// Between two executions of the same for the same function.
    #[serde(with = "crate::config::DurationText")]
    pub cool_down: Duration,
    /// Executions of all kinds.
    pub maximum_per_hour: u32,
    /// How long a proposal may be approved.
    #[serde(with = "crate::config::DurationText")]
    pub expires_after: Duration,
    /// Id of the extension that keeps what is open over restarts.
    pub storage: Option<String>,
    /// Where the audit log is, if not beside the storage.
    pub audit_log: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            playbooks: Vec::new(),
            dry_run: false,
            cool_down: Duration::from_mins(10),
            maximum_per_hour: 10,
            expires_after: Duration::from_hours(4),
            storage: None,
            audit_log: None,
        }
    }
}

impl Check for Config {
    fn check(&self, report: &mut Report<'_>) {
        if self.playbooks.is_empty() {
            report.error("playbooks", "there are none");
        }
        for (index, playbook) in self.playbooks.iter().enumerate() {
            report.within(&format!("playbooks.{index}"), playbook);
            if self.playbooks.iter().take(index).any(|earlier| earlier.name == playbook.name) {
                report.error(&format!("playbooks.{index}.name"), "another playbook has this name");
            }
        }
        if self.maximum_per_hour == 0 {
            report.error("maximum_per_hour", "must be more than 0").hint("`dry_run: true` executes nothing");
        }
        if self.expires_after.is_zero() {
            report.error("expires_after", "must be more than 0");
        }
        match (&self.storage, &self.audit_log) {
            (None, None) => {
                report.error("storage", "is missing, and so is audit_log").hint("such as `storage: file_storage`");
            }
            (None, Some(_)) => {
                report.warning("storage", "is missing: what is open is forgotten when the gateway ends");
            }
            _ => {}
        }
    }
}

impl Config {
    /// What is open: the same for an exporter of this id before and after a reload.
    fn book(&self, context: &Context) -> Result<Arc<Book>, StartError> {
        let name = format!("escalation book of {}", context.id);
        if let Some(book) = context.shared.get::<Book>(&name) {
            return Ok(book);
        }
        let store = match &self.storage {
            None => None,
            Some(id) => Some(context.shared.get::<Store>(id).ok_or_else(|| {
                context.error(format!("storage: `{id}` is not a running store; add a `file_storage`"))
            })?),
        };
        let usual = format!("{}.audit.jsonl", context.id.replace('/', "-"));
        let path = match (&self.audit_log, &store) {
            (Some(path), _) => context.base.join(path),
            (None, Some(store)) => store.directory().join(usual),
            (None, None) => context.base.join(usual),
        };
        let registry = context.shared.get_or_default::<Registry>(Registry::NAME);
        let store = store.map(|store| (store, context.id.clone()));
        let book = Book::open(store, &path, &context.component, registry, wall_clock());
        let book = Arc::new(book.map_err(|why| context.error(format!("{}: {why}", path.display())))?);
        context.shared.put(&name, book.clone());
        Ok(book)
    }

    fn webhooks(&self, context: &Context) -> Result<Webhooks, StartError> {
        let mut webhooks = BTreeMap::new();
        for playbook in &self.playbooks {
            for (number, stage) in playbook.stages.iter().enumerate() {
                for (place, action) in stage.actions.iter().enumerate() {
                    if let Some(Deed::Webhook(webhook)) = action.deed() {
                        let next = unqueued(webhook).build(context)?;
                        webhooks.insert((playbook.name.clone(), number, place), next);
                    }
                }
            }
        }
        Ok(webhooks)
    }
}

impl ExporterConfig for Config {
    fn build(&self, context: &Context) -> Result<Next, StartError> {
        let book = self.book(context)?;
        let limits = Limits { cool_down: self.cool_down, maximum_per_hour: self.maximum_per_hour };
        let wake = Arc::new(Notify::new());
        let engine = Arc::new(Engine {
            book: book.clone(),
            playbooks: self.playbooks.clone(),
            webhooks: self.webhooks(context)?,
            limits,
            dry_run: self.dry_run,
            expires_after: self.expires_after,
            id: context.id.clone(),
            component: context.component.clone(),
            wake: wake.clone(),
            gauges: Gauges::new(&context.metrics, &context.id),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
            leaving: CancellationToken::new(),
            at_once: engine::at_once(),
        });
        let keeping = engine::keep(Arc::downgrade(&engine), wake.clone(), engine.closing.clone());
        tokio::spawn(context.watch(keeping));
        let desk: Arc<dyn Proposals> = Arc::new(Desk { book: book.clone(), limits, wake: wake.clone() });
        context.shared.get_or_default::<Registry>(Registry::NAME).join(&context.id, &desk);
        let heard = listener(book, wake, &context.component);
        context.shared.get_or_default::<Answers>(Answers::NAME).listen(&heard);
        let escalation = Escalation { engine, _desk: desk, _heard: heard };
        Ok(direct(Arc::new(escalation), context))
    }

    fn extensions(&self) -> Vec<(&'static str, &str)> {
        self.storage.iter().map(|id| ("storage", id.as_str())).collect()
    }
}

fn listener(book: Arc<Book>, wake: Arc<Notify>, component: &str) -> Listener {
    let component = component.to_owned();
    Arc::new(move |answer: &Answer| {
        if let Err(why) = book.answered(answer, wall_clock()) {
            tracing::warn!(component, %why, incident = answer.incident, "an answer could not be written down");
        }
        wake.notify_one();
    })
}

/// The engine, and what it is heard by; both end with it.
struct Escalation {
    engine: Arc<Engine>,
    _desk: Arc<dyn Proposals>,
    _heard: Listener,
}

impl Consumer for Escalation {
    fn consume(&self, batch: Batch) -> Boxed<'_, Outcome> {
        Box::pin(self.engine.hear(batch))
    }

    fn drain(&self) -> Boxed<'_, ()> {
        Box::pin(self.engine.end())
    }
}

fn wall_clock() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
