//! The console's page: files that the `console` extension serves, and nothing else.
//!
//! Plain HTML, CSS and JavaScript modules, served as they are written: nothing is built, nothing is loaded from elsewhere.
//! `main.js` says which view is where; a view loads its data from the API and draws it; `dom.js` is the only place that
//! makes elements, from text alone. `tests/clients/console/` looks at all of it in a real browser.

/// One file, as it is served.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// Where, such as `/` or `/main.js`.
    pub path: &'static str,
    /// Its `Content-Type`.
    pub media_type: &'static str,
    /// What is in it.
    pub body: &'static [u8],
}

macro_rules! page {
    ($file:literal) => {
        Page { path: concat!("/", $file), media_type: media_type($file), body: include_bytes!($file) }
    };
}

/// Every file there is.
pub const PAGES: &[Page] = &[
    Page { path: "/", ..page!("index.html") },
    page!("api.js"),
    page!("dialog.js"),
    page!("dom.js"),
    page!("events.js"),
    page!("format.js"),
    page!("frame.js"),
    page!("help.js"),
    page!("icon.svg"),
    page!("keys.js"),
    page!("listing.js"),
    page!("main.js"),
    page!("marks.js"),
    page!("memory.js"),
    page!("page.js"),
    page!("router.js"),
    page!("sign_in.js"),
    page!("table.js"),
    page!("theme.js"),
    page!("untrusted.js"),
    page!("charts/graph.js"),
    page!("charts/histogram.js"),
    page!("charts/layers.js"),
    page!("charts/score.js"),
    page!("charts/sparkline.js"),
    page!("charts/waterfall.js"),
    page!("style/base.css"),
    page!("style/charts.css"),
    page!("style/views.css"),
    page!("views/activity.js"),
    page!("views/call_graph.js"),
    page!("views/distribution.js"),
    page!("views/fleet.js"),
    page!("views/function.js"),
    page!("views/functions.js"),
    page!("views/incident.js"),
    page!("views/incident/evidence.js"),
    page!("views/incident/scope.js"),
    page!("views/incident/timeline.js"),
    page!("views/incident/traces.js"),
    page!("views/incident/verdict.js"),
    page!("views/incidents.js"),
    page!("views/missing.js"),
    page!("views/proposals.js"),
];

const fn media_type(file: &str) -> &'static str {
    match file.as_bytes() {
        [.., b'.', b'j', b's'] => "text/javascript; charset=utf-8",
        [.., b'.', b'c', b's', b's'] => "text/css; charset=utf-8",
        [.., b'.', b's', b'v', b'g'] => "image/svg+xml",
        _ => "text/html; charset=utf-8",
    }
}

#[cfg(test)]
mod tests;
