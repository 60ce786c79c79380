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
//! does not start costs telemetry. Components find the [`Store`] in the shared things under the extension's id.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use redb::{
    Database, DatabaseError, ReadableDatabase as _, ReadableTable as _, StorageError, TableDefinition, TableError,
};
use serde::Deserialize;
use tokio::time::Instant;

use crate::{
    config::{Check, Report},
    pipeline::{
        Boxed,
        component::{Context, ExtensionConfig, Running, Shared, StartError},
    },
};

const FILE: &str = "sekisho.redb";
/// Damaged files kept aside; after that the last one is replaced.
const MOST_DAMAGED: u32 = 8;
/// How often to look whether another process has let go.
const LOCK_POLL: Duration = Duration::from_millis(50);
/// Pages kept in memory; what is stored is read once at the start and written now and then.
const CACHE_BYTES: usize = 8 << 20;

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
            let opened = tokio::task::spawn_blocking(move || open(&directory, create, &component)).await;
            match opened.map_err(|error| context.error(format!("cannot open the store: {error}")))? {
                Ok(store) => return Ok(store),
                Err(OpenError::InUse) if Instant::now() < deadline => tokio::time::sleep(LOCK_POLL).await,
                Err(error) => return Err(context.error(error.to_string())),
            }
        }
    }
}

/// Why the store could not be opened.
#[derive(Debug, thiserror::Error)]
enum OpenError {
    #[error("another process, or another file_storage, uses the same directory")]
    InUse,
    #[error("the directory {0} does not exist; create it, or set create_directory: true")]
    NoDirectory(PathBuf),
    #[error("cannot use {path}: {error}")]
    Io { path: PathBuf, error: io::Error },
    #[error("cannot open {path}: {error}")]
    Database { path: PathBuf, error: DatabaseError },
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

fn open(directory: &Path, create: bool, component: &str) -> Result<Store, OpenError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |error| OpenError::Io { path, error }
    };
    if !directory.is_dir() {
        if !create {
            return Err(OpenError::NoDirectory(directory.to_owned()));
        }
        fs::create_dir_all(directory).map_err(io(directory))?;
    }
    let path = directory.join(FILE);
    let error = match open_file(&path) {
        Ok(database) => return Ok(Store { database }),
        Err(error) => error,
    };
    if matches!(error, DatabaseError::DatabaseAlreadyOpen) {
        return Err(OpenError::InUse);
    }
    if !is_damage(&error) {
        return Err(OpenError::Database { path, error });
    }
    let aside = (0..MOST_DAMAGED).map(|n| directory.join(format!("{FILE}.damaged-{n}")));
    let aside = aside.reduce(|kept, next| if kept.exists() { next } else { kept }).unwrap_or_default();
    fs::rename(&path, &aside).map_err(io(&path))?;
    tracing::warn!(component, %error, aside = %aside.display(), "the store is damaged; set it aside and began a new one");
    let database = open_file(&path).map_err(|error| OpenError::Database { path, error })?;
    Ok(Store { database })
}

fn open_file(path: &Path) -> Result<Database, DatabaseError> {
    let open = || Database::builder().set_cache_size(CACHE_BYTES).create(path);
    // Some damage trips the database's own assertions before it is reported as an error.
    std::panic::catch_unwind(open)
        .unwrap_or_else(|_| Err(StorageError::Corrupted("the database panicked while opening it".to_owned()).into()))
}

/// Errors that a new file would not have; a full disk or missing permission would stay.
fn is_damage(error: &DatabaseError) -> bool {
    match error {
        DatabaseError::RepairAborted
        | DatabaseError::UpgradeRequired(_)
        | DatabaseError::Storage(StorageError::Corrupted(_)) => true,
        DatabaseError::Storage(StorageError::Io(error)) => {
            matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
        }
        _ => false,
    }
}

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("the store failed: {0}")]
pub struct StoreError(redb::Error);

impl<E: Into<redb::Error>> From<E> for StoreError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

/// Keys and values in namespaces, on disk.
///
/// Every method reads or writes the disk: from async code go through [`Store::run`], which also turns a panic of the
/// database over damage it meets late into an error.
pub struct Store {
    database: Database,
}

impl Store {
    /// Has `work` done on a thread that may block.
    pub async fn run<T, F>(self: &Arc<Self>, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Self) -> Result<T, StoreError> + Send + 'static,
    {
        let store = Arc::clone(self);
        match tokio::task::spawn_blocking(move || work(&store)).await {
            Ok(done) => done,
            Err(error) => Err(StoreError(redb::Error::Io(io::Error::other(error)))),
        }
    }

    /// The value of `key`, if it has one.
    pub fn get(&self, namespace: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let transaction = self.database.begin_read()?;
        match transaction.open_table(table(namespace)) {
            Ok(table) => Ok(table.get(key)?.map(|value| value.value().to_vec())),
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Sets all of `pairs` or, on error, none; on disk on return.
    pub fn put_all(&self, namespace: &str, pairs: &[(String, Vec<u8>)]) -> Result<(), StoreError> {
        let transaction = self.database.begin_write()?;
        {
            let mut table = transaction.open_table(table(namespace))?;
            for (key, value) in pairs {
                table.insert(key.as_str(), value.as_slice())?;
            }
        }
        Ok(transaction.commit()?)
    }

    /// Forgets `key`. True if there was one.
    pub fn remove(&self, namespace: &str, key: &str) -> Result<bool, StoreError> {
        let transaction = self.database.begin_write()?;
        let existed = transaction.open_table(table(namespace))?.remove(key)?.is_some();
        transaction.commit()?;
        Ok(existed)
    }

    /// Shows every key and value of a namespace, in the keys' order, as of one moment.
    pub fn iterate(&self, namespace: &str, mut each: impl FnMut(&str, &[u8])) -> Result<(), StoreError> {
        let transaction = self.database.begin_read()?;
        let table = match transaction.open_table(table(namespace)) {
            Ok(table) => table,
            Err(TableError::TableDoesNotExist(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        for pair in table.iter()? {
            let (key, value) = pair?;
            each(key.value(), value.value());
        }
        Ok(())
    }
}

const fn table(namespace: &str) -> TableDefinition<'_, &'static str, &'static [u8]> {
    TableDefinition::new(namespace)
}

#[cfg(test)]
mod tests;
