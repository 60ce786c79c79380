//! OTLP over HTTP: protobuf and JSON, answered in the request's own encoding.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};

use super::{
    HttpConfig,
    door::{Door, Form, Heard},
};
use crate::{
    otlp::{Signal, compression::Encoding},
    pipeline::listener::Body,
    pipeline::outcome::{Answer, Refusal, answer},
};

/// Serves one request on the configured paths.
pub async fn handle(door: &Door, config: &HttpConfig, request: Request<Incoming>) -> Response<Body> {
    let form = form_of(request.headers());
    // What cannot be told apart is answered in JSON, which people can read.
    let answer_form = *form.as_ref().unwrap_or(&Form::Json);
    let path = request.uri().path();
    let Some(signal) = config.signal_at(path).filter(|signal| door.serves(*signal)) else {
        return respond(answer_form, Signal::Traces, &answer(&Err(nothing_at(path))));
    };
    let heard = match form {
        Ok(form) => export(door, signal, form, request).await,
        Err(refusal) => Err(refusal),
    };
    respond(answer_form, signal, &answer(&heard))
}

fn nothing_at(path: &str) -> Refusal {
    Refusal::NotFound(match path {
        "/v1development/profiles" => "profiles are not supported".to_owned(),
        _ => format!("nothing is served at {path:?}; a receiver serves the signals its pipelines take"),
    })
}

async fn export(door: &Door, signal: Signal, form: Form, request: Request<Incoming>) -> Heard {
    if request.method() != Method::POST {
        return Err(Refusal::Method);
    }
    let named = header_text(request.headers(), header::CONTENT_ENCODING.as_str());
    let encoding = Encoding::parse(named).ok_or_else(|| Refusal::Compression(named.to_owned()))?;
    let announced = request.body().size_hint().exact();
    match door.read(request.into_body(), announced, 0).await {
        Ok(read) => door.take(signal, form, encoding, read.body, read.admitted).await,
        Err(heard) => heard,
    }
}

fn form_of(headers: &HeaderMap) -> Result<Form, Refusal> {
    let content_type = header_text(headers, header::CONTENT_TYPE.as_str());
    match content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase().as_str() {
        "application/x-protobuf" => Ok(Form::Protobuf),
        "application/json" => Ok(Form::Json),
        _ => Err(Refusal::MediaType(content_type.to_owned())),
    }
}

fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
}

fn respond(form: Form, signal: Signal, answer: &Answer) -> Response<Body> {
    let (content_type, body) = match (form, answer.http) {
        (Form::Protobuf, 200) => ("application/x-protobuf", answer.response()),
        (Form::Protobuf, _) => ("application/x-protobuf", answer.status()),
        (Form::Json, 200) => ("application/json", json_response(signal, answer)),
        (Form::Json, _) => ("application/json", json_status(answer)),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)).boxed_unsync());
    *response.status_mut() = StatusCode::from_u16(answer.http).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Some(after) = answer.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
    }
    if answer.http == 405 {
        headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
    }
    response
}

fn json_response(signal: Signal, answer: &Answer) -> Vec<u8> {
    if answer.rejected == 0 && answer.message.is_empty() {
        return b"{}".to_vec();
    }
    let rejected = match signal {
        Signal::Traces => "rejectedSpans",
        Signal::Metrics => "rejectedDataPoints",
        Signal::Logs => "rejectedLogRecords",
    };
    // 64-bit numbers are strings in OTLP/JSON.
    let partial = serde_json::json!({ rejected: answer.rejected.to_string(), "errorMessage": answer.message });
    serde_json::json!({ "partialSuccess": partial }).to_string().into_bytes()
}

fn json_status(answer: &Answer) -> Vec<u8> {
    serde_json::json!({"code": answer.grpc as i32, "message": answer.message}).to_string().into_bytes()
}
