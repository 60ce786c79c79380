//! Ways between two gateways: Unix sockets, every compression.

use hyper_util::rt::TokioIo;
use prost::Message as _;
use sekisho::otlp::compression::{Encoding, compress};
use tonic::transport::{Channel, Endpoint};

use crate::{
    send,
    support::{Gateway, eventually, http, input, sink::Sink},
    to_sink,
};

/// Scenario: a gateway listens on Unix sockets, is killed, and starts again in the same place; another sends to it.
/// Guarantees: the official client and our own exporter get through; a socket left behind is no obstacle.
#[tokio::test]
async fn unix_sockets_carry_otlp() {
    let (sink, address) = Sink::start().await;
    let far = tempfile::tempdir().unwrap();
    let socket = far.path().join("otlp.sock");
    let receiver = "{grpc: {transport: unix, endpoint: ./otlp.sock}}";
    let mut killed = Gateway::start_in(far, &to_sink(address, receiver, "service:"), &[]).await;
    killed.signal("KILL");
    killed.ended().await;
    let far = std::mem::replace(&mut killed.directory, tempfile::tempdir().unwrap());
    assert!(socket.exists(), "it was left behind");
    let mut far = Gateway::start_in(far, &to_sink(address, receiver, "service:"), &[]).await;

    let path = socket.clone();
    let connector = tower::service_fn(move |_: ::http::Uri| {
        let path = path.clone();
        async move { tokio::net::UnixStream::connect(path).await.map(TokioIo::new) }
    });
    let channel = Endpoint::from_static("http://localhost").connect_with_connector(connector).await.unwrap();
    send(channel, 2).await.unwrap();
    assert_eq!(sink.spans().len(), 2);

    let near = Gateway::start(&format!(
        "
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '127.0.0.1:0'}}}}}}}}
exporters: {{otlp_grpc: {{endpoint: 'unix://{}', tls: {{insecure: true}}}}}}
service: {{pipelines: {{traces: {{receivers: [otlp], exporters: [otlp_grpc]}}}}}}
",
        socket.display()
    ))
    .await;
    let channel = Channel::from_shared(near.grpc()).unwrap().connect().await.unwrap();
    send(channel, 3).await.unwrap();
    eventually("three more come through", async || (sink.spans().len() == 5).then_some(())).await;

    far.signal("TERM");
    assert!(far.ended().await.success());
    assert!(!socket.exists(), "it is taken away at the end");
}

/// Scenario: one gateway sends to another in every compression there is.
/// Guarantees: all arrive whole; each was said to be what it was.
#[tokio::test]
async fn every_compression_goes_out_and_comes_in() {
    let (sink, address) = Sink::start().await;
    let receiver = "{grpc: {endpoint: '127.0.0.1:0'}, http: {endpoint: '127.0.0.1:0'}}";
    let far = Gateway::start(&to_sink(address, receiver, "service:")).await;
    let over_grpc = ["none", "gzip", "zstd", "snappy"].map(|name| {
        let to = far.endpoint("receiver otlp", "grpc");
        format!("otlp_grpc/{name}: {{endpoint: '{to}', compression: {name}, tls: {{insecure: true}}}}")
    });
    let over_http = ["none", "gzip", "zstd", "snappy", "x-snappy-framed", "zlib", "deflate", "lz4"]
        .map(|name| format!("otlp_http/{name}: {{endpoint: '{}', compression: {name}}}", far.http()));
    let at_level = [("gzip", 9), ("zstd", 7)].map(|(name, level)| {
        let level = format!("compression_params: {{level: {level}}}");
        format!("otlp_http/{name}-level: {{endpoint: '{}', compression: {name}, {level}}}", far.http())
    });
    let exporters: Vec<_> = over_grpc.into_iter().chain(over_http).chain(at_level).collect();
    let ids: Vec<_> = exporters.iter().map(|exporter| exporter.split(": ").next().unwrap()).collect();
    let near = Gateway::start(&format!(
        "
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '127.0.0.1:0'}}}}}}}}
exporters:
  {}
service: {{pipelines: {{traces: {{receivers: [otlp], exporters: [{}]}}}}}}
",
        exporters.join("\n  "),
        ids.join(", ")
    ))
    .await;
    let channel = Channel::from_shared(near.grpc()).unwrap().connect().await.unwrap();
    send(channel, 100).await.unwrap();
    let expected = input::invocations("f", 0, 100);
    let arrived = async || {
        let requests = sink.trace_requests();
        (requests.len() == exporters.len()).then_some(requests)
    };
    for request in eventually("one of each arrives", arrived).await {
        assert_eq!(request, expected);
    }
}

/// Scenario: a client of another make posts in every compression to a receiver that takes all, and to one that takes
/// two.
/// Guarantees: what is taken is taken; the rest is refused by name.
#[tokio::test]
async fn compressions_can_be_chosen() {
    let (_sink, address) = Sink::start().await;
    let all = Gateway::start(&to_sink(address, "{http: {endpoint: '127.0.0.1:0'}}", "service:")).await;
    let two = "{http: {endpoint: '127.0.0.1:0', compression_algorithms: ['', gzip]}}";
    let two = Gateway::start(&to_sink(address, two, "service:")).await;
    let plain = input::invocations("f", 0, 50).encode_to_vec();
    let framed = compress(Encoding::SnappyFramed, &plain);
    #[rustfmt::skip]
    let table = [
        ("none",                          "",                plain.clone(), 200, 200),
        ("gzip",                          "gzip",            compress(Encoding::Gzip, &plain), 200, 200),
        ("in capitals",                   "GZIP",            compress(Encoding::Gzip, &plain), 200, 200),
        ("zstd",                          "zstd",            compress(Encoding::Zstd, &plain), 200, 415),
        ("deflate",                       "deflate",         compress(Encoding::Deflate, &plain), 200, 415),
        ("zlib",                          "zlib",            compress(Encoding::Zlib, &plain), 200, 415),
        ("snappy",                        "snappy",          compress(Encoding::Snappy, &plain), 200, 415),
        ("frames, as the Collector's were","snappy",         framed.clone(), 200, 415),
        ("snappy frames",                 "x-snappy-framed", framed, 200, 415),
        ("lz4",                           "lz4",             compress(Encoding::Lz4, &plain), 200, 415),
        ("not to be had",                 "br",              plain.clone(), 415, 415),
    ];
    for (row, encoding, body, at_all, at_two) in table {
        for (gateway, status) in [(&all, at_all), (&two, at_two)] {
            let mut request = http().post(format!("{}/v1/traces", gateway.http()));
            request = request.header("content-type", "application/x-protobuf");
            if !encoding.is_empty() {
                request = request.header("content-encoding", encoding);
            }
            let answer = request.body(body.clone()).send().await.unwrap();
            assert_eq!(answer.status(), status, "{row}");
        }
    }
}
