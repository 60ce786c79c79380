//! What is kept, and sent in alerts, is redacted first: the `redaction` processor's rules, with defaults that are safe.

use std::{borrow::Cow, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    config::{Check, Report, Secret},
    detect::{Mask, verdict::Verdict},
    otlp::edit::Patch,
    processors::redaction::{self, HashFunction, work::Redactor},
};

/// Which attributes are kept of spans and resources, and what is masked in them and in all texts of an incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Redaction {
    /// The only attributes kept of spans and resources, beside those that name the function; empty: all are.
    pub allowed_keys: Vec<String>,
    /// Attributes whose value is masked whole.
    pub blocked_key_patterns: Vec<String>,
    /// What is masked in values and in the names of what was touched.
    pub blocked_values: Vec<String>,
    /// Values that are not masked.
    pub allowed_values: Vec<String>,
    /// What stands for what was masked.
    pub masking_string: String,
    /// Hashes instead of masking.
    pub hash_function: HashFunction,
    /// The key for the hmacs.
    pub hmac_key: Secret,
}

impl Default for Redaction {
    fn default() -> Self {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Self {
            allowed_keys: Vec::new(),
            blocked_key_patterns: texts(&[
                r"(?i)pass(word|wd|phrase)|secret|token|credential|authorization|cookie|private[-_.]?key",
                r"(?i)api[-_.]?key|access[-_.]?key|session[-_.]?(id|key)|signature|^enduser\.|^user\.(email|full_name)",
            ]),
            blocked_values: texts(&[
                // What a URL carries before its host; e-mail addresses.
                r"://[^/\s:@]+:[^/\s@]+@",
                r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}",
                // JSON web tokens; `Bearer`, `Basic`.
                r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
                r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}",
                // Keys of AWS, GitHub, Slack, Stripe and Google; private keys.
                r"\b(AKIA|ASIA)[0-9A-Z]{16}\b",
                r"\b(gh[pousr]_[A-Za-z0-9]{20,}|xox[a-z]-[A-Za-z0-9-]{10,}|sk_(live|test)_[A-Za-z0-9]{10,}|AIza[A-Za-z0-9_-]{30,})",
                r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*",
                // `password=…`
                r"(?i)\b(password|passwd|pwd|secret|token|api[-_]?key|signature)=[^\s&;,]+",
                // Card numbers.
                r"\b[3-6][0-9]{3}[ -]?[0-9]{4}[ -]?[0-9]{4}[ -]?[0-9]{3,4}\b",
            ]),
            allowed_values: Vec::new(),
            masking_string: "[redacted]".to_owned(),
            hash_function: HashFunction::None,
            hmac_key: Secret::default(),
        }
    }
}

impl Check for Redaction {
    fn check(&self, report: &mut Report<'_>) {
        self.rules().check(report);
    }
}

impl Redaction {
    fn rules(&self) -> redaction::Config {
        let hashes = self.hash_function != HashFunction::None;
        redaction::Config {
            allow_all_keys: self.allowed_keys.is_empty(),
            allowed_keys: self.allowed_keys.clone(),
            // What names the function is not up for redaction: an incident about nobody helps nobody.
            ignored_key_patterns: vec![r"^(cloud\.|faas\.|service\.|deployment\.)".to_owned()],
            blocked_key_patterns: self.blocked_key_patterns.clone(),
            blocked_values: self.blocked_values.clone(),
            allowed_values: self.allowed_values.clone(),
            // A hash says more than the default mask; naming both is the check's business.
            masking_string: if hashes && self.masking_string == Self::default().masking_string {
                String::new()
            } else {
                self.masking_string.clone()
            },
            hash_function: self.hash_function,
            hmac_key: self.hmac_key.clone(),
            ..redaction::Config::default()
        }
    }

    /// The rules, ready to apply.
    pub fn ready(&self) -> Result<Redact, String> {
        Ok(Redact(Arc::new(self.rules().redactor()?)))
    }
}

