//! Does what the book says is due.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::{Notify, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    super::alert::Alert,
    book::{Book, Failed, Limits, Step, Task},
    exec,
    playbook::{Action, Deed, Exec, Playbook},
    proposals::{Offer, expiry, id_of},
    wall_clock,
};
use crate::{
    config::Secret,
    incidents::{
        control::proto::Proposal,
        escalation::commands::{Strong, Target, typed},
    },
    otlp::{
        Signal,
        edit::{Edit, Keep, Patch, PatchValue, edit},
        split::split,
        time::rfc3339,
    },
    pipeline::{Batch, Next, Outcome},
    telemetry::{Counter, Gauge, Metrics},
};

/// How often it is looked whether something is due.
const TICK: Duration = Duration::from_secs(1);
/// Actions under way at once.
const AT_ONCE: usize = 16;
/// What is under way when the gateway ends has so long to come to an end.
const AT_END: Duration = Duration::from_secs(5);

/// Webhooks by playbook, stage and action.
pub type Webhooks = BTreeMap<(String, usize, usize), Next>;

/// Runs playbooks.
pub struct Engine {
    pub book: Arc<Book>,
    pub playbooks: Vec<Playbook>,
    pub webhooks: Webhooks,
    pub limits: Limits,
    pub dry_run: bool,
    pub expires_after: Duration,
    /// The exporter's id.
    pub id: String,
    pub component: String,
    pub wake: Arc<Notify>,
    pub gauges: Gauges,
    pub tasks: TaskTracker,
    /// Cancelled when nothing new is to be begun, and when what is under way is to be left.
    pub closing: CancellationToken,
    pub leaving: CancellationToken,
    pub at_once: Arc<Semaphore>,
}

/// How many may be under way at once.
pub fn at_once() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(AT_ONCE))
}

/// How an action ended.
enum End {
    Done(Value),
    Failed(String),
    /// It was not allowed.
    Held(String),
    /// It is to be done another time.
    Left,
}

/// Looks after what is due for as long as the engine lives.
pub async fn keep(engine: Weak<Engine>, wake: Arc<Notify>, closing: CancellationToken) -> Result<(), String> {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut in_trouble = false;
    loop {
        tokio::select! {
            () = closing.cancelled() => return Ok(()),
            _ = ticks.tick() => {}
            () = wake.notified() => {}
        }
        let Some(engine) = engine.upgrade() else { return Ok(()) };
        let failed = engine.turn().await.err();
        if let Some(why) = failed.as_ref().filter(|_| !in_trouble) {
            tracing::warn!(component = engine.component, %why, "escalation stands still; trying again");
        }
        in_trouble = failed.is_some();
    }
}

impl Engine {
    async fn turn(self: &Arc<Self>) -> Result<(), Failed> {
        let engine = self.clone();
        let due = tokio::task::spawn_blocking(move || {
            let due = engine.book.due(&engine.playbooks, wall_clock());
            engine.gauges.refresh(&engine.book);
            due
        });
        for task in due.await?? {
            let engine = self.clone();
            self.tasks.spawn(async move { engine.see_to(task).await });
        }
        Ok(())
    }

    async fn see_to(self: Arc<Self>, task: Task) {
        let done = tokio::select! {
            () = self.leaving.cancelled() => Ok(false),
            done = self.perform(&task) => done,
        };
        match done {
            Ok(true) => {}
            Ok(false) => self.book.leave(&task),
            Err(why) => {
                tracing::warn!(component = self.component, ?task, %why, "an action could not be written down");
                self.book.leave(&task);
            }
        }
    }

    /// True if the task is out of the book.
    async fn perform(&self, task: &Task) -> Result<bool, Failed> {
        let Ok(_turn) = self.at_once.acquire().await else { return Ok(false) };
        let (incident, playbook, step) = match task {
            Task::Execute(id) => return self.execute(id).await,
            Task::Act { incident, playbook, step } => (incident, playbook, *step),
        };
        let details = json!({"incident": incident, "playbook": playbook, "step": step});
        let found = self.playbooks.iter().find(|known| known.name == *playbook);
        let stage = found.and_then(|playbook| playbook.stages.get(step.stage));
        let deed = stage.and_then(|stage| stage.actions.get(step.action)).and_then(Action::deed);
        let (Some(stage), Some(deed), Some((alert, body))) = (stage, deed, self.book.alert(incident)) else {
            self.write_down(task, "dropped", details, "the configuration no longer has it")?;
            return Ok(true);
        };
        let name = stage.actions.get(step.action).map_or("nothing", Action::name);
        let end = match deed {
            Deed::Webhook(_) => self.post(playbook, stage.kind.name(), step, body).await,
            Deed::Exec(exec) => self.run(exec, &alert, playbook, stage.kind.name(), step).await?,
            Deed::Propose(strong, timeout) => {
                let stage = format!("{playbook}/{}", stage.kind.name());
                match self.offer(task, &strong, timeout, &alert, stage) {
                    Ok(offer) => {
                        self.gauges.count("proposed");
                        self.book.propose(task, offer, wall_clock())?;
                        return Ok(true);
                    }
                    Err(why) => End::Failed(why),
                }
            }
        };
        match end {
            End::Left => return Ok(false),
            End::Done(said) => {
                self.gauges.count("done");
                self.write_down(task, "done", details, said)?;
            }
            End::Held(why) => {
                self.gauges.count("held");
                tracing::warn!(component = self.component, incident, action = name, why, "an action is not taken");
                self.write_down(task, "held", details, why)?;
            }
            End::Failed(why) => {
                self.gauges.count("failed");
                tracing::error!(component = self.component, incident, action = name, why, "an action failed");
                self.write_down(task, "failed", details, why)?;
            }
        }
        Ok(true)
    }

