//! The pages themselves.

use std::{
    collections::BTreeMap,
    fmt::{Display, Write as _},
    sync::Arc,
    time::{Duration, Instant, UNIX_EPOCH},
};

use crate::{
    config::duration,
    otlp::{Signal, time::rfc3339},
    pipeline::health::{Health, State},
    telemetry::{Metrics, recent},
};

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#222}\
    nav a{margin-right:1.5rem}table{border-collapse:collapse;margin:1rem 0}\
    th,td{border-bottom:1px solid #ccc;padding:.3rem .9rem .3rem 0;text-align:left;vertical-align:top}\
    td.n{text-align:right;font-variant-numeric:tabular-nums}.bad{color:#a00;font-weight:600}.good{color:#060}";

/// What the pages are about.
pub struct Pages {
    pub health: Arc<Health>,
    pub metrics: Metrics,
    pub since: Instant,
}

impl Pages {
    /// `/debug/servicez`.
    pub fn service(&self) -> String {
        let uptime = duration::format(Duration::from_secs(self.since.elapsed().as_secs()));
        let mut page = Page::new("Service");
        page.table(&["", ""]);
        page.row([("Version", false), (env!("CARGO_PKG_VERSION"), false)]);
        page.row([("Uptime", false), (uptime.as_str(), false)]);
        for (what, name, divisor, unit) in [
            ("CPU time", "otelcol_process_cpu_seconds", 1.0, "s"),
            ("Resident memory", "otelcol_process_memory_rss", 1_048_576.0, "MiB"),
        ] {
            let value = format!("{:.1} {unit}", self.metrics.sum(name, None) / divisor);
            page.row([(what, false), (value.as_str(), false)]);
        }
        page.end();
        page.table(&["Items", "accepted", "refused", "failed", "sent", "send failed", "enqueue failed"]);
        for signal in Signal::ALL {
            let items = signal.items_name();
            let counts = [
                ("receiver", "accepted"),
                ("receiver", "refused"),
                ("receiver", "failed"),
                ("exporter", "sent"),
                ("exporter", "send_failed"),
                ("exporter", "enqueue_failed"),
            ];
            let counts = counts.map(|(kind, what)| self.metrics.sum(&format!("otelcol_{kind}_{what}_{items}"), None));
            let cells = counts.map(|count| count.to_string());
            page.numbers(items, &cells);
        }
        page.end();
        page.finish()
    }

    /// `/debug/pipelinez`.
    pub fn pipelines(&self) -> String {
        let mut page = Page::new("Pipelines");
        page.table(&["Pipeline", "State", "Components, in order"]);
        let states = self.health.states();
        for (id, components) in self.health.pipelines() {
            let (state, why) = match states.get(&id) {
                Some(state @ (State::Degraded(why) | State::Failed(why))) => (state.name(), why.as_str()),
                Some(state) => (state.name(), ""),
                None => ("unknown", ""),
            };
            let class = if state == "ready" { "good" } else { "bad" };
            let _ = write!(
                page.0,
                "<tr><td>{}</td><td><span class=\"{class}\">{state}</span> {}</td><td>",
                Text(&id),
                Text(why)
            );
            for component in components {
                let _ = write!(page.0, "{}<br>", Text(&component));
            }
            page.0.push_str("</td></tr>");
        }
        page.end();
        page.finish()
    }

    /// `/debug/extensionz`.
    pub fn extensions(&self) -> String {
        let mut page = Page::new("Extensions");
        page.table(&["Extension", "Why it works no more"]);
        let failures = self.health.failures();
        for extension in self.health.extensions() {
            let why = failures.get(&format!("extension {extension}")).map_or("", String::as_str);
            page.row([(extension.as_str(), false), (why, true)]);
        }
        page.end();
        page.finish()
    }

    /// `/debug/tracez`.
    pub fn trace(&self) -> String {
        let mut page = Page::new("Traces");
        page.0.push_str("<p>Spans are not kept here; <code>service::telemetry::traces</code> sends them where they can be read.</p>");
        page.table(&["Processor", "items in", "items out", "batches"]);
        let names = [
            "otelcol_processor_incoming_items",
            "otelcol_processor_outgoing_items",
            "otelcol_processor_internal_duration",
        ];
        self.by_label(&mut page, &names, &["processor", "otel_signal"]);
        page.end();
        page.table(&["Exporter", "in flight", "in the queue", "queue holds at most"]);
        let names =
            ["otelcol_exporter_in_flight_requests", "otelcol_exporter_queue_size", "otelcol_exporter_queue_capacity"];
        self.by_label(&mut page, &names, &["exporter"]);
        page.end();
        page.table(&["When", "", "Latest warnings and errors"]);
        for said in recent() {
            let at = said.at.duration_since(UNIX_EPOCH).unwrap_or_default();
            let at = rfc3339(u64::try_from(at.as_nanos()).unwrap_or(u64::MAX));
            let kind = if said.error { "error" } else { "warning" };
            page.row([(at.as_str(), false), (kind, said.error), (said.text.as_str(), false)]);
        }
        page.end();
        page.finish()
    }

    /// A row for everything that `labels` tell apart, with the values of the metrics `names`.
    fn by_label(&self, page: &mut Page, names: &[&str], labels: &[&str]) {
        let mut rows: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (column, name) in names.iter().enumerate() {
            for (of, value) in self.metrics.values(name) {
                let who = of.iter().filter(|(key, _)| labels.contains(&key.as_str())).map(|(_, value)| value.as_str());
                let cells = rows
                    .entry(who.collect::<Vec<_>>().join(" "))
                    .or_insert_with(|| vec!["–".to_owned(); names.len()]);
                if let Some(cell) = cells.get_mut(column) {
                    *cell = value.to_string();
                }
            }
        }
        for (who, cells) in rows {
            page.numbers(&who, &cells);
        }
    }
}

/// A page that is being written.
struct Page(String);

impl Page {
    fn new(title: &str) -> Self {
        Self(format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title} · Sekisho</title>\
             <style>{STYLE}</style></head><body><nav><a href=\"/debug/servicez\">Service</a>\
             <a href=\"/debug/pipelinez\">Pipelines</a><a href=\"/debug/extensionz\">Extensions</a>\
             <a href=\"/debug/tracez\">Traces</a></nav><h1>{title}</h1>"
        ))
    }

    fn table(&mut self, heads: &[&str]) {
        self.0.push_str("<table><tr>");
        for head in heads {
            let _ = write!(self.0, "<th>{}</th>", Text(head));
        }
        self.0.push_str("</tr>");
    }

    fn row<'a>(&mut self, cells: impl IntoIterator<Item = (&'a str, bool)>) {
        self.0.push_str("<tr>");
        for (cell, bad) in cells {
            let class = if bad { " class=\"bad\"" } else { "" };
            let _ = write!(self.0, "<td{class}>{}</td>", Text(cell));
        }
        self.0.push_str("</tr>");
    }

    fn numbers(&mut self, name: &str, cells: &[String]) {
        let _ = write!(self.0, "<tr><td>{}</td>", Text(name));
        for cell in cells {
            let _ = write!(self.0, "<td class=\"n\">{}</td>", Text(cell));
        }
        self.0.push_str("</tr>");
    }

    fn end(&mut self) {
        self.0.push_str("</table>");
    }

    fn finish(mut self) -> String {
        self.0.push_str("</body></html>\n");
        self.0
    }
}

/// Text that is nothing but text, whatever is in it.
struct Text<'a>(&'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for c in self.0.chars() {
            match c {
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '&' => f.write_str("&amp;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}
