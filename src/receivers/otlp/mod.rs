//! `otlp` receiver: OTLP over gRPC and HTTP (protobuf, JSON).
//!
//! ```yaml
//! receivers:
//!   otlp:
//!     protocols:
//!       grpc: { endpoint: localhost:4317 }
//!       http: { endpoint: localhost:4318 }
//! ```
//!
//! A protocol is on if its key is present. A body is bounded before and after decompression; what all requests in hand
//! hold together is bounded by `max_in_flight_size`, beyond which senders are told to slow down before their bodies
//! are read. An answer of success means every destination has taken the batch to its last safe point. A signal that no
//! pipeline takes from this receiver is answered as unknown.

mod admission;
mod door;
mod grpc;
mod http;

use std::sync::Arc;

use serde::Deserialize;

use self::{admission::Admission, door::Door};

use crate::{
    config::{ByteSize, Check, Endpoint, Report, Toggle},
    otlp::Signal,
    pipeline::{
        Boxed,
        component::{Context, Outputs, ReceiverConfig, Running, StartError},
        listener::{Listener, Protocol},
    },
};

/// Configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Which protocols are served.
    pub protocols: Protocols,
    /// Request bytes in hand at once, over both protocols, from the first byte to the answer.
    pub max_in_flight_size: ByteSize,
}

/// A protocol is on if its key is present, even if empty.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Protocols {
    /// OTLP/gRPC.
    pub grpc: Toggle<GrpcConfig>,
    /// OTLP/HTTP.
    pub http: Toggle<HttpConfig>,
}

/// OTLP/gRPC.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GrpcConfig {
    /// Where to listen.
    pub endpoint: Endpoint,
    /// The largest message, before and after decompression, MiB.
    pub max_recv_msg_size_mib: u32,
    /// Requests at once on one connection.
    pub max_concurrent_streams: u32,
}

/// OTLP/HTTP.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// Where to listen.
    pub endpoint: Endpoint,
    /// The largest body, before and after decompression.
    pub max_request_body_size: ByteSize,
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
        // 64 MiB is what OTLP 1.11 recommends; the Go collector still has 4 MiB.
        Self { endpoint: Endpoint::localhost(4317), max_recv_msg_size_mib: 64, max_concurrent_streams: 256 }
    }
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            endpoint: Endpoint::localhost(4318),
            max_request_body_size: ByteSize::mib(64),
            traces_url_path: "/v1/traces".to_owned(),
            metrics_url_path: "/v1/metrics".to_owned(),
            logs_url_path: "/v1/logs".to_owned(),
        }
    }
}

impl HttpConfig {
    fn signal_at(&self, path: &str) -> Option<Signal> {
        if path == self.traces_url_path {
            Some(Signal::Traces)
        } else if path == self.metrics_url_path {
            Some(Signal::Metrics)
        } else if path == self.logs_url_path {
            Some(Signal::Logs)
        } else {
            None
        }
    }
}

impl Check for Config {
    fn check(&self, report: &mut Report<'_>) {
        if self.protocols.grpc.as_option().is_none() && self.protocols.http.as_option().is_none() {
            report.error("protocols", "no protocol is on: add `grpc:` or `http:` (an empty value means defaults)");
        }
        if let Some(http) = self.protocols.http.as_option() {
            let paths = [
                ("traces_url_path", &http.traces_url_path),
                ("metrics_url_path", &http.metrics_url_path),
                ("logs_url_path", &http.logs_url_path),
            ];
            for (key, path) in paths {
                if !path.starts_with('/') {
                    report.error(&format!("protocols.http.{key}"), "must start with `/`");
                }
            }
            if http.max_request_body_size.0 == 0 {
                report.error("protocols.http.max_request_body_size", "must be more than 0");
            }
        }
        if let Some(grpc) = self.protocols.grpc.as_option() {
            if grpc.max_recv_msg_size_mib == 0 || grpc.max_recv_msg_size_mib > 4095 {
                report.error("protocols.grpc.max_recv_msg_size_mib", "must be between 1 and 4095");
            }
            if grpc.max_concurrent_streams == 0 {
                report.error("protocols.grpc.max_concurrent_streams", "must be more than 0");
            }
        }
    }
}

struct Listeners(Vec<Listener>);

impl Running for Listeners {
    fn stop(&self) -> Boxed<'_, ()> {
        Box::pin(async move {
            for listener in &self.0 {
                listener.stop().await;
            }
        })
    }
}

impl ReceiverConfig for Config {
    fn start<'a>(&'a self, outputs: Outputs, context: &'a Context) -> Boxed<'a, Result<Box<dyn Running>, StartError>> {
        Box::pin(async move {
            let admission = Admission::new(self.max_in_flight_size.bytes());
            let mut listeners = Vec::new();
            if let Some(config) = self.protocols.grpc.as_option() {
                let max_bytes = (config.max_recv_msg_size_mib as usize) << 20;
                let door = Arc::new(Door::new(outputs.clone(), admission.clone(), max_bytes, "grpc", context));
                let protocol = Protocol { http2_only: true, max_concurrent_streams: config.max_concurrent_streams };
                let handler = move |request| {
                    let door = door.clone();
                    async move { grpc::handle(&door, request).await }
                };
                listeners.push(listen(&config.endpoint, "grpc", protocol, handler, context).await?);
            }
            if let Some(config) = self.protocols.http.as_option() {
                let max_bytes = config.max_request_body_size.bytes();
                let door = Arc::new(Door::new(outputs, admission, max_bytes, "http", context));
                let protocol = Protocol { http2_only: false, max_concurrent_streams: 256 };
                let (config, endpoint) = (Arc::new(config.clone()), &config.endpoint);
                let handler = move |request| {
                    let (door, config) = (door.clone(), config.clone());
                    async move { http::handle(&door, &config, request).await }
                };
                listeners.push(listen(endpoint, "http", protocol, handler, context).await?);
            }
            Ok(Box::new(Listeners(listeners)) as Box<dyn Running>)
        })
    }
}

async fn listen<H, F>(
    endpoint: &Endpoint,
    name: &'static str,
    protocol: Protocol,
    handler: H,
    context: &Context,
) -> Result<Listener, StartError>
where
    H: Fn(::http::Request<hyper::body::Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = ::http::Response<crate::pipeline::listener::Body>> + Send + 'static,
{
    let listener = Listener::start(context, name, &endpoint.to_string(), protocol, handler).await.map_err(|error| {
        context.error(format!(
            "cannot listen on {endpoint} for {name}: {error}; is another process using the port? \
             Change protocols::{name}::endpoint"
        ))
    })?;
    let address = listener.address();
    tracing::info!(component = context.component, protocol = name, endpoint = %address, "listening");
    context.shared.put(&format!("{} {name}", context.component), Arc::new(address));
    Ok(listener)
}
