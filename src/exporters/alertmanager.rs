//! `alertmanager` exporter: incidents as alerts of a Prometheus Alertmanager (API v2).
//!
//! ```yaml
//! alertmanager:
//!   endpoint: http://alertmanager:9093   # of a cluster, one exporter for each member
//!   alertname: SekishoIncident
//!   labels: { team: platform }           # further labels, for routing
//!   links: { trace: "https://grafana.example.com/explore?trace={trace_id}" }
//!   minimum_tier: queue                  # evidence, queue, page
//!   resend_interval: 1m
//!   expire_after: 1h                     # without a word from the gateway, an alert ends by itself
//!   headers: {}
//!   tls: {}
//!   timeout: 10s
//!   sending_queue: {}
//!   retry_on_failure: {}
//! ```
//!
//! Labels are an alert's identity and do not change over updates: `alertname`, `incident_id`, `faas_name`,
//! `cloud_account_id`, `cloud_region`, `tier` (page, queue, evidence) and `severity` (critical, warning, info). When an
//! incident wants more attention than before, the alert under its old tier ends in the same request. Everything that
//! changes is in annotations.
//!
//! Alertmanager keeps alerts in memory: open ones are sent again every `resend_interval`. After a restart the exporter
//! asks Alertmanager what is open and goes on sending that, as long as Alertmanager says that it is.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http::HeaderMap;
use reqwest::{Client, Url};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{sync::Mutex, time::Instant};
use tokio_util::task::AbortOnDropHandle;

use super::{
    alert::{
        Alert, State, Tier,
        links::{Links, check_links, links},
        send::{Deliver, Terms, check_sending, in_order, patient, sending},
        text,
    },
    answer,
    client::{check_endpoint, check_headers, check_timeout, client, exchange, fetch, header_map},
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

/// Alerts in one request.
const MOST: usize = 64;
/// Incidents sent again and again; what is beyond ends after `expire_after`.
const MOST_OPEN: usize = 10_000;
/// An incident ends by itself a day after the last that was seen of it; nobody speaks of one that is older.
const FORGOTTEN_AFTER: Duration = Duration::from_hours(48);
/// Labels that are ours.
const OWN: [&str; 7] =
    ["alertname", "incident_id", "faas_name", "cloud_account_id", "cloud_region", "tier", "severity"];

/// The configuration.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// URL of Alertmanager, without `/api/v2`.
    pub endpoint: String,
    /// The label `alertname`.
    pub alertname: String,
    /// Further labels, for routing.
    pub labels: BTreeMap<String, String>,
    /// Names and URLs for annotations; `{incident_id}`, `{trace_id}` and `{function}` are filled in.
    pub links: Links,
    /// The least that is sent.
    pub minimum_tier: Tier,
    /// How often open alerts are sent again.
    #[serde(with = "crate::config::DurationText")]
    pub resend_interval: Duration,
    /// When an alert ends if the gateway is not heard of.
    #[serde(with = "crate::config::DurationText")]
    pub expire_after: Duration,
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

impl Default for Config {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            alertname: "SekishoIncident".to_owned(),
            labels: BTreeMap::new(),
            links: Links::new(),
            minimum_tier: Tier::Queue,
            resend_interval: Duration::from_mins(1),
            expire_after: Duration::from_hours(1),
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
        check_endpoint(&self.endpoint, "http://alertmanager:9093", &self.tls, report);
        if self.alertname.is_empty() {
            report.error("alertname", "must not be empty");
        }
        for name in self.labels.keys() {
            let path = format!("labels::{name}");
            let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
            if !starts || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                report.error(&path, "is not a label name").hint("letters, digits and _, such as team");
            } else if OWN.contains(&name.as_str()) {
                report.error(&path, "is a label of the alert itself");
            }
        }
        if self.resend_interval < Duration::from_secs(1) {
            report.error("resend_interval", "must be at least 1s");
        } else if self.expire_after < 2 * self.resend_interval {
            report.error("expire_after", "must be at least twice resend_interval");
        }
        check_links(&self.links, report);
        check_headers(&self.headers, report);
        check_timeout(self.timeout, report);
        check_sending(&self.sending_queue, &self.retry_on_failure, report);
    }
}

