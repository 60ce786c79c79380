//! Video on demand: an upload is ingested, processed and published, thirteen functions in three chains. The shape is
//! that of the video-on-demand solution: state machines call the functions one after the other, each step a direct
//! invocation; the encoder's answer comes minutes later over the event bus.

use super::{
    super::{
        application::{Application, Arrival, Dialect, Op, Pattern, Service, Spec, Stage, Trigger},
        benign::MINUTE,
        invocation::{
            Failure, Run,
            Severity::{Info, Warning},
            Size,
        },
    },
    http, spec,
};

/// Thirteen functions in Node.js.
pub const VIDEO: Application = Application {
    name: "video-on-demand",
    domain: "video.example",
    dialect: Dialect::Node,
    functions: FUNCTIONS,
    arrivals: &[
        Arrival { function: "vod-step-functions", pattern: Pattern::Bursts(220.0, 12), spans: 50.0 },
        Arrival { function: "vod-catalogue", pattern: Pattern::People(5_200.0), spans: 3.4 },
        Arrival { function: "vod-sweeper", pattern: Pattern::Every(15 * MINUTE), spans: 4.0 },
    ],
    stages: &[
        Stage {
            function: "vod-catalogue",
            entry: "vod-catalogue",
            read: Op::dynamo("Query", "vod-assets"),
            write: Op::s3("GetObject", "vod-thumbnails"),
            step: Op::dynamo("Query", "vod-assets"),
            table: "vod-subscribers",
            bucket: "vod-source",
            queue: "vod-workflow",
            secret: "vod-drm-key",
            neighbour: "vod-encode",
        },
        Stage {
            function: "vod-encode",
            entry: "vod-step-functions",
            read: Op::dynamo("GetItem", "vod-assets"),
            write: Op::new(Service::MediaConvert, "CreateJob", ""),
            step: Op::new(Service::MediaConvert, "CreateJob", ""),
            table: "vod-subscribers",
            bucket: "vod-archive",
            queue: "vod-billing",
            secret: "vod-drm-key",
            neighbour: "vod-archive-source",
        },
        Stage {
            function: "vod-input-validate",
            entry: "vod-step-functions",
            read: Op::s3("GetObject", "vod-source"),
            write: Op::s3("HeadObject", "vod-source"),
            step: Op::s3("HeadObject", "vod-source"),
            table: "vod-subscribers",
            bucket: "vod-archive",
            queue: "vod-billing",
            secret: "vod-drm-key",
            neighbour: "vod-sqs-publish",
        },
        Stage {
            function: "vod-dynamo",
            entry: "vod-step-functions",
            read: Op::dynamo("GetItem", "vod-assets"),
            write: Op::dynamo("UpdateItem", "vod-assets"),
            step: Op::dynamo("UpdateItem", "vod-assets"),
            table: "vod-subscribers",
            bucket: "vod-archive",
            queue: "vod-billing",
            secret: "vod-billing-token",
            neighbour: "vod-encode",
        },
    ],
    newcomer: spec(
        ("vod-recommend", Trigger::Schedule),
        (256, 340.0),
        ("vod.catalogue", 1),
        recommend,
        Op::dynamo("GetItem", "vod-presets"),
    ),
};

const FUNCTIONS: &[Spec] = &[
    spec(
        ("vod-step-functions", Trigger::Bucket("vod-source")),
        (128, 310.0),
        ("vod.workflow", 14),
        step_functions,
        Op::dynamo("GetItem", "vod-presets"),
    ),
    spec(
        ("vod-input-validate", Trigger::Direct),
        (128, 290.0),
        ("vod.ingest", 9),
        input_validate,
        Op::dynamo("GetItem", "vod-presets"),
    ),
    spec(
        ("vod-mediainfo", Trigger::Direct),
        (512, 880.0),
        ("vod.ingest", 6),
        mediainfo,
        Op::dynamo("GetItem", "vod-presets"),
    ),
    spec(
        ("vod-dynamo", Trigger::Direct),
        (128, 280.0),
        ("vod.store", 11),
        dynamo,
        Op::dynamo("PutItem", "vod-history"),
    ),
    spec(
        ("vod-profiler", Trigger::Direct),
        (128, 280.0),
        ("vod.process", 8),
        profiler,
        Op::new(Service::Ssm, "GetParameter", "vod-profiles"),
    ),
    spec(
        ("vod-encode", Trigger::Direct),
        (128, 300.0),
        ("vod.process", 17),
        encode,
        Op::s3("GetObject", "vod-templates"),
    ),
    spec(
        ("vod-output-validate", Trigger::Schedule),
        (256, 320.0),
        ("vod.publish", 10),
        output_validate,
        Op::s3("HeadObject", "vod-destination"),
    ),
    spec(
        ("vod-archive-source", Trigger::Direct),
        (128, 280.0),
        ("vod.publish", 4),
        archive_source,
        Op::dynamo("GetItem", "vod-retention"),
    ),
    spec(
        ("vod-media-package-assets", Trigger::Direct),
        (128, 300.0),
        ("vod.publish", 5),
        media_package_assets,
        Op::dynamo("GetItem", "vod-presets"),
    ),
    spec(
        ("vod-sqs-publish", Trigger::Direct),
        (128, 270.0),
        ("vod.publish", 3),
        sqs_publish,
        Op::dynamo("GetItem", "vod-routes"),
    ),
    spec(
        ("vod-sns-notification", Trigger::Direct),
        (128, 270.0),
        ("vod.publish", 6),
        sns_notification,
        Op::dynamo("GetItem", "vod-routes"),
    ),
    spec(
        ("vod-catalogue", http("GET", "/titles/")),
        (256, 350.0),
        ("vod.catalogue", 22),
        catalogue,
        Op::dynamo("Query", "vod-recommendations"),
    ),
    spec(
        ("vod-sweeper", Trigger::Schedule),
        (128, 260.0),
        ("vod.store", 2),
        sweeper,
        Op::dynamo("PutItem", "vod-history"),
    ),
];

