//! Own telemetry over OTLP: from the configuration to the SDK's providers.

use std::{fmt::Display, path::Path, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri};
use opentelemetry::KeyValue;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{
    LogExporter, MetricExporter, SpanExporter, WithExportConfig as _, WithHttpConfig as _, WithTonicConfig as _,
};
use opentelemetry_sdk::{
    Resource,
    logs::{BatchConfigBuilder as LogBatch, BatchLogProcessor, SdkLoggerProvider},
    metrics::{PeriodicReader, SdkMeterProvider},
    trace::{BatchConfigBuilder as SpanBatch, BatchSpanProcessor, Sampler as SdkSampler, SdkTracerProvider},
};
use rustls::{ClientConfig, pki_types::ServerName};
use tonic::{
    metadata::MetadataMap,
    transport::{Channel, Endpoint},
};

use super::Metrics;
use crate::{
    config::{Compression, MetricsLevel, Otlp, Protocol, Sampler, Telemetry, Temporality},
    pipeline::component::{Context, Shared},
    transport::{
        dial::{Dial, To},
        tls::client as tls,
    },
};

/// What is left is sent within so long at the end.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// What is read of an answer: they are small.
const LARGEST_ANSWER: usize = 1 << 20;

/// A destination that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("service::telemetry::{place}: {reason}")]
pub struct PushError {
    place: String,
    reason: String,
}

/// Providers of logs and traces that run.
#[derive(Default)]
pub(super) struct Pushed {
    pub logs: Option<SdkLoggerProvider>,
    pub traces: Option<SdkTracerProvider>,
}

impl Pushed {
    /// Sends what is left, the logs about it last.
    pub fn stop(self) {
        let traces = self.traces.map(|traces| traces.shutdown_with_timeout(LAST_WORDS));
        let logs = self.logs.map(|logs| logs.shutdown_with_timeout(LAST_WORDS));
        for error in [traces, logs].into_iter().flatten().filter_map(Result::err) {
            tracing::warn!(%error, "not all own telemetry could be sent before the end");
        }
    }
}

/// Metrics that are being pushed.
pub struct PushedMetrics(SdkMeterProvider);

impl PushedMetrics {
    /// Pushes `metrics` wherever `telemetry` says; `None` if nowhere. To be called within a runtime.
    pub fn start(telemetry: &Telemetry, base: &Path, metrics: &Metrics) -> Result<Option<Self>, PushError> {
        use opentelemetry::metrics::MeterProvider as _;
        let pushes = telemetry.metrics.pushes();
        if pushes.is_empty() {
            return Ok(None);
        }
        let mut provider = SdkMeterProvider::builder().with_resource(resource(telemetry));
        for (number, periodic) in pushes.into_iter().enumerate() {
            let destination = Destination {
                otlp: &periodic.exporter.otlp,
                place: format!("metrics (push {number})"),
                base,
                limit: periodic.timeout.0,
            };
            let exporter = destination.metrics()?;
            provider =
                provider.with_reader(PeriodicReader::builder(exporter).with_interval(periodic.interval.0).build());
        }
        let provider = provider.build();
        metrics.observe_by(&provider.meter("sekisho"), telemetry.metrics.level.into());
        Ok(Some(Self(provider)))
    }

    /// Sends the last values. Blocks, for seconds at most.
    pub fn stop(self) {
        if let Err(error) = self.0.shutdown_with_timeout(LAST_WORDS) {
            tracing::warn!(%error, "the last own metrics could not be sent");
        }
    }
}

/// A provider that sends logs wherever `telemetry` says; `None` if nowhere.
pub(super) fn logs(telemetry: &Telemetry, base: &Path) -> Result<Option<SdkLoggerProvider>, PushError> {
    if telemetry.logs.processors.is_empty() {
        return Ok(None);
    }
    let mut provider = SdkLoggerProvider::builder().with_resource(resource(telemetry));
    for (number, processor) in telemetry.logs.processors.iter().enumerate() {
        let batch = &processor.batch;
        let place = format!("logs::processors::{number}");
        let destination = Destination { otlp: &batch.exporter.otlp, place, base, limit: batch.export_timeout.0 };
        let settings = LogBatch::default()
            .with_max_queue_size(batch.max_queue_size)
            .with_max_export_batch_size(batch.max_export_batch_size)
            .with_scheduled_delay(batch.schedule_delay.0)
            .build();
        let exporter = destination.logs()?;
        provider =
            provider.with_log_processor(BatchLogProcessor::builder(exporter).with_batch_config(settings).build());
    }
    Ok(Some(provider.build()))
}

