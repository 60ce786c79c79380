//! Open incidents over a restart: `proto/sekisho/incident/v1/incident.proto`.
//!
//! What is read back is bounded like what is reported: a damaged or foreign file cannot make more of it.

use bytes::Bytes;
use prost::Message as _;

use super::{Function, Incident, Incidents, Settings, bounds, cause::Cause, open::Open};
use crate::detect::{
    observation::{Family, Quantity, Risk, Source, Trust},
    verdict::{Evidence, Feature, OwnedKey, Tier},
};

#[allow(missing_docs, clippy::pedantic, reason = "generated")]
mod proto {
    include!(concat!(env!("OUT_DIR"), "/sekisho.incident.v1.rs"));
}

/// The format written, and the only one read.
const FORMAT: u32 = 1;

// In the order of their discriminants, which are part of the format.
pub(super) const FAMILIES: [Family; 10] = [
    Family::Operation,
    Family::Resource,
    Family::Destination,
    Family::Edge,
    Family::Trigger,
    Family::Identity,
    Family::Artefact,
    Family::Error,
    Family::LogTemplate,
    Family::Statement,
];
const RISKS: [Risk; 6] = [Risk::Read, Risk::Write, Risk::Delete, Risk::Egress, Risk::Identity, Risk::Control];
const TIERS: [Tier; 3] = [Tier::Evidence, Tier::Queue, Tier::Page];
const TRUSTS: [Trust; 3] = [Trust::InProcess, Trust::Platform, Trust::Provider];

/// Why saved incidents could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Damaged {
    /// Not the message it should be.
    #[error("saved incidents are damaged: {0}")]
    Message(#[from] prost::DecodeError),
    /// Written by a version that means something else by it.
    #[error("saved incidents have format {0}, this version reads format 1")]
    Format(u32),
}

impl Incidents {
    /// Everything needed to go on after a restart.
    pub fn snapshot(&self) -> Vec<u8> {
        let open = self.open.values().map(save_open).collect();
        let closing = self.closing.iter().map(save_incident).collect();
        proto::Saved { format: FORMAT, open, closing }.encode_to_vec()
    }

    /// Goes on from a [`snapshot`](Self::snapshot).
    pub fn restore(saved: &[u8], settings: Settings) -> Result<Self, Damaged> {
        let saved = proto::Saved::decode(saved)?;
        if saved.format != FORMAT {
            return Err(Damaged::Format(saved.format));
        }
        let mut incidents = Self::new(settings);
        incidents.closing = saved.closing.into_iter().take(settings.max_open).map(load_incident).collect();
        for open in saved.open.into_iter().take(settings.max_open) {
            let Some(incident) = open.incident.map(load_incident) else { continue };
            let mut loaded = Open {
                incident,
                causes: std::collections::VecDeque::new(),
                base_headline: bounds::text(&open.base_headline),
                last_change: open.last_change,
                told_invocations: open.told_invocations,
                untold: open.untold,
            };
            loaded.refresh();
            let slot = incidents.insert(loaded);
            for cause in open.causes.into_iter().take(bounds::CAUSES) {
                if let Some(what) = cause.what.and_then(load_cause) {
                    incidents.link(slot, vec![what], cause.at);
                }
            }
            incidents.note_due(slot);
        }
        Ok(incidents)
    }
}

fn save_open(open: &Open) -> proto::Open {
    proto::Open {
        incident: Some(save_incident(&open.incident)),
        causes: open.causes.iter().map(|(cause, at)| proto::Cause { at: *at, what: Some(save_cause(cause)) }).collect(),
        base_headline: open.base_headline.clone(),
        last_change: open.last_change,
        told_invocations: open.told_invocations,
        untold: open.untold,
    }
}

fn save_cause(cause: &Cause) -> proto::cause::What {
    use proto::cause::What;
    match cause {
        Cause::Function(hash) => What::Function(*hash),
        Cause::Trace(id) => What::Trace(id.to_vec()),
        Cause::Destination(hash) => What::Destination(*hash),
        Cause::Resource(hash) => What::Resource(*hash),
        Cause::Identity(hash) => What::Identity(*hash),
        Cause::Version(version) => What::Version(version.clone()),
    }
}

fn load_cause(cause: proto::cause::What) -> Option<Cause> {
    use proto::cause::What;
    Some(match cause {
        What::Function(hash) => Cause::Function(hash),
        What::Trace(id) => Cause::Trace(id.try_into().ok()?),
        What::Destination(hash) => Cause::Destination(hash),
        What::Resource(hash) => Cause::Resource(hash),
        What::Identity(hash) => Cause::Identity(hash),
        What::Version(version) => Cause::Version(bounds::text(&version)),
    })
}

