//! One request into several, none with more items or bytes than asked for, at record boundaries. A metric is not cut:
//! one with more points than that goes alone, as does a record with more bytes.

use super::{
    Batch, Signal, view,
    wire::{self, Fields, Value},
};

/// Field number of what repeats at each level: resources, scopes, records.
pub(super) const RESOURCES: u32 = 1;
pub(super) const SCOPES: u32 = 2;
pub(super) const RECORDS: u32 = 2;

/// The most a request may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Most {
    /// Spans, log records, data points.
    Items(usize),
    /// Serialised bytes.
    Bytes(usize),
}

/// `batch` as requests of at most `max` items.
pub fn split(batch: &Batch, max: usize) -> Vec<Batch> {
    split_to(batch, Most::Items(max))
}

/// `batch` as requests of at most `most` each.
pub fn split_to(batch: &Batch, most: Most) -> Vec<Batch> {
    let mut cutter = Cutter { signal: batch.signal, most, out: Vec::new(), request: Vec::new(), items: 0 };
    for (number, value) in Fields::new(&batch.body) {
        match value {
            Value::Bytes(resource) if number == RESOURCES => cutter.resource(resource),
            other => wire::put_field(&mut cutter.request, number, other),
        }
    }
    cutter.finish()
}

struct Cutter {
    signal: Signal,
    most: Most,
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
                let after = || framed(body.len() + framed(scope_body.len() + framed(record.len())));
                if self.items > 0 && self.is_full(items, after) {
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

    /// Whether the request would be too large with `items` more, or with `bytes` more once all levels are closed.
    fn is_full(&self, items: usize, bytes: impl FnOnce() -> usize) -> bool {
        match self.most {
            Most::Items(most) => self.items + items > most,
            Most::Bytes(most) => self.request.len() + bytes() > most,
        }
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
    if signal == Signal::Metrics { view::points(record).count() } else { 1 }
}

/// Bytes of a field that holds a message of `length` bytes.
const fn framed(length: usize) -> usize {
    let bits = usize::BITS - (length | 1).leading_zeros();
    1 + bits.div_ceil(7) as usize + length
}

/// All fields of `message` but those numbered `repeated`, serialised, and those.
pub(super) fn apart(message: &[u8], repeated: u32) -> (Vec<u8>, Vec<&[u8]>) {
    let (mut head, mut parts) = (Vec::new(), Vec::new());
    for (number, value) in Fields::new(message) {
        match value {
            Value::Bytes(part) if number == repeated => parts.push(part),
            other => wire::put_field(&mut head, number, other),
        }
    }
    (head, parts)
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::otlp::{check::check, sample};

    #[test]
    fn no_part_has_more_bytes_than_asked_for_unless_it_is_one_record() {
        for signal in Signal::ALL {
            let body: bytes::Bytes = match signal {
                Signal::Traces => sample::traces(20).encode_to_vec(),
                Signal::Metrics => sample::metrics(5).encode_to_vec(),
                Signal::Logs => sample::logs(20).encode_to_vec(),
            }
            .into();
            let whole = Batch { signal, items: check(signal, &body).unwrap(), body };
            let alone = split(&whole, 1).iter().map(|part| part.body.len()).max().unwrap();
            for most in [1, alone, alone + 50, whole.body.len() / 2, whole.body.len()] {
                let parts = split_to(&whole, Most::Bytes(most));
                assert_eq!(parts.iter().map(|part| part.items).sum::<usize>(), whole.items, "{signal:?} {most}");
                for part in &parts {
                    assert_eq!(check(signal, &part.body), Ok(part.items));
                    assert!(part.body.len() <= most.max(alone), "{signal:?}: {} > {most}", part.body.len());
                }
                assert_eq!(parts.len() == 1, most >= whole.body.len(), "{signal:?} {most}");
            }
        }
    }
}
