//! What the account's audit log records: management events always, data events if somebody pays for them, in the form
//! the collector's decoder for CloudTrail gives them. Some five minutes late, unordered, and blind to what is no AWS
//! call. Written by the services: a hostile function cannot forge it.

use std::sync::Arc;

use super::{
    super::{
        application::{ACCOUNT, Dialect, OTHER_REGION, Op, REGION, Service},
        attacks::Who,
        benign::{MINUTE, SECOND},
        fleet::Instance,
        forwarder::Forwarder,
        invocation::{DENIED, Failure, Size},
        rng::Rng,
    },
    spans::{arn, host},
};
use crate::{
    detect::observation::Nanos,
    otlp::{
        Signal,
        view::AnyValue,
        wire::put_bytes,
        write::{
            boolean,
            field::{ITEMS, LOG_ATTRIBUTES as ATTRIBUTE, RESOURCE_ATTRIBUTES},
            fixed64, nested, text, value,
        },
    },
};

/// The decoder's scope.
const SCOPE: &str =
    "github.com/open-telemetry/opentelemetry-collector-contrib/extension/encoding/awslogsencodingextension";
/// A function's own SDK.
const IN_LAMBDA: &str = "Boto3/1.40.4 md/Botocore#1.40.4 ua/2.1 os/linux#5.10 md/arch#x86_64 lang/python#3.13.5 \
                         exec-env/AWS_Lambda_python3.13";
const IN_LAMBDA_NODE: &str = "aws-sdk-js/3.888.0 ua/2.1 os/linux#5.10 lang/js md/nodejs#22.17.0 api/dynamodb \
                              exec-env/AWS_Lambda_nodejs22.x";
const COMMAND_LINE: &str = "aws-cli/2.27.12 md/awscrt#0.26.1 ua/2.1 os/linux#6.12 md/arch#x86_64 lang/python#3.13.2";

/// Who did it, from where.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// `userIdentity.arn`.
    pub arn: &'a str,
    /// `userIdentity.type`.
    pub kind: &'a str,
    /// `userIdentity.accessKeyId`; empty if none.
    pub key: &'a str,
    /// `sourceIPAddress`.
    pub address: &'a str,
    /// `userAgent`.
    pub agent: &'a str,
}

/// One recorded call.
#[derive(Clone, Copy, Debug)]
pub struct Recorded<'a> {
    /// When it was made.
    pub at: Nanos,
    /// What.
    pub op: Op,
    /// By whom.
    pub caller: Caller<'a>,
    /// `requestID`.
    pub request_id: &'a str,
    /// What went through.
    pub size: Size,
    /// Present where it was refused.
    pub failure: Option<Failure>,
    /// Made in the other region.
    pub elsewhere: bool,
}

/// The audit log on its way.
#[derive(Clone, Debug)]
pub struct Trail {
    account: Arc<Instance>,
    /// Whether data events are paid for.
    pub data_events: bool,
}

impl Trail {
    /// An account's audit log.
    pub fn new(data_events: bool) -> Self {
        let mut resource = Vec::new();
        text(&mut resource, RESOURCE_ATTRIBUTES, "cloud.provider", "aws");
        text(&mut resource, RESOURCE_ATTRIBUTES, "cloud.region", REGION);
        text(&mut resource, RESOURCE_ATTRIBUTES, "cloud.account.id", ACCOUNT);
        let account = Instance {
            number: 0,
            resource,
            platform: Vec::new(),
            scope_version: "0.140.0",
            dialect: Dialect::Python,
            address: String::new(),
            access_key: String::new(),
        };
        Self { account: Arc::new(account), data_events }
    }

    /// Records a call, if it is of a kind that is recorded. Delivered some five minutes later, never sooner than two.
    pub fn record(&self, forwarder: &mut Forwarder, of: &Recorded<'_>, rng: &mut Rng) {
        let data = of.op.service.is_data(of.op.method);
        if of.op.service.is_unrecorded(of.op.method) || (data && !self.data_events) {
            return;
        }
        let delay = 2 * MINUTE + (rng.log_normal(150.0, 0.5).min(840.0) * SECOND as f64) as Nanos;
        let event = rng.uuid();
        let mut place = forwarder.place(Signal::Logs, of.at + delay, &self.account);
        place.put(SCOPE, |out| nested(out, ITEMS, 2, |out| write(out, of, event.as_str(), data, delay)));
    }
}

