//! Attacks by behaviour, intensity, family and variant.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    fleet::{Outcome, Tried, Variant},
    interval::clustered,
    report::{Report, Share},
};
use crate::testbed::{
    attacks::catalogue::{Family, Intensity},
    truth::Loot,
};

/// One behaviour at one intensity.
#[derive(Debug, Serialize)]
pub struct Cell {
    /// Number and name in the catalogue.
    pub behaviour: &'static str,
    /// Of what kind it is.
    pub family: &'static str,
    /// `quiet`, `usual` or `loud`.
    pub intensity: &'static str,
    /// Where it leaves a sign.
    pub shows_in: Vec<&'static str>,
    /// How often somebody was woken.
    pub page: Share,
    /// How often it reached the queue, or a page.
    pub queue: Share,
    /// How often the first evidence names what was done, of those noticed.
    pub first_names_it: Share,
    /// Median seconds of event time to the first page or queue entry.
    pub median_seconds: Option<f64>,
    /// Median malicious invocations up to then, where it names some.
    pub median_invocations: Option<f64>,
    /// Median place of its incident among those of a week.
    pub median_rank: Option<f64>,
    /// What an attacker had by the first page, or by the end, on average.
    pub loot: Loot,
}

/// One family, or all.
#[derive(Debug, Serialize)]
pub struct Total {
    /// A family's name, `not adaptive`, or `all`.
    pub what: &'static str,
    /// How often somebody was woken.
    pub page: Share,
    /// How often it reached the queue, or a page.
    pub queue: Share,
    /// 95 % intervals of both over fleets as clusters (bootstrap); nothing of fewer than five fleets.
    pub clustered: [Option<[f64; 2]>; 2],
    /// Cells in which most trials paged, of all cells.
    pub cells_paged: Share,
    /// Cells in which most trials reached the queue, of all cells.
    pub cells_queued: Share,
}

/// How good explanations are.
#[derive(Debug, Serialize)]
pub struct Explained {
    /// The first evidence names what was done.
    pub first: Share,
    /// One of the first three does.
    pub first_three: Share,
    /// The incident was the first of its week by priority.
    pub ranked_first: Share,
}

/// One kind of evidence.
#[derive(Debug, Serialize)]
pub struct Kind {
    /// Its name.
    pub evidence: &'static str,
    /// How often it came first.
    pub first: u64,
}

/// The same attacks, the same intensity, under difficulties.
#[derive(Debug, Serialize)]
pub struct Robust {
    /// Which.
    pub variant: &'static str,
    /// How often somebody was woken.
    pub page: Share,
    /// How often it reached the queue, or a page.
    pub queue: Share,
}

/// Something that was aimed at.
#[derive(Debug, Serialize)]
pub struct Goal {
    /// What.
    pub aim: &'static str,
    /// What came of it.
    pub found: String,
    /// Whether that is enough.
    pub met: bool,
}

fn plain(outcomes: &[Outcome]) -> impl Iterator<Item = &Tried> {
    outcomes.iter().flat_map(|outcome| &outcome.attacks).filter(|tried| tried.variant == Variant::Plain)
}

/// By behaviour and intensity, in the order of the catalogue.
pub fn cells(outcomes: &[Outcome]) -> Vec<Cell> {
    let mut groups: BTreeMap<(&str, Intensity), Vec<&Tried>> = BTreeMap::new();
    for tried in plain(outcomes) {
        groups.entry((tried.behaviour.id, tried.intensity)).or_default().push(tried);
    }
    groups.into_values().filter_map(|group| cell(&group)).collect()
}

fn cell(group: &[&Tried]) -> Option<Cell> {
    let Tried { behaviour, intensity, .. } = group.first()?;
    let noticed = || group.iter().map(|tried| &tried.noticed);
    let sum = noticed().fold(Loot::default(), |sum, noticed| sum.with(noticed.loot));
    let count = group.len() as u64;
    Some(Cell {
        behaviour: behaviour.id,
        family: behaviour.family.name(),
        intensity: intensity.name(),
        shows_in: behaviour.shows_in.iter().map(|source| source.name()).collect(),
        page: Share::of(noticed().map(|noticed| noticed.paged)),
        queue: Share::of(noticed().map(|noticed| noticed.queued)),
        first_names_it: Share::of(noticed().filter(|noticed| noticed.queued).map(|noticed| noticed.first_names_it)),
        median_seconds: quantile(noticed().filter_map(|noticed| noticed.seconds), 0.5),
        median_invocations: quantile(noticed().filter_map(|noticed| noticed.invocations).map(|n| n as f64), 0.5),
        median_rank: quantile(noticed().filter_map(|noticed| noticed.rank).map(|n| n as f64), 0.5),
        loot: Loot {
            records: sum.records / count,
            bytes: sum.bytes / count,
            gb_seconds: sum.gb_seconds / count as f64,
        },
    })
}

