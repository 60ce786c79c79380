//! The parts of `sekisho demo` that judge and show.

pub mod alert;
pub mod report;
pub mod score;
pub mod screen;
