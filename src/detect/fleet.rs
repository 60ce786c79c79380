//! What the fleet knows: which keys how many functions have, in all and within an application. A new function starts
//! with this prior; a key that its siblings have is little news.

use std::{borrow::Cow, fmt, sync::Arc};

use super::{
    HashMap,
    keys::Keys,
    mix,
    observation::{Family, Risk},
    unheard::Unheard,
};

/// Keys remembered for the whole fleet; beyond, new ones count as unknown.
const MOST_KEYS: usize = 200_000;
/// Longest name kept, bytes.
const LONGEST_NAME: usize = 256;

/// One key, fleet-wide.
#[derive(Clone, Debug)]
pub struct FleetKey {
    pub functions: u32,
    pub family: Family,
    pub risk: Risk,
    pub name: Box<str>,
}

/// Nothing, if the name stays as it is.
type Rename = dyn Fn(&str) -> Option<String> + Send + Sync;

/// What a name becomes before it is remembered, if it is to become anything else.
#[derive(Clone)]
pub struct Mask(Arc<Rename>);

impl Mask {
    /// `rename` says what a name becomes; nothing, if it stays as it is.
    pub fn new(rename: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(rename))
    }
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mask")
    }
}

/// Everything fleet-wide but the calibration.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    /// Names are remembered, and saved; what must not be read is masked in them.
    pub mask: Option<Mask>,
    pub keys: HashMap<FleetKey>,
    /// Functions that have a key, by application and key.
    pub by_peers: HashMap<u32>,
    /// Functions, by application.
    pub peers: HashMap<u32>,
    pub functions: u32,
    /// Keys not counted for lack of room.
    pub refused: u64,
    /// Changes made to functions from outside, of the whole fleet: one function has too few to know what is usual.
    pub changes: Keys,
    pub changes_seen: u32,
    pub unheard: Unheard,
}

impl Fleet {
    /// A function of application `peers` was met for the first time.
    pub fn add_function(&mut self, peers: u64) {
        self.functions = self.functions.saturating_add(1);
        if peers != 0 {
            *self.peers.entry(peers).or_insert(0) += 1;
        }
    }

    /// A function is forgotten; what it had stays part of the prior.
    pub fn remove_function(&mut self, peers: u64) {
        self.functions = self.functions.saturating_sub(1);
        if let Some(count) = self.peers.get_mut(&peers) {
            *count = count.saturating_sub(1);
        }
    }

    /// A name as it is remembered.
    pub fn masked<'n>(&self, name: &'n str) -> Cow<'n, str> {
        self.mask.as_ref().and_then(|mask| (mask.0)(name)).map_or(Cow::Borrowed(name), Cow::Owned)
    }

    /// Remembers the name of a key that a function meets for the first time.
    pub fn meet(&mut self, hash: u64, family: Family, risk: Risk, name: &str) {
        if self.keys.contains_key(&hash) {
            return;
        }
        if self.keys.len() >= MOST_KEYS {
            self.refused += 1;
            return;
        }
        let name = self.masked(name);
        let mut end = LONGEST_NAME.min(name.len());
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        let name = name.get(..end).unwrap_or_default().into();
        self.keys.insert(hash, FleetKey { functions: 0, family, risk, name });
    }

    /// A function of application `peers` has learned `hash`.
    pub fn learn(&mut self, hash: u64, peers: u64) {
        if let Some(key) = self.keys.get_mut(&hash) {
            key.functions = key.functions.saturating_add(1);
            if peers != 0 {
                *self.by_peers.entry(mix(peers, hash)).or_insert(0) += 1;
            }
        }
    }

    /// Functions that have `hash`, of how many.
    pub fn having(&self, hash: u64) -> (u32, u32) {
        (self.keys.get(&hash).map_or(0, |key| key.functions), self.functions)
    }

    /// The share of functions that have `hash`: of the application's or of all, whichever is larger.
    pub fn share(&self, hash: u64, peers: u64) -> f64 {
        let share = |some: u32, all: u32| (f64::from(some) + 0.5) / (f64::from(all) + 1.0);
        let (some, all) = self.having(hash);
        let siblings = self.peers.get(&peers).copied().unwrap_or(0);
        let of_peers = if siblings < 3 {
            0.0
        } else {
            share(self.by_peers.get(&mix(peers, hash)).copied().unwrap_or(0), siblings)
        };
        share(some, all).max(of_peers).min(1.0)
    }
}
