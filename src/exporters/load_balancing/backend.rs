//! One of several gateways: its queue, its retries, and what happens when it is gone.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use super::{COME_BACK, RouterRef};
use crate::{
    exporters::{counted, otlp_grpc},
    faas::intern::{hash_from, mix},
    pipeline::{
        Batch, Boxed, Consumer, Next, Outcome,
        component::{Context, StartError},
        queue::Queue,
        retry::Retry,
    },
};

/// One that gave up gets nothing new for so long.
const REST: Duration = Duration::from_secs(30);

/// One of several gateways.
pub struct Backend {
    /// `host:port`.
    pub endpoint: String,
    /// In metrics.
    pub id: String,
    /// In front of it.
    pub node: Next,
    hash: u64,
    standing: Arc<Standing>,
}

/// What the backend's queue must know of it.
#[derive(Default)]
struct Standing {
    /// No longer listed.
    gone: CancellationToken,
    /// The whole exporter comes to its end: there is nobody to hand over to.
    closing: AtomicBool,
    down_until: Mutex<Option<Instant>>,
}

/// The index of the backend to which `key` belongs: the one with the highest score.
pub fn owner(backends: &[Arc<Backend>], key: u64) -> usize {
    let scores = backends.iter().map(|backend| mix(backend.hash, key)).enumerate();
    scores.max_by_key(|(_, score)| *score).map_or(0, |(index, _)| index)
}

impl Backend {
    /// The one at `endpoint`, with a queue and retries of its own.
    pub fn new(
        endpoint: &str,
        otlp: &otlp_grpc::Config,
        router: RouterRef,
        context: &Context,
    ) -> Result<Arc<Self>, StartError> {
        let context = Context {
            component: format!("{}[{endpoint}]", context.component),
            id: format!("{}[{endpoint}]", context.id),
            ..context.clone()
        };
        let otlp = otlp_grpc::Config { endpoint: endpoint.to_owned(), ..otlp.clone() };
        let send = counted(otlp.sender(&context)?, &context);
        let (standing, closing) = (Arc::<Standing>::default(), CancellationToken::new());
        let next = Retry::over(&otlp.retry_on_failure, send, closing.clone(), otlp.sending_queue.at_end());
        let gate = Arc::new(Gate { next, router, standing: standing.clone(), component: context.component.clone() });
        let node = Queue::over(&otlp.sending_queue, gate, closing, &context)?;
        let hash = hash_from(0, endpoint.as_bytes());
        Ok(Arc::new(Self { endpoint: endpoint.to_owned(), id: context.id, node, hash, standing }))
    }

    /// Whether it may get something new.
    pub fn is_up(&self, now: Instant) -> bool {
        self.standing.down_until.lock().unwrap_or_else(PoisonError::into_inner).is_none_or(|until| now >= until)
    }

    /// Gives what it holds to the others.
    pub async fn leave(&self) {
        self.standing.gone.cancel();
        self.node.drain().await;
    }

    /// Delivers what it holds.
    pub async fn close(&self) {
        self.standing.closing.store(true, Ordering::Relaxed);
        self.node.drain().await;
    }
}

/// Between a backend's queue and its retries: the way out for batches that it will not take.
struct Gate {
    next: Next,
    router: RouterRef,
    standing: Arc<Standing>,
    component: String,
}

impl Gate {
    async fn pass(&self, batch: Batch) -> Outcome {
        let standing = &self.standing;
        let outcome = tokio::select! {
            biased;
            () = standing.gone.cancelled() => return self.hand_over(batch).await,
            outcome = self.next.consume(batch.clone()) => outcome,
        };
        if !matches!(outcome, Outcome::Retryable { .. } | Outcome::Overloaded { .. }) {
            return outcome;
        }
        *standing.down_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + REST);
        let router = self.router.upgrade().filter(|router| {
            !standing.closing.load(Ordering::Relaxed)
                && router.backends.load().iter().any(|backend| backend.is_up(Instant::now()))
        });
        let Some(router) = router else { return outcome };
        tracing::warn!(component = self.component, items = batch.items, "gave up; another backend is asked");
        match boxed_route(&router, batch).await {
            // Not to wait for each other's room in a circle.
            Outcome::Overloaded { .. } => outcome,
            other => other,
        }
    }

    /// The others get it, as soon as one has room.
    async fn hand_over(&self, batch: Batch) -> Outcome {
        loop {
            let Some(router) = self.router.upgrade() else {
                return Outcome::Permanent { reason: "the backend is gone and there is no other".to_owned() };
            };
            let outcome = boxed_route(&router, batch.clone()).await;
            drop(router);
            match outcome {
                Outcome::Overloaded { after } => tokio::time::sleep(after.min(COME_BACK)).await,
                other => return other,
            }
        }
    }
}

/// A backend's gate routes to backends, whose gates route again: the future's type must end somewhere.
fn boxed_route(router: &Arc<super::Router>, batch: Batch) -> Boxed<'_, Outcome> {
    Box::pin(router.route(batch))
}

impl Consumer for Gate {
    fn consume(&self, batch: Batch) -> Boxed<'_, Outcome> {
        Box::pin(self.pass(batch))
    }

    fn drain(&self) -> Boxed<'_, ()> {
        self.next.drain()
    }
}
