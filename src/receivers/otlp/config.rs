//! What the `otlp` receiver's keys say; the Collector's names and, but for sizes, its defaults.

use std::{collections::BTreeMap, sync::Arc};

use http::{HeaderMap, HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    config::{ByteSize, Check, Endpoint, Report, Secret, Toggle},
    otlp::{Signal, compression::Encoding},
    pipeline::{
        component::{Context, StartError},
        listener::Transport,
    },
    transport::{
        address::{self, Address},
        auth, cors, keepalive, tls,
    },
};

/// Configuration.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Which protocols are served.
    pub protocols: Protocols,
    /// Request bytes in hand at once, over both protocols, from the first byte to the answer.
    pub max_in_flight_size: ByteSize,
}

/// A protocol is on if its key is present, even if empty.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Protocols {
    /// OTLP/gRPC.
    pub grpc: Toggle<GrpcConfig>,
    /// OTLP/HTTP.
    pub http: Toggle<HttpConfig>,
}

/// OTLP/gRPC.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GrpcConfig {
    /// Where to listen.
    pub endpoint: Address,
    /// What `endpoint` is: tcp, or unix for a socket.
    pub transport: address::Transport,
    /// Secures connections.
    pub tls: Option<tls::server::Config>,
    /// The extension that knows who may come in.
    pub auth: Option<auth::Config>,
    /// The largest message, before and after decompression, MiB.
    pub max_recv_msg_size_mib: u32,
    /// Requests at once on one connection.
    pub max_concurrent_streams: u32,
    /// Whether the metadata of calls goes with their batches.
    pub include_metadata: bool,
    /// How long connections live.
    pub keepalive: keepalive::Config,
}

/// OTLP/HTTP.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// Where to listen.
    pub endpoint: Address,
    /// What `endpoint` is: tcp, or unix for a socket.
    pub transport: address::Transport,
    /// Secures connections.
    pub tls: Option<tls::server::Config>,
    /// The extension that knows who may come in.
    pub auth: Option<auth::Config>,
    /// Web pages that may send.
    pub cors: Option<cors::Config>,
    /// Set on every answer.
    pub response_headers: BTreeMap<String, Secret>,
    /// Whether the headers of requests go with their batches.
    pub include_metadata: bool,
    /// The largest body, before and after decompression.
    pub max_request_body_size: ByteSize,
    /// Compressions that are taken; the empty name is for none.
    pub compression_algorithms: Option<Vec<String>>,
    /// Path for traces.
    pub traces_url_path: String,
    /// Path for metrics.
    pub metrics_url_path: String,
    /// Path for logs.
    pub logs_url_path: String,
}

impl Default for Config {
    fn default() -> Self {
        // Two of the largest requests, or some hundreds of usual ones.
        Self { protocols: Protocols::default(), max_in_flight_size: ByteSize::mib(128) }
    }
}

impl Default for GrpcConfig {
    fn default() -> Self {
        Self {
            endpoint: Address::Tcp(Endpoint::localhost(4317)),
            transport: address::Transport::Tcp,
            tls: None,
            auth: None,
            // 64 MiB is what OTLP 1.11 recommends; the Go collector still has 4 MiB.
            max_recv_msg_size_mib: 64,
            max_concurrent_streams: 256,
            include_metadata: false,
            keepalive: keepalive::Config::default(),
        }
    }
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            endpoint: Address::Tcp(Endpoint::localhost(4318)),
            transport: address::Transport::Tcp,
            tls: None,
            auth: None,
            cors: None,
            response_headers: BTreeMap::new(),
            include_metadata: false,
            max_request_body_size: ByteSize::mib(64),
            compression_algorithms: None,
            traces_url_path: "/v1/traces".to_owned(),
            metrics_url_path: "/v1/metrics".to_owned(),
            logs_url_path: "/v1/logs".to_owned(),
        }
    }
}

impl Check for Config {
    fn check(&self, report: &mut Report<'_>) {
        if !self.protocols.grpc.is_on() && !self.protocols.http.is_on() {
            report.error("protocols", "no protocol is on: add `grpc:` or `http:` (an empty value means defaults)");
        }
        if let Some(grpc) = self.protocols.grpc.as_option() {
            report.within("protocols.grpc", grpc);
        }
        if let Some(http) = self.protocols.http.as_option() {
            report.within("protocols.http", http);
        }
    }
}

