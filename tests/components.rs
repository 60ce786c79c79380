//! Every row of the registry, through a whole life: built, started, fed, reloaded, drained, stopped, and once more.
#![allow(clippy::unwrap_used, reason = "a test says more by failing where it stands")]

mod support;

use std::{fmt::Write as _, net::SocketAddr, path::Path, time::Duration};

use prost::Message as _;
use sekisho::{
    commands::plan,
    config::Kind,
    otlp::{Batch, Signal},
    pipeline::Outcome,
    registry::{COMPONENTS, Component},
    service::Service,
};
use support::{eventually, input, sink::Sink};

/// How long a component with a healthy destination may take to stop.
const STOP_BUDGET: Duration = Duration::from_secs(10);

/// What a component needs beside its defaults: those that must be told something, and those that would listen on a
/// fixed port or write outside of the test's directory.
fn minimal(component: &Component, grpc: SocketAddr, http: SocketAddr) -> String {
    match (component.kind, component.name) {
        (Kind::Receiver, "otlp") => {
            "{protocols: {grpc: {endpoint: 127.0.0.1:0}, http: {endpoint: 127.0.0.1:0}}}".to_owned()
        }
        (Kind::Processor, "memory_limiter") => "{limit_mib: 16384}".to_owned(),
        (Kind::Processor, "resource") => "{attributes: [{key: a, value: b, action: upsert}]}".to_owned(),
        (Kind::Processor, "attributes") => "{actions: [{key: a, value: b, action: upsert}]}".to_owned(),
        (Kind::Exporter, "otlp_grpc") => format!("{{endpoint: '{grpc}', tls: {{insecure: true}}}}"),
        (Kind::Exporter, "otlp_http" | "webhook" | "alertmanager" | "ocsf" | "prometheus_remote_write") => {
            format!("{{endpoint: 'http://{http}'}}")
        }
        (Kind::Exporter, "grafana_annotations" | "splunk_hec") => {
            format!("{{endpoint: 'http://{http}', token: hunter2}}")
        }
        (Kind::Exporter, "slack" | "microsoft_teams") => format!("{{webhook_url: 'http://{http}'}}"),
        (Kind::Exporter, "pagerduty") => format!("{{endpoint: 'http://{http}', routing_key: hunter2}}"),
        (Kind::Exporter, "datadog") => format!(
            "{{api_key: hunter2, events_endpoint: 'http://{http}', logs_endpoint: 'http://{http}', \
             metrics_endpoint: 'http://{http}'}}"
        ),
        (Kind::Exporter, "load_balancing") => {
            format!(
                "{{protocol: {{otlp: {{tls: {{insecure: true}}}}}}, resolver: {{static: {{hostnames: ['{grpc}']}}}}}}"
            )
        }
        (Kind::Exporter, "syslog") => {
            format!("{{endpoint: '{}', port: {}, tls: {{insecure: true}}}}", http.ip(), http.port())
        }
        (Kind::Exporter, "escalation") => {
            "{audit_log: audit.jsonl, playbooks: [{name: watch, stages: [{stage: observe}]}]}".to_owned()
        }
        (Kind::Exporter, "file") => "{path: out.jsonl}".to_owned(),
        (Kind::Exporter, "prometheus") | (Kind::Extension, "console" | "health_check" | "zpages" | "pprof") => {
            "{endpoint: 127.0.0.1:0}".to_owned()
        }
        (Kind::Extension, "file_storage") => "{directory: state}".to_owned(),
        (Kind::Extension, "bearertokenauth") => "{token: hunter2}".to_owned(),
        (Kind::Extension, "basicauth") => "{client_auth: {username: a, password: hunter2}}".to_owned(),
        (Kind::Extension, "headers_setter") => "{headers: [{key: a, value: b}]}".to_owned(),
        _ => "{}".to_owned(),
    }
}

