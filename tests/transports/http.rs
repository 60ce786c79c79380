//! What only HTTP has: browsers, headers of answers, proxies.

use std::sync::{Arc, Mutex};

use prost::Message as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::{
    support::{Gateway, eventually, http, input, sink::Sink},
    to_sink,
};

/// Scenario: web pages of several origins ask, then send.
/// Guarantees: those that are allowed may read the answer, and only what is allowed is said to be; every answer has
/// the headers that were asked for.
#[tokio::test]
async fn browsers_hear_what_pages_may_do() {
    let (sink, address) = Sink::start().await;
    let receiver = "{http: {endpoint: '127.0.0.1:0', traces_url_path: otel/traces, \
                    response_headers: {x-frame-options: deny}, cors: {allowed_origins: ['https://*.test.com'], \
                    allowed_headers: [X-Tenant], exposed_headers: [X-Served-By], max_age: 7200}}}";
    let gateway = Gateway::start(&to_sink(address, receiver, "service:")).await;
    let url = format!("{}/otel/traces", gateway.http());
    let (ours, theirs) = ("https://shop.test.com", "https://evil.org");
    #[rustfmt::skip]
    let table = [
        ("our page asks",                  ours,   "POST", "content-type,x-tenant", Some(ours)),
        ("a header that is not allowed",   ours,   "POST", "x-other", None),
        ("a method that is not served",    ours,   "PUT",  "content-type", None),
        ("another page asks",              theirs, "POST", "content-type", None),
    ];
    for (row, origin, method, headers, allowed) in table {
        let request = http().request(reqwest::Method::OPTIONS, &url).header("origin", origin);
        let request = request.header("access-control-request-method", method);
        let answer = request.header("access-control-request-headers", headers).send().await.unwrap();
        assert_eq!(answer.status(), 204, "{row}");
        let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap());
        assert_eq!(header("access-control-allow-origin"), allowed, "{row}");
        assert_eq!(header("access-control-allow-headers"), allowed.map(|_| headers), "{row}");
        assert_eq!(header("access-control-allow-methods"), allowed.map(|_| "POST"), "{row}");
        assert_eq!(header("access-control-max-age"), allowed.map(|_| "7200"), "{row}");
        assert!(header("vary").unwrap().contains("Origin"), "{row}: caches must tell them apart");
        assert_eq!(header("x-frame-options"), Some("deny"), "{row}");
    }
    for (row, origin, allowed) in [("our page", ours, Some(ours)), ("another page", theirs, None)] {
        let request = http().post(&url).header("origin", origin).header("content-type", "application/x-protobuf");
        let answer = request.body(input::invocations("f", 0, 1).encode_to_vec()).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{row}");
        let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap());
        assert_eq!(header("access-control-allow-origin"), allowed, "{row}");
        assert_eq!(header("access-control-expose-headers"), allowed.map(|_| "X-Served-By"), "{row}");
        assert_eq!(header("x-frame-options"), Some("deny"), "{row}");
    }
    assert_eq!(sink.spans().len(), 2);
}

/// A proxy that keeps the first line of what it is asked, and answers 200.
async fn proxy() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let lines = asked.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut start = [0; 1024];
            let read = stream.read(&mut start).await.unwrap_or(0);
            let text = String::from_utf8_lossy(&start[..read]).into_owned();
            lines.lock().unwrap().push(text.lines().next().unwrap_or("").to_owned());
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
        }
    });
    (address, asked)
}

/// Scenario: the environment names a proxy, and a host that needs none; one exporter names a proxy of its own.
/// Guarantees: each request goes the way it should; over HTTPS the proxy is asked for a tunnel.
#[tokio::test]
async fn proxies_are_honoured() {
    let (_sink, address) = Sink::start().await;
    let near = Gateway::start(&to_sink(address, "{http: {endpoint: '127.0.0.1:0'}}", "service:")).await;
    let (of_environment, asked) = proxy().await;
    let (own, asked_own) = proxy().await;
    let gateway = Gateway::start_with(
        &format!(
            "
receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:0'}}}}}}}}
exporters:
  otlp_http/plain: {{endpoint: 'http://plain.invalid:4318'}}
  otlp_http/secure: {{endpoint: 'https://secure.invalid:4318', retry_on_failure: {{enabled: false}}}}
  otlp_http/direct: {{endpoint: '{}'}}
  otlp_http/own: {{endpoint: 'http://own.invalid:4318', proxy_url: '{own}'}}
service:
  pipelines:
    traces:
      receivers: [otlp]
      exporters: [otlp_http/plain, otlp_http/secure, otlp_http/direct, otlp_http/own]
",
            near.http()
        ),
        &[("HTTP_PROXY", &of_environment), ("HTTPS_PROXY", &of_environment), ("NO_PROXY", "127.0.0.1")],
    )
    .await;
    // The test's own client must not look at the environment either.
    let request = http().post(format!("{}/v1/traces", gateway.http())).header("content-type", "application/x-protobuf");
    request.body(input::invocations("f", 0, 1).encode_to_vec()).send().await.unwrap();
    let all = async || {
        let (mut lines, own) = (asked.lock().unwrap().clone(), asked_own.lock().unwrap().clone());
        lines.sort();
        (lines.len() == 2 && own.len() == 1).then_some((lines, own))
    };
    let (lines, own) = eventually("each proxy is asked", all).await;
    assert!(lines[0].starts_with("CONNECT secure.invalid:4318 "), "{lines:?}");
    assert!(lines[1].starts_with("POST http://plain.invalid:4318/v1/traces "), "{lines:?}");
    assert!(own[0].starts_with("POST http://own.invalid:4318/v1/traces "), "{own:?}");
    let direct = async || {
        let metrics = near.metrics().await;
        metrics
            .iter()
            .any(|(name, value)| name.starts_with("otelcol_receiver_accepted_spans") && *value > 0.0)
            .then_some(())
    };
    eventually("what needs no proxy arrives", direct).await;
}
