//! `cors`: which web pages may send telemetry from a browser, with the Collector's keys.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header};
use serde::Deserialize;

use crate::config::{Check, Report};

/// The configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Pages by their origin, such as `https://shop.example.com`; one `*` in each stands for anything.
    pub allowed_origins: Vec<String>,
    /// Request headers they may set beside the harmless ones; `*` for any.
    pub allowed_headers: Vec<String>,
    /// Response headers they may read.
    pub exposed_headers: Vec<String>,
    /// Seconds a browser may remember the answer to its question.
    pub max_age: u32,
}

/// Headers no list is needed for.
const HARMLESS: [&str; 5] = ["accept", "accept-language", "content-language", "content-type", "origin"];

impl Check for Config {
    fn check(&self, report: &mut Report<'_>) {
        if self.allowed_origins.is_empty() {
            report.warning("", "allows nothing: allowed_origins is empty");
        }
        for (index, origin) in self.allowed_origins.iter().enumerate() {
            let path = format!("allowed_origins.{index}");
            if origin.matches('*').count() > 1 {
                report.error(&path, "may have one `*` only");
            } else if origin != "*" && !origin.contains("://") {
                report.error(&path, "is not an origin").hint(format!("such as https://{origin}"));
            }
        }
        let lists = [("allowed_headers", &self.allowed_headers), ("exposed_headers", &self.exposed_headers)];
        for (key, names) in lists {
            for (index, name) in names.iter().enumerate() {
                if name != "*" && HeaderName::try_from(name).is_err() {
                    report.error(&format!("{key}.{index}"), "is not a valid header name");
                }
            }
        }
    }
}

impl Config {
    /// The headers that answer a browser's question whether a page may send; `None` if the request is no such question.
    pub fn preflight<B>(&self, request: &Request<B>) -> Option<HeaderMap> {
        let asked = request.headers().get(header::ACCESS_CONTROL_REQUEST_METHOD)?;
        if request.method() != Method::OPTIONS {
            return None;
        }
        let mut answer = HeaderMap::new();
        answer.insert(
            header::VARY,
            HeaderValue::from_static("Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
        );
        let wanted = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS);
        if asked == "POST"
            && wanted.is_none_or(|wanted| self.allows_headers(wanted))
            && let Some(origin) = self.allowed(request.headers())
        {
            allow(origin, &mut answer);
            answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
            if let Some(wanted) = wanted {
                answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
            }
            if self.max_age > 0 {
                answer.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from(self.max_age));
            }
        }
        Some(answer)
    }

    /// The headers that let the page which sent `request` read the answer.
    pub fn answer(&self, request: &HeaderMap) -> HeaderMap {
        let mut answer = HeaderMap::new();
        answer.insert(header::VARY, HeaderValue::from_static("Origin"));
        if let Some(origin) = self.allowed(request) {
            allow(origin, &mut answer);
            if let Ok(names) = HeaderValue::try_from(self.exposed_headers.join(", "))
                && !names.is_empty()
            {
                answer.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, names);
            }
        }
        answer
    }

    /// The origin to allow, if that of the request is.
    fn allowed(&self, request: &HeaderMap) -> Option<HeaderValue> {
        let origin = request.get(header::ORIGIN)?;
        let text = origin.to_str().ok()?.to_ascii_lowercase();
        if self.allowed_origins.iter().any(|allowed| allowed == "*") {
            return Some(HeaderValue::from_static("*"));
        }
        self.allowed_origins.iter().any(|allowed| matches(&allowed.to_ascii_lowercase(), &text)).then(|| origin.clone())
    }

    fn allows_headers(&self, wanted: &HeaderValue) -> bool {
        let Ok(wanted) = wanted.to_str() else { return false };
        wanted.split(',').map(str::trim).filter(|name| !name.is_empty()).all(|name| {
            let listed = |allowed: &String| allowed == "*" || allowed.eq_ignore_ascii_case(name);
            HARMLESS.iter().any(|harmless| harmless.eq_ignore_ascii_case(name))
                || self.allowed_headers.iter().any(listed)
                || self.allowed_headers.is_empty() && name.eq_ignore_ascii_case("x-requested-with")
        })
    }
}

fn allow(origin: HeaderValue, answer: &mut HeaderMap) {
    // Browsers do not take the two together.
    if origin != "*" {
        answer.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
}

fn matches(pattern: &str, origin: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == origin,
        Some((start, end)) => {
            origin.len() >= start.len() + end.len() && origin.starts_with(start) && origin.ends_with(end)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_match_whole_or_with_one_wildcard() {
        let table = [
            ("https://test.com", "https://test.com", true),
            ("https://test.com", "https://test.com.evil.org", false),
            ("https://*.test.com", "https://a.b.test.com", true),
            ("https://*.test.com", "https://wwwtest.com", false),
            ("https://*.test.com", "http://www.test.com", false),
            ("http://localhost:*", "http://localhost:8080", true),
            ("https://a*a", "https://a", false),
        ];
        for (pattern, origin, expected) in table {
            assert_eq!(matches(pattern, origin), expected, "{pattern} {origin}");
        }
    }
}
