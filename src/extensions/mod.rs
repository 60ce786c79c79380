//! What serves the process rather than the telemetry: one component, one file.

pub mod basicauth;
pub mod bearertokenauth;
pub mod console;
pub mod file_storage;
pub mod headers_setter;
pub mod health_check;
pub mod pprof;
pub mod zpages;

mod serve;

use crate::pipeline::{Boxed, component::Running};

/// An extension that only offers something: there is nothing to stop.
struct Nothing;

impl Running for Nothing {
    fn stop(&self) -> Boxed<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// Compares secrets in a time that tells only their length.
fn same(a: &[u8], b: &[u8]) -> bool {
    let difference = a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b));
    a.len() == b.len() && std::hint::black_box(difference) == 0
}
