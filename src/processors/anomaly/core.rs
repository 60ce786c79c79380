//! The one detector behind an `anomaly` id: where `faas`, `detect` and `incidents` meet.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use super::{
    Annotated, Config,
    annotate::Marks,
    model::{Model, Seen},
    outbox::Outbox,
    redact::Redact,
    state::State,
    trial::Trial,
};
use crate::{
    detect::{
        observation::Nanos,
        verdict::{Promise, PromiseState, Tier},
    },
    incidents::{
        Change, ChangeKind, FunctionRef,
        control::{self, proto::Event},
        desk::{self, Desk},
        escalation::answers::Answers,
        link::{Signer, Signing},
        promise, proposals, record,
    },
    pipeline::{
        Batch,
        component::{Context, Outputs, StartError},
        health::Health,
    },
    store::StoreError,
    telemetry::{Counter, Gauge, Metrics},
};
use tokio::sync::broadcast;

/// How often an idle stream's clock is moved, and what is due is done.
const TICK: Duration = Duration::from_secs(1);
/// A live stream without telemetry for this long is idle: its clock goes on with the wall's.
const IDLE_AFTER: Duration = Duration::from_secs(5);
/// Telemetry whose own time is further from the wall's is a recording: no clock moves it but its own.
const LIVE_WITHIN: Duration = Duration::from_mins(10);
/// How often what was learned is saved.
const SAVE_EVERY: Duration = Duration::from_secs(30);

/// Changes a watcher may lag behind.
const WATCHED: usize = 256;
/// How often watchers hear of the fleet, in ticks.
const FLEET_EVERY: u64 = 5;

/// One detector with everything around it. Who needs both locks takes `mind` first.
pub struct Core {
    mind: Mutex<Mind>,
    pub(super) desk: Mutex<Desk>,
    pub(super) watchers: Watchers,
    // Not `Shared` itself: that holds this one.
    pub(super) answers: Arc<Answers>,
    pub(super) proposals: Arc<proposals::Registry>,
    signing: Arc<Signing>,
    pub(super) health: Arc<Health>,
    /// Wall clock.
    pub(super) started: Nanos,
    outbox: Outbox,
    state: Option<State>,
    gauges: Gauges,
    component: String,
}

/// Where changes go that watchers should hear of.
pub(super) struct Watchers {
    pub sender: broadcast::Sender<Arc<Event>>,
    sequence: AtomicU64,
}

impl Watchers {
    fn new() -> Self {
        Self { sender: broadcast::Sender::new(WATCHED), sequence: AtomicU64::new(0) }
    }

    /// Tells everybody who watches.
    pub fn tell(&self, event: Event) {
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed) + 1;
        // An error means that nobody watches.
        let _ = self.sender.send(Arc::new(Event { sequence, ..event }));
    }
}

/// The model, and what is known beside it.
pub(super) struct Mind {
    pub model: Model,
    config: Config,
    last_seen: Instant,
    pub scored: Counter,
    /// Pages and queued incidents opened.
    opened: [Counter; 2],
}

impl Core {
    /// The core of the component being built: made by the first pipeline that lists it, shared with the others, kept
    /// over reloads.
    pub fn shared(config: &Config, context: &Context) -> Result<Arc<Self>, StartError> {
        if let Some(core) = context.shared.get::<Self>(&context.component) {
            core.reconfigure(config, context)?;
            return Ok(core);
        }
        let core = Arc::new(Self::new(config, context)?);
        context.shared.put(&context.component, core.clone());
        context.shared.put(&control::shared_name(&context.id), Arc::new(control::Shared(core.clone())));
        let watching = Arc::downgrade(&core);
        core.proposals.listen(Arc::new(move |proposal| {
            if let Some(core) = watching.upgrade() {
                let kind = "proposal".to_owned();
                core.watchers.tell(Event { kind, proposal: Some(proposal), ..Event::default() });
            }
        }));
        tokio::spawn(context.watch(keep_time(Arc::downgrade(&core), context.health())));
        Ok(core)
    }

