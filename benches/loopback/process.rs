//! Processes: which core they run on, what they have used, when they listen.

use std::{
    fs,
    net::TcpListener,
    process::{Child, Command},
    time::{Duration, Instant},
};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::Fallible;

/// The kernel counts CPU time in hundredths of a second for everybody.
const TICKS_A_SECOND: f64 = 100.0;
const PAGE: f64 = 4096.0;
const MIB: f64 = (1 << 20) as f64;

/// Which cores are used for what.
#[derive(Clone, Copy, Debug)]
pub struct Cores {
    /// For the gateway.
    pub gateway: Option<usize>,
    /// For the generator and the sink.
    pub others: Option<usize>,
}

impl Cores {
    /// The first for the load and the last for the gateway, unless there is only one.
    pub fn choose() -> Self {
        let Ok(allowed) = sched_getaffinity(None) else { return Self { gateway: None, others: None } };
        let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect();
        match cores.as_slice() {
            [first, .., last] => Self { gateway: Some(*last), others: Some(*first) },
            _ => Self { gateway: None, others: None },
        }
    }
}

/// Starts `command` on `core`: children stay where their parent was.
pub fn spawn_on(core: Option<usize>, command: &mut Command) -> Fallible<Child> {
    let Some(core) = core else { return Ok(command.spawn()?) };
    let before = sched_getaffinity(None)?;
    let mut only = CpuSet::new();
    only.set(core);
    sched_setaffinity(None, &only)?;
    let child = command.spawn();
    sched_setaffinity(None, &before)?;
    Ok(child?)
}

/// CPU seconds used so far, in user and kernel mode, by all threads.
pub fn cpu(pid: u32) -> Fallible<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may have spaces in it; the eleven fields behind it come first.
    let (_, fields) = stat.rsplit_once(')').ok_or("/proc/PID/stat is not as expected")?;
    let ticks: f64 = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    Ok(ticks / TICKS_A_SECOND)
}

/// Resident memory now, MiB.
pub fn rss(pid: u32) -> Fallible<f64> {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm"))?;
    let pages: f64 = statm.split_whitespace().nth(1).ok_or("/proc/PID/statm is not as expected")?.parse()?;
    Ok(pages * PAGE / MIB)
}

/// The most resident memory so far, MiB.
pub fn rss_max(pid: u32) -> Fallible<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse::<f64>()? / 1024.0)
}

/// A port nobody listens on.
pub fn free_port() -> Fallible<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// How long from `since` until something listens on `port`; gives up if the process ends or after `patience`.
pub fn listening(port: u16, child: &mut Child, since: Instant, patience: Duration) -> Fallible<Duration> {
    loop {
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return Ok(since.elapsed());
        }
        if let Some(status) = child.try_wait()? {
            return Err(format!("it ended before it listened: {status}").into());
        }
        if since.elapsed() > patience {
            return Err(format!("it does not listen after {patience:?}").into());
        }
        std::thread::yield_now();
    }
}
