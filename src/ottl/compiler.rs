//! Tree → what can be run: every name is looked up here, so that nothing unknown is left.

use regex::Regex;

use super::{
    Context,
    converters::{self, Function},
    expression::{Expression, Test},
    fault::{Fault, Place},
    fields::context_named,
    path::{Key, Path},
    syntax::{Argument, Call, Kind, Node},
    value::Value,
};
use crate::{otlp::Signal, pattern};

/// Compiles for one context.
#[derive(Clone, Copy, Debug)]
pub(super) struct Compiler {
    pub context: Context,
    /// The context was inferred from the paths.
    pub inferred: bool,
}

impl Compiler {
    pub fn test(self, node: &Node) -> Result<Test, Fault> {
        let tests = |nodes: &[Node]| nodes.iter().map(|node| self.test(node)).collect::<Result<Vec<_>, _>>();
        Ok(match &node.kind {
            Kind::And(nodes) => Test::All(tests(nodes)?),
            Kind::Or(nodes) => Test::Any(tests(nodes)?),
            Kind::Not(node) => Test::Not(Box::new(self.test(node)?)),
            Kind::Compare(left, comparison, right) => {
                Test::Compare(self.expression(left)?, *comparison, self.expression(right)?)
            }
            Kind::Bool(_) | Kind::Call(..) => Test::Value(self.expression(node)?),
            _ => {
                let fault = Fault::new(node.place, "expected a condition, not a value");
                return Err(fault.hint("compare it with something, such as `!= nil` or `== true`"));
            }
        })
    }

    pub fn expression(self, node: &Node) -> Result<Expression, Fault> {
        let boxed = |node: &Node| self.expression(node).map(Box::new);
        Ok(match &node.kind {
            Kind::Nil => Expression::Literal(Value::Nil),
            Kind::Bool(value) => Expression::Literal(Value::Bool(*value)),
            Kind::Int(value) => Expression::Literal(Value::Int(*value)),
            Kind::Double(value) => Expression::Literal(Value::Double(*value)),
            Kind::Text(text) => Expression::Literal(Value::owned(text.as_str())),
            Kind::Bytes(bytes) => Expression::Literal(Value::Bytes(bytes.clone().into())),
            Kind::Enum(name) => Expression::Literal(Value::Int(self.number_of(name, node.place)?)),
            Kind::Path(_) => Expression::Path(self.path(node)?),
            Kind::Call(call, keys) => Expression::Function(Box::new(self.function(call)?), self.keys(keys)?),
            Kind::Negative(inner) => Expression::Negative(boxed(inner)?),
            Kind::Math(left, operation, right) => Expression::Math(boxed(left)?, *operation, boxed(right)?),
            Kind::List(nodes) => {
                Expression::List(nodes.iter().map(|node| self.expression(node)).collect::<Result<_, _>>()?)
            }
            Kind::Map(entries) => {
                let entries = entries.iter().map(|(key, node)| Ok((key.clone(), self.expression(node)?)));
                Expression::Map(entries.collect::<Result<_, _>>()?)
            }
            Kind::Compare(..) | Kind::Not(_) | Kind::And(_) | Kind::Or(_) => {
                return Err(Fault::new(node.place, "expected a value, not a condition"));
            }
        })
    }

    fn path(self, node: &Node) -> Result<Path, Fault> {
        let Kind::Path(segments) = &node.kind else {
            return Err(Fault::new(node.place, "expected a path, such as `attributes[\"key\"]`"));
        };
        let Some((last, before)) = segments.split_last() else {
            return Err(Fault::new(node.place, "expected a path"));
        };
        if let Some(early) = before.iter().find(|segment| !segment.keys.is_empty()) {
            return Err(Fault::new(early.place, "only the last part of a path can be looked up in"));
        }
        Path::resolve(segments, self.keys(&last.keys)?, node.place, self)
    }

    fn keys(self, nodes: &[Node]) -> Result<Vec<Key>, Fault> {
        let key = |node: &Node| {
            Ok(match &node.kind {
                Kind::Text(text) => Key::Text(text.clone()),
                Kind::Int(value) => Key::Int(*value),
                _ => Key::Computed(Box::new(self.expression(node)?)),
            })
        };
        nodes.iter().map(key).collect()
    }

