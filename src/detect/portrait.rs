//! What is known of one function, for a person to look at.

use super::{
    detector::{Detector, PAGES_FROM},
    keys::Standing,
    observation::{Family, Nanos, Quantity, Risk},
};

/// One function as it is known.
#[derive(Clone, Debug)]
pub struct Portrait {
    /// Its application; zero when unknown.
    pub peers: u64,
    /// Invocations learned from.
    pub invocations: u32,
    /// Too few for a page.
    pub is_learning: bool,
    /// Its newest version is younger than a day.
    pub is_fresh: bool,
    /// Event time.
    pub first_seen: Nanos,
    /// Event time.
    pub last_seen: Nanos,
    /// Versions, oldest first.
    pub epochs: Vec<EpochSeen>,
    /// What it touches, most frequent first.
    pub keys: Vec<KeySeen>,
    /// What was measured, warm and cold apart.
    pub distributions: Vec<Distribution>,
    /// Functions of the fleet.
    pub fleet: u32,
}

/// A version.
#[derive(Clone, Copy, Debug)]
pub struct EpochSeen {
    /// Hash of its name, as [`version_hash`](super::version_hash) has it.
    pub version: u64,
    /// 0 for the first one known.
    pub number: u32,
    /// Event time.
    pub began: Nanos,
    /// Invocations.
    pub invocations: u32,
}

/// A key.
#[derive(Clone, Debug)]
pub struct KeySeen {
    /// Its kind.
    pub family: Family,
    /// What it could do in the wrong hands.
    pub risk: Risk,
    /// Empty if the fleet has forgotten it.
    pub name: String,
    /// Invocations that had it.
    pub invocations: u32,
    /// `known`, `new` or `quarantined`.
    pub state: &'static str,
    /// Event time; 0 once it is known.
    pub first_seen: Nanos,
    /// The most it occurs within an invocation, rounded up to a power of two less one.
    pub at_most: u32,
    /// Functions that have it.
    pub fleet_seen: u32,
    /// Successful invocations nearly always have it.
    pub is_mandatory: bool,
    /// The epoch it was last seen in.
    pub epoch: u32,
}

/// A function that calls another.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// Which.
    pub function: u64,
    /// Invocations in which it does.
    pub invocations: u32,
    /// As in [`KeySeen`].
    pub state: &'static str,
}

/// A histogram.
#[derive(Clone, Debug)]
pub struct Distribution {
    /// Of what.
    pub quantity: Quantity,
    /// Of cold starts.
    pub cold: bool,
    /// Values counted.
    pub count: u32,
    /// The largest but for one in a thousand.
    pub usual_at_most: u64,
    /// Largest value and count of each bucket, ascending.
    pub buckets: Vec<(u64, u32)>,
}

impl Detector {
    /// The application of a function; zero when unknown.
    pub fn peers_of(&self, function: u64) -> u64 {
        self.functions.get(&function).map_or(0, |known| known.peers)
    }

    /// What is known of a function; without its keys and histograms unless `whole`.
    pub fn portrait(&self, function: u64, whole: bool) -> Option<Portrait> {
        let known = self.functions.get(&function)?;
        let newest = known.epochs.iter().max_by_key(|epoch| epoch.number);
        let epochs = known.epochs.iter();
        let mut portrait = Portrait {
            peers: known.peers,
            invocations: known.n,
            is_learning: known.n < PAGES_FROM,
            is_fresh: newest.is_some_and(|epoch| known.is_young(epoch, self.clock)),
            first_seen: known.epochs.iter().map(|epoch| epoch.began).min().unwrap_or(0),
            last_seen: known.last_seen,
            epochs: epochs
                .map(|epoch| EpochSeen {
                    version: epoch.version,
                    number: epoch.number,
                    began: epoch.began,
                    invocations: epoch.n,
                })
                .collect(),
            keys: Vec::new(),
            distributions: Vec::new(),
            fleet: self.fleet.functions,
        };
        if whole {
            portrait.keys = self.keys_of(function);
            portrait.distributions = self.distributions_of(function);
        }
        Some(portrait)
    }

    /// Functions with a call whose name satisfies `is_called`; at most `most`, in no order.
    pub fn callers(&self, is_called: impl Fn(&str) -> bool, most: usize) -> Vec<Caller> {
        let named = self.fleet.keys.iter().filter(|(_, key)| key.family == Family::Edge && is_called(&key.name));
        let calls = named.flat_map(|(hash, _)| {
            self.functions.iter().filter_map(|(function, known)| {
                let key = known.keys.map.get(hash)?;
                let state = self.state_of(known.keys.standing(*hash, self.clock), key.quarantined_until);
                Some(Caller { function: *function, invocations: key.count, state })
            })
        });
        calls.take(most).collect()
    }

    fn state_of(&self, standing: Standing, quarantined_until: Nanos) -> &'static str {
        match standing {
            Standing::Known => "known",
            _ if quarantined_until > self.clock => "quarantined",
            _ => "new",
        }
    }

    fn keys_of(&self, function: u64) -> Vec<KeySeen> {
        let Some(known) = self.functions.get(&function) else { return Vec::new() };
        let mut keys: Vec<KeySeen> = known
            .keys
            .map
            .iter()
            .map(|(hash, key)| {
                let named = self.fleet.keys.get(hash);
                let top = key.repeats.iter().rposition(|count| *count > 0).unwrap_or(0);
                KeySeen {
                    family: key.family,
                    risk: key.risk,
                    name: named.map(|named| named.name.to_string()).unwrap_or_default(),
                    invocations: key.count,
                    state: self.state_of(known.keys.standing(*hash, self.clock), key.quarantined_until),
                    first_seen: key.born,
                    at_most: (2_u32 << top.min(30)).saturating_sub(1),
                    fleet_seen: named.map_or(0, |named| named.functions),
                    is_mandatory: known.mandatory.contains(hash),
                    epoch: key.epoch,
                }
            })
            .collect();
        keys.sort_by(|a, b| b.invocations.cmp(&a.invocations).then_with(|| a.name.cmp(&b.name)));
        keys
    }

    fn distributions_of(&self, function: u64) -> Vec<Distribution> {
        let Some(known) = self.functions.get(&function) else { return Vec::new() };
        let each = Quantity::ALL.into_iter().flat_map(|quantity| [(quantity, false), (quantity, true)]);
        let histograms = each.filter_map(|(quantity, cold)| {
            let histogram = known.magnitudes.of(quantity, cold).filter(|histogram| histogram.n > 0)?;
            Some(Distribution {
                quantity,
                cold,
                count: histogram.n,
                usual_at_most: histogram.usual_at_most(),
                buckets: histogram.buckets().collect(),
            })
        });
        histograms.collect()
    }
}
