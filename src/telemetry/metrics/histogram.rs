//! How values are spread: counts between fixed bounds, and their sum.

use std::{
    fmt::Write as _,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use opentelemetry::KeyValue;

/// Bounds for numbers of items; the Collector's for its batch processor.
pub const ITEMS: &[f64] = &[
    10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1000.0, 2000.0, 3000.0, 4000.0, 5000.0, 6000.0, 7000.0, 8000.0,
    9000.0, 10_000.0, 20_000.0, 30_000.0, 50_000.0, 100_000.0,
];
/// Bounds for sizes in bytes.
pub const BYTES: &[f64] = &[
    10.0,
    25.0,
    50.0,
    75.0,
    100.0,
    250.0,
    500.0,
    750.0,
    1000.0,
    2000.0,
    5000.0,
    10_000.0,
    25_000.0,
    50_000.0,
    100_000.0,
    250_000.0,
    500_000.0,
    1_000_000.0,
    2_500_000.0,
    5_000_000.0,
    10_000_000.0,
    50_000_000.0,
];
/// Bounds for durations in seconds, from ten microseconds on.
pub const SECONDS: &[f64] =
    &[0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0];

/// A distribution; cheap to clone.
#[derive(Clone, Debug)]
pub struct Histogram(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    bounds: &'static [f64],
    /// One more than bounds; each counts what lies above the bound before it.
    counts: Vec<AtomicU64>,
    sum: super::Gauge,
    /// The SDK's, which cannot observe a distribution but must be told each value.
    told: Mutex<Vec<(opentelemetry::metrics::Histogram<f64>, Vec<KeyValue>)>>,
    is_told: std::sync::atomic::AtomicBool,
}

impl Histogram {
    pub(super) fn new(bounds: &'static [f64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        let (sum, told, is_told) = Default::default();
        Self(Arc::new(Inner { bounds, counts, sum, told, is_told }))
    }

    /// Counts `value`.
    pub fn record(&self, value: f64) {
        let bucket = self.0.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.0.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.0.sum.add(value);
        if self.0.is_told.load(Ordering::Relaxed) {
            for (histogram, labels) in self.0.told.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                histogram.record(value, labels);
            }
        }
    }

    /// How many values were recorded.
    pub fn count(&self) -> u64 {
        self.0.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    pub(super) fn bounds(&self) -> &'static [f64] {
        self.0.bounds
    }

    pub(super) fn tell(&self, histogram: opentelemetry::metrics::Histogram<f64>, labels: Vec<KeyValue>) {
        self.0.told.lock().unwrap_or_else(PoisonError::into_inner).push((histogram, labels));
        self.0.is_told.store(true, Ordering::Relaxed);
    }

    pub(super) fn render(&self, out: &mut String, name: &str, labels: &str) {
        let more = |bound: &str| match labels.strip_suffix('}') {
            Some(open) => format!("{open},le=\"{bound}\"}}"),
            None => format!("{{le=\"{bound}\"}}"),
        };
        let mut below = 0;
        for (number, count) in self.0.counts.iter().enumerate() {
            below += count.load(Ordering::Relaxed);
            let bound = self.0.bounds.get(number).map_or_else(|| "+Inf".to_owned(), f64::to_string);
            let _ = writeln!(out, "{name}_bucket{} {below}", more(&bound));
        }
        let _ = writeln!(out, "{name}_sum{labels} {}\n{name}_count{labels} {below}", self.0.sum.get());
    }
}