/// Applies the rules.
#[derive(Clone)]
pub struct Redact(Arc<Redactor>);

impl std::fmt::Debug for Redact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redact")
    }
}

impl Redact {
    /// A text without what must not be read.
    pub fn text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.0.masked(text).map_or(Cow::Borrowed(text), Cow::Owned)
    }

    /// For the names of keys.
    pub fn mask(&self) -> Mask {
        let rules = self.0.clone();
        Mask::new(move |name| rules.masked(name))
    }

    /// What a verdict names and shows.
    pub fn verdict(&self, verdict: &mut Verdict) {
        for row in &mut verdict.evidence {
            let texts = row.key.iter_mut().map(|key| &mut key.name).chain([&mut row.observed, &mut row.usual]);
            for text in texts {
                if let Some(masked) = self.0.masked(text) {
                    *text = masked;
                }
            }
        }
    }

    /// A serialised message whose field `attributes` has attributes.
    pub fn message(&self, message: &[u8], attributes: u32) -> Vec<u8> {
        let mut patch = Patch::new(attributes);
        self.0.attributes(message, &mut patch);
        let mut out = Vec::with_capacity(message.len());
        patch.apply(message, &mut out);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::{any_value, view};

    fn redact(rules: &Redaction) -> Redact {
        rules.ready().unwrap()
    }

    #[test]
    fn secrets_tokens_and_addresses_are_masked_and_what_is_needed_is_not() {
        let redact = redact(&Redaction::default());
        #[rustfmt::skip]
        let table = [
            ("e-mail",        "mail to ann.lee+x@mail.example.com", "mail to [redacted]"),
            ("JWT",           "t=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.sig-_x", "t=[redacted]"),
            ("bearer",        "Bearer abcdefgh12345678", "[redacted]"),
            ("AWS key",       "AKIAIOSFODNN7EXAMPLE", "[redacted]"),
            ("in a URL",      "https://ann:pw@host.example/x", "https[redacted]host.example/x"),
            ("query",         "GET /x?token=abc&y=1", "GET /x?[redacted]&y=1"),
            ("card",          "4111 1111 1111 1111", "[redacted]"),
            ("destination",   "185.1.2.3:443", "185.1.2.3:443"),
            ("operation",     "secretsmanager.GetSecretValue", "secretsmanager.GetSecretValue"),
            ("statement",     "SELECT * FROM users WHERE id = ?", "SELECT * FROM users WHERE id = ?"),
            ("template",      "user <*> logged in", "user <*> logged in"),
            ("arn",           "arn:aws:iam::123456789012:role/x", "arn:aws:iam::123456789012:role/x"),
        ];
        for (row, text, expected) in table {
            assert_eq!(redact.text(text), expected, "{row}");
        }
    }

    #[test]
    fn attributes_are_masked_by_key_dropped_or_hashed_as_configured() {
        let mut resource = Vec::new();
        for (key, value) in [("faas.name", "f"), ("http.request.header.authorization", "x"), ("db.user", "ann")] {
            let mut list = Vec::new();
            any_value::put_entry(&mut list, key, &any_value::text(value));
            resource.extend_from_slice(&list);
        }
        let shown = |rules: Redaction| {
            let out = redact(&rules).message(&resource, 1);
            let pairs = view::messages(&out, 1).map(view::key_value);
            pairs.map(|(_, value)| value.text().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(shown(Redaction::default()), ["f", "ann", "[redacted]"]);
        let allow = Redaction { allowed_keys: vec!["db.user".to_owned()], ..Redaction::default() };
        assert_eq!(shown(allow), ["f", "ann"]);
        let hash = Redaction {
            hash_function: HashFunction::HmacSha256,
            hmac_key: Secret::new("k".repeat(32)),
            ..Redaction::default()
        };
        let hashed = shown(hash);
        assert_eq!((hashed[0].as_str(), hashed[2].len()), ("f", 64));
    }
}
