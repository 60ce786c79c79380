//! One run of a function as it happens: calls one after the other, log lines, and whom it sets in motion.

use std::sync::Arc;

use super::{
    application::{Op, Service},
    attacks::{Act, Campaign, Place},
    benign::Weather,
    rng::Rng,
};
use crate::detect::observation::Nanos;

/// Why a call or a handler failed: `exception.type`.
pub type Failure = &'static str;

/// What DynamoDB answers who asks too much.
pub const THROTTLED: Failure = "botocore.errorfactory.ProvisionedThroughputExceededException";
/// What DynamoDB answers when somebody else was faster.
pub const CONFLICT: Failure = "botocore.errorfactory.ConditionalCheckFailedException";
/// What an AWS service answers whom it does not know.
pub const DENIED: Failure = "botocore.exceptions.ClientError.AccessDenied";
/// What `requests` says when nobody answers.
pub const TIMED_OUT: Failure = "requests.exceptions.ReadTimeout";

/// What an answer and a request weighed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Rows or items in the answer.
    pub rows: u64,
    /// Bytes in the answer.
    pub received: u64,
    /// Bytes in the request.
    pub sent: u64,
}

impl Size {
    /// An answer of so many rows.
    pub const fn rows(rows: u64) -> Self {
        Self { rows, received: 140 + rows * 230, sent: 320 }
    }

    /// A request of so many bytes.
    pub const fn sent(bytes: u64) -> Self {
        Self { rows: 0, received: 260, sent: bytes }
    }

    /// An answer of so many bytes.
    pub const fn received(bytes: u64) -> Self {
        Self { rows: 0, received: bytes, sent: 310 }
    }

    fn usual(op: Op, rng: &mut Rng) -> Self {
        match (op.service, op.method) {
            (Service::DynamoDb, "Query" | "Scan") => Self::rows(rng.log_normal(6.0, 0.6) as u64),
            (Service::DynamoDb, "PutItem" | "UpdateItem") => Self::sent(rng.log_normal(700.0, 0.3) as u64),
            (Service::DynamoDb, _) => Self::rows(1),
            (Service::S3, "GetObject") => Self::received(rng.log_normal(60_000.0, 0.5) as u64),
            (Service::S3, "PutObject") => Self::sent(rng.log_normal(80_000.0, 0.5) as u64),
            (_, "POST") => Self::sent(rng.log_normal(900.0, 0.3) as u64),
            _ => Self::received(rng.log_normal(1_800.0, 0.4) as u64),
        }
    }
}

/// A call that was made.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// What was called.
    pub op: Op,
    /// Of its span.
    pub span_id: [u8; 8],
    /// By which the service and the caller name it.
    pub request_id: [u8; 52],
    /// When it began.
    pub start: Nanos,
    /// When it was answered.
    pub end: Nanos,
    /// HTTP status of the answer.
    pub status: u64,
    /// `retry_attempts`.
    pub retries: u64,
    /// What was sent and received.
    pub size: Size,
    /// Present where it failed.
    pub failure: Option<Failure>,
    /// Made while the other region does the work.
    pub elsewhere: bool,
    /// The function's own telemetry says nothing of it.
    pub unreported: bool,
}

/// How grave a log line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// 5.
    Debug,
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
    pub function: &'static str,
    /// When it arrives there.
    pub at: Nanos,
    /// The span that caused it; none where the caller's span does not show it.
    pub parent: Option<[u8; 8]>,
}

/// What a run finds when it begins.
#[derive(Clone, Debug)]
pub struct Circumstances {
    /// When the handler begins.
    pub start: Nanos,
    /// Whether the instance is new.
    pub cold: bool,
    /// How its surroundings fare.
    pub weather: Weather,
    /// What its version does before everything else.
    pub first: Option<Op>,
    /// What an attacker wants of this journey, and how far along the attack is.
    pub malice: Option<(Arc<Campaign>, f64)>,
    /// Whether this function is the one the attacker holds.
    pub held: bool,
    /// Whether what usually fails seldom must fail; given by who needs it to.
    pub unlucky: Option<bool>,
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
    /// Memory it needed beyond the usual, MB.
    pub memory: u64,
    /// Bytes of its answer beyond the usual.
    pub answer: u64,
    /// The time an attacker's work went on after the answer.
    pub lingers: Nanos,
}

