//! What a component is: a configuration that builds a running thing.
//!
//! Each component file has a `Config` (serde, every default in one `Default`), which implements one of the four traits
//! here; the registry maps its type name to it.

use std::{
    any::Any,
    collections::HashMap,
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;

use super::{
    Batch, Boxed, Next, Outcome,
    fan_out::FanOut,
    flow,
    health::Health,
    socket::Socket,
    sockets::{Place, Sockets},
    watch,
};
use crate::{config::Kind, otlp::Signal, telemetry::Metrics};

/// `type` or `type/name`, as in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id {
    /// The component type as the user wrote it (may be an alias).
    pub kind: String,
    /// What follows the slash; empty if none.
    pub name: String,
}

impl Id {
    /// Parses `type[/name]`; `None` when either part would be empty.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, name) = match text.split_once('/') {
            Some((_, "")) => return None,
            Some((kind, name)) => (kind.trim(), name.trim()),
            None => (text.trim(), ""),
        };
        (!kind.is_empty()).then(|| Self { kind: kind.to_owned(), name: name.to_owned() })
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.is_empty() { f.write_str(&self.kind) } else { write!(f, "{}/{}", self.kind, self.name) }
    }
}

/// Why a valid configuration could not be brought to life: a port in use, a file that cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("{component}: {reason}")]
pub struct StartError {
    /// Kind and id, such as `exporter file/alerts`.
    pub component: String,
    /// What, where, and what to do.
    pub reason: String,
}

/// What every component may use while it is built.
#[derive(Clone, Debug)]
pub struct Context {
    /// Kind and id of the component being built, such as `exporter file/alerts`; for logs and errors.
    pub component: String,
    /// Its id as text, for metric labels.
    pub id: String,
    /// The process's own metrics.
    pub metrics: Metrics,
    /// Things components share by name: stores from extensions, the one detector behind an `anomaly` id.
    pub shared: Shared,
    /// Where relative paths start; the working directory unless embedded.
    pub base: PathBuf,
}

impl Context {
    /// A [`StartError`] that names this component.
    pub fn error(&self, reason: impl Into<String>) -> StartError {
        StartError { component: self.component.clone(), reason: reason.into() }
    }

    /// `task`, watched: if it panics or ends with a reason, this component has failed, and health says so.
    pub fn watch<T: Future<Output = Result<(), String>>>(&self, task: T) -> impl Future<Output = ()> + use<T> {
        watch::watched(self.component.clone(), self.health(), task)
    }

    /// Where components say how they are.
    pub fn health(&self) -> Arc<Health> {
        self.shared.get_or_default(Health::NAME)
    }

    /// Binds `place`, or takes over the socket of a predecessor; `purpose` tells several of one component apart.
    pub async fn listen(&self, purpose: &str, place: Place<'_>) -> std::io::Result<Socket> {
        self.shared.get_or_default::<Sockets>(Sockets::NAME).listen(&self.component, purpose, place).await
    }
}

type Anything = Arc<dyn Any + Send + Sync>;

/// Named things shared between components of one running service; survives a reload.
#[derive(Clone, Default)]
pub struct Shared(Arc<Mutex<HashMap<String, Anything>>>);

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}

