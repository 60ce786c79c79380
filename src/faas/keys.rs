//! From one span to typed keys: what was done, to what, where, why, with what, and how it failed.
//!
//! A [`Recipe`] is made once per kind of span ([`Span::signature`]) and remembered; the hot path only compares hashes.

use std::ops::Range;

use super::{
    destination::{self, Url},
    intern::{hash_from, mix, stable_hash},
    names::Name,
    statement, template, verbs,
};
use crate::{
    detect::observation::{Family, Key, Risk},
    otlp::view::AnyValue,
};

mod aws;

const SERVER: u32 = 2;
const CLIENT: u32 = 3;
const PRODUCER: u32 = 4;
const CONSUMER: u32 = 5;

/// Databases that are asked in SQL.
const SQL_SYSTEMS: &[&str] = &[
    "postgresql",
    "mysql",
    "mariadb",
    "mssql",
    "microsoft.sql_server",
    "oracle",
    "oracle.db",
    "sqlite",
    "other_sql",
    "redshift",
    "aws.redshift",
    "cockroachdb",
    "db2",
    "ibm.db2",
    "snowflake",
    "trino",
    "athena",
    "clickhouse",
    "spanner",
];

/// The attributes of a span or record that mean something.
#[derive(Clone, Debug, Default)]
pub struct Facts<'a>(Vec<(Name, AnyValue<'a>)>);

impl<'a> Facts<'a> {
    /// Most attributes kept of one record.
    const MOST: usize = 64;

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Notes an attribute.
    #[inline]
    pub fn push(&mut self, name: Name, value: AnyValue<'a>) {
        if self.0.len() < Self::MOST {
            self.0.push((name, value));
        }
    }

    /// All of them, in the order they came.
    pub fn iter(&self) -> impl Iterator<Item = (Name, AnyValue<'a>)> + '_ {
        self.0.iter().copied()
    }

    /// The first value of `name`.
    pub fn value(&self, name: Name) -> Option<AnyValue<'a>> {
        self.0.iter().find_map(|(found, value)| (*found == name).then_some(*value))
    }

    /// The first value of `name` that is text and not empty.
    pub fn text(&self, name: Name) -> Option<&'a str> {
        self.0
            .iter()
            .filter(|(found, _)| *found == name)
            .find_map(|(_, value)| value.text().filter(|text| !text.is_empty()))
    }
}

/// A whole number, however it was sent.
pub fn number(value: AnyValue<'_>) -> Option<u64> {
    match value {
        AnyValue::Int(value) => u64::try_from(value).ok(),
        AnyValue::Double(value) if value >= 0.0 && value < u64::MAX as f64 => Some(value as u64),
        AnyValue::String(_) => value.text()?.parse().ok(),
        _ => None,
    }
}

/// What is read of a span to know its keys.
#[derive(Clone, Copy, Debug)]
pub struct Span<'f, 'a> {
    /// Whether it is the invocation itself.
    pub handler: bool,
    /// `SpanKind`.
    pub kind: u32,
    /// Its name.
    pub name: &'a [u8],
    /// Whether its status is an error.
    pub failed: bool,
    /// The scope that made it, and its version.
    pub scope: (&'a [u8], &'a [u8]),
    /// Its attributes.
    pub facts: &'f Facts<'a>,
}

