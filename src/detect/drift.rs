//! What changes too slowly for a model that follows: day against a reference that does not.
//!
//! Three clocks for each measure: the day, a mean of about a fortnight that follows it within bounds, and a frozen
//! reference that moves towards that mean once a week, by five per cent at most; in a week with a deploy up to half as much
//! again, towards what the new version does, and what that will grant is no evidence before. A day's excess over the frozen reference, clipped, adds to a sum of evidence: an e-detector on blocks of a day, in bits,
//! `M ← max(M, 1) · exp(z − 1)`, where `z` is in the reference's own spread.

use super::{verdict::Measure, windows::Hour};

/// Measures that have a reference.
pub const DRIFTING: [Measure; 5] =
    [Measure::Calls, Measure::Rows, Measure::BytesOut, Measure::BytesIn, Measure::Duration];
/// Days the first reference stands on.
const FREEZE_AFTER: u16 = 7;
/// Days of the mean that follows.
const FOLLOWS_DAYS: f64 = 14.0;
/// Most the reference moves a week, in powers of two: five per cent; and fifty where a deploy may explain it.
const WEEKLY: f64 = 0.07;
const WEEKLY_WITH_DEPLOY: f64 = 0.585;
/// A day differs from the next by this at least, in powers of two.
const LEAST_SPREAD: f64 = 0.2;
/// One day's excess counts up to this, in spreads.
const MOST_EXCESS: f64 = 3.0;
/// The sum ends here, bits.
const MOST_EVIDENCE: f64 = 24.0;
/// Invocations a day must have.
const LEAST_INVOCATIONS: u64 = 20;

/// One measure's clocks, in powers of two for each invocation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Clocks {
    /// Days with this measure.
    pub days: u16,
    pub slow: f32,
    pub frozen: f32,
    /// Mean distance of a day from `slow`.
    pub spread: f32,
    /// Bits.
    pub evidence: f32,
}

/// The clocks of one function.
#[derive(Clone, Debug, Default)]
pub struct Drift {
    pub day: u32,
    pub n: u64,
    pub sums: [Option<u64>; DRIFTING.len()],
    pub clocks: [Clocks; DRIFTING.len()],
    /// The day the references moved last.
    pub promoted: u32,
    /// A version began since then.
    pub deployed: bool,
}

/// A measure that has gone up for days.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drifted {
    pub measure: Measure,
    pub bits: f64,
    /// For each thousand invocations.
    pub observed: u64,
    pub usual: u64,
    pub days: u64,
}

impl Drift {
    /// Takes in an hour. When that begins a new day, `tell` hears what the last one has added up to.
    pub fn add(&mut self, hour: &Hour, tell: impl FnMut(Drifted)) {
        let day = hour.number / 24;
        if day != self.day {
            self.close(tell);
            (self.day, self.n, self.sums) = (day, 0, Default::default());
            if self.promoted == 0 {
                self.promoted = day;
            }
        }
        self.n += u64::from(hour.n);
        for (sum, measure) in self.sums.iter_mut().zip(DRIFTING) {
            if let Some(more) = hour.sum(measure) {
                *sum = Some(sum.unwrap_or(0).saturating_add(more));
            }
        }
    }

    fn close(&mut self, mut tell: impl FnMut(Drifted)) {
        if self.n < LEAST_INVOCATIONS {
            return;
        }
        let promote = self.day >= self.promoted.saturating_add(7);
        for ((clocks, sum), measure) in self.clocks.iter_mut().zip(self.sums).zip(DRIFTING) {
            let Some(sum) = sum.filter(|sum| *sum > 0) else { continue };
            let mean = sum as f64 / self.n as f64;
            clocks.close(mean.log2(), self.deployed);
            if f64::from(clocks.evidence) > super::magnitude::EVERYDAY {
                let per_thousand = |log: f64| (log.exp2() * 1000.0) as u64;
                tell(Drifted {
                    measure,
                    bits: f64::from(clocks.evidence) - super::magnitude::EVERYDAY,
                    observed: per_thousand(mean.log2()),
                    usual: per_thousand(f64::from(clocks.frozen)),
                    days: u64::from(clocks.days),
                });
            }
            if promote {
                clocks.promote(mean.log2(), self.deployed);
            }
        }
        if promote {
            (self.promoted, self.deployed) = (self.day, false);
        }
    }
}

