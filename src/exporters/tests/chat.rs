//! Slack and Microsoft Teams.

use serde_json::Value;

use super::{
    super::{alert::sample::alert, microsoft_teams, slack},
    build,
    destination::{Act, Destination, soon},
};
use crate::{config::Kind, pipeline::probe};

const STORY: [(&str, &str, &str); 6] = [
    ("inc-1", "opened", "queue"),
    ("inc-1", "updated", "queue"),
    ("inc-1", "updated", "page"),
    ("inc-2", "resolved", "page"),
    ("inc-3", "opened", "evidence"),
    ("inc-1", "resolved", "page"),
];

/// What Slack's documentation allows in a message.
fn assert_slack_takes(message: &Value) {
    let known = ["text", "mrkdwn", "blocks"];
    assert!(message.as_object().unwrap().keys().all(|key| known.contains(&key.as_str())), "{message}");
    let fallback = message["text"].as_str().unwrap();
    assert!(!fallback.contains(['<', '>']), "nothing begins a mention: {fallback}");
    let blocks = message["blocks"].as_array().unwrap();
    assert!(blocks.len() <= 50);
    let plain = |text: &Value, most: usize| {
        assert_eq!(text["type"], "plain_text", "nothing is read as mark-up: {text}");
        let length = text["text"].as_str().unwrap().chars().count();
        assert!((1..=most).contains(&length), "{text}");
    };
    for block in blocks {
        match block["type"].as_str().unwrap() {
            "header" => plain(&block["text"], 150),
            "section" if block["fields"].is_array() => {
                let fields = block["fields"].as_array().unwrap();
                assert!((1..=10).contains(&fields.len()));
                for field in fields {
                    plain(field, 2000);
                }
            }
            "section" => plain(&block["text"], 3000),
            "actions" => {
                let buttons = block["elements"].as_array().unwrap();
                assert!((1..=25).contains(&buttons.len()));
                for button in buttons {
                    assert_eq!(button["type"], "button");
                    plain(&button["text"], 75);
                    assert!(button["url"].as_str().unwrap().len() <= 3000);
                }
            }
            other => panic!("a block of type {other}"),
        }
    }
}

/// What a workflow's webhook takes, and Teams shows.
fn assert_teams_takes(message: &Value) {
    assert!(message.to_string().len() <= 28 << 10, "28 KB");
    assert_eq!(message["type"], "message");
    let attachment = &message["attachments"][0];
    assert_eq!(attachment["contentType"], "application/vnd.microsoft.card.adaptive");
    let card = &attachment["content"];
    assert_eq!((card["type"].as_str(), card["version"].as_str()), (Some("AdaptiveCard"), Some("1.4")));
    for element in card["body"].as_array().unwrap() {
        match element["type"].as_str().unwrap() {
            "TextBlock" => {
                assert!(!element["text"].as_str().unwrap().contains("198.51"), "only our own words: {element}");
            }
            "RichTextBlock" => {
                for run in element["inlines"].as_array().unwrap() {
                    assert_eq!(run["type"], "TextRun");
                    assert!(!run["text"].as_str().unwrap().is_empty());
                }
            }
            other => panic!("an element of type {other}"),
        }
    }
    for action in card["actions"].as_array().unwrap() {
        assert_eq!(action["type"], "Action.OpenUrl");
        assert!(action["title"].is_string() && action["url"].as_str().unwrap().starts_with("https://"));
    }
}

async fn told(exporter: crate::pipeline::Next, destination: &Destination) -> Vec<Value> {
    for (id, state, tier) in STORY {
        exporter.consume(alert(id, state, tier)).await;
    }
    soon("draining", exporter.drain()).await;
    destination.seen().iter().map(|seen| serde_json::from_slice(&seen.body).unwrap()).collect()
}

const SETTINGS: &str = "links: {trace: 'https://grafana.example/t/{trace_id}'}, \
                        retry_on_failure: {initial_interval: 10ms, max_interval: 20ms}";

