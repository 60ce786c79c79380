//! Against a stand-in, and against the real one where it is installed (`prometheus-alertmanager` in Debian).

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    super::{alert::sample::alert, alertmanager},
    build,
    destination::{Act, Destination, soon},
};
use crate::{config::Kind, pipeline::probe};

fn posts(destination: &Destination) -> Vec<Vec<Value>> {
    let posts = destination.seen().into_iter().filter(|seen| seen.method == "POST");
    posts.map(|seen| serde_json::from_slice(&seen.body).unwrap()).collect()
}

#[tokio::test]
async fn labels_stay_and_a_change_of_tier_ends_the_old_alert_in_the_same_request() {
    let destination = Destination::new([]).await;
    let (exporter, _) = build::<alertmanager::Config>(&format!(
        "{{endpoint: 'http://{}/am/', labels: {{team: platform}}, links: {{trace: 'https://g.example/{{trace_id}}'}}, \
         headers: {{authorization: Bearer hunter2}}}}",
        destination.address
    ));
    for (state, tier) in [("opened", "queue"), ("updated", "queue"), ("updated", "page"), ("resolved", "page")] {
        exporter.consume(alert("inc-1", state, tier)).await;
    }
    soon("draining", exporter.drain()).await;
    let seen = destination.seen();
    assert!(
        seen.iter().all(|seen| seen.path == "/am/api/v2/alerts" && seen.headers["authorization"] == "Bearer hunter2")
    );
    let posts = posts(&destination);
    let now = std::time::SystemTime::now();
    let now = crate::otlp::time::rfc3339(
        now.duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64 + 60_000_000_000,
    );
    let told: Vec<Vec<(&str, bool)>> = posts
        .iter()
        .map(|post| {
            post.iter()
                .map(|one| (one["labels"]["tier"].as_str().unwrap(), one["endsAt"].as_str().unwrap() < now.as_str()))
                .collect()
        })
        .collect();
    let expected =
        [vec![("queue", false)], vec![("queue", false)], vec![("queue", true), ("page", false)], vec![("page", true)]];
    assert_eq!(told, expected, "tier, and whether it ends within the next minute");
    let mut labels = posts[0][0]["labels"].clone();
    assert_eq!(
        labels,
        serde_json::json!({
            "alertname": "SekishoIncident", "incident_id": "inc-1", "faas_name": "checkout", "team": "platform",
            "cloud_account_id": "123456789012", "cloud_region": "eu-west-1", "tier": "queue", "severity": "warning",
        })
    );
    assert_eq!(posts[1][0]["labels"], labels);
    labels["tier"] = "page".into();
    labels["severity"] = "critical".into();
    assert_eq!((&posts[2][1]["labels"], &posts[3][0]["labels"]), (&labels, &labels));
    for post in posts.iter().flatten() {
        assert_eq!(post["startsAt"], "2026-11-23T14:02:09Z");
        assert!(post["annotations"].as_object().unwrap().values().all(Value::is_string), "{post}");
        assert!(post["annotations"]["summary"].as_str().unwrap().contains("checkout v7 talks"));
    }
}

#[test]
fn the_configuration_is_checked() {
    let table = [
        ("{endpoint: 'http://a:9093'}", ""),
        ("{}", "endpoint"),
        ("{endpoint: 'http://a:9093', labels: {faas.name: x}}", "faas.name"),
        ("{endpoint: 'http://a:9093', labels: {tier: x}}", "of the alert itself"),
        ("{endpoint: 'http://a:9093', expire_after: 90s}", "expire_after"),
        ("{endpoint: 'http://a:9093', resend_interval: 0}", "resend_interval"),
        ("{endpoint: 'http://a:9093', alertname: ''}", "alertname"),
    ];
    for (yaml, wrong) in table {
        let (_, said) = probe::config::<alertmanager::Config>(Kind::Exporter, yaml);
        assert_eq!(said.is_empty(), wrong.is_empty(), "{yaml}: {said}");
        assert!(said.contains(wrong), "{yaml}: {said}");
    }
}