impl<'a> Span<'_, 'a> {
    /// A hash of all that [`Recipe::of`] looks at, started from `secret`.
    pub fn signature(&self, secret: u64) -> u64 {
        let traits = u64::from(self.kind) << 2 | u64::from(self.failed) << 1 | u64::from(self.handler);
        let mut state = mix(secret, traits);
        let mut telling = false;
        for (name, value) in self.facts.iter() {
            if !self.matters(name) {
                continue;
            }
            telling |=
                matches!(name, Name::RpcMethod | Name::DbSystem | Name::MessagingSystem | Name::HttpMethod | Name::Url);
            state = match value {
                AnyValue::String(text) if matches!(name, Name::Url | Name::HttpPath) => {
                    let end = text.iter().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(text.len());
                    hash_from(state ^ name as u64, text.get(..end).unwrap_or(text))
                }
                AnyValue::String(bytes) | AnyValue::Array(bytes) => hash_from(state ^ name as u64, bytes),
                AnyValue::Int(value) => mix(state ^ name as u64, value.cast_unsigned()),
                _ => state,
            };
        }
        if self.handler {
            state = hash_from(hash_from(state, self.scope.0), self.scope.1);
        } else if !telling || self.kind == SERVER {
            state = hash_from(state, self.name);
        }
        state
    }

    /// Whether an attribute has a part in the keys.
    const fn matters(&self, name: Name) -> bool {
        match name {
            Name::StatusCode | Name::ErrorType | Name::ExceptionType => self.failed,
            Name::Trigger | Name::HttpRoute => self.handler,
            Name::InvocationId
            | Name::RequestId
            | Name::ColdStart
            | Name::FaasInstance
            | Name::FaasName
            | Name::FaasVersion
            | Name::Provider
            | Name::Account
            | Name::Region
            | Name::Platform
            | Name::ResourceId
            | Name::ServiceName
            | Name::ServiceNamespace
            | Name::ServiceVersion
            | Name::MessageSize
            | Name::RequestSize
            | Name::ResponseSize
            | Name::RowsReturned
            | Name::RowsScanned
            | Name::LogGroup
            | Name::EventType
            | Name::TrailEvent => false,
            _ => true,
        }
    }

    fn text_name(&self) -> &'a str {
        std::str::from_utf8(self.name).unwrap_or_default()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Noted {
    family: Family,
    risk: Risk,
    hash: u64,
    name: Range<usize>,
}

/// The keys of one kind of span.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recipe {
    names: Box<str>,
    keys: Box<[Noted]>,
    /// The operation with what it was done to: a step in the order of things; `None` for what is no step.
    pub step: Option<u64>,
    /// Whether it leaves the function's process.
    pub call: bool,
}

impl Recipe {
    /// Works out the keys of a span.
    pub fn of(span: &Span<'_, '_>) -> Self {
        let mut draft = Draft::default();
        if span.handler {
            draft.handler(span);
        } else {
            draft.child(span);
        }
        draft.identity(span.facts);
        if span.failed {
            draft.error(span);
        }
        draft.finish(!span.handler)
    }

    /// The one key of a log record: its severity and template.
    pub fn of_log(severity: &str, body: &str) -> Self {
        let mut draft = Draft::default();
        draft.key(Family::LogTemplate, Risk::Read, |out| {
            out.push_str(severity);
            out.push(' ');
            template::push_text(out, body);
        });
        draft.finish(false)
    }

    /// One key that is no span's.
    pub fn of_key(family: Family, risk: Risk, name: &str) -> Self {
        let mut draft = Draft::default();
        draft.key(family, risk, |out| out.push_str(name));
        draft.finish(false)
    }

    /// The operation and the first thing it was done to, in words, and the gravest risk among them.
    pub fn act(&self) -> (String, Risk) {
        let of = |family| self.keys().find(|key| key.family == family);
        let (operation, resource) = (of(Family::Operation), of(Family::Resource));
        let mut words = operation.map_or(String::new(), |key| key.name.to_owned());
        if let Some(resource) = resource {
            words.push_str(" on ");
            words.push_str(resource.name);
        }
        let risk = operation.into_iter().chain(resource).map(|key| key.risk).max();
        (words, risk.unwrap_or(Risk::Read))
    }

    /// The keys, the operation first.
    pub fn keys(&self) -> impl Iterator<Item = Key<'_>> {
        self.keys.iter().map(|noted| Key {
            family: noted.family,
            risk: noted.risk,
            hash: noted.hash,
            name: self.names.get(noted.name.clone()).unwrap_or_default(),
        })
    }
}

