//! The reader as a whole: tables of good and bad texts. Field types and decoding have their own below.

mod decoding;
mod fields;
mod hostile;
mod reading;

use super::{Problems, Root};

/// Reads `yaml` as the only source; the variables `PORT`, `HOST`, `TOKEN`, `EMPTY` and `LIST` are set.
fn read(yaml: &str) -> (Root, Problems) {
    read_with(&[yaml], &[])
}

fn read_with(yaml: &[&str], sets: &[&str]) -> (Root, Problems) {
    let directory = tempfile::tempdir().expect("a directory");
    let sources: Vec<String> = yaml
        .iter()
        .enumerate()
        .map(|(index, text)| {
            let path = directory.path().join(format!("{index}.yaml"));
            std::fs::write(&path, text).expect("a file");
            path.display().to_string()
        })
        .collect();
    let sets: Vec<String> = sets.iter().map(ToString::to_string).collect();
    super::read(&sources, &sets, &variable)
}

fn variable(name: &str) -> Option<String> {
    let value = match name {
        "PORT" => "4317",
        "HOST" => "tempo",
        "TOKEN" => "hunter2",
        "EMPTY" => "",
        "LIST" => "[a, b]",
        "NAME" => "HOST",
        "ZIP" => "0123",
        "DOLLAR" => "a$$b${env:PORT}",
        "COLON" => "user: pass",
        _ => return None,
    };
    Some(value.to_owned())
}

const GOOD: &str = "\
receivers:
  otlp:
    protocols:
      grpc:
processors:
  batch: {timeout: 2s}
exporters:
  debug:
service:
  pipelines:
    traces:
      receivers: [otlp]
      processors: [batch]
      exporters: [debug]
";
