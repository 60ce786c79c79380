//! Attack techniques as they were really executed, from the audit log's records of them.
//!
//! The records are of an account without functions, so an ordinary one is simulated around them: an airline, two weeks from
//! which the detector learns. Then each technique is played twice into a future of its own, as the collector would post it
//! five minutes late: *as recorded*, by the user who did it, and *with stolen credentials*, the caller exchanged for the
//! session of one function. Of both the account is exchanged for the simulated one, and functions that are named for one
//! that exists. The tool's name is taken out of the user agent. All else is as recorded: calls, parameters, errors, source
//! address and pace.

use std::{fmt::Write as _, path::Path};

use bytes::Bytes;
use serde_json::{Value, json};

use super::{super::observations::Watch, archive::files};
use crate::{
    detect::{
        observation::{Nanos, Observation},
        verdict::{Evidence, Tier, Verdict},
    },
    otlp::{
        Batch, Signal,
        wire::put_bytes,
        write::{
            field::{ITEMS, RESOURCE, RESOURCE_ATTRIBUTES, RESOURCES, SCOPES},
            fixed64, nested, text,
        },
    },
    testbed::{
        Options, Simulation, Sources, Story,
        application::{ACCOUNT, REGION},
        benign::{DAY, HOUR, MINUTE, SECOND},
    },
};

/// Ordinary days before, and the share of the usual traffic.
const DAYS: u32 = 14;
const SCALE: f64 = 0.1;
/// Whose credentials are stolen, and who is changed.
const FUNCTION: &str = "search-flights";
const AGENT: &str = "aws-cli/2.15.0";
/// One false page a week.
const BUDGET_PER_DAY: f64 = 1.0 / 7.0;
/// `LogRecord.body`.
const LOG_BODY: u32 = 5;
/// Evidence beyond these is not read by anybody.
const SHOWN: usize = 3;

/// As whom the records are played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caller {
    Recorded,
    Function,
}

/// What became of one technique.
#[derive(Clone, Debug, Default)]
struct Found {
    tier: Option<Tier>,
    evidence: Vec<Evidence>,
}

/// What evidence names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Named {
    call: bool,
    origin: bool,
}

/// What became of it, as Markdown.
pub fn evaluate(folder: &Path) -> Result<String, String> {
    let techniques = files(&folder.join("detonation-logs.tar.zst"))?;
    let options =
        Options { days: DAYS + 1, scale: SCALE, story: Story::Everyday, sources: Sources::ALL, ..Options::default() };
    let morning = options.start + u64::from(DAYS) * DAY + 10 * HOUR;
    let mut simulation = Simulation::new(options);
    let mut watch = Watch::new(BUDGET_PER_DAY);
    while let Some(delivery) = simulation.next_before(morning) {
        watch.see(&delivery.batch, &mut |_, _| {});
    }
    let mut out = String::from(
        "Each technique's records in a simulated account, as recorded (by the user who did it) and with the credentials of a \
         function.\n\n| technique | records | as recorded | with stolen credentials | first evidence | names |\n\
         |---|---|---|---|---|---|\n",
    );
    let (mut all, mut evident, mut named, mut paged) = (0, 0, 0, 0);
    for (file, content) in &techniques {
        let records: Vec<Value> = serde_json::from_str(content).map_err(|error| format!("{file}: {error}"))?;
        let play = |caller| play(simulation.clone(), watch.clone(), &changed(&records, caller), morning + MINUTE);
        let [recorded, stolen] = [play(Caller::Recorded), play(Caller::Function)];
        let best = if stolen.evidence.is_empty() { &recorded } else { &stolen };
        let found = best.names(&records);
        all += 1;
        evident += u64::from(best.tier.is_some());
        named += u64::from(found.call || found.origin);
        paged += u64::from(best.tier == Some(Tier::Page));
        let first = best.evidence.first().map_or("-", |first| first.observed.as_str());
        let tier = |found: &Found| found.tier.map_or("nothing", Tier::name);
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {first} | {} |",
            file.trim_end_matches(".json").trim_start_matches("aws."),
            records.len(),
            tier(&recorded),
            tier(&stolen),
            found.in_words()
        );
    }
    let _ = writeln!(
        out,
        "\n**Of {all} techniques {evident} raise evidence, {named} evidence that names the call or its origin among the \
         first {SHOWN}, and {paged} page.** A call that a person makes in their own name, and that is about no function, is \
         nobody's here: as recorded only changes to functions are evidence."
    );
    Ok(out)
}

