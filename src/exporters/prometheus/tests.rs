use super::{
    translate::tests::{attribute, number, request, sum},
    *,
};
use crate::{otlp::Signal, pipeline::probe};

fn shelf(yaml: &str) -> (Arc<Shelf>, Next, Context) {
    let (config, said) = probe::config::<Config>(crate::config::Kind::Exporter, yaml);
    assert_eq!(said, "");
    let context = probe::context("prometheus", std::path::Path::new("."));
    let exporter = config.build(&context).unwrap();
    let name = format!("exporters::prometheus::{} of {}", config.endpoint.unwrap(), context.component);
    let known = context.shared.get::<Mutex<std::sync::Weak<Listener>>>(&name).unwrap();
    let listener = known.lock().unwrap().upgrade().unwrap();
    (listener.shelf.load_full(), exporter, context)
}

fn batch(body: Vec<u8>) -> Batch {
    Batch { signal: Signal::Metrics, body: body.into(), items: 1 }
}

#[tokio::test]
async fn a_counter_reads_the_same_in_both_formats_but_for_its_name() {
    let yaml = "{endpoint: '127.0.0.1:0', const_labels: {site: \"a\", job: mine}, send_timestamps: true, \
                enable_open_metrics: true, without_scope_info: true, namespace: acme}";
    let (shelf, exporter, _) = shelf(yaml);
    let point = number(5.5, 1_793_491_200_123_000_000, vec![attribute("quoted", "a\"b\\c\nd")]);
    assert_eq!(exporter.consume(batch(request(vec![sum("orders", false, vec![point])]))).await, Outcome::Accepted);
    let series = "acme_orders_total{instance=\"i-1\",job=\"acme/shop\",quoted=\"a\\\"b\\\\c\\nd\",site=\"a\"} 5.5";
    let info = "acme_target_info{cloud_region=\"eu-west-1\",instance=\"i-1\",job=\"acme/shop\",site=\"a\"} 1";
    let text = format!(
        "# HELP acme_orders_total What orders is.\n# TYPE acme_orders_total counter\n{series} 1793491200123\n\
         # HELP acme_target_info What is known of each target.\n# TYPE acme_target_info gauge\n{info} 1793491200123\n"
    );
    assert_eq!(shelf.render(false), text);
    let open = format!(
        "# HELP acme_orders What orders is.\n# TYPE acme_orders counter\n{series} 1793491200.123\n\
         # HELP acme_target_info What is known of each target.\n# TYPE acme_target_info gauge\n{info} 1793491200.123\n# EOF\n"
    );
    assert_eq!(shelf.render(true), open);
}

#[tokio::test]
async fn what_cannot_be_kept_is_refused_for_good_and_counted() {
    let (_, exporter, context) = shelf("{endpoint: '127.0.0.1:0'}");
    let once = batch(request(vec![sum("orders", true, vec![number(5.0, 10, vec![])])]));
    assert_eq!(exporter.consume(once.clone()).await, Outcome::Accepted);
    let again = exporter.consume(once).await;
    assert!(matches!(&again, Outcome::Partial { rejected: 1, message } if message.contains("delta")), "{again:?}");
    assert_eq!(context.metrics.sum("sekisho_prometheus_refused_points", Some(("reason", "old"))), 1.0);
    assert_eq!(context.metrics.sum("sekisho_prometheus_series", None), 2.0);
}

#[tokio::test]
async fn a_changed_exporter_takes_the_listener_over() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (config, _) =
        probe::config::<Config>(crate::config::Kind::Exporter, &format!("{{endpoint: '127.0.0.1:{port}'}}"));
    let context = probe::context("prometheus", std::path::Path::new("."));
    let old = config.build(&context).unwrap();
    let new = Config { namespace: "new".into(), ..config.clone() }.build(&context).unwrap();
    let body = batch(request(vec![sum("orders", false, vec![number(1.0, 9, vec![])])]));
    old.consume(body.clone()).await;
    new.consume(body).await;
    drop(old);
    let _ = rustls::crypto::ring::default_provider().install_default();
    let text = reqwest::get(format!("http://127.0.0.1:{port}/metrics")).await;
    let text = text.unwrap().text().await.unwrap();
    assert!(text.contains("new_orders_total{"), "{text}");
    drop(new);
    let gone = async {
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.expect("the last one closes the port");
}

#[test]
fn the_configuration_is_checked() {
    for (yaml, wrong) in [
        ("{endpoint: ':8889'}", ""),
        ("{}", "endpoint"),
        ("{endpoint: ':8889', metric_expiration: 0}", "metric_expiration"),
        ("{endpoint: ':8889', const_labels: {a.b: c}}", "a_b"),
        ("{endpoint: ':8889', metric_expiraton: 1m}", "metric_expiration"),
    ] {
        let (_, said) = probe::config::<Config>(crate::config::Kind::Exporter, yaml);
        assert_eq!(said.is_empty(), wrong.is_empty(), "{yaml}: {said}");
        assert!(said.contains(wrong), "{yaml}: {said}");
    }
}
