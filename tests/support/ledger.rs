//! Numbered spans: a load that remembers which were acknowledged, and a destination that remembers which arrived.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use prost::Message as _;
use tokio::task::JoinSet;

use super::input;

/// A set of numbers, with how often a number was added that was there already.
#[derive(Clone, Default)]
pub struct Ledger(Arc<Mutex<Marks>>);

#[derive(Default)]
struct Marks {
    bits: Vec<u64>,
    distinct: u64,
    repeated: u64,
}

impl Ledger {
    /// Adds numbers.
    pub fn add(&self, numbers: impl Iterator<Item = u64>) {
        let mut marks = self.0.lock().unwrap();
        for number in numbers {
            let (word, bit) = ((number / 64) as usize, 1 << (number % 64));
            if word >= marks.bits.len() {
                marks.bits.resize(word * 2 + 1, 0);
            }
            if marks.bits[word] & bit == 0 {
                marks.bits[word] |= bit;
                marks.distinct += 1;
            } else {
                marks.repeated += 1;
            }
        }
    }

    /// Empty again.
    pub fn forget(&self) {
        *self.0.lock().unwrap() = Marks::default();
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.0.lock().unwrap().distinct
    }

    /// How many came more than once.
    pub fn repeated(&self) -> u64 {
        self.0.lock().unwrap().repeated
    }

    /// How many of these are not in `other`.
    pub fn missing_in(&self, other: &Self) -> u64 {
        let (mine, theirs) = (self.0.lock().unwrap(), other.0.lock().unwrap());
        let words = mine.bits.iter().enumerate();
        words.map(|(at, word)| u64::from((word & !theirs.bits.get(at).unwrap_or(&0)).count_ones())).sum()
    }
}

