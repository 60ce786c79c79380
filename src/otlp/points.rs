//! Reading metrics without decoding them: a metric, its points of whatever kind, their buckets.

use super::{
    view::{AnyValue, POINTS, key_value, messages},
    wire::{Fields, Value, varint},
};

/// A point says that its series has ended: there is no value.
const NO_RECORDED_VALUE: u64 = 1;

/// A metric: what it is called, and its points.
#[derive(Clone, Copy, Debug, Default)]
pub struct Metric<'a> {
    /// Such as `http.server.request.duration`.
    pub name: &'a [u8],
    /// For people.
    pub description: &'a [u8],
    /// In UCUM.
    pub unit: &'a [u8],
    /// What kind of points it has.
    pub kind: Kind,
    data: &'a [u8],
}

/// What kind of points a metric has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// None that is known.
    #[default]
    Unknown,
    /// Values as they are at a moment.
    Gauge,
    /// Values that add up.
    Sum {
        /// From which moment on.
        temporality: Temporality,
        /// It never falls.
        monotonic: bool,
    },
    /// Counts between given bounds.
    Histogram(Temporality),
    /// Counts between bounds that grow exponentially.
    Exponential(Temporality),
    /// Quantiles.
    Summary,
}

/// From which moment on a point counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Temporality {
    /// Not said.
    #[default]
    Unspecified,
    /// From the point before.
    Delta,
    /// From the start of the series.
    Cumulative,
}

impl<'a> Metric<'a> {
    /// Reads a serialised metric.
    pub fn parse(record: &'a [u8]) -> Self {
        let mut metric = Self::default();
        for (number, value) in Fields::new(record) {
            let Value::Bytes(bytes) = value else { continue };
            match number {
                1 => metric.name = bytes,
                2 => metric.description = bytes,
                3 => metric.unit = bytes,
                kind if POINTS.contains(&kind) => (metric.kind, metric.data) = (Kind::parse(kind, bytes), bytes),
                _ => {}
            }
        }
        metric
    }

    /// Its points, serialised.
    pub fn points(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        messages(self.data, 1)
    }
}

impl Kind {
    fn parse(number: u32, data: &[u8]) -> Self {
        let (mut temporality, mut monotonic) = (Temporality::Unspecified, false);
        for field in Fields::new(data) {
            match field {
                (2, Value::Varint(1)) => temporality = Temporality::Delta,
                (2, Value::Varint(2)) => temporality = Temporality::Cumulative,
                (3, Value::Varint(value)) => monotonic = value != 0,
                _ => {}
            }
        }
        match number {
            5 => Self::Gauge,
            7 => Self::Sum { temporality, monotonic },
            9 => Self::Histogram(temporality),
            10 => Self::Exponential(temporality),
            _ => Self::Summary,
        }
    }

    /// From which moment on its points count; gauges and summaries do not say.
    pub const fn temporality(self) -> Temporality {
        match self {
            Self::Sum { temporality, .. } | Self::Histogram(temporality) | Self::Exponential(temporality) => {
                temporality
            }
            Self::Gauge | Self::Summary | Self::Unknown => Temporality::Unspecified,
        }
    }
}

/// What points of every kind have.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    /// Unix nanoseconds; 0 if unknown.
    pub start: u64,
    /// Unix nanoseconds.
    pub time: u64,
    /// The series has ended; there is no value.
    pub ended: bool,
    /// The value.
    pub value: Measured,
}

/// A point's value.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Measured {
    /// None.
    #[default]
    Nothing,
    /// A whole number.
    Int(i64),
    /// Any other.
    Double(f64),
    /// Of histograms and summaries: see [`Buckets`].
    Many {
        /// How many measurements.
        count: u64,
        /// Their sum, if known.
        sum: Option<f64>,
    },
}

impl Point {
    /// Reads a serialised point of a metric of `kind` and shows every attribute on the way.
    pub fn scan<'a>(kind: Kind, point: &'a [u8], mut on_attribute: impl FnMut(&'a [u8], AnyValue<'a>)) -> Self {
        let (attributes, flags) = match kind {
            Kind::Histogram(_) => (9, 10),
            Kind::Exponential(_) => (1, 10),
            _ => (7, 8),
        };
        let many = matches!(kind, Kind::Histogram(_) | Kind::Exponential(_) | Kind::Summary);
        let mut read = Self::default();
        let (mut count, mut sum) = (0, None);
        for (number, value) in Fields::new(point) {
            match value {
                Value::Bytes(pair) if number == attributes => {
                    let (key, value) = key_value(pair);
                    on_attribute(key, value);
                }
                Value::Varint(bits) if number == flags => read.ended = bits & NO_RECORDED_VALUE != 0,
                Value::Fixed64(nanos) if number == 2 => read.start = nanos,
                Value::Fixed64(nanos) if number == 3 => read.time = nanos,
                Value::Fixed64(value) if number == 4 && many => count = value,
                Value::Fixed64(bits) if number == 5 && many => sum = Some(f64::from_bits(bits)),
                Value::Fixed64(bits) if number == 4 => read.value = Measured::Double(f64::from_bits(bits)),
                Value::Fixed64(bits) if number == 6 && !many => read.value = Measured::Int(bits.cast_signed()),
                _ => {}
            }
        }
        if many {
            read.value = Measured::Many { count, sum };
        }
        read
    }
}

