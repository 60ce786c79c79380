//! `ocsf` exporter: incidents as OCSF Detection Findings (class 2004), posted over HTTP.
//!
//! ```yaml
//! ocsf:
//!   endpoint: https://siem.example.com/ocsf
//!   body: array                  # array: a JSON array; lines: one finding a line
//!   minimum_tier: evidence       # evidence, queue, page
//!   links: { incident: "https://sekisho.example.com/incidents/{incident_id}" }   # the first is src_url
//!   headers: { authorization: Bearer … }
//!   tls: {}
//!   timeout: 10s
//!   sending_queue: {}
//!   retry_on_failure: {}
//! ```
//!
//! `finding_info.uid` is the incident's id; opened is activity Create, updated Update, resolved Close. What the schema
//! has no place for is under `unmapped`. Findings are posted a few at a time.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use http::{HeaderMap, HeaderValue, header};
use reqwest::{Client, Url};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    alert::{
        Alert, Evidence, State, Tier,
        links::{Links, check_links, links},
        send::{Deliver, Terms, check_sending, in_order, patient, sending},
        text,
    },
    answer,
    client::{check_endpoint, check_headers, check_timeout, client, exchange, header_map},
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

/// Findings in one request.
const MOST: usize = 100;
/// Of the schema the findings are of.
const SCHEMA: &str = "1.5.0";
const CLASS: u64 = 2004;

/// The configuration.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where to post.
    pub endpoint: String,
    /// What a request looks like.
    pub body: Body,
    /// The least that is sent.
    pub minimum_tier: Tier,
    /// Names and URLs, of which the first is `src_url`; `{incident_id}`, `{trace_id}` and `{function}` are filled in.
    pub links: Links,
    /// Sent with every request.
    pub headers: BTreeMap<String, Secret>,
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

/// What a request looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Body {
    /// A JSON array of findings.
    #[default]
    Array,
    /// A finding a line.
    Lines,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            body: Body::Array,
            minimum_tier: Tier::Evidence,
            links: Links::new(),
            headers: BTreeMap::new(),
            tls: tls::Config::default(),
            timeout: Duration::from_secs(10),
            sending_queue: in_order(),
            retry_on_failure: patient(),
        }
    }
}

impl Check for Config {
    fn check(&self, report: &mut Report<'_>) {
        check_endpoint(&self.endpoint, "https://siem.example.com/ocsf", &self.tls, report);
        check_links(&self.links, report);
        check_headers(&self.headers, report);
        check_timeout(self.timeout, report);
        check_sending(&self.sending_queue, &self.retry_on_failure, report);
    }
}

impl ExporterConfig for Config {
    fn build(&self, context: &Context) -> Result<Next, StartError> {
        let mut headers = header_map(&self.headers);
        let kind = if self.body == Body::Array { "application/json" } else { "application/x-ndjson" };
        headers.entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static(kind));
        let ocsf = Ocsf {
            client: client(&self.tls, self.timeout, context)?,
            url: Url::parse(&self.endpoint).map_err(|error| context.error(format!("endpoint: {error}")))?,
            headers,
            body: self.body,
            links: self.links.clone(),
        };
        let terms = Terms {
            tier: self.minimum_tier,
            most: MOST,
            pace: Duration::ZERO,
            queue: &self.sending_queue,
            retry: &self.retry_on_failure,
        };
        sending(ocsf, &terms, context)
    }

    fn extensions(&self) -> Vec<(&'static str, &str)> {
        self.sending_queue.extensions()
    }
}

struct Ocsf {
    client: Client,
    url: Url,
    headers: HeaderMap,
    body: Body,
    links: Links,
}

impl Deliver for Ocsf {
    fn deliver<'a>(&'a self, alerts: &'a [Alert]) -> Boxed<'a, Outcome> {
        Box::pin(async move {
            let findings = alerts.iter().map(|alert| finding(alert, &self.links));
            let body = match self.body {
                Body::Array => Value::Array(findings.collect()).to_string(),
                Body::Lines => findings.fold(String::new(), |mut lines, finding| {
                    let _ = writeln!(lines, "{finding}");
                    lines
                }),
            };
            let request = self.client.post(self.url.clone()).headers(self.headers.clone()).body(body);
            exchange(request, answer::of_api).await
        })
    }
}

