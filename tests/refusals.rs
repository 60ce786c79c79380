//! Bad input at the door: each kind gets the right refusal, the gateway lives on, and good input still passes.
#![allow(
    clippy::unwrap_used,
    clippy::float_cmp,
    clippy::type_complexity,
    reason = "a test says more by failing where it stands"
)]

mod support;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use opentelemetry_proto::tonic::{collector::trace::v1::trace_service_client::TraceServiceClient, trace::v1::Span};
use prost::Message as _;
use sekisho::otlp::compression::{Encoding, compress};
use support::{Gateway, eventually, input, sink::Sink};
use tonic::Code;

fn config(to: std::net::SocketAddr) -> String {
    format!(
        "
receivers:
  otlp:
    protocols:
      grpc: {{endpoint: 127.0.0.1:0, max_recv_msg_size_mib: 1}}
      http: {{endpoint: 127.0.0.1:0, max_request_body_size: 1MiB}}
processors: {{faas: {{}}, anomaly: {{annotate: all}}}}
exporters: {{otlp_grpc: {{endpoint: '{to}', tls: {{insecure: true}}}}}}
service: {{pipelines: {{traces: {{receivers: [otlp], processors: [faas, anomaly], exporters: [otlp_grpc]}}}}}}
"
    )
}

/// A message of `depth` nested `AnyValue`s in a span attribute.
fn nested(depth: usize) -> Vec<u8> {
    let field = |number: u8, inner: &[u8]| {
        let mut out = vec![number << 3 | 2];
        sekisho::otlp::wire::put_varint(&mut out, inner.len() as u64);
        out.extend_from_slice(inner);
        out
    };
    let mut value = Vec::new();
    for _ in 0..depth {
        value = field(5, &field(1, &value));
    }
    let attribute = [field(1, b"k"), field(2, &value)].concat();
    field(1, &field(2, &field(2, &field(9, &attribute))))
}

fn truncated() -> Vec<u8> {
    let mut body = input::invocations("f", 0, 3).encode_to_vec();
    body.truncate(body.len() - 7);
    body
}

fn invalid_utf8() -> Vec<u8> {
    let mut body = input::invocations("f", 0, 1).encode_to_vec();
    let at = body.windows(4).position(|window| window == b"aws\x12" || window == b"faas").unwrap();
    body[at] = 0xff;
    body
}

#[tokio::test]
async fn http_refusals_are_told_apart() {
    let (sink, address) = Sink::start().await;
    let gateway = Gateway::start(&config(address)).await;
    let client = support::http();
    let protobuf = "application/x-protobuf";
    let bomb = compress(Encoding::Gzip, &vec![0u8; 50 << 20]);
    let zstd_bomb = compress(Encoding::Zstd, &vec![0u8; 50 << 20]);
    #[rustfmt::skip]
    let table: Vec<(&str, &str, &str, &str, &str, Vec<u8>, u16)> = vec![
        ("not protobuf",             "POST", "/v1/traces",  protobuf, "",     b"\x0a\xff\xff\xff\xff\x0f".to_vec(), 400),
        ("truncated",                "POST", "/v1/traces",  protobuf, "",     truncated(), 400),
        ("invalid utf-8",            "POST", "/v1/traces",  protobuf, "",     invalid_utf8(), 400),
        ("nested 10 000 deep",       "POST", "/v1/traces",  protobuf, "",     nested(10_000), 400),
        ("json that is none",        "POST", "/v1/traces",  "application/json", "", b"{\"resourceSpans\":[".to_vec(), 400),
        ("json nested 100 000 deep", "POST", "/v1/traces",  "application/json", "", b"[".repeat(100_000), 400),
        ("gzip that is none",        "POST", "/v1/traces",  protobuf, "gzip", b"plain".to_vec(), 400),
        ("larger than the limit",    "POST", "/v1/traces",  protobuf, "",     vec![0; (1 << 20) + 1], 413),
        ("gzip bomb",                "POST", "/v1/traces",  protobuf, "gzip", bomb, 413),
        ("zstd bomb",                "POST", "/v1/traces",  protobuf, "zstd", zstd_bomb, 413),
        ("unknown compression",      "POST", "/v1/traces",  protobuf, "br",   vec![], 415),
        ("unknown media type",       "POST", "/v1/traces",  "text/plain", "", vec![], 415),
        ("wrong method",             "GET",  "/v1/traces",  protobuf, "",     vec![], 405),
        ("unknown path",             "POST", "/v2/traces",  protobuf, "",     vec![], 404),
        ("a signal without pipeline","POST", "/v1/logs",    protobuf, "",     vec![], 404),
        ("profiles",                 "POST", "/v1development/profiles", protobuf, "", vec![], 404),
    ];
    for (row, method, path, content_type, encoding, body, status) in table {
        let url = format!("{}{path}", gateway.http());
        let mut request = client.request(method.parse().unwrap(), url).header("content-type", content_type);
        if !encoding.is_empty() {
            request = request.header("content-encoding", encoding);
        }
        let answer = request.body(body).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{row}");
        let form = answer.headers()["content-type"].to_str().unwrap().to_owned();
        let body = answer.bytes().await.unwrap();
        // google.rpc.Status in the request's own form; JSON where the form is unknown.
        if form == protobuf {
            assert!(sekisho::otlp::wire::Fields::new(&body).any(|(number, _)| number == 2), "{row}: no message");
        } else {
            let status: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert!(!status["message"].as_str().unwrap().is_empty(), "{row}");
        }
    }
    let good = client.post(format!("{}/v1/traces", gateway.http())).header("content-type", protobuf);
    let good = good.body(input::invocations("f", 0, 5).encode_to_vec()).send().await.unwrap();
    assert_eq!(good.status(), 200);
    eventually("good input still passes", async || (sink.spans().len() == 5).then_some(())).await;
}

