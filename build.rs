//! Compiles every schema under `proto/` without a system `protoc`.

use std::{
    error::Error,
    fs, io,
    path::{Path, PathBuf},
};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let mut schemas = Vec::new();
    collect(Path::new("proto"), &mut schemas)?;
    // Sorted, so that the output does not depend on the order of the directory.
    schemas.sort();
    let descriptors = protox::compile(&schemas, ["proto"])?;
    prost_build::Config::new().compile_fds(descriptors)?;
    Ok(())
}

fn collect(directory: &Path, schemas: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, schemas)?;
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            schemas.push(path);
        }
    }
    Ok(())
}