    fn write_down(
        &self,
        task: &Task,
        event: &str,
        mut details: Value,
        outcome: impl Into<Value>,
    ) -> Result<(), Failed> {
        details["outcome"] = outcome.into();
        self.book.done(task, event, details, wall_clock())
    }

    async fn post(&self, playbook: &str, stage: &str, step: Step, body: Bytes) -> End {
        let Some(webhook) = self.webhooks.get(&(playbook.to_owned(), step.stage, step.action)) else {
            return End::Failed("there is no such webhook".to_owned());
        };
        let place = format!("{playbook}.{}.{}", step.stage, step.action);
        let mut marks = Marks([("playbook", playbook), ("stage", stage), ("step", &place)]);
        let batch = edit(&Batch { signal: Signal::Logs, body, items: 1 }, &mut marks);
        match webhook.consume(batch).await {
            Outcome::Accepted => End::Done(Value::Null),
            Outcome::Retryable { .. } | Outcome::Overloaded { .. } if self.closing.is_cancelled() => End::Left,
            Outcome::Permanent { reason }
            | Outcome::Partial { message: reason, .. }
            | Outcome::Retryable { reason, .. } => End::Failed(reason),
            Outcome::Overloaded { .. } => End::Failed("the destination stayed overloaded".to_owned()),
        }
    }

    async fn run(&self, exec: &Exec, alert: &Alert, playbook: &str, stage: &str, step: Step) -> Result<End, Failed> {
        let command = typed(&exec.command);
        if self.dry_run {
            return Ok(End::Done(format!("dry run: {command}").into()));
        }
        let what = format!("{playbook}.{}.{} for {}", step.stage, step.action, alert.function);
        let details = json!({"incident": alert.id, "command": exec.command});
        if let Err(why) = self.book.execute(&what, self.limits, details, wall_clock())? {
            return Ok(End::Held(why));
        }
        let mut variables = variables(alert, playbook, stage);
        variables.extend(
            exec.environment.iter().map(|(name, value): (_, &Secret)| (name.clone(), value.expose().to_owned())),
        );
        Ok(match exec::run(&exec.command, &variables, exec.timeout).await {
            Ok(said) => End::Done(said.into()),
            Err(why) => End::Failed(why),
        })
    }

    fn offer(
        &self,
        task: &Task,
        strong: &Strong,
        timeout: Duration,
        alert: &Alert,
        stage: String,
    ) -> Result<Offer, String> {
        let now = wall_clock();
        let target = Target {
            provider: alert.attribute("cloud.provider"),
            account: alert.attribute("cloud.account.id"),
            region: alert.attribute("cloud.region"),
            resource: alert.attribute("cloud.resource_id"),
            function: alert.function.clone(),
            version: alert.version.clone(),
        };
        let (command, effect) = strong.command(&target, &rfc3339(now))?;
        let proposal = Proposal {
            id: id_of(&self.component, task),
            incident_id: alert.id.clone(),
            component: self.id.clone(),
            stage,
            action: strong.name().to_owned(),
            reason: format!("{effect}. Because: {}", alert.headline),
            command: typed(&command),
            state: "waiting".to_owned(),
            made: now,
            expires: expiry(now, self.expires_after),
            dry_run: self.dry_run,
            ..Proposal::default()
        };
        let what = format!("{} of {}", strong.name(), alert.function);
        Ok(Offer { proposal, command, timeout_seconds: timeout.as_secs().max(1), what, started: false })
    }

    async fn execute(&self, id: &str) -> Result<bool, Failed> {
        let Some(offer) = self.book.start(id, wall_clock())? else { return Ok(false) };
        let came = if offer.proposal.dry_run {
            Ok("dry run: nothing was executed".to_owned())
        } else {
            exec::run(&offer.command, &[], Duration::from_secs(offer.timeout_seconds)).await
        };
        let outcome = if came.is_ok() { "done" } else { "failed" };
        self.gauges.count(outcome);
        if let Err(why) = &came {
            tracing::error!(component = self.component, proposal = id, why, "an approved action failed");
        }
        self.book.finish(id, came, wall_clock())?;
        Ok(true)
    }

