//! What a condition or statement sees: the serialised messages around one record.

use super::Context;
use crate::otlp::{edit::Patch, view, wire::Fields};

/// A message that paths can lead into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Level {
    /// `Resource`
    Resource,
    /// `InstrumentationScope`
    Scope,
    /// `Metric`
    Metric,
    /// `Span`
    Span,
    /// `Span.Event`
    SpanEvent,
    /// A point of any kind.
    Datapoint,
    /// `LogRecord`
    Log,
    /// What statements keep for each other while they work on one record; a `KeyValueList`.
    Cache,
}

const LEVELS: usize = 8;

/// The messages around one record, each empty where there is none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scene<'a> {
    messages: [&'a [u8]; LEVELS],
    /// The field of the metric that holds the point.
    points: u32,
}

impl<'a> Scene<'a> {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self { messages: [&[]; LEVELS], points: 0 }
    }

    /// With the message of a level; a point needs [`Scene::with_point`].
    #[must_use]
    pub const fn with(mut self, level: Level, message: &'a [u8]) -> Self {
        self.messages[level as usize] = message;
        self
    }

    /// With a point, and the field of its metric that holds it (see [`view::points`]).
    #[must_use]
    pub const fn with_point(mut self, points: u32, message: &'a [u8]) -> Self {
        self.points = points;
        self.with(Level::Datapoint, message)
    }

    /// With a record that has its attributes in this field: a point is one of the metric that is here.
    #[must_use]
    pub fn with_record(self, level: Level, attributes: u32, message: &'a [u8]) -> Self {
        if level != Level::Datapoint {
            return self.with(level, message);
        }
        let mut kinds = Fields::new(self.get(Level::Metric)).map(|(number, _)| number);
        let kind = kinds.find(|number| view::POINTS.contains(number) && view::point_attributes(*number) == attributes);
        self.with_point(kind.unwrap_or_default(), message)
    }

    /// The message of a level.
    pub const fn get(&self, level: Level) -> &'a [u8] {
        self.messages[level as usize]
    }

    /// The field of the metric that holds the point.
    pub(super) const fn points(&self) -> u32 {
        self.points
    }

    /// The number of the field that holds the attributes of a level.
    pub const fn attributes(&self, level: Level) -> u32 {
        match level {
            Level::Resource | Level::Cache => 1,
            Level::Scope | Level::SpanEvent => 3,
            Level::Metric => 12,
            Level::Span => 9,
            Level::Log => 6,
            Level::Datapoint => view::point_attributes(self.points),
        }
    }
}

/// A scene in which statements change messages: each sees what those before it have left.
#[derive(Debug, Default)]
pub struct Stage<'a> {
    scene: Scene<'a>,
    changed: [Option<Vec<u8>>; LEVELS],
    spare: Vec<u8>,
}

impl<'a> Stage<'a> {
    /// A scene as it is now.
    pub fn new(scene: Scene<'a>) -> Self {
        Self { scene, ..Self::default() }
    }

    /// How it looks now.
    pub fn scene(&self) -> Scene<'_> {
        let mut scene = self.scene;
        for (message, changed) in scene.messages.iter_mut().zip(&self.changed) {
            if let Some(changed) = changed {
                *message = changed;
            }
        }
        scene
    }

    /// Changes the message of a level.
    pub(super) fn apply(&mut self, level: Level, patch: &Patch) {
        let slot = level as usize;
        self.spare.clear();
        let message = self.changed[slot].as_deref().unwrap_or(self.scene.messages[slot]);
        patch.apply(message, &mut self.spare);
        let before = self.changed[slot].replace(std::mem::take(&mut self.spare));
        self.spare = before.unwrap_or_default();
    }

    /// The message of a level, if it was changed.
    pub fn take(&mut self, level: Level) -> Option<Vec<u8>> {
        self.changed[level as usize].take()
    }
}

impl Context {
    /// The message that the context is about.
    pub const fn level(self) -> Level {
        match self {
            Self::Resource => Level::Resource,
            Self::Scope => Level::Scope,
            Self::Span => Level::Span,
            Self::SpanEvent => Level::SpanEvent,
            Self::Metric => Level::Metric,
            Self::Datapoint => Level::Datapoint,
            Self::Log => Level::Log,
        }
    }
}