#[tokio::test]
async fn grpc_refusals_are_told_apart() {
    let (_sink, address) = Sink::start().await;
    let gateway = Gateway::start(&config(address)).await;
    let channel = tonic::transport::Channel::from_shared(gateway.grpc()).unwrap().connect().await.unwrap();
    let frame = |flag: u8, body: &[u8]| [&[flag][..], &(body.len() as u32).to_be_bytes(), body].concat();
    let export = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    let logs = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
    #[rustfmt::skip]
    let table: Vec<(&str, &str, &str, Vec<u8>, Code)> = vec![
        ("truncated message",    export, "identity", frame(0, &truncated()), Code::InvalidArgument),
        ("prefix lies",          export, "identity", vec![0, 0, 0, 9, 9, 1], Code::InvalidArgument),
        ("no frame",             export, "identity", vec![], Code::InvalidArgument),
        ("compressed, but not",  export, "gzip",     frame(1, b"plain"), Code::InvalidArgument),
        ("unknown compression",  export, "br",       frame(1, b""), Code::Unimplemented),
        ("larger than the limit",export, "identity", frame(0, &vec![0; (1 << 20) + 1]), Code::ResourceExhausted),
        ("no such method",       "/x.Y/Z", "identity", frame(0, b""), Code::Unimplemented),
        ("no pipeline",          logs,   "identity", frame(0, b""), Code::Unimplemented),
        ("empty request",        export, "identity", frame(0, b""), Code::Ok),
    ];
    for (row, path, encoding, body, code) in table {
        let request = http::Request::post(format!("{}{path}", gateway.grpc()))
            .header("content-type", "application/grpc")
            .header("grpc-encoding", encoding)
            .body(tonic::body::Body::new(Full::new(Bytes::from(body))))
            .unwrap();
        let response = tower::ServiceExt::oneshot(channel.clone(), request).await.unwrap();
        let in_headers = tonic::Status::from_header_map(response.headers());
        let trailers = response.into_body().collect().await.unwrap().trailers().cloned().unwrap_or_default();
        let status = in_headers.or_else(|| tonic::Status::from_header_map(&trailers)).expect(row);
        assert_eq!(status.code(), code, "{row}: {status:?}");
    }
}

/// Scenario: telemetry that is valid but odd.
/// Guarantees: it passes unharmed.
#[tokio::test]
async fn odd_but_valid_telemetry_passes_unharmed() {
    let (sink, address) = Sink::start().await;
    let gateway = Gateway::start(&config(address)).await;
    let mut client = TraceServiceClient::connect(gateway.grpc()).await.unwrap();
    let span = |start, end| Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        name: "odd".into(),
        start_time_unix_nano: start,
        end_time_unix_nano: end,
        ..Span::default()
    };
    let mut many = input::invocations("seed", 0, 0);
    for number in 0..3_000u64 {
        let one = input::invocations(&format!("function-{number}"), number, 1);
        many.resource_spans.extend(one.resource_spans);
    }
    let nobody = opentelemetry_proto::tonic::resource::v1::Resource::default();
    let mut without_resource = input::request(nobody.clone(), vec![span(1, 2)]);
    without_resource.resource_spans[0].resource = None;
    let table = [
        ("no time at all", input::request(input::function("f"), vec![span(0, 0)])),
        ("ends before it starts", input::request(input::function("f"), vec![span(input::START, 5)])),
        ("the year 2554", input::request(input::function("f"), vec![span(u64::MAX - 1, u64::MAX)])),
        ("no function", input::request(nobody, vec![span(input::START, input::START + 1)])),
        ("no resource", without_resource),
        ("3 000 functions in one request", many),
    ];
    let mut expected = 0;
    for (row, request) in table {
        expected += request.resource_spans.iter().flat_map(|r| &r.scope_spans).map(|s| s.spans.len()).sum::<usize>();
        client.export(request).await.unwrap_or_else(|status| panic!("{row}: {status}"));
        eventually(row, async || (sink.spans().len() == expected).then_some(())).await;
    }
}
