//! `webhook` exporter: each log record, an alert above all, as one HTTP request.
//!
//! ```yaml
//! webhook:
//!   endpoint: https://on-call.example.com/sekisho
//!   method: POST
//!   format: json               # json, template, cloudevents, cloudevents_binary
//!   template: ""               # with `format: template`: the body, in the language of Jinja
//!   content_type: application/json
//!   source: /sekisho           # of CloudEvents: which gateway this is
//!   signing_secret: whsec_…    # signs each request as Standard Webhooks says
//!   minimum_tier: evidence     # of alerts: evidence, queue, page
//!   links: { trace: "https://grafana.example.com/explore?trace={trace_id}" }
//!   headers: { authorization: Bearer … }
//!   auth: { authenticator: basicauth/pager }
//!   tls: {}
//!   timeout: 10s
//!   sending_queue: {}
//!   retry_on_failure: {}
//! ```
//!
//! The document has `headline`, `time`, `severity`, `trace_id`, `span_id`; under `incident` everything that
//! `sekisho.incident.*` says (`id`, `state`, `tier`, `priority`, `evidence`, …); under `attributes` and `resource` the
//! rest; of an alert also `title`, `text` (the whole for people) and `links`. A template sees all of it; in JSON each
//! `{{ … }}` comes with its own quotes. CloudEvents (1.0) carry the document as data, in the body (`cloudevents`) or with
//! the envelope in headers (`cloudevents_binary`); `type` is `sekisho.incident.opened`, `.updated` or `.resolved`,
//! `subject` the incident.
//!
//! Records are posted one after the other, each until it is taken or refused for good.

mod signature;
mod template;

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use reqwest::{Client, Url};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use signature::Key;
use template::Template;

use super::{
    alert::{
        Alert, Tier,
        links::{Links, check_links, links},
        object, parts, plain,
        send::{check_sending, in_chunks, in_order, patient},
        text,
    },
    answer,
    client::{check_auth, check_endpoint, check_headers, check_timeout, client, exchange, header_map},
    tls,
};
use crate::{
    config::{Check, Report, Secret},
    otlp::{time::rfc3339, view},
    pipeline::{
        Batch, Boxed, Consumer, Next, Outcome,
        component::{Context, ExporterConfig, StartError},
        queue, retry,
    },
    transport::auth,
};

/// The configuration.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where to post.
    pub endpoint: String,
    /// How: POST or PUT.
    pub method: String,
    /// What a request looks like.
    pub format: Format,
    /// With `format: template`, the body; `headline`, `incident.id` and so on are put in the place of `{{ headline }}`.
    pub template: String,
    /// Of the body of `json` and `template`; if it is JSON, a template's values are written as JSON.
    pub content_type: String,
    /// Which gateway this is, as a URI or a path, for CloudEvents.
    pub source: String,
    /// `whsec_` and a key in base64: each request is signed with it, as Standard Webhooks says.
    pub signing_secret: Secret,
    /// Alerts of a lower tier are not sent.
    pub minimum_tier: Tier,
    /// Names and URLs; `{incident_id}`, `{trace_id}` and `{function}` are filled in.
    pub links: Links,
    /// Sent with every request.
    pub headers: BTreeMap<String, Secret>,
    /// The extension that says who we are.
    pub auth: Option<auth::Config>,
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
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// The document.
    #[default]
    Json,
    /// What the template makes of it.
    Template,
    /// A CloudEvent, all in the body.
    Cloudevents,
    /// A CloudEvent, its attributes in headers.
    CloudeventsBinary,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            method: "POST".to_owned(),
            format: Format::Json,
            template: String::new(),
            content_type: "application/json".to_owned(),
            source: "/sekisho".to_owned(),
            signing_secret: Secret::default(),
            minimum_tier: Tier::Evidence,
            links: Links::new(),
            headers: BTreeMap::new(),
            auth: None,
            tls: tls::Config::default(),
            timeout: Duration::from_secs(10),
            sending_queue: in_order(),
            retry_on_failure: patient(),
        }
    }
}

impl Check for Config {
    fn check(&self, report: &mut Report<'_>) {
        check_endpoint(&self.endpoint, "https://on-call.example.com/sekisho", &self.tls, report);
        if !["POST", "PUT"].contains(&self.method.as_str()) {
            report
                .error("method", format!("`{}` is not supported", self.method))
                .suggest(&self.method, &["POST", "PUT"]);
        }
        self.check_format(report);
        if !self.signing_secret.is_empty()
            && let Err(why) = Key::parse(&self.signing_secret)
        {
            report.error("signing_secret", why).hint("whsec_ and what `openssl rand -base64 32` prints");
        }
        check_links(&self.links, report);
        check_headers(&self.headers, report);
        check_timeout(self.timeout, report);
        check_auth(self.auth.as_ref(), report);
        check_sending(&self.sending_queue, &self.retry_on_failure, report);
    }
}

