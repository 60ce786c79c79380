//! `slack` exporter: incidents as messages of a Slack channel (incoming webhook).
//!
//! ```yaml
//! slack:
//!   webhook_url: ${env:SLACK_WEBHOOK_URL}
//!   minimum_tier: queue          # evidence, queue, page
//!   updates: false               # also say what is neither new, nor worse than before, nor over
//!   links: { trace: "https://grafana.example.com/explore?trace={trace_id}" }
//!   tls: {}
//!   timeout: 10s
//!   sending_queue: {}
//!   retry_on_failure: {}
//! ```
//!
//! A webhook cannot change what was posted, so that an incident is a message when it is first heard of, when it wants
//! more attention than before, and when it is over. One message a second, as Slack asks. All text of an incident is
//! `plain_text`: nothing in it can mention a channel or hide a link.

use std::time::Duration;

use reqwest::Url;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    alert::{
        Alert, Tier,
        announced::{Announced, Turn},
        chat::{Chat, opening},
        links::{Links, check_links, links},
        send::{Terms, check_sending, in_order, patient, sending},
        text,
    },
    client::{check_server_name, check_timeout, check_url, client},
    tls,
};
use crate::{
    config::{Check, Report, Secret},
    pipeline::{
        Next,
        component::{Context, ExporterConfig, StartError},
        queue, retry,
    },
};

/// Slack's limits, characters.
const LONGEST_HEADER: usize = 150;
const LONGEST_SECTION: usize = 3000;
const LONGEST_FIELD: usize = 2000;
const LONGEST_BUTTON: usize = 75;
const LONGEST_URL: usize = 3000;
/// Fields in a section.
const MOST_FIELDS: usize = 10;
/// One message a second for each webhook.
const PACE: Duration = Duration::from_secs(1);

/// The configuration.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The webhook's URL; whoever has it can post.
    pub webhook_url: Secret,
    /// The least that is sent.
    pub minimum_tier: Tier,
    /// Whether every update is a message.
    pub updates: bool,
    /// Names and URLs for buttons; `{incident_id}`, `{trace_id}` and `{function}` are filled in.
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
            webhook_url: Secret::default(),
            minimum_tier: Tier::Queue,
            updates: false,
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
        if self.webhook_url.is_empty() {
            report.error("webhook_url", "is missing").hint("the URL of an incoming webhook of a Slack app");
        }
        check_url("webhook_url", self.webhook_url.expose(), report);
        check_links(&self.links, report);
        check_timeout(self.timeout, report);
        check_server_name(&self.tls, report);
        report.within("tls", &self.tls);
        check_sending(&self.sending_queue, &self.retry_on_failure, report);
    }
}

impl ExporterConfig for Config {
    fn build(&self, context: &Context) -> Result<Next, StartError> {
        let url =
            Url::parse(self.webhook_url.expose()).map_err(|error| context.error(format!("webhook_url: {error}")))?;
        let chat = Chat {
            client: client(&self.tls, self.timeout, context)?,
            url,
            updates: self.updates,
            links: self.links.clone(),
            announced: Announced::default(),
            message,
        };
        let terms = Terms {
            tier: self.minimum_tier,
            most: 1,
            pace: PACE,
            queue: &self.sending_queue,
            retry: &self.retry_on_failure,
        };
        Ok(sending(chat, &terms, context))
    }
}

fn message(alert: &Alert, turn: Turn, named: &Links) -> Value {
    let plain = |text: &str, most: usize| json!({"type": "plain_text", "text": text::cut(text, most), "emoji": false});
    let what = opening(alert, turn);
    let headline = text::title(alert);
    let mut blocks = vec![
        json!({"type": "header", "text": plain(&format!("{what}: {}", alert.function), LONGEST_HEADER)}),
        json!({"type": "section", "text": plain(&headline, LONGEST_SECTION)}),
    ];
    let fields: Vec<Value> = text::facts(alert)
        .into_iter()
        .take(MOST_FIELDS)
        .map(|(name, value)| plain(&format!("{name}\n{value}"), LONGEST_FIELD))
        .collect();
    blocks.push(json!({"type": "section", "fields": fields}));
    if turn != Turn::Resolved {
        let mut why = text::evidence(alert);
        why.extend((!alert.counterfactual.is_empty()).then(|| alert.counterfactual.clone()));
        if !why.is_empty() {
            blocks.push(json!({"type": "section", "text": plain(&why.join("\n"), LONGEST_SECTION)}));
        }
    }
    let buttons: Vec<Value> = links(named, alert)
        .into_iter()
        .filter(|(_, url)| url.len() <= LONGEST_URL)
        .map(|(name, url)| json!({"type": "button", "text": plain(&name, LONGEST_BUTTON), "url": url}))
        .collect();
    if !buttons.is_empty() {
        blocks.push(json!({"type": "actions", "elements": buttons}));
    }
    // What a notification shows. Here Slack reads mark-up, unless it is told not to look.
    json!({"text": escaped(&format!("{what}: {headline}")), "mrkdwn": false, "blocks": blocks})
}

/// The three characters that begin something in Slack's mark-up.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
