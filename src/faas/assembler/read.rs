//! First half of a request: every span becomes a member of its group.

use std::sync::Arc;

use super::{
    Assembler,
    function::Function,
    groups::{Amounts, GroupKey, Member, NONE, Role},
};
use crate::{
    faas::{
        identity::Identity,
        intern::{hash_from, mix},
        keys::{self, Facts, Recipe},
        names::{self, Name},
    },
    otlp::view::{self, AnyValue, ResourceGroup, ScopeGroup},
};

const SERVER: u32 = 2;
const CLIENT: u32 = 3;
const PRODUCER: u32 = 4;
const CONSUMER: u32 = 5;

/// What spans of an environment being made are called.
const INIT_NAMES: [&[u8]; 4] = [b"init", b"Init", b"Initialization", b"platform.initRuntimeDone"];

/// Whose resource it is.
pub(super) struct Origin<'a> {
    pub(super) raw: &'a [u8],
    pub(super) identity: Identity<'a>,
    /// `None` if the resource names no function.
    pub(super) function: Option<Arc<Function>>,
    pub(super) local: u64,
    /// The environment; zero if unknown.
    pub(super) instance: u64,
}

/// What a handler's span says beyond a member.
pub(super) struct Handler<'a> {
    pub(super) function: Arc<Function>,
    pub(super) invocation: &'a str,
    pub(super) recipe: Arc<Recipe>,
    pub(super) cold: bool,
    pub(super) failed: bool,
}

/// A request being read.
#[derive(Default)]
pub(super) struct Request<'a> {
    pub(super) origins: Vec<Origin<'a>>,
    pub(super) handlers: Vec<Handler<'a>>,
    facts: Facts<'a>,
    records: u32,
    /// The group of the span before: mostly that of the next.
    before: Option<(GroupKey, u32)>,
}

/// The hash by which a function is told from others in one trace.
pub(super) fn local_hash(name: &str) -> u64 {
    hash_from(0, name.as_bytes())
}

/// A trace id that is one, and not zero.
pub(super) fn trace_id(bytes: &[u8]) -> Option<[u8; 16]> {
    <[u8; 16]>::try_from(bytes).ok().filter(|id| *id != [0; 16])
}

/// A span id as a number; `None` if it is not one, or zero.
pub(super) fn span_id(bytes: &[u8]) -> Option<u64> {
    <[u8; 8]>::try_from(bytes).ok().map(u64::from_be_bytes).filter(|id| *id != 0)
}

/// A trace, for the clock.
pub(super) fn voice(trace: [u8; 16]) -> u64 {
    let id = u128::from_be_bytes(trace);
    id as u64 ^ (id >> 64) as u64
}

