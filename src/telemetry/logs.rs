//! Structured logs on stderr: WARN means degraded and nothing lost, ERROR means data lost.

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// Starts logging at `level` (`debug`, `info`, …), as JSON lines or for people; a second call in one process changes
/// nothing.
pub fn start_logs(level: &str, json: bool) {
    // Libraries speak up only when something is wrong; their debug output is nobody's but their authors'.
    let filter = EnvFilter::new(format!("{level},h2=warn,hyper=warn,tonic=warn,reqwest=warn,rustls=warn"));
    let registry = tracing_subscriber::registry().with(filter);
    let _ = if json {
        registry.with(fmt::layer().json().flatten_event(true).with_writer(std::io::stderr)).try_init()
    } else {
        registry.with(fmt::layer().with_writer(std::io::stderr).with_target(false)).try_init()
    };
}
