//! What became of a batch, and the one mapping from that to gRPC and HTTP answers (OTLP 1.11).

use std::time::Duration;

use tonic::Code;

use crate::otlp::wire;

/// What became of a batch at its last safe point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All of it was taken.
    Accepted,
    /// Some items can never be taken; the rest was.
    Partial {
        /// Items refused for good.
        rejected: u64,
        /// Why, for the sender.
        message: String,
    },
    /// Not now; the sender should try again.
    Retryable {
        /// When, if known.
        after: Option<Duration>,
        /// Why, for the sender.
        reason: String,
    },
    /// Never; trying again cannot help.
    Permanent {
        /// Why, for the sender.
        reason: String,
    },
    /// The gateway itself is full; the sender should slow down and try again.
    Overloaded {
        /// When to come back.
        after: Duration,
    },
}

impl Outcome {
    /// The outcome of a batch that went two ways: the sender must hear of the worse one.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Partial { rejected: a, message }, Self::Partial { rejected: b, .. }) => {
                Self::Partial { rejected: a.max(b), message }
            }
            (a, b) if b.severity() > a.severity() => b,
            (a, _) => a,
        }
    }

    const fn severity(&self) -> u8 {
        match self {
            Self::Accepted => 0,
            Self::Partial { .. } => 1,
            Self::Permanent { .. } => 2,
            Self::Retryable { .. } => 3,
            Self::Overloaded { .. } => 4,
        }
    }
}

/// Why the door did not let a request in at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The bytes are not what they claim to be.
    #[error("{0}")]
    Malformed(String),
    /// Too large, before or after decompression.
    #[error("request exceeds the limit of {limit} bytes; send smaller batches or raise the receiver's limit")]
    TooLarge {
        /// The limit in force, bytes.
        limit: usize,
    },
    /// A `Content-Type` the door does not read.
    #[error("unsupported content type {0:?}; send application/x-protobuf, application/json or application/grpc")]
    MediaType(String),
    /// A compression the door does not read.
    #[error("unsupported compression {0:?}; send identity, gzip, zstd, snappy, zlib, deflate or lz4")]
    Compression(String),
    /// Only POST is served.
    #[error("method not allowed; use POST")]
    Method,
    /// No such path, or no pipeline takes this signal.
    #[error("{0}")]
    NotFound(String),
    /// The body did not arrive in time.
    #[error("the request body did not arrive in time")]
    Slow,
    /// Who sends is not known.
    #[error("not authenticated: {reason}")]
    Unauthenticated {
        /// What is wrong with what was shown; never what it was.
        reason: String,
        /// How to authenticate, as `WWW-Authenticate` says it.
        challenge: String,
    },
}

/// An answer in both protocols' terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// gRPC status.
    pub grpc: Code,
    /// HTTP status.
    pub http: u16,
    /// `RetryInfo` and `Retry-After`.
    pub retry_after: Option<Duration>,
    /// `WWW-Authenticate`.
    pub challenge: Option<String>,
    /// Items rejected, for `partial_success`.
    pub rejected: u64,
    /// For people; empty on success.
    pub message: String,
}

/// The one mapping from what happened to what the sender hears.
pub fn answer(result: &Result<Outcome, Refusal>) -> Answer {
    let plain =
        |grpc, http, message: String| Answer { grpc, http, retry_after: None, challenge: None, rejected: 0, message };
    match result {
        Ok(Outcome::Accepted) => plain(Code::Ok, 200, String::new()),
        Ok(Outcome::Partial { rejected, message }) => {
            Answer { rejected: *rejected, ..plain(Code::Ok, 200, message.clone()) }
        }
        Ok(Outcome::Retryable { after, reason }) => {
            Answer { retry_after: *after, ..plain(Code::Unavailable, 503, reason.clone()) }
        }
        Ok(Outcome::Permanent { reason }) => plain(Code::Internal, 500, reason.clone()),
        Ok(Outcome::Overloaded { after }) => Answer {
            retry_after: Some(*after),
            ..plain(Code::ResourceExhausted, 429, "the gateway is full; slow down and try again".to_owned())
        },
        Err(refusal) => {
            let (grpc, http) = match refusal {
                Refusal::Malformed(_) => (Code::InvalidArgument, 400),
                Refusal::TooLarge { .. } => (Code::ResourceExhausted, 413),
                Refusal::MediaType(_) => (Code::InvalidArgument, 415),
                Refusal::Compression(_) => (Code::Unimplemented, 415),
                Refusal::Method => (Code::Unimplemented, 405),
                Refusal::NotFound(_) => (Code::Unimplemented, 404),
                // 408 would be final for OTLP clients; a sender that was cut off for a while may well come back.
                Refusal::Slow => (Code::DeadlineExceeded, 503),
                Refusal::Unauthenticated { .. } => (Code::Unauthenticated, 401),
            };
            let challenge = match refusal {
                Refusal::Unauthenticated { challenge, .. } => Some(challenge.clone()),
                _ => None,
            };
            Answer { challenge, ..plain(grpc, http, refusal.to_string()) }
        }
    }
}

