//! The door: from a request's raw bytes to a checked batch in the pipelines, the same for gRPC and HTTP.
//!
//! Reads within limits, decompresses within limits, transcodes JSON, checks framing, depth and UTF-8 once. Everything
//! behind it may trust the bytes.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, request::Parts};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::admission::{Admission, Admitted};
use crate::{
    otlp::{
        Batch, Signal, check,
        compression::{self, CompressionError, Encoding},
        json,
    },
    pipeline::{
        Outcome,
        component::{Context, Outputs},
        metadata::{self, Metadata},
        outcome::Refusal,
    },
    telemetry::{Counter, Metrics},
    transport::auth,
};

/// What the sender will hear: an outcome of the pipelines, or a refusal at the door.
pub type Heard = Result<Outcome, Refusal>;

/// A sender that is slower than this with its body is not waited for.
const BODY_DEADLINE: Duration = Duration::from_mins(1);
/// Nor one that pauses for so long.
const BODY_PAUSE: Duration = Duration::from_secs(10);
/// When the gateway is full, senders are asked to come back after this.
const COME_BACK: Duration = Duration::from_secs(1);
/// Bodies from here on are checked off the I/O threads: they would hold one for more than half a millisecond.
const LARGE: usize = 1 << 20;

/// Room for at most so many times what has come is made for what is announced.
const BELIEVED: usize = 16;

/// How much of a refused body is read, and for how long.
const HEARD_OUT: usize = 4 << 20;
const HEARD_OUT_FOR: Duration = Duration::from_secs(1);

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Protobuf.
    Protobuf,
    /// OTLP/JSON.
    Json,
}

/// One protocol's side of the receiver.
pub struct Door {
    outputs: Outputs,
    admission: Admission,
    max_bytes: usize,
    auth: Option<Arc<dyn auth::Server>>,
    include_metadata: bool,
    unauthenticated: Counter,
    counters: [Counters; 3],
}

/// What is known of a body before it is read.
#[derive(Clone, Copy, Debug)]
pub struct Coming {
    /// Bytes that the protocol puts in front of it.
    pub framing: usize,
    /// How long it is said to be; zero if nothing is said.
    pub announced: usize,
    /// Whether its sender reads an answer only when it has sent everything, as over HTTP/1.1.
    pub in_turn: bool,
}

/// A body that has been read, and the room it holds.
pub struct Read {
    /// What the protocol puts in front of it.
    pub prefix: Vec<u8>,
    /// The rest.
    pub body: Bytes,
    /// Given back when dropped.
    pub admitted: Admitted,
}

/// A body being read.
#[derive(Default)]
struct Gathered {
    framing: usize,
    announced: usize,
    in_turn: bool,
    limit: usize,
    prefix: Vec<u8>,
    first: Bytes,
    /// With the first piece, once there is more.
    whole: BytesMut,
}

struct Counters {
    accepted: Counter,
    refused: Counter,
    failed: Counter,
    ok_requests: Counter,
    refused_requests: Counter,
    failed_requests: Counter,
}

impl Door {
    /// A door to `outputs` that lets in bodies of up to `max_bytes`, before and after decompression, from whom `auth`
    /// knows.
    pub fn new(
        outputs: Outputs,
        admission: Admission,
        max_bytes: usize,
        auth: Option<Arc<dyn auth::Server>>,
        include_metadata: bool,
        transport: &'static str,
        context: &Context,
    ) -> Self {
        let counters = Signal::ALL.map(|signal| Counters::new(&context.metrics, signal, transport, &context.id));
        let labels = [("receiver", context.id.as_str()), ("transport", transport)];
        let unauthenticated = context.metrics.counter(
            "sekisho_receiver_unauthenticated_requests",
            "Requests from senders that could not say who they are.",
            &labels,
        );
        Self { outputs, admission, max_bytes, auth, include_metadata, unauthenticated, counters }
    }

    /// Whether whoever sent these headers may come in.
    pub async fn authenticate(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let Some(auth) = &self.auth else { return Ok(()) };
        let known = auth.authenticate(headers).await;
        if known.is_err() {
            self.unauthenticated.add(1);
        }
        known
    }

    /// Whether some pipeline takes `signal`; if not, the service or path does not exist for senders.
    pub fn serves(&self, signal: Signal) -> bool {
        self.outputs.get(signal).is_some()
    }

    /// What goes with the batches of a request.
    pub fn metadata(&self, request: &Parts) -> Option<Arc<Metadata>> {
        self.include_metadata.then(|| Arc::new(Metadata::of(&request.headers, &request.uri)))
    }

