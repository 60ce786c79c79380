//! What a queue holds: what waits in memory, in lanes by signal, and how much there is in all.
//!
//! A queue in memory has all of it in the lanes. One on disk has the oldest there, as far as [`WINDOW_BYTES`] go; the
//! rest is *beyond*, on disk only, and read when the lanes run low.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

use super::config::{Batching, Size, Sizer};
use crate::{
    otlp::{Batch, Signal},
    pipeline::{Outcome, metadata::Metadata},
    telemetry::Gauge,
};

/// Of what is on disk, so much is also in memory.
pub const WINDOW_BYTES: usize = if cfg!(test) { 1 << 20 } else { 16 << 20 };

/// So many batches of other senders are passed over in the search for those that may go with the oldest.
const LOOKED_THROUGH: usize = 1024;

/// A batch in the queue.
pub struct Held {
    /// The batch itself.
    pub batch: Batch,
    /// Its place among all; on disk, its key.
    pub order: u64,
    /// Whom to tell what became of it.
    pub answer: Option<oneshot::Sender<Outcome>>,
    /// What its sender said.
    pub metadata: Option<Arc<Metadata>>,
    since: Instant,
}

impl Held {
    /// Came now, from disk or on its way there.
    fn stored(batch: Batch, order: u64) -> Self {
        Self { batch, order, answer: None, metadata: None, since: Instant::now() }
    }

    /// What it counts as.
    pub fn size(&self) -> Size {
        Size::with(&self.batch, self.metadata.as_deref())
    }
}

/// What there is to send.
pub enum Found {
    /// These, in one request.
    Parcel(Vec<Held>),
    /// Something, if nothing more comes until then.
    Later(Instant),
    /// Nothing.
    Nothing,
}

/// What the queues and the journal of one exporter share.
#[derive(Default)]
pub struct Stock {
    state: Mutex<State>,
    /// Something can be taken.
    pub filled: Notify,
    /// Something has left, or will not be sent now.
    pub emptied: Notify,
}

#[derive(Default)]
struct State {
    lanes: [Lane; 3],
    /// Where the size is shown, and how it is counted there.
    shown: Option<(Gauge, Sizer)>,
    /// Everything without an answer yet: waiting, beyond, being written, on its way.
    all: Size,
    /// On disk only.
    beyond: Size,
    /// Where that begins.
    next_read: u64,
    next_order: u64,
}

#[derive(Default)]
struct Lane {
    waiting: VecDeque<Held>,
    size: Size,
}

impl Stock {
    /// Everything without an answer yet.
    pub fn all(&self) -> Size {
        self.state().all
    }

    /// Shows its size, as `sizer` counts it, from now on.
    pub fn show(&self, gauge: Gauge, sizer: Sizer) {
        let mut state = self.state();
        state.shown = Some((gauge, sizer));
        state.changed();
    }

    /// Keeps room for `size`, if `fits` agrees to what there is already. What is larger than the whole queue goes through
    /// alone: it would never fit.
    pub fn reserve(&self, size: Size, fits: impl FnOnce(Size) -> bool) -> bool {
        let mut state = self.state();
        let mut all = state.all;
        all += size;
        if state.all.requests > 0 && !fits(all) {
            return false;
        }
        state.all = all;
        state.changed();
        true
    }

    /// Gives up what was reserved, or is answered.
    pub fn release(&self, size: Size) {
        self.release_silently(size);
        self.emptied.notify_waiters();
    }

    /// The same, without waking those who wait for room.
    pub fn release_silently(&self, size: Size) {
        let mut state = self.state();
        state.all -= size;
        state.changed();
    }

    /// Puts what was reserved in memory.
    pub fn put(&self, batch: Batch, metadata: Option<Arc<Metadata>>, answer: Option<oneshot::Sender<Outcome>>) {
        let mut state = self.state();
        let order = state.next_order;
        state.next_order += 1;
        state.push(Held { batch, order, answer, metadata, since: Instant::now() });
        drop(state);
        self.filled.notify_one();
    }

    /// What was reserved is on disk now, as number `order`.
    pub fn stored(&self, order: u64, batch: Batch) {
        let mut state = self.state();
        let size = Size::of(&batch);
        let (beyond, window) = (state.beyond.requests, state.window());
        if beyond == 0 && (window == 0 || window + size.bytes <= WINDOW_BYTES) {
            state.push(Held::stored(batch, order));
            drop(state);
            self.filled.notify_one();
        } else {
            if beyond == 0 {
                state.next_read = order;
            }
            state.beyond += size;
        }
    }

    /// Something was found on disk at the start.
    pub fn found(&self, order: u64, size: Size) {
        let mut state = self.state();
        if state.beyond.requests == 0 {
            state.next_read = order;
        }
        state.all += size;
        state.beyond += size;
    }

