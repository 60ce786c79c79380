//! The applications of the testbed, each described the same way.

pub mod airline;
pub mod shop;
pub mod video;

use super::application::{Application, Op, Spec, Trigger};
use super::invocation::{Failure, Run};

/// All of them. The last is set aside for final evaluations: see [`HELD_OUT`].
pub const ALL: &[&Application] = &[&airline::AIRLINE, &video::VIDEO, &shop::SHOP];
/// Those a detector may be designed on.
pub const DEVELOPMENT: &[&Application] = &[&airline::AIRLINE, &video::VIDEO];
/// The application nobody looks at while designing a detector.
pub const HELD_OUT: &Application = &shop::SHOP;

const fn http(method: &'static str, route: &'static str) -> Trigger {
    Trigger::Http { method, route }
}

/// Everything about a function but what it does.
const fn spec(
    (name, trigger): (&'static str, Trigger),
    (memory, init_ms): (u64, f64),
    (logger, version): (&'static str, u32),
    handle: fn(&mut Run<'_>) -> Result<(), Failure>,
    next: Op,
) -> Spec {
    Spec { name, trigger, memory, init_ms, logger, version, handle, next }
}
