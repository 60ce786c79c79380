//! A simulated airline on serverless functions, whose telemetry is known to the last span: what a detector is judged
//! by, and what `demo` shows.
//!
//! [`Airline`] is an iterator of [`Delivery`]s in event time, made as they are asked for: a few seconds of spans are
//! held, an hour of journeys is planned. Equal [`Options`] give equal bytes. [`Airline::truth`] tells what was hostile.
//! Nothing here fails; nothing here is read from outside.

pub mod application;
pub mod attacks;
pub mod benign;
pub mod encode;
pub mod fleet;
pub mod forwarder;
pub mod handlers;
pub mod invocation;
pub mod load;
pub mod rng;
pub mod truth;

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

pub use self::truth::{Attack, Benign, Truth};
use self::{
    application::{Function, Trigger},
    attacks::Malice,
    benign::{Calendar, DAY, HOUR, MINUTE},
    encode::{Encoder, Handler},
    fleet::Fleet,
    forwarder::Forwarder,
    invocation::{Circumstances, Failure, Line, Run, Severity},
    load::{Journey, Load},
    rng::Rng,
};
use crate::{
    detect::observation::Nanos,
    otlp::{Batch, Signal, write::field::ITEMS},
};

/// 2026-11-09T00:00:00Z, a Monday.
pub const DEFAULT_START: Nanos = 1_794_182_400_000_000_000;
/// The SDK's span processor sends what has ended after this long, without waiting for the handler.
const FLUSH: Nanos = 5_000_000_000;
/// How often a failed message is tried again.
const RETRIES: u8 = 2;
const HANDLER_SCOPE: &str = "opentelemetry.instrumentation.aws_lambda";

/// What to simulate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// All chance follows from it.
    pub seed: u64,
    /// How long; at least one day is simulated, and the attacks are on the last.
    pub days: u32,
    /// Traffic as a multiple of some 85 000 spans a day.
    pub scale: f64,
    /// The first instant; midnight UTC.
    pub start: Nanos,
}

impl Default for Options {
    fn default() -> Self {
        Self { seed: 42, days: 14, scale: 1.0, start: DEFAULT_START }
    }
}

/// One post to the gateway.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// When it arrives, in event time.
    pub at: Nanos,
    /// Spans or log records.
    pub batch: Batch,
}

/// The simulation: an iterator of what the airline's functions send.
#[derive(Debug)]
pub struct Airline {
    rng: Rng,
    load: Load,
    calendar: Calendar,
    start: Nanos,
    end: Nanos,
    planned_until: Nanos,
    pending: BinaryHeap<Reverse<Call>>,
    called: u64,
    fleet: Fleet,
    encoder: Encoder,
    forwarder: Forwarder,
    posted: VecDeque<Delivery>,
    truth: Truth,
}

/// An invocation to come.
#[derive(Debug)]
struct Call {
    at: Nanos,
    /// Orders calls of the same instant.
    number: u64,
    function: Function,
    trace_id: [u8; 16],
    parent: Option<[u8; 8]>,
    malice: Option<Malice>,
    attempt: u8,
}

impl Ord for Call {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl PartialOrd for Call {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Call {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Call {}

impl Airline {
    /// An airline about to open.
    pub fn new(options: Options) -> Self {
        let days = options.days.max(1);
        let end = options.start + u64::from(days) * DAY;
        let mut rng = Rng::new(options.seed);
        let calendar = Calendar::new(options.start, days);
        let (attacks, requests) = attacks::plan(end, &mut rng);
        let mut airline = Self {
            rng,
            load: Load::new(options.seed, options.scale),
            calendar,
            start: options.start,
            end,
            planned_until: options.start,
            pending: BinaryHeap::new(),
            called: 0,
            fleet: Fleet::default(),
            encoder: Encoder::default(),
            forwarder: Forwarder::default(),
            posted: VecDeque::new(),
            truth: Truth { attacks, benign: calendar.list() },
        };
        for request in requests {
            airline.arrive(request.at, request.journey, Some(request.malice));
        }
        airline
    }

    /// What was hostile and what only looked so. An attack's exact times and invocations are known once the iterator
    /// is past it.
    pub const fn truth(&self) -> &Truth {
        &self.truth
    }

    /// How many functions the airline runs.
    pub const fn functions(&self) -> usize {
        Function::ALL.len()
    }

    /// About how many spans there will be.
    pub fn spans_expected(&self) -> u64 {
        let hours = (self.end - self.start) / HOUR;
        let usual: f64 = (0..hours).map(|hour| self.load.spans_an_hour(self.start + hour * HOUR)).sum();
        let minutes = (0..hours * 60).map(|minute| self.start + minute * MINUTE);
        let crowd: f64 = minutes
            .map(|at| (self.calendar.crowd(at), at))
            .filter(|(crowd, _)| *crowd > 1.0)
            .map(|(crowd, at)| self.load.spans_an_hour(at) / 60.0 * (crowd - 1.0))
            .sum();
        (usual + crowd) as u64
    }

    /// The next event: an hour to plan, a window to post, or an invocation. False when all is over.
    fn advance(&mut self) -> bool {
        let next = self.pending.peek().map(|call| call.0.at);
        if self.planned_until < self.end && next.is_none_or(|at| at >= self.planned_until) {
            self.plan_hour();
            return true;
        }
        let due = self.forwarder.due();
        match (next, due) {
            (None, None) => return false,
            (Some(at), due) if due.is_none_or(|due| at < due) => {
                if let Some(Reverse(call)) = self.pending.pop() {
                    self.invoke(&call);
                }
            }
            _ => self.forwarder.post(&mut self.posted),
        }
        true
    }

