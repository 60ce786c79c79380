//! What an `anomaly` thinks with: assembler, detector and incidents in step. It runs nothing and waits for nothing, so
//! that an evaluation judges just what the gateway does.

use std::borrow::Cow;

use super::{
    Annotated,
    annotate::Marks,
    redact::Redact,
    roster::Roster,
    traces::{Recent, Twins, Wanted},
};
use crate::{
    detect::{
        Detector, Part, Settings,
        observation::Nanos,
        verdict::{Evidence, Promise, Verdict},
    },
    faas::assembler::{self, Assembler, Invocation},
    incidents::{self, Change, ChangeKind, Finding, FunctionRef, Incidents, control::proto::Trace, desk, text},
    otlp::{Batch, Signal},
};

/// Functions known at once; beyond, those unseen longest are forgotten. Some 12 KB each.
const MAX_FUNCTIONS: usize = 100_000;

/// `Resource.attributes`.
const RESOURCE_ATTRIBUTES: u32 = 1;
/// Pieces of evidence told of one request; what hostile telemetry shows beyond that is judged all the same.
const MOST_SIGHTINGS: usize = 256;
/// Invocations of one request whose spans are looked for.
const MOST_WANTED: usize = 8;

/// The three that `faas`, `detect` and `incidents` contribute.
#[derive(Clone, Debug)]
pub struct Model {
    pub(super) assembler: Assembler,
    pub(super) detector: Detector,
    pub(super) incidents: Incidents,
    pub(super) roster: Roster,
    recent: Recent,
    pub(super) redact: Option<Redact>,
}

/// What came of looking.
#[derive(Debug, Default)]
pub struct Seen {
    /// Invocations scored.
    pub scored: u64,
    /// What a person should be told, in this order.
    pub changes: Vec<Change>,
    /// Evidence, and the incidents it is part of.
    pub(super) sightings: Vec<Sighting>,
    /// Incidents with the invocation they are about, and an ordinary one.
    pub(super) traces: Vec<(String, Trace, Option<Trace>)>,
    wanted: Vec<Wanted>,
    /// What to write onto the records.
    pub(super) marks: Marks,
}

/// Evidence that one invocation has shown.
#[derive(Debug)]
pub(super) struct Sighting {
    pub incident: Option<String>,
    pub function: u64,
    pub name: String,
    pub version: String,
    pub evidence: Vec<Evidence>,
}

impl Model {
    /// Knows nothing yet. `budget_per_day`: false pages accepted, for the whole fleet.
    pub fn new(budget_per_day: f64) -> Self {
        Self {
            assembler: Assembler::new(assembler::Settings::default()),
            detector: Detector::new(Settings { budget_per_day, max_functions: MAX_FUNCTIONS }),
            incidents: Incidents::new(incidents::Settings::default()),
            roster: Roster::default(),
            recent: Recent::default(),
            redact: None,
        }
    }

    /// Does without `part`, from now on and in all its clones: for ablations only.
    #[must_use]
    pub fn without(mut self, part: Option<Part>) -> Self {
        self.detector.do_without(part);
        self
    }

    /// Redacts what is remembered in words, and what is told, from now on.
    pub(super) fn redact(&mut self, redact: Redact) {
        self.detector.mask_names(redact.mask());
        self.redact = Some(redact);
    }

    /// Learns from a request, and says what is to be said of it and of the time that has come with it.
    pub fn see(&mut self, batch: &Batch, annotated: Annotated) -> Seen {
        let mut seen = Seen::default();
        let body = (batch.signal == Signal::Traces).then_some(&batch.body);
        if let Some(body) = body {
            self.recent.push(body);
        }
        let Self { assembler, detector, incidents, roster, redact, .. } = self;
        let mut bench =
            Bench { detector, incidents, roster, redact: redact.as_ref(), annotated, body: body.map(AsRef::as_ref) };
        let mut judge = |invocation: Invocation<'_>| bench.judge(&invocation, &mut seen);
        match batch.signal {
            Signal::Traces => assembler.traces(&batch.body, &mut judge),
            Signal::Logs => assembler.logs(&batch.body, &mut judge),
            Signal::Metrics => assembler.metrics(&batch.body, &mut judge),
        }
        self.look_up(&mut seen);
        let watermark = self.assembler.watermark();
        self.close(watermark, &mut seen);
        seen.marks.sort();
        seen
    }

    /// Moves the clock on to `now`: closes invocations that stay unfinished, matures what was learned.
    pub fn advance(&mut self, now: Nanos) -> Seen {
        let mut seen = self.settle(now);
        self.close(now, &mut seen);
        seen
    }

    /// Closes all invocations that wait. The clock does not go on: what is open stays open over a restart.
    pub fn finish(&mut self) -> Seen {
        let mut seen = self.settle(Nanos::MAX);
        let watermark = self.assembler.watermark();
        self.close(watermark, &mut seen);
        seen
    }

    fn settle(&mut self, now: Nanos) -> Seen {
        let mut seen = Seen::default();
        let Self { assembler, detector, incidents, roster, redact, .. } = self;
        let annotated = Annotated::None;
        let mut bench = Bench { detector, incidents, roster, redact: redact.as_ref(), annotated, body: None };
        assembler.advance(now, &mut |invocation| bench.judge(&invocation, &mut seen));
        self.look_up(&mut seen);
        seen
    }

