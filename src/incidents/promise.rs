//! What can be promised about false pages at this moment, as one sentence.

use std::fmt::Write as _;

use crate::{
    detect::verdict::{Promise, PromiseState},
    otlp::time::rfc3339,
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
            format!("suspended since {}: what is normal has changed; the budget was {budget}", rfc3339(since))
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
            (suspended, "suspended since 2026-11-23T14:02:00Z: what is normal has changed; the budget was 1 false page a week; realised 3 in 28 days"),
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
}
