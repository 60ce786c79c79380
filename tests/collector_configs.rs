//! The Collector's keys, in the combinations its documentation and tests show: every file in `collector_configs/` is valid.
//! What is behind `# later:` in them is the Collector's and not yet ours.
#![allow(clippy::unwrap_used, reason = "a test says more by failing where it stands")]

use std::{path::Path, process::Command};

/// What the files refer to.
const VARIABLES: [(&str, &str); 3] =
    [("HEALTH_PORT", "13133"), ("OWNER", "platform"), ("PROTOCOLS", "{http: {endpoint: 'localhost:14318'}}")];

#[test]
fn every_collector_configuration_is_valid() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/collector_configs");
    let mut wrong = Vec::new();
    let mut files = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let mut gateway = Command::new(env!("CARGO_BIN_EXE_sekisho"));
        let output = gateway.args(["validate", "--config"]).arg(&path).envs(VARIABLES).output().unwrap();
        if output.status.code() != Some(0) {
            wrong.push(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        files += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(files >= 13, "{files}");
}
