//! One run of a function as it happens: calls one after the other, log lines, and whom it sets in motion.

use super::{
    application::{Function, Op, Service},
    attacks::Payload,
    rng::Rng,
};
use crate::detect::observation::Nanos;

/// Why a call or a handler failed: `exception.type`.
pub type Failure = &'static str;

/// What DynamoDB answers who asks too much.
pub const THROTTLED: Failure = "botocore.errorfactory.ProvisionedThroughputExceededException";
/// What DynamoDB answers when somebody else was faster.
pub const CONFLICT: Failure = "botocore.errorfactory.ConditionalCheckFailedException";

/// A call that was made.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// What was called.
    pub op: Op,
    /// Of its span.
    pub span_id: [u8; 8],
    /// When it began.
    pub start: Nanos,
    /// When it was answered.
    pub end: Nanos,
    /// HTTP status of the answer.
    pub status: u64,
    /// `retry_attempts`.
    pub retries: u64,
    /// Present where it failed.
    pub failure: Option<Failure>,
}

/// How grave a log line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// 9.
    Info,
    /// 13.
    Warning,
    /// 17.
    Error,
}

/// A line that was logged.
#[derive(Clone, Debug)]
pub struct Line {
    /// When.
    pub at: Nanos,
    /// How grave.
    pub severity: Severity,
    /// The text.
    pub body: String,
    /// `code.line.number`.
    pub source_line: u64,
}

/// An invocation this one causes.
#[derive(Clone, Copy, Debug)]
pub struct Follow {
    /// Of which function.
    pub function: Function,
    /// When it arrives there.
    pub at: Nanos,
    /// The span that caused it.
    pub parent: [u8; 8],
}

/// What a run finds when it begins.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances {
    /// When the handler begins.
    pub start: Nanos,
    /// Whether the instance is new.
    pub cold: bool,
    /// Whether DynamoDB refuses part of its calls.
    pub throttled: bool,
    /// Whether confirm-booking's new version runs.
    pub reads_fare_rules: bool,
    /// What an attacker has this journey do.
    pub payload: Option<Payload>,
}

/// A run under way, and afterwards its record.
#[derive(Debug)]
pub struct Run<'a> {
    /// Its chance.
    pub rng: &'a mut Rng,
    /// What it found.
    pub given: Circumstances,
    /// How far it has come.
    pub now: Nanos,
    /// Its calls, in order.
    pub steps: Vec<Step>,
    /// What it logged, in order.
    pub lines: Vec<Line>,
    /// Whom it set in motion.
    pub follows: Vec<Follow>,
    /// When it first did what an attacker wanted.
    pub malicious_from: Option<Nanos>,
}

impl<'a> Run<'a> {
    /// A run that begins.
    pub fn new(rng: &'a mut Rng, given: Circumstances) -> Self {
        Self {
            rng,
            given,
            now: given.start,
            steps: Vec::with_capacity(8),
            lines: Vec::new(),
            follows: Vec::new(),
            malicious_from: None,
        }
    }

    /// Computes for about this many milliseconds.
    pub fn think(&mut self, median_ms: f64) {
        self.now += (self.rng.log_normal(median_ms, 0.3) * 1e6) as Nanos;
    }

    /// Whether this happens to an honest journey; an attacker's goes the straight way to where it is wanted.
    pub fn happens(&mut self, probability: f64) -> bool {
        let happens = self.rng.chance(probability);
        happens && self.given.payload.is_none()
    }

    /// Makes a call that takes about this long; the span's id where it succeeds.
    pub fn call(&mut self, op: Op, median_ms: f64) -> Result<[u8; 8], Failure> {
        let mut wait_ms = self.rng.log_normal(median_ms, 0.35);
        if self.given.cold && self.steps.is_empty() {
            wait_ms += self.rng.log_normal(70.0, 0.3);
        }
        let mut retries = 0;
        let mut failure = None;
        if op.service == Service::DynamoDb && self.given.throttled && self.happens(0.25) {
            retries = 1 + self.rng.below(3);
            wait_ms += 60.0 * self.rng.unit() * f64::from(1 << retries);
            failure = self.happens(0.12).then_some(THROTTLED);
        }
        self.record(op, wait_ms, retries, failure)
    }

    /// Makes a call that is refused.
    pub fn refused(&mut self, op: Op, median_ms: f64, failure: Failure) -> Failure {
        let wait_ms = self.rng.log_normal(median_ms, 0.35);
        self.record(op, wait_ms, 0, Some(failure)).err().unwrap_or(failure)
    }

    /// Makes a call that sets functions in motion after about `delay_ms`.
    pub fn start(&mut self, op: Op, functions: &[Function], delay_ms: f64) -> Result<(), Failure> {
        let parent = self.call(op, 14.0)?;
        for &function in functions {
            let delay = self.rng.log_normal(delay_ms, 0.5) * 1e6;
            self.follows.push(Follow { function, at: self.now + delay as Nanos, parent });
        }
        Ok(())
    }

    /// Logs a line.
    pub fn log(&mut self, severity: Severity, source_line: u64, body: String) {
        self.lines.push(Line { at: self.now, severity, body, source_line });
    }

    /// Does this for the attacker.
    pub fn misbehave(&mut self, payload: Payload) -> Result<(), Failure> {
        self.malicious_from = Some(self.now);
        payload.act(self)
    }

    fn record(&mut self, op: Op, wait_ms: f64, retries: u64, failure: Option<Failure>) -> Result<[u8; 8], Failure> {
        self.think(1.2);
        let start = self.now;
        self.now += (wait_ms * 1e6) as Nanos;
        let status = match (failure, op.service, op.method) {
            (Some(_), ..) => 400,
            (None, Service::Lambda, "Invoke") => 202,
            (None, Service::Http, "POST") => 201,
            _ => 200,
        };
        let span_id = self.rng.span_id();
        self.steps.push(Step { op, span_id, start, end: self.now, status, retries, failure });
        failure.map_or(Ok(span_id), Err)
    }
}
