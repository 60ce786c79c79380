//! How long a receiver lets connections live.

use std::time::{Duration, Instant};

use hyper_util::rt::{TokioExecutor, TokioIo};
use tonic::transport::Channel;

use crate::{
    send,
    support::{DEADLINE, Gateway, sink::Sink},
    to_sink,
};

/// A connection that says when it ended.
async fn connect(gateway: &Gateway) -> tokio::task::JoinHandle<Duration> {
    let begun = Instant::now();
    let stream = tokio::net::TcpStream::connect(gateway.endpoint("receiver otlp", "grpc")).await.unwrap();
    let handshake = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let (sender, connection) =
        handshake.handshake::<_, http_body_util::Empty<bytes::Bytes>>(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(async move {
        let _ = connection.await;
        drop(sender);
        begun.elapsed()
    })
}

/// Scenario: connections that nobody uses, at a receiver that ends idle ones, one that ends old ones, and one that
/// ends neither.
/// Guarantees: they end in time, not before; a client that is told so goes on over a new one without losing anything.
#[tokio::test]
async fn idle_and_old_connections_are_ended_in_peace() {
    let (sink, address) = Sink::start().await;
    let receiver = |parameters: &str| {
        format!("{{grpc: {{endpoint: '127.0.0.1:0', keepalive: {{server_parameters: {parameters}}}}}}}")
    };
    for parameters in ["{max_connection_idle: 400ms}", "{max_connection_age: 400ms, max_connection_age_grace: 100ms}"] {
        let gateway = Gateway::start(&to_sink(address, &receiver(parameters), "service:")).await;
        let ended = tokio::time::timeout(DEADLINE, connect(&gateway).await).await.expect(parameters).unwrap();
        assert!(ended >= Duration::from_millis(350), "{parameters}: {ended:?}");
        let channel = Channel::from_shared(gateway.grpc()).unwrap().connect().await.unwrap();
        let (before, begun) = (sink.spans().len(), Instant::now());
        let mut sent = 0;
        while begun.elapsed() < Duration::from_millis(1_200) {
            send(channel.clone(), 1).await.unwrap_or_else(|status| panic!("{parameters}: {status:?}"));
            sent += 1;
        }
        assert_eq!(sink.spans().len() - before, sent, "{parameters}");
    }
    let gateway = Gateway::start(&to_sink(address, &receiver("{}"), "service:")).await;
    let connection = connect(&gateway).await;
    assert!(tokio::time::timeout(Duration::from_secs(1), connection).await.is_err(), "it stays");
}

/// Scenario: the other end of a connection stops answering pings.
/// Guarantees: the connection is ended.
#[tokio::test]
async fn a_dead_connection_is_noticed() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let (_sink, address) = Sink::start().await;
    let receiver = "{grpc: {endpoint: '127.0.0.1:0', keepalive: {server_parameters: {time: 1s, timeout: 200ms}}}}";
    let gateway = Gateway::start(&to_sink(address, receiver, "service:")).await;
    let mut stream = tokio::net::TcpStream::connect(gateway.endpoint("receiver otlp", "grpc")).await.unwrap();
    // The beginning of HTTP/2 and its settings, then never a word again.
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00").await.unwrap();
    let mut heard = Vec::new();
    let ended = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut heard)).await;
    assert!(ended.is_ok(), "it was ended");
    assert!(heard.windows(9).any(|frame| frame[..4] == [0, 0, 8, 6]), "after a ping");
}

/// Scenario: a client pings once more than it may.
/// Guarantees: it is cut off; one that pings as it may is not.
#[tokio::test]
async fn who_pings_too_often_is_cut_off() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let (_sink, address) = Sink::start().await;
    let receiver = "{grpc: {endpoint: '127.0.0.1:0', keepalive: \
                    {enforcement_policy: {min_time: 1h, permit_without_stream: true}}}}";
    let gateway = Gateway::start(&to_sink(address, receiver, "service:")).await;
    for (pings, cut_off) in [(3, false), (4, true)] {
        let mut stream = tokio::net::TcpStream::connect(gateway.endpoint("receiver otlp", "grpc")).await.unwrap();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00").await.unwrap();
        let mut heard = Vec::new();
        for _ in 0..pings {
            let _ = stream.write_all(b"\x00\x00\x08\x06\x00\x00\x00\x00\x0012345678").await;
        }
        let answers = async {
            let mut buffer = [0; 1024];
            loop {
                match stream.read(&mut buffer).await {
                    Ok(0) | Err(_) => break true,
                    Ok(read) => heard.extend_from_slice(&buffer[..read]),
                }
                if heard.windows(8).filter(|bytes| *bytes == b"12345678").count() == 3 && !cut_off {
                    break false;
                }
            }
        };
        let ended = tokio::time::timeout(DEADLINE, answers).await.expect("an answer, or an end");
        assert_eq!(ended, cut_off, "{pings} pings");
    }
}