impl Config {
    fn check_format(&self, report: &mut Report<'_>) {
        if HeaderValue::from_str(&self.content_type).is_err() || self.content_type.is_empty() {
            report.error("content_type", "is not a media type").hint("such as application/json");
        }
        if HeaderValue::from_str(&self.source).is_err() || self.source.is_empty() {
            report.error("source", "is not a URI").hint("such as /sekisho or https://gateway.example.com");
        }
        match (self.format, self.template.is_empty()) {
            (Format::Template, true) => {
                report.error("template", "is missing").hint("`format: template` needs one");
            }
            (Format::Template, false) => {
                let tried = self.template().and_then(|template| template.render(&example()));
                if let Err(why) = tried {
                    report.error("template", format!("does not work: {why}"));
                } else if self.is_json()
                    && let Ok(text) = tried
                    && let Err(error) = serde_json::from_str::<Value>(&text)
                {
                    let message = format!("does not make JSON, which content_type promises: {error}");
                    report.error("template", message).hint("`{{ headline }}` brings its own quotes");
                }
            }
            (_, false) => {
                report.error("template", "does nothing without `format: template`");
            }
            (_, true) => {}
        }
    }

    fn is_json(&self) -> bool {
        let kind = self.content_type.split(';').next().unwrap_or_default().trim();
        kind.ends_with("/json") || kind.ends_with("+json")
    }

    fn template(&self) -> Result<Template, String> {
        Template::new(&self.template, self.is_json())
    }
}

impl ExporterConfig for Config {
    fn build(&self, context: &Context) -> Result<Next, StartError> {
        let url = Url::parse(&self.endpoint).map_err(|error| context.error(format!("endpoint: {error}")))?;
        let template = match self.format {
            Format::Template => Some(self.template().map_err(|why| context.error(format!("template: {why}")))?),
            _ => None,
        };
        let send = Arc::new(Sender {
            client: client(&self.tls, self.timeout, context)?,
            url,
            method: if self.method == "PUT" { Method::PUT } else { Method::POST },
            headers: header_map(&self.headers),
            auth: self.auth.as_ref().map(|auth| auth.client(context)).transpose()?,
            key: Key::parse(&self.signing_secret).ok(),
            template,
            config: self.clone(),
        });
        // A request that is retried must not have the others posted twice.
        in_chunks(send, 1, &self.sending_queue, &self.retry_on_failure, context)
    }

    fn extensions(&self) -> Vec<(&'static str, &str)> {
        self.sending_queue.extensions()
    }

    fn authenticator(&self) -> Option<(&'static str, &str)> {
        Some(("auth::authenticator", self.auth.as_ref()?.authenticator.as_str()))
    }
}

struct Sender {
    client: Client,
    url: Url,
    method: Method,
    headers: HeaderMap,
    auth: Option<Arc<dyn auth::Client>>,
    key: Option<Key>,
    template: Option<Template>,
    config: Config,
}

impl Consumer for Sender {
    fn consume(&self, batch: Batch) -> Boxed<'_, Outcome> {
        Box::pin(async move {
            let Some(event) = self.event(&batch.body) else { return Outcome::Accepted };
            let (mut headers, body) = match self.request(&event) {
                Ok(request) => request,
                Err(reason) => return Outcome::Permanent { reason },
            };
            if let Some(Err(reason)) = self.auth.as_ref().map(|auth| auth.authenticate(&mut headers)) {
                return Outcome::Retryable { after: None, reason };
            }
            let request = self.client.request(self.method.clone(), self.url.clone());
            exchange(request.headers(headers).body(body), answer::of_api).await
        })
    }
}

/// One record to post.
struct Event {
    /// The same for every attempt, and for nothing else.
    id: String,
    kind: String,
    /// The incident, if it is one.
    subject: Option<String>,
    time: String,
    document: Value,
}

impl Sender {
    /// The first record of a request; `None` if it is below the tier, or there is none.
    fn event(&self, body: &[u8]) -> Option<Event> {
        let mut document = documents(body).next()?;
        let time = document["time"].as_str().unwrap_or_default().to_owned();
        let Some(alert) = Alert::all(body).next().flatten() else {
            let id = format!("log-{}", crate::otlp::hex(&Sha256::digest(body)[..16]));
            return Some(Event { id, kind: "sekisho.log".to_owned(), subject: None, time, document });
        };
        if alert.tier < self.config.minimum_tier {
            return None;
        }
        document["title"] = text::title(&alert).into();
        document["text"] = text::plain(&alert).into();
        document["links"] = links(&self.config.links, &alert).into_iter().collect();
        let kind = format!("sekisho.incident.{}", alert.state.name());
        // What escalation sends again, it sends for another reason.
        let id = match alert.attribute("sekisho.escalation.step") {
            step if step.is_empty() => alert.revision(),
            step => format!("{}-{step}", alert.revision()),
        };
        Some(Event { id, kind, subject: Some(alert.id), time, document })
    }

