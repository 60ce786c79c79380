//! A run's spans and log records, as the Python SDK with the Lambda, botocore and requests instrumentation sends them.
//!
//! What is the same for every call of an [`Op`], or every run of a [`Function`], is encoded once and copied.

use std::collections::HashMap;

use super::{
    application::{ACCOUNT, Function, Op, REGION, Service, Trigger},
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
    pub function: Function,
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
}

/// Encodes spans, remembering the parts that repeat.
#[derive(Debug, Default)]
pub struct Encoder {
    /// Name and kind; attributes.
    calls: HashMap<Op, (Vec<u8>, Vec<u8>)>,
    handlers: HashMap<Function, Vec<u8>>,
}

impl Encoder {
    /// Writes a handler's span as field `number`.
    pub fn handler(&mut self, out: &mut Vec<u8>, number: u32, of: &Handler, rng: &mut Rng) {
        let spec = of.function.spec();
        let constant = self.handlers.entry(of.function).or_insert_with(|| handler_attributes(of.function));
        let kind = if matches!(spec.trigger, Trigger::Http { .. }) { SERVER } else { CONSUMER };
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
                text(out, ATTRIBUTE, "http.user_agent", agent);
                target(out, "http.target", route, rng);
                int(out, ATTRIBUTE, "http.status_code", if of.failure.is_some() { 500 } else { 200 });
            }
            tail(out, of.failure, of.end, if of.parent.is_some() { PARENT_IS_REMOTE } else { PARENT_IS_LOCAL });
        });
    }

    /// Writes a call's span as field `number`.
    pub fn call(&mut self, out: &mut Vec<u8>, number: u32, of: &Step, by: &Handler, rng: &mut Rng) {
        let (name, attributes) =
            self.calls.entry(of.op).or_insert_with(|| (name_and_kind(of.op), call_attributes(of.op)));
        nested(out, number, 2, |out| {
            ids(out, by.trace_id, of.span_id, Some(by.span_id));
            out.extend_from_slice(name);
            fixed64(out, 7, of.start);
            fixed64(out, 8, of.end);
            out.extend_from_slice(attributes);
            if of.op.service == Service::Http {
                target(out, "http.url", of.op.target, rng);
            } else {
                let mut id = [0; 52];
                rng.fill_id(&mut id);
                text(out, ATTRIBUTE, "aws.request_id", std::str::from_utf8(&id).unwrap_or_default());
                int(out, ATTRIBUTE, "retry_attempts", of.retries);
            }
            int(out, ATTRIBUTE, "http.status_code", of.status);
            tail(out, of.failure, of.end, PARENT_IS_LOCAL);
        });
    }
}

/// Writes a log record as field `number`.
pub fn line(out: &mut Vec<u8>, number: u32, of: &Line, by: &Handler) {
    let (severity, name) = match of.severity {
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
    if base.ends_with('=') || base == "/loyalty/" {
        let mut whole = base.to_owned();
        let mut id = [0; 8];
        rng.fill_id(&mut id);
        whole.extend(id.into_iter().map(char::from));
        text(out, ATTRIBUTE, key, &whole);
    } else {
        text(out, ATTRIBUTE, key, base);
    }
}

fn handler_attributes(function: Function) -> Vec<u8> {
    let spec = function.spec();
    let mut attributes = Vec::new();
    let out = &mut attributes;
    text(out, ATTRIBUTE, "cloud.account.id", ACCOUNT);
    text(out, ATTRIBUTE, "cloud.resource_id", &arn("lambda", &format!("function:{}", spec.name)));
    match spec.trigger {
        Trigger::Http { method, route } => {
            text(out, ATTRIBUTE, "faas.trigger", "http");
            text(out, ATTRIBUTE, "net.host.name", "api.airline.example");
            text(out, ATTRIBUTE, "http.method", method);
            text(out, ATTRIBUTE, "http.route", if route == "/loyalty/" { "/loyalty/{customer}" } else { route });
        }
        Trigger::Queue(name) => received(out, "aws.sqs", name),
        Trigger::Topic(name) => received(out, "aws.sns", &arn("sns", name)),
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

fn name_and_kind(op: Op) -> Vec<u8> {
    let (name, kind) = match op.service {
        Service::Http => (op.method.to_owned(), CLIENT),
        Service::Sns => (format!("{} send", op.target), PRODUCER),
        service => (format!("{}.{}", service.name(), op.method), CLIENT),
    };
    let mut out = Vec::new();
    put_bytes(&mut out, 5, name.as_bytes());
    varint_field(&mut out, 6, kind);
    out
}

/// The attributes that do not vary.
fn call_attributes(op: Op) -> Vec<u8> {
    let mut attributes = Vec::new();
    let out = &mut attributes;
    if op.service == Service::Http {
        text(out, ATTRIBUTE, "http.method", op.method);
        return attributes;
    }
    text(out, ATTRIBUTE, "rpc.system", "aws-api");
    text(out, ATTRIBUTE, "rpc.service", op.service.name());
    text(out, ATTRIBUTE, "rpc.method", op.method);
    text(out, ATTRIBUTE, "cloud.region", REGION);
    text(out, ATTRIBUTE, "server.address", op.service.host());
    int(out, ATTRIBUTE, "server.port", 443);
    target_attributes(out, op);
    attributes
}

fn target_attributes(out: &mut Vec<u8>, op: Op) {
    match op.service {
        Service::DynamoDb => {
            text(out, ATTRIBUTE, "db.system", "dynamodb");
            text(out, ATTRIBUTE, "db.operation", op.method);
            text(out, ATTRIBUTE, "net.peer.name", op.service.host());
            list_of_one(out, ATTRIBUTE, "aws.dynamodb.table_names", op.target);
        }
        Service::Sns => {
            let topic = arn("sns", op.target);
            text(out, ATTRIBUTE, "messaging.system", "aws.sns");
            text(out, ATTRIBUTE, "messaging.destination_kind", "topic");
            text(out, ATTRIBUTE, "messaging.destination.name", &topic);
            text(out, ATTRIBUTE, "aws.sns.topic.arn", &topic);
        }
        Service::Sqs => {
            let url = format!("https://{}/{ACCOUNT}/{}", op.service.host(), op.target);
            text(out, ATTRIBUTE, "messaging.system", "aws.sqs");
            text(out, ATTRIBUTE, "messaging.url", &url);
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
        Service::S3 => text(out, ATTRIBUTE, "aws.s3.bucket", op.target),
        Service::Secrets | Service::Sts | Service::Ses | Service::Logs | Service::Http => {}
    }
}

fn arn(service: &str, resource: &str) -> String {
    format!("arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}")
}
