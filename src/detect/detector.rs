//! Observations in, verdicts out.

use super::{
    DAY, HashMap, MINUTE, SECOND,
    ablation::Part,
    calibration::{Calibration, KINDS, Kind},
    evidence::{self, Draft, FirstRead},
    exceptions::{Covered, Exception, Exceptions},
    fleet::{Fleet, Mask},
    function::{Epoch, Function, Suspect},
    keys::When,
    mix,
    monitor::Monitor,
    observation::{Channel, Family, Nanos, Observation, Risk},
    order,
    rollout::Rollouts,
    scoring::{self, Scoring},
    verdict::{Feature, OwnedKey, Promise, PromiseState, Tier, Verdict},
};

/// Bounds, and the one number the user sets.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// False pages a day, for the whole fleet.
    pub budget_per_day: f64,
    /// Functions known at once; beyond, those unseen longest are forgotten.
    pub max_functions: usize,
}

/// What happened so far in this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Observations scored.
    pub observed: u64,
    /// Functions forgotten for lack of room.
    pub functions_forgotten: u64,
    /// Observations with a time that cannot be.
    pub absurd_times: u64,
}

/// A function may page from so many invocations on, and be queued from so many.
pub(super) const PAGES_FROM: u32 = 100;
const QUEUES_FROM: u32 = 20;
/// Evidence this far below the queue line is worth keeping, bits.
const EVIDENCE_BELOW: f64 = 3.0;
/// Telemetry from before 2000 or after 2100 is not believed.
const EARLIEST: Nanos = 946_684_800 * SECOND;
const LATEST: Nanos = 4_102_444_800 * SECOND;
/// An observation this far ahead of the clock does not move it.
const LEAP: Nanos = DAY;
/// How long what an anomaly showed is not learned: ordinary keys, and grave ones.
const QUARANTINE: Nanos = 3 * DAY;
const GRAVE_QUARANTINE: Nanos = 14 * DAY;
/// What a person calls malicious is not learned before they say otherwise.
const FORBIDDEN: Nanos = Nanos::MAX;

/// The detector.
#[derive(Clone, Debug)]
pub struct Detector {
    pub(super) settings: Settings,
    pub(super) functions: HashMap<Function>,
    pub(super) fleet: Fleet,
    pub(super) calibration: Calibration,
    pub(super) monitor: Monitor,
    pub(super) clock: Nanos,
    /// A day was closed since the last snapshot.
    pub(super) fleet_dirty: bool,
    counters: Counters,
    /// Room for evidence, used again: of what was observed, and of the time and place it stands in.
    drafts: [Vec<Draft>; 2],
    exceptions: Exceptions,
    rollouts: Rollouts,
    /// What an ablation leaves out.
    without: Option<Part>,
}

