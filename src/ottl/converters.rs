//! Functions that give a value. Each row of [`FUNCTIONS`] takes its arguments and says what is to be computed;
//! [`Function::call`] computes it.

use std::borrow::Cow;

use regex::Regex;
use sha2::{Digest as _, Sha256, Sha512};

use super::{
    Context,
    compiler::Arguments,
    expression::Expression,
    fault::{Failure, Fault},
    path::parse_id,
    scene::{Level, Scene},
    syntax::Comparison,
    value::{Value, compare},
};
use crate::otlp::{
    any_value, hex,
    view::{self, AnyValue},
};

/// A function whose arguments are known.
#[derive(Clone, Debug)]
pub(super) enum Function {
    Concat(Vec<Expression>, Expression),
    Double(Expression),
    ExtractPatterns(Expression, Regex),
    HasPrefix(Expression, Expression),
    HasSuffix(Expression, Expression),
    HasAttribute(String, Option<Expression>),
    Int(Expression),
    Is(Type, Expression),
    IsEmpty(Expression),
    IsMatch(Expression, Regex),
    IsRootSpan,
    Len(Expression),
    LowerCase(Expression),
    ParseJson(Expression),
    Id(Expression, usize),
    Sha256(Expression),
    Sha512(Expression),
    Split(Expression, Expression),
    String(Expression),
    Substring(Expression, Expression, Expression),
    Trim(Expression, Side, String),
    UpperCase(Expression),
}

/// What `IsString` and its like ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Bool,
    Double,
    Int,
    List,
    Map,
    Text,
}

/// What is trimmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Any of the letters, both sides.
    Both,
    /// The text itself, at the start.
    Prefix,
    /// The text itself, at the end.
    Suffix,
}