    fn function(self, call: &Call) -> Result<Function, Fault> {
        let known =
            || converters::FUNCTIONS.iter().filter(|(_, context, _)| context.is_none_or(|only| only == self.context));
        let Some((_, _, build)) = known().find(|(name, _, _)| *name == call.name) else {
            if call.name.starts_with(|letter: char| letter.is_ascii_lowercase()) {
                let message =
                    format!("`{}` is an editor, or none; a value comes from a function such as `Concat`", call.name);
                return Err(Fault::new(call.place, message));
            }
            return Err(Fault::unknown(call.place, "function", &call.name, known().map(|(name, _, _)| *name)));
        };
        let mut arguments = Arguments::new(self, call);
        let function = build(&mut arguments)?;
        arguments.finish()?;
        Ok(function)
    }

    fn number_of(self, name: &str, place: Place) -> Result<i64, Fault> {
        let enums = || self.context.levels().iter().flat_map(|level| enums(*level));
        if let Some((_, number)) = enums().find(|(known, _)| known == name) {
            return Ok(number);
        }
        let known: Vec<String> = enums().map(|(name, _)| name).collect();
        Err(Fault::unknown(place, "enum", name, known.iter().map(String::as_str)))
    }
}

/// The enums that a level's fields have, and their numbers.
fn enums(level: super::scene::Level) -> Vec<(String, i64)> {
    use super::scene::Level;
    let numbered = |prefix: &str, names: &[&str]| -> Vec<(String, i64)> {
        names.iter().zip(0..).map(|(name, number)| (format!("{prefix}{name}"), number)).collect()
    };
    match level {
        Level::Span => {
            let kinds = ["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"];
            let mut all = numbered("SPAN_KIND_", &kinds);
            all.extend(numbered("STATUS_CODE_", &["UNSET", "OK", "ERROR"]));
            all
        }
        Level::Log => {
            let grades = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
            let names = grades
                .iter()
                .flat_map(|grade| ["", "2", "3", "4"].map(|step| format!("SEVERITY_NUMBER_{grade}{step}")));
            std::iter::once("SEVERITY_NUMBER_UNSPECIFIED".to_owned()).chain(names).zip(0..).collect()
        }
        Level::Metric => {
            let mut all = numbered("AGGREGATION_TEMPORALITY_", &["UNSPECIFIED", "DELTA", "CUMULATIVE"]);
            let types = ["NONE", "GAUGE", "SUM", "HISTOGRAM", "EXPONENTIAL_HISTOGRAM", "SUMMARY"];
            all.extend(numbered("METRIC_DATA_TYPE_", &types));
            all
        }
        Level::Datapoint => numbered("FLAG_", &["NONE", "NO_RECORDED_VALUE"]),
        Level::Resource | Level::Scope | Level::SpanEvent | Level::Cache => Vec::new(),
    }
}

/// The arguments of one call, taken one by one in the order of the function's parameters.
pub(super) struct Arguments<'a> {
    compiler: Compiler,
    call: &'a Call,
    /// How many parameters have been asked for.
    position: usize,
    taken: Vec<bool>,
    names: Vec<&'static str>,
}

impl<'a> Arguments<'a> {
    pub fn new(compiler: Compiler, call: &'a Call) -> Self {
        Self { compiler, call, position: 0, taken: vec![false; call.arguments.len()], names: Vec::new() }
    }

    /// The next parameter's argument, if given.
    fn next(&mut self, name: &'static str) -> Option<&'a Node> {
        let position = self.position;
        self.position += 1;
        self.names.push(name);
        let is = |index: usize, argument: &Argument| match &argument.name {
            Some((given, _)) => given == name,
            None => index == position,
        };
        let (index, argument) =
            self.call.arguments.iter().enumerate().find(|(index, argument)| is(*index, argument))?;
        if let Some(taken) = self.taken.get_mut(index) {
            *taken = true;
        }
        Some(&argument.value)
    }

    fn required(&mut self, name: &'static str) -> Result<&'a Node, Fault> {
        let end = self.call.end;
        self.next(name).ok_or_else(|| Fault::new(end, format!("`{}` needs another argument: {name}", self.call.name)))
    }

    pub fn value(&mut self, name: &'static str) -> Result<Expression, Fault> {
        let node = self.required(name)?;
        self.compiler.expression(node)
    }

    /// A path that can be set.
    pub fn target(&mut self, name: &'static str) -> Result<Path, Fault> {
        let node = self.required(name)?;
        let path = self.compiler.path(node)?;
        match path.refuses(self.compiler.context) {
            None => Ok(path),
            Some(why) => Err(Fault::new(node.place, why)),
        }
    }

    /// Text that is written in the statement.
    pub fn literal(&mut self, name: &'static str) -> Result<(String, Place), Fault> {
        let node = self.required(name)?;
        literal(node)
    }

    pub fn optional_literal(&mut self, name: &'static str) -> Result<Option<String>, Fault> {
        self.next(name).map(literal).transpose().map(|found| found.map(|(text, _)| text))
    }

    /// One of a few words.
    pub fn word(&mut self, name: &'static str, words: &[&'static str]) -> Result<&'static str, Fault> {
        let (text, place) = self.literal(name)?;
        let found = words.iter().find(|word| **word == text).copied();
        found.ok_or_else(|| Fault::unknown(place, name, &text, words.iter().copied()))
    }