/// The records as they would be of the simulated account.
fn changed(records: &[Value], caller: Caller) -> Vec<Value> {
    let mut records = records.to_vec();
    for record in &mut records {
        let Some(fields) = record.as_object_mut() else { continue };
        fields.insert("recipientAccountId".to_owned(), json!(ACCOUNT));
        fields.insert("awsRegion".to_owned(), json!(REGION));
        if fields.get("userAgent").and_then(Value::as_str).is_some_and(|agent| agent.contains("stratus")) {
            fields.insert("userAgent".to_owned(), json!(AGENT));
        }
        if let Some(name) =
            fields.get_mut("requestParameters").and_then(|parameters| parameters.get_mut("functionName"))
        {
            *name = json!(FUNCTION);
        }
        if caller == Caller::Function {
            let arn = format!("arn:aws:sts::{ACCOUNT}:assumed-role/{FUNCTION}-role/{FUNCTION}");
            let identity = json!({
                "type": "AssumedRole", "arn": arn, "accountId": ACCOUNT, "accessKeyId": "ASIA2XTESTBEDSTOLEN0"
            });
            fields.insert("userIdentity".to_owned(), identity);
        }
    }
    records
}

/// Plays records from `begins` on and what goes on beside them, and says what was judged of the function.
fn play(mut simulation: Simulation, mut watch: Watch, records: &[Value], begins: Nanos) -> Found {
    let post = begins + 5 * MINUTE;
    let ids: Vec<&str> = records.iter().filter_map(|record| record.get("eventID")?.as_str()).collect();
    let mut found = Found::default();
    let mut told = |seen: &Observation<'_>, verdict: &Verdict| {
        let id = seen.invocation_id;
        if !id.is_empty() && ids.iter().any(|known| known.starts_with(id)) {
            found.take(verdict);
        }
    };
    let mut request = Some(request(records, begins));
    simulation.extend(begins + HOUR);
    while let Some(delivery) = simulation.next_before(begins + HOUR) {
        if let Some(request) = request.take_if(|_| delivery.at >= post) {
            watch.see(&request, &mut told);
        }
        watch.see(&delivery.batch, &mut told);
    }
    found
}

/// The records as one post, the first of them at `begins`.
fn request(records: &[Value], begins: Nanos) -> Batch {
    let times = || records.iter().map(seconds);
    let first = times().min().unwrap_or(0);
    let mut body = Vec::new();
    nested(&mut body, RESOURCES, 3, |out| {
        nested(out, RESOURCE, 1, |out| {
            for (key, value) in [("cloud.provider", "aws"), ("cloud.account.id", ACCOUNT), ("cloud.region", REGION)] {
                text(out, RESOURCE_ATTRIBUTES, key, value);
            }
        });
        nested(out, SCOPES, 3, |out| {
            for (record, time) in records.iter().zip(times()) {
                nested(out, ITEMS, 2, |out| {
                    fixed64(out, 1, begins + (time - first) * SECOND);
                    nested(out, LOG_BODY, 2, |out| put_bytes(out, 1, record.to_string().as_bytes()));
                    fixed64(out, 11, begins + 5 * MINUTE);
                });
            }
        });
    });
    Batch { signal: Signal::Logs, body: Bytes::from(body), items: records.len() }
}

/// Seconds of the day; no technique takes longer.
fn seconds(record: &Value) -> u64 {
    let time = record.get("eventTime").and_then(Value::as_str).and_then(|time| time.get(11..19)).unwrap_or_default();
    time.split(':').filter_map(|part| part.parse::<u64>().ok()).fold(0, |sum, part| sum * 60 + part)
}

