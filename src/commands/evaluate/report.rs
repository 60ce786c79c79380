//! What all trials come to, as JSON and as a table. Rates carry their 95 % intervals; misses are published.

use std::fmt::Write as _;

use serde::Serialize;

use super::{
    interval::{poisson, wilson},
    trial::{Kept, STATES, Trial},
};

/// Everything there is to say.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Fleets simulated, by seeds from `first_seed` on.
    pub runs: u64,
    /// The first fleet's.
    pub first_seed: u64,
    /// Of each fleet.
    pub days: u32,
    /// Spans judged.
    pub spans: u64,
    /// False pages accepted a week, for a whole fleet.
    pub budget_per_week: f64,
    /// In the order of the testbed.
    pub attacks: Vec<AttackRate>,
    /// False pages by the state of the promise, and in all.
    pub false_pages: Vec<FalsePages>,
    /// False pages while something benign was going on, over all runs.
    pub benign: Vec<BenignPages>,
    /// What went wrong: what each false page said, and the attacks nobody would have heard of.
    pub misses: Vec<Miss>,
    /// Seconds of event time from the first malicious act to the page or queue entry: median, and nine in ten.
    pub seconds_to_detect: [Option<f64>; 2],
}

/// How often one attack was noticed.
#[derive(Debug, Serialize)]
pub struct AttackRate {
    /// As the testbed calls it.
    pub id: String,
    /// Times it was tried.
    pub trials: u64,
    /// Times it became a page.
    pub pages: u64,
    /// 95 % interval of that share (Wilson).
    pub page_interval: [f64; 2],
    /// Times it became a page or reached the queue.
    pub noticed: u64,
    /// 95 % interval of that share (Wilson).
    pub noticed_interval: [f64; 2],
    /// Of those noticed, how often the headline names what was done.
    pub explained: u64,
}

/// False pages of some fleet-days.
#[derive(Debug, Serialize)]
pub struct FalsePages {
    /// `learning`, `active`, `suspended`, or `all`.
    pub promise: String,
    /// Fleet-days.
    pub fleet_days: f64,
    /// False pages.
    pub pages: u64,
    /// A week.
    pub per_week: f64,
    /// 95 % interval of that rate (exact Poisson).
    pub per_week_interval: [f64; 2],
}

/// False pages during one kind of benign disturbance.
#[derive(Debug, Serialize)]
pub struct BenignPages {
    /// As the testbed calls it.
    pub id: String,
    /// Over all runs.
    pub false_pages: u64,
}

/// One thing that went wrong.
#[derive(Debug, Serialize)]
pub struct Miss {
    /// Of the fleet.
    pub seed: u64,
    /// `false page` or `unnoticed`.
    pub kind: &'static str,
    /// What the page said, or which attack it was.
    pub what: String,
}

impl Report {
    /// Of `trials`.
    pub fn of(trials: &[Trial], first_seed: u64, days: u32, budget_per_week: f64) -> Self {
        let mut kept = [Kept::default(); 3];
        for (sum, one) in trials.iter().flat_map(|trial| trial.by_promise.iter().enumerate()) {
            if let Some(kept) = kept.get_mut(sum) {
                kept.days += one.days;
                kept.pages += one.pages;
            }
        }
        let all =
            Kept { days: kept.iter().map(|kept| kept.days).sum(), pages: kept.iter().map(|kept| kept.pages).sum() };
        let named = STATES.iter().zip(kept).chain([(&"all", all)]);
        Self {
            runs: trials.len() as u64,
            first_seed,
            days,
            spans: trials.iter().map(|trial| trial.spans).sum(),
            budget_per_week,
            attacks: attacks(trials),
            false_pages: named.map(|(state, kept)| false_pages(state, kept)).collect(),
            benign: benign(trials),
            misses: misses(trials),
            seconds_to_detect: seconds_to_detect(trials),
        }
    }

