//! The benign torture set: what should page nobody, each under its name, over one day. False alarms are measured here,
//! not on quiet traffic only.

use super::{
    application::Application,
    benign::{DAY, Disturbance, HOUR, Kind, MINUTE},
    rng::Rng,
    truth::Benign,
};
use crate::detect::observation::Nanos;

/// One scenario.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Short, stable name.
    pub id: &'static str,
    /// Whether so much changes at once that the promise need not hold: it must say so instead.
    pub regime_change: bool,
    /// Hours from its beginning until it is no news any more.
    hours: u64,
    kinds: fn(&Application, &mut Rng) -> Vec<(Kind, u64)>,
}

impl Scenario {
    /// What happens to `applications` on the day that begins at `day`. Every application meets it.
    pub fn on(&self, applications: &[&'static Application], day: Nanos, rng: &mut Rng) -> Vec<Disturbance> {
        let mut all = Vec::new();
        for application in applications {
            for (kind, minute) in (self.kinds)(application, rng) {
                let from = day + minute * MINUTE + rng.below(20 * MINUTE);
                let to = (from + self.hours * HOUR).min(day + DAY);
                let benign = Benign { id: self.id, from, to };
                all.push(Disturbance { benign, kind, application: Some(application.name) });
            }
        }
        all
    }
}

const MORNING: u64 = 9 * 60;
const NOON: u64 = 12 * 60;
const EVENING: u64 = 18 * 60;

/// All of them.
pub const ALL: &[Scenario] = &[
    scenario("quiet-day", 24, |_, _| Vec::new()),
    scenario("flash-crowd", 2, |_, _| vec![(Kind::Crowd(10.0), EVENING)]),
    scenario("hundredfold-crowd", 1, |_, _| vec![(Kind::Crowd(100.0), NOON)]),
    scenario("empty-day", 20, |_, _| vec![(Kind::Crowd(0.05), 30)]),
    scenario("retry-storm", 1, |_, _| vec![(Kind::Throttling(0.7), NOON)]),
    regime_change("dependency-outage", 2, |_, _| vec![(Kind::Unreachable(0.8, 6.0), NOON)]),
    regime_change("failover", 6, |_, _| vec![(Kind::Failover, MORNING)]),
    scenario("cold-start-wave", 1, |_, _| vec![(Kind::ColdWave, NOON)]),
    scenario("flag-flip", 12, |_, _| vec![(Kind::Flag, MORNING)]),
    scenario("three-deploys", 6, |application, rng| {
        let deploy = |rng: &mut Rng, minute| {
            let spec = application.functions.get(rng.below(application.functions.len() as u64) as usize);
            spec.map(|spec| (Kind::Deploy(spec.name, true), minute))
        };
        [MORNING, NOON, EVENING].into_iter().filter_map(|minute| deploy(rng, minute)).collect()
    }),
    scenario("sdk-upgrade", 12, |application, _| {
        application.functions.iter().map(|spec| (Kind::Deploy(spec.name, false), MORNING)).collect()
    }),
    regime_change("sdk-renames-everything", 12, |_, _| vec![(Kind::RenamedSdk, MORNING)]),
    regime_change("migration", 12, |_, _| vec![(Kind::Migration, MORNING)]),
    scenario("new-customer", 12, |_, _| vec![(Kind::NewCustomer, MORNING)]),
    scenario("month-end", 6, |_, _| vec![(Kind::MonthEnd(8), 60)]),
    scenario("sampling-ten-percent", 20, |_, _| vec![(Kind::Sampling(0.1), 120)]),
    scenario("sampling-one-percent", 20, |_, _| vec![(Kind::Sampling(0.01), 120)]),
    scenario("clock-skew", 20, |_, _| vec![(Kind::Skew(40), 120)]),
    scenario("late-and-twice", 20, |_, _| vec![(Kind::LateAndTwice, 120)]),
    scenario("new-function", 20, |_, _| vec![(Kind::Newcomer, MORNING)]),
    scenario("debug-logs", 6, |_, _| vec![(Kind::DebugLogs, NOON)]),
];

const fn scenario(id: &'static str, hours: u64, kinds: fn(&Application, &mut Rng) -> Vec<(Kind, u64)>) -> Scenario {
    Scenario { id, regime_change: false, hours, kinds }
}

const fn regime_change(
    id: &'static str,
    hours: u64,
    kinds: fn(&Application, &mut Rng) -> Vec<(Kind, u64)>,
) -> Scenario {
    Scenario { id, regime_change: true, hours, kinds }
}
