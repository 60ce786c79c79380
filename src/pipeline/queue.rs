//! A bounded queue in front of a destination: a safe point in memory that lets senders go on while it is slow or away.
//!
//! ```yaml
//! sending_queue:
//!   enabled: true
//!   num_consumers: 10
//!   queue_size: 1000          # in units of `sizer`
//!   sizer: requests           # requests, items, bytes
//!   block_on_overflow: false  # wait for room instead of refusing
//! ```
//!
//! A batch is answered `Accepted` once it is in the queue; when there is no room it is refused as `Overloaded`, or waits.
//! Whatever the sizer, no more than 256 MiB are held. A batch leaves the queue when its destination has given an answer;
//! one that is refused for good, or given up, is lost, with an error in the log and a count.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::Deserialize;
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Batch, Boxed, Consumer, Next, Outcome, component::Context};
use crate::{
    config::{Check, Report},
    otlp::Signal,
    telemetry::{Counter, Gauge},
};

/// Bytes held at most, whatever the sizer says.
const MOST_BYTES: usize = 256 << 20;
/// When a sender that found the queue full should come back.
const COME_BACK: Duration = Duration::from_secs(1);

/// The configuration; keys and defaults are the Collector's.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Without a queue, a batch is answered when it is delivered.
    pub enabled: bool,
    /// Batches on their way at once.
    pub num_consumers: usize,
    /// What the queue holds, in units of `sizer`.
    pub queue_size: usize,
    /// What is counted.
    pub sizer: Sizer,
    /// Whether a sender waits for room instead of being refused.
    pub block_on_overflow: bool,
}

/// What a queue counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sizer {
    /// Batches.
    Requests,
    /// Spans, log records, data points.
    Items,
    /// Serialised bytes.
    Bytes,
}

impl Default for Config {
    fn default() -> Self {
        Self { enabled: true, num_consumers: 10, queue_size: 1000, sizer: Sizer::Requests, block_on_overflow: false }
    }
}

impl Check for Config {
    fn check(&self, report: &mut Report<'_>) {
        if self.num_consumers == 0 {
            report.error("num_consumers", "must be more than 0");
        }
        if self.queue_size == 0 {
            report.error("queue_size", "must be more than 0").hint("`enabled: false` delivers without a queue");
        }
    }
}

impl Config {
    fn size_of(&self, batch: &Batch) -> usize {
        match self.sizer {
            Sizer::Requests => 1,
            Sizer::Items => batch.items,
            Sizer::Bytes => batch.body.len(),
        }
    }
}

/// The queue, and the tasks that empty it.
pub struct Queue {
    inner: Arc<Inner>,
    /// Ends the tasks.
    _alive: DropGuard,
}

struct Inner {
    config: Config,
    next: Next,
    state: Mutex<State>,
    /// Something was put in.
    filled: Notify,
    /// Something has left.
    emptied: Notify,
    refused: [Counter; 3],
    lost: [Counter; 3],
    size: Gauge,
    component: String,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Batch>,
    /// Waiting and on their way, in units of the sizer.
    size: usize,
    bytes: usize,
    on_their_way: usize,
}

impl Queue {
    /// In front of `next`; `next` itself if there is to be no queue.
    pub fn over(config: &Config, next: Next, context: &Context) -> Next {
        if !config.enabled {
            return next;
        }
        let labels = [("exporter", context.id.as_str())];
        let gauge = |name, help| context.metrics.gauge(name, help, &labels);
        gauge("otelcol_exporter_queue_capacity", "What the queue can hold.").set(config.queue_size as f64);
        let count = |name: fn(Signal) -> &'static str, help| {
            Signal::ALL.map(|signal| context.metrics.counter(name(signal), help, &labels))
        };
        let inner = Arc::new(Inner {
            config: config.clone(),
            next,
            state: Mutex::default(),
            filled: Notify::new(),
            emptied: Notify::new(),
            refused: count(enqueue_failed, "Items refused because the queue was full."),
            lost: count(send_failed, "Items that were given up or refused for good."),
            size: gauge("otelcol_exporter_queue_size", "What the queue holds."),
            component: context.component.clone(),
        });
        let alive = CancellationToken::new();
        for _ in 0..config.num_consumers {
            tokio::spawn(carry(inner.clone(), alive.clone()));
        }
        Arc::new(Self { inner, _alive: alive.drop_guard() })
    }

    async fn put(&self, batch: Batch) -> Outcome {
        loop {
            let room = self.inner.emptied.notified();
            if self.inner.try_put(&batch) {
                return Outcome::Accepted;
            }
            if !self.inner.config.block_on_overflow {
                count(&self.inner.refused, &batch);
                return Outcome::Overloaded { after: COME_BACK };
            }
            room.await;
        }
    }

    async fn empty(&self) {
        loop {
            let left = self.inner.emptied.notified();
            if self.inner.state().is_empty() {
                break;
            }
            left.await;
        }
        self.inner.next.drain().await;
    }
}

