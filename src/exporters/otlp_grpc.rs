//! `otlp_grpc` exporter (also `otlp`): OTLP over gRPC.
//!
//! ```yaml
//! otlp_grpc:
//!   endpoint: tempo:4317        # host:port, or with http:// or https://; or unix:///path/of/socket
//!   tls: { insecure: true }     # otherwise TLS with the system's certificates; see transport/tls/client.rs
//!   compression: gzip           # none, gzip, zstd, snappy
//!   headers: { x-tenant: one }
//!   auth: { authenticator: bearertokenauth }
//!   authority: ""               # the name we call it by, instead of the endpoint's
//!   max_send_msg_size_mib: 64   # larger requests are not sent, but dropped and counted; 0: no limit
//!   timeout: 5s
//!   keepalive: { time: 10s, timeout: 10s, permit_without_stream: false }   # off unless there
//!   sending_queue: {}           # see pipeline/queue.rs
//!   retry_on_failure: {}        # see pipeline/retry.rs
//! ```
//!
//! The request's bytes are the message: nothing is decoded or encoded. A destination that is away costs waiting, then
//! `Overloaded` for senders; see the queue for what can be lost when. A connection on which an answer did not come in time
//! is not used again: its other end may be gone without a word.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{self, Poll},
    time::Duration,
};

use arc_swap::ArcSwap;
use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Uri, uri::Authority};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use rustls::pki_types::ServerName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tonic::{
    Code, Status,
    body::Body,
    transport::{Channel, Endpoint},
};
use tower::{Service as _, ServiceExt as _};

use super::{
    answer, check_sending,
    client::{self, causes, check_auth, check_grpc_compression, check_headers, check_timeout, header_map},
    sending, tls,
};
use crate::{
    config::{Check, Report, Secret, Toggle},
    otlp::{
        Signal,
        compression::{Encoding, compress},
    },
    pipeline::{
        Batch, Boxed, Consumer, Next, Outcome,
        component::{Context, ExporterConfig, StartError},
        queue, retry,
    },
    transport::{
        auth,
        dial::{Dial, To},
    },
};

/// HTTP/2 windows: larger than any usual request, so that one never waits for the other side's acknowledgement.
const WINDOW: u32 = 8 << 20;
/// Answers are small; a destination that sends more than this is not OTLP.
const LARGEST_ANSWER: usize = 4 << 20;

/// Before each message: whether it is compressed, and its length.
const FRAME: usize = 5;

/// The configuration; keys and defaults are the Collector's.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where to send.
    pub endpoint: String,
    /// How to trust it.
    pub tls: tls::Config,
    /// How bodies are compressed: none, gzip, zstd, snappy.
    pub compression: String,
    /// Sent with every call.
    pub headers: BTreeMap<String, Secret>,
    /// The extension that says who we are.
    pub auth: Option<auth::Config>,
    /// The name we call the destination by, instead of the endpoint's.
    pub authority: String,
    /// The largest request, before compression, MiB; 0 is no limit.
    pub max_send_msg_size_mib: u32,
    /// Of one attempt.
    #[serde(with = "crate::config::DurationText")]
    pub timeout: Duration,
    /// Asking the other end whether it is still there.
    pub keepalive: Toggle<Keepalive>,
    /// In front of it.
    pub sending_queue: queue::Config,
    /// Around it.
    pub retry_on_failure: retry::Config,
}

/// HTTP/2 pings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Keepalive {
    /// After so long without a word from the other end.
    #[serde(with = "crate::config::DurationText")]
    pub time: Duration,
    /// How long it may take to answer.
    #[serde(with = "crate::config::DurationText")]
    pub timeout: Duration,
    /// Also while nothing is being sent.
    pub permit_without_stream: bool,
}

impl Default for Keepalive {
    fn default() -> Self {
        Self { time: Duration::from_secs(10), timeout: Duration::from_secs(10), permit_without_stream: false }
    }
}

impl Check for Keepalive {
    fn check(&self, report: &mut Report<'_>) {
        // gRPC's own floor; servers end connections that ask more often.
        if self.time < Duration::from_secs(10) {
            report.error("time", "must be at least 10s");
        }
        if self.timeout.is_zero() {
            report.error("timeout", "must be more than 0");
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            tls: tls::Config::default(),
            compression: Encoding::Gzip.name().to_owned(),
            headers: BTreeMap::new(),
            auth: None,
            authority: String::new(),
            max_send_msg_size_mib: 64,
            timeout: Duration::from_secs(5),
            keepalive: Toggle::Off,
            sending_queue: queue::Config::default(),
            retry_on_failure: retry::Config::default(),
        }
    }
}

