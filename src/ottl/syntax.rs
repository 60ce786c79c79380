//! The tree of a statement as written, before names mean anything.

use super::fault::Place;

/// `editor(…) where condition`
#[derive(Clone, Debug)]
pub(super) struct Written {
    pub call: Call,
    pub condition: Option<Node>,
}

/// A node of an expression and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub kind: Kind,
    pub place: Place,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Nil,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(String),
    Bytes(Vec<u8>),
    /// `SPAN_KIND_SERVER`
    Enum(String),
    /// `resource.attributes["a"]["b"]`
    Path(Vec<Segment>),
    /// `Split(name, "/")[0]`
    Call(Call, Vec<Node>),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
    Negative(Box<Node>),
    Math(Box<Node>, Operation, Box<Node>),
    Compare(Box<Node>, Comparison, Box<Node>),
    Not(Box<Node>),
    And(Vec<Node>),
    Or(Vec<Node>),
}

/// A part of a path, with what is looked up in it.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub name: String,
    pub keys: Vec<Node>,
    pub place: Place,
}

/// A function with its arguments.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub name: String,
    pub arguments: Vec<Argument>,
    /// Of the name.
    pub place: Place,
    /// Of the closing parenthesis.
    pub end: Place,
}

/// `value` or `name=value`
#[derive(Clone, Debug)]
pub(super) struct Argument {
    pub name: Option<(String, Place)>,
    pub value: Node,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Node {
    /// Shows this node and all below it.
    pub fn walk<'a>(&'a self, see: &mut impl FnMut(&'a Node)) {
        see(self);
        match &self.kind {
            Kind::Path(segments) => segments.iter().flat_map(|segment| &segment.keys).for_each(|key| key.walk(see)),
            Kind::Call(call, keys) => {
                call.walk(see);
                for key in keys {
                    key.walk(see);
                }
            }
            Kind::List(nodes) | Kind::And(nodes) | Kind::Or(nodes) => nodes.iter().for_each(|node| node.walk(see)),
            Kind::Map(entries) => entries.iter().for_each(|(_, node)| node.walk(see)),
            Kind::Negative(node) | Kind::Not(node) => node.walk(see),
            Kind::Math(left, _, right) | Kind::Compare(left, _, right) => {
                left.walk(see);
                right.walk(see);
            }
            _ => {}
        }
    }
}

impl Call {
    /// Shows all arguments and what is below them.
    pub fn walk<'a>(&'a self, see: &mut impl FnMut(&'a Node)) {
        self.arguments.iter().for_each(|argument| argument.value.walk(see));
    }
}