    pub async fn hear(self: &Arc<Self>, batch: Batch) -> Outcome {
        let mut others = 0;
        let mut heard = Vec::new();
        for part in split(&batch, 1) {
            let alert = Alert::all(&part.body).next().flatten();
            match alert {
                Some(alert) => heard.push((alert, part.body)),
                None => others += 1,
            }
        }
        let engine = self.clone();
        let written = tokio::task::spawn_blocking(move || {
            let Self { book, playbooks, .. } = engine.as_ref();
            heard.into_iter().try_for_each(|(alert, body)| book.hear(alert, &body, playbooks, wall_clock()))
        });
        let written = written.await.map_err(Failed::from).and_then(|written| written);
        self.wake.notify_one();
        match written {
            Err(why) => Outcome::Retryable { after: None, reason: why.to_string() },
            Ok(()) if others == 0 => Outcome::Accepted,
            Ok(()) => {
                let message = "only alerts are taken: list `anomaly` as the pipeline's receiver, and nothing else";
                Outcome::Partial { rejected: others, message: message.to_owned() }
            }
        }
    }

    /// Begins what is due, and waits a while for what is under way.
    pub async fn end(self: &Arc<Self>) {
        self.closing.cancel();
        if let Err(why) = self.turn().await {
            tracing::warn!(component = self.component, %why, "what is due cannot be begun");
        }
        self.tasks.close();
        let hooks = async {
            for webhook in self.webhooks.values() {
                webhook.drain().await;
            }
        };
        let ended = tokio::time::timeout(AT_END, async { tokio::join!(hooks, self.tasks.wait()) }).await;
        if ended.is_err() {
            self.leaving.cancel();
            self.tasks.wait().await;
        }
        let (_, left) = self.book.sizes();
        if left > 0 {
            tracing::warn!(component = self.component, left, "actions are left for the next start, if they are stored");
        }
    }
}

/// Says on the record which step of escalation it is sent for.
struct Marks<'a>([(&'static str, &'a str); 3]);

impl Edit for Marks<'_> {
    fn record(&mut self, _index: usize, _record: &[u8], patch: &mut Patch) -> Keep {
        for (name, value) in self.0 {
            patch.set(&format!("sekisho.escalation.{name}"), PatchValue::Str(value));
        }
        Keep::Yes
    }
}

/// The incident, for a program. A value is whatever telemetry says: a program must not run it.
fn variables(alert: &Alert, playbook: &str, stage: &str) -> Vec<(String, String)> {
    let all = [
        ("INCIDENT_ID", alert.id.clone()),
        ("INCIDENT_STATE", alert.state.name().to_owned()),
        ("INCIDENT_TIER", alert.tier.name().to_owned()),
        ("INCIDENT_PRIORITY", alert.priority.to_string()),
        ("HEADLINE", alert.headline.clone()),
        ("TECHNIQUES", alert.techniques.join("; ")),
        ("TRACE_ID", alert.trace_id.clone()),
        ("FUNCTION", alert.function.clone()),
        ("FUNCTION_VERSION", alert.version.clone()),
        ("CLOUD_PROVIDER", alert.attribute("cloud.provider")),
        ("CLOUD_ACCOUNT", alert.attribute("cloud.account.id")),
        ("CLOUD_REGION", alert.attribute("cloud.region")),
        ("CLOUD_RESOURCE", alert.attribute("cloud.resource_id")),
        ("PLAYBOOK", playbook.to_owned()),
        ("STAGE", stage.to_owned()),
    ];
    all.into_iter().map(|(name, value)| (format!("SEKISHO_{name}"), value)).collect()
}

/// What own metrics say.
pub struct Gauges {
    /// By how actions ended.
    ended: [(&'static str, Counter); 4],
    incidents: Gauge,
    pending: Gauge,
    waiting: Gauge,
}

impl Gauges {
    pub fn new(metrics: &Metrics, exporter: &str) -> Self {
        let gauge = |name, help| metrics.gauge(name, help, &[("exporter", exporter)]);
        Self {
            incidents: gauge("sekisho_escalation_incidents", "Open incidents that escalation follows."),
            pending: gauge("sekisho_escalation_pending_actions", "Actions that are due and not done."),
            waiting: gauge("sekisho_escalation_waiting_proposals", "Strong actions that wait for a person."),
            ended: ["done", "proposed", "held", "failed"].map(|outcome| {
                let labels = [("exporter", exporter), ("outcome", outcome)];
                let help = "Actions of playbooks, by how they ended.";
                (outcome, metrics.counter("sekisho_escalation_actions", help, &labels))
            }),
        }
    }

    fn refresh(&self, book: &Book) {
        let (open, pending) = book.sizes();
        self.incidents.set(open as f64);
        self.pending.set(pending as f64);
        self.waiting.set(book.waiting() as f64);
    }

    fn count(&self, outcome: &str) {
        if let Some((_, counter)) = self.ended.iter().find(|(known, _)| *known == outcome) {
            counter.add(1);
        }
    }
}
