//! Event time: how far the telemetry itself has come.
//!
//! One sender with a wrong clock must not move it: a time more than a day ahead of the watermark counts only when
//! several traces agree on it. The same holds for going back, but only as long as the watermark itself rests on fewer
//! traces than that, so that a wrong first record is got over.

use crate::detect::observation::Nanos;

/// A day of nanoseconds.
pub(super) const DAY: Nanos = 86_400_000_000_000;
/// Traces that must agree.
const VOICES: usize = 3;

/// The latest time that can be believed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock {
    watermark: Nanos,
    /// The traces the watermark rests on, until there are enough.
    backers: Voices,
    /// A time far off, and who has claimed it.
    rival: Nanos,
    claimants: Voices,
}

/// A few traces, each counted once.
#[derive(Clone, Copy, Debug, Default)]
struct Voices {
    traces: [u64; VOICES],
    count: usize,
}

impl Voices {
    fn add(&mut self, trace: u64) {
        let known = self.traces.iter().take(self.count).any(|known| *known == trace);
        if let Some(free) = self.traces.get_mut(self.count)
            && !known
        {
            *free = trace;
            self.count += 1;
        }
    }

    const fn enough(&self) -> bool {
        self.count >= VOICES
    }
}

impl Clock {
    /// The watermark; zero before the first time.
    pub(super) const fn now(&self) -> Nanos {
        self.watermark
    }

    /// Hears of a time, from a record of `trace`.
    #[inline]
    pub(super) fn observe(&mut self, time: Nanos, trace: u64) {
        let near = time <= self.watermark.saturating_add(DAY);
        if near && self.backers.enough() {
            self.watermark = self.watermark.max(time);
        } else {
            self.doubt(time, trace);
        }
    }

    #[cold]
    fn doubt(&mut self, time: Nanos, trace: u64) {
        if time == 0 || time == Nanos::MAX {
            return;
        }
        if self.watermark == 0 {
            self.watermark = time;
        }
        if time.abs_diff(self.watermark) <= DAY {
            self.watermark = self.watermark.max(time);
            self.backers.add(trace);
            return;
        }
        if time.abs_diff(self.rival) > DAY {
            (self.rival, self.claimants) = (time, Voices::default());
        }
        self.rival = self.rival.max(time);
        self.claimants.add(trace);
        if self.claimants.enough() {
            (self.watermark, self.backers) = (self.rival, self.claimants);
            (self.rival, self.claimants) = (0, Voices::default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_follows_the_many() {
        let t = 1_800_000_000_000_000_000;
        let far = t + 900 * DAY;
        for (what, heard, now) in [
            ("nothing", &[][..], 0),
            ("one", &[(t, 1)], t),
            ("later and earlier", &[(t, 1), (t + 5, 2), (t - 5, 3)], t + 5),
            ("impossible times", &[(0, 1), (Nanos::MAX, 2), (t, 3), (Nanos::MAX, 4)], t),
            ("one far ahead", &[(t, 1), (t, 2), (t, 3), (far, 4), (far, 4), (far, 4)], t),
            ("three far ahead", &[(t, 1), (t, 2), (t, 3), (far, 4), (far + 1, 5), (far, 6)], far + 1),
            ("three that disagree", &[(t, 1), (far, 4), (far + 2 * DAY, 5), (far, 6)], t),
            ("a wrong first one", &[(far, 1), (t, 2), (t + 1, 3), (t, 4)], t + 1),
            ("the past of a sound clock", &[(far, 1), (far, 2), (far, 3), (t, 4), (t, 5), (t, 6)], far),
        ] {
            let mut clock = Clock::default();
            for (time, trace) in heard {
                clock.observe(*time, *trace);
            }
            assert_eq!(clock.now(), now, "{what}");
        }
    }
}
