//! One simulated account: ordinary weeks from which the model learns, then many futures of the same morning, each with
//! one attack or one benign scenario and nothing else, so that none disturbs another.

use super::{
    Plan,
    judge::{Judge, Noticed, Pages},
};
use crate::{
    detect::{
        observation::Nanos,
        verdict::{Promise, PromiseState},
    },
    processors::anomaly::{Annotated, Model, Seen},
    testbed::{
        Options, Simulation, Story,
        application::Stage,
        attacks::catalogue::{Behaviour, Intensity},
        benign::{DAY, Disturbance, HOUR, Kind, MINUTE},
        rng::Rng,
        scenarios::Scenario,
        truth::Benign,
    },
};

/// How long after the last malicious act something may still be said of it.
pub const AFTERMATH: Nanos = 20 * MINUTE;
/// How long before an attack its quiet forerunner is.
const POISONED_FOR: Nanos = 6 * HOUR;
/// Attacks are at one of these hours; which one is the fleet's own.
const HOURS: [u64; 4] = [3, 9, 13, 20];
/// The states of the promise, as [`Kept`] is ordered.
pub const STATES: [&str; 3] = ["learning", "active", "suspended"];

/// Ways in which the same attack is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Variant {
    /// As it is.
    Plain,
    /// One trace in ten is sent.
    Sampled,
    /// The gateway was just started anew.
    Restarted,
    /// Done quietly for some hours before.
    Poisoned,
    /// Posts come late, out of order and twice.
    Unreliable,
}

impl Variant {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Plain, Self::Sampled, Self::Restarted, Self::Poisoned, Self::Unreliable];

    /// As reports call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Sampled => "one trace in ten",
            Self::Restarted => "gateway restarted",
            Self::Poisoned => "poisoned for some hours",
            Self::Unreliable => "late, out of order, twice",
        }
    }

    fn disturbance(self, from: Nanos) -> Option<Disturbance> {
        let kind = match self {
            Self::Sampled => Kind::Sampling(0.1),
            Self::Unreliable => Kind::LateAndTwice,
            Self::Plain | Self::Restarted | Self::Poisoned => return None,
        };
        Some(Disturbance { benign: Benign { id: "variant", from, to: from + 7 * DAY }, kind, application: None })
    }
}

/// Days and false pages.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Kept {
    /// Days.
    pub days: f64,
    /// False pages.
    pub pages: u64,
}

/// One attack that was tried.
#[derive(Clone, Debug)]
pub struct Tried {
    /// What.
    pub behaviour: Behaviour,
    /// How much.
    pub intensity: Intensity,
    /// In which way.
    pub variant: Variant,
    /// What came of it.
    pub noticed: Noticed,
}

/// One scenario that was lived through.
#[derive(Clone, Debug)]
pub struct Lived {
    /// Which.
    pub scenario: Scenario,
    /// False pages.
    pub pages: Vec<String>,
    /// Whether the promise was suspended during it.
    pub suspended: bool,
}

/// What came of one account.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Its seed.
    pub seed: u64,
    /// Functions it has.
    pub functions: usize,
    /// Items judged.
    pub items: u64,
    /// Ordinary days by the state of the promise.
    pub ordinary: [Kept; 3],
    /// What false pages said on ordinary days.
    pub false_pages: Vec<String>,
    /// Its attacks.
    pub attacks: Vec<Tried>,
    /// Its scenarios.
    pub scenarios: Vec<Lived>,
}

/// Where all futures begin.
struct Morning {
    simulation: Simulation,
    model: Model,
    at: Nanos,
    seed: u64,
    /// Priorities of the last week's incidents.
    before: Vec<u8>,
    pages: Pages,
}

/// Lives through one account. `done` is told of each day, scenario and attack.
pub fn live(seed: u64, plan: &Plan, done: &(dyn Fn() + Sync)) -> Outcome {
    let mut outcome = Outcome { seed, ..Outcome::default() };
    let morning = learn(seed, plan, &mut outcome, done);
    for scenario in &plan.scenarios {
        let lived = live_through(&morning, scenario, plan, &mut outcome.items);
        outcome.scenarios.push(lived);
        done();
    }
    for (number, behaviour) in plan.behaviours.iter().enumerate() {
        for intensity in Intensity::ALL {
            let all = intensity == Intensity::Usual && !plan.is_slow(behaviour);
            let variants = if all { plan.variants } else { &[Variant::Plain] };
            for variant in variants {
                let noticed = suffer(&morning, plan, (number, behaviour), intensity, *variant, &mut outcome.items);
                outcome.attacks.push(Tried { behaviour: *behaviour, intensity, variant: *variant, noticed });
                done();
            }
        }
    }
    outcome
}

/// An account on its first day, and the morning up to which only ordinary things happen.
pub fn begin(seed: u64, plan: &Plan) -> (Simulation, Nanos) {
    let options = Options {
        seed,
        days: plan.days + 1,
        scale: plan.scale,
        applications: plan.applications,
        story: Story::Everyday,
        sources: plan.sources,
        ..Options::default()
    };
    let hour = HOURS.get((seed % 4) as usize).copied().unwrap_or(9);
    (Simulation::new(options), options.start + u64::from(plan.days) * DAY + hour * HOUR)
}

