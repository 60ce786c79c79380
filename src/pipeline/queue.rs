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
//! one that is refused for good, or given up, is lost, with an error in the log and a count. So is what is still held or
//! on its way when the queue is dropped: the caller's deadline for `drain` is over then.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::Notify,
    task::{AbortHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;

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
/// More consumers than this only wait for each other.
const MOST_CONSUMERS: usize = 1024;

/// The configuration; keys and defaults are the Collector's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
        if !(1..=MOST_CONSUMERS).contains(&self.num_consumers) {
            report.error("num_consumers", format!("must be between 1 and {MOST_CONSUMERS}"));
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
    /// Told when draining begins: what waits to be offered again should hurry.
    closing: CancellationToken,
    /// Owns the tasks that empty the queue.
    tending: AbortHandle,
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
    /// In front of `next`; if there is to be no queue, only what `next` fails to send is counted. `closing` is cancelled
    /// when draining begins.
    pub fn over(config: &Config, next: Next, closing: CancellationToken, context: &Context) -> Next {
        let lost = counters(send_failed, "Items that were given up or refused for good.", context);
        if !config.enabled {
            return Arc::new(Unqueued { next, closing, lost });
        }
        let gauge = |name, help| context.metrics.gauge(name, help, &[("exporter", context.id.as_str())]);
        gauge("otelcol_exporter_queue_capacity", "What the queue can hold.").set(config.queue_size as f64);
        let inner = Arc::new(Inner {
            config: config.clone(),
            next,
            state: Mutex::default(),
            filled: Notify::new(),
            emptied: Notify::new(),
            refused: counters(enqueue_failed, "Items refused because the queue was full.", context),
            lost,
            size: gauge("otelcol_exporter_queue_size", "What the queue holds."),
            component: context.component.clone(),
        });
        let tending = tokio::spawn(tend(inner.clone())).abort_handle();
        Arc::new(Self { inner, closing, tending })
    }

    async fn put(&self, batch: Batch) -> Outcome {
        loop {
            let room = self.inner.emptied.notified();
            if self.inner.try_put(&batch) {
                return Outcome::Accepted;
            }
            if !self.inner.config.block_on_overflow {
                count(&self.inner.refused, batch.signal, batch.items as u64);
                return Outcome::Overloaded { after: COME_BACK };
            }
            room.await;
        }
    }

    async fn empty(&self) {
        self.closing.cancel();
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
        self.tending.abort();
        let waiting = std::mem::take(&mut self.inner.state().waiting);
        for signal in Signal::ALL {
            let items = waiting.iter().filter(|batch| batch.signal == signal).map(|batch| batch.items as u64).sum();
            if items > 0 {
                self.inner.lose(signal, items, "still in the queue at the end");
            }
        }
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

    fn take(self: &Arc<Self>) -> Option<OnItsWay> {
        let mut state = self.state();
        let batch = state.waiting.pop_front()?;
        state.on_their_way += 1;
        if !state.waiting.is_empty() {
            // Several that were put in at once may have woken only one.
            self.filled.notify_one();
        }
        Some(OnItsWay { queue: self.clone(), batch, outcome: None })
    }

    fn lose(&self, signal: Signal, items: u64, reason: &str) {
        count(&self.lost, signal, items);
        tracing::error!(component = self.component, items, signal = signal.name(), reason, "lost");
    }
}

/// A batch between the queue and its destination's answer. However that ends, its place is given back.
struct OnItsWay {
    queue: Arc<Inner>,
    batch: Batch,
    outcome: Option<Outcome>,
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        let (queue, batch) = (&self.queue, &self.batch);
        match &self.outcome {
            Some(outcome) => {
                if let Some((items, reason)) = loss(outcome, batch.items) {
                    queue.lose(batch.signal, items, reason);
                }
            }
            None => queue.lose(batch.signal, batch.items as u64, "sending was interrupted"),
        }
        let mut state = queue.state();
        state.on_their_way -= 1;
        state.size -= queue.config.size_of(batch);
        state.bytes -= batch.body.len();
        queue.size.set(state.size as f64);
        drop(state);
        queue.emptied.notify_waiters();
    }
}

/// Keeps the queue's consumers alive: one that panics takes only its batch with it.
async fn tend(queue: Arc<Inner>) {
    let mut consumers = JoinSet::new();
    for _ in 0..queue.config.num_consumers {
        consumers.spawn(carry(queue.clone()));
    }
    while let Some(ended) = consumers.join_next().await {
        if let Err(error) = ended {
            tracing::error!(component = queue.component, %error, "sending broke down and begins again");
        }
        consumers.spawn(carry(queue.clone()));
    }
}

/// Carries batches to the destination, one at a time, until it is aborted.
async fn carry(queue: Arc<Inner>) {
    loop {
        let filled = queue.filled.notified();
        match queue.take() {
            Some(mut taken) => taken.outcome = Some(queue.next.consume(taken.batch.clone()).await),
            None => filled.await,
        }
    }
}

/// No queue: the sender hears the destination's own answer.
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

/// How many of a batch's items did not arrive, and why.
fn loss(outcome: &Outcome, items: usize) -> Option<(u64, &str)> {
    let items = items as u64;
    match outcome {
        Outcome::Accepted => None,
        // The count is the destination's word.
        Outcome::Partial { rejected, message } => Some(((*rejected).min(items), message)),
        Outcome::Permanent { reason } | Outcome::Retryable { reason, .. } => Some((items, reason)),
        Outcome::Overloaded { .. } => Some((items, "the destination stayed overloaded")),
    }
}

fn counters(name: fn(Signal) -> &'static str, help: &'static str, context: &Context) -> [Counter; 3] {
    Signal::ALL.map(|signal| context.metrics.counter(name(signal), help, &[("exporter", context.id.as_str())]))
}

fn count(counters: &[Counter; 3], signal: Signal, items: u64) {
    if let Some(counter) = counters.get(signal as usize) {
        counter.add(items);
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
