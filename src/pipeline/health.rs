//! How each pipeline is: written by the service and by components in trouble, read by `health_check`.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

/// How a pipeline is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Being built; takes nothing yet.
    Starting,
    /// Takes and delivers.
    Ready,
    /// Takes, but something is wrong, in words.
    Degraded(String),
    /// Hands on what it holds; takes nothing new.
    Stopping,
}

impl State {
    /// `starting`, `ready`, `degraded` or `stopping`.
    pub const fn name(&self) -> &'static str {
        match self {
            State::Starting => "starting",
            State::Ready => "ready",
            State::Degraded(_) => "degraded",
            State::Stopping => "stopping",
        }
    }
}

/// How every pipeline is, by its id.
#[derive(Debug, Default)]
pub struct Health(Mutex<BTreeMap<String, State>>);

impl Health {
    /// Its name in [`Shared`](super::component::Shared).
    pub const NAME: &'static str = "pipeline::health";

    /// Says how `pipeline` is now.
    pub fn set(&self, pipeline: &str, state: State) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(pipeline.to_owned(), state);
    }

    /// Forgets all pipelines.
    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// How every pipeline is now.
    pub fn states(&self) -> BTreeMap<String, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
