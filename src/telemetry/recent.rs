//! The latest warnings and errors, for whoever looks at the process rather than at its log.

use std::{
    collections::VecDeque,
    fmt::{self, Write as _},
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context};

/// So many are kept.
const KEPT: usize = 100;
/// And of each so many bytes.
const LONGEST: usize = 2048;

static RECENT: Mutex<VecDeque<Said>> = Mutex::new(VecDeque::new());

/// A warning or an error.
#[derive(Clone, Debug)]
pub struct Said {
    /// When.
    pub at: SystemTime,
    /// Whether data was lost.
    pub error: bool,
    /// What, with its fields.
    pub text: String,
}

/// The latest warnings and errors, the last first.
pub fn recent() -> Vec<Said> {
    RECENT.lock().unwrap_or_else(PoisonError::into_inner).iter().rev().cloned().collect()
}

/// Keeps them.
pub struct Recent;

impl<S: Subscriber> Layer<S> for Recent {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut line = Line { message: String::new(), fields: String::new() };
        event.record(&mut line);
        let mut text = line.message + &line.fields;
        text.truncate(text.floor_char_boundary(LONGEST));
        let said = Said { at: SystemTime::now(), error: *event.metadata().level() == Level::ERROR, text };
        let mut recent = RECENT.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() == KEPT {
            recent.pop_front();
        }
        recent.push_back(said);
    }
}

struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::{Registry, layer::SubscriberExt as _};

    use super::*;

    #[test]
    fn the_last_ones_are_kept_cut_to_size() {
        tracing::subscriber::with_default(Registry::default().with(Recent), || {
            for number in 0..KEPT + 5 {
                tracing::warn!(number, "a test's warning");
            }
            tracing::error!(items = 7, reason = "é".repeat(LONGEST), "a test's loss");
        });
        let ours: Vec<Said> = recent().into_iter().filter(|said| said.text.starts_with("a test's")).collect();
        assert!(recent().len() <= KEPT);
        assert!(ours[0].error && ours[0].text.starts_with("a test's loss items=7 reason="), "{}", ours[0].text);
        assert!(ours[0].text.len() <= LONGEST);
        assert!(!ours[1].error && ours[1].text == format!("a test's warning number={}", KEPT + 4), "{}", ours[1].text);
    }
}
