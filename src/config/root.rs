//! The shape of the whole file: sections of components by id, and the pipelines that string them together.
//!
//! Everything that can be said without knowing a component is said here: unknown sections, bad ids and pipeline names,
//! references to what is not declared, declarations nobody refers to.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use super::{
    Variables,
    decode::decode,
    expand::expand,
    node::{Entry, Node, Shown, Span, Value},
    problem::{NOWHERE, Problems, advice, nearest},
    sources::{Texts, read_all},
    telemetry::Telemetry,
};
use crate::{otlp::Signal, pipeline::component::Id};

/// The five sections of components.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Brings data in.
    Receiver,
    /// Works on it.
    Processor,
    /// Takes it away.
    Exporter,
    /// Ends one pipeline and begins another.
    Connector,
    /// Everything that is not in a pipeline.
    Extension,
}

impl Kind {
    /// In the order the sections are usually written.
    pub const ALL: [Self; 5] = [Self::Receiver, Self::Processor, Self::Exporter, Self::Connector, Self::Extension];

    /// The section's key: `receivers`.
    pub const fn section(self) -> &'static str {
        match self {
            Self::Receiver => "receivers",
            Self::Processor => "processors",
            Self::Exporter => "exporters",
            Self::Connector => "connectors",
            Self::Extension => "extensions",
        }
    }

    /// One of them: `receiver`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Receiver => "receiver",
            Self::Processor => "processor",
            Self::Exporter => "exporter",
            Self::Connector => "connector",
            Self::Extension => "extension",
        }
    }
}

/// A declared component: its id's place and its own configuration, which the registry decodes.
#[derive(Clone, Debug)]
pub struct Component {
    /// Where the id is written.
    pub span: Span,
    /// What is under it; null for defaults only.
    pub node: Node,
}

/// The name of a pipeline: `traces`, `logs/alerts`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PipelineId {
    /// What flows in it.
    pub signal: Signal,
    /// What follows the slash; empty if none.
    pub name: String,
}

impl fmt::Display for PipelineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.signal.name())?;
        if self.name.is_empty() { Ok(()) } else { write!(f, "/{}", self.name) }
    }
}

/// A component named by a pipeline or by `service::extensions`.
#[derive(Clone, Debug)]
pub struct Reference {
    /// The component.
    pub id: Id,
    /// The section it is declared in. A pipeline's receiver may be a connector, and in a logs pipeline a processor
    /// that produces logs of its own; a pipeline's exporter may be a connector.
    pub kind: Kind,
    /// Where the reference is written.
    pub span: Span,
    /// Such as `service::pipelines::traces::receivers::0`.
    pub path: String,
}

/// One pipeline, in the order written.
#[derive(Clone, Debug)]
pub struct Pipeline {
    /// Its name.
    pub id: PipelineId,
    /// Where the name is written.
    pub span: Span,
    /// Such as `service::pipelines::traces`.
    pub path: String,
    /// Where data comes from; at least one.
    pub receivers: Vec<Reference>,
    /// What is done to it, in this order.
    pub processors: Vec<Reference>,
    /// Where it goes; at least one.
    pub exporters: Vec<Reference>,
}

/// The `service` section.
#[derive(Clone, Debug, Default)]
pub struct Service {
    /// Extensions to start, in this order.
    pub extensions: Vec<Reference>,
    /// Pipelines in the order written; names are unique.
    pub pipelines: Vec<Pipeline>,
    /// The process's own logs and metrics.
    pub telemetry: Telemetry,
}

/// A whole configuration whose references all hold. Its components are still [`Node`]s.
#[derive(Clone, Debug, Default)]
pub struct Root {
    /// Declared receivers.
    pub receivers: BTreeMap<Id, Component>,
    /// Declared processors.
    pub processors: BTreeMap<Id, Component>,
    /// Declared exporters.
    pub exporters: BTreeMap<Id, Component>,
    /// Declared connectors.
    pub connectors: BTreeMap<Id, Component>,
    /// Declared extensions.
    pub extensions: BTreeMap<Id, Component>,
    /// How they are strung together.
    pub service: Service,
    /// The merged and expanded tree, for `print-config`.
    pub tree: Node,
    /// The texts it was read from.
    pub texts: Arc<Texts>,
}

impl Root {
    /// The components of one section.
    pub const fn section(&self, kind: Kind) -> &BTreeMap<Id, Component> {
        match kind {
            Kind::Receiver => &self.receivers,
            Kind::Processor => &self.processors,
            Kind::Exporter => &self.exporters,
            Kind::Connector => &self.connectors,
            Kind::Extension => &self.extensions,
        }
    }

