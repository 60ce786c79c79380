//! What stands for what must not be read.

use std::borrow::Cow;

use hmac::{Hmac, KeyInit as _, Mac as _};
use md5::Md5;
use regex::{Captures, Regex};
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha512};
use sha3::Sha3_256;

use super::HashFunction;
use crate::otlp::hex;

/// Replaces text.
#[derive(Clone)]
pub enum Mask {
    Text(String),
    Md5,
    Sha1,
    Sha3,
    HmacSha256(Hmac<Sha256>),
    HmacSha512(Hmac<Sha512>),
}

impl Mask {
    pub fn new(function: HashFunction, text: &str, key: &str) -> Result<Self, String> {
        let wrong = |_| "the key has a wrong length".to_owned();
        Ok(match function {
            HashFunction::None if text.is_empty() => Self::Text("****".to_owned()),
            HashFunction::None => Self::Text(text.to_owned()),
            HashFunction::Md5 => Self::Md5,
            HashFunction::Sha1 => Self::Sha1,
            HashFunction::Sha3 => Self::Sha3,
            HashFunction::HmacSha256 => Self::HmacSha256(Hmac::new_from_slice(key.as_bytes()).map_err(wrong)?),
            HashFunction::HmacSha512 => Self::HmacSha512(Hmac::new_from_slice(key.as_bytes()).map_err(wrong)?),
        })
    }

    /// All of a text.
    pub fn whole(&self, text: &str) -> String {
        match self {
            Self::Text(mask) => mask.clone(),
            Self::Md5 => hex(&Md5::digest(text)),
            Self::Sha1 => hex(&Sha1::digest(text)),
            Self::Sha3 => hex(&Sha3_256::digest(text)),
            Self::HmacSha256(key) => hex(&key.clone().chain_update(text).finalize().into_bytes()),
            Self::HmacSha512(key) => hex(&key.clone().chain_update(text).finalize().into_bytes()),
        }
    }

    /// What a pattern finds in a text.
    pub fn parts<'t>(&self, text: &'t str, pattern: &Regex) -> Cow<'t, str> {
        pattern
            .replace_all(text, |found: &Captures<'_>| self.whole(found.get(0).map_or("", |matched| matched.as_str())))
    }
}
