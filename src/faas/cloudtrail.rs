//! A CloudTrail record: who called what, from where, and with which credentials. Written by the service that was called.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::identity::Arn;
use crate::otlp::{
    any_value,
    view::{AnyValue, LogRecord},
};

/// A record, as far as it is needed.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Record<'a> {
    /// `dynamodb.amazonaws.com`.
    #[serde(borrow)]
    pub event_source: Cow<'a, str>,
    /// `GetItem`; of Lambda with the date of its interface: `UpdateFunctionCode20150331v2`.
    #[serde(borrow)]
    pub event_name: Cow<'a, str>,
    /// Where it happened.
    #[serde(borrow)]
    pub aws_region: Cow<'a, str>,
    /// An address, or the name of a service.
    #[serde(borrow, rename = "sourceIPAddress")]
    pub source_ip_address: Cow<'a, str>,
    /// As the caller said.
    #[serde(borrow, deserialize_with = "nullable")]
    pub user_agent: Cow<'a, str>,
    /// `AccessDenied`; empty if it went well.
    #[serde(borrow, deserialize_with = "nullable")]
    pub error_code: Cow<'a, str>,
    /// The request's id, as the caller got it too.
    #[serde(borrow, rename = "requestID", deserialize_with = "nullable")]
    pub request_id: Cow<'a, str>,
    /// Of this record.
    #[serde(borrow, rename = "eventID", deserialize_with = "nullable")]
    pub event_id: Cow<'a, str>,
    /// Whose account it was done in.
    #[serde(borrow, deserialize_with = "nullable")]
    pub recipient_account_id: Cow<'a, str>,
    /// Who.
    #[serde(borrow, deserialize_with = "nullable")]
    pub user_identity: Caller<'a>,
    /// With what, as JSON.
    #[serde(borrow, deserialize_with = "raw")]
    request_parameters: Cow<'a, str>,
    /// Beyond the common fields, as JSON.
    #[serde(borrow, deserialize_with = "raw")]
    additional_event_data: Cow<'a, str>,
}

/// Who called.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Caller<'a> {
    /// `AssumedRole`, `IAMUser`, `Root`, `AWSService`.
    #[serde(borrow, rename = "type", deserialize_with = "nullable")]
    pub kind: Cow<'a, str>,
    /// `arn:aws:sts::1:assumed-role/role/session`.
    #[serde(borrow, deserialize_with = "nullable")]
    pub arn: Cow<'a, str>,
    /// The credential.
    #[serde(borrow, deserialize_with = "nullable")]
    pub access_key_id: Cow<'a, str>,
    /// The caller's account.
    #[serde(borrow, deserialize_with = "nullable")]
    pub account_id: Cow<'a, str>,
    /// The service that called on somebody's behalf.
    #[serde(borrow, deserialize_with = "nullable")]
    pub invoked_by: Cow<'a, str>,
}

/// Sizes that S3 records.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
struct Additional {
    /// Bytes that left the service.
    #[serde(rename = "bytesTransferredOut")]
    bytes_out: Option<f64>,
    /// Bytes that reached it.
    #[serde(rename = "bytesTransferredIn")]
    bytes_in: Option<f64>,
}

impl Additional {
    fn bytes(self) -> Option<u64> {
        let sane = |bytes: &f64| (0.0..1e15).contains(bytes);
        let sum = self.bytes_out.iter().chain(&self.bytes_in).filter(|bytes| sane(bytes)).sum::<f64>();
        (self.bytes_out.is_some() || self.bytes_in.is_some()).then_some(sum as u64)
    }
}

