//! YAML text → [`Node`]: positions on every key and value, bounded work, YAML 1.2 booleans, no duplicate keys.
//!
//! A text that does not parse yields problems, never a half-read tree, with one exception: after a duplicate key the
//! rest is still read (the first one counts), so that its other mistakes are told in the same run.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_yaml::{
    Location, MessageFormatter as _, Spanned, UserMessageFormatter, budget::BudgetBreach, options::DuplicateKeyPolicy,
};

use super::{
    node::{Entry, Node, SourceId, Span, Value},
    problem::Problems,
    sources::Texts,
};

/// Keys, values and lists of one document, aliases expanded. The largest configuration seen in the wild has a few thousand.
const MAX_NODES: usize = 20_000;
/// Longest text read as one document.
pub(super) const MAX_BYTES: usize = 4 << 20;
/// Deepest nesting; everything that walks a tree recursively relies on it.
const MAX_DEPTH: usize = 48;

/// Parses the text of `source`; `None` when it is not YAML.
pub(super) fn parse(texts: &Texts, source: SourceId, problems: &mut Problems) -> Option<Node> {
    let text = texts.text(source);
    match read(text, source, DuplicateKeyPolicy::Error) {
        Ok(node) => Some(node),
        Err(failure) => {
            problems.unparsed(source);
            problems.error(failure.span, "", failure.message).hint_opt(failure.hint);
            failure.duplicate.then(|| read(text, source, DuplicateKeyPolicy::FirstWins).ok()).flatten()
        }
    }
}

/// Why a text is not YAML that we accept.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) span: Span,
    pub(super) message: String,
    pub(super) hint: Option<String>,
    duplicate: bool,
}

/// Parses `text`, saying of every node that it comes from `source`.
pub(super) fn read(text: &str, source: SourceId, duplicates: DuplicateKeyPolicy) -> Result<Node, Failure> {
    if text.len() > MAX_BYTES {
        let span = Span { source, line: 1, column: 1, width: 0 };
        let message = format!("is {} bytes long; the most is {MAX_BYTES}", text.len());
        return Err(Failure { span, message, hint: None, duplicate: false });
    }
    if text.trim().is_empty() {
        return Ok(Node::new(Value::Null, Span { source, line: 1, column: 1, width: 0 }));
    }
    serde_yaml::from_str_with_options::<Spanned<Raw>>(text, options(duplicates))
        .map(|raw| convert(raw, text, source))
        .map_err(|error| failure(&error, text, source))
}

fn options(duplicates: DuplicateKeyPolicy) -> serde_yaml::Options {
    serde_yaml::options! {
        budget: serde_yaml::budget! {
            max_nodes: MAX_NODES,
            max_events: 4 * MAX_NODES,
            max_depth: MAX_DEPTH,
            max_documents: 1,
            max_anchors: 1_000,
            max_aliases: 1_000,
            max_recorded_anchor_events: 4 * MAX_NODES,
            max_merge_keys: 1_000,
        },
        alias_limits: serde_yaml::alias_limits! { max_total_replayed_events: 4 * MAX_NODES },
        duplicate_keys: duplicates,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        non_finite_float_policy: serde_yaml::options::NonFiniteFloatPolicy::PassThrough,
        reject_unsupported_tags: true,
        with_snippet: false,
    }
}

fn failure(error: &serde_yaml::Error, text: &str, source: SourceId) -> Failure {
    let error = error.without_snippet();
    let span = error.location().map_or(Span { source, line: 1, column: 1, width: 0 }, |at| span_of(at, text, source));
    let message = message(error);
    let duplicate = matches!(error, serde_yaml::Error::DuplicateMappingKey { .. });
    let line = text.lines().nth(span.line.saturating_sub(1) as usize).unwrap_or_default();
    let at_tab = line.chars().take_while(|character| character.is_whitespace()).any(|character| character == '\t');
    let hint = if duplicate {
        Some("keep one of them".to_owned())
    } else if at_tab {
        Some("YAML is indented with spaces; this line has a tab".to_owned())
    } else if line.contains("${") {
        Some("inside { } and [ ] a reference must be quoted: '${…}'".to_owned())
    } else if message.contains("while parsing a flow") {
        Some("a `{` or `[` on this line or before it is not closed".to_owned())
    } else {
        None
    };
    Failure { span, message, hint, duplicate }
}

fn message(error: &serde_yaml::Error) -> String {
    match error {
        serde_yaml::Error::Budget { breach: BudgetBreach::Documents { .. }, .. } => {
            "a second YAML document begins here; there can be one".to_owned()
        }
        serde_yaml::Error::Budget { breach: BudgetBreach::Depth { .. }, .. } => {
            format!("is nested more than {MAX_DEPTH} levels deep")
        }
        serde_yaml::Error::Budget { .. } => format!("is too large: the most is {MAX_NODES} keys and values"),
        other => UserMessageFormatter.format_message(other).into_owned(),
    }
}

/// A location as ours. The width covers what the parser says the value spans, on its first line.
fn span_of(at: Location, text: &str, source: SourceId) -> Span {
    let width = slice(at, text).map_or(0, |slice| slice.lines().next().unwrap_or_default().chars().count());
    Span { source, line: (at.line() as u32).max(1), column: (at.column() as u32).max(1), width: width as u32 }
}

fn slice(at: Location, text: &str) -> Option<&str> {
    let start = usize::try_from(at.span().byte_offset()?).ok()?;
    let length = usize::try_from(at.span().byte_len()?).ok()?;
    text.get(start..start.checked_add(length)?)
}

fn convert(raw: Spanned<Raw>, text: &str, source: SourceId) -> Node {
    let span = span_of(raw.referenced, text, source);
    let spelling = || slice(raw.defined, text).map(|text| text.trim().into());
    let (value, raw) = match raw.value {
        Raw::Null => (Value::Null, None),
        Raw::Bool(value) => (Value::Bool(value), spelling().or_else(|| Some(value.to_string().into()))),
        Raw::Int(value) => (Value::Int(value), spelling().or_else(|| Some(value.to_string().into()))),
        Raw::Float(value) => (Value::Float(value), spelling().or_else(|| Some(value.to_string().into()))),
        Raw::Str(value) => (Value::Str(value), None),
        Raw::Seq(items) => (Value::Seq(items.into_iter().map(|item| convert(item, text, source)).collect()), None),
        Raw::Map(entries) => {
            (Value::Map(entries.into_iter().map(|(key, value)| entry(key, value, text, source)).collect()), None)
        }
    };
    Node { value, span, path: String::new(), raw }
}

fn entry(key: Spanned<String>, value: Spanned<Raw>, text: &str, source: SourceId) -> Entry {
    let key_span = span_of(key.referenced, text, source);
    let mut node = convert(value, text, source);
    // Nothing is nowhere: what is said of it is said of its key.
    if node.is_null() && node.span.width == 0 {
        node.span = key_span;
    }
    Entry { key: key.value, key_span, node }
}

/// What serde sees before places are attached.
enum Raw {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Str(String),
    Seq(Vec<Spanned<Self>>),
    Map(Vec<(Spanned<String>, Spanned<Self>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Int(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Int(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Str(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Raw, E> {
        Ok(Raw::Str(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Raw::Seq(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}
