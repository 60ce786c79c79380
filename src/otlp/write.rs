//! Writing OTLP's protobuf without building objects first: nested messages whose length is put in afterwards, and
//! attributes, whose lengths are known beforehand.

use super::{
    view::AnyValue,
    wire::{put_bytes, put_varint, varint_len},
};

/// The numbers of the fields that are written, by message.
pub mod field {
    /// `Export…ServiceRequest.resource_spans` or `.resource_logs`.
    pub const RESOURCES: u32 = 1;
    /// `ResourceSpans.resource`.
    pub const RESOURCE: u32 = 1;
    /// `ResourceSpans.scope_spans`, `ResourceLogs.scope_logs` or `ResourceMetrics.scope_metrics`.
    pub const SCOPES: u32 = 2;
    /// `ScopeSpans.scope`.
    pub const SCOPE: u32 = 1;
    /// `ScopeSpans.spans`, `ScopeLogs.log_records` or `ScopeMetrics.metrics`.
    pub const ITEMS: u32 = 2;
    /// `ScopeSpans.schema_url`.
    pub const SCHEMA_URL: u32 = 3;
    /// `Resource.attributes`.
    pub const RESOURCE_ATTRIBUTES: u32 = 1;
    /// `Span.attributes`.
    pub const SPAN_ATTRIBUTES: u32 = 9;
    /// `Span.Event.attributes`.
    pub const EVENT_ATTRIBUTES: u32 = 3;
    /// `LogRecord.attributes`.
    pub const LOG_ATTRIBUTES: u32 = 6;
}

/// Writes field `number`, a message that `fill` writes. `width` is how many bytes its length will probably take: a
/// wrong guess costs one move of the message.
pub fn nested(out: &mut Vec<u8>, number: u32, width: usize, fill: impl FnOnce(&mut Vec<u8>)) {
    put_varint(out, u64::from(number) << 3 | 2);
    let at = out.len();
    out.resize(at + width, 0);
    fill(out);
    let end = out.len();
    let len = end - at - width;
    let needed = varint_len(len as u64);
    if needed > width {
        out.resize(end + needed - width, 0);
    }
    if needed != width {
        out.copy_within(at + width..end, at + needed);
        out.truncate(at + needed + len);
    }
    let mut left = len;
    for (index, byte) in out.iter_mut().skip(at).take(needed).enumerate() {
        *byte = (left & 0x7f) as u8 | if index + 1 < needed { 0x80 } else { 0 };
        left >>= 7;
    }
}

/// Writes a text attribute as field `number` of the message it belongs to.
pub fn text(out: &mut Vec<u8>, number: u32, key: &str, value: &str) {
    let inner = field_len(value.len());
    put_varint(out, u64::from(number) << 3 | 2);
    put_varint(out, (field_len(key.len()) + field_len(inner)) as u64);
    put_bytes(out, 1, key.as_bytes());
    out.push(0x12);
    put_varint(out, inner as u64);
    put_bytes(out, 1, value.as_bytes());
}

/// Writes an integer attribute.
pub fn int(out: &mut Vec<u8>, number: u32, key: &str, value: u64) {
    scalar(out, number, key, 3, value);
}

/// Writes a boolean attribute.
pub fn boolean(out: &mut Vec<u8>, number: u32, key: &str, value: bool) {
    scalar(out, number, key, 2, u64::from(value));
}

/// Writes an attribute that is a list of one text.
pub fn list_of_one(out: &mut Vec<u8>, number: u32, key: &str, value: &str) {
    nested(out, number, 1, |out| {
        put_bytes(out, 1, key.as_bytes());
        nested(out, 2, 1, |out| nested(out, 5, 1, |out| nested(out, 1, 1, |out| put_bytes(out, 1, value.as_bytes()))));
    });
}

/// Writes an attribute of any kind.
pub fn value(out: &mut Vec<u8>, number: u32, key: &str, value: AnyValue<'_>) {
    nested(out, number, 1, |out| {
        put_bytes(out, 1, key.as_bytes());
        nested(out, 2, 1, |out| match value {
            AnyValue::Empty => {}
            AnyValue::String(text) => put_bytes(out, 1, text),
            AnyValue::Bool(value) => varint_field(out, 2, u64::from(value)),
            AnyValue::Int(value) => varint_field(out, 3, value.cast_unsigned()),
            AnyValue::Double(value) => fixed64(out, 4, value.to_bits()),
            AnyValue::Array(array) => put_bytes(out, 5, array),
            AnyValue::KvList(list) => put_bytes(out, 6, list),
            AnyValue::Bytes(bytes) => put_bytes(out, 7, bytes),
        });
    });
}

