//! A log in which one message does not drown the others.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use tracing::{Event, Level, Metadata, callsite::Identifier};
use tracing_subscriber::layer::{Context, Filter};

use crate::config::Sampling;

/// Lines that sampling has left out of the written log since the start.
pub static LEFT_OUT: AtomicU64 = AtomicU64::new(0);

/// Lets through of each message what the configuration says. Messages are told apart by where in the program they are
/// said, so there are only so many.
#[derive(Clone)]
pub struct Sampled(Arc<Inner>);

struct Inner {
    config: Sampling,
    seen: Mutex<HashMap<Identifier, (Instant, u64)>>,
    left_out: Option<&'static AtomicU64>,
}

impl Sampled {
    /// As `config` says; what is left out is counted in `left_out`.
    pub fn new(config: Sampling, left_out: Option<&'static AtomicU64>) -> Self {
        Self(Arc::new(Inner { config, seen: Mutex::default(), left_out }))
    }

    fn lets_through(&self, message: Identifier, now: Instant) -> bool {
        let config = &self.0.config;
        let mut seen = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, count) = seen.entry(message).or_insert((now, 0));
        if now.duration_since(*since) >= config.tick {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        let after = count.saturating_sub(config.initial);
        after == 0 || (config.thereafter > 0 && after.is_multiple_of(config.thereafter))
    }
}

impl<S> Filter<S> for Sampled {
    fn enabled(&self, _metadata: &Metadata<'_>, _context: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _context: &Context<'_, S>) -> bool {
        // Errors count what was lost.
        if !self.0.config.enabled || *event.metadata().level() == Level::ERROR {
            return true;
        }
        let through = self.lets_through(event.metadata().callsite(), Instant::now());
        if let Some(left_out) = self.0.left_out.filter(|_| !through) {
            left_out.fetch_add(1, Ordering::Relaxed);
        }
        through
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tracing::{Subscriber, subscriber::with_default};
    use tracing_subscriber::{Layer, Registry, layer::SubscriberExt as _};

    use super::*;

    #[derive(Clone, Default)]
    struct Heard(Arc<Mutex<Vec<String>>>);

    impl<S: Subscriber> Layer<S> for Heard {
        fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
            self.0.lock().unwrap().push(event.metadata().level().to_string());
        }
    }

    fn heard(config: Sampling) -> usize {
        let heard = Heard::default();
        let subscriber = Registry::default().with(heard.clone().with_filter(Sampled::new(config, None)));
        with_default(subscriber, || {
            for _ in 0..35 {
                tracing::warn!("again");
            }
            tracing::warn!("another");
            for _ in 0..35 {
                tracing::error!("lost");
            }
        });
        heard.0.lock().unwrap().len() - 35
    }

    #[test]
    fn repeated_messages_are_thinned_and_errors_are_not() {
        let usual = Sampling { tick: Duration::from_hours(1), initial: 10, thereafter: 10, enabled: true };
        for (row, config, expected) in [
            ("ten, then one in ten; and the other", usual.clone(), 12 + 1),
            ("ten, then none; and the other", Sampling { thereafter: 0, ..usual.clone() }, 10 + 1),
            ("none but one in ten, and not the other", Sampling { initial: 0, ..usual.clone() }, 3),
            ("all", Sampling { enabled: false, ..usual }, 35 + 1),
        ] {
            assert_eq!(heard(config), expected, "{row}");
        }
    }

    #[test]
    fn each_tick_begins_anew() {
        let sampled = Sampled::new(Sampling { initial: 1, thereafter: 0, ..Sampling::default() }, None);
        let message = tracing::callsite::Identifier(&CALLSITE);
        let now = Instant::now();
        let times =
            [0, 1, 9, 10, 11].map(|second| sampled.lets_through(message.clone(), now + Duration::from_secs(second)));
        assert_eq!(times, [true, false, false, true, false]);
    }

    struct Callsite;
    static CALLSITE: Callsite = Callsite;
    impl tracing::callsite::Callsite for Callsite {
        fn set_interest(&self, _interest: tracing::subscriber::Interest) {}
        fn metadata(&self) -> &Metadata<'_> {
            unreachable!("nobody asks")
        }
    }
}
