//! OTLP over gRPC: unary calls whose message is handed on as raw bytes.
//!
//! The call is served by hand over HTTP/2 rather than through generated code: the message is neither decoded nor
//! decompressed piecemeal, and every refusal carries the status OTLP asks for.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header, request::Parts};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;

use super::door::{Coming, Door, Form, Heard, hear_out};
use crate::{
    otlp::{Signal, compression::Encoding},
    pipeline::listener::Body,
    pipeline::outcome::{Answer, Refusal, answer},
};

/// Compression flag and big-endian length before each message.
const PREFIX: usize = 5;
/// What this server decodes, as `grpc-accept-encoding` says it.
const ACCEPT: &str = "identity,gzip,deflate,zstd,snappy";

/// Serves one request of the three export services.
pub async fn handle(door: &Door, request: Request<Incoming>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let heard = match admit(door, &parts).await {
        Ok((signal, encoding)) => export(door, &parts, signal, encoding, body).await,
        Err(refusal) => {
            hear_out(body).await;
            let mut response = respond(&answer(&Err(refusal.clone())));
            // Who does not speak gRPC reads the status of HTTP only.
            *response.status_mut() = match refusal {
                Refusal::Method => StatusCode::METHOD_NOT_ALLOWED,
                Refusal::MediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
                _ => StatusCode::OK,
            };
            return response;
        }
    };
    respond(&answer(&heard))
}

/// What is to be read, or why the message is not even looked at.
async fn admit(door: &Door, request: &Parts) -> Result<(Signal, Encoding), Refusal> {
    if request.method != Method::POST {
        return Err(Refusal::Method);
    }
    let content_type = header_text(&request.headers, header::CONTENT_TYPE.as_str());
    if !is_grpc(content_type) {
        return Err(Refusal::MediaType(content_type.to_owned()));
    }
    door.authenticate(&request.headers).await?;
    let signal = match request.uri.path() {
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => Signal::Traces,
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export" => Signal::Metrics,
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export" => Signal::Logs,
        other => return Err(Refusal::NotFound(format!("unknown service or method {other}"))),
    };
    if !door.serves(signal) {
        return Err(Refusal::NotFound(format!("no pipeline takes {} from this receiver", signal.name())));
    }
    let named = header_text(&request.headers, "grpc-encoding");
    let encoding = Encoding::parse(named).ok_or_else(|| Refusal::Compression(named.to_owned()))?;
    Ok((signal, encoding.in_grpc()))
}

/// gRPC itself, whose messages are protobuf unless it says otherwise.
fn is_grpc(content_type: &str) -> bool {
    let plain = content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    plain == "application/grpc" || plain == "application/grpc+proto"
}

async fn export(door: &Door, request: &Parts, signal: Signal, encoding: Encoding, body: Incoming) -> Heard {
    let coming = Coming { framing: PREFIX, announced: 0, in_turn: false };
    let read = match door.read(signal, body, coming).await {
        Ok(read) => read,
        Err(heard) => return heard,
    };
    let encoding = if is_compressed(&read.prefix, &read.body)? { encoding } else { Encoding::Identity };
    door.take(signal, Form::Protobuf, encoding, read, door.metadata(request)).await
}

fn is_compressed(prefix: &[u8], message: &[u8]) -> Result<bool, Refusal> {
    let malformed = |what: &str| Refusal::Malformed(format!("not one gRPC message: {what}"));
    let &[flag, a, b, c, d] = prefix else {
        return Err(malformed("shorter than its prefix"));
    };
    if flag > 1 {
        return Err(malformed("unknown compression flag"));
    }
    if message.len() as u64 != u64::from(u32::from_be_bytes([a, b, c, d])) {
        return Err(malformed("its length is not what its prefix says"));
    }
    Ok(flag == 1)
}

fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
}

fn respond(answer: &Answer) -> Response<Body> {
    let mut response = Response::new(Body::default());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-accept-encoding", HeaderValue::from_static(ACCEPT));
    if answer.grpc == tonic::Code::Ok {
        let message = answer.response();
        let mut framed = Vec::with_capacity(PREFIX + message.len());
        framed.push(0);
        framed.extend_from_slice(&(message.len() as u32).to_be_bytes());
        framed.extend_from_slice(&message);
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        *response.body_mut() =
            Full::new(Bytes::from(framed)).with_trailers(std::future::ready(Some(Ok(trailers)))).boxed_unsync();
    } else {
        // Trailers only: status in the headers, no body. tonic writes the escaping and the binary details.
        let details = Bytes::from(answer.status());
        let status = tonic::Status::with_details(answer.grpc, answer.message.clone(), details);
        if status.add_header(headers).is_err() {
            headers.insert("grpc-status", HeaderValue::from(answer.grpc as i32));
        }
        if let Some(Ok(challenge)) = answer.challenge.as_deref().map(HeaderValue::from_str) {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
    }
    response
}
