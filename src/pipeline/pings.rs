//! Ends HTTP/2 connections whose client pings more often than it may.
//!
//! The HTTP/2 library answers pings without a word to us, so they are found in the bytes that come in: a frame's header
//! says what it is and how long, the rest is skipped. The rules are gRPC's: two pings too soon are forgiven, and every
//! request answered in between clears the count.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use super::lifetime::Activity;

/// How often a client may ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Not sooner than this after the last one.
    pub min_time: Duration,
    /// Also while there is no request; otherwise then every two hours at most.
    pub permit_without_stream: bool,
}

const WITHOUT_STREAM: Duration = Duration::from_hours(2);
const FORGIVEN: u32 = 2;
/// What an HTTP/2 client begins with.
const PREFACE: usize = 24;
const HEADER: usize = 9;
const PING: u8 = 6;
const ACK: u8 = 1;

/// A connection whose pings are counted.
pub struct Watched<S> {
    stream: S,
    policy: Policy,
    activity: Arc<Activity>,
    frames: Frames,
    last: Option<Instant>,
    strikes: u32,
}

impl<S> Watched<S> {
    /// Watches `stream`, on which `activity` happens.
    pub fn new(stream: S, policy: Policy, activity: Arc<Activity>) -> Self {
        Self { stream, policy, activity, frames: Frames::default(), last: None, strikes: 0 }
    }

    /// Takes note of a ping; false if it is one too many.
    fn allows(&mut self, now: Instant) -> bool {
        let Some(last) = self.last.replace(now) else { return true };
        if self.activity.ended_since(last) {
            self.strikes = 0;
            return true;
        }
        let idle = !self.activity.is_busy() && !self.policy.permit_without_stream;
        let minimum = if idle { WITHOUT_STREAM } else { self.policy.min_time };
        if now.duration_since(last) < minimum {
            self.strikes += 1;
        }
        self.strikes <= FORGIVEN
    }
}

/// Where in the stream of frames we are.
struct Frames {
    /// Bytes that say nothing to us.
    skip: usize,
    header: [u8; HEADER],
    have: usize,
}

impl Default for Frames {
    fn default() -> Self {
        Self { skip: PREFACE, header: [0; HEADER], have: 0 }
    }
}

impl Frames {
    /// The pings whose header ends in `bytes`.
    fn pings(&mut self, mut bytes: &[u8]) -> usize {
        let mut pings = 0;
        while let Some((&byte, rest)) = bytes.split_first() {
            if self.skip > 0 {
                let skipped = self.skip.min(bytes.len());
                self.skip -= skipped;
                bytes = bytes.get(skipped..).unwrap_or_default();
                continue;
            }
            if let Some(place) = self.header.get_mut(self.have) {
                *place = byte;
            }
            self.have += 1;
            bytes = rest;
            if self.have == HEADER {
                let [a, b, c, kind, flags, ..] = self.header;
                self.skip = u32::from_be_bytes([0, a, b, c]) as usize;
                self.have = 0;
                pings += usize::from(kind == PING && flags & ACK == 0);
            }
        }
        pings
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let pings = self.frames.pings(buffer.filled().get(before..).unwrap_or_default());
        for _ in 0..pings {
            if !self.allows(Instant::now()) {
                return Poll::Ready(Err(io::Error::other("the client pings too often")));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = (payload.len() as u32).to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, 0], payload].concat()
    }

    #[test]
    fn pings_are_found_wherever_the_bytes_are_cut() {
        let sent = [
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            frame(4, 0, b""),
            frame(PING, 0, b"12345678"),
            // What looks like a ping inside a frame is none, and neither is an answer.
            frame(0, 0, &frame(PING, 0, b"12345678")),
            frame(PING, ACK, b"12345678"),
            frame(PING, 0, b"12345678"),
        ]
        .concat();
        for cut in 1..sent.len() {
            let mut frames = Frames::default();
            let pings: usize = sent.chunks(cut).map(|chunk| frames.pings(chunk)).sum();
            assert_eq!(pings, 2, "in pieces of {cut}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn three_pings_too_soon_are_too_many_and_requests_clear_the_count() {
        let policy = |permit_without_stream| Policy { min_time: 10 * SECOND, permit_without_stream };
        let allowed = async |permit_without_stream, pause, requests: bool| {
            let activity = Arc::new(Activity::default());
            let mut watched = Watched::new((), policy(permit_without_stream), activity.clone());
            let mut allowed = 0;
            while allowed < 10 && watched.allows(Instant::now()) {
                allowed += 1;
                tokio::time::advance(pause).await;
                if requests {
                    drop(activity.begin());
                    tokio::time::advance(pause).await;
                }
            }
            allowed
        };
        assert_eq!(allowed(true, SECOND, false).await, 3, "the first, and two that are forgiven");
        assert_eq!(allowed(true, 11 * SECOND, false).await, 10, "slow enough");
        assert_eq!(allowed(false, 11 * SECOND, false).await, 3, "there is no request");
        assert_eq!(allowed(false, SECOND, true).await, 10, "requests in between");
    }
}
