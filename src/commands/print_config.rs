//! `sekisho print-config`: the configuration as merged and expanded, secrets redacted.

use std::io::Write as _;

use super::{Failure, Sources};
use crate::config;

/// Prints the effective configuration as YAML.
pub fn run(sources: &Sources) -> Result<(), Failure> {
    let (plan, problems) = sources.load()?;
    let shown = config::redacted(&plan.root.tree, &problems);
    let _ = write!(std::io::stdout(), "{}", config::print(&shown));
    Ok(())
}
