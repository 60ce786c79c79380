//! Generator → gateway → sink over loopback, three processes: what an item costs, and whether any is lost.
//!
//! ```console
//! cargo bench --bench loopback                                  # every cell
//! cargo bench --bench loopback -- --cells spans/forward,*/detect --seconds 5 --rounds 3 --json
//! cargo bench --bench loopback -- --quick                       # what CI runs
//! cargo bench --bench loopback -- --peer otelcol=PATH --peer rotel=PATH
//! ```
//!
//! The gateway has one core to itself, generator and sink share another; the generator and the sink are this program
//! again. A cell in which nothing was acknowledged, or anything acknowledged did not arrive, fails the bench. Linux only.

mod cells;
mod floor;
mod gateway;
mod generator;
mod payload;
mod process;
mod report;
mod sink;

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use clap::Parser;
use serde::de::DeserializeOwned;
use serde_json::Value;

use self::{
    cells::{Cell, Path},
    gateway::{Gateway, Kind},
    generator::{Sent, Work},
    process::Cores,
    report::Row,
};

/// As in the gateway.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Fallible<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// What acknowledged items may still take to arrive once the sender has stopped.
const DRAIN: Duration = Duration::from_secs(20);
/// The trouble begins and ends after these shares of the time.
const TROUBLE: (f64, f64) = (0.2, 0.6);

/// Generator → gateway → sink over loopback.
#[derive(Debug, Parser)]
#[expect(clippy::struct_excessive_bools, reason = "they are flags")]
struct Arguments {
    /// Cells to measure, such as `spans/forward` or `*/*/gzip`; all if not given.
    #[arg(long, value_delimiter = ',')]
    cells: Vec<String>,
    /// The few cells that show whether anything is broken.
    #[arg(long)]
    quick: bool,
    /// Names the cells and ends.
    #[arg(long)]
    list: bool,
    /// Measured seconds of each cell.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Seconds before each.
    #[arg(long, default_value_t = 1.0)]
    warm_up: f64,
    /// Times each cell is measured with each gateway, in turn; the medians are reported.
    #[arg(long, default_value_t = 1)]
    rounds: usize,
    /// A JSON line a cell on stdout; the table goes to stderr.
    #[arg(long)]
    json: bool,
    /// The gateway's program; the one cargo has just built if not given.
    #[arg(long)]
    gateway: Option<PathBuf>,
    /// Another gateway in the same run: `otelcol=PATH`, `rotel=PATH`.
    #[arg(long = "peer", value_parser = Gateway::parse)]
    peers: Vec<Gateway>,
    /// HTTP/2 connections of the generator.
    #[arg(long, default_value_t = 1)]
    connections: usize,
    /// The largest HTTP/2 frame that the sink asks for, KiB.
    #[arg(long, default_value_t = 1024)]
    frame_kib: u32,
    /// Also a process that only moves bytes: nothing that forwards over TCP costs less.
    #[arg(long)]
    floor: bool,
    #[arg(long, hide = true)]
    role: Option<String>,
    #[arg(long, hide = true, default_value_t = 0)]
    from_port: u16,
    #[arg(long, hide = true, default_value_t = 0)]
    to_port: u16,
    /// What cargo says to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.role.as_deref() {
        Some("sink") => single_threaded(sink::run(arguments.frame_kib << 10)),
        Some("generator") => single_threaded(generator::run()),
        Some("floor") => single_threaded(floor::run(arguments.from_port, arguments.to_port)),
        Some(other) => Err(format!("there is no role {other:?}").into()),
        None if arguments.list => list(),
        None => Bench::new(&arguments).and_then(Bench::run),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "loopback: {error}");
            ExitCode::FAILURE
        }
    }
}

fn single_threaded(work: impl Future<Output = Fallible<()>>) -> Fallible<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

fn list() -> Fallible<()> {
    for cell in Cell::all() {
        writeln!(std::io::stdout(), "{}", cell.name())?;
    }
    Ok(())
}

/// One line of a conversation between processes.
fn say(line: &Value) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// Waits; there is no runtime here whose thread could be blocked.
#[expect(clippy::disallowed_methods, reason = "this process has no runtime")]
fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

struct Bench<'a> {
    arguments: &'a Arguments,
    cells: Vec<Cell>,
    gateways: Vec<Gateway>,
    cores: Cores,
    sink: Helper,
    sink_port: u16,
    generator: Helper,
    broken: Vec<String>,
}

