//! Fewer, larger requests.
//!
//! ```yaml
//! batch:
//!   send_batch_size: 8192     # items that make a request; 0: send at once
//!   timeout: 200ms            # longest an item waits for others; 0: send at once
//!   send_batch_max_size: 0    # larger requests are split; 0: no limit
//!   metadata_keys: []         # senders whose metadata differs here are not mixed; see `include_metadata` of receivers
//!   metadata_cardinality_limit: 1000   # so many of them at most
//! ```
//!
//! A bounded safe point in memory: a batch is answered `Accepted` once it is buffered, and what is buffered is handed on
//! until it is taken. If the next node says `Retryable` or `Overloaded`, the same request is offered again after its hint,
//! or after a growing pause; meanwhile the buffer fills, and then senders are told `Overloaded`. Only what the next node
//! refuses for good is dropped, with an error in the log and a count. One request is on its way at a time, for each
//! combination of values under `metadata_keys`: those values are all that is known of its senders behind this node. Senders
//! of one combination too many are refused for good.

mod buffer;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicUsize},
    time::Duration,
};

use schemars::JsonSchema;
use serde::Deserialize;
use tokio::task::JoinHandle;

use self::buffer::{Buffer, Trigger};
use crate::{
    config::{Check, Report},
    otlp::{Signal, split::split},
    pipeline::{
        Batch, Boxed, Consumer, Next, Outcome,
        component::{Context, ProcessorConfig, StartError},
        metadata::{self, Metadata},
    },
    telemetry::{BYTES, Counter, Histogram, ITEMS},
};

/// First pause when the next node gives no hint; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Longest pause while draining: the caller's deadline is near.
const DRAINING_PAUSE: Duration = Duration::from_secs(1);
/// When a sender that found the buffer full should come back, at least.
const COME_BACK: Duration = Duration::from_millis(200);
/// The buffer holds so many requests' worth of items.
const BUFFERED_REQUESTS: usize = 16;
/// And at least so many items, however small a request may be.
const LEAST_BUFFER: usize = 65_536;
/// All buffers of a node hold at most so many bytes.
const BUFFER_BYTES: usize = 64 << 20;

/// The configuration; the keys are the Collector's.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Items that make a request.
    pub send_batch_size: usize,
    /// Longest an item waits for others.
    #[serde(with = "crate::config::DurationText")]
    pub timeout: Duration,
    /// Most items in a request.
    pub send_batch_max_size: usize,
    /// What of their senders' metadata keeps batches apart.
    pub metadata_keys: Vec<String>,
    /// So many combinations of values at most.
    pub metadata_cardinality_limit: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            send_batch_size: 8192,
            timeout: Duration::from_millis(200),
            send_batch_max_size: 0,
            metadata_keys: Vec::new(),
            metadata_cardinality_limit: 1000,
        }
    }
}

impl Check for Config {
    fn check(&self, report: &mut Report<'_>) {
        if self.send_batch_max_size > 0 && self.send_batch_max_size < self.send_batch_size {
            report.error("send_batch_max_size", "must be 0 or at least send_batch_size");
        }
        if self.metadata_cardinality_limit == 0 {
            report.error("metadata_cardinality_limit", "must be more than 0");
        }
        let mut seen = Vec::new();
        for (index, key) in self.metadata_keys.iter().enumerate() {
            let key = key.to_ascii_lowercase();
            if seen.contains(&key) {
                report.error(&format!("metadata_keys.{index}"), "is there twice, as case does not matter");
            }
            seen.push(key);
        }
    }
}

impl ProcessorConfig for Config {
    fn build(&self, signal: Signal, next: Next, context: &Context) -> Result<Next, StartError> {
        Ok(Arc::new(Batcher {
            config: self.clone(),
            common: Arc::new(Common {
                metrics: Metrics::new(context),
                component: context.component.clone(),
                bytes: Arc::default(),
                signal,
                next,
            }),
            context: context.clone(),
            shards: Mutex::default(),
        }))
    }
}

/// The node: fills the buffers that its workers empty.
struct Batcher {
    config: Config,
    common: Arc<Common>,
    context: Context,
    /// By the values under `metadata_keys`.
    shards: Mutex<HashMap<Vec<Vec<String>>, Shard>>,
}

/// What is handed on in common requests.
struct Shard {
    work: Arc<Work>,
    worker: Option<JoinHandle<()>>,
}

impl Batcher {
    fn put(&self, batch: Batch) -> Outcome {
        let keys = &self.config.metadata_keys;
        let metadata = metadata::current().filter(|_| !keys.is_empty());
        let values = keys.iter().map(|key| metadata.as_ref().map_or_else(Vec::new, |said| said.get(key).to_vec()));
        let values: Vec<Vec<String>> = values.collect();
        let mut shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shard) = shards.get(&values) {
            return shard.work.buffer.put(batch);
        }
        if shards.len() >= self.config.metadata_cardinality_limit {
            let limit = self.config.metadata_cardinality_limit;
            let reason = format!("more than {limit} combinations of values under metadata_keys of `batch`");
            return Outcome::Permanent { reason };
        }
        let shard = self.shard(metadata.map(|said| Arc::new(said.only(keys))));
        let outcome = shard.work.buffer.put(batch);
        shards.insert(values, shard);
        outcome
    }

    fn shard(&self, metadata: Option<Arc<Metadata>>) -> Shard {
        let work = Arc::new(Work {
            buffer: Buffer::new(&self.config, self.common.bytes.clone()),
            max_size: self.config.send_batch_max_size,
            metadata,
            common: self.common.clone(),
        });
        let worker = Some(tokio::spawn(self.context.watch(run(work.clone()))));
        Shard { work, worker }
    }

    fn close(&self) -> Vec<JoinHandle<()>> {
        let mut shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        let closed = shards.values_mut().filter_map(|shard| {
            shard.work.buffer.close();
            shard.worker.take()
        });
        closed.collect()
    }
}

