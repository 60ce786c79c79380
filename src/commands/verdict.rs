//! `sekisho verdict` and `sekisho verdicts`: what a person makes of an incident, and what was made of all of them.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use clap::{Args, ValueEnum};

use super::{
    Failure, Output,
    console::{Server, print, print_json, table},
};
use crate::{
    config::duration,
    incidents::control::proto::{
        GiveVerdictRequest, ListVerdictsResponse, Scope, UndoVerdictRequest, Verdict, VerdictPreview,
    },
    otlp::time::rfc3339,
};

/// What is decided.
#[derive(Args, Debug)]
pub struct Arguments {
    /// The incident, such as inc-0123456789; or `undo`
    #[arg(value_name = "INCIDENT|undo")]
    what: String,
    /// expected, malicious or unsure; behind `undo` the verdict, such as ver-0123456789
    #[arg(value_name = "KIND|VERDICT")]
    which: String,
    /// Why
    #[arg(long, default_value = "")]
    note: String,
    /// Who says so; otherwise the environment's `USER`
    #[arg(long)]
    author: Option<String>,
    /// Of `expected`: for whom
    #[arg(long, value_enum, default_value_t)]
    scope: Reach,
    /// Of `expected`: only evidence of these features, such as novelty.destination; all that is proposed otherwise
    #[arg(long, value_name = "FEATURE")]
    feature: Vec<String>,
    /// Of `expected`: for how long, such as 30d or 12h
    #[arg(long = "for", value_name = "DURATION")]
    expires: Option<String>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    server: Server,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Reach {
    /// The functions that showed it
    #[default]
    Function,
    /// All functions of their applications
    Application,
}

/// Which verdicts are listed.
#[derive(Args, Debug)]
pub struct ListArguments {
    /// Only those on this incident
    #[arg(long, value_name = "INCIDENT", default_value = "")]
    incident: String,
    /// Only those that hold
    #[arg(long)]
    active: bool,
    /// All of them as JSON lines, oldest first: to keep, or to read elsewhere
    #[arg(long, conflicts_with_all = ["incident", "active"])]
    export: bool,
    #[command(flatten)]
    server: Server,
}

/// Gives a verdict, or takes one back.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let author = arguments.author.clone().or_else(|| std::env::var("USER").ok()).unwrap_or_default();
    let verdict: Verdict = if arguments.what == "undo" {
        let request = UndoVerdictRequest { author, note: arguments.note.clone(), ..UndoVerdictRequest::default() };
        arguments.server.post(&["verdicts", &arguments.which, "undo"], &request)?
    } else {
        give(arguments, author)?
    };
    if arguments.server.output == Output::Json {
        return print_json(&verdict);
    }
    print(&format!("{} is {}: {} on {}\n", verdict.id, verdict.state, verdict.kind, verdict.incident_id));
    Ok(())
}

fn give(arguments: &Arguments, author: String) -> Result<Verdict, Failure> {
    let mut request = GiveVerdictRequest {
        incident_id: arguments.what.clone(),
        kind: arguments.which.clone(),
        note: arguments.note.clone(),
        author,
        expires_in_seconds: arguments.expires.as_deref().map(seconds).transpose()?.unwrap_or_default(),
        ..GiveVerdictRequest::default()
    };
    let mut preview: VerdictPreview = arguments.server.post(&["verdicts", "preview"], &request)?;
    if request.kind == "expected" && (arguments.scope == Reach::Application || !arguments.feature.is_empty()) {
        request.scopes = chosen(preview.scopes, arguments);
        if request.scopes.is_empty() {
            return Err(Failure::Usage("--feature: the incident has no such evidence".to_owned()));
        }
        preview = arguments.server.post(&["verdicts", "preview"], &request)?;
    }
    if !arguments.yes && request.kind != "unsure" {
        confirm(&preview)?;
    }
    // What was shown is what is given.
    request.scopes = preview.scopes;
    arguments.server.post(&["verdicts"], &request)
}

/// The proposed scopes that are wanted, as wide as is wanted.
fn chosen(proposed: Vec<Scope>, arguments: &Arguments) -> Vec<Scope> {
    let wanted = |scope: &Scope| arguments.feature.is_empty() || arguments.feature.contains(&scope.feature);
    let mut scopes = Vec::new();
    for mut scope in proposed.into_iter().filter(wanted) {
        if arguments.scope == Reach::Application {
            "application".clone_into(&mut scope.reach);
        }
        scopes.push(scope);
    }
    scopes
}

