//! The one detector behind an `anomaly` id: where `faas`, `detect` and `incidents` meet.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use super::{
    Annotated, Config,
    annotate::Marks,
    model::{Model, Seen},
    outbox::Outbox,
    state::State,
    trial::Trial,
};
use crate::{
    detect::{
        observation::Nanos,
        verdict::{Promise, PromiseState, Tier},
    },
    incidents::{Change, ChangeKind, record},
    pipeline::{
        Batch,
        component::{Context, Outputs, StartError},
        health::Health,
    },
    telemetry::{Counter, Gauge, Metrics},
};

/// How often an idle stream's clock is moved, and what is due is done.
const TICK: Duration = Duration::from_secs(1);
/// A live stream without telemetry for this long is idle: its clock goes on with the wall's.
const IDLE_AFTER: Duration = Duration::from_secs(5);
/// Telemetry whose own time is further from the wall's is a recording: no clock moves it but its own.
const LIVE_WITHIN: Duration = Duration::from_mins(10);
/// How often what was learned is saved.
const SAVE_EVERY: Duration = Duration::from_secs(30);

/// One detector with everything around it.
pub struct Core {
    mind: Mutex<Mind>,
    outbox: Outbox,
    state: Option<State>,
    gauges: Gauges,
    component: String,
}

/// The model, and what is known beside it.
struct Mind {
    model: Model,
    config: Config,
    last_seen: Instant,
    scored: Counter,
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
        tokio::spawn(context.watch(keep_time(Arc::downgrade(&core), context.health())));
        Ok(core)
    }

    fn new(config: &Config, context: &Context) -> Result<Self, StartError> {
        let labels = [("processor", context.id.as_str())];
        let mut model = Model::new(config.budget.per_day());
        let state = State::of(config, context)?;
        if let Some(state) = &state {
            state.load(&mut model).map_err(|error| context.error(error.to_string()))?;
        }
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
        Ok(Self { mind: Mutex::new(mind), outbox, state, gauges, component: context.component.clone() })
    }

    fn reconfigure(&self, config: &Config, context: &Context) -> Result<(), StartError> {
        let mut mind = self.mind();
        if config.state != mind.config.state {
            return Err(context.error("`state` cannot be changed by a reload; restart the gateway"));
        }
        self.outbox.observe(Trial::of(config, context)?);
        mind.model.detector.set_budget(config.budget.per_day());
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

    /// Lets the clock of an idle live stream go on with the wall's.
    fn tick(&self) {
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
            self.outbox.put(record::alerts_request(&seen.changes, &mind.model.promise(), wall_clock()));
        }
        self.gauges.refresh(&mind.model);
    }

    /// Scores what is still open, hands on all alerts, saves what was learned.
    pub async fn drain(&self) {
        self.advance(Nanos::MAX);
        self.outbox.flush().await;
        self.save().await;
    }

    async fn save(&self) {
        let Some(state) = &self.state else { return };
        let changed = State::changed(&mut self.mind().model);
        if let Err(error) = state.save(changed).await {
            tracing::warn!(
                component = self.component,
                %error,
                "what was learned could not be saved; trying again with the next save"
            );
        }
    }

    fn mind(&self) -> MutexGuard<'_, Mind> {
        self.mind.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ticks and saves for as long as the core lives.
async fn keep_time(core: Weak<Core>, health: Arc<Health>) -> Result<(), String> {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut saved = Instant::now();
    loop {
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
        }
    }
}

fn wall_clock() -> Nanos {
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
