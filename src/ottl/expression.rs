//! What a statement's values and conditions compute, once every name in them is known.

use std::borrow::Cow;

use super::{
    converters::Function,
    fault::Failure,
    path::{Key, Path, look_up},
    scene::Scene,
    syntax::{Comparison, Operation},
    value::{Value, compare},
};
use crate::otlp::any_value;

/// Gives a value.
#[derive(Clone, Debug)]
pub(super) enum Expression {
    Literal(Value<'static>),
    Path(Path),
    Function(Box<Function>, Vec<Key>),
    Negative(Box<Expression>),
    Math(Box<Expression>, Operation, Box<Expression>),
    List(Vec<Expression>),
    Map(Vec<(String, Expression)>),
}

impl Expression {
    pub fn value<'a>(&'a self, scene: &Scene<'a>) -> Result<Value<'a>, Failure> {
        match self {
            Self::Literal(value) => Ok(borrowed(value)),
            Self::Path(path) => path.read(scene),
            Self::Function(function, keys) if keys.is_empty() => function.call(scene),
            Self::Function(function, keys) => {
                let value = function.call(scene)?;
                look_up(value.any(), keys, scene).map(into_owned)
            }
            Self::Negative(inner) => match inner.value(scene)? {
                Value::Int(value) => Ok(Value::Int(value.wrapping_neg())),
                Value::Double(value) => Ok(Value::Double(-value)),
                other => Err(other.mismatch("a number")),
            },
            Self::Math(left, operation, right) => computed(&left.value(scene)?, *operation, &right.value(scene)?),
            Self::List(elements) => {
                let elements: Result<Vec<_>, _> =
                    elements.iter().map(|element| element.value(scene).map(|value| value.serialised())).collect();
                Ok(Value::list(elements?))
            }
            Self::Map(entries) => {
                let mut out = Vec::new();
                for (key, value) in entries {
                    any_value::put_entry(&mut out, key, &value.value(scene)?.serialised());
                }
                Ok(Value::Map(Cow::Owned(out)))
            }
        }
    }

    pub fn text<'a>(&'a self, scene: &Scene<'a>) -> Result<Cow<'a, str>, Failure> {
        self.value(scene)?.into_text()
    }

    pub fn map<'a>(&'a self, scene: &Scene<'a>) -> Result<Cow<'a, [u8]>, Failure> {
        self.value(scene)?.into_map()
    }
}

/// A literal without copying what it holds.
fn borrowed<'a>(value: &'a Value<'static>) -> Value<'a> {
    match value {
        Value::Text(text) => Value::Text(Cow::Borrowed(text)),
        Value::Bytes(bytes) => Value::Bytes(Cow::Borrowed(bytes)),
        Value::Map(entries) => Value::Map(Cow::Borrowed(entries)),
        Value::List(array) => Value::List(Cow::Borrowed(array)),
        Value::Nil => Value::Nil,
        Value::Bool(value) => Value::Bool(*value),
        Value::Int(value) => Value::Int(*value),
        Value::Double(value) => Value::Double(*value),
    }
}

fn into_owned<'a>(value: Value<'_>) -> Value<'a> {
    match value {
        Value::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
        Value::Bytes(bytes) => Value::Bytes(Cow::Owned(bytes.into_owned())),
        Value::Map(entries) => Value::Map(Cow::Owned(entries.into_owned())),
        Value::List(array) => Value::List(Cow::Owned(array.into_owned())),
        Value::Nil => Value::Nil,
        Value::Bool(value) => Value::Bool(value),
        Value::Int(value) => Value::Int(value),
        Value::Double(value) => Value::Double(value),
    }
}

fn computed<'a>(left: &Value<'_>, operation: Operation, right: &Value<'_>) -> Result<Value<'a>, Failure> {
    let floats = |left: f64, right: f64| match operation {
        Operation::Add => Ok(left + right),
        Operation::Subtract => Ok(left - right),
        Operation::Multiply => Ok(left * right),
        Operation::Divide if right == 0.0 => Err(Failure::new("division by zero")),
        Operation::Divide => Ok(left / right),
    };
    Ok(match (left, right) {
        (Value::Int(left), Value::Int(right)) => Value::Int(match operation {
            Operation::Add => left.wrapping_add(*right),
            Operation::Subtract => left.wrapping_sub(*right),
            Operation::Multiply => left.wrapping_mul(*right),
            Operation::Divide if *right == 0 => return Err(Failure::new("division by zero")),
            Operation::Divide => left.wrapping_div(*right),
        }),
        (Value::Double(left), Value::Double(right)) => Value::Double(floats(*left, *right)?),
        (Value::Int(left), Value::Double(right)) => Value::Double(floats(*left as f64, *right)?),
        (Value::Double(left), Value::Int(right)) => Value::Double(floats(*left, *right as f64)?),
        (Value::Int(_) | Value::Double(_), other) | (other, _) => return Err(other.mismatch("a number")),
    })
}

/// Holds or does not.
#[derive(Clone, Debug)]
pub(super) enum Test {
    Value(Expression),
    Compare(Expression, Comparison, Expression),
    Not(Box<Test>),
    All(Vec<Test>),
    Any(Vec<Test>),
}

impl Test {
    pub fn holds(&self, scene: &Scene<'_>) -> Result<bool, Failure> {
        match self {
            Self::Value(expression) => match expression.value(scene)? {
                Value::Bool(value) => Ok(value),
                other => Err(other.mismatch("a bool")),
            },
            Self::Compare(left, comparison, right) => {
                Ok(compare(&left.value(scene)?, *comparison, &right.value(scene)?))
            }
            Self::Not(inner) => Ok(!inner.holds(scene)?),
            Self::All(tests) => {
                for test in tests {
                    if !test.holds(scene)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Self::Any(tests) => {
                for test in tests {
                    if test.holds(scene)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
        }
    }
}
