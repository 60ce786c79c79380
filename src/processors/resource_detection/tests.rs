use std::path::Path;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;

use super::*;
use crate::{
    config::Kind,
    otlp::{any_value::as_text, sample, view::AnyValue},
    pipeline::probe::{self, Script},
};

const LAMBDA: [(&str, &str); 6] = [
    ("AWS_LAMBDA_FUNCTION_NAME", "pay"),
    ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
    ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
    ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/pay"),
    ("AWS_LAMBDA_LOG_STREAM_NAME", "2026/11/26/[1]abc"),
    ("AWS_REGION", "eu-west-1"),
];

/// What is found where these variables and files are.
fn found(yaml: &str, variables: &[(&str, &str)], files: &[(&str, &str)]) -> Result<Vec<String>, String> {
    let (config, problems) = probe::config::<Config>(Kind::Processor, yaml);
    assert_eq!(problems, "", "{yaml}");
    let look = |pairs: &[(&str, &str)]| {
        let pairs: Vec<(String, String)> =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        move |name: &str| pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    };
    let from = Surroundings { variable: Box::new(look(variables)), file: Box::new(look(files)) };
    let found = detect::all(&config, &from)?;
    Ok(found.iter().map(|(key, value)| format!("{key}={}", as_text(AnyValue::parse(value)))).collect())
}

#[test]
fn detectors_find_what_there_is() {
    let given = [("OTEL_RESOURCE_ATTRIBUTES", " a=b , c = d%20e,faas.name=mine, ")];
    assert_eq!(found("{}", &given, &[]), Ok(vec!["a=b".into(), "c=d e".into(), "faas.name=mine".into()]));
    assert_eq!(found("{}", &[("OTEL_RESOURCE", "a=b")], &[]), Ok(vec!["a=b".into()]));
    assert_eq!(found("{}", &[], &[]), Ok(vec![]));
    let lambda = [
        r#"aws.log.group.names=["/aws/lambda/pay"]"#,
        r#"aws.log.stream.names=["2026/11/26/[1]abc"]"#,
        "cloud.platform=aws_lambda",
        "cloud.provider=aws",
        "cloud.region=eu-west-1",
        "faas.instance=2026/11/26/[1]abc",
        "faas.max_memory=512",
        "faas.name=pay",
        "faas.version=$LATEST",
    ];
    assert_eq!(found("detectors: [lambda]", &LAMBDA, &[]), Ok(lambda.map(str::to_owned).to_vec()));
    assert_eq!(found("detectors: [lambda]", &[], &[]), Ok(vec![]), "elsewhere it says nothing");
    let files = [("/proc/sys/kernel/hostname", "gate\n"), ("/etc/machine-id", "abc")];
    let host = found("detectors: [system]", &[], &files).unwrap();
    assert!(host.contains(&"host.name=gate".to_owned()) && host.len() == 2, "{host:?}");
    let chosen =
        "{detectors: [system], system: {resource_attributes: {host.id: {enabled: true}, os.type: {enabled: false}}}}";
    assert_eq!(found(chosen, &[], &files), Ok(vec!["host.id=abc".into(), "host.name=gate".into()]));
}

#[test]
fn the_first_detector_counts() {
    let mut variables = LAMBDA.to_vec();
    variables.push(("OTEL_RESOURCE_ATTRIBUTES", "faas.name=mine"));
    let name =
        |yaml| found(yaml, &variables, &[]).unwrap().into_iter().find(|pair| pair.starts_with("faas.name=")).unwrap();
    assert_eq!(name("detectors: [env, lambda]"), "faas.name=mine");
    assert_eq!(name("detectors: [lambda, env]"), "faas.name=pay");
}

#[test]
fn what_cannot_be_found_out_stops_the_start() {
    for (yaml, variables, expected) in [
        ("{}", &[("OTEL_RESOURCE_ATTRIBUTES", "a=b,c")][..], "`c` is not key=value"),
        ("{}", &[("OTEL_RESOURCE_ATTRIBUTES", "a=%zz")], "`a=%zz` is not key=value"),
        ("detectors: [system]", &[], "cannot find out host.name"),
    ] {
        let error = found(yaml, variables, &[]).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn adds_to_resources_and_replaces_if_told_to() {
    for (replaces, expected) in [(true, "found"), (false, "größe 0")] {
        let text = crate::otlp::any_value::text("found");
        let found = Attributes::from([("text".to_owned(), text.clone()), ("new".to_owned(), text)]);
        let script = Script::new([]);
        let node = ResourceDetection { found, replaces, next: script.clone() };
        let body = sample::traces(1).encode_to_vec().into();
        assert_eq!(node.consume(Batch { signal: Signal::Traces, body, items: 1 }).await, Outcome::Accepted);
        let request = ExportTraceServiceRequest::decode(script.taken().remove(0).body).unwrap();
        let resource = request.resource_spans[0].resource.clone().unwrap();
        let value = |key: &str| {
            let pair = resource.attributes.iter().find(|pair| pair.key == key).unwrap();
            format!("{:?}", pair.value)
        };
        assert!(value("text").contains(expected) && value("new").contains("found"), "{replaces}");
    }
}

#[test]
fn is_built_in_this_process() {
    let config = Config { detectors: vec![Detector::Lambda], ..Config::default() };
    let context = probe::context("resource_detection", Path::new(""));
    assert!(config.build(Signal::Logs, Script::new([]), &context).is_ok());
}

#[test]
fn says_what_is_wrong() {
    #[rustfmt::skip]
    let table = [
        ("no detector",            "detectors: []",                                                        "env, system or lambda"),
        ("an unknown detector",    "detectors: [ec2]",                                                     "ec2"),
        ("no time",                "timeout: 0s",                                                          "more than 0"),
        ("an unknown attribute",   "system: {resource_attributes: {host.nam: {enabled: true}}}",           "did you mean `host.name`?"),
        ("another's attribute",    "lambda: {resource_attributes: {host.name: {enabled: true}}}",          "does not find `host.name`"),
    ];
    for (row, yaml, expected) in table {
        let (_, problems) = probe::config::<Config>(Kind::Processor, yaml);
        assert!(problems.contains(expected), "{row}: {problems}");
    }
}
