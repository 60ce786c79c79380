//! Signed links: whoever holds one may look at one incident and give a verdict on it, for a while.

use arc_swap::ArcSwapOption;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::detect::observation::Nanos;

/// What is signed begins with this, so that the key's other uses can never be taken for a link.
const PURPOSE: &[u8] = b"sekisho incident link 1\0";
/// Bytes of the expiry in a token, which the signature follows.
const EXPIRY: usize = 8;

/// The signer of now, shared by whoever makes links; empty while none are made.
pub type Signing = ArcSwapOption<Signer>;

/// Makes and checks links.
#[derive(Clone)]
pub struct Signer {
    mac: Hmac<Sha256>,
    public_url: String,
    lifetime: Nanos,
}

impl Signer {
    /// The name of [`Signing`] among what components share.
    pub const NAME: &'static str = "incidents::link";

    /// Links begin with `public_url` and are good for `lifetime` nanoseconds. `None` for a key nobody can sign with.
    pub fn new(public_url: &str, secret: &str, lifetime: Nanos) -> Option<Self> {
        let mac = Hmac::new_from_slice(secret.as_bytes()).ok()?;
        Some(Self { mac, public_url: public_url.trim_end_matches('/').to_owned(), lifetime })
    }

    /// A link to an incident, as of `now`, wall time.
    pub fn link(&self, incident: &str, now: Nanos) -> String {
        let expires = now.saturating_add(self.lifetime).to_be_bytes();
        let mut token = expires.to_vec();
        token.extend_from_slice(&self.sign(incident, expires).finalize().into_bytes());
        // Behind the `#`: no server or proxy on the way writes it into a log.
        format!("{}/#/incidents/{incident}?link={}", self.public_url, URL_SAFE_NO_PAD.encode(token))
    }

    /// Whether `token` is good for an incident at `now`.
    pub fn allows(&self, token: &str, incident: &str, now: Nanos) -> bool {
        let Ok(token) = URL_SAFE_NO_PAD.decode(token) else { return false };
        let Some((expires, signature)) = token.split_first_chunk::<EXPIRY>() else { return false };
        self.sign(incident, *expires).verify_slice(signature).is_ok() && now < Nanos::from_be_bytes(*expires)
    }

    fn sign(&self, incident: &str, expires: [u8; EXPIRY]) -> Hmac<Sha256> {
        self.mac.clone().chain_update(PURPOSE).chain_update(expires).chain_update(incident)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_good_for_its_incident_until_it_expires() {
        let signer = Signer::new("https://sekisho.example/", "a secret of some length", 100).unwrap();
        let link = signer.link("inc-1", 1000);
        let token = link.strip_prefix("https://sekisho.example/#/incidents/inc-1?link=").unwrap();
        let other = Signer::new("https://sekisho.example", "another secret", 100).unwrap();
        let mut bytes = URL_SAFE_NO_PAD.decode(token).unwrap();
        bytes[7] ^= 1;
        let prolonged = URL_SAFE_NO_PAD.encode(&bytes);
        let cut = URL_SAFE_NO_PAD.encode(&bytes[..8]);
        #[rustfmt::skip]
        let table = [
            ("as it was made",     &signer, token,         "inc-1", 1099, true),
            ("too late",           &signer, token,         "inc-1", 1100, false),
            ("another incident",   &signer, token,         "inc-2", 1000, false),
            ("another key",        &other,  token,         "inc-1", 1000, false),
            ("another expiry",     &signer, &*prolonged,   "inc-1", 1000, false),
            ("without signature",  &signer, &*cut,         "inc-1", 1000, false),
            ("empty",              &signer, "",            "inc-1", 1000, false),
            ("not base64",         &signer, "%%%",         "inc-1", 1000, false),
        ];
        for (row, signer, token, incident, now, expected) in table {
            assert_eq!(signer.allows(token, incident, now), expected, "{row}");
        }
    }
}
