//! Where own telemetry is sent: `periodic` readers of metrics, `batch` processors of logs and traces.

use std::{fmt, path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::config::{DurationText, Report, Secret, duration};

/// A duration that OpenTelemetry's configuration writes as a number of milliseconds, and people as `5s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Millis(pub Duration);

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = Millis;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of milliseconds, or a duration such as 5s")
            }

            fn visit_i64<E: de::Error>(self, millis: i64) -> Result<Millis, E> {
                // As text: what is too long for a duration is too long here.
                self.visit_str(&format!("{millis}ms"))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Millis, E> {
                duration::parse(text).map(Millis).map_err(E::custom)
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl Serialize for Millis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        DurationText::serialize(&self.0, serializer)
    }
}

/// A `periodic` reader of the metrics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Periodic {
    /// How often.
    pub interval: Millis,
    /// Of one sending; the exporter's own counts if it is shorter.
    pub timeout: Millis,
    /// Where to.
    pub exporter: OtlpExporter,
}

impl Default for Periodic {
    fn default() -> Self {
        let (interval, timeout) = (Millis(Duration::from_mins(1)), Millis(Duration::from_secs(30)));
        Self { interval, timeout, exporter: OtlpExporter::default() }
    }
}

/// `exporter` of a reader or a processor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OtlpExporter {
    /// The only kind there is.
    pub otlp: Otlp,
}

/// One of `processors`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Processor {
    /// The only kind there is.
    pub batch: Batch,
}

/// `batch` of a processor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Batch {
    /// Longest an item waits for others.
    pub schedule_delay: Millis,
    /// Of one sending; the exporter's own counts if it is shorter.
    pub export_timeout: Millis,
    /// Items held at most; what is more is dropped.
    pub max_queue_size: usize,
    /// Items sent at once.
    pub max_export_batch_size: usize,
    /// Where to.
    pub exporter: OtlpExporter,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            schedule_delay: Millis(Duration::from_secs(5)),
            export_timeout: Millis(Duration::from_secs(30)),
            max_queue_size: 2048,
            max_export_batch_size: 512,
            exporter: OtlpExporter::default(),
        }
    }
}

/// An OTLP destination of own telemetry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Otlp {
    /// How.
    pub protocol: Protocol,
    /// A URL. Over HTTP without a path, `/v1/<signal>` is added.
    pub endpoint: String,
    /// Sent with every request.
    pub headers: Headers,
    /// How bodies are compressed.
    pub compression: Compression,
    /// Of one sending.
    pub timeout: Millis,
    /// No TLS for an endpoint without a scheme.
    pub insecure: bool,
    /// Certificates to trust instead of the system's, PEM.
    pub certificate: Option<PathBuf>,
    /// Our own certificate, PEM.
    pub client_certificate: Option<PathBuf>,
    /// The key of our own certificate, PEM.
    pub client_key: Option<PathBuf>,
    /// Of metrics: since the start, or since the last sending.
    pub temporality_preference: Temporality,
}

impl Default for Otlp {
    fn default() -> Self {
        Self {
            protocol: Protocol::default(),
            endpoint: String::new(),
            headers: Headers::default(),
            compression: Compression::default(),
            timeout: Millis(Duration::from_secs(10)),
            insecure: false,
            certificate: None,
            client_certificate: None,
            client_key: None,
            temporality_preference: Temporality::default(),
        }
    }
}

/// How own telemetry travels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Protocol {
    /// OTLP over gRPC.
    #[serde(rename = "grpc")]
    Grpc,
    /// OTLP over HTTP.
    #[default]
    #[serde(rename = "http/protobuf")]
    HttpProtobuf,
}

/// How own telemetry is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// With gzip.
    Gzip,
}

/// What a pushed sum counts from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Temporality {
    /// The start.
    #[default]
    Cumulative,
    /// The last time.
    Delta,
    /// The last time, where that needs no memory.
    LowMemory,
}

