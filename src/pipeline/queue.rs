//! A bounded queue in front of a destination: a safe point, in memory or on disk, that lets senders go on while it is slow
//! or away.
//!
//! ```yaml
//! sending_queue:
//!   enabled: true
//!   num_consumers: 10
//!   queue_size: 1000          # in units of `sizer`
//!   sizer: requests           # requests, items, bytes
//!   block_on_overflow: false  # wait for room instead of refusing
//!   wait_for_result: false    # the sender hears the destination's own answer; not with storage
//!   storage: file_storage     # on the disk of this extension; in memory if unset
//!   batch:                    # off unless there
//!     flush_timeout: 200ms
//!     min_size: 8192
//!     max_size: 0             # larger requests are split; 0: never
//!     sizer: items            # items, bytes
//!     partition: { metadata_keys: [] }   # batches whose senders differ here are not mixed; not with storage
//! ```
//!
//! A batch is answered `Accepted` once it is in the queue; when there is no room it is refused as `Overloaded`, or waits.
//! A batch leaves the queue when its destination has given an answer; one that is refused for good, or given up after
//! `max_elapsed_time`, is lost, with an error in the log and a count.
//!
//! **In memory** no more than 256 MiB are held, whatever the sizer. What is still held or on its way when the queue is
//! dropped is lost: the caller's deadline for `drain` is over then.
//!
//! **On disk** `Accepted` means that the batch will be there after the power has failed; nothing is lost by a crash or a
//! shutdown, though what was on its way may arrive twice. At the next start it is sent first, in order. While the disk is
//! full or fails, batches are refused retryably. A shutdown sends what the destination takes at once, ten seconds at most,
//! and leaves the rest.

mod carry;
mod config;
mod count;
mod journal;
mod stock;
mod tables;

