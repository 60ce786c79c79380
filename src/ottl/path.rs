//! Paths: which field of which message a name means, reading it, and writing it into a patch.

use std::borrow::Cow;

use super::{
    Context,
    compiler::Compiler,
    expression::Expression,
    fault::{Failure, Fault, Place},
    fields::{AS_DOUBLE, AS_INT, CACHE, Field, context_named, table},
    scene::{Level, Scene},
    syntax::Segment,
    value::{Value, nesting},
};
use crate::otlp::{
    any_value,
    edit::Patch,
    edit::PatchValue,
    hex,
    view::{self, AnyValue},
    wire::{self, Fields, Value as Wire},
};

/// Three messages a level, and what they stand in: within the depth that the door lets through.
const MAX_NESTING: usize = 16;

/// A place in the messages of a scene.
#[derive(Clone, Debug)]
pub(super) struct Path {
    pub level: Level,
    field: Field,
    keys: Vec<Key>,
}

/// What is looked up in a map or list.
#[derive(Clone, Debug)]
pub(super) enum Key {
    Text(String),
    Int(i64),
    Computed(Box<Expression>),
}

/// A key for one record.
enum Found<'a> {
    Text(Cow<'a, str>),
    Int(i64),
}

impl Key {
    fn find<'a>(&'a self, scene: &Scene<'a>) -> Result<Found<'a>, Failure> {
        match self {
            Self::Text(text) => Ok(Found::Text(Cow::Borrowed(text))),
            Self::Int(value) => Ok(Found::Int(*value)),
            Self::Computed(expression) => match expression.value(scene)? {
                Value::Text(text) => Ok(Found::Text(text)),
                Value::Int(value) => Ok(Found::Int(value)),
                other => Err(other.mismatch("a key, text or int")),
            },
        }
    }
}

impl Path {
    /// What the segments mean in `context`; `keys` are the last segment's. Where the context was inferred, each path says
    /// where it starts.
    pub fn resolve(
        segments: &[Segment],
        keys: Vec<Key>,
        place: Place,
        Compiler { context, inferred }: Compiler,
    ) -> Result<Self, Fault> {
        let names: Vec<&str> = segments.iter().map(|segment| segment.name.as_str()).collect();
        let full = names.join(".");
        let prefix = names.first().copied().unwrap_or_default();
        let is_prefix = |level: &&Level| table(**level).0.contains(&prefix);
        let prefixed = context.levels().iter().find(is_prefix).filter(|_| names.len() > 1);
        let (level, name) = match prefixed {
            Some(level) => (*level, names.get(1..).unwrap_or_default().join(".")),
            None => (context.level(), full.clone()),
        };
        let own = level == context.level();
        if inferred && prefixed.is_none() && table(level).1.iter().any(|(known, _)| *known == name) {
            let fault = Fault::new(place, format!("`{full}` does not say of what"));
            return Err(fault.hint(format!("write `{}.{full}`", context.name())));
        }
        let (level, fields) = if own && name == "cache" { (Level::Cache, CACHE) } else { (level, table(level).1) };
        let Some((_, field)) = fields.iter().find(|(known, _)| *known == name) else {
            return Err(unknown(&full, prefixed.is_some().then_some(prefix), level, place, context));
        };
        if !keys.is_empty() && !matches!(field, Field::Attributes | Field::Any(_)) {
            return Err(Fault::new(place, format!("nothing can be looked up in `{full}`")));
        }
        Ok(Self { level, field: *field, keys })
    }

    /// What is there; nil if nothing.
    pub fn read<'a>(&'a self, scene: &Scene<'a>) -> Result<Value<'a>, Failure> {
        let message = scene.get(self.level);
        match (self.field, self.keys.as_slice()) {
            (Field::Attributes, []) => {
                let mut entries = Vec::new();
                view::messages(message, scene.attributes(self.level))
                    .for_each(|pair| wire::put_bytes(&mut entries, 1, pair));
                Ok(Value::Map(Cow::Owned(entries)))
            }
            (Field::Attributes, [key, rest @ ..]) => {
                let Found::Text(key) = key.find(scene)? else {
                    return Err(Failure::new("attributes are looked up by text"));
                };
                let number = scene.attributes(self.level);
                let mut pairs = view::messages(message, number).map(view::raw_key_value);
                match pairs.find(|(found, _)| *found == key.as_bytes()) {
                    Some((_, value)) => look_up(AnyValue::parse(value), rest, scene),
                    None => Ok(Value::Nil),
                }
            }
            (Field::Any(number), keys) => look_up(AnyValue::parse(last_message(message, number)), keys, scene),
            (field, _) => Ok(read(field, message, scene)),
        }
    }

