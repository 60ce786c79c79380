//! `sekisho validate`: all problems at once, with file, line and excerpt; exit code 2 if any is an error.

use std::io::Write as _;

use super::{Failure, Sources};

/// Checks the configuration; prints what is odd about a good one.
pub fn run(sources: &Sources) -> Result<(), Failure> {
    let (_, problems) = sources.load()?;
    if !problems.is_empty() {
        let _ = writeln!(std::io::stderr(), "{problems}");
    }
    let _ = writeln!(std::io::stdout(), "the configuration is valid");
    Ok(())
}
