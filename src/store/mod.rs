//! The embedded store: keys and values in one file on disk, opened by one process at a time.
//!
//! A file that is damaged is set aside as `<name>.damaged-<n>` and a new one begun: what was stored is lost, but a
//! gateway that does not start costs telemetry. After a write that failed, on a full disk say, the file is opened anew
//! before it is used again. Stands on nothing of ours.

mod file;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition, TableError};

pub use file::{OpenError, Opened, begin_anew, open};

/// The store's file in its directory.
pub const FILE: &str = "sekisho.redb";

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("the store failed: {0}")]
pub struct StoreError(#[source] redb::Error);

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
    directory: PathBuf,
    /// For the log.
    component: String,
    /// `None` after a failure, until it is opened anew.
    database: RwLock<Option<Database>>,
}

impl Store {
    /// Opens the store in `directory`, or begins one.
    pub fn open(directory: &Path, create: bool, component: &str) -> Result<Self, OpenError> {
        if !directory.is_dir() {
            if !create {
                return Err(OpenError::NoDirectory(directory.to_owned()));
            }
            let failed = |error| OpenError::Io { path: directory.to_owned(), error };
            std::fs::create_dir_all(directory).map_err(failed)?;
        }
        let database = open_and_say(directory, component)?;
        let database = RwLock::new(Some(database));
        Ok(Self { directory: directory.to_owned(), component: component.to_owned(), database })
    }

    /// Where its file is; others may keep theirs beside it.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

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
        self.with(|database| {
            let transaction = database.begin_read()?;
            match transaction.open_table(table(namespace)) {
                Ok(table) => Ok(table.get(key)?.map(|value| value.value().to_vec())),
                Err(TableError::TableDoesNotExist(_)) => Ok(None),
                Err(error) => Err(error.into()),
            }
        })
    }

    /// Sets all of `pairs` or, on error, none; on disk on return.
    pub fn put_all(&self, namespace: &str, pairs: &[(String, Vec<u8>)]) -> Result<(), StoreError> {
        self.with(|database| {
            let transaction = database.begin_write()?;
            {
                let mut table = transaction.open_table(table(namespace))?;
                for (key, value) in pairs {
                    table.insert(key.as_str(), value.as_slice())?;
                }
            }
            Ok(transaction.commit()?)
        })
    }

    /// Sets those of `records` that have a value, forgets the others, all or, on error, none; on disk on return.
    pub fn apply(&self, namespace: &str, records: &[(String, Option<Vec<u8>>)]) -> Result<(), StoreError> {
        self.with(|database| {
            let transaction = database.begin_write()?;
            {
                let mut table = transaction.open_table(table(namespace))?;
                for (key, value) in records {
                    match value {
                        Some(value) => table.insert(key.as_str(), value.as_slice())?,
                        None => table.remove(key.as_str())?,
                    };
                }
            }
            Ok(transaction.commit()?)
        })
    }

    /// Forgets `key`. True if there was one.
    pub fn remove(&self, namespace: &str, key: &str) -> Result<bool, StoreError> {
        self.with(|database| {
            let transaction = database.begin_write()?;
            let existed = transaction.open_table(table(namespace))?.remove(key)?.is_some();
            transaction.commit()?;
            Ok(existed)
        })
    }

    /// Shows every key and value of a namespace, in the keys' order, as of one moment.
    pub fn iterate(&self, namespace: &str, mut each: impl FnMut(&str, &[u8])) -> Result<(), StoreError> {
        self.with(|database| {
            let transaction = database.begin_read()?;
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
        })
    }

    /// Does `work` on the open file; after a failure of the disk the next call opens it anew.
    fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut open = self.database.read().unwrap_or_else(PoisonError::into_inner);
        if open.is_none() {
            drop(open);
            self.reopen()?;
            open = self.database.read().unwrap_or_else(PoisonError::into_inner);
        }
        let Some(database) = open.as_ref() else { return Err(StoreError(redb::Error::PreviousIo)) };
        let done = work(database);
        drop(open);
        if matches!(done, Err(StoreError(redb::Error::Io(_) | redb::Error::PreviousIo | redb::Error::Corrupted(_)))) {
            *self.database.write().unwrap_or_else(PoisonError::into_inner) = None;
        }
        done
    }

    fn reopen(&self) -> Result<(), StoreError> {
        let mut open = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if open.is_none() {
            let failed = |error: OpenError| StoreError(redb::Error::Io(io::Error::other(error)));
            *open = Some(open_and_say(&self.directory, &self.component).map_err(failed)?);
        }
        Ok(())
    }
}

fn open_and_say(directory: &Path, component: &str) -> Result<Database, OpenError> {
    let opened = open(&directory.join(FILE))?;
    if let Some((aside, error)) = opened.damaged {
        tracing::warn!(
            component,
            %error,
            aside = %aside.display(),
            "the store is damaged; set it aside and began a new one"
        );
    }
    Ok(opened.database)
}

const fn table(namespace: &str) -> TableDefinition<'_, &'static str, &'static [u8]> {
    TableDefinition::new(namespace)
}

#[cfg(test)]
mod tests;
