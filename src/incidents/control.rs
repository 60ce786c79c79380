//! The control API: its words (`proto/sekisho/control/v1/control.proto`) as protobuf and as JSON, its calls, and whoever
//! answers them.

use std::{future::Future, pin::Pin, sync::Arc};

use prost::Message;
use serde::Serialize;
use tokio::sync::broadcast;

#[allow(missing_docs, clippy::pedantic, rustdoc::all, reason = "generated")]
pub mod proto {
    include!(concat!(env!("OUT_DIR"), "/sekisho.control.v1.rs"));
}

/// Why a call was not answered: a `google.rpc.Status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// As in `google.rpc.Code`.
    pub code: u32,
    /// A sentence for people.
    pub message: String,
    /// None yet.
    details: [(); 0],
}

impl Fault {
    const fn new(code: u32, message: String) -> Self {
        Self { code, message, details: [] }
    }

    /// The request makes no sense.
    pub const fn invalid(message: String) -> Self {
        Self::new(3, message)
    }

    /// What it names is not there.
    pub const fn not_found(message: String) -> Self {
        Self::new(5, message)
    }

    /// Whoever asks may not.
    pub const fn forbidden(message: String) -> Self {
        Self::new(7, message)
    }

    /// There is no room.
    pub const fn exhausted(message: String) -> Self {
        Self::new(8, message)
    }

    /// Not in the state it is in.
    pub const fn conflict(message: String) -> Self {
        Self::new(9, message)
    }

    /// There is no such call.
    pub const fn unimplemented(message: String) -> Self {
        Self::new(12, message)
    }

    /// Our own fault.
    pub const fn internal(message: String) -> Self {
        Self::new(13, message)
    }

    /// Not now.
    pub const fn unavailable(message: String) -> Self {
        Self::new(14, message)
    }

    /// It is not known who asks.
    pub const fn unauthenticated(message: String) -> Self {
        Self::new(16, message)
    }

    /// The status of HTTP that says the same.
    pub const fn http_status(&self) -> u16 {
        match self.code {
            3 => 400,
            5 => 404,
            7 => 403,
            8 => 429,
            9 => 409,
            12 => 501,
            14 => 503,
            16 => 401,
            _ => 500,
        }
    }
}

/// One call of the service, but for the two that answer with a stream.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the schema documents them")]
pub enum Call {
    ListIncidents(proto::ListIncidentsRequest),
    GetIncident(proto::GetIncidentRequest),
    PreviewVerdict(proto::GiveVerdictRequest),
    GiveVerdict(proto::GiveVerdictRequest),
    UndoVerdict(proto::UndoVerdictRequest),
    ListVerdicts(proto::ListVerdictsRequest),
    ListFunctions(proto::ListFunctionsRequest),
    GetFunction(proto::GetFunctionRequest),
    GetFleet(proto::GetFleetRequest),
    ListProposals(proto::ListProposalsRequest),
    Decide(proto::DecideRequest),
}

impl Call {
    /// The call that gRPC names `method`, with its request.
    pub fn decode(method: &str, request: &[u8]) -> Result<Self, Fault> {
        fn read<T: Message + Default>(request: &[u8]) -> Result<T, Fault> {
            T::decode(request).map_err(|error| Fault::invalid(format!("not the message it should be: {error}")))
        }
        Ok(match method {
            "ListIncidents" => Self::ListIncidents(read(request)?),
            "GetIncident" => Self::GetIncident(read(request)?),
            "PreviewVerdict" => Self::PreviewVerdict(read(request)?),
            "GiveVerdict" => Self::GiveVerdict(read(request)?),
            "UndoVerdict" => Self::UndoVerdict(read(request)?),
            "ListVerdicts" => Self::ListVerdicts(read(request)?),
            "ListFunctions" => Self::ListFunctions(read(request)?),
            "GetFunction" => Self::GetFunction(read(request)?),
            "GetFleet" => Self::GetFleet(read(request)?),
            "ListProposals" => Self::ListProposals(read(request)?),
            "Decide" => Self::Decide(read(request)?),
            _ => return Err(Fault::unimplemented("the service has no such method".to_owned())),
        })
    }

    /// The incident that it is about, for the calls that a signed link allows.
    pub fn incident(&self) -> Option<&str> {
        match self {
            Self::GetIncident(request) => Some(&request.id),
            Self::PreviewVerdict(request) | Self::GiveVerdict(request) => Some(&request.incident_id),
            _ => None,
        }
    }

