//! Offering a batch again: exponential backoff with jitter that never comes back before the destination's own hint.
//!
//! ```yaml
//! retry_on_failure:
//!   enabled: true
//!   initial_interval: 5s
//!   randomization_factor: 0.5
//!   multiplier: 1.5
//!   max_interval: 30s
//!   max_elapsed_time: 300s   # 0: for ever
//! ```
//!
//! When the pipeline is being drained, time is short: pauses then last a second at most, or as long as the destination asked.
//! In front of what is on disk there is no haste: the batch is left for another time.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::Arc,
    time::Duration,
};

use serde::Deserialize;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{Batch, Boxed, Consumer, Next, Outcome};
use crate::config::{Check, Report};

/// Longest pause while draining, unless the destination asks for more.
const DRAINING_PAUSE: Duration = Duration::from_secs(1);
/// No destination may make us wait longer: with `max_elapsed_time: 0` a mistake in its clock would be for ever.
const LONGEST_HINT: Duration = Duration::from_hours(1);

/// The configuration; the keys and defaults are the Collector's.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether anything is offered again.
    pub enabled: bool,
    /// First pause.
    #[serde(with = "crate::config::duration")]
    pub initial_interval: Duration,
    /// Each pause is longer or shorter by up to this share.
    pub randomization_factor: f64,
    /// Each pause is this many times the one before.
    pub multiplier: f64,
    /// Longest pause.
    #[serde(with = "crate::config::duration")]
    pub max_interval: Duration,
    /// When a batch is given up; 0: never.
    #[serde(with = "crate::config::duration")]
    pub max_elapsed_time: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            initial_interval: Duration::from_secs(5),
            randomization_factor: 0.5,
            multiplier: 1.5,
            max_interval: Duration::from_secs(30),
            max_elapsed_time: Duration::from_mins(5),
        }
    }
}

impl Check for Config {
    fn check(&self, report: &mut Report<'_>) {
        if self.initial_interval.is_zero() {
            report.error("initial_interval", "must be more than 0");
        }
        if !(0.0..=1.0).contains(&self.randomization_factor) {
            report.error("randomization_factor", "must be between 0 and 1");
        }
        if !(1.0..=100.0).contains(&self.multiplier) {
            report.error("multiplier", "must be between 1 and 100");
        }
        if self.max_interval < self.initial_interval {
            report.error("max_interval", "must not be less than initial_interval");
        }
        let limit = self.max_elapsed_time;
        if self.enabled && !limit.is_zero() && limit < self.max_interval {
            report.error("max_elapsed_time", "must be 0 or at least max_interval");
        }
    }
}

/// What becomes of a batch that is refused for now while the pipeline is being drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtEnd {
    /// It is offered again soon: this is its last chance.
    Hurry,
    /// It is left: it is on disk.
    Leave,
}

/// A consumer that offers what `next` refuses for now again.
pub struct Retry {
    config: Config,
    next: Next,
    closing: CancellationToken,
    at_end: AtEnd,
}

impl Retry {
    /// In front of `next`; `next` itself if retrying is off. `closing` is cancelled when draining begins.
    pub fn over(config: &Config, next: Next, closing: CancellationToken, at_end: AtEnd) -> Next {
        if config.enabled { Arc::new(Self { config: config.clone(), next, closing, at_end }) } else { next }
    }

    async fn offer(&self, batch: Batch) -> Outcome {
        let mut backoff = Backoff::new(&self.config);
        loop {
            let outcome = self.next.consume(batch.clone()).await;
            let hint = match &outcome {
                Outcome::Retryable { after, .. } => *after,
                Outcome::Overloaded { after } => Some(*after),
                _ => return outcome,
            };
            let hint = hint.unwrap_or_default().min(LONGEST_HINT);
            let Some(pause) = backoff.pause(hint) else { return outcome };
            if !self.wait(pause, hint).await {
                return outcome;
            }
        }
    }

    /// False if there is to be no other attempt.
    async fn wait(&self, pause: Duration, hint: Duration) -> bool {
        let now = Instant::now();
        tokio::select! {
            biased;
            () = self.closing.cancelled() => {
                if self.at_end == AtEnd::Leave {
                    return false;
                }
                sleep_until(now + pause.min(DRAINING_PAUSE).max(hint)).await;
            }
            () = sleep_until(now + pause) => {}
        }
        true
    }
}

impl Consumer for Retry {
    fn consume(&self, batch: Batch) -> Boxed<'_, Outcome> {
        Box::pin(self.offer(batch))
    }

    fn drain(&self) -> Boxed<'_, ()> {
        self.next.drain()
    }
}

/// How long to wait before each further attempt.
struct Backoff<'a> {
    config: &'a Config,
    interval: Duration,
    begun: Instant,
}

impl<'a> Backoff<'a> {
    fn new(config: &'a Config) -> Self {
        Self { config, interval: config.initial_interval, begun: Instant::now() }
    }

    /// `None` when it is time to give up.
    fn pause(&mut self, hint: Duration) -> Option<Duration> {
        let spread = self.config.randomization_factor * (2.0 * random() - 1.0);
        let pause = self.interval.mul_f64(1.0 + spread).max(hint);
        let longest = self.config.max_interval;
        self.interval = Duration::try_from_secs_f64(self.interval.as_secs_f64() * self.config.multiplier)
            .map_or(longest, |next| next.min(longest));
        let limit = self.config.max_elapsed_time;
        (limit.is_zero() || self.begun.elapsed() + pause <= limit).then_some(pause)
    }
}

