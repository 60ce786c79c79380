//! Functions by name: what the detector, which knows them by hash, does not keep. Names of versions, the last hours, a
//! few ordinary invocations.

use std::collections::VecDeque;

use hashbrown::HashMap;
use prost::Message as _;

use super::traces::Twins;
use crate::{
    detect::{observation::Nanos, version_hash},
    faas::{assembler::Invocation, coverage::Coverage},
    incidents::control::proto::{Cue, Epoch, FunctionDetail, FunctionSummary, Tick},
    incidents::desk::function_id,
    otlp::{any_value::as_text, view},
};

/// Functions remembered; beyond, new ones have no name until others are forgotten.
const MOST_FUNCTIONS: usize = 100_000;
/// Hours remembered a function.
const MOST_TICKS: usize = 24;
const HOUR: Nanos = 3_600_000_000_000;
const MOST_VERSIONS: usize = 8;
/// Longest text kept, bytes.
const LONGEST: usize = 256;
/// Bytes of ordinary invocations, over all functions.
const MOST_TWIN_BYTES: usize = 8 << 20;

/// One function.
#[derive(Clone, Debug, Default)]
pub struct Known {
    pub name: String,
    pub provider: String,
    pub account: String,
    pub region: String,
    /// Oldest first.
    pub versions: VecDeque<String>,
    pub ticks: VecDeque<Tick>,
    pub twins: Twins,
    /// What its telemetry tells.
    pub coverage: Coverage,
    dirty: bool,
}

/// All functions.
#[derive(Clone, Debug, Default)]
pub struct Roster {
    by_hash: HashMap<u64, Known>,
    /// Functions with ordinary invocations, those that got theirs longest ago first.
    with_twins: VecDeque<u64>,
    twin_bytes: usize,
}

impl Roster {
    /// An invocation was scored; `ordinary` is its request if there was nothing to say of it.
    pub fn note(&mut self, invocation: &Invocation<'_>, score: f64, ordinary: Option<&[u8]>) {
        let seen = &invocation.observation;
        let full = self.by_hash.len() >= MOST_FUNCTIONS;
        let known = match self.by_hash.entry(seen.function) {
            hashbrown::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            hashbrown::hash_map::Entry::Vacant(_) if full => return,
            hashbrown::hash_map::Entry::Vacant(entry) => entry.insert(Known::new(invocation)),
        };
        known.note_version(seen.version);
        known.coverage.observe(seen);
        if seen.complete {
            known.tick(seen.end, score);
        }
        known.dirty = true;
        if let Some(body) = ordinary.filter(|_| seen.complete && known.twins.want(seen)) {
            let before = known.twins.bytes();
            known.twins.remember(invocation, body);
            self.twin_bytes = (self.twin_bytes + known.twins.bytes()).saturating_sub(before);
            if before == 0 {
                self.with_twins.push_back(seen.function);
            }
            self.make_room();
        }
    }

    /// One function.
    pub fn get(&self, hash: u64) -> Option<&Known> {
        self.by_hash.get(&hash)
    }

    /// All functions.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Known)> {
        self.by_hash.iter().map(|(hash, known)| (*hash, known))
    }

    /// Forgets functions that the detector has forgotten.
    pub fn retain(&mut self, knows: impl Fn(u64) -> bool) {
        let mut gone = 0;
        self.by_hash.retain(|hash, known| {
            let kept = knows(*hash);
            gone += if kept { 0 } else { known.twins.bytes() };
            kept
        });
        self.twin_bytes = self.twin_bytes.saturating_sub(gone);
    }

    /// What has changed since the last call: a function's id, and its record.
    pub fn take_records(&mut self) -> Vec<(String, Vec<u8>)> {
        let dirty = self.by_hash.iter_mut().filter(|(_, known)| known.dirty);
        dirty
            .map(|(hash, known)| {
                known.dirty = false;
                known.record(*hash)
            })
            .collect()
    }

    /// What is left of it over a restart: all but the ordinary invocations.
    pub fn restarted(&self) -> Self {
        let mut roster = Self::default();
        for (key, value) in self.by_hash.iter().map(|(hash, known)| known.record(*hash)) {
            // A record that was just written is not damaged.
            let _ = roster.restore(&key, &value);
        }
        roster
    }

    /// Puts a saved function back. False if it cannot be read.
    pub fn restore(&mut self, key: &str, value: &[u8]) -> bool {
        let (Ok(hash), Ok(saved)) = (u64::from_str_radix(key, 16), FunctionDetail::decode(value)) else { return false };
        let Some(summary) = saved.summary else { return false };
        if self.by_hash.len() < MOST_FUNCTIONS {
            self.by_hash.insert(hash, Known::load(summary, &saved.epochs, &saved.cues));
        }
        true
    }

    fn make_room(&mut self) {
        while self.twin_bytes > MOST_TWIN_BYTES {
            let Some(hash) = self.with_twins.pop_front() else { return };
            if let Some(known) = self.by_hash.get_mut(&hash) {
                self.twin_bytes = self.twin_bytes.saturating_sub(known.twins.bytes());
                known.twins = Twins::default();
            }
        }
    }
}

