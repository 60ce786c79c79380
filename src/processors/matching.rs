//! Which records a processor is for: `include` and `exclude`, as in the Collector.
//!
//! ```yaml
//! include:                            # only those that match; absent: all
//!   match_type: regexp                # or strict: the whole text
//!   services: ["auth.*"]              # any of them, and likewise for every list of texts
//!   span_names: [...]                 # and span_kinds, of spans
//!   log_bodies: [...]                 # and log_severity_texts and log_severity_number: {min: 9}, of log records
//!   metric_names: [...]               # of data points
//!   attributes: [{key: env, value: dev}, {key: test}]   # all of them; without a value it is enough to be there
//!   resources: [{key: host.type, value: "n1-.*"}]       # all of them
//!   libraries: [{name: mongo-driver, version: "3.8"}]   # any of them; the instrumentation scope
//! exclude: {}                         # and of these not those that match; in the same form
//! ```
//!
//! A record matches if it fits every one of these that is set.

use std::borrow::Cow;

use regex_lite::Regex;
use serde::Deserialize;

use crate::{
    config::{Check, Report, Toggle},
    otlp::{
        Signal,
        view::{self, AnyValue, LogRecord, ResourceGroup, ScopeGroup, Span},
        wire::{Fields, Value},
    },
    pipeline::Batch,
};

/// Field numbers of the attributes.
const RESOURCE_ATTRIBUTES: u32 = 1;
const LOG_ATTRIBUTES: u32 = 6;
const SPAN_ATTRIBUTES: u32 = 9;
/// In OTLP's order, from 0 for unspecified.
const SPAN_KINDS: [&str; 6] = ["Unspecified", "Internal", "Server", "Client", "Producer", "Consumer"];

/// How texts are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MatchType {
    /// The whole text, as it is.
    Strict,
    /// A regular expression that matches anywhere in the text.
    Regexp,
}

/// One of `include` and `exclude`; the keys are the Collector's.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Properties {
    /// How texts are compared; required.
    pub match_type: Option<MatchType>,
    /// The resource's `service.name`.
    pub services: Vec<String>,
    /// Names of spans.
    pub span_names: Vec<String>,
    /// Kinds of spans: `Server`, `Client`, …
    pub span_kinds: Vec<String>,
    /// Bodies of log records.
    pub log_bodies: Vec<String>,
    /// Severities of log records, as they were written.
    pub log_severity_texts: Vec<String>,
    /// Severities of log records, from 1 for trace to 24 for fatal.
    pub log_severity_number: Toggle<SeverityNumber>,
    /// Names of metrics.
    pub metric_names: Vec<String>,
    /// Attributes of the span, log record or data point.
    pub attributes: Vec<Attribute>,
    /// Attributes of the resource.
    pub resources: Vec<Attribute>,
    /// The instrumentation scope.
    pub libraries: Vec<Library>,
}

/// `log_severity_number`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SeverityNumber {
    /// The least severe that matches.
    pub min: u32,
    /// Whether records that do not say match.
    pub match_undefined: bool,
}

/// An attribute to look for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Attribute {
    /// Its key.
    pub key: String,
    /// Its value; any if absent.
    pub value: Option<serde_json::Value>,
}

/// An instrumentation scope to look for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Library {
    /// Its name.
    pub name: String,
    /// Its version; any if absent.
    pub version: Option<String>,
}

impl Check for Properties {
    fn check(&self, report: &mut Report<'_>) {
        let Some(match_type) = self.match_type else {
            report.error("match_type", "is missing").hint("strict or regexp");
            return;
        };
        let no_other = self.attributes.is_empty() && self.resources.is_empty() && self.libraries.is_empty();
        if no_other && !self.log_severity_number.is_on() && self.texts().iter().all(|(_, texts)| texts.is_empty()) {
            report.error("", "matches nothing in particular").hint("such as services, attributes or resources");
        }
        for (key, attributes) in [("attributes", &self.attributes), ("resources", &self.resources)] {
            for (index, attribute) in attributes.iter().enumerate() {
                if attribute.key.is_empty() {
                    report.error(&format!("{key}.{index}.key"), "is missing");
                }
                if let Err(wrong) = Wanted::new(match_type, attribute) {
                    report.error(&format!("{key}.{index}.value"), wrong);
                }
            }
        }
        for (key, texts) in self.texts() {
            if let Err(wrong) = Texts::new(match_type, texts) {
                report.error(key, wrong);
            }
        }
        for (index, library) in self.libraries.iter().enumerate() {
            if let Err(wrong) = library.texts(match_type) {
                report.error(&format!("libraries.{index}"), wrong);
            }
        }
        if match_type == MatchType::Strict
            && let Some(kind) = self.span_kinds.iter().find(|kind| !SPAN_KINDS.contains(&kind.as_str()))
        {
            report.error("span_kinds", format!("there is no {kind:?}")).hint(SPAN_KINDS[1..].join(", "));
        }
    }
}

