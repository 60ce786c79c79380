//! What all fleets come to. Every rate carries its 95 % interval; misses are published.

use serde::Serialize;

use super::{
    Plan,
    fleet::{Kept, Outcome, STATES},
    interval::{clustered, poisson, wilson},
    tables::{self, Cell, Explained, Goal, Kind, Robust, Total},
};

/// Everything there is to say.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Whether this is about what was set aside.
    pub r#final: bool,
    /// Fleets simulated, by seeds from `first_seed` on.
    pub runs: u64,
    /// The first fleet's.
    pub first_seed: u64,
    /// Ordinary days of each.
    pub days: u32,
    /// Traffic, as a multiple of the usual.
    pub scale: f64,
    /// Functions of each.
    pub functions: usize,
    /// Spans, log records and metric points judged.
    pub items: u64,
    /// False pages accepted a week, for a whole fleet.
    pub budget_per_week: f64,
    /// What was aimed at, and what came of it.
    pub goals: Vec<Goal>,
    /// By behaviour and intensity.
    pub attacks: Vec<Cell>,
    /// By family and in all.
    pub totals: Vec<Total>,
    /// Seconds of event time from the first malicious act to the first page or queue entry: median, and nine in ten.
    pub seconds_to_detect: [Option<f64>; 2],
    /// How often the first evidence, or one of the first three, names what was done.
    pub explained: Explained,
    /// Which kinds of evidence came first.
    pub evidence: Vec<Kind>,
    /// The same attacks under difficulties.
    pub robustness: Vec<Robust>,
    /// False pages on ordinary days by the state of the promise, in all, and over all days.
    pub false_pages: Vec<FalsePages>,
    /// False pages by benign scenario.
    pub scenarios: Vec<ScenarioPages>,
    /// What went wrong: what each false page said, and the attacks nobody would have heard of.
    pub misses: Vec<Miss>,
}

/// False pages of some fleet-days.
#[derive(Debug, Serialize)]
pub struct FalsePages {
    /// `learning`, `active`, `suspended`, `ordinary days`, or `all days`.
    pub promise: String,
    /// Fleet-days.
    pub fleet_days: f64,
    /// Function-days.
    pub function_days: f64,
    /// False pages.
    pub pages: u64,
    /// A week of a fleet.
    pub per_week: f64,
    /// 95 % interval of that rate (exact Poisson).
    pub per_week_interval: [f64; 2],
    /// The same over fleets as clusters (bootstrap); nothing of fewer than five fleets.
    pub per_week_clustered: Option<[f64; 2]>,
    /// A function-day.
    pub per_function_day: f64,
    /// 95 % interval of that rate (exact Poisson).
    pub per_function_day_interval: [f64; 2],
}

/// False pages in one benign scenario.
#[derive(Debug, Serialize)]
pub struct ScenarioPages {
    /// As the testbed calls it.
    pub id: String,
    /// Whether the promise need not hold.
    pub regime_change: bool,
    /// Days of it.
    pub days: u64,
    /// False pages.
    pub pages: u64,
    /// A day.
    pub per_day: f64,
    /// 95 % interval of that rate (exact Poisson).
    pub per_day_interval: [f64; 2],
    /// Days on which the promise was suspended.
    pub suspended: u64,
    /// Whether the budget is within the interval or above it.
    pub within_budget: bool,
}

/// One thing that went wrong.
#[derive(Debug, Serialize)]
pub struct Miss {
    /// Of the fleet.
    pub seed: u64,
    /// `false page`, a scenario's name, or `unnoticed`.
    pub kind: String,
    /// What the page said, or which attack it was.
    pub what: String,
}

impl Report {
    /// Of `outcomes`.
    pub fn of(outcomes: &[Outcome], plan: &Plan, first_seed: u64) -> Self {
        let functions = outcomes.first().map_or(0, |outcome| outcome.functions);
        let attacks = tables::cells(outcomes);
        let mut report = Self {
            r#final: plan.last,
            runs: outcomes.len() as u64,
            first_seed,
            days: plan.days,
            scale: plan.scale,
            functions,
            items: outcomes.iter().map(|outcome| outcome.items).sum(),
            budget_per_week: plan.budget_per_day * 7.0,
            goals: Vec::new(),
            totals: tables::totals(outcomes),
            seconds_to_detect: tables::seconds(outcomes),
            explained: tables::explained(outcomes),
            evidence: tables::evidence(outcomes),
            robustness: tables::robustness(outcomes),
            false_pages: false_pages(outcomes, functions),
            scenarios: scenarios(outcomes, plan),
            misses: misses(outcomes),
            attacks,
        };
        report.goals = tables::goals(&report);
        report
    }

