//! The JSON Schema of the whole configuration, from the table.

use serde_json::{Map, Value, json};

use super::{COMPONENTS, Component, Parse};
use crate::config::{Kind, Node, Problems, schema_definitions, service_schema};

/// A JSON Schema (2020-12) of a configuration file, for editors.
pub fn schema() -> Value {
    let mut properties: Map<String, Value> =
        Kind::ALL.into_iter().map(|kind| (kind.section().to_owned(), section(kind))).collect();
    properties.insert("service".to_owned(), service_schema());
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Sekisho configuration",
        "description": concat!("Of sekisho ", env!("CARGO_PKG_VERSION"), ". Printed by `sekisho schema`."),
        "type": "object",
        "properties": properties,
        // Several files are merged, so that none of them needs to be whole.
        "additionalProperties": false,
        "$defs": schema_definitions(),
    })
}

/// Components by `type` or `type/name`.
fn section(kind: Kind) -> Value {
    let rows = COMPONENTS.iter().filter(|row| row.kind == kind);
    let patterns: Map<String, Value> = rows.map(|row| (row.pattern(), row.schema())).collect();
    json!({
        "description": format!("Each {} by its type, or `type/name`.", kind.name()),
        "type": ["object", "null"],
        "patternProperties": patterns,
        "additionalProperties": false,
    })
}

impl Component {
    /// What its ids look like, older names included.
    fn pattern(&self) -> String {
        let names: Vec<&str> = std::iter::once(self.name).chain(self.aliases.iter().copied()).collect();
        format!("^({})(/.+)?$", names.join("|"))
    }

    /// The schema of its configuration.
    pub fn schema(&self) -> Value {
        let (nothing, mut unheard) = (Node::default(), Problems::default());
        let schema = match self.parse {
            Parse::Receiver(parse) => parse(&nothing, &mut unheard).schema,
            Parse::Processor(parse) => parse(&nothing, &mut unheard).schema,
            Parse::Exporter(parse) => parse(&nothing, &mut unheard).schema,
            Parse::Connector(parse) => parse(&nothing, &mut unheard).schema,
            Parse::Extension(parse) => parse(&nothing, &mut unheard).schema,
        };
        let mut schema = schema();
        if let Some(schema) = schema.as_object_mut() {
            let names = if self.aliases.is_empty() {
                format!("`{}`", self.name)
            } else {
                format!("`{}` (also `{}`)", self.name, self.aliases.join("`, `"))
            };
            let stability = self.stability.name();
            schema.insert("description".to_owned(), format!("{names}, {stability}: {}.", self.summary).into());
        }
        schema
    }

    /// Has its configuration `key` at the top?
    pub(super) fn has_key(&self, key: &str) -> bool {
        self.schema().get("properties").is_some_and(|properties| properties.get(key).is_some())
    }
}
