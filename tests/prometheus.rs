//! The Prometheus exporters against the real Prometheus (Debian's package `prometheus`); skipped where there is none,
//! unless `SEKISHO_NEEDS_PROMETHEUS` is set.
#![allow(
    clippy::unwrap_used,
    clippy::float_cmp,
    clippy::print_stderr,
    reason = "a test says more by failing where it stands"
)]

mod support;

use std::{
    io::Write as _,
    path::Path,
    process::{Child, Command, Stdio},
};

use opentelemetry_proto::tonic::{
    collector::metrics::v1::{ExportMetricsServiceRequest, metrics_service_client::MetricsServiceClient},
    metrics::v1::{
        ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric,
        NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint,
        exponential_histogram_data_point::Buckets, metric::Data, number_data_point::Value,
        summary_data_point::ValueAtQuantile,
    },
};
use support::{Gateway, eventually, http, input};

/// A tool of the package, or `None` to skip.
fn tool(name: &str) -> Option<Command> {
    let there = Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    assert!(there || std::env::var_os("SEKISHO_NEEDS_PROMETHEUS").is_none(), "{name} is not installed");
    if !there {
        eprintln!("skipped: {name} is not installed");
    }
    there.then(|| Command::new(name))
}

struct Prometheus {
    child: Child,
    url: String,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Prometheus {
    /// Starts one that takes remote writes and scrapes `target`.
    async fn start(mut command: Command, directory: &Path, target: &str) -> Self {
        let config = format!(
            "{{global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}, scrape_configs: \
             [{{job_name: scraped, honor_labels: true, static_configs: [{{targets: ['{target}']}}]}}]}}"
        );
        std::fs::write(directory.join("prometheus.yml"), config).unwrap();
        // It cannot be told to choose a port; another process may take this one in between, but hardly ever does.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = command
            .arg(format!("--config.file={}", directory.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", directory.join("tsdb").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--web.enable-remote-write-receiver")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let prometheus = Self { child, url: format!("http://127.0.0.1:{port}") };
        let ready = format!("{}/-/ready", prometheus.url);
        eventually("Prometheus is ready", async || {
            http().get(&ready).send().await.is_ok_and(|answer| answer.status() == 200).then_some(())
        })
        .await;
        prometheus
    }

    /// The one value of `query`, if there is exactly one.
    async fn value(&self, query: &str) -> Option<f64> {
        let mut url = reqwest::Url::parse(&format!("{}/api/v1/query", self.url)).unwrap();
        url.query_pairs_mut().append_pair("query", query);
        let answer = http().get(url).send().await.ok()?.text().await.ok()?;
        let answer: serde_json::Value = serde_json::from_str(&answer).ok()?;
        let [series] = answer["data"]["result"].as_array()?.as_slice() else { return None };
        series["value"][1].as_str()?.parse().ok()
    }
}

fn now() -> u64 {
    u64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos()).unwrap()
}

/// A metric of every kind, measured now.
fn every_kind() -> ExportMetricsServiceRequest {
    let time_unix_nano = now();
    let number = |value: f64| NumberDataPoint {
        time_unix_nano,
        value: Some(Value::AsDouble(value)),
        attributes: vec![input::text("shop.name", "Größe \"7\"\\\n")],
        ..NumberDataPoint::default()
    };
    let histogram = HistogramDataPoint {
        time_unix_nano,
        count: 6,
        sum: Some(7.5),
        bucket_counts: vec![1, 2, 3],
        explicit_bounds: vec![0.5, 1.0],
        ..HistogramDataPoint::default()
    };
    let exponential = ExponentialHistogramDataPoint {
        time_unix_nano,
        count: 7,
        sum: Some(20.0),
        scale: 1,
        positive: Some(Buckets { offset: 0, bucket_counts: vec![3, 0, 4] }),
        ..ExponentialHistogramDataPoint::default()
    };
    let summary = SummaryDataPoint {
        time_unix_nano,
        count: 5,
        sum: 50.0,
        quantile_values: vec![ValueAtQuantile { quantile: 0.99, value: 12.0 }],
        ..SummaryDataPoint::default()
    };
    let sum = |value, is_monotonic| {
        Data::Sum(Sum { data_points: vec![number(value)], aggregation_temporality: 2, is_monotonic })
    };
    let data = [
        ("queue.depth", "1", Data::Gauge(Gauge { data_points: vec![number(0.5)] })),
        ("orders", "{order}", sum(42.0, true)),
        ("open.connections", "", sum(-3.0, false)),
        ("latency", "s", Data::Histogram(Histogram { data_points: vec![histogram], aggregation_temporality: 2 })),
        (
            "sizes",
            "By",
            Data::ExponentialHistogram(ExponentialHistogram {
                data_points: vec![exponential],
                aggregation_temporality: 2,
            }),
        ),
        ("waits", "ms", Data::Summary(Summary { data_points: vec![summary] })),
    ];
    let metrics = data.map(|(name, unit, data)| Metric {
        name: name.to_owned(),
        description: format!("What {name} is, \"quoted\"\\\nand in two lines."),
        unit: unit.to_owned(),
        data: Some(data),
        ..Metric::default()
    });
    let scope_metrics = vec![ScopeMetrics { metrics: metrics.to_vec(), ..ScopeMetrics::default() }];
    let resource = Some(input::function("f"));
    let resource_metrics = vec![ResourceMetrics { resource, scope_metrics, ..ResourceMetrics::default() }];
    ExportMetricsServiceRequest { resource_metrics }
}

fn gateway(write: &str) -> String {
    format!(
        "
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: 127.0.0.1:0}}}}}}}}
exporters:
  prometheus: {{endpoint: '127.0.0.1:0', const_labels: {{way: scraped}}, enable_open_metrics: true}}
  prometheus_remote_write:
    endpoint: '{write}'
    external_labels: {{way: written}}
    send_metadata: true
    retry_on_failure: {{initial_interval: 50ms}}
