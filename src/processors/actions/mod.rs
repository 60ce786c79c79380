//! The list of attribute actions that the `attributes` and the `resource` processor share, with the Collector's keys
//! and meaning.
//!
//! Actions run in order, each on what the ones before it have left. One that does not apply — the attribute is not
//! there, is not text, cannot be converted — changes nothing.

mod convert;
mod step;

use serde::Deserialize;

pub use self::step::Steps;
use crate::{
    config::{Check, Report},
    otlp::any_value::from_json,
    pattern,
};

/// One entry of the list.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Action {
    /// The attribute to act on.
    pub key: String,
    /// `insert`, `update`, `upsert`: the value to set.
    pub value: Option<serde_json::Value>,
    /// `insert`, `update`, `upsert`: the attribute to take the value from.
    pub from_attribute: String,
    /// `insert`, `update`, `upsert`: the value if that attribute is not there.
    pub default_value: Option<serde_json::Value>,
    /// `delete`, `hash`: which keys; `extract`: what to look for in the value.
    pub pattern: String,
    /// What to do; required.
    #[expect(clippy::struct_field_names, reason = "the Collector's key")]
    pub action: Option<Verb>,
    /// `convert`: to what.
    pub converted_type: Option<Target>,
}

/// What an action does.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// Sets the attribute unless it is there.
    #[serde(alias = "INSERT")]
    Insert,
    /// Sets the attribute if it is there.
    #[serde(alias = "UPDATE")]
    Update,
    /// Sets the attribute.
    #[serde(alias = "UPSERT")]
    Upsert,
    /// Removes the attribute and those whose key matches the pattern.
    #[serde(alias = "DELETE")]
    Delete,
    /// Replaces the value, and those whose key matches the pattern, by its SHA-256 in hexadecimal digits.
    #[serde(alias = "HASH")]
    Hash,
    /// Sets attributes named after the pattern's groups to what they match in the value.
    #[serde(alias = "EXTRACT")]
    Extract,
    /// Changes the value's type.
    #[serde(alias = "CONVERT")]
    Convert,
}

/// What a value can be converted to.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// A signed integer.
    Int,
    /// A float.
    Double,
    /// Text.
    String,
    /// True or false.
    Bool,
}

impl Verb {
    const fn name(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Upsert => "upsert",
            Self::Delete => "delete",
            Self::Hash => "hash",
            Self::Extract => "extract",
            Self::Convert => "convert",
        }
    }

    const fn sets(self) -> bool {
        matches!(self, Self::Insert | Self::Update | Self::Upsert)
    }

    /// Whether the pattern chooses keys, and may stand for `key`.
    const fn by_pattern(self) -> bool {
        matches!(self, Self::Delete | Self::Hash)
    }
}

impl Check for Action {
    fn check(&self, report: &mut Report<'_>) {
        let Some(verb) = self.action else {
            report.error("action", "is missing").hint("insert, update, upsert, delete, hash, extract or convert");
            return;
        };
        let name = verb.name();
        if self.key.is_empty() && verb.by_pattern() && self.pattern.is_empty() {
            report.error("key", format!("{name} needs a key, a pattern of keys, or both"));
        } else if self.key.is_empty() && !verb.by_pattern() {
            report.error("key", format!("{name} needs a key"));
        }
        let sources = usize::from(self.value.is_some()) + usize::from(!self.from_attribute.is_empty());
        if verb.sets() && (sources > 1 || sources == 0 && self.default_value.is_none()) {
            report.error("", format!("{name} needs either value or from_attribute"));
        }
        if self.value.is_some() && self.default_value.is_some() {
            report.warning("default_value", "does nothing: `value` is always there");
        }
        if verb == Verb::Extract && self.pattern.is_empty() {
            report.error("pattern", "extract needs a pattern").hint("such as ^/orders/(?P<order_id>[^/]+)");
        }
        if verb == Verb::Convert && self.converted_type.is_none() {
            report.error("converted_type", "convert needs a type").hint("int, double, string or bool");
        }
        #[rustfmt::skip]
        let unused = [
            ("value",          self.value.is_some(),            verb.sets()),
            ("from_attribute", !self.from_attribute.is_empty(), verb.sets()),
            ("default_value",  self.default_value.is_some(),    verb.sets()),
            ("pattern",        !self.pattern.is_empty(),        verb.by_pattern() || verb == Verb::Extract),
            ("converted_type", self.converted_type.is_some(),   verb == Verb::Convert),
        ];
        for (key, set, used) in unused {
            if set && !used {
                report.error(key, format!("has no meaning for {name}"));
            }
        }
        self.check_pattern(verb, report);
        for (key, value) in [("value", &self.value), ("default_value", &self.default_value)] {
            if let Some(value) = value
                && from_json(value).is_none()
            {
                report
                    .error(key, "holds a number that no attribute can hold")
                    .hint("whole numbers have 64 bits, signed");
            }
        }
    }
}

impl Action {
    fn check_pattern(&self, verb: Verb, report: &mut Report<'_>) {
        if self.pattern.is_empty() {
            return;
        }
        match pattern::compile(&self.pattern) {
            Err(error) => {
                report.error("pattern", format!("is not a regular expression: {error}"));
            }
            Ok(regex) if verb == Verb::Extract => {
                let mut groups = regex.capture_names().skip(1).peekable();
                if groups.peek().is_none() {
                    report.error("pattern", "has no group").hint("such as (?P<order_id>[0-9]+)");
                } else if groups.any(|name| name.is_none()) {
                    report
                        .error("pattern", "has a group without a name")
                        .hint("name it, (?P<name>…), or do not let it capture, (?:…)");
                }
            }
            Ok(_) => {}
        }
    }
}

/// Checks the list under `path`.
pub fn check(path: &str, actions: &[Action], report: &mut Report<'_>) {
    if actions.is_empty() {
        report.error(path, "needs at least one action");
    }
    for (index, action) in actions.iter().enumerate() {
        report.within(&format!("{path}.{index}"), action);
    }
}

#[cfg(test)]
mod tests;
