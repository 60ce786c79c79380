//! What is known and open: incidents, the stages of their playbooks, proposals. Everything here is on disk before it
//! counts, and in the audit log before it is done.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    super::alert::{Alert, State as Was},
    playbook::{Kind, Playbook},
    proposals::Offer,
};
use crate::{
    incidents::{
        control::proto::Proposal,
        escalation::{
            answers::Answer,
            audit::{Head, Log},
        },
        proposals::Registry,
    },
    otlp::time::rfc3339,
    store::Store,
};

/// Incidents remembered; beyond, the one that is longest over is forgotten, or else the oldest.
const MOST_CASES: usize = 10_000;
/// How long an incident that is over is remembered, or longer if a playbook counts repetitions.
const REMEMBERED: Duration = Duration::from_hours(24);
const HOUR: u64 = 3_600_000_000_000;

/// One incident.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Case {
    /// Which function, wherever it runs.
    function: String,
    /// Wall time of the first word, and of the latest.
    first: u64,
    changed: u64,
    resolved: bool,
    /// What a person said of it.
    answer: Option<String>,
    /// The latest alert, as a request in base64.
    body: String,
    runs: BTreeMap<String, Run>,
    #[serde(skip)]
    alert: Option<Alert>,
}

/// A playbook under way.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Run {
    began: u64,
    /// The stage that comes next.
    next: usize,
    /// What is due and not done.
    pending: Vec<Step>,
}

/// An action of a playbook, by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Step {
    /// From 0.
    pub stage: usize,
    /// From 0.
    pub action: usize,
}

/// Something to be done now.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Task {
    /// An action of a stage.
    Act {
        /// Of this incident.
        incident: String,
        /// The playbook's name.
        playbook: String,
        /// Which.
        step: Step,
    },
    /// A proposal that a person approved.
    Execute(String),
}

/// How much may be executed.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Between two executions of the same for the same function.
    pub cool_down: Duration,
    /// Of all.
    pub maximum_per_hour: u32,
}

