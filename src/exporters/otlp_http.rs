//! `otlp_http` exporter (also `otlphttp`): OTLP over HTTP.
//!
//! ```yaml
//! otlp_http:
//!   endpoint: https://otlp.example.com   # /v1/traces, /v1/metrics, /v1/logs are appended
//!   traces_endpoint: ""                  # or a whole URL for one signal
//!   encoding: proto                      # proto, json
//!   compression: gzip                    # none, gzip, zstd, snappy, x-snappy-framed, zlib, deflate, lz4
//!   compression_params: { level: 1 }     # gzip, zlib, deflate: 0 to 9; zstd: 1 to 22
//!   headers: { authorization: Bearer … }
//!   auth: { authenticator: bearertokenauth }
//!   tls: {}                              # see transport/tls/client.rs
//!   proxy_url: ""                        # otherwise HTTPS_PROXY, HTTP_PROXY and NO_PROXY are honoured
//!   max_request_body_size: 64MiB         # larger requests are not sent, but dropped and counted; 0: no limit
//!   timeout: 30s
//!   sending_queue: {}
//!   retry_on_failure: {}
//! ```

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, header};
use reqwest::{Client, Url};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    check_sending,
    client::{
        check_auth, check_compression, check_headers, check_size, check_timeout, check_url, client_through, header_map,
        post,
    },
    sending, tls,
};
use crate::{
    config::{ByteSize, Check, Report, Secret},
    otlp::{
        Signal,
        compression::{Encoding, compress_at},
        json,
    },
    pipeline::{
        Batch, Boxed, Consumer, Next, Outcome,
        component::{Context, ExporterConfig, StartError},
        queue, retry,
    },
    transport::auth,
};

/// The configuration; keys and defaults are the Collector's.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Base URL.
    pub endpoint: String,
    /// Whole URL for traces, instead.
    pub traces_endpoint: String,
    /// Whole URL for metrics, instead.
    pub metrics_endpoint: String,
    /// Whole URL for logs, instead.
    pub logs_endpoint: String,
    /// How bodies are written.
    pub encoding: BodyEncoding,
    /// How they are compressed.
    pub compression: String,
    /// More about that.
    pub compression_params: CompressionParams,
    /// Sent with every request.
    pub headers: BTreeMap<String, Secret>,
    /// The extension that says who we are.
    pub auth: Option<auth::Config>,
    /// How to trust the destination.
    pub tls: tls::Config,
    /// The proxy all requests go through, instead of those the environment names.
    pub proxy_url: Secret,
    /// The largest body, before compression; 0 is no limit.
    pub max_request_body_size: ByteSize,
    /// Of one attempt.
    #[serde(with = "crate::config::DurationText")]
    pub timeout: Duration,
    /// In front of it.
    pub sending_queue: queue::Config,
    /// Around it.
    pub retry_on_failure: retry::Config,
}

/// How hard bodies are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CompressionParams {
    /// The compression's own level; 1 if not set, as is -1.
    pub level: Option<i32>,
}

impl CompressionParams {
    /// The level, if it is not left to us.
    fn level(self) -> Option<i32> {
        self.level.filter(|level| *level != -1)
    }

    fn check(self, encoding: Encoding, report: &mut Report<'_>) {
        let Some(level) = self.level() else { return };
        match encoding.levels() {
            None => {
                let message = format!("does nothing: {} has no levels", encoding.name());
                report.error("compression_params.level", message);
            }
            Some(levels) if !levels.contains(&level) => {
                let (name, least, most) = (encoding.name(), levels.start(), levels.end());
                report.error("compression_params.level", format!("must be between {least} and {most} for {name}"));
            }
            Some(_) => {}
        }
    }
}

/// How bodies are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BodyEncoding {
    /// Protobuf.
    Proto,
    /// OTLP/JSON.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            traces_endpoint: String::new(),
            metrics_endpoint: String::new(),
            logs_endpoint: String::new(),
            encoding: BodyEncoding::Proto,
            compression: Encoding::Gzip.name().to_owned(),
            compression_params: CompressionParams::default(),
            headers: BTreeMap::new(),
            auth: None,
            tls: tls::Config::default(),
            proxy_url: Secret::default(),
            max_request_body_size: ByteSize::mib(64),
            timeout: Duration::from_secs(30),
            sending_queue: queue::Config::default(),
            retry_on_failure: retry::Config::default(),
        }
    }
}

