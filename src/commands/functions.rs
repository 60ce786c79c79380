//! `sekisho functions`: what a running gateway knows of functions.

use std::fmt::Write as _;

use clap::{Args, Subcommand};

use super::{
    Failure, Output,
    console::{Server, print, print_json, table},
};
use crate::{
    incidents::control::proto::{FunctionDetail, FunctionSummary, Key, ListFunctionsResponse, Tick},
    otlp::time::rfc3339,
};

/// What to show.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    list: List,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List functions, those with an open incident first (also what no action does)
    List(List),
    /// Show what one function normally does
    Show(Show),
}

#[derive(Args, Debug)]
struct List {
    /// Only those whose name contains this
    #[arg(long, value_name = "NAME", default_value = "")]
    name: String,
    /// How many at most
    #[arg(long, default_value_t = 50)]
    limit: u32,
    #[command(flatten)]
    server: Server,
}

#[derive(Args, Debug)]
struct Show {
    /// A name, or an id where several functions have the same name
    name: String,
    #[command(flatten)]
    server: Server,
}

/// Shows what the arguments say.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.action {
        None => list(&arguments.list),
        Some(Action::List(wanted)) => list(wanted),
        Some(Action::Show(one)) => show(one),
    }
}

fn list(wanted: &List) -> Result<(), Failure> {
    let query = [("name", wanted.name.as_str()), ("page_size", &wanted.limit.to_string())];
    let answer: ListFunctionsResponse = wanted.server.get(&["functions"], &query)?;
    if wanted.server.output == Output::Json {
        return print_json(&answer);
    }
    if answer.functions.is_empty() {
        print("no functions\n");
        return Ok(());
    }
    let rows: Vec<Vec<String>> = answer.functions.iter().map(row).collect();
    let mut text =
        table(&["FUNCTION", "VERSION", "STATE", "INVOCATIONS", "LAST SEEN", "LAST HOURS", "INCIDENT"], &rows);
    let more = answer.total as usize - answer.functions.len();
    if more > 0 {
        let _ = writeln!(text, "and {more} more: --limit {}", answer.total);
    }
    print(&text);
    Ok(())
}

fn row(one: &FunctionSummary) -> Vec<String> {
    vec![
        one.name.clone(),
        one.version.clone(),
        one.state.replace('_', " "),
        one.invocations.to_string(),
        rfc3339(one.last_seen),
        sparkline(&one.sparkline),
        one.open_incident_id.clone(),
    ]
}

/// Invocations an hour, as blocks of eight heights.
fn sparkline(ticks: &[Tick]) -> String {
    let most = ticks.iter().map(|tick| tick.invocations).max().unwrap_or(0).max(1);
    let block = |tick: &Tick| char::from_u32(0x2581 + tick.invocations * 7 / most).unwrap_or(' ');
    ticks.iter().map(block).collect()
}

fn show(one: &Show) -> Result<(), Failure> {
    let detail: FunctionDetail = one.server.get(&["functions", &one.name], &[])?;
    if one.server.output == Output::Json {
        return print_json(&detail);
    }
    print(&whole(&detail));
    Ok(())
}

/// A function for people.
fn whole(detail: &FunctionDetail) -> String {
    let summary = detail.summary.clone().unwrap_or_default();
    let mut text = table(
        &["FUNCTION", "VERSION", "STATE", "INVOCATIONS", "LAST SEEN", "LAST HOURS", "INCIDENT"],
        &[row(&summary)],
    );
    let kinds = [
        ("Operations", &detail.operations),
        ("Resources", &detail.resources),
        ("Destinations", &detail.destinations),
        ("Identities", &detail.identities),
        ("Errors", &detail.errors),
        ("Other", &detail.others),
    ];
    for (title, keys) in kinds.into_iter().filter(|(_, keys)| !keys.is_empty()) {
        let rows: Vec<Vec<String>> = keys.iter().map(key_row).collect();
        let _ = write!(text, "\n{title}\n{}", table(&["IN", "STATE", "RISK", "OTHERS", "WHAT"], &rows));
    }
    if !detail.distributions.is_empty() {
        let rows: Vec<Vec<String>> = detail
            .distributions
            .iter()
            .map(|one| {
                let start = if one.cold { "cold" } else { "warm" };
                vec![
                    one.quantity.clone(),
                    start.to_owned(),
                    one.count.to_string(),
                    format!("{} {}", one.usual_at_most, one.unit),
                ]
            })
            .collect();
        let _ = write!(text, "\nMeasured\n{}", table(&["QUANTITY", "START", "VALUES", "USUALLY AT MOST"], &rows));
    }
    let rows: Vec<Vec<String>> = detail
        .epochs
        .iter()
        .map(|one| {
            let change = format!("+{} -{}", one.gained.len(), one.lost.len());
            vec![one.version.clone(), rfc3339(one.began), one.invocations.to_string(), change]
        })
        .collect();
    let _ = write!(text, "\nVersions\n{}", table(&["VERSION", "SINCE", "INVOCATIONS", "CHANGE"], &rows));
    text
}

fn key_row(key: &Key) -> Vec<String> {
    let others = format!("{} of {}", key.fleet_seen, key.fleet_size);
    vec![format!("{:.1} %", key.share * 100.0), key.state.clone(), key.risk.clone(), others, key.name.clone()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sparkline_is_as_high_as_its_hours() {
        let tick = |invocations| Tick { invocations, ..Tick::default() };
        assert_eq!(sparkline(&[tick(0), tick(50), tick(100)]), "▁▄█");
        assert_eq!(sparkline(&[]), "");
        assert_eq!(sparkline(&[tick(0)]), "▁");
    }
}