/// Something cannot be written down. No error of its own, so that every error can become one.
#[derive(Debug)]
pub struct Failed(String);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: std::error::Error> From<E> for Failed {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// All of it.
pub struct Book {
    pub(super) state: Mutex<State>,
    store: Option<(Arc<Store>, String)>,
    pub(super) component: String,
    pub(super) registry: Arc<Registry>,
}

/// What [`Book`] guards.
pub struct State {
    cases: BTreeMap<String, Case>,
    pub(super) offers: BTreeMap<String, Offer>,
    /// When what was executed for whom.
    executions: VecDeque<(u64, String)>,
    /// Under way in this process.
    busy: BTreeSet<Task>,
    log: Log,
    /// Keys that are not on disk as they are in memory.
    unsaved: BTreeSet<String>,
    /// To be told once nobody holds the book.
    pub(super) told: Vec<Proposal>,
}

impl Book {
    /// The book in `store`, or an empty one in memory; its audit log is at `path`.
    pub fn open(
        store: Option<(Arc<Store>, String)>,
        path: &Path,
        component: &str,
        registry: Arc<Registry>,
        now: u64,
    ) -> Result<Self, Failed> {
        let (mut cases, mut offers, mut executions, mut head) =
            (BTreeMap::new(), BTreeMap::new(), VecDeque::new(), None::<Head>);
        let mut damaged = 0_u64;
        if let Some((store, namespace)) = &store {
            store.iterate(namespace, |key, value| {
                let read = match key.split_once('/') {
                    Some(("case", id)) => Case::read(value).map(|case| drop(cases.insert(id.to_owned(), case))),
                    Some(("proposal", id)) => {
                        serde_json::from_slice(value).ok().map(|offer| drop(offers.insert(id.to_owned(), offer)))
                    }
                    _ if key == "executions" => serde_json::from_slice(value).ok().map(|all| executions = all),
                    _ if key == "audit" => serde_json::from_slice(value).ok().map(|known| head = Some(known)),
                    _ => None,
                };
                damaged += u64::from(read.is_none());
            })?;
        }
        if damaged > 0 {
            tracing::error!(component, damaged, "what was stored of escalations is damaged and left out");
        }
        let opened = Log::open(path, head.as_ref())?;
        let state = State {
            cases,
            offers,
            executions,
            busy: BTreeSet::new(),
            log: opened.log,
            unsaved: BTreeSet::new(),
            told: Vec::new(),
        };
        let book = Self { state: Mutex::new(state), store, component: component.to_owned(), registry };
        let mut state = book.lock();
        if let Some((why, aside)) = opened.broken {
            let aside = aside.display().to_string();
            tracing::error!(component, %why, aside, "the audit log is broken; it was set aside, and another is begun");
            let known = head.unwrap_or_default();
            state.note(now, "broken", json!({"why": why.to_string(), "aside": aside, "known": known}))?;
        }
        let head = state.log.head().clone();
        tracing::info!(component, lines = head.lines, hash = head.hash, "the audit log is whole");
        book.interrupted(&mut state, now)?;
        book.save(&mut state)?;
        drop(state);
        Ok(book)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hears of an incident, and begins what is to be done about it at once; `body` is the request with its record alone.
    pub fn hear(&self, alert: Alert, body: &Bytes, playbooks: &[Playbook], now: u64) -> Result<(), Failed> {
        let mut state = self.lock();
        let resolved = alert.state == Was::Resolved;
        let known = state.cases.get(&alert.id);
        if known.is_none() && resolved {
            return self.save(&mut state);
        }
        if known.is_some_and(|case| resolved && !case.resolved) {
            state.note(now, "resolved", json!({"incident": alert.id}))?;
        }
        let id = alert.id.clone();
        let place = |key| alert.attribute(key);
        let function = format!("{}/{}/{}", place("cloud.account.id"), place("cloud.region"), alert.function);
        let case = state.cases.entry(id.clone()).or_insert_with(|| Case { first: now, ..Case::default() });
        (case.function, case.changed, case.resolved) = (function, now, resolved);
        case.body = STANDARD.encode(body);
        case.alert = Some(alert);
        state.touch_case(&id);
        for playbook in playbooks {
            state.begin(&id, playbook, now)?;
            state.proceed(&id, playbook, now)?;
        }
        self.forget_beyond(&mut state);
        self.save(&mut state)
    }

    /// A person has given a verdict.
    pub fn answered(&self, answer: &Answer, now: u64) -> Result<(), Failed> {
        let mut state = self.lock();
        if !state.cases.contains_key(&answer.incident) {
            return Ok(());
        }
        let Answer { incident, author, kind } = answer;
        state.note(now, "answered", json!({"incident": incident, "author": author, "verdict": kind}))?;
        if let Some(case) = state.cases.get_mut(incident) {
            case.answer = (kind != "undone").then(|| kind.clone());
        }
        state.touch_case(incident);
        self.save(&mut state)
    }

    /// Begins playbooks, enters stages whose time has come, and says what is to be done now; it counts as under way
    /// until it is [done](Self::done), or [left](Self::leave).
    pub fn due(&self, playbooks: &[Playbook], now: u64) -> Result<Vec<Task>, Failed> {
        let mut state = self.lock();
        let ids: Vec<String> = state.cases.keys().cloned().collect();
        for id in ids {
            for playbook in playbooks {
                state.begin(&id, playbook, now)?;
                state.proceed(&id, playbook, now)?;
            }
        }
        state.expire(now)?;
        state.forget_old(playbooks, now);
        let tasks = state.tasks();
        state.busy.extend(tasks.iter().cloned());
        self.save(&mut state)?;
        self.tell(state);
        Ok(tasks)
    }

    /// The latest alert of an incident, and the request it came in.
    pub fn alert(&self, incident: &str) -> Option<(Alert, Bytes)> {
        let state = self.lock();
        let case = state.cases.get(incident)?;
        Some((case.alert.clone()?, STANDARD.decode(&case.body).ok()?.into()))
    }

    /// An action came to an end.
    pub fn done(&self, task: &Task, event: &str, details: Value, now: u64) -> Result<(), Failed> {
        let mut state = self.lock();
        state.busy.remove(task);
        let Task::Act { incident, playbook, step } = task else { return Ok(()) };
        state.note(now, event, details)?;
        let run = state.cases.get_mut(incident).and_then(|case| case.runs.get_mut(playbook));
        if let Some(run) = run {
            run.pending.retain(|pending| pending != step);
        }
        state.touch_case(incident);
        self.save(&mut state)?;
        self.tell(state);
        Ok(())
    }

    /// It was not done, and is to be done another time.
    pub fn leave(&self, task: &Task) {
        self.lock().busy.remove(task);
    }

    /// Whether `what` may be executed now; if so, it counts as executed, and the log says so.
    pub fn execute(&self, what: &str, limits: Limits, details: Value, now: u64) -> Result<Result<(), String>, Failed> {
        let mut state = self.lock();
        if let Err(why) = state.allowed(what, limits, now) {
            return Ok(Err(why));
        }
        state.note(now, "executing", details)?;
        state.executed(what, now);
        self.save(&mut state)?;
        Ok(Ok(()))
    }

    /// Incidents that are open, and actions not done yet.
    pub fn sizes(&self) -> (usize, usize) {
        let state = self.lock();
        let open = state.cases.values().filter(|case| !case.resolved).count();
        let pending = state.cases.values().flat_map(|case| case.runs.values()).map(|run| run.pending.len()).sum();
        (open, pending)
    }

    /// Writes what has changed, all or none.
    pub(super) fn save(&self, state: &mut State) -> Result<(), Failed> {
        let Some((store, namespace)) = &self.store else {
            state.unsaved.clear();
            return Ok(());
        };
        let mut pairs = Vec::new();
        for key in &state.unsaved {
            let value = match key.split_once('/') {
                Some(("case", id)) => state.cases.get(id).map(serde_json::to_vec),
                Some((_, id)) => state.offers.get(id).map(serde_json::to_vec),
                None if key == "executions" => Some(serde_json::to_vec(&state.executions)),
                None => Some(serde_json::to_vec(state.log.head())),
            };
            match value {
                Some(value) => pairs.push((key.clone(), value?)),
                None => drop(store.remove(namespace, key)?),
            }
        }
        if !pairs.is_empty() {
            store.put_all(namespace, &pairs)?;
        }
        state.unsaved.clear();
        Ok(())
    }

    /// Tells the control API of proposals that have changed, once nobody holds the book.
    pub(super) fn tell(&self, mut state: MutexGuard<'_, State>) {
        let told = std::mem::take(&mut state.told);
        drop(state);
        for proposal in told {
            self.registry.changed(&proposal);
        }
    }

    fn forget_beyond(&self, state: &mut State) {
        while state.cases.len() > MOST_CASES {
            let oldest = state.cases.iter().min_by_key(|(_, case)| (!case.resolved, case.changed));
            let Some((id, open)) = oldest.map(|(id, case)| (id.clone(), !case.resolved)) else { return };
            if open {
                tracing::error!(component = self.component, incident = id, "too many open incidents: one is forgotten");
            }
            state.cases.remove(&id);
            state.touch_case(&id);
        }
    }
}

impl State {
    /// Writes into the audit log.
    pub(super) fn note(&mut self, now: u64, event: &str, details: Value) -> Result<(), Failed> {
        let Value::Object(details) = details else { return Ok(()) };
        self.log.append(&rfc3339(now), event, details)?;
        self.unsaved.insert("audit".to_owned());
        Ok(())
    }

