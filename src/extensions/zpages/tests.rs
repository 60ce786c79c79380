use super::*;
use crate::pipeline::{health::State, probe};

fn pages(context: &Context) -> Pages {
    let health = Arc::new(Health::default());
    health.set("traces", State::Ready);
    health.made_of("traces", vec!["receiver otlp".into(), "exporter otlp_grpc/<script>".into()]);
    health.set("logs", State::Ready);
    health.made_of("logs", vec!["receiver otlp".into(), "exporter debug".into()]);
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
        (pages.service(), [env!("CARGO_PKG_VERSION"), "<td>spans</td><td class=\"n\">12</td>", "Uptime"]),
        (pages.pipelines(), ["<span class=\"good\">ready</span>", "connection refused", "exporter otlp_grpc/&lt;script&gt;<br>"]),
        (pages.extensions(), ["zpages", "health_check", "Extensions"]),
        (pages.trace(), ["<td>otlp_grpc/&lt;script&gt;</td><td class=\"n\">–</td><td class=\"n\">3</td><td class=\"n\">1000</td>", "Latest warnings", "Processor"]),
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
