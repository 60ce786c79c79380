//! The detector against a small fleet of its own: twelve functions, three weeks, a day and night, rare paths, failures,
//! deploys. Then one thing happens.

use super::{
    observation::{Channel, Family, Key, Observation, Quantity, Risk, Source, Step, Touch},
    verdict::{Feature, PromiseState, Tier, Verdict},
    *,
};

mod news;
mod outside;

const START: Nanos = 20_700 * DAY;
const FUNCTIONS: u64 = 12;

/// `SplitMix64` (Steele et al. 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.next().is_multiple_of(n)
    }
}

/// One invocation, to be changed at will.
#[derive(Clone)]
struct Invocation {
    function: u64,
    version: &'static str,
    at: Nanos,
    touched: Vec<(Family, Risk, String, u32)>,
    duration_us: u64,
    rows: Option<u64>,
    cold: bool,
    failed: bool,
    complete: bool,
    channel: Channel,
    counted: Vec<(Quantity, u64)>,
}

fn hash(family: Family, name: &str) -> u64 {
    name.bytes().fold(family as u64, |hash, byte| mix(hash, u64::from(byte)))
}

impl Invocation {
    fn usual(function: u64, at: Nanos, random: &mut Random) -> Self {
        let mut touched = vec![
            (Family::Trigger, Risk::Read, "http".to_owned(), 1),
            (Family::Operation, Risk::Read, "dynamodb.GetItem".to_owned(), 1 + (random.next() % 3) as u32),
            (Family::Resource, Risk::Read, format!("table/orders-{}", function % 4), 1),
            (Family::Operation, Risk::Write, "dynamodb.PutItem".to_owned(), 1),
            (Family::Operation, Risk::Write, format!("sns.Publish-{function}"), 1),
        ];
        let failed = random.one_in(50);
        if failed {
            touched.truncate(3);
            touched.push((Family::Error, Risk::Read, "ThrottlingException".to_owned(), 1));
        }
        if random.one_in(700) {
            touched.push((Family::Operation, Risk::Write, format!("sqs.SendMessage-{}", random.next() % 3), 1));
        }
        let duration_us = (80_000.0 * (1.0 + random.unit() + 2.0 * random.unit().powi(8))) as u64;
        let cold = random.one_in(60);
        Self {
            function,
            version: "1",
            at,
            touched,
            duration_us,
            rows: None,
            cold,
            failed,
            complete: true,
            channel: Channel::Spans,
            counted: Vec::new(),
        }
    }

    fn observe(&self, detector: &mut Detector) -> Verdict {
        let source = Source { trace_id: [7; 16], ..Source::default() };
        let touches: Vec<Touch<'_>> = self
            .touched
            .iter()
            .map(|(family, risk, name, count)| {
                let key = Key { family: *family, risk: *risk, hash: hash(*family, name), name };
                Touch { key, count: *count, source }
            })
            .collect();
        let steps: Vec<Step> = touches
            .iter()
            .filter(|touch| matches!(touch.key.family, Family::Operation | Family::Destination))
            .map(|touch| Step { hash: touch.key.hash, repeat: touch.count })
            .collect();
        let mut quantities = vec![(Quantity::DurationUs, self.duration_us), (Quantity::Calls, steps.len() as u64)];
        quantities.extend(self.rows.map(|rows| (Quantity::Rows, rows)));
        if self.channel != Channel::Spans {
            quantities.clone_from(&self.counted);
        }
        detector.observe(&Observation {
            function: mix(1, self.function),
            function_name: "f",
            peers: 9,
            version: self.version,
            invocation_id: "i",
            channel: self.channel,
            instance: 0,
            start: self.at.saturating_sub(self.duration_us.saturating_mul(1000)),
            end: self.at,
            cold_start: self.cold,
            failed: self.failed,
            complete: self.complete,
            touches: &touches,
            steps: &steps,
            quantities: &quantities,
            resources: &[],
        })
    }

    fn touch(mut self, family: Family, risk: Risk, name: &str) -> Self {
        self.touched.push((family, risk, name.to_owned(), 1));
        self
    }
}

/// A whole invocation that shows nothing.
pub(super) fn plain(at: Nanos) -> Observation<'static> {
    Observation {
        function: 1,
        function_name: "f",
        peers: 0,
        version: "1",
        invocation_id: "i",
        channel: Channel::Spans,
        instance: 0,
        start: at,
        end: at,
        cold_start: false,
        failed: false,
        complete: true,
        touches: &[],
        steps: &[],
        quantities: &[],
        resources: &[],
    }
}

