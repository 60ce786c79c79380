//! What is kept between flushes: for each resource and each combination of dimensions, how many spans and how long.

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::{
    config::{Config, DEFAULT_DIMENSIONS, Dimension, Temporality},
    exponential::Buckets,
};
use crate::otlp::{
    Batch,
    metrics::{Describe, Exemplar, Exponential, Number, Point, Points, Totals, Writer},
    view::{AnyValue, ResourceGroup, Span, messages},
    wire::put_bytes,
    write,
};

/// A combination of dimensions longer than this is counted with the overflow: its sender made it up.
const LONGEST_KEY: usize = 4 << 10;
/// The same for a resource.
const LONGEST_RESOURCE: usize = 64 << 10;
/// A request is handed on when it is this long: receivers refuse what is much longer.
const FULL_REQUEST: usize = 1 << 20;
/// Points written at once, so that a request is not much longer than [`FULL_REQUEST`].
const CHUNK: usize = 1000;
const SCOPE: &str = "spanmetricsconnector";

/// Everything counted.
pub struct Aggregate {
    config: Config,
    bounds: Vec<f64>,
    resources: Vec<Vec<u8>>,
    resource_ids: HashMap<Vec<u8>, usize, RandomState>,
    families: Vec<Family>,
    scratch: Vec<u8>,
    /// Spans counted in an overflow series.
    pub overflowed: u64,
}

/// Series told apart by the same dimensions.
struct Family {
    dimensions: Vec<Dimension>,
    calls: bool,
    durations: bool,
    series: HashMap<Key, Series, RandomState>,
}

/// The resource's place in [`Aggregate::resources`], and the serialised attributes.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    resource: usize,
    attributes: Vec<u8>,
}

/// The same, to look up without owning it.
#[derive(Hash)]
struct KeyRef<'a> {
    resource: usize,
    attributes: &'a [u8],
}

impl hashbrown::Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.resource == key.resource && self.attributes == key.attributes
    }
}

struct Series {
    /// From when it counts.
    start: u64,
    last_seen: u64,
    count: u64,
    sum: f64,
    min: f64,
    max: f64,
    buckets: Kind,
    exemplars: Vec<Exemplar>,
}

enum Kind {
    /// Only calls are counted.
    None,
    Explicit(Vec<u64>),
    Exponential {
        zero: u64,
        buckets: Buckets,
    },
}

impl Aggregate {
    /// Nothing counted yet.
    pub fn new(config: Config) -> Self {
        let (of_calls, of_durations) = (config.of_calls(), config.of_durations());
        let family = |dimensions, calls, durations| Family { dimensions, calls, durations, series: HashMap::default() };
        let families = if config.histogram.disable {
            vec![family(of_calls, true, false)]
        } else if of_calls == of_durations {
            vec![family(of_calls, true, true)]
        } else {
            vec![family(of_calls, true, false), family(of_durations, false, true)]
        };
        let explicit = config.histogram.explicit.clone().unwrap_or_default();
        let bounds = explicit.buckets.iter().map(|bound| config.histogram.unit.of(bound.0.as_nanos() as u64)).collect();
        Self {
            config,
            bounds,
            resources: Vec::new(),
            resource_ids: HashMap::default(),
            families,
            scratch: Vec::new(),
            overflowed: 0,
        }
    }

    /// How many series there are.
    pub fn series(&self) -> usize {
        self.families.iter().map(|family| family.series.len()).sum()
    }

    /// Counts the spans of one resource.
    pub fn resource(&mut self, group: &ResourceGroup<'_>, now: u64) {
        let id = self.resource_id(group);
        let service = group.attributes().find(|(key, _)| *key == b"service.name").map(|(_, value)| value);
        for record in group.scopes().flat_map(|scope| scope.records()) {
            self.span(id, group, service, record, now);
        }
    }

    /// The place of this resource; `None` if there is no room for it.
    fn resource_id(&mut self, group: &ResourceGroup<'_>) -> Option<usize> {
        let key = &mut self.scratch;
        key.clear();
        let wanted = &self.config.resource_metrics_key_attributes;
        if wanted.is_empty() {
            key.extend_from_slice(group.resource());
        } else {
            for name in wanted {
                let found = group.attributes().find(|(key, _)| *key == name.as_bytes());
                if let Some((_, value)) = found {
                    write::value(key, 1, name, value);
                }
            }
        }
        if let Some(id) = self.resource_ids.get(key) {
            return Some(*id);
        }
        let full = self.resources.len() >= self.config.resource_metrics_cache_size;
        if full || key.len() > LONGEST_RESOURCE || group.resource().len() > LONGEST_RESOURCE {
            return None;
        }
        self.resources.push(group.resource().to_vec());
        self.resource_ids.insert(key.clone(), self.resources.len() - 1);
        Some(self.resources.len() - 1)
    }

