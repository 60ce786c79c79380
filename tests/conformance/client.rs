//! What we make of what we hear.

use std::time::{Duration, SystemTime};

use prost::Message as _;
use sekisho::pipeline::{Outcome, outcome::answer};
use tonic::Code;

use crate::{
    destination::{Act, Destination},
    support::{Gateway, eventually, http, input},
};

const PROTOBUF: &[(&str, &str)] = &[("content-type", "application/x-protobuf")];
const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

/// What becomes of a batch of five spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Sent once, delivered.
    Taken,
    /// Sent again after at least so long, then delivered.
    Again(Duration),
    /// Sent once; so many spans are lost, the others delivered.
    Lost(u64),
}

fn hint(after: Duration) -> Vec<u8> {
    answer(&Ok(Outcome::Overloaded { after })).status()
}

fn partial(rejected: u64, message: &str) -> Vec<u8> {
    answer(&Ok(Outcome::Partial { rejected, message: message.into() })).response()
}

fn leak(headers: Vec<(&'static str, String)>) -> &'static [(&'static str, &'static str)] {
    let headers: Vec<_> = headers.into_iter().map(|(name, value)| (name, &*value.leak())).collect();
    headers.leak()
}

fn grpc_rows() -> Vec<(String, Act, Fate)> {
    let status = |code| Act::Grpc(code, vec![], vec![]);
    let again = Fate::Again(Duration::ZERO);
    let wait = Duration::from_millis(700);
    let lost = Fate::Lost(5);
    let codes = [
        (Code::Cancelled, again),
        (Code::Unknown, lost),
        (Code::InvalidArgument, lost),
        (Code::DeadlineExceeded, again),
        (Code::NotFound, lost),
        (Code::AlreadyExists, lost),
        (Code::PermissionDenied, lost),
        (Code::ResourceExhausted, lost),
        (Code::FailedPrecondition, lost),
        (Code::Aborted, again),
        (Code::OutOfRange, again),
        (Code::Unimplemented, lost),
        (Code::Internal, lost),
        (Code::Unavailable, again),
        (Code::DataLoss, again),
        (Code::Unauthenticated, lost),
    ];
    let mut rows: Vec<_> = codes.map(|(code, fate)| (format!("{code:?}"), status(code), fate)).into();
    let mut row = |name: &str, act, fate| rows.push((name.to_owned(), act, fate));
    row("Ok", status(Code::Ok), Fate::Taken);
    row("Unavailable with RetryInfo", Act::Grpc(Code::Unavailable, hint(wait), vec![]), Fate::Again(wait));
    row("ResourceExhausted with RetryInfo", Act::Grpc(Code::ResourceExhausted, hint(wait), vec![]), Fate::Again(wait));
    row("partial success is not retried", Act::Grpc(Code::Ok, vec![], partial(2, "bad ids")), Fate::Lost(2));
    row("a warning is a success", Act::Grpc(Code::Ok, vec![], partial(0, "deprecated")), Fate::Taken);
    row("an answer over 4 MiB is not read", Act::Grpc(Code::Ok, vec![], vec![0; 5 << 20]), lost);
    row("a connection that drops without an answer", Act::HangUp, again);
    row("an answer that breaks off", Act::BreakOff, again);
    row("a proxy that is overloaded", Act::Http(503, &[], vec![]), again);
    row("a proxy that does not know the way", Act::Http(404, &[], vec![]), lost);
    rows
}

fn http_rows() -> Vec<(String, Act, Fate)> {
    let again = Fate::Again(Duration::ZERO);
    let second = Duration::from_secs(1);
    let codes = [
        (200, Fate::Taken),
        (202, Fate::Taken),
        (301, Fate::Lost(5)),
        (400, Fate::Lost(5)),
        (401, Fate::Lost(5)),
        (403, Fate::Lost(5)),
        (404, Fate::Lost(5)),
        (405, Fate::Lost(5)),
        (408, Fate::Lost(5)),
        (413, Fate::Lost(5)),
        (415, Fate::Lost(5)),
        (429, again),
        (500, Fate::Lost(5)),
        (501, Fate::Lost(5)),
        (502, again),
        (503, again),
        (504, again),
    ];
    let mut rows: Vec<_> = codes.map(|(code, fate)| (code.to_string(), Act::Http(code, PROTOBUF, vec![]), fate)).into();
    let mut row = |name: &str, act, fate| rows.push((name.to_owned(), act, fate));
    row("503 with seconds", Act::Http(503, &[("retry-after", "1")], vec![]), Fate::Again(second));
    row("429 with seconds", Act::Http(429, &[("retry-after", "1")], vec![]), Fate::Again(second));
    row("400 with seconds is final all the same", Act::Http(400, &[("retry-after", "1")], vec![]), Fate::Lost(5));
    row("503 with nonsense", Act::Http(503, &[("retry-after", "soon")], vec![]), again);
    row("partial success is not retried", Act::Http(200, PROTOBUF, partial(2, "bad ids")), Fate::Lost(2));
    let told = br#"{"partialSuccess":{"rejectedSpans":"2","errorMessage":"bad ids"}}"#.to_vec();
    row("partial success in JSON", Act::Http(200, JSON, told), Fate::Lost(2));
    row("a warning is a success", Act::Http(200, PROTOBUF, partial(0, "deprecated")), Fate::Taken);
    row("an answer over 4 MiB is not read to its end", Act::Http(200, PROTOBUF, vec![0; 5 << 20]), Fate::Taken);
    row("a connection that drops without an answer", Act::HangUp, again);
    row("an answer that breaks off", Act::BreakOff, again);
    rows
}

async fn follow(exporter: &str, rows: Vec<(String, Act, Fate)>) {
    let taken =
        if exporter == "otlp_grpc" { Act::Grpc(Code::Ok, vec![], vec![]) } else { Act::Http(200, PROTOBUF, vec![]) };
    let script = rows.iter().flat_map(|(_, act, fate)| {
        let second = matches!(fate, Fate::Again(_)).then(|| taken.clone());
        std::iter::once(act.clone()).chain(second)
    });
    let destination = Destination::new(script.collect::<Vec<_>>()).await;
    let gateway = start(exporter, &destination, "").await;
    let client = http();
    let (mut delivered, mut lost) = (0, 0);
    for (number, (row, _, fate)) in rows.iter().enumerate() {
        let body = input::invocations(&format!("function-{number}"), 0, 5).encode_to_vec();
        let request = client.post(format!("{}/v1/traces", gateway.http()));
        let answer = request.header("content-type", "application/x-protobuf").body(body.clone()).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{row}: the queue takes it");
        let gone = match fate {
            Fate::Lost(gone) => *gone,
            _ => 0,
        };
        (delivered, lost) = (delivered + 5 - gone, lost + gone);
        let counted = async || {
            let metrics = gateway.metrics().await;
            let sum = |name: &str| -> f64 {
                metrics.iter().filter(|(key, _)| key.starts_with(name)).map(|(_, value)| value).sum()
            };
            let now = (sum("otelcol_exporter_sent_spans"), sum("otelcol_exporter_send_failed_spans"));
            (now == (delivered as f64, lost as f64)).then_some(())
        };
        eventually(&format!("{exporter} {row}: {delivered} delivered and {lost} lost"), counted).await;
        let sent: Vec<_> = destination.seen().into_iter().filter(|seen| seen.body == body).collect();
        match fate {
            Fate::Again(after) => {
                assert_eq!(sent.len(), 2, "{exporter} {row}");
                assert!(sent[1].at - sent[0].at >= *after, "{exporter} {row}: {:?}", sent[1].at - sent[0].at);
            }
            Fate::Taken | Fate::Lost(_) => assert_eq!(sent.len(), 1, "{exporter} {row}"),
        }
    }
}

async fn start(exporter: &str, destination: &Destination, settings: &str) -> Gateway {
    let scheme = if exporter == "otlp_http" { "http://" } else { "" };
    let insecure = if exporter == "otlp_grpc" { "tls: {insecure: true}" } else { "" };
    Gateway::start(&format!(
        "
receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:0'}}}}}}}}
exporters:
  {exporter}:
    endpoint: '{scheme}{}'
    retry_on_failure: {{initial_interval: 10ms, max_interval: 50ms}}
    {insecure}
    {settings}
service: {{pipelines: {{traces: {{receivers: [otlp], exporters: [{exporter}]}}}}}}
",
        destination.address
    ))
    .await
}

/// Scenario: the destination answers in each way there is, then takes what is sent again.
/// Guarantees: what OTLP calls retryable is sent again, not before its time; all else is not; every span is counted.
#[tokio::test]
async fn every_answer_over_grpc_has_its_consequence() {
    follow("otlp_grpc", grpc_rows()).await;
}

/// The same over HTTP.
#[tokio::test]
async fn every_answer_over_http_has_its_consequence() {
    follow("otlp_http", http_rows()).await;
}

/// Scenario: the destination names the moment to come back at.
/// Guarantees: it is not asked before.
#[tokio::test]
async fn a_date_to_come_back_at_is_kept() {
    // Dates have whole seconds: of three, more than two remain.
    let moment = SystemTime::now() + Duration::from_secs(3);
    let date = httpdate::fmt_http_date(moment);
    let act = Act::Http(503, leak(vec![("retry-after", date)]), vec![]);
    let destination = Destination::new([act]).await;
    let gateway = start("otlp_http", &destination, "").await;
    let body = input::invocations("f", 0, 5).encode_to_vec();
    let request = http().post(format!("{}/v1/traces", gateway.http())).header("content-type", "application/x-protobuf");
    request.body(body).send().await.unwrap();
    eventually("it is sent again", async || (destination.taken().len() == 1).then_some(())).await;
    let early = moment.duration_since(SystemTime::now()).unwrap_or_default();
    assert!(early <= Duration::from_secs(1), "came back {early:?} too soon");
}

/// Scenario: a request is larger than may be sent.
/// Guarantees: it does not travel; it is counted as lost, and what is small enough still passes.
#[tokio::test]
async fn what_is_too_large_is_not_sent() {
    let rows = [("otlp_http", "max_request_body_size: 1MiB"), ("otlp_grpc", "max_send_msg_size_mib: 1")];
    for (exporter, settings) in rows {
        let destination = Destination::new([]).await;
        let gateway = start(exporter, &destination, settings).await;
        let (large, small) = (input::invocations("large", 0, 9_000), input::invocations("small", 0, 5));
        assert!(large.encoded_len() > 1 << 20);
        for body in [large.encode_to_vec(), small.encode_to_vec()] {
            let request = http().post(format!("{}/v1/traces", gateway.http()));
            request.header("content-type", "application/x-protobuf").body(body).send().await.unwrap();
        }
        let counted = async || {
            let metrics = gateway.metrics().await;
            let lost = metrics.iter().find(|(key, _)| key.starts_with("otelcol_exporter_send_failed_spans"));
            (lost.is_some_and(|(_, lost)| *lost == 9_000.0) && destination.taken().len() == 1).then_some(())
        };
        eventually(&format!("{exporter}: the large one is lost, the small one delivered"), counted).await;
        assert_eq!(destination.seen().len(), 1, "{exporter}");
    }
}
