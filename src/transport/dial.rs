//! How a gRPC client connects: to a port or a Unix socket, with TLS or without.

use std::{
    io,
    path::PathBuf,
    sync::Arc,
    task::{Context as Task, Poll},
};

use http::Uri;
use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioIo};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::either::Either;
use tower::Service;

use crate::pipeline::Boxed;

type Plain = Either<TcpStream, UnixStream>;
type Stream = Either<Plain, Box<TlsStream<Plain>>>;

/// Opens connections to one destination.
#[derive(Clone)]
pub struct Dial(Arc<Way>);

struct Way {
    to: To,
    /// Tries all addresses of a name, those of both versions of IP side by side.
    connector: HttpConnector,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// Where to.
#[derive(Clone, Debug)]
pub enum To {
    /// `http://host:port`.
    Tcp(Uri),
    /// The path of a socket.
    Unix(PathBuf),
}

impl Dial {
    /// To `to`; over TLS with whom is called by that name.
    pub fn new(to: To, tls: Option<(ClientConfig, ServerName<'static>)>) -> Self {
        let tls = tls.map(|(config, name)| (TlsConnector::from(Arc::new(config)), name));
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self(Arc::new(Way { to, connector, tls }))
    }
}

impl Way {
    async fn connect(&self) -> io::Result<Stream> {
        let plain = match &self.to {
            To::Tcp(uri) => {
                let connected = self.connector.clone().call(uri.clone()).await;
                Either::Left(connected.map_err(io::Error::other)?.into_inner())
            }
            To::Unix(path) => {
                let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
                Either::Right(UnixStream::connect(path).await.map_err(named)?)
            }
        };
        Ok(match &self.tls {
            None => Either::Left(plain),
            Some((tls, name)) => Either::Right(Box::new(tls.connect(name.clone(), plain).await?)),
        })
    }
}

impl Service<Uri> for Dial {
    type Response = TokioIo<Stream>;
    type Error = io::Error;
    type Future = Boxed<'static, io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Task<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let way = self.0.clone();
        Box::pin(async move { way.connect().await.map(TokioIo::new) })
    }
}