impl Answer {
    /// The body of `Export…ServiceResponse`: empty on full success, `partial_success` otherwise.
    pub fn response(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if self.rejected > 0 || !self.message.is_empty() {
            let mut partial = Vec::new();
            if self.rejected > 0 {
                wire::put_varint(&mut partial, 1 << 3);
                wire::put_varint(&mut partial, self.rejected);
            }
            wire::put_bytes(&mut partial, 2, self.message.as_bytes());
            wire::put_bytes(&mut out, 1, &partial);
        }
        out
    }

    /// `google.rpc.Status`, with `RetryInfo` among its details where a delay is known.
    pub fn status(&self) -> Vec<u8> {
        let mut out = Vec::new();
        wire::put_varint(&mut out, 1 << 3);
        wire::put_varint(&mut out, self.grpc as u64);
        wire::put_bytes(&mut out, 2, self.message.as_bytes());
        if let Some(after) = self.retry_after {
            let mut delay = Vec::new();
            wire::put_varint(&mut delay, 1 << 3);
            wire::put_varint(&mut delay, after.as_secs());
            wire::put_varint(&mut delay, 2 << 3);
            wire::put_varint(&mut delay, u64::from(after.subsec_nanos()));
            let mut info = Vec::new();
            wire::put_bytes(&mut info, 1, &delay);
            let mut any = Vec::new();
            wire::put_bytes(&mut any, 1, b"type.googleapis.com/google.rpc.RetryInfo");
            wire::put_bytes(&mut any, 2, &info);
            wire::put_bytes(&mut out, 3, &any);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_result_has_its_grpc_and_http_answer() {
        let second = Duration::from_secs(1);
        let retryable = |after| Ok(Outcome::Retryable { after, reason: "queue full".into() });
        #[rustfmt::skip]
        let table: &[(&str, Result<Outcome, Refusal>, Code, u16, Option<Duration>)] = &[
            ("accepted",              Ok(Outcome::Accepted), Code::Ok, 200, None),
            ("partial is a success",  Ok(Outcome::Partial { rejected: 3, message: "x".into() }), Code::Ok, 200, None),
            ("retryable, no hint",    retryable(None), Code::Unavailable, 503, None),
            ("retryable with hint",   retryable(Some(second)), Code::Unavailable, 503, Some(second)),
            ("permanent is final",    Ok(Outcome::Permanent { reason: "x".into() }), Code::Internal, 500, None),
            ("overloaded is retryable through RetryInfo", Ok(Outcome::Overloaded { after: second }), Code::ResourceExhausted, 429, Some(second)),
            ("malformed",             Err(Refusal::Malformed("x".into())), Code::InvalidArgument, 400, None),
            ("too large is final",    Err(Refusal::TooLarge { limit: 4 }), Code::ResourceExhausted, 413, None),
            ("media type",            Err(Refusal::MediaType("text/plain".into())), Code::InvalidArgument, 415, None),
            ("compression",           Err(Refusal::Compression("br".into())), Code::Unimplemented, 415, None),
            ("method",                Err(Refusal::Method), Code::Unimplemented, 405, None),
            ("unknown path",          Err(Refusal::NotFound("x".into())), Code::Unimplemented, 404, None),
            ("slow body",             Err(Refusal::Slow), Code::DeadlineExceeded, 503, None),
            ("nobody we know",        Err(Refusal::Unauthenticated { reason: "x".into(), challenge: "Bearer".into() }), Code::Unauthenticated, 401, None),
        ];
        for (row, result, grpc, http, after) in table {
            let answer = answer(result);
            assert_eq!((answer.grpc, answer.http, answer.retry_after), (*grpc, *http, *after), "{row}");
        }
    }

    #[test]
    fn partial_success_is_unset_on_full_success_and_set_otherwise() {
        use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
        use prost::Message as _;
        assert!(answer(&Ok(Outcome::Accepted)).response().is_empty());
        let partial = answer(&Ok(Outcome::Partial { rejected: 7, message: "bad ids".into() })).response();
        let decoded = ExportTraceServiceResponse::decode(partial.as_slice()).unwrap().partial_success.unwrap();
        assert_eq!((decoded.rejected_spans, decoded.error_message.as_str()), (7, "bad ids"));
    }

    #[test]
    fn the_worse_of_two_outcomes_is_told() {
        let partial = Outcome::Partial { rejected: 1, message: String::new() };
        let permanent = Outcome::Permanent { reason: String::new() };
        let retryable = Outcome::Retryable { after: None, reason: String::new() };
        assert_eq!(Outcome::Accepted.and(partial.clone()), partial);
        assert_eq!(permanent.clone().and(retryable.clone()), retryable);
        assert_eq!(retryable.clone().and(Outcome::Accepted), retryable);
    }
}
