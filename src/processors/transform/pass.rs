//! One batch through one group of statements.

use std::borrow::Cow;

use crate::{
    otlp::{
        Signal,
        edit::{Edit, Keep, Patch},
        view::{self, ResourceGroup, ScopeGroup},
        wire::{Fields, Value},
    },
    ottl::{Condition, Context, ErrorMode, Level, Scene, Stage, Statement},
    processors::failures::{Failures, Stopped},
};

/// A group of statements, ready to run.
#[derive(Clone, Debug)]
pub struct Program {
    pub context: Context,
    /// Each with its text.
    pub statements: Vec<(Statement, String)>,
    pub conditions: Vec<(Condition, String)>,
    pub mode: ErrorMode,
}

impl Program {
    /// Runs the statements on a record.
    fn run(&self, stage: &mut Stage<'_>, patch: &mut Patch, failures: &Failures) -> Result<(), Stopped> {
        if !self.conditions.is_empty() && !self.is_met(&stage.scene(), failures)? {
            return Ok(());
        }
        for (statement, text) in &self.statements {
            if let Err(failure) = statement.run(stage, patch) {
                failures.note(self.mode, text, &failure)?;
            }
        }
        Ok(())
    }

    /// Whether one of the conditions holds.
    fn is_met(&self, scene: &Scene<'_>, failures: &Failures) -> Result<bool, Stopped> {
        for (condition, text) in &self.conditions {
            match condition.holds(scene) {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(failure) => failures.note(self.mode, text, &failure)?,
            }
        }
        Ok(false)
    }
}

/// A message around the record at hand, and whether a statement about that record has changed it.
#[derive(Debug, Default)]
struct Around {
    message: Vec<u8>,
    changed: bool,
}

impl Around {
    fn enter(&mut self, message: &[u8]) {
        self.message.clear();
        self.message.extend_from_slice(message);
        self.changed = false;
    }

    fn take(&mut self, changed: Option<Vec<u8>>) {
        if let Some(changed) = changed {
            self.message = changed;
            self.changed = true;
        }
    }
}

/// The batch on its way: what the record at hand belongs to.
pub struct Pass<'a> {
    signal: Signal,
    program: &'a Program,
    failures: &'a Failures,
    resource: Around,
    scope: Around,
    metric: Around,
    patch: Patch,
    /// Why the batch must go no further.
    pub stopped: Option<Stopped>,
}

impl<'a> Pass<'a> {
    pub fn new(signal: Signal, program: &'a Program, failures: &'a Failures) -> Self {
        let (resource, scope, metric) = (Around::default(), Around::default(), Around::default());
        Self { signal, program, failures, resource, scope, metric, patch: Patch::default(), stopped: None }
    }

    fn runs(&self, context: Context) -> bool {
        self.program.context == context && self.stopped.is_none()
    }

    /// Runs the program on the messages at hand and a record of `level` that has its attributes in this field; what
    /// becomes of the message of `level`, if it changes.
    fn run(&mut self, level: Level, record: Option<(u32, &[u8])>) -> Option<Vec<u8>> {
        let mut scene = Scene::new()
            .with(Level::Resource, &self.resource.message)
            .with(Level::Scope, &self.scope.message)
            .with(Level::Metric, &self.metric.message);
        if let Some((attributes, record)) = record {
            scene = scene.with_record(level, attributes, record);
        }
        let mut stage = Stage::new(scene);
        if let Err(stopped) = self.program.run(&mut stage, &mut self.patch, self.failures) {
            self.stopped = Some(stopped);
            return None;
        }
        let own = stage.take(level);
        let [resource, scope, metric] = [Level::Resource, Level::Scope, Level::Metric].map(|level| stage.take(level));
        self.resource.take(resource);
        self.scope.take(scope);
        self.metric.take(metric);
        own
    }
}

