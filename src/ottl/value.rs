//! What paths and functions give, and how two such values compare: as the Collector compares them.

use std::{borrow::Cow, cmp::Ordering};

use super::{fault::Failure, syntax::Comparison};
use crate::otlp::{
    any_value::{self, as_text},
    hex,
    view::AnyValue,
};

/// A value; text, bytes and what is built of them borrow from the telemetry or the statement where they can.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Value<'a> {
    #[default]
    Nil,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(Cow<'a, str>),
    Bytes(Cow<'a, [u8]>),
    /// A serialised `KeyValueList`.
    Map(Cow<'a, [u8]>),
    /// A serialised `ArrayValue`.
    List(Cow<'a, [u8]>),
}

impl<'a> Value<'a> {
    /// Text that the door has checked.
    pub fn text(bytes: &'a [u8]) -> Self {
        Self::Text(String::from_utf8_lossy(bytes))
    }

    /// Text of one's own.
    pub fn owned(text: impl Into<String>) -> Self {
        Self::Text(Cow::Owned(text.into()))
    }

    /// A list of the values given.
    pub fn list(elements: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let mut array = Vec::new();
        elements.into_iter().for_each(|element| any_value::put_element(&mut array, &element));
        Self::List(Cow::Owned(array))
    }

    /// As the telemetry has it.
    pub fn any(&self) -> AnyValue<'_> {
        match self {
            Self::Nil => AnyValue::Empty,
            Self::Bool(value) => AnyValue::Bool(*value),
            Self::Int(value) => AnyValue::Int(*value),
            Self::Double(value) => AnyValue::Double(*value),
            Self::Text(text) => AnyValue::String(text.as_bytes()),
            Self::Bytes(bytes) => AnyValue::Bytes(bytes),
            Self::Map(entries) => AnyValue::KvList(entries),
            Self::List(array) => AnyValue::Array(array),
        }
    }

    /// A serialised `AnyValue`; empty for nil.
    pub fn serialised(&self) -> Vec<u8> {
        match self {
            Self::Nil => Vec::new(),
            Self::Bool(value) => any_value::boolean(*value),
            Self::Int(value) => any_value::int(*value),
            Self::Double(value) => any_value::double(*value),
            Self::Text(text) => any_value::text(text),
            Self::Bytes(bytes) => any_value::bytes(bytes),
            Self::Map(entries) => any_value::map(entries),
            Self::List(array) => any_value::list(array),
        }
    }

    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::Nil => "nil",
            Self::Bool(_) => "a bool",
            Self::Int(_) => "an int",
            Self::Double(_) => "a double",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytes",
            Self::Map(_) => "a map",
            Self::List(_) => "a list",
        }
    }

    /// It is not what is wanted here.
    pub fn mismatch(&self, wanted: &str) -> Failure {
        Failure(format!("expected {wanted}, not {}", self.type_name()))
    }

    /// Whatever it is, as text; `None` for nil.
    pub fn into_text_like(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Nil => None,
            Self::Text(text) => Some(text),
            Self::Bytes(bytes) => Some(Cow::Owned(hex(&bytes))),
            other => Some(Cow::Owned(as_text(other.any()))),
        }
    }

    pub fn into_text(self) -> Result<Cow<'a, str>, Failure> {
        match self {
            Self::Text(text) => Ok(text),
            other => Err(other.mismatch("text")),
        }
    }

    pub fn into_map(self) -> Result<Cow<'a, [u8]>, Failure> {
        match self {
            Self::Map(entries) => Ok(entries),
            other => Err(other.mismatch("a map")),
        }
    }

    pub fn as_int(&self) -> Result<i64, Failure> {
        match self {
            Self::Int(value) => Ok(*value),
            other => Err(other.mismatch("an int")),
        }
    }
}

impl<'a> From<AnyValue<'a>> for Value<'a> {
    fn from(value: AnyValue<'a>) -> Self {
        match value {
            AnyValue::Empty => Self::Nil,
            AnyValue::String(text) => Self::text(text),
            AnyValue::Bool(value) => Self::Bool(value),
            AnyValue::Int(value) => Self::Int(value),
            AnyValue::Double(value) => Self::Double(value),
            AnyValue::Array(array) => Self::List(Cow::Borrowed(array)),
            AnyValue::KvList(entries) => Self::Map(Cow::Borrowed(entries)),
            AnyValue::Bytes(bytes) => Self::Bytes(Cow::Borrowed(bytes)),
        }
    }
}

/// Values of types that have no order between them are unequal, and no other comparison of them holds.
pub(super) fn compare(left: &Value<'_>, comparison: Comparison, right: &Value<'_>) -> bool {
    let order = match (left, right) {
        (Value::Nil, Value::Nil) => Some(Ordering::Equal),
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        (Value::Int(left), Value::Int(right)) => Some(left.cmp(right)),
        (Value::Double(left), Value::Double(right)) => left.partial_cmp(right),
        (Value::Int(left), Value::Double(right)) => (*left as f64).partial_cmp(right),
        (Value::Double(left), Value::Int(right)) => left.partial_cmp(&(*right as f64)),
        (Value::Text(left), Value::Text(right)) => Some(left.as_bytes().cmp(right.as_bytes())),
        (Value::Bytes(left), Value::Bytes(right)) => Some(left.cmp(right)),
        (Value::Map(_), Value::Map(_)) | (Value::List(_), Value::List(_)) => {
            let equal = same(left.any(), right.any());
            return match comparison {
                Comparison::Equal => equal,
                Comparison::NotEqual => !equal,
                _ => false,
            };
        }
        _ => None,
    };
    match (comparison, order) {
        (Comparison::NotEqual, order) => order != Some(Ordering::Equal),
        (_, None) => false,
        (Comparison::Equal, Some(order)) => order.is_eq(),
        (Comparison::Less, Some(order)) => order.is_lt(),
        (Comparison::LessOrEqual, Some(order)) => order.is_le(),
        (Comparison::Greater, Some(order)) => order.is_gt(),
        (Comparison::GreaterOrEqual, Some(order)) => order.is_ge(),
    }
}

/// How deep lists and maps nest in a value; 0 if it is neither.
pub(super) fn nesting(value: AnyValue<'_>) -> usize {
    match value {
        AnyValue::Array(_) => 1 + value.elements().map(nesting).max().unwrap_or_default(),
        AnyValue::KvList(_) => 1 + value.entries().map(|(_, value)| nesting(value)).max().unwrap_or_default(),
        _ => 0,
    }
}

/// Equal in value; the order of a map's entries does not count. The door has bounded the depth.
fn same(left: AnyValue<'_>, right: AnyValue<'_>) -> bool {
    match (left, right) {
        (AnyValue::KvList(_), AnyValue::KvList(_)) => {
            let (left, right) = (sorted(left), sorted(right));
            left.len() == right.len()
                && left.iter().zip(right).all(|(left, right)| left.0 == right.0 && same(left.1, right.1))
        }
        (AnyValue::Array(_), AnyValue::Array(_)) => {
            left.elements().count() == right.elements().count()
                && left.elements().zip(right.elements()).all(|(left, right)| same(left, right))
        }
        _ => left == right,
    }
}

fn sorted(map: AnyValue<'_>) -> Vec<(&[u8], AnyValue<'_>)> {
    let mut entries: Vec<_> = map.entries().collect();
    entries.sort_by_key(|(key, _)| *key);
    entries
}