/// Headers: a map, or a list of `{name, value}` as in newer configurations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Headers(pub Vec<Header>);

/// One header.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Header {
    /// What it is called.
    pub name: String,
    /// What it says.
    pub value: Secret,
}

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Headers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of headers, or a list of {name, value}")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Headers, A::Error> {
                let mut headers = Vec::new();
                while let Some((name, value)) = map.next_entry()? {
                    headers.push(Header { name, value });
                }
                Ok(Headers(headers))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Headers, A::Error> {
                let mut headers = Vec::new();
                while let Some(header) = list.next_element()? {
                    headers.push(header);
                }
                Ok(Headers(headers))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

pub(super) fn check_processors(processors: &[Processor], report: &mut Report<'_>) {
    for (number, Processor { batch }) in processors.iter().enumerate() {
        let path = format!("processors.{number}.batch");
        if batch.max_queue_size == 0 {
            report.error(&format!("{path}.max_queue_size"), "must be more than 0");
        }
        if batch.max_export_batch_size == 0 || batch.max_export_batch_size > batch.max_queue_size {
            report.error(&format!("{path}.max_export_batch_size"), "must be between 1 and max_queue_size");
        }
        let times = [("schedule_delay", batch.schedule_delay), ("export_timeout", batch.export_timeout)];
        check_times(&path, &times, report);
        batch.exporter.otlp.check(&format!("{path}.exporter.otlp"), report);
        if batch.exporter.otlp.temporality_preference != Temporality::default() {
            report.error(&format!("{path}.exporter.otlp.temporality_preference"), "is for metrics only");
        }
    }
}

fn check_times(path: &str, times: &[(&str, Millis)], report: &mut Report<'_>) {
    for (key, Millis(time)) in times {
        if time.is_zero() {
            report.error(&format!("{path}.{key}"), "must be more than 0");
        }
    }
}

impl Periodic {
    pub(super) fn check(&self, path: &str, report: &mut Report<'_>) {
        check_times(path, &[("interval", self.interval), ("timeout", self.timeout)], report);
        self.exporter.otlp.check(&format!("{path}.exporter.otlp"), report);
    }
}

impl Otlp {
    fn check(&self, path: &str, report: &mut Report<'_>) {
        let at = |key: &str| format!("{path}.{key}");
        check_times(path, &[("timeout", self.timeout)], report);
        if self.endpoint.is_empty() {
            report.error(&at("endpoint"), "is missing").hint("such as http://tempo:4317");
        } else if let Some((scheme, _)) = self.endpoint.split_once("://")
            && !["http", "https"].contains(&scheme)
        {
            report.error(&at("endpoint"), format!("`{scheme}` is not a scheme for OTLP")).hint("http:// or https://");
        } else if self.url().parse::<http::Uri>().ok().and_then(|uri| uri.host().map(str::len)).is_none() {
            report.error(&at("endpoint"), "is not a URL").hint("such as http://tempo:4317");
        }
        for (number, header) in self.headers.0.iter().enumerate() {
            let valid = http::HeaderName::try_from(&header.name).is_ok()
                && http::HeaderValue::from_str(header.value.expose()).is_ok();
            if !valid {
                report.error(&at("headers"), format!("number {} cannot be sent", number + 1));
            }
        }
        if self.client_certificate.is_some() != self.client_key.is_some() {
            let missing = if self.client_key.is_some() { "client_certificate" } else { "client_key" };
            report.error(&at(missing), "is needed too: a certificate and its key go together");
        }
        let secured = self.certificate.is_some() || self.client_certificate.is_some();
        if secured && self.url().starts_with("http://") {
            report.error(&at("certificate"), "does nothing: the endpoint is not https://");
        }
    }

    /// The endpoint with a scheme.
    pub fn url(&self) -> String {
        let scheme = if self.insecure { "http" } else { "https" };
        if self.endpoint.contains("://") { self.endpoint.clone() } else { format!("{scheme}://{}", self.endpoint) }
    }
}
