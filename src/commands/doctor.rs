//! `sekisho doctor`: which attacks recorded telemetry would show, function by function, and what to switch on, the most
//! useful first. It reads recordings as `replay` does, needs no configuration and changes nothing.

use std::{collections::BTreeMap, io::Write as _, path::PathBuf};

use clap::Args;
use serde::Serialize;

use super::{Failure, Output, replay::recording::Recording};
use crate::{
    detect::observation::Nanos,
    faas::{
        assembler::{self, Assembler, Invocation},
        coverage::{CLASSES, Class, Coverage, Cue},
    },
    otlp::Signal,
};

/// More functions than this are counted, not told.
const MAX_FUNCTIONS: usize = 100_000;

/// What to look at.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Recordings (OTLP JSON lines or length-prefixed protobuf, plain or zstd), in the order of their events
    #[arg(required = true, value_name = "RECORDING")]
    recordings: Vec<PathBuf>,
    /// Tell about this function only, and what each kind of attack on it would need
    #[arg(long, value_name = "NAME")]
    function: Option<String>,
    /// For people, or for programs
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Looks at the recordings and prints what they would show.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut patients = Patients::default();
    for path in &arguments.recordings {
        let unreadable =
            |error: &dyn std::fmt::Display| Failure::Usage(format!("cannot read {}: {error}", path.display()));
        for message in Recording::open(path).map_err(|error| unreadable(&error))? {
            let batch = message.map_err(|bad| unreadable(&bad))?;
            patients.see(batch.signal, &batch.body);
        }
    }
    let report = patients.finish(arguments.function.as_deref())?;
    let mut out = std::io::stdout().lock();
    // Who stops reading has read enough.
    let _ = match arguments.output {
        Output::Json => writeln!(out, "{:#}", serde_json::json!(report)),
        Output::Text => report.print(&mut out),
    };
    Ok(())
}

struct Patients {
    assembler: Assembler,
    functions: BTreeMap<(String, u64), Patient>,
    untold: u64,
}

#[derive(Default)]
struct Patient {
    coverage: Coverage,
    invocations: u64,
}

impl Default for Patients {
    fn default() -> Self {
        Self { assembler: Assembler::new(assembler::Settings::default()), functions: BTreeMap::new(), untold: 0 }
    }
}

impl Patients {
    fn see(&mut self, signal: Signal, body: &[u8]) {
        let Self { assembler, functions, untold } = self;
        let mut note = |invocation: Invocation<'_>| note(functions, untold, &invocation);
        match signal {
            Signal::Traces => assembler.traces(body, &mut note),
            Signal::Logs => assembler.logs(body, &mut note),
            Signal::Metrics => assembler.metrics(body, &mut note),
        }
    }

    fn finish(mut self, only: Option<&str>) -> Result<Report, Failure> {
        let Self { assembler, functions, untold } = &mut self;
        assembler.advance(Nanos::MAX, &mut |invocation| note(functions, untold, &invocation));
        let unattributed = assembler.counters().unattributed;
        if let Some(only) = only {
            functions.retain(|(name, _), _| name == only);
            if functions.is_empty() {
                return Err(Failure::Usage(format!("no function of these recordings is called `{only}`")));
            }
        }
        let patients: Vec<(&str, &Patient)> =
            functions.iter().map(|((name, _), patient)| (name.as_str(), patient)).collect();
        Ok(Report::of(&patients, unattributed, *untold, only.is_some()))
    }
}

fn note(functions: &mut BTreeMap<(String, u64), Patient>, untold: &mut u64, invocation: &Invocation<'_>) {
    let seen = &invocation.observation;
    let key = (seen.function_name.to_owned(), seen.function);
    if functions.len() >= MAX_FUNCTIONS && !functions.contains_key(&key) {
        *untold += 1;
        return;
    }
    let patient = functions.entry(key).or_default();
    patient.coverage.observe(seen);
    patient.invocations += u64::from(seen.complete);
}

/// What is to be said.
#[derive(Debug, Serialize)]
struct Report {
    functions: usize,
    invocations: u64,
    /// Records that name no function: they cannot be watched.
    unattributed_records: u64,
    /// Invocations of functions beyond those told of.
    untold_invocations: u64,
    cues: Vec<CueReport>,
    classes: Vec<ClassReport>,
    /// Where to begin.
    advice: Vec<Advice>,
    by_function: Vec<FunctionReport>,
    #[serde(skip)]
    detailed: bool,
}

#[derive(Debug, Serialize)]
struct CueReport {
    name: &'static str,
    functions: usize,
}

#[derive(Debug, Serialize)]
struct ClassReport {
    name: &'static str,
    behaviour: &'static str,
    functions: usize,
}