impl Properties {
    fn texts(&self) -> [(&'static str, &[String]); 6] {
        [
            ("services", &self.services),
            ("span_names", &self.span_names),
            ("span_kinds", &self.span_kinds),
            ("log_bodies", &self.log_bodies),
            ("log_severity_texts", &self.log_severity_texts),
            ("metric_names", &self.metric_names),
        ]
    }

    /// A property that is set and that records of this signal do not have.
    fn foreign(&self, signal: Signal) -> Option<&'static str> {
        let severity: &[()] = if self.log_severity_number.is_on() { &[()] } else { &[] };
        let owned = |key: &str| match key.split('_').next() {
            Some("span") => signal == Signal::Traces,
            Some("log") => signal == Signal::Logs,
            Some("metric") => signal == Signal::Metrics,
            _ => true,
        };
        let set = self.texts().into_iter().filter(|(_, texts)| !texts.is_empty()).map(|(key, _)| key);
        set.chain(severity.iter().map(|()| "log_severity_number")).find(|key| !owned(key))
    }
}

/// `include` and `exclude` of one processor in a pipeline.
#[derive(Debug)]
pub struct Choice {
    include: Option<Matcher>,
    exclude: Option<Matcher>,
}

impl Choice {
    /// From what has been checked; `None` if every record is chosen. The error says what does not go with the signal.
    pub fn new(
        signal: Signal,
        include: &Toggle<Properties>,
        exclude: &Toggle<Properties>,
    ) -> Result<Option<Self>, String> {
        let matcher = |key: &str, side: &Toggle<Properties>| {
            let wrong = |wrong| format!("{key}: {wrong}");
            side.as_option().map(|properties| Matcher::new(signal, properties).map_err(wrong)).transpose()
        };
        let choice = Self { include: matcher("include", include)?, exclude: matcher("exclude", exclude)? };
        Ok((choice.include.is_some() || choice.exclude.is_some()).then_some(choice))
    }

    /// Whether each span, log record or data point is chosen, in the order of the views.
    pub fn marks(&self, batch: &Batch) -> Vec<bool> {
        let excluded = self.exclude.as_ref().map(|exclude| exclude.marks(batch));
        match (&self.include, excluded) {
            (Some(include), None) => include.marks(batch),
            (None, Some(excluded)) => excluded.into_iter().map(|excluded| !excluded).collect(),
            (Some(include), Some(excluded)) => include
                .marks(batch)
                .into_iter()
                .zip(excluded)
                .map(|(included, excluded)| included && !excluded)
                .collect(),
            (None, None) => Vec::new(),
        }
    }
}

/// Texts of which one has to fit; none means any text does.
#[derive(Debug)]
enum Texts {
    Any,
    Strict(Vec<String>),
    Patterns(Vec<Regex>),
}

impl Texts {
    fn new(match_type: MatchType, texts: &[String]) -> Result<Self, String> {
        Ok(match match_type {
            _ if texts.is_empty() => Self::Any,
            MatchType::Strict => Self::Strict(texts.to_owned()),
            MatchType::Regexp => Self::Patterns(texts.iter().map(|text| regex(text)).collect::<Result<_, _>>()?),
        })
    }

    const fn is_any(&self) -> bool {
        matches!(self, Self::Any)
    }