fn detector() -> Detector {
    Detector::new(Settings { budget_per_day: 1.0 / 7.0, max_functions: 1000 })
}

/// Plays `days`; `change` may alter any invocation. Returns function-days with a page and the number of verdicts of tier
/// queue or page.
fn play(
    detector: &mut Detector,
    random: &mut Random,
    days: std::ops::Range<u64>,
    mut change: impl FnMut(Invocation, u64) -> Invocation,
) -> (Vec<(u64, u64)>, u32) {
    let (mut paged, mut anomalies) = (Vec::new(), 0);
    for day in days {
        for minute in 0..1440 {
            let at = START + day * DAY + minute * MINUTE;
            let busy = 0.6 + 0.5 * ((minute as f64 / 1440.0) * std::f64::consts::TAU).sin();
            for function in 0..FUNCTIONS {
                let mut expected = busy * if function < 4 { 3.0 } else { 0.7 };
                while random.unit() < expected {
                    expected -= 1.0;
                    let at = at + random.next() % MINUTE;
                    let usual = Invocation::usual(function, at, random);
                    let verdict = change(usual, day).observe(detector);
                    anomalies += u32::from(verdict.is_anomaly());
                    if verdict.tier == Some(Tier::Page) && !paged.contains(&(day, function)) {
                        paged.push((day, function));
                    }
                }
            }
            detector.advance(at);
        }
    }
    (paged, anomalies)
}

fn trained(seed: u64) -> (Detector, Random) {
    let (mut detector, mut random) = (detector(), Random(seed));
    play(&mut detector, &mut random, 0..14, |usual, _| usual);
    (detector, random)
}

#[test]
fn what_is_benign_stays_within_the_budget() {
    let (mut pages, mut days) = (0, 0);
    for seed in 0..3 {
        let (mut detector, mut random) = trained(seed);
        let (paged, _) = play(&mut detector, &mut random, 14..28, |mut usual, day| {
            // A deploy that reads another table and is slower, and one that only has another number.
            if day >= 20 && usual.function == 2 {
                usual.version = "2";
                usual.duration_us = usual.duration_us * 13 / 10;
                usual = usual.touch(Family::Resource, Risk::Read, "table/vouchers");
            }
            if day >= 23 && usual.function == 5 {
                usual.version = "2";
            }
            usual
        });
        pages += paged.len();
        days += 14;
    }
    assert!(pages as f64 <= f64::from(days) / 7.0, "{pages} false pages in {days} days");
}

#[test]
fn what_a_compromised_function_does_is_noticed_at_once() {
    let (ready, _) = trained(7);
    assert_eq!(ready.promise().state, PromiseState::Active);
    let at = START + 14 * DAY + 11 * 60 * MINUTE;
    let usual = Invocation { failed: false, cold: false, ..Invocation::usual(1, at, &mut Random(3)) };
    let read = (Family::Operation, Risk::Read, "dynamodb.GetItem".to_owned(), 300);
    let mut repeated = usual.clone();
    repeated.touched[1] = read;
    let slow = Invocation { duration_us: 13_000_000, ..usual.clone() };
    #[rustfmt::skip]
    let table = [
        ("other table and other host", usual.clone().touch(Family::Resource, Risk::Read, "table/customers")
            .touch(Family::Destination, Risk::Egress, "evil.example"), Tier::Page, Feature::Novelty),
        ("role and secrets", usual.clone().touch(Family::Operation, Risk::Identity, "sts.AssumeRole")
            .touch(Family::Identity, Risk::Identity, "role/admin"), Tier::Page, Feature::Novelty),
        ("changes code", usual.clone().touch(Family::Operation, Risk::Control, "lambda.UpdateFunctionCode")
            .touch(Family::Edge, Risk::Control, "function/other"), Tier::Page, Feature::Novelty),
        ("only another host", usual.clone().touch(Family::Destination, Risk::Egress, "evil.example"), Tier::Queue, Feature::Novelty),
        ("the same call 300 times", repeated, Tier::Evidence, Feature::Repeats),
        ("a hundred times as long", slow, Tier::Evidence, Feature::Magnitude(Quantity::DurationUs)),
    ];
    for (name, attack, at_least, feature) in table {
        let mut detector = ready.clone();
        let verdict = attack.observe(&mut detector);
        assert!(verdict.tier >= Some(at_least), "{name}: {verdict:#?}");
        assert_eq!(verdict.evidence[0].feature, feature, "{name}: {verdict:#?}");
        let sum: f64 = verdict.evidence.iter().map(|row| row.bits).sum();
        assert!((sum - verdict.score).abs() < 1e-6, "{name}: the evidence adds up");
    }
    let mut detector = ready.clone();
    let ordinary = usual.observe(&mut detector);
    assert!(ordinary.tier.is_none() && ordinary.evidence.is_empty(), "{ordinary:?}");
    let without_payment = Invocation { touched: usual.touched[..4].to_vec(), ..usual };
    let verdict = without_payment.observe(&mut detector);
    assert!(verdict.score > 3.0, "a step that is nearly always there is not: {verdict:?}");
}

