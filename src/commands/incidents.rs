//! `sekisho incidents`: what a running gateway has told, as a list or one of them whole.

use std::{
    fmt::Write as _,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::{Args, Subcommand, ValueEnum};

use super::{
    Failure, Output,
    console::{Server, print, print_json, table},
};
use crate::{
    config::duration,
    incidents::control::proto::{Incident, IncidentDetail, ListIncidentsResponse, Span, Trace},
    otlp::time::rfc3339,
};

/// Width of a bar of evidence, and of a span.
const BAR: usize = 24;

/// What to show.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    filter: Filter,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List incidents, most recently changed first (also what no action does)
    List(Filter),
    /// Show one incident: evidence, spans, timeline, verdicts
    Show(Show),
}

#[derive(Args, Debug)]
struct Filter {
    /// Only these
    #[arg(long, value_enum, default_value_t)]
    state: State,
    /// Only pages
    #[arg(long)]
    pages: bool,
    /// Only those of functions whose name contains this
    #[arg(long, value_name = "NAME", default_value = "")]
    function: String,
    /// Only those with an invocation within this time, such as 24h
    #[arg(long, value_name = "DURATION")]
    since: Option<String>,
    /// How many at most
    #[arg(long, default_value_t = 50)]
    limit: u32,
    #[command(flatten)]
    server: Server,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum State {
    Open,
    Resolved,
    #[default]
    All,
}

#[derive(Args, Debug)]
struct Show {
    /// Such as inc-0123456789
    id: String,
    #[command(flatten)]
    server: Server,
}

/// Shows what the arguments say.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.action {
        None => list(&arguments.filter),
        Some(Action::List(filter)) => list(filter),
        Some(Action::Show(one)) => show(one),
    }
}

fn list(filter: &Filter) -> Result<(), Failure> {
    let state = match filter.state {
        State::Open => "open",
        State::Resolved => "resolved",
        State::All => "",
    };
    let since = filter.since.as_deref().map(ago).transpose()?.unwrap_or_default();
    let query = [
        ("state", state),
        ("tier", if filter.pages { "page" } else { "" }),
        ("function", &filter.function),
        ("since", &since),
        ("page_size", &filter.limit.to_string()),
    ];
    let answer: ListIncidentsResponse = filter.server.get(&["incidents"], &query)?;
    if filter.server.output == Output::Json {
        return print_json(&answer);
    }
    if answer.incidents.is_empty() {
        print("no incidents\n");
        return Ok(());
    }
    let rows: Vec<Vec<String>> = answer.incidents.iter().map(row).collect();
    let mut text = table(&["INCIDENT", "STATE", "TIER", "PRIORITY", "LAST SEEN", "VERDICT", "WHAT"], &rows);
    let more = answer.total as usize - answer.incidents.len();
    if more > 0 {
        let _ = writeln!(text, "and {more} more: --limit {}", answer.total);
    }
    print(&text);
    Ok(())
}

/// The event time so long ago, as the API has it.
fn ago(text: &str) -> Result<String, Failure> {
    let wanted = duration::parse(text).map_err(|error| Failure::Usage(format!("--since {text}: {error}")))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(now.checked_sub(wanted).unwrap_or(Duration::ZERO).as_nanos().to_string())
}

fn row(one: &Incident) -> Vec<String> {
    let verdict = if one.verdict.is_empty() { "-" } else { &one.verdict };
    vec![
        one.id.clone(),
        one.state.clone(),
        one.tier.clone(),
        one.priority.to_string(),
        rfc3339(one.last_seen),
        verdict.to_owned(),
        one.headline.clone(),
    ]
}

fn show(one: &Show) -> Result<(), Failure> {
    let detail: IncidentDetail = one.server.get(&["incidents", &one.id], &[])?;
    if one.server.output == Output::Json {
        return print_json(&detail);
    }
    print(&whole(&detail));
    Ok(())
}