#[derive(Debug, Serialize)]
struct Advice {
    cue: &'static str,
    how: &'static str,
    /// Functions that would gain.
    functions: usize,
    /// What would show, of at least one of them.
    classes: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
struct FunctionReport {
    name: String,
    invocations: u64,
    classes_seen: usize,
    classes_all: usize,
    missing: Vec<Missing>,
}

#[derive(Debug, Serialize)]
struct Missing {
    class: &'static str,
    /// What would make it show.
    needs: String,
}

impl Report {
    fn of(patients: &[(&str, &Patient)], unattributed: u64, untold: u64, detailed: bool) -> Self {
        let count =
            |holds: &dyn Fn(&Coverage) -> bool| patients.iter().filter(|(_, patient)| holds(&patient.coverage)).count();
        let mut advice: Vec<Advice> = Cue::ALL.iter().filter_map(|cue| Advice::on(*cue, patients)).collect();
        advice.sort_by_key(|advice| std::cmp::Reverse(advice.functions * advice.classes.len()));
        Self {
            functions: patients.len(),
            invocations: patients.iter().map(|(_, patient)| patient.invocations).sum(),
            unattributed_records: unattributed,
            untold_invocations: untold,
            cues: Cue::ALL
                .iter()
                .map(|cue| CueReport { name: cue.name(), functions: count(&|coverage| coverage.has(*cue)) })
                .collect(),
            classes: CLASSES
                .iter()
                .map(|class| ClassReport {
                    name: class.name,
                    behaviour: class.behaviour,
                    functions: count(&|coverage| coverage.sees(class)),
                })
                .collect(),
            advice,
            by_function: patients.iter().map(|(name, patient)| FunctionReport::of(name, patient)).collect(),
            detailed,
        }
    }

    fn print(&self, out: &mut impl std::io::Write) -> std::io::Result<()> {
        let all = self.functions;
        writeln!(out, "{all} functions, {} invocations", self.invocations)?;
        if self.unattributed_records > 0 {
            writeln!(
                out,
                "{} records name no function and cannot be watched: set faas.name, or service.name",
                self.unattributed_records
            )?;
        }
        if self.untold_invocations > 0 {
            writeln!(out, "{} invocations of further functions are left out", self.untold_invocations)?;
        }
        writeln!(out, "\nWhat telemetry tells, of how many functions")?;
        for cue in &self.cues {
            writeln!(out, "  {:<28} {} {:>6} of {all}", cue.name, bar(cue.functions, all), cue.functions)?;
        }
        writeln!(out, "\nAttacks that would show, on how many functions")?;
        for class in &self.classes {
            let share = bar(class.functions, all);
            writeln!(out, "  {:<28} {share} {:>6} of {all}   {}", class.name, class.functions, class.behaviour)?;
        }
        if !self.advice.is_empty() {
            writeln!(out, "\nWhat to switch on, the most useful first")?;
        }
        for (at, advice) in self.advice.iter().enumerate() {
            writeln!(out, "  {}. {}: {}", at + 1, advice.cue, advice.how)?;
            writeln!(out, "     {} functions would show: {}", advice.functions, advice.classes.join(", "))?;
        }
        writeln!(out, "\nFunction by function, kinds of attack that would show")?;
        for function in &self.by_function {
            let share = bar(function.classes_seen, function.classes_all);
            let (seen, kinds) = (function.classes_seen, function.classes_all);
            writeln!(out, "  {:<28} {share} {seen:>6} of {kinds}", function.name)?;
            for missing in function.missing.iter().filter(|_| self.detailed) {
                writeln!(out, "    {} needs {}", missing.class, missing.needs)?;
            }
        }
        Ok(())
    }
}

impl Advice {
    /// What it would bring to switch on this cue alone; `None` if nothing.
    fn on(cue: Cue, patients: &[(&str, &Patient)]) -> Option<Self> {
        let gains = |patient: &Patient, class: &Class| patient.coverage.missing(class) == [cue];
        let gained = |patient: &Patient| CLASSES.iter().any(|class| gains(patient, class));
        let functions = patients.iter().filter(|(_, patient)| gained(patient)).count();
        let wanting = |class: &&Class| patients.iter().any(|(_, patient)| gains(patient, class));
        let classes = CLASSES.iter().filter(wanting).map(|class| class.name).collect();
        (functions > 0).then(|| Self { cue: cue.name(), how: cue.advice(), functions, classes })
    }
}

impl FunctionReport {
    fn of(name: &str, patient: &Patient) -> Self {
        let missing = CLASSES.iter().filter(|class| !patient.coverage.sees(class));
        Self {
            name: name.to_owned(),
            invocations: patient.invocations,
            classes_seen: patient.coverage.seen(),
            classes_all: CLASSES.len(),
            missing: missing.map(|class| Missing { class: class.name, needs: patient.coverage.lack(class) }).collect(),
        }
    }
}

/// A share, drawn in ten cells.
fn bar(part: usize, whole: usize) -> String {
    let full = (part * 10).checked_div(whole).unwrap_or_default();
    "█".repeat(full) + &"░".repeat(10 - full)
}
