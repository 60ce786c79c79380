//! [`Node`] → a component's own configuration struct, finding every mistake in one go.
//!
//! serde stops at the first error, so a value that does not decode is set aside (its default takes its place) and the
//! struct is decoded again, at most [`MAX_ROUNDS`] times. Unknown keys are reported and skipped on the way; that needs
//! plain structs and externally tagged enums, since serde reads `flatten`, `untagged` and `tag` without their field names.

use std::{cell::RefCell, collections::HashSet};

use schemars::JsonSchema;
use serde::de::{
    self, Deserializer, IntoDeserializer as _, Visitor,
    value::{MapDeserializer, SeqDeserializer},
};

use super::{
    check::{Check, Report},
    fault::{Decoded, Fault, NodeId, Place, id, shown},
    node::{Entry, Node, Shown, Value},
    print::looks_secret,
    problem::{Problems, advice, nearest},
    schema::{Places, component_schema},
    types::SECRET,
};

/// Bad values found in one component before giving up on the rest.
const MAX_ROUNDS: usize = 64;

/// Decodes and checks. Where something is wrong the defaults stand, and `problems` says what and where.
pub fn decode<T: de::DeserializeOwned + Default + Check>(node: &Node, problems: &mut Problems) -> T {
    decode_with(node, problems, &|_| None)
}

/// [`decode`] that says of a key at the wrong level where it belongs.
pub fn decode_placed<T>(node: &Node, problems: &mut Problems) -> T
where
    T: de::DeserializeOwned + Default + Check + JsonSchema,
{
    decode_with(node, problems, &|key| Some(Places::of(key, &component_schema::<T>())))
}

fn decode_with<T>(node: &Node, problems: &mut Problems, places: &dyn Fn(&str) -> Option<Places>) -> T
where
    T: de::DeserializeOwned + Default + Check,
{
    problems.mask_secrets(node);
    let round = Round { dropped: RefCell::default(), unknown: RefCell::default(), secrets: RefCell::default() };
    let mut value = None;
    for _ in 0..MAX_ROUNDS {
        match T::deserialize(Decoder { node, round: &round }) {
            Ok(decoded) => {
                value = Some(decoded);
                break;
            }
            Err(fault) => {
                let at = fault.at.unwrap_or(Place { id: id(node), span: node.span, path: node.path.clone() });
                // A variable that is not set has left a null here and a problem already.
                if !problems.reported(&at.path) {
                    problems.error(at.span, &at.path, fault.message).hint_opt(fault.hint);
                }
                if at.id == id(node) || !round.dropped.borrow_mut().insert(at.id) {
                    break;
                }
            }
        }
    }
    for (entry, fields) in round.unknown.into_inner() {
        let places = places(&entry.key);
        let component = node.path.rsplit("::").next().unwrap_or_default();
        let elsewhere = places.as_ref().and_then(|places| places.advice(&entry.key, component));
        let message = format!("unknown key `{}`", Shown(&entry.key));
        let hint = elsewhere.or_else(|| advice(&entry.key, fields));
        problems.error(entry.key_span, &entry.node.path, message).hint_opt(hint);
        // Neither a misspelt `api-ky:` nor a misplaced one may print what it guards.
        let guards = nearest(&entry.key, fields.iter().copied()).is_some_and(looks_secret);
        if guards || places.is_some_and(|places| places.secret) {
            problems.mask(&entry.node);
        }
    }
    for secret in round.secrets.into_inner() {
        problems.mask(secret);
    }
    let value = value.unwrap_or_default();
    value.check(&mut Report::new(node, problems));
    value
}

