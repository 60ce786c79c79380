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

use arc_swap::ArcSwapOption;

use super::{Boxed, Next};
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

    /// Forgets `name`.
    pub fn remove(&self, name: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

/// Where a receiver's batches go: for each signal, the consumer of the pipelines that take it from this receiver.
/// A reload exchanges the consumers behind a running receiver's back.
#[derive(Clone, Default)]
pub struct Outputs(Arc<[ArcSwapOption<Next>; 3]>);

impl Outputs {
    /// The consumer for `signal`, if any pipeline wants it.
    pub fn get(&self, signal: Signal) -> Option<Next> {
        self.0.get(signal as usize)?.load().as_deref().cloned()
    }

    /// Replaces the consumer for `signal`.
    pub fn set(&self, signal: Signal, next: Option<Next>) {
        if let Some(slot) = self.0.get(signal as usize) {
            slot.store(next.map(Arc::new));
        }
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

    /// Extensions that say who may come in: the path of the key that names each, and its id.
    fn authenticators(&self) -> Vec<(&'static str, &str)> {
        Vec::new()
    }
}

/// A processor's configuration.
pub trait ProcessorConfig: Send + Sync {
    /// A node that hands on to `next`. Called within a runtime, so it may spawn what its `drain` ends.
    fn build(&self, signal: Signal, next: Next, context: &Context) -> Result<Next, StartError>;

    /// For a processor that also produces logs of its own (`anomaly` listed as a receiver): where they go, if anywhere.
    fn attach(&self, _alerts: Option<Next>, _context: &Context) -> Result<(), StartError> {
        Ok(())
    }

    /// Extensions it stands on: the key that names each, and its id.
    fn extensions(&self) -> Vec<(&'static str, &str)> {
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
    /// Binds and starts, before any pipeline; may put things into `context.shared`.
    fn start<'a>(&'a self, context: &'a Context) -> Boxed<'a, Result<Box<dyn Running>, StartError>>;

    /// Whether it says who may come in (to receivers), or who we are (to exporters).
    fn authenticates(&self, _whom: Kind) -> bool {
        false
    }

    /// Another extension that also says who we are: the path of the key that names it, and its id.
    fn authenticator(&self) -> Option<(&'static str, &str)> {
        None
    }
}
