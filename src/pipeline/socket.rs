//! What a listener accepts connections on: a TCP port or a Unix socket, secured or not.

use std::{
    fs, io, net,
    os::unix::{fs::FileTypeExt as _, net as net_unix},
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::either::Either;

/// A connection as it was accepted.
pub type Plain = Either<TcpStream, UnixStream>;
/// A connection as it is served.
pub type Stream = Either<Plain, Box<TlsStream<Plain>>>;

/// What a listener is bound to: closed, and a path removed, with the last [`Socket`] over it.
#[derive(Debug)]
pub enum Bound {
    /// A port of this machine.
    Tcp(net::TcpListener),
    /// A path.
    Unix(net_unix::UnixListener, PathBuf),
}

impl Bound {
    /// Binds `host:port`; `:port` is every address of this machine.
    pub async fn tcp(endpoint: &str) -> io::Result<Self> {
        Ok(Self::Tcp(TcpListener::bind(endpoint).await?.into_std()?))
    }

    /// Binds a path. A socket nobody serves any more, as a killed process leaves behind, is replaced.
    pub async fn unix(path: &Path) -> io::Result<Self> {
        let bound = match UnixListener::bind(path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_abandoned(path).await => {
                fs::remove_file(path)?;
                UnixListener::bind(path)
            }
            bound => bound,
        };
        Ok(Self::Unix(bound?.into_std()?, path.to_owned()))
    }

    /// Where that is, with the port the system chose for port 0.
    pub fn address(&self) -> String {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(|address| address.to_string()).unwrap_or_default(),
            Self::Unix(_, path) => path.display().to_string(),
        }
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        if let Self::Unix(_, path) = self {
            let _ = fs::remove_file(path);
        }
    }
}

/// Accepts connections. Several may do so over one [`Bound`]: the kernel's queue is theirs together.
#[derive(Debug)]
pub struct Socket {
    listener: Accept,
    bound: Arc<Bound>,
}

#[derive(Debug)]
enum Accept {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Socket {
    /// Listens at `bound`.
    pub fn over(bound: Arc<Bound>) -> io::Result<Self> {
        let listener = match bound.as_ref() {
            Bound::Tcp(listener) => Accept::Tcp(TcpListener::from_std(listener.try_clone()?)?),
            Bound::Unix(listener, _) => Accept::Unix(UnixListener::from_std(listener.try_clone()?)?),
        };
        Ok(Self { listener, bound })
    }

    /// Where it listens, with the port the system chose for port 0.
    pub fn address(&self) -> String {
        self.bound.address()
    }

    /// The next connection.
    pub async fn accept(&self) -> io::Result<Plain> {
        match &self.listener {
            Accept::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                let _ = stream.set_nodelay(true);
                Ok(Either::Left(stream))
            }
            Accept::Unix(listener) => Ok(Either::Right(listener.accept().await?.0)),
        }
    }
}

async fn is_abandoned(path: &Path) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    is_socket && UnixStream::connect(path).await.is_err_and(refused)
}

/// `plain`, secured if it must be.
pub async fn secure(plain: Plain, tls: Option<&TlsAcceptor>) -> io::Result<Stream> {
    match tls {
        None => Ok(Either::Left(plain)),
        Some(tls) => Ok(Either::Right(Box::new(tls.accept(plain).await?))),
    }
}
