//! The one table: type name and aliases → kind, signals, stability, constructor.
//!
//! [`plan`] turns a structurally sound configuration into typed component configurations, reporting everything wrong
//! with any of them. [`schema()`] tells editors the same.
//!
//! A new component needs:
//!
//! 1. a `Config` in its own file: `Deserialize`, `JsonSchema` (its doc comments become the editor's help), `Default`,
//!    [`Check`] and one of the four traits of [`component`](crate::pipeline::component). Durations are
//!    `#[serde(with = "crate::config::DurationText")]`; enums and structs inside other structs are `Serialize` too, so
//!    that the schema shows their defaults. A row does not compile without them;
//! 2. a row in [`COMPONENTS`];
//! 3. a row in the README's table;
//! 4. an example under `config-examples/`, if a newcomer would want one.

mod schema;

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::{
    config::{self, Check, Kind, Node, Pipeline, Problems, Reference, Root},
    connectors, exporters, extensions,
    otlp::Signal,
    pipeline::component::{ConnectorConfig, ExporterConfig, ExtensionConfig, Id, ProcessorConfig, ReceiverConfig},
    processors, receivers,
};

pub use schema::schema;

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
    /// Signals it produces of its own, so that pipelines may list its id as a receiver. A connector that produces none
    /// hands on what it takes.
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
    Receiver(fn(&Node, &mut Problems) -> Typed<dyn ReceiverConfig>),
    Processor(fn(&Node, &mut Problems) -> Typed<dyn ProcessorConfig>),
    Exporter(fn(&Node, &mut Problems) -> Typed<dyn ExporterConfig>),
    Connector(fn(&Node, &mut Problems) -> Typed<dyn ConnectorConfig>),
    Extension(fn(&Node, &mut Problems) -> Typed<dyn ExtensionConfig>),
}

/// What a row knows of a component's configuration struct.
struct Typed<C: ?Sized> {
    config: Box<C>,
    schema: fn() -> serde_json::Value,
}

