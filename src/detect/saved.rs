//! What was learned, as records for a store: one a function, one for the fleet. Each begins with its format and ends with
//! a checksum; a damaged one is refused and what it held is learned anew.

use prost::Message as _;

use super::{
    Detector, HashMap,
    calibration::{KINDS, Unit},
    fleet::FleetKey,
    function::{Epoch, Function, Suspect, Today},
    keys::{FAMILIES, Key, Keys},
    magnitude::{Histogram, LOG2_BUCKETS, Magnitudes, QUANTITIES},
    mix,
    observation::{Channel, Family, Risk},
    order::{Order, Shape},
};

mod around;

#[allow(missing_docs, clippy::pedantic, reason = "generated from proto/")]
mod proto {
    include!(concat!(env!("OUT_DIR"), "/sekisho.model.v1.rs"));
}

/// The format written, and the only one there is so far.
const FORMAT: u8 = 1;
/// Key of the fleet's record; a function's is `f` and its hash.
const FLEET: &[u8] = b"fleet";

/// Why a record was not restored.
#[derive(Debug, thiserror::Error)]
pub enum Damaged {
    /// It is not what was written.
    #[error("the checksum does not fit")]
    Checksum,
    /// It is of a format that this version does not know.
    #[error("unknown format {0}")]
    Format(u8),
    /// It is under a key that this version does not know.
    #[error("unknown key")]
    Key,
    /// Its content does not decode.
    #[error(transparent)]
    Content(#[from] prost::DecodeError),
}

impl Detector {
    /// Gives `put` a record for everything that has changed since the last call.
    pub fn snapshot_dirty(&mut self, put: &mut dyn FnMut(&[u8], &[u8])) {
        let mut changed = self.fleet_dirty;
        for (hash, function) in self.functions.iter_mut().filter(|(_, function)| function.dirty) {
            let mut key = vec![b'f'];
            key.extend(hash.to_be_bytes());
            put(&key, &seal(&save_function(*hash, function)));
            function.dirty = false;
            changed = true;
        }
        if changed {
            put(FLEET, &seal(&self.save_fleet()));
            self.fleet_dirty = false;
        }
    }

    /// Tells of everything that is known.
    pub fn snapshot(&mut self, put: &mut dyn FnMut(&[u8], &[u8])) {
        self.functions.values_mut().for_each(|function| function.dirty = true);
        self.fleet_dirty = true;
        self.snapshot_dirty(put);
    }

    /// Takes in a record of [`snapshot_dirty`](Self::snapshot_dirty).
    pub fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), Damaged> {
        let content = unseal(value)?;
        if key == FLEET {
            self.load_fleet(proto::Fleet::decode(content)?);
            return Ok(());
        }
        let Some((b'f', _)) = key.split_first() else { return Err(Damaged::Key) };
        let (hash, function) = load_function(proto::Function::decode(content)?);
        if self.functions.len() < self.settings.max_functions {
            self.fleet.add_function(function.peers);
            self.functions.insert(hash, function);
            self.calibration.redraw(self.fleet.functions);
        }
        Ok(())
    }

    fn save_fleet(&self) -> proto::Fleet {
        let keys = self.fleet.keys.iter().map(|(hash, key)| proto::FleetKey {
            hash: *hash,
            family: key.family as u32,
            risk: key.risk as u32,
            functions: key.functions,
            name: key.name.to_string(),
        });
        let days = self.calibration.days.iter().map(|day| proto::Day {
            strata: day.iter().map(|unit| unit.stratum).collect(),
            scores: day.iter().map(|unit| unit.score).collect(),
        });
        proto::Fleet {
            clock_unix_nano: self.clock,
            keys: keys.collect(),
            by_peers_hashes: self.fleet.by_peers.keys().copied().collect(),
            by_peers_counts: self.fleet.by_peers.values().copied().collect(),
            days: days.collect(),
            suspended_since_unix_nano: self.monitor.suspended_since.unwrap_or(0),
            page_days: self.monitor.pages.iter().map(|(day, _)| *day).collect(),
            page_counts: self.monitor.pages.iter().map(|(_, pages)| *pages).collect(),
            changes: self.fleet.changes.map.iter().map(save_key).collect(),
            changes_seen: self.fleet.changes_seen,
            unique_changes: self.fleet.changes.unique.get(Family::Change as usize).copied().unwrap_or(0),
        }
    }

