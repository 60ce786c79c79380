//! What a newcomer sees: progress, each incident as it is raised, and the table at the end.
//!
//! Incidents and table go to stdout in plain text, progress to stderr: a bar on a terminal, elsewhere a line a day.

use std::{
    fmt::Write as _,
    io::Write as _,
    sync::atomic::{AtomicU64, Ordering},
};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};

use super::{
    alert::{Alert, State},
    report::{AttackFound, Report},
};
use crate::detect::observation::Nanos;

const DAY: Nanos = 86_400_000_000_000;

/// Where the demo speaks.
#[derive(Debug)]
pub struct Screen {
    bar: ProgressBar,
    start: Nanos,
    days: u32,
    /// Days already reported where there is no bar.
    reported: AtomicU64,
}

impl Screen {
    /// A screen for `days` days that begin at `start`.
    pub fn new(start: Nanos, days: u32) -> Self {
        let style = ProgressStyle::with_template("{bar:30} {msg} {elapsed}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::new(u64::from(days) * DAY).with_style(style);
        Self { bar, start, days, reported: AtomicU64::new(0) }
    }

    /// How far the simulation has come.
    pub fn progress(&self, at: Nanos, spans: u64) {
        let passed = at.saturating_sub(self.start);
        let day = (passed / DAY).min(u64::from(self.days.saturating_sub(1)));
        let message = format!("day {} of {}, {} spans", day + 1, self.days, HumanCount(spans));
        if !self.bar.is_hidden() {
            self.bar.set_position(passed);
            self.bar.set_message(message);
        } else if self.reported.fetch_max(day + 1, Ordering::Relaxed) < day + 1 {
            let _ = writeln!(std::io::stderr(), "{message}");
        }
    }

    /// Says what an alert says, if somebody would be told.
    pub fn raised(&self, alert: &Alert) {
        if alert.calls_for_attention() {
            self.print(&incident(alert, self.start));
        }
    }

    /// Ends the progress and prints the table.
    pub fn finish(&self, report: &Report, budget: &str) {
        self.bar.finish_and_clear();
        self.print(&table(report, self.days, budget));
    }

    /// Prints some lines between two states of the bar. A closed stdout is the reader's choice, not an error.
    pub fn print(&self, text: &str) {
        self.bar.suspend(|| {
            let mut out = std::io::stdout().lock();
            let _ = out.write_all(text.as_bytes());
            let _ = out.flush();
        });
    }
}

/// `day 14 03:17  PAGE   get-loyalty: …`
fn incident(alert: &Alert, start: Nanos) -> String {
    let passed = alert.raised().saturating_sub(start);
    let (hours, minutes) = (passed % DAY / 3_600_000_000_000, passed % 3_600_000_000_000 / 60_000_000_000);
    let more = if alert.state == State::Updated { "more on " } else { "" };
    format!(
        "day {:>2} {hours:02}:{minutes:02}  {:<5}  {more}{}  {}\n",
        passed / DAY + 1,
        alert.tier.name().to_uppercase(),
        alert.incident,
        alert.headline,
    )
}

fn table(report: &Report, days: u32, budget: &str) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "\n{}", row(["attack", "on", "detected", "tier", "after", "invocations"]));
    for attack in &report.attacks {
        let _ = writeln!(out, "{}", attack_row(attack));
        if let Some(headline) = &attack.headline {
            let _ = writeln!(out, "    {headline}");
        }
    }
    let detected = report.attacks.iter().filter(|attack| attack.detected).count();
    let _ = writeln!(out, "\n{detected} of {} attacks detected.", report.attacks.len());
    let pages = plural(report.false_pages, "false page", "false pages");
    let _ = writeln!(out, "{pages} in {days} days; the budget is {budget}.");
    for benign in &report.benign {
        let _ = writeln!(out, "  {:<24} {}", benign.id, plural(benign.false_pages, "false page", "false pages"));
    }
    let (spans, rate) = (HumanCount(report.spans), HumanCount(report.spans_per_second as u64));
    let _ = writeln!(out, "{spans} spans over {:.0} function-days, {rate} a second.", report.function_days);
    out
}

