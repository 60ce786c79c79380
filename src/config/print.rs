//! A tree back to YAML text, for `print-config`: what the gateway really uses, secrets replaced.
//!
//! Reading the text again gives the same tree.

use std::fmt::Write as _;

use super::{
    duration,
    node::{Entry, Node, Value},
    problem::Problems,
    types::ByteSize,
};

/// What stands where a secret was.
const REDACTED: &str = "[redacted]";

/// Words in a key, without `-` and `_`, that say its value is secret.
const SECRET_WORDS: [&str; 12] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "authorization",
    "credential",
    "privatekey",
    "accesskey",
    "keypem",
    "connectionstring",
];

/// Does this key guard a secret? Everything under `headers` is taken for one.
pub(super) fn looks_secret(key: &str) -> bool {
    let plain = key.to_ascii_lowercase().replace(['-', '_'], "");
    let names_a_place = ["file", "filename", "path"].iter().any(|end| plain.ends_with(end));
    // Misspelt is secret too: the excerpt of `pasword: …` must not tell.
    let near = |word: &str| plain.len().abs_diff(word.len()) <= 1 && strsim::osa_distance(&plain, word) <= 1;
    let names_a_secret = |word: &str| plain.contains(word) || near(word);
    plain == "headers" || (!names_a_place && SECRET_WORDS.iter().any(|word| names_a_secret(word)))
}

/// A copy without secrets: under keys that look secret, where a component's field is a `Secret` (which `problems`
/// learned when it was decoded), and passwords in URLs.
pub fn redacted(node: &Node, problems: &Problems) -> Node {
    let mut copy = node.clone();
    redact(&mut copy, false, problems);
    copy
}

fn redact(node: &mut Node, secret: bool, problems: &Problems) {
    let secret = secret || problems.is_masked(node);
    match &mut node.value {
        Value::Map(entries) => {
            for Entry { key, node, .. } in entries {
                redact(node, secret || looks_secret(key), problems);
            }
        }
        Value::Seq(items) => items.iter_mut().for_each(|item| redact(item, secret, problems)),
        Value::Null => {}
        Value::Str(text) if !secret => {
            if let Some(without) = without_user(text) {
                *text = without;
            }
        }
        _ if secret => node.value = Value::Str(REDACTED.to_owned()),
        _ => {}
    }
}

/// `https://user:pass@host/` → `https://[redacted]@host/`.
fn without_user(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (_, host) = authority.rsplit_once('@')?;
    Some(format!("{scheme}://{REDACTED}@{host}{}", rest.get(authority.len()..)?))
}

/// YAML text that reads back as the same tree.
pub fn print(node: &Node) -> String {
    let mut out = String::new();
    match &node.value {
        Value::Map(entries) if !entries.is_empty() => map(&mut out, entries, 0),
        Value::Seq(items) if !items.is_empty() => seq(&mut out, items, 0),
        _ => {
            scalar(&mut out, node);
            out.push('\n');
        }
    }
    out
}

fn map(out: &mut String, entries: &[Entry], indent: usize) {
    for (index, entry) in entries.iter().enumerate() {
        if index > 0 || !out.ends_with("- ") {
            out.push_str(&" ".repeat(indent));
        }
        text(out, &entry.key);
        out.push(':');
        value(out, &entry.node, indent);
    }
}

fn seq(out: &mut String, items: &[Node], indent: usize) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 || !out.ends_with("- ") {
            out.push_str(&" ".repeat(indent));
        }
        out.push_str("- ");
        match &item.value {
            Value::Map(entries) if !entries.is_empty() => map(out, entries, indent + 2),
            Value::Seq(items) if !items.is_empty() => seq(out, items, indent + 2),
            _ => {
                scalar(out, item);
                out.push('\n');
            }
        }
    }
}

/// What follows a `key:`.
fn value(out: &mut String, node: &Node, indent: usize) {
    match &node.value {
        Value::Map(entries) if !entries.is_empty() => {
            out.push('\n');
            map(out, entries, indent + 2);
        }
        Value::Seq(items) if items.iter().all(is_word) && !items.is_empty() => {
            let words: Vec<&str> = items.iter().filter_map(Node::text).collect();
            let _ = writeln!(out, " [{}]", words.join(", "));
        }
        Value::Seq(items) if !items.is_empty() => {
            out.push('\n');
            seq(out, items, indent + 2);
        }
        Value::Null => out.push('\n'),
        _ => {
            out.push(' ');
            scalar(out, node);
            out.push('\n');
        }
    }
}

fn scalar(out: &mut String, node: &Node) {
    match &node.value {
        Value::Null => out.push('~'),
        Value::Bool(value) => {
            let _ = write!(out, "{value}");
        }
        Value::Int(value) => {
            let _ = write!(out, "{value}");
        }
        Value::Float(value) if value.is_nan() => out.push_str(".nan"),
        Value::Float(value) if value.is_infinite() => out.push_str(if *value > 0.0 { ".inf" } else { "-.inf" }),
        Value::Float(value) => {
            let _ = write!(out, "{value:?}");
        }
        Value::Str(content) => text(out, &content.replace('$', "$$")),
        Value::Seq(_) => out.push_str("[]"),
        Value::Map(_) => out.push_str("{}"),
    }
}

fn is_word(node: &Node) -> bool {
    matches!(&node.value, Value::Str(text) if is_plain(text) && !text.contains([':', '$']))
}

/// Text that no YAML reader takes for anything else.
fn is_plain(text: &str) -> bool {
    const RESERVED: [&str; 12] =
        ["true", "false", "yes", "no", "on", "off", "y", "n", "null", "nan", "inf", "infinity"];
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '_');
    let inner = text.chars().all(|c| c.is_ascii_alphanumeric() || "_-./:".contains(c));
    let amount = (duration::parse(text).is_ok() && text.ends_with(char::is_alphabetic))
        || (text.parse::<ByteSize>().is_ok() && text.ends_with('B'));
    (starts || amount) && inner && !text.ends_with(':') && !RESERVED.iter().any(|word| word.eq_ignore_ascii_case(text))
}

/// Plain if that is safe, otherwise in double quotes with everything odd escaped.
fn text(out: &mut String, text: &str) {
    if is_plain(text) {
        out.push_str(text);
        return;
    }
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() || ('\u{2028}'..='\u{2029}').contains(&c) || c == '\u{feff}' => {
                let _ = write!(out, "\\U{:08x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
