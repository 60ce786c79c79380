//! `GET /` answers whether every pipeline works: 200 if all are ready, 503 otherwise.
//!
//! ```yaml
//! health_check:
//!   endpoint: localhost:13133
//!   path: /
//! ```
//!
//! The body is the Collector's, with how each pipeline is, and why if it is not well:
//! `{"status":"Server available","upSince":"2026-11-23T14:02:00Z","uptime":"1h2m3s","pipelines":{"traces":{"status":"ready"}}}`

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::serve::{Serving, serve};
use crate::{
    config::{Check, Endpoint, Report, duration},
    otlp::time::rfc3339,
    pipeline::{
        Boxed,
        component::{Context, ExtensionConfig, Running, StartError},
        health::{Health, State},
    },
};

/// The configuration.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where to listen.
    pub endpoint: Endpoint,
    /// Which path answers.
    pub path: String,
}

impl Default for Config {
    fn default() -> Self {
        Self { endpoint: Endpoint::localhost(13133), path: "/".to_owned() }
    }
}

impl Check for Config {
    fn check(&self, report: &mut Report<'_>) {
        let plain = |c: char| c.is_ascii_alphanumeric() || "/-_.~".contains(c);
        if !self.path.starts_with('/') || !self.path.chars().all(plain) {
            report.error("path", "must be a plain path").hint("such as / or /health");
        }
    }
}

impl ExtensionConfig for Config {
    fn start<'a>(&'a self, context: &'a Context) -> Boxed<'a, Result<Box<dyn Running>, StartError>> {
        Box::pin(async move { Ok(Box::new(self.listen(context).await?) as Box<dyn Running>) })
    }
}

impl Config {
    async fn listen(&self, context: &Context) -> Result<Serving, StartError> {
        let health = context.health();
        let since = Since { instant: Instant::now(), wall: SystemTime::now() };
        let router = Router::new().route(&self.path, get(move || std::future::ready(answer(&health, since))));
        serve(&self.endpoint, router, CancellationToken::new(), context).await
    }
}

#[derive(Clone, Copy)]
struct Since {
    instant: Instant,
    wall: SystemTime,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    status: &'static str,
    up_since: String,
    uptime: String,
    pipelines: BTreeMap<String, Pipeline>,
    /// Components that have broken down, and why.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    failed: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Pipeline {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

fn answer(health: &Arc<Health>, since: Since) -> impl IntoResponse + use<> {
    let (pipelines, failed) = (health.states(), health.failures());
    // Extensions start before pipelines: none yet means that none takes anything yet.
    let available =
        failed.is_empty() && !pipelines.is_empty() && pipelines.values().all(|state| *state == State::Ready);
    let pipeline = |state: State| Pipeline {
        status: state.name(),
        reason: match state {
            State::Degraded(reason) | State::Failed(reason) => Some(reason),
            _ => None,
        },
    };
    let wall = since.wall.duration_since(UNIX_EPOCH).unwrap_or_default();
    let body = Body {
        status: if available { "Server available" } else { "Server not available" },
        up_since: rfc3339(u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX)),
        uptime: duration::format(Duration::from_secs(since.instant.elapsed().as_secs())),
        pipelines: pipelines.into_iter().map(|(id, state)| (id, pipeline(state))).collect(),
        failed,
    };
    let status = if available { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(header::CONTENT_TYPE, "application/json")], serde_json::to_string(&body).unwrap_or_default())
}

#[cfg(test)]
mod tests;
