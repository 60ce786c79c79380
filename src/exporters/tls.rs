//! `tls` of a client, with the Collector's keys.

use std::{fs, path::PathBuf};

use serde::Deserialize;
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use crate::{
    config::{Check, Report},
    pipeline::component::{Context, StartError},
};

/// The configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// No TLS at all.
    pub insecure: bool,
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
    }
}

impl Config {
    /// For gRPC.
    pub fn for_tonic(&self, context: &Context) -> Result<ClientTlsConfig, StartError> {
        let mut tls = ClientTlsConfig::new();
        tls = match &self.ca_file {
            Some(path) => tls.ca_certificate(Certificate::from_pem(read(path, context)?)),
            None => tls.with_native_roots(),
        };
        if let (Some(certificate), Some(key)) = (&self.cert_file, &self.key_file) {
            tls = tls.identity(Identity::from_pem(read(certificate, context)?, read(key, context)?));
        }
        if let Some(name) = &self.server_name_override {
            tls = tls.domain_name(name);
        }
        Ok(tls)
    }

    /// For HTTP.
    pub fn for_reqwest(
        &self,
        mut builder: reqwest::ClientBuilder,
        context: &Context,
    ) -> Result<reqwest::ClientBuilder, StartError> {
        let wrong =
            |what: &PathBuf, error: reqwest::Error| context.error(format!("cannot use {}: {error}", what.display()));
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