    const fn section_mut(&mut self, kind: Kind) -> &mut BTreeMap<Id, Component> {
        match kind {
            Kind::Receiver => &mut self.receivers,
            Kind::Processor => &mut self.processors,
            Kind::Exporter => &mut self.exporters,
            Kind::Connector => &mut self.connectors,
            Kind::Extension => &mut self.extensions,
        }
    }
}

/// Reads, merges, expands and checks. The `Root` holds what could be understood, so that components can be decoded and
/// all that is wrong be told at once; it must not be started if `problems.has_errors()`.
pub fn read(sources: &[String], sets: &[String], env: Variables<'_>) -> (Root, Problems) {
    let mut texts = Texts::default();
    let mut problems = Problems::default();
    let (mut tree, complete) = read_all(sources, sets, env, &mut texts, &mut problems);
    tree.set_paths("");
    // Before expansion for what cannot be expanded, and after it for what came from files.
    problems.mask_secrets(&tree);
    expand(&mut tree, env, &mut texts, &mut problems);
    let texts = Arc::new(texts);
    problems.set_texts(Arc::clone(&texts));
    problems.mask_secrets(&tree);
    let mut root = Root { tree, texts, ..Root::default() };
    // Without one of the files every reference into it would be reported as undeclared: noise.
    if complete {
        let tree = root.tree.clone();
        let mut reader = Reader { root: &mut root, problems: &mut problems, meant: BTreeSet::new(), skipped: false };
        reader.tree(&tree);
    }
    (root, problems)
}

/// [`read`] for who needs no component: `Err` if anything is wrong. Warnings come with the `Root`.
pub fn load(sources: &[String], sets: &[String], env: Variables<'_>) -> Result<(Root, Problems), Problems> {
    let (root, problems) = read(sources, sets, env);
    problems.into_result(root)
}

const TOP: [&str; 6] = ["receivers", "processors", "exporters", "connectors", "extensions", "service"];
const SERVICE: [&str; 3] = ["extensions", "pipelines", "telemetry"];
const PIPELINE: [&str; 3] = ["receivers", "processors", "exporters"];

struct Reader<'a> {
    root: &'a mut Root,
    problems: &'a mut Problems,
    /// Declared, and suggested for a reference to what is not: no need to say that they are not used.
    meant: BTreeSet<(Kind, Id)>,
    /// Some reference could not be read, so nothing can be called unused.
    skipped: bool,
}

