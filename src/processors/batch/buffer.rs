//! What waits to be handed on: bounded in items and bytes, filled by many, emptied by one.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::{BUFFER_BYTES, BUFFERED_REQUESTS, COME_BACK, Config, DRAINING_PAUSE, LEAST_BUFFER};
use crate::pipeline::{Batch, Outcome};

/// Why something is handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// There is enough for a request.
    Size,
    /// The oldest has waited long enough.
    Timeout,
    /// Nothing more will come.
    Closed,
}

#[derive(Default)]
struct State {
    waiting: Vec<Batch>,
    waiting_items: usize,
    /// Waiting and on their way.
    items: usize,
    /// When the oldest of `waiting` came.
    since: Option<Instant>,
    closed: bool,
    /// When the request on its way is offered again.
    paused_until: Option<Instant>,
}

/// The buffer; one task takes from it.
pub struct Buffer {
    state: Mutex<State>,
    changed: Notify,
    size: usize,
    timeout: Duration,
    max_items: usize,
    /// Of all buffers of the node.
    bytes: Arc<AtomicUsize>,
}

impl Buffer {
    /// Empty; `bytes` are what all buffers of the node hold.
    pub fn new(config: &Config, bytes: Arc<AtomicUsize>) -> Self {
        let immediately = config.timeout.is_zero();
        let size = if immediately { 1 } else { config.send_batch_size.max(1) };
        let max_items = config.send_batch_size.saturating_mul(BUFFERED_REQUESTS).max(LEAST_BUFFER);
        Self { state: Mutex::default(), changed: Notify::new(), size, timeout: config.timeout, max_items, bytes }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Items not yet taken by the next node.
    pub fn items(&self) -> usize {
        self.lock().items
    }

    /// Takes a batch in if there is room. A batch that is larger than the whole buffer finds room when it is empty.
    pub fn put(&self, batch: Batch) -> Outcome {
        if batch.items == 0 {
            return Outcome::Accepted;
        }
        let mut state = self.lock();
        if state.closed {
            return Outcome::Retryable { after: None, reason: "this pipeline is being stopped".to_owned() };
        }
        let bytes = self.bytes.load(Ordering::Relaxed);
        let fits = state.items + batch.items <= self.max_items && bytes + batch.body.len() <= BUFFER_BYTES;
        if !fits && (state.items > 0 || bytes > 0) {
            let rest = state.paused_until.map_or(Duration::ZERO, |until| until.duration_since(Instant::now()));
            return Outcome::Overloaded { after: rest.max(COME_BACK) };
        }
        let first = state.waiting.is_empty();
        state.items += batch.items;
        self.bytes.fetch_add(batch.body.len(), Ordering::Relaxed);
        state.waiting_items += batch.items;
        state.since.get_or_insert_with(Instant::now);
        state.waiting.push(batch);
        let full = state.waiting_items >= self.size;
        drop(state);
        if first || full {
            self.changed.notify_one();
        }
        Outcome::Accepted
    }

    /// Nothing more comes in; what there is goes out.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    /// The next request's batches, when it is time; `None` when closed and empty.
    pub async fn take(&self) -> Option<(Trigger, Vec<Batch>)> {
        loop {
            let deadline = {
                let mut state = self.lock();
                let due = state.since.map(|since| since + self.timeout);
                let trigger = if state.waiting_items >= self.size {
                    Some(Trigger::Size)
                } else if due.is_some_and(|due| due <= Instant::now()) {
                    Some(Trigger::Timeout)
                } else {
                    state.closed.then_some(Trigger::Closed)
                };
                if let Some(trigger) = trigger {
                    let batches = state.take_request(self.size);
                    return (!batches.is_empty()).then_some((trigger, batches));
                }
                due
            };
            match deadline {
                Some(deadline) => {
                    let _ = tokio::time::timeout_at(deadline, self.changed.notified()).await;
                }
                None => self.changed.notified().await,
            }
        }
    }

    /// Batches taken, of `items` and `bytes` as they came, have left.
    pub fn done(&self, items: usize, bytes: usize) {
        let mut state = self.lock();
        state.items = state.items.saturating_sub(items);
        drop(state);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Waits before the next offer, less long once closed.
    pub async fn pause(&self, wait: Duration) {
        let start = Instant::now();
        self.lock().paused_until = Some(start + wait);
        loop {
            let wait = if self.lock().closed { wait.min(DRAINING_PAUSE) } else { wait };
            // New batches wake this up as well as the end does.
            if tokio::time::timeout_at(start + wait, self.changed.notified()).await.is_err() {
                break;
            }
        }
        self.lock().paused_until = None;
    }
}

impl State {
    /// The oldest batches, until there are enough items for a request.
    fn take_request(&mut self, size: usize) -> Vec<Batch> {
        let mut items = 0;
        let enough = self.waiting.iter().position(|batch| {
            items += batch.items;
            items >= size
        });
        let rest = self.waiting.split_off(enough.map_or(self.waiting.len(), |last| last + 1));
        let taken = std::mem::replace(&mut self.waiting, rest);
        self.waiting_items -= taken.iter().map(|batch| batch.items).sum::<usize>();
        // What stays came later; it waits from now at most.
        self.since = (!self.waiting.is_empty()).then(Instant::now);
        taken
    }
}
