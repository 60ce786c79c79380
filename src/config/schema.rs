//! What an editor is told: a JSON Schema (2020-12) of a component's configuration struct, and where a misplaced key belongs.
//!
//! Derived from the structs, then made to accept what the decoder accepts: an empty key where a map or a list is wanted,
//! and a `${…}` reference in the place of any scalar. Where the decoder is lenient in spelling (`INFO`, a number for a
//! text) the schema asks for the usual one.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde_json::{Map, Value, json};

use super::{
    duration::{DurationText, OptionalDurationText},
    telemetry::{Headers, Millis, Telemetry},
    types::{ByteSize, Endpoint, Rate, Secret, Toggle},
};

/// More places than this are no advice.
const MOST_PLACES: usize = 3;

/// The schema of one component's configuration, all in one piece.
pub fn component_schema<C: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<C>().to_value();
    if let Some(schema) = schema.as_object_mut() {
        schema.remove("title");
    }
    hand_down_defaults(&mut schema);
    loosen(&mut schema);
    schema
}

/// The schema of the `service` section.
pub fn service_schema() -> Value {
    let ids = |description: &str, least: usize| json!({"description": description, "type": "array", "items": {"type": "string"}, "uniqueItems": true, "minItems": least});
    json!({
        "description": "What of the above runs, and how it is strung together.",
        "type": "object",
        "properties": {
            "extensions": ids("Extensions to start, in this order.", 0),
            "pipelines": {
                "description": "Pipelines by signal: traces, metrics or logs, and a name of their own after a slash.",
                "type": "object",
                "patternProperties": {
                    "^(traces|metrics|logs)(/.+)?$": {
                        "type": "object",
                        "properties": {
                            "receivers": ids("Where data comes from.", 1),
                            "processors": ids("What is done to it, in this order.", 0),
                            "exporters": ids("Where it goes.", 1),
                        },
                        "required": ["receivers", "exporters"],
                        "additionalProperties": false,
                    },
                },
                "minProperties": 1,
                "additionalProperties": false,
            },
            "telemetry": component_schema::<Telemetry>(),
        },
        "required": ["pipelines"],
        "additionalProperties": false,
    })
}

/// Writes the values of a struct's default over the defaults its fields have by themselves.
fn hand_down_defaults(schema: &mut Value) {
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else { return };
    for property in properties.values_mut() {
        let defaults = property.get("default").and_then(Value::as_object).cloned().unwrap_or_default();
        if let Some(inner) = property.get_mut("properties").and_then(Value::as_object_mut) {
            for (key, default) in defaults {
                if let Some(field) = inner.get_mut(&key).and_then(Value::as_object_mut) {
                    field.insert("default".to_owned(), default);
                }
            }
        }
        hand_down_defaults(property);
    }
}

/// Makes a derived schema accept what the decoder accepts, and drops what says nothing.
fn loosen(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else { return };
    let says_nothing = |default: &Value| {
        default.is_null() || default == "[redacted]" || default.is_object() || default.as_str() == Some("")
    };
    if object.get("default").is_some_and(says_nothing) {
        object.remove("default");
    }
    for key in ["properties", "patternProperties"] {
        if let Some(inner) = object.get_mut(key).and_then(Value::as_object_mut) {
            inner.values_mut().for_each(loosen);
        }
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = object.get_mut(key) {
            loosen(inner);
        }
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(inner) = object.get_mut(key).and_then(Value::as_array_mut) {
            inner.iter_mut().filter(|inner| inner.get("properties").is_some()).for_each(loosen);
        }
    }
    match object.get("type").and_then(Value::as_str) {
        Some(kind @ ("object" | "array")) => {
            let kinds = json!([kind, "null"]);
            object.insert("type".to_owned(), kinds);
        }
        _ if is_scalar(object) => or_reference(object),
        _ => {}
    }
}

/// A value that `${…}` does not already fit, as any text does.
fn is_scalar(schema: &Map<String, Value>) -> bool {
    let of_constants = |key| {
        let branches = schema.get(key).and_then(Value::as_array);
        branches.is_some_and(|branches| branches.iter().all(|branch| branch.get("properties").is_none()))
    };
    let limited = ["pattern", "enum", "const"].iter().any(|key| schema.contains_key(*key));
    let mut kinds = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(kind)) => vec![kind.as_str()],
        _ => Vec::new(),
    };
    kinds.retain(|kind| *kind != "null");
    limited
        || of_constants("oneOf")
        || of_constants("anyOf")
        || (!kinds.is_empty() && kinds.iter().all(|kind| ["integer", "number", "boolean"].contains(kind)))
}

