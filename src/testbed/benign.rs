//! What changes without anybody meaning harm: outages, crowds, deploys, migrations, and what happens to telemetry on
//! its way. A [`Calendar`] holds what is to come; [`Weather`] is what one invocation finds of it.

use super::{
    application::{Application, Op, Service},
    invocation::Size,
    rng::Rng,
    truth::Benign,
};
use crate::detect::observation::Nanos;

/// Nanoseconds in a second.
pub const SECOND: Nanos = 1_000_000_000;
/// Nanoseconds in a minute.
pub const MINUTE: Nanos = 60 * SECOND;
/// Nanoseconds in an hour.
pub const HOUR: Nanos = 60 * MINUTE;
/// Nanoseconds in a day.
pub const DAY: Nanos = 24 * HOUR;

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// So many times the usual traffic.
    Crowd(f64),
    /// DynamoDB refuses this share of its calls.
    Throttling(f64),
    /// Other people's servers do not answer this share of requests, and are this much slower.
    Unreachable(f64, f64),
    /// Services are called in the other region.
    Failover,
    /// Every instance is replaced at once.
    ColdWave,
    /// A flag turns on a path that was always deployed.
    Flag,
    /// A new version of one function; `true`: it does something more.
    Deploy(&'static str, bool),
    /// A newer SDK: versions change, names do not.
    NewerSdk(&'static [&'static str]),
    /// A new major SDK: scopes, span names and attributes are all called something else.
    RenamedSdk,
    /// Tables move: written to old and new, then read from new.
    Migration,
    /// A customer with ids, a bucket and a topic of their own.
    NewCustomer,
    /// Batch jobs read this many times the usual rows.
    MonthEnd(u64),
    /// Only this share of traces is sent.
    Sampling(f64),
    /// Some instances' clocks are off by up to this many seconds.
    Skew(u64),
    /// Posts come late, out of order and twice.
    LateAndTwice,
    /// A function is deployed that nobody knew.
    Newcomer,
    /// Debug logs are switched on.
    DebugLogs,
}

/// One thing that happens, when, and to which application; to all where none is named.
#[derive(Clone, Copy, Debug)]
pub struct Disturbance {
    /// Name and time.
    pub benign: Benign,
    /// What.
    pub kind: Kind,
    /// To whom.
    pub application: Option<&'static str>,
}

/// What one invocation finds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a thing of its own that may be so")]
pub struct Weather {
    /// Share of DynamoDB's calls that are refused at first.
    pub throttled: f64,
    /// Share of other people's servers that do not answer.
    pub unreachable: f64,
    /// How much slower requests to other people's servers are.
    pub slow: f64,
    /// The other region does the work.
    pub elsewhere: bool,
    /// The flag is on.
    pub flag: bool,
    /// Tables have moved.
    migrated: bool,
    /// So many times the usual rows.
    rows: u64,
    /// Whether debug logs are on.
    pub debug_logs: bool,
    /// Whether the invocation is the new customer's.
    pub new_customer: bool,
}

impl Weather {
    /// Where a call goes now.
    pub fn redirect(&self, op: Op) -> Op {
        if !self.migrated || op.service != Service::DynamoDb {
            return op;
        }
        Op { target: moved(op.target), ..op }
    }

    /// What an answer weighs now.
    pub fn swell(&self, size: Size) -> Size {
        if self.rows > 1 && size.rows > 1 { Size::rows(size.rows * self.rows) } else { size }
    }
}

/// Where tables move to.
fn moved(table: &'static str) -> &'static str {
    match table {
        "bookings" => "bookings-v2",
        "loyalty" => "loyalty-v2",
        "flights" => "flights-v2",
        "vod-assets" => "vod-assets-v2",
        "shop-orders" => "shop-orders-v2",
        other => other,
    }
}

/// A release of a function: its `faas.version` counts up, its instances start anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Release {
    /// Added to the version the function had at first.
    pub version: u32,
    /// It does something more.
    pub feature: bool,
    /// Built with the newer OpenTelemetry SDK.
    pub newer_sdk: bool,
    /// Built with the one that renames everything.
    pub renamed_sdk: bool,
    /// Counts waves of new instances.
    pub wave: u32,
}

