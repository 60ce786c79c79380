//! A29 to A37: ways in, further in, and out of sight.

use super::{
    super::{
        application::{Op, Service, Stage},
        benign::{HOUR, MINUTE, SECOND},
        invocation::{DENIED, Severity, Size},
    },
    Act, Blind, Campaign, Outside, Place, Who,
    catalogue::{Behaviour, Family, Intensity, Source},
    exfiltration::{call, requests, sized},
};

pub(super) const BEHAVIOURS: &[Behaviour] = &[
    behaviour("A29-event-injection", &[Source::Spans, Source::Platform], |stage, level| {
        let mut acts = vec![
            Act::Compute { ms: level.pick([80.0, 300.0, 1_500.0]) },
            Act::Log { severity: Severity::Error, text: "sh: 1: Syntax error: Unterminated quoted string ", times: 1 },
        ];
        if level >= Intensity::Usual {
            acts.push(call(Op::s3("GetObject", stage.bucket), level.pick([0, 1, 6]), 25.0));
        }
        acts.push(Act::Fail { failure: "subprocess.CalledProcessError" });
        Campaign { acts, place: Place::Instead, ..requests(stage, level.pick([1, 4, 12]), 12 * MINUTE) }.told(
            "runs a command somebody put into an event",
            &["CalledProcessError", "Syntax error", stage.bucket, "no "],
        )
    }),
    behaviour("A30-lateral-invoke", &[Source::Spans, Source::Trail], |stage, level| {
        let Stage { neighbour, .. } = *stage;
        Campaign {
            acts: vec![Act::Start { op: Op::invoke(neighbour), function: neighbour }],
            causes: Some(neighbour),
            ..requests(stage, level.pick([1, 5, 25]), 15 * MINUTE)
        }
        .told("invokes a function it never invoked", &[neighbour, "lambda.Invoke"])
    }),
    behaviour("A31-poisoned-messages", &[Source::Spans, Source::Trail], |stage, level| {
        let Stage { queue, .. } = *stage;
        let start = Op::new(Service::StepFunctions, "StartExecution", "refunds");
        let mut acts = vec![call(Op::send(queue), level.pick([1, 8, 60]), 12.0)];
        if level == Intensity::Loud {
            acts.push(call(start, 5, 30.0));
        }
        Campaign { acts, ..requests(stage, level.pick([1, 4, 10]), 10 * MINUTE) }
            .told("writes to a queue it never wrote to", &[queue, "StartExecution", "refunds"])
    }),
    behaviour("A32-reverse-shell", &[Source::Spans, Source::Platform], |stage, level| {
        let held = level.pick([20_000.0, 120_000.0, 600_000.0]);
        let tcp = Op::http("CONNECT", "http://198.51.100.23:4444/");
        Campaign {
            acts: vec![call(tcp, level.pick([0, 0, 1]), 40.0), Act::Compute { ms: held }],
            ..requests(stage, level.pick([1, 2, 4]), 20 * MINUTE)
        }
        .told("keeps a line open until its time is up", &[" s", "time", "198.51.100"])
    }),
    behaviour("A33-scanning", &[Source::Spans], |stage, level| {
        let metadata = Op::http("GET", "http://169.254.169.254/latest/meta-data/");
        let mut acts = vec![call(metadata, 1, 8.0)];
        if level >= Intensity::Usual {
            acts.extend(HOSTS.iter().take(level.pick([0, 3, 8])).map(|url| call(Op::http("GET", url), 1, 30.0)));
        }
        Campaign { acts, ..requests(stage, level.pick([1, 2, 4]), 5 * MINUTE) }
            .told("tries addresses inside", &["metadata service", "10.0.", "private"])
    }),
    behaviour("A34-log-tampering", &[Source::Trail, Source::Platform, Source::Metrics], |stage, level| {
        let change = |op| Outside {
            op,
            who: Who::Person,
            times: 1,
            every: SECOND,
            after: 0,
            denied: false,
            size: Size::sent(200),
        };
        let op = level.pick([
            Op::new(Service::Logs, "PutRetentionPolicy", stage.function),
            Op::new(Service::Logs, "DeleteLogGroup", stage.function),
            Op::new(Service::CloudTrail, "StopLogging", "account"),
        ]);
        let quiet = level == Intensity::Quiet;
        Campaign {
            requests: 0,
            over: 45 * MINUTE,
            blind: if quiet { Blind::Sees } else { Blind::SilentFromThenOn },
            outside: vec![change(op)],
            ..Campaign::new("", stage.function, stage.entry)
        }
        .told(
            "telemetry is switched off",
            &["StopLogging", "DeleteLogGroup", "PutRetentionPolicy", "silen", "no span", "without", "changed by"],
        )
    }),
    behaviour("A35-forged-telemetry", &[Source::Trail], |stage, level| {
        Campaign {
            acts: vec![sized(Op::dynamo("Query", stage.table), level.pick([1, 6, 40]), 9.0, Size::rows(60))],
            ..requests(stage, level.pick([2, 8, 20]), 20 * MINUTE)
        }
        .blinded(Blind::Forged)
        .told("reports what it should have done", &["span", "reported", stage.table])
    }),
    behaviour("A36-mimicry", &[Source::Spans, Source::Trail], |stage, level| {
        Campaign {
            acts: vec![sized(stage.read, level.pick([1, 2, 6]), 5.0, Size::rows(level.pick([6, 12, 40])))],
            ..requests(stage, level.pick([5, 30, 120]), HOUR)
        }
        .told("does only what it always does, for somebody else", &[stage.read.target, "times", "rows", "calls"])
    }),
    behaviour("A37-poisoned-baseline", &[Source::Spans, Source::Trail], |stage, level| {
        Campaign {
            acts: vec![sized(stage.read, 1, 5.0, Size::rows(8))],
            requests: 0,
            infects: level.pick([0.2, 0.5, 1.0]),
            over: 3 * 24 * HOUR,
            ramp: level.pick([4.0, 12.0, 40.0]),
            ..Campaign::new("", stage.function, stage.entry)
        }
        .told("takes a little more every hour", &[stage.read.target, "times", "rows", "calls"])
    }),
];

const HOSTS: [&str; 8] = [
    "http://10.0.1.4:6379/",
    "http://10.0.1.9:5432/",
    "http://10.0.1.17:9200/",
    "http://10.0.2.4:8080/",
    "http://10.0.2.11:3306/",
    "http://10.0.2.30:22/",
    "http://10.0.3.5:443/",
    "http://10.0.3.77:27017/",
];

const fn behaviour(
    id: &'static str,
    shows_in: &'static [Source],
    plan: fn(&Stage, Intensity) -> Campaign,
) -> Behaviour {
    Behaviour { id, family: Family::Evasion, shows_in, plan }
}

/// Noise on another function: failures of every kind.
pub(super) fn noise(stage: &Stage, requests: u64) -> Campaign {
    let refused = |op| Act::Refused { op, times: 2 };
    Campaign {
        acts: vec![
            refused(Op::dynamo("Query", "nothing-here")),
            call(Op::http("GET", "https://www.example.org/"), 2, 60.0),
            Act::Fail { failure: DENIED },
        ],
        requests,
        over: 25 * MINUTE,
        description: format!("{} makes noise", stage.entry),
        signs: vec!["nothing-here", "example.org"],
        ..Campaign::new("decoy", stage.entry, stage.entry)
    }
}
