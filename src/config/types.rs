//! Field types shared by components: sizes, secrets, optional sections, rates, addresses.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{fault::with_hint, node::Shown, problem::nearest};

/// The newtype name by which the decoder knows a secret.
pub(super) const SECRET: &str = "$sekisho::config::Secret";

/// A text or number that is parsed by `FromStr`; the decoder adds the place.
struct Parsed<T>(std::marker::PhantomData<T>, &'static str);

impl<T: FromStr<Err = String>> de::Visitor<'_> for Parsed<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.1)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<T, E> {
        value.to_string().parse().map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<T, E> {
        value.to_string().parse().map_err(E::custom)
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<T, E> {
        value.to_string().parse().map_err(E::custom)
    }
}

macro_rules! text_form {
    ($type:ty, $expected:literal) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(Parsed(std::marker::PhantomData, $expected))
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}

/// A number of bytes: `20MiB`, `512KiB`, `10MB`, or plain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

text_form!(ByteSize, "a size such as 512KiB, 20MiB or a number of bytes");

impl ByteSize {
    const UNITS: [(&'static str, u64); 9] = [
        ("GiB", 1 << 30),
        ("MiB", 1 << 20),
        ("KiB", 1 << 10),
        ("TiB", 1 << 40),
        ("GB", 1_000_000_000),
        ("MB", 1_000_000),
        ("KB", 1_000),
        ("TB", 1_000_000_000_000),
        ("B", 1),
    ];

    /// `n` × 1024.
    pub const fn kib(n: u64) -> Self {
        Self(n << 10)
    }

    /// `n` × 1024².
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }

    /// As a length in memory.
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let wrong = || {
            with_hint(format!("must be a size, not \"{}\"", Shown(text)), "such as 512KiB, 20MiB or a number of bytes")
        };
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let unit = unit.trim();
        let scale = match Self::UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)) {
            Some((_, scale)) => *scale,
            None if unit.is_empty() => 1,
            None => {
                let near = nearest(unit, Self::UNITS.map(|(name, _)| name)).filter(|_| !number.is_empty());
                return Err(near.map_or_else(wrong, |near| {
                    let message =
                        format!("must be a size, not \"{}\": there is no unit `{}`", Shown(text), Shown(unit));
                    with_hint(message, format!("did you mean `{number}{near}`?"))
                }));
            }
        };
        if let Ok(whole) = number.parse::<u64>() {
            return whole.checked_mul(scale).map(Self).ok_or_else(|| format!("is too large: {}", Shown(text)));
        }
        let number: f64 = number.parse().map_err(|_| wrong())?;
        let bytes = number * scale as f64;
        if scale == 1 || bytes >= 2f64.powi(63) {
            return Err(wrong());
        }
        Ok(Self(bytes.round() as u64))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, size) in [("GiB", 1_u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
            if self.0 >= size && self.0.is_multiple_of(size) {
                return write!(f, "{}{name}", self.0 / size);
            }
        }
        write!(f, "{}", self.0)
    }
}

/// Text that must never be shown. Only [`expose`](Secret::expose) gives it away.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value that came another way than through the configuration, such as a token file.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, to be sent and not to be logged.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("[redacted]")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SecretVisitor;

        impl<'de> de::Visitor<'de> for SecretVisitor {
            type Value = Secret;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }

            fn visit_str<E>(self, text: &str) -> Result<Secret, E> {
                Ok(Secret(text.to_owned()))
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Secret, D::Error> {
                deserializer.deserialize_str(self)
            }
        }

        deserializer.deserialize_newtype_struct(SECRET, SecretVisitor)
    }
}

/// A section that is off when absent, on with defaults when its key stands alone, and on as set otherwise
/// (`protocols: {grpc:}`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Toggle<T> {
    /// The key is not there.
    #[default]
    Off,
    /// The key is there.
    On(T),
}

impl<T> Toggle<T> {
    /// The section, if it is on.
    pub const fn as_option(&self) -> Option<&T> {
        match self {
            Self::On(section) => Some(section),
            Self::Off => None,
        }
    }