    /// Reads a whole body of `signal` of at most the limit, admitting its bytes as they come.
    pub async fn read(&self, signal: Signal, body: Incoming, coming: Coming) -> Result<Read, Heard> {
        let Coming { framing, announced, in_turn } = coming;
        let limit = self.max_bytes + framing;
        if announced > limit {
            hear_out(body).await;
            return Err(Err(Refusal::TooLarge { limit: self.max_bytes }));
        }
        self.admission.heed(self.outputs.get(signal).and_then(|next| next.headroom()));
        let Some(mut admitted) = self.admission.begin(announced) else {
            self.counters(signal).refused_requests.add(1);
            let_go(body, limit, in_turn).await;
            return Err(Ok(Outcome::Overloaded { after: COME_BACK }));
        };
        let mut gathered = Gathered { framing, announced, in_turn, limit, ..Gathered::default() };
        match tokio::time::timeout(BODY_DEADLINE, collect(body, &mut gathered, &mut admitted)).await {
            Ok(Ok(())) => {
                let Gathered { prefix, first, whole, .. } = gathered;
                let body = if whole.is_empty() { first } else { whole.freeze() };
                Ok(Read { prefix, body, admitted })
            }
            Ok(Err(heard)) => Err(heard),
            Err(_) => Err(Err(Refusal::Slow)),
        }
    }

    /// Takes a body as it was sent to the pipelines of `signal` and says what became of it.
    pub async fn take(
        &self,
        signal: Signal,
        form: Form,
        encoding: Encoding,
        read: Read,
        metadata: Option<Arc<Metadata>>,
    ) -> Heard {
        let Read { body, mut admitted, .. } = read;
        let counters = self.counters(signal);
        let deliver = self.deliver(signal, form, encoding, body, &mut admitted, counters);
        let heard = metadata::with(metadata, deliver).await;
        match &heard {
            Ok(Outcome::Accepted | Outcome::Partial { .. }) => counters.ok_requests.add(1),
            Ok(_) => counters.refused_requests.add(1),
            Err(_) => counters.failed_requests.add(1),
        }
        heard
    }

    fn counters(&self, signal: Signal) -> &Counters {
        let [traces, metrics, logs] = &self.counters;
        match signal {
            Signal::Traces => traces,
            Signal::Metrics => metrics,
            Signal::Logs => logs,
        }
    }

    async fn deliver(
        &self,
        signal: Signal,
        form: Form,
        encoding: Encoding,
        sent: Bytes,
        admitted: &mut Admitted,
        counters: &Counters,
    ) -> Heard {
        let Some(next) = self.outputs.get(signal) else {
            return Err(Refusal::NotFound(format!("no pipeline takes {} from this receiver", signal.name())));
        };
        let limit = self.max_bytes;
        let opened = if sent.len() < LARGE {
            open(signal, form, encoding, sent, limit)
        } else {
            tokio::task::spawn_blocking(move || open(signal, form, encoding, sent, limit))
                .await
                .unwrap_or_else(|panic| Err(Refusal::Malformed(format!("cannot be read: {panic}"))))
        };
        let batch = opened?;
        if let Err(heard) = hold(admitted, batch.body.len()) {
            counters.failed.add(batch.items as u64);
            return heard;
        }
        admitted.is_complete();
        if batch.items == 0 {
            return Ok(Outcome::Accepted);
        }
        let items = batch.items as u64;
        let outcome = next.consume(batch).await;
        match &outcome {
            Outcome::Accepted => counters.accepted.add(items),
            Outcome::Partial { rejected, .. } => {
                counters.accepted.add(items.saturating_sub(*rejected));
                counters.refused.add(*rejected);
            }
            _ => counters.refused.add(items),
        }
        Ok(outcome)
    }
}

fn hold(admitted: &mut Admitted, bytes: usize) -> Result<(), Heard> {
    if admitted.hold(bytes) { Ok(()) } else { Err(Ok(Outcome::Overloaded { after: COME_BACK })) }
}

/// Reads on a little: a sender that is cut off while it writes never reads why.
pub async fn hear_out(body: Incoming) {
    pass_over(body, HEARD_OUT, HEARD_OUT_FOR).await;
}

