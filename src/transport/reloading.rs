//! Something made of files, made anew when their contents change.

use std::{
    fmt, fs,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;

/// How often files are looked at whose component has no key for it.
pub const OFTEN: Duration = Duration::from_secs(1);

/// Where a text comes from.
#[derive(Clone)]
pub enum Source {
    /// It is in the configuration.
    Inline(Vec<u8>),
    /// It is in a file.
    File(PathBuf),
}

type Make<T> = Box<dyn Fn(&[Vec<u8>]) -> Result<T, String> + Send + Sync>;

/// A `T` made of the contents of `sources`.
///
/// Whoever asks for it when it is due looks at the files: they are small and local, and nothing runs while nobody asks.
/// What cannot be read or does not make sense is said, and the last good one stays.
pub struct Reloading<T> {
    current: ArcSwap<T>,
    sources: Vec<Source>,
    make: Make<T>,
    /// Never again if there is none.
    every: Option<Duration>,
    last: Mutex<Last>,
    what: String,
}

struct Last {
    at: Instant,
    contents: Vec<Vec<u8>>,
    failed: bool,
}

impl<T> Reloading<T> {
    /// Makes the first one; `what` it is, for logs.
    pub fn new(
        what: impl Into<String>,
        sources: Vec<Source>,
        every: Option<Duration>,
        make: impl Fn(&[Vec<u8>]) -> Result<T, String> + Send + Sync + 'static,
    ) -> Result<Self, String> {
        let contents = read(&sources)?;
        let current = ArcSwap::from_pointee(make(&contents)?);
        let every = every.filter(|_| sources.iter().any(|source| matches!(source, Source::File(_))));
        let last = Mutex::new(Last { at: Instant::now(), contents, failed: false });
        Ok(Self { current, sources, make: Box::new(make), every, last, what: what.into() })
    }

    /// The one to use now.
    pub fn current(&self) -> Arc<T> {
        // Whoever comes while another looks takes what there is.
        if let Some(every) = self.every
            && let Ok(mut last) = self.last.try_lock()
            && last.at.elapsed() >= every
        {
            last.at = Instant::now();
            self.look(&mut last);
        }
        self.current.load_full()
    }

    fn look(&self, last: &mut Last) {
        let contents = match read(&self.sources) {
            Ok(contents) if contents == last.contents => return,
            Ok(contents) => contents,
            Err(reason) => return self.failed(last, &reason),
        };
        match (self.make)(&contents) {
            Ok(made) => {
                self.current.store(Arc::new(made));
                last.contents = contents;
                last.failed = false;
                tracing::info!(what = self.what, "read again: its files have changed");
            }
            Err(reason) => self.failed(last, &reason),
        }
    }

    /// Said once until it works again.
    fn failed(&self, last: &mut Last, reason: &str) {
        if !std::mem::replace(&mut last.failed, true) {
            tracing::warn!(what = self.what, reason, "cannot be read again, so the one before is still used");
        }
    }
}

impl<T> fmt::Debug for Reloading<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

fn read(sources: &[Source]) -> Result<Vec<Vec<u8>>, String> {
    let one = |source: &Source| match source {
        Source::Inline(text) => Ok(text.clone()),
        Source::File(path) => fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display())),
    };
    sources.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(path: &std::path::Path, every: Option<Duration>) -> Result<Reloading<u32>, String> {
        Reloading::new("a number", vec![Source::File(path.to_owned())], every, |contents| {
            String::from_utf8_lossy(&contents[0]).trim().parse().map_err(|_| "not a number".to_owned())
        })
    }

    #[test]
    fn the_last_good_one_is_used_until_there_is_a_better_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("number");
        assert!(number(&path, None).unwrap_err().contains("cannot read"));
        fs::write(&path, "1").unwrap();
        let (fixed, reloading) = (number(&path, None).unwrap(), number(&path, Some(Duration::ZERO)).unwrap());
        for (text, expected) in [(Some("2"), 2), (Some("nonsense"), 2), (None, 2), (Some("3"), 3)] {
            match text {
                Some(text) => fs::write(&path, text).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            assert_eq!((*reloading.current(), *fixed.current()), (expected, 1), "{text:?}");
        }
    }
}
