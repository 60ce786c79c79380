//! `sekisho run`: the gateway until SIGTERM or SIGINT; SIGHUP, or with `--watch` a changed file, re-reads the
//! configuration.

use std::time::Duration;

use tokio::{
    signal::unix::{SignalKind, signal},
    time::{MissedTickBehavior, interval},
};

use super::{Failure, Sources, base, log_warnings, runtime, start_logs, watch::Watch};
use crate::{service::Service, telemetry::memory};

/// SIGXFSZ, on Linux and the BSDs.
const FILE_TOO_LARGE: i32 = 25;

/// How often freed memory is given back: as long as the allocator keeps it for itself.
const GIVE_BACK: Duration = Duration::from_secs(1);

/// Runs the gateway; `watching`: its files too.
pub fn run(sources: &Sources, watching: bool) -> Result<(), Failure> {
    memory::use_small_pages();
    let (plan, problems) = sources.load()?;
    let runtime = runtime()?;
    let own_telemetry = start_logs(&plan, &runtime)?;
    log_warnings(&problems);
    let done = runtime.block_on(async {
        let failed = |error: std::io::Error| Failure::Work(format!("cannot listen for signals: {error}"));
        let mut hangup = signal(SignalKind::hangup()).map_err(failed)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let mut watch = if watching { Some(Watch::new(sources, &plan).await) } else { None };
        // Listened to, a file that must not grow is a full disk to those who write it, and not the end.
        let _too_large = signal(SignalKind::from_raw(FILE_TOO_LARGE)).map_err(failed)?;
        let mut service = Service::start(plan, base()).await.map_err(|error| Failure::Work(error.to_string()))?;
        let mut give_back = interval(GIVE_BACK);
        give_back.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                _ = give_back.tick() => memory::give_back_freed(),
                _ = hangup.recv() => reload(&mut service, sources, watch.as_mut()).await,
                () = changed(watch.as_mut()) => reload(&mut service, sources, watch.as_mut()).await,
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

/// Waits for a changed file; for ever if none is watched.
async fn changed(watch: Option<&mut Watch>) {
    match watch {
        Some(watch) => watch.changed().await,
        None => std::future::pending().await,
    }
}

/// A bad configuration changes nothing.
async fn reload(service: &mut Service, sources: &Sources, watch: Option<&mut Watch>) {
    match sources.load() {
        Err(failure) => tracing::warn!(reason = %failure, "configuration not reloaded, running on with the old one"),
        Ok((plan, problems)) => {
            log_warnings(&problems);
            if let Some(watch) = watch {
                watch.also(&plan).await;
            }
            match service.reload(plan).await {
                Ok(()) => tracing::info!("configuration reloaded"),
                Err(error) => tracing::warn!(%error, "configuration not reloaded, running on with the old one"),
            }
        }
    }
}
