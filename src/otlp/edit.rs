//! Changing a request in one pass: bytes are copied through, attributes and fields replaced, appended or dropped, records
//! and groups dropped, lengths fixed on the way. Unknown fields survive; a request nobody changed comes back as the same
//! bytes.

mod patch;

use bytes::Bytes;

pub use self::patch::{Patch, PatchValue};
use super::{
    Batch, Signal,
    view::{self, ResourceGroup, ScopeGroup},
    wire::{self, Fields, Value},
};

/// What to do with a request's resources, scopes, metrics and records. Each is asked before what is below it; what was
/// below decides nothing any more once its parent has gone.
pub trait Edit {
    /// Whether a resource stays, with all it has sent.
    fn keep_resource(&mut self, _group: &ResourceGroup<'_>) -> Keep {
        Keep::Yes
    }

    /// Changes a resource.
    fn resource(&mut self, _group: &ResourceGroup<'_>, _patch: &mut Patch) {}

    /// Changes an instrumentation scope, or drops it with all it has sent.
    fn scope(&mut self, _group: &ScopeGroup<'_>, _patch: &mut Patch) -> Keep {
        Keep::Yes
    }

    /// Changes a metric, or drops it with its points. The attributes a patch speaks of are its metadata.
    fn metric(&mut self, _metric: &[u8], _patch: &mut Patch) -> Keep {
        Keep::Yes
    }

    /// Changes a span, log record or data point, or drops it. `index` counts them over the whole request, in the order
    /// of the views, from 0.
    fn record(&mut self, _index: usize, _record: &[u8], _patch: &mut Patch) -> Keep {
        Keep::Yes
    }

    /// All of a metric's points have been shown: a last change to the metric, such as one a point has asked for.
    fn leave_metric(&mut self, _patch: &mut Patch) {}

    /// All of a scope has been shown: a last change to its group (`ScopeSpans` and the like).
    fn leave_scope(&mut self, _patch: &mut Patch) {}

    /// All of a resource has been shown: a last change to its group (`ResourceSpans` and the like).
    fn leave_resource(&mut self, _patch: &mut Patch) {}
}

/// Whether something stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// As patched.
    Yes,
    /// It goes.
    No,
}

