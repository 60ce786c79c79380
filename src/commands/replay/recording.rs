//! Recordings in the forms the Collector's file exporter writes: OTLP JSON lines, and protobuf (or JSON) messages each
//! behind a four-byte big-endian length; either whole or message by message under zstd. What a file is, is read from
//! its bytes, not from its name.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;

use crate::otlp::{
    Batch, Signal, check,
    compression::{self, Encoding},
    json,
};

/// No single message may be larger, as at the receiver's door.
const MAX_MESSAGE_BYTES: usize = 64 << 20;
/// What a zstd frame begins with.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// A message that cannot be read, and where.
#[derive(Debug, thiserror::Error)]
#[error("message {number}: {reason}")]
pub struct BadMessage {
    /// Counted from one.
    pub number: u64,
    /// What is wrong with it.
    pub reason: String,
    /// Reading cannot go on behind it.
    pub fatal: bool,
}

/// Reads a recording message by message.
pub struct Recording {
    input: BufReader<Box<dyn Read + Send>>,
    form: Form,
    number: u64,
    bytes_read: Arc<AtomicU64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Lines,
    Prefixed,
}

impl Recording {
    /// Opens the file at `path` and finds out its form.
    pub fn open(path: &Path) -> io::Result<Self> {
        let bytes_read = Arc::new(AtomicU64::new(0));
        let mut file = BufReader::new(Counted { inner: File::open(path)?, bytes: bytes_read.clone() });
        let zstd = file.fill_buf()?.starts_with(&ZSTD_MAGIC);
        let plain: Box<dyn Read + Send> =
            if zstd { Box::new(zstd::stream::read::Decoder::with_buffer(file)?) } else { Box::new(file) };
        let mut input = BufReader::new(plain);
        let first = input.fill_buf()?.iter().copied().find(|byte| !byte.is_ascii_whitespace());
        let form = if first.is_none_or(|byte| byte == b'{') { Form::Lines } else { Form::Prefixed };
        Ok(Self { input, form, number: 0, bytes_read })
    }

    /// Bytes of the file read so far, as it lies on disk.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    fn message(&mut self) -> io::Result<Option<Vec<u8>>> {
        let limit = MAX_MESSAGE_BYTES as u64;
        let mut message = Vec::new();
        match self.form {
            Form::Lines => {
                let mut line = (&mut self.input).take(limit + 1);
                if line.read_until(b'\n', &mut message)? == 0 {
                    return Ok(None);
                }
            }
            Form::Prefixed => {
                let mut prefix = [0; 4];
                if self.input.fill_buf()?.is_empty() {
                    return Ok(None);
                }
                self.input.read_exact(&mut prefix)?;
                let length = u64::from(u32::from_be_bytes(prefix)).min(limit + 1);
                if (&mut self.input).take(length).read_to_end(&mut message)? as u64 != length {
                    return Err(io::Error::other("the file ends in the middle of a message"));
                }
            }
        }
        if message.len() > MAX_MESSAGE_BYTES {
            return Err(io::Error::other(format!("larger than {MAX_MESSAGE_BYTES} bytes")));
        }
        Ok(Some(message))
    }
}

impl Iterator for Recording {
    type Item = Result<Batch, BadMessage>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            self.number += 1;
            let number = self.number;
            match self.message() {
                Ok(None) => return None,
                Ok(Some(message)) if message.trim_ascii().is_empty() => {}
                Ok(Some(message)) => {
                    return Some(batch(message).map_err(|reason| BadMessage { number, reason, fatal: false }));
                }
                Err(error) => {
                    return Some(Err(BadMessage { number, reason: error.to_string(), fatal: true }));
                }
            }
        }
    }
}

fn batch(message: Vec<u8>) -> Result<Batch, String> {
    let message = if message.starts_with(&ZSTD_MAGIC) {
        compression::decompress(Encoding::Zstd, &message, MAX_MESSAGE_BYTES).map_err(|error| error.to_string())?
    } else {
        Bytes::from(message)
    };
    if message.trim_ascii_start().first() == Some(&b'{') {
        let signal = json_signal(&message).ok_or("neither resourceSpans nor resourceLogs nor resourceMetrics")?;
        let body = Bytes::from(json::to_protobuf(signal, &message).map_err(|error| error.to_string())?);
        let items = check::check(signal, &body).map_err(|error| error.to_string())?;
        return Ok(Batch { signal, body, items });
    }
    // The three requests share their outer shape; only one of them fits down to its records.
    let fits = |signal| check::check(signal, &message).ok().filter(|items| *items > 0).map(|items| (signal, items));
    let (signal, items) = Signal::ALL.into_iter().find_map(fits).ok_or("not an OTLP export request")?;
    Ok(Batch { signal, body: message, items })
}

fn json_signal(message: &[u8]) -> Option<Signal> {
    // The member that says it is the first one in every writer we know; look no further than the start.
    let head = message.get(..64).unwrap_or(message);
    let has = |name: &str| head.windows(name.len()).any(|window| window == name.as_bytes());
    [("resourceSpans", Signal::Traces), ("resourceLogs", Signal::Logs), ("resourceMetrics", Signal::Metrics)]
        .into_iter()
        .find_map(|(name, signal)| has(name).then_some(signal))
}

struct Counted<R> {
    inner: R,
    bytes: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.bytes.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
