//! What the gateway says of itself: scraped metrics against the README and the dashboards, and OTLP.
#![allow(clippy::unwrap_used, clippy::float_cmp, reason = "a test says more by failing where it stands")]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::logs_service_client::LogsServiceClient, metrics::v1::metrics_service_client::MetricsServiceClient,
        trace::v1::trace_service_client::TraceServiceClient,
    },
    metrics::v1::{Metric, metric::Data, number_data_point::Value},
};
use support::{Gateway, certificates::Authority, eventually, http, input, sink::Sink};

/// Every component that has metrics of its own.
fn everything(to: std::net::SocketAddr) -> String {
    format!(
        "
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: 127.0.0.1:0}}, http: {{endpoint: 127.0.0.1:0}}}}}}}}
processors:
  memory_limiter: {{check_interval: 1s, limit_mib: 4000}}
  batch: {{timeout: 10ms}}
  faas: {{}}
  anomaly: {{}}
  filter:
    trace_conditions: ['span.name == \"unwanted\"']
    metric_conditions: ['metric.name == \"unwanted\"']
    log_conditions: ['log.body == \"unwanted\"']
  probabilistic_sampler: {{sampling_percentage: 100}}
connectors:
  count: {{}}
  routing: {{table: [{{condition: 'true', pipelines: [traces/routed]}}]}}
  span_metrics: {{}}
exporters:
  debug: {{}}
  otlp_grpc/stored:
    endpoint: '{to}'
    tls: {{insecure: true}}
    sending_queue: {{storage: file_storage}}
    retry_on_failure: {{max_elapsed_time: 0}}
  otlp_grpc: {{endpoint: '{to}', tls: {{insecure: true}}}}
  load_balancing:
    protocol: {{otlp: {{tls: {{insecure: true}}}}}}
    resolver: {{dns: {{hostname: 127.0.0.1, port: {port}}}}}
  prometheus: {{endpoint: '127.0.0.1:0'}}
  prometheus_remote_write: {{endpoint: 'http://{to}/write', retry_on_failure: {{enabled: false}}}}
  syslog: {{endpoint: localhost, network: udp}}
  escalation: {{storage: file_storage, playbooks: [{{name: watch, stages: [{{stage: observe}}]}}]}}
extensions: {{file_storage: {{directory: state}}}}
service:
  extensions: [file_storage]
  telemetry: {{metrics: {{level: detailed}}, resource: {{deployment.environment.name: test, service.version: null}}}}
  pipelines:
    traces: {{receivers: [otlp], processors: [memory_limiter, faas, anomaly, batch], exporters: [otlp_grpc, load_balancing]}}
    metrics: {{receivers: [otlp], processors: [memory_limiter, batch], exporters: [otlp_grpc, prometheus, prometheus_remote_write]}}
    logs: {{receivers: [otlp, anomaly], processors: [memory_limiter], exporters: [otlp_grpc]}}
    logs/alerts: {{receivers: [anomaly], exporters: [syslog, escalation]}}
    traces/counted: {{receivers: [otlp], processors: [filter, probabilistic_sampler], exporters: [count, routing, span_metrics]}}
    traces/routed: {{receivers: [routing], exporters: [debug]}}
    metrics/counted: {{receivers: [count, span_metrics], processors: [filter], exporters: [debug]}}
    logs/stored: {{receivers: [otlp], processors: [filter, probabilistic_sampler], exporters: [otlp_grpc/stored]}}
",
        port = to.port(),
    )
}

/// Sends some of each signal and waits until it has come through.
async fn traffic(gateway: &Gateway, sink: &Sink) {
    TraceServiceClient::connect(gateway.grpc()).await.unwrap().export(input::invocations("f", 0, 20)).await.unwrap();
    MetricsServiceClient::connect(gateway.grpc()).await.unwrap().export(input::metrics(3)).await.unwrap();
    LogsServiceClient::connect(gateway.grpc()).await.unwrap().export(input::logs(5)).await.unwrap();
    eventually("everything comes through", async || {
        let all = sink.spans().len() >= 20 && !sink.metric_requests().is_empty() && sink.log_records().len() >= 5;
        all.then_some(())
    })
    .await;
}

/// Names with their types, from `# TYPE` lines.
fn types(scrape: &str) -> BTreeMap<String, String> {
    let lines = scrape.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    lines.map(|line| line.split_once(' ').unwrap()).map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect()
}

