//! From an OTLP request to points as Prometheus sees them: a name, labels, a value.

use std::collections::BTreeMap;

use super::names::{Naming, Style, label};
use crate::otlp::{
    points::{self, Kind, Measured, Metric, Point, Temporality},
    view::{self, AnyValue, ResourceGroup, ScopeGroup},
};

/// A label's value longer than this is cut: it identifies nothing any more.
const LONGEST_VALUE: usize = 4096;

/// A series' labels together hold no more than this; what comes after is left out. Otherwise one resource with a megabyte
/// of attributes would be copied to each of a million points.
const MOST_LABEL_BYTES: usize = 16 << 10;

/// What decides how requests are translated.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of the configuration")]
pub struct Translation {
    /// In front of every name; as given, made valid with the name.
    pub namespace: String,
    /// Whether units and types are said in names.
    pub suffixes: bool,
    /// Whether all the resource's attributes become labels, or only who and which instance.
    pub resource_labels: bool,
    /// Whether the scope's name and version become labels.
    pub scope_labels: bool,
    /// Whether `target_info` says what else the resource has.
    pub target_info: bool,
}

/// Labels, sorted and each only once.
pub type Labels = Vec<(String, String)>;

/// What Prometheus calls a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts up to each bound.
    Histogram,
    /// Quantiles.
    Summary,
}

impl Type {
    /// As the text format calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
        }
    }
}

/// What is said of a metric once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    /// Valid for Prometheus.
    pub name: String,
    /// What it is.
    pub kind: Type,
    /// For people.
    pub help: String,
}

/// A point of one series.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Who, and what about.
    pub labels: Labels,
    /// Unix nanoseconds; 0 if unknown.
    pub start: u64,
    /// Unix nanoseconds.
    pub time: u64,
    /// It counts from the point before, not from the start.
    pub delta: bool,
    /// `None`: the series has ended.
    pub value: Option<Value>,
}

/// What a series is at.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Of a counter or a gauge.
    Number(f64),
    /// Of a histogram: how many lie in the bucket below each bound, lowest first and without the infinite one.
    Histogram {
        /// By upper bound.
        buckets: Vec<(f64, u64)>,
        /// Of all.
        sum: Option<f64>,
        /// Of all.
        count: u64,
    },
    /// Of a summary.
    Summary {
        /// By quantile.
        quantiles: Vec<(f64, f64)>,
        /// Of all.
        sum: f64,
        /// Of all.
        count: u64,
    },
}

impl Translation {
    /// Shows every point of the request in `body`, and for each resource the point of its `target_info`.
    pub fn each(&self, body: &[u8], mut show: impl FnMut(&Family, Sample)) {
        for group in view::resources(body) {
            let resource = Resource::read(group);
            let mut latest = 0;
            for scope in group.scopes() {
                let common = self.common(&resource, &scope);
                for record in scope.records() {
                    let metric = Metric::parse(record);
                    let Some(family) = self.family(&metric) else { continue };
                    for point in metric.points() {
                        let sample = sample(metric.kind, point, &common);
                        latest = latest.max(sample.time);
                        show(&family, sample);
                    }
                }
            }
            if let Some(sample) = self.target_info(&resource, latest) {
                let family = Family {
                    name: self.naming().metric("target_info", "", Style::Other),
                    kind: Type::Gauge,
                    help: "What is known of each target.".to_owned(),
                };
                show(&family, sample);
            }
        }
    }

    fn naming(&self) -> Naming<'_> {
        Naming { namespace: &self.namespace, suffixes: self.suffixes }
    }

    fn family(&self, metric: &Metric<'_>) -> Option<Family> {
        let (kind, style) = match metric.kind {
            Kind::Unknown => return None,
            Kind::Sum { monotonic: true, .. } => (Type::Counter, Style::Counter),
            Kind::Gauge => (Type::Gauge, Style::Gauge),
            Kind::Sum { monotonic: false, .. } => (Type::Gauge, Style::Other),
            Kind::Histogram(_) | Kind::Exponential(_) => (Type::Histogram, Style::Other),
            Kind::Summary => (Type::Summary, Style::Other),
        };
        let text = |bytes| cut(&String::from_utf8_lossy(bytes)).to_owned();
        let name = self.naming().metric(&text(metric.name), &text(metric.unit), style);
        Some(Family { name, kind, help: text(metric.description) })
    }

    /// Labels that all points of a scope share.
    fn common(&self, resource: &Resource, scope: &ScopeGroup<'_>) -> BTreeMap<String, String> {
        let mut labels = BTreeMap::new();
        if self.resource_labels {
            for (key, value) in &resource.attributes {
                put(&mut labels, key, value);
            }
        }
        resource.identify(&mut labels);
        if self.scope_labels {
            for (key, value) in [("otel_scope_name", scope.name()), ("otel_scope_version", scope.version())] {
                if !value.is_empty() {
                    labels.insert(key.to_owned(), cut(&String::from_utf8_lossy(value)).to_owned());
                }
            }
        }
        labels
    }

    fn target_info(&self, resource: &Resource, time: u64) -> Option<Sample> {
        let others = resource.attributes.iter().filter(|(key, _)| !IDENTITY.contains(&key.as_str()));
        let mut labels = BTreeMap::new();
        for (key, value) in others {
            put(&mut labels, key, value);
        }
        if !self.target_info
            || time == 0
            || labels.is_empty()
            || (resource.job.is_empty() && resource.instance.is_empty())
        {
            return None;
        }
        resource.identify(&mut labels);
        let value = Some(Value::Number(1.0));
        Some(Sample { labels: labels.into_iter().collect(), start: 0, time, delta: false, value })
    }
}

