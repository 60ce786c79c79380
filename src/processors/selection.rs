//! `include` and `exclude`, as the Collector's older processors choose what they apply to: every property given must match,
//! a property with several values matches if one of them does.

use regex::Regex;
use serde::Deserialize;

use crate::{
    config::{Check, Report},
    otlp::{
        Signal,
        any_value::{as_text, from_json},
        view::{self, AnyValue, LogRecord, Span},
    },
    ottl::{Level, Scene},
    pattern,
};

/// What must match.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Properties {
    /// Whether values are whole texts or regular expressions; required.
    pub match_type: Option<MatchType>,
    /// Values of the resource's `service.name`; spans only.
    pub services: Vec<String>,
    /// Names of spans.
    pub span_names: Vec<String>,
    /// Kinds of spans: `SPAN_KIND_SERVER` and the like.
    pub span_kinds: Vec<String>,
    /// Bodies of log records.
    pub log_bodies: Vec<String>,
    /// Severities of log records, as text.
    pub log_severity_texts: Vec<String>,
    /// The least severity of log records.
    pub log_severity_number: Option<SeverityNumber>,
    /// Names of metrics.
    pub metric_names: Vec<String>,
    /// Attributes of the record, all of which must match.
    pub attributes: Vec<Attribute>,
    /// Attributes of the resource, all of which must match.
    pub resources: Vec<Attribute>,
    /// Instrumentation scopes.
    pub libraries: Vec<Library>,
}

/// How values match.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum MatchType {
    /// Equal.
    Strict,
    /// As regular expressions.
    Regexp,
}

/// An attribute; without a value it only must be there.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Attribute {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: Option<serde_json::Value>,
}

/// An instrumentation scope; without a version any will do.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Library {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: Option<String>,
}

/// A least severity.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SeverityNumber {
    /// 1 to 24.
    pub min: u32,
    /// Whether records without a severity match.
    pub match_undefined: bool,
}

impl Check for Properties {
    fn check(&self, report: &mut Report<'_>) {
        self.check_as(&[], report);
    }
}

impl Properties {
    /// Reports what is wrong; `names` are keys that stand for others in the configuration.
    pub fn check_as(&self, names: &[(&'static str, &'static str)], report: &mut Report<'_>) {
        let key = |name: &'static str| names.iter().find(|(known, _)| *known == name).map_or(name, |(_, key)| *key);
        if self.match_type.is_none() {
            report.error("match_type", "is missing").hint("strict or regexp");
        }
        let attributes = [("attributes", &self.attributes), ("resources", &self.resources)];
        let any = self.texts().iter().any(|(_, texts)| !texts.is_empty())
            || attributes.iter().any(|(_, list)| !list.is_empty())
            || !self.libraries.is_empty()
            || self.log_severity_number.is_some();
        if !any {
            report.error("", "says nothing that could match");
        }
        for (name, list) in attributes {
            let name = key(name);
            for (index, attribute) in list.iter().enumerate() {
                if attribute.key.is_empty() {
                    report.error(&format!("{name}.{index}"), "needs a key");
                }
                if let Some(value) = &attribute.value
                    && from_json(value).is_none()
                {
                    report.error(&format!("{name}.{index}.value"), "holds a number that no attribute can hold");
                }
            }
        }
        if self.match_type == Some(MatchType::Regexp) {
            self.check_patterns(&key, report);
        }
    }

