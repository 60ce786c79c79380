//! The one table: type name and aliases → kind, signals, stability, constructor.
//!
//! [`plan`] turns a structurally sound configuration into typed component configurations, reporting everything wrong
//! with any of them.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

use crate::{
    config::{self, Check, Kind, Node, Problems, Reference, Root},
    exporters, extensions,
    otlp::Signal,
    pipeline::component::{ExporterConfig, ExtensionConfig, Id, ProcessorConfig, ReceiverConfig},
    processors, receivers,
};

/// One row of the table.
#[derive(Debug)]
pub struct Component {
    /// The type name in the configuration.
    pub name: &'static str,
    /// Older names, accepted silently.
    pub aliases: &'static [&'static str],
    /// What it is.
    pub kind: Kind,
    /// Signals it takes.
    pub signals: &'static [Signal],
    /// Signals it produces of its own, so that pipelines may list its id as a receiver.
    pub produces: &'static [Signal],
    /// How settled it is.
    pub stability: Stability,
    /// One line.
    pub summary: &'static str,
    parse: Parse,
}

/// How settled a component's configuration is, in the Collector's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stability {
    /// May change.
    Alpha,
    /// Changes only with notice.
    Beta,
}

impl Stability {
    /// `alpha`, `beta`.
    pub const fn name(self) -> &'static str {
        match self {
            Stability::Alpha => "alpha",
            Stability::Beta => "beta",
        }
    }
}

#[derive(Debug)]
enum Parse {
    Receiver(fn(&Node, &mut Problems) -> Box<dyn ReceiverConfig>),
    Processor(fn(&Node, &mut Problems) -> Box<dyn ProcessorConfig>),
    Exporter(fn(&Node, &mut Problems) -> Box<dyn ExporterConfig>),
    Extension(fn(&Node, &mut Problems) -> Box<dyn ExtensionConfig>),
}

const ALL: &[Signal] = &Signal::ALL;
const LOGS: &[Signal] = &[Signal::Logs];
const METRICS: &[Signal] = &[Signal::Metrics];
const TRACES_AND_LOGS: &[Signal] = &[Signal::Traces, Signal::Logs];

