//! Byte-weighted admission: how much request data this receiver may hold at once, from the first byte of a body until
//! its answer. Refusing before reading is what keeps memory flat when senders outrun the pipeline.
//!
//! Where the pipeline has a `memory_limiter`, what it leaves is heeded too: it refuses what has been read, and reading is
//! most of the cost. Memory lags behind what is held and is more than that: pieces of bodies keep whole buffers, processors
//! copy, and the allocator keeps what was freed for a second. So how much may be held is found out: a little more as long as
//! it is made use of and memory suffices, and less when it does not.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::pipeline::Headroom;

/// Of what memory leaves, one part in so many may be held at first, and in addition each time it is looked at.
const SHARE: i64 = 4;
/// How long it takes to see in memory that less is held: as long as the allocator keeps what was freed.
const LATELY: Duration = Duration::from_secs(1);
/// So many usual bodies are held whatever memory leaves.
const FEW: usize = 4;
/// The weight of one body in the usual size: one part in so many.
const WEIGHT: usize = 8;

/// Bytes that may be in hand.
#[derive(Clone, Debug)]
pub struct Admission(Arc<Room>);

#[derive(Debug)]
struct Room {
    most: usize,
    held: AtomicUsize,
    /// The most that was held since memory was looked at.
    peak: AtomicUsize,
    /// As far as memory allows.
    allowed: AtomicUsize,
    /// How long bodies are.
    usual: AtomicUsize,
    memory: Mutex<Memory>,
}

/// What was learned of memory.
#[derive(Debug, Default)]
struct Memory {
    heeded: Option<Instant>,
    /// What has turned out to fit.
    fits: i64,
    less_since: Option<Instant>,
    /// The most that was held in this period and in the one before it.
    peaks: [i64; 2],
    period: Option<Instant>,
}

/// The bytes one request holds; given back when dropped.
#[derive(Debug)]
pub struct Admitted {
    room: Arc<Room>,
    bytes: usize,
}

impl Admission {
    /// Room for `bytes`.
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Room {
            most: bytes,
            held: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            allowed: AtomicUsize::new(usize::MAX),
            usual: AtomicUsize::new(0),
            memory: Mutex::default(),
        }))
    }

    /// Holds no more from here on than `headroom` allows; everything if there is no limit.
    pub fn heed(&self, headroom: Option<Headroom>) {
        let room = &self.0;
        let allowed = match headroom {
            None => usize::MAX,
            Some(headroom) => {
                let mut memory = room.memory.lock().unwrap_or_else(PoisonError::into_inner);
                if memory.heeded == Some(headroom.at) {
                    return;
                }
                let peak = room.peak.swap(room.held.load(Ordering::Relaxed), Ordering::Relaxed);
                memory.allows(headroom, i64::try_from(peak).unwrap_or(i64::MAX)).max(0) as usize
            }
        };
        room.allowed.store(allowed, Ordering::Relaxed);
    }

    /// A request that holds nothing yet and has announced `bytes`, zero if it has not; `None` when there is no room for
    /// it now. An announcement holds nothing: it costs its sender nothing either.
    pub fn begin(&self, bytes: usize) -> Option<Admitted> {
        let room = &self.0;
        let expected = bytes.max(room.usual.load(Ordering::Relaxed));
        room.may_be(room.held.load(Ordering::Relaxed), 0, expected).then(|| Admitted { room: room.clone(), bytes: 0 })
    }
}

impl Room {
    /// Whether `more` may be held in addition to `held`, of which `own` belong to the same request. A few are always let in:
    /// it is for the pipeline to say whether memory is short.
    fn may_be(&self, held: usize, own: usize, more: usize) -> bool {
        let all = held.saturating_add(more);
        let few = self.usual.load(Ordering::Relaxed).saturating_mul(FEW);
        all <= self.most && (held == own || all <= self.allowed.load(Ordering::Relaxed).max(few))
    }
}