    const fn texts(&self) -> [(&'static str, &Vec<String>); 6] {
        [
            ("services", &self.services),
            ("span_names", &self.span_names),
            ("span_kinds", &self.span_kinds),
            ("log_bodies", &self.log_bodies),
            ("log_severity_texts", &self.log_severity_texts),
            ("metric_names", &self.metric_names),
        ]
    }

    fn check_patterns(&self, key: &dyn Fn(&'static str) -> &'static str, report: &mut Report<'_>) {
        let mut patterns: Vec<(String, &str)> = Vec::new();
        for (name, texts) in self.texts() {
            let name = key(name);
            patterns.extend(texts.iter().enumerate().map(|(index, text)| (format!("{name}.{index}"), text.as_str())));
        }
        for (index, library) in self.libraries.iter().enumerate() {
            patterns.push((format!("libraries.{index}.name"), &library.name));
            patterns.push((format!("libraries.{index}.version"), library.version.as_deref().unwrap_or_default()));
        }
        for (name, list) in [("attributes", &self.attributes), ("resources", &self.resources)] {
            for (index, attribute) in list.iter().enumerate() {
                let path = format!("{}.{index}.value", key(name));
                match &attribute.value {
                    Some(serde_json::Value::String(text)) => patterns.push((path, text)),
                    Some(_) => {
                        report.error(&path, "must be text").hint("with match_type regexp, values are expressions");
                    }
                    None => {}
                }
            }
        }
        for (path, text) in patterns {
            if let Err(error) = pattern::compile(text) {
                report.error(&path, format!("is not a regular expression: {error}"));
            }
        }
    }

    /// A key that is set but has no meaning for a signal.
    pub fn meaningless(&self, signal: Signal) -> Option<&'static str> {
        let meant = |name: &str| match signal {
            Signal::Traces => matches!(name, "services" | "span_names" | "span_kinds"),
            Signal::Logs => matches!(name, "log_bodies" | "log_severity_texts"),
            Signal::Metrics => name == "metric_names",
        };
        let number = self.log_severity_number.is_some() && signal != Signal::Logs;
        let text = self.texts().into_iter().find(|(name, texts)| !texts.is_empty() && !meant(name));
        text.map(|(name, _)| name).or(number.then_some("log_severity_number"))
    }
}

/// Texts of which one must match.
#[derive(Clone, Debug)]
enum Texts {
    Equal(Vec<String>),
    Like(Vec<Regex>),
}

impl Texts {
    fn new(texts: &[String], match_type: MatchType) -> Result<Option<Self>, String> {
        Ok(match (texts, match_type) {
            ([], _) => None,
            (texts, MatchType::Strict) => Some(Self::Equal(texts.to_vec())),
            (texts, MatchType::Regexp) => {
                Some(Self::Like(texts.iter().map(|text| pattern::compile(text)).collect::<Result<_, _>>()?))
            }
        })
    }

    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Equal(texts) => texts.iter().any(|known| known == text),
            Self::Like(patterns) => patterns.iter().any(|pattern| pattern.is_match(text)),
        }
    }
}

/// What an attribute must be.
#[derive(Clone, Debug)]
enum Wanted {
    There,
    /// A serialised `AnyValue`.
    Equal(Vec<u8>),
    Like(Regex),
}

impl Wanted {
    fn matches(&self, value: AnyValue<'_>) -> bool {
        match (self, value) {
            (Self::There, _) => true,
            (Self::Equal(wanted), value) => AnyValue::parse(wanted) == value,
            (Self::Like(_), AnyValue::Empty | AnyValue::Array(_) | AnyValue::KvList(_) | AnyValue::Bytes(_)) => false,
            // Never with an exponent, as in the Collector.
            (Self::Like(pattern), AnyValue::Double(value)) => pattern.is_match(&value.to_string()),
            (Self::Like(pattern), value) => pattern.is_match(&as_text(value)),
        }
    }
}

/// [`Properties`], ready to be asked.
#[derive(Clone, Debug)]
struct Matcher {
    services: Option<Texts>,
    span_names: Option<Texts>,
    span_kinds: Option<Texts>,
    log_bodies: Option<Texts>,
    log_severity_texts: Option<Texts>,
    log_severity_number: Option<SeverityNumber>,
    metric_names: Option<Texts>,
    attributes: Vec<(String, Wanted)>,
    resources: Vec<(String, Wanted)>,
    libraries: Vec<(Texts, Option<Texts>)>,
}

const KINDS: [&str; 6] = [
    "SPAN_KIND_UNSPECIFIED",
    "SPAN_KIND_INTERNAL",
    "SPAN_KIND_SERVER",
    "SPAN_KIND_CLIENT",
    "SPAN_KIND_PRODUCER",
    "SPAN_KIND_CONSUMER",
];

impl Matcher {
    fn new(properties: &Properties) -> Result<Self, String> {
        let match_type = properties.match_type.ok_or("match_type is missing")?;
        let texts = |texts: &[String]| Texts::new(texts, match_type);
        let wanted = |attribute: &Attribute| {
            Ok::<_, String>((
                attribute.key.clone(),
                match (&attribute.value, match_type) {
                    (None, _) => Wanted::There,
                    (Some(serde_json::Value::String(text)), MatchType::Regexp) => Wanted::Like(pattern::compile(text)?),
                    (Some(value), _) => Wanted::Equal(from_json(value).ok_or("a number is too large")?),
                },
            ))
        };
        let library = |library: &Library| {
            let name = texts(std::slice::from_ref(&library.name))?.ok_or("a name is missing")?;
            let version = library.version.as_ref().map(|version| texts(std::slice::from_ref(version))).transpose()?;
            Ok::<_, String>((name, version.flatten()))
        };
        Ok(Self {
            services: texts(&properties.services)?,
            span_names: texts(&properties.span_names)?,
            span_kinds: texts(&properties.span_kinds)?,
            log_bodies: texts(&properties.log_bodies)?,
            log_severity_texts: texts(&properties.log_severity_texts)?,
            log_severity_number: properties.log_severity_number,
            metric_names: texts(&properties.metric_names)?,
            attributes: properties.attributes.iter().map(wanted).collect::<Result<_, _>>()?,
            resources: properties.resources.iter().map(wanted).collect::<Result<_, _>>()?,
            libraries: properties.libraries.iter().map(library).collect::<Result<_, _>>()?,
        })
    }