    /// Where to read on and how many bytes, if the lanes run low and there is something beyond.
    pub fn wanted(&self) -> Option<(u64, usize)> {
        let state = self.state();
        let room = WINDOW_BYTES.saturating_sub(state.window());
        (state.beyond.requests > 0 && room >= WINDOW_BYTES / 2).then_some((state.next_read, room))
    }

    /// What was read; `last`: there is nothing after it. Gives back how much should have been there and is not.
    pub fn read(&self, batches: Vec<(u64, Batch)>, last: bool) -> Size {
        let mut state = self.state();
        for (order, batch) in batches {
            state.next_read = order + 1;
            state.beyond -= Size::of(&batch);
            state.push(Held::stored(batch, order));
        }
        let missing = if last { std::mem::take(&mut state.beyond) } else { Size::default() };
        state.all -= missing;
        state.changed();
        drop(state);
        self.filled.notify_one();
        missing
    }

    /// Copies of all that waits in memory.
    pub fn waiting(&self) -> Vec<(u64, Batch)> {
        let state = self.state();
        let held = state.lanes.iter().flat_map(|lane| &lane.waiting);
        held.map(|held| (held.order, held.batch.clone())).collect()
    }

    /// The next request's batches: of one signal, the oldest first. With `batching`, those of a signal only once there
    /// are enough, or the oldest has waited long enough, or there is no time to lose.
    pub fn take(&self, batching: Option<&Batching>, hurry: bool) -> Found {
        let mut state = self.state();
        let now = Instant::now();
        // With the window full, more would not come before these leave.
        let hurry = hurry || (state.beyond.requests > 0 && state.window() >= WINDOW_BYTES / 2);
        let mut later: Option<Instant> = None;
        let mut next: Option<(u64, usize)> = None;
        for (number, lane) in state.lanes.iter().enumerate() {
            let Some(oldest) = lane.waiting.front() else { continue };
            if let Some(batching) = batching {
                let due = oldest.since + batching.flush_timeout;
                if !hurry && due > now && lane.size.by(batching.sizer) < batching.min_size {
                    later = Some(later.map_or(due, |later| later.min(due)));
                    continue;
                }
            }
            if next.is_none_or(|(order, _)| oldest.order < order) {
                next = Some((oldest.order, number));
            }
        }
        let Some(lane) = next.and_then(|(_, number)| state.lanes.get_mut(number)) else {
            return later.map_or(Found::Nothing, Found::Later);
        };
        let parcel = lane.take(batching);
        if state.lanes.iter().any(|lane| !lane.waiting.is_empty()) {
            // Several that were put in at once may have woken only one.
            self.filled.notify_one();
        }
        Found::Parcel(parcel)
    }

    /// What was taken waits again, before all that came later.
    pub fn give_back(&self, parcel: Vec<Held>) {
        let mut state = self.state();
        for held in parcel.into_iter().rev() {
            let lane = state.lane(held.batch.signal);
            lane.size += held.size();
            let at = lane.waiting.partition_point(|waiting| waiting.order < held.order);
            lane.waiting.insert(at, held);
        }
        drop(state);
        self.filled.notify_one();
        self.emptied.notify_waiters();
    }

    /// Takes everything that waits in memory, for the last time.
    pub fn clear(&self) -> Vec<Held> {
        let mut state = self.state();
        let lanes = std::mem::take(&mut state.lanes);
        lanes.into_iter().flat_map(|lane| lane.waiting).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn changed(&self) {
        if let Some((gauge, sizer)) = &self.shown {
            gauge.set(self.all.by(*sizer) as f64);
        }
    }

    /// Bytes in memory.
    fn window(&self) -> usize {
        self.lanes.iter().map(|lane| lane.size.bytes).sum()
    }

    fn lane(&mut self, signal: Signal) -> &mut Lane {
        let [traces, metrics, logs] = &mut self.lanes;
        match signal {
            Signal::Traces => traces,
            Signal::Metrics => metrics,
            Signal::Logs => logs,
        }
    }

    fn push(&mut self, held: Held) {
        let lane = self.lane(held.batch.signal);
        lane.size += held.size();
        lane.waiting.push_back(held);
    }
}

impl Lane {
    /// The oldest; with `batching`, until there are enough of those that may go with it.
    fn take(&mut self, batching: Option<&Batching>) -> Vec<Held> {
        let Some(oldest) = self.waiting.pop_front() else { return Vec::new() };
        let mut size = oldest.size();
        let mut taken = vec![oldest];
        if let Some(batching) = batching {
            let (mut at, mut passed) = (0, 0);
            while size.by(batching.sizer) < batching.min_size && passed < LOOKED_THROUGH {
                let Some(next) = self.waiting.get(at) else { break };
                if taken.first().is_some_and(|first| first.metadata == next.metadata) {
                    let next = self.waiting.remove(at);
                    size += next.as_ref().map(Held::size).unwrap_or_default();
                    taken.extend(next);
                } else {
                    (at, passed) = (at + 1, passed + 1);
                }
            }
        }
        self.size -= size;
        taken
    }
}
