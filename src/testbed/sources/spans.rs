//! A run's spans and log records, as the SDKs with their official instrumentation send them, in three dialects.
//!
//! What is the same for every call of an [`Op`], or every run of a function, is encoded once and copied.

use std::collections::HashMap;

use super::super::{
    application::{ACCOUNT, Application, Dialect, OTHER_REGION, Op, REGION, Service, Spec, Trigger},
    invocation::{Failure, Line, Severity, Step},
    rng::{Rng, Uuid},
};
use crate::{
    detect::observation::Nanos,
    otlp::{
        wire::put_bytes,
        write::{
            boolean,
            field::{EVENT_ATTRIBUTES, LOG_ATTRIBUTES, SPAN_ATTRIBUTES as ATTRIBUTE},
            fixed32, fixed64, int, list_of_one, nested, text, varint_field,
        },
    },
};

const CLIENT: u64 = 3;
const PRODUCER: u64 = 4;
const SERVER: u64 = 2;
const CONSUMER: u64 = 5;
/// "Whether the parent is remote" is known, and it is not.
const PARENT_IS_LOCAL: u32 = 0x100;
/// It is known, and it is.
const PARENT_IS_REMOTE: u32 = 0x300;
const ERROR: u64 = 2;
const USER_AGENTS: [&str; 3] = ["airline-web/4.2", "airline-ios/7.1.0", "airline-android/7.0.3"];

/// The handler's own span.
#[derive(Clone, Copy, Debug)]
pub struct Handler {
    /// Which function ran.
    pub spec: &'static Spec,
    /// Of which application.
    pub application: &'static Application,
    /// Of the booking's trace.
    pub trace_id: [u8; 16],
    /// Of the handler's span.
    pub span_id: [u8; 8],
    /// The span that caused it.
    pub parent: Option<[u8; 8]>,
    /// `faas.invocation_id`.
    pub invocation: Uuid,
    /// When the handler began.
    pub start: Nanos,
    /// When it returned.
    pub end: Nanos,
    /// Whether the instance was new.
    pub cold: bool,
    /// Present where it failed.
    pub failure: Option<Failure>,
    /// Bytes of its answer.
    pub answer: u64,
}

/// Name and kind; attributes.
type Constant = (Vec<u8>, Vec<u8>);

/// Encodes spans, remembering the parts that repeat.
#[derive(Clone, Debug, Default)]
pub struct Encoder {
    /// Name and kind; attributes.
    calls: HashMap<(Op, Dialect, bool), Constant>,
    handlers: HashMap<(&'static str, Dialect), Vec<u8>>,
}

impl Encoder {
    /// Writes a handler's span as field `number`.
    pub fn handler(&mut self, out: &mut Vec<u8>, number: u32, of: &Handler, dialect: Dialect, rng: &mut Rng) {
        let spec = of.spec;
        let key = (spec.name, dialect);
        let constant = self.handlers.entry(key).or_insert_with(|| handler_attributes(of.application, spec, dialect));
        let kind = if matches!(spec.trigger, Trigger::Http { .. }) { SERVER } else { CONSUMER };
        let names = HttpNames::of(dialect);
        nested(out, number, 2, |out| {
            ids(out, of.trace_id, of.span_id, of.parent);
            put_bytes(out, 5, spec.name.as_bytes());
            varint_field(out, 6, kind);
            fixed64(out, 7, of.start);
            fixed64(out, 8, of.end);
            out.extend_from_slice(constant);
            text(out, ATTRIBUTE, "faas.invocation_id", of.invocation.as_str());
            boolean(out, ATTRIBUTE, "faas.coldstart", of.cold);
            if let Trigger::Http { route, .. } = spec.trigger {
                let agent = USER_AGENTS.get(rng.below(3) as usize).copied().unwrap_or_default();
                text(out, ATTRIBUTE, names.agent, agent);
                target(out, names.path, route, rng);
                int(out, ATTRIBUTE, names.status, if of.failure.is_some() { 500 } else { 200 });
                if dialect == Dialect::Node {
                    int(out, ATTRIBUTE, "http.response_content_length", of.answer);
                }
            }
            tail(out, of.failure, of.end, if of.parent.is_some() { PARENT_IS_REMOTE } else { PARENT_IS_LOCAL });
        });
    }

