//! Reading something new: what one compromised function does alone, and an application does together.
//!
//! A flag, a new customer, a new table: the functions of an application begin to read the same thing within minutes. So
//! a page for nothing but a first read waits for [`HOLD`], while it is in the queue; it is given unless another function
//! has begun to read the same. Not saved: over a restart what waits stays in the queue.

use std::collections::VecDeque;

use super::{MINUTE, observation::Nanos};

/// How long a page waits.
const HOLD: Nanos = 10 * MINUTE;
/// First reads of the same thing within this belong together.
const TOGETHER: Nanos = 6 * 60 * MINUTE;
/// First reads remembered, and pages that wait.
const MOST: usize = 1024;

/// A function began to read something.
#[derive(Clone, Copy, Debug)]
struct Read {
    at: Nanos,
    key: u64,
    function: u64,
}

/// A page that waits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Held {
    due: Nanos,
    key: u64,
    pub function: u64,
    /// Of the verdict, before it was standardised.
    pub score: f32,
}

/// What functions began to read lately, and the pages that wait for others to do the same.
#[derive(Clone, Debug, Default)]
pub struct Rollouts {
    reads: VecDeque<Read>,
    held: VecDeque<Held>,
}

impl Rollouts {
    /// `function` read `key`, which it is not known to.
    pub fn note(&mut self, key: u64, function: u64, now: Nanos) {
        while self.reads.front().is_some_and(|read| read.at.saturating_add(TOGETHER) < now) {
            self.reads.pop_front();
        }
        if self.reads.iter().rev().any(|read| (read.key, read.function) == (key, function)) {
            return;
        }
        if self.reads.len() >= MOST {
            self.reads.pop_front();
        }
        self.reads.push_back(Read { at: now, key, function });
    }

    /// Has a page about `function` wait. False if there is no room: then it is not to wait.
    pub fn hold(&mut self, key: u64, function: u64, score: f64, now: Nanos) -> bool {
        if self.held.iter().any(|held| (held.key, held.function) == (key, function)) {
            return true;
        }
        if self.held.len() >= MOST {
            return false;
        }
        self.held.push_back(Held { due: now.saturating_add(HOLD), key, function, score: score as f32 });
        true
    }

    /// Pages that have waited long enough by `now`, and that nobody else's doing explains.
    pub fn due(&mut self, now: Nanos) -> Vec<Held> {
        let mut due = Vec::new();
        while let Some(held) = self.held.front().copied().filter(|held| held.due <= now) {
            self.held.pop_front();
            if !self.is_common(held.key, held.function) {
                due.push(held);
            }
        }
        due
    }

    fn is_common(&self, key: u64, function: u64) -> bool {
        self.reads.iter().any(|read| read.key == key && read.function != function)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Nanos = 1_800_000_000_000_000_000;

    #[test]
    fn a_page_waits_for_others_to_do_the_same() {
        for (name, others, given) in [("alone", 0, true), ("with others", 2, false)] {
            let mut rollouts = Rollouts::default();
            rollouts.note(7, 1, T);
            assert!(rollouts.hold(7, 1, 20.0, T));
            assert!(rollouts.hold(7, 1, 20.0, T + 1), "{name}: once is enough");
            (0..others).for_each(|other| rollouts.note(7, 2 + other, T + MINUTE));
            assert_eq!(rollouts.due(T + HOLD - 1), Vec::new(), "{name}: too early");
            let due = rollouts.due(T + HOLD);
            assert_eq!(due.iter().map(|held| held.function).collect::<Vec<_>>(), vec![1; usize::from(given)], "{name}");
            assert_eq!(rollouts.due(Nanos::MAX), Vec::new(), "{name}: once");
        }
    }

    #[test]
    fn another_thing_or_another_day_explains_nothing() {
        let mut rollouts = Rollouts::default();
        rollouts.note(7, 2, T - TOGETHER - 1);
        rollouts.note(8, 3, T);
        rollouts.note(7, 1, T);
        assert!(rollouts.hold(7, 1, 20.0, T));
        assert_eq!(rollouts.due(T + HOLD).len(), 1);
    }

    #[test]
    fn nothing_grows_without_bound() {
        let mut rollouts = Rollouts::default();
        let held = (0..5000).filter(|key| {
            rollouts.note(*key, 1, T);
            rollouts.hold(*key, 1, 20.0, T)
        });
        assert_eq!(held.count(), MOST, "what finds no room is not held back");
        assert!(rollouts.reads.len() <= MOST);
    }
}
