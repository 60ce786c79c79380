//! `sekisho demo`: the newcomer's first minute.
//!
//! Starts the real gateway with the quickstart configuration and plays two weeks of a simulated airline-booking
//! application into its OTLP port: ordinary days, disturbances that should wake nobody, then compromises. Incidents are
//! printed as they come out of the gateway; at the end they are held against what is known to have happened. Only the
//! scoring knows the truth; the gateway knows what any gateway would.

pub(super) mod alert;
mod gateway;
mod report;
pub(super) mod score;
mod screen;

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use clap::Args;
use tokio::sync::mpsc;

use self::{
    gateway::{Gateway, Said},
    report::Report,
    screen::Screen,
};
use super::{Failure, runtime};
use crate::{
    config,
    otlp::Signal,
    pipeline::{Next, Outcome},
    telemetry,
    testbed::{Delivery, Options, Simulation, Truth},
};

/// Batches made ahead of the gateway.
const AHEAD: usize = 64;

/// What to simulate.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Write the outcome as JSON too
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// What all chance in the simulation follows from
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Days to simulate; the attacks are on the last
    #[arg(long, default_value_t = 14, value_parser = clap::value_parser!(u32).range(1..=3660))]
    days: u32,
    /// Traffic, as a multiple of the usual
    #[arg(long, default_value_t = 1.0, value_parser = positive)]
    scale: f64,
    /// Show the console on this port, also after the play, until Ctrl-C
    #[arg(long, value_name = "PORT", num_args = 0..=1, require_equals = true, default_missing_value = "14318")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    console: Option<u16>,
}

/// What was sent.
#[derive(Clone, Copy, Debug, Default)]
struct Sent {
    spans: u64,
    refused: u64,
    seconds: f64,
}

/// Runs the demo.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut own = config::Telemetry::default();
    own.logs.level = config::LogLevel::Error;
    let _ = telemetry::start_logs(&own, &super::base());
    let options = Options { seed: arguments.seed, days: arguments.days, scale: arguments.scale, ..Options::default() };
    // Before the minute's work, not after it.
    let mut file = arguments.report.as_deref().map(create).transpose()?;
    let airline = Simulation::new(options);
    let function_days = airline.functions() as f64 * f64::from(options.days);
    let screen = Arc::new(Screen::new(options.start, options.days));
    screen.print(&opening(&airline, options.days));
    let (sent, truth, said, budget) = runtime()?.block_on(async {
        let gateway = Gateway::start(screen.clone(), arguments.console.unwrap_or(0)).await?;
        if let Some(port) = arguments.console {
            screen.print(&format!("The console: http://127.0.0.1:{port}/\n\n"));
        }
        let budget = gateway.budget().to_owned();
        let played = match gateway.client() {
            Ok(client) => play(airline, client, &screen).await,
            Err(failure) => Err(failure),
        };
        if played.is_ok() && arguments.console.is_some() {
            screen.print("\nPlayed. The console stays until Ctrl-C; the table comes then.\n");
            tokio::signal::ctrl_c().await.map_err(|error| Failure::Work(format!("cannot wait for Ctrl-C: {error}")))?;
        }
        let said = gateway.stop().await;
        let (sent, truth) = played?;
        Ok::<_, Failure>((sent, truth, said, budget))
    })?;
    let score = score::score(&said.alerts, &truth);
    let report = Report {
        attacks: score.attacks,
        benign: score.benign,
        function_days,
        false_pages: score.false_pages,
        spans: sent.spans,
        spans_per_second: sent.spans as f64 / sent.seconds.max(1e-9),
    };
    screen.finish(&report, &budget);
    if let (Some(file), Some(path)) = (&mut file, &arguments.report) {
        file.write_all(report.to_json().as_bytes()).map_err(|error| unwritable(path, &error))?;
    }
    nothing_lost(&sent, &said)
}

/// Plays everything into `client`, one batch after the other, so that equal options give equal verdicts.
async fn play(airline: Simulation, client: Next, screen: &Screen) -> Result<(Sent, Truth), Failure> {
    let (deliveries, mut next) = mpsc::channel(AHEAD);
    let making = tokio::task::spawn_blocking(move || make(airline, &deliveries));
    let (mut sent, begun) = (Sent::default(), Instant::now());
    while let Some(Delivery { at, batch }) = next.recv().await {
        let (signal, items) = (batch.signal, batch.items as u64);
        match client.consume(batch).await {
            Outcome::Accepted => {}
            Outcome::Partial { rejected, .. } => sent.refused += rejected,
            outcome => return Err(Failure::Work(format!("the gateway does not take telemetry: {outcome:?}"))),
        }
        if signal == Signal::Traces {
            sent.spans += items;
        }
        screen.progress(at, sent.spans);
    }
    sent.seconds = begun.elapsed().as_secs_f64();
    let truth = making.await.map_err(|error| Failure::Work(format!("the simulation ended early: {error}")))?;
    Ok((sent, truth))
}

/// Makes deliveries until there are no more or nobody wants them.
fn make(mut airline: Simulation, deliveries: &mpsc::Sender<Delivery>) -> Truth {
    for delivery in airline.by_ref() {
        if deliveries.blocking_send(delivery).is_err() {
            break;
        }
    }
    airline.truth().clone()
}

fn opening(airline: &Simulation, days: u32) -> String {
    let truth = airline.truth();
    format!(
        "Playing {days} days of an airline's booking system into a real gateway: {} functions, about {} spans,\n\
         {} disturbances that should wake nobody, {} compromises on the last day. The gateway starts knowing nothing.\n\n",
        airline.functions(),
        indicatif::HumanCount(airline.spans_expected()),
        truth.benign.len(),
        truth.attacks.len(),
    )
}

/// A table about telemetry that partly got lost would say nothing.
fn nothing_lost(sent: &Sent, said: &Said) -> Result<(), Failure> {
    if sent.refused > 0 || said.spans != sent.spans || said.unkept > 0 {
        return Err(Failure::Work(format!(
            "telemetry was lost: {} spans sent, {} items refused, {} spans forwarded, {} alerts too many to keep",
            sent.spans, sent.refused, said.spans, said.unkept
        )));
    }
    Ok(())
}

pub(super) fn create(path: &Path) -> Result<std::fs::File, Failure> {
    std::fs::File::create(path).map_err(|error| unwritable(path, &error))
}

pub(super) fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Usage(format!("cannot write {}: {error}", path.display()))
}

pub(super) fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value <= 1000.0 => Ok(value),
        _ => Err("must be a number above 0, at most 1000".to_owned()),
    }
}
