//! The audit log: what was done and decided, one JSON line each, each bound to all before it.
//!
//! ```text
//! {"hash":"…","previous":"…","entry":{"line":1,"at":"2026-11-23T14:02:09Z","event":"proposed",…}}
//! ```
//!
//! `hash` is the SHA-256 of `previous`, a line feed, and the entry as it is written; `previous` is the hash of the line
//! before, or 64 zeros. Whoever changes, removes or inserts a line must write all lines after it anew, and then its end
//! is another: the end is also told to whoever asks ([`Log::head`]) and kept elsewhere.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::otlp::hex;

/// Longest line that is read.
const LONGEST_LINE: u64 = 1 << 20;
/// Broken files kept aside; after that the last one is replaced.
const MOST_BROKEN: u32 = 8;

/// The end of a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Lines.
    pub lines: u64,
    /// Hash of the last one.
    pub hash: String,
}

impl Default for Head {
    fn default() -> Self {
        Self { lines: 0, hash: "0".repeat(64) }
    }
}

/// Why a log cannot be believed.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The first line that does not fit to those before it.
    #[error("line {line}: {why}")]
    Line {
        /// From 1.
        line: u64,
        /// What does not fit.
        why: &'static str,
    },
    /// It is whole, but not the one that was written.
    #[error(
        "line {line}: the log ends here or was written anew; it is known to have had line {line} with another hash"
    )]
    Cut {
        /// From 1.
        line: u64,
    },
    /// It cannot be read.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Reads a log from beginning to end; `known` is what an earlier end is known to have been.
pub fn verify(path: &Path, known: Option<&Head>) -> Result<Head, Broken> {
    let mut lines = BufReader::new(File::open(path)?);
    let (mut head, mut known_found) = (Head::default(), known.is_none_or(|known| known.lines == 0));
    loop {
        let mut bytes = Vec::new();
        io::Read::take(&mut lines, LONGEST_LINE).read_until(b'\n', &mut bytes)?;
        if bytes.is_empty() {
            break;
        }
        let line = head.lines + 1;
        let broken = |why| Broken::Line { line, why };
        let text = std::str::from_utf8(&bytes).map_err(|_| broken("is not text"))?;
        let text = text.strip_suffix('\n').ok_or_else(|| broken("has no end"))?;
        head = next(text, &head).map_err(broken)?;
        known_found |= known == Some(&head);
    }
    match known {
        Some(known) if !known_found => Err(Broken::Cut { line: known.lines }),
        _ => Ok(head),
    }
}

