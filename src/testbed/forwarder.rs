//! What stands between the functions and the gateway: gathers what finished within a few seconds, groups it by
//! instance and scope, and posts it.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use super::{Delivery, fleet::Instance};
use crate::{
    detect::observation::Nanos,
    otlp::{
        Batch, Signal,
        wire::put_bytes,
        write::{field, nested},
    },
};

/// How long the forwarder gathers.
const WINDOW: Nanos = 5_000_000_000;
/// Most items in one post.
const MOST: usize = 1000;
const SCHEMA: &str = "https://opentelemetry.io/schemas/1.11.0";

/// Items that finished, by the window they finished in.
#[derive(Clone, Debug, Default)]
pub struct Forwarder {
    windows: BTreeMap<u64, Window>,
}

#[derive(Clone, Debug, Default)]
struct Window {
    spans: Pile,
    logs: Pile,
    platform: Pile,
}

/// Encoded items one after the other.
#[derive(Clone, Debug, Default)]
struct Pile {
    bytes: Vec<u8>,
    pieces: Vec<Piece>,
    run: u64,
}

/// One item in a pile.
#[derive(Clone, Debug)]
struct Piece {
    instance: Arc<Instance>,
    scope: &'static str,
    /// Items of one run are posted together.
    run: u64,
    start: usize,
    end: usize,
}

/// Where an item is put.
#[derive(Debug)]
pub struct Place<'a> {
    pile: &'a mut Pile,
    instance: &'a Arc<Instance>,
}

impl Place<'_> {
    /// Adds the item that `write` writes as field [`field::ITEMS`].
    pub fn put(&mut self, scope: &'static str, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.pile.bytes.len();
        write(&mut self.pile.bytes);
        let end = self.pile.bytes.len();
        let run = self.pile.run;
        self.pile.pieces.push(Piece { instance: self.instance.clone(), scope, run, start, end });
    }
}

impl Forwarder {
    /// A place for items of one run that are sent at `at`.
    pub fn place<'a>(&'a mut self, signal: Signal, at: Nanos, instance: &'a Arc<Instance>) -> Place<'a> {
        let window = self.windows.entry(at / WINDOW).or_default();
        let pile = if signal == Signal::Logs { &mut window.logs } else { &mut window.spans };
        pile.run += 1;
        Place { pile, instance }
    }

    /// A place for what the platform says of one run.
    pub fn platform<'a>(&'a mut self, at: Nanos, instance: &'a Arc<Instance>) -> Place<'a> {
        let pile = &mut self.windows.entry(at / WINDOW).or_default().platform;
        pile.run += 1;
        Place { pile, instance }
    }

    /// When the oldest window is posted.
    pub fn due(&self) -> Option<Nanos> {
        self.windows.keys().next().map(|window| (window + 1) * WINDOW)
    }

    /// Posts the oldest window.
    pub fn post(&mut self, posted: &mut VecDeque<Delivery>) {
        let Some((window, content)) = self.windows.pop_first() else { return };
        let at = (window + 1) * WINDOW;
        let piles = [
            (Signal::Traces, content.spans, false),
            (Signal::Logs, content.logs, false),
            (Signal::Logs, content.platform, true),
        ];
        for (signal, pile, platform) in piles {
            for pieces in pile.posts() {
                posted.push_back(Delivery { at, batch: batch(signal, &pile.bytes, pieces, platform) });
            }
        }
    }
}

impl Pile {
    /// The pieces by post: at most [`MOST`], and no run in two posts unless it alone is larger.
    fn posts(&self) -> Vec<Vec<Piece>> {
        let mut posts: Vec<Vec<Piece>> = Vec::new();
        for run in self.pieces.chunk_by(|one, next| one.run == next.run) {
            match posts.last_mut() {
                Some(post) if post.len() + run.len() <= MOST => post.extend_from_slice(run),
                _ => posts.push(run.to_vec()),
            }
        }
        posts
    }
}

fn batch(signal: Signal, bytes: &[u8], mut pieces: Vec<Piece>, platform: bool) -> Batch {
    pieces.sort_by_key(|piece| (piece.instance.number, piece.scope));
    let mut body = Vec::with_capacity(bytes.len() + 1024 * pieces.len().min(64));
    for of_instance in pieces.chunk_by(|one, next| one.instance.number == next.instance.number) {
        let Some(Piece { instance, .. }) = of_instance.first() else { continue };
        nested(&mut body, field::RESOURCES, 2, |out| {
            put_bytes(out, field::RESOURCE, if platform { &instance.platform } else { &instance.resource });
            for of_scope in of_instance.chunk_by(|one, next| one.scope == next.scope) {
                nested(out, field::SCOPES, 2, |out| scope(out, signal, instance, bytes, of_scope));
            }
        });
    }
    Batch { signal, body: body.into(), items: pieces.len() }
}

fn scope(out: &mut Vec<u8>, signal: Signal, instance: &Instance, bytes: &[u8], pieces: &[Piece]) {
    let Some(Piece { scope, .. }) = pieces.first() else { return };
    nested(out, field::SCOPE, 1, |out| {
        put_bytes(out, 1, scope.as_bytes());
        if signal == Signal::Traces {
            put_bytes(out, 2, instance.scope_version.as_bytes());
        }
    });
    for piece in pieces {
        out.extend_from_slice(bytes.get(piece.start..piece.end).unwrap_or_default());
    }
    if signal == Signal::Traces {
        put_bytes(out, field::SCHEMA_URL, SCHEMA.as_bytes());
    }
}
