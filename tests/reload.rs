//! Exchanging the configuration under a running gateway, seen from outside.
#![allow(clippy::unwrap_used, clippy::float_cmp, reason = "a test says more by failing where it stands")]

mod support;

use std::{
    error::Error as _,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceRequest, trace_service_client::TraceServiceClient},
    common::v1::any_value::Value,
};
use prost::Message as _;
use support::{Gateway, eventually, input, sink::Sink};
use tonic::transport::Channel;

/// What a configuration is made of; each field is something a reload may change.
#[derive(Clone)]
struct Setup {
    endpoint: String,
    in_flight: &'static str,
    budget: &'static str,
    attribute: &'static str,
    batch_timeout: &'static str,
    health_path: &'static str,
    more: bool,
    to: SocketAddr,
}

impl Setup {
    fn to(to: SocketAddr) -> Self {
        Self {
            endpoint: "127.0.0.1:0".to_owned(),
            in_flight: "128MiB",
            budget: "1/week",
            attribute: "first",
            batch_timeout: "10ms",
            health_path: "/",
            more: false,
            to,
        }
    }

    fn yaml(&self) -> String {
        let Self { endpoint, in_flight, budget, attribute, batch_timeout, health_path, to, .. } = self;
        let more = if self.more {
            "\n    logs: {receivers: [otlp], exporters: [otlp_grpc]}\n    metrics: {receivers: [count], exporters: [otlp_grpc]}"
        } else {
            ""
        };
        let (count, connectors) = if self.more { (", count", "forward: {}, count: {}") } else { ("", "forward: {}") };
        format!(
            "
receivers:
  otlp:
    max_in_flight_size: {in_flight}
    protocols: {{grpc: {{endpoint: '{endpoint}'}}, http: {{endpoint: 127.0.0.1:0}}}}
processors:
  faas: {{}}
  anomaly: {{budget: {budget}}}
  attributes: {{actions: [{{key: reload, value: {attribute}, action: upsert}}]}}
  batch: {{timeout: {batch_timeout}}}
connectors: {{{connectors}}}
exporters: {{otlp_grpc: {{endpoint: '{to}', tls: {{insecure: true}}}}}}
extensions: {{health_check: {{endpoint: 127.0.0.1:0, path: {health_path}}}}}
service:
  extensions: [health_check]
  pipelines:
    traces/in: {{receivers: [otlp], processors: [faas, anomaly], exporters: [forward{count}]}}
    traces/out: {{receivers: [forward], processors: [attributes, batch], exporters: [otlp_grpc]}}{more}
"
        )
    }
}

/// Writes the configuration and waits until it runs.
async fn reload(gateway: &mut Gateway, yaml: &str) {
    let reloads = count(gateway, "configuration reloaded");
    std::fs::write(&gateway.config, yaml).unwrap();
    gateway.signal("HUP");
    settled(gateway, reloads).await;
}

async fn settled(gateway: &Gateway, reloads: usize) {
    let refusals = || gateway.log_lines().into_iter().find(|line| line["message"] == REFUSED);
    eventually("the reload", async || {
        assert!(refusals().is_none(), "{:?}", refusals());
        (count(gateway, "configuration reloaded") > reloads).then_some(())
    })
    .await;
}

const REFUSED: &str = "configuration not reloaded, running on with the old one";

fn count(gateway: &Gateway, message: &str) -> usize {
    gateway.log_lines().iter().filter(|line| line["message"] == message).count()
}

async fn health(gateway: &Gateway, path: &str) -> (u16, serde_json::Value) {
    let url = format!("http://{}{path}", gateway.endpoint("extension health_check", "http"));
    let answer = support::http().get(url).send().await.unwrap();
    (answer.status().as_u16(), serde_json::from_str(&answer.text().await.unwrap()).unwrap())
}

/// What clients put up with.
#[derive(Clone, Copy, PartialEq)]
enum Patience {
    /// Nothing but success.
    None,
    /// A request whose connection was closed before it was answered is sent again.
    AsOtlpDemands,
}

