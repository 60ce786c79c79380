//! OTLP over HTTP: protobuf and JSON, answered in the request's own encoding.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header, request::Parts};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};

use super::{
    HttpConfig,
    door::{Coming, Door, Form, hear_out},
};
use crate::{
    otlp::{Signal, compression::Encoding},
    pipeline::listener::Body,
    pipeline::outcome::{Answer, Refusal, answer},
};

/// Serves one request on the configured paths; `own` headers are set on every answer.
pub async fn handle(door: &Door, config: &HttpConfig, own: &HeaderMap, request: Request<Incoming>) -> Response<Body> {
    // A browser asks before it says who it is.
    let (mut response, cors) = if let Some(headers) = config.cors.as_ref().and_then(|cors| cors.preflight(&request)) {
        (nothing_to_say(), headers)
    } else {
        let headers = config.cors.as_ref().map(|cors| cors.answer(request.headers())).unwrap_or_default();
        (serve(door, config, request).await, headers)
    };
    for (name, value) in own.iter().chain(&cors) {
        response.headers_mut().insert(name, value.clone());
    }
    response
}

fn nothing_to_say() -> Response<Body> {
    let mut response = Response::new(Body::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

async fn serve(door: &Door, config: &HttpConfig, request: Request<Incoming>) -> Response<Body> {
    let form = form_of(request.headers());
    // What cannot be told apart is answered in JSON, which people can read.
    let answer_form = *form.as_ref().unwrap_or(&Form::Json);
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    let signal = config.signal_at(path).filter(|signal| door.serves(*signal));
    let heard = match admit(door, config, &parts, signal, form).await {
        Ok((signal, form, encoding)) => {
            let announced = body.size_hint().exact().unwrap_or(0);
            let announced = usize::try_from(announced).unwrap_or(usize::MAX);
            let in_turn = parts.version < Version::HTTP_2 && !asks_first(&parts.headers);
            match door.read(signal, body, Coming { framing: 0, announced, in_turn }).await {
                Ok(read) => door.take(signal, form, encoding, read, door.metadata(&parts)).await,
                Err(heard) => heard,
            }
        }
        Err(refusal) => {
            if !asks_first(&parts.headers) {
                hear_out(body).await;
            }
            Err(refusal)
        }
    };
    respond(answer_form, signal.unwrap_or(Signal::Traces), &answer(&heard))
}

/// Who asks before sending need not send.
fn asks_first(headers: &HeaderMap) -> bool {
    headers.contains_key(header::EXPECT)
}

/// What is to be read, or why the body is not even looked at.
async fn admit(
    door: &Door,
    config: &HttpConfig,
    request: &Parts,
    signal: Option<Signal>,
    form: Result<Form, Refusal>,
) -> Result<(Signal, Form, Encoding), Refusal> {
    door.authenticate(&request.headers).await?;
    let signal = signal.ok_or_else(|| nothing_at(request.uri.path()))?;
    if request.method != Method::POST {
        return Err(Refusal::Method);
    }
    let form = form?;
    let named = header_text(&request.headers, header::CONTENT_ENCODING.as_str());
    let encoding = Encoding::parse(named).filter(|encoding| config.takes(*encoding));
    Ok((signal, form, encoding.ok_or_else(|| Refusal::Compression(named.to_owned()))?))
}

fn nothing_at(path: &str) -> Refusal {
    Refusal::NotFound(match path {
        "/v1development/profiles" => "profiles are not supported".to_owned(),
        _ => format!("nothing is served at {path:?}; a receiver serves the signals its pipelines take"),
    })
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
        // Whole seconds are all there is, and sooner than asked for would be too soon.
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    if let Some(Ok(challenge)) = answer.challenge.as_deref().map(HeaderValue::from_str) {
        headers.insert(header::WWW_AUTHENTICATE, challenge);
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
    let mut status = serde_json::json!({"code": answer.grpc as i32, "message": answer.message});
    if let Some(after) = answer.retry_after {
        let retry_info = serde_json::json!({
            "@type": "type.googleapis.com/google.rpc.RetryInfo",
            "retryDelay": format!("{}s", after.as_secs_f64()),
        });
        status["details"] = serde_json::json!([retry_info]);
    }
    status.to_string().into_bytes()
}
