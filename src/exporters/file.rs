//! `file` exporter: OTLP in a file, in the forms the Collector's file exporter writes and `sekisho replay` reads.
//!
//! ```yaml
//! file:
//!   path: ./spans.jsonl
//!   format: json          # json: a request a line; proto: each behind a four-byte big-endian length
//!   compression: none     # zstd: each request on its own, behind the length it then has, whatever the format
//!   append: true          # false: begin anew with every start
//!   rotation:             # absent: the file grows
//!     max_megabytes: 100
//!     max_backups: 100
//! ```
//!
//! A batch is answered `Accepted` when the operating system has taken its bytes: nothing is buffered here. A disk that is full, or gone, is
//! answered `Retryable`: senders keep what they have, and nothing half-written stays in the file.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::direct;
use crate::{
    config::{Check, Report},
    otlp::{
        compression::{Encoding, compress},
        json,
    },
    pipeline::{
        Batch, Boxed, Consumer, Next, Outcome,
        component::{Context, ExporterConfig, StartError},
    },
};

/// The configuration; the keys are the Collector's.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The file; relative to the working directory.
    pub path: PathBuf,
    /// What a request looks like in it.
    pub format: Format,
    /// How each request is compressed.
    pub compression: Compression,
    /// Whether a start goes on where the last one ended. Unlike in the Collector this is the default: a restart must
    /// not delete alerts.
    pub append: bool,
    /// When to begin a new file.
    pub rotation: Option<Rotation>,
}

/// What a request looks like in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// OTLP JSON, one a line.
    Json,
    /// Protobuf, each behind its length.
    Proto,
}

/// How each request is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    None,
    /// As a zstd frame of its own.
    Zstd,
}

/// When to begin a new file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rotation {
    /// Size of a file.
    pub max_megabytes: u64,
    /// Older files kept, as `path.1` (the newest) to `path.N`.
    pub max_backups: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            path: PathBuf::new(),
            format: Format::Json,
            compression: Compression::None,
            append: true,
            rotation: None,
        }
    }
}

impl Default for Rotation {
    fn default() -> Self {
        Self { max_megabytes: 100, max_backups: 100 }
    }
}

impl Check for Config {
    fn check(&self, report: &mut Report<'_>) {
        if self.path.as_os_str().is_empty() {
            report.error("path", "is missing").hint("such as ./spans.jsonl");
        }
        if let Some(rotation) = self.rotation {
            if rotation.max_megabytes == 0 {
                report.error("rotation.max_megabytes", "must be more than 0");
            }
            if rotation.max_backups == 0 || rotation.max_backups > 1000 {
                report.error("rotation.max_backups", "must be between 1 and 1000");
            }
        }
    }
}

impl ExporterConfig for Config {
    fn build(&self, context: &Context) -> Result<Next, StartError> {
        let path = context.base.join(&self.path);
        let output = Output::open(&path, self.append, self.rotation)
            .map_err(|error| context.error(format!("cannot write {}: {error}", path.display())))?;
        let writer =
            Writer { format: self.format, compression: self.compression, output: Arc::new(Mutex::new(output)), path };
        Ok(direct(Arc::new(writer), context))
    }
}

struct Writer {
    format: Format,
    compression: Compression,
    output: Arc<Mutex<Output>>,
    path: PathBuf,
}

impl Writer {
    async fn write(&self, batch: Batch) -> Outcome {
        let (format, compression, output) = (self.format, self.compression, self.output.clone());
        let written = tokio::task::spawn_blocking(move || {
            let message = encode(format, compression, &batch);
            output.lock().unwrap_or_else(PoisonError::into_inner).put(&message)
        });
        match written.await.unwrap_or_else(|panic| Err(io::Error::other(panic))) {
            Ok(()) => Outcome::Accepted,
            Err(error) => {
                let reason = format!("cannot write {}: {error}", self.path.display());
                Outcome::Retryable { after: None, reason }
            }
        }
    }
}

impl Consumer for Writer {
    fn consume(&self, batch: Batch) -> Boxed<'_, Outcome> {
        Box::pin(self.write(batch))
    }
}

fn encode(format: Format, compression: Compression, batch: &Batch) -> Vec<u8> {
    let mut json = Vec::new();
    let message = match format {
        Format::Json => {
            json.reserve(batch.body.len() * 2);
            json::to_json(batch.signal, &batch.body, &mut json);
            &json
        }
        Format::Proto => batch.body.as_ref(),
    };
    match (format, compression) {
        (_, Compression::Zstd) => behind_length(&compress(Encoding::Zstd, message)),
        (Format::Proto, Compression::None) => behind_length(message),
        (Format::Json, Compression::None) => {
            json.push(b'\n');
            json
        }
    }
}

fn behind_length(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u32).to_be_bytes(), message].concat()
}

/// The file being written.
struct Output {
    path: PathBuf,
    file: File,
    len: u64,
    rotation: Option<Rotation>,
}