impl Consumer for Batcher {
    fn consume(&self, batch: Batch) -> Boxed<'_, Outcome> {
        Box::pin(std::future::ready(self.put(batch)))
    }

    fn drain(&self) -> Boxed<'_, ()> {
        Box::pin(async move {
            for worker in self.close() {
                if let Err(error) = worker.await {
                    tracing::error!(component = self.common.component, %error, "batching broke down");
                }
            }
        })
    }
}

impl Drop for Batcher {
    fn drop(&mut self) {
        // A node that never ran in a pipeline is not drained; its workers must still end.
        drop(self.close());
    }
}

struct Metrics {
    items: Histogram,
    bytes: Histogram,
    by_size: Counter,
    by_timeout: Counter,
    dropped: Counter,
}

impl Metrics {
    fn new(context: &Context) -> Self {
        let labels = [("processor", context.id.as_str())];
        let counter = |name, help| context.metrics.counter(name, help, &labels);
        let histogram = |name, help, bounds| context.metrics.histogram(name, help, bounds, &labels);
        Self {
            items: histogram("otelcol_processor_batch_batch_send_size", "Items in the requests handed on.", ITEMS),
            bytes: histogram(
                "otelcol_processor_batch_batch_send_size_bytes",
                "Bytes of the requests handed on.",
                BYTES,
            ),
            by_size: counter(
                "otelcol_processor_batch_batch_size_trigger_send",
                "Requests sent because they were full.",
            ),
            by_timeout: counter("otelcol_processor_batch_timeout_trigger_send", "Requests sent because time was up."),
            dropped: counter("otelcol_processor_batch_dropped_items", "Items the next node refused for good."),
        }
    }
}

/// What all shards share.
struct Common {
    metrics: Metrics,
    component: String,
    /// Waiting and on their way, in all buffers.
    bytes: Arc<AtomicUsize>,
    signal: Signal,
    next: Next,
}

/// What a shard and its worker share.
struct Work {
    buffer: Buffer,
    max_size: usize,
    /// What its senders have in common.
    metadata: Option<Arc<Metadata>>,
    common: Arc<Common>,
}

impl Drop for Work {
    fn drop(&mut self) {
        let items = self.buffer.items();
        if items > 0 {
            tracing::error!(
                component = self.common.component,
                items,
                "dropped what could not be handed on before the end"
            );
        }
    }
}

/// Hands on until the buffer is closed and empty.
async fn run(work: Arc<Work>) -> Result<(), String> {
    while let Some((trigger, batches)) = work.buffer.take().await {
        match trigger {
            Trigger::Size => work.common.metrics.by_size.add(1),
            Trigger::Timeout => work.common.metrics.by_timeout.add(1),
            Trigger::Closed => {}
        }
        let items = batches.iter().map(|batch| batch.items).sum();
        let bytes = batches.iter().map(|batch| batch.body.len()).sum();
        for batch in work.requests(batches) {
            work.deliver(batch).await;
        }
        work.buffer.done(items, bytes);
    }
    Ok(())
}

impl Work {
    /// One request of many batches, or several if it would be too large.
    fn requests(&self, mut batches: Vec<Batch>) -> Vec<Batch> {
        let items = batches.iter().map(|batch| batch.items).sum();
        let whole = if batches.len() == 1 {
            batches.pop()
        } else {
            // Repeated fields: one serialised request after the other is a request with the resources of both.
            let parts: Vec<&[u8]> = batches.iter().map(|batch| batch.body.as_ref()).collect();
            Some(Batch { signal: self.common.signal, body: parts.concat().into(), items })
        };
        match whole {
            Some(whole) if self.max_size > 0 && items > self.max_size => split(&whole, self.max_size),
            whole => whole.into_iter().collect(),
        }
    }

    /// Offers `batch` until it is taken or refused for good.
    async fn deliver(&self, batch: Batch) {
        let mut pause = FIRST_PAUSE;
        loop {
            let offer = async { self.common.next.consume(batch.clone()).await };
            let hint = match metadata::with(self.metadata.clone(), offer).await {
                Outcome::Accepted => {
                    self.common.metrics.items.record(batch.items as f64);
                    self.common.metrics.bytes.record(batch.body.len() as f64);
                    return;
                }
                Outcome::Partial { rejected, message } => {
                    let taken = (batch.items as u64).saturating_sub(rejected);
                    self.common.metrics.items.record(taken as f64);
                    self.common.metrics.bytes.record(batch.body.len() as f64);
                    return self.lose(rejected, &message);
                }
                Outcome::Permanent { reason } => return self.lose(batch.items as u64, &reason),
                Outcome::Retryable { after, .. } => after,
                Outcome::Overloaded { after } => Some(after),
            };
            let wait = hint.unwrap_or(pause).min(LONGEST_PAUSE);
            pause = (pause * 2).min(LONGEST_PAUSE);
            self.buffer.pause(wait).await;
        }
    }

    fn lose(&self, items: u64, reason: &str) {
        self.common.metrics.dropped.add(items);
        tracing::error!(component = self.common.component, items, reason, "dropped what was refused for good");
    }
}

#[cfg(test)]
mod tests;
