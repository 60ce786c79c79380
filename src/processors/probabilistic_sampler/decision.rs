//! Who stays. Randomness and thresholds are 56 bits, as OpenTelemetry's consistent sampling has them: a record stays if its
//! randomness is not below the threshold.

use super::{Config, Mode, Source, trace_state::TraceState};
use crate::otlp::{
    any_value::as_text,
    edit::{Patch, PatchValue},
    view::{self, AnyValue, LogRecord, Span},
    wire::Value,
};

/// One more than the largest randomness; as a threshold, nothing stays.
pub const MAX: u64 = 1 << 56;
const ALWAYS: u64 = 0;
const NEVER: u64 = MAX;

/// The hash's buckets.
const BUCKETS: u32 = 1 << 14;

enum Rule {
    Never,
    /// By hash, with this threshold.
    Hash(u64),
    Equalize(u64),
    Proportion(f64),
}

/// Decides.
pub struct Sampler {
    rule: Rule,
    seed: u32,
    precision: u32,
    fail_closed: bool,
    by_trace_id: bool,
    from_attribute: String,
    priority: String,
}

/// What a record says of earlier sampling, and where it is to be written down.
#[derive(Default)]
struct Carried {
    randomness: Option<u64>,
    threshold: Option<u64>,
}

impl Sampler {
    pub fn new(config: &Config) -> Self {
        let percentage = config.sampling_percentage.min(100.0);
        let ratio = f64::from(percentage) / 100.0;
        let rule = match config.mode {
            _ if percentage <= 0.0 => Rule::Never,
            Mode::Equalizing => Rule::Equalize(threshold(ratio, config.sampling_precision).unwrap_or(NEVER)),
            Mode::Proportional => Rule::Proportion(ratio),
            Mode::HashSeed => {
                // In 32 bits and rounded down, as it always was.
                let accepted = (percentage * (BUCKETS as f32 / 100.0)) as u32;
                if accepted == 0 { Rule::Never } else { Rule::Hash(u64::from(BUCKETS - accepted) << 42) }
            }
        };
        Self {
            rule,
            seed: config.hash_seed,
            precision: config.sampling_precision,
            fail_closed: config.fail_closed,
            by_trace_id: config.attribute_source == Source::TraceId,
            from_attribute: config.from_attribute.clone(),
            priority: config.sampling_priority.clone(),
        }
    }

    /// Whether a span stays; what is to be written down goes into the patch.
    pub fn keeps_span(&self, record: &[u8], patch: &mut Patch) -> bool {
        let mut priority = None;
        let span = Span::scan(record, |key, value| {
            if priority.is_none() && key == b"sampling.priority" {
                priority = Some(value);
            }
        });
        let text = std::str::from_utf8(view::messages(record, 3).last().unwrap_or_default()).unwrap_or_default();
        let mut state = TraceState::parse(text);
        let readable = state.is_some();
        let mut carried = state.as_ref().map_or_else(Carried::default, |state| Carried {
            randomness: state.randomness(),
            threshold: state.threshold(),
        });
        let id = id_of(span.trace_id);
        let hashed = id.map(|id| hashed(&id, self.seed));
        let (randomness, written) = self.randomness(&carried, hashed, id, readable);
        let mut threshold = self.threshold(&mut carried, randomness, readable, written);
        match priority.and_then(forced) {
            Some(true) => threshold = ALWAYS,
            Some(false) => threshold = NEVER,
            None => {}
        }
        let keeps = threshold <= randomness.unwrap_or(MAX - 1);
        if let Some(state) = state.as_mut().filter(|_| keeps && written != Written::Left) {
            if written == Written::New {
                state.set_randomness(randomness.unwrap_or(MAX - 1));
            }
            state.clear_threshold_unless(carried.threshold.is_some());
            if carried.threshold.is_none_or(|before| before <= threshold) {
                state.set_threshold(threshold);
            }
            let after = state.to_text();
            if after != text {
                patch.set_field(3, Value::Bytes(after.as_bytes()));
            }
        }
        keeps
    }

