//! Text forms of field types.

use std::time::Duration;

use super::super::{ByteSize, Endpoint, Rate, Secret, duration, nearest};

#[test]
fn durations() {
    let good = [
        ("0", 0),
        ("0s", 0),
        ("300ms", 300_000),
        ("1.5s", 1_500_000),
        ("1h30m", 5_400_000_000),
        ("2m3s4ms", 123_004_000),
        ("7d", 604_800_000_000),
        (" 5us ", 5),
        ("5µs", 5),
        (".5s", 500_000),
    ];
    for (text, micros) in good {
        assert_eq!(duration::parse(text), Ok(Duration::from_micros(micros)), "{text}");
    }
    for text in ["", "s", "5", "1.5", "-1s", "1x", "1s2", "1..5s", "s1", "99999999h", "1e3s", "٣s", "5 s", "."] {
        assert!(duration::parse(text).is_err(), "{text}");
    }
    for micros in [0, 1, 1_500_000, 5_400_000_000, 123_004_567] {
        let duration = Duration::from_micros(micros);
        assert_eq!(duration::parse(&duration::format(duration)), Ok(duration));
    }
}

#[test]
fn sizes() {
    let good = [
        ("0", 0),
        ("17", 17),
        ("512KiB", 524_288),
        ("20 MiB", 20 << 20),
        ("1.5GiB", 3 << 29),
        ("10MB", 10_000_000),
        ("1gib", 1 << 30),
    ];
    for (text, bytes) in good {
        assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        assert_eq!(ByteSize(bytes).to_string().parse(), Ok(ByteSize(bytes)), "{text}");
    }
    for text in ["", "MiB", "-1", "1.5", "1e3", "20 miles", "99999999999TiB", "1..5MiB"] {
        assert!(text.parse::<ByteSize>().is_err(), "{text}");
    }
}

#[test]
fn rates() {
    for (text, per_day) in
        [("1/week", 1.0 / 7.0), ("3/day", 3.0), ("0.5/day", 0.5), ("0/week", 0.0), ("24 / day", 24.0)]
    {
        let rate: Rate = text.parse().expect(text);
        assert!((rate.per_day() - per_day).abs() < 1e-12, "{text}");
        let again: Rate = rate.to_string().parse().expect(text);
        assert!((again.per_day() - per_day).abs() < 1e-8, "{rate}");
    }
    for text in ["", "1", "/week", "x/week", "1/", "1/fortnight", "-1/day", "nan/day", "inf/day"] {
        assert!(text.parse::<Rate>().is_err(), "{text}");
    }
}

#[test]
fn endpoints() {
    for (text, host, port) in
        [("localhost:4317", "localhost", 4317), (":0", "", 0), ("[::1]:80", "::1", 80), ("0.0.0.0:1", "0.0.0.0", 1)]
    {
        let endpoint: Endpoint = text.parse().expect(text);
        assert_eq!((endpoint.host.as_str(), endpoint.port, endpoint.to_string().as_str()), (host, port, text));
    }
    for text in
        ["", "4317", "localhost", "a:b", "a:70000", "::1:80", "[::1:80", "[x]:80", "http://a:1", "a b:1", "u@h:1"]
    {
        assert!(text.parse::<Endpoint>().is_err(), "{text}");
    }
}

#[test]
fn secrets_are_not_shown() {
    let secret = Secret::new("hunter2");
    assert_eq!(format!("{secret:?}"), "[redacted]");
    assert_eq!(serde_json::to_string(&secret).expect("json"), "\"[redacted]\"");
    assert_eq!(secret.expose(), "hunter2");
}

#[test]
fn the_nearest_name() {
    let names = ["endpoint", "timeout", "headers", "tls", "retry_on_failure", "file_path"];
    for (name, near) in [
        ("endpont", Some("endpoint")),
        ("Timeout", Some("timeout")),
        ("retryOnFailure", Some("retry_on_failure")),
        ("tsl", Some("tls")),
        ("path", Some("file_path")),
        ("zzz", None),
        ("", None),
    ] {
        assert_eq!(nearest(name, names), near, "{name}");
    }
}
