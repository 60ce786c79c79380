//! `headers_setter` extension: headers of an exporter's requests, beside its own.
//!
//! ```yaml
//! extensions:
//!   headers_setter:
//!     headers:
//!       - { key: X-Scope-OrgID, value: shop }               # action: upsert
//!       - { action: insert, key: X-Origin, value: gateway } # only if there is none
//!       - { action: update, key: X-Tier, value: gold }      # only if there is one
//!       - { action: upsert, key: X-Key, value_file: /run/secrets/key }   # read again when it changes
//!       - { action: delete, key: User-Agent }
//!       - { key: X-Scope-OrgID, from_context: x-tenant, default_value: nobody }
//!     additional_auth: bearertokenauth     # another extension that acts first
//! ```
//!
//! `from_context` is what the sender said under that name, to a receiver with `include_metadata`. A sender that said nothing,
//! or two different things, gets the default; without one the header is left alone. What is between must not mix senders:
//! `batch` and a queue that batches keep apart those that differ in their `metadata_keys`, and forget all else. A queue on
//! disk does not keep what senders said: `validate` refuses that. Not to be had: `from_attribute`.

use std::{path::PathBuf, sync::Arc};

use http::{HeaderMap, HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    config::{Check, Kind, Report, Secret},
    pipeline::{
        Boxed,
        component::{Context, ExtensionConfig, Running, Shared, StartError},
        metadata::{self, Metadata},
    },
    transport::{
        auth,
        reloading::{OFTEN, Reloading, Source},
    },
};

/// The configuration.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What is done, in this order.
    pub headers: Vec<Header>,
    /// An extension that acts first.
    pub additional_auth: Option<String>,
}

/// What is done to one header.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Header {
    /// How.
    pub action: Action,
    /// Its name.
    pub key: String,
    /// Its value.
    pub value: Option<Secret>,
    /// A file that has its value.
    pub value_file: Option<PathBuf>,
    /// The sender's own header that has its value.
    pub from_context: Option<String>,
    /// Of the Collector; refused.
    pub from_attribute: Option<String>,
    /// Its value for senders that do not say it.
    pub default_value: Option<Secret>,
}

/// How a header is changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// If there is none.
    Insert,
    /// If there is one.
    Update,
    /// In any case.
    #[default]
    Upsert,
    /// Away with it.
    Delete,
}

impl Check for Config {
    fn check(&self, report: &mut Report<'_>) {
        if self.headers.is_empty() {
            report.error("headers", "is empty: there is nothing to do");
        }
        for (index, header) in self.headers.iter().enumerate() {
            report.within(&format!("headers.{index}"), header);
        }
    }
}

impl Check for Header {
    fn check(&self, report: &mut Report<'_>) {
        if HeaderName::try_from(&self.key).is_err() {
            report.error("key", "is not a valid header name");
        }
        if self.from_attribute.is_some() {
            report
                .error("from_attribute", "is not supported: no authenticator tells who a sender is")
                .hint("use from_context with a header that senders set");
        }
        if self.from_context.as_ref().is_some_and(|name| HeaderName::try_from(name).is_err()) {
            report.error("from_context", "is not a valid header name");
        }
        if self.default_value.is_some() && self.from_context.is_none() {
            report.error("default_value", "does nothing without from_context");
        }
        let sources = [self.value.is_some(), self.value_file.is_some(), self.from_context.is_some()];
        match (self.action, sources.into_iter().filter(|given| *given).count()) {
            (Action::Delete, 0) | (Action::Insert | Action::Update | Action::Upsert, 1) => {}
            (Action::Delete, _) => {
                report.error("value", "does nothing: the header is deleted");
            }
            (_, 0) if self.from_attribute.is_some() => {}
            (_, 0) => {
                report.error("value", "is missing");
            }
            _ => {
                report.error("value", "give one of value, value_file and from_context");
            }
        }
        if self.default_value.as_ref().is_some_and(|value| sensitive(value.expose()).is_err()) {
            report.error("default_value", "cannot be sent in a header");
        }
        if self.value.as_ref().is_some_and(|value| sensitive(value.expose()).is_err()) {
            report.error("value", "cannot be sent in a header");
        }
    }
}

