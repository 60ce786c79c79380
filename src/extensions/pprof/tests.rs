use std::hint::black_box;

use prost::Message as _;

use super::*;
use crate::{otlp::compression::decompress, pipeline::probe};

/// `profile.proto`, as far as it is written.
#[derive(Clone, PartialEq, prost::Message)]
struct ProfileProto {
    #[prost(message, repeated, tag = "1")]
    sample_type: Vec<Pair>,
    #[prost(message, repeated, tag = "2")]
    sample: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    strings: Vec<String>,
    #[prost(int64, tag = "10")]
    duration_nanos: i64,
    #[prost(int64, tag = "12")]
    period: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Pair {
    #[prost(int64, tag = "1")]
    first: i64,
    #[prost(int64, tag = "2")]
    second: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Sample {
    #[prost(uint64, repeated, tag = "1")]
    location: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Location {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(message, optional, tag = "4")]
    line: Option<Pair>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Function {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "2")]
    name: i64,
}

/// Burns CPU time under a name of its own until told to stop.
#[inline(never)]
fn a_loop_that_takes_all_the_time(stop: &CancellationToken) -> u64 {
    let mut sum = 0_u64;
    while !stop.is_cancelled() {
        for n in 0..10_000_u64 {
            sum = black_box(sum.wrapping_mul(31).wrapping_add(n));
        }
    }
    sum
}

/// Only one profile can be taken at a time in a process, so this is one test.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_profile_shows_where_the_time_goes() {
    let directory = tempfile::tempdir().unwrap();
    let (config, said) =
        probe::config::<Config>(crate::config::Kind::Extension, "{endpoint: '127.0.0.1:0', save_to_file: whole.pprof}");
    assert_eq!(said, "");
    let context = probe::context("pprof", directory.path());
    let profiling = config.listen(&context).await.unwrap();
    let stop = CancellationToken::new();
    let busy = tokio::task::spawn_blocking({
        let stop = stop.clone();
        move || a_loop_that_takes_all_the_time(&stop)
    });
    let url = |path: &str| format!("http://{}/debug/pprof/{path}", profiling.serving.address);
    let _ = rustls::crypto::ring::default_provider().install_default();
    let status = async |path: &str| reqwest::get(url(path)).await.unwrap().status().as_u16();
    for (path, expected) in [
        ("profile?seconds=1", 409),
        ("profile?seconds=0", 400),
        ("profile?seconds=9999", 400),
        ("heap", 404),
        ("", 200),
    ] {
        assert_eq!(status(path).await, expected, "{path}");
    }
    // CPU time, not wall time: on a busy machine the loop gets little of it.
    let used = std::time::Instant::now();
    while used.elapsed() < Duration::from_millis(1500) {
        tokio::task::yield_now().await;
    }
    profiling.stop().await;
    check(&std::fs::read(directory.path().join("whole.pprof")).unwrap());

    let config = Config { save_to_file: PathBuf::new(), ..config };
    let profiling = config.listen(&context).await.unwrap();
    let answer =
        reqwest::get(format!("http://{}/debug/pprof/profile?seconds=1", profiling.serving.address)).await.unwrap();
    check(&answer.bytes().await.unwrap());
    profiling.stop().await;
    stop.cancel();
    busy.await.unwrap();
}

fn check(bytes: &[u8]) {
    let profile = ProfileProto::decode(decompress(Encoding::Gzip, bytes, 64 << 20).unwrap()).unwrap();
    let text = |number: i64| profile.strings[usize::try_from(number).unwrap()].as_str();
    let kinds: Vec<_> = profile.sample_type.iter().map(|kind| (text(kind.first), text(kind.second))).collect();
    assert_eq!(kinds, [("samples", "count"), ("cpu", "nanoseconds")]);
    assert_eq!((text(0), profile.period), ("", 10_000_000));
    assert!(profile.duration_nanos > 900_000_000);
    let name = |location: u64| {
        let line = profile.location.iter().find(|known| known.id == location).unwrap().line.as_ref().unwrap();
        let function = profile.function.iter().find(|known| known.id == u64::try_from(line.first).unwrap()).unwrap();
        text(function.name)
    };
    let busy = profile.sample.iter().filter(|sample| {
        sample.location.iter().any(|location| name(*location).contains("a_loop_that_takes_all_the_time"))
    });
    let samples: i64 = busy.map(|sample| sample.value[0]).sum();
    assert!(samples > 0, "the loop is in {} samples", profile.sample.len());
}

#[test]
fn profiles_that_do_not_exist_cannot_be_asked_for() {
    for (yaml, wrong) in [
        ("{}", ""),
        ("{block_profile_fraction: 0, mutex_profile_fraction: 0}", ""),
        ("{block_profile_fraction: 3}", "block_profile_fraction"),
        ("{mutex_profile_fraction: -1}", "mutex_profile_fraction"),
    ] {
        let (_, said) = probe::config::<Config>(crate::config::Kind::Extension, yaml);
        assert_eq!(said.is_empty(), wrong.is_empty(), "{yaml}: {said}");
        assert!(said.contains(wrong), "{yaml}: {said}");
    }
}
