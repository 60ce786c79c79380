//! The file being written, and the older ones beside it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use super::Rotation;

/// The file being written.
pub(super) struct Output {
    path: PathBuf,
    file: File,
    len: u64,
    rotation: Option<Rotation>,
}

impl Output {
    pub(super) fn open(path: &Path, append: bool, rotation: Option<Rotation>) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        if !append {
            file.set_len(0)?;
        }
        let len = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, len, rotation })
    }

    pub(super) fn put(&mut self, message: &[u8]) -> io::Result<()> {
        if let Some(rotation) = self.rotation
            && self.len > 0
            && self.len + message.len() as u64 > rotation.max_megabytes * 1_000_000
        {
            self.rotate(rotation)?;
        }
        if let Err(error) = self.file.write_all(message) {
            // Half a message would make the rest unreadable.
            let _ = self.file.set_len(self.len);
            return Err(error);
        }
        self.len += message.len() as u64;
        Ok(())
    }

    fn rotate(&mut self, rotation: Rotation) -> io::Result<()> {
        self.forget(rotation)?;
        for number in (1..rotation.max_backups).rev() {
            let older = self.backup(number);
            if older.exists() {
                fs::rename(older, self.backup(number + 1))?;
            }
        }
        match fs::rename(&self.path, self.backup(1)) {
            // Moved before, when the new file could not be opened; or somebody has taken it away.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            moved => moved?,
        }
        *self = Self::open(&self.path, true, self.rotation)?;
        Ok(())
    }

    /// Removes the older files that are too old.
    fn forget(&self, rotation: Rotation) -> io::Result<()> {
        let most = Duration::from_hours(24 * u64::from(rotation.max_days));
        for number in 1..=rotation.max_backups {
            let older = self.backup(number);
            let Ok(written) = fs::metadata(&older).and_then(|file| file.modified()) else { continue };
            if rotation.max_days > 0 && written.elapsed().is_ok_and(|age| age > most) {
                fs::remove_file(older)?;
            }
        }
        Ok(())
    }

    fn backup(&self, number: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }
}
