//! From a node to a struct: all mistakes at once, at their places.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;

use super::{super::*, read};

#[derive(Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Exporter {
    endpoint: Endpoint,
    #[serde(with = "DurationText")]
    timeout: Duration,
    #[serde(with = "OptionalDurationText")]
    idle: Option<Duration>,
    compression: Compression,
    retry_on_failure: Retry,
    sending_queue: Option<Queue>,
    grpc: Toggle<Queue>,
    headers: BTreeMap<String, Secret>,
    token: Secret,
    limit: ByteSize,
    budget: Rate,
    names: Vec<String>,
    ports: Vec<u16>,
    enabled: bool,
    share: f64,
    rule: Rule,
}

impl Default for Exporter {
    fn default() -> Self {
        Self {
            endpoint: Endpoint::localhost(4317),
            timeout: Duration::from_secs(5),
            idle: None,
            compression: Compression::Gzip,
            retry_on_failure: Retry::default(),
            sending_queue: None,
            grpc: Toggle::Off,
            headers: BTreeMap::new(),
            token: Secret::default(),
            limit: ByteSize::mib(20),
            budget: Rate::weekly(1.0),
            names: Vec::new(),
            ports: Vec::new(),
            enabled: true,
            share: 0.5,
            rule: Rule::Never,
        }
    }
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Compression {
    Gzip,
    Zstd,
    None,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Rule {
    Never,
    Over(u32),
    When { name: String },
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Retry {
    #[serde(with = "DurationText")]
    initial_interval: Duration,
    #[serde(with = "DurationText")]
    max_interval: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { initial_interval: Duration::from_secs(5), max_interval: Duration::from_secs(30) }
    }
}

impl Check for Retry {
    fn check(&self, report: &mut Report<'_>) {
        if self.max_interval < self.initial_interval {
            report.error("max_interval", "must be at least `initial_interval`").hint("raise it");
        }
    }
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Queue {
    #[serde(alias = "size")]
    queue_size: u32,
}

impl Check for Exporter {
    fn check(&self, report: &mut Report<'_>) {
        report.within("retry_on_failure", &self.retry_on_failure);
        if self.share > 1.0 {
            report.error("share", "must be at most 1");
        }
        for (index, port) in self.ports.iter().enumerate() {
            if *port == 0 {
                report.error(&format!("ports.{index}"), "must not be 0");
            }
        }
        if self.enabled && self.names.iter().any(|name| name == "none") {
            report.warning("", "is enabled for nobody");
        }
    }
}

/// Decodes `yaml` as the exporter `x`.
fn decoded(yaml: &str) -> (Exporter, Problems) {
    let (root, _) = read(&format!("exporters:\n  x:\n{}", indented(yaml)));
    let mut problems = Problems::new(root.texts.clone());
    let exporter = root.tree.get("exporters").and_then(|node| node.get("x")).expect("x");
    (decode(exporter, &mut problems), problems)
}

fn indented(yaml: &str) -> String {
    yaml.lines().flat_map(|line| ["    ", line, "\n"]).collect()
}

const FULL: &str = "\
endpoint: '[::1]:0'
timeout: 1h30m
idle: 0
compression: zstd
retry_on_failure:
sending_queue: {size: 7}
grpc:
headers: {a: 1, b: 0x10, c: true}
token: 007
limit: 512KiB
budget: 2/month
names: [a, 1.50, '${env:ZIP}', no]
ports: [1, '${env:PORT}']
enabled: false
share: 1
rule: {over: 3}
";

#[test]
fn a_full_section_is_decoded() {
    let (exporter, problems) = decoded(FULL);
    assert!(problems.is_empty(), "{problems}");
    let secret = |text: &str| Secret::new(text);
    let expected = Exporter {
        endpoint: Endpoint { host: "::1".to_owned(), port: 0 },
        timeout: Duration::from_mins(90),
        idle: Some(Duration::ZERO),
        compression: Compression::Zstd,
        retry_on_failure: Retry::default(),
        sending_queue: Some(Queue { queue_size: 7 }),
        grpc: Toggle::On(Queue::default()),
        headers: [("a", "1"), ("b", "0x10"), ("c", "true")].map(|(k, v)| (k.to_owned(), secret(v))).into(),
        token: secret("007"),
        limit: ByteSize::kib(512),
        budget: "2/month".parse().expect("a rate"),
        names: ["a", "1.50", "0123", "no"].map(str::to_owned).to_vec(),
        ports: vec![1, 4317],
        enabled: false,
        share: 1.0,
        rule: Rule::Over(3),
    };
    assert_eq!(exporter, expected);
}

#[test]
fn nothing_is_all_defaults() {
    for yaml in ["~", "{}", "{retry_on_failure: , names: , headers: , sending_queue: , token: '', rule: never}"] {
        let (exporter, problems) = decoded(yaml);
        assert!(problems.is_empty(), "{yaml}: {problems}");
        assert_eq!(exporter, Exporter::default(), "{yaml}");
    }
}

#[test]
fn each_mistake_is_named_at_its_place() {
    let rows: &[(&str, u32, &str, &str, &str)] = &[
        ("endpont: a:1", 5, "endpont", "unknown key `endpont`", "did you mean `endpoint`?"),
        ("endpoint: http://a:1/x", 15, "endpoint", "this is a URL", "leave out `http://`: a:1"),
        ("endpoint: localhost", 15, "endpoint", "there is no port", "write localhost:PORT"),
        ("endpoint: a:70000", 15, "endpoint", "`70000` is not a port", ""),
        ("timeout: 5", 14, "timeout", "a duration with a unit, not the number 5", "write 5s or 5ms"),
        ("timeout: 5 sec", 14, "timeout", "must be a duration, not \"5 sec\"", "such as 300ms"),
        ("timeout: 5sec", 14, "timeout", "there is no unit `sec`", "did you mean `s`?"),
        ("timeout: -3s", 14, "timeout", "must not be negative", ""),
        ("timeout: {a: 1}", 14, "timeout", "a duration such as 300ms, 1.5s or 1h30m, not a map", ""),
        ("timeout:", 5, "timeout", "a duration such as", ""),
        ("compression: gzp", 18, "compression", "one of gzip, zstd, none, not \"gzp\"", "did you mean `gzip`?"),
        ("compression: [gzip]", 18, "compression", "must be one of gzip, zstd, none, not a list", ""),
        ("retry_on_failure: 3", 23, "retry_on_failure", "must be a map, not the number 3", "initial_interval"),
        (
            "retry_on_failure: {max_intervall: 3s}",
            24,
            "retry_on_failure::max_intervall",
            "unknown key",
            "`max_interval`",
        ),
        ("retry_on_failure: {max_interval: 3s}", 38, "retry_on_failure::max_interval", "at least `initial", "raise it"),
        (
            "sending_queue: {size: -1}",
            27,
            "sending_queue::size",
            "a whole number from 0 to 4294967295, not the number -1",
            "",
        ),
        ("sending_queue: {size: '5'}", 27, "sending_queue::size", "not the text \"5\"", "remove the quotes"),
        ("headers: {a: [hunter2]}", 18, "headers::a", "must be text, not a list", ""),
        ("token: {a: hunter2}", 12, "token", "must be text, not a map", ""),
        ("limit: 20 mibs", 12, "limit", "there is no unit `mibs`", "did you mean `20MiB`?"),
        ("limit: lots", 12, "limit", "must be a size, not \"lots\"", "such as 512KiB"),
        ("limit: -1", 12, "limit", "must be a size, not \"-1\"", ""),
        ("budget: 1", 13, "budget", "must say in how long", "write 1/week"),
        ("budget: 1/wek", 13, "budget", "not per \"wek\"", "did you mean `week`?"),
        ("names: a", 12, "names", "must be a list, not the text \"a\"", ""),
        ("names: [a, [b]]", 16, "names::1", "must be text, not a list", ""),
        ("ports: [1, 70000]", 16, "ports::1", "from 0 to 65535, not the number 70000", ""),
        ("ports: [1, 0]", 16, "ports::1", "must not be 0", ""),
        ("enabled: yes", 14, "enabled", "must be true or false, not the text \"yes\"", "write true or false"),
        ("enabled:", 5, "enabled", "has no value; must be true or false", "remove the key"),
        ("share: .nan", 12, "share", "must be a number", ""),
        ("share: 2", 12, "share", "must be at most 1", ""),
        ("rule: {ovr: 3}", 12, "rule::ovr", "unknown key `ovr`", "did you mean `over`?"),
        ("rule: {over: x}", 18, "rule::over", "must be a whole number", ""),
        ("rule: {when: {nme: x}}", 19, "rule::when::nme", "unknown key `nme`", "did you mean `name`?"),
        ("names: [none]", 5, "", "enabled for nobody", ""),
    ];
    let mut wrong = Vec::new();
    for (yaml, column, path, message, hint) in rows {
        let (_, problems) = decoded(yaml);
        let full = if path.is_empty() { "exporters::x".to_owned() } else { format!("exporters::x::{path}") };
        let found = problems.iter().any(|problem| {
            problem.line == 3
                && problem.column == *column
                && problem.path == full
                && problem.message.contains(message)
                && problem.hint.as_deref().unwrap_or_default().contains(hint)
        });
        let noisy = problems.len() > 1 && *path != "rule::when::nme";
        if !found || noisy || problems.to_string().contains("hunter2") {
            wrong.push(format!("{yaml}\n  wants {column} {full}: {message} [{hint}]\n  found {problems}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn all_mistakes_are_found_in_one_run_and_the_rest_is_kept() {
    let yaml = "timeout: soon\ncompression: lz5\nports: [1, x, 70000, 0]\nlimit: 1MiB\nshrae: 1\nenabled: 7\nretry_on_failure: {max_interval: 1s, initial_interval: x}";
    let (exporter, problems) = decoded(yaml);
    let paths: Vec<&str> = problems.iter().map(|problem| problem.path.trim_start_matches("exporters::x::")).collect();
    for path in
        ["timeout", "compression", "ports::1", "ports::2", "shrae", "enabled", "retry_on_failure::initial_interval"]
    {
        assert!(paths.contains(&path), "{path} in {paths:?}");
    }
    // The default of `initial_interval` stands in for a bad value: its relation to `max_interval` says nothing, and is
    // reported at `max_interval` only because that path is untouched.
    assert_eq!(exporter.limit, ByteSize::mib(1));
    assert_eq!(exporter.compression, Compression::Gzip);
}

#[test]
fn mistakes_beyond_count_are_bounded() {
    let (_, problems) = decoded(&format!("ports: [{}]", "x, ".repeat(500)));
    assert!((1..100).contains(&problems.len()), "{}", problems.len());
    assert!(problems.has_errors());
}

#[test]
fn secrets_stay_hidden_when_something_beside_them_is_wrong() {
    let (_, problems) =
        decoded("{token: hunter2, enabled: 7, headers: {x: hunter2}, pasword: hunter2, tokne: 'hunter2'}");
    let text = problems.to_string();
    assert!(!text.contains("hunter2"), "{text}");
    assert!(text.contains("enabled: 7"), "{text}");
}

#[test]
fn a_secret_of_several_lines_is_hidden_on_all_of_them() {
    for form in [
        "|\n      hunter2\n\n      hunter2",
        "hunter2\n\n      hunter2",
        "\n      hunter2\n      hunter2 x",
        "'hunter2\n\n      hunter2'",
    ] {
        let (root, mut problems) = read(&format!("exporters:\n  x:\n    token: {form}\n    names: here\n"));
        let token = root.tree.get("exporters").and_then(|node| node.get("x")?.get("token")).expect("a token");
        for line in 3..=7 {
            problems.error(Span { line, column: 1, width: 1, ..token.span }, "", "look here");
        }
        let text = problems.to_string();
        assert!(!text.contains("hunter2") && text.contains("names: here"), "{text}");
    }
}

#[test]
fn an_unset_variable_is_told_once() {
    let (root, mut problems) = read("exporters: {x: {timeout: '${NOPE}', endpoint: '${NADA}'}}");
    let before = problems.len();
    let _: Exporter = decode(root.tree.get("exporters").and_then(|node| node.get("x")).expect("x"), &mut problems);
    assert_eq!(problems.len(), before, "{problems}");
}

#[test]
fn every_key_of_a_full_section_is_checked() {
    for (index, line) in FULL.lines().enumerate() {
        let (key, rest) = line.split_once(':').expect("a key");
        let lines = FULL
            .lines()
            .enumerate()
            .map(|(at, line)| if at == index { format!("{key}x:{rest}\n") } else { format!("{line}\n") });
        let (_, problems) = decoded(&lines.collect::<String>());
        let [problem] = problems.iter().as_slice() else { panic!("one problem, not {problems}") };
        assert_eq!((problem.line, problem.column), (index as u32 + 3, 5), "{problems}");
        assert_eq!(problem.hint, Some(format!("did you mean `{key}`?")), "{problems}");
    }
}

#[test]
fn an_error_after_many_warnings_is_still_an_error() {
    let mut problems = Problems::default();
    for _ in 0..500 {
        problems.warning(Span::default(), "", "odd");
    }
    assert!(!problems.has_errors());
    problems.error(Span::default(), "", "wrong").hint("unheard");
    assert!(problems.has_errors());
    assert_eq!(problems.len(), 501);
    assert!(problems.to_string().contains("… and 301 more"));
}

#[test]
fn printing_hides_what_a_component_calls_secret() {
    #[derive(Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Hook {
        #[serde(rename = "hook")]
        _hook: Secret,
    }
    impl Check for Hook {}
    let (root, mut problems) = read("exporters: {x: {hook: 'https://example.com/hunter2'}}");
    assert!(print(&redacted(&root.tree, &problems)).contains("hunter2"));
    let _: Hook = decode(root.tree.get("exporters").and_then(|node| node.get("x")).expect("x"), &mut problems);
    let printed = print(&redacted(&root.tree, &problems));
    assert!(!printed.contains("hunter2") && printed.contains("hook: \"[redacted]\""), "{printed}");
}

#[test]
fn a_text_that_does_not_parse_tells_no_secret_either() {
    for yaml in ["a: [\npassword: hunter2: x", "x: {'api-key': hunter2", "tokn: [hunter2", "- headers: {a: hunter2: b"]
    {
        let text = read(yaml).1.to_string();
        assert!(text.contains("error") && !text.contains("hunter2"), "{text}");
    }
    let text = super::read_with(&["a: 1"], &["exporters.x.token=[hunter2"]).1.to_string();
    assert!(text.contains("--set:1:") && !text.contains("hunter2"), "{text}");
}