/// Clients that send one span after the other until told to end.
struct Load {
    end: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    clients: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    /// Two gRPC clients that keep their connections, two HTTP clients that open one for each request. A request that is
    /// not answered with success fails the test.
    async fn start(gateway: &Gateway, patience: Patience) -> Self {
        // The first client chooses the TLS implementation.
        let _ = support::http();
        let (end, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut clients = Vec::new();
        for _ in 0..2 {
            let (end, sent) = (end.clone(), sent.clone());
            let mut client = TraceServiceClient::connect(gateway.grpc()).await.unwrap();
            clients.push(tokio::spawn(async move {
                while !end.load(Ordering::SeqCst) {
                    let request = one(&sent);
                    match patience {
                        Patience::None => drop(client.export(request).await.unwrap()),
                        Patience::AsOtlpDemands => export_again(&mut client, &request).await,
                    }
                }
            }));
        }
        for _ in 0..2 {
            let (end, sent, url) = (end.clone(), sent.clone(), format!("{}/v1/traces", gateway.http()));
            let client = reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap();
            clients.push(tokio::spawn(async move {
                while !end.load(Ordering::SeqCst) {
                    let request = client.post(&url).header("content-type", "application/x-protobuf");
                    let answer = request.body(one(&sent).encode_to_vec()).send().await.unwrap();
                    assert_eq!(answer.status(), 200);
                }
            }));
        }
        Self { end, sent, clients }
    }

    /// Waits until so many more spans have been sent.
    async fn more(&self, spans: u64) {
        let target = self.sent.load(Ordering::SeqCst) + spans;
        eventually("more is sent", async || {
            for client in &self.clients {
                assert!(!client.is_finished(), "a client was refused");
            }
            (self.sent.load(Ordering::SeqCst) >= target).then_some(())
        })
        .await;
    }

    /// How many spans were sent, all of them answered with success.
    async fn end(self) -> u64 {
        self.end.store(true, Ordering::SeqCst);
        for client in self.clients {
            client.await.unwrap();
        }
        self.sent.load(Ordering::SeqCst)
    }
}

/// Sends until there is an answer; the answer must be success.
async fn export_again(client: &mut TraceServiceClient<Channel>, request: &ExportTraceServiceRequest) {
    while let Err(status) = client.export(request.clone()).await {
        // What the connection says has a source, what the gateway says has none.
        assert!(status.source().is_some(), "{status}");
    }
}

fn one(sent: &AtomicU64) -> ExportTraceServiceRequest {
    input::invocations("f", sent.fetch_add(1, Ordering::SeqCst), 1)
}

/// The numbers of the spans that have arrived anywhere.
fn arrived(sinks: &[&Sink]) -> Vec<u128> {
    let spans = sinks.iter().flat_map(|sink| sink.spans());
    let mut numbers: Vec<u128> = spans.map(|span| u128::from_be_bytes(span.trace_id.try_into().unwrap()) - 1).collect();
    numbers.sort_unstable();
    numbers
}

/// Scenario: under continuous load, twenty reloads that change the destination, processors, pipelines and the detector's
/// budget.
/// Guarantees: no request is refused, every span arrives once, the detector forgets nothing, health is good all the time.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_reloads_under_load_refuse_nothing_and_lose_nothing() {
    let ((first, to_first), (second, to_second)) = (Sink::start().await, Sink::start().await);
    let mut setup = Setup::to(to_first);
    let mut gateway = Gateway::start(&setup.yaml()).await;
    let load = Load::start(&gateway, Patience::None).await;
    for round in 0..20 {
        load.more(20).await;
        match round % 5 {
            0 => setup.to = if setup.to == to_first { to_second } else { to_first },
            1 => setup.attribute = if setup.attribute == "first" { "second" } else { "first" },
            2 => setup.batch_timeout = if setup.batch_timeout == "10ms" { "20ms" } else { "10ms" },
            3 => setup.more = !setup.more,
            _ => setup.budget = if setup.budget == "1/week" { "2/week" } else { "1/week" },
        }
        reload(&mut gateway, &setup.yaml()).await;
        let (status, said) = health(&gateway, "/").await;
        assert_eq!(status, 200, "after reload {round}: {said}");
        assert_eq!(said["pipelines"].as_object().unwrap().len(), if setup.more { 4 } else { 2 });
    }
    load.more(20).await;
    let sent = load.end().await;
    eventually("all arrives", async || (arrived(&[&first, &second]).len() as u64 >= sent).then_some(())).await;
    assert_eq!(arrived(&[&first, &second]), (0..u128::from(sent)).collect::<Vec<_>>(), "each once");
    assert!(!first.spans().is_empty() && !second.spans().is_empty());
    let metrics = gateway.metrics().await;
    assert_eq!(metrics["sekisho_functions{processor=\"anomaly\"}"], 1.0);
    let scored = metrics["sekisho_invocations_scored{processor=\"anomaly\"}"];
    assert!(scored <= sent as f64 && scored > 0.9 * sent as f64, "{scored} of {sent} scored, over all reloads");
    gateway.terminate().await;
}