/// As whom a function's own calls are made.
pub fn function_arn(function: &str) -> String {
    format!("arn:aws:sts::{ACCOUNT}:assumed-role/{function}-role/{function}")
}

/// The agent a function's own calls name.
pub const fn agent(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Node => IN_LAMBDA_NODE,
        Dialect::Python | Dialect::PythonStable => IN_LAMBDA,
    }
}

/// As whom, from where and with what something is called that no function of ours calls. `function` and `key` are the
/// stolen ones.
pub fn outsider<'a>(who: Who, function: &'a str, key: &'a str) -> Caller<'a> {
    match who {
        Who::Stolen => {
            Caller { arn: function, kind: "AssumedRole", key, address: "198.51.100.77", agent: COMMAND_LINE }
        }
        Who::StolenInCloud => {
            Caller { arn: function, kind: "AssumedRole", key, address: "18.203.61.9", agent: IN_LAMBDA }
        }
        Who::Person => Caller {
            arn: "arn:aws:iam::123456789012:user/c.lindqvist",
            kind: "IAMUser",
            key: "AKIA2XTESTBED7OPERAT",
            address: "203.0.113.140",
            agent: COMMAND_LINE,
        },
        Who::Anonymous => Caller { arn: "", kind: "AWSAccount", key: "", address: "192.0.2.201", agent: "curl/8.9.1" },
    }
}

/// The role that deploys.
pub const PIPELINE: Caller<'static> = Caller {
    arn: "arn:aws:sts::123456789012:assumed-role/deploy-pipeline/release",
    kind: "AssumedRole",
    key: "ASIA2XTESTBEDPIPELNE",
    address: "cloudformation.amazonaws.com",
    agent: "cloudformation.amazonaws.com",
};
/// The one who looks after things.
pub const OPERATOR: Caller<'static> = Caller {
    arn: "arn:aws:sts::123456789012:assumed-role/operators/m.okafor",
    kind: "AssumedRole",
    key: "ASIA2XTESTBEDOPERATE",
    address: "203.0.113.17",
    agent: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
};

fn write(out: &mut Vec<u8>, of: &Recorded<'_>, event: &str, data: bool, delay: Nanos) {
    let Op { service, method, .. } = of.op;
    // Whole seconds are all it knows.
    fixed64(out, 1, of.at / SECOND * SECOND);
    let attribute = |out: &mut Vec<u8>, key: &str, value: &str| text(out, ATTRIBUTE, key, value);
    attribute(out, "aws.cloudtrail.event_version", "1.11");
    attribute(out, "aws.cloudtrail.event_id", event);
    attribute(out, "rpc.method", dated(service, method));
    attribute(out, "rpc.system", "AwsApiCall");
    attribute(out, "rpc.service", &source(service));
    attribute(out, "aws.request_id", of.request_id);
    attribute(out, "aws.event.category", if data { "Data" } else { "Management" });
    let reads =
        ["Get", "List", "Describe", "Query", "Scan", "Head", "Batch"].iter().any(|verb| method.starts_with(verb));
    boolean(out, ATTRIBUTE, "aws.event.read_only", reads && method != "BatchWriteItem");
    boolean(out, ATTRIBUTE, "aws.event.management", !data);
    attribute(out, "source.address", of.caller.address);
    attribute(out, "user_agent.original", of.caller.agent);
    attribute(out, "aws.user_identity.account_id", ACCOUNT);
    if !of.caller.key.is_empty() {
        attribute(out, "aws.access_key.id", of.caller.key);
    }
    if !of.caller.arn.is_empty() {
        attribute(out, "aws.principal.arn", of.caller.arn);
    }
    attribute(out, "aws.principal.type", of.caller.kind);
    if let Some(role) = of.caller.arn.split('/').nth(1).filter(|_| of.caller.kind == "AssumedRole") {
        attribute(out, "aws.user_identity.session_context.issuer.arn", &format!("arn:aws:iam::{ACCOUNT}:role/{role}"));
    }
    attribute(out, "server.address", &host(service, of.elsewhere));
    attribute(out, "cloud.region", if of.elsewhere { OTHER_REGION } else { REGION });
    if let Some(failure) = of.failure {
        attribute(out, "aws.error.code", if failure == DENIED { "AccessDenied" } else { short(failure) });
    }
    if let Some((key, named)) = parameter(of.op) {
        let mut list = Vec::new();
        text(&mut list, 1, key, &named);
        value(out, ATTRIBUTE, "aws.request.parameters", AnyValue::KvList(&list));
    }
    if data {
        resources(out, of.op);
    }
    if service == Service::S3 && data {
        let mut list = Vec::new();
        for (key, bytes) in [("bytesTransferredIn", of.size.sent), ("bytesTransferredOut", of.size.received)] {
            value(&mut list, 1, key, AnyValue::Double(bytes as f64));
        }
        value(out, ATTRIBUTE, "aws.cloudtrail.additional_event_data", AnyValue::KvList(&list));
    }
    fixed64(out, 11, of.at + delay);
}

