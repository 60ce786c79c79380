//! `playbooks` of the escalation exporter: when, what, in which order.

use std::{collections::BTreeMap, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::{
    alert::{Alert, Tier},
    webhook,
};
use crate::{
    config::{Check, Report, Secret},
    incidents::escalation::commands::{Strong, word},
    pipeline::queue,
};

/// What to do about some incidents.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Playbook {
    /// Its name in the audit log and in what is sent.
    pub name: String,
    /// Which incidents.
    pub when: When,
    /// What to do about them, in order.
    pub stages: Vec<Stage>,
}

/// Which incidents a playbook is for: all of these hold.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct When {
    /// Of this tier or a higher one.
    pub tier: Tier,
    /// Of at least this priority, 0 to 100.
    pub minimum_priority: u64,
    /// With any of these ATT&CK techniques, such as T1552; sub-techniques count. None: whatever they show.
    pub techniques: Vec<String>,
    /// Of any of these functions; `*` stands for anything. None: of all.
    pub functions: Vec<String>,
    /// Only when the function has had so many incidents.
    pub repetition: Option<Repetition>,
    /// Only when nobody has given a verdict for so long; 0: at once.
    #[serde(with = "crate::config::DurationText")]
    pub silence: Duration,
}

/// How often.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Repetition {
    /// Incidents, this one among them.
    pub times: usize,
    /// In this time.
    #[serde(with = "crate::config::DurationText")]
    pub within: Duration,
}

/// One step.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Stage {
    /// How far it goes.
    #[serde(rename = "stage")]
    pub kind: Kind,
    /// How long after the playbook began.
    #[serde(with = "crate::config::DurationText")]
    pub after: Duration,
    /// What is done, side by side.
    pub actions: Vec<Action>,
}

/// How far a stage goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Only the audit log hears of it.
    Observe,
    /// People and programs are told.
    #[default]
    Notify,
    /// Somebody is asked for a verdict.
    Ask,
    /// Strong actions are proposed.
    Act,
}

impl Kind {
    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Notify => "notify",
            Self::Ask => "ask",
            Self::Act => "act",
        }
    }
}

/// One thing to do: exactly one of the keys.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Action {
    /// Posts the alert, with the keys of the `webhook` exporter.
    pub webhook: Option<Box<webhook::Config>>,
    /// Runs a program.
    pub exec: Option<Exec>,
    /// Proposes to stop the function.
    pub quarantine: Option<Quarantine>,
    /// Proposes to go back to an earlier version.
    pub rollback: Option<Rollback>,
    /// Proposes to make credentials worthless.
    pub revoke: Option<Revoke>,
}

/// A program, run without a shell.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Exec {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// After which it is ended.
    #[serde(with = "crate::config::DurationText")]
    pub timeout: Duration,
    /// Variables it is given beside those of the incident.
    pub environment: BTreeMap<String, Secret>,
}

/// Stops the function: no concurrency is left to it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Quarantine {
    /// Of the command, once it is approved.
    #[serde(with = "crate::config::DurationText")]
    pub timeout: Duration,
}

/// Goes back to an earlier version.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rollback {
    /// The alias callers use, on AWS.
    pub alias: String,
    /// Which version or revision; empty: the number before that of the alert.
    pub version: String,
    /// Of the command, once it is approved.
    #[serde(with = "crate::config::DurationText")]
    pub timeout: Duration,
}

/// Makes credentials worthless.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Revoke {
    /// The role, or the service account; `{function}` stands for the function's name.
    pub role: String,
    /// Of the command, once it is approved.
    #[serde(with = "crate::config::DurationText")]
    pub timeout: Duration,
}

const MINUTE: Duration = Duration::from_mins(1);

impl Default for When {
    fn default() -> Self {
        Self {
            tier: Tier::Queue,
            minimum_priority: 0,
            techniques: Vec::new(),
            functions: Vec::new(),
            repetition: None,
            silence: Duration::ZERO,
        }
    }
}

impl Default for Repetition {
    fn default() -> Self {
        Self { times: 2, within: Duration::from_hours(24) }
    }
}

