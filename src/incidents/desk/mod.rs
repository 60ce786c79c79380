//! The desk: what is kept of incidents for people to look at, and what people have said of them.
//!
//! `archive` keeps incidents with their timeline, `verdicts` what people decided, `words` turns ours into the API's.
//! A pure library: the time is told to it, and what is to be saved is asked of it. Everything has a cap.
//!
//! *expected* makes an exception that the detector applies ([`Desk::exceptions`]); *malicious* forbids learning
//! ([`Desk::forbidden`]) and hunts for the same; *unsure* is a note. All can be undone, none is forgotten for it.

mod archive;
mod hunt;
mod scopes;
mod verdicts;
mod words;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use prost::Message as _;

use self::{
    archive::Archive,
    verdicts::{ACTIVE, Verdicts},
};
use super::{
    Change, ChangeKind, Function, FunctionRef,
    control::{
        Fault,
        proto::{self, Event, GiveVerdictRequest, IncidentDetail, TimelineEntry, Verdict, VerdictPreview},
    },
    text,
};
use crate::detect::{self, Covered, observation::Nanos, verdict::Evidence};

pub use scopes::{DEFAULT_EXPIRY_SECONDS, LONGEST_EXPIRY_SECONDS};
pub use words::function_id;

/// Evidence that made no incident, kept for hunts.
const MOST_LOOSE: usize = 4096;
/// Pieces of evidence whose functions are remembered, over all open incidents.
const MOST_SHOWN: usize = 16_384;
const MOST_FUNCTIONS_SHOWN: usize = 64;
const LONGEST_NOTE: usize = 1000;
const LONGEST_AUTHOR: usize = 128;

/// How much is kept, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Resolved incidents are forgotten so long after their last change, nanoseconds of wall time.
    pub retention: Nanos,
    /// Incidents kept; beyond, those that changed longest ago go, resolved ones first.
    pub most_incidents: usize,
}

/// A record to be saved, or to be forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Which kind.
    pub kind: Kind,
    /// Its id.
    pub key: String,
    /// A message of the control API; `None`: forget it.
    pub value: Option<Vec<u8>>,
}

/// Kinds of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An `IncidentDetail`.
    Incident,
    /// A `Verdict`.
    Verdict,
}

/// What the detector knows that judging a scope needs.
pub trait Model {
    /// The application of a function; zero when unknown.
    fn peers_of(&self, function: u64) -> u64;
    /// The queue line, bits.
    fn queue_line(&self) -> f64;
}

/// What is kept for people, and what they have said.
#[derive(Debug)]
pub struct Desk {
    settings: Settings,
    archive: Archive,
    verdicts: Verdicts,
    /// By incident, feature and key: functions that showed it.
    shown: HashMap<(String, String, String), Vec<String>>,
    /// Evidence that made no incident, oldest first.
    loose: VecDeque<Loose>,
    events: Vec<Event>,
}

/// Evidence as it came: it is put into the API's words once somebody hunts.
#[derive(Debug)]
struct Loose {
    function: Arc<Function>,
    evidence: Evidence,
    at: Nanos,
}

impl Loose {
    fn hit(&self) -> proto::Hit {
        let Function { hash, name, version } = &*self.function;
        words::hit("", FunctionRef { hash: *hash, name, version }, words::evidence(&self.evidence), self.at)
    }
}

