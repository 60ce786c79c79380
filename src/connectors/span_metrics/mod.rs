//! `span_metrics` connector: how often and how long, by service and operation, from the spans that pass.
//!
//! ```yaml
//! connectors:
//!   span_metrics:
//!     namespace: traces.span.metrics
//!     histogram:
//!       unit: ms                          # or s
//!       explicit: { buckets: [2ms, 10ms, 100ms, 1s] }   # or exponential: { max_size: 160 }
//!     dimensions: [{ name: http.request.method }, { name: region, default: unknown }]
//!     exclude_dimensions: [status.code]
//!     aggregation_cardinality_limit: 20000
//!     metrics_flush_interval: 60s
//!     metrics_expiration: 1h              # series unseen for so long are forgotten; 0: never
//! ```
//!
//! Writes `<namespace>.calls` and `<namespace>.duration` with `service.name`, `span.name`, `span.kind`, `status.code` and
//! the dimensions given, which are looked for on the span, then on its resource.
//!
//! What it keeps is bounded: beyond `aggregation_cardinality_limit` series, spans are counted in one series with
//! `otel.metric.overflow: true`; beyond `resource_metrics_cache_size` resources, in one without a resource. A request
//! that the metrics pipeline does not take is offered until it does; meanwhile spans are counted on.

mod config;
mod exponential;
mod series;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::{
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

pub use self::config::{Config, Dimension, Exemplars, Explicit, Exponential, Histogram, Temporality, Unit};
use self::series::Aggregate;
use crate::{
    otlp::{Signal, view},
    pipeline::{
        Batch, Boxed, Consumer, Next, Outcome,
        component::{ConnectorConfig, Context, Outputs, StartError},
    },
    telemetry::{Counter, Gauge},
};

/// First pause when the metrics pipeline gives no hint; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Longest pause while draining: the caller's deadline is near.
const DRAINING_PAUSE: Duration = Duration::from_secs(1);

impl ConnectorConfig for Config {
    fn build(&self, outputs: Outputs, context: &Context) -> Result<Next, StartError> {
        let work = Arc::new(Work {
            aggregate: Mutex::new(Aggregate::new(self.clone())),
            outputs,
            closing: CancellationToken::new(),
            metrics: Metrics::new(context),
            component: context.component.clone(),
        });
        let flushing = tokio::spawn(context.watch(run(work.clone(), self.metrics_flush_interval)));
        Ok(Arc::new(SpanMetrics { work, flushing: Mutex::new(Some(flushing)) }))
    }
}

/// The node: counts, while its task flushes.
struct SpanMetrics {
    work: Arc<Work>,
    flushing: Mutex<Option<JoinHandle<()>>>,
}

struct Work {
    aggregate: Mutex<Aggregate>,
    outputs: Outputs,
    closing: CancellationToken,
    metrics: Metrics,
    component: String,
}

impl Consumer for SpanMetrics {
    fn consume(&self, batch: Batch) -> Boxed<'_, Outcome> {
        if batch.signal == Signal::Traces {
            self.work.count(&batch);
        }
        Box::pin(std::future::ready(Outcome::Accepted))
    }

    fn drain(&self) -> Boxed<'_, ()> {
        Box::pin(async move {
            self.work.closing.cancel();
            let flushing = self.flushing.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(flushing) = flushing
                && let Err(error) = flushing.await
            {
                tracing::error!(component = self.work.component, %error, "the last metrics were not handed on");
            }
        })
    }
}

impl Drop for SpanMetrics {
    fn drop(&mut self) {
        // A node that never ran in a pipeline is not drained; its task must still end.
        self.work.closing.cancel();
    }
}

/// Flushes at every interval, and once more at the end.
async fn run(work: Arc<Work>, every: Duration) -> Result<(), String> {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        let last = tokio::select! {
            _ = ticks.tick() => false,
            () = work.closing.cancelled() => true,
        };
        let requests = work.aggregate().flush(now());
        for request in requests {
            work.deliver(request).await;
        }
        work.metrics.series.set(work.aggregate().series() as f64);
        if last {
            return Ok(());
        }
    }
}

impl Work {
    fn aggregate(&self) -> MutexGuard<'_, Aggregate> {
        self.aggregate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, batch: &Batch) {
        let mut aggregate = self.aggregate();
        let was_full = aggregate.overflowed > 0;
        let before = aggregate.overflowed;
        for group in view::resources(&batch.body) {
            aggregate.resource(&group, now());
        }
        let overflowed = aggregate.overflowed - before;
        drop(aggregate);
        self.metrics.overflowed.add(overflowed);
        if overflowed > 0 && !was_full {
            tracing::warn!(
                component = self.component,
                "too many series: further ones are counted together; drop a dimension, or raise \
                 aggregation_cardinality_limit or resource_metrics_cache_size"
            );
        }
    }

    /// Offers `request` until it is taken or refused for good.
    async fn deliver(&self, request: Batch) {
        let mut pause = FIRST_PAUSE;
        loop {
            let (hint, lost) = match self.outputs.hand_on(request.clone()).await {
                Outcome::Accepted => return,
                Outcome::Partial { rejected, message } => (None, Some((rejected, message))),
                Outcome::Permanent { reason } => (None, Some((request.items as u64, reason))),
                Outcome::Retryable { after, .. } => (after, None),
                Outcome::Overloaded { after } => (Some(after), None),
            };
            if let Some((points, reason)) = lost {
                self.metrics.dropped.add(points);
                tracing::error!(component = self.component, points, reason, "metric points refused for good");
                return;
            }
            let wait = hint.unwrap_or(pause).min(LONGEST_PAUSE);
            pause = (pause * 2).min(LONGEST_PAUSE);
            if self.closing.is_cancelled() {
                tokio::time::sleep(wait.min(DRAINING_PAUSE)).await;
            } else {
                // The end of waiting is the end of patience too: what is offered next is offered in a hurry.
                let _ = tokio::time::timeout(wait, self.closing.cancelled()).await;
            }
        }
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

struct Metrics {
    series: Gauge,
    overflowed: Counter,
    dropped: Counter,
}

impl Metrics {
    fn new(context: &Context) -> Self {
        let labels = [("connector", context.id.as_str())];
        let counter = |name, help| context.metrics.counter(name, help, &labels);
        Self {
            series: context.metrics.gauge("sekisho_span_metrics_series", "Series kept.", &labels),
            overflowed: counter("sekisho_span_metrics_overflowed_spans", "Spans counted in an overflow series."),
            dropped: counter("sekisho_span_metrics_dropped_points", "Points the next pipeline refused for good."),
        }
    }
}

#[cfg(test)]
mod tests;