impl Known {
    fn new(invocation: &Invocation<'_>) -> Self {
        let mut known = Self { name: cut(invocation.observation.function_name), ..Self::default() };
        for pair in view::messages(invocation.resource, 1) {
            let (key, value) = view::key_value(pair);
            let place = match key {
                b"cloud.provider" => &mut known.provider,
                b"cloud.account.id" => &mut known.account,
                b"cloud.region" => &mut known.region,
                _ => continue,
            };
            *place = cut(&as_text(value));
        }
        known
    }

    fn note_version(&mut self, version: &str) {
        if version.is_empty() || self.versions.back().is_some_and(|last| last == version) {
            return;
        }
        let version = cut(version);
        self.versions.retain(|known| *known != version);
        self.versions.push_back(version);
        if self.versions.len() > MOST_VERSIONS {
            self.versions.pop_front();
        }
    }

    fn tick(&mut self, at: Nanos, score: f64) {
        let start = at - at % HOUR;
        if self.ticks.back().is_none_or(|last| last.start < start) {
            self.ticks.push_back(Tick { start, ..Tick::default() });
            if self.ticks.len() > MOST_TICKS {
                self.ticks.pop_front();
            }
        }
        // What is late counts where it belongs, or not at all.
        if let Some(tick) = self.ticks.iter_mut().rev().find(|tick| tick.start == start) {
            tick.invocations = tick.invocations.saturating_add(1);
            tick.highest = tick.highest.max(score);
        }
    }

    /// The version of a hash; empty if it is not remembered.
    pub fn version(&self, hash: u64) -> &str {
        self.versions.iter().find(|version| version_hash(version) == hash).map_or("", String::as_str)
    }

    fn record(&self, hash: u64) -> (String, Vec<u8>) {
        (function_id(hash), self.save(hash).encode_to_vec())
    }

    fn save(&self, hash: u64) -> FunctionDetail {
        let summary = FunctionSummary {
            id: function_id(hash),
            name: self.name.clone(),
            provider: self.provider.clone(),
            account: self.account.clone(),
            region: self.region.clone(),
            sparkline: self.ticks.iter().copied().collect(),
            ..FunctionSummary::default()
        };
        let epochs = self.versions.iter().map(|version| Epoch { version: version.clone(), ..Epoch::default() });
        let cues = cues(&self.coverage);
        FunctionDetail { summary: Some(summary), epochs: epochs.collect(), cues, ..FunctionDetail::default() }
    }

    fn load(summary: FunctionSummary, epochs: &[Epoch], cues: &[Cue]) -> Self {
        Self {
            name: cut(&summary.name),
            provider: cut(&summary.provider),
            account: cut(&summary.account),
            region: cut(&summary.region),
            versions: epochs.iter().take(MOST_VERSIONS).map(|epoch| cut(&epoch.version)).collect(),
            ticks: summary.sparkline.into_iter().take(MOST_TICKS).collect(),
            coverage: Coverage::restore(cues.iter().map(|cue| (cue.name.as_str(), cue.last_told))),
            ..Self::default()
        }
    }
}

/// What telemetry tells, in the API's words.
pub fn cues(coverage: &Coverage) -> Vec<Cue> {
    coverage.given().map(|(cue, last_told)| Cue { name: cue.name().to_owned(), last_told }).collect()
}

fn cut(text: &str) -> String {
    let mut end = LONGEST.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_outlast_every_restart_whether_they_were_saved_before_or_not() {
        let mut roster = Roster::default();
        let versions = VecDeque::from(["1".to_owned(), "2".to_owned()]);
        roster.by_hash.insert(7, Known { name: "orders".to_owned(), versions, dirty: true, ..Known::default() });
        let mut once = roster.restarted();
        assert_eq!(once.take_records().len(), 0, "what was loaded need not be saved");
        let twice = once.restarted();
        let known = twice.get(7).unwrap();
        assert_eq!((known.name.as_str(), known.version(version_hash("2"))), ("orders", "2"));
    }
}
