//! Arguments and exit codes; nothing else.

use std::process::ExitCode;

use clap::Parser as _;
use sekisho::commands::Cli;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    sekisho::commands::run(Cli::parse())
}