impl Check for Config {
    fn check(&self, report: &mut Report<'_>) {
        let own = [
            ("traces_endpoint", &self.traces_endpoint),
            ("metrics_endpoint", &self.metrics_endpoint),
            ("logs_endpoint", &self.logs_endpoint),
        ];
        if self.endpoint.is_empty() && own.iter().all(|(_, url)| url.is_empty()) {
            report.error("endpoint", "is missing").hint("such as https://otlp.example.com");
        }
        for (key, url) in std::iter::once(("endpoint", &self.endpoint)).chain(own) {
            check_url(key, url, report);
            self.tls.check_scheme(url, report);
        }
        check_url("proxy_url", self.proxy_url.expose(), report);
        check_auth(self.auth.as_ref(), report);
        check_compression(&self.compression, report);
        if let Some(encoding) = Encoding::parse(&self.compression) {
            self.compression_params.check(encoding, report);
        }
        check_headers(&self.headers, report);
        check_timeout(self.timeout, report);
        report.within("tls", &self.tls);
        check_sending(&self.sending_queue, &self.retry_on_failure, report);
    }
}

impl Config {
    fn url(&self, signal: Signal) -> Option<Url> {
        let own = match signal {
            Signal::Traces => &self.traces_endpoint,
            Signal::Metrics => &self.metrics_endpoint,
            Signal::Logs => &self.logs_endpoint,
        };
        let url = match (own.as_str(), self.endpoint.as_str()) {
            ("", "") => return None,
            ("", base) => format!("{}/v1/{}", base.trim_end_matches('/'), signal.name()),
            (own, _) => own.to_owned(),
        };
        Url::parse(&url).ok()
    }
}

impl ExporterConfig for Config {
    fn build(&self, context: &Context) -> Result<Next, StartError> {
        let send = Arc::new(Sender {
            client: client_through(self.proxy_url.expose(), &self.tls, self.timeout, context)?,
            urls: Signal::ALL.map(|signal| self.url(signal)),
            body_encoding: self.encoding,
            compression: Encoding::parse(&self.compression).unwrap_or(Encoding::Gzip),
            level: self.compression_params.level(),
            headers: header_map(&self.headers),
            auth: self.auth.as_ref().map(|auth| auth.client(context)).transpose()?,
            largest: self.max_request_body_size.bytes(),
        });
        sending(send, &self.sending_queue, &self.retry_on_failure, context)
    }

    fn extensions(&self) -> Vec<(&'static str, &str)> {
        self.sending_queue.extensions()
    }

    fn authenticator(&self) -> Option<(&'static str, &str)> {
        Some(("auth::authenticator", self.auth.as_ref()?.authenticator.as_str()))
    }
}

struct Sender {
    client: Client,
    urls: [Option<Url>; 3],
    body_encoding: BodyEncoding,
    compression: Encoding,
    level: Option<i32>,
    headers: HeaderMap,
    auth: Option<Arc<dyn auth::Client>>,
    /// Zero is no limit.
    largest: usize,
}

impl Sender {
    async fn send(&self, batch: Batch) -> Outcome {
        let Some(Some(url)) = self.urls.get(batch.signal as usize) else {
            return Outcome::Permanent { reason: format!("no endpoint for {}", batch.signal.name()) };
        };
        let (kind, plain) = match self.body_encoding {
            BodyEncoding::Proto => ("application/x-protobuf", batch.body),
            BodyEncoding::Json => {
                let mut text = Vec::with_capacity(batch.body.len() * 2);
                json::to_json(batch.signal, &batch.body, &mut text);
                ("application/json", text.into())
            }
        };
        if let Err(outcome) = check_size(plain.len(), self.largest) {
            return outcome;
        }
        let mut headers = self.headers.clone();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        let body = if self.compression == Encoding::Identity {
            plain
        } else {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(self.compression.name()));
            compress_at(self.compression, self.level, &plain).into()
        };
        if let Some(Err(reason)) = self.auth.as_ref().map(|auth| auth.authenticate(&mut headers)) {
            return Outcome::Retryable { after: None, reason };
        }
        post(self.client.post(url.clone()).headers(headers).body(body)).await
    }
}

impl Consumer for Sender {
    fn consume(&self, batch: Batch) -> Boxed<'_, Outcome> {
        Box::pin(self.send(batch))
    }
}