impl<'a> Bench<'a> {
    fn new(arguments: &'a Arguments) -> Fallible<Self> {
        let cells = if arguments.quick { Cell::quick() } else { Cell::all() };
        let wanted = |cell: &Cell| arguments.cells.is_empty() || arguments.cells.iter().any(|name| cell.is(name));
        let cells: Vec<Cell> = cells.into_iter().filter(wanted).collect();
        if cells.is_empty() {
            return Err("no such cell; `--list` names them".into());
        }
        let program = arguments.gateway.clone().unwrap_or_else(|| env!("CARGO_BIN_EXE_sekisho").into());
        let mut gateways = vec![Gateway { kind: Kind::Sekisho, program: program.canonicalize()? }];
        gateways.extend(arguments.peers.iter().cloned());
        if arguments.floor {
            gateways.push(Gateway { kind: Kind::Floor, program: std::env::current_exe()? });
        }
        let cores = Cores::choose();
        let frame = arguments.frame_kib.to_string();
        let mut sink = Helper::start(&["--role", "sink", "--frame-kib", &frame], cores)?;
        let port: Value = sink.answer()?;
        let sink_port = port["port"].as_u64().and_then(|port| port.try_into().ok()).ok_or("the sink has no port")?;
        let generator = Helper::start(&["--role", "generator"], cores)?;
        Ok(Self { arguments, cells, gateways, cores, sink, sink_port, generator, broken: Vec::new() })
    }

    fn run(mut self) -> Fallible<()> {
        let json = self.arguments.json;
        let mut table: Box<dyn std::io::Write> =
            if json { Box::new(std::io::stderr()) } else { Box::new(std::io::stdout()) };
        self.introduce(&mut table)?;
        report::head(&mut table)?;
        let mut rows = Vec::new();
        for cell in std::mem::take(&mut self.cells) {
            let gateways: Vec<Gateway> = self.gateways.iter().filter(|one| one.kind.does(&cell)).cloned().collect();
            let mut rounds = vec![Vec::new(); gateways.len()];
            for _ in 0..self.arguments.rounds {
                for (gateway, rounds) in gateways.iter().zip(&mut rounds) {
                    rounds.push(self.measure(&cell, gateway)?);
                }
            }
            for row in rounds.iter().map(|rounds| Row::over(rounds)) {
                report::row(&mut table, &row)?;
                if json {
                    writeln!(std::io::stdout(), "{}", serde_json::to_string(&row)?)?;
                }
                rows.push(row);
            }
        }
        report::ratios(&mut table, &rows)?;
        report::starts(&mut table, &rows, |name| {
            let program = self.gateways.iter().find(|gateway| gateway.kind.name() == name)?.program.clone();
            std::fs::metadata(program).ok().map(|file| file.len())
        })?;
        if self.broken.is_empty() { Ok(()) } else { Err(self.broken.join("\n").into()) }
    }

    /// What it is measured on.
    fn introduce(&self, out: &mut dyn std::io::Write) -> Fallible<()> {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let cpu = read("/proc/cpuinfo");
        let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("");
        writeln!(
            out,
            "CPU: {} · kernel {}",
            model.trim_start_matches(['\t', ' ', ':']),
            read("/proc/sys/kernel/osrelease").trim()
        )?;
        match (self.cores.gateway, self.cores.others) {
            (Some(gateway), Some(others)) => {
                writeln!(out, "gateway on core {gateway}, generator and sink on core {others}")?;
            }
            _ => writeln!(out, "nothing is pinned: there is one core only")?,
        }
        writeln!(out)?;
        Ok(())
    }

    fn measure(&mut self, cell: &Cell, gateway: &Gateway) -> Fallible<Row> {
        let name = format!("{} with {}", cell.name(), gateway.kind.name());
        let directory = tempfile::tempdir()?;
        self.sink.ask::<Value>("reset")?;
        let mut running = gateway.start(cell, directory.path(), self.sink_port, self.cores).map_err(|error| {
            let log = std::fs::read_to_string(directory.path().join(format!("{}.log", gateway.kind.name())));
            format!("{name}: {error}\n{}", log.unwrap_or_default())
        })?;
        let sent = self.send(cell, &running)?;
        let arrived = self.drained(&sent)?;
        let ended_well = running.stop()?;
        let received: Received = self.sink.ask("items")?;
        let row = row(cell, gateway, &running, &sent, &received, &arrived);
        let is_ours = gateway.kind == Kind::Sekisho;
        let limit_mib = cell.load.memory_limit_mib(cell.path);
        let what = if sent.acknowledged_in_time == 0 || row.received == 0 {
            "moved nothing"
        } else if is_ours && row.lost > 0 {
            "lost what it had acknowledged"
        } else if is_ours && cell.load.fault().is_none() && row.failed > 0 {
            "failed requests"
        } else if is_ours && limit_mib.is_some_and(|limit| row.rss_max_mib > limit as f64) {
            "grew beyond its memory limit"
        } else if is_ours && !ended_well {
            "did not end well"
        } else {
            return Ok(row);
        };
        let log = std::fs::read_to_string(directory.path().join(format!("{}.log", gateway.kind.name())))?;
        let tail: Vec<&str> = log.lines().rev().take(10).collect();
        self.broken.push(format!("{name}: {what}; {} {:?}", sent.failure, tail));
        Ok(row)
    }

