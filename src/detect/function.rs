//! The model of one function.

use super::{
    DAY,
    calibration::{self, Age, Unit},
    keys::Keys,
    magnitude::Magnitudes,
    observation::{Family, Nanos, Risk},
    order::Order,
};

/// Versions remembered a function.
const MOST_EPOCHS: usize = 8;
/// A deploy is young for a day.
const YOUNG: Nanos = DAY;
/// A function is being met for so long.
const LEARNING: Nanos = 3 * DAY;
/// What the time before a deploy counts for graver keys while the deploy is young, and for all keys after that.
const GRAVE_SHARE: f64 = 0.25;
const SETTLED_SHARE: f64 = 0.5;
/// The list of mandatory keys is made anew after so many invocations.
const MANDATORY_EVERY: u32 = 128;
/// And is not used before the version has had so many.
pub const MANDATORY_FROM: u32 = 300;

/// One version of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch {
    pub version: u64,
    pub number: u32,
    pub began: Nanos,
    /// Invocations.
    pub n: u32,
}

/// A function on its current day.
#[derive(Clone, Copy, Debug, Default)]
pub struct Today {
    pub day: u32,
    pub invocations: u32,
    /// Highest score.
    pub highest: f32,
    pub stratum: u8,
    pub paged: bool,
}

/// Everything known of one function.
#[derive(Clone, Debug, Default)]
pub struct Function {
    pub peers: u64,
    /// Invocations, all versions.
    pub n: u32,
    /// Those that succeeded.
    pub n_succeeded: u32,
    /// Log records' invocations.
    pub n_logs: u32,
    /// Newest last.
    pub epochs: Vec<Epoch>,
    pub keys: Keys,
    pub order: Order,
    pub magnitudes: Magnitudes,
    /// Keys that successful invocations nearly always have.
    pub mandatory: Vec<u64>,
    pub today: Today,
    /// Invocations of the day before.
    pub yesterday: u32,
    pub last_seen: Nanos,
    pub dirty: bool,
}

impl Function {
    /// The epoch of `version`, opened if it is new.
    pub fn epoch(&mut self, version: u64, now: Nanos) -> Epoch {
        if let Some(known) = self.epochs.iter().find(|epoch| epoch.version == version) {
            return *known;
        }
        if self.epochs.len() >= MOST_EPOCHS {
            // The first one stays: its number tells that there was something before.
            self.epochs.remove(1);
        }
        let number = self.epochs.last().map_or(0, |newest| newest.number + 1);
        let epoch = Epoch { version, number, began: now, n: 0 };
        self.epochs.push(epoch);
        epoch
    }

    /// Counts an invocation of an epoch.
    pub fn count(&mut self, epoch: &Epoch, succeeded: bool) {
        self.n = self.n.saturating_add(1);
        self.n_succeeded = self.n_succeeded.saturating_add(u32::from(succeeded));
        if let Some(known) = self.epochs.iter_mut().find(|known| known.version == epoch.version) {
            known.n = known.n.saturating_add(1);
        }
        if self.n.is_multiple_of(MANDATORY_EVERY) {
            self.mandatory = self.keys.mandatory(self.n_succeeded, epoch.number);
        }
    }

    /// Invocations that stand behind a surprise: a young deploy has only its own, but for what is grave.
    pub fn standing_n(&self, epoch: &Epoch, risk: Risk, now: Nanos) -> f64 {
        let (own, all) = (f64::from(epoch.n), f64::from(self.n));
        let before = (all - own).max(0.0);
        let share = match (epoch.number, self.is_young(epoch, now)) {
            (0, _) => 1.0,
            (_, true) if risk >= Risk::Egress => GRAVE_SHARE,
            (_, true) => 0.0,
            (_, false) => SETTLED_SHARE,
        };
        own + share * before
    }

    /// The same for a key of `family`: log templates stand on the invocations that logged.
    pub fn standing_behind(&self, epoch: &Epoch, family: Family, risk: Risk, now: Nanos) -> f64 {
        if family == Family::LogTemplate { f64::from(self.n_logs) } else { self.standing_n(epoch, risk, now) }
    }

    /// Whether the epoch is a fresh deploy of a function that was known before.
    #[expect(clippy::unused_self, reason = "reads as a property of the function")]
    pub fn is_young(&self, epoch: &Epoch, now: Nanos) -> bool {
        epoch.number > 0 && now < epoch.began.saturating_add(YOUNG)
    }

    /// Goes on to `day`; what the last one came to, if it counts.
    pub fn turn_to(&mut self, day: u32) -> Option<Unit> {
        if self.today.day == day {
            return None;
        }
        let ended = self.today;
        self.today = Today { day, ..Today::default() };
        self.yesterday = ended.invocations;
        (ended.invocations > 0).then_some(Unit { stratum: ended.stratum, score: ended.highest })
    }

    /// The stratum at this moment.
    pub fn stratum(&self, epoch: &Epoch, now: Nanos) -> u8 {
        let first_seen = self.epochs.first().map_or(now, |first| first.began);
        let age = if now < first_seen.saturating_add(LEARNING) {
            Age::Learning
        } else if self.is_young(epoch, now) {
            Age::FreshDeploy
        } else {
            Age::Settled
        };
        calibration::stratum(self.today.invocations.max(self.yesterday), age)
    }
}