use std::{
    fmt::Write as _,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{sync::oneshot, task::AbortHandle};
use tokio_util::sync::CancellationToken;

pub use self::config::{Batching, Config, Partition, Sizer};
use self::{
    config::Size,
    count::{count, counters, loss},
    journal::{Journal, Refused},
    stock::Stock,
};
use super::{
    Batch, Boxed, Consumer, Next, Outcome,
    component::{Context, StartError},
    metadata::{self, Metadata},
};
use crate::{otlp::Signal, store::Store, telemetry::Counter};

/// Bytes held in memory at most, whatever the sizer says.
const MOST_BYTES: usize = 256 << 20;
/// When a sender that found the queue full should come back.
const COME_BACK: Duration = Duration::from_secs(1);
/// What is on disk need not leave before the end; so long it is tried.
const DRAIN_DISK: Duration = Duration::from_secs(10);

/// The queue, and the tasks that empty it.
pub struct Queue {
    inner: Arc<Inner>,
    /// Owns the tasks that empty the queue.
    tending: AbortHandle,
}

struct Inner {
    config: Config,
    next: Next,
    stock: Arc<Stock>,
    /// If it is on disk.
    journal: Option<Arc<Journal>>,
    /// Told when draining begins: what waits to be offered again should hurry.
    closing: CancellationToken,
    /// Nothing more is taken: the destination is away, and what is left can stay on disk.
    stopped: AtomicBool,
    on_their_way: AtomicUsize,
    refused: [Counter; 3],
    lost: [Counter; 3],
    component: String,
}

impl Queue {
    /// In front of `next`; if there is to be no queue, only what `next` fails to send is counted. `closing` is cancelled
    /// when draining begins.
    pub fn over(
        config: &Config,
        next: Next,
        closing: CancellationToken,
        context: &Context,
    ) -> Result<Next, StartError> {
        if !config.enabled {
            return Ok(unqueued(next, closing, context));
        }
        let journal = config.storage.as_ref().map(|storage| journal(storage, context)).transpose()?;
        let gauge = |name, help| context.metrics.gauge(name, help, &[("exporter", context.id.as_str())]);
        gauge("otelcol_exporter_queue_capacity", "What the queue can hold.").set(config.queue_size as f64);
        let inner = Arc::new(Inner {
            config: config.clone(),
            next,
            stock: journal.as_ref().map_or_else(Arc::default, |journal| journal.stock.clone()),
            journal,
            closing,
            stopped: AtomicBool::new(false),
            on_their_way: AtomicUsize::new(0),
            refused: counters(count::enqueue_failed, "Items refused because the queue was full.", context),
            lost: counters(count::send_failed, "Items that were given up or refused for good.", context),
            component: context.component.clone(),
        });
        inner.stock.show(gauge("otelcol_exporter_queue_size", "What the queue holds."), config.sizer);
        if let Some(journal) = &inner.journal {
            journal.attach();
        }
        let tending = tokio::spawn(carry::tend(inner.clone())).abort_handle();
        Ok(Arc::new(Self { inner, tending }))
    }

    async fn drained(&self) {
        let inner = &self.inner;
        if inner.journal.as_ref().is_some_and(|journal| journal.has_successor()) {
            inner.stopped.store(true, Ordering::SeqCst);
        }
        inner.closing.cancel();
        let emptied = async {
            loop {
                let left = inner.stock.emptied.notified();
                if inner.is_drained() {
                    break;
                }
                left.await;
            }
        };
        if inner.journal.is_some() {
            let _ = tokio::time::timeout(DRAIN_DISK, emptied).await;
            inner.stopped.store(true, Ordering::SeqCst);
            let Size { requests, items, .. } = inner.stock.all();
            if requests > 0 {
                tracing::info!(component = inner.component, requests, items, "stays on disk until the next start");
            }
        } else {
            emptied.await;
        }
        inner.next.drain().await;
    }
}

impl Consumer for Queue {
    fn consume(&self, batch: Batch) -> Boxed<'_, Outcome> {
        Box::pin(self.inner.take_in(batch))
    }

    fn drain(&self) -> Boxed<'_, ()> {
        Box::pin(self.drained())
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.tending.abort();
        if let Some(journal) = &self.inner.journal {
            return journal.detach();
        }
        let waiting = self.inner.stock.clear();
        for signal in Signal::ALL {
            let of_signal = waiting.iter().filter(|held| held.batch.signal == signal);
            let items = of_signal.map(|held| held.batch.items as u64).sum();
            if items > 0 {
                self.inner.lose(signal, items, "still in the queue at the end");
            }
        }
    }
}

impl Inner {
    async fn take_in(&self, batch: Batch) -> Outcome {
        let (signal, items) = (batch.signal, batch.items as u64);
        let metadata = self.config.keeps(metadata::current());
        match self.wait_for_room(batch, metadata).await {
            Entered::Put(None) => Outcome::Accepted,
            Entered::Put(Some(outcome)) => {
                outcome.await.unwrap_or_else(|_| away("the gateway is being stopped".to_owned()))
            }
            Entered::Refused(outcome) => {
                count(&self.refused, signal, items);
                outcome
            }
        }
    }

    async fn wait_for_room(&self, batch: Batch, metadata: Option<Arc<Metadata>>) -> Entered {
        loop {
            let room = self.stock.emptied.notified();
            if self.reserve(Size::with(&batch, metadata.as_deref())) {
                match &self.journal {
                    None => return Entered::Put(self.put(batch, metadata)),
                    Some(journal) => match journal.put(&batch) {
                        Ok(written) => return stored(written.await),
                        Err(Refused::Failing(reason)) => return Entered::Refused(away(reason)),
                        Err(Refused::Full) => {}
                    },
                }
            }
            if !self.config.block_on_overflow {
                return Entered::Refused(Outcome::Overloaded { after: COME_BACK });
            }
            tokio::select! {
                () = room => {}
                () = self.closing.cancelled() => {
                    return Entered::Refused(away("the gateway is being stopped".to_owned()));
                }
            }
        }
    }

