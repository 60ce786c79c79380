//! `tls` of a server.
//!
//! ```yaml
//! tls:
//!   cert_file: server.crt           # or cert_pem
//!   key_file: server.key            # or key_pem
//!   client_ca_file: clients.crt     # or client_ca_pem; clients must then show a certificate of this authority
//!   client_ca_file_reload: false    # looks for new authorities every second
//!   include_system_ca_certs_pool: false   # clients may also be certified by the system's authorities
//!   min_version: "1.2"
//!   max_version: "1.3"
//!   cipher_suites: []               # of TLS 1.2; all that are safe unless given
//!   curve_preferences: []           # X25519, P256, P384
//!   reload_interval: 0s             # how often to look for a new certificate and key; 0: never
//! ```

use std::{path::PathBuf, sync::Arc, time::Duration};

use rustls::{
    DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, UnixTime},
    server::{
        ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
};
use serde::Deserialize;
use tokio_rustls::TlsAcceptor;

use super::{
    super::reloading::{OFTEN, Reloading},
    Terms, Version, check_either, identity, roots, source,
};
use crate::{
    config::{Check, Report, Secret},
    pipeline::component::{Context, StartError},
};

/// The configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Our certificate and those between it and its authority, PEM.
    pub cert_file: Option<PathBuf>,
    /// The same, as text.
    pub cert_pem: Option<Secret>,
    /// Its key, PEM.
    pub key_file: Option<PathBuf>,
    /// The same, as text.
    pub key_pem: Option<Secret>,
    /// Clients must show a certificate of one of these authorities.
    pub client_ca_file: Option<PathBuf>,
    /// The same, as text.
    pub client_ca_pem: Option<Secret>,
    /// Reads `client_ca_file` again when it changes.
    pub client_ca_file_reload: bool,
    /// The system's authorities may certify clients too.
    pub include_system_ca_certs_pool: bool,
    /// The oldest version spoken.
    pub min_version: Option<Version>,
    /// The newest version spoken.
    pub max_version: Option<Version>,
    /// Suites of TLS 1.2, by their IANA names.
    pub cipher_suites: Vec<String>,
    /// Groups for the key exchange.
    pub curve_preferences: Vec<String>,
    /// How often certificate and key are looked at; 0: never.
    #[serde(with = "crate::config::duration")]
    pub reload_interval: Duration,
}

impl Check for Config {
    fn check(&self, report: &mut Report<'_>) {
        let has_certificate = self.cert_file.is_some() || self.cert_pem.is_some();
        let has_key = self.key_file.is_some() || self.key_pem.is_some();
        for (has, key) in [(has_certificate, "cert_file"), (has_key, "key_file")] {
            if !has {
                report.error(key, "is missing: a server needs a certificate and its key");
            }
        }
        check_either("cert", self.cert_file.as_ref(), self.cert_pem.as_ref(), report);
        check_either("key", self.key_file.as_ref(), self.key_pem.as_ref(), report);
        check_either("client_ca", self.client_ca_file.as_ref(), self.client_ca_pem.as_ref(), report);
        if self.client_ca_file_reload && self.client_ca_file.is_none() {
            report.error("client_ca_file_reload", "needs client_ca_file");
        }
        if self.include_system_ca_certs_pool && !self.knows_clients() {
            report.error("include_system_ca_certs_pool", "does nothing without client_ca_file");
        }
        self.terms().check(report);
    }
}

impl Config {
    const fn knows_clients(&self) -> bool {
        self.client_ca_file.is_some() || self.client_ca_pem.is_some()
    }

    fn terms(&self) -> Terms<'_> {
        let Self { min_version, max_version, cipher_suites, curve_preferences, .. } = self;
        Terms { min_version: *min_version, max_version: *max_version, cipher_suites, curve_preferences }
    }

    /// What turns accepted connections into secure ones that speak one of `protocols`.
    pub fn acceptor(&self, protocols: &[&[u8]], context: &Context) -> Result<TlsAcceptor, StartError> {
        let config = self.build(protocols, context).map_err(|error| context.error(format!("tls: {error}")))?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    fn build(&self, protocols: &[&[u8]], context: &Context) -> Result<ServerConfig, String> {
        let provider = Arc::new(self.terms().provider());
        let builder = ServerConfig::builder_with_provider(provider.clone());
        let builder = builder.with_protocol_versions(&self.terms().versions()).map_err(|error| error.to_string())?;
        let builder = if self.knows_clients() {
            builder.with_client_cert_verifier(Arc::new(self.clients(provider.clone(), context)?))
        } else {
            builder.with_no_client_auth()
        };
        let mut config = builder.with_cert_resolver(Arc::new(self.identity(provider, context)?));
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        if self.client_ca_file_reload {
            // A resumed session is not verified again.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(config)
    }

    fn identity(&self, provider: Arc<CryptoProvider>, context: &Context) -> Result<Identity, String> {
        let certificate = source(self.cert_file.as_deref(), self.cert_pem.as_ref(), &context.base);
        let key = source(self.key_file.as_deref(), self.key_pem.as_ref(), &context.base);
        let every = (!self.reload_interval.is_zero()).then_some(self.reload_interval);
        let what = format!("certificate of {}", context.component);
        let sources = certificate.into_iter().chain(key).collect();
        let reloading = Reloading::new(what, sources, every, move |contents| match contents {
            [certificate, key] => identity(certificate, key, &provider),
            _ => Err("a server needs a certificate and its key".to_owned()),
        });
        reloading.map(Identity)
    }

    fn clients(&self, provider: Arc<CryptoProvider>, context: &Context) -> Result<Clients, String> {
        let authorities = source(self.client_ca_file.as_deref(), self.client_ca_pem.as_ref(), &context.base);
        let every = self.client_ca_file_reload.then_some(OFTEN);
        let what = format!("clients' authorities of {}", context.component);
        let (with_system, algorithms) = (self.include_system_ca_certs_pool, provider.signature_verification_algorithms);
        let reloading = Reloading::new(what, authorities.into_iter().collect(), every, move |contents| {
            let roots = roots(contents.first().map(Vec::as_slice), with_system)?;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
            verifier.build().map_err(|error| error.to_string())
        });
        Ok(Clients { authorities: reloading?, algorithms })
    }
}

#[derive(Debug)]
struct Identity(Reloading<CertifiedKey>);

impl ResolvesServerCert for Identity {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.current())
    }
}

/// Believes the clients whom the authorities of the moment certify.
#[derive(Debug)]
struct Clients {
    authorities: Reloading<Arc<dyn ClientCertVerifier>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for Clients {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // They would be those of one moment.
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.authorities.current().verify_client_cert(certificate, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
