//! One request into several, none with more items than asked for, at record boundaries. A metric is not cut: one with
//! more points than that goes alone.

use super::{
    Batch, Signal, view,
    wire::{self, Fields, Value},
};

/// Field number of what repeats at each level: resources, scopes, records.
const RESOURCES: u32 = 1;
const SCOPES: u32 = 2;
const RECORDS: u32 = 2;
/// `batch` as requests of at most `max` items.
pub fn split(batch: &Batch, max: usize) -> Vec<Batch> {
    let mut cutter = Cutter { signal: batch.signal, max, out: Vec::new(), request: Vec::new(), items: 0 };
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
                let items = self.items_in(record);
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

    fn items_in(&self, record: &[u8]) -> usize {
        if self.signal != Signal::Metrics {
            return 1;
        }
        view::points(record).count()
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

/// All fields of `message` but those numbered `repeated`, serialised, and those.
fn apart(message: &[u8], repeated: u32) -> (Vec<u8>, Vec<&[u8]>) {
    let (mut head, mut parts) = (Vec::new(), Vec::new());
    for (number, value) in Fields::new(message) {
        match value {
            Value::Bytes(part) if number == repeated => parts.push(part),
            other => wire::put_field(&mut head, number, other),
        }
    }
    (head, parts)
}
