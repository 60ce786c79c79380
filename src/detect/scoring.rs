//! One observation against what is known of its function: every surprise there is, in bits.

use super::{
    DAY,
    evidence::Draft,
    fleet::Fleet,
    function::{Epoch, Function, MANDATORY_FROM},
    keys::Standing,
    magnitude::EVERYDAY,
    observation::{Channel, Family, Nanos, Observation, Quantity, Risk},
    verdict::Feature,
};

/// How long an unusual change makes what is new graver, and by how many bits at most.
const SUSPECT_FOR: Nanos = DAY;
const MOST_SUSPECT: f64 = 6.0;

/// What is believed of who changes functions, in changes, once a few have told that they are recorded.
const CHANGES_BEFOREHAND: f64 = 32.0;

/// One observation being scored against what is known.
pub struct Scoring<'a> {
    pub function: &'a Function,
    pub fleet: &'a Fleet,
    pub epoch: Epoch,
    pub now: Nanos,
    pub seen: &'a Observation<'a>,
}

/// Counts the observation towards its hour, its environment and its contacts, and says what is unusual about those.
pub fn around(function: &mut Function, seen: &Observation<'_>, now: Nanos, drafts: &mut Vec<Draft>) {
    if let Some(hour) = function.windows.turn_to(now) {
        function.drift.add(&hour, |found| {
            drafts.push(Draft {
                bits: found.bits,
                out_of: found.days,
                observed: found.observed,
                usual: found.usual,
                ..Draft::of(Feature::Drift(found.measure))
            });
        });
    }
    if seen.channel == Channel::Metrics {
        let counted = seen.quantities.iter().find(|(quantity, _)| *quantity == Quantity::Invocations);
        let silence = counted.and_then(|(_, invocations)| function.windows.reported(*invocations, seen.end));
        if let Some((bits, observed, usual)) = silence {
            drafts.push(Draft { bits, observed, usual, ..Draft::of(Feature::Silence) });
        }
    }
    if !seen.complete {
        return;
    }
    function.windows.add(seen);
    if let Some(found) = function.instances.add(seen, now) {
        drafts.push(Draft {
            bits: found.bits,
            out_of: found.siblings,
            observed: found.observed,
            usual: found.usual,
            ..Draft::of(Feature::Instance(found.quantity))
        });
    }
    let known_since = function.known_since(now);
    if let Some(found) = function.rhythm.add(seen, now, known_since) {
        drafts.push(Draft {
            touch: Some(found.touch),
            bits: found.bits,
            observed: found.period_seconds,
            out_of: found.contacts,
            ..Draft::of(Feature::Beacon)
        });
    }
    function.windows.unusual(!drafts.is_empty(), |found| {
        drafts.push(Draft {
            bits: found.bits,
            out_of: u64::from(found.hours),
            observed: found.observed,
            usual: found.usual,
            ..Draft::of(Feature::Window(found.measure))
        });
    });
}

