//! Environments beside each other: one that behaves unlike its siblings has something in it that they have not.
//!
//! For each environment, the mean distance of its invocations from the function's mean, in standard deviations, for a few
//! quantities. Distances are clipped and the function's mean follows slowly, so that one environment cannot move it.

use super::{
    MINUTE,
    magnitude::EVERYDAY,
    observation::{Nanos, Observation, Quantity},
};

/// Quantities that are compared.
pub const COMPARED: [Quantity; 3] = [Quantity::SelfTimeUs, Quantity::Calls, Quantity::BytesOut];
const KINDS: usize = COMPARED.len();
/// Environments remembered a function.
const MOST: usize = 16;
/// One that is not heard of for so long is no sibling.
const ALIVE: Nanos = 60 * MINUTE;
/// Siblings there must be, and invocations of each.
const LEAST_SIBLINGS: usize = 3;
const LEAST_INVOCATIONS: u32 = 8;
/// Invocations the function's mean stands on, and an environment's.
const FUNCTION_KEEPS: f32 = 256.0;
const INSTANCE_KEEPS: f32 = 16.0;
/// Invocations before distances mean anything.
const FROM: u32 = 200;
/// A distance counts up to this, standard deviations.
const MOST_DISTANCE: f32 = 3.0;
/// Divergence weighs no more than this, bits.
const MOST_BITS: f64 = 16.0;

/// One environment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Instance {
    hash: u64,
    n: u32,
    last_seen: Nanos,
    mean: [f32; KINDS],
}

/// Mean and variance, in powers of two.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spread {
    pub mean: f32,
    pub variance: f32,
}

/// The environments of one function. They come and go by the hour: only the function's means are saved.
#[derive(Clone, Debug, Default)]
pub struct Instances {
    pub n: u32,
    pub usual: [Spread; KINDS],
    pub known: Vec<Instance>,
}

/// An environment that stands out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Divergent {
    pub quantity: Quantity,
    pub bits: f64,
    /// Its own mean, and that of the function.
    pub observed: u64,
    pub usual: u64,
    pub siblings: u64,
}

impl Instances {
    /// Counts a warm invocation and says how far its environment has come to stand out.
    pub fn add(&mut self, seen: &Observation<'_>, now: Nanos) -> Option<Divergent> {
        if seen.instance == 0 || seen.cold_start || seen.failed {
            return None;
        }
        self.n = self.n.saturating_add(1);
        let distances = self.distances(seen);
        let place = self.place(seen.instance, now);
        let instance = self.known.get_mut(place)?;
        (instance.n, instance.last_seen) = (instance.n.saturating_add(1), now);
        let keeps = (instance.n as f32).min(INSTANCE_KEEPS);
        for (mean, distance) in instance.mean.iter_mut().zip(distances) {
            *mean += (distance - *mean) / keeps;
        }
        let instance = *instance;
        (self.n >= FROM && instance.n >= LEAST_INVOCATIONS).then(|| self.compare(&instance, now))?
    }

    fn compare(&self, instance: &Instance, now: Nanos) -> Option<Divergent> {
        let alive = |other: &&Instance| {
            other.hash != instance.hash && other.n >= LEAST_INVOCATIONS && other.last_seen.saturating_add(ALIVE) > now
        };
        let mut strongest: Option<(usize, f64)> = None;
        for (kind, mean) in instance.mean.iter().enumerate() {
            // Means of so many clipped distances, a little correlated: the mean's own deviation, on the large side.
            let z = f64::from(*mean) * f64::from(instance.n.min(INSTANCE_KEEPS as u32)).sqrt() / 1.5;
            let bits = tail_bits(z);
            if strongest.is_none_or(|(_, most)| bits > most) {
                strongest = Some((kind, bits));
            }
        }
        let (kind, bits) = strongest.filter(|(_, bits)| *bits > EVERYDAY + 2.0)?;
        let siblings = self.known.iter().filter(alive).count();
        let nearest = self.known.iter().filter(alive).filter_map(|other| other.mean.get(kind)).copied();
        let nearest = nearest.fold(f32::MIN, f32::max);
        let own = instance.mean.get(kind).copied()?;
        // Where a sibling has gone half the way too, it is the load and not the environment.
        if siblings < LEAST_SIBLINGS || nearest > own / 2.0 {
            return None;
        }
        let bits = bits.min(MOST_BITS) - EVERYDAY - (siblings as f64 + 1.0).log2();
        let usual = *self.usual.get(kind)?;
        let observed = f64::from(own * usual.variance.sqrt() + usual.mean).exp2() as u64;
        let (quantity, usual) = (*COMPARED.get(kind)?, f64::from(usual.mean).exp2() as u64);
        (bits > 0.0).then_some(Divergent { quantity, bits, observed, usual, siblings: siblings as u64 })
    }

