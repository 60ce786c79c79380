//! Metrics: plain atomics, rendered in Prometheus text form under the Collector's names, which on its default endpoint
//! carry no `_total` suffix: dashboards made for the Collector work unchanged. That is why no client library renders
//! them: those append the suffix. The same atomics are what the OpenTelemetry SDK observes when they are pushed.

mod histogram;
mod observe;

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use opentelemetry::metrics::Meter;

use crate::config::MetricsLevel;

pub use histogram::{BYTES, Histogram, ITEMS, SECONDS};

/// A value that only grows.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The value now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A value that goes up and down; stored as the bits of an `f64`.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicU64>);

impl Gauge {
    /// Replaces the value.
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }

    /// Adds `by`, which may be negative.
    pub fn add(&self, by: f64) {
        let added = |bits| Some((f64::from_bits(bits) + by).to_bits());
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, added);
    }

    /// The value now.
    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

/// What is asked for a value whenever somebody reads it; nothing where the system does not tell.
pub type Probe = fn() -> Option<f64>;

/// How much somebody wants to see, least first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// What came in, what went out, what the process costs.
    Basic,
    /// Also what happens in between.
    #[default]
    Normal,
    /// Also what few people ask for.
    Detailed,
}

impl From<MetricsLevel> for Detail {
    fn from(level: MetricsLevel) -> Self {
        match level {
            MetricsLevel::Basic => Self::Basic,
            // None is for whoever would show them.
            MetricsLevel::None | MetricsLevel::Normal => Self::Normal,
            MetricsLevel::Detailed => Self::Detailed,
        }
    }
}

