//! `keepalive` of a gRPC server, with the Collector's keys.

use std::time::Duration;

use serde::Deserialize;

use crate::{
    config::{Check, Report, Toggle},
    pipeline::{lifetime::Lifetime, pings::Policy},
};

/// The configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// When connections are asked whether they are alive, and ended.
    pub server_parameters: Parameters,
    /// How often clients may ping. Unlike with gRPC's own servers, as often as they like if not said.
    pub enforcement_policy: Toggle<Enforcement>,
}

/// When a client that asks whether we are alive is sent away.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Enforcement {
    /// Pings sooner after the last one are too soon.
    #[serde(with = "crate::config::duration")]
    pub min_time: Duration,
    /// Whether clients may ping while they have no request.
    pub permit_without_stream: bool,
}

impl Default for Enforcement {
    fn default() -> Self {
        Self { min_time: Duration::from_mins(5), permit_without_stream: false }
    }
}

/// Zero means gRPC's own default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Parameters {
    /// A connection without requests for so long is ended; 0: never.
    #[serde(with = "crate::config::duration")]
    pub max_connection_idle: Duration,
    /// A connection is ended, after its requests, when it is so old, give or take a tenth; 0: never.
    #[serde(with = "crate::config::duration")]
    pub max_connection_age: Duration,
    /// How long its requests may take then; 0: as long as they take.
    #[serde(with = "crate::config::duration")]
    pub max_connection_age_grace: Duration,
    /// After so long without a word from the other end it is asked whether it is there; 0: two hours.
    #[serde(with = "crate::config::duration")]
    pub time: Duration,
    /// How long it may take to answer; 0: twenty seconds.
    #[serde(with = "crate::config::duration")]
    pub timeout: Duration,
}

impl Check for Config {
    fn check(&self, report: &mut Report<'_>) {
        let Parameters { max_connection_age, max_connection_age_grace, time, .. } = self.server_parameters;
        if !max_connection_age_grace.is_zero() && max_connection_age.is_zero() {
            report.error("server_parameters.max_connection_age_grace", "does nothing without max_connection_age");
        }
        // gRPC's own floor.
        if !time.is_zero() && time < Duration::from_secs(1) {
            report.error("server_parameters.time", "must be at least 1s");
        }
    }
}

impl Config {
    /// How often clients may ping.
    pub fn pings(&self) -> Option<Policy> {
        let Enforcement { min_time, permit_without_stream } = self.enforcement_policy.as_option()?.clone();
        Some(Policy { min_time, permit_without_stream })
    }

    /// How long connections live.
    pub fn lifetime(&self) -> Lifetime {
        const ASK_AFTER: Duration = Duration::from_hours(2);
        const ANSWER_WITHIN: Duration = Duration::from_secs(20);
        let set = |value: Duration| (!value.is_zero()).then_some(value);
        let Parameters { max_connection_idle, max_connection_age, max_connection_age_grace, time, timeout } =
            self.server_parameters;
        Lifetime {
            idle: set(max_connection_idle),
            age: set(max_connection_age),
            grace: set(max_connection_age_grace),
            ask: Some((set(time).unwrap_or(ASK_AFTER), set(timeout).unwrap_or(ANSWER_WITHIN))),
        }
    }
}
