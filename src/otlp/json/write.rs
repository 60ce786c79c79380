//! Protobuf to JSON, driven by the schema.

use std::io::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::otlp::{
    Signal,
    schema::{Field, Kind, Message},
    wire::{self, Fields, Value},
};

/// Appends the request in `body` as one line of JSON. The body must have passed the door.
pub fn to_json(signal: Signal, body: &[u8], out: &mut Vec<u8>) {
    message(Message::request(signal), body, out);
}

fn message(schema: &'static Message, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'{');
    let mut first = true;
    for field in schema.fields {
        // Fields may come in any order and repeated ones in pieces: JSON wants each name once.
        let mut values = Fields::new(bytes).filter(|(number, _)| *number == field.number).peekable();
        if values.peek().is_none() {
            continue;
        }
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        text(field.name, out);
        out.push(b':');
        if field.repeated {
            out.push(b'[');
            let start = out.len();
            for (_, value) in values {
                elements(field, value, start, out);
            }
            out.push(b']');
        } else if let Some((_, value)) = values.last() {
            one(field.kind, value, out);
        }
    }
    out.push(b'}');
}

/// One element of a repeated field, or the numbers packed into one.
fn elements(field: &Field, value: Value<'_>, start: usize, out: &mut Vec<u8>) {
    let Value::Bytes(packed) = value else { return separated(field.kind, value, start, out) };
    match field.kind {
        Kind::Fixed64 | Kind::Sfixed64 | Kind::Double => {
            for bytes in packed.as_chunks::<8>().0 {
                separated(field.kind, Value::Fixed64(u64::from_le_bytes(*bytes)), start, out);
            }
        }
        Kind::Uint64 | Kind::Int64 | Kind::Uint32 | Kind::Sint32 | Kind::Bool | Kind::Enum(_) => {
            let mut rest = packed;
            while let Some((number, after)) = wire::varint(rest) {
                separated(field.kind, Value::Varint(number), start, out);
                rest = after;
            }
        }
        Kind::Fixed32 | Kind::Text | Kind::Bytes | Kind::Id | Kind::Message(_) => {
            separated(field.kind, value, start, out);
        }
    }
}

fn separated(kind: Kind, value: Value<'_>, start: usize, out: &mut Vec<u8>) {
    if out.len() > start {
        out.push(b',');
    }
    one(kind, value, out);
}

fn one(kind: Kind, value: Value<'_>, out: &mut Vec<u8>) {
    // Writing to a vector cannot fail.
    let _ = match (kind, value) {
        (Kind::Message(schema), Value::Bytes(bytes)) => {
            message(schema, bytes, out);
            Ok(())
        }
        (Kind::Text, Value::Bytes(bytes)) => {
            text(&String::from_utf8_lossy(bytes), out);
            Ok(())
        }
        (Kind::Bytes, Value::Bytes(bytes)) => write!(out, "\"{}\"", STANDARD.encode(bytes)),
        (Kind::Id, Value::Bytes(bytes)) => {
            out.push(b'"');
            for byte in bytes {
                let _ = write!(out, "{byte:02x}");
            }
            out.push(b'"');
            Ok(())
        }
        (Kind::Bool, Value::Varint(value)) => write!(out, "{}", value != 0),
        (Kind::Enum(_), Value::Varint(value)) => write!(out, "{}", value as i32),
        (Kind::Uint32, Value::Varint(value)) => write!(out, "{}", value as u32),
        (Kind::Sint32, Value::Varint(value)) => {
            let value = value as u32;
            write!(out, "{}", (value >> 1).cast_signed() ^ -((value & 1).cast_signed()))
        }
        (Kind::Uint64, Value::Varint(value)) | (Kind::Fixed64, Value::Fixed64(value)) => write!(out, "\"{value}\""),
        (Kind::Int64, Value::Varint(value)) | (Kind::Sfixed64, Value::Fixed64(value)) => {
            write!(out, "\"{}\"", value.cast_signed())
        }
        (Kind::Double, Value::Fixed64(bits)) => double(f64::from_bits(bits), out),
        (Kind::Fixed32, Value::Fixed32(value)) => write!(out, "{value}"),
        _ => write!(out, "null"),
    };
}

fn double(value: f64, out: &mut Vec<u8>) -> std::io::Result<()> {
    if value.is_nan() {
        write!(out, "\"NaN\"")
    } else if value.is_infinite() {
        write!(out, "\"{}Infinity\"", if value < 0.0 { "-" } else { "" })
    } else {
        serde_json::to_writer(out, &value).map_err(Into::into)
    }
}

fn text(text: &str, out: &mut Vec<u8>) {
    let _ = serde_json::to_writer(out, text);
}
