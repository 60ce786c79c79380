//! Values of attributes: from the configuration, to another type, to text, to a hash. All as the Collector does it.

use std::{collections::BTreeMap, fmt::Write as _};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use sha2::{Digest as _, Sha256};

use super::Target;
use crate::otlp::{view::AnyValue, wire};

/// A serialised `AnyValue` of text.
pub fn text(text: &str) -> Vec<u8> {
    field(1, text.as_bytes())
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

fn int(value: i64) -> Vec<u8> {
    varint(3, value.cast_unsigned())
}

fn boolean(value: bool) -> Vec<u8> {
    varint(2, value.into())
}

fn double(value: f64) -> Vec<u8> {
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
            let mut list = Vec::new();
            for element in elements {
                wire::put_bytes(&mut list, 1, &from_json(element)?);
            }
            field(5, &list)
        }
        Value::Object(entries) => {
            let mut map = Vec::new();
            for (key, value) in entries {
                let mut pair = field(1, key.as_bytes());
                wire::put_bytes(&mut pair, 2, &from_json(value)?);
                wire::put_bytes(&mut map, 1, &pair);
            }
            field(6, &map)
        }
    })
}

/// The SHA-256 of the value's bytes in hexadecimal digits; empty text for empty text and for what has no single value.
pub fn hashed(value: AnyValue<'_>) -> Vec<u8> {
    let digest = match value {
        AnyValue::String(text) if !text.is_empty() => Sha256::digest(text),
        AnyValue::Bool(value) => Sha256::digest([u8::from(value)]),
        AnyValue::Int(value) => Sha256::digest(value.to_le_bytes()),
        AnyValue::Double(value) => Sha256::digest(value.to_le_bytes()),
        _ => return text(""),
    };
    let mut digits = String::with_capacity(64);
    for byte in digest {
        // Writing to a string cannot fail.
        let _ = write!(digits, "{byte:02x}");
    }
    text(&digits)
}

/// The value with another type; `None` if it has that type already or cannot be converted.
pub fn converted(value: AnyValue<'_>, target: Target) -> Option<Vec<u8>> {
    match (target, value) {
        (Target::String, AnyValue::String(_))
        | (Target::Int, AnyValue::Int(_))
        | (Target::Double, AnyValue::Double(_))
        | (Target::Bool, AnyValue::Bool(_)) => None,
        (Target::String, value) => Some(text(&as_text(value))),
        (Target::Int, AnyValue::Double(value)) => Some(int(value as i64)),
        (Target::Int, AnyValue::Bool(value)) => Some(int(value.into())),
        (Target::Int, value) => value.text()?.parse().ok().map(int),
        (Target::Double, AnyValue::Int(value)) => Some(double(value as f64)),
        (Target::Double, AnyValue::Bool(value)) => Some(double(f64::from(u8::from(value)))),
        (Target::Double, value) => parse_double(value.text()?).map(double),
        (Target::Bool, AnyValue::Int(value)) => Some(boolean(value != 0)),
        (Target::Bool, AnyValue::Double(value)) => Some(boolean(value != 0.0)),
        (Target::Bool, value) => parse_bool(value.text()?).map(boolean),
    }
}

/// Digits that overflow are no number, though Rust reads them as infinity.
fn parse_double(text: &str) -> Option<f64> {
    let value: f64 = text.parse().ok()?;
    (value.is_finite() || !text.contains(|letter: char| letter.is_ascii_digit())).then_some(value)
}

fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Any value as text: lists and maps as JSON, bytes as base64.
fn as_text(value: AnyValue<'_>) -> String {
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
