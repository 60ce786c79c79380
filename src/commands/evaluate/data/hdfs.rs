//! HDFS sessions as invocations: each event is an operation, each session one execution of one function. Learned from
//! normal sessions only; the line is drawn on a part of those that was not learned from.

use std::{fmt::Write as _, path::Path};

use super::archive::unpack_text;
use crate::{
    detect::{
        Detector, Settings,
        observation::{Channel, Family, Key, Nanos, Observation, Quantity, Risk, Source, Step, Touch},
    },
    faas::intern::stable_hash,
};

/// Learned sessions are spread over so many days.
const DAYS: u64 = 28;
const DAY: Nanos = 86_400_000_000_000;
const START: Nanos = 1_600_000_000_000_000_000;
/// One in so many normal sessions is kept for the line.
const KEPT: usize = 5;
/// Of those, this share may lie above it.
const ABOVE: f64 = 0.002;

/// A session: its events in order.
type Session = Vec<u32>;

/// What became of it, as Markdown.
pub fn evaluate(folder: &Path) -> Result<String, String> {
    let normal: Vec<Session> = unpack_text(&folder.join("hdfs_train.zst"))?.lines().map(events).collect();
    let labelled = unpack_text(&folder.join("robust_log_valid.csv.zst"))?;
    let labelled: Vec<(Session, bool)> = labelled.lines().skip(1).filter_map(labelled_session).collect();
    if normal.is_empty() || labelled.is_empty() {
        return Err("there are no sessions".to_owned());
    }
    let (detector, line, learned) = learn(&normal);
    let mut found = Found::default();
    let mut scores: Vec<(f64, bool)> = Vec::new();
    for (session, anomalous) in &labelled {
        let score = score(&detector, session);
        scores.push((score, *anomalous));
        found.count(score > line, *anomalous);
    }
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{learned} normal sessions learned, the line drawn on {} more at one in {:.0}. {} labelled sessions: precision \
         {:.4}, recall {:.4}, **F1 {:.4}** (published on the full test set: DeepLog 0.9454, LogAnomaly 0.9757). At 93 % \
         recall {:.2} % of the normal sessions are above.\n",
        normal.len() - learned,
        1.0 / ABOVE,
        labelled.len(),
        found.precision(),
        found.recall(),
        found.f1(),
        100.0 * false_alarms_at(0.93, &mut scores)
    );
    Ok(out)
}

/// A detector that has seen the normal sessions, the line, and how many were learned.
fn learn(normal: &[Session]) -> (Detector, f64, usize) {
    let mut detector = Detector::new(Settings { budget_per_day: 1.0 / 7.0, max_functions: 10 });
    let apart = DAYS * DAY / normal.len().max(1) as u64;
    let is_kept = |number: usize| number % KEPT == KEPT - 1;
    let mut learned = 0;
    for (number, session) in normal.iter().enumerate().filter(|(number, _)| !is_kept(*number)) {
        observe(&mut detector, session, START + number as u64 * apart);
        learned += 1;
    }
    detector.advance(START + (DAYS + 1) * DAY);
    let kept = normal.iter().enumerate().filter(|(number, _)| is_kept(*number));
    let mut scores: Vec<f64> = kept.map(|(_, session)| score(&detector, session)).collect();
    scores.sort_by(|a, b| b.total_cmp(a));
    let line = scores.get((scores.len() as f64 * ABOVE) as usize).copied().unwrap_or(0.0);
    (detector, line, learned)
}

/// What a session would be given; nothing is learned of it.
fn score(detector: &Detector, session: &Session) -> f64 {
    observe(&mut detector.clone(), session, START + (DAYS + 1) * DAY)
}