/// Scenario: what is added takes effect, and what is taken out is gone.
/// Guarantees: the last span carries the new value; the count connector's pipeline writes metrics.
#[tokio::test]
async fn what_changes_takes_effect() {
    let (sink, to) = Sink::start().await;
    let mut setup = Setup::to(to);
    let mut gateway = Gateway::start(&setup.yaml()).await;
    let mut client = TraceServiceClient::connect(gateway.grpc()).await.unwrap();
    (setup.attribute, setup.more, setup.health_path) = ("second", true, "/healthy");
    reload(&mut gateway, &setup.yaml()).await;
    assert_eq!(health(&gateway, "/healthy").await.0, 200, "an extension changes too");
    client.export(input::invocations("f", 0, 1)).await.unwrap();
    let span = eventually("the span", async || sink.spans().pop()).await;
    let told = span.attributes.iter().find(|kv| kv.key == "reload").and_then(|kv| kv.value.clone()).unwrap().value;
    assert_eq!(told, Some(Value::StringValue("second".to_owned())));
    eventually("the count", async || sink.metric_requests().pop()).await;
}

/// Scenario: a new receiver wants a port that is taken, in a file that also changes the destination and the budget.
/// Guarantees: nothing of it takes effect, the reason is said, no client notices.
#[tokio::test]
async fn a_start_that_fails_is_rolled_back() {
    let ((first, to_first), (second, to_second)) = (Sink::start().await, Sink::start().await);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut gateway = Gateway::start(&Setup::to(to_first).yaml()).await;
    let load = Load::start(&gateway, Patience::None).await;
    let bad = Setup { budget: "5/week", more: true, ..Setup::to(to_second) };
    let bad = bad
        .yaml()
        .replace(
            "receivers:\n  otlp:",
            &format!(
                "receivers:\n  otlp/new: {{protocols: {{http: {{endpoint: '{}'}}}}}}\n  otlp:",
                taken.local_addr().unwrap()
            ),
        )
        .replace("receivers: [otlp]", "receivers: [otlp, otlp/new]");
    std::fs::write(&gateway.config, bad).unwrap();
    gateway.signal("HUP");
    let refused = gateway.wait_for_log("the refusal", |line| line["message"] == REFUSED).await;
    assert!(refused["error"].as_str().unwrap().contains("receiver otlp/new"), "{refused}");
    load.more(20).await;
    let sent = load.end().await;
    eventually("all arrives", async || (arrived(&[&first]).len() as u64 >= sent).then_some(())).await;
    assert_eq!(arrived(&[&first]).len() as u64, sent);
    assert!(second.spans().is_empty());
    let (status, said) = health(&gateway, "/").await;
    assert_eq!((status, said["pipelines"].as_object().unwrap().len()), (200, 2));
    assert_eq!(gateway.metrics().await["sekisho_budget_pages_per_day{processor=\"anomaly\"}"], 1.0 / 7.0);
}

/// Scenario: under continuous load, the receiver itself is changed ten times.
/// Guarantees: its ports stay and no connection to them is refused; what an old connection could not take any more goes
/// over the next; every span arrives.
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_receiver_refuses_no_connection() {
    let (sink, to) = Sink::start().await;
    let mut setup = Setup::to(to);
    let mut gateway = Gateway::start(&setup.yaml()).await;
    let ports = (gateway.grpc(), gateway.http());
    let load = Load::start(&gateway, Patience::AsOtlpDemands).await;
    for _ in 0..10 {
        load.more(20).await;
        setup.in_flight = if setup.in_flight == "128MiB" { "64MiB" } else { "128MiB" };
        reload(&mut gateway, &setup.yaml()).await;
    }
    load.more(20).await;
    let sent = load.end().await;
    assert_eq!((gateway.grpc(), gateway.http()), ports);
    eventually("all arrives", async || {
        let mut numbers = arrived(&[&sink]);
        numbers.dedup();
        (numbers.len() as u64 == sent).then_some(())
    })
    .await;
}

