//! Which verdicts are one incident.
//!
//! Two verdicts of tier queue or page belong together when they share a cause (the function, the trace, a new
//! destination, resource or identity, the build) within a rolling day of event time. A verdict that shares causes with
//! several open incidents makes them one, under the oldest's id.

use std::collections::{BTreeMap, HashMap};

use super::{
    Change, ChangeKind, Finding, Incident, bounds,
    cause::{self, Cause},
    open::Open,
};
use crate::detect::{observation::Nanos, verdict::Tier};

const SECOND: Nanos = 1_000_000_000;

/// Bounds and times; all times are event time.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Incidents open at once.
    pub max_open: usize,
    /// An incident without new verdicts is resolved after this; causes are shared within it.
    pub quiet: Nanos,
    /// Least time between two updates of an incident, unless it becomes a page.
    pub update_gap: Nanos,
}

impl Default for Settings {
    fn default() -> Self {
        // At worst some 40 KiB an incident.
        Self { max_open: 512, quiet: 24 * 3600 * SECOND, update_gap: 300 * SECOND }
    }
}

/// What happened so far in this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Incidents opened.
    pub opened: u64,
    /// Updates told.
    pub updated: u64,
    /// Incidents that went quiet.
    pub resolved: u64,
    /// Incidents that became part of an older one.
    pub merged: u64,
    /// Incidents closed early to make room for a graver one.
    pub evicted: u64,
    /// Findings that would have opened an incident when all places were taken by graver ones.
    pub refused: u64,
    /// Closed incidents whose end could not be told because too many waited.
    pub untold: u64,
}

/// All open incidents.
#[derive(Clone, Debug)]
pub struct Incidents {
    pub(super) settings: Settings,
    /// By a number that grows, so that iteration is in order of opening.
    pub(super) open: BTreeMap<u64, Open>,
    pub(super) index: HashMap<Cause, u64>,
    next_slot: u64,
    /// Ends that wait to be told by the next `advance`.
    pub(super) closing: Vec<Incident>,
    counters: Counters,
    /// No incident needs attention before this.
    due: Nanos,
}

