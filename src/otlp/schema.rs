//! OTLP's messages as one table: what [`check`](super::check) demands of the bytes and [`json`](super::json) calls the
//! fields. From the `opentelemetry-proto` definitions, 1.10; fields that are newer pass as unknown.

use super::Signal;

/// One message type.
#[derive(Debug)]
pub struct Message {
    /// For errors.
    pub name: &'static str,
    /// In the order of their numbers.
    pub fields: &'static [Field],
    /// By the first byte of a field.
    pub quick: [Quick; 128],
}

/// What is behind a tag of one byte, where a glance may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quick {
    /// Something else.
    No,
    /// Text.
    Text,
    /// Bytes.
    Bytes,
    /// A `KeyValue`.
    Pair,
    /// A number in base 128.
    Varint,
    /// Eight bytes.
    Fixed64,
    /// Four bytes.
    Fixed32,
}

/// One field of a message.
#[derive(Debug)]
pub struct Field {
    /// On the wire.
    pub number: u32,
    /// In JSON.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Whether there may be many.
    pub repeated: bool,
    /// Whether each is an item of the request: a span, a log record, a data point.
    pub item: bool,
    /// Whether each is a `KeyValue`.
    pub pair: bool,
}

/// What a field holds: its wire type and its form in JSON.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Text, UTF-8.
    Text,
    /// Bytes, in JSON as base64.
    Bytes,
    /// Bytes, in JSON as hexadecimal digits.
    Id,
    /// A varint: true or false.
    Bool,
    /// A varint: an enum, in JSON a number or the name `prefix` + variant.
    Enum(&'static [&'static str]),
    /// A varint.
    Uint32,
    /// A varint, zigzag.
    Sint32,
    /// A varint, in JSON a string.
    Int64,
    /// A varint, in JSON a string.
    Uint64,
    /// Eight bytes, in JSON a string.
    Fixed64,
    /// Eight bytes, signed, in JSON a string.
    Sfixed64,
    /// Eight bytes.
    Double,
    /// Four bytes.
    Fixed32,
    /// A message.
    Message(&'static Message),
}

impl Message {
    /// The field with this number on the wire.
    #[inline]
    pub fn field(&self, number: u32) -> Option<&'static Field> {
        // Numbers are nearly dense: the field is at its number less one, or a little before.
        let last = (number as usize).min(self.fields.len());
        let (likely, before) = self.fields.get(..last)?.split_last()?;
        if likely.number == number { Some(likely) } else { before.iter().rev().find(|field| field.number == number) }
    }

    /// The request of a signal.
    pub const fn request(signal: Signal) -> &'static Self {
        match signal {
            Signal::Traces => &TRACES,
            Signal::Metrics => &METRICS,
            Signal::Logs => &LOGS,
        }
    }
}

const fn one(number: u32, name: &'static str, kind: Kind) -> Field {
    Field { number, name, kind, repeated: false, item: false, pair: false }
}

const fn many(number: u32, name: &'static str, kind: Kind) -> Field {
    Field { number, name, kind, repeated: true, item: false, pair: false }
}

const fn items(number: u32, name: &'static str, kind: Kind) -> Field {
    Field { number, name, kind, repeated: true, item: true, pair: false }
}

const fn pairs(number: u32, name: &'static str) -> Field {
    Field { number, name, kind: Kind::Message(&KEY_VALUE), repeated: true, item: false, pair: true }
}

/// What is behind each tag of one byte.
const fn quick(fields: &[Field]) -> [Quick; 128] {
    let mut table = [Quick::No; 128];
    let mut at = 0;
    while at < fields.len() {
        let Field { number, kind, pair, .. } = fields[at];
        let (wire_type, quick) = match kind {
            Kind::Text => (2, Quick::Text),
            Kind::Bytes | Kind::Id => (2, Quick::Bytes),
            Kind::Message(_) if pair => (2, Quick::Pair),
            Kind::Message(_) => (2, Quick::No),
            Kind::Fixed64 | Kind::Sfixed64 | Kind::Double => (1, Quick::Fixed64),
            Kind::Fixed32 => (5, Quick::Fixed32),
            Kind::Bool | Kind::Enum(_) | Kind::Uint32 | Kind::Sint32 | Kind::Int64 | Kind::Uint64 => (0, Quick::Varint),
        };
        if number < 16 {
            table[(number << 3 | wire_type) as usize] = quick;
        }
        at += 1;
    }
    table
}

