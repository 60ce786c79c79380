//! Incidents as people will look at them, each encoded as it is saved, with its head ready for lists.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;

use super::{Kind, Record, Settings};
use crate::{
    detect::observation::Nanos,
    incidents::control::proto::{Incident, IncidentDetail, TimelineEntry},
};

/// Entries of a timeline; beyond, those after the first go.
const MOST_ENTRIES: usize = 256;

#[derive(Debug)]
struct Filed {
    head: Incident,
    body: Vec<u8>,
}

/// All incidents that are kept.
#[derive(Debug, Default)]
pub struct Archive {
    filed: BTreeMap<String, Filed>,
    dirty: BTreeSet<String>,
}

impl Archive {
    /// All of one incident.
    pub fn get(&self, id: &str) -> Option<IncidentDetail> {
        IncidentDetail::decode(self.filed.get(id)?.body.as_slice()).ok()
    }

    /// All of every incident, most recently changed first.
    pub fn details(&self) -> impl Iterator<Item = (&Incident, IncidentDetail)> {
        let heads = self.list().into_iter();
        heads.filter_map(|head| Some((head, self.get(&head.id)?)))
    }

    /// In brief, most recently changed first.
    pub fn list(&self) -> Vec<&Incident> {
        let mut all: Vec<&Incident> = self.filed.values().map(|filed| &filed.head).collect();
        all.sort_by(|a, b| b.changed.cmp(&a.changed).then_with(|| a.id.cmp(&b.id)));
        all
    }

    /// Keeps `detail` as it is now.
    pub fn put(&mut self, detail: &IncidentDetail) -> Option<&Incident> {
        let head = detail.incident.clone()?;
        let id = head.id.clone();
        self.dirty.insert(id.clone());
        let body = detail.encode_to_vec();
        let filed = self.filed.entry(id).insert_entry(Filed { head, body });
        Some(&filed.into_mut().head)
    }

    /// The same for what was saved. False if it is no incident.
    pub fn restore(&mut self, detail: &IncidentDetail) -> bool {
        let id = detail.incident.as_ref().map(|incident| incident.id.clone()).filter(|id| !id.is_empty());
        let Some(id) = id else { return false };
        self.put(detail);
        self.dirty.remove(&id);
        true
    }

    /// Forgets what is too old or too much; the ids.
    pub fn prune(&mut self, settings: &Settings, now: Nanos) -> Vec<String> {
        let old = |head: &Incident| head.state == "resolved" && head.changed.saturating_add(settings.retention) < now;
        let mut gone: Vec<String> =
            self.filed.values().filter(|filed| old(&filed.head)).map(|filed| filed.head.id.clone()).collect();
        let left = self.filed.len() - gone.len();
        if left > settings.most_incidents {
            let mut rest: Vec<&Incident> =
                self.filed.values().map(|filed| &filed.head).filter(|head| !gone.contains(&head.id)).collect();
            rest.sort_by_key(|head| (head.state == "open", head.changed));
            gone.extend(rest.iter().take(left - settings.most_incidents).map(|head| head.id.clone()));
        }
        for id in &gone {
            self.filed.remove(id);
            self.dirty.insert(id.clone());
        }
        gone
    }

    pub fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    pub fn take_records(&mut self) -> Vec<Record> {
        let dirty = std::mem::take(&mut self.dirty).into_iter();
        dirty
            .map(|key| {
                let value = self.filed.get(&key).map(|filed| filed.body.clone());
                Record { kind: Kind::Incident, key, value }
            })
            .collect()
    }
}

/// Keeps the first entry and the last ones.
pub fn bound(timeline: &mut Vec<TimelineEntry>) {
    if timeline.len() > MOST_ENTRIES {
        let gone = timeline.len() - MOST_ENTRIES;
        timeline.drain(1..=gone);
    }
}
