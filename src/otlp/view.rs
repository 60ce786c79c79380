//! Reading a request without decoding it: views that borrow from the bytes and visit only what is asked for.
//!
//! Everything here trusts the door's [`check`](super::check): malformed bytes end an iteration early, they never panic.
//! Keys and strings are bytes; whoever needs `&str` validates that one string.

use super::wire::{Fields, Value};

/// Fields that all three signals share.
const RESOURCE_GROUPS: u32 = 1;
const RESOURCE: u32 = 1;
const SCOPE_GROUPS: u32 = 2;
const SCOPE: u32 = 1;
const RECORDS: u32 = 2;
/// `attributes` of a `Resource`, of a span, of a log record, of a span's event.
const RESOURCE_ATTRIBUTES: u32 = 1;
pub(super) const SPAN_ATTRIBUTES: u32 = 9;
pub(super) const LOG_ATTRIBUTES: u32 = 6;
const EVENT_ATTRIBUTES: u32 = 3;
/// `events` of a span.
pub const SPAN_EVENTS: u32 = 11;
/// `metadata` of a metric.
pub(super) const METRIC_METADATA: u32 = 12;

/// The fields of a `Metric` that hold points: gauge, sum, histogram, exponential histogram, summary.
pub const POINTS: [u32; 5] = [5, 7, 9, 10, 11];

/// The field that holds the attributes of a point, by the field of its metric that holds the points.
pub const fn point_attributes(kind: u32) -> u32 {
    match kind {
        9 => 9,
        // Those of exponential histograms have a number of their own.
        10 => 1,
        _ => 7,
    }
}

/// The points of a serialised metric, each with the field of the metric that holds it.
pub fn points(metric: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    let data = Fields::new(metric).filter_map(|field| match field {
        (kind, Value::Bytes(data)) if POINTS.contains(&kind) => Some((kind, data)),
        _ => None,
    });
    data.flat_map(|(kind, data)| messages(data, 1).map(move |point| (kind, point)))
}

/// The value of an attribute or a log body.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub enum AnyValue<'a> {
    /// Nothing set.
    #[default]
    Empty,
    /// Text, UTF-8 as the door has checked.
    String(&'a [u8]),
    /// True or false.
    Bool(bool),
    /// A signed integer.
    Int(i64),
    /// A float.
    Double(f64),
    /// The bytes of an `ArrayValue`; see [`AnyValue::elements`].
    Array(&'a [u8]),
    /// The bytes of a `KeyValueList`; see [`AnyValue::entries`].
    KvList(&'a [u8]),
    /// Opaque bytes.
    Bytes(&'a [u8]),
}

impl<'a> AnyValue<'a> {
    /// Reads a serialised `AnyValue`; of several values set, the last counts, as in every protobuf `oneof`.
    #[inline]
    pub fn parse(message: &'a [u8]) -> Self {
        let mut found = Self::Empty;
        for field in Fields::new(message) {
            found = match field {
                (1, Value::Bytes(text)) => Self::String(text),
                (2, Value::Varint(value)) => Self::Bool(value != 0),
                (3, Value::Varint(value)) => Self::Int(value.cast_signed()),
                (4, Value::Fixed64(bits)) => Self::Double(f64::from_bits(bits)),
                (5, Value::Bytes(array)) => Self::Array(array),
                (6, Value::Bytes(list)) => Self::KvList(list),
                (7, Value::Bytes(bytes)) => Self::Bytes(bytes),
                _ => found,
            };
        }
        found
    }

    /// The text of a string.
    pub fn text(self) -> Option<&'a str> {
        match self {
            Self::String(text) => std::str::from_utf8(text).ok(),
            _ => None,
        }
    }

    /// The elements of an array; none of anything else.
    pub fn elements(self) -> impl Iterator<Item = AnyValue<'a>> {
        let array = if let Self::Array(array) = self { array } else { &[] };
        messages(array, 1).map(Self::parse)
    }

    /// The pairs of a key-value list; none of anything else.
    pub const fn entries(self) -> Attributes<'a> {
        let list = if let Self::KvList(list) = self { list } else { &[] };
        Attributes { fields: Fields::new(list), number: 1 }
    }
}

