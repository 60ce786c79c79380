//! One simulated fleet, from its first day to its attacks, judged by what is known of it.

use crate::{
    commands::demo::{
        alert::{self, Alert},
        score::{self, Score},
    },
    detect::verdict::{Promise, PromiseState},
    incidents::record,
    otlp::Signal,
    processors::anomaly::{Annotated, Model},
    testbed::{Attack, Options, Simulation},
};

/// What came of one run.
#[derive(Debug)]
pub struct Trial {
    /// Attacks and false pages.
    pub score: Score,
    /// What the attacks were.
    pub attacks: Vec<Attack>,
    /// Where its chance came from.
    pub seed: u64,
    /// What false pages said.
    pub false_headlines: Vec<String>,
    /// Spans judged.
    pub spans: u64,
    /// False pages, and days, by the state of the promise: learning, active, suspended.
    pub by_promise: [Kept; 3],
}

/// False pages of some days.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Kept {
    /// Days.
    pub days: f64,
    /// False pages.
    pub pages: u64,
}

/// The states of the promise, as [`Trial::by_promise`] orders them.
pub const STATES: [&str; 3] = ["learning", "active", "suspended"];

const fn place(promise: &Promise) -> usize {
    match promise.state {
        PromiseState::Learning { .. } => 0,
        PromiseState::Active => 1,
        PromiseState::Suspended { .. } => 2,
    }
}

/// Plays one fleet through the model the gateway has.
pub fn run(options: Options, budget_per_day: f64) -> Trial {
    const DAY: f64 = 86_400e9;
    let mut airline = Simulation::new(options);
    let mut model = Model::new(budget_per_day);
    let (mut alerts, mut states) = (Vec::<Alert>::new(), Vec::new());
    let (mut by_promise, mut spans, mut clock) = ([Kept::default(); 3], 0, options.start);
    for delivery in airline.by_ref() {
        let seen = model.see(&delivery.batch, Annotated::None);
        spans += if delivery.batch.signal == Signal::Traces { delivery.batch.items as u64 } else { 0 };
        let promise = model.promise();
        if let Some(kept) = by_promise.get_mut(place(&promise)) {
            kept.days += delivery.at.saturating_sub(clock) as f64 / DAY;
        }
        clock = clock.max(delivery.at);
        if !seen.changes.is_empty() {
            alerts.extend(alert::read(&record::alerts_request(&seen.changes, &promise, delivery.at)));
            states.resize(alerts.len(), place(&promise));
        }
    }
    let seen = model.advance(u64::MAX);
    let promise = model.promise();
    alerts.extend(alert::read(&record::alerts_request(&seen.changes, &promise, clock)));
    states.resize(alerts.len(), place(&promise));
    let truth = airline.truth();
    let score = score::score(&alerts, truth);
    for number in &score.false_alerts {
        let state = states.get(*number).copied().unwrap_or(0);
        if let Some(kept) = by_promise.get_mut(state) {
            kept.pages += 1;
        }
    }
    let false_alerts = score.false_alerts.iter().filter_map(|number| alerts.get(*number));
    let false_headlines = false_alerts.map(|alert| alert.headline.clone()).collect();
    Trial { seed: options.seed, false_headlines, score, attacks: truth.attacks.clone(), spans, by_promise }
}