/// A provider that sends spans wherever `telemetry` says; `None` if nowhere.
pub(super) fn traces(telemetry: &Telemetry, base: &Path) -> Result<Option<SdkTracerProvider>, PushError> {
    let traces = &telemetry.traces;
    if traces.processors.is_empty() || traces.level == MetricsLevel::None {
        return Ok(None);
    }
    let sampler = match traces.sampler {
        Sampler::AlwaysOn => SdkSampler::AlwaysOn,
        Sampler::AlwaysOff => SdkSampler::AlwaysOff,
        Sampler::TraceIdRatioBased { ratio } => SdkSampler::ParentBased(Box::new(SdkSampler::TraceIdRatioBased(ratio))),
    };
    let mut provider = SdkTracerProvider::builder().with_resource(resource(telemetry)).with_sampler(sampler);
    for (number, processor) in traces.processors.iter().enumerate() {
        let batch = &processor.batch;
        let place = format!("traces::processors::{number}");
        let destination = Destination { otlp: &batch.exporter.otlp, place, base, limit: batch.export_timeout.0 };
        let settings = SpanBatch::default()
            .with_max_queue_size(batch.max_queue_size)
            .with_max_export_batch_size(batch.max_export_batch_size)
            .with_scheduled_delay(batch.schedule_delay.0)
            .build();
        let exporter = destination.traces()?;
        provider =
            provider.with_span_processor(BatchSpanProcessor::builder(exporter).with_batch_config(settings).build());
    }
    Ok(Some(provider.build()))
}

fn resource(telemetry: &Telemetry) -> Resource {
    let attributes = telemetry.resource().into_iter().map(|(key, value)| KeyValue::new(key, value));
    Resource::builder_empty().with_attributes(attributes).build()
}

/// Where one signal goes.
struct Destination<'a> {
    otlp: &'a Otlp,
    place: String,
    base: &'a Path,
    /// Of one sending, in the eyes of whoever asks for it.
    limit: Duration,
}

/// The same steps for the three exporters, whose builders share no type.
macro_rules! exporter {
    ($name:ident, $exporter:ident, $path:literal, $with:expr) => {
        fn $name(&self) -> Result<$exporter, PushError> {
            let timeout = self.otlp.timeout.0.min(self.limit);
            let gzip = self.otlp.compression == Compression::Gzip;
            let built = if self.otlp.protocol == Protocol::Grpc {
                let mut builder = $with($exporter::builder(), self)
                    .with_tonic()
                    .with_channel(self.channel(timeout)?)
                    .with_metadata(MetadataMap::from_headers(self.headers()))
                    .with_timeout(timeout);
                if gzip {
                    builder = builder.with_compression(opentelemetry_otlp::Compression::Gzip);
                }
                builder.build()
            } else {
                let mut builder = $with($exporter::builder(), self)
                    .with_http()
                    .with_http_client(self.client(timeout)?)
                    .with_endpoint(self.http_endpoint($path))
                    .with_timeout(timeout);
                if gzip {
                    builder = builder.with_compression(opentelemetry_otlp::Compression::Gzip);
                }
                builder.build()
            };
            built.map_err(|error| self.error(error.to_string()))
        }
    };
}

