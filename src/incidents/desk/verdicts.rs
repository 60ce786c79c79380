//! What people have decided, by id.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::{Kind, Record, unknown};
use crate::{
    detect::{Covered, observation::Nanos},
    incidents::control::{
        Fault,
        proto::{Hit, Verdict},
    },
};

pub const ACTIVE: &str = "active";
const EXPIRED: &str = "expired";
const UNDONE: &str = "undone";

/// Verdicts kept; those that no longer hold go first, and when none is left no more are taken.
const MOST: usize = 2000;
/// Hits listed a hunt; the first and the last ones.
const MOST_HITS: usize = 100;

/// All verdicts.
#[derive(Debug, Default)]
pub struct Verdicts {
    by_id: BTreeMap<String, Verdict>,
    dirty: BTreeSet<String>,
    /// Feature and key of every active hunt, so that most evidence costs one look.
    hunted: HashSet<(String, String)>,
}

/// The number a verdict's exceptions go by.
pub fn number(id: &str) -> u64 {
    id.strip_prefix("ver-").and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or(0)
}

impl Verdicts {
    /// Newest first.
    pub fn list(&self) -> Vec<&Verdict> {
        let mut all: Vec<&Verdict> = self.by_id.values().collect();
        all.sort_by(|a, b| b.given.cmp(&a.given).then_with(|| a.id.cmp(&b.id)));
        all
    }

    /// On one incident, oldest first.
    pub fn on(&self, incident: &str) -> Vec<Verdict> {
        let mut all: Vec<Verdict> =
            self.by_id.values().filter(|verdict| verdict.incident_id == incident).cloned().collect();
        all.sort_by(|a, b| a.given.cmp(&b.given).then_with(|| a.id.cmp(&b.id)));
        all
    }

    /// The kind of the last one on an incident that was not undone.
    pub fn holding(&self, incident: &str) -> String {
        let on = self.on(incident);
        on.into_iter().rfind(|verdict| verdict.state != UNDONE).map(|verdict| verdict.kind).unwrap_or_default()
    }

    /// Active ones of a kind.
    pub fn active<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Verdict> {
        self.by_id.values().filter(move |verdict| verdict.kind == kind && verdict.state == ACTIVE)
    }

    /// Of incident and time, and not in use.
    pub fn free_id(&self, incident: &str, now: Nanos) -> String {
        let seed = incident.bytes().fold(now, |hash, byte| hash.rotate_left(7) ^ u64::from(byte));
        let mut seed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        loop {
            let id = format!("ver-{:010x}", seed >> 24);
            if !self.by_id.contains_key(&id) {
                return id;
            }
            seed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
        }
    }

    /// Takes a new one in.
    pub fn put(&mut self, verdict: Verdict) -> Result<(), Fault> {
        if self.by_id.len() >= MOST {
            let oldest = self.by_id.values().filter(|one| one.state != ACTIVE || one.kind == "unsure");
            let Some(id) = oldest.min_by_key(|one| one.given).map(|one| one.id.clone()) else {
                return Err(Fault::exhausted(format!("{MOST} verdicts hold already; undo some first")));
            };
            self.by_id.remove(&id);
            self.dirty.insert(id);
        }
        self.touch(verdict);
        Ok(())
    }

    /// Puts a saved one back.
    pub fn restore(&mut self, verdict: Verdict) -> bool {
        if verdict.id.is_empty() || self.by_id.len() >= MOST {
            return false;
        }
        let id = verdict.id.clone();
        self.touch(verdict);
        self.dirty.remove(&id);
        true
    }

    pub fn undo(&mut self, id: &str, author: &str, note: &str, now: Nanos) -> Result<Verdict, Fault> {
        let mut verdict = self.by_id.get(id).cloned().ok_or_else(|| unknown("verdict", id))?;
        if verdict.state == UNDONE {
            return Err(Fault::conflict(format!("{id} is undone already")));
        }
        UNDONE.clone_into(&mut verdict.state);
        (verdict.undone, verdict.undone_by, verdict.undone_note) = (now, author.to_owned(), note.to_owned());
        self.touch(verdict.clone());
        Ok(verdict)
    }

