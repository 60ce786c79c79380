//! Hosts as a person would name them: the domain someone registered, the service of the provider, the kind of address.
//!
//! Spellings that hide an address (`2852039166`, `0xa9fea9fe`, `[::ffff:a9fe:a9fe]`) are read as what they are.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::template;
use crate::detect::observation::Risk;

/// Suffixes under which strangers get names of their own: three labels tell one owner from the next.
const SHARED_SUFFIXES: &[&str] = &[
    "co.uk",
    "org.uk",
    "ac.uk",
    "gov.uk",
    "com.au",
    "net.au",
    "org.au",
    "co.jp",
    "ne.jp",
    "or.jp",
    "com.br",
    "co.in",
    "co.kr",
    "com.cn",
    "com.mx",
    "com.tr",
    "co.za",
    "co.nz",
    "com.sg",
    "com.hk",
    "com.tw",
    "com.ar",
    "co.il",
    "com.ua",
    "github.io",
    "gitlab.io",
    "herokuapp.com",
    "workers.dev",
    "pages.dev",
    "vercel.app",
    "netlify.app",
    "ngrok.io",
    "ngrok.app",
    "ngrok-free.app",
    "trycloudflare.com",
    "cloudfront.net",
    "azurewebsites.net",
    "appspot.com",
    "run.app",
    "web.app",
    "firebaseio.com",
    "fly.dev",
    "onrender.com",
    "blogspot.com",
    "duckdns.org",
    "no-ip.org",
    "on.aws",
];

/// Names and addresses where an environment hands out its credentials.
const METADATA_NAMES: &[&str] = &["metadata.google.internal", "metadata", "instance-data.ec2.internal"];
const METADATA_V4: [Ipv4Addr; 3] =
    [Ipv4Addr::new(169, 254, 169, 254), Ipv4Addr::new(169, 254, 170, 2), Ipv4Addr::new(100, 100, 100, 200)];
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// Ports that say nothing the protocol does not.
const USUAL_PORTS: &[u16] = &[0, 80, 443, 1433, 1521, 3306, 5432, 5671, 5672, 6379, 9092, 9093, 11211, 27017];

/// A URL in its parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Url<'a> {
    /// Host, without brackets.
    pub host: &'a str,
    /// Port, if it is written.
    pub port: Option<u16>,
    /// Path, query and fragment.
    pub path: &'a str,
}

impl<'a> Url<'a> {
    /// Reads `scheme://user@host:port/path`, of which only the host is needed.
    pub fn parse(text: &'a str) -> Self {
        let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
        let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
        let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let (host, port) = host_and_port(authority);
        Self { host, port, path }
    }
}

/// Splits `host:port` and `[host]:port`; a bare IPv6 address has no port.
pub fn host_and_port(text: &str) -> (&str, Option<u16>) {
    if let Some(bracketed) = text.strip_prefix('[') {
        let (host, after) = bracketed.split_once(']').unwrap_or((bracketed, ""));
        return (host, after.strip_prefix(':').and_then(|port| port.parse().ok()));
    }
    match text.split_once(':') {
        Some((host, port)) if !port.contains(':') => (host, port.parse().ok()),
        _ => (text, None),
    }
}

/// Where something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the function's own environment, network or account's provider.
    Inside,
    /// A service of the provider that everyone can have an address at.
    Shared,
    /// Elsewhere.
    Outside,
    /// What hands out the environment's credentials.
    Metadata,
}

impl Place {
    /// What going there could do in the wrong hands.
    pub const fn risk(self) -> Risk {
        match self {
            Self::Inside => Risk::Read,
            Self::Shared | Self::Outside => Risk::Egress,
            Self::Metadata => Risk::Identity,
        }
    }
}

/// Appends the name of the destination and says where it is; `None`, and nothing appended, if there is no host.
pub fn push_destination(out: &mut String, host: &str, port: Option<u16>) -> Option<Place> {
    let host = host.trim().trim_end_matches('.');
    if host.is_empty() {
        return None;
    }
    let start = out.len();
    let place = if let Some(address) = lenient_v4(host) {
        push_v4(out, address)
    } else if let Ok(address) = host.parse::<Ipv6Addr>() {
        push_v6(out, address)
    } else {
        push_name(out, host)
    };
    if let Some(name) = out.get_mut(start..) {
        name.make_ascii_lowercase();
    }
    // Inside, high ports are whatever was free.
    if let Some(port) = port
        && !USUAL_PORTS.contains(&port)
        && (place == Place::Outside || port < 32_768)
    {
        out.push(':');
        push_port(out, port);
    }
    template::cut(out, start + template::LIMIT);
    Some(place)
}

