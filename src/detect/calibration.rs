//! From scores to a promise.
//!
//! The unit of calibration is the highest score of one function on one day: a noisy function counts once a day, and
//! dependence within the day does not matter. Scores are standardised within strata (kind of the unit × decade of the
//! invocation rate × age of the function and its deploy) by a peaks-over-threshold tail, `Z = −log2 P(max ≥ S)`; a stratum leans on all of
//! its age, and an age on what is believed of it beforehand, the more the fewer function-days it has. The line is drawn
//! by conformal risk control (Angelopoulos et al. 2022) on whole fleet-days: the smallest `t` with
//!
//! `(Σ_d min(B, #{Z on day d > t}) + B) / (D + 1) ≤ r`,
//!
//! which bounds the expected loss of the next day by `r` if days are exchangeable. It needs about `B / r` days, whatever
//! the number of functions; before that only `B / (D + 1)` can be promised, and the line is a model's.
//!
//! Days with undetected attacks stay in: they can raise the line, which costs power, and never void the promise.

use std::collections::VecDeque;

use super::observation::Channel;

/// Days the calibration stands on.
pub const WINDOW_DAYS: usize = 28;
/// Decades of invocations a day: under 10, under 100, …
const DECADES: usize = 6;
/// Ages of a function and its deploy.
const AGES: usize = 3;
/// Kinds of units.
pub const KINDS: usize = 3;
/// Kinds × decades × ages.
pub const STRATA: usize = KINDS * DECADES * AGES;
/// Scores above this quantile are the tail.
const TAIL: f64 = 0.1;
/// What is believed of a stratum beforehand is worth so many function-days.
const PRIOR_WEIGHT: f64 = 40.0;
/// Of a function that is known well.
const PRIOR: Fit = Fit { start: 10.0, tail: TAIL, scale: 4.0 };
/// Of one that is still being met: its rare paths all look like news.
const LEARNING_PRIOR: Fit = Fit { start: 16.0, tail: TAIL, scale: 6.0 };
/// A tail is never believed to be thinner than this, bits.
const LEAST_SCALE: f64 = 1.5;
/// The page line above what the days ask for: the rule that scored them has learned since. The queue promises nothing.
const MARGIN: f64 = 1.0;
/// Above a modelled line while nothing better is known.
const YOUNG_MARGIN: f64 = 4.0;
/// No line is drawn below these, however small or quiet the fleet: below them a person would shrug.
const LEAST: Lines = Lines { page: 7.0, queue: 4.0 };
/// Function-days kept a day; a larger fleet is represented by its highest scores and a sample of the rest.
const MOST_UNITS: usize = 20_000;

/// The highest score of one function on one day.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unit {
    pub stratum: u8,
    pub score: f32,
}

/// An exponential tail: `P(max ≥ s) = tail · exp(−(s − start) / scale)` from `start` on.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Fit {
    start: f64,
    tail: f64,
    scale: f64,
}

/// The two lines, in standardised bits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lines {
    pub page: f64,
    pub queue: f64,
}

/// The history, and what follows from it.
#[derive(Clone, Debug)]
pub struct Calibration {
    pub budget_per_day: f64,
    pub days: VecDeque<Vec<Unit>>,
    fits: [Fit; STRATA],
    lines: Lines,
}

/// What a score is of. The stratum it makes is part of the saved model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An invocation, by what it says itself.
    Invocation,
    /// What the platform or a service recorded.
    Recorded,
    /// An hour, a day, or environments beside each other.
    Window,
}

impl Kind {
    pub const ALL: [Self; KINDS] = [Self::Invocation, Self::Recorded, Self::Window];

    /// The kind of what came through a channel.
    pub const fn of(channel: Channel) -> Self {
        match channel {
            Channel::Spans | Channel::Logs => Self::Invocation,
            Channel::Platform | Channel::Provider | Channel::Control => Self::Recorded,
            Channel::Metrics => Self::Window,
        }
    }
}

/// How far a function is known. The stratum it makes is part of the saved model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// Known, and as it was.
    Settled,
    /// Known, with a version younger than a day.
    FreshDeploy,
    /// Not known for long.
    Learning,
}

impl Age {
    const ALL: [Self; AGES] = [Self::Settled, Self::FreshDeploy, Self::Learning];

    const fn prior(self) -> Fit {
        match self {
            Self::Settled | Self::FreshDeploy => PRIOR,
            Self::Learning => LEARNING_PRIOR,
        }
    }

    fn strata(self, kind: Kind) -> impl Iterator<Item = usize> {
        (0..DECADES).map(move |decade| usize::from(stratum_of(kind, decade, self)))
    }
}

/// Which stratum a unit of a function is in.
pub fn stratum(kind: Kind, invocations_a_day: u32, age: Age) -> u8 {
    stratum_of(kind, (invocations_a_day.max(1).ilog10() as usize).min(DECADES - 1), age)
}

