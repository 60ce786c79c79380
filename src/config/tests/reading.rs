//! Sources, merging, `--set`, `${…}`, the shape of the file, printing.

use super::{super::*, GOOD, read, read_with};
use crate::otlp::Signal;

/// Exactly the problems expected, as `line:column path: message [hint]`, in the order of the file.
fn told(problems: &Problems) -> Vec<String> {
    let mut all: Vec<&Problem> = problems.iter().collect();
    all.sort_by_key(|problem| (problem.line, problem.column));
    all.iter()
        .map(|problem| {
            let hint = problem.hint.as_ref().map(|hint| format!(" [{hint}]")).unwrap_or_default();
            format!("{}:{} {}: {}{hint}", problem.line, problem.column, problem.path, problem.message)
        })
        .collect()
}

#[test]
fn a_good_file_is_understood() {
    let (root, problems) = read(GOOD);
    assert!(problems.is_empty(), "{problems}");
    let [scraped] = root.service.telemetry.metrics.pulls().try_into().expect("one place to scrape");
    assert_eq!((scraped.host.as_str(), scraped.port), ("localhost", 8888));
    let [pipeline] = root.service.pipelines.as_slice() else { panic!("one pipeline") };
    assert_eq!(pipeline.id, PipelineId { signal: Signal::Traces, name: String::new() });
    assert_eq!(pipeline.receivers[0].id.to_string(), "otlp");
    assert_eq!(pipeline.receivers[0].path, "service::pipelines::traces::receivers::0");
    let batch = &root.processors[&pipeline.processors[0].id];
    assert_eq!(batch.node.path, "processors::batch");
    let timeout = batch.node.get("timeout").expect("a timeout");
    assert_eq!((timeout.span.line, timeout.span.column, timeout.span.width), (6, 20, 2));
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn what_is_wrong_is_told_with_its_place() {
    let rows: &[(&str, &str, &[&str])] = &[
        (
            "unknown section",
            "recievers: {}\nservice: {pipelines: {}}",
            &[
                "1:1 recievers: unknown key `recievers` [did you mean `receivers`?]",
                "2:11 service::pipelines: must have at least one pipeline",
            ],
        ),
        (
            "pipelines at the top",
            &(GOOD.to_owned() + "pipelines: {}\n"),
            &["15:1 pipelines: unknown key `pipelines` [`pipelines` belongs under `service`]"],
        ),
        (
            "signal under service",
            &GOOD.replace("  pipelines:\n", "  traces: {}\n  pipelines:\n"),
            &["10:3 service::traces: unknown key `traces` [`traces` belongs under `service::pipelines`]"],
        ),
        (
            "no service",
            "receivers: {otlp: }",
            &[
                "1:1 service: is missing [say which pipelines to run]",
                "1:13 receivers::otlp: receiver `otlp` is declared and not used in any pipeline [list `otlp` in a pipeline under `service::pipelines`, or remove it]",
            ],
        ),
        (
            "bad id",
            &GOOD.replace("  batch:", "  batch/: {}\n  batch:"),
            &["6:3 processors::batch/: `batch/` is not a valid processor id [write `batch`, or `batch/name`]"],
        ),
        (
            "unknown signal",
            &GOOD.replace("    traces:", "    trace:"),
            &["11:5 service::pipelines::trace: `trace` is not a kind of pipeline [did you mean `traces`?]"],
        ),
        (
            "profiles",
            &(GOOD.to_owned() + "    profiles: {receivers: [otlp], exporters: [debug]}\n"),
            &[
                "15:5 service::pipelines::profiles: pipelines of profiles are not supported [use traces, metrics or logs]",
            ],
        ),
        (
            "no exporters",
            &GOOD.replace("      exporters: [debug]\n", ""),
            &[
                "8:3 exporters::debug: exporter `debug` is declared and not used in any pipeline [list `debug` in a pipeline under `service::pipelines`, or remove it]",
                "11:5 service::pipelines::traces::exporters: pipeline `traces` has no exporters",
            ],
        ),
        (
            "empty receivers",
            &GOOD.replace("receivers: [otlp]", "receivers: []"),
            &[
                "2:3 receivers::otlp: receiver `otlp` is declared and not used in any pipeline [list `otlp` in a pipeline under `service::pipelines`, or remove it]",
                "12:7 service::pipelines::traces::receivers: pipeline `traces` has no receivers",
            ],
        ),
        (
            "undeclared",
            &GOOD.replace("[batch]", "[bacth]"),
            &[
                "13:20 service::pipelines::traces::processors::0: `bacth` is not declared under `processors` [did you mean `batch`?]",
            ],
        ),
        (
            "of another kind",
            &GOOD.replace("[debug]", "[debug, otlp]"),
            &[
                "14:26 service::pipelines::traces::exporters::1: `otlp` is declared under `receivers`, so it cannot be used as an exporter here",
            ],
        ),
        (
            "twice",
            &GOOD.replace("[debug]", "[debug, debug]"),
            &["14:26 service::pipelines::traces::exporters::1: `debug` is listed twice [remove one]"],
        ),
        (
            "text for a list",
            &GOOD.replace("[debug]", "debug"),
            &["14:18 service::pipelines::traces::exporters: must be a list, not the text \"debug\" [write [debug]]"],
        ),
        (
            "unknown pipeline key",
            &GOOD.replace("      processors:", "      processor:"),
            &[
                "6:3 processors::batch: processor `batch` is declared and not used in any pipeline [list `batch` in a pipeline under `service::pipelines`, or remove it]",
                "13:7 service::pipelines::traces::processor: unknown key `processor` [did you mean `processors`?]",
            ],
        ),
        (
            "extension",
            &GOOD.replace("  pipelines:\n", "  extensions: [health]\n  pipelines:\n"),
            &["10:16 service::extensions::0: `health` is not declared under `extensions` [declare it there]"],
        ),
        (
            "telemetry",
            &GOOD.replace("  pipelines:\n", "  telemetry: {logs: {level: inof}, metrics: {adress: x}}\n  pipelines:\n"),
            &[
                "10:29 service::telemetry::logs::level: must be one of debug, info, warn, error, not \"inof\" [did you mean `info`?]",
                "10:46 service::telemetry::metrics::adress: unknown key `adress` [did you mean `address`?]",
            ],
        ),
        (
            "duplicate key",
            &GOOD.replace("  debug:\n", "  debug:\n  debug:\n"),
            &["9:3 : duplicate mapping key `debug` is not allowed here [keep one of them]"],
        ),
        (
            "tab",
            "receivers:\n\totlp:\n",
            &[
                "2:2 : tabs disallowed within this context (block indentation) [YAML is indented with spaces; this line has a tab]",
            ],
        ),
        (
            "unset variable",
            &GOOD.replace("2s", "'${env:NOPE}'"),
            &[
                "6:20 processors::batch::timeout: the variable NOPE is not set [set it, or give a default: ${env:NOPE:-…}]",
            ],
        ),
        ("empty", "", &["0:0 : the configuration is empty [start from config-examples/]"]),
        ("a list", "- a", &["1:1 : must be a map, not a list", "1:1 service: is missing [say which pipelines to run]"]),
    ];
    let mut wrong = Vec::new();
    for (name, yaml, expected) in rows {
        let found = told(&read(yaml).1);
        if found != *expected {
            wrong.push(format!("{name}:\n  found    {found:#?}\n  expected {expected:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn forms_that_mean_the_same() {
    let rows = [
        ("document start", format!("---\n{GOOD}")),
        ("comment first", format!("# why\n\n{GOOD}# end\n")),
        ("byte order mark", format!("\u{feff}{GOOD}")),
        ("line ends", GOOD.replace('\n', "\r\n")),
        ("anchors", GOOD.replace("receivers: [otlp]", "receivers: &r [otlp]").replace("[debug]", "&d [debug]")),
        ("merge key", GOOD.replace("{timeout: 2s}", "{<<: {timeout: 2s}}")),
        ("quotes", GOOD.replace("[otlp]", "['otlp']").replace("[debug]", "[\"debug\"]")),
    ];
    let expected = read(GOOD).0.tree;
    for (name, yaml) in rows {
        let (root, problems) = read(&yaml);
        assert!(problems.is_empty(), "{name}: {problems}");
        assert_eq!(root.tree, expected, "{name}");
    }
}

#[test]
fn an_alias_is_blamed_where_it_is_used() {
    let (root, _) = read("a: &x {b: 0x1F}\nc: *x\nd: {<<: *x}\n");
    let place = |key: &str| root.tree.get(key).and_then(|node| Some((node.span.line, node.get("b")?.text()?)));
    assert_eq!(place("a"), Some((1, "0x1F")));
    assert_eq!(place("c"), Some((2, "0x1F")));
    assert_eq!(root.tree.get("d").and_then(|node| node.get("b")?.text()), Some("0x1F"));
}

#[test]
fn a_processor_may_feed_a_logs_pipeline_and_only_that() {
    let alerts = |signal: &str, rest: &str| {
        GOOD.to_owned() + &format!("    {signal}/alerts: {{receivers: [batch]{rest}, exporters: [debug]}}\n")
    };
    let (root, problems) = read(&alerts("logs", ""));
    assert!(problems.is_empty(), "{problems}");
    assert_eq!(root.service.pipelines[1].receivers[0].kind, Kind::Processor);
    assert!(read(&alerts("traces", "")).1.has_errors());
    let fed = read(&alerts("logs", ", processors: [batch]")).1;
    assert!(fed.to_string().contains("fed its own output"), "{fed}");
}

/// Scenario: two connectors lead from a pipeline to another and back.
/// Guarantees: refused once, with the whole circle.
#[test]
fn pipelines_that_feed_themselves_are_named() {
    let circle = "    traces/a: {receivers: [otlp, back], exporters: [there]}
    traces/b: {receivers: [there], exporters: [back, debug]}
connectors: {there: , back: }\n";
    let (_, problems) = read(&(GOOD.to_owned() + circle));
    let said = problems.to_string();
    assert!(said.contains("traces/a → connector there → traces/b → connector back → traces/a"), "{said}");
    assert_eq!(said.matches("its own output").count(), 1, "{said}");
}

#[test]
fn pipelines_come_after_all_that_lead_to_them() {
    let chain = "    logs/c: {receivers: [second, batch], exporters: [debug]}
    logs/b: {receivers: [first], exporters: [second]}
    logs/a: {receivers: [otlp], processors: [batch], exporters: [first, second]}
connectors: {first: , second: }\n";
    let (root, problems) = read(&(GOOD.to_owned() + chain));
    assert!(problems.is_empty(), "{problems}");
    let order: Vec<String> = root.service.in_order().unwrap().iter().map(|one| one.id.to_string()).collect();
    let place = |name: &str| order.iter().position(|one| one == name).unwrap();
    assert_eq!(order.len(), root.service.pipelines.len());
    assert!(place("logs/a") < place("logs/b") && place("logs/b") < place("logs/c"), "{order:?}");
    assert!(place("traces") < place("logs/c"), "batch is in traces too: {order:?}");
}

#[test]
fn a_connector_must_be_both_ends() {
    let with = |pipelines: &str| GOOD.to_owned() + pipelines + "connectors: {count: }\n";
    let both = "    traces/2: {receivers: [otlp], exporters: [count]}\n    metrics: {receivers: [count], exporters: [debug]}\n";
    let (_, problems) = read(&with(both));
    assert!(problems.is_empty(), "{problems}");
    let half = read(&with("    metrics: {receivers: [count], exporters: [debug]}\n")).1;
    assert!(half.has_errors() && half.to_string().contains("is not an exporter of any pipeline"), "{half}");
}

#[test]
fn later_sources_win_and_keep_their_places() {
    let over =
        "processors:\n  batch: {timeout: 3s, send_batch_size: 5}\nservice: {pipelines: {traces: {processors: []}}}";
    let (root, _) =
        read_with(&[GOOD, over], &["processors.batch.timeout=4s", "receivers::otlp::protocols::http={a: 1}"]);
    let printed = print(&root.tree);
    let expected = "\
receivers:
  otlp:
    protocols:
      grpc:
      http:
        a: 1
processors:
  batch:
    timeout: 4s
    send_batch_size: 5
exporters:
  debug:
service:
  pipelines:
    traces:
      receivers: [otlp]
      processors: []
      exporters: [debug]
";
    assert_eq!(printed, expected);
    let batch = root.tree.get("processors").and_then(|node| node.get("batch")).expect("batch");
    let place = |key: &str| batch.get(key).map(|node| (root.texts.name(node.span.source).to_owned(), node.span.column));
    assert_eq!(place("timeout"), Some(("--set".to_owned(), 26)));
    assert!(place("send_batch_size").is_some_and(|(name, column)| name.ends_with("1.yaml") && column == 41));
}

#[test]
fn sources_of_every_scheme() {
    let env = |name: &str| (name == "CONFIG").then(|| GOOD.to_owned());
    let list = |sources: &[&str]| sources.iter().map(ToString::to_string).collect::<Vec<_>>();
    let (root, problems) = super::super::read(&list(&["env:CONFIG", "yaml:processors::batch::timeout: 9s"]), &[], &env);
    assert!(problems.is_empty(), "{problems}");
    assert_eq!(root.tree.get("processors").and_then(|n| n.get("batch")?.get("timeout")?.text()), Some("9s"));
    for (source, message) in [
        ("env:NOPE", "--config env:NOPE: the variable NOPE is not set"),
        ("no/such/file.yaml", "--config no/such/file.yaml: cannot open the file"),
        ("file:no/such/file.yaml", "--config file:no/such/file.yaml: cannot open the file"),
        ("https://example.com/a.yaml", "over HTTP is not supported"),
    ] {
        let problems = load(&list(&[source]), &[], &env).expect_err(source);
        assert!(problems.to_string().contains(message), "{source}: {problems}");
    }
    for (set, place) in [("nothing", (1, 1)), ("=3", (1, 1)), ("a..b=3", (1, 1)), ("a.b=[", (1, 5))] {
        let problems = load(&list(&["env:CONFIG"]), &list(&[set]), &env).expect_err(set);
        let first = problems.iter().next().expect("a problem");
        assert_eq!((first.file.as_str(), first.line), ("--set", place.0), "{set}");
        assert!(first.column >= place.1, "{set}: {first:?}");
    }
}

#[test]
fn references_are_expanded() {
    let rows = [
        ("whole, typed", "${env:PORT}", "4317"),
        ("default scheme", "${PORT}", "4317"),
        ("quoted, still typed", "'${env:PORT}'", "4317"),
        ("spliced", "${env:HOST}:${PORT}", "\"tempo:4317\""),
        ("list", "${LIST}", "[a, b]"),
        ("default unused", "${env:PORT:-1}", "4317"),
        ("default", "${env:NOPE:-1}", "1"),
        ("empty default", "x${NOPE:-}y", "xy"),
        ("default of a default", "${env:NOPE:-${env:NADA:-${HOST}}}", "tempo"),
        ("name of a name", "${env:${env:NAME}}", "tempo"),
        ("escaped", "a$$b$${PORT}", "\"a$$b$${PORT}\""),
        ("lone dollar", "a$b$", "\"a$$b$$\""),
        ("empty but set", "x${env:EMPTY:-d}y", "xy"),
        ("not expanded again", "${env:DOLLAR}", "\"a$$$$b$${env:PORT}\""),
        ("text that only looks like a map", "${env:COLON}", "\"user: pass\""),
    ];
    for (name, value, expected) in rows {
        let (root, problems) = read(&format!("{GOOD}# \nx: {value}\n"));
        let node = root.tree.get("x").expect(name);
        let own: Vec<_> = problems.iter().filter(|p| !p.message.contains("unknown key")).collect();
        assert!(own.is_empty(), "{name}: {own:?}");
        let expected_tree = print(&reread(expected));
        assert_eq!(print(node), expected_tree, "{name}");
    }
}

fn reread(yaml: &str) -> Node {
    read(&format!("x: {yaml}")).0.tree.get("x").expect("x").clone()
}

#[test]
fn files_are_brought_in_with_places_of_their_own() {
    let directory = tempfile::tempdir().expect("a directory");
    let inner = directory.path().join("inner.yaml");
    std::fs::write(&inner, "timeout: 2s\nsize: ${env:NOPE}\n").expect("a file");
    let token = directory.path().join("token");
    std::fs::write(&token, "hunter2\n").expect("a file");
    let yaml = format!("processors: {{batch: '${{file:{}}}'}}\nx: ${{file:{}}}", inner.display(), token.display());
    let (root, problems) = read(&yaml);
    let unset = problems.iter().find(|problem| problem.message.contains("NOPE")).expect("the unset variable");
    assert_eq!((unset.line, unset.column, unset.path.as_str()), (2, 7, "processors::batch::size"));
    assert_eq!(unset.file, inner.display().to_string());
    assert_eq!(root.tree.get("x").and_then(Node::text), Some("hunter2"));
}

#[test]
fn references_that_cannot_be_resolved() {
    let deep = "${env:N:-".repeat(20) + &"}".repeat(20);
    let rows = [
        ("not closed", "'a${env:X'", "not closed"),
        ("no such scheme", "${evn:X}", "there is no `evn:`"),
        ("not a name", "${env:1 X}", "is not the name of a variable"),
        ("no name", "${}", "is not the name of a variable"),
        ("no such file", "${file:/no/such/file}", "cannot open"),
        ("too deep", deep.as_str(), "nested more than"),
    ];
    for (name, value, message) in rows {
        let (_, problems) = read(&format!("x: {value}"));
        let found = problems.iter().find(|problem| problem.path == "x" && problem.message.contains(message));
        assert!(found.is_some_and(|problem| problem.line == 1 && problem.column == 4), "{name}: {problems}");
    }
}

#[test]
fn printing_reads_back_and_hides_secrets() {
    let yaml = r##"
a: [1, -2.5, true, ~, "true", '0x1f', "", "a: b", "- x", "#c", "line\nbreak", "\u0007", 1e400]
b: {c: {}, d: [], e: [[1, [2]], {f: g, h: [i]}], "odd key: yes": x}
big: 18446744073709551615
token: hunter2
tls: {key_pem: hunter2, key_file: /etc/key, ca: x}
headers: {x-any: hunter2}
url: https://me:hunter2@example.com/path?q=1
auth: {api_key: [hunter2], client-secret: {a: hunter2}}
"##;
    let (root, _) = read(yaml);
    let printed = print(&root.tree);
    assert_eq!(read(&printed).0.tree, root.tree, "{printed}");
    let hidden = print(&redacted(&root.tree, &Problems::default()));
    assert!(!hidden.contains("hunter2"), "{hidden}");
    assert!(
        hidden.contains("key_file: /etc/key") && hidden.contains("https://[redacted]@example.com/path?q=1"),
        "{hidden}"
    );
    assert!(!format!("{root:?}").contains("hunter2"));
}

#[test]
fn excerpts_point_and_hide() {
    let yaml = GOOD.replace(
        "  debug:\n",
        "  debug: {pasword: hunter2, x: '${env:NOPE}'}\n  otlp:\n    headers: {a: hunter2, b: \"${NADA}\"}\n",
    ) + "extra: |\n  hunter2\n  more hunter2\n";
    let (_, problems) = read(&yaml);
    let text = problems.to_string();
    let pointed =
        "  8 |   debug: {pasword: *******, x: '${env:NOPE}'}\n    |                                ^^^^^^^^^^^^^\n";
    assert!(text.contains(pointed), "{text}");
    assert!(text.contains("headers: {a: *******, b: *********}"), "{text}");
    assert!(text.ends_with("3 errors, 1 warning"), "{text}");
}

#[test]
fn colour_adds_nothing_but_colour() {
    let (_, problems) = read(&GOOD.replace("verbosity", "x").replace("receivers: [otlp]", "receivers: [otpl]"));
    let coloured = problems.render(Style::COLOUR);
    let mut plain = String::new();
    for (index, part) in coloured.split('\x1b').enumerate() {
        plain.push_str(if index == 0 { part } else { part.split_once('m').expect("an escape sequence ends").1 });
    }
    assert!(coloured.contains("\x1b[1;31merror:\x1b[0m"), "{coloured}");
    assert_eq!(plain, problems.render(Style::PLAIN));
}
