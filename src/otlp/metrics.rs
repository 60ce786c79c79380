//! Writing metrics: from numbers to a serialised request, without objects in between.
//!
//! ```
//! use sekisho::otlp::{metrics::{Describe, Number, Point, Temporality, Writer}, write};
//!
//! let mut attributes = Vec::new();
//! write::text(&mut attributes, 1, "service.name", "shop");
//! let mut writer = Writer::default();
//! writer.resource(&attributes, "sekisho", |metrics| {
//!     let requests = Describe { name: "requests", description: "", unit: "1" };
//!     metrics.sum(requests, Temporality::Cumulative, true, |points| {
//!         points.number(&Point { attributes: &[], start: 1, time: 2 }, Number::Int(3), &[]);
//!     });
//! });
//! assert_eq!(writer.finish().items, 1);
//! ```
//!
//! Attributes come as a serialised `KeyValueList` (field 1, repeated), as [`write`](super::write) makes them; so does a
//! serialised `Resource`.

use bytes::Bytes;

use super::{
    Batch, Signal,
    view::messages,
    wire::{put_bytes, put_varint},
    write::{self, field},
};

/// The number of the field that holds the points of every kind of data.
const POINTS: u32 = 1;

/// What a metric is called.
#[derive(Clone, Copy, Debug)]
pub struct Describe<'a> {
    /// Such as `http.server.request.duration`.
    pub name: &'a str,
    /// For people.
    pub description: &'a str,
    /// In UCUM: `s`, `By`, `1`.
    pub unit: &'a str,
}

/// Whether points count from the start of the series, or from the point before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Temporality {
    /// From the point before.
    Delta,
    /// From the start of the series.
    Cumulative,
}

/// A number point's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// A whole number.
    Int(i64),
    /// Any other.
    Double(f64),
}

/// What points of every kind have.
#[derive(Clone, Copy, Debug)]
pub struct Point<'a> {
    /// A serialised `KeyValueList`.
    pub attributes: &'a [u8],
    /// Unix nanoseconds; 0 for a gauge.
    pub start: u64,
    /// Unix nanoseconds.
    pub time: u64,
}

/// A measurement that went into a point, and the span it was taken in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exemplar {
    /// Unix nanoseconds.
    pub time: u64,
    /// What was measured.
    pub value: f64,
    /// All zero if unknown.
    pub trace_id: [u8; 16],
    /// All zero if unknown.
    pub span_id: [u8; 8],
}

/// What a histogram point says of all its measurements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Totals {
    /// How many.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// The smallest, if known.
    pub min: Option<f64>,
    /// The largest, if known.
    pub max: Option<f64>,
}

/// The buckets of an exponential histogram point for positive values.
#[derive(Clone, Copy, Debug)]
pub struct Exponential<'a> {
    /// Bounds are powers of 2^(2^-scale).
    pub scale: i32,
    /// Measurements that are zero.
    pub zero_count: u64,
    /// Index of the first bucket.
    pub offset: i32,
    /// Measurements in each bucket.
    pub counts: &'a [u64],
}

/// A request being written.
#[derive(Debug, Default)]
pub struct Writer {
    out: Vec<u8>,
    points: usize,
}

impl Writer {
    /// Writes the metrics of one resource under one scope. A resource whose `fill` writes no point is left out.
    pub fn resource(&mut self, resource: &[u8], scope: &str, fill: impl FnOnce(&mut Metrics<'_>)) {
        let (before, points) = (self.out.len(), self.points);
        let counted = &mut self.points;
        write::nested(&mut self.out, field::RESOURCES, 3, |out| {
            put_bytes(out, field::RESOURCE, resource);
            write::nested(out, field::SCOPES, 3, |out| {
                write::nested(out, field::SCOPE, 1, |out| {
                    put_bytes(out, 1, scope.as_bytes());
                    put_bytes(out, 2, env!("CARGO_PKG_VERSION").as_bytes());
                });
                fill(&mut Metrics { out, points: counted });
            });
        });
        if self.points == points {
            self.out.truncate(before);
        }
    }

    /// The bytes written so far.
    pub const fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether no point was written.
    pub const fn is_empty(&self) -> bool {
        self.points == 0
    }

    /// The request.
    pub fn finish(self) -> Batch {
        Batch { signal: Signal::Metrics, body: Bytes::from(self.out), items: self.points }
    }
}

/// The metrics of one resource and scope. A metric whose `fill` writes no point is left out.
#[derive(Debug)]
pub struct Metrics<'a> {
    out: &'a mut Vec<u8>,
    points: &'a mut usize,
}

