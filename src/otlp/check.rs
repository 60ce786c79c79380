//! The door's one walk over a request: framing, wire types, depth and UTF-8. What has passed may be trusted everywhere
//! behind it.

use super::{
    Signal,
    schema::{Field, Kind, Message},
    wire::{self, Fields, Value},
};

/// Messages within messages. The request itself needs eight; the rest is for structured attribute values.
pub const MAX_DEPTH: usize = 64;

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a valid OTLP request: {what} in {message} at byte {offset}")]
pub struct Malformed {
    /// Where in the body.
    pub offset: usize,
    /// What is wrong there.
    pub what: &'static str,
    /// The message it is wrong in.
    pub message: &'static str,
}

/// Checks a request and counts its items: spans, log records or data points.
pub fn check(signal: Signal, body: &[u8]) -> Result<usize, Malformed> {
    let mut walk = Walk { start: body.as_ptr().addr(), items: 0 };
    walk.message(Message::request(signal), body, 0)?;
    Ok(walk.items)
}

struct Walk {
    start: usize,
    items: usize,
}

impl Walk {
    fn message(&mut self, schema: &'static Message, bytes: &[u8], depth: usize) -> Result<(), Malformed> {
        if depth > MAX_DEPTH {
            return Err(self.malformed(schema, bytes, "nested too deep"));
        }
        let mut fields = Fields::new(bytes);
        while let Some((number, value)) = fields.next() {
            match schema.field(number) {
                Some(field) => self.field(schema, field, value, depth, fields.rest())?,
                None if number == 0 => return Err(self.malformed(schema, fields.rest(), "field number 0")),
                None => {}
            }
        }
        if fields.rest().is_empty() {
            Ok(())
        } else {
            Err(self.malformed(schema, fields.rest(), "a field that is cut off or of no known wire type"))
        }
    }

    #[inline]
    fn field(
        &mut self,
        schema: &'static Message,
        field: &'static Field,
        value: Value<'_>,
        depth: usize,
        rest: &[u8],
    ) -> Result<(), Malformed> {
        match (field.kind, value) {
            (Kind::Message(inner), Value::Bytes(bytes)) => {
                self.items += usize::from(field.item);
                self.message(inner, bytes, depth + 1)
            }
            (Kind::Text, Value::Bytes(text)) => {
                // Nearly all text is ASCII, which is cheaper to tell than UTF-8.
                if text.is_ascii() || std::str::from_utf8(text).is_ok() {
                    Ok(())
                } else {
                    Err(self.malformed(schema, text, "text that is not UTF-8"))
                }
            }
            (Kind::Bytes | Kind::Id, Value::Bytes(_))
            | (Kind::Fixed64 | Kind::Sfixed64 | Kind::Double, Value::Fixed64(_))
            | (Kind::Fixed32, Value::Fixed32(_))
            | (
                Kind::Bool | Kind::Enum(_) | Kind::Uint32 | Kind::Sint32 | Kind::Int64 | Kind::Uint64,
                Value::Varint(_),
            ) => Ok(()),
            (kind, Value::Bytes(packed)) if field.repeated && is_packed(kind, packed) => Ok(()),
            _ => Err(self.malformed(schema, rest, "a field of the wrong wire type just before")),
        }
    }

    #[cold]
    fn malformed(&self, schema: &Message, at: &[u8], what: &'static str) -> Malformed {
        Malformed { offset: at.as_ptr().addr().saturating_sub(self.start), what, message: schema.name }
    }
}

/// Whether `bytes` are numbers of this kind, one after the other.
fn is_packed(kind: Kind, bytes: &[u8]) -> bool {
    match kind {
        Kind::Fixed64 | Kind::Sfixed64 | Kind::Double => bytes.len().is_multiple_of(8),
        Kind::Fixed32 => bytes.len().is_multiple_of(4),
        Kind::Bool | Kind::Enum(_) | Kind::Uint32 | Kind::Sint32 | Kind::Int64 | Kind::Uint64 => {
            let mut rest = bytes;
            while !rest.is_empty() {
                let Some((_, after)) = wire::varint(rest) else { return false };
                rest = after;
            }
            true
        }
        Kind::Text | Kind::Bytes | Kind::Id | Kind::Message(_) => false,
    }
}

#[cfg(test)]
mod tests;
