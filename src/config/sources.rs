//! Where configuration comes from, and how several become one: maps merge, lists are replaced, the later wins.
//!
//! A source is a path, `file:path`, `env:NAME` (a variable that holds YAML) or `yaml:key::path: value`. `--set` is one
//! more, applied last. Every value keeps the place it came from.

use std::{fmt, fs, io::Read as _, sync::Arc};

use serde_yaml::options::DuplicateKeyPolicy;

use super::{
    Variables,
    node::{Entry, Node, SourceId, Span, Value},
    parse::{self, MAX_BYTES},
    problem::{NOWHERE, Problems},
};

/// As many as the Collector allows.
const MAX_SOURCES: usize = 100;

/// The texts read, by [`SourceId`], for excerpts. `Debug` names them only: they may hold secrets.
#[derive(Clone, Default)]
pub struct Texts(Vec<Text>);

#[derive(Clone)]
struct Text {
    name: String,
    text: Arc<str>,
}

impl fmt::Debug for Texts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|text| &text.name)).finish()
    }
}

impl Texts {
    /// Adds a text under the name that messages will use.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<Arc<str>>) -> SourceId {
        self.0.push(Text { name: name.into(), text: text.into() });
        SourceId((self.0.len() - 1) as u32)
    }

    /// The text of a source; empty for one that is not there.
    pub fn text(&self, source: SourceId) -> &str {
        self.0.get(source.0 as usize).map_or("", |text| &text.text)
    }

    /// The name of a source.
    pub fn name(&self, source: SourceId) -> &str {
        self.0.get(source.0 as usize).map_or("", |text| &text.name)
    }

    /// The names of all sources: of files, their paths.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|text| text.name.as_str())
    }

    /// One line, counted from 1.
    pub(super) fn line(&self, source: SourceId, line: u32) -> Option<&str> {
        self.text(source).lines().nth(line.checked_sub(1)? as usize)
    }

    /// Does the scalar that starts at `span` go on at `line`? True while lines are blank or indented deeper than the
    /// line it starts on; a block scalar has that line to itself, and goes on at the same depth too.
    pub(super) fn continues(&self, span: Span, line: u32) -> bool {
        let indent = |text: &str| text.chars().take_while(|character| *character == ' ').count();
        let first = self.line(span.source, span.line).map_or(0, indent);
        let alone = first + 1 == span.column as usize;
        let between = line.saturating_sub(span.line) as usize;
        let mut lines = self.text(span.source).lines().skip(span.line as usize).take(between);
        lines.all(|text| text.trim().is_empty() || indent(text) > first || (alone && indent(text) == first))
    }
}

/// Reads every source and `--set`, and merges them. What cannot be read is a problem and is left out; the tree is then
/// not complete.
pub(super) fn read_all(
    sources: &[String],
    sets: &[String],
    env: Variables<'_>,
    texts: &mut Texts,
    problems: &mut Problems,
) -> (Node, bool) {
    let mut root = Node::default();
    let mut complete = sources.len() <= MAX_SOURCES;
    if sources.len() > MAX_SOURCES {
        problems.error(NOWHERE, "", format!("{} configuration sources; the most is {MAX_SOURCES}", sources.len()));
    }
    for source in sources.iter().take(MAX_SOURCES) {
        match open(source, env, texts) {
            Ok(id) => match parse::parse(texts, id, problems) {
                Some(mut node) => {
                    if source.starts_with("yaml:") {
                        unfold(&mut node);
                    }
                    merge(&mut root, node);
                }
                None => complete = false,
            },
            Err(reason) => {
                complete = false;
                problems.error(NOWHERE, "", reason);
            }
        }
    }
    for set in sets {
        match read_set(set, texts, problems) {
            Some(node) => merge(&mut root, node),
            None => complete = false,
        }
    }
    (root, complete)
}

fn open(source: &str, env: Variables<'_>, texts: &mut Texts) -> Result<SourceId, String> {
    if let Some(text) = source.strip_prefix("yaml:") {
        return Ok(texts.add("yaml:", text));
    }
    if let Some(name) = source.strip_prefix("env:") {
        let text = env(name).ok_or_else(|| format!("--config {source}: the variable {name} is not set"))?;
        return Ok(texts.add(source, text));
    }
    if source.starts_with("http:") || source.starts_with("https:") {
        return Err(format!("--config {source}: fetching a configuration over HTTP is not supported; use a file"));
    }
    let path = source.strip_prefix("file:").unwrap_or(source);
    let text = read_file(path).map_err(|reason| format!("--config {source}: {reason}"))?;
    Ok(texts.add(path, text))
}

