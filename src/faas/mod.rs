//! From any vendor's telemetry to one vocabulary: who ran, what it touched, in what order, how much.
//!
//! [`assembler::Assembler`] reads requests of every signal and tells what it saw of each invocation as a
//! [`detect::observation::Observation`](crate::detect::observation::Observation). Beside spans and log lines of functions
//! it knows reports of the [`platform`], records of called services ([`cloudtrail`]) and sums over a minute
//! ([`cloudwatch`]), and joins them with what the functions say themselves. On the way [`names`] recognises attributes,
//! [`identity`] says whose they are, [`template`], [`destination`] and [`statement`] take the ids out, [`keys`] turns a
//! span into typed keys and [`verbs`] weighs them, [`intern`] remembers the result; [`coverage`] says what of an attack
//! such telemetry would show.
//!
//! Everything is bounded, everything tolerates any bytes, and no name is ever built twice for the same telemetry.

pub mod assembler;
pub mod cloudtrail;
pub mod cloudwatch;
pub mod coverage;
pub mod destination;
pub mod identity;
pub mod intern;
pub mod keys;
pub mod names;
pub mod platform;
pub mod statement;
pub mod template;
pub mod verbs;