fn push_port(out: &mut String, port: u16) {
    let mut divisor = 10_000;
    while divisor > 1 && port / divisor == 0 {
        divisor /= 10;
    }
    while divisor > 0 {
        out.push(char::from(b'0' + (port / divisor % 10) as u8));
        divisor /= 10;
    }
}

fn push_v4(out: &mut String, address: Ipv4Addr) -> Place {
    let [a, b, c, _] = address.octets();
    let (name, place) = if METADATA_V4.contains(&address) {
        ("metadata service", Place::Metadata)
    } else if address.is_loopback() || address.is_unspecified() {
        ("loopback", Place::Inside)
    } else if address.is_link_local() {
        ("link-local", Place::Inside)
    } else if address.is_private() || a == 100 && (64..128).contains(&b) {
        ("private network", Place::Inside)
    } else {
        for part in [a, b, c] {
            push_port(out, u16::from(part));
            out.push('.');
        }
        ("0/24", Place::Outside)
    };
    out.push_str(name);
    place
}

fn push_v6(out: &mut String, address: Ipv6Addr) -> Place {
    if let Some(v4) = address.to_ipv4_mapped() {
        return push_v4(out, v4);
    }
    let [a, b, c, ..] = address.segments();
    let (name, place) = if address == METADATA_V6 {
        ("metadata service", Place::Metadata)
    } else if address.is_loopback() || address.is_unspecified() {
        ("loopback", Place::Inside)
    } else if address.is_unicast_link_local() {
        ("link-local", Place::Inside)
    } else if address.is_unique_local() {
        ("private network", Place::Inside)
    } else {
        out.push_str(&Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).to_string());
        ("/48", Place::Outside)
    };
    out.push_str(name);
    place
}

/// Reads an IPv4 address in any spelling that resolvers take: one to four parts, decimal, hexadecimal or octal.
fn lenient_v4(host: &str) -> Option<Ipv4Addr> {
    if !host.bytes().next()?.is_ascii_digit() {
        return None;
    }
    if let Ok(address) = host.parse() {
        return Some(address);
    }
    let parts = host.split('.').count();
    let mut address: u32 = 0;
    for (at, part) in host.split('.').enumerate() {
        let value = match part.strip_prefix("0x").or_else(|| part.strip_prefix("0X")) {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None if part.len() > 1 && part.starts_with('0') => u32::from_str_radix(part, 8).ok()?,
            None => part.parse().ok()?,
        };
        if at + 1 == parts {
            // The last part fills what is left.
            let room = 32 - 8 * u32::try_from(at).ok()?;
            let fits = room == 32 || value < 1u32.checked_shl(room)?;
            return fits.then(|| Ipv4Addr::from(address | value));
        }
        address |= u8::try_from(value).ok().map(u32::from)? << 24u32.checked_sub(8 * u32::try_from(at).ok()?)?;
    }
    None
}

fn push_name(out: &mut String, host: &str) -> Place {
    let is = |name: &str| host.eq_ignore_ascii_case(name);
    if METADATA_NAMES.iter().any(|name| is(name)) {
        out.push_str("metadata service");
        return Place::Metadata;
    }
    if is("localhost") || has_suffix(host, "localhost") {
        out.push_str("loopback");
        return Place::Inside;
    }
    for cloud in ["amazonaws.com", "amazonaws.com.cn", "on.aws"] {
        if let Some(labels) = strip_suffix(host, cloud) {
            return push_amazon(out, labels, cloud);
        }
    }
    let inside = ["internal", "local", "localdomain", "lan", "svc"].iter().any(|suffix| has_suffix(host, suffix));
    let labels = if SHARED_SUFFIXES.iter().any(|suffix| has_suffix(host, suffix)) { 3 } else { 2 };
    let from = host.rmatch_indices('.').nth(labels - 1).map_or(0, |(at, _)| at + 1);
    let name = host.get(from..).unwrap_or(host);
    if inside {
        template::push_text(out, name);
    } else {
        out.push_str(name);
    }
    if inside || !host.contains('.') { Place::Inside } else { Place::Outside }
}

/// A name at Amazon: service and region; where everyone can have a name, that name too.
fn push_amazon(out: &mut String, labels: &str, cloud: &str) -> Place {
    let is_region = |label: &str| {
        let parts = label.split('-').count();
        parts >= 3
            && label.ends_with(|end: char| end.is_ascii_digit())
            && label.split('-').next().is_some_and(|area| area.len() == 2)
    };
    let all = || labels.rsplit('.').filter(|label| *label != "vpce" && *label != "dualstack");
    let region = all().find(|label| is_region(label));
    let service = all().find(|label| Some(*label) != region).unwrap_or("aws");
    let shared = matches!(service, "execute-api" | "lambda-url");
    let owner = labels.split('.').next().filter(|owner| shared && *owner != service);
    for part in [owner, Some(service), region].into_iter().flatten() {
        out.push_str(part);
        out.push('.');
    }
    out.push_str(cloud);
    if shared { Place::Shared } else { Place::Inside }
}

