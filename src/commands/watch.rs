//! Which files a configuration was read from, and whether they say something else now.
//!
//! They are read again every half second rather than watched by the kernel: that works the same on every file system,
//! through the links that Kubernetes exchanges, and when a file is replaced.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use super::Sources;
use crate::registry::Plan;

/// How often the files are read. A change counts when two readings agree on it: it is not half written then.
const POLL: Duration = Duration::from_millis(500);
/// Of each file; the longest configuration is shorter.
const LONGEST: u64 = 64 << 20;

/// The files and what they said.
pub struct Watch {
    paths: BTreeSet<PathBuf>,
    /// What the running configuration was read from.
    taken: Vec<Option<Vec<u8>>>,
    /// What the last reading found.
    last: Vec<Option<Vec<u8>>>,
}

impl Watch {
    /// The files of `sources`, and those that `plan` was read from besides.
    pub async fn new(sources: &Sources, plan: &Plan) -> Self {
        let mut watch = Self { paths: BTreeSet::new(), taken: Vec::new(), last: Vec::new() };
        let named = sources.config.iter().map(|source| source.strip_prefix("file:").unwrap_or(source));
        let no_file = |name: &&str| !name.starts_with("yaml:") && !name.starts_with("env:") && *name != "--set";
        watch.paths.extend(named.filter(no_file).map(PathBuf::from));
        watch.also(plan).await;
        watch
    }

    /// Watches the files `plan` was read from too, as they are now.
    pub async fn also(&mut self, plan: &Plan) {
        let files = plan.root.texts.names().map(PathBuf::from).filter(|path| path.is_file());
        self.paths.extend(files);
        self.taken = read(&self.paths).await;
        self.last.clone_from(&self.taken);
    }

    /// Returns when the files say something else, and have said the same twice.
    pub async fn changed(&mut self) {
        loop {
            tokio::time::sleep(POLL).await;
            let found = read(&self.paths).await;
            let settled = found == self.last;
            self.last = found;
            if settled && self.last != self.taken {
                self.taken.clone_from(&self.last);
                return;
            }
        }
    }
}

async fn read(paths: &BTreeSet<PathBuf>) -> Vec<Option<Vec<u8>>> {
    let mut texts = Vec::with_capacity(paths.len());
    for path in paths {
        let small = tokio::fs::metadata(path).await.is_ok_and(|file| file.len() <= LONGEST);
        texts.push(if small { tokio::fs::read(path).await.ok() } else { None });
    }
    texts
}
