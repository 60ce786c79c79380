//! Dropping and changing groups, scopes, metrics and fields of records, on random requests.

use bytes::Bytes;
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::InstrumentationScope,
    resource::v1::Resource,
};
use proptest::{collection::vec, prelude::*};
use prost::Message;

use super::{
    requests::{logs, metrics, traces},
    retain,
};
use crate::otlp::{
    Batch, Signal,
    check::check,
    edit::{Edit, Keep, Patch, edit},
    view::{ResourceGroup, ScopeGroup},
    wire::Value,
};

/// Which of the resources, scopes and metrics asked about go; what stays is renamed.
#[derive(Clone, Debug)]
struct Plan {
    dropped: [Vec<bool>; 3],
    asked: [usize; 3],
    name: String,
}

fn plan() -> impl Strategy<Value = Plan> {
    let some = || vec(any::<bool>(), 1..5);
    ((some(), some(), some()), "[a-z]{0,200}").prop_map(|((resources, scopes, metrics), name)| Plan {
        dropped: [resources, scopes, metrics],
        asked: [0; 3],
        name,
    })
}

impl Plan {
    fn stays(&mut self, level: usize) -> bool {
        let dropped = &self.dropped[level];
        self.asked[level] += 1;
        !dropped[self.asked[level] % dropped.len()]
    }

    fn keep(&mut self, level: usize) -> Keep {
        if self.stays(level) { Keep::Yes } else { Keep::No }
    }

    fn rename(&self, number: u32, patch: &mut Patch) {
        patch.set_field(number, Value::Bytes(self.name.as_bytes()));
    }

    fn change_resource(resource: &mut Option<Resource>) {
        resource.get_or_insert_default().dropped_attributes_count = 9;
    }

    fn change_scope(&self, scope: &mut Option<InstrumentationScope>) {
        scope.get_or_insert_default().name.clone_from(&self.name);
    }
}

/// The plan carried out on a request of this signal.
struct Carry<'a>(&'a mut Plan, Signal);

impl Edit for Carry<'_> {
    fn keep_resource(&mut self, _group: &ResourceGroup<'_>) -> Keep {
        self.0.keep(0)
    }

    fn resource(&mut self, _group: &ResourceGroup<'_>, patch: &mut Patch) {
        patch.set_field(2, Value::Varint(9));
    }

    fn scope(&mut self, _group: &ScopeGroup<'_>, patch: &mut Patch) -> Keep {
        self.0.rename(1, patch);
        self.0.keep(1)
    }

    fn metric(&mut self, _metric: &[u8], patch: &mut Patch) -> Keep {
        self.0.rename(1, patch);
        self.0.keep(2)
    }

    fn record(&mut self, _index: usize, _record: &[u8], patch: &mut Patch) -> Keep {
        match self.1 {
            Signal::Traces => {
                self.0.rename(5, patch);
                patch.remove_field(11);
            }
            Signal::Logs => self.0.rename(3, patch),
            Signal::Metrics => patch.set_field(3, Value::Fixed64(7)),
        }
        Keep::Yes
    }

    fn leave_metric(&mut self, patch: &mut Patch) {
        self.0.rename(3, patch);
    }

    fn leave_scope(&mut self, patch: &mut Patch) {
        self.0.rename(3, patch);
    }

    fn leave_resource(&mut self, patch: &mut Patch) {
        self.0.rename(3, patch);
    }
}

fn edited(signal: Signal, request: &impl Message, plan: &Plan) -> Bytes {
    let body = Bytes::from(request.encode_to_vec());
    let items = check(signal, &body).unwrap();
    let edited = edit(&Batch { signal, body, items }, &mut Carry(&mut plan.clone(), signal));
    assert_eq!(check(signal, &edited.body), Ok(edited.items));
    edited.body
}

proptest! {
    #[test]
    fn groups_of_spans_go_and_change_as_asked(mut request in traces(), mut plan in plan()) {
        let body = edited(Signal::Traces, &request, &plan);
        request.resource_spans.retain_mut(|group| {
            Plan::change_resource(&mut group.resource);
            group.schema_url.clone_from(&plan.name);
            plan.stays(0) && retain(&mut group.scope_spans, |scope| {
                plan.change_scope(&mut scope.scope);
                scope.schema_url.clone_from(&plan.name);
                for span in &mut scope.spans {
                    span.name.clone_from(&plan.name);
                    span.events.clear();
                }
                plan.stays(1)
            })
        });
        prop_assert_eq!(ExportTraceServiceRequest::decode(body).unwrap(), request);
    }

    #[test]
    fn groups_of_log_records_go_and_change_as_asked(mut request in logs(), mut plan in plan()) {
        let body = edited(Signal::Logs, &request, &plan);
        request.resource_logs.retain_mut(|group| {
            Plan::change_resource(&mut group.resource);
            group.schema_url.clone_from(&plan.name);
            plan.stays(0) && retain(&mut group.scope_logs, |scope| {
                plan.change_scope(&mut scope.scope);
                scope.schema_url.clone_from(&plan.name);
                scope.log_records.iter_mut().for_each(|record| record.severity_text.clone_from(&plan.name));
                plan.stays(1)
            })
        });
        prop_assert_eq!(ExportLogsServiceRequest::decode(body).unwrap(), request);
    }

    #[test]
    fn metrics_go_and_change_as_asked(mut request in metrics(), mut plan in plan()) {
        let body = edited(Signal::Metrics, &request, &plan);
        request.resource_metrics.retain_mut(|group| {
            Plan::change_resource(&mut group.resource);
            group.schema_url.clone_from(&plan.name);
            plan.stays(0) && retain(&mut group.scope_metrics, |scope| {
                plan.change_scope(&mut scope.scope);
                scope.schema_url.clone_from(&plan.name);
                plan.stays(1) && retain(&mut scope.metrics, |metric| {
                    metric.name.clone_from(&plan.name);
                    metric.unit.clone_from(&plan.name);
                    plan.stays(2)
                })
            })
        });
        let mut found = ExportMetricsServiceRequest::decode(body).unwrap();
        let times = |request: &mut ExportMetricsServiceRequest| {
            use opentelemetry_proto::tonic::metrics::v1::metric::Data;
            let scopes = request.resource_metrics.iter_mut().flat_map(|group| &mut group.scope_metrics);
            for data in scopes.flat_map(|scope| &mut scope.metrics).filter_map(|metric| metric.data.as_mut()) {
                match data {
                    Data::Gauge(data) => data.data_points.iter_mut().for_each(|point| point.time_unix_nano = 7),
                    Data::Sum(data) => data.data_points.iter_mut().for_each(|point| point.time_unix_nano = 7),
                    Data::Histogram(data) => data.data_points.iter_mut().for_each(|point| point.time_unix_nano = 7),
                    Data::ExponentialHistogram(data) => {
                        data.data_points.iter_mut().for_each(|point| point.time_unix_nano = 7);
                    }
                    Data::Summary(data) => data.data_points.iter_mut().for_each(|point| point.time_unix_nano = 7),
                }
            }
        };
        // All points found have the time; those expected are given it.
        let before = found.clone();
        times(&mut found);
        prop_assert_eq!(&found, &before);
        times(&mut request);
        prop_assert_eq!(found, request);
    }

    #[test]
    fn damaged_groups_are_survived(bytes in vec(any::<u8>(), 0..200), mut plan in plan()) {
        for signal in Signal::ALL {
            let batch = Batch { signal, body: Bytes::copy_from_slice(&bytes), items: 3 };
            edit(&batch, &mut Carry(&mut plan, signal));
        }
    }
}