    /// Writes a call's span as field `number`.
    pub fn call(&mut self, out: &mut Vec<u8>, number: u32, of: &Step, by: &Handler, dialect: Dialect, rng: &mut Rng) {
        let key = (of.op, dialect, of.elsewhere);
        let (name, attributes) = self
            .calls
            .entry(key)
            .or_insert_with(|| (name_and_kind(of.op, dialect), call_attributes(of.op, dialect, of.elsewhere)));
        let names = HttpNames::of(dialect);
        nested(out, number, 2, |out| {
            ids(out, by.trace_id, of.span_id, Some(by.span_id));
            out.extend_from_slice(name);
            fixed64(out, 7, of.start);
            fixed64(out, 8, of.end);
            out.extend_from_slice(attributes);
            if of.op.service == Service::Http {
                target(out, names.url, of.op.target, rng);
            } else {
                let id = std::str::from_utf8(&of.request_id).unwrap_or_default();
                text(out, ATTRIBUTE, "aws.request_id", id);
                if dialect != Dialect::Node {
                    int(out, ATTRIBUTE, "retry_attempts", of.retries);
                }
            }
            sizes(out, of, dialect);
            if of.status > 0 {
                int(out, ATTRIBUTE, names.status, of.status);
            }
            tail(out, of.failure, of.end, PARENT_IS_LOCAL);
        });
    }
}

/// What is known of sizes: items from DynamoDB in every language, bytes only where the instrumentation counts them.
fn sizes(out: &mut Vec<u8>, of: &Step, dialect: Dialect) {
    if of.op.service == Service::DynamoDb && matches!(of.op.method, "Query" | "Scan") {
        int(out, ATTRIBUTE, "aws.dynamodb.count", of.size.rows);
        int(out, ATTRIBUTE, "aws.dynamodb.scanned_count", of.size.rows * if of.op.method == "Scan" { 3 } else { 1 });
    }
    if dialect == Dialect::Node && matches!(of.op.service, Service::Http | Service::S3) {
        int(out, ATTRIBUTE, "http.request_content_length", of.size.sent);
        int(out, ATTRIBUTE, "http.response_content_length", of.size.received);
    }
}

/// What the same things are called.
struct HttpNames {
    method: &'static str,
    status: &'static str,
    url: &'static str,
    path: &'static str,
    agent: &'static str,
    host: &'static str,
}

impl HttpNames {
    const fn of(dialect: Dialect) -> Self {
        match dialect {
            Dialect::Python | Dialect::Node => Self {
                method: "http.method",
                status: "http.status_code",
                url: "http.url",
                path: "http.target",
                agent: "http.user_agent",
                host: "net.host.name",
            },
            Dialect::PythonStable => Self {
                method: "http.request.method",
                status: "http.response.status_code",
                url: "url.full",
                path: "url.path",
                agent: "user_agent.original",
                host: "server.address",
            },
        }
    }
}

/// The scope of a handler's span.
pub const fn handler_scope(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Python => "opentelemetry.instrumentation.aws_lambda",
        Dialect::PythonStable => "opentelemetry.contrib.lambda",
        Dialect::Node => "@opentelemetry/instrumentation-aws-lambda",
    }
}

/// The scope of a call's span.
pub const fn call_scope(service: Service, dialect: Dialect) -> &'static str {
    match (dialect, service) {
        (Dialect::Python, service) => service.names().scope,
        (Dialect::PythonStable, Service::Http) => "opentelemetry.contrib.requests",
        (Dialect::PythonStable, _) => "opentelemetry.contrib.aws",
        (Dialect::Node, Service::Http) => "@opentelemetry/instrumentation-http",
        (Dialect::Node, _) => "@opentelemetry/instrumentation-aws-sdk",
    }
}

/// Writes a log record as field `number`.
pub fn line(out: &mut Vec<u8>, number: u32, of: &Line, by: &Handler) {
    let (severity, name) = match of.severity {
        Severity::Debug => (5, "DEBUG"),
        Severity::Info => (9, "INFO"),
        Severity::Warning => (13, "WARN"),
        Severity::Error => (17, "ERROR"),
    };
    nested(out, number, 2, |out| {
        fixed64(out, 1, of.at);
        varint_field(out, 2, severity);
        put_bytes(out, 3, name.as_bytes());
        nested(out, 5, 1, |out| put_bytes(out, 1, of.body.as_bytes()));
        text(out, LOG_ATTRIBUTES, "code.file.path", "/var/task/app.py");
        text(out, LOG_ATTRIBUTES, "code.function.name", "lambda_handler");
        int(out, LOG_ATTRIBUTES, "code.line.number", of.source_line);
        fixed32(out, 8, 1);
        put_bytes(out, 9, &by.trace_id);
        put_bytes(out, 10, &by.span_id);
        fixed64(out, 11, of.at + 80_000);
    });
}

