//! `syslog` exporter: incidents and other log records to a syslog receiver, as RFC 5424 has it.
//!
//! ```yaml
//! syslog:
//!   endpoint: siem.example.com    # with `network: unix`, a path
//!   port: 514
//!   network: tcp                  # tcp, udp, unix
//!   protocol: rfc5424             # or rfc3164, which has no structured data
//!   enable_octet_counting: false  # RFC 6587: each message after its length; otherwise each on a line
//!   facility: 20                  # 0 to 23; 20 is local4
//!   enterprise_number: 32473      # in the name of our structured data, `sekisho@32473`; 32473 is for examples
//!   minimum_tier: evidence        # of alerts: evidence, queue, page
//!   tls: {}                       # over TCP it is on; `insecure: true` is plain text
//!   timeout: 5s
//!   sending_queue: {}
//!   retry_on_failure: {}
//! ```
//!
//! An alert's parameters (`id`, `state`, `tier`, `priority`, `function`, `technique`, `evidence`, …) are structured data;
//! `revision` tells repetitions from news. Of other records the attributes `priority`, `hostname`, `appname`, `proc_id`,
//! `msg_id`, `structured_data` and `message` are used, as the Collector does; where they are missing, severity,
//! `host.name`, `service.name`, `process.pid` and the body.
//!
//! A syslog receiver answers nothing: delivered is what the system took. A connection whose other end has closed it is
//! opened anew before anything is written, but what was under way when a receiver died is lost, and over UDP whatever the
//! network drops. Messages are cut at 8 KiB. Control characters become spaces, and unless messages are counted or
//! datagrams, so do line breaks: telemetry cannot forge a message.

mod connection;
mod message;

use std::{path::PathBuf, sync::Arc, time::Duration};

use rustls::pki_types::ServerName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use connection::{Connection, Way};
use message::{Message, Style};

use super::{
    alert::{
        Alert, Tier, object,
        send::{check_sending, in_chunks, in_order, patient},
    },
    client::{causes, check_timeout},
    tls,
};
use crate::{
    config::{Check, Endpoint, Report},
    otlp::view,
    pipeline::{
        Batch, Boxed, Consumer, Next, Outcome,
        component::{Context, ExporterConfig, StartError},
        queue, retry,
    },
    telemetry::Counter,
};

/// Messages written at once: so many may come twice when a connection breaks.
const MOST: usize = 100;
const FACILITIES: u8 = 24;

/// The configuration.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Name or address of the receiver; with `network: unix`, the path of its socket.
    pub endpoint: String,
    /// Its port.
    pub port: u16,
    /// How to get there.
    pub network: Network,
    /// What messages look like.
    pub protocol: Protocol,
    /// Each message after its length, instead of each on a line.
    pub enable_octet_counting: bool,
    /// Of messages that do not bring their own priority.
    pub facility: u8,
    /// Whose the names in structured data are: a private enterprise number of IANA's list.
    pub enterprise_number: u32,
    /// Alerts of a lower tier are not sent.
    pub minimum_tier: Tier,
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

/// How to get there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// With TLS, unless it is `insecure`.
    #[default]
    Tcp,
    /// Datagrams, which may get lost.
    Udp,
    /// A stream socket of this machine.
    Unix,
}

/// What messages look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// With structured data.
    #[default]
    Rfc5424,
    /// Text only.
    Rfc3164,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            port: 514,
            network: Network::Tcp,
            protocol: Protocol::Rfc5424,
            enable_octet_counting: false,
            // local4, as in the Collector's default priority.
            facility: 20,
            // RFC 5612 keeps it free for examples.
            enterprise_number: 32_473,
            minimum_tier: Tier::Evidence,
            tls: tls::Config::default(),
            timeout: Duration::from_secs(5),
            sending_queue: in_order(),
            retry_on_failure: patient(),
        }
    }
}

