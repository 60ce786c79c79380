//! Text to 64 bits, and a bounded memory of what was worked out before.
//!
//! **The hash is part of the saved model**: it must never change. It folds 64 × 64 → 128-bit products over 16-byte
//! blocks, little endian, and finishes with the length (the construction of wyhash, its constants our own). It is
//! not keyed, so whoever can choose names freely can make two of them collide; what he gains is a key that looks
//! known, for names he may choose at will anyway. Memories, which must not be slowed down from outside, are keyed.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::RandomState;
use hashbrown::HashMap;

const FIRST: u64 = 0xa076_1d64_78bd_642f;
const SECOND: u64 = 0xe703_7ed1_a0b4_28db;
const THIRD: u64 = 0x8ebc_6af0_9c88_c6e3;

/// High and low half of the product, folded.
#[inline]
const fn fold(left: u64, right: u64) -> u64 {
    let product = left as u128 * right as u128;
    (product as u64) ^ ((product >> 64) as u64)
}

/// `value` mixed into `state`; the order matters.
#[inline]
pub const fn mix(state: u64, value: u64) -> u64 {
    fold(state ^ FIRST, value ^ SECOND)
}

/// The hash of `bytes`, starting from `seed`.
#[inline]
pub fn hash_from(seed: u64, bytes: &[u8]) -> u64 {
    let mut state = seed ^ THIRD;
    let mut rest = bytes;
    while let Some((block, after)) = rest.split_first_chunk::<16>() {
        if after.is_empty() {
            break;
        }
        let (low, high) = halves(block);
        state = fold(low ^ FIRST ^ state, high ^ SECOND);
        rest = after;
    }
    // Between 0 and 16 bytes are left; overlapping reads cover them without a loop.
    let (low, high) = match (rest.first_chunk::<8>(), rest.last_chunk::<8>()) {
        (Some(head), Some(tail)) => (u64::from_le_bytes(*head), u64::from_le_bytes(*tail)),
        _ => match (rest.first_chunk::<4>(), rest.last_chunk::<4>()) {
            (Some(head), Some(tail)) => (u64::from(u32::from_le_bytes(*head)), u64::from(u32::from_le_bytes(*tail))),
            _ => (rest.iter().fold(0, |packed, byte| packed << 8 | u64::from(*byte)), 0),
        },
    };
    fold(low ^ FIRST ^ state, high ^ SECOND ^ (bytes.len() as u64).wrapping_mul(THIRD))
}

#[inline]
const fn halves(block: &[u8; 16]) -> (u64, u64) {
    let both = u128::from_le_bytes(*block);
    (both as u64, (both >> 64) as u64)
}

/// The stable hash of a text.
pub fn stable_hash(text: &str) -> u64 {
    hash_from(0, text.as_bytes())
}

/// For maps whose keys are hashes of ours already, made with a secret seed.
#[derive(Clone, Copy, Debug, Default)]
struct AlreadyHashed;

struct Passing(u64);

impl Hasher for Passing {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = hash_from(self.0, bytes);
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

impl BuildHasher for AlreadyHashed {
    type Hasher = Passing;

    fn build_hasher(&self) -> Passing {
        Passing(0)
    }
}

/// A secret to start signatures from, new in every process.
pub fn secret() -> u64 {
    RandomState::default().hash_one(0u64)
}

/// Values by signature, at most a fixed number of them: when the newer half is full, the older half goes, and what is
/// used comes back into the newer one. Signatures must be hashes that started from a [`secret`].
#[derive(Clone, Debug)]
pub struct Memory<V> {
    newer: HashMap<u64, V, AlreadyHashed>,
    older: HashMap<u64, V, AlreadyHashed>,
    half: usize,
    forgotten: u64,
}

impl<V: Clone> Memory<V> {
    /// A memory of at most `capacity` values.
    pub fn new(capacity: usize) -> Self {
        let half = (capacity / 2).max(1);
        let empty = || HashMap::with_hasher(AlreadyHashed);
        Self { newer: empty(), older: empty(), half, forgotten: 0 }
    }

    /// What is remembered under `signature`.
    #[inline]
    pub fn get(&mut self, signature: u64) -> Option<V> {
        if let Some(value) = self.newer.get(&signature) {
            return Some(value.clone());
        }
        let value = self.older.remove(&signature)?;
        self.put(signature, value.clone());
        Some(value)
    }

    /// Remembers `value`.
    pub fn put(&mut self, signature: u64, value: V) {
        if self.newer.len() >= self.half {
            self.forgotten += self.older.len() as u64;
            std::mem::swap(&mut self.newer, &mut self.older);
            self.newer.clear();
        }
        self.newer.insert(signature, value);
    }

    /// How many values had to go.
    pub const fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.newer.len() + self.older.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_hash_never_changes() {
        // Saved models hold these: a failure here is a broken model format, not a test to adapt.
        for (text, hash) in [
            ("", 0x55ba_897d_2af3_577c),
            ("a", 0x40d8_e872_5ba7_8d10),
            ("dynamodb.GetItem", 0xa6d6_77cb_f33c_b626),
            ("dynamodb:table/bookings", 0x719d_af99_6233_7ca3),
            ("a text of more than two blocks of sixteen bytes", 0x19cf_d5d9_54f5_b632),
        ] {
            assert_eq!(stable_hash(text), hash, "{text:?}");
        }
    }

    #[test]
    fn near_texts_differ() {
        let texts = (0..2000).flat_map(|n| {
            let digits = format!("{n:040}");
            (0..40).map(move |len| digits[len..].to_owned()).collect::<Vec<_>>()
        });
        let texts: HashSet<String> = texts.collect();
        let hashes: HashSet<u64> = texts.iter().map(|text| stable_hash(text)).collect();
        assert_eq!(hashes.len(), texts.len());
    }

    #[test]
    fn a_memory_is_bounded_and_keeps_what_is_used() {
        let mut memory = Memory::new(100);
        memory.put(7, "used");
        for signature in 1000..2000 {
            assert_eq!(memory.get(7), Some("used"), "{signature}");
            memory.put(signature, "passing");
            assert!(memory.len() <= 100);
        }
        assert_eq!(memory.get(1000), None);
        assert!(memory.forgotten() > 800);
    }
}
