//! Removes attributes that are not allowed, and masks what must not be read: card numbers, tokens, e-mail addresses.
//!
//! ```yaml
//! redaction:
//!   allow_all_keys: false              # true: no attribute is removed for its key
//!   allowed_keys: [http.request.method, url.path]      # empty: all attributes are removed
//!   ignored_keys: [safe]               # stay as they are; also ignored_key_patterns
//!   blocked_key_patterns: ["(?i)token"]                # the value of a matching key is masked whole
//!   blocked_values: ["4[0-9]{12}(?:[0-9]{3})?"]        # what matches in a value is masked
//!   allowed_values: ["@example[.]com$"]                # a value that matches is not looked at further
//!   redact_all_types: false            # true: values that are not text are looked at as text
//!   masking_string: "****"
//!   hash_function: hmac-sha256         # instead of the masking string: md5, sha1, sha3, hmac-sha256, hmac-sha512
//!   hmac_key: ${env:REDACTION_KEY}     # for the hmacs, at least 32 and 64 bytes
//!   summary: silent                    # or info, debug: attributes that say how many, and which
//! ```
//!
//! It looks at the attributes of resources, scopes, spans, span events, data points and log records, and at the bodies of
//! log records with the keys inside them. Links, exemplars, and names are not looked at, as in the Collector. Nothing can
//! fail on the way: a pattern that is no regular expression stops the start.

mod mask;
pub(super) mod work;

use std::sync::Arc;

use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::{mask::Mask, work::Redactor};
use crate::{
    config::{Check, Report, Secret},
    otlp::{
        Signal,
        edit::{Edit, Keep, Patch, edit},
        view::{self, ResourceGroup, ScopeGroup},
        wire::Value,
    },
    pattern,
    pipeline::{
        Batch, Boxed, Consumer, Next, Outcome,
        component::{Context, ProcessorConfig, StartError},
    },
};

/// The configuration; the keys are the Collector's.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// No attribute is removed for its key.
    pub allow_all_keys: bool,
    /// Attributes that stay; all others are removed.
    pub allowed_keys: Vec<String>,
    /// Attributes that stay as they are.
    pub ignored_keys: Vec<String>,
    /// Likewise, by pattern.
    pub ignored_key_patterns: Vec<String>,
    /// Attributes whose value is masked whole.
    pub blocked_key_patterns: Vec<String>,
    /// What is masked in values.
    pub blocked_values: Vec<String>,
    /// Values that are not masked.
    pub allowed_values: Vec<String>,
    /// Looks at values that are not text, too.
    pub redact_all_types: bool,
    /// What stands for what was masked; `****` if empty.
    pub masking_string: String,
    /// Hashes instead of masking.
    pub hash_function: HashFunction,
    /// The key for the hmacs.
    pub hmac_key: Secret,
    /// What the processor says about its work.
    pub summary: Summary,
}

/// What a masked text becomes.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum HashFunction {
    /// The masking string.
    #[default]
    #[serde(rename = "")]
    None,
    /// Weak: whoever can guess the text can tell that it was this.
    Md5,
    /// Likewise.
    Sha1,
    /// SHA3-256; likewise.
    Sha3,
    /// HMAC with SHA-256.
    #[serde(rename = "hmac-sha256")]
    HmacSha256,
    /// HMAC with SHA-512.
    #[serde(rename = "hmac-sha512")]
    HmacSha512,
}

/// What the processor says about its work, in attributes named `redaction.…`.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Summary {
    /// Nothing.
    #[default]
    Silent,
    /// How many attributes.
    Info,
    /// How many, and which.
    Debug,
}

impl HashFunction {
    /// Bytes the key must have, if it needs one.
    const fn key_len(self) -> Option<usize> {
        match self {
            Self::HmacSha256 => Some(32),
            Self::HmacSha512 => Some(64),
            Self::None | Self::Md5 | Self::Sha1 | Self::Sha3 => None,
        }
    }
}