fn in_repository(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// Names in the README's table of own metrics: `otelcol_a_{b,c}` stands for two.
fn documented() -> BTreeSet<String> {
    let readme = in_repository("README.md");
    let rows = readme.lines().filter(|line| line.starts_with("| `otelcol_") || line.starts_with("| `sekisho_"));
    let names = rows.flat_map(|row| row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2)).flat_map(expand);
    names.collect()
}

fn expand(pattern: &str) -> Vec<String> {
    let Some((before, rest)) = pattern.split_once('{') else { return vec![pattern.to_owned()] };
    let (choices, after) = rest.split_once('}').unwrap();
    choices.split(',').flat_map(|choice| expand(&format!("{before}{choice}{after}"))).collect()
}

/// Scenario: a gateway made of every component that has metrics, with traffic of every signal.
/// Guarantees: what is scraped is what the README lists, under the Collector's names, without `_total`; dashboards
/// and alert rules ask for nothing else.
#[tokio::test]
async fn what_is_scraped_is_what_is_documented_and_what_the_dashboard_asks_for() {
    let (sink, address) = Sink::start().await;
    let gateway = Gateway::start(&everything(address)).await;
    traffic(&gateway, &sink).await;
    let scrape = gateway.scrape().await;
    let scraped: BTreeSet<String> = types(&scrape).into_keys().filter(|name| name != "target_info").collect();
    let documented = documented();
    let unsaid: Vec<_> = scraped.difference(&documented).collect();
    assert!(unsaid.is_empty(), "the README does not list {unsaid:?}");
    let missing: Vec<_> = documented.difference(&scraped).collect();
    assert!(missing.is_empty(), "not scraped, or a component is missing in this test: {missing:?}");
    assert!(scraped.iter().all(|name| !name.ends_with("_total")));
    assert!(
        scrape.contains("target_info{deployment_environment_name=\"test\",service_name=\"sekisho\"} 1\n"),
        "{scrape}"
    );

    let counted = gateway.metrics().await;
    for (series, value) in [
        ("otelcol_receiver_accepted_spans{receiver=\"otlp\",transport=\"grpc\"}", 20.0),
        ("otelcol_receiver_accepted_metric_points{receiver=\"otlp\",transport=\"grpc\"}", 3.0),
        ("otelcol_receiver_failed_spans{receiver=\"otlp\",transport=\"grpc\"}", 0.0),
        ("otelcol_processor_incoming_items{processor=\"batch\",otel_signal=\"traces\"}", 20.0),
        ("otelcol_processor_outgoing_items{processor=\"batch\",otel_signal=\"traces\"}", 20.0),
        ("otelcol_processor_batch_batch_send_size_sum{processor=\"batch\"}", 23.0),
        ("otelcol_exporter_sent_log_records{exporter=\"otlp_grpc\"}", 5.0),
        ("otelcol_exporter_queue_capacity{exporter=\"otlp_grpc\"}", 1000.0),
        ("otelcol_exporter_in_flight_requests{exporter=\"otlp_grpc\"}", 0.0),
    ] {
        assert_eq!(counted.get(series), Some(&value), "{series}");
    }

    let mut queries = Vec::new();
    for (file, at_least) in [
        ("gateway-dashboard.json", 15),
        ("fleet-dashboard.json", 9),
        ("promise-dashboard.json", 9),
        ("coverage-dashboard.json", 10),
        ("provisioning/alerting/sekisho.yaml", 7),
    ] {
        let text = in_repository(&format!("config-examples/grafana/{file}"));
        // JSON is YAML.
        let document: serde_json::Value = serde_yaml::from_str(&text).unwrap();
        let before = queries.len();
        collect_queries(&document, &mut queries);
        assert!(queries.len() >= before + at_least, "{file}: {queries:?}");
    }
    for query in queries {
        let names = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let names: Vec<&str> =
            names.filter(|word| word.starts_with("otelcol_") || word.starts_with("sekisho_")).collect();
        assert!(!names.is_empty(), "{query}");
        for name in names {
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            let known = scraped.contains(name)
                || family.is_some_and(|family| types(&scrape).get(family).is_some_and(|kind| kind == "histogram"));
            assert!(known, "a dashboard asks for {name}, which nobody tells: {query}");
        }
    }
}

