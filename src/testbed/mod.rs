//! Simulated applications on serverless functions, whose telemetry is known to the last span: what a detector is judged
//! by, and what `demo` shows.
//!
//! [`Simulation`] is an iterator of [`Delivery`]s in event time, made as they are asked for: a few seconds of spans are
//! held, an hour of arrivals is planned. Equal [`Options`] give equal bytes. A clone goes its own way from where it was
//! made, so that many futures can follow one past. [`Simulation::truth`] tells what was hostile. Nothing here fails;
//! nothing here is read from outside.
//!
//! `application` says how applications are described and `applications` describes them; `attacks` says what can be done
//! to them, `benign` and `scenarios` what happens without anybody meaning harm; `sources` writes what the function, the
//! platform, the metrics and the audit log say of it.

pub mod application;
pub mod applications;
pub mod attacks;
pub mod benign;
pub mod fleet;
pub mod forwarder;
pub mod invocation;
pub mod load;
pub mod rng;
pub mod scenarios;
pub mod sources;
pub mod truth;

mod arrivals;
mod hostile;

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque},
};

pub use self::truth::{Attack, Benign, Loot, Truth};
use self::{
    application::{Application, Spec, Trigger},
    benign::{Calendar, DAY, Disturbance, HOUR, MINUTE, Weather},
    fleet::{Fleet, Lease},
    forwarder::Forwarder,
    hostile::Hostile,
    invocation::{Circumstances, Failure, Line, Run, Severity, Step},
    load::Load,
    rng::Rng,
    sources::{
        metrics::{Counted, Minutes},
        platform::{self, Invoked},
        spans::{self, Encoder, Handler},
        trail::{self, Recorded, Trail},
    },
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

/// Which days are simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Story {
    /// The demo's: five disturbances, ten attacks on the last day.
    Demo,
    /// Ordinary weeks, and nothing hostile until somebody adds it.
    Everyday,
}

/// Which telemetry there is besides the functions' own spans and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each source is there or not")]
pub struct Sources {
    /// The platform's events.
    pub platform: bool,
    /// Metrics by the minute.
    pub metrics: bool,
    /// The audit log's management events.
    pub trail: bool,
    /// And its data events.
    pub data_events: bool,
}

impl Sources {
    /// The functions' own only.
    pub const NONE: Self = Self { platform: false, metrics: false, trail: false, data_events: false };
    /// All there is.
    pub const ALL: Self = Self { platform: true, metrics: true, trail: true, data_events: true };
}

/// What to simulate.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// All chance follows from it.
    pub seed: u64,
    /// How long; at least one day is simulated.
    pub days: u32,
    /// Traffic as a multiple of the usual: for the airline some 85 000 spans a day.
    pub scale: f64,
    /// The first instant; midnight UTC.
    pub start: Nanos,
    /// Which applications share the account.
    pub applications: &'static [&'static Application],
    /// What happens to them.
    pub story: Story,
    /// What else is heard of them.
    pub sources: Sources,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 42,
            days: 14,
            scale: 1.0,
            start: DEFAULT_START,
            applications: &[&applications::airline::AIRLINE],
            story: Story::Demo,
            sources: Sources::NONE,
        }
    }
}

/// One post to the gateway.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// When it arrives, in event time.
    pub at: Nanos,
    /// Spans, log records or metrics.
    pub batch: Batch,
}

/// A deployed function and the application it belongs to.
#[derive(Clone, Copy, Debug)]
struct Deployed {
    application: &'static Application,
    spec: &'static Spec,
    newcomer: bool,
}

/// The simulation: an iterator of what the account's functions and services send.
#[derive(Clone, Debug)]
pub struct Simulation {
    options: Options,
    rng: Rng,
    load: Load,
    calendar: Calendar,
    functions: Vec<Deployed>,
    by_name: HashMap<&'static str, usize>,
    end: Nanos,
    planned_until: Nanos,
    pending: BinaryHeap<Reverse<Call>>,
    called: u64,
    fleet: Fleet,
    encoder: Encoder,
    forwarder: Forwarder,
    minutes: Minutes,
    trail: Trail,
    posted: VecDeque<Delivery>,
    hostile: Hostile,
    truth: Truth,
}

