//! `prometheus_remote_write` exporter (also `prometheusremotewrite`): Prometheus remote write 1.0.
//!
//! ```yaml
//! prometheus_remote_write:
//!   endpoint: https://mimir.example.com/api/v1/push
//!   headers: { X-Scope-OrgID: team }
//!   tls: {}                       # see tls.rs
//!   timeout: 5s
//!   namespace: ""                 # in front of every name
//!   external_labels: {}           # on every series that does not have the label itself
//!   resource_to_telemetry_conversion: { enabled: false }   # all resource attributes as labels
//!   target_info: { enabled: true }
//!   add_metric_suffixes: true     # _seconds, _total
//!   send_metadata: false          # types and descriptions
//!   max_batch_size_bytes: 3000000 # of a request, before compression
//!   remote_write_queue: { enabled: true, queue_size: 10000, num_consumers: 5 }
//!   retry_on_failure: {}          # see pipeline/retry.rs
//! ```
//!
//! Batches are sent one after the other, because Prometheus takes samples of a series only in order; the requests that one
//! batch makes, which are about different series, go `num_consumers` at a time. What a 5xx or 429 answers is sent again,
//! anything else is final. Points that count from the point before, not from the start, have no place in remote write:
//! they are dropped, counted and said, and so is what goes beyond 512 MiB in one batch with all its labels written out.
//! Exponential histograms become classic ones with bounds at powers of two.

mod encode;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, header};
use reqwest::{Client, Url};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use self::encode::Requests;
use super::{
    answer,
    client::{check_endpoint, check_headers, check_timeout, client, exchange, header_map},
    prometheus::{
        Switch, check_labels,
        translate::{Labels, Translation},
    },
    sending, tls,
};
use crate::{
    config::{Check, Report, Secret},
    pipeline::{
        Batch, Boxed, Consumer, Next, Outcome,
        component::{Context, ExporterConfig, StartError},
        queue, retry,
    },
    telemetry::Counter,
};

/// A request smaller than this holds hardly a series.
const LEAST_BATCH: usize = 10_000;
/// More at once only wait for each other.
const MOST_CONSUMERS: usize = 1024;

/// The configuration; keys and defaults are the Collector's.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where to push.
    pub endpoint: String,
    /// Sent with every request.
    pub headers: BTreeMap<String, Secret>,
    /// How to trust the destination.
    pub tls: tls::Config,
    /// Of one attempt.
    #[serde(with = "crate::config::DurationText")]
    pub timeout: Duration,
    /// In front of every name.
    pub namespace: String,
    /// On every series that does not have the label itself.
    pub external_labels: BTreeMap<String, String>,
    /// Whether all resource attributes become labels.
    pub resource_to_telemetry_conversion: Switch,
    /// Whether what is known of each target is sent as a series.
    pub target_info: Target,
    /// Whether names say units and types.
    pub add_metric_suffixes: bool,
    /// Whether types and descriptions are sent.
    pub send_metadata: bool,
    /// Largest request, before compression.
    pub max_batch_size_bytes: usize,
    /// In front of it.
    pub remote_write_queue: RemoteWriteQueue,
    /// Around it.
    pub retry_on_failure: retry::Config,
}

/// `target_info`: on unless switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Target {
    /// On or off.
    pub enabled: bool,
}

impl Default for Target {
    fn default() -> Self {
        Self { enabled: true }
    }
}

/// The queue, in this exporter's own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RemoteWriteQueue {
    /// Without a queue, a batch is answered when it is delivered.
    pub enabled: bool,
    /// Batches it holds.
    pub queue_size: usize,
    /// Requests of one batch that are sent at once.
    pub num_consumers: usize,
}

impl Default for RemoteWriteQueue {
    fn default() -> Self {
        Self { enabled: true, queue_size: 10_000, num_consumers: 5 }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            headers: BTreeMap::new(),
            tls: tls::Config::default(),
            timeout: Duration::from_secs(5),
            namespace: String::new(),
            external_labels: BTreeMap::new(),
            resource_to_telemetry_conversion: Switch::default(),
            target_info: Target::default(),
            add_metric_suffixes: true,
            send_metadata: false,
            max_batch_size_bytes: 3_000_000,
            remote_write_queue: RemoteWriteQueue::default(),
            retry_on_failure: retry::Config { initial_interval: Duration::from_millis(50), ..retry::Config::default() },
        }
    }
}