impl Metrics<'_> {
    /// A value that is what it is at a moment.
    pub fn gauge(&mut self, what: Describe<'_>, fill: impl FnOnce(&mut Points<'_>)) {
        self.metric(what, 5, fill, |_| {});
    }

    /// A value that adds up; `monotonic` if it never falls.
    pub fn sum(
        &mut self,
        what: Describe<'_>,
        temporality: Temporality,
        monotonic: bool,
        fill: impl FnOnce(&mut Points<'_>),
    ) {
        self.metric(what, 7, fill, |out| {
            temporality.put(out);
            if monotonic {
                write::varint_field(out, 3, 1);
            }
        });
    }

    /// Measurements in buckets with given bounds.
    pub fn histogram(&mut self, what: Describe<'_>, temporality: Temporality, fill: impl FnOnce(&mut Points<'_>)) {
        self.metric(what, 9, fill, |out| temporality.put(out));
    }

    /// Measurements in buckets that grow exponentially.
    pub fn exponential_histogram(
        &mut self,
        what: Describe<'_>,
        temporality: Temporality,
        fill: impl FnOnce(&mut Points<'_>),
    ) {
        self.metric(what, 10, fill, |out| temporality.put(out));
    }

    fn metric(
        &mut self,
        what: Describe<'_>,
        kind: u32,
        fill: impl FnOnce(&mut Points<'_>),
        after: impl FnOnce(&mut Vec<u8>),
    ) {
        let (before, had) = (self.out.len(), *self.points);
        let points = &mut *self.points;
        write::nested(self.out, field::ITEMS, 2, |out| {
            put_text(out, 1, what.name);
            put_text(out, 2, what.description);
            put_text(out, 3, what.unit);
            write::nested(out, kind, 2, |out| {
                fill(&mut Points { out, written: points });
                after(out);
            });
        });
        if *self.points == had {
            self.out.truncate(before);
        }
    }
}

impl Temporality {
    /// The same field in sums and in both kinds of histogram.
    fn put(self, out: &mut Vec<u8>) {
        write::varint_field(out, 2, if self == Self::Delta { 1 } else { 2 });
    }
}

/// The points of one metric; each method belongs to one kind of metric.
#[derive(Debug)]
pub struct Points<'a> {
    out: &'a mut Vec<u8>,
    written: &'a mut usize,
}

impl Points<'_> {
    /// A point of a sum or a gauge.
    pub fn number(&mut self, point: &Point<'_>, value: Number, exemplars: &[Exemplar]) {
        self.point(|out| {
            point.put_times(out);
            put_exemplars(out, 5, exemplars);
            match value {
                Number::Int(value) => write::fixed64(out, 6, value.cast_unsigned()),
                Number::Double(value) => write::fixed64(out, 4, value.to_bits()),
            }
            point.put_attributes(out, 7);
        });
    }

    /// A point of a histogram: one more count than bounds.
    pub fn histogram(
        &mut self,
        point: &Point<'_>,
        totals: &Totals,
        bounds: &[f64],
        counts: &[u64],
        exemplars: &[Exemplar],
    ) {
        self.point(|out| {
            point.put_times(out);
            totals.put(out, [11, 12]);
            put_packed(out, 6, counts.iter().copied());
            put_packed(out, 7, bounds.iter().map(|bound| bound.to_bits()));
            put_exemplars(out, 8, exemplars);
            point.put_attributes(out, 9);
        });
    }

    /// A point of an exponential histogram.
    pub fn exponential(
        &mut self,
        point: &Point<'_>,
        totals: &Totals,
        buckets: &Exponential<'_>,
        exemplars: &[Exemplar],
    ) {
        self.point(|out| {
            point.put_times(out);
            totals.put(out, [12, 13]);
            write::varint_field(out, 6, zigzag(buckets.scale));
            write::fixed64(out, 7, buckets.zero_count);
            write::nested(out, 8, 2, |out| {
                write::varint_field(out, 1, zigzag(buckets.offset));
                write::nested(out, 2, 2, |out| buckets.counts.iter().for_each(|count| put_varint(out, *count)));
            });
            put_exemplars(out, 11, exemplars);
            point.put_attributes(out, 1);
        });
    }

    fn point(&mut self, fill: impl FnOnce(&mut Vec<u8>)) {
        *self.written += 1;
        write::nested(self.out, POINTS, 2, fill);
    }
}

impl Point<'_> {
    fn put_times(&self, out: &mut Vec<u8>) {
        if self.start > 0 {
            write::fixed64(out, 2, self.start);
        }
        write::fixed64(out, 3, self.time);
    }

    fn put_attributes(&self, out: &mut Vec<u8>, number: u32) {
        messages(self.attributes, 1).for_each(|pair| put_bytes(out, number, pair));
    }
}

impl Totals {
    fn put(&self, out: &mut Vec<u8>, [min, max]: [u32; 2]) {
        write::fixed64(out, 4, self.count);
        write::fixed64(out, 5, self.sum.to_bits());
        for (number, value) in [(min, self.min), (max, self.max)] {
            if let Some(value) = value {
                write::fixed64(out, number, value.to_bits());
            }
        }
    }
}

fn put_exemplars(out: &mut Vec<u8>, number: u32, exemplars: &[Exemplar]) {
    for exemplar in exemplars {
        write::nested(out, number, 1, |out| {
            write::fixed64(out, 2, exemplar.time);
            write::fixed64(out, 3, exemplar.value.to_bits());
            if exemplar.span_id != [0; 8] {
                put_bytes(out, 4, &exemplar.span_id);
            }
            if exemplar.trace_id != [0; 16] {
                put_bytes(out, 5, &exemplar.trace_id);
            }
        });
    }
}

/// Eight bytes each, behind one tag.
fn put_packed(out: &mut Vec<u8>, number: u32, values: impl ExactSizeIterator<Item = u64>) {
    put_varint(out, u64::from(number) << 3 | 2);
    put_varint(out, values.len() as u64 * 8);
    values.for_each(|value| out.extend_from_slice(&value.to_le_bytes()));
}

fn put_text(out: &mut Vec<u8>, number: u32, text: &str) {
    if !text.is_empty() {
        put_bytes(out, number, text.as_bytes());
    }
}

fn zigzag(value: i32) -> u64 {
    u64::from(((value << 1) ^ (value >> 31)).cast_unsigned())
}

#[cfg(test)]
mod tests;
