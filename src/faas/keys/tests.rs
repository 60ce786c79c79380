use proptest::prelude::*;

use super::*;

/// The keys of a span with these attributes, as `Family Risk name`.
fn keys(kind: u32, handler: bool, failed: bool, attributes: &[(Name, &str)]) -> Vec<String> {
    let mut facts = Facts::default();
    for (name, value) in attributes {
        facts.push(*name, AnyValue::String(value.as_bytes()));
    }
    let scope = (&b"opentelemetry.instrumentation.aws_lambda"[..], &b"0.66b1"[..]);
    let recipe = Recipe::of(&Span { handler, kind, name: b"span 17", failed, scope, facts: &facts });
    recipe.keys().map(|key| format!("{:?} {:?} {}", key.family, key.risk, key.name)).collect()
}

struct Row {
    kind: u32,
    attributes: &'static [(Name, &'static str)],
    keys: &'static [&'static str],
}

const AWS: (Name, &str) = (Name::RpcSystem, "aws-api");

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn calls_become_keys() {
    let rows = [
        Row {
            kind: CLIENT,
            attributes: &[
                AWS,
                (Name::RpcService, "DynamoDB"),
                (Name::RpcMethod, "GetItem"),
                (Name::TableNames, "bookings"),
                (Name::PeerName, "127.0.0.1:39023"),
            ],
            keys: &["Operation Read dynamodb.GetItem", "Resource Read dynamodb:table/bookings"],
        },
        Row {
            kind: CLIENT,
            attributes: &[AWS, (Name::RpcMethod, "DynamoDB/DeleteItem"), (Name::DbCollection, "bookings")],
            keys: &["Operation Delete dynamodb.DeleteItem", "Resource Delete dynamodb:table/bookings"],
        },
        Row {
            kind: PRODUCER,
            attributes: &[
                AWS,
                (Name::RpcService, "SNS"),
                (Name::RpcMethod, "Publish"),
                (Name::TopicArn, "arn:aws:sns:eu-west-1:123456789012:seat-events"),
            ],
            keys: &[
                "Operation Write sns.Publish",
                "Resource Write sns:topic/seat-events",
                "Edge Write sns:topic/seat-events",
            ],
        },
        Row {
            kind: CLIENT,
            attributes: &[
                AWS,
                (Name::RpcService, "Secrets Manager"),
                (Name::RpcMethod, "GetSecretValue"),
                (Name::SecretArn, "arn:aws:secretsmanager:eu-west-1:1:secret:payment-api-key-MqNKxL"),
                (Name::AccessKey, "AKIAIOSFODNN7EXAMPLE"),
            ],
            keys: &[
                "Operation Identity secretsmanager.GetSecretValue",
                "Resource Identity secretsmanager:secret/payment-api-key",
                "Identity Identity access key AKIAIOSFODNN7EXAMPLE",
            ],
        },
        Row {
            kind: CLIENT,
            attributes: &[
                AWS,
                (Name::RpcService, "Lambda"),
                (Name::RpcMethod, "Invoke"),
                (Name::InvokedName, "arn:aws:lambda:eu-west-1:1:function:audit:live"),
            ],
            keys: &[
                "Operation Write lambda.Invoke",
                "Resource Write lambda:function/audit",
                "Edge Write lambda:function/audit",
            ],
        },
        Row {
            kind: CLIENT,
            attributes: &[
                AWS,
                (Name::RpcService, "S3"),
                (Name::RpcMethod, "PutObject"),
                (Name::Bucket, "backups"),
                (Name::PeerName, "s3.evil.example"),
            ],
            keys: &[
                "Operation Write s3.PutObject",
                "Resource Write s3:bucket/backups",
                "Destination Egress evil.example",
            ],
        },
        Row {
            kind: CLIENT,
            attributes: &[
                AWS,
                (Name::RpcService, "SQS"),
                (Name::RpcMethod, "SendMessage"),
                (Name::QueueUrl, "https://sqs.eu-west-1.amazonaws.com/1/pay"),
            ],
            keys: &["Operation Write sqs.SendMessage", "Resource Write sqs:queue/pay", "Edge Write sqs:queue/pay"],
        },
        Row {
            kind: CLIENT,
            attributes: &[(Name::HttpMethod, "post"), (Name::Url, "http://api.payments.example:43945/charges/17?k=v")],
            keys: &[
                "Operation Write http.POST",
                "Destination Egress payments.example:43945",
                "Resource Write http:payments.example/charges/<n>",
            ],
        },
        Row {
            kind: CLIENT,
            attributes: &[(Name::HttpMethod, "GET"), (Name::Url, "http://169.254.169.254/latest/meta-data/iam")],
            keys: &[
                "Operation Read http.GET",
                "Destination Identity metadata service",
                "Resource Read http:metadata service/latest/meta-data/iam",
            ],
        },
        Row {
            kind: CLIENT,
            attributes: &[
                (Name::DbSystem, "postgresql"),
                (Name::DbStatement, "select name from users where id = 17"),
                (Name::PeerName, "db.internal"),
                (Name::PeerPort, "5432"),
            ],
            keys: &[
                "Operation Read sql.SELECT",
                "Resource Read postgresql:table/users",
                "Statement Read select name from users where id =?",
                "Destination Read db.internal",
            ],
        },
        Row {
            kind: CLIENT,
            attributes: &[
                (Name::DbSystem, "redis"),
                (Name::DbStatement, "GET session:?"),
                (Name::PeerName, "10.0.0.7"),
            ],
            keys: &["Operation Read redis.GET", "Destination Read private network"],
        },
        Row {
            kind: CLIENT,
            attributes: &[
                (Name::RpcSystem, "grpc"),
                (Name::RpcService, "pay.Ledger"),
                (Name::RpcMethod, "DeleteEntry"),
            ],
            keys: &["Operation Delete grpc.pay.Ledger/DeleteEntry"],
        },
        Row {
            kind: PRODUCER,
            attributes: &[(Name::MessagingSystem, "kafka"), (Name::MessagingDestination, "orders")],
            keys: &[
                "Operation Write kafka.publish",
                "Resource Write kafka:topic/orders",
                "Edge Write kafka:topic/orders",
            ],
        },
        Row {
            kind: CLIENT,
            attributes: &[(Name::PeerName, "198.51.100.4")],
            keys: &["Operation Read call.span <n>", "Destination Egress 198.51.100.0/24"],
        },
        Row { kind: 1, attributes: &[], keys: &["Operation Read span.span <n>"] },
        Row { kind: SERVER, attributes: &[(Name::HttpMethod, "GET")], keys: &["Operation Read span.span <n>"] },
        Row {
            kind: CONSUMER,
            attributes: &[(Name::MessagingSystem, "aws_sqs"), (Name::MessagingDestination, "payments")],
            keys: &["Trigger Read pubsub payments"],
        },
    ];
    for row in rows {
        assert_eq!(keys(row.kind, false, false, row.attributes), row.keys, "{:?}", row.attributes);
    }
}

