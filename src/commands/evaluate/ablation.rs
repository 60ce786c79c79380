//! The same accounts and the same attacks, scored by detectors that do without something: one family of evidence, or one
//! way of learning. Each learns and draws its line without it from the first day on.

use std::fmt::Write as _;

use serde::Serialize;

use super::{
    Plan,
    fleet::{Outcome, Variant},
    report::{FalsePages, Share, false_pages},
    text::share,
};
use crate::{
    detect::Part,
    testbed::attacks::catalogue::{Family, Intensity},
};

/// The whole table.
#[derive(Debug, Serialize)]
pub struct Ablation {
    /// Fleets simulated for each row.
    pub runs: u64,
    /// The first fleet's seed.
    pub first_seed: u64,
    /// Ordinary days of each.
    pub days: u32,
    /// Traffic, as a multiple of the usual.
    pub scale: f64,
    /// False pages accepted a week, for a whole fleet.
    pub budget_per_week: f64,
    /// The whole detector first.
    pub rows: Vec<Row>,
}

/// One detector.
#[derive(Debug, Serialize)]
pub struct Row {
    /// What it does without.
    pub without: &'static str,
    /// Attacks that are not adaptive: how often somebody was woken.
    pub page: Share,
    /// How often they reached the queue, or a page.
    pub queue: Share,
    /// Of attacks that the whole detector brings to the queue, those that this one does not.
    pub lost: Share,
    /// Of attacks that the whole detector does not, those that this one does.
    pub won: Share,
    /// False pages on ordinary days while promised.
    pub active: Option<FalsePages>,
}

/// What each row does without: first nothing.
pub fn parts() -> Vec<Option<Part>> {
    std::iter::once(None).chain(Part::ALL.map(Some)).collect()
}

/// The plan without one part: every attack in the plain way, no scenarios.
pub fn plan(plan: &Plan, without: Option<Part>) -> Plan {
    Plan { scenarios: Vec::new(), variants: &Variant::ALL[..1], without, ..plan.clone() }
}

impl Ablation {
    /// Of outcomes in the order of [`parts`].
    pub fn of(outcomes: &[Vec<Outcome>], plan: &Plan, first_seed: u64) -> Self {
        let whole = outcomes.first().map(Vec::as_slice).unwrap_or_default();
        let rows = parts().into_iter().zip(outcomes).map(|(part, some)| row(part, some, whole)).collect();
        Self {
            runs: whole.len() as u64,
            first_seed,
            days: plan.days,
            scale: plan.scale,
            budget_per_week: plan.budget_per_day * 7.0,
            rows,
        }
    }

    /// As a file's content.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// For people.
    pub fn markdown(&self) -> String {
        let mut out = format!(
            "# Ablation\n\n{} fleets for each row, seeds from {}, {} ordinary days each at {} of the usual traffic, then every \
             attack that is not adaptive at three intensities from the same morning. Each row learns and draws its line \
             without what it names. *Lost*: of what the whole detector brings to the queue; *won*: of what it does not. \
             Intervals are 95 %; the budget is {} false page(s) a week.\n\n\
             | without | page | queue | lost | won | false pages a week while promised |\n|---|---|---|---|---|---|\n",
            self.runs, self.first_seed, self.days, self.scale, self.budget_per_week
        );
        for row in &self.rows {
            let columns = [&row.page, &row.queue, &row.lost, &row.won].map(share);
            let active = row.active.as_ref().map_or("-".to_owned(), |pages| {
                let [low, high] = pages.per_week_interval;
                format!("{:.2} ({low:.2} to {high:.2})", pages.per_week)
            });
            let _ = writeln!(out, "| {} | {} | {active} |", row.without, columns.join(" | "));
        }
        out
    }
}

fn row(part: Option<Part>, outcomes: &[Outcome], whole: &[Outcome]) -> Row {
    let tried = || {
        let attacks = outcomes.iter().flat_map(|outcome| &outcome.attacks);
        attacks.filter(|tried| tried.behaviour.family != Family::Adaptive)
    };
    let queued = |of: &Outcome, id: &str, intensity: Intensity| {
        let mut attacks = of.attacks.iter();
        attacks.find(|tried| tried.behaviour.id == id && tried.intensity == intensity).map(|tried| tried.noticed.queued)
    };
    let beside = |wanted: bool| {
        let pairs = outcomes.iter().zip(whole).flat_map(move |(own, whole)| {
            own.attacks.iter().filter_map(move |tried| {
                let before = queued(whole, tried.behaviour.id, tried.intensity)?;
                (tried.behaviour.family != Family::Adaptive).then_some((before, tried.noticed.queued))
            })
        });
        Share::of(pairs.filter(|(before, _)| *before == wanted).map(|(before, now)| before != now))
    };
    let functions = outcomes.first().map_or(0, |outcome| outcome.functions);
    Row {
        without: part.map_or("nothing", Part::name),
        page: Share::of(tried().map(|tried| tried.noticed.paged)),
        queue: Share::of(tried().map(|tried| tried.noticed.queued)),
        lost: beside(true),
        won: beside(false),
        active: false_pages(outcomes, functions).into_iter().find(|row| row.promise == "active"),
    }
}