/// What `job` and `instance` are made of.
const IDENTITY: [&str; 3] = ["service.namespace", "service.name", "service.instance.id"];

struct Resource {
    attributes: Vec<(String, String)>,
    job: String,
    instance: String,
}

impl Resource {
    fn read(group: ResourceGroup<'_>) -> Self {
        let attributes: Vec<(String, String)> =
            group.attributes().map(|(key, value)| (String::from_utf8_lossy(key).into_owned(), text(value))).collect();
        let get =
            |wanted: &str| attributes.iter().rfind(|(key, _)| key == wanted).map_or("", |(_, value)| value.as_str());
        let [namespace, name, instance] = IDENTITY.map(get);
        let job = if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") };
        let instance = instance.to_owned();
        Self { attributes, job, instance }
    }

    fn identify(&self, labels: &mut BTreeMap<String, String>) {
        for (key, value) in [("job", &self.job), ("instance", &self.instance)] {
            if !value.is_empty() {
                labels.insert(key.to_owned(), value.clone());
            }
        }
    }
}

fn sample(kind: Kind, point: &[u8], common: &BTreeMap<String, String>) -> Sample {
    let mut own = BTreeMap::new();
    let read = Point::scan(kind, point, |key, value| put(&mut own, &String::from_utf8_lossy(key), &text(value)));
    let mut labels = common.clone();
    // A point's own word is the nearer one.
    labels.extend(own);
    let value = match read.value {
        Measured::Nothing => None,
        Measured::Int(value) => Some(Value::Number(value as f64)),
        Measured::Double(value) => Some(Value::Number(value)),
        Measured::Many { count, sum } => Some(many(kind, point, count, sum)),
    };
    let value = value.filter(|_| !read.ended);
    Sample {
        labels: labels.into_iter().collect(),
        start: read.start,
        time: read.time,
        delta: kind.temporality() == Temporality::Delta,
        value,
    }
}

fn many(kind: Kind, point: &[u8], count: u64, sum: Option<f64>) -> Value {
    match kind {
        Kind::Summary => {
            Value::Summary { quantiles: points::quantiles(point).collect(), sum: sum.unwrap_or(0.0), count }
        }
        Kind::Exponential(_) => Value::Histogram { buckets: powers_of_two(&points::Buckets::parse(point)), sum, count },
        _ => {
            let buckets = points::explicit_buckets(point).into_iter().filter(|(bound, _)| bound.is_finite()).collect();
            Value::Histogram { buckets, sum, count }
        }
    }
}

/// An exponential histogram's buckets merged to those whose bounds are powers of two: exact, few, and the same bounds
/// whatever scale the sender is at, so that rates go on when it changes.
fn powers_of_two(point: &points::Buckets<'_>) -> Vec<(f64, u64)> {
    // Keys sort as their bounds do: below zero, zero, above.
    let mut buckets: BTreeMap<(i8, i64), u64> = BTreeMap::new();
    let mut add = |key, count: u64| {
        let bucket: &mut u64 = buckets.entry(key).or_default();
        *bucket = bucket.saturating_add(count);
    };
    // The power of two that bounds a bucket above; exponents beyond those of doubles are infinite or zero anyway.
    let exponent = |edge: i64, up: bool| {
        let scale = point.scale.clamp(-11, 40);
        let power = if scale <= 0 {
            edge << -scale
        } else if up {
            (edge + (1 << scale) - 1) >> scale
        } else {
            edge >> scale
        };
        power.clamp(-1075, 1024)
    };
    for (index, count) in point.positive() {
        add((1, exponent(index.saturating_add(1), true)), count);
    }
    for (index, count) in point.negative() {
        // What is smallest in size is the upper bound.
        add((-1, -exponent(index, false)), count);
    }
    if point.zero_count > 0 {
        add((0, 0), point.zero_count);
    }
    let bound = |(sign, exponent): (i8, i64)| match sign {
        0 => point.zero_threshold.max(0.0),
        1 => f64::exp2(exponent as f64),
        _ => -f64::exp2(-exponent as f64),
    };
    buckets.into_iter().map(|(key, count)| (bound(key), count)).filter(|(bound, _)| bound.is_finite()).collect()
}

/// Adds a label; keys that become the same name share it, their values joined.
fn put(labels: &mut BTreeMap<String, String>, key: &str, value: &str) {
    let (value, taken) = (cut(value), labels.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>());
    if taken + key.len() + value.len() > MOST_LABEL_BYTES {
        return;
    }
    match labels.entry(label(key)) {
        std::collections::btree_map::Entry::Vacant(vacant) => {
            vacant.insert(value.to_owned());
        }
        std::collections::btree_map::Entry::Occupied(mut taken) => {
            let joined = format!("{};{value}", taken.get());
            cut(&joined).clone_into(taken.get_mut());
        }
    }
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(LONGEST_VALUE)).unwrap_or(text)
}

/// A value as a label says it.
fn text(value: AnyValue<'_>) -> String {
    match value {
        AnyValue::Empty => String::new(),
        AnyValue::String(text) => String::from_utf8_lossy(text).into_owned(),
        AnyValue::Bool(value) => value.to_string(),
        AnyValue::Int(value) => value.to_string(),
        AnyValue::Double(value) => value.to_string(),
        AnyValue::Bytes(bytes) => crate::otlp::hex(bytes),
        AnyValue::Array(_) | AnyValue::KvList(_) => crate::exporters::alert::plain(value).to_string(),
    }
}

#[cfg(test)]
pub(in crate::exporters) mod tests;
