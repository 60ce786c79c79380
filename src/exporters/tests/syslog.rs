//! The syslog exporter against a receiver that takes nothing but RFC 5424, and against rsyslog.

use std::{
    collections::BTreeMap,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use opentelemetry_proto::tonic::{
    common::v1::{KeyValueList, any_value::Value},
    logs::v1::LogRecord,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    net::{TcpListener, UdpSocket, UnixListener},
};

use super::{
    super::{
        alert::sample::{AT, alert, batch, record},
        syslog,
    },
    build,
    destination::soon,
    secure::Authority,
};
use crate::{
    config::Kind,
    otlp::sample::{pair, value},
    pipeline::{Batch, Outcome, probe},
};

const RETRY: &str = "retry_on_failure: {initial_interval: 10ms, max_interval: 20ms}";

/// One message, taken apart.
#[derive(Clone, Debug, Default, PartialEq)]
struct Parsed {
    priority: u8,
    time: String,
    host: String,
    application: String,
    process: String,
    kind: String,
    data: Vec<(String, Vec<(String, String)>)>,
    text: String,
}

impl Parsed {
    fn values(&self, element: &str, name: &str) -> Vec<&str> {
        let element = self.data.iter().filter(|(id, _)| id == element);
        element.flat_map(|(_, all)| all).filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
    }

    fn id(&self) -> &str {
        self.values("sekisho@32473", "id").first().copied().unwrap_or_default()
    }
}

/// RFC 5424, section 6, and nothing else.
fn parse(message: &str) -> Parsed {
    let (priority, rest) = message.strip_prefix('<').unwrap().split_once('>').unwrap();
    let rest = rest.strip_prefix("1 ").unwrap_or_else(|| panic!("version 1: {message}"));
    let mut parts = rest.splitn(6, ' ');
    let mut field = |most: usize| {
        let word = parts.next().unwrap();
        assert!((1..=most).contains(&word.len()) && word.bytes().all(|byte| (33..=126).contains(&byte)), "{word}");
        word.to_owned()
    };
    let (time, host, application, process, kind) = (field(32), field(255), field(48), field(128), field(32));
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert!(["-", "0000-00-00T00:00:00.000000Z"].contains(&shape.as_str()), "{time}");
    let priority: u8 = priority.parse().unwrap();
    assert!(priority <= 191);
    let (data, text) = structured_data(parts.next().unwrap());
    Parsed { priority, time, host, application, process, kind, data, text }
}

fn structured_data(rest: &str) -> (Vec<(String, Vec<(String, String)>)>, String) {
    let name = |text: &str| {
        let fit = |byte: u8| (33..=126).contains(&byte) && !b"=]\"".contains(&byte);
        assert!((1..=32).contains(&text.len()) && text.bytes().all(fit), "no name: {text}");
        text.to_owned()
    };
    if let Some(text) = rest.strip_prefix('-') {
        return (Vec::new(), text.strip_prefix(' ').unwrap_or_default().to_owned());
    }
    let (mut elements, mut rest): (Vec<(String, Vec<_>)>, _) = (Vec::new(), rest);
    while let Some(element) = rest.strip_prefix('[') {
        let end = element.find([' ', ']']).unwrap();
        let id = name(&element[..end]);
        assert!(elements.iter().all(|(known, _)| *known != id), "{id} is there twice");
        let mut parameters = Vec::new();
        rest = &element[end..];
        while let Some(parameter) = rest.strip_prefix(' ') {
            let (key, quoted) = parameter.split_once("=\"").unwrap();
            let (mut value, mut chars) = (String::new(), quoted.char_indices());
            let end = loop {
                match chars.next().unwrap() {
                    (at, '"') => break at,
                    (_, ']') => panic!("a bracket must be escaped: {quoted}"),
                    (_, '\\') => {
                        let (_, escaped) = chars.next().unwrap();
                        assert!(['"', '\\', ']'].contains(&escaped), "needlessly escaped: {escaped}");
                        value.push(escaped);
                    }
                    (_, c) => value.push(c),
                }
            };
            parameters.push((name(key), value));
            rest = &quoted[end + 1..];
        }
        rest = rest.strip_prefix(']').unwrap();
        elements.push((id, parameters));
    }
    (elements, rest.strip_prefix(' ').unwrap().to_owned())
}

/// RFC 6587: lengths and messages, or lines.
fn messages(mut bytes: &[u8], counted: bool) -> Vec<String> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let message;
        if counted {
            let space = bytes.iter().position(|byte| *byte == b' ').unwrap();
            let length: usize = std::str::from_utf8(&bytes[..space]).unwrap().parse().unwrap();
            (message, bytes) = bytes[space + 1..].split_at(length);
        } else {
            let end = bytes.iter().position(|byte| *byte == b'\n').unwrap();
            message = &bytes[..end];
            bytes = &bytes[end + 1..];
        }
        found.push(String::from_utf8(message.to_vec()).unwrap());
    }
    found
}

