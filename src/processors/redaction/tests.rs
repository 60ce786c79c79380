use std::path::Path;

use bytes::Bytes;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value},
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message as _;

use super::*;
use crate::{
    config::Kind,
    otlp::sample::pair,
    pipeline::probe::{self, Script},
};

fn text(value: &str) -> any_value::Value {
    any_value::Value::StringValue(value.into())
}

/// The attributes of a span behind the processor, and whether the bytes are the same.
async fn redacted(yaml: &str, attributes: Vec<KeyValue>) -> (Vec<KeyValue>, bool) {
    let (config, problems) = probe::config::<Config>(Kind::Processor, yaml);
    assert_eq!(problems, "", "{yaml}");
    let scope_spans = vec![ScopeSpans { spans: vec![Span { attributes, ..Span::default() }], ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    let body = Bytes::from(ExportTraceServiceRequest { resource_spans }.encode_to_vec());
    let script = Script::new([]);
    let node = config.build(Signal::Traces, script.clone(), &probe::context("redaction", Path::new(""))).unwrap();
    let outcome = node.consume(Batch { signal: Signal::Traces, body: body.clone(), items: 1 }).await;
    assert_eq!(outcome, Outcome::Accepted);
    let taken = script.taken().remove(0).body;
    let same = taken.as_ptr() == body.as_ptr();
    let mut request = ExportTraceServiceRequest::decode(taken).unwrap();
    (request.resource_spans.remove(0).scope_spans.remove(0).spans.remove(0).attributes, same)
}

#[tokio::test]
async fn nothing_gets_through_unless_it_is_allowed() {
    let (left, _) = redacted("{}", vec![pair("a", text("x")), pair("b", text("y"))]).await;
    assert_eq!(left, []);
}

#[tokio::test]
async fn what_needs_no_redaction_goes_on_as_the_same_bytes() {
    let given = vec![pair("a", text("x"))];
    assert_eq!(redacted("{allow_all_keys: true, blocked_values: [secret]}", given.clone()).await, (given, true));
}

/// A sender cannot hide a value behind another one with the same key.
#[tokio::test]
async fn a_key_set_twice_does_not_smuggle_a_value_through() {
    let given = || vec![pair("a", text("secret")), pair("a", text("harmless"))];
    for yaml in
        ["{allow_all_keys: true, blocked_values: [secret]}", "{allow_all_keys: true, blocked_key_patterns: [a]}"]
    {
        let (left, _) = redacted(yaml, given()).await;
        assert!(left.iter().all(|pair| pair.value == pair_value("****")), "{yaml}: {left:?}");
    }
}

fn pair_value(value: &str) -> Option<opentelemetry_proto::tonic::common::v1::AnyValue> {
    crate::otlp::sample::value(text(value))
}

#[tokio::test]
async fn hashes_are_what_their_names_say() {
    #[rustfmt::skip]
    let table = [
        ("md5",         "900150983cd24fb0d6963f7d28e17f72"),
        ("sha1",        "a9993e364706816aba3e25717850c26c9cd0d89d"),
        ("sha3",        "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532"),
    ];
    for (function, expected) in table {
        let yaml = format!("{{allow_all_keys: true, blocked_key_patterns: [a], hash_function: {function}}}");
        assert_eq!(redacted(&yaml, vec![pair("a", text("abc"))]).await.0, [pair("a", text(expected))], "{function}");
    }
}

#[test]
fn says_what_is_wrong() {
    #[rustfmt::skip]
    let table = [
        ("a broken pattern",          "blocked_values: ['(']",                                     "blocked_values::0"),
        ("a broken key pattern",      "ignored_key_patterns: [a, '[']",                            "ignored_key_patterns::1"),
        ("no key",                    "hash_function: hmac-sha256",                                "at least 32 bytes"),
        ("a short key",               "{hash_function: hmac-sha512, hmac_key: short}",             "at least 64 bytes"),
        ("a key for nothing",         "{hash_function: md5, hmac_key: abc}",                       "is for the hash_functions"),
        ("a mask and a hash",         "{hash_function: md5, masking_string: x}",                   "no meaning with a hash_function"),
        ("an unknown hash",           "hash_function: crc",                                        "crc"),
        ("an unknown summary",        "summary: loud",                                             "loud"),
        ("a list for nothing",        "{allow_all_keys: true, allowed_keys: [a]}",                 "no meaning with allow_all_keys"),
    ];
    for (row, yaml, expected) in table {
        let (_, problems) = probe::config::<Config>(Kind::Processor, yaml);
        assert!(problems.contains(expected), "{row}: {problems}");
        assert!(
            !problems.contains("short\n") && !problems.contains("hmac_key: short"),
            "{row} shows the key: {problems}"
        );
    }
}
