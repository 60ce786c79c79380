//! What an operation could do in the wrong hands, told from its name.

use crate::detect::observation::Risk;

/// Services whose every call is about who may do what.
const IDENTITY_SERVICES: &[&str] =
    &["sts", "iam", "secretsmanager", "kms", "ssm", "cognito-idp", "cognito-identity", "sso", "organizations", "acm"];

/// Operations, by service and prefix, that change code, configuration, permissions or what is recorded.
const CONTROL: &[(&str, &str)] = &[
    ("lambda", "UpdateFunctionCode"),
    ("lambda", "UpdateFunctionConfiguration"),
    ("lambda", "CreateFunction"),
    ("lambda", "DeleteFunction"),
    ("lambda", "AddPermission"),
    ("lambda", "AddLayerVersionPermission"),
    ("lambda", "PublishLayerVersion"),
    ("lambda", "PutFunctionConcurrency"),
    ("lambda", "CreateEventSourceMapping"),
    ("lambda", "CreateFunctionUrlConfig"),
    ("lambda", "UpdateFunctionUrlConfig"),
    ("iam", "Put"),
    ("iam", "Attach"),
    ("iam", "Create"),
    ("iam", "Update"),
    ("iam", "Add"),
    ("logs", "Delete"),
    ("logs", "PutRetentionPolicy"),
    ("cloudtrail", "Stop"),
    ("cloudtrail", "Delete"),
    ("cloudtrail", "Update"),
    ("cloudtrail", "PutEventSelectors"),
    ("guardduty", "Delete"),
    ("guardduty", "Update"),
    ("config", "Delete"),
    ("config", "Stop"),
    ("ec2", "RunInstances"),
    ("ec2", "AuthorizeSecurityGroup"),
    ("s3", "PutBucketPolicy"),
    ("s3", "PutBucketAcl"),
    ("s3", "DeleteBucketPolicy"),
    ("s3", "DeletePublicAccessBlock"),
    ("kms", "ScheduleKeyDeletion"),
    ("kms", "PutKeyPolicy"),
    ("kms", "DisableKey"),
    ("events", "PutPermission"),
];

const READ: &[&str] = &[
    "get",
    "list",
    "describe",
    "query",
    "scan",
    "batchget",
    "head",
    "select",
    "lookup",
    "search",
    "check",
    "count",
    "find",
    "fetch",
    "read",
    "receive",
    "aggregate",
    "exists",
    "hget",
    "mget",
    "show",
    "options",
    "peek",
    "ping",
];
const DELETE: &[&str] = &[
    "delete",
    "purge",
    "terminate",
    "remove",
    "drop",
    "truncate",
    "destroy",
    "batchdelete",
    "del",
    "unlink",
    "flushall",
    "flushdb",
    "hdel",
    "abort",
];
const WRITE: &[&str] = &[
    "put",
    "create",
    "update",
    "send",
    "publish",
    "batchwrite",
    "insert",
    "upsert",
    "merge",
    "replace",
    "set",
    "add",
    "post",
    "patch",
    "upload",
    "copy",
    "start",
    "invoke",
    "write",
    "modify",
    "tag",
    "import",
    "batchput",
    "transactwrite",
    "execute",
    "call",
    "restore",
    "register",
    "alter",
    "grant",
    "enable",
    "disable",
    "hset",
    "incr",
    "lpush",
    "rpush",
    "sadd",
    "zadd",
    "attach",
    "batchexecute",
    "findandmodify",
    "bulkwrite",
];

/// The risk of an AWS call, by the short name of the service and the operation.
pub fn aws(service: &str, operation: &str) -> Risk {
    if CONTROL.iter().any(|(of, prefix)| *of == service && operation.starts_with(prefix)) {
        Risk::Control
    } else if IDENTITY_SERVICES.contains(&service) {
        Risk::Identity
    } else {
        verb(operation)
    }
}

