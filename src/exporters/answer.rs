//! What a destination's answer means for the batch: OTLP 1.11, read from the other side.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode, header};
use tonic::{Code, Status};

use crate::{
    otlp::{
        view::messages,
        wire::{Fields, Value},
    },
    pipeline::Outcome,
};

/// What is kept of a destination's words.
const LONGEST_TEXT: usize = 500;

/// A gRPC call that ended with `status`; `response` is the message of a successful one.
pub fn of_grpc(status: &Status, response: &[u8]) -> Outcome {
    let reason = || match status.message() {
        "" => format!("the destination answered {:?}", status.code()),
        message => format!("the destination answered {:?}: {}", status.code(), words(message.as_bytes())),
    };
    let after = retry_info(status.details());
    match status.code() {
        Code::Ok => of_response(response),
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => Outcome::Retryable { after, reason: reason() },
        // Retryable only if the destination says when: otherwise it will never have room.
        Code::ResourceExhausted if after.is_some() => Outcome::Retryable { after, reason: reason() },
        _ => Outcome::Permanent { reason: reason() },
    }
}

/// An HTTP response.
pub fn of_http(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Outcome {
    let kind = headers.get(header::CONTENT_TYPE).map_or(&[][..], |kind| kind.as_bytes());
    if status.is_success() {
        return match kind {
            b"" | b"application/x-protobuf" => of_response(body),
            kind if kind.starts_with(b"application/json") => of_json_response(body),
            // A page that says "thank you", not OTLP.
            _ => Outcome::Accepted,
        };
    }
    if let Some(elsewhere) = headers.get(header::LOCATION).filter(|_| status.is_redirection()) {
        let elsewhere = words(elsewhere.as_bytes());
        return Outcome::Permanent {
            reason: format!("the destination answered {status}: it has moved to {elsewhere}"),
        };
    }
    let told = text_of(kind, body);
    let reason = if told.is_empty() {
        format!("the destination answered {status}")
    } else {
        format!("the destination answered {status}: {told}")
    };
    match status.as_u16() {
        429 | 502 | 503 | 504 => Outcome::Retryable { after: retry_after(headers), reason },
        _ => Outcome::Permanent { reason },
    }
}

/// The answer of an API that is not OTLP: an alert is worth another try whenever the other side may be to blame.
pub fn of_api(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Outcome {
    if status.is_success() {
        return Outcome::Accepted;
    }
    let kind = headers.get(header::CONTENT_TYPE).map_or(&[][..], |kind| kind.as_bytes());
    let told = text_of(kind, body);
    let colon = if told.is_empty() { "" } else { ": " };
    let reason = format!("the destination answered {status}{colon}{told}");
    match status.as_u16() {
        408 | 425 | 429 | 500 | 502..=504 | 520..=599 => Outcome::Retryable { after: retry_after(headers), reason },
        _ => Outcome::Permanent { reason },
    }
}

/// A response to Prometheus remote write 1.0: whatever is the server's fault, or too much for it, may be sent again.
pub fn of_remote_write(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Outcome {
    if status.is_success() {
        return Outcome::Accepted;
    }
    let reason = format!("the destination answered {status}: {}", words(body));
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        Outcome::Retryable { after: retry_after(headers), reason }
    } else {
        Outcome::Permanent { reason }
    }
}

/// `Export…ServiceResponse`: the same shape for the three signals.
fn of_response(response: &[u8]) -> Outcome {
    let (mut rejected, mut message) = (0, String::new());
    for (number, value) in messages(response, 1).flat_map(Fields::new) {
        match (number, value) {
            // Negative counts are nonsense.
            (1, Value::Varint(count)) => rejected = u64::try_from(count.cast_signed()).unwrap_or(0),
            (2, Value::Bytes(text)) => message = words(text),
            _ => {}
        }
    }
    partial(rejected, message)
}

fn of_json_response(body: &[u8]) -> Outcome {
    let response: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let partial_success = &response["partialSuccess"];
    let rejected = ["rejectedSpans", "rejectedDataPoints", "rejectedLogRecords"].into_iter().find_map(|name| {
        let count = &partial_success[name];
        count.as_u64().or_else(|| count.as_str()?.parse().ok())
    });
    let message = partial_success["errorMessage"].as_str().unwrap_or_default();
    partial(rejected.unwrap_or(0), words(message.as_bytes()))
}

fn partial(rejected: u64, message: String) -> Outcome {
    if rejected > 0 {
        return Outcome::Partial { rejected, message };
    }
    if !message.is_empty() {
        tracing::warn!(warning = message, "the destination took everything, with a warning");
    }
    Outcome::Accepted
}

/// The delay in the `RetryInfo` of a serialised `google.rpc.Status`.
fn retry_info(details: &[u8]) -> Option<Duration> {
    messages(details, 3).find_map(|any| {
        let url = messages(any, 1).last()?;
        if !url.ends_with(b"google.rpc.RetryInfo") {
            return None;
        }
        let delay = messages(messages(any, 2).last()?, 1).last()?;
        let (mut seconds, mut nanos) = (0_u64, 0_u64);
        for field in Fields::new(delay) {
            match field {
                (1, Value::Varint(value)) => seconds = value,
                (2, Value::Varint(value)) => nanos = value,
                _ => {}
            }
        }
        // Negative or absurd: as good as none. The caller bounds what is merely long.
        Some(Duration::new(u32::try_from(seconds).ok()?.into(), u32::try_from(nanos).ok()?.min(999_999_999)))
    })
}

/// `Retry-After`, in seconds or as a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse::<u32>() {
        return Some(Duration::from_secs(u64::from(seconds)));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

/// What an error body says, for people: the message of a `google.rpc.Status`, or its first words.
fn text_of(kind: &[u8], body: &[u8]) -> String {
    let text = if kind.starts_with(b"application/x-protobuf") {
        messages(body, 2).last().map(words)
    } else if kind.starts_with(b"application/json") {
        let status: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
        status["message"].as_str().map(|text| words(text.as_bytes()))
    } else {
        None
    };
    text.unwrap_or_else(|| words(body))
}

/// A destination's words, at a length for people.
fn words(text: &[u8]) -> String {
    String::from_utf8_lossy(text.get(..LONGEST_TEXT).unwrap_or(text)).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::{otlp::wire, pipeline::outcome::answer};

    /// Our own receiver's answers are the fixture: what it says is what the exporter understands.
    #[test]
    fn grpc_statuses_mean_what_otlp_says() {
        let second = Duration::from_secs(1);
        let table = [
            (Code::Cancelled, true),
            (Code::Unknown, false),
            (Code::InvalidArgument, false),
            (Code::DeadlineExceeded, true),
            (Code::NotFound, false),
            (Code::AlreadyExists, false),
            (Code::PermissionDenied, false),
            (Code::ResourceExhausted, false),
            (Code::FailedPrecondition, false),
            (Code::Aborted, true),
            (Code::OutOfRange, true),
            (Code::Unimplemented, false),
            (Code::Internal, false),
            (Code::Unavailable, true),
            (Code::DataLoss, true),
            (Code::Unauthenticated, false),
        ];
        for (code, retryable) in table {
            let outcome = of_grpc(&Status::new(code, "why"), &[]);
            assert_eq!(matches!(outcome, Outcome::Retryable { after: None, .. }), retryable, "{code:?}");
            assert_eq!(matches!(outcome, Outcome::Permanent { .. }), !retryable, "{code:?}");
        }
        let full = answer(&Ok(Outcome::Overloaded { after: second }));
        let status = Status::with_details(full.grpc, "full", full.status().into());
        assert!(matches!(of_grpc(&status, &[]), Outcome::Retryable { after: Some(after), .. } if after == second));
    }

    #[test]
    fn partial_successes_are_read() {
        let refused = Outcome::Partial { rejected: 7, message: "bad ids".into() };
        let response = answer(&Ok(refused.clone())).response();
        assert_eq!(of_grpc(&Status::new(Code::Ok, ""), &response), refused);
        assert_eq!(of_grpc(&Status::new(Code::Ok, ""), &[]), Outcome::Accepted);
        assert_eq!(of_http(StatusCode::OK, &HeaderMap::new(), &response), refused);
        let mut json = HeaderMap::new();
        json.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let body = br#"{"partialSuccess":{"rejectedLogRecords":"7","errorMessage":"bad ids"}}"#;
        assert_eq!(of_http(StatusCode::OK, &json, body), refused);
    }

    #[test]
    fn what_a_destination_may_send_by_mistake_does_no_harm() {
        let delay = |seconds: i64, nanos: i64| {
            let mut delay = Vec::new();
            for (tag, value) in [(8, seconds), (16, nanos)] {
                wire::put_varint(&mut delay, tag);
                wire::put_varint(&mut delay, value.cast_unsigned());
            }
            let (mut info, mut any, mut status) = (Vec::new(), Vec::new(), Vec::new());
            wire::put_bytes(&mut info, 1, &delay);
            wire::put_bytes(&mut any, 1, b"type.googleapis.com/google.rpc.RetryInfo");
            wire::put_bytes(&mut any, 2, &info);
            wire::put_bytes(&mut status, 3, &any);
            retry_info(&status)
        };
        let table = [
            ("a second and a half", delay(1, 500_000_000), Some(Duration::from_millis(1500))),
            ("negative seconds", delay(-1, 0), None),
            ("negative nanoseconds", delay(1, -1), None),
            ("more nanoseconds than a second has", delay(0, 4_000_000_000), Some(Duration::from_nanos(999_999_999))),
            ("longer than anything lasts", delay(i64::MAX, 0), None),
            ("no status at all", retry_info(b"\xff\xff"), None),
        ];
        for (row, found, expected) in table {
            assert_eq!(found, expected, "{row}");
        }

        let (mut partial, mut response) = (Vec::new(), Vec::new());
        wire::put_varint(&mut partial, 8);
        wire::put_varint(&mut partial, (-5_i64).cast_unsigned());
        wire::put_bytes(&mut response, 1, &partial);
        assert_eq!(of_grpc(&Status::new(Code::Ok, ""), &response), Outcome::Accepted, "minus five rejected");

        let long = "é".repeat(10_000);
        let Outcome::Permanent { reason } = of_http(StatusCode::BAD_REQUEST, &HeaderMap::new(), long.as_bytes()) else {
            panic!("400 is final");
        };
        assert!(reason.len() < 2 * LONGEST_TEXT, "only the first words are kept");
    }

    #[test]
    fn only_otlp_answers_are_read_as_such_and_redirections_are_final() {
        let headers = |name, value| HeaderMap::from_iter([(name, HeaderValue::from_static(value))]);
        let refused = answer(&Ok(Outcome::Partial { rejected: 7, message: String::new() })).response();
        let page = headers(header::CONTENT_TYPE, "text/html");
        assert_eq!(of_http(StatusCode::OK, &page, &refused), Outcome::Accepted);
        let moved = headers(header::LOCATION, "https://elsewhere.example.com/");
        for status in [301, 302, 307, 308] {
            let outcome = of_http(StatusCode::from_u16(status).unwrap(), &moved, b"");
            assert!(matches!(outcome, Outcome::Permanent { reason } if reason.contains("elsewhere")), "{status}");
        }
    }

    #[test]
    fn http_statuses_mean_what_otlp_says() {
        for status in [400, 401, 403, 404, 405, 413, 415, 500, 501] {
            let outcome = of_http(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), b"why");
            assert!(matches!(outcome, Outcome::Permanent { reason } if reason.contains("why")), "{status}");
        }
        let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_mins(2));
        let table = [("", None), ("7", Some(7)), (date.as_str(), Some(119)), ("soon", None)];
        for status in [429, 502, 503, 504] {
            for (value, seconds) in &table {
                let mut headers = HeaderMap::new();
                headers.insert(header::RETRY_AFTER, HeaderValue::from_str(value).unwrap());
                let Outcome::Retryable { after, .. } = of_http(StatusCode::from_u16(status).unwrap(), &headers, b"")
                else {
                    panic!("{status} must be retryable");
                };
                match seconds {
                    None => assert_eq!(after, None, "{status} {value}"),
                    Some(seconds) => assert!(after.unwrap().as_secs().abs_diff(*seconds) <= 1, "{status} {value}"),
                }
            }
        }
    }

    #[test]
    fn error_bodies_are_shown_in_words() {
        let refused = answer(&Ok(Outcome::Permanent { reason: "disk on fire".into() }));
        let mut protobuf = HeaderMap::new();
        protobuf.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        let outcome = of_http(StatusCode::INTERNAL_SERVER_ERROR, &protobuf, &refused.status());
        assert!(matches!(outcome, Outcome::Permanent { reason } if reason.ends_with(": disk on fire")));
    }
}
