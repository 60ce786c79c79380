use super::*;

const PARTS: &str = "yaml:
receivers: {otlp: {protocols: {grpc: }}}
processors: {batch: , anomaly: }
exporters: {debug: }
connectors: {forward: , count: , span_metrics: , routing: {table: [{condition: 'true', pipelines: [ROUTE]}]}}
service:
  pipelines:
";

/// What is wrong with these pipelines; `routing` leads to `route`.
fn problems(pipelines: &str, route: &str) -> String {
    let (root, mut problems) =
        config::read(&[PARTS.replace("ROUTE", route) + pipelines], &[], &|name| std::env::var(name).ok());
    plan(root, &mut problems);
    problems.to_string()
}

#[test]
fn connectors_that_fit_are_taken() {
    let good = "
    traces: {receivers: [otlp], exporters: [routing, span_metrics]}
    traces/a: {receivers: [routing], processors: [batch], exporters: [forward]}
    traces/b: {receivers: [forward], exporters: [debug, count]}
    metrics: {receivers: [count, span_metrics], exporters: [debug]}";
    let said = problems(good, "traces/a");
    assert!(!said.contains("error:"), "{said}");
}

/// Pipelines, where `routing` leads, what is said.
#[test]
fn connectors_that_do_not_fit_are_told_why() {
    let table = [
        (
            "does not take logs",
            "    logs: {receivers: [otlp], exporters: [span_metrics]}\n    metrics: {receivers: [span_metrics], exporters: [debug]}",
            "`span_metrics` does not take logs",
        ),
        (
            "does not produce traces",
            "    logs: {receivers: [otlp], exporters: [count]}\n    traces: {receivers: [count], exporters: [debug]}",
            "`count` does not produce traces",
        ),
        (
            "another signal at the other end",
            "    logs: {receivers: [otlp], exporters: [forward]}\n    traces: {receivers: [forward], exporters: [debug]}",
            "`forward` hands on what it takes, and is a receiver of no pipeline of logs",
        ),
        (
            "the same, seen from there",
            "    logs: {receivers: [otlp], exporters: [forward]}\n    traces: {receivers: [forward], exporters: [debug]}",
            "`forward` hands on what it takes, and takes no traces",
        ),
        (
            "a route to nowhere",
            "    traces: {receivers: [otlp], exporters: [routing]}\n    traces/a: {receivers: [routing], exporters: [debug]}",
            "there is no pipeline `traces/aa`",
        ),
        (
            "a route to a pipeline that does not listen",
            "    traces: {receivers: [otlp], exporters: [routing]}\n    traces/a: {receivers: [routing], exporters: [debug]}\n    traces/aa: {receivers: [otlp], exporters: [debug]}",
            "pipeline `traces/aa` does not list `routing` as a receiver",
        ),
        (
            "a source that nothing feeds",
            "    traces: {receivers: [otlp], exporters: [debug]}\n    logs: {receivers: [anomaly], exporters: [debug]}",
            "`anomaly` is a processor of no pipeline, so it has no logs",
        ),
    ];
    for (row, pipelines, expected) in table {
        let said = problems(pipelines, "traces/aa");
        assert!(said.contains(expected), "{row}: {said}");
    }
}
