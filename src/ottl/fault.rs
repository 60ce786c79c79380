//! What is wrong with a statement, and where in it.

use std::fmt;

use crate::config::nearest;

/// Why a text is no statement or condition. `Display` says it with the column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where it starts, in characters from 0.
    pub at: usize,
    /// Characters to underline.
    pub width: usize,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub hint: Option<String>,
}

impl Fault {
    pub(super) fn new(place: Place, message: impl Into<String>) -> Self {
        Self { at: place.at, width: place.width.max(1), message: message.into(), hint: None }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Something is not in the list of what there is.
    pub(super) fn unknown<'a>(place: Place, what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> Self {
        let known: Vec<&str> = known.collect();
        let fault = Self::new(place, format!("unknown {what} `{name}`"));
        match nearest(name, known.iter().copied()) {
            Some(near) => fault.hint(format!("did you mean `{near}`?")),
            None if known.len() <= 24 => fault.hint(format!("there are {}", known.join(", "))),
            None => fault,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at column {}", self.message, self.at + 1)
    }
}

/// Where something stands in a statement, in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub at: usize,
    pub width: usize,
}

impl Place {
    /// From the start of this to the end of `other`.
    pub const fn to(self, other: Self) -> Self {
        Self { at: self.at, width: (other.at + other.width).saturating_sub(self.at) }
    }
}

/// Why a statement that is right could not be run on one record: a value of another type, nothing where there must be
/// something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failure(pub String);

impl Failure {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}