    /// Whether a log record stays; what is to be written down goes into the patch.
    pub fn keeps_log(&self, record: &[u8], patch: &mut Patch) -> bool {
        let (mut randomness, mut before) = (AnyValue::Empty, AnyValue::Empty);
        let (mut from, mut priority) = (None, None);
        let log = LogRecord::scan(record, |key, value| {
            match key {
                b"sampling.randomness" => randomness = value,
                b"sampling.threshold" => before = value,
                _ => {}
            }
            if from.is_none() && key == self.from_attribute.as_bytes() {
                from = Some(value);
            }
            if priority.is_none() && !self.priority.is_empty() && key == self.priority.as_bytes() {
                priority = Some(value);
            }
        });
        let texts = [randomness, before].map(|value| value.text().filter(|text| !text.is_empty()));
        let [randomness, before] = texts;
        let mut carried = Carried {
            randomness: randomness.and_then(super::trace_state::randomness),
            threshold: before.and_then(super::trace_state::threshold),
        };
        let readable =
            carried.randomness.is_some() == randomness.is_some() && carried.threshold.is_some() == before.is_some();
        let had = carried.threshold.is_some();
        let id = id_of(log.trace_id);
        let by_id = id.filter(|_| self.by_trace_id).map(|id| hashed(&id, self.seed));
        let by_attribute =
            || from.filter(|_| !self.from_attribute.is_empty()).and_then(|value| self.hashed_value(value));
        let (randomness, written) = self.randomness(&carried, by_id.or_else(by_attribute), id, readable);
        let mut threshold = self.threshold(&mut carried, randomness, readable, written);
        if let Some(own) = priority.and_then(|value| self.own_threshold(value)) {
            threshold = own;
        }
        let keeps = threshold <= randomness.unwrap_or(MAX - 1);
        if keeps && readable && written != Written::Left {
            if let Some(randomness) = randomness.filter(|_| written == Written::New) {
                patch.set("sampling.randomness", PatchValue::Str(&format!("{randomness:014x}")));
            }
            if carried.threshold.is_none_or(|before| before <= threshold) {
                patch.set("sampling.threshold", PatchValue::Str(&super::trace_state::threshold_text(threshold)));
            } else if had && carried.threshold.is_none() {
                patch.remove("sampling.threshold");
            }
        }
        keeps
    }

    /// The randomness that decides, and whether it is written down.
    fn randomness(
        &self,
        carried: &Carried,
        hashed: Option<u64>,
        id: Option<[u8; 16]>,
        readable: bool,
    ) -> (Option<u64>, Written) {
        match self.rule {
            // What decides nothing is nobody's business.
            Rule::Never => (Some(MAX - 1), Written::Same),
            Rule::Hash(_) if !readable => (hashed, Written::Left),
            // Who samples consistently should not meet this mode: it is left alone, and an error.
            Rule::Hash(_) if carried.randomness.is_some() || carried.threshold.is_some() => (hashed, Written::Left),
            Rule::Hash(_) => (hashed, Written::New),
            Rule::Equalize(_) | Rule::Proportion(_) if !readable => (None, Written::Left),
            Rule::Equalize(_) | Rule::Proportion(_) => (carried.randomness.or_else(|| id.map(own)), Written::Same),
        }
    }

    /// The threshold before any priority.
    fn threshold(&self, carried: &mut Carried, randomness: Option<u64>, readable: bool, written: Written) -> u64 {
        let failed = if self.fail_closed { NEVER } else { ALWAYS };
        let Some(randomness) = randomness.filter(|_| readable) else { return failed };
        if written == Written::Left {
            return failed;
        }
        if carried.threshold.is_some_and(|before| before > randomness) {
            // It should not have come this far: what it says of earlier sampling is not so.
            carried.threshold = None;
            return failed;
        }
        match self.rule {
            Rule::Never => NEVER,
            Rule::Hash(threshold) => threshold,
            Rule::Equalize(threshold) => carried.threshold.map_or(threshold, |before| before.max(threshold)),
            Rule::Proportion(ratio) => {
                let arrived = carried.threshold.map_or(1.0, |before| (MAX - before) as f64 / MAX as f64);
                self::threshold(arrived * ratio, self.precision).unwrap_or(NEVER)
            }
        }
    }

