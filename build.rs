//! Compiles every schema under `proto/` without a system `protoc`.

use std::{
    error::Error,
    fs, io,
    path::{Path, PathBuf},
};

use prost_types::field_descriptor_proto::Type;

/// The package that is spoken as JSON too.
const SPOKEN: &str = "sekisho.control.v1";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let mut schemas = Vec::new();
    collect(Path::new("proto"), &mut schemas)?;
    // Sorted, so that the output does not depend on the order of the directory.
    schemas.sort();
    let descriptors = protox::compile(&schemas, ["proto"])?;
    let mut config = prost_build::Config::new();
    let spoken = descriptors.file.iter().filter(|file| file.package() == SPOKEN);
    for message in spoken.flat_map(|file| &file.message_type) {
        let path = format!(".{SPOKEN}.{}", message.name());
        config.type_attribute(&path, "#[derive(serde::Serialize, serde::Deserialize)]");
        config.type_attribute(&path, "#[serde(default, deny_unknown_fields)]");
        for field in message.field.iter().filter(|field| field.r#type() == Type::Uint64) {
            // JavaScript's numbers end at 2^53.
            config.field_attribute(
                format!("{path}.{}", field.name()),
                "#[serde(with = \"crate::incidents::control::decimal\")]",
            );
        }
    }
    config.compile_fds(descriptors)?;
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