impl Output {
    fn open(path: &Path, append: bool, rotation: Option<Rotation>) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        if !append {
            file.set_len(0)?;
        }
        let len = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, len, rotation })
    }

    fn put(&mut self, message: &[u8]) -> io::Result<()> {
        if let Some(rotation) = self.rotation
            && self.len > 0
            && self.len + message.len() as u64 > rotation.max_megabytes * 1_000_000
        {
            self.rotate(rotation.max_backups)?;
        }
        if let Err(error) = self.file.write_all(message) {
            // Half a message would make the rest unreadable.
            let _ = self.file.set_len(self.len);
            return Err(error);
        }
        self.len += message.len() as u64;
        Ok(())
    }

    fn rotate(&mut self, max_backups: u32) -> io::Result<()> {
        for number in (1..max_backups).rev() {
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

    fn backup(&self, number: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::{
        otlp::{Signal, compression::decompress, sample},
        pipeline::probe,
    };

    fn batch(spans: u64) -> Batch {
        Batch { signal: Signal::Traces, body: sample::traces(spans).encode_to_vec().into(), items: spans as usize }
    }

    fn exporter(config: &Config, directory: &Path) -> Next {
        config.build(&probe::context("file", directory)).unwrap()
    }

    #[tokio::test]
    async fn each_request_is_a_line_and_a_restart_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let config = Config { path: "out.jsonl".into(), ..Config::default() };
        for _ in 0..2 {
            assert_eq!(exporter(&config, directory.path()).consume(batch(2)).await, Outcome::Accepted);
        }
        let text = fs::read_to_string(directory.path().join("out.jsonl")).unwrap();
        assert_eq!(text.lines().count(), 2);
        for line in text.lines() {
            assert_eq!(json::to_protobuf(Signal::Traces, line.as_bytes()).unwrap(), batch(2).body);
        }
        let anew = Config { append: false, ..config };
        exporter(&anew, directory.path());
        assert_eq!(fs::metadata(directory.path().join("out.jsonl")).unwrap().len(), 0);
    }

    #[tokio::test]
    async fn protobuf_messages_follow_their_length() {
        let directory = tempfile::tempdir().unwrap();
        let config = Config { path: "out.pb".into(), format: Format::Proto, ..Config::default() };
        exporter(&config, directory.path()).consume(batch(3)).await;
        let bytes = fs::read(directory.path().join("out.pb")).unwrap();
        let (len, message) = bytes.split_first_chunk::<4>().unwrap();
        assert_eq!(u32::from_be_bytes(*len) as usize, message.len());
        assert_eq!(message, batch(3).body);
    }

    #[tokio::test]
    async fn compressed_requests_are_read_one_by_one() {
        let directory = tempfile::tempdir().unwrap();
        for format in [Format::Json, Format::Proto] {
            let config = Config {
                path: "out.zst".into(),
                format,
                compression: Compression::Zstd,
                append: false,
                rotation: None,
            };
            let exporter = exporter(&config, directory.path());
            for spans in [3, 4] {
                assert_eq!(exporter.consume(batch(spans)).await, Outcome::Accepted);
            }
            let bytes = fs::read(directory.path().join("out.zst")).unwrap();
            let mut rest = bytes.as_slice();
            for spans in [3, 4] {
                let (len, tail) = rest.split_first_chunk::<4>().unwrap();
                let (message, tail) = tail.split_at(u32::from_be_bytes(*len) as usize);
                let plain = decompress(Encoding::Zstd, message, 1 << 20).unwrap();
                let request = match format {
                    Format::Json => json::to_protobuf(Signal::Traces, &plain).unwrap(),
                    Format::Proto => plain.to_vec(),
                };
                assert_eq!(request, batch(spans).body, "{format:?}");
                rest = tail;
            }
            assert!(rest.is_empty());
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_full_disk_is_a_reason_to_come_back_and_trouble_while_it_lasts() {
        // The device that is always full stands in for the disk.
        let config = Config { path: "/dev/full".into(), ..Config::default() };
        let context = probe::context("file", Path::new("."));
        let exporter = config.build(&context).unwrap();
        let outcome = exporter.consume(batch(2)).await;
        assert!(
            matches!(&outcome, Outcome::Retryable { reason, .. } if reason.contains("No space left")),
            "{outcome:?}"
        );
        assert_eq!(context.metrics.sum("otelcol_exporter_send_failed_spans", None) as u64, 2);
    }

    #[tokio::test]
    async fn a_file_that_was_taken_away_does_not_stop_the_next() {
        let directory = tempfile::tempdir().unwrap();
        let rotation = Some(Rotation { max_megabytes: 1, max_backups: 2 });
        let exporter = exporter(&Config { path: "out".into(), rotation, ..Config::default() }, directory.path());
        let large = batch(250);
        assert_eq!(exporter.consume(large.clone()).await, Outcome::Accepted);
        fs::remove_file(directory.path().join("out")).unwrap();
        for _ in 0..3 {
            assert_eq!(exporter.consume(large.clone()).await, Outcome::Accepted);
        }
        assert!(directory.path().join("out").exists());
    }

    #[tokio::test]
    async fn full_files_make_room_for_new_ones_and_the_oldest_goes() {
        let directory = tempfile::tempdir().unwrap();
        let rotation = Some(Rotation { max_megabytes: 1, max_backups: 2 });
        let exporter = exporter(&Config { path: "out".into(), rotation, ..Config::default() }, directory.path());
        let large = batch(250);
        for _ in 0..6 {
            assert_eq!(exporter.consume(large.clone()).await, Outcome::Accepted);
        }
        let mut names: Vec<String> = fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["out", "out.1", "out.2"]);
    }

    #[tokio::test]
    async fn a_path_that_cannot_be_written_stops_the_start() {
        let directory = tempfile::tempdir().unwrap();
        let config = Config { path: "no/such/directory".into(), ..Config::default() };
        let refused = config.build(&probe::context("file", directory.path())).err().unwrap();
        assert!(refused.to_string().contains("no/such/directory"), "{refused}");
    }
}
