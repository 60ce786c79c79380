//! X01 to X08: attackers that know what they are up against.

use super::{
    super::{
        application::{Op, Service, Stage},
        benign::{HOUR, MINUTE, SECOND},
        invocation::Size,
    },
    Act, Blind, Campaign, Outside, Place, Who,
    catalogue::{Behaviour, Family, Intensity, Source},
    evasion::noise,
    exfiltration::{requests, sized},
};

pub(super) const BEHAVIOURS: &[Behaviour] = &[
    behaviour("X01-mimicry-by-answer", &[Source::Spans, Source::Platform], |stage, level| {
        // Own calls only, in place, no more of them: only what comes back is more.
        let rows = level.pick([8, 16, 60]);
        Campaign {
            acts: vec![sized(stage.read, 1, 6.0, Size::rows(rows)), Act::Answer { bytes: rows * 230 }],
            place: Place::Before,
            ..requests(stage, level.pick([10, 60, 200]), 2 * HOUR)
        }
        .told(
            "uses only its own calls and answers a little more",
            &[stage.read.target, "rows", "times", "calls", "answer"],
        )
    }),
    behaviour("X02-slow-ramp", &[Source::Spans, Source::Trail], |stage, level| {
        Campaign {
            acts: vec![sized(stage.read, 2, 5.0, Size::rows(6))],
            requests: 0,
            infects: 0.3,
            over: 3 * 24 * HOUR,
            ramp: level.pick([1.2, 2.0, 8.0]),
            ..Campaign::new("", stage.function, stage.entry)
        }
        .told(
            "begins with little and takes a few per cent more every hour",
            &[stage.read.target, "times", "rows", "calls"],
        )
    }),
    behaviour("X03-behind-a-deploy", &[Source::Spans, Source::Trail], |stage, level| {
        Campaign {
            acts: vec![sized(Op::dynamo("Query", stage.table), level.pick([1, 3, 20]), 12.0, Size::rows(40))],
            replaced: true,
            over: 40 * MINUTE,
            requests: 0,
            infects: level.pick([0.02, 0.15, 0.8]),
            ..Campaign::new("", stage.function, stage.entry)
        }
        .told("waits for a release and does its own in its shadow", &[stage.table])
    }),
    behaviour("X04-forged-spans", &[Source::Trail, Source::Platform], |stage, level| {
        let secret = Op::new(Service::Secrets, "GetSecretValue", stage.secret);
        Campaign {
            acts: vec![
                Act::Call { op: secret, times: level.pick([1, 3, 10]), ms: 20.0, size: None },
                sized(Op::dynamo("Scan", stage.table), level.pick([1, 5, 40]), 30.0, Size::rows(200)),
            ],
            ..requests(stage, level.pick([1, 5, 15]), 15 * MINUTE)
        }
        .blinded(Blind::Forged)
        .told("writes honest spans over dishonest calls", &["span", "reported", stage.secret, stage.table])
    }),
    behaviour("X05-no-spans", &[Source::Trail, Source::Platform, Source::Metrics], |stage, level| {
        Campaign {
            acts: vec![sized(Op::dynamo("Scan", stage.table), level.pick([1, 5, 40]), 30.0, Size::rows(200))],
            ..requests(stage, level.pick([1, 8, 40]), 20 * MINUTE)
        }
        .blinded(Blind::Silent)
        .told("sends no span of what it did", &["span", "silen", "reported", stage.table])
    }),
    behaviour("X06-flooded-alerts", &[Source::Spans, Source::Trail], |stage, level| {
        Campaign {
            acts: vec![sized(Op::dynamo("Query", stage.table), level.pick([1, 4, 20]), 12.0, Size::rows(40))],
            decoy: Some(Box::new(noise(stage, level.pick([10, 40, 150])))),
            ..requests(stage, level.pick([2, 6, 20]), 10 * MINUTE)
        }
        .told("makes noise elsewhere first", &[stage.table])
    }),
    behaviour("X07-one-at-a-time", &[Source::Spans, Source::Trail], |stage, level| {
        // Each novelty alone, hours apart, the least grave first.
        let call = |op, after| Outside {
            op,
            who: Who::Stolen,
            times: 1,
            every: SECOND,
            after,
            denied: false,
            size: Size::rows(4),
        };
        Campaign {
            acts: vec![sized(Op::dynamo("GetItem", stage.table), 1, 5.0, Size::rows(1))],
            outside: vec![call(stage.read, level.pick([8, 5, 2]) * HOUR)],
            ..requests(stage, level.pick([2, 4, 8]), level.pick([9, 8, 6]) * HOUR)
        }
        .told("does one new thing at a time, hours apart", &[stage.table, "credential", "address", "no invocation"])
    }),
    behaviour("X08-hidden-calls", &[Source::Trail, Source::Platform], |stage, level| {
        Campaign {
            acts: vec![
                sized(Op::dynamo("Query", stage.table), level.pick([1, 5, 40]), 12.0, Size::rows(80)),
                sized(Op::http("POST", "https://drop.zone.example.net/u"), 1, 150.0, Size::sent(90_000)),
            ],
            ..requests(stage, level.pick([1, 8, 30]), 20 * MINUTE)
        }
        .blinded(Blind::HidesCalls)
        .told("calls past the instrumentation", &["span", "reported", stage.table, "self time", "time"])
    }),
];

const fn behaviour(
    id: &'static str,
    shows_in: &'static [Source],
    plan: fn(&Stage, Intensity) -> Campaign,
) -> Behaviour {
    Behaviour { id, family: Family::Adaptive, shows_in, plan }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ramp_grows_from_start_to_end() {
        let campaign = Campaign { ramp: 8.0, ..Campaign::new("x", "f", "f") };
        assert_eq!([0.0, 1.0 / 3.0, 1.0, 2.0].map(|at| campaign.ramped(2.0, at)), [2, 4, 16, 16]);
        assert_eq!(campaign.grown(Size::rows(3), 1.0).rows, 24);
    }
}
