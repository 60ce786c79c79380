//! From one plan to another while everything runs.
//!
//! What is new or changed is built and started beside what runs: first extensions, then the nodes of the graph, then
//! receivers, which take over the sockets of their predecessors. When nothing can fail any more, everything is pointed
//! at the new graph. Only then does what is gone stop, in the background: receivers finish the requests in hand, nodes
//! drain into what they led to. What has not changed is not touched. If anything fails, what was started is retired,
//! and the old plan runs on.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    DRAIN_DEADLINE, RunningExtension, RunningReceiver, STOP_DEADLINE, Service,
    graph::{Graph, Refused, named},
    publish_health, start_receiver, stop_within,
};
use crate::{
    config::{Kind, Reference},
    pipeline::{
        component::{Id, StartError},
        health::State,
    },
    registry::Plan,
};

/// What a reload took out, on its way to its end.
#[derive(Default)]
struct Retired {
    receivers: Vec<RunningReceiver>,
    graph: Graph,
    extensions: Vec<RunningExtension>,
}

impl Retired {
    /// Stops and drains everything; `plan` is what it ran under.
    async fn retire(self, plan: &Plan) {
        for receiver in self.receivers {
            stop_within(STOP_DEADLINE, receiver.running.as_ref()).await;
            receiver.outputs.connect(Vec::new());
        }
        if tokio::time::timeout(DRAIN_DEADLINE, self.graph.retire(plan)).await.is_err() {
            tracing::error!(deadline = ?DRAIN_DEADLINE, "what a reload took out could not hand on everything it held");
        }
        for extension in self.extensions.into_iter().rev() {
            stop_within(STOP_DEADLINE, extension.running.as_ref()).await;
        }
    }
}

/// Started for a reload that is not final yet.
#[derive(Default)]
struct Started {
    graph: Graph,
    receivers: BTreeMap<Id, RunningReceiver>,
    /// Had to make room before their successors could start.
    displaced: Vec<(Id, RunningReceiver)>,
}

impl Service {
    /// Exchanges the running configuration for `plan`. On error everything runs on as before.
    pub async fn reload(&mut self, plan: Plan) -> Result<(), StartError> {
        self.check_fixed(&plan)?;
        let renewed = self.exchange_extensions(&plan).await?;
        let stale: Vec<Id> = self.stale_receivers(&plan, &renewed.ids());
        let names: Vec<String> = stale.iter().map(|id| named((Kind::Receiver, id))).collect();
        let before = self.site.sockets().release(&names);
        let mut started = Started::default();
        match self.start_beside(&plan, &renewed.ids(), &stale, &mut started).await {
            Ok(()) => {
                self.site.sockets().settle();
                self.commit(plan, started, &stale, renewed);
                Ok(())
            }
            Err(error) => {
                let graph = self.graph.revert(started.graph, &self.plan, &self.site);
                let receivers = started.receivers.into_values().collect();
                Retired { receivers, graph, extensions: Vec::new() }.retire(&plan).await;
                self.site.sockets().restore(before);
                self.restore_extensions(renewed).await;
                self.restore_receivers(started.displaced).await;
                Err(error)
            }
        }
    }

    /// Builds nodes and starts receivers that `plan` has and that do not run as it wants them.
    async fn start_beside(
        &mut self,
        plan: &Plan,
        renewed: &BTreeSet<String>,
        stale: &[Id],
        started: &mut Started,
    ) -> Result<(), StartError> {
        match self.graph.build(plan, renewed, &self.site) {
            Ok(graph) => started.graph = graph,
            Err(Refused { error, built }) => {
                started.graph = built;
                return Err(error);
            }
        }
        for (id, planned) in super::receivers_in_use(plan) {
            if self.receivers.contains_key(id) && !stale.contains(id) {
                continue;
            }
            let routes = self.graph.routes_beside(&started.graph, plan, id, Kind::Receiver);
            let receiver = match start_receiver(id, planned, routes.clone(), &self.site).await {
                Err(_) if self.displace(stale, started).await => {
                    start_receiver(id, planned, routes, &self.site).await?
                }
                result => result?,
            };
            started.receivers.insert(id.clone(), receiver);
        }
        Ok(())
    }

    /// Stops receivers that are to go anyway: an address that overlaps theirs (all of them instead of one) is free only
    /// then. False if there are none.
    async fn displace(&mut self, stale: &[Id], started: &mut Started) -> bool {
        let before = started.displaced.len();
        for id in stale {
            if let Some(receiver) = self.receivers.remove(id) {
                stop_within(STOP_DEADLINE, receiver.running.as_ref()).await;
                started.displaced.push((id.clone(), receiver));
            }
        }
        started.displaced.len() > before
    }

    /// Starts again what made room for nothing.
    async fn restore_receivers(&mut self, displaced: Vec<(Id, RunningReceiver)>) {
        for (id, stopped) in displaced {
            drop(stopped);
            let Some(planned) = self.plan.receivers.get(&id) else { continue };
            let routes = self.graph.routes(&self.plan, &id, Kind::Receiver);
            match start_receiver(&id, planned, routes, &self.site).await {
                Ok(receiver) => {
                    self.receivers.insert(id, receiver);
                }
                Err(error) => {
                    tracing::error!(%error, "does not come back after a reload that failed");
                    self.site.health.failed(&error.component, error.reason);
                }
            }
        }
    }

