use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{ArrayValue, KeyValue, KeyValueList, any_value::Value},
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message as _;

use super::*;
use crate::{
    config::{Check, Kind, Report},
    otlp::{
        Batch, Signal,
        check::check as door,
        edit::{Edit, Keep, Patch, edit},
        sample::{self, pair},
    },
    pipeline::probe,
};

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Probed {
    actions: Vec<Action>,
}

impl Check for Probed {
    fn check(&self, report: &mut Report<'_>) {
        super::check("actions", &self.actions, report);
    }
}

struct Run(Steps);

impl Edit for Run {
    fn record(&mut self, _index: usize, record: &[u8], patch: &mut Patch) -> Keep {
        self.0.run(record, patch);
        Keep::Yes
    }
}

/// The attributes after the actions, by key.
fn acted(attributes: Vec<KeyValue>, actions: &str) -> Vec<KeyValue> {
    let (config, problems) = probe::config::<Probed>(Kind::Processor, &format!("actions:\n{actions}"));
    assert_eq!(problems, "", "{actions}");
    let spans = vec![Span { attributes, ..Span::default() }];
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec().into();
    let batch = Batch { signal: Signal::Traces, body, items: 1 };
    let edited = edit(&batch, &mut Run(Steps::new(&config.actions).unwrap()));
    door(Signal::Traces, &edited.body).unwrap();
    let request = ExportTraceServiceRequest::decode(edited.body).unwrap();
    let mut attributes = request.resource_spans[0].scope_spans[0].spans[0].attributes.clone();
    attributes.sort_by(|a, b| a.key.cmp(&b.key));
    attributes
}

fn text(value: &str) -> Value {
    Value::StringValue(value.into())
}

fn list(values: Vec<Value>) -> Value {
    Value::ArrayValue(ArrayValue { values: values.into_iter().filter_map(sample::value).collect() })
}

fn map(values: Vec<KeyValue>) -> Value {
    Value::KvlistValue(KeyValueList { values })
}

#[test]
fn actions_do_what_the_collectors_do() {
    let before = || vec![pair("a", text("one")), pair("b", Value::IntValue(2))];
    let a = || pair("a", text("one"));
    let b = || pair("b", Value::IntValue(2));
    #[rustfmt::skip]
    let table = [
        ("insert what is absent",         "- {key: c, value: x, action: insert}",            vec![a(), b(), pair("c", text("x"))]),
        ("insert what is there",          "- {key: a, value: x, action: insert}",            vec![a(), b()]),
        ("insert from another",           "- {key: c, from_attribute: a, action: insert}",   vec![a(), b(), pair("c", text("one"))]),
        ("insert from what is absent",    "- {key: c, from_attribute: d, action: insert}",   vec![a(), b()]),
        ("insert from what is absent, or else", "- {key: c, from_attribute: d, default_value: 3, action: insert}", vec![a(), b(), pair("c", Value::IntValue(3))]),
        ("insert from what is there, or else",  "- {key: c, from_attribute: a, default_value: 3, action: insert}", vec![a(), b(), pair("c", text("one"))]),
        ("only a default",                "- {key: c, default_value: x, action: insert}",    vec![a(), b(), pair("c", text("x"))]),
        ("update what is there",          "- {key: a, value: x, action: update}",            vec![pair("a", text("x")), b()]),
        ("update what is absent",         "- {key: c, value: x, action: update}",            vec![a(), b()]),
        ("update from another",           "- {key: a, from_attribute: b, action: update}",   vec![pair("a", Value::IntValue(2)), b()]),
        ("update from what is absent",    "- {key: a, from_attribute: d, action: update}",   vec![a(), b()]),
        ("upsert what is there",          "- {key: a, value: x, action: upsert}",            vec![pair("a", text("x")), b()]),
        ("upsert what is absent",         "- {key: c, value: x, action: upsert}",            vec![a(), b(), pair("c", text("x"))]),
        ("upsert from what is absent",    "- {key: a, from_attribute: d, action: upsert}",   vec![a(), b()]),
        ("delete by key",                 "- {key: a, action: delete}",                      vec![b()]),
        ("delete what is absent",         "- {key: c, action: delete}",                      vec![a(), b()]),
        ("delete by pattern",             "- {pattern: '^[bc]$', action: delete}",           vec![a()]),
        ("delete by key and pattern",     "- {key: a, pattern: b, action: delete}",          vec![]),
        ("a verb in capitals",            "- {key: a, action: DELETE}",                      vec![b()]),
        ("a later action sees an earlier insert", "- {key: c, value: x, action: insert}\n- {key: d, from_attribute: c, action: insert}\n- {pattern: c, action: delete}",
            vec![a(), b(), pair("d", text("x"))]),
        ("a later action sees an earlier delete", "- {key: a, action: delete}\n- {key: a, value: x, action: update}\n- {key: c, from_attribute: a, action: insert}",
            vec![b()]),
        ("deleted and set again",         "- {key: a, action: delete}\n- {key: a, value: x, action: insert}", vec![pair("a", text("x")), b()]),
        ("a value of each kind",          "- {key: a, value: {t: x, i: -1, d: 1.5, f: true, l: [1, y]}, action: update}",
            vec![pair("a", map(vec![
                pair("d", Value::DoubleValue(1.5)), pair("f", Value::BoolValue(true)), pair("i", Value::IntValue(-1)),
                pair("l", list(vec![Value::IntValue(1), text("y")])), pair("t", text("x")),
            ])), b()]),
        ("extract",                       "- {key: a, pattern: '^(?P<first>.)(?P<rest>.*)', action: extract}",
            vec![a(), b(), pair("first", text("o")), pair("rest", text("ne"))]),
        ("extract over what is there",    "- {key: a, pattern: '(?P<b>n)', action: extract}",        vec![a(), pair("b", text("n"))]),
        ("extract without a match",       "- {key: a, pattern: '(?P<c>x)', action: extract}",        vec![a(), b()]),
        ("extract a group left out",      "- {key: a, pattern: 'o(?P<c>x)?', action: extract}",      vec![a(), b(), pair("c", text(""))]),
        ("extract from what is no text",  "- {key: b, pattern: '(?P<c>.)', action: extract}",        vec![a(), b()]),
        ("extract from what is absent",   "- {key: d, pattern: '(?P<c>.)', action: extract}",        vec![a(), b()]),
        ("convert what is absent",        "- {key: d, action: convert, converted_type: int}",        vec![a(), b()]),
    ];
    for (row, actions, expected) in table {
        assert_eq!(acted(before(), actions), expected, "{row}");
    }
}

