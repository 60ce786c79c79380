//! Everything wrong with a configuration, said at once: file, line, column, path, excerpt, and what to write instead.
//!
//! A value marked secret never appears: not in a message, not in an excerpt.

use std::{collections::BTreeSet, sync::Arc};

use serde::Serialize;

use super::{
    node::{Node, SourceId, Span, Value},
    print::looks_secret,
    sources::Texts,
};

/// More problems than this are only counted.
const MAX_PROBLEMS: usize = 200;
/// Nobody meant a name longer than this, and comparing it would take long.
const LONGEST_NAME: usize = 200;

/// Whether a problem stops the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can, but probably does not mean what its author meant.
    Warning,
}

/// One thing wrong.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Error or warning.
    pub severity: Severity,
    /// The file (or `--set`, `env:NAME`, `yaml:`) it is in; empty when it is in none.
    pub file: String,
    /// Line, from 1; 0 when there is no place.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// Such as `receivers::otlp::protocols`; may be empty.
    pub path: String,
    /// What is wrong, naming the value.
    pub message: String,
    /// What to write instead, if that is known.
    pub hint: Option<String>,
    pub(super) span: Span,
}

impl Problem {
    pub(super) fn new(severity: Severity, file: String, span: Span, path: &str, message: String) -> Self {
        let (line, column) = (span.line, span.column);
        Self { severity, file, line, column, path: path.to_owned(), message, hint: None, span }
    }

    /// Adds advice.
    pub fn hint(&mut self, hint: impl Into<String>) -> &mut Self {
        self.hint = Some(hint.into());
        self
    }

    /// Advises the one of `valid` nearest to `name`; if none is near and they are few, all of them.
    pub fn suggest(&mut self, name: &str, valid: &[&str]) -> &mut Self {
        self.hint_opt(advice(name, valid))
    }

    /// Adds advice if there is some.
    pub(super) fn hint_opt(&mut self, hint: Option<String>) -> &mut Self {
        if hint.is_some() {
            self.hint = hint;
        }
        self
    }
}

/// Problems in the order found, with the texts they point into. `Display` prints them all, in the order of the files.
#[derive(Clone, Debug, Default)]
pub struct Problems {
    list: Vec<Problem>,
    pub(super) beyond: usize,
    beyond_errors: bool,
    texts: Arc<Texts>,
    pub(super) secrets: BTreeSet<Span>,
    /// Sources of which there is no tree to tell secrets by.
    pub(super) unparsed: BTreeSet<SourceId>,
    /// Where a problem beyond [`MAX_PROBLEMS`] is put; never shown.
    overflow: Option<Box<Problem>>,
}

impl std::error::Error for Problems {}

impl Problems {
    /// None yet, about `texts`.
    pub fn new(texts: Arc<Texts>) -> Self {
        Self { texts, ..Self::default() }
    }

    /// Adds an error at `span`; see [`Problem::hint`] for advice.
    pub fn error(&mut self, span: Span, path: &str, message: impl Into<String>) -> &mut Problem {
        self.add(Severity::Error, span, path, message.into())
    }

    /// Adds a warning at `span`.
    pub fn warning(&mut self, span: Span, path: &str, message: impl Into<String>) -> &mut Problem {
        self.add(Severity::Warning, span, path, message.into())
    }

    pub(super) fn add(&mut self, severity: Severity, span: Span, path: &str, message: String) -> &mut Problem {
        let file = if span.line == 0 { String::new() } else { self.texts.name(span.source).to_owned() };
        let problem = Problem::new(severity, file, span, path, message);
        if self.list.len() >= MAX_PROBLEMS {
            self.beyond += 1;
            self.beyond_errors |= severity == Severity::Error;
            return self.overflow.insert(Box::new(problem));
        }
        self.list.push(problem);
        let last = self.list.len() - 1;
        &mut self.list[last]
    }

    /// Takes back what was only a warning at exactly this path: something worse is known of it.
    pub fn retract_warnings(&mut self, path: &str) {
        self.list.retain(|problem| problem.severity == Severity::Error || problem.path != path);
    }

