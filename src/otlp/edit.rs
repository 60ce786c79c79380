//! Changing a request in one pass: bytes are copied through, attributes replaced, appended or dropped, records dropped,
//! lengths fixed on the way. Unknown fields survive; a request nobody changed comes back as the same bytes.

use bytes::Bytes;

use super::{
    Batch, Signal,
    view::{self, ResourceGroup},
    wire::{self, Fields, Value},
};

/// What to do with a request's resources and records.
pub trait Edit {
    /// Whether records are looked at; if not, they are copied through with what they are in.
    const RECORDS: bool = true;

    /// Changes the attributes of a resource.
    fn resource(&mut self, _group: &ResourceGroup<'_>, _patch: &mut Patch) {}

    /// Changes the attributes of a span, log record or data point, or drops it. `index` counts them over the whole
    /// request, in the order of the views, from 0.
    fn record(&mut self, _index: usize, _record: &[u8], _patch: &mut Patch) -> Keep {
        Keep::Yes
    }
}

/// Whether a record stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// As patched.
    Yes,
    /// It goes.
    No,
}

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

/// Attributes to set and to remove, of one resource or record.
#[derive(Debug, Default)]
pub struct Patch {
    /// The field that holds the attributes of what is patched.
    field: u32,
    /// Serialised `KeyValue`s to append, each with its tag and length.
    added: Vec<u8>,
    /// Keys that must not stay, one behind the other, and where each ends.
    keys: Vec<u8>,
    ends: Vec<usize>,
    /// A bit for each length of a key, modulo 64: most attributes are told from these by their length.
    lengths: u64,
}

impl Patch {
    /// Replaces the attribute, or appends it. Setting one key twice in one patch is the caller's mistake: both stay.
    pub fn set(&mut self, key: &str, value: PatchValue<'_>) {
        self.remove(key);
        self.append(key, value);
    }

