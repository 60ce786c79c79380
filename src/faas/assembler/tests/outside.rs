//! What others record, against what functions say.

use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::KeyValueList,
    metrics::v1::{Metric, ResourceMetrics, ScopeMetrics, Summary, SummaryDataPoint, metric::Data},
};

use super::*;
use crate::detect::observation::{Channel, Trust};

const SECOND: Nanos = 1000 * MS;
const TRAIL: &[(&str, &str)] = &[("cloud.provider", "aws"), ("service.name", "cloudtrail")];

/// What came through a channel, in words.
fn words(invocation: &Invocation<'_>) -> (Channel, Vec<String>, Vec<(Quantity, u64)>) {
    let seen = invocation.observation;
    assert!(seen.touches.iter().all(|touch| touch.source.trust == seen.channel.trust()));
    let touches = seen.touches.iter().map(|touch| format!("{:?} {}", touch.key.family, touch.key.name));
    (seen.channel, touches.collect(), seen.quantities.to_vec())
}

fn logs(assembler: &mut Assembler, of: &[(&str, &str)], bodies: &[(Nanos, String)]) -> Vec<(Channel, Vec<String>)> {
    let log_records = bodies.iter().map(|(at, body)| LogRecord {
        time_unix_nano: *at,
        body: value(text(body)),
        ..LogRecord::default()
    });
    let scope_logs = vec![ScopeLogs { log_records: log_records.collect(), ..ScopeLogs::default() }];
    let group = ResourceLogs { resource: resource(of), scope_logs, schema_url: String::new() };
    let body = ExportLogsServiceRequest { resource_logs: vec![group] }.encode_to_vec();
    let mut told = Vec::new();
    assembler.logs(&body, &mut |invocation| {
        let (channel, touches, _) = words(&invocation);
        told.push((channel, touches));
    });
    told
}

/// A call to `DynamoDB`, as the service records it.
fn recorded(request: &str, key: &str, address: &str, agent: &str) -> String {
    format!(
        r#"{{"userIdentity":{{"type":"AssumedRole","arn":"arn:aws:sts::123456789012:assumed-role/r/reserve",
        "accountId":"123456789012","accessKeyId":"{key}"}},"eventSource":"dynamodb.amazonaws.com","eventName":"GetItem",
        "awsRegion":"eu-west-1","sourceIPAddress":"{address}","userAgent":"{agent}","requestParameters":
        {{"tableName":"flights"}},"requestID":"{request}","eventID":"e-{request}","recipientAccountId":"123456789012"}}"#
    )
}

fn from_lambda(request: &str) -> String {
    recorded(request, "ASIA1", "3.250.1.2", "Boto3/1.26 exec-env/AWS_Lambda_python3.12")
}

/// An assembler that knows `reserve`, ran it at T with one call, and has heard of services' records.
fn joined() -> Assembler {
    let mut assembler = Assembler::new(Settings::default());
    traces(&mut assembler, &[(RESERVE, &[handler(9, 1, 0)])]);
    logs(&mut assembler, TRAIL, &[(T, from_lambda("before"))]);
    for n in 1..5 {
        let at = n * 60_000;
        let call = Spoken { parent: 1, ..call(n as u8, 100 + n, at + 10, "GetItem", "flights") };
        traces(&mut assembler, &[(RESERVE, &[call, handler(n as u8, 1, at)])]);
    }
    assembler
}

#[test]
fn calls_that_no_span_reported_are_told_as_such() {
    let at = T + 180 * SECOND;
    let identity = ["Identity from 3.250.0.0/16".to_owned(), "Identity with Boto3 on Lambda".to_owned()];
    let act = ["Operation dynamodb.GetItem".to_owned(), "Resource dynamodb:table/flights".to_owned()];
    let words = "dynamodb.GetItem on dynamodb:table/flights";
    for (name, request, at, more) in [
        ("a span tells of it too", "request103", at + 15 * MS, None),
        ("no span does", "unknown", at + 15 * MS, Some(format!("Untraced {words}"))),
        ("nothing was open", "unknown", at + 30 * SECOND, Some(format!("Orphan {words}"))),
        ("from before anybody listened", "unknown", T - SECOND, None),
    ] {
        let mut assembler = joined();
        let mut told = logs(&mut assembler, TRAIL, &[(at, from_lambda(request))]);
        assembler.advance(at + 100 * SECOND, &mut |invocation| {
            let seen = invocation.observation;
            assert_eq!((seen.channel.trust(), seen.complete), (Trust::Provider, false));
            told.push((seen.channel, words_of(&invocation)));
        });
        let mut expected = identity.to_vec();
        if let Some(more) = more {
            expected.push(more);
            expected.extend(act.clone());
        }
        let last = told.last().map(|(channel, touches)| (*channel, touches.clone()));
        assert_eq!(last, Some((Channel::Provider, expected)), "{name}");
    }
}

fn words_of(invocation: &Invocation<'_>) -> Vec<String> {
    words(invocation).1
}

