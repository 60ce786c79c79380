//! A01 to A10: data is collected and taken away.

use super::{
    super::{
        application::{Op, Service, Stage},
        benign::{HOUR, MINUTE},
        invocation::Size,
    },
    Act, Blind, Campaign, Outside, Who,
    catalogue::{Behaviour, Family, Intensity, Source},
};

const MEGABYTE: u64 = 1_000_000;

pub(super) const BEHAVIOURS: &[Behaviour] = &[
    behaviour("A01-exfil-http", &[Source::Spans, Source::Platform], |stage, level| {
        let Stage { table, .. } = *stage;
        let post = Op::http("POST", "https://collect.cdn-metrics.example.net/v1/batch");
        let sent = level.pick([20_000, 400_000, 8 * MEGABYTE]);
        Campaign {
            acts: vec![query(table, level.pick([1, 3, 12]), 30), sized(post, 1, 160.0, Size::sent(sent))],
            ..requests(stage, level.pick([1, 8, 30]), level.pick([0, 12, 20]) * MINUTE)
        }
        .told("reads a table others use and posts it to an unknown host", &["example.net", table])
    }),
    behaviour("A02-exfil-dns", &[Source::Spans, Source::Platform], |stage, level| {
        // The resolver is reached over HTTPS; plain lookups leave no span, only time.
        let doh = Op::http("GET", "https://dns.resolver.example.org/dns-query?name=");
        let lookups = level.pick([0, 6, 40]);
        Campaign {
            acts: vec![
                sized(stage.read, 2, 6.0, Size::rows(20)),
                Act::Call { op: doh, times: lookups, ms: 18.0, size: None },
                Act::Compute { ms: level.pick([60.0, 120.0, 900.0]) },
            ],
            ..requests(stage, level.pick([6, 12, 20]), 15 * MINUTE)
        }
        .told("sends data in the labels of host names", &["dns.resolver", "self time", "time"])
    }),
    behaviour("A03-exfil-foreign-bucket", &[Source::Spans, Source::Trail], |stage, level| {
        let put = Op::s3("PutObject", "analytics-staging-7f3a");
        Campaign {
            acts: vec![
                sized(stage.read, 1, 8.0, Size::rows(level.pick([5, 50, 400]))),
                sized(put, level.pick([1, 2, 6]), 45.0, Size::sent(level.pick([30_000, MEGABYTE, 40 * MEGABYTE]))),
            ],
            ..requests(stage, level.pick([1, 6, 20]), level.pick([0, 10, 20]) * MINUTE)
        }
        .told("writes what it reads into a bucket of another account", &["analytics-staging", "sent"])
    }),
    behaviour("A04-foreign-table", &[Source::Spans, Source::Trail], |stage, level| {
        let Stage { table, bucket, .. } = *stage;
        let mut acts = vec![query(table, level.pick([1, 4, 20]), level.pick([1, 25, 200]))];
        if level == Intensity::Loud {
            acts.push(sized(Op::s3("GetObject", bucket), 10, 30.0, Size::received(MEGABYTE)));
        }
        Campaign { acts, ..requests(stage, level.pick([1, 5, 20]), level.pick([0, 10, 20]) * MINUTE) }
            .told("reads what its role allows and its code never did", &[table, bucket])
    }),
    behaviour("A05-bulk-read", &[Source::Spans, Source::Platform, Source::Trail], |stage, level| {
        let (times, rows) = level.pick([(8, 100), (40, 400), (200, 1_000)]);
        let scan = if stage.read.service == Service::S3 {
            Op::s3("ListObjectsV2", stage.read.target)
        } else {
            Op::dynamo("Scan", stage.read.target)
        };
        Campaign { acts: vec![sized(scan, times, 45.0, Size::rows(rows))], ..requests(stage, 1, 0) }.told(
            "reads its own table from end to end",
            &["Scan", "ListObjectsV2", "times", "calls", "rows", "received"],
        )
    }),
    behaviour("A06-wider-query", &[Source::Spans, Source::Platform], |stage, level| {
        let rows = level.pick([60, 600, 6_000]);
        Campaign {
            acts: vec![sized(stage.read, 1, 9.0 + rows as f64 / 20.0, Size::rows(rows))],
            place: super::Place::Before,
            ..requests(stage, level.pick([2, 8, 20]), 15 * MINUTE)
        }
        .told("the same call returns far more than ever", &["rows", "kB", "MB", " s"])
    }),
    behaviour("A07-leak-by-answer", &[Source::Platform], |stage, level| {
        let bytes = level.pick([200_000, MEGABYTE, 5 * MEGABYTE]);
        Campaign {
            acts: vec![sized(stage.read, 1, 8.0, Size::rows(level.pick([20, 200, 2_000]))), Act::Answer { bytes }],
            ..requests(stage, level.pick([3, 10, 30]), 20 * MINUTE)
        }
        .told("stolen data goes back in the answer", &["answer", "produced", "rows", "kB", "MB"])
    }),
    behaviour("A08-low-and-slow", &[Source::Spans, Source::Trail], |stage, level| {
        Campaign {
            acts: vec![sized(stage.read, level.pick([1, 1, 3]), 6.0, Size::rows(level.pick([2, 6, 12])))],
            requests: 0,
            infects: level.pick([0.05, 0.25, 0.9]),
            over: 36 * HOUR,
            ..Campaign::new("", stage.function, stage.entry)
        }
        .told(
            "takes one item more than it should, invocation by invocation",
            &[stage.read.target, "times", "rows", "calls"],
        )
    }),
    behaviour("A09-made-public", &[Source::Spans, Source::Trail], |stage, level| {
        let Stage { bucket, .. } = *stage;
        let policy = Op::s3("PutBucketPolicy", bucket);
        let read = |times, after| Outside {
            op: Op::s3("GetObject", bucket),
            who: Who::Anonymous,
            times,
            every: 4_000_000_000,
            after,
            denied: false,
            size: Size::received(MEGABYTE),
        };
        Campaign {
            acts: vec![Act::Call { op: policy, times: 1, ms: 60.0, size: None }],
            outside: vec![read(level.pick([3, 40, 300]), 2 * MINUTE)],
            ..requests(stage, 1, 0)
        }
        .told("makes a bucket public; strangers fetch from it", &["PutBucketPolicy", bucket])
    }),
    behaviour("A10-table-export", &[Source::Spans, Source::Trail], |stage, level| {
        let Stage { table, .. } = *stage;
        let export = Op::dynamo("ExportTableToPointInTime", table);
        let batch = sized(Op::dynamo("BatchGetItem", table), level.pick([1, 10, 60]), 25.0, Size::rows(100));
        let acts = match level {
            Intensity::Quiet => vec![Act::Call { op: export, times: 1, ms: 80.0, size: None }],
            _ => vec![Act::Call { op: export, times: 1, ms: 80.0, size: None }, batch],
        };
        Campaign { acts, ..requests(stage, 1, 0) }
            .told("exports a whole table with one call", &["ExportTableToPointInTime", "BatchGetItem", table])
    }),
];

