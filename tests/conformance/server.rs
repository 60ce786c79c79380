//! What a sender hears.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceResponse, metrics::v1::ExportMetricsServiceResponse,
    trace::v1::ExportTraceServiceResponse,
};
use prost::Message as _;
use sekisho::{
    otlp::{
        Signal,
        compression::{Encoding, compress},
        json, wire,
    },
    pipeline::{Outcome, outcome::answer},
};
use serde_json::Value;
use tonic::Code;

use crate::{
    destination::{Act, Destination},
    support::{Gateway, http, input},
};

/// The three ways to send OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Grpc,
    Protobuf,
    Json,
}

const FORMS: [Form; 3] = [Form::Grpc, Form::Protobuf, Form::Json];

/// What was heard, whatever the form.
#[derive(Debug, Default)]
struct Heard {
    /// HTTP's status, even of a gRPC answer.
    http: u16,
    grpc: Option<Code>,
    headers: http::HeaderMap,
    /// `RetryInfo` of the status.
    retry_info: Option<Duration>,
    /// `google.rpc.Status` of an error: its code and words.
    status: Option<(i64, String)>,
    /// `partial_success`, if it is set.
    partial: Option<(i64, String)>,
}

/// A request, all of it.
struct Request<'a> {
    method: &'a str,
    path: &'a str,
    headers: Vec<(&'a str, &'a str)>,
    body: Vec<u8>,
}

fn request(form: Form, signal: Signal, body: &[u8]) -> Request<'static> {
    let (path, kind, body) = match form {
        Form::Grpc => (grpc_path(signal), "application/grpc", framed(0, body)),
        Form::Protobuf => (http_path(signal), "application/x-protobuf", body.to_vec()),
        Form::Json => {
            let mut text = Vec::new();
            json::to_json(signal, body, &mut text);
            (http_path(signal), "application/json", text)
        }
    };
    Request { method: "POST", path, headers: vec![("content-type", kind)], body }
}

fn grpc_path(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    }
}

fn http_path(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "/v1/traces",
        Signal::Metrics => "/v1/metrics",
        Signal::Logs => "/v1/logs",
    }
}

fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
    [&[flag][..], &(message.len() as u32).to_be_bytes(), message].concat()
}

async fn ask(gateway: &Gateway, form: Form, signal: Signal, request: Request<'_>) -> Heard {
    if form == Form::Grpc { ask_grpc(gateway, signal, request).await } else { ask_http(gateway, request).await }
}

async fn ask_grpc(gateway: &Gateway, signal: Signal, request: Request<'_>) -> Heard {
    let channel = tonic::transport::Channel::from_shared(gateway.grpc()).unwrap().connect().await.unwrap();
    let mut built = http::Request::builder().method(request.method);
    for (name, value) in request.headers {
        built = built.header(name, value);
    }
    let body = tonic::body::Body::new(Full::new(Bytes::from(request.body)));
    let built = built.uri(format!("{}{}", gateway.grpc(), request.path)).body(body).unwrap();
    let response = tower::ServiceExt::oneshot(channel, built).await.unwrap();
    let (parts, body) = response.into_parts();
    let collected = body.collect().await.unwrap();
    let trailers = collected.trailers().cloned().unwrap_or_default();
    let status = tonic::Status::from_header_map(&parts.headers).or_else(|| tonic::Status::from_header_map(&trailers));
    let status = status.unwrap();
    let details = status.details().to_vec();
    let message = collected.to_bytes();
    Heard {
        http: parts.status.as_u16(),
        grpc: Some(status.code()),
        headers: parts.headers,
        retry_info: retry_info(&details),
        status: (status.code() != Code::Ok).then(|| (status.code() as i64, status.message().to_owned())),
        partial: message.get(5..).and_then(|message| partial(signal, message)),
    }
}

