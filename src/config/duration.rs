//! Durations as the Collector writes them: `300ms`, `1.5s`, `1h30m`, `0`; also `7d` and `2w`, which it does not know.
//!
//! Use on a field: `#[serde(with = "crate::config::DurationText")]`, or `OptionalDurationText`; each is also what the
//! schema says of the field. A bare number other than 0 is refused: to the Collector it means nanoseconds, which is never
//! what was meant.

use std::{
    fmt::{self, Write as _},
    time::Duration,
};

use serde::{Deserializer, Serializer, de};

use super::fault::with_hint;

/// Longest that makes sense: ten years.
const MOST: Duration = Duration::from_hours(10 * 366 * 24);
const UNITS: [(&str, f64); 9] = [
    ("ns", 1e-9),
    ("us", 1e-6),
    ("µs", 1e-6),
    ("ms", 1e-3),
    ("s", 1.0),
    ("m", 60.0),
    ("h", 3600.0),
    ("d", 86_400.0),
    ("w", 604_800.0),
];

/// Reads `1h30m` and the like; the error says what is wrong.
pub fn parse(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    if text.is_empty() {
        return Err(with_hint("must be a duration, not empty", "such as 300ms, 1.5s, 1h30m"));
    }
    if text.starts_with('-') {
        return Err(format!("must not be negative, but is {text}"));
    }
    let mut seconds = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let number: f64 = number.parse().map_err(|_| not_a_duration(text))?;
        if unit.is_empty() {
            return Err(bare(text));
        }
        let Some((_, scale)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(unknown_unit(text, unit));
        };
        seconds += number * scale;
        rest = tail;
    }
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if duration <= MOST => Ok(duration),
        _ => Err(format!("is too long: {text}")),
    }
}

fn not_a_duration(text: &str) -> String {
    with_hint(format!("must be a duration, not \"{}\"", super::node::Shown(text)), "such as 300ms, 1.5s, 1h30m")
}

fn bare(text: &str) -> String {
    with_hint(format!("must be a duration with a unit, not the number {text}"), format!("write {text}s or {text}ms"))
}

fn unknown_unit(text: &str, unit: &str) -> String {
    let lower = unit.to_lowercase();
    let meant = match lower.as_str() {
        "sec" | "secs" | "second" | "seconds" => "s",
        "min" | "mins" | "minute" | "minutes" => "m",
        "hr" | "hrs" | "hour" | "hours" => "h",
        "day" | "days" => "d",
        "msec" | "millis" | "milliseconds" => "ms",
        _ if UNITS.iter().any(|(name, _)| *name == lower) => &lower,
        _ => return not_a_duration(text),
    };
    let message = format!("must be a duration, not \"{}\": there is no unit `{unit}`", super::node::Shown(text));
    with_hint(message, format!("did you mean `{meant}`?"))
}

/// The shortest spelling that [`parse`] reads back as the same duration.
pub fn format(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    if nanos == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    let mut rest = nanos;
    for (unit, size) in [
        ("h", 3_600_000_000_000_u128),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
        ("us", 1_000),
        ("ns", 1),
    ] {
        if rest >= size {
            let _ = write!(text, "{}{unit}", rest / size);
            rest %= size;
        }
    }
    text
}

struct DurationVisitor;

impl de::Visitor<'_> for DurationVisitor {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as 300ms, 1.5s or 1h30m")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
        parse(text).map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Duration, E> {
        if value == 0 { Ok(Duration::ZERO) } else { Err(E::custom(bare(&value.to_string()))) }
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Duration, E> {
        match u64::try_from(value) {
            Ok(value) => self.visit_u64(value),
            Err(_) => Err(E::custom(format!("must not be negative, but is {value}"))),
        }
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Duration, E> {
        Err(E::custom(bare(&value.to_string())))
    }
}

/// How a `Duration` is read and written, for `#[serde(with)]`.
pub struct DurationText;

impl DurationText {
    /// For `#[serde(with)]`.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        deserializer.deserialize_any(DurationVisitor)
    }

    /// For `#[serde(with)]`.
    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format(*duration))
    }
}

/// The same for `Option<Duration>`: `null` is none.
pub struct OptionalDurationText;

impl OptionalDurationText {
    /// For `#[serde(with)]`.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        deserializer.deserialize_option(OptionVisitor)
    }

    /// For `#[serde(with)]`.
    pub fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => DurationText::serialize(duration, serializer),
            None => serializer.serialize_none(),
        }
    }
}

struct OptionVisitor;

impl<'de> de::Visitor<'de> for OptionVisitor {
    type Value = Option<Duration>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as 300ms, 1.5s or 1h30m")
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        DurationText::deserialize(deserializer).map(Some)
    }
}
