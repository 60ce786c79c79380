use std::{os::unix::fs::PermissionsExt as _, time::SystemTime};

use opentelemetry_proto::tonic::{collector::trace::v1::ExportTraceServiceRequest, common::v1::any_value::Value};
use prost::Message as _;

use super::*;
use crate::{
    config::Kind,
    otlp::{
        compression::{Encoding, decompress},
        sample,
    },
    pipeline::probe,
};

fn batch(spans: u64) -> Batch {
    Batch { signal: Signal::Traces, body: sample::traces(spans).encode_to_vec().into(), items: spans as usize }
}

fn exporter(config: &Config, directory: &Path) -> Next {
    config.build(&probe::context("file", directory)).unwrap()
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn each_request_is_a_line_and_a_restart_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let config = Config { path: "out.jsonl".into(), ..Config::default() };
    for _ in 0..2 {
        assert_eq!(exporter(&config, directory.path()).consume(batch(2)).await, Outcome::Accepted);
    }
    let text = fs::read_to_string(directory.path().join("out.jsonl")).unwrap();
    assert_eq!(text.lines().count(), 2);
    for line in text.lines() {
        assert_eq!(json::to_protobuf(Signal::Traces, line.as_bytes()).unwrap(), batch(2).body);
    }
    let anew = Config { append: false, ..config };
    exporter(&anew, directory.path());
    assert_eq!(fs::metadata(directory.path().join("out.jsonl")).unwrap().len(), 0);
}

#[tokio::test]
async fn protobuf_messages_follow_their_length() {
    let directory = tempfile::tempdir().unwrap();
    let config = Config { path: "out.pb".into(), format: Format::Proto, ..Config::default() };
    exporter(&config, directory.path()).consume(batch(3)).await;
    let bytes = fs::read(directory.path().join("out.pb")).unwrap();
    let (len, message) = bytes.split_first_chunk::<4>().unwrap();
    assert_eq!(u32::from_be_bytes(*len) as usize, message.len());
    assert_eq!(message, batch(3).body);
}

#[tokio::test]
async fn compressed_requests_are_read_one_by_one() {
    let directory = tempfile::tempdir().unwrap();
    for format in [Format::Json, Format::Proto] {
        let (path, compression) = ("out.zst".into(), Compression::Zstd);
        let config = Config { path, format, compression, append: false, ..Config::default() };
        let exporter = exporter(&config, directory.path());
        for spans in [3, 4] {
            assert_eq!(exporter.consume(batch(spans)).await, Outcome::Accepted);
        }
        let bytes = fs::read(directory.path().join("out.zst")).unwrap();
        let mut rest = bytes.as_slice();
        for spans in [3, 4] {
            let (len, tail) = rest.split_first_chunk::<4>().unwrap();
            let (message, tail) = tail.split_at(u32::from_be_bytes(*len) as usize);
            let plain = decompress(Encoding::Zstd, message, 1 << 20).unwrap();
            let request = match format {
                Format::Json => json::to_protobuf(Signal::Traces, &plain).unwrap(),
                Format::Proto => plain.to_vec(),
            };
            assert_eq!(request, batch(spans).body, "{format:?}");
            rest = tail;
        }
        assert!(rest.is_empty());
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_is_a_reason_to_come_back_and_trouble_while_it_lasts() {
    // The device that is always full stands in for the disk.
    let config = Config { path: "/dev/full".into(), ..Config::default() };
    let context = probe::context("file", Path::new("."));
    let exporter = config.build(&context).unwrap();
    let outcome = exporter.consume(batch(2)).await;
    assert!(matches!(&outcome, Outcome::Retryable { reason, .. } if reason.contains("No space left")), "{outcome:?}");
    assert_eq!(context.metrics.sum("otelcol_exporter_send_failed_spans", None) as u64, 2);
}

#[tokio::test]
async fn a_file_that_was_taken_away_does_not_stop_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let rotation = Toggle::On(Rotation { max_megabytes: 1, max_backups: 2, ..Rotation::default() });
    let exporter = exporter(&Config { path: "out".into(), rotation, ..Config::default() }, directory.path());
    let large = batch(250);
    assert_eq!(exporter.consume(large.clone()).await, Outcome::Accepted);
    fs::remove_file(directory.path().join("out")).unwrap();
    for _ in 0..3 {
        assert_eq!(exporter.consume(large.clone()).await, Outcome::Accepted);
    }
    assert!(directory.path().join("out").exists());
}

#[tokio::test]
async fn full_files_make_room_for_new_ones_and_the_oldest_goes() {
    let directory = tempfile::tempdir().unwrap();
    let rotation = Toggle::On(Rotation { max_megabytes: 1, max_backups: 2, ..Rotation::default() });
    let exporter = exporter(&Config { path: "out".into(), rotation, ..Config::default() }, directory.path());
    let large = batch(250);
    for _ in 0..6 {
        assert_eq!(exporter.consume(large.clone()).await, Outcome::Accepted);
    }
    assert_eq!(names(directory.path()), ["out", "out.1", "out.2"]);
}

#[tokio::test]
async fn a_path_that_cannot_be_written_stops_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let config = Config { path: "no/such/directory".into(), ..Config::default() };
    let refused = config.build(&probe::context("file", directory.path())).err().unwrap();
    assert!(refused.to_string().contains("no/such/directory"), "{refused}");
}