/// What a call was made with, of all services in one; nothing is in more than a few.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Parameters<'a> {
    /// Of DynamoDB.
    #[serde(borrow, deserialize_with = "text")]
    pub table_name: Cow<'a, str>,
    /// Of S3.
    #[serde(borrow, deserialize_with = "text")]
    pub bucket_name: Cow<'a, str>,
    /// Name or ARN.
    #[serde(borrow, deserialize_with = "text")]
    pub secret_id: Cow<'a, str>,
    /// Of SNS.
    #[serde(borrow, deserialize_with = "text")]
    pub topic_arn: Cow<'a, str>,
    /// Of SQS.
    #[serde(borrow, deserialize_with = "text")]
    pub queue_url: Cow<'a, str>,
    /// Of Kinesis.
    #[serde(borrow, deserialize_with = "text")]
    pub stream_name: Cow<'a, str>,
    /// Of Step Functions.
    #[serde(borrow, deserialize_with = "text")]
    pub state_machine_arn: Cow<'a, str>,
    /// Name, ARN or part of one.
    #[serde(borrow, deserialize_with = "text")]
    pub function_name: Cow<'a, str>,
    /// Of CloudWatch Logs.
    #[serde(borrow, deserialize_with = "text")]
    pub log_group_name: Cow<'a, str>,
    /// Who is let in.
    #[serde(borrow, deserialize_with = "text")]
    pub principal: Cow<'a, str>,
    /// Of a permission.
    #[serde(borrow, deserialize_with = "text")]
    pub function_url_auth_type: Cow<'a, str>,
    /// Of a URL.
    #[serde(borrow, deserialize_with = "text")]
    pub auth_type: Cow<'a, str>,
    #[serde(borrow)]
    layers: Option<&'a RawValue>,
    environment: Option<serde::de::IgnoredAny>,
    role: Option<serde::de::IgnoredAny>,
    timeout: Option<serde::de::IgnoredAny>,
    memory_size: Option<serde::de::IgnoredAny>,
    runtime: Option<serde::de::IgnoredAny>,
    handler: Option<serde::de::IgnoredAny>,
    vpc_config: Option<serde::de::IgnoredAny>,
    tracing_config: Option<serde::de::IgnoredAny>,
}

/// Absent and `null` are the same.
fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// JSON as it stands.
fn raw<'de, D: Deserializer<'de>>(from: D) -> Result<Cow<'de, str>, D::Error> {
    let raw = <Option<&RawValue>>::deserialize(from)?;
    Ok(raw.map(|raw| Cow::Borrowed(raw.get())).unwrap_or_default())
}

/// Text, or nothing if it is anything else: parameters of different services share names.
fn text<'de, D: Deserializer<'de>>(from: D) -> Result<Cow<'de, str>, D::Error> {
    let raw = <Option<&RawValue>>::deserialize(from)?;
    Ok(raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default())
}

/// The JSON of a log record's body, if it is a CloudTrail record.
pub fn body<'a>(log: &LogRecord<'a>) -> Option<Cow<'a, str>> {
    if let Some(text) = log.body.text() {
        let likely = text.starts_with('{') && text.contains("\"eventSource\"") && text.contains("\"eventName\"");
        return likely.then_some(Cow::Borrowed(text));
    }
    let has = |wanted: &[u8]| log.body.entries().any(|(key, _)| key == wanted);
    let likely = matches!(log.body, AnyValue::KvList(_)) && has(b"eventSource") && has(b"eventName");
    likely.then(|| Cow::Owned(any_value::as_text(log.body)))
}

impl<'a> Record<'a> {
    /// Reads a record.
    pub fn parse(json: &'a str) -> Option<Self> {
        let record: Self = serde_json::from_str(json).ok()?;
        (!record.event_source.is_empty() && !record.event_name.is_empty()).then_some(record)
    }

    /// Puts a record together from the attributes that the Collector's decoder makes of it.
    pub fn from_attributes(attributes: impl Iterator<Item = (&'a [u8], AnyValue<'a>)>) -> Option<Self> {
        let mut record = Self::default();
        for (key, value) in attributes {
            let caller = &mut record.user_identity;
            let field = match key {
                b"rpc.service" => &mut record.event_source,
                b"rpc.method" => &mut record.event_name,
                b"cloud.region" => &mut record.aws_region,
                b"source.address" => &mut record.source_ip_address,
                b"user_agent.original" => &mut record.user_agent,
                b"aws.error.code" => &mut record.error_code,
                b"aws.request_id" => &mut record.request_id,
                b"aws.cloudtrail.event_id" => &mut record.event_id,
                b"aws.principal.type" => &mut caller.kind,
                b"aws.principal.arn" => &mut caller.arn,
                b"aws.access_key.id" => &mut caller.access_key_id,
                b"aws.user_identity.account_id" => &mut caller.account_id,
                b"aws.user_identity.invoked_by" => &mut caller.invoked_by,
                b"aws.request.parameters" => {
                    record.request_parameters = any_value::as_text(value).into();
                    continue;
                }
                b"aws.cloudtrail.additional_event_data" => {
                    record.additional_event_data = any_value::as_text(value).into();
                    continue;
                }
                _ => continue,
            };
            *field = value.text().unwrap_or_default().into();
        }
        (!record.event_source.is_empty() && !record.event_name.is_empty()).then_some(record)
    }