const ALL: &[Signal] = &Signal::ALL;
const LOGS: &[Signal] = &[Signal::Logs];
const METRICS: &[Signal] = &[Signal::Metrics];
const TRACES: &[Signal] = &[Signal::Traces];
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
    Component { name: "filter", aliases: &[], kind: Kind::Processor, signals: ALL, produces: &[], stability: Stability::Alpha,
        summary: "drops what meets a condition", parse: Parse::Processor(processor::<processors::filter::Config>) },
    Component { name: "transform", aliases: &[], kind: Kind::Processor, signals: ALL, produces: &[], stability: Stability::Alpha,
        summary: "changes telemetry with OTTL statements", parse: Parse::Processor(processor::<processors::transform::Config>) },
    Component { name: "redaction", aliases: &[], kind: Kind::Processor, signals: ALL, produces: &[], stability: Stability::Alpha,
        summary: "removes attributes that are not allowed, masks values", parse: Parse::Processor(processor::<processors::redaction::Config>) },
    Component { name: "group_by_attrs", aliases: &["groupbyattrs"], kind: Kind::Processor, signals: ALL, produces: &[], stability: Stability::Alpha,
        summary: "moves attributes to the resource, merges equal resources", parse: Parse::Processor(processor::<processors::group_by_attrs::Config>) },
    Component { name: "probabilistic_sampler", aliases: &[], kind: Kind::Processor, signals: TRACES_AND_LOGS, produces: &[], stability: Stability::Alpha,
        summary: "keeps a share of traces and logs", parse: Parse::Processor(processor::<processors::probabilistic_sampler::Config>) },
    Component { name: "resource_detection", aliases: &["resourcedetection"], kind: Kind::Processor, signals: ALL, produces: &[], stability: Stability::Alpha,
        summary: "adds the host, the environment, the Lambda function to resources", parse: Parse::Processor(processor::<processors::resource_detection::Config>) },
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
        summary: "posts each alert as JSON, a CloudEvent or a template's text, signed", parse: Parse::Exporter(exporter::<exporters::webhook::Config>) },
    Component { name: "alertmanager", aliases: &[], kind: Kind::Exporter, signals: LOGS, produces: &[], stability: Stability::Alpha,
        summary: "incidents as alerts of a Prometheus Alertmanager", parse: Parse::Exporter(exporter::<exporters::alertmanager::Config>) },
    Component { name: "pagerduty", aliases: &[], kind: Kind::Exporter, signals: LOGS, produces: &[], stability: Stability::Alpha,
        summary: "incidents as alerts of PagerDuty (Events v2)", parse: Parse::Exporter(exporter::<exporters::pagerduty::Config>) },
    Component { name: "slack", aliases: &[], kind: Kind::Exporter, signals: LOGS, produces: &[], stability: Stability::Alpha,
        summary: "incidents as messages of a Slack channel", parse: Parse::Exporter(exporter::<exporters::slack::Config>) },
    Component { name: "microsoft_teams", aliases: &[], kind: Kind::Exporter, signals: LOGS, produces: &[], stability: Stability::Alpha,
        summary: "incidents as cards in a Microsoft Teams channel", parse: Parse::Exporter(exporter::<exporters::microsoft_teams::Config>) },
    Component { name: "grafana_annotations", aliases: &[], kind: Kind::Exporter, signals: LOGS, produces: &[], stability: Stability::Alpha,
        summary: "incidents as regions on Grafana's dashboards", parse: Parse::Exporter(exporter::<exporters::grafana_annotations::Config>) },
    Component { name: "datadog", aliases: &[], kind: Kind::Exporter, signals: LOGS, produces: &[], stability: Stability::Alpha,
        summary: "incidents as events, logs and metrics of Datadog", parse: Parse::Exporter(exporter::<exporters::datadog::Config>) },
    Component { name: "ocsf", aliases: &[], kind: Kind::Exporter, signals: LOGS, produces: &[], stability: Stability::Alpha,
        summary: "incidents as OCSF Detection Findings, over HTTP", parse: Parse::Exporter(exporter::<exporters::ocsf::Config>) },
    Component { name: "splunk_hec", aliases: &[], kind: Kind::Exporter, signals: LOGS, produces: &[], stability: Stability::Alpha,
        summary: "incidents as events of Splunk (HTTP Event Collector)", parse: Parse::Exporter(exporter::<exporters::splunk_hec::Config>) },
    Component { name: "syslog", aliases: &[], kind: Kind::Exporter, signals: LOGS, produces: &[], stability: Stability::Alpha,
        summary: "incidents and log records as syslog messages (RFC 5424)", parse: Parse::Exporter(exporter::<exporters::syslog::Config>) },
    Component { name: "escalation", aliases: &[], kind: Kind::Exporter, signals: LOGS, produces: &[], stability: Stability::Alpha,
        summary: "what to do about incidents, step by step, until somebody answers", parse: Parse::Exporter(exporter::<exporters::escalation::Config>) },

    Component { name: "forward", aliases: &[], kind: Kind::Connector, signals: ALL, produces: &[], stability: Stability::Beta,
        summary: "joins pipelines of the same signal", parse: Parse::Connector(connector::<connectors::forward::Config>) },
    Component { name: "routing", aliases: &[], kind: Kind::Connector, signals: ALL, produces: &[], stability: Stability::Alpha,
        summary: "each record to the pipelines whose condition holds", parse: Parse::Connector(connector::<connectors::routing::Config>) },
    Component { name: "count", aliases: &[], kind: Kind::Connector, signals: ALL, produces: METRICS, stability: Stability::Alpha,
        summary: "how many records pass, as metrics", parse: Parse::Connector(connector::<connectors::count::Config>) },
    Component { name: "span_metrics", aliases: &["spanmetrics"], kind: Kind::Connector, signals: TRACES, produces: METRICS, stability: Stability::Beta,
        summary: "calls and durations of spans, as metrics", parse: Parse::Connector(connector::<connectors::span_metrics::Config>) },

    Component { name: "health_check", aliases: &[], kind: Kind::Extension, signals: &[], produces: &[], stability: Stability::Beta,
        summary: "answers whether every pipeline works", parse: Parse::Extension(extension::<extensions::health_check::Config>) },
    Component { name: "file_storage", aliases: &[], kind: Kind::Extension, signals: &[], produces: &[], stability: Stability::Beta,
        summary: "an embedded store for state that survives restarts", parse: Parse::Extension(extension::<extensions::file_storage::Config>) },
    Component { name: "zpages", aliases: &[], kind: Kind::Extension, signals: &[], produces: &[], stability: Stability::Alpha,
        summary: "pages about the running gateway", parse: Parse::Extension(extension::<extensions::zpages::Config>) },
    Component { name: "console", aliases: &[], kind: Kind::Extension, signals: &[], produces: &[], stability: Stability::Alpha,
        summary: "incidents, verdicts and functions for people: HTTP, gRPC, a page", parse: Parse::Extension(extension::<extensions::console::Config>) },
    Component { name: "pprof", aliases: &[], kind: Kind::Extension, signals: &[], produces: &[], stability: Stability::Alpha,
        summary: "CPU profiles of the gateway itself", parse: Parse::Extension(extension::<extensions::pprof::Config>) },
    Component { name: "bearertokenauth", aliases: &[], kind: Kind::Extension, signals: &[], produces: &[], stability: Stability::Beta,
        summary: "tokens, of those who may come in or our own", parse: Parse::Extension(extension::<extensions::bearertokenauth::Config>) },
    Component { name: "basicauth", aliases: &[], kind: Kind::Extension, signals: &[], produces: &[], stability: Stability::Beta,
        summary: "names and passwords, of those who may come in or our own", parse: Parse::Extension(extension::<extensions::basicauth::Config>) },
    Component { name: "headers_setter", aliases: &[], kind: Kind::Extension, signals: &[], produces: &[], stability: Stability::Beta,
        summary: "headers of exporters' requests", parse: Parse::Extension(extension::<extensions::headers_setter::Config>) },
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
    pub connectors: BTreeMap<Id, Planned<dyn ConnectorConfig>>,
    /// By id.
    pub extensions: BTreeMap<Id, Planned<dyn ExtensionConfig>>,
}

