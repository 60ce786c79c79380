//! The text that Prometheus scrapes: its own format 0.0.4, or `OpenMetrics` 1.0.

use std::fmt::Write as _;

use super::{
    store::{Kept, Store},
    translate::{Labels, Type, Value},
};

/// How the text is written.
#[derive(Clone, Copy, Debug)]
pub struct Style<'a> {
    /// For those who ask for it.
    pub open_metrics: bool,
    /// Whether each value says when it was measured.
    pub timestamps: bool,
    /// On every series that does not have the label itself.
    pub const_labels: &'a Labels,
}

/// All of `store`.
pub fn render(store: &Store, style: Style<'_>) -> String {
    let mut out = String::new();
    for kept in store.families() {
        family(&mut out, kept, style);
    }
    if style.open_metrics {
        out.push_str("# EOF\n");
    }
    out
}

fn family(out: &mut String, kept: &Kept, style: Style<'_>) {
    let name = kept.family.name.as_str();
    let (said, kind) = match (kept.kind(), style.open_metrics) {
        // There, `_total` belongs to the sample and not to the family, and a counter must have it.
        (Type::Counter, true) => name.strip_suffix("_total").map_or((name, "unknown"), |said| (said, "counter")),
        (kind, _) => (name, kind.name()),
    };
    let quote = |c| style.open_metrics && c == '"';
    if !kept.family.help.is_empty() {
        let _ = writeln!(out, "# HELP {said} {}", escaped(&kept.family.help, quote));
    }
    let _ = writeln!(out, "# TYPE {said} {kind}");
    for (labels, series) in kept.series() {
        let line = Line { name, labels, time: series.time, style };
        match &series.value {
            Value::Number(value) => line.write(out, "", None, *value),
            Value::Histogram { buckets, sum, count } => {
                let mut below = 0_u64;
                for (bound, count) in buckets {
                    below = below.saturating_add(*count);
                    line.write(out, "_bucket", Some(("le", &number(*bound, style.open_metrics))), below as f64);
                }
                line.write(out, "_bucket", Some(("le", "+Inf")), *count as f64);
                if let Some(sum) = sum {
                    line.write(out, "_sum", None, *sum);
                }
                line.write(out, "_count", None, *count as f64);
            }
            Value::Summary { quantiles, sum, count } => {
                for (quantile, value) in quantiles {
                    line.write(out, "", Some(("quantile", &number(*quantile, style.open_metrics))), *value);
                }
                line.write(out, "_sum", None, *sum);
                line.write(out, "_count", None, *count as f64);
            }
        }
    }
}

struct Line<'a> {
    name: &'a str,
    labels: &'a Labels,
    time: u64,
    style: Style<'a>,
}

impl Line<'_> {
    fn write(&self, out: &mut String, suffix: &str, more: Option<(&str, &str)>, value: f64) {
        let own = self.labels.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let given = self.style.const_labels.iter().filter(|(key, _)| !self.labels.iter().any(|(own, _)| own == key));
        let given = given.map(|(key, value)| (key.as_str(), value.as_str()));
        let _ = write!(out, "{}{suffix}", self.name);
        let mut open = '{';
        for (key, value) in own.chain(given).chain(more) {
            let _ = write!(out, "{open}{key}=\"{}\"", escaped(value, |c| c == '"'));
            open = ',';
        }
        out.push_str(if open == ',' { "} " } else { " " });
        out.push_str(&number(value, false));
        if self.style.timestamps {
            let millis = self.time / 1_000_000;
            let _ = if self.style.open_metrics {
                write!(out, " {}.{:03}", millis / 1000, millis % 1000)
            } else {
                write!(out, " {millis}")
            };
        }
        out.push('\n');
    }
}

/// A number as both formats write it. Those that `OpenMetrics` uses as names must look like floats.
fn number(value: f64, must_be_float: bool) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() }
    } else if must_be_float {
        format!("{value:?}")
    } else if value.abs() >= 1e17 || (value != 0.0 && value.abs() < 1e-6) {
        format!("{value:e}")
    } else {
        value.to_string()
    }
}

fn escaped(text: &str, quote: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c if quote(c) => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}