fn ids(out: &mut Vec<u8>, trace_id: [u8; 16], span_id: [u8; 8], parent: Option<[u8; 8]>) {
    put_bytes(out, 1, &trace_id);
    put_bytes(out, 2, &span_id);
    if let Some(parent) = parent {
        put_bytes(out, 4, &parent);
    }
}

/// The exception, if any, the status and the flags.
fn tail(out: &mut Vec<u8>, failure: Option<Failure>, at: Nanos, flags: u32) {
    if let Some(failure) = failure {
        let message = "An error occurred while calling the operation";
        nested(out, 11, 2, |out| {
            fixed64(out, 1, at);
            put_bytes(out, 2, b"exception");
            text(out, EVENT_ATTRIBUTES, "exception.type", failure);
            text(out, EVENT_ATTRIBUTES, "exception.message", message);
            text(out, EVENT_ATTRIBUTES, "exception.escaped", "False");
        });
        nested(out, 15, 1, |out| {
            put_bytes(out, 2, format!("{failure}: {message}").as_bytes());
            varint_field(out, 3, ERROR);
        });
    } else {
        put_bytes(out, 15, b"");
    }
    fixed32(out, 16, flags);
}

/// A URL or path; after `=` or `/` comes something random where the application would put an id.
fn target(out: &mut Vec<u8>, key: &str, base: &str, rng: &mut Rng) {
    if base.ends_with('=') || base.ends_with('/') {
        let mut whole = base.to_owned();
        let mut id = [0; 8];
        rng.fill_id(&mut id);
        whole.extend(id.into_iter().map(char::from));
        text(out, ATTRIBUTE, key, &whole);
    } else {
        text(out, ATTRIBUTE, key, base);
    }
}

fn handler_attributes(application: &Application, spec: &Spec, dialect: Dialect) -> Vec<u8> {
    let mut attributes = Vec::new();
    let out = &mut attributes;
    let names = HttpNames::of(dialect);
    text(out, ATTRIBUTE, "cloud.account.id", ACCOUNT);
    let id = if dialect == Dialect::Node { "faas.id" } else { "cloud.resource_id" };
    text(out, ATTRIBUTE, id, &arn("lambda", &format!("function:{}", spec.name)));
    match spec.trigger {
        Trigger::Http { method, route } => {
            text(out, ATTRIBUTE, "faas.trigger", "http");
            text(out, ATTRIBUTE, names.host, &format!("api.{}", application.domain));
            text(out, ATTRIBUTE, names.method, method);
            let template = match route {
                "/loyalty/" => "/loyalty/{customer}",
                "/titles/" => "/titles/{title}",
                route => route,
            };
            text(out, ATTRIBUTE, "http.route", template);
        }
        Trigger::Queue(name) => received(out, "aws.sqs", name),
        Trigger::Topic(name) => received(out, "aws.sns", &arn("sns", name)),
        Trigger::Bucket(name) => {
            text(out, ATTRIBUTE, "faas.trigger", "datasource");
            text(out, ATTRIBUTE, "faas.document.collection", name);
            text(out, ATTRIBUTE, "faas.document.operation", "insert");
        }
        Trigger::Schedule => text(out, ATTRIBUTE, "faas.trigger", "timer"),
        Trigger::Direct => text(out, ATTRIBUTE, "faas.trigger", "other"),
    }
    attributes
}

fn received(out: &mut Vec<u8>, system: &str, destination: &str) {
    text(out, ATTRIBUTE, "faas.trigger", "pubsub");
    text(out, ATTRIBUTE, "messaging.system", system);
    text(out, ATTRIBUTE, "messaging.destination.name", destination);
    text(out, ATTRIBUTE, "messaging.operation.type", "process");
}

fn name_and_kind(op: Op, dialect: Dialect) -> Vec<u8> {
    let id = op.service.names().id;
    let (name, kind) = match (op.service, dialect) {
        (Service::Http, _) => (op.method.to_owned(), CLIENT),
        (Service::Sns, Dialect::PythonStable) => (format!("send {}", op.target), PRODUCER),
        (Service::Sns, _) => (format!("{} send", op.target), PRODUCER),
        (_, Dialect::PythonStable) => (format!("{id}/{}", op.method), CLIENT),
        (..) => (format!("{id}.{}", op.method), CLIENT),
    };
    let mut out = Vec::new();
    put_bytes(&mut out, 5, name.as_bytes());
    varint_field(&mut out, 6, kind);
    out
}