    fn send(&mut self, cell: &Cell, running: &gateway::Running) -> Fallible<Sent> {
        let work = Work {
            port: running.port,
            pid: running.pid(),
            signal: if cell.signal == "spans" { "traces".to_owned() } else { cell.signal.to_owned() },
            encoding: cell.compression.to_owned(),
            http: cell.http,
            offer: cell.load.offer(),
            connections: self.arguments.connections,
            history: cell.path == Path::Detect,
            warm_up: self.arguments.warm_up,
            seconds: self.arguments.seconds,
        };
        self.generator.ask::<Value>(&serde_json::to_string(&work)?)?;
        if let Some((trouble, relief)) = cell.load.fault() {
            let begun = Instant::now();
            for (share, command) in [(TROUBLE.0, trouble), (TROUBLE.1, relief)] {
                let due = Duration::from_secs_f64(self.arguments.seconds * share);
                pause(due.saturating_sub(begun.elapsed()));
                self.sink.ask::<Value>(command)?;
            }
        }
        self.generator.answer()
    }

    /// Waits for what has been acknowledged to arrive; says what has.
    fn drained(&mut self, sent: &Sent) -> Fallible<Value> {
        let acknowledged: u64 = sent.ledger.iter().map(|(_, acknowledged)| u64::from(*acknowledged)).sum();
        let begun = Instant::now();
        loop {
            let arrived: Value = self.sink.ask("total")?;
            if arrived["total"].as_u64() >= Some(acknowledged) || begun.elapsed() > DRAIN {
                return Ok(arrived);
            }
            pause(Duration::from_millis(20));
        }
    }
}

#[derive(serde::Deserialize)]
struct Received {
    /// By request.
    items: Vec<u32>,
}

fn row(
    cell: &Cell,
    gateway: &Gateway,
    running: &gateway::Running,
    sent: &Sent,
    received: &Received,
    arrived: &Value,
) -> Row {
    let arrivals = received.items.iter().copied().chain(std::iter::repeat(0));
    let mut row = Row {
        cell: cell.name(),
        gateway: gateway.kind.name(),
        rounds: 1,
        offered: sent.offered,
        items_per_second: sent.acknowledged_in_time as f64 / sent.seconds,
        cpu_us_per_item: sent.cpu_seconds * 1e6 / (sent.acknowledged_in_time as f64).max(1.0),
        rss_mean_mib: sent.rss_mean_mib,
        rss_max_mib: sent.rss_max_mib,
        p50_ms: sent.p50_ms,
        p99_ms: sent.p99_ms,
        refused: sent.refused,
        failed: sent.failed,
        held_back: sent.held_back,
        listening_ms: running.listening.as_secs_f64() * 1e3,
        idle_rss_mib: running.idle_rss_mib,
        came_round: sent.came_round,
        ..Row::default()
    };
    for (&(sent, acknowledged), arrived) in sent.ledger.iter().zip(arrivals) {
        row.sent += u64::from(sent);
        row.acknowledged += u64::from(acknowledged);
        row.received += u64::from(arrived);
        row.lost += u64::from(acknowledged.saturating_sub(arrived));
        row.duplicated += u64::from(arrived.saturating_sub(sent));
    }
    row.bytes_out_per_item = arrived["bytes"].as_f64().unwrap_or_default() / (row.received as f64).max(1.0);
    row
}

/// This program again, in another role; ends when its stdin does.
struct Helper {
    child: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Helper {
    fn start(arguments: &[&str], cores: Cores) -> Fallible<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = process::spawn_on(cores.others, &mut command)?;
        let commands = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().ok_or("no stdout")?);
        Ok(Self { child, commands, answers })
    }

    fn ask<T: DeserializeOwned>(&mut self, command: &str) -> Fallible<T> {
        writeln!(self.commands.as_mut().ok_or("no stdin")?, "{command}")?;
        self.answer()
    }

    fn answer<T: DeserializeOwned>(&mut self) -> Fallible<T> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            return Err("the generator or the sink broke down; see its last words above".into());
        }
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        drop(self.commands.take());
        let _ = self.child.wait();
    }
}