/// Every component this binary has.
#[rustfmt::skip]
pub const COMPONENTS: &[Component] = &[
    Component { name: "otlp", aliases: &[], kind: Kind::Receiver, signals: ALL, produces: &[], stability: Stability::Beta,
        summary: "OTLP over gRPC and HTTP (protobuf, JSON)", parse: Parse::Receiver(receiver::<receivers::otlp::Config>) },

    Component { name: "memory_limiter", aliases: &[], kind: Kind::Processor, signals: ALL, produces: &[], stability: Stability::Beta,
        summary: "refuses, retryably, while the process is above its memory limit", parse: Parse::Processor(processor::<processors::memory_limiter::Config>) },
    Component { name: "batch", aliases: &[], kind: Kind::Processor, signals: ALL, produces: &[], stability: Stability::Beta,
        summary: "fewer, larger requests", parse: Parse::Processor(processor::<processors::batch::Config>) },
    Component { name: "resource", aliases: &[], kind: Kind::Processor, signals: ALL, produces: &[], stability: Stability::Beta,
        summary: "edits resource attributes", parse: Parse::Processor(processor::<processors::resource::Config>) },
    Component { name: "attributes", aliases: &[], kind: Kind::Processor, signals: ALL, produces: &[], stability: Stability::Beta,
        summary: "edits attributes of spans, log records and data points", parse: Parse::Processor(processor::<processors::attributes::Config>) },
    Component { name: "faas", aliases: &[], kind: Kind::Processor, signals: ALL, produces: &[], stability: Stability::Alpha,
        summary: "says who ran, in one vocabulary, on every resource", parse: Parse::Processor(processor::<processors::faas::Config>) },
    Component { name: "anomaly", aliases: &[], kind: Kind::Processor, signals: TRACES_AND_LOGS, produces: LOGS, stability: Stability::Alpha,
        summary: "learns what functions normally do, annotates, alerts", parse: Parse::Processor(processor::<processors::anomaly::Config>) },

    Component { name: "otlp_grpc", aliases: &["otlp"], kind: Kind::Exporter, signals: ALL, produces: &[], stability: Stability::Beta,
        summary: "OTLP over gRPC", parse: Parse::Exporter(exporter::<exporters::otlp_grpc::Config>) },
    Component { name: "otlp_http", aliases: &["otlphttp"], kind: Kind::Exporter, signals: ALL, produces: &[], stability: Stability::Beta,
        summary: "OTLP over HTTP (protobuf, JSON)", parse: Parse::Exporter(exporter::<exporters::otlp_http::Config>) },
    Component { name: "debug", aliases: &[], kind: Kind::Exporter, signals: ALL, produces: &[], stability: Stability::Beta,
        summary: "writes to the gateway's own log", parse: Parse::Exporter(exporter::<exporters::debug::Config>) },
    Component { name: "file", aliases: &[], kind: Kind::Exporter, signals: ALL, produces: &[], stability: Stability::Beta,
        summary: "OTLP JSON lines or length-prefixed protobuf, rotated", parse: Parse::Exporter(exporter::<exporters::file::Config>) },
    Component { name: "load_balancing", aliases: &["loadbalancing"], kind: Kind::Exporter, signals: ALL, produces: &[], stability: Stability::Alpha,
        summary: "the same key always to the same one of several gateways", parse: Parse::Exporter(exporter::<exporters::load_balancing::Config>) },
    Component { name: "prometheus", aliases: &[], kind: Kind::Exporter, signals: METRICS, produces: &[], stability: Stability::Alpha,
        summary: "the latest value of every series, for Prometheus to scrape", parse: Parse::Exporter(exporter::<exporters::prometheus::Config>) },
    Component { name: "prometheus_remote_write", aliases: &["prometheusremotewrite"], kind: Kind::Exporter, signals: METRICS, produces: &[],
        stability: Stability::Alpha, summary: "Prometheus remote write 1.0", parse: Parse::Exporter(exporter::<exporters::prometheus_remote_write::Config>) },
    Component { name: "webhook", aliases: &[], kind: Kind::Exporter, signals: LOGS, produces: &[], stability: Stability::Alpha,
        summary: "posts each alert as readable JSON", parse: Parse::Exporter(exporter::<exporters::webhook::Config>) },

    Component { name: "health_check", aliases: &[], kind: Kind::Extension, signals: &[], produces: &[], stability: Stability::Beta,
        summary: "answers whether every pipeline works", parse: Parse::Extension(extension::<extensions::health_check::Config>) },
    Component { name: "file_storage", aliases: &[], kind: Kind::Extension, signals: &[], produces: &[], stability: Stability::Beta,
        summary: "an embedded store for state that survives restarts", parse: Parse::Extension(extension::<extensions::file_storage::Config>) },
    Component { name: "zpages", aliases: &[], kind: Kind::Extension, signals: &[], produces: &[], stability: Stability::Alpha,
        summary: "pages about the running gateway", parse: Parse::Extension(extension::<extensions::zpages::Config>) },
    Component { name: "pprof", aliases: &[], kind: Kind::Extension, signals: &[], produces: &[], stability: Stability::Alpha,
        summary: "CPU profiles of the gateway itself", parse: Parse::Extension(extension::<extensions::pprof::Config>) },
];

/// A component's typed configuration, and what it was typed from, to tell whether a reload changed it.
pub struct Planned<C: ?Sized> {
    /// The typed configuration.
    pub config: Box<C>,
    /// The configuration as written; equal nodes mean equal configurations, wherever they stand in a file.
    pub node: Node,
}

/// A configuration in which everything is known, typed and valid.
#[derive(Default)]
pub struct Plan {
    /// The configuration it came from.
    pub root: Root,
    /// By id.
    pub receivers: BTreeMap<Id, Planned<dyn ReceiverConfig>>,
    /// By id.
    pub processors: BTreeMap<Id, Planned<dyn ProcessorConfig>>,
    /// By id.
    pub exporters: BTreeMap<Id, Planned<dyn ExporterConfig>>,
    /// By id.
    pub extensions: BTreeMap<Id, Planned<dyn ExtensionConfig>>,
}

/// Types every declared component and checks that the pipelines' signals fit; problems are added to `problems`.
pub fn plan(root: Root, problems: &mut Problems) -> Plan {
    let mut plan = Plan::default();
    for kind in Kind::ALL {
        for (id, declared) in root.section(kind) {
            let Some(component) = find(kind, &id.kind) else {
                unknown(kind, id, declared, problems);
                continue;
            };
            let (id, node) = (id.clone(), declared.node.clone());
            match component.parse {
                Parse::Receiver(parse) => {
                    plan.receivers.insert(id, Planned { config: parse(&node, problems), node });
                }
                Parse::Processor(parse) => {
                    plan.processors.insert(id, Planned { config: parse(&node, problems), node });
                }
                Parse::Exporter(parse) => {
                    plan.exporters.insert(id, Planned { config: parse(&node, problems), node });
                }
                Parse::Extension(parse) => {
                    plan.extensions.insert(id, Planned { config: parse(&node, problems), node });
                }
            }
        }
    }
    check_signals(&root, problems);
    check_extensions(&root, &plan.processors, problems);
    check_alerts(&root, problems);
    plan.root = root;
    plan
}

