//! What exporters over a network have in common: checks of their settings, headers, an HTTP client, one request.

use std::{collections::BTreeMap, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use reqwest::{Client, Proxy, Url, redirect};

use super::{answer, tls};
use crate::{
    config::{Report, Secret},
    otlp::compression::Encoding,
    pipeline::{
        Outcome,
        component::{Context, StartError},
    },
    transport::auth,
};

/// How we introduce ourselves.
pub const USER_AGENT: &str = concat!("sekisho/", env!("CARGO_PKG_VERSION"));
/// What is read of an answer: they are small.
const LARGEST_ANSWER: usize = 4 << 20;
/// After so long without a word on a connection that is in use, its other end is asked, and has so long to answer.
const ASK_AFTER: Duration = Duration::from_secs(30);

/// Says what is wrong with `compression`, the same for all exporters over HTTP.
pub fn check_compression(name: &str, report: &mut Report<'_>) {
    if Encoding::parse(name).is_none() {
        let known = ["none", "gzip", "zstd", "snappy", "x-snappy-framed", "zlib", "deflate", "lz4"];
        report.error("compression", format!("`{name}` is not supported")).suggest(name, &known);
    }
}

/// The same for gRPC, which has fewer.
pub fn check_grpc_compression(name: &str, report: &mut Report<'_>) {
    let known = [Encoding::Identity, Encoding::Gzip, Encoding::Zstd, Encoding::Snappy];
    if Encoding::parse(name).is_none_or(|encoding| !known.contains(&encoding)) {
        let known = ["none", "gzip", "zstd", "snappy"];
        report.error("compression", format!("`{name}` is not supported over gRPC")).suggest(name, &known);
    }
}

/// Says what is wrong with `auth`.
pub fn check_auth(auth: Option<&auth::Config>, report: &mut Report<'_>) {
    if let Some(auth) = auth {
        report.within("auth", auth);
    }
}

/// What becomes of a request of `bytes` where more than `largest` are not sent; zero is no limit.
///
/// OTLP asks for it: what a destination must refuse need not travel.
pub fn check_size(bytes: usize, largest: usize) -> Result<(), Outcome> {
    if largest > 0 && bytes > largest {
        let reason = format!("the request has {bytes} bytes, more than the {largest} that may be sent");
        return Err(Outcome::Permanent { reason });
    }
    Ok(())
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

/// Says what is wrong with `endpoint`, without which an exporter cannot do, and with how it is trusted; `example` is for
/// those who have given none.
pub fn check_endpoint(url: &str, example: &str, tls: &tls::Config, report: &mut Report<'_>) {
    if url.is_empty() {
        report.error("endpoint", "is missing").hint(format!("such as {example}"));
    }
    check_url("endpoint", url, report);
    report.within("tls", tls);
    tls.check_scheme(url, report);
}

/// Says why a secret that goes into a header cannot be sent; `whence` is where to get one.
pub fn check_secret(key: &str, secret: &Secret, whence: &str, report: &mut Report<'_>) {
    if secret.is_empty() {
        report.error(key, "is missing").hint(whence);
    } else if HeaderValue::from_str(secret.expose()).is_err() {
        report.error(key, "cannot be sent in a header");
    }
}

/// A header with the secret of `key`, which no log shows.
pub fn secret_header(key: &str, value: &str, context: &Context) -> Result<HeaderValue, StartError> {
    let wrong = |_| context.error(format!("{key}: cannot be sent in a header"));
    let mut value = HeaderValue::from_str(value).map_err(wrong)?;
    value.set_sensitive(true);
    Ok(value)
}

/// An HTTP client for one exporter; proxies are those the environment names (`HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`).
pub fn client(tls: &tls::Config, timeout: Duration, context: &Context) -> Result<Client, StartError> {
    client_through("", tls, timeout, context)
}

/// The same through `proxy`, if it is not empty.
pub fn client_through(
    proxy: &str,
    tls: &tls::Config,
    timeout: Duration,
    context: &Context,
) -> Result<Client, StartError> {
    let failed = |error: reqwest::Error| context.error(format!("cannot make an HTTP client: {}", causes(&error)));
    let mut builder = Client::builder()
        .tls_backend_preconfigured(tls.config(&[b"h2", b"http/1.1"], context)?)
        .timeout(timeout)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(ASK_AFTER)
        .http2_keep_alive_timeout(ASK_AFTER)
        // Following turns a POST into a GET whose success says nothing, and shows our headers to others.
        .redirect(redirect::Policy::none())
        .user_agent(USER_AGENT);
    if !proxy.is_empty() {
        builder = builder.proxy(Proxy::all(proxy).map_err(failed)?);
    }
    builder.build().map_err(failed)
}

/// What a destination answered.
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, or its beginning.
    pub body: Vec<u8>,
}

impl Answer {
    /// What it means of an API that is not OTLP.
    pub fn outcome(&self) -> Outcome {
        answer::of_api(self.status, &self.headers, &self.body)
    }
}

/// Sends an OTLP request and says what its answer means.
pub async fn post(request: reqwest::RequestBuilder) -> Outcome {
    exchange(request, answer::of_http).await
}

/// Sends a request and lets `means` say what its answer means.
pub async fn exchange(
    request: reqwest::RequestBuilder,
    means: fn(StatusCode, &HeaderMap, &[u8]) -> Outcome,
) -> Outcome {
    match fetch(request).await {
        Ok(Answer { status, headers, body }) => means(status, &headers, &body),
        Err(away) => away,
    }
}

/// Sends a request; without an answer it is to be sent again.
pub async fn fetch(request: reqwest::RequestBuilder) -> Result<Answer, Outcome> {
    // The URL of a webhook is a secret; whose it is says the exporter's id.
    let away = |error: reqwest::Error| Outcome::Retryable { after: None, reason: causes(&error.without_url()) };
    let mut response = request.send().await.map_err(away)?;
    let (status, headers) = (response.status(), response.headers().clone());
    let mut body = Vec::new();
    // Answers are small; what goes on and on is not read to its end.
    while body.len() < LARGEST_ANSWER {
        match response.chunk().await.map_err(away)? {
            Some(chunk) => body.extend_from_slice(&chunk),
            None => break,
        }
    }
    Ok(Answer { status, headers, body })
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