/// Uploads that are not what they say.
const INVALID: f64 = 0.02;
/// Encodings that fail.
const FAILED: f64 = 0.01;

fn step_functions(run: &mut Run<'_>) -> Result<(), Failure> {
    let title = run.word(8);
    run.log(Info, 31, format!("workflow for {title} started"));
    run.start(Op::new(Service::StepFunctions, "StartExecution", "vod-ingest"), &["vod-input-validate"], 140.0)
}

fn input_validate(run: &mut Run<'_>) -> Result<(), Failure> {
    run.call(Op::s3("HeadObject", "vod-source"), 18.0)?;
    run.call(Op::s3("GetObject", "vod-source"), 30.0)?;
    if run.happens(INVALID) {
        run.log(Warning, 52, "metadata file is not valid".to_owned());
        return run.start(Op::publish("vod-errors"), &["vod-sns-notification"], 90.0);
    }
    run.next(&["vod-mediainfo"], 80.0);
    Ok(())
}

fn mediainfo(run: &mut Run<'_>) -> Result<(), Failure> {
    run.call(Op::s3("GetObject", "vod-source"), 120.0)?;
    run.think(420.0);
    let frames = 2_000 + run.rng.below(200_000);
    run.log(Info, 77, format!("mediainfo read {frames} frames"));
    run.next(&["vod-dynamo", "vod-profiler"], 90.0);
    Ok(())
}

fn dynamo(run: &mut Run<'_>) -> Result<(), Failure> {
    run.call(Op::dynamo("GetItem", "vod-assets"), 5.0)?;
    run.call(Op::dynamo("UpdateItem", "vod-assets"), 7.0).map(drop)
}

fn profiler(run: &mut Run<'_>) -> Result<(), Failure> {
    run.call(Op::dynamo("GetItem", "vod-assets"), 5.0)?;
    run.think(12.0);
    run.next(&["vod-encode"], 80.0);
    Ok(())
}

fn encode(run: &mut Run<'_>) -> Result<(), Failure> {
    run.call(Op::dynamo("GetItem", "vod-assets"), 5.0)?;
    run.call(Op::new(Service::MediaConvert, "GetJobTemplate", ""), 45.0)?;
    run.call(Op::new(Service::MediaConvert, "CreateJob", ""), 180.0)?;
    let job = run.word(10);
    run.log(Info, 93, format!("job {job} submitted"));
    run.next(&["vod-dynamo"], 80.0);
    // The encoder tells over the event bus.
    let minutes = run.rng.log_normal(4.0, 0.5);
    run.next(&["vod-output-validate"], minutes * 60_000.0);
    Ok(())
}

fn output_validate(run: &mut Run<'_>) -> Result<(), Failure> {
    run.call(Op::dynamo("GetItem", "vod-assets"), 5.0)?;
    run.call(Op::s3("ListObjectsV2", "vod-destination"), 30.0)?;
    if run.happens(FAILED) {
        run.log(Warning, 61, "encoding failed".to_owned());
        return run.start(Op::publish("vod-errors"), &["vod-sns-notification"], 90.0);
    }
    run.next(&["vod-archive-source", "vod-media-package-assets"], 80.0);
    Ok(())
}

fn archive_source(run: &mut Run<'_>) -> Result<(), Failure> {
    run.call(Op::s3("PutObjectTagging", "vod-source"), 22.0).map(drop)
}

fn media_package_assets(run: &mut Run<'_>) -> Result<(), Failure> {
    run.call(Op::new(Service::MediaPackage, "CreateAsset", ""), 160.0)?;
    run.next(&["vod-dynamo", "vod-sqs-publish", "vod-sns-notification"], 80.0);
    Ok(())
}

fn sqs_publish(run: &mut Run<'_>) -> Result<(), Failure> {
    run.call(Op::send("vod-workflow"), 12.0).map(drop)
}

fn sns_notification(run: &mut Run<'_>) -> Result<(), Failure> {
    run.call(Op::publish("vod-notifications"), 16.0).map(drop)
}

fn catalogue(run: &mut Run<'_>) -> Result<(), Failure> {
    let titles = 4 + run.rng.below(24);
    run.call_sized(Op::dynamo("Query", "vod-assets"), 9.0, Size::rows(titles))?;
    for _ in 0..run.rng.below(3) {
        run.call(Op::s3("GetObject", "vod-thumbnails"), 18.0)?;
    }
    Ok(())
}

fn sweeper(run: &mut Run<'_>) -> Result<(), Failure> {
    let stale = run.rng.below(40);
    run.call_sized(Op::dynamo("Query", "vod-assets"), 14.0, Size::rows(stale))?;
    for _ in 0..run.rng.below(4) {
        run.call(Op::s3("DeleteObject", "vod-scratch"), 15.0)?;
    }
    run.log(Info, 18, format!("{stale} assets looked at"));
    Ok(())
}

fn recommend(run: &mut Run<'_>) -> Result<(), Failure> {
    run.call_sized(Op::dynamo("Query", "vod-assets"), 14.0, Size::rows(60))?;
    run.call(Op::dynamo("PutItem", "vod-recommendations"), 7.0).map(drop)
}