impl<'a> Run<'a> {
    /// A run that begins.
    pub fn new(rng: &'a mut Rng, given: Circumstances) -> Self {
        Self {
            rng,
            now: given.start,
            given,
            steps: Vec::with_capacity(8),
            lines: Vec::new(),
            follows: Vec::new(),
            malicious_from: None,
            memory: 0,
            answer: 0,
            lingers: 0,
        }
    }

    /// Runs a handler to its end or first failure, and what an attacker adds to it.
    pub fn go(&mut self, handle: fn(&mut Run<'_>) -> Result<(), Failure>) -> Result<(), Failure> {
        self.think(2.5);
        if let Some(first) = self.given.first {
            self.call(first, 5.0)?;
            self.think(4.0);
        }
        if self.given.weather.flag {
            self.call(Op::dynamo("GetItem", "experiments"), 5.0)?;
        }
        if self.given.weather.new_customer {
            self.call(Op::s3("GetObject", "customer-norrland-config"), 24.0)?;
        }
        let held = if self.given.held { self.given.malice.clone() } else { None };
        if let Some((campaign, progress)) = held.as_ref().filter(|(campaign, _)| campaign.place == Place::Before) {
            self.misbehave(campaign, *progress)?;
        }
        if held.as_ref().is_none_or(|(campaign, _)| campaign.place != Place::Instead) {
            handle(self)?;
        }
        if let Some((campaign, progress)) = held.as_ref().filter(|(campaign, _)| campaign.place != Place::Before) {
            self.misbehave(campaign, *progress)?;
        }
        if self.given.weather.debug_logs {
            let steps = self.steps.len();
            self.log(Severity::Debug, 12, format!("handler done after {steps} calls"));
        }
        self.think(1.5);
        Ok(())
    }

    /// Computes for about this many milliseconds.
    pub fn think(&mut self, median_ms: f64) {
        self.now += (self.rng.log_normal(median_ms, 0.3) * 1e6) as Nanos;
    }

    /// Whether this happens to an honest journey; an attacker's goes the straight way to where it is wanted.
    pub fn happens(&mut self, probability: f64) -> bool {
        let happens = self.rng.chance(probability);
        happens && self.given.malice.is_none()
    }

    /// As chance has it, unless somebody needs it one way.
    pub fn either(&mut self, probability: f64, needed: Option<bool>) -> bool {
        let chance = self.rng.chance(probability);
        needed.unwrap_or(chance)
    }

    /// Letters and digits, as ids have them.
    pub fn word(&mut self, len: usize) -> String {
        let mut text = vec![0; len];
        self.rng.fill_id(&mut text);
        text.into_iter().map(char::from).collect()
    }

    /// Makes a call that takes about this long; the span's id where it succeeds.
    pub fn call(&mut self, op: Op, median_ms: f64) -> Result<[u8; 8], Failure> {
        let size = Size::usual(op, self.rng);
        self.call_sized(op, median_ms, size)
    }

    /// The same with an answer or a request of a certain size.
    pub fn call_sized(&mut self, op: Op, median_ms: f64, size: Size) -> Result<[u8; 8], Failure> {
        if self.omits(op) {
            self.malicious_from.get_or_insert(self.now);
            return Ok(self.rng.span_id());
        }
        let weather = self.given.weather;
        let slow = if op.service == Service::Http { weather.slow } else { 1.0 };
        let mut wait_ms = self.rng.log_normal(median_ms, 0.35) * slow;
        if self.given.cold && self.steps.is_empty() {
            wait_ms += self.rng.log_normal(70.0, 0.3);
        }
        let mut retries = 0;
        let mut failure = None;
        if op.service == Service::DynamoDb && weather.throttled > 0.0 && self.happens(weather.throttled) {
            retries = 1 + self.rng.below(3);
            wait_ms += 60.0 * self.rng.unit() * f64::from(1 << retries);
            failure = self.happens(weather.throttled / 2.0).then_some(THROTTLED);
        }
        if op.service == Service::Http && weather.unreachable > 0.0 && self.happens(weather.unreachable) {
            wait_ms = 3_000.0;
            failure = Some(TIMED_OUT);
        }
        let op = weather.redirect(op);
        let size = weather.swell(size);
        self.record(op, wait_ms, size, retries, failure)
    }

    /// Makes a call that is refused.
    pub fn refused(&mut self, op: Op, median_ms: f64, failure: Failure) -> Failure {
        let wait_ms = self.rng.log_normal(median_ms, 0.35);
        self.record(op, wait_ms, Size::received(310), 0, Some(failure)).err().unwrap_or(failure)
    }

    /// Makes a call that sets functions in motion after about `delay_ms`.
    pub fn start(&mut self, op: Op, functions: &[&'static str], delay_ms: f64) -> Result<(), Failure> {
        if self.omits(op) {
            self.malicious_from.get_or_insert(self.now);
            return Ok(());
        }
        let parent = self.call(op, 14.0)?;
        self.follow(functions, delay_ms, Some(parent));
        Ok(())
    }

    /// What a state machine or a rule does next, without a call of this function's.
    pub fn next(&mut self, functions: &[&'static str], delay_ms: f64) {
        self.follow(functions, delay_ms, None);
    }

    fn follow(&mut self, functions: &[&'static str], delay_ms: f64, parent: Option<[u8; 8]>) {
        for &function in functions {
            let delay = self.rng.log_normal(delay_ms, 0.5) * 1e6;
            self.follows.push(Follow { function, at: self.now + delay as Nanos, parent });
        }
    }

    /// Logs a line.
    pub fn log(&mut self, severity: Severity, source_line: u64, body: String) {
        self.lines.push(Line { at: self.now, severity, body, source_line });
    }

    fn omits(&self, op: Op) -> bool {
        self.given.held && self.given.malice.as_ref().is_some_and(|(campaign, _)| campaign.omit == Some(op))
    }

    /// Does what the attacker wants.
    fn misbehave(&mut self, campaign: &Campaign, progress: f64) -> Result<(), Failure> {
        self.malicious_from.get_or_insert(self.now);
        for act in &campaign.acts {
            self.act(act, campaign, progress)?;
        }
        Ok(())
    }

    fn act(&mut self, act: &Act, campaign: &Campaign, progress: f64) -> Result<(), Failure> {
        let before = self.steps.len();
        match *act {
            Act::Call { op, times, ms, size } => {
                for _ in 0..campaign.ramped(f64::from(times), progress) {
                    let grown = size.map(|size| campaign.grown(size, progress));
                    let size = grown.unwrap_or_else(|| Size::usual(op, self.rng));
                    self.call_sized(op, ms, size)?;
                }
            }
            Act::Refused { op, times } => {
                for _ in 0..times {
                    self.refused(op, 12.0, DENIED);
                }
            }
            Act::Start { op, function } => self.start(op, &[function], 60.0)?,
            Act::Compute { ms } => {
                let ms = ms * campaign.growth(progress);
                self.now += (ms * (0.9 + 0.2 * self.rng.unit()) * 1e6) as Nanos;
            }
            Act::Linger { ms } => self.lingers += (ms * 1e6) as Nanos,
            Act::Memory { mb } => self.memory += mb,
            Act::Answer { bytes } => self.answer += bytes,
            Act::Log { severity, text, times } => {
                for _ in 0..times {
                    let word = self.word(24);
                    self.log(severity, 66, format!("{text}{word}"));
                }
            }
            Act::Fail { failure } => return Err(failure),
        }
        if campaign.blind.hides_calls() {
            for step in self.steps.iter_mut().skip(before) {
                step.unreported = true;
            }
        }
        Ok(())
    }

    fn record(
        &mut self,
        op: Op,
        wait_ms: f64,
        size: Size,
        retries: u64,
        failure: Option<Failure>,
    ) -> Result<[u8; 8], Failure> {
        self.think(1.2);
        let start = self.now;
        self.now += (wait_ms * 1e6) as Nanos;
        let status = match (failure, op.service, op.method) {
            (Some(DENIED), ..) => 403,
            (Some(TIMED_OUT), ..) => 0,
            (Some(_), ..) => 400,
            (None, Service::Lambda, "Invoke") => 202,
            (None, Service::Http, "POST") => 201,
            _ => 200,
        };
        let span_id = self.rng.span_id();
        let mut request_id = [0; 52];
        self.rng.fill_id(&mut request_id);
        let elsewhere = self.given.weather.elsewhere;
        let unreported = false;
        #[rustfmt::skip]
        let step = Step { op, span_id, request_id, start, end: self.now, status, retries, size, failure, elsewhere, unreported };
        self.steps.push(step);
        failure.map_or(Ok(span_id), Err)
    }
}
