//! One database file: opened, or set aside if it is damaged.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use redb::{Database, DatabaseError, StorageError};

/// Damaged files kept aside; after that the last one is replaced.
pub(super) const MOST_DAMAGED: u32 = 8;
/// Pages kept in memory.
const CACHE_BYTES: usize = 8 << 20;

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It can be opened once.
    #[error("another process, or another file_storage, uses the same directory")]
    InUse,
    /// And may not be created.
    #[error("the directory {0} does not exist; create it, or set create_directory: true")]
    NoDirectory(PathBuf),
    /// The system says no.
    #[error("cannot use {path}: {error}")]
    Io {
        /// What it says it of.
        path: PathBuf,
        /// What it says.
        error: io::Error,
    },
    /// The database says no, for a reason a new file would not change.
    #[error("cannot open {path}: {error}")]
    Database {
        /// The file.
        path: PathBuf,
        /// The reason.
        error: DatabaseError,
    },
}

/// An open file.
pub struct Opened {
    /// What is in it.
    pub database: Database,
    /// Where the file that was there before is now, and what was wrong with it.
    pub damaged: Option<(PathBuf, DatabaseError)>,
}

/// Opens the file at `path` or begins one; sets a damaged one aside.
pub fn open(path: &Path) -> Result<Opened, OpenError> {
    let failed = |error| OpenError::Database { path: path.to_owned(), error };
    let error = match open_file(path) {
        Ok(database) => return Ok(Opened { database, damaged: None }),
        Err(DatabaseError::DatabaseAlreadyOpen) => return Err(OpenError::InUse),
        Err(error) if is_damage(&error) => error,
        Err(error) => return Err(failed(error)),
    };
    let aside = set_aside(path).map_err(|error| OpenError::Io { path: path.to_owned(), error })?;
    Ok(Opened { database: open_file(path).map_err(failed)?, damaged: Some((aside, error)) })
}

fn open_file(path: &Path) -> Result<Database, DatabaseError> {
    let open = || Database::builder().set_cache_size(CACHE_BYTES).create(path);
    // Some damage trips the database's own assertions before it is reported as an error.
    let opened = std::panic::catch_unwind(open)
        .unwrap_or_else(|_| Err(StorageError::Corrupted("the database panicked while opening it".to_owned()).into()));
    if let Some(directory) = path.parent().filter(|_| opened.is_ok()) {
        // A new file is there after a power failure once its directory is on disk; not every file system can say so.
        let _ = fs::File::open(directory).and_then(|directory| directory.sync_all());
    }
    opened
}

/// Moves a damaged file out of the way and says where it is now.
fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let aside = (0..MOST_DAMAGED).map(|n| path.with_file_name(format!("{name}.damaged-{n}")));
    let aside = aside.reduce(|kept, next| if kept.exists() { next } else { kept }).unwrap_or_default();
    fs::rename(path, &aside)?;
    Ok(aside)
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

/// Sets the file at `path` aside, in which damage was met late, and begins a new one; where the old one is now.
pub fn begin_anew(path: &Path) -> Result<(Database, PathBuf), OpenError> {
    let aside = set_aside(path).map_err(|error| OpenError::Io { path: path.to_owned(), error })?;
    let database = open_file(path).map_err(|error| OpenError::Database { path: path.to_owned(), error })?;
    Ok((database, aside))
}
