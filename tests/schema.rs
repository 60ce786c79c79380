//! Scenario: every key of every example is misspelt, one at a time. Guarantees: the reader and the schema that
//! `sekisho schema` prints both refuse it, the reader by name; both accept the example as it stands.
#![allow(clippy::unwrap_used, reason = "a test says more by failing where it stands")]

use std::path::Path;

use sekisho::{
    config::{self, Kind, Node, Problem, Problems, Severity, Span, Value},
    registry::{self, COMPONENTS},
};
use serde_json::{Value as Json, json};

/// Maps whose keys are their author's own.
const FREE: [&str; 3] = ["headers", "labels", "links"];

/// Names and texts of the examples.
fn examples() -> Vec<(String, String)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("config-examples");
    let paths = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let yaml = paths.filter(|path| path.extension().is_some_and(|end| end == "yaml"));
    let examples: Vec<_> =
        yaml.map(|path| (path.display().to_string(), std::fs::read_to_string(&path).unwrap())).collect();
    assert!(examples.len() >= 4);
    examples
}

/// The tree of a configuration, and what is wrong with it.
fn read(text: &str) -> (Node, Problems) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.yaml");
    std::fs::write(&path, text).unwrap();
    let (root, mut problems) = config::read(&[path.display().to_string()], &[], &|_| None);
    let tree = root.tree.clone();
    registry::plan(root, &mut problems);
    (tree, problems)
}

/// What an editor's YAML parser makes of a text: references are text like any other.
fn unexpanded(text: &str) -> Json {
    serde_yaml::from_str(text).unwrap()
}

fn json(node: &Node) -> Json {
    match &node.value {
        Value::Null => Json::Null,
        Value::Bool(value) => json!(value),
        Value::Int(value) => json!(i64::try_from(*value).unwrap()),
        Value::Float(value) => json!(value),
        Value::Str(text) => json!(text),
        Value::Seq(items) => items.iter().map(json).collect(),
        Value::Map(entries) => entries.iter().map(|entry| (entry.key.clone(), json(&entry.node))).collect(),
    }
}

/// Every key that is not its author's own, and its place.
fn keys(node: &Node, found: &mut Vec<(String, Span)>) {
    for entry in node.entries() {
        found.push((entry.key.clone(), entry.key_span));
        if !FREE.contains(&entry.key.as_str()) {
            keys(&entry.node, found);
        }
    }
    node.items().iter().for_each(|item| keys(item, found));
}

/// `text` with an `x` put into the key at `span`; into the type of an id.
fn misspelt(text: &str, key: &str, span: Span) -> (String, String) {
    let at = key.find('/').unwrap_or(key.len());
    let changed = format!("{}x{}", &key[..at], &key[at..]);
    let mut lines: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
    let line = &mut lines[span.line as usize - 1];
    let start = line.char_indices().nth(span.column as usize - 1).unwrap().0;
    assert!(line[start..].starts_with(key), "{line}: {key}");
    line.replace_range(start..start + key.len(), &changed);
    (lines.join("\n"), changed)
}

fn validator() -> jsonschema::Validator {
    let schema = registry::schema();
    jsonschema::meta::validate(&schema).unwrap();
    jsonschema::draft202012::new(&schema).unwrap()
}