impl Default for Exec {
    fn default() -> Self {
        Self { command: Vec::new(), timeout: Duration::from_secs(30), environment: BTreeMap::new() }
    }
}

impl Default for Quarantine {
    fn default() -> Self {
        Self { timeout: MINUTE }
    }
}

impl Default for Rollback {
    fn default() -> Self {
        Self { alias: "live".to_owned(), version: String::new(), timeout: MINUTE }
    }
}

impl Default for Revoke {
    fn default() -> Self {
        Self { role: String::new(), timeout: MINUTE }
    }
}

/// What an action comes down to.
pub enum Deed<'a> {
    /// Posting.
    Webhook(&'a webhook::Config),
    /// Running.
    Exec(&'a Exec),
    /// Proposing, with the time the command may take.
    Propose(Strong, Duration),
}

impl Action {
    /// What it comes down to; `None` unless exactly one key is there.
    pub fn deed(&self) -> Option<Deed<'_>> {
        let Self { webhook, exec, quarantine, rollback, revoke } = self;
        let deeds = [
            webhook.as_deref().map(Deed::Webhook),
            exec.as_ref().map(Deed::Exec),
            quarantine.as_ref().map(|one| Deed::Propose(Strong::Quarantine, one.timeout)),
            rollback.as_ref().map(|one| {
                let (alias, version) = (one.alias.clone(), one.version.clone());
                Deed::Propose(Strong::Rollback { alias, version }, one.timeout)
            }),
            revoke.as_ref().map(|one| Deed::Propose(Strong::Revoke { role: one.role.clone() }, one.timeout)),
        ];
        let mut there = deeds.into_iter().flatten();
        there.next().filter(|_| there.next().is_none())
    }

    /// `webhook`, `exec`, `quarantine`, `rollback` or `revoke`.
    pub fn name(&self) -> &'static str {
        match self.deed() {
            Some(Deed::Webhook(_)) => "webhook",
            Some(Deed::Exec(_)) => "exec",
            Some(Deed::Propose(strong, _)) => strong.name(),
            None => "nothing",
        }
    }
}

impl When {
    /// Whether an incident is one of these, apart from how often and how long.
    pub fn fits(&self, alert: &Alert) -> bool {
        let shows = |wanted: &String| {
            let ids = alert.techniques.iter().filter_map(|technique| technique.split_whitespace().next());
            ids.into_iter()
                .any(|id| id == wanted || id.strip_prefix(wanted.as_str()).is_some_and(|s| s.starts_with('.')))
        };
        alert.tier >= self.tier
            && alert.priority >= self.minimum_priority
            && (self.techniques.is_empty() || self.techniques.iter().any(shows))
            && (self.functions.is_empty() || self.functions.iter().any(|pattern| matches(pattern, &alert.function)))
    }
}

/// Whether `pattern`, in which `*` stands for any text, is `text`.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut left) = text.strip_prefix(first) else { return false };
    let parts: Vec<&str> = rest.split('*').collect();
    let Some((last, middle)) = parts.split_last() else { return true };
    for part in middle {
        let Some((_, behind)) = left.split_once(part) else { return false };
        left = behind;
    }
    left.ends_with(last)
}

impl Check for Playbook {
    fn check(&self, report: &mut Report<'_>) {
        if let Err(why) = word(&self.name, "the name", 60, "-_") {
            report.error("name", why).hint("letters, digits, - and _");
        }
        report.within("when", &self.when);
        if self.stages.is_empty() {
            report.error("stages", "there are none");
        }
        for (index, stage) in self.stages.iter().enumerate() {
            report.within(&format!("stages.{index}"), stage);
        }
        for (index, pair) in self.stages.windows(2).enumerate() {
            let [earlier, later] = pair else { continue };
            if later.after < earlier.after {
                report.error(&format!("stages.{}.after", index + 1), "is before the stage above it");
            }
            if later.kind < earlier.kind {
                let message = format!("{} comes before {}", later.kind.name(), earlier.kind.name());
                report.error(&format!("stages.{}.stage", index + 1), message).hint("observe, notify, ask, act");
            }
        }
    }
}

