//! Which ATT&CK technique a piece of evidence looks like, and the rule that says so.
//!
//! Rules are tried from the top; the first that fits a piece of evidence names its technique. The ids are those of
//! ATT&CK for Enterprise, cloud matrix.

use std::fmt;

use crate::detect::{
    observation::{Family, Quantity, Risk},
    verdict::{Evidence, Feature, Measure},
};

/// A technique and why we think of it: `T1041 (new external destination)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Technique {
    /// The ATT&CK id.
    pub id: &'static str,
    /// The rule that mapped it.
    pub rule: &'static str,
    /// What to do first.
    pub advice: &'static str,
}

impl fmt::Display for Technique {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.id, self.rule)
    }
}

/// What the evidence must be for a rule to fit.
enum When {
    /// A new or rare key of this family that satisfies the test.
    Key(Family, fn(&Name<'_>) -> bool),
    /// A feature of its own.
    Feature(Feature),
    /// Repeats of a key with this risk.
    Repeats(Risk),
}

/// A key's name in lower case, and its parts: `secretsmanager.getsecretvalue` is service and verb.
struct Name<'a> {
    whole: &'a str,
    service: &'a str,
    verb: &'a str,
    risk: Risk,
}

impl Name<'_> {
    fn starts(&self, prefixes: &[&str]) -> bool {
        prefixes.iter().any(|prefix| self.verb.starts_with(prefix))
    }

    fn has(&self, parts: &[&str]) -> bool {
        parts.iter().any(|part| self.whole.contains(part))
    }

    fn is_identity_service(&self) -> bool {
        matches!(self.service, "iam" | "sts" | "organizations" | "cognito-idp" | "sso-admin")
    }

    fn is_storage(&self) -> bool {
        matches!(self.service, "s3" | "gcs" | "storage" | "blob")
    }
}

const REVOKE: &str = "Revoke what the function's role can reach, then rotate every secret it read.";
const ISOLATE: &str = "Block the destination, keep the trace, and look at what was read just before it was called.";
const ROLE: &str = "Deny the role until the change is explained; look for what else used the same credentials.";
const CODE: &str = "Compare the deployed code with the build that should be there, and roll back.";
const DATA: &str = "Find out which records were read or destroyed, and restore or report them.";
const LOGGING: &str = "Switch the logging back on and treat the gap as part of the incident.";
const EXECUTION: &str = "Open the trace beside an ordinary one: the first step that differs is where to start.";
const DISCOVERY: &str = "Somebody is looking around: see what the same role calls next.";
const RESOURCES: &str = "Look for work that is not yours; cap the function's concurrency and time limit meanwhile.";
const MOVEMENT: &str = "Look at what the called function did in the same trace; deny the call until it is explained.";

const fn row(when: When, id: &'static str, rule: &'static str, advice: &'static str) -> (When, Technique) {
    (when, Technique { id, rule, advice })
}