    /// Who is said to ask, where the call says so.
    pub fn author_mut(&mut self) -> Option<&mut String> {
        match self {
            Self::PreviewVerdict(request) | Self::GiveVerdict(request) => Some(&mut request.author),
            Self::UndoVerdict(request) => Some(&mut request.author),
            Self::Decide(request) => Some(&mut request.author),
            _ => None,
        }
    }
}

/// The answer to a [`Call`].
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
#[expect(missing_docs, reason = "the schema documents them")]
pub enum Answer {
    Incidents(proto::ListIncidentsResponse),
    Incident(Box<proto::IncidentDetail>),
    Preview(Box<proto::VerdictPreview>),
    Verdict(Box<proto::Verdict>),
    Verdicts(proto::ListVerdictsResponse),
    Functions(proto::ListFunctionsResponse),
    Function(Box<proto::FunctionDetail>),
    Fleet(Box<proto::Fleet>),
    Proposals(proto::ListProposalsResponse),
    Proposal(Box<proto::Proposal>),
}

impl Answer {
    /// As gRPC sends it.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Incidents(message) => message.encode_to_vec(),
            Self::Incident(message) => message.encode_to_vec(),
            Self::Preview(message) => message.encode_to_vec(),
            Self::Verdict(message) => message.encode_to_vec(),
            Self::Verdicts(message) => message.encode_to_vec(),
            Self::Functions(message) => message.encode_to_vec(),
            Self::Function(message) => message.encode_to_vec(),
            Self::Fleet(message) => message.encode_to_vec(),
            Self::Proposals(message) => message.encode_to_vec(),
            Self::Proposal(message) => message.encode_to_vec(),
        }
    }
}

/// What comes of a call, later.
pub type Answering<'a> = Pin<Box<dyn Future<Output = Result<Answer, Fault>> + Send + 'a>>;

/// Whoever answers the calls.
pub trait Control: Send + Sync {
    /// Answers one. A verdict that is given or undone is on disk when its answer comes, if there is a disk.
    fn answer(&self, call: Call) -> Answering<'_>;

    /// Every verdict, oldest first.
    fn verdicts(&self) -> Vec<proto::Verdict>;

    /// What changes from now on.
    fn watch(&self) -> broadcast::Receiver<Arc<proto::Event>>;
}

/// Where the [`Control`] of the detector `id` is among what components share; the type there is [`Shared`].
pub fn shared_name(id: &str) -> String {
    format!("incidents::control {id}")
}

/// A [`Control`] as components share it.
pub struct Shared(pub Arc<dyn Control>);

/// 64-bit integers in JSON: written as decimal strings, read as those or as numbers.
pub mod decimal {
    use std::fmt;

    use serde::{Deserializer, Serializer, de};

    /// Writes a decimal string.
    pub fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    /// Reads a decimal string or a number.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        struct Decimal;

        impl de::Visitor<'_> for Decimal {
            type Value = u64;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number of at most 64 bits, as text or number")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<u64, E> {
                text.parse().map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<u64, E> {
                Ok(number)
            }
        }

        deserializer.deserialize_any(Decimal)
    }
}

#[cfg(test)]
mod tests {
    use super::proto::{Fleet, GiveVerdictRequest};

    #[test]
    fn large_integers_are_text_and_every_field_is_there() {
        let fleet = Fleet { started: u64::MAX, functions: 3, ..Fleet::default() };
        let json = serde_json::to_value(&fleet).unwrap();
        assert_eq!(json["started"], "18446744073709551615");
        assert_eq!(json["functions"], 3);
        assert_eq!(json["health"], "");
        assert_eq!(serde_json::from_value::<Fleet>(json).unwrap(), fleet);
    }

    #[test]
    fn a_request_may_leave_fields_out_but_not_invent_any() {
        let read = |json: &str| serde_json::from_str::<GiveVerdictRequest>(json).map_err(|error| error.to_string());
        assert_eq!(read(r#"{"expires_in_seconds": 60}"#).unwrap().expires_in_seconds, 60);
        assert_eq!(read(r#"{"expires_in_seconds": "60"}"#).unwrap().expires_in_seconds, 60);
        #[rustfmt::skip]
        let table = [
            ("negative", r#"{"expires_in_seconds": -1}"#,   "a whole number"),
            ("no number", r#"{"expires_in_seconds": "x"}"#, "a whole number"),
            ("unknown",  r#"{"expires": 60}"#,              "unknown field `expires`"),
        ];
        for (row, json, expected) in table {
            assert!(read(json).unwrap_err().contains(expected), "{row}");
        }
    }
}