impl Consumer for Queue {
    fn consume(&self, batch: Batch) -> Boxed<'_, Outcome> {
        Box::pin(self.put(batch))
    }

    fn drain(&self) -> Boxed<'_, ()> {
        Box::pin(self.empty())
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        let lost: usize = self.inner.state().waiting.iter().map(|batch| batch.items).sum();
        if lost > 0 {
            tracing::error!(component = self.inner.component, items = lost, "still in the queue at the end, and lost");
        }
        self.inner.state().waiting.clear();
    }
}

impl State {
    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.on_their_way == 0
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_put(&self, batch: &Batch) -> bool {
        let size = self.config.size_of(batch);
        let mut state = self.state();
        let fits = state.size + size <= self.config.queue_size && state.bytes + batch.body.len() <= MOST_BYTES;
        // One that is larger than the whole queue goes through alone: it would never fit.
        if !fits && !state.is_empty() {
            return false;
        }
        state.size += size;
        state.bytes += batch.body.len();
        state.waiting.push_back(batch.clone());
        self.size.set(state.size as f64);
        drop(state);
        self.filled.notify_one();
        true
    }

    fn take(&self) -> Option<Batch> {
        let mut state = self.state();
        let batch = state.waiting.pop_front()?;
        state.on_their_way += 1;
        Some(batch)
    }

    fn done(&self, batch: &Batch, outcome: &Outcome) {
        let reason = match outcome {
            Outcome::Accepted => None,
            Outcome::Partial { rejected, message } => Some((*rejected, message.as_str())),
            Outcome::Permanent { reason } | Outcome::Retryable { reason, .. } => {
                Some((batch.items as u64, reason.as_str()))
            }
            Outcome::Overloaded { .. } => Some((batch.items as u64, "the destination stayed overloaded")),
        };
        if let Some((items, reason)) = reason {
            if let Some(lost) = self.lost.get(batch.signal as usize) {
                lost.add(items);
            }
            tracing::error!(component = self.component, items, signal = batch.signal.name(), reason, "lost");
        }
        let mut state = self.state();
        state.on_their_way -= 1;
        state.size -= self.config.size_of(batch);
        state.bytes -= batch.body.len();
        self.size.set(state.size as f64);
        drop(state);
        self.emptied.notify_waiters();
    }
}

/// Carries batches to the destination until the queue is gone.
async fn carry(queue: Arc<Inner>, alive: CancellationToken) {
    loop {
        let filled = queue.filled.notified();
        if let Some(batch) = queue.take() {
            let outcome = queue.next.consume(batch.clone()).await;
            queue.done(&batch, &outcome);
            continue;
        }
        tokio::select! {
            () = filled => {}
            () = alive.cancelled() => return,
        }
    }
}

fn count(counters: &[Counter; 3], batch: &Batch) {
    if let Some(counter) = counters.get(batch.signal as usize) {
        counter.add(batch.items as u64);
    }
}

const fn enqueue_failed(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "otelcol_exporter_enqueue_failed_spans",
        Signal::Metrics => "otelcol_exporter_enqueue_failed_metric_points",
        Signal::Logs => "otelcol_exporter_enqueue_failed_log_records",
    }
}

const fn send_failed(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "otelcol_exporter_send_failed_spans",
        Signal::Metrics => "otelcol_exporter_send_failed_metric_points",
        Signal::Logs => "otelcol_exporter_send_failed_log_records",
    }
}

#[cfg(test)]
mod tests;
