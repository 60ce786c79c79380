//! How long connections live: until they are idle, or old, or no longer answer.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

/// When connections are asked whether they are alive, and ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lifetime {
    /// Ended when there was no request for so long.
    pub idle: Option<Duration>,
    /// Ended at about this age.
    pub age: Option<Duration>,
    /// How long requests in hand may take at that age.
    pub grace: Option<Duration>,
    /// HTTP/2: asked after so long in silence, and ended without an answer within so long.
    pub ask: Option<(Duration, Duration)>,
}

/// What happens on one connection.
pub struct Activity {
    requests: AtomicUsize,
    /// When the last request ended, or the connection began.
    last: Mutex<Instant>,
}

impl Default for Activity {
    fn default() -> Self {
        Self { requests: AtomicUsize::new(0), last: Mutex::new(Instant::now()) }
    }
}

impl Activity {
    /// A request begins; it ends when this is dropped.
    pub fn begin(self: &Arc<Self>) -> Busy {
        self.requests.fetch_add(1, Ordering::Relaxed);
        Busy(self.clone())
    }

    /// Whether there is a request in hand.
    pub fn is_busy(&self) -> bool {
        self.requests.load(Ordering::Acquire) > 0
    }

    /// Whether a request has ended since then.
    pub fn ended_since(&self, then: Instant) -> bool {
        self.last() > then
    }

    /// When the last request ended, or the connection began.
    pub fn last(&self) -> Instant {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request in hand.
pub struct Busy(Arc<Activity>);

impl Drop for Busy {
    fn drop(&mut self) {
        *self.0.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.0.requests.fetch_sub(1, Ordering::Release);
    }
}

/// Returns when there was no request for so long.
pub async fn idle(limit: Option<Duration>, activity: &Activity) {
    let Some(limit) = limit else { return std::future::pending().await };
    loop {
        let last = activity.last();
        let busy = activity.is_busy();
        if !busy && last.elapsed() >= limit {
            return;
        }
        tokio::time::sleep_until(if busy { Instant::now() } else { last } + limit).await;
    }
}

/// Returns at about this age: connections that began together do not all end together.
pub async fn old(age: Option<Duration>) {
    let Some(age) = age else { return std::future::pending().await };
    let spread = RandomState::new().hash_one(0) % 201;
    tokio::time::sleep(age.mul_f64(0.9 + spread as f64 / 1000.0)).await;
}
