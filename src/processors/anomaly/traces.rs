//! Spans, for a while: what an incident is about can be shown with the invocation that showed it, beside an ordinary one.
//!
//! The last requests are kept as they came, a few megabytes of them; nothing is read from them before an incident asks.
//! Ordinary invocations are sampled, a few a function, as the bytes of their spans.

use std::collections::VecDeque;

use bytes::Bytes;

use super::redact::Redact;
use crate::{
    detect::observation::{Nanos, Observation},
    faas::assembler::Invocation,
    incidents::{
        control::proto::{Attribute, FunctionRef, Span, Trace},
        desk::function_id,
        text,
    },
    otlp::{any_value::as_text, hex, view},
};

/// Bytes of requests kept.
const MOST_RECENT: usize = 4 << 20;
/// Spans stored of an invocation, and attributes of a span.
const MOST_SPANS: usize = 256;
const MOST_ATTRIBUTES: usize = 64;
/// Longest text stored, characters.
const LONGEST: usize = 256;
/// `Span.attributes`.
const SPAN_ATTRIBUTES: u32 = 9;

/// Ordinary invocations remembered a function, and how large one may be.
const MOST_TWINS: usize = 3;
const LARGEST_TWIN: usize = 16 << 10;
/// One that is older is replaced by a new one, event time.
const STALE: Nanos = 3_600_000_000_000;

/// The requests of late.
#[derive(Clone, Debug, Default)]
pub struct Recent {
    bodies: VecDeque<Bytes>,
    bytes: usize,
}

impl Recent {
    /// Keeps one more request for traces.
    pub fn push(&mut self, body: &Bytes) {
        self.bytes += body.len();
        self.bodies.push_back(body.clone());
        // The newest stays in any case: it is being read.
        while self.bytes > MOST_RECENT && self.bodies.len() > 1 {
            self.bytes -= self.bodies.pop_front().map_or(0, |gone| gone.len());
        }
    }

    /// The spans of a trace that came with a resource, and those at `records` of the newest request.
    fn find<'a>(&'a self, trace: &'a [u8; 16], resource: &'a [u8], records: &'a [u32]) -> Vec<&'a [u8]> {
        let newest = self.bodies.len().saturating_sub(1);
        let mut found = Vec::new();
        for (at, body) in self.bodies.iter().enumerate() {
            let records = if at == newest { records } else { &[] };
            for (index, group, record) in records_of(body) {
                let listed = records.binary_search(&index).is_ok();
                let same = || group == resource && view::Span::scan(record, |_, _| {}).trace_id == trace;
                if listed || same() {
                    found.push(record);
                }
            }
        }
        found
    }
}

/// Every record of a request with its place and its resource.
fn records_of(body: &[u8]) -> impl Iterator<Item = (u32, &[u8], &[u8])> {
    let groups = view::resources(body);
    let records = groups.flat_map(|group| {
        let resource = group.resource();
        group.scopes().flat_map(move |scope| scope.records().map(move |record| (resource, record)))
    });
    records.enumerate().map(|(index, (resource, record))| (index as u32, resource, record))
}

/// An ordinary invocation.
#[derive(Clone, Debug)]
pub struct Twin {
    shape: u64,
    touched: Vec<u64>,
    at: Nanos,
    invocation: Box<str>,
    spans: Vec<Box<[u8]>>,
}

/// Ordinary invocations of one function.
#[derive(Clone, Debug, Default)]
pub struct Twins(Vec<Twin>);

impl Twins {
    /// Bytes it holds.
    pub fn bytes(&self) -> usize {
        self.0.iter().flat_map(|twin| &twin.spans).map(|span| span.len()).sum()
    }

    /// Whether an invocation should be remembered: of a shape that is not here, or instead of a stale one.
    pub fn want(&self, seen: &Observation<'_>) -> bool {
        let shape = shape(seen);
        let fresh = |twin: &Twin| twin.at.saturating_add(STALE) > seen.end;
        match self.0.iter().find(|twin| twin.shape == shape) {
            Some(twin) => !fresh(twin),
            None => self.0.len() < MOST_TWINS || !self.0.iter().all(fresh),
        }
    }

    /// Remembers an invocation whose spans are at its records of `body`.
    pub fn remember(&mut self, invocation: &Invocation<'_>, body: &[u8]) {
        let wanted = |index: &u32| invocation.records.binary_search(index).is_ok();
        let spans: Vec<Box<[u8]>> =
            records_of(body).filter(|(index, _, _)| wanted(index)).map(|(_, _, record)| record.into()).collect();
        if spans.is_empty() || spans.iter().map(|span| span.len()).sum::<usize>() > LARGEST_TWIN {
            return;
        }
        let seen = &invocation.observation;
        let twin = Twin {
            shape: shape(seen),
            touched: touched(seen),
            at: seen.end,
            invocation: seen.invocation_id.into(),
            spans,
        };
        self.0.retain(|known| known.shape != twin.shape);
        if self.0.len() >= MOST_TWINS
            && let Some(oldest) = (0..self.0.len()).min_by_key(|at| self.0.get(*at).map(|twin| twin.at))
        {
            self.0.remove(oldest);
        }
        self.0.push(twin);
    }