    fn load_fleet(&mut self, saved: proto::Fleet) {
        self.clock = saved.clock_unix_nano;
        for key in saved.keys {
            let (family, risk) = (family(key.family), risk(key.risk));
            let key_of_fleet = FleetKey { functions: key.functions, family, risk, name: key.name.into() };
            self.fleet.keys.insert(key.hash, key_of_fleet);
        }
        self.fleet.changes.map = saved.changes.iter().map(|key| (key.hash, load_key(key))).collect();
        self.fleet.changes_seen = saved.changes_seen;
        if let Some(unique) = self.fleet.changes.unique.get_mut(Family::Change as usize) {
            *unique = saved.unique_changes;
        }
        self.fleet.by_peers = zip(saved.by_peers_hashes, saved.by_peers_counts);
        self.calibration.days = saved
            .days
            .into_iter()
            .map(|day| {
                let units = day.strata.into_iter().zip(day.scores);
                units.map(|(stratum, score)| Unit { stratum, score }).collect()
            })
            .collect();
        let since = (saved.suspended_since_unix_nano > 0).then_some(saved.suspended_since_unix_nano);
        self.monitor.restore(since, saved.page_days.into_iter().zip(saved.page_counts).collect());
        self.calibration.refit();
        self.calibration.redraw(self.fleet.functions);
    }
}

fn seal(message: &impl prost::Message) -> Vec<u8> {
    let mut record = vec![FORMAT];
    record.extend(message.encode_to_vec());
    let sum = checksum(&record);
    record.extend(sum.to_le_bytes());
    record
}

fn unseal(record: &[u8]) -> Result<&[u8], Damaged> {
    let (body, sum) = record.split_last_chunk::<8>().ok_or(Damaged::Checksum)?;
    if checksum(body) != u64::from_le_bytes(*sum) {
        return Err(Damaged::Checksum);
    }
    match body.split_first() {
        Some((&FORMAT, content)) => Ok(content),
        Some((format, _)) => Err(Damaged::Format(*format)),
        None => Err(Damaged::Checksum),
    }
}

fn checksum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let sum = words.iter().fold(bytes.len() as u64, |sum, word| mix(sum, u64::from_le_bytes(*word)));
    rest.iter().fold(sum, |sum, byte| mix(sum, u64::from(*byte)))
}

fn save_function(hash: u64, function: &Function) -> proto::Function {
    let epoch = |epoch: &Epoch| proto::Epoch {
        version: epoch.version,
        number: epoch.number,
        began_unix_nano: epoch.began,
        n: epoch.n,
    };
    let shape = |(hash, shape): (&u64, &Shape)| proto::Shape {
        hash: *hash,
        count: shape.count,
        born_unix_nano: shape.born,
        quarantined_until_unix_nano: shape.quarantined_until,
    };
    let today = &function.today;
    let [highest, other_highest @ ..] = today.highest;
    let [stratum, other_strata @ ..] = today.strata;
    proto::Function {
        hash,
        peers: function.peers,
        n: function.n,
        n_succeeded: function.n_succeeded,
        n_logs: function.heard_of(Channel::Logs),
        epochs: function.epochs.iter().map(epoch).collect(),
        keys: function.keys.map.iter().map(save_key).collect(),
        unique_keys: function.keys.unique.to_vec(),
        forgotten_keys: function.keys.forgotten,
        shapes: function.order.shapes.iter().map(shape).collect(),
        unique_shapes: function.order.unique,
        transition_hashes: function.order.transitions.keys().copied().collect(),
        transition_counts: function.order.transitions.values().copied().collect(),
        context_hashes: function.order.contexts.keys().copied().collect(),
        context_counts: function.order.contexts.values().map(|(n, _)| *n).collect(),
        context_distinct: function.order.contexts.values().map(|(_, distinct)| *distinct).collect(),
        histograms: function.magnitudes.0.iter().flatten().map(save_histogram).collect(),
        today: Some(proto::Today {
            day: today.day,
            invocations: today.invocations,
            highest,
            stratum: u32::from(stratum),
            paged: today.paged,
            other_highest: other_highest.to_vec(),
            other_strata: other_strata.map(u32::from).to_vec(),
        }),
        invocations_yesterday: function.yesterday,
        last_seen_unix_nano: function.last_seen,
        heard: function.heard.to_vec(),
        windows: Some(around::save_windows(&function.windows)),
        drift: Some(around::save_drift(&function.drift)),
        compared_n: function.instances.n,
        compared_mean: function.instances.usual.map(|usual| usual.mean).to_vec(),
        compared_variance: function.instances.usual.map(|usual| usual.variance).to_vec(),
        suspect_key: function.suspect.key,
        suspect_bits: function.suspect.bits,
        suspect_unix_nano: function.suspect.at,
    }
}