/// The stable hash of a key: of its family and name.
pub fn key_hash(family: Family, name: &str) -> u64 {
    mix(family as u64, stable_hash(name))
}

/// A recipe being worked out.
#[derive(Debug, Default)]
struct Draft {
    names: String,
    keys: Vec<Noted>,
    call: bool,
}

impl Draft {
    /// Most keys of one span: a batch call may name many tables.
    const MOST: usize = 16;

    /// Notes a key that `write` names; none if it writes nothing.
    fn key(&mut self, family: Family, risk: Risk, write: impl FnOnce(&mut String)) {
        let start = self.names.len();
        write(&mut self.names);
        template::cut(&mut self.names, start + template::LIMIT);
        let name = self.names.get(start..).unwrap_or_default();
        let hash = key_hash(family, name);
        if name.is_empty() || self.keys.len() >= Self::MOST || self.keys.iter().any(|key| key.hash == hash) {
            self.names.truncate(start);
            return;
        }
        self.keys.push(Noted { family, risk, hash, name: start..self.names.len() });
    }

    /// Notes `system` and the operation of it: `dynamodb.GetItem`.
    fn operation(&mut self, risk: Risk, system: &str, operation: &str) {
        self.key(Family::Operation, risk, |out| {
            template::push_text(out, system);
            out.push('.');
            template::push_text(out, operation);
        });
    }

    fn handler(&mut self, span: &Span<'_, '_>) {
        let facts = span.facts;
        let sender = facts.text(Name::MessagingDestination);
        let trigger = facts.text(Name::Trigger).unwrap_or(match span.kind {
            _ if facts.value(Name::HttpMethod).is_some() => "http",
            CONSUMER => "pubsub",
            _ if sender.is_some() => "pubsub",
            _ => "other",
        });
        self.key(Family::Trigger, Risk::Read, |out| {
            template::push_text(out, trigger);
            if let Some(method) = facts.text(Name::HttpMethod) {
                out.push(' ');
                template::push_text(out, method);
            }
            if let Some(route) = facts.text(Name::HttpRoute) {
                out.push(' ');
                template::push_text(out, route);
            } else if let Some(path) = facts.text(Name::HttpPath) {
                out.push(' ');
                template::push_path(out, path);
            } else if let Some(sender) = sender {
                out.push(' ');
                template::push_text(out, aws::short(sender));
            }
        });
        let text = |bytes| std::str::from_utf8(bytes).unwrap_or_default();
        let (scope, version) = (text(span.scope.0), text(span.scope.1));
        if !scope.is_empty() {
            self.key(Family::Artefact, Risk::Read, |out| {
                template::push_text(out, scope);
                out.push(' ');
                out.push_str(version.split('.').next().unwrap_or_default());
            });
        }
    }

    fn child(&mut self, span: &Span<'_, '_>) {
        let facts = span.facts;
        self.call = matches!(span.kind, CLIENT | PRODUCER);
        let dynamo = facts.text(Name::DbSystem).is_some_and(|system| matches!(system, "dynamodb" | "aws.dynamodb"));
        match span.kind {
            SERVER => self.operation(Risk::Read, "span", span.text_name()),
            CONSUMER => self.received(span),
            _ if dynamo || facts.text(Name::RpcSystem).is_some_and(|system| system.starts_with("aws")) => {
                self.aws(facts);
            }
            _ if facts.text(Name::RpcMethod).is_some() => self.rpc(facts),
            _ if facts.text(Name::DbSystem).is_some() => self.database(facts),
            _ if facts.text(Name::MessagingSystem).is_some() => self.messaging(span),
            _ if facts.text(Name::HttpMethod).is_some() || facts.text(Name::Url).is_some() => self.http(facts),
            CLIENT | PRODUCER => {
                self.operation(verbs::verb(span.text_name()), "call", span.text_name());
                self.destination(facts, |risk| risk);
            }
            _ => self.operation(Risk::Read, "span", span.text_name()),
        }
    }

