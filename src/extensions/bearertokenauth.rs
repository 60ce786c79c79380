//! `bearertokenauth` extension: who shows one of our tokens may come in; exporters show the first.
//!
//! ```yaml
//! extensions:
//!   bearertokenauth:
//!     header: Authorization
//!     scheme: Bearer          # what stands before the token; may be empty
//!     token: ${env:TOKEN}     # or
//!     tokens: []              # or
//!     filename: /run/secrets/token   # a token on each line; read again within a second when it changes
//! ```
//!
//! Tokens are compared in constant time, and never shown.

use std::{path::PathBuf, sync::Arc};

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;

use crate::{
    config::{Check, Kind, Report, Secret},
    pipeline::{
        Boxed,
        component::{Context, ExtensionConfig, Running, StartError},
        outcome::Refusal,
    },
    transport::{
        auth,
        reloading::{OFTEN, Reloading, Source},
    },
};

/// The configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The header a token is shown in.
    pub header: String,
    /// What stands before it.
    pub scheme: String,
    /// A token.
    pub token: Secret,
    /// Several tokens.
    pub tokens: Vec<Secret>,
    /// A file with a token on each line.
    pub filename: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            header: "Authorization".to_owned(),
            scheme: "Bearer".to_owned(),
            token: Secret::default(),
            tokens: Vec::new(),
            filename: None,
        }
    }
}

impl Check for Config {
    fn check(&self, report: &mut Report<'_>) {
        if HeaderName::try_from(&self.header).is_err() {
            report.error("header", "is not a valid header name");
        }
        if HeaderValue::try_from(&self.scheme).is_err() {
            report.error("scheme", "cannot be sent in a header");
        }
        let given = [!self.token.is_empty(), !self.tokens.is_empty(), self.filename.is_some()];
        match given.iter().filter(|given| **given).count() {
            0 => {
                report.error("", "there is no token: set token, tokens or filename");
            }
            1 => {}
            _ => {
                report.error("", "set one of token, tokens and filename");
            }
        }
        for (index, _) in self.tokens.iter().enumerate().filter(|(_, token)| token.is_empty()) {
            report.error(&format!("tokens.{index}"), "is empty");
        }
        if std::iter::once(&self.token).chain(&self.tokens).any(|token| self.shown(token.expose()).is_none()) {
            report.error("", "a token cannot be sent in a header");
        }
    }
}

impl Config {
    /// A token as it is shown in the header.
    fn shown(&self, token: &str) -> Option<HeaderValue> {
        let text = if self.scheme.is_empty() { token.to_owned() } else { format!("{} {token}", self.scheme) };
        let mut value = HeaderValue::try_from(text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    fn source(&self, context: &Context) -> Source {
        if let Some(path) = &self.filename {
            return Source::File(context.base.join(path));
        }
        let inline: Vec<&str> = std::iter::once(&self.token).chain(&self.tokens).map(Secret::expose).collect();
        Source::Inline(inline.join("\n").into_bytes())
    }
}

impl ExtensionConfig for Config {
    fn start<'a>(&'a self, context: &'a Context) -> Boxed<'a, Result<Box<dyn Running>, StartError>> {
        Box::pin(async move {
            let config = self.clone();
            let what = format!("tokens of {}", context.component);
            let tokens = Reloading::new(what, vec![self.source(context)], Some(OFTEN), move |contents| {
                let text = contents.first().map(|text| String::from_utf8_lossy(text)).unwrap_or_default();
                let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
                let shown: Option<Vec<_>> = lines.map(|token| config.shown(token)).collect();
                shown.filter(|shown| !shown.is_empty()).ok_or_else(|| "there is no usable token in it".to_owned())
            });
            let header = HeaderName::try_from(&self.header).map_err(|error| context.error(error.to_string()))?;
            let tokens = Arc::new(Tokens {
                header,
                challenge: if self.scheme.is_empty() { "Bearer".to_owned() } else { self.scheme.clone() },
                known: tokens.map_err(|reason| context.error(format!("filename: {reason}")))?,
            });
            auth::offer_server(tokens.clone(), context);
            auth::offer_client(tokens, context);
            Ok(Box::new(super::Nothing) as Box<dyn Running>)
        })
    }

    fn authenticates(&self, _whom: Kind) -> bool {
        true
    }
}

struct Tokens {
    header: HeaderName,
    challenge: String,
    /// As they are shown; at least one.
    known: Reloading<Vec<HeaderValue>>,
}

impl Tokens {
    fn check(&self, headers: &HeaderMap) -> Result<(), &'static str> {
        let shown = headers.get(&self.header).ok_or("no token was shown")?;
        // All are compared, so that time tells nothing.
        let known = self.known.current().iter().fold(false, |known, token| known | same(token, shown));
        if known { Ok(()) } else { Err("the token is not known here") }
    }
}

fn same(a: &HeaderValue, b: &HeaderValue) -> bool {
    super::same(a.as_bytes(), b.as_bytes())
}

impl auth::Server for Tokens {
    fn authenticate<'a>(&'a self, headers: &'a HeaderMap) -> Boxed<'a, Result<(), Refusal>> {
        let checked = self.check(headers).map_err(|reason| Refusal::Unauthenticated {
            reason: reason.to_owned(),
            challenge: self.challenge.clone(),
        });
        Box::pin(std::future::ready(checked))
    }
}

impl auth::Client for Tokens {
    fn authenticate(&self, headers: &mut HeaderMap) -> Result<(), String> {
        if let Some(token) = self.known.current().first() {
            headers.insert(self.header.clone(), token.clone());
        }
        Ok(())
    }
}