fn save_key((hash, key): (&u64, &Key)) -> proto::Key {
    proto::Key {
        hash: *hash,
        family: key.family as u32,
        risk: key.risk as u32,
        count: key.count,
        succeeded: key.succeeded,
        born_unix_nano: key.born,
        born_n: key.born_n,
        quarantined_until_unix_nano: key.quarantined_until,
        epoch: key.epoch,
        repeats: key.repeats.iter().map(|count| u32::from(*count)).collect(),
    }
}

fn save_histogram(histogram: &Histogram) -> proto::Histogram {
    proto::Histogram {
        buckets: histogram.counts.iter().map(|(bucket, _)| u32::from(*bucket)).collect(),
        counts: histogram.counts.iter().map(|(_, count)| *count).collect(),
    }
}

fn load_histogram(saved: proto::Histogram) -> Histogram {
    let counts = saved.buckets.into_iter().map(|bucket| bucket as u8).zip(saved.counts);
    // Damage that kept its checksum is a stranger's work: counts must still be ascending.
    let mut counts: Vec<(u8, u32)> = counts.collect();
    counts.sort_unstable();
    counts.dedup_by_key(|(bucket, _)| *bucket);
    let n = counts.iter().fold(0_u32, |n, (_, count)| n.saturating_add(*count));
    Histogram { counts, n }
}

