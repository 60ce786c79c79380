//! Values of attributes to another type and to a hash, as the Collector does it.

use sha2::{Digest as _, Sha256};

use super::Target;
use crate::otlp::{
    any_value::{as_text, boolean, double, int, text},
    hex,
    view::AnyValue,
};

/// The SHA-256 of the value's bytes in hexadecimal digits; empty text for empty text and for what has no single value.
pub fn hashed(value: AnyValue<'_>) -> Vec<u8> {
    let digest = match value {
        AnyValue::String(text) if !text.is_empty() => Sha256::digest(text),
        AnyValue::Bool(value) => Sha256::digest([u8::from(value)]),
        AnyValue::Int(value) => Sha256::digest(value.to_le_bytes()),
        AnyValue::Double(value) => Sha256::digest(value.to_le_bytes()),
        _ => return text(""),
    };
    text(&hex(&digest))
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
