//! A queue on disk. Its thread lives in real time, so these tests do too.

use std::time::Instant;

use super::*;
use crate::pipeline::retry::{self, Retry};

const DEADLINE: Duration = Duration::from_secs(30);
/// Bytes in a batch of which four fill the memory.
const LARGE: usize = 256 << 10;

fn config() -> Config {
    Config { storage: Some("file_storage".into()), num_consumers: 2, ..Config::default() }
}

/// A context with a store in `directory`, as at the start of a process.
fn start(directory: &Path) -> Context {
    let context = probe::context("otlp/a b", directory);
    context.shared.put("file_storage", Arc::new(Store::open(directory, true, "test").unwrap()));
    context
}

/// The whole of an exporter: queue, retries, destination.
fn exporter(config: &Config, destination: &Next, context: &Context) -> Next {
    let closing = CancellationToken::new();
    let patient = retry::Config { max_elapsed_time: Duration::ZERO, ..retry::Config::default() };
    let retrying = Retry::over(&patient, destination.clone(), closing.clone(), config.at_end());
    Queue::over(config, retrying, closing, context).unwrap()
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < DEADLINE, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A destination that is away, for good.
fn away() -> Next {
    struct Away;
    impl Consumer for Away {
        fn consume(&self, _batch: Batch) -> Boxed<'_, Outcome> {
            Box::pin(std::future::ready(Outcome::Retryable { after: None, reason: "away".into() }))
        }
    }
    Arc::new(Away)
}

/// A destination that never answers, as when the process is killed while it waits.
fn silent() -> Next {
    struct Silent;
    impl Consumer for Silent {
        fn consume(&self, _batch: Batch) -> Boxed<'_, Outcome> {
            Box::pin(std::future::pending())
        }
    }
    Arc::new(Silent)
}

#[tokio::test]
async fn what_is_not_delivered_is_there_after_a_restart_and_sent_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let first = start(directory.path());
    let queue = exporter(&config(), &away(), &first);
    for items in 1..=5 {
        assert_eq!(queue.consume(batch(items)).await, Outcome::Accepted);
    }
    assert_eq!(held(&first), 5);
    let begun = Instant::now();
    queue.drain().await;
    assert!(begun.elapsed() < Duration::from_secs(5), "a destination that is away is not waited for");
    drop((queue, first));
    let script = Script::new([]);
    until("the file is free again", || directory.path().read_dir().is_ok()).await;
    let second = wait_for_start(directory.path()).await;
    let queue = exporter(&Config { num_consumers: 1, ..config() }, &(script.clone() as Next), &second);
    assert_eq!(held(&second) as usize + script.items().len(), 5, "what is there counts from the start");
    until("all is sent", || script.items().len() == 5).await;
    assert_eq!(script.items(), [1, 2, 3, 4, 5]);
    queue.drain().await;
    drop((queue, second));
    let third = wait_for_start(directory.path()).await;
    let queue = exporter(&config(), &away(), &third);
    assert_eq!(held(&third), 0, "what was delivered is not kept");
    drop(queue);
    assert_eq!(failed(&third), 0);
}

