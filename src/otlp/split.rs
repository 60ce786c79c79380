//! One request into several, none with more items than asked for, at record boundaries. A metric is not cut: one with
//! more points than that goes alone.

use super::{
    Batch, Signal,
    wire::{self, Fields, Value},
};

/// Field number of what repeats at each level: resources, scopes, records.
pub(super) const RESOURCES: u32 = 1;
pub(super) const SCOPES: u32 = 2;
pub(super) const RECORDS: u32 = 2;
/// Field numbers in `Metric` of the kinds of data, and of their points.
const METRIC_DATA: [u32; 5] = [5, 7, 9, 10, 11];
const POINTS: u32 = 1;

/// `batch` as requests of at most `max` items.
pub fn split(batch: &Batch, max: usize) -> Vec<Batch> {
    let mut cutter = Cutter { signal: batch.signal, max, out: Vec::new(), request: Vec::new(), items: 0 };
    for (number, value) in Fields::new(&batch.body) {
        match value {
            Value::Bytes(resource) if number == RESOURCES => cutter.resource(resource),
            other => put(&mut cutter.request, number, other),
        }
    }
    cutter.finish()
}

struct Cutter {
    signal: Signal,
    max: usize,
    out: Vec<Batch>,
    request: Vec<u8>,
    items: usize,
}

impl Cutter {
    fn resource(&mut self, resource: &[u8]) {
        let (head, scopes) = apart(resource, SCOPES);
        let mut body = head.clone();
        for scope in scopes {
            let (scope_head, records) = apart(scope, RECORDS);
            let mut scope_body = scope_head.clone();
            let mut any = false;
            for record in records {
                let items = items_in(self.signal, record);
                if self.items > 0 && self.items + items > self.max {
                    if any {
                        wire::put_bytes(&mut body, SCOPES, &scope_body);
                    }
                    wire::put_bytes(&mut self.request, RESOURCES, &body);
                    self.cut();
                    body.clone_from(&head);
                    scope_body.clone_from(&scope_head);
                }
                wire::put_bytes(&mut scope_body, RECORDS, record);
                self.items += items;
                any = true;
            }
            wire::put_bytes(&mut body, SCOPES, &scope_body);
        }
        wire::put_bytes(&mut self.request, RESOURCES, &body);
    }

    fn cut(&mut self) {
        let body = std::mem::take(&mut self.request).into();
        self.out.push(Batch { signal: self.signal, body, items: std::mem::take(&mut self.items) });
    }

    fn finish(mut self) -> Vec<Batch> {
        if self.items > 0 {
            self.cut();
        }
        self.out
    }
}

/// How many items a serialised span, log record or metric is.
pub(super) fn items_in(signal: Signal, record: &[u8]) -> usize {
    if signal != Signal::Metrics {
        return 1;
    }
    let data = Fields::new(record).filter_map(|(number, value)| match value {
        Value::Bytes(data) if METRIC_DATA.contains(&number) => Some(data),
        _ => None,
    });
    data.map(|data| Fields::new(data).filter(|(number, _)| *number == POINTS).count()).sum()
}

/// All fields of `message` but those numbered `repeated`, serialised, and those.
pub(super) fn apart(message: &[u8], repeated: u32) -> (Vec<u8>, Vec<&[u8]>) {
    let (mut head, mut parts) = (Vec::new(), Vec::new());
    for (number, value) in Fields::new(message) {
        match value {
            Value::Bytes(part) if number == repeated => parts.push(part),
            other => put(&mut head, number, other),
        }
    }
    (head, parts)
}

pub(super) fn put(out: &mut Vec<u8>, number: u32, value: Value<'_>) {
    let tag = u64::from(number) << 3;
    match value {
        Value::Varint(value) => {
            wire::put_varint(out, tag);
            wire::put_varint(out, value);
        }
        Value::Fixed64(value) => {
            wire::put_varint(out, tag | 1);
            out.extend_from_slice(&value.to_le_bytes());
        }
        Value::Bytes(value) => wire::put_bytes(out, number, value),
        Value::Fixed32(value) => {
            wire::put_varint(out, tag | 5);
            out.extend_from_slice(&value.to_le_bytes());
        }
    }
}
