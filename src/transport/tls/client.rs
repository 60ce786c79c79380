//! `tls` of a client.
//!
//! ```yaml
//! tls:
//!   insecure: false                 # no TLS, where the endpoint does not say
//!   insecure_skip_verify: false     # TLS, but with anybody
//!   ca_file: ca.crt                 # or ca_pem; instead of the system's authorities
//!   include_system_ca_certs_pool: false   # beside them
//!   cert_file: client.crt           # or cert_pem: our own certificate
//!   key_file: client.key            # or key_pem
//!   server_name_override: ""        # the name the server's certificate must be for; only gRPC also asks for it
//!   min_version: "1.2"
//!   max_version: "1.3"
//!   cipher_suites: []               # of TLS 1.2; all that are safe unless given
//!   curve_preferences: []           # X25519, P256, P384
//!   reload_interval: 0s             # how often to look whether the files have changed; 0: never
//! ```

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::{
        ResolvesClientCert, Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    sign::CertifiedKey,
};
use serde::Deserialize;

use super::{super::reloading::Reloading, Terms, Version, check_either, identity, roots, source};
use crate::{
    config::{Check, Report, Secret},
    pipeline::component::{Context, StartError},
};

/// The configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// No TLS at all.
    pub insecure: bool,
    /// Encrypt, but believe any certificate: whoever stands in between reads along.
    pub insecure_skip_verify: bool,
    /// Authorities to trust instead of the system's, PEM.
    pub ca_file: Option<PathBuf>,
    /// The same, as text.
    pub ca_pem: Option<Secret>,
    /// Trust the system's authorities too.
    pub include_system_ca_certs_pool: bool,
    /// Our own certificate, PEM.
    pub cert_file: Option<PathBuf>,
    /// The same, as text.
    pub cert_pem: Option<Secret>,
    /// The key of our own certificate, PEM.
    pub key_file: Option<PathBuf>,
    /// The same, as text.
    pub key_pem: Option<Secret>,
    /// The name the server's certificate must be for, instead of the endpoint's.
    pub server_name_override: Option<String>,
    /// The oldest version spoken.
    pub min_version: Option<Version>,
    /// The newest version spoken.
    pub max_version: Option<Version>,
    /// Suites of TLS 1.2, by their IANA names.
    pub cipher_suites: Vec<String>,
    /// Groups for the key exchange.
    pub curve_preferences: Vec<String>,
    /// How often the files are looked at; 0: never.
    #[serde(with = "crate::config::duration")]
    pub reload_interval: Duration,
}

impl Check for Config {
    fn check(&self, report: &mut Report<'_>) {
        if self.has_certificate() != (self.key_file.is_some() || self.key_pem.is_some()) {
            let missing = if self.has_certificate() { "key_file" } else { "cert_file" };
            report.error(missing, "is needed too: a certificate and its key go together");
        }
        check_either("ca", self.ca_file.as_ref(), self.ca_pem.as_ref(), report);
        check_either("cert", self.cert_file.as_ref(), self.cert_pem.as_ref(), report);
        check_either("key", self.key_file.as_ref(), self.key_pem.as_ref(), report);
        if self.insecure && (self.has_authorities() || self.has_certificate()) {
            report.error("insecure", "does not go with certificates").hint("remove `insecure: true`");
        }
        if self.insecure_skip_verify && self.has_authorities() {
            report.error("insecure_skip_verify", "does not go with ca_file: one of them says whom to trust");
        }
        if self.include_system_ca_certs_pool && !self.has_authorities() {
            report.warning("include_system_ca_certs_pool", "does nothing without ca_file: they are trusted anyway");
        }
        if let Some(name) = &self.server_name_override
            && ServerName::try_from(name.as_str()).is_err()
        {
            report.error("server_name_override", "is not the name of a host");
        }
        self.terms().check(report);
    }
}

impl Config {
    const fn has_authorities(&self) -> bool {
        self.ca_file.is_some() || self.ca_pem.is_some()
    }

    const fn has_certificate(&self) -> bool {
        self.cert_file.is_some() || self.cert_pem.is_some()
    }