impl Found {
    /// Keeps the gravest, and of equally grave ones the first.
    fn take(&mut self, verdict: &Verdict) {
        if verdict.tier > self.tier {
            (self.tier, self.evidence) = (verdict.tier, verdict.evidence.clone());
        }
    }

    /// What of the records is in the evidence that a person reads.
    fn names(&self, records: &[Value]) -> Named {
        let said = |wanted: &str| {
            let shown = self.evidence.iter().take(SHOWN);
            let mut texts = shown.flat_map(|evidence| {
                [evidence.key.as_ref().map_or("", |key| key.name.as_str()), evidence.observed.as_str()]
            });
            !wanted.is_empty() && texts.any(|text| text.contains(wanted))
        };
        let of = |record: &Value, field: &str| record.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        let call = |record: &Value| of(record, "eventName").split("2015").next().unwrap_or_default().to_owned();
        let network = |record: &Value| {
            let address = of(record, "sourceIPAddress");
            let parts: Vec<&str> = address.split('.').take(2).collect();
            if parts.len() == 2 { parts.join(".") } else { address }
        };
        Named {
            call: records.iter().any(|record| said(&call(record))),
            origin: records.iter().any(|record| said(&network(record))),
        }
    }
}

impl Named {
    const fn in_words(self) -> &'static str {
        match (self.call, self.origin) {
            (true, true) => "call and origin",
            (true, false) => "call",
            (false, true) => "origin",
            (false, false) => "neither",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::observation::{Channel, Family};

    fn record(name: &str, time: &str, parameters: &Value) -> Value {
        json!({
            "eventSource": "lambda.amazonaws.com", "eventName": name, "eventTime": time, "eventID": "e-1",
            "requestID": "r-1", "sourceIPAddress": "151.236.251.251", "userAgent": "stratus-red-team_1",
            "recipientAccountId": "1", "requestParameters": parameters,
            "userIdentity": { "type": "IAMUser", "arn": "arn:aws:iam::1:user/eve", "accountId": "1" }
        })
    }

    #[test]
    fn a_recorded_change_of_a_function_reaches_it() {
        let update = record("UpdateFunctionCode20150331v2", "2024-08-01T13:52:02Z", &json!({"functionName": "theirs"}));
        let records = changed(&[update], Caller::Recorded);
        assert!(!records[0].to_string().contains("stratus"));
        let mut told = Vec::new();
        let mut watch = Watch::new(BUDGET_PER_DAY);
        watch.see(&request(&records, 1_700_000_000 * SECOND), &mut |seen, _| {
            let keys: Vec<(Family, String)> =
                seen.touches.iter().map(|touch| (touch.key.family, touch.key.name.to_owned())).collect();
            told.push((seen.function_name.to_owned(), seen.channel, seen.end, keys));
        });
        let changes = ["user/eve", "user/eve lambda.UpdateFunctionCode"].map(|name| (Family::Change, name.to_owned()));
        assert_eq!(told, [(FUNCTION.to_owned(), Channel::Control, 1_700_000_000 * SECOND, changes.to_vec())]);
    }

    #[test]
    fn records_keep_their_pace_and_evidence_is_held_against_them() {
        let parameters = json!({});
        let records = [
            record("GetSecretValue", "2024-08-01T13:52:09Z", &parameters),
            record("ListSecrets", "2024-08-01T13:52:02Z", &parameters),
        ];
        assert_eq!(records.iter().map(seconds).collect::<Vec<_>>(), [49_929, 49_922]);
        let batch = request(&records, SECOND);
        let logs = crate::otlp::view::resources(&batch.body).flat_map(|group| group.scopes().collect::<Vec<_>>());
        assert_eq!(logs.map(|scope| scope.records().count()).sum::<usize>(), 2);
        assert_eq!(Found::default().names(&records), Named::default());
    }
}
