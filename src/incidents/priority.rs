//! Priority: belief × impact, 0 to 100. It ranks the queue and never gates an alert.
//!
//! - belief = 1 / (1 + e^-(score − line)): 0.5 at the line.
//! - impact = min(1, weight / 5 × (1 + log2(1 + other functions drawn in) / 4)), where weight is that of the gravest
//!   thing touched: read 1, write 2, delete 3, egress 3, identity 4, control 5. Evidence without a key weighs 1, unusual
//!   bytes out 3.

use super::Incident;
use crate::detect::{
    observation::{Quantity, Risk},
    verdict::{Evidence, Feature, Measure},
};

const MOST_WEIGHT: f64 = 5.0;

/// The priority of `incident` as it is now.
pub fn of(incident: &Incident) -> u8 {
    let belief = 1.0 / (1.0 + (incident.line - incident.score).exp());
    let gravest = incident.evidence.iter().map(weight).fold(1.0, f64::max);
    let others = incident.functions.len().saturating_sub(1) as f64;
    let impact = (gravest / MOST_WEIGHT * (1.0 + (1.0 + others).log2() / 4.0)).min(1.0);
    // A score that is not a number casts to 0.
    (100.0 * belief * impact).round() as u8
}

fn weight(evidence: &Evidence) -> f64 {
    let bytes_out = [
        Feature::Magnitude(Quantity::BytesOut),
        Feature::Window(Measure::BytesOut),
        Feature::Drift(Measure::BytesOut),
        Feature::Instance(Quantity::BytesOut),
    ];
    if bytes_out.contains(&evidence.feature) {
        return 3.0;
    }
    match evidence.key.as_ref().map(|key| key.risk) {
        None | Some(Risk::Read) => 1.0,
        Some(Risk::Write) => 2.0,
        Some(Risk::Delete | Risk::Egress) => 3.0,
        Some(Risk::Identity) => 4.0,
        Some(Risk::Control) => MOST_WEIGHT,
    }
}