#[test]
fn an_anomaly_is_not_learned_and_a_person_can_say_that_it_is_expected() {
    let (mut detector, _) = trained(1);
    let at = START + 14 * DAY + 11 * 60 * MINUTE;
    let attack = Invocation::usual(1, at, &mut Random(3)).touch(Family::Resource, Risk::Read, "table/customers").touch(
        Family::Destination,
        Risk::Egress,
        "evil.example",
    );
    let mut verdict = attack.observe(&mut detector);
    for hour in 1..30 {
        verdict = Invocation { at: at + hour * 60 * MINUTE, ..attack.clone() }.observe(&mut detector);
    }
    assert!(verdict.is_anomaly(), "not after thirty times: {verdict:?}");
    let keys: Vec<_> = verdict.evidence.iter().filter_map(|row| row.key.clone()).collect();
    detector.accept(mix(1, 1), &keys);
    let verdict = Invocation { at: at + 31 * 60 * MINUTE, ..attack }.observe(&mut detector);
    assert!(!verdict.is_anomaly(), "{verdict:?}");
}

#[test]
fn an_incident_vetoes_what_was_about_to_be_learned() {
    let (mut detector, _) = trained(1);
    let at = START + 14 * DAY + 11 * 60 * MINUTE;
    let quiet = Invocation::usual(1, at, &mut Random(3)).touch(Family::Error, Risk::Read, "AccessDenied");
    let first = quiet.observe(&mut detector).score;
    detector.veto(mix(1, 1), at);
    let later = Invocation { at: at + 60 * MINUTE, ..quiet.clone() }.observe(&mut detector);
    assert!(later.score >= 0.9 * first, "{first} became {}", later.score);
    let mut other = trained(1).0;
    quiet.observe(&mut other);
    let learned = Invocation { at: at + 60 * MINUTE, ..quiet }.observe(&mut other);
    assert!(learned.score < 0.5 * first, "without a veto it is learned: {}", learned.score);
}

#[test]
fn what_a_person_calls_malicious_is_not_learned_until_they_take_it_back() {
    let (mut detector, _) = trained(1);
    let at = START + 14 * DAY + 11 * 60 * MINUTE;
    let quiet = Invocation::usual(1, at, &mut Random(3)).touch(Family::Error, Risk::Read, "AccessDenied");
    let first = quiet.observe(&mut detector).score;
    detector.forbid(mix(1, 1), at, at);
    let after = |days: u64, detector: &mut Detector| {
        detector.advance(at + days * DAY);
        Invocation { at: at + days * DAY, ..quiet.clone() }.observe(detector).score
    };
    let later = after(20, &mut detector);
    assert!(later >= 0.9 * first, "{first} became {later}");
    detector.pardon(mix(1, 1));
    let learned = after(24, &mut detector);
    assert!(learned < 0.5 * first, "learned like everything else: {learned}");
}

#[test]
fn what_is_expected_is_no_surprise_and_its_names_are_masked() {
    let (mut detector, _) = trained(1);
    detector.mask_names(Mask::new(|name| name.strip_prefix("ann").map(|rest| format!("[redacted]{rest}"))));
    let at = START + 14 * DAY + 11 * 60 * MINUTE;
    let usual = Invocation { failed: false, cold: false, ..Invocation::usual(1, at, &mut Random(5)) };
    let attack = |host: &str| usual.clone().touch(Family::Destination, Risk::Egress, host);
    assert!(attack("ann.evil.example").observe(&mut detector).is_anomaly());
    detector.expect(vec![Exception {
        id: 7,
        reach: Reach::Function(mix(1, 1)),
        feature: Feature::Novelty,
        family: Some(Family::Destination),
        pattern: "[redacted].evil.example".to_owned(),
        at_most: 0,
    }]);
    assert!(!attack("ann.evil.example").observe(&mut detector).is_anomaly());
    assert!(attack("other.example").observe(&mut detector).is_anomaly(), "and nothing else");
    let covered = detector.take_covered();
    assert_eq!(covered.iter().map(|(id, covered)| (*id, covered.invocations)).collect::<Vec<_>>(), [(7, 1)]);
    let portrait = detector.portrait(mix(1, 1), true).unwrap();
    let names: Vec<&str> = portrait.keys.iter().map(|key| key.name.as_str()).collect();
    assert!(names.contains(&"[redacted].evil.example") && !names.contains(&"ann.evil.example"), "{names:?}");
}

