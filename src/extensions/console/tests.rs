use crate::{config, registry};

/// What is wrong with a console that is configured so, in a gateway with two authenticators.
fn problems(console: &str) -> String {
    let text = format!(
        "yaml:{{receivers: {{otlp: {{protocols: {{grpc: }}}}}}, processors: {{anomaly: }}, exporters: {{debug: }}, \
         extensions: {{console: {console}, bearertokenauth: {{token: t}}, basicauth: {{client_auth: {{username: a, \
         password: b}}}}}}, service: {{extensions: [console, bearertokenauth, basicauth], pipelines: {{traces: \
         {{receivers: [otlp], processors: [anomaly], exporters: [debug]}}, logs: {{receivers: [anomaly], exporters: \
         [debug]}}}}}}}}"
    );
    let (root, mut problems) = config::read(&[text], &[], &|_| None);
    registry::plan(root, &mut problems);
    problems.render(config::Style::PLAIN)
}

#[test]
fn only_a_console_that_knows_who_comes_in_may_be_reached_from_elsewhere() {
    let auth = "auth: {authenticator: bearertokenauth}";
    let secret = "link_secret: 0123456789abcdef0123456789abcdef";
    let public = |url: &str, rest: &str| format!("{{public_url: '{url}', {rest}}}");
    #[rustfmt::skip]
    let table = [
        ("defaults",                String::new(), ""),
        ("loopback by name",        "{endpoint: localhost:0}".to_owned(), ""),
        ("loopback, IPv6",          "{endpoint: '[::1]:0'}".to_owned(), ""),
        ("everywhere",              "{endpoint: 0.0.0.0:14318}".to_owned(), "add `auth: {authenticator: bearertokenauth}`"),
        ("everywhere, no host",     "{endpoint: ':14318'}".to_owned(), "nobody is asked who they are"),
        ("another machine's name",  "{endpoint: sekisho.example:14318}".to_owned(), "nobody is asked who they are"),
        ("token, no TLS",           format!("{{endpoint: 0.0.0.0:14318, {auth}}}"), "without encryption"),
        ("an unknown extension",    "{auth: {authenticator: oidc}}".to_owned(), "`oidc` is not a declared extension"),
        ("cannot say who comes in", "{auth: {authenticator: basicauth}}".to_owned(), "cannot authenticate receivers"),
        ("no certificate",          format!("{{{auth}, tls: {{}}}}"), "a server needs a certificate"),
        ("link without a secret",   public("https://s.example", ""), "openssl rand -hex 32"),
        ("link with a short one",   public("https://s.example", "link_secret: x"), "at least 32 characters"),
        ("link to nowhere",         public("s.example", secret), "is not the URL of a page"),
        ("a good link",             public("https://s.example/sekisho", secret), ""),
        ("a secret for nothing",    format!("{{{secret}}}"), "need public_url"),
        ("no detector",             "{detector: ''}".to_owned(), "must be the id"),
        ("an unknown key",          "{endpoints: localhost:1}".to_owned(), "endpoint"),
    ];
    for (row, console, expected) in table {
        let found = problems(&console);
        assert!(found.contains(expected) && expected.is_empty() == found.is_empty(), "{row}:\n{found}");
    }
}