    /// The report as a file's content.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// The report for people.
    pub fn to_table(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(
            out,
            "{:<20} {:>6}  {:<20} {:<20} cause named",
            "attack", "trials", "page (95 %)", "page or queue"
        );
        for attack in &self.attacks {
            let _ = writeln!(
                out,
                "{:<20} {:>6}  {:<20} {:<20} {}",
                attack.id,
                attack.trials,
                share(attack.pages, attack.trials, attack.page_interval),
                share(attack.noticed, attack.trials, attack.noticed_interval),
                if attack.noticed == 0 { "-".to_owned() } else { percent(attack.explained, attack.noticed) },
            );
        }
        let [median, most] = self.seconds_to_detect.map(|s| s.map_or("-".to_owned(), |s| format!("{s:.1} s")));
        let _ = writeln!(out, "\nnoticed after: median {median}, nine in ten within {most}\n");
        let _ = writeln!(out, "{:<12} {:>10} {:>12} {:>9}  95 %", "promise", "fleet-days", "false pages", "a week");
        for row in &self.false_pages {
            let [low, high] = row.per_week_interval;
            let _ = writeln!(
                out,
                "{:<12} {:>10.1} {:>12} {:>9.2}  {low:.2} to {high:.2}",
                row.promise, row.fleet_days, row.pages, row.per_week
            );
        }
        let _ = writeln!(out, "the budget is {} a week\n", self.budget_per_week);
        for benign in &self.benign {
            let _ = writeln!(out, "{:<24} {} false pages in {} runs", benign.id, benign.false_pages, self.runs);
        }
        out
    }
}

fn attacks(trials: &[Trial]) -> Vec<AttackRate> {
    let mut rates: Vec<AttackRate> = Vec::new();
    for (found, attack) in trials.iter().flat_map(|trial| trial.score.attacks.iter().zip(&trial.attacks)) {
        let index = rates.iter().position(|rate| rate.id == found.id).unwrap_or_else(|| {
            rates.push(AttackRate {
                id: found.id.clone(),
                trials: 0,
                pages: 0,
                page_interval: [0.0; 2],
                noticed: 0,
                noticed_interval: [0.0; 2],
                explained: 0,
            });
            rates.len() - 1
        });
        let Some(rate) = rates.get_mut(index) else { continue };
        let named = |headline: &String| attack.signs.iter().any(|sign| headline.contains(sign));
        rate.trials += 1;
        rate.pages += u64::from(found.tier.as_deref() == Some("page"));
        rate.noticed += u64::from(found.detected);
        rate.explained += u64::from(found.headline.as_ref().is_some_and(named));
    }
    for rate in &mut rates {
        rate.page_interval = wilson(rate.pages, rate.trials);
        rate.noticed_interval = wilson(rate.noticed, rate.trials);
    }
    rates
}

fn false_pages(state: &str, kept: Kept) -> FalsePages {
    let weekly = |count: f64| if kept.days > 0.0 { count / kept.days * 7.0 } else { 0.0 };
    FalsePages {
        promise: state.to_owned(),
        fleet_days: kept.days,
        pages: kept.pages,
        per_week: weekly(kept.pages as f64),
        per_week_interval: poisson(kept.pages).map(weekly),
    }
}

fn benign(trials: &[Trial]) -> Vec<BenignPages> {
    let mut sums: Vec<BenignPages> = Vec::new();
    for judged in trials.iter().flat_map(|trial| &trial.score.benign) {
        match sums.iter_mut().find(|sum| sum.id == judged.id) {
            Some(sum) => sum.false_pages += judged.false_pages,
            None => sums.push(BenignPages { id: judged.id.clone(), false_pages: judged.false_pages }),
        }
    }
    sums
}

fn misses(trials: &[Trial]) -> Vec<Miss> {
    let of_one = |trial: &Trial| {
        let seed = trial.seed;
        let pages = trial.false_headlines.iter().map(|what| Miss { seed, kind: "false page", what: what.clone() });
        let unnoticed = trial.score.attacks.iter().filter(|attack| !attack.detected);
        let unnoticed = unnoticed.map(|attack| Miss { seed, kind: "unnoticed", what: attack.id.clone() });
        pages.chain(unnoticed).collect::<Vec<_>>()
    };
    trials.iter().flat_map(of_one).collect()
}

fn seconds_to_detect(trials: &[Trial]) -> [Option<f64>; 2] {
    let found = trials.iter().flat_map(|trial| &trial.score.attacks);
    let mut seconds: Vec<f64> = found.filter_map(|attack| attack.seconds_to_detect).collect();
    seconds.sort_by(f64::total_cmp);
    [0.5, 0.9].map(|quantile| seconds.get((seconds.len() as f64 * quantile) as usize).copied())
}

fn percent(some: u64, all: u64) -> String {
    format!("{:.0} %", 100.0 * some as f64 / all.max(1) as f64)
}

fn share(some: u64, all: u64, [low, high]: [f64; 2]) -> String {
    format!("{} ({:.0}-{:.0})", percent(some, all), 100.0 * low, 100.0 * high)
}
