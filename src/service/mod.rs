//! From a valid plan to running pipelines, and back.
//!
//! Start order: extensions, then the nodes of the graph, receivers last. Stop order: receivers, then the nodes in the
//! order batches meet them, extensions. `reload` does both at once for what has changed.

mod graph;
mod own_metrics;
mod reload;

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

use tokio::task::JoinSet;

use self::graph::{Graph, named, parts};
use crate::{
    config::{Kind, Node},
    pipeline::{
        component::{Context, Id, Outputs, ReceiverConfig, Route, Running, Shared, StartError},
        health::{Health, State},
        sockets::Sockets,
    },
    registry::{Plan, Planned},
    telemetry::Metrics,
};

/// How long everything together may take to hand on what it holds at the end.
const DRAIN_DEADLINE: Duration = Duration::from_secs(20);
/// How long receivers may take to finish the requests in hand.
const STOP_DEADLINE: Duration = Duration::from_secs(5);

/// Whether receivers are started, or batches are fed in by the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Feed {
    Receivers,
    Caller,
}

/// A running gateway.
pub struct Service {
    plan: Plan,
    graph: Graph,
    receivers: std::collections::BTreeMap<Id, RunningReceiver>,
    /// In the order they were started.
    extensions: Vec<RunningExtension>,
    own_metrics: Vec<Box<dyn Running>>,
    /// Leads to every pipeline that receivers feed.
    caller: Outputs,
    /// What reloads took out.
    retiring: JoinSet<()>,
    site: Site,
}

struct RunningReceiver {
    outputs: Outputs,
    running: Box<dyn Running>,
    node: Node,
}

struct RunningExtension {
    id: Id,
    running: Box<dyn Running>,
    node: Node,
}

/// What every component of one service is given.
struct Site {
    metrics: Metrics,
    shared: Shared,
    health: Arc<Health>,
    base: PathBuf,
}

impl Site {
    fn new(base: PathBuf) -> Self {
        let shared = Shared::default();
        let health = shared.get_or_default(Health::NAME);
        Self { metrics: Metrics::default(), shared, health, base }
    }

    fn context(&self, kind: Kind, id: &Id) -> Context {
        Context {
            component: named((kind, id)),
            id: id.to_string(),
            metrics: self.metrics.clone(),
            shared: self.shared.clone(),
            base: self.base.clone(),
        }
    }

    fn sockets(&self) -> Arc<Sockets> {
        self.shared.get_or_default(Sockets::NAME)
    }
}

impl Service {
    /// Brings `plan` to life; relative paths start at `base`.
    pub async fn start(plan: Plan, base: PathBuf) -> Result<Self, StartError> {
        Self::start_with(plan, base, Feed::Receivers).await
    }

    /// Brings `plan` to life without its receivers: the caller feeds the pipelines through [`Service::inputs`].
    pub async fn start_without_receivers(plan: Plan, base: PathBuf) -> Result<Self, StartError> {
        Self::start_with(plan, base, Feed::Caller).await
    }

    async fn start_with(plan: Plan, base: PathBuf, feed: Feed) -> Result<Self, StartError> {
        let mut service = Self {
            plan: Plan::default(),
            graph: Graph::default(),
            receivers: std::collections::BTreeMap::new(),
            extensions: Vec::new(),
            own_metrics: Vec::new(),
            caller: Outputs::default(),
            retiring: JoinSet::new(),
            site: Site::new(base),
        };
        let started = service.bring_up(&plan, feed).await;
        service.plan = plan;
        match started {
            Ok(()) => Ok(service),
            Err(error) => {
                service.stop().await;
                Err(error)
            }
        }
    }

    async fn bring_up(&mut self, plan: &Plan, feed: Feed) -> Result<(), StartError> {
        if feed == Feed::Receivers {
            let telemetry = &plan.root.service.telemetry;
            self.own_metrics = own_metrics::start(telemetry, &self.site.base, &self.site.metrics).await?;
        }
        for reference in &plan.root.service.extensions {
            self.extensions.extend(start_extension(plan, &reference.id, &self.site).await?);
        }
        let built = self.graph.build(plan, &BTreeSet::new(), &self.site).map_err(|refused| refused.error)?;
        self.graph.adopt(built, plan);
        self.caller.connect(fed_by_receivers(&self.graph, plan));
        if feed == Feed::Receivers {
            for (id, planned) in receivers_in_use(plan) {
                let routes = self.graph.routes(plan, id, Kind::Receiver);
                self.receivers.insert(id.clone(), start_receiver(id, planned, routes, &self.site).await?);
            }
        }
        publish_health(&self.site.health, plan, &State::Ready);
        tracing::info!(pipelines = plan.root.service.pipelines.len(), "started");
        Ok(())
    }

