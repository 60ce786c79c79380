//! A destination that misbehaves as told: gRPC and HTTP on one port of this machine.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header};
use http_body::Frame;
use http_body_util::BodyExt as _;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use crate::otlp::compression::{Encoding, decompress};

const LARGEST_BODY: usize = 64 << 20;

/// What it does with one request.
#[derive(Clone, Debug)]
pub enum Act {
    /// A gRPC status, with details, and a message if it is Ok.
    Grpc(Code, Vec<u8>, Vec<u8>),
    /// An HTTP status, headers, body.
    Http(u16, &'static [(&'static str, &'static str)], Vec<u8>),
    /// Never answers.
    Stall,
    /// Ends the connection without an answer.
    HangUp,
    /// Ends the answer in the middle.
    BreakOff,
}

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub headers: HeaderMap,
    /// Without gRPC's frame, decompressed.
    pub body: Bytes,
    pub at: Instant,
    /// Whether it was acknowledged.
    pub taken: bool,
}

#[derive(Default)]
struct State {
    acts: Mutex<VecDeque<Act>>,
    seen: Mutex<Vec<Seen>>,
    connections: AtomicUsize,
}

pub struct Destination {
    pub address: SocketAddr,
    state: Arc<State>,
    _serving: JoinSet<()>,
}

impl Destination {
    /// Does `acts` in turn, one a request; then takes everything.
    pub async fn new(acts: impl IntoIterator<Item = Act>) -> Self {
        Self::over(None, acts).await
    }

    pub async fn over(tls: Option<TlsAcceptor>, acts: impl IntoIterator<Item = Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State { acts: Mutex::new(acts.into_iter().collect()), ..State::default() });
        let mut serving = JoinSet::new();
        serving.spawn(listen(listener, tls, state.clone()));
        Self { address, state, _serving: serving }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }

    /// Bodies of what was acknowledged.
    pub fn taken(&self) -> Vec<Bytes> {
        self.seen().into_iter().filter(|seen| seen.taken).map(|seen| seen.body).collect()
    }

    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::Relaxed)
    }
}

async fn listen(listener: TcpListener, tls: Option<TlsAcceptor>, state: Arc<State>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        state.connections.fetch_add(1, Ordering::Relaxed);
        let (tls, state) = (tls.clone(), state.clone());
        connections.spawn(async move {
            match tls {
                None => serve(stream, state).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(stream, state).await;
                    }
                }
            }
        });
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, state: Arc<State>) {
    let hang_up = CancellationToken::new();
    let service = service_fn(|request| {
        let (state, hang_up) = (state.clone(), hang_up.clone());
        async move { Ok::<_, Infallible>(respond(request, &state, &hang_up).await) }
    });
    let server = auto::Builder::new(TokioExecutor::new());
    tokio::select! {
        _ = server.serve_connection(TokioIo::new(stream), service) => {}
        () = hang_up.cancelled() => {}
    }
}

async fn respond(request: Request<Incoming>, state: &State, hang_up: &CancellationToken) -> Response<Frames> {
    let (parts, body) = request.into_parts();
    let grpc = parts.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/grpc");
    let body = body.collect().await.unwrap().to_bytes();
    let act = state.acts.lock().unwrap().pop_front();
    let taken = matches!(act, None | Some(Act::Grpc(Code::Ok, ..) | Act::Http(200, ..)));
    state.seen.lock().unwrap().push(Seen {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        body: plain(grpc, &parts.headers, &body),
        headers: parts.headers,
        at: Instant::now(),
        taken,
    });
    match act {
        None if grpc => grpc_answer(Code::Ok, Vec::new(), &[]),
        None => http_answer(200, &[], Vec::new()),
        Some(Act::Grpc(code, details, message)) => grpc_answer(code, details, &message),
        Some(Act::Http(status, headers, body)) => http_answer(status, headers, body),
        Some(Act::Stall) => std::future::pending().await,
        Some(Act::HangUp) => {
            hang_up.cancel();
            std::future::pending().await
        }
        Some(Act::BreakOff) => {
            let mut answer = http_answer(200, &[("content-length", "100")], b"half".to_vec());
            answer.body_mut().0.push_back(Err(io::Error::other("told to")));
            answer
        }
    }
}

/// The message of a request.
fn plain(grpc: bool, headers: &HeaderMap, body: &[u8]) -> Bytes {
    if headers.contains_key("x-prometheus-remote-write-version") {
        // Snappy's block format, which OTLP does not know.
        return snap::raw::Decoder::new().decompress_vec(body).unwrap().into();
    }
    let name = headers.get(if grpc { "grpc-encoding" } else { "content-encoding" });
    let encoding = name.map_or(Encoding::Identity, |name| Encoding::parse(name.to_str().unwrap()).unwrap());
    if !grpc {
        return decompress(encoding, body, LARGEST_BODY).unwrap();
    }
    let (frame, message) = body.split_first_chunk::<5>().unwrap();
    assert_eq!(u32::from_be_bytes([frame[1], frame[2], frame[3], frame[4]]) as usize, message.len());
    assert_eq!(frame[0] == 1, encoding != Encoding::Identity, "the flag says what the header says");
    decompress(encoding, message, LARGEST_BODY).unwrap()
}

fn grpc_answer(code: Code, details: Vec<u8>, message: &[u8]) -> Response<Frames> {
    let status = Status::with_details(code, "as told", details.into());
    let mut answer = http_answer(200, &[("content-type", "application/grpc")], Vec::new());
    if code == Code::Ok {
        let mut framed = vec![0];
        framed.extend((message.len() as u32).to_be_bytes());
        framed.extend(message);
        let mut trailers = HeaderMap::new();
        status.add_header(&mut trailers).unwrap();
        answer.body_mut().0 = [Ok(Frame::data(framed.into())), Ok(Frame::trailers(trailers))].into();
    } else {
        status.add_header(answer.headers_mut()).unwrap();
    }
    answer
}

fn http_answer(status: u16, headers: &[(&'static str, &'static str)], body: Vec<u8>) -> Response<Frames> {
    let mut answer = Response::new(Frames([Ok(Frame::data(body.into()))].into()));
    *answer.status_mut() = http::StatusCode::from_u16(status).unwrap();
    for (name, value) in headers {
        answer.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    answer
}

/// A body given in advance.
struct Frames(VecDeque<io::Result<Frame<Bytes>>>);

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Poll::Ready(self.0.pop_front())
    }
}

/// Fails the test instead of letting it hang.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.unwrap_or_else(|_| panic!("{what} takes too long"))
}
