//! The detectors, which see the world only through [`Surroundings`].

use std::{collections::BTreeMap, fs};

use super::{Chosen, Config, Detector};
use crate::otlp::any_value::{list, put_element, text};

/// Serialised `AnyValue`s by key.
pub type Attributes = BTreeMap<String, Vec<u8>>;

/// What the host says, and whether it is added by default.
pub const SYSTEM: &[(&str, bool)] = &[("host.name", true), ("os.type", true), ("host.arch", false), ("host.id", false)];
/// What Lambda says, and whether it is added by default.
pub const LAMBDA: &[(&str, bool)] = &[
    ("cloud.provider", true),
    ("cloud.platform", true),
    ("cloud.region", true),
    ("faas.name", true),
    ("faas.version", true),
    ("faas.instance", true),
    ("faas.max_memory", true),
    ("aws.log.group.names", true),
    ("aws.log.stream.names", true),
];

/// Looks up a text by name.
type Look = Box<dyn Fn(&str) -> Option<String>>;

/// Where the detectors look.
pub struct Surroundings {
    /// A variable.
    pub variable: Look,
    /// A file's text.
    pub file: Look,
}

impl Surroundings {
    /// Those of this process.
    pub fn of_this_process() -> Self {
        Self {
            variable: Box::new(|name| std::env::var(name).ok()),
            file: Box::new(|path| fs::read_to_string(path).ok()),
        }
    }

    fn set(&self, name: &str) -> Option<String> {
        (self.variable)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    fn line(&self, path: &str) -> Option<String> {
        (self.file)(path).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    }
}

/// What all detectors say; the first counts.
pub fn all(config: &Config, from: &Surroundings) -> Result<Attributes, String> {
    let mut all = Attributes::new();
    for detector in &config.detectors {
        let found = match detector {
            Detector::Env => env(from)?,
            Detector::System => system(&config.system, from)?,
            Detector::Lambda => lambda(&config.lambda, from),
        };
        for (key, value) in found {
            all.entry(key).or_insert(value);
        }
    }
    Ok(all)
}

fn env(from: &Surroundings) -> Result<Attributes, String> {
    // The second is what it was called before the specification.
    let Some(given) = from.set("OTEL_RESOURCE_ATTRIBUTES").or_else(|| from.set("OTEL_RESOURCE")) else {
        return Ok(Attributes::new());
    };
    let mut found = Attributes::new();
    for pair in given.split(',').filter(|pair| !pair.trim().is_empty()) {
        let wrong = || format!("env: OTEL_RESOURCE_ATTRIBUTES: `{pair}` is not key=value");
        let (key, value) = pair.split_once('=').ok_or_else(wrong)?;
        let key = key.trim();
        if key.is_empty() {
            return Err(wrong());
        }
        found.insert(key.to_owned(), text(&decoded(value.trim()).ok_or_else(wrong)?));
    }
    Ok(found)
}

/// `%20` and `+` are spaces.
fn decoded(value: &str) -> Option<String> {
    let (mut out, mut rest) = (Vec::with_capacity(value.len()), value.bytes());
    while let Some(byte) = rest.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                let digits =
                    std::str::from_utf8(&digits).ok().filter(|pair| pair.bytes().all(|d| d.is_ascii_hexdigit()))?;
                u8::from_str_radix(digits, 16).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(out).ok()
}

fn system(chosen: &Chosen, from: &Surroundings) -> Result<Attributes, String> {
    let found = |name: &str| match name {
        "host.name" => from
            .line("/proc/sys/kernel/hostname")
            .or_else(|| from.line("/etc/hostname"))
            .or_else(|| from.set("HOSTNAME")),
        "os.type" => Some(
            match std::env::consts::OS {
                "macos" => "darwin",
                other => other,
            }
            .to_owned(),
        ),
        "host.arch" => Some(
            match std::env::consts::ARCH {
                "x86_64" => "amd64",
                "aarch64" => "arm64",
                other => other,
            }
            .to_owned(),
        ),
        _ => from.line("/etc/machine-id").or_else(|| from.line("/var/lib/dbus/machine-id")),
    };
    let wanted = SYSTEM.iter().filter(|(name, default)| chosen.has(name, *default));
    wanted
        .map(|(name, _)| match found(name) {
            Some(value) => Ok(((*name).to_owned(), text(&value))),
            None => {
                Err(format!("system: cannot find out {name}; set system::resource_attributes::{name}::enabled: false"))
            }
        })
        .collect()
}

fn lambda(chosen: &Chosen, from: &Surroundings) -> Attributes {
    let Some(name) = from.set("AWS_LAMBDA_FUNCTION_NAME") else { return Attributes::new() };
    let one = |value: String| {
        let mut array = Vec::new();
        put_element(&mut array, &text(&value));
        list(&array)
    };
    let found = |attribute: &str| -> Option<Vec<u8>> {
        Some(match attribute {
            "cloud.provider" => text("aws"),
            "cloud.platform" => text("aws_lambda"),
            "cloud.region" => text(&from.set("AWS_REGION")?),
            "faas.name" => text(&name),
            "faas.version" => text(&from.set("AWS_LAMBDA_FUNCTION_VERSION")?),
            "faas.instance" => text(&from.set("AWS_LAMBDA_LOG_STREAM_NAME")?),
            "faas.max_memory" => text(&from.set("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")?),
            "aws.log.group.names" => one(from.set("AWS_LAMBDA_LOG_GROUP_NAME")?),
            _ => one(from.set("AWS_LAMBDA_LOG_STREAM_NAME")?),
        })
    };
    let wanted = LAMBDA.iter().filter(|(name, default)| chosen.has(name, *default));
    wanted.filter_map(|(name, _)| Some(((*name).to_owned(), found(name)?))).collect()
}