/// An invocation to come.
#[derive(Clone, Copy, Debug)]
struct Call {
    at: Nanos,
    /// Orders calls of the same instant.
    number: u64,
    function: usize,
    trace_id: [u8; 16],
    parent: Option<[u8; 8]>,
    /// Which attack it belongs to.
    malice: Option<usize>,
    attempt: u8,
    /// Invocations of the held function on the way here.
    hops: u8,
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

impl Simulation {
    /// Applications about to open.
    pub fn new(options: Options) -> Self {
        let days = options.days.max(1);
        let end = options.start + u64::from(days) * DAY;
        let mut rng = Rng::new(options.seed);
        let of = |application: &'static Application| {
            let known = application.functions.iter().map(move |spec| (spec, false));
            let all = known.chain([(&application.newcomer, true)]);
            all.map(move |(spec, newcomer)| Deployed { application, spec, newcomer })
        };
        let functions: Vec<Deployed> = options.applications.iter().copied().flat_map(of).collect();
        let by_name = functions.iter().enumerate().map(|(index, deployed)| (deployed.spec.name, index)).collect();
        let calendar = match options.story {
            Story::Demo => Calendar::demo(options.start, days),
            Story::Everyday => Calendar::everyday(options.applications, options.start, days, &mut rng),
        };
        let mut simulation = Self {
            options,
            load: Load::new(options.seed, options.scale),
            fleet: Fleet::new(functions.len()),
            functions,
            by_name,
            end,
            planned_until: options.start,
            pending: BinaryHeap::new(),
            called: 0,
            encoder: Encoder::default(),
            forwarder: Forwarder::default(),
            minutes: Minutes::default(),
            trail: Trail::new(options.sources.data_events),
            posted: VecDeque::new(),
            hostile: Hostile::default(),
            truth: Truth { attacks: Vec::new(), benign: calendar.list() },
            calendar,
            rng,
        };
        if options.story == Story::Demo {
            for (index, campaign) in attacks::demo::all().into_iter().enumerate() {
                let at = end.saturating_sub(DAY) + HOUR + index as u64 * 135 * MINUTE;
                let at = at + simulation.rng.below(5 * MINUTE);
                simulation.attack(campaign, at);
            }
        }
        simulation
    }

    /// What was hostile and what only looked so. An attack's exact times and invocations are known once the iterator
    /// is past it.
    pub const fn truth(&self) -> &Truth {
        &self.truth
    }

    /// How many functions run, newcomers aside.
    pub fn functions(&self) -> usize {
        self.functions.iter().filter(|deployed| !deployed.newcomer).count()
    }

    /// When it ends.
    pub const fn end(&self) -> Nanos {
        self.end
    }

    /// Lets it go on until `end`.
    pub fn extend(&mut self, end: Nanos) {
        self.end = self.end.max(end);
    }

    /// Another chance from here on.
    pub fn reseed(&mut self, seed: u64) {
        self.rng = Rng::new(seed);
    }

    /// Adds what is to come without anybody meaning harm.
    pub fn disturb(&mut self, disturbances: Vec<Disturbance>) {
        self.calendar.add(disturbances);
        self.truth.benign = self.calendar.list();
    }

    /// The next delivery, if it comes before `before`.
    pub fn next_before(&mut self, before: Nanos) -> Option<Delivery> {
        while self.posted.is_empty() {
            if self.upcoming()? >= before {
                return None;
            }
            self.advance();
        }
        self.posted.pop_front()
    }

    /// When something happens next; `None` when all is over.
    fn upcoming(&self) -> Option<Nanos> {
        let planning = (self.planned_until < self.end).then_some(self.planned_until);
        let call = self.pending.peek().map(|call| call.0.at);
        [planning, call, self.forwarder.due(), self.minutes.due()].into_iter().flatten().min()
    }

    /// The next event: an hour to plan, an invocation, or something to post.
    fn advance(&mut self) {
        let Some(next) = self.upcoming() else { return };
        if self.planned_until < self.end && self.planned_until == next {
            self.plan_hour();
        } else if self.pending.peek().is_some_and(|call| call.0.at == next) {
            if let Some(Reverse(call)) = self.pending.pop() {
                self.invoke(&call);
            }
        } else if self.forwarder.due() == Some(next) {
            self.forwarder.post(&mut self.posted);
        } else if let Some(batch) = self.minutes.post() {
            self.posted.push_back(Delivery { at: next, batch });
        }
    }