impl Plan {
    /// What a component was typed from.
    pub fn node(&self, kind: Kind, id: &Id) -> Option<&Node> {
        match kind {
            Kind::Receiver => self.receivers.get(id).map(|planned| &planned.node),
            Kind::Processor => self.processors.get(id).map(|planned| &planned.node),
            Kind::Exporter => self.exporters.get(id).map(|planned| &planned.node),
            Kind::Connector => self.connectors.get(id).map(|planned| &planned.node),
            Kind::Extension => self.extensions.get(id).map(|planned| &planned.node),
        }
    }

    /// Extensions a component stands on: the key that names each, and its id.
    pub fn stands_on(&self, kind: Kind, id: &Id) -> Vec<(&'static str, &str)> {
        match kind {
            Kind::Receiver => self.receivers.get(id).map(|planned| planned.config.extensions()),
            Kind::Processor => self.processors.get(id).map(|planned| planned.config.extensions()),
            Kind::Exporter => self.exporters.get(id).map(|planned| planned.config.extensions()),
            Kind::Connector | Kind::Extension => None,
        }
        .unwrap_or_default()
    }

    /// Extensions that say who a component's senders are, or who it is: the key that names each, and its id.
    pub fn trusts(&self, kind: Kind, id: &Id) -> Vec<(&'static str, &str)> {
        match kind {
            Kind::Receiver => self.receivers.get(id).map(|planned| planned.config.authenticators()).unwrap_or_default(),
            Kind::Exporter => self.exporters.get(id).and_then(|one| one.config.authenticator()).into_iter().collect(),
            Kind::Extension => self.extensions.get(id).map_or_else(Vec::new, |one| {
                one.config.authenticators().into_iter().chain(one.config.authenticator()).collect()
            }),
            Kind::Processor | Kind::Connector => Vec::new(),
        }
    }

