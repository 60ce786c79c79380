//! From requests to invocations: finds each one's handler, gathers what hangs below it, and tells it in one piece.
//!
//! Spans are grouped by trace and function. The handler's span, which ends last and is therefore exported last, makes
//! an invocation complete: it is emitted at once, nothing is delayed to get it. What comes later is told as
//! `complete: false`, and so is what waited in vain for a handler. Everything is bounded by [`Settings`]; what had to
//! go is counted in [`Counters`]. Spans seen before, by trace and span id, are not told again.

use std::sync::Arc;

use super::{
    intern::{self, Memory},
    keys::Recipe,
};
use crate::detect::observation::{Channel, Nanos, Observation};

mod clock;
mod emit;
mod function;
mod groups;
mod joins;
mod logs;
mod outside;
mod read;
mod settle;

use clock::Clock;
use emit::{Press, Subject};
use function::Functions;
use groups::{Groups, Member};
use joins::Joins;

const SECOND: Nanos = 1_000_000_000;

/// Bounds and waits.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How long, in event time, spans wait for their handler.
    pub linger: Nanos,
    /// How long, in event time, an invocation is remembered for what comes late or twice.
    pub recent: Nanos,
    /// Most invocations that wait for their handler.
    pub max_open: usize,
    /// Most spans of one invocation.
    pub max_spans: usize,
    /// Most spans that wait, of all invocations.
    pub max_held: usize,
    /// Most invocations remembered.
    pub max_recent: usize,
    /// Most span ids remembered.
    pub max_span_ids: usize,
    /// Most kinds of spans whose keys are remembered.
    pub max_recipes: usize,
    /// Most functions (and versions) remembered.
    pub max_functions: usize,
    /// Most calls whose request ids are remembered, for services that record them too.
    pub max_request_ids: usize,
    /// Most records from outside that wait for the spans they should have.
    pub max_unjoined: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            linger: 30 * SECOND,
            recent: 300 * SECOND,
            max_open: 65_536,
            max_spans: 4_096,
            max_held: 262_144,
            max_recent: 131_072,
            max_span_ids: 2_097_152,
            max_recipes: 131_072,
            max_functions: 262_144,
            max_request_ids: 524_288,
            max_unjoined: 65_536,
        }
    }
}

/// What did not become part of a complete invocation, or had to be forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Records that name no function.
    pub unattributed: u64,
    /// Spans without a trace id or span id.
    pub malformed: u64,
    /// Spans that had been seen before.
    pub duplicates: u64,
    /// Spans that came after their invocation was emitted.
    pub late: u64,
    /// Invocations whose handler did not come in time.
    pub abandoned: u64,
    /// Invocations closed before their time, for want of room.
    pub evicted: u64,
    /// Spans left out of an invocation that has too many.
    pub truncated: u64,
    /// Kinds of spans whose keys had to be forgotten.
    pub recipes_forgotten: u64,
    /// Functions that had to be forgotten.
    pub functions_forgotten: u64,
    /// Records of the platform, of services, and values of metrics, that were understood.
    pub outside: u64,
    /// Those that could not be compared with spans: too many at once, or from before spans were kept for it.
    pub unjoinable: u64,
}

/// One invocation, or a part of one, and where it stands in the request.
#[derive(Clone, Copy, Debug)]
pub struct Invocation<'a> {
    /// What was seen.
    pub observation: Observation<'a>,
    /// Its records in this request, in the order of the views; none of what came in requests before.
    pub records: &'a [u32],
    /// Its handler among them; `None` if the observation is not complete.
    pub handler: Option<u32>,
    /// The serialised `Resource` it came from; empty if it is no longer known.
    pub resource: &'a [u8],
    /// Its trace; zero if unknown.
    pub trace_id: [u8; 16],
    /// The span of its handler; zero if unknown.
    pub span_id: [u8; 8],
}

/// Puts invocations together.
#[derive(Clone, Debug)]
pub struct Assembler {
    settings: Settings,
    counters: Counters,
    secret: u64,
    clock: Clock,
    functions: Functions,
    recipes: Memory<Arc<Recipe>>,
    invocations: Memory<logs::Place>,
    groups: Groups,
    joins: Joins,
    /// Members in the request being read, and the groups they are of.
    fresh: Vec<Member>,
    touched: Vec<u32>,
    room: settle::Room,
    press: Press,
}

