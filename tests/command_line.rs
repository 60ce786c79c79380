//! The binary's commands: what they print, and their exit codes.
#![allow(clippy::unwrap_used, reason = "a test says more by failing where it stands")]

mod support;

use support::sekisho;

const TWO_MISTAKES: &str = "
receivers: {otlp: {protocols: {grpc: {endpiont: localhost:4317}}}}
exporters: {debgu: {}}
service: {pipelines: {traces: {receivers: [otlp], exporters: [debgu]}}}
";

#[test]
fn validate_reports_every_mistake_with_place_and_nearest_name() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("bad.yaml"), TWO_MISTAKES).unwrap();
    let (code, _, stderr) = sekisho(&["validate", "--config", "bad.yaml"], directory.path());
    assert_eq!(code, Some(2));
    for part in ["bad.yaml:2:", "endpiont", "endpoint", "bad.yaml:3:", "debgu", "debug"] {
        assert!(stderr.contains(part), "no {part} in:\n{stderr}");
    }
}

#[test]
fn validate_tells_editors_in_json_and_people_without_colour_in_a_pipe() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("bad.yaml"), TWO_MISTAKES).unwrap();
    let (code, stdout, stderr) = sekisho(&["validate", "--config", "bad.yaml", "--output", "json"], directory.path());
    assert_eq!((code, stderr.as_str()), (Some(2), ""));
    let report: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&report["valid"], &report["errors"]), (&false.into(), &2.into()), "{report:#}");
    let misspelt = &report["problems"][0];
    let place = ["line", "column", "end_column"].map(|key| misspelt[key].as_u64().unwrap());
    assert_eq!(place, [2, 39, 47], "{misspelt:#}");
    assert_eq!(misspelt["file"], "bad.yaml");
    assert_eq!(misspelt["path"], "receivers::otlp::protocols::grpc::endpiont");
    assert_eq!(misspelt["hint"], "did you mean `endpoint`?");

    let (_, _, stderr) = sekisho(&["validate", "--config", "bad.yaml"], directory.path());
    assert!(!stderr.contains('\x1b'), "{stderr}");

    let good = "yaml:{receivers: {otlp: {protocols: {grpc: }}}, exporters: {debug: }, \
                service: {pipelines: {traces: {receivers: [otlp], exporters: [debug]}}}}";
    let (code, stdout, _) = sekisho(&["validate", "--config", good, "--output", "json"], directory.path());
    let report: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &report["valid"], &report["problems"]), (Some(0), &true.into(), &serde_json::json!([])));
}

#[test]
fn schema_prints_what_the_registry_says() {
    let directory = tempfile::tempdir().unwrap();
    let (code, stdout, _) = sekisho(&["schema"], directory.path());
    assert_eq!(code, Some(0));
    let printed: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(printed, sekisho::registry::schema());
}

#[test]
fn print_config_merges_expands_and_redacts() {
    let directory = tempfile::tempdir().unwrap();
    let base = "
receivers: {otlp: {protocols: {grpc: }}}
exporters: {otlp_http: {endpoint: 'http://a:4318', headers: {authorization: s3cret}}}
service: {pipelines: {traces: {receivers: [otlp], exporters: [otlp_http]}}}
";
    std::fs::write(directory.path().join("a.yaml"), base).unwrap();
    std::fs::write(directory.path().join("b.yaml"), "exporters: {otlp_http: {timeout: '${env:NONE:-7s}'}}").unwrap();
    let arguments =
        ["print-config", "--config", "a.yaml", "--config", "b.yaml", "--set", "exporters.otlp_http.compression=zstd"];
    let (code, stdout, stderr) = sekisho(&arguments, directory.path());
    assert_eq!(code, Some(0), "{stderr}");
    for part in ["timeout: 7s", "compression: zstd", "http://a:4318", "[redacted]"] {
        assert!(stdout.contains(part), "no {part} in:\n{stdout}");
    }
    assert!(!stdout.contains("s3cret"));
}

#[test]
fn components_lists_the_registry() {
    let directory = tempfile::tempdir().unwrap();
    let (code, stdout, _) = sekisho(&["components"], directory.path());
    assert_eq!(code, Some(0));
    for component in sekisho::registry::COMPONENTS {
        assert!(stdout.contains(component.name), "no {}", component.name);
    }
}

#[test]
fn without_a_configuration_it_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let (code, _, stderr) = sekisho(&[], directory.path());
    assert_eq!(code, Some(2));
    assert!(stderr.contains("--config FILE"), "{stderr}");
}
