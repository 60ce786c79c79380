//! `zpages` extension: pages about the running gateway, for a person with a browser and no dashboard.
//!
//! ```yaml
//! zpages:
//!   endpoint: localhost:55679
//! ```
//!
//! - `/debug/servicez`: version, uptime, what it costs, what came in and went out;
//! - `/debug/pipelinez`: every pipeline, its components, its health and why;
//! - `/debug/extensionz`: the extensions;
//! - `/debug/tracez`: how long processors take, what exporters have in flight and in their queues, and the latest
//!   warnings and errors. Spans themselves are not kept: `service::telemetry::traces` sends them where they can be read.
//!
//! The pages load nothing from anywhere and change nothing. They show names from the configuration, not telemetry.

mod pages;

use std::{sync::Arc, time::Instant};

use axum::{
    Router,
    http::header,
    response::{IntoResponse, Redirect},
    routing::get,
};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use self::pages::Pages;
use super::serve::{Serving, serve};
use crate::{
    config::{Check, Endpoint},
    pipeline::{
        Boxed,
        component::{Context, ExtensionConfig, Running, StartError},
    },
};

/// Nothing is loaded, whatever a name contains.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";

/// The configuration.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where to listen.
    pub endpoint: Endpoint,
}

impl Default for Config {
    fn default() -> Self {
        Self { endpoint: Endpoint::localhost(55679) }
    }
}

impl Check for Config {}

impl ExtensionConfig for Config {
    fn start<'a>(&'a self, context: &'a Context) -> Boxed<'a, Result<Box<dyn Running>, StartError>> {
        Box::pin(async move { Ok(Box::new(self.listen(context).await?) as Box<dyn Running>) })
    }
}

impl Config {
    async fn listen(&self, context: &Context) -> Result<Serving, StartError> {
        let pages =
            Arc::new(Pages { health: context.health(), metrics: context.metrics.clone(), since: Instant::now() });
        let router = Router::new()
            .route("/", get(|| async { Redirect::temporary("/debug/servicez") }))
            .route("/debug", get(|| async { Redirect::temporary("/debug/servicez") }))
            .route("/debug/servicez", page(&pages, Pages::service))
            .route("/debug/pipelinez", page(&pages, Pages::pipelines))
            .route("/debug/extensionz", page(&pages, Pages::extensions))
            .route("/debug/tracez", page(&pages, Pages::trace));
        serve(&self.endpoint, router, CancellationToken::new(), context).await
    }
}

fn page(pages: &Arc<Pages>, render: fn(&Pages) -> String) -> axum::routing::MethodRouter {
    let pages = pages.clone();
    get(move || {
        let headers = [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::CACHE_CONTROL, "no-store"),
        ];
        std::future::ready((headers, render(&pages)).into_response())
    })
}

#[cfg(test)]
mod tests;
