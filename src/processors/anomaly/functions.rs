//! Functions in the API's words.

use std::collections::BTreeMap;

use super::{
    Model,
    redact::Redact,
    roster::{Known, Roster, cues},
};
use crate::{
    detect::{
        self, KeySeen, Portrait,
        observation::{Family, Quantity},
    },
    faas::coverage::{CLASSES, Coverage},
    incidents::{
        control::{
            Fault,
            proto::{self, Bucket, Distribution, Edge, Epoch, FunctionDetail, FunctionRef, FunctionSummary, Key},
        },
        desk::function_id,
        text,
    },
};

/// Keys shown of each kind.
const MOST_KEYS: usize = 128;
const LONGEST: usize = 256;

/// Functions with what is open on them: those first, then by name.
pub fn list(model: &Model, wanted: &str, open: &BTreeMap<String, String>) -> Vec<FunctionSummary> {
    let named = model.roster.iter().filter(|(_, known)| wanted.is_empty() || known.name.contains(wanted));
    let mut all: Vec<FunctionSummary> = named
        .filter_map(|(hash, known)| Some(summary(hash, known, &model.detector.portrait(hash, false)?, open)))
        .collect();
    all.sort_by(|a, b| {
        let rank = |one: &FunctionSummary| one.open_incident_id.is_empty();
        (rank(a), &a.name, &a.id).cmp(&(rank(b), &b.name, &b.id))
    });
    all
}

/// The hash of a function's id, or of a name that only one has.
pub fn find(roster: &Roster, id: &str) -> Result<u64, Fault> {
    if id.len() == 16
        && let Ok(hash) = u64::from_str_radix(id, 16)
        && roster.get(hash).is_some()
    {
        return Ok(hash);
    }
    let mut named = roster.iter().filter(|(_, known)| known.name == id).map(|(hash, _)| hash);
    match (named.next(), named.next()) {
        (Some(hash), None) => Ok(hash),
        (Some(_), Some(_)) => {
            Err(Fault::conflict(format!("several functions are called `{}`; use an id", text::shown(id, 64))))
        }
        (None, _) => Err(Fault::not_found(format!("there is no function `{}`", text::shown(id, 64)))),
    }
}

/// All that is known of one function.
pub fn detail(model: &Model, hash: u64, open: &BTreeMap<String, String>) -> Option<FunctionDetail> {
    let redact = model.redact.as_ref();
    let (known, portrait) = (model.roster.get(hash)?, model.detector.portrait(hash, true)?);
    let newest = portrait.epochs.iter().map(|epoch| epoch.number).max().unwrap_or(0);
    let shown = |seen: &KeySeen| key(seen, &portrait, redact);
    let of = |families: &[Family]| -> Vec<Key> {
        let wanted = portrait.keys.iter().filter(|key| families.contains(&key.family));
        wanted.take(MOST_KEYS).map(shown).collect()
    };
    let mut epochs: Vec<Epoch> = portrait.epochs.iter().map(|epoch| self::epoch(epoch, known)).collect();
    epochs.sort_by_key(|epoch| epoch.number);
    if let Some(last) = epochs.last_mut().filter(|_| newest > 0) {
        let mut gained: Vec<&KeySeen> = portrait.keys.iter().filter(|key| key.first_seen >= last.began).collect();
        let mut lost: Vec<&KeySeen> =
            portrait.keys.iter().filter(|key| key.epoch < newest && key.invocations > 1).collect();
        for keys in [&mut gained, &mut lost] {
            keys.sort_by(|a, b| b.risk.cmp(&a.risk).then_with(|| a.name.cmp(&b.name)));
            keys.truncate(MOST_KEYS);
        }
        last.gained = gained.into_iter().map(shown).collect();
        // A version that has hardly run has not lost what it has not come to yet.
        last.lost = if last.invocations >= 100 { lost.into_iter().map(shown).collect() } else { Vec::new() };
    }
    Some(FunctionDetail {
        summary: Some(summary(hash, known, &portrait, open)),
        operations: of(&[Family::Operation]),
        resources: of(&[Family::Resource]),
        destinations: of(&[Family::Destination]),
        identities: of(&[Family::Identity]),
        errors: of(&[Family::Error]),
        others: of(&[Family::Edge, Family::Trigger, Family::Artefact, Family::LogTemplate, Family::Statement]),
        edges: edges(model, hash, known, &portrait),
        distributions: portrait.distributions.iter().map(distribution).collect(),
        epochs,
        coverage: coverage(&known.coverage),
        cues: cues(&known.coverage),
        incidents: Vec::new(),
    })
}

