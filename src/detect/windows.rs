//! What a function does in an hour: sums for each invocation, so that bursts cancel, and the rate against the same hour
//! of other days.
//!
//! The hour that is running is compared while it runs: what it has come to already is never more than what it will have
//! come to, so the comparison with whole hours errs on the quiet side and nobody waits for the hour to end.

use super::{
    DAY, MINUTE,
    magnitude::{EVERYDAY, Histogram},
    observation::{Nanos, Observation, Quantity},
    verdict::Measure,
};

/// Kinds of measures.
pub const MEASURES: usize = 8;
/// Ratios are kept as whole numbers, times this.
const SCALE: f64 = 1024.0;
/// An hour with fewer invocations is measured as if it had had so many, the others as ever.
const LEAST_INVOCATIONS: u32 = 16;
/// The same for what the rate is compared with.
const LEAST_EXPECTED: f32 = 8.0;
/// Where nothing ever failed, each failure says no more than this, bits.
const BITS_A_FAILURE: f64 = 2.5;
/// Hours to know before anything is unusual.
const HOURS_FROM: u32 = 24;
const HOUR: Nanos = 60 * MINUTE;
/// Hours of the day, working days and weekends apart.
pub const SLOTS: usize = 48;
/// How fast the profile follows.
const FOLLOWS: f32 = 0.25;
/// Hours that the share of traced invocations stands on, about.
const SHARE_KEEPS: f32 = 0.98;
/// Platform-side invocations before their absence among spans means anything.
const LEAST_REPORTED: f32 = 10.0;
/// Silence weighs no more than this, bits; and a share that has only fallen, as sampling makes it fall.
const MOST_SILENCE: f64 = 20.0;
const MOST_SAMPLING: f64 = 8.0;
/// A share below this is silence.
const SILENT: f64 = 0.02;
/// An excess that was told is told again once it has grown by so much, bits.
const GROWN: f64 = 0.01;
/// More different things than this are not told apart any more.
const MOST_DISTINCT: u64 = 2500;

/// How many different things were touched, to a few per cent, in 128 bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sketch(pub [u64; 16]);

impl Sketch {
    /// Whether that changes the count.
    fn add(&mut self, hash: u64) -> bool {
        let bit = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54;
        let Some(word) = self.0.get_mut((bit >> 6) as usize) else { return false };
        let before = *word;
        *word |= 1 << (bit & 63);
        *word != before
    }

    fn count(&self) -> u64 {
        let ones: u32 = self.0.iter().map(|word| word.count_ones()).sum();
        let zeros = f64::from(1024 - ones).max(0.5);
        (1024.0 * (1024.0 / zeros).ln()).round() as u64
    }
}

/// The hour that is running.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hour {
    /// Since the epoch.
    pub number: u32,
    /// Invocations told in full.
    pub n: u32,
    /// By measure; those of telemetry that is absent stay 0.
    pub sums: [u64; MEASURES],
    /// Measures that telemetry had.
    pub present: u8,
    pub distinct: Sketch,
    /// Something suspicious happened: not learned.
    pub tainted: bool,
    /// Invocations as the platform counted them.
    pub reported: f32,
    /// Surprise already told, by measure, bits: an hour's excess is one fact, not one for each invocation.
    pub told: [f32; MEASURES],
    /// More than usual at this moment.
    pub in_excess: bool,
    /// The excess was found to be an anomaly.
    pub anomalous: bool,
}

/// What is usual for an hour of one function.
#[derive(Clone, Debug)]
pub struct Windows {
    pub hour: Hour,
    /// By measure, of whole hours.
    pub usual: [Histogram; MEASURES],
    /// Nothing below is unusual; by measure.
    pub limits: [f64; MEASURES],
    /// What half of the hours had at most; by measure, where enough hours are known.
    pub middles: [Option<f64>; MEASURES],
    /// Invocations an hour, by slot.
    pub profile: [f32; SLOTS],
    /// Invocations that spans and the platform told of, decaying.
    pub traced: f32,
    pub reported: f32,
}

impl Default for Windows {
    fn default() -> Self {
        Self {
            hour: Hour::default(),
            usual: Default::default(),
            limits: [f64::INFINITY; MEASURES],
            middles: [None; MEASURES],
            profile: [0.0; SLOTS],
            traced: 0.0,
            reported: 0.0,
        }
    }
}

/// Something unusual about the hour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unusual {
    pub measure: Measure,
    pub bits: f64,
    /// For each thousand invocations; the rate: in the hour.
    pub observed: u64,
    pub usual: u64,
    /// Hours it was compared with.
    pub hours: u32,
}

