//! Both OTLP exporters against a destination that misbehaves.

use std::{
    net::{SocketAddr, TcpListener},
    time::{Duration, Instant},
};

use prost::Message as _;
use tonic::Code;

use super::{
    super::{otlp_grpc, otlp_http},
    build,
    destination::{Act, Destination, soon},
};
use crate::{
    otlp::{Signal, json, sample},
    pipeline::{Batch, Next, Outcome, component::Context, outcome::answer},
};

const ALONE: &str = "{sending_queue: {enabled: false}, retry_on_failure: {enabled: false}, timeout: 300ms";

fn spans(n: u64) -> Batch {
    Batch { signal: Signal::Traces, body: sample::traces(n).encode_to_vec().into(), items: n as usize }
}

/// An exporter to `address`; `settings` begins with a brace that is not closed.
fn exporter(grpc: bool, address: SocketAddr, settings: &str) -> (Next, Context) {
    if grpc {
        build::<otlp_grpc::Config>(&format!("{settings}, endpoint: '{address}', tls: {{insecure: true}}}}"))
    } else {
        build::<otlp_http::Config>(&format!("{settings}, endpoint: 'http://{address}'}}"))
    }
}

fn retry_info(after: Duration) -> Vec<u8> {
    answer(&Ok(Outcome::Overloaded { after })).status()
}

#[tokio::test]
async fn each_way_to_fail_has_its_outcome() {
    let seconds = Duration::from_secs(2);
    let two = Some(seconds);
    let refused = answer(&Ok(Outcome::Partial { rejected: 7, message: "bad ids".into() })).response();
    let protobuf: &[_] = &[("content-type", "application/x-protobuf")];
    let (over_grpc, over_http) = (true, false);
    #[rustfmt::skip]
    let table = [
        ("taken",                   over_grpc, Act::Grpc(Code::Ok, vec![], vec![]), "accepted", None),
        ("taken in part",           over_grpc, Act::Grpc(Code::Ok, vec![], refused.clone()), "partial 7: bad ids", None),
        ("away, with a hint",       over_grpc, Act::Grpc(Code::Unavailable, retry_info(seconds), vec![]), "retryable", two),
        ("away",                    over_grpc, Act::Grpc(Code::Unavailable, vec![], vec![]), "retryable", None),
        ("full, with a hint",       over_grpc, Act::Grpc(Code::ResourceExhausted, retry_info(seconds), vec![]), "retryable", two),
        ("too large",               over_grpc, Act::Grpc(Code::ResourceExhausted, vec![], vec![]), "permanent", None),
        ("wrong",                   over_grpc, Act::Grpc(Code::InvalidArgument, vec![], vec![]), "permanent", None),
        ("a proxy is full",         over_grpc, Act::Http(429, &[("retry-after", "2")], vec![]), "retryable", two),
        ("a proxy does not know",   over_grpc, Act::Http(404, &[], vec![]), "permanent", None),
        ("not gRPC at all",         over_grpc, Act::Http(200, &[], b"hello".to_vec()), "retryable", None),
        ("silence",                 over_grpc, Act::Stall, "retryable", None),
        ("hangs up",                over_grpc, Act::HangUp, "retryable", None),
        ("breaks off",              over_grpc, Act::BreakOff, "retryable", None),
        ("taken",                   over_http, Act::Http(200, protobuf, vec![]), "accepted", None),
        ("taken in part",           over_http, Act::Http(200, protobuf, refused), "partial 7: bad ids", None),
        ("away, with a hint",       over_http, Act::Http(503, &[("retry-after", "2")], vec![]), "retryable", two),
        ("full",                    over_http, Act::Http(429, &[], vec![]), "retryable", None),
        ("broken",                  over_http, Act::Http(500, &[], vec![]), "permanent", None),
        ("too large",               over_http, Act::Http(413, &[], vec![]), "permanent", None),
        ("elsewhere",               over_http, Act::Http(307, &[("location", "/v1/other")], vec![]), "permanent", None),
        ("silence",                 over_http, Act::Stall, "retryable", None),
        ("hangs up",                over_http, Act::HangUp, "retryable", None),
        ("breaks off",              over_http, Act::BreakOff, "retryable", None),
    ];
    for (row, grpc, act, expected, hint) in table {
        let destination = Destination::new([act]).await;
        let (exporter, _) = exporter(grpc, destination.address, ALONE);
        let outcome = soon(row, exporter.consume(spans(8))).await;
        let (said, after) = match outcome {
            Outcome::Accepted => ("accepted".to_owned(), None),
            Outcome::Partial { rejected, message } => (format!("partial {rejected}: {message}"), None),
            Outcome::Retryable { after, .. } => ("retryable".to_owned(), after),
            Outcome::Permanent { .. } => ("permanent".to_owned(), None),
            Outcome::Overloaded { after } => ("overloaded".to_owned(), Some(after)),
        };
        assert_eq!((said.as_str(), after), (expected, hint), "{row}, gRPC: {grpc}");
        assert_eq!(destination.seen().len(), 1, "{row}, gRPC: {grpc}: it was asked once");
    }
}