/// What is remembered from one attempt to the next.
struct Round<'de> {
    dropped: RefCell<HashSet<NodeId>>,
    unknown: RefCell<Vec<(&'de Entry, &'static [&'static str])>>,
    secrets: RefCell<Vec<&'de Node>>,
}

impl<'de> Round<'de> {
    fn keeps(&self, node: &Node) -> bool {
        !self.dropped.borrow().contains(&id(node))
    }

    fn skip_unknown(&self, entry: &'de Entry, fields: &'static [&'static str]) {
        let mut unknown = self.unknown.borrow_mut();
        if !unknown.iter().any(|(seen, _)| std::ptr::eq(*seen, entry)) {
            unknown.push((entry, fields));
        }
    }
}

/// One node being decoded.
#[derive(Clone, Copy)]
struct Decoder<'de, 'r> {
    node: &'de Node,
    round: &'r Round<'de>,
}

impl<'de, 'r> Decoder<'de, 'r> {
    fn wants<T>(self, expected: &str) -> Decoded<T> {
        let mut message = format!("must be {expected}, not {}", shown(self.node));
        let mut hint = None;
        match &self.node.value {
            Value::Null => {
                message = format!("has no value; must be {expected}");
                hint = Some("give it a value, or remove the key to have the default".to_owned());
            }
            Value::Str(text) if text.trim().parse::<f64>().is_ok() && expected.contains("number") => {
                hint = Some("remove the quotes".to_owned());
            }
            Value::Str(text) if expected.contains("true") && ["true", "false"].contains(&text.as_str()) => {
                hint = Some("remove the quotes".to_owned());
            }
            Value::Str(text) if expected.contains("true") && is_yaml_11_bool(text) => {
                hint = Some("write true or false".to_owned());
            }
            _ => {}
        }
        Err(Fault::new(message).hint(hint).at(self.node))
    }

    fn int(self, low: i128, high: i128) -> Decoded<i128> {
        let found = match self.node.value {
            Value::Int(value) => Some(value),
            Value::Float(value) if value.fract() == 0.0 && value.abs() < 1e15 => Some(value as i128),
            _ => None,
        };
        match found.filter(|value| (low..=high).contains(value)) {
            Some(value) => Ok(value),
            None if low == 0 && high > i128::from(u32::MAX) => self.wants("a whole number, 0 or more"),
            None if high > i128::from(u32::MAX) => self.wants("a whole number"),
            None => self.wants(&format!("a whole number from {low} to {high}")),
        }
    }

    fn entries(self) -> impl Iterator<Item = &'de Entry> + use<'de, 'r> {
        self.node.entries().iter().filter(move |entry| self.round.keeps(&entry.node))
    }

    fn seq<V: Visitor<'de>>(self, items: &'de [Node], visitor: V) -> Decoded<V::Value> {
        let items = items.iter().filter(|item| self.round.keeps(item));
        let items = items.map(|node| Decoder { node, round: self.round });
        visitor.visit_seq(SeqDeserializer::new(items)).map_err(|fault| fault.at(self.node))
    }

    fn map<V: Visitor<'de>>(self, entries: impl Iterator<Item = &'de Entry>, visitor: V) -> Decoded<V::Value> {
        let entries = entries.map(|entry| (Key(entry), Decoder { node: &entry.node, round: self.round }));
        visitor.visit_map(MapDeserializer::new(entries)).map_err(|fault| fault.at(self.node))
    }
}

impl<'de> de::IntoDeserializer<'de, Fault> for Decoder<'de, '_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

fn is_yaml_11_bool(text: &str) -> bool {
    ["yes", "no", "on", "off", "y", "n", "true", "false"].iter().any(|word| word.eq_ignore_ascii_case(text))
}

/// A whole number of one width: checked for range, then given to the visitor.
macro_rules! whole_numbers {
    ($($method:ident $visit:ident $type:ident),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Decoded<V::Value> {
            let value = self.int(i128::from($type::MIN), i128::from($type::MAX))?;
            let value = $type::try_from(value).map_err(de::Error::custom)?;
            visitor.$visit(value).map_err(|fault: Fault| fault.at(self.node))
        }
    )*};
}

impl<'de> Deserializer<'de> for Decoder<'de, '_> {
    type Error = Fault;