impl Windows {
    /// Goes on to the hour of `now`. What the last one came to, if it is over and had invocations.
    pub fn turn_to(&mut self, now: Nanos) -> Option<Hour> {
        let number = (now / HOUR) as u32;
        if number == self.hour.number {
            return None;
        }
        let ended = std::mem::replace(&mut self.hour, Hour { number, ..Hour::default() });
        self.learn(&ended);
        (ended.n > 0).then_some(ended)
    }

    /// Counts an invocation.
    pub fn add(&mut self, seen: &Observation<'_>) {
        let hour = &mut self.hour;
        hour.n = hour.n.saturating_add(1);
        for (quantity, value) in seen.quantities {
            let measure = match quantity {
                Quantity::Calls => Measure::Calls,
                Quantity::Rows => Measure::Rows,
                Quantity::BytesOut => Measure::BytesOut,
                Quantity::BytesIn => Measure::BytesIn,
                Quantity::DurationUs => Measure::Duration,
                _ => continue,
            };
            hour.put(measure, *value);
        }
        hour.put(Measure::Failures, u64::from(seen.failed));
        let mut fresh = false;
        for resource in seen.resources {
            fresh |= hour.distinct.add(*resource);
        }
        if fresh {
            let distinct = hour.distinct.count();
            let countable = distinct <= MOST_DISTINCT;
            let present = 1 << Measure::Distinct as u8;
            hour.present = if countable { hour.present | present } else { hour.present & !present };
            if let Some(sum) = hour.sums.get_mut(Measure::Distinct as usize) {
                *sum = if countable { distinct } else { 0 };
            }
        }
    }

    /// What is unusual about the hour so far, all of it, if some of it has grown since it was told; or else, with `again`.
    pub fn unusual(&mut self, again: bool, mut tell: impl FnMut(Unusual)) {
        let (mut news, mut found) = (again, [0.0; MEASURES]);
        for measure in Measure::ALL {
            let place = measure as usize;
            let bits = self.surprise(measure);
            news |= bits > f64::from(self.hour.told.get(place).copied().unwrap_or(f32::INFINITY)) + GROWN;
            if let Some(found) = found.get_mut(place) {
                *found = bits;
            }
        }
        self.hour.in_excess = found.iter().any(|bits| *bits > 0.0);
        if !news || !self.hour.in_excess {
            return;
        }
        for (measure, bits) in Measure::ALL.into_iter().zip(found).filter(|(_, bits)| *bits > 0.0) {
            let place = measure as usize;
            let (Some(told), Some(usual)) = (self.hour.told.get_mut(place), self.usual.get(place)) else { continue };
            *told = told.max(bits as f32);
            let ratio = self.ratio(&self.hour, measure);
            let said = |ratio: f64| match measure {
                Measure::Rate => (ratio / SCALE * f64::from(self.expected(self.hour.number))) as u64,
                _ => (ratio / SCALE * 1000.0) as u64,
            };
            let (observed, usual_at_most) = (said(ratio), said(usual.usual_at_most() as f64));
            tell(Unusual { measure, bits, observed, usual: usual_at_most, hours: usual.n });
        }
    }

    /// How unusual the hour is so far, bits; not above 0 if it is not.
    fn surprise(&self, measure: Measure) -> f64 {
        let place = measure as usize;
        let (Some(limit), Some(usual)) = (self.limits.get(place), self.usual.get(place)) else { return 0.0 };
        let ratio = self.ratio(&self.hour, measure);
        if ratio <= *limit {
            return 0.0;
        }
        let bits = usual.excess(ratio as u64);
        match measure {
            Measure::Failures => bits.min(BITS_A_FAILURE * self.hour.sums.get(place).copied().unwrap_or(0) as f64),
            _ => bits,
        }
    }

    /// Counts invocations the platform tells of in a minute that ended at `end`. What comes after its hour is over is left
    /// out: spans of that hour are not counted any more either. Surprise that spans told of so few, bits, with the share seen and usual
    /// in per cent.
    ///
    /// A share that is low but not nothing is what sampling looks like: it weighs little, and becomes usual.
    pub fn reported(&mut self, invocations: u64, end: Nanos) -> Option<(f64, u64, u64)> {
        if (end.saturating_sub(1) / HOUR) as u32 != self.hour.number {
            return None;
        }
        self.hour.reported += invocations as f32;
        let (reported, traced) = (self.hour.reported, self.hour.n as f32);
        if self.reported < 5.0 * LEAST_REPORTED || reported < LEAST_REPORTED {
            return None;
        }
        let usual = f64::from(((self.traced + 1.0) / (self.reported + 1.0)).min(1.0));
        let share = f64::from(traced / reported);
        if share > usual / 2.0 {
            return None;
        }
        // Log-likelihood ratio of a binomial, tempered: invocations of one hour are not independent.
        let kl = divergence(share.clamp(0.0, 0.999), usual.clamp(0.001, 0.999));
        let most = if share < SILENT { MOST_SILENCE } else { MOST_SAMPLING };
        let bits = (0.5 * f64::from(reported) * kl * std::f64::consts::LOG2_E).min(most) - EVERYDAY;
        (bits > 0.0).then_some((bits, (share * 100.0) as u64, (usual * 100.0).round() as u64))
    }

