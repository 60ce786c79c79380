//! Who may come in, and who we say we are.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use prost::Message as _;
use tonic::{Code, Request, metadata::MetadataValue};

use crate::{
    support::{Gateway, eventually, http, input, sekisho, sink::Sink},
    to_sink,
};

async fn over_grpc(gateway: &Gateway, shown: Option<&str>) -> Result<(), tonic::Status> {
    let mut request = Request::new(input::invocations("f", 0, 1));
    if let Some(shown) = shown {
        request.metadata_mut().insert("authorization", MetadataValue::try_from(shown).unwrap());
    }
    TraceServiceClient::connect(gateway.grpc()).await.unwrap().export(request).await.map(|_| ())
}

async fn over_http(gateway: &Gateway, shown: Option<&str>) -> reqwest::Response {
    let mut request = http().post(format!("{}/v1/traces", gateway.http()));
    request = request.header("content-type", "application/json");
    if let Some(shown) = shown {
        request = request.header("authorization", shown);
    }
    let mut body = Vec::new();
    let protobuf = input::invocations("f", 0, 1).encode_to_vec();
    sekisho::otlp::json::to_json(sekisho::otlp::Signal::Traces, &protobuf, &mut body);
    request.body(body).send().await.unwrap()
}

fn receiver(authenticator: &str) -> String {
    let auth = format!("endpoint: '127.0.0.1:0', auth: {{authenticator: {authenticator}}}");
    format!("{{grpc: {{{auth}}}, http: {{{auth}}}}}")
}

fn basic(pair: &str) -> String {
    format!("Basic {}", STANDARD.encode(pair))
}

/// Scenario: senders show right, wrong and no credentials to receivers that want tokens or passwords.
/// Guarantees: exactly the right ones come in; the others hear how to do it, in the form of their request, before
/// their body is read, and nothing they showed is told again.
#[tokio::test]
async fn only_who_is_known_comes_in() {
    let (sink, address) = Sink::start().await;
    let bearer = "extensions: {bearertokenauth: {tokens: [one, hunter2]}}\nservice:\n  extensions: [bearertokenauth]";
    let bearer = Gateway::start(&to_sink(address, &receiver("bearertokenauth"), bearer)).await;
    let hash = bcrypt::hash("hunter2", 5).unwrap();
    let password = format!(
        "extensions: {{basicauth/door: {{htpasswd: {{inline: 'shop:{}'}}}}}}\nservice:\n  extensions: [basicauth/door]",
        hash.replace('$', "$$")
    );
    let password = Gateway::start(&to_sink(address, &receiver("basicauth/door"), &password)).await;
    let (right, wrong) = (basic("shop:hunter2"), basic("shop:hunter3"));
    #[rustfmt::skip]
    let table = [
        ("a token",                   &bearer,   Some("Bearer hunter2"), true),
        ("another token",             &bearer,   Some("Bearer one"), true),
        ("a wrong token",             &bearer,   Some("Bearer hunter3"), false),
        ("a beginning of a token",    &bearer,   Some("Bearer hunter"), false),
        ("a token without scheme",    &bearer,   Some("hunter2"), false),
        ("no token",                  &bearer,   None, false),
        ("a password",                &password, Some(right.as_str()), true),
        ("a wrong password",          &password, Some(wrong.as_str()), false),
        ("a token, not a password",   &password, Some("Bearer hunter2"), false),
        ("no password",               &password, None, false),
        ("not base64",                &password, Some("Basic %%%"), false),
    ];
    let mut expected = 0;
    for (row, gateway, shown, comes_in) in table {
        let (grpc, answer) = (over_grpc(gateway, shown).await, over_http(gateway, shown).await);
        if comes_in {
            expected += 2;
            assert!(grpc.is_ok(), "{row}: {grpc:?}");
            assert_eq!(answer.status(), 200, "{row}");
        } else {
            let status = grpc.unwrap_err();
            assert_eq!(status.code(), Code::Unauthenticated, "{row}: {status:?}");
            assert_eq!(answer.status(), 401, "{row}");
            let challenge = answer.headers()["www-authenticate"].to_str().unwrap().to_owned();
            let scheme = if std::ptr::eq(gateway, &raw const bearer) { "Bearer" } else { "Basic realm" };
            assert!(challenge.starts_with(scheme), "{row}: {challenge}");
            assert_eq!(status.metadata().get("www-authenticate").unwrap(), challenge.as_str(), "{row}");
            let told: serde_json::Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
            assert_eq!(told["code"], Code::Unauthenticated as i64, "{row}: {told}");
            assert!(!told.to_string().contains("hunter") && !status.message().contains("hunter"), "{row}");
        }
        assert_eq!(sink.spans().len(), expected, "{row}");
    }
    for gateway in [&bearer, &password] {
        let refused = gateway.metrics().await.into_iter().filter(|(name, _)| name.contains("unauthenticated"));
        assert!(refused.map(|(_, count)| count).sum::<f64>() >= 6.0, "refusals are counted");
        assert!(gateway.log_lines().iter().all(|line| !line.to_string().contains("hunter")), "and nothing is told");
    }
}

