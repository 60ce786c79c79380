//! The wire around OTLP, with real clients and servers on both ends: TLS, sockets, compression, browsers, proxies, and
//! who may come in.
#![allow(
    clippy::unwrap_used,
    clippy::type_complexity,
    clippy::too_many_lines,
    reason = "a test says more by failing where it stands"
)]

mod support;

#[path = "transports/auth.rs"]
mod auth;
#[path = "transports/http.rs"]
mod http;
#[path = "transports/lifetime.rs"]
mod lifetime;
#[path = "transports/metadata.rs"]
mod metadata;
#[path = "transports/tls.rs"]
mod tls;
#[path = "transports/ways.rs"]
mod ways;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use support::{Gateway, input};
use tonic::transport::Channel;

/// A gateway with these sections and one traces pipeline from `otlp` to the sink.
fn to_sink(sink: std::net::SocketAddr, receiver: &str, more: &str) -> String {
    format!(
        "
receivers: {{otlp: {{protocols: {receiver}}}}}
exporters:
  otlp_grpc: {{endpoint: '{sink}', tls: {{insecure: true}}, sending_queue: {{enabled: false}}}}
{more}
  pipelines: {{traces: {{receivers: [otlp], exporters: [otlp_grpc]}}}}
"
    )
}

/// Sends `count` spans.
async fn send(channel: Channel, count: u64) -> Result<(), tonic::Status> {
    TraceServiceClient::new(channel).export(input::invocations("f", 0, count)).await.map(|_| ())
}

/// `localhost:port` of what listens on 127.0.0.1.
fn localhost(gateway: &Gateway, protocol: &str) -> String {
    gateway.endpoint("receiver otlp", protocol).replace("127.0.0.1", "localhost")
}
