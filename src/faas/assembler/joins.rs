//! What others recorded against what the functions said themselves.
//!
//! A record waits a little for the span that should tell of the same call or invocation. Spans come within seconds, records
//! of services after minutes, so most records need not wait at all. Nothing is kept, and no span costs anything, before
//! the first record of a service has come. Where ids had to be forgotten too early, nothing is concluded.

use std::{
    cmp::{Ordering, Reverse},
    collections::{BinaryHeap, VecDeque},
    sync::Arc,
};

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};

use super::function::Function;
use crate::{
    detect::observation::Nanos,
    faas::{intern::Memory, keys::Recipe},
};

const SECOND: Nanos = 1_000_000_000;
const MINUTE: Nanos = 60 * SECOND;
/// Records of services come up to so late.
const HORIZON: Nanos = 15 * MINUTE;
/// Spans come within this.
pub(super) const SPANS_COME: Nanos = 90 * SECOND;
/// An invocation counts as open this long before it starts and after it has ended.
const SLACK: Nanos = 5 * SECOND;
/// Stretches of activity remembered a function, and functions.
const MOST_STRETCHES: usize = 32;
const MOST_ACTIVE: usize = 100_000;
/// Credentials remembered, and failed invocations.
const MOST_CREDENTIALS: usize = 131_072;
const MOST_FAILED: usize = 65_536;

/// A record that waits.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) due: Nanos,
    number: u64,
    /// When it happened.
    pub(super) at: Nanos,
    pub(super) function: Arc<Function>,
    /// Of the request or invocation.
    pub(super) id: u64,
    pub(super) about: About,
    /// What it is called by.
    pub(super) invocation: Box<str>,
}

/// What it is a record of.
#[derive(Clone, Debug)]
pub(super) enum About {
    /// A call, with the function's name as joins know it, what was done, and what else the record shows.
    Call { local: u64, act: Arc<Recipe>, shown: Vec<Arc<Recipe>>, bytes: Option<u64> },
    /// An invocation that ended so; how many invocation ids had been forgotten by then.
    Invocation { ended: Arc<Recipe>, forgotten: u64 },
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.due, self.number).cmp(&(other.due, other.number))
    }
}

/// When a function was at work.
#[derive(Clone, Debug)]
struct Activity {
    since: Nanos,
    stretches: VecDeque<(Nanos, Nanos)>,
}

/// Where a credential was first used from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) network: u64,
    pub(super) agent: u64,
}

/// What is remembered for joining.
#[derive(Clone, Debug)]
pub(super) struct Joins {
    /// Request ids are complete since then; `None` before the first record.
    since: Option<Nanos>,
    newer: HashSet<u64, RandomState>,
    older: HashSet<u64, RandomState>,
    newer_began: Nanos,
    half: usize,
    active: HashMap<u64, Activity, RandomState>,
    credentials: Memory<Place>,
    /// Invocations that the platform saw fail.
    failed: Memory<()>,
    waiting: BinaryHeap<Reverse<Waiting>>,
    most_waiting: usize,
    number: u64,
}

impl Joins {
    pub(super) fn new(most_ids: usize, most_waiting: usize) -> Self {
        Self {
            since: None,
            newer: HashSet::with_hasher(RandomState::default()),
            older: HashSet::with_hasher(RandomState::default()),
            newer_began: 0,
            half: (most_ids / 2).max(1),
            active: HashMap::with_hasher(RandomState::default()),
            credentials: Memory::new(MOST_CREDENTIALS),
            failed: Memory::new(MOST_FAILED),
            waiting: BinaryHeap::new(),
            most_waiting,
            number: 0,
        }
    }

    /// Whether records of services come, so that calls are worth remembering.
    #[inline]
    pub(super) const fn is_armed(&self) -> bool {
        self.since.is_some()
    }

    /// Services have begun to record.
    pub(super) fn arm(&mut self, now: Nanos) {
        if self.since.is_none() {
            (self.since, self.newer_began) = (Some(now), now);
        }
    }

    /// A span told of the call with this request id.
    pub(super) fn called(&mut self, id: u64, now: Nanos) {
        let full = self.newer.len() >= self.half;
        if full || now > self.newer_began.saturating_add(HORIZON) {
            if !self.older.is_empty() {
                self.since = Some(self.newer_began);
            }
            std::mem::swap(&mut self.newer, &mut self.older);
            self.newer.clear();
            self.newer_began = now;
        }
        self.newer.insert(id);
    }

    /// Whether a span told of the call at `at`; `None` if nobody can know any more.
    pub(super) fn was_called(&self, id: u64, at: Nanos) -> Option<bool> {
        if self.newer.contains(&id) || self.older.contains(&id) {
            return Some(true);
        }
        self.since.is_some_and(|since| at > since.saturating_add(SLACK)).then_some(false)
    }