fn collect_queries(value: &serde_json::Value, queries: &mut Vec<String>) {
    match value {
        // Loki is asked for alerts, not for metrics.
        serde_json::Value::Object(map) if map.get("datasource").is_some_and(|source| source["type"] == "loki") => {}
        serde_json::Value::Object(map) => {
            for (key, value) in map {
                match value.as_str() {
                    Some(query) if key == "expr" || key == "query" && query.contains("label_values") => {
                        queries.push(query.to_owned());
                    }
                    _ => collect_queries(value, queries),
                }
            }
        }
        serde_json::Value::Array(list) => list.iter().for_each(|value| collect_queries(value, queries)),
        _ => {}
    }
}

/// Scenario: own metrics, logs and traces pushed to a sink, over gRPC.
/// Guarantees: all three arrive with the resource; a batch leaves a span at each component; sending telemetry makes none.
#[tokio::test]
async fn own_telemetry_is_pushed_and_does_not_speak_of_itself() {
    let (own, own_address) = Sink::start().await;
    let (sink, address) = Sink::start().await;
    let otlp = format!(
        "exporter: {{otlp: {{protocol: grpc, endpoint: 'http://{own_address}', headers: [{{name: x-a, value: b}}]}}}}"
    );
    let config = format!(
        "
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: 127.0.0.1:0}}}}}}}}
processors: {{batch: {{timeout: 10ms}}, resource: {{attributes: [{{key: a, value: b, action: upsert}}]}}}}
exporters: {{otlp_grpc: {{endpoint: '{address}', tls: {{insecure: true}}}}}}
service:
  telemetry:
    resource: {{service.instance.id: one}}
    logs: {{processors: [{{batch: {{schedule_delay: 50, {otlp}}}}}]}}
    traces: {{processors: [{{batch: {{schedule_delay: 50ms, {otlp}}}}}]}}
    metrics:
      readers:
        - pull: {{exporter: {{prometheus: {{host: 127.0.0.1, port: 0, without_type_suffix: false}}}}}}
        - periodic: {{interval: 100, {otlp}}}
  pipelines:
    traces: {{receivers: [otlp], processors: [resource, batch], exporters: [otlp_grpc]}}
"
    );
    let gateway = Gateway::start(&config).await;
    let mut client = TraceServiceClient::connect(gateway.grpc()).await.unwrap();
    client.export(input::invocations("f", 0, 20)).await.unwrap();
    eventually("the spans come through", async || (sink.spans().len() == 20).then_some(())).await;

    let spans =
        eventually("a span at each component", async || Some(own.spans()).filter(|spans| spans.len() >= 4)).await;
    let names: BTreeSet<&str> = spans.iter().map(|span| span.name.as_str()).collect();
    let expected =
        ["exporter/otlp_grpc/traces", "processor/batch/traces", "processor/resource/traces", "receiver/otlp/traces"];
    assert_eq!(names.into_iter().collect::<Vec<_>>(), expected);
    let span_of = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
    let (received, first, second) = (span_of(expected[3]), span_of(expected[2]), span_of(expected[1]));
    assert_eq!((&first.parent_span_id, &second.parent_span_id), (&received.span_id, &first.span_id));
    assert!(received.attributes.iter().any(|attribute| attribute.key == "outcome"), "{received:?}");

    let message = |record: &opentelemetry_proto::tonic::logs::v1::LogRecord| format!("{:?}", record.body);
    eventually("the log", async || {
        own.log_records().iter().any(|record| message(record).contains("started")).then_some(())
    })
    .await;

    let accepted = eventually("the metrics", async || {
        let metrics = metrics(&own);
        metrics.into_iter().rfind(|metric| metric.name == "otelcol_receiver_accepted_spans" && value(metric) > 0.0)
    })
    .await;
    assert_eq!(value(&accepted), 20.0);
    let Some(Data::Sum(sum)) = &accepted.data else { panic!("{accepted:?}") };
    assert!(sum.is_monotonic && sum.aggregation_temporality == 2);
    let histogram =
        metrics(&own).into_iter().rfind(|metric| metric.name == "otelcol_processor_batch_batch_send_size").unwrap();
    let Some(Data::Histogram(histogram)) = &histogram.data else { panic!("{histogram:?}") };
    assert_eq!((histogram.data_points[0].count, histogram.data_points[0].sum), (1, Some(20.0)));
    let resource = own.metric_requests()[0].resource_metrics[0].resource.clone().unwrap();
    let keys: BTreeSet<String> = resource.attributes.into_iter().map(|attribute| attribute.key).collect();
    assert_eq!(keys.into_iter().collect::<Vec<_>>(), ["service.instance.id", "service.name", "service.version"]);
    assert!(gateway.scrape().await.contains("otelcol_receiver_accepted_spans_total{"), "as this reader asked for");

    let (before, pushes) = ((own.spans().len(), own.log_records().len()), own.metric_requests().len());
    eventually("further pushes", async || (own.metric_requests().len() > pushes + 10).then_some(())).await;
    assert_eq!((own.spans().len(), own.log_records().len()), before, "pushing makes no telemetry but the pushed");
    gateway.terminate().await;
    let last = own.log_records();
    assert!(last.iter().any(|record| message(record).contains("stopped")), "the last words are sent too");
}

