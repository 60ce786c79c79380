//! What the detector answers: a score in bits, the line, and the evidence that adds up to it.

use super::observation::{Key, Nanos, Quantity, Source};

/// How much a person should care. Ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tier {
    /// Stored and annotated, never notified.
    Evidence,
    /// Looked at in working hours: ten times the budget.
    Queue,
    /// Wakes somebody: the budget.
    Page,
}

impl Tier {
    /// `page`, `queue` or `evidence`.
    pub const fn name(self) -> &'static str {
        match self {
            Tier::Page => "page",
            Tier::Queue => "queue",
            Tier::Evidence => "evidence",
        }
    }
}

/// The named feature a piece of evidence comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Feature {
    /// A key never or rarely seen (detection.md A1–A10); the key's family says which.
    Novelty,
    /// An unusual order of operations (B1).
    Order,
    /// An unusual set of steps as a whole (B3).
    Shape,
    /// An operation that is nearly always there is absent (B4).
    Missing,
    /// An operation repeated unusually often (B5).
    Repeats,
    /// An unusual duration, size or count (C).
    Magnitude(Quantity),
}

/// One feature's surprise.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// Which feature.
    pub feature: Feature,
    /// The key it is about, owned: family, risk, hash and name.
    pub key: Option<OwnedKey>,
    /// Surprise in bits.
    pub bits: f64,
    /// What was seen, in words: `dynamodb.Scan`, `37 times`, `9.8 s`.
    pub observed: String,
    /// What is usual, in words: `never in 12,040 invocations`, `at most 3 times`.
    pub usual: String,
    /// Past invocations of this function that had it.
    pub seen_in: u64,
    /// Past invocations of this function that could have had it.
    pub out_of: u64,
    /// Other functions of the fleet known to have it, and the fleet's size.
    pub fleet: (u32, u32),
    /// What was seen as a number: of repeats, and of magnitudes in the quantity's unit; zero for all others.
    pub amount: u64,
    /// The span or log record that shows it.
    pub source: Source,
}

/// A [`Key`] that owns its name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OwnedKey {
    /// Its kind.
    pub family: super::observation::Family,
    /// What it could do in the wrong hands.
    pub risk: super::observation::Risk,
    /// Stable hash.
    pub hash: u64,
    /// Ids templated away.
    pub name: String,
}

impl From<Key<'_>> for OwnedKey {
    fn from(key: Key<'_>) -> Self {
        Self { family: key.family, risk: key.risk, hash: key.hash, name: key.name.to_owned() }
    }
}

/// The detector's answer for one observation.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Sum of the evidence, bits.
    pub score: f64,
    /// `score` standardised within its stratum, bits: comparable over functions, and what the line is drawn on.
    pub standardised: f64,
    /// The page line in standardised bits at this moment.
    pub line: f64,
    /// `None` for the ordinary invocation: nothing to say.
    pub tier: Option<Tier>,
    /// Strongest first; empty when `tier` is `None`.
    pub evidence: Vec<Evidence>,
    /// Past invocations of the function the models stand on.
    pub sample_size: u64,
    /// Event time of the strongest evidence.
    pub at: Nanos,
}

impl Verdict {
    /// Whether the invocation is worth an `anomaly.is_anomaly = true`.
    pub const fn is_anomaly(&self) -> bool {
        matches!(self.tier, Some(Tier::Queue | Tier::Page))
    }
}

/// What can be promised about false pages at this moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Promise {
    /// The budget, false pages a day for the whole fleet.
    pub budget_per_day: f64,
    /// Fleet-days the line stands on.
    pub days: u32,
    /// State and, while learning, the bound that does hold.
    pub state: PromiseState,
    /// Pages raised in the trailing window and that window's days: the realised rate is always shown beside the promise.
    pub realised: (u32, u32),
}

/// The three states of the promise.
#[derive(Clone, Debug, PartialEq)]
pub enum PromiseState {
    /// Too few days for the budget: the expected false pages a day are only bounded by this.
    Learning {
        /// Expected false pages a day, at most.
        bound_per_day: f64,
    },
    /// The budget holds, provided tomorrow behaves like the days before.
    Active,
    /// A regime change broke the premise; alerts go on under a cap.
    Suspended {
        /// Since when, event time.
        since: Nanos,
    },
}
