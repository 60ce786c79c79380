//! Exporters to chat: one message when an incident is first heard of, when it wants more attention than before, when it
//! is over, and for updates if that is wanted.

use std::time::Duration;

use reqwest::{Client, Url};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{
    super::{
        answer,
        client::{check_timeout, check_url, client, exchange},
        tls,
    },
    Alert, Tier,
    announced::{Announced, Turn},
    links::{Links, check_links},
    send::{Deliver, Terms, check_sending, in_order, patient, sending},
};
use crate::{
    config::{Report, Secret},
    pipeline::{
        Boxed, Next, Outcome,
        component::{Context, StartError},
        queue, retry,
    },
};

/// The configuration of an exporter to chat.
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

impl Config {
    /// Says what is wrong; `whence` is where the webhook's URL comes from.
    pub fn check(&self, whence: &str, report: &mut Report<'_>) {
        if self.webhook_url.is_empty() {
            report.error("webhook_url", "is missing").hint(whence);
        }
        check_url("webhook_url", self.webhook_url.expose(), report);
        check_links(&self.links, report);
        check_timeout(self.timeout, report);
        report.within("tls", &self.tls);
        check_sending(&self.sending_queue, &self.retry_on_failure, report);
    }

    /// The exporter that posts what `message` makes of an alert, one every `pace` at most.
    pub fn build(&self, message: Message, pace: Duration, context: &Context) -> Result<Next, StartError> {
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
        let terms =
            Terms { tier: self.minimum_tier, most: 1, pace, queue: &self.sending_queue, retry: &self.retry_on_failure };
        sending(chat, &terms, context)
    }
}

/// An alert in the destination's form.
type Message = fn(&Alert, Turn, &Links) -> Value;

/// A channel behind a webhook.
struct Chat {
    client: Client,
    url: Url,
    updates: bool,
    links: Links,
    /// What the channel has heard.
    announced: Announced,
    message: Message,
}

impl Deliver for Chat {
    fn worth_sending(&self, alert: &Alert) -> bool {
        match self.announced.turn(alert) {
            Turn::New | Turn::Escalated | Turn::Resolved => true,
            Turn::Update => self.updates,
            Turn::NeverMind => false,
        }
    }

    fn deliver<'a>(&'a self, alerts: &'a [Alert]) -> Boxed<'a, Outcome> {
        Box::pin(async move {
            let Some(alert) = alerts.first() else { return Outcome::Accepted };
            let body = (self.message)(alert, self.announced.turn(alert), &self.links).to_string();
            let request = self.client.post(self.url.clone());
            let request = request.header(http::header::CONTENT_TYPE, "application/json").body(body);
            let outcome = exchange(request, answer::of_api).await;
            if outcome == Outcome::Accepted {
                self.announced.told(alert);
            }
            outcome
        })
    }
}

/// What the message is about, in our own words.
pub fn opening(alert: &Alert, turn: Turn) -> String {
    let call = super::text::call(alert.tier);
    match turn {
        Turn::Resolved | Turn::NeverMind => "It is over".to_owned(),
        Turn::Escalated => format!("{call}: more serious than it looked"),
        Turn::Update => format!("{call}: there is more to it"),
        Turn::New => call.to_owned(),
    }
}
