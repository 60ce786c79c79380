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

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::alert::{
    Alert,
    announced::Turn,
    chat::{self, opening},
    links::{Links, links},
    text,
};
use crate::{
    config::{Check, Report},
    pipeline::{
        Next,
        component::{Context, ExporterConfig, StartError},
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
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Config(chat::Config);

impl Check for Config {
    fn check(&self, report: &mut Report<'_>) {
        self.0.check("the URL of an incoming webhook of a Slack app", report);
    }
}

impl ExporterConfig for Config {
    fn build(&self, context: &Context) -> Result<Next, StartError> {
        self.0.build(message, PACE, context)
    }

    fn extensions(&self) -> Vec<(&'static str, &str)> {
        self.0.sending_queue.extensions()
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
