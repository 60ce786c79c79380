//! Where the backends are: listed, or asked for.

use std::{collections::BTreeSet, fmt, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

use super::RouterRef;
use crate::config::{Check, Report};

/// OTLP's own port.
const PORT: u16 = 4317;

/// `resolver`: one of the two.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Resolver {
    /// Listed.
    pub r#static: Option<Static>,
    /// All addresses of a name.
    pub dns: Option<Dns>,
}

/// Backends that do not change.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Static {
    /// `host` or `host:port`.
    pub hostnames: Vec<String>,
}

/// Backends that come and go.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Dns {
    /// Whose addresses they are.
    pub hostname: String,
    /// Of every one of them.
    #[serde(deserialize_with = "port")]
    pub port: u16,
    /// How often to ask.
    #[serde(with = "crate::config::DurationText")]
    pub interval: Duration,
    /// How long to wait for an answer.
    #[serde(with = "crate::config::DurationText")]
    pub timeout: Duration,
}

impl Default for Dns {
    fn default() -> Self {
        Self { hostname: String::new(), port: PORT, interval: Duration::from_secs(5), timeout: Duration::from_secs(1) }
    }
}

/// The Collector writes ports as text, people as numbers.
fn port<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    struct Visitor;

    impl de::Visitor<'_> for Visitor {
        type Value = u16;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a port, 1 to 65535")
        }

        fn visit_i64<E: de::Error>(self, port: i64) -> Result<u16, E> {
            u16::try_from(port).map_err(|_| E::custom(format!("must be a port, 1 to 65535, not {port}")))
        }

        fn visit_str<E: de::Error>(self, port: &str) -> Result<u16, E> {
            port.parse().map_err(|_| E::custom(format!("must be a port, 1 to 65535, not \"{port}\"")))
        }
    }

    deserializer.deserialize_any(Visitor)
}

impl Check for Resolver {
    fn check(&self, report: &mut Report<'_>) {
        match (&self.r#static, &self.dns) {
            (None, None) => {
                report.error("", "is missing").hint("`static: { hostnames: [...] }`, or `dns: { hostname: ... }`");
            }
            (Some(_), Some(_)) => {
                report.error("", "has both `static` and `dns`").hint("keep one of them");
            }
            (Some(listed), None) => listed.check("static", report),
            (None, Some(dns)) => {
                if dns.hostname.is_empty() {
                    report.error("dns.hostname", "is missing");
                }
                for (key, value) in [("dns.interval", dns.interval), ("dns.timeout", dns.timeout)] {
                    if value.is_zero() {
                        report.error(key, "must be more than 0");
                    }
                }
                if dns.port == 0 {
                    report.error("dns.port", "must be more than 0");
                }
            }
        }
    }
}

impl Static {
    fn check(&self, path: &str, report: &mut Report<'_>) {
        if self.hostnames.is_empty() {
            report.error(&format!("{path}.hostnames"), "is empty").hint("such as [gateway-1:4317, gateway-2:4317]");
        }
        for (number, endpoint) in self.endpoints().iter().enumerate() {
            if endpoint.parse::<crate::config::Endpoint>().is_err() {
                report.error(&format!("{path}.hostnames.{number}"), "is not host or host:port");
            }
        }
        if self.endpoints().iter().collect::<BTreeSet<_>>().len() != self.hostnames.len() {
            report.error(&format!("{path}.hostnames"), "has one twice");
        }
    }

    /// Every one with its port.
    pub fn endpoints(&self) -> Vec<String> {
        let with_port = |host: &String| {
            let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
            if has_port { host.clone() } else { format!("{host}:{PORT}") }
        };
        self.hostnames.iter().map(with_port).collect()
    }
}

impl Dns {
    /// Asks for the addresses until the exporter is gone. When there is no answer, or an empty one, the backends stay.
    pub(super) async fn watch(self, router: RouterRef) {
        let mut failing = false;
        loop {
            let found = self.ask().await;
            let Some(router) = router.upgrade() else { return };
            let context = &router.context;
            let success = if found.is_ok() { "true" } else { "false" };
            let labels = [("exporter", context.id.as_str()), ("resolver", "dns"), ("success", success)];
            context.metrics.counter("otelcol_loadbalancer_num_resolutions", "Questions asked.", &labels).add(1);
            let listed = found.and_then(|endpoints| router.list(&endpoints).map_err(|error| error.to_string()));
            if let (Err(reason), false) = (&listed, failing) {
                let (component, hostname) = (&context.component, &self.hostname);
                tracing::warn!(component, hostname, reason, "the backends cannot be found; those that are known stay");
            }
            failing = listed.is_err();
            drop(router);
            tokio::time::sleep(self.interval).await;
        }
    }

    async fn ask(&self) -> Result<Vec<String>, String> {
        let asked = tokio::net::lookup_host((self.hostname.as_str(), self.port));
        let answered = tokio::time::timeout(self.timeout, asked).await;
        let answer = answered.map_err(|_| format!("no answer within {:?}", self.timeout))?;
        let found: BTreeSet<String> = answer.map_err(|error| error.to_string())?.map(|at| at.to_string()).collect();
        if found.is_empty() { Err("the name has no address".to_owned()) } else { Ok(found.into_iter().collect()) }
    }
}