impl Assembler {
    /// Whose the group is.
    pub(super) fn origin<'a>(&mut self, group: &ResourceGroup<'a>) -> Origin<'a> {
        let (mut identity, mut instance) = (Identity::default(), 0);
        for (key, value) in group.attributes() {
            match names::lookup(key) {
                Some(Name::FaasInstance) => instance = value.text().map_or(0, |text| hash_from(1, text.as_bytes())),
                Some(name) => {
                    identity.take(name, value);
                }
                None => {}
            }
        }
        // What SDKs say when nobody has named the service.
        if identity.service_name.starts_with("unknown_service") {
            identity.service_name = "";
        }
        let identity = identity.completed();
        let function = (!identity.name().is_empty()).then(|| self.functions.of(&identity));
        Origin { raw: group.resource(), identity, function, local: local_hash(identity.name()), instance }
    }

    /// Reads all spans of a request.
    pub(super) fn read<'a>(&mut self, body: &'a [u8]) -> Request<'a> {
        let mut request = Request::default();
        for group in view::resources(body) {
            let origin = self.origin(&group);
            request.origins.push(origin);
            for scope in group.scopes() {
                self.read_scope(&scope, &mut request);
            }
        }
        request
    }

    fn read_scope<'a>(&mut self, scope: &ScopeGroup<'a>, request: &mut Request<'a>) {
        let named = (scope.name(), scope.version());
        for record in scope.records() {
            let index = request.records;
            request.records += 1;
            self.read_span(record, index, named, request);
        }
    }

    fn read_span<'a>(&mut self, record: &'a [u8], index: u32, scope: (&'a [u8], &'a [u8]), request: &mut Request<'a>) {
        let mut facts = std::mem::take(&mut request.facts);
        facts.clear();
        let span = view::Span::scan(record, |key, value| {
            if let Some(name) = names::lookup(key) {
                facts.push(name, value);
            }
        });
        let failed = span.status_code == 2;
        if failed && facts.text(Name::ErrorType).is_none() {
            exception(record, &mut facts);
        }
        let read = keys::Span { handler: false, kind: span.kind, name: span.name, failed, scope, facts: &facts };
        self.place(&span, &read, index, request);
        request.facts = facts;
    }

    /// Makes the span a member of its group.
    fn place<'a>(&mut self, span: &view::Span<'a>, read: &keys::Span<'_, 'a>, record: u32, request: &mut Request<'a>) {
        let (Some(trace), Some(id)) = (trace_id(span.trace_id), span_id(span.span_id)) else {
            self.counters.malformed += 1;
            return;
        };
        let role = role(span, read.facts);
        let Some(origin) = request.origins.last() else { return };
        let mut function = origin.function.clone();
        let mut local = origin.local;
        let mut handler = NONE;
        if role != Role::Child {
            let own = read.facts.iter().fold(Identity::default(), |mut own, (name, value)| {
                own.take(name, value);
                own
            });
            if own != Identity::default() {
                let identity = own.or(&origin.identity).completed();
                let fuller = (!identity.name().is_empty()).then(|| self.functions.of(&identity));
                match (&function, &fuller) {
                    (Some(function), Some(fuller)) => function.learn(fuller),
                    _ => local = local_hash(identity.name()),
                }
                function = fuller.or(function);
            }
        }
        let Some(function) = function else {
            self.counters.unattributed += 1;
            return;
        };
        let key = GroupKey { trace, local };
        let slot = match request.before {
            Some((before, slot)) if before == key => slot,
            _ => self.groups.find_or_make(key, origin.function.as_ref().unwrap_or(&function), self.clock.now()),
        };
        request.before = Some((key, slot));
        let most = self.settings.max_spans;
        let crowded = self.groups.get(slot).is_some_and(|group| group.fresh as usize + group.held.len() >= most);
        if crowded && role == Role::Child {
            self.counters.truncated += 1;
            return;
        }
        let recipe = self.recipe(&keys::Span { handler: role == Role::Handler, ..*read });
        if role != Role::Child {
            handler = request.handlers.len() as u32;
            request.handlers.push(Handler {
                function,
                invocation: invocation(read.facts),
                recipe: if role == Role::Handler {
                    Arc::clone(&recipe)
                } else {
                    self.recipe(&keys::Span { handler: true, ..*read })
                },
                cold: read.facts.value(Name::ColdStart) == Some(AnyValue::Bool(true)),
                failed: read.failed
                    || read.facts.value(Name::StatusCode).and_then(keys::number).is_some_and(|code| code >= 500),
            });
        }
        if self.joins.is_armed()
            && let Some(id) = read.facts.text(Name::RequestId).filter(|_| role == Role::Child)
        {
            self.joins.called(hash_from(self.secret, id.as_bytes()), self.clock.now());
        }
        let (touched, amounts) = weigh(read.facts);
        let end = span.end.max(span.start);
        self.clock.observe(end, voice(trace));
        let member = Member {
            span: id,
            parent: span_id(span.parent_span_id).unwrap_or(0),
            start: if span.start == 0 { end } else { span.start },
            end,
            recipe,
            touched,
            amounts,
            record,
            resource: (request.origins.len() - 1) as u32,
            handler,
            next: NONE,
            role,
            kind: span.kind.min(u32::from(u8::MAX)) as u8,
            init: span.kind <= 1 && INIT_NAMES.contains(&span.name),
        };
        self.link(slot, member);
    }

    /// Appends a member to its group.
    fn link(&mut self, slot: u32, member: Member) {
        let at = self.fresh.len() as u32;
        let Some(group) = self.groups.get_mut(slot) else { return };
        if group.fresh == 0 {
            group.first = at;
            self.touched.push(slot);
        } else if let Some(last) = self.fresh.get_mut(group.last as usize) {
            last.next = at;
        }
        group.last = at;
        group.fresh += 1;
        self.fresh.push(member);
    }

    /// The keys of a span, from memory if it is like one before.
    pub(super) fn recipe(&mut self, span: &keys::Span<'_, '_>) -> Arc<Recipe> {
        let signature = span.signature(self.secret);
        if let Some(recipe) = self.recipes.get(signature) {
            return recipe;
        }
        let recipe = Arc::new(Recipe::of(span));
        self.recipes.put(signature, Arc::clone(&recipe));
        recipe
    }
}