/// Tasks that were told to end have the file for a moment longer.
async fn wait_for_start(directory: &Path) -> Context {
    let begun = Instant::now();
    loop {
        if let Ok(store) = Store::open(directory, true, "test") {
            let context = probe::context("otlp/a b", directory);
            context.shared.put("file_storage", Arc::new(store));
            if let Ok(journal) = journal("file_storage", &context) {
                drop(journal);
                return context;
            }
        }
        assert!(begun.elapsed() < DEADLINE, "the store is never free");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn more_than_fits_in_memory_waits_on_disk_within_the_limit() {
    let directory = tempfile::tempdir().unwrap();
    let context = start(directory.path());
    let limit = Config { sizer: Sizer::Items, queue_size: 40, ..config() };
    let queue = exporter(&limit, &silent(), &context);
    let large = |items| Batch { signal: Signal::Logs, body: bytes::Bytes::from(vec![7; LARGE]), items };
    for _ in 0..40 {
        assert_eq!(queue.consume(large(1)).await, Outcome::Accepted);
    }
    assert!(matches!(queue.consume(large(1)).await, Outcome::Overloaded { .. }));
    assert!(context.metrics.sum("sekisho_exporter_queue_disk_bytes", None) > (40 * LARGE) as f64);
    drop((queue, context));
    let context = wait_for_start(directory.path()).await;
    let script = Script::new([]);
    let queue = exporter(&limit, &(script.clone() as Next), &context);
    until("all is sent", || script.items().len() == 40).await;
    assert!(script.taken().iter().all(|batch| batch.body.len() == LARGE));
    let disk = || context.metrics.sum("sekisho_exporter_queue_disk_bytes", None);
    until("the file shrinks once it is empty", || disk() < (4 * LARGE) as f64).await;
    assert_eq!(queue.consume(large(1)).await, Outcome::Accepted);
    until("and works on", || script.items().len() == 41).await;
}

#[tokio::test]
async fn an_exporter_that_is_exchanged_inherits_what_waits() {
    let directory = tempfile::tempdir().unwrap();
    let context = start(directory.path());
    let old = exporter(&config(), &away(), &context);
    for items in 1..=4 {
        assert_eq!(old.consume(batch(items)).await, Outcome::Accepted);
    }
    let script = Script::new([]);
    let new = exporter(&config(), &(script.clone() as Next), &context);
    old.drain().await;
    drop(old);
    until("all is sent to the new destination", || script.items().len() == 4).await;
    assert_eq!((failed(&context), held(&context)), (0, 0));
    new.drain().await;
}

#[tokio::test]
async fn what_a_destination_refuses_for_good_is_lost_once_and_what_breaks_it_too() {
    let directory = tempfile::tempdir().unwrap();
    let context = start(directory.path());
    let slow = Arc::new(Slow(Semaphore::new(100)));
    let queue = exporter(&config(), &(slow as Next), &context);
    for items in [13, 14, 1] {
        assert_eq!(queue.consume(batch(items)).await, Outcome::Accepted);
    }
    until("all are through", || held(&context) == 0).await;
    assert_eq!(failed(&context), 27);
}

#[tokio::test]
async fn a_damaged_file_is_set_aside_and_said() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("queue-otlp%2fa%20b.redb");
    std::fs::write(&path, "nothing of ours, but long enough to be looked at".repeat(1000)).unwrap();
    let context = start(directory.path());
    let script = Script::new([]);
    let queue = exporter(&config(), &(script.clone() as Next), &context);
    assert!(directory.path().join("queue-otlp%2fa%20b.redb.damaged-0").exists());
    assert_eq!(queue.consume(batch(3)).await, Outcome::Accepted);
    until("it works", || script.items() == [3]).await;
}

/// Takes what its gate lets through.
struct Gated(Arc<Slow>, Arc<Script>);

impl Consumer for Gated {
    fn consume(&self, batch: Batch) -> Boxed<'_, Outcome> {
        Box::pin(async move {
            self.0.consume(batch.clone()).await;
            self.1.consume(batch).await
        })
    }
}

#[tokio::test]
async fn damage_met_late_costs_what_is_only_on_disk_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let context = start(directory.path());
    let script = Script::new([]);
    // Nothing is taken until the file has been damaged.
    let gate = Arc::new(Slow(Semaphore::new(0)));
    let destination: Next = Arc::new(Gated(gate.clone(), script.clone()));
    let queue = exporter(&config(), &destination, &context);
    let large = || Batch { signal: Signal::Logs, body: bytes::Bytes::from(vec![7; LARGE]), items: 1 };
    for _ in 0..60 {
        assert_eq!(queue.consume(large()).await, Outcome::Accepted);
    }
    let path = directory.path().join("queue-otlp%2fa%20b.redb");
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    let length = file.metadata().unwrap().len();
    std::os::unix::fs::FileExt::write_all_at(&file, &vec![0xa5; (length - 8192) as usize], 8192).unwrap();
    gate.0.add_permits(1000);
    until("the queue is empty", || held(&context) == 0).await;
    assert!((4..=60).contains(&script.items().len()), "what was in memory arrives: {}", script.items().len());
    until("it works on", || directory.path().join("queue-otlp%2fa%20b.redb.damaged-0").exists()).await;
    let before = script.items().len();
    let begun = Instant::now();
    while queue.consume(large()).await != Outcome::Accepted {
        assert!(begun.elapsed() < DEADLINE, "it does not recover");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    until("what comes later arrives", || script.items().len() > before).await;
}