/// The counts of an explicit histogram's point: `(upper bound, count in the bucket)`, the last bound infinite.
pub fn explicit_buckets(point: &[u8]) -> Vec<(f64, u64)> {
    let counts = fixed64s(point, 6);
    let mut bounds = fixed64s(point, 7).map(f64::from_bits);
    counts.map(|count| (bounds.next().unwrap_or(f64::INFINITY), count)).collect()
}

/// The quantiles of a summary's point.
pub fn quantiles(point: &[u8]) -> impl Iterator<Item = (f64, f64)> {
    messages(point, 6).map(|pair| {
        let (mut quantile, mut value) = (0.0, 0.0);
        for field in Fields::new(pair) {
            match field {
                (1, Value::Fixed64(bits)) => quantile = f64::from_bits(bits),
                (2, Value::Fixed64(bits)) => value = f64::from_bits(bits),
                _ => {}
            }
        }
        (quantile, value)
    })
}

/// The counts of an exponential histogram's point.
#[derive(Clone, Copy, Debug, Default)]
pub struct Buckets<'a> {
    /// Bounds are powers of 2^(2^-scale).
    pub scale: i32,
    /// Measurements that are as good as zero.
    pub zero_count: u64,
    /// What is as good as zero.
    pub zero_threshold: f64,
    positive: &'a [u8],
    negative: &'a [u8],
}

impl<'a> Buckets<'a> {
    /// Reads a serialised point.
    pub fn parse(point: &'a [u8]) -> Self {
        let mut buckets = Self::default();
        for field in Fields::new(point) {
            match field {
                (6, Value::Varint(value)) => buckets.scale = zigzag(value),
                (7, Value::Fixed64(count)) => buckets.zero_count = count,
                (8, Value::Bytes(side)) => buckets.positive = side,
                (9, Value::Bytes(side)) => buckets.negative = side,
                (14, Value::Fixed64(bits)) => buckets.zero_threshold = f64::from_bits(bits),
                _ => {}
            }
        }
        buckets
    }

    /// Index and count of the buckets above zero, lowest first: (base^index, base^(index+1)].
    pub fn positive(&self) -> impl Iterator<Item = (i64, u64)> + use<'a> {
        side(self.positive)
    }

    /// Index and count of the buckets below zero, by the size of what is in them.
    pub fn negative(&self) -> impl Iterator<Item = (i64, u64)> + use<'a> {
        side(self.negative)
    }
}

fn side(side: &[u8]) -> impl Iterator<Item = (i64, u64)> {
    let offset = Fields::new(side).filter_map(|field| match field {
        (1, Value::Varint(value)) => Some(zigzag(value)),
        _ => None,
    });
    let offset = i64::from(offset.last().unwrap_or(0));
    (offset..).zip(varints(side, 2)).filter(|(_, count)| *count > 0)
}

