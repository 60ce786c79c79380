//! How an application is described: its functions, what starts them, the calls they can make, and where an attacker
//! could stand in it. [`super::applications`] holds the descriptions.

use super::invocation::{Failure, Run};
use crate::detect::observation::Nanos;

/// The account everything runs in.
pub const ACCOUNT: &str = "123456789012";
/// The region everything runs in.
pub const REGION: &str = "eu-west-1";
/// Where it fails over to.
pub const OTHER_REGION: &str = "eu-central-1";

/// Functions that work together.
#[derive(Debug)]
pub struct Application {
    /// `service.namespace`.
    pub name: &'static str,
    /// What its host names end in.
    pub domain: &'static str,
    /// Whose attribute names its spans have.
    pub dialect: Dialect,
    /// In the order they were deployed.
    pub functions: &'static [Spec],
    /// What sets it in motion.
    pub arrivals: &'static [Arrival],
    /// Where an attacker could stand.
    pub stages: &'static [Stage],
    /// A function that is deployed only when a scenario says so; it then runs every few minutes.
    pub newcomer: Spec,
}

/// Which instrumentation wrote the spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Python: Lambda, botocore and requests, no sizes of bodies.
    Python,
    /// The same after the upgrade to the stable conventions: scopes, span names and attributes are all called
    /// something else.
    PythonStable,
    /// Node.js: aws-lambda, aws-sdk and http, with sizes of bodies.
    Node,
}

/// One deployed function.
#[derive(Debug)]
pub struct Spec {
    /// `faas.name`.
    pub name: &'static str,
    /// What starts it.
    pub trigger: Trigger,
    /// `faas.max_memory`, MB.
    pub memory: u64,
    /// Median time to initialise, milliseconds.
    pub init_ms: f64,
    /// Name of its logger.
    pub logger: &'static str,
    /// `faas.version` when the simulation begins.
    pub version: u32,
    /// What it does when nobody has tampered with it.
    pub handle: fn(&mut Run<'_>) -> Result<(), Failure>,
    /// What its next version does before everything else.
    pub next: Op,
}

/// What starts a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// A request through the API gateway.
    Http {
        /// `http.method`.
        method: &'static str,
        /// `http.route`; what ends in `=` or `/` gets something random after it in `http.target`.
        route: &'static str,
    },
    /// A message on this SQS queue.
    Queue(&'static str),
    /// A message on this SNS topic.
    Topic(&'static str),
    /// An object in this bucket.
    Bucket(&'static str),
    /// A schedule, or a rule on the event bus.
    Schedule,
    /// Another function's invocation, or a state machine's step.
    Direct,
}

/// What sets an application in motion.
#[derive(Debug)]
pub struct Arrival {
    /// The function it reaches first.
    pub function: &'static str,
    /// How often.
    pub pattern: Pattern,
    /// Spans each brings, to its last compensation; for estimates.
    pub spans: f64,
}

/// How arrivals are spread over time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pattern {
    /// People: a curve over the day, one over the week; this many on a usual day at scale 1.
    People(f64),
    /// Bursts: this many on a usual day, each of one to this many at once.
    Bursts(f64, u64),
    /// A clock: one every so often, whatever the scale.
    Every(Nanos),
    /// Once a day, at this hour.
    Daily(u64),
}

/// A place an attacker could hold, and what lies around it.
#[derive(Debug)]
pub struct Stage {
    /// The compromised function.
    pub function: &'static str,
    /// The function an attacker's request arrives at.
    pub entry: &'static str,
    /// A read it makes in every invocation.
    pub read: Op,
    /// A write it makes in every invocation.
    pub write: Op,
    /// A step without which its work is not done.
    pub step: Op,
    /// A table others use and it never does, though its role allows it.
    pub table: &'static str,
    /// A bucket, likewise.
    pub bucket: &'static str,
    /// A queue, likewise.
    pub queue: &'static str,
    /// A secret, likewise.
    pub secret: &'static str,
    /// A function it never invokes.
    pub neighbour: &'static str,
}

/// What a call is made to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    /// The target is a table.
    DynamoDb,
    /// The target is a topic.
    Sns,
    /// The target is a queue.
    Sqs,
    /// The target is a function.
    Lambda,
    /// The target is a secret, or empty.
    Secrets,
    /// The target is a bucket.
    S3,
    /// The target is a state machine.
    StepFunctions,
    /// The target is a bus.
    Events,
    /// No target.
    MediaConvert,
    /// The target is a group of packages, of which nothing is said.
    MediaPackage,
    /// The target is a parameter, of which nothing is said.
    Ssm,
    /// No target.
    Sts,
    /// The target is a role or user, of which nothing is said.
    Iam,
    /// No target.
    Kms,
    /// No target.
    Ses,
    /// The target is a model, of which nothing is said.
    Bedrock,
    /// The target is a log group, of which botocore's instrumentation says nothing.
    Logs,
    /// The target is a trail, of which nothing is said.
    CloudTrail,
    /// The target is a URL.
    Http,
}

/// How a service is called by whom.
#[derive(Debug)]
pub struct Names {
    /// As `rpc.service` has it: the SDK's service id.
    pub id: &'static str,
    /// Its part of the host name.
    pub host: &'static str,
    /// The last part of botocore's scope.
    pub scope: &'static str,
}

impl Service {
    /// What it is called.
    pub const fn names(self) -> Names {
        let (id, host, scope) = match self {
            Self::DynamoDb => ("DynamoDB", "dynamodb", "opentelemetry.instrumentation.botocore.dynamodb"),
            Self::Sns => ("SNS", "sns", "opentelemetry.instrumentation.botocore.sns"),
            Self::Sqs => ("SQS", "sqs", "opentelemetry.instrumentation.botocore.sqs"),
            Self::Lambda => ("Lambda", "lambda", "opentelemetry.instrumentation.botocore.lambda"),
            Self::Secrets => {
                ("Secrets Manager", "secretsmanager", "opentelemetry.instrumentation.botocore.secretsmanager")
            }
            Self::S3 => ("S3", "s3", "opentelemetry.instrumentation.botocore.s3"),
            Self::StepFunctions => ("SFN", "states", "opentelemetry.instrumentation.botocore.sfn"),
            Self::Events => ("EventBridge", "events", "opentelemetry.instrumentation.botocore.events"),
            Self::MediaConvert => {
                ("MediaConvert", "mediaconvert", "opentelemetry.instrumentation.botocore.mediaconvert")
            }
            Self::MediaPackage => {
                ("MediaPackage Vod", "mediapackage-vod", "opentelemetry.instrumentation.botocore.mediapackage-vod")
            }
            Self::Ssm => ("SSM", "ssm", "opentelemetry.instrumentation.botocore.ssm"),
            Self::Sts => ("STS", "sts", "opentelemetry.instrumentation.botocore.sts"),
            Self::Iam => ("IAM", "iam", "opentelemetry.instrumentation.botocore.iam"),
            Self::Kms => ("KMS", "kms", "opentelemetry.instrumentation.botocore.kms"),
            Self::Ses => ("SES", "email", "opentelemetry.instrumentation.botocore.ses"),
            Self::Bedrock => {
                ("Bedrock Runtime", "bedrock-runtime", "opentelemetry.instrumentation.botocore.bedrock-runtime")
            }
            Self::Logs => ("CloudWatch Logs", "logs", "opentelemetry.instrumentation.botocore.logs"),
            Self::CloudTrail => ("CloudTrail", "cloudtrail", "opentelemetry.instrumentation.botocore.cloudtrail"),
            Self::Http => ("HTTP", "", "opentelemetry.instrumentation.requests"),
        };
        Names { id, host, scope }
    }

