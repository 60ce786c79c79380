//! Says whose telemetry it is, in today's words, where the sender did not: `faas.name`, `faas.version`,
//! `cloud.provider`, `cloud.account.id`, `cloud.region` and `cloud.platform` on the resource, from its ARN (or Google's
//! or Azure's resource id) and from names that conventions have dropped.
//!
//! ```yaml
//! faas:
//! ```
//!
//! What a sender wrote is never changed, and nothing is guessed: what no attribute says stays unsaid.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    config::{Check, Report},
    faas::{
        identity::Identity,
        names::{self, Name},
    },
    otlp::{
        Signal,
        edit::{Edit, Patch, PatchValue, edit},
        view::ResourceGroup,
    },
    pipeline::{
        Batch, Boxed, Consumer, Next, Outcome,
        component::{Context, ProcessorConfig, StartError},
    },
};

/// The configuration: there is nothing to choose.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {}

impl Check for Config {
    fn check(&self, _report: &mut Report<'_>) {}
}

impl ProcessorConfig for Config {
    fn build(&self, _signal: Signal, next: Next, _context: &Context) -> Result<Next, StartError> {
        Ok(Arc::new(Stamper { next }))
    }
}

struct Stamper {
    next: Next,
}

impl Consumer for Stamper {
    fn consume(&self, batch: Batch) -> Boxed<'_, Outcome> {
        self.next.consume(edit(&batch, &mut Stamp))
    }
}

/// Adds to a resource what its other attributes say about the function.
struct Stamp;

impl Edit for Stamp {
    const RECORDS: bool = false;

    fn resource(&mut self, group: &ResourceGroup<'_>, patch: &mut Patch) {
        let (mut identity, mut function) = (Identity::default(), false);
        // Keys as they are today; an old key does not count as having said it.
        let mut said = [false; STAMPED.len()];
        for (key, value) in group.attributes() {
            for (said, (stamped, _)) in said.iter_mut().zip(STAMPED) {
                *said |= stamped.as_bytes() == key;
            }
            if let Some(name) = names::lookup(key) {
                identity.take(name, value);
                function |= matches!(name, Name::FaasName | Name::FaasInstance | Name::ResourceId);
            }
        }
        let identity = identity.completed();
        // Not every service is a function.
        if !function || identity.faas_name.is_empty() {
            return;
        }
        for ((key, read), said) in STAMPED.iter().zip(said) {
            let value = read(&identity);
            if !said && !value.is_empty() {
                patch.set(key, PatchValue::Str(value));
            }
        }
    }
}

/// How a part of an identity is read.
type Read = for<'i, 'a> fn(&'i Identity<'a>) -> &'a str;

/// What is stamped, and from what.
const STAMPED: [(&str, Read); 6] = [
    ("faas.name", |identity| identity.faas_name),
    ("faas.version", |identity| identity.faas_version),
    ("cloud.provider", |identity| identity.provider),
    ("cloud.account.id", |identity| identity.account),
    ("cloud.region", |identity| identity.region),
    ("cloud.platform", |identity| identity.platform),
];

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use opentelemetry_proto::tonic::{
        collector::trace::v1::ExportTraceServiceRequest,
        common::v1::any_value::Value,
        resource::v1::Resource,
        trace::v1::{ResourceSpans, ScopeSpans, Span},
    };
    use prost::Message;

    use super::*;
    use crate::otlp::sample::pair;

    fn stamped(attributes: &[(&str, &str)]) -> Vec<String> {
        let attributes =
            attributes.iter().map(|(key, value)| pair(key, Value::StringValue((*value).to_owned()))).collect();
        let group = ResourceSpans {
            resource: Some(Resource { attributes, ..Resource::default() }),
            scope_spans: vec![ScopeSpans { spans: vec![Span::default()], ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        };
        let body = Bytes::from(ExportTraceServiceRequest { resource_spans: vec![group] }.encode_to_vec());
        let batch = edit(&Batch { signal: Signal::Traces, body, items: 1 }, &mut Stamp);
        let request = ExportTraceServiceRequest::decode(batch.body).unwrap();
        let resource = request.resource_spans.into_iter().next().and_then(|group| group.resource).unwrap();
        let text = |value| match value {
            Some(Value::StringValue(text)) => text,
            other => format!("{other:?}"),
        };
        resource
            .attributes
            .into_iter()
            .map(|pair| format!("{}={}", pair.key, text(pair.value.and_then(|value| value.value))))
            .collect()
    }

    #[test]
    fn what_is_missing_is_added_and_nothing_else() {
        let arn = "arn:aws:lambda:eu-west-1:123:function:pay:7";
        for (given, added) in [
            (
                &[("cloud.resource_id", arn)][..],
                &[
                    "faas.name=pay",
                    "faas.version=7",
                    "cloud.provider=aws",
                    "cloud.account.id=123",
                    "cloud.region=eu-west-1",
                    "cloud.platform=aws_lambda",
                ][..],
            ),
            (
                &[("faas.id", arn), ("faas.name", "own"), ("cloud.region", "eu-west-2"), ("faas.version", "$LATEST")],
                &["cloud.provider=aws", "cloud.account.id=123", "cloud.platform=aws_lambda"],
            ),
            (&[("service.name", "shop"), ("cloud.provider", "aws")], &[]),
            (&[("faas.name", "f")], &[]),
            (&[("cloud.resource_id", "arn:aws:ecs:eu-west-1:1:task/x")], &[]),
            (&[], &[]),
        ] {
            let mut expected: Vec<String> = given.iter().map(|(key, value)| format!("{key}={value}")).collect();
            expected.extend(added.iter().map(|added| (*added).to_owned()));
            assert_eq!(stamped(given), expected, "{given:?}");
        }
    }
}