const fn stratum_of(kind: Kind, decade: usize, age: Age) -> u8 {
    let stratum = match age {
        Age::Settled => decade * 2,
        Age::FreshDeploy => decade * 2 + 1,
        Age::Learning => DECADES * 2 + decade,
    };
    (kind as usize * DECADES * AGES + stratum) as u8
}

impl Calibration {
    /// Without history.
    pub fn new(budget_per_day: f64) -> Self {
        let lines = Lines { page: f64::INFINITY, queue: f64::INFINITY };
        let mut calibration = Self { budget_per_day, days: VecDeque::new(), fits: [PRIOR; STRATA], lines };
        calibration.refit();
        calibration.redraw(0);
        calibration
    }

    /// A score in bits that are comparable over functions.
    pub fn standardise(&self, stratum: u8, score: f64) -> f64 {
        let fit = self.fits.get(usize::from(stratum)).unwrap_or(&PRIOR);
        fit.bits(score)
    }

    /// The lines at this moment.
    pub const fn lines(&self) -> Lines {
        self.lines
    }

    /// Takes in a day that has ended, of a fleet of `functions`.
    pub fn close_day(&mut self, mut units: Vec<Unit>, functions: u32) {
        if units.len() > MOST_UNITS {
            units.sort_by(|a, b| b.score.total_cmp(&a.score));
            let (high, rest) = units.split_at(MOST_UNITS / 2);
            let step = rest.len().div_ceil(MOST_UNITS / 2).max(1);
            units = high.iter().chain(rest.iter().step_by(step)).copied().collect();
        }
        self.days.push_back(units);
        while self.days.len() > WINDOW_DAYS {
            self.days.pop_front();
        }
        self.refit();
        self.redraw(functions);
    }

    /// Days that count.
    pub fn day_count(&self) -> u32 {
        self.days.len() as u32
    }

    /// Whether there are enough days for the budget to be promised.
    pub fn is_sufficient(&self) -> bool {
        exceedances_allowed(self.budget_per_day, losses(self.budget_per_day), self.days.len()).is_some()
    }

    /// What can be promised a day whatever the number of days.
    pub fn bound_per_day(&self) -> f64 {
        losses(self.budget_per_day) / (self.days.len() as f64 + 1.0)
    }

    /// Computes everything that follows from history and budget anew.
    pub fn refit(&mut self) {
        let mut by_stratum: [Vec<f32>; STRATA] = std::array::from_fn(|_| Vec::new());
        for unit in self.days.iter().flatten() {
            if let Some(scores) = by_stratum.get_mut(usize::from(unit.stratum)) {
                scores.push(unit.score);
            }
        }
        for (kind, age) in Kind::ALL.into_iter().flat_map(|kind| Age::ALL.map(|age| (kind, age))) {
            let of_age = age.strata(kind).filter_map(|stratum| by_stratum.get(stratum)).flatten().copied().collect();
            let of_age = Fit::of(of_age, age.prior());
            for stratum in age.strata(kind) {
                if let (Some(fit), Some(scores)) = (self.fits.get_mut(stratum), by_stratum.get_mut(stratum)) {
                    *fit = Fit::of(std::mem::take(scores), of_age);
                }
            }
        }
    }

    /// Draws the lines anew.
    pub fn redraw(&mut self, functions: u32) {
        let queue = self.line(self.budget_per_day * 10.0, functions, (0.0, YOUNG_MARGIN / 2.0));
        let page = self.line(self.budget_per_day, functions, (MARGIN, YOUNG_MARGIN));
        let queue = queue.max(LEAST.queue);
        self.lines = Lines { page: page.max(queue).max(LEAST.page), queue };
    }

    fn line(&self, budget: f64, functions: u32, (margin, young_margin): (f64, f64)) -> f64 {
        // What independent function-days would ask for; never below, however lucky the history.
        let modelled = (f64::from(functions.max(1)) / budget).log2().max(0.0) + margin;
        let losses = losses(budget);
        let mut highest: Vec<f64> = self.days.iter().flat_map(|day| self.highest(day, losses as usize)).collect();
        highest.sort_by(|a, b| b.total_cmp(a));
        let top = highest.first().copied().unwrap_or(0.0);
        match exceedances_allowed(budget, losses, self.days.len()) {
            // So many may lie above: the next one is the line.
            Some(allowed) => (highest.get(allowed).copied().unwrap_or(0.0) + margin).max(modelled),
            None => (top + margin).max(modelled + young_margin),
        }
    }

    fn highest(&self, day: &[Unit], most: usize) -> Vec<f64> {
        let mut bits: Vec<f64> = day.iter().map(|unit| self.standardise(unit.stratum, f64::from(unit.score))).collect();
        bits.sort_by(|a, b| b.total_cmp(a));
        bits.truncate(most);
        bits
    }
}