    /// Nothing here can fail.
    fn commit(&mut self, plan: Plan, started: Started, stale: &[Id], renewed: Renewed) {
        for name in started.graph.components() {
            self.site.health.replaced(&name);
        }
        let gone = self.graph.adopt(started.graph, &plan);
        let mut gone_receivers: Vec<_> = stale.iter().filter_map(|id| self.receivers.remove(id)).collect();
        gone_receivers.extend(started.displaced.into_iter().map(|(_, receiver)| receiver));
        self.receivers.extend(started.receivers);
        for (id, receiver) in &self.receivers {
            receiver.outputs.connect(self.graph.routes(&plan, id, Kind::Receiver));
        }
        self.caller.connect(super::fed_by_receivers(&self.graph, &plan));
        for id in self.plan.processors.keys().filter(|id| !plan.processors.contains_key(id)) {
            self.site.shared.remove(&named((Kind::Processor, id)));
        }
        if self.plan.root.service.telemetry != plan.root.service.telemetry {
            tracing::warn!("service::telemetry has changed: that takes effect with a restart");
        }
        let old = std::mem::replace(&mut self.plan, plan);
        publish_health(&self.site.health, &self.plan, &State::Ready);
        let retired = Retired { receivers: gone_receivers, graph: gone, extensions: renewed.gone };
        self.retiring.spawn(async move { retired.retire(&old).await });
    }

    /// Receivers that `plan` does not have, or not as they are.
    fn stale_receivers(&self, plan: &Plan, renewed: &BTreeSet<String>) -> Vec<Id> {
        let wanted: BTreeMap<&Id, _> = super::receivers_in_use(plan).collect();
        let is_stale = |id: &Id, receiver: &RunningReceiver| {
            wanted.get(id).is_none_or(|planned| planned.node != receiver.node) || plan.uses(Kind::Receiver, id, renewed)
        };
        self.receivers.iter().filter(|(id, receiver)| is_stale(id, receiver)).map(|(id, _)| id.clone()).collect()
    }

    /// Some extensions keep what others stand on: they live as long as the process.
    fn check_fixed(&self, plan: &Plan) -> Result<(), StartError> {
        for extension in &self.extensions {
            let id = &extension.id;
            let fixed = self.plan.extensions.get(id).is_some_and(|planned| !planned.config.reloads());
            if fixed && !wants(plan, extension) {
                let reason =
                    "cannot be changed by a reload, because it keeps what others stand on; restart the gateway";
                return Err(StartError { component: named((Kind::Extension, id)), reason: reason.to_owned() });
            }
        }
        Ok(())
    }

    /// Extensions that `plan` does not have as they are, and those that use one of these.
    fn stale_extensions(&self, plan: &Plan) -> BTreeSet<String> {
        let mut stale = BTreeSet::new();
        loop {
            let before = stale.len();
            for extension in &self.extensions {
                if !wants(plan, extension) || plan.uses(Kind::Extension, &extension.id, &stale) {
                    stale.insert(extension.id.to_string());
                }
            }
            if stale.len() == before {
                return stale;
            }
        }
    }

    /// Stops changed extensions, starts changed and new ones. What `plan` does not have runs on until the end.
    async fn exchange_extensions(&mut self, plan: &Plan) -> Result<Renewed, StartError> {
        let mut renewed = Renewed::default();
        let stale = self.stale_extensions(plan);
        let (stale, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.extensions)
            .into_iter()
            .partition(|extension| stale.contains(&extension.id.to_string()));
        self.extensions = kept;
        for extension in stale {
            if plan.extensions.contains_key(&extension.id) && listed(plan, &extension.id) {
                stop_within(STOP_DEADLINE, extension.running.as_ref()).await;
                renewed.stopped.push(extension.id);
            } else {
                renewed.gone.push(extension);
            }
        }
        for Reference { id, .. } in &plan.root.service.extensions {
            if self.extensions.iter().any(|extension| extension.id == *id) {
                continue;
            }
            self.site.health.replaced(&named((Kind::Extension, id)));
            match super::start_extension(plan, id, &self.site).await {
                Ok(Some(extension)) => {
                    self.extensions.push(extension);
                    renewed.started.push(id.clone());
                }
                Ok(None) => {}
                Err(error) => {
                    self.restore_extensions(renewed).await;
                    return Err(error);
                }
            }
        }
        Ok(renewed)
    }

    /// Back to the extensions of the plan that runs.
    async fn restore_extensions(&mut self, renewed: Renewed) {
        for id in &renewed.started {
            if let Some(index) = self.extensions.iter().position(|extension| extension.id == *id) {
                stop_within(STOP_DEADLINE, self.extensions.remove(index).running.as_ref()).await;
            }
        }
        for id in &renewed.stopped {
            match super::start_extension(&self.plan, id, &self.site).await {
                Ok(extension) => self.extensions.extend(extension),
                Err(error) => {
                    tracing::error!(%error, "does not come back after a reload that failed");
                    self.site.health.failed(&error.component, error.reason);
                }
            }
        }
        self.extensions.extend(renewed.gone);
    }
}

/// What became of the extensions so far.
#[derive(Default)]
struct Renewed {
    started: Vec<Id>,
    /// Changed: stopped, and started anew under the same id.
    stopped: Vec<Id>,
    /// Not in the new plan; still running.
    gone: Vec<RunningExtension>,
}

impl Renewed {
    /// Extensions that are not what they were.
    fn ids(&self) -> BTreeSet<String> {
        self.started.iter().map(ToString::to_string).collect()
    }
}

fn listed(plan: &Plan, id: &Id) -> bool {
    plan.root.service.extensions.iter().any(|reference| reference.id == *id)
}

/// Whether `plan` has the extension as it runs.
fn wants(plan: &Plan, running: &RunningExtension) -> bool {
    listed(plan, &running.id) && plan.node(Kind::Extension, &running.id) == Some(&running.node)
}
