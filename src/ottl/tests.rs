use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::otlp::{
    json::{to_json, to_protobuf},
    sample,
    view::{self, ResourceGroup, ScopeGroup},
};

/// A request of each signal, with one record of each kind.
const TRACES: &str = r#"{"resourceSpans": [{
    "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}], "droppedAttributesCount": 2},
    "scopeSpans": [{
        "scope": {"name": "io.http", "version": "1.2", "attributes": [{"key": "s", "value": {"boolValue": true}}]},
        "spans": [{
            "traceId": "0102030405060708090a0b0c0d0e0f10", "spanId": "0102030405060708", "traceState": "a=b",
            "name": "GET /orders/7", "kind": 2, "startTimeUnixNano": "1000", "endTimeUnixNano": "4500",
            "status": {"code": 2, "message": "broken"}, "flags": 257, "droppedEventsCount": 1,
            "attributes": [
                {"key": "text", "value": {"stringValue": "größe"}},
                {"key": "digits", "value": {"stringValue": "42"}},
                {"key": "count", "value": {"intValue": "7"}},
                {"key": "ratio", "value": {"doubleValue": 0.5}},
                {"key": "flag", "value": {"boolValue": true}},
                {"key": "bytes", "value": {"bytesValue": "AP8="}},
                {"key": "empty", "value": {}},
                {"key": "list", "value": {"arrayValue": {"values": [{"intValue": "1"}, {"stringValue": "b"}]}}},
                {"key": "map", "value": {"kvlistValue": {"values": [
                    {"key": "inner", "value": {"stringValue": "x"}}, {"key": "n", "value": {"intValue": "1"}}]}}}
            ],
            "events": [{"timeUnixNano": "2000", "name": "exception",
                "attributes": [{"key": "exception.type", "value": {"stringValue": "Timeout"}}]}]
        }]
    }]
}]}"#;

const LOGS: &str = r#"{"resourceLogs": [{"resource": {}, "scopeLogs": [{"scope": {}, "logRecords": [{
    "timeUnixNano": "5", "observedTimeUnixNano": "6", "severityNumber": 13, "severityText": "warn", "eventName": "e",
    "body": {"kvlistValue": {"values": [{"key": "msg", "value": {"stringValue": "password=x"}}]}},
    "attributes": [{"key": "raw", "value": {"stringValue": "{\"a\": {\"b\": [1, \"c\"]}}"}}],
    "traceId": "0102030405060708090a0b0c0d0e0f10"
}]}]}]}"#;

const METRICS: &str = r#"{"resourceMetrics": [{"resource": {}, "scopeMetrics": [{"scope": {}, "metrics": [{
    "name": "requests", "unit": "1", "sum": {"aggregationTemporality": 2, "isMonotonic": true, "dataPoints": [
        {"asInt": "7", "timeUnixNano": "9", "attributes": [{"key": "code", "value": {"intValue": "500"}}]}]}
}]}]}]}"#;

fn request(context: Context) -> Vec<u8> {
    let (signal, json) = match context {
        Context::Metric | Context::Datapoint => (Signal::Metrics, METRICS),
        Context::Log => (Signal::Logs, LOGS),
        _ => (Signal::Traces, TRACES),
    };
    to_protobuf(signal, json.as_bytes()).unwrap()
}

/// The scene of the first record of each kind in a request.
fn scene(context: Context, body: &[u8]) -> Scene<'_> {
    let group: ResourceGroup<'_> = view::resources(body).next().unwrap();
    let scope: ScopeGroup<'_> = group.scopes().next().unwrap();
    let record = scope.records().next().unwrap();
    let scene = Scene::new().with(Level::Resource, group.resource()).with(Level::Scope, scope.scope());
    match context {
        Context::Metric | Context::Datapoint => {
            let (points, point) = view::points(record).next().unwrap();
            scene.with(Level::Metric, record).with_point(points, point)
        }
        Context::Log => scene.with(Level::Log, record),
        _ => scene.with(Level::Span, record).with(Level::SpanEvent, view::messages(record, 11).next().unwrap()),
    }
}

