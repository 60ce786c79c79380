//! What a scored record is told about itself: the `anomaly.*` attributes.

use crate::{
    detect::verdict::Verdict,
    otlp::edit::{Edit, Keep, Patch, PatchValue},
};

/// What to write onto the records of one request.
#[derive(Debug, Default)]
pub struct Marks {
    /// `(record, note)`, records in the order of the request.
    records: Vec<(u32, u32)>,
    notes: Vec<Note>,
}

#[derive(Debug)]
struct Note {
    score: f64,
    anomaly: Option<Anomaly>,
}

#[derive(Debug)]
struct Anomaly {
    tier: &'static str,
    reason: String,
    incident: Option<String>,
}

impl Marks {
    /// Whether there is nothing to write.
    pub const fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// `records` belong to an invocation with this `verdict`; `reason` and `incident` are used if it is an anomaly.
    pub fn add(&mut self, records: &[u32], verdict: &Verdict, reason: impl FnOnce() -> (String, Option<String>)) {
        let tier = verdict.tier.filter(|_| verdict.is_anomaly());
        let anomaly = tier.map(|tier| {
            let (reason, incident) = reason();
            Anomaly { tier: tier.name(), reason, incident }
        });
        let note = self.notes.len() as u32;
        self.notes.push(Note { score: verdict.score, anomaly });
        self.records.extend(records.iter().map(|record| (*record, note)));
    }

    /// Puts the records into the order of the request.
    pub fn sort(&mut self) {
        self.records.sort_unstable();
    }
}

/// Writes [`Marks`] in one pass.
pub struct Annotate<'a> {
    marks: &'a Marks,
    next: usize,
}

impl<'a> Annotate<'a> {
    /// `marks` must be sorted.
    pub const fn new(marks: &'a Marks) -> Self {
        Self { marks, next: 0 }
    }
}

impl Edit for Annotate<'_> {
    fn record(&mut self, index: usize, _record: &[u8], patch: &mut Patch) -> Keep {
        while let Some((record, note)) = self.marks.records.get(self.next) {
            if *record as usize > index {
                break;
            }
            self.next += 1;
            let note = self.marks.notes.get(*note as usize).filter(|_| *record as usize == index);
            if let Some(note) = note {
                write(note, patch);
            }
        }
        Keep::Yes
    }
}

fn write(note: &Note, patch: &mut Patch) {
    patch.set("anomaly.score", PatchValue::Double(note.score));
    patch.set("anomaly.is_anomaly", PatchValue::Bool(note.anomaly.is_some()));
    let Some(anomaly) = &note.anomaly else { return };
    patch.set("anomaly.tier", PatchValue::Str(anomaly.tier));
    patch.set("anomaly.reason", PatchValue::Str(&anomaly.reason));
    if let Some(incident) = &anomaly.incident {
        patch.set("anomaly.incident_id", PatchValue::Str(incident));
    }
}