    /// Messages that came with the invocation say why it ran.
    fn received(&mut self, span: &Span<'_, '_>) {
        match span.facts.text(Name::MessagingDestination) {
            Some(sender) => self.key(Family::Trigger, Risk::Read, |out| {
                out.push_str("pubsub ");
                template::push_text(out, aws::short(sender));
            }),
            None => self.operation(Risk::Read, "span", span.text_name()),
        }
    }

    fn rpc(&mut self, facts: &Facts<'_>) {
        let method = facts.text(Name::RpcMethod).unwrap_or_default();
        let (service, method) = match facts.text(Name::RpcService) {
            Some(service) => (service, method),
            None => method.rsplit_once('/').unwrap_or(("", method)),
        };
        self.key(Family::Operation, verbs::verb(method), |out| {
            template::push_text(out, facts.text(Name::RpcSystem).unwrap_or("rpc"));
            out.push('.');
            template::push_text(out, service);
            out.push('/');
            template::push_text(out, method);
        });
        self.destination(facts, |risk| risk);
    }

    fn database(&mut self, facts: &Facts<'_>) {
        let system = facts.text(Name::DbSystem).unwrap_or_default();
        let sql = SQL_SYSTEMS.contains(&system);
        let statement = facts.text(Name::DbStatement).unwrap_or_default();
        let gist = if sql { statement::gist(statement) } else { statement::Gist::default() };
        let first_word = statement.split_ascii_whitespace().next().unwrap_or("query");
        let operation = facts.text(Name::DbOperation).unwrap_or(if sql { gist.operation } else { first_word });
        let operation = operation.split_ascii_whitespace().next().unwrap_or("query");
        if sql {
            self.key(Family::Operation, verbs::verb(operation), |out| {
                out.push_str("sql.");
                out.extend(operation.chars().take(32).map(|letter| letter.to_ascii_uppercase()));
            });
        } else {
            self.operation(verbs::verb(operation), system, operation);
        }
        let table = facts.text(Name::DbCollection).unwrap_or(gist.table);
        let (kind, name) =
            if table.is_empty() { ("db/", facts.text(Name::DbName).unwrap_or_default()) } else { ("table/", table) };
        if !name.is_empty() {
            self.key(Family::Resource, verbs::verb(operation), |out| {
                template::push_text(out, system);
                out.push(':');
                out.push_str(kind);
                template::push_text(out, name);
            });
        }
        if sql && !statement.is_empty() {
            self.key(Family::Statement, verbs::verb(operation), |out| statement::push_skeleton(out, statement));
        }
        self.destination(facts, |risk| risk);
    }

    fn messaging(&mut self, span: &Span<'_, '_>) {
        let facts = span.facts;
        let system = aws::messaging(facts.text(Name::MessagingSystem).unwrap_or_default());
        let sends = span.kind == PRODUCER;
        let operation = facts.text(Name::MessagingOperation).unwrap_or(if sends { "publish" } else { "receive" });
        self.operation(verbs::verb(operation), system, operation);
        let Some(name) = facts.text(Name::MessagingDestination) else { return };
        let risk = verbs::verb(operation);
        self.queue(Family::Resource, risk, system, name);
        if risk != Risk::Read {
            self.queue(Family::Edge, risk, system, name);
        }
    }

    /// Notes a topic or queue.
    fn queue(&mut self, family: Family, risk: Risk, system: &str, name: &str) {
        self.key(family, risk, |out| {
            template::push_text(out, system);
            out.push_str(if system == "sqs" { ":queue/" } else { ":topic/" });
            template::push_text(out, aws::short(name));
        });
    }

