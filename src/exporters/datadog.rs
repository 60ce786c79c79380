//! `datadog` exporter: incidents as events, logs and metrics of Datadog.
//!
//! ```yaml
//! datadog:
//!   api_key: ${env:DD_API_KEY}
//!   site: datadoghq.com          # or datadoghq.eu, us3.datadoghq.com, us5.datadoghq.com, ap1.datadoghq.com, ddog-gov.com
//!   events: true                 # Events v2: for people and monitors
//!   logs: true                   # logs intake: every attribute of the incident as a facet
//!   metrics: true                # sekisho.incident.score, .priority, .opened
//!   events_endpoint: ""          # whole URLs, instead of the site's
//!   logs_endpoint: ""
//!   metrics_endpoint: ""
//!   tags: [env:production]
//!   minimum_tier: queue          # evidence, queue, page
//!   links: { trace: "https://app.datadoghq.com/apm/trace/{trace_id}" }
//!   tls: {}
//!   timeout: 10s
//!   sending_queue: {}
//!   retry_on_failure: {}
//! ```
//!
//! Events of an incident have its id as `aggregation_key`; the last one has status `ok`. Datadog takes nothing that is
//! older than 18 hours: events and logs bear the time at which the gateway spoke, and event time is among the
//! attributes. An attempt that fails half-way is taken up where it failed. What one of the three refuses for good, the
//! others still get; the alert then counts as not sent.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use reqwest::{Client, Url};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    alert::{
        Alert, Evidence, State, Tier,
        links::{Links, check_links, links},
        send::{Deliver, Terms, check_sending, in_order, patient, sending},
        text,
    },
    answer,
    client::{check_secret, check_timeout, check_url, client, exchange, secret_header},
    tls,
};
use crate::{
    config::{Check, Report, Secret},
    otlp::time::rfc3339,
    pipeline::{
        Boxed, Next, Outcome,
        component::{Context, ExporterConfig, StartError},
        queue, retry,
    },
};

/// Datadog's limits for an event, characters.
const LONGEST_TITLE: usize = 500;
const LONGEST_MESSAGE: usize = 4000;
/// Kinds of a series.
const COUNT: u8 = 1;
const GAUGE: u8 = 3;

/// The configuration.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The organisation's API key.
    pub api_key: Secret,
    /// Datadog's site.
    pub site: String,
    /// Whether incidents are events.
    pub events: bool,
    /// Whether incidents are logs.
    pub logs: bool,
    /// Whether incidents are metrics.
    pub metrics: bool,
    /// Whole URL for events, instead of the site's.
    pub events_endpoint: String,
    /// Whole URL for logs, instead of the site's.
    pub logs_endpoint: String,
    /// Whole URL for metrics, instead of the site's.
    pub metrics_endpoint: String,
    /// Tags of everything, such as `env:production`.
    pub tags: Vec<String>,
    /// The least that is sent.
    pub minimum_tier: Tier,
    /// Names and URLs for events; `{incident_id}`, `{trace_id}` and `{function}` are filled in.
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
            api_key: Secret::default(),
            site: "datadoghq.com".to_owned(),
            events: true,
            logs: true,
            metrics: true,
            events_endpoint: String::new(),
            logs_endpoint: String::new(),
            metrics_endpoint: String::new(),
            tags: Vec::new(),
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
        check_secret("api_key", &self.api_key, "of the organisation; an application key is another thing", report);
        let host = |c: char| c.is_ascii_alphanumeric() || ".-".contains(c);
        if self.site.is_empty() || !self.site.chars().all(host) {
            report.error("site", "is not a host name").hint("such as datadoghq.eu");
        }
        if !(self.events || self.logs || self.metrics) {
            report.error("events", "nothing is sent: switch on `events`, `logs` or `metrics`");
        }
        for (key, url) in [
            ("events_endpoint", &self.events_endpoint),
            ("logs_endpoint", &self.logs_endpoint),
            ("metrics_endpoint", &self.metrics_endpoint),
        ] {
            check_url(key, url, report);
            self.tls.check_scheme(url, report);
        }
        check_links(&self.links, report);
        check_timeout(self.timeout, report);
        report.within("tls", &self.tls);
        check_sending(&self.sending_queue, &self.retry_on_failure, report);
    }
}

