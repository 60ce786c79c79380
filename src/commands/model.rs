//! `sekisho model`: carries what was learned from one place to another.
//!
//! A gateway that learned in staging, or from `sekisho replay`, leaves its model in a `file_storage`; production begins
//! with it. The gateway must not be running on the store: one process at a time opens it.

use std::{
    fs::File,
    io::{BufReader, BufWriter, Write as _},
    path::PathBuf,
};

use clap::{Args, Subcommand};

use super::Failure;
use crate::{
    processors::anomaly::export::{self, Error},
    store::Store,
};

/// What to do.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Write what was learned to a file, or to stdout
    Export(Export),
    /// Have a gateway begin with what another has learned
    Import(Import),
}

#[derive(Args, Debug)]
struct Place {
    /// Directory of the `file_storage`
    #[arg(long, value_name = "DIRECTORY")]
    store: PathBuf,
    /// Which `anomaly`, by its id
    #[arg(long, value_name = "ID", default_value = "anomaly")]
    detector: String,
}

#[derive(Args, Debug)]
struct Export {
    #[command(flatten)]
    place: Place,
    /// Write here
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Args, Debug)]
struct Import {
    #[command(flatten)]
    place: Place,
    /// What `sekisho model export` wrote
    file: PathBuf,
    /// Have what was learned here before forgotten
    #[arg(long)]
    replace: bool,
}

/// Does what the arguments say.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.action {
        Action::Export(wanted) => export(wanted),
        Action::Import(wanted) => import(wanted),
    }
}

fn export(wanted: &Export) -> Result<(), Failure> {
    let store = wanted.place.open(false)?;
    let written = match &wanted.out {
        Some(path) => {
            let file = File::create(path).map_err(|error| super::demo::unwritable(path, &error))?;
            export::export(&store, &wanted.place.detector, &mut BufWriter::new(file))
        }
        None => export::export(&store, &wanted.place.detector, &mut BufWriter::new(std::io::stdout().lock())),
    };
    say(&format!("exported {} records", written.map_err(|error| failed(&error))?));
    Ok(())
}

fn import(wanted: &Import) -> Result<(), Failure> {
    let unreadable = |error| Failure::Work(format!("{}: {error}", wanted.file.display()));
    let mut file = BufReader::new(File::open(&wanted.file).map_err(unreadable)?);
    let store = wanted.place.open(true)?;
    let functions = export::import(&store, &wanted.place.detector, &mut file, wanted.replace);
    let functions = functions.map_err(|error| failed(&error))?;
    say(&format!("imported a model of {functions} functions"));
    Ok(())
}

impl Place {
    fn open(&self, create: bool) -> Result<Store, Failure> {
        Store::open(&self.store, create, "model").map_err(|error| Failure::Work(error.to_string()))
    }
}

fn failed(error: &Error) -> Failure {
    Failure::Work(error.to_string())
}

/// Stdout is for the model.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
