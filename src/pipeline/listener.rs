//! The accept loop every listening receiver shares: bounded connections, TLS, HTTP/1.1 and HTTP/2, graceful end.

use std::{convert::Infallible, future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{either::Either, sync::CancellationToken, task::TaskTracker};

use super::{
    Boxed,
    component::{Context, Running},
    connections::Connections,
    health::Health,
    lifetime::{Activity, Lifetime, idle, old},
    pings::{self, Watched},
    socket::{Plain, Socket, secure},
};

/// A response body: bytes, then perhaps trailers.
pub type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What one stream may have in flight before we read it. Large enough that a usual request is one flight.
const STREAM_WINDOW: u32 = 4 << 20;
/// The same for a whole connection.
const CONNECTION_WINDOW: u32 = 8 << 20;
/// Larger frames mean fewer of them to handle.
const MAX_FRAME: u32 = 1 << 20;
/// Request headers larger than this are refused.
const MAX_HEADER_BYTES: u32 = 64 << 10;
/// What of a connection is buffered before it is read: headers, and pieces of bodies (HTTP/1.1).
const READ_BUFFER: usize = MAX_HEADER_BYTES as usize;
/// Headers must arrive within this time (HTTP/1.1).
const HEADER_DEADLINE: Duration = Duration::from_secs(30);
/// A TLS handshake must be over within this time.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// How long accepting pauses when the process is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// So many connections in a row must fail to be accepted before the listener is said to be in trouble.
const IN_TROUBLE_AFTER: u32 = 10;

/// How long a connection without a request yet may still bring one when the listener stops.
const FIRST_REQUEST: Duration = Duration::from_millis(250);

/// What a listener speaks.
#[derive(Clone, Copy, Debug)]
pub struct Protocol {
    /// HTTP/2 with prior knowledge only, as gRPC is; otherwise HTTP/1.1 too.
    pub http2_only: bool,
    /// Requests at once on one HTTP/2 connection.
    pub max_concurrent_streams: u32,
}

/// How connections are secured and how long they live.
#[derive(Clone, Default)]
pub struct Transport {
    /// TLS, if they are secured.
    pub tls: Option<TlsAcceptor>,
    /// How long they live.
    pub lifetime: Lifetime,
    /// How often clients may ping; as often as they like if not said. For HTTP/2 only.
    pub pings: Option<pings::Policy>,
}

/// A listener being served; stopping it lets the requests in hand finish.
pub struct Listener {
    address: String,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

impl Listener {
    /// Serves each request that comes in at `socket` with `handler`.
    pub fn start<H, F>(
        socket: Socket,
        transport: Transport,
        protocol: Protocol,
        connections: Arc<Connections>,
        handler: H,
        context: &Context,
    ) -> Self
    where
        H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let address = socket.address();
        let (cancel, tasks) = (CancellationToken::new(), TaskTracker::new());
        let builder = connection_builder(protocol, &transport.lifetime);
        let server = Server { builder, transport, handler, cancel: cancel.clone() };
        let accepting =
            Accepting { socket, health: context.health(), component: context.component.clone(), failures: 0 };
        tasks.spawn(context.watch(accept(accepting, connections, server, tasks.clone())));
        Self { address, cancel, tasks }
    }

    /// Where it listens, with the port the system chose for port 0.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The same as an address, if it is a port.
    pub fn port(&self) -> Option<SocketAddr> {
        self.address.parse().ok()
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
    async fn next(&mut self) -> Plain {
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

/// What it takes to serve a connection.
#[derive(Clone)]
struct Server<H> {
    builder: auto::Builder<TokioExecutor>,
    transport: Transport,
    handler: H,
    cancel: CancellationToken,
}

async fn accept<H, F>(
    mut accepting: Accepting,
    connections: Arc<Connections>,
    server: Server<H>,
    tasks: TaskTracker,
) -> Result<(), String>
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    loop {
        let accepted = tokio::select! {
            () = server.cancel.cancelled() => return Ok(()),
            accepted = async {
                let stream = accepting.next().await;
                (connections.enter().await, stream)
            } => accepted,
        };
        let (connection, stream) = accepted;
        let server = server.clone();
        tasks.spawn(async move {
            let ended = tokio::select! {
                ended = server.serve(stream, connection.activity.clone()) => ended,
                // Without a goodbye, for which its other end might let us wait.
                () = connection.must_leave() => Ok(()),
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "connection ended early");
            }
        });
    }
}

impl<H, F> Server<H>
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    async fn serve(
        self,
        plain: Plain,
        activity: Arc<Activity>,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let tls = self.transport.tls.as_ref();
        let handshake = tokio::time::timeout(HANDSHAKE_DEADLINE, secure(plain, tls));
        // A connection that has just come in is not turned away before it has said what it wants.
        let begun = CancellationToken::new();
        let going = told_to_go(self.cancel, begun.clone());
        tokio::pin!(going);
        let stream = tokio::select! {
            stream = handshake => stream.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??,
            () = going.as_mut() => return Ok(()),
        };
        let Transport { lifetime, pings, .. } = self.transport;
        let stream = match pings {
            None => Either::Left(stream),
            Some(policy) => Either::Right(Watched::new(stream, policy, activity.clone())),
        };
        let (handler, happens) = (self.handler, activity.clone());
        let service = service_fn(move |request| {
            begun.cancel();
            let busy = happens.begin();
            let response = handler(request);
            async move {
                let response = response.await;
                drop(busy);
                Ok::<_, Infallible>(response)
            }
        });
        let connection = self.builder.serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = going => connection.as_mut().graceful_shutdown(),
            () = idle(lifetime.idle, &activity) => connection.as_mut().graceful_shutdown(),
            () = old(lifetime.age) => {
                connection.as_mut().graceful_shutdown();
                if let Some(grace) = lifetime.grace {
                    return tokio::time::timeout(grace, connection).await.unwrap_or(Ok(()));
                }
            }
        }
        connection.await
    }
}

fn connection_builder(protocol: Protocol, lifetime: &Lifetime) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_DEADLINE).max_buf_size(READ_BUFFER);
    builder
        .http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(MAX_FRAME)
        .max_header_list_size(MAX_HEADER_BYTES)
        .max_concurrent_streams(protocol.max_concurrent_streams);
    if let Some((after, within)) = lifetime.ask {
        builder.http2().keep_alive_interval(after).keep_alive_timeout(within);
    }
    if protocol.http2_only { builder.http2_only() } else { builder }
}

/// Returns when the listener stops and the connection's first request has begun, or is not coming.
async fn told_to_go(cancel: CancellationToken, begun: CancellationToken) {
    cancel.cancelled().await;
    let _ = tokio::time::timeout(FIRST_REQUEST, begun.cancelled()).await;
}
