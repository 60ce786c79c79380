//! Adds what the gateway's own surroundings say about it to every resource: for a gateway that runs beside what it
//! watches, on its host or in its Lambda function.
//!
//! ```yaml
//! resource_detection:
//!   detectors: [env, system, lambda]       # where two say the same, the first counts
//!   override: true                         # false: what a sender has said stays
//!   timeout: 5s                            # to find out, at the start
//!   system:
//!     resource_attributes: { host.name: { enabled: true }, os.type: { enabled: true }, host.arch: {}, host.id: {} }
//!   lambda:
//!     resource_attributes: { faas.max_memory: { enabled: false } }
//! ```
//!
//! `env` reads `OTEL_RESOURCE_ATTRIBUTES` (`key=value,key=value`, values percent-encoded); `system` the host; `lambda` the
//! variables that Lambda sets, and says nothing elsewhere. A detector that fails, or takes longer, stops the start.

mod detect;

use std::{
    collections::BTreeMap,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use serde::Deserialize;

use self::detect::{Attributes, Surroundings};
use crate::{
    config::{Check, Report, duration, nearest},
    otlp::{
        Signal,
        edit::{Edit, Patch, PatchValue, edit},
        view::ResourceGroup,
    },
    pipeline::{
        Batch, Boxed, Consumer, Next, Outcome,
        component::{Context, ProcessorConfig, StartError},
    },
};

/// The configuration; the keys are the Collector's.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Who is asked, in this order.
    pub detectors: Vec<Detector>,
    /// Whether what is found replaces what a sender has said.
    #[serde(rename = "override")]
    pub replaces: bool,
    /// How long all of them may take.
    #[serde(deserialize_with = "duration::deserialize")]
    pub timeout: Duration,
    /// What the host is asked.
    pub system: Chosen,
    /// What Lambda is asked.
    pub lambda: Chosen,
}

/// Who is asked.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Detector {
    /// `OTEL_RESOURCE_ATTRIBUTES`.
    Env,
    /// The host.
    System,
    /// Lambda's variables.
    Lambda,
}

/// Which attributes a detector adds.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Chosen {
    /// By name, those that are not as they are by default.
    pub resource_attributes: BTreeMap<String, Enabled>,
}

/// Whether an attribute is added.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Enabled {
    /// Whether it is.
    pub enabled: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            detectors: vec![Detector::Env],
            replaces: true,
            timeout: Duration::from_secs(5),
            system: Chosen::default(),
            lambda: Chosen::default(),
        }
    }
}

impl Chosen {
    fn check(&self, path: &str, known: &[(&str, bool)], report: &mut Report<'_>) {
        for name in self.resource_attributes.keys() {
            if known.iter().any(|(known, _)| known == name) {
                continue;
            }
            let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            let hint = nearest(name, names.iter().copied())
                .map_or_else(|| format!("there are {}", names.join(", ")), |near| format!("did you mean `{near}`?"));
            let path = format!("{path}::resource_attributes::{name}");
            report.error(&path, format!("this detector does not find `{name}`")).hint(hint);
        }
    }

    /// Whether an attribute is added.
    fn has(&self, name: &str, default: bool) -> bool {
        self.resource_attributes.get(name).map_or(default, |chosen| chosen.enabled)
    }
}

impl Check for Config {
    fn check(&self, report: &mut Report<'_>) {
        if self.detectors.is_empty() {
            report.error("detectors", "is empty").hint("env, system or lambda");
        }
        if self.timeout.is_zero() {
            report.error("timeout", "must be more than 0");
        }
        self.system.check("system", detect::SYSTEM, report);
        self.lambda.check("lambda", detect::LAMBDA, report);
    }
}

impl ProcessorConfig for Config {
    fn build(&self, _signal: Signal, next: Next, context: &Context) -> Result<Next, StartError> {
        let found = self.found().map_err(|reason| context.error(reason))?;
        Ok(Arc::new(ResourceDetection { found, replaces: self.replaces, next }))
    }
}

impl Config {
    /// Asks every detector, on a thread that may hang where a file system does.
    fn found(&self) -> Result<Attributes, String> {
        let (config, (answer, answers)) = (self.clone(), mpsc::sync_channel(1));
        let ask = move || {
            // Nobody listens any more once the time is up.
            let _ = answer.send(detect::all(&config, &Surroundings::of_this_process()));
        };
        thread::Builder::new().name("resource_detection".to_owned()).spawn(ask).map_err(|error| error.to_string())?;
        let late = |_| format!("the detectors have not answered within {:?}; raise timeout", self.timeout);
        answers.recv_timeout(self.timeout).map_err(late)?
    }
}

struct ResourceDetection {
    found: Attributes,
    replaces: bool,
    next: Next,
}

impl Consumer for ResourceDetection {
    fn consume(&self, batch: Batch) -> Boxed<'_, Outcome> {
        self.next.consume(edit(&batch, &mut Add(self)))
    }
}

struct Add<'a>(&'a ResourceDetection);

impl Edit for Add<'_> {
    fn resource(&mut self, group: &ResourceGroup<'_>, patch: &mut Patch) {
        for (key, value) in &self.0.found {
            let said = || group.attributes().any(|(said, _)| said == key.as_bytes());
            if self.0.replaces || !said() {
                patch.set(key, PatchValue::Raw(value));
            }
        }
    }
}

#[cfg(test)]
mod tests;
