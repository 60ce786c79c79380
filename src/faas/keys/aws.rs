//! Keys of calls to Amazon's services, as the AWS SDK instrumentations describe them.

use super::{Draft, Facts};
use crate::{
    detect::observation::{Family, Risk},
    faas::{
        destination,
        identity::Arn,
        names::Name,
        template::{LIMIT, push_text},
        verbs,
    },
    otlp::view::AnyValue,
};

/// Services whose SDK name is not their short one.
const SHORT_NAMES: &[(&str, &str)] = &[
    ("cloudwatchlogs", "logs"),
    ("cloudwatch", "cloudwatch"),
    ("cognitoidentityprovider", "cognito-idp"),
    ("cognitoidentity", "cognito-identity"),
    ("eventbridge", "events"),
    ("cloudwatchevents", "events"),
    ("sfn", "states"),
    ("stepfunctions", "states"),
    ("simplequeueservice", "sqs"),
    ("simplenotificationservice", "sns"),
    ("simplestorageservice", "s3"),
    ("simplesystemsmanagement", "ssm"),
    ("simpleemailservice", "ses"),
    ("securitytokenservice", "sts"),
    ("identityandaccessmanagement", "iam"),
    ("elasticcomputecloud", "ec2"),
    ("keymanagementservice", "kms"),
    ("configservice", "config"),
];

/// The name of a topic or queue: the end of its ARN or URL, or itself.
pub(super) fn short(name: &str) -> &str {
    match Arn::parse(name) {
        Some(arn) => arn.name(),
        None if name.contains("://") => name.rsplit('/').next().unwrap_or(name),
        None => name,
    }
}

/// The short name of a messaging system: `aws_sqs` and `AmazonSQS` are `sqs`.
pub(super) fn messaging(system: &str) -> &str {
    match system {
        "aws_sqs" | "aws.sqs" | "AmazonSQS" => "sqs",
        "aws_sns" | "aws.sns" | "AmazonSNS" => "sns",
        other => other,
    }
}

/// The short name of a service: `Secrets Manager` is `secretsmanager`.
fn service_name(service: &str) -> String {
    let squeezed = service.chars().filter(char::is_ascii_alphanumeric).take(LIMIT);
    let mut name: String = squeezed.map(|letter| letter.to_ascii_lowercase()).collect();
    for prefix in ["amazon", "aws"] {
        if let Some(rest) = name.strip_prefix(prefix)
            && !rest.is_empty()
        {
            name = String::from(rest);
        }
    }
    SHORT_NAMES.iter().find(|(long, _)| *long == name).map_or(name, |(_, short)| (*short).to_owned())
}

/// `payment-api-key` of `payment-api-key-MqNKxL`: secrets' ARNs end in six random letters.
fn without_suffix(secret: &str) -> &str {
    match secret.rsplit_once('-') {
        Some((name, suffix)) if suffix.len() == 6 && !name.is_empty() => name,
        _ => secret,
    }
}

impl Draft {
    /// A call through an AWS SDK.
    pub(super) fn aws(&mut self, facts: &Facts<'_>) {
        let method = facts.text(Name::RpcMethod).or_else(|| facts.text(Name::DbOperation)).unwrap_or("unknown");
        // Newer conventions have `DynamoDB/GetItem` in one attribute.
        let (service, operation) = match method.rsplit_once('/') {
            Some((service, operation)) => (service, operation),
            None => (facts.text(Name::RpcService).unwrap_or_default(), method),
        };
        let service = if service.is_empty() && facts.text(Name::DbSystem).is_some() { "dynamodb" } else { service };
        let service = service_name(service);
        let risk = verbs::aws(&service, operation);
        self.call = true;
        self.operation(risk, &service, operation);
        self.aws_resources(&service, risk, facts);
        self.aws_edge(&service, operation, risk, facts);
        // The SDK knows where its services are: anything else is worth a key.
        let (host, port) = super::host_of(facts);
        let place = destination::push_destination(&mut String::new(), host, port);
        if place.is_some_and(|place| place != destination::Place::Inside) {
            self.destination(facts, |place| place.max(risk));
        }
    }

    fn aws_resources(&mut self, service: &str, risk: Risk, facts: &Facts<'_>) {
        let text = |name| facts.text(name);
        let (kind, name) = match service {
            "dynamodb" => return self.tables(risk, facts),
            "s3" => ("bucket", text(Name::Bucket)),
            "sqs" => ("queue", text(Name::QueueUrl).or_else(|| text(Name::MessagingDestination)).map(short)),
            "sns" => ("topic", text(Name::TopicArn).or_else(|| text(Name::MessagingDestination)).map(short)),
            "secretsmanager" => ("secret", text(Name::SecretArn).map(|arn| without_suffix(short(arn)))),
            "kinesis" | "firehose" => ("stream", text(Name::StreamName)),
            "states" => ("machine", text(Name::StateMachineArn).map(short)),
            "lambda" => ("function", text(Name::InvokedName).map(short)),
            _ => ("", text(Name::MessagingDestination).map(short)),
        };
        if let Some(name) = name {
            self.aws_name(Family::Resource, risk, [service, kind], name);
        }
    }

    fn tables(&mut self, risk: Risk, facts: &Facts<'_>) {
        let resource = ["dynamodb", "table"];
        match facts.value(Name::TableNames) {
            Some(array @ AnyValue::Array(_)) => {
                for table in array.elements().filter_map(AnyValue::text).take(Self::MOST) {
                    self.aws_name(Family::Resource, risk, resource, short(table));
                }
            }
            Some(AnyValue::String(_)) => {
                self.aws_name(Family::Resource, risk, resource, facts.text(Name::TableNames).unwrap_or_default());
            }
            _ => {
                if let Some(table) = facts.text(Name::DbCollection) {
                    self.aws_name(Family::Resource, risk, resource, table);
                }
            }
        }
    }

    /// Who is called, or sent to.
    fn aws_edge(&mut self, service: &str, operation: &str, risk: Risk, facts: &Facts<'_>) {
        let text = |name| facts.text(name);
        let (kind, name) = match service {
            "lambda" if operation.starts_with("Invoke") => ("function", text(Name::InvokedName)),
            "sqs" if operation.starts_with("Send") => {
                ("queue", text(Name::QueueUrl).or_else(|| text(Name::MessagingDestination)))
            }
            "sns" if operation.starts_with("Publish") => {
                ("topic", text(Name::TopicArn).or_else(|| text(Name::MessagingDestination)))
            }
            "kinesis" if operation.starts_with("Put") => ("stream", text(Name::StreamName)),
            "states" if operation.starts_with("Start") => ("machine", text(Name::StateMachineArn)),
            _ => return,
        };
        if let Some(name) = name {
            self.aws_name(Family::Edge, risk, [service, kind], short(name));
        }
    }

    /// Notes `service:kind/name`.
    fn aws_name(&mut self, family: Family, risk: Risk, [service, kind]: [&str; 2], name: &str) {
        if name.is_empty() {
            return;
        }
        self.key(family, risk, |out| {
            out.push_str(service);
            out.push(':');
            out.push_str(kind);
            if !kind.is_empty() {
                out.push('/');
            }
            push_text(out, name);
        });
    }
}
