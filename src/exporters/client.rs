//! What exporters over a network have in common: checks of their settings, headers, an HTTP client, one request.

use std::{collections::BTreeMap, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use reqwest::{Client, Url, redirect};

use super::{answer, tls};
use crate::{
    config::{Report, Secret},
    otlp::compression::Encoding,
    pipeline::{
        Outcome,
        component::{Context, StartError},
    },
};

/// How we introduce ourselves.
pub const USER_AGENT: &str = concat!("sekisho/", env!("CARGO_PKG_VERSION"));
/// What is read of an answer: they are small.
const LARGEST_ANSWER: usize = 4 << 20;
/// After so long without a word on a connection that is in use, its other end is asked, and has so long to answer.
const ASK_AFTER: Duration = Duration::from_secs(30);

/// Says what is wrong with `compression`, the same for all exporters.
pub fn check_compression(name: &str, report: &mut Report<'_>) {
    if Encoding::parse(name).is_none_or(|encoding| encoding == Encoding::Deflate) {
        report.error("compression", format!("`{name}` is not supported")).suggest(name, &["none", "gzip", "zstd"]);
    }
}

/// Says which headers cannot be sent, the same for all exporters.
pub fn check_headers(headers: &BTreeMap<String, Secret>, report: &mut Report<'_>) {
    for (name, value) in headers {
        if HeaderName::try_from(name).is_err() {
            report.error(&format!("headers::{name}"), "is not a valid header name");
        } else if HeaderValue::from_str(value.expose()).is_err() {
            report.error(&format!("headers::{name}"), "has a value that cannot be sent in a header");
        }
    }
}

/// `headers` as they are sent; invalid ones were refused by the check.
pub fn header_map(headers: &BTreeMap<String, Secret>) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        if let (Ok(name), Ok(mut value)) = (HeaderName::try_from(name), HeaderValue::from_str(value.expose())) {
            value.set_sensitive(true);
            map.insert(name, value);
        }
    }
    map
}

/// Says that an attempt needs time.
pub fn check_timeout(timeout: Duration, report: &mut Report<'_>) {
    if timeout.is_zero() {
        report.error("timeout", "must be more than 0");
    }
}

/// Says that the name in a URL is the name the certificate is for.
pub fn check_server_name(tls: &tls::Config, report: &mut Report<'_>) {
    if tls.server_name_override.is_some() {
        report
            .error("tls.server_name_override", "is not supported over HTTP")
            .hint("use the certificate's name in the URL");
    }
}

/// Says what is wrong with an URL that is there.
pub fn check_url(key: &str, url: &str, report: &mut Report<'_>) {
    if url.is_empty() {
        return;
    }
    match Url::parse(url) {
        Ok(parsed) if matches!(parsed.scheme(), "http" | "https") => {}
        Ok(parsed) => {
            report.error(key, format!("`{}` is not a scheme for HTTP", parsed.scheme())).hint("start with https://");
        }
        Err(error) => {
            report.error(key, format!("is not a URL: {error}")).hint("such as https://otlp.example.com");
        }
    }
}

/// An HTTP client for one exporter.
pub fn client(tls: &tls::Config, timeout: Duration, context: &Context) -> Result<Client, StartError> {
    // The client takes the process's provider and panics if there is none; whoever was first may keep his.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = Client::builder()
        .timeout(timeout)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(ASK_AFTER)
        .http2_keep_alive_timeout(ASK_AFTER)
        // Following turns a POST into a GET whose success says nothing, and shows our headers to others.
        .redirect(redirect::Policy::none())
        .user_agent(USER_AGENT);
    let built = tls.for_reqwest(builder, context)?.build();
    built.map_err(|error| context.error(format!("cannot make an HTTP client: {}", causes(&error))))
}

/// Sends a request and says what its answer means to OTLP.
pub async fn post(request: reqwest::RequestBuilder) -> Outcome {
    exchange(request, answer::of_http).await
}

/// Sends a request and lets `means` say what its answer means; no answer is a reason to come back.
pub async fn exchange(
    request: reqwest::RequestBuilder,
    means: fn(StatusCode, &HeaderMap, &[u8]) -> Outcome,
) -> Outcome {
    let away = |error: reqwest::Error| Outcome::Retryable { after: None, reason: causes(&error) };
    match request.send().await {
        Ok(mut response) => {
            let (status, headers) = (response.status(), response.headers().clone());
            let mut body = Vec::new();
            // Answers are small; what goes on and on is not read to its end.
            while body.len() < LARGEST_ANSWER {
                match response.chunk().await {
                    Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                    Ok(None) => break,
                    Err(error) => return away(error),
                }
            }
            means(status, &headers, &body)
        }
        Err(error) => away(error),
    }
}

/// An error with everything that caused it: "transport error" alone helps nobody.
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}