    /// Whether its calls are data events: off in the audit log unless somebody pays for them.
    pub fn is_data(self, method: &str) -> bool {
        match self {
            Self::DynamoDb => matches!(
                method,
                "GetItem"
                    | "Query"
                    | "Scan"
                    | "PutItem"
                    | "UpdateItem"
                    | "DeleteItem"
                    | "BatchGetItem"
                    | "BatchWriteItem"
            ),
            Self::S3 => method.contains("Object"),
            Self::Lambda => method == "Invoke",
            Self::Sns => method == "Publish",
            Self::Sqs => method == "SendMessage",
            Self::Bedrock => method == "InvokeModel",
            _ => false,
        }
    }

    /// Whether the audit log never has its calls: it is no AWS service, or one whose calls are not recorded.
    pub fn is_unrecorded(self, method: &str) -> bool {
        matches!(self, Self::Http) || (matches!(self, Self::Events) && method == "PutEvents")
    }
}

/// A call a function can make. What differs between two calls of one `Op` is only ids, times, sizes and how it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Op {
    /// Whom it asks.
    pub service: Service,
    /// `rpc.method` or `http.method`.
    pub method: &'static str,
    /// Table, topic, queue, function, secret, bucket or URL. A URL that ends in `=` gets something random after it.
    pub target: &'static str,
}

impl Op {
    /// A call.
    pub const fn new(service: Service, method: &'static str, target: &'static str) -> Self {
        Self { service, method, target }
    }

    /// A DynamoDB call.
    pub const fn dynamo(method: &'static str, table: &'static str) -> Self {
        Self::new(Service::DynamoDb, method, table)
    }

    /// An S3 call.
    pub const fn s3(method: &'static str, bucket: &'static str) -> Self {
        Self::new(Service::S3, method, bucket)
    }

    /// A request to somebody else's server.
    pub const fn http(method: &'static str, url: &'static str) -> Self {
        Self::new(Service::Http, method, url)
    }

    /// An invocation of another function.
    pub const fn invoke(function: &'static str) -> Self {
        Self::new(Service::Lambda, "Invoke", function)
    }

    /// A message to a topic.
    pub const fn publish(topic: &'static str) -> Self {
        Self::new(Service::Sns, "Publish", topic)
    }

    /// A message to a queue.
    pub const fn send(queue: &'static str) -> Self {
        Self::new(Service::Sqs, "SendMessage", queue)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{super::applications::ALL, *};

    #[test]
    fn descriptions_refer_to_what_they_describe() {
        let mut names = HashSet::new();
        for application in ALL {
            let functions: HashSet<&str> = application.functions.iter().map(|spec| spec.name).collect();
            assert_eq!(functions.len(), application.functions.len(), "{}", application.name);
            for name in &functions {
                assert!(names.insert(*name), "{name} is twice");
            }
            for arrival in application.arrivals {
                assert!(functions.contains(arrival.function), "{}", arrival.function);
            }
            assert!(names.insert(application.newcomer.name), "{} is twice", application.newcomer.name);
            assert!(application.stages.len() >= 3, "{}", application.name);
            for stage in application.stages {
                for function in [stage.function, stage.entry, stage.neighbour] {
                    assert!(functions.contains(function), "{function} of {}", application.name);
                }
            }
        }
    }

    #[test]
    fn what_costs_extra_is_a_data_event() {
        for (op, data) in [
            (Op::dynamo("GetItem", "t"), true),
            (Op::dynamo("DeleteTable", "t"), false),
            (Op::s3("GetObject", "b"), true),
            (Op::s3("PutBucketPolicy", "b"), false),
            (Op::invoke("f"), true),
            (Op::new(Service::Secrets, "GetSecretValue", "s"), false),
        ] {
            assert_eq!(op.service.is_data(op.method), data, "{op:?}");
        }
    }
}
