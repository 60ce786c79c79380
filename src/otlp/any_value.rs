//! Writing an `AnyValue`, from a configuration and from parts, and saying one as text, as the Collector does it.

use std::{collections::BTreeMap, fmt::Write as _};

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::{view::AnyValue, wire};

/// A serialised `AnyValue` of text.
pub fn text(text: &str) -> Vec<u8> {
    field(1, text.as_bytes())
}

/// A serialised `AnyValue` of opaque bytes.
pub fn bytes(bytes: &[u8]) -> Vec<u8> {
    field(7, bytes)
}

/// A serialised `AnyValue` of a list, from its serialised `ArrayValue`.
pub fn list(array: &[u8]) -> Vec<u8> {
    field(5, array)
}

/// A serialised `AnyValue` of a map, from its serialised `KeyValueList`.
pub fn map(entries: &[u8]) -> Vec<u8> {
    field(6, entries)
}

/// Appends an element, a serialised `AnyValue`, to a serialised `ArrayValue`.
pub fn put_element(array: &mut Vec<u8>, element: &[u8]) {
    wire::put_bytes(array, 1, element);
}

/// Appends an entry, its value a serialised `AnyValue`, to a serialised `KeyValueList`.
pub fn put_entry(entries: &mut Vec<u8>, key: &str, value: &[u8]) {
    let mut pair = Vec::with_capacity(key.len() + value.len() + 8);
    wire::put_bytes(&mut pair, 1, key.as_bytes());
    wire::put_bytes(&mut pair, 2, value);
    wire::put_bytes(entries, 1, &pair);
}

fn field(number: u32, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 6);
    wire::put_bytes(&mut out, number, bytes);
    out
}

fn varint(number: u8, value: u64) -> Vec<u8> {
    let mut out = vec![number << 3];
    wire::put_varint(&mut out, value);
    out
}

/// A serialised `AnyValue` of a whole number.
pub fn int(value: i64) -> Vec<u8> {
    varint(3, value.cast_unsigned())
}

/// A serialised `AnyValue` of a truth.
pub fn boolean(value: bool) -> Vec<u8> {
    varint(2, value.into())
}

/// A serialised `AnyValue` of a float.
pub fn double(value: f64) -> Vec<u8> {
    let mut out = vec![4 << 3 | 1];
    out.extend(value.to_le_bytes());
    out
}

/// A configured value, serialised as an `AnyValue`; `None` if a number fits none.
pub fn from_json(value: &serde_json::Value) -> Option<Vec<u8>> {
    use serde_json::Value;
    Some(match value {
        Value::Null => Vec::new(),
        Value::Bool(value) => boolean(*value),
        Value::Number(number) if number.is_f64() => double(number.as_f64()?),
        Value::Number(number) => int(number.as_i64()?),
        Value::String(value) => text(value),
        Value::Array(elements) => {
            let mut array = Vec::new();
            for element in elements {
                put_element(&mut array, &from_json(element)?);
            }
            list(&array)
        }
        Value::Object(entries) => {
            let mut pairs = Vec::new();
            for (key, value) in entries {
                put_entry(&mut pairs, key, &from_json(value)?);
            }
            map(&pairs)
        }
    })
}

/// Any value as text: lists and maps as JSON, bytes as base64.
pub fn as_text(value: AnyValue<'_>) -> String {
    match value {
        AnyValue::Empty => String::new(),
        AnyValue::String(text) => String::from_utf8_lossy(text).into_owned(),
        AnyValue::Bytes(bytes) => BASE64_STANDARD.encode(bytes),
        AnyValue::Double(value) if !value.is_finite() => format!("json: unsupported value: {}", not_finite(value)),
        AnyValue::Bool(_) | AnyValue::Int(_) | AnyValue::Double(_) | AnyValue::Array(_) | AnyValue::KvList(_) => {
            let mut out = String::new();
            // Infinity and NaN are not JSON: a list that holds one is empty text, as in the Collector.
            if put_json(&mut out, value).is_some() { out } else { String::new() }
        }
    }
}

const fn not_finite(value: f64) -> &'static str {
    if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "+Inf"
    } else {
        "-Inf"
    }
}

/// As Go writes JSON: maps sorted by key, floats without needless digits. The door has bounded the depth.
fn put_json(out: &mut String, value: AnyValue<'_>) -> Option<()> {
    match value {
        AnyValue::Empty => out.push_str("null"),
        AnyValue::String(text) => put_json_text(out, &String::from_utf8_lossy(text)),
        AnyValue::Bytes(bytes) => put_json_text(out, &BASE64_STANDARD.encode(bytes)),
        AnyValue::Bool(value) => out.push_str(if value { "true" } else { "false" }),
        AnyValue::Int(value) => write!(out, "{value}").ok()?,
        AnyValue::Double(value) => put_double(out, value)?,
        AnyValue::Array(_) => {
            out.push('[');
            for (index, element) in value.elements().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                put_json(out, element)?;
            }
            out.push(']');
        }
        AnyValue::KvList(_) => {
            out.push('{');
            let entries: BTreeMap<_, _> = value.entries().collect();
            for (index, (key, value)) in entries.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                put_json_text(out, &String::from_utf8_lossy(key));
                out.push(':');
                put_json(out, value)?;
            }
            out.push('}');
        }
    }
    Some(())
}

/// The shortest digits that read back as the same float, with an exponent only where ECMAScript has one.
fn put_double(out: &mut String, value: f64) -> Option<()> {
    if !value.is_finite() {
        return None;
    }
    let size = value.abs();
    if size == 0.0 || (1e-6..1e21).contains(&size) {
        return write!(out, "{value}").ok();
    }
    let digits = format!("{value:e}");
    let (mantissa, exponent) = digits.split_once('e')?;
    let sign = if exponent.starts_with('-') { "" } else { "+" };
    write!(out, "{mantissa}e{sign}{exponent}").ok()
}

fn put_json_text(out: &mut String, text: &str) {
    // Text always is valid JSON once quoted; Go escapes what HTML would mistake for its own, too.
    for letter in serde_json::Value::from(text).to_string().chars() {
        match letter {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(letter));
            }
            other => out.push(other),
        }
    }
}
