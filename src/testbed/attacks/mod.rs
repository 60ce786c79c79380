//! How an attack is described: what a compromised function does, what happens outside of any function, and what
//! becomes of the telemetry. [`demo`] has the ten of the demo, [`catalogue`] every behaviour there is.
//!
//! An attacker's request travels as anybody's does (same triggers, same path, same upstream), so that nothing but the
//! act itself tells it from the requests around it.

pub mod catalogue;
pub mod demo;

mod adaptive;
mod credentials;
mod evasion;
mod exfiltration;
mod impact;
mod persistence;

use super::{
    application::Op,
    invocation::{Failure, Severity, Size},
};
use crate::detect::observation::Nanos;

/// One thing an attacker has a function do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Act {
    /// Makes a call so many times.
    Call {
        /// What is called.
        op: Op,
        /// How often.
        times: u32,
        /// How long one takes, about.
        ms: f64,
        /// What it weighs, where that is not the usual.
        size: Option<Size>,
    },
    /// Makes a call its role does not allow.
    Refused {
        /// What is called.
        op: Op,
        /// How often.
        times: u32,
    },
    /// Makes a call that really sets a function in motion.
    Start {
        /// What is called.
        op: Op,
        /// Who runs.
        function: &'static str,
    },
    /// Spends time without any call that is instrumented.
    Compute {
        /// About how long.
        ms: f64,
    },
    /// Goes on after the answer was given.
    Linger {
        /// About how long.
        ms: f64,
    },
    /// Needs memory.
    Memory {
        /// How much more.
        mb: u64,
    },
    /// Answers more.
    Answer {
        /// How much more.
        bytes: u64,
    },
    /// Logs.
    Log {
        /// How grave it says it is.
        severity: Severity,
        /// What comes before something random.
        text: &'static str,
        /// How often.
        times: u32,
    },
    /// Ends in a failure.
    Fail {
        /// Which.
        failure: Failure,
    },
}

/// Where in the handler an attacker's work is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// When the function has done its own.
    #[default]
    After,
    /// First.
    Before,
    /// Instead of the function's own.
    Instead,
}

/// What becomes of the telemetry of the function itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Blind {
    /// Nothing: everything is reported.
    #[default]
    Sees,
    /// The attacker's calls are made past the instrumentation.
    HidesCalls,
    /// No span and no log line of a malicious invocation is sent.
    Silent,
    /// From the attack's beginning on, the function sends no span and no log line at all.
    SilentFromThenOn,
    /// The attacker's calls are left out, and spans are made up for what the function would have done.
    Forged,
}

impl Blind {
    /// Whether spans of malicious calls are missing.
    pub const fn hides_calls(self) -> bool {
        matches!(self, Self::HidesCalls | Self::Forged)
    }
}

/// Something the account's audit log records although no function of ours did it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outside {
    /// What is called.
    pub op: Op,
    /// As whom.
    pub who: Who,
    /// How often, and how far apart.
    pub times: u32,
    /// Between one and the next.
    pub every: Nanos,
    /// How long after the attack begins.
    pub after: Nanos,
    /// Whether it is refused.
    pub denied: bool,
    /// What it weighs.
    pub size: Size,
}

/// As whom and from where something is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// With the function's credentials, from somebody's own machine, with the command line.
    Stolen,
    /// With the function's credentials, from a function in another account.
    StolenInCloud,
    /// With a person's key that never deployed anything.
    Person,
    /// Without anybody's: a signed or public address.
    Anonymous,
}

/// One attack as it will be carried out.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// Short, stable name.
    pub id: &'static str,
    /// What is done, for people.
    pub description: String,
    /// Names of which a good explanation has one.
    pub signs: Vec<&'static str>,
    /// The function the attacker holds.
    pub function: &'static str,
    /// Where the attacker's requests arrive.
    pub entry: &'static str,
    /// How many requests there are.
    pub requests: u64,
    /// How long it takes from first to last.
    pub over: Nanos,
    /// This share of the function's ordinary invocations does it, too.
    pub infects: f64,
    /// Only one instance does.
    pub one_instance: bool,
    /// When the work is done.
    pub place: Place,
    /// What is done.
    pub acts: Vec<Act>,
    /// A call of the function's own that is not made.
    pub omit: Option<Op>,
    /// Whether what seldom fails must fail on the way, for the request to reach its function.
    pub unlucky: Option<bool>,
    /// How many times over what it invokes does the same again.
    pub depth: u8,
    /// A function that runs only because of this.
    pub causes: Option<&'static str>,
    /// What the function's telemetry says.
    pub blind: Blind,
    /// What happens elsewhere.
    pub outside: Vec<Outside>,
    /// Requests at the entry, as a multiple of the usual.
    pub flood: f64,
    /// A new version runs from the beginning on.
    pub replaced: bool,
    /// How much longer instances take to start.
    pub slower_start_ms: f64,
    /// How many times as much is done at the end as at the beginning.
    pub ramp: f64,
    /// An attack on something else, to draw attention away, half an hour earlier.
    pub decoy: Option<Box<Campaign>>,
}

impl Campaign {
    /// One request that does nothing yet.
    pub fn new(id: &'static str, function: &'static str, entry: &'static str) -> Self {
        Self {
            id,
            description: String::new(),
            signs: Vec::new(),
            function,
            entry,
            requests: 1,
            over: 0,
            infects: 0.0,
            one_instance: false,
            place: Place::default(),
            acts: Vec::new(),
            omit: None,
            unlucky: None,
            depth: 0,
            causes: None,
            blind: Blind::default(),
            outside: Vec::new(),
            flood: 1.0,
            replaced: false,
            slower_start_ms: 0.0,
            ramp: 1.0,
            decoy: None,
        }
    }

    /// How many times as much is done when this far along (0 to 1).
    pub fn growth(&self, progress: f64) -> f64 {
        self.ramp.powf(progress.clamp(0.0, 1.0))
    }

    /// How often something is done that is done so often at first.
    pub fn ramped(&self, times: f64, progress: f64) -> u32 {
        (times * self.growth(progress)).round() as u32
    }

    /// What weighs so much at first.
    pub fn grown(&self, size: Size, progress: f64) -> Size {
        let grown = |amount: u64| (amount as f64 * self.growth(progress)) as u64;
        Size { rows: grown(size.rows), received: grown(size.received), sent: grown(size.sent) }
    }
}