/// The host an AWS call goes to.
pub fn host(service: Service, elsewhere: bool) -> String {
    let region = if elsewhere { OTHER_REGION } else { REGION };
    format!("{}.{region}.amazonaws.com", service.names().host)
}

/// The attributes that do not vary.
fn call_attributes(op: Op, dialect: Dialect, elsewhere: bool) -> Vec<u8> {
    let mut attributes = Vec::new();
    let out = &mut attributes;
    if op.service == Service::Http {
        text(out, ATTRIBUTE, HttpNames::of(dialect).method, op.method);
        return attributes;
    }
    let region = if elsewhere { OTHER_REGION } else { REGION };
    let host = host(op.service, elsewhere);
    let system = if dialect == Dialect::PythonStable { "rpc.system.name" } else { "rpc.system" };
    text(out, ATTRIBUTE, system, "aws-api");
    text(out, ATTRIBUTE, "rpc.service", op.service.names().id);
    text(out, ATTRIBUTE, "rpc.method", op.method);
    if dialect == Dialect::Node {
        text(out, ATTRIBUTE, "aws.region", region);
        text(out, ATTRIBUTE, "net.peer.name", &host);
    } else {
        text(out, ATTRIBUTE, "cloud.region", region);
        text(out, ATTRIBUTE, "server.address", &host);
        int(out, ATTRIBUTE, "server.port", 443);
    }
    target_attributes(out, op, dialect, &host);
    attributes
}

fn target_attributes(out: &mut Vec<u8>, op: Op, dialect: Dialect, host: &str) {
    let stable = dialect == Dialect::PythonStable;
    match op.service {
        Service::DynamoDb if stable => {
            text(out, ATTRIBUTE, "db.system.name", "aws.dynamodb");
            text(out, ATTRIBUTE, "db.operation.name", op.method);
            list_of_one(out, ATTRIBUTE, "aws.dynamodb.table_names", op.target);
        }
        Service::DynamoDb => {
            text(out, ATTRIBUTE, "db.system", "dynamodb");
            text(out, ATTRIBUTE, "db.operation", op.method);
            if dialect == Dialect::Python {
                text(out, ATTRIBUTE, "net.peer.name", host);
            } else {
                text(out, ATTRIBUTE, "db.name", op.target);
            }
            list_of_one(out, ATTRIBUTE, "aws.dynamodb.table_names", op.target);
        }
        Service::Sns => {
            let topic = arn("sns", op.target);
            text(out, ATTRIBUTE, "messaging.system", "aws.sns");
            if !stable {
                text(out, ATTRIBUTE, "messaging.destination_kind", "topic");
            }
            text(out, ATTRIBUTE, "messaging.destination.name", &topic);
            text(out, ATTRIBUTE, "aws.sns.topic.arn", &topic);
        }
        Service::Sqs => {
            let url = format!("https://{host}/{ACCOUNT}/{}", op.target);
            text(out, ATTRIBUTE, "messaging.system", "aws.sqs");
            text(out, ATTRIBUTE, if stable { "aws.sqs.queue.url" } else { "messaging.url" }, &url);
            text(out, ATTRIBUTE, "messaging.destination.name", op.target);
        }
        Service::Lambda => {
            text(out, ATTRIBUTE, "faas.invoked_provider", "aws");
            text(out, ATTRIBUTE, "faas.invoked_name", op.target);
            text(out, ATTRIBUTE, "faas.invoked_region", REGION);
        }
        Service::Secrets if !op.target.is_empty() => {
            let secret = arn("secretsmanager", &format!("secret:{}-MqNKxL", op.target));
            text(out, ATTRIBUTE, "aws.secretsmanager.secret.arn", &secret);
        }
        Service::S3 if !op.target.is_empty() => text(out, ATTRIBUTE, "aws.s3.bucket", op.target),
        Service::StepFunctions => {
            let machine = arn("states", &format!("stateMachine:{}", op.target));
            text(out, ATTRIBUTE, "aws.step_functions.state_machine.arn", &machine);
        }
        _ => {}
    }
}

/// The ARN of something in the account.
pub fn arn(service: &str, resource: &str) -> String {
    format!("arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}")
}
