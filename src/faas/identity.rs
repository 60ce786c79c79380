//! Whose telemetry it is: provider, account, region and name of a function, wherever the sender wrote them.
//!
//! What is said outright wins; an ARN (or Google's, or Azure's resource name) fills in the rest. Without `faas.name`
//! the function is called by its `service.name`.

use super::{
    intern::{hash_from, mix},
    names::Name,
};
use crate::otlp::view::AnyValue;

/// A function, as one resource or span names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity<'a> {
    /// `aws`, `gcp`, `azure`.
    pub provider: &'a str,
    /// Account, project or subscription.
    pub account: &'a str,
    /// Where it runs.
    pub region: &'a str,
    /// `aws_lambda` and the like; only ever as the sender said or an ARN proves.
    pub platform: &'a str,
    /// `faas.name`, or the name in the resource id.
    pub faas_name: &'a str,
    /// `faas.version`, or the ARN's qualifier.
    pub faas_version: &'a str,
    /// `service.name`.
    pub service_name: &'a str,
    /// `service.version`.
    pub service_version: &'a str,
    /// `service.namespace`: the application it is part of.
    pub namespace: &'a str,
    /// `cloud.resource_id` or one of its older names.
    pub resource_id: &'a str,
    /// The group its log lines are in, where that is all that names it.
    pub log_group: &'a str,
}

/// Log groups of functions begin with this.
const FUNCTION_GROUPS: &str = "/aws/lambda/";

impl<'a> Identity<'a> {
    /// Takes note of an attribute; says whether it is one of a function's identity.
    pub fn take(&mut self, name: Name, value: AnyValue<'a>) -> bool {
        let field = match name {
            Name::Provider => &mut self.provider,
            Name::Account => &mut self.account,
            Name::Region => &mut self.region,
            Name::Platform => &mut self.platform,
            Name::FaasName => &mut self.faas_name,
            Name::FaasVersion => &mut self.faas_version,
            Name::ServiceName => &mut self.service_name,
            Name::ServiceVersion => &mut self.service_version,
            Name::ServiceNamespace => &mut self.namespace,
            Name::ResourceId => &mut self.resource_id,
            Name::LogGroup => &mut self.log_group,
            _ => return false,
        };
        let text = value.text().or_else(|| value.elements().next().and_then(AnyValue::text));
        if let Some(text) = text
            && !text.is_empty()
        {
            *field = text;
        }
        true
    }

    /// Fills what is missing from the resource id.
    #[must_use]
    pub fn completed(mut self) -> Self {
        let from_id = Located::parse(self.resource_id);
        for (field, found) in [
            (&mut self.provider, from_id.provider),
            (&mut self.account, from_id.account),
            (&mut self.region, from_id.region),
            (&mut self.platform, from_id.platform),
            (&mut self.faas_name, from_id.name),
            (&mut self.faas_version, from_id.version),
        ] {
            if field.is_empty() {
                *field = found;
            }
        }
        if let Some(name) = self.log_group.strip_prefix(FUNCTION_GROUPS).filter(|_| self.faas_name.is_empty()) {
            self.faas_name = name;
        }
        self
    }

    /// `self`, and what it lacks from `other`.
    #[must_use]
    pub fn or(mut self, other: &Self) -> Self {
        for (field, found) in [
            (&mut self.provider, other.provider),
            (&mut self.account, other.account),
            (&mut self.region, other.region),
            (&mut self.platform, other.platform),
            (&mut self.faas_name, other.faas_name),
            (&mut self.faas_version, other.faas_version),
            (&mut self.service_name, other.service_name),
            (&mut self.service_version, other.service_version),
            (&mut self.namespace, other.namespace),
            (&mut self.resource_id, other.resource_id),
            (&mut self.log_group, other.log_group),
        ] {
            if field.is_empty() {
                *field = found;
            }
        }
        self
    }

    /// What the function is called; empty if nothing names it.
    pub const fn name(&self) -> &'a str {
        if self.faas_name.is_empty() { self.service_name } else { self.faas_name }
    }

    /// The version of the code; empty when unknown. `$LATEST` is whatever was deployed last and so no version.
    pub fn version(&self) -> &'a str {
        if self.faas_version.is_empty() || self.faas_version == "$LATEST" {
            self.service_version
        } else {
            self.faas_version
        }
    }

    /// The stable hash of provider, account, region and name.
    pub fn function(&self) -> u64 {
        [self.provider, self.account, self.region, self.name()]
            .iter()
            .fold(0, |state, part| mix(state, hash_from(0, part.as_bytes())))
    }

    /// The stable hash of the application; zero if unknown.
    pub fn peers(&self) -> u64 {
        if self.namespace.is_empty() { 0 } else { hash_from(0, self.namespace.as_bytes()) }
    }
}

/// What a provider's own name for a resource says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Located<'a> {
    /// `aws`, `gcp`, `azure`.
    pub provider: &'a str,
    /// Which of its services.
    pub platform: &'a str,
    /// Account, project or subscription.
    pub account: &'a str,
    /// Empty for what is global.
    pub region: &'a str,
    /// The function's name.
    pub name: &'a str,
    /// Version or alias.
    pub version: &'a str,
}

