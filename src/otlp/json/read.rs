//! JSON to protobuf, in one streaming pass driven by the schema.

use std::fmt;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor};

use super::snake_case;
use crate::otlp::{
    Signal,
    check::MAX_DEPTH,
    schema::{Field, Kind, Message},
    wire,
};

/// Why a JSON body is refused: what is wrong, with line and column.
#[derive(Debug, thiserror::Error)]
#[error("not a valid OTLP/JSON request: {0}")]
pub struct JsonError(#[from] serde_json::Error);

/// The request in `json` as protobuf.
pub fn to_protobuf(signal: Signal, json: &[u8]) -> Result<Vec<u8>, JsonError> {
    let mut out = Vec::with_capacity(json.len() / 2);
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let request = MessageSeed { schema: Message::request(signal), out: &mut out, depth: 0 };
    request.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(out)
}

/// Reads an object and appends its fields to `out`.
struct MessageSeed<'a> {
    schema: &'static Message,
    out: &'a mut Vec<u8>,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for MessageSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for MessageSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object ({})", self.schema.name)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            let known = self.schema.fields.iter().find(|field| field.name == name || snake_case(field.name) == name);
            match known {
                Some(field) => {
                    map.next_value_seed(FieldSeed { field, many: field.repeated, out: self.out, depth: self.depth })?;
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// Reads the value of a field, or the array of its values; null is absent.
struct FieldSeed<'a> {
    field: &'static Field,
    /// Whether an array is due, rather than one value.
    many: bool,
    out: &'a mut Vec<u8>,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for FieldSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

#[expect(clippy::unit_arg, reason = "writing cannot fail, and every visit ends with it")]
impl<'de> Visitor<'de> for FieldSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.field.kind {
            _ if self.many => "an array",
            Kind::Message(_) => "an object",
            Kind::Text => "a string",
            Kind::Bytes => "base64",
            Kind::Id => "hexadecimal digits",
            Kind::Bool => "true or false",
            Kind::Enum(_) => "an integer or a name",
            Kind::Double => "a number",
            _ => "an integer in range",
        };
        write!(f, "{what} for `{}`", self.field.name)
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        if !self.many {
            return Err(de::Error::invalid_type(Unexpected::Seq, &self));
        }
        let Self { field, out, depth, .. } = self;
        while seq.next_element_seed(FieldSeed { field, many: false, out, depth })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let Kind::Message(schema) = self.field.kind else {
            return Err(de::Error::invalid_type(Unexpected::Map, &self));
        };
        if self.many {
            return Err(de::Error::invalid_type(Unexpected::Map, &self));
        }
        if self.depth >= MAX_DEPTH {
            return Err(de::Error::custom("nested too deep"));
        }
        let mut message = Vec::new();
        MessageSeed { schema, out: &mut message, depth: self.depth + 1 }.visit_map(map)?;
        wire::put_bytes(self.out, self.field.number, &message);
        Ok(())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        let wrong = || E::invalid_value(Unexpected::Str(text), &self);
        let number = self.field.number;
        match self.field.kind {
            _ if self.many => Err(wrong()),
            Kind::Text => {
                wire::put_bytes(self.out, number, text.as_bytes());
                Ok(())
            }
            Kind::Bytes => {
                let bytes = BASE64.decode(text.replace('-', "+").replace('_', "/")).map_err(|_| wrong())?;
                wire::put_bytes(self.out, number, &bytes);
                Ok(())
            }
            Kind::Id => {
                let bytes = from_hexadecimal(text).ok_or_else(wrong)?;
                wire::put_bytes(self.out, number, &bytes);
                Ok(())
            }
            Kind::Enum(names) => {
                let value = names.iter().position(|name| *name == text);
                let value = value
                    .and_then(|value| i64::try_from(value).ok())
                    .or_else(|| text.parse().ok())
                    .ok_or_else(wrong)?;
                Ok(self.put_int(value))
            }
            Kind::Double => {
                let value = match text {
                    "NaN" => f64::NAN,
                    "Infinity" => f64::INFINITY,
                    "-Infinity" => f64::NEG_INFINITY,
                    number => number.parse().map_err(|_| wrong())?,
                };
                Ok(self.put_double(value))
            }
            Kind::Bool | Kind::Message(_) => Err(wrong()),
            _ => match (text.parse::<u64>(), text.parse::<i64>()) {
                (Ok(value), _) => self.visit_u64(value),
                (_, Ok(value)) => self.visit_i64(value),
                // As `1e3` is a number in JSON, it is one in a string.
                _ => {
                    let value = text.parse().map_err(|_| wrong())?;
                    self.visit_f64(value)
                }
            },
        }
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<(), E> {
        if matches!(self.field.kind, Kind::Bool) && !self.many {
            return Ok(self.put_varint(u64::from(value)));
        }
        Err(E::invalid_type(Unexpected::Bool(value), &self))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<(), E> {
        match (self.field.kind, i64::try_from(value)) {
            (Kind::Uint64, _) if !self.many => Ok(self.put_varint(value)),
            (Kind::Fixed64, _) if !self.many => Ok(self.put_fixed64(value)),
            (Kind::Double, Err(_)) => Ok(self.put_double(value as f64)),
            (_, Ok(value)) => self.visit_i64(value),
            (_, Err(_)) => Err(E::invalid_value(Unexpected::Unsigned(value), &self)),
        }
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<(), E> {
        let wrong = E::invalid_value(Unexpected::Signed(value), &self);
        match self.field.kind {
            _ if self.many => Err(wrong),
            Kind::Uint64 => u64::try_from(value).map_err(|_| wrong).map(|value| self.put_varint(value)),
            Kind::Fixed64 => u64::try_from(value).map_err(|_| wrong).map(|value| self.put_fixed64(value)),
            Kind::Uint32 => u32::try_from(value).map_err(|_| wrong).map(|value| self.put_varint(u64::from(value))),
            Kind::Fixed32 => {
                let value = u32::try_from(value).map_err(|_| wrong)?;
                wire::put_varint(self.out, u64::from(self.field.number) << 3 | 5);
                self.out.extend_from_slice(&value.to_le_bytes());
                Ok(())
            }
            Kind::Sint32 => {
                let value = i32::try_from(value).map_err(|_| wrong)?;
                Ok(self.put_varint(u64::from(((value << 1) ^ (value >> 31)).cast_unsigned())))
            }
            Kind::Enum(_) => i32::try_from(value).map_err(|_| wrong).map(|_| self.put_int(value)),
            Kind::Int64 => Ok(self.put_int(value)),
            Kind::Sfixed64 => Ok(self.put_fixed64(value.cast_unsigned())),
            Kind::Double => Ok(self.put_double(value as f64)),
            Kind::Text | Kind::Bytes | Kind::Id | Kind::Bool | Kind::Message(_) => Err(wrong),
        }
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<(), E> {
        const EXACT: f64 = 9_007_199_254_740_992.0;
        match self.field.kind {
            Kind::Double if !self.many => Ok(self.put_double(value)),
            // Some writers spell integers as 1.0 or 1e9; beyond 2^53 that would be a guess.
            _ if value.fract() == 0.0 && value.abs() <= EXACT => self.visit_i64(value as i64),
            _ => Err(E::invalid_value(Unexpected::Float(value), &self)),
        }
    }
}

impl FieldSeed<'_> {
    fn put_varint(self, value: u64) {
        wire::put_varint(self.out, u64::from(self.field.number) << 3);
        wire::put_varint(self.out, value);
    }

    fn put_int(self, value: i64) {
        self.put_varint(value.cast_unsigned());
    }

    fn put_fixed64(self, value: u64) {
        wire::put_varint(self.out, u64::from(self.field.number) << 3 | 1);
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    fn put_double(self, value: f64) {
        self.put_fixed64(value.to_bits());
    }
}

/// Padding is optional: not every writer has it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

fn from_hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}