impl Check for When {
    fn check(&self, report: &mut Report<'_>) {
        if self.minimum_priority > 100 {
            report.error("minimum_priority", "must be 0 to 100");
        }
        for (index, technique) in self.techniques.iter().enumerate() {
            let digits = technique.strip_prefix('T').unwrap_or_default();
            if digits.is_empty() || !digits.chars().all(|c| c.is_ascii_digit() || c == '.') {
                report
                    .error(&format!("techniques.{index}"), "is not an ATT&CK technique")
                    .hint("such as T1552 or T1552.005");
            }
        }
        if let Some(repetition) = &self.repetition
            && (repetition.times < 2 || repetition.within.is_zero())
        {
            report.error("repetition", "must be at least two times within some time");
        }
    }
}

impl Check for Stage {
    fn check(&self, report: &mut Report<'_>) {
        match (self.kind, self.actions.is_empty()) {
            (Kind::Observe, false) => {
                report.error("actions", "observing does nothing").hint("make the stage `notify`");
            }
            (Kind::Notify | Kind::Ask | Kind::Act, true) => {
                report.error("actions", "there are none");
            }
            _ => {}
        }
        for (index, action) in self.actions.iter().enumerate() {
            report.within(&format!("actions.{index}"), action);
            if self.kind != Kind::Act && matches!(action.deed(), Some(Deed::Propose(..))) {
                let message = format!("{} is a strong action", action.name());
                report.error(&format!("actions.{index}"), message).hint("only a stage `act` proposes those");
            }
        }
    }
}

impl Check for Action {
    fn check(&self, report: &mut Report<'_>) {
        if self.deed().is_none() {
            report
                .error("", "must be exactly one of webhook, exec, quarantine, rollback, revoke")
                .hint("`quarantine: {}` takes its defaults");
        }
        if let Some(webhook) = &self.webhook {
            report.within("webhook", webhook.as_ref());
            if report.is_set("webhook.sending_queue") {
                report.error("webhook.sending_queue", "does nothing here: `storage` keeps what is to be done");
            }
            if webhook.auth.is_some() {
                report.error("webhook.auth", "is not to be had here").hint("use `headers`");
            }
        }
        if let Some(exec) = &self.exec {
            if exec.command.first().is_none_or(String::is_empty) {
                report.error("exec.command", "is missing").hint("a list: the program and its arguments");
            }
            timeout("exec.timeout", exec.timeout, report);
            for name in exec.environment.keys() {
                if name.is_empty() || name.contains(['=', '\0']) {
                    report.error(&format!("exec::environment::{name}"), "is not the name of a variable");
                }
            }
        }
        if let Some(quarantine) = &self.quarantine {
            timeout("quarantine.timeout", quarantine.timeout, report);
        }
        if let Some(rollback) = &self.rollback {
            for (key, text) in [("alias", &rollback.alias), ("version", &rollback.version)] {
                if !(text.is_empty() && key == "version") && word(text, key, 128, "-_").is_err() {
                    report.error(&format!("rollback.{key}"), "is not a name");
                }
            }
            timeout("rollback.timeout", rollback.timeout, report);
        }
        if let Some(revoke) = &self.revoke {
            if word(&revoke.role.replace("{function}", "f"), "role", 120, "+=,.@_-").is_err() {
                report.error("revoke.role", "is not the name of a role").hint("such as {function}-execution-role");
            }
            timeout("revoke.timeout", revoke.timeout, report);
        }
    }
}

fn timeout(key: &str, timeout: Duration, report: &mut Report<'_>) {
    if timeout.is_zero() {
        report.error(key, "must be more than 0");
    }
}

/// The webhook as it is used here: what it is to do is kept elsewhere.
pub fn unqueued(webhook: &webhook::Config) -> webhook::Config {
    let sending_queue = queue::Config { enabled: false, ..queue::Config::default() };
    webhook::Config { sending_queue, ..webhook.clone() }
}
