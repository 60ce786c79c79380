//! A week of two instrumented functions, one of them taken over in the last hour (`tests/clients/lambda/` makes it anew).

use std::path::PathBuf;

use serde_json::Value;

pub const HOUR: u64 = 3_600_000_000_000;

/// Where it is.
pub fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/clients/lambda/recording.jsonl.zst")
}

/// Its requests, in OTLP JSON: those of the attack, and all others.
pub fn read() -> (Vec<String>, Vec<String>) {
    let packed = std::fs::read(path()).unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut zstd::stream::read::Decoder::new(&packed[..]).unwrap(), &mut text).unwrap();
    text.lines().map(str::to_owned).partition(|line| line.contains("attacker.example"))
}

/// A request once more, so many nanoseconds later: another trace, other invocations.
pub fn later(request: &str, by: u64) -> String {
    let mut request: Value = serde_json::from_str(request).unwrap();
    postpone(&mut request, by);
    request.to_string()
}

fn postpone(value: &mut Value, by: u64) {
    match value {
        Value::Object(map) => {
            let invocation = map.get("key").is_some_and(|key| key == "faas.invocation_id");
            for (key, value) in map {
                if key.ends_with("TimeUnixNano") || key == "timeUnixNano" {
                    let nanos: u64 = value.as_str().unwrap().parse().unwrap();
                    *value = (nanos + by).to_string().into();
                } else if key == "traceId" {
                    // A byte of its own for each of the delays that tests know.
                    *value = format!("{:02x}{}", 0xf0 | (by / HOUR % 16), &value.as_str().unwrap()[2..]).into();
                } else if invocation && key == "value" {
                    value["stringValue"] = format!("{by}-{}", value["stringValue"].as_str().unwrap()).into();
                } else {
                    postpone(value, by);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| postpone(item, by)),
        _ => {}
    }
}
