use std::sync::Arc;

use super::{
    announced::{Announced, Turn},
    links::{Links, check_links, links},
    sample::{self, alert},
    *,
};
use crate::{
    config::{Check, Kind, Report},
    pipeline::probe,
};

fn read(state: &str, tier: &str) -> Alert {
    Alert::all(&alert("inc-1", state, tier).body).next().unwrap().unwrap()
}

#[test]
fn a_record_is_read_whole_and_made_fit_to_be_shown() {
    let alert = read("updated", "page");
    assert_eq!((alert.id.as_str(), alert.state, alert.tier), ("inc-1", State::Updated, Tier::Page));
    assert_eq!((alert.priority, alert.score, alert.line), (83, 38.5, 21.0));
    assert_eq!((alert.at, alert.first_seen, alert.last_seen), (sample::AT, sample::AT, sample::AT + 60_000_000_000));
    assert_eq!((alert.function.as_str(), alert.version.as_str()), ("checkout", "7"));
    assert_eq!(alert.attribute("cloud.account.id"), "123456789012", "from the resource");
    assert_eq!(alert.attribute("cloud.region"), "eu-west-1", "from the record");
    assert_eq!(alert.evidence[0].observed, "<!channel> 198.51.100.23\u{fffd}\u{fffd}[31m");
    assert_eq!(alert.trace_id, "ab".repeat(16));
    let mut log = sample::record("inc-1", "opened", "page");
    log.event_name.clear();
    assert_eq!(Alert::all(&sample::batch(vec![log]).body).collect::<Vec<_>>(), [None], "a log line is no alert");
}

#[test]
fn it_reads_aloud() {
    let expected = "\
checkout v7 talks to 198.51.100.23, which none of 1,204 invocations did
Function: checkout (version 7)
Where: 123456789012, eu-west-1
When: 2026-11-23T14:02:09Z
Priority: 83 of 100
Surprise: 38.5 bits; 21.0 make a page
Techniques: T1041 (new destination)
Invocations: i-1, i-2, i-3 and more
Incident: inc-1
Why:
- new destination: <!channel> 198.51.100.23\u{fffd}\u{fffd}[31m (seen in 0 of 1204 before; 17.2 bits)
Without the new destination it would score 4.0 bits.
";
    assert_eq!(text::plain(&read("opened", "page")), expected);
    assert!(text::plain(&read("resolved", "page")).starts_with("Resolved: checkout v7 talks"));
}

#[test]
fn a_channel_hears_of_beginning_worsening_and_end() {
    let announced = Announced::default();
    let mut turns = Vec::new();
    for (state, tier) in
        [("resolved", "queue"), ("opened", "queue"), ("updated", "queue"), ("updated", "page"), ("resolved", "page")]
    {
        let alert = read(state, tier);
        turns.push(announced.turn(&alert));
        announced.told(&alert);
    }
    assert_eq!(turns, [Turn::NeverMind, Turn::New, Turn::Update, Turn::Escalated, Turn::Resolved]);
    assert_eq!(announced.turn(&read("updated", "page")), Turn::New, "over means forgotten");
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Linked {
    links: Links,
}

impl Check for Linked {
    fn check(&self, report: &mut Report<'_>) {
        check_links(&self.links, report);
    }
}

#[test]
fn links_are_filled_in_and_checked() {
    let table = [
        ("https://g.example/t/{trace_id}?i={incident_id}", ""),
        ("https://g.example/{trace}", "trace_id"),
        ("https://g.example/{trace_id", ""),
        ("ftp://g.example/", "is not a URL"),
        ("{function}", "is not a URL"),
    ];
    for (template, wrong) in table {
        let (_, said) = probe::config::<Linked>(Kind::Exporter, &format!("{{links: {{a: '{template}'}}}}"));
        assert_eq!(said.is_empty(), wrong.is_empty(), "{template}: {said}");
        assert!(said.contains(wrong), "{template}: {said}");
    }
    let named = Links::from([
        ("trace".to_owned(), "https://g.example/{trace_id}".to_owned()),
        ("function".to_owned(), "https://g.example/f?n={function}&x".to_owned()),
    ]);
    let mut alert = read("opened", "page");
    alert.function = "a&b/ü".to_owned();
    alert.trace_id.clear();
    let filled = links(&named, &alert);
    assert_eq!(
        filled,
        [("function".to_owned(), "https://g.example/f?n=a%26b%2F%C3%BC&x".to_owned())],
        "no trace, no link"
    );
}

/// Says what it is told.
struct Told(Arc<std::sync::Mutex<Vec<String>>>);

impl send::Deliver for Told {
    fn worth_sending(&self, alert: &Alert) -> bool {
        alert.id != "dull"
    }

    fn deliver<'a>(&'a self, alerts: &'a [Alert]) -> crate::pipeline::Boxed<'a, crate::pipeline::Outcome> {
        self.0.lock().unwrap().push(alerts.iter().map(|alert| alert.id.as_str()).collect::<Vec<_>>().join("+"));
        Box::pin(std::future::ready(crate::pipeline::Outcome::Accepted))
    }
}

#[tokio::test(start_paused = true)]
async fn alerts_go_out_in_order_a_few_at_a_time_and_no_faster_than_asked() {
    let told = Arc::<std::sync::Mutex<Vec<String>>>::default();
    let context = probe::context("told", std::path::Path::new("."));
    let (queue, retry) = (send::in_order(), send::patient());
    let pace = std::time::Duration::from_secs(10);
    let terms = send::Terms { tier: Tier::Queue, most: 2, pace, queue: &queue, retry: &retry };
    let exporter = send::sending(Told(told.clone()), &terms, &context).unwrap();
    let page = |id: &str| sample::record(id, "opened", "page");
    let mut line = page("line");
    line.event_name.clear();
    let records =
        vec![page("a"), page("b"), page("c"), page("dull"), sample::record("low", "opened", "evidence"), line];
    let begun = tokio::time::Instant::now();
    exporter.consume(sample::batch(records)).await;
    exporter.drain().await;
    assert_eq!(*told.lock().unwrap(), ["a+b", "c"]);
    assert_eq!(begun.elapsed().as_secs(), 10, "the second request waits");
    let metric = |name| context.metrics.sum(name, None) as u64;
    assert_eq!(metric("sekisho_alerts_below_tier"), 1);
    assert_eq!(metric("otelcol_exporter_send_failed_log_records"), 1, "the log line is no alert");
}

/// What dashboards ask Loki for is in the record: Loki writes attributes with underscores.
#[test]
fn dashboards_ask_for_what_alerts_say() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config-examples/grafana");
    let record = sample::record("inc-1", "opened", "page");
    let known: Vec<String> = record.attributes.iter().map(|pair| pair.key.replace('.', "_")).collect();
    for (board, least) in [("fleet", 2), ("function", 8), ("incident", 6)] {
        let text = std::fs::read_to_string(folder.join(format!("{board}-dashboard.json"))).unwrap();
        let queries = text.lines().filter(|line| line.contains("\"expr\"") && line.contains("service_name"));
        let mut asked = 0;
        for query in queries {
            let words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            for word in words.filter(|word| word.starts_with("sekisho_") || word.starts_with("faas_")) {
                assert!(known.iter().any(|known| known == word), "{board}: no alert says {word}: {query}");
            }
            asked += 1;
        }
        assert!(asked >= least, "{board} asks for too little: {asked}");
    }
}
