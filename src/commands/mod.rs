//! What the binary can be told to do. One command, one file; the words come from the Collector where it has them.
//!
//! Exit codes: 0 done, 1 failed while working, 2 the arguments or the configuration are wrong. What was asked for goes
//! to stdout, everything else to stderr.

pub mod audit;
pub mod components;
mod console;
pub mod demo;
pub mod doctor;
pub mod evaluate;
pub mod functions;
pub mod incidents;
pub mod model;
pub mod print_config;
pub mod replay;
pub mod report;
pub mod run;
pub mod schema;
pub mod validate;
pub mod verdict;
mod watch;

use std::{
    io::{IsTerminal as _, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{
    config::{self, Problems, Style},
    registry::{self, Plan},
    telemetry,
};

/// A gateway for serverless telemetry that notices when a function stops being itself.
#[derive(Debug, Parser)]
#[command(version, about, args_conflicts_with_subcommands = false)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    sources: Sources,
    /// Reload when a file of the configuration changes, as SIGHUP does
    #[arg(long, global = true)]
    watch: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway (also what `sekisho --config FILE` does)
    Run,
    /// Check a configuration and say everything that is wrong with it
    Validate(validate::Arguments),
    /// List the components this binary has
    Components,
    /// Print a JSON Schema of the configuration, for editors
    Schema,
    /// Print the configuration as merged and expanded, secrets redacted
    PrintConfig,
    /// Watch a gateway learn a simulated airline and catch those who break in, in about a minute
    Demo(demo::Arguments),
    /// Simulate many fleets and say how often attacks are noticed and how many pages are false, with intervals
    Evaluate(evaluate::Arguments),
    /// Say what people would have been told, from alerts that were kept: the end of a trial with `mode: observe`
    Report(report::Arguments),
    /// Check the audit log of an escalation exporter
    Audit(audit::Arguments),
    /// Say which attacks recorded telemetry would show, and what to switch on to see more
    Doctor(doctor::Arguments),
    /// Carry what was learned from one store to another
    Model(model::Arguments),
    /// Send recordings through the pipelines in event time, as fast as they go
    Replay(replay::Arguments),
    /// Show incidents of a running gateway
    Incidents(incidents::Arguments),
    /// Show what a running gateway knows of functions
    Functions(functions::Arguments),
    /// Say what an incident is: expected, malicious, unsure; or take that back
    Verdict(verdict::Arguments),
    /// List verdicts, with what exceptions have covered and hunts have found
    Verdicts(verdict::ListArguments),
}

/// How a command's answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// Where the configuration comes from.
#[derive(Args, Clone, Debug, Default)]
pub struct Sources {
    /// Configuration: a file, or `env:NAME`, or `yaml:TEXT`; several are merged, later ones win
    #[arg(long = "config", value_name = "SOURCE", global = true)]
    pub config: Vec<String>,
    /// Set one key after everything is merged, such as processors.batch.timeout=2s
    #[arg(long = "set", value_name = "KEY=VALUE", global = true)]
    pub set: Vec<String>,
}

/// Why a command ended without doing its job.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Exit code 2.
    #[error("{0}")]
    Usage(String),
    /// Exit code 2: what is wrong with the configuration.
    #[error("{0}")]
    Configuration(Box<Problems>),
    /// Exit code 2: what there is to say was said on stdout.
    #[error("the configuration is not valid")]
    Told,
    /// Exit code 1.
    #[error("{0}")]
    Work(String),
}

/// Does what the arguments say.
pub fn run(cli: Cli) -> ExitCode {
    // The one TLS implementation for every client and server in the process; an error means it is already installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let done = match cli.command {
        None | Some(Command::Run) => run::run(&cli.sources, cli.watch),
        Some(_) if cli.watch => Err(Failure::Usage("`--watch` goes with `run` only".to_owned())),
        Some(Command::Validate(arguments)) => validate::run(&cli.sources, arguments),
        Some(Command::Components) => components::run(),
        Some(Command::Schema) => schema::run(),
        Some(Command::PrintConfig) => print_config::run(&cli.sources),
        Some(Command::Demo(arguments)) => demo::run(&arguments),
        Some(Command::Evaluate(arguments)) => evaluate::run(&arguments),
        Some(Command::Report(arguments)) => report::run(&arguments),
        Some(Command::Audit(arguments)) => audit::run(&arguments),
        Some(Command::Doctor(arguments)) => doctor::run(&arguments),
        Some(Command::Model(arguments)) => model::run(&arguments),
        Some(Command::Replay(arguments)) => replay::run(&cli.sources, &arguments),
        Some(Command::Incidents(arguments)) => incidents::run(&arguments),
        Some(Command::Functions(arguments)) => functions::run(&arguments),
        Some(Command::Verdict(arguments)) => verdict::run(&arguments),
        Some(Command::Verdicts(arguments)) => verdict::list(&arguments),
    };
    let (code, message) = match done {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Usage(message)) => (2, message),
        Err(Failure::Configuration(problems)) => (2, problems.render(style())),
        Err(Failure::Told) => return ExitCode::from(2),
        Err(Failure::Work(message)) => (1, message),
    };
    let _ = writeln!(std::io::stderr(), "{}", message.trim_end());
    ExitCode::from(code)
}

impl Sources {
    /// Reads, merges, expands and checks the configuration; the problems that do not stop it come back too.
    pub fn load(&self) -> Result<(Plan, Problems), Failure> {
        if self.config.is_empty() {
            return Err(Failure::Usage("no configuration: say `--config FILE` (config-examples/ has some)".to_owned()));
        }
        plan(&self.config, &self.set).map_err(|problems| Failure::Configuration(Box::new(problems)))
    }
}

/// Reads `sources` and `sets` into a plan, or says everything that is wrong.
pub fn plan(sources: &[String], sets: &[String]) -> Result<(Plan, Problems), Problems> {
    let environment = |name: &str| std::env::var(name).ok();
    let (root, mut problems) = config::read(sources, sets, &environment);
    let plan = registry::plan(root, &mut problems);
    problems.into_result(plan)
}

/// Colour only where a person reads it and has not asked for none (<https://no-color.org>).
fn style() -> Style {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
    if std::io::stderr().is_terminal() && !unwanted && !dumb { Style::COLOUR } else { Style::PLAIN }
}

/// Starts writing logs, and sending logs and traces, as the configuration says.
fn start_logs(plan: &Plan, runtime: &tokio::runtime::Runtime) -> Result<telemetry::Started, Failure> {
    let _within = runtime.enter();
    let started = telemetry::start_logs(&plan.root.service.telemetry, &base());
    started.map_err(|error| Failure::Work(error.to_string()))
}

/// Warnings about a good configuration, into the log.
fn log_warnings(problems: &Problems) {
    for problem in problems {
        tracing::warn!(file = problem.file, line = problem.line, path = problem.path, "{}", problem.message);
    }
}

/// The multi-threaded runtime every command that runs pipelines uses.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Work(format!("cannot start the runtime: {error}")))
}

/// The directory relative paths in a configuration start from.
fn base() -> PathBuf {
    std::env::current_dir().unwrap_or_default()
}
