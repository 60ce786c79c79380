//! `grafana_annotations` exporter: each incident as a region on Grafana's dashboards, from its first invocation to its end.
//!
//! ```yaml
//! grafana_annotations:
//!   endpoint: https://grafana.example.com
//!   token: ${env:GRAFANA_TOKEN}     # of a service account that may create and write annotations
//!   dashboard_uid: ""               # on one dashboard only
//!   panel_id: 0                     # on one of its panels only
//!   tags: [sekisho]
//!   minimum_tier: queue             # evidence, queue, page
//!   links: { trace: "https://grafana.example.com/explore?trace={trace_id}" }
//!   tls: {}
//!   timeout: 10s
//!   sending_queue: {}
//!   retry_on_failure: {}
//! ```
//!
//! Opened makes an annotation; updates and the end change its text and move its end. Grafana numbers annotations itself
//! and does not deduplicate: the exporter tags each with the incident's id and looks there before it makes one, so that
//! neither a restart nor a lost answer makes a second.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use reqwest::{Client, Url};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    alert::{
        Alert, State, Tier,
        links::{Links, check_links, links},
        send::{Deliver, Terms, check_sending, in_order, patient, sending},
        text,
    },
    client::{Answer, check_endpoint, check_secret, check_timeout, client, fetch, secret_header},
    tls,
};
use crate::{
    config::{Check, Report, Secret},
    pipeline::{
        Boxed, Next, Outcome,
        component::{Context, ExporterConfig, StartError},
        queue, retry,
    },
};

/// Numbers of annotations remembered; what is forgotten is looked for.
const MOST_KNOWN: usize = 10_000;

/// The configuration.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Grafana's URL.
    pub endpoint: String,
    /// Of a service account.
    pub token: Secret,
    /// The dashboard to annotate; empty for every one that asks for the tags.
    pub dashboard_uid: String,
    /// The panel of that dashboard; 0 for all.
    pub panel_id: u64,
    /// Tags of every annotation, besides the incident's id and tier.
    pub tags: Vec<String>,
    /// The least that is sent.
    pub minimum_tier: Tier,
    /// Names and URLs for the text; `{incident_id}`, `{trace_id}` and `{function}` are filled in.
    pub links: Links,
    /// How to trust the destination.
    pub tls: tls::Config,
    /// Of one attempt.
    #[serde(with = "crate::config::DurationText")]
    pub timeout: Duration,
    /// In front of it.
    pub sending_queue: queue::Config,
    /// Around it.
    pub retry_on_failure: retry::Config,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            token: Secret::default(),
            dashboard_uid: String::new(),
            panel_id: 0,
            tags: vec!["sekisho".to_owned()],
            minimum_tier: Tier::Queue,
            links: Links::new(),
            tls: tls::Config::default(),
            timeout: Duration::from_secs(10),
            sending_queue: in_order(),
            retry_on_failure: patient(),
        }
    }
}

impl Check for Config {
    fn check(&self, report: &mut Report<'_>) {
        check_endpoint(&self.endpoint, "https://grafana.example.com", &self.tls, report);
        check_secret("token", &self.token, "of a service account that may create and write annotations", report);
        if self.panel_id != 0 && self.dashboard_uid.is_empty() {
            report.error("panel_id", "needs dashboard_uid: a panel is one of a dashboard");
        }
        check_links(&self.links, report);
        check_timeout(self.timeout, report);
        check_sending(&self.sending_queue, &self.retry_on_failure, report);
    }
}

impl ExporterConfig for Config {
    fn build(&self, context: &Context) -> Result<Next, StartError> {
        let url = format!("{}/api/annotations", self.endpoint.trim_end_matches('/'));
        let url = Url::parse(&url).map_err(|error| context.error(format!("endpoint: {error}")))?;
        let mut headers = HeaderMap::new();
        let bearer = format!("Bearer {}", self.token.expose());
        headers.insert(header::AUTHORIZATION, secret_header("token", &bearer, context)?);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let grafana = Grafana {
            client: client(&self.tls, self.timeout, context)?,
            url,
            headers,
            config: self.clone(),
            known: Mutex::default(),
        };
        let terms = Terms {
            tier: self.minimum_tier,
            most: 1,
            pace: Duration::ZERO,
            queue: &self.sending_queue,
            retry: &self.retry_on_failure,
        };
        sending(grafana, &terms, context)
    }