    pub fn pattern(&mut self, name: &'static str) -> Result<Regex, Fault> {
        let (text, place) = self.literal(name)?;
        let wrong = |error| Fault::new(place, format!("is not a regular expression: {error}"));
        pattern::compile(&text).map_err(wrong)
    }

    /// A whole number written in the statement, 0 or more.
    pub fn count(&mut self, name: &'static str) -> Result<usize, Fault> {
        let node = self.required(name)?;
        let number = if let Kind::Int(value) = node.kind { usize::try_from(value).ok() } else { None };
        number.ok_or_else(|| Fault::new(node.place, format!("{name} is a whole number, 0 or more")))
    }

    /// Values in brackets.
    pub fn values(&mut self, name: &'static str) -> Result<Vec<Expression>, Fault> {
        let node = self.required(name)?;
        let Kind::List(nodes) = &node.kind else {
            return Err(Fault::new(node.place, format!("{name} is a list, in brackets")));
        };
        nodes.iter().map(|node| self.compiler.expression(node)).collect()
    }

    /// Texts in brackets.
    pub fn literals(&mut self, name: &'static str) -> Result<Vec<String>, Fault> {
        let node = self.required(name)?;
        let Kind::List(nodes) = &node.kind else {
            return Err(Fault::new(node.place, format!("{name} is a list of texts, in brackets")));
        };
        nodes.iter().map(|node| literal(node).map(|(text, _)| text)).collect()
    }

    /// A fault at the call's name.
    pub fn fault(&self, message: impl Into<String>) -> Fault {
        Fault::new(self.call.place, message)
    }

    /// Nothing may be left over.
    pub fn finish(self) -> Result<(), Fault> {
        let left = self.call.arguments.iter().zip(&self.taken).find(|(_, taken)| !**taken);
        let Some((argument, _)) = left else { return Ok(()) };
        if let Some((name, place)) = &argument.name {
            return Err(Fault::unknown(*place, "argument", name, self.names.iter().copied()));
        }
        let message = format!("`{}` takes {} arguments", self.call.name, self.names.len());
        Err(Fault::new(argument.value.place, message).hint(format!("they are {}", self.names.join(", "))))
    }
}

fn literal(node: &Node) -> Result<(String, Place), Fault> {
    match &node.kind {
        Kind::Text(text) => Ok((text.clone(), node.place)),
        _ => Err(Fault::new(node.place, "expected text in double quotes")),
    }
}

/// The context that the paths of a signal's statements ask for: the lowest that any of them names.
pub(super) fn inferred<'a>(nodes: impl Iterator<Item = &'a Node>, signal: Signal) -> Option<Context> {
    let order = Context::of(signal);
    let mut lowest: Option<usize> = None;
    let mut see = |context: Context| {
        let depth = order.iter().position(|known| *known == context);
        lowest = lowest.max(depth);
    };
    for node in nodes {
        node.walk(&mut |node| match &node.kind {
            Kind::Path(segments) => {
                if let Some(context) = segments.first().and_then(|segment| context_named(&segment.name)) {
                    see(context);
                }
            }
            Kind::Call(call, _) => {
                let only = converters::FUNCTIONS.iter().find(|(name, _, _)| *name == call.name);
                if let Some(context) = only.and_then(|(_, context, _)| *context) {
                    see(context);
                }
            }
            _ => {}
        });
    }
    lowest.and_then(|depth| order.get(depth)).copied()
}
