//! Which incidents a destination was told of, where the destination itself does not deduplicate: chat.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, PoisonError},
};

use super::{Alert, State, Tier};

/// Incidents remembered; the oldest is forgotten first.
const MOST: usize = 10_000;

/// What an alert is to somebody who heard of its incident, or did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// First heard of.
    New,
    /// It wants more attention than before.
    Escalated,
    /// There is more to it.
    Update,
    /// It is over.
    Resolved,
    /// It is over, and nobody was told that it began.
    NeverMind,
}

/// The incidents announced.
#[derive(Default)]
pub struct Announced(Mutex<Known>);

#[derive(Default)]
struct Known {
    tiers: BTreeMap<String, Tier>,
    order: VecDeque<String>,
}

impl Announced {
    /// What `alert` is; nothing is remembered yet.
    pub fn turn(&self, alert: &Alert) -> Turn {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match (known.tiers.get(&alert.id), alert.state) {
            (Some(_), State::Resolved) => Turn::Resolved,
            // After a restart nothing is known of an incident that was announced: better told than not.
            (None, State::Resolved) => Turn::NeverMind,
            (None, _) => Turn::New,
            (Some(before), _) if *before < alert.tier => Turn::Escalated,
            (Some(_), _) => Turn::Update,
        }
    }

    /// Remembers that `alert` was delivered.
    pub fn told(&self, alert: &Alert) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if alert.state == State::Resolved {
            known.tiers.remove(&alert.id);
            known.order.retain(|id| *id != alert.id);
            return;
        }
        if known.tiers.insert(alert.id.clone(), alert.tier).is_none() {
            known.order.push_back(alert.id.clone());
        }
        if known.order.len() > MOST
            && let Some(oldest) = known.order.pop_front()
        {
            known.tiers.remove(&oldest);
        }
    }
}