/// The real Alertmanager, which notifies a destination of ours; killed when dropped.
struct Real {
    child: Child,
    port: u16,
    directory: tempfile::TempDir,
}

impl Real {
    /// `None` where it is not installed.
    async fn start(notified: &Destination) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let config = format!(
            "route: {{receiver: ours, group_by: [incident_id], group_wait: 1s, group_interval: 1s, repeat_interval: 1h}}\n\
             receivers: [{{name: ours, webhook_configs: [{{url: 'http://{}/', send_resolved: true}}]}}]\n",
            notified.address
        );
        std::fs::write(directory.path().join("config.yml"), config).unwrap();
        // Free at this moment; nothing else on this machine asks for it by number.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = spawn(directory.path(), port)?;
        let real = Self { child, port, directory };
        real.ready().await;
        Some(real)
    }

    async fn restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = spawn(self.directory.path(), self.port).unwrap();
        self.ready().await;
    }

    async fn ready(&self) {
        eventually("Alertmanager is ready", async || self.get("/-/ready").await.map(|_| ())).await;
    }

    async fn get(&self, path: &str) -> Option<String> {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let answer = reqwest::get(url).await.ok()?;
        if answer.status().is_success() { answer.text().await.ok() } else { None }
    }

    /// Incident, tier and end of every active alert.
    async fn active(&self) -> Option<Vec<(String, String, String)>> {
        let text = self.get("/api/v2/alerts?active=true").await?;
        let alerts: Vec<Value> = serde_json::from_str(&text).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let mut active: Vec<_> = alerts
            .iter()
            .map(|one| (text(&one["labels"]["incident_id"]), text(&one["labels"]["tier"]), text(&one["endsAt"])))
            .collect();
        active.sort();
        Some(active)
    }

    async fn eventually_active(&self, expected: &[(&str, &str)]) -> String {
        let what = format!("{expected:?} are active");
        eventually(&what, async || {
            let active = self.active().await?;
            let same = active.iter().map(|(id, tier, _)| (id.as_str(), tier.as_str())).eq(expected.iter().copied());
            same.then(|| active.into_iter().map(|(_, _, end)| end).next().unwrap_or_default())
        })
        .await
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(directory: &std::path::Path, port: u16) -> Option<Child> {
    let file = |name: &str| directory.join(name).display().to_string();
    let started = Command::new("prometheus-alertmanager")
        .arg(format!("--config.file={}", file("config.yml")))
        .arg(format!("--storage.path={}", file("data")))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .arg("--cluster.listen-address=")
        .stderr(Stdio::null())
        .spawn();
    match started {
        Ok(child) => Some(child),
        Err(error) => {
            // On a laptop it is passed over; where everything is installed that must not go unnoticed.
            let everything = std::env::var_os("CI").is_some_and(|value| value == "true");
            assert!(!everything, "prometheus-alertmanager does not start: {error}");
            None
        }
    }
}

async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_mins(1), "not within a minute: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Groups notified of: incident, and the status of each of its alerts by tier.
fn notifications(destination: &Destination) -> Vec<(String, Vec<(String, String)>)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let all = destination.seen().into_iter().map(|seen| serde_json::from_slice::<Value>(&seen.body).unwrap());
    all.map(|group| {
        let alerts = group["alerts"].as_array().unwrap();
        let mut alerts: Vec<_> =
            alerts.iter().map(|one| (text(&one["labels"]["tier"]), text(&one["status"]))).collect();
        alerts.sort();
        (text(&group["groupLabels"]["incident_id"]), alerts)
    })
    .collect()
}

