//! `links` of an alert exporter: names and URLs with `{incident_id}`, `{trace_id}` and `{function}` to be filled in.

use std::{collections::BTreeMap, fmt::Write as _};

use reqwest::Url;

use super::Alert;
use crate::config::Report;

/// More links than this nobody follows at three in the morning; Slack takes as many buttons in a row.
const MOST: usize = 5;
const PLACES: [&str; 3] = ["incident_id", "trace_id", "function"];

/// Names and URL templates.
pub type Links = BTreeMap<String, String>;

/// Says what is wrong with `links`, the same for all exporters.
pub fn check_links(links: &Links, report: &mut Report<'_>) {
    if links.len() > MOST {
        report.error("links", format!("has {} links; the most is {MOST}", links.len()));
    }
    for (name, template) in links {
        let path = format!("links::{name}");
        match fill(template, |place| PLACES.contains(&place).then(|| "x".to_owned())) {
            Err(place) => {
                let message = format!("there is nothing to put in the place of `{{{place}}}`");
                report.error(&path, message).suggest(&place, &PLACES);
            }
            Ok(url) => {
                if !Url::parse(&url).is_ok_and(|url| ["http", "https"].contains(&url.scheme())) {
                    report
                        .error(&path, "is not a URL")
                        .hint("such as https://grafana.example.com/explore?trace={trace_id}");
                }
            }
        }
    }
}

/// Name and URL of each link of `alert`; one that wants what the alert does not have is left out.
pub fn links(links: &Links, alert: &Alert) -> Vec<(String, String)> {
    let value = |place: &str| {
        let value = match place {
            "incident_id" => &alert.id,
            "trace_id" => &alert.trace_id,
            _ => &alert.function,
        };
        (!value.is_empty()).then(|| percent_encoded(value))
    };
    links.iter().filter_map(|(name, template)| Some((name.clone(), fill(template, value).ok()?))).collect()
}

/// `template` with its places filled; the first that cannot be.
fn fill(template: &str, value: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut url = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (place, behind) = after.split_once('}').unwrap_or((after, ""));
        url.push_str(before);
        url.push_str(&value(place).ok_or_else(|| place.to_owned())?);
        rest = behind;
    }
    url.push_str(rest);
    Ok(url)
}

fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}