/// When what happens.
#[derive(Clone, Debug, Default)]
pub struct Calendar {
    disturbances: Vec<Disturbance>,
}

impl Calendar {
    /// The demo's: two outages, a crowd, a deploy and an SDK upgrade, each at its fraction of `days`, at an hour people
    /// work or travel.
    pub fn demo(start: Nanos, days: u32) -> Self {
        let put = |id, kind, fraction: f64, (hour, minute): (u64, u64), minutes: u64| {
            let from = start + (f64::from(days) * fraction) as u64 * DAY + hour * HOUR + minute * MINUTE;
            Disturbance { benign: Benign { id, from, to: from + minutes * MINUTE }, kind, application: None }
        };
        let newer = Kind::NewerSdk(&["search-flights", "get-loyalty"]);
        let mut calendar = Self {
            disturbances: vec![
                put("dynamodb-throttling-1", Kind::Throttling(0.25), 0.30, (14, 10), 12),
                put("dynamodb-throttling-2", Kind::Throttling(0.25), 0.55, (9, 40), 8),
                put("flash-crowd", Kind::Crowd(10.0), 0.45, (18, 20), 40),
                put("deploy-confirm-booking", Kind::Deploy("confirm-booking", true), 0.65, (10, 30), 360),
                put("sdk-upgrade", newer, 0.80, (11, 0), 360),
            ],
        };
        calendar.sort();
        calendar
    }

