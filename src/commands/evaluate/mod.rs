//! `sekisho evaluate`: the proof, for whoever wants to see it.
//!
//! Simulates many fleets, each with its own seed, from a first day on which nothing is known to the attacks of the last,
//! and plays them through the model the gateway has. Says how often each attack was noticed, how long it took, and how
//! many false pages there were against the budget, each with a 95 % interval, by the state of the promise. What the
//! testbed does not have is not measured: see README.

mod interval;
mod report;
mod trial;

use std::{
    io::Write as _,
    path::PathBuf,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use self::{report::Report, trial::Trial};
use super::Failure;
use crate::{config::Rate, testbed::Options};

/// What to simulate.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Fleets to simulate, each with the next seed
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    runs: u64,
    /// The first fleet's seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Days of each fleet; the attacks are on the last
    #[arg(long, default_value_t = 28, value_parser = clap::value_parser!(u32).range(1..=366))]
    days: u32,
    /// Traffic, as a multiple of some 85,000 spans a day
    #[arg(long, default_value_t = 1.0, value_parser = super::demo::positive)]
    scale: f64,
    /// False pages accepted, as in the configuration
    #[arg(long, default_value = "1/week")]
    budget: Rate,
    /// Write the outcome as JSON too
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// Runs the evaluation.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut file = arguments.report.as_deref().map(super::demo::create).transpose()?;
    let trials = trials(arguments);
    let report = Report::of(&trials, arguments.seed, arguments.days, arguments.budget.per_day() * 7.0);
    if report.spans == 0 {
        return Err(Failure::Work("nothing was simulated".to_owned()));
    }
    // A closed stdout is the reader's choice.
    let _ = std::io::stdout().write_all(report.to_table().as_bytes());
    if let (Some(file), Some(path)) = (&mut file, &arguments.report) {
        file.write_all(report.to_json().as_bytes()).map_err(|error| super::demo::unwritable(path, &error))?;
    }
    Ok(())
}

/// All trials in the order of their seeds, as many at once as there are processors.
fn trials(arguments: &Arguments) -> Vec<Trial> {
    let bar = progress(arguments.runs);
    let (next, done) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= arguments.runs {
                        return;
                    }
                    let seed = arguments.seed.wrapping_add(number);
                    let options = Options { seed, days: arguments.days, scale: arguments.scale, ..Options::default() };
                    let trial = trial::run(options, arguments.budget.per_day());
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((number, trial));
                    tell(&bar);
                }
            });
        }
    });
    bar.finish_and_clear();
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, trial)| trial).collect()
}

fn progress(runs: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos} of {len} fleets {elapsed}, {eta} left");
    ProgressBar::new(runs).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// One more is done; where there is no terminal, a line says so.
fn tell(bar: &ProgressBar) {
    bar.inc(1);
    if bar.is_hidden() {
        let _ = writeln!(std::io::stderr(), "fleet {} of {}", bar.position(), bar.length().unwrap_or(0));
    }
}

#[cfg(test)]
mod tests;