impl Destination<'_> {
    exporter!(logs, LogExporter, "/v1/logs", |builder, _: &Self| builder);
    exporter!(traces, SpanExporter, "/v1/traces", |builder, _: &Self| builder);
    exporter!(
        metrics,
        MetricExporter,
        "/v1/metrics",
        |builder: opentelemetry_otlp::MetricExporterBuilder<_>, this: &Self| {
            builder.with_temporality(match this.otlp.temporality_preference {
                Temporality::Cumulative => opentelemetry_sdk::metrics::Temporality::Cumulative,
                Temporality::Delta => opentelemetry_sdk::metrics::Temporality::Delta,
                Temporality::LowMemory => opentelemetry_sdk::metrics::Temporality::LowMemory,
            })
        }
    );

    fn http_endpoint(&self, path: &str) -> String {
        let url = self.otlp.url();
        let has_path = url.parse::<http::Uri>().is_ok_and(|uri| uri.path() != "/");
        if has_path { url } else { format!("{}{path}", url.trim_end_matches('/')) }
    }

    fn channel(&self, timeout: Duration) -> Result<Channel, PushError> {
        let wrong = |error: &dyn Display| self.error(format!("endpoint: {error}"));
        let url: Uri = self.otlp.url().parse().map_err(|error| wrong(&error))?;
        let (Some(scheme), Some(authority)) = (url.scheme_str(), url.authority()) else {
            return Err(wrong(&"is not a URL"));
        };
        let at = |scheme: &str, authority: &str| {
            let uri = Uri::builder().scheme(scheme).authority(authority).path_and_query("/").build();
            uri.map_err(|error| wrong(&error))
        };
        let (host, secure) = (authority.host(), scheme == "https");
        let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let to = To::Tcp(at("http", &format!("{host}:{port}"))?);
        let tls = if secure {
            let name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
            Some((self.tls(&[b"h2"])?, ServerName::try_from(name).map_err(|error| wrong(&error))?))
        } else {
            None
        };
        // TLS is the dial's business: the library must not try it again.
        let endpoint = Endpoint::from(at("http", authority.as_str())?).origin(at(scheme, authority.as_str())?);
        Ok(endpoint.timeout(timeout).connect_timeout(timeout).connect_with_connector_lazy(Dial::new(to, tls)))
    }

    fn client(&self, timeout: Duration) -> Result<Client, PushError> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(self.tls(&[b"h2", b"http/1.1"])?)
            .timeout(timeout)
            .redirect(reqwest::redirect::Policy::none())
            .default_headers(self.headers())
            .build()
            .map_err(|error| self.error(error.to_string()))?;
        Ok(Client { client, runtime: tokio::runtime::Handle::current() })
    }

    fn tls(&self, protocols: &[&[u8]]) -> Result<ClientConfig, PushError> {
        let config = tls::Config {
            ca_file: self.otlp.certificate.clone(),
            cert_file: self.otlp.client_certificate.clone(),
            key_file: self.otlp.client_key.clone(),
            ..tls::Config::default()
        };
        let context = Context {
            component: format!("service::telemetry::{}", self.place),
            id: String::new(),
            metrics: Metrics::default(),
            shared: Shared::default(),
            base: self.base.to_owned(),
        };
        config.config(protocols, &context).map_err(|error| self.error(error.reason))
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for header in &self.otlp.headers.0 {
            let value = HeaderValue::from_str(header.value.expose());
            if let (Ok(name), Ok(mut value)) = (HeaderName::try_from(&header.name), value) {
                value.set_sensitive(true);
                headers.insert(name, value);
            }
        }
        headers
    }

    fn error(&self, reason: String) -> PushError {
        PushError { place: self.place.clone(), reason }
    }
}

/// Our HTTP client for the SDK, whose threads are outside of the runtime.
#[derive(Debug)]
struct Client {
    client: reqwest::Client,
    runtime: tokio::runtime::Handle,
}

#[tonic::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let answered = self.runtime.spawn(async move {
            let mut response = client.execute(request.try_into()?).await?;
            let mut answer = Response::builder().status(response.status());
            if let Some(headers) = answer.headers_mut() {
                headers.clone_from(response.headers());
            }
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await? {
                if body.len() + chunk.len() > LARGEST_ANSWER {
                    return Err(HttpError::from("the answer is too long to be OTLP"));
                }
                body.extend_from_slice(&chunk);
            }
            Ok(answer.body(Bytes::from(body))?)
        });
        answered.await?
    }
}