    /// Where the caller feeds batches in when there are no receivers: all pipelines of a signal that any receiver feeds.
    pub fn inputs(&self) -> Outputs {
        self.caller.clone()
    }

    /// Things the components of this service share.
    pub const fn shared(&self) -> &Shared {
        &self.site.shared
    }

    /// The service's own metrics.
    pub const fn metrics(&self) -> &Metrics {
        &self.site.metrics
    }

    /// Stops everything in order: nothing acknowledged is left behind if the destinations take it in time.
    pub async fn stop(mut self) {
        publish_health(&self.site.health, &self.plan, &State::Stopping);
        for receiver in std::mem::take(&mut self.receivers).into_values() {
            stop_within(STOP_DEADLINE, receiver.running.as_ref()).await;
            receiver.outputs.connect(Vec::new());
        }
        self.caller.connect(Vec::new());
        let graph = std::mem::take(&mut self.graph);
        let drained = tokio::time::timeout(DRAIN_DEADLINE, async {
            graph.retire(&self.plan).await;
            while self.retiring.join_next().await.is_some() {}
        });
        if drained.await.is_err() {
            tracing::error!(deadline = ?DRAIN_DEADLINE, "not everything could be handed on before the deadline");
        }
        for extension in self.extensions.drain(..).rev() {
            stop_within(STOP_DEADLINE, extension.running.as_ref()).await;
        }
        for own_metrics in self.own_metrics.drain(..) {
            stop_within(STOP_DEADLINE, own_metrics.as_ref()).await;
        }
        tracing::info!("stopped");
    }
}

fn publish_health(health: &Health, plan: &Plan, state: &State) {
    health.started(plan.root.service.extensions.iter().map(|extension| extension.id.to_string()).collect());
    let pipelines = &plan.root.service.pipelines;
    health.set(pipelines.iter().map(|pipeline| (pipeline.id.to_string(), state.clone(), parts(pipeline))));
}

async fn start_extension(plan: &Plan, id: &Id, site: &Site) -> Result<Option<RunningExtension>, StartError> {
    let Some(planned) = plan.extensions.get(id) else { return Ok(None) };
    let running = planned.config.start(&site.context(Kind::Extension, id)).await?;
    Ok(Some(RunningExtension { id: id.clone(), running, node: planned.node.clone() }))
}

async fn start_receiver(
    id: &Id,
    planned: &Planned<dyn ReceiverConfig>,
    routes: Vec<Route>,
    site: &Site,
) -> Result<RunningReceiver, StartError> {
    let outputs = Outputs::of_receiver(&id.to_string());
    outputs.connect(routes);
    site.health.replaced(&named((Kind::Receiver, id)));
    let running = planned.config.start(outputs.clone(), &site.context(Kind::Receiver, id)).await?;
    Ok(RunningReceiver { outputs, running, node: planned.node.clone() })
}

fn receivers_in_use(plan: &Plan) -> impl Iterator<Item = (&Id, &Planned<dyn ReceiverConfig>)> {
    let pipelines = &plan.root.service.pipelines;
    let references = pipelines.iter().flat_map(|pipeline| &pipeline.receivers);
    let named: BTreeSet<&Id> =
        references.filter(|reference| reference.kind == Kind::Receiver).map(|reference| &reference.id).collect();
    plan.receivers.iter().filter(move |(id, _)| named.contains(id))
}

/// The ways into every pipeline that any receiver feeds.
fn fed_by_receivers(graph: &Graph, plan: &Plan) -> Vec<Route> {
    let mut routes: Vec<Route> = Vec::new();
    for (id, _) in receivers_in_use(plan) {
        for route in graph.routes(plan, id, Kind::Receiver) {
            if !routes.iter().any(|known| known.pipeline == route.pipeline) {
                routes.push(route);
            }
        }
    }
    routes
}

async fn stop_within(deadline: Duration, running: &dyn Running) {
    if tokio::time::timeout(deadline, running.stop()).await.is_err() {
        tracing::warn!(?deadline, "stopped without waiting for the requests still in hand");
    }
}
