//! Strong actions that wait for a person: where escalation offers them, and where the control API finds them.
//!
//! Whoever proposes implements [`Proposals`] and joins the process's one [`Registry`], which lives under
//! [`Registry::NAME`] in what components share:
//!
//! ```text
//! context.shared.get_or_default::<Registry>(Registry::NAME).join(&context.id, Arc::new(mine));
//! ```

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use super::control::proto::Proposal;

/// Why a decision was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Nobody proposes anything under this id.
    #[error("no proposal has the id {0}")]
    Unknown(String),
    /// It is decided already, has expired, or may not be executed now; a sentence.
    #[error("{0}")]
    NotNow(String),
}

/// Somebody who proposes actions. Its methods answer at once: an approved action is executed elsewhere, and its state
/// tells what came of it.
pub trait Proposals: Send + Sync {
    /// All that are remembered, in any order; their number is bounded.
    fn list(&self) -> Vec<Proposal>;

    /// A person approves (or rejects) the proposal `id`. The answer is the proposal as it is then.
    fn decide(&self, id: &str, approve: bool, author: &str, note: &str) -> Result<Proposal, Refused>;
}

/// Called with every proposal that is new or has changed.
pub type Listener = Arc<dyn Fn(Proposal) + Send + Sync>;

/// Everybody who proposes actions in this process.
#[derive(Default)]
pub struct Registry {
    /// By component; gone with the component.
    sources: Mutex<BTreeMap<String, Weak<dyn Proposals>>>,
    listener: Mutex<Option<Listener>>,
}

impl Registry {
    /// Its name among what components share.
    pub const NAME: &'static str = "incidents::proposals";

    /// `source` proposes for `component` from now on, for as long as somebody else holds on to it.
    pub fn join(&self, component: &str, source: &Arc<dyn Proposals>) {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        sources.retain(|_, known| known.strong_count() > 0);
        sources.insert(component.to_owned(), Arc::downgrade(source));
    }

    /// To be called by a source whenever a proposal is new or has changed.
    pub fn changed(&self, proposal: &Proposal) {
        let listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(listener) = listener {
            listener(proposal.clone());
        }
    }

    /// Who hears of changes from now on.
    pub fn listen(&self, listener: Listener) {
        *self.listener.lock().unwrap_or_else(PoisonError::into_inner) = Some(listener);
    }

    /// All proposals, newest first.
    pub fn list(&self) -> Vec<Proposal> {
        let mut all: Vec<Proposal> = self.sources().iter().flat_map(|source| source.list()).collect();
        all.sort_by(|a, b| b.made.cmp(&a.made).then_with(|| a.id.cmp(&b.id)));
        all
    }

    /// Hands the decision to whoever proposed `id`.
    pub fn decide(&self, id: &str, approve: bool, author: &str, note: &str) -> Result<Proposal, Refused> {
        for source in self.sources() {
            match source.decide(id, approve, author, note) {
                Err(Refused::Unknown(_)) => {}
                decided => return decided,
            }
        }
        Err(Refused::Unknown(id.to_owned()))
    }

    fn sources(&self) -> Vec<Arc<dyn Proposals>> {
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        sources.values().filter_map(Weak::upgrade).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct One(Mutex<Proposal>);

    impl Proposals for One {
        fn list(&self) -> Vec<Proposal> {
            vec![self.0.lock().unwrap().clone()]
        }

        fn decide(&self, id: &str, approve: bool, author: &str, _note: &str) -> Result<Proposal, Refused> {
            let mut mine = self.0.lock().unwrap();
            if mine.id != id {
                return Err(Refused::Unknown(id.to_owned()));
            }
            mine.state = if approve { "approved" } else { "rejected" }.to_owned();
            author.clone_into(&mut mine.decided_by);
            Ok(mine.clone())
        }
    }

    fn source(id: &str, made: u64) -> Arc<dyn Proposals> {
        Arc::new(One(Mutex::new(Proposal { id: id.to_owned(), made, ..Proposal::default() })))
    }

    #[test]
    fn decisions_reach_whoever_proposed_for_as_long_as_it_lives() {
        let registry = Registry::default();
        let (first, second) = (source("a", 1), source("b", 2));
        registry.join("escalation/one", &first);
        registry.join("escalation/two", &second);
        let ids = |registry: &Registry| registry.list().into_iter().map(|one| one.id).collect::<Vec<_>>();
        assert_eq!(ids(&registry), ["b", "a"], "newest first");
        assert_eq!(registry.decide("a", true, "eve", "").unwrap().decided_by, "eve");
        assert_eq!(registry.decide("c", true, "eve", ""), Err(Refused::Unknown("c".to_owned())));
        drop(first);
        assert_eq!(ids(&registry), ["b"]);
        assert!(registry.decide("a", true, "eve", "").is_err());
    }

    #[test]
    fn whoever_listens_hears_of_changes() {
        let registry = Registry::default();
        let heard = Arc::new(Mutex::new(Vec::new()));
        registry.changed(&Proposal::default());
        let into = heard.clone();
        registry.listen(Arc::new(move |proposal: Proposal| into.lock().unwrap().push(proposal.id)));
        registry.changed(&Proposal { id: "a".to_owned(), ..Proposal::default() });
        assert_eq!(*heard.lock().unwrap(), ["a"]);
    }
}
