//! What an `anomaly` thinks with: assembler, detector and incidents in step. It runs nothing and waits for nothing, so
//! that an evaluation judges just what the gateway does.

use super::{Annotated, annotate::Marks};
use crate::{
    detect::{Detector, Settings, observation::Nanos, verdict::Promise},
    faas::assembler::{self, Assembler, Invocation},
    incidents::{self, Change, ChangeKind, Finding, FunctionRef, Incidents, text},
    otlp::{Batch, Signal},
};

/// Functions known at once; beyond, those unseen longest are forgotten. Some 12 KB each.
const MAX_FUNCTIONS: usize = 100_000;

/// The three that `faas`, `detect` and `incidents` contribute.
#[derive(Clone, Debug)]
pub struct Model {
    pub(super) assembler: Assembler,
    pub(super) detector: Detector,
    pub(super) incidents: Incidents,
}

/// What came of looking.
#[derive(Debug, Default)]
pub struct Seen {
    /// Invocations scored.
    pub scored: u64,
    /// What a person should be told, in this order.
    pub changes: Vec<Change>,
    /// What to write onto the records.
    pub(super) marks: Marks,
}

impl Model {
    /// Knows nothing yet. `budget_per_day`: false pages accepted, for the whole fleet.
    pub fn new(budget_per_day: f64) -> Self {
        Self {
            assembler: Assembler::new(assembler::Settings::default()),
            detector: Detector::new(Settings { budget_per_day, max_functions: MAX_FUNCTIONS }),
            incidents: Incidents::new(incidents::Settings::default()),
        }
    }

    /// Learns from a request, and says what is to be said of it and of the time that has come with it.
    pub fn see(&mut self, batch: &Batch, annotated: Annotated) -> Seen {
        let mut seen = Seen::default();
        let Self { assembler, detector, incidents } = self;
        let mut judge = |invocation: Invocation<'_>| judge(&invocation, detector, incidents, annotated, &mut seen);
        match batch.signal {
            Signal::Traces => assembler.traces(&batch.body, &mut judge),
            Signal::Logs => assembler.logs(&batch.body, &mut judge),
            Signal::Metrics => {}
        }
        let watermark = self.assembler.watermark();
        self.close(watermark, &mut seen);
        seen.marks.sort();
        seen
    }

    /// Moves the clock on to `now`: closes invocations that stay unfinished, matures what was learned.
    pub fn advance(&mut self, now: Nanos) -> Seen {
        let mut seen = Seen::default();
        let Self { assembler, detector, incidents } = self;
        assembler.advance(now, &mut |invocation| {
            judge(&invocation, detector, incidents, Annotated::None, &mut seen);
        });
        self.close(now, &mut seen);
        seen
    }

    /// What it is after the gateway was started anew: what was learned and what is open was saved, what was being put
    /// together was not.
    #[must_use]
    pub fn restarted(mut self) -> Self {
        let mut model = Self::new(self.promise().budget_per_day);
        self.detector.snapshot_dirty(&mut |key, value| {
            // A record that was just written is not damaged.
            let _ = model.detector.restore(key, value);
        });
        let saved = Incidents::restore(&self.incidents.snapshot(), incidents::Settings::default());
        model.incidents = saved.unwrap_or(model.incidents);
        model
    }

    /// What can be promised now.
    pub fn promise(&self) -> Promise {
        self.detector.promise()
    }

    /// Does what is due at `now`; what an incident showed must not be learned as normal.
    fn close(&mut self, now: Nanos, seen: &mut Seen) {
        self.detector.advance(now);
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

/// Scores one invocation and files the verdict.
fn judge(
    invocation: &Invocation<'_>,
    detector: &mut Detector,
    incidents: &mut Incidents,
    annotated: Annotated,
    into: &mut Seen,
) {
    into.scored += 1;
    let seen = &invocation.observation;
    let verdict = detector.observe(seen);
    let function = FunctionRef { hash: seen.function, name: seen.function_name, version: seen.version };
    if verdict.tier.is_some() {
        into.changes.extend(incidents.report(Finding {
            function,
            resource: invocation.resource,
            verdict: &verdict,
            invocation_id: seen.invocation_id,
            trace_id: invocation.trace_id,
            span_id: invocation.span_id,
            at: seen.end,
        }));
    }
    let wanted = match annotated {
        Annotated::All => true,
        Annotated::Anomalous => verdict.is_anomaly(),
        Annotated::None => false,
    };
    if wanted {
        into.marks.add(invocation.records, &verdict, || {
            let reason = text::headline(function, &verdict.evidence, verdict.sample_size);
            (reason, incidents.of_function(seen.function, seen.end).map(|incident| incident.id.clone()))
        });
    }
}