#[tokio::test]
async fn an_older_file_goes_when_its_days_are_over() {
    let directory = tempfile::tempdir().unwrap();
    let rotation = Toggle::On(Rotation { max_megabytes: 1, max_days: 3, ..Rotation::default() });
    let days_ago = |days: u64| SystemTime::now() - Duration::from_hours(days * 24);
    for (name, written) in [("out.1", days_ago(2)), ("out.2", days_ago(4)), ("out.3", days_ago(5))] {
        let file = fs::File::create(directory.path().join(name)).unwrap();
        file.set_modified(written).unwrap();
    }
    let exporter = exporter(&Config { path: "out".into(), rotation, ..Config::default() }, directory.path());
    for _ in 0..2 {
        assert_eq!(exporter.consume(batch(2500)).await, Outcome::Accepted);
    }
    assert_eq!(names(directory.path()), ["out", "out.1", "out.2"]);
    assert_eq!(fs::metadata(directory.path().join("out.2")).unwrap().len(), 0, "the one of two days ago");
}

#[tokio::test]
async fn the_level_decides_how_small_it_gets() {
    let directory = tempfile::tempdir().unwrap();
    let size_at = async |level| {
        let config = Config {
            path: format!("out.{level}").into(),
            compression: Compression::Zstd,
            compression_params: CompressionParams { level },
            ..Config::default()
        };
        assert_eq!(exporter(&config, directory.path()).consume(batch(500)).await, Outcome::Accepted);
        fs::metadata(directory.path().join(&config.path)).unwrap().len()
    };
    assert!(size_at(19).await < size_at(1).await);
}

/// A request with a resource for each name; none for `None`.
fn named(names: &[Option<&str>]) -> Batch {
    let mut request = ExportTraceServiceRequest::default();
    for name in names {
        let mut group = sample::traces(1).resource_spans.remove(0);
        let resource = group.resource.as_mut().unwrap();
        resource.attributes.extend(name.map(|name| sample::pair("tenant", Value::StringValue(name.to_owned()))));
        request.resource_spans.push(group);
    }
    Batch { signal: Signal::Traces, body: request.encode_to_vec().into(), items: names.len() }
}

fn grouped(directory: &Path, max_open_files: usize) -> Next {
    let group_by = GroupBy { enabled: true, resource_attribute: "tenant".into(), max_open_files };
    exporter(&Config { path: "by/t-*.jsonl".into(), group_by, ..Config::default() }, directory)
}