    pub(super) fn touch_offer(&mut self, id: &str) {
        self.unsaved.insert(format!("proposal/{id}"));
        self.told.extend(self.offers.get(id).map(|offer| offer.proposal.clone()));
    }

    fn touch_case(&mut self, id: &str) {
        self.unsaved.insert(format!("case/{id}"));
    }

    fn begin(&mut self, id: &str, playbook: &Playbook, now: u64) -> Result<(), Failed> {
        let Some(case) = self.cases.get(id) else { return Ok(()) };
        let Some(alert) = &case.alert else { return Ok(()) };
        let (when, known) = (&playbook.when, case.runs.contains_key(&playbook.name));
        if known || case.resolved || case.is_closed() || !when.fits(alert) {
            return Ok(());
        }
        if !when.silence.is_zero() && (case.answer.is_some() || case.first + nanos(when.silence) > now) {
            return Ok(());
        }
        let times = |within: Duration| {
            let since = now.saturating_sub(nanos(within));
            self.cases.values().filter(|other| other.function == case.function && other.first >= since).count()
        };
        if when.repetition.as_ref().is_some_and(|repetition| times(repetition.within) < repetition.times) {
            return Ok(());
        }
        self.note(now, "began", json!({"incident": id, "playbook": playbook.name}))?;
        if let Some(case) = self.cases.get_mut(id) {
            case.runs.insert(playbook.name.clone(), Run { began: now, ..Run::default() });
        }
        self.touch_case(id);
        Ok(())
    }

