//! A21 to A28: data is destroyed, resources are used up.

use super::{
    super::{
        application::{Op, Service, Stage},
        benign::{HOUR, MINUTE},
        invocation::Size,
    },
    Act, Campaign,
    catalogue::{Behaviour, Family, Intensity, Source},
    exfiltration::{call, requests, sized},
};

pub(super) const BEHAVIOURS: &[Behaviour] = &[
    behaviour("A21-mass-delete", &[Source::Spans, Source::Trail], |stage, level| {
        let Stage { bucket, table, .. } = *stage;
        let acts = match level {
            Intensity::Quiet => vec![call(Op::dynamo("DeleteItem", table), 5, 7.0)],
            Intensity::Usual => vec![call(Op::dynamo("BatchWriteItem", table), 20, 25.0)],
            Intensity::Loud => {
                vec![call(Op::s3("DeleteObjects", bucket), 40, 90.0), call(Op::dynamo("DeleteTable", table), 1, 60.0)]
            }
        };
        Campaign { acts, ..requests(stage, 1, 0) }.told("deletes what it can", &["Delete", "BatchWrite", table, bucket])
    }),
    behaviour("A22-ransom", &[Source::Spans, Source::Trail], |stage, level| {
        let Stage { bucket, .. } = *stage;
        let copies = level.pick([4, 30, 200]);
        let mut acts = vec![sized(Op::s3("CopyObject", bucket), copies, 60.0, Size::sent(400))];
        if level >= Intensity::Usual {
            acts.push(call(Op::s3("PutBucketVersioning", bucket), 1, 50.0));
        }
        if level == Intensity::Loud {
            acts.push(call(Op::s3("PutBucketLifecycleConfiguration", bucket), 1, 50.0));
        }
        Campaign { acts, ..requests(stage, 1, 0) }
            .told("encrypts objects with a key of its own", &["CopyObject", "PutBucket", bucket])
    }),
    behaviour("A23-step-skipped", &[Source::Spans], |stage, level| Campaign {
        omit: Some(stage.step),
        description: format!("{} leaves out a step of its work", stage.function),
        signs: vec![stage.step.target, stage.step.method],
        ..requests(stage, level.pick([2, 8, 40]), 20 * MINUTE)
    }),
    behaviour("A24-mining", &[Source::Spans, Source::Platform, Source::Metrics], |stage, level| {
        let pool = Op::http("POST", "http://pool.hashfarm.example.org:3333/json_rpc");
        Campaign {
            acts: vec![
                call(pool, level.pick([0, 1, 1]), 90.0),
                Act::Compute { ms: level.pick([4_000.0, 12_000.0, 50_000.0]) },
                Act::Memory { mb: level.pick([10, 40, 90]) },
            ],
            ..requests(stage, level.pick([5, 15, 40]), 25 * MINUTE)
        }
        .told("computes for somebody else", &["hashfarm", "3333", " s", "time"])
    }),
    behaviour("A25-internal-denial-of-wallet", &[Source::Spans, Source::Platform, Source::Metrics], |stage, level| {
        Campaign {
            acts: vec![
                Act::Compute { ms: level.pick([800.0, 5_000.0, 25_000.0]) },
                Act::Memory { mb: level.pick([0, 20, 80]) },
            ],
            ..requests(stage, level.pick([10, 30, 80]), 30 * MINUTE)
        }
        .told("sleeps as long as it is paid for", &[" s", "time", "ms"])
    }),
    behaviour("A26-flood", &[Source::Spans, Source::Metrics], |stage, level| {
        Campaign {
            requests: 0,
            flood: level.pick([4.0, 15.0, 60.0]),
            over: level.pick([60, 40, 20]) * MINUTE,
            ..Campaign::new("", stage.entry, stage.entry)
        }
        .told("is called far more often than ever at this hour", &["invocations", "rate", "times", "hour"])
    }),
    behaviour("A27-recursion", &[Source::Spans, Source::Trail, Source::Metrics], |stage, level| {
        let Stage { function, .. } = *stage;
        let invoke = Op::invoke(function);
        let times = level.pick([1, 2, 2]);
        let mut acts = vec![call(invoke, times, 30.0)];
        acts.extend((0..level.pick([1, 3, 12])).map(|_| Act::Start { op: invoke, function }));
        let campaign = requests(stage, level.pick([2, 4, 6]), 10 * MINUTE);
        Campaign { acts, depth: level.pick([15, 3, 1]), causes: Some(function), ..campaign }
            .told("invokes itself", &["lambda.Invoke", function])
    }),
    behaviour("A28-paid-services", &[Source::Spans, Source::Trail], |stage, level| {
        let acts = match level {
            Intensity::Quiet => vec![call(Op::new(Service::Ses, "GetSendQuota", ""), 1, 40.0)],
            Intensity::Usual => vec![call(Op::new(Service::Bedrock, "InvokeModel", ""), 4, 900.0)],
            Intensity::Loud => {
                vec![call(Op::new(Service::Sns, "Publish", "+351900000000"), 60, 30.0)]
            }
        };
        Campaign { acts, ..requests(stage, level.pick([1, 4, 6]), HOUR / 3) }
            .told("uses services somebody pays for", &["GetSendQuota", "InvokeModel", "Publish", "publish", "sns:"])
    }),
];

const fn behaviour(
    id: &'static str,
    shows_in: &'static [Source],
    plan: fn(&Stage, Intensity) -> Campaign,
) -> Behaviour {
    Behaviour { id, family: Family::Impact, shows_in, plan }
}
