//! How many people come: a curve over the day, one over the week, and days that are busier than others.

use super::{
    benign::{DAY, HOUR},
    rng::Rng,
};
use crate::detect::observation::Nanos;

/// Traffic by hour of the day, UTC; its mean is 1.
const HOURS: [f64; 24] = [
    0.34, 0.24, 0.18, 0.16, 0.18, 0.28, 0.52, 0.88, 1.22, 1.44, 1.52, 1.48, 1.38, 1.30, 1.26, 1.24, 1.28, 1.40, 1.58,
    1.68, 1.54, 1.20, 0.86, 0.84,
];
/// Traffic by day of the week, Monday first.
const WEEK: [f64; 7] = [1.08, 1.02, 1.0, 1.02, 1.12, 0.84, 0.92];
/// How much a day differs from another of its name: standard deviation of the logarithm.
const MOOD: f64 = 0.07;

/// The expected traffic.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    seed: u64,
    scale: f64,
}

impl Load {
    /// `scale` multiplies everything.
    pub const fn new(seed: u64, scale: f64) -> Self {
        Self { seed, scale }
    }

    /// Arrivals expected in a minute at `at` where there are `a_day` on a usual day at scale 1, crowds aside.
    pub fn a_minute(&self, a_day: f64, at: Nanos) -> f64 {
        a_day / 1440.0 * self.scale * self.level(at)
    }

    fn level(&self, at: Nanos) -> f64 {
        let day = at / DAY;
        // 1970-01-01 was a Thursday.
        let weekday = WEEK.get(((day + 3) % 7) as usize).copied().unwrap_or(1.0);
        let mood = Rng::new(self.seed ^ day.rotate_left(32)).log_normal(1.0, MOOD);
        weekday * mood * hour_of_day(at)
    }
}

/// Between the middles of two hours, a straight line.
fn hour_of_day(at: Nanos) -> f64 {
    let shifted = (at + DAY - HOUR / 2) % DAY;
    let hour = (shifted / HOUR) as usize;
    let part = (shifted % HOUR) as f64 / HOUR as f64;
    let of = |hour: usize| HOURS.get(hour % 24).copied().unwrap_or(1.0);
    of(hour) * (1.0 - part) + of(hour + 1) * part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hours_average_to_one() {
        let mean = HOURS.iter().sum::<f64>() / 24.0;
        assert!((mean - 1.0).abs() < 0.005, "{mean}");
    }

    #[test]
    fn the_curve_passes_through_the_middle_of_each_hour() {
        for (hour, expected) in HOURS.into_iter().enumerate() {
            let found = hour_of_day(9 * DAY + hour as u64 * HOUR + HOUR / 2);
            assert!((found - expected).abs() < 1e-9, "{hour}: {found}");
        }
    }
}
