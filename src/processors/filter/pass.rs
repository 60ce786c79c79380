//! One batch through the filter.

use crate::{
    otlp::{
        Signal,
        edit::{Edit, Keep, Patch},
        view::{self, ResourceGroup, ScopeGroup},
        wire::Value,
    },
    ottl::{Condition, Context, ErrorMode, Level, Scene},
    processors::{
        failures::{Failures, Stopped},
        selection::Selection,
    },
};

/// A condition that drops.
#[derive(Clone, Debug)]
pub struct Rule {
    pub condition: Condition,
    pub mode: ErrorMode,
    /// As written.
    pub text: String,
}

/// What is dropped of one signal, by what the conditions are about.
#[derive(Clone, Debug)]
pub struct Rules {
    signal: Signal,
    resource: Vec<Rule>,
    scope: Vec<Rule>,
    /// Of spans, metrics, log records.
    middle: Vec<Rule>,
    /// Of span events, data points.
    inner: Vec<Rule>,
    pub selection: Selection,
}

impl Rules {
    pub fn new(signal: Signal) -> Self {
        Self {
            signal,
            resource: Vec::new(),
            scope: Vec::new(),
            middle: Vec::new(),
            inner: Vec::new(),
            selection: Selection::default(),
        }
    }

    pub fn add(&mut self, context: Context, rule: Rule) {
        let rules = match context {
            Context::Resource => &mut self.resource,
            Context::Scope => &mut self.scope,
            Context::Span | Context::Metric | Context::Log => &mut self.middle,
            Context::SpanEvent | Context::Datapoint => &mut self.inner,
        };
        rules.push(rule);
    }
}

/// The batch on its way: what the record at hand belongs to.
pub struct Pass<'a> {
    rules: &'a Rules,
    failures: &'a Failures,
    resource: Vec<u8>,
    scope: Vec<u8>,
    metric: Vec<u8>,
    /// Why the batch must go no further.
    pub stopped: Option<Stopped>,
}

impl<'a> Pass<'a> {
    pub const fn new(rules: &'a Rules, failures: &'a Failures) -> Self {
        Self { rules, failures, resource: Vec::new(), scope: Vec::new(), metric: Vec::new(), stopped: None }
    }

    fn scene(&self) -> Scene<'_> {
        Scene::new()
            .with(Level::Resource, &self.resource)
            .with(Level::Scope, &self.scope)
            .with(Level::Metric, &self.metric)
    }

    /// Whether any of the rules holds; none does once the batch is stopped.
    fn drops(&self, rules: &[Rule], scene: &Scene<'_>, stopped: &mut Option<Stopped>) -> bool {
        for rule in rules {
            if stopped.is_some() {
                return false;
            }
            match rule.condition.holds(scene) {
                Ok(true) => return true,
                Ok(false) => {}
                Err(failure) => *stopped = self.failures.note(rule.mode, &rule.text, &failure).err(),
            }
        }
        false
    }

    /// Likewise, where the batch at hand is what is stopped.
    fn dropped(&mut self, rules: &'a [Rule], record: Option<(Level, u32, &[u8])>) -> Keep {
        let mut stopped = self.stopped.take();
        let scene = match record {
            Some((level, attributes, message)) => self.scene().with_record(level, attributes, message),
            None => self.scene(),
        };
        let drops = self.drops(rules, &scene, &mut stopped);
        self.stopped = stopped;
        if drops { Keep::No } else { Keep::Yes }
    }

    /// Removes the events that go.
    fn drop_events(&mut self, span: &[u8], patch: &mut Patch) {
        let rules = &self.rules.inner;
        let mut stopped = self.stopped.take();
        let scene = self.scene().with(Level::Span, span);
        let kept: Vec<&[u8]> = view::messages(span, view::SPAN_EVENTS)
            .filter(|event| !self.drops(rules, &scene.with(Level::SpanEvent, event), &mut stopped))
            .collect();
        if kept.len() < view::messages(span, view::SPAN_EVENTS).count() {
            patch.remove_field(view::SPAN_EVENTS);
            for event in kept {
                patch.add_field(view::SPAN_EVENTS, Value::Bytes(event));
            }
        }
        self.stopped = stopped;
    }
}

fn keep_copy(copy: &mut Vec<u8>, message: &[u8]) {
    copy.clear();
    copy.extend_from_slice(message);
}

impl Edit for Pass<'_> {
    fn keep_resource(&mut self, group: &ResourceGroup<'_>) -> Keep {
        keep_copy(&mut self.resource, group.resource());
        self.scope.clear();
        self.metric.clear();
        self.dropped(&self.rules.resource, None)
    }

    fn scope(&mut self, group: &ScopeGroup<'_>, _patch: &mut Patch) -> Keep {
        keep_copy(&mut self.scope, group.scope());
        self.metric.clear();
        self.dropped(&self.rules.scope, None)
    }

    fn metric(&mut self, metric: &[u8], _patch: &mut Patch) -> Keep {
        keep_copy(&mut self.metric, metric);
        let selection = &self.rules.selection;
        if !selection.is_everything() && !selection.applies(Signal::Metrics, &self.scene(), metric, 0) {
            return Keep::No;
        }
        self.dropped(&self.rules.middle, None)
    }

    fn record(&mut self, _index: usize, record: &[u8], patch: &mut Patch) -> Keep {
        let rules = self.rules;
        let level = match rules.signal {
            Signal::Metrics => {
                if rules.inner.is_empty() {
                    return Keep::Yes;
                }
                return self.dropped(&rules.inner, Some((Level::Datapoint, patch.field(), record)));
            }
            Signal::Traces => Level::Span,
            Signal::Logs => Level::Log,
        };
        let selection = &rules.selection;
        if !selection.is_everything() && !selection.applies(rules.signal, &self.scene(), record, patch.field()) {
            return Keep::No;
        }
        let keep = self.dropped(&rules.middle, Some((level, patch.field(), record)));
        if keep == Keep::Yes && !rules.inner.is_empty() {
            self.drop_events(record, patch);
        }
        keep
    }
}
