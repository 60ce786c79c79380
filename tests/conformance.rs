//! OTLP 1.11, row by row, in both directions: what a sender hears from us, and what we make of what we hear.
#![allow(
    clippy::unwrap_used,
    clippy::float_cmp,
    clippy::type_complexity,
    clippy::too_many_lines,
    reason = "a test says more by failing where it stands"
)]

mod support;

// The exporters' own tests have the misbehaving destination; it finds `otlp` here as it does there.
#[allow(dead_code, reason = "each side uses a part of it")]
#[path = "../src/exporters/tests/destination.rs"]
mod destination;
use sekisho::otlp;

#[path = "conformance/client.rs"]
mod client;
#[path = "conformance/json.rs"]
mod json;
#[path = "conformance/server.rs"]
mod server;