fn metrics(sink: &Sink) -> Vec<Metric> {
    let requests = sink.metric_requests();
    let scopes = requests.iter().flat_map(|request| &request.resource_metrics).flat_map(|group| &group.scope_metrics);
    scopes.flat_map(|scope| scope.metrics.clone()).collect()
}

fn value(metric: &Metric) -> f64 {
    let Some(Data::Sum(sum)) = &metric.data else { return 0.0 };
    let values = sum.data_points.iter().map(|point| match point.value {
        Some(Value::AsDouble(value)) => value,
        Some(Value::AsInt(value)) => value as f64,
        None => 0.0,
    });
    values.sum()
}

/// Scenario: own metrics, logs and traces over HTTP, compressed, to another gateway.
/// Guarantees: they arrive at the three paths; a destination that is away costs warnings and nothing else.
#[tokio::test]
async fn own_telemetry_goes_over_http_to_another_gateway() {
    let (sink, address) = Sink::start().await;
    let other = Gateway::start(&format!(
        "
receivers: {{otlp: {{protocols: {{http: {{endpoint: 127.0.0.1:0}}}}}}}}
exporters: {{otlp_grpc: {{endpoint: '{address}', tls: {{insecure: true}}}}}}
service:
  pipelines:
    traces: {{receivers: [otlp], exporters: [otlp_grpc]}}
    metrics: {{receivers: [otlp], exporters: [otlp_grpc]}}
    logs: {{receivers: [otlp], exporters: [otlp_grpc]}}
"
    ))
    .await;
    let otlp =
        format!("exporter: {{otlp: {{protocol: http/protobuf, endpoint: '{}', compression: gzip}}}}", other.http());
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let away = format!("exporter: {{otlp: {{protocol: http/protobuf, endpoint: 'http://{nobody}'}}}}");
    let gateway = Gateway::start(&format!(
        "
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: 127.0.0.1:0}}}}}}}}
exporters: {{debug: {{}}}}
service:
  telemetry:
    logs: {{processors: [{{batch: {{schedule_delay: 50, {otlp}}}}}]}}
    traces: {{sampler: {{trace_id_ratio_based: {{ratio: 1}}}}, processors: [{{batch: {{schedule_delay: 50, {otlp}}}}}]}}
    metrics:
      readers:
        - periodic: {{interval: 100, {otlp}}}
        - periodic: {{interval: 100, {away}}}
  pipelines:
    traces: {{receivers: [otlp], exporters: [debug]}}
"
    ))
    .await;
    let mut client = TraceServiceClient::connect(gateway.grpc()).await.unwrap();
    client.export(input::invocations("f", 0, 20)).await.unwrap();
    eventually("all three signals", async || {
        let spans = sink.spans().iter().any(|span| span.name == "receiver/otlp/traces");
        let metrics = metrics(&sink)
            .iter()
            .any(|metric| metric.name == "otelcol_receiver_accepted_spans" && value(metric) == 20.0);
        (spans && metrics && !sink.log_records().is_empty()).then_some(())
    })
    .await;
    gateway.terminate().await;
}

