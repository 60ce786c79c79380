//! The words of the control API: `proto/sekisho/control/v1/control.proto`, as protobuf and as JSON.

#[allow(missing_docs, clippy::pedantic, rustdoc::all, reason = "generated")]
pub mod proto {
    include!(concat!(env!("OUT_DIR"), "/sekisho.control.v1.rs"));
}

/// 64-bit integers in JSON: written as decimal strings, read as those or as numbers.
pub mod decimal {
    use std::fmt;

    use serde::{Deserializer, Serializer, de};

    /// Writes a decimal string.
    pub fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    /// Reads a decimal string or a number.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        struct Decimal;

        impl de::Visitor<'_> for Decimal {
            type Value = u64;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number of at most 64 bits, as text or number")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<u64, E> {
                text.parse().map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<u64, E> {
                Ok(number)
            }
        }

        deserializer.deserialize_any(Decimal)
    }
}

#[cfg(test)]
mod tests {
    use super::proto::{Fleet, GiveVerdictRequest};

    #[test]
    fn large_integers_are_text_and_every_field_is_there() {
        let fleet = Fleet { started: u64::MAX, functions: 3, ..Fleet::default() };
        let json = serde_json::to_value(&fleet).unwrap();
        assert_eq!(json["started"], "18446744073709551615");
        assert_eq!(json["functions"], 3);
        assert_eq!(json["health"], "");
        assert_eq!(serde_json::from_value::<Fleet>(json).unwrap(), fleet);
    }

    #[test]
    fn a_request_may_leave_fields_out_but_not_invent_any() {
        let read = |json: &str| serde_json::from_str::<GiveVerdictRequest>(json).map_err(|error| error.to_string());
        assert_eq!(read(r#"{"expires_in_seconds": 60}"#).unwrap().expires_in_seconds, 60);
        assert_eq!(read(r#"{"expires_in_seconds": "60"}"#).unwrap().expires_in_seconds, 60);
        #[rustfmt::skip]
        let table = [
            ("negative", r#"{"expires_in_seconds": -1}"#,   "a whole number"),
            ("no number", r#"{"expires_in_seconds": "x"}"#, "a whole number"),
            ("unknown",  r#"{"expires": 60}"#,              "unknown field `expires`"),
        ];
        for (row, json, expected) in table {
            assert!(read(json).unwrap_err().contains(expected), "{row}");
        }
    }
}
