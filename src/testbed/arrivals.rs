//! Who comes when: plans the arrivals of an hour, and what people and pipelines do to the account in it.

use super::{
    Call, Simulation,
    application::{Application, Arrival, Op, Pattern, Service},
    benign::{DAY, HOUR, Kind, MINUTE, SECOND},
    invocation::Size,
    sources::trail::{self, Caller, Recorded},
};
use crate::detect::observation::Nanos;

/// How often a newcomer runs.
const NEWCOMER_EVERY: Nanos = 4 * MINUTE;
/// Looks an operator takes at the account, an hour.
const LOOKS_AN_HOUR: f64 = 0.5;

impl Simulation {
    /// About how many spans there will be.
    pub fn spans_expected(&self) -> u64 {
        let minutes = (self.end - self.options.start) / MINUTE;
        let of = |arrival: &Arrival, application: &Application, at| {
            self.expected(arrival, application, at).0 * arrival.spans
        };
        let all = self
            .options
            .applications
            .iter()
            .flat_map(|application| application.arrivals.iter().map(move |arrival| (application, arrival)));
        let clocks = |pattern| match pattern {
            Pattern::Every(every) => (self.end - self.options.start) as f64 / every as f64,
            Pattern::Daily(_) => (self.end - self.options.start) as f64 / DAY as f64,
            Pattern::People(_) | Pattern::Bursts(..) => 0.0,
        };
        let spans = all.map(|(application, arrival)| {
            let curve: f64 =
                (0..minutes).map(|minute| of(arrival, application, self.options.start + minute * MINUTE)).sum();
            curve + clocks(arrival.pattern) * arrival.spans
        });
        spans.sum::<f64>() as u64
    }

    /// Arrivals expected in a minute at `at`, and the most that come at once.
    fn expected(&self, arrival: &Arrival, application: &Application, at: Nanos) -> (f64, u64) {
        let crowd = || self.calendar.crowd(application.name, at);
        match arrival.pattern {
            Pattern::People(a_day) => (self.load.a_minute(a_day, at) * crowd(), 1),
            Pattern::Bursts(a_day, most) => (self.load.a_minute(a_day, at) * crowd(), most),
            Pattern::Every(_) | Pattern::Daily(_) => (0.0, 0),
        }
    }

    /// Plans the hour that begins where planning ended.
    pub(super) fn plan_hour(&mut self) {
        let from = self.planned_until;
        self.planned_until = from + HOUR;
        for application in self.options.applications {
            for arrival in application.arrivals {
                self.plan(arrival, application, from);
            }
            if self.calendar.has_newcomer(application.name, from) {
                self.plan_clock(application.newcomer.name, NEWCOMER_EVERY, from);
            }
        }
        if self.options.sources.trail {
            self.plan_operations(from);
        }
    }

    fn plan(&mut self, arrival: &Arrival, application: &Application, from: Nanos) {
        match arrival.pattern {
            Pattern::Every(every) => return self.plan_clock(arrival.function, every, from),
            Pattern::Daily(hour) if from % DAY / HOUR == hour => return self.plan_clock(arrival.function, HOUR, from),
            _ => {}
        }
        let flood = self.hostile.flood(arrival.function, from, from + HOUR);
        for minute in 0..60 {
            let at = from + minute * MINUTE;
            let (expected, most) = self.expected(arrival, application, at);
            if most == 0 {
                continue;
            }
            let mean = most.midpoint(1) as f64;
            for _ in 0..self.rng.poisson(expected / mean) {
                let (at, together) = (at + self.rng.below(MINUTE), 1 + self.rng.below(most));
                for _ in 0..together {
                    let apart = if together > 1 { self.rng.below(20 * SECOND) } else { 0 };
                    self.arrive(at + apart, arrival.function, None);
                }
            }
            if let Some((attack, times, _)) = flood.filter(|(.., (since, until))| (*since..*until).contains(&at)) {
                for _ in 0..self.rng.poisson(expected * (times - 1.0)) {
                    let at = at + self.rng.below(MINUTE);
                    self.arrive(at, arrival.function, Some(attack));
                }
            }
        }
    }

    fn plan_clock(&mut self, function: &'static str, every: Nanos, from: Nanos) {
        let mut at = from.next_multiple_of(every);
        while at < from + HOUR {
            let late = self.rng.below(SECOND);
            self.arrive(at + late, function, None);
            at += every;
        }
    }

    /// Somebody or something arrives.
    pub(super) fn arrive(&mut self, at: Nanos, function: &'static str, malice: Option<usize>) {
        let Some(&function) = self.by_name.get(function) else { return };
        let trace_id = self.rng.trace_id();
        self.push(Call { at, number: 0, function, trace_id, parent: None, malice, attempt: 0, hops: 0 });
    }

    /// Deploys leave a mark in the audit log, and so do people who look after things.
    fn plan_operations(&mut self, from: Nanos) {
        for (at, application, kind) in self.calendar.between(from, from + HOUR) {
            let functions = self.functions.iter().filter(|deployed| {
                application.is_none_or(|name| name == deployed.application.name) && !deployed.newcomer
            });
            let deployed: Vec<&'static str> = match kind {
                Kind::Deploy(name, _) => vec![name],
                Kind::NewerSdk(names) => names.to_vec(),
                Kind::RenamedSdk => functions.map(|deployed| deployed.spec.name).collect(),
                _ => Vec::new(),
            };
            for name in deployed {
                self.record(
                    Op::new(Service::Lambda, "UpdateFunctionCode", name),
                    trail::PIPELINE,
                    at,
                    Size::sent(900),
                    None,
                );
            }
        }
        for _ in 0..self.rng.poisson(LOOKS_AN_HOUR) {
            const LOOKS: [Op; 4] = [
                Op::new(Service::Lambda, "ListFunctions", ""),
                Op::dynamo("DescribeTable", ""),
                Op::new(Service::Logs, "DescribeLogGroups", ""),
                Op::s3("ListBuckets", ""),
            ];
            let at = from + self.rng.below(HOUR);
            let look = LOOKS.get(self.rng.below(LOOKS.len() as u64) as usize).copied();
            if let Some(look) = look {
                self.record(look, trail::OPERATOR, at, Size::received(2_000), None);
            }
        }
    }

    /// Records a call that no function of ours made.
    pub(super) fn record(&mut self, op: Op, caller: Caller<'_>, at: Nanos, size: Size, failure: Option<&'static str>) {
        let id = self.rng.uuid();
        let recorded = Recorded { at, op, caller, request_id: id.as_str(), size, failure, elsewhere: false };
        self.trail.record(&mut self.forwarder, &recorded, &mut self.rng);
    }
}
