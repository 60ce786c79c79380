//! `auth` of a component: the extension that knows who may come in, or who we are.
//!
//! ```yaml
//! auth: { authenticator: bearertokenauth }
//! ```
//!
//! An extension offers what it can do under its id; components take it from there when they start.

use std::sync::Arc;

use http::HeaderMap;
use serde::Deserialize;

use crate::{
    config::{Check, Report},
    pipeline::{
        Boxed,
        component::{Context, Shared, StartError},
        outcome::Refusal,
    },
};

/// The configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The id of an extension.
    pub authenticator: String,
}

impl Check for Config {
    fn check(&self, report: &mut Report<'_>) {
        if self.authenticator.is_empty() {
            report.error("authenticator", "is missing: the id of an extension such as bearertokenauth");
        }
    }
}

/// Knows who may come in.
pub trait Server: Send + Sync {
    /// Whether whoever sent these headers may.
    fn authenticate<'a>(&'a self, headers: &'a HeaderMap) -> Boxed<'a, Result<(), Refusal>>;
}

/// Knows who we are.
pub trait Client: Send + Sync {
    /// Says so in the headers of a request; the error says why that is not possible now.
    fn authenticate(&self, headers: &mut HeaderMap) -> Result<(), String>;
}

type Offered<T> = Arc<T>;

fn name(side: &str, extension: &str) -> String {
    format!("transport::auth {side} {extension}")
}

/// Offers `server` under the id of the extension being started.
pub fn offer_server(server: Arc<dyn Server>, context: &Context) {
    context.shared.put::<Offered<dyn Server>>(&name("server", &context.id), Arc::new(server));
}

/// Offers `client` under the id of the extension being started.
pub fn offer_client(client: Arc<dyn Client>, context: &Context) {
    context.shared.put::<Offered<dyn Client>>(&name("client", &context.id), Arc::new(client));
}

/// What the extension `id` offers to exporters.
pub fn client_of(id: &str, shared: &Shared) -> Option<Arc<dyn Client>> {
    Some(Arc::clone(&*shared.get::<Offered<dyn Client>>(&name("client", id))?))
}

impl Config {
    /// Who may come in, for a component that listens.
    pub fn server(&self, context: &Context) -> Result<Arc<dyn Server>, StartError> {
        let found = context.shared.get::<Offered<dyn Server>>(&name("server", &self.authenticator));
        found.map(|found| Arc::clone(&*found)).ok_or_else(|| self.missing("say who may come in", context))
    }

    /// Who we are, for a component that sends.
    pub fn client(&self, context: &Context) -> Result<Arc<dyn Client>, StartError> {
        client_of(&self.authenticator, &context.shared).ok_or_else(|| self.missing("say who we are", context))
    }

    fn missing(&self, what: &str, context: &Context) -> StartError {
        let id = &self.authenticator;
        context.error(format!("auth::authenticator: the extension `{id}` does not run, or cannot {what}"))
    }
}
