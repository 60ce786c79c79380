//! Attribute keys, current and deprecated, to one name each: semantic conventions rename, functions do not upgrade.
//!
//! One lookup in a table laid out at compile time, no allocation; unknown keys cost a hash and a load.

/// What an attribute says, whatever its key was called when the sender was built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[allow(missing_docs, reason = "the table below says which keys each one stands for")]
pub enum Name {
    FaasName,
    FaasVersion,
    InvocationId,
    RequestId,
    Trigger,
    ColdStart,
    FaasInstance,
    InvokedName,
    Provider,
    Account,
    Region,
    Platform,
    ResourceId,
    ServiceName,
    ServiceNamespace,
    ServiceVersion,
    DbSystem,
    DbOperation,
    DbStatement,
    DbName,
    DbCollection,
    TableNames,
    Bucket,
    TopicArn,
    QueueUrl,
    SecretArn,
    StreamName,
    StateMachineArn,
    AccessKey,
    MessagingSystem,
    MessagingDestination,
    MessagingOperation,
    MessageSize,
    RpcSystem,
    RpcService,
    RpcMethod,
    HttpMethod,
    HttpRoute,
    HttpPath,
    Url,
    Host,
    PeerName,
    PeerPort,
    PeerService,
    StatusCode,
    RequestSize,
    ResponseSize,
    AwsRegion,
    ErrorType,
    ExceptionType,
    RowsReturned,
    RowsScanned,
    LogGroup,
    EventType,
    TrailEvent,
}

/// Every key that is understood.
const KEYS: &[(&str, Name)] = &[
    ("faas.name", Name::FaasName),
    ("faas.version", Name::FaasVersion),
    ("faas.invocation_id", Name::InvocationId),
    ("faas.execution", Name::InvocationId),
    // The invocation on a handler's span, the request's own on a call's.
    ("aws.request_id", Name::RequestId),
    ("aws.requestId", Name::RequestId),
    ("faas.trigger", Name::Trigger),
    ("faas.coldstart", Name::ColdStart),
    ("faas.instance", Name::FaasInstance),
    ("faas.invoked_name", Name::InvokedName),
    ("cloud.provider", Name::Provider),
    ("cloud.account.id", Name::Account),
    ("cloud.region", Name::Region),
    ("cloud.platform", Name::Platform),
    ("cloud.resource_id", Name::ResourceId),
    ("faas.id", Name::ResourceId),
    ("aws.lambda.invoked_arn", Name::ResourceId),
    ("service.name", Name::ServiceName),
    ("service.namespace", Name::ServiceNamespace),
    ("service.version", Name::ServiceVersion),
    ("db.system", Name::DbSystem),
    ("db.system.name", Name::DbSystem),
    ("db.operation", Name::DbOperation),
    ("db.operation.name", Name::DbOperation),
    ("db.statement", Name::DbStatement),
    ("db.query.text", Name::DbStatement),
    ("db.name", Name::DbName),
    ("db.namespace", Name::DbName),
    ("db.collection.name", Name::DbCollection),
    ("db.sql.table", Name::DbCollection),
    ("db.mongodb.collection", Name::DbCollection),
    ("aws.dynamodb.table_names", Name::TableNames),
    ("aws.s3.bucket", Name::Bucket),
    ("aws.sns.topic.arn", Name::TopicArn),
    ("aws.sqs.queue.url", Name::QueueUrl),
    ("aws.queue_url", Name::QueueUrl),
    ("aws.secretsmanager.secret.arn", Name::SecretArn),
    ("aws.kinesis.stream_name", Name::StreamName),
    ("aws.step_functions.state_machine.arn", Name::StateMachineArn),
    ("aws.auth.account.access_key", Name::AccessKey),
    ("messaging.system", Name::MessagingSystem),
    ("messaging.destination", Name::MessagingDestination),
    ("messaging.destination.name", Name::MessagingDestination),
    ("messaging.operation", Name::MessagingOperation),
    ("messaging.operation.type", Name::MessagingOperation),
    ("messaging.operation.name", Name::MessagingOperation),
    ("messaging.message.body.size", Name::MessageSize),
    ("messaging.message_payload_size_bytes", Name::MessageSize),
    ("rpc.system", Name::RpcSystem),
    ("rpc.system.name", Name::RpcSystem),
    ("rpc.service", Name::RpcService),
    ("rpc.method", Name::RpcMethod),
    ("http.method", Name::HttpMethod),
    ("http.request.method", Name::HttpMethod),
    ("http.route", Name::HttpRoute),
    ("http.target", Name::HttpPath),
    ("url.path", Name::HttpPath),
    ("http.url", Name::Url),
    ("url.full", Name::Url),
    ("http.host", Name::Host),
    ("net.peer.name", Name::PeerName),
    ("server.address", Name::PeerName),
    ("net.peer.port", Name::PeerPort),
    ("server.port", Name::PeerPort),
    ("peer.service", Name::PeerService),
    ("http.status_code", Name::StatusCode),
    ("http.response.status_code", Name::StatusCode),
    ("http.request_content_length", Name::RequestSize),
    ("http.request.body.size", Name::RequestSize),
    ("http.response_content_length", Name::ResponseSize),
    ("http.response.body.size", Name::ResponseSize),
    ("aws.region", Name::AwsRegion),
    ("error.type", Name::ErrorType),
    ("exception.type", Name::ExceptionType),
    ("db.response.returned_rows", Name::RowsReturned),
    ("aws.dynamodb.count", Name::RowsReturned),
    ("aws.dynamodb.scanned_count", Name::RowsScanned),
    ("aws.log.group.names", Name::LogGroup),
    ("aws.cloudwatch.log_group_name", Name::LogGroup),
    ("cloudwatch.log.group.name", Name::LogGroup),
    // Which event of the platform a log record is, where it comes through its telemetry interface.
    ("type", Name::EventType),
    ("aws.cloudtrail.event_id", Name::TrailEvent),
];

