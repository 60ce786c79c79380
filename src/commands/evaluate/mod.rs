//! `sekisho evaluate`: the proof, for whoever wants to see it.
//!
//! Simulates many accounts, each with its own seed, from a first day on which nothing is known, and plays them through
//! the model the gateway has. From one morning of each, many futures go on: one for every behaviour of the attack
//! catalogue at each intensity, one for every benign scenario, so that none disturbs another. Says how often each attack
//! was noticed, how fast, how well explained and what it had brought by then; how many false pages there were against
//! the budget; each with a 95 % interval.
//!
//! One application and some families of attacks are set aside: `--final` is for them, and for nothing else.

mod data;
mod fleet;
mod interval;
mod judge;
mod plots;
mod report;
mod tables;
mod text;

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use self::{
    fleet::{Outcome, Variant},
    report::Report,
};
use super::Failure;
use crate::{
    config::Rate,
    testbed::{
        Sources,
        application::{Application, Stage},
        applications,
        attacks::catalogue::{self, Behaviour, Intensity},
        benign::HOUR,
        scenarios::{self, Scenario},
    },
};

/// Added to the seeds of final evaluations: no fleet is met in both.
const FINAL_SEEDS: u64 = 1_000_000;

/// What to simulate.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Fleets to simulate, each with the next seed
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    runs: Option<u64>,
    /// The first fleet's seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Ordinary days of each fleet before its attacks
    #[arg(long, value_parser = clap::value_parser!(u32).range(8..=366))]
    days: Option<u32>,
    /// Traffic, as a multiple of the usual
    #[arg(long, value_parser = super::demo::positive)]
    scale: Option<f64>,
    /// False pages accepted, as in the configuration
    #[arg(long, default_value = "1/week")]
    budget: Rate,
    /// A few small fleets: under two minutes, for every commit
    #[arg(long)]
    quick: bool,
    /// The application and the attacks that are set aside; look once, when a detector is finished
    #[arg(long = "final")]
    last: bool,
    /// Only behaviours whose name contains this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Instead, public data that is in this folder, or where `SEKISHO_DATA` points
    #[arg(long, value_name = "FOLDER", num_args = 0..=1, default_missing_value = "")]
    data: Option<PathBuf>,
    /// Write report.md, report.json and the plots into this folder
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

/// What is done with each fleet.
#[derive(Clone, Debug)]
pub struct Plan {
    days: u32,
    scale: f64,
    budget_per_day: f64,
    applications: &'static [&'static Application],
    sources: Sources,
    behaviours: Vec<Behaviour>,
    scenarios: Vec<Scenario>,
    variants: &'static [Variant],
    /// Whether this is about what is set aside.
    last: bool,
}

impl Plan {
    fn of(arguments: &Arguments) -> Self {
        let wanted = |behaviour: &Behaviour| {
            let named = arguments.only.as_ref().is_none_or(|text| behaviour.id.contains(text.as_str()));
            named && (arguments.last || !behaviour.is_held_out())
        };
        Self {
            days: arguments.days.unwrap_or(if arguments.quick { 14 } else { 28 }),
            scale: arguments.scale.unwrap_or(if arguments.quick { 0.05 } else { 0.1 }),
            budget_per_day: arguments.budget.per_day(),
            applications: if arguments.last { applications::ALL } else { applications::DEVELOPMENT },
            sources: Sources::ALL,
            behaviours: catalogue::all().into_iter().filter(wanted).collect(),
            scenarios: scenarios::ALL.to_vec(),
            variants: if arguments.quick { &Variant::ALL[..1] } else { &Variant::ALL },
            last: arguments.last,
        }
    }

    /// Where an attacker may stand for a behaviour. In a final evaluation what was known before is tried on the
    /// application that was not.
    fn stages_for(&self, behaviour: &Behaviour) -> Vec<&'static Stage> {
        let applications = self.applications.iter().filter(|application| {
            !self.last || behaviour.is_held_out() || application.name == applications::HELD_OUT.name
        });
        applications.flat_map(|application| application.stages).collect()
    }

    /// Whether an attack takes so long that it is tried in one way only.
    fn is_slow(&self, behaviour: &Behaviour) -> bool {
        let stage = self.stages_for(behaviour).into_iter().next();
        stage.is_some_and(|stage| behaviour.campaign(stage, Intensity::Usual).over > 12 * HOUR)
    }

    /// Attacks that are tried on one fleet.
    fn attacks(&self) -> u64 {
        let ways = |behaviour: &Behaviour| if self.is_slow(behaviour) { 3 } else { 2 + self.variants.len() as u64 };
        self.behaviours.iter().map(ways).sum()
    }
}

/// Runs the evaluation.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    if let Some(folder) = &arguments.out {
        std::fs::create_dir_all(folder).map_err(|error| super::demo::unwritable(folder, &error))?;
    }
    if let Some(folder) = &arguments.data {
        let named = Some(folder.clone()).filter(|folder| !folder.as_os_str().is_empty());
        let folder = named.or_else(|| std::env::var_os("SEKISHO_DATA").map(PathBuf::from));
        let text = match folder {
            Some(folder) => data::evaluate(&folder),
            None => "Passed over: SEKISHO_DATA names no folder with public data.\n".to_owned(),
        };
        let _ = std::io::stdout().write_all(text.as_bytes());
        return arguments.out.as_ref().map_or(Ok(()), |out| write(&out.join("data.md"), &text));
    }
    let plan = Plan::of(arguments);
    let first = arguments.seed + if arguments.last { FINAL_SEEDS } else { 0 };
    let runs = arguments.runs.unwrap_or(if arguments.quick { 2 } else { 30 });
    let outcomes = live_all(&plan, first, runs);
    let report = Report::of(&outcomes, &plan, first);
    if report.items == 0 {
        return Err(Failure::Work("nothing was simulated".to_owned()));
    }
    let text = text::markdown(&report);
    // A closed stdout is the reader's choice.
    let _ = std::io::stdout().write_all(text.as_bytes());
    if let Some(folder) = &arguments.out {
        let write = |name: &str, content: &str| write(&folder.join(name), content);
        write("report.md", &text)?;
        write("report.json", &report.to_json())?;
        for (name, plot) in plots::all(&report) {
            write(name, &plot)?;
        }
    }
    Ok(())
}

fn write(path: &Path, content: &str) -> Result<(), Failure> {
    std::fs::write(path, content).map_err(|error| super::demo::unwritable(path, &error))
}

/// All fleets in the order of their seeds, as many at once as there are processors.
fn live_all(plan: &Plan, first: u64, runs: u64) -> Vec<Outcome> {
    let steps = u64::from(plan.days) + plan.scenarios.len() as u64 + plan.attacks();
    let bar = progress(runs * steps);
    let (next, done) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let step = || bar.inc(1);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= runs {
                        return;
                    }
                    let outcome = fleet::live(first.wrapping_add(number), plan, &step);
                    let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                    done.push((number, outcome));
                    if bar.is_hidden() {
                        let _ = writeln!(std::io::stderr(), "fleet {} of {runs}", done.len());
                    }
                }
            });
        }
    });
    bar.finish_and_clear();
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, outcome)| outcome).collect()
}

fn progress(steps: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {percent} % of days and attacks, {elapsed}, {eta} left");
    ProgressBar::new(steps).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

#[cfg(test)]
mod tests;
