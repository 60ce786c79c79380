//! The accept loop every listening receiver shares: bounded connections, HTTP/1.1 and HTTP/2, graceful end.

use std::{convert::Infallible, future::Future, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Boxed,
    component::{Context, Running},
    health::Health,
    sockets::Socket,
};

/// A response body: bytes, then perhaps trailers.
pub type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Connections served at once on one listener; the next ones wait in the kernel's backlog.
const MAX_CONNECTIONS: usize = 4096;
/// What one stream may have in flight before we read it. Large enough that a usual request is one flight.
const STREAM_WINDOW: u32 = 4 << 20;
/// The same for a whole connection.
const CONNECTION_WINDOW: u32 = 8 << 20;
/// Larger frames mean fewer of them to handle.
const MAX_FRAME: u32 = 1 << 20;
/// Request headers larger than this are refused.
const MAX_HEADER_BYTES: u32 = 64 << 10;
/// Headers must arrive within this time (HTTP/1.1).
const HEADER_DEADLINE: Duration = Duration::from_secs(30);
/// How long accepting pauses when the process is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// So many connections in a row must fail to be accepted before the listener is said to be in trouble.
const IN_TROUBLE_AFTER: u32 = 10;

/// What a listener speaks.
#[derive(Clone, Copy, Debug)]
pub struct Protocol {
    /// HTTP/2 with prior knowledge only, as gRPC is; otherwise HTTP/1.1 too.
    pub http2_only: bool,
    /// Requests at once on one HTTP/2 connection.
    pub max_concurrent_streams: u32,
}

/// A listener being served; stopping it lets the requests in hand finish.
pub struct Listener {
    address: SocketAddr,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

impl Listener {
    /// Binds `endpoint`, or takes over the socket of a predecessor that served the same `purpose`, and serves each
    /// request with `handler`.
    pub async fn start<H, F>(
        context: &Context,
        purpose: &str,
        endpoint: &str,
        protocol: Protocol,
        handler: H,
    ) -> std::io::Result<Self>
    where
        H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let socket = context.sockets().listen(&context.component, purpose, endpoint).await?;
        let address = socket.local_addr()?;
        let cancel = CancellationToken::new();
        let tasks = TaskTracker::new();
        let (health, component) = (context.health(), context.component.clone());
        let accepting = Accepting { socket, health, component, failures: 0 };
        tasks.spawn(context.watch(accept(accepting, protocol, handler, cancel.clone(), tasks.clone())));
        Ok(Self { address, cancel, tasks })
    }

    /// Where it listens, with the port the system chose for port 0.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Running for Listener {
    fn stop(&self) -> Boxed<'_, ()> {
        Box::pin(async move {
            self.cancel.cancel();
            self.tasks.close();
            self.tasks.wait().await;
        })
    }
}

/// The socket, and how accepting goes.
struct Accepting {
    socket: Socket,
    health: Arc<Health>,
    component: String,
    /// Since the last connection that was accepted.
    failures: u32,
}

impl Accepting {
    async fn next(&mut self) -> tokio::net::TcpStream {
        loop {
            match self.socket.accept().await {
                Ok(stream) => {
                    if std::mem::take(&mut self.failures) >= IN_TROUBLE_AFTER {
                        self.health.trouble(&self.component, None);
                    }
                    return stream;
                }
                Err(error) => {
                    self.failures = self.failures.saturating_add(1);
                    tracing::warn!(component = self.component, %error, "cannot accept a connection, trying again");
                    if self.failures >= IN_TROUBLE_AFTER {
                        self.health.trouble(&self.component, Some(format!("cannot accept connections: {error}")));
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

async fn accept<H, F>(
    mut accepting: Accepting,
    protocol: Protocol,
    handler: H,
    cancel: CancellationToken,
    tasks: TaskTracker,
) -> Result<(), String>
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let builder = connection_builder(protocol);
    loop {
        let accepted = tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            accepted = async { (room.clone().acquire_owned().await, accepting.next().await) } => accepted,
        };
        let (Ok(permit), stream) = accepted else { return Err("its count of connections is closed".to_owned()) };
        let _ = stream.set_nodelay(true);
        let (builder, handler, cancel) = (builder.clone(), handler.clone(), cancel.clone());
        tasks.spawn(async move {
            let service = service_fn(move |request| {
                let response = handler(request);
                async move { Ok::<_, Infallible>(response.await) }
            });
            let connection = builder.serve_connection(TokioIo::new(stream), service);
            tokio::pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = cancel.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "connection ended early");
            }
            drop(permit);
        });
    }
}

fn connection_builder(protocol: Protocol) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_DEADLINE);
    builder
        .http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(MAX_FRAME)
        .max_header_list_size(MAX_HEADER_BYTES)
        .max_concurrent_streams(protocol.max_concurrent_streams);
    if protocol.http2_only { builder.http2_only() } else { builder }
}
