//! What one function did in one trace: spans waiting for their handler, and what was emitted, for those that come late.
//!
//! A group lives in a slot; slots are reused. Two queues, in order of event time, say whose time is up: one for spans
//! that wait, one for memories.

use std::{collections::VecDeque, sync::Arc};

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::function::Function;
use crate::{detect::observation::Nanos, faas::keys::Recipe};

/// No record, no handler, no next one.
pub(super) const NONE: u32 = u32::MAX;

/// Whether a span is an invocation or belongs to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The invocation itself.
    Handler,
    /// The same, unless its parent turns out to be of this function and no call.
    Perhaps,
    /// Part of an invocation.
    Child,
}

/// What is kept of a span.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) span: u64,
    pub(super) parent: u64,
    pub(super) start: Nanos,
    pub(super) end: Nanos,
    pub(super) recipe: Arc<Recipe>,
    /// Hash of what it touched, ids and all; zero if it names nothing.
    pub(super) touched: u64,
    pub(super) amounts: Amounts,
    /// Which record of the request it is, which resource group's, which handler; [`NONE`] once the request is gone.
    pub(super) record: u32,
    pub(super) resource: u32,
    pub(super) handler: u32,
    /// The next of its group in this request.
    pub(super) next: u32,
    pub(super) role: Role,
    pub(super) kind: u8,
    /// Whether it is the environment's initialisation.
    pub(super) init: bool,
}

/// Sums that telemetry may have.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Amounts {
    pub(super) out: Option<u64>,
    pub(super) received: Option<u64>,
    pub(super) rows: Option<u64>,
}

impl Amounts {
    pub(super) fn add(&mut self, other: &Self) {
        for (sum, more) in
            [(&mut self.out, other.out), (&mut self.received, other.received), (&mut self.rows, other.rows)]
        {
            if let Some(more) = more {
                *sum = Some(sum.unwrap_or(0).saturating_add(more));
            }
        }
    }
}

/// An invocation that was emitted.
#[derive(Clone, Debug)]
pub(super) struct Memo {
    pub(super) span: u64,
    pub(super) start: Nanos,
    pub(super) end: Nanos,
    pub(super) function: Arc<Function>,
    /// Its `faas.invocation_id`; empty if it had none.
    pub(super) invocation: Box<str>,
}

/// What a group is found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub(super) struct GroupKey {
    pub(super) trace: [u8; 16],
    /// The function, by its name alone: what comes through different channels rarely agrees on more.
    pub(super) local: u64,
}

/// One function in one trace.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) key: GroupKey,
    /// As its resource names it; a handler may know better.
    pub(super) function: Arc<Function>,
    /// Members in the request being read: the first, the last, how many.
    pub(super) first: u32,
    pub(super) last: u32,
    pub(super) fresh: u32,
    /// Members that wait for their handler, and the resource they came with.
    pub(super) held: Vec<Member>,
    pub(super) resource: Box<[u8]>,
    /// Event time when it was heard of last.
    pub(super) heard: Nanos,
    pub(super) memos: Vec<Memo>,
    /// Span ids that were emitted, sorted, with the index of their invocation in `memos`.
    pub(super) seen: Vec<(u64, u16)>,
    generation: u32,
    waiting: bool,
    live: bool,
}

impl Group {
    /// Which invocation a span was emitted with.
    pub(super) fn emitted_with(&self, span: u64) -> Option<u16> {
        let at = self.seen.binary_search_by_key(&span, |(id, _)| *id).ok()?;
        self.seen.get(at).map(|(_, ordinal)| *ordinal)
    }

    /// The function, as well as it is known.
    pub(super) fn best_function(&self) -> Arc<Function> {
        self.memos.last().map_or_else(|| self.function.best(), |memo| Arc::clone(&memo.function))
    }
}

/// A group's turn in a queue.
#[derive(Clone, Copy, Debug)]
struct Turn {
    due: Nanos,
    slot: u32,
    generation: u32,
}

/// All groups.
#[derive(Clone, Debug)]
pub(super) struct Groups {
    by_key: HashMap<GroupKey, u32, RandomState>,
    slots: Vec<Group>,
    free: Vec<u32>,
    waiting: VecDeque<Turn>,
    living: VecDeque<Turn>,
    /// Groups with members waiting, those members, span ids remembered.
    pub(super) open: usize,
    pub(super) held: usize,
    pub(super) remembered: usize,
    pub(super) linger: Nanos,
    pub(super) recent: Nanos,
}