use Kind::{Bool, Bytes, Double, Enum, Fixed32, Fixed64, Id, Int64, Sfixed64, Sint32, Text, Uint32, Uint64};

macro_rules! message {
    ($constant:ident, $name:literal, $($field:expr),+ $(,)?) => {
        static $constant: Message = Message { name: $name, fields: &[$($field),+], quick: quick(&[$($field),+]) };
    };
}

message!(
    ANY_VALUE,
    "AnyValue",
    one(1, "stringValue", Text),
    one(2, "boolValue", Bool),
    one(3, "intValue", Int64),
    one(4, "doubleValue", Double),
    one(5, "arrayValue", Kind::Message(&ARRAY_VALUE)),
    one(6, "kvlistValue", Kind::Message(&KEY_VALUE_LIST)),
    one(7, "bytesValue", Bytes),
    one(8, "stringValueStrindex", Uint32),
);
message!(ARRAY_VALUE, "ArrayValue", many(1, "values", Kind::Message(&ANY_VALUE)));
message!(KEY_VALUE_LIST, "KeyValueList", pairs(1, "values"));
message!(
    KEY_VALUE,
    "KeyValue",
    one(1, "key", Text),
    one(2, "value", Kind::Message(&ANY_VALUE)),
    one(3, "keyStrindex", Uint32),
);
message!(
    ENTITY_REF,
    "EntityRef",
    one(1, "schemaUrl", Text),
    one(2, "type", Text),
    many(3, "idKeys", Text),
    many(4, "descriptionKeys", Text),
);
message!(
    RESOURCE,
    "Resource",
    pairs(1, "attributes"),
    one(2, "droppedAttributesCount", Uint32),
    many(3, "entityRefs", Kind::Message(&ENTITY_REF)),
);
message!(
    SCOPE,
    "InstrumentationScope",
    one(1, "name", Text),
    one(2, "version", Text),
    pairs(3, "attributes"),
    one(4, "droppedAttributesCount", Uint32),
);

message!(TRACES, "ExportTraceServiceRequest", many(1, "resourceSpans", Kind::Message(&RESOURCE_SPANS)));
message!(
    RESOURCE_SPANS,
    "ResourceSpans",
    one(1, "resource", Kind::Message(&RESOURCE)),
    many(2, "scopeSpans", Kind::Message(&SCOPE_SPANS)),
    one(3, "schemaUrl", Text),
);
message!(
    SCOPE_SPANS,
    "ScopeSpans",
    one(1, "scope", Kind::Message(&SCOPE)),
    items(2, "spans", Kind::Message(&SPAN)),
    one(3, "schemaUrl", Text),
);
const SPAN_KIND: &[&str] = &[
    "SPAN_KIND_UNSPECIFIED",
    "SPAN_KIND_INTERNAL",
    "SPAN_KIND_SERVER",
    "SPAN_KIND_CLIENT",
    "SPAN_KIND_PRODUCER",
    "SPAN_KIND_CONSUMER",
];
const STATUS_CODE: &[&str] = &["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"];
message!(
    SPAN,
    "Span",
    one(1, "traceId", Id),
    one(2, "spanId", Id),
    one(3, "traceState", Text),
    one(4, "parentSpanId", Id),
    one(5, "name", Text),
    one(6, "kind", Enum(SPAN_KIND)),
    one(7, "startTimeUnixNano", Fixed64),
    one(8, "endTimeUnixNano", Fixed64),
    pairs(9, "attributes"),
    one(10, "droppedAttributesCount", Uint32),
    many(11, "events", Kind::Message(&EVENT)),
    one(12, "droppedEventsCount", Uint32),
    many(13, "links", Kind::Message(&LINK)),
    one(14, "droppedLinksCount", Uint32),
    one(15, "status", Kind::Message(&STATUS)),
    one(16, "flags", Fixed32),
);
message!(
    EVENT,
    "Event",
    one(1, "timeUnixNano", Fixed64),
    one(2, "name", Text),
    pairs(3, "attributes"),
    one(4, "droppedAttributesCount", Uint32),
);
message!(
    LINK,
    "Link",
    one(1, "traceId", Id),
    one(2, "spanId", Id),
    one(3, "traceState", Text),
    pairs(4, "attributes"),
    one(5, "droppedAttributesCount", Uint32),
    one(6, "flags", Fixed32),
);
message!(STATUS, "Status", one(2, "message", Text), one(3, "code", Enum(STATUS_CODE)));

