//! What changes without anybody meaning harm: two partial outages, a flash crowd, two deploys.

use super::{application::Function, truth::Benign};
use crate::detect::observation::Nanos;

/// Nanoseconds in a minute.
pub const MINUTE: Nanos = 60_000_000_000;
/// Nanoseconds in an hour.
pub const HOUR: Nanos = 60 * MINUTE;
/// Nanoseconds in a day.
pub const DAY: Nanos = 24 * HOUR;

/// How many times the usual traffic a flash crowd brings.
const CROWD: f64 = 10.0;

/// When what happens.
#[derive(Clone, Copy, Debug)]
pub struct Calendar {
    outages: [Benign; 2],
    crowd: Benign,
    rebooked: Benign,
    upgraded: Benign,
}

/// A release of a function: its `faas.version` counts up, its instances start anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Release {
    /// Added to the version the function had at first.
    pub version: u32,
    /// Built with the newer OpenTelemetry SDK.
    pub newer_sdk: bool,
}

impl Calendar {
    /// Puts everything at its fraction of `days`, at an hour people work or travel.
    pub fn new(start: Nanos, days: u32) -> Self {
        let window = |id, fraction: f64, hour: u64, minute: u64, minutes: u64| {
            let from = start + (f64::from(days) * fraction) as u64 * DAY + hour * HOUR + minute * MINUTE;
            Benign { id, from, to: from + minutes * MINUTE }
        };
        Self {
            outages: [
                window("dynamodb-throttling-1", 0.30, 14, 10, 12),
                window("dynamodb-throttling-2", 0.55, 9, 40, 8),
            ],
            crowd: window("flash-crowd", 0.45, 18, 20, 40),
            rebooked: window("deploy-confirm-booking", 0.65, 10, 30, 360),
            upgraded: window("sdk-upgrade", 0.80, 11, 0, 360),
        }
    }

    /// Everything, in order of time.
    pub fn list(&self) -> Vec<Benign> {
        let mut list = vec![self.crowd, self.rebooked, self.upgraded];
        list.extend(self.outages);
        list.sort_by_key(|benign| benign.from);
        list
    }

    /// Whether DynamoDB refuses part of its calls.
    pub fn throttled(&self, at: Nanos) -> bool {
        self.outages.iter().any(|outage| holds(outage, at))
    }

    /// Traffic as a multiple of what is usual.
    pub fn crowd(&self, at: Nanos) -> f64 {
        if holds(&self.crowd, at) { CROWD } else { 1.0 }
    }

    /// Whether confirm-booking looks up fare rules, which its new version does.
    pub fn reads_fare_rules(&self, at: Nanos) -> bool {
        at >= self.rebooked.from
    }

    /// Which release of a function runs.
    pub fn release(&self, function: Function, at: Nanos) -> Release {
        let newer_sdk = matches!(function, Function::SearchFlights | Function::GetLoyalty) && at >= self.upgraded.from;
        let rebooked = function == Function::ConfirmBooking && self.reads_fare_rules(at);
        Release { version: u32::from(newer_sdk || rebooked), newer_sdk }
    }
}

fn holds(benign: &Benign, at: Nanos) -> bool {
    (benign.from..benign.to).contains(&at)
}
