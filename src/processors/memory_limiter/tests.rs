use std::{
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;

use super::*;
use crate::{
    config::Kind,
    pipeline::probe::{self, Script},
};

fn batch() -> Batch {
    Batch { signal: Signal::Logs, body: Bytes::new(), items: 10 }
}

#[tokio::test(start_paused = true)]
async fn refuses_above_the_soft_limit_and_looks_again_after_the_interval() {
    static RESIDENT: AtomicU64 = AtomicU64::new(0);
    let config = Config { limit_mib: Some(100), ..Config::default() };
    let context = probe::context("memory_limiter", Path::new(""));
    let read = || Some(RESIDENT.load(Ordering::Relaxed) * MIB);
    let limiter = Limiter::new(&config, 0, read, Signal::Logs, Script::new([]), &context);
    let second = Duration::from_secs(1);
    let refused = Outcome::Overloaded { after: second };
    #[rustfmt::skip]
    let table = [
        ("at the soft limit",                 80, Duration::ZERO, &Outcome::Accepted),
        ("above it, by an old reading",       81, Duration::ZERO, &Outcome::Accepted),
        ("above it",                          81, second,         &refused),
        ("below again, by an old reading",    50, Duration::ZERO, &refused),
        ("below again",                       50, second,         &Outcome::Accepted),
    ];
    for (row, resident, later, expected) in table {
        RESIDENT.store(resident, Ordering::Relaxed);
        tokio::time::advance(later).await;
        assert_eq!(&limiter.consume(batch()).await, expected, "{row}");
    }
    assert_eq!((limiter.accepted.get(), limiter.refused.get()), (30, 20));
    let text = context.metrics.render(&crate::telemetry::Form::default());
    assert!(text.contains("otelcol_processor_refused_log_records{processor=\"memory_limiter\"} 20"), "{text}");
}

/// Scenario: memory is short and then suffices again, well within a long interval.
/// Guarantees: data is let through as soon as that shows; receivers are told what is left until half a spike below.
#[tokio::test(start_paused = true)]
async fn refusing_ends_with_its_reason_and_receivers_hear_what_is_left() {
    static RESIDENT: AtomicU64 = AtomicU64::new(0);
    let config = Config { limit_mib: Some(100), check_interval: Duration::from_mins(1), ..Config::default() };
    let context = probe::context("memory_limiter", Path::new(""));
    let read = || Some(RESIDENT.load(Ordering::Relaxed) * MIB);
    let limiter = Limiter::new(&config, 0, read, Signal::Logs, Script::new([]), &context);
    let soon = Duration::from_millis(5);
    #[rustfmt::skip]
    let table = [
        ("below",                     60, soon, Some(10)),
        ("above what is aimed for",   75, soon, Some(-5)),
        ("above the soft limit",      90, soon, None),
        ("below again",               50, soon, Some(20)),
    ];
    for (row, resident, later, left) in table {
        RESIDENT.store(resident, Ordering::Relaxed);
        tokio::time::advance(later).await;
        let headroom = limiter.headroom().unwrap();
        assert_eq!(headroom.bytes / MIB as i64, left.unwrap_or(-20), "{row}");
        assert_eq!(limiter.consume(batch()).await == Outcome::Accepted, left.is_some(), "{row}");
    }
    assert_eq!(limiter.headroom().unwrap().at, Instant::now(), "the reading has its time");
}

#[tokio::test(start_paused = true)]
async fn a_flood_within_the_interval_is_noticed() {
    static RESIDENT: AtomicU64 = AtomicU64::new(40);
    let config = Config { limit_mib: Some(100), ..Config::default() };
    let context = probe::context("memory_limiter", Path::new(""));
    let read = || Some(RESIDENT.load(Ordering::Relaxed) * MIB);
    let limiter = Limiter::new(&config, 0, read, Signal::Logs, Script::new([]), &context);
    let mut accepted = 0;
    while limiter.consume(Batch { body: Bytes::from(vec![0; 1 << 20]), ..batch() }).await == Outcome::Accepted {
        accepted = RESIDENT.fetch_add(1, Ordering::Relaxed);
    }
    assert!((70..=85).contains(&accepted), "{accepted} MiB");
}

#[test]
fn the_soft_limit_is_the_limit_less_the_spike_limit() {
    let total = 1000 * MIB;
    let mib = |limit, spike| Config { limit_mib: Some(limit), spike_limit_mib: spike, ..Config::default() };
    let percent =
        |limit, spike| Config { limit_percentage: Some(limit), spike_limit_percentage: spike, ..Config::default() };
    #[rustfmt::skip]
    let table = [
        ("mib, spike by default",     mib(100, None), 80),
        ("mib with spike",            mib(100, Some(30)), 70),
        ("percent, spike by default", percent(50, None), 400),
        ("percent with spike",        percent(50, Some(10)), 400),
        ("percent with small spike",  percent(50, Some(1)), 490),
    ];
    for (row, config, expected) in table {
        assert_eq!(config.limits(total).soft, expected * MIB, "{row}");
    }
}

#[test]
fn builds_on_this_machine() {
    if cfg!(target_os = "linux") {
        let config = Config { limit_percentage: Some(75), ..Config::default() };
        assert!(
            config.build(Signal::Traces, Script::new([]), &probe::context("memory_limiter", Path::new(""))).is_ok()
        );
    }
}

#[test]
fn wrong_configurations_are_reported() {
    #[rustfmt::skip]
    let table = [
        ("limit_mib: 100", None),
        ("limit_percentage: 75\nspike_limit_percentage: 20", None),
        ("check_interval: 1s", Some("needs limit_mib or limit_percentage")),
        ("limit_mib: 100\ncheck_interval: 0s", Some("must be more than 0")),
        ("limit_mib: 0", Some("must be more than 0")),
        ("limit_percentage: 101", Some("must be between 1 and 100")),
        ("limit_mib: 100\nspike_limit_mib: 100", Some("must be less than limit_mib")),
        ("limit_percentage: 20\nspike_limit_percentage: 20", Some("must be less than limit_percentage")),
        ("limit_mib: 100\nlimit_percentage: 75", Some("has no effect beside limit_mib")),
        ("limit_mib: 100\nspike_limit_percentage: 20", Some("does not go with limit_mib")),
        ("limit_mib: 100\nlimit: 3", Some("unknown key `limit`")),
    ];
    for (yaml, expected) in table {
        let (_, said) = probe::config::<Config>(Kind::Processor, yaml);
        match expected {
            Some(expected) => assert!(said.contains(expected), "{yaml}: {said}"),
            None => assert_eq!(said, "", "{yaml}"),
        }
    }
}