    fn hashed_value(&self, value: AnyValue<'_>) -> Option<u64> {
        match value {
            AnyValue::Bytes([]) => None,
            AnyValue::Bytes(bytes) => Some(hashed(bytes, self.seed)),
            other => {
                Some(as_text(other)).filter(|text| !text.is_empty()).map(|text| hashed(text.as_bytes(), self.seed))
            }
        }
    }

    /// The threshold that a log record asks for itself.
    fn own_threshold(&self, priority: AnyValue<'_>) -> Option<u64> {
        let ratio = match priority {
            AnyValue::Double(value) => value / 100.0,
            AnyValue::Int(value) => value as f64 / 100.0,
            _ => return None,
        };
        threshold(ratio, self.precision)
    }
}

/// What becomes of the notes a record carries.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Written {
    /// They are left as they are.
    Left,
    /// The threshold is noted.
    Same,
    /// The randomness, too.
    New,
}

/// An id that is one.
fn id_of(bytes: &[u8]) -> Option<[u8; 16]> {
    bytes.try_into().ok().filter(|id: &[u8; 16]| id.iter().any(|byte| *byte != 0))
}

/// A trace id's own randomness: its last seven bytes.
fn own(id: [u8; 16]) -> u64 {
    u128::from_be_bytes(id) as u64 & (MAX - 1)
}

/// What a span's priority asks for.
fn forced(priority: AnyValue<'_>) -> Option<bool> {
    let value = match priority {
        AnyValue::Int(value) => value as f64,
        AnyValue::Double(value) => value,
        AnyValue::String(_) => priority.text()?.parse().ok()?,
        _ => return None,
    };
    if value == 0.0 {
        Some(false)
    } else if value > 0.0 {
        Some(true)
    } else {
        None
    }
}

/// The Collector's hash as randomness: its lowest 14 bits, inverted, decide; the others make it look random.
fn hashed(bytes: &[u8], seed: u32) -> u64 {
    let fnv = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(16_777_619);
    let hash = seed.to_le_bytes().iter().chain(bytes).fold(2_166_136_261, fnv);
    let bucket = u64::from(hash & (BUCKETS - 1));
    let unused = u64::from(hash >> 18);
    let mixed = unused ^ (unused << 10);
    (u64::from(BUCKETS) - 1 - bucket) << 42 | mixed << 14 | bucket
}

/// The threshold for a probability, to so many significant hexadecimal digits; nothing if the probability is out of range.
pub fn threshold(probability: f64, precision: u32) -> Option<u64> {
    if !(1.0 / MAX as f64..=1.0).contains(&probability) {
        return None;
    }
    if probability >= 1.0 {
        return Some(ALWAYS);
    }
    // Near 0 and near 1 more digits are needed to keep the relative error.
    let extra = |value: f64| exponent(value) / -4;
    let digits = i32::try_from(precision).ok()?;
    let digits = (digits + extra(probability)).max(digits + extra(1.0 - probability)).min(14);
    let exact = MAX - (probability * MAX as f64).round() as u64;
    Some(match 4 * (14 - digits) {
        shift @ 1.. => (exact + (1 << (shift - 1))) >> shift << shift,
        _ => exact,
    })
}

/// The exponent of a float in (0, 1] when its mantissa is in [1/2, 1).
fn exponent(value: f64) -> i32 {
    (value.to_bits() >> 52 & 0x7ff) as i32 - 1022
}
