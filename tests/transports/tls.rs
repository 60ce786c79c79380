//! TLS and mTLS, and certificates that change while we run.

use std::path::Path;

use prost::Message as _;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};

use crate::{
    localhost, send,
    support::{
        Gateway,
        certificates::{Authority, Issued},
        eventually, input,
        sink::Sink,
    },
    to_sink,
};

fn receiver(tls: &str) -> String {
    format!("{{grpc: {{endpoint: '127.0.0.1:0', tls: {tls}}}, http: {{endpoint: '127.0.0.1:0', tls: {tls}}}}}")
}

async fn start(directory: tempfile::TempDir, sink: std::net::SocketAddr, tls: &str) -> Gateway {
    Gateway::start_in(directory, &to_sink(sink, &receiver(tls), "service:"), &[]).await
}

async fn grpc(gateway: &Gateway, authority: &str, identity: Option<&Issued>) -> Result<(), String> {
    let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authority));
    if let Some(Issued { certificate, key }) = identity {
        tls = tls.identity(Identity::from_pem(certificate, key));
    }
    let endpoint = Channel::from_shared(format!("https://{}", localhost(gateway, "grpc"))).unwrap();
    let channel = endpoint.tls_config(tls).unwrap().connect().await.map_err(|error| format!("{error:?}"))?;
    send(channel, 1).await.map_err(|status| format!("{status:?}"))
}

async fn http(gateway: &Gateway, authority: &str, identity: Option<&Issued>) -> Result<(), String> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let authority = reqwest::Certificate::from_pem(authority.as_bytes()).unwrap();
    let mut client = reqwest::Client::builder().tls_certs_only([authority]);
    if let Some(Issued { certificate, key }) = identity {
        let pem = format!("{certificate}{key}");
        client = client.identity(reqwest::Identity::from_pem(pem.as_bytes()).unwrap());
    }
    let request = client.build().unwrap().post(format!("https://{}/v1/traces", localhost(gateway, "http")));
    let request = request.header("content-type", "application/x-protobuf");
    let sent = request.body(input::invocations("f", 0, 1).encode_to_vec()).send().await;
    sent.and_then(reqwest::Response::error_for_status).map(|_| ()).map_err(|error| format!("{error:?}"))
}

/// Scenario: clients with and without certificates, and in plain text, at a receiver with TLS and one with mTLS.
/// Guarantees: exactly those come in whom the configuration lets in, over both protocols.
#[tokio::test]
async fn who_shows_the_right_certificate_comes_in() {
    let (sink, address) = Sink::start().await;
    let (ours, other) = (Authority::new(), Authority::new());
    let directory = || {
        let directory = tempfile::tempdir().unwrap();
        ours.issue("localhost").write(directory.path(), "server");
        std::fs::write(directory.path().join("clients.crt"), &ours.pem).unwrap();
        directory
    };
    let files = "cert_file: server.crt, key_file: server.key";
    let open = start(directory(), address, &format!("{{{files}}}")).await;
    let mutual = start(directory(), address, &format!("{{{files}, client_ca_file: clients.crt}}")).await;
    let (known, stranger) = (ours.issue("client"), other.issue("client"));
    let table = [
        ("TLS", &open, &ours, None, true),
        ("TLS, a server of another authority", &open, &other, None, false),
        ("mTLS", &mutual, &ours, Some(&known), true),
        ("mTLS without a certificate", &mutual, &ours, None, false),
        ("mTLS with one of another authority", &mutual, &ours, Some(&stranger), false),
    ];
    let mut expected = 0;
    for (row, gateway, authority, identity, comes_in) in table {
        let over_grpc = grpc(gateway, &authority.pem, identity).await;
        assert_eq!(over_grpc.is_ok(), comes_in, "{row}, gRPC: {over_grpc:?}");
        let over_http = http(gateway, &authority.pem, identity).await;
        assert_eq!(over_http.is_ok(), comes_in, "{row}, HTTP: {over_http:?}");
        expected += if comes_in { 2 } else { 0 };
        assert_eq!(sink.spans().len(), expected, "{row}");
    }
    let plain = Channel::from_shared(open.grpc()).unwrap().connect().await.unwrap();
    assert!(send(plain, 1).await.is_err(), "plain text at a secured port");
    let plain = crate::support::http().post(format!("{}/v1/traces", open.http())).send().await;
    assert!(plain.is_err(), "plain text at a secured port");
    assert_eq!(sink.spans().len(), expected);
}

/// Scenario: the receiver speaks TLS 1.3 only.
/// Guarantees: a client of 1.2 does not get in, one of 1.3 does.
#[tokio::test]
async fn the_oldest_version_is_kept() {
    let (_sink, address) = Sink::start().await;
    let ours = Authority::new();
    let issued = ours.issue("localhost");
    let pem = |text: &str| text.replace('\n', "\\n");
    // As text in the configuration, where files are not wanted.
    let tls = format!(
        "{{cert_pem: \"{}\", key_pem: \"{}\", min_version: \"1.3\"}}",
        pem(&issued.certificate),
        pem(&issued.key)
    );
    let gateway = start(tempfile::tempdir().unwrap(), address, &tls).await;
    for (version, comes_in) in [(&rustls::version::TLS12, false), (&rustls::version::TLS13, true)] {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ours.pem.as_bytes()).unwrap()).unwrap();
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
        let config = config.with_root_certificates(roots).with_no_client_auth();
        let stream = tokio::net::TcpStream::connect(gateway.endpoint("receiver otlp", "grpc")).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
        let shaken = connector.connect("localhost".try_into().unwrap(), stream).await;
        assert_eq!(shaken.is_ok(), comes_in, "{version:?}");
    }
}

