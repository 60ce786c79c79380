//! Caps on what an incident keeps of hostile input.

use bytes::Bytes;

use crate::{
    detect::verdict::{Evidence, OwnedKey},
    otlp::wire::{self, Fields, Value},
};

/// Longest name, id or description kept, bytes.
pub const TEXT: usize = 256;
/// Invocation ids kept.
pub const INVOCATIONS: usize = 16;
/// Evidence rows kept.
pub const EVIDENCE: usize = 32;
/// Functions kept.
pub const FUNCTIONS: usize = 64;
/// Causes kept.
pub const CAUSES: usize = 128;
/// A resource larger than this is cut down to what names the function.
pub const RESOURCE: usize = 16 << 10;

/// Field number of `Resource.attributes`.
const RESOURCE_ATTRIBUTES: u32 = 1;
/// What of an oversized resource is kept.
const NAMING: [&str; 3] = ["cloud.", "faas.", "service."];

/// At most [`TEXT`] bytes of `text`, cut between characters.
pub fn text(text: &str) -> String {
    let mut end = TEXT.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

/// `evidence` with short texts, its bits multiplied by `scale`.
pub fn evidence(evidence: &Evidence, scale: f64) -> Evidence {
    let key = evidence.key.as_ref().map(|key| OwnedKey { name: text(&key.name), ..*key });
    Evidence {
        feature: evidence.feature,
        key,
        bits: evidence.bits * scale,
        observed: text(&evidence.observed),
        usual: text(&evidence.usual),
        seen_in: evidence.seen_in,
        out_of: evidence.out_of,
        fleet: evidence.fleet,
        amount: evidence.amount,
        source: evidence.source,
    }
}

/// The serialised `resource`, or when it is too large those of its attributes that name the function.
pub fn resource(resource: &[u8]) -> Bytes {
    if resource.len() <= RESOURCE {
        return Bytes::copy_from_slice(resource);
    }
    let mut kept = Vec::new();
    for (key, bytes) in resource_attributes(resource) {
        if NAMING.iter().any(|prefix| key.starts_with(prefix)) && kept.len() + bytes.len() + 8 <= RESOURCE {
            wire::put_bytes(&mut kept, RESOURCE_ATTRIBUTES, bytes);
        }
    }
    kept.into()
}

/// Keys and serialised `KeyValue`s of a serialised `Resource`.
pub fn resource_attributes(resource: &[u8]) -> impl Iterator<Item = (&str, &[u8])> {
    Fields::new(resource).filter_map(|(number, value)| match (number, value) {
        (RESOURCE_ATTRIBUTES, Value::Bytes(pair)) => Some((key_of(pair)?, pair)),
        _ => None,
    })
}

fn key_of(pair: &[u8]) -> Option<&str> {
    Fields::new(pair).find_map(|(number, value)| match (number, value) {
        (1, Value::Bytes(key)) => std::str::from_utf8(key).ok(),
        _ => None,
    })
}
