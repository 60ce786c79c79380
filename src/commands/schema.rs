//! `sekisho schema`: what a configuration may hold, as JSON Schema for editors.

use std::io::Write as _;

use super::Failure;
use crate::registry;

/// Prints the schema of the whole configuration.
pub fn run() -> Result<(), Failure> {
    let _ = writeln!(std::io::stdout(), "{:#}", registry::schema());
    Ok(())
}
