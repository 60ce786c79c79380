//! `template` of the webhook exporter: the body, in the language of Jinja.

use minijinja::{AutoEscape, Environment, Error, value::Serde};
use serde_json::Value;

/// Work one rendering may cost; alerts hold what attackers wrote, and loops run over it.
const FUEL: u64 = 200_000;
const NAME: &str = "template";

/// A template that is known to work on an alert.
#[derive(Debug)]
pub struct Template(Environment<'static>);

impl Template {
    /// Parses `source`. In JSON every `{{ … }}` is written as JSON, quotes included.
    pub fn new(source: &str, json: bool) -> Result<Self, String> {
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(move |_| if json { AutoEscape::Json } else { AutoEscape::None });
        environment.set_fuel(Some(FUEL));
        environment.add_template_owned(NAME, source.to_owned()).map_err(|error| told(&error))?;
        Ok(Self(environment))
    }

    /// The body for `document`.
    pub fn render(&self, document: &Value) -> Result<String, String> {
        let template = self.0.get_template(NAME).map_err(|error| told(&error))?;
        template.render(Serde(document)).map_err(|error| told(&error))
    }
}

fn told(error: &Error) -> String {
    let line = error.line().map(|line| format!(" in line {line}")).unwrap_or_default();
    let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
    format!("{}{line}{detail}", error.kind())
}
