//! `webhook` exporter: each log record, an alert above all, as one readable JSON document.
//!
//! ```yaml
//! webhook:
//!   endpoint: https://on-call.example.com/sekisho
//!   method: POST
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
//! rest. Records are posted one after the other, each until it is taken or refused for good.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use http::{HeaderMap, Method, header};
use reqwest::{Client, Url};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::{
    check_sending,
    client::{check_auth, check_headers, check_timeout, check_url, client, header_map, post},
    counted, hexadecimal, tls,
};
use crate::{
    config::{Check, Report, Secret},
    otlp::{
        split::split,
        time::rfc3339,
        view::{self, AnyValue, Attributes, LogRecord},
    },
    pipeline::{
        Batch, Boxed, Consumer, Next, Outcome,
        component::{Context, ExporterConfig, StartError},
        queue::{self, Queue},
        retry::{self, AtEnd, Retry},
    },
    transport::auth,
};

const INCIDENT: &str = "sekisho.incident.";

/// The configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where to post.
    pub endpoint: String,
    /// How: POST or PUT.
    pub method: String,
    /// Sent with every request.
    pub headers: BTreeMap<String, Secret>,
    /// The extension that says who we are.
    pub auth: Option<auth::Config>,
    /// How to trust the destination.
    pub tls: tls::Config,
    /// Of one attempt.
    #[serde(with = "crate::config::duration")]
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
            method: "POST".to_owned(),
            headers: BTreeMap::new(),
            auth: None,
            tls: tls::Config::default(),
            timeout: Duration::from_secs(10),
            sending_queue: queue::Config::default(),
            // An alert is worth waiting for: a pager that is down for a day still gets it.
            retry_on_failure: retry::Config { max_elapsed_time: Duration::ZERO, ..retry::Config::default() },
        }
    }
}

impl Check for Config {
    fn check(&self, report: &mut Report<'_>) {
        if self.endpoint.is_empty() {
            report.error("endpoint", "is missing").hint("such as https://on-call.example.com/sekisho");
        }
        check_url("endpoint", &self.endpoint, report);
        if !["POST", "PUT"].contains(&self.method.as_str()) {
            report
                .error("method", format!("`{}` is not supported", self.method))
                .suggest(&self.method, &["POST", "PUT"]);
        }
        check_headers(&self.headers, report);
        check_timeout(self.timeout, report);
        check_auth(self.auth.as_ref(), report);
        report.within("tls", &self.tls);
        self.tls.check_scheme(&self.endpoint, report);
        check_sending(&self.sending_queue, &self.retry_on_failure, report);
    }
}

impl ExporterConfig for Config {
    fn build(&self, context: &Context) -> Result<Next, StartError> {
        let url = Url::parse(&self.endpoint).map_err(|error| context.error(format!("endpoint: {error}")))?;
        let send = Arc::new(Sender {
            client: client(&self.tls, self.timeout, context)?,
            url,
            method: if self.method == "PUT" { Method::PUT } else { Method::POST },
            headers: header_map(&self.headers),
            auth: self.auth.as_ref().map(|auth| auth.client(context)).transpose()?,
        });
        let closing = CancellationToken::new();
        let at_end = self.sending_queue.at_end();
        let one = Retry::over(&self.retry_on_failure, counted(send, context), closing.clone(), at_end);
        let leave = (at_end == AtEnd::Leave).then(|| closing.clone());
        Queue::over(&self.sending_queue, Arc::new(OneByOne { one, leave }), closing, context)
    }

    fn extensions(&self) -> Vec<(&'static str, &str)> {
        self.sending_queue.extensions()
    }

    fn authenticator(&self) -> Option<(&'static str, &str)> {
        Some(("auth::authenticator", self.auth.as_ref()?.authenticator.as_str()))
    }
}

/// Hands on each record as a request of its own: one that is retried must not have the others posted twice.
struct OneByOne {
    one: Next,
    /// Once cancelled, a record that is refused for now is left on disk, and its batch with it: better twice than never.
    leave: Option<CancellationToken>,
}

impl OneByOne {
    async fn take(&self, batch: Batch) -> Outcome {
        let (mut rejected, mut message) = (0, String::new());
        for one in split(&batch, 1) {
            match self.one.consume(one).await {
                Outcome::Accepted => continue,
                for_now @ (Outcome::Retryable { .. } | Outcome::Overloaded { .. })
                    if self.leave.as_ref().is_some_and(CancellationToken::is_cancelled) =>
                {
                    return for_now;
                }
                Outcome::Partial { message: reason, .. }
                | Outcome::Permanent { reason }
                | Outcome::Retryable { reason, .. } => message = reason,
                Outcome::Overloaded { .. } => "the destination stayed overloaded".clone_into(&mut message),
            }
            rejected += 1;
        }
        if rejected == 0 { Outcome::Accepted } else { Outcome::Partial { rejected, message } }
    }
}

impl Consumer for OneByOne {
    fn consume(&self, batch: Batch) -> Boxed<'_, Outcome> {
        Box::pin(self.take(batch))
    }
}

struct Sender {
    client: Client,
    url: Url,
    method: Method,
    headers: HeaderMap,
    auth: Option<Arc<dyn auth::Client>>,
}

impl Consumer for Sender {
    fn consume(&self, batch: Batch) -> Boxed<'_, Outcome> {
        Box::pin(async move {
            let Some(document) = documents(&batch.body).next() else { return Outcome::Accepted };
            let mut headers = self.headers.clone();
            if let Some(Err(reason)) = self.auth.as_ref().map(|auth| auth.authenticate(&mut headers)) {
                return Outcome::Retryable { after: None, reason };
            }
            let request = self.client.request(self.method.clone(), self.url.clone()).headers(headers);
            let request = request.header(header::CONTENT_TYPE, "application/json").body(document.to_string());
            post(request).await
        })
    }
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
    let (mut incident, mut attributes) = (Map::new(), Map::new());
    let log = LogRecord::scan(record, |key, value| {
        let key = String::from_utf8_lossy(key);
        match key.strip_prefix(INCIDENT) {
            Some(name) => incident.insert(name.to_owned(), plain(value)),
            None => attributes.insert(key.into_owned(), plain(value)),
        };
    });
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
        "trace_id": hexadecimal(log.trace_id),
        "span_id": hexadecimal(log.span_id),
        "incident": incident,
        "attributes": attributes,
        "resource": resource,
    })
}

fn object(attributes: Attributes<'_>) -> Map<String, Value> {
    attributes.map(|(key, value)| (String::from_utf8_lossy(key).into_owned(), plain(value))).collect()
}

pub(super) fn plain(value: AnyValue<'_>) -> Value {
    match value {
        AnyValue::Empty => Value::Null,
        AnyValue::String(text) => String::from_utf8_lossy(text).into(),
        AnyValue::Bool(value) => value.into(),
        AnyValue::Int(value) => value.into(),
        AnyValue::Double(value) => value.into(),
        AnyValue::Bytes(bytes) => hexadecimal(bytes).into(),
        AnyValue::Array(_) => value.elements().map(plain).collect(),
        AnyValue::KvList(_) => object(value.entries()).into(),
    }
}
