//! Our atomics as instruments of the OpenTelemetry SDK.

use opentelemetry::{
    KeyValue,
    metrics::{AsyncInstrument, Meter},
};

use super::{Histogram, Kind, Labels, Metrics};

/// Makes `meter` observe every series of the family `name`, whenever it collects.
pub(super) fn observe(metrics: &Metrics, meter: &Meter, name: &'static str, help: &'static str, kind: Kind) {
    let observed = metrics.clone();
    let each = move |observer: &dyn AsyncInstrument<f64>| {
        for (labels, value) in observed.values(name) {
            observer.observe(value, &key_values(&labels));
        }
    };
    if kind == Kind::Counter {
        meter.f64_observable_counter(name).with_description(help).with_callback(each).build();
    } else {
        meter.f64_observable_gauge(name).with_description(help).with_callback(each).build();
    }
}

/// Tells `meter` each value from now on: the SDK has no observable histograms.
pub(super) fn tell(meter: &Meter, name: &'static str, help: &'static str, histogram: &Histogram, labels: &Labels) {
    let bounds = histogram.bounds().to_vec();
    let instrument = meter.f64_histogram(name).with_description(help).with_boundaries(bounds).build();
    histogram.tell(instrument, key_values(labels));
}

fn key_values(labels: &Labels) -> Vec<KeyValue> {
    labels.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone())).collect()
}