    fn proceed(&mut self, id: &str, playbook: &Playbook, now: u64) -> Result<(), Failed> {
        loop {
            let Some(case) = self.cases.get(id) else { return Ok(()) };
            let Some(run) = case.runs.get(&playbook.name) else { return Ok(()) };
            let Some(stage) = playbook.stages.get(run.next) else { return Ok(()) };
            if run.began + nanos(stage.after) > now {
                return Ok(());
            }
            let (number, over) = (run.next, case.over(stage.kind));
            let details = json!({"incident": id, "playbook": playbook.name, "stage": stage.kind.name()});
            let event = if over { "passed over" } else { "entered" };
            self.note(now, event, details)?;
            let run = self.cases.get_mut(id).and_then(|case| case.runs.get_mut(&playbook.name));
            if let Some(run) = run {
                run.next = number + 1;
                if !over {
                    run.pending.extend((0..stage.actions.len()).map(|action| Step { stage: number, action }));
                }
            }
            self.touch_case(id);
        }
    }

    fn forget_old(&mut self, playbooks: &[Playbook], now: u64) {
        let counted = playbooks.iter().filter_map(|playbook| playbook.when.repetition.as_ref());
        let kept = counted.map(|repetition| repetition.within).max().unwrap_or_default().max(REMEMBERED);
        let old = |case: &Case| {
            let done = case.runs.values().all(|run| run.pending.is_empty());
            case.resolved && done && case.changed + nanos(kept) < now
        };
        let ids: Vec<String> = self.cases.iter().filter(|(_, case)| old(case)).map(|(id, _)| id.clone()).collect();
        for id in ids {
            self.cases.remove(&id);
            self.touch_case(&id);
        }
    }

    /// Whatever is pending and not under way.
    fn tasks(&self) -> Vec<Task> {
        let acts = self.cases.iter().flat_map(|(id, case)| {
            case.runs.iter().flat_map(move |(playbook, run)| {
                run.pending.iter().map(move |step| Task::Act {
                    incident: id.clone(),
                    playbook: playbook.clone(),
                    step: *step,
                })
            })
        });
        let approved = self.offers.values().filter(|offer| offer.proposal.state == "approved");
        let executions = approved.map(|offer| Task::Execute(offer.proposal.id.clone()));
        acts.chain(executions).filter(|task| !self.busy.contains(task)).collect()
    }

    pub(super) fn allowed(&mut self, what: &str, limits: Limits, now: u64) -> Result<(), String> {
        let longest = nanos(limits.cool_down).max(HOUR);
        while self.executions.front().is_some_and(|(at, _)| at + longest < now) {
            self.executions.pop_front();
        }
        let last = self.executions.iter().rev().find(|(_, done)| done == what);
        if let Some((at, _)) = last.filter(|(at, _)| at + nanos(limits.cool_down) > now) {
            return Err(format!("{what} was executed at {} and is cooling down", rfc3339(*at)));
        }
        let in_hour = self.executions.iter().filter(|(at, _)| at + HOUR > now).count();
        if in_hour >= limits.maximum_per_hour as usize {
            return Err(format!("{in_hour} executions in an hour are the maximum"));
        }
        Ok(())
    }

    pub(super) fn executed(&mut self, what: &str, now: u64) {
        self.executions.push_back((now, what.to_owned()));
        self.unsaved.insert("executions".to_owned());
    }

    pub(super) fn free(&mut self, task: &Task) {
        self.busy.remove(task);
    }
}

impl Case {
    fn read(value: &[u8]) -> Option<Self> {
        let mut case: Self = serde_json::from_slice(value).ok()?;
        let body = STANDARD.decode(&case.body).ok()?;
        case.alert = Alert::all(&body).next().flatten();
        case.alert.is_some().then_some(case)
    }

    /// Somebody has said that it is nothing, or is looking.
    fn is_closed(&self) -> bool {
        self.answer.as_deref().is_some_and(|answer| answer != "malicious")
    }

    /// Whether a stage comes too late: nobody need be called any more. What is malicious still has to be stopped.
    fn over(&self, stage: Kind) -> bool {
        self.resolved || self.is_closed() || (self.answer.is_some() && stage != Kind::Act)
    }
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 4)
}