type Build = fn(&mut Arguments<'_>) -> Result<Function, Fault>;

/// Name, the one context that has it if not all, and how it takes its arguments.
pub(super) const FUNCTIONS: &[(&str, Option<Context>, Build)] = &[
    ("Concat", None, |from| Ok(Function::Concat(from.values("vals")?, from.value("delimiter")?))),
    ("ConvertCase", None, |from| {
        let target = from.value("target")?;
        let lower = from.word("to_case", &["lower", "upper"])? == "lower";
        Ok(if lower { Function::LowerCase(target) } else { Function::UpperCase(target) })
    }),
    ("Double", None, |from| Ok(Function::Double(from.value("target")?))),
    ("ExtractPatterns", None, |from| {
        let (target, pattern) = (from.value("target")?, from.pattern("pattern")?);
        if pattern.capture_names().flatten().next().is_none() {
            return Err(from.fault("the pattern has no named group").hint("such as (?P<order_id>[0-9]+)"));
        }
        Ok(Function::ExtractPatterns(target, pattern))
    }),
    ("HasPrefix", None, |from| Ok(Function::HasPrefix(from.value("target")?, from.value("prefix")?))),
    ("HasSuffix", None, |from| Ok(Function::HasSuffix(from.value("target")?, from.value("suffix")?))),
    ("HasAttrKeyOnDatapoint", Some(Context::Metric), |from| Ok(Function::HasAttribute(from.literal("key")?.0, None))),
    ("HasAttrOnDatapoint", Some(Context::Metric), |from| {
        Ok(Function::HasAttribute(from.literal("key")?.0, Some(from.value("value")?)))
    }),
    ("Int", None, |from| Ok(Function::Int(from.value("target")?))),
    ("IsBool", None, |from| Ok(Function::Is(Type::Bool, from.value("target")?))),
    ("IsDouble", None, |from| Ok(Function::Is(Type::Double, from.value("target")?))),
    ("IsEmpty", None, |from| Ok(Function::IsEmpty(from.value("target")?))),
    ("IsInt", None, |from| Ok(Function::Is(Type::Int, from.value("target")?))),
    ("IsList", None, |from| Ok(Function::Is(Type::List, from.value("target")?))),
    ("IsMap", None, |from| Ok(Function::Is(Type::Map, from.value("target")?))),
    ("IsMatch", None, |from| Ok(Function::IsMatch(from.value("target")?, from.pattern("pattern")?))),
    ("IsRootSpan", Some(Context::Span), |_| Ok(Function::IsRootSpan)),
    ("IsString", None, |from| Ok(Function::Is(Type::Text, from.value("target")?))),
    ("Len", None, |from| Ok(Function::Len(from.value("target")?))),
    ("ParseJSON", None, |from| Ok(Function::ParseJson(from.value("target")?))),
    ("SHA256", None, |from| Ok(Function::Sha256(from.value("target")?))),
    ("SHA512", None, |from| Ok(Function::Sha512(from.value("target")?))),
    ("SpanID", None, |from| Ok(Function::Id(from.value("target")?, 8))),
    ("Split", None, |from| Ok(Function::Split(from.value("target")?, from.value("delimiter")?))),
    ("String", None, |from| Ok(Function::String(from.value("target")?))),
    ("Substring", None, |from| {
        Ok(Function::Substring(from.value("target")?, from.value("start")?, from.value("length")?))
    }),
    ("ToLowerCase", None, |from| Ok(Function::LowerCase(from.value("target")?))),
    ("ToUpperCase", None, |from| Ok(Function::UpperCase(from.value("target")?))),
    ("TraceID", None, |from| Ok(Function::Id(from.value("target")?, 16))),
    ("Trim", None, |from| {
        let target = from.value("target")?;
        Ok(Function::Trim(target, Side::Both, from.optional_literal("replacement")?.unwrap_or_else(|| " ".to_owned())))
    }),
    ("TrimPrefix", None, |from| Ok(Function::Trim(from.value("target")?, Side::Prefix, from.literal("prefix")?.0))),
    ("TrimSuffix", None, |from| Ok(Function::Trim(from.value("target")?, Side::Suffix, from.literal("suffix")?.0))),
];

impl Function {
    pub fn call<'a>(&'a self, scene: &Scene<'a>) -> Result<Value<'a>, Failure> {
        Ok(match self {
            Self::Concat(parts, delimiter) => concatenated(parts, &delimiter.text(scene)?, scene)?,
            Self::Double(target) => double(target.value(scene)?)?,
            Self::ExtractPatterns(target, pattern) => extracted(&target.text(scene)?, pattern),
            Self::HasPrefix(target, part) => Value::Bool(target.text(scene)?.starts_with(&*part.text(scene)?)),
            Self::HasSuffix(target, part) => Value::Bool(target.text(scene)?.ends_with(&*part.text(scene)?)),
            Self::HasAttribute(key, wanted) => Value::Bool(has_attribute(key, wanted.as_ref(), scene)?),
            Self::Int(target) => int(target.value(scene)?)?,
            Self::Is(wanted, target) => Value::Bool(Type::of(&target.value(scene)?) == Some(*wanted)),
            Self::IsEmpty(target) => Value::Bool(is_empty(&target.value(scene)?)),
            Self::IsMatch(target, pattern) => {
                let text = target.value(scene)?.into_text_like();
                Value::Bool(text.is_some_and(|text| pattern.is_match(&text)))
            }
            Self::IsRootSpan => {
                let parent = view::messages(scene.get(Level::Span), 4).last().unwrap_or_default();
                Value::Bool(parent.iter().all(|byte| *byte == 0))
            }
            Self::Len(target) => len(&target.value(scene)?)?,
            Self::LowerCase(target) => Value::owned(target.text(scene)?.to_lowercase()),
            Self::ParseJson(target) => parsed(&target.text(scene)?)?,
            Self::Id(target, len) => match target.value(scene)? {
                Value::Text(text) => Value::Bytes(Cow::Owned(parse_id(&text, *len)?)),
                Value::Bytes(bytes) if bytes.len() == *len => Value::Bytes(bytes),
                other => return Err(other.mismatch("an id as text or bytes")),
            },
            Self::Sha256(target) => Value::owned(hex(&Sha256::digest(target.text(scene)?.as_bytes()))),
            Self::Sha512(target) => Value::owned(hex(&Sha512::digest(target.text(scene)?.as_bytes()))),
            Self::Split(target, delimiter) => split(&target.text(scene)?, &delimiter.text(scene)?),
            Self::String(target) => target.value(scene)?.into_text_like().map_or(Value::Nil, Value::Text),
            Self::Substring(target, start, length) => {
                let (start, length) = (start.value(scene)?.as_int()?, length.value(scene)?.as_int()?);
                substring(&target.text(scene)?, start, length)?
            }
            Self::Trim(target, side, what) => {
                let text = target.text(scene)?;
                Value::owned(match side {
                    Side::Both => text.trim_matches(|letter| what.contains(letter)),
                    Side::Prefix => text.strip_prefix(what.as_str()).unwrap_or(&text),
                    Side::Suffix => text.strip_suffix(what.as_str()).unwrap_or(&text),
                })
            }
            Self::UpperCase(target) => Value::owned(target.text(scene)?.to_uppercase()),
        })
    }
}

impl Type {
    const fn of(value: &Value<'_>) -> Option<Self> {
        match value {
            Value::Bool(_) => Some(Self::Bool),
            Value::Double(_) => Some(Self::Double),
            Value::Int(_) => Some(Self::Int),
            Value::List(_) => Some(Self::List),
            Value::Map(_) => Some(Self::Map),
            Value::Text(_) => Some(Self::Text),
            Value::Nil | Value::Bytes(_) => None,
        }
    }
}

fn concatenated<'a>(parts: &'a [Expression], delimiter: &str, scene: &Scene<'a>) -> Result<Value<'a>, Failure> {
    let mut out = String::new();
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            out.push_str(delimiter);
        }
        // As the Collector says that there is nothing.
        out.push_str(part.value(scene)?.into_text_like().as_deref().unwrap_or("<nil>"));
    }
    Ok(Value::owned(out))
}