impl Edit for Pass<'_> {
    fn resource(&mut self, group: &ResourceGroup<'_>, patch: &mut Patch) {
        self.resource.enter(group.resource());
        self.scope.enter(&[]);
        self.metric.enter(&[]);
        if self.runs(Context::Resource)
            && let Some(changed) = self.run(Level::Resource, None)
        {
            patch.replace(&changed);
            self.resource.enter(&changed);
        }
    }

    fn scope(&mut self, group: &ScopeGroup<'_>, patch: &mut Patch) -> Keep {
        self.scope.enter(group.scope());
        self.metric.enter(&[]);
        if self.runs(Context::Scope)
            && let Some(changed) = self.run(Level::Scope, None)
        {
            patch.replace(&changed);
            self.scope.enter(&changed);
        }
        Keep::Yes
    }

    fn metric(&mut self, metric: &[u8], patch: &mut Patch) -> Keep {
        self.metric.enter(metric);
        if self.runs(Context::Metric)
            && let Some(changed) = self.run(Level::Metric, None)
        {
            patch.replace(&changed);
            self.metric.enter(&changed);
        }
        Keep::Yes
    }

    fn record(&mut self, _index: usize, record: &[u8], patch: &mut Patch) -> Keep {
        let attributes = patch.field();
        let changed = match self.signal {
            Signal::Traces if self.runs(Context::SpanEvent) => self.events(record),
            Signal::Traces if self.runs(Context::Span) => self.run(Level::Span, Some((attributes, record))),
            Signal::Logs if self.runs(Context::Log) => self.run(Level::Log, Some((attributes, record))),
            Signal::Metrics if self.runs(Context::Datapoint) => self.run(Level::Datapoint, Some((attributes, record))),
            _ => None,
        };
        if let Some(changed) = changed {
            patch.replace(&changed);
        }
        Keep::Yes
    }

    fn leave_metric(&mut self, patch: &mut Patch) {
        if !self.metric.changed {
            return;
        }
        // All of its own fields, and none of those that hold points.
        let own = |number: &u32| !view::POINTS.contains(number);
        (1..64).filter(own).for_each(|number| patch.remove_field(number));
        Fields::new(&self.metric.message)
            .filter(|(number, _)| own(number))
            .for_each(|(number, value)| patch.add_field(number, value));
    }

    fn leave_scope(&mut self, patch: &mut Patch) {
        if self.scope.changed {
            patch.set_field(1, Value::Bytes(&self.scope.message));
        }
    }

    fn leave_resource(&mut self, patch: &mut Patch) {
        if self.resource.changed {
            patch.set_field(1, Value::Bytes(&self.resource.message));
        }
    }
}

impl Pass<'_> {
    /// The span after the statements have run on each of its events, if it changes.
    fn events(&mut self, span: &[u8]) -> Option<Vec<u8>> {
        let mut owner: Option<Vec<u8>> = None;
        let (mut events, mut changed) = (Vec::new(), false);
        for event in view::messages(span, view::SPAN_EVENTS) {
            let around = Scene::new()
                .with(Level::Resource, &self.resource.message)
                .with(Level::Scope, &self.scope.message)
                .with(Level::Span, owner.as_deref().unwrap_or(span))
                .with(Level::SpanEvent, event);
            let mut stage = Stage::new(around);
            if let Err(stopped) = self.program.run(&mut stage, &mut self.patch, self.failures) {
                self.stopped = Some(stopped);
                return None;
            }
            let after = stage.take(Level::SpanEvent);
            let [resource, scope, of_span] =
                [Level::Resource, Level::Scope, Level::Span].map(|level| stage.take(level));
            self.resource.take(resource);
            self.scope.take(scope);
            owner = of_span.or(owner);
            changed |= after.is_some();
            events.push(after.map_or(Cow::Borrowed(event), Cow::Owned));
        }
        if changed {
            let mut patch = Patch::new(0);
            patch.remove_field(view::SPAN_EVENTS);
            for event in &events {
                patch.add_field(view::SPAN_EVENTS, Value::Bytes(event));
            }
            let span = owner.as_deref().unwrap_or(span);
            let mut out = Vec::with_capacity(span.len());
            patch.apply(span, &mut out);
            return Some(out);
        }
        owner
    }
}