#[test]
fn a_young_function_does_not_page() {
    let (mut detector, _) = trained(1);
    let at = START + 14 * DAY;
    for n in 0..50 {
        let verdict = Invocation::usual(77, at + n * MINUTE, &mut Random(n))
            .touch(Family::Destination, Risk::Egress, &format!("host-{n}.example"))
            .observe(&mut detector);
        assert!(verdict.tier < Some(Tier::Page), "invocation {n}: {verdict:?}");
    }
}

#[test]
fn an_outage_that_everybody_has_suspends_the_promise() {
    let (mut detector, mut random) = trained(4);
    let (paged, _) = play(&mut detector, &mut random, 14..15, |usual, _| {
        let outage = START + 14 * DAY + 600 * MINUTE;
        if (outage..outage + 30 * MINUTE).contains(&usual.at) {
            let mut usual = usual.touch(Family::Error, Risk::Read, "ServiceUnavailable").touch(
                Family::Destination,
                Risk::Egress,
                "fallback.example",
            );
            usual.duration_us = 30_000_000;
            return usual;
        }
        usual
    });
    assert!(matches!(detector.promise().state, PromiseState::Suspended { .. }));
    assert!(paged.len() <= 4 + 3, "pages are capped: {paged:?}");
}

#[test]
fn what_was_learned_survives_a_restart() {
    let (mut before, _) = trained(5);
    let mut records = Vec::new();
    before.snapshot_dirty(&mut |key, value| records.push((key.to_vec(), value.to_vec())));
    let mut after = detector();
    for (key, value) in &records {
        after.restore(key, value).unwrap();
    }
    assert_eq!(after.functions(), before.functions());
    assert_eq!(after.promise(), before.promise());
    let mut none = 0;
    after.snapshot_dirty(&mut |_, _| none += 1);
    assert_eq!(none, 0, "nothing has changed");
    let mut all = 0;
    after.snapshot(&mut |_, _| all += 1);
    assert_eq!(all, records.len(), "all of it, though nothing has changed");
    for n in 0..200 {
        let mut random = Random(n);
        let at = START + 14 * DAY + n * MINUTE;
        let mut next = Invocation::usual(n % FUNCTIONS, at, &mut random);
        if n % 20 == 0 {
            next = next.touch(Family::Destination, Risk::Egress, "evil.example");
        }
        let (a, b) = (next.observe(&mut before), next.observe(&mut after));
        assert_eq!((a.score.to_bits(), a.tier), (b.score.to_bits(), b.tier), "invocation {n}");
    }
}

#[test]
fn damaged_records_are_refused_and_do_no_harm() {
    let mut before = detector();
    play(&mut before, &mut Random(1), 0..1, |usual, _| usual);
    let mut records = Vec::new();
    before.snapshot_dirty(&mut |key, value| records.push((key.to_vec(), value.to_vec())));
    let (key, record) = &records[0];
    let mut after = detector();
    for place in 0..record.len() {
        let mut damaged = record.clone();
        damaged[place] ^= 0x40;
        assert!(after.restore(key, &damaged).is_err(), "changed at {place}");
        assert!(after.restore(key, &record[..place]).is_err(), "cut at {place}");
    }
    assert!(after.restore(b"what", record).is_err());
    assert_eq!(after.functions(), 0);
    after.restore(key, record).unwrap();
}

#[test]
fn no_time_breaks_the_clock() {
    let (mut detector, _) = trained(2);
    let days = detector.promise().days;
    for at in [0, 1, u64::MAX, u64::MAX - 1, START + 4000 * DAY, START] {
        Invocation::usual(3, at, &mut Random(at)).observe(&mut detector);
        detector.advance(at.min(START + 15 * DAY));
    }
    assert!(detector.promise().days <= days + 2);
    assert!(detector.counters().absurd_times >= 4);
}

