//! The service over gRPC, served by hand: the answers are encoded once, and refusals carry what HTTP's do.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use prost::Message as _;

use super::{
    door::{Door, Refused, read},
    streams,
};
use crate::{
    incidents::control::{
        Call, Fault,
        proto::{Event, ExportVerdictsRequest, WatchRequest},
    },
    pipeline::listener::Body,
};

const SERVICE: &str = "/sekisho.control.v1.Control/";
/// Compression flag and big-endian length before each message.
const PREFIX: usize = 5;

/// Whether a request is one of gRPC.
pub fn is_grpc(headers: &HeaderMap) -> bool {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    matches!(given.split(';').next().unwrap_or_default().trim(), "application/grpc" | "application/grpc+proto")
}

/// Answers one request.
pub async fn handle(door: &Door, request: Request<Incoming>) -> Response<Body> {
    match serve(door, request).await {
        Ok(body) => {
            let mut response = Response::new(body);
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            response
        }
        Err(refused) => refuse(&refused),
    }
}

async fn serve(door: &Door, request: Request<Incoming>) -> Result<Body, Refused> {
    let (parts, body) = request.into_parts();
    if parts.method != Method::POST {
        return Err(Fault::unimplemented("gRPC is POST only".to_owned()).into());
    }
    let guest = door.admit(&parts.method, &parts.uri, &parts.headers).await?;
    let method = parts.uri.path().strip_prefix(SERVICE).unwrap_or_default();
    let body = read(body).await?;
    let message = message(&body)?;
    match method {
        "Watch" => {
            WatchRequest::decode(message).map_err(|error| Fault::invalid(error.to_string()))?;
            let control = door.everything(&guest)?;
            let place = streams::place(door)?;
            Ok(streams::watch(door.links(), control.watch(), place, door.cancel.clone(), Framed))
        }
        "ExportVerdicts" => {
            ExportVerdictsRequest::decode(message).map_err(|error| Fault::invalid(error.to_string()))?;
            let verdicts = door.everything(&guest)?.verdicts();
            let framed: Vec<u8> = verdicts.iter().flat_map(|verdict| framed(&verdict.encode_to_vec())).collect();
            Ok(ended(framed))
        }
        method => {
            let call = Call::decode(method, message)?;
            let answer = door.call(&guest, call).await?;
            Ok(ended(framed(&answer.encode())))
        }
    }
}

/// The one message of a body.
fn message(body: &[u8]) -> Result<&[u8], Fault> {
    let malformed = |what: &str| Fault::invalid(format!("not one gRPC message: {what}"));
    let Some((prefix, message)) = body.split_first_chunk::<PREFIX>() else {
        return Err(malformed("shorter than its prefix"));
    };
    let [flag, a, b, c, d] = *prefix;
    if flag != 0 {
        return Err(Fault::unimplemented("messages must not be compressed".to_owned()));
    }
    if message.len() as u64 != u64::from(u32::from_be_bytes([a, b, c, d])) {
        return Err(malformed("its length is not what its prefix says"));
    }
    Ok(message)
}

fn framed(message: &[u8]) -> Vec<u8> {
    let mut framed = Vec::with_capacity(PREFIX + message.len());
    framed.push(0);
    framed.extend_from_slice(&(message.len() as u32).to_be_bytes());
    framed.extend_from_slice(message);
    framed
}

fn ended(body: Vec<u8>) -> Body {
    Full::new(Bytes::from(body)).with_trailers(std::future::ready(Some(Ok(good())))).boxed_unsync()
}

/// The trailers of success.
fn good() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    trailers
}

struct Framed;

impl streams::Form for Framed {
    fn event(&self, event: &Event) -> Bytes {
        framed(&event.encode_to_vec()).into()
    }

    fn alive(&self) -> Option<Bytes> {
        // HTTP/2 has pings of its own.
        None
    }

    fn end(&self) -> Option<Frame<Bytes>> {
        Some(Frame::trailers(good()))
    }
}

fn refuse(refused: &Refused) -> Response<Body> {
    let mut response = Response::new(Body::default());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    let code = tonic::Code::from_i32(i32::try_from(refused.fault.code).unwrap_or(2));
    let status = tonic::Status::new(code, refused.fault.message.clone());
    if status.add_header(headers).is_err() {
        headers.insert("grpc-status", HeaderValue::from(code as i32));
    }
    if let Some(Ok(challenge)) = refused.challenge.as_deref().map(HeaderValue::from_str) {
        headers.insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_what_its_prefix_says() {
        assert_eq!(message(&framed(b"abc")).unwrap(), b"abc");
        #[rustfmt::skip]
        let table: [(&str, &[u8]); 4] = [
            ("empty",      b""),
            ("cut",        b"\0\0\0\0\x04abc"),
            ("too long",   b"\0\0\0\0\x02abc"),
            ("compressed", b"\x01\0\0\0\x03abc"),
        ];
        for (row, body) in table {
            assert!(message(body).is_err(), "{row}");
        }
    }
}
