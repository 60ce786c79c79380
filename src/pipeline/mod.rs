//! How batches flow: consumers in a graph, outcomes coming back. Knows no component and no detector.

pub mod component;
pub mod connections;
pub mod fan_out;
pub mod flow;
pub mod health;
pub mod lifetime;
pub mod link;
pub mod listener;
pub mod metadata;
pub mod outcome;
pub mod pings;
#[cfg(test)]
pub mod probe;
pub mod queue;
pub mod retry;
pub mod socket;
pub mod sockets;
pub mod watch;

use std::{future::Future, pin::Pin, sync::Arc};

pub use crate::otlp::Batch;
pub use outcome::Outcome;

/// A boxed future; one allocation a batch, never one an item.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Anything that takes batches: a processor, an exporter, a fan-out, the whole pipeline.
pub trait Consumer: Send + Sync {
    /// Takes the batch to its last safe point (delivered, enqueued, or committed) and says how that went.
    fn consume(&self, batch: Batch) -> Boxed<'_, Outcome>;

    /// What memory allows before this pipeline would refuse; `None` if it would not for memory's sake.
    ///
    /// Asked before a body is read: what would be refused afterwards need not be read at all.
    fn headroom(&self) -> Option<Headroom> {
        None
    }

    /// Hands on everything still held, within the caller's deadline. Called once, after the last `consume`,
    /// upstream nodes first.
    fn drain(&self) -> Boxed<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// What the memory of the process allowed at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headroom {
    /// Bytes that may still come; less than nothing if there are too many.
    pub bytes: i64,
    /// When that was: who has heeded it need not do so again.
    pub at: tokio::time::Instant,
}

/// The next node of a pipeline.
pub type Next = Arc<dyn Consumer>;
