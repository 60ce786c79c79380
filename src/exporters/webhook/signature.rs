//! `signing_secret` of the webhook exporter: signatures as the Standard Webhooks specification has them.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::Sha256;

use crate::config::Secret;

/// How a secret is told from other text.
const PREFIX: &str = "whsec_";
/// Bytes of a key.
const LENGTHS: std::ops::RangeInclusive<usize> = 24..=64;

/// The key bodies are signed with.
#[derive(Clone)]
pub struct Key(Vec<u8>);

impl Key {
    /// Reads `whsec_` and base64.
    pub fn parse(secret: &Secret) -> Result<Self, &'static str> {
        let encoded = secret.expose().strip_prefix(PREFIX).ok_or("must begin with whsec_")?;
        let key = STANDARD.decode(encoded).map_err(|_| "is not base64 after whsec_")?;
        if LENGTHS.contains(&key.len()) { Ok(Self(key)) } else { Err("must hold 24 to 64 bytes") }
    }

    /// The three headers for the message `id` with `body`, sent now.
    pub fn sign(&self, id: &str, body: &[u8]) -> HeaderMap {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        self.sign_at(now, id, body)
    }

    fn sign_at(&self, seconds: u64, id: &str, body: &[u8]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        // A key of any length is a key.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return headers };
        mac.update(format!("{id}.{seconds}.").as_bytes());
        mac.update(body);
        let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        let seconds = seconds.to_string();
        for (name, value) in [("webhook-id", id), ("webhook-timestamp", &seconds), ("webhook-signature", &signature)] {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        headers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's reference implementations.
    #[test]
    fn a_signature_is_what_the_specification_says() {
        let key = Key::parse(&Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")).ok().unwrap();
        let headers = key.sign_at(1_614_265_330, "msg_p5jXN8AQM9LWM0D4loKWxJek", br#"{"test": 2432232314}"#);
        assert_eq!(headers["webhook-signature"], "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(headers["webhook-timestamp"], "1614265330");
        assert_eq!(headers["webhook-id"], "msg_p5jXN8AQM9LWM0D4loKWxJek");
    }

    #[test]
    fn only_good_keys_are_taken() {
        for bad in ["secret", "whsec_", "whsec_???", "whsec_c2hvcnQ="] {
            assert!(Key::parse(&Secret::new(bad)).is_err(), "{bad}");
        }
    }
}
