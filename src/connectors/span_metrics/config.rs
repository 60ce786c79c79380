//! What can be set, the Collector's keys.

use std::time::Duration;

use serde::Deserialize;

use crate::{
    config::{Check, Report},
    otlp::metrics,
};

/// What every series has unless excluded.
pub const DEFAULT_DIMENSIONS: [&str; 4] = ["service.name", "span.name", "span.kind", "status.code"];
/// The most series that can be asked for: some 600 bytes each.
const MOST_SERIES: usize = 1_000_000;
const MOST_BUCKETS: usize = 512;

/// The configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// In front of the metrics' names; empty for none.
    pub namespace: String,
    /// How durations are told.
    pub histogram: Histogram,
    /// Of both metrics, beside the usual ones.
    pub dimensions: Vec<Dimension>,
    /// Of `calls` only.
    pub calls_dimensions: Vec<Dimension>,
    /// Of the usual ones, those left out.
    pub exclude_dimensions: Vec<String>,
    /// Series kept at once.
    pub aggregation_cardinality_limit: usize,
    /// Resources kept at once.
    pub resource_metrics_cache_size: usize,
    /// Resource attributes that tell resources apart; empty for all.
    pub resource_metrics_key_attributes: Vec<String>,
    /// Whether points count from the start of their series, or from the last flush.
    pub aggregation_temporality: Temporality,
    /// How often metrics are handed on.
    #[serde(with = "crate::config::duration")]
    pub metrics_flush_interval: Duration,
    /// Series unseen for so long are forgotten; zero: never.
    #[serde(with = "crate::config::duration")]
    pub metrics_expiration: Duration,
    /// Spans that stand for a point.
    pub exemplars: Exemplars,
}

/// An attribute that tells series apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dimension {
    /// The attribute's key.
    pub name: String,
    /// Its value where it is missing; none: the series goes without.
    pub default: Option<String>,
}

/// How durations are told.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Histogram {
    /// No durations at all.
    pub disable: bool,
    /// What they are counted in.
    pub unit: Unit,
    /// Buckets with given bounds; the usual form.
    pub explicit: Option<Explicit>,
    /// Buckets that grow exponentially, as many as the durations need.
    pub exponential: Option<Exponential>,
    /// Of `duration` only.
    pub dimensions: Vec<Dimension>,
}

/// Buckets with given bounds.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Explicit {
    /// Upper bounds, growing.
    pub buckets: Vec<Bound>,
}

/// The upper bound of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Deserialize)]
#[serde(transparent)]
pub struct Bound(#[serde(with = "crate::config::duration")] pub Duration);

/// Buckets that grow exponentially.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Exponential {
    /// Buckets of a point.
    pub max_size: usize,
}

/// Spans that stand for a point.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Exemplars {
    /// Whether there are any.
    pub enabled: bool,
    /// Of each point, since the last flush.
    pub max_per_data_point: usize,
}

/// What durations are counted in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Unit {
    /// Milliseconds.
    #[default]
    #[serde(rename = "ms")]
    Milliseconds,
    /// Seconds.
    #[serde(rename = "s")]
    Seconds,
}

/// From where points count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Temporality {
    /// From the start of the series.
    #[default]
    #[serde(rename = "AGGREGATION_TEMPORALITY_CUMULATIVE")]
    Cumulative,
    /// From the last flush.
    #[serde(rename = "AGGREGATION_TEMPORALITY_DELTA")]
    Delta,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            namespace: "traces.span.metrics".to_owned(),
            histogram: Histogram::default(),
            dimensions: Vec::new(),
            calls_dimensions: Vec::new(),
            exclude_dimensions: Vec::new(),
            // The Collector's is unlimited, and the complaint about it.
            aggregation_cardinality_limit: 20_000,
            resource_metrics_cache_size: 1000,
            resource_metrics_key_attributes: Vec::new(),
            aggregation_temporality: Temporality::default(),
            metrics_flush_interval: Duration::from_mins(1),
            metrics_expiration: Duration::ZERO,
            exemplars: Exemplars::default(),
        }
    }
}

impl Default for Explicit {
    fn default() -> Self {
        let millis = [2, 4, 6, 8, 10, 50, 100, 200, 400, 800, 1000, 1400, 2000, 5000, 10_000, 15_000];
        Self { buckets: millis.map(|millis| Bound(Duration::from_millis(millis))).into() }
    }
}

impl Default for Exponential {
    fn default() -> Self {
        Self { max_size: 160 }
    }
}

