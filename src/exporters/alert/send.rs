//! How alerts are sent: in order, a few at a time, no faster than the destination allows, until they are taken.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Mutex, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{super::counted, Alert, Tier};
use crate::{
    config::Report,
    otlp::split::split,
    pipeline::{
        Batch, Boxed, Consumer, Next, Outcome,
        component::{Context, StartError},
        queue::{self, Queue},
        retry::{self, AtEnd, Retry},
    },
    telemetry::Counter,
};

/// Where alerts are delivered.
pub trait Deliver: Send + Sync + 'static {
    /// Whether the destination is to hear of this one; what it is not is passed over before any waiting.
    fn worth_sending(&self, _alert: &Alert) -> bool {
        true
    }

    /// Delivers some, at least one and at most as many as [`Terms`] allow; says how that went for all of them.
    fn deliver<'a>(&'a self, alerts: &'a [Alert]) -> Boxed<'a, Outcome>;
}

/// How a destination wants to be sent to.
pub struct Terms<'a> {
    /// The least that is sent.
    pub tier: Tier,
    /// Alerts in one request.
    pub most: usize,
    /// Least time between two requests.
    pub pace: Duration,
    /// In front of it.
    pub queue: &'a queue::Config,
    /// Around each request.
    pub retry: &'a retry::Config,
}

/// A queue that keeps order: what is said last of an incident must arrive last.
pub fn in_order() -> queue::Config {
    queue::Config { num_consumers: 1, ..queue::Config::default() }
}

/// An alert is worth waiting for: a pager that is down for a day still gets it.
pub fn patient() -> retry::Config {
    retry::Config { max_elapsed_time: Duration::ZERO, ..retry::Config::default() }
}

/// Says what is wrong with queue and retries, the same for all exporters of alerts.
pub fn check_sending(queue: &queue::Config, retry: &retry::Config, report: &mut Report<'_>) {
    super::super::check_sending(queue, retry, report);
    // Not written, it is 1 here, whatever it is elsewhere.
    if queue.enabled && queue.num_consumers > 1 && report.is_set("sending_queue.num_consumers") {
        report
            .error("sending_queue.num_consumers", "must be 1: an incident's updates must arrive in order")
            .hint("remove the key");
    }
}

/// `deliver` behind a queue, retries and everything else in `terms`.
pub fn sending(deliver: impl Deliver, terms: &Terms<'_>, context: &Context) -> Result<Next, StartError> {
    let label = [("exporter", context.id.as_str())];
    let below = "Alerts not sent because their tier is below the exporter's minimum_tier.";
    let one = Sender {
        deliver,
        tier: terms.tier,
        pace: Pace { gap: terms.pace, next: Mutex::new(Instant::now()) },
        below: context.metrics.counter("sekisho_alerts_below_tier", below, &label),
    };
    in_chunks(Arc::new(one), terms.most, terms.queue, terms.retry, context)
}

/// `send` behind a queue and retries, given at most `most` records at a time.
pub fn in_chunks(
    send: Next,
    most: usize,
    queue: &queue::Config,
    retry: &retry::Config,
    context: &Context,
) -> Result<Next, StartError> {
    let queue = &queue::Config { num_consumers: 1, ..queue.clone() };
    let (closing, at_end) = (CancellationToken::new(), queue.at_end());
    let next = Retry::over(retry, counted(send, context), closing.clone(), at_end);
    let leave = (at_end == AtEnd::Leave).then(|| closing.clone());
    Queue::over(queue, Arc::new(Chunks { next, most, leave }), closing, context)
}

/// Hands on a few records at a time: what is retried must not have all the others sent again.
struct Chunks {
    next: Next,
    most: usize,
    /// Once cancelled, what is refused for now is left on disk, and its batch with it: better twice than never.
    leave: Option<CancellationToken>,
}

impl Chunks {
    async fn take(&self, batch: Batch) -> Outcome {
        let (mut lost, mut message) = (0, String::new());
        for part in split(&batch, self.most) {
            let items = part.items as u64;
            lost += match self.next.consume(part).await {
                Outcome::Accepted => continue,
                for_now @ (Outcome::Retryable { .. } | Outcome::Overloaded { .. })
                    if self.leave.as_ref().is_some_and(CancellationToken::is_cancelled) =>
                {
                    return for_now;
                }
                Outcome::Partial { message: reason, rejected } => {
                    message = reason;
                    rejected
                }
                Outcome::Permanent { reason } | Outcome::Retryable { reason, .. } => {
                    message = reason;
                    items
                }
                Outcome::Overloaded { .. } => {
                    "the destination stayed overloaded".clone_into(&mut message);
                    items
                }
            };
        }
        if lost == 0 { Outcome::Accepted } else { Outcome::Partial { rejected: lost, message } }
    }
}

impl Consumer for Chunks {
    fn consume(&self, batch: Batch) -> Boxed<'_, Outcome> {
        Box::pin(self.take(batch))
    }

    fn drain(&self) -> Boxed<'_, ()> {
        self.next.drain()
    }
}

struct Sender<D> {
    deliver: D,
    tier: Tier,
    pace: Pace,
    below: Counter,
}

impl<D: Deliver> Sender<D> {
    async fn send(&self, batch: Batch) -> Outcome {
        let (mut alerts, mut others) = (Vec::new(), 0);
        for alert in Alert::all(&batch.body) {
            match alert {
                Some(alert) if alert.tier < self.tier => self.below.add(1),
                Some(alert) if self.deliver.worth_sending(&alert) => alerts.push(alert),
                Some(_) => {}
                None => others += 1,
            }
        }
        let outcome = if alerts.is_empty() {
            Outcome::Accepted
        } else {
            self.pace.wait().await;
            self.deliver.deliver(&alerts).await
        };
        if others == 0 || outcome != Outcome::Accepted {
            return outcome;
        }
        let message = "only alerts are sent: list `anomaly` as the pipeline's receiver, and nothing else";
        Outcome::Partial { rejected: others, message: message.to_owned() }
    }
}

impl<D: Deliver> Consumer for Sender<D> {
    fn consume(&self, batch: Batch) -> Boxed<'_, Outcome> {
        Box::pin(self.send(batch))
    }
}

/// Not faster than this.
struct Pace {
    gap: Duration,
    next: Mutex<Instant>,
}

impl Pace {
    async fn wait(&self) {
        if self.gap.is_zero() {
            return;
        }
        let mut next = self.next.lock().await;
        tokio::time::sleep_until(*next).await;
        *next = Instant::now() + self.gap;
    }
}