fn attack_row(attack: &AttackFound) -> String {
    let (detected, tier) = (if attack.detected { "yes" } else { "NO" }, attack.tier.as_deref().unwrap_or("-"));
    let after = attack.seconds_to_detect.map_or("-".to_owned(), duration);
    let invocations = attack.invocations_to_detect.map_or("-".to_owned(), |count| count.to_string());
    row([&attack.id, &attack.function, detected, tier, &after, &invocations])
}

fn row([id, function, detected, tier, after, invocations]: [&str; 6]) -> String {
    format!("{id:<20} {function:<18} {detected:<9} {tier:<6} {after:<8} {invocations}")
}

fn duration(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 10.0 => format!("{seconds:.1} s"),
        seconds if seconds < 120.0 => format!("{seconds:.0} s"),
        seconds if seconds < 7200.0 => format!("{:.0} min", seconds / 60.0),
        seconds => format!("{:.1} h", seconds / 3600.0),
    }
}

fn plural(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::{super::report::BenignJudged, *};
    use crate::detect::verdict::Tier;

    #[test]
    fn an_incident_is_a_line() {
        let at = 13 * DAY + (3 * 60 + 17) * 60_000_000_000;
        let alert = Alert {
            incident: "inc-0a".into(),
            state: State::Opened,
            tier: Tier::Page,
            function: "get-loyalty".into(),
            at,
            last_seen: at,
            invocations: vec![],
            headline: "get-loyalty queried customers".into(),
        };
        assert_eq!(incident(&alert, 0), "day 14 03:17  PAGE   inc-0a  get-loyalty queried customers\n");
        let alert = Alert { state: State::Updated, tier: Tier::Queue, ..alert };
        assert_eq!(incident(&alert, 0), "day 14 03:17  QUEUE  more on inc-0a  get-loyalty queried customers\n");
    }

    #[test]
    fn durations_are_short() {
        let table = [(0.04, "0.0 s"), (9.87, "9.9 s"), (61.2, "61 s"), (600.0, "10 min"), (9000.0, "2.5 h")];
        for (seconds, expected) in table {
            assert_eq!(duration(seconds), expected);
        }
    }

    #[test]
    fn the_table_says_what_was_missed_and_what_was_false() {
        let found = AttackFound {
            id: "table-dump".into(),
            function: "confirm-booking".into(),
            detected: true,
            tier: Some("page".into()),
            seconds_to_detect: Some(2.0),
            invocations_to_detect: Some(1),
            headline: Some("confirm-booking scanned bookings 60 times".into()),
        };
        let missed = AttackFound {
            detected: false,
            tier: None,
            seconds_to_detect: None,
            invocations_to_detect: None,
            headline: None,
            id: "stealthy-read".into(),
            function: "search-flights".into(),
        };
        let report = Report {
            attacks: vec![found, missed],
            benign: vec![BenignJudged { id: "flash-crowd".into(), false_pages: 1 }],
            function_days: 154.0,
            false_pages: 1,
            spans: 1_234_567,
            spans_per_second: 25_000.4,
        };
        let expected = "\n\
            attack               on                 detected  tier   after    invocations\n\
            table-dump           confirm-booking    yes       page   2.0 s    1\n    \
            confirm-booking scanned bookings 60 times\n\
            stealthy-read        search-flights     NO        -      -        -\n\n\
            1 of 2 attacks detected.\n\
            1 false page in 14 days; the budget is 1/week.\n  \
            flash-crowd              1 false page\n\
            1,234,567 spans over 154 function-days, 25,000 a second.\n";
        assert_eq!(table(&report, 14, "1/week"), expected);
    }
}
