//! `load_balancing` exporter (also `loadbalancing`): the same key always to the same one of several gateways.
//!
//! ```yaml
//! load_balancing:
//!   routing_key: traceID        # traceID, service, resource, function
//!   protocol:
//!     otlp: {}                  # as otlp_grpc, without `endpoint`; each backend has its own queue and retries
//!   resolver:                   # one of
//!     static: { hostnames: [ "gateway-1:4317", "gateway-2:4317" ] }
//!     dns: { hostname: gateways.internal, port: 4317, interval: 5s, timeout: 1s }
//! ```
//!
//! The default key is `traceID`, and `service` for metrics, which have no trace. `function` is provider, account, region
//! and name, as the detector tells functions apart: behind this, each of several Sekisho sees all of its functions.
//!
//! Rendezvous hashing on the key: a backend more or less moves only its own share, and every gateway with the same list
//! makes the same choice. What a backend that is no longer listed has not taken goes to the others. One that gave up a
//! batch in spite of its retries gets nothing new for 30 s, and its batch is offered to another; only when none is left
//! is it lost, with an error and a count.

mod backend;
mod key;
mod resolver;

use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::task::{AbortHandle, JoinSet};

use self::{backend::Backend, key::RoutingKey, resolver::Resolver};
use super::otlp_grpc;
use crate::{
    config::{Check, Report},
    otlp::partition::partition,
    pipeline::{
        Batch, Boxed, Consumer, Next, Outcome,
        component::{Context, ExporterConfig, StartError},
    },
    telemetry::{Counter, Gauge},
};

/// When to come back while no backend is known yet.
const COME_BACK: Duration = Duration::from_secs(1);

/// The configuration; keys and defaults are the Collector's.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What must stay together.
    pub routing_key: Option<RoutingKey>,
    /// How to send.
    pub protocol: Protocol,
    /// Where to.
    pub resolver: Resolver,
}

/// `protocol`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Protocol {
    /// The only one there is.
    pub otlp: otlp_grpc::Config,
}

impl Check for Config {
    fn check(&self, report: &mut Report<'_>) {
        if report.is_set("protocol.otlp.endpoint") {
            report.error("protocol.otlp.endpoint", "is what the resolver finds").hint("remove it");
        }
        let backend = otlp_grpc::Config { endpoint: "backend:4317".to_owned(), ..self.protocol.otlp.clone() };
        report.within("protocol.otlp", &backend);
        report.within("resolver", &self.resolver);
        if self.resolver.dns.is_some() && self.protocol.otlp.sending_queue.storage.is_some() {
            report
                .warning(
                    "protocol.otlp.sending_queue.storage",
                    "is one queue for each address: what it holds waits on disk until the same address is back",
                )
                .hint("use it where gateways keep their addresses, as `static` ones do");
        }
    }
}

impl Config {
    fn router(&self, context: &Context) -> Arc<Router> {
        let labels = [("exporter", context.id.as_str())];
        let metrics = &context.metrics;
        Arc::new(Router {
            key: self.routing_key,
            otlp: self.protocol.otlp.clone(),
            context: context.clone(),
            backends: ArcSwap::default(),
            leaving: Mutex::default(),
            count: metrics.gauge("otelcol_loadbalancer_num_backends", "Backends that are listed.", &labels),
            updates: metrics.counter(
                "otelcol_loadbalancer_num_backend_updates",
                "How often the list of backends has changed.",
                &labels,
            ),
        })
    }
}

impl ExporterConfig for Config {
    fn build(&self, context: &Context) -> Result<Next, StartError> {
        let router = self.router(context);
        let resolving = match (&self.resolver.r#static, &self.resolver.dns) {
            (Some(listed), _) => {
                router.list(&listed.endpoints())?;
                None
            }
            (None, Some(dns)) => Some(tokio::spawn(dns.clone().watch(Arc::downgrade(&router))).abort_handle()),
            (None, None) => return Err(context.error("there is no resolver")),
        };
        Ok(Arc::new(Balancer { router, resolving }))
    }

    fn extensions(&self) -> Vec<(&'static str, &str)> {
        let storage = self.protocol.otlp.sending_queue.storage.as_deref();
        storage.map(|id| ("protocol::otlp::sending_queue::storage", id)).into_iter().collect()
    }