impl Desk {
    /// Empty.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            archive: Archive::default(),
            verdicts: Verdicts::default(),
            shown: HashMap::new(),
            loose: VecDeque::new(),
            events: Vec::new(),
        }
    }

    /// Keeps other amounts from now on.
    pub fn set(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// Puts a saved record back. False if it cannot be read.
    pub fn restore(&mut self, kind: Kind, value: &[u8]) -> bool {
        match kind {
            Kind::Incident => IncidentDetail::decode(value).is_ok_and(|detail| {
                self.remember_shown(&detail);
                self.archive.restore(&detail)
            }),
            Kind::Verdict => Verdict::decode(value).is_ok_and(|verdict| self.verdicts.restore(verdict)),
        }
    }

    /// What has changed since the last call and should be saved.
    pub fn take_records(&mut self) -> Vec<Record> {
        let mut records = self.archive.take_records();
        records.extend(self.verdicts.take_records());
        records
    }

    /// What watchers should hear, since the last call.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// An incident was opened, updated or resolved.
    pub fn file(&mut self, change: &Change, guarantee: &str, now: Nanos) {
        let Change { kind, incident } = change;
        let before = self.archive.get(&incident.id);
        let mut detail = words::detail(incident, *kind, guarantee, before);
        for row in &mut detail.evidence {
            let place = (incident.id.clone(), row.feature.clone(), row.key.clone());
            row.function_ids = self.shown.get(&place).cloned().unwrap_or_default();
        }
        let entry = TimelineEntry {
            written: now,
            at: incident.last_seen,
            kind: kind.name().to_owned(),
            text: incident.headline.clone(),
            tier: incident.tier.name().to_owned(),
            priority: u32::from(incident.priority),
            score: incident.score,
            invocation_count: incident.invocation_count,
            author: String::new(),
        };
        self.put(detail, Some(entry), now);
        // What was found before there was an incident to say it of.
        for hunt in self.verdicts.found_in(&incident.id) {
            self.mark_hunted(&incident.id, &hunt, now);
        }
        if *kind == ChangeKind::Resolved {
            self.shown.retain(|(id, _, _), _| *id != incident.id);
        }
        self.prune(now);
    }

    /// An invocation of `function` showed this evidence, as part of `incident` or of none.
    pub fn sight(&mut self, incident: Option<&str>, function: FunctionRef<'_>, evidence: &[Evidence], now: Nanos) {
        let FunctionRef { hash, name, version } = function;
        let kept = Arc::new(Function { hash, name: name.to_owned(), version: version.to_owned() });
        let id = function_id(hash);
        for row in evidence {
            if let Some(incident) = incident {
                self.show(incident, &text::feature_name(row), &words::key_name(row), &id);
            }
            if self.verdicts.are_hunting() {
                self.hunt(incident, function, &words::evidence(row), now);
            }
            if incident.is_none() {
                if self.loose.len() >= MOST_LOOSE {
                    self.loose.pop_front();
                }
                self.loose.push_back(Loose { function: kept.clone(), evidence: row.clone(), at: now });
            }
        }
    }

    /// The invocation an incident is about, and an ordinary one beside it.
    pub fn attach(&mut self, incident: &str, abnormal: proto::Trace, normal: Option<proto::Trace>, now: Nanos) {
        let Some(mut detail) = self.archive.get(incident) else { return };
        let named: Vec<&str> = detail.evidence.iter().map(|row| row.span_id.as_str()).collect();
        let mut abnormal = abnormal;
        for span in &mut abnormal.spans {
            span.evidence = named.contains(&span.span_id.as_str());
        }
        detail.abnormal = Some(abnormal);
        detail.normal = normal.or(detail.normal);
        self.put(detail, None, now);
    }

    /// One incident, with the verdicts on it.
    pub fn incident(&self, id: &str) -> Option<IncidentDetail> {
        let mut detail = self.archive.get(id)?;
        detail.verdicts = self.verdicts.on(id);
        Some(detail)
    }

    /// Incidents in brief, most recently changed first.
    pub fn incidents(&self) -> Vec<&proto::Incident> {
        self.archive.list()
    }

    /// Verdicts, newest first.
    pub fn verdicts(&self) -> Vec<&Verdict> {
        self.verdicts.list()
    }

    /// What [`give`](Self::give) would do.
    pub fn preview(
        &self,
        request: &GiveVerdictRequest,
        model: &impl Model,
        now: Nanos,
    ) -> Result<VerdictPreview, Fault> {
        let detail = self.archive.get(&request.incident_id).ok_or_else(|| unknown("incident", &request.incident_id))?;
        match request.kind.as_str() {
            "expected" => scopes::preview(request, &detail, &self.archive, model, now),
            "malicious" => Ok(hunt::preview(&detail, &self.archive, &self.loose)),
            "unsure" => Ok(VerdictPreview {
                summary: "Your note is kept; nothing else changes.".to_owned(),
                ..VerdictPreview::default()
            }),
            other => Err(Fault::invalid(format!("kind is `{other}`; say expected, malicious or unsure"))),
        }
    }

    /// A person has decided.
    pub fn give(&mut self, request: &GiveVerdictRequest, model: &impl Model, now: Nanos) -> Result<Verdict, Fault> {
        let preview = self.preview(request, model, now)?;
        let (note, author) = (checked_note(&request.note)?, checked_author(&request.author)?);
        if request.kind == "unsure" && note.is_empty() {
            return Err(Fault::invalid("an `unsure` needs a note: what would tell".to_owned()));
        }
        let mut verdict = Verdict {
            id: self.verdicts.free_id(&request.incident_id, now),
            incident_id: request.incident_id.clone(),
            kind: request.kind.clone(),
            note,
            author,
            given: now,
            state: ACTIVE.to_owned(),
            scopes: preview.scopes,
            expires: preview.expires,
            signature: preview.signature,
            ..Verdict::default()
        };
        if verdict.kind == "malicious" {
            hunt::search(&mut verdict, &self.archive, &self.loose);
        }
        self.verdicts.put(verdict.clone())?;
        let hunted: Vec<String> = verdict.hits.iter().map(|hit| hit.incident_id.clone()).collect();
        for incident in hunted.iter().filter(|id| !id.is_empty()) {
            self.mark_hunted(incident, &verdict.id, now);
        }
        self.note_verdict(&verdict, "verdict", &verdict.author.clone(), now);
        Ok(verdict)
    }

    /// A person takes a verdict back.
    pub fn undo(&mut self, id: &str, author: &str, note: &str, now: Nanos) -> Result<Verdict, Fault> {
        let (author, note) = (checked_author(author)?, checked_note(note)?);
        let verdict = self.verdicts.undo(id, &author, &note, now)?;
        for incident in verdict.hits.iter().map(|hit| hit.incident_id.clone()).collect::<Vec<_>>() {
            if let Some(mut detail) = self.archive.get(&incident) {
                detail.hunts.retain(|hunt| hunt != id);
                self.put(detail, None, now);
            }
        }
        self.note_verdict(&verdict, "undone", &author, now);
        Ok(verdict)
    }

    /// What the detector is to expect. The ids are those [`Desk::covered`] takes.
    pub fn exceptions(&self, model: &impl Model) -> Vec<detect::Exception> {
        let active = self.verdicts.active("expected");
        active.flat_map(|verdict| scopes::exceptions(verdict, verdicts::number(&verdict.id), model)).collect()
    }

    /// Functions, and the event time between which nothing new is to be learned of them: incidents called malicious.
    pub fn forbidden(&self) -> Vec<(u64, Nanos, Nanos)> {
        let mut forbidden: Vec<(u64, Nanos, Nanos)> =
            self.verdicts.active("malicious").flat_map(|verdict| self.functions_of(&verdict.incident_id)).collect();
        forbidden.sort_unstable();
        forbidden.dedup();
        forbidden
    }

    /// Functions drawn into an incident, and event time of its first and its latest invocation.
    pub fn functions_of(&self, incident: &str) -> Vec<(u64, Nanos, Nanos)> {
        let Some(detail) = self.archive.get(incident) else { return Vec::new() };
        let Some(incident) = detail.incident else { return Vec::new() };
        let hashes = incident.functions.iter().filter_map(|function| u64::from_str_radix(&function.id, 16).ok());
        hashes.map(|hash| (hash, incident.first_seen, incident.last_seen)).collect()
    }

    /// What the detector has taken away for exceptions.
    pub fn covered(&mut self, covered: &[(u64, Covered)]) {
        for verdict in self.verdicts.count(covered) {
            self.events.push(words::verdict_event(verdict));
        }
    }

    /// Time goes on: exceptions expire, what is too old is forgotten. True if what the detector expects has changed.
    pub fn advance(&mut self, now: Nanos) -> bool {
        self.prune(now);
        let expired = self.verdicts.expire(now);
        let changed = !expired.is_empty();
        self.events.extend(expired.into_iter().map(words::verdict_event));
        changed
    }

    /// Exceptions and hunts that are active.
    pub fn active(&self) -> (u32, u32) {
        let count = |kind| self.verdicts.active(kind).count() as u32;
        (count("expected"), count("malicious"))
    }

    /// Whether something has to be saved.
    pub fn is_dirty(&self) -> bool {
        self.archive.is_dirty() || self.verdicts.is_dirty()
    }

    /// How much is kept, and for how long.
    pub const fn settings(&self) -> Settings {
        self.settings
    }

    fn prune(&mut self, now: Nanos) {
        for id in self.archive.prune(&self.settings, now) {
            self.verdicts.forget(&id);
        }
    }

    /// Keeps `detail`, with one more entry of its timeline, and says so.
    fn put(&mut self, mut detail: IncidentDetail, entry: Option<TimelineEntry>, now: Nanos) {
        detail.timeline.extend(entry);
        archive::bound(&mut detail.timeline);
        if let Some(incident) = &mut detail.incident {
            incident.changed = now;
            incident.verdict = self.verdicts.holding(&incident.id);
        }
        if let Some(incident) = self.archive.put(&detail) {
            self.events.push(words::incident_event(incident));
        }
    }

    /// Remembers that `function` showed `row`.
    fn show(&mut self, incident: &str, feature: &str, key: &str, function: &str) {
        let place = (incident.to_owned(), feature.to_owned(), key.to_owned());
        if !self.shown.contains_key(&place) && self.shown.len() >= MOST_SHOWN {
            return;
        }
        let functions = self.shown.entry(place).or_default();
        if functions.len() < MOST_FUNCTIONS_SHOWN && !functions.iter().any(|known| known == function) {
            functions.push(function.to_owned());
        }
    }

    fn remember_shown(&mut self, detail: &IncidentDetail) {
        let Some(incident) = detail.incident.as_ref().filter(|incident| incident.state == "open") else { return };
        for row in &detail.evidence {
            for function in &row.function_ids {
                self.show(&incident.id, &row.feature, &row.key, function);
            }
        }
    }

    /// Tells every hunt of a piece of evidence.
    fn hunt(&mut self, incident: Option<&str>, function: FunctionRef<'_>, row: &proto::Evidence, now: Nanos) {
        for id in self.verdicts.hunting(&row.feature, &row.key) {
            let hit = words::hit(incident.unwrap_or_default(), function, row.clone(), now);
            let Some((verdict, news)) = self.verdicts.hit(&id, hit) else { continue };
            if news {
                self.events.push(words::verdict_event(verdict));
                if let Some(incident) = incident {
                    self.mark_hunted(incident, &id, now);
                }
            }
        }
    }

    fn mark_hunted(&mut self, incident: &str, hunt: &str, now: Nanos) {
        let Some(mut detail) = self.archive.get(incident) else { return };
        if detail.hunts.iter().any(|known| known == hunt) {
            return;
        }
        detail.hunts.push(hunt.to_owned());
        let text = format!("what {hunt} hunts for was found in it");
        self.put(detail, Some(entry("hunted", text, "", now)), now);
    }

    fn note_verdict(&mut self, verdict: &Verdict, kind: &str, author: &str, now: Nanos) {
        if let Some(detail) = self.archive.get(&verdict.incident_id) {
            let text = words::decision(verdict, kind);
            self.put(detail, Some(entry(kind, text, author, now)), now);
        }
        self.events.push(words::verdict_event(verdict));
    }
}

fn entry(kind: &str, text: String, author: &str, now: Nanos) -> TimelineEntry {
    TimelineEntry { written: now, kind: kind.to_owned(), text, author: author.to_owned(), ..TimelineEntry::default() }
}

fn unknown(what: &str, id: &str) -> Fault {
    Fault::not_found(format!("there is no {what} `{}`", super::text::shown(id, 64)))
}

fn checked_note(note: &str) -> Result<String, Fault> {
    if note.chars().count() > LONGEST_NOTE {
        return Err(Fault::invalid(format!("the note is longer than {LONGEST_NOTE} characters")));
    }
    Ok(super::text::shown(note.trim(), LONGEST_NOTE))
}

fn checked_author(author: &str) -> Result<String, Fault> {
    if author.chars().count() > LONGEST_AUTHOR {
        return Err(Fault::invalid(format!("the author's name is longer than {LONGEST_AUTHOR} characters")));
    }
    Ok(super::text::shown(author.trim(), LONGEST_AUTHOR))
}

#[cfg(test)]
mod tests;