#[test]
fn nothing_grows_without_bound() {
    let mut detector = Detector::new(Settings { budget_per_day: 1.0, max_functions: 50 });
    let mut random = Random(1);
    for n in 0..20_000 {
        let invocation = Invocation::usual(n % 300, START + n * SECOND, &mut random)
            .touch(Family::Resource, Risk::Read, &format!("bucket/{n}"))
            .touch(Family::Operation, Risk::Read, &format!("op-{}", n % 5000));
        invocation.observe(&mut detector);
    }
    assert!(detector.functions() <= 50);
    assert!(detector.counters().functions_forgotten > 200);
    let one = Invocation::usual(1, START + 30_000 * SECOND, &mut random);
    for n in 0..20_000 {
        let touched = one.clone().touch(Family::Resource, Risk::Read, &format!("bucket/{n}"));
        Invocation { at: one.at + n * SECOND, ..touched }.observe(&mut detector);
    }
    let mut largest = 0;
    detector.snapshot_dirty(&mut |key, value| {
        if key[0] == b'f' && key.len() == 9 {
            largest = largest.max(value.len());
        }
    });
    assert!(largest < 40_000, "{largest} bytes");
    let last = Invocation { at: one.at + 20_001 * SECOND, ..one }.touch(Family::Resource, Risk::Read, "bucket/new");
    assert!(!last.observe(&mut detector).is_anomaly(), "a function that meets new buckets all the time");
}

#[test]
fn a_snapshot_of_a_version_that_knew_less_still_loads() {
    let (mut before, _) = trained(5);
    let (mut records, mut after) = (Vec::new(), detector());
    before.snapshot_dirty(&mut |key, value| records.push((key.to_vec(), value.to_vec())));
    for (key, value) in &records {
        after.restore(key, &saved::as_first_written(value)).unwrap();
    }
    assert_eq!(after.functions(), before.functions());
    let next = Invocation { failed: false, cold: false, ..Invocation::usual(1, START + 14 * DAY, &mut Random(3)) };
    let slow = Invocation { duration_us: 13_000_000, ..next.clone() };
    let news = next.touch(Family::Destination, Risk::Egress, "evil.example");
    for (changed, feature) in [(slow, Feature::Magnitude(Quantity::DurationUs)), (news, Feature::Novelty)] {
        let verdict = changed.observe(&mut after);
        assert_eq!(verdict.evidence.first().map(|row| row.feature), Some(feature), "{verdict:#?}");
        assert!(verdict.sample_size > 1000);
    }
}

#[test]
fn what_is_done_without_says_nothing() {
    let (trained, mut random) = trained(7);
    let new = Invocation::usual(1, trained.clock + MINUTE, &mut random);
    let new = new.touch(Family::Operation, Risk::Identity, "iam.CreateAccessKey");
    let much = Invocation { duration_us: 60_000_000, failed: false, ..Invocation::usual(1, new.at, &mut random) };
    let cases = [("touched", new, Part::Touched), ("magnitude", much, Part::Magnitude)];
    for (name, invocation, part) in cases {
        let score = |part: Option<Part>| {
            let mut detector = trained.clone();
            detector.do_without(part);
            invocation.observe(&mut detector).score
        };
        let (whole, without) = (score(None), score(Some(part)));
        // The hour notices long invocations too.
        assert!(without + 2.0 < whole, "{name}: {whole} bits, {without} without");
        let others = Part::ALL.into_iter().filter(|other| *other != part);
        let least = others.map(|other| score(Some(other))).fold(f64::MAX, f64::min);
        assert!(least > without, "{name}: {least} bits with it");
    }
}

#[test]
fn without_quarantine_what_was_seen_often_enough_is_no_news() {
    let score_after = |part: Option<Part>| {
        let (mut detector, mut random) = trained(8);
        detector.do_without(part);
        let mut last = 0.0;
        for n in 0..40 {
            let invocation = Invocation::usual(1, detector.clock + MINUTE * (n % 2 + 1), &mut random);
            let verdict = invocation.touch(Family::Operation, Risk::Identity, "iam.ListUsers").observe(&mut detector);
            last = verdict.score;
        }
        last
    };
    let (with, without) = (score_after(None), score_after(Some(Part::Quarantine)));
    assert!(without < with / 2.0, "{with} bits with, {without} without");
}
