//! What stands between receivers and the outside, running: processors, sources of processors, connectors, exporters.
//!
//! Every node stands behind an entrance and hands on through a joint that can be pointed elsewhere, so that a reload
//! exchanges some and leaves the others at work. A node that goes is first unreachable, then unused, then drained into
//! what it led to, in the order batches meet the nodes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::task::JoinSet;

use super::Site;
use crate::{
    config::{Kind, Node, Pipeline, PipelineId, Reference},
    pipeline::{
        Next,
        component::{Id, Outputs, Route, Running, StartError},
        fan_out::FanOut,
        flow,
        link::{Link, Unused, entrance},
    },
    registry::Plan,
};

/// How long batches under way may keep a node that nobody else hands to any more.
const LAST_BATCH_DEADLINE: Duration = Duration::from_secs(5);

/// Which node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// A processor of one pipeline.
    Processor(PipelineId, Id),
    /// What all nodes of one processor share, if it produces batches of its own.
    Source(Id),
    /// A connector.
    Connector(Id),
    /// An exporter.
    Exporter(Id),
}

impl Key {
    fn component(&self) -> (Kind, &Id) {
        match self {
            Self::Processor(_, id) | Self::Source(id) => (Kind::Processor, id),
            Self::Connector(id) => (Kind::Connector, id),
            Self::Exporter(id) => (Kind::Exporter, id),
        }
    }
}

/// A node at work.
pub struct Stage {
    /// What it was built from.
    node: Node,
    works: Works,
    joint: Joint,
}

enum Works {
    /// Takes batches through its entrance.
    Node { node: Next, entrance: Next, unused: Unused },
    /// Takes none.
    Source(Box<dyn Running>),
}

/// Where a node hands on to.
enum Joint {
    Link(Arc<Link>),
    Outputs(Outputs),
    End,
}

impl Stage {
    fn over(node: Node, next: Next, joint: Joint) -> Self {
        let (entrance, unused) = entrance(next.clone());
        Self { node, works: Works::Node { node: next, entrance, unused }, joint }
    }

    const fn entrance(&self) -> Option<&Next> {
        match &self.works {
            Works::Node { entrance, .. } => Some(entrance),
            Works::Source(_) => None,
        }
    }

    const fn outputs(&self) -> Option<&Outputs> {
        match &self.joint {
            Joint::Outputs(outputs) => Some(outputs),
            Joint::Link(_) | Joint::End => None,
        }
    }

    /// Waits until it is unused, then drains it.
    async fn retire(self) {
        match self.works {
            Works::Node { node, entrance, mut unused } => {
                drop(entrance);
                // Those that still wait for an answer after that hear none: they know that it was not taken.
                let _ = tokio::time::timeout(LAST_BATCH_DEADLINE, unused.wait()).await;
                node.drain().await;
            }
            Works::Source(source) => source.stop().await,
        }
        // Whoever may still hold the node: it leads nowhere any more.
        match self.joint {
            Joint::Link(link) => link.point_at(None),
            Joint::Outputs(outputs) => outputs.connect(Vec::new()),
            Joint::End => {}
        }
    }
}

/// Why a graph could not be built, and what had been built until then.
pub struct Refused {
    pub error: StartError,
    pub built: Graph,
}

/// Nodes by key.
#[derive(Default)]
pub struct Graph(BTreeMap<Key, Stage>);

impl Graph {
    /// The nodes that `plan` needs and that do not run here as it wants them, connected to each other and to those
    /// that do. `renewed` are the extensions that are not what they were.
    pub fn build(&self, plan: &Plan, renewed: &BTreeSet<String>, site: &Site) -> Result<Self, Refused> {
        let mut added = Self::default();
        for key in wanted(plan) {
            let Some(node) = node_of(plan, &key) else { continue };
            let running = self.0.get(&key);
            if running.is_some_and(|stage| stage.node == *node)
                && !plan.uses(key.component().0, key.component().1, renewed)
            {
                continue;
            }
            match build(plan, &key, running, site) {
                Ok(Some(stage)) => {
                    added.0.insert(key, stage);
                }
                Ok(None) => {}
                Err(error) => return Err(Refused { error, built: added }),
            }
        }
        for key in added.0.keys().filter(|key| !self.is_kept_source(key)) {
            connect(plan, key, &|key| added.0.get(key).or_else(|| self.0.get(key)));
        }
        Ok(added)
    }