/// The text of a file of a bounded size.
pub(super) fn read_file(path: &str) -> Result<String, String> {
    let mut text = String::new();
    let file = fs::File::open(path).map_err(|error| format!("cannot open the file: {error}"))?;
    match file.take(MAX_BYTES as u64 + 1).read_to_string(&mut text) {
        Ok(length) if length > MAX_BYTES => Err(format!("the file is longer than {MAX_BYTES} bytes")),
        Ok(_) => Ok(text.trim_start_matches('\u{feff}').to_owned()),
        Err(error) => Err(format!("cannot read the file: {error}")),
    }
}

/// `processors.batch.timeout=2s`; a key with `::` in it is split there instead, so that names may hold dots.
fn read_set(set: &str, texts: &mut Texts, problems: &mut Problems) -> Option<Node> {
    let id = texts.add("--set", set);
    let whole = Span { source: id, line: 1, column: 1, width: set.chars().count() as u32 };
    let Some((key, text)) = set.split_once('=').filter(|(key, _)| !key.trim().is_empty()) else {
        problems.error(whole, "", "is not of the form path.to.key=value");
        return None;
    };
    let separator = if key.contains("::") { "::" } else { "." };
    let parts: Vec<&str> = key.trim().split(separator).collect();
    if parts.iter().any(|part| part.is_empty()) {
        problems.error(whole, "", format!("has an empty name between two `{separator}`"));
        return None;
    }
    let shift = key.chars().count() as u32 + 1;
    match parse::read(text, id, DuplicateKeyPolicy::Error) {
        Ok(mut node) => {
            shift_columns(&mut node, shift);
            Some(nest(&parts, whole, node))
        }
        Err(failure) => {
            problems.unparsed(id);
            let span = Span { column: failure.span.column + shift, ..failure.span };
            problems.error(span, &parts.join("::"), failure.message).hint_opt(failure.hint);
            None
        }
    }
}

fn shift_columns(node: &mut Node, shift: u32) {
    let moved = |span: Span| if span.line == 1 { Span { column: span.column + shift, ..span } } else { span };
    node.span = moved(node.span);
    match &mut node.value {
        Value::Map(entries) => {
            for entry in entries {
                entry.key_span = moved(entry.key_span);
                shift_columns(&mut entry.node, shift);
            }
        }
        Value::Seq(items) => items.iter_mut().for_each(|item| shift_columns(item, shift)),
        _ => {}
    }
}

/// `a`, `b`, value → `{a: {b: value}}`.
fn nest(parts: &[&str], span: Span, node: Node) -> Node {
    parts.iter().rev().fold(node, |node, part| {
        let entry = Entry { key: (*part).to_owned(), key_span: span, node };
        Node::new(Value::Map(vec![entry]), span)
    })
}

/// `{a::b: value}` → `{a: {b: value}}`, at the top of a `yaml:` source.
fn unfold(root: &mut Node) {
    let Value::Map(entries) = &mut root.value else { return };
    let mut unfolded = Node::new(Value::Map(Vec::new()), root.span);
    for Entry { key, key_span, node } in entries.drain(..) {
        let parts: Vec<&str> = key.split("::").collect();
        merge(&mut unfolded, nest(&parts, key_span, node));
    }
    *root = unfolded;
}

/// Puts `over` onto `under`. A later null does not wipe out a map: `otlp:` written twice is still one receiver.
pub(super) fn merge(under: &mut Node, over: Node) {
    match (&mut under.value, over.value) {
        (Value::Map(entries), Value::Map(later)) => {
            for new in later {
                match entries.iter_mut().find(|entry| entry.key == new.key) {
                    Some(old) => merge(&mut old.node, new.node),
                    None => entries.push(new),
                }
            }
        }
        (Value::Map(_), Value::Null) => {}
        (_, value) => *under = Node { value, ..over },
    }
}
