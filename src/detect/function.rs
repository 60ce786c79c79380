//! The model of one function.

use super::{
    DAY,
    calibration::{self, Age, KINDS, Kind, Unit},
    drift::Drift,
    instances::Instances,
    keys::Keys,
    magnitude::Magnitudes,
    observation::{Channel, Family, Nanos, Risk},
    order::Order,
    rhythm::Rhythm,
    windows::Windows,
};

/// Versions remembered a function.
const MOST_EPOCHS: usize = 8;
/// A deploy is young for a day.
const YOUNG: Nanos = DAY;
/// A function is being met for so long.
const LEARNING: Nanos = 7 * DAY;
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
    /// Highest score, and its stratum, by kind of unit.
    pub highest: [f32; KINDS],
    pub strata: [u8; KINDS],
    pub paged: bool,
}

/// A change by somebody unusual, which makes what is new afterwards graver.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Suspect {
    /// The change's key.
    pub key: u64,
    pub bits: f32,
    pub at: Nanos,
}

/// Everything known of one function.
#[derive(Clone, Debug, Default)]
pub struct Function {
    pub peers: u64,
    /// Invocations, all versions.
    pub n: u32,
    /// Those that succeeded.
    pub n_succeeded: u32,
    /// Observations of what did not come as spans, by channel.
    pub heard: [u32; Channel::COUNT],
    /// Newest last.
    pub epochs: Vec<Epoch>,
    pub keys: Keys,
    pub order: Order,
    pub magnitudes: Magnitudes,
    pub windows: Windows,
    pub drift: Drift,
    pub instances: Instances,
    pub rhythm: Rhythm,
    pub suspect: Suspect,
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
        self.drift.deployed = true;
        epoch
    }

    /// The epoch of what came through `channel`. Who records from outside does not say which version ran.
    pub fn epoch_of(&mut self, channel: Channel, version: u64, now: Nanos) -> Epoch {
        match (channel, self.epochs.last()) {
            (Channel::Spans | Channel::Logs, _) | (_, None) => self.epoch(version, now),
            (_, Some(newest)) => *newest,
        }
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

    /// The same for a key of `family` heard through `channel`: what one channel alone tells of stands on what was heard
    /// there, and what any channel may tell of on no more than that.
    pub fn standing_behind(&self, epoch: &Epoch, family: Family, channel: Channel, risk: Risk, now: Nanos) -> f64 {
        let heard = |channel: Channel| f64::from(self.heard_of(channel));
        match (family.channel(), channel) {
            (Some(only), _) => heard(only),
            (None, Channel::Spans | Channel::Logs) => self.standing_n(epoch, risk, now),
            (None, channel) if self.n == 0 => heard(channel),
            (None, channel) => self.standing_n(epoch, risk, now).min(heard(channel)),
        }
    }

    /// Observations through `channel`; whole invocations, of spans.
    pub fn heard_of(&self, channel: Channel) -> u32 {
        match channel {
            Channel::Spans => self.n,
            other => self.heard.get(other as usize).copied().unwrap_or(0),
        }
    }

    /// Observations that could have had a key of `family`, of whichever channel told of it.
    pub fn could_have(&self, family: Family, channel: Channel) -> u32 {
        match family.channel() {
            Some(only) => self.heard_of(only),
            None if self.n == 0 => self.heard_of(channel),
            None => self.n,
        }
    }

    /// Invocations it is known from, by spans or by those who record from outside.
    pub fn known_from(&self) -> u32 {
        self.n.max(self.heard_of(Channel::Platform)).max(self.heard_of(Channel::Provider))
    }

    /// Whether the epoch is a fresh deploy of a function that was known before.
    #[expect(clippy::unused_self, reason = "reads as a property of the function")]
    pub fn is_young(&self, epoch: &Epoch, now: Nanos) -> bool {
        epoch.number > 0 && now < epoch.began.saturating_add(YOUNG)
    }

    /// Goes on to `day`; what the last one came to, if it counts. A day on which the function ran is one, and so is one
    /// on which something else about it was unusual at all.
    pub fn turn_to(&mut self, day: u32) -> impl Iterator<Item = Unit> + use<> {
        let ended = if self.today.day == day { Today::default() } else { self.today };
        if self.today.day != day {
            self.today = Today { day, ..Today::default() };
            self.yesterday = ended.invocations;
        }
        let units = Kind::ALL.into_iter().zip(ended.strata.into_iter().zip(ended.highest));
        units.filter_map(move |(kind, (stratum, score))| {
            let counts = score > 0.0 || kind == Kind::Invocation && ended.invocations > 0;
            counts.then_some(Unit { stratum, score })
        })
    }

    /// When the function was first met.
    pub fn known_since(&self, now: Nanos) -> Nanos {
        self.epochs.first().map_or(now, |first| first.began)
    }

    /// The stratum of a unit at this moment.
    pub fn stratum(&self, kind: Kind, channel: Channel, epoch: &Epoch, now: Nanos) -> u8 {
        let first_seen = self.known_since(now);
        let age = if now < first_seen.saturating_add(LEARNING) {
            Age::Learning
        } else if channel != Channel::Control && self.is_young(epoch, now) {
            // A deploy excuses what the function does, not who changes it.
            Age::FreshDeploy
        } else {
            Age::Settled
        };
        calibration::stratum(kind, self.today.invocations.max(self.yesterday), age)
    }
}