#[rustfmt::skip]
const RULES: &[(When, Technique)] = &[
    row(When::Key(Family::Destination, |name| name.has(&["169.254.169.254", "169.254.170.2", "metadata.google.internal"])),
        "T1552.005", "instance or task metadata endpoint", REVOKE),
    row(When::Key(Family::Destination, |name| name.risk >= Risk::Egress), "T1041", "new external destination", ISOLATE),
    row(When::Key(Family::Destination, |_| true), "T1021.007", "new internal destination", MOVEMENT),
    row(When::Key(Family::Edge, |_| true), "T1021.007", "new call to another function", MOVEMENT),

    row(When::Key(Family::Operation, |name| name.has(&["stoplogging", "deletetrail", "updatetrail", "deleteloggroup", "deletelogstream", "puteventselectors", "deletesubscriptionfilter"])),
        "T1562.008", "logging switched off or cut", LOGGING),
    row(When::Key(Family::Operation, |name| name.has(&["createaccesskey", "updateaccesskey", "createloginprofile", "uploadsigningcertificate"])),
        "T1098.001", "new credentials for an identity", ROLE),
    row(When::Key(Family::Operation, |name| name.has(&["addpermission", "putbucketpolicy", "putkeypolicy", "putresourcepolicy"])
            || (name.is_identity_service() && name.starts(&["put", "attach", "create", "update", "add", "set"]))),
        "T1098.003", "role, policy or permission change", ROLE),
    row(When::Key(Family::Operation, |name| name.has(&["assumerole", "getsessiontoken", "getfederationtoken", "generateaccesstoken"])),
        "T1550.001", "new token or assumed role", ROLE),
    row(When::Key(Family::Operation, |name| name.has(&["secretsmanager.", "getsecretvalue", "secretmanager.", "ssm.getparameter", "kms.decrypt", "keyvault.", "accesssecretversion"])),
        "T1555.006", "new use of a secret store", REVOKE),
    row(When::Key(Family::Operation, |name| name.has(&["createeventsourcemapping", "putrule", "puttargets", "putbucketnotification"])),
        "T1546", "new event trigger", CODE),
    row(When::Key(Family::Operation, |name| name.has(&["updatefunction", "publishlayer", "createfunction", "putimage", "publishversion", "updatealias"])),
        "T1525", "code, layer or configuration update", CODE),
    row(When::Key(Family::Operation, |name| name.has(&["modifysnapshotattribute", "copysnapshot", "modifyimageattribute", "putbucketreplication"])),
        "T1537", "copy to another account", DATA),
    row(When::Key(Family::Operation, |name| name.has(&["getcalleridentity"]) || (name.is_identity_service() && name.starts(&["list", "get"]))),
        "T1087.004", "new listing of identities", DISCOVERY),
    row(When::Key(Family::Operation, |name| name.is_storage() && name.starts(&["list", "head"])),
        "T1619", "new listing of stored objects", DISCOVERY),
    row(When::Key(Family::Operation, |name| name.starts(&["describe"])), "T1580", "new description of infrastructure", DISCOVERY),
    row(When::Key(Family::Operation, |name| name.starts(&["list"])), "T1526", "new listing of services", DISCOVERY),
    row(When::Key(Family::Operation, |name| name.has(&["process", "exec", "subprocess", "spawn"])), "T1059", "new child process", EXECUTION),
    row(When::Key(Family::Operation, |name| name.risk == Risk::Delete), "T1485", "new deletion", DATA),
    row(When::Key(Family::Operation, |name| name.is_storage() && name.starts(&["get", "select", "copy"])), "T1530", "new read of stored objects", DATA),
    row(When::Key(Family::Operation, |name| name.starts(&["scan", "query", "select", "executestatement", "batchget", "export"])),
        "T1213", "new read of a data store", DATA),
    row(When::Key(Family::Operation, |name| name.risk == Risk::Identity), "T1552", "new use of an identity or secret service", REVOKE),
    row(When::Key(Family::Operation, |name| name.risk == Risk::Control), "T1578", "new change of cloud configuration", CODE),
    row(When::Key(Family::Operation, |name| name.risk == Risk::Egress), "T1041", "new external call", ISOLATE),
    row(When::Key(Family::Operation, |_| true), "T1648", "new operation", EXECUTION),

    row(When::Key(Family::Resource, |name| name.risk == Risk::Identity), "T1552", "new secret, key or role touched", REVOKE),
    row(When::Key(Family::Resource, |_| true), "T1530", "new data resource touched", DATA),
    row(When::Key(Family::Statement, |_| true), "T1213", "new statement", DATA),
    row(When::Key(Family::Identity, |_| true), "T1078.004", "new identity", ROLE),
    row(When::Key(Family::Credential, |_| true), "T1078.004", "credential used from two places", ROLE),
    row(When::Key(Family::Orphan, |_| true), "T1078.004", "call with no invocation open", ROLE),
    row(When::Key(Family::Untraced, |_| true), "T1562.008", "call that no span reported", LOGGING),
    row(When::Key(Family::Silence, |_| true), "T1562.008", "invocation without spans", LOGGING),
    row(When::Key(Family::Change, |name| name.has(&["updatefunctioncode", "publishlayer", "publishversion", "updatealias"])),
        "T1525", "code changed by somebody unusual", CODE),
    row(When::Key(Family::Change, |name| name.has(&["createeventsourcemapping", "functionurlconfig", "putrule"])),
        "T1546", "trigger added by somebody unusual", CODE),
    row(When::Key(Family::Change, |name| name.has(&["permission", "policy"])), "T1098.003", "permission changed by somebody unusual", ROLE),
    row(When::Key(Family::Change, |_| true), "T1578", "configuration changed by somebody unusual", CODE),
    row(When::Key(Family::Trigger, |_| true), "T1546", "new trigger", CODE),
    row(When::Key(Family::Artefact, |_| true), "T1195", "new library or SDK", CODE),
    row(When::Key(Family::Error, |name| name.has(&["accessdenied", "unauthorized", "forbidden", "permissiondenied"])),
        "T1526", "new denied access", DISCOVERY),

    row(When::Repeats(Risk::Delete), "T1485", "unusually many deletions", DATA),
    row(When::Repeats(Risk::Write), "T1565.001", "unusually many writes", DATA),
    row(When::Repeats(Risk::Read), "T1530", "unusually many reads", DATA),
    row(When::Feature(Feature::Magnitude(Quantity::Rows)), "T1213", "unusually many rows", DATA),
    row(When::Feature(Feature::Magnitude(Quantity::DistinctResources)), "T1530", "unusually many resources", DATA),
    row(When::Feature(Feature::Magnitude(Quantity::BytesIn)), "T1530", "unusually many bytes in", DATA),
    row(When::Feature(Feature::Magnitude(Quantity::BytesOut)), "T1048", "unusually many bytes out", ISOLATE),
    row(When::Feature(Feature::Magnitude(Quantity::DurationUs)), "T1496", "unusual duration", RESOURCES),
    row(When::Feature(Feature::Magnitude(Quantity::SelfTimeUs)), "T1496", "unusual time of its own", RESOURCES),
    row(When::Feature(Feature::Magnitude(Quantity::MemoryMb)), "T1496", "unusual memory", RESOURCES),
    row(When::Feature(Feature::Magnitude(Quantity::Calls)), "T1499", "unusually many calls", RESOURCES),
    row(When::Feature(Feature::Magnitude(Quantity::AfterUs)), "T1546", "work after the answer", RESOURCES),
    row(When::Feature(Feature::Magnitude(Quantity::PlatformUs)), "T1496", "unusual duration", RESOURCES),
    row(When::Feature(Feature::Magnitude(Quantity::AnswerBytes)), "T1530", "unusually large answer", DATA),
    row(When::Feature(Feature::Magnitude(Quantity::CallBytes)), "T1530", "unusually large call", DATA),
    row(When::Feature(Feature::Magnitude(Quantity::Invocations)), "T1499", "unusually many invocations", RESOURCES),
    row(When::Feature(Feature::Magnitude(Quantity::Concurrency)), "T1499", "unusual concurrency", RESOURCES),
    row(When::Feature(Feature::Window(Measure::Rate)), "T1499", "unusual rate", RESOURCES),
    row(When::Feature(Feature::Window(Measure::Rows)), "T1213", "unusually many rows in an hour", DATA),
    row(When::Feature(Feature::Window(Measure::Distinct)), "T1530", "unusually many resources in an hour", DATA),
    row(When::Feature(Feature::Window(Measure::BytesOut)), "T1048", "unusually many bytes out in an hour", ISOLATE),
    row(When::Feature(Feature::Window(Measure::Duration)), "T1496", "unusual time in an hour", RESOURCES),
    row(When::Feature(Feature::Drift(Measure::Rows)), "T1213", "more and more rows", DATA),
    row(When::Feature(Feature::Drift(Measure::BytesOut)), "T1048", "more and more bytes out", ISOLATE),
    row(When::Feature(Feature::Drift(Measure::Duration)), "T1496", "longer and longer", RESOURCES),
    row(When::Feature(Feature::Instance(Quantity::SelfTimeUs)), "T1496", "environment that works more than its siblings", RESOURCES),
    row(When::Feature(Feature::Instance(Quantity::BytesOut)), "T1048", "environment that sends more than its siblings", ISOLATE),
    row(When::Feature(Feature::Beacon), "T1071.001", "contact like clockwork", ISOLATE),
    row(When::Feature(Feature::Silence), "T1562.008", "missing spans", LOGGING),
    row(When::Feature(Feature::Order), "T1648", "unusual order of operations", EXECUTION),
    row(When::Feature(Feature::Shape), "T1648", "unusual execution path", EXECUTION),
];

