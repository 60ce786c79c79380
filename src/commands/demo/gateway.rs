//! The real gateway, in this process: the quickstart configuration, with ports of its own, a state directory that is
//! thrown away, and every pipeline's end at a sink here. Telemetry goes in and comes out over gRPC, as it would for
//! anybody.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    alert::{self, Alert},
    screen::Screen,
};
use crate::{
    commands::{Failure, plan},
    config::{Endpoint, Toggle},
    exporters::otlp_grpc,
    otlp::{Batch, Signal},
    pipeline::{
        Boxed, Consumer, Next, Outcome,
        component::{Context, ExporterConfig as _, Outputs, ReceiverConfig as _, Route, Running, Shared, StartError},
        queue, retry,
    },
    receivers::otlp,
    registry::Plan,
    service::Service,
    telemetry::Metrics,
    transport::address::Address,
};

/// The newcomer's configuration.
const QUICKSTART: &str = include_str!("../../../config-examples/quickstart.yaml");
/// Alerts kept for the score. A gateway that raises more has failed in a way that needs no exact count.
const MOST_ALERTS: usize = 100_000;
/// Where the component and the demo agree to find things among [`Shared`]: kind, id and protocol.
const SINK: &str = "receiver demo";

/// A running gateway and what it has said.
pub struct Gateway {
    service: Service,
    sink: Box<dyn Running>,
    heard: Arc<Heard>,
    directory: Directory,
    budget: String,
}

/// The sink behind the gateway's exporters: counts telemetry, keeps alerts and shows them.
pub struct Heard {
    screen: Arc<Screen>,
    alerts: Mutex<Vec<Alert>>,
    unkept: AtomicU64,
    spans: AtomicU64,
}

/// A directory removed with what is in it.
struct Directory(PathBuf);

impl Gateway {
    /// Starts sink and gateway, its console on `console`.
    pub async fn start(screen: Arc<Screen>, console: u16) -> Result<Self, Failure> {
        let heard =
            Arc::new(Heard { screen, alerts: Mutex::default(), unkept: AtomicU64::new(0), spans: AtomicU64::new(0) });
        let directory = Directory::create().map_err(|error| Failure::Work(format!("cannot keep state: {error}")))?;
        let started = async {
            let (sink, address) = start_sink(heard.clone()).await?;
            let plan = configuration(address, &directory.0, console)
                .map_err(|reason| StartError { component: "demo".to_owned(), reason })?;
            let budget = budget(&plan);
            Ok::<_, StartError>((Service::start(plan, directory.0.clone()).await?, sink, budget))
        };
        let (service, sink, budget) = started.await.map_err(|error| Failure::Work(error.to_string()))?;
        Ok(Self { service, sink, heard, directory, budget })
    }

    /// A client of the gateway's OTLP port. Its answer comes when the gateway has taken a batch to its last safe point.
    pub fn client(&self) -> Result<Next, Failure> {
        let address = self.service.shared().get::<SocketAddr>("receiver otlp grpc");
        let address = address.ok_or_else(|| Failure::Work("the gateway does not listen for gRPC".to_owned()))?;
        let config = otlp_grpc::Config {
            endpoint: format!("http://{address}"),
            compression: "none".to_owned(),
            sending_queue: queue::Config { enabled: false, ..queue::Config::default() },
            retry_on_failure: retry::Config::default(),
            ..otlp_grpc::Config::default()
        };
        config.build(&context("exporter demo")).map_err(|error| Failure::Work(error.to_string()))
    }

    /// The false pages the configuration accepts, as it says it.
    pub fn budget(&self) -> &str {
        &self.budget
    }

    /// Drains the gateway, and gives back what it said.
    pub async fn stop(self) -> Said {
        let Self { service, sink, heard, directory, .. } = self;
        service.stop().await;
        sink.stop().await;
        drop(directory);
        let alerts = std::mem::take(&mut *heard.alerts.lock().unwrap_or_else(PoisonError::into_inner));
        Said { alerts, unkept: heard.unkept.load(Ordering::Relaxed), spans: heard.spans.load(Ordering::Relaxed) }
    }
}

/// Everything that came out of the gateway.
pub struct Said {
    /// In the order they came.
    pub alerts: Vec<Alert>,
    /// Alerts beyond those.
    pub unkept: u64,
    /// Spans forwarded.
    pub spans: u64,
}