    fn push(&mut self, mut call: Call) {
        self.called += 1;
        call.number = self.called;
        self.pending.push(Reverse(call));
    }

    /// What `function` finds at this moment.
    fn weather(&mut self, function: Deployed, at: Nanos) -> Weather {
        self.calendar.weather(function.application.name, at, &mut self.rng)
    }

    fn invoke(&mut self, call: &Call) {
        let Some(&deployed) = self.functions.get(call.function) else { return };
        let Deployed { application, spec, .. } = deployed;
        let mut release = self.calendar.release(application.name, spec.name, call.at);
        self.hostile.replace(spec.name, call.at, &mut release);
        let place = (call.function, application, spec);
        let Some(lease) = self.fleet.take(place, release, call.at, &mut self.rng) else { return };
        let began = call.at + 1_500_000 + self.rng.below(2_000_000);
        let init_ms = spec.init_ms + self.hostile.slower_start_ms(spec.name, call.at);
        let init = lease.cold.then(|| (self.rng.log_normal(init_ms, 0.3) * 1e6) as Nanos);
        let start = began + init.unwrap_or(0);
        let (span_id, invocation) = (self.rng.span_id(), self.rng.uuid());
        let instance = lease.instance.number;
        let malice = call.malice.or_else(|| self.hostile.infects(spec.name, instance, call.at, &mut self.rng));
        let weather = self.weather(deployed, call.at);
        let attack = malice.and_then(|malice| self.hostile.at(malice, call.at));
        let holds = attack.as_ref().filter(|(campaign, _)| campaign.function == spec.name);
        let held = holds.is_some_and(|(campaign, _)| call.hops <= campaign.depth);
        let hops = call.hops + u8::from(held);
        let unlucky = attack.as_ref().and_then(|(campaign, _)| campaign.unlucky);
        let mut run = Run::new(
            &mut self.rng,
            Circumstances {
                start,
                cold: lease.cold,
                weather,
                first: release.feature.then_some(spec.next),
                malice: attack,
                held,
                unlucky,
            },
        );
        let failure = run.go(spec.handle).err();
        if let Some(failure) = failure {
            run.log(Severity::Error, 31, format!("[ERROR] {failure}"));
        }
        let Run { now: end, steps, lines, follows, malicious_from, memory, answer, lingers, .. } = run;
        self.fleet.give_back(&lease, end + lingers);
        let answer = 180 + self.rng.below(900) + answer;
        #[rustfmt::skip]
        let handler = Handler {
            spec, application, trace_id: call.trace_id, span_id, parent: call.parent, invocation, start, end,
            cold: lease.cold, failure, answer,
        };
        let used = (spec.memory / 3 + self.rng.below(spec.memory / 20 + 1) + memory).min(spec.memory);
        let after = lingers + 1_000_000 + self.rng.below(3_000_000);
        let version = spec.version + release.version;
        let invoked = Invoked { began, init, after, memory_used: used, memory_size: spec.memory, version };
        if let Some(malice) = malice {
            self.note(malice, &handler, malicious_from, &steps, spec.memory);
        }
        let silent = self.hostile.silences(spec.name, malice.filter(|_| malicious_from.is_some()), call.at);
        if !silent {
            self.report(&handler, &steps, &lines, &lease);
        }
        self.others_report(call, &handler, &invoked, &steps, &lease);
        for follow in follows {
            let Some(&function) = self.by_name.get(follow.function) else { continue };
            let (trace_id, parent) = (call.trace_id, follow.parent.or(call.parent));
            self.push(Call { at: follow.at, number: 0, function, trace_id, parent, malice, attempt: 0, hops });
        }
        self.retry(call, spec, end, failure);
    }

    /// Queues, topics and asynchronous invocations try again; a browser is told.
    fn retry(&mut self, call: &Call, spec: &Spec, end: Nanos, failure: Option<Failure>) {
        let asked_by_message = !matches!(spec.trigger, Trigger::Http { .. });
        if failure.is_some() && asked_by_message && call.attempt < RETRIES {
            let attempt = call.attempt + 1;
            let at = end + u64::from(attempt) * MINUTE;
            self.push(Call { at, number: 0, attempt, ..*call });
        }
    }