/// Between 0 and 1; good enough to keep senders from coming back in step.
fn random() -> f64 {
    RandomState::new().hash_one(0_u8) as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::otlp::Signal;

    /// Refuses as scripted, then accepts; remembers when it was asked.
    struct Script(Mutex<(Vec<Outcome>, Vec<Instant>)>);

    impl Consumer for Script {
        fn consume(&self, _batch: Batch) -> Boxed<'_, Outcome> {
            let mut script = self.0.lock().unwrap();
            script.1.push(Instant::now());
            let outcome = script.0.pop().unwrap_or(Outcome::Accepted);
            Box::pin(std::future::ready(outcome))
        }
    }

    async fn run(config: Config, mut refusals: Vec<Outcome>) -> (Outcome, Vec<Duration>) {
        refusals.reverse();
        let script = Arc::new(Script(Mutex::new((refusals, Vec::new()))));
        let retry = Retry::over(&config, script.clone(), CancellationToken::new(), AtEnd::Hurry);
        let outcome = retry.consume(Batch { signal: Signal::Logs, body: bytes::Bytes::new(), items: 1 }).await;
        let asked = script.0.lock().unwrap().1.clone();
        (outcome, asked.windows(2).map(|pair| pair[1] - pair[0]).collect())
    }

    fn retryable(after: Option<u64>) -> Outcome {
        Outcome::Retryable { after: after.map(Duration::from_secs), reason: "away".into() }
    }

    fn exact() -> Config {
        Config { randomization_factor: 0.0, ..Config::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_to_the_longest_and_never_undercut_the_hint() {
        let refusals = vec![
            retryable(None),
            retryable(None),
            retryable(Some(60)),
            Outcome::Overloaded { after: Duration::from_secs(1) },
            retryable(None),
            retryable(None),
            retryable(None),
        ];
        let (outcome, pauses) = run(exact(), refusals).await;
        assert_eq!(outcome, Outcome::Accepted);
        let seconds: Vec<u64> = pauses.iter().map(Duration::as_secs).collect();
        assert_eq!(seconds, [5, 7, 60, 16, 25, 30, 30]);
    }

    #[tokio::test(start_paused = true)]
    async fn it_gives_up_in_time_with_the_last_answer() {
        let config = Config { max_elapsed_time: Duration::from_secs(20), ..exact() };
        let (outcome, pauses) = run(config, vec![retryable(None); 50]).await;
        assert_eq!(outcome, retryable(None));
        assert!(pauses.iter().sum::<Duration>() <= Duration::from_secs(20));
        assert_eq!(pauses.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn draining_cuts_pauses_short_but_not_the_destinations_own() {
        for (name, refusals, seconds) in [
            ("a pause that has begun", vec![retryable(None)], 1),
            ("further pauses", vec![retryable(None); 3], 3),
            ("a hint", vec![retryable(Some(20))], 20),
        ] {
            let script = Arc::new(Script(Mutex::new((refusals, Vec::new()))));
            let closing = CancellationToken::new();
            let retry = Retry::over(&exact(), script, closing.clone(), AtEnd::Hurry);
            let begun = Instant::now();
            let offer = retry.consume(Batch { signal: Signal::Logs, body: bytes::Bytes::new(), items: 1 });
            let (outcome, ()) = tokio::join!(offer, async { closing.cancel() });
            assert_eq!((outcome, begun.elapsed().as_secs()), (Outcome::Accepted, seconds), "{name}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_on_disk_is_left_there_when_the_end_comes() {
        let script = Arc::new(Script(Mutex::new((vec![retryable(Some(20)); 3], Vec::new()))));
        let closing = CancellationToken::new();
        let retry = Retry::over(&exact(), script.clone(), closing.clone(), AtEnd::Leave);
        let begun = Instant::now();
        let batch = Batch { signal: Signal::Logs, body: bytes::Bytes::new(), items: 1 };
        let (outcome, ()) = tokio::join!(retry.consume(batch.clone()), async { closing.cancel() });
        assert_eq!((outcome, begun.elapsed()), (retryable(Some(20)), Duration::ZERO));
        retry.consume(batch).await;
        assert_eq!(script.0.lock().unwrap().1.len(), 2, "one attempt each");
    }

    #[tokio::test(start_paused = true)]
    async fn a_destination_cannot_ask_for_more_than_an_hour() {
        let config = Config { max_elapsed_time: Duration::ZERO, ..exact() };
        let (outcome, pauses) = run(config, vec![retryable(Some(u64::from(u32::MAX)))]).await;
        assert_eq!((outcome, pauses), (Outcome::Accepted, vec![Duration::from_hours(1)]));
    }

    #[test]
    fn the_configuration_is_checked_as_the_collector_checks_it() {
        let table = [
            ("{}", ""),
            ("max_elapsed_time: 0", ""),
            ("max_elapsed_time: 20s", "max_elapsed_time"),
            ("{max_elapsed_time: 20s, enabled: false}", ""),
            ("{max_elapsed_time: 20s, max_interval: 10s}", ""),
            ("initial_interval: 0", "initial_interval"),
            ("max_interval: 1s", "max_interval"),
            ("multiplier: .nan", "multiplier"),
            ("randomization_factor: 2", "randomization_factor"),
        ];
        for (yaml, wrong) in table {
            let (_, said) = crate::pipeline::probe::config::<Config>(crate::config::Kind::Exporter, yaml);
            assert_eq!(said.is_empty(), wrong.is_empty(), "{yaml}: {said}");
            assert!(said.contains(wrong), "{yaml}: {said}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_final_is_not_offered_again() {
        let refused = Outcome::Permanent { reason: "no".into() };
        let (outcome, pauses) = run(exact(), vec![refused.clone()]).await;
        assert_eq!((outcome, pauses.len()), (refused, 0));
        let (outcome, pauses) = run(Config { enabled: false, ..exact() }, vec![retryable(None)]).await;
        assert_eq!((outcome, pauses.len()), (retryable(None), 0));
    }
}
