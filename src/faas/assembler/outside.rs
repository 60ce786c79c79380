//! What the platform, the called services and their metrics say of functions.
//!
//! A log record of a resource that names a function is never taken for a service's: a function may write anything into its
//! own log. Who is meant is found by name among the functions that send telemetry themselves.

use std::sync::Arc;

use super::{
    Assembler, Invocation,
    emit::{Flat, Subject},
    function::{Function, short},
    joins::{About, Place, SPANS_COME, Waiting},
    read::{Origin, local_hash},
};
use crate::{
    detect::observation::{Channel, Family, Nanos, Quantity, Risk, Source, Touch},
    faas::{
        cloudtrail::{self, Parameters, Record},
        cloudwatch,
        identity::Identity,
        intern::hash_from,
        keys::{self, Facts, Recipe},
        names::Name,
        platform, verbs,
    },
    otlp::{
        view::{self, AnyValue, LogRecord},
        write::{self, field::LOG_ATTRIBUTES},
    },
};

/// `SPAN_KIND_CLIENT`.
const CLIENT: u32 = 3;

/// What the platform counted of a function in a minute.
type Minute = (Arc<Function>, Nanos, Vec<(Quantity, u64)>);

/// What is told of one record from outside.
struct Outside<'o> {
    function: &'o Function,
    channel: Channel,
    at: Nanos,
    invocation: &'o str,
    resource: &'o [u8],
    records: &'o [u32],
    /// Where its invocation is known from spans.
    trace: [u8; 16],
    span: u64,
}

impl Assembler {
    /// Reads a log record that the function did not write; says whether it was one.
    pub(super) fn read_outside<'a>(
        &mut self,
        (raw, log): (&'a [u8], &LogRecord<'a>),
        facts: &Facts<'a>,
        origin: &Origin<'a>,
        at: u32,
        out: &mut impl FnMut(Invocation<'_>),
    ) -> bool {
        if let Some(event) = platform::read(log, facts) {
            self.read_event(log, &event, origin, at, out);
            return true;
        }
        // Of the others there is nothing to learn, and they are no lines of the function's.
        if platform::is_named(log, facts) {
            return true;
        }
        // Whoever is known to run code is not believed to be a service.
        if !origin.identity.faas_name.is_empty() {
            return false;
        }
        let json = cloudtrail::body(log);
        let record = match &json {
            Some(json) => Record::parse(json),
            None if facts.value(Name::TrailEvent).is_some() => {
                Record::from_attributes(view::messages(raw, LOG_ATTRIBUTES).map(view::key_value))
            }
            None => None,
        };
        let Some(mut record) = record else { return false };
        for (field, of_resource) in [
            (&mut record.recipient_account_id, origin.identity.account),
            (&mut record.aws_region, origin.identity.region),
        ] {
            if field.is_empty() {
                *field = of_resource.into();
            }
        }
        self.counters.outside += 1;
        let time = if log.time == 0 { log.observed_time } else { log.time };
        self.clock.observe(time, hash_from(self.secret, record.event_id.as_bytes()));
        self.joins.arm(self.clock.now());
        self.read_record(&record, time, at, out);
        true
    }

