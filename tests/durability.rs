//! What was acknowledged arrives: after a kill, an outage, a full disk, a shutdown, a reload.
#![allow(clippy::unwrap_used, clippy::float_cmp, reason = "a test says more by failing where it stands")]

mod support;

use std::{
    process::Command,
    time::{Duration, Instant},
};

use support::{
    Gateway, eventually,
    ledger::{Destination, Load, Pace},
};

/// Few and small: debug builds on busy machines.
const PACE: Pace = Pace { senders: 4, spans: 50, rate: None, functions: 4 };

fn durable(destination: &Destination) -> String {
    destination.behind("storage: file_storage, queue_size: 100000, num_consumers: 2")
}

/// Waits until everything that was acknowledged has arrived.
async fn all_arrives(load: &Load, destination: &Destination) {
    assert!(load.acknowledged().len() > 0, "nothing moved");
    eventually("what was acknowledged arrives", async || {
        (load.acknowledged().missing_in(&destination.arrived) == 0).then_some(())
    })
    .await;
}

/// Waits until `spans` more have been acknowledged.
async fn acknowledged(load: &Load, spans: u64) {
    let wanted = load.acknowledged().len() + spans;
    eventually("more is acknowledged", async || (load.acknowledged().len() >= wanted).then_some(())).await;
}

/// Scenario: kill -9 under load, at different moments, with the destination there and away.
/// Guarantees: every acknowledged span arrives; only what was on its way arrives twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_gateway_loses_nothing_it_acknowledged() {
    let mut destination = Destination::start();
    let config = durable(&destination);
    let mut gateway = Gateway::start(&config).await;
    let mut load = Load::start(gateway.http(), PACE);
    for (spans, there) in [(100, true), (400, false), (50, false), (300, true), (150, true)] {
        if there {
            destination.come_back();
        } else {
            destination.go_away();
        }
        acknowledged(&load, spans).await;
        let directory = gateway.kill();
        gateway = Gateway::start_in(directory, &config, &[]).await;
        load.send_to(gateway.http());
    }
    acknowledged(&load, 100).await;
    load.stop().await;
    all_arrives(&load, &destination).await;
}

/// Scenario: the destination is away for longer than memory would hold, then back.
/// Guarantees: nothing is refused meanwhile, everything arrives, the queue is empty again and says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destination_that_was_away_gets_everything() {
    let mut destination = Destination::start();
    let gateway = Gateway::start(&durable(&destination)).await;
    destination.go_away();
    let mut load = Load::start(gateway.http(), PACE);
    acknowledged(&load, 2_000).await;
    let size = "otelcol_exporter_queue_size{exporter=\"otlp_http\"}";
    assert!(gateway.metrics().await[size] >= 40.0);
    assert!(gateway.metrics().await["sekisho_exporter_queue_disk_bytes{exporter=\"otlp_http\"}"] > 100_000.0);
    destination.come_back();
    load.stop().await;
    assert_eq!(load.refused(), 0);
    all_arrives(&load, &destination).await;
    eventually("the queue is empty", async || (gateway.metrics().await[size] == 0.0).then_some(())).await;
    assert_eq!(destination.arrived.repeated(), 0, "nothing broke off, nothing came twice");
}

/// Scenario: SIGTERM while the destination is away; another start when it is back.
/// Guarantees: the shutdown is quick and deletes nothing; the next start delivers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_leaves_what_could_not_be_delivered() {
    let mut destination = Destination::start();
    let config = durable(&destination);
    let gateway = Gateway::start(&config).await;
    destination.go_away();
    let mut load = Load::start(gateway.http(), PACE);
    acknowledged(&load, 500).await;
    load.stop().await;
    let begun = Instant::now();
    let directory = gateway.terminate().await;
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    destination.come_back();
    let _gateway = Gateway::start_in(directory, &config, &[]).await;
    all_arrives(&load, &destination).await;
}

/// Scenario: SIGHUP gives the exporter another endpoint while its old one is away.
/// Guarantees: what waits on disk goes to the new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_hands_the_queue_over() {
    let (mut old, new) = (Destination::start(), Destination::start());
    let mut gateway = Gateway::start(&durable(&old)).await;
    old.go_away();
    let mut load = Load::start(gateway.http(), PACE);
    acknowledged(&load, 500).await;
    std::fs::write(&gateway.config, durable(&new)).unwrap();
    gateway.signal("HUP");
    gateway.wait_for_log("the reload", |line| line["message"] == "configuration reloaded").await;
    load.stop().await;
    all_arrives(&load, &new).await;
}

/// Scenario: the disk takes no more while the destination is away, and later does again.
/// Guarantees: what does not fit is refused retryably and said, nothing acknowledged is lost, and it recovers by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_survived_and_said() {
    let mut destination = Destination::start();
    let mut gateway = Gateway::start(&durable(&destination)).await;
    destination.go_away();
    let limit = |bytes: &str| {
        let id = gateway.id().to_string();
        let limited = Command::new("prlimit").args(["--pid", &id, &format!("--fsize={bytes}")]).status();
        assert!(limited.unwrap().success());
    };
    limit("1000000:unlimited");
    let mut load = Load::start(gateway.http(), PACE);
    eventually("the disk is full", async || (load.refused() > 0).then_some(())).await;
    let client = support::http().post(format!("{}/v1/traces", gateway.http()));
    let client = client.header("content-type", "application/x-protobuf");
    let body = prost::Message::encode_to_vec(&support::input::invocations("f", 10_000_000, 1));
    let answer = client.body(body).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers().contains_key("retry-after")), (503, true));
    limit("unlimited:unlimited");
    acknowledged(&load, 100).await;
    let warned = "the queue's disk does not take anything; senders are asked to come back";
    let line = gateway.wait_for_log("the warning", |line| line["message"] == warned).await;
    assert_eq!(line["level"], "WARN");
    gateway.wait_for_log("the recovery", |line| line["message"] == "the queue's disk works again").await;
    destination.come_back();
    load.stop().await;
    all_arrives(&load, &destination).await;
}

/// Scenario: a queue in memory for one batch, `block_on_overflow`, the destination away, then back.
/// Guarantees: the sender waits and is not refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_waits_for_room_if_it_may() {
    let mut destination = Destination::start();
    let config = durable(&destination)
        .replace("storage: file_storage, queue_size: 100000", "block_on_overflow: true, queue_size: 2");
    let gateway = Gateway::start(&config).await;
    destination.go_away();
    let mut load = Load::start(gateway.http(), PACE);
    // Two requests of fifty, and no more.
    eventually("the queue is full", async || (load.acknowledged().len() >= 100).then_some(())).await;
    destination.come_back();
    acknowledged(&load, 1_000).await;
    load.stop().await;
    assert_eq!(load.refused(), 0);
    all_arrives(&load, &destination).await;
}
