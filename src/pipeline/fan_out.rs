//! One batch to several consumers over the same bytes.

use super::{Batch, Boxed, Consumer, Headroom, Next, Outcome};

/// Hands each batch to every consumer and tells the sender of the worst outcome.
pub struct FanOut(Vec<Next>);

impl FanOut {
    /// The consumer itself if there is only one, a fan-out otherwise; `None` if there is none.
    pub fn over(mut consumers: Vec<Next>) -> Option<Next> {
        if consumers.len() > 1 {
            return Some(std::sync::Arc::new(Self(consumers)));
        }
        consumers.pop()
    }
}

impl Consumer for FanOut {
    fn consume(&self, batch: Batch) -> Boxed<'_, Outcome> {
        Box::pin(async move {
            let mut worst = Outcome::Accepted;
            for consumer in &self.0 {
                worst = worst.and(consumer.consume(batch.clone()).await);
            }
            worst
        })
    }

    fn headroom(&self) -> Option<Headroom> {
        self.0.iter().filter_map(|consumer| consumer.headroom()).min_by_key(|headroom| headroom.bytes)
    }
}