    fn request(&self, event: &Event) -> Result<(HeaderMap, String), String> {
        let mut headers = self.headers.clone();
        let mut own = |name: HeaderName, value: &str| {
            let value = HeaderValue::from_str(value).map_err(|_| format!("{name} cannot be sent in a header"))?;
            headers.insert(name, value);
            Ok::<(), String>(())
        };
        let body = match self.config.format {
            Format::Json => {
                own(header::CONTENT_TYPE, &self.config.content_type)?;
                event.document.to_string()
            }
            Format::Template => {
                own(header::CONTENT_TYPE, &self.config.content_type)?;
                let template = self.template.as_ref().ok_or("there is no template")?;
                template.render(&event.document).map_err(|why| format!("the template does not work on it: {why}"))?
            }
            Format::Cloudevents => {
                own(header::CONTENT_TYPE, "application/cloudevents+json; charset=utf-8")?;
                let mut envelope: Map<String, Value> =
                    self.attributes(event).into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
                envelope.insert("datacontenttype".to_owned(), "application/json".into());
                envelope.insert("data".to_owned(), event.document.clone());
                Value::Object(envelope).to_string()
            }
            Format::CloudeventsBinary => {
                own(header::CONTENT_TYPE, "application/json")?;
                for (name, value) in self.attributes(event) {
                    let name = HeaderName::try_from(format!("ce-{name}")).map_err(|error| error.to_string())?;
                    own(name, &header_escaped(&value))?;
                }
                event.document.to_string()
            }
        };
        if let Some(key) = &self.key {
            headers.extend(key.sign(&event.id, body.as_bytes()));
        }
        Ok((headers, body))
    }

    /// CloudEvents' context attributes.
    fn attributes(&self, event: &Event) -> Vec<(&'static str, String)> {
        let mut attributes = vec![
            ("specversion", "1.0".to_owned()),
            ("id", event.id.clone()),
            ("source", self.config.source.clone()),
            ("type", event.kind.clone()),
            ("time", event.time.clone()),
        ];
        attributes.extend(event.subject.clone().map(|subject| ("subject", subject)));
        attributes
    }
}

/// As the HTTP binding of CloudEvents writes an attribute.
fn header_escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if matches!(byte, b'!'..=b'~') && byte != b'"' && byte != b'%' {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

/// What templates are tried on: every key an alert has.
fn example() -> Value {
    let evidence = json!({
        "feature": "new destination", "observed": "198.51.100.23", "usual": "", "bits": 17.2, "seen_in": 0,
        "out_of": 1204, "source": "platform",
    });
    json!({
        "headline": "checkout talks to a destination it never talked to",
        "title": "checkout talks to a destination it never talked to",
        "text": "checkout talks to a destination it never talked to",
        "time": "2026-11-23T14:02:09Z",
        "severity": "ERROR",
        "trace_id": "5b8efff798038103d269b633813fc60c",
        "span_id": "eee19b7ec3c1b174",
        "incident": {
            "id": "inc-0000000000", "state": "opened", "tier": "page", "priority": 83, "score": 38.4, "line": 21.0,
            "first_seen": "2026-11-23T14:02:09Z", "last_seen": "2026-11-23T14:02:09Z", "invocations": ["i-1"],
            "evidence": [evidence], "counterfactual": "", "techniques": ["T1041"],
        },
        "attributes": {"faas.name": "checkout", "faas.version": "7", "sekisho.guarantee": ""},
        "resource": {"faas.name": "checkout"},
        "links": {},
    })
}

/// A document for each log record of a request.
fn documents(body: &[u8]) -> impl Iterator<Item = Value> {
    view::resources(body).flat_map(|group| {
        let resource = object(group.attributes());
        let records = group.scopes().flat_map(|scope| scope.records());
        records.map(move |record| document(record, &resource))
    })
}

fn document(record: &[u8], resource: &Map<String, Value>) -> Value {
    let (log, mut incident, attributes) = parts(record);
    for name in ["first_seen", "last_seen"] {
        if let Some(nanos) = incident.get(name).and_then(Value::as_u64) {
            incident.insert(name.to_owned(), rfc3339(nanos).into());
        }
    }
    let time = if log.time == 0 { log.observed_time } else { log.time };
    json!({
        "headline": plain(log.body),
        "time": rfc3339(time),
        "severity": String::from_utf8_lossy(log.severity_text),
        "trace_id": crate::otlp::hex(log.trace_id),
        "span_id": crate::otlp::hex(log.span_id),
        "incident": incident,
        "attributes": attributes,
        "resource": resource,
    })
}
