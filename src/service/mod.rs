//! From a valid plan to running pipelines, and back.
//!
//! Start order: extensions, exporters, processors from the end of each pipeline, receivers last. Stop order: receivers,
//! then each pipeline's nodes from front to end, exporters, extensions. A reload builds all that is new beside what
//! runs, and only when nothing can fail any more exchanges it: unchanged receivers keep listening, unchanged exporters
//! keep their queues, and what `anomaly` has learned is shared by id.

mod own_metrics;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use crate::{
    config::{Kind, Node, PipelineId, Reference},
    otlp::Signal,
    pipeline::{
        Next,
        component::{Context, Id, Outputs, ReceiverConfig, Running, Shared, StartError},
        fan_out::FanOut,
        health::{Health, State},
        watch,
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
    receivers: BTreeMap<Id, RunningReceiver>,
    extensions: Vec<(Id, Box<dyn Running>)>,
    own_metrics: Vec<Box<dyn Running>>,
    metrics: Metrics,
    shared: Shared,
    health: Arc<Health>,
    base: PathBuf,
}

struct RunningReceiver {
    outputs: Outputs,
    running: Box<dyn Running>,
    node: Node,
}

/// Everything between receivers and the outside.
#[derive(Default)]
struct Graph {
    pipelines: Vec<BuiltPipeline>,
    exporters: BTreeMap<Id, (Next, Node)>,
}

struct BuiltPipeline {
    id: PipelineId,
    receivers: Vec<Id>,
    /// Otherwise by a processor, such as `anomaly` with its alerts.
    fed_by_receivers: bool,
    head: Next,
    /// In the order batches meet them.
    processors: Vec<Next>,
    /// Receivers, processors and exporters as [`Context::component`] names them.
    components: Vec<String>,
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
        let (metrics, shared, health) = (Metrics::default(), Shared::default(), Arc::new(Health::default()));
        shared.put(Health::NAME, health.clone());
        let mut service = Self {
            plan: Plan::default(),
            graph: Graph::default(),
            receivers: BTreeMap::new(),
            extensions: Vec::new(),
            own_metrics: Vec::new(),
            metrics,
            shared,
            health,
            base,
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
            self.own_metrics = own_metrics::start(&plan.root.service.telemetry, &self.base, &self.metrics).await?;
        }
        for id in plan.root.service.extensions.iter().map(|reference| &reference.id) {
            let Some(planned) = plan.extensions.get(id) else { continue };
            let running = planned.config.start(&self.context("extension", id)).await?;
            self.extensions.push((id.clone(), running));
            self.health.started(self.extensions.iter().map(|(id, _)| id.to_string()).collect());
        }
        self.graph = self.build(plan)?;
        if feed == Feed::Receivers {
            for (id, planned) in receivers_in_use(plan) {
                let outputs = Outputs::default();
                self.graph.connect(id, &outputs);
                let running = planned.config.start(outputs.clone(), &self.context("receiver", id)).await?;
                self.receivers.insert(id.clone(), RunningReceiver { outputs, running, node: planned.node.clone() });
            }
        }
        self.publish_health(&State::Ready);
        tracing::info!(pipelines = self.graph.pipelines.len(), "started");
        Ok(())
    }

    /// Where the caller feeds batches in when there are no receivers: all pipelines of a signal that any receiver feeds.
    pub fn inputs(&self) -> Outputs {
        let outputs = Outputs::default();
        for signal in Signal::ALL {
            let heads = self
                .graph
                .pipelines
                .iter()
                .filter(|pipeline| pipeline.id.signal == signal && pipeline.fed_by_receivers);
            outputs.set(signal, FanOut::over(heads.map(|pipeline| pipeline.head.clone()).collect()));
        }
        outputs
    }

    /// Things the components of this service share.
    pub const fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The service's own metrics.
    pub const fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Exchanges the running configuration for `plan`. On error everything runs on as before.
    pub async fn reload(&mut self, plan: Plan) -> Result<(), StartError> {
        self.check_fixed(&plan)?;
        let graph = self.build(&plan)?;
        let old = std::mem::replace(&mut self.graph, graph);
        if let Err(error) = self.exchange_receivers(&plan).await {
            self.graph = old;
            for (id, receiver) in &self.receivers {
                self.graph.connect(id, &receiver.outputs);
            }
            return Err(error);
        }
        drain(&old, |id, next| !self.graph.uses(id, next)).await;
        for id in self.plan.processors.keys().filter(|id| !plan.processors.contains_key(id)) {
            self.shared.remove(&self.context("processor", id).component);
        }
        self.plan = plan;
        self.health.clear();
        self.publish_health(&State::Ready);
        Ok(())
    }

