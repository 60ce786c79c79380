//! What the process costs, read from the kernel when somebody asks.

use std::time::Instant;

use super::Metrics;

/// Clock ticks a second that Linux reports process times in, on every architecture Rust's tier 1 knows.
const TICKS_PER_SECOND: f64 = 100.0;

/// Refreshes the `otelcol_process_*` metrics; those the system does not tell stay absent.
pub fn refresh(metrics: &Metrics, started: Instant) {
    let set = |name, help, value: Option<f64>| {
        if let Some(value) = value {
            metrics.gauge(name, help, &[]).set(value);
        }
    };
    set("otelcol_process_uptime", "Seconds since the start.", Some(started.elapsed().as_secs_f64()));
    set("otelcol_process_cpu_seconds", "CPU seconds, user and system.", cpu_seconds());
    set("otelcol_process_memory_rss", "Resident memory, bytes.", resident_bytes());
}

fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The command name may hold spaces; fields are counted after its closing parenthesis.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

fn resident_bytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib * 1024.0)
}
