//! Functions that change something: each takes what is at a path, and says what is to be there instead.

use std::{borrow::Cow, collections::HashSet};

use regex::Regex;

use super::{
    compiler::Arguments,
    expression::Expression,
    fault::{Failure, Fault},
    path::Path,
    scene::{Level, Scene},
    value::Value,
};
use crate::otlp::{any_value, edit::Patch, view, wire};

/// An editor whose arguments are known.
#[derive(Clone, Debug)]
pub(super) struct Editor {
    target: Path,
    change: Change,
}

#[derive(Clone, Debug)]
enum Change {
    Set(Expression),
    DeleteKey(Expression),
    DeleteMatchingKeys(Regex),
    KeepKeys(Vec<Expression>),
    KeepMatchingKeys(Regex),
    Limit(usize, HashSet<String>),
    Merge(Expression, Strategy),
    Replace(Match, Expression),
    ReplaceAllKeys(Regex, Expression),
    ReplaceAllValues(Match, Expression),
    Truncate(usize),
}

/// What is replaced: what a regular expression finds in a text, or a text that is as a pattern with stars says.
#[derive(Clone, Debug)]
enum Match {
    Part(Regex),
    Whole(Regex),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strategy {
    Insert,
    Update,
    Upsert,
}

type Build = fn(&mut Arguments<'_>) -> Result<Editor, Fault>;

/// Name, and how it takes its arguments.
pub(super) const EDITORS: &[(&str, Build)] = &[
    ("set", |from| Editor::new(from, |from| Ok(Change::Set(from.value("value")?)))),
    ("delete_key", |from| Editor::new(from, |from| Ok(Change::DeleteKey(from.value("key")?)))),
    ("delete_matching_keys", |from| Editor::new(from, |from| Ok(Change::DeleteMatchingKeys(from.pattern("pattern")?)))),
    ("keep_keys", |from| Editor::new(from, |from| Ok(Change::KeepKeys(from.values("keys")?)))),
    ("keep_matching_keys", |from| Editor::new(from, |from| Ok(Change::KeepMatchingKeys(from.pattern("pattern")?)))),
    ("limit", |from| {
        Editor::new(from, |from| {
            let (limit, first) = (from.count("limit")?, from.literals("priority_keys")?);
            if first.len() > limit {
                return Err(from.fault("has more priority keys than may stay"));
            }
            Ok(Change::Limit(limit, first.into_iter().collect()))
        })
    }),
    ("merge_maps", |from| {
        Editor::new(from, |from| {
            let source = from.value("source")?;
            let strategy = match from.word("strategy", &["insert", "update", "upsert"])? {
                "insert" => Strategy::Insert,
                "update" => Strategy::Update,
                _ => Strategy::Upsert,
            };
            Ok(Change::Merge(source, strategy))
        })
    }),
    ("replace_pattern", |from| {
        Editor::new(from, |from| {
            Ok(Change::Replace(Match::Part(from.pattern("regex_pattern")?), from.value("replacement")?))
        })
    }),
    ("replace_match", |from| {
        Editor::new(from, |from| Ok(Change::Replace(Match::Whole(glob(from)?), from.value("replacement")?)))
    }),
    ("replace_all_patterns", |from| {
        Editor::new(from, |from| {
            let keys = from.word("mode", &["key", "value"])? == "key";
            let (pattern, by) = (from.pattern("regex_pattern")?, from.value("replacement")?);
            Ok(if keys {
                Change::ReplaceAllKeys(pattern, by)
            } else {
                Change::ReplaceAllValues(Match::Part(pattern), by)
            })
        })
    }),
    ("replace_all_matches", |from| {
        Editor::new(from, |from| Ok(Change::ReplaceAllValues(Match::Whole(glob(from)?), from.value("replacement")?)))
    }),
    ("truncate_all", |from| Editor::new(from, |from| Ok(Change::Truncate(from.count("limit")?)))),
];

/// A pattern in which `*` stands for any text, `?` for a letter, `[…]` for one of several, `{a,b}` for either.
fn glob(from: &mut Arguments<'_>) -> Result<Regex, Fault> {
    let (pattern, _) = from.literal("pattern")?;
    let mut expression = String::from("(?s)^");
    let (mut letters, mut depth) = (pattern.chars(), 0);
    while let Some(letter) = letters.next() {
        match letter {
            '*' => expression.push_str(".*"),
            '?' => expression.push('.'),
            '\\' => expression.push_str(&regex::escape(&letters.next().map(String::from).unwrap_or_default())),
            '[' => expression.push('['),
            '!' if expression.ends_with('[') => expression.push('^'),
            ']' => expression.push(']'),
            '{' => {
                depth += 1;
                expression.push_str("(?:");
            }
            '}' if depth > 0 => {
                depth -= 1;
                expression.push(')');
            }
            ',' if depth > 0 => expression.push('|'),
            '-' => expression.push('-'),
            other => expression.push_str(&regex::escape(&other.to_string())),
        }
    }
    expression.push('$');
    Regex::new(&expression).map_err(|_| from.fault("the pattern has brackets without an end"))
}

impl Editor {
    fn new(
        from: &mut Arguments<'_>,
        change: impl FnOnce(&mut Arguments<'_>) -> Result<Change, Fault>,
    ) -> Result<Self, Fault> {
        Ok(Self { target: from.target("target")?, change: change(from)? })
    }

    /// The message it changes.
    pub const fn level(&self) -> Level {
        self.target.level
    }

    /// Puts the change into a patch of that message; nothing if there is none to make.
    pub fn patch(&self, scene: &Scene<'_>, patch: &mut Patch) -> Result<(), Failure> {
        let value = match &self.change {
            Change::Set(value) => {
                let value = value.value(scene)?;
                self.target.admits(&value)?;
                Some(value)
            }
            Change::Replace(what, by) => replaced(self.target.read(scene)?, what, by, scene)?,
            Change::Merge(source, strategy) => {
                let (target, source) = (self.target.read(scene)?.into_map()?, Value::Map(source.map(scene)?));
                self.target.admits(&source)?;
                Some(Value::Map(Cow::Owned(merged(&target, &source.into_map()?, *strategy))))
            }
            other => {
                let entries = self.target.read(scene)?.into_map()?;
                other.entries(&entries, scene)?.map(|entries| Value::Map(Cow::Owned(entries)))
            }
        };
        match value {
            Some(value) => self.target.write(scene, &value, patch),
            None => Ok(()),
        }
    }
}

impl Change {
    /// The map as it is to be; nothing if it is so already.
    fn entries(&self, entries: &[u8], scene: &Scene<'_>) -> Result<Option<Vec<u8>>, Failure> {
        Ok(match self {
            Self::DeleteKey(key) => {
                let key = key.text(scene)?;
                kept(entries, |found| found != key)
            }
            Self::DeleteMatchingKeys(pattern) => kept(entries, |key| !pattern.is_match(key)),
            Self::KeepKeys(keys) => {
                let keys = keys.iter().map(|key| key.text(scene)).collect::<Result<HashSet<_>, _>>()?;
                kept(entries, |key| keys.contains(key))
            }
            Self::KeepMatchingKeys(pattern) => kept(entries, |key| pattern.is_match(key)),
            Self::Limit(limit, first) => {
                let keys =
                    || view::messages(entries, 1).map(|pair| String::from_utf8_lossy(view::raw_key_value(pair).0));
                if keys().count() <= *limit {
                    return Ok(None);
                }
                let mut room = limit.saturating_sub(keys().filter(|key| first.contains(key.as_ref())).count());
                kept(entries, |key| {
                    let stays = first.contains(key) || room > 0;
                    room -= usize::from(stays && !first.contains(key));
                    stays
                })
            }
            Self::ReplaceAllKeys(pattern, by) => {
                let by = by.text(scene)?;
                mapped(entries, |key, _| {
                    let key = pattern.is_match(key).then(|| pattern.replace_all(key, &*by).into_owned())?;
                    Some((Some(key), None))
                })
            }
            Self::ReplaceAllValues(what, by) => {
                let by = by.text(scene)?;
                mapped(entries, |_, text| Some((None, Some(what.replace(text?, &by)?))))
            }
            Self::Truncate(limit) => mapped(entries, |_, text| {
                let text = text.filter(|text| text.len() > *limit)?;
                let end = (0..=*limit).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
                Some((None, Some(text.get(..end).unwrap_or_default().to_owned())))
            }),
            Self::Set(_) | Self::Replace(..) | Self::Merge(..) => None,
        })
    }
}

impl Match {
    /// The text after the replacement; nothing if nothing was found.
    fn replace(&self, text: &str, by: &str) -> Option<String> {
        match self {
            Self::Part(pattern) => pattern.is_match(text).then(|| pattern.replace_all(text, by).into_owned()),
            Self::Whole(pattern) => pattern.is_match(text).then(|| by.to_owned()),
        }
    }
}

/// What is not text stays.
fn replaced<'a>(
    value: Value<'_>,
    what: &Match,
    by: &Expression,
    scene: &Scene<'_>,
) -> Result<Option<Value<'a>>, Failure> {
    let Value::Text(text) = value else { return Ok(None) };
    Ok(what.replace(&text, &by.text(scene)?).map(Value::owned))
}

/// The entries whose key stays; nothing if all do.
fn kept(entries: &[u8], mut stays: impl FnMut(&str) -> bool) -> Option<Vec<u8>> {
    let (mut out, mut changed) = (Vec::with_capacity(entries.len()), false);
    for pair in view::messages(entries, 1) {
        if stays(&String::from_utf8_lossy(view::raw_key_value(pair).0)) {
            wire::put_bytes(&mut out, 1, pair);
        } else {
            changed = true;
        }
    }
    changed.then_some(out)
}

/// A new key, a new text; each `None` if it stays.
type Renamed = (Option<String>, Option<String>);

/// The entries with what `map` says of key and text; nothing if it says nothing of any.
fn mapped(entries: &[u8], map: impl Fn(&str, Option<&str>) -> Option<Renamed>) -> Option<Vec<u8>> {
    let (mut out, mut changed) = (Vec::with_capacity(entries.len()), false);
    for pair in view::messages(entries, 1) {
        let (key, value) = view::raw_key_value(pair);
        let key = String::from_utf8_lossy(key);
        match map(&key, view::AnyValue::parse(value).text()) {
            None => wire::put_bytes(&mut out, 1, pair),
            Some((name, text)) => {
                changed = true;
                let value = text.map_or_else(|| value.to_vec(), |text| any_value::text(&text));
                any_value::put_entry(&mut out, name.as_deref().unwrap_or(&key), &value);
            }
        }
    }
    // Two keys may have become one: the later value counts, as in the Collector.
    changed.then(|| merged(&[], &out, Strategy::Upsert))
}

/// `target` with the entries of `source`.
fn merged(target: &[u8], source: &[u8], strategy: Strategy) -> Vec<u8> {
    let mut order: Vec<&[u8]> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for pair in view::messages(target, 1) {
        places.insert(view::raw_key_value(pair).0, order.len());
        order.push(pair);
    }
    for pair in view::messages(source, 1) {
        let key = view::raw_key_value(pair).0;
        match places.get(key) {
            Some(place) if strategy != Strategy::Insert => {
                if let Some(slot) = order.get_mut(*place) {
                    *slot = pair;
                }
            }
            None if strategy != Strategy::Update => {
                places.insert(key, order.len());
                order.push(pair);
            }
            _ => {}
        }
    }
    let mut out = Vec::with_capacity(target.len() + source.len());
    for pair in order {
        wire::put_bytes(&mut out, 1, pair);
    }
    out
}
