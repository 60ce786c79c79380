//! The detector: a pure library. Observations in, verdicts out; no tokio, no OTLP, no files, no wall clock.
//!
//! Counting models with explicit uncertainty: [`keys`](self) say what was touched before, `order` how it usually goes,
//! `magnitude` how much is usual, `windows` how much in an hour, `drift` over weeks, `instances` beside siblings, `rhythm`
//! how regularly; each gives surprise in bits. `unheard` and `rollout` know what others do at the same time. Bits of one
//! kind of act are merged, of independent kinds added; `calibration` standardises the sum on function-days and draws the
//! line on fleet-days, so that the one number the user sets holds. Learning comes after scoring, later than ten minutes, and never from what was judged an anomaly.
//!
//! Everything is in event time and deterministic: the same observations in the same order give the same verdicts.

pub mod observation;
pub mod verdict;

mod ablation;
mod calibration;
mod detector;
mod drift;
mod evidence;
mod exceptions;
mod fleet;
mod function;
mod instances;
mod keys;
pub(crate) mod magnitude;
mod monitor;
mod order;
mod portrait;
mod rhythm;
mod rollout;
mod saved;
mod scoring;
mod unheard;
mod windows;

pub use ablation::Part;
pub use detector::{Counters, Detector, Settings, version_hash};
pub use exceptions::{Covered, Exception, Reach, matches};
pub use fleet::Mask;
pub use portrait::{Caller, Distribution, EpochSeen, KeySeen, Portrait};
pub use saved::Damaged;

use std::hash::{BuildHasherDefault, Hasher};

use observation::Nanos;

const SECOND: Nanos = 1_000_000_000;
const MINUTE: Nanos = 60 * SECOND;
const DAY: Nanos = 86_400 * SECOND;

/// Maps whose keys are hashes already.
type HashMap<V> = hashbrown::HashMap<u64, V, BuildHasherDefault<Mixed>>;

/// Spreads a 64-bit hash that hostile input may have chosen; fixed, so that runs repeat.
#[derive(Clone, Copy, Debug, Default)]
struct Mixed(u64);

impl Hasher for Mixed {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = mix(self.0, value);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// One round of a multiply-and-fold hash.
const fn mix(state: u64, value: u64) -> u64 {
    let product = (state ^ value ^ 0x9e37_79b9_7f4a_7c15) as u128 * 0xd6e8_feb8_6659_fd93_u128;
    (product as u64) ^ ((product >> 64) as u64)
}

/// When learning comes after seeing: an incident has this long to veto what it showed.
const LEARNING_DELAY: Nanos = 10 * MINUTE;

#[cfg(test)]
mod tests;
