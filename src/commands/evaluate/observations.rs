//! `sekisho evaluate --observations FOLDER`: what the detector is told, a JSON line for each observation, with its verdict
//! and the truth, so that other detectors can be tried on the same. `benches/baselines` does.
//!
//! The same accounts as in the evaluation, but assembler and detector alone: no incidents, hence nothing that they veto.
//! `quiet-SEED.jsonl` is ordinary weeks, then as many days again as are needed to count false alarms; `attacks-SEED.jsonl`
//! is what the functions of each attack show in a future of its own that branches off before those last days.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
};

use serde::Serialize;

use super::{
    Plan,
    fleet::{self, AFTERMATH},
    judge::HORIZON,
};
use crate::{
    detect::{
        Detector, Settings,
        observation::{Channel, Nanos, Observation},
        verdict::{Tier, Verdict},
    },
    faas::assembler::{self, Assembler},
    otlp::{Batch, Signal},
    testbed::{
        Attack, Simulation,
        attacks::catalogue::{Behaviour, Intensity},
        benign::DAY,
    },
};

/// Ordinary days after the morning of the attacks.
const QUIET_DAYS: u64 = 14;

/// One observation. Fields are short because there are many.
#[derive(Debug, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "four facts, each of its own")]
struct Line {
    /// Of an attack: the catalogue's number and the intensity.
    #[serde(skip_serializing_if = "Option::is_none")]
    attack: Option<String>,
    /// Nanoseconds since 1970, when it ended.
    at: Nanos,
    /// `faas.name`.
    function: String,
    channel: u8,
    cold: bool,
    failed: bool,
    complete: bool,
    /// Family, hash of the key (as text: it has 64 bits), count.
    touches: Vec<(u8, String, u32)>,
    /// Hashes of the operations in order.
    steps: Vec<String>,
    quantities: Vec<(u8, u64)>,
    score: f64,
    /// 0 nothing, 1 evidence, 2 queue, 3 page.
    tier: u8,
    malicious: bool,
}

/// Assembler and detector in step.
#[derive(Clone, Debug)]
pub struct Watch {
    assembler: Assembler,
    detector: Detector,
}

impl Watch {
    /// Knows nothing yet.
    pub fn new(budget_per_day: f64) -> Self {
        let settings = Settings { budget_per_day, max_functions: 1000 };
        Self { assembler: Assembler::new(assembler::Settings::default()), detector: Detector::new(settings) }
    }

    /// Learns from a request; `told` hears of each observation.
    pub fn see(&mut self, batch: &Batch, told: &mut impl FnMut(&Observation<'_>, &Verdict)) {
        let Self { assembler, detector } = self;
        let mut judge = |invocation: assembler::Invocation<'_>| {
            let verdict = detector.observe(&invocation.observation);
            told(&invocation.observation, &verdict);
        };
        match batch.signal {
            Signal::Traces => assembler.traces(&batch.body, &mut judge),
            Signal::Logs => assembler.logs(&batch.body, &mut judge),
            Signal::Metrics => assembler.metrics(&batch.body, &mut judge),
        }
        detector.advance(assembler.watermark());
        // What has waited for others raises incidents, of which there are none here.
        let _ = detector.take_due();
    }
}

/// Writes one account's two files. `done` is told of each day and attack.
pub fn write(seed: u64, plan: &Plan, folder: &Path, done: &(dyn Fn() + Sync)) -> std::io::Result<()> {
    let open = |name: &str| File::create(folder.join(format!("{name}-{seed}.jsonl"))).map(BufWriter::new);
    let (mut quiet, mut attacks) = (open("quiet")?, open("attacks")?);
    let (mut simulation, until) = fleet::begin(seed, plan);
    let mut watch = Watch::new(plan.budget_per_day);
    live(&mut simulation, &mut watch, until, &mut quiet, done)?;
    for (number, behaviour) in plan.behaviours.iter().enumerate() {
        for intensity in Intensity::ALL {
            let branch = (simulation.clone(), watch.clone());
            suffer(branch, seed, until, plan, (number, behaviour), intensity, &mut attacks)?;
            done();
        }
    }
    let until = until + QUIET_DAYS * DAY;
    simulation.extend(until);
    live(&mut simulation, &mut watch, until, &mut quiet, done)?;
    quiet.flush()?;
    attacks.flush()
}

