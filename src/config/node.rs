//! A YAML value that knows where it was written.

use std::fmt;

use super::{
    print::{print, redacted},
    problem::Problems,
};

/// Which of the [`Texts`](super::Texts) a span points into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId(pub(super) u32);

/// A place in a source: where a key or a value starts, and how far it can be underlined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// The text it was read from.
    pub source: SourceId,
    /// Line, from 1; 0 if there is no place.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// Characters to underline on that line; 0 where the value has no text of its own.
    pub width: u32,
}

/// A value of the tree, its place, and its `path::to::it` in the merged configuration.
#[derive(Clone, Default)]
pub struct Node {
    /// What it is.
    pub value: Value,
    /// Where it was written; after a `${…}`, where the reference stands.
    pub span: Span,
    /// Such as `receivers::otlp::protocols`; empty at the root.
    pub path: String,
    /// The spelling of a scalar that is not text (`0x10`, `1e3`, `True`) and of all that came from a variable, for
    /// fields that want text.
    pub(super) raw: Option<Box<str>>,
}

/// The kinds of YAML value.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// Nothing, `~` or `null`.
    #[default]
    Null,
    /// `true` or `false` and nothing else.
    Bool(bool),
    /// A whole number.
    Int(i128),
    /// Any other number.
    Float(f64),
    /// Text.
    Str(String),
    /// A list.
    Seq(Vec<Node>),
    /// A map in the order written.
    Map(Vec<Entry>),
}

/// One key of a map with its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key as text.
    pub key: String,
    /// Where the key was written.
    pub key_span: Span,
    /// What it maps to.
    pub node: Node,
}

impl fmt::Debug for Node {
    /// As YAML, without what looks secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&print(&redacted(self, &Problems::default())))
    }
}

impl PartialEq for Node {
    /// Equal in value, wherever written.
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key && self.node == other.node
    }
}

impl Node {
    /// A node of `value` at `span`.
    pub fn new(value: Value, span: Span) -> Self {
        Self { value, span, path: String::new(), raw: None }
    }

    /// The entries of a map; empty for anything else.
    pub fn entries(&self) -> &[Entry] {
        if let Value::Map(entries) = &self.value { entries } else { &[] }
    }

    /// The items of a list; empty for anything else.
    pub fn items(&self) -> &[Self] {
        if let Value::Seq(items) = &self.value { items } else { &[] }
    }

    /// The entry under `key`, if this is a map that has it.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The value under `key`, if this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &entry.node)
    }

    /// The text of a scalar as it was written; `None` for null, lists and maps. What a variable held is text too,
    /// whatever it looks like.
    pub fn text(&self) -> Option<&str> {
        if let Value::Str(text) = &self.value { Some(text) } else { self.raw.as_deref() }
    }

    /// The node at a relative path such as `table.0.pipelines`, or the nearest there is on the way to it.
    pub fn at(&self, path: &str) -> &Self {
        let mut node = self;
        for part in path.split('.') {
            let inner = part.parse().ok().and_then(|index: usize| node.items().get(index)).or_else(|| node.get(part));
            let Some(inner) = inner else { break };
            node = inner;
        }
        node
    }

    /// True for null.
    pub fn is_null(&self) -> bool {
        self.value == Value::Null
    }

    /// Names every path below this node, which is at `path`.
    pub(super) fn set_paths(&mut self, path: &str) {
        path.clone_into(&mut self.path);
        match &mut self.value {
            Value::Map(entries) => {
                for entry in entries {
                    entry.node.set_paths(&join(path, &entry.key));
                }
            }
            Value::Seq(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    item.set_paths(&join(path, &index.to_string()));
                }
            }
            _ => {}
        }
    }

    /// Says of this node and all below it that they were written at `span`.
    pub(super) fn set_spans(&mut self, span: Span) {
        self.span = span;
        match &mut self.value {
            Value::Map(entries) => {
                for entry in entries {
                    entry.key_span = span;
                    entry.node.set_spans(span);
                }
            }
            Value::Seq(items) => items.iter_mut().for_each(|item| item.set_spans(span)),
            _ => {}
        }
    }

    /// The value as a message may show it: kind and, for scalars, a bounded spelling.
    pub(super) fn describe(&self) -> String {
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::Bool(_) => format!("the boolean {}", self.text().unwrap_or_default()),
            Value::Int(_) | Value::Float(_) => format!("the number {}", Shown(self.text().unwrap_or_default())),
            Value::Str(text) => format!("the text \"{}\"", Shown(text)),
            Value::Seq(_) => "a list".to_owned(),
            Value::Map(_) => "a map".to_owned(),
        }
    }

    /// Only the kind, for values that must not be shown.
    pub(super) fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Int(_) | Value::Float(_) => "a number",
            Value::Str(_) => "text",
            Value::Seq(_) => "a list",
            Value::Map(_) => "a map",
        }
    }
}

/// Appends a key to a path.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}::{key}") }
}

/// Text in a message: one line, at most 60 characters, no control characters.
pub(super) struct Shown<'a>(pub &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 60;
        for character in self.0.chars().take(MOST) {
            if character.is_control() {
                write!(f, "{}", character.escape_default())?;
            } else {
                write!(f, "{character}")?;
            }
        }
        if self.0.chars().nth(MOST).is_some() { f.write_str("…") } else { Ok(()) }
    }
}