/// The invocation's id as the platform knows it.
pub(super) fn invocation<'a>(facts: &Facts<'a>) -> &'a str {
    let id = facts.text(Name::InvocationId).or_else(|| facts.text(Name::RequestId)).unwrap_or_default();
    if id.len() <= 256 { id } else { "" }
}

/// What a span is to its invocation, as far as it says itself. Flags tell whether the parent is of another process.
fn role(span: &view::Span<'_>, facts: &Facts<'_>) -> Role {
    const PARENT_KNOWN: u32 = 0x100;
    const PARENT_REMOTE: u32 = 0x200;
    if matches!(span.kind, CLIENT | PRODUCER) {
        return Role::Child;
    }
    let root = span_id(span.parent_span_id).is_none();
    let remote = span.flags & PARENT_REMOTE != 0;
    let local = !root && !remote && span.flags & PARENT_KNOWN != 0;
    let entry = matches!(span.kind, SERVER | CONSUMER);
    let says_so = facts.value(Name::InvocationId).is_some() || facts.value(Name::Trigger).is_some();
    if root || remote {
        Role::Handler
    } else if says_so || entry && !local {
        Role::Perhaps
    } else {
        Role::Child
    }
}

/// Notes the type of the exception that a span recorded.
fn exception<'a>(record: &'a [u8], facts: &mut Facts<'a>) {
    for event in view::Span::events(record).take(16).filter(|event| event.name == b"exception") {
        for (key, value) in event.attributes() {
            if names::lookup(key) == Some(Name::ExceptionType) {
                facts.push(Name::ExceptionType, value);
            }
        }
    }
}

/// What a span touched, ids and all, and how much.
fn weigh(facts: &Facts<'_>) -> (u64, Amounts) {
    let (mut touched, mut amounts) = (0, Amounts::default());
    let mut scanned = None;
    for (name, value) in facts.iter() {
        match name {
            Name::TableNames
            | Name::Bucket
            | Name::TopicArn
            | Name::QueueUrl
            | Name::SecretArn
            | Name::StreamName
            | Name::StateMachineArn
            | Name::InvokedName
            | Name::MessagingDestination
            | Name::DbCollection
            | Name::DbStatement
            | Name::Url => {
                if let AnyValue::String(bytes) | AnyValue::Array(bytes) = value {
                    touched = mix(touched, hash_from(name as u64, bytes));
                }
            }
            Name::RequestSize | Name::MessageSize => amounts.out = keys::number(value),
            Name::ResponseSize => amounts.received = keys::number(value),
            Name::RowsReturned => amounts.rows = keys::number(value),
            Name::RowsScanned => scanned = keys::number(value),
            _ => {}
        }
    }
    amounts.rows = amounts.rows.or(scanned);
    (touched, amounts)
}