fn seconds(text: &str) -> Result<u64, Failure> {
    let wrong = |error: String| Failure::Usage(format!("--for {text}: {error}"));
    if let Some(days) = text.strip_suffix('d').and_then(|days| days.parse::<u64>().ok()) {
        return Ok(days.saturating_mul(86_400));
    }
    let seconds = duration::parse(text).map_err(wrong)?.as_secs();
    if seconds == 0 { Err(wrong("must be a second at least".to_owned())) } else { Ok(seconds) }
}

/// Shows what would happen and asks.
fn confirm(preview: &VerdictPreview) -> Result<(), Failure> {
    let mut text = String::new();
    if !preview.scopes.is_empty() {
        let rows: Vec<Vec<String>> = preview.scopes.iter().map(scope_row).collect();
        text.push_str(&table(&["EXPECTED OF", "EVIDENCE", "WHAT"], &rows));
        text.push('\n');
    }
    if !preview.signature.is_empty() {
        let rows: Vec<Vec<String>> =
            preview.signature.iter().map(|one| vec![one.feature.clone(), one.key.clone()]).collect();
        text.push_str(&table(&["HUNTED FOR", ""], &rows));
        text.push('\n');
    }
    let mut err = std::io::stderr().lock();
    let _ = write!(err, "{text}{}\n\n", preview.summary);
    if !std::io::stdin().is_terminal() {
        return Err(Failure::Usage("nobody is there to ask; say --yes to go ahead".to_owned()));
    }
    let _ = write!(err, "Go ahead? [y/N] ");
    let _ = err.flush();
    let mut answer = String::new();
    let _ = std::io::stdin().lock().read_line(&mut answer);
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        Ok(())
    } else {
        Err(Failure::Work("nothing was changed".to_owned()))
    }
}

fn scope_row(scope: &Scope) -> Vec<String> {
    let of = if scope.reach == "application" {
        format!("{}'s application", scope.function_name)
    } else {
        scope.function_name.clone()
    };
    let what = match (scope.key_pattern.as_str(), scope.at_most) {
        ("", 0) => "any".to_owned(),
        ("", most) => format!("at most {most}"),
        (pattern, 0) => pattern.to_owned(),
        (pattern, most) => format!("{pattern}, at most {most}"),
    };
    vec![of, scope.feature.clone(), what]
}

/// Lists verdicts.
pub fn list(arguments: &ListArguments) -> Result<(), Failure> {
    if arguments.export {
        let lines = arguments.server.lines(&["verdicts", "export"])?;
        print(&String::from_utf8_lossy(&lines));
        return Ok(());
    }
    let active = if arguments.active { "true" } else { "" };
    let query = [("incident_id", arguments.incident.as_str()), ("active", active), ("page_size", "500")];
    let answer: ListVerdictsResponse = arguments.server.get(&["verdicts"], &query)?;
    if arguments.server.output == Output::Json {
        return print_json(&answer);
    }
    print(&if answer.verdicts.is_empty() { "no verdicts\n".to_owned() } else { listed(&answer.verdicts) });
    Ok(())
}

/// Verdicts as a table.
pub fn listed(verdicts: &[Verdict]) -> String {
    let rows: Vec<Vec<String>> = verdicts.iter().map(row).collect();
    table(&["VERDICT", "INCIDENT", "KIND", "STATE", "GIVEN", "BY", "SINCE THEN", "NOTE"], &rows)
}

fn row(one: &Verdict) -> Vec<String> {
    let since = match one.kind.as_str() {
        "expected" => format!("covered {}, until {}", one.covered_evidence, rfc3339(one.expires)),
        "malicious" => format!("found {}", one.hit_count),
        _ => "-".to_owned(),
    };
    vec![
        one.id.clone(),
        one.incident_id.clone(),
        one.kind.clone(),
        one.state.clone(),
        rfc3339(one.given),
        one.author.clone(),
        since,
        one.note.clone(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_may_be_days() {
        for (text, expected) in
            [("30d", Some(2_592_000)), ("12h", Some(43_200)), ("1m30s", Some(90)), ("0s", None), ("x", None)]
        {
            assert_eq!(seconds(text).ok(), expected, "{text}");
        }
    }
}