/// Days and attacks of one account.
pub fn steps(plan: &Plan) -> u64 {
    u64::from(plan.days) + QUIET_DAYS + plan.behaviours.len() as u64 * Intensity::ALL.len() as u64
}

fn live(
    simulation: &mut Simulation,
    watch: &mut Watch,
    until: Nanos,
    out: &mut impl Write,
    done: &(dyn Fn() + Sync),
) -> std::io::Result<()> {
    let mut day = 0;
    while let Some(delivery) = simulation.next_before(until) {
        let mut lines = Vec::new();
        watch.see(&delivery.batch, &mut |seen, verdict| lines.push(line(seen, verdict)));
        for line in lines {
            put(out, &line)?;
        }
        if delivery.at / DAY > day {
            if day > 0 {
                done();
            }
            day = delivery.at / DAY;
        }
    }
    Ok(())
}

fn suffer(
    (mut simulation, mut watch): (Simulation, Watch),
    seed: u64,
    morning: Nanos,
    plan: &Plan,
    (number, behaviour): (usize, &Behaviour),
    intensity: Intensity,
    out: &mut impl Write,
) -> std::io::Result<()> {
    let placed = fleet::stage(&mut simulation, seed, morning, plan, (number, behaviour), intensity);
    let Some((stage, begins)) = placed else { return Ok(()) };
    let index = simulation.attack(behaviour.campaign(stage, intensity), begins);
    simulation.extend(begins + 4 * DAY);
    let mut seen_all = Vec::new();
    loop {
        let ends = simulation.truth().attacks.get(index).map_or(0, |attack| attack.ends);
        let Some(delivery) = simulation.next_before(ends + AFTERMATH) else { break };
        watch.see(&delivery.batch, &mut |seen, verdict| {
            seen_all.push((line(seen, verdict), seen.invocation_id.to_owned()));
        });
    }
    let Some(attack) = simulation.truth().attacks.get(index) else { return Ok(()) };
    for (line, id) in &mut seen_all {
        line.malicious = is_of(line, id, attack);
    }
    let about: Vec<String> =
        seen_all.iter().filter(|(line, _)| line.malicious).map(|(line, _)| line.function.clone()).collect();
    for (mut line, _) in seen_all.into_iter().filter(|(line, _)| about.contains(&line.function)) {
        line.attack = Some(format!("{} {}", behaviour.id, intensity.name()));
        put(out, &line)?;
    }
    Ok(())
}

/// Whether an observation is of an attack: of one of its invocations, or, where the platform, a service or a metric
/// speaks, of its function at its time.
fn is_of(line: &Line, id: &str, attack: &Attack) -> bool {
    let outside = line.channel > Channel::Platform as u8 || attack.invocations.is_empty();
    let in_time = line.at >= attack.begins && line.at <= attack.ends.saturating_add(HORIZON);
    attack.invocations.iter().any(|known| known == id) || outside && in_time && line.function == attack.function
}

fn line(seen: &Observation<'_>, verdict: &Verdict) -> Line {
    Line {
        attack: None,
        at: seen.end,
        function: seen.function_name.to_owned(),
        channel: seen.channel as u8,
        cold: seen.cold_start,
        failed: seen.failed,
        complete: seen.complete,
        touches: seen.touches.iter().map(|t| (t.key.family as u8, format!("{:x}", t.key.hash), t.count)).collect(),
        steps: seen.steps.iter().map(|step| format!("{:x}", step.hash)).collect(),
        quantities: seen.quantities.iter().map(|(quantity, value)| (*quantity as u8, *value)).collect(),
        score: verdict.standardised,
        tier: match verdict.tier {
            None => 0,
            Some(Tier::Evidence) => 1,
            Some(Tier::Queue) => 2,
            Some(Tier::Page) => 3,
        },
        malicious: false,
    }
}

fn put(out: &mut impl Write, line: &Line) -> std::io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}
