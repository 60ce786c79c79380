//! `tls`, with the Collector's keys: [`client`] for exporters, [`server`] for receivers.

pub mod client;
pub mod server;

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use rustls::{
    CipherSuite, RootCertStore, SupportedProtocolVersion,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    sign::CertifiedKey,
};
use serde::{Deserialize, Deserializer, de};

use super::reloading::Source;
use crate::config::{Report, Secret};

/// A version of TLS. Older ones are broken, and not to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "1.2" => Ok(Self::Tls12),
            "1.3" => Ok(Self::Tls13),
            "1.0" | "1.1" | "1" => Err("must be 1.2 or 1.3: older versions of TLS are not safe".to_owned()),
            _ => Err("must be 1.2 or 1.3".to_owned()),
        }
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct VersionVisitor;

        impl de::Visitor<'_> for VersionVisitor {
            type Value = Version;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("1.2 or 1.3")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Version, E> {
                text.parse().map_err(E::custom)
            }

            // Without quotes it is a number.
            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Version, E> {
                self.visit_str(&number.to_string())
            }
        }

        deserializer.deserialize_any(VersionVisitor)
    }
}

/// What may be spoken.
struct Terms<'a> {
    min_version: Option<Version>,
    max_version: Option<Version>,
    cipher_suites: &'a [String],
    curve_preferences: &'a [String],
}

impl Terms<'_> {
    fn check(&self, report: &mut Report<'_>) {
        if let (Some(min), Some(max)) = (self.min_version, self.max_version)
            && min > max
        {
            report.error("min_version", "must not be greater than max_version");
        }
        let provider = ring::default_provider();
        // As in Go, what is listed are those of TLS 1.2; those of 1.3 are all good and always there.
        let suites = provider.cipher_suites.iter().map(rustls::SupportedCipherSuite::suite);
        let suites: Vec<&str> = suites.filter(|suite| !is_tls13(*suite)).filter_map(|suite| suite.as_str()).collect();
        let curves: Vec<&str> = provider.kx_groups.iter().filter_map(|group| curve(group.name())).collect();
        for (key, listed, known) in
            [("cipher_suites", self.cipher_suites, suites), ("curve_preferences", self.curve_preferences, curves)]
        {
            for (index, name) in listed.iter().enumerate().filter(|(_, name)| !known.contains(&name.as_str())) {
                let path = format!("{key}.{index}");
                report.error(&path, format!("`{name}` is not to be had")).suggest(name, &known);
            }
        }
    }

    fn versions(&self) -> Vec<&'static SupportedProtocolVersion> {
        let known = [(Version::Tls12, &rustls::version::TLS12), (Version::Tls13, &rustls::version::TLS13)];
        let wanted = |version: Version| {
            self.min_version.is_none_or(|min| version >= min) && self.max_version.is_none_or(|max| version <= max)
        };
        known.into_iter().filter(|(version, _)| wanted(*version)).map(|(_, supported)| supported).collect()
    }

    fn provider(&self) -> CryptoProvider {
        let mut provider = ring::default_provider();
        let listed = |names: &[String], name: Option<&str>| {
            names.is_empty() || name.is_some_and(|name| names.iter().any(|listed| listed == name))
        };
        provider
            .cipher_suites
            .retain(|suite| is_tls13(suite.suite()) || listed(self.cipher_suites, suite.suite().as_str()));
        provider.kx_groups.retain(|group| listed(self.curve_preferences, curve(group.name())));
        provider
    }
}

fn is_tls13(suite: CipherSuite) -> bool {
    suite.as_str().is_some_and(|name| name.starts_with("TLS13_"))
}

/// A group's name in Go, which the Collector's users know.
const fn curve(group: rustls::NamedGroup) -> Option<&'static str> {
    match group {
        rustls::NamedGroup::X25519 => Some("X25519"),
        rustls::NamedGroup::secp256r1 => Some("P256"),
        rustls::NamedGroup::secp384r1 => Some("P384"),
        _ => None,
    }
}

/// The text of a `…_file` or `…_pem` key.
fn source(file: Option<&Path>, pem: Option<&Secret>, base: &Path) -> Option<Source> {
    match (file, pem) {
        (Some(path), _) => Some(Source::File(base.join(path))),
        (None, Some(text)) => Some(Source::Inline(text.expose().as_bytes().to_vec())),
        (None, None) => None,
    }
}

/// Says where a text is given twice.
fn check_either(name: &str, file: Option<&PathBuf>, pem: Option<&Secret>, report: &mut Report<'_>) {
    if file.is_some() && pem.is_some() {
        report.error(&format!("{name}_pem"), format!("does not go with {name}_file: give one of them"));
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|error| format!("damaged PEM: {error}"))?;
    if found.is_empty() { Err("there is no certificate in it (PEM)".to_owned()) } else { Ok(found) }
}

/// A certificate chain with its key.
fn identity(chain: &[u8], key: &[u8], provider: &CryptoProvider) -> Result<CertifiedKey, String> {
    let chain = certificates(chain).map_err(|error| format!("certificate: {error}"))?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| format!("key: {error}"))?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| format!("certificate and key: {error}"))
}

/// Authorities to trust: those in `pem`, and the system's if asked for.
fn roots(pem: Option<&[u8]>, with_system: bool) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    if let Some(pem) = pem {
        for certificate in certificates(pem).map_err(|error| format!("authorities: {error}"))? {
            roots.add(certificate).map_err(|error| format!("authorities: {error}"))?;
        }
    }
    if with_system {
        let found = rustls_native_certs::load_native_certs();
        let (taken, _) = roots.add_parsable_certificates(found.certs);
        if taken == 0 {
            let because = found.errors.first().map_or_else(String::new, |error| format!(" ({error})"));
            return Err(format!("this system has no certificates of authorities{because}; set tls::ca_file"));
        }
    }
    Ok(roots)
}
