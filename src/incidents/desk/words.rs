//! Ours into the API's.

use super::super::{
    ChangeKind, Function, FunctionRef, Incident, bounds,
    control::proto::{self, Event, IncidentDetail},
    text,
};
use crate::{
    detect::{
        observation::{Nanos, Trust},
        verdict::Evidence,
    },
    otlp::{any_value, hex, view},
};

/// Longest text of an attribute, characters.
const LONGEST_VALUE: usize = 256;

/// A function's hash as the API has it.
pub fn function_id(hash: u64) -> String {
    format!("{hash:016x}")
}

/// An incident as it is now. What others have added to it (timeline, traces, hunts) is taken over from `before`.
pub fn detail(
    incident: &Incident,
    kind: ChangeKind,
    guarantee: &str,
    before: Option<IncidentDetail>,
) -> IncidentDetail {
    let before = before.unwrap_or_default();
    IncidentDetail {
        incident: Some(head(incident, kind)),
        evidence: incident.evidence.iter().map(evidence).collect(),
        timeline: before.timeline,
        counterfactual: incident.counterfactual.clone(),
        guarantee: guarantee.to_owned(),
        techniques: incident
            .techniques
            .iter()
            .map(|technique| proto::Technique {
                id: technique.id.to_owned(),
                rule: technique.rule.to_owned(),
                advice: technique.advice.to_owned(),
            })
            .collect(),
        advice: text::advice(incident).to_owned(),
        invocations: incident.invocations.iter().map(|id| text::shown(id, LONGEST_VALUE)).collect(),
        resource: resource(&incident.resource),
        abnormal: before.abnormal,
        normal: before.normal,
        verdicts: Vec::new(),
        hunts: before.hunts,
    }
}

fn head(incident: &Incident, kind: ChangeKind) -> proto::Incident {
    let state = if kind == ChangeKind::Resolved { "resolved" } else { "open" };
    proto::Incident {
        id: incident.id.clone(),
        state: state.to_owned(),
        tier: incident.tier.name().to_owned(),
        priority: u32::from(incident.priority),
        score: incident.score,
        line: incident.line,
        headline: incident.headline.clone(),
        functions: incident.functions.iter().map(function).collect(),
        lead_function_id: function_id(incident.lead),
        first_seen: incident.first_seen,
        last_seen: incident.last_seen,
        at: incident.at,
        changed: 0,
        invocation_count: incident.invocation_count,
        technique_ids: incident.techniques.iter().map(|technique| technique.id.to_owned()).collect(),
        verdict: String::new(),
        merged_into: incident.merged_into.clone().unwrap_or_default(),
        link: String::new(),
    }
}

fn function(function: &Function) -> proto::FunctionRef {
    proto::FunctionRef {
        id: function_id(function.hash),
        name: text::shown(&function.name, LONGEST_VALUE),
        version: text::shown(&function.version, LONGEST_VALUE),
    }
}

/// The attributes of a serialised resource, as text.
fn resource(resource: &[u8]) -> Vec<proto::Attribute> {
    const MOST: usize = 64;
    let pairs = bounds::resource_attributes(resource).take(MOST);
    pairs
        .map(|(key, pair)| proto::Attribute {
            key: text::shown(key, LONGEST_VALUE),
            value: text::shown(&any_value::as_text(view::key_value(pair).1), LONGEST_VALUE),
        })
        .collect()
}

/// The name of the key that evidence is about; empty without one.
pub fn key_name(row: &Evidence) -> String {
    row.key.as_ref().map(|key| text::shown(&key.name, LONGEST_VALUE)).unwrap_or_default()
}

/// One piece of evidence.
pub fn evidence(row: &Evidence) -> proto::Evidence {
    let source = match row.source.trust {
        Trust::InProcess => "in_process",
        Trust::Platform => "platform",
        Trust::Provider => "provider",
    };
    let name = key_name(row);
    let observed = if row.observed.is_empty() { name.clone() } else { text::shown(&row.observed, LONGEST_VALUE) };
    let usual = if row.usual.is_empty() { text::clause::seen(row) } else { text::shown(&row.usual, LONGEST_VALUE) };
    let id = |bytes: &[u8]| if bytes.iter().all(|byte| *byte == 0) { String::new() } else { hex(bytes) };
    proto::Evidence {
        feature: text::feature_name(row),
        label: text::label(row).to_owned(),
        observed,
        usual,
        bits: row.bits,
        seen_in: row.seen_in,
        out_of: row.out_of,
        fleet_seen: row.fleet.0,
        fleet_size: row.fleet.1,
        source: source.to_owned(),
        trace_id: id(&row.source.trace_id),
        span_id: id(&row.source.span_id),
        risk: row.key.as_ref().map(|key| text::risk_name(key.risk).to_owned()).unwrap_or_default(),
        key: name,
        function_ids: Vec::new(),
        amount: row.amount,
    }
}

/// Evidence that a hunt has found, or might.
pub fn hit(incident: &str, function: FunctionRef<'_>, evidence: proto::Evidence, at: Nanos) -> proto::Hit {
    let function = proto::FunctionRef {
        id: function_id(function.hash),
        name: text::shown(function.name, LONGEST_VALUE),
        version: text::shown(function.version, LONGEST_VALUE),
    };
    proto::Hit { incident_id: incident.to_owned(), function: Some(function), at, evidence: Some(evidence) }
}

/// What was decided, for the timeline.
pub fn decision(verdict: &proto::Verdict, kind: &str) -> String {
    let what = match (kind, verdict.kind.as_str()) {
        ("undone", kind) => format!("{kind} was taken back"),
        (_, "expected") => format!("expected: {} kinds of evidence are covered for a while", verdict.scopes.len()),
        (_, "malicious") => format!("malicious: hunted for everywhere, {} found so far", verdict.hit_count),
        _ => "unsure".to_owned(),
    };
    let note = if kind == "undone" { &verdict.undone_note } else { &verdict.note };
    if note.is_empty() { what } else { format!("{what}: {note}") }
}

pub fn incident_event(incident: &proto::Incident) -> Event {
    Event { kind: "incident".to_owned(), incident: Some(incident.clone()), ..Event::default() }
}

pub fn verdict_event(verdict: &proto::Verdict) -> Event {
    Event { kind: "verdict".to_owned(), verdict: Some(verdict.clone()), ..Event::default() }
}