    /// Distances from the function's means, which then learn.
    fn distances(&mut self, seen: &Observation<'_>) -> [f32; KINDS] {
        let mut distances = [0.0; KINDS];
        let keeps = (self.n as f32).min(FUNCTION_KEEPS);
        for ((distance, usual), quantity) in distances.iter_mut().zip(&mut self.usual).zip(COMPARED) {
            let Some((_, value)) = seen.quantities.iter().find(|(found, _)| *found == quantity) else { continue };
            let value = ((*value as f32) + 1.0).log2();
            let deviation = usual.variance.sqrt().max(0.1);
            let off = (value - usual.mean) / deviation;
            *distance = off.clamp(-MOST_DISTANCE, MOST_DISTANCE);
            let step = if self.n < 16 { value - usual.mean } else { *distance * deviation };
            usual.mean += step / keeps;
            usual.variance += (step * step - usual.variance) / keeps;
        }
        distances
    }

    /// Where `instance` is, in the place of the one unseen longest if it is new.
    fn place(&mut self, instance: u64, now: Nanos) -> usize {
        if let Some(place) = self.known.iter().position(|known| known.hash == instance) {
            return place;
        }
        let fresh = Instance { hash: instance, last_seen: now, ..Instance::default() };
        if self.known.len() < MOST {
            self.known.push(fresh);
            return self.known.len() - 1;
        }
        let oldest = self.known.iter().enumerate().min_by_key(|(_, known)| known.last_seen);
        let place = oldest.map_or(0, |(place, _)| place);
        if let Some(known) = self.known.get_mut(place) {
            *known = fresh;
        }
        place
    }
}

/// `−log2 P(Z > z)` of a normal distribution, by Mills' ratio; 0 below 1.
fn tail_bits(z: f64) -> f64 {
    if z < 1.0 {
        return 0.0;
    }
    (z * z / 2.0 + (z * (2.0 * std::f64::consts::PI).sqrt()).ln()) * std::f64::consts::LOG2_E
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::tests::plain;

    /// Five environments take turns; the strongest bits that environment 1 had once it took `factor` times the time.
    fn strongest(factor: u64, everywhere: bool) -> f64 {
        let (mut instances, mut strongest) = (Instances::default(), 0.0_f64);
        for n in 0..3000_u64 {
            let instance = 1 + n % 5;
            let changed = n > 2000 && (instance == 1 || everywhere);
            let time = 8000 + crate::faas::intern::mix(n, 3) % 8000;
            let quantities = [
                (Quantity::SelfTimeUs, if changed { time * factor } else { time }),
                (Quantity::Calls, 3 + crate::faas::intern::mix(n, 5) % 2),
            ];
            let at = 1_800_000_000_000_000_000 + n * 1_000_000_000;
            let seen = Observation { instance, quantities: &quantities, ..plain(at) };
            if let Some(divergent) = instances.add(&seen, at) {
                assert_eq!(divergent.quantity, Quantity::SelfTimeUs);
                strongest = strongest.max(divergent.bits);
            }
        }
        strongest
    }

    #[test]
    fn one_environment_that_works_more_than_its_siblings_stands_out() {
        assert!(strongest(1, false) < 0.1, "alike: {}", strongest(1, false));
        assert!(strongest(2, false) > 4.0, "twice the time: {}", strongest(2, false));
        assert!(strongest(2, true) < 0.1, "all of them: {}", strongest(2, true));
    }
}