    fn plan_hour(&mut self) {
        for minute in 0..60 {
            let at = self.planned_until + minute * MINUTE;
            for journey in Journey::ALL {
                let expected = self.load.a_minute(journey, at) * self.calendar.crowd(at);
                for _ in 0..self.rng.poisson(expected) {
                    let at = at + self.rng.below(MINUTE);
                    self.arrive(at, journey, None);
                }
            }
        }
        self.planned_until += HOUR;
    }

    fn arrive(&mut self, at: Nanos, journey: Journey, malice: Option<Malice>) {
        let function = match journey {
            Journey::Search => Function::SearchFlights,
            Journey::Book => Function::ReserveSeat,
            Journey::Points => Function::GetLoyalty,
        };
        let trace_id = self.rng.trace_id();
        self.push(Call { at, number: 0, function, trace_id, parent: None, malice, attempt: 0 });
    }

    fn push(&mut self, mut call: Call) {
        self.called += 1;
        call.number = self.called;
        self.pending.push(Reverse(call));
    }

    fn invoke(&mut self, call: &Call) {
        let release = self.calendar.release(call.function, call.at);
        let Some(lease) = self.fleet.take(call.function, release, call.at, &mut self.rng) else { return };
        let mut start = call.at + 1_500_000 + self.rng.below(2_000_000);
        if lease.cold {
            start += (self.rng.log_normal(call.function.spec().init_ms, 0.3) * 1e6) as Nanos;
        }
        let (span_id, invocation) = (self.rng.span_id(), self.rng.uuid());
        let here = call.malice.filter(|malice| malice.function == call.function);
        let mut run = Run::new(
            &mut self.rng,
            Circumstances {
                start,
                cold: lease.cold,
                throttled: self.calendar.throttled(call.at),
                reads_fare_rules: self.calendar.reads_fare_rules(call.at),
                payload: call.malice.map(|malice| malice.payload),
            },
        );
        let failure = handlers::handle(call.function, &mut run, here.map(|malice| malice.payload)).err();
        if let Some(failure) = failure {
            run.log(Severity::Error, 31, format!("[ERROR] {failure}"));
        }
        let Run { now: end, steps, lines, follows, malicious_from, .. } = run;
        self.fleet.give_back(&lease, end);
        let handler = Handler {
            function: call.function,
            trace_id: call.trace_id,
            span_id,
            parent: call.parent,
            invocation,
            start,
            end,
            cold: lease.cold,
            failure,
        };
        self.note(call, &handler, malicious_from);
        self.send(&handler, &steps, &lines, &lease);
        for follow in follows {
            let (function, parent) = (follow.function, Some(follow.parent));
            let (trace_id, malice) = (call.trace_id, call.malice);
            self.push(Call { at: follow.at, number: 0, function, trace_id, parent, malice, attempt: 0 });
        }
        self.retry(call, end, failure);
    }

    /// Queues, topics and asynchronous invocations try again; a browser is told.
    fn retry(&mut self, call: &Call, end: Nanos, failure: Option<Failure>) {
        let asked_by_message = !matches!(call.function.spec().trigger, Trigger::Http { .. });
        if failure.is_some() && asked_by_message && call.attempt < RETRIES {
            let attempt = call.attempt + 1;
            let at = end + u64::from(attempt) * MINUTE;
            self.push(Call { at, number: 0, attempt, ..*call });
        }
    }

    /// Notes an invocation that belongs to an attack.
    fn note(&mut self, call: &Call, handler: &Handler, malicious_from: Option<Nanos>) {
        let Some(malice) = call.malice else { return };
        let Some(attack) = self.truth.attacks.get_mut(malice.attack) else { return };
        if let Some(from) = malicious_from {
            attack.begins = if attack.invocations.is_empty() { from } else { attack.begins.min(from) };
        } else if !malice.payload.causes(call.function) {
            return;
        }
        attack.ends = attack.ends.max(handler.end);
        attack.invocations.push(handler.invocation.as_str().to_owned());
    }

    fn send(&mut self, handler: &Handler, steps: &[invocation::Step], lines: &[Line], lease: &fleet::Lease) {
        let Self { forwarder, encoder, rng, .. } = self;
        let early = steps.partition_point(|step| step.end + FLUSH < handler.end);
        let (early, with_handler) = steps.split_at_checked(early).unwrap_or_default();
        for step in early {
            let mut place = forwarder.place(Signal::Traces, step.end, &lease.instance);
            place.put(step.op.service.scope(), |out| encoder.call(out, ITEMS, step, handler, rng));
        }
        let mut place = forwarder.place(Signal::Traces, handler.end, &lease.instance);
        for step in with_handler {
            place.put(step.op.service.scope(), |out| encoder.call(out, ITEMS, step, handler, rng));
        }
        place.put(HANDLER_SCOPE, |out| encoder.handler(out, ITEMS, handler, rng));
        if !lines.is_empty() {
            let mut place = forwarder.place(Signal::Logs, handler.end, &lease.instance);
            for line in lines {
                place.put(handler.function.spec().logger, |out| encode::line(out, ITEMS, line, handler));
            }
        }
    }
}

impl Iterator for Airline {
    type Item = Delivery;

    fn next(&mut self) -> Option<Delivery> {
        while self.posted.is_empty() {
            if !self.advance() {
                return None;
            }
        }
        self.posted.pop_front()
    }
}

#[cfg(test)]
mod tests;
