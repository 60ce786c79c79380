//! Strong actions that wait for a person: made here, decided through the control API, executed by the engine.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::book::{Book, Failed, Limits, State, Task, nanos};
use crate::{
    incidents::{
        control::proto::Proposal,
        proposals::{Proposals, Refused},
    },
    otlp::hex,
};

/// Proposals remembered; beyond, the oldest that is no longer open is forgotten.
const MOST: usize = 1000;
/// Bytes of what came of one.
const LONGEST_OUTCOME: usize = 4096;

/// A proposal, and what it takes to execute it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Offer {
    /// What people see.
    pub proposal: Proposal,
    /// Exactly what is executed.
    pub command: Vec<String>,
    /// Seconds the command may take.
    pub timeout_seconds: u64,
    /// What it does to whom: what cools down.
    pub what: String,
    /// It has been started, by this process or one before it.
    pub started: bool,
}

/// The id of the proposal for an action of an incident: the same however often it is proposed.
pub fn id_of(component: &str, task: &Task) -> String {
    let hash = Sha256::digest(format!("{component}\n{task:?}"));
    format!("prop-{}", hex(&hash[..5]))
}

impl Book {
    /// Makes a proposal, unless it is made already.
    pub fn propose(&self, task: &Task, offer: Offer, now: u64) -> Result<(), Failed> {
        let mut state = self.lock();
        let id = offer.proposal.id.clone();
        if !state.offers.contains_key(&id) {
            state.make_room()?;
            state.note(now, "proposed", seen(&offer.proposal))?;
            state.offers.insert(id.clone(), offer);
            state.touch_offer(&id);
            self.save(&mut state)?;
        }
        self.tell(state);
        self.done(task, "offered", json!({"proposal": id}), now)
    }

    /// A person decides.
    pub fn decide(
        &self,
        id: &str,
        decision: (bool, &str, &str),
        limits: Limits,
        now: u64,
    ) -> Result<Proposal, Refused> {
        let (approve, author, note) = decision;
        let mut state = self.lock();
        let Some(offer) = state.offers.get(id) else { return Err(Refused::Unknown(id.to_owned())) };
        let (proposal, what) = (offer.proposal.clone(), offer.what.clone());
        let not_now = |why: String| Err(Refused::NotNow(why));
        if proposal.state != "waiting" {
            return not_now(format!("it is {} already", proposal.state));
        }
        if proposal.expires <= now {
            return not_now("it has expired: the situation may be another by now".to_owned());
        }
        if approve
            && !proposal.dry_run
            && let Err(why) = state.allowed(&what, limits, now)
        {
            return not_now(why);
        }
        let word = if approve { "approved" } else { "rejected" };
        let details = json!({"proposal": id, "author": author, "note": note});
        let written = state.note(now, word, details);
        let kept = written.and_then(|()| {
            // Two that are approved at once count as two.
            if approve && !proposal.dry_run {
                state.executed(&what, now);
            }
            if let Some(offer) = state.offers.get_mut(id) {
                let proposal = &mut offer.proposal;
                word.clone_into(&mut proposal.state);
                author.clone_into(&mut proposal.decided_by);
                note.clone_into(&mut proposal.note);
                proposal.decided = now;
            }
            state.touch_offer(id);
            self.save(&mut state)
        });
        let decided = state.offers.get(id).map(|offer| offer.proposal.clone()).unwrap_or_default();
        self.tell(state);
        match kept {
            Ok(()) => Ok(decided),
            Err(why) => not_now(format!("it cannot be written down: {why}")),
        }
    }

    /// Takes an approved proposal to be executed; `None` if it is not to be.
    pub fn start(&self, id: &str, now: u64) -> Result<Option<Offer>, Failed> {
        let mut state = self.lock();
        let Some(offer) = state.offers.get(id).filter(|offer| offer.proposal.state == "approved" && !offer.started)
        else {
            return Ok(None);
        };
        let (offer, dry) = (offer.clone(), offer.proposal.dry_run);
        let event = if dry { "would execute" } else { "executing" };
        state.note(now, event, json!({"proposal": id, "command": offer.command}))?;
        if let Some(offer) = state.offers.get_mut(id) {
            offer.started = true;
        }
        state.touch_offer(id);
        self.save(&mut state)?;
        self.tell(state);
        Ok(Some(offer))
    }