/// Writes a varint field.
pub fn varint_field(out: &mut Vec<u8>, number: u32, value: u64) {
    put_varint(out, u64::from(number) << 3);
    put_varint(out, value);
}

/// Writes a fixed64 field.
pub fn fixed64(out: &mut Vec<u8>, number: u32, value: u64) {
    put_varint(out, u64::from(number) << 3 | 1);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Writes a fixed32 field.
pub fn fixed32(out: &mut Vec<u8>, number: u32, value: u32) {
    put_varint(out, u64::from(number) << 3 | 5);
    out.extend_from_slice(&value.to_le_bytes());
}

fn scalar(out: &mut Vec<u8>, number: u32, key: &str, kind: u32, value: u64) {
    let inner = 1 + varint_len(value);
    put_varint(out, u64::from(number) << 3 | 2);
    put_varint(out, (field_len(key.len()) + field_len(inner)) as u64);
    put_bytes(out, 1, key.as_bytes());
    out.push(0x12);
    put_varint(out, inner as u64);
    varint_field(out, kind, value);
}

/// Bytes of a length-delimited field with a number below 16.
const fn field_len(len: usize) -> usize {
    1 + varint_len(len as u64) + len
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrongly_guessed_width_makes_the_same_message() {
        for len in [0, 1, 127, 128, 300, 20_000] {
            let content = vec![7; len];
            let mut expected = b"before".to_vec();
            put_bytes(&mut expected, 2, &content);
            for width in 1..4 {
                let mut out = b"before".to_vec();
                nested(&mut out, 2, width, |out| out.extend_from_slice(&content));
                assert!(out == expected, "{len} bytes, width {width}");
            }
        }
    }

    #[test]
    fn a_value_of_any_kind_reads_back_as_it_was() {
        let array = [0x0a, 0x02, 0x18, 0x05];
        for written in [
            AnyValue::Empty,
            AnyValue::String(b"GET"),
            AnyValue::Bool(true),
            AnyValue::Int(-7),
            AnyValue::Double(0.25),
            AnyValue::Array(&array),
            AnyValue::KvList(&[]),
            AnyValue::Bytes(&[0xff; 300]),
        ] {
            let mut out = Vec::new();
            value(&mut out, 1, "key", written);
            let pair = crate::otlp::view::messages(&out, 1).next().unwrap();
            assert_eq!(crate::otlp::view::key_value(pair), (&b"key"[..], written));
        }
    }

    #[test]
    fn attributes_decode() {
        use opentelemetry_proto::tonic::{common::v1::any_value::Value, resource::v1::Resource};
        use prost::Message;
        let long = "x".repeat(200);
        let mut out = Vec::new();
        text(&mut out, 1, "short", "é");
        text(&mut out, 1, "long", &long);
        int(&mut out, 1, "count", 70_000);
        boolean(&mut out, 1, "cold", true);
        list_of_one(&mut out, 1, "tables", &long);
        let found = Resource::decode(out.as_slice()).unwrap().attributes;
        let values: Vec<_> = found.into_iter().map(|kv| (kv.key, kv.value.unwrap().value.unwrap())).collect();
        let list = Value::ArrayValue(opentelemetry_proto::tonic::common::v1::ArrayValue {
            values: vec![long.clone().into_any()],
        });
        let expected = [
            ("short", Value::StringValue("é".into())),
            ("long", Value::StringValue(long)),
            ("count", Value::IntValue(70_000)),
            ("cold", Value::BoolValue(true)),
            ("tables", list),
        ];
        assert_eq!(values, expected.map(|(key, value)| (key.to_owned(), value)));
    }

    trait IntoAny {
        fn into_any(self) -> opentelemetry_proto::tonic::common::v1::AnyValue;
    }

    impl IntoAny for String {
        fn into_any(self) -> opentelemetry_proto::tonic::common::v1::AnyValue {
            let value = opentelemetry_proto::tonic::common::v1::any_value::Value::StringValue(self);
            opentelemetry_proto::tonic::common::v1::AnyValue { value: Some(value) }
        }
    }
}