    fn new(config: &Config, context: &Context) -> Result<Self, StartError> {
        let labels = [("processor", context.id.as_str())];
        let mut model = Model::new(config.budget.per_day());
        model.redact(ready(config, context)?);
        let mut desk = Desk::new(config.kept());
        let state = State::of(config, context)?;
        if let Some(state) = &state {
            let failed = |error: StoreError| context.error(error.to_string());
            state.load(&mut model).map_err(failed)?;
            state.load_for_people(&mut model, &mut desk).map_err(failed)?;
        }
        desk.advance(wall_clock());
        apply(&mut model, &desk);
        let opened = |tier: Tier| {
            let labels = [("processor", context.id.as_str()), ("tier", tier.name())];
            context.metrics.counter(OPENED, "Incidents opened.", &labels)
        };
        let dropped = context.metrics.counter("sekisho_alerts_dropped", "Alerts that were lost.", &labels);
        let gauges = Gauges::new(&context.metrics, &context.id);
        gauges.refresh(&model);
        let mind = Mind {
            model,
            config: config.clone(),
            last_seen: Instant::now(),
            scored: context.metrics.counter(SCORED, "Invocations scored.", &labels),
            opened: [opened(Tier::Page), opened(Tier::Queue)],
        };
        let outbox = Outbox::new(context, dropped);
        outbox.observe(Trial::of(config, context)?);
        Ok(Self {
            mind: Mutex::new(mind),
            desk: Mutex::new(desk),
            watchers: Watchers::new(),
            answers: context.shared.get_or_default(Answers::NAME),
            proposals: context.shared.get_or_default(proposals::Registry::NAME),
            signing: context.shared.get_or_default(Signer::NAME),
            health: context.health(),
            started: wall_clock(),
            outbox,
            state,
            gauges,
            component: context.component.clone(),
        })
    }

    fn reconfigure(&self, config: &Config, context: &Context) -> Result<(), StartError> {
        let mut mind = self.mind();
        if config.state != mind.config.state {
            return Err(context.error("`state` cannot be changed by a reload; restart the gateway"));
        }
        self.outbox.observe(Trial::of(config, context)?);
        mind.model.detector.set_budget(config.budget.per_day());
        mind.model.redact(ready(config, context)?);
        self.desk().set(config.kept());
        mind.config = config.clone();
        Ok(())
    }

    /// Where incidents go from now on.
    pub fn send_alerts_to(&self, outputs: Outputs) {
        self.outbox.send_to(outputs);
    }

    /// Learns from a request, raises what is to be raised, and says what to write onto its records.
    pub fn see(&self, batch: &Batch, annotated: Annotated) -> Marks {
        let mut mind = self.mind();
        mind.last_seen = Instant::now();
        let seen = mind.model.see(batch, annotated);
        self.tell(&mind, &seen);
        seen.marks
    }

    fn advance(&self, now: Nanos) {
        let mut mind = self.mind();
        let seen = mind.model.advance(now);
        self.tell(&mind, &seen);
    }

    /// Scores what still waits.
    fn finish(&self) {
        let mut mind = self.mind();
        let seen = mind.model.finish();
        self.tell(&mind, &seen);
    }

    /// Lets the clock of an idle live stream go on with the wall's.
    fn tick(&self) {
        self.keep_desk();
        let mind = self.mind();
        let (watermark, idle) = (mind.model.assembler.watermark(), mind.last_seen.elapsed());
        drop(mind);
        let wall = wall_clock();
        let live = watermark.abs_diff(wall) < nanos(LIVE_WITHIN);
        let now = if live && idle > IDLE_AFTER { wall.max(watermark) } else { watermark };
        self.advance(now);
    }

    /// Counts, sends alerts and writes the log.
    fn tell(&self, mind: &Mind, seen: &Seen) {
        mind.scored.add(seen.scored);
        for Change { kind, incident } in &seen.changes {
            if *kind == ChangeKind::Opened {
                let [page, queue] = &mind.opened;
                if incident.tier == Tier::Page { page } else { queue }.add(1);
            }
            let (id, tier, state) = (&incident.id, incident.tier.name(), kind.name());
            tracing::info!(component = self.component, id, tier, state, "{}", incident.headline);
        }
        if !seen.changes.is_empty() {
            let signer = self.signer();
            let (promise, now) = (mind.model.promise(), wall_clock());
            self.outbox.put(record::alerts_request_linked(&seen.changes, &promise, now, signer.as_deref()));
        }
        self.keep(mind, seen);
        self.gauges.refresh(&mind.model);
    }