impl Reader<'_> {
    fn tree(&mut self, tree: &Node) {
        if tree.is_null() {
            self.problems.error(NOWHERE, "", "the configuration is empty").hint("start from config-examples/");
            return;
        }
        for entry in self.map(tree) {
            if !TOP.contains(&entry.key.as_str()) {
                self.unknown(entry, &TOP);
            }
        }
        for kind in Kind::ALL {
            if let Some(section) = tree.get(kind.section()) {
                self.section(kind, section);
            }
        }
        match tree.entry("service") {
            Some(entry) => self.service(entry),
            None => {
                self.problems.error(tree.span, "service", "is missing").hint("say which pipelines to run");
            }
        }
        self.unused();
    }

    fn unknown(&mut self, entry: &Entry, valid: &[&str]) {
        let key = entry.key.as_str();
        let hint = match () {
            () if valid.contains(&"service") && (key == "pipelines" || key == "telemetry") => {
                Some(format!("`{key}` belongs under `service`"))
            }
            () if valid == SERVICE && TOP.contains(&key) => {
                Some(format!("`{key}` belongs at the top, not under `service`"))
            }
            () if valid == SERVICE && signal(key).is_some() => {
                Some(format!("`{key}` belongs under `service::pipelines`"))
            }
            () => advice(key, valid),
        };
        let message = format!("unknown key `{}`", Shown(key));
        self.problems.error(entry.key_span, &entry.node.path, message).hint_opt(hint);
    }

    /// The entries of what must be a map; null is an empty one.
    fn map<'n>(&mut self, node: &'n Node) -> &'n [Entry] {
        if !matches!(node.value, Value::Map(_) | Value::Null) {
            self.problems.error(node.span, &node.path, format!("must be a map, not {}", node.describe()));
        }
        node.entries()
    }

    fn section(&mut self, kind: Kind, section: &Node) {
        for entry in self.map(section) {
            let Some(id) = self.id(&entry.key, entry.key_span, &entry.node.path, kind.name()) else { continue };
            let component = Component { span: entry.key_span, node: entry.node.clone() };
            if self.root.section_mut(kind).insert(id.clone(), component).is_some() {
                self.problems.error(entry.key_span, &entry.node.path, format!("`{id}` is declared twice"));
            }
        }
    }

    fn id(&mut self, text: &str, span: Span, path: &str, what: &str) -> Option<Id> {
        const LONGEST: usize = 1024;
        let good = |id: &Id| {
            let kind = id.kind.starts_with(|c: char| c.is_ascii_alphabetic())
                && id.kind.len() < 64
                && id.kind.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            kind && id.name.len() <= LONGEST && !id.name.chars().any(|c| c.is_control() || c.is_whitespace())
        };
        let id = Id::parse(text).filter(good);
        if id.is_none() {
            let hint = match text.split_once('/') {
                Some((kind, "")) => format!("write `{kind}`, or `{kind}/name`"),
                _ => "an id is `type` or `type/name`, such as `otlp/2`".to_owned(),
            };
            self.problems.error(span, path, format!("`{}` is not a valid {what} id", Shown(text))).hint(hint);
        }
        id
    }

    fn service(&mut self, service: &Entry) {
        for entry in self.map(&service.node) {
            match entry.key.as_str() {
                "extensions" => {
                    let names = self.list(&entry.node);
                    self.root.service.extensions =
                        names.into_iter().filter_map(|(id, node)| self.extension(id, node)).collect();
                }
                "pipelines" => self.pipelines(&entry.node),
                "telemetry" => self.root.service.telemetry = decode(&entry.node, self.problems),
                _ => self.unknown(entry, &SERVICE),
            }
        }
        let empty = service.node.get("pipelines").is_none_or(|node| node.is_null() || node.entries().is_empty());
        if empty {
            let span = service.node.entry("pipelines").map_or(service.key_span, |entry| entry.key_span);
            let message = "must have at least one pipeline";
            self.problems.error(span, "service::pipelines", message);
        }
    }

    /// The ids in what must be a list of them, each once.
    fn list<'n>(&mut self, node: &'n Node) -> Vec<(Id, &'n Node)> {
        if let Value::Str(text) = &node.value {
            let message = format!("must be a list, not {}", node.describe());
            self.problems.error(node.span, &node.path, message).hint(format!("write [{}]", Shown(text)));
            self.skipped = true;
            return Vec::new();
        }
        if !matches!(node.value, Value::Seq(_) | Value::Null) {
            self.problems.error(node.span, &node.path, format!("must be a list of ids, not {}", node.describe()));
        }
        let mut seen = BTreeSet::new();
        let mut list = Vec::new();
        for item in node.items() {
            let Some(text) = item.text() else {
                self.problems.error(item.span, &item.path, format!("must be an id, not {}", item.describe()));
                continue;
            };
            let Some(id) = self.id(text, item.span, &item.path, "component") else { continue };
            if seen.insert(id.clone()) {
                list.push((id, item));
            } else {
                self.problems.error(item.span, &item.path, format!("`{id}` is listed twice")).hint("remove one");
            }
        }
        list
    }

    fn extension(&mut self, id: Id, node: &Node) -> Option<Reference> {
        self.resolve(id, node, &[Kind::Extension])
    }

    /// A reference to something declared in one of `kinds`, the first of which is the usual one.
    fn resolve(&mut self, id: Id, node: &Node, kinds: &[Kind]) -> Option<Reference> {
        if let Some(kind) = kinds.iter().find(|kind| self.root.section(**kind).contains_key(&id)) {
            return Some(Reference { id, kind: *kind, span: node.span, path: node.path.clone() });
        }
        let usual = kinds.first().copied().unwrap_or(Kind::Receiver);
        let elsewhere = Kind::ALL.into_iter().find(|kind| self.root.section(*kind).contains_key(&id));
        let message = match elsewhere {
            Some(kind) => {
                format!(
                    "`{id}` is declared under `{}`, so it cannot be used as {} here",
                    kind.section(),
                    article(usual)
                )
            }
            None => format!("`{}` is not declared under `{}`", Shown(&id.to_string()), usual.section()),
        };
        let hint = if elsewhere.is_some() { None } else { self.declared(&id, usual) };
        self.problems.error(node.span, &node.path, message).hint_opt(hint);
        None
    }

    /// Advice for a reference to `id`, which is not declared: the nearest that is, or all.
    fn declared(&mut self, id: &Id, kind: Kind) -> Option<String> {
        let names: Vec<String> = self.root.section(kind).keys().map(ToString::to_string).collect();
        let Some(near) = nearest(&id.to_string(), names.iter().map(String::as_str)) else {
            return (!names.is_empty()).then(|| format!("declared: {}", names.join(", ")));
        };
        self.meant.extend(Id::parse(near).map(|id| (kind, id)));
        Some(format!("did you mean `{near}`?"))
    }

    fn pipelines(&mut self, pipelines: &Node) {
        for entry in self.map(pipelines) {
            let Some(id) = self.pipeline_id(entry) else {
                self.skipped = true;
                continue;
            };
            if self.root.service.pipelines.iter().any(|pipeline| pipeline.id == id) {
                self.problems.error(entry.key_span, &entry.node.path, format!("`{id}` is there twice"));
                continue;
            }
            let pipeline = self.pipeline(id, entry);
            self.root.service.pipelines.push(pipeline);
        }
        if let Err(circle) = self.root.service.in_order()
            && let Some(entry) = circle.entry()
        {
            let message = format!("`{}` would be fed its own output: {}", entry.id, circle.described());
            self.problems.error(entry.span, &entry.path, message);
        }
    }

    fn pipeline_id(&mut self, entry: &Entry) -> Option<PipelineId> {
        let (span, path) = (entry.key_span, entry.node.path.as_str());
        let id = self.id(&entry.key, span, path, "pipeline")?;
        if id.kind == "profiles" {
            let message = "pipelines of profiles are not supported";
            self.problems.error(span, path, message).hint("use traces, metrics or logs");
            return None;
        }
        let signal = signal(&id.kind);
        if signal.is_none() {
            let message = format!("`{}` is not a kind of pipeline", Shown(&id.kind));
            let hint = advice(&id.kind, &Signal::ALL.map(Signal::name));
            self.problems.error(span, path, message).hint_opt(hint);
        }
        signal.map(|signal| PipelineId { signal, name: id.name })
    }

    fn pipeline(&mut self, id: PipelineId, entry: &Entry) -> Pipeline {
        let node = &entry.node;
        for inner in self.map(node) {
            if !PIPELINE.contains(&inner.key.as_str()) {
                self.unknown(inner, &PIPELINE);
            }
        }
        let receivers: &[Kind] = match id.signal {
            Signal::Logs => &[Kind::Receiver, Kind::Connector, Kind::Processor],
            Signal::Traces | Signal::Metrics => &[Kind::Receiver, Kind::Connector],
        };
        let mut part = |key: &str, kinds: &[Kind], needed: bool| {
            let list = node.get(key);
            if needed && list.is_none_or(|list| list.is_null() || matches!(&list.value, Value::Seq(s) if s.is_empty()))
            {
                let span = node.entry(key).map_or(entry.key_span, |entry| entry.key_span);
                let message = format!("pipeline `{id}` has no {key}");
                self.problems.error(span, &super::node::join(&node.path, key), message);
            }
            let ids = list.map(|list| self.list(list)).unwrap_or_default();
            ids.into_iter().filter_map(|(id, item)| self.resolve(id, item, kinds)).collect::<Vec<_>>()
        };
        let receivers = part("receivers", receivers, true);
        let processors = part("processors", &[Kind::Processor], false);
        let exporters = part("exporters", &[Kind::Exporter, Kind::Connector], true);
        Pipeline { id, span: entry.key_span, path: node.path.clone(), receivers, processors, exporters }
    }

    /// Declared and referred to by nobody: the Collector allows it, and it is nearly always a mistake.
    fn unused(&mut self) {
        let mut used: BTreeSet<(Kind, &Id)> = BTreeSet::new();
        let mut fed: BTreeSet<&Id> = BTreeSet::new();
        let mut read: BTreeSet<&Id> = BTreeSet::new();
        let service = &self.root.service;
        used.extend(service.extensions.iter().map(|reference| (reference.kind, &reference.id)));
        for pipeline in &service.pipelines {
            let all = pipeline.receivers.iter().chain(&pipeline.processors).chain(&pipeline.exporters);
            used.extend(all.map(|reference| (reference.kind, &reference.id)));
            fed.extend(pipeline.exporters.iter().filter(|r| r.kind == Kind::Connector).map(|r| &r.id));
            read.extend(pipeline.receivers.iter().filter(|r| r.kind == Kind::Connector).map(|r| &r.id));
        }
        for kind in Kind::ALL {
            for (id, Component { span, node }) in self.root.section(kind) {
                if !used.contains(&(kind, id)) {
                    if self.skipped || self.meant.contains(&(kind, id.clone())) {
                        continue;
                    }
                    let place = if kind == Kind::Extension { "`service::extensions`" } else { "any pipeline" };
                    let message = format!("{} `{id}` is declared and not used in {place}", kind.name());
                    self.problems.warning(*span, &node.path, message);
                } else if kind == Kind::Connector && !(fed.contains(id) && read.contains(id)) {
                    let missing = if fed.contains(id) { "a receiver" } else { "an exporter" };
                    let message = format!("connector `{id}` is not {missing} of any pipeline; it must be both");
                    self.problems.error(*span, &node.path, message);
                }
            }
        }
    }
}

fn signal(name: &str) -> Option<Signal> {
    Signal::ALL.into_iter().find(|signal| signal.name() == name)
}

fn article(kind: Kind) -> String {
    let article = if matches!(kind, Kind::Exporter | Kind::Extension) { "an" } else { "a" };
    format!("{article} {}", kind.name())
}
