//! `splunk_hec` exporter: incidents as events of Splunk (HTTP Event Collector).
//!
//! ```yaml
//! splunk_hec:
//!   endpoint: https://splunk.example.com:8088
//!   token: ${env:SPLUNK_HEC_TOKEN}
//!   index: security
//!   source: sekisho
//!   sourcetype: sekisho:incident
//!   minimum_tier: evidence       # evidence, queue, page
//!   tls: {}
//!   timeout: 10s
//!   sending_queue: {}
//!   retry_on_failure: {}
//! ```
//!
//! An event for each word on an incident, at the event time of its strongest evidence; `incident_id`, `state` and `tier`
//! are indexed fields, so that `stats latest(state) by incident_id` is the list of what is open. Events go out a few at
//! a time. A collector that is busy is asked again; what it says about an event that it does not understand is final.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};
use reqwest::{Client, Url};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    alert::{
        Alert, Evidence, Tier,
        send::{Deliver, Terms, check_sending, in_order, patient, sending},
        text,
    },
    answer,
    client::{check_endpoint, check_secret, check_timeout, client, exchange, secret_header},
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

/// Events in one request: with 16 pieces of evidence each, far below the megabyte that every collector takes.
const MOST: usize = 50;

/// The configuration.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// URL of the collector, without `/services/collector`.
    pub endpoint: String,
    /// Of the collector's input.
    pub token: Secret,
    /// The index; empty for the input's own.
    pub index: String,
    /// The field `source`.
    pub source: String,
    /// The field `sourcetype`.
    pub sourcetype: String,
    /// The least that is sent.
    pub minimum_tier: Tier,
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
            index: String::new(),
            source: "sekisho".to_owned(),
            sourcetype: "sekisho:incident".to_owned(),
            minimum_tier: Tier::Evidence,
            tls: tls::Config::default(),
            timeout: Duration::from_secs(10),
            sending_queue: in_order(),
            retry_on_failure: patient(),
        }
    }
}

impl Check for Config {
    fn check(&self, report: &mut Report<'_>) {
        check_endpoint(&self.endpoint, "https://splunk.example.com:8088", &self.tls, report);
        check_secret("token", &self.token, "of an input of the HTTP Event Collector", report);
        check_timeout(self.timeout, report);
        check_sending(&self.sending_queue, &self.retry_on_failure, report);
    }
}

impl ExporterConfig for Config {
    fn build(&self, context: &Context) -> Result<Next, StartError> {
        let url = format!("{}/services/collector/event", self.endpoint.trim_end_matches('/'));
        let authorization = format!("Splunk {}", self.token.expose());
        let headers = [
            (header::AUTHORIZATION, secret_header("token", &authorization, context)?),
            (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        ];
        let splunk = Splunk {
            client: client(&self.tls, self.timeout, context)?,
            url: Url::parse(&url).map_err(|error| context.error(format!("endpoint: {error}")))?,
            headers: headers.into_iter().collect(),
            config: self.clone(),
        };
        let terms = Terms {
            tier: self.minimum_tier,
            most: MOST,
            pace: Duration::ZERO,
            queue: &self.sending_queue,
            retry: &self.retry_on_failure,
        };
        sending(splunk, &terms, context)
    }

    fn extensions(&self) -> Vec<(&'static str, &str)> {
        self.sending_queue.extensions()
    }
}

struct Splunk {
    client: Client,
    url: Url,
    headers: HeaderMap,
    config: Config,
}

impl Deliver for Splunk {
    fn deliver<'a>(&'a self, alerts: &'a [Alert]) -> Boxed<'a, Outcome> {
        Box::pin(async move {
            // Objects one after the other, as the collector wants several: not an array.
            let body: String = alerts.iter().map(|alert| self.event(alert).to_string()).collect();
            let request = self.client.post(self.url.clone()).headers(self.headers.clone()).body(body);
            exchange(request, answer::of_api).await
        })
    }
}

impl Splunk {
    fn event(&self, alert: &Alert) -> Value {
        let mut event = json!({
            "time": alert.at / 1_000_000_000,
            "host": alert.function,
            "source": self.config.source,
            "sourcetype": self.config.sourcetype,
            "event": {
                "title": text::title(alert),
                "incident_id": alert.id,
                "state": alert.state.name(),
                "tier": alert.tier.name(),
                "priority": alert.priority,
                "score": alert.score,
                "line": alert.line,
                "first_seen": rfc3339(alert.first_seen),
                "last_seen": rfc3339(alert.last_seen),
                "function": alert.function,
                "version": alert.version,
                "cloud": {
                    "provider": alert.attribute("cloud.provider"),
                    "account": alert.attribute("cloud.account.id"),
                    "region": alert.attribute("cloud.region"),
                },
                "trace_id": alert.trace_id,
                "techniques": alert.techniques,
                "invocations": alert.invocations,
                "counterfactual": alert.counterfactual,
                "evidence": alert.evidence.iter().map(evidence).collect::<Vec<_>>(),
            },
            "fields": {"incident_id": alert.id, "state": alert.state.name(), "tier": alert.tier.name()},
        });
        if !self.config.index.is_empty() {
            event["index"] = self.config.index.clone().into();
        }
        event
    }
}

fn evidence(evidence: &Evidence) -> Value {
    json!({
        "feature": evidence.feature,
        "observed": evidence.observed,
        "usual": evidence.usual,
        "bits": evidence.bits,
        "source": evidence.source,
    })
}
