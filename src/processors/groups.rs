//! Lists of statements or conditions in the Collector's two styles: plain texts, which say in each path what they are about,
//! or groups with settings of their own.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};

use crate::{
    config::{Report, nearest},
    otlp::Signal,
    ottl::Context,
};

/// A text or a group.
#[derive(Clone, Debug)]
pub enum Entry<G> {
    /// A statement or condition.
    Text(String),
    /// Several of them, with settings.
    Group(G),
}

impl<'de, G: Deserialize<'de>> Deserialize<'de> for Entry<G> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntryVisitor<G>(PhantomData<G>);

        impl<'de, G: Deserialize<'de>> Visitor<'de> for EntryVisitor<G> {
            type Value = Entry<G>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a group")
            }

            fn visit_str<E>(self, text: &str) -> Result<Entry<G>, E> {
                Ok(Entry::Text(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Entry<G>, A::Error> {
                G::deserialize(MapAccessDeserializer::new(map)).map(Entry::Group)
            }
        }

        deserializer.deserialize_any(EntryVisitor(PhantomData))
    }
}

/// The texts of a list in the plain style, with their indices.
pub fn texts<G>(list: &[Entry<G>]) -> impl Iterator<Item = (usize, &String)> {
    list.iter()
        .enumerate()
        .filter_map(|(index, entry)| if let Entry::Text(text) = entry { Some((index, text)) } else { None })
}

/// The groups of a list, with their indices.
pub fn groups<G>(list: &[Entry<G>]) -> impl Iterator<Item = (usize, &G)> {
    list.iter()
        .enumerate()
        .filter_map(|(index, entry)| if let Entry::Group(group) = entry { Some((index, group)) } else { None })
}

/// Reports a list in both styles.
pub fn check_style<G>(path: &str, list: &[Entry<G>], report: &mut Report<'_>) {
    if texts(list).next().is_some() && groups(list).next().is_some() {
        report.error(path, "mixes texts and groups").hint("write only texts, or only groups");
    }
}

/// The context with this name, of those a signal has; or what to say.
pub fn context(name: &str, signal: Signal) -> Result<Context, (String, String)> {
    let known = Context::of(signal);
    // The scope has an older name.
    let wanted = if name == "instrumentation_scope" { "scope" } else { name };
    known.iter().find(|context| context.name() == wanted).copied().ok_or_else(|| {
        let names: Vec<&str> = known.iter().map(|context| context.name()).collect();
        let hint = match nearest(name, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are {}", names.join(", ")),
        };
        (format!("{} have no context `{name}`", signal.name()), hint)
    })
}