impl Groups {
    pub(super) fn new(linger: Nanos, recent: Nanos) -> Self {
        Self {
            by_key: HashMap::with_hasher(RandomState::default()),
            slots: Vec::new(),
            free: Vec::new(),
            waiting: VecDeque::new(),
            living: VecDeque::new(),
            open: 0,
            held: 0,
            remembered: 0,
            linger,
            recent,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    pub(super) fn get(&self, slot: u32) -> Option<&Group> {
        self.slots.get(slot as usize).filter(|group| group.live)
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut Group> {
        self.slots.get_mut(slot as usize).filter(|group| group.live)
    }

    pub(super) fn find(&self, key: &GroupKey) -> Option<u32> {
        self.by_key.get(key).copied()
    }

    /// The slot of the group, made if there is none; `now` is when it is heard of.
    pub(super) fn find_or_make(&mut self, key: GroupKey, function: &Arc<Function>, now: Nanos) -> u32 {
        let (slots, free) = (&mut self.slots, &mut self.free);
        let mut made = None;
        let slot = *self.by_key.entry(key).or_insert_with(|| {
            let slot = free.pop().unwrap_or(slots.len() as u32);
            if let Some(group) = slots.get_mut(slot as usize) {
                group.reuse(key, function, now);
                made = Some(group.generation);
            } else {
                slots.push(Group::new(key, Arc::clone(function), now));
                made = Some(0);
            }
            slot
        });
        if let Some(generation) = made {
            self.living.push_back(Turn { due: now.saturating_add(self.recent), slot, generation });
        }
        slot
    }

    /// Puts members aside until their handler comes.
    pub(super) fn hold(&mut self, slot: u32, members: impl Iterator<Item = Member>, resource: &[u8]) {
        /// Longer resources are not kept.
        const LONGEST: usize = 16 << 10;
        let Some(group) = self.slots.get_mut(slot as usize) else { return };
        let before = group.held.len();
        group.held.extend(members.map(|member| Member { record: NONE, resource: NONE, handler: NONE, ..member }));
        self.held += group.held.len() - before;
        if before > 0 || group.held.is_empty() {
            return;
        }
        self.open += 1;
        if group.resource.is_empty() && resource.len() <= LONGEST {
            group.resource = resource.into();
        }
        if !group.waiting {
            group.waiting = true;
            let due = group.heard.saturating_add(self.linger);
            self.waiting.push_back(Turn { due, slot, generation: group.generation });
        }
    }

    /// Takes back what waits.
    pub(super) fn release(&mut self, slot: u32) -> Vec<Member> {
        let Some(group) = self.slots.get_mut(slot as usize) else { return Vec::new() };
        if !group.held.is_empty() {
            self.open -= 1;
            self.held -= group.held.len();
        }
        std::mem::take(&mut group.held)
    }

    /// The next group whose members have waited long enough, or, if `forced`, the one that waits longest.
    pub(super) fn overdue(&mut self, now: Nanos, forced: bool) -> Option<u32> {
        loop {
            let turn = *self.waiting.front().filter(|turn| forced || turn.due <= now)?;
            self.waiting.pop_front();
            let group = self.slots.get_mut(turn.slot as usize)?;
            if group.generation != turn.generation || !group.live {
                continue;
            }
            let due = group.heard.saturating_add(self.linger);
            if group.held.is_empty() {
                group.waiting = false;
            } else if due > now && !forced {
                self.waiting.push_back(Turn { due, ..turn });
            } else {
                group.waiting = false;
                return Some(turn.slot);
            }
        }
    }

    /// Forgets the next group that is old enough, or, if `forced`, the oldest; none that still waits. Says whether one
    /// went.
    pub(super) fn forget(&mut self, now: Nanos, forced: bool) -> bool {
        // A group that cannot go yet takes its turn again; a few of them a call are enough.
        for _ in 0..64 {
            let Some(turn) = self.living.front().copied().filter(|turn| forced || turn.due <= now) else {
                return false;
            };
            self.living.pop_front();
            let Some(group) = self.slots.get_mut(turn.slot as usize) else { continue };
            let due = group.heard.saturating_add(self.recent);
            if !group.held.is_empty() || due > now && !forced {
                self.living.push_back(Turn { due: due.max(turn.due), ..turn });
                continue;
            }
            self.remembered -= group.seen.len();
            self.by_key.remove(&group.key);
            group.retire();
            self.free.push(turn.slot);
            return true;
        }
        false
    }
}

impl Group {
    fn new(key: GroupKey, function: Arc<Function>, now: Nanos) -> Self {
        Self {
            key,
            function,
            first: NONE,
            last: NONE,
            fresh: 0,
            held: Vec::new(),
            resource: Box::default(),
            heard: now,
            memos: Vec::new(),
            seen: Vec::new(),
            generation: 0,
            waiting: false,
            live: true,
        }
    }

    fn reuse(&mut self, key: GroupKey, function: &Arc<Function>, now: Nanos) {
        (self.key, self.function, self.heard) = (key, Arc::clone(function), now);
        (self.first, self.last, self.fresh) = (NONE, NONE, 0);
        (self.waiting, self.live) = (false, true);
    }

    fn retire(&mut self) {
        self.live = false;
        self.generation = self.generation.wrapping_add(1);
        self.memos.clear();
        self.seen.clear();
        // What one large invocation needed is not kept for the small ones.
        self.seen.shrink_to(32);
        self.memos.shrink_to(2);
        self.resource = Box::default();
    }
}