    /// True if the section is on.
    pub const fn is_on(&self) -> bool {
        matches!(self, Self::On(_))
    }
}

impl<'de, T: Deserialize<'de> + Default> Deserialize<'de> for Toggle<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::On(Option::<T>::deserialize(deserializer)?.unwrap_or_default()))
    }
}

impl<T: Serialize> Serialize for Toggle<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_option().serialize(serializer)
    }
}

/// How often: `1/week`, `3/day`, `2/month`, or `0.5/day`.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Rate {
    per_day: f64,
}

text_form!(Rate, "a rate such as 1/week, 3/day or 2/month");

impl Rate {
    const UNITS: [(&'static str, f64); 5] =
        [("hour", 1.0 / 24.0), ("day", 1.0), ("week", 7.0), ("month", 30.437), ("year", 365.25)];

    /// `times` in a week.
    pub const fn weekly(times: f64) -> Self {
        Self { per_day: times / 7.0 }
    }

    /// How many times a day.
    pub const fn per_day(self) -> f64 {
        self.per_day
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const FORMS: &str = "such as 1/week, 3/day or 2/month";
        let wrong = || with_hint(format!("must be a rate, not \"{}\"", Shown(text)), FORMS);
        let Some((times, unit)) = text.split_once('/') else {
            let hint = format!("write {}/week", text.trim());
            return Err(if text.trim().parse::<f64>().is_ok() {
                with_hint("must say in how long", hint)
            } else {
                wrong()
            });
        };
        let unit = unit.trim();
        let times: f64 = times.trim().parse().map_err(|_| wrong())?;
        let Some((_, days)) = Self::UNITS.iter().find(|(name, _)| *name == unit) else {
            let near = nearest(unit, Self::UNITS.map(|(name, _)| name)).map(|near| format!("did you mean `{near}`?"));
            let message = format!("must be a rate per hour, day, week, month or year, not per \"{}\"", Shown(unit));
            return Err(with_hint(message, near.as_deref().unwrap_or(FORMS)));
        };
        if !times.is_finite() || times < 0.0 {
            return Err(format!("must be 0 or more, but is {times}"));
        }
        Ok(Self { per_day: times / days })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weekly = self.per_day * 7.0;
        let rounded = (weekly * 1e9).round() / 1e9;
        write!(f, "{rounded}/week")
    }
}

/// `host:port`, `[::1]:port`, or `:port` for every address of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Name or address, without brackets; empty for every address of this machine.
    pub host: String,
    /// The port; 0 lets the system choose when listening.
    pub port: u16,
}

text_form!(Endpoint, "an address of the form host:port");

impl Endpoint {
    /// Of this machine only.
    pub fn localhost(port: u16) -> Self {
        Self { host: "localhost".to_owned(), port }
    }
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let wrong = |why: &str| format!("must be host:port, not \"{}\": {why}", Shown(text));
        if let Some((scheme, rest)) = text.split_once("://") {
            let rest = rest.split('/').next().unwrap_or_default();
            return Err(with_hint(
                wrong("this is a URL"),
                format!("leave out `{}://`: {}", Shown(scheme), Shown(rest)),
            ));
        }
        let Some((host, port)) = text.rsplit_once(':') else {
            let hint = if text.parse::<u16>().is_ok() {
                format!("write localhost:{text}")
            } else {
                format!("write {text}:PORT")
            };
            return Err(with_hint(wrong("there is no port"), hint));
        };
        let port = port.parse().map_err(|_| wrong(&format!("`{}` is not a port (0 to 65535)", Shown(port))))?;
        let host = match host.strip_prefix('[').map(|inner| inner.strip_suffix(']')) {
            Some(Some(inner)) if inner.parse::<std::net::Ipv6Addr>().is_ok() => inner,
            Some(_) => return Err(wrong("what is in the brackets is not an IPv6 address")),
            None if host.contains(':') => {
                return Err(with_hint(wrong("there are several colons"), format!("write [{host}]:{port}")));
            }
            None if host.chars().any(|c| c.is_whitespace() || c.is_control() || "/@#?".contains(c)) => {
                return Err(wrong("this is not a host name"));
            }
            None => host,
        };
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}
