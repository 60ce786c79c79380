//! What a function touches: how often each key was seen, and how surprising one that was not is.
//!
//! The surprise of a new key is exact, not a heuristic: if `U` of `n` past invocations contained a key that no other
//! had, then under exchangeability an invocation with a new key has `p ≤ (U + 1) / (n + 1)` (Good–Turing missing mass
//! as a full conformal p-value). A function that meets new keys all the time is not surprised by the next.

use super::{
    HashMap, LEARNING_DELAY,
    magnitude::{LOG2_BUCKETS, log2_bucket},
    observation::{Family, Nanos, Risk},
};

/// Kinds of keys.
pub const FAMILIES: usize = Family::ALL.len();
/// Keys remembered a function. Beyond, those seen once are forgotten, which the discovery rate remembers.
const MOST_KEYS: usize = 384;

/// What is known of one key.
#[derive(Clone, Debug)]
pub struct Key {
    pub family: Family,
    pub risk: Risk,
    /// Invocations that had it.
    pub count: u32,
    /// Those that succeeded.
    pub succeeded: u32,
    /// When it was first seen, while it is not learned yet; 0 once it is.
    pub born: Nanos,
    /// Invocations that stood behind its surprise then, and do until it is learned.
    pub born_n: u32,
    /// Not learned before this.
    pub quarantined_until: Nanos,
    /// The epoch it was last seen in.
    pub epoch: u32,
    /// How often it occurred within an invocation, in powers of two.
    pub repeats: [u16; LOG2_BUCKETS],
}

/// Every key of one function.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    pub map: HashMap<Key>,
    /// By family: keys that one invocation alone has had.
    pub unique: [u32; FAMILIES],
    /// Keys forgotten for lack of room.
    pub forgotten: u64,
}

/// How a touched key stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Standing {
    /// Learned.
    Known,
    /// Never seen.
    New,
    /// Seen in so many invocations but not learned; so many stood behind its surprise when it was new.
    Candidate { count: u32, born_n: u32 },
}

impl Keys {
    /// How `hash` stands at `now`.
    pub fn standing(&self, hash: u64, now: Nanos) -> Standing {
        match self.map.get(&hash) {
            None => Standing::New,
            Some(key) if key.is_learned(now) => Standing::Known,
            Some(key) => Standing::Candidate { count: key.count, born_n: key.born_n },
        }
    }

    /// Surprise of a new key of `family`, in bits, when `n` of `all` invocations count.
    pub fn surprise(&self, family: Family, n: f64, all: f64) -> f64 {
        let unique = self.unique.get(family as usize).copied().map_or(0.0, f64::from);
        let unique = (unique * n / all.max(1.0)).min(n);
        ((n + 1.0) / (unique + 1.0)).log2().max(0.0)
    }

    /// Counts an invocation that touched `hash` `repeats` times. Returns whether the key has just become part of what
    /// the function is known to do.
    pub fn learn(&mut self, hash: u64, family: Family, risk: Risk, repeats: u32, at: &When) -> bool {
        if !self.map.contains_key(&hash) && self.map.len() >= MOST_KEYS && !self.make_room(at.now) {
            self.bump_unique(family, 1);
            self.forgotten += 1;
            return false;
        }
        let mut fresh = false;
        let key = self.map.entry(hash).or_insert_with(|| {
            fresh = true;
            Key::new(family, risk, at)
        });
        let was_learned = key.born == 0;
        if !was_learned && key.is_learned(at.now) {
            key.born = 0;
        }
        key.count = key.count.saturating_add(1);
        key.succeeded = key.succeeded.saturating_add(u32::from(at.succeeded));
        key.epoch = at.epoch;
        if let Some(bucket) = key.repeats.get_mut(log2_bucket(repeats)) {
            *bucket = bucket.saturating_add(1);
        }
        let (second, learned) = (key.count == 2, !was_learned && key.born == 0);
        if fresh {
            self.bump_unique(family, 1);
        } else if second {
            self.bump_unique(family, -1);
        }
        learned
    }