async fn heard(mut stream: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    bytes
}

fn text(text: &str) -> Value {
    Value::StringValue(text.to_owned())
}

fn story() -> Batch {
    batch(vec![
        record("inc-1", "opened", "page"),
        record("inc-1", "updated", "page"),
        record("inc-1", "resolved", "page"),
    ])
}

#[tokio::test]
async fn alerts_are_structured_data_over_every_network() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let ca = directory.path().join("ca.pem");
    std::fs::write(&ca, &authority.1).unwrap();
    let socket = directory.path().join("socket");
    let rows = [
        ("tcp, lines", "tls: {insecure: true}".to_owned(), false),
        ("tcp, counted", "enable_octet_counting: true, tls: {insecure: true}".to_owned(), true),
        ("tls, counted", format!("enable_octet_counting: true, tls: {{ca_file: {}}}", ca.display()), true),
        ("unix", format!("network: unix, endpoint: {}", socket.display()), false),
    ];
    for (row, settings, counted) in rows {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = tcp.local_addr().unwrap().port();
        let unix = settings.contains("unix").then(|| UnixListener::bind(&socket).unwrap());
        let tls = settings.contains("ca_file").then(|| authority.server("localhost", false));
        let endpoint = if unix.is_some() { "" } else { "endpoint: localhost, " };
        let (exporter, _) = build::<syslog::Config>(&format!("{{{endpoint}port: {port}, {settings}, {RETRY}}}"));
        let receiver = tokio::spawn(async move {
            match (unix, tls) {
                (Some(unix), _) => heard(unix.accept().await.unwrap().0).await,
                (_, Some(tls)) => heard(tls.accept(tcp.accept().await.unwrap().0).await.unwrap()).await,
                _ => heard(tcp.accept().await.unwrap().0).await,
            }
        });
        assert_eq!(exporter.consume(story()).await, Outcome::Accepted);
        soon("draining", exporter.drain()).await;
        let bytes = soon(row, receiver).await.unwrap();
        let found: Vec<Parsed> = messages(&bytes, counted).iter().map(|message| parse(message)).collect();
        let kinds: Vec<(&str, &str, u8)> =
            found.iter().map(|one| (one.id(), one.kind.as_str(), one.priority % 8)).collect();
        assert_eq!(kinds, [("inc-1", "opened", 1), ("inc-1", "updated", 1), ("inc-1", "resolved", 5)], "{row}");
        let first = &found[0];
        assert_eq!(first.priority / 8, 20, "{row}");
        assert_eq!((first.time.as_str(), first.host.as_str()), ("2026-11-23T14:02:09.000000Z", "checkout"), "{row}");
        let said = |name| first.values("sekisho@32473", name);
        assert_eq!(said("cloud.account.id"), ["123456789012"]);
        assert_eq!(said("technique"), ["T1041 (new destination)"]);
        assert_eq!(said("invocation"), ["i-1", "i-2", "i-3", "i-4"]);
        assert!(first.text.starts_with("checkout v7 talks to 198.51.100.23"), "{}", first.text);
        let revisions: Vec<_> = found.iter().flat_map(|one| one.values("sekisho@32473", "revision")).collect();
        assert!(revisions[0] != revisions[1] && revisions[1] != revisions[2], "{revisions:?}");
    }
}

