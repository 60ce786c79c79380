use std::{path::Path, sync::Arc};

use serde::de::DeserializeOwned;

use super::*;
use crate::{
    config::{Check, Kind},
    pipeline::{
        component::ExporterConfig,
        health::State,
        probe::{self, Script},
    },
};

mod alertmanager;
mod chat;
mod datadog;
pub(crate) mod destination;
mod faults;
mod grafana;
mod pagerduty;
mod secure;
mod siem;
mod syslog;
mod webhook;

/// The exporter that `yaml` configures.
fn build<C: DeserializeOwned + Default + Check + ExporterConfig>(yaml: &str) -> (Next, Context) {
    let (config, wrong) = probe::config::<C>(Kind::Exporter, yaml);
    assert_eq!(wrong, "");
    let context = probe::context("probed", Path::new("."));
    (config.build(&context).unwrap(), context)
}

#[tokio::test]
async fn what_is_delivered_is_counted_and_lasting_trouble_is_told_until_it_ends() {
    let context = probe::context("otlp_grpc/tempo", Path::new("."));
    let health = Arc::new(Health::default());
    health.set([("traces".to_owned(), State::Ready, vec![context.component.clone()])]);
    context.shared.put(Health::NAME, health.clone());
    let away = || Outcome::Retryable { after: None, reason: "connection refused".into() };
    let partial = Outcome::Partial { rejected: 2, message: String::new() };
    let script = Script::new([away(), Outcome::Accepted, away(), away(), away(), partial]);
    let exporter = counted(script, &context);
    let batch = Batch { signal: Signal::Traces, body: bytes::Bytes::new(), items: 5 };
    let mut states = Vec::new();
    for _ in 0..6 {
        exporter.consume(batch.clone()).await;
        states.push(health.states()["traces"].name());
    }
    assert_eq!(states, ["ready", "ready", "ready", "degraded", "degraded", "ready"], "one failure is no trouble");
    assert_eq!(context.metrics.sum("otelcol_exporter_sent_spans", Some(("exporter", "otlp_grpc/tempo"))) as u64, 8);
}
