//! What senders say beside their telemetry, from a receiver's door to an exporter's headers.

use std::{collections::BTreeSet, net::SocketAddr};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use prost::Message as _;
use tonic::Request;

use crate::support::{Gateway, eventually, http, input, sekisho, sink::Sink};

/// A gateway that passes on who sent something.
fn passing_on(sink: SocketAddr, processor: &str, queue: &str, more: &str) -> String {
    let (name, _) = processor.split_once(':').unwrap_or_default();
    format!(
        "
receivers:
  otlp:
    protocols:
      grpc: {{endpoint: '127.0.0.1:0', include_metadata: true}}
      http: {{endpoint: '127.0.0.1:0', include_metadata: true}}
processors: {{{processor}}}
extensions:
  headers_setter: {{headers: [{{key: X-Scope-OrgID, from_context: X-Tenant, default_value: nobody}}]}}
  {more}
exporters:
  otlp_grpc:
    endpoint: '{sink}'
    tls: {{insecure: true}}
    auth: {{authenticator: headers_setter}}
    sending_queue: {{{queue}}}
service:
  extensions: [headers_setter]
  pipelines: {{traces: {{receivers: [otlp], processors: [{name}], exporters: [otlp_grpc]}}}}
"
    )
}

/// Spans of the function of this name, by the sender who says to be `tenant`, over both protocols.
async fn send(gateway: &Gateway, function: &str, tenant: Option<&str>, first: u64) {
    let mut request = Request::new(input::invocations(function, first, 1));
    let mut post =
        http().post(format!("{}/v1/traces", gateway.http())).header("content-type", "application/x-protobuf");
    if let Some(tenant) = tenant {
        request.metadata_mut().insert("x-tenant", tenant.parse().unwrap());
        post = post.header("X-Tenant", tenant);
    }
    TraceServiceClient::connect(gateway.grpc()).await.unwrap().export(request).await.unwrap();
    let answer = post.body(input::invocations(function, first + 1, 1).encode_to_vec()).send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

/// Scenario: two tenants and somebody who does not say who it is take turns, through everything that may hold or merge.
/// Guarantees: each request that leaves has spans of one of them only, under that one's name, or under no one's where the
/// name was given up on the way; nothing is missing.
#[tokio::test]
async fn requests_leave_under_the_name_of_their_sender() {
    let held = "flush_timeout: 300ms, min_size: 1000";
    #[rustfmt::skip]
    let table = [
        ("directly",                     "",                                                        "enabled: false".to_owned(), true),
        ("through a queue",              "",                                                        String::new(), true),
        ("a batch that keeps apart",     "batch: {timeout: 300ms, metadata_keys: [x-tenant]}",      String::new(), true),
        ("a queue that keeps apart",     "",  format!("queue_size: 5000, batch: {{{held}, partition: {{metadata_keys: [X-Tenant]}}}}"), true),
        ("a batch that merges all",      "batch: {timeout: 300ms}",                                 String::new(), false),
        ("a queue that merges all",      "",                                   format!("queue_size: 5000, batch: {{{held}}}"), false),
    ];
    for (row, processor, queue, keeps) in table {
        let (sink, address) = Sink::start().await;
        let gateway = Gateway::start(&passing_on(address, processor, &queue, "")).await;
        let senders = [("of-alpha", Some("alpha")), ("of-beta", Some("beta")), ("of-nobody", None)];
        for turn in 0..3 {
            for (function, tenant) in senders {
                send(&gateway, function, tenant, turn * 2).await;
            }
        }
        let names = async || {
            let (requests, metadata) = (sink.trace_requests(), sink.trace_metadata());
            (sink.spans().len() == 18 && metadata.len() == requests.len()).then_some((requests, metadata))
        };
        let (requests, metadata) = eventually(row, names).await;
        let mut seen = BTreeSet::new();
        for (request, metadata) in requests.iter().zip(&metadata) {
            let told: Vec<_> = metadata.get_all("x-scope-orgid").iter().map(|value| value.to_str().unwrap()).collect();
            let text = format!("{request:?}");
            let within = senders.iter().filter(|(function, _)| text.contains(function));
            let senders: BTreeSet<_> = within.map(|(_, tenant)| tenant.unwrap_or("nobody")).collect();
            if keeps {
                assert_eq!(Vec::from_iter(senders), told, "{row}");
            } else {
                assert_eq!(told, ["nobody"], "{row}");
            }
            seen.extend(told.into_iter().map(str::to_owned));
        }
        assert_eq!(seen.len(), if keeps { 3 } else { 1 }, "{row}");
        let merges = row.starts_with("a ");
        assert!(if merges { requests.len() < 18 } else { requests.len() == 18 }, "{row}: {}", requests.len());
    }
}

/// Scenario: who sent something is to be passed on behind a queue on disk, which does not keep it.
/// Guarantees: the configuration is refused and says what to do.
#[test]
fn a_queue_on_disk_does_not_keep_senders_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let config = passing_on("127.0.0.1:4317".parse().unwrap(), "", "storage: file_storage", "file_storage: {}");
    let config = config.replace("[headers_setter]", "[headers_setter, file_storage]");
    std::fs::write(directory.path().join("config.yaml"), config).unwrap();
    let (code, out, err) = sekisho(&["validate", "--config", "config.yaml"], directory.path());
    assert_eq!(code, Some(2), "{out}{err}");
    assert!(format!("{out}{err}").contains("a queue on disk does not keep"), "{out}{err}");
}
