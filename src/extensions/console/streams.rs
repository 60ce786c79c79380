//! Answers that go on: changes as they happen, and everything that is listed line by line.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, broadcast, mpsc};

use super::door::{Door, Links};
use crate::{
    incidents::control::{Fault, proto::Event},
    pipeline::listener::Body,
};

/// Pieces that may wait for a slow reader; one who is slower misses changes and is told so.
const WAITING: usize = 16;
/// How often a quiet stream says that it is still there.
const ALIVE: Duration = Duration::from_secs(15);

/// How a stream's pieces are written.
pub trait Form: Send + Sync + 'static {
    /// One event.
    fn event(&self, event: &Event) -> Bytes;
    /// What keeps a connection open while nothing happens, if the form has it.
    fn alive(&self) -> Option<Bytes>;
    /// What comes after the last piece, if the form has it.
    fn end(&self) -> Option<Frame<Bytes>>;
}

/// A body whose frames come through a channel.
struct Piped(mpsc::Receiver<Frame<Bytes>>);

impl HttpBody for Piped {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|frame| frame.map(Ok))
    }
}

/// A body of the changes that `changes` brings.
pub fn watch(
    links: Links,
    changes: broadcast::Receiver<Arc<Event>>,
    place: OwnedSemaphorePermit,
    cancel: tokio_util::sync::CancellationToken,
    form: impl Form,
) -> Body {
    let (pieces, piped) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        let _place = place;
        tokio::select! {
            () = cancel.cancelled() => {}
            () = carry(changes, &pieces, &form, &links) => {}
        }
        if let Some(end) = form.end() {
            let _ = pieces.send(end).await;
        }
    });
    Piped(piped).boxed_unsync()
}

async fn carry(
    mut changes: broadcast::Receiver<Arc<Event>>,
    pieces: &mpsc::Sender<Frame<Bytes>>,
    form: &impl Form,
    links: &Links,
) {
    loop {
        let piece = match tokio::time::timeout(ALIVE, changes.recv()).await {
            Err(_) => form.alive(),
            Ok(Ok(event)) => Some(form.event(&linked(&event, links))),
            Ok(Err(broadcast::error::RecvError::Lagged(_))) => {
                Some(form.event(&Event { kind: "lagged".to_owned(), ..Event::default() }))
            }
            Ok(Err(broadcast::error::RecvError::Closed)) => return,
        };
        if let Some(piece) = piece
            && pieces.send(Frame::data(piece)).await.is_err()
        {
            return;
        }
        if pieces.is_closed() {
            return;
        }
    }
}

fn linked(event: &Event, links: &Links) -> Event {
    let mut event = event.clone();
    if let Some(incident) = &mut event.incident {
        incident.link = links(&incident.id);
    }
    event
}

/// A place for one more watcher.
pub fn place(door: &Door) -> Result<OwnedSemaphorePermit, Fault> {
    let taken = door.watchers.clone().try_acquire_owned();
    taken.map_err(|_| Fault::exhausted("too many are watching already; close some".to_owned()))
}