fn summary(hash: u64, known: &Known, portrait: &Portrait, open: &BTreeMap<String, String>) -> FunctionSummary {
    let id = function_id(hash);
    let state = match (portrait.is_learning, portrait.is_fresh) {
        (true, _) => "learning",
        (_, true) => "fresh_deploy",
        _ => "watched",
    };
    FunctionSummary {
        name: text::shown(&known.name, LONGEST),
        version: text::shown(known.versions.back().map_or("", String::as_str), LONGEST),
        state: state.to_owned(),
        invocations: u64::from(portrait.invocations),
        first_seen: portrait.first_seen,
        last_seen: portrait.last_seen,
        open_incident_id: open.get(&id).cloned().unwrap_or_default(),
        sparkline: known.ticks.iter().copied().collect(),
        coverage_seen: known.coverage.seen() as u32,
        coverage_all: CLASSES.len() as u32,
        provider: text::shown(&known.provider, LONGEST),
        account: text::shown(&known.account, LONGEST),
        region: text::shown(&known.region, LONGEST),
        id,
    }
}

/// Kinds of attack, and what is missing to see them.
fn coverage(known: &Coverage) -> Vec<proto::Coverage> {
    let told = CLASSES.iter().map(|class| proto::Coverage {
        attack_class: class.name.to_owned(),
        seen: known.sees(class),
        missing: known.lack(class),
    });
    told.collect()
}

fn key(seen: &KeySeen, portrait: &Portrait, redact: Option<&Redact>) -> Key {
    let name = redact.map_or_else(|| seen.name.clone(), |redact| redact.text(&seen.name).into_owned());
    Key {
        family: text::family_name(seen.family).to_owned(),
        name: text::shown(&name, LONGEST),
        risk: text::risk_name(seen.risk).to_owned(),
        invocations: seen.invocations,
        share: (f64::from(seen.invocations) / f64::from(portrait.invocations.max(1))).min(1.0),
        state: seen.state.to_owned(),
        first_seen: seen.first_seen,
        at_most: seen.at_most,
        fleet_seen: seen.fleet_seen,
        fleet_size: portrait.fleet,
        mandatory: seen.is_mandatory,
    }
}

fn epoch(seen: &detect::EpochSeen, known: &Known) -> Epoch {
    Epoch {
        version: text::shown(known.version(seen.version), LONGEST),
        number: seen.number,
        began: seen.began,
        invocations: seen.invocations,
        gained: Vec::new(),
        lost: Vec::new(),
    }
}

/// Whom it calls, by its own keys; who calls it, by the keys of all others.
fn edges(model: &Model, hash: u64, known: &Known, portrait: &Portrait) -> Vec<Edge> {
    // `lambda:function/audit` is the function `audit`, if there is one.
    let called = |name: &str| name.rsplit_once("function/").map_or(name, |(_, function)| function).to_owned();
    let by_name = |name: &str| model.roster.iter().find(|(_, known)| known.name == name).map(|(hash, _)| hash);
    let own = FunctionRef { id: function_id(hash), name: known.name.clone(), version: String::new() };
    let reference = |name: &str| FunctionRef {
        id: by_name(&called(name)).map(function_id).unwrap_or_default(),
        name: text::shown(name, LONGEST),
        version: String::new(),
    };
    let edge = |caller, callee, invocations, state: &str| Edge {
        caller: Some(caller),
        callee: Some(callee),
        invocations,
        state: state.to_owned(),
    };
    let calls = portrait.keys.iter().filter(|key| key.family == Family::Edge && !key.name.is_empty());
    let mut edges: Vec<Edge> =
        calls.take(MOST_KEYS).map(|key| edge(own.clone(), reference(&key.name), key.invocations, key.state)).collect();
    for caller in model.detector.callers(|name| called(name) == known.name, MOST_KEYS) {
        let Some(other) = model.roster.get(caller.function).filter(|_| caller.function != hash) else { continue };
        let from = FunctionRef { id: function_id(caller.function), name: other.name.clone(), version: String::new() };
        edges.push(edge(from, own.clone(), caller.invocations, caller.state));
    }
    edges
}

fn distribution(seen: &detect::Distribution) -> Distribution {
    let unit = match seen.quantity {
        Quantity::DurationUs | Quantity::SelfTimeUs | Quantity::InitUs | Quantity::AfterUs | Quantity::PlatformUs => {
            "us"
        }
        Quantity::BytesOut | Quantity::BytesIn | Quantity::AnswerBytes | Quantity::CallBytes => "bytes",
        Quantity::MemoryMb => "MB",
        Quantity::Calls
        | Quantity::Rows
        | Quantity::DistinctResources
        | Quantity::Invocations
        | Quantity::Failures
        | Quantity::Throttles
        | Quantity::Concurrency => "",
    };
    Distribution {
        quantity: text::quantity_name(seen.quantity).to_owned(),
        unit: unit.to_owned(),
        cold: seen.cold,
        count: seen.count,
        usual_at_most: seen.usual_at_most,
        buckets: seen.buckets.iter().map(|(up_to, count)| Bucket { up_to: *up_to, count: *count }).collect(),
    }
}