impl<'a> Located<'a> {
    /// Reads the name of a function; nothing of anything else.
    pub fn parse(id: &'a str) -> Self {
        if let Some(arn) = Arn::parse(id) {
            return Self::of_arn(&arn).unwrap_or_default();
        }
        let after = |key: &str| {
            let mut segments = id.split('/');
            segments.find(|segment| segment.eq_ignore_ascii_case(key)).and_then(|_| segments.next()).unwrap_or_default()
        };
        if id.starts_with("//cloudfunctions.googleapis.com/") {
            let (account, region, name) = (after("projects"), after("locations"), after("functions"));
            return Self { provider: "gcp", platform: "gcp_cloud_functions", account, region, name, version: "" };
        }
        if id.starts_with("//run.googleapis.com/") {
            let (account, region, name) = (after("projects"), after("locations"), after("services"));
            return Self { provider: "gcp", platform: "gcp_cloud_run", account, region, name, version: "" };
        }
        if id.starts_with("/subscriptions/") {
            let (account, site, function) = (after("subscriptions"), after("sites"), after("functions"));
            let name = if function.is_empty() { site } else { function };
            return Self { provider: "azure", platform: "azure_functions", account, region: "", name, version: "" };
        }
        Self::default()
    }

    fn of_arn(arn: &Arn<'a>) -> Option<Self> {
        if arn.service != "lambda" {
            return None;
        }
        let mut parts = arn.resource.strip_prefix("function:")?.split(':');
        let name = parts.next().unwrap_or_default();
        let version = parts.next().unwrap_or_default();
        let (account, region) = (arn.account, arn.region);
        Some(Self { provider: "aws", platform: "aws_lambda", account, region, name, version })
    }
}

/// An Amazon Resource Name: `arn:partition:service:region:account:resource`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arn<'a> {
    /// `lambda`, `sns`.
    pub service: &'a str,
    /// Empty for what is global.
    pub region: &'a str,
    /// Empty for what needs none.
    pub account: &'a str,
    /// The rest, colons and all.
    pub resource: &'a str,
}

impl<'a> Arn<'a> {
    /// Reads an ARN.
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.splitn(6, ':');
        if parts.next()? != "arn" {
            return None;
        }
        let _partition = parts.next()?;
        Some(Self { service: parts.next()?, region: parts.next()?, account: parts.next()?, resource: parts.next()? })
    }

    /// The resource without its type: `seat-events` of `function:seat-events:12` and of `seat-events`.
    pub fn name(&self) -> &'a str {
        match self.resource.split_once([':', '/']) {
            Some((_, name)) => name.split(':').next().unwrap_or(name),
            None => self.resource,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resource_ids_are_read() {
        for (id, provider, account, region, name, version) in [
            ("arn:aws:lambda:eu-west-1:123:function:pay", "aws", "123", "eu-west-1", "pay", ""),
            ("arn:aws-cn:lambda:cn-north-1:123:function:pay:7", "aws", "123", "cn-north-1", "pay", "7"),
            ("arn:aws:lambda:eu-west-1:123:function:pay:live", "aws", "123", "eu-west-1", "pay", "live"),
            ("arn:aws:lambda:eu-west-1:123:layer:x:1", "", "", "", "", ""),
            ("arn:aws:s3:::bucket", "", "", "", "", ""),
            ("arn:aws", "", "", "", "", ""),
            (
                "//cloudfunctions.googleapis.com/projects/p/locations/europe-west1/functions/f",
                "gcp",
                "p",
                "europe-west1",
                "f",
                "",
            ),
            (
                "/subscriptions/s/resourceGroups/g/providers/Microsoft.Web/sites/app/functions/f",
                "azure",
                "s",
                "",
                "f",
                "",
            ),
            ("", "", "", "", "", ""),
        ] {
            let found = Located::parse(id);
            assert_eq!(
                (found.provider, found.account, found.region, found.name, found.version),
                (provider, account, region, name, version),
                "{id}"
            );
        }
    }

    #[test]
    fn said_outright_wins_and_the_id_fills_in() {
        let resource_id = "arn:aws:lambda:eu-west-1:123:function:pay:7";
        let said = Identity { resource_id, region: "eu-west-2", ..Identity::default() }.completed();
        assert_eq!((said.region, said.account, said.name(), said.version()), ("eu-west-2", "123", "pay", "7"));
        let service = Identity { service_name: "pay", ..Identity::default() };
        assert_eq!((service.name(), service.peers()), ("pay", 0));
        assert_eq!(Identity::default().name(), "");
    }

    #[test]
    fn latest_is_no_version() {
        for (faas_version, service_version, version) in
            [("$LATEST", "1.2", "1.2"), ("$LATEST", "", ""), ("12", "1.2", "12"), ("", "1.2", "1.2")]
        {
            let identity = Identity { faas_version, service_version, ..Identity::default() };
            assert_eq!(identity.version(), version, "{faas_version} {service_version}");
        }
    }

    #[test]
    fn each_part_tells_functions_apart() {
        let base = Identity { provider: "aws", account: "1", region: "r", faas_name: "f", ..Identity::default() };
        let others = [
            Identity { provider: "gcp", ..base },
            Identity { account: "2", ..base },
            Identity { region: "q", ..base },
            Identity { faas_name: "g", ..base },
            Identity { account: "", region: "1r", ..base },
        ];
        for other in others {
            assert_ne!(other.function(), base.function(), "{other:?}");
        }
        assert_eq!(Identity { faas_version: "9", namespace: "n", ..base }.function(), base.function());
    }

    #[test]
    fn arns_name_their_resource() {
        for (arn, name) in [
            ("arn:aws:sns:eu-west-1:1:seat-events", "seat-events"),
            ("arn:aws:secretsmanager:eu-west-1:1:secret:key-AbCdEf", "key-AbCdEf"),
            ("arn:aws:dynamodb:eu-west-1:1:table/bookings", "bookings"),
        ] {
            assert_eq!(Arn::parse(arn).map(|arn| arn.name()), Some(name), "{arn}");
        }
    }
}
