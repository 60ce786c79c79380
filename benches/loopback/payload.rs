//! Requests that are ready before the clock starts: what the testbed's airline posts, stamped so that each is new.
//!
//! Every request carries a number in the first four bytes of its items' trace ids, by which the sink tells what has
//! arrived, and how often. Times and invocation ids are new in each, so that no gateway sees the same thing twice.

use bytes::Bytes;
use sekisho::{
    detect::observation::Nanos,
    otlp::{
        Signal,
        compression::{Encoding, compress},
        view::raw_key_value,
        wire::{Fields, Value, put_bytes},
    },
    testbed::{DEFAULT_START, Options, Simulation},
};

/// gRPC's flag and length before each message.
pub const PREFIX: usize = 5;
/// The number of requests that nobody counts.
pub const UNCOUNTED: u32 = u32::MAX;
/// Different requests; their ids and times are stamped anew each time they are sent.
const TEMPLATES: usize = 64;
/// The airline's posts have up to a thousand items; smaller ones are left out.
const FULL: usize = 900;
/// Busy enough that most posts are full.
const SCALE: f64 = 3000.0;
/// Event time between one request and the next: what half a million items a second would be.
const PACE: Nanos = 2_000_000;
/// What a detector has seen before it is measured.
const HISTORY_DAYS: u32 = 9;
const HISTORY_SCALE: f64 = 0.25;
/// The first measured request is of this time: the day after the history.
const NOW: Nanos = DEFAULT_START + HISTORY_DAYS as Nanos * 86_400_000_000_000;

/// A request, and where to write into it.
struct Template {
    body: Vec<u8>,
    items: u32,
    /// The end of its five seconds.
    at: Nanos,
    stamps: Vec<Stamp>,
}

struct Stamp {
    offset: usize,
    what: What,
}

#[derive(Clone, Copy)]
enum What {
    Time,
    Trace,
    Invocation,
}

/// A request as it is sent.
#[derive(Clone)]
pub struct Payload {
    /// The body, with room for gRPC's prefix already filled.
    pub body: Bytes,
    /// Its number; [`UNCOUNTED`] if it is not to be accounted for.
    pub number: u32,
    /// Items in it.
    pub items: u32,
}

/// All requests of one signal and encoding.
pub struct Pool {
    encoding: Encoding,
    templates: Vec<Template>,
    /// Compressed ones are made beforehand, and used again when they run out.
    ready: Vec<Payload>,
    next: u32,
}

impl Pool {
    /// Makes what can be made beforehand: `compressed` requests if they are to be compressed.
    pub fn new(signal: Signal, encoding: Encoding, compressed: usize) -> Self {
        let airline = Simulation::new(Options { days: 2, scale: SCALE, ..Options::default() });
        let templates = airline
            .filter(|post| post.batch.signal == signal && post.batch.items >= FULL)
            .take(TEMPLATES)
            .map(|post| Template::new(signal, &post.batch.body, post.batch.items, post.at))
            .collect();
        let mut pool = Self { encoding, templates, ready: Vec::new(), next: 0 };
        if encoding != Encoding::Identity {
            pool.ready = (0..compressed).map(|_| pool.stamp()).collect();
            pool.next = 0;
        }
        pool
    }

    /// The next request; compressed ones may come round again.
    pub fn next(&mut self) -> Payload {
        if self.ready.is_empty() {
            return self.stamp();
        }
        let at = self.next as usize % self.ready.len();
        self.next += 1;
        self.ready.get(at).cloned().expect("the remainder is within the pool")
    }

    /// Whether requests have come round again since [`Pool::begin`].
    pub fn came_round(&self) -> bool {
        !self.ready.is_empty() && self.next as usize > self.ready.len()
    }

    /// Starts from the first number again.
    pub fn begin(&mut self) {
        self.next = 0;
    }

    /// Plain bytes an item.
    pub fn bytes_an_item(&self) -> f64 {
        let bytes: usize = self.templates.iter().map(|template| template.body.len()).sum();
        let items: u32 = self.templates.iter().map(|template| template.items).sum();
        bytes as f64 / f64::from(items.max(1))
    }

    fn stamp(&mut self) -> Payload {
        let number = self.next;
        self.next += 1;
        let template = &self.templates[number as usize % self.templates.len()];
        let at = NOW + Nanos::from(number) * PACE;
        Payload { body: template.stamped(number, at, self.encoding), number, items: template.items }
    }
}

impl Template {
    fn new(signal: Signal, body: &[u8], items: usize, at: Nanos) -> Self {
        let mut template = Self { body: body.to_vec(), items: items as u32, at, stamps: Vec::new() };
        let mut find = Find { base: body.as_ptr().addr(), stamps: &mut template.stamps };
        for group in messages(body, 1) {
            for scope in messages(group, 2) {
                messages(scope, 2).for_each(|record| find.in_record(signal, record));
            }
        }
        template
    }

