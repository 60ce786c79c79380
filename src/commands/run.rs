//! `sekisho run`: the gateway until SIGTERM or SIGINT; SIGHUP re-reads the configuration.

use tokio::signal::unix::{SignalKind, signal};

use super::{Failure, Sources, base, log_warnings, runtime, start_logs};
use crate::service::Service;

/// Runs the gateway.
pub fn run(sources: &Sources) -> Result<(), Failure> {
    let (plan, problems) = sources.load()?;
    let runtime = runtime()?;
    let own_telemetry = start_logs(&plan, &runtime)?;
    log_warnings(&problems);
    let done = runtime.block_on(async {
        let failed = |error: std::io::Error| Failure::Work(format!("cannot listen for signals: {error}"));
        let mut hangup = signal(SignalKind::hangup()).map_err(failed)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let mut service = Service::start(plan, base()).await.map_err(|error| Failure::Work(error.to_string()))?;
        loop {
            tokio::select! {
                _ = hangup.recv() => reload(&mut service, sources).await,
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
            }
        }
        service.stop().await;
        Ok(())
    });
    own_telemetry.stop();
    done
}

/// A bad configuration changes nothing.
async fn reload(service: &mut Service, sources: &Sources) {
    match sources.load() {
        Err(failure) => tracing::warn!(reason = %failure, "configuration not reloaded, running on with the old one"),
        Ok((plan, problems)) => {
            log_warnings(&problems);
            match service.reload(plan).await {
                Ok(()) => tracing::info!("configuration reloaded"),
                Err(error) => tracing::warn!(%error, "configuration not reloaded, running on with the old one"),
            }
        }
    }
}