/// The risk of an operation of any other kind, by how its name begins: `GetItem`, `delete_user`, `SELECT`.
pub fn verb(operation: &str) -> Risk {
    // The longest verb decides: `FindAndModify` is no find, `BatchDelete` nothing that a batch reads.
    let longest = |verbs: &[&str]| verbs.iter().filter(|verb| begins(operation, verb)).map(|verb| verb.len()).max();
    let found = [(longest(READ), Risk::Read), (longest(WRITE), Risk::Write), (longest(DELETE), Risk::Delete)];
    found.into_iter().filter(|(len, _)| len.is_some()).max().map_or(Risk::Read, |(_, risk)| risk)
}

/// The risk of an HTTP method.
pub fn http(method: &str) -> Risk {
    if method.eq_ignore_ascii_case("delete") {
        Risk::Delete
    } else if ["post", "put", "patch"].iter().any(|write| method.eq_ignore_ascii_case(write)) {
        Risk::Write
    } else {
        Risk::Read
    }
}

/// Whether `operation` begins with the verb as a word: `Get` in `GetItem` and `GET`, not in `Getaway`.
fn begins(operation: &str, verb: &str) -> bool {
    let Some((head, tail)) = operation.split_at_checked(verb.len()) else { return false };
    if !head.eq_ignore_ascii_case(verb) {
        return false;
    }
    let shouted = head.bytes().all(|byte| byte.is_ascii_uppercase());
    !tail.bytes().next().is_some_and(|next| next.is_ascii_lowercase() || shouted && next.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aws_calls_are_weighed() {
        for (service, operation, risk) in [
            ("dynamodb", "GetItem", Risk::Read),
            ("dynamodb", "BatchGetItem", Risk::Read),
            ("dynamodb", "Scan", Risk::Read),
            ("dynamodb", "PutItem", Risk::Write),
            ("dynamodb", "BatchWriteItem", Risk::Write),
            ("dynamodb", "DeleteTable", Risk::Delete),
            ("sqs", "PurgeQueue", Risk::Delete),
            ("sqs", "SendMessage", Risk::Write),
            ("sns", "Publish", Risk::Write),
            ("s3", "HeadObject", Risk::Read),
            ("s3", "PutBucketPolicy", Risk::Control),
            ("ec2", "TerminateInstances", Risk::Delete),
            ("ec2", "RunInstances", Risk::Control),
            ("sts", "GetCallerIdentity", Risk::Identity),
            ("secretsmanager", "GetSecretValue", Risk::Identity),
            ("ssm", "GetParameter", Risk::Identity),
            ("iam", "PutRolePolicy", Risk::Control),
            ("iam", "AttachRolePolicy", Risk::Control),
            ("iam", "ListRoles", Risk::Identity),
            ("lambda", "Invoke", Risk::Write),
            ("lambda", "UpdateFunctionCode20150331v2", Risk::Control),
            ("lambda", "AddPermission", Risk::Control),
            ("lambda", "PutFunctionConcurrency", Risk::Control),
            ("lambda", "ListFunctions", Risk::Read),
            ("logs", "DeleteLogGroup", Risk::Control),
            ("logs", "PutLogEvents", Risk::Write),
            ("cloudtrail", "StopLogging", Risk::Control),
            ("cloudtrail", "LookupEvents", Risk::Read),
            ("unknown", "Frobnicate", Risk::Read),
        ] {
            assert_eq!(aws(service, operation), risk, "{service}.{operation}");
        }
    }

    #[test]
    fn words_and_methods_are_weighed() {
        for (operation, risk) in [
            ("SELECT", Risk::Read),
            ("insert", Risk::Write),
            ("DROP", Risk::Delete),
            ("findAndModify", Risk::Write),
            ("find", Risk::Read),
            ("delete_user", Risk::Delete),
            ("Getaway", Risk::Read),
            ("Deleted", Risk::Read),
            ("", Risk::Read),
            ("SETEX", Risk::Read),
            ("größe", Risk::Read),
        ] {
            assert_eq!(verb(operation), risk, "{operation}");
        }
        for (method, risk) in [
            ("GET", Risk::Read),
            ("POST", Risk::Write),
            ("put", Risk::Write),
            ("DELETE", Risk::Delete),
            ("", Risk::Read),
        ] {
            assert_eq!(http(method), risk, "{method}");
        }
    }
}