    fn span(
        &mut self,
        resource: Option<usize>,
        group: &ResourceGroup<'_>,
        service: Option<AnyValue<'_>>,
        record: &[u8],
        now: u64,
    ) {
        let Self { config, bounds, families, scratch, overflowed, .. } = self;
        let span = Span::scan(record, |_, _| {});
        let duration = config.histogram.unit.of(span.end.saturating_sub(span.start));
        let mut room = config.aggregation_cardinality_limit;
        let kept: usize = families.iter().map(|family| family.series.len()).sum();
        room = room.saturating_sub(kept);
        let mut missed = false;
        for family in families {
            scratch.clear();
            usual_dimensions(scratch, config, service, &span);
            further_dimensions(scratch, &family.dimensions, record, group);
            let at = KeyRef { resource: resource.unwrap_or(usize::MAX), attributes: scratch };
            let known = family.series.contains_key(&at);
            if !known && (room == 0 || resource.is_none() || scratch.len() > LONGEST_KEY) {
                missed = true;
                scratch.clear();
                write::boolean(scratch, 1, "otel.metric.overflow", true);
            }
            let at = KeyRef { resource: resource.unwrap_or(usize::MAX), attributes: scratch };
            let fresh = || Series::new(now, family.durations, config, bounds.len());
            let series = if let Some(series) = family.series.get_mut(&at) {
                series
            } else {
                room = room.saturating_sub(1);
                let key = Key { resource: at.resource, attributes: scratch.clone() };
                family.series.entry(key).or_insert_with(fresh)
            };
            series.add(duration, bounds, now);
            if config.exemplars.enabled && series.exemplars.len() < config.exemplars.max_per_data_point {
                series.exemplars.extend(exemplar(&span, duration));
            }
        }
        *overflowed += u64::from(missed);
    }

    /// Everything counted, as requests; what is no longer wanted is forgotten.
    pub fn flush(&mut self, now: u64) -> Vec<Batch> {
        let mut requests = Vec::new();
        let mut writer = Writer::default();
        for family in &self.families {
            let mut keys: Vec<(&Key, &Series)> = family.series.iter().collect();
            keys.sort_unstable_by(|(a, _), (b, _)| (a.resource, &a.attributes).cmp(&(b.resource, &b.attributes)));
            for of_resource in keys.chunk_by(|(a, _), (b, _)| a.resource == b.resource) {
                for chunk in of_resource.chunks(CHUNK) {
                    self.write(&mut writer, family, chunk, now);
                    if writer.len() > FULL_REQUEST {
                        requests.push(std::mem::take(&mut writer).finish());
                    }
                }
            }
        }
        if !writer.is_empty() {
            requests.push(writer.finish());
        }
        self.forget(now);
        requests
    }

    /// Writes series of one resource.
    fn write(&self, writer: &mut Writer, family: &Family, chunk: &[(&Key, &Series)], now: u64) {
        let resource = chunk.first().and_then(|(key, _)| self.resources.get(key.resource));
        let temporality = self.config.aggregation_temporality.into();
        let unit = self.config.histogram.unit.name();
        let name = |of: &str| match self.config.namespace.as_str() {
            "" => of.to_owned(),
            namespace => format!("{namespace}.{of}"),
        };
        writer.resource(resource.map_or(&[][..], Vec::as_slice), SCOPE, |metrics| {
            if family.calls {
                let calls = Describe { name: &name("calls"), description: "", unit: "" };
                metrics.sum(calls, temporality, true, |points| {
                    for (key, series) in chunk {
                        let point = Point { attributes: &key.attributes, start: series.start, time: now };
                        let exemplars = if family.durations { &[][..] } else { &series.exemplars };
                        let count = i64::try_from(series.count).unwrap_or(i64::MAX);
                        points.number(&point, Number::Int(count), exemplars);
                    }
                });
            }
            if family.durations {
                let durations = Describe { name: &name("duration"), description: "", unit };
                let fill = |points: &mut Points<'_>| {
                    for (key, series) in chunk {
                        let point = Point { attributes: &key.attributes, start: series.start, time: now };
                        series.write(points, &point, &self.bounds);
                    }
                };
                if self.config.histogram.exponential.is_some() {
                    metrics.exponential_histogram(durations, temporality, fill);
                } else {
                    metrics.histogram(durations, temporality, fill);
                }
            }
        });
    }

    /// After a flush: delta series are done with, and so are series unseen for too long; exemplars were told.
    fn forget(&mut self, now: u64) {
        if self.config.aggregation_temporality == Temporality::Delta {
            self.families.iter_mut().for_each(|family| family.series.clear());
            self.resources.clear();
            self.resource_ids.clear();
            return;
        }
        let expires = u64::try_from(self.config.metrics_expiration.as_nanos()).unwrap_or(u64::MAX);
        let mut used = vec![false; self.resources.len()];
        for family in &mut self.families {
            family.series.retain(|key, series| {
                series.exemplars.clear();
                let keep = expires == 0 || now.saturating_sub(series.last_seen) < expires;
                if let Some(used) = used.get_mut(key.resource) {
                    *used |= keep;
                }
                keep
            });
        }
        if used.contains(&false) {
            self.compact(&used);
        }
    }

    /// Forgets resources that have no series any more.
    fn compact(&mut self, used: &[bool]) {
        let mut moved = vec![usize::MAX; used.len()];
        let mut kept = Vec::new();
        for (id, resource) in std::mem::take(&mut self.resources).into_iter().enumerate() {
            if used.get(id) == Some(&true) {
                if let Some(to) = moved.get_mut(id) {
                    *to = kept.len();
                }
                kept.push(resource);
            }
        }
        self.resources = kept;
        let new_id = |id: usize| moved.get(id).copied().unwrap_or(usize::MAX);
        self.resource_ids.retain(|_, id| {
            *id = new_id(*id);
            *id != usize::MAX
        });
        for family in &mut self.families {
            let series = std::mem::take(&mut family.series);
            family.series = series
                .into_iter()
                .map(|(key, series)| (Key { resource: new_id(key.resource), ..key }, series))
                .collect();
        }
    }
}