    /// The one that has most in common with what touched `keys`.
    fn closest(&self, keys: &[u64]) -> Option<&Twin> {
        let likeness = |twin: &Twin| {
            let both = twin.touched.iter().filter(|key| keys.contains(key)).count();
            both as f64 / (twin.touched.len() + keys.len() - both).max(1) as f64
        };
        self.0.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
    }
}

fn shape(seen: &Observation<'_>) -> u64 {
    let mix = |hash: u64, value: u64| (hash.rotate_left(5) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    seen.steps.iter().fold(0, |hash, step| mix(hash, step.hash))
}

fn touched(seen: &Observation<'_>) -> Vec<u64> {
    const MOST: usize = 64;
    seen.touches.iter().take(MOST).map(|touch| touch.key.hash).collect()
}

/// An invocation whose spans an incident is to be shown with.
#[derive(Debug)]
pub struct Wanted {
    /// The incident.
    pub incident: String,
    /// Whose invocation.
    pub function: u64,
    name: String,
    version: String,
    invocation: String,
    trace: [u8; 16],
    resource: Bytes,
    records: Vec<u32>,
    touched: Vec<u64>,
}

impl Wanted {
    /// That of `invocation`, whose records are of the newest request for traces or, `in_newest` says, are not.
    pub fn new(incident: &str, invocation: &Invocation<'_>, in_newest: bool) -> Self {
        let seen = &invocation.observation;
        Self {
            incident: incident.to_owned(),
            function: seen.function,
            name: seen.function_name.to_owned(),
            version: seen.version.to_owned(),
            invocation: seen.invocation_id.to_owned(),
            trace: invocation.trace_id,
            resource: Bytes::copy_from_slice(invocation.resource),
            records: if in_newest { invocation.records.to_vec() } else { Vec::new() },
            touched: touched(seen),
        }
    }

    /// The invocation, and the ordinary one that is closest to it.
    pub fn find(&self, recent: &Recent, twins: &Twins, redact: Option<&Redact>) -> (Trace, Option<Trace>) {
        let abnormal = recent.find(&self.trace, &self.resource, &self.records);
        let abnormal = self.trace(abnormal.into_iter(), &self.invocation, redact);
        let normal = twins.closest(&self.touched);
        let normal = normal.map(|twin| self.trace(twin.spans.iter().map(AsRef::as_ref), &twin.invocation, redact));
        (abnormal, normal)
    }

    fn trace<'a>(&self, records: impl Iterator<Item = &'a [u8]>, invocation: &str, redact: Option<&Redact>) -> Trace {
        let mut spans: Vec<Span> = records.map(|record| span(record, &self.name, redact)).collect();
        spans.sort_by(|a, b| (a.start, &a.span_id).cmp(&(b.start, &b.span_id)));
        // The same span twice is one: requests are repeated, and records are found in two ways.
        spans.dedup_by(|a, b| a.span_id == b.span_id);
        let omitted = spans.len().saturating_sub(MOST_SPANS);
        let start = spans.first().map_or(0, |span| span.start);
        let end = spans.iter().map(|span| span.start.saturating_add(span.duration)).max().unwrap_or(start);
        spans.truncate(MOST_SPANS);
        let invocation = text::shown(invocation, LONGEST);
        Trace {
            trace_id: if self.trace == [0; 16] { String::new() } else { hex(&self.trace) },
            function: Some(FunctionRef {
                id: function_id(self.function),
                name: text::shown(&self.name, LONGEST),
                version: text::shown(&self.version, LONGEST),
            }),
            invocation_id: redact.map_or_else(|| invocation.clone(), |redact| redact.text(&invocation).into_owned()),
            start,
            duration: end.saturating_sub(start),
            spans,
            omitted: omitted as u32,
        }
    }
}

fn span(record: &[u8], service: &str, redact: Option<&Redact>) -> Span {
    let redacted = redact.map(|redact| redact.message(record, SPAN_ATTRIBUTES));
    let record = redacted.as_deref().unwrap_or(record);
    let shown = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        let text = redact.map_or_else(|| text.to_string(), |redact| redact.text(&text).into_owned());
        text::shown(&text, LONGEST)
    };
    let mut attributes = Vec::new();
    let seen = view::Span::scan(record, |key, value| {
        if attributes.len() < MOST_ATTRIBUTES {
            let key = text::shown(&String::from_utf8_lossy(key), LONGEST);
            attributes.push(Attribute { key, value: text::shown(&as_text(value), LONGEST) });
        }
    });
    let kinds = ["", "internal", "server", "client", "producer", "consumer"];
    Span {
        span_id: hex(seen.span_id),
        parent_span_id: hex(seen.parent_span_id),
        name: shown(seen.name),
        service: text::shown(service, LONGEST),
        kind: kinds.get(seen.kind as usize).copied().unwrap_or_default().to_owned(),
        start: seen.start,
        duration: seen.end.saturating_sub(seen.start),
        status: ["", "ok", "error"].get(seen.status_code as usize).copied().unwrap_or_default().to_owned(),
        status_message: shown(seen.status_message),
        attributes,
        evidence: false,
    }
}
