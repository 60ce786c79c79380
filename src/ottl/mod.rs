//! The OpenTelemetry Transformation Language, the part of it that configurations use: conditions and statements over the
//! serialised messages of a request. Pure: no configuration, no component, no clock.
//!
//! A [`Condition`] asks something of a [`Scene`], the messages around one record; a [`Statement`] changes them on a
//! [`Stage`]. Both are compiled for one [`Context`], the message they are about; what they name and cannot be found is a
//! [`Fault`] with its place. What goes wrong on one record (text where a number must be) is a [`Failure`].
//!
//! # What there is
//!
//! | | |
//! |---|---|
//! | statement | `editor(…)`, `editor(…) where condition` |
//! | condition | `==` `!=` `<` `<=` `>` `>=`, `and`, `or`, `not`, parentheses, `true`, `false`, a function that gives a bool |
//! | literals | `"text"` with Go's escapes, `1`, `1.5`, `true`, `nil`, `0x00ff`, `[1, "a"]`, `{"a": 1}` |
//! | enums | `SPAN_KIND_…`, `STATUS_CODE_…`, `SEVERITY_NUMBER_…`, `METRIC_DATA_TYPE_…`, `AGGREGATION_TEMPORALITY_…`, `FLAG_…` |
//! | arithmetic | `+` `-` `*` `/` on whole numbers and floats |
//! | keys | `attributes["a"]["b"][0]`, `body["a"]`, and those of lists and maps that functions give |
//! | `resource` | `attributes`, `dropped_attributes_count` |
//! | `scope`, `instrumentation_scope` | `name`, `version`, `attributes`, `dropped_attributes_count` |
//! | `span` | `trace_id`, `span_id`, `parent_span_id` (each also `.string`), `trace_state`, `name`, `kind`, `kind.string`, `kind.deprecated_string`, `start_time_unix_nano`, `end_time_unix_nano`, `attributes`, `status.code`, `status.message`, `flags`, `dropped_attributes_count`, `dropped_events_count`, `dropped_links_count` |
//! | `spanevent` | `time_unix_nano`, `name`, `attributes`, `dropped_attributes_count` |
//! | `log` | `time_unix_nano`, `observed_time_unix_nano`, `severity_number`, `severity_text`, `body`, `body.string`, `attributes`, `flags`, `trace_id`, `span_id` (each also `.string`), `event_name`, `dropped_attributes_count` |
//! | `metric` | `name`, `description`, `unit`, `type` (read only), `aggregation_temporality`, `is_monotonic`, `metadata` |
//! | `datapoint` | `attributes`, `start_time_unix_nano`, `time_unix_nano`, `value_double`, `value_int`, `flags`, `count`, `sum`, `scale`, `zero_count` |
//! | any | `cache`: a map that statements keep for each other while they work on one record |
//! | editors | `set`, `delete_key`, `delete_matching_keys`, `keep_keys`, `keep_matching_keys`, `limit`, `merge_maps`, `replace_pattern`, `replace_match`, `replace_all_patterns`, `replace_all_matches`, `truncate_all` |
//! | functions | `Concat`, `ConvertCase` (lower, upper), `Double`, `ExtractPatterns`, `HasPrefix`, `HasSuffix`, `Int`, `IsBool`, `IsDouble`, `IsEmpty`, `IsInt`, `IsList`, `IsMap`, `IsMatch`, `IsString`, `Len`, `ParseJSON`, `SHA256`, `SHA512`, `SpanID`, `Split`, `String`, `Substring`, `ToLowerCase`, `ToUpperCase`, `TraceID`, `Trim`, `TrimPrefix`, `TrimSuffix`; of a span `IsRootSpan`; of a metric `HasAttrKeyOnDatapoint`, `HasAttrOnDatapoint` |
//!
//! A path in its own context may go without the prefix (`name` or `span.name`); one that leads to a parent needs it
//! (`resource.attributes["a"]`). Arguments may be named (`limit=10`).
//!
//! Unlike the Collector's: patterns are written in the statement, not computed; `Substring` and `truncate_all` never cut
//! through a letter; times are numbers only; an attribute that is set moves behind the others; one that a sender has set
//! twice is changed in both places; what would nest deeper than 16 lists and maps is not set, since others down the road
//! would refuse the whole request for it.

mod compiler;
mod converters;
mod editors;
mod error_mode;
mod expression;
mod fault;
mod fields;
mod lexer;
mod parser;
mod path;
mod scene;
mod syntax;
mod value;

use self::{
    compiler::{Arguments, Compiler},
    editors::{EDITORS, Editor},
    expression::Test,
    syntax::Written,
};
pub use self::{
    error_mode::ErrorMode,
    fault::{Failure, Fault},
    scene::{Level, Scene, Stage},
};
use crate::otlp::{Signal, edit::Patch};

/// What a condition or statement is about, and so what a path without a prefix means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Context {
    /// A resource.
    Resource,
    /// An instrumentation scope.
    Scope,
    /// A span.
    Span,
    /// An event of a span.
    SpanEvent,
    /// A metric.
    Metric,
    /// A data point.
    Datapoint,
    /// A log record.
    Log,
}