    /// Keeps for people what came of looking.
    fn keep(&self, mind: &Mind, seen: &Seen) {
        if seen.changes.is_empty() && seen.sightings.is_empty() {
            return;
        }
        let now = wall_clock();
        let mut desk = self.desk();
        for sighting in &seen.sightings {
            let function = FunctionRef { hash: sighting.function, name: &sighting.name, version: &sighting.version };
            desk.sight(sighting.incident.as_deref(), function, &sighting.evidence, now);
        }
        if !seen.changes.is_empty() {
            let guarantee = promise::sentence(&mind.model.promise());
            seen.changes.iter().for_each(|change| desk.file(change, &guarantee, now));
        }
        for (incident, abnormal, normal) in &seen.traces {
            desk.attach(incident, abnormal.clone(), normal.clone(), now);
        }
        self.publish(&mut desk);
    }

    /// Counts what exceptions covered, ends what has expired, forgets what is too old.
    fn keep_desk(&self) {
        let mut mind = self.mind();
        let mut desk = self.desk();
        let covered = mind.model.detector.take_covered();
        if !covered.is_empty() {
            desk.covered(&covered);
        }
        if desk.advance(wall_clock()) {
            apply(&mut mind.model, &desk);
        }
        self.publish(&mut desk);
    }

    /// Tells watchers what has changed on the desk.
    pub(super) fn publish(&self, desk: &mut Desk) {
        desk.take_events().into_iter().for_each(|event| self.watchers.tell(event));
    }

    /// Ends incidents that a person says are over, and tells that.
    pub(super) fn resolve(&self, mind: &mut Mind, desk: &mut Desk, id: &str) {
        let Some(change) = mind.model.incidents.resolve(id) else { return };
        let (promise, now, signer) = (mind.model.promise(), wall_clock(), self.signer());
        desk.file(&change, &promise::sentence(&promise), now);
        self.outbox.put(record::alerts_request_linked(&[change], &promise, now, signer.as_deref()));
    }

    /// Makes links, if the console does.
    pub(super) fn signer(&self) -> Option<Arc<Signer>> {
        self.signing.load_full()
    }

    /// Writes what is kept for people, if something has changed and there is a disk.
    pub(super) async fn save_desk(&self) -> Result<(), StoreError> {
        let Some(state) = &self.state else { return Ok(()) };
        let records = self.desk().take_records();
        state.save_for_people(records, Vec::new()).await
    }

    /// Whether what is kept survives a restart.
    pub(super) const fn is_persistent(&self) -> bool {
        self.state.is_some()
    }

    /// Scores what is still open, hands on all alerts, saves what was learned.
    pub async fn drain(&self) {
        self.finish();
        self.outbox.flush().await;
        self.save().await;
    }

    async fn save(&self) {
        let Some(state) = &self.state else {
            self.desk().take_records();
            return;
        };
        let (changed, functions) = {
            let mut mind = self.mind();
            let Model { roster, detector, .. } = &mut mind.model;
            roster.retain(|function| detector.knows(function));
            let functions = roster.take_records();
            (State::changed(&mut mind.model), functions)
        };
        let records = self.desk().take_records();
        // Each remembers what it could not write.
        let for_people = state.save_for_people(records, functions).await;
        if let Err(error) = state.save(changed).await.and(for_people) {
            tracing::warn!(
                component = self.component,
                %error,
                "what was learned could not be saved; trying again with the next save"
            );
        }
    }