fn has_suffix(host: &str, suffix: &str) -> bool {
    strip_suffix(host, suffix).is_some()
}

/// What stands before `.suffix`.
fn strip_suffix<'a>(host: &'a str, suffix: &str) -> Option<&'a str> {
    let (head, tail) = host.split_at_checked(host.len().checked_sub(suffix.len())?)?;
    if tail.eq_ignore_ascii_case(suffix) { head.strip_suffix('.') } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hosts_are_named_and_placed() {
        for (host, port, name, place) in [
            ("api.payments.example", Some(443), "payments.example", Place::Outside),
            ("api.payments.example", Some(43945), "payments.example:43945", Place::Outside),
            ("WWW.Shop.co.uk", None, "shop.co.uk", Place::Outside),
            ("evil.github.io", None, "evil.github.io", Place::Outside),
            ("example.com.", None, "example.com", Place::Outside),
            ("dynamodb.eu-west-1.amazonaws.com", Some(443), "dynamodb.eu-west-1.amazonaws.com", Place::Inside),
            ("bucket.s3.eu-west-1.amazonaws.com", None, "s3.eu-west-1.amazonaws.com", Place::Inside),
            ("b.s3.dualstack.us-east-1.amazonaws.com", None, "s3.us-east-1.amazonaws.com", Place::Inside),
            ("vpce-1.sqs.eu-west-1.vpce.amazonaws.com", None, "sqs.eu-west-1.amazonaws.com", Place::Inside),
            ("sts.amazonaws.com", None, "sts.amazonaws.com", Place::Inside),
            ("x1.execute-api.eu-west-1.amazonaws.com", None, "x1.execute-api.eu-west-1.amazonaws.com", Place::Shared),
            ("x1.lambda-url.eu-west-1.on.aws", None, "x1.lambda-url.eu-west-1.on.aws", Place::Shared),
            ("notamazonaws.com", None, "notamazonaws.com", Place::Outside),
            ("localhost", Some(8080), "loopback:8080", Place::Inside),
            ("127.0.0.1", Some(39023), "loopback", Place::Inside),
            ("10.1.2.3", Some(5432), "private network", Place::Inside),
            ("169.254.169.254", Some(80), "metadata service", Place::Metadata),
            ("169.254.1.1", None, "link-local", Place::Inside),
            ("2852039166", None, "metadata service", Place::Metadata),
            ("0xa9fea9fe", None, "metadata service", Place::Metadata),
            ("0251.0376.0251.0376", None, "metadata service", Place::Metadata),
            ("169.254.43518", None, "metadata service", Place::Metadata),
            ("::ffff:a9fe:a9fe", None, "metadata service", Place::Metadata),
            ("metadata.google.internal", None, "metadata service", Place::Metadata),
            ("203.0.113.77", Some(4444), "203.0.113.0/24:4444", Place::Outside),
            ("2001:db8:1:2::3", None, "2001:db8:1::/48", Place::Outside),
            ("::1", None, "loopback", Place::Inside),
            ("db.internal", None, "db.internal", Place::Inside),
            ("redis", Some(6379), "redis", Place::Inside),
            ("1.2.3.4.5", None, "4.5", Place::Outside),
        ] {
            let mut out = String::new();
            assert_eq!(push_destination(&mut out, host, port), Some(place), "{host}");
            assert_eq!(out, name, "{host}");
        }
        assert_eq!(push_destination(&mut String::new(), " . ", None), None);
    }

    #[test]
    fn urls_are_split() {
        for (text, host, port, path) in [
            ("https://api.example.com/charges?x=1", "api.example.com", None, "/charges?x=1"),
            ("http://u:p@h.example:81", "h.example", Some(81), ""),
            ("https://good.example\\@evil.example/", "good.example", None, "\\@evil.example/"),
            ("http://[::1]:80/x", "::1", Some(80), "/x"),
            ("h/x", "h", None, "/x"),
            ("", "", None, ""),
        ] {
            assert_eq!(Url::parse(text), Url { host, port, path }, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_host_is_named(host in "\\PC{0,300}", digits in "[0-9a-fx.:]{0,40}", port: u16) {
            for host in [host.as_str(), digits.as_str()] {
                let mut out = String::new();
                push_destination(&mut out, host, Some(port));
                prop_assert!(out.len() <= template::LIMIT);
                Url::parse(host);
            }
        }
    }
}
