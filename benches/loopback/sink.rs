//! The destination: takes OTLP over gRPC and HTTP, counts what arrives by request, and misbehaves when told to.
//!
//! Commands are lines on stdin, answers are lines on stdout.

use std::{
    convert::Infallible,
    io::BufRead as _,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use sekisho::otlp::{
    Signal,
    compression::{Encoding, decompress},
};
use tokio::{
    net::TcpListener,
    sync::watch,
    task::{JoinHandle, JoinSet},
};

use super::{
    Fallible,
    payload::{self, PREFIX, UNCOUNTED},
    say,
};

const LARGEST: usize = 256 << 20;
/// HTTP/2 windows no request has to wait for.
const WINDOW: u32 = 8 << 20;

/// What it does with requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Takes,
    /// Reads and does not answer.
    Stalls,
    /// Answers UNAVAILABLE, or 503.
    Refuses,
}

/// What has arrived since the last reset.
#[derive(Debug, Default)]
struct Arrived {
    /// By request.
    items: Mutex<Vec<u32>>,
    total: AtomicU64,
    bytes: AtomicU64,
    requests: AtomicU64,
}

/// Serves until stdin ends. `frame` is the largest HTTP/2 frame it asks for.
pub async fn run(frame: u32) -> Fallible<()> {
    let arrived = Arc::new(Arrived::default());
    let (mood, watched) = watch::channel(Mood::Takes);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    say(&serde_json::json!({ "port": address.port() }))?;
    let mut serving = Some(serve(listener, frame, arrived.clone(), watched.clone()));
    let mut commands = commands();
    while let Some(command) = commands.recv().await {
        match command.as_str() {
            "reset" => arrived.reset(),
            "take" => _ = mood.send_replace(Mood::Takes),
            "stall" => _ = mood.send_replace(Mood::Stalls),
            "refuse" => _ = mood.send_replace(Mood::Refuses),
            // As if the process were gone: the listener and every connection, at once.
            "die" => {
                if let Some(serving) = serving.take() {
                    serving.abort();
                    let _ = serving.await;
                }
            }
            "live" => serving = Some(serve(TcpListener::bind(address).await?, frame, arrived.clone(), watched.clone())),
            "total" => {}
            "items" => {
                let items = arrived.items.lock().map_err(|_| "the sink broke down")?;
                say(&serde_json::json!({ "items": *items }))?;
                continue;
            }
            other => return Err(format!("the sink does not know {other:?}").into()),
        }
        let [total, bytes, requests] =
            [&arrived.total, &arrived.bytes, &arrived.requests].map(|count| count.load(Ordering::Relaxed));
        say(&serde_json::json!({ "total": total, "bytes": bytes, "requests": requests }))?;
    }
    Ok(())
}

/// Lines of stdin; ends with it.
pub fn commands() -> tokio::sync::mpsc::Receiver<String> {
    let (send, receive) = tokio::sync::mpsc::channel(16);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if send.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receive
}

impl Arrived {
    fn reset(&self) {
        if let Ok(mut items) = self.items.lock() {
            items.clear();
        }
        for count in [&self.total, &self.bytes, &self.requests] {
            count.store(0, Ordering::Relaxed);
        }
    }

    fn count(&self, signal: Signal, body: &[u8], received: usize) {
        let Ok(mut items) = self.items.lock() else { return };
        let mut counted = 0;
        for number in payload::numbers(signal, body).filter(|number| *number != UNCOUNTED) {
            let at = number as usize;
            if items.len() <= at {
                items.resize(at + 1, 0);
            }
            items[at] += 1;
            counted += 1;
        }
        self.total.fetch_add(counted, Ordering::Relaxed);
        self.bytes.fetch_add(received as u64, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
    }
}

fn serve(listener: TcpListener, frame: u32, arrived: Arc<Arrived>, mood: watch::Receiver<Mood>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut connections = JoinSet::new();
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http2().initial_stream_window_size(WINDOW).initial_connection_window_size(WINDOW).max_frame_size(frame);
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let (builder, arrived, mood) = (builder.clone(), arrived.clone(), mood.clone());
            connections.spawn(async move {
                let service = service_fn(move |request| {
                    let taken = take(request, arrived.clone(), mood.clone());
                    async move { Ok::<_, Infallible>(taken.await) }
                });
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            });
            while connections.try_join_next().is_some() {}
        }
    })
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

async fn take(request: Request<Incoming>, arrived: Arc<Arrived>, mut mood: watch::Receiver<Mood>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    let signal = if path.ends_with("/traces") || path.contains(".trace.") { Signal::Traces } else { Signal::Logs };
    let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("").to_owned();
    let grpc = text("content-type").starts_with("application/grpc");
    let encoding = Encoding::parse(&text(if grpc { "grpc-encoding" } else { "content-encoding" }));
    let Some(received) = whole(body).await else { return answer(grpc, false) };
    let _ = mood.wait_for(|mood| *mood != Mood::Stalls).await;
    if *mood.borrow() == Mood::Refuses {
        return answer(grpc, false);
    }
    let (encoding, message) = match (grpc, received.first()) {
        (true, Some(0)) => (Some(Encoding::Identity), received.slice(PREFIX..)),
        (true, _) => (encoding, received.slice(PREFIX.min(received.len())..)),
        (false, _) => (encoding, received.clone()),
    };
    let plain = match encoding {
        Some(Encoding::Identity) => message,
        Some(encoding) => match decompress(encoding, &message, LARGEST) {
            Ok(plain) => plain,
            Err(_) => return answer(grpc, false),
        },
        None => return answer(grpc, false),
    };
    arrived.count(signal, &plain, received.len());
    answer(grpc, true)
}

async fn whole(mut body: Incoming) -> Option<Bytes> {
    let (mut first, mut all) = (Bytes::new(), BytesMut::new());
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.ok()?.into_data() else { continue };
        if first.is_empty() {
            first = data;
        } else {
            if all.is_empty() {
                all.extend_from_slice(&first);
            }
            all.extend_from_slice(&data);
        }
    }
    Some(if all.is_empty() { first } else { all.freeze() })
}

fn answer(grpc: bool, taken: bool) -> Response<Body> {
    let kind = if grpc { "application/grpc" } else { "application/x-protobuf" };
    let body = if grpc && taken {
        let trailers = HeaderMap::from_iter([(http::HeaderName::from_static("grpc-status"), HeaderValue::from(0))]);
        Full::from(&[0_u8; PREFIX][..]).with_trailers(std::future::ready(Some(Ok(trailers)))).boxed_unsync()
    } else {
        Full::default().boxed_unsync()
    };
    let mut response = Response::new(body);
    response.headers_mut().insert("content-type", HeaderValue::from_static(kind));
    if !taken && grpc {
        response.headers_mut().insert("grpc-status", HeaderValue::from(tonic::Code::Unavailable as i32));
    } else if !taken {
        *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}