    /// Makes `patch`, of the path's message, put `value` there.
    pub fn write(&self, scene: &Scene<'_>, value: &Value<'_>, patch: &mut Patch) -> Result<(), Failure> {
        let message = scene.get(self.level);
        let number = scene.attributes(self.level);
        match (self.field, self.keys.as_slice()) {
            (Field::Attributes, []) => {
                let AnyValue::KvList(entries) = value.any() else {
                    if *value != Value::Nil {
                        return Err(value.mismatch("a map"));
                    }
                    patch.remove_field(number);
                    return Ok(());
                };
                patch.remove_field(number);
                view::messages(entries, 1).for_each(|pair| patch.add_field(number, Wire::Bytes(pair)));
            }
            (Field::Attributes, [key, rest @ ..]) => {
                let Found::Text(key) = key.find(scene)? else {
                    return Err(Failure::new("attributes are looked up by text"));
                };
                let mut pairs = view::messages(message, number).map(view::raw_key_value);
                let now = pairs.find(|(found, _)| *found == key.as_bytes()).map_or(&[][..], |(_, value)| value);
                patch.set(&key, PatchValue::Raw(&with(AnyValue::parse(now), rest, value, scene)?));
            }
            (Field::Any(number), keys) => {
                let now = AnyValue::parse(last_message(message, number));
                patch.set_field(number, Wire::Bytes(&with(now, keys, value, scene)?));
            }
            (field, _) => write(field, message, scene, value, patch)?,
        }
        Ok(())
    }

    /// Refuses what would nest deeper here than anybody down the road may take; a sender can make a statement build it.
    pub fn admits(&self, value: &Value<'_>) -> Result<(), Failure> {
        if nesting(value.any()) + self.keys.len() <= MAX_NESTING {
            return Ok(());
        }
        Err(Failure(format!("lists and maps would nest deeper than {MAX_NESTING} levels")))
    }

    /// Why it cannot be set, if so.
    pub fn refuses(&self, context: Context) -> Option<&'static str> {
        match self.field {
            Field::DataType => Some("this path cannot be set"),
            // The points, which are kept in the same message, have gone by then.
            Field::OfData(_) if context == Context::Datapoint => {
                Some("this path can only be set in the context metric")
            }
            _ => None,
        }
    }
}

fn unknown(full: &str, prefix: Option<&str>, level: Level, place: Place, context: Context) -> Fault {
    let first = full.split('.').next().unwrap_or_default();
    if prefix.is_none()
        && full.contains('.')
        && let Some(other) = context_named(first)
    {
        let message = format!("`{first}` cannot be reached from the context {}", context.name());
        return Fault::new(place, message).hint(format!("such a path needs the context {}", other.name()));
    }
    let prefixed = |name: &&str| prefix.map_or_else(|| (*name).to_owned(), |prefix| format!("{prefix}.{name}"));
    let mut known: Vec<String> = table(level).1.iter().map(|(name, _)| prefixed(name)).collect();
    if prefix.is_none() {
        known.extend(context.levels().iter().flat_map(|level| {
            table(*level)
                .1
                .iter()
                .map(move |(name, _)| format!("{}.{name}", table(*level).0.first().copied().unwrap_or_default()))
        }));
    }
    Fault::unknown(place, "path", full, known.iter().map(String::as_str))
}

/// The last message in a field: what counts, as in every protobuf field that is not repeated.
fn last_message(message: &[u8], number: u32) -> &[u8] {
    view::messages(message, number).last().unwrap_or(&[])
}

/// The last occurrence of a field.
fn last(message: &[u8], wanted: u32) -> Option<Wire<'_>> {
    Fields::new(message).filter(|(number, _)| *number == wanted).last().map(|(_, value)| value)
}

fn number(message: &[u8], wanted: u32) -> u64 {
    match last(message, wanted) {
        Some(Wire::Varint(value) | Wire::Fixed64(value)) => value,
        Some(Wire::Fixed32(value)) => value.into(),
        _ => 0,
    }
}

/// The data of a metric: the field that holds it.
fn data(metric: &[u8]) -> Option<(u32, &[u8])> {
    let found = Fields::new(metric).filter(|(number, _)| view::POINTS.contains(number)).last()?;
    if let (number, Wire::Bytes(data)) = found { Some((number, data)) } else { None }
}

fn by_kind(fields: &'static [(u32, Field)], wanted: u32) -> Option<Field> {
    fields.iter().find(|(kind, _)| *kind == wanted).map(|(_, field)| *field)
}