/// An incident for people.
fn whole(detail: &IncidentDetail) -> String {
    let head = detail.incident.clone().unwrap_or_default();
    let mut text = format!("{}\n\n", head.headline);
    let functions: Vec<&str> = head.functions.iter().map(|function| function.name.as_str()).collect();
    let techniques: Vec<String> = detail.techniques.iter().map(|one| format!("{} ({})", one.id, one.rule)).collect();
    let facts = [
        ("incident", format!("{}, {}, {}, priority {} of 100", head.id, head.state, head.tier, head.priority)),
        ("functions", functions.join(", ")),
        (
            "seen",
            format!(
                "{} to {}, {} invocations",
                rfc3339(head.first_seen),
                rfc3339(head.last_seen),
                head.invocation_count
            ),
        ),
        ("surprise", format!("{:.1} bits; {:.1} make a page", head.score, head.line)),
        ("otherwise", detail.counterfactual.clone()),
        ("techniques", techniques.join(", ")),
        ("promise", detail.guarantee.clone()),
        ("first", detail.advice.clone()),
        ("merged into", head.merged_into.clone()),
        ("hunts", detail.hunts.join(", ")),
    ];
    for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
        let _ = writeln!(text, "{name:<12} {value}");
    }
    text.push_str("\nWhy\n");
    let most = detail.evidence.iter().map(|row| row.bits).fold(f64::MIN_POSITIVE, f64::max);
    let rows = detail.evidence.iter().map(|row| {
        let bar = "█".repeat(((row.bits / most * BAR as f64).round() as usize).clamp(1, BAR));
        vec![
            format!("{:5.1}", row.bits),
            bar,
            row.label.clone(),
            row.observed.clone(),
            format!("usually {}", row.usual),
        ]
    });
    text.push_str(&table(&["BITS", "", "WHAT", "SEEN", ""], &rows.collect::<Vec<_>>()));
    for (title, trace) in [("The invocation", &detail.abnormal), ("An ordinary one", &detail.normal)] {
        if let Some(trace) = trace {
            let _ = write!(text, "\n{title} {}\n{}", trace.invocation_id, waterfall(trace));
        }
    }
    text.push_str("\nTimeline\n");
    let rows = detail.timeline.iter().map(|entry| {
        let who = if entry.author.is_empty() { String::new() } else { format!(" ({})", entry.author) };
        vec![rfc3339(entry.written), entry.kind.clone(), format!("{}{who}", entry.text)]
    });
    text.push_str(&table(&["WHEN", "", "WHAT"], &rows.collect::<Vec<_>>()));
    if !detail.verdicts.is_empty() {
        text.push_str("\nVerdicts\n");
        text.push_str(&super::verdict::listed(&detail.verdicts));
    }
    text
}

/// Spans by start, each with a bar where in the invocation it was.
fn waterfall(trace: &Trace) -> String {
    let rows: Vec<Vec<String>> = trace.spans.iter().map(|span| span_row(span, trace)).collect();
    let mut text = table(&["TAKES", "", "SPAN"], &rows);
    if trace.omitted > 0 {
        let _ = writeln!(text, "and {} more spans", trace.omitted);
    }
    text
}

fn span_row(span: &Span, trace: &Trace) -> Vec<String> {
    let place = |at: u64| (at as f64 / trace.duration.max(1) as f64 * BAR as f64) as usize;
    let from = place(span.start.saturating_sub(trace.start)).min(BAR - 1);
    let wide = place(span.duration).clamp(1, BAR - from);
    let bar = format!("{}{}", " ".repeat(from), "▇".repeat(wide));
    let mark = if span.evidence { " ← evidence" } else { "" };
    let failed = if span.status == "error" { " (failed)" } else { "" };
    let takes = duration::format(Duration::from_micros(span.duration / 1000));
    vec![takes, bar, format!("{}{failed}{mark}", span.name)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incidents::control::proto::{Evidence, TimelineEntry};

    #[test]
    fn an_incident_is_told_in_one_screen() {
        let head =
            Incident { id: "inc-1".into(), headline: "f called x".into(), state: "open".into(), ..Incident::default() };
        let row =
            |label: &str, bits| Evidence { label: label.into(), bits, usual: "never".into(), ..Evidence::default() };
        let span = |name: &str, start, duration| Span { name: name.into(), start, duration, ..Span::default() };
        let detail = IncidentDetail {
            incident: Some(head),
            evidence: vec![row("new destination", 12.0), row("unusual order", 3.0)],
            abnormal: Some(Trace {
                start: 1000,
                duration: 4_000_000,
                spans: vec![
                    span("handler", 1000, 4_000_000),
                    Span { evidence: true, ..span("GET", 2_001_000, 1_000_000) },
                ],
                ..Trace::default()
            }),
            timeline: vec![TimelineEntry {
                kind: "verdict".into(),
                text: "unsure".into(),
                author: "ann".into(),
                ..TimelineEntry::default()
            }],
            ..IncidentDetail::default()
        };
        let text = whole(&detail);
        for line in [
            "f called x",
            " 12.0  ████████████████████████  new destination",
            "  3.0  ██████                    unusual order",
            "4ms    ▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇  handler",
            "1ms                ▇▇▇▇▇▇        GET ← evidence",
            "unsure (ann)",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