    /// A source keeps working over a change of its configuration; what it leads to stays until the change is final.
    fn is_kept_source(&self, key: &Key) -> bool {
        matches!(key, Key::Source(_)) && self.0.contains_key(key)
    }

    /// Undoes a [`build`](Self::build): sources go back to what `plan`, the old one, says. Returns what is to be
    /// retired.
    pub fn revert(&self, mut added: Self, plan: &Plan, site: &Site) -> Self {
        added.0.retain(|key, _| !self.is_kept_source(key));
        for (key, stage) in &self.0 {
            let Key::Source(id) = key else { continue };
            let (Some(planned), Some(outputs)) = (plan.processors.get(id), stage.outputs()) else { continue };
            if let Err(error) = planned.config.source(outputs.clone(), &site.context(Kind::Processor, id)) {
                tracing::error!(%error, "does not go back to its old configuration");
            }
        }
        added
    }

    /// Makes `added` part of this, so that it is what `plan` wants; returns what is not wanted any more.
    pub fn adopt(&mut self, added: Self, plan: &Plan) -> Self {
        let wanted: BTreeSet<Key> = wanted(plan).into_iter().collect();
        let mut gone = Self::default();
        let unwanted: Vec<Key> =
            self.0.keys().filter(|key| !wanted.contains(key) || added.0.contains_key(key)).cloned().collect();
        for key in unwanted {
            let Some(stage) = self.0.remove(&key) else { continue };
            // A source whose configuration alone has changed is still the same source.
            if !matches!(key, Key::Source(_)) || !wanted.contains(&key) {
                gone.0.insert(key, stage);
            }
        }
        self.0.extend(added.0);
        for key in self.0.keys() {
            connect(plan, key, &|key| self.0.get(key));
        }
        gone
    }

    /// Where the batches of `from` go.
    pub fn routes(&self, plan: &Plan, from: &Id, kind: Kind) -> Vec<Route> {
        self.routes_beside(&Self::default(), plan, from, kind)
    }

    /// The same, where `added` is about to become part of this.
    pub fn routes_beside(&self, added: &Self, plan: &Plan, from: &Id, kind: Kind) -> Vec<Route> {
        routes(plan, from, kind, &|key| added.0.get(key).or_else(|| self.0.get(key)))
    }

    /// Every component here, as health knows them.
    pub fn components(&self) -> BTreeSet<String> {
        self.0.keys().map(|key| named(key.component())).collect()
    }

    /// Drains everything, in the order in which `plan` leads through it; the ends all at once, so that one that is stuck
    /// costs the others no time.
    pub async fn retire(mut self, plan: &Plan) {
        let mut ends = JoinSet::new();
        for key in wanted(plan) {
            let Some(stage) = self.0.remove(&key) else { continue };
            if matches!(key, Key::Exporter(_)) {
                ends.spawn(stage.retire());
            } else {
                stage.retire().await;
            }
        }
        while ends.join_next().await.is_some() {}
    }
}

/// As [`Context::component`](crate::pipeline::component::Context) names it.
pub fn named((kind, id): (Kind, &Id)) -> String {
    format!("{} {id}", kind.name())
}

/// Every component of a pipeline, as health knows them.
pub fn parts(pipeline: &Pipeline) -> Vec<String> {
    let parts = pipeline.receivers.iter().chain(&pipeline.processors).chain(&pipeline.exporters);
    parts.map(|part| named((part.kind, &part.id))).collect()
}

/// The nodes of `plan`, in the order batches meet them.
fn wanted(plan: &Plan) -> Vec<Key> {
    let (mut keys, mut ends) = (Vec::new(), Vec::new());
    let service = &plan.root.service;
    let between = |reference: &Reference| match reference.kind {
        Kind::Connector => Some(Key::Connector(reference.id.clone())),
        Kind::Processor => Some(Key::Source(reference.id.clone())),
        Kind::Receiver | Kind::Exporter | Kind::Extension => None,
    };
    for pipeline in service.in_order().unwrap_or_default() {
        keys.extend(pipeline.receivers.iter().filter_map(between));
        for processor in &pipeline.processors {
            keys.push(Key::Processor(pipeline.id.clone(), processor.id.clone()));
            // One that nobody listens to has its end all the same.
            ends.push(Key::Source(processor.id.clone()));
        }
        ends.extend(
            pipeline.exporters.iter().filter(|end| end.kind == Kind::Exporter).map(|end| Key::Exporter(end.id.clone())),
        );
    }
    let is_source = |key: &Key| matches!(key, Key::Source(_));
    let (sources, exporters): (Vec<Key>, Vec<Key>) = ends.into_iter().partition(is_source);
    let mut seen = BTreeSet::new();
    keys.into_iter().chain(sources).chain(exporters).filter(|key| seen.insert(key.clone())).collect()
}

