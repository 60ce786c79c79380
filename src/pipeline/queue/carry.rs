//! The tasks that empty a queue: each carries one request at a time to the destination.

use std::sync::{Arc, atomic::Ordering};

use tokio::task::JoinSet;

use super::{
    Inner,
    config::Size,
    count::{count, loss},
    stock::{Found, Held},
};
use crate::{
    otlp::{Batch, split::split_to},
    pipeline::{Outcome, metadata},
};

/// Keeps the queue's consumers alive: one that panics takes only its request with it.
pub async fn tend(queue: Arc<Inner>) {
    let mut consumers = JoinSet::new();
    for _ in 0..queue.config.num_consumers {
        consumers.spawn(carry(queue.clone()));
    }
    while let Some(ended) = consumers.join_next().await {
        if let Err(error) = ended {
            tracing::error!(component = queue.component, %error, "sending broke down and begins again");
        }
        consumers.spawn(carry(queue.clone()));
    }
}

/// Carries requests to the destination until it is aborted.
async fn carry(queue: Arc<Inner>) {
    loop {
        let mut parcel = queue.next_parcel().await;
        parcel.outcome = Some(parcel.send().await);
    }
}

impl Inner {
    async fn next_parcel(self: &Arc<Self>) -> Parcel {
        let batching = self.config.batch.as_option();
        loop {
            let filled = self.stock.filled.notified();
            if self.stopped.load(Ordering::SeqCst) {
                return std::future::pending().await;
            }
            let found = self.stock.take(batching, self.closing.is_cancelled());
            if let Some(journal) = &self.journal {
                journal.read_on();
            }
            match found {
                Found::Parcel(held) => {
                    self.on_their_way.fetch_add(1, Ordering::SeqCst);
                    return Parcel { queue: self.clone(), held, outcome: None };
                }
                Found::Nothing => filled.await,
                Found::Later(due) => tokio::select! {
                    () = filled => {}
                    () = tokio::time::sleep_until(due) => {}
                    () = self.closing.cancelled() => {}
                },
            }
        }
    }

    /// Whether a parcel with this outcome stays on disk for another time rather than being lost.
    fn keeps(&self, outcome: Option<&Outcome>) -> bool {
        let for_now = match outcome {
            // Aborted. One that broke its consumer would do so again.
            None => !std::thread::panicking(),
            Some(Outcome::Retryable { .. } | Outcome::Overloaded { .. }) => self.closing.is_cancelled(),
            Some(_) => false,
        };
        self.journal.is_some() && for_now
    }
}

/// A request between the queue and its destination's answer. However that ends, its place is given back.
struct Parcel {
    queue: Arc<Inner>,
    /// Of one signal.
    held: Vec<Held>,
    outcome: Option<Outcome>,
}

impl Parcel {
    /// Sends everything, in several requests if it is too large for one.
    async fn send(&self) -> Outcome {
        let mut heard: Option<Outcome> = None;
        for request in self.requests() {
            let metadata = self.held.first().and_then(|held| held.metadata.clone());
            let outcome = metadata::with(metadata, async { self.queue.next.consume(request).await }).await;
            let stay = self.queue.keeps(Some(&outcome));
            heard = Some(match heard {
                None => outcome,
                Some(before) => both(before, outcome),
            });
            if stay {
                break;
            }
        }
        heard.unwrap_or(Outcome::Accepted)
    }

    fn requests(&self) -> Vec<Batch> {
        let whole = match self.held.as_slice() {
            [] => return Vec::new(),
            [held] => held.batch.clone(),
            several @ [first, ..] => {
                // Repeated fields: one serialised request after the other is a request with the resources of both.
                let bodies: Vec<&[u8]> = several.iter().map(|held| held.batch.body.as_ref()).collect();
                let items = several.iter().map(|held| held.batch.items).sum();
                Batch { signal: first.batch.signal, body: bodies.concat().into(), items }
            }
        };
        match self.queue.config.batch.as_option().and_then(super::Batching::most) {
            Some(most) => split_to(&whole, most),
            None => vec![whole],
        }
    }

    fn size(&self) -> Size {
        self.held.iter().fold(Size::default(), |mut size, held| {
            size += held.size();
            size
        })
    }

    fn account(&self, size: Size) {
        let Some(signal) = self.held.first().map(|held| held.batch.signal) else { return };
        let lost = match &self.outcome {
            Some(outcome) => loss(outcome, size.items),
            None => Some((size.items as u64, "sending was interrupted")),
        };
        let Some((items, reason)) = lost else { return };
        if self.held.iter().all(|held| held.answer.is_some()) {
            // Their senders hear of it.
            count(&self.queue.lost, signal, items);
        } else {
            self.queue.lose(signal, items, reason);
        }
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        let queue = self.queue.clone();
        queue.on_their_way.fetch_sub(1, Ordering::SeqCst);
        if queue.keeps(self.outcome.as_ref()) {
            // A destination that does not take this now will not take the next either.
            queue.stopped.store(true, Ordering::SeqCst);
            return queue.stock.give_back(std::mem::take(&mut self.held));
        }
        let size = self.size();
        self.account(size);
        if let Some(journal) = &queue.journal {
            journal.answered(self.held.iter().map(|held| held.order));
        }
        queue.stock.release(size);
        for held in self.held.drain(..) {
            if let (Some(answer), Some(outcome)) = (held.answer, &self.outcome) {
                // A sender that has gone away does not need it.
                let _ = answer.send(outcome.clone());
            }
        }
    }
}

/// What became of two requests that were one parcel.
fn both(one: Outcome, other: Outcome) -> Outcome {
    match (one, other) {
        (Outcome::Partial { rejected: a, message }, Outcome::Partial { rejected: b, .. }) => {
            Outcome::Partial { rejected: a.saturating_add(b), message }
        }
        (one, other) => one.and(other),
    }
}