/// The `KeyValue`s in one field of a message: `(key, value)`.
#[derive(Clone, Debug)]
pub struct Attributes<'a> {
    fields: Fields<'a>,
    number: u32,
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (&'a [u8], AnyValue<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let wanted = self.number;
        self.fields.find_map(|(number, value)| match value {
            Value::Bytes(pair) if number == wanted => Some(key_value(pair)),
            _ => None,
        })
    }
}

/// Key and value of a serialised `KeyValue`.
#[inline]
pub fn key_value(pair: &[u8]) -> (&[u8], AnyValue<'_>) {
    let (key, value) = raw_key_value(pair);
    (key, AnyValue::parse(value))
}

/// Key and serialised `AnyValue` of a serialised `KeyValue`.
#[inline]
pub fn raw_key_value(pair: &[u8]) -> (&[u8], &[u8]) {
    let (mut key, mut value) = (&[][..], &[][..]);
    for field in Fields::new(pair) {
        match field {
            (1, Value::Bytes(bytes)) => key = bytes,
            (2, Value::Bytes(bytes)) => value = bytes,
            _ => {}
        }
    }
    (key, value)
}

/// The resource groups (`ResourceSpans`, `ResourceLogs`, `ResourceMetrics`) of a request of any signal.
pub fn resources(body: &[u8]) -> impl Iterator<Item = ResourceGroup<'_>> {
    messages(body, RESOURCE_GROUPS).map(ResourceGroup)
}

/// What one resource sent.
#[derive(Clone, Copy, Debug)]
pub struct ResourceGroup<'a>(&'a [u8]);

impl<'a> ResourceGroup<'a> {
    /// A group from its serialised message.
    pub const fn new(message: &'a [u8]) -> Self {
        Self(message)
    }

    /// The serialised `Resource`; empty if there is none.
    pub fn resource(&self) -> &'a [u8] {
        messages(self.0, RESOURCE).last().unwrap_or(&[])
    }

    /// The resource's attributes.
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes { fields: Fields::new(self.resource()), number: RESOURCE_ATTRIBUTES }
    }

    /// The scope groups in it.
    pub fn scopes(&self) -> impl Iterator<Item = ScopeGroup<'a>> + use<'a> {
        messages(self.0, SCOPE_GROUPS).map(ScopeGroup)
    }
}

/// What one instrumentation scope of a resource sent.
#[derive(Clone, Copy, Debug)]
pub struct ScopeGroup<'a>(&'a [u8]);

impl<'a> ScopeGroup<'a> {
    /// A group from its serialised message.
    pub const fn new(message: &'a [u8]) -> Self {
        Self(message)
    }

    /// The serialised `InstrumentationScope`; empty if there is none.
    pub fn scope(&self) -> &'a [u8] {
        messages(self.0, SCOPE).last().unwrap_or(&[])
    }

    /// The scope's name; empty if unknown.
    pub fn name(&self) -> &'a [u8] {
        self.scope_text(1)
    }

    /// The scope's version; empty if unknown.
    pub fn version(&self) -> &'a [u8] {
        self.scope_text(2)
    }

    /// Spans, log records or metrics, serialised.
    pub fn records(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        messages(self.0, RECORDS)
    }

    fn scope_text(&self, number: u32) -> &'a [u8] {
        messages(self.scope(), number).last().unwrap_or(&[])
    }
}

/// A span's own fields. Links are not read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span<'a> {
    /// 16 bytes, if the sender keeps to the rules.
    pub trace_id: &'a [u8],
    /// 8 bytes, if the sender keeps to the rules.
    pub span_id: &'a [u8],
    /// Empty for a root.
    pub parent_span_id: &'a [u8],
    /// What it is called.
    pub name: &'a [u8],
    /// `SpanKind`: 1 internal, 2 server, 3 client, 4 producer, 5 consumer.
    pub kind: u32,
    /// Unix nanoseconds.
    pub start: u64,
    /// Unix nanoseconds.
    pub end: u64,
    /// 0 unset, 1 ok, 2 error.
    pub status_code: u32,
    /// Why it failed.
    pub status_message: &'a [u8],
    /// Trace flags and whether the parent is remote.
    pub flags: u32,
}

