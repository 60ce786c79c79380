//! `microsoft_teams` exporter: incidents as Adaptive Cards in a channel or chat of Microsoft Teams.
//!
//! ```yaml
//! microsoft_teams:
//!   webhook_url: ${env:TEAMS_WEBHOOK_URL}   # of the workflow "Post to a channel when a webhook request is received"
//!   minimum_tier: queue                     # evidence, queue, page
//!   updates: false                          # also say what is neither new, nor worse than before, nor over
//!   links: { trace: "https://grafana.example.com/explore?trace={trace_id}" }
//!   tls: {}
//!   timeout: 10s
//!   sending_queue: {}
//!   retry_on_failure: {}
//! ```
//!
//! A workflow cannot change what was posted, so that an incident is a card when it is first heard of, when it wants more
//! attention than before, and when it is over. Four cards a second at most. Text of an incident stands in text runs,
//! which Teams does not read as mark-up.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::alert::{
    Alert, Tier,
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

/// Teams takes 28 KB; a text of this many characters, in all, stays well below.
const LONGEST_TEXT: usize = 400;
/// Four requests a second.
const PACE: Duration = Duration::from_millis(250);

/// The configuration.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Config(chat::Config);

impl Check for Config {
    fn check(&self, report: &mut Report<'_>) {
        self.0.check("the URL of a workflow that posts to a channel when a webhook request is received", report);
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
    let colour = match (turn, alert.tier) {
        (Turn::Resolved | Turn::NeverMind, _) => "Good",
        (Turn::Escalated, _) | (Turn::New, Tier::Page) => "Attention",
        _ => "Warning",
    };
    let what = opening(alert, turn);
    let title = text::title(alert);
    let mut body = vec![
        // Our own words: the only text that is not a run.
        json!({"type": "TextBlock", "text": what, "size": "Medium", "weight": "Bolder", "color": colour, "wrap": true}),
        paragraph([run(&title, true)]),
    ];
    for (name, value) in text::facts(alert) {
        body.push(paragraph([run(&format!("{name}: "), true), run(&value, false)]));
    }
    if turn != Turn::Resolved {
        body.extend(text::evidence(alert).iter().map(|line| paragraph([run("• ", false), run(line, false)])));
        if !alert.counterfactual.is_empty() {
            body.push(paragraph([run(&alert.counterfactual, false)]));
        }
    }
    let actions: Vec<Value> = links(named, alert)
        .into_iter()
        .map(|(title, url)| json!({"type": "Action.OpenUrl", "title": title, "url": url}))
        .collect();
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "fallbackText": text::cut(&title, LONGEST_TEXT),
                "msteams": {"width": "Full"},
                "body": body,
                "actions": actions,
            },
        }],
    })
}

fn paragraph<const N: usize>(runs: [Value; N]) -> Value {
    let runs = Value::from(Vec::from(runs));
    json!({"type": "RichTextBlock", "inlines": runs})
}

fn run(text: &str, strong: bool) -> Value {
    let weight = if strong { "Bolder" } else { "Default" };
    json!({"type": "TextRun", "text": text::cut(text, LONGEST_TEXT), "weight": weight})
}