    pub(super) fn mind(&self) -> MutexGuard<'_, Mind> {
        self.mind.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The detector expects, and forbids itself to learn, what people say.
pub(super) fn apply(model: &mut Model, desk: &Desk) {
    let exceptions = desk.exceptions(model);
    model.detector.expect(exceptions);
    for (function, from, to) in desk.forbidden() {
        model.detector.forbid(function, from, to);
    }
}

fn ready(config: &Config, context: &Context) -> Result<Redact, StartError> {
    config.redaction.ready().map_err(|error| context.error(format!("redaction: {error}")))
}

impl Config {
    fn kept(&self) -> desk::Settings {
        desk::Settings {
            retention: nanos(self.incidents.retention),
            most_incidents: self.incidents.max_stored as usize,
        }
    }
}

/// Ticks and saves for as long as the core lives.
async fn keep_time(core: Weak<Core>, health: Arc<Health>) -> Result<(), String> {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut saved = Instant::now();
    let mut fleet = crate::incidents::control::proto::Fleet::default();
    for tick in 0_u64.. {
        ticks.tick().await;
        let Some(core) = core.upgrade() else { return Ok(()) };
        let ticked = core.clone();
        if let Err(error) = tokio::task::spawn_blocking(move || ticked.tick()).await {
            // Telemetry passes all the same, and the next tick may do what this one could not.
            health.failed(&core.component, format!("its clock broke down: {error}"));
        }
        if saved.elapsed() >= SAVE_EVERY {
            core.save().await;
            saved = Instant::now();
        } else if core.desk().is_dirty()
            && let Err(error) = core.save_desk().await
        {
            tracing::debug!(component = core.component, %error, "incidents could not be saved yet");
        }
        if tick.is_multiple_of(FLEET_EVERY) {
            core.tell_fleet(&mut fleet);
        }
    }
    Ok(())
}

pub(super) fn wall_clock() -> Nanos {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, nanos)
}

fn nanos(duration: Duration) -> Nanos {
    Nanos::try_from(duration.as_nanos()).unwrap_or(Nanos::MAX)
}

const SCORED: &str = "sekisho_invocations_scored";
const OPENED: &str = "sekisho_incidents_opened";
const FUNCTIONS: &str = "sekisho_functions";

struct Gauges {
    functions: Gauge,
    open_invocations: Gauge,
    open_incidents: Gauge,
    line: Gauge,
    budget: Gauge,
    realised_pages: Gauge,
    realised_days: Gauge,
    active: Gauge,
    unattributed: Gauge,
}

impl Gauges {
    fn new(metrics: &Metrics, processor: &str) -> Self {
        let gauge = |name, help| metrics.gauge(name, help, &[("processor", processor)]);
        Self {
            functions: gauge(FUNCTIONS, "Functions known."),
            open_invocations: gauge("sekisho_invocations_open", "Invocations whose handler has not been seen yet."),
            open_incidents: gauge("sekisho_incidents_open", "Incidents open now."),
            line: gauge("sekisho_line_bits", "The page line, in standardised bits."),
            budget: gauge("sekisho_budget_pages_per_day", "False pages accepted a day, for the whole fleet."),
            realised_pages: gauge("sekisho_realised_pages", "Pages raised in the trailing window."),
            realised_days: gauge("sekisho_realised_days", "Days of that window."),
            active: gauge("sekisho_promise_active", "1 while the budget is promised; 0 while learning or suspended."),
            unattributed: gauge("sekisho_records_unattributed", "Records that name no function; passed unscored."),
        }
    }

    fn refresh(&self, model: &Model) {
        let Promise { budget_per_day, state, realised: (pages, days), .. } = model.promise();
        self.functions.set(model.detector.functions() as f64);
        self.open_invocations.set(model.assembler.open() as f64);
        self.open_incidents.set(model.incidents.open().len() as f64);
        self.line.set(model.detector.line());
        self.budget.set(budget_per_day);
        self.realised_pages.set(f64::from(pages));
        self.realised_days.set(f64::from(days));
        self.active.set(f64::from(u8::from(state == PromiseState::Active)));
        self.unattributed.set(model.assembler.counters().unattributed as f64);
    }
}

/// What all detectors of a process have done, for a closing report.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    /// Functions known.
    pub functions: u64,
    /// Invocations scored.
    pub invocations: u64,
    /// Incidents opened as pages, and as queued.
    pub incidents: [u64; 2],
}

impl Totals {
    /// Read from the process's own metrics.
    pub fn read(metrics: &Metrics) -> Self {
        let sum = |name, label| metrics.sum(name, label) as u64;
        Self {
            functions: sum(FUNCTIONS, None),
            invocations: sum(SCORED, None),
            incidents: [Tier::Page, Tier::Queue].map(|tier| sum(OPENED, Some(("tier", tier.name())))),
        }
    }
}
