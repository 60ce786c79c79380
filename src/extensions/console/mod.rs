//! `console` extension: incidents, verdicts and functions for people, as a page, over HTTP and over gRPC, on one port.
//!
//! ```yaml
//! console:
//!   endpoint: 127.0.0.1:14318
//!   detector: anomaly               # the processor whose incidents are shown
//!   auth: { authenticator: bearertokenauth }     # needed wherever others than this machine can connect
//!   tls: { cert_file: console.crt, key_file: console.key }
//!   public_url: https://sekisho.example.com      # alerts then carry a signed link to their incident
//!   link_secret: ${env:SEKISHO_LINK_SECRET}      # what links are signed with; at least 32 characters
//!   link_lifetime: 168h
//! ```
//!
//! The service is `proto/sekisho/control/v1/control.proto`, which also says who may ask for what. Without `auth` it
//! answers only on the loopback, only under its names, and only to its own page: no other web page that the same person
//! looks at can give a verdict. Telemetry does not depend on it: whatever is asked here, no batch waits for it longer
//! than a list takes to be written.

mod door;
mod grpc;
mod http_form;
mod pages;
mod streams;

use std::{net::IpAddr, sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use self::door::Door;
use crate::{
    config::{Check, Endpoint, Report, Secret},
    incidents::link::{Signer, Signing},
    pipeline::{
        Boxed,
        component::{Context, ExtensionConfig, Running, StartError},
        connections::Connections,
        listener::{Listener, Protocol, Transport},
        sockets::Place,
    },
    transport::{auth, tls},
};

/// A secret shorter than this can be guessed.
const SHORTEST_SECRET: usize = 32;
/// Requests at once on one HTTP/2 connection.
const STREAMS: u32 = 64;

/// The configuration.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where to listen.
    pub endpoint: Endpoint,
    /// Id of the `anomaly` processor whose incidents are shown.
    pub detector: String,
    /// The extension that knows who may come in.
    pub auth: Option<auth::Config>,
    /// Secures connections.
    pub tls: Option<tls::server::Config>,
    /// Where people reach the console: alerts then carry a signed link.
    pub public_url: String,
    /// What links are signed with.
    pub link_secret: Secret,
    /// How long a link is good.
    #[serde(with = "crate::config::DurationText")]
    pub link_lifetime: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            endpoint: Endpoint { host: "127.0.0.1".to_owned(), port: 14318 },
            detector: "anomaly".to_owned(),
            auth: None,
            tls: None,
            public_url: String::new(),
            link_secret: Secret::default(),
            // A page from Friday night can still be answered after the next weekend.
            link_lifetime: Duration::from_hours(7 * 24),
        }
    }
}

impl Check for Config {
    fn check(&self, report: &mut Report<'_>) {
        if !is_loopback(&self.endpoint.host) {
            if self.auth.is_none() {
                report
                    .error("endpoint", "lets others than this machine connect, and nobody is asked who they are")
                    .hint("add `auth: {authenticator: bearertokenauth}` and `tls`, or listen on 127.0.0.1:14318");
            } else if self.tls.is_none() {
                report
                    .warning("endpoint", "lets others than this machine connect, without encryption")
                    .hint("add `tls`, unless something in front of it does");
            }
        }
        if self.detector.is_empty() {
            report.error("detector", "must be the id of an `anomaly` processor");
        }
        if let Some(auth) = &self.auth {
            report.within("auth", auth);
        }
        if let Some(tls) = &self.tls {
            report.within("tls", tls);
        }
        self.check_links(report);
    }
}

impl Config {
    fn check_links(&self, report: &mut Report<'_>) {
        if self.public_url.is_empty() {
            if !self.link_secret.is_empty() {
                report.error("link_secret", "signs links, which need public_url");
            }
            return;
        }
        let url = reqwest::Url::parse(&self.public_url);
        let good = |url: &reqwest::Url| {
            ["http", "https"].contains(&url.scheme()) && url.query().is_none() && url.fragment().is_none()
        };
        if !url.as_ref().is_ok_and(good) {
            report.error("public_url", "is not the URL of a page").hint("such as https://sekisho.example.com");
        }
        if self.link_secret.expose().len() < SHORTEST_SECRET {
            report
                .error("link_secret", format!("must have at least {SHORTEST_SECRET} characters to sign links with"))
                .hint("make one with `openssl rand -hex 32`");
        }
        if self.link_lifetime.is_zero() {
            report.error("link_lifetime", "must be more than 0");
        }
    }

    fn signer(&self) -> Option<Signer> {
        let lifetime = u64::try_from(self.link_lifetime.as_nanos()).unwrap_or(u64::MAX);
        let wanted = !self.public_url.is_empty();
        wanted.then(|| Signer::new(&self.public_url, self.link_secret.expose(), lifetime)).flatten()
    }

    async fn listen(&self, context: &Context) -> Result<Serving, StartError> {
        let signer = self.signer().map(Arc::new);
        context.shared.get_or_default::<Signing>(Signer::NAME).store(signer.clone());
        let tls = self.tls.as_ref().map(|tls| tls.acceptor(&[b"h2", b"http/1.1"], context)).transpose()?;
        let secured = tls.is_some();
        let bound = context.listen("http", Place::Port(&self.endpoint.to_string())).await;
        let socket = bound.map_err(|error| {
            let endpoint = &self.endpoint;
            context.error(format!("cannot listen on {endpoint}: {error}; is another process using the port?"))
        })?;
        let cancel = CancellationToken::new();
        let door = Arc::new(Door::new(self, signer, cancel.clone(), context));
        let handler = move |request| {
            let door = door.clone();
            async move { door.handle(request).await }
        };
        let transport = Transport { tls, ..Transport::default() };
        let protocol = Protocol { http2_only: false, max_concurrent_streams: STREAMS };
        let connections = Connections::of(context, "http");
        let listener = Listener::start(socket, transport, protocol, connections, handler, context);
        let address = listener.address();
        tracing::info!(component = context.component, protocol = "http", endpoint = %address, tls = secured, "listening");
        Ok(Serving { listener, cancel })
    }
}

impl ExtensionConfig for Config {
    fn start<'a>(&'a self, context: &'a Context) -> Boxed<'a, Result<Box<dyn Running>, StartError>> {
        Box::pin(async move { Ok(Box::new(self.listen(context).await?) as Box<dyn Running>) })
    }

    fn authenticators(&self) -> Vec<(&'static str, &str)> {
        self.auth.iter().map(|auth| ("auth::authenticator", auth.authenticator.as_str())).collect()
    }
}

/// Whether a host is this machine, seen from itself only.
fn is_loopback(host: &str) -> bool {
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The listener, and what ends streams.
struct Serving {
    listener: Listener,
    cancel: CancellationToken,
}

impl Running for Serving {
    fn stop(&self) -> Boxed<'_, ()> {
        self.cancel.cancel();
        self.listener.stop()
    }
}

#[cfg(test)]
mod tests;
