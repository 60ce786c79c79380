//! `otlp_grpc` exporter (also `otlp`): OTLP over gRPC.
//!
//! ```yaml
//! otlp_grpc:
//!   endpoint: tempo:4317        # host:port, or with http:// or https://
//!   tls: { insecure: true }     # otherwise TLS with the system's certificates
//!   compression: gzip           # none, gzip, zstd
//!   headers: { x-tenant: one }
//!   timeout: 5s
//!   sending_queue: {}           # see pipeline/queue.rs
//!   retry_on_failure: {}        # see pipeline/retry.rs
//! ```
//!
//! The request's bytes are the message: nothing is decoded or encoded. A destination that is away costs waiting, then
//! `Overloaded` for senders; see the queue for what can be lost when.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri};
use http_body_util::{BodyExt as _, Full};
use serde::Deserialize;
use tonic::{
    Code, Status,
    body::Body,
    transport::{Channel, Endpoint},
};
use tower::{Service as _, ServiceExt as _};

use super::{answer, sending, tls};
use crate::{
    config::{Check, Report, Secret},
    otlp::{
        Signal,
        compression::{Encoding, compress},
    },
    pipeline::{
        Batch, Boxed, Consumer, Next, Outcome,
        component::{Context, ExporterConfig, StartError},
        queue, retry,
    },
};

/// HTTP/2 windows: larger than any usual request, so that one never waits for the other side's acknowledgement.
const WINDOW: u32 = 8 << 20;
/// Answers are small; a destination that sends more than this is not OTLP.
const LARGEST_ANSWER: usize = 4 << 20;

/// The configuration; keys and defaults are the Collector's.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where to send.
    pub endpoint: String,
    /// How to trust it.
    pub tls: tls::Config,
    /// How bodies are compressed: none, gzip, zstd.
    pub compression: String,
    /// Sent with every call.
    pub headers: BTreeMap<String, Secret>,
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
            tls: tls::Config::default(),
            compression: Encoding::Gzip.name().to_owned(),
            headers: BTreeMap::new(),
            timeout: Duration::from_secs(5),
            sending_queue: queue::Config::default(),
            retry_on_failure: retry::Config::default(),
        }
    }
}

impl Check for Config {
    fn check(&self, report: &mut Report<'_>) {
        if self.endpoint.is_empty() {
            report.error("endpoint", "is missing").hint("such as tempo:4317");
        } else if let Err(reason) = self.uri() {
            report.error("endpoint", reason).hint("such as tempo:4317 or https://otlp.example.com:4317");
        }
        check_compression(&self.compression, report);
        check_headers(&self.headers, report);
        report.within("tls", &self.tls);
        report.within("sending_queue", &self.sending_queue);
        report.within("retry_on_failure", &self.retry_on_failure);
    }
}

/// Says what is wrong with `compression`, the same for all exporters.
pub(super) fn check_compression(name: &str, report: &mut Report<'_>) {
    if Encoding::parse(name).is_none_or(|encoding| encoding == Encoding::Deflate) {
        report.error("compression", format!("`{name}` is not supported")).suggest(name, &["none", "gzip", "zstd"]);
    }
}

/// Says which headers cannot be sent, the same for all exporters.
pub(super) fn check_headers(headers: &BTreeMap<String, Secret>, report: &mut Report<'_>) {
    for (name, value) in headers {
        if HeaderName::try_from(name).is_err() {
            report.error(&format!("headers::{name}"), "is not a valid header name");
        } else if HeaderValue::from_str(value.expose()).is_err() {
            report.error(&format!("headers::{name}"), "has a value that cannot be sent in a header");
        }
    }
}

/// `headers` as they are sent; invalid ones were refused by the check.
pub(super) fn header_map(headers: &BTreeMap<String, Secret>) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        if let (Ok(name), Ok(mut value)) = (HeaderName::try_from(name), HeaderValue::from_str(value.expose())) {
            value.set_sensitive(true);
            map.insert(name, value);
        }
    }
    map
}

