//! Listening sockets that outlive their listener: a reload hands them from a changed receiver to its successor, so that
//! no connection is refused in between.

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use super::socket::{Bound, Socket};

/// Where to listen.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// `host:port`.
    Port(&'a str),
    /// The path of a Unix socket.
    Path(&'a Path),
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
    bound: Weak<Bound>,
    /// Whether its listener is about to stop.
    released: bool,
}

/// Which sockets were whose before a reload.
#[derive(Debug)]
pub struct Before(Vec<Held>);

impl Sockets {
    /// Its name in [`Shared`](super::component::Shared).
    pub const NAME: &'static str = "pipeline::sockets";

    /// Binds `place`, or takes over a released socket that is bound to it.
    pub async fn listen(&self, component: &str, purpose: &str, place: Place<'_>) -> io::Result<Socket> {
        let endpoint = match place {
            Place::Port(endpoint) => endpoint.to_owned(),
            Place::Path(path) => path.display().to_string(),
        };
        let bound = match (self.take_over(component, purpose, &endpoint), place) {
            (Some(bound), _) => bound,
            (None, Place::Port(endpoint)) => Arc::new(Bound::tcp(endpoint).await?),
            (None, Place::Path(path)) => Arc::new(Bound::unix(path).await?),
        };
        let socket = Socket::over(bound.clone())?;
        let mut sockets = self.held();
        sockets.retain(|held| held.bound.strong_count() > 0);
        sockets.push(Held {
            component: component.to_owned(),
            purpose: purpose.to_owned(),
            endpoint,
            address: bound.address(),
            bound: Arc::downgrade(&bound),
            released: false,
        });
        Ok(socket)
    }

    fn take_over(&self, component: &str, purpose: &str, endpoint: &str) -> Option<Arc<Bound>> {
        let mut sockets = self.held();
        // Port 0 is any port: only the same component can mean the same socket.
        let any_port = endpoint.ends_with(":0");
        let index = sockets.iter().position(|held| {
            let same_user = held.component == component && held.purpose == purpose;
            let same_place = held.endpoint == endpoint || held.address == endpoint;
            held.released && same_place && (!any_port || same_user)
        })?;
        sockets.swap_remove(index).bound.upgrade()
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
    use tokio::net::{TcpStream, UnixStream};
    use tokio_util::either::Either;

    use super::*;

    const ANY: Place<'_> = Place::Port("127.0.0.1:0");

    async fn connects(address: &str) -> bool {
        TcpStream::connect(address).await.is_ok()
    }

    /// Scenario: a socket in use is asked for, then released and asked for again, and the first listener stops.
    /// Guarantees: it is not shared unasked; the successor hears on the same port, also what was queued before.
    #[tokio::test]
    async fn a_released_socket_is_taken_over_with_its_queue() {
        let sockets = Sockets::default();
        let first = sockets.listen("receiver otlp", "grpc", ANY).await.unwrap();
        let address = first.address();
        assert!(sockets.listen("receiver otlp/2", "grpc", Place::Port(&address)).await.is_err(), "still in use");
        let queued = TcpStream::connect(&address).await.unwrap();
        let before = sockets.release(&["receiver otlp".to_owned()]);
        let other = sockets.listen("receiver otlp", "http", ANY).await.unwrap();
        assert_ne!(other.address(), address, "port 0 for something else is another port");
        let second = sockets.listen("receiver otlp", "grpc", ANY).await.unwrap();
        assert_eq!(second.address(), address);
        sockets.settle();
        drop(first);
        let Either::Left(accepted) = second.accept().await.unwrap() else { panic!("a TCP connection") };
        assert_eq!(accepted.peer_addr().unwrap(), queued.local_addr().unwrap());
        assert!(connects(&address).await);
        drop(second);
        assert!(!connects(&address).await, "closed with its last listener");
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
        assert_eq!(again.address(), first.address());
    }

    #[tokio::test]
    async fn a_path_stays_for_its_successor_and_goes_with_the_last() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("otlp.sock");
        let sockets = Sockets::default();
        let first = sockets.listen("receiver otlp", "grpc", Place::Path(&path)).await.unwrap();
        let _ = sockets.release(&["receiver otlp".to_owned()]);
        let second = sockets.listen("receiver otlp", "grpc", Place::Path(&path)).await.unwrap();
        drop(first);
        assert!(UnixStream::connect(&path).await.is_ok());
        drop(second);
        assert!(!path.exists());
    }
}