fn double(value: Value<'_>) -> Result<Value<'_>, Failure> {
    Ok(match value {
        Value::Nil | Value::Double(_) => value,
        Value::Int(value) => Value::Double(value as f64),
        Value::Bool(value) => Value::Double(f64::from(u8::from(value))),
        Value::Text(text) => {
            Value::Double(text.parse().map_err(|_| Failure(format!("`{}` is no number", shortened(&text))))?)
        }
        other => return Err(other.mismatch("a number, text or a bool")),
    })
}

fn int(value: Value<'_>) -> Result<Value<'_>, Failure> {
    Ok(match value {
        Value::Nil | Value::Int(_) => value,
        Value::Double(value) => Value::Int(value as i64),
        Value::Bool(value) => Value::Int(value.into()),
        Value::Text(text) => {
            Value::Int(text.parse().map_err(|_| Failure(format!("`{}` is no whole number", shortened(&text))))?)
        }
        other => return Err(other.mismatch("a number, text or a bool")),
    })
}

/// What a sender wrote, short enough for a log.
fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

fn extracted<'a>(text: &str, pattern: &Regex) -> Value<'a> {
    let mut entries = Vec::new();
    if let Some(found) = pattern.captures(text) {
        for name in pattern.capture_names().flatten() {
            // A group that took no part in the match is empty text, as in the Collector.
            let matched = found.name(name).map_or("", |group| group.as_str());
            any_value::put_entry(&mut entries, name, &any_value::text(matched));
        }
    }
    Value::Map(Cow::Owned(entries))
}

/// Whether any point of the metric has the attribute, with this value if one is wanted.
fn has_attribute<'a>(key: &str, wanted: Option<&'a Expression>, scene: &Scene<'a>) -> Result<bool, Failure> {
    let wanted = wanted.map(|wanted| wanted.value(scene)).transpose()?;
    let mut points = view::points(scene.get(Level::Metric));
    Ok(points.any(|(kind, point)| {
        let mut pairs = view::messages(point, view::point_attributes(kind)).map(view::key_value);
        pairs.any(|(found, value)| {
            let is = |wanted: &Value<'_>| compare(&Value::from(value), Comparison::Equal, wanted);
            found == key.as_bytes() && wanted.as_ref().is_none_or(is)
        })
    }))
}

/// As in the Collector, where zero, false and empty text are empty too.
fn is_empty(value: &Value<'_>) -> bool {
    match value {
        Value::Nil => true,
        Value::Bool(value) => !value,
        Value::Int(value) => *value == 0,
        Value::Double(value) => *value == 0.0,
        Value::Text(text) => text.is_empty(),
        Value::Bytes(bytes) | Value::Map(bytes) | Value::List(bytes) => bytes.is_empty(),
    }
}

fn len<'a>(value: &Value<'_>) -> Result<Value<'a>, Failure> {
    let len = match value {
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::Map(_) => value.any().entries().count(),
        Value::List(_) => value.any().elements().count(),
        other => return Err(other.mismatch("text, bytes, a list or a map")),
    };
    Ok(Value::Int(i64::try_from(len).unwrap_or(i64::MAX)))
}

/// Objects and lists; all numbers are floats, as in the Collector.
fn parsed<'a>(text: &str) -> Result<Value<'a>, Failure> {
    let mut json: serde_json::Value =
        serde_json::from_str(text).map_err(|error| Failure(format!("is not JSON: {error}")))?;
    as_floats(&mut json);
    let serialised = any_value::from_json(&json).ok_or_else(|| Failure::new("a number is too large"))?;
    match AnyValue::parse(&serialised) {
        AnyValue::KvList(entries) => Ok(Value::Map(Cow::Owned(entries.to_vec()))),
        AnyValue::Array(array) => Ok(Value::List(Cow::Owned(array.to_vec()))),
        other => Err(Value::from(other).mismatch("a JSON object or list")),
    }
}

fn as_floats(json: &mut serde_json::Value) {
    match json {
        serde_json::Value::Number(number) => {
            if let Some(float) = number.as_f64().and_then(serde_json::Number::from_f64) {
                *number = float;
            }
        }
        serde_json::Value::Array(elements) => elements.iter_mut().for_each(as_floats),
        serde_json::Value::Object(entries) => entries.values_mut().for_each(as_floats),
        _ => {}
    }
}

fn split<'a>(text: &str, delimiter: &str) -> Value<'a> {
    if delimiter.is_empty() {
        return Value::list(text.chars().map(|letter| any_value::text(letter.encode_utf8(&mut [0; 4]))));
    }
    Value::list(text.split(delimiter).map(any_value::text))
}

/// By bytes, as in the Collector, but never through the middle of a letter.
fn substring<'a>(text: &str, start: i64, length: i64) -> Result<Value<'a>, Failure> {
    let range = usize::try_from(start).ok().zip(usize::try_from(length).ok()).filter(|(_, length)| *length > 0);
    let range = range.and_then(|(start, length)| Some((start, start.checked_add(length)?)));
    let Some((mut start, mut end)) = range.filter(|(_, end)| *end <= text.len()) else {
        return Err(Failure(format!("text of {} bytes has no {length} bytes at {start}", text.len())));
    };
    while !text.is_char_boundary(start) {
        start += 1;
    }
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Ok(Value::owned(text.get(start..end).unwrap_or_default()))
}
