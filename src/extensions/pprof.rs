//! `pprof` extension: where the gateway's CPU time goes, in the form that `go tool pprof` and its kin read.
//!
//! ```yaml
//! pprof:
//!   endpoint: localhost:1777
//!   save_to_file: ""            # a profile of the whole life of the process, written when it ends
//! ```
//!
//! `GET /debug/pprof/profile?seconds=30` samples all threads 100 times a second of CPU time and answers with the profile.
//! One profile can be taken at a time: with `save_to_file` there is no other. While none is taken it costs nothing. The
//! process has no block, mutex or heap profile: their keys can only be 0, and their paths say so.

mod encode;

use std::{
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use axum::{
    Router,
    extract::RawQuery,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use pprof::{ProfilerGuard, ProfilerGuardBuilder};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::serve::{Serving, serve};
use crate::{
    config::{Check, Endpoint, Report},
    otlp::compression::{Encoding, compress},
    pipeline::{
        Boxed,
        component::{Context, ExtensionConfig, Running, StartError},
    },
};

/// Samples a second of CPU time; what every reader of profiles expects.
const FREQUENCY: i32 = 100;
/// Where unwinding could wait for what the interrupted code holds.
const NOT_INTERRUPTED: [&str; 4] = ["libc", "libgcc", "pthread", "vdso"];
/// Longest profile over HTTP.
const LONGEST: u64 = 300;
const INDEX: &str = "<!doctype html><title>pprof</title><h1>/debug/pprof/</h1>\
    <p><a href=\"profile?seconds=30\">profile</a>: CPU, for <code>?seconds=</code> (30 unless said, 300 at most)</p>";

/// The configuration; keys and defaults are the Collector's.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where to listen.
    pub endpoint: Endpoint,
    /// Where to write a profile of the whole life of the process; empty for nowhere.
    pub save_to_file: PathBuf,
    /// Only 0: there is no profile of blocking.
    pub block_profile_fraction: i64,
    /// Only 0: there is no profile of locks.
    pub mutex_profile_fraction: i64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            endpoint: Endpoint::localhost(1777),
            save_to_file: PathBuf::new(),
            block_profile_fraction: 0,
            mutex_profile_fraction: 0,
        }
    }
}

impl Check for Config {
    fn check(&self, report: &mut Report<'_>) {
        for (key, value) in [
            ("block_profile_fraction", self.block_profile_fraction),
            ("mutex_profile_fraction", self.mutex_profile_fraction),
        ] {
            if value != 0 {
                report.error(key, "can only be 0: such a profile does not exist here").hint("leave it out");
            }
        }
    }
}

impl ExtensionConfig for Config {
    fn start<'a>(&'a self, context: &'a Context) -> Boxed<'a, Result<Box<dyn Running>, StartError>> {
        Box::pin(async move { Ok(Box::new(self.listen(context).await?) as Box<dyn Running>) })
    }
}

impl Config {
    async fn listen(&self, context: &Context) -> Result<Profiling, StartError> {
        let saving = if self.save_to_file.as_os_str().is_empty() {
            None
        } else {
            let path = context.base.join(&self.save_to_file);
            // Now, not when everything is over.
            std::fs::write(&path, []).map_err(|error| {
                context.error(format!("cannot write {} (save_to_file): {error}", self.save_to_file.display()))
            })?;
            Some(Saving { profile: Profile::begin().map_err(|error| context.error(error.to_string()))?, path })
        };
        let cancel = CancellationToken::new();
        let ending = cancel.clone();
        let index = || async { ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], INDEX) };
        let other = || async { (StatusCode::NOT_FOUND, "only CPU profiles exist: /debug/pprof/profile\n") };
        let asked = move |RawQuery(asked): RawQuery| profile(asked.unwrap_or_default(), ending.clone());
        let router = Router::new()
            .route("/debug/pprof/", get(index))
            .route("/debug/pprof/profile", get(asked))
            .route("/debug/pprof/{kind}", get(other));
        let serving = serve(&self.endpoint, router, cancel, context).await?;
        Ok(Profiling { serving, saving: Mutex::new(saving) })
    }
}

/// Takes a profile, which ends early if the process does.
async fn profile(asked: String, ending: CancellationToken) -> Response {
    let seconds = asked.split('&').find_map(|pair| pair.strip_prefix("seconds=")).unwrap_or("30").parse().unwrap_or(0);
    if !(1..=LONGEST).contains(&seconds) {
        return (StatusCode::BAD_REQUEST, format!("seconds must be between 1 and {LONGEST}\n")).into_response();
    }
    let profile = match Profile::begin() {
        Ok(profile) => profile,
        Err(pprof::Error::Running) => {
            return (StatusCode::CONFLICT, "a profile is being taken already\n").into_response();
        }
        Err(error) => return (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    };
    tokio::select! {
        () = tokio::time::sleep(Duration::from_secs(seconds)) => {}
        () = ending.cancelled() => {}
    }
    // Finding names takes a while.
    match tokio::task::spawn_blocking(move || profile.end()).await {
        Ok(Ok(bytes)) => {
            let headers = [
                (header::CONTENT_TYPE, "application/octet-stream"),
                (header::CONTENT_DISPOSITION, "attachment; filename=\"profile\""),
            ];
            (headers, bytes).into_response()
        }
        Ok(Err(error)) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

/// A profile that is being taken.
struct Profile {
    guard: ProfilerGuard<'static>,
    begun: SystemTime,
}

impl Profile {
    fn begin() -> Result<Self, pprof::Error> {
        let guard = ProfilerGuardBuilder::default().frequency(FREQUENCY).blocklist(&NOT_INTERRUPTED).build()?;
        Ok(Self { guard, begun: SystemTime::now() })
    }

    /// The profile, compressed.
    fn end(self) -> Result<Vec<u8>, pprof::Error> {
        let report = self.guard.report().build()?;
        let took = self.begun.elapsed().unwrap_or_default();
        Ok(compress(Encoding::Gzip, &encode::encode(&report, self.begun, took, FREQUENCY)))
    }
}

struct Saving {
    profile: Profile,
    path: PathBuf,
}

struct Profiling {
    serving: Serving,
    saving: Mutex<Option<Saving>>,
}

impl Running for Profiling {
    fn stop(&self) -> Boxed<'_, ()> {
        let saving = self.saving.lock().unwrap_or_else(PoisonError::into_inner).take();
        Box::pin(async move {
            self.serving.stop().await;
            if let Some(Saving { profile, path }) = saving {
                let save = move || {
                    let saved = profile.end().map_err(|error| error.to_string());
                    let saved = saved.and_then(|bytes| std::fs::write(&path, bytes).map_err(|error| error.to_string()));
                    if let Err(reason) = saved {
                        tracing::warn!(path = %path.display(), reason, "the profile could not be saved");
                    }
                };
                let _ = tokio::task::spawn_blocking(save).await;
            }
        })
    }
}

#[cfg(test)]
mod tests;
