//! Redacting the attributes of one message and the body of one log record.

use std::{borrow::Cow, collections::HashSet};

use regex::{Regex, RegexSet};

use super::{Summary, mask::Mask};
use crate::otlp::{
    any_value::{self, as_text},
    edit::{Patch, PatchValue},
    view::{self, AnyValue},
    wire::{self, Value},
};

/// The rules of one processor, ready to apply.
pub struct Redactor {
    /// Keys that stay; all, if `None`.
    pub allowed: Option<HashSet<String>>,
    pub ignored: HashSet<String>,
    pub ignored_keys: Vec<Regex>,
    pub blocked_keys: Vec<Regex>,
    pub blocked_values: Vec<Regex>,
    /// All of those at once: most texts have nothing to mask, and one pass says so.
    pub any_blocked_value: RegexSet,
    pub allowed_values: Vec<Regex>,
    pub all_types: bool,
    pub mask: Mask,
    pub summary: Summary,
}

/// Keys by what became of them.
#[derive(Default)]
struct Seen {
    redacted: Vec<String>,
    masked: Vec<String>,
    allowed: Vec<String>,
    ignored: Vec<String>,
}

/// Attributes that say what was done: which keys, how many.
struct Names {
    redacted: [&'static str; 2],
    masked: [&'static str; 2],
    allowed: [&'static str; 2],
    ignored: &'static str,
}

const NAMES: Names = Names {
    redacted: ["redaction.redacted.keys", "redaction.redacted.count"],
    masked: ["redaction.masked.keys", "redaction.masked.count"],
    allowed: ["redaction.allowed.keys", "redaction.allowed.count"],
    ignored: "redaction.ignored.count",
};
const BODY_NAMES: Names = Names {
    redacted: ["redaction.body.redacted.keys", "redaction.body.redacted.count"],
    masked: ["redaction.body.masked.keys", "redaction.body.masked.count"],
    allowed: ["redaction.body.allowed.keys", "redaction.body.allowed.count"],
    ignored: "redaction.body.ignored.count",
};

impl Names {
    fn have(&self, key: &str) -> bool {
        [&self.redacted, &self.masked, &self.allowed].iter().any(|names| names.contains(&key)) || self.ignored == key
    }
}

fn any(patterns: &[Regex], text: &str) -> bool {
    patterns.iter().any(|pattern| pattern.is_match(text))
}

impl Redactor {
    fn ignores(&self, key: &str) -> bool {
        self.ignored.contains(key) || any(&self.ignored_keys, key)
    }

    fn redacts(&self, key: &str) -> bool {
        self.allowed.as_ref().is_some_and(|allowed| !allowed.contains(key))
    }

    /// The text with what is blocked masked; nothing if nothing is.
    pub fn masked(&self, text: &str) -> Option<String> {
        if !self.any_blocked_value.is_match(text) {
            return None;
        }
        let mut out = Cow::Borrowed(text);
        for pattern in &self.blocked_values {
            if let Cow::Owned(masked) = self.mask.parts(&out, pattern) {
                out = Cow::Owned(masked);
            }
        }
        (out != text).then(|| out.into_owned())
    }

    /// Redacts the attributes in the patch's field of a message.
    pub fn attributes(&self, message: &[u8], patch: &mut Patch) {
        let mut seen = Seen::default();
        self.redact(message, patch, &mut seen);
        self.summarise(&seen, &NAMES, message, patch);
    }

    fn redact(&self, message: &[u8], patch: &mut Patch, seen: &mut Seen) {
        for (key, value) in view::messages(message, patch.field()).map(view::key_value) {
            let key = String::from_utf8_lossy(key);
            if NAMES.have(&key) || BODY_NAMES.have(&key) {
                // What an earlier processor said of its own work is kept only by one that speaks of its own.
                if self.summary == Summary::Silent && self.redacts(&key) {
                    self.see(&mut seen.redacted, &key);
                    patch.remove(&key);
                }
            } else if self.ignores(&key) {
                self.see(&mut seen.ignored, &key);
            } else if self.redacts(&key) {
                self.see(&mut seen.redacted, &key);
                patch.remove(&key);
            } else {
                self.redact_value(&key, value, patch, seen);
            }
        }
    }

    fn redact_value(&self, key: &str, value: AnyValue<'_>, patch: &mut Patch, seen: &mut Seen) {
        let text = match value.text() {
            Some(text) => Cow::Borrowed(text),
            None if self.all_types => Cow::Owned(as_text(value)),
            None => Cow::Borrowed(""),
        };
        if any(&self.allowed_values, &text) {
            self.see(&mut seen.allowed, key);
            return;
        }
        let masked = if any(&self.blocked_keys, key) { Some(self.mask.whole(&text)) } else { self.masked(&text) };
        if let Some(masked) = masked {
            self.see(&mut seen.masked, key);
            patch.set(key, PatchValue::Str(&masked));
        }
    }

    /// Remembers a key, if anybody will ask for it.
    fn see(&self, keys: &mut Vec<String>, key: &str) {
        match self.summary {
            Summary::Silent => {}
            Summary::Info => keys.push(String::new()),
            Summary::Debug => keys.push(key.to_owned()),
        }
    }

    /// Redacts the attributes and the body of a log record.
    pub fn log(&self, record: &[u8], patch: &mut Patch) {
        self.attributes(record, patch);
        let Some(body) = view::messages(record, 5).last() else { return };
        let mut seen = Seen::default();
        if let Some(changed) = self.value("", AnyValue::parse(body), &mut seen) {
            patch.set_field(5, Value::Bytes(&changed));
        }
        self.summarise(&seen, &BODY_NAMES, record, patch);
    }

    /// What a body, or a value in one at `path`, becomes; nothing if it stays. The door has bounded the depth.
    fn value(&self, path: &str, value: AnyValue<'_>, seen: &mut Seen) -> Option<Vec<u8>> {
        match value {
            AnyValue::KvList(list) => self.map(path, list, seen).map(|entries| any_value::map(&entries)),
            AnyValue::Array(array) => {
                let (mut out, mut changed) = (Vec::with_capacity(array.len()), false);
                for (index, element) in view::messages(array, 1).enumerate() {
                    let path = below(path, &format!("[{index}]"));
                    let after = self.value(&path, AnyValue::parse(element), seen);
                    changed |= after.is_some();
                    any_value::put_element(&mut out, after.as_deref().unwrap_or(element));
                }
                changed.then(|| any_value::list(&out))
            }
            other => {
                let text = as_text(other);
                let path = if path.is_empty() { "body" } else { path };
                if any(&self.allowed_values, &text) {
                    self.see(&mut seen.allowed, path);
                    return None;
                }
                let masked = self.masked(&text)?;
                self.see(&mut seen.masked, path);
                Some(any_value::text(&masked))
            }
        }
    }

    fn map(&self, path: &str, list: &[u8], seen: &mut Seen) -> Option<Vec<u8>> {
        let (mut out, mut changed) = (Vec::with_capacity(list.len()), false);
        for pair in view::messages(list, 1) {
            let (key, value) = view::key_value(pair);
            let key = String::from_utf8_lossy(key);
            let path = below(path, &key);
            if self.ignores(&key) {
                self.see(&mut seen.ignored, &path);
                wire::put_bytes(&mut out, 1, pair);
                continue;
            }
            if self.redacts(&key) {
                self.see(&mut seen.redacted, &path);
                changed = true;
                continue;
            }
            let after = if any(&self.blocked_keys, &key) {
                self.see(&mut seen.masked, &path);
                Some(any_value::text(&self.mask.whole(value.text().unwrap_or_default())))
            } else {
                self.value(&path, value, seen)
            };
            match after {
                Some(after) => {
                    changed = true;
                    any_value::put_entry(&mut out, &key, &after);
                }
                None => wire::put_bytes(&mut out, 1, pair),
            }
        }
        changed.then_some(out)
    }

    /// Says what was done, on top of what an earlier processor has said.
    fn summarise(&self, seen: &Seen, names: &Names, message: &[u8], patch: &mut Patch) {
        if self.summary == Summary::Silent {
            return;
        }
        let field = patch.field();
        let find = |wanted: &str| {
            let mut pairs = view::messages(message, field).map(view::key_value);
            pairs.find(|(key, _)| *key == wanted.as_bytes()).map(|(_, value)| value)
        };
        for (keys, [list, count]) in [(&seen.redacted, names.redacted), (&seen.masked, names.masked)] {
            if keys.is_empty() {
                continue;
            }
            if self.summary == Summary::Debug {
                let before = find(list).and_then(AnyValue::text).filter(|text| !text.is_empty());
                let mut all: Vec<&str> = keys.iter().map(String::as_str).collect();
                all.extend(before.iter().flat_map(|text| text.split(',')));
                all.sort_unstable();
                patch.set(list, PatchValue::Str(&all.join(",")));
            }
            let before = if let Some(AnyValue::Int(before)) = find(count) { before } else { 0 };
            patch.set(count, PatchValue::Int(before.saturating_add(count_of(keys))));
        }
        let [list, count] = names.allowed;
        for (keys, list, count) in [(&seen.allowed, Some(list), count), (&seen.ignored, None, names.ignored)] {
            match list {
                // What was said before is of attributes that have been judged anew.
                Some(list) if keys.is_empty() => patch.remove(list),
                Some(list) if self.summary == Summary::Debug => {
                    let mut all: Vec<&str> = keys.iter().map(String::as_str).collect();
                    all.sort_unstable();
                    patch.set(list, PatchValue::Str(&all.join(",")));
                }
                _ => {}
            }
            if keys.is_empty() {
                patch.remove(count);
            } else {
                patch.set(count, PatchValue::Int(count_of(keys)));
            }
        }
    }
}

fn count_of(keys: &[String]) -> i64 {
    i64::try_from(keys.len()).unwrap_or(i64::MAX)
}

/// A key or index below a path.
fn below(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