    fn reserve(&self, size: Size) -> bool {
        let most_bytes = if self.journal.is_some() { usize::MAX } else { MOST_BYTES };
        let Config { sizer, queue_size, .. } = self.config;
        self.stock.reserve(size, |all| all.by(sizer) <= queue_size && all.bytes <= most_bytes)
    }

    fn put(&self, batch: Batch, metadata: Option<Arc<Metadata>>) -> Option<oneshot::Receiver<Outcome>> {
        if !self.config.wait_for_result {
            self.stock.put(batch, metadata, None);
            return None;
        }
        let (answer, outcome) = oneshot::channel();
        self.stock.put(batch, metadata, Some(answer));
        Some(outcome)
    }

    fn is_drained(&self) -> bool {
        let on_their_way = self.on_their_way.load(Ordering::SeqCst);
        on_their_way == 0 && (self.stopped.load(Ordering::SeqCst) || self.stock.all().requests == 0)
    }

    fn lose(&self, signal: Signal, items: u64, reason: &str) {
        count(&self.lost, signal, items);
        tracing::error!(component = self.component, items, signal = signal.name(), reason, "lost");
    }
}

/// Whether a batch is in the queue; with whom to wait for the destination's answer, if its sender wants to.
enum Entered {
    Put(Option<oneshot::Receiver<Outcome>>),
    Refused(Outcome),
}

/// What the disk said.
fn stored(written: Result<Result<(), String>, oneshot::error::RecvError>) -> Entered {
    match written {
        Ok(Ok(())) => Entered::Put(None),
        Ok(Err(reason)) => Entered::Refused(away(reason)),
        Err(_) => Entered::Refused(away("the gateway is being stopped".to_owned())),
    }
}

fn away(reason: String) -> Outcome {
    Outcome::Retryable { after: Some(COME_BACK), reason }
}

/// The queue on disk of the exporter being built: the one it has already, if a reload exchanges it, so that what waits is
/// handed over and one thread writes.
fn journal(storage: &str, context: &Context) -> Result<Arc<Journal>, StartError> {
    let name = format!("queue of {} in {storage}", context.component);
    if let Some(journal) = context.shared.get::<Weak<Journal>>(&name).and_then(|journal| journal.upgrade()) {
        return Ok(journal);
    }
    let store = context.shared.get::<Store>(storage).ok_or_else(|| {
        context.error(format!("sending_queue::storage: `{storage}` is not a running store; add a `file_storage`"))
    })?;
    let file = format!("queue-{}.redb", file_name(&context.id));
    let journal = Arc::new(Journal::open(store.directory().join(file), context)?);
    context.shared.put(&name, Arc::new(Arc::downgrade(&journal)));
    Ok(journal)
}

/// `id` as part of a file's name; different ids give different names.
fn file_name(id: &str) -> String {
    id.bytes().fold(String::new(), |mut name, byte| {
        if byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-' {
            name.push(char::from(byte));
        } else {
            let _ = write!(name, "%{byte:02x}");
        }
        name
    })
}

/// No queue: the sender hears the destination's own answer, and what `next` fails to send is counted.
pub fn unqueued(next: Next, closing: CancellationToken, context: &Context) -> Next {
    let lost = counters(count::send_failed, "Items that were given up or refused for good.", context);
    Arc::new(Unqueued { next, closing, lost })
}

struct Unqueued {
    next: Next,
    closing: CancellationToken,
    lost: [Counter; 3],
}

impl Consumer for Unqueued {
    fn consume(&self, batch: Batch) -> Boxed<'_, Outcome> {
        Box::pin(async move {
            let (signal, items) = (batch.signal, batch.items);
            let outcome = self.next.consume(batch).await;
            if let Some((items, _)) = loss(&outcome, items) {
                count(&self.lost, signal, items);
            }
            outcome
        })
    }

    fn drain(&self) -> Boxed<'_, ()> {
        self.closing.cancel();
        self.next.drain()
    }
}

#[cfg(test)]
mod tests;