impl Incidents {
    /// None open yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            open: BTreeMap::new(),
            index: HashMap::new(),
            next_slot: 0,
            closing: Vec::new(),
            counters: Counters::default(),
            due: Nanos::MAX,
        }
    }

    /// Takes a verdict in. Something comes back when a person should be told now.
    pub fn report(&mut self, finding: Finding<'_>) -> Option<Change> {
        let tier = finding.verdict.tier?;
        let causes = cause::of(&finding);
        let slots = self.sharing(&causes, finding.at);
        let oldest = slots.first().copied();
        if tier == Tier::Evidence {
            self.open.get_mut(&oldest?)?.corroborate(&finding);
            return None;
        }
        let Some(slot) = oldest else { return self.open_new(tier, &finding, causes) };
        let was = self.open.get(&slot)?.incident.tier;
        for younger in slots.into_iter().skip(1) {
            self.merge(slot, younger);
        }
        let open = self.open.get_mut(&slot)?;
        open.absorb(tier, &finding);
        let becomes_page = was < open.incident.tier && open.incident.tier == Tier::Page;
        let may_tell = finding.at.abs_diff(open.last_change) >= self.settings.update_gap;
        let change = (becomes_page || (open.untold && may_tell)).then(|| open.tell(ChangeKind::Updated, finding.at));
        self.counters.updated += u64::from(change.is_some());
        self.link(slot, causes, finding.at);
        self.note_due(slot);
        change
    }

    /// Event time has come to `watermark`: what has gone quiet is resolved, updates held back are told.
    pub fn advance(&mut self, watermark: Nanos) -> Vec<Change> {
        let ended = std::mem::take(&mut self.closing);
        let mut changes: Vec<Change> =
            ended.into_iter().map(|incident| Change { kind: ChangeKind::Resolved, incident }).collect();
        if watermark < self.due {
            return changes;
        }
        let due: Vec<u64> = self.open.keys().copied().filter(|slot| self.due_of(*slot) <= watermark).collect();
        for slot in due {
            let Some(open) = self.open.get_mut(&slot) else { continue };
            if open.incident.last_seen.saturating_add(self.settings.quiet) <= watermark {
                changes.push(open.tell(ChangeKind::Resolved, watermark));
                self.counters.resolved += 1;
                self.remove(slot);
            } else {
                changes.push(open.tell(ChangeKind::Updated, watermark));
                self.counters.updated += 1;
            }
        }
        self.due = self.open.keys().map(|slot| self.due_of(*slot)).min().unwrap_or(Nanos::MAX);
        changes
    }

    /// The incident that `function` is part of is a page from now on. Something comes back if it was not one before.
    pub fn raise(&mut self, function: u64, now: Nanos) -> Option<Change> {
        let slot = self.sharing(&[Cause::Function(function)], now).first().copied()?;
        let open = self.open.get_mut(&slot)?;
        if !open.raise() {
            return None;
        }
        self.counters.updated += 1;
        let change = open.tell(ChangeKind::Updated, now);
        self.note_due(slot);
        Some(change)
    }

    /// A person says that an open incident is over.
    pub fn resolve(&mut self, id: &str) -> Option<Change> {
        let slot = self.open.iter().find(|(_, open)| open.incident.id == id).map(|(slot, _)| *slot)?;
        let mut open = self.remove(slot)?;
        self.counters.resolved += 1;
        let at = open.last_change;
        Some(open.tell(ChangeKind::Resolved, at))
    }

    /// The open incident that a function is part of at `at`.
    pub fn of_function(&self, function: u64, at: Nanos) -> Option<&Incident> {
        let slot = self.sharing(&[Cause::Function(function)], at).first().copied()?;
        self.open.get(&slot).map(|open| &open.incident)
    }

    /// Open incidents, oldest first.
    pub fn open(&self) -> impl ExactSizeIterator<Item = &Incident> {
        self.open.values().map(|open| &open.incident)
    }

    /// What happened so far in this process.
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// Open incidents that share a cause within the day, oldest first.
    fn sharing(&self, causes: &[Cause], at: Nanos) -> Vec<u64> {
        let mut slots: Vec<u64> = Vec::new();
        for cause in causes {
            let Some(slot) = self.index.get(cause).copied().filter(|slot| !slots.contains(slot)) else { continue };
            let Some(open) = self.open.get(&slot) else { continue };
            let last = open.causes.iter().find(|(known, _)| known == cause).map(|(_, last)| *last);
            if last.is_some_and(|last| last.abs_diff(at) <= self.settings.quiet) {
                slots.push(slot);
            }
        }
        slots.sort_by_key(|slot| (self.open.get(slot).map(|open| open.incident.first_seen), *slot));
        slots
    }

    fn open_new(&mut self, tier: Tier, finding: &Finding<'_>, causes: Vec<Cause>) -> Option<Change> {
        let mut open = Open::new(self.free_id(finding), tier, finding);
        if self.open.len() >= self.settings.max_open && !self.make_room(&open.incident) {
            self.counters.refused += 1;
            return None;
        }
        let change = open.tell(ChangeKind::Opened, finding.at);
        let slot = self.insert(open);
        self.link(slot, causes, finding.at);
        self.note_due(slot);
        self.counters.opened += 1;
        Some(change)
    }

    pub(super) fn insert(&mut self, open: Open) -> u64 {
        let slot = self.next_slot;
        self.next_slot += 1;
        self.open.insert(slot, open);
        slot
    }

    /// Closes the least incident if it is less than `than`.
    fn make_room(&mut self, than: &Incident) -> bool {
        let rank = |incident: &Incident| (incident.tier, incident.priority);
        let least = self.open.iter().min_by_key(|(_, open)| (rank(&open.incident), open.incident.last_seen));
        let Some(slot) = least.filter(|(_, open)| rank(&open.incident) < rank(than)).map(|(slot, _)| *slot) else {
            return false;
        };
        if let Some(open) = self.remove(slot) {
            self.counters.evicted += 1;
            self.close(open.incident);
        }
        true
    }

    fn merge(&mut self, into: u64, younger: u64) {
        let Some(other) = self.remove(younger) else { return };
        let Some(open) = self.open.get_mut(&into) else { return };
        let mut ended = other.incident.clone();
        ended.headline = super::text::merged(&open.incident.id, &ended.headline);
        ended.merged_into = Some(open.incident.id.clone());
        let causes = other.causes.clone();
        open.merge(other);
        for (cause, at) in causes {
            self.link(into, vec![cause], at);
        }
        self.counters.merged += 1;
        self.close(ended);
    }

    /// Has the next `advance` tell that `incident` is over.
    fn close(&mut self, incident: Incident) {
        if self.closing.len() < self.settings.max_open {
            self.closing.push(incident);
        } else {
            self.counters.untold += 1;
        }
    }

    fn remove(&mut self, slot: u64) -> Option<Open> {
        let open = self.open.remove(&slot)?;
        for (cause, _) in &open.causes {
            if self.index.get(cause) == Some(&slot) {
                self.index.remove(cause);
            }
        }
        Some(open)
    }

    /// Has `causes` lead to the incident in `slot`, most recently seen last.
    pub(super) fn link(&mut self, slot: u64, causes: Vec<Cause>, at: Nanos) {
        let Some(open) = self.open.get_mut(&slot) else { return };
        for cause in causes {
            let known = open.causes.iter().position(|(known, _)| *known == cause);
            let last = known.and_then(|at| open.causes.remove(at)).map_or(at, |(_, last)| last.max(at));
            self.index.insert(cause.clone(), slot);
            open.causes.push_back((cause, last));
            if open.causes.len() > bounds::CAUSES
                && let Some((forgotten, _)) = open.causes.pop_front()
                && self.index.get(&forgotten) == Some(&slot)
            {
                self.index.remove(&forgotten);
            }
        }
    }

    pub(super) fn note_due(&mut self, slot: u64) {
        self.due = self.due.min(self.due_of(slot));
    }

    /// When the incident in `slot` needs attention next.
    fn due_of(&self, slot: u64) -> Nanos {
        let Some(open) = self.open.get(&slot) else { return Nanos::MAX };
        let quiet = open.incident.last_seen.saturating_add(self.settings.quiet);
        let update = open.last_change.saturating_add(self.settings.update_gap);
        if open.untold { quiet.min(update) } else { quiet }
    }

    /// Of the function and the time alone, so that a replay gives the same id.
    fn free_id(&self, finding: &Finding<'_>) -> String {
        let mut seed = mix(finding.function.hash ^ mix(finding.at));
        loop {
            let id = format!("inc-{:010x}", seed >> 24);
            if !self.open.values().any(|open| open.incident.id == id) {
                return id;
            }
            seed = mix(seed);
        }
    }
}

/// The finaliser of `SplitMix64`: part of the ids' definition, never to change.
const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