fn load_function(saved: proto::Function) -> (u64, Function) {
    let epoch = |epoch: proto::Epoch| Epoch {
        version: epoch.version,
        number: epoch.number,
        began: epoch.began_unix_nano,
        n: epoch.n,
    };
    let today = saved.today.unwrap_or_default();
    let mut keys = Keys { forgotten: saved.forgotten_keys, ..Keys::default() };
    for (place, unique) in saved.unique_keys.into_iter().take(FAMILIES).enumerate() {
        if let Some(known) = keys.unique.get_mut(place) {
            *known = unique;
        }
    }
    keys.map = saved.keys.into_iter().map(|key| (key.hash, load_key(&key))).collect();
    let shapes = saved.shapes.into_iter().map(|shape| {
        let (born, quarantined_until) = (shape.born_unix_nano, shape.quarantined_until_unix_nano);
        (shape.hash, Shape { count: shape.count, born, quarantined_until })
    });
    let contexts = saved.context_counts.into_iter().zip(saved.context_distinct);
    let order = Order {
        shapes: shapes.collect(),
        unique: saved.unique_shapes,
        transitions: zip(saved.transition_hashes, saved.transition_counts),
        contexts: saved.context_hashes.into_iter().zip(contexts).collect(),
    };
    let mut magnitudes = Magnitudes::default();
    // A version that knew fewer quantities saved fewer of each.
    let each = (saved.histograms.len() / 2).clamp(1, QUANTITIES);
    for (place, histogram) in saved.histograms.into_iter().enumerate() {
        if let Some(slot) = magnitudes.0.get_mut(place / each).and_then(|of| of.get_mut(place % each)) {
            *slot = load_histogram(histogram);
        }
    }
    let mut heard = [0; Channel::COUNT];
    heard.iter_mut().zip(saved.heard).for_each(|(heard, saved)| *heard = saved);
    if let Some(logs) = heard.get_mut(Channel::Logs as usize) {
        *logs = saved.n_logs;
    }
    let (mut highest, mut strata) = ([today.highest; KINDS], [today.stratum as u8; KINDS]);
    highest.iter_mut().skip(1).for_each(|highest| *highest = 0.0);
    highest.iter_mut().skip(1).zip(today.other_highest).for_each(|(highest, saved)| *highest = saved);
    strata.iter_mut().skip(1).zip(today.other_strata).for_each(|(stratum, saved)| *stratum = saved as u8);
    let mut function = Function {
        peers: saved.peers,
        n: saved.n,
        n_succeeded: saved.n_succeeded,
        heard,
        epochs: saved.epochs.into_iter().map(epoch).collect(),
        keys,
        order,
        magnitudes,
        windows: saved.windows.map(around::load_windows).unwrap_or_default(),
        drift: saved.drift.map(around::load_drift).unwrap_or_default(),
        instances: around::load_instances(saved.compared_n, &saved.compared_mean, &saved.compared_variance),
        suspect: Suspect { key: saved.suspect_key, bits: saved.suspect_bits, at: saved.suspect_unix_nano },
        rhythm: super::rhythm::Rhythm::default(),
        mandatory: Vec::new(),
        today: Today { day: today.day, invocations: today.invocations, highest, strata, paged: today.paged },
        yesterday: saved.invocations_yesterday,
        last_seen: saved.last_seen_unix_nano,
        dirty: false,
    };
    let newest = function.epochs.last().map_or(0, |newest| newest.number);
    function.mandatory = function.keys.mandatory(function.n_succeeded, newest);
    (saved.hash, function)
}

fn load_key(saved: &proto::Key) -> Key {
    let mut repeats = [0; LOG2_BUCKETS];
    for (slot, count) in repeats.iter_mut().zip(&saved.repeats) {
        *slot = u16::try_from(*count).unwrap_or(u16::MAX);
    }
    Key {
        family: family(saved.family),
        risk: risk(saved.risk),
        count: saved.count,
        succeeded: saved.succeeded,
        born: saved.born_unix_nano,
        born_n: saved.born_n,
        quarantined_until: saved.quarantined_until_unix_nano,
        epoch: saved.epoch,
        repeats,
    }
}

fn zip(hashes: Vec<u64>, counts: Vec<u32>) -> HashMap<u32> {
    hashes.into_iter().zip(counts).collect()
}

fn family(number: u32) -> Family {
    Family::ALL.get(number as usize).copied().unwrap_or(Family::Operation)
}

fn risk(number: u32) -> Risk {
    const ALL: [Risk; 6] = [Risk::Read, Risk::Write, Risk::Delete, Risk::Egress, Risk::Identity, Risk::Control];
    ALL.get(number as usize).copied().unwrap_or(Risk::Read)
}

/// The record of a function as the first version wrote it: nine quantities, and nothing of hours, days or channels.
#[cfg(test)]
pub fn as_first_written(record: &[u8]) -> Vec<u8> {
    const FIRST: usize = 9;
    let Ok(mut saved) = unseal(record).map(|content| proto::Function::decode(content).unwrap_or_default()) else {
        return Vec::new();
    };
    if saved.hash == 0 || saved.histograms.len() != 2 * QUANTITIES {
        return record.to_vec();
    }
    let (warm, cold) = saved.histograms.split_at(QUANTITIES);
    saved.histograms = [&warm[..FIRST], &cold[..FIRST]].concat();
    (saved.windows, saved.drift) = (None, None);
    (saved.heard, saved.compared_mean, saved.compared_variance) = (Vec::new(), Vec::new(), Vec::new());
    if let Some(today) = &mut saved.today {
        (today.other_highest, today.other_strata) = (Vec::new(), Vec::new());
    }
    seal(&saved)
}
