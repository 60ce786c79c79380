//! Says who ran, in one vocabulary: resources that name a function in an older or a provider's way (an ARN, `faas.id`)
//! get the current `faas.*` and `cloud.*` attributes too.
//!
//! ```yaml
//! faas: {}
//! ```
//!
//! What a resource says outright is never changed; one that names no function passes as it is.

use std::sync::Arc;

use serde::Deserialize;

use crate::{
    config::Check,
    faas::{identity::Identity, names},
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

/// The configuration: there is nothing to set.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

impl Check for Config {}

impl ProcessorConfig for Config {
    fn build(&self, _signal: Signal, next: Next, _context: &Context) -> Result<Next, StartError> {
        Ok(Arc::new(Faas(next)))
    }
}

struct Faas(Next);

impl Consumer for Faas {
    fn consume(&self, batch: Batch) -> Boxed<'_, Outcome> {
        self.0.consume(edit(&batch, &mut Stamp))
    }
}

/// Adds what can be derived and is not there.
struct Stamp;

impl Edit for Stamp {
    fn resource(&mut self, group: &ResourceGroup<'_>, patch: &mut Patch) {
        let mut said = Identity::default();
        for (key, value) in group.attributes() {
            if let Some(name) = names::lookup(key) {
                said.take(name, value);
            }
        }
        let known = said.completed();
        for (key, said, known) in [
            ("faas.name", said.faas_name, known.faas_name),
            ("faas.version", said.faas_version, known.faas_version),
            ("cloud.provider", said.provider, known.provider),
            ("cloud.account.id", said.account, known.account),
            ("cloud.region", said.region, known.region),
            ("cloud.platform", said.platform, known.platform),
        ] {
            if said.is_empty() && !known.is_empty() {
                patch.set(key, PatchValue::Str(known));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::{
        collector::trace::v1::ExportTraceServiceRequest, common::v1::any_value::Value as Set, resource::v1::Resource,
    };
    use prost::Message as _;

    use super::*;
    use crate::otlp::sample;

    #[test]
    fn what_an_arn_says_is_stamped_and_what_is_said_outright_stays() {
        let arn = "arn:aws:lambda:eu-west-1:123456789012:function:pay:7";
        #[rustfmt::skip]
        let table: [(&str, &[(&str, &str)], &[(&str, &str)]); 4] = [
            ("cloud.resource_id", &[("cloud.resource_id", arn)],
                &[("faas.name", "pay"), ("cloud.account.id", "123456789012"), ("cloud.region", "eu-west-1")]),
            ("faas.id, as it was called", &[("faas.id", arn)], &[("faas.name", "pay"), ("cloud.provider", "aws")]),
            ("said outright", &[("faas.id", arn), ("faas.name", "mine")], &[("faas.name", "mine")]),
            ("no function", &[("service.name", "s")], &[]),
        ];
        for (name, given, expected) in table {
            let mut request = sample::traces(1);
            let attributes: Vec<_> =
                given.iter().map(|(key, value)| sample::pair(key, Set::StringValue((*value).into()))).collect();
            let resource = Resource { attributes: attributes.clone(), ..Resource::default() };
            request.resource_spans[0].resource = Some(resource);
            let batch = Batch { signal: Signal::Traces, body: request.encode_to_vec().into(), items: 1 };
            let stamped = ExportTraceServiceRequest::decode(edit(&batch, &mut Stamp).body).unwrap();
            let stamped = &stamped.resource_spans[0].resource.as_ref().unwrap().attributes;
            for (key, value) in expected {
                let pair = sample::pair(key, Set::StringValue((*value).into()));
                assert_eq!(stamped.iter().filter(|known| known.key == *key).collect::<Vec<_>>(), [&pair], "{name}");
            }
            if expected.is_empty() {
                assert_eq!(*stamped, attributes, "{name}");
            }
        }
    }
}
