//! The gateways under test: how each is told what to do, and started.

use std::{
    fmt::Write as _,
    fs,
    path::{Path as File, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use super::{
    Fallible,
    cells::{Cell, Path},
    process::{self, Cores},
};

/// Gateways that need longer to listen are broken.
const PATIENCE: Duration = Duration::from_secs(30);
/// When a gateway that has been started is taken to be idle.
const IDLE_AFTER: Duration = Duration::from_millis(300);
/// How long a gateway may take to end when told to.
const FAREWELL: Duration = Duration::from_secs(30);

/// A gateway's program.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// What it is called in results.
    pub kind: Kind,
    /// Its program.
    pub program: PathBuf,
}

/// Which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// This project.
    Sekisho,
    /// The Go Collector; the same YAML.
    Otelcol,
    /// rotel; flags.
    Rotel,
    /// Only moves bytes.
    Floor,
}

/// A gateway that runs; killed when dropped.
pub struct Running {
    child: Child,
    /// Where it takes gRPC, or HTTP if the cell wants that.
    pub port: u16,
    /// From its start until it listened.
    pub listening: Duration,
    /// Its memory before any work, MiB.
    pub idle_rss_mib: f64,
}

impl Kind {
    /// As on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sekisho => "sekisho",
            Self::Otelcol => "otelcol",
            Self::Rotel => "rotel",
            Self::Floor => "floor",
        }
    }

    /// Whether it can do what the cell asks.
    pub fn does(self, cell: &Cell) -> bool {
        match self {
            Self::Sekisho => true,
            Self::Otelcol => cell.path != Path::Detect,
            Self::Rotel => cell.path == Path::Forward && cell.compression != "zstd",
            Self::Floor => cell.path == Path::Forward && cell.load.fault().is_none(),
        }
    }
}

impl Gateway {
    /// From `NAME=PATH`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, program) = text.split_once('=').ok_or("NAME=PATH is wanted")?;
        let kind = [Kind::Sekisho, Kind::Otelcol, Kind::Rotel].into_iter().find(|kind| kind.name() == name);
        Ok(Self { kind: kind.ok_or("NAME is one of sekisho, otelcol, rotel")?, program: program.into() })
    }

    /// Starts it for `cell` in `directory`, with the sink at `sink`.
    pub fn start(&self, cell: &Cell, directory: &File, sink: u16, cores: Cores) -> Fallible<Running> {
        let (grpc, http) = (process::free_port()?, process::free_port()?);
        let mut command = match self.kind {
            Kind::Rotel => rotel(&self.program, cell, grpc, http, sink),
            Kind::Floor => {
                let mut command = Command::new(&self.program);
                let listen = if cell.http { http } else { grpc };
                command.args(["--role", "floor", "--from-port", &listen.to_string(), "--to-port", &sink.to_string()]);
                command
            }
            Kind::Sekisho | Kind::Otelcol => {
                let config = directory.join("config.yaml");
                fs::write(&config, yaml(cell, grpc, http, sink))?;
                let mut command = Command::new(&self.program);
                command.arg("--config").arg(config);
                command
            }
        };
        let log = fs::File::create(directory.join(format!("{}.log", self.kind.name())))?;
        command.current_dir(directory).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        if cores.gateway.is_some() {
            command.env("GOMAXPROCS", "1");
        }
        let port = if cell.http { http } else { grpc };
        let begun = Instant::now();
        let mut child = process::spawn_on(cores.gateway, &mut command)?;
        let listening = process::listening(port, &mut child, begun, PATIENCE)?;
        super::pause(IDLE_AFTER);
        let idle_rss_mib = process::rss(child.id())?;
        Ok(Running { child, port, listening, idle_rss_mib })
    }
}

impl Running {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGTERM, and whether it ended well.
    pub fn stop(&mut self) -> Fallible<bool> {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status()?;
        let begun = Instant::now();
        while begun.elapsed() < FAREWELL {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status.success());
            }
            super::pause(Duration::from_millis(5));
        }
        Ok(false)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The configuration, in words that Sekisho and the Collector share.
fn yaml(cell: &Cell, grpc: u16, http: u16, sink: u16) -> String {
    let exporter = if cell.http { "otlp_http" } else { "otlp_grpc" };
    let endpoint = if cell.http { format!("http://127.0.0.1:{sink}") } else { format!("127.0.0.1:{sink}") };
    let mut processors = match cell.path {
        Path::Forward => vec![],
        Path::Attributes => vec![("attributes", ATTRIBUTES)],
        Path::Batch => vec![("batch", "{ timeout: 200ms, send_batch_size: 8192 }")],
        Path::Detect => vec![("faas", "{}"), ("anomaly", "{ annotate: all }")],
    };
    let limit = cell
        .load
        .memory_limit_mib(cell.path)
        .map(|mib| format!("{{ check_interval: 100ms, limit_mib: {mib}, spike_limit_mib: {} }}", mib / 4));
    if let Some(limit) = &limit {
        processors.insert(0, ("memory_limiter", limit));
    }
    let mut defined = String::new();
    for (at, (id, config)) in processors.iter().enumerate() {
        defined += if at == 0 { "processors:\n" } else { "" };
        let _ = writeln!(defined, "  {id}: {config}");
    }
    let processors = processors.iter().map(|(id, _)| *id).collect::<Vec<_>>().join(", ");
    // Where the sink is in trouble, a queue stands between; elsewhere an acknowledgement means that it has arrived.
    let queue = if cell.load.fault().is_some() { "queue_size: 200" } else { "enabled: false" };
    // The detector learns from spans first.
    let mut pipelines = String::new();
    for (id, signal) in [("traces", "spans"), ("logs", "logs")] {
        if signal == cell.signal || cell.path == Path::Detect {
            let parts = format!("receivers: [otlp], processors: [{processors}], exporters: [{exporter}]");
            let _ = writeln!(pipelines, "    {id}: {{ {parts} }}");
        }
    }
    format!(
        "receivers:
  otlp:
    protocols:
      grpc: {{ endpoint: '127.0.0.1:{grpc}', max_recv_msg_size_mib: 64 }}
      http: {{ endpoint: '127.0.0.1:{http}' }}
{defined}exporters:
  {exporter}:
    endpoint: '{endpoint}'
    tls: {{ insecure: true }}
    compression: {}
    timeout: 2s
    retry_on_failure: {{ initial_interval: 100ms, max_interval: 500ms }}
    sending_queue: {{ {queue} }}
service:
  telemetry: {{ metrics: {{ level: none }} }}
  pipelines:
{pipelines}",
        cell.compression,
    )
}

/// Four more of them.
const ATTRIBUTES: &str = "
    actions:
      - { key: deployment.environment, value: production, action: insert }
      - { key: team, value: checkout, action: insert }
      - { key: sampled, value: true, action: insert }
      - { key: gateway.shard, value: 7, action: insert }";

fn rotel(program: &File, cell: &Cell, grpc: u16, http: u16, sink: u16) -> Command {
    let mut command = Command::new(program);
    // Like the others, it passes on what it gets; unlike them, it says yes once a request is in its queue.
    command.arg("start").args(["--exporter", "otlp", "--disable-batching"]);
    command.args(["--otlp-grpc-endpoint", &format!("127.0.0.1:{grpc}")]);
    command.args(["--otlp-http-endpoint", &format!("127.0.0.1:{http}")]);
    command.args(["--otlp-exporter-endpoint", &format!("http://127.0.0.1:{sink}")]);
    command.args(["--otlp-exporter-protocol", if cell.http { "http" } else { "grpc" }]);
    command.args(["--otlp-exporter-compression", cell.compression]);
    command
}
