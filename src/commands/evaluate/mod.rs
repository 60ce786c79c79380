//! `sekisho evaluate`: the proof, for whoever wants to see it.
//!
//! Simulates many accounts, each with its own seed, from a first day on which nothing is known, and plays them through
//! the model the gateway has. From one morning of each, many futures go on: one for every behaviour of the attack
//! catalogue at each intensity, one for every benign scenario, so that none disturbs another. Says how often each attack
//! was noticed, how fast, how well explained and what it had brought by then; how many false pages there were against
//! the budget; each with a 95 % interval.
//!
//! One application and some families of attacks are set aside: `--final` is for them, and for nothing else.

mod ablation;
mod data;
mod fleet;
mod interval;
mod judge;
mod observations;
mod plots;
mod report;
mod tables;
mod text;

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use self::{
    ablation::Ablation,
    fleet::{Outcome, Variant},
    report::Report,
};
use super::Failure;
use crate::{
    config::Rate,
    detect::Part,
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

/// Enough for 30 000 function-days on which the budget is promised, and for 60 trials of every cell.
const RUNS: u64 = 60;

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
    /// Instead, the same attacks without one family of evidence, or one way of learning, after the other
    #[arg(long, conflicts_with = "data")]
    ablation: bool,
    /// Instead, write what the detector is told into this folder, as JSON lines, for other detectors to be tried on
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["data", "ablation"])]
    observations: Option<PathBuf>,
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
    /// What the detector does without.
    without: Option<Part>,
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
            without: None,
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
    if let Some(folder) = &arguments.observations {
        return observe(folder, &plan, first, arguments.runs.unwrap_or(4));
    }
    if arguments.ablation {
        return ablate(arguments, &plan, first);
    }
    let runs = arguments.runs.unwrap_or(if arguments.quick { 2 } else { RUNS });
    let outcomes = live_all(std::slice::from_ref(&plan), first, runs).pop().unwrap_or_default();
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

fn observe(folder: &Path, plan: &Plan, first: u64, runs: u64) -> Result<(), Failure> {
    std::fs::create_dir_all(folder).map_err(|error| super::demo::unwritable(folder, &error))?;
    let seeds: Vec<u64> = (first..first.saturating_add(runs)).collect();
    let written = in_parallel(&seeds, runs * observations::steps(plan), |seed, step| {
        observations::write(*seed, plan, folder, step).map_err(|error| super::demo::unwritable(folder, &error))
    });
    written.into_iter().collect()
}

fn ablate(arguments: &Arguments, plan: &Plan, first: u64) -> Result<(), Failure> {
    let plans: Vec<Plan> = ablation::parts().into_iter().map(|part| ablation::plan(plan, part)).collect();
    let runs = arguments.runs.unwrap_or(if arguments.quick { 2 } else { 6 });
    let table = Ablation::of(&live_all(&plans, first, runs), plan, first);
    let text = table.markdown();
    let _ = std::io::stdout().write_all(text.as_bytes());
    if let Some(folder) = &arguments.out {
        write(&folder.join("ablation.md"), &text)?;
        write(&folder.join("ablation.json"), &table.to_json())?;
    }
    Ok(())
}

fn write(path: &Path, content: &str) -> Result<(), Failure> {
    std::fs::write(path, content).map_err(|error| super::demo::unwritable(path, &error))
}

/// For each plan, all fleets in the order of their seeds.
fn live_all(plans: &[Plan], first: u64, runs: u64) -> Vec<Vec<Outcome>> {
    let steps = |plan: &Plan| u64::from(plan.days) + plan.scenarios.len() as u64 + plan.attacks();
    let steps = runs * plans.iter().map(steps).sum::<u64>();
    let seeds = first..first.saturating_add(runs);
    let jobs: Vec<(&Plan, u64)> = plans.iter().flat_map(|plan| seeds.clone().map(move |seed| (plan, seed))).collect();
    let mut outcomes = in_parallel(&jobs, steps, |(plan, seed), step| fleet::live(*seed, plan, step)).into_iter();
    plans.iter().map(|_| outcomes.by_ref().take(runs as usize).collect()).collect()
}

/// Does `jobs`, as many at once as there are processors, and shows how far it is. Answers come in the order of the jobs.
fn in_parallel<J: Sync, A: Send>(jobs: &[J], steps: u64, work: impl Fn(&J, &(dyn Fn() + Sync)) -> A + Sync) -> Vec<A> {
    let bar = progress(steps);
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let step = || bar.inc(1);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(job) = jobs.get(number) else { return };
                    let answer = work(job, &step);
                    let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                    done.push((number, answer));
                    if bar.is_hidden() {
                        let (some, all, taken) = (done.len(), jobs.len(), bar.elapsed().as_secs());
                        let left = taken * (all - some) as u64 / some as u64;
                        let _ = writeln!(std::io::stderr(), "{some} of {all}, {taken} s, some {left} s left");
                    }
                }
            });
        }
    });
    bar.finish_and_clear();
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, answer)| answer).collect()
}

fn progress(steps: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {percent} % of days and attacks, {elapsed}, {eta} left");
    ProgressBar::new(steps).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

#[cfg(test)]
mod tests;