/// The batch as `edit` wants it. Groups that lose their last record are dropped.
pub fn edit(batch: &Batch, edit: &mut impl Edit) -> Batch {
    let mut pass = Pass {
        edit,
        signal: batch.signal,
        patch: Patch::default(),
        index: 0,
        dropped: 0,
        changed: false,
        // Room for a handful of attributes a record, so that the body is rarely moved.
        out: Vec::with_capacity(batch.body.len() + batch.items * 128 + 1024),
    };
    pass.request(&batch.body);
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

    fn resource_group(&mut self, bytes: &[u8]) {
        let group = ResourceGroup::new(bytes);
        if self.edit.keep_resource(&group) == Keep::No {
            self.drop_items(group.scopes().map(|scope| items_of_scope(self.signal, &scope)).sum());
            return;
        }
        let mark = self.open(1, bytes.len());
        self.patch.begin(1);
        self.edit.resource(&group, &mut self.patch);
        let patched = self.own_message(group.resource());
        let (mut had, mut kept) = (0, 0);
        for_each_field(bytes, |number, value, raw| match value {
            Value::Bytes(_) if number == 1 && patched => {}
            Value::Bytes(scope) if number == 2 => {
                had += 1;
                kept += usize::from(self.scope_group(scope));
            }
            _ => self.out.extend_from_slice(raw),
        });
        if self.ends(&mark, had, kept) {
            self.patch.begin(0);
            self.edit.leave_resource(&mut self.patch);
            self.leave(&mark);
        }
    }

    /// Whether anything of the scope stays.
    fn scope_group(&mut self, bytes: &[u8]) -> bool {
        let group = ScopeGroup::new(bytes);
        self.patch.begin(3);
        if self.edit.scope(&group, &mut self.patch) == Keep::No {
            self.drop_items(items_of_scope(self.signal, &group));
            return false;
        }
        let mark = self.open(2, bytes.len());
        let patched = self.own_message(group.scope());
        let (mut had, mut kept) = (0, 0);
        for_each_field(bytes, |number, value, raw| match value {
            Value::Bytes(_) if number == 1 && patched => {}
            Value::Bytes(record) if number == 2 => {
                had += 1;
                kept += usize::from(match self.signal {
                    Signal::Metrics => self.metric(record),
                    Signal::Traces => self.record(2, record, view::SPAN_ATTRIBUTES),
                    Signal::Logs => self.record(2, record, view::LOG_ATTRIBUTES),
                });
            }
            _ => self.out.extend_from_slice(raw),
        });
        let stays = self.ends(&mark, had, kept);
        if stays {
            self.patch.begin(0);
            self.edit.leave_scope(&mut self.patch);
            self.leave(&mark);
        }
        stays
    }

    /// Whether any point of the metric stays.
    fn metric(&mut self, metric: &[u8]) -> bool {
        self.patch.begin(view::METRIC_METADATA);
        if self.edit.metric(metric, &mut self.patch) == Keep::No {
            self.drop_items(view::points(metric).count());
            return false;
        }
        if self.patch.is_empty() {
            return self.points(metric);
        }
        let mut patched = Vec::with_capacity(metric.len() + self.patch.added_len());
        self.changed |= self.patch.apply(metric, &mut patched);
        self.points(&patched)
    }

    fn points(&mut self, metric: &[u8]) -> bool {
        let mark = self.open(2, metric.len());
        let (mut had, mut kept) = (0, 0);
        for_each_field(metric, |number, value, raw| match value {
            Value::Bytes(data) if view::POINTS.contains(&number) => {
                let attributes = view::point_attributes(number);
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
        let stays = self.ends(&mark, had, kept);
        if stays {
            self.patch.begin(view::METRIC_METADATA);
            self.edit.leave_metric(&mut self.patch);
            self.leave(&mark);
        }
        stays
    }

    /// Whether the record stays.
    fn record(&mut self, number: u32, record: &[u8], attributes: u32) -> bool {
        self.patch.begin(attributes);
        let keep = self.edit.record(self.index, record, &mut self.patch);
        if keep == Keep::No {
            self.drop_items(1);
            return false;
        }
        self.index += 1;
        if self.patch.is_empty() {
            wire::put_bytes(&mut self.out, number, record);
        } else {
            let mark = self.open(number, record.len() + self.patch.added_len());
            self.changed |= self.patch.apply(record, &mut self.out);
            self.close(&mark);
        }
        true
    }

    fn drop_items(&mut self, items: usize) {
        self.index += items;
        self.dropped += items;
        self.changed = true;
    }

    /// Writes a group's resource or scope, field 1 of each, as patched. False if there is nothing to patch, so that it is
    /// to be copied with the rest.
    fn own_message(&mut self, message: &[u8]) -> bool {
        // Where there is no message, nothing can be removed from it.
        if self.patch.is_empty() || message.is_empty() && self.patch.added_len() == 0 {
            return false;
        }
        let mark = self.open(1, message.len());
        self.changed |= self.patch.apply(message, &mut self.out);
        self.close(&mark);
        true
    }

    /// Takes back a group that has lost everything it had; true if it stays.
    fn ends(&mut self, mark: &Mark, had: usize, kept: usize) -> bool {
        let stays = had == 0 || kept > 0;
        if !stays {
            self.out.truncate(mark.tag);
        }
        stays
    }

    /// Ends a group with its last change.
    fn leave(&mut self, mark: &Mark) {
        if !self.patch.is_empty() {
            let written = self.out.split_off(mark.body);
            self.changed |= self.patch.apply(&written, &mut self.out);
        }
        self.close(mark);
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
}

/// Spans, log records or data points in a scope's group.
fn items_of_scope(signal: Signal, group: &ScopeGroup<'_>) -> usize {
    match signal {
        Signal::Metrics => group.records().map(|metric| view::points(metric).count()).sum(),
        Signal::Traces | Signal::Logs => group.records().count(),
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
