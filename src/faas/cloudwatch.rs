//! What the platform counted of a function in a minute: CloudWatch's metrics of Lambda, as its metric streams send them
//! over OTLP, and the `faas.*` metrics of the semantic conventions where a platform has them.

use super::{
    keys::number,
    names::{self, Name},
};
use crate::{
    detect::observation::{Nanos, Quantity},
    otlp::{
        points::{Kind, Measured, Metric, Point, Temporality, quantiles},
        view::AnyValue,
    },
};

/// One value of one function.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Value<'a> {
    /// The function; empty where only the resource may name it.
    pub function: &'a str,
    /// The end of the minute.
    pub at: Nanos,
    /// What was counted.
    pub quantity: Quantity,
    /// How much.
    pub value: u64,
}

/// Calls `tell` with every value of a metric that is one of a function's.
pub fn read<'a>(record: &'a [u8], mut tell: impl FnMut(Value<'a>)) {
    let metric = Metric::parse(record);
    let Some(quantity) = quantity(metric.name) else { return };
    let delta = match metric.kind {
        Kind::Sum { temporality, .. } => temporality == Temporality::Delta,
        Kind::Gauge | Kind::Summary => true,
        _ => false,
    };
    if !delta {
        return;
    }
    for point in metric.points() {
        let (mut function, mut whole) = ("", true);
        let read = Point::scan(metric.kind, point, |key, value| match (key, value) {
            (b"Dimensions", AnyValue::KvList(_)) => {
                for (key, value) in value.entries() {
                    match key {
                        b"FunctionName" => function = value.text().unwrap_or_default(),
                        // The same again, for one version or alias.
                        _ => whole = false,
                    }
                }
            }
            (b"FunctionName", _) => function = value.text().unwrap_or_default(),
            (b"Resource" | b"ExecutedVersion", _) => whole = false,
            _ if names::lookup(key) == Some(Name::FaasName) => function = value.text().unwrap_or_default(),
            _ => {}
        });
        let value = match read.value {
            Measured::Int(value) => number(AnyValue::Int(value)),
            Measured::Double(value) => number(AnyValue::Double(value)),
            Measured::Many { sum, .. } if quantity == Quantity::Concurrency => {
                let highest = quantiles(point)
                    .map(|(_, value)| value)
                    .fold(None, |most: Option<f64>, value| Some(most.map_or(value, |most| most.max(value))));
                highest.or(sum).and_then(|value| number(AnyValue::Double(value)))
            }
            Measured::Many { sum, .. } => sum.and_then(|sum| number(AnyValue::Double(sum))),
            Measured::Nothing => None,
        };
        if let Some(value) = value.filter(|_| whole && !read.ended) {
            tell(Value { function, at: read.time, quantity, value });
        }
    }
}

fn quantity(name: &[u8]) -> Option<Quantity> {
    let name = std::str::from_utf8(name).ok()?;
    let short = name.strip_prefix("amazonaws.com/AWS/Lambda/").or_else(|| name.strip_prefix("AWS/Lambda/"));
    match short.unwrap_or(name) {
        "Invocations" if short.is_some() => Some(Quantity::Invocations),
        "Errors" if short.is_some() => Some(Quantity::Failures),
        "Throttles" if short.is_some() => Some(Quantity::Throttles),
        "ConcurrentExecutions" if short.is_some() => Some(Quantity::Concurrency),
        "faas.invocations" => Some(Quantity::Invocations),
        "faas.errors" => Some(Quantity::Failures),
        _ => None,
    }
}
