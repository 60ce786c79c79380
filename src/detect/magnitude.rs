//! How much is usual: log-histograms of durations, sizes and counts.
//!
//! A value's surprise is the conformal p-value of its rank, `(values at least as large + 1) / (n + 1)`; beyond
//! everything seen, a Pareto tail goes on: two bits for each doubling. What is learned is winsorised: one value widens
//! what is known by at most an octave.

use super::observation::Quantity;

/// A value that is merely the highest so far says no more than this above [`EVERYDAY`], bits: somebody has to be.
const MOST_RANK: f64 = 4.0;
/// Surprises weaker than this are everyday; stronger ones count for what they have above it, bits.
pub const EVERYDAY: f64 = 4.0;

/// Buckets an octave.
const PER_OCTAVE: u32 = 4;
/// Kinds of quantities.
pub const QUANTITIES: usize = Quantity::ALL.len();
/// Powers of two told apart by [`log2_bucket`].
pub const LOG2_BUCKETS: usize = 12;
/// Bits for each bucket beyond everything seen.
const TAIL_BITS: f64 = 0.5;
/// Counts are halved when they reach this: the last weeks weigh more than the last year.
const HALVE_AT: u32 = 1 << 20;

/// 0 for 1, 1 for 2 and 3, 2 for 4 to 7, …
pub fn log2_bucket(count: u32) -> usize {
    (count.max(1).ilog2() as usize).min(LOG2_BUCKETS - 1)
}

/// Which bucket a value falls into; buckets of an octave are equally wide.
fn bucket(value: u64) -> u8 {
    let value = value.max(1);
    let octave = value.ilog2();
    let within = if octave >= 2 { (value >> (octave - 2)) & 3 } else { (value << (2 - octave)) & 3 };
    (octave * PER_OCTAVE + within as u32).min(255) as u8
}

/// The largest value of a bucket.
fn upper(bucket: u8) -> u64 {
    let (octave, within) = (u32::from(bucket) / PER_OCTAVE, u64::from(u32::from(bucket) % PER_OCTAVE));
    let wide = u128::from(4 + within + 1) << octave;
    u64::try_from(wide.div_ceil(4) - 1).unwrap_or(u64::MAX)
}

/// A sparse log-histogram: most have a dozen buckets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// `(bucket, count)`, ascending.
    pub counts: Vec<(u8, u32)>,
    /// Their sum.
    pub n: u32,
}

impl Histogram {
    /// Surprise of a value, bits.
    pub fn surprise(&self, value: u64) -> f64 {
        let (rank, beyond) = self.rank(value);
        rank + beyond
    }

    /// What a value's surprise has above [`EVERYDAY`], bits; not above 0 if nothing.
    pub fn excess(&self, value: u64) -> f64 {
        let (rank, beyond) = self.rank(value);
        (rank - EVERYDAY).min(MOST_RANK) + beyond
    }

    /// How high a value ranks among all, and how far it lies beyond them, bits.
    fn rank(&self, value: u64) -> (f64, f64) {
        let Some((top, _)) = self.counts.last() else { return (0.0, 0.0) };
        let found = bucket(value);
        // Far below the top nothing is surprising, and counting is not needed.
        let mut above = 0;
        for (bucket, count) in self.counts.iter().rev() {
            if *bucket < found {
                break;
            }
            above += count;
        }
        let rank = (f64::from(self.n) + 1.0) / (f64::from(above) + 1.0);
        (rank.log2(), TAIL_BITS * f64::from(found.saturating_sub(*top)))
    }

    /// The largest value but for one in a thousand.
    pub fn usual_at_most(&self) -> u64 {
        let mut rest = self.n / 1000;
        for (bucket, count) in self.counts.iter().rev() {
            if *count > rest {
                return upper(*bucket);
            }
            rest -= count;
        }
        0
    }

    /// Half of the values are at most this, about: the smallest of its bucket.
    pub fn middle(&self) -> u64 {
        let mut rest = self.n / 2;
        for (bucket, count) in &self.counts {
            if *count > rest {
                return bucket.checked_sub(1).map_or(0, upper);
            }
            rest -= count;
        }
        0
    }

