//! Starting, stopping, reloading and remembering, seen from outside.
#![allow(clippy::unwrap_used, clippy::float_cmp, reason = "a test says more by failing where it stands")]

mod support;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use support::{Gateway, eventually, input, sekisho, sink::Sink};

fn detecting(to: std::net::SocketAddr) -> String {
    format!(
        "
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: 127.0.0.1:0}}}}}}}}
processors: {{faas: {{}}, anomaly: {{annotate: all, state: file_storage}}}}
exporters: {{otlp_grpc: {{endpoint: '{to}', tls: {{insecure: true}}}}}}
extensions: {{health_check: {{endpoint: 127.0.0.1:0}}, file_storage: {{directory: state}}}}
service:
  extensions: [health_check, file_storage]
  pipelines:
    traces: {{receivers: [otlp], processors: [faas, anomaly], exporters: [otlp_grpc]}}
"
    )
}

/// Scenario: learn, stop, start again in the same directory.
/// Guarantees: the restarted gateway knows the function.
#[tokio::test]
async fn a_restart_does_not_forget() {
    let (_sink, address) = Sink::start().await;
    let gateway = Gateway::start(&detecting(address)).await;
    let mut client = TraceServiceClient::connect(gateway.grpc()).await.unwrap();
    client.export(input::invocations("f", 0, 500)).await.unwrap();
    assert_eq!(gateway.metrics().await["sekisho_functions{processor=\"anomaly\"}"], 1.0);
    let directory = gateway.terminate().await;
    let again = Gateway::start_in(directory, &detecting(address), &[]).await;
    assert_eq!(again.metrics().await["sekisho_functions{processor=\"anomaly\"}"], 1.0);
}

/// Scenario: SIGHUP with a good file, then with a bad one.
/// Guarantees: the good one takes effect without closing the listener; the bad one changes nothing and says why.
#[tokio::test]
async fn sighup_takes_a_good_file_and_leaves_a_bad_one() {
    let (first, first_address) = Sink::start().await;
    let (second, second_address) = Sink::start().await;
    let mut gateway = Gateway::start(&detecting(first_address)).await;
    let mut client = TraceServiceClient::connect(gateway.grpc()).await.unwrap();
    client.export(input::invocations("f", 0, 5)).await.unwrap();
    eventually("the first sink has it", async || (first.spans().len() == 5).then_some(())).await;

    std::fs::write(&gateway.config, detecting(second_address)).unwrap();
    gateway.signal("HUP");
    gateway.wait_for_log("the reload", |line| line["message"] == "configuration reloaded").await;
    client.export(input::invocations("f", 5, 5)).await.unwrap();
    eventually("the second sink has it", async || (second.spans().len() == 5).then_some(())).await;
    assert_eq!(gateway.metrics().await["sekisho_functions{processor=\"anomaly\"}"], 1.0, "learned state survives");

    std::fs::write(&gateway.config, detecting(first_address).replace("annotate", "anotate")).unwrap();
    gateway.signal("HUP");
    let refused = gateway
        .wait_for_log("the refusal", |line| {
            line["message"].as_str().is_some_and(|text| text.starts_with("configuration not reloaded"))
        })
        .await;
    assert!(refused["reason"].as_str().unwrap().contains("annotate"), "names the nearest key: {refused}");
    client.export(input::invocations("f", 10, 5)).await.unwrap();
    eventually("still the second sink", async || (second.spans().len() == 10).then_some(())).await;
    assert_eq!(first.spans().len(), 5);
}

/// Scenario: a destination that refuses for long, then takes again.
/// Guarantees: the health endpoint names the pipeline and why, and recovers.
#[tokio::test]
async fn health_tells_the_truth_about_a_failing_destination() {
    let (sink, address) = Sink::start().await;
    let config = detecting(address)
        .replace("insecure: true}", "insecure: true}, retry_on_failure: {initial_interval: 20ms, max_interval: 20ms}");
    let gateway = Gateway::start(&config).await;
    let url = format!("http://{}/", gateway.endpoint("extension health_check", "http"));
    assert_eq!(support::http().get(&url).send().await.unwrap().status(), 200);
    sink.refuse();
    let mut client = TraceServiceClient::connect(gateway.grpc()).await.unwrap();
    client.export(input::invocations("f", 0, 5)).await.unwrap();
    eventually("health turns bad", async || {
        let answer = support::http().get(&url).send().await.unwrap();
        (answer.status() == 503 && answer.text().await.unwrap().contains("otlp_grpc")).then_some(())
    })
    .await;
    sink.take();
    eventually("health recovers", async || {
        (support::http().get(&url).send().await.unwrap().status() == 200).then_some(())
    })
    .await;
}

/// Scenario: a port that is taken.
/// Guarantees: exit code 1 and a message that names the key to change.
#[tokio::test]
async fn a_taken_port_is_said_with_what_to_change() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let config = format!(
        "yaml:
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '{}'}}}}}}}}
exporters: {{debug: {{}}}}
service: {{telemetry: {{metrics: {{level: none}}}}, pipelines: {{traces: {{receivers: [otlp], exporters: [debug]}}}}}}",
        taken.local_addr().unwrap()
    );
    let directory = tempfile::tempdir().unwrap();
    let (code, _, stderr) = sekisho(&["--config", &config], directory.path());
    assert_eq!(code, Some(1));
    assert!(stderr.contains("protocols::grpc::endpoint"), "{stderr}");
}
