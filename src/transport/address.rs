//! Where a component listens: a port of this machine, or a Unix socket.

use std::{fmt, path::PathBuf, str::FromStr};

use serde::{Deserialize, Deserializer, de};

use crate::config::{Endpoint, Report};

/// `host:port`, or the path of a Unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A port.
    Tcp(Endpoint),
    /// A path, absolute or from where the gateway was started.
    Unix(PathBuf),
}

/// The Collector's names for what an address is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// A port.
    #[default]
    Tcp,
    /// A port; its address says which version of IP it is.
    Tcp4,
    /// A port; its address says which version of IP it is.
    Tcp6,
    /// A Unix socket.
    Unix,
}

impl Address {
    /// Says where `endpoint` and `transport` do not fit.
    pub fn check(&self, transport: Transport, report: &mut Report<'_>) {
        match (self, transport) {
            (Self::Unix(_), Transport::Unix) => {}
            (Self::Unix(_), _) => {
                report.error("endpoint", "is a path, but transport is not unix").hint("add `transport: unix`");
            }
            (Self::Tcp(_), Transport::Unix) => {
                report.error("endpoint", "must be the path of a socket").hint("such as /run/sekisho/otlp.sock");
            }
            (Self::Tcp(endpoint), Transport::Tcp4) if endpoint.host.contains(':') => {
                report.error("endpoint", "is not an IPv4 address");
            }
            (Self::Tcp(endpoint), Transport::Tcp6) if endpoint.host.parse::<std::net::Ipv4Addr>().is_ok() => {
                report.error("endpoint", "is not an IPv6 address");
            }
            (Self::Tcp(_), _) => {}
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(endpoint) => endpoint.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim().strip_prefix("unix://") {
            Some(path) => Ok(Self::Unix(path.into())),
            None if text.contains('/') && !text.contains("://") => Ok(Self::Unix(text.trim().into())),
            None => text.parse().map(Self::Tcp),
        }
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AddressVisitor;

        impl de::Visitor<'_> for AddressVisitor {
            type Value = Address;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address of the form host:port, or the path of a Unix socket")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Address, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Address, E> {
                self.visit_str(&value.to_string())
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Address, E> {
                self.visit_str(&value.to_string())
            }
        }

        deserializer.deserialize_any(AddressVisitor)
    }
}