impl Scoring<'_> {
    /// Keys never or hardly seen, and known keys touched unusually often.
    pub fn novelty(&self, drafts: &mut Vec<Draft>) {
        let mut newest = 0.0_f64;
        for (place, touch) in self.seen.touches.iter().enumerate() {
            let key = &touch.key;
            if key.family == Family::Change {
                self.change(place, drafts);
                continue;
            }
            let all = self.function.could_have(key.family, self.seen.channel);
            let (count, standing) = match self.function.keys.standing(key.hash, self.now) {
                Standing::Known => {
                    self.repeats(place, touch.count, key.hash, drafts);
                    continue;
                }
                Standing::New => (0, self.standing_behind(key.family, key.risk)),
                Standing::Candidate { count, born_n } => (count, f64::from(born_n)),
            };
            // What keeps coming is less of a surprise each time, though an anomaly showed it first and it is not learned.
            let rarity = ((f64::from(all.max(count)) + 1.0) / (f64::from(count) + 1.0)).log2();
            let own = self.function.keys.surprise(key.family, standing, f64::from(all)).min(rarity);
            let mut bits = novelty_bits(own, self.fleet.share(key.hash, self.seen.peers), key.risk);
            if matches!(key.family, Family::Untraced | Family::Silence) {
                bits = bits.min(self.fleet.unheard.worth(self.seen.function, self.now, self.fleet.functions));
            }
            if bits > 0.0 {
                newest = newest.max(bits);
                let (seen_in, out_of) = (u64::from(count), u64::from(all.max(count)));
                drafts.push(Draft { touch: Some(place), bits, seen_in, out_of, ..Draft::of(Feature::Novelty) });
            }
        }
        self.after_change(newest, drafts);
    }

    /// A change to the function by somebody who never made such a change, to any function.
    fn change(&self, place: usize, drafts: &mut Vec<Draft>) {
        let Some(key) = self.seen.touches.get(place).map(|touch| touch.key) else { return };
        let seen = f64::from(self.fleet.changes_seen);
        let changes = &self.fleet.changes;
        let (count, standing) = match changes.standing(key.hash, self.now) {
            Standing::Known => return,
            Standing::New => (0, seen),
            Standing::Candidate { count, born_n } => (count, f64::from(born_n)),
        };
        // Whether others have it is counted in already.
        // Changes are few. That they come by known hands, and open nothing to strangers, is known beforehand.
        let known = if key.risk == Risk::Control { CHANGES_BEFOREHAND.min(4.0 * seen) } else { 0.0 };
        let rarity =
            ((seen.max(f64::from(count)) + known + 1.0) / (f64::from(count) * (known + 1.0) + 1.0)).log2().max(0.0);
        let own = changes.surprise(Family::Change, standing + known, seen + known).min(rarity);
        let bits = novelty_bits(own, 0.0, key.risk);
        if bits > 0.0 {
            let (seen_in, out_of) = (u64::from(count), u64::from(self.fleet.changes_seen.max(count)));
            drafts.push(Draft { touch: Some(place), bits, seen_in, out_of, ..Draft::of(Feature::Novelty) });
        }
    }

    /// What is new is graver when somebody unusual has changed the function just before.
    fn after_change(&self, newest: f64, drafts: &mut Vec<Draft>) {
        let suspect = self.function.suspect;
        if newest < EVERYDAY || suspect.at == 0 || self.now > suspect.at.saturating_add(SUSPECT_FOR) {
            return;
        }
        let bits = f64::from(suspect.bits).min(newest).min(MOST_SUSPECT);
        drafts.push(Draft { absent: suspect.key, bits, ..Draft::of(Feature::AfterChange) });
    }

    /// Invocations behind the surprise of a key that was never seen.
    fn standing_behind(&self, family: Family, risk: Risk) -> f64 {
        self.function.standing_behind(&self.epoch, family, self.seen.channel, risk, self.now)
    }

    fn repeats(&self, place: usize, repeats: u32, hash: u64, drafts: &mut Vec<Draft>) {
        if repeats < 4 || !self.seen.complete {
            return;
        }
        let Some(known) = self.function.keys.map.get(&hash) else { return };
        let (bits, usual) = known.repeats_surprise(repeats);
        let bits = bits - EVERYDAY;
        if bits > 0.0 {
            drafts.push(Draft {
                touch: Some(place),
                bits,
                out_of: u64::from(known.count),
                observed: u64::from(repeats),
                usual: u64::from(usual),
                ..Draft::of(Feature::Repeats)
            });
        }
    }

    /// Unusual amounts.
    pub fn magnitudes(&self, drafts: &mut Vec<Draft>) {
        for (quantity, value) in self.seen.quantities {
            let Some(histogram) = self.function.magnitudes.of(*quantity, self.seen.cold_start) else { continue };
            let bits = histogram.excess(*value);
            if bits > 0.0 {
                drafts.push(Draft {
                    bits,
                    out_of: u64::from(histogram.n),
                    observed: *value,
                    usual: histogram.usual_at_most(),
                    ..Draft::of(Feature::Magnitude(*quantity))
                });
            }
        }
    }

    /// An unknown shape: how unusual is it, which step most, and what is missing.
    pub fn structure(&self, drafts: &mut Vec<Draft>) {
        let standing = self.function.standing_n(&self.epoch, Risk::Read, self.now);
        let all = f64::from(self.function.n);
        let order = &self.function.order;
        let mut draft = |draft: Draft| {
            if draft.bits > 0.0 {
                drafts.push(draft);
            }
        };
        let out_of = u64::from(self.function.n);
        let shape_bits = order.shape_surprise(standing, all);
        draft(Draft { bits: shape_bits - EVERYDAY, out_of, ..Draft::of(Feature::Shape) });
        if let Some((_, bits)) = order.surprise(self.seen.steps) {
            // A transition cannot be more surprising than the shapes it was learned from are many.
            draft(Draft { bits: bits.min(shape_bits) - EVERYDAY, out_of, ..Draft::of(Feature::Order) });
        }
        // What failed may not have come that far; a fresh version may have dropped the call.
        if self.seen.failed || self.epoch.n < MANDATORY_FROM {
            return;
        }
        let all = self.function.n_succeeded;
        for hash in &self.function.mandatory {
            if self.seen.touches.iter().all(|touch| touch.key.hash != *hash) {
                let had = self.function.keys.map.get(hash).map_or(0, |key| key.succeeded);
                let lacked = f64::from(all.saturating_sub(had)) + 1.0;
                let bits = ((f64::from(all) + 1.0) / lacked).log2() - EVERYDAY;
                let (seen_in, out_of) = (u64::from(had), u64::from(all));
                draft(Draft { absent: *hash, bits, seen_in, out_of, ..Draft::of(Feature::Missing) });
            }
        }
    }
}

/// Bits of a new key: how rarely this function does new things, how rare the key is in the fleet, and what it could do.
fn novelty_bits(own: f64, share: f64, risk: Risk) -> f64 {
    let rare = (-share.max(f64::MIN_POSITIVE).log2()).clamp(0.0, 6.0);
    let grave = match risk {
        Risk::Read => 0.0,
        Risk::Write => 0.5,
        Risk::Delete | Risk::Egress => 2.0,
        Risk::Identity => 3.0,
        Risk::Control => 4.0,
    };
    // The prior says how bad a surprise is; without a surprise it says nothing.
    let surprised = (own / 8.0).min(1.0);
    own * (1.0 - 0.6 * share) + surprised * (rare + grave)
}
