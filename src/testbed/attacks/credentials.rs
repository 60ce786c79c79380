//! A11 to A15: credentials are stolen, used, widened.

use super::{
    super::{
        application::{Op, Service, Stage},
        benign::{MINUTE, SECOND},
        invocation::Size,
    },
    Act, Campaign, Outside, Who,
    catalogue::{Behaviour, Family, Intensity, Source},
    exfiltration::{call, requests},
};

pub(super) const BEHAVIOURS: &[Behaviour] = &[
    behaviour("A11-credentials-elsewhere", &[Source::Trail], |stage, level| {
        stolen(stage, level, Who::Stolen).told(
            "its credentials are used from somebody's own machine",
            &["credential", "address", "key", "network", "no invocation"],
        )
    }),
    behaviour("A12-credentials-in-cloud", &[Source::Trail], |stage, level| {
        stolen(stage, level, Who::StolenInCloud)
            .told("its credentials are used from another account's function", &["credential", "span", "key", "call"])
    }),
    behaviour("A13-secret-harvest", &[Source::Spans, Source::Trail], |stage, level| {
        let secret = Op::new(Service::Secrets, "GetSecretValue", stage.secret);
        let parameters = Op::new(Service::Ssm, "GetParametersByPath", "/");
        let acts = match level {
            Intensity::Quiet => vec![call(secret, 1, 22.0)],
            Intensity::Usual => {
                vec![call(Op::new(Service::Secrets, "ListSecrets", ""), 1, 30.0), call(secret, 4, 22.0)]
            }
            Intensity::Loud => vec![
                call(Op::new(Service::Secrets, "ListSecrets", ""), 2, 30.0),
                call(secret, 20, 22.0),
                call(parameters, 8, 20.0),
                call(Op::new(Service::Kms, "Decrypt", ""), 12, 14.0),
            ],
        };
        Campaign { acts, ..requests(stage, 1, 0) }
            .told("reads secrets that are none of its business", &["Secret", "GetParameter", stage.secret])
    }),
    behaviour("A14-discovery", &[Source::Spans, Source::Trail], |stage, level| {
        let refused = |op, times| Act::Refused { op, times };
        let mut acts = vec![call(Op::new(Service::Sts, "GetCallerIdentity", ""), 1, 24.0)];
        if level >= Intensity::Usual {
            acts.extend([
                refused(Op::new(Service::Iam, "ListAttachedRolePolicies", ""), 1),
                refused(Op::dynamo("ListTables", ""), 1),
                call(Op::s3("ListBuckets", ""), 1, 40.0),
            ]);
        }
        if level == Intensity::Loud {
            acts.extend([
                refused(Op::new(Service::Lambda, "ListFunctions", ""), 3),
                refused(Op::new(Service::Iam, "ListRoles", ""), 3),
                refused(Op::new(Service::Ssm, "DescribeParameters", ""), 2),
                refused(Op::new(Service::Logs, "DescribeLogGroups", ""), 2),
            ]);
        }
        Campaign { acts, ..requests(stage, 1, 0) }
            .told("asks who it is and what it may", &["GetCallerIdentity", "List", "Describe"])
    }),
    behaviour("A15-privilege-escalation", &[Source::Spans, Source::Trail], |stage, level| {
        let attach = Op::new(Service::Iam, "AttachRolePolicy", stage.function);
        let acts = match level {
            Intensity::Quiet => vec![call(Op::new(Service::Sts, "AssumeRole", ""), 1, 40.0)],
            Intensity::Usual => vec![call(attach, 1, 70.0)],
            Intensity::Loud => vec![
                Act::Refused { op: Op::new(Service::Iam, "CreateUser", ""), times: 2 },
                call(attach, 1, 70.0),
                call(Op::new(Service::Iam, "CreateAccessKey", ""), 1, 80.0),
                call(Op::new(Service::Lambda, "CreateFunction", "maintenance-helper"), 1, 300.0),
            ],
        };
        Campaign { acts, ..requests(stage, 1, 0) }
            .told("gives itself more than it had", &["iam.", "sts.", "IAM", "STS", "CreateFunction"])
    }),
];

const fn behaviour(
    id: &'static str,
    shows_in: &'static [Source],
    plan: fn(&Stage, Intensity) -> Campaign,
) -> Behaviour {
    Behaviour { id, family: Family::Credentials, shows_in, plan }
}

/// Calls with the function's credentials that no function made.
fn stolen(stage: &Stage, level: Intensity, who: Who) -> Campaign {
    let outside =
        |op, times, after| Outside { op, who, times, every: 7 * SECOND, after, denied: false, size: Size::rows(40) };
    let mut acts = Vec::new();
    let mut elsewhere = vec![outside(stage.read, level.pick([3, 30, 200]), 3 * MINUTE)];
    if level >= Intensity::Usual {
        elsewhere.insert(0, outside(Op::new(Service::Sts, "GetCallerIdentity", ""), 1, 2 * MINUTE));
        elsewhere.push(outside(Op::dynamo("Scan", stage.table), level.pick([0, 5, 40]), 4 * MINUTE));
    }
    if level == Intensity::Loud {
        // The way they leave: in the answer.
        acts.push(Act::Answer { bytes: 2_000 });
    }
    let requests = u64::from(level == Intensity::Loud);
    Campaign { requests, acts, outside: elsewhere, ..Campaign::new("", stage.function, stage.entry) }
}