/// A configuration that puts the component to work on every signal it takes.
fn configuration(component: &Component, own: &str) -> String {
    let name = component.name;
    let mut pipelines = String::new();
    let mut pipeline = |signal: &Signal, which: &str, receiver: &str, processors: &str, exporter: &str| {
        let signal = signal.name();
        let _ = write!(
            pipelines,
            "\n    {signal}/{which}: {{receivers: [{receiver}], processors: [{processors}], exporters: [{exporter}]}}"
        );
    };
    for signal in component.signals {
        match component.kind {
            Kind::Receiver => pipeline(signal, "in", name, "", "debug"),
            Kind::Processor => pipeline(signal, "in", "otlp", name, "debug"),
            Kind::Exporter | Kind::Connector => pipeline(signal, "in", "otlp", "", name),
            Kind::Extension => {}
        }
    }
    let produced = if component.produces.is_empty() { component.signals } else { component.produces };
    match component.kind {
        Kind::Connector => produced.iter().for_each(|signal| pipeline(signal, "out", name, "", "debug")),
        Kind::Processor => component.produces.iter().for_each(|signal| pipeline(signal, "out", name, "", "debug")),
        Kind::Extension => pipeline(&Signal::Logs, "in", "otlp", "", "debug"),
        Kind::Receiver | Kind::Exporter => {}
    }
    let own = if name == "routing" { routes(produced) } else { own.to_owned() };
    let section = |kind: Kind, also: &str| {
        let own = if kind == component.kind && !also.starts_with(&format!("{name}:")) {
            format!("{name}: {own}")
        } else {
            String::new()
        };
        format!(
            "{}: {{{}}}\n",
            kind.section(),
            [also, &own].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
        )
    };
    let otlp = if component.kind == Kind::Receiver { "" } else { "otlp: {protocols: {grpc: {endpoint: 127.0.0.1:0}}}" };
    let extensions = if component.kind == Kind::Extension { name } else { "" };
    [
        "yaml:\n".to_owned(),
        section(Kind::Receiver, otlp),
        section(Kind::Processor, ""),
        section(Kind::Exporter, "debug: {}"),
        section(Kind::Connector, ""),
        section(Kind::Extension, ""),
        format!("service:\n  extensions: [{extensions}]\n  telemetry: {{metrics: {{level: none}}}}\n  pipelines:{pipelines}\n"),
    ]
    .concat()
}

fn routes(signals: &[Signal]) -> String {
    let rows = signals.iter().map(|signal| format!("{{condition: 'true', pipelines: [{}/out]}}", signal.name()));
    format!("{{table: [{}]}}", rows.collect::<Vec<_>>().join(", "))
}

fn batches() -> [Batch; 3] {
    let batch = |signal, body: Vec<u8>, items| Batch { signal, body: body.into(), items };
    [
        batch(Signal::Traces, input::invocations("f", 0, 3).encode_to_vec(), 3),
        batch(Signal::Metrics, input::metrics(1).encode_to_vec(), 1),
        batch(Signal::Logs, input::logs(1).encode_to_vec(), 1),
    ]
}

/// Answers everything with 200.
async fn http_sink() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = axum::Router::new().fallback(|| async { axum::http::StatusCode::OK });
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn live(component: &Component, yaml: &str, directory: &Path) {
    let what = format!("{} {}", component.kind.name(), component.name);
    let read = || match plan(&[yaml.to_owned()], &[]) {
        Ok((plan, _)) => plan,
        Err(problems) => panic!("{what}: does it need a line in `minimal`?\n{yaml}\n{problems}"),
    };
    let mut service = Service::start(read(), directory.to_owned()).await.unwrap();
    service.reload(read()).await.unwrap();
    for batch in batches() {
        let signal = batch.signal;
        if let Some(next) = service.inputs().get(signal) {
            let outcome = next.consume(batch).await;
            // It takes nothing but alerts, and has no queue behind which to say so.
            let refuses = component.name == "escalation" && matches!(outcome, Outcome::Partial { rejected: 1, .. });
            assert!(outcome == Outcome::Accepted || refuses, "{what} with {}: {outcome:?}", signal.name());
        }
    }
    let stopped = tokio::time::timeout(STOP_BUDGET, service.stop()).await;
    assert!(stopped.is_ok(), "{what} does not stop within {STOP_BUDGET:?}");
}

/// Guarantees: every component builds with the least that must be said, takes every signal it says it takes, survives a
/// reload, stops within its budget, leaves no task behind, and can be started again in the same place.
#[tokio::test(flavor = "multi_thread")]
async fn every_component_lives_and_ends_and_lives_again() {
    let _ = support::http();
    let ((_sink, grpc), http) = (Sink::start().await, http_sink().await);
    let runtime = tokio::runtime::Handle::current();
    for component in COMPONENTS {
        let directory = tempfile::tempdir().unwrap();
        let yaml = configuration(component, &minimal(component, grpc, http));
        let before = runtime.metrics().num_alive_tasks();
        for _ in 0..2 {
            live(component, &yaml, directory.path()).await;
        }
        let what = format!("{} {} leaves no task", component.kind.name(), component.name);
        // A sink serves each connection with a few tasks; they end when the exporter's connections do.
        eventually(&what, async || (runtime.metrics().num_alive_tasks() <= before).then_some(())).await;
    }
}