    fn stamped(&self, number: u32, at: Nanos, encoding: Encoding) -> Bytes {
        let mut framed = Vec::with_capacity(PREFIX + self.body.len());
        framed.extend_from_slice(&[0; PREFIX]);
        framed.extend_from_slice(&self.body);
        let body = &mut framed[PREFIX..];
        for Stamp { offset, what } in &self.stamps {
            match what {
                What::Time => {
                    let time = &mut body[*offset..offset + 8];
                    let then = Nanos::from_le_bytes(time.try_into().expect("eight bytes"));
                    time.copy_from_slice(&(at.wrapping_add(then).wrapping_sub(self.at)).to_le_bytes());
                }
                What::Trace => body[*offset..offset + 4].copy_from_slice(&number.to_be_bytes()),
                What::Invocation => body[*offset..offset + 8].copy_from_slice(format!("{number:08x}").as_bytes()),
            }
        }
        let compressed = encoding != Encoding::Identity;
        if compressed {
            let message = compress(encoding, &framed[PREFIX..]);
            framed.truncate(PREFIX);
            framed.extend_from_slice(&message);
            framed.shrink_to_fit();
        }
        let length = (framed.len() - PREFIX) as u32;
        framed[0] = u8::from(compressed);
        framed[1..PREFIX].copy_from_slice(&length.to_be_bytes());
        framed.into()
    }
}

struct Find<'a> {
    base: usize,
    stamps: &'a mut Vec<Stamp>,
}

impl Find<'_> {
    fn in_record(&mut self, signal: Signal, record: &[u8]) {
        let (trace, attributes) = if signal == Signal::Traces { (1, 9) } else { (9, 6) };
        let mut fields = Fields::new(record);
        while let Some((number, value)) = fields.next() {
            match value {
                Value::Fixed64(_) => self.push(fields.rest().as_ptr().addr() - 8, What::Time),
                Value::Bytes(id) if number == trace => self.push(id.as_ptr().addr(), What::Trace),
                Value::Bytes(pair) if number == attributes => self.in_attribute(pair),
                Value::Bytes(event) if number == 11 && signal == Signal::Traces => self.in_event(event),
                _ => {}
            }
        }
    }

    fn in_attribute(&mut self, pair: &[u8]) {
        if let (b"faas.invocation_id", value) = raw_key_value(pair)
            && let Some(text) = messages(value, 1).next()
        {
            self.push(text.as_ptr().addr(), What::Invocation);
        }
    }

    fn in_event(&mut self, event: &[u8]) {
        let mut fields = Fields::new(event);
        while let Some((_, value)) = fields.next() {
            if matches!(value, Value::Fixed64(_)) {
                self.push(fields.rest().as_ptr().addr() - 8, What::Time);
            }
        }
    }

    fn push(&mut self, address: usize, what: What) {
        self.stamps.push(Stamp { offset: address - self.base, what });
    }
}

/// Some days of the same airline's spans, a thousand a request: what a detector has learned from before.
pub fn history() -> Vec<Payload> {
    let airline =
        Simulation::new(Options { days: HISTORY_DAYS + 1, scale: HISTORY_SCALE, seed: 7, ..Options::default() });
    let posts = airline.take_while(|post| post.at < NOW).filter(|post| post.batch.signal == Signal::Traces);
    let mut payloads = Vec::new();
    let (mut body, mut items) = (Vec::new(), 0);
    for post in posts {
        for group in messages(&post.batch.body, 1) {
            put_bytes(&mut body, 1, group);
        }
        items += post.batch.items;
        if items >= FULL {
            let template =
                Template::new(Signal::Traces, &std::mem::take(&mut body), std::mem::take(&mut items), post.at);
            let body = template.stamped(UNCOUNTED, post.at, Encoding::Identity);
            payloads.push(Payload { body, number: UNCOUNTED, items: template.items });
        }
    }
    payloads
}

/// Items in a request by the numbers in their trace ids.
pub fn numbers(signal: Signal, body: &[u8]) -> impl Iterator<Item = u32> {
    let trace = if signal == Signal::Traces { 1 } else { 9 };
    messages(body, 1).flat_map(|group| messages(group, 2)).flat_map(|scope| messages(scope, 2)).map(move |record| {
        let id = messages(record, trace).next().and_then(|id| id.first_chunk::<4>());
        id.map_or(UNCOUNTED, |id| u32::from_be_bytes(*id))
    })
}

fn messages(message: &[u8], number: u32) -> impl Iterator<Item = &[u8]> {
    sekisho::otlp::view::messages(message, number)
}
