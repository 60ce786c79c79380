//! Metrics: plain atomics, rendered in Prometheus text form under the Collector's names, which on its default endpoint
//! carry no `_total` suffix: dashboards made for the Collector work unchanged. That is why no client library renders
//! them: those append the suffix.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

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

    /// The value now.
    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

#[derive(Clone, Debug)]
enum Series {
    Counter(Counter),
    Gauge(Gauge),
}

#[derive(Debug)]
struct MetricFamily {
    help: &'static str,
    kind: &'static str,
    series: BTreeMap<String, Series>,
}

/// Every metric of this process; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Arc<Mutex<BTreeMap<&'static str, MetricFamily>>>);

impl Metrics {
    /// The counter `name{labels}`; asking twice gives the same one, so that a reload keeps its value.
    pub fn counter(&self, name: &'static str, help: &'static str, labels: &[(&str, &str)]) -> Counter {
        let fresh = || Series::Counter(Counter::default());
        match self.series(name, help, "counter", labels, fresh) {
            Series::Counter(counter) => counter,
            Series::Gauge(_) => Counter::default(),
        }
    }

    /// The gauge `name{labels}`; asking twice gives the same one.
    pub fn gauge(&self, name: &'static str, help: &'static str, labels: &[(&str, &str)]) -> Gauge {
        let fresh = || Series::Gauge(Gauge::default());
        match self.series(name, help, "gauge", labels, fresh) {
            Series::Gauge(gauge) => gauge,
            Series::Counter(_) => Gauge::default(),
        }
    }

    fn series(
        &self,
        name: &'static str,
        help: &'static str,
        kind: &'static str,
        labels: &[(&str, &str)],
        fresh: impl FnOnce() -> Series,
    ) -> Series {
        let mut families = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let family = families.entry(name).or_insert_with(|| MetricFamily { help, kind, series: BTreeMap::new() });
        family.series.entry(render_labels(labels)).or_insert_with(fresh).clone()
    }

    /// The sum of `name` over all its series, or over those with `label`.
    pub fn sum(&self, name: &str, label: Option<(&str, &str)>) -> f64 {
        let families = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = label.map(|label| render_labels(&[label]).trim_matches(['{', '}']).to_owned());
        let series = families.get(name).into_iter().flat_map(|family| &family.series);
        series
            .filter(|(labels, _)| wanted.as_ref().is_none_or(|label| labels.contains(label)))
            .map(|(_, series)| match series {
                Series::Counter(counter) => counter.get() as f64,
                Series::Gauge(gauge) => gauge.get(),
            })
            .sum()
    }

    /// All metrics in Prometheus text exposition format 0.0.4.
    pub fn render(&self) -> String {
        let families = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = String::new();
        for (name, family) in families.iter() {
            let _ = writeln!(out, "# HELP {name} {}\n# TYPE {name} {}", family.help, family.kind);
            for (labels, series) in &family.series {
                let _ = match series {
                    Series::Counter(counter) => writeln!(out, "{name}{labels} {}", counter.get()),
                    Series::Gauge(gauge) => writeln!(out, "{name}{labels} {}", gauge.get()),
                };
            }
        }
        out
    }
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
mod tests {
    use super::*;

    #[test]
    fn a_counter_asked_for_twice_is_one_counter_and_renders_without_suffix() {
        let metrics = Metrics::default();
        metrics.counter("otelcol_exporter_sent_spans", "Spans sent.", &[("exporter", "a\"b")]).add(2);
        metrics.counter("otelcol_exporter_sent_spans", "Spans sent.", &[("exporter", "a\"b")]).add(3);
        metrics.gauge("otelcol_exporter_queue_size", "Batches waiting.", &[]).set(1.5);
        let text = metrics.render();
        assert!(text.contains("otelcol_exporter_sent_spans{exporter=\"a\\\"b\"} 5\n"), "{text}");
        assert!(text.contains("# TYPE otelcol_exporter_queue_size gauge\notelcol_exporter_queue_size 1.5\n"), "{text}");
    }
}