impl Check for Config {
    fn check(&self, report: &mut Report<'_>) {
        check_endpoint(&self.endpoint, "https://mimir.example.com/api/v1/push", &self.tls, report);
        check_headers(&self.headers, report);
        check_timeout(self.timeout, report);
        check_labels("external_labels", &self.external_labels, report);
        if self.max_batch_size_bytes < LEAST_BATCH {
            report.error("max_batch_size_bytes", format!("must be at least {LEAST_BATCH}"));
        }
        if !(1..=MOST_CONSUMERS).contains(&self.remote_write_queue.num_consumers) {
            report.error("remote_write_queue.num_consumers", format!("must be between 1 and {MOST_CONSUMERS}"));
        }
        if self.remote_write_queue.queue_size == 0 {
            report.error("remote_write_queue.queue_size", "must be more than 0");
        }
        report.within("retry_on_failure", &self.retry_on_failure);
    }
}

impl ExporterConfig for Config {
    fn build(&self, context: &Context) -> Result<Next, StartError> {
        let url = Url::parse(&self.endpoint).map_err(|error| context.error(format!("endpoint: {error}")))?;
        let mut headers = header_map(&self.headers);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("snappy"));
        headers.insert("x-prometheus-remote-write-version", HeaderValue::from_static("0.1.0"));
        let send = Arc::new(Sender {
            client: client(&self.tls, self.timeout, context)?,
            url,
            headers,
            translation: Translation {
                namespace: self.namespace.clone(),
                suffixes: self.add_metric_suffixes,
                resource_labels: self.resource_to_telemetry_conversion.enabled,
                scope_labels: false,
                target_info: self.target_info.enabled,
            },
            external_labels: self.external_labels.clone().into_iter().collect(),
            metadata: self.send_metadata,
            largest: self.max_batch_size_bytes,
            at_once: self.remote_write_queue.num_consumers,
            deltas: context.metrics.counter(
                "sekisho_remote_write_dropped_deltas",
                "Points that count from the point before, for which remote write has no place.",
                &[("exporter", context.id.as_str())],
            ),
        });
        let queue = queue::Config {
            enabled: self.remote_write_queue.enabled,
            queue_size: self.remote_write_queue.queue_size,
            num_consumers: 1,
            ..queue::Config::default()
        };
        sending(send, &queue, &self.retry_on_failure, context)
    }
}

struct Sender {
    client: Client,
    url: Url,
    headers: HeaderMap,
    translation: Translation,
    external_labels: Labels,
    metadata: bool,
    largest: usize,
    at_once: usize,
    deltas: Counter,
}

impl Sender {
    async fn send(&self, batch: Batch) -> Outcome {
        let Translated { rounds, deltas, too_large } = self.translated(&batch.body);
        let mut outcome = Outcome::Accepted;
        for requests in rounds {
            outcome = outcome.and(self.send_all(requests).await);
        }
        let dropped = deltas + too_large;
        if dropped == 0 || outcome != Outcome::Accepted {
            return outcome;
        }
        // Counted once, when the rest is delivered: an attempt that failed comes again.
        self.deltas.add(deltas);
        let message = if deltas > 0 {
            "points with delta temporality have no place in remote write; make them cumulative"
        } else {
            "with all its labels the batch is too large; send smaller ones"
        };
        Outcome::Partial { rejected: dropped, message: message.to_owned() }
    }

    /// Sends requests that are about different series, some at a time.
    async fn send_all(&self, requests: Vec<Vec<u8>>) -> Outcome {
        let mut outcome = Outcome::Accepted;
        let (mut waiting, mut sending) = (requests.into_iter(), JoinSet::new());
        loop {
            while sending.len() < self.at_once
                && let Some(body) = waiting.next()
            {
                let request = self.client.post(self.url.clone()).headers(self.headers.clone()).body(body);
                sending.spawn(exchange(request, answer::of_remote_write));
            }
            let answer = match sending.join_next().await {
                None => return outcome,
                Some(Ok(answer)) => answer,
                Some(Err(error)) => Outcome::Retryable { after: None, reason: format!("sending broke down: {error}") },
            };
            outcome = outcome.and(answer);
        }
    }

    fn translated(&self, body: &[u8]) -> Translated {
        let mut requests = Requests::new(&self.external_labels, self.metadata, self.largest);
        let (mut deltas, mut too_large) = (0, 0);
        self.translation.each(body, |family, sample| {
            if sample.delta {
                deltas += 1;
            } else if !requests.add(family, &sample) {
                too_large += 1;
            }
        });
        Translated { rounds: requests.finish(), deltas, too_large }
    }
}

/// What a batch makes.
struct Translated {
    /// Compressed requests; each round is sent when the one before is answered.
    rounds: Vec<Vec<Vec<u8>>>,
    /// Points that have no place in them.
    deltas: u64,
    /// Points for which there was no room.
    too_large: u64,
}

impl Consumer for Sender {
    fn consume(&self, batch: Batch) -> Boxed<'_, Outcome> {
        Box::pin(self.send(batch))
    }
}

#[cfg(test)]
mod tests;
