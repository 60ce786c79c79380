//! What listening and sending components have in common on the wire: addresses, TLS, who may come in, browsers' rules.
//!
//! The structs here are parts of components' configurations, with the Collector's keys. Files they name are read again
//! when they change, and what runs keeps running: only new connections see the new certificates.

pub mod address;
pub mod auth;
pub mod cors;
pub mod dial;
pub mod keepalive;
pub mod reloading;
pub mod tls;