fn holds(text: &str, context: Context) -> Result<bool, String> {
    let condition = Condition::parse(text, context).unwrap_or_else(|fault| panic!("{text}: {fault}"));
    let body = request(context);
    condition.holds(&scene(context, &body)).map_err(|failure| failure.to_string())
}

#[test]
fn conditions_hold_as_in_the_collector() {
    use Context::{Datapoint, Log, Metric, Resource, Scope, Span, SpanEvent};
    #[rustfmt::skip]
    let table = [
        (Span,      r#"attributes["text"] == "größe""#,                             true),
        (Span,      r#"span.attributes["count"] == 7"#,                             true),
        (Span,      r#"attributes["count"] == 7.0"#,                                true),
        (Span,      r#"attributes["count"] == "7""#,                                false),
        (Span,      r#"attributes["count"] != "7""#,                                true),
        (Span,      r#"attributes["count"] < "8""#,                                 false),
        (Span,      r#"attributes["ratio"] <= .5 and attributes["count"] > -1"#,    true),
        (Span,      r#"attributes["flag"] == true"#,                                true),
        (Span,      r#"attributes["flag"] > false"#,                                true),
        (Span,      r#"attributes["bytes"] == 0x00ff"#,                             true),
        (Span,      r#"attributes["absent"] == nil"#,                               true),
        (Span,      r#"attributes["absent"] >= nil"#,                               true),
        (Span,      r#"attributes["absent"] > nil"#,                                false),
        (Span,      r#"attributes["absent"] != "a""#,                               true),
        (Span,      r#"attributes["empty"] == nil"#,                                true),
        (Span,      r#"attributes["map"]["inner"] == "x""#,                         true),
        (Span,      r#"attributes["map"]["absent"] == nil"#,                        true),
        (Span,      r#"attributes["map"] == {"n": 1, "inner": "x"}"#,               true),
        (Span,      r#"attributes["list"] == [1, "b"]"#,                            true),
        (Span,      r#"attributes["list"][1] == "b""#,                              true),
        (Span,      r#"attributes[resource.attributes["service.name"]] == nil"#,    true),
        (Span,      r#"resource.attributes["service.name"] == "shop""#,             true),
        (Span,      "resource.dropped_attributes_count == 2",                       true),
        (Span,      r#"instrumentation_scope.name == "io.http""#,                   true),
        (Span,      r#"scope.version == "1.2" and scope.attributes["s"] == true"#,  true),
        (Span,      r#"name == "GET /orders/7""#,                                   true),
        (Span,      "kind == SPAN_KIND_SERVER",                                     true),
        (Span,      r#"kind.string == "Server""#,                                   true),
        (Span,      r#"kind.deprecated_string == "SPAN_KIND_SERVER""#,              true),
        (Span,      r#"status.code == STATUS_CODE_ERROR and status.message == "broken""#, true),
        (Span,      "end_time_unix_nano - start_time_unix_nano > 3 * 1000",         true),
        (Span,      "(end_time_unix_nano - start_time_unix_nano) / 2 == 1750",      true),
        (Span,      "2 + 3 * 4 == 14 and -(2 + 3) == -5",                           true),
        (Span,      r#"trace_id.string == "0102030405060708090a0b0c0d0e0f10""#,     true),
        (Span,      r#"trace_id == TraceID("0102030405060708090a0b0c0d0e0f10")"#,   true),
        (Span,      "span_id == SpanID(0x0102030405060708)",                        true),
        (Span,      r#"parent_span_id.string == "0000000000000000""#,               true),
        (Span,      "IsRootSpan()",                                                 true),
        (Span,      r#"trace_state == "a=b" and flags == 257"#,                     true),
        (Span,      "true or attributes[\"count\"] == 1 and false",                 true),
        (Span,      "(true or true) and false",                                     false),
        (Span,      r#"not attributes["count"] == 7"#,                              false),
        (Span,      r#"not (name == "a" or name == "b")"#,                          true),
        (Span,      r#"IsMatch(name, "^GET /orders/\\d+$")"#,                       true),
        (Span,      r#"IsMatch(attributes["count"], "7")"#,                         true),
        (Span,      r#"IsMatch(attributes["absent"], ".*")"#,                       false),
        (Span,      r#"Concat([name, attributes["count"], attributes["absent"]], "-") == "GET /orders/7-7-<nil>""#, true),
        (Span,      r#"ConvertCase(attributes["text"], "upper") == "GRÖSSE" or ToUpperCase("é") == "É""#, true),
        (Span,      r#"Int(attributes["digits"]) == 42 and Double("1.5") == 1.5"#,  true),
        (Span,      r#"Int(attributes["absent"]) == nil and Int(1.9) == 1"#,        true),
        (Span,      r#"String(attributes["ratio"]) == "0.5" and String(attributes["bytes"]) == "00ff""#, true),
        (Span,      r#"String(attributes["map"]) == "{\"inner\":\"x\",\"n\":1}""#,  true),
        (Span,      r#"SHA256("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad""#, true),
        (Span,      r#"Len(attributes["text"]) == 7 and Len(attributes["list"]) == 2 and Len(attributes) == 9"#, true),
        (Span,      r#"IsString(attributes["text"]) and not IsString(attributes["absent"])"#, true),
        (Span,      r#"IsMap(attributes) and IsList(attributes["list"]) and IsInt(1) and IsDouble(1.0) and IsBool(true)"#, true),
        (Span,      r#"Split(name, "/")[2] == "7" and Substring(name, 0, 3) == "GET""#, true),
        (Span,      r#"Substring(attributes["text"], 0, 4) == "grö" and Substring(attributes["text"], 3, 4) == "ße""#, true),
        (Span,      r#"Trim("  a ") == "a" and TrimPrefix(name, "GET ") == "/orders/7""#, true),
        (Span,      r#"HasPrefix(name, "GET") and HasSuffix(name, "/7")"#,          true),
        (Span,      r#"IsEmpty(attributes["empty"]) and IsEmpty("") and not IsEmpty(name)"#, true),
        (Span,      r#"ExtractPatterns(name, "/(?P<what>\\w+)/(?P<id>\\d+)")["id"] == "7""#, true),
        (SpanEvent, r#"name == "exception" and span.name == "GET /orders/7" and time_unix_nano == 2000"#, true),
        (SpanEvent, r#"attributes["exception.type"] == "Timeout""#,                 true),
        (Resource,  r#"attributes["service.name"] == "shop""#,                      true),
        (Scope,     r#"name == "io.http" and resource.attributes["service.name"] == "shop""#, true),
        (Log,       "severity_number >= SEVERITY_NUMBER_WARN and log.severity_number < SEVERITY_NUMBER_ERROR", true),
        (Log,       r#"severity_text == "warn" and event_name == "e""#,             true),
        (Log,       r#"IsMatch(body, "password") and body["msg"] == "password=x""#, true),
        (Log,       r#"body.string == "{\"msg\":\"password=x\"}""#,                 true),
        (Log,       r#"ParseJSON(attributes["raw"])["a"]["b"][0] == 1.0"#,          true),
        (Log,       "time_unix_nano == 5 and observed_time_unix_nano == 6",      true),
        (Log,       r#"log.span_id.string == "0000000000000000""#,                  true),
        (Metric,    r#"name == "requests" and unit == "1" and description == """#,  true),
        (Metric,    "type == METRIC_DATA_TYPE_SUM and is_monotonic == true",        true),
        (Metric,    "aggregation_temporality == AGGREGATION_TEMPORALITY_CUMULATIVE", true),
        (Metric,    r#"HasAttrKeyOnDatapoint("code") and HasAttrOnDatapoint("code", 500)"#, true),
        (Metric,    r#"HasAttrOnDatapoint("code", "500")"#,                         false),
        (Datapoint, r#"datapoint.attributes["code"] == 500 and metric.name == "requests""#, true),
        (Datapoint, "value_int == 7 and value_double == 0.0 and time_unix_nano == 9", true),
        (Datapoint, "flags == FLAG_NONE and count == nil",                          true),
    ];
    for (context, text, expected) in table {
        assert_eq!(holds(text, context), Ok(expected), "{text}");
    }
}

#[test]
fn what_cannot_be_computed_fails() {
    #[rustfmt::skip]
    let table = [
        (r#"attributes["count"] + "a" == 1"#,       "expected a number, not text"),
        ("1 / (1 - 1) == 0",                        "division by zero"),
        (r#"attributes["list"][7] == 1"#,           "the list has no element 7"),
        (r#"attributes["count"]["a"] == 1"#,        "nothing can be looked up in an int"),
        ("Int(name) == 1",                       "`GET /orders/7` is no whole number"),
        (r#"Substring(name, 10, 10) == "a""#,       "text of 13 bytes has no 10 bytes at 10"),
        (r#"SHA256(attributes["absent"]) == "a""#,  "expected text, not nil"),
        ("Len(1) == 1",                          "expected text, bytes, a list or a map, not an int"),
        ("ParseJSON(name) == 1",                 "is not JSON"),
        (r#"TraceID("01") == nil"#,                 "an id has 32 hexadecimal digits"),
    ];
    for (text, expected) in table {
        let failure = holds(text, Context::Span).unwrap_err();
        assert!(failure.contains(expected), "{text}: {failure}");
    }
}

#[test]
fn faults_say_where_and_what_would_be_right() {
    #[rustfmt::skip]
    let table = [
        ("an unknown editor",         r#"sett(name, "a")"#,                         0,  "unknown editor `sett`",          "did you mean `set`?"),
        ("an unknown function",       r#"set(name, Konkat([name], "a"))"#,          10, "unknown function `Konkat`",      "did you mean `Concat`?"),
        ("an unknown path",           r#"set(nmae, "a")"#,                          4,  "unknown path `nmae`",            "did you mean `name`?"),
        ("an unknown prefixed path",  r#"set(resource.attribute["a"], 1)"#,         4,  "unknown path",                   "did you mean `resource.attributes`?"),
        ("another context",           r#"set(log.body, "a")"#,                      4,  "cannot be reached",              "needs the context log"),
        ("an unknown enum",           "set(kind, SPAN_KIND_SERVR)",                 10, "unknown enum",                   "did you mean `SPAN_KIND_SERVER`?"),
        ("an unknown argument",       "limit(attributes, 1, priorty_keys=[])",   37, "another argument: priority_keys", ""),
        ("too few arguments",         "set(name)",                                  8,  "needs another argument: value",  ""),
        ("too many arguments",        r#"set(name, "a", "b")"#,                     15, "takes 2 arguments",              "target, value"),
        ("no path to set",            r#"set("a", "b")"#,                           4,  "expected a path",                ""),
        ("what cannot be looked up",  r#"set(name["a"], "b")"#,                     4,  "nothing can be looked up",       ""),
        ("a broken pattern",          r#"replace_pattern(name, "a(", "b")"#,        22, "not a regular expression",       ""),
        ("a pattern with one slash",  r#"replace_pattern(name, "\d", "b")"#,        23, "mean nothing",                   "twice"),
        ("a value as condition",      r#"set(name, "a") where kind"#,               21, "expected a condition",           "compare"),
        ("a condition as value",      "set(name, (kind == 1))",                  10, "not a condition",                ""),
        ("one equals sign",           r#"set(name, "a") where kind = 1"#,           26, "expected a comparison",          "`==`"),
        ("single quotes",             "set(name, 'a')",                             10, "no meaning",                     "double quotes"),
        ("an open text",              r#"set(name, "a)"#,                           10, "without a closing quote",        ""),
        ("an open parenthesis",       r#"set(name, "a""#,                           13, "expected `,` or `)`",            ""),
        ("something behind",          r#"set(name, "a") name"#,                     15, "expected the end",               ""),
        ("nothing",                   "",                                           0,  "expected an editor",             ""),
        ("odd digits of bytes",       "set(name, 0x123)",                           10, "even number",                    ""),
        ("a number too large",        "set(kind, 99999999999999999999)",            10, "too large",                      ""),
        ("a list of what",            "keep_keys(attributes, [kind == 1])",         28, "expected `,` or `]`",            ""),
        ("a mode that is none",       r#"replace_all_patterns(attributes, "keys", "a", "b")"#, 33, "unknown mode `keys`", "`key`"),
        ("a converter as statement",  r#"Concat(["a"], "b")"#,                      0,  "unknown editor `Concat`",        ""),
        ("an editor as value",        r#"set(name, delete_key(attributes, "a"))"#,  10, "is an editor",                   ""),
        ("a span's function",         r#"set(name, HasAttrKeyOnDatapoint("a"))"#,   10, "unknown function",               ""),
    ];
    for (row, text, at, message, hint) in table {
        let fault = Statement::parse(text, Context::Span).map(|_| ()).unwrap_err();
        assert!(fault.message.contains(message), "{row}: {fault:?}");
        assert!(fault.hint.clone().unwrap_or_default().contains(hint), "{row}: {fault:?}");
        if row != "an unknown argument" {
            assert_eq!(fault.at, at, "{row}: {fault:?}");
        }
    }
    let deep = format!("{}true{}", "(".repeat(1000), ")".repeat(1000));
    let fault = Condition::parse(&deep, Context::Span).unwrap_err();
    assert!(fault.message.contains("nests deeper"), "{fault}");
}

/// The attributes and the JSON of the record after statements.
fn after(context: Context, statements: &[&str]) -> String {
    let body = request(context);
    let mut stage = Stage::new(scene(context, &body));
    let mut patch = Patch::default();
    for text in statements {
        let statement = Statement::parse(text, context).unwrap_or_else(|fault| panic!("{text}: {fault}"));
        statement.run(&mut stage, &mut patch).unwrap_or_else(|failure| panic!("{text}: {failure}"));
    }
    // The message in a request of its own, for JSON's sake.
    let wrapped = |number: u32, message: &[u8]| {
        let mut out = Vec::new();
        crate::otlp::wire::put_bytes(&mut out, number, message);
        out
    };
    let record = stage.scene().get(context.level()).to_vec();
    let (signal, record) = match context {
        Context::Log => (Signal::Logs, record),
        Context::Metric => (Signal::Metrics, record),
        Context::Datapoint => (Signal::Metrics, wrapped(7, &wrapped(1, &record))),
        _ => (Signal::Traces, record),
    };
    let mut json = Vec::new();
    to_json(signal, &wrapped(1, &wrapped(2, &wrapped(2, &record))), &mut json);
    String::from_utf8(json).unwrap()
}

#[test]
fn statements_change_what_they_say() {
    use Context::{Datapoint, Log, Metric, Span};
    let text = |key: &str, value: &str| format!(r#"{{"key":"{key}","value":{{"stringValue":"{value}"}}}}"#);
    #[rustfmt::skip]
    let table = [
        (Span, r#"set(name, Concat([kind.string, name], " "))"#,                r#""name":"Server GET /orders/7""#.to_owned()),
        (Span, "set(kind, SPAN_KIND_CLIENT)",                                   r#""kind":3"#.to_owned()),
        (Span, r#"set(kind.string, "Producer")"#,                               r#""kind":4"#.to_owned()),
        (Span, r#"set(status.message, "fixed")"#,                               r#""status":{"message":"fixed","code":2}"#.to_owned()),
        (Span, "set(status.code, STATUS_CODE_OK)",                              r#""status":{"message":"broken","code":1}"#.to_owned()),
        (Span, "set(end_time_unix_nano, start_time_unix_nano + 1)",             r#""endTimeUnixNano":"1001""#.to_owned()),
        (Span, r#"set(trace_id.string, "ff02030405060708090a0b0c0d0e0f10")"#,   r#""traceId":"ff02030405060708090a0b0c0d0e0f10""#.to_owned()),
        (Span, "set(parent_span_id, SpanID(0x0102030405060709))",               r#""parentSpanId":"0102030405060709""#.to_owned()),
        (Span, r#"set(attributes["text"], resource.attributes["service.name"])"#, text("text", "shop")),
        (Span, r#"set(attributes["map"]["inner"], 5)"#,                         r#"{"key":"inner","value":{"intValue":"5"}}"#.to_owned()),
        (Span, r#"set(attributes["map"]["new"]["deep"], true)"#,                r#"{"key":"new","value":{"kvlistValue":{"values":[{"key":"deep","value":{"boolValue":true}}]}}}"#.to_owned()),
        (Span, r#"set(attributes["list"][0], "a")"#,                            r#"{"values":[{"stringValue":"a"},{"stringValue":"b"}]}"#.to_owned()),
        (Span, r#"set(attributes["new"], Split(name, "/"))"#,                   r#"{"values":[{"stringValue":"GET "},{"stringValue":"orders"},{"stringValue":"7"}]}"#.to_owned()),
        (Span, r#"set(attributes, {"only": 1})"#,                               r#""attributes":[{"key":"only","value":{"intValue":"1"}}]"#.to_owned()),
        (Span, r#"set(attributes["text"], nil)"#,                               r#"{"key":"text","value":{}}"#.to_owned()),
        (Span, r#"keep_keys(attributes, ["text", "absent"])"#,                  format!(r#""attributes":[{}]"#, text("text", "größe"))),
        (Span, r#"keep_matching_keys(attributes, "^te")"#,                      format!(r#""attributes":[{}]"#, text("text", "größe"))),
        (Span, r#"limit(attributes, 2, ["digits"])"#,                           format!(r#""attributes":[{},{}]"#, text("text", "größe"), text("digits", "42"))),
        (Span, r#"limit(attributes, limit=1, priority_keys=["ratio"])"#,        r#""attributes":[{"key":"ratio","value":{"doubleValue":0.5}}]"#.to_owned()),
        (Span, "truncate_all(attributes, 4)",                                   text("text", "grö")),
        (Span, r#"replace_pattern(name, "/(\\w+)/\\d+", "/$1/{id}")"#,          r#""name":"GET /orders/{id}""#.to_owned()),
        (Span, r#"replace_pattern(attributes["text"], "ö", "oe")"#,             text("text", "groeße")),
        (Span, r#"replace_match(name, "GET /*/?", "GET order")"#,               r#""name":"GET order""#.to_owned()),
        (Span, r#"replace_match(name, "GET {/o*,/p*}", "either")"#,             r#""name":"either""#.to_owned()),
        (Span, r#"replace_match(name, "ET*", "no")"#,                           r#""name":"GET /orders/7""#.to_owned()),
        (Span, r#"replace_all_patterns(attributes, "value", "^4", "5")"#,       text("digits", "52")),
        (Span, r#"replace_all_patterns(attributes, "key", "^te(x)t$", "${1}y")"#, text("xy", "größe")),
        (Span, r#"replace_all_matches(attributes, "4*", "many")"#,              text("digits", "many")),
        (Span, r#"merge_maps(attributes, attributes["map"], "upsert")"#,        text("inner", "x")),
        (Span, r#"merge_maps(attributes["map"], {"inner": "y", "m": 2}, "insert")"#, r#"[{"key":"inner","value":{"stringValue":"x"}},{"key":"n","value":{"intValue":"1"}},{"key":"m","value":{"intValue":"2"}}]"#.to_owned()),
        (Span, r#"merge_maps(attributes["map"], {"inner": "y", "m": 2}, "update")"#, r#"[{"key":"inner","value":{"stringValue":"y"}},{"key":"n","value":{"intValue":"1"}}]"#.to_owned()),
        (Span, r#"set(name, "no") where kind == SPAN_KIND_CLIENT"#,             r#""name":"GET /orders/7""#.to_owned()),
        (Span, r#"set(name, "yes") where kind == SPAN_KIND_SERVER and attributes["count"] > 6"#, r#""name":"yes""#.to_owned()),
        (Log,  r#"set(body, body["msg"])"#,                                     r#""body":{"stringValue":"password=x"}"#.to_owned()),
        (Log,  r#"set(body["msg"], "gone")"#,                                   text("msg", "gone")),
        (Log,  r#"replace_pattern(body["msg"], "password=\\S+", "password=***")"#, text("msg", "password=***")),
        (Log,  "set(severity_number, SEVERITY_NUMBER_ERROR)",                   r#""severityNumber":17"#.to_owned()),
        (Log,  r#"set(severity_text, ConvertCase(severity_text, "upper"))"#,    r#""severityText":"WARN""#.to_owned()),
        (Log,  r#"merge_maps(attributes, ParseJSON(attributes["raw"]), "insert")"#, r#"{"key":"b","value":{"arrayValue":{"values":[{"doubleValue":1.0},{"stringValue":"c"}]}}}"#.to_owned()),
        (Metric, r#"set(name, "requests.total")"#,                              r#""name":"requests.total""#.to_owned()),
        (Metric, "set(is_monotonic, false)",                                    r#""isMonotonic":false"#.to_owned()),
        (Metric, "set(aggregation_temporality, AGGREGATION_TEMPORALITY_DELTA)", r#""aggregationTemporality":1"#.to_owned()),
        (Datapoint, "set(value_double, Double(value_int) / 2)",                 r#""asDouble":3.5"#.to_owned()),
        (Datapoint, r#"set(attributes["code"], "5xx")"#,                        text("code", "5xx")),
        (Datapoint, "set(count, 1)",                                            r#""asInt":"7""#.to_owned()),
    ];
    for (context, statement, expected) in table {
        let json = after(context, &[statement]);
        assert!(json.contains(&expected), "{statement}: {json}");
    }
}

/// JSON in a log line must not become a message that every receiver down the road refuses, and the batch with it.
#[test]
fn nothing_is_built_that_nests_too_deep() {
    let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    for (target, levels, fits) in [
        (r#"attributes["a"]"#, 15, true),
        (r#"attributes["a"]"#, 16, false),
        (r#"attributes["a"]["b"]"#, 15, false),
        (r#"cache["a"]"#, 100, false),
    ] {
        let text = format!(r#"set({target}, ParseJSON("{}"))"#, nested(levels));
        let body = request(Context::Span);
        let mut stage = Stage::new(scene(Context::Span, &body));
        let ran = Statement::parse(&text, Context::Span).unwrap().run(&mut stage, &mut Patch::default());
        assert_eq!(ran.is_ok(), fits, "{target}, {levels} levels: {ran:?}");
    }
    let merge = format!(r#"merge_maps(attributes, {{"a": ParseJSON("{}")}}, "upsert")"#, nested(16));
    let body = request(Context::Span);
    let mut stage = Stage::new(scene(Context::Span, &body));
    let ran = Statement::parse(&merge, Context::Span).unwrap().run(&mut stage, &mut Patch::default());
    assert!(ran.unwrap_err().to_string().contains("deeper than 16"));
}

#[test]
fn statements_remove_what_they_say() {
    #[rustfmt::skip]
    let table = [
        (r#"delete_key(attributes, "text")"#,                            r#""text""#),
        (r#"delete_key(attributes["map"], "inner")"#,                    r#""inner""#),
        (r#"delete_matching_keys(attributes, "^(?:text|count)$")"#,      r#""count""#),
        ("set(value_double, 1.5)",                                       "asInt"),
    ];
    for (statement, gone) in table {
        let context = if statement.contains("value_") { Context::Datapoint } else { Context::Span };
        assert!(after(context, &[]).contains(gone), "{statement}");
        let json = after(context, &[statement]);
        assert!(!json.contains(gone), "{statement}: {json}");
    }
}

#[test]
fn each_statement_sees_what_those_before_it_left() {
    let statements = [
        r#"set(cache, ParseJSON("{\"id\": \"a\"}"))"#,
        r#"set(attributes["id"], cache["id"])"#,
        r#"set(attributes["id2"], Concat([attributes["id"], cache["id"]], "+"))"#,
        r#"delete_key(cache, "id")"#,
        r#"set(attributes["id3"], "gone") where cache["id"] == nil"#,
        r#"set(resource.attributes["from"], name)"#,
        r#"set(name, resource.attributes["from"]) where resource.attributes["from"] == "GET /orders/7""#,
        r#"set(scope.version, "2")"#,
        r#"set(attributes["version"], scope.version)"#,
    ];
    let json = after(Context::Span, &statements);
    for expected in [r#""stringValue":"a+a""#, r#""key":"id3""#, r#"{"key":"version","value":{"stringValue":"2"}}"#] {
        assert!(json.contains(expected), "{expected}: {json}");
    }
}

#[test]
fn contexts_are_inferred_from_the_lowest_path() {
    #[rustfmt::skip]
    let table = [
        (Signal::Traces,  r#"resource.attributes["a"] == 1"#,                     Some(Context::Resource)),
        (Signal::Traces,  r#"resource.attributes["a"] == span.name"#,             Some(Context::Span)),
        (Signal::Traces,  r#"span.name == spanevent.attributes["a"]"#,            Some(Context::SpanEvent)),
        (Signal::Traces,  r#"instrumentation_scope.name == "a""#,                 Some(Context::Scope)),
        (Signal::Metrics, r#"HasAttrKeyOnDatapoint("a")"#,                        Some(Context::Metric)),
        (Signal::Metrics, r#"metric.name == "a" and datapoint.value_int == 1"#,   Some(Context::Datapoint)),
        (Signal::Logs,    r#"log.attributes[resource.attributes["a"]] == 1"#,     Some(Context::Log)),
        (Signal::Traces,  r#"name == "a""#,                                       None),
        (Signal::Traces,  "true",                                                 None),
        (Signal::Logs,    r#"span.name == "a""#,                                  None),
        (Signal::Traces,  r#"span.name == "a" and name == "a""#,                  None),
    ];
    for (signal, text, expected) in table {
        assert_eq!(Condition::infer(text, signal).map(|(context, _)| context).ok(), expected, "{text}");
    }
    let texts = [r#"set(resource.attributes["a"], 1)"#.to_owned(), r#"set(span.name, "a")"#.to_owned()];
    assert_eq!(Statement::infer(&texts, &[], Signal::Traces).unwrap().0, Context::Span);
    let broken = ["set(span.name".to_owned(), r#"set(span.nmae, "a")"#.to_owned()];
    let conditions = ["span.kind = 1".to_owned()];
    let mut faults = Statement::infer(&broken, &conditions, Signal::Traces).unwrap_err();
    faults.sort_by_key(|(index, _)| *index);
    assert_eq!(faults.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [0, 1, 2], "{faults:?}");
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in r#"[a-zA-Z_ (){}\[\].,:"\\=<>!+*/0-9-]{0,60}"#) {
        let _ = Statement::parse(&text, Context::Span).map(|_| ());
        let _ = Condition::infer(&text, Signal::Logs).map(|_| ());
    }

    /// Bytes that never passed the door must not panic either.
    #[test]
    fn no_bytes_make_a_statement_panic(place in any::<prop::sample::Index>(), byte in any::<u8>()) {
        use prost::Message as _;
        let mut span = sample::traces(1).resource_spans[0].scope_spans[0].spans[0].encode_to_vec();
        let place = place.index(span.len());
        span[place] = byte;
        let mut patch = Patch::default();
        for text in [
            r#"set(attributes["map"]["inner"], status.message)"#,
            r#"set(status.code, 1) where IsMatch(name, "span") or attributes["list"] == [7]"#,
            r#"replace_all_patterns(attributes, "value", "x", String(attributes))"#,
            "truncate_all(attributes, 3)",
            "limit(attributes, 2, [])",
        ] {
            let mut stage = Stage::new(Scene::new().with(Level::Span, &span));
            let _ = Statement::parse(text, Context::Span).unwrap().run(&mut stage, &mut patch);
        }
    }
}

#[test]
fn a_statement_that_changes_nothing_leaves_the_stage_alone() {
    let body = Bytes::from(request(Context::Span));
    let mut stage = Stage::new(scene(Context::Span, &body));
    let mut patch = Patch::default();
    for text in [
        r#"delete_key(attributes, "absent")"#,
        r#"replace_pattern(name, "absent", "b")"#,
        "truncate_all(attributes, 1000)",
        r#"keep_matching_keys(attributes, ".")"#,
        "limit(attributes, 9, [])",
        r#"set(name, "a") where false"#,
    ] {
        assert_eq!(Statement::parse(text, Context::Span).unwrap().run(&mut stage, &mut patch), Ok(false), "{text}");
    }
    assert_eq!(stage.take(Level::Span), None);
}
