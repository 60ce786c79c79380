//! A W3C trace state and what OpenTelemetry keeps in it: `ot=rv:RANDOMNESS;th:THRESHOLD`.

use super::decision::MAX;

/// What RFC and Collector let pass.
const MAX_BYTES: usize = 1024;
const MAX_OT_BYTES: usize = 256;
const MAX_MEMBERS: usize = 32;

/// A trace state, taken apart.
pub struct TraceState<'a> {
    /// Digits.
    randomness: Option<String>,
    threshold: Option<String>,
    /// Further entries of `ot`.
    others: Vec<&'a str>,
    /// Entries of other vendors.
    vendors: Vec<&'a str>,
}

impl<'a> TraceState<'a> {
    /// Nothing if it breaks the rules.
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut state = Self { randomness: None, threshold: None, others: Vec::new(), vendors: Vec::new() };
        if text.len() > MAX_BYTES {
            return None;
        }
        if text.is_empty() {
            return Some(state);
        }
        for (count, member) in text.split(',').enumerate() {
            let member = member.trim_matches([' ', '\t']);
            if count + 1 >= MAX_MEMBERS {
                return None;
            }
            if member.is_empty() {
                continue;
            }
            let (key, value) = member.split_once('=')?;
            if !is_key(key) || !is_value(value) {
                return None;
            }
            if key == "ot" { state.take(value)? } else { state.vendors.push(member) }
        }
        Some(state)
    }

    fn take(&mut self, text: &'a str) -> Option<()> {
        if text.len() > MAX_OT_BYTES {
            return None;
        }
        for entry in text.split(';') {
            let (key, value) = entry.split_once(':')?;
            let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
            let key_fits = key.bytes().next()?.is_ascii_lowercase() && key.bytes().all(letter);
            let value_fits = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
            if !key_fits || !value_fits {
                return None;
            }
            match key {
                "rv" => {
                    randomness(value)?;
                    self.randomness = Some(value.to_owned());
                }
                "th" => {
                    threshold(value)?;
                    self.threshold = Some(value.to_owned());
                }
                _ => self.others.push(entry),
            }
        }
        Some(())
    }

    /// What was noted as randomness.
    pub fn randomness(&self) -> Option<u64> {
        randomness(self.randomness.as_deref()?)
    }

    /// What was noted as threshold.
    pub fn threshold(&self) -> Option<u64> {
        threshold(self.threshold.as_deref()?)
    }

    /// Notes the randomness.
    pub fn set_randomness(&mut self, value: u64) {
        self.randomness = Some(format!("{value:014x}"));
    }

    /// Notes the threshold.
    pub fn set_threshold(&mut self, value: u64) {
        self.threshold = Some(threshold_text(value)).filter(|text| !text.is_empty());
    }

    /// Forgets the threshold unless it still counts.
    pub fn clear_threshold_unless(&mut self, counts: bool) {
        if !counts {
            self.threshold = None;
        }
    }

    /// As text, OpenTelemetry's entry first.
    pub fn to_text(&self) -> String {
        let own = [("rv", &self.randomness), ("th", &self.threshold)];
        let own = own.into_iter().filter_map(|(key, value)| value.as_ref().map(|value| format!("{key}:{value}")));
        let entries: Vec<String> = own.chain(self.others.iter().map(|entry| (*entry).to_owned())).collect();
        let ot = if entries.is_empty() { None } else { Some(format!("ot={}", entries.join(";"))) };
        let members: Vec<String> =
            ot.into_iter().chain(self.vendors.iter().map(|member| (*member).to_owned())).collect();
        members.join(",")
    }
}

/// Fourteen hexadecimal digits.
pub fn randomness(text: &str) -> Option<u64> {
    number(text).filter(|_| text.len() == 14)
}

/// Up to fourteen hexadecimal digits, those at the end left out if zero.
pub fn threshold(text: &str) -> Option<u64> {
    let missing = 14_usize.checked_sub(text.len())?;
    Some(number(text)? << (4 * missing))
}

/// The same the other way; empty if nothing stays.
pub fn threshold_text(value: u64) -> String {
    match value {
        0 => "0".to_owned(),
        MAX.. => String::new(),
        value => format!("{value:014x}").trim_end_matches('0').to_owned(),
    }
}

fn number(text: &str) -> Option<u64> {
    text.bytes().all(|digit| digit.is_ascii_hexdigit()).then(|| u64::from_str_radix(text, 16).ok())?
}

fn is_key(key: &str) -> bool {
    let inner = |text: &str| {
        text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-*/".contains(&byte))
    };
    let begins = |text: &str, digits: bool| {
        text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || digits && byte.is_ascii_digit())
    };
    match key.split_once('@') {
        Some((tenant, system)) => {
            tenant.len() <= 241
                && system.len() <= 14
                && begins(tenant, true)
                && begins(system, false)
                && inner(tenant)
                && inner(system)
        }
        None => key.len() <= 256 && begins(key, false) && inner(key),
    }
}

fn is_value(value: &str) -> bool {
    let fits = |byte: u8| (0x20..=0x7e).contains(&byte) && byte != b',' && byte != b'=';
    !value.is_empty() && value.len() <= 256 && value.bytes().all(fits) && !value.ends_with(' ')
}
