//! Protobuf's wire format: a forward reader and the few writers the editor needs.
//!
//! The reader never indexes and never panics: on malformed input it ends early, which after the door's check
//! cannot happen.

/// The value of one field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1, little endian.
    Fixed64(u64),
    /// Wire type 2.
    Bytes(&'a [u8]),
    /// Wire type 5, little endian.
    Fixed32(u32),
}

/// Walks the fields of one message from front to back: `(field number, value)`.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Fields of the message in `bytes` (without its own length prefix).
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been walked yet; after the iterator has ended, empty unless the message was malformed.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u32, Value<'a>);

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "called, it is two thirds of the time a view takes")]
    fn next(&mut self) -> Option<Self::Item> {
        let (tag, rest) = varint(self.rest)?;
        let number = u32::try_from(tag).ok()? >> 3;
        let (value, rest) = match tag & 7 {
            0 => {
                let (value, rest) = varint(rest)?;
                (Value::Varint(value), rest)
            }
            1 => {
                let (head, rest) = rest.split_first_chunk::<8>()?;
                (Value::Fixed64(u64::from_le_bytes(*head)), rest)
            }
            2 => {
                let (len, rest) = varint(rest)?;
                let (head, rest) = rest.split_at_checked(usize::try_from(len).ok()?)?;
                (Value::Bytes(head), rest)
            }
            5 => {
                let (head, rest) = rest.split_first_chunk::<4>()?;
                (Value::Fixed32(u32::from_le_bytes(*head)), rest)
            }
            _ => return None,
        };
        self.rest = rest;
        Some((number, value))
    }
}

/// Reads one base-128 varint; `None` when truncated or more than 64 bits.
#[inline]
pub fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    // Nearly all tags and most lengths have one byte.
    match bytes {
        [first, rest @ ..] if *first < 0x80 => Some((u64::from(*first), rest)),
        _ => long_varint(bytes),
    }
}

#[inline(never)]
fn long_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (mut value, mut rest) = (0, bytes);
    for shift in (0..64).step_by(7) {
        let (&byte, tail) = rest.split_first()?;
        rest = tail;
        if shift == 63 && byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some((value, rest));
        }
    }
    None
}

/// Appends a varint.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Bytes that [`put_varint`] would append.
#[inline]
pub const fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Appends a length-delimited field.
#[inline]
pub fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_varint(out, u64::from(number) << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a field of any wire type.
pub fn put_field(out: &mut Vec<u8>, number: u32, value: Value<'_>) {
    let tag = u64::from(number) << 3;
    match value {
        Value::Varint(value) => {
            put_varint(out, tag);
            put_varint(out, value);
        }
        Value::Fixed64(value) => {
            put_varint(out, tag | 1);
            out.extend_from_slice(&value.to_le_bytes());
        }
        Value::Bytes(bytes) => put_bytes(out, number, bytes),
        Value::Fixed32(value) => {
            put_varint(out, tag | 5);
            out.extend_from_slice(&value.to_le_bytes());
        }
    }
}