    /// An invocation of the function ran.
    pub(super) fn ran(&mut self, local: u64, start: Nanos, end: Nanos) {
        if !self.is_armed() || self.active.len() >= MOST_ACTIVE && !self.active.contains_key(&local) {
            return;
        }
        let activity =
            self.active.entry(local).or_insert_with(|| Activity { since: start, stretches: VecDeque::new() });
        if let Some((begun, ended)) = activity.stretches.back_mut()
            && start <= ended.saturating_add(SLACK)
            && end.saturating_add(SLACK) >= *begun
        {
            (*begun, *ended) = ((*begun).min(start), (*ended).max(end));
            return;
        }
        activity.stretches.push_back((start, end));
        if activity.stretches.len() > MOST_STRETCHES
            && let Some((_, ended)) = activity.stretches.pop_front()
        {
            activity.since = activity.since.max(ended);
        }
    }

    /// Whether an invocation of the function was open at `at`; `None` if nobody can know.
    pub(super) fn was_open(&self, local: u64, at: Nanos) -> Option<bool> {
        let activity = self.active.get(&local)?;
        let open =
            |(start, end): &(Nanos, Nanos)| (start.saturating_sub(SLACK)..=end.saturating_add(SLACK)).contains(&at);
        if activity.stretches.iter().any(open) {
            return Some(true);
        }
        (at > activity.since.saturating_add(MINUTE)).then_some(false)
    }

    /// Where the credential was first used from, if that is another place.
    pub(super) fn used_elsewhere(&mut self, credential: u64, place: Place) -> Option<Place> {
        let first = self.credentials.get(credential);
        if first.is_none() {
            self.credentials.put(credential, place);
        }
        first.filter(|first| *first != place)
    }

    /// An invocation failed.
    pub(super) fn failed(&mut self, invocation: u64) {
        self.failed.put(invocation, ());
    }

    /// Whether it did.
    pub(super) fn has_failed(&mut self, invocation: u64) -> bool {
        self.failed.get(invocation).is_some()
    }

    /// Puts a record aside until `due`; says whether there was room.
    pub(super) fn wait(
        &mut self,
        due: Nanos,
        at: Nanos,
        function: Arc<Function>,
        id: u64,
        about: About,
        invocation: Box<str>,
    ) -> bool {
        if self.waiting.len() >= self.most_waiting {
            return false;
        }
        self.number += 1;
        self.waiting.push(Reverse(Waiting { due, number: self.number, at, function, id, about, invocation }));
        true
    }

    /// The next record whose time has come.
    pub(super) fn due(&mut self, now: Nanos) -> Option<Waiting> {
        self.waiting.peek().filter(|Reverse(next)| next.due <= now)?;
        self.waiting.pop().map(|Reverse(next)| next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Nanos = 1_800_000_000_000_000_000;

    #[test]
    fn ids_are_known_for_the_horizon_and_nothing_is_concluded_beyond() {
        let mut joins = Joins::new(1000, 10);
        joins.arm(T);
        assert_eq!(joins.was_called(1, T), None, "from before");
        joins.called(1, T + MINUTE);
        joins.called(2, T + 14 * MINUTE);
        joins.called(3, T + 20 * MINUTE);
        assert_eq!(joins.was_called(1, T + MINUTE), Some(true));
        assert_eq!(joins.was_called(9, T + 14 * MINUTE), Some(false));
        joins.called(4, T + 40 * MINUTE);
        assert_eq!(joins.was_called(1, T + MINUTE), None, "forgotten, and known to be");
        (100..2000).for_each(|id| joins.called(id, T + 41 * MINUTE));
        assert_eq!(joins.was_called(4, T + 40 * MINUTE), None, "forgotten for want of room");
        assert!(joins.newer.len() + joins.older.len() <= 1000);
    }

    #[test]
    fn a_function_is_open_while_it_runs() {
        let mut joins = Joins::new(10, 10);
        joins.ran(7, T, T + SECOND);
        assert_eq!(joins.was_open(7, T), None, "nobody asked yet");
        joins.arm(T);
        for n in 0..200 {
            joins.ran(7, T + n * MINUTE, T + n * MINUTE + SECOND);
        }
        for (name, at, open) in [
            ("during", T + 190 * MINUTE, Some(true)),
            ("just after", T + 190 * MINUTE + 4 * SECOND, Some(true)),
            ("between", T + 190 * MINUTE + 30 * SECOND, Some(false)),
            ("long ago", T + 30 * SECOND, None),
        ] {
            assert_eq!(joins.was_open(7, at), open, "{name}");
        }
        assert_eq!(joins.was_open(8, T + 190 * MINUTE), None, "another function");
    }

    #[test]
    fn a_credential_has_one_place() {
        let mut joins = Joins::new(10, 10);
        let (home, away) = (Place { network: 1, agent: 1 }, Place { network: 2, agent: 9 });
        assert_eq!(joins.used_elsewhere(5, home), None);
        assert_eq!(joins.used_elsewhere(5, home), None);
        assert_eq!(joins.used_elsewhere(5, away), Some(home));
        assert_eq!(joins.used_elsewhere(6, away), None);
    }
}