impl Check for Config {
    fn check(&self, report: &mut Report<'_>) {
        if self.endpoint.is_empty() {
            report.error("endpoint", "is missing").hint("such as siem.example.com; the port is `port`");
        } else if self.network != Network::Unix && ServerName::try_from(self.endpoint.as_str()).is_err() {
            report
                .error("endpoint", "is not the name of a host")
                .hint("the port is `port`, and there is no scheme before it");
        }
        if self.port == 0 && self.network != Network::Unix {
            report.error("port", "must be more than 0");
        }
        if self.facility >= FACILITIES {
            report.error("facility", format!("must be less than {FACILITIES}"));
        }
        if self.network == Network::Udp && self.enable_octet_counting {
            report.error("enable_octet_counting", "does nothing over UDP: a datagram is a message");
        }
        if self.network != Network::Tcp && self.tls != tls::Config::default() {
            report.error("tls", "does nothing but with `network: tcp`");
        }
        check_timeout(self.timeout, report);
        report.within("tls", &self.tls);
        check_sending(&self.sending_queue, &self.retry_on_failure, report);
    }
}

impl Config {
    const fn style(&self) -> Style {
        Style {
            structured: matches!(self.protocol, Protocol::Rfc5424),
            facility: self.facility,
            enterprise: self.enterprise_number,
            lines: self.enable_octet_counting || matches!(self.network, Network::Udp),
        }
    }

    fn way(&self, context: &Context) -> Result<Way, StartError> {
        let to = || Endpoint { host: self.endpoint.clone(), port: self.port };
        Ok(match self.network {
            Network::Unix => Way::Unix(context.base.join(PathBuf::from(&self.endpoint))),
            Network::Udp => Way::Udp(to()),
            Network::Tcp if self.tls.insecure => Way::Tcp(to(), None),
            Network::Tcp => {
                let name = ServerName::try_from(self.endpoint.clone());
                let name = name.map_err(|error| context.error(format!("endpoint: {error}")))?;
                Way::Tcp(to(), Some((Arc::new(self.tls.config(&[], context)?), name)))
            }
        })
    }
}

impl ExporterConfig for Config {
    fn build(&self, context: &Context) -> Result<Next, StartError> {
        let below = "Alerts not sent because their tier is below the exporter's minimum_tier.";
        let label = [("exporter", context.id.as_str())];
        let send = Arc::new(Sender {
            connection: Connection::new(self.way(context)?, self.timeout),
            style: self.style(),
            framing: match self.network {
                Network::Udp => Framing::Datagram,
                _ if self.enable_octet_counting => Framing::Counted,
                _ => Framing::Line,
            },
            tier: self.minimum_tier,
            below: context.metrics.counter("sekisho_alerts_below_tier", below, &label),
        });
        in_chunks(send, MOST, &self.sending_queue, &self.retry_on_failure, context)
    }

    fn extensions(&self) -> Vec<(&'static str, &str)> {
        self.sending_queue.extensions()
    }
}

#[derive(Clone, Copy)]
enum Framing {
    Datagram,
    Counted,
    Line,
}

impl Framing {
    fn frame(self, message: String) -> Vec<u8> {
        match self {
            Self::Datagram => message.into_bytes(),
            Self::Counted => format!("{} {message}", message.len()).into_bytes(),
            Self::Line => (message + "\n").into_bytes(),
        }
    }
}

struct Sender {
    connection: Connection,
    style: Style,
    framing: Framing,
    tier: Tier,
    below: Counter,
}

impl Sender {
    fn messages(&self, body: &[u8]) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        // Both ways through a request meet the same records in the same order.
        let mut alerts = Alert::all(body);
        for group in view::resources(body) {
            let resource = object(group.attributes());
            for record in group.scopes().flat_map(|scope| scope.records()) {
                let message = match alerts.next().flatten() {
                    Some(alert) if alert.tier < self.tier => {
                        self.below.add(1);
                        continue;
                    }
                    Some(alert) => Message::of_alert(&alert, self.style),
                    None => Message::of_record(record, &resource, self.style),
                };
                frames.push(self.framing.frame(message.write(self.style)));
            }
        }
        frames
    }
}

impl Consumer for Sender {
    fn consume(&self, batch: Batch) -> Boxed<'_, Outcome> {
        Box::pin(async move {
            let frames = self.messages(&batch.body);
            if frames.is_empty() {
                return Outcome::Accepted;
            }
            match self.connection.send(&frames).await {
                Ok(()) => Outcome::Accepted,
                Err(error) => Outcome::Retryable { after: None, reason: causes(&error) },
            }
        })
    }

    fn drain(&self) -> Boxed<'_, ()> {
        Box::pin(self.connection.close())
    }
}
