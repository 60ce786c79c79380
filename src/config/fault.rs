//! Why a value does not decode: serde's error, with a place and words for the person who wrote the value.

use std::fmt;

use serde::de;

use super::{
    node::{Node, Shown, Span},
    print::looks_secret,
    problem::nearest,
};

/// What separates a message from advice in an error made by a field's own `Deserialize`.
const HINT: &str = "\nhint: ";

/// A message with advice, for `serde::de::Error::custom` inside a field type.
pub(super) fn with_hint(message: impl fmt::Display, hint: impl fmt::Display) -> String {
    format!("{message}{HINT}{hint}")
}

pub(super) type NodeId = *const Node;

pub(super) fn id(node: &Node) -> NodeId {
    std::ptr::from_ref(node)
}

/// The value for a message, unless a key above it says it is secret.
pub(super) fn shown(node: &Node) -> String {
    if node.path.split("::").any(looks_secret) { node.kind().to_owned() } else { node.describe() }
}

pub(super) type Decoded<T> = Result<T, Fault>;

#[derive(Debug)]
pub(super) struct Place {
    pub(super) id: NodeId,
    pub(super) span: Span,
    pub(super) path: String,
}

/// Why a value does not decode; the place is that of the innermost node it happened in.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) at: Option<Place>,
    pub(super) message: String,
    pub(super) hint: Option<String>,
    /// The message says what is wanted and not yet what was found.
    half: bool,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(text: T) -> Self {
        let text = text.to_string();
        match text.split_once(HINT) {
            Some((message, hint)) => Self::new(message).hint(Some(hint.to_owned())),
            None => Self::new(text),
        }
    }

    fn invalid_type(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self { half: true, ..Self::new(format!("must be {expected}")) }
    }

    fn invalid_value(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self { half: true, ..Self::new(format!("must be {expected}")) }
    }

    fn invalid_length(length: usize, expected: &dyn de::Expected) -> Self {
        Self::new(format!("has {length} items; must be {expected}"))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(format!("`{field}` must be set"))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let message = format!("must be one of {}, not \"{}\"", expected.join(", "), Shown(variant));
        Self::new(message)
            .hint(nearest(variant, expected.iter().copied()).map(|near| format!("did you mean `{near}`?")))
    }
}

impl Fault {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { at: None, message: message.into(), hint: None, half: false }
    }

    pub(super) fn hint(self, hint: Option<String>) -> Self {
        Self { hint, ..self }
    }

    /// Lays the fault at a key rather than at its value.
    pub(super) fn at_place(self, place: Place) -> Self {
        Self { at: Some(place), ..self }
    }

    /// Lays the fault at `node`, unless a node further in has it already.
    pub(super) fn at(mut self, node: &Node) -> Self {
        if self.at.is_none() {
            if self.half {
                self.message = format!("{}, not {}", self.message, shown(node));
            }
            self.at = Some(Place { id: id(node), span: node.span, path: node.path.clone() });
        }
        self
    }
}