impl Check for GrpcConfig {
    fn check(&self, report: &mut Report<'_>) {
        check_door(&self.endpoint, self.transport, self.tls.as_ref(), self.auth.as_ref(), report);
        if self.max_recv_msg_size_mib == 0 || self.max_recv_msg_size_mib > 4095 {
            report.error("max_recv_msg_size_mib", "must be between 1 and 4095");
        }
        if self.max_concurrent_streams == 0 {
            report.error("max_concurrent_streams", "must be more than 0");
        }
        report.within("keepalive", &self.keepalive);
    }
}

impl Check for HttpConfig {
    fn check(&self, report: &mut Report<'_>) {
        check_door(&self.endpoint, self.transport, self.tls.as_ref(), self.auth.as_ref(), report);
        if let Some(cors) = &self.cors {
            report.within("cors", cors);
        }
        for (name, value) in &self.response_headers {
            if HeaderName::try_from(name).is_err() || HeaderValue::from_str(value.expose()).is_err() {
                report.error(&format!("response_headers::{name}"), "is not a header that can be sent");
            }
        }
        if self.max_request_body_size.0 == 0 {
            report.error("max_request_body_size", "must be more than 0");
        }
        for (index, name) in self.compression_algorithms.iter().flatten().enumerate() {
            if Encoding::parse(name).is_none() {
                let known = ["", "gzip", "zstd", "zlib", "deflate", "snappy", "x-snappy-framed", "lz4"];
                let path = format!("compression_algorithms.{index}");
                report.error(&path, format!("`{name}` is not supported")).suggest(name, &known);
            }
        }
        let [traces, metrics, logs] = Signal::ALL.map(|signal| self.path(signal));
        if traces == metrics || metrics == logs || logs == traces {
            report.error("", "two signals have the same path");
        }
    }
}

fn check_door(
    endpoint: &Address,
    transport: address::Transport,
    tls: Option<&tls::server::Config>,
    auth: Option<&auth::Config>,
    report: &mut Report<'_>,
) {
    endpoint.check(transport, report);
    if let Some(tls) = tls {
        report.within("tls", tls);
    }
    if let Some(auth) = auth {
        report.within("auth", auth);
    }
}

impl GrpcConfig {
    /// How connections are secured and how long they live.
    pub fn transport(&self, context: &Context) -> Result<Transport, StartError> {
        let tls = self.tls.as_ref().map(|tls| tls.acceptor(&[b"h2"], context)).transpose()?;
        Ok(Transport { tls, lifetime: self.keepalive.lifetime(), pings: self.keepalive.pings() })
    }
}

impl HttpConfig {
    /// How connections are secured.
    pub fn transport(&self, context: &Context) -> Result<Transport, StartError> {
        let tls = self.tls.as_ref().map(|tls| tls.acceptor(&[b"h2", b"http/1.1"], context)).transpose()?;
        Ok(Transport { tls, ..Transport::default() })
    }

    /// The signal taken at `path`.
    pub fn signal_at(&self, path: &str) -> Option<Signal> {
        Signal::ALL.into_iter().find(|signal| self.path(*signal) == path.trim_start_matches('/'))
    }

    /// Without the slash in front, which people may leave out.
    fn path(&self, signal: Signal) -> &str {
        let path = match signal {
            Signal::Traces => &self.traces_url_path,
            Signal::Metrics => &self.metrics_url_path,
            Signal::Logs => &self.logs_url_path,
        };
        path.trim_start_matches('/')
    }

    /// Whether bodies compressed like this are taken.
    pub fn takes(&self, encoding: Encoding) -> bool {
        let Some(names) = &self.compression_algorithms else { return true };
        names.is_empty() && encoding == Encoding::Identity
            || names.iter().any(|name| Encoding::parse(name) == Some(encoding))
    }

    /// What is set on every answer; invalid ones were refused by the check.
    pub fn headers(&self) -> Arc<HeaderMap> {
        let headers = self.response_headers.iter().filter_map(|(name, value)| {
            Some((HeaderName::try_from(name).ok()?, HeaderValue::from_str(value.expose()).ok()?))
        });
        Arc::new(headers.collect())
    }
}
