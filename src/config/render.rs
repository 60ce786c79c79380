//! How problems are shown: for people, plain or in colour, and as JSON for editors and CI.
//!
//! By file, in the order of the sources, each in the order of its lines. In an excerpt what is secret is stars.

use std::fmt::{self, Write as _};

use serde_json::{Value, json};

use super::{
    node::Span,
    print::looks_secret,
    problem::{Problem, Problems, Severity},
};

/// Longest excerpt line shown.
const MAX_EXCERPT: usize = 160;

/// Escape sequences, or nothing in their place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    colour: bool,
}

impl Style {
    /// With escape sequences, for a terminal.
    pub const COLOUR: Self = Self { colour: true };
    /// Without any.
    pub const PLAIN: Self = Self { colour: false };

    fn paint(self, code: &str, text: impl fmt::Display) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }

    fn bold(self, text: impl fmt::Display) -> String {
        self.paint("1", text)
    }

    /// What only guides the eye.
    fn faint(self, text: impl fmt::Display) -> String {
        self.paint("2", text)
    }

    fn advice(self, text: impl fmt::Display) -> String {
        self.paint("36", text)
    }

    fn severity(self, severity: Severity, text: impl fmt::Display) -> String {
        self.paint(if severity == Severity::Error { "1;31" } else { "1;33" }, text)
    }
}

/// The line a problem is on, and the column and width to underline.
struct Excerpt {
    line: String,
    column: usize,
    width: usize,
}

impl Problems {
    /// All problems and how many there are, for people; without a final line break.
    pub fn render(&self, style: Style) -> String {
        let sorted = self.sorted();
        let mut files: Vec<&str> = sorted.iter().map(|problem| problem.file.as_str()).collect();
        files.dedup();
        let mut out = String::new();
        let mut last = None;
        for problem in sorted {
            if files.len() > 1 && last != Some(problem.file.as_str()) {
                let among = self.iter().filter(|other| other.file == problem.file);
                heading(&mut out, problem, &Counts::of(among), style);
            }
            last = Some(problem.file.as_str());
            self.write(&mut out, problem, style);
        }
        if self.beyond > 0 {
            let _ = writeln!(out, "… and {} more", self.beyond);
        }
        let _ = write!(out, "{}", style.bold(Counts::of(self.iter())));
        out
    }

    /// All problems as one JSON object, for editors and CI.
    pub fn to_json(&self) -> Value {
        let problems: Vec<Value> = self.sorted().into_iter().map(|problem| self.json(problem)).collect();
        json!({
            "valid": !self.has_errors(),
            "errors": self.count(Severity::Error),
            "warnings": self.count(Severity::Warning),
            "not_shown": self.beyond,
            "problems": problems,
        })
    }

    fn json(&self, problem: &Problem) -> Value {
        let placed = problem.line > 0;
        json!({
            "severity": problem.severity,
            "file": placed.then_some(&problem.file),
            "line": placed.then_some(problem.line),
            "column": placed.then_some(problem.column),
            "end_column": placed.then(|| problem.column.saturating_add(problem.span.width)),
            "path": problem.path,
            "message": problem.message,
            "hint": problem.hint,
            "excerpt": self.excerpt(problem.span).map(|excerpt| excerpt.line),
        })
    }

    fn sorted(&self) -> Vec<&Problem> {
        let mut sorted: Vec<&Problem> = self.iter().collect();
        // What has no place comes first: it is about the whole.
        sorted.sort_by_key(|problem| (problem.line > 0, problem.span.source, problem.line, problem.column));
        sorted
    }

    fn write(&self, out: &mut String, problem: &Problem, style: Style) {
        let severity = match problem.severity {
            Severity::Error => "error:",
            Severity::Warning => "warning:",
        };
        if problem.line > 0 {
            let place = format!("{}:{}:{}:", problem.file, problem.line, problem.column);
            let _ = write!(out, "{} ", style.bold(place));
        }
        let _ = write!(out, "{} ", style.severity(problem.severity, severity));
        if !problem.path.is_empty() {
            let _ = write!(out, "{}: ", style.bold(&problem.path));
        }
        let _ = writeln!(out, "{}", problem.message);
        if let Some(Excerpt { line, column, width }) = self.excerpt(problem.span) {
            let number = problem.line.to_string();
            let margin = " ".repeat(number.len());
            let caret = style.severity(problem.severity, "^".repeat(width));
            let _ = writeln!(out, "  {} {line}", style.faint(format!("{number} |")));
            let _ = writeln!(out, "  {} {}{caret}", style.faint(format!("{margin} |")), " ".repeat(column));
        }
        if let Some(hint) = &problem.hint {
            let _ = writeln!(out, "  {} {hint}", style.advice("hint:"));
        }
    }

