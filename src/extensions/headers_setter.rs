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
//!     additional_auth: bearertokenauth     # another extension that acts first
//! ```
//!
//! Not to be had: `from_context` and `from_attribute`. Requests of many senders leave here as one, so that the headers
//! of any of them would be wrong for the others.

use std::{path::PathBuf, sync::Arc};

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;

use crate::{
    config::{Check, Kind, Report, Secret},
    pipeline::{
        Boxed,
        component::{Context, ExtensionConfig, Running, Shared, StartError},
    },
    transport::{
        auth,
        reloading::{OFTEN, Reloading, Source},
    },
};

/// The configuration.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What is done, in this order.
    pub headers: Vec<Header>,
    /// An extension that acts first.
    pub additional_auth: Option<String>,
}

/// What is done to one header.
#[derive(Clone, Debug, Default, Deserialize)]
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
    /// Of the Collector; refused.
    pub from_context: Option<String>,
    /// Of the Collector; refused.
    pub from_attribute: Option<String>,
    /// Of the Collector, for the two above; refused.
    pub default_value: Option<Secret>,
}

/// How a header is changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
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
        let of_requests = [
            ("from_context", self.from_context.is_some()),
            ("from_attribute", self.from_attribute.is_some()),
            ("default_value", self.default_value.is_some()),
        ];
        for (key, _) in of_requests.into_iter().filter(|(_, given)| *given) {
            report
                .error(
                    key,
                    "is not supported: requests of many senders leave as one, so none of their headers fits all",
                )
                .hint("use value or value_file, and one exporter for each value");
        }
        let given = usize::from(self.value.is_some()) + usize::from(self.value_file.is_some());
        match (self.action, given) {
            (Action::Delete, 0) | (_, 1) => {}
            (Action::Delete, _) => {
                report.error("value", "does nothing: the header is deleted");
            }
            (_, 0) if of_requests.iter().any(|(_, given)| *given) => {}
            (_, 0) => {
                report.error("value", "is missing");
            }
            _ => {
                report.error("value_file", "does not go with value: give one of them");
            }
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
        let value = source.map(|source| {
            let what = format!("header {} of {}", self.key, context.component);
            Reloading::new(what, vec![source], Some(OFTEN), |contents| {
                sensitive(&String::from_utf8_lossy(contents.first().map_or(&[][..], Vec::as_slice)))
            })
        });
        let name = HeaderName::try_from(&self.key).map_err(|error| wrong(error.to_string()))?;
        Ok(Step { action: self.action, name, value: value.transpose().map_err(wrong)? })
    }
}

struct Step {
    action: Action,
    name: HeaderName,
    value: Option<Reloading<HeaderValue>>,
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
        for step in &self.steps {
            let there = headers.contains_key(&step.name);
            match (step.action, &step.value) {
                (Action::Delete, _) => {
                    headers.remove(&step.name);
                }
                (Action::Insert, Some(value)) if !there => {
                    headers.insert(step.name.clone(), value.current().as_ref().clone());
                }
                (Action::Update, Some(value)) if there => {
                    headers.insert(step.name.clone(), value.current().as_ref().clone());
                }
                (Action::Upsert, Some(value)) => {
                    headers.insert(step.name.clone(), value.current().as_ref().clone());
                }
                _ => {}
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