    fn fit(&self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Strict(texts) => texts.iter().any(|one| one == text),
            Self::Patterns(patterns) => patterns.iter().any(|pattern| pattern.is_match(text)),
        }
    }

    /// The door has checked that texts are UTF-8.
    fn fit_bytes(&self, text: &[u8]) -> bool {
        self.is_any() || std::str::from_utf8(text).is_ok_and(|text| self.fit(text))
    }
}

fn regex(text: &str) -> Result<Regex, String> {
    Regex::new(text).map_err(|error| format!("{text:?} is not a regular expression: {error}"))
}

/// What an attribute has to be.
#[derive(Debug)]
enum Wanted {
    Anything,
    Exactly(serde_json::Value),
    Pattern(Regex),
}

impl Wanted {
    fn new(match_type: MatchType, attribute: &Attribute) -> Result<Self, String> {
        use serde_json::Value;
        Ok(match (&attribute.value, match_type) {
            (None, _) => Self::Anything,
            (Some(Value::Null | Value::Array(_) | Value::Object(_)), _) => {
                return Err("must be text, a number, true or false".to_owned());
            }
            (Some(value), MatchType::Strict) => Self::Exactly(value.clone()),
            (Some(Value::String(pattern)), MatchType::Regexp) => Self::Pattern(regex(pattern)?),
            (Some(_), MatchType::Regexp) => return Err("must be text, for a regular expression".to_owned()),
        })
    }

    fn fits(&self, value: AnyValue<'_>) -> bool {
        match self {
            Self::Anything => true,
            Self::Exactly(wanted) => match value {
                AnyValue::String(text) => wanted.as_str().is_some_and(|wanted| wanted.as_bytes() == text),
                AnyValue::Bool(value) => wanted.as_bool() == Some(value),
                AnyValue::Int(value) => !wanted.is_f64() && wanted.as_i64() == Some(value),
                AnyValue::Double(value) => wanted.is_f64() && wanted.as_f64() == Some(value),
                AnyValue::Empty | AnyValue::Array(_) | AnyValue::KvList(_) | AnyValue::Bytes(_) => false,
            },
            Self::Pattern(pattern) => scalar(value).is_some_and(|text| pattern.is_match(&text)),
        }
    }
}