/// `B`: the losses of one day are capped, or no number of days would do.
fn losses(budget: f64) -> f64 {
    budget.ceil().max(1.0)
}

/// How many capped exceedances the history may have: the largest `k` with `(k + B) / (D + 1) ≤ r`.
fn exceedances_allowed(budget: f64, losses: f64, days: usize) -> Option<usize> {
    let allowed = budget * (days as f64 + 1.0) - losses + 1e-9;
    (allowed >= 0.0).then_some(allowed as usize)
}

impl Fit {
    /// Of function-days' highest scores, leaning on what is believed beforehand.
    fn of(mut scores: Vec<f32>, prior: Self) -> Self {
        scores.sort_by(f32::total_cmp);
        let n = scores.len();
        let place = ((n as f64) * (1.0 - TAIL)) as usize;
        let Some(start) = scores.get(place).map(|start| f64::from(*start)) else { return prior };
        let excesses: Vec<f64> = scores.iter().skip(place).map(|score| f64::from(*score) - start).collect();
        let scale = excesses.iter().sum::<f64>() / excesses.len().max(1) as f64;
        let blend = |own: f64, prior: f64| (own * n as f64 + prior * PRIOR_WEIGHT) / (n as f64 + PRIOR_WEIGHT);
        Self { start: blend(start, prior.start), tail: TAIL, scale: blend(scale, prior.scale).max(LEAST_SCALE) }
    }

    fn bits(&self, score: f64) -> f64 {
        let at_start = -self.tail.log2();
        if score < self.start {
            return at_start * (score / self.start.max(f64::MIN_POSITIVE)).max(0.0);
        }
        at_start + (score - self.start) / self.scale * std::f64::consts::LOG2_E
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(scores: &[f32]) -> Vec<Unit> {
        scores.iter().map(|score| Unit { stratum: 6, score: *score }).collect()
    }

    /// A small generator with an exponential tail; the constants are Knuth's.
    struct Draws(u64);

    impl Draws {
        fn exponential(&mut self) -> f32 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            -(((self.0 >> 11) as f64 + 1.0) / (1_u64 << 53) as f64).ln() as f32
        }
    }

    #[test]
    fn the_budget_is_promised_from_the_day_it_can_be() {
        let table = [(1.0 / 7.0, 6), (1.0, 0), (1.0 / 30.0, 29), (2.0, 0)];
        for (budget, days) in table {
            let losses = losses(budget);
            assert!(exceedances_allowed(budget, losses, days).is_some(), "{budget}: {days} days suffice");
            if let Some(less) = days.checked_sub(1) {
                assert!(exceedances_allowed(budget, losses, less).is_none(), "{budget}: {less} do not");
            }
        }
    }

    #[test]
    fn a_young_fleet_is_bounded_by_its_days() {
        let mut calibration = Calibration::new(1.0 / 7.0);
        assert!(!calibration.is_sufficient());
        for days in 1..=6 {
            calibration.close_day(day(&[1.0; 20]), 20);
            assert!((calibration.bound_per_day() - 1.0 / f64::from(days + 1)).abs() < 1e-9);
        }
        assert!(calibration.is_sufficient());
    }

    #[test]
    fn the_line_lies_above_all_but_the_allowed_days_and_queue_never_above_page() {
        let mut calibration = Calibration::new(1.0 / 7.0);
        for number in 0..13 {
            calibration.close_day(day(&[1.0, 2.0, if number == 3 { 60.0 } else { 5.0 }]), 3);
        }
        let lines = calibration.lines();
        assert!(lines.page > calibration.standardise(6, 5.0), "{lines:?}");
        assert!(lines.page < calibration.standardise(6, 60.0), "one day in fourteen may lie above: {lines:?}");
        assert!(lines.queue <= lines.page);
    }

    /// Days drawn alike: the share of days above the line keeps to the budget, on average over fleets.
    #[test]
    fn the_realised_rate_keeps_to_the_budget() {
        let (mut above, mut days) = (0, 0);
        for seed in 0..20 {
            let mut draws = Draws(seed);
            let mut calibration = Calibration::new(1.0 / 7.0);
            for number in 0..60 {
                let scores: Vec<f32> = (0..50).map(|_| 4.0 + 3.0 * draws.exponential()).collect();
                let highest = scores.iter().copied().fold(0.0, f32::max);
                if number >= 28 {
                    days += 1;
                    above += u32::from(calibration.standardise(6, f64::from(highest)) > calibration.lines().page);
                }
                calibration.close_day(day(&scores), 50);
            }
        }
        assert!(f64::from(above) / f64::from(days) <= 1.0 / 7.0, "{above} of {days} days");
    }
}