    /// It was executed, or failed.
    pub fn finish(&self, id: &str, came: Result<String, String>, now: u64) -> Result<(), Failed> {
        let mut state = self.lock();
        state.free(&Task::Execute(id.to_owned()));
        let (word, outcome) = match came {
            Ok(outcome) => ("executed", outcome),
            Err(why) => ("failed", why),
        };
        let outcome = bounded(&outcome);
        let written = state.note(now, word, json!({"proposal": id, "outcome": outcome}));
        if let Some(offer) = state.offers.get_mut(id) {
            let proposal = &mut offer.proposal;
            word.clone_into(&mut proposal.state);
            proposal.outcome = outcome;
            proposal.done = now;
        }
        state.touch_offer(id);
        let saved = self.save(&mut state);
        self.tell(state);
        written.and(saved)
    }

    /// What was executed when the process ended is not executed again: nobody knows how far it came.
    pub(super) fn interrupted(&self, state: &mut State, now: u64) -> Result<(), Failed> {
        let started = |offer: &&Offer| offer.started && offer.proposal.state == "approved";
        let ids: Vec<String> = state.offers.values().filter(started).map(|offer| offer.proposal.id.clone()).collect();
        for id in ids {
            let outcome = "the gateway ended while it ran: look what it has done";
            tracing::error!(component = self.component, proposal = id, "{outcome}");
            state.note(now, "failed", json!({"proposal": id, "outcome": outcome}))?;
            if let Some(offer) = state.offers.get_mut(&id) {
                let proposal = &mut offer.proposal;
                "failed".clone_into(&mut proposal.state);
                outcome.clone_into(&mut proposal.outcome);
                proposal.done = now;
            }
            state.touch_offer(&id);
        }
        Ok(())
    }

    /// How many wait for a person.
    pub fn waiting(&self) -> usize {
        self.lock().offers.values().filter(|offer| offer.proposal.state == "waiting").count()
    }
}

impl State {
    fn make_room(&mut self) -> Result<(), Failed> {
        if self.offers.len() < MOST {
            return Ok(());
        }
        let open = |offer: &&Offer| ["waiting", "approved"].contains(&offer.proposal.state.as_str());
        let decided = self.offers.values().filter(|offer| !open(offer));
        let Some(oldest) = decided.min_by_key(|offer| offer.proposal.made).map(|offer| offer.proposal.id.clone())
        else {
            return Err(std::io::Error::other(format!("{MOST} proposals wait already")).into());
        };
        self.offers.remove(&oldest);
        self.touch_offer(&oldest);
        Ok(())
    }

    pub(super) fn expire(&mut self, now: u64) -> Result<(), Failed> {
        let late = |offer: &&Offer| offer.proposal.state == "waiting" && offer.proposal.expires <= now;
        let ids: Vec<String> = self.offers.values().filter(late).map(|offer| offer.proposal.id.clone()).collect();
        for id in ids {
            self.note(now, "expired", json!({"proposal": id}))?;
            if let Some(offer) = self.offers.get_mut(&id) {
                "expired".clone_into(&mut offer.proposal.state);
            }
            self.touch_offer(&id);
        }
        Ok(())
    }
}

fn seen(proposal: &Proposal) -> serde_json::Value {
    json!({
        "proposal": proposal.id,
        "incident": proposal.incident_id,
        "stage": proposal.stage,
        "action": proposal.action,
        "reason": proposal.reason,
        "command": proposal.command,
        "dry_run": proposal.dry_run,
    })
}

fn bounded(text: &str) -> String {
    let mut end = text.len().min(LONGEST_OUTCOME);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

/// When something made now is no longer to be approved.
pub fn expiry(now: u64, after: Duration) -> u64 {
    now.saturating_add(nanos(after))
}

/// The book, as the control API sees it: with the limits of the configuration.
pub struct Desk {
    /// Where proposals are.
    pub book: std::sync::Arc<Book>,
    /// What may be executed.
    pub limits: Limits,
    /// Told when there is something to execute.
    pub wake: std::sync::Arc<tokio::sync::Notify>,
}

impl Proposals for Desk {
    fn list(&self) -> Vec<Proposal> {
        self.book.lock().offers.values().map(|offer| offer.proposal.clone()).collect()
    }

    fn decide(&self, id: &str, approve: bool, author: &str, note: &str) -> Result<Proposal, Refused> {
        let decided = self.book.decide(id, (approve, author, note), self.limits, super::wall_clock());
        self.wake.notify_one();
        decided
    }
}