/// The end of the log with `text` as its next line.
fn next(text: &str, head: &Head) -> Result<Head, &'static str> {
    let rest = text.strip_prefix(r#"{"hash":""#).ok_or("is not a line of an audit log")?;
    let (hash, rest) = rest.split_once(r#"","previous":""#).ok_or("is not a line of an audit log")?;
    let (previous, rest) = rest.split_once(r#"","entry":"#).ok_or("is not a line of an audit log")?;
    let entry = rest.strip_suffix('}').ok_or("is not a line of an audit log")?;
    if previous != head.hash {
        return Err("does not follow the line before it: one was changed, removed or inserted");
    }
    if hash != sealed(previous, entry) {
        return Err("was changed: its hash is another");
    }
    let parsed: Value = serde_json::from_str(entry).map_err(|_| "is not JSON")?;
    if parsed["line"].as_u64() != Some(head.lines + 1) {
        return Err("has another number");
    }
    Ok(Head { lines: head.lines + 1, hash: hash.to_owned() })
}

fn sealed(previous: &str, entry: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(previous);
    hash.update("\n");
    hash.update(entry);
    hex(&hash.finalize())
}

/// A log that is being written.
#[derive(Debug)]
pub struct Log {
    file: File,
    head: Head,
}

/// What was found when a log was opened.
#[derive(Debug)]
pub struct Opened {
    /// To be written on.
    pub log: Log,
    /// What was wrong with the file that was there, and where it is now.
    pub broken: Option<(Broken, PathBuf)>,
}

impl Log {
    /// Opens the log at `path`, verified, or begins one. A broken one is set aside, and another begun.
    pub fn open(path: &Path, known: Option<&Head>) -> io::Result<Opened> {
        let (head, broken) = match verify(path, known) {
            Ok(head) => (head, None),
            Err(Broken::Io(error)) if error.kind() == io::ErrorKind::NotFound => match known {
                // It is gone, and nothing is left to set aside.
                Some(known) if known.lines > 0 => (Head::default(), Some((Broken::Cut { line: 1 }, path.to_owned()))),
                _ => (Head::default(), None),
            },
            Err(Broken::Io(error)) => return Err(error),
            Err(broken) => (Head::default(), Some((broken, set_aside(path)?))),
        };
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Opened { log: Self { file, head }, broken })
    }

    /// Its end.
    pub const fn head(&self) -> &Head {
        &self.head
    }

    /// Writes a line; on disk on return. `at` is the time as text.
    pub fn append(&mut self, at: &str, event: &str, details: Map<String, Value>) -> io::Result<&Head> {
        let line = self.head.lines + 1;
        let mut entry = Map::new();
        entry.insert("line".to_owned(), line.into());
        entry.insert("at".to_owned(), at.into());
        entry.insert("event".to_owned(), event.into());
        entry.extend(details);
        let entry = Value::Object(entry).to_string();
        let hash = sealed(&self.head.hash, &entry);
        let written = format!("{{\"hash\":\"{hash}\",\"previous\":\"{}\",\"entry\":{entry}}}\n", self.head.hash);
        let before = self.file.metadata()?.len();
        let done = self.file.write_all(written.as_bytes()).and_then(|()| self.file.sync_data());
        if let Err(error) = done {
            // Half a line would break the chain.
            let _ = self.file.set_len(before);
            return Err(error);
        }
        self.head = Head { lines: line, hash };
        Ok(&self.head)
    }
}

fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut aside = PathBuf::new();
    for number in 0..MOST_BROKEN {
        aside = path.with_file_name(format!("{name}.broken-{number}"));
        if !aside.exists() {
            break;
        }
    }
    std::fs::rename(path, &aside)?;
    Ok(aside)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(path: &Path, entries: u64) -> Head {
        let mut opened = Log::open(path, None).unwrap();
        for number in 0..entries {
            let details = Map::from_iter([("note".to_owned(), format!("{number}: \"}}\n").into())]);
            opened.log.append("2026-11-23T14:02:09Z", "noted", details).unwrap();
        }
        opened.log.head().clone()
    }

    #[test]
    fn nothing_is_edited_silently() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.jsonl");
        let head = log(&path, 5);
        assert_eq!(verify(&path, Some(&head)).unwrap(), head);
        assert_eq!(log(&path, 1).lines, 6, "it goes on where it ended");
        assert_eq!(verify(&path, Some(&head)).unwrap().lines, 6, "the end that is known may be an earlier one");
        let good = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = good.lines().collect();
        let joined = |lines: &[&str]| lines.join("\n") + "\n";
        #[rustfmt::skip]
        let table = [
            ("a changed note",    good.replacen("2: ", "9: ", 1), "line 3: was changed"),
            ("a removed line",    joined(&[lines[0], lines[1], lines[3], lines[4], lines[5]]), "line 3: does not follow"),
            ("an inserted line",  joined(&[lines[0], lines[0], lines[1]]), "line 2: does not follow"),
            ("a changed order",   joined(&[lines[0], lines[2], lines[1]]), "line 2: does not follow"),
            ("a cut end",         joined(&lines[..4]), "line 5: the log ends here"),
            ("half a line",       good[..good.len() - 20].to_owned(), "line 6: has no end"),
            ("an empty line",     good.clone() + "\n", "line 7: is not a line"),
            ("no log at all",     String::new(), "line 5: the log ends here"),
        ];
        for (row, text, expected) in table {
            std::fs::write(&path, text).unwrap();
            let said = verify(&path, Some(&head)).unwrap_err().to_string();
            assert!(said.starts_with(expected), "{row}: {said}");
        }
    }

    #[test]
    fn one_written_anew_is_known_by_its_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.jsonl");
        let head = log(&path, 3);
        std::fs::remove_file(&path).unwrap();
        let mut forged = Log::open(&path, None).unwrap().log;
        for _ in 0..4 {
            forged.append("2026-11-23T14:02:09Z", "nothing happened", Map::new()).unwrap();
        }
        assert_eq!(verify(&path, None).unwrap().lines, 4, "by itself it is whole");
        assert!(matches!(verify(&path, Some(&head)), Err(Broken::Cut { line: 3 })));
        let opened = Log::open(&path, Some(&head)).unwrap();
        let (_, aside) = opened.broken.unwrap();
        assert_eq!(opened.log.head().lines, 0);
        assert!(aside.ends_with("audit.jsonl.broken-0") && aside.exists());
    }
}