    /// Works out what follows from `usual`, after loading.
    pub fn refresh(&mut self) {
        for ((limit, middle), usual) in self.limits.iter_mut().zip(&mut self.middles).zip(&self.usual) {
            let known = usual.n >= HOURS_FROM;
            *limit = if known { usual.everyday_at_most() as f64 } else { f64::INFINITY };
            *middle = known.then(|| usual.middle() as f64);
        }
    }

    fn learn(&mut self, ended: &Hour) {
        if ended.reported > 0.0 {
            self.traced = self.traced * SHARE_KEEPS + (ended.n as f32).min(ended.reported);
            self.reported = self.reported * SHARE_KEEPS + ended.reported;
        }
        if ended.n == 0 || ended.tainted {
            return;
        }
        for measure in Measure::ALL {
            let ratio = self.ratio(ended, measure);
            if (ended.present >> measure as u8 & 1 == 1 || measure == Measure::Rate)
                && let Some(usual) = self.usual.get_mut(measure as usize)
            {
                usual.learn(ratio as u64);
            }
        }
        let most = 2.0 * self.expected(ended.number);
        if let Some(slot) = self.profile.get_mut(slot(ended.number)) {
            let n = ended.n as f32;
            *slot = if *slot == 0.0 { n } else { *slot + FOLLOWS * (n.min(most) - *slot) };
        }
        self.refresh();
    }

    fn ratio(&self, hour: &Hour, measure: Measure) -> f64 {
        let sum = hour.sums.get(measure as usize).copied().unwrap_or(0);
        if measure == Measure::Rate {
            return f64::from(hour.n) / f64::from(self.expected(hour.number)) * SCALE;
        }
        // A few invocations are a poor mean: they are filled up with usual ones, where usual is known.
        let missing = LEAST_INVOCATIONS.saturating_sub(hour.n);
        let usual = self.middles.get(measure as usize).copied().flatten();
        let (missing, usual) = usual.map_or((0.0, 0.0), |usual| (f64::from(missing), usual));
        (sum as f64 * SCALE + missing * usual) / (f64::from(hour.n.max(1)) + missing)
    }

    fn expected(&self, hour: u32) -> f32 {
        self.profile.get(slot(hour)).copied().unwrap_or(0.0).max(LEAST_EXPECTED)
    }
}

impl Hour {
    pub fn put(&mut self, measure: Measure, value: u64) {
        self.present |= 1 << measure as u8;
        if let Some(sum) = self.sums.get_mut(measure as usize) {
            *sum = sum.saturating_add(value);
        }
    }

    /// What an invocation had of `measure` on average; `None` if telemetry has none of it.
    pub fn sum(&self, measure: Measure) -> Option<u64> {
        (self.present >> measure as u8 & 1 == 1).then(|| self.sums.get(measure as usize).copied())?
    }
}

/// The hour of the day, and whether it is a weekend.
const fn slot(hour: u32) -> usize {
    let (day, hour_of_day) = (hour / 24, hour % 24);
    // The epoch began on a Thursday.
    let weekend = matches!((day + 4) % 7, 0 | 6);
    hour_of_day as usize + if weekend { 24 } else { 0 }
}

/// Of the share `seen` from the share `usual`, nats a trial.
fn divergence(seen: f64, usual: f64) -> f64 {
    let part = |p: f64, q: f64| if p > 0.0 { p * (p / q).ln() } else { 0.0 };
    part(seen, usual) + part(1.0 - seen, 1.0 - usual)
}

