use super::*;

#[test]
fn a_counter_asked_for_twice_is_one_counter_and_renders_without_suffix() {
    let metrics = Metrics::default();
    metrics.counter("otelcol_exporter_sent_spans", "Spans sent.", &[("exporter", "a\"b")]).add(2);
    metrics.counter("otelcol_exporter_sent_spans", "Spans sent.", &[("exporter", "a\"b")]).add(3);
    metrics.gauge("otelcol_exporter_queue_size", "Batches waiting.", &[]).set(1.5);
    let text = metrics.render(&Form::default());
    assert!(text.contains("otelcol_exporter_sent_spans{exporter=\"a\\\"b\"} 5\n"), "{text}");
    assert!(text.contains("# TYPE otelcol_exporter_queue_size gauge\notelcol_exporter_queue_size 1.5\n"), "{text}");
    let with_suffix = metrics.render(&Form { total: true, ..Form::default() });
    assert!(with_suffix.contains("otelcol_exporter_sent_spans_total{exporter=\"a\\\"b\"} 5\n"), "{with_suffix}");
    assert!(with_suffix.contains("otelcol_exporter_queue_size 1.5\n"), "{with_suffix}");
}

#[test]
fn a_histogram_counts_up_to_each_bound_with_or_without_labels() {
    let metrics = Metrics::default();
    let labelled = metrics.histogram("otelcol_sizes", "Sizes.", &[1.0, 10.0], &[("a", "b")]);
    let plain = metrics.histogram("otelcol_others", "Others.", &[0.5], &[]);
    for value in [0.0, 1.0, 5.0, 100.0] {
        labelled.record(value);
        plain.record(value);
    }
    let text = metrics.render(&Form::default());
    for line in [
        "# TYPE otelcol_sizes histogram\n",
        "otelcol_sizes_bucket{a=\"b\",le=\"1\"} 2\n",
        "otelcol_sizes_bucket{a=\"b\",le=\"10\"} 3\n",
        "otelcol_sizes_bucket{a=\"b\",le=\"+Inf\"} 4\n",
        "otelcol_sizes_sum{a=\"b\"} 106\n",
        "otelcol_sizes_count{a=\"b\"} 4\n",
        "otelcol_others_bucket{le=\"0.5\"} 1\n",
        "otelcol_others_count 4\n",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

#[test]
fn a_level_hides_what_it_is_too_low_for() {
    let metrics = Metrics::default();
    metrics.counter("otelcol_receiver_accepted_spans", "Taken.", &[]).add(1);
    metrics.counter("otelcol_processor_incoming_items", "In.", &[]).add(1);
    metrics.histogram("otelcol_exporter_queue_batch_send_size_bytes", "Bytes.", BYTES, &[]).record(1.0);
    let shown = |detail| {
        let text = metrics.render(&Form { detail, ..Form::default() });
        text.lines().filter(|line| line.starts_with("# TYPE")).count()
    };
    assert_eq!([Detail::Basic, Detail::Normal, Detail::Detailed].map(shown), [1, 2, 3]);
}

#[test]
fn the_resource_is_a_metric_of_its_own_with_names_prometheus_takes() {
    let resource = vec![("service.name".to_owned(), "gate\nway".to_owned()), ("1st".to_owned(), "x".to_owned())];
    let text = Metrics::default().render(&Form { resource, ..Form::default() });
    assert!(text.contains("target_info{service_name=\"gate\\nway\",key_1st=\"x\"} 1\n"), "{text}");
}

#[test]
fn gauges_add_up_and_measured_values_are_asked_for_when_read() {
    let metrics = Metrics::default();
    let gauge = metrics.gauge("otelcol_exporter_in_flight_requests", "On their way.", &[]);
    gauge.add(2.0);
    gauge.add(-1.0);
    metrics.measured("otelcol_process_uptime", "Seconds.", true, || Some(7.0));
    metrics.measured("otelcol_process_unknown", "Not told here.", false, || None);
    assert_eq!((gauge.get(), metrics.sum("otelcol_process_uptime", None)), (1.0, 7.0));
    let text = metrics.render(&Form::default());
    assert!(text.contains("otelcol_process_uptime 7\n") && !text.contains("\notelcol_process_unknown "), "{text}");
}