    fn extensions(&self) -> Vec<(&'static str, &str)> {
        self.sending_queue.extensions()
    }
}

struct Grafana {
    client: Client,
    url: Url,
    headers: HeaderMap,
    config: Config,
    /// Numbers of annotations, by incident.
    known: Mutex<BTreeMap<String, u64>>,
}

impl Deliver for Grafana {
    fn deliver<'a>(&'a self, alerts: &'a [Alert]) -> Boxed<'a, Outcome> {
        Box::pin(async move {
            let Some(alert) = alerts.first() else { return Outcome::Accepted };
            self.annotate(alert).await.unwrap_or_else(|refused| refused)
        })
    }
}

impl Grafana {
    async fn annotate(&self, alert: &Alert) -> Result<Outcome, Outcome> {
        let number = match self.remembered(&alert.id) {
            Some(number) => Some(number),
            None => self.find(alert).await?,
        };
        let annotation = self.annotation(alert);
        let mut kept = None;
        if let Some(number) = number {
            let answer = self.call(Method::PATCH, self.numbered(number), Some(&annotation)).await?;
            // One that was deleted is made anew, as if it had never been found.
            if answer.status != StatusCode::NOT_FOUND {
                read(&answer)?;
                kept = Some(number);
            }
        }
        let number = if let Some(number) = kept {
            number
        } else {
            let made = read(&self.call(Method::POST, self.url.clone(), Some(&annotation)).await?)?;
            made["id"].as_u64().ok_or_else(|| Outcome::Permanent {
                reason: "the destination made an annotation without a number: is this Grafana?".to_owned(),
            })?
        };
        if alert.state == State::Resolved {
            self.forget(&alert.id);
        } else {
            self.remember(&alert.id, number);
        }
        Ok(Outcome::Accepted)
    }

    fn annotation(&self, alert: &Alert) -> Value {
        let mut tags = self.config.tags.clone();
        tags.extend([alert.id.clone(), alert.tier.name().to_owned()]);
        let mut words = escaped(&text::plain(alert));
        for (name, url) in links(&self.config.links, alert) {
            let _ = writeln!(words, "<a href=\"{}\">{}</a>", escaped(&url), escaped(&name));
        }
        let mut annotation = json!({
            "time": alert.first_seen / 1_000_000,
            "timeEnd": alert.last_seen.max(alert.first_seen) / 1_000_000,
            "tags": tags,
            "text": words,
        });
        if !self.config.dashboard_uid.is_empty() {
            annotation["dashboardUID"] = self.config.dashboard_uid.clone().into();
        }
        if self.config.panel_id != 0 {
            annotation["panelId"] = self.config.panel_id.into();
        }
        annotation
    }

    /// The annotation an earlier run, or an attempt whose answer was lost, made for the incident.
    async fn find(&self, alert: &Alert) -> Result<Option<u64>, Outcome> {
        let mut url = self.url.clone();
        url.query_pairs_mut()
            .append_pair("tags", &alert.id)
            .append_pair("type", "annotation")
            .append_pair("limit", "1");
        let found = read(&self.call(Method::GET, url, None).await?)?;
        Ok(found[0]["id"].as_u64())
    }

    fn numbered(&self, number: u64) -> Url {
        let mut url = self.url.clone();
        url.set_path(&format!("{}/{number}", self.url.path()));
        url
    }

    async fn call(&self, method: Method, url: Url, body: Option<&Value>) -> Result<Answer, Outcome> {
        let mut request = self.client.request(method, url).headers(self.headers.clone());
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        fetch(request).await
    }

    fn remembered(&self, id: &str) -> Option<u64> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(id).copied()
    }

    fn remember(&self, id: &str, number: u64) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_KNOWN {
            known.pop_first();
        }
        known.insert(id.to_owned(), number);
    }

    fn forget(&self, id: &str) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

/// The body of an answer that is not a refusal.
fn read(answer: &Answer) -> Result<Value, Outcome> {
    match answer.outcome() {
        Outcome::Accepted => Ok(serde_json::from_slice(&answer.body).unwrap_or_default()),
        refused => Err(refused),
    }
}

/// Grafana shows an annotation's text as HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