    /// The report as a file's content.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }
}

/// False pages on ordinary days by the state of the promise, on all of those, and on all days.
pub fn false_pages(outcomes: &[Outcome], functions: usize) -> Vec<FalsePages> {
    let sum = |some: &[Kept]| Kept {
        days: some.iter().map(|kept| kept.days).sum(),
        pages: some.iter().map(|kept| kept.pages).sum(),
    };
    let all = |of: &Outcome| {
        let pages = of.scenarios.iter().map(|lived| lived.pages.len() as u64).sum();
        sum(&[sum(&of.ordinary), Kept { days: of.scenarios.len() as f64, pages }])
    };
    let by_fleet = |kept: &dyn Fn(&Outcome) -> Kept| outcomes.iter().map(kept).collect::<Vec<Kept>>();
    let of_state = |place: usize| by_fleet(&|of| of.ordinary.get(place).copied().unwrap_or_default());
    let named = STATES.iter().enumerate().map(|(place, state)| (*state, of_state(place)));
    let all_days = [("ordinary days", by_fleet(&|of| sum(&of.ordinary))), ("all days", by_fleet(&all))];
    named
        .chain(all_days)
        .map(|(promise, fleets)| {
            let Kept { days, pages } = sum(&fleets);
            let function_days = days * functions as f64;
            let over = |count: f64, days: f64| if days > 0.0 { count / days } else { 0.0 };
            let weeks: Vec<(f64, f64)> = fleets.iter().map(|kept| (kept.pages as f64, kept.days / 7.0)).collect();
            FalsePages {
                promise: promise.to_owned(),
                fleet_days: days,
                function_days,
                pages,
                per_week: over(pages as f64, days / 7.0),
                per_week_interval: poisson(pages).map(|count| over(count, days / 7.0)),
                per_week_clustered: clustered(&weeks),
                per_function_day: over(pages as f64, function_days),
                per_function_day_interval: poisson(pages).map(|count| over(count, function_days)),
            }
        })
        .collect()
}

fn scenarios(outcomes: &[Outcome], plan: &Plan) -> Vec<ScenarioPages> {
    let of = |id: &'static str| {
        outcomes.iter().flat_map(|outcome| &outcome.scenarios).filter(move |lived| lived.scenario.id == id)
    };
    plan.scenarios
        .iter()
        .map(|scenario| {
            let days = of(scenario.id).count() as u64;
            let pages = of(scenario.id).map(|lived| lived.pages.len() as u64).sum();
            let daily = |count: f64| if days > 0 { count / days as f64 } else { 0.0 };
            let interval = poisson(pages).map(daily);
            ScenarioPages {
                id: scenario.id.to_owned(),
                regime_change: scenario.regime_change,
                days,
                pages,
                per_day: daily(pages as f64),
                per_day_interval: interval,
                suspended: of(scenario.id).filter(|lived| lived.suspended).count() as u64,
                within_budget: interval[0] <= plan.budget_per_day,
            }
        })
        .collect()
}

fn misses(outcomes: &[Outcome]) -> Vec<Miss> {
    let mut misses = Vec::new();
    for outcome in outcomes {
        let seed = outcome.seed;
        let mut put = |kind: &str, what: String| misses.push(Miss { seed, kind: kind.to_owned(), what });
        for headline in &outcome.false_pages {
            put("false page", headline.clone());
        }
        for lived in &outcome.scenarios {
            for headline in &lived.pages {
                put(lived.scenario.id, headline.clone());
            }
        }
        for tried in outcome.attacks.iter().filter(|tried| !tried.noticed.queued) {
            let (intensity, variant) = (tried.intensity.name(), tried.variant.name());
            put("unnoticed", format!("{} {intensity} {variant}", tried.behaviour.id));
        }
    }
    misses
}

/// A share and its interval.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Share {
    /// How many.
    pub hits: u64,
    /// Of how many.
    pub trials: u64,
    /// 95 % interval (Wilson).
    pub interval: [f64; 2],
}

impl Share {
    /// Of those for which `hit` is true.
    pub fn of(hits: impl Iterator<Item = bool>) -> Self {
        let (mut some, mut all) = (0, 0);
        for hit in hits {
            some += u64::from(hit);
            all += 1;
        }
        Self { hits: some, trials: all, interval: wilson(some, all) }
    }

    /// As a number; 0 where nothing was tried.
    pub fn value(&self) -> f64 {
        self.hits as f64 / self.trials.max(1) as f64
    }
}
