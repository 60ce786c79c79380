//! Exporters to chat: one message when an incident is first heard of, when it wants more attention than before, when it
//! is over, and for updates if that is wanted.

use reqwest::{Client, Url};
use serde_json::Value;

use super::{
    super::client::fetch,
    Alert,
    announced::{Announced, Turn},
    links::Links,
    send::Deliver,
};
use crate::pipeline::{Boxed, Outcome};

/// A channel behind a webhook.
pub struct Chat {
    /// How to get there.
    pub client: Client,
    /// Whoever has it can post.
    pub url: Url,
    /// Whether every update is a message.
    pub updates: bool,
    /// For buttons.
    pub links: Links,
    /// What the channel has heard.
    pub announced: Announced,
    /// An alert in the destination's form.
    pub message: fn(&Alert, Turn, &Links) -> Value,
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
            let outcome = match fetch(request.header(http::header::CONTENT_TYPE, "application/json").body(body)).await {
                Ok(answer) => answer.outcome(),
                Err(away) => away,
            };
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
