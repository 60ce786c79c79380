//! What the gateway promises, put to the test for longer than a test may take, with the built binary:
//!
//! ```console
//! cargo bench --bench reliability -- kill --times 200
//! cargo bench --bench reliability -- outage --minutes 30 --rate 5000
//! cargo bench --bench reliability -- soak --minutes 60 --load 0.5
//! ```
//!
//! Each says how it goes on stderr, ends with one line of JSON on stdout, and fails if anything was lost or nothing moved.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for people"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::{
    os::unix::fs::MetadataExt as _,
    time::{Duration, Instant},
};

use clap::{Parser, Subcommand};
use serde_json::json;
use support::{
    Gateway,
    ledger::{Destination, Ledger, Load, Pace},
};

#[derive(Parser)]
#[command(about = "Reliability figures of the gateway")]
struct Arguments {
    #[command(subcommand)]
    figure: Option<Figure>,
    /// Set by cargo.
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Figure {
    /// Kills the gateway at random moments under load; every acknowledged span must arrive.
    Kill {
        #[arg(long, default_value_t = 200)]
        times: u32,
    },
    /// Takes the destination away under load; every acknowledged span must arrive once it is back.
    Outage {
        #[arg(long, default_value_t = 30.0)]
        minutes: f64,
        /// Spans a second.
        #[arg(long, default_value_t = 5000.0)]
        rate: f64,
    },
    /// Runs the whole gateway, detector and all, at a share of what it can do; memory must stay flat.
    Soak {
        #[arg(long, default_value_t = 60.0)]
        minutes: f64,
        /// Share of saturation.
        #[arg(long, default_value_t = 0.5)]
        load: f64,
    },
}

#[tokio::main]
async fn main() {
    let figure = Arguments::parse().figure.unwrap_or(Figure::Kill { times: 5 });
    match figure {
        Figure::Kill { times } => kill(times).await,
        Figure::Outage { minutes, rate } => outage(Duration::from_secs_f64(minutes * 60.0), rate).await,
        Figure::Soak { minutes, load } => soak(Duration::from_secs_f64(minutes * 60.0), load).await,
    }
}

/// Forwards through a queue on disk.
fn durable(destination: &Destination) -> String {
    destination.behind("storage: file_storage, sizer: items, queue_size: 1000000000, num_consumers: 4, batch: {}")
}

async fn kill(times: u32) {
    let mut destination = Destination::start();
    let config = durable(&destination);
    let mut gateway = Gateway::start(&config).await;
    let pace = Pace { senders: 8, spans: 100, rate: None, functions: 8 };
    let mut load = Load::start(gateway.http(), pace);
    let begun = Instant::now();
    let mut starts = Vec::new();
    for time in 1..=times {
        // Mostly there, sometimes away: the queue must be found empty, short and long.
        if random() < 0.25 {
            destination.go_away();
        } else {
            destination.come_back();
        }
        tokio::time::sleep(Duration::from_secs_f64(0.02 + 0.4 * random())).await;
        let directory = gateway.kill();
        let starting = Instant::now();
        gateway = Gateway::start_in(directory, &config, &[]).await;
        starts.push(starting.elapsed());
        load.send_to(gateway.http());
        if time % 10 == 0 || time == times {
            let (acknowledged, arrived) = (load.acknowledged().len(), destination.arrived.len());
            eprintln!("killed {time} times; {acknowledged} spans acknowledged, {arrived} arrived");
        }
    }
    destination.come_back();
    load.stop().await;
    let lost = wait_for(load.acknowledged(), &destination.arrived).await;
    starts.sort();
    finish(
        &json!({
            "figure": "kill", "times": times, "seconds": begun.elapsed().as_secs(),
            "acknowledged": load.acknowledged().len(), "lost": lost, "arrived": destination.arrived.len(),
            "duplicates": destination.arrived.repeated(), "refused_requests": load.refused(),
            "restart_ms_p50": starts[starts.len() / 2].as_millis() as u64,
            "restart_ms_max": starts[starts.len() - 1].as_millis() as u64,
        }),
        lost,
        load.acknowledged(),
    );
    gateway.kill();
}

async fn outage(length: Duration, rate: f64) {
    let mut destination = Destination::start();
    let gateway = Gateway::start(&durable(&destination)).await;
    let pace = Pace { senders: 5, spans: 100, rate: Some(rate), functions: 5 };
    let mut load = Load::start(gateway.http(), pace);
    watch("before", &gateway, &load, &destination.arrived, Duration::from_secs(10)).await;
    destination.go_away();
    let mut most = watch("away", &gateway, &load, &destination.arrived, length).await;
    let queued = load.acknowledged().missing_in(&destination.arrived);
    destination.come_back();
    let back = Instant::now();
    most = most.max(watch("back", &gateway, &load, &destination.arrived, Duration::from_secs(10)).await);
    load.stop().await;
    let lost = wait_for(load.acknowledged(), &destination.arrived).await;
    finish(
        &json!({
            "figure": "outage", "minutes": length.as_secs_f64() / 60.0, "rate": rate,
            "acknowledged": load.acknowledged().len(), "lost": lost, "queued_at_return": queued,
            "duplicates": destination.arrived.repeated(), "refused_requests": load.refused(),
            "seconds_to_catch_up": back.elapsed().as_secs_f64(), "disk_mib_most": most.disk >> 20,
            "rss_mib_most": most.resident >> 20, "answer_ms_p50": load.answer_time(50.0),
            "answer_ms_p99": load.answer_time(99.0),
        }),
        lost,
        load.acknowledged(),
    );
    assert!(queued > 0, "the destination was never away");
}

async fn soak(length: Duration, share: f64) {
    let destination = Destination::start();
    let config = format!(
        "
receivers: {{otlp: {{protocols: {{http: {{endpoint: 127.0.0.1:0}}}}}}}}
processors: {{memory_limiter: {{limit_mib: 1024}}, faas: {{}}, anomaly: {{annotate: all}}, batch: {{}}}}
exporters: {{otlp_http: {{endpoint: 'http://{}', compression: none}}}}
service:
  pipelines:
    traces: {{receivers: [otlp], processors: [memory_limiter, faas, anomaly, batch], exporters: [otlp_http]}}
",
        destination.address
    );
    let gateway = Gateway::start(&config).await;
    let full = Pace { senders: 16, spans: 500, rate: None, functions: 50 };
    let mut load = Load::start(gateway.http(), full);
    watch("saturated", &gateway, &load, &destination.arrived, Duration::from_secs(15)).await;
    load.stop().await;
    let saturation = load.acknowledged().len() as f64 / 15.0;
    assert_eq!(wait_for(load.acknowledged(), &destination.arrived).await, 0);
    drop(gateway);
    destination.arrived.forget();
    let gateway = Gateway::start(&config).await;
    let mut load = Load::start(gateway.http(), Pace { rate: Some(saturation * share), ..full });
    // The model of each function grows to its size first.
    let settle = length / 6;
    watch("settling", &gateway, &load, &destination.arrived, settle).await;
    let begun = Instant::now();
    let mut samples = Vec::new();
    while begun.elapsed() < length.saturating_sub(settle) {
        watch("soak", &gateway, &load, &destination.arrived, Duration::from_secs(5)).await;
        samples.push((begun.elapsed().as_secs_f64() / 3600.0, gateway.resident_bytes() as f64 / f64::from(1 << 20)));
    }
    load.stop().await;
    let lost = wait_for(load.acknowledged(), &destination.arrived).await;
    let (slope, interval) = slope(&samples);
    let resident = samples.iter().map(|(_, resident)| *resident);
    finish(
        &json!({
            "figure": "soak", "minutes": length.as_secs_f64() / 60.0, "settled_after_minutes": settle.as_secs_f64() / 60.0,
            "saturation_spans_per_second": saturation as u64, "load": share,
            "acknowledged": load.acknowledged().len(), "lost": lost, "duplicates": destination.arrived.repeated(),
            "refused_requests": load.refused(), "rss_mib_mean": resident.clone().sum::<f64>() / samples.len() as f64,
            "rss_mib_most": resident.fold(0.0, f64::max), "rss_mib_per_hour": slope, "rss_mib_per_hour_95": interval,
            "answer_ms_p50": load.answer_time(50.0), "answer_ms_p99": load.answer_time(99.0),
        }),
        lost,
        load.acknowledged(),
    );
}

/// The most seen while watching.
#[derive(Clone, Copy, Default)]
struct Most {
    resident: u64,
    disk: u64,
}

impl Most {
    fn max(self, other: Self) -> Self {
        Self { resident: self.resident.max(other.resident), disk: self.disk.max(other.disk) }
    }
}

/// Watches for so long, and says something now and then.
async fn watch(what: &str, gateway: &Gateway, load: &Load, arrived: &Ledger, length: Duration) -> Most {
    let (begun, mut said, mut most) = (Instant::now(), Instant::now(), Most::default());
    while begun.elapsed() < length {
        tokio::time::sleep(Duration::from_secs(1).min(length)).await;
        let files = std::fs::read_dir(gateway.directory.path().join("state")).into_iter().flatten();
        let disk = files.filter_map(|file| Some(512 * file.ok()?.metadata().ok()?.blocks())).sum();
        most = most.max(Most { resident: gateway.resident_bytes(), disk });
        if said.elapsed() >= Duration::from_secs(30) {
            said = Instant::now();
            eprintln!(
                "{what}: {:.0} of {:.0} s; {} spans acknowledged, {} arrived, {} requests refused; RSS {} MiB, disk {} MiB",
                begun.elapsed().as_secs_f64(),
                length.as_secs_f64(),
                load.acknowledged().len(),
                arrived.len(),
                load.refused(),
                gateway.resident_bytes() >> 20,
                disk >> 20,
            );
        }
    }
    most
}

/// Waits until all that was acknowledged has arrived, as long as some still arrives; how much has not.
async fn wait_for(acknowledged: &Ledger, arrived: &Ledger) -> u64 {
    let (mut last, mut since) = (arrived.len(), Instant::now());
    loop {
        let missing = acknowledged.missing_in(arrived);
        if missing == 0 || since.elapsed() > Duration::from_mins(1) {
            return missing;
        }
        if arrived.len() > last {
            (last, since) = (arrived.len(), Instant::now());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Least squares: the slope of y over x, and half its 95 % interval as if the residuals were independent.
fn slope(samples: &[(f64, f64)]) -> (f64, f64) {
    let n = samples.len() as f64;
    let mean_x = samples.iter().map(|(x, _)| x).sum::<f64>() / n;
    let mean_y = samples.iter().map(|(_, y)| y).sum::<f64>() / n;
    let spread: f64 = samples.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    let slope = samples.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum::<f64>() / spread;
    let rest: f64 = samples.iter().map(|(x, y)| (y - mean_y - slope * (x - mean_x)).powi(2)).sum();
    (slope, 1.96 * (rest / (n - 2.0) / spread).sqrt())
}

fn finish(figures: &serde_json::Value, lost: u64, acknowledged: &Ledger) {
    println!("{figures}");
    assert!(acknowledged.len() > 0, "nothing moved");
    assert_eq!(lost, 0, "acknowledged and lost");
}

/// Between 0 and 1.
fn random() -> f64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(0_u8) as f64 / u64::MAX as f64
}
