//! What goes in comes out: the official client and server on both sides of the binary.
#![allow(clippy::unwrap_used, clippy::float_cmp, reason = "a test says more by failing where it stands")]

mod support;

use opentelemetry_proto::tonic::collector::{
    logs::v1::logs_service_client::LogsServiceClient, metrics::v1::metrics_service_client::MetricsServiceClient,
    trace::v1::trace_service_client::TraceServiceClient,
};
use prost::Message as _;
use support::{Gateway, eventually, input, sink::Sink};
use tonic::codec::CompressionEncoding;

fn forward(to: std::net::SocketAddr) -> String {
    format!(
        "
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: 127.0.0.1:0}}, http: {{endpoint: 127.0.0.1:0}}}}}}}}
exporters: {{otlp_grpc: {{endpoint: '{to}', tls: {{insecure: true}}}}}}
service:
  pipelines:
    traces: {{receivers: [otlp], exporters: [otlp_grpc]}}
    logs: {{receivers: [otlp], exporters: [otlp_grpc]}}
    metrics: {{receivers: [otlp], exporters: [otlp_grpc]}}
"
    )
}

/// Scenario: the official Rust client sends all three signals over gRPC, plain, gzip and zstd.
/// Guarantees: the official server behind the gateway holds exactly what was sent.
#[tokio::test]
async fn everything_sent_over_grpc_arrives_unharmed() {
    for encoding in [None, Some(CompressionEncoding::Gzip), Some(CompressionEncoding::Zstd)] {
        let (sink, address) = Sink::start().await;
        let gateway = Gateway::start(&forward(address)).await;
        let (traces, logs, metrics) = (input::invocations("f", 0, 100), input::logs(50), input::metrics(30));
        let mut client = TraceServiceClient::connect(gateway.grpc()).await.unwrap();
        let mut log_client = LogsServiceClient::connect(gateway.grpc()).await.unwrap();
        let mut metric_client = MetricsServiceClient::connect(gateway.grpc()).await.unwrap();
        if let Some(encoding) = encoding {
            client = client.send_compressed(encoding);
            log_client = log_client.send_compressed(encoding);
            metric_client = metric_client.send_compressed(encoding);
        }
        assert!(client.export(traces.clone()).await.unwrap().into_inner().partial_success.is_none());
        log_client.export(logs.clone()).await.unwrap();
        metric_client.export(metrics.clone()).await.unwrap();
        eventually("all three arrive", async || {
            let all = (sink.spans().len(), sink.log_records().len(), sink.metric_requests().len());
            (all == (100, 50, 1)).then_some(())
        })
        .await;
        assert_eq!(sink.trace_requests(), [traces], "{encoding:?}");
        assert_eq!(sink.metric_requests(), [metrics], "{encoding:?}");
        let counted = gateway.metrics().await;
        let labels = "{receiver=\"otlp\",transport=\"grpc\"}";
        assert_eq!(counted[&format!("otelcol_receiver_accepted_spans{labels}")], 100.0);
        assert_eq!(counted[&format!("otelcol_receiver_accepted_metric_points{labels}")], 30.0);
    }
}

/// Scenario: the same requests over HTTP in each body form.
/// Guarantees: they arrive, and the answer is in the request's own form.
#[tokio::test]
async fn everything_sent_over_http_arrives_unharmed() {
    let (sink, address) = Sink::start().await;
    let gateway = Gateway::start(&forward(address)).await;
    let request = input::invocations("f", 0, 10);
    let json = br#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c",
        "spanId":"eee19b7ec3c1b174","name":"j","kind":2,"startTimeUnixNano":"1544712660000000000",
        "endTimeUnixNano":1544712661000000000,"unknownField":{}}]}]}]}"#;
    let gzip = |bytes: &[u8]| sekisho::otlp::compression::compress(sekisho::otlp::compression::Encoding::Gzip, bytes);
    let protobuf = request.encode_to_vec();
    let table = [
        ("protobuf", "application/x-protobuf", "", protobuf.clone(), 10),
        ("protobuf, gzip", "application/x-protobuf", "gzip", gzip(&protobuf), 10),
        ("json", "application/json", "", json.to_vec(), 1),
        ("json, gzip, charset", "application/json; charset=utf-8", "gzip", gzip(json), 1),
        ("empty request", "application/x-protobuf", "", Vec::new(), 0),
    ];
    let client = support::http();
    let mut expected = 0;
    for (row, content_type, encoding, body, spans) in table {
        let mut post = client.post(format!("{}/v1/traces", gateway.http())).header("content-type", content_type);
        if !encoding.is_empty() {
            post = post.header("content-encoding", encoding);
        }
        let answer = post.body(body).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{row}");
        assert!(content_type.starts_with(answer.headers()["content-type"].to_str().unwrap()), "{row}");
        expected += spans;
        eventually(row, async || (sink.spans().len() == expected).then_some(())).await;
    }
    let last = sink.spans().pop().unwrap();
    assert_eq!((last.trace_id.len(), last.end_time_unix_nano), (16, 1_544_712_661_000_000_000));
}

/// Scenario: the destination refuses, then takes.
/// Guarantees: what was acknowledged is delivered, once.
#[tokio::test]
async fn a_refusing_destination_gets_everything_once_it_takes_again() {
    let (sink, address) = Sink::start().await;
    sink.refuse();
    let config = forward(address).replace(
        "tls: {insecure: true}",
        "tls: {insecure: true}, retry_on_failure: {initial_interval: 50ms, max_interval: 100ms}",
    );
    let gateway = Gateway::start(&config).await;
    let mut client = TraceServiceClient::connect(gateway.grpc()).await.unwrap();
    for first in [0, 10, 20] {
        client.export(input::invocations("f", first, 10)).await.unwrap();
    }
    sink.take();
    eventually("everything arrives", async || (sink.spans().len() == 30).then_some(())).await;
}

/// Scenario: SIGTERM while the queue and the batch processor hold data.
/// Guarantees: all of it is delivered before the process ends, with exit code 0.
#[tokio::test]
async fn sigterm_drains_what_is_held() {
    let (sink, address) = Sink::start().await;
    let config = forward(address)
        .replace("exporters: {otlp_grpc:", "processors: {batch: {timeout: 60s}}\nexporters: {otlp_grpc:")
        .replace("receivers: [otlp], exporters", "receivers: [otlp], processors: [batch], exporters");
    let gateway = Gateway::start(&config).await;
    let mut client = TraceServiceClient::connect(gateway.grpc()).await.unwrap();
    client.export(input::invocations("f", 0, 10)).await.unwrap();
    assert!(sink.spans().is_empty(), "the batch waits for its timeout");
    gateway.terminate().await;
    assert_eq!(sink.spans().len(), 10);
}
