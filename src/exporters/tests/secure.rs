//! TLS, with certificates made for the test.

use std::{fs, path::Path, sync::Arc};

use prost::Message as _;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
};
use tokio_rustls::TlsAcceptor;

use super::{
    super::{otlp_grpc, otlp_http},
    build,
    destination::{Destination, soon},
};
use crate::{
    otlp::{Signal, sample},
    pipeline::{Batch, Outcome},
};

pub struct Authority(Issuer<'static, KeyPair>, pub String);

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self(Issuer::new(params, key), pem)
    }

    fn issue(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        (CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.0).unwrap(), key)
    }

    /// A server by the name of `name`, which wants certificates from its clients if `mutual`.
    pub fn server(&self, name: &str, mutual: bool) -> TlsAcceptor {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
        let builder = if mutual {
            let mut roots = RootCertStore::empty();
            for certificate in pem_certificates(&self.1) {
                roots.add(certificate).unwrap();
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let (certificate, key) = self.issue(name);
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = builder.with_single_cert(vec![certificate.der().clone()], key).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }
}

fn pem_certificates(pem: &str) -> Vec<rustls::pki_types::CertificateDer<'static>> {
    use rustls::pki_types::pem::PemObject as _;
    rustls::pki_types::CertificateDer::pem_slice_iter(pem.as_bytes()).map(Result::unwrap).collect()
}

fn write(directory: &Path, name: &str, text: &str) -> String {
    let path = directory.join(name);
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[tokio::test]
async fn only_whom_the_configuration_trusts_gets_telemetry() {
    let directory = tempfile::tempdir().unwrap();
    let (ours, other) = (Authority::new(), Authority::new());
    let (certificate, key) = ours.issue("client");
    let ca = write(directory.path(), "ca.pem", &ours.1);
    let other = write(directory.path(), "other.pem", &other.1);
    let cert_file = write(directory.path(), "client.pem", &certificate.pem());
    let key_file = write(directory.path(), "client.key", &key.serialize_pem());
    let client = format!("ca_file: {ca}, cert_file: {cert_file}, key_file: {key_file}");
    let both: &[bool] = &[true, false];
    #[rustfmt::skip]
    let table = [
        ("our authority",                   both, "localhost", false, format!("ca_file: {ca}"), true),
        ("another authority",               both, "localhost", false, format!("ca_file: {other}"), false),
        ("another name",                    both, "elsewhere", false, format!("ca_file: {ca}"), false),
        ("another name, which is expected", both, "elsewhere", false, format!("ca_file: {ca}, server_name_override: elsewhere"), true),
        ("anybody",                         both, "elsewhere", false, "insecure_skip_verify: true".to_owned(), true),
        ("we must show a certificate",      both, "localhost", true, client, true),
        ("but have none",                   both, "localhost", true, format!("ca_file: {ca}"), false),
    ];
    for (row, protocols, name, mutual, tls, trusted) in table {
        for grpc in protocols {
            let destination = Destination::over(Some(ours.server(name, mutual)), []).await;
            let yaml = format!(
                "{{endpoint: 'https://localhost:{}', tls: {{{tls}}}, timeout: 10s, \
                 sending_queue: {{enabled: false}}, retry_on_failure: {{enabled: false}}}}",
                destination.address.port()
            );
            let (exporter, _) =
                if *grpc { build::<otlp_grpc::Config>(&yaml) } else { build::<otlp_http::Config>(&yaml) };
            let batch = Batch { signal: Signal::Traces, body: sample::traces(3).encode_to_vec().into(), items: 3 };
            let outcome = soon(row, exporter.consume(batch)).await;
            assert_eq!(outcome == Outcome::Accepted, trusted, "{row}, gRPC: {grpc}: {outcome:?}");
            assert_eq!(destination.taken().len(), usize::from(trusted), "{row}, gRPC: {grpc}");
            assert!(trusted || matches!(outcome, Outcome::Retryable { .. }), "{row}, gRPC: {grpc}: {outcome:?}");
        }
    }
}