service:
  pipelines: {{metrics: {{receivers: [otlp], exporters: [prometheus, prometheus_remote_write]}}}}
"
    )
}

/// Scenario: metrics of every kind through both exporters into one Prometheus, which also scrapes.
/// Guarantees: it has the same values under the same names from both.
#[tokio::test]
async fn prometheus_understands_what_it_scrapes_and_what_it_is_sent() {
    let Some(command) = tool("prometheus") else { return };
    // Prometheus must know the gateway to scrape it, and the gateway Prometheus to write to it: a relay knows both.
    let relay = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let write = format!("http://{}/api/v1/write", relay.local_addr().unwrap());
    let gateway = Gateway::start(&gateway(&write)).await;
    let directory = tempfile::tempdir().unwrap();
    let prometheus =
        Prometheus::start(command, directory.path(), &gateway.endpoint("exporter prometheus", "http")).await;
    let to = prometheus.url.strip_prefix("http://").unwrap().to_owned();
    relay.set_nonblocking(true).unwrap();
    let relay = tokio::net::TcpListener::from_std(relay).unwrap();
    tokio::spawn(async move {
        while let Ok((mut from, _)) = relay.accept().await {
            let to = to.clone();
            tokio::spawn(async move {
                let mut onward = tokio::net::TcpStream::connect(to).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut from, &mut onward).await;
            });
        }
    });

    let mut client = MetricsServiceClient::connect(gateway.grpc()).await.unwrap();
    client.export(every_kind()).await.unwrap();
    let (who, shop) = ("job=\"f\"", "shop_name=\"Größe \\\"7\\\"\\\\\\n\"");
    for way in ["scraped", "written"] {
        for (query, expected) in [
            (format!("queue_depth_ratio{{way='{way}',{who},{shop}}}"), 0.5),
            (format!("orders_total{{way='{way}',{who}}}"), 42.0),
            (format!("open_connections{{way='{way}',{who}}}"), -3.0),
            (format!("latency_seconds_bucket{{way='{way}',{who},le='1'}}"), 3.0),
            (format!("latency_seconds_bucket{{way='{way}',{who},le='+Inf'}}"), 6.0),
            (format!("latency_seconds_sum{{way='{way}',{who}}}"), 7.5),
            (format!("histogram_quantile(0.5, latency_seconds_bucket{{way='{way}'}})"), 1.0),
            (format!("sizes_bytes_bucket{{way='{way}',{who},le='2'}}"), 3.0),
            (format!("sizes_bytes_bucket{{way='{way}',{who},le='4'}}"), 7.0),
            (format!("sizes_bytes_count{{way='{way}',{who}}}"), 7.0),
            (format!("waits_milliseconds{{way='{way}',{who},quantile='0.99'}}"), 12.0),
            (format!("waits_milliseconds_sum{{way='{way}',{who}}}"), 50.0),
            (format!("target_info{{way='{way}',{who},faas_name='f'}}"), 1.0),
        ] {
            // OpenMetrics writes bounds as floats.
            let query = if way == "scraped" {
                query.replace("le='1'", "le=~'1|1.0'").replace("le='2'", "le=~'2|2.0'").replace("le='4'", "le=~'4|4.0'")
            } else {
                query
            };
            eventually(&query, async || prometheus.value(&query).await.filter(|value| *value == expected).map(|_| ()))
                .await;
        }
    }
    let counted = gateway.metrics().await;
    assert_eq!(counted["otelcol_exporter_sent_metric_points{exporter=\"prometheus_remote_write\"}"], 6.0);
    assert_eq!(counted["otelcol_exporter_send_failed_metric_points{exporter=\"prometheus_remote_write\"}"], 0.0);
}

/// Scenario: what the exporter and the gateway itself show, given to `promtool check metrics`.
/// Guarantees: it parses, and the linter has nothing to say of what is not the sender's choice.
#[tokio::test]
async fn promtool_finds_nothing_wrong() {
    let Some(_) = tool("promtool") else { return };
    let gateway = Gateway::start(&gateway("http://127.0.0.1:1/write")).await;
    let mut client = MetricsServiceClient::connect(gateway.grpc()).await.unwrap();
    client.export(every_kind()).await.unwrap();
    let url = format!("http://{}/metrics", gateway.endpoint("exporter prometheus", "http"));
    let exported = http().get(url).send().await.unwrap().text().await.unwrap();
    assert!(exported.contains("orders_total"), "{exported}");
    for (what, text) in [("the exporter's", exported), ("the gateway's own", gateway.scrape().await)] {
        let mut child = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        // The Collector's names are what they are: without `_total`, and milliseconds are the sender's unit.
        let wrong = said.lines().filter(|line| !line.contains("\"_total\" suffix") && !line.contains("use base unit"));
        assert_eq!(wrong.collect::<Vec<_>>(), Vec::<&str>::new(), "{what}:\n{text}");
    }
}