    /// Whether a component works with any of these extensions.
    pub fn uses(&self, kind: Kind, id: &Id, extensions: &BTreeSet<String>) -> bool {
        let mut used = self.stands_on(kind, id).into_iter().chain(self.trusts(kind, id));
        used.any(|(_, extension)| extensions.contains(extension))
    }
}

/// Types every declared component and checks that the pipelines' signals fit; problems are added to `problems`.
pub fn plan(root: Root, problems: &mut Problems) -> Plan {
    let mut plan = Plan::default();
    for kind in Kind::ALL {
        for (id, declared) in root.section(kind) {
            let Some(component) = find(kind, &id.kind) else {
                unknown(kind, id, declared, root.section(kind).keys(), problems);
                continue;
            };
            let (id, node) = (id.clone(), declared.node.clone());
            match component.parse {
                Parse::Receiver(parse) => {
                    plan.receivers.insert(id, Planned { config: parse(&node, problems).config, node });
                }
                Parse::Processor(parse) => {
                    plan.processors.insert(id, Planned { config: parse(&node, problems).config, node });
                }
                Parse::Exporter(parse) => {
                    plan.exporters.insert(id, Planned { config: parse(&node, problems).config, node });
                }
                Parse::Connector(parse) => {
                    plan.connectors.insert(id, Planned { config: parse(&node, problems).config, node });
                }
                Parse::Extension(parse) => {
                    plan.extensions.insert(id, Planned { config: parse(&node, problems).config, node });
                }
            }
        }
    }
    check_signals(&root, problems);
    check_authenticators(&root, &plan, problems);
    check_senders_metadata(&plan, problems);
    check_alerts(&root, problems);
    plan.root = root;
    check_extensions(&plan, problems);
    check_routes(&plan, problems);
    plan
}

/// The row for `name` or its alias.
pub fn find(kind: Kind, name: &str) -> Option<&'static Component> {
    COMPONENTS.iter().find(|known| known.kind == kind && (known.name == name || known.aliases.contains(&name)))
}

fn unknown<'a>(
    kind: Kind,
    id: &Id,
    declared: &config::Component,
    mut siblings: impl Iterator<Item = &'a Id>,
    problems: &mut Problems,
) {
    let names: Vec<&str> = COMPONENTS
        .iter()
        .filter(|known| known.kind == kind)
        .flat_map(|known| std::iter::once(known.name).chain(known.aliases.iter().copied()))
        .collect();
    let path = format!("{}::{id}", kind.section());
    problems.retract_warnings(&path);
    let problem = problems.error(declared.span, &path, format!("unknown {} type `{}`", kind.name(), id.kind));
    if let Some(owner) = siblings.find(|sibling| find(kind, &sibling.kind).is_some_and(|known| known.has_key(&id.kind)))
    {
        problem.hint(format!("`{}` is a key of `{owner}`: indent it further", id.kind));
    } else if names.is_empty() {
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
                Kind::Processor if !root.service.pipelines.iter().any(|other| lists(&other.processors, reference)) => {
                    refuse(reference, "is a processor of no pipeline, so it has no");
                }
                Kind::Receiver if !component.signals.contains(&signal) => refuse(reference, "does not produce"),
                Kind::Connector if component.produces.is_empty() => {
                    let feeds = |other: &Pipeline| other.id.signal == signal && lists(&other.exporters, reference);
                    if !root.service.pipelines.iter().any(feeds) {
                        refuse(reference, "hands on what it takes, and takes no");
                    }
                }
                Kind::Connector if !component.produces.contains(&signal) => refuse(reference, "does not produce"),
                _ => {}
            }
        }
        for reference in pipeline.processors.iter().chain(&pipeline.exporters) {
            if find(reference.kind, &reference.id.kind).is_some_and(|known| !known.signals.contains(&signal)) {
                refuse(reference, "does not take");
            }
            let hands_on = reference.kind == Kind::Connector
                && find(reference.kind, &reference.id.kind).is_some_and(|known| known.produces.is_empty());
            let mut readers =
                root.service.pipelines.iter().filter(|other| lists(&other.receivers, reference)).peekable();
            if hands_on && readers.peek().is_some() && readers.all(|other| other.id.signal != signal) {
                refuse(reference, "hands on what it takes, and is a receiver of no pipeline of");
            }
        }
    }
}