impl Clocks {
    fn close(&mut self, day: f64, deployed: bool) {
        self.days = self.days.saturating_add(1);
        let distance = day - f64::from(self.slow);
        if self.days <= FREEZE_AFTER {
            let n = f64::from(self.days);
            if self.days > 1 {
                self.spread += ((distance.abs() - f64::from(self.spread)) / (n - 1.0)) as f32;
            }
            self.slow += (distance / n) as f32;
            self.frozen = self.slow;
            return;
        }
        let spread = (1.25 * f64::from(self.spread)).max(LEAST_SPREAD);
        // The step that the next promotion will grant to a deploy is no evidence until then.
        let granted = if deployed { WEEKLY_WITH_DEPLOY } else { 0.0 };
        let excess = ((day - f64::from(self.frozen) - granted) / spread).min(MOST_EXCESS);
        let evidence = f64::from(self.evidence).max(0.0) + (excess - 1.0) * std::f64::consts::LOG2_E;
        self.evidence = evidence.clamp(0.0, MOST_EVIDENCE) as f32;
        let step = distance.clamp(-3.0 * spread, 3.0 * spread);
        self.slow += (step / FOLLOWS_DAYS) as f32;
        self.spread += ((step.abs() - f64::from(self.spread)) / FOLLOWS_DAYS) as f32;
    }

    fn promote(&mut self, day: f64, deployed: bool) {
        if self.days <= FREEZE_AFTER {
            return;
        }
        if deployed {
            // What a version does is known after a day; a fortnight's mean knows it too late.
            let most = WEEKLY_WITH_DEPLOY as f32;
            self.frozen += (day as f32 - self.frozen).clamp(-most, most);
            self.slow = self.frozen;
        } else {
            self.frozen += (self.slow - self.frozen).clamp(-WEEKLY as f32, WEEKLY as f32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays days whose calls for each invocation `grow` by; the day on which the evidence passed ten bits.
    fn noticed(days: u32, mut calls: impl FnMut(u32) -> f64, deploy_on: Option<u32>) -> Option<u32> {
        let mut drift = Drift::default();
        let mut noticed = None;
        for day in 0..days {
            drift.deployed |= deploy_on == Some(day);
            let wobble = 1.0 + 0.05 * f64::from(day * 7 % 5);
            let mut hour = Hour { number: (20_000 + day) * 24, n: 100, ..Hour::default() };
            hour.put(Measure::Calls, (calls(day) * wobble * 100.0) as u64);
            drift.add(&hour, |drifted| {
                if drifted.bits > 6.0 && noticed.is_none() {
                    noticed = Some(day);
                }
            });
        }
        noticed
    }

    #[test]
    fn a_ramp_is_noticed_however_slow_and_what_stays_is_not() {
        let ramp = |rate: f64| move |day: u32| 5.0 * (1.0 + rate).powi(day.saturating_sub(14).cast_signed());
        assert_eq!(noticed(60, ramp(0.0), None), None, "nothing changes");
        for (rate, within) in [(0.2, 8), (0.1, 12), (0.05, 18), (0.02, 40)] {
            let found = noticed(80, ramp(rate), None);
            assert!(found.is_some_and(|day| day <= 14 + within), "{rate}: {found:?}");
        }
        assert_eq!(noticed(60, |day| if day < 20 { 5.0 } else { 5.6 }, None), None, "a little more for good");
    }

    #[test]
    fn a_deploy_explains_a_call_more() {
        let step = |day: u32| if day < 20 { 2.0 } else { 3.0 };
        assert_eq!(noticed(60, step, Some(20)), None);
        assert!(noticed(60, step, None).is_some());
    }

    #[test]
    fn a_deploy_explains_a_step_within_a_week_or_two() {
        let step = |day: u32| if day < 20 { 5.0 } else { 6.4 };
        assert!(
            noticed(40, step, Some(20)).is_none_or(|day| noticed(40, step, None).is_some_and(|other| other <= day))
        );
    }
}