impl Memory {
    /// How much may be held when memory leaves `headroom` and at most `peak` was held since the last time.
    fn allows(&mut self, Headroom { bytes, at }: Headroom, peak: i64) -> i64 {
        let passed = |since: Option<Instant>| since.is_none_or(|since| at.saturating_duration_since(since) >= LATELY);
        if passed(self.period) {
            (self.period, self.peaks) = (Some(at), [0, self.peaks[0]]);
        }
        self.peaks[0] = self.peaks[0].max(peak);
        let lately = self.peaks[0].max(self.peaks[1]);
        if self.heeded.is_none() {
            self.fits = bytes / SHARE;
        } else if bytes > 0 && peak > self.fits / 2 {
            self.fits += bytes / SHARE;
        } else if bytes < 0 && passed(self.less_since) {
            (self.less_since, self.fits) = (Some(at), self.fits.min(lately) + bytes);
        }
        self.heeded = Some(at);
        self.fits = self.fits.max(0);
        self.fits.min(lately + if bytes > 0 { bytes / SHARE } else { bytes })
    }
}

impl Admitted {
    /// Holds at least `bytes` in all; `false` when there is no room now.
    pub fn hold(&mut self, bytes: usize) -> bool {
        let Some(more) = bytes.checked_sub(self.bytes).filter(|more| *more > 0) else { return true };
        let room = &self.room;
        let taken = room.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
            room.may_be(held, self.bytes, more).then(|| held + more)
        });
        let Ok(before) = taken else { return false };
        room.peak.fetch_max(before + more, Ordering::Relaxed);
        self.bytes = bytes;
        true
    }

    /// Says that everything that was to come is held.
    pub fn is_complete(&self) {
        // Two at once may each miss the other; it is an estimate.
        let usual = self.room.usual.load(Ordering::Relaxed);
        self.room.usual.store(usual - usual / WEIGHT + self.bytes / WEIGHT, Ordering::Relaxed);
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.room.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_bounded_and_given_back() {
        let admission = Admission::new(100);
        let mut first = admission.begin(0).unwrap();
        assert!(first.hold(60) && first.hold(60) && first.hold(80));
        let mut second = admission.begin(0).unwrap();
        assert!(!second.hold(21), "only 20 bytes are left");
        assert!(second.hold(20));
        drop(first);
        assert!(second.hold(100));
        assert!(!second.hold(101), "never more than the limit");
        assert!(admission.begin(1).is_none());
        drop(second);
        assert!(admission.begin(100).is_some() && admission.begin(101).is_none());
    }

    const MIB: i64 = 1 << 20;

    /// What may be held, MiB, at each look: memory left, and the most that was held since the last one.
    #[tokio::test(start_paused = true)]
    async fn as_much_is_held_as_turns_out_to_fit() {
        let mut memory = Memory::default();
        #[rustfmt::skip]
        let table = [
            ("a part at first",                           40,  0,  10),
            ("no more while it is not needed",            40,  4,  10),
            ("more when it is made use of",               40,  9,  19),
            ("and more",                                  20,  18, 23),
            ("less when memory is short",                 -4,  23, 19),
            ("which takes a while to show",               -4,  15, 19),
            ("little left: little more than was held",    4,   2,  19),
        ];
        for (row, bytes, peak, expected) in table {
            tokio::time::advance(Duration::from_millis(5)).await;
            let allowed = memory.allows(Headroom { bytes: bytes * MIB, at: Instant::now() }, peak * MIB);
            assert_eq!(allowed / MIB, expected, "{row}");
        }
        // What is in memory now is not what is held here.
        for expected in [19, 1] {
            tokio::time::advance(LATELY).await;
            assert_eq!(memory.allows(Headroom { bytes: 4 * MIB, at: Instant::now() }, 0) / MIB, expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_reading_is_heeded_once_and_one_request_always_comes_in() {
        let admission = Admission::new(1000);
        let mut first = admission.begin(0).unwrap();
        assert!(first.hold(100));
        let full = Some(Headroom { bytes: 0, at: Instant::now() });
        let mut second = admission.begin(0).unwrap();
        admission.heed(full);
        assert!(!second.hold(1) && admission.begin(0).is_none(), "others have to go first");
        admission.heed(None);
        assert!(second.hold(200));
        drop(second);
        admission.heed(full);
        assert!(admission.begin(200).is_some(), "heeded before");
        tokio::time::advance(Duration::from_millis(1)).await;
        admission.heed(Some(Headroom { bytes: -1, at: Instant::now() }));
        assert!(admission.begin(0).is_none());
        drop(first);
        assert!(admission.begin(1000).unwrap().hold(1000), "alone, it is for the pipeline to refuse");
        assert!(admission.begin(1001).is_none());
    }
}
