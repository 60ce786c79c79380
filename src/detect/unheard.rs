//! Who falls silent together: telemetry that is sampled, late or lost is so for many functions at once, and a function
//! that hides what it does is alone.
//!
//! One invocation or call without its span says little: spans get lost. It says more when the same function has gone on
//! for a while and nobody else has.

use super::{HashMap, MINUTE, observation::Nanos};

/// Events further apart than this have nothing to do with each other.
const TOGETHER: Nanos = 60 * MINUTE;
/// Others would have fallen silent within this, if something common were the cause.
const ALONE_FOR: Nanos = 10 * MINUTE;
/// What the first one of a function may say, and what it may when a tenth of the fleet says the same, bits.
const FIRST: f64 = 6.0;
const COMMON: f64 = 1.0;
/// Functions remembered.
const MOST: usize = 4096;

/// Since when, and when last, a function was unheard of.
#[derive(Clone, Copy, Debug)]
struct Spell {
    since: Nanos,
    last: Nanos,
}

/// Functions whose invocations or calls had no spans lately. Not saved: it is about the last hour.
#[derive(Clone, Debug, Default)]
pub struct Unheard {
    spells: HashMap<Spell>,
    /// When spells that are over were forgotten last.
    pruned: Nanos,
}

impl Unheard {
    /// Something `function` did at `now` was told by others only.
    pub fn note(&mut self, function: u64, now: Nanos) {
        if now >= self.pruned.saturating_add(MINUTE) {
            self.spells.retain(|_, spell| !is_over(*spell, now));
            self.pruned = now;
        }
        if self.spells.len() < MOST || self.spells.contains_key(&function) {
            self.spells.entry(function).or_insert(Spell { since: now, last: now }).last = now;
        }
    }

    /// The most that this may be worth now, bits, in a fleet of `functions`.
    pub fn worth(&self, function: u64, now: Nanos, functions: u32) -> f64 {
        let others = self.spells.len() - usize::from(self.spells.contains_key(&function));
        if others > 0 && others as f64 >= 0.1 * f64::from(functions) {
            return COMMON;
        }
        let alone = self.spells.get(&function).is_some_and(|spell| now >= spell.since.saturating_add(ALONE_FOR));
        let most = if alone { f64::INFINITY } else { FIRST };
        if others == 0 { most } else { FIRST / (others as f64 + 1.0) }
    }
}

const fn is_over(spell: Spell, now: Nanos) -> bool {
    spell.last.saturating_add(TOGETHER) < now
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Nanos = 1_800_000_000_000_000_000;

    #[test]
    fn who_is_silent_alone_and_goes_on_stands_out() {
        let mut unheard = Unheard::default();
        unheard.note(1, T);
        assert!((unheard.worth(1, T, 20) - FIRST).abs() < 1e-9, "a span may get lost");
        unheard.note(1, T + 11 * MINUTE);
        assert!(unheard.worth(1, T + 11 * MINUTE, 20).is_infinite(), "alone, and going on");
        for other in 2..4 {
            unheard.note(other, T + 12 * MINUTE);
        }
        assert!((unheard.worth(1, T + 12 * MINUTE, 20) - COMMON).abs() < 1e-9, "others too");
        unheard.note(1, T + 100 * MINUTE);
        assert!((unheard.worth(1, T + 100 * MINUTE, 20) - FIRST).abs() < 1e-9, "an hour later it begins anew");
    }
}
