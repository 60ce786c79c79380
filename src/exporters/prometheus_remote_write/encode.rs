//! `prometheus.WriteRequest` of remote write 1.0, compressed with snappy's block format.

use std::collections::{BTreeMap, HashSet};

use crate::{
    exporters::prometheus::translate::{Family, Labels, Sample, Type, Value},
    otlp::wire::{put_bytes, put_varint},
};

/// Fields of `WriteRequest`.
const TIMESERIES: u32 = 1;
const METADATA: u32 = 3;
/// Fields of `TimeSeries`.
const LABELS: u32 = 1;
const SAMPLES: u32 = 2;
/// What says that a series has ended: one certain `NaN`.
const STALE: u64 = 0x7ff0_0000_0000_0002;

/// Series are held uncompressed up to so many bytes; then they are made into requests.
const ROUND_BYTES: usize = 32 << 20;
/// What one batch may grow to, uncompressed: labels that many points share are written with each.
const MOST_BYTES: usize = 512 << 20;

/// A request's series by their labels: several points of one must be one series, in order.
type BySeries = BTreeMap<Vec<u8>, Vec<(i64, f64)>>;

/// The requests that points make.
pub struct Requests<'a> {
    external_labels: &'a Labels,
    metadata: bool,
    largest: usize,
    series: BySeries,
    families: Vec<u8>,
    known: HashSet<String>,
    rounds: Vec<Vec<Vec<u8>>>,
    /// In `series`, and in all.
    bytes: usize,
    all_bytes: usize,
}

impl<'a> Requests<'a> {
    /// None yet; each will be at most `largest` bytes unless one series alone is larger.
    pub fn new(external_labels: &'a Labels, metadata: bool, largest: usize) -> Self {
        let (series, families, known, rounds) = Default::default();
        Self { external_labels, metadata, largest, series, families, known, rounds, bytes: 0, all_bytes: 0 }
    }

    /// Adds what a point says, as one series or several; false if the batch has grown too large for it.
    pub fn add(&mut self, family: &Family, sample: &Sample) -> bool {
        if self.all_bytes > MOST_BYTES {
            return false;
        }
        if self.bytes > ROUND_BYTES {
            self.end_round();
        }
        if self.metadata && !self.known.contains(&family.name) {
            self.known.insert(family.name.clone());
            self.describe(family);
        }
        let name = family.name.as_str();
        let ended = f64::from_bits(STALE);
        match (&sample.value, family.kind) {
            (Some(Value::Number(value)), _) => self.put(sample, name, "", None, *value),
            (Some(Value::Histogram { buckets, sum, count }), _) => {
                let mut below = 0_u64;
                for (bound, count) in buckets {
                    below = below.saturating_add(*count);
                    self.put(sample, name, "_bucket", Some(("le", &bound.to_string())), below as f64);
                }
                self.put(sample, name, "_bucket", Some(("le", "+Inf")), *count as f64);
                if let Some(sum) = sum {
                    self.put(sample, name, "_sum", None, *sum);
                }
                self.put(sample, name, "_count", None, *count as f64);
            }
            (Some(Value::Summary { quantiles, sum, count }), _) => {
                for (quantile, value) in quantiles {
                    self.put(sample, name, "", Some(("quantile", &quantile.to_string())), *value);
                }
                self.put(sample, name, "_sum", None, *sum);
                self.put(sample, name, "_count", None, *count as f64);
            }
            (None, Type::Counter | Type::Gauge) => self.put(sample, name, "", None, ended),
            // Of many the buckets are not known any more.
            (None, Type::Histogram | Type::Summary) => {
                self.put(sample, name, "_sum", None, ended);
                self.put(sample, name, "_count", None, ended);
            }
        }
        true
    }

    fn put(&mut self, sample: &Sample, name: &str, suffix: &str, more: Option<(&str, &str)>, value: f64) {
        let name = format!("{name}{suffix}");
        // Sorted, each once: the point's own win over what is given.
        let mut labels: BTreeMap<&str, &str> =
            self.external_labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        labels.extend(sample.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())));
        labels.insert("__name__", &name);
        if let Some((key, value)) = more {
            labels.insert(key, value);
        }
        let (mut encoded, mut pair) = (Vec::new(), Vec::new());
        // An empty label is no label.
        for (key, value) in labels.into_iter().filter(|(_, value)| !value.is_empty()) {
            pair.clear();
            put_bytes(&mut pair, 1, key.as_bytes());
            put_bytes(&mut pair, 2, value.as_bytes());
            put_bytes(&mut encoded, LABELS, &pair);
        }
        let millis = i64::try_from(sample.time / 1_000_000).unwrap_or(i64::MAX);
        self.bytes += encoded.len() + 16;
        self.all_bytes += encoded.len() + 16;
        self.series.entry(encoded).or_default().push((millis, value));
    }

    fn describe(&mut self, family: &Family) {
        let kind = match family.kind {
            Type::Counter => 1,
            Type::Gauge => 2,
            Type::Histogram => 3,
            Type::Summary => 5,
        };
        let mut metadata = Vec::new();
        put_varint(&mut metadata, 1 << 3);
        put_varint(&mut metadata, kind);
        put_bytes(&mut metadata, 2, family.name.as_bytes());
        put_bytes(&mut metadata, 4, family.help.as_bytes());
        put_bytes(&mut self.families, METADATA, &metadata);
    }

    /// All of them, compressed, in rounds: a series is in one request of a round, but in several rounds.
    pub fn finish(mut self) -> Vec<Vec<Vec<u8>>> {
        self.end_round();
        self.rounds
    }

    fn end_round(&mut self) {
        self.bytes = 0;
        let (mut requests, mut request) = (Vec::new(), std::mem::take(&mut self.families));
        let mut series = Vec::new();
        for (labels, mut samples) in std::mem::take(&mut self.series) {
            samples.sort_by_key(|(millis, _)| *millis);
            // Two values at one time: the later word counts.
            samples.reverse();
            samples.dedup_by_key(|(millis, _)| *millis);
            samples.reverse();
            series.clear();
            series.extend_from_slice(&labels);
            for (millis, value) in samples {
                let mut sample = Vec::with_capacity(20);
                sample.push(1 << 3 | 1);
                sample.extend_from_slice(&value.to_le_bytes());
                put_varint(&mut sample, 2 << 3);
                put_varint(&mut sample, millis.cast_unsigned());
                put_bytes(&mut series, SAMPLES, &sample);
            }
            if !request.is_empty() && request.len() + series.len() > self.largest {
                requests.push(compressed(&request));
                request.clear();
            }
            put_bytes(&mut request, TIMESERIES, &series);
        }
        if !request.is_empty() {
            requests.push(compressed(&request));
        }
        self.rounds.push(requests);
    }
}

fn compressed(request: &[u8]) -> Vec<u8> {
    // It fails only on more than 4 GiB; no request is that large.
    snap::raw::Encoder::new().compress_vec(request).unwrap_or_default()
}
