//! The fields that paths lead to: by message, what each is called and how it is kept.

use super::{Context, scene::Level};

/// How a field is kept in its message.
#[derive(Clone, Copy, Debug)]
pub(super) enum Field {
    /// The attributes of the message, as a map.
    Attributes,
    /// A field that holds an `AnyValue`.
    Any(u32),
    /// The same as text.
    AnyAsText(u32),
    Text(u32),
    Varint(u32),
    ZigZag(u32),
    Fixed64(u32),
    Fixed32(u32),
    /// An id and how many bytes it has.
    Id(u32, usize),
    /// The same in hexadecimal digits.
    IdAsText(u32, usize),
    /// A number's index in a list of names.
    Named(u32, &'static [&'static str]),
    Truth(u32),
    Double(u32),
    /// The float and the integer of a number's point: setting one removes the other.
    AsDouble,
    AsInt,
    /// A field of the message in a field.
    Within(u32, &'static Field),
    /// A field of whichever data a metric has, or, for a point, by the kind of its metric.
    OfData(&'static [(u32, Field)]),
    OfPoint(&'static [(u32, Field)]),
    /// What kind of data a metric has.
    DataType,
}

/// `as_double` and `as_int` of a number's point.
pub(super) const AS_DOUBLE: u32 = 4;
pub(super) const AS_INT: u32 = 6;

/// By level: name, and how the field is kept.
pub(super) type Named = (&'static str, Field);

const RESOURCE: &[Named] = &[("attributes", Field::Attributes), ("dropped_attributes_count", Field::Varint(2))];
const SCOPE: &[Named] = &[
    ("name", Field::Text(1)),
    ("version", Field::Text(2)),
    ("attributes", Field::Attributes),
    ("dropped_attributes_count", Field::Varint(4)),
];
const KINDS: &[&str] = &["Unspecified", "Internal", "Server", "Client", "Producer", "Consumer"];
const DEPRECATED_KINDS: &[&str] = &[
    "SPAN_KIND_UNSPECIFIED",
    "SPAN_KIND_INTERNAL",
    "SPAN_KIND_SERVER",
    "SPAN_KIND_CLIENT",
    "SPAN_KIND_PRODUCER",
    "SPAN_KIND_CONSUMER",
];
const SPAN: &[Named] = &[
    ("trace_id", Field::Id(1, 16)),
    ("trace_id.string", Field::IdAsText(1, 16)),
    ("span_id", Field::Id(2, 8)),
    ("span_id.string", Field::IdAsText(2, 8)),
    ("trace_state", Field::Text(3)),
    ("parent_span_id", Field::Id(4, 8)),
    ("parent_span_id.string", Field::IdAsText(4, 8)),
    ("name", Field::Text(5)),
    ("kind", Field::Varint(6)),
    ("kind.string", Field::Named(6, KINDS)),
    ("kind.deprecated_string", Field::Named(6, DEPRECATED_KINDS)),
    ("start_time_unix_nano", Field::Fixed64(7)),
    ("end_time_unix_nano", Field::Fixed64(8)),
    ("attributes", Field::Attributes),
    ("dropped_attributes_count", Field::Varint(10)),
    ("dropped_events_count", Field::Varint(12)),
    ("dropped_links_count", Field::Varint(14)),
    ("status.message", Field::Within(15, &Field::Text(2))),
    ("status.code", Field::Within(15, &Field::Varint(3))),
    ("flags", Field::Fixed32(16)),
];
const SPAN_EVENT: &[Named] = &[
    ("time_unix_nano", Field::Fixed64(1)),
    ("name", Field::Text(2)),
    ("attributes", Field::Attributes),
    ("dropped_attributes_count", Field::Varint(4)),
];
const LOG: &[Named] = &[
    ("time_unix_nano", Field::Fixed64(1)),
    ("observed_time_unix_nano", Field::Fixed64(11)),
    ("severity_number", Field::Varint(2)),
    ("severity_text", Field::Text(3)),
    ("body", Field::Any(5)),
    ("body.string", Field::AnyAsText(5)),
    ("attributes", Field::Attributes),
    ("dropped_attributes_count", Field::Varint(7)),
    ("flags", Field::Fixed32(8)),
    ("trace_id", Field::Id(9, 16)),
    ("trace_id.string", Field::IdAsText(9, 16)),
    ("span_id", Field::Id(10, 8)),
    ("span_id.string", Field::IdAsText(10, 8)),
    ("event_name", Field::Text(12)),
];
const TEMPORALITY: Field = Field::Varint(2);
const METRIC: &[Named] = &[
    ("name", Field::Text(1)),
    ("description", Field::Text(2)),
    ("unit", Field::Text(3)),
    ("type", Field::DataType),
    ("aggregation_temporality", Field::OfData(&[(7, TEMPORALITY), (9, TEMPORALITY), (10, TEMPORALITY)])),
    ("is_monotonic", Field::OfData(&[(7, Field::Truth(3))])),
    ("metadata", Field::Attributes),
];
const DATAPOINT: &[Named] = &[
    ("attributes", Field::Attributes),
    ("start_time_unix_nano", Field::Fixed64(2)),
    ("time_unix_nano", Field::Fixed64(3)),
    ("value_double", Field::OfPoint(&[(5, Field::AsDouble), (7, Field::AsDouble)])),
    ("value_int", Field::OfPoint(&[(5, Field::AsInt), (7, Field::AsInt)])),
    (
        "flags",
        Field::OfPoint(&[
            (5, Field::Varint(8)),
            (7, Field::Varint(8)),
            (9, Field::Varint(10)),
            (10, Field::Varint(10)),
            (11, Field::Varint(8)),
        ]),
    ),
    ("count", Field::OfPoint(&[(9, Field::Fixed64(4)), (10, Field::Fixed64(4)), (11, Field::Fixed64(4))])),
    ("sum", Field::OfPoint(&[(9, Field::Double(5)), (10, Field::Double(5)), (11, Field::Double(5))])),
    ("scale", Field::OfPoint(&[(10, Field::ZigZag(6))])),
    ("zero_count", Field::OfPoint(&[(10, Field::Fixed64(7))])),
];
pub(super) const CACHE: &[Named] = &[("cache", Field::Attributes)];

/// What a level is called in paths, and its fields.
pub(super) const fn table(level: Level) -> (&'static [&'static str], &'static [Named]) {
    match level {
        Level::Resource => (&["resource"], RESOURCE),
        Level::Scope => (&["scope", "instrumentation_scope"], SCOPE),
        Level::Metric => (&["metric"], METRIC),
        Level::Span => (&["span"], SPAN),
        Level::SpanEvent => (&["spanevent"], SPAN_EVENT),
        Level::Log => (&["log"], LOG),
        Level::Datapoint => (&["datapoint"], DATAPOINT),
        Level::Cache => (&[], CACHE),
    }
}

impl Context {
    /// The messages that paths in this context can lead into, its own first.
    pub(super) const fn levels(self) -> &'static [Level] {
        match self {
            Self::Resource => &[Level::Resource],
            Self::Scope => &[Level::Scope, Level::Resource],
            Self::Span => &[Level::Span, Level::Scope, Level::Resource],
            Self::SpanEvent => &[Level::SpanEvent, Level::Span, Level::Scope, Level::Resource],
            Self::Metric => &[Level::Metric, Level::Scope, Level::Resource],
            Self::Datapoint => &[Level::Datapoint, Level::Metric, Level::Scope, Level::Resource],
            Self::Log => &[Level::Log, Level::Scope, Level::Resource],
        }
    }
}

/// The context that a path's first name stands for.
pub(super) fn context_named(name: &str) -> Option<Context> {
    Context::ALL.into_iter().find(|context| table(context.level()).0.contains(&name))
}
