//! `file` exporter: OTLP in a file, in the forms the Collector's file exporter writes and `sekisho replay` reads.
//!
//! ```yaml
//! file:
//!   path: ./spans.jsonl
//!   format: json          # json: a request a line; proto: each behind a four-byte big-endian length
//!   compression: none     # zstd: each request on its own, behind the length it then has, whatever the format
//!   compression_params: { level: 0 }   # of zstd: 1 to 22; 0: its default
//!   append: true          # false: begin anew with every start
//!   rotation:             # absent: the file grows
//!     max_megabytes: 100
//!     max_backups: 100
//!     max_days: 0         # older files go after so many days; 0: none for its age
//!   create_directory: false            # true: what is missing of the path, with these permissions
//!   directory_permissions: "0755"
//!   group_by:             # a file for each value of a resource attribute, which replaces the star in the path
//!     enabled: false
//!     resource_attribute: fileexporter.path_segment
//!     max_open_files: 100
//! ```
//!
//! A batch is answered `Accepted` when the operating system has taken its bytes: nothing is buffered here. A disk that is full, or gone, is
//! answered `Retryable`: senders keep what they have, and nothing half-written stays in the file. With `group_by`, a
//! resource whose attribute names no file is refused for good, and the sender told.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::Deserialize;

use self::{groups::Groups, output::Output};
use super::direct;
use crate::{
    config::{Check, Report, Toggle},
    otlp::{Signal, json},
    pipeline::{
        Batch, Boxed, Consumer, Next, Outcome,
        component::{Context, ExporterConfig, StartError},
    },
};

mod groups;
mod output;

/// The configuration; the keys are the Collector's.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The file; relative to the working directory.
    pub path: PathBuf,
    /// What a request looks like in it.
    pub format: Format,
    /// How each request is compressed.
    pub compression: Compression,
    /// How hard.
    pub compression_params: CompressionParams,
    /// Whether a start goes on where the last one ended. Unlike in the Collector this is the default: a restart must
    /// not delete alerts.
    pub append: bool,
    /// When to begin a new file.
    pub rotation: Toggle<Rotation>,
    /// Longest that a buffer is kept back. There is none: a warning says so.
    #[serde(with = "crate::config::duration::option")]
    pub flush_interval: Option<Duration>,
    /// Whether directories that are missing on the way to the file are made.
    pub create_directory: bool,
    /// Octal, as `chmod` takes it; `0755` unless set.
    pub directory_permissions: Option<String>,
    /// A file for each value of a resource attribute.
    pub group_by: GroupBy,
}

/// What a request looks like in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// OTLP JSON, one a line.
    Json,
    /// Protobuf, each behind its length.
    Proto,
}

/// How each request is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    None,
    /// As a zstd frame of its own.
    Zstd,
}

/// `compression_params`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CompressionParams {
    /// From 1, the fastest, to 22, the smallest; 0 is zstd's own default.
    pub level: u8,
}

/// When to begin a new file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rotation {
    /// Size of a file.
    pub max_megabytes: u64,
    /// Older files kept, as `path.1` (the newest) to `path.N`.
    pub max_backups: u32,
    /// Days without a write after which an older file goes, when the next is put aside; 0: never.
    pub max_days: u32,
    /// Whose time the names of older files show. They show none: a warning says so.
    pub localtime: bool,
}

/// A file for each value of a resource attribute.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GroupBy {
    /// Whether to.
    pub enabled: bool,
    /// Replaces the star in the path.
    pub resource_attribute: String,
    /// Files kept open; the one longest unused is closed for another.
    pub max_open_files: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            path: PathBuf::new(),
            format: Format::Json,
            compression: Compression::None,
            compression_params: CompressionParams::default(),
            append: true,
            rotation: Toggle::Off,
            flush_interval: None,
            create_directory: false,
            directory_permissions: None,
            group_by: GroupBy::default(),
        }
    }
}

impl Default for Rotation {
    fn default() -> Self {
        Self { max_megabytes: 100, max_backups: 100, max_days: 0, localtime: false }
    }
}

impl Default for GroupBy {
    fn default() -> Self {
        Self { enabled: false, resource_attribute: "fileexporter.path_segment".to_owned(), max_open_files: 100 }
    }
}

impl Check for Config {
    fn check(&self, report: &mut Report<'_>) {
        if self.path.as_os_str().is_empty() {
            report.error("path", "is missing").hint("such as ./spans.jsonl");
        }
        if self.compression_params.level > 22 {
            report.error("compression_params.level", "must be between 0 and 22");
        }
        if self.compression == Compression::None && self.compression_params.level > 0 {
            report.warning("compression_params", "does nothing: `compression` is none");
        }
        if self.flush_interval.is_some() {
            report.warning("flush_interval", "does nothing: a request is in the file when it is answered");
        }
        if let Toggle::On(rotation) = self.rotation {
            if rotation.max_megabytes == 0 {
                report.error("rotation.max_megabytes", "must be more than 0");
            }
            if rotation.max_backups == 0 || rotation.max_backups > 1000 {
                report.error("rotation.max_backups", "must be between 1 and 1000");
            }
            if rotation.localtime {
                report.warning("rotation.localtime", "does nothing: older files are numbered, not named after a time");
            }
        }
        if let Err(wrong) = self.directory_mode() {
            report.error("directory_permissions", wrong).hint("such as \"0755\"");
        }
        if self.directory_permissions.is_some() && !self.create_directory && !self.group_by.enabled {
            report.error("directory_permissions", "is set, but `create_directory` is not");
        }
        if self.group_by.enabled {
            self.check_groups(report);
        }
    }
}

