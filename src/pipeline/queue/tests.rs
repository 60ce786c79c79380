mod disk;

use std::path::Path;

use tokio::sync::Semaphore;

use super::*;
use crate::{
    config::{Kind, Toggle},
    otlp::{check::check, sample},
    pipeline::{component::Context, probe, probe::Script},
};

fn batch(items: usize) -> Batch {
    Batch { signal: Signal::Logs, body: bytes::Bytes::from(vec![0; items * 10]), items }
}

/// A destination that takes one batch for each permit, and refuses those of 13 items for good; those of 14 are its end.
struct Slow(Semaphore);

impl Consumer for Slow {
    fn consume(&self, batch: Batch) -> Boxed<'_, Outcome> {
        Box::pin(async move {
            self.0.acquire().await.unwrap().forget();
            assert_ne!(batch.items, 14, "this is what breaks it");
            if batch.items == 13 { Outcome::Permanent { reason: "unlucky".into() } } else { Outcome::Accepted }
        })
    }
}

fn queue(config: &Config) -> (Next, Arc<Slow>, Context) {
    let (slow, context) = (Arc::new(Slow(Semaphore::new(0))), probe::context("otlp", Path::new(".")));
    (Queue::over(config, slow.clone(), CancellationToken::new(), &context).unwrap(), slow, context)
}

fn failed(context: &Context) -> u64 {
    context.metrics.sum("otelcol_exporter_send_failed_log_records", None) as u64
}

fn held(context: &Context) -> u64 {
    context.metrics.sum("otelcol_exporter_queue_size", None) as u64
}

