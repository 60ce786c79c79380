//! `pagerduty` exporter: incidents as alerts of PagerDuty (Events API v2).
//!
//! ```yaml
//! pagerduty:
//!   routing_key: ${env:PAGERDUTY_ROUTING_KEY}   # of an "Events API v2" integration
//!   endpoint: https://events.pagerduty.com/v2/enqueue
//!   minimum_tier: page                          # evidence, queue, page
//!   links: { trace: "https://grafana.example.com/explore?trace={trace_id}" }
//!   tls: {}
//!   timeout: 10s
//!   sending_queue: {}
//!   retry_on_failure: {}
//! ```
//!
//! `dedup_key` is the incident's id: updates become part of the alert that is open, `resolved` resolves it. Page is
//! `critical`, queue `warning`, evidence `info`. When PagerDuty says that it is too much, the exporter waits a minute.

use std::time::Duration;

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
    client::{check_timeout, check_url, client, fetch},
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

/// Longest summary PagerDuty takes, characters.
const LONGEST_SUMMARY: usize = 1024;
/// Its limits are dynamic and its answer does not always say for how long.
const WHEN_TOO_MUCH: Duration = Duration::from_mins(1);

/// The configuration.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The integration's key.
    pub routing_key: Secret,
    /// Where to post; another region or a relay.
    pub endpoint: String,
    /// The least that is sent.
    pub minimum_tier: Tier,
    /// Names and URLs; `{incident_id}`, `{trace_id}` and `{function}` are filled in.
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
            routing_key: Secret::default(),
            endpoint: "https://events.pagerduty.com/v2/enqueue".to_owned(),
            minimum_tier: Tier::Page,
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
        if self.routing_key.is_empty() {
            report.error("routing_key", "is missing").hint("the key of an \"Events API v2\" integration");
        }
        if self.endpoint.is_empty() {
            report.error("endpoint", "must not be empty").hint("remove the key to have PagerDuty's own");
        }
        check_url("endpoint", &self.endpoint, report);
        check_links(&self.links, report);
        check_timeout(self.timeout, report);
        report.within("tls", &self.tls);
        self.tls.check_scheme(&self.endpoint, report);
        check_sending(&self.sending_queue, &self.retry_on_failure, report);
    }
}

impl ExporterConfig for Config {
    fn build(&self, context: &Context) -> Result<Next, StartError> {
        let url = Url::parse(&self.endpoint).map_err(|error| context.error(format!("endpoint: {error}")))?;
        let pager = Pagerduty {
            client: client(&self.tls, self.timeout, context)?,
            url,
            routing_key: self.routing_key.clone(),
            links: self.links.clone(),
        };
        let terms = Terms {
            tier: self.minimum_tier,
            most: 1,
            pace: Duration::ZERO,
            queue: &self.sending_queue,
            retry: &self.retry_on_failure,
        };
        sending(pager, &terms, context)
    }

    fn extensions(&self) -> Vec<(&'static str, &str)> {
        self.sending_queue.extensions()
    }
}

struct Pagerduty {
    client: Client,
    url: Url,
    routing_key: Secret,
    links: Links,
}

impl Deliver for Pagerduty {
    fn deliver<'a>(&'a self, alerts: &'a [Alert]) -> Boxed<'a, Outcome> {
        Box::pin(async move {
            let Some(alert) = alerts.first() else { return Outcome::Accepted };
            let request = self.client.post(self.url.clone());
            let request = request.header(http::header::CONTENT_TYPE, "application/json");
            match fetch(request.body(self.event(alert).to_string())).await {
                Ok(answer) => match answer.outcome() {
                    Outcome::Retryable { after: None, reason } if answer.status == 429 => {
                        Outcome::Retryable { after: Some(WHEN_TOO_MUCH), reason }
                    }
                    outcome => outcome,
                },
                Err(away) => away,
            }
        })
    }
}

impl Pagerduty {
    fn event(&self, alert: &Alert) -> Value {
        let resolved = alert.state == State::Resolved;
        let links: Vec<Value> =
            links(&self.links, alert).into_iter().map(|(text, href)| json!({"href": href, "text": text})).collect();
        let severity = match alert.tier {
            Tier::Page => "critical",
            Tier::Queue => "warning",
            Tier::Evidence => "info",
        };
        let source = if alert.function.is_empty() { "unknown function" } else { &alert.function };
        json!({
            "routing_key": self.routing_key.expose(),
            "event_action": if resolved { "resolve" } else { "trigger" },
            "dedup_key": alert.id,
            "client": "Sekisho",
            "links": links,
            "payload": {
                "summary": text::cut(&text::title(alert), LONGEST_SUMMARY),
                "timestamp": rfc3339(alert.at),
                "source": source,
                "severity": severity,
                "component": source,
                "group": alert.attribute("cloud.account.id"),
                "class": alert.evidence.first().map(|evidence| &evidence.feature),
                "custom_details": details(alert),
            },
        })
    }
}

/// What the responder reads first, then everything.
fn details(alert: &Alert) -> Value {
    let mut details: Value = text::facts(alert).into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    details["Why"] = text::evidence(alert).into();
    details["Counterfactual"] = alert.counterfactual.clone().into();
    details["Promise"] = alert.guarantee.clone().into();
    details
}