fn save_incident(incident: &Incident) -> proto::Incident {
    let function = |function: &Function| proto::Function {
        hash: function.hash,
        name: function.name.clone(),
        version: function.version.clone(),
    };
    proto::Incident {
        id: incident.id.clone(),
        tier: incident.tier as u32,
        priority: u32::from(incident.priority),
        score: incident.score,
        line: incident.line,
        first_seen: incident.first_seen,
        last_seen: incident.last_seen,
        at: incident.at,
        trace_id: incident.trace_id.to_vec(),
        span_id: incident.span_id.to_vec(),
        functions: incident.functions.iter().map(function).collect(),
        lead: incident.lead,
        resource: incident.resource.to_vec(),
        invocations: incident.invocations.clone(),
        invocation_count: incident.invocation_count,
        evidence: incident.evidence.iter().map(save_evidence).collect(),
        headline: incident.headline.clone(),
        counterfactual: incident.counterfactual.clone(),
        merged_into: incident.merged_into.clone().unwrap_or_default(),
    }
}

fn load_incident(saved: proto::Incident) -> Incident {
    let function = |function: proto::Function| Function {
        hash: function.hash,
        name: bounds::text(&function.name),
        version: bounds::text(&function.version),
    };
    let evidence: Vec<Evidence> = saved.evidence.into_iter().take(bounds::EVIDENCE).filter_map(load_evidence).collect();
    Incident {
        id: bounds::text(&saved.id),
        tier: nth(&TIERS, saved.tier).unwrap_or(Tier::Queue),
        priority: u8::try_from(saved.priority).unwrap_or(100).min(100),
        score: saved.score,
        line: saved.line,
        first_seen: saved.first_seen,
        last_seen: saved.last_seen,
        at: saved.at,
        trace_id: saved.trace_id.try_into().unwrap_or_default(),
        span_id: saved.span_id.try_into().unwrap_or_default(),
        functions: saved.functions.into_iter().take(bounds::FUNCTIONS).map(function).collect(),
        lead: saved.lead,
        resource: if saved.resource.len() <= bounds::RESOURCE { saved.resource.into() } else { Bytes::new() },
        invocations: saved.invocations.iter().take(bounds::INVOCATIONS).map(|id| bounds::text(id)).collect(),
        invocation_count: saved.invocation_count,
        techniques: super::techniques::of(&evidence),
        evidence,
        headline: bounds::text(&saved.headline),
        counterfactual: bounds::text(&saved.counterfactual),
        merged_into: Some(bounds::text(&saved.merged_into)).filter(|id| !id.is_empty()),
    }
}

fn save_evidence(row: &Evidence) -> proto::Evidence {
    let (feature, quantity) = match row.feature {
        Feature::Novelty => (0, 0),
        Feature::Order => (1, 0),
        Feature::Shape => (2, 0),
        Feature::Missing => (3, 0),
        Feature::Repeats => (4, 0),
        Feature::Magnitude(quantity) => (5, quantity as u32),
    };
    let key = row.key.as_ref().map(|key| proto::Key {
        family: key.family as u32,
        risk: key.risk as u32,
        hash: key.hash,
        name: key.name.clone(),
    });
    proto::Evidence {
        feature,
        quantity,
        key,
        bits: row.bits,
        observed: row.observed.clone(),
        usual: row.usual.clone(),
        seen_in: row.seen_in,
        out_of: row.out_of,
        fleet_seen: row.fleet.0,
        fleet_size: row.fleet.1,
        trace_id: row.source.trace_id.to_vec(),
        span_id: row.source.span_id.to_vec(),
        trust: row.source.trust as u32,
        amount: row.amount,
    }
}

/// `None` for a row this version has no words for.
fn load_evidence(row: proto::Evidence) -> Option<Evidence> {
    let feature = match row.feature {
        0 => Feature::Novelty,
        1 => Feature::Order,
        2 => Feature::Shape,
        3 => Feature::Missing,
        4 => Feature::Repeats,
        5 => Feature::Magnitude(nth(&Quantity::ALL, row.quantity)?),
        _ => return None,
    };
    let key = match row.key {
        Some(key) => Some(OwnedKey {
            family: nth(&FAMILIES, key.family)?,
            risk: nth(&RISKS, key.risk)?,
            hash: key.hash,
            name: bounds::text(&key.name),
        }),
        None => None,
    };
    Some(Evidence {
        feature,
        key,
        bits: row.bits,
        observed: bounds::text(&row.observed),
        usual: bounds::text(&row.usual),
        seen_in: row.seen_in,
        out_of: row.out_of,
        fleet: (row.fleet_seen, row.fleet_size),
        amount: row.amount,
        source: Source {
            trace_id: row.trace_id.try_into().unwrap_or_default(),
            span_id: row.span_id.try_into().unwrap_or_default(),
            trust: nth(&TRUSTS, row.trust).unwrap_or_default(),
        },
    })
}

fn nth<T: Copy>(all: &[T], discriminant: u32) -> Option<T> {
    all.get(discriminant as usize).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_in_the_order_of_their_discriminants() {
        assert!(FAMILIES.iter().enumerate().all(|(at, family)| *family as usize == at));
        assert!(RISKS.iter().enumerate().all(|(at, risk)| *risk as usize == at));
        assert!(Quantity::ALL.iter().enumerate().all(|(at, quantity)| *quantity as usize == at));
        assert!(TIERS.iter().enumerate().all(|(at, tier)| *tier as usize == at));
        assert!(TRUSTS.iter().enumerate().all(|(at, trust)| *trust as usize == at));
    }
}