fn lists(references: &[Reference], wanted: &Reference) -> bool {
    references.iter().any(|reference| reference.kind == wanted.kind && reference.id == wanted.id)
}

/// What a component stands on must be started by `service::extensions`.
fn check_extensions(plan: &Plan, problems: &mut Problems) {
    let root = &plan.root;
    let started: Vec<String> = root.service.extensions.iter().map(|reference| reference.id.to_string()).collect();
    for kind in [Kind::Receiver, Kind::Processor, Kind::Exporter] {
        for id in root.section(kind).keys() {
            for (key, extension) in plan.stands_on(kind, id) {
                if started.iter().any(|id| id == extension) {
                    continue;
                }
                let span = plan.node(kind, id).map(|node| node.at(&key.replace("::", ".")).span).unwrap_or_default();
                let declared = root.extensions.keys().any(|id| id.to_string() == extension);
                let message = format!("`{extension}` is not among the started extensions");
                let problem = problems.error(span, &format!("{}::{id}::{key}", kind.section()), message);
                if declared {
                    problem.hint(format!("add `{extension}` to service::extensions"));
                } else {
                    problem
                        .hint(format!("declare `{extension}` under `extensions`, and list it in service::extensions"));
                }
            }
        }
    }
}

/// A pipeline that a connector names itself must list it as a receiver.
fn check_routes(plan: &Plan, problems: &mut Problems) {
    let pipelines = &plan.root.service.pipelines;
    for (id, planned) in &plan.connectors {
        for (key, named) in planned.config.pipelines() {
            let found = pipelines.iter().find(|pipeline| pipeline.id.to_string() == named);
            let lists_it = |pipeline: &Pipeline| {
                pipeline.receivers.iter().any(|from| from.kind == Kind::Connector && from.id == *id)
            };
            if found.is_some_and(lists_it) {
                continue;
            }
            let Node { span, path, .. } = planned.node.at(&key);
            if found.is_some() {
                let message = format!("pipeline `{named}` does not list `{id}` as a receiver");
                problems.error(*span, path, message).hint(format!("add `{id}` to its receivers"));
            } else {
                let names: Vec<String> = pipelines.iter().map(|pipeline| pipeline.id.to_string()).collect();
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                problems.error(*span, path, format!("there is no pipeline `{named}`")).suggest(named, &names);
            }
        }
    }
}

/// Who says who may come in, or who we are, must be started by `service::extensions` and able to.
fn check_authenticators(root: &Root, plan: &Plan, problems: &mut Problems) {
    let receivers = plan.receivers.iter().flat_map(|(id, planned)| {
        let named = planned.config.authenticators().into_iter();
        named.map(move |(key, wanted)| (Kind::Receiver, Kind::Receiver, id, &planned.node, key, wanted))
    });
    let exporters = plan.exporters.iter().filter_map(|(id, planned)| {
        let (key, wanted) = planned.config.authenticator()?;
        Some((Kind::Exporter, Kind::Exporter, id, &planned.node, key, wanted))
    });
    let extensions = plan.extensions.iter().filter_map(|(id, planned)| {
        let (key, wanted) = planned.config.authenticator()?;
        Some((Kind::Extension, Kind::Exporter, id, &planned.node, key, wanted))
    });
    let listening = plan.extensions.iter().flat_map(|(id, planned)| {
        let named = planned.config.authenticators().into_iter();
        named.map(move |(key, wanted)| (Kind::Extension, Kind::Receiver, id, &planned.node, key, wanted))
    });
    for (kind, whom, id, node, key, wanted) in receivers.chain(exporters).chain(extensions).chain(listening) {
        let place = key.split("::").try_fold(node, |node, part| node.get(part)).unwrap_or(node);
        let path = format!("{}::{id}::{key}", kind.section());
        let found = plan.extensions.iter().find(|(id, _)| id.to_string() == wanted);
        let started = root.service.extensions.iter().any(|reference| reference.id.to_string() == wanted);
        let mut wrong = |message: &str, hint: String| {
            problems.error(place.span, &path, format!("`{wanted}` {message}")).hint(hint);
        };
        match found {
            // Its own section said what is missing.
            None if wanted.is_empty() => {}
            None => wrong("is not a declared extension", format!("declare `{wanted}` under `extensions`")),
            Some((_, planned)) if !planned.config.authenticates(whom) => {
                let able = if whom == Kind::Receiver { "htpasswd or tokens" } else { "client_auth, tokens or headers" };
                wrong(&format!("cannot authenticate {}", whom.section()), format!("name an extension with {able}"));
            }
            Some(_) if !started => wrong("is not started", format!("add `{wanted}` to service::extensions")),
            Some(_) => {}
        }
    }
}

