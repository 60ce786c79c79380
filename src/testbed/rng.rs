//! The simulator's chance: a seeded generator and the few distributions it draws from.
//!
//! xoshiro256++ (Blackman and Vigna, "Scrambled linear pseudorandom number generators", 2021), its state filled by
//! `SplitMix64` (Steele, Lea and Flood, 2014), as its authors advise. Not for secrets. The same seed gives the same
//! sequence on any machine; the distributions also rest on the platform's `ln`, `exp` and `cos`.

/// A seeded source of numbers.
#[derive(Clone, Debug)]
pub struct Rng {
    state: [u64; 4],
}

impl Rng {
    /// A generator whose whole sequence follows from `seed`.
    pub fn new(seed: u64) -> Self {
        let mut counter = seed;
        let state = std::array::from_fn(|_| {
            counter = counter.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (counter ^ (counter >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        });
        Self { state }
    }

    /// The next 64 bits.
    #[inline]
    pub fn bits(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let result = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        result
    }

    /// Uniform in `0..1`.
    #[inline]
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Uniform in `0..bound`; zero when `bound` is.
    #[inline]
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// True this often.
    #[inline]
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Standard normal (Box and Muller).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// Log-normal, by its median and the standard deviation of its logarithm.
    pub fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        median * (sigma * self.normal()).exp()
    }

    /// How many arrivals there are where `mean` are expected. Above 30, the normal approximation.
    pub fn poisson(&mut self, mean: f64) -> u64 {
        if mean > 30.0 {
            return (mean + mean.sqrt() * self.normal()).round().max(0.0) as u64;
        }
        let floor = (-mean).exp();
        let mut product = self.unit();
        let mut count = 0;
        while product > floor {
            product *= self.unit();
            count += 1;
        }
        count
    }

    /// A trace id: sixteen bytes, not all zero.
    pub fn trace_id(&mut self) -> [u8; 16] {
        ((u128::from(self.bits()) << 64) | u128::from(self.bits() | 1)).to_be_bytes()
    }

    /// A span id: eight bytes, not all zero.
    pub fn span_id(&mut self) -> [u8; 8] {
        (self.bits() | 1).to_be_bytes()
    }

    /// A random (version 4) UUID in its usual form.
    pub fn uuid(&mut self) -> Uuid {
        let mut bits = (u128::from(self.bits()) << 64) | u128::from(self.bits());
        bits = (bits & !(0xf << 76)) | (4 << 76);
        bits = (bits & !(3 << 62)) | (2 << 62);
        let mut text = [b'-'; 36];
        let digits = (0..32).rev().map(|nibble| HEX[(bits >> (4 * nibble)) as usize & 15]);
        let places = text.iter_mut().enumerate().filter(|(at, _)| !matches!(at, 8 | 13 | 18 | 23));
        for ((_, place), digit) in places.zip(digits) {
            *place = digit;
        }
        Uuid(text)
    }

    /// Fills `text` with letters and digits, as AWS makes its request ids.
    pub fn fill_id(&mut self, text: &mut [u8]) {
        for chunk in text.chunks_mut(12) {
            let mut bits = self.bits();
            for place in chunk {
                *place = BASE32[bits as usize & 31];
                bits >>= 5;
            }
        }
    }
}

/// A UUID as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uuid([u8; 36]);

impl Uuid {
    /// `8-4-4-4-12` lower-case hex digits.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";

#[cfg(test)]
mod tests {
    use super::*;

    /// From the reference implementation at <https://prng.di.unimi.it>, run with this state.
    #[test]
    fn the_sequence_is_xoshiro256_plus_plus() {
        let mut rng = Rng { state: [1, 2, 3, 4] };
        let first: Vec<u64> = (0..4).map(|_| rng.bits()).collect();
        assert_eq!(first, [41_943_041, 58_720_359, 3_588_806_011_781_223, 3_591_011_842_654_386]);
    }

    #[test]
    fn distributions_have_their_means() {
        let mut rng = Rng::new(7);
        let mut mean = |draw: &mut dyn FnMut(&mut Rng) -> f64| (0..40_000).map(|_| draw(&mut rng)).sum::<f64>() / 4e4;
        let table: [(&str, f64, f64); 5] = [
            ("unit", mean(&mut Rng::unit), 0.5),
            ("below", mean(&mut |r| r.below(11) as f64), 5.0),
            ("few", mean(&mut |r| r.poisson(2.5) as f64), 2.5),
            ("many", mean(&mut |r| r.poisson(80.0) as f64), 80.0),
            ("log-normal", mean(&mut |r| r.log_normal(10.0, 0.5)), 10.0 * 0.125_f64.exp()),
        ];
        for (name, found, expected) in table {
            assert!((found / expected - 1.0).abs() < 0.02, "{name}: {found} for {expected}");
        }
    }

    #[test]
    fn a_uuid_says_its_version() {
        let uuid = Rng::new(1).uuid();
        let marks: Vec<_> = uuid.as_str().match_indices('-').map(|(at, _)| at).collect();
        assert_eq!(marks, [8, 13, 18, 23]);
        assert_eq!(uuid.as_str().as_bytes()[14], b'4');
        assert!(b"89ab".contains(&uuid.as_str().as_bytes()[19]));
    }
}