    /// Exceptions whose time is over.
    pub fn expire(&mut self, now: Nanos) -> Vec<&Verdict> {
        let over = |one: &&Verdict| one.expires > 0 && one.expires <= now;
        let ids: Vec<String> = self.active("expected").filter(over).map(|one| one.id.clone()).collect();
        for id in &ids {
            if let Some(verdict) = self.by_id.get_mut(id) {
                EXPIRED.clone_into(&mut verdict.state);
                self.dirty.insert(id.clone());
            }
        }
        ids.iter().filter_map(|id| self.by_id.get(id)).collect()
    }

    /// Counts what exceptions have covered; those that changed.
    pub fn count(&mut self, covered: &[(u64, Covered)]) -> Vec<&Verdict> {
        let mut changed = BTreeSet::new();
        for verdict in self.by_id.values_mut().filter(|verdict| verdict.kind == "expected") {
            let mine = number(&verdict.id);
            for (_, covered) in covered.iter().filter(|(id, _)| *id == mine) {
                verdict.covered_evidence += covered.evidence;
                verdict.covered_invocations += covered.invocations;
                verdict.last_covered = verdict.last_covered.max(covered.last);
                changed.insert(verdict.id.clone());
            }
        }
        self.dirty.extend(changed.iter().cloned());
        changed.iter().filter_map(|id| self.by_id.get(id)).collect()
    }

    /// Whether any hunt is on.
    pub fn are_hunting(&self) -> bool {
        !self.hunted.is_empty()
    }

    /// Hunts that look for a piece of evidence.
    pub fn hunting(&self, feature: &str, key: &str) -> Vec<String> {
        if !self.hunted.contains(&(feature.to_owned(), key.to_owned())) {
            return Vec::new();
        }
        let looks = |one: &&Verdict| one.signature.iter().any(|wanted| wanted.feature == feature && wanted.key == key);
        self.active("malicious").filter(looks).map(|one| one.id.clone()).collect()
    }

    /// Hunts that have found something in an incident.
    pub fn found_in(&self, incident: &str) -> Vec<String> {
        let found = |one: &&Verdict| one.hits.iter().any(|hit| hit.incident_id == incident);
        self.active("malicious").filter(found).map(|one| one.id.clone()).collect()
    }

    /// A hunt has found something: as it is now, and whether that is news: another incident or function.
    pub fn hit(&mut self, id: &str, hit: Hit) -> Option<(&Verdict, bool)> {
        let verdict = self.by_id.get_mut(id)?;
        if hit.incident_id == verdict.incident_id {
            return None;
        }
        let same = |known: &Hit| known.incident_id == hit.incident_id && known.function == hit.function;
        let news = !verdict.hits.iter().any(same);
        add_hit(verdict, hit, news);
        self.dirty.insert(id.to_owned());
        Some((self.by_id.get(id)?, news))
    }

    /// Forgets the verdicts on an incident that is forgotten, but for what still holds.
    pub fn forget(&mut self, incident: &str) {
        let gone: Vec<String> = self
            .by_id
            .values()
            .filter(|one| one.incident_id == incident && (one.state != ACTIVE || one.kind == "unsure"))
            .map(|one| one.id.clone())
            .collect();
        for id in gone {
            self.by_id.remove(&id);
            self.dirty.insert(id);
        }
    }

    pub fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    pub fn take_records(&mut self) -> Vec<Record> {
        let dirty = std::mem::take(&mut self.dirty).into_iter();
        dirty
            .map(|key| {
                let value = self.by_id.get(&key).map(prost::Message::encode_to_vec);
                Record { kind: Kind::Verdict, key, value }
            })
            .collect()
    }

    fn touch(&mut self, verdict: Verdict) {
        self.dirty.insert(verdict.id.clone());
        self.by_id.insert(verdict.id.clone(), verdict);
        let active = self.by_id.values().filter(|one| one.kind == "malicious" && one.state == ACTIVE);
        let wanted = active.flat_map(|one| one.signature.iter());
        self.hunted = wanted.map(|one| (one.feature.clone(), one.key.clone())).collect();
    }
}

/// Counts a hit, and lists it if it is news.
pub fn add_hit(verdict: &mut Verdict, hit: Hit, news: bool) {
    verdict.hit_count += 1;
    if news {
        if verdict.hits.len() >= MOST_HITS {
            verdict.hits.remove(MOST_HITS / 2);
        }
        verdict.hits.push(hit);
    }
}
