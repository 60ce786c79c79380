//! OTLP/JSON, transcoded at the door and for people's files; everything between is protobuf.
//!
//! The specification's deviations from protobuf's own JSON: trace and span ids are hexadecimal, enums are integers
//! (names are read too), unknown fields are ignored; 64-bit integers are written as strings and read as either.

mod read;
mod write;

pub use read::{JsonError, to_protobuf};
pub use write::to_json;

use std::borrow::Cow;

/// A field's name in protobuf's own spelling: `trace_id` for `traceId`. Readers must take both.
fn snake_case(name: &str) -> Cow<'_, str> {
    if !name.contains(|letter: char| letter.is_ascii_uppercase()) {
        return Cow::Borrowed(name);
    }
    let mut snake = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    Cow::Owned(snake)
}

#[cfg(test)]
mod tests;
