//! What invocations log: one template key a line, told as parts of their invocation.
//!
//! A line belongs to the invocation of its function that its trace names, else to the one whose id it carries, else to
//! one that is not known yet, which its trace or invocation id will name.

use std::sync::Arc;

use hashbrown::HashMap;

use super::{
    Assembler, Invocation,
    emit::{Flat, Subject},
    function::Function,
    groups::GroupKey,
    read::{Origin, invocation, local_hash, span_id, trace_id, voice},
};
use crate::{
    detect::observation::{Channel, Nanos, Source, Touch},
    faas::{
        intern::hash_from,
        keys::{Facts, Recipe},
        names::{self, Name},
    },
    otlp::view::{self, AnyValue, LogRecord},
};

/// Most distinct templates of one invocation in one request.
const MOST_KEYS: usize = 256;

/// Where an invocation is remembered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) key: GroupKey,
    pub(super) span: u64,
}

/// Whose lines they are.
#[derive(Clone, Debug)]
struct Owner {
    function: Arc<Function>,
    trace: [u8; 16],
    span: u64,
    invocation: Box<str>,
}

/// The lines of one invocation.
struct Lines<'a> {
    owner: Owner,
    resource: &'a [u8],
    start: Nanos,
    end: Nanos,
    records: Vec<u32>,
    recipes: Vec<(Arc<Recipe>, u32, Source)>,
}

