//! An embedded store for state that survives restarts.
//!
//! ```yaml
//! file_storage:
//!   directory: /var/lib/sekisho
//!   create_directory: true
//!   timeout: 1s               # how long to wait for another process to let go of the store
//! ```
//!
//! One file, `sekisho.redb`, opened by one process at a time. Every [`Store::put_all`] is one transaction, on disk when it
//! returns; after a crash the last one that returned is what is found. A file that is damaged is set aside as
//! `sekisho.redb.damaged-<n>`, with a warning, and a new one is begun: lost state costs learning time, a gateway that
//! does not start costs telemetry. Components find the [`Store`] in the shared things under the extension's id. Sending
//! queues that name it keep files of their own beside it.

use std::{path::PathBuf, sync::Arc, time::Duration};

use serde::Deserialize;
use tokio::time::Instant;

use crate::{
    config::{Check, Report},
    pipeline::{
        Boxed,
        component::{Context, ExtensionConfig, Running, Shared, StartError},
    },
    store::{OpenError, Store},
};

/// How often to look whether another process has let go.
const LOCK_POLL: Duration = Duration::from_millis(50);

/// The configuration; the keys are the Collector's.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the file is; relative to the working directory.
    pub directory: PathBuf,
    /// Whether to create the directory if it is missing.
    pub create_directory: bool,
    /// How long to wait for another process to let go of the file.
    #[serde(with = "crate::config::duration")]
    pub timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { directory: PathBuf::from("/var/lib/sekisho"), create_directory: true, timeout: Duration::from_secs(1) }
    }
}

impl Check for Config {
    fn check(&self, report: &mut Report<'_>) {
        if self.directory.as_os_str().is_empty() {
            report.error("directory", "must not be empty");
        }
    }
}

impl ExtensionConfig for Config {
    fn reloads(&self) -> bool {
        false
    }

    fn start<'a>(&'a self, context: &'a Context) -> Boxed<'a, Result<Box<dyn Running>, StartError>> {
        Box::pin(async move {
            let store = Arc::new(self.open(context).await?);
            context.shared.put(&context.id, store);
            let open = Open { shared: context.shared.clone(), id: context.id.clone() };
            Ok(Box::new(open) as Box<dyn Running>)
        })
    }
}

impl Config {
    async fn open(&self, context: &Context) -> Result<Store, StartError> {
        let directory = context.base.join(&self.directory);
        let deadline = Instant::now() + self.timeout;
        loop {
            let (directory, create) = (directory.clone(), self.create_directory);
            let component = context.component.clone();
            let opened = tokio::task::spawn_blocking(move || Store::open(&directory, create, &component)).await;
            match opened.map_err(|error| context.error(format!("cannot open the store: {error}")))? {
                Ok(store) => return Ok(store),
                Err(OpenError::InUse) if Instant::now() < deadline => tokio::time::sleep(LOCK_POLL).await,
                Err(error) => return Err(context.error(error.to_string())),
            }
        }
    }
}

/// The extension while it runs: takes the store out of the shared things at the end. Whoever still holds it keeps the
/// file open until done.
struct Open {
    shared: Shared,
    id: String,
}

impl Running for Open {
    fn stop(&self) -> Boxed<'_, ()> {
        self.shared.remove(&self.id);
        Box::pin(std::future::ready(()))
    }
}

#[cfg(test)]
mod tests;