#[tokio::test]
async fn nobody_there_is_a_reason_to_come_back_that_says_why() {
    for grpc in [true, false] {
        let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (exporter, _) = exporter(grpc, gone, ALONE);
        let outcome = soon("a refusal", exporter.consume(spans(1))).await;
        let Outcome::Retryable { after: None, reason } = outcome else { panic!("{outcome:?}") };
        assert!(reason.to_lowercase().contains("refused"), "{reason}");
    }
}

#[tokio::test]
async fn nothing_is_lost_while_the_destination_misbehaves() {
    let settings = "{timeout: 300ms, sending_queue: {num_consumers: 4}, \
                    retry_on_failure: {initial_interval: 10ms, max_interval: 50ms}";
    for grpc in [true, false] {
        let acts = [Act::HangUp, Act::Stall, Act::BreakOff, Act::HangUp, Act::Stall, Act::BreakOff, Act::Stall];
        let destination = Destination::new(acts).await;
        let (exporter, context) = exporter(grpc, destination.address, settings);
        let sent: Vec<Batch> = (1..=20).map(spans).collect();
        for batch in &sent {
            assert_eq!(exporter.consume(batch.clone()).await, Outcome::Accepted, "there is room in the queue");
        }
        soon("draining", exporter.drain()).await;

        let mut taken = destination.taken();
        taken.sort_by_key(bytes::Bytes::len);
        // An acknowledgement may go down with the connection that another request made it hang up.
        taken.dedup();
        let bodies: Vec<_> = sent.iter().map(|batch| batch.body.clone()).collect();
        assert_eq!(taken, bodies, "each was taken, gRPC: {grpc}");
        let metric = |name| context.metrics.sum(name, None) as u64;
        assert_eq!(metric("otelcol_exporter_sent_spans"), 210);
        assert_eq!(metric("otelcol_exporter_send_failed_spans"), 0);
        assert_eq!(metric("otelcol_exporter_queue_size"), 0);
    }
}

#[tokio::test]
async fn the_destination_says_when_to_come_back() {
    let settings = "{retry_on_failure: {initial_interval: 10ms, max_interval: 50ms}";
    let hint = Duration::from_millis(400);
    let table = [
        (true, Act::Grpc(Code::Unavailable, retry_info(hint), vec![])),
        (true, Act::Grpc(Code::ResourceExhausted, retry_info(hint), vec![])),
        // Whole seconds are all that HTTP can say.
        (false, Act::Http(503, &[("retry-after", "1")], vec![])),
        (false, Act::Http(429, &[("retry-after", "1")], vec![])),
    ];
    for (grpc, later) in table {
        let destination = Destination::new([later.clone()]).await;
        let (exporter, _) = exporter(grpc, destination.address, settings);
        exporter.consume(spans(3)).await;
        soon("draining", exporter.drain()).await;
        let seen = destination.seen();
        assert_eq!(seen.iter().map(|seen| seen.taken).collect::<Vec<_>>(), [false, true], "{later:?}");
        assert!(seen[1].at - seen[0].at >= hint, "{later:?}: even while draining");
    }
}