/// Slots of the table: a power of two that keeps it sparse, so that unknown keys nearly always meet an empty one.
const SLOTS: usize = 1024;
const EMPTY: u8 = u8::MAX;

static TABLE: [u8; SLOTS] = layout();

const fn layout() -> [u8; SLOTS] {
    assert!(KEYS.len() < EMPTY as usize);
    let mut table = [EMPTY; SLOTS];
    let mut index = 0;
    while index < KEYS.len() {
        let mut slot = slot_of(KEYS[index].0.as_bytes());
        while table[slot] != EMPTY {
            slot = (slot + 1) % SLOTS;
        }
        table[slot] = index as u8;
        index += 1;
    }
    table
}

#[inline]
const fn slot_of(key: &[u8]) -> usize {
    let (head, tail) = match (key.first_chunk::<8>(), key.last_chunk::<8>()) {
        (Some(head), Some(tail)) => (u64::from_le_bytes(*head), u64::from_le_bytes(*tail)),
        _ => (key.len() as u64, 0),
    };
    let mixed = (head ^ tail.rotate_left(29) ^ (key.len() as u64) << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 54) as usize % SLOTS
}

/// What the key stands for, if it is known.
#[inline]
pub fn lookup(key: &[u8]) -> Option<Name> {
    let mut slot = slot_of(key);
    loop {
        let index = *TABLE.get(slot)?;
        // Past the end of the keys is an empty slot.
        let (text, name) = KEYS.get(usize::from(index))?;
        if text.as_bytes() == key {
            return Some(*name);
        }
        slot = (slot + 1) % SLOTS;
    }
}

/// How many keys are understood, and what one of them stands for: for tests that try them all.
#[cfg(test)]
pub(crate) const COUNT: usize = KEYS.len();

#[cfg(test)]
pub(crate) fn at(index: usize) -> Option<Name> {
    KEYS.get(index).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_found_and_nothing_else() {
        for (key, name) in KEYS {
            assert_eq!(lookup(key.as_bytes()), Some(*name), "{key}");
            let longer = format!("{key}s");
            assert!(KEYS.iter().any(|(other, _)| *other == longer) || lookup(longer.as_bytes()).is_none(), "{longer}");
            let other = key.to_uppercase();
            assert_eq!(lookup(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn strange_keys_are_unknown() {
        for key in ["", "a", "faas", "faas.nam", "retry_attempts", "\u{0}", "http.user_agent"] {
            assert_eq!(lookup(key.as_bytes()), None, "{key:?}");
        }
        assert_eq!(lookup(&[0xff; 300]), None);
    }

    #[test]
    fn old_and_new_names_agree() {
        for (old, new) in [
            ("faas.execution", "faas.invocation_id"),
            ("faas.id", "cloud.resource_id"),
            ("http.url", "url.full"),
            ("http.method", "http.request.method"),
            ("db.statement", "db.query.text"),
            ("net.peer.name", "server.address"),
            ("db.system", "db.system.name"),
            ("messaging.destination", "messaging.destination.name"),
        ] {
            assert_eq!(lookup(old.as_bytes()), lookup(new.as_bytes()), "{old}");
        }
    }
}