fn read<'a>(field: Field, message: &'a [u8], scene: &Scene<'a>) -> Value<'a> {
    match field {
        Field::Text(wanted) => Value::text(last_message(message, wanted)),
        Field::Varint(wanted) | Field::Fixed64(wanted) | Field::Fixed32(wanted) => {
            Value::Int(number(message, wanted).cast_signed())
        }
        Field::AsInt => Value::Int(number(message, AS_INT).cast_signed()),
        Field::Truth(wanted) => Value::Bool(number(message, wanted) != 0),
        Field::ZigZag(wanted) => {
            let value = number(message, wanted);
            Value::Int((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
        }
        Field::Double(wanted) => Value::Double(f64::from_bits(number(message, wanted))),
        Field::AsDouble => Value::Double(f64::from_bits(number(message, AS_DOUBLE))),
        Field::Id(wanted, _) => Value::Bytes(Cow::Borrowed(last_message(message, wanted))),
        Field::IdAsText(wanted, len) => match last_message(message, wanted) {
            [] => Value::owned("0".repeat(2 * len)),
            id => Value::owned(hex(id)),
        },
        Field::Named(wanted, names) => {
            let name = usize::try_from(number(message, wanted)).ok().and_then(|index| names.get(index));
            Value::Text(Cow::Borrowed(name.copied().unwrap_or_default()))
        }
        Field::AnyAsText(wanted) => {
            let text = Value::from(AnyValue::parse(last_message(message, wanted))).into_text_like();
            Value::Text(text.unwrap_or_default())
        }
        Field::Within(outer, inner) => read(*inner, last_message(message, outer), scene),
        Field::OfData(fields) => match data(message) {
            Some((kind, data)) => by_kind(fields, kind).map_or(Value::Nil, |field| read(field, data, scene)),
            None => Value::Nil,
        },
        Field::OfPoint(fields) => {
            by_kind(fields, scene.points()).map_or(Value::Nil, |field| read(field, message, scene))
        }
        Field::DataType => {
            let kind = data(message).and_then(|(kind, _)| view::POINTS.iter().position(|known| *known == kind));
            Value::Int(kind.and_then(|index| i64::try_from(index).ok()).map_or(0, |index| index + 1))
        }
        Field::Attributes | Field::Any(_) => Value::Nil,
    }
}

fn write(field: Field, message: &[u8], scene: &Scene<'_>, value: &Value<'_>, patch: &mut Patch) -> Result<(), Failure> {
    let text = || if let Value::Text(text) = value { Ok(text) } else { Err(value.mismatch("text")) };
    match field {
        Field::Text(number) => patch.set_field(number, Wire::Bytes(text()?.as_bytes())),
        Field::AnyAsText(number) => patch.set_field(number, Wire::Bytes(&any_value::text(text()?))),
        Field::Truth(number) => {
            let Value::Bool(value) = value else { return Err(value.mismatch("a bool")) };
            patch.set_field(number, Wire::Varint((*value).into()));
        }
        Field::Varint(number) => patch.set_field(number, Wire::Varint(value.as_int()?.cast_unsigned())),
        Field::ZigZag(number) => {
            let value = value.as_int()?;
            patch.set_field(number, Wire::Varint(((value << 1) ^ (value >> 63)).cast_unsigned()));
        }
        Field::Fixed64(number) => patch.set_field(number, Wire::Fixed64(value.as_int()?.cast_unsigned())),
        Field::Fixed32(number) => patch.set_field(number, Wire::Fixed32(value.as_int()? as u32)),
        Field::Double(number) => patch.set_field(number, Wire::Fixed64(as_double(value)?.to_bits())),
        Field::AsDouble => {
            patch.remove_field(AS_INT);
            patch.set_field(AS_DOUBLE, Wire::Fixed64(as_double(value)?.to_bits()));
        }
        Field::AsInt => {
            patch.remove_field(AS_DOUBLE);
            patch.set_field(AS_INT, Wire::Fixed64(value.as_int()?.cast_unsigned()));
        }
        Field::Id(number, len) => match value {
            Value::Bytes(id) if id.len() == len => patch.set_field(number, Wire::Bytes(id)),
            Value::Bytes(_) => return Err(Failure(format!("an id has {len} bytes"))),
            other => return Err(other.mismatch("an id")),
        },
        Field::IdAsText(number, len) => patch.set_field(number, Wire::Bytes(&parse_id(text()?, len)?)),
        Field::Named(number, names) => {
            let text = text()?;
            let index = names.iter().position(|name| *name == text.as_ref());
            let index = index.ok_or_else(|| Failure(format!("expected one of {}", names.join(", "))))?;
            patch.set_field(number, Wire::Varint(index as u64));
        }
        Field::Within(outer, inner) => {
            let message = last_message(message, outer);
            patch.set_field(outer, Wire::Bytes(&rewritten(*inner, message, scene, value)?));
        }
        Field::OfData(fields) => {
            let Some((kind, data)) = data(message) else { return Ok(()) };
            // What the kind of data does not have is not set, as in the Collector.
            let Some(field) = by_kind(fields, kind) else { return Ok(()) };
            patch.set_field(kind, Wire::Bytes(&rewritten(field, data, scene, value)?));
        }
        Field::OfPoint(fields) => {
            if let Some(field) = by_kind(fields, scene.points()) {
                write(field, message, scene, value, patch)?;
            }
        }
        Field::DataType | Field::Attributes | Field::Any(_) => return Err(Failure::new("cannot be set")),
    }
    Ok(())
}

fn as_double(value: &Value<'_>) -> Result<f64, Failure> {
    if let Value::Double(value) = value { Ok(*value) } else { Err(value.mismatch("a double")) }
}

/// A message with one of its fields set.
fn rewritten(field: Field, message: &[u8], scene: &Scene<'_>, value: &Value<'_>) -> Result<Vec<u8>, Failure> {
    let (mut patch, mut out) = (Patch::new(0), Vec::with_capacity(message.len() + 16));
    write(field, message, scene, value, &mut patch)?;
    patch.apply(message, &mut out);
    Ok(out)
}

/// An id from its hexadecimal digits.
pub(super) fn parse_id(text: &str, len: usize) -> Result<Vec<u8>, Failure> {
    let digits = text.as_bytes().chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        u8::from_str_radix(pair, 16).ok()
    });
    let id = digits.collect::<Option<Vec<u8>>>().filter(|_| text.len() == 2 * len);
    id.ok_or_else(|| Failure(format!("an id has {} hexadecimal digits", 2 * len)))
}

