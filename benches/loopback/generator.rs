//! The sender: keeps requests in flight, or keeps a rate, and watches the gateway's CPU and memory meanwhile.
//!
//! Commands are JSON lines on stdin; each is answered by `begun` when the clock starts and a result when it has stopped.

use std::{
    cell::RefCell,
    rc::Rc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use hdrhistogram::Histogram;
use http::{HeaderValue, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use sekisho::otlp::{Signal, compression::Encoding};
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;

use super::{
    Fallible,
    payload::{self, PREFIX, Payload, Pool, UNCOUNTED},
    process, say,
    sink::commands,
};

const WINDOW: u32 = 8 << 20;
/// More than this many requests at once are not offered, whatever the rate.
const MOST_IN_FLIGHT: usize = 256;
/// An answer that takes longer has not come.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// Requests that are compressed beforehand, for each second.
const COMPRESSED_A_SECOND: f64 = 800.0;
/// Payloads are a thousand items, nearly.
const ITEMS: f64 = 1000.0;

/// One cell's work.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Work {
    /// The gateway's port.
    pub port: u16,
    /// The gateway's process.
    pub pid: u32,
    /// `traces` or `logs`.
    pub signal: String,
    /// `identity`, `gzip` or `zstd`.
    pub encoding: String,
    /// HTTP/1.1 instead of gRPC.
    pub http: bool,
    /// How much is offered.
    pub offer: Offer,
    /// Connections the requests are spread over; HTTP/1.1 takes one each.
    pub connections: usize,
    /// Whether the gateway is shown some days of spans first.
    pub history: bool,
    /// Before the clock starts.
    pub warm_up: f64,
    /// While it runs.
    pub seconds: f64,
}

/// How much is offered.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Offer {
    /// So many requests are always in flight.
    InFlight(usize),
    /// Items a second, whatever the gateway says.
    Rate(f64),
    /// Times what it took with eight requests in flight during the warm-up.
    Times(f64),
}

/// What came of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Sent {
    /// While the clock ran.
    pub seconds: f64,
    /// Of the gateway, meanwhile.
    pub cpu_seconds: f64,
    /// Items acknowledged meanwhile.
    pub acknowledged_in_time: u64,
    /// Items offered a second; zero if as many as go.
    pub offered: f64,
    /// Requests refused, from the first to the last.
    pub refused: u64,
    /// Requests that failed in another way.
    pub failed: u64,
    /// Why the first of those did.
    pub failure: String,
    /// Requests not offered because too many were in flight.
    pub held_back: u64,
    /// Time to an acknowledgement, milliseconds.
    pub p50_ms: f64,
    /// The same.
    pub p99_ms: f64,
    /// Of the gateway, MiB.
    pub rss_mean_mib: f64,
    /// Its highest since it started.
    pub rss_max_mib: f64,
    /// Whether compressed requests had to be sent twice.
    pub came_round: bool,
    /// Plain bytes an item.
    pub bytes_an_item: f64,
    /// Items sent and acknowledged, by request.
    pub ledger: Vec<(u32, u32)>,
}

/// Does work until stdin ends.
pub async fn run() -> Fallible<()> {
    let mut commands = commands();
    let mut kept: Option<(String, usize, Pool)> = None;
    let mut history: Option<Vec<Payload>> = None;
    while let Some(line) = commands.recv().await {
        let work: Work = serde_json::from_str(&line)?;
        let signal = if work.signal == "logs" { Signal::Logs } else { Signal::Traces };
        let encoding = Encoding::parse(&work.encoding).ok_or("no such encoding")?;
        let compressed = ((work.seconds + work.warm_up) * COMPRESSED_A_SECOND) as usize;
        let wanted = format!("{}/{}", work.signal, work.encoding);
        let pool = match kept.take() {
            Some((name, size, pool)) if name == wanted && size >= compressed => pool,
            _ => Pool::new(signal, encoding, compressed),
        };
        let past = if work.history { history.get_or_insert_with(payload::history).as_slice() } else { &[] };
        let (pool, sent) = one(&work, signal, encoding, pool, past).await?;
        kept = Some((wanted, compressed, pool));
        say(&serde_json::to_value(sent)?)?;
    }
    Ok(())
}

async fn one(
    work: &Work,
    signal: Signal,
    encoding: Encoding,
    mut pool: Pool,
    history: &[Payload],
) -> Fallible<(Pool, Sent)> {
    pool.begin();
    let senders = work.senders(signal, encoding).await?;
    for payload in history {
        let plain = senders.first().ok_or("no connection")?.clone().with(Signal::Traces, Encoding::Identity);
        if !matches!(plain.send(payload.body.clone()).await, Heard::Taken) {
            return Err("the gateway did not take the history".into());
        }
    }
    let run = Rc::new(Run { pool: RefCell::new(pool), tally: RefCell::default(), senders });
    let local = tokio::task::LocalSet::new();
    let sent = local.run_until(run.clone().go(work)).await?;
    drop(local);
    let run = Rc::try_unwrap(run).map_err(|_| "a request outlived its cell")?;
    Ok((run.pool.into_inner(), sent))
}

