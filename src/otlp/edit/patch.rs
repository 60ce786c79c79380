//! What one message is to become: attributes set and removed, fields set and removed, or another message in its place.

use super::super::{
    view,
    wire::{self, Fields, Value},
};

/// A new value for an attribute.
#[derive(Clone, Copy, Debug)]
pub enum PatchValue<'a> {
    /// Text.
    Str(&'a str),
    /// True or false.
    Bool(bool),
    /// A signed integer.
    Int(i64),
    /// A float.
    Double(f64),
    /// A serialised `AnyValue`.
    Raw(&'a [u8]),
}

/// Changes to one message: a resource, a scope, a metric, a record, or any other that has attributes.
#[derive(Debug, Default)]
pub struct Patch {
    /// The field that holds the attributes of what is patched.
    field: u32,
    /// Serialised fields to append, each with its tag and length.
    added: Vec<u8>,
    /// Keys that must not stay, one behind the other, and where each ends.
    keys: Vec<u8>,
    ends: Vec<usize>,
    /// A bit for each length of a key, modulo 64: most attributes are told from these by their length.
    lengths: u64,
    /// A bit for each field that must not stay, by its number.
    fields: u64,
    /// Nothing of the message stays.
    replaced: bool,
}

impl Patch {
    /// For a message with its attributes in `field`.
    pub fn new(field: u32) -> Self {
        Self { field, ..Self::default() }
    }

    /// Replaces the attribute, or appends it. Setting one key twice in one patch is the caller's mistake: both stay.
    pub fn set(&mut self, key: &str, value: PatchValue<'_>) {
        self.remove(key);
        let value_len = value.len();
        let len = bytes_len(key.len()) + bytes_len(value_len);
        let out = &mut self.added;
        put_header(out, self.field, len);
        wire::put_bytes(out, 1, key.as_bytes());
        put_header(out, 2, value_len);
        value.put(out);
    }

    /// Removes the attribute, if it is there.
    pub fn remove(&mut self, key: &str) {
        self.keys.extend_from_slice(key.as_bytes());
        self.ends.push(self.keys.len());
        self.lengths |= length_bit(key.len());
    }

    /// Replaces a field of the message, or appends it. Numbers from 64 are no field of OTLP's and are left alone.
    pub fn set_field(&mut self, number: u32, value: Value<'_>) {
        self.remove_field(number);
        self.add_field(number, value);
    }

    /// Removes every occurrence of a field of the message.
    pub fn remove_field(&mut self, number: u32) {
        self.fields |= field_bit(number);
    }

    /// Appends a field, beside those that are there.
    pub fn add_field(&mut self, number: u32, value: Value<'_>) {
        if field_bit(number) != 0 {
            wire::put_field(&mut self.added, number, value);
        }
    }

    /// Puts another message in the place of this one.
    pub fn replace(&mut self, message: &[u8]) {
        self.added.clear();
        self.added.extend_from_slice(message);
        self.replaced = true;
    }

    /// Whether nothing was asked for.
    pub const fn is_empty(&self) -> bool {
        self.ends.is_empty() && self.fields == 0 && self.added.is_empty() && !self.replaced
    }

    /// The number of the field that holds the attributes of the message this patch is for.
    pub const fn field(&self) -> u32 {
        self.field
    }

    /// Bytes it adds at most.
    pub(super) const fn added_len(&self) -> usize {
        self.added.len()
    }

    /// Ready for the next message, with its attributes in `field`.
    pub fn begin(&mut self, field: u32) {
        self.field = field;
        self.added.clear();
        self.keys.clear();
        self.ends.clear();
        self.lengths = 0;
        self.fields = 0;
        self.replaced = false;
    }

    /// Appends `message` as patched to `out`; true if it is not as it was.
    pub fn apply(&self, message: &[u8], out: &mut Vec<u8>) -> bool {
        if self.replaced {
            out.extend_from_slice(&self.added);
            return true;
        }
        let (mut copied, mut changed) = (0, !self.added.is_empty());
        let mut fields = Fields::new(message);
        loop {
            let start = message.len() - fields.rest().len();
            let Some((number, value)) = fields.next() else { break };
            if self.drops(number, value) {
                out.extend_from_slice(message.get(copied..start).unwrap_or_default());
                copied = message.len() - fields.rest().len();
                changed = true;
            }
        }
        out.extend_from_slice(message.get(copied..).unwrap_or_default());
        out.extend_from_slice(&self.added);
        changed
    }

    /// Whether this field must not stay.
    #[inline]
    fn drops(&self, number: u32, value: Value<'_>) -> bool {
        if self.fields & field_bit(number) != 0 {
            return true;
        }
        match value {
            Value::Bytes(pair) if number == self.field && !self.ends.is_empty() => {
                let (key, _) = view::raw_key_value(pair);
                self.lengths & length_bit(key.len()) != 0 && self.names(key)
            }
            _ => false,
        }
    }

    fn names(&self, key: &[u8]) -> bool {
        let mut start = 0;
        self.ends.iter().any(|end| {
            let patched = self.keys.get(start..*end);
            start = *end;
            patched == Some(key)
        })
    }
}

const fn length_bit(len: usize) -> u64 {
    1 << (len % 64)
}

const fn field_bit(number: u32) -> u64 {
    if number < 64 { 1 << number } else { 0 }
}

impl PatchValue<'_> {
    /// Bytes of the serialised `AnyValue`.
    fn len(self) -> usize {
        match self {
            Self::Str(text) => bytes_len(text.len()),
            Self::Bool(_) => 2,
            Self::Int(value) => 1 + wire::varint_len(value.cast_unsigned()),
            Self::Double(_) => 9,
            Self::Raw(bytes) => bytes.len(),
        }
    }

    fn put(self, out: &mut Vec<u8>) {
        match self {
            Self::Str(text) => wire::put_bytes(out, 1, text.as_bytes()),
            Self::Bool(value) => out.extend_from_slice(&[2 << 3, u8::from(value)]),
            Self::Int(value) => {
                out.push(3 << 3);
                wire::put_varint(out, value.cast_unsigned());
            }
            Self::Double(value) => {
                out.push(4 << 3 | 1);
                out.extend_from_slice(&value.to_le_bytes());
            }
            Self::Raw(bytes) => out.extend_from_slice(bytes),
        }
    }
}

/// The tag and length before a message or text.
#[inline]
fn put_header(out: &mut Vec<u8>, number: u32, len: usize) {
    wire::put_varint(out, u64::from(number) << 3 | 2);
    wire::put_varint(out, len as u64);
}

/// Bytes of a message or text with its length and a tag of one byte.
const fn bytes_len(len: usize) -> usize {
    1 + wire::varint_len(len as u64) + len
}