/// Techniques of `evidence`, strongest evidence first, each rule once.
pub fn of(evidence: &[Evidence]) -> Vec<Technique> {
    let mut found: Vec<Technique> = Vec::new();
    for technique in evidence.iter().filter_map(of_one) {
        if !found.contains(&technique) {
            found.push(technique);
        }
    }
    found
}

fn of_one(evidence: &Evidence) -> Option<Technique> {
    let lower = evidence.key.as_ref().map(|key| key.name.to_lowercase()).unwrap_or_default();
    let (service, verb) = lower.split_once(['.', ':', '/']).unwrap_or(("", &lower));
    let fits = |when: &When| match (when, &evidence.key) {
        (When::Feature(feature), _) => *feature == evidence.feature,
        (When::Repeats(risk), Some(key)) => evidence.feature == Feature::Repeats && key.risk == *risk,
        (When::Key(family, test), Some(key)) => {
            let name = Name { whole: &lower, service, verb, risk: key.risk };
            evidence.feature == Feature::Novelty && key.family == *family && test(&name)
        }
        (_, None) => false,
    };
    RULES.iter().find(|(when, _)| fits(when)).map(|(_, technique)| *technique)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incidents::tests::{key, novel, plain};

    #[test]
    fn evidence_maps_to_the_technique_of_the_first_rule_that_fits() {
        use Family::{Artefact, Destination, Edge, Error, Identity, LogTemplate, Operation, Resource, Trigger};
        let repeats = |risk| Evidence { key: Some(key(Operation, risk, "x.Y")), ..plain(Feature::Repeats, 5.0) };
        let new = |family, risk, name| novel(family, risk, name, 5.0);
        #[rustfmt::skip]
        let table: &[(Evidence, Option<&str>)] = &[
            (new(Destination, Risk::Egress, "185.1.2.3:443"),                 Some("T1041 (new external destination)")),
            (new(Destination, Risk::Egress, "169.254.169.254:80"),            Some("T1552.005 (instance or task metadata endpoint)")),
            (new(Destination, Risk::Read, "orders.internal"),                 Some("T1021.007 (new internal destination)")),
            (new(Edge, Risk::Write, "refund"),                                Some("T1021.007 (new call to another function)")),
            (new(Operation, Risk::Control, "cloudtrail.StopLogging"),         Some("T1562.008 (logging switched off or cut)")),
            (new(Operation, Risk::Identity, "iam.CreateAccessKey"),           Some("T1098.001 (new credentials for an identity)")),
            (new(Operation, Risk::Identity, "iam.AttachRolePolicy"),          Some("T1098.003 (role, policy or permission change)")),
            (new(Operation, Risk::Control, "lambda.AddPermission"),           Some("T1098.003 (role, policy or permission change)")),
            (new(Operation, Risk::Identity, "sts.AssumeRole"),                Some("T1550.001 (new token or assumed role)")),
            (new(Operation, Risk::Identity, "secretsmanager.GetSecretValue"), Some("T1555.006 (new use of a secret store)")),
            (new(Operation, Risk::Control, "events.PutRule"),                 Some("T1546 (new event trigger)")),
            (new(Operation, Risk::Control, "lambda.UpdateFunctionCode"),      Some("T1525 (code, layer or configuration update)")),
            (new(Operation, Risk::Control, "ec2.ModifySnapshotAttribute"),    Some("T1537 (copy to another account)")),
            (new(Operation, Risk::Read, "sts.GetCallerIdentity"),             Some("T1087.004 (new listing of identities)")),
            (new(Operation, Risk::Read, "s3.ListBuckets"),                    Some("T1619 (new listing of stored objects)")),
            (new(Operation, Risk::Read, "ec2.DescribeInstances"),             Some("T1580 (new description of infrastructure)")),
            (new(Operation, Risk::Read, "lambda.ListFunctions"),              Some("T1526 (new listing of services)")),
            (new(Operation, Risk::Write, "process.exec /bin/sh"),             Some("T1059 (new child process)")),
            (new(Operation, Risk::Delete, "dynamodb.DeleteTable"),            Some("T1485 (new deletion)")),
            (new(Operation, Risk::Read, "s3.GetObject"),                      Some("T1530 (new read of stored objects)")),
            (new(Operation, Risk::Read, "dynamodb.Scan"),                     Some("T1213 (new read of a data store)")),
            (new(Operation, Risk::Write, "sqs.SendMessage"),                  Some("T1648 (new operation)")),
            (new(Resource, Risk::Identity, "prod/admin"),                     Some("T1552 (new secret, key or role touched)")),
            (new(Resource, Risk::Read, "customers"),                          Some("T1530 (new data resource touched)")),
            (new(Identity, Risk::Identity, "role/other"),                     Some("T1078.004 (new identity)")),
            (new(Trigger, Risk::Read, "http"),                                Some("T1546 (new trigger)")),
            (new(Artefact, Risk::Read, "python-requests/2.1"),                Some("T1195 (new library or SDK)")),
            (new(Error, Risk::Read, "s3.GetObject AccessDenied"),             Some("T1526 (new denied access)")),
            (new(Error, Risk::Read, "Timeout"),                               None),
            (new(LogTemplate, Risk::Read, "hello <*>"),                       None),
            (repeats(Risk::Delete),                                           Some("T1485 (unusually many deletions)")),
            (repeats(Risk::Read),                                             Some("T1530 (unusually many reads)")),
            (plain(Feature::Magnitude(Quantity::BytesOut), 5.0),              Some("T1048 (unusually many bytes out)")),
            (plain(Feature::Magnitude(Quantity::SelfTimeUs), 5.0),            Some("T1496 (unusual time of its own)")),
            (plain(Feature::Order, 5.0),                                      Some("T1648 (unusual order of operations)")),
            (new(Family::Credential, Risk::Identity, "from 198.51.0.0/16"),   Some("T1078.004 (credential used from two places)")),
            (new(Family::Untraced, Risk::Read, "dynamodb.Scan"),              Some("T1562.008 (call that no span reported)")),
            (new(Family::Change, Risk::Control, "user/eve lambda.UpdateFunctionCode"), Some("T1525 (code changed by somebody unusual)")),
            (plain(Feature::Window(Measure::Distinct), 5.0),                  Some("T1530 (unusually many resources in an hour)")),
            (plain(Feature::Beacon, 5.0),                                     Some("T1071.001 (contact like clockwork)")),
            (plain(Feature::Missing, 5.0),                                    None),
        ];
        for (evidence, expected) in table {
            let found = of(std::slice::from_ref(evidence)).first().map(ToString::to_string);
            assert_eq!(found.as_deref(), *expected, "{evidence:?}");
        }
    }
}