    fn read_event(
        &mut self,
        log: &LogRecord<'_>,
        event: &platform::Event<'_>,
        origin: &Origin<'_>,
        at: u32,
        out: &mut impl FnMut(Invocation<'_>),
    ) {
        let time = if log.time == 0 { log.observed_time } else { log.time };
        let identity = &origin.identity;
        let known = self.functions.named(identity.name(), identity.account, identity.region);
        let Some(function) = known.or_else(|| origin.function.clone()) else {
            self.counters.unattributed += 1;
            return;
        };
        self.counters.outside += 1;
        let id = hash_from(self.secret, event.invocation.as_bytes());
        self.clock.observe(time, id);
        let quantities = [
            (Quantity::PlatformUs, event.duration_us.filter(|_| event.report)),
            (Quantity::InitUs, event.init_us.filter(|_| event.report)),
            (Quantity::MemoryMb, event.memory_mb),
            (Quantity::AnswerBytes, event.answer_bytes),
        ];
        let quantities: Vec<_> = quantities.into_iter().filter_map(|(of, value)| Some((of, value?))).collect();
        if event.failed() {
            self.joins.failed(id);
        }
        let ended = event.failed().then(|| self.key(Family::Error, Risk::Read, &format!("platform {}", event.status)));
        let place = self.invocations.get(id);
        if event.report || !quantities.is_empty() {
            let outside = Outside {
                function: &function,
                channel: Channel::Platform,
                at: time,
                invocation: &event.invocation,
                resource: origin.raw,
                records: &[at],
                trace: place.map_or([0; 16], |place| place.key.trace),
                span: place.map_or(0, |place| place.span),
            };
            let cold = event.init_us.is_some();
            self.tell(&outside, ended.iter().filter(|_| event.report), &quantities, cold, out);
        }
        if event.report && !event.unsampled {
            self.joins.ran(origin.local, time.saturating_sub(event.duration_us.unwrap_or(0) * 1000), time);
            // The last word does not always repeat how it went.
            let status = match &*event.status {
                "" if self.joins.has_failed(id) => "error",
                "" => "success",
                status => status,
            };
            let ended = self.key(Family::Silence, Risk::Read, status);
            let about = About::Invocation { ended, forgotten: self.invocations.forgotten() };
            let called = short(&event.invocation);
            let due = time.saturating_add(SPANS_COME);
            self.counters.unjoinable += u64::from(!self.joins.wait(due, time, function, id, about, called));
        }
    }

    fn read_record(&mut self, record: &Record<'_>, time: Nanos, at: u32, out: &mut impl FnMut(Invocation<'_>)) {
        let parameters = record.parameters();
        let (account, region) = (&*record.recipient_account_id, &*record.aws_region);
        let (service, operation) = (record.service().to_owned(), record.operation().to_owned());
        let risk = verbs::aws(&service, &operation);
        let changed = match &*service {
            "lambda" => parameters.function(),
            "logs" => parameters.log_group_name.strip_prefix("/aws/lambda/").unwrap_or_default(),
            _ => "",
        };
        if !changed.is_empty() && risk >= Risk::Control && record.error_code.is_empty() {
            let function = self.by_name(changed, account, region);
            let by = record.principal();
            let mut name = format!("{by} {service}.{operation}");
            let fields = parameters.changed(account);
            if !fields.is_empty() {
                name = format!("{name} ({})", fields.join(", "));
            }
            let lets_strangers_in = fields.iter().any(|field| field.contains("account") || field.contains("everybody"));
            let risk = if lets_strangers_in { Risk::Control } else { Risk::Write };
            let recipes = [self.key(Family::Change, Risk::Control, &by), self.key(Family::Change, risk, &name)];
            let resource = resource_of(&function, account, region);
            let outside = Outside {
                function: &function,
                channel: Channel::Control,
                at: time,
                invocation: &record.event_id,
                resource: &resource,
                records: &[at],
                trace: [0; 16],
                span: 0,
            };
            self.tell(&outside, recipes.iter(), &[], false, out);
        }
        self.read_call(record, &parameters, time, out);
    }

