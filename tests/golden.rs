//! Whole processors on whole requests: each directory of tests/golden has a `config.yaml` with processors, a request
//! `in.json`, and what must come out in `out.json` (`{}` if nothing does).
//!
//! The processors run in the order of their ids. Requests are compared by structure: attributes in any order, fields that
//! have no value left out. `UPDATE_GOLDEN=1` writes what comes out where it differs; read the difference before you commit
//! it. What `redaction_…`, `group_by_attrs_…`, `sampler_…`, and `transform_` with `spans`, `maps`, `logs` and `conditions`
//! expect was written by the Collector's own code (contrib v0.165.1, its `pkg/ottl` v1.4.1): where one of them differs, we
//! are wrong.
#![allow(clippy::unwrap_used, reason = "a test says more by failing where it stands")]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use sekisho::{
    config::{self, Problems},
    otlp::{
        Signal,
        check::check,
        json::{to_json, to_protobuf},
    },
    pipeline::{
        Batch, Boxed, Consumer, Next, Outcome,
        component::{Context, Shared},
    },
    registry,
    telemetry::Metrics,
};
use serde_json::Value;

/// The end of the pipeline.
#[derive(Default)]
struct End(Mutex<Vec<Batch>>);

impl Consumer for End {
    fn consume(&self, batch: Batch) -> Boxed<'_, Outcome> {
        self.0.lock().unwrap().push(batch);
        Box::pin(std::future::ready(Outcome::Accepted))
    }
}

/// The processors of a case, in front of `end`.
fn processors(case: &Path, signal: Signal, end: Next) -> Next {
    let path = case.join("config.yaml").to_string_lossy().into_owned();
    // There are no pipelines, and nobody minds.
    let (root, _) = config::read(&[path], &[], &|_| None);
    let mut problems = Problems::new(Arc::clone(&root.texts));
    let plan = registry::plan(root, &mut problems);
    assert!(problems.is_empty(), "{}:\n{problems}", case.display());
    assert!(!plan.processors.is_empty(), "{} has no processors", case.display());
    plan.processors.iter().rev().fold(end, |next, (id, planned)| {
        let context = Context {
            component: format!("processor {id}"),
            id: id.to_string(),
            metrics: Metrics::default(),
            shared: Shared::default(),
            base: PathBuf::new(),
        };
        planned.config.build(signal, next, &context).unwrap()
    })
}

fn signal(request: &Value) -> Signal {
    let has = |key: &str| request.get(key).is_some();
    match (has("resourceSpans"), has("resourceLogs")) {
        (true, _) => Signal::Traces,
        (_, true) => Signal::Logs,
        _ => Signal::Metrics,
    }
}

/// With attributes sorted, and without what has no value.
fn normal(value: Value) -> Value {
    match value {
        Value::Object(entries) => {
            let entries = entries.into_iter().map(|(key, value)| (key, normal(value)));
            let has_value = |value: &Value| !matches!(value, Value::Null) && *value != Value::Object(<_>::default());
            Value::Object(entries.filter(|(key, value)| has_value(value) && !is_default(key, value)).collect())
        }
        Value::Array(elements) => {
            let mut elements: Vec<Value> = elements.into_iter().map(normal).collect();
            if elements.iter().all(|element| element.get("key").is_some()) {
                elements.sort_by_key(|element| element["key"].to_string());
            }
            Value::Array(elements)
        }
        // 1 and 1.0 are one number.
        Value::Number(number) => number.as_f64().map_or(Value::Null, Value::from),
        other => other,
    }
}

/// Zero and empty text mean nothing in a field, and much in an attribute's value.
fn is_default(key: &str, value: &Value) -> bool {
    let in_value = key.ends_with("Value") || key == "asInt" || key == "asDouble";
    !in_value && (value == 0.0 || value == "" || value == "0" || value == false || value == &Value::Array(Vec::new()))
}

async fn came_out(case: &Path) -> Value {
    let input = fs::read(case.join("in.json")).unwrap();
    let signal = signal(&serde_json::from_slice(&input).unwrap());
    let body = to_protobuf(signal, &input).unwrap_or_else(|error| panic!("{}: {error:?}", case.display()));
    let items = check(signal, &body).unwrap();
    let end = Arc::new(End::default());
    let outcome = processors(case, signal, end.clone()).consume(Batch { signal, body: body.into(), items }).await;
    assert_eq!(outcome, Outcome::Accepted, "{}", case.display());
    let taken = std::mem::take(&mut *end.0.lock().unwrap());
    let Some(batch) = taken.first() else { return Value::Object(<_>::default()) };
    assert_eq!(check(signal, &batch.body), Ok(batch.items), "{}: the items are not counted right", case.display());
    let mut json = Vec::new();
    to_json(signal, &batch.body, &mut json);
    serde_json::from_slice(&json).unwrap()
}

#[tokio::test]
async fn what_goes_in_comes_out_as_written_down() {
    let mut cases: Vec<PathBuf> =
        fs::read_dir("tests/golden").unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    cases.sort();
    assert!(cases.len() >= 12, "the cases are gone");
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut wrong = Vec::new();
    for case in &cases {
        let found = came_out(case).await;
        let path = case.join("out.json");
        let expected = fs::read(&path).map_or(Value::Null, |text| serde_json::from_slice(&text).unwrap());
        let (found, expected) = (normal(found), normal(expected));
        if found == expected {
            continue;
        }
        if update {
            fs::write(&path, serde_json::to_string_pretty(&found).unwrap() + "\n").unwrap();
        } else {
            wrong.push(format!("{}\n  expected {expected}\n     found {found}", case.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
