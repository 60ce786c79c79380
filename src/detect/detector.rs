//! Observations in, verdicts out.

use super::{
    DAY, HashMap, MINUTE, SECOND,
    calibration::Calibration,
    evidence::{self, Draft},
    exceptions::{Covered, Exception, Exceptions},
    fleet::{Fleet, Mask},
    function::{Epoch, Function, MANDATORY_FROM},
    keys::{Standing, When},
    mix,
    monitor::Monitor,
    observation::{Family, Nanos, Observation, Risk},
    order,
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
/// Surprises weaker than this are everyday; stronger ones count for what they have above it, bits.
const EVERYDAY: f64 = 4.0;
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
    drafts: Vec<Draft>,
    exceptions: Exceptions,
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
            drafts: Vec::new(),
            exceptions: Exceptions::default(),
        }
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
        function.turn_to((now / DAY) as u32);
        (function.last_seen, function.dirty) = (now, true);
        let epoch = function.epoch(version_hash(seen.version), now);

        let mut drafts = std::mem::take(&mut self.drafts);
        drafts.clear();
        let scoring = Scoring { function, fleet: &self.fleet, epoch, now, seen };
        scoring.novelty(&mut drafts);
        let shape = order::shape(seen.steps);
        let known_shape = function.order.knows(shape, now);
        if seen.complete {
            scoring.magnitudes(&mut drafts);
            if !known_shape {
                scoring.structure(&mut drafts);
            }
        }
        self.exceptions.strike(&mut drafts, seen, &self.fleet);
        let score = if drafts.is_empty() { 0.0 } else { evidence::score(&mut drafts, seen) };
        let (tier, standardised) = self.judge(seen, score, &epoch, now);
        let evidence = if tier.is_some() { evidence::explain(&mut drafts, seen, &self.fleet) } else { Vec::new() };
        self.drafts = drafts;

        let sample_size = self.functions.get(&seen.function).map_or(0, |function| u64::from(function.n));
        let suspicious = matches!(tier, Some(Tier::Queue | Tier::Page));
        self.learn(seen, &epoch, shape, suspicious, now);
        Verdict { score, standardised, line: self.line(), tier, evidence, sample_size, at: seen.end }
    }

    /// Event time has come to `watermark`.
    pub fn advance(&mut self, watermark: Nanos) {
        if (EARLIEST..LATEST).contains(&watermark) && watermark > self.clock {
            self.turn_day(watermark);
        }
        self.monitor.advance(self.clock);
    }

    /// What `function` showed since `from` is not to be learned: an incident says so.
    pub fn veto(&mut self, function: u64, from: Nanos) {
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
                function.today.highest = 0.0;
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
        let Some(known) = self.functions.get_mut(&function) else { return };
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
        let units = self.functions.values_mut().filter_map(|function| function.turn_to(today as u32)).collect();
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

    /// The tier of a score, and the score in standardised bits.
    fn judge(&mut self, seen: &Observation<'_>, score: f64, epoch: &Epoch, now: Nanos) -> (Option<Tier>, f64) {
        let Some(function) = self.functions.get_mut(&seen.function) else { return (None, 0.0) };
        let stratum = function.stratum(epoch, now);
        let standardised = self.calibration.standardise(stratum, score);
        let today = &mut function.today;
        today.stratum = stratum;
        today.invocations = today.invocations.saturating_add(u32::from(seen.complete));
        today.highest = today.highest.max(score as f32);
        let lines = self.calibration.lines();
        if standardised < lines.queue - EVIDENCE_BELOW {
            return (None, standardised);
        }
        if standardised <= lines.queue || function.n < QUEUES_FROM {
            return (Some(Tier::Evidence), standardised);
        }
        self.monitor.crossed(seen.function, now, self.fleet.functions);
        if standardised <= lines.page || function.n < PAGES_FROM {
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
        for touch in seen.touches {
            let key = touch.key;
            let n = function.standing_behind(epoch, key.family, key.risk, now) as u32;
            let quarantined_until = if suspicious { quarantined_until(key.risk, now) } else { 0 };
            if !function.keys.map.contains_key(&key.hash) {
                self.fleet.meet(key.hash, key.family, key.risk, key.name);
            }
            let at = When { now, n, epoch: epoch.number, succeeded, quarantined_until };
            if function.keys.learn(key.hash, key.family, key.risk, touch.count, &at) {
                self.fleet.learn(key.hash, function.peers);
            }
        }
        if seen.touches.iter().any(|touch| touch.key.family == Family::LogTemplate) {
            function.n_logs = function.n_logs.saturating_add(1);
        }
        if !seen.complete {
            return;
        }
        let quarantined_until = if suspicious { now.saturating_add(QUARANTINE) } else { 0 };
        function.order.learn(shape, seen.steps, now, quarantined_until);
        if !suspicious {
            for (quantity, value) in seen.quantities {
                if let Some(histogram) = function.magnitudes.of_mut(*quantity, seen.cold_start) {
                    histogram.learn(*value);
                }
            }
        }
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

/// One observation being scored against what is known.
struct Scoring<'a> {
    function: &'a Function,
    fleet: &'a Fleet,
    epoch: Epoch,
    now: Nanos,
    seen: &'a Observation<'a>,
}

impl Scoring<'_> {
    /// Keys never or hardly seen, and known keys touched unusually often.
    fn novelty(&self, drafts: &mut Vec<Draft>) {
        for (place, touch) in self.seen.touches.iter().enumerate() {
            let key = &touch.key;
            let all = if key.family == Family::LogTemplate { self.function.n_logs } else { self.function.n };
            let (count, standing) = match self.function.keys.standing(key.hash, self.now) {
                Standing::Known => {
                    self.repeats(place, touch.count, key.hash, drafts);
                    continue;
                }
                Standing::New => (0, self.standing_behind(key.family, key.risk)),
                Standing::Candidate { count, born_n } => (count, f64::from(born_n)),
            };
            let own = self.function.keys.surprise(key.family, standing, f64::from(all));
            let bits = novelty_bits(own, self.fleet.share(key.hash, self.seen.peers), key.risk);
            if bits > 0.0 {
                let (seen_in, out_of) = (u64::from(count), u64::from(all.max(count)));
                drafts.push(Draft { touch: Some(place), bits, seen_in, out_of, ..Draft::of(Feature::Novelty) });
            }
        }
    }

    /// Invocations behind the surprise of a key that was never seen.
    fn standing_behind(&self, family: Family, risk: Risk) -> f64 {
        self.function.standing_behind(&self.epoch, family, risk, self.now)
    }

    fn repeats(&self, place: usize, repeats: u32, hash: u64, drafts: &mut Vec<Draft>) {
        if repeats < 4 || !self.seen.complete {
            return;
        }
        let Some(known) = self.function.keys.map.get(&hash) else { return };
        let (bits, usual) = known.repeats_surprise(repeats);
        let bits = bits - EVERYDAY;
        if bits > 0.0 {
            drafts.push(Draft {
                touch: Some(place),
                bits,
                out_of: u64::from(known.count),
                observed: u64::from(repeats),
                usual: u64::from(usual),
                ..Draft::of(Feature::Repeats)
            });
        }
    }

    fn magnitudes(&self, drafts: &mut Vec<Draft>) {
        for (quantity, value) in self.seen.quantities {
            let Some(histogram) = self.function.magnitudes.of(*quantity, self.seen.cold_start) else { continue };
            let bits = histogram.surprise(*value) - EVERYDAY;
            if bits > 0.0 {
                drafts.push(Draft {
                    bits,
                    out_of: u64::from(histogram.n),
                    observed: *value,
                    usual: histogram.usual_at_most(),
                    ..Draft::of(Feature::Magnitude(*quantity))
                });
            }
        }
    }

    /// An unknown shape: how unusual is it, which step most, and what is missing.
    fn structure(&self, drafts: &mut Vec<Draft>) {
        let standing = self.function.standing_n(&self.epoch, Risk::Read, self.now);
        let all = f64::from(self.function.n);
        let order = &self.function.order;
        let mut draft = |draft: Draft| {
            if draft.bits > 0.0 {
                drafts.push(draft);
            }
        };
        let out_of = u64::from(self.function.n);
        let shape_bits = order.shape_surprise(standing, all);
        draft(Draft { bits: shape_bits - EVERYDAY, out_of, ..Draft::of(Feature::Shape) });
        if let Some((_, bits)) = order.surprise(self.seen.steps) {
            // A transition cannot be more surprising than the shapes it was learned from are many.
            draft(Draft { bits: bits.min(shape_bits) - EVERYDAY, out_of, ..Draft::of(Feature::Order) });
        }
        // What failed may not have come that far; a fresh version may have dropped the call.
        if self.seen.failed || self.epoch.n < MANDATORY_FROM {
            return;
        }
        let all = self.function.n_succeeded;
        for hash in &self.function.mandatory {
            if self.seen.touches.iter().all(|touch| touch.key.hash != *hash) {
                let had = self.function.keys.map.get(hash).map_or(0, |key| key.succeeded);
                let lacked = f64::from(all.saturating_sub(had)) + 1.0;
                let bits = ((f64::from(all) + 1.0) / lacked).log2() - EVERYDAY;
                let (seen_in, out_of) = (u64::from(had), u64::from(all));
                draft(Draft { absent: *hash, bits, seen_in, out_of, ..Draft::of(Feature::Missing) });
            }
        }
    }
}

/// Bits of a new key: how rarely this function does new things, how rare the key is in the fleet, and what it could do.
fn novelty_bits(own: f64, share: f64, risk: Risk) -> f64 {
    let rare = (-share.log2()).clamp(0.0, 6.0);
    let grave = match risk {
        Risk::Read => 0.0,
        Risk::Write => 0.5,
        Risk::Delete | Risk::Egress => 2.0,
        Risk::Identity => 3.0,
        Risk::Control => 4.0,
    };
    // The prior says how bad a surprise is; without a surprise it says nothing.
    let surprised = (own / 8.0).min(1.0);
    own * (1.0 - 0.6 * share) + surprised * (rare + grave)
}