    /// What a function called, by what the service says.
    fn read_call(
        &mut self,
        record: &Record<'_>,
        parameters: &Parameters<'_>,
        time: Nanos,
        out: &mut impl FnMut(Invocation<'_>),
    ) {
        // What a service does on somebody's behalf is not the function's doing.
        if !record.user_identity.invoked_by.is_empty() {
            return;
        }
        let Some((_, session)) = record.session() else { return };
        let (account, region) = (&*record.recipient_account_id, &*record.aws_region);
        // The caller's account is the function's; the region of a call need not be.
        let account =
            if record.user_identity.account_id.is_empty() { account } else { &record.user_identity.account_id };
        let function = match self.functions.named(session, account, "") {
            Some(known) => known,
            None if record.is_from_lambda() => self.by_name(session, account, region),
            None => return,
        };
        let act = self.act(record, parameters);
        let (network, agent) = record.origin();
        let mut shown = vec![
            self.key(Family::Identity, Risk::Identity, &format!("from {network}")),
            self.key(Family::Identity, Risk::Identity, &format!("with {agent}")),
        ];
        let place = Place { network: hash_from(0, network.as_bytes()), agent: hash_from(0, agent.as_bytes()) };
        let credential = hash_from(self.secret, record.user_identity.access_key_id.as_bytes());
        let first = self.joins.used_elsewhere(credential, place);
        if let Some(first) = first.filter(|_| !record.user_identity.access_key_id.is_empty()) {
            // Both at once is no new library and no new route.
            let both = first.network != place.network && first.agent != place.agent;
            let risk = if both { Risk::Identity } else { Risk::Write };
            shown.push(self.key(Family::Credential, risk, &format!("from {network} with {agent}")));
        }
        let id = hash_from(self.secret, record.request_id.as_bytes());
        let about = About::Call { local: local_hash(session), act, shown, bytes: record.bytes() };
        let called = short(&record.event_id);
        let due = time.saturating_add(SPANS_COME);
        self.counters.unjoinable += u64::from(!self.joins.wait(due, time, function, id, about, called));
        self.decide(self.clock.now(), out);
    }

    /// Says of every record whose time has come whether the function had said the same.
    pub(super) fn decide(&mut self, now: Nanos, out: &mut impl FnMut(Invocation<'_>)) {
        while let Some(Waiting { at, function, id, about, invocation, .. }) = self.joins.due(now) {
            let mut quantities = Vec::new();
            let (channel, keys) = match about {
                About::Invocation { forgotten, .. } if forgotten != self.invocations.forgotten() => {
                    self.counters.unjoinable += 1;
                    continue;
                }
                About::Invocation { .. } if self.invocations.get(id).is_some() => continue,
                About::Invocation { ended, .. } => (Channel::Platform, vec![ended]),
                About::Call { local, act, mut shown, bytes } => {
                    quantities.extend(bytes.map(|bytes| (Quantity::CallBytes, bytes)));
                    match self.joins.was_called(id, at) {
                        Some(true) => {}
                        None => self.counters.unjoinable += 1,
                        Some(false) => {
                            let (words, risk) = act.act();
                            let open = self.joins.was_open(local, at);
                            let family = if open == Some(false) { Family::Orphan } else { Family::Untraced };
                            shown.push(self.key(family, risk, &words));
                            shown.push(act);
                        }
                    }
                    (Channel::Provider, shown)
                }
            };
            let resource = resource_of(&function, &function.account, &function.region);
            let outside = Outside {
                function: &function,
                channel,
                at,
                invocation: &invocation,
                resource: &resource,
                records: &[],
                trace: [0; 16],
                span: 0,
            };
            self.tell(&outside, keys.iter(), &quantities, false, out);
        }
    }

    /// Reads what the platform counted, and tells all of one function and minute at once.
    pub(super) fn read_metrics(&mut self, body: &[u8], out: &mut impl FnMut(Invocation<'_>)) {
        let mut minutes: Vec<Minute> = Vec::new();
        for group in view::resources(body) {
            let origin = self.origin(&group);
            for record in group.scopes().flat_map(|scope| scope.records()) {
                cloudwatch::read(record, |value| {
                    let function = match (value.function, &origin.function) {
                        ("", None) => return,
                        ("", Some(function)) => function.best(),
                        (name, _) => self.by_name(name, origin.identity.account, origin.identity.region),
                    };
                    self.counters.outside += 1;
                    let minute = minutes
                        .iter_mut()
                        .rev()
                        .take(64)
                        .find(|(known, at, _)| known.hash == function.hash && *at == value.at);
                    match minute {
                        Some((.., values)) if values.iter().all(|(known, _)| *known != value.quantity) => {
                            values.push((value.quantity, value.value));
                        }
                        Some(_) => {}
                        None => minutes.push((function, value.at, vec![(value.quantity, value.value)])),
                    }
                });
            }
        }
        minutes.sort_by_key(|(_, at, _)| *at);
        for (function, at, values) in &minutes {
            self.clock.observe(*at, function.hash);
            let resource = resource_of(function, &function.account, &function.region);
            let outside = Outside {
                function,
                channel: Channel::Metrics,
                at: *at,
                invocation: "",
                resource: &resource,
                records: &[],
                trace: [0; 16],
                span: 0,
            };
            self.tell(&outside, [].iter(), values, false, out);
        }
        self.decide(self.clock.now(), out);
    }

    fn tell<'r>(
        &mut self,
        outside: &Outside<'_>,
        recipes: impl Iterator<Item = &'r Arc<Recipe>>,
        quantities: &[(Quantity, u64)],
        cold: bool,
        out: &mut impl FnMut(Invocation<'_>),
    ) {
        let source =
            Source { trace_id: outside.trace, span_id: outside.span.to_be_bytes(), trust: outside.channel.trust() };
        let touches: Vec<Touch<'_>> =
            recipes.flat_map(|recipe| recipe.keys()).map(|key| Touch { key, count: 1, source }).collect();
        let subject = Subject {
            function: outside.function,
            trace: outside.trace,
            span: outside.span,
            invocation: outside.invocation,
            resource: outside.resource,
            now: self.clock.now(),
            channel: outside.channel,
            instance: 0,
            answered: 0,
        };
        let times = (outside.at, outside.at);
        let flat = Flat { touches: &touches, quantities, records: outside.records, times, cold, failed: false };
        self.press.emit_flat(&subject, &flat, out);
    }

    /// The function of that name, whether it has sent telemetry or not.
    fn by_name(&mut self, name: &str, account: &str, region: &str) -> Arc<Function> {
        self.functions.named(name, account, region).unwrap_or_else(|| {
            let identity = Identity { provider: "aws", account, region, faas_name: name, ..Identity::default() };
            self.functions.of(&identity)
        })
    }

    /// The recipe of one key, from memory if it was made before.
    fn key(&mut self, family: Family, risk: Risk, name: &str) -> Arc<Recipe> {
        let signature = hash_from(hash_from(self.secret, &[family as u8, risk as u8, 1]), name.as_bytes());
        self.recipes.get(signature).unwrap_or_else(|| {
            let recipe = Arc::new(Recipe::of_key(family, risk, name));
            self.recipes.put(signature, Arc::clone(&recipe));
            recipe
        })
    }

    /// The keys of a recorded call: those its span would have had.
    fn act(&mut self, record: &Record<'_>, parameters: &Parameters<'_>) -> Arc<Recipe> {
        let mut facts = Facts::default();
        for (name, text) in [
            (Name::RpcSystem, "aws-api"),
            (Name::RpcService, record.service()),
            (Name::RpcMethod, record.operation()),
            (Name::TableNames, &*parameters.table_name),
            (Name::Bucket, &*parameters.bucket_name),
            (Name::SecretArn, &*parameters.secret_id),
            (Name::TopicArn, &*parameters.topic_arn),
            (Name::QueueUrl, &*parameters.queue_url),
            (Name::StreamName, &*parameters.stream_name),
            (Name::StateMachineArn, &*parameters.state_machine_arn),
            (Name::InvokedName, parameters.function()),
            (Name::ErrorType, &*record.error_code),
        ] {
            if !text.is_empty() {
                facts.push(name, AnyValue::String(text.as_bytes()));
            }
        }
        let failed = !record.error_code.is_empty();
        self.recipe(&keys::Span { handler: false, kind: CLIENT, name: b"", failed, scope: (b"", b""), facts: &facts })
    }
}

/// A resource for what has none of the function's own.
fn resource_of(function: &Function, account: &str, region: &str) -> Vec<u8> {
    let mut resource = Vec::new();
    for (key, value) in [
        ("cloud.provider", "aws"),
        ("cloud.account.id", account),
        ("cloud.region", region),
        ("faas.name", &function.name),
        ("faas.version", &function.version),
    ] {
        if !value.is_empty() {
            write::text(&mut resource, 1, key, value);
        }
    }
    resource
}
