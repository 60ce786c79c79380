//! The gateway's own metrics and logs. Stands on nothing of ours, so that everything may use it.

mod logs;
mod metrics;
mod process;

pub use logs::start_logs;
pub use metrics::{Counter, Gauge, Metrics};
pub use process::refresh as refresh_process;
