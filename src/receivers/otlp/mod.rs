//! `otlp` receiver: OTLP over gRPC and HTTP (protobuf, JSON).
//!
//! ```yaml
//! receivers:
//!   otlp:
//!     protocols:
//!       grpc:
//!         endpoint: localhost:4317         # or, with `transport: unix`, the path of a socket
//!         tls: {}                          # see transport/tls/server.rs
//!         auth: { authenticator: bearertokenauth }
//!         max_recv_msg_size_mib: 64
//!         max_concurrent_streams: 256
//!         include_metadata: false          # lets the request's headers go with the batch, for batch and headers_setter
//!         keepalive: { server_parameters: {} }   # and enforcement_policy; see transport/keepalive.rs
//!       http:
//!         endpoint: localhost:4318
//!         tls: {}
//!         auth: { authenticator: basicauth }
//!         cors: { allowed_origins: [], allowed_headers: [], exposed_headers: [], max_age: 0 }
//!         response_headers: {}
//!         include_metadata: false
//!         max_request_body_size: 64MiB
//!         compression_algorithms: ["", gzip, zstd, zlib, deflate, snappy, x-snappy-framed, lz4]
//!         traces_url_path: /v1/traces      # metrics_url_path, logs_url_path
//!     max_in_flight_size: 128MiB
//! ```
//!
//! A protocol is on if its key is present. A body is bounded before and after decompression; what all requests in hand
//! hold together is bounded by `max_in_flight_size`, beyond which senders are told to slow down before their bodies
//! are read. An answer of success means every destination has taken the batch to its last safe point. A signal that no
//! pipeline takes from this receiver is answered as unknown. Who may not come in is told before the body is read.

mod admission;
mod config;
mod door;
mod grpc;
mod http;

use std::sync::Arc;

pub use self::config::{Config, GrpcConfig, HttpConfig, Protocols};
use self::{admission::Admission, door::Door};
use crate::{
    pipeline::{
        Boxed,
        component::{Context, Outputs, ReceiverConfig, Running, StartError},
        connections::Connections,
        listener::{Body, Listener, Protocol, Transport},
        sockets::Place,
    },
    transport::address::Address,
};

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
                let auth = config.auth.as_ref().map(|auth| auth.server(context)).transpose()?;
                let door = Arc::new(Door::new(
                    outputs.clone(),
                    admission.clone(),
                    max_bytes,
                    auth,
                    config.include_metadata,
                    "grpc",
                    context,
                ));
                let protocol = Protocol { http2_only: true, max_concurrent_streams: config.max_concurrent_streams };
                let handler = move |request| {
                    let door = door.clone();
                    async move { grpc::handle(&door, request).await }
                };
                let transport = config.transport(context)?;
                listeners.push(listen(&config.endpoint, "grpc", transport, protocol, handler, context).await?);
            }
            if let Some(config) = self.protocols.http.as_option() {
                let max_bytes = config.max_request_body_size.bytes();
                let auth = config.auth.as_ref().map(|auth| auth.server(context)).transpose()?;
                let door =
                    Arc::new(Door::new(outputs, admission, max_bytes, auth, config.include_metadata, "http", context));
                let protocol = Protocol { http2_only: false, max_concurrent_streams: 256 };
                let (own, headers) = (Arc::new(config.clone()), config.headers());
                let handler = move |request| {
                    let (door, config, headers) = (door.clone(), own.clone(), headers.clone());
                    async move { http::handle(&door, &config, &headers, request).await }
                };
                let transport = config.transport(context)?;
                listeners.push(listen(&config.endpoint, "http", transport, protocol, handler, context).await?);
            }
            Ok(Box::new(Listeners(listeners)) as Box<dyn Running>)
        })
    }

    fn authenticators(&self) -> Vec<(&'static str, &str)> {
        let grpc = self.protocols.grpc.as_option().and_then(|grpc| grpc.auth.as_ref());
        let http = self.protocols.http.as_option().and_then(|http| http.auth.as_ref());
        let named = [("protocols::grpc::auth::authenticator", grpc), ("protocols::http::auth::authenticator", http)];
        named.into_iter().filter_map(|(key, auth)| Some((key, auth?.authenticator.as_str()))).collect()
    }
}

async fn listen<H, F>(
    endpoint: &Address,
    name: &'static str,
    transport: Transport,
    protocol: Protocol,
    handler: H,
    context: &Context,
) -> Result<Listener, StartError>
where
    H: Fn(::http::Request<hyper::body::Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = ::http::Response<Body>> + Send + 'static,
{
    let bound = match endpoint {
        Address::Tcp(endpoint) => context.listen(name, Place::Port(&endpoint.to_string())).await,
        Address::Unix(path) => context.listen(name, Place::Path(&context.base.join(path))).await,
    };
    let socket = bound.map_err(|error| {
        let because = match endpoint {
            Address::Tcp(_) => "is another process using the port?",
            Address::Unix(_) => "may the gateway write there, and is it the only one to use it?",
        };
        context.error(format!(
            "cannot listen on {endpoint} for {name}: {error}; {because} Change protocols::{name}::endpoint"
        ))
    })?;
    let secured = transport.tls.is_some();
    let connections = Connections::of(context, name);
    let listener = Listener::start(socket, transport, protocol, connections, handler, context);
    let address = listener.address();
    tracing::info!(component = context.component, protocol = name, endpoint = %address, tls = secured, "listening");
    if let Some(port) = listener.port() {
        context.shared.put(&format!("{} {name}", context.component), Arc::new(port));
    }
    Ok(listener)
}