impl Consumer for Heard {
    fn consume(&self, batch: Batch) -> Boxed<'_, Outcome> {
        if batch.signal == Signal::Traces {
            self.spans.fetch_add(batch.items as u64, Ordering::Relaxed);
        }
        if batch.signal == Signal::Logs {
            for alert in alert::read(&batch) {
                self.screen.raised(&alert);
                let mut alerts = self.alerts.lock().unwrap_or_else(PoisonError::into_inner);
                if alerts.len() < MOST_ALERTS {
                    alerts.push(alert);
                } else {
                    self.unkept.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        Box::pin(std::future::ready(Outcome::Accepted))
    }
}

impl Directory {
    fn create() -> std::io::Result<Self> {
        let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_nanos();
        let path = std::env::temp_dir().join(format!("sekisho-demo-{}-{nanos}", std::process::id()));
        // Fails where somebody else has put something under this name.
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(directory = %self.0.display(), %error, "the demo's state is left behind");
        }
    }
}

async fn start_sink(heard: Arc<Heard>) -> Result<(Box<dyn Running>, SocketAddr), StartError> {
    let grpc = otlp::GrpcConfig { endpoint: Address::Tcp(Endpoint::localhost(0)), ..otlp::GrpcConfig::default() };
    let protocols = otlp::Protocols { grpc: Toggle::On(grpc), http: Toggle::Off };
    let config = otlp::Config { protocols, ..otlp::Config::default() };
    let (outputs, context) = (Outputs::default(), context(SINK));
    let route = |signal: Signal| Route { signal, pipeline: signal.name().to_owned(), head: heard.clone() };
    outputs.connect(Signal::ALL.map(route).into());
    let running = config.start(outputs, &context).await?;
    let address = context.shared.get::<SocketAddr>(&format!("{SINK} grpc"));
    let address = address.ok_or_else(|| context.error("does not say where it listens"))?;
    Ok((running, *address))
}

/// The quickstart, changed in nothing but where things are, and in that nothing may overflow.
fn configuration(sink: SocketAddr, directory: &Path, console: u16) -> Result<Plan, String> {
    let quickstart = format!("yaml:{QUICKSTART}");
    let (written, _) = plan(std::slice::from_ref(&quickstart), &[]).map_err(|problems| problems.to_string())?;
    let mut sets: Vec<String> = vec![
        "receivers.otlp.protocols.grpc.endpoint=127.0.0.1:0".to_owned(),
        "receivers.otlp.protocols.http.endpoint=127.0.0.1:0".to_owned(),
        "service.telemetry.metrics.level=none".to_owned(),
        "service.telemetry.logs.level=error".to_owned(),
    ];
    for id in written.exporters.keys() {
        sets.push(format!("exporters.{id}.endpoint=http://{sink}"));
        // Two weeks in a minute must wait for room, and alerts must come in the order they are raised.
        sets.push(format!("exporters.{id}.sending_queue.block_on_overflow=true"));
        sets.push(format!("exporters.{id}.sending_queue.num_consumers=1"));
    }
    for id in written.extensions.keys() {
        match id.kind.as_str() {
            "health_check" => sets.push(format!("extensions.{id}.endpoint=127.0.0.1:0")),
            "console" => sets.push(format!("extensions.{id}.endpoint=127.0.0.1:{console}")),
            "file_storage" => sets.push(format!("extensions.{id}.directory={}", directory.display())),
            _ => {}
        }
    }
    plan(&[quickstart], &sets).map(|(plan, _)| plan).map_err(|problems| problems.to_string())
}

fn budget(plan: &Plan) -> String {
    let anomaly = plan.processors.iter().find(|(id, _)| id.kind == "anomaly");
    let written = anomaly.and_then(|(_, planned)| planned.node.get("budget")?.text());
    written.unwrap_or("1/week").to_owned()
}

fn context(component: &str) -> Context {
    Context {
        component: component.to_owned(),
        id: "demo".to_owned(),
        metrics: Metrics::default(),
        shared: Shared::default(),
        base: PathBuf::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quickstart_runs_on_ports_and_in_a_directory_of_its_own() {
        let directory = Path::new("/nowhere/demo");
        let plan = configuration(([127, 0, 0, 1], 4).into(), directory, 0).unwrap();
        let text = crate::config::print(&plan.root.tree);
        for port in [":4317", ":4318", ":14317", ":14318", ":13133"] {
            assert!(!text.contains(port), "{port} in\n{text}");
        }
        assert!(text.contains("/nowhere/demo") && text.contains("http://127.0.0.1:4"), "{text}");
    }

    #[test]
    fn a_directory_goes_with_what_is_in_it() {
        let directory = Directory::create().unwrap();
        let path = directory.0.clone();
        std::fs::write(path.join("state"), "x").unwrap();
        drop(directory);
        assert!(!path.exists());
    }
}