    /// What the call was made with; nothing if that is not an object.
    pub fn parameters(&self) -> Parameters<'_> {
        serde_json::from_str(&self.request_parameters).unwrap_or_default()
    }

    /// Bytes of the call, whichever way, where the service counts them.
    pub fn bytes(&self) -> Option<u64> {
        serde_json::from_str::<Additional>(&self.additional_event_data).ok()?.bytes()
    }

    /// `dynamodb`.
    pub fn service(&self) -> &str {
        self.event_source.strip_suffix(".amazonaws.com").unwrap_or(&self.event_source)
    }

    /// The operation without the date of its interface.
    pub fn operation(&self) -> &str {
        let name = &*self.event_name;
        let dated = name.find("20").filter(|at| {
            let digits = name.bytes().skip(*at).take_while(u8::is_ascii_digit).count();
            digits == 8
        });
        dated.and_then(|at| name.get(..at)).filter(|name| !name.is_empty()).unwrap_or(name)
    }

    /// Role and session of who called with a role's credentials. A function's session bears its name.
    pub fn session(&self) -> Option<(&str, &str)> {
        let arn = self.user_identity.arn.splitn(6, ':').nth(5)?;
        arn.strip_prefix("assumed-role/")?.split_once('/')
    }

    /// The caller as a person would say: `role/deployer`, `user/eve`, `root`, `cloudformation.amazonaws.com`.
    pub fn principal(&self) -> String {
        let caller = &self.user_identity;
        if let Some((role, _)) = self.session() {
            return format!("role/{role}");
        }
        if caller.kind == "Root" {
            return "root".to_owned();
        }
        if !caller.invoked_by.is_empty() {
            return caller.invoked_by.to_string();
        }
        match Arn::parse(&caller.arn) {
            Some(arn) => arn.resource.to_owned(),
            None => "somebody".to_owned(),
        }
    }

    /// Whether the caller says it runs on Lambda.
    pub fn is_from_lambda(&self) -> bool {
        self.user_agent.contains("AWS_Lambda")
    }

    /// Network and agent, as a person would say: `198.51.0.0/16`, `Boto3 on Lambda`.
    pub fn origin(&self) -> (String, String) {
        let network = match self.source_ip_address.parse() {
            Ok(std::net::IpAddr::V4(address)) => {
                let [a, b, ..] = address.octets();
                format!("{a}.{b}.0.0/16")
            }
            Ok(std::net::IpAddr::V6(address)) => {
                let [a, b, ..] = address.segments();
                format!("{a:x}:{b:x}::/32")
            }
            Err(_) => self.source_ip_address.chars().take(64).collect(),
        };
        let agent = self.user_agent.trim_start_matches('[').split(['/', ' ', '(']).next().unwrap_or_default();
        let mut agent: String = agent.chars().take(48).collect();
        if self.is_from_lambda() {
            agent.push_str(" on Lambda");
        }
        (network, agent)
    }
}

