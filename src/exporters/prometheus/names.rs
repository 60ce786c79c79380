//! OpenTelemetry's names as Prometheus takes them: the "Prometheus and `OpenMetrics` compatibility" specification.

/// Units by their UCUM names, in words, as Prometheus writes them.
const UNITS: [(&str, &str); 27] = [
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("1", ""),
    ("%", "percent"),
    ("bit", "bits"),
];

/// The same for what stands behind a slash.
const PER: [(&str, &str); 7] =
    [("s", "second"), ("m", "minute"), ("h", "hour"), ("d", "day"), ("w", "week"), ("mo", "month"), ("y", "year")];

/// What decides about a metric's name besides its own.
#[derive(Clone, Copy, Debug)]
pub struct Naming<'a> {
    /// In front of every name.
    pub namespace: &'a str,
    /// Whether units and types are said in names.
    pub suffixes: bool,
}

/// What a metric counts, as far as names care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Ends in `_total`.
    Counter,
    /// Ends in `_ratio` if it has no unit.
    Gauge,
    /// Just its name and unit.
    Other,
}

impl Naming<'_> {
    /// The name of the metric `name` with `unit`.
    pub fn metric(&self, name: &str, unit: &str, style: Style) -> String {
        if !self.suffixes {
            return self.spaced(&[name]);
        }
        let (main, per) = unit_words(unit);
        let stripped = if style == Style::Counter { name.strip_suffix("_total").unwrap_or(name) } else { name };
        let mut words = vec![stripped];
        let has = |word: &str| stripped.split(|c: char| !c.is_ascii_alphanumeric()).any(|part| part == word);
        if !main.is_empty() && !has(&main) {
            words.push(&main);
        }
        if !per.is_empty() && !has(&per) {
            words.extend(["per", per.as_str()]);
        }
        match style {
            Style::Gauge if unit == "1" && !has("ratio") => words.push("ratio"),
            Style::Counter => words.push("total"),
            _ => {}
        }
        self.spaced(&words)
    }

    /// All with one underscore between, and only what Prometheus takes.
    fn spaced(&self, words: &[&str]) -> String {
        let mut out = String::new();
        for word in std::iter::once(&self.namespace).chain(words).filter(|word| !word.is_empty()) {
            if !out.is_empty() && !out.ends_with('_') {
                out.push('_');
            }
            for c in word.chars() {
                let plain = c.is_ascii_alphanumeric() || c == ':';
                if plain {
                    out.push(c);
                } else if !out.ends_with('_') || !self.suffixes {
                    out.push('_');
                }
            }
        }
        if out.is_empty() || out.starts_with(|c: char| c.is_ascii_digit()) {
            out.insert(0, '_');
        }
        out
    }
}

/// A label's name: `http.method` → `http_method`.
pub fn label(key: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' };
    let name: String = key.chars().map(plain).collect();
    match name.as_bytes() {
        [] => "_".to_owned(),
        [first, ..] if first.is_ascii_digit() => format!("key_{name}"),
        // Two underscores are Prometheus's own.
        [b'_', b'_', ..] => format!("key{name}"),
        [b'_', second, ..] if second.is_ascii_alphabetic() => format!("key{name}"),
        _ => name,
    }
}

/// A unit in words, and what it is per.
fn unit_words(unit: &str) -> (String, String) {
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    (word(main, &UNITS), word(per, &PER))
}

fn word(unit: &str, known: &[(&str, &str)]) -> String {
    let unit = unit.trim();
    if let Some((_, word)) = known.iter().find(|(name, _)| *name == unit) {
        return (*word).to_owned();
    }
    // What is in braces says what is counted; it is no unit.
    if unit.contains('{') {
        return String::new();
    }
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    unit.chars().map(plain).collect::<String>().trim_matches('_').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_named_as_the_specification_says() {
        #[rustfmt::skip]
        let table = [
            ("system.filesystem.usage", "By", Style::Gauge, "system_filesystem_usage_bytes"),
            ("system.network.dropped", "{packets}", Style::Counter, "system_network_dropped_total"),
            ("http.server.request.duration", "s", Style::Other, "http_server_request_duration_seconds"),
            ("requests_total", "1", Style::Counter, "requests_total"),
            ("memory.limit.bytes", "By", Style::Gauge, "memory_limit_bytes"),
            ("system.cpu.utilization", "1", Style::Gauge, "system_cpu_utilization_ratio"),
            ("speed", "m/s", Style::Gauge, "speed_meters_per_second"),
            ("io", "By/s", Style::Counter, "io_bytes_per_second_total"),
            ("broken__name with  spaces!", "", Style::Other, "broken_name_with_spaces_"),
            ("2xx", "", Style::Other, "_2xx"),
            ("größe", "", Style::Other, "gr_e"),
            ("jobs", "widgets", Style::Other, "jobs_widgets"),
        ];
        for (name, unit, style, expected) in table {
            assert_eq!(Naming { namespace: "", suffixes: true }.metric(name, unit, style), expected, "{name} {unit}");
        }
        let plain = Naming { namespace: "shop", suffixes: false };
        assert_eq!(plain.metric("orders.placed", "s", Style::Counter), "shop_orders_placed");
        assert_eq!(Naming { namespace: "", suffixes: true }.metric("", "", Style::Other), "_");
    }

    #[test]
    fn labels_are_named_as_the_specification_says() {
        let table = [
            ("http.method", "http_method"),
            ("2nd", "key_2nd"),
            ("_private", "key_private"),
            ("__name__", "key__name__"),
            ("a-b c", "a_b_c"),
            ("", "_"),
        ];
        for (key, expected) in table {
            assert_eq!(label(key), expected, "{key}");
        }
    }
}