    /// Extensions and own telemetry live as long as the process.
    fn check_fixed(&self, plan: &Plan) -> Result<(), StartError> {
        let nodes = |plan: &Plan| -> Vec<(Id, Node)> {
            plan.extensions.iter().map(|(id, planned)| (id.clone(), planned.node.clone())).collect()
        };
        let fixed = if nodes(plan) != nodes(&self.plan) {
            "extensions"
        } else if plan.root.service.telemetry != self.plan.root.service.telemetry {
            "service::telemetry"
        } else {
            return Ok(());
        };
        let reason = format!("{fixed} cannot be changed by a reload; restart the gateway");
        Err(StartError { component: "service".to_owned(), reason })
    }

    /// Stops receivers that are gone or changed, starts those that are new or changed, points all at the new graph.
    async fn exchange_receivers(&mut self, plan: &Plan) -> Result<(), StartError> {
        let wanted: BTreeMap<&Id, _> = receivers_in_use(plan).collect();
        let stale: Vec<Id> = self
            .receivers
            .iter()
            .filter(|(id, receiver)| wanted.get(id).is_none_or(|planned| planned.node != receiver.node))
            .map(|(id, _)| id.clone())
            .collect();
        let mut stopped = Vec::new();
        for id in stale {
            if let Some(receiver) = self.receivers.remove(&id) {
                stop_within(STOP_DEADLINE, receiver.running.as_ref()).await;
                stopped.push(id);
            }
        }
        for (id, planned) in &wanted {
            if self.receivers.contains_key(*id) {
                continue;
            }
            let outputs = Outputs::default();
            self.graph.connect(id, &outputs);
            match planned.config.start(outputs.clone(), &self.context("receiver", id)).await {
                Ok(running) => {
                    let receiver = RunningReceiver { outputs, running, node: planned.node.clone() };
                    self.receivers.insert((*id).clone(), receiver);
                }
                Err(error) => {
                    self.restore_receivers(&stopped).await;
                    return Err(error);
                }
            }
        }
        for (id, receiver) in &self.receivers {
            self.graph.connect(id, &receiver.outputs);
        }
        Ok(())
    }

    async fn restore_receivers(&mut self, stopped: &[Id]) {
        for id in stopped {
            if let Some(receiver) = self.receivers.remove(id) {
                stop_within(STOP_DEADLINE, receiver.running.as_ref()).await;
            }
            let Some(planned) = self.plan.receivers.get(id) else { continue };
            let outputs = Outputs::default();
            match planned.config.start(outputs.clone(), &self.context("receiver", id)).await {
                Ok(running) => {
                    let node = planned.node.clone();
                    self.receivers.insert(id.clone(), RunningReceiver { outputs, running, node });
                }
                Err(error) => tracing::error!(%error, "receiver could not be brought back after a failed reload"),
            }
        }
    }

    /// Builds exporters and pipelines of `plan`, reusing exporters whose configuration has not changed.
    fn build(&self, plan: &Plan) -> Result<Graph, StartError> {
        let mut graph = Graph::default();
        for pipeline in &plan.root.service.pipelines {
            for Reference { id, .. } in &pipeline.exporters {
                let Some(planned) = plan.exporters.get(id).filter(|_| !graph.exporters.contains_key(id)) else {
                    continue;
                };
                let running = self.graph.exporters.get(id).filter(|(_, node)| *node == planned.node);
                let next = match running {
                    Some((next, _)) => next.clone(),
                    None => planned.config.build(&self.context("exporter", id))?,
                };
                graph.exporters.insert(id.clone(), (next, planned.node.clone()));
            }
        }
        for pipeline in &plan.root.service.pipelines {
            let ends = pipeline.exporters.iter().filter_map(|end| graph.exporters.get(&end.id));
            let Some(mut head) = FanOut::over(ends.map(|(next, _)| next.clone()).collect()) else { continue };
            let mut processors = Vec::new();
            for Reference { id, .. } in pipeline.processors.iter().rev() {
                let Some(planned) = plan.processors.get(id) else { continue };
                let (signal, context) = (pipeline.id.signal, self.context("processor", id));
                head = watch::processor(signal, head, &context, |next| planned.config.build(signal, next, &context))?;
                processors.insert(0, head.clone());
            }
            let receivers: Vec<Id> = pipeline.receivers.iter().map(|from| from.id.clone()).collect();
            let fed_by_receivers = pipeline.receivers.iter().any(|from| from.kind == Kind::Receiver);
            let components = pipeline.receivers.iter().chain(&pipeline.processors).chain(&pipeline.exporters);
            let components = components.map(|part| format!("{} {}", part.kind.name(), part.id)).collect();
            graph.pipelines.push(BuiltPipeline {
                id: pipeline.id.clone(),
                receivers,
                fed_by_receivers,
                head,
                processors,
                components,
            });
        }
        let used: BTreeSet<&Id> =
            plan.root.service.pipelines.iter().flat_map(|pipeline| &pipeline.processors).map(|used| &used.id).collect();
        for (id, planned) in &plan.processors {
            let fed = graph.pipelines.iter().filter(|pipeline| pipeline.receivers.contains(id));
            let alerts = FanOut::over(fed.map(|pipeline| pipeline.head.clone()).collect());
            if used.contains(id) {
                planned.config.attach(alerts, &self.context("processor", id))?;
            }
        }
        Ok(graph)
    }

