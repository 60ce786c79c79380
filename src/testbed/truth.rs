//! What is known about a simulated stretch of time, to judge a detector by.

use crate::detect::observation::Nanos;

/// Everything out of the ordinary: what was hostile and what only looked so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Truth {
    /// In order of time.
    pub attacks: Vec<Attack>,
    /// In order of time.
    pub benign: Vec<Benign>,
}

/// One attack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attack {
    /// Short, stable name.
    pub id: &'static str,
    /// `faas.name` of the compromised function.
    pub function: &'static str,
    /// The first malicious act. Until that has been generated: when the request that leads to it is planned, which is
    /// seconds earlier.
    pub begins: Nanos,
    /// The end of the last malicious invocation. Until that has been generated: when the last request is planned.
    pub ends: Nanos,
    /// `faas.invocation_id` of each invocation that misbehaves or runs only because of one that did; filled in as they
    /// are generated.
    pub invocations: Vec<String>,
    /// What is done, for people.
    pub description: &'static str,
    /// Names of which a good explanation has one.
    pub signs: &'static [&'static str],
}

/// A change or disturbance that should not page anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Benign {
    /// Short, stable name.
    pub id: &'static str,
    /// When it begins.
    pub from: Nanos,
    /// When it ends; for a deploy, when it may be called settled.
    pub to: Nanos,
}