struct Run {
    pool: RefCell<Pool>,
    tally: RefCell<Tally>,
    senders: Vec<Sender>,
}

/// What has happened so far.
#[derive(Default)]
struct Tally {
    sent: Vec<u32>,
    acknowledged: Vec<u32>,
    acknowledged_items: u64,
    refused: u64,
    failed: u64,
    failure: String,
    held_back: u64,
    in_flight: usize,
    micros: Option<Histogram<u64>>,
}

impl Run {
    async fn go(self: Rc<Self>, work: &Work) -> Fallible<Sent> {
        let warm_up = Duration::from_secs_f64(work.warm_up);
        let (steady, probing) = match work.offer {
            Offer::Times(_) => (Offer::InFlight(8), true),
            other => (other, false),
        };
        let begun = Instant::now();
        let end = begun + warm_up + Duration::from_secs_f64(work.seconds);
        let first_end = if probing { begun + warm_up } else { end };
        let mut offering = self.clone().offer(steady, first_end);
        tokio::time::sleep_until((begun + warm_up).into()).await;
        let mut offered = if let Offer::Rate(rate) = work.offer { rate } else { 0.0 };
        if let Offer::Times(times) = work.offer {
            offered = times * self.tally.borrow().acknowledged_items as f64 / work.warm_up;
            offering.extend(self.clone().offer(Offer::Rate(offered), end));
        }
        say(&serde_json::json!({ "begun": true }))?;
        self.tally.borrow_mut().micros = Some(Histogram::new_with_bounds(1, 60_000_000, 3)?);
        let (start, cpu, items) = (Instant::now(), process::cpu(work.pid)?, self.tally.borrow().acknowledged_items);
        let mut rss = Vec::new();
        while Instant::now() < end {
            rss.push(process::rss(work.pid)?);
            tokio::time::sleep_until((Instant::now() + LOOK).min(end).into()).await;
        }
        let mut sent = Sent {
            seconds: start.elapsed().as_secs_f64(),
            cpu_seconds: process::cpu(work.pid)? - cpu,
            acknowledged_in_time: self.tally.borrow().acknowledged_items - items,
            offered,
            rss_mean_mib: rss.iter().sum::<f64>() / rss.len().max(1) as f64,
            rss_max_mib: process::rss_max(work.pid)?,
            came_round: self.pool.borrow().came_round(),
            bytes_an_item: self.pool.borrow().bytes_an_item(),
            ..Sent::default()
        };
        for task in offering {
            task.await?;
        }
        self.tally.borrow().tell(&mut sent);
        Ok(sent)
    }

    fn offer(self: Rc<Self>, offer: Offer, until: Instant) -> Vec<tokio::task::JoinHandle<()>> {
        match offer {
            Offer::InFlight(count) => {
                (0..count).map(|lane| tokio::task::spawn_local(self.clone().keep_sending(lane, until))).collect()
            }
            Offer::Rate(rate) | Offer::Times(rate) => {
                vec![tokio::task::spawn_local(self.keep_pace(rate, until))]
            }
        }
    }

    async fn keep_sending(self: Rc<Self>, lane: usize, until: Instant) {
        while Instant::now() < until {
            self.send_one(lane).await;
        }
    }

    async fn keep_pace(self: Rc<Self>, rate: f64, until: Instant) {
        let pause = Duration::from_secs_f64(ITEMS / rate);
        let mut due = Instant::now();
        let mut requests = tokio::task::JoinSet::new();
        let mut lane = 0;
        while due < until {
            tokio::time::sleep_until(due.into()).await;
            due += pause;
            if self.tally.borrow().in_flight >= MOST_IN_FLIGHT {
                self.tally.borrow_mut().held_back += 1;
                continue;
            }
            lane += 1;
            let run = self.clone();
            requests.spawn_local(async move { run.send_one(lane).await });
            while requests.try_join_next().is_some() {}
        }
        requests.join_all().await;
    }

    async fn send_one(&self, lane: usize) {
        let Some(sender) = self.senders.get(lane % self.senders.len()) else { return };
        let payload = self.pool.borrow_mut().next();
        self.tally.borrow_mut().begin(&payload);
        let begun = Instant::now();
        let heard = sender.send(payload.body.clone()).await;
        self.tally.borrow_mut().end(&payload, heard, begun.elapsed());
    }
}

impl Tally {
    fn begin(&mut self, payload: &Payload) {
        self.in_flight += 1;
        add(&mut self.sent, payload);
    }

    fn end(&mut self, payload: &Payload, heard: Heard, took: Duration) {
        self.in_flight -= 1;
        match heard {
            Heard::Taken => {
                add(&mut self.acknowledged, payload);
                self.acknowledged_items += u64::from(payload.items);
                if let Some(micros) = &mut self.micros {
                    micros.saturating_record(took.as_micros() as u64);
                }
            }
            Heard::Refused => self.refused += 1,
            Heard::Failed(why) => {
                if self.failed == 0 {
                    self.failure = why;
                }
                self.failed += 1;
            }
        }
    }

