use super::*;
use crate::pipeline::{
    health::{Health, State},
    probe,
};

fn pages(context: &Context) -> Pages {
    let health = Arc::new(Health::default());
    let pipeline = |id: &str, exporter: &str| {
        (id.to_owned(), State::Ready, vec!["receiver otlp".to_owned(), format!("exporter {exporter}")])
    };
    health.set([pipeline("traces", "otlp_grpc/<script>"), pipeline("logs", "debug"), pipeline("metrics", "file")]);
    health.failed("exporter file", "it panicked".into());
    health.failed("extension health_check", "no more descriptors".into());
    health.trouble("exporter otlp_grpc/<script>", Some("connection refused".into()));
    health.started(vec!["zpages".into(), "health_check".into()]);
    Pages { health, metrics: context.metrics.clone(), since: Instant::now() }
}

#[test]
fn each_page_says_what_it_is_about_and_no_name_becomes_markup() {
    let context = probe::context("zpages", std::path::Path::new("."));
    let metrics = &context.metrics;
    metrics.counter("otelcol_receiver_accepted_spans", "", &[("receiver", "otlp")]).add(7);
    metrics.counter("otelcol_receiver_accepted_spans", "", &[("receiver", "other")]).add(5);
    metrics.gauge("otelcol_exporter_queue_size", "", &[("exporter", "otlp_grpc/<script>")]).set(3.0);
    metrics.gauge("otelcol_exporter_queue_capacity", "", &[("exporter", "otlp_grpc/<script>")]).set(1000.0);
    let pages = pages(&context);
    #[rustfmt::skip]
    let table = [
        (pages.service(), [env!("CARGO_PKG_VERSION"), "<td>spans</td><td class=\"n\">12</td>", "Uptime", "Resident memory"]),
        (pages.pipelines(), ["<span class=\"good\">ready</span>", "connection refused", "exporter otlp_grpc/&lt;script&gt;<br>", "failed</span> exporter file: it panicked"]),
        (pages.extensions(), ["zpages", "health_check", "Extensions", "no more descriptors"]),
        (pages.trace(), ["<td>otlp_grpc/&lt;script&gt;</td><td class=\"n\">–</td><td class=\"n\">3</td><td class=\"n\">1000</td>", "Latest warnings", "Processor", "Exporter"]),
    ];
    for (page, expected) in table {
        for text in expected {
            assert!(page.contains(text), "{text} in {page}");
        }
        assert!(!page.contains("<script"), "{page}");
        assert!(
            !page.contains("src=") && !page.contains("http://") && !page.contains("https://"),
            "loads nothing: {page}"
        );
    }
}