    /// What it is after the gateway was started anew: what was learned, what functions are called and what is open was
    /// saved; what was being put together, and the spans of late, were not.
    #[must_use]
    pub fn restarted(mut self) -> Self {
        let mut model = Self::new(self.promise().budget_per_day).without(self.detector.without());
        if let Some(redact) = self.redact {
            model.redact(redact);
        }
        self.detector.snapshot(&mut |key, value| {
            // A record that was just written is not damaged.
            let _ = model.detector.restore(key, value);
        });
        model.roster = self.roster.restarted();
        let saved = Incidents::restore(&self.incidents.snapshot(), incidents::Settings::default());
        model.incidents = saved.unwrap_or(model.incidents);
        model
    }

    /// What can be promised now.
    pub fn promise(&self) -> Promise {
        self.detector.promise()
    }

    /// Finds the spans that incidents are to be shown with.
    fn look_up(&self, seen: &mut Seen) {
        for wanted in std::mem::take(&mut seen.wanted) {
            let none = Twins::default();
            let twins = self.roster.get(wanted.function).map_or(&none, |known| &known.twins);
            let (abnormal, normal) = wanted.find(&self.recent, twins, self.redact.as_ref());
            if !abnormal.spans.is_empty() {
                seen.traces.push((wanted.incident, abnormal, normal));
            }
        }
    }

    /// Does what is due at `now`; what an incident showed must not be learned as normal.
    fn close(&mut self, now: Nanos, seen: &mut Seen) {
        self.detector.advance(now);
        for function in self.detector.take_due() {
            seen.changes.extend(self.incidents.raise(function, now));
        }
        seen.changes.extend(self.incidents.advance(now));
        for Change { kind, incident } in &seen.changes {
            if *kind == ChangeKind::Opened {
                for function in &incident.functions {
                    self.detector.veto(function.hash, incident.first_seen);
                }
            }
        }
    }
}

impl desk::Model for Model {
    fn peers_of(&self, function: u64) -> u64 {
        self.detector.peers_of(function)
    }

    fn queue_line(&self) -> f64 {
        self.detector.queue_line()
    }
}

/// Where one request's invocations are judged.
struct Bench<'m> {
    detector: &'m mut Detector,
    incidents: &'m mut Incidents,
    roster: &'m mut Roster,
    redact: Option<&'m Redact>,
    annotated: Annotated,
    /// The request, if it is of traces.
    body: Option<&'m [u8]>,
}

impl Bench<'_> {
    /// Scores one invocation and files the verdict.
    fn judge(&mut self, invocation: &Invocation<'_>, into: &mut Seen) {
        into.scored += 1;
        let seen = &invocation.observation;
        let mut verdict = self.detector.observe(seen);
        self.roster.note(invocation, verdict.score, self.body.filter(|_| verdict.tier.is_none()));
        let function = FunctionRef { hash: seen.function, name: seen.function_name, version: seen.version };
        if verdict.tier.is_some() {
            if let Some(redact) = self.redact {
                redact.verdict(&mut verdict);
            }
            self.file(invocation, function, &verdict, into);
        }
        let wanted = match self.annotated {
            Annotated::All => true,
            Annotated::Anomalous => verdict.is_anomaly(),
            Annotated::None => false,
        };
        if wanted {
            into.marks.add(invocation.records, &verdict, || {
                let reason = text::headline(function, &verdict.evidence, verdict.sample_size);
                let incident = self.incidents.of_function(seen.function, seen.end);
                (reason, incident.map(|incident| incident.id.clone()))
            });
        }
    }

    /// Reports a verdict with something to say, and notes what is to be kept of it.
    fn file(&mut self, invocation: &Invocation<'_>, function: FunctionRef<'_>, verdict: &Verdict, into: &mut Seen) {
        let seen = &invocation.observation;
        let redact = self.redact;
        let resource = || match redact {
            Some(redact) => Cow::Owned(redact.message(invocation.resource, RESOURCE_ATTRIBUTES)),
            None => Cow::Borrowed(invocation.resource),
        };
        let invocation_id = redact.map_or(Cow::Borrowed(seen.invocation_id), |redact| redact.text(seen.invocation_id));
        into.changes.extend(self.incidents.report(Finding {
            function,
            resource: &resource,
            verdict,
            invocation_id: &invocation_id,
            trace_id: invocation.trace_id,
            span_id: invocation.span_id,
            at: seen.end,
        }));
        if into.sightings.len() >= MOST_SIGHTINGS {
            return;
        }
        let incident = self.incidents.of_function(seen.function, seen.end).filter(|_| verdict.is_anomaly());
        if let Some(incident) = incident.filter(|incident| incident.lead == seen.function && incident.at == verdict.at)
            && into.wanted.len() < MOST_WANTED
        {
            into.wanted.push(Wanted::new(&incident.id, invocation, self.body.is_some()));
        }
        into.sightings.push(Sighting {
            incident: incident.map(|incident| incident.id.clone()),
            function: function.hash,
            name: function.name.to_owned(),
            version: function.version.to_owned(),
            evidence: verdict.evidence.clone(),
        });
    }
}