    /// Hides all scalars at and below `node` in every excerpt.
    pub fn mask(&mut self, node: &Node) {
        match &node.value {
            Value::Seq(items) => items.iter().for_each(|item| self.mask(item)),
            Value::Map(entries) => entries.iter().for_each(|entry| self.mask(&entry.node)),
            Value::Null => {}
            _ => {
                self.secrets.insert(node.span);
            }
        }
    }

    /// Hides, in the lines of `source`, what follows a key that looks secret.
    pub(super) fn unparsed(&mut self, source: SourceId) {
        self.unparsed.insert(source);
    }

    /// Was this scalar said to be secret?
    pub(super) fn is_masked(&self, node: &Node) -> bool {
        self.secrets.contains(&node.span)
    }

    /// Hides everything under keys whose name says it is secret.
    pub(super) fn mask_secrets(&mut self, node: &Node) {
        for entry in node.entries() {
            if looks_secret(&entry.key) { self.mask(&entry.node) } else { self.mask_secrets(&entry.node) }
        }
        node.items().iter().for_each(|item| self.mask_secrets(item));
    }

    /// All that were kept, in the order found.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.list.iter()
    }

    /// How many errors and warnings, also those not kept.
    pub fn len(&self) -> usize {
        self.list.len() + self.beyond
    }

    /// Nothing wrong at all.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// True if there is an error, not only warnings.
    pub fn has_errors(&self) -> bool {
        self.beyond_errors || self.count(Severity::Error) > 0
    }

    /// How many kept problems have this severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.list.iter().filter(|problem| problem.severity == severity).count()
    }

    /// `Err(self)` if there is an error, otherwise `value` and the warnings.
    pub fn into_result<T>(self, value: T) -> Result<(T, Self), Self> {
        if self.has_errors() { Err(self) } else { Ok((value, self)) }
    }

    /// The texts that problems point into.
    pub fn texts(&self) -> &Arc<Texts> {
        &self.texts
    }

    pub(super) fn set_texts(&mut self, texts: Arc<Texts>) {
        for problem in &mut self.list {
            if problem.line > 0 {
                texts.name(problem.span.source).clone_into(&mut problem.file);
            }
        }
        self.texts = texts;
    }

    /// Is there an error at exactly this path?
    pub(super) fn reported(&self, path: &str) -> bool {
        !path.is_empty() && self.errors().any(|problem| problem.path == path)
    }

    /// Is one of the first `many` problems an error at `path`, above it, or below it?
    pub(super) fn touches(&self, path: &str, many: usize) -> bool {
        let under = |inner: &str, outer: &str| {
            inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        };
        let first = self.list.iter().take(many);
        first
            .filter(|problem| problem.severity == Severity::Error && !problem.path.is_empty())
            .any(|problem| under(&problem.path, path) || under(path, &problem.path))
    }

    fn errors(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter().filter(|problem| problem.severity == Severity::Error)
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The candidate nearest to `name`, if near enough to be what was meant.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > LONGEST_NAME {
        return None;
    }
    let plain = |text: &str| text.to_ascii_lowercase().replace(['-', '_'], "");
    let wanted = plain(name);
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let other = plain(candidate);
            let distance = strsim::damerau_levenshtein(&wanted, &other);
            let longest = wanted.chars().count().max(other.chars().count());
            let near = distance <= 1.max(longest / 3) && distance < longest;
            // A part of the name is a guess too, but a worse one: `path` for `file_path`.
            let part = wanted.len().min(other.len()) >= 4 && (other.contains(&wanted) || wanted.contains(&other));
            match (near, part) {
                (true, _) => Some((distance, candidate)),
                (false, true) => Some((distance + longest, candidate)),
                (false, false) => None,
            }
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `did you mean `x`?` and, when few, the list of what there is.
pub(super) fn advice(name: &str, candidates: &[&str]) -> Option<String> {
    if let Some(near) = nearest(name, candidates.iter().copied()) {
        return Some(format!("did you mean `{near}`?"));
    }
    (!candidates.is_empty() && candidates.len() <= 16).then(|| format!("valid here: {}", candidates.join(", ")))
}

/// A span without a place.
pub(super) const NOWHERE: Span = Span { source: SourceId(0), line: 0, column: 0, width: 0 };