    whole_numbers! {
        deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16, deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64, deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16,
        deserialize_u32 visit_u32 u32, deserialize_u64 visit_u64 u64
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Decoded<V::Value> {
        let result = match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Int(value) => match (i64::try_from(*value), u64::try_from(*value)) {
                (Ok(value), _) => visitor.visit_i64(value),
                (_, Ok(value)) => visitor.visit_u64(value),
                _ => visitor.visit_i128(*value),
            },
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Str(text) => visitor.visit_borrowed_str(text),
            Value::Seq(items) => self.seq(items, visitor),
            Value::Map(_) => self.map(self.entries(), visitor),
        };
        result.map_err(|fault| fault.at(self.node))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Decoded<V::Value> {
        match self.node.value {
            Value::Bool(value) => visitor.visit_bool(value),
            _ => self.wants("true or false"),
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Decoded<V::Value> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Decoded<V::Value> {
        let result = match self.node.value {
            Value::Int(value) => visitor.visit_f64(value as f64),
            Value::Float(value) if value.is_finite() => visitor.visit_f64(value),
            _ => return self.wants("a number"),
        };
        result.map_err(|fault: Fault| fault.at(self.node))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Decoded<V::Value> {
        match self.node.text() {
            Some(text) => visitor.visit_borrowed_str(text).map_err(|fault: Fault| fault.at(self.node)),
            None => self.wants("text"),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Decoded<V::Value> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Decoded<V::Value> {
        match self.node.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Decoded<V::Value> {
        match self.node.value {
            Value::Null => visitor.visit_unit(),
            _ => self.wants("left empty"),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Decoded<V::Value> {
        if name != SECRET {
            return visitor.visit_newtype_struct(self);
        }
        self.round.secrets.borrow_mut().push(self.node);
        if let Some(text) = self.node.text() {
            return visitor.visit_borrowed_str(text).map_err(|fault: Fault| fault.at(self.node));
        }
        let message = format!("must be text, not {}", self.node.kind());
        Err(Fault::new(message).at(self.node))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Decoded<V::Value> {
        match &self.node.value {
            Value::Seq(items) => self.seq(items, visitor),
            Value::Null => self.seq(&[], visitor),
            _ => self.wants("a list"),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Decoded<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(self, _: &'static str, _: usize, visitor: V) -> Decoded<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Decoded<V::Value> {
        match self.node.value {
            Value::Map(_) | Value::Null => self.map(self.entries(), visitor),
            _ => self.wants("a map"),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Decoded<V::Value> {
        if !matches!(self.node.value, Value::Map(_) | Value::Null) {
            let keys = if fields.is_empty() { String::new() } else { format!(" with the keys {}", fields.join(", ")) };
            let mut fault = self.wants::<()>("a map").map_or_else(|fault| fault, |()| de::Error::custom(""));
            fault.hint = Some(format!("this is a map{keys}"));
            return Err(fault);
        }
        let round = self.round;
        let known = self.entries().filter(move |entry| {
            let known = fields.contains(&entry.key.as_str());
            if !known {
                round.skip_unknown(entry, fields);
            }
            known
        });
        self.map(known, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Decoded<V::Value> {
        let result = match (&self.node.value, self.node.entries()) {
            (Value::Map(_), [entry]) => {
                if !variants.contains(&entry.key.as_str()) {
                    let message = format!("unknown key `{}`", Shown(&entry.key));
                    let place = Place { id: id(&entry.node), span: entry.key_span, path: entry.node.path.clone() };
                    return Err(Fault::new(message).hint(advice(&entry.key, variants)).at_place(place));
                }
                visitor.visit_enum(Variant { entry, decoder: Decoder { node: &entry.node, round: self.round } })
            }
            (Value::Map(_), _) => return self.wants(&format!("a map with exactly one of {}", variants.join(", "))),
            (Value::Seq(_) | Value::Null, _) => return self.wants(&format!("one of {}", variants.join(", "))),
            _ => {
                let text = self.node.text().unwrap_or_default();
                // `INFO` for `info`, as the Collector has it; an exact match goes first.
                let same = variants.iter().find(|name| **name == text);
                let same = same.or_else(|| variants.iter().find(|name| name.eq_ignore_ascii_case(text)));
                visitor.visit_enum(same.copied().unwrap_or(text).into_deserializer())
            }
        };
        result.map_err(|fault: Fault| fault.at(self.node))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Decoded<V::Value> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! { i128 u128 char bytes byte_buf unit_struct identifier }
}

/// `{variant: content}` being decoded; not serde's own, which would read a struct variant as any map.
struct Variant<'de, 'r> {
    entry: &'de Entry,
    decoder: Decoder<'de, 'r>,
}

impl<'de, 'r> de::EnumAccess<'de> for Variant<'de, 'r> {
    type Error = Fault;
    type Variant = Decoder<'de, 'r>;

    fn variant_seed<S: de::DeserializeSeed<'de>>(self, seed: S) -> Decoded<(S::Value, Self::Variant)> {
        Ok((seed.deserialize(Key(self.entry))?, self.decoder))
    }
}

impl<'de> de::VariantAccess<'de> for Decoder<'de, '_> {
    type Error = Fault;

    fn unit_variant(self) -> Decoded<()> {
        if self.node.is_null() { Ok(()) } else { self.wants("left empty") }
    }

    fn newtype_variant_seed<S: de::DeserializeSeed<'de>>(self, seed: S) -> Decoded<S::Value> {
        seed.deserialize(self).map_err(|fault| fault.at(self.node))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Decoded<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Decoded<V::Value> {
        self.deserialize_struct("", fields, visitor)
    }
}

/// A map key being decoded. A fault in it is laid at the key's place and drops the whole entry.
#[derive(Clone, Copy)]
struct Key<'de>(&'de Entry);

impl<'de> de::IntoDeserializer<'de, Fault> for Key<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl Key<'_> {
    fn fault(self, mut fault: Fault) -> Fault {
        fault.at.get_or_insert(Place { id: id(&self.0.node), span: self.0.key_span, path: self.0.node.path.clone() });
        fault
    }
}

impl<'de> Deserializer<'de> for Key<'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Decoded<V::Value> {
        visitor.visit_borrowed_str(&self.0.key).map_err(|fault| self.fault(fault))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Decoded<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Decoded<V::Value> {
        visitor.visit_enum(self.0.key.as_str().into_deserializer()).map_err(|fault: Fault| self.fault(fault))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        seq tuple tuple_struct map struct identifier ignored_any
    }
}