impl Assembler {
    /// An assembler that has seen nothing.
    pub fn new(settings: Settings) -> Self {
        let secret = intern::secret();
        Self {
            settings,
            counters: Counters::default(),
            secret,
            clock: Clock::default(),
            functions: Functions::new(secret, settings.max_functions),
            recipes: Memory::new(settings.max_recipes),
            invocations: Memory::new(settings.max_recent),
            groups: Groups::new(settings.linger, settings.recent),
            joins: Joins::new(settings.max_request_ids, settings.max_unjoined),
            fresh: Vec::new(),
            touched: Vec::new(),
            room: settle::Room::default(),
            press: Press::default(),
        }
    }

    /// Reads an `ExportTraceServiceRequest`, then emits every invocation whose handler has arrived, in event-time order.
    pub fn traces(&mut self, body: &[u8], out: &mut impl FnMut(Invocation<'_>)) {
        let request = self.read(body);
        self.settle(&request, out);
        self.make_room(out);
        self.decide(self.clock.now(), out);
    }

    /// Reads an `ExportLogsServiceRequest` and emits, as incomplete, what each invocation logged.
    pub fn logs(&mut self, body: &[u8], out: &mut impl FnMut(Invocation<'_>)) {
        self.read_logs(body, out);
    }

    /// Reads an `ExportMetricsServiceRequest` and emits what the platform counted of functions.
    pub fn metrics(&mut self, body: &[u8], out: &mut impl FnMut(Invocation<'_>)) {
        self.read_metrics(body, out);
    }

    /// Emits, as incomplete, the invocations whose handler has not come by `now` or by the watermark, whichever is
    /// later, and forgets what is past remembering. [`Nanos::MAX`] emits all that wait.
    pub fn advance(&mut self, now: Nanos, out: &mut impl FnMut(Invocation<'_>)) {
        let now = now.max(self.clock.now());
        while let Some(slot) = self.groups.overdue(now, now == Nanos::MAX) {
            self.counters.abandoned += 1;
            self.close(slot, out);
        }
        while self.groups.forget(now, false) {}
        self.decide(now, out);
    }

    /// How far event time has come; zero before the first record.
    pub fn watermark(&self) -> Nanos {
        self.clock.now()
    }

    /// Invocations that wait for their handler.
    pub fn open(&self) -> usize {
        self.groups.open
    }

    /// What was counted.
    pub fn counters(&self) -> Counters {
        Counters {
            recipes_forgotten: self.recipes.forgotten(),
            functions_forgotten: self.functions.forgotten(),
            ..self.counters
        }
    }

    /// Keeps to the bounds: what waits longest is closed, what is oldest forgotten.
    fn make_room(&mut self, out: &mut impl FnMut(Invocation<'_>)) {
        while self.groups.open > self.settings.max_open || self.groups.held > self.settings.max_held {
            let Some(slot) = self.groups.overdue(0, true) else { break };
            self.counters.evicted += 1;
            self.close(slot, out);
        }
        while self.groups.len() > self.settings.max_recent + self.groups.open
            || self.groups.remembered > self.settings.max_span_ids
        {
            if !self.groups.forget(0, true) {
                break;
            }
        }
    }

    /// Emits what a group holds as it is.
    fn close(&mut self, slot: u32, out: &mut impl FnMut(Invocation<'_>)) {
        let mut held = self.groups.release(slot);
        held.sort_unstable_by_key(|member| (member.start, member.span));
        let now = self.clock.now();
        let Some(group) = self.groups.get_mut(slot) else { return };
        let function = group.best_function();
        let resource = std::mem::take(&mut group.resource);
        let trace = group.key.trace;
        let added = settle::remember(group, held.iter().map(|member| member.span), settle::NO_MEMO);
        self.groups.remembered += added;
        let subject = Subject {
            function: &function,
            trace,
            span: 0,
            invocation: "",
            resource: &resource,
            now,
            channel: Channel::Spans,
            instance: 0,
            answered: 0,
        };
        self.press.emit(&subject, held.iter(), None, out);
    }
}

#[cfg(test)]
mod tests;
