//! The alert as it leaves the gateway: an OTLP log record. Others parse it: a change here is a breaking change.
//!
//! Written straight into protobuf; the tests read it back with the official types and pin every attribute.

use bytes::Bytes;

use super::{Change, Incident, bounds, link::Signer, promise, text};
use crate::{
    detect::{
        observation::{Nanos, Trust},
        verdict::{Evidence, Promise, Tier},
    },
    otlp::{Batch, Signal, wire},
};

/// `LogRecord.event_name` of every alert.
pub const EVENT_NAME: &str = "sekisho.incident";
const SCOPE: &str = "sekisho";

/// One request with a log record for each change; `observed` is the time now.
pub fn alerts_request(changes: &[Change], promise: &Promise, observed: Nanos) -> Batch {
    alerts_request_linked(changes, promise, observed, None)
}

/// The same, each with a signed link to its incident.
pub fn alerts_request_linked(changes: &[Change], promise: &Promise, observed: Nanos, signer: Option<&Signer>) -> Batch {
    let guarantee = promise::sentence(promise);
    let mut body = Vec::new();
    for change in changes {
        let mut scope = Vec::new();
        wire::put_bytes(&mut scope, 1, SCOPE.as_bytes());
        wire::put_bytes(&mut scope, 2, env!("CARGO_PKG_VERSION").as_bytes());
        let mut scope_logs = Vec::new();
        wire::put_bytes(&mut scope_logs, 1, &scope);
        let link = signer.map(|signer| signer.link(&change.incident.id, observed));
        wire::put_bytes(&mut scope_logs, 2, &log_record(change, &guarantee, observed, link.as_deref()));
        let mut resource_logs = Vec::new();
        wire::put_bytes(&mut resource_logs, 1, &change.incident.resource);
        wire::put_bytes(&mut resource_logs, 2, &scope_logs);
        wire::put_bytes(&mut body, 1, &resource_logs);
    }
    Batch { signal: Signal::Logs, body: Bytes::from(body), items: changes.len() }
}

fn log_record(change: &Change, guarantee: &str, observed: Nanos, link: Option<&str>) -> Vec<u8> {
    let incident = &change.incident;
    let (severity, severity_text) = match incident.tier {
        Tier::Page => (17, "ERROR"),
        Tier::Queue => (13, "WARN"),
        Tier::Evidence => (9, "INFO"),
    };
    let mut out = Vec::new();
    put_fixed64(&mut out, 1, incident.at);
    put_uint(&mut out, 2, severity);
    wire::put_bytes(&mut out, 3, severity_text.as_bytes());
    wire::put_bytes(&mut out, 5, &string(&incident.headline));
    put_attributes(&mut out, change, guarantee);
    if let Some(link) = link {
        wire::put_bytes(&mut out, 6, &pair("sekisho.incident.link", &string(link)));
    }
    if incident.trace_id != [0; 16] {
        wire::put_bytes(&mut out, 9, &incident.trace_id);
    }
    if incident.span_id != [0; 8] {
        wire::put_bytes(&mut out, 10, &incident.span_id);
    }
    put_fixed64(&mut out, 11, observed);
    wire::put_bytes(&mut out, 12, EVENT_NAME.as_bytes());
    out
}

fn put_attributes(out: &mut Vec<u8>, change: &Change, guarantee: &str) {
    let incident = &change.incident;
    let mut put = |key: &str, value: Vec<u8>| wire::put_bytes(out, 6, &pair(key, &value));
    put("sekisho.incident.id", string(&incident.id));
    put("sekisho.incident.state", string(change.kind.name()));
    put("sekisho.incident.tier", string(incident.tier.name()));
    put("sekisho.incident.priority", int(u64::from(incident.priority)));
    put("sekisho.incident.score", double(incident.score));
    put("sekisho.incident.line", double(incident.line));
    put("sekisho.incident.first_seen", int(incident.first_seen));
    put("sekisho.incident.last_seen", int(incident.last_seen));
    put("sekisho.incident.invocations", array(incident.invocations.iter().map(|id| string(id))));
    put("sekisho.incident.evidence", array(incident.evidence.iter().map(evidence)));
    put("sekisho.incident.counterfactual", string(&incident.counterfactual));
    put(
        "sekisho.incident.techniques",
        array(incident.techniques.iter().map(|technique| string(&technique.to_string()))),
    );
    put("sekisho.guarantee", string(guarantee));
    if let Some(function) = incident.lead_function() {
        put("faas.name", string(&function.name));
        if !function.version.is_empty() {
            put("faas.version", string(&function.version));
        }
    }
    for attribute in cloud_attributes(incident) {
        wire::put_bytes(out, 6, attribute);
    }
}

/// The serialised `cloud.*` attributes of the function's own resource.
fn cloud_attributes(incident: &Incident) -> impl Iterator<Item = &[u8]> {
    bounds::resource_attributes(&incident.resource).filter(|(key, _)| key.starts_with("cloud.")).map(|(_, pair)| pair)
}

fn evidence(row: &Evidence) -> Vec<u8> {
    let trust = match row.source.trust {
        Trust::InProcess => "in_process",
        Trust::Platform => "platform",
        Trust::Provider => "provider",
    };
    let observed = match &row.key {
        Some(key) if row.observed.is_empty() => &key.name,
        _ => &row.observed,
    };
    kvlist([
        ("feature", string(&text::feature_name(row))),
        ("observed", string(observed)),
        ("usual", string(&row.usual)),
        ("bits", double(row.bits)),
        ("seen_in", int(row.seen_in)),
        ("out_of", int(row.out_of)),
        ("source", string(trust)),
    ])
}

// `AnyValue`s, and the `KeyValue` that holds one.

fn string(value: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() + 4);
    wire::put_bytes(&mut out, 1, value.as_bytes());
    out
}

/// OTLP's integers are signed; what does not fit is capped.
fn int(value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    put_uint(&mut out, 3, value.min(i64::MAX.unsigned_abs()));
    out
}

fn double(value: f64) -> Vec<u8> {
    let mut out = Vec::new();
    put_fixed64(&mut out, 4, value.to_bits());
    out
}

fn array(values: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut inner = Vec::new();
    for value in values {
        wire::put_bytes(&mut inner, 1, &value);
    }
    let mut out = Vec::new();
    wire::put_bytes(&mut out, 5, &inner);
    out
}

fn kvlist<const N: usize>(pairs: [(&str, Vec<u8>); N]) -> Vec<u8> {
    let mut inner = Vec::new();
    for (key, value) in pairs {
        wire::put_bytes(&mut inner, 1, &pair(key, &value));
    }
    let mut out = Vec::new();
    wire::put_bytes(&mut out, 6, &inner);
    out
}

fn pair(key: &str, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    wire::put_bytes(&mut out, 1, key.as_bytes());
    wire::put_bytes(&mut out, 2, value);
    out
}

fn put_uint(out: &mut Vec<u8>, number: u32, value: u64) {
    wire::put_varint(out, u64::from(number) << 3);
    wire::put_varint(out, value);
}

fn put_fixed64(out: &mut Vec<u8>, number: u32, value: u64) {
    wire::put_varint(out, u64::from(number) << 3 | 1);
    out.extend_from_slice(&value.to_le_bytes());
}

#[cfg(test)]
mod tests;
