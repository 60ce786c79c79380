//! Listening sockets that outlive their listener: a reload hands them from a changed receiver to its successor, so that
//! no connection is refused in between.

use std::{
    io, net,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use tokio::net::{TcpListener, TcpStream};

/// A bound socket. The kernel's queue of connections is shared by all copies of it.
#[derive(Debug)]
pub struct Socket {
    listener: TcpListener,
    /// Keeps the socket findable for as long as this copy lives.
    _held: Arc<net::TcpListener>,
}

impl Socket {
    /// The next connection.
    pub async fn accept(&self) -> io::Result<TcpStream> {
        Ok(self.listener.accept().await?.0)
    }

    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<net::SocketAddr> {
        self.listener.local_addr()
    }
}

/// The sockets of one running service.
#[derive(Debug, Default)]
pub struct Sockets(Mutex<Vec<Held>>);

#[derive(Clone, Debug)]
struct Held {
    component: String,
    /// What it is for, where one component has several: `grpc`, `http`.
    purpose: String,
    /// As the configuration has it; the port may be 0.
    endpoint: String,
    /// Where that is.
    address: String,
    socket: Weak<net::TcpListener>,
    /// Whether its listener is about to stop.
    released: bool,
}

/// Which sockets were whose before a reload.
#[derive(Debug)]
pub struct Before(Vec<Held>);

impl Sockets {
    /// Its name in [`Shared`](super::component::Shared).
    pub const NAME: &'static str = "pipeline::sockets";

    /// Binds `endpoint`, or takes over a released socket that is bound to it.
    pub async fn listen(&self, component: &str, purpose: &str, endpoint: &str) -> io::Result<Socket> {
        let held = match self.take_over(component, purpose, endpoint) {
            Some(held) => held,
            None => Arc::new(TcpListener::bind(endpoint).await?.into_std()?),
        };
        let listener = TcpListener::from_std(held.try_clone()?)?;
        let mut sockets = self.held();
        sockets.retain(|held| held.socket.strong_count() > 0);
        sockets.push(Held {
            component: component.to_owned(),
            purpose: purpose.to_owned(),
            endpoint: endpoint.to_owned(),
            address: listener.local_addr()?.to_string(),
            socket: Arc::downgrade(&held),
            released: false,
        });
        Ok(Socket { listener, _held: held })
    }

    fn take_over(&self, component: &str, purpose: &str, endpoint: &str) -> Option<Arc<net::TcpListener>> {
        let mut sockets = self.held();
        // Port 0 is any port: only the same component can mean the same socket.
        let any_port = endpoint.ends_with(":0");
        let index = sockets.iter().position(|held| {
            let same_user = held.component == component && held.purpose == purpose;
            let same_place = held.endpoint == endpoint || held.address == endpoint;
            held.released && same_place && (!any_port || same_user)
        })?;
        sockets.swap_remove(index).socket.upgrade()
    }

    /// Lets the sockets of `components` be taken over. They go on listening until their listeners stop.
    pub fn release(&self, components: &[String]) -> Before {
        let mut sockets = self.held();
        let before = sockets.clone();
        for held in sockets.iter_mut().filter(|held| components.contains(&held.component)) {
            held.released = true;
        }
        Before(before)
    }

    /// After a reload that succeeded: what nobody took over is not to be had any more.
    pub fn settle(&self) {
        self.held().retain(|held| !held.released);
    }

    /// After a reload that failed: everything belongs to whom it belonged to.
    pub fn restore(&self, before: Before) {
        *self.held() = before.0;
    }

    fn held(&self) -> MutexGuard<'_, Vec<Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: &str = "127.0.0.1:0";

    async fn connects(address: net::SocketAddr) -> bool {
        TcpStream::connect(address).await.is_ok()
    }

    /// Scenario: a socket in use is asked for, then released and asked for again, and the first listener stops.
    /// Guarantees: it is not shared unasked; the successor hears on the same port, also what was queued before.
    #[tokio::test]
    async fn a_released_socket_is_taken_over_with_its_queue() {
        let sockets = Sockets::default();
        let first = sockets.listen("receiver otlp", "grpc", ANY).await.unwrap();
        let address = first.local_addr().unwrap();
        let fixed = address.to_string();
        assert!(sockets.listen("receiver otlp/2", "grpc", &fixed).await.is_err(), "still in use");
        let queued = TcpStream::connect(address).await.unwrap();
        let before = sockets.release(&["receiver otlp".to_owned()]);
        let other = sockets.listen("receiver otlp", "http", ANY).await.unwrap();
        assert_ne!(other.local_addr().unwrap(), address, "port 0 for something else is another port");
        let second = sockets.listen("receiver otlp", "grpc", ANY).await.unwrap();
        assert_eq!(second.local_addr().unwrap(), address);
        sockets.settle();
        drop(first);
        assert_eq!(second.accept().await.unwrap().peer_addr().unwrap(), queued.local_addr().unwrap());
        assert!(connects(address).await);
        drop(second);
        assert!(!connects(address).await, "closed with its last listener");
        drop(before);
    }

    #[tokio::test]
    async fn after_a_failed_reload_a_socket_is_its_old_owners() {
        let sockets = Sockets::default();
        let first = sockets.listen("receiver otlp", "grpc", ANY).await.unwrap();
        let before = sockets.release(&["receiver otlp".to_owned()]);
        drop(sockets.listen("receiver otlp", "grpc", ANY).await.unwrap());
        sockets.restore(before);
        let _ = sockets.release(&["receiver otlp".to_owned()]);
        let again = sockets.listen("receiver otlp", "grpc", ANY).await.unwrap();
        assert_eq!(again.local_addr().unwrap(), first.local_addr().unwrap());
    }
}