impl Detector {
    /// Knows nothing yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            functions: HashMap::default(),
            fleet: Fleet::default(),
            calibration: Calibration::new(settings.budget_per_day),
            monitor: Monitor::default(),
            clock: 0,
            fleet_dirty: false,
            counters: Counters::default(),
            drafts: [Vec::new(), Vec::new()],
            exceptions: Exceptions::default(),
            rollouts: Rollouts::default(),
            without: None,
        }
    }

    /// Does without `part` from now on: for ablations only.
    pub fn do_without(&mut self, part: Option<Part>) {
        self.without = part;
    }

    /// What it does without.
    pub const fn without(&self) -> Option<Part> {
        self.without
    }

    /// Changes the budget; the line follows at once.
    pub fn set_budget(&mut self, budget_per_day: f64) {
        if self.settings.budget_per_day.to_bits() != budget_per_day.to_bits() {
            self.settings.budget_per_day = budget_per_day;
            self.calibration.budget_per_day = budget_per_day;
            self.calibration.redraw(self.fleet.functions);
        }
    }

    /// Scores an observation, then learns from it what may be learned.
    pub fn observe(&mut self, seen: &Observation<'_>) -> Verdict {
        self.counters.observed += 1;
        let now = self.time_of(seen);
        self.turn_day(now);
        self.make_room(seen.function);
        let fleet = &mut self.fleet;
        let function = self.functions.entry(seen.function).or_insert_with(|| {
            fleet.add_function(seen.peers);
            Function { peers: seen.peers, ..Function::default() }
        });
        let _ = function.turn_to((now / DAY) as u32);
        (function.last_seen, function.dirty) = (now, true);
        let epoch = function.epoch_of(seen.channel, version_hash(seen.version), now);

        if seen.touches.iter().any(|touch| matches!(touch.key.family, Family::Untraced | Family::Silence)) {
            self.fleet.unheard.note(seen.function, now);
        }
        let [mut drafts, mut around] = std::mem::take(&mut self.drafts);
        drafts.clear();
        around.clear();
        scoring::around(function, seen, now, &mut around);
        for silence in around.iter_mut().filter(|draft| draft.feature == Feature::Silence) {
            self.fleet.unheard.note(seen.function, now);
            silence.bits = silence.bits.min(self.fleet.unheard.worth(seen.function, now, self.fleet.functions));
        }
        let scoring = Scoring { function, fleet: &self.fleet, epoch, now, seen };
        scoring.novelty(&mut drafts);
        scoring.magnitudes(&mut drafts);
        let shape = order::shape(seen.steps);
        if seen.complete && !function.order.knows(shape, now) {
            scoring.structure(&mut drafts);
        }
        let odd_change = drafts.iter().filter(|draft| draft.feature == Feature::Novelty).find_map(|draft| {
            let key = &seen.touches.get(draft.touch?)?.key;
            (key.family == Family::Change).then_some(Suspect { key: key.hash, bits: draft.bits as f32, at: now })
        });

        let own = Kind::of(seen.channel);
        let mut verdict = self.judge(seen, own, &mut drafts, &epoch, now);
        let (mut excess, mut outshone) = (false, false);
        if !around.is_empty() {
            let other = self.judge(seen, Kind::Window, &mut around, &epoch, now);
            excess = other.is_anomaly() && around.iter().any(|draft| matches!(draft.feature, Feature::Window(_)));
            // One observation has one verdict: the graver, or else what it shows itself.
            outshone = other.tier.is_some() && other.tier <= verdict.tier;
            if other.tier > verdict.tier {
                verdict = other;
            }
        }
        self.drafts = [drafts, around];
        let mut suspicious = verdict.is_anomaly();
        if let Some(function) = self.functions.get_mut(&seen.function) {
            function.suspect = odd_change.unwrap_or(function.suspect);
            let hour = &mut function.windows.hour;
            hour.anomalous |= excess;
            if outshone {
                hour.told = <_>::default();
            }
            // The excess is told once; it is not learned from as long as it lasts.
            suspicious |= hour.anomalous && hour.in_excess && seen.complete;
            suspicious &= self.without != Some(Part::Quarantine);
            hour.tainted |= suspicious;
        }
        self.learn(seen, &epoch, shape, suspicious, now);
        verdict
    }

    /// Event time has come to `watermark`.
    pub fn advance(&mut self, watermark: Nanos) {
        if (EARLIEST..LATEST).contains(&watermark) && watermark > self.clock {
            self.turn_day(watermark);
        }
        self.monitor.advance(self.clock);
    }

    /// Functions whose incidents become pages now: what they alone began to read has waited for others.
    pub fn take_due(&mut self) -> Vec<u64> {
        let day = (self.clock / DAY) as u32;
        let mut pages = Vec::new();
        for held in self.rollouts.due(self.clock) {
            let Some(function) = self.functions.get_mut(&held.function) else { continue };
            if function.today.day == day {
                let [of_invocations, ..] = &mut function.today.highest;
                *of_invocations = of_invocations.max(held.score);
            }
            if function.today.paged || self.monitor.page(day) {
                function.today.paged = true;
                pages.push(held.function);
            }
        }
        pages
    }

    /// What `function` showed since `from` is not to be learned: an incident says so.
    pub fn veto(&mut self, function: u64, from: Nanos) {
        if self.without == Some(Part::Quarantine) {
            return;
        }
        let now = self.clock;
        if let Some(function) = self.functions.get_mut(&function) {
            let from = from.saturating_sub(MINUTE);
            function.keys.quarantine(from, |risk| quarantined_until(risk, now));
            function.order.quarantine(from, now.saturating_add(QUARANTINE));
            function.dirty = true;
        }
    }

    /// A person says that what `function` began to show between `from` and `to` is malicious: it is not learned, and
    /// that day's surprise, if it is today's, is no measure of what is usual.
    pub fn forbid(&mut self, function: u64, from: Nanos, to: Nanos) {
        if let Some(function) = self.functions.get_mut(&function) {
            let then = from.saturating_sub(MINUTE).max(1)..=to.saturating_add(MINUTE);
            for key in function.keys.map.values_mut().filter(|key| then.contains(&key.born)) {
                key.quarantined_until = FORBIDDEN;
            }
            for shape in function.order.shapes.values_mut().filter(|shape| then.contains(&shape.born)) {
                shape.quarantined_until = FORBIDDEN;
            }
            if u64::from(function.today.day) == from / DAY {
                function.today.highest = [0.0; KINDS];
            }
            function.dirty = true;
        }
    }

    /// A person takes [`forbid`](Self::forbid) back: what an incident showed is quarantined as ever.
    pub fn pardon(&mut self, function: u64) {
        let now = self.clock;
        if let Some(function) = self.functions.get_mut(&function) {
            for key in function.keys.map.values_mut().filter(|key| key.quarantined_until == FORBIDDEN) {
                key.quarantined_until = quarantined_until(key.risk, now);
            }
            for shape in function.order.shapes.values_mut().filter(|shape| shape.quarantined_until == FORBIDDEN) {
                shape.quarantined_until = now.saturating_add(QUARANTINE);
            }
            function.dirty = true;
        }
    }

    /// What names become before they are remembered.
    pub fn mask_names(&mut self, mask: Mask) {
        self.fleet.mask = Some(mask);
    }

    /// The queue line, in standardised bits.
    pub const fn queue_line(&self) -> f64 {
        self.calibration.lines().queue
    }

    /// From now on this is expected, and nothing else.
    pub fn expect(&mut self, exceptions: Vec<Exception>) {
        self.exceptions.replace(exceptions);
    }

    /// What was expected and came since the last call, by the exception's id.
    pub fn take_covered(&mut self) -> Vec<(u64, Covered)> {
        self.exceptions.take_covered()
    }

    /// A person says that these keys are expected of `function`.
    pub fn accept(&mut self, function: u64, keys: &[OwnedKey]) {
        for key in keys.iter().filter(|key| key.family == Family::Change) {
            self.fleet.changes.accept(key.hash);
        }
        let Some(known) = self.functions.get_mut(&function) else { return };
        known.suspect = Suspect::default();
        for key in keys {
            if known.keys.accept(key.hash) {
                self.fleet.learn(key.hash, known.peers);
            }
        }
        known.dirty = true;
    }

    /// What can be promised now.
    pub fn promise(&self) -> Promise {
        let state = match self.monitor.suspended_since {
            Some(since) => PromiseState::Suspended { since },
            None if self.calibration.is_sufficient() => PromiseState::Active,
            None => PromiseState::Learning { bound_per_day: self.calibration.bound_per_day() },
        };
        let days = self.calibration.day_count();
        let realised = (self.monitor.realised((self.clock / DAY) as u32), days.max(1));
        Promise { budget_per_day: self.settings.budget_per_day, days, state, realised }
    }

    /// The page line, in standardised bits.
    pub const fn line(&self) -> f64 {
        self.calibration.lines().page
    }

    /// Whether a function is known.
    pub fn knows(&self, function: u64) -> bool {
        self.functions.contains_key(&function)
    }

    /// Functions known.
    pub fn functions(&self) -> usize {
        self.functions.len()
    }

    /// What happened so far.
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// The observation's time, believed within reason; the clock follows.
    fn time_of(&mut self, seen: &Observation<'_>) -> Nanos {
        let end = seen.end;
        let sane = (EARLIEST..LATEST).contains(&end) && (self.clock == 0 || end < self.clock.saturating_add(LEAP));
        if !sane {
            self.counters.absurd_times += 1;
            return self.clock.max(EARLIEST);
        }
        // What is late is judged with today's knowledge and counted today.
        end.max(self.clock)
    }

    /// Moves the clock; a day that is over is calibrated on.
    fn turn_day(&mut self, now: Nanos) {
        let (before, today) = (self.clock / DAY, now / DAY);
        let begun = self.clock > 0;
        self.clock = self.clock.max(now);
        if !begun || today <= before {
            return;
        }
        let units = self.functions.values_mut().flat_map(|function| function.turn_to(today as u32)).collect();
        self.calibration.close_day(units, self.fleet.functions);
        self.fleet_dirty = true;
    }

    fn make_room(&mut self, function: u64) {
        if self.functions.len() < self.settings.max_functions || self.functions.contains_key(&function) {
            return;
        }
        // A tenth at once, so that this is rare: those unseen longest.
        let mut seen: Vec<(Nanos, u64)> =
            self.functions.iter().map(|(hash, function)| (function.last_seen, *hash)).collect();
        seen.sort_unstable();
        for (_, hash) in seen.into_iter().take(self.settings.max_functions.div_ceil(10)) {
            if let Some(function) = self.functions.remove(&hash) {
                self.fleet.remove_function(function.peers);
                self.counters.functions_forgotten += 1;
            }
        }
    }

    /// What the evidence in `drafts` comes to.
    fn judge(
        &mut self,
        seen: &Observation<'_>,
        kind: Kind,
        drafts: &mut Vec<Draft>,
        epoch: &Epoch,
        now: Nanos,
    ) -> Verdict {
        if let Some(part) = self.without {
            let family = |draft: &Draft| Some(seen.touches.get(draft.touch?)?.key.family);
            drafts.retain(|draft| !part.covers(draft.feature, family(draft)));
        }
        self.exceptions.strike(drafts, seen, &self.fleet);
        let score = if drafts.is_empty() { 0.0 } else { evidence::score(drafts, seen) };
        let first_read = evidence::first_read(drafts, seen);
        if let Some(read) = first_read {
            self.rollouts.note(read.key, seen.function, now);
        }
        let (tier, standardised) = self.tier(seen, kind, (score, first_read), epoch, now);
        let evidence = if tier.is_some() { evidence::explain(drafts, seen, &self.fleet) } else { Vec::new() };
        let sample_size = self.functions.get(&seen.function).map_or(0, |function| u64::from(function.known_from()));
        Verdict { score, standardised, line: self.line(), tier, evidence, sample_size, at: seen.end }
    }

    /// The tier of a score, and the score in standardised bits.
    fn tier(
        &mut self,
        seen: &Observation<'_>,
        kind: Kind,
        (score, first_read): (f64, Option<FirstRead>),
        epoch: &Epoch,
        now: Nanos,
    ) -> (Option<Tier>, f64) {
        let Some(function) = self.functions.get_mut(&seen.function) else { return (None, 0.0) };
        let stratum = function.stratum(kind, seen.channel, epoch, now);
        let standardised = self.calibration.standardise(stratum, score);
        let counts = seen.complete || function.n == 0 && seen.channel == Channel::Platform;
        let today = &mut function.today;
        today.invocations = today.invocations.saturating_add(u32::from(counts && kind != Kind::Window));
        if let (Some(of_kind), Some(highest)) =
            (today.strata.get_mut(kind as usize), today.highest.get_mut(kind as usize))
        {
            // What waits counts in full once it pages.
            let counted = first_read.map_or(score, |read| read.rest);
            (*of_kind, *highest) = (stratum, highest.max(counted as f32));
        }
        let lines = self.calibration.lines();
        if standardised < lines.queue - EVIDENCE_BELOW {
            return (None, standardised);
        }
        let known_from = function.known_from();
        if standardised <= lines.queue || known_from < QUEUES_FROM {
            return (Some(Tier::Evidence), standardised);
        }
        self.monitor.crossed(seen.function, now, self.fleet.functions);
        let waits = |read: FirstRead| self.rollouts.hold(read.key, seen.function, score, now);
        if standardised <= lines.page || known_from < PAGES_FROM || first_read.is_some_and(waits) {
            return (Some(Tier::Queue), standardised);
        }
        let day = function.today.day;
        if !function.today.paged && !self.monitor.page(day) {
            return (Some(Tier::Queue), standardised);
        }
        function.today.paged = true;
        (Some(Tier::Page), standardised)
    }

    fn learn(&mut self, seen: &Observation<'_>, epoch: &Epoch, shape: u64, suspicious: bool, now: Nanos) {
        let Some(function) = self.functions.get_mut(&seen.function) else { return };
        let succeeded = seen.complete && !seen.failed;
        let mut changed = false;
        for touch in seen.touches {
            let key = touch.key;
            let quarantined_until = if suspicious { quarantined_until(key.risk, now) } else { 0 };
            if key.family == Family::Change {
                self.fleet.meet(key.hash, key.family, key.risk, key.name);
                changed = true;
                let n = self.fleet.changes_seen;
                let at = When { now, n, epoch: 0, succeeded, quarantined_until };
                self.fleet.changes.learn(key.hash, key.family, key.risk, touch.count, &at);
                continue;
            }
            let n = function.standing_behind(epoch, key.family, seen.channel, key.risk, now) as u32;
            if !function.keys.map.contains_key(&key.hash) {
                self.fleet.meet(key.hash, key.family, key.risk, key.name);
            }
            let at = When { now, n, epoch: epoch.number, succeeded, quarantined_until };
            if function.keys.learn(key.hash, key.family, key.risk, touch.count, &at) {
                self.fleet.learn(key.hash, function.peers);
            }
        }
        self.fleet.changes_seen = self.fleet.changes_seen.saturating_add(u32::from(changed));
        let spoke = match seen.channel {
            Channel::Spans => false,
            Channel::Logs => seen.touches.iter().any(|touch| touch.key.family == Family::LogTemplate),
            _ => true,
        };
        if let Some(heard) = function.heard.get_mut(seen.channel as usize).filter(|_| spoke) {
            *heard = heard.saturating_add(1);
        }
        if !suspicious {
            for (quantity, value) in seen.quantities {
                if let Some(histogram) = function.magnitudes.of_mut(*quantity, seen.cold_start) {
                    histogram.learn(*value);
                }
            }
        }
        if !seen.complete {
            return;
        }
        let quarantined_until = if suspicious { now.saturating_add(QUARANTINE) } else { 0 };
        function.order.learn(shape, seen.steps, now, quarantined_until);
        function.count(epoch, succeeded);
    }
}

const fn quarantined_until(risk: Risk, now: Nanos) -> Nanos {
    let grave = matches!(risk, Risk::Delete | Risk::Egress | Risk::Identity | Risk::Control);
    now.saturating_add(if grave { GRAVE_QUARANTINE } else { QUARANTINE })
}

/// What a version is known by.
pub fn version_hash(version: &str) -> u64 {
    version.bytes().fold(version.len() as u64, |hash, byte| mix(hash, u64::from(byte)))
}
