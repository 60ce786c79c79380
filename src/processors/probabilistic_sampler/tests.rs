use std::path::Path;

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message as _;

use super::*;
use crate::{
    config::Kind,
    pipeline::probe::{self, Script},
};

const SPANS: u128 = 20_000;

/// How many of many spans stay.
async fn kept(yaml: &str) -> usize {
    let (config, problems) = probe::config::<Config>(Kind::Processor, yaml);
    assert_eq!(problems, "", "{yaml}");
    // Any odd multiplier spreads the ids.
    let id = |n: u128| (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_be_bytes().to_vec();
    let spans = (0..SPANS).map(|n| Span { trace_id: id(n), ..Span::default() }).collect();
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec().into();
    let script = Script::new([]);
    let context = probe::context("probabilistic_sampler", Path::new(""));
    let node = config.build(Signal::Traces, script.clone(), &context).unwrap();
    let items = SPANS as usize;
    assert_eq!(node.consume(Batch { signal: Signal::Traces, body, items }).await, Outcome::Accepted);
    let kept = script.items().iter().sum();
    assert_eq!(context.metrics.sum(COUNT_TRACES.0, Some(("sampled", "true"))), kept as f64);
    assert_eq!(context.metrics.sum(COUNT_TRACES.0, None), items as f64);
    kept
}

#[tokio::test]
async fn keeps_the_share_it_is_told_to() {
    for mode in ["hash_seed", "equalizing", "proportional"] {
        for (percentage, low, high) in [(0.0, 0, 0), (1.0, 140, 260), (15.0, 2_800, 3_200), (50.0, 9_700, 10_300)] {
            let kept = kept(&format!("{{sampling_percentage: {percentage}, mode: {mode}}}")).await;
            assert!((low..=high).contains(&kept), "{mode} {percentage} %: {kept}");
        }
        for percentage in [100, 250] {
            let kept = kept(&format!("{{sampling_percentage: {percentage}, mode: {mode}}}")).await;
            assert_eq!(kept, SPANS as usize, "{mode} {percentage} %");
        }
    }
}

/// As the Collector's library computes them.
#[test]
fn thresholds_have_the_digits_they_need() {
    #[rustfmt::skip]
    let table = [
        (1.0,            4, Some("0")),
        (0.5,            4, Some("8")),
        (0.25,           4, Some("c")),
        (1.0 / 3.0,      4, Some("aaab")),
        (2.0 / 3.0,      4, Some("5555")),
        (0.1,            3, Some("e66")),
        (0.01,           4, Some("fd70a")),
        (1.0 / MAX as f64, 14, Some("ffffffffffffff")),
        (0.0,            4, None),
        (1.5,            4, None),
    ];
    for (probability, precision, expected) in table {
        let text = decision::threshold(probability, precision).map(trace_state::threshold_text);
        assert_eq!(text.as_deref(), expected, "{probability}");
    }
}

#[test]
fn trace_states_are_read_and_written_as_they_are() {
    #[rustfmt::skip]
    let table = [
        ("nothing",             "",                                     Some("")),
        ("others only",         "a=b,c@d=e f",                          Some("a=b,c@d=e f")),
        ("ours goes first",     "a=b, ot=th:8;x:1 ,c=d",                Some("ot=th:8;x:1,a=b,c=d")),
        ("randomness first",    "ot=th:8;rv:0123456789abcd",            Some("ot=rv:0123456789abcd;th:8")),
        ("short randomness",    "ot=rv:123",                            None),
        ("no digits",           "ot=th:xyz",                            None),
        ("a key in capitals",   "A=b",                                  None),
        ("no value",            "a",                                    None),
        ("an empty entry",      "ot=th:8;",                             None),
    ];
    for (row, text, expected) in table {
        let written = trace_state::TraceState::parse(text).map(|state| state.to_text());
        assert_eq!(written.as_deref(), expected, "{row}");
    }
    assert!(trace_state::TraceState::parse(&vec!["a=b"; 40].join(",")).is_none(), "too many members");
    assert!(trace_state::TraceState::parse(&format!("a={}", "b".repeat(2000))).is_none(), "too long");
}

#[test]
fn says_what_is_wrong() {
    #[rustfmt::skip]
    let table = [
        ("a negative share",      "sampling_percentage: -1",                                   "is negative"),
        ("hardly a share",        "sampling_percentage: 0.000000000000001",                    "too small"),
        ("no digits",             "sampling_precision: 0",                                     "from 1 to 14"),
        ("an unknown mode",       "mode: fair",                                                "fair"),
        ("a seed for nothing",    "{mode: equalizing, hash_seed: 1}",                          "needs mode: hash_seed"),
        ("no attribute",          "attribute_source: record",                                  "from_attribute"),
        ("an unknown source",     "attribute_source: span",                                    "span"),
    ];
    for (row, yaml, expected) in table {
        let (_, problems) = probe::config::<Config>(Kind::Processor, yaml);
        assert!(problems.contains(expected), "{row}: {problems}");
    }
}