    fn tell(&self, sent: &mut Sent) {
        sent.refused = self.refused;
        sent.failed = self.failed;
        sent.held_back = self.held_back;
        sent.failure.clone_from(&self.failure);
        sent.held_back = self.held_back;
        let quantile = |q| self.micros.as_ref().map_or(0.0, |micros| micros.value_at_quantile(q) as f64 / 1000.0);
        (sent.p50_ms, sent.p99_ms) = (quantile(0.5), quantile(0.99));
        let acknowledged = self.acknowledged.iter().copied().chain(std::iter::repeat(0));
        sent.ledger = self.sent.iter().copied().zip(acknowledged).collect();
    }
}

fn add(ledger: &mut Vec<u32>, payload: &Payload) {
    if payload.number == UNCOUNTED {
        return;
    }
    let at = payload.number as usize;
    if ledger.len() <= at {
        ledger.resize(at + 1, 0);
    }
    ledger[at] += payload.items;
}

/// What a request came to.
enum Heard {
    Taken,
    Refused,
    Failed(String),
}

/// A connection and what is said on it.
#[derive(Clone)]
struct Sender {
    line: Line,
    signal: Signal,
    encoding: Encoding,
    authority: String,
}

#[derive(Clone)]
enum Line {
    Grpc(http2::SendRequest<Full<Bytes>>),
    Http(Rc<tokio::sync::Mutex<http1::SendRequest<Full<Bytes>>>>),
}

impl Work {
    async fn senders(&self, signal: Signal, encoding: Encoding) -> Fallible<Vec<Sender>> {
        let count = match (self.http, self.offer) {
            (false, _) => self.connections,
            (true, Offer::InFlight(count)) => count,
            (true, _) => 32,
        };
        let mut senders = Vec::new();
        for _ in 0..count {
            let line = if self.http { Line::http(self.port).await? } else { Line::grpc(self.port).await? };
            senders.push(Sender { line, signal, encoding, authority: format!("127.0.0.1:{}", self.port) });
        }
        Ok(senders)
    }
}

impl Line {
    async fn grpc(port: u16) -> Fallible<Self> {
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .handshake(TokioIo::new(connect(port).await?))
            .await?;
        tokio::spawn(connection);
        Ok(Self::Grpc(sender))
    }

    async fn http(port: u16) -> Fallible<Self> {
        let (sender, connection) = http1::handshake(TokioIo::new(connect(port).await?)).await?;
        tokio::spawn(connection);
        Ok(Self::Http(Rc::new(tokio::sync::Mutex::new(sender))))
    }
}

async fn connect(port: u16) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Sender {
    fn with(self, signal: Signal, encoding: Encoding) -> Self {
        Self { signal, encoding, ..self }
    }

    async fn send(&self, framed: Bytes) -> Heard {
        match tokio::time::timeout(PATIENCE, self.call(framed)).await {
            Ok(Ok(heard)) => heard,
            Ok(Err(error)) => Heard::Failed(error.to_string()),
            Err(_) => Heard::Failed("no answer".to_owned()),
        }
    }

    async fn call(&self, framed: Bytes) -> Fallible<Heard> {
        let request = self.request(framed)?;
        let response = match &self.line {
            Line::Grpc(sender) => {
                let mut sender = sender.clone();
                sender.ready().await?;
                sender.send_request(request).await?
            }
            Line::Http(sender) => {
                let mut sender = sender.lock().await;
                sender.ready().await?;
                let response = sender.send_request(request).await?;
                let status = response.status();
                response.into_body().collect().await?;
                return Ok(match status.as_u16() {
                    200 => Heard::Taken,
                    429 | 502 | 503 | 504 => Heard::Refused,
                    other => Heard::Failed(format!("HTTP {other}")),
                });
            }
        };
        let (parts, body) = response.into_parts();
        let collected = body.collect().await?;
        let trailers = collected.trailers().cloned().unwrap_or_default();
        let status = parts.headers.get("grpc-status").or(trailers.get("grpc-status"));
        Ok(match status.and_then(|status| status.to_str().ok()) {
            Some("0") => Heard::Taken,
            Some("8" | "14") => Heard::Refused,
            other => Heard::Failed(format!("gRPC status {other:?}: {:?}", parts.headers.get("grpc-message"))),
        })
    }

    fn request(&self, framed: Bytes) -> Fallible<Request<Full<Bytes>>> {
        let grpc = matches!(self.line, Line::Grpc(_));
        let path = match (grpc, self.signal) {
            (true, Signal::Logs) => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
            (true, _) => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            (false, signal) => &format!("/v1/{}", signal.name()),
        };
        let mut request =
            Request::post(if grpc { format!("http://{}{path}", self.authority) } else { path.to_owned() });
        if self.encoding != Encoding::Identity {
            let header = if grpc { "grpc-encoding" } else { "content-encoding" };
            request = request.header(header, HeaderValue::from_static(self.encoding.name()));
        }
        Ok(if grpc {
            request.header("content-type", "application/grpc").header("te", "trailers").body(Full::new(framed))?
        } else {
            let request = request.header("host", &self.authority).header("content-type", "application/x-protobuf");
            request.body(Full::new(framed.slice(PREFIX..)))?
        })
    }
}