fn or_reference(schema: &mut Map<String, Value>) {
    let mut outer = Map::new();
    for key in ["description", "default", "writeOnly"] {
        outer.extend(schema.remove_entry(key));
    }
    let mut forms = match schema.remove("anyOf") {
        Some(Value::Array(forms)) if schema.is_empty() => forms,
        Some(forms) => {
            schema.insert("anyOf".to_owned(), forms);
            vec![Value::Object(std::mem::take(schema))]
        }
        None => vec![Value::Object(std::mem::take(schema))],
    };
    forms.push(json!({"$ref": "#/$defs/reference"}));
    outer.insert("anyOf".to_owned(), forms.into());
    *schema = outer;
}

/// What every schema made here refers to: `$defs` of the document it becomes part of.
pub fn schema_definitions() -> Value {
    json!({"reference": {"description": "A variable or a file: ${env:NAME:-default}.", "type": "string", "pattern": r"\$\{.+\}"}})
}

/// Where else in a component a key belongs, and whether what it guards is secret there.
pub(super) struct Places {
    paths: Vec<String>,
    /// One of them holds a secret.
    pub(super) secret: bool,
}

impl Places {
    /// Looks for `key` in `schema`, a [`component_schema`].
    pub(super) fn of(key: &str, schema: &Value) -> Self {
        let mut places = Self { paths: Vec::new(), secret: false };
        places.search(key, schema, "");
        places
    }

    fn search(&mut self, key: &str, schema: &Value, path: &str) {
        for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            if name == key {
                self.paths.push(path.to_owned());
                self.secret |= property.get("writeOnly").is_some();
            }
            self.search(key, property, &super::node::join(path, name));
        }
        for branch in schema.get("anyOf").and_then(Value::as_array).into_iter().flatten() {
            self.search(key, branch, path);
        }
    }

    /// Such as "`insecure` belongs under `tls`"; `component` is the id it is a key of.
    pub(super) fn advice(&self, key: &str, component: &str) -> Option<String> {
        let mut places: Vec<String> = self.paths.iter().map(|path| format!("`{path}`")).collect();
        if self.paths.iter().any(String::is_empty) {
            return Some(format!("`{key}` belongs directly under `{component}`"));
        }
        let last = places.pop().filter(|_| places.len() < MOST_PLACES)?;
        let under = if places.is_empty() { last } else { format!("{} or {last}", places.join(", ")) };
        Some(format!("`{key}` belongs under {under}"))
    }
}

/// The schema of a field type that is written as text.
macro_rules! written_as {
    ($type:ty, $name:literal, $schema:tt) => {
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

written_as!(DurationText, "Duration", {
    "anyOf": [{"type": "string", "pattern": r"^\s*(0|([0-9]*\.?[0-9]+(ns|us|µs|ms|s|m|h|d|w))+)\s*$"}, {"const": 0}],
    "description": "A duration such as 300ms, 1.5s, 1h30m.",
});
written_as!(OptionalDurationText, "OptionalDuration", {
    "anyOf": [
        {"type": "string", "pattern": r"^\s*(0|([0-9]*\.?[0-9]+(ns|us|µs|ms|s|m|h|d|w))+)\s*$"},
        {"const": 0},
        {"type": "null"},
    ],
    "description": "A duration such as 300ms, 1.5s, 1h30m.",
});
written_as!(ByteSize, "ByteSize", {
    "anyOf": [
        {"type": "integer", "minimum": 0},
        {"type": "string", "pattern": r"^\s*[0-9]+(\.[0-9]+)?\s*([KkMmGgTt]i?[Bb]|[Bb])?\s*$"},
    ],
    "description": "A size such as 512KiB, 20MiB or a number of bytes.",
});
written_as!(Rate, "Rate", {
    "type": "string",
    "pattern": r"^\s*[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?\s*/\s*(hour|day|week|month|year)\s*$",
    "description": "A rate such as 1/week, 3/day or 2/month.",
});
written_as!(Endpoint, "Endpoint", {
    "type": "string",
    "pattern": r"^\s*(\[[0-9a-fA-F:.%]+\]|[^\s/@#?:]*):[0-9]{1,5}\s*$",
    "description": "host:port, [::1]:port, or :port for every address of this machine.",
});
written_as!(Millis, "Millis", {
    "anyOf": [
        {"type": "integer", "minimum": 0},
        {"type": "string", "pattern": r"^\s*(0|([0-9]*\.?[0-9]+(ns|us|µs|ms|s|m|h|d|w))+)\s*$"},
    ],
    "description": "A number of milliseconds, or a duration such as 5s.",
});
written_as!(Headers, "Headers", {
    "anyOf": [
        {"type": "object", "additionalProperties": {"type": "string"}},
        {"type": "array", "items": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "value": {"type": "string", "writeOnly": true}},
            "required": ["name", "value"],
            "additionalProperties": false,
        }},
    ],
    "description": "A map of headers, or a list of {name, value}.",
});
written_as!(Secret, "Secret", {"type": "string", "writeOnly": true});

impl<T: JsonSchema> JsonSchema for Toggle<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("Toggle_{}", T::schema_name()).into()
    }

    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}