    /// What the function says of itself.
    fn report(&mut self, handler: &Handler, steps: &[Step], lines: &[Line], lease: &Lease) {
        let (sampled, skew, unreliable) = self.calendar.transport(handler.application.name, handler.start);
        let Self { forwarder, encoder, rng, .. } = self;
        let skew = lease.instance.skew(skew);
        let (mut delay, mut times) = (0, 1);
        if unreliable {
            delay = rng.below(3 * MINUTE) * rng.below(2);
            times += u64::from(rng.chance(0.1));
        }
        let dialect = lease.instance.dialect;
        // A head sampler decides by the trace's id, the same for all that belongs to it.
        let share = u64::from_be_bytes(handler.trace_id.first_chunk().copied().unwrap_or_default()) as f64;
        for number in 0..times {
            let delay = delay + number * 20 * FLUSH;
            if share <= sampled * u64::MAX as f64 {
                let told = |step: &&Step| !step.unreported;
                let early = steps.iter().filter(told).filter(|step| step.end + FLUSH < handler.end);
                for step in early {
                    let step = shifted(step, skew);
                    let mut place = forwarder.place(Signal::Traces, step.end + delay, &lease.instance);
                    let scope = spans::call_scope(step.op.service, dialect);
                    place.put(scope, |out| encoder.call(out, ITEMS, &step, handler, dialect, rng));
                }
                let mut place = forwarder.place(Signal::Traces, handler.end + delay, &lease.instance);
                for step in steps.iter().filter(told).filter(|step| step.end + FLUSH >= handler.end) {
                    let step = shifted(step, skew);
                    let scope = spans::call_scope(step.op.service, dialect);
                    place.put(scope, |out| encoder.call(out, ITEMS, &step, handler, dialect, rng));
                }
                let handler = Handler { start: handler.start + skew, end: handler.end + skew, ..*handler };
                let scope = spans::handler_scope(dialect);
                place.put(scope, |out| encoder.handler(out, ITEMS, &handler, dialect, rng));
            }
            if !lines.is_empty() {
                let mut place = forwarder.place(Signal::Logs, handler.end + delay, &lease.instance);
                for line in lines {
                    let line = Line { at: line.at + skew, ..line.clone() };
                    place.put(handler.spec.logger, |out| spans::line(out, ITEMS, &line, handler));
                }
            }
        }
    }

    /// What the platform, the metrics and the audit log say of it.
    fn others_report(&mut self, call: &Call, handler: &Handler, invoked: &Invoked, steps: &[Step], lease: &Lease) {
        let sources = self.options.sources;
        let name = handler.spec.name;
        if sources.platform {
            let at = handler.end + invoked.after + platform::DELAY;
            platform::put(&mut self.forwarder.platform(at, &lease.instance), invoked, handler);
        }
        if sources.metrics {
            self.minutes.count(&Counted {
                at: invoked.began,
                function: name,
                duration_ms: invoked.duration(handler) as f64 / 1e6,
                after_ms: invoked.after as f64 / 1e6,
                failed: handler.failure.is_some(),
                concurrent: self.fleet.busy(call.function, call.at).max(1),
            });
        }
        if sources.trail {
            let arn = trail::function_arn(name);
            let caller = trail::Caller {
                arn: &arn,
                kind: "AssumedRole",
                key: &lease.instance.access_key,
                address: &lease.instance.address,
                agent: trail::agent(lease.instance.dialect),
            };
            for step in steps {
                let request_id = std::str::from_utf8(&step.request_id).unwrap_or_default();
                #[rustfmt::skip]
                let recorded = Recorded {
                    at: step.start, op: step.op, caller, request_id, size: step.size, failure: step.failure,
                    elsewhere: step.elsewhere,
                };
                self.trail.record(&mut self.forwarder, &recorded, &mut self.rng);
            }
        }
        if let Some(malice) = call.malice {
            self.hostile.learn_key(malice, name, &lease.instance.access_key);
        }
    }
}

impl Iterator for Simulation {
    type Item = Delivery;

    fn next(&mut self) -> Option<Delivery> {
        self.next_before(Nanos::MAX)
    }
}

fn shifted(step: &Step, skew: Nanos) -> Step {
    Step { start: step.start + skew, end: step.end + skew, ..*step }
}

#[cfg(test)]
mod tests;