impl Config {
    fn uri(&self) -> Result<Uri, String> {
        let (scheme, rest) = match self.endpoint.split_once("://") {
            Some(("http", rest)) => ("http", rest),
            Some(("https", rest)) => ("https", rest),
            Some((scheme, _)) => return Err(format!("`{scheme}://` is not a scheme for gRPC")),
            None if self.tls.insecure => ("http", self.endpoint.as_str()),
            None => ("https", self.endpoint.as_str()),
        };
        let rest = rest.trim_end_matches('/');
        if rest.contains('/') {
            return Err("must not have a path".to_owned());
        }
        format!("{scheme}://{rest}").parse().map_err(|error| format!("is not an address: {error}"))
    }
}

impl ExporterConfig for Config {
    fn build(&self, context: &Context) -> Result<Next, StartError> {
        let uri = self.uri().map_err(|reason| context.error(format!("endpoint {reason}")))?;
        let secure = uri.scheme_str() == Some("https");
        let mut endpoint = Endpoint::from(uri)
            .tcp_nodelay(true)
            .connect_timeout(self.timeout)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW);
        if secure {
            let tls = self.tls.for_tonic(context)?;
            endpoint = endpoint.tls_config(tls).map_err(|error| context.error(format!("tls: {error}")))?;
        }
        let send = Arc::new(Sender {
            channel: endpoint.connect_lazy(),
            encoding: Encoding::parse(&self.compression).unwrap_or(Encoding::Gzip),
            headers: header_map(&self.headers),
            timeout: self.timeout,
        });
        Ok(sending(send, &self.sending_queue, &self.retry_on_failure, context))
    }
}

struct Sender {
    channel: Channel,
    encoding: Encoding,
    headers: HeaderMap,
    timeout: Duration,
}

impl Sender {
    async fn send(&self, batch: Batch) -> Outcome {
        match tokio::time::timeout(self.timeout, self.call(&batch)).await {
            Ok(Ok((status, response))) => answer::of_grpc(&status, &response),
            Ok(Err(reason)) => Outcome::Retryable { after: None, reason },
            Err(_) => Outcome::Retryable { after: None, reason: format!("no answer within {:?}", self.timeout) },
        }
    }

    /// One call: the status it ended with, and the response message.
    async fn call(&self, batch: &Batch) -> Result<(Status, Bytes), String> {
        let mut channel = self.channel.clone();
        let channel = channel.ready().await.map_err(|error| causes(&error))?;
        let response = channel.call(self.request(batch)).await.map_err(|error| causes(&error))?;
        let (parts, body) = response.into_parts();
        if parts.status != http::StatusCode::OK {
            // A proxy in between: what it means for HTTP it means for us.
            let code = if parts.status.is_server_error() { Code::Unavailable } else { Code::Internal };
            return Ok((Status::new(code, format!("HTTP status {}", parts.status)), Bytes::new()));
        }
        if let Some(status) = Status::from_header_map(&parts.headers) {
            return Ok((status, Bytes::new()));
        }
        let body = http_body_util::Limited::new(body, LARGEST_ANSWER);
        let collected = body.collect().await.map_err(|error| format!("the answer broke off: {error}"))?;
        let status = collected.trailers().and_then(Status::from_header_map);
        let status = status.unwrap_or_else(|| Status::new(Code::Unavailable, "the answer has no status"));
        let message = collected.to_bytes();
        Ok((status, message.slice(5.min(message.len())..)))
    }

    fn request(&self, batch: &Batch) -> Request<Body> {
        let compressed = self.encoding != Encoding::Identity;
        let message = if compressed { compress(self.encoding, &batch.body).into() } else { batch.body.clone() };
        let mut framed = BytesMut::with_capacity(5 + message.len());
        framed.put_u8(u8::from(compressed));
        framed.put_u32(message.len() as u32);
        framed.extend_from_slice(&message);
        let mut request = Request::new(Body::new(Full::new(framed.freeze())));
        *request.method_mut() = http::Method::POST;
        *request.version_mut() = http::Version::HTTP_2;
        *request.uri_mut() = Uri::from_static(match batch.signal {
            Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
            Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        });
        let headers = request.headers_mut();
        headers.clone_from(&self.headers);
        headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(http::header::TE, HeaderValue::from_static("trailers"));
        if compressed {
            headers.insert("grpc-encoding", HeaderValue::from_static(self.encoding.name()));
        }
        request
    }
}

impl Consumer for Sender {
    fn consume(&self, batch: Batch) -> Boxed<'_, Outcome> {
        Box::pin(self.send(batch))
    }
}

/// An error with everything that caused it: "transport error" alone helps nobody.
pub(super) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}