#[test]
fn every_example_fits_and_no_misspelt_key_does() {
    let validator = validator();
    let (mut tried, mut wrong) = (0, Vec::new());
    for (name, text) in examples() {
        let (tree, problems) = read(&text);
        assert!(problems.is_empty(), "{name}: {problems}");
        for (form, instance) in [("expanded", json(&tree)), ("as written", unexpanded(&text))] {
            let wrong: Vec<String> =
                validator.iter_errors(&instance).map(|error| format!("{}: {error}", error.instance_path())).collect();
            assert!(wrong.is_empty(), "{name}, {form}: {wrong:#?}");
        }
        let mut found = Vec::new();
        keys(&tree, &mut found);
        for (key, span) in found {
            let (changed, misspelt) = misspelt(&text, &key, span);
            let (_, problems) = read(&changed);
            let here = |problem: &&Problem| {
                let named = problem.path.split("::").any(|part| part == misspelt);
                named && (problem.line, problem.column) == (span.line, span.column)
            };
            let said = problems.iter().filter(|problem| problem.severity == Severity::Error).find(here);
            let meant = key.split('/').next().unwrap();
            let advised = said.and_then(|problem| problem.hint.as_ref()).is_some_and(|hint| hint.contains(meant));
            if !advised {
                wrong.push(format!("{name}: nothing at {misspelt} says {key}:\n{problems}"));
            }
            if validator.is_valid(&unexpanded(&changed)) {
                wrong.push(format!("{name}: the schema takes {misspelt}"));
            }
            tried += 1;
        }
    }
    assert!(wrong.is_empty(), "{} of {tried}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(tried > 150, "{tried}");
}

#[test]
fn every_component_is_there_under_each_of_its_names() {
    let (schema, validator) = (registry::schema(), validator());
    for component in COMPONENTS {
        let section = component.kind.section();
        for id in std::iter::once(&component.name)
            .chain(component.aliases)
            .flat_map(|name| [(*name).to_owned(), format!("{name}/one")])
        {
            assert!(validator.is_valid(&json!({section: {&id: null}})), "{section} {id} alone");
            assert!(!validator.is_valid(&json!({section: {&id: {"no such key": 1}}})), "{section} {id} is strict");
        }
        let patterns = schema["properties"][section]["patternProperties"].as_object().unwrap();
        let own: Vec<_> = patterns.iter().filter(|(pattern, _)| pattern.contains(component.name)).collect();
        assert!(own.iter().any(|(_, own)| own["description"].as_str().unwrap().contains(component.summary)));
    }
    for kind in Kind::ALL {
        assert!(!validator.is_valid(&json!({kind.section(): {"nothing": {}}})), "{}", kind.section());
    }
}

/// An editor's help is the doc comments: every key has one.
#[test]
fn every_key_is_described() {
    fn undescribed(schema: &Json, path: &str, found: &mut Vec<String>) {
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}::{key}");
            if property["description"].as_str().is_none_or(str::is_empty) {
                found.push(path.clone());
            }
            undescribed(property, &path, found);
            undescribed(&property["items"], &path, found);
        }
    }
    let mut found = Vec::new();
    for component in COMPONENTS {
        undescribed(&component.schema(), component.name, &mut found);
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// Scenario: values a person might write. Guarantees: reader and schema agree on them.
#[test]
fn reader_and_schema_agree_on_values() {
    let validator = validator();
    let table = [
        ("a duration", "processors: {batch: {timeout: 1h30m}}", true),
        ("a duration without a unit", "processors: {batch: {timeout: 5}}", false),
        ("a duration of nothing", "processors: {batch: {timeout: 0}}", true),
        ("a duration in words", "processors: {batch: {timeout: soon}}", false),
        ("a size", "receivers: {otlp: {protocols: {grpc: }, max_in_flight_size: 1.5GiB}}", true),
        ("a size in bytes", "receivers: {otlp: {protocols: {grpc: }, max_in_flight_size: 100000000}}", true),
        ("a size without sense", "receivers: {otlp: {protocols: {grpc: }, max_in_flight_size: big}}", false),
        ("a rate", "processors: {anomaly: {budget: 0.5/day}}", true),
        ("a rate without a time", "processors: {anomaly: {budget: 3}}", false),
        ("a word of an enum", "exporters: {debug: {verbosity: detailed}}", true),
        ("no word of an enum", "exporters: {debug: {verbosity: loud}}", false),
        ("a number in a text's place", "exporters: {debug: {sampling_initial: many}}", false),
        ("a negative count", "exporters: {debug: {sampling_initial: -1}}", false),
        ("an address", "extensions: {health_check: {endpoint: '[::1]:13133'}}", true),
        ("an address without a port", "extensions: {health_check: {endpoint: localhost}}", false),
        ("a URL for an address", "extensions: {health_check: {endpoint: 'http://localhost:1'}}", false),
        (
            "a socket for an address",
            "receivers: {otlp: {protocols: {http: {endpoint: /run/otlp.sock, transport: unix}}}}",
            true,
        ),
        (
            "a socket's URL",
            "receivers: {otlp: {protocols: {http: {endpoint: 'unix:///run/otlp.sock', transport: unix}}}}",
            true,
        ),
        ("an address with a scheme", "receivers: {otlp: {protocols: {http: {endpoint: 'http://localhost:1'}}}}", false),
        (
            "a version of TLS",
            "exporters: {otlp_http: {endpoint: 'https://a.example', tls: {min_version: '1.2'}}}",
            true,
        ),
        (
            "a version as a number",
            "exporters: {otlp_http: {endpoint: 'https://a.example', tls: {min_version: 1.3}}}",
            true,
        ),
        (
            "a version of old",
            "exporters: {otlp_http: {endpoint: 'https://a.example', tls: {min_version: '1.1'}}}",
            false,
        ),
        ("a statement", "processors: {transform: {log_statements: ['set(log.body, 1)']}}", true),
        (
            "a group of statements",
            "processors: {transform: {log_statements: [{statements: ['set(log.body, 1)']}]}}",
            true,
        ),
        (
            "a group with a wrong key",
            "processors: {transform: {log_statements: [{statement: 'set(log.body, 1)'}]}}",
            false,
        ),
        ("a bound of a bucket", "connectors: {span_metrics: {histogram: {explicit: {buckets: [5ms, 1s]}}}}", true),
        ("a bound without a unit", "connectors: {span_metrics: {histogram: {explicit: {buckets: [5]}}}}", false),
        ("an id with nothing after the slash", "exporters: {debug/: }", false),
        ("nothing at all in a section", "exporters:", true),
        ("a component that is a list", "exporters: {debug: []}", false),
    ];
    for (name, text, good) in table {
        let (_, problems) = read(text);
        let section = text.split(':').next().unwrap();
        let complaints = problems.iter().filter(|problem| {
            problem.severity == Severity::Error && problem.path.starts_with(section) && !problem.path.is_empty()
        });
        assert_eq!(complaints.count() == 0, good, "{name}, the reader: {problems}");
        assert_eq!(validator.is_valid(&unexpanded(text)), good, "{name}, the schema");
    }
}
