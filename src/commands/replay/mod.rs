//! `sekisho replay`: recordings through the configured pipelines, in event time, as fast as they go.
//!
//! The same processors and exporters as live, without the receivers; the model they train is saved where the
//! configuration says, so that a replay of stored telemetry is a gateway's first day of learning. A batch that a
//! destination refuses for now is offered again; nothing is skipped silently.

pub(super) mod recording;

use std::{io::Write as _, path::PathBuf, time::Duration};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use self::recording::Recording;
use super::{Failure, Sources, base, log_warnings, runtime, start_logs};
use crate::{
    otlp::Batch,
    pipeline::{Outcome, component::Outputs},
    processors::anomaly::Totals,
    service::Service,
};

/// How long a destination that refuses for now is given before the next attempt, unless it says so itself.
const PAUSE: Duration = Duration::from_millis(200);

/// What to replay.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Recordings (OTLP JSON lines or length-prefixed protobuf, plain or zstd), in the order of their events
    #[arg(required = true, value_name = "RECORDING")]
    recordings: Vec<PathBuf>,
}

#[derive(Debug, Default)]
struct Report {
    batches: u64,
    items: [u64; 3],
    refused: u64,
    unread: u64,
    seconds: f64,
}

/// Replays the recordings and prints a closing report.
pub fn run(sources: &Sources, arguments: &Arguments) -> Result<(), Failure> {
    let (plan, problems) = sources.load()?;
    let runtime = runtime()?;
    let own_telemetry = start_logs(&plan, &runtime)?;
    log_warnings(&problems);
    let done = runtime.block_on(async {
        let service =
            Service::start_without_receivers(plan, base()).await.map_err(|error| Failure::Work(error.to_string()))?;
        let replayed = replay(&service.inputs(), &arguments.recordings).await;
        let metrics = service.metrics().clone();
        service.stop().await;
        let report = replayed?;
        let _ = report.print(&Totals::read(&metrics));
        if report.unread > 0 || report.refused > 0 {
            let lost = format!("{} messages unreadable, {} items refused for good", report.unread, report.refused);
            return Err(Failure::Work(lost));
        }
        Ok(())
    });
    own_telemetry.stop();
    done
}

async fn replay(inputs: &Outputs, recordings: &[PathBuf]) -> Result<Report, Failure> {
    let unreadable = |path: &PathBuf, error| Failure::Usage(format!("cannot read {}: {error}", path.display()));
    let mut total = 0;
    for path in recordings {
        total += std::fs::metadata(path).map_err(|error| unreadable(path, error))?.len();
    }
    let bar = ProgressBar::new(total).with_style(style());
    let (mut report, mut done, begun) = (Report::default(), 0, std::time::Instant::now());
    for path in recordings {
        let mut recording = Recording::open(path).map_err(|error| unreadable(path, error))?;
        while let Some(message) = recording.next() {
            match message {
                Ok(batch) => offer(inputs, batch, &mut report).await,
                Err(bad) => {
                    report.unread += 1;
                    tracing::error!(recording = %path.display(), %bad, "message left out");
                    if bad.fatal {
                        break;
                    }
                }
            }
            bar.set_position(done + recording.bytes_read());
            bar.set_message(format!("{} items", report.items.iter().sum::<u64>()));
        }
        done += recording.bytes_read();
    }
    bar.finish_and_clear();
    report.seconds = begun.elapsed().as_secs_f64();
    Ok(report)
}

/// Offers the batch until it is taken or refused for good.
async fn offer(inputs: &Outputs, batch: Batch, report: &mut Report) {
    let Some(next) = inputs.get(batch.signal) else { return };
    let items = batch.items as u64;
    loop {
        match next.consume(batch.clone()).await {
            Outcome::Accepted => break,
            Outcome::Partial { rejected, .. } => {
                report.refused += rejected;
                break;
            }
            Outcome::Permanent { reason } => {
                tracing::error!(items, reason, "batch refused for good");
                report.refused += items;
                break;
            }
            Outcome::Retryable { after, .. } => tokio::time::sleep(after.unwrap_or(PAUSE)).await,
            Outcome::Overloaded { after } => tokio::time::sleep(after.min(PAUSE)).await,
        }
    }
    report.batches += 1;
    if let Some(count) = report.items.get_mut(batch.signal as usize) {
        *count += items;
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {elapsed} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Report {
    fn print(&self, totals: &Totals) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        let [spans, points, records] = self.items;
        let rate = (spans + points + records) as f64 / self.seconds.max(1e-9);
        writeln!(out, "replayed     {} requests in {:.1} s, {rate:.0} items/s", self.batches, self.seconds)?;
        writeln!(out, "items        {spans} spans, {records} log records, {points} metric points")?;
        writeln!(out, "functions    {} known, {} invocations scored", totals.functions, totals.invocations)?;
        let [page, queue] = totals.incidents;
        writeln!(out, "incidents    {page} page, {queue} queue")
    }
}