/// How metrics are written out.
#[derive(Clone, Debug, Default)]
pub struct Form {
    /// How many of them.
    pub detail: Detail,
    /// Counters end in `_total`, as a reader of the Collector's with `without_type_suffix: false` has them.
    pub total: bool,
    /// Attributes of the resource, as `target_info`; absent if there are none.
    pub resource: Vec<(String, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

#[derive(Clone, Debug)]
enum Series {
    Counter(Counter),
    Gauge(Gauge),
    Measured(Probe),
    Histogram(Histogram),
}

#[derive(Debug)]
struct MetricFamily {
    help: &'static str,
    kind: Kind,
    series: BTreeMap<String, (Labels, Series)>,
}

type Labels = Vec<(String, String)>;

/// Every metric of this process; cheap to clone.
#[derive(Clone, Default)]
pub struct Metrics(Arc<Registry>);

#[derive(Default)]
struct Registry {
    families: Mutex<BTreeMap<&'static str, MetricFamily>>,
    /// Those the SDK observes; locked alone, because a collection holds the SDK's locks while it asks for families.
    meters: Mutex<Vec<(Meter, Detail)>>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// The counter `name{labels}`; asking twice gives the same one, so that a reload keeps its value.
    pub fn counter(&self, name: &'static str, help: &'static str, labels: &[(&str, &str)]) -> Counter {
        match self.series(name, help, Kind::Counter, labels, || Series::Counter(Counter::default())) {
            Series::Counter(counter) => counter,
            _ => Counter::default(),
        }
    }

    /// The gauge `name{labels}`; asking twice gives the same one.
    pub fn gauge(&self, name: &'static str, help: &'static str, labels: &[(&str, &str)]) -> Gauge {
        match self.series(name, help, Kind::Gauge, labels, || Series::Gauge(Gauge::default())) {
            Series::Gauge(gauge) => gauge,
            _ => Gauge::default(),
        }
    }

    /// The histogram `name{labels}` over `bounds`; asking twice gives the same one.
    pub fn histogram(
        &self,
        name: &'static str,
        help: &'static str,
        bounds: &'static [f64],
        labels: &[(&str, &str)],
    ) -> Histogram {
        match self.series(name, help, Kind::Histogram, labels, || Series::Histogram(Histogram::new(bounds))) {
            Series::Histogram(histogram) => histogram,
            _ => Histogram::new(bounds),
        }
    }

    /// The value `name` that `probe` tells when it is asked: one that only grows if `grows`.
    pub fn measured(&self, name: &'static str, help: &'static str, grows: bool, probe: Probe) {
        let kind = if grows { Kind::Counter } else { Kind::Gauge };
        self.series(name, help, kind, &[], || Series::Measured(probe));
    }

    /// Shows all metrics of at most `detail`, those of today and those to come, to the SDK behind `meter`.
    pub fn observe_by(&self, meter: &Meter, detail: Detail) {
        let families = self.families();
        let shown = families.iter().filter(|(name, _)| needed_detail(name) <= detail);
        let known: Vec<_> = shown
            .map(|(name, family)| {
                (*name, family.help, family.kind, family.series.values().cloned().collect::<Vec<_>>())
            })
            .collect();
        self.0.meters.lock().unwrap_or_else(PoisonError::into_inner).push((meter.clone(), detail));
        drop(families);
        for (name, help, kind, series) in known {
            if kind != Kind::Histogram {
                observe::observe(self, meter, name, help, kind);
            }
            for (labels, series) in &series {
                if let Series::Histogram(histogram) = series {
                    observe::tell(meter, name, help, histogram, labels);
                }
            }
        }
    }

    fn series(
        &self,
        name: &'static str,
        help: &'static str,
        kind: Kind,
        labels: &[(&str, &str)],
        fresh: impl FnOnce() -> Series,
    ) -> Series {
        let mut families = self.families();
        let is_new_family = !families.contains_key(name);
        let family = families.entry(name).or_insert_with(|| MetricFamily { help, kind, series: BTreeMap::new() });
        let rendered = render_labels(labels);
        if let Some((_, series)) = family.series.get(&rendered) {
            return series.clone();
        }
        let labels: Labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let series = fresh();
        family.series.insert(rendered, (labels.clone(), series.clone()));
        // The SDK asks for families while it holds its own locks: not to be called with ours.
        drop(families);
        let meters = self.0.meters.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (meter, _) in meters.iter().filter(|(_, detail)| needed_detail(name) <= *detail) {
            match &series {
                Series::Histogram(histogram) => observe::tell(meter, name, help, histogram, &labels),
                _ if is_new_family => observe::observe(self, meter, name, help, kind),
                _ => {}
            }
        }
        series
    }

    /// Forgets all series with `label`: of something that came and went.
    pub fn forget(&self, (key, value): (&str, &str)) {
        for family in self.families().values_mut() {
            family.series.retain(|_, (labels, _)| !labels.iter().any(|(k, v)| k == key && v == value));
        }
    }

    /// The sum of `name` over all its series, or over those with `label`; of histograms, how often they were fed.
    pub fn sum(&self, name: &str, label: Option<(&str, &str)>) -> f64 {
        let families = self.families();
        let series = families.get(name).into_iter().flat_map(|family| family.series.values());
        series
            .filter(|(labels, _)| label.is_none_or(|(key, value)| labels.iter().any(|(k, v)| k == key && v == value)))
            .filter_map(|(_, series)| series.value())
            .sum()
    }

    /// Every series of `name` with its labels.
    pub fn values(&self, name: &str) -> Vec<(Labels, f64)> {
        let families = self.families();
        let series = families.get(name).into_iter().flat_map(|family| family.series.values());
        series.filter_map(|(labels, series)| Some((labels.clone(), series.value()?))).collect()
    }

    /// All metrics in Prometheus text exposition format 0.0.4.
    pub fn render(&self, form: &Form) -> String {
        let families = self.families();
        let mut out = String::new();
        if !form.resource.is_empty() {
            let labels: Vec<(String, &str)> =
                form.resource.iter().map(|(key, value)| (label_name(key), value.as_str())).collect();
            let labels: Vec<(&str, &str)> = labels.iter().map(|(key, value)| (key.as_str(), *value)).collect();
            let _ = writeln!(out, "# HELP target_info Who this is.\n# TYPE target_info gauge");
            let _ = writeln!(out, "target_info{} 1", render_labels(&labels));
        }
        for (name, family) in families.iter().filter(|(name, _)| needed_detail(name) <= form.detail) {
            let suffix = if form.total && family.kind == Kind::Counter { "_total" } else { "" };
            let _ =
                writeln!(out, "# HELP {name}{suffix} {}\n# TYPE {name}{suffix} {}", family.help, family.kind.name());
            for (labels, (_, series)) in &family.series {
                match series {
                    Series::Histogram(histogram) => histogram.render(&mut out, name, labels),
                    series => {
                        if let Some(value) = series.value() {
                            let _ = writeln!(out, "{name}{suffix}{labels} {value}");
                        }
                    }
                }
            }
        }
        out
    }

    fn families(&self) -> MutexGuard<'_, BTreeMap<&'static str, MetricFamily>> {
        self.0.families.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

impl Series {
    fn value(&self) -> Option<f64> {
        match self {
            Self::Counter(counter) => Some(counter.get() as f64),
            Self::Gauge(gauge) => Some(gauge.get()),
            Self::Measured(probe) => probe(),
            Self::Histogram(histogram) => Some(histogram.count() as f64),
        }
    }
}

/// From which detail on a metric is shown.
fn needed_detail(name: &str) -> Detail {
    const BASIC: [&str; 5] =
        ["otelcol_receiver_", "otelcol_exporter_s", "otelcol_exporter_enqueue", "otelcol_process_", "sekisho_"];
    if name.ends_with("_size_bytes") {
        return Detail::Detailed;
    }
    if BASIC.iter().any(|prefix| name.starts_with(prefix)) { Detail::Basic } else { Detail::Normal }
}

/// An attribute's name as a Prometheus label: `service.name` → `service_name`.
fn label_name(key: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' };
    let name: String = key.chars().map(plain).collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("key_{name}") } else { name }
}

fn render_labels(labels: &[(&str, &str)]) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let escape = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let pairs: Vec<String> = labels.iter().map(|(key, value)| format!("{key}=\"{}\"", escape(value))).collect();
    format!("{{{}}}", pairs.join(","))
}

#[cfg(test)]
mod tests;
