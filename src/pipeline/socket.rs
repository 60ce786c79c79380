//! What a listener accepts connections on: a TCP port or a Unix socket, secured or not.

use std::{
    fs, io,
    net::SocketAddr,
    os::unix::fs::FileTypeExt as _,
    path::{Path, PathBuf},
};

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::either::Either;

/// A connection as it was accepted.
pub type Plain = Either<TcpStream, UnixStream>;
/// A connection as it is served.
pub type Stream = Either<Plain, Box<TlsStream<Plain>>>;

/// A bound socket.
pub enum Socket {
    /// A port of this machine.
    Tcp(TcpListener, SocketAddr),
    /// A path; the file is removed with the socket.
    Unix(UnixListener, PathBuf),
}

impl Socket {
    /// Binds `host:port`; `:port` is every address of this machine.
    pub async fn tcp(endpoint: &str) -> io::Result<Self> {
        let listener = TcpListener::bind(endpoint).await?;
        let address = listener.local_addr()?;
        Ok(Self::Tcp(listener, address))
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
        Ok(Self::Unix(bound?, path.to_owned()))
    }

    /// Where it listens, with the port the system chose for port 0.
    pub fn address(&self) -> String {
        match self {
            Self::Tcp(_, address) => address.to_string(),
            Self::Unix(_, path) => path.display().to_string(),
        }
    }

    /// The next connection.
    pub async fn accept(&self) -> io::Result<Plain> {
        match self {
            Self::Tcp(listener, _) => {
                let (stream, _) = listener.accept().await?;
                let _ = stream.set_nodelay(true);
                Ok(Either::Left(stream))
            }
            Self::Unix(listener, _) => Ok(Either::Right(listener.accept().await?.0)),
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Self::Unix(_, path) = self {
            let _ = fs::remove_file(path);
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