const _: () = assert!(DAY == 24 * HOUR);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::tests::plain;

    fn hour_of(windows: &mut Windows, number: u64, invocations: u64, calls: u64, mut each: impl FnMut(&mut Windows)) {
        for n in 0..invocations {
            let at = number * HOUR + n * SECOND_OF_HOUR;
            windows.turn_to(at);
            let resources: Vec<u64> = (0..calls).map(|call| number * 31 + n * 1000 + call).collect();
            let quantities = [(Quantity::Calls, calls)];
            windows.add(&Observation { quantities: &quantities, resources: &resources, ..plain(at) });
            each(windows);
        }
    }

    const SECOND_OF_HOUR: Nanos = 1_000_000_000;

    fn trained() -> Windows {
        let mut windows = Windows::default();
        for number in 0..14 * 24 {
            hour_of(&mut windows, 490_000 + number, 30 + number % 24 * 5, 4 + number % 3, |_| {});
        }
        windows
    }

    fn found(windows: &mut Windows, invocations: u64, calls: u64) -> Vec<Measure> {
        let mut found = Vec::new();
        hour_of(windows, 490_000 + 14 * 24, invocations, calls, |windows| {
            windows.unusual(false, |unusual| {
                if !found.contains(&unusual.measure) {
                    found.push(unusual.measure);
                }
            });
        });
        found
    }

    #[test]
    fn hours_are_compared_for_each_invocation_and_while_they_run() {
        #[rustfmt::skip]
        let table: [(&str, u64, u64, &[Measure]); 4] = [
            ("as ever",                          30, 5,  &[]),
            ("three times the calls and things", 30, 16, &[Measure::Calls, Measure::Distinct]),
            ("thirty times the visitors",        900, 5, &[Measure::Rate]),
            ("a few busy ones",                  3, 8,   &[]),
        ];
        for (name, invocations, calls, expected) in table {
            let mut found = found(&mut trained(), invocations, calls);
            found.sort_unstable();
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn a_crowd_where_few_come_is_a_crowd_and_does_no_more_each() {
        let mut windows = Windows::default();
        for number in 0..14 * 24 {
            hour_of(&mut windows, 490_000 + number, 1 + number % 2, 4, |_| {});
        }
        let found = found(&mut windows, 200, 4);
        assert!(found.contains(&Measure::Rate) && !found.contains(&Measure::Calls), "{found:?}");
    }

    #[test]
    fn where_nothing_ever_failed_one_failure_says_little() {
        for (name, failures, least, most) in [("one", 1, 0.1, BITS_A_FAILURE), ("most", 20, 6.0, 30.0)] {
            let mut windows = trained();
            let mut bits = 0.0_f64;
            let number = 490_000 + 14 * 24;
            for n in 0..30 {
                let at = number * HOUR + n * SECOND_OF_HOUR;
                windows.turn_to(at);
                windows.add(&Observation { failed: n < failures, ..plain(at) });
                windows.unusual(false, |unusual| {
                    if unusual.measure == Measure::Failures {
                        bits = bits.max(unusual.bits);
                    }
                });
            }
            assert!((least..=most).contains(&bits), "{name}: {bits}");
        }
    }

    #[test]
    fn an_excess_is_told_as_it_grows_and_not_for_each_invocation() {
        let (mut windows, mut told) = (trained(), Vec::new());
        hour_of(&mut windows, 490_000 + 14 * 24, 3000, 5, |windows| {
            windows.unusual(false, |unusual| told.push(unusual.bits));
        });
        let whole = windows.surprise(Measure::Rate);
        assert!((2..30).contains(&told.len()), "{told:?}");
        assert!(told.is_sorted() && told.last() == Some(&whole), "up to all of it, {whole}: {told:?}");
        let mut again = 0;
        windows.unusual(true, |_| again += 1);
        assert_eq!(again, 1, "what else is told of comes with it");
    }

    #[test]
    fn silence_is_told_from_sampling() {
        let play = |before: u64, traced: u64| {
            let mut windows = Windows::default();
            let mut loudest: f64 = 0.0;
            for number in 0..48 {
                let traced = if number < 47 { before } else { traced };
                hour_of(&mut windows, 490_000 + number, traced, 4, |_| {});
                windows.turn_to((490_000 + number) * HOUR + MINUTE);
                for minute in 1..=62 {
                    // The first two are late ones of the hour before.
                    let end = (490_000 + number) * HOUR + minute * MINUTE - 2 * MINUTE;
                    loudest = loudest.max(windows.reported(1, end).map_or(0.0, |(bits, ..)| bits));
                }
            }
            loudest
        };
        assert!(play(60, 0) > 12.0, "all of it falls silent: {}", play(60, 0));
        assert!(play(60, 60) < 0.1, "as ever");
        assert!(play(6, 6) < 0.1, "sampled from the beginning");
        assert!(play(60, 12) < play(60, 0) / 2.0, "sampling sets in: {}", play(60, 12));
        assert!(play(0, 0) < 0.1, "never traced at all");
    }

    #[test]
    fn different_things_are_counted_to_a_few_per_cent() {
        for many in [1_u64, 10, 100, 1000] {
            let mut sketch = Sketch::default();
            (0..many).for_each(|n| {
                sketch.add(crate::faas::intern::mix(n, 7));
            });
            let count = sketch.count();
            assert!(count.abs_diff(many) <= many / 10 + 1, "{many}: {count}");
        }
    }
}
