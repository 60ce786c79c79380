//! Who has answered which incident: told by the control API when a person gives a verdict, heard by escalation.
//!
//! ```text
//! context.shared.get_or_default::<Answers>(Answers::NAME).given(&incident_id, "eve", "expected");
//! ```

use std::sync::{Arc, Mutex, PoisonError, Weak};

/// A person's answer to an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Of the incident.
    pub incident: String,
    /// Who.
    pub author: String,
    /// `expected`, `malicious`, `unsure`, or `undone` of one that was taken back.
    pub kind: String,
}

/// Called with every answer.
pub type Listener = Arc<Hear>;

type Hear = dyn Fn(&Answer) + Send + Sync;

/// Where answers are told.
#[derive(Default)]
pub struct Answers(Mutex<Vec<Weak<Hear>>>);

impl Answers {
    /// Its name among what components share.
    pub const NAME: &'static str = "incidents::answers";

    /// `listener` hears of answers for as long as somebody holds on to it.
    pub fn listen(&self, listener: &Listener) {
        let mut listeners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|known| known.strong_count() > 0);
        listeners.push(Arc::downgrade(listener));
    }

    /// A person has answered.
    pub fn given(&self, incident: &str, author: &str, kind: &str) {
        let answer = Answer { incident: incident.to_owned(), author: author.to_owned(), kind: kind.to_owned() };
        let listeners: Vec<Listener> = {
            let listeners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            listeners.iter().filter_map(Weak::upgrade).collect()
        };
        for listener in listeners {
            listener(&answer);
        }
    }
}
