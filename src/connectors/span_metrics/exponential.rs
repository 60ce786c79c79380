//! Buckets whose bounds are powers of 2^(2^-scale), finer while the measurements are close together.

/// As fine as OTLP's SDKs begin.
const FINEST: i32 = 20;
/// One bucket for everything.
const COARSEST: i32 = -10;

/// Counts of positive measurements, in at most `max_size` buckets.
#[derive(Clone, Debug)]
pub struct Buckets {
    max_size: usize,
    scale: i32,
    offset: i32,
    counts: Vec<u64>,
}

impl Buckets {
    /// None yet.
    pub const fn new(max_size: usize) -> Self {
        Self { max_size, scale: FINEST, offset: 0, counts: Vec::new() }
    }

    /// Bounds are powers of 2^(2^-scale).
    pub const fn scale(&self) -> i32 {
        self.scale
    }

    /// Index of the first of [`counts`](Self::counts).
    pub const fn offset(&self) -> i32 {
        self.offset
    }

    /// Measurements in each bucket.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Counts a positive, finite measurement.
    pub fn add(&mut self, value: f64) {
        let mut index = bucket(value, self.scale);
        if self.counts.is_empty() {
            self.offset = index;
        }
        let buckets = i32::try_from(self.counts.len()).unwrap_or(i32::MAX);
        let last = self.offset.saturating_add(buckets - 1).max(self.offset);
        let (mut low, mut high) = (self.offset.min(index), last.max(index));
        let most = i64::try_from(self.max_size).unwrap_or(i64::MAX);
        let mut halvings = 0;
        while i64::from(high) - i64::from(low) >= most && self.scale - halvings > COARSEST {
            (low, high, halvings) = (low >> 1, high >> 1, halvings + 1);
        }
        self.coarsen(halvings);
        index >>= halvings;
        if index < self.offset {
            let missing = usize::try_from(self.offset - index).unwrap_or_default();
            self.counts.splice(..0, std::iter::repeat_n(0, missing));
            self.offset = index;
        }
        let at = usize::try_from(index - self.offset).unwrap_or_default();
        if at >= self.counts.len() {
            self.counts.resize(at + 1, 0);
        }
        if let Some(count) = self.counts.get_mut(at) {
            *count += 1;
        }
    }

    /// Joins each 2^`halvings` buckets.
    fn coarsen(&mut self, halvings: i32) {
        if halvings == 0 {
            return;
        }
        let offset = self.offset >> halvings;
        let mut joined: Vec<u64> = Vec::new();
        for (index, count) in (self.offset..).zip(&self.counts) {
            let at = usize::try_from((index >> halvings) - offset).unwrap_or_default();
            if at >= joined.len() {
                joined.resize(at + 1, 0);
            }
            if let Some(sum) = joined.get_mut(at) {
                *sum += count;
            }
        }
        (self.counts, self.offset, self.scale) = (joined, offset, self.scale - halvings);
    }
}

/// The bucket of `value`: its lower bound is less than the value, its upper bound is not.
fn bucket(value: f64, scale: i32) -> i32 {
    let bits = value.to_bits();
    let mantissa = bits & ((1 << 52) - 1);
    let exponent = (bits >> 52 & 0x7ff) as i32 - 1023;
    // Exact powers of two, where a logarithm may err, are the upper bounds of their buckets.
    if mantissa == 0 || scale <= 0 {
        let whole = if mantissa == 0 { exponent - 1 } else { exponent };
        return if scale > 0 { ((whole + 1) << scale) - 1 } else { whole >> -scale };
    }
    (value.log2() * f64::from(1 << scale)).ceil() as i32 - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(buckets: &Buckets, at: usize) -> (f64, f64) {
        let power = |index: i32| (f64::from(index) * (-f64::from(buckets.scale())).exp2()).exp2();
        let index = buckets.offset() + at as i32;
        (power(index), power(index + 1))
    }

    /// Scenario: durations from a microsecond to an hour, in a scrambled order.
    /// Guarantees: every count is kept, never in more buckets than allowed, each within its bounds.
    #[test]
    fn every_measurement_is_in_a_bucket_whose_bounds_hold_it() {
        let values: Vec<f64> = (0..2000_u32).map(|n| f64::from((n * 7919) % 2000 + 1).powi(4) * 1e-3).collect();
        for max_size in [2, 20, 160] {
            let mut buckets = Buckets::new(max_size);
            for value in &values {
                buckets.add(*value);
            }
            assert!(buckets.counts().len() <= max_size, "{max_size}");
            assert_eq!(buckets.counts().iter().sum::<u64>(), values.len() as u64);
            for (at, count) in buckets.counts().iter().enumerate() {
                let (low, high) = bounds(&buckets, at);
                let expected =
                    values.iter().filter(|value| **value > low * (1.0 + 1e-12) && **value <= high * (1.0 + 1e-12));
                assert_eq!(expected.count() as u64, *count, "max_size {max_size}, ({low}, {high}]");
            }
        }
    }

    #[test]
    fn a_power_of_two_is_the_upper_bound_of_its_bucket() {
        for (value, scale, expected) in [
            (1.0, 0, -1),
            (2.0, 0, 0),
            (2.1, 0, 1),
            (4.0, 1, 3),
            (4.1, 1, 4),
            (0.25, -1, -2),
            (1024.0, -2, 2),
            (3.0, 20, 1_661_953),
        ] {
            assert_eq!(bucket(value, scale), expected, "{value} at scale {scale}");
        }
    }

    #[test]
    fn one_value_often_needs_one_bucket_and_stays_fine() {
        let mut buckets = Buckets::new(160);
        for _ in 0..5 {
            buckets.add(123.456);
        }
        assert_eq!((buckets.counts(), buckets.scale()), (&[5][..], FINEST));
    }

    #[test]
    fn the_extremes_of_floats_fit() {
        let mut buckets = Buckets::new(2);
        for value in [f64::MIN_POSITIVE, 1.0, f64::MAX] {
            buckets.add(value);
        }
        assert_eq!(buckets.counts().iter().sum::<u64>(), 3);
        assert!(buckets.counts().len() <= 2);
    }
}
