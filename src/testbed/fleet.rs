//! The instances functions run in: made when none is free, frozen between runs, gone when idle or old.

use std::sync::Arc;

use super::{
    application::{ACCOUNT, Function, REGION},
    benign::{HOUR, MINUTE, Release},
    rng::Rng,
};
use crate::{
    detect::observation::Nanos,
    otlp::{
        time::rfc3339,
        write::{field::RESOURCE_ATTRIBUTES as ATTRIBUTE, int, text},
    },
};

/// An instance nobody called for this long is gone.
const IDLE: Nanos = 9 * MINUTE;
/// An instance is replaced at this age.
const OLD: Nanos = 2 * HOUR;

/// One instance of one function, as its telemetry describes it.
#[derive(Debug)]
pub struct Instance {
    /// Counts up over the simulation; orders resources in a batch.
    pub number: u64,
    /// An encoded `Resource`.
    pub resource: Vec<u8>,
    /// Version of the instrumentation scopes.
    pub scope_version: &'static str,
}

/// Instances of one function.
#[derive(Debug, Default)]
struct Pool {
    slots: Vec<Slot>,
    release: Option<Release>,
    swept: Nanos,
}

#[derive(Debug)]
struct Slot {
    instance: Arc<Instance>,
    born: Nanos,
    free_at: Nanos,
}

/// Every function's instances.
#[derive(Debug)]
pub struct Fleet {
    pools: Vec<Pool>,
    made: u64,
}

/// An instance taken for one run.
#[derive(Debug)]
pub struct Lease {
    /// Where the run happens.
    pub instance: Arc<Instance>,
    /// Whether it was made for this run.
    pub cold: bool,
    pool: usize,
    slot: usize,
}

impl Default for Fleet {
    /// Nothing is running yet.
    fn default() -> Self {
        Self { pools: Function::ALL.map(|_| Pool::default()).into(), made: 0 }
    }
}

impl Fleet {
    /// Takes the instance that was used last of those that are free, or makes one. [`Fleet::give_back`] must follow
    /// before the next call.
    pub fn take(&mut self, function: Function, release: Release, at: Nanos, rng: &mut Rng) -> Option<Lease> {
        let index = function as usize;
        let pool = self.pools.get_mut(index)?;
        if pool.release != Some(release) {
            pool.slots.clear();
            pool.release = Some(release);
        }
        if at > pool.swept + MINUTE {
            pool.slots.retain(|slot| slot.free_at + IDLE > at && (slot.born + OLD > at || slot.free_at > at));
            pool.swept = at;
        }
        let free = pool.slots.iter().rposition(|slot| slot.free_at <= at);
        if let Some((position, slot)) = free.and_then(|position| Some((position, pool.slots.get(position)?))) {
            return Some(Lease { instance: slot.instance.clone(), cold: false, pool: index, slot: position });
        }
        self.made += 1;
        let instance = Arc::new(make(function, release, at, self.made, rng));
        pool.slots.push(Slot { instance: instance.clone(), born: at, free_at: Nanos::MAX });
        Some(Lease { instance, cold: true, pool: index, slot: pool.slots.len() - 1 })
    }

    /// Says when a leased instance will be free again.
    pub fn give_back(&mut self, lease: &Lease, free_at: Nanos) {
        if let Some(slot) = self.pools.get_mut(lease.pool).and_then(|pool| pool.slots.get_mut(lease.slot)) {
            slot.free_at = free_at;
        }
    }
}

fn make(function: Function, release: Release, at: Nanos, number: u64, rng: &mut Rng) -> Instance {
    let spec = function.spec();
    let version = (spec.version + release.version).to_string();
    let (sdk, scope_version) = if release.newer_sdk { ("1.46.0", "0.67b0") } else { ("1.45.1", "0.66b1") };
    let date: String = rfc3339(at).chars().take(10).map(|c| if c == '-' { '/' } else { c }).collect();
    let stream = format!("{date}/[{version}]{:016x}{:016x}", rng.bits(), rng.bits());
    let mut resource = Vec::with_capacity(700);
    let out = &mut resource;
    text(out, ATTRIBUTE, "telemetry.sdk.language", "python");
    text(out, ATTRIBUTE, "telemetry.sdk.name", "opentelemetry");
    text(out, ATTRIBUTE, "telemetry.sdk.version", sdk);
    text(out, ATTRIBUTE, "service.instance.id", rng.uuid().as_str());
    text(out, ATTRIBUTE, "service.name", spec.name);
    text(out, ATTRIBUTE, "service.namespace", "airline");
    text(out, ATTRIBUTE, "cloud.provider", "aws");
    text(out, ATTRIBUTE, "cloud.platform", "aws_lambda");
    text(out, ATTRIBUTE, "cloud.region", REGION);
    text(out, ATTRIBUTE, "cloud.account.id", ACCOUNT);
    text(out, ATTRIBUTE, "faas.name", spec.name);
    text(out, ATTRIBUTE, "faas.version", &version);
    text(out, ATTRIBUTE, "faas.instance", &stream);
    int(out, ATTRIBUTE, "faas.max_memory", spec.memory);
    Instance { number, resource, scope_version }
}
