//! The way to a syslog receiver: one connection, opened when it is needed, or datagrams.

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket, UnixStream},
    sync::Mutex,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::config::Endpoint;

/// How long a receiver that should be silent is listened to: a good-bye that has arrived is heard by then.
const LISTEN: Duration = Duration::from_millis(1);

/// Where to, and how.
pub enum Way {
    /// A stream, with TLS for whom is called by that name.
    Tcp(Endpoint, Option<(Arc<ClientConfig>, ServerName<'static>)>),
    /// One message a datagram.
    Udp(Endpoint),
    /// A stream on this machine.
    Unix(PathBuf),
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

enum Open {
    Stream(Box<dyn Stream>),
    Datagrams(UdpSocket),
}

/// Sends messages one after the other.
pub struct Connection {
    way: Way,
    /// Of one attempt, connecting included.
    patience: Duration,
    open: Mutex<Option<Open>>,
}

impl Connection {
    /// Nothing is connected yet.
    pub fn new(way: Way, patience: Duration) -> Self {
        Self { way, patience, open: Mutex::default() }
    }

    /// Writes all `frames`. Syslog has no answers: on success they are in the hands of the system.
    pub async fn send(&self, frames: &[Vec<u8>]) -> io::Result<()> {
        let mut kept = self.open.lock().await;
        // What is dropped half-way through a message is of no more use.
        let open = kept.take();
        let attempt = async {
            let mut open = match open {
                Some(open) => still_open(open).await,
                None => None,
            };
            if open.is_none() {
                open = Some(self.way.connect().await?);
            }
            let mut open = open.ok_or(io::ErrorKind::NotConnected)?;
            write(&mut open, frames).await?;
            Ok(open)
        };
        let late = || io::Error::new(io::ErrorKind::TimedOut, "the destination takes too long");
        *kept = Some(timeout(self.patience, attempt).await.unwrap_or_else(|_| Err(late()))?);
        Ok(())
    }

    /// Says good-bye, so that what was written last arrives.
    pub async fn close(&self) {
        if let Some(Open::Stream(mut stream)) = self.open.lock().await.take() {
            let _ = timeout(self.patience, stream.shutdown()).await;
        }
    }
}

/// `None` if the other end has gone: what is written then is lost without a word.
async fn still_open(open: Open) -> Option<Open> {
    let Open::Stream(mut stream) = open else { return Some(open) };
    let mut heard = [0_u8; 256];
    loop {
        match timeout(LISTEN, stream.read(&mut heard)).await {
            Ok(Ok(0) | Err(_)) => return None,
            Ok(Ok(_)) => {}
            Err(_) => return Some(Open::Stream(stream)),
        }
    }
}

async fn write(open: &mut Open, frames: &[Vec<u8>]) -> io::Result<()> {
    match open {
        Open::Stream(stream) => {
            stream.write_all(&frames.concat()).await?;
            stream.flush().await
        }
        Open::Datagrams(socket) => {
            for frame in frames {
                socket.send(frame).await?;
            }
            Ok(())
        }
    }
}

impl Way {
    async fn connect(&self) -> io::Result<Open> {
        let stream: Box<dyn Stream> = match self {
            Self::Tcp(to, tls) => {
                let plain = TcpStream::connect((to.host.as_str(), to.port)).await?;
                plain.set_nodelay(true)?;
                match tls {
                    None => Box::new(plain),
                    Some((config, name)) => {
                        Box::new(TlsConnector::from(config.clone()).connect(name.clone(), plain).await?)
                    }
                }
            }
            Self::Unix(path) => {
                let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
                Box::new(UnixStream::connect(path).await.map_err(named)?)
            }
            Self::Udp(to) => return datagrams(to).await.map(Open::Datagrams),
        };
        Ok(Open::Stream(stream))
    }
}

async fn datagrams(to: &Endpoint) -> io::Result<UdpSocket> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the destination's name has no address");
    for address in tokio::net::lookup_host((to.host.as_str(), to.port)).await? {
        let any: SocketAddr = if address.is_ipv4() { ([0; 4], 0).into() } else { ([0_u16; 8], 0).into() };
        let socket = UdpSocket::bind(any).await?;
        match socket.connect(address).await {
            Ok(()) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}