async fn pass_over(mut body: Incoming, mut left: usize, within: Duration) {
    let rest = async {
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(within, rest).await;
}

/// Leaves a body that there is no room for. Over HTTP/2 its sender hears that at once, and what still comes is passed over:
/// a stream that is cut off counts against its whole connection.
async fn let_go(body: Incoming, limit: usize, in_turn: bool) {
    if in_turn {
        hear_out(body).await;
    } else {
        tokio::spawn(pass_over(body, limit, BODY_DEADLINE));
    }
}

async fn collect(mut body: Incoming, into: &mut Gathered, admitted: &mut Admitted) -> Result<(), Heard> {
    loop {
        let next = tokio::time::timeout(BODY_PAUSE, body.frame()).await;
        let Some(frame) = next.map_err(|_| Err(Refusal::Slow))? else { break };
        let frame = frame.map_err(|error| Err(Refusal::Malformed(format!("the body broke off: {error}"))))?;
        let Ok(data) = frame.into_data() else { continue };
        let limit = into.limit;
        if into.len() + data.len() > limit {
            hear_out(body).await;
            return Err(Err(Refusal::TooLarge { limit }));
        }
        into.take(data);
        // All of it, so that no two wait for the room that the other has.
        if let Err(heard) = hold(admitted, into.credible().max(into.len())) {
            let in_turn = into.in_turn;
            *into = Gathered::default();
            let_go(body, limit, in_turn).await;
            return Err(heard);
        }
    }
    Ok(())
}

impl Gathered {
    fn len(&self) -> usize {
        self.prefix.len() + self.first.len().max(self.whole.len())
    }

    /// Takes the next piece. What comes in one piece is not copied.
    fn take(&mut self, mut data: Bytes) {
        let missing = self.framing.saturating_sub(self.prefix.len());
        self.prefix.extend_from_slice(&data.split_to(missing.min(data.len())));
        if !self.whole.is_empty() {
            self.whole.extend_from_slice(&data);
        } else if self.first.is_empty() {
            self.first = data;
        } else if !data.is_empty() {
            self.whole.reserve(self.credible().max(self.first.len() + data.len()));
            self.whole.extend_from_slice(&self.first);
            self.whole.extend_from_slice(&data);
        }
    }

    /// The same, as far as it is believed: a sender may only claim to have much to say.
    fn credible(&self) -> usize {
        self.expected().min(self.len().saturating_mul(BELIEVED))
    }

    /// How long the body will be, as far as the sender has said.
    fn expected(&self) -> usize {
        // gRPC says it in front of the message.
        let message = self.prefix.last_chunk::<4>().map_or(0, |length| u32::from_be_bytes(*length) as usize);
        self.announced.max(message).min(self.limit)
    }
}

fn open(signal: Signal, form: Form, encoding: Encoding, sent: Bytes, limit: usize) -> Result<Batch, Refusal> {
    let plain = match encoding {
        Encoding::Identity => sent,
        _ => compression::decompress(encoding, &sent, limit).map_err(|error| match error {
            CompressionError::TooLarge { .. } => Refusal::TooLarge { limit },
            error @ CompressionError::Malformed { .. } => Refusal::Malformed(error.to_string()),
        })?,
    };
    let body = match form {
        Form::Protobuf => plain,
        Form::Json => {
            Bytes::from(json::to_protobuf(signal, &plain).map_err(|error| Refusal::Malformed(error.to_string()))?)
        }
    };
    let items = check::check(signal, &body).map_err(|error| Refusal::Malformed(error.to_string()))?;
    Ok(Batch { signal, body, items })
}

impl Counters {
    fn new(metrics: &Metrics, signal: Signal, transport: &str, receiver: &str) -> Self {
        let labels = [("receiver", receiver), ("transport", transport)];
        let [accepted, refused, failed] = match signal {
            Signal::Traces => {
                ["otelcol_receiver_accepted_spans", "otelcol_receiver_refused_spans", "otelcol_receiver_failed_spans"]
            }
            Signal::Metrics => [
                "otelcol_receiver_accepted_metric_points",
                "otelcol_receiver_refused_metric_points",
                "otelcol_receiver_failed_metric_points",
            ],
            Signal::Logs => [
                "otelcol_receiver_accepted_log_records",
                "otelcol_receiver_refused_log_records",
                "otelcol_receiver_failed_log_records",
            ],
        };
        let requests = |outcome| {
            let labels =
                [("receiver", receiver), ("transport", transport), ("signal", signal.name()), ("outcome", outcome)];
            metrics.counter("otelcol_receiver_requests", "Requests, by what became of them.", &labels)
        };
        Self {
            accepted: metrics.counter(accepted, "Items taken by every pipeline.", &labels),
            refused: metrics.counter(refused, "Items some pipeline did not take.", &labels),
            failed: metrics.counter(failed, "Items read but not let in: the receiver itself was full.", &labels),
            ok_requests: requests("success"),
            refused_requests: requests("refused"),
            failed_requests: requests("failure"),
        }
    }
}