/// Scenario: one gateway sends to another that wants a token; the token is changed in both files while they run.
/// Guarantees: both exporters show what the far side wants, before and after.
#[tokio::test]
async fn exporters_say_who_we_are_and_tokens_may_change() {
    let (sink, address) = Sink::start().await;
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    std::fs::write(&token, "first\n").unwrap();
    let extension = format!("{{filename: '{}'}}", token.display());
    let door = format!("extensions: {{bearertokenauth: {extension}}}\nservice:\n  extensions: [bearertokenauth]");
    let far = Gateway::start(&to_sink(address, &receiver("bearertokenauth"), &door)).await;
    let near = Gateway::start(&format!(
        "
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '127.0.0.1:0'}}}}}}}}
extensions:
  bearertokenauth: {extension}
  headers_setter:
    headers: [{{key: x-tenant, value: shop}}, {{action: delete, key: x-unwanted}}]
    additional_auth: bearertokenauth
exporters:
  otlp_grpc:
    endpoint: '{}'
    tls: {{insecure: true}}
    auth: {{authenticator: bearertokenauth}}
  otlp_http:
    endpoint: '{}'
    auth: {{authenticator: headers_setter}}
service:
  extensions: [headers_setter, bearertokenauth]
  pipelines: {{traces: {{receivers: [otlp], exporters: [otlp_grpc, otlp_http]}}}}
",
        far.endpoint("receiver otlp", "grpc"),
        far.http()
    ))
    .await;
    over_grpc(&near, None).await.unwrap();
    eventually("both get in", async || (sink.spans().len() == 2).then_some(())).await;
    std::fs::write(&token, "second\n").unwrap();
    let refused = async || {
        let answer = over_grpc(&far, Some("Bearer first")).await;
        answer.is_err_and(|status| status.code() == Code::Unauthenticated).then_some(())
    };
    eventually("the old token is no longer known", refused).await;
    // The near gateway looks at the file as often; what it sends until then would be refused for good.
    let taken_up = async || {
        let before = sink.spans().len();
        over_grpc(&near, None).await.unwrap();
        let counted = async || {
            let metrics = near.metrics().await;
            let sum = |name: &str| -> f64 {
                metrics.iter().filter(|(key, _)| key.starts_with(name)).map(|(_, value)| value).sum()
            };
            let settled = sum("otelcol_exporter_sent_spans") + sum("otelcol_exporter_send_failed_spans");
            (settled as u64).is_multiple_of(2).then_some(())
        };
        eventually("both have an answer", counted).await;
        (sink.spans().len() >= before + 2).then_some(())
    };
    eventually("both get in with the new token", taken_up).await;
}