/// By family, without adaptive attackers, and in all.
pub fn totals(outcomes: &[Outcome]) -> Vec<Total> {
    const FAMILIES: [Family; 6] = [
        Family::Exfiltration,
        Family::Credentials,
        Family::Persistence,
        Family::Impact,
        Family::Evasion,
        Family::Adaptive,
    ];
    let of = |what, wanted: &dyn Fn(Family) -> bool| {
        let some = || plain(outcomes).filter(|tried| wanted(tried.behaviour.family));
        let mut by_cell: BTreeMap<(&str, Intensity), [u64; 3]> = BTreeMap::new();
        for tried in some() {
            let cell = by_cell.entry((tried.behaviour.id, tried.intensity)).or_default();
            let hits = [1, u64::from(tried.noticed.paged), u64::from(tried.noticed.queued)];
            cell.iter_mut().zip(hits).for_each(|(sum, hit)| *sum += hit);
        }
        Total {
            what,
            page: Share::of(some().map(|tried| tried.noticed.paged)),
            queue: Share::of(some().map(|tried| tried.noticed.queued)),
            clustered: [false, true].map(|queue| {
                let fleets = outcomes.iter().map(|outcome| {
                    let tried = plain(std::slice::from_ref(outcome)).filter(|tried| wanted(tried.behaviour.family));
                    tried.fold((0.0, 0.0), |(hits, all), tried| {
                        let hit = if queue { tried.noticed.queued } else { tried.noticed.paged };
                        (hits + f64::from(u8::from(hit)), all + 1.0)
                    })
                });
                clustered(&fleets.collect::<Vec<_>>())
            }),
            cells_paged: Share::of(by_cell.values().map(|[all, paged, _]| paged * 2 > *all)),
            cells_queued: Share::of(by_cell.values().map(|[all, _, queued]| queued * 2 > *all)),
        }
    };
    let mut totals: Vec<Total> = FAMILIES.iter().map(|family| of(family.name(), &|other| other == *family)).collect();
    totals.push(of("not adaptive", &|family| family != Family::Adaptive));
    totals.push(of("all", &|_| true));
    totals
}

/// Median, and nine in ten, of the seconds it took.
pub fn seconds(outcomes: &[Outcome]) -> [Option<f64>; 2] {
    [0.5, 0.9].map(|share| quantile(plain(outcomes).filter_map(|tried| tried.noticed.seconds), share))
}

/// How good explanations are.
pub fn explained(outcomes: &[Outcome]) -> Explained {
    let noticed = || plain(outcomes).map(|tried| &tried.noticed).filter(|noticed| noticed.queued);
    Explained {
        first: Share::of(noticed().map(|noticed| noticed.first_names_it)),
        first_three: Share::of(noticed().map(|noticed| noticed.first_three_name_it)),
        ranked_first: Share::of(noticed().map(|noticed| noticed.rank == Some(1))),
    }
}

/// Which kinds of evidence came first, most often first.
pub fn evidence(outcomes: &[Outcome]) -> Vec<Kind> {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for evidence in plain(outcomes).filter_map(|tried| tried.noticed.evidence) {
        *counts.entry(evidence).or_default() += 1;
    }
    let mut kinds: Vec<Kind> = counts.into_iter().map(|(evidence, first)| Kind { evidence, first }).collect();
    kinds.sort_by_key(|kind| std::cmp::Reverse(kind.first));
    kinds
}

/// What was tried in every way, by way.
pub fn robustness(outcomes: &[Outcome]) -> Vec<Robust> {
    let of = |variant| {
        let all = outcomes.iter().flat_map(|outcome| &outcome.attacks);
        all.filter(move |tried| tried.variant == variant && tried.intensity == Intensity::Usual)
    };
    let tried = Variant::ALL.into_iter().filter(|variant| of(*variant).next().is_some());
    tried
        .map(|variant| Robust {
            variant: variant.name(),
            page: Share::of(of(variant).map(|tried| tried.noticed.paged)),
            queue: Share::of(of(variant).map(|tried| tried.noticed.queued)),
        })
        .collect()
}

/// What was aimed at.
pub fn goals(report: &Report) -> Vec<Goal> {
    let total = report.totals.iter().find(|total| total.what == "not adaptive");
    let percent = |share: &Share| format!("{:.0} % of {}", 100.0 * share.value(), share.trials);
    let mut goals = Vec::new();
    if let Some(total) = total {
        let mut of = |goal, share: &Share, least: f64| {
            goals.push(Goal { aim: goal, found: percent(share), met: share.value() >= least });
        };
        of("at least 90 % of the cells that are not adaptive page", &total.cells_paged, 0.90);
        of("at least 97 % of them reach the queue", &total.cells_queued, 0.97);
        of("the first evidence names what was done in 90 %", &report.explained.first, 0.90);
    }
    let median = report.seconds_to_detect[0];
    goals.push(Goal {
        aim: "median time to notice at most 60 s",
        found: median.map_or("nothing was noticed".to_owned(), |seconds| format!("{seconds:.1} s")),
        met: median.is_some_and(|seconds| seconds <= 60.0),
    });
    let over: Vec<&str> =
        report.scenarios.iter().filter(|s| !s.regime_change && !s.within_budget).map(|s| s.id.as_str()).collect();
    goals.push(Goal {
        aim: "false pages within the budget in every scenario that is no regime change",
        found: if over.is_empty() { "none above".to_owned() } else { format!("above: {}", over.join(", ")) },
        met: over.is_empty(),
    });
    if let Some(ordinary) = report.false_pages.iter().find(|row| row.promise == "active") {
        goals.push(Goal {
            aim: "false pages within the budget while it is promised",
            found: format!("{:.2} a week at {}", ordinary.per_week, report.budget_per_week),
            met: ordinary.per_week_interval[0] <= report.budget_per_week,
        });
    }
    goals
}

fn quantile(values: impl Iterator<Item = f64>, share: f64) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get((values.len() as f64 * share) as usize).copied()
}
