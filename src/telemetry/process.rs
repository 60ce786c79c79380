//! What the process costs, read from the kernel when somebody asks.

use std::{
    sync::{LazyLock, atomic::Ordering},
    time::Instant,
};

use super::{Metrics, memory, sampling::LEFT_OUT};

/// Clock ticks a second that Linux reports process times in, on every architecture Rust's tier 1 knows.
const TICKS_PER_SECOND: f64 = 100.0;

static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Adds the `otelcol_process_*` metrics; what the system does not tell stays absent.
pub fn measure(metrics: &Metrics) {
    let _ = LazyLock::force(&STARTED);
    let uptime = || Some(STARTED.elapsed().as_secs_f64());
    metrics.measured("otelcol_process_uptime", "Seconds since the start.", true, uptime);
    metrics.measured("otelcol_process_cpu_seconds", "CPU seconds, user and system.", true, cpu_seconds);
    let resident = || memory::resident_bytes().map(|bytes| bytes as f64);
    metrics.measured("otelcol_process_memory_rss", "Resident memory, bytes.", false, resident);
    let addressed = || memory::virtual_bytes().map(|bytes| bytes as f64);
    metrics.measured(
        "otelcol_process_runtime_total_sys_memory_bytes",
        "Memory obtained from the system, resident or not, bytes.",
        false,
        addressed,
    );
    let left_out = || Some(LEFT_OUT.load(Ordering::Relaxed) as f64);
    metrics.measured("sekisho_log_lines_sampled_out", "Log lines that sampling has left out.", true, left_out);
}

fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The command name may hold spaces; fields are counted after its closing parenthesis.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}