/// What senders said is not kept on disk, so it cannot be passed on behind a queue there.
fn check_senders_metadata(plan: &Plan, problems: &mut Problems) {
    let named = |wanted: &str| plan.extensions.iter().find(|(id, _)| id.to_string() == wanted).map(|(_, found)| found);
    for (id, planned) in &plan.exporters {
        let on_disk = planned.config.extensions().iter().any(|(key, _)| *key == "sending_queue::storage");
        let Some((key, first)) = planned.config.authenticator().filter(|_| on_disk) else { continue };
        // One may name another; that they form no circle is checked elsewhere.
        let mut extension = named(first);
        for _ in 0..plan.extensions.len() {
            let Some(found) = extension else { break };
            if found.config.asks_senders() {
                let path = format!("{}::{id}::{key}", Kind::Exporter.section());
                let message = "`from_context` needs what senders said, which a queue on disk does not keep".to_owned();
                let hint = "leave out sending_queue::storage, or use value in headers_setter";
                problems.error(planned.node.span, &path, message).hint(hint);
                break;
            }
            extension = found.config.authenticator().and_then(|(_, next)| named(next));
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

fn receiver<C>(node: &Node, problems: &mut Problems) -> Typed<dyn ReceiverConfig>
where
    C: DeserializeOwned + Default + Check + JsonSchema + ReceiverConfig + 'static,
{
    Typed { config: Box::new(config::decode_placed::<C>(node, problems)), schema: config::component_schema::<C> }
}

fn processor<C>(node: &Node, problems: &mut Problems) -> Typed<dyn ProcessorConfig>
where
    C: DeserializeOwned + Default + Check + JsonSchema + ProcessorConfig + 'static,
{
    Typed { config: Box::new(config::decode_placed::<C>(node, problems)), schema: config::component_schema::<C> }
}

fn exporter<C>(node: &Node, problems: &mut Problems) -> Typed<dyn ExporterConfig>
where
    C: DeserializeOwned + Default + Check + JsonSchema + ExporterConfig + 'static,
{
    Typed { config: Box::new(config::decode_placed::<C>(node, problems)), schema: config::component_schema::<C> }
}

fn connector<C>(node: &Node, problems: &mut Problems) -> Typed<dyn ConnectorConfig>
where
    C: DeserializeOwned + Default + Check + JsonSchema + ConnectorConfig + 'static,
{
    Typed { config: Box::new(config::decode_placed::<C>(node, problems)), schema: config::component_schema::<C> }
}

fn extension<C>(node: &Node, problems: &mut Problems) -> Typed<dyn ExtensionConfig>
where
    C: DeserializeOwned + Default + Check + JsonSchema + ExtensionConfig + 'static,
{
    Typed { config: Box::new(config::decode_placed::<C>(node, problems)), schema: config::component_schema::<C> }
}

#[cfg(test)]
mod tests;
