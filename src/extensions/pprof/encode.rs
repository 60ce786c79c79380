//! A profile as `profile.proto` has it.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use pprof::Report;

use crate::otlp::wire::{put_bytes, put_varint};

/// Fields of `Profile`.
const SAMPLE_TYPE: u32 = 1;
const SAMPLE: u32 = 2;
const LOCATION: u32 = 4;
const FUNCTION: u32 = 5;
const STRINGS: u32 = 6;
const TIME_NANOS: u32 = 9;
const DURATION_NANOS: u32 = 10;
const PERIOD_TYPE: u32 = 11;
const PERIOD: u32 = 12;

/// `report` of what happened in `took` from `begun` on, sampled `frequency` times a second.
pub fn encode(report: &Report, begun: SystemTime, took: Duration, frequency: i32) -> Vec<u8> {
    let period = 1_000_000_000 / u64::from(frequency.unsigned_abs().max(1));
    let mut profile = Profile::default();
    // The table begins with the empty text.
    profile.text("");
    let samples = profile.kind("samples", "count");
    let cpu = profile.kind("cpu", "nanoseconds");
    put_bytes(&mut profile.out, SAMPLE_TYPE, &samples);
    put_bytes(&mut profile.out, SAMPLE_TYPE, &cpu);
    for (stack, count) in &report.data {
        let mut locations = Vec::new();
        // Innermost first, as the format wants it, and without the profiler's own frames, which are on top of every stack.
        for symbol in stack.frames.iter().flatten().skip_while(|symbol| is_the_profilers(&symbol.name())) {
            let location = profile.location(&symbol.name(), &symbol.filename(), symbol.lineno());
            put_varint(&mut locations, location);
        }
        let count = u64::try_from(*count).unwrap_or(0);
        let mut values = Vec::new();
        put_varint(&mut values, count);
        put_varint(&mut values, count.saturating_mul(period));
        let mut sample = Vec::new();
        put_bytes(&mut sample, 1, &locations);
        put_bytes(&mut sample, 2, &values);
        put_bytes(&mut profile.out, SAMPLE, &sample);
    }
    let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    number(&mut profile.out, TIME_NANOS, nanos(begun.duration_since(UNIX_EPOCH).unwrap_or_default()));
    number(&mut profile.out, DURATION_NANOS, nanos(took));
    put_bytes(&mut profile.out, PERIOD_TYPE, &cpu);
    number(&mut profile.out, PERIOD, period);
    profile.out
}

/// `<pprof::… as …>::trace` and what it calls.
fn is_the_profilers(name: &str) -> bool {
    ["backtrace::", "pprof::", "<pprof::", "<backtrace::"].iter().any(|begin| name.starts_with(begin))
}

#[derive(Default)]
struct Profile {
    out: Vec<u8>,
    texts: HashMap<String, u64>,
    functions: HashMap<(u64, u64), u64>,
    locations: HashMap<(u64, u32), u64>,
}

impl Profile {
    /// The number of `text` in the table of strings.
    fn text(&mut self, text: &str) -> u64 {
        if let Some(number) = self.texts.get(text) {
            return *number;
        }
        let number = self.texts.len() as u64;
        self.texts.insert(text.to_owned(), number);
        put_bytes(&mut self.out, STRINGS, text.as_bytes());
        number
    }

    fn kind(&mut self, what: &str, unit: &str) -> Vec<u8> {
        let mut kind = Vec::new();
        number(&mut kind, 1, self.text(what));
        number(&mut kind, 2, self.text(unit));
        kind
    }

    /// Ids begin at 1.
    fn location(&mut self, name: &str, file: &str, line: u32) -> u64 {
        let (name, file) = (self.text(name), self.text(file));
        let next = self.functions.len() as u64 + 1;
        let function = *self.functions.entry((name, file)).or_insert(next);
        if function == next {
            let mut message = Vec::new();
            for (field, value) in [(1, function), (2, name), (3, name), (4, file)] {
                number(&mut message, field, value);
            }
            put_bytes(&mut self.out, FUNCTION, &message);
        }
        let next = self.locations.len() as u64 + 1;
        let location = *self.locations.entry((function, line)).or_insert(next);
        if location == next {
            let (mut message, mut at) = (Vec::new(), Vec::new());
            number(&mut at, 1, function);
            number(&mut at, 2, u64::from(line));
            number(&mut message, 1, location);
            put_bytes(&mut message, 4, &at);
            put_bytes(&mut self.out, LOCATION, &message);
        }
        location
    }
}

fn number(out: &mut Vec<u8>, field: u32, value: u64) {
    put_varint(out, u64::from(field) << 3);
    put_varint(out, value);
}
