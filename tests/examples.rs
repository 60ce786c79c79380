//! Every file in `config-examples/` and every YAML block of the README is valid; every example starts and stops.
#![allow(clippy::unwrap_used, clippy::float_cmp, reason = "a test says more by failing where it stands")]

mod support;

use std::path::Path;

use support::{Gateway, sekisho};

fn examples() -> Vec<std::path::PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("config-examples");
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let examples: Vec<_> = files.filter(|path| path.extension().is_some_and(|end| end == "yaml")).collect();
    assert!(examples.len() >= 4, "{examples:?}");
    examples
}

#[tokio::test]
async fn every_example_starts_and_stops() {
    for example in examples() {
        let text = std::fs::read_to_string(&example).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        let mut arguments = vec![
            "--set=receivers.otlp.protocols.grpc.endpoint=127.0.0.1:0".to_owned(),
            "--set=receivers.otlp.protocols.http.endpoint=127.0.0.1:0".to_owned(),
        ];
        if text.contains("health_check:") {
            arguments.push("--set=extensions.health_check.endpoint=127.0.0.1:0".to_owned());
        }
        if text.contains("console:") {
            arguments.push("--set=extensions.console.endpoint=127.0.0.1:0".to_owned());
        }
        if text.contains("file_storage:") {
            arguments.push(format!("--set=extensions.file_storage.directory={}", state.display()));
        }
        if text.contains("cert_file:") {
            let authority = support::certificates::Authority::new();
            authority.issue("gateway.example.com").write(directory.path(), "gateway");
            std::fs::write(directory.path().join("senders.crt"), &authority.pem).unwrap();
            std::fs::write(directory.path().join("token"), "a-token").unwrap();
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let gateway = Gateway::start_in(directory, &text, &arguments).await;
        gateway.terminate().await;
    }
}

#[test]
fn every_example_is_valid_as_it_stands() {
    for example in examples() {
        let directory = tempfile::tempdir().unwrap();
        let (code, _, stderr) = sekisho(&["validate", "--config", example.to_str().unwrap()], directory.path());
        assert_eq!(code, Some(0), "{}:\n{stderr}", example.display());
    }
}

#[test]
fn the_readme_lists_the_registry_and_its_yaml_is_valid() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    for component in sekisho::registry::COMPONENTS {
        let row = format!("| {} | `{}` |", component.kind.name(), component.name);
        assert!(readme.contains(&row), "README has no row {row}");
    }
    let blocks: Vec<&str> = readme.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("block.yaml"), block).unwrap();
        let (code, _, stderr) = sekisho(&["validate", "--config", "block.yaml"], directory.path());
        assert_eq!(code, Some(0), "{block}\n{stderr}");
    }
}