impl Assembler {
    pub(super) fn read_logs(&mut self, body: &[u8], out: &mut impl FnMut(Invocation<'_>)) {
        let mut all: Vec<Lines<'_>> = Vec::new();
        let mut by_owner = HashMap::with_hasher(foldhash::fast::RandomState::default());
        let (mut facts, mut index) = (Facts::default(), 0);
        for group in view::resources(body) {
            let origin = self.origin(&group);
            for record in group.scopes().flat_map(|scope| scope.records()) {
                facts.clear();
                let log = LogRecord::scan(record, |key, value| {
                    if let Some(name) = names::lookup(key) {
                        facts.push(name, value);
                    }
                });
                let at = index;
                index += 1;
                if self.read_outside((record, &log), &facts, &origin, at, out) {
                    continue;
                }
                let Some(owner) = self.log_owner(&log, &facts, &origin) else {
                    self.counters.unattributed += 1;
                    continue;
                };
                let key = (owner.function.hash, owner.trace, hash_from(owner.span, owner.invocation.as_bytes()));
                let lines = *by_owner.entry(key).or_insert(all.len());
                if lines == all.len() {
                    let (start, end) = (Nanos::MAX, 0);
                    let (records, recipes) = (Vec::new(), Vec::new());
                    all.push(Lines { owner, resource: origin.raw, start, end, records, recipes });
                }
                if let Some(lines) = all.get_mut(lines) {
                    self.read_line(&log, at, lines);
                }
            }
        }
        all.sort_by_key(|lines| lines.end);
        for lines in &all {
            self.emit_lines(lines, out);
        }
        self.decide(self.clock.now(), out);
    }

    /// Whose line it is; `None` if neither it nor its resource says.
    fn log_owner(&mut self, log: &LogRecord<'_>, facts: &Facts<'_>, origin: &Origin<'_>) -> Option<Owner> {
        let trace = trace_id(log.trace_id);
        let id = invocation(facts);
        let (function, local) = match (&origin.function, facts.text(Name::FaasName)) {
            (Some(function), _) => (Some(function.best()), origin.local),
            (None, Some(name)) => {
                let mut identity = origin.identity;
                identity.faas_name = name;
                (Some(self.functions.of(&identity)), local_hash(name))
            }
            (None, None) => (None, 0),
        };
        let mut span = span_id(log.span_id).unwrap_or(0);
        let mut key = trace.map(|trace| GroupKey { trace, local });
        if key.is_none_or(|key| self.groups.find(&key).is_none())
            && let Some(place) = self.invocations.get(hash_from(self.secret, id.as_bytes())).filter(|_| !id.is_empty())
        {
            // An id joins lines of the same function only: others may write any id into theirs.
            if function.is_none() || place.key.local == local {
                (key, span) = (Some(place.key), place.span);
            }
        }
        let group = key.and_then(|key| self.groups.find(&key)).and_then(|slot| self.groups.get(slot));
        let Some(group) = group else {
            let function = function?;
            return Some(Owner {
                function,
                trace: trace.unwrap_or_default(),
                span: 0,
                invocation: super::function::short(id),
            });
        };
        let memo = group.emitted_with(span).map(usize::from).or_else(|| group.memos.len().checked_sub(1));
        let memo = memo.and_then(|at| group.memos.get(at));
        Some(Owner {
            function: memo.map_or_else(|| group.best_function(), |memo| Arc::clone(&memo.function)),
            trace: group.key.trace,
            span: memo.map_or(0, |memo| memo.span),
            invocation: memo.map_or_else(|| super::function::short(id), |memo| memo.invocation.clone()),
        })
    }

    fn read_line(&mut self, log: &LogRecord<'_>, at: u32, lines: &mut Lines<'_>) {
        let time = if log.time == 0 { log.observed_time } else { log.time };
        self.clock.observe(time, voice(lines.owner.trace));
        if time != 0 && time != Nanos::MAX {
            (lines.start, lines.end) = (lines.start.min(time), lines.end.max(time));
        }
        lines.records.push(at);
        let (severity, body) = (severity(log), message(log));
        if body.is_empty() {
            return;
        }
        let signature = hash_from(hash_from(self.secret, severity.as_bytes()), body.as_bytes());
        let recipe = self.recipes.get(signature).unwrap_or_else(|| {
            let recipe = Arc::new(Recipe::of_log(severity, body));
            self.recipes.put(signature, Arc::clone(&recipe));
            recipe
        });
        let hash = |recipe: &Recipe| recipe.keys().next().map(|key| key.hash);
        if let Some((_, count, _)) = lines.recipes.iter_mut().find(|(known, ..)| hash(known) == hash(&recipe)) {
            *count = count.saturating_add(1);
        } else if lines.recipes.len() < MOST_KEYS {
            let span_id = span_id(log.span_id).unwrap_or(lines.owner.span).to_be_bytes();
            lines.recipes.push((
                recipe,
                1,
                Source { trace_id: lines.owner.trace, span_id, trust: Channel::Logs.trust() },
            ));
        }
    }

    fn emit_lines(&mut self, lines: &Lines<'_>, out: &mut impl FnMut(Invocation<'_>)) {
        let touches: Vec<Touch<'_>> = lines
            .recipes
            .iter()
            .flat_map(|(recipe, count, source)| recipe.keys().map(|key| Touch { key, count: *count, source: *source }))
            .collect();
        let owner = &lines.owner;
        let subject = Subject {
            function: &owner.function,
            trace: owner.trace,
            span: owner.span,
            // Without a trace and an id there is no invocation to name.
            invocation: &owner.invocation,
            resource: lines.resource,
            now: self.clock.now(),
            channel: Channel::Logs,
            instance: 0,
            answered: 0,
        };
        let times = (lines.start.min(lines.end), lines.end);
        let flat = Flat { touches: &touches, records: &lines.records, times, ..Flat::default() };
        self.press.emit_flat(&subject, &flat, out);
    }
}

/// The severity's name.
fn severity<'a>(log: &LogRecord<'a>) -> &'a str {
    match log.severity {
        1..=4 => "TRACE",
        5..=8 => "DEBUG",
        9..=12 => "INFO",
        13..=16 => "WARN",
        17..=20 => "ERROR",
        21.. => "FATAL",
        0 => std::str::from_utf8(log.severity_text).ok().and_then(|text| text.get(..text.len().min(16))).unwrap_or(""),
    }
}

/// What a line says: its text, the message in a structure, or the kind of event.
fn message<'a>(log: &LogRecord<'a>) -> &'a str {
    let body = match log.body {
        AnyValue::KvList(_) => log
            .body
            .entries()
            .find(|(key, _)| matches!(*key, b"message" | b"msg" | b"event" | b"log"))
            .and_then(|(_, value)| value.text()),
        body => body.text(),
    };
    body.filter(|body| !body.is_empty()).unwrap_or_else(|| std::str::from_utf8(log.event_name).unwrap_or_default())
}