impl Shared {
    /// The `T` under `name`.
    pub fn get<T: Send + Sync + 'static>(&self, name: &str) -> Option<Arc<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name)?.clone().downcast().ok()
    }

    /// Puts `value` under `name`, replacing what was there.
    pub fn put<T: Send + Sync + 'static>(&self, name: &str, value: Arc<T>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), value);
    }

    /// The `T` under `name`, put there if there is none.
    pub fn get_or_default<T: Default + Send + Sync + 'static>(&self, name: &str) -> Arc<T> {
        self.get(name).unwrap_or_else(|| {
            let fresh = Arc::<T>::default();
            self.put(name, fresh.clone());
            fresh
        })
    }

    /// Forgets `name`.
    pub fn remove(&self, name: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

/// Where the batches of a receiver, of a connector, or of a processor that produces its own go: the pipelines that list
/// it as a receiver. A reload exchanges them behind its back.
#[derive(Clone, Default)]
pub struct Outputs {
    routes: Arc<ArcSwap<Routes>>,
    /// The receiver whose they are: what it brings is followed from here on.
    receiver: Option<Arc<str>>,
}

#[derive(Default)]
struct Routes {
    by_signal: [Option<Next>; 3],
    by_pipeline: Vec<Route>,
}

/// One pipeline an [`Outputs`] leads to.
#[derive(Clone)]
pub struct Route {
    /// What flows in it.
    pub signal: Signal,
    /// Its name, such as `traces/slow`.
    pub pipeline: String,
    /// Its first node.
    pub head: Next,
}

impl Outputs {
    /// Those of the receiver `id`.
    pub fn of_receiver(id: &str) -> Self {
        Self { receiver: Some(id.into()), ..Self::default() }
    }

    /// The consumer of all pipelines of `signal`, if there is one.
    pub fn get(&self, signal: Signal) -> Option<Next> {
        self.routes.load().by_signal.get(signal as usize)?.clone()
    }

    /// The first node of the pipeline of this name, if it is one of these.
    pub fn pipeline(&self, name: &str) -> Option<Next> {
        let routes = self.routes.load();
        routes.by_pipeline.iter().find(|route| route.pipeline == name).map(|route| route.head.clone())
    }

    /// Hands `batch` to all pipelines of its signal.
    pub async fn hand_on(&self, batch: Batch) -> Outcome {
        match self.get(batch.signal) {
            Some(next) => next.consume(batch).await,
            None => Outcome::Retryable { after: None, reason: format!("no pipeline takes {}", batch.signal.name()) },
        }
    }

    /// Leads to `routes` from the next batch on, and nowhere else.
    pub fn connect(&self, routes: Vec<Route>) {
        let of = |signal| routes.iter().filter(move |route| route.signal == signal).map(|route| route.head.clone());
        let by_signal = Signal::ALL.map(|signal| {
            let next = FanOut::over(of(signal).collect())?;
            Some(self.receiver.as_ref().map_or_else(|| next.clone(), |id| flow::receiver(id, next.clone())))
        });
        self.routes.store(Arc::new(Routes { by_signal, by_pipeline: routes }));
    }
}

/// Something started that must be stopped: a listener, a server, a timer.
pub trait Running: Send + Sync {
    /// Stops taking new work and returns when the work in hand is done; the caller bounds the wait.
    fn stop(&self) -> Boxed<'_, ()>;
}

/// A receiver's configuration.
pub trait ReceiverConfig: Send + Sync {
    /// Binds and starts; on return the receiver is listening.
    fn start<'a>(&'a self, outputs: Outputs, context: &'a Context) -> Boxed<'a, Result<Box<dyn Running>, StartError>>;

    /// Extensions it stands on: the key that names each, and its id.
    fn extensions(&self) -> Vec<(&'static str, &str)> {
        Vec::new()
    }

    /// Extensions that say who may come in: the path of the key that names each, and its id.
    fn authenticators(&self) -> Vec<(&'static str, &str)> {
        Vec::new()
    }
}

/// A processor's configuration.
pub trait ProcessorConfig: Send + Sync {
    /// A node that hands on to `next`. Called within a runtime, so it may spawn what its `drain` ends.
    fn build(&self, signal: Signal, next: Next, context: &Context) -> Result<Next, StartError>;

    /// For a processor that also produces batches of its own (`anomaly` listed as a receiver): its source, one for all
    /// its nodes, which leads to `outputs`. Stopped after all its nodes, before what it leads to; not stopped when a
    /// reload only changes its configuration.
    fn source(&self, _outputs: Outputs, _context: &Context) -> Result<Option<Box<dyn Running>>, StartError> {
        Ok(None)
    }

    /// Extensions it stands on: the key that names each, and its id.
    fn extensions(&self) -> Vec<(&'static str, &str)> {
        Vec::new()
    }
}

/// A connector's configuration: the end of some pipelines and the beginning of others.
pub trait ConnectorConfig: Send + Sync {
    /// The end of a pipeline; one instance serves every pipeline that names the id as an exporter, and leads to those
    /// that name it as a receiver.
    fn build(&self, outputs: Outputs, context: &Context) -> Result<Next, StartError>;

    /// Pipelines it names itself, with the key that names each, such as `default_pipelines.0`.
    fn pipelines(&self) -> Vec<(String, &str)> {
        Vec::new()
    }
}

/// An exporter's configuration.
pub trait ExporterConfig: Send + Sync {
    /// The end of a pipeline; one instance serves every pipeline that names the id.
    fn build(&self, context: &Context) -> Result<Next, StartError>;

    /// Extensions it stands on: the path to the key that names each, and its id.
    fn extensions(&self) -> Vec<(&'static str, &str)> {
        Vec::new()
    }

    /// The extension that says who we are: the path of the key that names it, and its id.
    fn authenticator(&self) -> Option<(&'static str, &str)> {
        None
    }
}

/// An extension's configuration.
pub trait ExtensionConfig: Send + Sync {
    /// Whether a reload may stop it and start it anew. One that keeps what others stand on, such as a store, says no: a
    /// change to it takes a restart.
    fn reloads(&self) -> bool {
        true
    }

    /// Binds and starts, before any pipeline; may put things into `context.shared`.
    fn start<'a>(&'a self, context: &'a Context) -> Boxed<'a, Result<Box<dyn Running>, StartError>>;

    /// Whether it says who may come in (to receivers), or who we are (to exporters).
    fn authenticates(&self, _whom: Kind) -> bool {
        false
    }

    /// Whether what it says of us depends on what senders said of themselves.
    fn asks_senders(&self) -> bool {
        false
    }

    /// Extensions that say who may come in, for one that listens: the path of the key that names each, and its id.
    fn authenticators(&self) -> Vec<(&'static str, &str)> {
        Vec::new()
    }

    /// Another extension that also says who we are: the path of the key that names it, and its id.
    fn authenticator(&self) -> Option<(&'static str, &str)> {
        None
    }
}