impl Config {
    fn check_groups(&self, report: &mut Report<'_>) {
        let path = self.path.to_string_lossy();
        if path.starts_with('*') || path.matches('*').count() != 1 {
            report.error("path", "must have one `*`, and not begin with it, where `group_by` is enabled");
        }
        if self.group_by.resource_attribute.is_empty() {
            report.error("group_by.resource_attribute", "is empty");
        }
        if !(1..=10_000).contains(&self.group_by.max_open_files) {
            report.error("group_by.max_open_files", "must be between 1 and 10000");
        }
        if !self.append {
            report.error("append", "must be true with `group_by`: files that had to be closed would begin anew");
        }
    }

    fn directory_mode(&self) -> Result<u32, String> {
        let Some(text) = &self.directory_permissions else { return Ok(0o755) };
        let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777);
        mode.ok_or_else(|| format!("must be octal permissions, not {text:?}"))
    }

    fn files(&self, base: &Path) -> Result<Files, String> {
        let path = base.join(&self.path);
        let cannot = |error| format!("cannot write {}: {error}", path.display());
        let directory_mode = self.directory_mode()?;
        let rotation = self.rotation.as_option().copied();
        if self.group_by.enabled {
            return Ok(Files::Grouped(Mutex::new(Groups::new(&path, self, directory_mode))));
        }
        if self.create_directory {
            make_way(&path, directory_mode).map_err(cannot)?;
        }
        Ok(Files::One(Mutex::new(Output::open(&path, self.append, rotation).map_err(cannot)?)))
    }
}

impl ExporterConfig for Config {
    fn build(&self, context: &Context) -> Result<Next, StartError> {
        let files = self.files(&context.base).map_err(|reason| context.error(reason))?;
        let form = Form { format: self.format, compression: self.compression, level: self.compression_params.level };
        Ok(direct(Arc::new(Writer { form, files: Arc::new(files), path: context.base.join(&self.path) }), context))
    }
}

/// Makes the directories on the way to `path`.
fn make_way(path: &Path, mode: u32) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    fs::DirBuilder::new().recursive(true).mode(mode).create(directory)
}

enum Files {
    One(Mutex<Output>),
    Grouped(Mutex<Groups>),
}

impl Files {
    fn put(&self, form: Form, batch: &Batch) -> io::Result<Outcome> {
        match self {
            Self::One(output) => {
                let message = form.message(batch.signal, &batch.body);
                output.lock().unwrap_or_else(PoisonError::into_inner).put(&message)?;
                Ok(Outcome::Accepted)
            }
            Self::Grouped(groups) => groups.lock().unwrap_or_else(PoisonError::into_inner).put(form, batch),
        }
    }
}

struct Writer {
    form: Form,
    files: Arc<Files>,
    path: PathBuf,
}

impl Writer {
    async fn write(&self, batch: Batch) -> Outcome {
        let (form, files) = (self.form, Arc::clone(&self.files));
        let written = tokio::task::spawn_blocking(move || files.put(form, &batch));
        written.await.unwrap_or_else(|panic| Err(io::Error::other(panic))).unwrap_or_else(|error| {
            let reason = format!("cannot write {}: {error}", self.path.display());
            Outcome::Retryable { after: None, reason }
        })
    }
}

impl Consumer for Writer {
    fn consume(&self, batch: Batch) -> Boxed<'_, Outcome> {
        Box::pin(self.write(batch))
    }
}

/// What requests look like in the file.
#[derive(Clone, Copy, Debug)]
struct Form {
    format: Format,
    compression: Compression,
    level: u8,
}

impl Form {
    fn message(self, signal: Signal, body: &[u8]) -> Vec<u8> {
        let mut json = Vec::new();
        let message = match self.format {
            Format::Json => {
                json.reserve(body.len() * 2);
                json::to_json(signal, body, &mut json);
                &json
            }
            Format::Proto => body,
        };
        match (self.format, self.compression) {
            // Fails only when memory does.
            (_, Compression::Zstd) => {
                behind_length(&zstd::bulk::compress(message, i32::from(self.level)).unwrap_or_default())
            }
            (Format::Proto, Compression::None) => behind_length(message),
            (Format::Json, Compression::None) => {
                json.push(b'\n');
                json
            }
        }
    }
}

fn behind_length(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u32).to_be_bytes(), message].concat()
}

#[cfg(test)]
mod tests;
