use super::*;
use crate::{config::Kind, pipeline::probe};

#[test]
fn every_key_acts_or_is_an_error() {
    let otlp = "exporter: {otlp: {endpoint: 'http://tempo:4317'}}";
    #[rustfmt::skip]
    let table = [
        ("{}".to_owned(), ""),
        ("{resource: {service.name: edge, service.version: null}}".to_owned(), ""),
        ("{logs: {level: warn, encoding: json, output_paths: [stderr, gateway.log], sampling: {enabled: false}}}".to_owned(), ""),
        (format!("{{logs: {{processors: [{{batch: {{{otlp}}}}}]}}, traces: {{processors: [{{batch: {{schedule_delay: 1000, {otlp}}}}}]}}}}"), ""),
        (format!("{{metrics: {{readers: [{{}}, {{periodic: {{interval: 10s, {otlp}}}}}]}}}}"), "one of `pull` and `periodic`"),
        (format!("{{metrics: {{readers: [{{pull: {{}}}}, {{periodic: {{interval: 10000, {otlp}}}}}]}}}}"), ""),
        (format!("{{metrics: {{readers: [{{pull: {{}}, periodic: {{{otlp}}}}}]}}}}"), "one of `pull` and `periodic`"),
        ("{metrics: {readers: [{pull: {exporter: {prometheus: {without_units: false}}}}]}}".to_owned(), "without_units"),
        ("{metrics: {readers: [{pull: {exporter: {console: {}}}}]}}".to_owned(), "console"),
        ("{metrics: {address: 'localhost:1', readers: []}}".to_owned(), "as well as"),
        ("{metrics: {readers: [{periodic: {exporter: {otlp: {}}}}]}}".to_owned(), "endpoint"),
        ("{metrics: {readers: [{periodic: {interval: 0, exporter: {otlp: {endpoint: 'http://a'}}}}]}}".to_owned(), "interval"),
        ("{metrics: {readers: [{periodic: {exporter: {otlp: {endpoint: 'http://a', protocol: http/json}}}}]}}".to_owned(), "protocol"),
        ("{metrics: {readers: [{periodic: {exporter: {otlp: {endpoint: 'http://a', headers: {'a b': c}}}}}]}}".to_owned(), "headers"),
        ("{metrics: {readers: [{periodic: {exporter: {otlp: {endpoint: 'ftp://a'}}}}]}}".to_owned(), "ftp"),
        ("{traces: {processors: [{batch: {exporter: {otlp: {endpoint: 'http://a', temporality_preference: delta}}}}]}}".to_owned(), "for metrics only"),
        ("{traces: {processors: [{batch: {exporter: {otlp: {endpoint: 'https://a', client_key: x}}}}]}}".to_owned(), "client_certificate"),
        ("{traces: {processors: [{batch: {exporter: {otlp: {endpoint: 'http://a', certificate: x}}}}]}}".to_owned(), "does nothing"),
        ("{traces: {processors: [{batch: {max_export_batch_size: 9999, exporter: {otlp: {endpoint: 'http://a'}}}}]}}".to_owned(), "max_export_batch_size"),
        ("{traces: {processors: [{simple: {}}]}}".to_owned(), "unknown key `simple`"),
        ("{traces: {sampler: {trace_id_ratio_based: {ratio: 2}}}}".to_owned(), "between 0 and 1"),
        ("{traces: {sampler: always_off}}".to_owned(), ""),
        ("{traces: {propagators: [tracecontext]}}".to_owned(), "propagators"),
        ("{logs: {output_paths: []}}".to_owned(), "output_paths"),
        ("{logs: {sampling: {tick: 0}}}".to_owned(), "tick"),
    ];
    for (yaml, wrong) in table {
        let (_, said) = probe::config::<Telemetry>(Kind::Exporter, &yaml);
        assert_eq!(said.is_empty(), wrong.is_empty(), "{yaml}: {said}");
        assert!(said.contains(wrong), "{yaml}: {said}");
    }
}

#[test]
fn headers_may_be_a_map_or_a_list_and_times_numbers_or_text() {
    let map = "{headers: {a: b}, timeout: 5s, endpoint: 'http://x'}";
    let list = "{headers: [{name: a, value: b}], timeout: 5000, endpoint: 'http://x'}";
    let read = |otlp: &str| {
        let yaml = format!("{{traces: {{processors: [{{batch: {{exporter: {{otlp: {otlp}}}}}}}]}}}}");
        let (telemetry, said) = probe::config::<Telemetry>(Kind::Exporter, &yaml);
        assert_eq!(said, "");
        telemetry.traces.processors[0].batch.exporter.otlp.clone()
    };
    assert_eq!(read(map), read(list));
    assert_eq!(read(map).headers.0[0].value.expose(), "b");
}

#[test]
fn the_resource_has_defaults_that_can_be_replaced_and_taken_away() {
    let (telemetry, _) = probe::config::<Telemetry>(Kind::Exporter, "{resource: {service.version: null, site: a}}");
    let resource: Vec<(String, String)> = telemetry.resource().into_iter().collect();
    assert_eq!(resource, [("service.name".to_owned(), "sekisho".to_owned()), ("site".to_owned(), "a".to_owned())]);
}