async fn ask_http(gateway: &Gateway, request: Request<'_>) -> Heard {
    let url = format!("{}{}", gateway.http(), request.path);
    let mut built = http().request(request.method.parse().unwrap(), url);
    for (name, value) in request.headers {
        built = built.header(name, value);
    }
    let response = built.body(request.body).send().await.unwrap();
    let (http, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.bytes().await.unwrap();
    let mut heard = Heard { http, ..Heard::default() };
    let is_json = headers["content-type"] == "application/json";
    if http == 200 {
        heard.partial = if is_json {
            let body: Value = serde_json::from_slice(&body).unwrap();
            let partial = body["partialSuccess"].as_object();
            partial.map(|partial| {
                let rejected = partial.iter().find(|(name, _)| name.starts_with("rejected")).unwrap().1;
                (rejected.as_str().unwrap().parse().unwrap(), partial["errorMessage"].as_str().unwrap().to_owned())
            })
        } else {
            partial(Signal::Traces, &body)
        };
    } else if is_json {
        let status: Value = serde_json::from_slice(&body).unwrap();
        heard.status = Some((status["code"].as_i64().unwrap(), status["message"].as_str().unwrap().to_owned()));
        let delay = status["details"][0]["retryDelay"].as_str();
        heard.retry_info = delay.map(|delay| Duration::from_secs_f64(delay.trim_end_matches('s').parse().unwrap()));
    } else {
        heard.status = Some(status(&body));
        heard.retry_info = retry_info(&body);
    }
    heard.headers = headers;
    heard
}

/// Code and message of a `google.rpc.Status`.
fn status(body: &[u8]) -> (i64, String) {
    let (mut code, mut message) = (0, String::new());
    for field in wire::Fields::new(body) {
        match field {
            (1, wire::Value::Varint(value)) => code = value.cast_signed(),
            (2, wire::Value::Bytes(text)) => message = String::from_utf8(text.to_vec()).unwrap(),
            _ => {}
        }
    }
    (code, message)
}

fn retry_info(status: &[u8]) -> Option<Duration> {
    let known = rpc::Status::decode(status).unwrap();
    let any = known.details.into_iter().find(|any| any.type_url == "type.googleapis.com/google.rpc.RetryInfo")?;
    let delay = rpc::RetryInfo::decode(any.value.as_slice()).unwrap().retry_delay?;
    Some(Duration::new(delay.seconds as u64, delay.nanos as u32))
}

/// Parts of `google/rpc/status.proto` and `error_details.proto`.
mod rpc {
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Status {
        #[prost(message, repeated, tag = "3")]
        pub details: Vec<Any>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Any {
        #[prost(string, tag = "1")]
        pub type_url: String,
        #[prost(bytes = "vec", tag = "2")]
        pub value: Vec<u8>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct RetryInfo {
        #[prost(message, optional, tag = "1")]
        pub retry_delay: Option<Delay>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Delay {
        #[prost(int64, tag = "1")]
        pub seconds: i64,
        #[prost(int32, tag = "2")]
        pub nanos: i32,
    }
}

fn partial(signal: Signal, message: &[u8]) -> Option<(i64, String)> {
    match signal {
        Signal::Traces => {
            let partial = ExportTraceServiceResponse::decode(message).unwrap().partial_success;
            partial.map(|partial| (partial.rejected_spans, partial.error_message))
        }
        Signal::Metrics => {
            let partial = ExportMetricsServiceResponse::decode(message).unwrap().partial_success;
            partial.map(|partial| (partial.rejected_data_points, partial.error_message))
        }
        Signal::Logs => {
            let partial = ExportLogsServiceResponse::decode(message).unwrap().partial_success;
            partial.map(|partial| (partial.rejected_log_records, partial.error_message))
        }
    }
}

fn config(destination: &Destination, receiver: &str) -> String {
    format!(
        "
receivers:
  otlp: {receiver}
exporters:
  otlp_grpc:
    endpoint: '{}'
    tls: {{insecure: true}}
    sending_queue: {{enabled: false}}
    retry_on_failure: {{enabled: false}}
service:
  pipelines:
    traces: {{receivers: [otlp], exporters: [otlp_grpc]}}
    metrics: {{receivers: [otlp], exporters: [otlp_grpc]}}
",
        destination.address
    )
}

const BOTH: &str = "{protocols: {grpc: {endpoint: '127.0.0.1:0'}, http: {endpoint: '127.0.0.1:0'}}}";

/// Scenario: the only destination answers each way there is; nothing queues or retries in between.
/// Guarantees: every outcome is told with the status, the hint and the body that OTLP asks for, in every form.
#[tokio::test]
async fn every_outcome_is_told_in_every_form() {
    let hint = Duration::from_millis(2_500);
    let hinted = answer(&Ok(Outcome::Overloaded { after: hint })).status();
    let told = |rejected, message: &str| answer(&Ok(Outcome::Partial { rejected, message: message.into() })).response();
    #[rustfmt::skip]
    let table = [
        ("taken",                     Act::Grpc(Code::Ok, vec![], vec![]), Code::Ok, 200, None, None),
        ("taken in part",             Act::Grpc(Code::Ok, vec![], told(2, "bad ids")), Code::Ok, 200, None, Some((2, "bad ids"))),
        ("a warning is no refusal",   Act::Grpc(Code::Ok, vec![], told(0, "deprecated")), Code::Ok, 200, None, None),
        ("away",                      Act::Grpc(Code::Unavailable, vec![], vec![]), Code::Unavailable, 503, None, None),
        ("away, with a hint",         Act::Grpc(Code::Unavailable, hinted.clone(), vec![]), Code::Unavailable, 503, Some(hint), None),
        ("the destination is full",   Act::Grpc(Code::ResourceExhausted, hinted, vec![]), Code::Unavailable, 503, Some(hint), None),
        ("hangs up",                  Act::HangUp, Code::Unavailable, 503, None, None),
        ("never",                     Act::Grpc(Code::InvalidArgument, vec![], vec![]), Code::Internal, 500, None, None),
    ];
    let acts = table.iter().flat_map(|(_, act, ..)| FORMS.map(|_| act.clone()));
    let destination = Destination::new(acts).await;
    let gateway = Gateway::start(&config(&destination, BOTH)).await;
    let body = input::invocations("f", 0, 5).encode_to_vec();
    for (row, _, grpc, http, hint, rejected) in table {
        for form in FORMS {
            let sent = request(form, Signal::Traces, &body);
            let kind = sent.headers[0].1;
            let heard = ask(&gateway, form, Signal::Traces, sent).await;
            let row = format!("{row}, {form:?}: {heard:?}");
            assert_eq!(heard.headers["content-type"], kind, "{row}");
            assert_eq!(heard.http, if form == Form::Grpc { 200 } else { http }, "{row}");
            if form == Form::Grpc {
                assert_eq!(heard.grpc, Some(grpc), "{row}");
            } else {
                // Whole seconds are all that HTTP can say, and less than asked for would be too early.
                let header = heard.headers.get("retry-after").map(|after| after.to_str().unwrap().to_owned());
                assert_eq!(header, hint.map(|_| "3".to_owned()), "{row}");
            }
            assert_eq!(heard.retry_info, hint, "{row}");
            let partial = rejected.map(|(rejected, message): (i64, &str)| (rejected, message.to_owned()));
            assert_eq!(heard.partial, partial, "{row}: partial_success is set on partial success only");
            match heard.status {
                None => assert_eq!(http, 200, "{row}"),
                Some((code, message)) => assert!(code == grpc as i64 && !message.is_empty(), "{row}"),
            }
        }
    }
}

/// Scenario: requests that must not come in.
/// Guarantees: each is refused as OTLP says, before it costs anything, and none reaches the destination.
#[tokio::test]
async fn every_refusal_has_its_status_and_body() {
    let destination = Destination::new([]).await;
    let limited = "{protocols: {grpc: {endpoint: '127.0.0.1:0', max_recv_msg_size_mib: 1}, \
                   http: {endpoint: '127.0.0.1:0', max_request_body_size: 1MiB}}, max_in_flight_size: 1536KiB}";
    let gateway = Gateway::start(&config(&destination, limited)).await;
    let traces = http_path(Signal::Traces);
    let (protobuf, json) = ("application/x-protobuf", "application/json");
    let bomb = compress(Encoding::Gzip, &vec![0; 20 << 20]);
    let large = vec![0; (1 << 20) + 1];
    #[rustfmt::skip]
    let table: Vec<(&str, &str, &str, &str, &str, Vec<u8>, u16, Code)> = vec![
        ("unknown path",                    "POST",    "/v2/traces",   protobuf, "",     vec![], 404, Code::Unimplemented),
        ("unknown path, JSON",              "POST",    "/v2/traces",   json,     "",     vec![], 404, Code::Unimplemented),
        ("profiles",                        "POST",    "/v1development/profiles", protobuf, "", vec![], 404, Code::Unimplemented),
        ("a signal without a pipeline",     "POST",    "/v1/logs",     json,     "",     vec![], 404, Code::Unimplemented),
        ("GET",                             "GET",     traces,         protobuf, "",     vec![], 405, Code::Unimplemented),
        ("PUT",                             "PUT",     traces,         json,     "",     vec![], 405, Code::Unimplemented),
        ("a browser's question, unasked for","OPTIONS",traces,         protobuf, "",     vec![], 405, Code::Unimplemented),
        ("text",                            "POST",    traces,         "text/plain", "", vec![], 415, Code::InvalidArgument),
        ("no type",                         "POST",    traces,         "",       "",     vec![], 415, Code::InvalidArgument),
        ("unknown compression",             "POST",    traces,         protobuf, "br",   vec![], 415, Code::Unimplemented),
        ("two compressions",                "POST",    traces,         json,     "gzip, gzip", vec![], 415, Code::Unimplemented),
        ("not protobuf",                    "POST",    traces,         protobuf, "",     b"\x0a\x7f".to_vec(), 400, Code::InvalidArgument),
        ("not JSON",                        "POST",    traces,         json,     "",     b"{".to_vec(), 400, Code::InvalidArgument),
        ("not gzip",                        "POST",    traces,         protobuf, "gzip", b"plain".to_vec(), 400, Code::InvalidArgument),
        ("too large",                       "POST",    traces,         protobuf, "",     large.clone(), 413, Code::ResourceExhausted),
        ("too large, JSON",                 "POST",    traces,         json,     "",     large.clone(), 413, Code::ResourceExhausted),
        ("too large when decompressed",     "POST",    traces,         protobuf, "gzip", bomb.clone(), 413, Code::ResourceExhausted),
    ];
    for (row, method, path, kind, encoding, body, http, code) in table {
        let headers = [("content-type", kind), ("content-encoding", encoding)];
        let headers = headers.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let heard = ask_http(&gateway, Request { method, path, headers, body }).await;
        assert_eq!(heard.http, http, "{row}: {heard:?}");
        let form = if kind == protobuf { protobuf } else { json };
        assert_eq!(heard.headers["content-type"], form, "{row}: the request's own form, JSON if it has none");
        let (told, message) = heard.status.unwrap();
        assert!(told == code as i64 && !message.is_empty(), "{row}: {told} {message}");
        assert!(!heard.headers.contains_key("retry-after") && heard.retry_info.is_none(), "{row}: final");
        assert_eq!(heard.headers.get("allow").is_some_and(|allow| allow == "POST"), http == 405, "{row}");
    }

    let export = grpc_path(Signal::Traces);
    let profiles = "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export";
    let grpc = "application/grpc";
    #[rustfmt::skip]
    let table: Vec<(&str, &str, &str, &str, &str, Vec<u8>, u16, Code)> = vec![
        ("unknown service",            "POST", "/x.Y/Z", grpc, "", framed(0, b""), 200, Code::Unimplemented),
        ("profiles",                   "POST", profiles, grpc, "", framed(0, b""), 200, Code::Unimplemented),
        ("a signal without a pipeline","POST", grpc_path(Signal::Logs), grpc, "", framed(0, b""), 200, Code::Unimplemented),
        ("GET",                        "GET",  export, grpc, "", vec![], 405, Code::Unimplemented),
        ("not gRPC",                   "POST", export, "application/json", "", vec![], 415, Code::InvalidArgument),
        ("gRPC, but JSON in it",       "POST", export, "application/grpc+json", "", framed(0, b"{}"), 415, Code::InvalidArgument),
        ("unknown compression",        "POST", export, grpc, "br", framed(1, b""), 200, Code::Unimplemented),
        ("no frame",                   "POST", export, grpc, "", vec![], 200, Code::InvalidArgument),
        ("half a frame",               "POST", export, grpc, "", framed(0, b"\x0a\x7f")[..6].to_vec(), 200, Code::InvalidArgument),
        ("not protobuf",               "POST", export, grpc, "", framed(0, b"\x0a\x7f"), 200, Code::InvalidArgument),
        ("not gzip",                   "POST", export, grpc, "gzip", framed(1, b"plain"), 200, Code::InvalidArgument),
        ("too large",                  "POST", export, grpc, "", framed(0, &large), 200, Code::ResourceExhausted),
        ("too large when decompressed","POST", export, grpc, "gzip", framed(1, &bomb), 200, Code::ResourceExhausted),
    ];
    for (row, method, path, kind, encoding, body, http, code) in table {
        let headers = [("content-type", kind), ("grpc-encoding", encoding)];
        let headers = headers.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let heard = ask_grpc(&gateway, Signal::Traces, Request { method, path, headers, body }).await;
        assert_eq!((heard.http, heard.grpc), (http, Some(code)), "{row}: {heard:?}");
        assert!(heard.retry_info.is_none(), "{row}: final");
        let accepted = heard.headers["grpc-accept-encoding"].to_str().unwrap();
        assert!(accepted.contains("gzip"), "{row}: the sender can find out what is taken");
    }
    assert_eq!(destination.seen().len(), 0, "nothing came through");
}

/// Scenario: more bytes are in hand than the receiver may hold.
/// Guarantees: it says so retryably, with a hint, in every form.
#[tokio::test]
async fn a_full_gateway_says_when_to_come_back() {
    let destination = Destination::new([]).await;
    let tiny =
        "{protocols: {grpc: {endpoint: '127.0.0.1:0'}, http: {endpoint: '127.0.0.1:0'}}, max_in_flight_size: 64}";
    let gateway = Gateway::start(&config(&destination, tiny)).await;
    let body = input::invocations("f", 0, 5).encode_to_vec();
    for form in FORMS {
        let heard = ask(&gateway, form, Signal::Traces, request(form, Signal::Traces, &body)).await;
        assert_eq!(heard.http, if form == Form::Grpc { 200 } else { 429 }, "{form:?}: {heard:?}");
        assert_eq!(heard.status.as_ref().unwrap().0, Code::ResourceExhausted as i64, "{form:?}: {heard:?}");
        assert!(heard.retry_info.is_some_and(|after| after > Duration::ZERO), "{form:?}: {heard:?}");
        assert_eq!(heard.headers.contains_key("retry-after"), form != Form::Grpc, "{form:?}: {heard:?}");
    }
}

/// Scenario: nobody configured a limit.
/// Guarantees: 64 MiB after decompression come in, one byte more does not; empty requests succeed.
#[tokio::test]
async fn the_default_limit_is_that_of_the_specification_and_empty_requests_succeed() {
    const LIMIT: usize = 64 << 20;
    let destination = Destination::new([]).await;
    let gateway = Gateway::start(&config(&destination, BOTH)).await;
    for (row, extra, taken) in [("64 MiB", 0, true), ("and a byte", 1, false)] {
        let sent = compress(Encoding::Gzip, &padded(LIMIT + extra));
        for form in [Form::Grpc, Form::Protobuf] {
            let mut asked = request(form, Signal::Traces, b"");
            asked.body = if form == Form::Grpc { framed(1, &sent) } else { sent.clone() };
            asked.headers.push((if form == Form::Grpc { "grpc-encoding" } else { "content-encoding" }, "gzip"));
            let heard = ask(&gateway, form, Signal::Traces, asked).await;
            let code = if taken { 0 } else { Code::ResourceExhausted as i64 };
            assert_eq!(heard.status.as_ref().map_or(0, |(code, _)| *code), code, "{row}, {form:?}: {heard:?}");
            assert!(heard.retry_info.is_none(), "{row}, {form:?}");
            if form == Form::Protobuf {
                assert_eq!(heard.http, if taken { 200 } else { 413 }, "{row}");
            }
        }
    }
    for signal in [Signal::Traces, Signal::Metrics] {
        for form in FORMS {
            let heard = ask(&gateway, form, signal, request(form, signal, b"")).await;
            assert!(heard.status.is_none() && heard.partial.is_none(), "{signal:?}, {form:?}: {heard:?}");
        }
    }
    assert_eq!(destination.seen().len(), 0, "what has no items need not travel");
}

/// A request of exactly `size` bytes without items: one field that nobody knows, as a later OTLP might have.
fn padded(size: usize) -> Vec<u8> {
    let mut body = Vec::with_capacity(size);
    wire::put_varint(&mut body, 15 << 3 | 2);
    // Between 2^21 and 2^28, the length itself takes four bytes.
    let rest = size - body.len() - 4;
    wire::put_varint(&mut body, rest as u64);
    body.resize(size, b'x');
    body
}
