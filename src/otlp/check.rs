//! The door's one walk over a request: framing, wire types, depth and UTF-8. What has passed may be trusted everywhere
//! behind it.

use super::{
    Signal,
    schema::{Field, Kind, Message, Quick},
    view::usual_pair,
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
        loop {
            fields = Fields::new(glance(schema, fields.rest(), depth));
            let Some((number, value)) = fields.next() else { break };
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

/// Passes over the fields for which a glance is enough, which most are; gives what is left from the first that needs
/// more. Lengths and numbers are of one byte here, and text is ASCII.
fn glance<'a>(schema: &Message, mut rest: &'a [u8], depth: usize) -> &'a [u8] {
    while let Some((tag, behind)) = rest.split_first() {
        let quick = schema.quick.get(usize::from(*tag)).copied().unwrap_or(Quick::No);
        let passed = match quick {
            Quick::No => None,
            Quick::Varint => behind.split_first().and_then(|(byte, behind)| (*byte < 0x80).then_some(behind)),
            Quick::Fixed64 => behind.get(8..),
            Quick::Fixed32 => behind.get(4..),
            Quick::Bytes => short(behind).map(|(_, behind)| behind),
            Quick::Text => short(behind).and_then(|(text, behind)| is_ascii(text).then_some(behind)),
            // What is in a list in a pair is four messages deeper.
            Quick::Pair if depth + 4 > MAX_DEPTH => None,
            Quick::Pair => short(behind).and_then(|(pair, behind)| is_plain_pair(pair).then_some(behind)),
        };
        match passed {
            Some(behind) => rest = behind,
            None => break,
        }
    }
    rest
}

/// What has a length of one byte in front of it, and what is behind.
#[inline]
fn short(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    match bytes.split_first() {
        Some((len @ ..0x80, rest)) => rest.split_at_checked(usize::from(*len)),
        _ => None,
    }
}

/// Whether a serialised `KeyValue` is as most are: a short key, and a short text, a list of one, a number, true or false,
/// with text that is ASCII. Says of some that are valid that they are not.
#[inline]
fn is_plain_pair(pair: &[u8]) -> bool {
    let Some((key, value)) = usual_pair(pair) else { return false };
    match value {
        [0x0a, len, text @ ..] => text.len() == usize::from(*len) && is_ascii(pair),
        [0x10 | 0x18, number @ ..] => is_varint(number) && is_ascii(key),
        [0x21, double @ ..] => double.len() == 8 && is_ascii(key),
        [0x2a, list, 0x0a, element, 0x0a, len, text @ ..] => {
            let len = usize::from(*len);
            let fits = len == text.len() && usize::from(*element) == len + 2 && usize::from(*list) == len + 4;
            fits && is_ascii(pair)
        }
        _ => false,
    }
}

/// Whether the bytes are one number in base 128, and nothing else.
#[inline]
fn is_varint(bytes: &[u8]) -> bool {
    wire::varint(bytes).is_some_and(|(_, rest)| rest.is_empty())
}

/// Faster than the library's for text of some dozen bytes.
#[inline]
fn is_ascii(text: &[u8]) -> bool {
    const HIGH: u128 = u128::from_ne_bytes([0x80; 16]);
    let (chunks, tail) = text.as_chunks::<16>();
    let seen = chunks.iter().fold(0, |seen, chunk| seen | u128::from_ne_bytes(*chunk));
    let rest = match (text.last_chunk::<16>(), tail) {
        (_, []) => 0,
        // The last sixteen again, some of which have been seen.
        (Some(last), _) => u128::from_ne_bytes(*last),
        (None, short) => short.iter().fold(0, |seen, byte| seen | u128::from(*byte)),
    };
    (seen | rest) & HIGH == 0
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
