//! Incidents: the few things a person is told about, out of many verdicts.
//!
//! [`Incidents`] groups verdicts into what one person would handle as one thing, [`text`] says it in words, [`record`]
//! turns it into the alert that leaves the gateway. A pure library: no runtime, no clock; all time is event time.
//!
//! Invariants: a function has at most one open incident at a time; every list has a cap and every loss a counter; the
//! same findings in the same order give the same incidents with the same ids. All numbers of an incident are on the one
//! scale its line is drawn on: evidence is scaled so that its bits add up to the score.

pub mod control;
pub mod desk;
pub mod escalation;
pub mod link;
pub mod promise;
pub mod proposals;
pub mod record;
pub mod text;

mod bounds;
mod cause;
mod grouping;
mod open;
mod priority;
mod saved;
mod techniques;

use std::borrow::Cow;

use bytes::Bytes;

use crate::detect::{
    observation::Nanos,
    verdict::{Evidence, Tier, Verdict},
};
pub use grouping::{Counters, Incidents, Settings};
pub use saved::Damaged;
pub use techniques::Technique;

/// The function a finding is about.
#[derive(Clone, Copy, Debug)]
pub struct FunctionRef<'a> {
    /// Stable hash of provider, account, region and name.
    pub hash: u64,
    /// `faas.name`, or `service.name`.
    pub name: &'a str,
    /// The version that ran; empty when unknown.
    pub version: &'a str,
}

/// A verdict and where it came from.
#[derive(Clone, Copy)]
pub struct Finding<'a> {
    /// Whose invocation.
    pub function: FunctionRef<'a>,
    /// The function's own OTLP `Resource` message, serialised; asked for only where an incident is told about it.
    pub resource: &'a dyn Fn() -> Cow<'a, [u8]>,
    /// What the detector said.
    pub verdict: &'a Verdict,
    /// `faas.invocation_id`, or its stand-in.
    pub invocation_id: &'a str,
    /// Of the invocation; zero where unknown.
    pub trace_id: [u8; 16],
    /// Of the handler; zero where unknown.
    pub span_id: [u8; 8],
    /// Event time of the invocation.
    pub at: Nanos,
}

/// A function drawn into an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Stable hash.
    pub hash: u64,
    /// For people.
    pub name: String,
    /// The version seen last.
    pub version: String,
}

/// Correlated verdicts a person handles as one thing.
#[derive(Clone, Debug)]
pub struct Incident {
    /// `inc-` and ten hexadecimal digits; stable over updates and restarts.
    pub id: String,
    /// The highest tier of its verdicts.
    pub tier: Tier,
    /// 0 to 100, see [`Incidents`].
    pub priority: u8,
    /// Standardised bits of its strongest verdict: comparable over functions and with `line`.
    pub score: f64,
    /// The page line when that verdict was given, on the same scale.
    pub line: f64,
    /// Event time of its first invocation.
    pub first_seen: Nanos,
    /// Event time of its latest invocation of tier queue or page.
    pub last_seen: Nanos,
    /// Event time of the strongest evidence.
    pub at: Nanos,
    /// Trace of the strongest evidence; zero where unknown.
    pub trace_id: [u8; 16],
    /// Span of the strongest evidence; zero where unknown.
    pub span_id: [u8; 8],
    /// Functions drawn in, first one first.
    pub functions: Vec<Function>,
    /// Hash of the function the headline is about: the one with the strongest verdict.
    pub lead: u64,
    /// The lead function's own OTLP `Resource` message, serialised.
    pub resource: Bytes,
    /// The first of its invocations.
    pub invocations: Vec<String>,
    /// How many invocations there were.
    pub invocation_count: u64,
    /// Strongest first; bits are shares of the score they were part of.
    pub evidence: Vec<Evidence>,
    /// One sentence, at most 200 characters.
    pub headline: String,
    /// What would have kept it below the line.
    pub counterfactual: String,
    /// ATT&CK techniques it looks like.
    pub techniques: Vec<Technique>,
    /// The incident it became part of, if that is why it ended.
    pub merged_into: Option<String>,
}

impl Incident {
    /// The function the headline is about.
    pub fn lead_function(&self) -> Option<&Function> {
        self.functions.iter().find(|function| function.hash == self.lead).or_else(|| self.functions.first())
    }
}

/// What became of an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It is new.
    Opened,
    /// Something changed that a person would want to know.
    Updated,
    /// Nothing new for a day, or it became part of another.
    Resolved,
}

impl ChangeKind {
    /// `opened`, `updated` or `resolved`.
    pub const fn name(self) -> &'static str {
        match self {
            ChangeKind::Opened => "opened",
            ChangeKind::Updated => "updated",
            ChangeKind::Resolved => "resolved",
        }
    }
}

/// Something a person should be told.
#[derive(Clone, Debug)]
pub struct Change {
    /// What happened.
    pub kind: ChangeKind,
    /// The incident as it is now.
    pub incident: Incident,
}

#[cfg(test)]
mod tests;
