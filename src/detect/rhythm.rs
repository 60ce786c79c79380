//! Contacts as regular as a clock: what a beacon does and a customer does not.

use super::{
    DAY, SECOND,
    observation::{Family, Nanos, Observation, Risk},
};

/// Destinations watched a function.
const MOST: usize = 16;
/// Contacts before a rhythm is one.
const LEAST_CONTACTS: u16 = 12;
/// Intervals shorter than this are one contact.
const LEAST_INTERVAL: Nanos = 5 * SECOND;
/// Deviation of the logarithm of the intervals, below which they are regular, and above which the function's own are not.
const REGULAR: f32 = 0.12;
const IRREGULAR: f32 = 0.4;
/// A rhythm is worth so much, bits, and is news for so long.
const BITS: f64 = 8.0;
const NEWS_FOR: Nanos = 3 * DAY;

/// Intervals, in logarithms.
#[derive(Clone, Copy, Debug, Default)]
struct Beat {
    last: Nanos,
    n: u16,
    mean: f32,
    variance: f32,
}

impl Beat {
    /// Counts a contact; says whether it was one.
    fn add(&mut self, now: Nanos) -> bool {
        let interval = now.saturating_sub(self.last);
        if self.last == 0 {
            self.last = now;
            return false;
        }
        if interval < LEAST_INTERVAL {
            return false;
        }
        self.last = now;
        self.n = self.n.saturating_add(1);
        let log = (interval as f32 / SECOND as f32).ln();
        let keeps = f32::from(self.n.min(LEAST_CONTACTS));
        let off = log - self.mean;
        self.mean += off / keeps;
        // The first interval says nothing of how intervals vary.
        self.variance = if self.n < 2 { 0.0 } else { self.variance + (off * off - self.variance) / keeps };
        true
    }

    fn deviation(&self) -> f32 {
        self.variance.sqrt()
    }

    fn is_regular(&self) -> bool {
        self.n >= LEAST_CONTACTS && self.deviation() < REGULAR
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Contact {
    key: u64,
    beat: Beat,
    regular_since: Nanos,
}

/// The rhythms of one function. Not saved: a beacon is found again within a dozen contacts.
#[derive(Clone, Debug, Default)]
pub struct Rhythm {
    own: Beat,
    contacts: Vec<Contact>,
}

/// A destination contacted like clockwork.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Beacon {
    /// Place among the touches.
    pub touch: usize,
    pub bits: f64,
    pub period_seconds: u64,
    pub contacts: u64,
}

impl Rhythm {
    /// Counts an invocation, of a function known since `known_since`.
    pub fn add(&mut self, seen: &Observation<'_>, now: Nanos, known_since: Nanos) -> Option<Beacon> {
        self.own.add(now);
        let mut found = None;
        for (touch, touched) in seen.touches.iter().enumerate() {
            if touched.key.family != Family::Destination || touched.key.risk < Risk::Egress {
                continue;
            }
            let contact = self.contact(touched.key.hash);
            let Some(contact) = contact else { continue };
            if !contact.beat.add(now) {
                continue;
            }
            if !contact.beat.is_regular() {
                contact.regular_since = 0;
                continue;
            }
            if contact.regular_since == 0 {
                contact.regular_since = now;
            }
            let (since, beat) = (contact.regular_since, contact.beat);
            // What has been regular since the function was met is how it is; timers make everything regular.
            let news = now < since.saturating_add(NEWS_FOR) && since > known_since.saturating_add(NEWS_FOR);
            if news && self.own.deviation() > IRREGULAR {
                let period_seconds = beat.mean.exp().round() as u64;
                found = Some(Beacon { touch, bits: BITS, period_seconds, contacts: u64::from(beat.n) });
            }
        }
        found
    }

    fn contact(&mut self, key: u64) -> Option<&mut Contact> {
        if let Some(place) = self.contacts.iter().position(|contact| contact.key == key) {
            return self.contacts.get_mut(place);
        }
        if self.contacts.len() >= MOST {
            let oldest = self.contacts.iter().enumerate().min_by_key(|(_, contact)| contact.beat.last);
            let oldest = oldest.map(|(place, _)| place)?;
            self.contacts.swap_remove(oldest);
        }
        self.contacts.push(Contact { key, ..Contact::default() });
        self.contacts.last_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::{
        observation::{Key, Source, Touch},
        tests::plain,
    };

    const T: Nanos = 1_800_000_000_000_000_000;

    /// Visitors come at random; every `period` seconds, give or take `jitter`, one of them has a host contacted.
    fn beacons(period: u64, jitter: u64, timer: bool) -> usize {
        let (mut rhythm, mut found, mut next) = (Rhythm::default(), 0, 0);
        let key = Key { family: Family::Destination, risk: Risk::Egress, hash: 7, name: "c2.example" };
        let touches = [Touch { key, count: 1, source: Source::default() }];
        let mut at = 0;
        for n in 0..4000_u64 {
            let gap = crate::faas::intern::mix(n, 1) % 40;
            at += if timer { 60 } else { 1 + gap * gap / 40 };
            let contacted = at >= next;
            if contacted {
                next = at + period - jitter / 2 + crate::faas::intern::mix(n, 2) % jitter.max(1);
            }
            let touches = if contacted { &touches[..] } else { &[] };
            let now = T + 10 * DAY + at * SECOND;
            found += usize::from(rhythm.add(&Observation { touches, ..plain(now) }, now, T).is_some());
        }
        found
    }

    #[test]
    fn a_beacon_among_irregular_visitors_is_heard() {
        assert!(beacons(300, 10, false) > 10, "{}", beacons(300, 10, false));
        assert_eq!(beacons(300, 290, false), 0, "now and then");
        assert_eq!(beacons(60, 1, true), 0, "a timer's own");
    }
}
