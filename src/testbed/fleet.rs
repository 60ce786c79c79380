//! The instances functions run in: made when none is free, frozen between runs, gone when idle or old.

use std::sync::Arc;

use super::{
    application::{ACCOUNT, Application, Dialect, REGION, Spec},
    benign::{HOUR, MINUTE, Release, SECOND},
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

/// One instance of one function, as its telemetry describes it; or whatever else has a resource of its own.
#[derive(Debug)]
pub struct Instance {
    /// Counts up over the simulation; orders resources in a batch.
    pub number: u64,
    /// An encoded `Resource`: what the SDK says.
    pub resource: Vec<u8>,
    /// What the platform's extension says.
    pub platform: Vec<u8>,
    /// Version of the instrumentation scopes.
    pub scope_version: &'static str,
    /// Whose names its spans have.
    pub dialect: Dialect,
    /// Where its calls come from.
    pub address: String,
    /// With which key they are signed.
    pub access_key: String,
}

impl Instance {
    /// How far its clock is off where clocks may be off by `most` seconds: one in four is.
    pub const fn skew(&self, most: u64) -> Nanos {
        let mixed = self.number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
        if most == 0 || !mixed.is_multiple_of(4) { 0 } else { (mixed / 4) % (most * SECOND) }
    }
}

/// Instances of one function.
#[derive(Clone, Debug, Default)]
struct Pool {
    slots: Vec<Slot>,
    release: Option<Release>,
    swept: Nanos,
}

#[derive(Clone, Debug)]
struct Slot {
    instance: Arc<Instance>,
    born: Nanos,
    free_at: Nanos,
}

/// Every function's instances.
#[derive(Clone, Debug)]
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

impl Fleet {
    /// Of so many functions, none running yet.
    pub fn new(functions: usize) -> Self {
        // Zero is the account's own.
        Self { pools: vec![Pool::default(); functions], made: 0 }
    }

    /// Takes the instance that was used last of those that are free, or makes one. [`Fleet::give_back`] must follow
    /// before the next call.
    pub fn take(
        &mut self,
        (index, application, spec): (usize, &Application, &Spec),
        release: Release,
        at: Nanos,
        rng: &mut Rng,
    ) -> Option<Lease> {
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
        let instance = Arc::new(make(application, spec, release, at, self.made, rng));
        pool.slots.push(Slot { instance: instance.clone(), born: at, free_at: Nanos::MAX });
        Some(Lease { instance, cold: true, pool: index, slot: pool.slots.len() - 1 })
    }

    /// Says when a leased instance will be free again.
    pub fn give_back(&mut self, lease: &Lease, free_at: Nanos) {
        if let Some(slot) = self.pools.get_mut(lease.pool).and_then(|pool| pool.slots.get_mut(lease.slot)) {
            slot.free_at = free_at;
        }
    }

    /// Instances of a function that are busy at `at`.
    pub fn busy(&self, function: usize, at: Nanos) -> usize {
        self.pools.get(function).map_or(0, |pool| pool.slots.iter().filter(|slot| slot.free_at > at).count())
    }
}

fn make(application: &Application, spec: &Spec, release: Release, at: Nanos, number: u64, rng: &mut Rng) -> Instance {
    let version = (spec.version + release.version).to_string();
    let dialect = match application.dialect {
        Dialect::Python if release.renamed_sdk => Dialect::PythonStable,
        dialect => dialect,
    };
    let (language, sdk, scope_version) = match (dialect, release.newer_sdk || release.renamed_sdk) {
        (Dialect::Node, false) => ("nodejs", "2.2.0", "0.61.0"),
        (Dialect::Node, true) => ("nodejs", "3.0.0", "0.70.0"),
        (_, false) => ("python", "1.45.1", "0.66b1"),
        (Dialect::Python, true) => ("python", "1.46.0", "0.67b0"),
        (Dialect::PythonStable, true) => ("python", "2.0.0", "1.0.0"),
    };
    let date: String = rfc3339(at).chars().take(10).map(|c| if c == '-' { '/' } else { c }).collect();
    let stream = format!("{date}/[{version}]{:016x}{:016x}", rng.bits(), rng.bits());
    let mut resource = Vec::with_capacity(700);
    let out = &mut resource;
    text(out, ATTRIBUTE, "telemetry.sdk.language", language);
    text(out, ATTRIBUTE, "telemetry.sdk.name", "opentelemetry");
    text(out, ATTRIBUTE, "telemetry.sdk.version", sdk);
    text(out, ATTRIBUTE, "service.instance.id", rng.uuid().as_str());
    text(out, ATTRIBUTE, "service.name", spec.name);
    text(out, ATTRIBUTE, "service.namespace", application.name);
    let mut platform = Vec::with_capacity(500);
    text(&mut platform, ATTRIBUTE, "service.name", spec.name);
    for out in [out, &mut platform] {
        text(out, ATTRIBUTE, "cloud.provider", "aws");
        text(out, ATTRIBUTE, "cloud.platform", "aws_lambda");
        text(out, ATTRIBUTE, "cloud.region", REGION);
        text(out, ATTRIBUTE, "cloud.account.id", ACCOUNT);
        text(out, ATTRIBUTE, "faas.name", spec.name);
        text(out, ATTRIBUTE, "faas.version", &version);
        text(out, ATTRIBUTE, "faas.instance", &stream);
        int(out, ATTRIBUTE, "faas.max_memory", spec.memory);
    }
    let mut key = [0; 16];
    rng.fill_id(&mut key);
    let access_key = "ASIA".chars().chain(key.into_iter().map(char::from)).collect();
    let address = format!("3.248.{}.{}", 10 + number % 6, 1 + rng.below(250));
    Instance { number, resource, platform, scope_version, dialect, address, access_key }
}
