//! Edits of arbitrary bytes: no panic, and what the door let in before it lets in after, with the items that are left.
//! The first byte chooses the signal, the second what is dropped.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sekisho::otlp::{
    Batch, Signal,
    check::check,
    edit::{Edit, Keep, Patch, PatchValue, edit},
    split::split,
    view::{ResourceGroup, ScopeGroup},
    wire::Value,
};

struct Change {
    dropped: u8,
    /// Groups asked about so far.
    groups: u8,
}

impl Change {
    /// Drops some groups, if the highest bit says so.
    fn group(&mut self) -> Keep {
        self.groups = self.groups.wrapping_add(1);
        if self.dropped > 0x7f && self.groups % 3 == 0 { Keep::No } else { Keep::Yes }
    }
}

impl Edit for Change {
    fn keep_resource(&mut self, _group: &ResourceGroup<'_>) -> Keep {
        self.group()
    }

    fn resource(&mut self, _group: &ResourceGroup<'_>, patch: &mut Patch) {
        patch.set("service.name", PatchValue::Str("fuzzed"));
        patch.remove("");
    }

    fn scope(&mut self, _group: &ScopeGroup<'_>, patch: &mut Patch) -> Keep {
        patch.set_field(1, Value::Bytes(b"scope"));
        self.group()
    }

    fn metric(&mut self, _metric: &[u8], patch: &mut Patch) -> Keep {
        patch.set_field(2, Value::Bytes(b"description"));
        self.group()
    }

    fn record(&mut self, index: usize, _record: &[u8], patch: &mut Patch) -> Keep {
        patch.set("a", PatchValue::Double(0.5));
        patch.set("b", PatchValue::Int(-1));
        patch.remove("c");
        patch.remove_field(12);
        if self.dropped >> (index % 8) & 1 == 1 { Keep::No } else { Keep::Yes }
    }

    fn leave_metric(&mut self, patch: &mut Patch) {
        patch.set_field(3, Value::Bytes(b"unit"));
    }

    fn leave_scope(&mut self, patch: &mut Patch) {
        patch.set_field(3, Value::Bytes(b"schema"));
    }

    fn leave_resource(&mut self, patch: &mut Patch) {
        patch.set_field(3, Value::Bytes(b"schema"));
    }
}

fuzz_target!(|bytes: &[u8]| {
    let [signal, dropped, body @ ..] = bytes else { return };
    let signal = Signal::ALL[usize::from(*signal) % Signal::ALL.len()];
    let checked = check(signal, body);
    let items = checked.clone().unwrap_or(8);
    let batch = Batch { signal, body: Bytes::copy_from_slice(body), items };
    let edited = edit(&batch, &mut Change { dropped: *dropped, groups: 0 });
    let parts = split(&batch, 2);
    if checked.is_ok() {
        assert_eq!(check(signal, &edited.body), Ok(edited.items));
        let found: usize = parts.iter().map(|part| check(signal, &part.body).expect("a part is a request")).sum();
        assert_eq!(found, items);
    }
});
