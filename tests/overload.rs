//! Senders that are slow, silent, greedy or too many do not hurt the others, and memory stays where it was told to.
#![allow(clippy::unwrap_used, clippy::float_cmp, reason = "a test says more by failing where it stands")]

mod support;

use std::time::{Duration, Instant};

use prost::Message as _;
use support::{
    Gateway, eventually, input,
    ledger::{Destination, Load, Pace},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

fn forward(destination: &Destination, limiter: &str, queue: &str) -> String {
    format!(
        "
receivers:
  otlp:
    protocols: {{grpc: {{endpoint: 127.0.0.1:0}}, http: {{endpoint: 127.0.0.1:0}}}}
    max_in_flight_size: 16MiB
processors: {{memory_limiter: {{{limiter}}}}}
exporters:
  otlp_http:
    endpoint: http://{}
    compression: none
    sending_queue: {{{queue}}}
    retry_on_failure: {{initial_interval: 50ms, max_interval: 200ms, max_elapsed_time: 0}}
service: {{pipelines: {{traces: {{receivers: [otlp], processors: [memory_limiter], exporters: [otlp_http]}}}}}}
",
        destination.address
    )
}

async fn connect(gateway: &Gateway, protocol: &str, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(gateway.endpoint("receiver otlp", protocol)).await.unwrap();
    // The gateway may have had enough already.
    let _ = stream.write_all(bytes).await;
    stream
}

/// A request with one span is answered, and soon.
async fn a_good_client_is_served(row: &str, gateway: &Gateway) {
    let begun = Instant::now();
    let post = support::http().post(format!("{}/v1/traces", gateway.http()));
    let post = post.header("content-type", "application/x-protobuf").timeout(Duration::from_secs(10));
    let answer = post.body(input::invocations("f", 0, 1).encode_to_vec()).send().await;
    let answer = answer.unwrap_or_else(|error| panic!("{row}: {error:?}"));
    assert_eq!(answer.status(), 200, "{row}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{row}: {:?}", begun.elapsed());
}

/// Scenario: crowds of bad clients, one kind after the other, all still connected.
/// Guarantees: a good client is served as soon as ever, and the gateway does not grow by more than the crowd may take.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_clients_do_not_hurt_the_others() {
    let destination = Destination::start();
    let gateway = Gateway::start(&forward(&destination, "limit_mib: 512", "")).await;
    let post = "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n";
    let announced = format!("{post}content-length: 16000000\r\n\r\n");
    let pipelined = format!("{post}content-length: 0\r\n\r\n").repeat(200);
    let headers = format!("{post}{}", "x-flood: 0123456789012345678901234567890123456789\r\n".repeat(20_000));
    let long = format!("{post}x-long: {}", "a".repeat(1 << 20));
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice();
    // SETTINGS, then HEADERS without an end, then CONTINUATION for ever.
    let mut continued = [preface, &[0, 0, 0, 4, 0, 0, 0, 0, 0], &[0, 0, 1, 1, 0, 0, 0, 0, 1, 0x82]].concat();
    for _ in 0..20_000 {
        continued.extend_from_slice(&[0, 0, 4, 9, 0, 0, 0, 0, 1, 0x00, 0x01, b'a', 0x00]);
    }
    // Streams opened and reset at once.
    let mut reset = [preface, &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat();
    for stream in (1_u32..20_000).step_by(2) {
        reset.extend_from_slice(&[0, 0, 1, 1, 4]);
        reset.extend_from_slice(&stream.to_be_bytes());
        reset.push(0x82);
        reset.extend_from_slice(&[0, 0, 4, 3, 0]);
        reset.extend_from_slice(&stream.to_be_bytes());
        reset.extend_from_slice(&[0, 0, 0, 8]);
    }
    #[rustfmt::skip]
    let crowds: [(&str, &str, usize, &[u8]); 9] = [
        ("silent",                               "http", 500, b""),
        ("silent, gRPC",                         "grpc", 500, preface),
        ("half a header",                        "http", 200, post.as_bytes()),
        ("a body announced and never sent",      "http", 50,  announced.as_bytes()),
        ("many requests, no answer ever read",   "http", 50,  pipelined.as_bytes()),
        ("a flood of headers",                   "http", 20,  headers.as_bytes()),
        ("one endless header",                   "http", 20,  long.as_bytes()),
        ("an endless header, gRPC",              "grpc", 20,  &continued),
        ("streams opened and reset, gRPC",       "grpc", 20,  &reset),
    ];
    a_good_client_is_served("alone", &gateway).await;
    let before = gateway.resident_bytes();
    let mut all = Vec::new();
    for (row, protocol, count, bytes) in crowds {
        for _ in 0..count {
            all.push(connect(&gateway, protocol, bytes).await);
        }
        a_good_client_is_served(row, &gateway).await;
    }
    let grown = gateway.resident_bytes().saturating_sub(before) >> 20;
    assert!(grown < 200, "grown by {grown} MiB");
    let open = gateway.metrics().await["sekisho_receiver_connections{receiver=\"otlp\",transport=\"http\"}"];
    assert!(open >= 700.0, "{open}");
}

/// Scenario: headers larger than the limit.
/// Guarantees: they are refused with the status made for it.
#[tokio::test]
async fn headers_have_a_limit() {
    let destination = Destination::start();
    let gateway = Gateway::start(&forward(&destination, "limit_mib: 512", "")).await;
    let long = format!("POST /v1/traces HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n", "a".repeat(100_000));
    let mut stream = connect(&gateway, "http", long.as_bytes()).await;
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(String::from_utf8(answer).unwrap(), "HTTP/1.1 431");
}

/// Scenario: more than can be held comes in while the destination is dead, for seconds; then it comes back.
/// Guarantees: memory stays within the limit, what does not fit is refused, and what was acknowledged arrives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_stays_within_the_limit_while_the_destination_is_dead() {
    let mut destination = Destination::start();
    let (limiter, queue) = ("limit_mib: 120, spike_limit_mib: 40", "queue_size: 1000000");
    let gateway = Gateway::start(&forward(&destination, limiter, queue)).await;
    destination.go_away();
    let mut load = Load::start(gateway.http(), Pace { senders: 8, spans: 2_000, rate: None, functions: 1 });
    let mut most = 0;
    let refused = "otelcol_processor_refused_spans{processor=\"memory_limiter\"}";
    eventually("there is no room for more", async || {
        most = most.max(gateway.resident_bytes());
        (gateway.metrics().await[refused] >= 100_000.0).then_some(())
    })
    .await;
    assert!(most < 120 << 20, "{} MiB", most >> 20);
    assert!(load.acknowledged().len() > 50_000, "{}", load.acknowledged().len());
    load.stop().await;
    destination.come_back();
    eventually("what was acknowledged arrives", async || {
        (load.acknowledged().missing_in(&destination.arrived) == 0).then_some(())
    })
    .await;
    eventually("and there is room again", async || {
        let post = support::http().post(format!("{}/v1/traces", gateway.http()));
        let post = post.header("content-type", "application/x-protobuf");
        let answer = post.body(input::invocations("f", 10_000_000, 1).encode_to_vec()).send().await.unwrap();
        (answer.status() == 200).then_some(())
    })
    .await;
}