#[tokio::test]
async fn a_connection_that_went_silent_is_not_used_again_and_a_good_one_is() {
    let destination = Destination::new([Act::Grpc(Code::Unavailable, vec![], vec![]), Act::Stall]).await;
    let (exporter, _) = exporter(true, destination.address, ALONE);
    let mut connections = Vec::new();
    for _ in 0..4 {
        soon("an answer", exporter.consume(spans(1))).await;
        connections.push(destination.connections());
    }
    assert_eq!(connections, [1, 1, 2, 2]);
}

#[tokio::test]
async fn a_slow_destination_is_given_up_in_time() {
    for grpc in [true, false] {
        let destination = Destination::new(vec![Act::Stall; 100]).await;
        let settings = "{timeout: 50ms, retry_on_failure: \
                        {initial_interval: 10ms, max_interval: 50ms, max_elapsed_time: 400ms}";
        let (exporter, context) = exporter(grpc, destination.address, settings);
        let begun = Instant::now();
        exporter.consume(spans(5)).await;
        let given_up = async {
            while context.metrics.sum("otelcol_exporter_send_failed_spans", None) < 5.0 {
                tokio::task::yield_now().await;
            }
        };
        soon("giving up", given_up).await;
        assert!(begun.elapsed() >= Duration::from_millis(300), "not before its time: {:?}", begun.elapsed());
        assert!(destination.seen().len() > 1);
    }
}

#[tokio::test]
async fn requests_are_what_otlp_says() {
    let paths = [
        ("/opentelemetry.proto.collector.trace.v1.TraceService/Export", "/v1/traces"),
        ("/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", "/v1/metrics"),
        ("/opentelemetry.proto.collector.logs.v1.LogsService/Export", "/v1/logs"),
    ];
    let bodies =
        [sample::traces(9).encode_to_vec(), sample::metrics(9).encode_to_vec(), sample::logs(9).encode_to_vec()];
    for compression in ["none", "gzip", "zstd"] {
        for grpc in [true, false] {
            let destination = Destination::new([]).await;
            let settings = format!("{ALONE}, compression: {compression}, headers: {{x-tenant: one}}");
            let (exporter, _) = exporter(grpc, destination.address, &settings);
            for ((signal, body), path) in Signal::ALL.into_iter().zip(&bodies).zip(paths) {
                let batch = Batch { signal, body: body.clone().into(), items: 9 };
                assert_eq!(soon("an answer", exporter.consume(batch)).await, Outcome::Accepted);
                let seen = destination.seen().pop().unwrap();
                assert_eq!(
                    (seen.method.as_str(), seen.body.as_ref()),
                    ("POST", body.as_slice()),
                    "{compression} {signal:?}"
                );
                assert_eq!(seen.path, if grpc { path.0 } else { path.1 });
                assert_eq!(seen.headers["x-tenant"], "one");
                let kind = if grpc { "application/grpc" } else { "application/x-protobuf" };
                assert_eq!(seen.headers["content-type"], kind);
                let encoding = seen.headers.get(if grpc { "grpc-encoding" } else { "content-encoding" });
                assert_eq!(encoding.map_or("none", |name| name.to_str().unwrap()), compression);
                assert!(seen.headers["user-agent"].to_str().unwrap().starts_with("sekisho/"));
            }
        }
    }
}

