//! `include` and `exclude` of metrics and logs, whose keys are not those of spans.

use serde::Deserialize;

use crate::{
    config::{Check, Report},
    processors::selection::{Attribute, MatchType, Properties, Selection, SeverityNumber},
};

/// What metrics must be like.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetricChoice {
    /// Whether values are whole texts or regular expressions; required.
    pub match_type: Option<MatchType>,
    /// Names, one of which must match.
    pub metric_names: Vec<String>,
    /// Attributes of the resource, all of which must match.
    pub resource_attributes: Vec<Attribute>,
}

/// What log records must be like.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogChoice {
    /// Whether values are whole texts or regular expressions; required.
    pub match_type: Option<MatchType>,
    /// Attributes of the resource, all of which must match.
    pub resource_attributes: Vec<Attribute>,
    /// Attributes of the record, all of which must match.
    pub record_attributes: Vec<Attribute>,
    /// Severities as text, one of which must match.
    pub severity_texts: Vec<String>,
    /// The least severity.
    pub severity_number: Option<NamedSeverity>,
    /// Bodies, one of which must match.
    pub bodies: Vec<String>,
}

/// A least severity, by name or number.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NamedSeverity {
    /// `INFO`, `warn2`, `9`.
    pub min: String,
    /// Whether records without a severity match.
    pub match_undefined: bool,
}

impl NamedSeverity {
    fn number(&self) -> Option<u32> {
        if self.min.is_empty() {
            return Some(0);
        }
        let name = self.min.to_ascii_uppercase();
        if let Ok(number) = name.parse::<u32>() {
            return (1..=24).contains(&number).then_some(number);
        }
        let (grade, step) = match name.strip_suffix(['2', '3', '4']) {
            Some(grade) => (grade, name.bytes().last().map_or(0, |digit| u32::from(digit - b'1'))),
            None => (name.as_str(), 0),
        };
        let grades = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
        grades.iter().zip(0..).find(|(known, _)| **known == grade).map(|(_, index)| 4 * index + 1 + step)
    }
}

/// Something that says what must match in keys of its own.
pub trait Chooses: Check {
    /// The same in the keys of spans.
    fn properties(&self) -> Properties;

    /// What is dropped if any of these matches: with several kinds of property, each drops by itself.
    fn apart(&self) -> Vec<Properties> {
        vec![self.properties()]
    }
}

impl Chooses for MetricChoice {
    fn properties(&self) -> Properties {
        Properties {
            match_type: self.match_type,
            metric_names: self.metric_names.clone(),
            resources: self.resource_attributes.clone(),
            ..Properties::default()
        }
    }

    fn apart(&self) -> Vec<Properties> {
        let both = self.properties();
        let names = Properties { resources: Vec::new(), ..both.clone() };
        let resources = Properties { metric_names: Vec::new(), ..both };
        [names, resources]
            .into_iter()
            .filter(|one| !(one.metric_names.is_empty() && one.resources.is_empty()))
            .collect()
    }
}

impl Chooses for LogChoice {
    fn properties(&self) -> Properties {
        Properties {
            match_type: self.match_type,
            log_bodies: self.bodies.clone(),
            log_severity_texts: self.severity_texts.clone(),
            log_severity_number: self.severity_number.as_ref().map(|severity| SeverityNumber {
                min: severity.number().unwrap_or_default(),
                match_undefined: severity.match_undefined,
            }),
            attributes: self.record_attributes.clone(),
            resources: self.resource_attributes.clone(),
            ..Properties::default()
        }
    }
}

impl Check for MetricChoice {
    fn check(&self, report: &mut Report<'_>) {
        self.properties().check_as(&[("resources", "resource_attributes")], report);
    }
}

impl Check for LogChoice {
    fn check(&self, report: &mut Report<'_>) {
        if let Some(severity) = &self.severity_number
            && severity.number().is_none()
        {
            let problem = report.error("severity_number.min", format!("`{}` is no severity", severity.min));
            problem.hint("TRACE, DEBUG, INFO, WARN, ERROR, FATAL, each also with 2, 3 or 4; or 1 to 24");
        }
        let names = [
            ("resources", "resource_attributes"),
            ("attributes", "record_attributes"),
            ("log_severity_texts", "severity_texts"),
            ("log_bodies", "bodies"),
        ];
        self.properties().check_as(&names, report);
    }
}

/// Checks one of the two.
pub fn check(path: &str, choice: Option<&impl Chooses>, report: &mut Report<'_>) {
    if let Some(choice) = choice {
        report.within(path, choice);
    }
}

/// Both, ready to be asked.
pub fn selection<C: Chooses>(include: Option<&C>, exclude: Option<&C>) -> Result<Selection, String> {
    Selection::of(include.map(Chooses::properties).as_ref(), &exclude.map(Chooses::apart).unwrap_or_default())
}