impl ExporterConfig for Config {
    fn build(&self, context: &Context) -> Result<Next, StartError> {
        let url = |on: bool, own: &str, usual: String| {
            let url = if own.is_empty() { usual } else { own.to_owned() };
            let url = Url::parse(&url).map_err(|error| context.error(format!("{url}: {error}")))?;
            Ok::<_, StartError>(on.then_some(url))
        };
        let site = &self.site;
        let events = format!("https://event-management-intake.{site}/api/v2/events");
        let headers = [
            (HeaderName::from_static("dd-api-key"), secret_header("api_key", self.api_key.expose(), context)?),
            (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        ];
        let datadog = Datadog {
            client: client(&self.tls, self.timeout, context)?,
            events: url(self.events, &self.events_endpoint, events)?,
            logs: url(self.logs, &self.logs_endpoint, format!("https://http-intake.logs.{site}/api/v2/logs"))?,
            metrics: url(self.metrics, &self.metrics_endpoint, format!("https://api.{site}/api/v2/series"))?,
            headers: headers.into_iter().collect(),
            tags: self.tags.clone(),
            links: self.links.clone(),
            progress: Mutex::default(),
        };
        let terms = Terms {
            tier: self.minimum_tier,
            most: 1,
            pace: Duration::ZERO,
            queue: &self.sending_queue,
            retry: &self.retry_on_failure,
        };
        sending(datadog, &terms, context)
    }

    fn extensions(&self) -> Vec<(&'static str, &str)> {
        self.sending_queue.extensions()
    }
}

struct Datadog {
    client: Client,
    events: Option<Url>,
    logs: Option<Url>,
    metrics: Option<Url>,
    headers: HeaderMap,
    tags: Vec<String>,
    links: Links,
    progress: Mutex<Progress>,
}

/// How far the alert under way has come: what is tried again starts there.
#[derive(Clone, Debug, Default)]
struct Progress {
    revision: String,
    /// How many of its requests were answered for good.
    done: usize,
    /// By whom it was refused, and why.
    refused: Option<String>,
}

impl Deliver for Datadog {
    fn deliver<'a>(&'a self, alerts: &'a [Alert]) -> Boxed<'a, Outcome> {
        Box::pin(async move {
            let Some(alert) = alerts.first() else { return Outcome::Accepted };
            let (revision, now) = (alert.revision(), SystemTime::now());
            let requests = [
                ("events", &self.events, self.event(alert)),
                ("logs", &self.logs, json!([self.log(alert)])),
                ("metrics", &self.metrics, self.series(alert, now)),
            ];
            let Progress { done, mut refused, .. } = self.progress_of(&revision);
            for (number, (intake, url, body)) in requests.into_iter().enumerate().skip(done) {
                let outcome = match url {
                    Some(url) => self.post(url, &body).await,
                    None => Outcome::Accepted,
                };
                match outcome {
                    Outcome::Accepted => {}
                    // What one intake refuses for good, the others may still want.
                    Outcome::Permanent { reason } => {
                        let refusal = format!("{intake}: {reason}");
                        refused = Some(refused.map_or(refusal.clone(), |before| format!("{before}; {refusal}")));
                    }
                    other => return other,
                }
                let (revision, refused) = (revision.clone(), refused.clone());
                *self.progress.lock().unwrap_or_else(PoisonError::into_inner) =
                    Progress { revision, done: number + 1, refused };
            }
            refused.map_or(Outcome::Accepted, |reason| Outcome::Permanent { reason })
        })
    }
}

impl Datadog {
    fn progress_of(&self, revision: &str) -> Progress {
        let progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        if progress.revision == revision { progress.clone() } else { Progress::default() }
    }

    async fn post(&self, url: &Url, body: &Value) -> Outcome {
        let request = self.client.post(url.clone()).headers(self.headers.clone()).body(body.to_string());
        exchange(request, answer::of_api).await
    }