/// Scenario: configurations with secrets and mistakes around authenticators.
/// Guarantees: each mistake is named, with the extension; print-config tells no secret.
#[tokio::test]
async fn mistakes_are_named_and_secrets_are_not_told() {
    let directory = tempfile::tempdir().unwrap();
    let validate = |config: &str| {
        std::fs::write(directory.path().join("config.yaml"), config).unwrap();
        let (code, out, err) = sekisho(&["validate", "--config", "config.yaml"], directory.path());
        assert!(!format!("{out}{err}").contains("hunter2"), "{out}{err}");
        (code, format!("{out}{err}"))
    };
    let with = |receiver: &str, more: &str| to_sink("127.0.0.1:4317".parse().unwrap(), receiver, more);
    let door = receiver("bearertokenauth");
    let client = "extensions: {basicauth: {client_auth: {username: a, password: hunter2}}}";
    let setter = |header: &str| format!("extensions: {{headers_setter: {{headers: [{header}]}}}}\nservice:");
    #[rustfmt::skip]
    let table = [
        ("undeclared",       with(&door, "service:"), "`bearertokenauth` is not a declared extension"),
        ("not started",      with(&door, "extensions: {bearertokenauth: {token: hunter2}}\nservice:"), "`bearertokenauth` is not started"),
        ("not able to",      with(&receiver("basicauth"), &format!("{client}\nservice:\n  extensions: [basicauth]")), "`basicauth` cannot authenticate receivers"),
        ("not for that",     with(&receiver("health_check"), "extensions: {health_check: {}}\nservice:\n  extensions: [health_check]"), "`health_check` cannot authenticate receivers"),
        ("no token",         with(&door, "extensions: {bearertokenauth: {}}\nservice:\n  extensions: [bearertokenauth]"), "there is no token"),
        ("two tokens",       with(&door, "extensions: {bearertokenauth: {token: hunter2, filename: x}}\nservice:\n  extensions: [bearertokenauth]"), "set one of token"),
        ("weak hash",        with(&door, "extensions: {basicauth: {htpasswd: {inline: 'a:{SHA}hunter2'}}}\nservice:"), "SHA-1"),
        ("of the request",   with("{grpc: }", &setter("{key: a, from_attribute: b}")), "from_attribute"),
        ("two values",       with("{grpc: }", &setter("{key: a, value: c, from_context: b}")), "give one of"),
        ("a useless default",with("{grpc: }", &setter("{key: a, value: c, default_value: b}")), "does nothing without from_context"),
        ("no value",         with("{grpc: }", &setter("{key: a}")), "value"),
        ("unsafe TLS",       with("{grpc: {tls: {cert_file: a, key_file: b, min_version: '1.0'}}}", "service:"), "not safe"),
        ("no certificate",   with("{grpc: {tls: {}}}", "service:"), "certificate"),
        ("a path for a port",with("{grpc: {endpoint: /tmp/x.sock}}", "service:"), "transport: unix"),
        ("a port for a path",with("{grpc: {transport: unix}}", "service:"), "path of a socket"),
        ("unknown suite",    with("{http: {compression_algorithms: [br]}}", "service:"), "`br` is not supported"),
        ("no such level",    with("{grpc: }", "  otlp_http: {endpoint: 'http://a', compression_params: {level: 10}}\nservice:"), "between 0 and 9 for gzip"),
        ("no levels at all", with("{grpc: }", "  otlp_http: {endpoint: 'http://a', compression: lz4, compression_params: {level: 1}}\nservice:"), "lz4 has no levels"),
        ("two on one path",  with("{http: {logs_url_path: v1/traces}}", "service:"), "same path"),
    ];
    for (row, config, said) in table {
        let (code, report) = validate(&config);
        assert_eq!(code, Some(2), "{row}: {report}");
        assert!(report.contains(said), "{row}: {report}");
    }
    let secrets = "
receivers: {otlp: {protocols: {http: {response_headers: {x-key: hunter2}, tls: {cert_pem: hunter2, key_pem: hunter2}}}}}
extensions:
  bearertokenauth: {tokens: [hunter2]}
  basicauth: {htpasswd: {inline: 'a:hunter2'}}
  basicauth/client: {client_auth: {username: a, password: hunter2}}
  headers_setter: {headers: [{key: a, value: hunter2}]}
exporters:
  otlp_http: {endpoint: 'https://a:hunter2@example.com', proxy_url: 'http://a:hunter2@proxy', headers: {a: hunter2}, tls: {ca_pem: hunter2}}
service:
  extensions: [bearertokenauth, basicauth, basicauth/client, headers_setter]
  pipelines: {traces: {receivers: [otlp], exporters: [otlp_http]}}
";
    std::fs::write(directory.path().join("config.yaml"), secrets).unwrap();
    let (code, out, err) = sekisho(&["print-config", "--config", "config.yaml"], directory.path());
    assert_eq!(code, Some(0), "{err}");
    assert!(out.matches("[redacted]").count() >= 10 && !format!("{out}{err}").contains("hunter2"), "{out}{err}");
}
