//! `prometheus` exporter: the latest value of every series, for Prometheus to scrape.
//!
//! ```yaml
//! prometheus:
//!   endpoint: 0.0.0.0:8889
//!   namespace: ""                 # in front of every name
//!   const_labels: {}              # on every series
//!   send_timestamps: false
//!   metric_expiration: 5m         # series that went silent are forgotten after this
//!   resource_to_telemetry_conversion: { enabled: false }   # all resource attributes as labels
//!   enable_open_metrics: false    # for scrapers that ask for it
//!   add_metric_suffixes: true     # _seconds, _total
//!   without_scope_info: false     # no otel_scope_name, otel_scope_version
//! ```
//!
//! Deltas are added up from when the gateway started. Exponential histograms become classic ones with bounds at powers
//! of two. Series are kept in at most 64 MiB: what is new beyond that, a delta that comes twice, or another type under a
//! known name is refused for good and counted. What is kept is lost with the process, as it is meant to be.

mod names;
mod serve;
mod store;
mod text;
pub(super) mod translate;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::{
    serve::Listener,
    store::{Refused, Store},
    translate::{Labels, Translation},
};
use super::direct;
use crate::{
    config::{Check, Endpoint, Report},
    pipeline::{
        Batch, Boxed, Consumer, Next, Outcome,
        component::{Context, ExporterConfig, StartError},
    },
    telemetry::{Counter, Gauge},
};

/// The configuration; keys and defaults are the Collector's.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "the Collector's keys")]
pub struct Config {
    /// Where to be scraped, under `/metrics`.
    pub endpoint: Option<Endpoint>,
    /// In front of every name.
    pub namespace: String,
    /// On every series.
    pub const_labels: BTreeMap<String, String>,
    /// Whether each value says when it was measured.
    pub send_timestamps: bool,
    /// Series that went silent are forgotten after this.
    #[serde(with = "crate::config::DurationText")]
    pub metric_expiration: Duration,
    /// Whether all resource attributes become labels.
    pub resource_to_telemetry_conversion: Switch,
    /// Whether those who ask for `OpenMetrics` get it.
    pub enable_open_metrics: bool,
    /// Whether names say units and types.
    pub add_metric_suffixes: bool,
    /// Whether the scope's name and version are left out.
    pub without_scope_info: bool,
}

/// `{enabled: true}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Switch {
    /// On or off.
    pub enabled: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            endpoint: None,
            namespace: String::new(),
            const_labels: BTreeMap::new(),
            send_timestamps: false,
            metric_expiration: Duration::from_mins(5),
            resource_to_telemetry_conversion: Switch::default(),
            enable_open_metrics: false,
            add_metric_suffixes: true,
            without_scope_info: false,
        }
    }
}

impl Check for Config {
    fn check(&self, report: &mut Report<'_>) {
        if self.endpoint.is_none() {
            report.error("endpoint", "is missing").hint("such as 0.0.0.0:8889");
        }
        if self.metric_expiration.is_zero() {
            report.error("metric_expiration", "must be more than 0");
        }
        check_labels("const_labels", &self.const_labels, report);
    }
}

/// Says which labels Prometheus would not take.
pub(super) fn check_labels(key: &str, labels: &BTreeMap<String, String>, report: &mut Report<'_>) {
    for name in labels.keys().filter(|name| names::label(name) != **name) {
        let message = "is not a name for a label";
        report.error(&format!("{key}::{name}"), message).hint(format!("such as `{}`", names::label(name)));
    }
}

impl ExporterConfig for Config {
    fn build(&self, context: &Context) -> Result<Next, StartError> {
        let endpoint = self.endpoint.as_ref().ok_or_else(|| context.error("endpoint is missing"))?;
        let metrics = &context.metrics;
        let refused = |reason| {
            let labels = [("exporter", context.id.as_str()), ("reason", reason)];
            metrics.counter("sekisho_prometheus_refused_points", "Points that could not be kept, by reason.", &labels)
        };
        let scraped = Arc::new(Shelf {
            store: Mutex::default(),
            translation: Translation {
                namespace: self.namespace.clone(),
                suffixes: self.add_metric_suffixes,
                resource_labels: self.resource_to_telemetry_conversion.enabled,
                scope_labels: !self.without_scope_info,
                target_info: true,
            },
            const_labels: self.const_labels.clone().into_iter().collect(),
            timestamps: self.send_timestamps,
            open_metrics: self.enable_open_metrics,
            expiration: self.metric_expiration,
            full: refused("full"),
            conflict: refused("conflict"),
            old: refused("old"),
            series: metrics.gauge(
                "sekisho_prometheus_series",
                "Series kept for scrapes.",
                &[("exporter", context.id.as_str())],
            ),
        });
        let listener = Listener::at(endpoint, &scraped, context)?;
        Ok(direct(Arc::new(Exporter { shelf: scraped, listener }), context))
    }
}

struct Exporter {
    shelf: Arc<Shelf>,
    /// Listens as long as an exporter holds it.
    listener: Arc<Listener>,
}

/// What is scraped.
struct Shelf {
    store: Mutex<Store>,
    translation: Translation,
    const_labels: Labels,
    timestamps: bool,
    open_metrics: bool,
    expiration: Duration,
    full: Counter,
    conflict: Counter,
    old: Counter,
    series: Gauge,
}

impl Shelf {
    fn take(&self, batch: &Batch) -> Outcome {
        let (mut rejected, mut message) = (0, "");
        let now = Instant::now();
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        self.translation.each(&batch.body, |family, sample| {
            let (counter, reason) = match store.put(family, sample, now) {
                Ok(()) => return,
                Err(Refused::Full) => (&self.full, "there are too many series"),
                Err(Refused::Conflict) => (&self.conflict, "a name means metrics of two types"),
                Err(Refused::Old) => (&self.old, "a delta that is not newer than what is known"),
            };
            counter.add(1);
            rejected += 1;
            message = reason;
        });
        store.expire(self.expiration, now);
        self.series.set(store.series() as f64);
        drop(store);
        if rejected == 0 { Outcome::Accepted } else { Outcome::Partial { rejected, message: message.to_owned() } }
    }

    fn render(&self, open_metrics: bool) -> String {
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        store.expire(self.expiration, Instant::now());
        self.series.set(store.series() as f64);
        let style = text::Style { open_metrics, timestamps: self.timestamps, const_labels: &self.const_labels };
        text::render(&store, style)
    }
}

impl Consumer for Exporter {
    fn consume(&self, batch: Batch) -> Boxed<'_, Outcome> {
        self.listener.show(&self.shelf);
        Box::pin(std::future::ready(self.shelf.take(&batch)))
    }
}

#[cfg(test)]
mod tests;