#[tokio::test]
async fn other_records_are_what_the_collector_makes_of_them() {
    let receiver = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = receiver.local_addr().unwrap().port();
    let inner = KeyValueList { values: vec![pair("Realm", text("a]\"\\b")), pair("PEN", Value::IntValue(27389))] };
    let data = KeyValueList { values: vec![pair("SecureAuth@27389", Value::KvlistValue(inner))] };
    let told = LogRecord {
        time_unix_nano: 1_438_811_939_693_012_000,
        attributes: vec![
            pair("priority", Value::IntValue(86)),
            pair("hostname", text("192.168.2.132")),
            pair("appname", text("SecureAuth0")),
            pair("proc_id", text("23108")),
            pair("msg_id", text("ID52020")),
            pair("message", text("Found the user")),
            pair("structured_data", Value::KvlistValue(data)),
        ],
        ..LogRecord::default()
    };
    let plain = LogRecord {
        observed_time_unix_nano: AT,
        severity_number: 17,
        body: value(text("two\nlines\u{1b}[31m")),
        trace_id: vec![0xab; 16],
        ..LogRecord::default()
    };
    let hostile = LogRecord {
        attributes: vec![
            pair("hostname", text("a b\n<1>1")),
            pair("priority", Value::IntValue(1000)),
            pair("structured_data", text("[forged]")),
        ],
        body: value(text(&"é".repeat(10_000))),
        ..LogRecord::default()
    };
    let (exporter, _) =
        build::<syslog::Config>(&format!("{{endpoint: 127.0.0.1, port: {port}, network: udp, {RETRY}}}"));
    exporter.consume(batch(vec![told, plain, hostile])).await;
    soon("draining", exporter.drain()).await;
    let mut found = Vec::new();
    for _ in 0..3 {
        let mut datagram = vec![0; 70_000];
        let length = soon("a datagram", receiver.recv(&mut datagram)).await.unwrap();
        assert!(length <= 8192);
        found.push(String::from_utf8(datagram[..length].to_vec()).unwrap());
    }
    assert_eq!(
        found[0],
        "<86>1 2015-08-05T21:58:59.693012Z 192.168.2.132 SecureAuth0 23108 ID52020 \
         [SecureAuth@27389 PEN=\"27389\" Realm=\"a\\]\\\"\\\\b\"] Found the user"
    );
    let plain = parse(&found[1]);
    assert_eq!((plain.priority, plain.text.as_str()), (163, "two\nlines [31m"));
    assert_eq!(plain.values("sekisho@32473", "traceId"), ["ab".repeat(16)]);
    let hostile = parse(&found[2]);
    assert_eq!((hostile.priority, hostile.host.as_str(), hostile.data.len()), (165, "a_b_<1>1", 0));
}

#[tokio::test]
async fn nobody_forges_a_message_and_old_receivers_get_old_messages() {
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = tcp.local_addr().unwrap().port();
    let (exporter, _) = build::<syslog::Config>(&format!(
        "{{endpoint: 127.0.0.1, port: {port}, protocol: rfc3164, tls: {{insecure: true}}, {RETRY}}}"
    ));
    let receiver = tokio::spawn(async move { heard(tcp.accept().await.unwrap().0).await });
    let forged = LogRecord {
        time_unix_nano: 1_697_062_455_000_000_000,
        attributes: vec![
            pair("priority", Value::IntValue(34)),
            pair("hostname", text("mymachine")),
            pair("appname", text("su")),
            pair("message", text("failed\n<0>Oct 11 22:14:15 root: everything is well")),
        ],
        ..LogRecord::default()
    };
    exporter.consume(batch(vec![forged])).await;
    soon("draining", exporter.drain()).await;
    let bytes = soon("the end", receiver).await.unwrap();
    assert_eq!(
        String::from_utf8(bytes).unwrap(),
        "<34>Oct 11 22:14:15 mymachine su: failed <0>Oct 11 22:14:15 root: everything is well\n"
    );
}

#[tokio::test]
async fn a_receiver_that_is_away_or_hangs_up_misses_nothing() {
    let reserved = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = reserved.local_addr().unwrap();
    drop(reserved);
    let settings = format!("{{endpoint: 127.0.0.1, port: {}, tls: {{insecure: true}}, {RETRY}}}", address.port());
    let (exporter, context) = build::<syslog::Config>(&settings);
    exporter.consume(alert("inc-1", "opened", "page")).await;
    let attempts = || context.metrics.sum("otelcol_exporter_queue_batch_send_size", None);
    let begun = Instant::now();
    while attempts() < 1.0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "it was never tried");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let listener = TcpListener::bind(address).await.unwrap();
    let mut found = Vec::new();
    for state in ["opened", "updated", "resolved"] {
        if state != "opened" {
            exporter.consume(alert("inc-1", state, "page")).await;
        }
        let (mut stream, _) = soon("a connection", listener.accept()).await.unwrap();
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            line.push(soon("a line", stream.read_u8()).await.unwrap());
        }
        found.extend(messages(&line, false).iter().map(|message| parse(message).kind));
        // Hangs up here; the next message takes a new connection.
        drop(stream);
    }
    assert_eq!(found, ["opened", "updated", "resolved"]);
    soon("draining", exporter.drain()).await;
    assert_eq!(context.metrics.sum("otelcol_exporter_sent_log_records", None) as u64, 3);
}