#[tokio::test]
async fn json_and_whole_urls_are_sent_as_asked() {
    let destination = Destination::new([]).await;
    let address = destination.address;
    let (exporter, _) = build::<otlp_http::Config>(&format!(
        "{ALONE}, encoding: json, traces_endpoint: 'http://{address}/otel/api/traces?key=1'}}"
    ));
    assert_eq!(soon("an answer", exporter.consume(spans(3))).await, Outcome::Accepted);
    let seen = destination.seen().pop().unwrap();
    assert_eq!(
        (seen.path.as_str(), &seen.headers["content-type"]),
        ("/otel/api/traces", &"application/json".parse().unwrap())
    );
    assert_eq!(json::to_protobuf(Signal::Traces, &seen.body).unwrap(), spans(3).body);
    let logs = Batch { signal: Signal::Logs, ..spans(1) };
    assert!(matches!(exporter.consume(logs).await, Outcome::Permanent { reason } if reason.contains("logs")));
}

#[test]
fn endpoints_and_settings_are_checked() {
    #[rustfmt::skip]
    let table = [
        ("endpoint: 'tempo:4317'", ""),
        ("endpoint: 'dns:///tempo:4317'", ""),
        ("endpoint: 'https://tempo:4317/'", ""),
        ("{endpoint: 'tempo:4317', keepalive: }", ""),
        ("{endpoint: 'tempo:4317', keepalive: {time: 30s, permit_without_stream: true}}", ""),
        ("{endpoint: 'tempo:4317', tls: {insecure_skip_verify: true}}", ""),
        ("{}", "endpoint"),
        ("endpoint: 'unix:///run/otel.sock'", ""),
        ("{endpoint: 'tempo:4317', compression: snappy}", ""),
        ("{endpoint: 'tempo:4317', authority: 'tempo.example.com'}", ""),
        ("endpoint: 'unix://'", "path of a socket"),
        ("endpoint: 'ftp://tempo:4317'", "`ftp://`"),
        ("endpoint: 'https://tempo:4317/v1'", "path"),
        ("{endpoint: 'tempo:4317', keepalive: {time: 1s}}", "keepalive::time"),
        ("{endpoint: 'tempo:4317', timeout: 0}", "timeout"),
        ("{endpoint: 'tempo:4317', compression: deflate}", "deflate"),
        ("{endpoint: 'tempo:4317', authority: 'a b'}", "authority"),
        ("{endpoint: 'tempo:4317', auth: {}}", "auth::authenticator"),
        ("{endpoint: 'tempo:4317', tls: {min_version: 1.1}}", "not safe"),
        ("{endpoint: 'tempo:4317', tls: {min_version: '1.3', max_version: 1.2}}", "min_version"),
        ("{endpoint: 'tempo:4317', tls: {cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]}}", "TLS_RSA_WITH_RC4_128_SHA"),
        ("{endpoint: 'tempo:4317', tls: {curve_preferences: [P521]}}", "P521"),
        ("{endpoint: 'tempo:4317', tls: {ca_file: x, ca_pem: y}}", "ca_pem"),
        ("{endpoint: 'tempo:4317', tls: {server_name_override: 'a b'}}", "server_name_override"),
        ("{endpoint: 'https://tempo:4317', tls: {insecure: true}}", "does nothing"),
        ("{endpoint: 'http://tempo:4317', tls: {insecure_skip_verify: true}}", "unencrypted"),
        ("{endpoint: 'tempo:4317', tls: {insecure_skip_verify: true, ca_file: x}}", "insecure_skip_verify"),
        ("{endpoint: 'tempo:4317', tls: {cert_file: x}}", "key_file"),
        ("{endpoint: 'tempo:4317', headers: {'a b': c}}", "header name"),
    ];
    for (yaml, wrong) in table {
        let (_, said) = crate::pipeline::probe::config::<otlp_grpc::Config>(crate::config::Kind::Exporter, yaml);
        assert_eq!(said.is_empty(), wrong.is_empty(), "{yaml}: {said}");
        assert!(said.contains(wrong), "{yaml}: {said}");
    }
}