fn observe(detector: &mut Detector, session: &Session, at: Nanos) -> f64 {
    let names: Vec<String> = session.iter().map(|event| format!("event.E{event}")).collect();
    let (mut touches, mut steps): (Vec<Touch<'_>>, Vec<Step>) = (Vec::new(), Vec::new());
    for name in &names {
        let hash = stable_hash(name);
        let key = Key { family: Family::Operation, risk: Risk::Read, hash, name };
        match touches.iter_mut().find(|touch| touch.key.hash == hash) {
            Some(touch) => touch.count += 1,
            None => touches.push(Touch { key, count: 1, source: Source::default() }),
        }
        match steps.last_mut() {
            Some(last) if last.hash == hash => last.repeat += 1,
            _ => steps.push(Step { hash, repeat: 1 }),
        }
    }
    let quantities = [(Quantity::Calls, session.len() as u64)];
    let observation = Observation {
        function: 1,
        function_name: "hdfs",
        peers: 0,
        version: "1",
        invocation_id: "session",
        channel: Channel::Spans,
        instance: 0,
        start: at,
        end: at,
        cold_start: false,
        failed: false,
        complete: true,
        touches: &touches,
        steps: &steps,
        quantities: &quantities,
        resources: &[],
    };
    detector.observe(&observation).score
}

fn events(line: &str) -> Session {
    line.split_whitespace().filter_map(|event| event.parse().ok()).collect()
}

fn labelled_session(line: &str) -> Option<(Session, bool)> {
    let (session, label) = line.rsplit_once(',')?;
    Some((events(session.trim_matches('"')), label.trim() != "0"))
}

/// The share of normal sessions at or above the line that finds this share of the others.
fn false_alarms_at(recall: f64, scores: &mut [(f64, bool)]) -> f64 {
    scores.sort_by(|a, b| b.0.total_cmp(&a.0));
    let anomalous = scores.iter().filter(|(_, anomalous)| *anomalous).count();
    let wanted = (anomalous as f64 * recall).ceil() as usize;
    let line = scores.iter().filter(|(_, anomalous)| *anomalous).nth(wanted.saturating_sub(1)).map_or(0.0, |s| s.0);
    let normal = || scores.iter().filter(|(_, anomalous)| !anomalous);
    normal().filter(|(score, _)| *score >= line).count() as f64 / normal().count().max(1) as f64
}

/// How a line divides what is labelled.
#[derive(Clone, Copy, Debug, Default)]
struct Found {
    hits: u64,
    false_alarms: u64,
    misses: u64,
}

impl Found {
    fn count(&mut self, alarm: bool, anomalous: bool) {
        self.hits += u64::from(alarm && anomalous);
        self.false_alarms += u64::from(alarm && !anomalous);
        self.misses += u64::from(!alarm && anomalous);
    }

    fn precision(&self) -> f64 {
        self.hits as f64 / (self.hits + self.false_alarms).max(1) as f64
    }

    fn recall(&self) -> f64 {
        self.hits as f64 / (self.hits + self.misses).max(1) as f64
    }

    fn f1(&self) -> f64 {
        let (precision, recall) = (self.precision(), self.recall());
        if precision + recall > 0.0 { 2.0 * precision * recall / (precision + recall) } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_never_seen_is_above_the_line_and_what_was_is_below() {
        let normal: Vec<Session> =
            (0..500).map(|n| if n % 3 == 0 { vec![5, 5, 22, 9] } else { vec![5, 22, 5, 9] }).collect();
        let (detector, line, learned) = learn(&normal);
        assert_eq!(learned, 400);
        for (session, above) in [(vec![5, 5, 22, 9], false), (vec![5, 22, 5, 9], false), (vec![5, 22, 5, 40], true)] {
            assert_eq!(score(&detector, &session) > line, above, "{session:?}");
        }
    }

    #[test]
    fn measures_are_what_they_are_called() {
        let mut found = Found::default();
        for (alarm, anomalous) in [(true, true), (true, true), (true, false), (false, true), (false, false)] {
            found.count(alarm, anomalous);
        }
        assert!((found.f1() - 2.0 / 3.0).abs() < 1e-12);
        let mut scores = [(9.0, true), (8.0, false), (7.0, true), (1.0, false), (0.5, false), (0.0, false)];
        assert!((false_alarms_at(1.0, &mut scores) - 0.25).abs() < 1e-12);
        assert_eq!(labelled_session("5 22 5,1"), Some((vec![5, 22, 5], true)));
    }
}