    fn matches(&self, signal: Signal, scene: &Scene<'_>, record: &[u8], attributes: u32) -> bool {
        self.matches_record(signal, scene, record)
            && self.matches_scope(scene.get(Level::Scope))
            && all(&self.resources, scene.get(Level::Resource), 1)
            && all(&self.attributes, record, attributes)
    }

    fn matches_record(&self, signal: Signal, scene: &Scene<'_>, record: &[u8]) -> bool {
        let is = |wanted: &Option<Texts>, text: &dyn Fn() -> String| {
            wanted.as_ref().is_none_or(|wanted| wanted.matches(&text()))
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match signal {
            Signal::Traces => {
                let span = Span::scan(record, |_, _| {});
                let kind = KINDS.get(span.kind as usize).copied().unwrap_or_default();
                is(&self.span_names, &|| text(span.name))
                    && is(&self.span_kinds, &|| kind.to_owned())
                    && is(&self.services, &|| service(scene.get(Level::Resource)))
            }
            Signal::Logs => {
                let log = LogRecord::scan(record, |_, _| {});
                is(&self.log_bodies, &|| as_text(log.body))
                    && is(&self.log_severity_texts, &|| text(log.severity_text))
                    && self.log_severity_number.is_none_or(|wanted| match log.severity {
                        0 => wanted.match_undefined,
                        severity => severity >= wanted.min,
                    })
            }
            Signal::Metrics => {
                is(&self.metric_names, &|| text(view::messages(scene.get(Level::Metric), 1).last().unwrap_or_default()))
            }
        }
    }

    fn matches_scope(&self, scope: &[u8]) -> bool {
        let text = |number: u32| String::from_utf8_lossy(view::messages(scope, number).last().unwrap_or_default());
        self.libraries.iter().all(|(name, version)| {
            name.matches(&text(1)) && version.as_ref().is_none_or(|version| version.matches(&text(2)))
        })
    }
}

/// As the Collector calls a service without a name.
fn service(resource: &[u8]) -> String {
    let mut pairs = view::messages(resource, 1).map(view::key_value);
    let name = pairs.find(|(key, _)| *key == b"service.name");
    name.map_or_else(|| "<nil-service-name>".to_owned(), |(_, value)| as_text(value))
}

fn all(wanted: &[(String, Wanted)], message: &[u8], attributes: u32) -> bool {
    wanted.iter().all(|(key, wanted)| {
        let mut pairs = view::messages(message, attributes).map(view::key_value);
        pairs.find(|(found, _)| *found == key.as_bytes()).is_some_and(|(_, value)| wanted.matches(value))
    })
}

/// What a processor applies to: what matches the first, and none of the others.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    include: Option<Matcher>,
    exclude: Vec<Matcher>,
}

impl Selection {
    /// From properties that have been checked; the message says what the check has missed.
    pub fn new(include: Option<&Properties>, exclude: Option<&Properties>) -> Result<Self, String> {
        Self::of(include, exclude.map(std::slice::from_ref).unwrap_or_default())
    }

    /// Likewise, with several that each exclude.
    pub fn of(include: Option<&Properties>, exclude: &[Properties]) -> Result<Self, String> {
        Ok(Self {
            include: include.map(Matcher::new).transpose()?,
            exclude: exclude.iter().map(Matcher::new).collect::<Result<_, _>>()?,
        })
    }

    /// Whether there is nothing to ask.
    pub const fn is_everything(&self) -> bool {
        self.include.is_none() && self.exclude.is_empty()
    }

    /// Whether the processor applies to a record, with its attributes in the field `attributes`, in this scene.
    pub fn applies(&self, signal: Signal, scene: &Scene<'_>, record: &[u8], attributes: u32) -> bool {
        let matches = |matcher: &Matcher| matcher.matches(signal, scene, record, attributes);
        self.include.as_ref().is_none_or(matches) && !self.exclude.iter().any(matches)
    }
}
