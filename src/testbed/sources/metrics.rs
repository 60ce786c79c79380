//! What CloudWatch counts by function and minute, as a metric stream in its OpenTelemetry 1.0 format sends it: summaries
//! stamped at the start of the invocations, sent some two minutes later; nothing where nothing ran.

use std::collections::BTreeMap;

use super::super::{
    application::{ACCOUNT, REGION},
    benign::MINUTE,
};
use crate::{
    detect::observation::Nanos,
    otlp::{
        Batch, Signal,
        wire::put_bytes,
        write::{
            field::{ITEMS, RESOURCE, RESOURCE_ATTRIBUTES, RESOURCES, SCOPE, SCOPES},
            fixed64, nested, text,
        },
    },
};

/// How long after its end a minute is sent.
const DELAY: Nanos = 90_000_000_000;

/// One invocation, as it counts.
#[derive(Clone, Copy, Debug)]
pub struct Counted {
    /// When it began.
    pub at: Nanos,
    /// `FunctionName`.
    pub function: &'static str,
    /// Wall time, milliseconds.
    pub duration_ms: f64,
    /// Of extensions after the answer, milliseconds.
    pub after_ms: f64,
    /// Whether it failed.
    pub failed: bool,
    /// Invocations of the function under way.
    pub concurrent: usize,
}

/// A statistic as a summary has it.
#[derive(Clone, Copy, Debug)]
struct Summary {
    count: u64,
    sum: f64,
    least: f64,
    most: f64,
}

impl Default for Summary {
    fn default() -> Self {
        Self { count: 0, sum: 0.0, least: f64::INFINITY, most: 0.0 }
    }
}

impl Summary {
    fn add(&mut self, value: f64) {
        self.count += 1;
        self.sum += value;
        self.least = self.least.min(value);
        self.most = self.most.max(value);
    }
}

const METRICS: [(&str, &str); 5] = [
    ("Invocations", "1"),
    ("Errors", "1"),
    ("Duration", "ms"),
    ("ConcurrentExecutions", "1"),
    ("PostRuntimeExtensionsDuration", "ms"),
];

/// The minutes that have not been sent.
#[derive(Clone, Debug, Default)]
pub struct Minutes {
    open: BTreeMap<u64, BTreeMap<&'static str, [Summary; METRICS.len()]>>,
}

impl Minutes {
    /// Counts an invocation.
    pub fn count(&mut self, of: &Counted) {
        let summaries = self.open.entry(of.at / MINUTE).or_default().entry(of.function).or_default();
        let values = [1.0, f64::from(u8::from(of.failed)), of.duration_ms, of.concurrent as f64, of.after_ms];
        for (summary, value) in summaries.iter_mut().zip(values) {
            summary.add(value);
        }
    }

    /// When the oldest minute is sent.
    pub fn due(&self) -> Option<Nanos> {
        self.open.keys().next().map(|minute| (minute + 1) * MINUTE + DELAY)
    }

    /// The oldest minute.
    pub fn post(&mut self) -> Option<Batch> {
        let (minute, functions) = self.open.pop_first()?;
        let (from, to) = (minute * MINUTE, (minute + 1) * MINUTE);
        let mut body = Vec::with_capacity(functions.len() * 1_200);
        let mut items = 0;
        nested(&mut body, RESOURCES, 3, |out| {
            nested(out, RESOURCE, 2, |out| {
                text(out, RESOURCE_ATTRIBUTES, "cloud.provider", "aws");
                text(out, RESOURCE_ATTRIBUTES, "cloud.account.id", ACCOUNT);
                text(out, RESOURCE_ATTRIBUTES, "cloud.region", REGION);
                let arn = format!("arn:aws:cloudwatch:{REGION}:{ACCOUNT}:metric-stream/all");
                text(out, RESOURCE_ATTRIBUTES, "aws.exporter.arn", &arn);
            });
            nested(out, SCOPES, 3, |out| {
                nested(out, SCOPE, 1, |_| {});
                for (index, (name, unit)) in METRICS.iter().enumerate() {
                    nested(out, ITEMS, 2, |out| {
                        put_bytes(out, 1, format!("amazonaws.com/AWS/Lambda/{name}").as_bytes());
                        put_bytes(out, 3, unit.as_bytes());
                        nested(out, 11, 2, |out| {
                            for (function, summaries) in &functions {
                                let Some(summary) = summaries.get(index) else { continue };
                                items += 1;
                                nested(out, 1, 2, |out| point(out, name, function, summary, (from, to)));
                            }
                        });
                    });
                }
            });
        });
        Some(Batch { signal: Signal::Metrics, body: body.into(), items })
    }
}

/// `SummaryDataPoint`: 2 and 3 times, 4 count, 5 sum, 6 quantiles (0 and 1 are least and most), 7 attributes.
fn point(out: &mut Vec<u8>, name: &str, function: &str, of: &Summary, (from, to): (Nanos, Nanos)) {
    fixed64(out, 2, from);
    fixed64(out, 3, to);
    fixed64(out, 4, of.count);
    fixed64(out, 5, of.sum.to_bits());
    for (quantile, value) in [(0.0_f64, of.least), (1.0, of.most)] {
        nested(out, 6, 1, |out| {
            fixed64(out, 1, quantile.to_bits());
            fixed64(out, 2, value.to_bits());
        });
    }
    text(out, 7, "Namespace", "AWS/Lambda");
    text(out, 7, "MetricName", name);
    nested(out, 7, 1, |out| {
        put_bytes(out, 1, b"Dimensions");
        nested(out, 2, 1, |out| nested(out, 6, 1, |out| text(out, 1, "FunctionName", function)));
    });
}
