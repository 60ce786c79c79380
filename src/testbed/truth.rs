//! What is known about a simulated stretch of time, to judge a detector by.

use crate::detect::observation::Nanos;

/// Everything out of the ordinary: what was hostile and what only looked so.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Truth {
    /// In the order they were planned.
    pub attacks: Vec<Attack>,
    /// In order of time.
    pub benign: Vec<Benign>,
}

/// One attack.
#[derive(Clone, Debug, PartialEq)]
pub struct Attack {
    /// Short, stable name.
    pub id: &'static str,
    /// `faas.name` of the compromised function.
    pub function: &'static str,
    /// The first malicious act. Until that has been generated: when the request that leads to it is planned, which is
    /// seconds earlier.
    pub begins: Nanos,
    /// The end of the last malicious act. Until that has been generated: when the last one is planned.
    pub ends: Nanos,
    /// `faas.invocation_id` of each invocation that misbehaves or runs only because of one that did; filled in as they
    /// are generated.
    pub invocations: Vec<String>,
    /// What each act brought the attacker, in order of time.
    pub loot: Vec<(Nanos, Loot)>,
    /// What is done, for people.
    pub description: String,
    /// Names of which a good explanation has one.
    pub signs: Vec<&'static str>,
}

/// What an attacker gained.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Loot {
    /// Rows or objects.
    pub records: u64,
    /// Bytes.
    pub bytes: u64,
    /// Computing time that somebody else pays for.
    pub gb_seconds: f64,
}

impl Loot {
    /// Both.
    #[must_use]
    pub fn with(self, more: Self) -> Self {
        Self {
            records: self.records + more.records,
            bytes: self.bytes + more.bytes,
            gb_seconds: self.gb_seconds + more.gb_seconds,
        }
    }
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