fn usual_dimensions(out: &mut Vec<u8>, config: &Config, service: Option<AnyValue<'_>>, span: &Span<'_>) {
    let kind = match span.kind {
        1 => "SPAN_KIND_INTERNAL",
        2 => "SPAN_KIND_SERVER",
        3 => "SPAN_KIND_CLIENT",
        4 => "SPAN_KIND_PRODUCER",
        5 => "SPAN_KIND_CONSUMER",
        _ => "SPAN_KIND_UNSPECIFIED",
    };
    let status = match span.status_code {
        1 => "STATUS_CODE_OK",
        2 => "STATUS_CODE_ERROR",
        _ => "STATUS_CODE_UNSET",
    };
    let values = [
        service,
        Some(AnyValue::String(span.name)),
        Some(AnyValue::String(kind.as_bytes())),
        Some(AnyValue::String(status.as_bytes())),
    ];
    for (name, value) in DEFAULT_DIMENSIONS.iter().zip(values) {
        if let Some(value) = value
            && !config.exclude_dimensions.iter().any(|excluded| excluded == name)
        {
            write::value(out, 1, name, value);
        }
    }
}

/// Looked for on the span, then on the resource.
fn further_dimensions(out: &mut Vec<u8>, dimensions: &[Dimension], record: &[u8], group: &ResourceGroup<'_>) {
    for dimension in dimensions {
        let mut found = None;
        if let Some(value) = attribute(record, 9, &dimension.name) {
            found = Some(value);
        } else if let Some(value) = attribute(group.resource(), 1, &dimension.name) {
            found = Some(value);
        }
        if let Some(value) = found {
            // As it stands: the value is already serialised.
            write::nested(out, 1, 1, |out| {
                put_bytes(out, 1, dimension.name.as_bytes());
                put_bytes(out, 2, value);
            });
        } else if let Some(default) = &dimension.default {
            write::text(out, 1, &dimension.name, default);
        }
    }
}

/// The serialised value of an attribute in field `number` of `message`.
fn attribute<'a>(message: &'a [u8], number: u32, name: &str) -> Option<&'a [u8]> {
    messages(message, number)
        .map(crate::otlp::view::raw_key_value)
        .find(|(key, _)| *key == name.as_bytes())
        .map(|(_, value)| value)
}

fn exemplar(span: &Span<'_>, value: f64) -> Option<Exemplar> {
    let trace_id = span.trace_id.try_into().ok()?;
    Some(Exemplar { time: span.end, value, trace_id, span_id: span.span_id.try_into().unwrap_or_default() })
}

impl Series {
    fn new(start: u64, durations: bool, config: &Config, bounds: usize) -> Self {
        let buckets = match &config.histogram.exponential {
            _ if !durations => Kind::None,
            Some(exponential) => Kind::Exponential { zero: 0, buckets: Buckets::new(exponential.max_size) },
            None => Kind::Explicit(vec![0; bounds + 1]),
        };
        Self {
            start,
            last_seen: start,
            count: 0,
            sum: 0.0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            buckets,
            exemplars: Vec::new(),
        }
    }

    fn add(&mut self, duration: f64, bounds: &[f64], now: u64) {
        self.last_seen = now;
        self.count += 1;
        self.sum += duration;
        self.min = self.min.min(duration);
        self.max = self.max.max(duration);
        match &mut self.buckets {
            Kind::None => {}
            Kind::Explicit(counts) => {
                let at = bounds.partition_point(|bound| *bound < duration);
                if let Some(count) = counts.get_mut(at) {
                    *count += 1;
                }
            }
            Kind::Exponential { zero, buckets } => {
                if duration > 0.0 {
                    buckets.add(duration);
                } else {
                    *zero += 1;
                }
            }
        }
    }

    fn write(&self, points: &mut Points<'_>, point: &Point<'_>, bounds: &[f64]) {
        let totals = Totals { count: self.count, sum: self.sum, min: Some(self.min), max: Some(self.max) };
        match &self.buckets {
            Kind::None => {}
            Kind::Explicit(counts) => points.histogram(point, &totals, bounds, counts, &self.exemplars),
            Kind::Exponential { zero, buckets } => {
                let exponential = Exponential {
                    scale: buckets.scale(),
                    zero_count: *zero,
                    offset: buckets.offset(),
                    counts: buckets.counts(),
                };
                points.exponential(point, &totals, &exponential, &self.exemplars);
            }
        }
    }
}