impl ExporterConfig for Config {
    fn build(&self, context: &Context) -> Result<Next, StartError> {
        let url = format!("{}/api/v2/alerts", self.endpoint.trim_end_matches('/'));
        let url = Url::parse(&url).map_err(|error| context.error(format!("endpoint: {error}")))?;
        let book = Arc::new(Book {
            client: client(&self.tls, self.timeout, context)?,
            url,
            headers: header_map(&self.headers),
            config: self.clone(),
            component: context.component.clone(),
            open: Mutex::default(),
        });
        let resending = AbortOnDropHandle::new(tokio::spawn(Arc::clone(&book).resend_for_ever()));
        let terms = Terms {
            tier: self.minimum_tier,
            most: MOST,
            pace: Duration::ZERO,
            queue: &self.sending_queue,
            retry: &self.retry_on_failure,
        };
        sending(Alertmanager { book, _resending: resending }, &terms, context)
    }

    fn extensions(&self) -> Vec<(&'static str, &str)> {
        self.sending_queue.extensions()
    }
}

struct Alertmanager {
    book: Arc<Book>,
    _resending: AbortOnDropHandle<()>,
}

impl Deliver for Alertmanager {
    fn deliver<'a>(&'a self, alerts: &'a [Alert]) -> Boxed<'a, Outcome> {
        Box::pin(self.book.tell(alerts))
    }
}

type Labels = BTreeMap<String, String>;

/// An alert as Alertmanager knows it, while it is open.
struct Open {
    labels: Labels,
    annotations: Value,
    starts_at: String,
    /// When a record spoke of it last, or when it was found after a restart.
    heard: Instant,
    /// Found after a restart: someone else may end it.
    found: bool,
}

impl Open {
    fn post(&self, ends_at: SystemTime, generator: &str) -> Value {
        json!({
            "labels": self.labels,
            "annotations": self.annotations,
            "startsAt": self.starts_at,
            "endsAt": rfc3339(nanos(ends_at)),
            "generatorURL": generator,
        })
    }
}

/// The open alerts, and where they are told.
struct Book {
    client: Client,
    url: Url,
    headers: HeaderMap,
    config: Config,
    component: String,
    /// By incident. Held while a request is under way: an alert sent again must not arrive after its end.
    open: Mutex<BTreeMap<String, Open>>,
}

impl Book {
    async fn tell(&self, alerts: &[Alert]) -> Outcome {
        let mut open = self.open.lock().await;
        // Kept apart until Alertmanager has taken it: what is tried again must start from the same.
        let (mut changed, mut posts) = (BTreeMap::<&str, Option<Open>>::new(), Vec::new());
        let now = SystemTime::now();
        for alert in alerts {
            let before = changed.get(alert.id.as_str()).map_or_else(|| open.get(&alert.id), Option::as_ref);
            let next = self.opened(alert, before);
            let generator = self.generator(alert);
            if let Some(before) = before.filter(|before| before.labels != next.labels) {
                posts.push(before.post(now, &generator));
            }
            let over = alert.state == State::Resolved;
            posts.push(next.post(if over { now } else { now + self.config.expire_after }, &generator));
            changed.insert(&alert.id, (!over).then_some(next));
        }
        let outcome = self.post(&posts).await;
        if outcome == Outcome::Accepted {
            for (id, alert) in changed {
                match alert {
                    Some(alert) if open.contains_key(id) || open.len() < MOST_OPEN => {
                        open.insert(id.to_owned(), alert);
                    }
                    Some(_) => {}
                    None => {
                        open.remove(id);
                    }
                }
            }
        }
        outcome
    }

    /// The alert for `alert`, under the labels it was opened with except for its tier.
    fn opened(&self, alert: &Alert, before: Option<&Open>) -> Open {
        let severity = match alert.tier {
            Tier::Page => "critical",
            Tier::Queue => "warning",
            Tier::Evidence => "info",
        };
        let mut labels = before.map_or_else(
            || {
                let mut labels = self.config.labels.clone();
                let of_function = [
                    ("alertname", self.config.alertname.clone()),
                    ("incident_id", alert.id.clone()),
                    ("faas_name", alert.function.clone()),
                    ("cloud_account_id", alert.attribute("cloud.account.id")),
                    ("cloud_region", alert.attribute("cloud.region")),
                ];
                labels.extend(of_function.map(|(name, value)| (name.to_owned(), value)));
                // Alertmanager takes an empty label for none.
                labels.retain(|_, value| !value.is_empty());
                labels
            },
            |before| before.labels.clone(),
        );
        labels.insert("tier".to_owned(), alert.tier.name().to_owned());
        labels.insert("severity".to_owned(), severity.to_owned());
        Open {
            labels,
            annotations: self.annotations(alert),
            starts_at: before.map_or_else(|| rfc3339(alert.first_seen), |before| before.starts_at.clone()),
            heard: Instant::now(),
            found: false,
        }
    }