    fn authenticator(&self) -> Option<(&'static str, &str)> {
        let auth = self.protocol.otlp.auth.as_ref()?;
        Some(("protocol::otlp::auth::authenticator", auth.authenticator.as_str()))
    }
}

/// Finds the backend of each key.
struct Router {
    key: Option<RoutingKey>,
    otlp: otlp_grpc::Config,
    context: Context,
    /// By endpoint.
    backends: ArcSwap<Vec<Arc<Backend>>>,
    /// No longer listed, but with batches that others must take.
    leaving: Mutex<Vec<Arc<Backend>>>,
    count: Gauge,
    updates: Counter,
}

impl Router {
    /// Makes `endpoints` the backends from now on. On error those that were stay.
    fn list(self: &Arc<Self>, endpoints: &[String]) -> Result<(), StartError> {
        let old = self.backends.load_full();
        let mut new = Vec::new();
        for endpoint in endpoints {
            let known = old.iter().find(|backend| backend.endpoint == *endpoint);
            new.push(match known {
                Some(backend) => backend.clone(),
                None => Backend::new(endpoint, &self.otlp, Arc::downgrade(self), &self.context)?,
            });
        }
        let gone: Vec<_> = old.iter().filter(|backend| !endpoints.contains(&backend.endpoint)).cloned().collect();
        if gone.is_empty() && new.len() == old.len() {
            return Ok(());
        }
        tracing::info!(component = self.context.component, backends = new.len(), gone = gone.len(), "backends changed");
        self.updates.add(1);
        self.count.set(new.len() as f64);
        self.backends.store(Arc::new(new));
        for backend in gone {
            self.leaving().push(backend.clone());
            let router = Arc::downgrade(self);
            tokio::spawn(async move {
                backend.leave().await;
                if let Some(router) = router.upgrade() {
                    router.leaving().retain(|leaving| !Arc::ptr_eq(leaving, &backend));
                    router.context.metrics.forget(("exporter", &backend.id));
                }
            });
        }
        Ok(())
    }

    fn leaving(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Backend>>> {
        self.leaving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those that get something: all that have not just given up, or all if all have.
    fn candidates(&self) -> Vec<Arc<Backend>> {
        let (all, now) = (self.backends.load_full(), Instant::now());
        let up: Vec<_> = all.iter().filter(|backend| backend.is_up(now)).cloned().collect();
        if up.is_empty() { all.to_vec() } else { up }
    }

    async fn route(&self, batch: Batch) -> Outcome {
        let backends = self.candidates();
        let key = RoutingKey::of(self.key, batch.signal);
        let owner = |key: u64| backend::owner(&backends, key);
        match backends.as_slice() {
            [] => Outcome::Overloaded { after: COME_BACK },
            [only] => only.node.consume(batch).await,
            _ => {
                let parts = partition(
                    &batch,
                    backends.len(),
                    |group| key.of_resource(group, owner),
                    |record| owner(RoutingKey::of_record(batch.signal, record)),
                );
                let mut outcome = Outcome::Accepted;
                for (part, batch) in parts {
                    if let Some(backend) = backends.get(part) {
                        outcome = outcome.and(backend.node.consume(batch).await);
                    }
                }
                outcome
            }
        }
    }

    async fn drain(&self) {
        let mut draining = JoinSet::new();
        let backends = self.backends.load_full();
        let leaving = self.leaving().clone();
        for backend in leaving {
            draining.spawn(async move { backend.leave().await });
        }
        // What the leaving ones hold goes to the others, so these come after.
        while draining.join_next().await.is_some() {}
        for backend in backends.iter() {
            let backend = backend.clone();
            draining.spawn(async move { backend.close().await });
        }
        while draining.join_next().await.is_some() {}
    }
}

/// The exporter.
struct Balancer {
    router: Arc<Router>,
    resolving: Option<AbortHandle>,
}

impl Consumer for Balancer {
    fn consume(&self, batch: Batch) -> Boxed<'_, Outcome> {
        Box::pin(self.router.route(batch))
    }

    fn drain(&self) -> Boxed<'_, ()> {
        if let Some(resolving) = &self.resolving {
            resolving.abort();
        }
        Box::pin(self.router.drain())
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        if let Some(resolving) = &self.resolving {
            resolving.abort();
        }
    }
}

/// Backends hold only this: the router holds them.
type RouterRef = Weak<Router>;

#[cfg(test)]
mod tests;
