//! How telemetry gets out: one component, one file.
//!
//! A component here only sends one batch and says how that went. Queue, retries, counting and health are the same for
//! all and are put around it by `sending`.

pub mod alertmanager;
pub mod datadog;
pub mod debug;
pub mod escalation;
pub mod file;
pub mod grafana_annotations;
pub mod load_balancing;
pub mod microsoft_teams;
pub mod ocsf;
pub mod otlp_grpc;
pub mod otlp_http;
pub mod pagerduty;
pub mod prometheus;
pub mod prometheus_remote_write;
pub mod slack;
pub mod splunk_hec;
pub mod syslog;
pub mod webhook;

pub(crate) mod alert;
mod answer;
mod client;

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use tokio_util::sync::CancellationToken;

use crate::{
    config::Report,
    otlp::Signal,
    pipeline::{
        Batch, Boxed, Consumer, Next, Outcome,
        component::{Context, StartError},
        flow,
        health::Health,
        queue::{self, Queue},
        retry::{self, Retry},
    },
    telemetry::{BYTES, Counter, Gauge, Histogram, ITEMS},
    transport::tls::client as tls,
};

/// So many attempts in a row must fail before the exporter is said to be in trouble.
const IN_TROUBLE_AFTER: u32 = 2;

/// `send`, counted, watched, retried and queued.
fn sending(send: Next, queue: &queue::Config, retry: &retry::Config, context: &Context) -> Result<Next, StartError> {
    let closing = CancellationToken::new();
    let retrying = Retry::over(retry, counted(send, context), closing.clone(), queue.at_end());
    Queue::over(queue, retrying, closing, context)
}

/// Says what is wrong with a queue and the retries behind it.
fn check_sending(queue: &queue::Config, retry: &retry::Config, report: &mut Report<'_>) {
    report.within("sending_queue", queue);
    report.within("retry_on_failure", retry);
    let limit = retry.max_elapsed_time;
    if queue.storage.is_some() && (!retry.enabled || !limit.is_zero()) {
        let limit =
            if retry.enabled { format!("after {}s", limit.as_secs()) } else { "at the first refusal".to_owned() };
        let message = format!("what is stored is given up {limit} although it could wait on disk");
        report.warning("retry_on_failure", message).hint("set `max_elapsed_time: 0` to keep it until it is delivered");
    }
}

/// `send`, counted and watched: for what is quick and here, where a queue would only hide a full disk from senders.
fn direct(send: Next, context: &Context) -> Next {
    queue::unqueued(counted(send, context), CancellationToken::new(), context)
}

/// `send`, with each attempt counted and watched.
fn counted(send: Next, context: &Context) -> Next {
    let labels = [("exporter", context.id.as_str())];
    let delivered = Signal::ALL.map(|signal| context.metrics.counter(sent(signal), "Items delivered.", &labels));
    let metrics = &context.metrics;
    Arc::new(Counted {
        send,
        delivered,
        in_flight: metrics.gauge("otelcol_exporter_in_flight_requests", "Requests being sent.", &labels),
        items: metrics.histogram("otelcol_exporter_queue_batch_send_size", "Items in a request sent.", ITEMS, &labels),
        bytes: metrics.histogram(
            "otelcol_exporter_queue_batch_send_size_bytes",
            "Bytes of a request sent, before compression.",
            BYTES,
            &labels,
        ),
        health: context.shared.get::<Health>(Health::NAME),
        failures: AtomicU32::new(0),
        component: context.component.clone(),
        id: context.id.clone(),
    })
}

struct Counted {
    send: Next,
    delivered: [Counter; 3],
    in_flight: Gauge,
    items: Histogram,
    bytes: Histogram,
    health: Option<Arc<Health>>,
    /// Attempts that failed since the last that did not.
    failures: AtomicU32,
    component: String,
    id: String,
}

/// A request that is being sent, until it is not: whoever waits for the answer may go away.
struct InFlight<'a>(&'a Gauge);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.add(-1.0);
    }
}

impl Counted {
    async fn send(&self, batch: Batch) -> Outcome {
        let (signal, items) = (batch.signal, batch.items as u64);
        self.items.record(batch.items as f64);
        self.bytes.record(batch.body.len() as f64);
        self.in_flight.add(1.0);
        let in_flight = InFlight(&self.in_flight);
        let span = flow::span("exporter", &self.id, &batch);
        let outcome = flow::traced(async { self.send.consume(batch).await }, span).await;
        drop(in_flight);
        match &outcome {
            Outcome::Accepted => self.succeeded(signal, items),
            Outcome::Partial { rejected, .. } => self.succeeded(signal, items.saturating_sub(*rejected)),
            Outcome::Retryable { reason, .. } | Outcome::Permanent { reason } => self.failed(reason),
            Outcome::Overloaded { .. } => self.failed("the destination is overloaded"),
        }
        outcome
    }

    fn succeeded(&self, signal: Signal, items: u64) {
        if let Some(delivered) = self.delivered.get(signal as usize) {
            delivered.add(items);
        }
        if self.failures.swap(0, Ordering::Relaxed) >= IN_TROUBLE_AFTER {
            tracing::info!(component = self.component, "delivers again");
            if let Some(health) = &self.health {
                health.trouble(&self.component, None);
            }
        }
    }

    fn failed(&self, reason: &str) {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if failures < IN_TROUBLE_AFTER {
            return;
        }
        if failures == IN_TROUBLE_AFTER {
            tracing::warn!(component = self.component, reason, "does not get through");
        }
        if let Some(health) = &self.health {
            health.trouble(&self.component, Some(reason.to_owned()));
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if *self.failures.get_mut() >= IN_TROUBLE_AFTER
            && let Some(health) = &self.health
        {
            health.trouble(&self.component, None);
        }
    }
}

impl Consumer for Counted {
    fn consume(&self, batch: Batch) -> Boxed<'_, Outcome> {
        Box::pin(self.send(batch))
    }

    fn drain(&self) -> Boxed<'_, ()> {
        self.send.drain()
    }
}

const fn sent(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "otelcol_exporter_sent_spans",
        Signal::Metrics => "otelcol_exporter_sent_metric_points",
        Signal::Logs => "otelcol_exporter_sent_log_records",
    }
}

#[cfg(test)]
pub(crate) mod tests;