#[test]
fn hashes_are_sha_256_of_the_values_bytes() {
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    #[rustfmt::skip]
    let table = [
        ("text",       text("abc"),               abc),
        ("empty text", text(""),                  ""),
        ("true",       Value::BoolValue(true),    "4bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a"),
        ("false",      Value::BoolValue(false),   "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
        ("integer",    Value::IntValue(1),        "7c9fa136d4413fa6173637e883b6998d32e1d675f88cddff9dcbcf331820f4b8"),
        ("float",      Value::DoubleValue(0.0),   "af5570f5a1810b7af78caf4bc70a660f0df51e42baf91d4de5b2328de0e83dfc"),
        ("bytes",      Value::BytesValue(vec![1]), ""),
        ("a list",     list(vec![text("abc")]),   ""),
    ];
    for (row, value, expected) in table {
        let hashed = acted(vec![pair("a", value)], "- {key: a, action: hash}");
        assert_eq!(hashed, [pair("a", text(expected))], "{row}");
    }
    let before = vec![pair("user.id", text("abc")), pair("user.name", text("")), pair("x", text("abc"))];
    let by_pattern = acted(before, "- {key: absent, pattern: '^user[.]', action: hash}");
    assert_eq!(by_pattern, [pair("user.id", text(abc)), pair("user.name", text("")), pair("x", text("abc"))]);
}

#[test]
fn converts_between_types() {
    let bytes = || Value::BytesValue(vec![0, 255, 10]);
    let nested = || {
        let entries = vec![
            pair("z", list(vec![Value::DoubleValue(1.0), bytes()])),
            pair("a", text("<\"\n>")),
            pair("n", text("é")),
        ];
        map(entries)
    };
    #[rustfmt::skip]
    let table = [
        ("text to int",              text("-12"),                    "int",    Value::IntValue(-12)),
        ("text with a plus to int",  text("+12"),                    "int",    Value::IntValue(12)),
        ("no number to int",         text("12 "),                    "int",    text("12 ")),
        ("too large for int",        text("9223372036854775808"),    "int",    text("9223372036854775808")),
        ("float to int",             Value::DoubleValue(-1.9),       "int",    Value::IntValue(-1)),
        ("bool to int",              Value::BoolValue(true),         "int",    Value::IntValue(1)),
        ("int to int",               Value::IntValue(3),             "int",    Value::IntValue(3)),
        ("list to int",              list(vec![]),                   "int",    list(vec![])),
        ("text to double",           text("1.5e3"),                  "double", Value::DoubleValue(1500.0)),
        ("infinity to double",       text("-Inf"),                   "double", Value::DoubleValue(f64::NEG_INFINITY)),
        ("too large for double",     text("1e999"),                  "double", text("1e999")),
        ("no number to double",      text("x"),                      "double", text("x")),
        ("int to double",            Value::IntValue(3),             "double", Value::DoubleValue(3.0)),
        ("bool to double",           Value::BoolValue(false),        "double", Value::DoubleValue(0.0)),
        ("text to bool",             text("True"),                   "bool",   Value::BoolValue(true)),
        ("short text to bool",       text("f"),                      "bool",   Value::BoolValue(false)),
        ("no bool to bool",          text("yes"),                    "bool",   text("yes")),
        ("int to bool",              Value::IntValue(-1),            "bool",   Value::BoolValue(true)),
        ("float to bool",            Value::DoubleValue(0.0),        "bool",   Value::BoolValue(false)),
        ("int to text",              Value::IntValue(-3),            "string", text("-3")),
        ("bool to text",             Value::BoolValue(true),         "string", text("true")),
        ("whole float to text",      Value::DoubleValue(100.0),      "string", text("100")),
        ("large float to text",      Value::DoubleValue(1e21),       "string", text("1e+21")),
        ("just not large to text",   Value::DoubleValue(1e20),       "string", text("100000000000000000000")),
        ("small float to text",      Value::DoubleValue(1.5e-9),     "string", text("1.5e-9")),
        ("just not small to text",   Value::DoubleValue(1e-6),       "string", text("0.000001")),
        ("infinity to text",         Value::DoubleValue(f64::INFINITY), "string", text("json: unsupported value: +Inf")),
        ("bytes to text",            bytes(),                        "string", text("AP8K")),
        ("map to text",              nested(),                       "string", text(r#"{"a":"\u003c\"\n\u003e","n":"é","z":[1,"AP8K"]}"#)),
        ("list with NaN to text",    list(vec![Value::DoubleValue(f64::NAN)]), "string", text("")),
    ];
    for (row, value, target, expected) in table {
        let converted =
            acted(vec![pair("a", value)], &format!("- {{key: a, action: convert, converted_type: {target}}}"));
        assert_eq!(converted, [pair("a", expected)], "{row}");
    }
    let empty = vec![KeyValue { key: "a".into(), ..KeyValue::default() }];
    assert_eq!(acted(empty, "- {key: a, action: convert, converted_type: string}"), [pair("a", text(""))]);
}

#[test]
fn says_what_is_wrong_with_a_list() {
    #[rustfmt::skip]
    let table = [
        ("no actions",             "actions: []",                                                        "needs at least one action"),
        ("no action",              "actions:\n- {key: a}",                                               "actions::0::action"),
        ("an unknown action",      "actions:\n- {key: a, action: drop}",                                 "drop"),
        ("an unknown key",         "actions:\n- {key: a, action: insert, from_context: x, value: 1}",    "from_context"),
        ("no key",                 "actions:\n- {action: insert, value: 1}",                             "insert needs a key"),
        ("no key and no pattern",  "actions:\n- {action: hash}",                                         "hash needs a key, a pattern of keys, or both"),
        ("no value",               "actions:\n- {key: a, action: upsert}",                               "upsert needs either value or from_attribute"),
        ("two values",             "actions:\n- {key: a, action: update, value: 1, from_attribute: b}",  "update needs either value or from_attribute"),
        ("a value to delete",      "actions:\n- {key: a, action: delete, value: 1}",                     "has no meaning for delete"),
        ("a source to convert",    "actions:\n- {key: a, action: convert, converted_type: int, from_attribute: b}", "has no meaning for convert"),
        ("a pattern to insert",    "actions:\n- {key: a, action: insert, value: 1, pattern: x}",         "has no meaning for insert"),
        ("a type to hash",         "actions:\n- {key: a, action: hash, converted_type: int}",            "has no meaning for hash"),
        ("no pattern to extract",  "actions:\n- {key: a, action: extract}",                              "extract needs a pattern"),
        ("no group to extract",    "actions:\n- {key: a, action: extract, pattern: 'x'}",                "has no group"),
        ("an unnamed group",       "actions:\n- {key: a, action: extract, pattern: '(?P<b>x)(y)'}",      "has a group without a name"),
        ("a broken pattern",       "actions:\n- {action: delete, pattern: '('}",                         "is not a regular expression"),
        ("no type",                "actions:\n- {key: a, action: convert}",                              "convert needs a type"),
        ("an unknown type",        "actions:\n- {key: a, action: convert, converted_type: float}",       "float"),
        ("a number too large",     "actions:\n- {key: a, action: insert, value: [18446744073709551615]}", "64 bits, signed"),
        ("the second of two",      "actions:\n- {key: a, action: delete}\n- {key: a, action: convert}",  "actions::1::converted_type"),
    ];
    for (row, yaml, expected) in table {
        let (_, problems) = probe::config::<Probed>(Kind::Processor, yaml);
        assert!(problems.contains(expected), "{row}: {problems}");
    }
}