const fn behaviour(
    id: &'static str,
    shows_in: &'static [Source],
    plan: fn(&Stage, Intensity) -> Campaign,
) -> Behaviour {
    Behaviour { id, family: Family::Exfiltration, shows_in, plan }
}

/// So many requests over some time, none doing anything yet.
pub(super) fn requests(stage: &Stage, requests: u64, over: u64) -> Campaign {
    Campaign { requests, over, unlucky: Some(false), ..Campaign::new("", stage.function, stage.entry) }
}

/// Calls of a certain weight.
pub(super) const fn sized(op: Op, times: u32, ms: f64, size: Size) -> Act {
    Act::Call { op, times, ms, size: Some(size) }
}

/// Calls of the usual weight.
pub(super) const fn call(op: Op, times: u32, ms: f64) -> Act {
    Act::Call { op, times, ms, size: None }
}

fn query(table: &'static str, times: u32, rows: u64) -> Act {
    sized(Op::dynamo("Query", table), times, 12.0, Size::rows(rows))
}

impl Campaign {
    /// With what people are told of it, and the names a good explanation has one of.
    pub(super) fn told(self, description: &str, signs: &[&'static str]) -> Self {
        Self { description: format!("{} {description}", self.function), signs: signs.to_vec(), ..self }
    }

    /// With the function's telemetry blinded.
    pub(super) fn blinded(self, blind: Blind) -> Self {
        Self { blind, ..self }
    }
}