fn sensitive(text: &str) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::try_from(text.trim()).map_err(|_| "cannot be sent in a header".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

impl ExtensionConfig for Config {
    fn start<'a>(&'a self, context: &'a Context) -> Boxed<'a, Result<Box<dyn Running>, StartError>> {
        Box::pin(async move {
            let steps: Result<Vec<_>, _> = self.headers.iter().map(|header| header.step(context)).collect();
            let setter = Setter { steps: steps?, first: self.additional_auth.clone(), shared: context.shared.clone() };
            auth::offer_client(Arc::new(setter), context);
            Ok(Box::new(super::Nothing) as Box<dyn Running>)
        })
    }

    fn authenticates(&self, whom: Kind) -> bool {
        whom == Kind::Exporter
    }

    fn asks_senders(&self) -> bool {
        self.headers.iter().any(|header| header.from_context.is_some())
    }

    fn authenticator(&self) -> Option<(&'static str, &str)> {
        Some(("additional_auth", self.additional_auth.as_deref()?))
    }
}

impl Header {
    fn step(&self, context: &Context) -> Result<Step, StartError> {
        let wrong = |reason: String| context.error(format!("headers: {}: {reason}", self.key));
        let source = match (&self.value, &self.value_file) {
            (Some(value), _) => Some(Source::Inline(value.expose().as_bytes().to_vec())),
            (None, Some(path)) => Some(Source::File(context.base.join(path))),
            (None, None) => None,
        };
        let kept = source.map(|source| {
            let what = format!("header {} of {}", self.key, context.component);
            Reloading::new(what, vec![source], Some(OFTEN), |contents| {
                sensitive(&String::from_utf8_lossy(contents.first().map_or(&[][..], Vec::as_slice)))
            })
        });
        let name = HeaderName::try_from(&self.key).map_err(|error| wrong(error.to_string()))?;
        let value = match (kept, &self.from_context) {
            (Some(kept), _) => Some(Value::Kept(kept.map_err(wrong)?)),
            (None, Some(said)) => {
                let otherwise = self.default_value.as_ref().map(|value| sensitive(value.expose()));
                Some(Value::Said { name: said.clone(), otherwise: otherwise.transpose().map_err(wrong)? })
            }
            (None, None) => None,
        };
        Ok(Step { action: self.action, name, value })
    }
}

struct Step {
    action: Action,
    name: HeaderName,
    value: Option<Value>,
}

/// Where a value comes from.
enum Value {
    /// From the configuration or a file.
    Kept(Reloading<HeaderValue>),
    /// From the sender, under this name.
    Said { name: String, otherwise: Option<HeaderValue> },
}

impl Value {
    fn now(&self, sender: Option<&Metadata>) -> Option<HeaderValue> {
        match self {
            Self::Kept(value) => Some(value.current().as_ref().clone()),
            Self::Said { name, otherwise } => match sender.map(|sender| sender.get(name)) {
                Some([said]) => sensitive(said).ok(),
                _ => None,
            }
            .or_else(|| otherwise.clone()),
        }
    }
}

struct Setter {
    steps: Vec<Step>,
    /// Another extension, which may start after this one.
    first: Option<String>,
    shared: Shared,
}

impl auth::Client for Setter {
    fn authenticate(&self, headers: &mut HeaderMap) -> Result<(), String> {
        if let Some(id) = &self.first {
            let first = auth::client_of(id, &self.shared);
            first.ok_or_else(|| format!("the extension `{id}` does not run"))?.authenticate(headers)?;
        }
        let sender = metadata::current();
        for step in &self.steps {
            let there = headers.contains_key(&step.name);
            let wanted = match step.action {
                Action::Insert => !there,
                Action::Update => there,
                Action::Upsert => true,
                Action::Delete => {
                    headers.remove(&step.name);
                    false
                }
            };
            let value = step.value.as_ref().filter(|_| wanted).and_then(|value| value.now(sender.as_deref()));
            if let Some(value) = value {
                headers.insert(step.name.clone(), value);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{extensions::bearertokenauth, pipeline::probe};

    async fn start<C>(id: &str, yaml: &str, context: &Context)
    where
        C: serde::de::DeserializeOwned + Default + Check + ExtensionConfig,
    {
        let (config, wrong) = probe::config::<C>(Kind::Extension, yaml);
        assert_eq!(wrong, "");
        config.start(&Context { id: id.to_owned(), ..context.clone() }).await.unwrap();
    }

    #[tokio::test]
    async fn headers_are_changed_in_order_after_the_other_extension() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("key"), "from-file\n").unwrap();
        let context = probe::context("headers_setter", directory.path());
        let yaml = "{headers: [{key: a, value: one}, {action: insert, key: a, value: two}, \
                    {action: insert, key: b, value: three}, {action: update, key: c, value: four}, \
                    {action: update, key: b, value: five}, {action: delete, key: d}, {key: e, value_file: key}, \
                    {action: update, key: authorization, value: mine}], additional_auth: bearertokenauth}";
        start::<Config>("headers_setter", yaml, &context).await;
        let client = auth::client_of("headers_setter", &context.shared).unwrap();
        let mut headers = HeaderMap::from_iter([(HeaderName::from_static("d"), HeaderValue::from_static("away"))]);
        assert!(client.authenticate(&mut headers.clone()).unwrap_err().contains("bearertokenauth"), "not yet there");

        start::<bearertokenauth::Config>("bearertokenauth", "{token: secret}", &context).await;
        client.authenticate(&mut headers).unwrap();
        let mut set: Vec<_> =
            headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap().to_owned())).collect();
        set.sort();
        let expected = [("a", "one"), ("authorization", "mine"), ("b", "five"), ("e", "from-file")];
        assert_eq!(set, expected.map(|(name, value)| (name, value.to_owned())));
        assert!(headers.values().all(HeaderValue::is_sensitive), "none is shown by whoever logs them");
    }
}