/// The row for `name` or its alias.
pub fn find(kind: Kind, name: &str) -> Option<&'static Component> {
    COMPONENTS.iter().find(|known| known.kind == kind && (known.name == name || known.aliases.contains(&name)))
}

fn unknown(kind: Kind, id: &Id, declared: &config::Component, problems: &mut Problems) {
    let names: Vec<&str> = COMPONENTS
        .iter()
        .filter(|known| known.kind == kind)
        .flat_map(|known| std::iter::once(known.name).chain(known.aliases.iter().copied()))
        .collect();
    let path = format!("{}::{id}", kind.section());
    let problem = problems.error(declared.span, &path, format!("unknown {} type `{}`", kind.name(), id.kind));
    if names.is_empty() {
        problem.hint(format!("this version has no {}", kind.section()));
    } else {
        problem.suggest(&id.kind, &names);
    }
}

/// A pipeline's components must take its signal; a processor named as a receiver must produce it.
fn check_signals(root: &Root, problems: &mut Problems) {
    for pipeline in &root.service.pipelines {
        let signal = pipeline.id.signal;
        let mut refuse = |reference: &Reference, why: &str| {
            let message = format!("`{}` {why} {}", reference.id, signal.name());
            problems.error(reference.span, &reference.path, message);
        };
        for reference in &pipeline.receivers {
            let Some(component) = find(reference.kind, &reference.id.kind) else { continue };
            match reference.kind {
                Kind::Processor if !component.produces.contains(&signal) => {
                    refuse(reference, "is a processor that produces no");
                }
                Kind::Receiver if !component.signals.contains(&signal) => refuse(reference, "does not produce"),
                _ => {}
            }
        }
        for reference in pipeline.processors.iter().chain(&pipeline.exporters) {
            if find(reference.kind, &reference.id.kind).is_some_and(|known| !known.signals.contains(&signal)) {
                refuse(reference, "does not take");
            }
        }
    }
}

/// What a processor stands on must be started by `service::extensions`.
fn check_extensions(root: &Root, processors: &BTreeMap<Id, Planned<dyn ProcessorConfig>>, problems: &mut Problems) {
    let started: Vec<String> = root.service.extensions.iter().map(|reference| reference.id.to_string()).collect();
    for (id, planned) in processors {
        for (key, extension) in planned.config.extensions() {
            if started.iter().any(|id| id == extension) {
                continue;
            }
            let node = planned.node.get(key).unwrap_or(&planned.node);
            let declared = root.extensions.keys().any(|id| id.to_string() == extension);
            let message = format!("`{extension}` is not among the started extensions");
            let problem = problems.error(node.span, &format!("processors::{id}::{key}"), message);
            if declared {
                problem.hint(format!("add `{extension}` to service::extensions"));
            } else {
                problem.hint(format!("declare `{extension}` under `extensions`, and list it in service::extensions"));
            }
        }
    }
}

/// Alerts nobody receives are probably not meant.
fn check_alerts(root: &Root, problems: &mut Problems) {
    let pipelines = &root.service.pipelines;
    for reference in pipelines.iter().flat_map(|pipeline| &pipeline.processors) {
        let produces = find(Kind::Processor, &reference.id.kind).is_some_and(|known| !known.produces.is_empty());
        let heard = pipelines.iter().flat_map(|pipeline| &pipeline.receivers).any(|from| from.id == reference.id);
        if produces && !heard {
            let message = format!("the alerts of `{}` go nowhere", reference.id);
            let hint = format!("list `{}` as a receiver of a logs pipeline, such as `logs/alerts`", reference.id);
            problems.warning(reference.span, &reference.path, message).hint(hint);
            return;
        }
    }
}

fn receiver<C>(node: &Node, problems: &mut Problems) -> Box<dyn ReceiverConfig>
where
    C: DeserializeOwned + Default + Check + ReceiverConfig + 'static,
{
    Box::new(config::decode::<C>(node, problems))
}

fn processor<C>(node: &Node, problems: &mut Problems) -> Box<dyn ProcessorConfig>
where
    C: DeserializeOwned + Default + Check + ProcessorConfig + 'static,
{
    Box::new(config::decode::<C>(node, problems))
}

fn exporter<C>(node: &Node, problems: &mut Problems) -> Box<dyn ExporterConfig>
where
    C: DeserializeOwned + Default + Check + ExporterConfig + 'static,
{
    Box::new(config::decode::<C>(node, problems))
}

fn extension<C>(node: &Node, problems: &mut Problems) -> Box<dyn ExtensionConfig>
where
    C: DeserializeOwned + Default + Check + ExtensionConfig + 'static,
{
    Box::new(config::decode::<C>(node, problems))
}
