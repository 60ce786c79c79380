//! What the detector is told: everything that was seen of one invocation, in one vocabulary.
//!
//! Names are interned by `faas`: the hot path compares 64-bit hashes, and the text travels along by reference so that
//! the detector can keep it the first time it meets a key.

/// Nanoseconds since the Unix epoch, in the telemetry's own time.
pub type Nanos = u64;

/// What kind of thing a key names. The discriminant is part of the saved model: append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Family {
    /// What was done: `dynamodb.GetItem`, `GET`, `SELECT`.
    Operation = 0,
    /// What it was done to: a table, bucket, topic, queue, secret, role.
    Resource = 1,
    /// Where it went: registrable domain or address, its class, port.
    Destination = 2,
    /// Who called whom: this function invoked, or sent to, another.
    Edge = 3,
    /// Why it ran: trigger kind and upstream.
    Trigger = 4,
    /// As whom: role, access key, source network.
    Identity = 5,
    /// With what: instrumentation scope, SDK, user agent.
    Artefact = 6,
    /// How it failed: operation and error type.
    Error = 7,
    /// What it logged: a template and its severity.
    LogTemplate = 8,
    /// How it asked: the skeleton of a statement.
    Statement = 9,
}

/// What a key could do in the wrong hands. Ordered from harmless to grave; weighs priority, never the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Risk {
    /// Reads, and what has no verb.
    Read = 0,
    /// Creates or changes data.
    Write = 1,
    /// Destroys data.
    Delete = 2,
    /// Leaves the account: an external destination.
    Egress = 3,
    /// Identities, roles, secrets, keys.
    Identity = 4,
    /// Code, layers, configuration, policies, logging.
    Control = 5,
}

/// A typed, templated thing that can be touched.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    /// Its kind.
    pub family: Family,
    /// What it could do in the wrong hands.
    pub risk: Risk,
    /// Stable over restarts and machines: of family and name.
    pub hash: u64,
    /// Ids templated away, at most 256 bytes.
    pub name: &'a str,
}

/// One key as this invocation touched it.
#[derive(Clone, Copy, Debug)]
pub struct Touch<'a> {
    /// What was touched.
    pub key: Key<'a>,
    /// How often in this invocation.
    pub count: u32,
    /// The span or log record that touched it first.
    pub source: Source,
}

/// One operation in the order it started, loops folded: `GetItem × 37` is one step with `repeat` 37.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// [`Key::hash`] of the operation together with its resource or destination.
    pub hash: u64,
    /// How many times in a row.
    pub repeat: u32,
}

/// A measured quantity. The discriminant is part of the saved model: append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Quantity {
    /// Wall time of the invocation, microseconds.
    DurationUs = 0,
    /// Wall time with no child active, microseconds.
    SelfTimeUs = 1,
    /// Calls made by the invocation.
    Calls = 2,
    /// Bytes sent, where telemetry has them.
    BytesOut = 3,
    /// Bytes received, where telemetry has them.
    BytesIn = 4,
    /// Rows or items returned, where telemetry has them.
    Rows = 5,
    /// Distinct resources touched before templating (ids count).
    DistinctResources = 6,
    /// Peak memory, MB, from platform reports.
    MemoryMb = 7,
    /// Initialisation, microseconds, of a cold start.
    InitUs = 8,
}

impl Quantity {
    /// Every quantity, in the order of the discriminants.
    pub const ALL: [Self; 9] = [
        Self::DurationUs,
        Self::SelfTimeUs,
        Self::Calls,
        Self::BytesOut,
        Self::BytesIn,
        Self::Rows,
        Self::DistinctResources,
        Self::MemoryMb,
        Self::InitUs,
    ];
}

/// Where evidence came from, and how far it can be trusted: a hostile function can forge its own spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Source {
    /// Zero where unknown.
    pub trace_id: [u8; 16],
    /// Zero where unknown.
    pub span_id: [u8; 8],
    /// Trust class.
    pub trust: Trust,
}

/// Who wrote the telemetry; later is harder to forge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Trust {
    /// Written inside the function's own process.
    #[default]
    InProcess,
    /// Written by the platform that runs the function.
    Platform,
    /// Written by the service that was called.
    Provider,
}

/// All that was seen of one invocation.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// Stable hash of provider, account, region and name.
    pub function: u64,
    /// `faas.name` (or `service.name`), for messages.
    pub function_name: &'a str,
    /// The function's application: peers share it; zero when unknown (`service.namespace`, deployment, or stack tag).
    pub peers: u64,
    /// `faas.version`, code digest or `service.version`; empty when unknown.
    pub version: &'a str,
    /// `faas.invocation_id`, else the trace id in hex.
    pub invocation_id: &'a str,
    /// First start seen.
    pub start: Nanos,
    /// Last end seen; decides the fleet-day.
    pub end: Nanos,
    /// The environment was created for this invocation.
    pub cold_start: bool,
    /// The handler itself failed.
    pub failed: bool,
    /// False for what arrives after the handler was scored (late spans): novelty counts, absence and totals do not.
    pub complete: bool,
    /// Distinct keys, first touch first.
    pub touches: &'a [Touch<'a>],
    /// Operations in start order, run-length coded.
    pub steps: &'a [Step],
    /// At most one value a quantity; absent where telemetry has none.
    pub quantities: &'a [(Quantity, u64)],
}
