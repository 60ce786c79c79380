//! `sekisho report FILE…`: what people would have been told, from alerts in OTLP JSON lines: those that `mode: observe` has
//! kept, or what a file exporter wrote.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::File,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::Args;
use serde_json::{Value, json};

use super::{Failure, Output};
use crate::{
    exporters::alert::{Alert, State, Tier},
    otlp::{self, Signal, time::rfc3339},
};

/// Longest line that is read.
const LONGEST_LINE: u64 = 64 << 20;
const DAY: f64 = 86_400e9;

/// What is asked.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Files of alerts: `anomaly.observed.jsonl` in the state's directory, or what a file exporter wrote
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Only what was said in so long a time, such as 14d
    #[arg(long, value_name = "TIME", value_parser = duration)]
    since: Option<Duration>,
    /// For people, or for programs
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// A number and `m`, `h`, `d` or `w`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "must be a number and m, h, d or w, such as 14d".to_owned();
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let seconds = match unit {
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
}

/// Reads and tells.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let since = arguments.since.map_or(0, |since| now.saturating_sub(since).as_nanos() as u64);
    let mut told = Told::default();
    for path in &arguments.files {
        let failed = |why: String| Failure::Work(format!("{}: {why}", path.display()));
        let mut lines = BufReader::new(File::open(path).map_err(|error| failed(error.to_string()))?);
        for number in 1_u64.. {
            let mut line = Vec::new();
            let read = lines.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line);
            if read.map_err(|error| failed(error.to_string()))? == 0 {
                break;
            }
            let request = otlp::json::to_protobuf(Signal::Logs, line.trim_ascii());
            let request = request.map_err(|error| failed(format!("line {number}: {error}")))?;
            Alert::all(&request).flatten().filter(|alert| alert.observed >= since).for_each(|alert| told.hear(alert));
        }
    }
    let text = match arguments.output {
        Output::Text => told.text(),
        Output::Json => format!("{:#}\n", told.json()),
    };
    write!(std::io::stdout(), "{text}").map_err(|error| Failure::Work(error.to_string()))
}

/// An incident, over all that was said of it.
struct Incident {
    latest: Alert,
    words: u64,
}

/// All that was said.
#[derive(Default)]
struct Told {
    incidents: BTreeMap<String, Incident>,
    /// Gateway's time of the first word and the last.
    span: Option<(u64, u64)>,
}

impl Told {
    fn hear(&mut self, alert: Alert) {
        let (first, last) = self.span.unwrap_or((alert.observed, alert.observed));
        self.span = Some((first.min(alert.observed), last.max(alert.observed)));
        let known = self.incidents.remove(&alert.id);
        let words = known.as_ref().map_or(1, |known| known.words + 1);
        // Files may be given in any order; the tier never falls.
        let latest = match known {
            Some(Incident { latest, .. }) if latest.observed > alert.observed => {
                Alert { tier: latest.tier.max(alert.tier), ..latest }
            }
            Some(Incident { latest, .. }) => Alert { tier: latest.tier.max(alert.tier), ..alert },
            None => alert,
        };
        self.incidents.insert(latest.id.clone(), Incident { latest, words });
    }

    /// By when it began.
    fn rows(&self) -> Vec<&Incident> {
        let mut rows: Vec<&Incident> = self.incidents.values().collect();
        rows.sort_by_key(|one| (one.latest.first_seen, one.latest.id.clone()));
        rows
    }

    fn count(&self, tier: Tier) -> usize {
        self.incidents.values().filter(|one| one.latest.tier == tier).count()
    }

    fn text(&self) -> String {
        let Some((first, last)) = self.span else { return "nobody would have been told of anything\n".to_owned() };
        let (pages, queued) = (self.count(Tier::Page), self.count(Tier::Queue));
        let mut out =
            format!("from {} to {}: {pages} pages, {queued} for the day's work", rfc3339(first), rfc3339(last));
        let days = (last - first) as f64 / DAY;
        if days >= 1.0 {
            let _ = write!(out, "; {:.2} pages a week", pages as f64 * 7.0 / days);
        }
        out.push_str("\n\n");
        for Incident { latest, words } in self.rows() {
            let over = if latest.state == State::Resolved { "over" } else { "open" };
            let _ = writeln!(
                out,
                "{}  {:<5}  {:>3}  {over}  {}  {} ({words} words, {})",
                rfc3339(latest.first_seen),
                latest.tier.name(),
                latest.priority,
                latest.function,
                latest.headline,
                latest.id,
            );
        }
        out
    }

    fn json(&self) -> Value {
        let incidents = self.rows().into_iter().map(|Incident { latest, words }| {
            json!({
                "id": latest.id, "tier": latest.tier.name(), "priority": latest.priority, "state": latest.state.name(),
                "function": latest.function, "headline": latest.headline, "words": words,
                "first_seen": rfc3339(latest.first_seen), "last_seen": rfc3339(latest.last_seen),
                "techniques": latest.techniques,
            })
        });
        json!({
            "from": self.span.map(|(first, _)| rfc3339(first)),
            "to": self.span.map(|(_, last)| rfc3339(last)),
            "pages": self.count(Tier::Page),
            "queued": self.count(Tier::Queue),
            "incidents": incidents.collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exporters::alert::sample::{alert, batch, record};

    #[test]
    fn incidents_are_counted_once_and_at_their_highest() {
        let mut told = Told::default();
        assert!(told.text().contains("nobody"));
        let words = [
            alert("inc-2", "opened", "queue"),
            batch(vec![record("inc-1", "opened", "queue"), record("inc-1", "updated", "page")]),
            alert("inc-1", "resolved", "queue"),
        ];
        words.iter().flat_map(|batch| Alert::all(&batch.body)).flatten().for_each(|alert| told.hear(alert));
        let text = told.text();
        assert!(text.contains("1 pages, 1 for the day's work"), "{text}");
        assert!(text.contains("page    83  over  checkout") && text.contains("(3 words, inc-1)"), "{text}");
        let json = told.json();
        assert_eq!((&json["pages"], &json["incidents"][0]["state"]), (&json!(1), &json!("resolved")));
    }

    #[test]
    fn times_are_read() {
        assert_eq!(duration("14d"), Ok(Duration::from_hours(14 * 24)));
        for wrong in ["", "d", "14", "14y", "-1d", "99999999999999999999d", "é"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
