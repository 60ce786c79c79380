//! What serde cannot say of a value: two fields that do not fit, a number out of range.

use super::{
    node::{Node, Span, join},
    problem::{Problem, Problems, Severity},
};

/// Said of a configuration struct once it is decoded. The default has nothing to say.
pub trait Check {
    /// Reports what is wrong. A value that is out of range must not pass: nothing after this checks again.
    fn check(&self, _report: &mut Report<'_>) {}
}

/// Where a [`Check`] puts what it finds. Paths are relative to the struct being checked; `a.b`, or `a::b` where a
/// key may hold dots.
///
/// A finding about a value that could not be decoded is dropped: its default was checked, not what the user wrote.
pub struct Report<'a> {
    node: Option<&'a Node>,
    /// The nearest node there is, for structs that are all default.
    nearest: Span,
    path: String,
    /// The problems there were before anything was checked.
    decoding: usize,
    problems: &'a mut Problems,
    unheard: Option<Problem>,
}

impl<'a> Report<'a> {
    pub(super) fn new(node: &'a Node, problems: &'a mut Problems) -> Self {
        let decoding = problems.iter().len();
        let (nearest, path) = (node.span, node.path.clone());
        Self { node: Some(node), nearest, path, decoding, problems, unheard: None }
    }

    /// Something that stops the start, at the relative `path`; empty for the struct itself.
    pub fn error(&mut self, path: &str, message: impl Into<String>) -> &mut Problem {
        self.add(Severity::Error, path, message.into())
    }

    /// Something that works but is probably not meant.
    pub fn warning(&mut self, path: &str, message: impl Into<String>) -> &mut Problem {
        self.add(Severity::Warning, path, message.into())
    }

    /// An error in a part of the text at `path`: `at` and `width` count its characters. It points at the part where the
    /// text stands in one line as it was written, at the text otherwise.
    pub fn error_in(&mut self, path: &str, at: usize, width: usize, message: impl Into<String>) -> &mut Problem {
        let (node, mut span, path) = self.find(path);
        let line = self.problems.texts().line(span.source, span.line);
        if let Some((text, line)) = node.and_then(Node::text).zip(line)
            && let Some(start) = found_from(line, span.column, text)
            && let (Ok(at), Ok(width)) = (u32::try_from(at), u32::try_from(width))
        {
            span = Span { column: start + at, width, ..span };
        }
        if self.problems.touches(&path, self.decoding) {
            return self.unheard.insert(Problem::new(Severity::Error, String::new(), span, &path, message.into()));
        }
        self.problems.add(Severity::Error, span, &path, message.into())
    }

    /// Checks a struct inside this one.
    pub fn within(&mut self, path: &str, inner: &impl Check) {
        let (node, nearest, path) = self.find(path);
        let decoding = self.decoding;
        inner.check(&mut Report { node, nearest, path, decoding, problems: self.problems, unheard: None });
    }

    /// True if the user wrote something at `path`.
    pub fn is_set(&self, path: &str) -> bool {
        self.find(path).0.is_some_and(|node| !node.is_null())
    }

    fn add(&mut self, severity: Severity, path: &str, message: String) -> &mut Problem {
        let (_, span, path) = self.find(path);
        if self.problems.touches(&path, self.decoding) {
            return self.unheard.insert(Problem::new(severity, String::new(), span, &path, message));
        }
        self.problems.add(severity, span, &path, message)
    }

    /// The node at a relative path, the place of it or of its nearest ancestor, and its full path.
    fn find(&self, relative: &str) -> (Option<&'a Node>, Span, String) {
        let (mut node, mut span, mut path) = (self.node, self.nearest, self.path.clone());
        let separator = if relative.contains("::") { "::" } else { "." };
        for part in relative.split(separator).filter(|part| !part.is_empty()) {
            path = join(&path, part);
            node = node.and_then(|node| match part.parse::<usize>() {
                Ok(index) if !node.items().is_empty() => node.items().get(index),
                _ => node.get(part),
            });
            span = node.map_or(span, |node| node.span);
        }
        (node, span, path)
    }
}

/// The column, from 1, at which `text` starts in `line`, at or behind `column`.
fn found_from(line: &str, column: u32, text: &str) -> Option<u32> {
    let skipped = column.checked_sub(1)? as usize;
    let behind = line.char_indices().nth(skipped).and_then(|(at, _)| line.get(at..))?;
    let before = behind.get(..behind.find(text)?)?.chars().count();
    u32::try_from(before).ok().map(|before| column + before)
}