#[tokio::test]
async fn slack_hears_of_beginning_worsening_and_end() {
    let busy = Act::Http(429, &[("retry-after", "1")], b"rate_limited".to_vec());
    let destination = Destination::new([busy]).await;
    let url = format!("http://{}/services/T0/B0/hunter2", destination.address);
    let (exporter, context) = build::<slack::Config>(&format!("{{webhook_url: '{url}', {SETTINGS}}}"));
    let messages = told(exporter, &destination).await;
    messages.iter().for_each(assert_slack_takes);
    let headers: Vec<&str> = messages.iter().map(|one| one["blocks"][0]["text"]["text"].as_str().unwrap()).collect();
    assert_eq!(
        headers,
        [
            "Look at it today: checkout",
            "Look at it today: checkout",
            "Look at it now: more serious than it looked: checkout",
            "It is over: checkout",
        ],
        "the first one is sent again"
    );
    let seen = destination.seen();
    assert_eq!(
        (seen[0].path.as_str(), &seen[0].headers["content-type"]),
        ("/services/T0/B0/hunter2", &"application/json".parse().unwrap())
    );
    for pair in seen.windows(2) {
        assert!((pair[1].at - pair[0].at).as_millis() >= 950, "one a second, and what Retry-After says");
    }
    assert_eq!(context.metrics.sum("otelcol_exporter_send_failed_log_records", None) as u64, 0);
}

#[tokio::test]
async fn teams_gets_a_card_for_each_and_updates_if_wanted() {
    let taken = || Act::Http(202, &[], vec![]);
    let destination = Destination::new([taken(), taken(), taken(), taken()]).await;
    let url = format!("http://{}/workflows/hunter2", destination.address);
    let (exporter, _) =
        build::<microsoft_teams::Config>(&format!("{{webhook_url: '{url}', updates: true, {SETTINGS}}}"));
    let messages = told(exporter, &destination).await;
    messages.iter().for_each(assert_teams_takes);
    let calls: Vec<&str> = messages
        .iter()
        .map(|message| message["attachments"][0]["content"]["body"][0]["text"].as_str().unwrap())
        .collect();
    let expected = [
        "Look at it today",
        "Look at it today: there is more to it",
        "Look at it now: more serious than it looked",
        "It is over",
    ];
    assert_eq!(calls, expected);
}

/// The URL is the secret: neither what is wrong with it nor a failed attempt may tell it.
#[tokio::test]
async fn the_url_is_not_told() {
    for yaml in ["{webhook_url: 'ftp://hunter2'}", "{webhook_url: hunter2}", "{webhook_url: [hunter2]}"] {
        let (_, said) = probe::config::<slack::Config>(Kind::Exporter, yaml);
        assert!(!said.is_empty() && !said.contains("hunter2"), "{said}");
        let (_, said) = probe::config::<microsoft_teams::Config>(Kind::Exporter, yaml);
        assert!(!said.is_empty() && !said.contains("hunter2"), "{said}");
    }
    let context = probe::context("slack", std::path::Path::new("."));
    let health = std::sync::Arc::new(crate::pipeline::health::Health::default());
    health.set([("logs".to_owned(), crate::pipeline::health::State::Ready, vec![context.component.clone()])]);
    context.shared.put(crate::pipeline::health::Health::NAME, health.clone());
    let yaml =
        "{webhook_url: 'http://127.0.0.1:1/hunter2', retry_on_failure: {initial_interval: 1ms, max_interval: 1ms}}";
    let (config, _) = probe::config::<slack::Config>(Kind::Exporter, yaml);
    let exporter = crate::pipeline::component::ExporterConfig::build(&config, &context).unwrap();
    exporter.consume(alert("inc-1", "opened", "page")).await;
    let told = soon("an attempt fails", async {
        loop {
            let states = format!("{:?}", health.states());
            if states.contains("refused") {
                return states;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    });
    assert!(!told.await.contains("hunter2"));
}