#[tokio::test]
async fn each_group_has_its_file_even_when_not_all_can_be_open() {
    let directory = tempfile::tempdir().unwrap();
    let exporter = grouped(directory.path(), 2);
    for _ in 0..2 {
        let request = named(&[Some("a"), Some("b"), Some("c/d"), Some("a")]);
        assert_eq!(exporter.consume(request).await, Outcome::Accepted);
    }
    for (path, spans) in [("by/t-a.jsonl", 2), ("by/t-b.jsonl", 1), ("by/t-c/d.jsonl", 1)] {
        let text = fs::read_to_string(directory.path().join(path)).unwrap();
        assert_eq!(text.lines().count(), 2, "{path}");
        for line in text.lines() {
            assert_eq!(line.matches("\"span 0\"").count(), spans, "{path}: {line}");
        }
    }
}

#[tokio::test]
async fn a_name_from_outside_stays_below_the_star() {
    let long = "x".repeat(400);
    let table = [
        ("up", "../../etc/passwd", Some("by/t-etc/passwd.jsonl")),
        ("root", "/etc/passwd", Some("by/t-etc/passwd.jsonl")),
        ("hidden", "a/./../b", Some("by/t-a/b.jsonl")),
        ("nothing", "", None),
        ("only dots", "../..", None),
        ("line break", "a\nb", None),
        ("too long for a name", &long, None),
        ("below a file", "file.jsonl/a", None),
    ];
    for (row, name, path) in table {
        let directory = tempfile::tempdir().unwrap();
        let exporter = grouped(directory.path(), 2);
        assert_eq!(exporter.consume(named(&[Some("file")])).await, Outcome::Accepted);
        let outcome = exporter.consume(named(&[Some(name), Some("file")])).await;
        match path {
            Some(path) => {
                assert_eq!(outcome, Outcome::Accepted, "{row}");
                assert!(directory.path().join(path).exists(), "{row}");
            }
            None => assert!(matches!(outcome, Outcome::Partial { rejected: 1, .. }), "{row}: {outcome:?}"),
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let outcome = grouped(directory.path(), 2).consume(named(&[None])).await;
    assert!(
        matches!(&outcome, Outcome::Partial { rejected: 1, message } if message.contains("`tenant`")),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn missing_directories_are_made_only_when_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let config = Config { path: "a/b/out".into(), create_directory: true, ..Config::default() };
    let private = Config { directory_permissions: Some("0700".into()), ..config };
    exporter(&private, directory.path());
    let mode = fs::metadata(directory.path().join("a/b")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn what_does_not_fit_is_said() {
    let table = [
        ("group_by: {enabled: true}\npath: out.jsonl", "must have one `*`"),
        ("group_by: {enabled: true}\npath: '*.jsonl'", "must have one `*`"),
        ("group_by: {enabled: true}\npath: 'a/*'\nappend: false", "must be true with `group_by`"),
        ("group_by: {enabled: true, resource_attribute: ''}\npath: 'a/*'", "is empty"),
        ("group_by: {enabled: true, max_open_files: 0}\npath: 'a/*'", "between 1 and 10000"),
        ("path: a\ndirectory_permissions: '0755'", "`create_directory` is not"),
        ("path: a\ncreate_directory: true\ndirectory_permissions: rwx", "must be octal"),
        ("path: a\ncompression_params: {level: 6}", "`compression` is none"),
        ("path: a\nflush_interval: 5s", "does nothing"),
        ("path: a\nrotation: {localtime: true}", "are numbered"),
    ];
    for (yaml, expected) in table {
        let (_, said) = probe::config::<Config>(Kind::Exporter, yaml);
        assert!(said.contains(expected), "{yaml}: {said}");
    }
    let (config, said) = probe::config::<Config>(Kind::Exporter, "path: a\nrotation:");
    assert_eq!((config.rotation, said.as_str()), (Toggle::On(Rotation::default()), ""));
}