/// Scenario: the receiver is renamed and its address written in another way.
/// Guarantees: its successor takes over the socket: no client is refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_receiver_hands_over_its_port() {
    let (sink, to) = Sink::start().await;
    let mut setup = Setup::to(to);
    let mut gateway = Gateway::start(&setup.yaml()).await;
    let grpc = gateway.grpc();
    let mut client = TraceServiceClient::connect(grpc.clone()).await.unwrap();
    setup.endpoint = grpc.trim_start_matches("http://").to_owned();
    let renamed = setup.yaml().replace("  otlp:\n", "  otlp/renamed:\n").replace("[otlp]", "[otlp/renamed]");
    reload(&mut gateway, &renamed).await;
    for number in 0..20 {
        export_again(&mut client, &input::invocations("f", number, 1)).await;
    }
    assert_eq!(format!("http://{}", gateway.endpoint("receiver otlp/renamed", "grpc")), grpc);
    eventually("all arrives", async || (arrived(&[&sink]).len() >= 20).then_some(())).await;
    // All addresses instead of one: the old listener has to go first.
    let port = grpc.rsplit(':').next().unwrap();
    let wider = renamed.replace(&setup.endpoint, &format!("0.0.0.0:{port}"));
    reload(&mut gateway, &wider).await;
    let mut client = TraceServiceClient::connect(grpc).await.unwrap();
    client.export(input::invocations("f", 20, 1)).await.unwrap();
}

/// Scenario: a destination is away, and the reload that replaces it comes while batches wait in its queue.
/// Guarantees: the reload does not wait for it, new spans go to the new destination at once, and health says so.
#[tokio::test]
async fn a_dead_destination_does_not_hold_up_its_replacement() {
    let ((first, to_first), (second, to_second)) = (Sink::start().await, Sink::start().await);
    first.refuse();
    let mut gateway = Gateway::start(&Setup::to(to_first).yaml()).await;
    let mut client = TraceServiceClient::connect(gateway.grpc()).await.unwrap();
    client.export(input::invocations("f", 0, 5)).await.unwrap();
    let size = "otelcol_exporter_queue_size{exporter=\"otlp_grpc\"}";
    eventually("they wait in the queue", async || (gateway.metrics().await[size] >= 1.0).then_some(())).await;
    reload(&mut gateway, &Setup::to(to_second).yaml()).await;
    client.export(input::invocations("f", 5, 5)).await.unwrap();
    eventually("the new one has it", async || (second.spans().len() == 5).then_some(())).await;
    first.take();
    eventually("the old one drains", async || (first.spans().len() == 5).then_some(())).await;
}

/// Scenario: `--watch` with two files; the second changes, then to something wrong, then back.
/// Guarantees: a good change is taken, a bad one is told with its place and changes nothing.
#[tokio::test]
async fn watching_takes_a_change_of_any_file() {
    let ((first, to_first), (second, to_second)) = (Sink::start().await, Sink::start().await);
    let directory = tempfile::tempdir().unwrap();
    let over = directory.path().join("over.yaml");
    let to = |address: SocketAddr| format!("exporters: {{otlp_grpc: {{endpoint: '{address}'}}}}\n");
    std::fs::write(&over, to(to_first)).unwrap();
    let arguments = ["--watch", "--config", over.to_str().unwrap()];
    let mut gateway = Gateway::start_in(directory, &Setup::to(to_first).yaml(), &arguments).await;
    let mut client = TraceServiceClient::connect(gateway.grpc()).await.unwrap();
    std::fs::write(&over, to(to_second)).unwrap();
    settled(&gateway, 0).await;
    client.export(input::invocations("f", 0, 3)).await.unwrap();
    eventually("the second sink has it", async || (second.spans().len() == 3).then_some(())).await;

    std::fs::write(&over, to(to_first).replace("endpoint", "endpiont")).unwrap();
    let refused = gateway.wait_for_log("the refusal", |line| line["message"] == REFUSED).await;
    let reason = refused["reason"].as_str().unwrap();
    assert!(reason.contains("over.yaml:1") && reason.contains("did you mean `endpoint`?"), "{reason}");
    client.export(input::invocations("f", 3, 3)).await.unwrap();
    eventually("still the second sink", async || (second.spans().len() == 6).then_some(())).await;
    assert!(first.spans().is_empty());
}

/// Scenario: a store's directory is changed.
/// Guarantees: refused, with what to do; the gateway runs on.
#[tokio::test]
async fn what_takes_a_restart_is_said() {
    let (_sink, to) = Sink::start().await;
    let with_store = |directory: &str| {
        let store = format!("extensions: {{file_storage: {{directory: {directory}}}, health_check:");
        Setup::to(to)
            .yaml()
            .replace("extensions: {health_check:", &store)
            .replace("extensions: [health_check]", "extensions: [file_storage, health_check]")
    };
    let mut gateway = Gateway::start(&with_store("here")).await;
    std::fs::write(&gateway.config, with_store("there")).unwrap();
    gateway.signal("HUP");
    let refused = gateway.wait_for_log("the refusal", |line| line["message"] == REFUSED).await;
    assert!(refused["error"].as_str().unwrap().contains("restart"), "{refused}");
    assert_eq!(health(&gateway, "/").await.0, 200);
}