fn finding(alert: &Alert, named: &Links) -> Value {
    let (activity, activity_name, status, status_name) = match alert.state {
        State::Opened => (1, "Create", 1, "New"),
        State::Updated => (2, "Update", 2, "In Progress"),
        State::Resolved => (3, "Close", 4, "Resolved"),
    };
    let (severity, severity_name) = match alert.tier {
        Tier::Page => (4, "High"),
        Tier::Queue => (3, "Medium"),
        Tier::Evidence => (1, "Informational"),
    };
    let millis = |nanos: u64| nanos / 1_000_000;
    let mut finding = json!({
        "activity_id": activity,
        "activity_name": activity_name,
        "category_uid": CLASS / 1000,
        "category_name": "Findings",
        "class_uid": CLASS,
        "class_name": "Detection Finding",
        "type_uid": CLASS * 100 + activity,
        "type_name": format!("Detection Finding: {activity_name}"),
        "time": millis(alert.at),
        "start_time": millis(alert.first_seen),
        "end_time": millis(alert.last_seen.max(alert.first_seen)),
        "severity_id": severity,
        "severity": severity_name,
        "status_id": status,
        "status": status_name,
        "is_alert": alert.tier == Tier::Page,
        "message": text::title(alert),
        "risk_score": alert.priority,
        "metadata": {
            "version": SCHEMA,
            "uid": alert.revision(),
            "product": {"name": "Sekisho", "vendor_name": "Sekisho", "version": env!("CARGO_PKG_VERSION")},
            "profiles": ["cloud"],
        },
        "finding_info": finding_info(alert, named),
        "resources": [resource(alert)],
        "evidences": alert.evidence.iter().map(evidence).collect::<Vec<_>>(),
        "unmapped": {
            "score_bits": alert.score,
            "line_bits": alert.line,
            "tier": alert.tier.name(),
            "counterfactual": alert.counterfactual,
            "guarantee": alert.guarantee,
            "invocations": alert.invocations,
            "trace_id": alert.trace_id,
            "span_id": alert.span_id,
        },
    });
    let (provider, account) = (alert.attribute("cloud.provider"), alert.attribute("cloud.account.id"));
    if !provider.is_empty() {
        finding["cloud"] = json!({"provider": provider});
        put(&mut finding["cloud"], "region", alert.attribute("cloud.region"));
        if !account.is_empty() {
            finding["cloud"]["account"] = json!({"uid": account});
        }
    }
    finding
}

fn finding_info(alert: &Alert, named: &Links) -> Value {
    let attacks: Vec<Value> = alert.techniques.iter().map(|technique| attack(technique)).collect();
    let millis = |nanos: u64| nanos / 1_000_000;
    let mut info = json!({
        "uid": alert.id,
        "title": alert.headline,
        "desc": text::plain(alert),
        "types": alert.evidence.iter().map(|evidence| &evidence.feature).collect::<Vec<_>>(),
        "first_seen_time": millis(alert.first_seen),
        "last_seen_time": millis(alert.last_seen.max(alert.first_seen)),
        "modified_time": millis(alert.observed),
        // Counting with explicit uncertainty.
        "analytic": {"type_id": 3, "type": "Statistical", "name": "Sekisho anomaly detector", "uid": "sekisho.anomaly"},
        "attacks": attacks,
    });
    let source = links(named, alert).into_iter().next().map(|(_, url)| url);
    put(&mut info, "src_url", source.unwrap_or_default());
    info
}

/// `T1552.005 (instance metadata endpoint)` → technique and sub-technique.
fn attack(technique: &str) -> Value {
    let id = technique.split_whitespace().next().unwrap_or_default();
    let rule = technique.strip_prefix(id).unwrap_or_default().trim().trim_start_matches('(').trim_end_matches(')');
    let named = |uid: &str| json!({"uid": uid, "name": if rule.is_empty() { uid } else { rule }});
    match id.split_once('.') {
        Some((above, _)) => json!({"technique": {"uid": above, "name": above}, "sub_technique": named(id)}),
        None => json!({"technique": named(id)}),
    }
}

fn resource(alert: &Alert) -> Value {
    let mut resource = json!({"type": "function", "name": alert.function});
    put(&mut resource, "uid", alert.attribute("cloud.resource_id"));
    put(&mut resource, "version", alert.version.clone());
    put(&mut resource, "region", alert.attribute("cloud.region"));
    resource
}

fn evidence(evidence: &Evidence) -> Value {
    json!({"name": evidence.feature, "data": {
        "observed": evidence.observed,
        "usual": evidence.usual,
        "bits": evidence.bits,
        "seen_in": evidence.seen_in,
        "out_of": evidence.out_of,
        "source": evidence.source,
    }})
}

/// Sets `key` unless there is nothing to say.
fn put(object: &mut Value, key: &str, text: String) {
    if !text.is_empty() {
        object[key] = text.into();
    }
}
