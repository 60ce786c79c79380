//! `sekisho validate`: all problems at once, with file, line and excerpt; exit code 2 if any is an error.

use std::io::Write as _;

use clap::Args;

use super::{Failure, Output, Sources};

/// How problems are told.
#[derive(Args, Clone, Copy, Debug)]
pub struct Arguments {
    /// For people, or for editors and CI
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Checks the configuration; prints what is odd about a good one.
pub fn run(sources: &Sources, arguments: Arguments) -> Result<(), Failure> {
    let loaded = match sources.load() {
        Ok((_, problems)) => Ok(problems),
        Err(Failure::Configuration(problems)) => Err(problems),
        Err(other) => return Err(other),
    };
    if arguments.output == Output::Json {
        let (valid, problems) = match loaded {
            Ok(problems) => (true, Box::new(problems)),
            Err(problems) => (false, problems),
        };
        let _ = writeln!(std::io::stdout(), "{:#}", problems.to_json());
        return if valid { Ok(()) } else { Err(Failure::Told) };
    }
    let problems = loaded.map_err(Failure::Configuration)?;
    if !problems.is_empty() {
        let _ = writeln!(std::io::stderr(), "{}", problems.render(super::style()));
    }
    let _ = writeln!(std::io::stdout(), "the configuration is valid");
    Ok(())
}