    fn annotations(&self, alert: &Alert) -> Value {
        let mut annotations = json!({
            "summary": text::title(alert),
            "description": text::plain(alert),
            "priority": alert.priority.to_string(),
            "score": format!("{:.1} bits (line {:.1})", alert.score, alert.line),
            "counterfactual": alert.counterfactual,
            "techniques": alert.techniques.join(", "),
            "guarantee": alert.guarantee,
            "trace_id": alert.trace_id,
            "incident_state": alert.state.name(),
        });
        for (name, url) in links(&self.config.links, alert) {
            annotations[format!("link_{}", label_name(&name))] = url.into();
        }
        annotations
    }

    /// Where the alert comes from: its first link.
    fn generator(&self, alert: &Alert) -> String {
        links(&self.config.links, alert).into_iter().next().map(|(_, url)| url).unwrap_or_default()
    }

    async fn post(&self, posts: &[Value]) -> Outcome {
        let body = Value::from(posts).to_string();
        let request = self.client.post(self.url.clone()).headers(self.headers.clone());
        exchange(request.header(http::header::CONTENT_TYPE, "application/json").body(body), answer::of_api).await
    }

    async fn resend_for_ever(self: Arc<Self>) {
        let mut asked = false;
        let mut heard_well = true;
        loop {
            if !asked {
                asked = self.find_open().await;
            }
            tokio::time::sleep(self.config.resend_interval).await;
            let outcome = self.resend().await;
            if outcome != Outcome::Accepted && heard_well {
                tracing::warn!(component = self.component, ?outcome, "open alerts are not sent again for now");
            }
            heard_well = outcome == Outcome::Accepted;
        }
    }

    async fn resend(&self) -> Outcome {
        let mut open = self.open.lock().await;
        open.retain(|_, alert| alert.heard.elapsed() < FORGOTTEN_AFTER);
        if open.values().any(|alert| alert.found) {
            match self.active().await {
                Ok(active) => open.retain(|id, alert| !alert.found || active.contains_key(id)),
                Err(outcome) => return outcome,
            }
        }
        let ends_at = SystemTime::now() + self.config.expire_after;
        let posts: Vec<Value> = open.values().map(|alert| alert.post(ends_at, "")).collect();
        for part in posts.chunks(MOST) {
            let outcome = self.post(part).await;
            if outcome != Outcome::Accepted {
                return outcome;
            }
        }
        Outcome::Accepted
    }

    /// Takes up what an earlier run left open; false if Alertmanager could not be asked.
    async fn find_open(&self) -> bool {
        let Ok(active) = self.active().await else { return false };
        let mut open = self.open.lock().await;
        for (id, alert) in active {
            if open.len() < MOST_OPEN
                && let Entry::Vacant(entry) = open.entry(id)
            {
                entry.insert(alert);
            }
        }
        true
    }

    /// What Alertmanager says is open of ours.
    async fn active(&self) -> Result<BTreeMap<String, Open>, Outcome> {
        let name = self.config.alertname.replace('\\', "\\\\").replace('"', "\\\"");
        let mut url = self.url.clone();
        url.query_pairs_mut().append_pair("active", "true").append_pair("filter", &format!("alertname=\"{name}\""));
        let answer = fetch(self.client.get(url).headers(self.headers.clone())).await?;
        let outcome = answer.outcome();
        if outcome != Outcome::Accepted {
            return Err(outcome);
        }
        let alerts: Vec<Value> = serde_json::from_slice(&answer.body).unwrap_or_default();
        Ok(alerts.into_iter().filter_map(|alert| found(&alert)).collect())
    }
}

fn found(alert: &Value) -> Option<(String, Open)> {
    let labels: Labels = serde_json::from_value(alert["labels"].clone()).ok()?;
    let id = labels.get("incident_id")?.clone();
    let starts_at = alert["startsAt"].as_str()?.to_owned();
    let annotations = alert["annotations"].clone();
    Some((id, Open { labels, annotations, starts_at, heard: Instant::now(), found: true }))
}

fn label_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

fn nanos(time: SystemTime) -> u64 {
    u64::try_from(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()).unwrap_or(u64::MAX)
}
