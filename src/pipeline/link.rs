//! The joints of the graph, so that a reload exchanges what is around a node while the node works on.
//!
//! A node hands on to a [`Link`], which can be pointed elsewhere. What stands behind a link or an output is a node's
//! [`entrance`]; when the last copy of that is gone and the last batch that came through it is answered, nobody can
//! hand anything to the node any more, and it may be drained.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use tokio::sync::mpsc;

use super::{Batch, Boxed, Consumer, Headroom, Next, Outcome};

/// What a node hands on to.
#[derive(Default)]
pub struct Link(ArcSwapOption<Next>);

impl Link {
    /// Points it at `next` from the next batch on; what is under way stays with the old one.
    pub fn point_at(&self, next: Option<Next>) {
        self.0.store(next.map(Arc::new));
    }
}

impl Consumer for Link {
    fn consume(&self, batch: Batch) -> Boxed<'_, Outcome> {
        Box::pin(async move {
            match self.0.load_full() {
                Some(next) => next.consume(batch).await,
                None => Outcome::Retryable { after: None, reason: "the pipeline is not connected".to_owned() },
            }
        })
    }
}

/// A way into `node`, and the means to see that it is no longer used.
pub fn entrance(node: Next) -> (Next, Unused) {
    let (user, users) = mpsc::channel(1);
    (Arc::new(Entrance { node, _user: user }), Unused(users))
}

struct Entrance {
    node: Next,
    /// Nothing is ever sent: that it is gone says all.
    _user: mpsc::Sender<()>,
}

impl Consumer for Entrance {
    fn consume(&self, batch: Batch) -> Boxed<'_, Outcome> {
        self.node.consume(batch)
    }

    fn headroom(&self) -> Option<Headroom> {
        self.node.headroom()
    }
}

/// Tells when an [`entrance`] is no longer used.
pub struct Unused(mpsc::Receiver<()>);

impl Unused {
    /// Returns when the last copy of the entrance is gone and the last batch through it is answered.
    pub async fn wait(&mut self) {
        while self.0.recv().await.is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::Notify;

    use super::*;
    use crate::{
        otlp::Signal,
        pipeline::{fan_out::FanOut, probe::Script},
    };

    struct Slow(Notify);

    impl Consumer for Slow {
        fn consume(&self, _batch: Batch) -> Boxed<'_, Outcome> {
            Box::pin(async {
                self.0.notified().await;
                Outcome::Accepted
            })
        }
    }

    fn batch() -> Batch {
        Batch { signal: Signal::Logs, body: bytes::Bytes::new(), items: 1 }
    }

    /// Scenario: a link and a fan-out lead to a slow node with a batch under way; both are pointed elsewhere.
    /// Guarantees: new batches go to the new node at once; the old one is unused only when its batch is answered.
    #[tokio::test]
    async fn an_entrance_is_unused_when_its_last_batch_is_answered() {
        let (slow, new) = (Arc::new(Slow(Notify::new())), Script::new([]));
        let (way_in, mut unused) = entrance(slow.clone());
        let link = Arc::new(Link::default());
        link.point_at(FanOut::over(vec![way_in.clone(), Script::new([])]));
        drop(way_in);
        let through = link.clone();
        let under_way = tokio::spawn(async move { through.consume(batch()).await });
        let waiting = tokio::time::timeout(Duration::from_millis(20), unused.wait());
        assert!(waiting.await.is_err(), "the link leads to it");

        link.point_at(Some(new.clone()));
        assert_eq!(link.consume(batch()).await, Outcome::Accepted);
        assert_eq!(new.items(), [1]);
        let waiting = tokio::time::timeout(Duration::from_millis(20), unused.wait());
        assert!(waiting.await.is_err(), "a batch is under way");

        slow.0.notify_one();
        assert_eq!(under_way.await.unwrap(), Outcome::Accepted);
        unused.wait().await;
    }

    #[tokio::test]
    async fn a_link_that_leads_nowhere_asks_to_try_again() {
        assert!(matches!(Link::default().consume(batch()).await, Outcome::Retryable { .. }));
    }
}