impl Check for Config {
    fn check(&self, report: &mut Report<'_>) {
        if self.endpoint.is_empty() {
            report.error("endpoint", "is missing").hint("such as tempo:4317");
        } else if let Err(reason) = self.target() {
            report.error("endpoint", reason).hint("such as tempo:4317 or https://otlp.example.com:4317");
        }
        if !self.authority.is_empty() && self.authority.parse::<Authority>().is_err() {
            report.error("authority", "is not a host, with or without a port");
        }
        check_grpc_compression(&self.compression, report);
        check_headers(&self.headers, report);
        check_auth(self.auth.as_ref(), report);
        check_timeout(self.timeout, report);
        report.within("tls", &self.tls);
        self.tls.check_scheme(&self.endpoint, report);
        if let Some(keepalive) = self.keepalive.as_option() {
            report.within("keepalive", keepalive);
        }
        check_sending(&self.sending_queue, &self.retry_on_failure, report);
    }
}

/// Where calls go.
struct Target {
    to: To,
    /// What is called the destination's name, with or without a port.
    authority: Authority,
    secure: bool,
}

impl Config {
    fn target(&self) -> Result<Target, String> {
        let secure = !self.tls.insecure;
        let (secure, rest) = match self.endpoint.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            // gRPC's names for how an address is looked up, which is what happens anyway.
            Some(("dns" | "passthrough", rest)) => (secure, rest.trim_start_matches('/')),
            Some(("unix", "")) => return Err("must have the path of a socket".to_owned()),
            Some(("unix", path)) => {
                let authority = self.authority(Authority::from_static("localhost"));
                return Ok(Target { to: To::Unix(path.into()), authority, secure });
            }
            Some((scheme, _)) => return Err(format!("`{scheme}://` is not a scheme for gRPC")),
            None => (secure, self.endpoint.as_str()),
        };
        let rest = rest.trim_end_matches('/');
        if rest.contains('/') {
            return Err("must not have a path".to_owned());
        }
        let authority: Authority = rest.parse().map_err(|error| format!("is not an address: {error}"))?;
        let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let uri = format!("http://{}:{port}", authority.host()).parse();
        let to = To::Tcp(uri.map_err(|error| format!("is not an address: {error}"))?);
        Ok(Target { to, authority: self.authority(authority), secure })
    }

    fn authority(&self, otherwise: Authority) -> Authority {
        self.authority.parse().unwrap_or(otherwise)
    }

    /// How connections to `target` are opened.
    fn dial(&self, target: &Target, context: &Context) -> Result<Dial, StartError> {
        let to = match &target.to {
            To::Unix(path) => To::Unix(context.base.join(path)),
            tcp @ To::Tcp(..) => tcp.clone(),
        };
        if !target.secure {
            return Ok(Dial::new(to, None));
        }
        let host = target.authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = self.tls.server_name().map_or_else(|| ServerName::try_from(host), Ok);
        let name = name.map_err(|error| context.error(format!("endpoint: {error}; set tls::server_name_override")))?;
        Ok(Dial::new(to, Some((self.tls.config(&[b"h2"], context)?, name))))
    }
}

impl Config {
    /// What sends one batch, without queue and retries.
    pub(super) fn sender(&self, context: &Context) -> Result<Next, StartError> {
        let target = self.target().map_err(|reason| context.error(format!("endpoint {reason}")))?;
        let dial = self.dial(&target, context)?;
        let origin = |scheme: &str| {
            let uri = Uri::builder().scheme(scheme).authority(target.authority.clone()).path_and_query("/").build();
            uri.map_err(|error| context.error(format!("endpoint: {error}")))
        };
        // TLS is the dial's business: the library must not try it again.
        let mut endpoint = Endpoint::from(origin("http")?)
            .origin(origin(if target.secure { "https" } else { "http" })?)
            .connect_timeout(self.timeout)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .user_agent(client::USER_AGENT)
            .map_err(|error| context.error(causes(&error)))?;
        if let Some(keepalive) = self.keepalive.as_option() {
            endpoint = endpoint
                .http2_keep_alive_interval(keepalive.time)
                .keep_alive_timeout(keepalive.timeout)
                .keep_alive_while_idle(keepalive.permit_without_stream);
        }
        Ok(Arc::new(Sender {
            channel: ArcSwap::from_pointee(endpoint.connect_with_connector_lazy(dial.clone())),
            endpoint,
            dial,
            encoding: Encoding::parse(&self.compression).unwrap_or(Encoding::Gzip),
            headers: header_map(&self.headers),
            auth: self.auth.as_ref().map(|auth| auth.client(context)).transpose()?,
            largest: (self.max_send_msg_size_mib as usize) << 20,
            timeout: self.timeout,
        }))
    }
}