    /// Weeks as they are: now and then a deploy, a short outage, a crowd. All chance is `rng`'s.
    pub fn everyday(applications: &[&'static Application], start: Nanos, days: u32, rng: &mut Rng) -> Self {
        let mut calendar = Self::default();
        for application in applications {
            for day in 0..u64::from(days) {
                let mut put = |rng: &mut Rng, id, kind, minutes: u64| {
                    let from = start + day * DAY + (8 + rng.below(12)) * HOUR + rng.below(HOUR);
                    let benign = Benign { id, from, to: from + minutes * MINUTE };
                    calendar.disturbances.push(Disturbance { benign, kind, application: Some(application.name) });
                };
                if rng.chance(0.25) {
                    let which = rng.below(application.functions.len() as u64) as usize;
                    if let Some(spec) = application.functions.get(which) {
                        let feature = rng.chance(0.3);
                        put(rng, "everyday-deploy", Kind::Deploy(spec.name, feature), 360);
                    }
                }
                if rng.chance(0.1) {
                    let minutes = 4 + rng.below(12);
                    put(rng, "everyday-throttling", Kind::Throttling(0.25), minutes);
                }
                if rng.chance(0.1) {
                    let (times, minutes) = (2.0 + 8.0 * rng.unit(), 15 + rng.below(60));
                    put(rng, "everyday-crowd", Kind::Crowd(times), minutes);
                }
                if rng.chance(0.07) {
                    let minutes = 2 + rng.below(20);
                    put(rng, "everyday-timeouts", Kind::Unreachable(0.3, 2.0), minutes);
                }
            }
        }
        calendar.sort();
        calendar
    }

    /// Adds what is to come.
    pub fn add(&mut self, disturbances: impl IntoIterator<Item = Disturbance>) {
        self.disturbances.extend(disturbances);
        self.sort();
    }

    fn sort(&mut self) {
        self.disturbances.sort_by_key(|disturbance| disturbance.benign.from);
    }

    /// Everything, in order of time.
    pub fn list(&self) -> Vec<Benign> {
        self.disturbances.iter().map(|disturbance| disturbance.benign).collect()
    }

    fn at(&self, application: &str, at: Nanos) -> impl Iterator<Item = Kind> {
        let concerns = move |disturbance: &&Disturbance| {
            let Benign { from, to, .. } = disturbance.benign;
            (from..to).contains(&at) && disturbance.concerns(application)
        };
        self.disturbances.iter().take_while(move |disturbance| disturbance.benign.from <= at).filter(concerns).map(of)
    }

    /// What is true from its beginning on, however long it is called news.
    fn since(&self, application: &str, at: Nanos) -> impl Iterator<Item = Kind> {
        let begun = self.disturbances.iter().take_while(move |disturbance| disturbance.benign.from <= at);
        begun.filter(move |disturbance| disturbance.concerns(application)).map(of)
    }

    /// What begins within this time: when, for which application, what.
    pub fn between(&self, from: Nanos, to: Nanos) -> Vec<(Nanos, Option<&'static str>, Kind)> {
        let within = self.disturbances.iter().filter(|disturbance| (from..to).contains(&disturbance.benign.from));
        within.map(|disturbance| (disturbance.benign.from, disturbance.application, disturbance.kind)).collect()
    }

    /// What an invocation of `application` at `at` finds.
    pub fn weather(&self, application: &str, at: Nanos, rng: &mut Rng) -> Weather {
        let mut weather = Weather { slow: 1.0, ..Weather::default() };
        for kind in self.at(application, at) {
            match kind {
                Kind::Throttling(share) => weather.throttled = weather.throttled.max(share),
                Kind::Unreachable(share, slower) => {
                    weather.unreachable = weather.unreachable.max(share);
                    weather.slow = weather.slow.max(slower);
                }
                Kind::Failover => weather.elsewhere = true,
                Kind::Flag => weather.flag = rng.chance(0.3),
                Kind::Migration => weather.migrated = true,
                Kind::MonthEnd(rows) => weather.rows = rows,
                Kind::DebugLogs => weather.debug_logs = true,
                Kind::NewCustomer => weather.new_customer = rng.chance(0.1),
                _ => {}
            }
        }
        weather
    }

    /// Traffic as a multiple of what is usual.
    pub fn crowd(&self, application: &str, at: Nanos) -> f64 {
        let crowds = self.at(application, at).map(|kind| if let Kind::Crowd(times) = kind { times } else { 1.0 });
        crowds.fold(1.0, |most, times| if times < 1.0 { most * times } else { most.max(times) })
    }

    /// Whether the newcomer is deployed.
    pub fn has_newcomer(&self, application: &str, at: Nanos) -> bool {
        self.since(application, at).any(|kind| kind == Kind::Newcomer)
    }

    /// The share of traces that is sent, how far clocks may be off, and whether posts come late and twice.
    pub fn transport(&self, application: &str, at: Nanos) -> (f64, u64, bool) {
        let (mut sampled, mut skew, mut late) = (1.0, 0, false);
        for kind in self.at(application, at) {
            match kind {
                Kind::Sampling(share) => sampled = share,
                Kind::Skew(seconds) => skew = seconds,
                Kind::LateAndTwice => late = true,
                _ => {}
            }
        }
        (sampled, skew, late)
    }

    /// Which release of a function runs.
    pub fn release(&self, application: &str, function: &str, at: Nanos) -> Release {
        let mut release = Release::default();
        for kind in self.since(application, at) {
            match kind {
                Kind::Deploy(name, feature) if name == function => {
                    release.version += 1;
                    release.feature |= feature;
                }
                Kind::NewerSdk(functions) if functions.contains(&function) => {
                    release.version += 1;
                    release.newer_sdk = true;
                }
                Kind::RenamedSdk => {
                    release.version += 1;
                    release.renamed_sdk = true;
                }
                Kind::ColdWave => release.wave += 1,
                _ => {}
            }
        }
        release
    }
}

impl Disturbance {
    fn concerns(&self, application: &str) -> bool {
        self.application.is_none_or(|name| name == application)
    }
}

const fn of(disturbance: &Disturbance) -> Kind {
    disturbance.kind
}
