//! Texts that are broken or malicious: refused quickly, never a panic, always with a place.

use std::time::{Duration, Instant};

/// Something exponential takes longer than this on any machine, and something linear on none.
const QUICKLY: Duration = Duration::from_secs(30);

use proptest::prelude::*;

use super::{super::*, GOOD, read, variable};

/// What every answer must look like.
fn assert_sane(yaml: &str, root: &Root, problems: &Problems) {
    for problem in problems {
        let lines = yaml.lines().count().max(1) as u32 + 1;
        assert!(problem.line <= lines, "{problem:?} in {yaml}");
        assert!(problem.column >= 1 || problem.line == 0, "{problem:?}");
        assert!(!problem.message.is_empty());
    }
    assert!(problems.is_empty() || !problems.to_string().is_empty());
    let _ = print(&redacted(&root.tree, problems));
}

#[test]
fn attacks_are_refused_quickly() {
    let bomb = (1..10).fold("a0: &a0 [x, x]\n".to_owned(), |text, level| {
        let below = format!("*a{}, ", level - 1).repeat(10);
        format!("{text}a{level}: &a{level} [{below}]\n")
    });
    let merges = (1..40).fold("a0: &a0 {k0: 1}\n".to_owned(), |text, level| {
        format!("{text}a{level}: &a{level}\n  <<: [{}]\n", vec![format!("*a{}", level - 1); 20].join(", "))
    });
    let rows = [
        ("alias bomb", "too large", bomb),
        ("merge bomb", "too large", merges),
        ("nested lists", "recursion limit", "[".repeat(20_000)),
        ("nested closed lists", "recursion limit", "[".repeat(20_000) + &"]".repeat(20_000)),
        ("nested maps", "more than 48 levels", (0..500).map(|depth| " ".repeat(depth) + "a:\n").collect()),
        ("nested flow maps", "recursion limit", "{a: ".repeat(5_000)),
        ("many nodes", "the most is 20000", "a: [".to_owned() + &"x, ".repeat(30_000) + "]"),
        ("long", "longer than", "a: ".to_owned() + &"x".repeat(5 << 20)),
        ("long key", "not allowed", "x".repeat(100_000) + ": 1"),
        ("two documents", "a second YAML document", "a: 1\n---\nb: 2\n".to_owned()),
        ("alias of itself", "Recursive", "a: &a [*a]".to_owned()),
        ("no such alias", "unknown", "a: *b".to_owned()),
        ("tag", "unsupported tag", "a: !include /etc/passwd".to_owned()),
        ("nul", "unexpected character", "a: \0".to_owned()),
    ];
    for (name, message, yaml) in rows {
        let start = Instant::now();
        let (root, problems) = read(&yaml);
        assert!(problems.has_errors() && problems.to_string().contains(message), "{name}: {problems}");
        assert!(start.elapsed() < QUICKLY, "{name}: {:?}", start.elapsed());
        assert_sane(&yaml, &root, &problems);
    }
}

#[test]
fn a_reference_bomb_is_refused_quickly() {
    let text = "x".repeat(60_000);
    let env = |name: &str| (name == "BIG").then(|| text.clone());
    let yaml = format!("yaml:a: '{}'", "${BIG}".repeat(5_000));
    let start = Instant::now();
    let problems = load(&[yaml], &[], &env).expect_err("too much");
    assert!(problems.to_string().contains("more than 4194304 bytes"), "{}", problems.to_string().len());
    assert!(start.elapsed() < QUICKLY);
}

/// Everything the shape of the file knows, used once.
const FULL: &str = "\
receivers:
  otlp:
    protocols: {grpc: , http: }
  otlp/2:
processors:
  anomaly: {budget: 1/week}
exporters:
  debug:
    verbosity: basic
connectors:
  count:
extensions:
  health_check:
service:
  extensions: [health_check]
  telemetry:
    logs:
      level: warn
      encoding: json
    metrics:
      level: detailed
      readers:
        - pull:
            exporter:
              prometheus:
                host: 0.0.0.0
                port: 8889
  pipelines:
    traces:
      receivers: [otlp, otlp/2]
      processors: [anomaly]
      exporters: [debug, count]
    metrics:
      receivers: [count]
      exporters: [debug]
    logs/alerts:
      receivers: [anomaly]
      exporters: [debug]
";

#[test]
fn every_key_renamed_dropped_or_doubled_is_noticed_or_harmless() {
    for good in [GOOD, FULL] {
        let (_, problems) = read(good);
        assert!(problems.is_empty(), "{problems}");
        let mut section = "";
        for (index, line) in good.lines().enumerate() {
            let Some((key, rest)) = line.split_once(':') else { continue };
            if !key.starts_with(' ') {
                section = key;
            }
            let with = |replacement: &[&str]| -> String {
                let lines = good.lines().take(index).chain(replacement.iter().copied());
                lines.chain(good.lines().skip(index + 1)).flat_map(|line| [line, "\n"]).collect()
            };
            let (renamed, dropped, doubled) = (with(&[&format!("{key}x:{rest}")]), with(&[]), with(&[line, line]));
            for yaml in [&renamed, &dropped, &doubled] {
                let (root, problems) = read(yaml);
                assert_sane(yaml, &root, &problems);
            }
            // What is inside a component is the component's to refuse; a pipeline may have any name.
            let inside = section != "service" && key.starts_with("    ");
            let free = key.contains("logs/");
            let (_, problems) = read(&renamed);
            // At its own line, or where the old name is used and the new one is suggested.
            let here = problems.iter().any(|problem| problem.line == index as u32 + 1 && problem.column > 0);
            let blamed = here || problems.to_string().contains(&format!("did you mean `{}x`?", key.trim()));
            assert!(inside || free || blamed, "{renamed}\n{problems}");
            // A key twice is refused at every depth; a list item's first key is a new item.
            assert!(line.contains("- ") || read(&doubled).1.has_errors(), "{doubled}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn mangled_configurations_never_panic(at in 0usize..GOOD.len(), cut in 0usize..12, put in "[ -~\n\t€]{0,6}") {
        let mut yaml: Vec<char> = GOOD.chars().collect();
        let end = (at + cut).min(yaml.len());
        yaml.splice(at..end, put.chars());
        let yaml: String = yaml.into_iter().collect();
        let (root, problems) = read(&yaml);
        assert_sane(&yaml, &root, &problems);
    }

    #[test]
    fn any_text_is_answered(yaml in "[ -~\n]{0,80}", set in "[ -~]{0,20}") {
        let (root, problems) = super::super::read(&[format!("yaml:{yaml}")], &[set], &variable);
        let _ = (problems.to_string(), print(&root.tree));
    }

    #[test]
    fn printed_text_reads_back(text in "\\PC{0,20}|[ -~\n\t]{0,20}", key in "[!-~][ -~]{0,8}") {
        let mut node = Node::new(Value::Str(text), Span::default());
        node = Node::new(Value::Map(vec![Entry { key, key_span: Span::default(), node }]), Span::default());
        let printed = print(&node);
        let (root, _) = read(&printed);
        prop_assert_eq!(&root.tree, &node, "{}", printed);
    }
}