impl ExporterConfig for Config {
    fn build(&self, context: &Context) -> Result<Next, StartError> {
        sending(self.sender(context)?, &self.sending_queue, &self.retry_on_failure, context)
    }

    fn extensions(&self) -> Vec<(&'static str, &str)> {
        self.sending_queue.extensions()
    }

    fn authenticator(&self) -> Option<(&'static str, &str)> {
        Some(("auth::authenticator", self.auth.as_ref()?.authenticator.as_str()))
    }
}

struct Sender {
    endpoint: Endpoint,
    dial: Dial,
    channel: ArcSwap<Channel>,
    encoding: Encoding,
    headers: HeaderMap,
    auth: Option<Arc<dyn auth::Client>>,
    /// Zero is no limit.
    largest: usize,
    timeout: Duration,
}

impl Sender {
    async fn send(&self, batch: Batch) -> Outcome {
        if let Err(outcome) = client::check_size(batch.body.len(), self.largest) {
            return outcome;
        }
        let channel = self.channel.load_full();
        match tokio::time::timeout(self.timeout, self.call(channel.as_ref().clone(), &batch)).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(reason)) => Outcome::Retryable { after: None, reason },
            Err(_) => {
                // Unless another call has already noticed.
                self.channel
                    .compare_and_swap(&channel, Arc::new(self.endpoint.connect_with_connector_lazy(self.dial.clone())));
                Outcome::Retryable { after: None, reason: format!("no answer within {:?}", self.timeout) }
            }
        }
    }

    /// One call; the error says why there was no answer.
    async fn call(&self, mut channel: Channel, batch: &Batch) -> Result<Outcome, String> {
        let channel = channel.ready().await.map_err(|error| causes(&error))?;
        let response = channel.call(self.request(batch)?).await.map_err(|error| causes(&error))?;
        let (parts, body) = response.into_parts();
        if parts.status != http::StatusCode::OK {
            // A proxy in between: what it means for HTTP it means for us.
            return Ok(answer::of_http(parts.status, &parts.headers, &[]));
        }
        if let Some(status) = Status::from_header_map(&parts.headers) {
            return Ok(answer::of_grpc(&status, &[]));
        }
        let collected = match Limited::new(body, LARGEST_ANSWER).collect().await {
            Ok(collected) => collected,
            Err(error) if error.is::<LengthLimitError>() => {
                let reason = format!("the destination answered more than {LARGEST_ANSWER} bytes, which is not OTLP");
                return Ok(Outcome::Permanent { reason });
            }
            Err(error) => return Err(format!("the answer broke off: {error}")),
        };
        let status = collected.trailers().and_then(Status::from_header_map);
        let status = status.unwrap_or_else(|| Status::new(Code::Unavailable, "there is no status"));
        Ok(answer::of_grpc(&status, collected.to_bytes().get(FRAME..).unwrap_or_default()))
    }

    /// The request; the error says why there cannot be one now.
    fn request(&self, batch: &Batch) -> Result<Request<Body>, String> {
        let compressed = self.encoding != Encoding::Identity;
        let message =
            if compressed { compress(self.encoding.in_grpc(), &batch.body).into() } else { batch.body.clone() };
        let mut request = Request::new(Body::new(Framed::new(compressed, message)));
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
        if let Some(auth) = &self.auth {
            auth.authenticate(headers)?;
        }
        Ok(request)
    }
}

/// A message behind its prefix, as two pieces: the message may be large, and is not copied.
struct Framed {
    prefix: Option<Bytes>,
    message: Option<Bytes>,
}

impl Framed {
    fn new(compressed: bool, message: Bytes) -> Self {
        let mut prefix = BytesMut::with_capacity(FRAME);
        prefix.put_u8(u8::from(compressed));
        prefix.put_u32(message.len() as u32);
        // An empty message has no piece of its own.
        Self { prefix: Some(prefix.freeze()), message: Some(message).filter(|message| !message.is_empty()) }
    }
}

impl http_body::Body for Framed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.prefix.take().or_else(|| self.message.take());
        Poll::Ready(next.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.prefix.is_none() && self.message.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let left = self.prefix.iter().chain(&self.message).map(|piece| piece.len() as u64).sum();
        SizeHint::with_exact(left)
    }
}

impl Consumer for Sender {
    fn consume(&self, batch: Batch) -> Boxed<'_, Outcome> {
        Box::pin(self.send(batch))
    }
}