    fn excerpt(&self, span: Span) -> Option<Excerpt> {
        let line = self.texts().line(span.source, span.line)?;
        let mut characters: Vec<char> = line.chars().collect();
        self.hide(&mut characters, span);
        if self.unparsed.contains(&span.source) {
            hide_after_secret_key(&mut characters);
        }
        let start = (span.column.max(1) - 1) as usize;
        let width = (span.width.max(1) as usize).min(characters.len().saturating_sub(start).max(1));
        let first = start.saturating_sub(MAX_EXCERPT / 2).min(characters.len());
        let shown = characters[first..].iter().take(MAX_EXCERPT);
        let line = shown.map(|c| shown_as(*c)).collect();
        Some(Excerpt { line, column: start - first.min(start), width: width.min(MAX_EXCERPT) })
    }

    /// Overwrites what is secret on the line of `span` with stars, keeping every column where it is.
    fn hide(&self, characters: &mut [char], span: Span) {
        let start_of = |line| Span { line, column: 0, width: 0, ..span };
        let before = self.secrets.range(..start_of(span.line)).next_back();
        if before.is_some_and(|secret| secret.source == span.source && self.texts().continues(*secret, span.line)) {
            characters.fill('*');
        }
        for secret in self.secrets.range(start_of(span.line)..start_of(span.line.saturating_add(1))) {
            let (skip, width) = (secret.column.max(1) - 1, secret.width.max(1));
            characters.iter_mut().skip(skip as usize).take(width as usize).for_each(|character| *character = '*');
        }
    }
}

/// Whose problems follow, and how many.
fn heading(out: &mut String, problem: &Problem, counts: &Counts, style: Style) {
    if !out.is_empty() {
        out.push('\n');
    }
    let file = if problem.file.is_empty() { "the whole configuration" } else { &problem.file };
    let _ = writeln!(out, "{} {}", style.bold(file), style.faint(format!("({counts})")));
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Style::PLAIN))
    }
}

/// A tab is what is wrong with many a file, so it must be seen; one column wide, as columns are counted.
fn shown_as(character: char) -> char {
    match character {
        '\t' => '→',
        other if other.is_control() => ' ',
        other => other,
    }
}

struct Counts {
    errors: usize,
    warnings: usize,
}

impl Counts {
    fn of<'a>(problems: impl Iterator<Item = &'a Problem>) -> Self {
        let mut counts = Self { errors: 0, warnings: 0 };
        for problem in problems {
            match problem.severity {
                Severity::Error => counts.errors += 1,
                Severity::Warning => counts.warnings += 1,
            }
        }
        counts
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
        match (self.errors, self.warnings) {
            (0, 0) => Ok(()),
            (0, warnings) => f.write_str(&plural(warnings, "warning")),
            (errors, 0) => f.write_str(&plural(errors, "error")),
            (errors, warnings) => write!(f, "{}, {}", plural(errors, "error"), plural(warnings, "warning")),
        }
    }
}

/// For a line that is not YAML: everything after `password:` and the like, or `--set a.password=`.
fn hide_after_secret_key(characters: &mut [char]) {
    let mut key = String::new();
    for at in 0..characters.len() {
        match characters.get(at) {
            Some(':' | '=') if looks_secret(&key) => {
                characters.iter_mut().skip(at + 1).filter(|c| !c.is_whitespace()).for_each(|c| *c = '*');
                return;
            }
            Some(c) if c.is_alphanumeric() || "_-".contains(*c) => key.push(*c),
            Some(':' | '=' | '"' | '\'' | ' ') => {}
            _ => key.clear(),
        }
    }
}
