//! `tls` of a client, with the Collector's keys.

use std::{fs, path::PathBuf, sync::Arc};

use rustls::{
    DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use crate::{
    config::{Check, Report},
    pipeline::component::{Context, StartError},
};

/// The configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// No TLS at all.
    pub insecure: bool,
    /// Encrypt, but believe any certificate: whoever stands in between reads along.
    pub insecure_skip_verify: bool,
    /// Certificates to trust instead of the system's, PEM.
    pub ca_file: Option<PathBuf>,
    /// Our own certificate, PEM.
    pub cert_file: Option<PathBuf>,
    /// The key of our own certificate, PEM.
    pub key_file: Option<PathBuf>,
    /// The name the server's certificate must be for, instead of the endpoint's.
    pub server_name_override: Option<String>,
}

impl Check for Config {
    fn check(&self, report: &mut Report<'_>) {
        if self.cert_file.is_some() != self.key_file.is_some() {
            let missing = if self.cert_file.is_some() { "key_file" } else { "cert_file" };
            report.error(missing, "is needed too: a certificate and its key go together");
        }
        if self.insecure && (self.ca_file.is_some() || self.cert_file.is_some()) {
            report.error("insecure", "does not go with certificates").hint("remove `insecure: true`");
        }
        if self.insecure_skip_verify && self.ca_file.is_some() {
            report.error("insecure_skip_verify", "does not go with ca_file: one of them says whom to trust");
        }
    }
}

impl Config {
    /// Warns of what does nothing because of `endpoint`'s scheme.
    pub fn check_scheme(&self, endpoint: &str, report: &mut Report<'_>) {
        if self.insecure && endpoint.starts_with("https://") {
            report.warning("tls.insecure", "does nothing: the endpoint says https://");
        }
        let secured = self.ca_file.is_some() || self.cert_file.is_some() || self.insecure_skip_verify;
        if secured && endpoint.starts_with("http://") {
            report.warning("tls", "does nothing: the endpoint says http://, so telemetry leaves unencrypted");
        }
    }

    /// For gRPC.
    pub fn for_tonic(&self, endpoint: Endpoint, context: &Context) -> Result<Endpoint, StartError> {
        let mut tls = ClientTlsConfig::new();
        if let (Some(certificate), Some(key)) = (&self.cert_file, &self.key_file) {
            tls = tls.identity(Identity::from_pem(read(certificate, context)?, read(key, context)?));
        }
        if let Some(name) = &self.server_name_override {
            tls = tls.domain_name(name);
        }
        let secured = if self.insecure_skip_verify {
            let algorithms = ring::default_provider().signature_verification_algorithms;
            endpoint.tls_config_with_verifier(tls, Arc::new(AnyCertificate(algorithms)))
        } else if let Some(path) = &self.ca_file {
            endpoint.tls_config(tls.ca_certificate(Certificate::from_pem(read(path, context)?)))
        } else {
            endpoint.tls_config(tls.with_native_roots())
        };
        secured.map_err(|error| context.error(format!("tls: {}", super::client::causes(&error))))
    }

    /// For HTTP.
    pub fn for_reqwest(
        &self,
        mut builder: reqwest::ClientBuilder,
        context: &Context,
    ) -> Result<reqwest::ClientBuilder, StartError> {
        let wrong =
            |what: &PathBuf, error: reqwest::Error| context.error(format!("cannot use {}: {error}", what.display()));
        if self.insecure_skip_verify {
            builder = builder.tls_danger_accept_invalid_certs(true);
        }
        if let Some(path) = &self.ca_file {
            let certificates = reqwest::Certificate::from_pem_bundle(&read(path, context)?);
            builder = builder.tls_certs_only(certificates.map_err(|error| wrong(path, error))?);
        }
        if let (Some(certificate), Some(key)) = (&self.cert_file, &self.key_file) {
            let mut pem = read(certificate, context)?;
            pem.extend(read(key, context)?);
            builder = builder.identity(reqwest::Identity::from_pem(&pem).map_err(|error| wrong(certificate, error))?);
        }
        Ok(builder)
    }
}

fn read(path: &PathBuf, context: &Context) -> Result<Vec<u8>, StartError> {
    fs::read(context.base.join(path)).map_err(|error| context.error(format!("cannot read {}: {error}", path.display())))
}

/// Believes any certificate, but not just any signature: the other side must hold the certificate's key.
#[derive(Debug)]
struct AnyCertificate(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