    /// Appends the attribute, which is known not to be there: cheaper than setting it.
    pub fn append(&mut self, key: &str, value: PatchValue<'_>) {
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

    /// Whether nothing was asked for.
    pub const fn is_empty(&self) -> bool {
        self.ends.is_empty() && self.added.is_empty()
    }

    /// The number of the field that holds the attributes of the message this patch is for.
    pub const fn field(&self) -> u32 {
        self.field
    }

    /// Ready for the next message, with its attributes in `field`.
    fn begin(&mut self, field: u32) {
        self.field = field;
        self.added.clear();
        self.keys.clear();
        self.ends.clear();
        self.lengths = 0;
    }

    /// Whether the attribute in this serialised `KeyValue` must not stay.
    fn drops(&self, pair: &[u8]) -> bool {
        let (key, _) = view::raw_key_value(pair);
        self.lengths & length_bit(key.len()) != 0 && self.names(key)
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

/// The batch as `edit` wants it. Groups that lose their last record are dropped.
pub fn edit<E: Edit>(batch: &Batch, edit: &mut E) -> Batch {
    // Room for a handful of attributes a record, so that the body is rarely moved.
    let room = if E::RECORDS { batch.body.len() + batch.items * 128 + 1024 } else { 0 };
    let mut pass = Pass {
        edit,
        signal: batch.signal,
        patch: Patch::default(),
        index: 0,
        dropped: 0,
        changed: false,
        out: Vec::with_capacity(room),
    };
    if E::RECORDS {
        pass.request(&batch.body);
    } else {
        pass.resources(&batch.body);
    }
    if pass.changed {
        let items = batch.items.saturating_sub(pass.dropped);
        Batch { signal: batch.signal, body: Bytes::from(pass.out), items }
    } else {
        batch.clone()
    }
}

struct Pass<'a, E> {
    edit: &'a mut E,
    signal: Signal,
    patch: Patch,
    index: usize,
    dropped: usize,
    changed: bool,
    out: Vec<u8>,
}

/// Where a message being written began, to fix its length or take it back.
struct Mark {
    tag: usize,
    length: usize,
    body: usize,
    /// The length written so far.
    guess: usize,
}

impl<E: Edit> Pass<'_, E> {
    fn request(&mut self, body: &[u8]) {
        for_each_field(body, |number, value, raw| match value {
            Value::Bytes(group) if number == 1 => self.resource_group(group),
            _ => self.out.extend_from_slice(raw),
        });
    }

    /// Changes resources only, and copies nothing before the first that changes.
    fn resources(&mut self, body: &[u8]) {
        let mut copied = 0;
        let mut fields = Fields::new(body);
        loop {
            let start = body.len() - fields.rest().len();
            let Some((number, value)) = fields.next() else { break };
            let Value::Bytes(group) = value else { continue };
            if number != 1 || !self.ask_resource(group) {
                continue;
            }
            if self.out.capacity() == 0 {
                self.out.reserve(body.len() + body.len() / 8 + 1024);
            }
            self.out.extend_from_slice(body.get(copied..start).unwrap_or_default());
            copied = body.len() - fields.rest().len();
            let mark = self.open(1, group.len());
            self.patched_resource(group);
            for_each_field(group, |number, value, raw| match value {
                Value::Bytes(_) if number == 1 => {}
                _ => self.out.extend_from_slice(raw),
            });
            self.close(&mark);
        }
        if self.changed {
            self.out.extend_from_slice(body.get(copied..).unwrap_or_default());
        }
    }

    /// Whether a group's resource is to be changed; how is in the patch then.
    fn ask_resource(&mut self, group: &[u8]) -> bool {
        self.patch.begin(1);
        self.edit.resource(&ResourceGroup::new(group), &mut self.patch);
        // Where there is no resource, nothing can be removed from it.
        !(self.patch.is_empty() || self.patch.added.is_empty() && ResourceGroup::new(group).resource().is_empty())
    }

    fn patched_resource(&mut self, group: &[u8]) {
        let resource = ResourceGroup::new(group).resource();
        let mark = self.open(1, resource.len() + self.patch.added.len());
        self.patched(resource);
        self.close(&mark);
    }

    fn resource_group(&mut self, group: &[u8]) {
        let mark = self.open(1, group.len());
        let patch_resource = self.ask_resource(group);
        if patch_resource {
            self.patched_resource(group);
        }
        let (mut had, mut kept) = (0, 0);
        for_each_field(group, |number, value, raw| match value {
            Value::Bytes(_) if number == 1 && patch_resource => {}
            Value::Bytes(scope) if number == 2 => {
                had += 1;
                kept += usize::from(self.scope_group(scope));
            }
            _ => self.out.extend_from_slice(raw),
        });
        if had > 0 && kept == 0 { self.take_back(&mark) } else { self.close(&mark) }
    }

    /// Whether anything of the scope stays.
    fn scope_group(&mut self, scope: &[u8]) -> bool {
        let mark = self.open(2, scope.len());
        let (mut had, mut kept) = (0, 0);
        for_each_field(scope, |number, value, raw| match value {
            Value::Bytes(record) if number == 2 => {
                had += 1;
                kept += usize::from(if self.signal == Signal::Metrics {
                    self.metric(record)
                } else {
                    self.record(2, record, if self.signal == Signal::Traces { 9 } else { 6 })
                });
            }
            _ => self.out.extend_from_slice(raw),
        });
        let stays = had == 0 || kept > 0;
        if stays {
            self.close(&mark);
        } else {
            self.take_back(&mark);
        }
        stays
    }

    /// Whether any point of the metric stays.
    fn metric(&mut self, metric: &[u8]) -> bool {
        let mark = self.open(2, metric.len());
        let (mut had, mut kept) = (0, 0);
        for_each_field(metric, |number, value, raw| match value {
            Value::Bytes(data) if matches!(number, 5 | 7 | 9 | 10 | 11) => {
                // The attributes of exponential histogram points have a number of their own.
                let attributes = if number == 10 {
                    1
                } else if number == 9 {
                    9
                } else {
                    7
                };
                let data_mark = self.open(number, data.len());
                for_each_field(data, |number, value, raw| match value {
                    Value::Bytes(point) if number == 1 => {
                        had += 1;
                        kept += usize::from(self.record(1, point, attributes));
                    }
                    _ => self.out.extend_from_slice(raw),
                });
                self.close(&data_mark);
            }
            _ => self.out.extend_from_slice(raw),
        });
        let stays = had == 0 || kept > 0;
        if stays {
            self.close(&mark);
        } else {
            self.take_back(&mark);
        }
        stays
    }

    /// Whether the record stays.
    fn record(&mut self, number: u32, record: &[u8], attributes: u32) -> bool {
        self.patch.begin(attributes);
        let keep = self.edit.record(self.index, record, &mut self.patch);
        self.index += 1;
        if keep == Keep::No {
            self.dropped += 1;
            self.changed = true;
            return false;
        }
        if self.patch.is_empty() {
            wire::put_bytes(&mut self.out, number, record);
        } else {
            let mark = self.open(number, record.len() + self.patch.added.len());
            self.patched(record);
            self.close(&mark);
        }
        true
    }

    /// Writes `message` with the patch applied.
    fn patched(&mut self, message: &[u8]) {
        let mut copied = 0;
        // Where nothing is to go, nothing is looked at.
        let mut fields = Fields::new(if self.patch.ends.is_empty() { &[] } else { message });
        loop {
            let start = message.len() - fields.rest().len();
            let Some((found, value)) = fields.next() else { break };
            if let Value::Bytes(pair) = value
                && found == self.patch.field
                && self.patch.drops(pair)
            {
                self.out.extend_from_slice(message.get(copied..start).unwrap_or_default());
                copied = message.len() - fields.rest().len();
                self.changed = true;
            }
        }
        self.out.extend_from_slice(message.get(copied..).unwrap_or_default());
        self.changed |= !self.patch.added.is_empty();
        self.out.extend_from_slice(&self.patch.added);
    }

    /// Begins a message of about `guess` bytes.
    fn open(&mut self, number: u32, guess: usize) -> Mark {
        let tag = self.out.len();
        wire::put_varint(&mut self.out, u64::from(number) << 3 | 2);
        let length = self.out.len();
        wire::put_varint(&mut self.out, guess as u64);
        Mark { tag, length, body: self.out.len(), guess }
    }

    /// Ends the message: its length becomes what was written.
    fn close(&mut self, mark: &Mark) {
        let len = self.out.len() - mark.body;
        if len != mark.guess {
            let end = self.out.len();
            wire::put_varint(&mut self.out, len as u64);
            if self.out.len() - end == mark.body - mark.length {
                self.out.copy_within(end.., mark.length);
                self.out.truncate(end);
            } else {
                // The guess was a byte too short or too long: the message moves.
                let length = self.out.split_off(end);
                self.out.splice(mark.length..mark.body, length);
            }
        }
    }

    fn take_back(&mut self, mark: &Mark) {
        self.out.truncate(mark.tag);
    }
}

/// Shows every field of a message with its value and its own bytes, tag included.
#[inline]
fn for_each_field<'a>(message: &'a [u8], mut each: impl FnMut(u32, Value<'a>, &'a [u8])) {
    let mut fields = Fields::new(message);
    loop {
        let before = fields.rest();
        let Some((number, value)) = fields.next() else { return };
        let raw = before.get(..before.len() - fields.rest().len()).unwrap_or_default();
        each(number, value, raw);
    }
}

#[cfg(test)]
mod tests;
