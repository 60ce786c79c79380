//! A16 to A20: something is left behind.

use super::{
    super::{
        application::{Op, Service, Stage},
        benign::{HOUR, MINUTE, SECOND},
        invocation::Size,
    },
    Act, Blind, Campaign, Outside, Who,
    catalogue::{Behaviour, Family, Intensity, Source},
    exfiltration::{call, requests, sized},
};

pub(super) const BEHAVIOURS: &[Behaviour] = &[
    behaviour("A16-code-overwritten", &[Source::Trail, Source::Spans], |stage, level| {
        let update = control(Op::new(Service::Lambda, "UpdateFunctionCode", stage.function), 0);
        let post = Op::http("POST", "https://status.build-cache.example.net/ping");
        let acts = level.pick([0, 1, 3]);
        Campaign {
            acts: vec![sized(post, acts, 90.0, Size::sent(4_000)), Act::Compute { ms: level.pick([1.0, 15.0, 60.0]) }],
            requests: 0,
            infects: level.pick([0.02, 0.2, 1.0]),
            over: 40 * MINUTE,
            replaced: true,
            outside: vec![update],
            ..Campaign::new("", stage.function, stage.entry)
        }
        .told(
            "its code is replaced by somebody who never deploys",
            &["UpdateFunctionCode", "example.net", "version", "changed by"],
        )
    }),
    behaviour("A17-malicious-layer", &[Source::Trail, Source::Platform], |stage, level| {
        let update = control(Op::new(Service::Lambda, "UpdateFunctionConfiguration", stage.function), 0);
        Campaign {
            acts: vec![Act::Linger { ms: level.pick([40.0, 200.0, 1_500.0]) }],
            requests: 0,
            infects: 1.0,
            over: 40 * MINUTE,
            replaced: true,
            slower_start_ms: level.pick([120.0, 500.0, 2_000.0]),
            outside: vec![update],
            ..Campaign::new("", stage.function, stage.entry)
        }
        .told(
            "a layer is added that hears every event",
            &["UpdateFunctionConfiguration", "layer", "initiali", "changed by"],
        )
    }),
    behaviour("A18-new-trigger", &[Source::Trail], |stage, level| {
        let op = level.pick([
            Op::new(Service::Lambda, "AddPermission", stage.function),
            Op::new(Service::Lambda, "CreateFunctionUrlConfig", stage.function),
            Op::new(Service::Lambda, "CreateEventSourceMapping", stage.function),
        ]);
        let invoke = Outside {
            op: Op::invoke(stage.function),
            who: Who::Anonymous,
            times: level.pick([1, 6, 40]),
            every: 20 * SECOND,
            after: 5 * MINUTE,
            denied: false,
            size: Size::received(2_000),
        };
        Campaign {
            requests: 0,
            outside: vec![control(op, 0), invoke],
            ..Campaign::new("", stage.function, stage.entry)
        }
        .told(
            "gets a new way in that everybody may use",
            &["AddPermission", "FunctionUrl", "EventSourceMapping", "changed by"],
        )
    }),
    behaviour("A19-warm-environment", &[Source::Spans, Source::Platform], |stage, level| {
        let beacon = Op::http("GET", "https://updates.pkg-mirror.example.org/check");
        Campaign {
            acts: vec![
                call(beacon, level.pick([0, 0, 1]), 80.0),
                Act::Linger { ms: level.pick([100.0, 600.0, 3_000.0]) },
                Act::Memory { mb: level.pick([20, 60, 120]) },
            ],
            requests: 0,
            infects: 1.0,
            one_instance: true,
            over: 50 * MINUTE,
            ..Campaign::new("", stage.function, stage.entry)
        }
        .told("one warm environment does more than its siblings", &["instance", "memory", "pkg-mirror", "after"])
    }),
    behaviour("A20-beacon", &[Source::Spans, Source::Platform], |stage, level| {
        let beacon = Op::http("GET", "https://cdn.fontlib.example.net/latest.json");
        let campaign = Campaign {
            acts: vec![call(beacon, 1, 70.0)],
            ..requests(stage, level.pick([6, 30, 60]), level.pick([3 * HOUR, HOUR, HOUR]))
        };
        let hidden = if level == Intensity::Quiet { Blind::HidesCalls } else { Blind::Sees };
        campaign.blinded(hidden).told("asks an unknown host for orders, regularly", &["fontlib", "example.net"])
    }),
];

const fn behaviour(
    id: &'static str,
    shows_in: &'static [Source],
    plan: fn(&Stage, Intensity) -> Campaign,
) -> Behaviour {
    Behaviour { id, family: Family::Persistence, shows_in, plan }
}

/// A change with a person's key.
const fn control(op: Op, after: u64) -> Outside {
    Outside { op, who: Who::Person, times: 1, every: SECOND, after, denied: false, size: Size::sent(900) }
}