    /// Stops everything in order: nothing acknowledged is left behind if the destinations take it in time.
    pub async fn stop(mut self) {
        self.publish_health(&State::Stopping);
        for receiver in std::mem::take(&mut self.receivers).into_values() {
            stop_within(STOP_DEADLINE, receiver.running.as_ref()).await;
        }
        drain(&self.graph, |_, _| true).await;
        for (_, extension) in self.extensions.drain(..).rev() {
            stop_within(STOP_DEADLINE, extension.as_ref()).await;
        }
        for own_metrics in self.own_metrics.drain(..) {
            stop_within(STOP_DEADLINE, own_metrics.as_ref()).await;
        }
        tracing::info!("stopped");
    }

    fn publish_health(&self, state: &State) {
        for pipeline in &self.graph.pipelines {
            let id = pipeline.id.to_string();
            self.health.set(&id, state.clone());
            self.health.made_of(&id, pipeline.components.clone());
        }
    }

    fn context(&self, kind: &str, id: &Id) -> Context {
        Context {
            component: format!("{kind} {id}"),
            id: id.to_string(),
            metrics: self.metrics.clone(),
            shared: self.shared.clone(),
            base: self.base.clone(),
        }
    }
}

impl Graph {
    /// Points `outputs` at every pipeline that lists `receiver`.
    fn connect(&self, receiver: &Id, outputs: &Outputs) {
        for signal in Signal::ALL {
            let fed = self
                .pipelines
                .iter()
                .filter(|pipeline| pipeline.id.signal == signal && pipeline.receivers.contains(receiver));
            let next = FanOut::over(fed.map(|pipeline| pipeline.head.clone()).collect());
            outputs.set(signal, next.map(|next| watch::receiver(&receiver.to_string(), next)));
        }
    }

    /// Whether the exporter running under `id` here is `next`.
    fn uses(&self, id: &Id, next: &Next) -> bool {
        self.exporters.get(id).is_some_and(|(mine, _)| Arc::ptr_eq(mine, next))
    }
}

fn receivers_in_use(plan: &Plan) -> impl Iterator<Item = (&Id, &Planned<dyn ReceiverConfig>)> {
    let pipelines = &plan.root.service.pipelines;
    let named: BTreeSet<&Id> =
        pipelines.iter().flat_map(|pipeline| &pipeline.receivers).map(|reference| &reference.id).collect();
    plan.receivers.iter().filter(move |(id, _)| named.contains(id))
}

/// Drains the pipelines that receivers feed, then those that processors feed, then the exporters that `ends` selects.
async fn drain(graph: &Graph, ends: impl Fn(&Id, &Next) -> bool) {
    let drained = tokio::time::timeout(DRAIN_DEADLINE, async {
        let (first, then): (Vec<_>, Vec<_>) = graph.pipelines.iter().partition(|pipeline| pipeline.fed_by_receivers);
        for pipeline in first.into_iter().chain(then) {
            for processor in &pipeline.processors {
                processor.drain().await;
            }
        }
        for (id, (next, _)) in &graph.exporters {
            if ends(id, next) {
                next.drain().await;
            }
        }
    });
    if drained.await.is_err() {
        tracing::error!(deadline = ?DRAIN_DEADLINE, "not everything could be handed on before the deadline");
    }
}

async fn stop_within(deadline: Duration, running: &dyn Running) {
    if tokio::time::timeout(deadline, running.stop()).await.is_err() {
        tracing::warn!(?deadline, "stopped without waiting for the requests still in hand");
    }
}