message!(LOGS, "ExportLogsServiceRequest", many(1, "resourceLogs", Kind::Message(&RESOURCE_LOGS)));
message!(
    RESOURCE_LOGS,
    "ResourceLogs",
    one(1, "resource", Kind::Message(&RESOURCE)),
    many(2, "scopeLogs", Kind::Message(&SCOPE_LOGS)),
    one(3, "schemaUrl", Text),
);
message!(
    SCOPE_LOGS,
    "ScopeLogs",
    one(1, "scope", Kind::Message(&SCOPE)),
    items(2, "logRecords", Kind::Message(&LOG_RECORD)),
    one(3, "schemaUrl", Text),
);
const SEVERITY: &[&str] = &[
    "SEVERITY_NUMBER_UNSPECIFIED",
    "SEVERITY_NUMBER_TRACE",
    "SEVERITY_NUMBER_TRACE2",
    "SEVERITY_NUMBER_TRACE3",
    "SEVERITY_NUMBER_TRACE4",
    "SEVERITY_NUMBER_DEBUG",
    "SEVERITY_NUMBER_DEBUG2",
    "SEVERITY_NUMBER_DEBUG3",
    "SEVERITY_NUMBER_DEBUG4",
    "SEVERITY_NUMBER_INFO",
    "SEVERITY_NUMBER_INFO2",
    "SEVERITY_NUMBER_INFO3",
    "SEVERITY_NUMBER_INFO4",
    "SEVERITY_NUMBER_WARN",
    "SEVERITY_NUMBER_WARN2",
    "SEVERITY_NUMBER_WARN3",
    "SEVERITY_NUMBER_WARN4",
    "SEVERITY_NUMBER_ERROR",
    "SEVERITY_NUMBER_ERROR2",
    "SEVERITY_NUMBER_ERROR3",
    "SEVERITY_NUMBER_ERROR4",
    "SEVERITY_NUMBER_FATAL",
    "SEVERITY_NUMBER_FATAL2",
    "SEVERITY_NUMBER_FATAL3",
    "SEVERITY_NUMBER_FATAL4",
];
message!(
    LOG_RECORD,
    "LogRecord",
    one(1, "timeUnixNano", Fixed64),
    one(2, "severityNumber", Enum(SEVERITY)),
    one(3, "severityText", Text),
    one(5, "body", Kind::Message(&ANY_VALUE)),
    pairs(6, "attributes"),
    one(7, "droppedAttributesCount", Uint32),
    one(8, "flags", Fixed32),
    one(9, "traceId", Id),
    one(10, "spanId", Id),
    one(11, "observedTimeUnixNano", Fixed64),
    one(12, "eventName", Text),
);

message!(METRICS, "ExportMetricsServiceRequest", many(1, "resourceMetrics", Kind::Message(&RESOURCE_METRICS)));
message!(
    RESOURCE_METRICS,
    "ResourceMetrics",
    one(1, "resource", Kind::Message(&RESOURCE)),
    many(2, "scopeMetrics", Kind::Message(&SCOPE_METRICS)),
    one(3, "schemaUrl", Text),
);
message!(
    SCOPE_METRICS,
    "ScopeMetrics",
    one(1, "scope", Kind::Message(&SCOPE)),
    many(2, "metrics", Kind::Message(&METRIC)),
    one(3, "schemaUrl", Text),
);
message!(
    METRIC,
    "Metric",
    one(1, "name", Text),
    one(2, "description", Text),
    one(3, "unit", Text),
    one(5, "gauge", Kind::Message(&GAUGE)),
    one(7, "sum", Kind::Message(&SUM)),
    one(9, "histogram", Kind::Message(&HISTOGRAM)),
    one(10, "exponentialHistogram", Kind::Message(&EXPONENTIAL_HISTOGRAM)),
    one(11, "summary", Kind::Message(&SUMMARY)),
    pairs(12, "metadata"),
);
const TEMPORALITY: &[&str] =
    &["AGGREGATION_TEMPORALITY_UNSPECIFIED", "AGGREGATION_TEMPORALITY_DELTA", "AGGREGATION_TEMPORALITY_CUMULATIVE"];
