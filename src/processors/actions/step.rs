//! Running the actions on the serialised attributes of one message.
//!
//! What an action changes is kept beside the message, where the next one looks first; the patch is written at the end.

use std::borrow::Cow;

use regex::Regex;

use super::{
    Action, Target, Verb,
    convert::{converted, hashed},
};
use crate::{
    otlp::{
        any_value::{from_json, text},
        edit::{Patch, PatchValue},
        view::{self, AnyValue},
    },
    pattern,
};

/// Where a value comes from.
#[derive(Clone, Debug)]
enum Source {
    /// A serialised `AnyValue`.
    Given(Vec<u8>),
    /// The attribute with this key; if it is not there, the other, serialised.
    Attribute(String, Option<Vec<u8>>),
}

#[derive(Clone, Debug)]
enum Step {
    Set { key: String, source: Source, if_there: bool, if_absent: bool },
    Delete { key: String, pattern: Option<Regex> },
    Hash { key: String, pattern: Option<Regex> },
    Extract { key: String, pattern: Regex, groups: Vec<String> },
    Convert { key: String, target: Target },
}

/// The actions of one processor, ready to run.
#[derive(Clone, Debug)]
pub struct Steps(Vec<Step>);

impl Steps {
    /// From a list that has been checked; the message says what the check has missed.
    pub fn new(actions: &[Action]) -> Result<Self, String> {
        actions.iter().map(Step::new).collect::<Result<_, _>>().map(Self)
    }

    /// Runs the actions on the attributes of `message` and puts what they change into its `patch`.
    pub fn run(&self, message: &[u8], patch: &mut Patch) {
        let mut attributes = Working { message, field: patch.field(), changes: Vec::new() };
        for step in &self.0 {
            step.run(&mut attributes);
        }
        for (key, value) in attributes.changes {
            // The door has checked that keys are text.
            let Ok(key) = std::str::from_utf8(key) else { continue };
            match value {
                Some(value) => patch.set(key, PatchValue::Raw(&value)),
                None => patch.remove(key),
            }
        }
    }
}

impl Step {
    fn new(action: &Action) -> Result<Self, String> {
        let key = action.key.clone();
        let regex = || pattern::compile(&action.pattern).map_err(|error| format!("pattern: {error}"));
        let optional = || if action.pattern.is_empty() { Ok(None) } else { regex().map(Some) };
        Ok(match action.action.ok_or("an action is missing")? {
            verb @ (Verb::Insert | Verb::Update | Verb::Upsert) => {
                let serialised = |value| from_json(value).ok_or("a number is too large");
                let default = action.default_value.as_ref();
                let source = match action.value.as_ref().or(default.filter(|_| action.from_attribute.is_empty())) {
                    Some(value) => Source::Given(serialised(value)?),
                    None => Source::Attribute(action.from_attribute.clone(), default.map(serialised).transpose()?),
                };
                Self::Set { key, source, if_there: verb != Verb::Insert, if_absent: verb != Verb::Update }
            }
            Verb::Delete => Self::Delete { key, pattern: optional()? },
            Verb::Hash => Self::Hash { key, pattern: optional()? },
            Verb::Extract => {
                let pattern = regex()?;
                let groups = pattern.capture_names().flatten().map(str::to_owned).collect();
                Self::Extract { key, pattern, groups }
            }
            Verb::Convert => Self::Convert { key, target: action.converted_type.ok_or("a type is missing")? },
        })
    }

    fn run<'a>(&'a self, attributes: &mut Working<'a>) {
        match self {
            Self::Set { key, source, if_there, if_absent } => {
                let there = attributes.get(key.as_bytes()).is_some();
                if !(if there { *if_there } else { *if_absent }) {
                    return;
                }
                let value = match source {
                    Source::Given(value) => Some(Cow::Borrowed(value.as_slice())),
                    Source::Attribute(from, default) => {
                        attributes.get(from.as_bytes()).or(default.as_deref().map(Cow::Borrowed))
                    }
                };
                if let Some(value) = value {
                    attributes.put(key.as_bytes(), Some(value));
                }
            }
            Self::Delete { key, pattern } => {
                for key in attributes.chosen(key, pattern.as_ref()) {
                    attributes.put(key, None);
                }
            }
            Self::Hash { key, pattern } => {
                // As in the Collector, a key that is both named and matched is hashed twice.
                for key in attributes.chosen(key, pattern.as_ref()) {
                    attributes.map(key, |value| Some(hashed(value)));
                }
            }
            Self::Extract { key, pattern, groups } => {
                let Some(value) = attributes.get(key.as_bytes()) else { return };
                let Some(found) = AnyValue::parse(&value).text().and_then(|text| pattern.captures(text)) else {
                    return;
                };
                for name in groups {
                    // A group that took no part in the match is empty text, as in the Collector.
                    let matched = found.name(name).map_or("", |group| group.as_str());
                    attributes.put(name.as_bytes(), Some(Cow::Owned(text(matched))));
                }
            }
            Self::Convert { key, target } => attributes.map(key.as_bytes(), |value| converted(value, *target)),
        }
    }
}

/// A key, and its serialised value; nothing if removed.
type Change<'a> = (&'a [u8], Option<Cow<'a, [u8]>>);

/// The attributes of a message as the actions so far have left them.
struct Working<'a> {
    message: &'a [u8],
    field: u32,
    changes: Vec<Change<'a>>,
}

impl<'a> Working<'a> {
    fn original(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        view::messages(self.message, self.field).map(view::raw_key_value)
    }

    /// The serialised value, if the attribute is there.
    fn get(&self, key: &[u8]) -> Option<Cow<'a, [u8]>> {
        if let Some((_, value)) = self.changes.iter().find(|(changed, _)| *changed == key) {
            return value.clone();
        }
        self.original().find_map(|(found, value)| (found == key).then_some(Cow::Borrowed(value)))
    }

    fn put(&mut self, key: &'a [u8], value: Option<Cow<'a, [u8]>>) {
        match self.changes.iter_mut().find(|(changed, _)| *changed == key) {
            Some((_, changed)) => *changed = value,
            None => self.changes.push((key, value)),
        }
    }

    /// Replaces the value of an attribute that is there, if `map` gives another.
    fn map(&mut self, key: &'a [u8], map: impl Fn(AnyValue<'_>) -> Option<Vec<u8>>) {
        if let Some(value) = self.get(key)
            && let Some(mapped) = map(AnyValue::parse(&value))
        {
            self.put(key, Some(Cow::Owned(mapped)));
        }
    }

    /// The attributes that are there and have this key or match the pattern; the named one first.
    fn chosen(&self, key: &'a str, pattern: Option<&Regex>) -> Vec<&'a [u8]> {
        let named = Some(key.as_bytes()).filter(|key| !key.is_empty() && self.get(key).is_some());
        let Some(pattern) = pattern else { return named.into_iter().collect() };
        let changed = self.changes.iter().map(|(key, _)| *key);
        let mut matched: Vec<_> = self.original().map(|(key, _)| key).chain(changed).collect();
        matched
            .retain(|key| std::str::from_utf8(key).is_ok_and(|key| pattern.is_match(key)) && self.get(key).is_some());
        matched.sort_unstable();
        matched.dedup();
        named.into_iter().chain(matched).collect()
    }
}