/// What a node is built from.
fn node_of<'a>(plan: &'a Plan, key: &Key) -> Option<&'a Node> {
    let (kind, id) = key.component();
    plan.node(kind, id)
}

/// Builds one node; `None` for the source of a processor that has none.
fn build(plan: &Plan, key: &Key, running: Option<&Stage>, site: &Site) -> Result<Option<Stage>, StartError> {
    let (kind, id) = key.component();
    let context = site.context(kind, id);
    let Some(node) = plan.node(kind, id).cloned() else { return Ok(None) };
    Ok(match key {
        Key::Processor(pipeline, id) => {
            let Some(planned) = plan.processors.get(id) else { return Ok(None) };
            let link = Arc::new(Link::default());
            let next = flow::processor(pipeline.signal, link.clone(), &context, |next| {
                planned.config.build(pipeline.signal, next, &context)
            })?;
            Some(Stage::over(node, next, Joint::Link(link)))
        }
        Key::Source(id) => {
            let Some(planned) = plan.processors.get(id) else { return Ok(None) };
            let outputs = running.and_then(Stage::outputs).cloned().unwrap_or_default();
            let source = planned.config.source(outputs.clone(), &context)?;
            source.map(|source| Stage { node, works: Works::Source(source), joint: Joint::Outputs(outputs) })
        }
        Key::Connector(id) => {
            let Some(planned) = plan.connectors.get(id) else { return Ok(None) };
            let outputs = Outputs::default();
            let next = planned.config.build(outputs.clone(), &context)?;
            Some(Stage::over(node, next, Joint::Outputs(outputs)))
        }
        Key::Exporter(id) => {
            let Some(planned) = plan.exporters.get(id) else { return Ok(None) };
            Some(Stage::over(node, planned.config.build(&context)?, Joint::End))
        }
    })
}

/// Finds a running node.
type Find<'a> = &'a dyn Fn(&Key) -> Option<&'a Stage>;

/// Points what node `key` hands on to at what `plan` says.
fn connect(plan: &Plan, key: &Key, find: Find<'_>) {
    let Some(stage) = find(key) else { return };
    match (&stage.joint, key) {
        (Joint::Link(link), Key::Processor(id, processor)) => {
            let pipeline = plan.root.service.pipelines.iter().find(|pipeline| pipeline.id == *id);
            let after = pipeline.and_then(|pipeline| {
                let position = pipeline.processors.iter().position(|one| one.id == *processor)?;
                from(pipeline, position + 1, find)
            });
            link.point_at(after);
        }
        (Joint::Outputs(outputs), _) => {
            let (kind, id) = key.component();
            outputs.connect(routes(plan, id, kind, find));
        }
        (Joint::Link(_) | Joint::End, _) => {}
    }
}

/// The pipelines that list the component as a receiver.
fn routes(plan: &Plan, id: &Id, kind: Kind, find: Find<'_>) -> Vec<Route> {
    let lists_it = |pipeline: &&Pipeline| pipeline.receivers.iter().any(|from| from.kind == kind && from.id == *id);
    let pipelines = plan.root.service.pipelines.iter().filter(lists_it);
    pipelines
        .filter_map(|pipeline| {
            let (signal, pipeline_name) = (pipeline.id.signal, pipeline.id.to_string());
            Some(Route { signal, pipeline: pipeline_name, head: from(pipeline, 0, find)? })
        })
        .collect()
}

/// The way into `pipeline` at its processor `position`, or to its ends if there are no more processors.
fn from(pipeline: &Pipeline, position: usize, find: Find<'_>) -> Option<Next> {
    let way_into = |key: &Key| find(key)?.entrance().cloned();
    if let Some(processor) = pipeline.processors.get(position) {
        return way_into(&Key::Processor(pipeline.id.clone(), processor.id.clone()));
    }
    let end = |end: &Reference| match end.kind {
        Kind::Connector => way_into(&Key::Connector(end.id.clone())),
        _ => way_into(&Key::Exporter(end.id.clone())),
    };
    FanOut::over(pipeline.exporters.iter().filter_map(end).collect())
}