impl Check for Config {
    fn check(&self, report: &mut Report<'_>) {
        for (name, patterns) in self.patterns() {
            for (index, text) in patterns.iter().enumerate() {
                if let Err(error) = pattern::compile(text) {
                    report.error(&format!("{name}.{index}"), format!("is not a regular expression: {error}"));
                }
            }
        }
        match self.hash_function.key_len() {
            Some(len) if self.hmac_key.expose().len() < len => {
                report.error("hmac_key", format!("must have at least {len} bytes for this hash_function"));
            }
            None if !self.hmac_key.is_empty() => {
                report.error("hmac_key", "is for the hash_functions hmac-sha256 and hmac-sha512");
            }
            _ => {}
        }
        if self.hash_function != HashFunction::None && !self.masking_string.is_empty() {
            report.error("masking_string", "has no meaning with a hash_function");
        }
        if self.allow_all_keys && !self.allowed_keys.is_empty() {
            report.warning("allowed_keys", "has no meaning with allow_all_keys");
        }
    }
}

impl Config {
    const fn patterns(&self) -> [(&'static str, &Vec<String>); 4] {
        [
            ("ignored_key_patterns", &self.ignored_key_patterns),
            ("blocked_key_patterns", &self.blocked_key_patterns),
            ("blocked_values", &self.blocked_values),
            ("allowed_values", &self.allowed_values),
        ]
    }

    /// The rules, ready to apply.
    pub(super) fn redactor(&self) -> Result<Redactor, String> {
        let patterns =
            |texts: &[String]| texts.iter().map(|text| pattern::compile(text)).collect::<Result<Vec<Regex>, _>>();
        let blocked_values = patterns(&self.blocked_values)?;
        Ok(Redactor {
            allowed: (!self.allow_all_keys).then(|| self.allowed_keys.iter().cloned().collect()),
            ignored: self.ignored_keys.iter().cloned().collect(),
            ignored_keys: patterns(&self.ignored_key_patterns)?,
            blocked_keys: patterns(&self.blocked_key_patterns)?,
            any_blocked_value: pattern::any_of(&blocked_values)?,
            blocked_values,
            allowed_values: patterns(&self.allowed_values)?,
            all_types: self.redact_all_types,
            mask: Mask::new(self.hash_function, &self.masking_string, self.hmac_key.expose())?,
            summary: self.summary,
        })
    }
}

impl ProcessorConfig for Config {
    fn build(&self, signal: Signal, next: Next, context: &Context) -> Result<Next, StartError> {
        let redactor = self.redactor().map_err(|reason| context.error(reason))?;
        Ok(Arc::new(Redaction { signal, redactor, next }))
    }
}

struct Redaction {
    signal: Signal,
    redactor: Redactor,
    next: Next,
}

impl Consumer for Redaction {
    fn consume(&self, batch: Batch) -> Boxed<'_, Outcome> {
        self.next.consume(edit(&batch, &mut Pass { signal: self.signal, redactor: &self.redactor }))
    }
}

struct Pass<'a> {
    signal: Signal,
    redactor: &'a Redactor,
}

/// `attributes` of an event.
const EVENT_ATTRIBUTES: u32 = 3;

impl Edit for Pass<'_> {
    fn resource(&mut self, group: &ResourceGroup<'_>, patch: &mut Patch) {
        self.redactor.attributes(group.resource(), patch);
    }

    fn scope(&mut self, group: &ScopeGroup<'_>, patch: &mut Patch) -> Keep {
        self.redactor.attributes(group.scope(), patch);
        Keep::Yes
    }

    fn record(&mut self, _index: usize, record: &[u8], patch: &mut Patch) -> Keep {
        match self.signal {
            Signal::Logs => self.redactor.log(record, patch),
            Signal::Traces => {
                self.redactor.attributes(record, patch);
                self.events(record, patch);
            }
            Signal::Metrics => self.redactor.attributes(record, patch),
        }
        Keep::Yes
    }
}

impl Pass<'_> {
    fn events(&self, span: &[u8], patch: &mut Patch) {
        let mut inner = Patch::new(EVENT_ATTRIBUTES);
        let (mut events, mut changed) = (Vec::new(), false);
        for event in view::messages(span, view::SPAN_EVENTS) {
            inner.begin(EVENT_ATTRIBUTES);
            self.redactor.attributes(event, &mut inner);
            let mut out = Vec::with_capacity(event.len());
            changed |= inner.apply(event, &mut out);
            events.push(out);
        }
        if changed {
            patch.remove_field(view::SPAN_EVENTS);
            for event in &events {
                patch.add_field(view::SPAN_EVENTS, Value::Bytes(event));
            }
        }
    }
}

#[cfg(test)]
mod tests;