    fn event(&self, alert: &Alert) -> Value {
        let (status, priority) = match (alert.state, alert.tier) {
            (State::Resolved, _) => ("ok", "5"),
            (_, Tier::Page) => ("error", "2"),
            (_, Tier::Queue) => ("warn", "3"),
            (_, Tier::Evidence) => ("warn", "5"),
        };
        let links: Vec<Value> = links(&self.links, alert)
            .into_iter()
            .map(|(title, url)| json!({"category": "resource", "title": title, "url": url}))
            .collect();
        let mut attributes = json!({
            "status": status,
            "priority": priority,
            "custom": {"sekisho": {"incident": facets(alert)}},
        });
        // An empty list is refused.
        if !links.is_empty() {
            attributes["links"] = links.into();
        }
        json!({"data": {"type": "event", "attributes": {
            "title": text::cut(&text::title(alert), LONGEST_TITLE),
            "message": text::cut(&text::plain(alert), LONGEST_MESSAGE),
            "category": "alert",
            "integration_id": "custom-events",
            "aggregation_key": alert.id,
            "timestamp": rfc3339(alert.observed),
            "tags": self.tags(alert),
            "attributes": attributes,
        }}})
    }

    fn log(&self, alert: &Alert) -> Value {
        let status = match (alert.state, alert.tier) {
            (State::Resolved, _) => "ok",
            (_, Tier::Page) => "error",
            (_, Tier::Queue) => "warning",
            (_, Tier::Evidence) => "info",
        };
        json!({
            "message": text::title(alert),
            "ddsource": "sekisho",
            "ddtags": self.tags(alert).join(","),
            "service": alert.function,
            "hostname": alert.function,
            "status": status,
            "timestamp": alert.observed / 1_000_000,
            "trace_id": alert.trace_id,
            "span_id": alert.span_id,
            "sekisho": {"incident": facets(alert)},
        })
    }

    fn series(&self, alert: &Alert, now: SystemTime) -> Value {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let tags = self.tags(alert);
        let one = |metric: &str, kind: u8, value: f64| json!({"metric": metric, "type": kind, "points": [{"timestamp": now, "value": value}], "tags": tags});
        let open = alert.state != State::Resolved;
        json!({"series": [
            one("sekisho.incident.score", GAUGE, if open { alert.score } else { 0.0 }),
            one("sekisho.incident.priority", GAUGE, if open { alert.priority as f64 } else { 0.0 }),
            one("sekisho.incident.opened", COUNT, f64::from(u8::from(alert.state == State::Opened))),
        ]})
    }

    fn tags(&self, alert: &Alert) -> Vec<String> {
        let own = [
            ("service", alert.function.clone()),
            ("faas.name", alert.function.clone()),
            ("version", alert.version.clone()),
            ("region", alert.attribute("cloud.region")),
            ("account", alert.attribute("cloud.account.id")),
            ("tier", alert.tier.name().to_owned()),
            ("incident", alert.id.clone()),
        ];
        let own = own.into_iter().filter(|(_, value)| !value.is_empty());
        // A comma ends a tag in `ddtags`.
        let own = own.map(|(name, value)| format!("{name}:{}", value.replace(',', "_")));
        self.tags.iter().cloned().chain(own).collect()
    }
}

/// Everything to filter and group by.
fn facets(alert: &Alert) -> Value {
    let evidence: Vec<Value> = alert.evidence.iter().map(facet).collect();
    json!({
        "id": alert.id,
        "state": alert.state.name(),
        "tier": alert.tier.name(),
        "priority": alert.priority,
        "score": alert.score,
        "line": alert.line,
        "first_seen": rfc3339(alert.first_seen),
        "last_seen": rfc3339(alert.last_seen),
        "techniques": alert.techniques,
        "invocations": alert.invocations,
        "counterfactual": alert.counterfactual,
        "evidence": evidence,
    })
}

fn facet(evidence: &Evidence) -> Value {
    json!({
        "feature": evidence.feature,
        "observed": evidence.observed,
        "usual": evidence.usual,
        "bits": evidence.bits,
        "source": evidence.source,
    })
}