    /// What is new since `from` is not learned before `until`, and does not count as the function's usual curiosity.
    pub fn quarantine(&mut self, from: Nanos, until: impl Fn(Risk) -> Nanos) {
        for key in self.map.values_mut().filter(|key| key.born >= from && key.born > 0) {
            if key.quarantined_until == 0 && key.count == 1 {
                let unique = self.unique.get_mut(key.family as usize);
                if let Some(unique) = unique {
                    *unique = unique.saturating_sub(1);
                }
                // From now on it is not the only one of its kind: a second sighting must not subtract again.
                key.count += 1;
            }
            key.quarantined_until = key.quarantined_until.max(until(key.risk));
        }
    }

    /// Learns `hash` at once, if it was seen. Returns whether that is news.
    pub fn accept(&mut self, hash: u64) -> bool {
        let Some(key) = self.map.get_mut(&hash).filter(|key| key.born > 0) else { return false };
        (key.born, key.quarantined_until) = (0, 0);
        true
    }

    /// Keys that nearly all `n` successful invocations had.
    pub fn mandatory(&self, n: u32, epoch: u32) -> Vec<u64> {
        const NEARLY_ALWAYS: f64 = 0.99;
        const MOST: usize = 24;
        let wanted = |key: &Key| {
            matches!(key.family, Family::Operation | Family::Resource | Family::Destination | Family::Edge)
                && key.epoch == epoch
                && f64::from(key.succeeded) >= NEARLY_ALWAYS * f64::from(n)
        };
        let mut mandatory: Vec<u64> = self.map.iter().filter(|(_, key)| wanted(key)).map(|(hash, _)| *hash).collect();
        mandatory.sort_unstable();
        mandatory.truncate(MOST);
        mandatory
    }

    fn bump_unique(&mut self, family: Family, by: i32) {
        if let Some(unique) = self.unique.get_mut(family as usize) {
            *unique = unique.saturating_add_signed(by);
        }
    }

    /// Forgets learned keys that were seen once. Whether that helped.
    fn make_room(&mut self, now: Nanos) -> bool {
        let before = self.map.len();
        self.map.retain(|_, key| key.count > 1 || !key.is_learned(now));
        let gone = before - self.map.len();
        self.forgotten += gone as u64;
        gone > 0
    }
}

/// The moment of an observation, as keys need to know it.
#[derive(Clone, Copy, Debug)]
pub struct When {
    pub now: Nanos,
    /// Invocations that stand behind the surprise of a new key.
    pub n: u32,
    pub epoch: u32,
    /// Whether the invocation is over and did not fail.
    pub succeeded: bool,
    /// Not learned before this; 0 for what looks ordinary.
    pub quarantined_until: Nanos,
}

impl Key {
    fn new(family: Family, risk: Risk, at: &When) -> Self {
        Self {
            family,
            risk,
            count: 0,
            succeeded: 0,
            born: at.now.max(1),
            born_n: at.n,
            quarantined_until: at.quarantined_until,
            epoch: at.epoch,
            repeats: [0; LOG2_BUCKETS],
        }
    }

    fn is_learned(&self, now: Nanos) -> bool {
        self.born == 0 || (now >= self.born.saturating_add(LEARNING_DELAY) && now >= self.quarantined_until)
    }

    /// Surprise, in bits, of `repeats` within one invocation, and the most that is usual.
    pub fn repeats_surprise(&self, repeats: u32) -> (f64, u32) {
        let bucket = log2_bucket(repeats);
        let top = self.repeats.iter().rposition(|count| *count > 0).unwrap_or(0);
        let all: u32 = self.repeats.iter().map(|count| u32::from(*count)).sum();
        let usual = (1_u32 << top.min(30)).saturating_mul(2).saturating_sub(1);
        if bucket <= top.max(1) {
            return (0.0, usual);
        }
        // Nothing seen so high: one in n, and two bits for each further doubling.
        let beyond = (bucket - top - 1) as f64;
        ((f64::from(all) + 1.0).log2() + 2.0 * beyond, usual)
    }
}