impl<'a> Span<'a> {
    /// Reads a serialised span in one pass and shows every attribute on the way.
    #[inline]
    pub fn scan(record: &'a [u8], mut on_attribute: impl FnMut(&'a [u8], AnyValue<'a>)) -> Self {
        let mut span = Self::default();
        for field in Fields::new(record) {
            match field {
                (1, Value::Bytes(id)) => span.trace_id = id,
                (2, Value::Bytes(id)) => span.span_id = id,
                (4, Value::Bytes(id)) => span.parent_span_id = id,
                (5, Value::Bytes(name)) => span.name = name,
                (6, Value::Varint(kind)) => span.kind = kind as u32,
                (7, Value::Fixed64(nanos)) => span.start = nanos,
                (8, Value::Fixed64(nanos)) => span.end = nanos,
                (SPAN_ATTRIBUTES, Value::Bytes(pair)) => {
                    let (key, value) = key_value(pair);
                    on_attribute(key, value);
                }
                (15, Value::Bytes(status)) => span.read_status(status),
                (16, Value::Fixed32(flags)) => span.flags = flags,
                _ => {}
            }
        }
        span
    }

    fn read_status(&mut self, status: &'a [u8]) {
        for field in Fields::new(status) {
            match field {
                (2, Value::Bytes(message)) => self.status_message = message,
                (3, Value::Varint(code)) => self.status_code = code as u32,
                _ => {}
            }
        }
    }

    /// The events of a serialised span.
    pub fn events(record: &'a [u8]) -> impl Iterator<Item = Event<'a>> {
        messages(record, SPAN_EVENTS).map(Event::parse)
    }
}

/// Something that happened within a span.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// Unix nanoseconds.
    pub time: u64,
    /// What happened: `exception`.
    pub name: &'a [u8],
    message: &'a [u8],
}

impl<'a> Event<'a> {
    fn parse(message: &'a [u8]) -> Self {
        let mut event = Self { time: 0, name: &[], message };
        for field in Fields::new(message) {
            match field {
                (1, Value::Fixed64(time)) => event.time = time,
                (2, Value::Bytes(name)) => event.name = name,
                _ => {}
            }
        }
        event
    }

    /// Its attributes.
    pub const fn attributes(&self) -> Attributes<'a> {
        Attributes { fields: Fields::new(self.message), number: EVENT_ATTRIBUTES }
    }
}

/// A log record's own fields.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LogRecord<'a> {
    /// When it happened, unix nanoseconds; zero if unknown.
    pub time: u64,
    /// When it was collected, unix nanoseconds.
    pub observed_time: u64,
    /// 1 to 24; zero if unknown.
    pub severity: u32,
    /// The severity as the source said it.
    pub severity_text: &'a [u8],
    /// The message, or a structure.
    pub body: AnyValue<'a>,
    /// Empty if it belongs to no trace.
    pub trace_id: &'a [u8],
    /// Empty if it belongs to no span.
    pub span_id: &'a [u8],
    /// Which kind of event it is, if it is one.
    pub event_name: &'a [u8],
}

impl<'a> LogRecord<'a> {
    /// Reads a serialised log record in one pass and shows every attribute on the way.
    #[inline]
    pub fn scan(record: &'a [u8], mut on_attribute: impl FnMut(&'a [u8], AnyValue<'a>)) -> Self {
        let mut log = Self::default();
        for field in Fields::new(record) {
            match field {
                (1, Value::Fixed64(nanos)) => log.time = nanos,
                (2, Value::Varint(severity)) => log.severity = severity as u32,
                (3, Value::Bytes(text)) => log.severity_text = text,
                (5, Value::Bytes(body)) => log.body = AnyValue::parse(body),
                (LOG_ATTRIBUTES, Value::Bytes(pair)) => {
                    let (key, value) = key_value(pair);
                    on_attribute(key, value);
                }
                (9, Value::Bytes(id)) => log.trace_id = id,
                (10, Value::Bytes(id)) => log.span_id = id,
                (11, Value::Fixed64(nanos)) => log.observed_time = nanos,
                (12, Value::Bytes(name)) => log.event_name = name,
                _ => {}
            }
        }
        log
    }
}

/// The messages in field `number` of `message`.
#[inline]
pub fn messages(message: &[u8], number: u32) -> impl Iterator<Item = &[u8]> {
    Fields::new(message).filter_map(move |field| match field {
        (found, Value::Bytes(bytes)) if found == number => Some(bytes),
        _ => None,
    })
}