#[tokio::test(start_paused = true)]
async fn what_fits_is_accepted_what_does_not_is_refused_whatever_is_counted() {
    let overloaded = Outcome::Overloaded { after: COME_BACK };
    for (sizer, queue_size, each) in [(Sizer::Requests, 3, 1), (Sizer::Items, 12, 4), (Sizer::Bytes, 120, 40)] {
        let (queue, slow, context) = queue(&Config { queue_size, sizer, num_consumers: 2, ..Config::default() });
        for _ in 0..3 {
            assert_eq!(queue.consume(batch(4)).await, Outcome::Accepted, "{sizer:?}");
        }
        assert_eq!(held(&context), 3 * each, "{sizer:?}: what is on its way still takes its place");
        assert_eq!(queue.consume(batch(4)).await, overloaded, "{sizer:?}");
        assert_eq!(context.metrics.sum("otelcol_exporter_enqueue_failed_log_records", None) as u64, 4);
        slow.0.add_permits(3);
        queue.drain().await;
        assert_eq!(held(&context), 0);
        assert_eq!(queue.consume(batch(4)).await, Outcome::Accepted, "{sizer:?}: there is room again");
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_larger_than_the_queue_goes_through_alone() {
    let config = Config { queue_size: 5, sizer: Sizer::Items, ..Config::default() };
    let (queue, slow, _) = queue(&config);
    assert_eq!(queue.consume(batch(50)).await, Outcome::Accepted);
    assert!(matches!(queue.consume(batch(1)).await, Outcome::Overloaded { .. }));
    slow.0.add_permits(1);
    queue.drain().await;
}

#[tokio::test(start_paused = true)]
async fn a_sender_may_wait_for_room() {
    let (queue, slow, _) = queue(&Config { queue_size: 1, block_on_overflow: true, ..Config::default() });
    assert_eq!(queue.consume(batch(1)).await, Outcome::Accepted);
    let waiting = tokio::spawn({
        let queue = queue.clone();
        async move { queue.consume(batch(2)).await }
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    slow.0.add_permits(1);
    assert_eq!(waiting.await.unwrap(), Outcome::Accepted);
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_for_good_is_counted_as_lost() {
    let (queue, slow, context) = queue(&Config::default());
    assert_eq!(queue.consume(batch(13)).await, Outcome::Accepted);
    slow.0.add_permits(1);
    queue.drain().await;
    assert_eq!(failed(&context), 13);
}

#[tokio::test(start_paused = true)]
async fn without_a_queue_the_destination_itself_answers() {
    let (queue, slow, context) = queue(&Config { enabled: false, ..Config::default() });
    slow.0.add_permits(1);
    assert_eq!(queue.consume(batch(13)).await, Outcome::Permanent { reason: "unlucky".into() });
    assert_eq!(failed(&context), 13);
}

#[tokio::test(start_paused = true)]
async fn what_is_held_or_on_its_way_when_the_deadline_is_over_is_counted_as_lost() {
    let (queue, slow, context) = queue(&Config { num_consumers: 1, ..Config::default() });
    for items in [3, 4] {
        assert_eq!(queue.consume(batch(items)).await, Outcome::Accepted);
    }
    tokio::time::timeout(Duration::from_secs(10), queue.drain()).await.expect_err("the destination does not answer");
    drop(queue);
    let ended = async {
        while Arc::strong_count(&slow) > 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), ended).await.expect("its tasks end with the queue");
    assert_eq!(failed(&context), 7);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_breaks_its_consumer_is_lost_alone() {
    let (queue, slow, context) = queue(&Config { num_consumers: 1, ..Config::default() });
    slow.0.add_permits(3);
    for items in [14, 14, 1] {
        assert_eq!(queue.consume(batch(items)).await, Outcome::Accepted);
    }
    queue.drain().await;
    assert_eq!((failed(&context), held(&context)), (28, 0));
}

/// Rejects more than it was given.
struct Liar;

impl Consumer for Liar {
    fn consume(&self, _batch: Batch) -> Boxed<'_, Outcome> {
        Box::pin(std::future::ready(Outcome::Partial { rejected: u64::MAX, message: String::new() }))
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_is_lost_than_there_was() {
    let context = probe::context("otlp", Path::new("."));
    let queue = Queue::over(&Config::default(), Arc::new(Liar), CancellationToken::new(), &context).unwrap();
    queue.consume(batch(5)).await;
    queue.drain().await;
    assert_eq!(failed(&context), 5);
}

#[tokio::test(start_paused = true)]
async fn draining_tells_those_who_wait() {
    let context = probe::context("otlp", Path::new("."));
    for enabled in [true, false] {
        let closing = CancellationToken::new();
        let config = Config { enabled, ..Config::default() };
        let queue = Queue::over(&config, Arc::new(Liar), closing.clone(), &context).unwrap();
        assert!(!closing.is_cancelled());
        queue.drain().await;
        assert!(closing.is_cancelled(), "with a queue: {enabled}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_sender_may_wait_for_the_destinations_own_answer() {
    let (queue, slow, context) = queue(&Config { wait_for_result: true, queue_size: 2, ..Config::default() });
    let send = |items| {
        let queue = queue.clone();
        tokio::spawn(async move { queue.consume(batch(items)).await })
    };
    let (taken, refused) = (send(1), send(13));
    while held(&context) < 2 {
        tokio::task::yield_now().await;
    }
    assert!(!taken.is_finished() && !refused.is_finished());
    assert!(matches!(queue.consume(batch(1)).await, Outcome::Overloaded { .. }), "it is full all the same");
    slow.0.add_permits(2);
    assert_eq!(taken.await.unwrap(), Outcome::Accepted);
    assert_eq!(refused.await.unwrap(), Outcome::Permanent { reason: "unlucky".into() });
    assert_eq!(failed(&context), 13);
}

fn spans(count: u64) -> Batch {
    use prost::Message as _;
    Batch { signal: Signal::Traces, body: sample::traces(count).encode_to_vec().into(), items: count as usize }
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_merged_and_what_is_too_large_split() {
    #[rustfmt::skip]
    let table: &[(&str, &str, &[u64], &[usize])] = &[
        ("merged up to min_size",     "{min_size: 10}", &[4, 4, 4, 4, 4], &[12, 8]),
        ("after flush_timeout",       "{min_size: 100}", &[4, 4], &[8]),
        ("split to max_size",         "{min_size: 3, max_size: 3}", &[7], &[3, 3, 1]),
        ("merged, then split",        "{min_size: 6, max_size: 8}", &[5, 5], &[8, 2]),
        ("by bytes",                  "{min_size: 1, max_size: 100000, sizer: bytes}", &[4, 4], &[4, 4]),
        ("by bytes, merged",          "{min_size: 1000000, sizer: bytes}", &[4, 4], &[8]),
    ];
    for (row, yaml, sent, arrived) in table {
        let (config, said) =
            probe::config::<Config>(Kind::Exporter, &format!("num_consumers: 1\nqueue_size: 2000000\nbatch: {yaml}"));
        assert_eq!(said, "", "{row}");
        let (script, context) = (Script::new([]), probe::context("otlp", Path::new(".")));
        let queue = Queue::over(&config, script.clone(), CancellationToken::new(), &context).unwrap();
        for count in *sent {
            assert_eq!(queue.consume(spans(*count)).await, Outcome::Accepted, "{row}");
        }
        while script.items().iter().sum::<usize>() < sent.iter().sum::<u64>() as usize {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(script.items(), *arrived, "{row}");
        for batch in script.taken() {
            assert_eq!(check(Signal::Traces, &batch.body), Ok(batch.items), "{row}");
        }
        queue.drain().await;
        assert_eq!(held(&context), 0, "{row}");
    }
}

#[tokio::test(start_paused = true)]
async fn signals_are_not_mixed_and_draining_does_not_wait_for_more() {
    let batching = Batching { flush_timeout: Duration::from_hours(1), ..Batching::default() };
    let config = Config { num_consumers: 1, batch: Toggle::On(batching), ..Config::default() };
    let (script, context) = (Script::new([]), probe::context("otlp", Path::new(".")));
    let queue = Queue::over(&config, script.clone(), CancellationToken::new(), &context).unwrap();
    for one in [spans(3), batch(5), spans(4)] {
        assert_eq!(queue.consume(one).await, Outcome::Accepted);
    }
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert!(script.taken().is_empty());
    queue.drain().await;
    assert_eq!(script.items(), [7, 5]);
}

#[test]
fn the_configuration_is_checked() {
    let table = [
        ("{}", ""),
        ("batch: {}", ""),
        ("batch:", ""),
        ("{storage: file_storage, sizer: bytes, queue_size: 1000000000}", ""),
        ("num_consumers: 0", "num_consumers"),
        ("queue_size: 0", "queue_size"),
        ("{storage: file_storage, wait_for_result: true}", "wait_for_result"),
        ("{enabled: false, storage: file_storage}", "needs the queue"),
        ("{enabled: false, batch: {}}", "needs the queue"),
        ("batch: {sizer: requests}", "must be items or bytes"),
        ("batch: {max_size: 10}", "at least min_size"),
        ("batch: {flush_timeout: 0s}", "flush_timeout"),
        ("{sizer: items, queue_size: 100, batch: {}}", "must not be more than queue_size, 100"),
        ("batch: {partition: {metadata_keys: []}}", ""),
        ("batch: {partition: {metadata_keys: [tenant]}}", ""),
        ("{storage: file_storage, batch: {partition: {metadata_keys: [a]}}}", "metadata is not kept on disk"),
    ];
    for (yaml, wrong) in table {
        let (_, said) = probe::config::<Config>(Kind::Exporter, yaml);
        assert_eq!(said.is_empty(), wrong.is_empty(), "{yaml}: {said}");
        assert!(said.contains(wrong), "{yaml}: {said}");
    }
}