/// Scenario: own metrics over gRPC and over HTTP to another gateway that lets in only who shows a certificate.
/// Guarantees: they arrive both ways; without the certificate nothing does.
#[tokio::test]
async fn own_telemetry_goes_over_mutual_tls() {
    let authority = Authority::new();
    let directory = |name: &str, whose: &str| {
        let directory = tempfile::tempdir().unwrap();
        authority.issue(name).write(directory.path(), whose);
        std::fs::write(directory.path().join("ca.crt"), &authority.pem).unwrap();
        directory
    };
    let tls = "tls: {cert_file: server.crt, key_file: server.key, client_ca_file: ca.crt}";
    let other = format!(
        "
receivers:
  otlp: {{protocols: {{grpc: {{endpoint: 127.0.0.1:0, {tls}}}, http: {{endpoint: 127.0.0.1:0, {tls}}}}}}}
exporters: {{debug: {{}}}}
service: {{pipelines: {{metrics: {{receivers: [otlp], exporters: [debug]}}}}}}
"
    );
    let other = Gateway::start_in(directory("localhost", "server"), &other, &[]).await;
    let pushing = |identity: &str| {
        let to = |protocol: &str, name: &str| {
            let port = other.endpoint("receiver otlp", name).rsplit_once(':').unwrap().1.to_owned();
            format!(
                "periodic: {{interval: 100, exporter: {{otlp: {{protocol: {protocol}, \
                 endpoint: 'https://localhost:{port}', certificate: ca.crt{identity}}}}}}}"
            )
        };
        let (grpc, http) = (to("grpc", "grpc"), to("http/protobuf", "http"));
        format!(
            "
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: 127.0.0.1:0}}}}}}}}
exporters: {{debug: {{}}}}
service:
  telemetry: {{metrics: {{readers: [{{{grpc}}}, {{{http}}}]}}}}
  pipelines: {{logs: {{receivers: [otlp], exporters: [debug]}}}}
"
        )
    };
    let accepted = async |transport: &str| {
        let series = format!("otelcol_receiver_accepted_metric_points{{receiver=\"otlp\",transport=\"{transport}\"}}");
        other.metrics().await.get(&series).copied().unwrap_or(0.0)
    };
    let stranger = Gateway::start_in(directory("client", "client"), &pushing(""), &[]).await;
    // Its end is also its last attempt.
    stranger.terminate().await;
    assert_eq!((accepted("grpc").await, accepted("http").await), (0.0, 0.0), "without a certificate");

    let shown = ", client_certificate: client.crt, client_key: client.key";
    let known = Gateway::start_in(directory("client", "client"), &pushing(shown), &[]).await;
    eventually("own metrics over both", async || {
        (accepted("grpc").await > 0.0 && accepted("http").await > 0.0).then_some(())
    })
    .await;
    known.terminate().await;
}

/// Scenario: the `zpages` and `pprof` extensions of a running gateway.
/// Guarantees: the pages name the pipelines and their state; a profile can be had.
#[tokio::test]
async fn the_pages_tell_of_the_running_gateway() {
    let gateway = Gateway::start(
        "
receivers: {otlp: {protocols: {grpc: {endpoint: 127.0.0.1:0}}}}
processors: {batch: {}}
exporters: {otlp_grpc/away: {endpoint: '127.0.0.1:1', tls: {insecure: true}, retry_on_failure: {initial_interval: 10ms}}}
extensions: {zpages: {endpoint: 127.0.0.1:0}, pprof: {endpoint: 127.0.0.1:0}}
service:
  extensions: [zpages, pprof]
  pipelines: {traces: {receivers: [otlp], processors: [batch], exporters: [otlp_grpc/away]}}
",
    )
    .await;
    let mut client = TraceServiceClient::connect(gateway.grpc()).await.unwrap();
    client.export(input::invocations("f", 0, 20)).await.unwrap();
    let base = format!("http://{}/debug", gateway.endpoint("extension zpages", "http"));
    let page = async |name: &str| http().get(format!("{base}/{name}")).send().await.unwrap().text().await.unwrap();
    eventually("the pages tell what is wrong", async || {
        let told =
            page("pipelinez").await.contains("degraded") && page("tracez").await.contains("does not get through");
        told.then_some(())
    })
    .await;
    for (name, expected) in [
        ("servicez", "<td>spans</td><td class=\"n\">20</td>"),
        ("pipelinez", "receiver otlp<br>processor batch<br>exporter otlp_grpc/away<br>"),
        ("extensionz", "<td>pprof</td>"),
        ("tracez", "<td>otlp_grpc/away</td>"),
    ] {
        let text = page(name).await;
        assert!(text.contains(expected), "{name}: {text}");
    }
    let profile = format!("http://{}/debug/pprof/profile?seconds=1", gateway.endpoint("extension pprof", "http"));
    let profile = http().get(profile).send().await.unwrap();
    assert_eq!(profile.status(), 200);
    assert!(profile.bytes().await.unwrap().starts_with(&[0x1f, 0x8b]), "gzip");
}
