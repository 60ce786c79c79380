//! Views over bytes that no door has checked: they must end, not panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sekisho::otlp::view::{self, AnyValue, LogRecord, Span};

fuzz_target!(|bytes: &[u8]| {
    for group in view::resources(bytes) {
        group.attributes().for_each(|(_, value)| visit(value, 0));
        for scope in group.scopes() {
            let _ = (scope.name(), scope.version());
            for record in scope.records() {
                Span::scan(record, |_, value| visit(value, 0));
                for event in Span::events(record) {
                    event.attributes().for_each(|(_, value)| visit(value, 0));
                }
                visit(LogRecord::scan(record, |_, value| visit(value, 0)).body, 0);
            }
        }
    }
});

/// Only the door bounds the depth, so this does.
fn visit(value: AnyValue<'_>, depth: usize) {
    if depth < 64 {
        let _ = value.text();
        value.elements().for_each(|element| visit(element, depth + 1));
        value.entries().for_each(|(_, entry)| visit(entry, depth + 1));
    }
}