    fn terms(&self) -> Terms<'_> {
        let Self { min_version, max_version, cipher_suites, curve_preferences, .. } = self;
        Terms { min_version: *min_version, max_version: *max_version, cipher_suites, curve_preferences }
    }

    /// Warns of what does nothing because of `endpoint`'s scheme.
    pub fn check_scheme(&self, endpoint: &str, report: &mut Report<'_>) {
        if self.insecure && endpoint.starts_with("https://") {
            report.warning("tls.insecure", "does nothing: the endpoint says https://");
        }
        let secured = self.has_authorities() || self.has_certificate() || self.insecure_skip_verify;
        if secured && endpoint.starts_with("http://") {
            report.warning("tls", "does nothing: the endpoint says http://, so telemetry leaves unencrypted");
        }
    }

    /// The name the server is called by, if not by the endpoint's.
    pub fn server_name(&self) -> Option<ServerName<'static>> {
        ServerName::try_from(self.server_name_override.clone()?).ok()
    }

    /// For connections that will speak one of `protocols`.
    pub fn config(&self, protocols: &[&[u8]], context: &Context) -> Result<ClientConfig, StartError> {
        self.build(protocols, context).map_err(|error| context.error(format!("tls: {error}")))
    }

    fn build(&self, protocols: &[&[u8]], context: &Context) -> Result<ClientConfig, String> {
        let provider = Arc::new(self.terms().provider());
        let every = (!self.reload_interval.is_zero()).then_some(self.reload_interval);
        let builder = ClientConfig::builder_with_provider(provider.clone());
        let builder = builder.with_protocol_versions(&self.terms().versions()).map_err(|error| error.to_string())?;
        let server = Server {
            trust: self.trust(provider.clone(), every, context)?,
            name: self.server_name(),
            algorithms: provider.signature_verification_algorithms,
            provider: provider.clone(),
        };
        let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(server));
        let mut config = if self.has_certificate() {
            builder.with_client_cert_resolver(Arc::new(self.identity(provider, every, context)?))
        } else {
            builder.with_no_client_auth()
        };
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        if every.is_some() {
            // A resumed session is neither verified again nor shown a new certificate.
            config.resumption = Resumption::disabled();
        }
        Ok(config)
    }

    fn trust(
        &self,
        provider: Arc<CryptoProvider>,
        every: Option<Duration>,
        context: &Context,
    ) -> Result<Trust, String> {
        if self.insecure_skip_verify {
            return Ok(Trust::Anybody);
        }
        let Some(authorities) = source(self.ca_file.as_deref(), self.ca_pem.as_ref(), &context.base) else {
            return Ok(Trust::System(OnceLock::new()));
        };
        let with_system = self.include_system_ca_certs_pool;
        let what = format!("authorities of {}", context.component);
        let reloading = Reloading::new(what, vec![authorities], every, move |contents| {
            verifier(contents.first().map(Vec::as_slice), with_system, &provider)
        });
        reloading.map(Trust::Authorities)
    }

    fn identity(
        &self,
        provider: Arc<CryptoProvider>,
        every: Option<Duration>,
        context: &Context,
    ) -> Result<Identity, String> {
        let certificate = source(self.cert_file.as_deref(), self.cert_pem.as_ref(), &context.base);
        let key = source(self.key_file.as_deref(), self.key_pem.as_ref(), &context.base);
        let what = format!("certificate of {}", context.component);
        let sources = certificate.into_iter().chain(key).collect();
        let reloading = Reloading::new(what, sources, every, move |contents| match contents {
            [certificate, key] => identity(certificate, key, &provider),
            _ => Err("a certificate and its key go together".to_owned()),
        });
        reloading.map(Identity)
    }
}

fn verifier(
    authorities: Option<&[u8]>,
    with_system: bool,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, String> {
    let roots = roots(authorities, with_system)?;
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    verifier.build().map_err(|error| error.to_string())
}

#[derive(Debug)]
struct Identity(Reloading<CertifiedKey>);

impl ResolvesClientCert for Identity {
    fn resolve(&self, _authorities: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.current())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Whom we believe.
#[derive(Debug)]
enum Trust {
    Anybody,
    /// The system's authorities are only read when a server shows its certificate: most never do.
    System(OnceLock<Result<Arc<WebPkiServerVerifier>, String>>),
    Authorities(Reloading<Arc<WebPkiServerVerifier>>),
}

/// Checks a server's certificate, and always that it holds the certificate's key.
#[derive(Debug)]
struct Server {
    trust: Trust,
    /// The name it must have, instead of the one it was called by.
    name: Option<ServerName<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Server {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        called: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verifier = match &self.trust {
            Trust::Anybody => return Ok(ServerCertVerified::assertion()),
            Trust::Authorities(authorities) => authorities.current().as_ref().clone(),
            Trust::System(system) => {
                let read = system.get_or_init(|| verifier(None, true, &self.provider));
                read.clone().map_err(rustls::Error::General)?
            }
        };
        let name = self.name.as_ref().unwrap_or(called);
        verifier.verify_server_cert(certificate, intermediates, name, ocsp, now)
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