    /// No value up to this is more than everyday.
    pub fn everyday_at_most(&self) -> u64 {
        let enough = (f64::from(self.n) + 1.0) / EVERYDAY.exp2() - 1.0;
        let mut above = 0;
        for (bucket, count) in self.counts.iter().rev() {
            above += count;
            if f64::from(above) >= enough {
                return upper(*bucket);
            }
        }
        0
    }

    /// Largest value and count of each bucket, ascending.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u32)> + '_ {
        self.counts.iter().map(|(bucket, count)| (upper(*bucket), *count))
    }

    /// Learns a value, at most an octave beyond what is known.
    pub fn learn(&mut self, value: u64) {
        let mut found = bucket(value);
        if let Some((top, _)) = self.counts.last().filter(|_| self.n >= 8) {
            found = found.min(top.saturating_add(PER_OCTAVE as u8));
        }
        match self.counts.binary_search_by_key(&found, |(bucket, _)| *bucket) {
            Ok(place) => {
                if let Some((_, count)) = self.counts.get_mut(place) {
                    *count += 1;
                }
            }
            Err(place) => self.counts.insert(place, (found, 1)),
        }
        self.n += 1;
        if self.n >= HALVE_AT {
            self.counts.iter_mut().for_each(|(_, count)| *count = count.div_ceil(2));
            self.n = self.counts.iter().map(|(_, count)| count).sum();
        }
    }
}

/// One histogram for each quantity, warm and cold apart.
#[derive(Clone, Debug, Default)]
pub struct Magnitudes(pub [[Histogram; QUANTITIES]; 2]);

impl Magnitudes {
    /// The histogram of a quantity.
    pub fn of(&self, quantity: Quantity, cold: bool) -> Option<&Histogram> {
        self.0.get(usize::from(cold))?.get(quantity as usize)
    }

    /// The same, to learn.
    pub fn of_mut(&mut self, quantity: Quantity, cold: bool) -> Option<&mut Histogram> {
        self.0.get_mut(usize::from(cold))?.get_mut(quantity as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_monotone_and_their_upper_ends_fall_into_them() {
        let mut last = 0;
        for value in (0..2000).chain((11..64).map(|octave| 1 << octave)).chain([u64::MAX]) {
            let found = bucket(value);
            assert!(found >= last, "{value}");
            last = found;
            assert!(upper(found) >= value.max(1), "{value} in {found} up to {}", upper(found));
            assert_eq!(bucket(upper(found)), found, "{value}");
        }
    }

    #[test]
    fn the_rank_is_the_surprise_and_the_tail_goes_on() {
        let mut histogram = Histogram::default();
        (0..1000).for_each(|n| histogram.learn(100 + n % 50));
        assert!(histogram.surprise(100) < 0.1);
        let top = histogram.surprise(160);
        assert!((top - 1001_f64.log2()).abs() < 1.0, "{top}");
        assert!((histogram.excess(160) - MOST_RANK).abs() < 1.0, "the highest so far says little");
        assert!(histogram.excess(1600) > MOST_RANK + 5.0 && histogram.excess(140) < 0.0);
        assert!(histogram.surprise(1600) > top + 5.0);
        assert!(histogram.surprise(u64::MAX) > histogram.surprise(1 << 40));
    }

    #[test]
    fn up_to_the_everyday_limit_nothing_is_unusual_and_soon_after_it_is() {
        let mut histogram = Histogram::default();
        (0..5000_u64).for_each(|n| histogram.learn(100 + n * n % 997));
        let limit = histogram.everyday_at_most();
        assert!(histogram.surprise(limit) <= EVERYDAY, "{limit}");
        assert!(histogram.surprise(2 * limit) > EVERYDAY, "{limit}");
    }

    #[test]
    fn one_value_widens_what_is_known_by_an_octave() {
        let mut histogram = Histogram::default();
        (0..100).for_each(|_| histogram.learn(100));
        histogram.learn(1_000_000);
        assert!(histogram.usual_at_most() <= 255, "{}", histogram.usual_at_most());
    }
}