/// A value as text, if it is one of those that have a short one.
fn scalar(value: AnyValue<'_>) -> Option<Cow<'_, str>> {
    Some(match value {
        AnyValue::String(text) => String::from_utf8_lossy(text),
        AnyValue::Bool(value) => value.to_string().into(),
        AnyValue::Int(value) => value.to_string().into(),
        AnyValue::Double(value) => value.to_string().into(),
        AnyValue::Empty | AnyValue::Array(_) | AnyValue::KvList(_) | AnyValue::Bytes(_) => return None,
    })
}

#[derive(Debug)]
struct Attributes(Vec<(String, Wanted)>);

impl Attributes {
    fn new(match_type: MatchType, attributes: &[Attribute]) -> Result<Self, String> {
        let wanted = |one: &Attribute| Ok((one.key.clone(), Wanted::new(match_type, one)?));
        attributes.iter().map(wanted).collect::<Result<_, String>>().map(Self)
    }

    /// `message` has its attributes in `field`.
    fn fit(&self, message: &[u8], field: u32) -> bool {
        self.0.iter().all(|(key, wanted)| {
            let mut found = view::messages(message, field).map(view::key_value);
            found.find(|(found, _)| *found == key.as_bytes()).is_some_and(|(_, value)| wanted.fits(value))
        })
    }
}

impl Library {
    fn texts(&self, match_type: MatchType) -> Result<(Texts, Texts), String> {
        let one = |text: &String| Texts::new(match_type, std::slice::from_ref(text));
        Ok((one(&self.name)?, self.version.as_ref().map_or(Ok(Texts::Any), one)?))
    }
}

/// [`Properties`], ready to be looked for.
#[derive(Debug)]
struct Matcher {
    signal: Signal,
    services: Texts,
    /// Of spans or metrics.
    names: Texts,
    kinds: Texts,
    bodies: Texts,
    severities: Texts,
    severity: Option<SeverityNumber>,
    attributes: Attributes,
    resources: Attributes,
    libraries: Vec<(Texts, Texts)>,
}

impl Matcher {
    fn new(signal: Signal, properties: &Properties) -> Result<Self, String> {
        if let Some(key) = properties.foreign(signal) {
            return Err(format!("{key} is of no use in a pipeline of {}", signal.name()));
        }
        let match_type = properties.match_type.ok_or("match_type is missing")?;
        let texts = |texts: &[String]| Texts::new(match_type, texts);
        Ok(Self {
            signal,
            services: texts(&properties.services)?,
            names: texts(if signal == Signal::Metrics { &properties.metric_names } else { &properties.span_names })?,
            kinds: texts(&properties.span_kinds)?,
            bodies: texts(&properties.log_bodies)?,
            severities: texts(&properties.log_severity_texts)?,
            severity: properties.log_severity_number.as_option().copied(),
            attributes: Attributes::new(match_type, &properties.attributes)?,
            resources: Attributes::new(match_type, &properties.resources)?,
            libraries: properties.libraries.iter().map(|one| one.texts(match_type)).collect::<Result<_, _>>()?,
        })
    }

    fn marks(&self, batch: &Batch) -> Vec<bool> {
        let mut marks = Vec::with_capacity(batch.items);
        for group in view::resources(&batch.body) {
            let resource_fits = self.fits_resource(&group);
            for scope in group.scopes() {
                let scope_fits = resource_fits && self.fits_scope(&scope);
                for record in scope.records() {
                    match self.signal {
                        Signal::Traces => marks.push(scope_fits && self.fits_span(record)),
                        Signal::Logs => marks.push(scope_fits && self.fits_log_record(record)),
                        Signal::Metrics => {
                            let name = view::messages(record, 1).last().unwrap_or_default();
                            let metric_fits = scope_fits && self.names.fit_bytes(name);
                            marks.extend(
                                points(record).map(|(point, field)| metric_fits && self.attributes.fit(point, field)),
                            );
                        }
                    }
                }
            }
        }
        marks
    }

    fn fits_resource(&self, group: &ResourceGroup<'_>) -> bool {
        let service = || {
            let (_, value) = group.attributes().find(|(key, _)| *key == b"service.name")?;
            scalar(value)
        };
        (self.services.is_any() || service().is_some_and(|service| self.services.fit(&service)))
            && self.resources.fit(group.resource(), RESOURCE_ATTRIBUTES)
    }

    fn fits_scope(&self, scope: &ScopeGroup<'_>) -> bool {
        let fits =
            |(name, version): &(Texts, Texts)| name.fit_bytes(scope.name()) && version.fit_bytes(scope.version());
        self.libraries.is_empty() || self.libraries.iter().any(fits)
    }

    fn fits_span(&self, record: &[u8]) -> bool {
        let span = Span::scan(record, |_, _| {});
        let kind = SPAN_KINDS.get(span.kind as usize).copied().unwrap_or("Unspecified");
        self.names.fit_bytes(span.name) && self.kinds.fit(kind) && self.attributes.fit(record, SPAN_ATTRIBUTES)
    }

    fn fits_log_record(&self, record: &[u8]) -> bool {
        let log = LogRecord::scan(record, |_, _| {});
        let severe_enough = self.severity.is_none_or(|wanted| match log.severity {
            0 => wanted.match_undefined,
            number => number >= wanted.min,
        });
        severe_enough
            && self.severities.fit_bytes(log.severity_text)
            && (self.bodies.is_any() || scalar(log.body).is_some_and(|body| self.bodies.fit(&body)))
            && self.attributes.fit(record, LOG_ATTRIBUTES)
    }
}

/// The points of a metric, each with the field number of its attributes.
fn points(metric: &[u8]) -> impl Iterator<Item = (&[u8], u32)> {
    let data = Fields::new(metric).filter_map(|(number, value)| match (number, value) {
        (5 | 7 | 11, Value::Bytes(data)) => Some((data, 7)),
        (9, Value::Bytes(data)) => Some((data, 9)),
        (10, Value::Bytes(data)) => Some((data, 1)),
        _ => None,
    });
    data.flat_map(|(data, attributes)| view::messages(data, 1).map(move |point| (point, attributes)))
}

#[cfg(test)]
mod tests;