    fn http(&mut self, facts: &Facts<'_>) {
        let method = facts.text(Name::HttpMethod).unwrap_or("GET");
        let risk = verbs::http(method);
        self.key(Family::Operation, risk, |out| {
            out.push_str("http.");
            out.extend(method.chars().take(16).map(|letter| letter.to_ascii_uppercase()));
        });
        self.destination(facts, |place| place.max(risk));
        let url = url_of(facts);
        let path = if url.host.is_empty() { facts.text(Name::HttpPath).unwrap_or_default() } else { url.path };
        if path.len() > 1 {
            self.key(Family::Resource, risk, |out| {
                out.push_str("http:");
                if destination::push_destination(out, host_of(facts).0, None).is_none() {
                    out.push('?');
                }
                template::push_path(out, path);
            });
        }
    }

    /// Notes where the span went, if it says so; `weigh` gets the risk of the place.
    fn destination(&mut self, facts: &Facts<'_>, weigh: impl FnOnce(Risk) -> Risk) {
        let (host, port) = host_of(facts);
        let mut place = None;
        self.key(Family::Destination, Risk::Read, |out| {
            place = destination::push_destination(out, host, port);
            if place.is_none()
                && let Some(peer) = facts.text(Name::PeerService)
            {
                template::push_text(out, peer);
            }
        });
        if let (Some(place), Some(key)) = (place, self.keys.last_mut())
            && key.family == Family::Destination
        {
            key.risk = weigh(place.risk());
        }
    }

    /// A long-lived access key that signed a call is an identity; those of a role change by the hour.
    fn identity(&mut self, facts: &Facts<'_>) {
        if let Some(key) = facts.text(Name::AccessKey).filter(|key| key.starts_with("AKIA")) {
            self.key(Family::Identity, Risk::Identity, |out| {
                out.push_str("access key ");
                out.extend(key.chars().filter(char::is_ascii_alphanumeric).take(32));
            });
        }
    }

    fn error(&mut self, span: &Span<'_, '_>) {
        let operation = self.keys.iter().find(|key| key.family == Family::Operation).map(|key| key.name.clone());
        let operation = operation.and_then(|name| self.names.get(name)).unwrap_or("handler").to_owned();
        let facts = span.facts;
        let status = facts.value(Name::StatusCode).and_then(number).filter(|code| (400..600).contains(code));
        self.key(Family::Error, Risk::Read, |out| {
            out.push_str(&operation);
            out.push(' ');
            match (facts.text(Name::ErrorType).or_else(|| facts.text(Name::ExceptionType)), status) {
                // A number is a status, not an id.
                (Some(kind), _) if kind.bytes().all(|byte| byte.is_ascii_digit()) => out.extend(kind.chars().take(5)),
                (Some(kind), _) => template::push_text(out, kind),
                (None, Some(status)) => out.push_str(&status.to_string()),
                (None, None) => out.push_str("error"),
            }
        });
    }

    fn finish(self, steps: bool) -> Recipe {
        let of = |family| self.keys.iter().find(|key| key.family == family).map(|key| key.hash);
        let step = of(Family::Operation)
            .filter(|_| steps)
            .map(|operation| mix(operation, of(Family::Resource).or_else(|| of(Family::Destination)).unwrap_or(0)));
        Recipe { names: self.names.into_boxed_str(), keys: self.keys.into_boxed_slice(), step, call: self.call }
    }
}

fn url_of<'a>(facts: &Facts<'a>) -> Url<'a> {
    facts.text(Name::Url).map(Url::parse).unwrap_or_default()
}

/// Host and port a span went to, from whichever attribute has them.
fn host_of<'a>(facts: &Facts<'a>) -> (&'a str, Option<u16>) {
    let url = url_of(facts);
    if !url.host.is_empty() {
        return (url.host, url.port);
    }
    let named = facts.text(Name::PeerName).or_else(|| facts.text(Name::Host)).unwrap_or_default();
    let (host, port) = destination::host_and_port(named);
    (host, port.or_else(|| facts.value(Name::PeerPort).and_then(number).and_then(|port| u16::try_from(port).ok())))
}

#[cfg(test)]
mod tests;