impl Parameters<'_> {
    /// What a change of configuration touched: `layers`, `role`; with whose layers, and whether it opens to everybody.
    pub fn changed(&self, own_account: &str) -> Vec<String> {
        let mut changed: Vec<String> = [
            ("environment", self.environment.is_some()),
            ("role", self.role.is_some()),
            ("timeout", self.timeout.is_some()),
            ("memory", self.memory_size.is_some()),
            ("runtime", self.runtime.is_some()),
            ("handler", self.handler.is_some()),
            ("network", self.vpc_config.is_some()),
            ("tracing", self.tracing_config.is_some()),
        ]
        .into_iter()
        .filter(|(_, is)| *is)
        .map(|(name, _)| name.to_owned())
        .collect();
        let layers = self.layers.and_then(|raw| serde_json::from_str::<Vec<Cow<'_, str>>>(raw.get()).ok());
        for layer in layers.unwrap_or_default().iter().take(8) {
            let foreign = Arn::parse(layer).map(|arn| arn.account).filter(|account| *account != own_account);
            changed.push(foreign.map_or_else(|| "layers".to_owned(), |account| format!("layer of account {account}")));
        }
        if self.principal == "*" || self.function_url_auth_type == "NONE" || self.auth_type == "NONE" {
            changed.push("open to everybody".to_owned());
        }
        changed.sort_unstable();
        changed.dedup();
        changed
    }

    /// The function it is about, by its name alone.
    pub fn function(&self) -> &str {
        let name = &*self.function_name;
        match name.rsplit_once("function:") {
            Some((_, rest)) => rest.split(':').next().unwrap_or(rest),
            None => name.rsplit(':').next().unwrap_or(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET_ITEM: &str = r#"{"eventVersion":"1.08","userIdentity":{"type":"AssumedRole","principalId":"AROA:reserve",
        "arn":"arn:aws:sts::123456789012:assumed-role/reserve-role/reserve","accountId":"123456789012",
        "accessKeyId":"ASIAEXAMPLE"},"eventTime":"2026-11-23T14:02:09Z","eventSource":"dynamodb.amazonaws.com",
        "eventName":"GetItem","awsRegion":"eu-west-1","sourceIPAddress":"3.250.17.4","userAgent":
        "Boto3/1.26.90 md/Botocore#1.29.90 exec-env/AWS_Lambda_python3.12 Botocore/1.29.90","errorCode":null,
        "requestParameters":{"tableName":"bookings","key":{"id":"x"}},"responseElements":null,
        "requestID":"R1","eventID":"E1","recipientAccountId":"123456789012"}"#;

    #[test]
    fn a_call_of_a_function_is_read() {
        let record = Record::parse(GET_ITEM).unwrap();
        assert_eq!((record.service(), record.operation()), ("dynamodb", "GetItem"));
        assert_eq!(record.session(), Some(("reserve-role", "reserve")));
        assert_eq!(record.parameters().table_name, "bookings");
        assert_eq!(record.origin(), ("3.250.0.0/16".to_owned(), "Boto3 on Lambda".to_owned()));
        assert_eq!((&*record.request_id, &*record.error_code), ("R1", ""));
    }

    #[test]
    fn the_attributes_of_the_collectors_decoder_say_the_same() {
        let parameters = {
            let mut list = Vec::new();
            crate::otlp::write::text(&mut list, 1, "tableName", "bookings");
            list
        };
        let text = |text: &'static str| AnyValue::String(text.as_bytes());
        let attributes = [
            ("rpc.service", text("dynamodb.amazonaws.com")),
            ("rpc.method", text("GetItem")),
            ("aws.request_id", text("R1")),
            ("source.address", text("3.250.17.4")),
            ("user_agent.original", text("Boto3/1.26.90 exec-env/AWS_Lambda_python3.12")),
            ("aws.principal.arn", text("arn:aws:sts::123456789012:assumed-role/reserve-role/reserve")),
            ("aws.request.parameters", AnyValue::KvList(&parameters)),
            ("aws.error.code", AnyValue::Int(7)),
        ];
        let record =
            Record::from_attributes(attributes.into_iter().map(|(key, value)| (key.as_bytes(), value))).unwrap();
        let json = Record::parse(GET_ITEM).unwrap();
        assert_eq!((record.service(), record.operation()), (json.service(), json.operation()));
        assert_eq!((record.session(), record.origin()), (json.session(), json.origin()));
        assert_eq!((record.parameters().table_name, &*record.error_code), (json.parameters().table_name, ""));
        assert!(Record::from_attributes(std::iter::empty()).is_none());
    }

    #[test]
    fn a_change_of_a_function_says_who_and_what() {
        let json = r#"{"userIdentity":{"type":"IAMUser","arn":"arn:aws:iam::1:user/eve"},"eventSource":"lambda.amazonaws.com",
            "eventName":"UpdateFunctionConfiguration20150331v2","requestParameters":{"functionName":
            "arn:aws:lambda:eu-west-1:1:function:reserve:live","layers":["arn:aws:lambda:eu-west-1:999:layer:spy:1"],
            "role":"arn:aws:iam::1:role/admin","timeout":7}}"#;
        let record = Record::parse(json).unwrap();
        let parameters = record.parameters();
        assert_eq!(record.operation(), "UpdateFunctionConfiguration");
        assert_eq!((record.principal().as_str(), parameters.function()), ("user/eve", "reserve"));
        assert_eq!(parameters.changed("1"), ["layer of account 999", "role", "timeout"]);
    }

    #[test]
    fn operations_lose_the_date_of_their_interface_only() {
        for (name, operation) in [
            ("UpdateFunctionCode20150331v2", "UpdateFunctionCode"),
            ("GetItem", "GetItem"),
            ("List2020", "List2020"),
            ("20150331", "20150331"),
        ] {
            assert_eq!(Record { event_name: name.into(), ..Record::default() }.operation(), operation);
        }
    }

    #[test]
    fn strange_records_are_read_as_far_as_they_go_or_not_at_all() {
        for (json, read) in [
            ("", false),
            ("{}", false),
            ("[]", false),
            (r#"{"eventSource":"s3.amazonaws.com","eventName":"GetObject","requestParameters":[1]}"#, true),
            (
                r#"{"eventSource":"s3.amazonaws.com","eventName":"GetObject","requestParameters":{"bucketName":{}}}"#,
                true,
            ),
            (r#"{"eventSource":"s3.amazonaws.com","eventName":"GetObject","userIdentity":null}"#, true),
            (r#"{"eventSource":7,"eventName":"GetObject"}"#, false),
        ] {
            let record = Record::parse(json);
            assert_eq!(record.is_some(), read, "{json}");
            if let Some(record) = record {
                record.parameters().changed("");
                record.principal();
                record.origin();
            }
        }
    }
}