/// Chance goes its own way for this attack; what is done, and when it begins.
pub fn stage(
    simulation: &mut Simulation,
    seed: u64,
    morning: Nanos,
    plan: &Plan,
    (number, behaviour): (usize, &Behaviour),
    intensity: Intensity,
) -> Option<(&'static Stage, Nanos)> {
    let seed = seed.wrapping_mul(1_000_003) ^ (number as u64) << 8 ^ intensity as u64;
    simulation.reseed(seed);
    let mut rng = Rng::new(seed ^ 0x00a7_7ac4);
    let stages = plan.stages_for(behaviour);
    let stage = *stages.get(rng.below(stages.len() as u64) as usize)?;
    // Of X06 the decoy comes first.
    let decoy = if behaviour.id.starts_with("X06") { 30 * MINUTE } else { 0 };
    Some((stage, morning + 5 * MINUTE + rng.below(20 * MINUTE) + decoy))
}

fn learn(seed: u64, plan: &Plan, outcome: &mut Outcome, done: &(dyn Fn() + Sync)) -> Morning {
    let (mut simulation, until) = begin(seed, plan);
    outcome.functions = simulation.functions();
    let mut model = Model::new(plan.budget_per_day).without(plan.without);
    let start = until / DAY * DAY - u64::from(plan.days) * DAY;
    let week = until - 7 * DAY;
    let (mut pages, mut before, mut clock, mut day) = (Pages::default(), Vec::new(), start, 0);
    while let Some(delivery) = simulation.next_before(until) {
        let looked = model.see(&delivery.batch, Annotated::None);
        outcome.items += delivery.batch.items as u64;
        let state = place(&model.promise());
        if let Some(kept) = outcome.ordinary.get_mut(state) {
            kept.days += delivery.at.saturating_sub(clock) as f64 / DAY as f64;
        }
        clock = clock.max(delivery.at);
        let false_pages = pages.first(&looked.changes);
        if let Some(kept) = outcome.ordinary.get_mut(state) {
            kept.pages += false_pages.len() as u64;
        }
        outcome.false_pages.extend(false_pages.iter().map(|incident| incident.headline.clone()));
        let opened = looked.changes.iter().filter(|change| change.kind == crate::incidents::ChangeKind::Opened);
        before.extend(opened.filter(|_| clock >= week).map(|change| change.incident.priority));
        let today = (clock - start) / DAY;
        if today > day {
            day = today;
            done();
        }
    }
    Morning { simulation, model, at: until, seed, before, pages }
}

fn live_through(morning: &Morning, scenario: &Scenario, plan: &Plan, items: &mut u64) -> Lived {
    let mut simulation = morning.simulation.clone();
    let mut model = morning.model.clone();
    let mut pages = morning.pages.clone();
    let mut rng = Rng::new(morning.seed ^ 0x5ce0);
    let day = (morning.at / DAY + 1) * DAY;
    simulation.disturb(scenario.on(plan.applications, day, &mut rng));
    simulation.extend(day + DAY);
    let (mut headlines, mut suspended) = (Vec::new(), false);
    while let Some(delivery) = simulation.next_before(day + DAY) {
        let seen = model.see(&delivery.batch, Annotated::None);
        *items += delivery.batch.items as u64;
        let first = pages.first(&seen.changes);
        if delivery.at >= day {
            headlines.extend(first.iter().map(|incident| incident.headline.clone()));
            suspended |= matches!(model.promise().state, PromiseState::Suspended { .. });
        }
    }
    Lived { scenario: *scenario, pages: headlines, suspended }
}

fn suffer(
    morning: &Morning,
    plan: &Plan,
    (number, behaviour): (usize, &Behaviour),
    intensity: Intensity,
    variant: Variant,
    items: &mut u64,
) -> Noticed {
    let mut simulation = morning.simulation.clone();
    let mut model = morning.model.clone();
    let placed = stage(&mut simulation, morning.seed, morning.at, plan, (number, behaviour), intensity);
    let Some((stage, mut begins)) = placed else { return Noticed::default() };
    if variant == Variant::Poisoned {
        let quiet = behaviour.campaign(stage, Intensity::Quiet);
        simulation.attack(quiet, begins);
        begins += POISONED_FOR;
    }
    simulation.disturb(variant.disturbance(morning.at).into_iter().collect());
    if variant == Variant::Restarted {
        model = model.restarted();
    }
    let index = simulation.attack(behaviour.campaign(stage, intensity), begins);
    simulation.extend(begins + 4 * DAY);
    let mut judge = Judge::new(&morning.before);
    loop {
        let ends = simulation.truth().attacks.get(index).map_or(0, |attack| attack.ends);
        let Some(delivery) = simulation.next_before(ends + AFTERMATH) else { break };
        let Seen { changes, .. } = model.see(&delivery.batch, Annotated::None);
        *items += delivery.batch.items as u64;
        let Some(attack) = simulation.truth().attacks.get(index) else { break };
        let paged = changes.iter().map(|change| judge.take(change, attack, delivery.at)).fold(false, |a, b| a | b);
        if paged {
            break;
        }
    }
    simulation.truth().attacks.get(index).map_or_else(Noticed::default, |attack| judge.finish(attack))
}

const fn place(promise: &Promise) -> usize {
    match promise.state {
        PromiseState::Learning { .. } => 0,
        PromiseState::Active => 1,
        PromiseState::Suspended { .. } => 2,
    }
}