impl Default for Exemplars {
    fn default() -> Self {
        Self { enabled: false, max_per_data_point: 5 }
    }
}

impl Check for Config {
    fn check(&self, report: &mut Report<'_>) {
        if !(1..=MOST_SERIES).contains(&self.aggregation_cardinality_limit) {
            report.error("aggregation_cardinality_limit", format!("must be between 1 and {MOST_SERIES}"));
        }
        if self.resource_metrics_cache_size == 0 {
            report.error("resource_metrics_cache_size", "must be more than 0");
        }
        if self.metrics_flush_interval.is_zero() {
            report.error("metrics_flush_interval", "must be more than 0");
        }
        if self.exemplars.enabled && !(1..=64).contains(&self.exemplars.max_per_data_point) {
            report.error("exemplars.max_per_data_point", "must be between 1 and 64");
        }
        self.check_dimensions(report);
        report.within("histogram", &self.histogram);
        if self.histogram.disable && !self.histogram.dimensions.is_empty() {
            report.error("histogram.dimensions", "have no effect: `disable` leaves no histogram to have them");
        }
    }
}

impl Config {
    fn check_dimensions(&self, report: &mut Report<'_>) {
        for (index, excluded) in self.exclude_dimensions.iter().enumerate() {
            if !DEFAULT_DIMENSIONS.contains(&excluded.as_str()) {
                report
                    .error(&format!("exclude_dimensions.{index}"), format!("`{excluded}` is not a usual dimension"))
                    .suggest(excluded, &DEFAULT_DIMENSIONS);
            }
        }
        let lists = [
            ("dimensions", &self.dimensions, None),
            ("calls_dimensions", &self.calls_dimensions, Some(&self.dimensions)),
            ("histogram.dimensions", &self.histogram.dimensions, Some(&self.dimensions)),
        ];
        for (key, list, beside) in lists {
            for (index, dimension) in list.iter().enumerate() {
                let same = |other: &Dimension| other.name == dimension.name;
                let twice = DEFAULT_DIMENSIONS.contains(&dimension.name.as_str())
                    || list.iter().take(index).any(same)
                    || beside.is_some_and(|beside| beside.iter().any(same));
                let path = format!("{key}.{index}");
                if dimension.name.is_empty() {
                    report.error(&path, "needs a name");
                } else if twice {
                    report.error(&path, format!("`{}` is a dimension already", dimension.name));
                }
            }
        }
    }

    /// What tells the series of `calls` apart, beside the usual ones.
    pub fn of_calls(&self) -> Vec<Dimension> {
        self.dimensions.iter().chain(&self.calls_dimensions).cloned().collect()
    }

    /// What tells the series of `duration` apart, beside the usual ones.
    pub fn of_durations(&self) -> Vec<Dimension> {
        self.dimensions.iter().chain(&self.histogram.dimensions).cloned().collect()
    }
}

impl Check for Histogram {
    fn check(&self, report: &mut Report<'_>) {
        if self.explicit.is_some() && self.exponential.is_some() {
            report.error("exponential", "does not go with explicit; leave one of them out");
        }
        if self.exponential.as_ref().is_some_and(|exponential| !(2..=MOST_BUCKETS).contains(&exponential.max_size)) {
            report.error("exponential.max_size", format!("must be between 2 and {MOST_BUCKETS}"));
        }
        let buckets = self.explicit.as_ref().map_or(&[][..], |explicit| &explicit.buckets);
        if buckets.len() > MOST_BUCKETS {
            report.error("explicit.buckets", format!("must be at most {MOST_BUCKETS}"));
        }
        for (index, pair) in buckets.windows(2).enumerate() {
            if let [lower, upper] = pair
                && lower >= upper
            {
                report.error(&format!("explicit.buckets.{}", index + 1), "must be more than the one before");
            }
        }
    }
}

impl Unit {
    /// As metrics say it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Milliseconds => "ms",
            Self::Seconds => "s",
        }
    }

    /// Nanoseconds in this unit.
    pub fn of(self, nanos: u64) -> f64 {
        match self {
            Self::Milliseconds => nanos as f64 / 1e6,
            Self::Seconds => nanos as f64 / 1e9,
        }
    }
}

impl From<Temporality> for metrics::Temporality {
    fn from(temporality: Temporality) -> Self {
        match temporality {
            Temporality::Cumulative => Self::Cumulative,
            Temporality::Delta => Self::Delta,
        }
    }
}