/// Stops what a test has started.
struct Child(std::process::Child);

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Scenario: Debian's rsyslog, started for this, writes what it understood.
/// Guarantees: it takes an incident apart as we put it together, counted and in lines.
#[tokio::test]
async fn rsyslog_understands_every_word() {
    for counted in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str| directory.path().join(name);
        let (port_file, out) = (file("port"), file("out"));
        let configuration = format!(
            "module(load=\"imtcp\")\nmodule(load=\"mmpstrucdata\")\n\
             template(name=\"row\" type=\"string\" string=\"%pri%|%hostname%|%app-name%|%msgid%|%$!rfc5424-sd%|%msg%\\n\")\n\
             input(type=\"imtcp\" address=\"127.0.0.1\" port=\"0\" listenPortFileName=\"{}\" ruleset=\"all\")\n\
             ruleset(name=\"all\") {{ action(type=\"mmpstrucdata\") \
             action(type=\"omfile\" file=\"{}\" template=\"row\") }}\n",
            port_file.display(),
            out.display()
        );
        std::fs::write(file("rsyslog.conf"), configuration).unwrap();
        let started = Command::new("rsyslogd")
            .args(["-n", "-f"])
            .arg(file("rsyslog.conf"))
            .arg("-i")
            .arg(file("pid"))
            .env("PATH", format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default()))
            .stderr(Stdio::null())
            .spawn();
        let _child = match started {
            Ok(child) => Child(child),
            Err(error) => {
                // On a laptop it is passed over; where everything is installed that must not go unnoticed.
                let everything = std::env::var_os("CI").is_some_and(|value| value == "true");
                assert!(!everything, "rsyslogd does not start: {error}");
                return;
            }
        };
        let port = eventually(|| std::fs::read_to_string(&port_file).ok()?.trim().parse::<u16>().ok()).await;
        let (exporter, _) = build::<syslog::Config>(&format!(
            "{{endpoint: 127.0.0.1, port: {port}, enable_octet_counting: {counted}, tls: {{insecure: true}}, {RETRY}}}"
        ));
        exporter.consume(story()).await;
        soon("draining", exporter.drain()).await;
        let rows = eventually(|| {
            let text = std::fs::read_to_string(&out).ok()?;
            (text.lines().count() == 3).then(|| text.lines().map(ToOwned::to_owned).collect::<Vec<_>>())
        })
        .await;
        let kinds: Vec<Vec<&str>> = rows.iter().map(|row| row.splitn(6, '|').collect()).collect();
        for (row, kind) in kinds.iter().zip(["opened", "updated", "resolved"]) {
            assert_eq!((row[1], row[2], row[3]), ("checkout", "sekisho", kind), "{row:?}");
            let data: BTreeMap<String, BTreeMap<String, String>> = serde_json::from_str(row[4]).unwrap();
            let ours = &data["sekisho@32473"];
            assert_eq!((ours["id"].as_str(), ours["state"].as_str()), ("inc-1", kind), "{row:?}");
        }
        assert!(kinds[0][5].contains("talks to 198.51.100.23"), "{rows:?}");
    }
}

async fn eventually<T>(mut probe: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "not within half a minute");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn the_configuration_is_checked() {
    #[rustfmt::skip]
    let table = [
        ("{endpoint: siem.example.com}", ""),
        ("{endpoint: '::1', port: 6514, enable_octet_counting: true}", ""),
        ("{endpoint: /run/log, network: unix}", ""),
        ("{}", "endpoint"),
        ("{endpoint: 'siem.example.com:514'}", "`port`"),
        ("{endpoint: 'tcp://siem.example.com'}", "`port`"),
        ("{endpoint: siem.example.com, port: 0}", "port"),
        ("{endpoint: siem.example.com, facility: 24}", "facility"),
        ("{endpoint: siem.example.com, network: tls}", "one of tcp, udp, unix"),
        ("{endpoint: siem.example.com, network: udp, enable_octet_counting: true}", "datagram"),
        ("{endpoint: siem.example.com, network: udp, tls: {insecure_skip_verify: true}}", "network: tcp"),
        ("{endpoint: siem.example.com, timeout: 0}", "timeout"),
        ("{endpoint: siem.example.com, sending_queue: {num_consumers: 4}}", "in order"),
    ];
    for (yaml, wrong) in table {
        let (_, said) = probe::config::<syslog::Config>(Kind::Exporter, yaml);
        assert_eq!(said.is_empty(), wrong.is_empty(), "{yaml}: {said}");
        assert!(said.contains(wrong), "{yaml}: {said}");
    }
}