#[test]
fn a_credential_that_is_used_from_two_places_is_told() {
    for (name, key, address, agent, told_so) in [
        ("from its own", "ASIA1", "3.250.9.9", "Boto3/1.26 exec-env/AWS_Lambda_python3.12", false),
        ("from elsewhere", "ASIA1", "198.51.100.7", "aws-cli/2.15", true),
        ("another credential", "ASIA2", "198.51.100.7", "aws-cli/2.15", false),
    ] {
        let mut assembler = joined();
        logs(&mut assembler, TRAIL, &[(T + 60 * SECOND, from_lambda("request101"))]);
        let stolen = recorded("request101", key, address, agent);
        let told = logs(&mut assembler, TRAIL, &[(T + 61 * SECOND, stolen)]);
        let told: Vec<String> = told.into_iter().flat_map(|(_, touches)| touches).collect();
        let found = told.contains(&"Credential from 198.51.0.0/16 with aws-cli".to_owned());
        assert_eq!(found, told_so, "{name}: {told:?}");
    }
}

#[test]
fn an_invocation_the_platform_reports_and_no_span_does_is_silent() {
    let report = |id: &str, status: &str| {
        let line = format!("REPORT RequestId: {id}\tDuration: 12.5 ms\tMax Memory Used: 70 MB\tStatus: {status}\t");
        (T + 200 * SECOND, line)
    };
    for (name, id, status, silent) in [
        ("spans came", "invocation-3-1", "success", None),
        ("none came", "nobody", "success", Some("Silence success")),
        ("it was cut off", "nobody", "timeout", Some("Silence timeout")),
    ] {
        let mut assembler = joined();
        let mut told = logs(&mut assembler, RESERVE, &[report(id, status)]);
        let failed = if status == "timeout" { vec!["Error platform timeout".to_owned()] } else { vec![] };
        assert_eq!(told, [(Channel::Platform, failed)], "{name}");
        told.clear();
        assembler.advance(T + 400 * SECOND, &mut |invocation| told.push((Channel::Platform, words_of(&invocation))));
        let silent: Vec<_> = silent.iter().map(|key| (Channel::Platform, vec![(*key).to_owned()])).collect();
        assert_eq!(
            told.into_iter().filter(|(_, touches)| touches[0].starts_with("Sil")).collect::<Vec<_>>(),
            silent,
            "{name}"
        );
    }
}

#[test]
fn changes_are_told_of_the_changed_function() {
    let change = r#"{"userIdentity":{"type":"IAMUser","arn":"arn:aws:iam::123456789012:user/eve"},"eventSource":
        "lambda.amazonaws.com","eventName":"UpdateFunctionCode20150331v2","awsRegion":"eu-west-1","requestParameters":
        {"functionName":"reserve"},"recipientAccountId":"123456789012","eventID":"e"}"#;
    let mut assembler = joined();
    let told = logs(&mut assembler, TRAIL, &[(T, change.to_owned())]);
    assert_eq!(
        told,
        [(
            Channel::Control,
            vec!["Change user/eve".to_owned(), "Change user/eve lambda.UpdateFunctionCode".to_owned()]
        )]
    );
    // A function that writes such a line has logged something, and that is all.
    let told = logs(&mut assembler, RESERVE, &[(T, change.to_owned())]);
    assert_eq!(told[0].0, Channel::Logs, "{told:?}");
}

#[test]
fn minutes_are_told_whole() {
    let point = |dimensions: &[(&str, &str)], sum| SummaryDataPoint {
        attributes: vec![pair(
            "Dimensions",
            Value::KvlistValue(KeyValueList {
                values: dimensions.iter().map(|(key, value)| pair(key, text(value))).collect(),
            }),
        )],
        time_unix_nano: T + 60 * SECOND,
        count: 1,
        sum,
        ..SummaryDataPoint::default()
    };
    let metric = |name: &str, points| Metric {
        name: format!("amazonaws.com/AWS/Lambda/{name}"),
        data: Some(Data::Summary(Summary { data_points: points })),
        ..Metric::default()
    };
    let reserve = [("FunctionName", "reserve")];
    let alias = [("FunctionName", "reserve"), ("Resource", "reserve:live")];
    let metrics = vec![
        metric("Invocations", vec![point(&reserve, 42.0), point(&alias, 40.0), point(&[], 99.0)]),
        metric("Errors", vec![point(&reserve, 2.0)]),
        metric("IteratorAge", vec![point(&reserve, 7.0)]),
    ];
    let scope_metrics = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
    let of = [("cloud.provider", "aws"), ("cloud.account.id", "123456789012"), ("cloud.region", "eu-west-1")];
    let group = ResourceMetrics { resource: resource(&of), scope_metrics, schema_url: String::new() };
    let body = ExportMetricsServiceRequest { resource_metrics: vec![group] }.encode_to_vec();
    let mut assembler = joined();
    let mut known = 0;
    assembler.traces(&request(&[(RESERVE, &[handler(77, 1, 0)])]), &mut |told| known = told.observation.function);
    let mut told = Vec::new();
    assembler.metrics(&body, &mut |invocation| {
        let seen = invocation.observation;
        assert_eq!((seen.function, seen.end), (known, T + 60 * SECOND));
        told.push(words(&invocation));
    });
    let quantities = vec![(Quantity::Invocations, 42), (Quantity::Failures, 2)];
    assert_eq!(told, [(Channel::Metrics, vec![], quantities)]);
}