/// What the keys lead to in a value; nil where a map does not have it.
pub(super) fn look_up<'a>(mut value: AnyValue<'a>, keys: &'a [Key], scene: &Scene<'a>) -> Result<Value<'a>, Failure> {
    for key in keys {
        value = match (value, key.find(scene)?) {
            (AnyValue::KvList(_), Found::Text(key)) => {
                match value.entries().find(|(found, _)| *found == key.as_bytes()) {
                    Some((_, found)) => found,
                    None => return Ok(Value::Nil),
                }
            }
            (AnyValue::Array(_), Found::Int(index)) => {
                let element = usize::try_from(index).ok().and_then(|index| value.elements().nth(index));
                element.ok_or_else(|| Failure(format!("the list has no element {index}")))?
            }
            (other, _) => {
                return Err(Failure(format!("nothing can be looked up in {}", Value::from(other).type_name())));
            }
        };
    }
    Ok(Value::from(value))
}

/// A serialised value with what the keys lead to set; maps on the way there are made.
fn with(now: AnyValue<'_>, keys: &[Key], value: &Value<'_>, scene: &Scene<'_>) -> Result<Vec<u8>, Failure> {
    let [key, rest @ ..] = keys else { return Ok(value.serialised()) };
    match (now, key.find(scene)?) {
        (AnyValue::KvList(_) | AnyValue::Empty, Found::Text(key)) => {
            let list = if let AnyValue::KvList(list) = now { list } else { &[] };
            let (mut out, mut found) = (Vec::with_capacity(list.len() + 64), false);
            for pair in view::messages(list, 1) {
                let (name, old) = view::key_value(pair);
                if !found && name == key.as_bytes() {
                    found = true;
                    any_value::put_entry(&mut out, &key, &with(old, rest, value, scene)?);
                } else {
                    wire::put_bytes(&mut out, 1, pair);
                }
            }
            if !found {
                any_value::put_entry(&mut out, &key, &with(AnyValue::Empty, rest, value, scene)?);
            }
            Ok(any_value::map(&out))
        }
        (AnyValue::Array(array), Found::Int(wanted)) => {
            let (mut out, mut found) = (Vec::with_capacity(array.len() + 64), false);
            for (index, element) in view::messages(array, 1).enumerate() {
                if i64::try_from(index) == Ok(wanted) {
                    found = true;
                    any_value::put_element(&mut out, &with(AnyValue::parse(element), rest, value, scene)?);
                } else {
                    any_value::put_element(&mut out, element);
                }
            }
            if found { Ok(any_value::list(&out)) } else { Err(Failure(format!("the list has no element {wanted}"))) }
        }
        (other, _) => Err(Failure(format!("nothing can be set in {}", Value::from(other).type_name()))),
    }
}