#[test]
fn handlers_say_why_and_with_what() {
    let artefact = "Artefact Read opentelemetry.instrumentation.aws_lambda 0";
    for (kind, attributes, trigger) in [
        (
            SERVER,
            &[(Name::Trigger, "http"), (Name::HttpMethod, "GET"), (Name::HttpRoute, "/flights")][..],
            "http GET /flights",
        ),
        (SERVER, &[(Name::HttpMethod, "GET"), (Name::HttpPath, "/seats/12?x")], "http GET /seats/<n>"),
        (CONSUMER, &[(Name::MessagingDestination, "arn:aws:sqs:eu-west-1:1:payments")], "pubsub payments"),
        (SERVER, &[(Name::Trigger, "timer")], "timer"),
        (1, &[], "other"),
    ] {
        let expected = [format!("Trigger Read {trigger}"), artefact.to_owned()];
        assert_eq!(keys(kind, true, false, attributes), expected, "{attributes:?}");
    }
}

#[test]
fn failures_are_named() {
    let call = [AWS, (Name::RpcService, "S3"), (Name::RpcMethod, "GetObject")];
    for (more, error) in [
        (&[(Name::ErrorType, "AccessDenied")][..], "Error Read s3.GetObject AccessDenied"),
        (
            &[(Name::ExceptionType, "botocore.exceptions.ClientError")],
            "Error Read s3.GetObject botocore.exceptions.ClientError",
        ),
        (&[(Name::StatusCode, "403")], "Error Read s3.GetObject 403"),
        (&[(Name::ErrorType, "500")], "Error Read s3.GetObject 500"),
        (&[], "Error Read s3.GetObject error"),
    ] {
        let attributes: Vec<_> = call.iter().chain(more).copied().collect();
        assert_eq!(keys(CLIENT, false, true, &attributes).last().map(String::as_str), Some(error));
        assert!(!keys(CLIENT, false, false, &attributes).iter().any(|key| key.starts_with("Error")));
    }
    assert_eq!(keys(SERVER, true, true, &[]).last().map(String::as_str), Some("Error Read handler error"));
}

#[test]
fn the_signature_covers_what_the_keys_say() {
    let signature = |attributes: &[(Name, &str)], failed| {
        let mut facts = Facts::default();
        for (name, value) in attributes {
            facts.push(*name, AnyValue::String(value.as_bytes()));
        }
        Span { handler: false, kind: CLIENT, name: b"n", failed, scope: (b"", b""), facts: &facts }.signature(1)
    };
    let base = [(Name::HttpMethod, "GET"), (Name::Url, "http://a.example/x?id=1"), (Name::RequestId, "1")];
    let same = [(Name::HttpMethod, "GET"), (Name::Url, "http://a.example/x?id=2"), (Name::RequestId, "2")];
    let other = [(Name::HttpMethod, "GET"), (Name::Url, "http://a.example/y?id=1"), (Name::RequestId, "1")];
    assert_eq!(signature(&base, false), signature(&same, false));
    assert_ne!(signature(&base, false), signature(&other, false));
    assert_ne!(signature(&base, false), signature(&base, true));
}

proptest! {
    #[test]
    fn any_attributes_make_bounded_keys(
        values in prop::collection::vec((0..crate::faas::names::COUNT, "\\PC{0,80}"), 0..12),
        kind in 0..7u32,
        handler: bool,
        failed: bool,
    ) {
        let attributes: Vec<_> =
            values.iter().filter_map(|(at, value)| Some((crate::faas::names::at(*at)?, value.as_str()))).collect();
        for key in keys(kind, handler, failed, &attributes) {
            prop_assert!(key.len() <= template::LIMIT + 24);
        }
    }
}
