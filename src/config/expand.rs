//! `${env:X}`, `${X}`, `${env:X:-default}`, `${file:path}`, and `$$` for `$`, in every text value of the merged tree.
//!
//! A reference that is the whole value keeps the YAML type of what it stands for; inside a longer text it is spliced in
//! as text. Names, paths and defaults may contain references; what a variable holds may not (a value from outside is
//! data, not configuration). Depth, count and bytes are bounded.

use serde_yaml::options::DuplicateKeyPolicy;

use super::{
    Variables,
    node::{Node, Shown, SourceId, Value},
    parse::{self, MAX_BYTES},
    problem::{Problems, advice},
    sources::{Texts, read_file},
};

/// References within references, files within files.
const MAX_DEPTH: usize = 8;
/// References resolved in one configuration.
const MAX_REFERENCES: usize = 10_000;
const SCHEMES: [&str; 2] = ["env", "file"];

/// Expands every text below `node`. What cannot be resolved is a problem and becomes null.
pub(super) fn expand(node: &mut Node, env: Variables<'_>, texts: &mut Texts, problems: &mut Problems) {
    Expander { env, texts, problems, references: 0, bytes: 0 }.node(node, 0);
}

struct Expander<'a> {
    env: Variables<'a>,
    texts: &'a mut Texts,
    problems: &'a mut Problems,
    references: usize,
    bytes: usize,
}

/// What a reference stands for.
struct Found {
    text: String,
    /// Set for files: their values have places of their own, and may hold references.
    file: Option<String>,
}

/// What went wrong, and advice.
type Wrong = (String, Option<String>);