const fn zigzag(value: u64) -> i32 {
    let value = value as u32;
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

/// A repeated field of eight bytes each, packed or not.
fn fixed64s(message: &[u8], wanted: u32) -> impl Iterator<Item = u64> {
    Fields::new(message).filter(move |(number, _)| *number == wanted).flat_map(|(_, value)| {
        let (one, packed) = match value {
            Value::Fixed64(one) => (Some(one), &[][..]),
            Value::Bytes(packed) => (None, packed),
            Value::Varint(_) | Value::Fixed32(_) => (None, &[][..]),
        };
        let eights = packed.as_chunks::<8>().0.iter().map(|eight| u64::from_le_bytes(*eight));
        one.into_iter().chain(eights)
    })
}

/// A repeated field of varints, packed or not.
fn varints(message: &[u8], wanted: u32) -> impl Iterator<Item = u64> {
    Fields::new(message).filter(move |(number, _)| *number == wanted).flat_map(|(_, value)| {
        let (one, mut packed) = match value {
            Value::Varint(one) => (Some(one), &[][..]),
            Value::Bytes(packed) => (None, packed),
            Value::Fixed64(_) | Value::Fixed32(_) => (None, &[][..]),
        };
        one.into_iter().chain(std::iter::from_fn(move || {
            let (value, rest) = varint(packed)?;
            packed = rest;
            Some(value)
        }))
    })
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::otlp::{sample, view};

    #[test]
    fn every_kind_of_metric_reads_as_prost_reads_it() {
        let request = sample::metrics(1);
        let body = request.encode_to_vec();
        let metrics: Vec<Metric<'_>> = view::resources(&body)
            .flat_map(|group| group.scopes())
            .flat_map(|scope| scope.records())
            .map(Metric::parse)
            .collect();
        let read: Vec<(String, Kind)> =
            metrics.iter().map(|metric| (String::from_utf8_lossy(metric.name).into_owned(), metric.kind)).collect();
        let expected = request.resource_metrics[0].scope_metrics[0].metrics.iter().map(|metric| {
            use opentelemetry_proto::tonic::metrics::v1::metric::Data;
            let temporality =
                |value: i32| [Temporality::Unspecified, Temporality::Delta, Temporality::Cumulative][value as usize];
            let kind = match metric.data.as_ref().unwrap() {
                Data::Gauge(_) => Kind::Gauge,
                Data::Sum(sum) => {
                    Kind::Sum { temporality: temporality(sum.aggregation_temporality), monotonic: sum.is_monotonic }
                }
                Data::Histogram(histogram) => Kind::Histogram(temporality(histogram.aggregation_temporality)),
                Data::ExponentialHistogram(histogram) => {
                    Kind::Exponential(temporality(histogram.aggregation_temporality))
                }
                Data::Summary(_) => Kind::Summary,
            };
            (metric.name.clone(), kind)
        });
        assert_eq!(read, expected.collect::<Vec<_>>());
        assert_eq!(metrics.iter().map(|metric| metric.points().count()).sum::<usize>(), sample::POINTS_A_ROUND);
    }

    #[test]
    fn points_and_buckets_read_as_prost_reads_them() {
        use opentelemetry_proto::tonic::metrics::v1::{
            ExponentialHistogramDataPoint, HistogramDataPoint, NumberDataPoint, SummaryDataPoint,
            exponential_histogram_data_point::Buckets as Side, number_data_point, summary_data_point::ValueAtQuantile,
        };
        let nothing = |_: &[u8], _: AnyValue<'_>| {};

        let number = NumberDataPoint {
            start_time_unix_nano: 1,
            time_unix_nano: 2,
            value: Some(number_data_point::Value::AsInt(-3)),
            ..NumberDataPoint::default()
        };
        let point = Point::scan(Kind::Gauge, &number.encode_to_vec(), nothing);
        assert_eq!(point, Point { start: 1, time: 2, ended: false, value: Measured::Int(-3) });

        let histogram = HistogramDataPoint {
            count: 6,
            sum: Some(7.5),
            bucket_counts: vec![1, 2, 3],
            explicit_bounds: vec![0.5, 1.0],
            flags: 1,
            ..HistogramDataPoint::default()
        };
        let bytes = histogram.encode_to_vec();
        let point = Point::scan(Kind::Histogram(Temporality::Delta), &bytes, nothing);
        assert_eq!((point.ended, point.value), (true, Measured::Many { count: 6, sum: Some(7.5) }));
        assert_eq!(explicit_buckets(&bytes), [(0.5, 1), (1.0, 2), (f64::INFINITY, 3)]);

        let exponential = ExponentialHistogramDataPoint {
            count: 5,
            scale: -2,
            zero_count: 1,
            positive: Some(Side { offset: -3, bucket_counts: vec![1, 0, 300] }),
            negative: Some(Side { offset: 4, bucket_counts: vec![2] }),
            ..ExponentialHistogramDataPoint::default()
        };
        let bytes = exponential.encode_to_vec();
        let buckets = Buckets::parse(&bytes);
        assert_eq!((buckets.scale, buckets.zero_count), (-2, 1));
        assert_eq!(buckets.positive().collect::<Vec<_>>(), [(-3, 1), (-1, 300)]);
        assert_eq!(buckets.negative().collect::<Vec<_>>(), [(4, 2)]);

        let summary = SummaryDataPoint {
            quantile_values: vec![ValueAtQuantile { quantile: 0.5, value: 9.0 }],
            ..SummaryDataPoint::default()
        };
        assert_eq!(quantiles(&summary.encode_to_vec()).collect::<Vec<_>>(), [(0.5, 9.0)]);
    }
}
