//! `sekisho audit verify FILE`: whether an audit log is as it was written.

use std::{io::Write as _, path::PathBuf};

use clap::{Args, Subcommand};

use super::Failure;
use crate::incidents::escalation::audit;

/// What is asked.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(subcommand)]
    question: Question,
}

#[derive(Debug, Subcommand)]
enum Question {
    /// Check that no line was changed, removed or inserted; says the first that does not fit, or the end
    Verify {
        /// The audit log of an escalation exporter
        file: PathBuf,
        /// Its end as it is known from elsewhere (the gateway's log says it at every start): the hash must be in it
        #[arg(long, value_name = "LINES:HASH", value_parser = head)]
        contains: Option<audit::Head>,
    },
}

fn head(text: &str) -> Result<audit::Head, String> {
    let wrong = || "must be a number of lines, a colon and the hash of the last of them".to_owned();
    let (lines, hash) = text.split_once(':').ok_or_else(wrong)?;
    Ok(audit::Head { lines: lines.parse().map_err(|_| wrong())?, hash: hash.to_owned() })
}

/// Answers it.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Question::Verify { file, contains } = &arguments.question;
    let broken = |why: audit::Broken| Failure::Work(format!("{}: {why}", file.display()));
    let audit::Head { lines, hash } = audit::verify(file, contains.as_ref()).map_err(broken)?;
    writeln!(std::io::stdout(), "{}: whole, {lines} lines, ends with {lines}:{hash}", file.display())
        .map_err(|error| Failure::Work(error.to_string()))
}
