//! What can be promised about false pages at this moment, as one sentence.

use std::fmt::Write as _;

use crate::detect::{
    observation::Nanos,
    verdict::{Promise, PromiseState},
};

/// The longest history a budget can ask for in the text, days.
const MOST_DAYS: f64 = 36_500.0;

/// The promise, its state, and the realised rate beside it.
pub fn sentence(promise: &Promise) -> String {
    let budget = rate(promise.budget_per_day);
    let mut text = match promise.state {
        PromiseState::Learning { bound_per_day } => {
            let needed = (1.0 / promise.budget_per_day).min(MOST_DAYS).ceil().max(1.0);
            format!("learning: at most {} ({} of {needed} days needed for {budget})", rate(bound_per_day), promise.days)
        }
        PromiseState::Active => format!("active: at most {budget} expected, from {} days", promise.days),
        PromiseState::Suspended { since } => {
            format!("suspended since {}: what is normal has changed; the budget was {budget}", minute(since))
        }
    };
    let (pages, days) = promise.realised;
    let _ = write!(text, "; realised {pages} in {days} {}", if days == 1 { "day" } else { "days" });
    text
}

/// `1 false page a week`: in the shortest unit that gives at least one.
fn rate(per_day: f64) -> String {
    const UNITS: [(&str, f64); 4] = [("day", 1.0), ("week", 7.0), ("month", 30.0), ("year", 365.0)];
    let fits = |&&(_, days): &&(&str, f64)| per_day * days >= 0.995;
    let (unit, days) = UNITS.iter().find(fits).copied().unwrap_or(("year", 365.0));
    let times = (per_day * days * 100.0).round() / 100.0;
    let pages = if (times - 1.0).abs() < f64::EPSILON { "page" } else { "pages" };
    format!("{times} false {pages} a {unit}")
}

/// `2026-11-23T14:02Z`.
pub(super) fn minute(at: Nanos) -> String {
    let seconds = at / 1_000_000_000;
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute) = (seconds / 3600 % 24, seconds / 60 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}Z")
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar. Years begin in March here, so that
/// the leap day is the last one.
const fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_of_the_promise_has_its_sentence() {
        let weekly = Promise {
            budget_per_day: 1.0 / 7.0,
            days: 3,
            state: PromiseState::Learning { bound_per_day: 1.0 },
            realised: (0, 1),
        };
        let active = Promise { days: 28, state: PromiseState::Active, realised: (2, 28), ..weekly.clone() };
        let since = 1_795_442_520_000_000_000;
        let suspended = Promise { state: PromiseState::Suspended { since }, realised: (3, 28), ..weekly.clone() };
        let quarterly = Promise { budget_per_day: 4.0 / 365.0, ..active.clone() };
        #[rustfmt::skip]
        let table = [
            (weekly,    "learning: at most 1 false page a day (3 of 7 days needed for 1 false page a week); realised 0 in 1 day"),
            (active,    "active: at most 1 false page a week expected, from 28 days; realised 2 in 28 days"),
            (suspended, "suspended since 2026-11-23T14:02Z: what is normal has changed; the budget was 1 false page a week; realised 3 in 28 days"),
            (quarterly, "active: at most 4 false pages a year expected, from 28 days; realised 2 in 28 days"),
        ];
        for (promise, expected) in table {
            assert_eq!(sentence(&promise), expected);
        }
    }

    #[test]
    fn a_budget_of_nothing_still_has_a_sentence() {
        let never = Promise {
            budget_per_day: 0.0,
            days: 1,
            state: PromiseState::Learning { bound_per_day: 0.5 },
            realised: (0, 0),
        };
        assert!(sentence(&never).contains("1 of 36500 days"), "{}", sentence(&never));
    }

    #[test]
    fn days_become_dates() {
        let table = [
            (0, "1970-01-01T00:00Z"),
            (951_782_400, "2000-02-29T00:00Z"),
            (1_709_164_800, "2024-02-29T00:00Z"),
            (4_107_542_399, "2100-02-28T23:59Z"),
        ];
        for (seconds, expected) in table {
            assert_eq!(minute(seconds * 1_000_000_000), expected);
        }
    }
}