impl Context {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Resource, Self::Scope, Self::Span, Self::SpanEvent, Self::Metric, Self::Datapoint, Self::Log];

    /// Those of a signal, from the outside in.
    pub const fn of(signal: Signal) -> &'static [Self] {
        match signal {
            Signal::Traces => &[Self::Resource, Self::Scope, Self::Span, Self::SpanEvent],
            Signal::Metrics => &[Self::Resource, Self::Scope, Self::Metric, Self::Datapoint],
            Signal::Logs => &[Self::Resource, Self::Scope, Self::Log],
        }
    }

    /// The name in configurations and paths.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Resource => "resource",
            Self::Scope => "scope",
            Self::Span => "span",
            Self::SpanEvent => "spanevent",
            Self::Metric => "metric",
            Self::Datapoint => "datapoint",
            Self::Log => "log",
        }
    }
}

/// Something that holds of a scene or does not.
#[derive(Clone, Debug)]
pub struct Condition(Test);

impl Condition {
    /// Compiles a condition about `context`.
    pub fn parse(text: &str, context: Context) -> Result<Self, Fault> {
        let node = parser::condition(text)?;
        Compiler { context, inferred: false }.test(&node).map(Self)
    }

    /// Compiles a condition about the lowest context its paths name; each path must say what it starts from.
    pub fn infer(text: &str, signal: Signal) -> Result<(Context, Self), Fault> {
        let node = parser::condition(text)?;
        let context = compiler::inferred(std::iter::once(&node), signal).ok_or_else(|| no_context(signal))?;
        let compiled = Compiler { context, inferred: true }.test(&node)?;
        Ok((context, Self(compiled)))
    }

    /// Whether it holds.
    pub fn holds(&self, scene: &Scene<'_>) -> Result<bool, Failure> {
        self.0.holds(scene)
    }
}

fn no_context(signal: Signal) -> Fault {
    let names: Vec<_> = Context::of(signal).iter().map(|context| context.name()).collect();
    Fault::new(fault::Place::default(), "no path says what this is about")
        .hint(format!("start a path with one of {}", names.join(", ")))
}

/// Something to change, and when.
#[derive(Clone, Debug)]
pub struct Statement {
    editor: Editor,
    condition: Option<Test>,
}

impl Statement {
    /// Compiles a statement about `context`.
    pub fn parse(text: &str, context: Context) -> Result<Self, Fault> {
        Self::compile(&parser::statement(text)?, Compiler { context, inferred: false })
    }

    /// Compiles statements, and conditions on all of them, about the lowest context that any of their paths names. Faults
    /// come with the index of their text, statements first.
    #[expect(clippy::type_complexity, reason = "what a group of statements consists of")]
    pub fn infer(
        statements: &[String],
        conditions: &[String],
        signal: Signal,
    ) -> Result<(Context, Vec<Self>, Vec<Condition>), Vec<(usize, Fault)>> {
        let (mut written, mut faults) = (Vec::new(), Vec::new());
        for (index, text) in statements.iter().enumerate() {
            parser::statement(text)
                .map_or_else(|fault| faults.push((index, fault)), |found| written.push((index, found)));
        }
        let mut asked = Vec::new();
        for (index, text) in (statements.len()..).zip(conditions) {
            parser::condition(text)
                .map_or_else(|fault| faults.push((index, fault)), |found| asked.push((index, found)));
        }
        let arguments = written.iter().flat_map(|(_, one)| one.call.arguments.iter().map(|argument| &argument.value));
        let tests = written.iter().filter_map(|(_, one)| one.condition.as_ref());
        let nodes = arguments.chain(tests).chain(asked.iter().map(|(_, node)| node));
        let Some(context) = compiler::inferred(nodes, signal) else {
            if faults.is_empty() {
                faults.push((0, no_context(signal)));
            }
            return Err(faults);
        };
        let compiler = Compiler { context, inferred: true };
        let (mut done, mut tests) = (Vec::new(), Vec::new());
        for (index, one) in &written {
            Self::compile(one, compiler).map_or_else(|fault| faults.push((*index, fault)), |one| done.push(one));
        }
        for (index, node) in &asked {
            compiler.test(node).map_or_else(|fault| faults.push((*index, fault)), |test| tests.push(Condition(test)));
        }
        if faults.is_empty() { Ok((context, done, tests)) } else { Err(faults) }
    }

    fn compile(written: &Written, compiler: Compiler) -> Result<Self, Fault> {
        let call = &written.call;
        let Some((_, build)) = EDITORS.iter().find(|(name, _)| *name == call.name) else {
            return Err(Fault::unknown(call.place, "editor", &call.name, EDITORS.iter().map(|(name, _)| *name)));
        };
        let mut arguments = Arguments::new(compiler, call);
        let editor = build(&mut arguments)?;
        arguments.finish()?;
        let condition = written.condition.as_ref().map(|node| compiler.test(node)).transpose()?;
        Ok(Self { editor, condition })
    }

    /// Makes the change, if its condition holds; true if there was something to change.
    pub fn run(&self, stage: &mut Stage<'_>, patch: &mut Patch) -> Result<bool, Failure> {
        let scene = stage.scene();
        if let Some(condition) = &self.condition
            && !condition.holds(&scene)?
        {
            return Ok(false);
        }
        let level = self.editor.level();
        patch.begin(scene.attributes(level));
        self.editor.patch(&scene, patch)?;
        let changes = !patch.is_empty();
        if changes {
            stage.apply(level, patch);
        }
        Ok(changes)
    }
}

#[cfg(test)]
mod tests;