impl Expander<'_> {
    fn node(&mut self, node: &mut Node, depth: usize) {
        match &mut node.value {
            Value::Map(entries) => entries.iter_mut().for_each(|entry| self.node(&mut entry.node, depth)),
            Value::Seq(items) => items.iter_mut().for_each(|item| self.node(item, depth)),
            Value::Str(text) if text.contains('$') => {
                let text = std::mem::take(text);
                if let Err((message, hint)) = self.scalar(node, &text, depth) {
                    self.problems.error(node.span, &node.path, message).hint_opt(hint);
                    node.value = Value::Null;
                }
            }
            _ => {}
        }
    }

    fn scalar(&mut self, node: &mut Node, text: &str, depth: usize) -> Result<(), Wrong> {
        if let Some(inner) = whole(text) {
            let found = self.resolve(inner, depth)?;
            return self.substitute(node, &found, depth);
        }
        node.value = Value::Str(self.splice(text, depth)?);
        Ok(())
    }

    /// Puts what a reference stands for in place of `node`.
    fn substitute(&mut self, node: &mut Node, found: &Found, depth: usize) -> Result<(), Wrong> {
        let source = match &found.file {
            Some(path) => self.texts.add(path.as_str(), found.text.as_str()),
            None => node.span.source,
        };
        let (span, path) = (node.span, std::mem::take(&mut node.path));
        *node = typed(&found.text, source).unwrap_or_else(|| Node::new(Value::Str(found.text.clone()), span));
        node.raw = Some(found.text.as_str().into());
        let structured = matches!(node.value, Value::Map(_) | Value::Seq(_));
        if found.file.is_none() || !structured {
            node.set_spans(span);
        }
        node.set_paths(&path);
        if found.file.is_some() && structured {
            if depth >= MAX_DEPTH {
                return Err((format!("files refer to files more than {MAX_DEPTH} deep"), None));
            }
            self.node(node, depth + 1);
        }
        Ok(())
    }

    /// Text with every reference in it replaced by its text.
    fn splice(&mut self, text: &str, depth: usize) -> Result<String, Wrong> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            let (before, after) = rest.split_at(at);
            out.push_str(before);
            if let Some(tail) = after.strip_prefix("$$") {
                out.push('$');
                rest = tail;
            } else if let Some(tail) = after.strip_prefix("${") {
                let Some(end) = closing(tail) else {
                    let hint = "close it with `}`, or write `$$` for a dollar sign";
                    return Err(("has a `${` that is not closed".to_owned(), Some(hint.to_owned())));
                };
                let (inner, tail) = tail.split_at(end);
                out.push_str(&self.resolve(inner, depth)?.text);
                rest = tail.strip_prefix('}').unwrap_or(tail);
            } else {
                out.push('$');
                rest = after.strip_prefix('$').unwrap_or_default();
            }
        }
        out.push_str(rest);
        if out.len() > MAX_BYTES {
            return Err((format!("becomes longer than {MAX_BYTES} bytes"), None));
        }
        Ok(out)
    }

    /// What stands between `${` and `}`.
    fn resolve(&mut self, inner: &str, depth: usize) -> Result<Found, Wrong> {
        self.references += 1;
        if depth >= MAX_DEPTH {
            return Err((format!("references are nested more than {MAX_DEPTH} deep"), None));
        }
        if self.references > MAX_REFERENCES {
            return Err((format!("more than {MAX_REFERENCES} references in one configuration"), None));
        }
        let found = match inner.split_once(':') {
            Some(("env", rest)) => self.variable(rest, depth)?,
            Some(("file", path)) => {
                let path = self.splice(path, depth + 1)?;
                let text =
                    read_file(&path).map_err(|reason| (format!("${{file:{}}}: {reason}", Shown(&path)), None))?;
                Found { text: text.trim_end_matches(['\r', '\n']).to_owned(), file: Some(path) }
            }
            Some((_, rest)) if rest.starts_with('-') => self.variable(inner, depth)?,
            Some((scheme, _)) => {
                let message = format!("there is no `{}:` in `${{{}}}`", Shown(scheme), Shown(inner));
                return Err((message, advice(scheme, &SCHEMES)));
            }
            None => self.variable(inner, depth)?,
        };
        self.bytes += found.text.len();
        if self.bytes > MAX_BYTES {
            return Err((format!("references bring in more than {MAX_BYTES} bytes"), None));
        }
        Ok(found)
    }

    /// `NAME` or `NAME:-default`.
    fn variable(&mut self, reference: &str, depth: usize) -> Result<Found, Wrong> {
        let (name, default) = match split_default(reference) {
            Some((name, default)) => (name, Some(default)),
            None => (reference, None),
        };
        let name = self.splice(name, depth + 1)?;
        let valid = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.')
            && name.chars().next().is_some_and(|c| !c.is_ascii_digit());
        if !valid {
            let message = format!("`{}` is not the name of a variable", Shown(&name));
            return Err((message, Some("write `$$` for a dollar sign".to_owned())));
        }
        let text = match ((self.env)(&name), default) {
            (Some(text), _) => text,
            (None, Some(default)) => self.splice(default, depth + 1)?,
            (None, None) => {
                let hint = format!("set it, or give a default: ${{env:{name}:-…}}");
                return Err((format!("the variable {name} is not set"), Some(hint)));
            }
        };
        Ok(Found { text, file: None })
    }
}

/// Splits at the first `:-` that is not inside a nested reference.
fn split_default(reference: &str) -> Option<(&str, &str)> {
    let mut depth = 0_usize;
    for (at, character) in reference.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ':' if depth == 0 => {
                if let Some(default) = reference.get(at..)?.strip_prefix(":-") {
                    return Some((reference.get(..at)?, default));
                }
            }
            _ => {}
        }
    }
    None
}

/// The inside of a text that is one reference and nothing else.
fn whole(text: &str) -> Option<&str> {
    let inner = text.strip_prefix("${")?;
    let end = closing(inner)?;
    (end + 1 == inner.len()).then(|| inner.get(..end)).flatten()
}

/// Where the `}` is that closes a reference whose `${` was just read.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, character) in text.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// A value from outside as YAML, if it is a scalar that is not text, or visibly a list or a map.
fn typed(text: &str, source: SourceId) -> Option<Node> {
    let node = parse::read(text, source, DuplicateKeyPolicy::Error).ok()?;
    let visibly = text.trim_start().starts_with(['{', '[']) || text.trim().contains('\n');
    match node.value {
        Value::Str(_) => None,
        Value::Map(_) | Value::Seq(_) if !visibly => None,
        Value::Null if text.trim_start().starts_with('#') => None,
        _ => Some(node),
    }
}
