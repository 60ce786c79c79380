//! Who is connected to one listener: so many at most, and nobody for long without saying anything.
//!
//! When all places are taken, the connection that has been idle longest makes room for the next, those that have never
//! asked for anything first: whoever opens thousands and leaves them must not keep others out. One with a request in hand
//! is never ended; if all are busy, the next ones wait in the kernel's backlog.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{component::Context, lifetime::Activity};
use crate::telemetry::{Counter, Gauge};

/// Connections at once on one listener.
const MOST: usize = 4096;
/// Files this process may not do without: its logs, its stores, its destinations.
const OTHER_FILES: usize = 256;
/// A connection must ask for something within this time.
const FIRST_REQUEST: Duration = Duration::from_secs(30);
/// When all are busy, how often to look whether one is not any more.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The connections of one listener.
pub struct Connections {
    most: usize,
    open: Mutex<Open>,
    left: Notify,
    shown: Gauge,
    ended: Counter,
}

#[derive(Default)]
struct Open {
    peers: BTreeMap<u64, Peer>,
    next: u64,
}

struct Peer {
    since: Instant,
    activity: Arc<Activity>,
    leave: CancellationToken,
}

/// One connection's place, given back when dropped.
pub struct Connection {
    connections: Arc<Connections>,
    number: u64,
    /// What happens on it.
    pub activity: Arc<Activity>,
    since: Instant,
    leave: CancellationToken,
}

impl Connections {
    /// Of the component's listener for `protocol`.
    pub fn of(context: &Context, protocol: &str) -> Arc<Self> {
        let labels = [("receiver", context.id.as_str()), ("transport", protocol)];
        let metrics = &context.metrics;
        Arc::new(Self {
            most: most_files().map_or(MOST, |files| MOST.min(files.saturating_sub(OTHER_FILES).max(files / 2))),
            open: Mutex::default(),
            left: Notify::new(),
            shown: metrics.gauge("sekisho_receiver_connections", "Connections that are open.", &labels),
            ended: metrics.counter(
                "sekisho_receiver_connections_ended",
                "Idle connections that were ended to make room for others.",
                &labels,
            ),
        })
    }

    /// Waits for a place.
    pub async fn enter(self: &Arc<Self>) -> Connection {
        loop {
            let left = self.left.notified();
            if let Some(connection) = self.try_enter() {
                return connection;
            }
            let _ = tokio::time::timeout(LOOK_AGAIN, left).await;
        }
    }

    fn try_enter(self: &Arc<Self>) -> Option<Connection> {
        let mut open = self.open();
        if open.peers.len() >= self.most {
            if let Some(idlest) = open.idlest() {
                idlest.leave.cancel();
                self.ended.add(1);
            }
            return None;
        }
        let (number, since) = (open.next, Instant::now());
        let (activity, leave) = (Arc::new(Activity::default()), CancellationToken::new());
        open.next += 1;
        open.peers.insert(number, Peer { since, activity: activity.clone(), leave: leave.clone() });
        self.shown.set(open.peers.len() as f64);
        Some(Connection { connections: self.clone(), number, activity, since, leave })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Who should leave; `None` if one is leaving already, or all are busy.
    fn idlest(&self) -> Option<&Peer> {
        if self.peers.values().any(|peer| peer.leave.is_cancelled()) {
            return None;
        }
        let idle = self.peers.values().filter(|peer| !peer.activity.is_busy());
        idle.min_by_key(|peer| (peer.activity.ended_since(peer.since), peer.activity.last()))
    }
}

impl Connection {
    /// Returns when it has to end at once: it has said nothing for too long, or others need the place.
    pub async fn must_leave(&self) {
        let silent = async {
            tokio::time::sleep(FIRST_REQUEST).await;
            if self.activity.is_busy() || self.activity.ended_since(self.since) {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = self.leave.cancelled() => {}
            () = silent => {}
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut open = self.connections.open();
        open.peers.remove(&self.number);
        self.connections.shown.set(open.peers.len() as f64);
        drop(open);
        self.connections.left.notify_one();
    }
}

/// How many files this process may have open, if the system says.
fn most_files() -> Option<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    limits.lines().find_map(|line| line.strip_prefix("Max open files"))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::pipeline::probe;

    fn connections(most: usize) -> (Arc<Connections>, Context) {
        let context = probe::context("otlp", Path::new("."));
        let mut connections = Connections::of(&context, "grpc");
        Arc::get_mut(&mut connections).unwrap().most = most;
        (connections, context)
    }

    #[tokio::test(start_paused = true)]
    async fn the_one_that_never_said_anything_makes_room_then_the_one_idle_longest() {
        let (connections, context) = connections(3);
        let (first, second) = (connections.enter().await, connections.enter().await);
        for served in [&first, &second] {
            tokio::time::advance(Duration::from_secs(1)).await;
            drop(served.activity.begin());
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        let silent = connections.enter().await;
        for leaves in [silent, first] {
            let coming = tokio::spawn({
                let connections = connections.clone();
                async move { connections.enter().await }
            });
            tokio::time::timeout(Duration::from_secs(5), leaves.must_leave()).await.expect("this one");
            drop(leaves);
            let came = coming.await.unwrap();
            std::mem::forget(came.activity.begin());
            std::mem::forget(came);
        }
        assert_eq!(context.metrics.sum("sekisho_receiver_connections_ended", None), 2.0);
        assert_eq!(context.metrics.sum("sekisho_receiver_connections", None), 3.0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_busy_are_left_alone_and_the_next_waits() {
        let (connections, _) = connections(1);
        let only = connections.enter().await;
        let request = only.activity.begin();
        let waiting = tokio::time::timeout(Duration::from_mins(10), connections.enter()).await;
        assert!(waiting.is_err());
        assert!(!only.leave.is_cancelled());
        drop(request);
        let (_, ()) = tokio::join!(connections.enter(), async {
            only.must_leave().await;
            drop(only);
        });
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_says_nothing_has_to_go() {
        let (connections, _) = connections(2);
        let (silent, polite) = (connections.enter().await, connections.enter().await);
        tokio::time::advance(Duration::from_millis(1)).await;
        drop(polite.activity.begin());
        let begun = Instant::now();
        silent.must_leave().await;
        assert_eq!(begun.elapsed(), FIRST_REQUEST);
        assert!(tokio::time::timeout(Duration::from_hours(1), polite.must_leave()).await.is_err());
    }
}