/// Lambda's names carry the date of their API.
fn dated(service: Service, method: &'static str) -> &'static str {
    match (service, method) {
        (Service::Lambda, "UpdateFunctionCode") => "UpdateFunctionCode20150331v2",
        (Service::Lambda, "UpdateFunctionConfiguration") => "UpdateFunctionConfiguration20150331v2",
        (Service::Lambda, "AddPermission") => "AddPermission20150331v2",
        (Service::Lambda, "CreateEventSourceMapping") => "CreateEventSourceMapping20150331",
        (Service::Lambda, "CreateFunction") => "CreateFunction20150331",
        (Service::Lambda, "ListFunctions") => "ListFunctions20150331",
        (_, method) => method,
    }
}

fn source(service: Service) -> String {
    match service {
        Service::Logs => "logs.amazonaws.com".to_owned(),
        Service::Ses => "ses.amazonaws.com".to_owned(),
        Service::Bedrock => "bedrock.amazonaws.com".to_owned(),
        service => format!("{}.amazonaws.com", service.names().host),
    }
}

fn short(failure: Failure) -> &'static str {
    failure.rsplit('.').next().unwrap_or(failure)
}

fn parameter(op: Op) -> Option<(&'static str, String)> {
    let name = op.target.to_owned();
    if op.target.is_empty() {
        return None;
    }
    match op.service {
        Service::DynamoDb => Some(("tableName", name)),
        Service::S3 => Some(("bucketName", name)),
        Service::Lambda => Some(("functionName", name)),
        Service::Secrets => Some(("secretId", name)),
        Service::Sns => Some(("topicArn", arn("sns", op.target))),
        Service::Sqs => Some(("queueUrl", format!("https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{name}"))),
        Service::StepFunctions => Some(("stateMachineArn", arn("states", &format!("stateMachine:{name}")))),
        Service::Ssm | Service::CloudTrail => Some(("name", name)),
        Service::Iam => Some(("roleName", name)),
        Service::Logs if name.starts_with('/') => Some(("logGroupName", name)),
        Service::Logs => Some(("logGroupName", format!("/aws/lambda/{name}"))),
        _ => None,
    }
}

fn resources(out: &mut Vec<u8>, op: Op) {
    let (kind, name) = match op.service {
        Service::DynamoDb => ("AWS::DynamoDB::Table", arn("dynamodb", &format!("table/{}", op.target))),
        Service::S3 => ("AWS::S3::Object", format!("arn:aws:s3:::{}/object", op.target)),
        Service::Lambda => ("AWS::Lambda::Function", arn("lambda", &format!("function:{}", op.target))),
        Service::Sns => ("AWS::SNS::Topic", arn("sns", op.target)),
        Service::Sqs => ("AWS::SQS::Queue", arn("sqs", op.target)),
        _ => return,
    };
    let mut one = Vec::new();
    text(&mut one, 1, "account.id", ACCOUNT);
    text(&mut one, 1, "type", kind);
    text(&mut one, 1, "arn", &name);
    let mut list = Vec::new();
    nested(&mut list, 1, 1, |out| put_bytes(out, 6, &one));
    value(out, ATTRIBUTE, "aws.resources", AnyValue::Array(&list));
}
