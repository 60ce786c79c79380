//! Sekisho: a gateway for serverless telemetry that notices when a function stops being itself.
//!
//! It **is** an OpenTelemetry-Collector-style pipeline (receivers → processors → exporters, YAML) which learns what
//! each function normally does, annotates spans and logs with what it thinks, forwards them, and raises few,
//! explained alerts. It is **not** an agent, a store, or a threshold to tune: the user sets one number, the false
//! pages a week they accept.
//!
//! The house, top floor first; a floor uses only the floors below it:
//!
//! | floor | rooms |
//! |---|---|
//! | commands | [`commands`] (run, validate, components, print-config, replay, report, audit, demo), [`testbed`] |
//! | table | [`registry`]: type name → component; [`service`]: a valid config → running pipelines |
//! | components | [`receivers`], [`processors`], [`connectors`], [`exporters`], [`extensions`] |
//! | the wire | [`transport`]: TLS, addresses, who may come in |
//! | flow and meaning | [`pipeline`], [`faas`], [`incidents`], [`ottl`], [`config`], [`telemetry`], [`pattern`] |
//! | currency, model, disk | [`otlp`], [`detect`], [`store`] |

// In tests the shortest form says most: exact floats, small casts, arrays as they come.
#![cfg_attr(
    test,
    allow(
        clippy::float_cmp,
        clippy::cast_possible_wrap,
        clippy::unnecessary_wraps,
        clippy::large_stack_arrays,
        clippy::type_complexity,
        clippy::similar_names
    )
)]

pub mod commands;
pub mod config;
pub mod connectors;
pub mod console;
pub mod detect;
pub mod exporters;
pub mod extensions;
pub mod faas;
pub mod incidents;
pub mod otlp;
pub mod ottl;
pub mod pattern;
pub mod pipeline;
pub mod processors;
pub mod receivers;
pub mod registry;
pub mod service;
pub mod store;
pub mod telemetry;
pub mod testbed;
pub mod transport;