message!(GAUGE, "Gauge", items(1, "dataPoints", Kind::Message(&NUMBER_POINT)));
message!(
    SUM,
    "Sum",
    items(1, "dataPoints", Kind::Message(&NUMBER_POINT)),
    one(2, "aggregationTemporality", Enum(TEMPORALITY)),
    one(3, "isMonotonic", Bool),
);
message!(
    HISTOGRAM,
    "Histogram",
    items(1, "dataPoints", Kind::Message(&HISTOGRAM_POINT)),
    one(2, "aggregationTemporality", Enum(TEMPORALITY)),
);
message!(
    EXPONENTIAL_HISTOGRAM,
    "ExponentialHistogram",
    items(1, "dataPoints", Kind::Message(&EXPONENTIAL_HISTOGRAM_POINT)),
    one(2, "aggregationTemporality", Enum(TEMPORALITY)),
);
message!(SUMMARY, "Summary", items(1, "dataPoints", Kind::Message(&SUMMARY_POINT)));
message!(
    NUMBER_POINT,
    "NumberDataPoint",
    one(2, "startTimeUnixNano", Fixed64),
    one(3, "timeUnixNano", Fixed64),
    one(4, "asDouble", Double),
    many(5, "exemplars", Kind::Message(&EXEMPLAR)),
    one(6, "asInt", Sfixed64),
    pairs(7, "attributes"),
    one(8, "flags", Uint32),
);
message!(
    HISTOGRAM_POINT,
    "HistogramDataPoint",
    one(2, "startTimeUnixNano", Fixed64),
    one(3, "timeUnixNano", Fixed64),
    one(4, "count", Fixed64),
    one(5, "sum", Double),
    many(6, "bucketCounts", Fixed64),
    many(7, "explicitBounds", Double),
    many(8, "exemplars", Kind::Message(&EXEMPLAR)),
    pairs(9, "attributes"),
    one(10, "flags", Uint32),
    one(11, "min", Double),
    one(12, "max", Double),
);
message!(
    EXPONENTIAL_HISTOGRAM_POINT,
    "ExponentialHistogramDataPoint",
    pairs(1, "attributes"),
    one(2, "startTimeUnixNano", Fixed64),
    one(3, "timeUnixNano", Fixed64),
    one(4, "count", Fixed64),
    one(5, "sum", Double),
    one(6, "scale", Sint32),
    one(7, "zeroCount", Fixed64),
    one(8, "positive", Kind::Message(&BUCKETS)),
    one(9, "negative", Kind::Message(&BUCKETS)),
    one(10, "flags", Uint32),
    many(11, "exemplars", Kind::Message(&EXEMPLAR)),
    one(12, "min", Double),
    one(13, "max", Double),
    one(14, "zeroThreshold", Double),
);
message!(BUCKETS, "Buckets", one(1, "offset", Sint32), many(2, "bucketCounts", Uint64));
message!(
    SUMMARY_POINT,
    "SummaryDataPoint",
    one(2, "startTimeUnixNano", Fixed64),
    one(3, "timeUnixNano", Fixed64),
    one(4, "count", Fixed64),
    one(5, "sum", Double),
    many(6, "quantileValues", Kind::Message(&VALUE_AT_QUANTILE)),
    pairs(7, "attributes"),
    one(8, "flags", Uint32),
);
message!(VALUE_AT_QUANTILE, "ValueAtQuantile", one(1, "quantile", Double), one(2, "value", Double));
message!(
    EXEMPLAR,
    "Exemplar",
    one(2, "timeUnixNano", Fixed64),
    one(3, "asDouble", Double),
    one(4, "spanId", Id),
    one(5, "traceId", Id),
    one(6, "asInt", Sfixed64),
    pairs(7, "filteredAttributes"),
);