/// Scenario: two incidents, one of which worsens; then the gateway is started anew, then Alertmanager; then one ends.
/// Guarantees: one group each; the worse replaces the old alert; both outlive both restarts; the end is notified of.
#[tokio::test]
async fn the_real_one_groups_forgets_nothing_and_resolves() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let notified = Destination::new([]).await;
    let Some(mut real) = Real::start(&notified).await else { return };
    let config = format!(
        "{{endpoint: 'http://127.0.0.1:{}', resend_interval: 1s, expire_after: 5m, \
         retry_on_failure: {{initial_interval: 50ms, max_interval: 100ms}}}}",
        real.port
    );
    let (exporter, _) = build::<alertmanager::Config>(&config);
    exporter.consume(alert("inc-1", "opened", "queue")).await;
    exporter.consume(alert("inc-2", "opened", "page")).await;
    real.eventually_active(&[("inc-1", "queue"), ("inc-2", "page")]).await;
    let firing = |tier: &str| vec![(tier.to_owned(), "firing".to_owned())];
    eventually("each incident is a notification of its own", async || {
        let told = notifications(&notified);
        (told.contains(&("inc-1".to_owned(), firing("queue"))) && told.contains(&("inc-2".to_owned(), firing("page"))))
            .then_some(())
    })
    .await;

    exporter.consume(alert("inc-1", "updated", "page")).await;
    let first_end = real.eventually_active(&[("inc-1", "page"), ("inc-2", "page")]).await;
    eventually("open alerts are sent again", async || (real.active().await?.first()?.2 > first_end).then_some(()))
        .await;

    drop(exporter);
    let (exporter, _) = build::<alertmanager::Config>(&config);
    let second_end = real.active().await.unwrap()[0].2.clone();
    eventually("a restarted gateway goes on sending what is open", async || {
        (real.active().await?.first()?.2 > second_end).then_some(())
    })
    .await;

    exporter.consume(alert("inc-1", "updated", "page")).await;
    exporter.consume(alert("inc-2", "updated", "page")).await;
    soon("the updates", async { while real.active().await.is_none() {} }).await;
    real.restart().await;
    real.eventually_active(&[("inc-1", "page"), ("inc-2", "page")]).await;

    exporter.consume(alert("inc-1", "resolved", "page")).await;
    soon("draining", exporter.drain()).await;
    real.eventually_active(&[("inc-2", "page")]).await;
    eventually("the end is notified of", async || {
        let end = ("page".to_owned(), "resolved".to_owned());
        notifications(&notified).iter().any(|(id, alerts)| id == "inc-1" && alerts.contains(&end)).then_some(())
    })
    .await;
    assert!(
        !notifications(&notified)
            .iter()
            .any(|(id, alerts)| { id == "inc-2" && alerts.iter().any(|(_, status)| status == "resolved") }),
        "the other one never ended"
    );
    assert_eq!(posts_refused(&real).await, 0, "Alertmanager found nothing wrong with any alert");
}

async fn posts_refused(real: &Real) -> u64 {
    let metrics = real.get("/metrics").await.unwrap();
    let invalid = metrics.lines().filter(|line| line.starts_with("alertmanager_alerts_invalid_total"));
    invalid.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
}

/// Scenario: Alertmanager answers that it is not well, then hangs up. Guarantees: the alert arrives all the same.
#[tokio::test]
async fn what_is_refused_for_now_is_sent_again() {
    // The exporter asks what is open, once, at any moment: that answer counts as one of these.
    let destination = Destination::new([Act::Http(500, &[], vec![]), Act::HangUp, Act::Http(503, &[], vec![])]).await;
    let (exporter, context) = build::<alertmanager::Config>(&format!(
        "{{endpoint: 'http://{}', retry_on_failure: {{initial_interval: 10ms, max_interval: 20ms}}}}",
        destination.address
    ));
    exporter.consume(alert("inc-1", "opened", "page")).await;
    soon("draining", exporter.drain()).await;
    assert_eq!(context.metrics.sum("otelcol_exporter_sent_log_records", None) as u64, 1);
    assert_eq!(context.metrics.sum("otelcol_exporter_send_failed_log_records", None) as u64, 0);
}