/// Scenario: the receiver's certificate is replaced by one of another authority, as are the clients' authorities.
/// Guarantees: new connections see the new ones, the one that was open goes on, and files that make no sense change
/// nothing.
#[tokio::test]
async fn certificates_change_while_connections_live() {
    let (sink, address) = Sink::start().await;
    let (old, new) = (Authority::new(), Authority::new());
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().to_owned();
    let put = |server: &Authority, clients: &Authority, place: &Path| {
        server.issue("localhost").write(place, "server");
        std::fs::write(place.join("clients.crt"), &clients.pem).unwrap();
    };
    put(&old, &old, &place);
    let tls = "{cert_file: server.crt, key_file: server.key, reload_interval: 10ms, \
               client_ca_file: clients.crt, client_ca_file_reload: true}";
    let gateway = start(directory, address, tls).await;
    let (before, after) = (old.issue("client"), new.issue("client"));
    let connected = {
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&old.pem))
            .identity(Identity::from_pem(&before.certificate, &before.key));
        let endpoint = Channel::from_shared(format!("https://{}", localhost(&gateway, "grpc"))).unwrap();
        endpoint.tls_config(tls).unwrap().connect().await.unwrap()
    };
    send(connected.clone(), 1).await.unwrap();

    std::fs::write(place.join("server.crt"), "nonsense").unwrap();
    grpc(&gateway, &old.pem, Some(&before)).await.expect("nonsense changes nothing");

    put(&new, &new, &place);
    eventually("the new certificates are in use", async || grpc(&gateway, &new.pem, Some(&after)).await.ok()).await;
    assert!(grpc(&gateway, &old.pem, Some(&before)).await.is_err(), "the old ones no longer are");
    assert!(http(&gateway, &new.pem, Some(&after)).await.is_ok());
    send(connected, 1).await.expect("the open connection goes on");
    assert_eq!(sink.spans().len(), 5, "all that came in");
}

/// Scenario: one gateway sends to another over mTLS; then the sender's certificate and authority are exchanged.
/// Guarantees: both exporters show theirs and check the other's, and take up new files.
#[tokio::test]
async fn exporters_show_and_check_certificates_that_may_change() {
    let (sink, address) = Sink::start().await;
    let (old, new) = (Authority::new(), Authority::new());
    let far_directory = tempfile::tempdir().unwrap();
    let far = far_directory.path().to_owned();
    old.issue("elsewhere.example.com").write(&far, "server");
    std::fs::write(far.join("clients.crt"), &old.pem).unwrap();
    let tls = "{cert_file: server.crt, key_file: server.key, reload_interval: 10ms, \
               client_ca_file: clients.crt, client_ca_file_reload: true}";
    let far_gateway = start(far_directory, address, tls).await;

    let near_directory = tempfile::tempdir().unwrap();
    let near = near_directory.path().to_owned();
    old.issue("client").write(&near, "client");
    std::fs::write(near.join("ca.crt"), &old.pem).unwrap();
    let tls = "{ca_file: ca.crt, cert_file: client.crt, key_file: client.key, reload_interval: 10ms, \
               server_name_override: elsewhere.example.com}";
    let near_gateway = Gateway::start_in(
        near_directory,
        &format!(
            "
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '127.0.0.1:0'}}}}}}}}
exporters:
  otlp_grpc: {{endpoint: '{}', tls: {tls}, retry_on_failure: {{initial_interval: 50ms, max_interval: 100ms}}}}
  otlp_http: {{endpoint: 'https://{}', tls: {tls}, retry_on_failure: {{initial_interval: 50ms, max_interval: 100ms}}}}
service: {{pipelines: {{traces: {{receivers: [otlp], exporters: [otlp_grpc, otlp_http]}}}}}}
",
            localhost(&far_gateway, "grpc"),
            localhost(&far_gateway, "http")
        ),
        &[],
    )
    .await;
    let channel = Channel::from_shared(near_gateway.grpc()).unwrap().connect().await.unwrap();
    send(channel.clone(), 3).await.unwrap();
    eventually("both deliver", async || (sink.spans().len() == 6).then_some(())).await;

    new.issue("elsewhere.example.com").write(&far, "server");
    std::fs::write(far.join("clients.crt"), &new.pem).unwrap();
    new.issue("client").write(&near, "client");
    std::fs::write(near.join("ca.crt"), &new.pem).unwrap();
    // The new certificates only show on new connections, so the far gateway makes place for one that has none.
    let far_gateway = {
        let port = |protocol| far_gateway.endpoint("receiver otlp", protocol);
        let tls = "{cert_file: server.crt, key_file: server.key, client_ca_file: clients.crt}";
        let receiver = format!(
            "{{grpc: {{endpoint: '{}', tls: {tls}}}, http: {{endpoint: '{}', tls: {tls}}}}}",
            port("grpc"),
            port("http")
        );
        let directory = far_gateway.terminate().await;
        Gateway::start_in(directory, &to_sink(address, &receiver, "service:"), &[]).await
    };
    send(channel, 3).await.unwrap();
    eventually("both deliver with the new ones", async || (sink.spans().len() == 12).then_some(())).await;
    drop(far_gateway);
}