/// As much of an export request as is needed to see the span ids; not our own reader of OTLP.
mod ids {
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Request {
        #[prost(message, repeated, tag = "1")]
        pub resources: Vec<Resource>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Resource {
        #[prost(message, repeated, tag = "2")]
        pub scopes: Vec<Scope>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Scope {
        #[prost(message, repeated, tag = "2")]
        pub spans: Vec<Span>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Span {
        #[prost(bytes = "vec", tag = "2")]
        pub id: Vec<u8>,
    }
}

/// An OTLP/HTTP destination on one port that can go away, sockets and all, and come back.
pub struct Destination {
    pub address: SocketAddr,
    pub arrived: Ledger,
    serving: Option<tokio::runtime::Runtime>,
}

impl Destination {
    /// There from now on.
    pub fn start() -> Self {
        let address = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let mut destination = Self { address, arrived: Ledger::default(), serving: None };
        destination.come_back();
        destination
    }

    /// A configuration that forwards here through a `queue` of this kind, for as long as it takes.
    pub fn behind(&self, queue: &str) -> String {
        format!(
            "
receivers: {{otlp: {{protocols: {{http: {{endpoint: 127.0.0.1:0}}}}}}}}
exporters:
  otlp_http:
    endpoint: http://{}
    compression: none
    timeout: 5s
    sending_queue: {{{queue}}}
    retry_on_failure: {{initial_interval: 50ms, max_interval: 200ms, max_elapsed_time: 0}}
extensions: {{file_storage: {{directory: state, timeout: 10s}}}}
service: {{extensions: [file_storage], pipelines: {{traces: {{receivers: [otlp], exporters: [otlp_http]}}}}}}
",
            self.address
        )
    }

    /// Closes the port and every connection.
    pub fn go_away(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.shutdown_background();
        }
    }

    /// Listens again.
    pub fn come_back(&mut self) {
        if self.serving.is_some() {
            return;
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (address, arrived) = (self.address, self.arrived.clone());
        let begun = Instant::now();
        let listener = loop {
            match std::net::TcpListener::bind(address) {
                Ok(listener) => break listener,
                Err(error) => assert!(begun.elapsed() < super::DEADLINE, "{address}: {error}"),
            }
            std::thread::yield_now();
        };
        listener.set_nonblocking(true).unwrap();
        let take = move |body: bytes::Bytes| {
            let request = ids::Request::decode(body).unwrap();
            let spans = request.resources.iter().flat_map(|resource| &resource.scopes).flat_map(|scope| &scope.spans);
            arrived.add(spans.map(|span| u64::from_be_bytes(span.id.as_slice().try_into().unwrap())));
            std::future::ready(())
        };
        let router = axum::Router::new()
            .route("/v1/traces", axum::routing::post(take))
            .layer(axum::extract::DefaultBodyLimit::disable());
        runtime.spawn(async move { axum::serve(tokio::net::TcpListener::from_std(listener).unwrap(), router).await });
        self.serving = Some(runtime);
    }
}

impl Drop for Destination {
    fn drop(&mut self) {
        self.go_away();
    }
}

/// How hard a [`Load`] works.
#[derive(Clone, Copy)]
pub struct Pace {
    /// Requests on their way at once.
    pub senders: u64,
    /// In each.
    pub spans: u64,
    /// Spans a second, all senders together; none: as fast as they are answered.
    pub rate: Option<f64>,
    /// Functions the spans are of.
    pub functions: u64,
}

/// Senders of numbered spans; each number is sent once.
pub struct Load {
    shared: Arc<Shared>,
    senders: JoinSet<()>,
}

struct Shared {
    url: Mutex<String>,
    next: AtomicU64,
    acknowledged: Ledger,
    refused: AtomicU64,
    answer_times: Mutex<Histogram<u64>>,
    stop: tokio_util::sync::CancellationToken,
}

impl Load {
    /// Begins to send to `url`.
    pub fn start(url: String, pace: Pace) -> Self {
        let shared = Arc::new(Shared {
            url: Mutex::new(url),
            next: AtomicU64::new(1),
            acknowledged: Ledger::default(),
            refused: AtomicU64::new(0),
            answer_times: Mutex::new(Histogram::new(3).unwrap()),
            stop: tokio_util::sync::CancellationToken::new(),
        });
        let mut senders = JoinSet::new();
        let client = super::http();
        for sender in 0..pace.senders {
            senders.spawn(send(shared.clone(), client.clone(), pace, sender));
        }
        Self { shared, senders }
    }

    /// Sends elsewhere from now on.
    pub fn send_to(&self, url: String) {
        *self.shared.url.lock().unwrap() = url;
    }

    /// What was answered with success.
    pub fn acknowledged(&self) -> &Ledger {
        &self.shared.acknowledged
    }

    /// Requests that were not answered with success.
    pub fn refused(&self) -> u64 {
        self.shared.refused.load(Ordering::Relaxed)
    }

    /// Answer time in milliseconds that `percent` of the requests did not exceed.
    pub fn answer_time(&self, percent: f64) -> f64 {
        self.shared.answer_times.lock().unwrap().value_at_percentile(percent) as f64 / 1e3
    }

    /// Ends when every request has its answer.
    pub async fn stop(&mut self) {
        self.shared.stop.cancel();
        while let Some(ended) = self.senders.join_next().await {
            ended.unwrap();
        }
    }
}

async fn send(shared: Arc<Shared>, client: reqwest::Client, pace: Pace, sender: u64) {
    let template = Template::new(pace.spans, &format!("function-{}", sender % pace.functions));
    let between = pace.rate.map(|rate| Duration::from_secs_f64((pace.senders * pace.spans) as f64 / rate));
    let mut ticks = tokio::time::interval(between.unwrap_or(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !shared.stop.is_cancelled() {
        if between.is_some() {
            tokio::select! {
                _ = ticks.tick() => {}
                () = shared.stop.cancelled() => return,
            }
        }
        let first = shared.next.fetch_add(pace.spans, Ordering::Relaxed);
        let url = format!("{}/v1/traces", shared.url.lock().unwrap());
        let request = client.post(url).header("content-type", "application/x-protobuf").body(template.from(first));
        let begun = Instant::now();
        let answer = request.timeout(Duration::from_mins(1)).send().await;
        if answer.is_ok_and(|answer| answer.status() == 200) {
            shared.acknowledged.add(first..first + pace.spans);
            shared.answer_times.lock().unwrap().record(begun.elapsed().as_micros() as u64).unwrap();
        } else {
            shared.refused.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A serialised request whose span ids can be replaced.
struct Template {
    body: Vec<u8>,
    ids: Vec<usize>,
}

impl Template {
    fn new(spans: u64, function: &str) -> Self {
        let mut request = input::invocations(function, 0, spans);
        let all = request.resource_spans[0].scope_spans[0].spans.iter_mut();
        for (number, span) in (0_u32..).zip(all) {
            span.span_id = [b"\xf5id\xf6".as_slice(), &number.to_be_bytes()].concat();
        }
        let body = request.encode_to_vec();
        let ids: Vec<usize> = (0..body.len()).filter(|at| body[*at..].starts_with(b"\xf5id\xf6")).collect();
        assert_eq!(ids.len() as u64, spans);
        Self { body, ids }
    }

    fn from(&self, first: u64) -> Vec<u8> {
        let mut body = self.body.clone();
        for (number, at) in (first..).zip(&self.ids) {
            body[*at..at + 8].copy_from_slice(&number.to_be_bytes());
        }
        body
    }
}
