//! What a person has said is expected: typed, scoped, counted. Never a mute: an exception takes single surprises away,
//! and what is left is scored as ever.

use super::{
    evidence::{Draft, is_new_step},
    fleet::Fleet,
    observation::{Family, Nanos, Observation},
    verdict::Feature,
};

/// Whose surprises an exception takes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// One function's.
    Function(u64),
    /// Those of all functions of an application ([`Observation::peers`]).
    Application(u64),
}

/// One thing that is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    /// Whoever made it knows it by this.
    pub id: u64,
    /// Whose.
    pub reach: Reach,
    /// Which feature's.
    pub feature: Feature,
    /// Of keys of which kind; of all, if `None`.
    pub family: Option<Family>,
    /// What the key's name must match; `*` stands for any number of characters. Not looked at where the feature has no
    /// key.
    pub pattern: String,
    /// Where the feature has an amount: the most that is expected.
    pub at_most: u64,
}

/// What an exception has taken away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Covered {
    /// Surprises.
    pub evidence: u64,
    /// Invocations that had any.
    pub invocations: u64,
    /// Event time of the last one.
    pub last: Nanos,
}

/// Everything that is expected now.
#[derive(Clone, Debug, Default)]
pub struct Exceptions {
    all: Vec<(Exception, Covered)>,
}

impl Exceptions {
    /// From now on these, and no others; nothing is counted yet.
    pub fn replace(&mut self, all: Vec<Exception>) {
        self.all = all.into_iter().map(|exception| (exception, Covered::default())).collect();
    }

    /// What was taken away since the last call, by id.
    pub fn take_covered(&mut self) -> Vec<(u64, Covered)> {
        let touched = self.all.iter_mut().filter(|(_, covered)| covered.evidence > 0);
        touched.map(|(exception, covered)| (exception.id, std::mem::take(covered))).collect()
    }

    /// Takes away what is expected of `seen`.
    pub fn strike(&mut self, drafts: &mut Vec<Draft>, seen: &Observation<'_>, fleet: &Fleet) {
        let mine = |reach: Reach| match reach {
            Reach::Function(function) => function == seen.function,
            Reach::Application(peers) => peers != 0 && peers == seen.peers,
        };
        if !self.all.iter().any(|(exception, _)| mine(exception.reach)) {
            return;
        }
        let mut struck = Vec::new();
        let mut new_act = false;
        drafts.retain(|draft| {
            let at = self
                .all
                .iter()
                .position(|(exception, _)| mine(exception.reach) && exception.covers(draft, seen, fleet));
            let Some(at) = at else { return true };
            new_act |= is_new_step(draft, seen);
            struck.push(at);
            false
        });
        if new_act {
            // The shape is new because the act is.
            drafts.retain(|draft| !matches!(draft.feature, Feature::Order | Feature::Shape));
        }
        let mut counted = Vec::new();
        for at in struck {
            let Some((exception, covered)) = self.all.get_mut(at) else { continue };
            covered.evidence += 1;
            covered.last = covered.last.max(seen.end);
            // Several of one id are one to whoever made them.
            if !counted.contains(&exception.id) {
                counted.push(exception.id);
                covered.invocations += 1;
            }
        }
    }
}

impl Exception {
    fn covers(&self, draft: &Draft, seen: &Observation<'_>, fleet: &Fleet) -> bool {
        if draft.feature != self.feature {
            return false;
        }
        if self.feature.has_amount() && draft.observed > self.at_most {
            return false;
        }
        let touch =
            draft.touch.and_then(|place| seen.touches.get(place)).map(|touch| (touch.key.family, touch.key.name));
        let absent = || fleet.keys.get(&draft.absent).map(|key| (key.family, &*key.name));
        // An order may or may not be pinned to a touch; it is not about it.
        if !self.feature.has_key() {
            return true;
        }
        touch.or_else(absent).is_some_and(|(family, name)| {
            // A person has seen the name as it is remembered.
            self.family.is_none_or(|wanted| wanted == family) && matches(&self.pattern, &fleet.masked(name))
        })
    }
}

/// Whether all of `text` matches `pattern`, in which `*` stands for any number of characters.
pub fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::observation::{Key, Risk, Source, Touch};

    #[test]
    fn a_star_stands_for_any_number_of_characters() {
        #[rustfmt::skip]
        let table = [
            ("a.example:443", "a.example:443", true),
            ("a.example",     "a.example:443", false),
            ("*.example:443", "a.example:443", true),
            ("*.example:443", "a.example:443.evil:443", false),
            ("a*",            "a", true),
            ("a*c*e",         "abcde", true),
            ("a*c*e",         "abde", false),
            ("a*a",           "a", false),
            ("*",             "", true),
            ("",              "x", false),
            ("ü*",            "über", true),
        ];
        for (pattern, text, expected) in table {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn only_what_was_said_is_taken_away_and_it_is_counted() {
        let key = |name| Key { family: Family::Destination, risk: Risk::Egress, hash: 7, name };
        let touches = ["a.example:443", "b.example:443"].map(|name| Touch {
            key: key(name),
            count: 1,
            source: Source::default(),
        });
        let seen = |function| Observation { function, peers: 9, touches: &touches, ..crate::detect::tests::plain(2) };
        let novel = |touch| Draft { touch: Some(touch), bits: 9.0, ..Draft::of(Feature::Novelty) };
        let repeats = Draft { observed: 40, ..Draft { touch: Some(0), ..Draft::of(Feature::Repeats) } };
        let exception = |reach, feature, pattern: &str, at_most| Exception {
            id: 1,
            reach,
            feature,
            family: Some(Family::Destination),
            pattern: pattern.to_owned(),
            at_most,
        };
        let new = |reach, pattern| exception(reach, Feature::Novelty, pattern, 0);
        #[rustfmt::skip]
        let table = [
            ("the key",              new(Reach::Function(1), "a.*"), 1, 2),
            ("every key of a kind",  new(Reach::Function(1), "*.example:443"), 1, 1),
            ("another function",     new(Reach::Function(1), "a.*"), 2, 3),
            ("the application",      new(Reach::Application(9), "a.*"), 2, 2),
            ("another application",  new(Reach::Application(0), "a.*"), 2, 3),
            ("as often",             exception(Reach::Function(1), Feature::Repeats, "a.*", 40), 1, 2),
            ("more often",           exception(Reach::Function(1), Feature::Repeats, "a.*", 39), 1, 3),
        ];
        for (row, exception, function, left) in table {
            let mut exceptions = Exceptions::default();
            exceptions.replace(vec![exception]);
            let mut drafts = vec![novel(0), novel(1), repeats];
            exceptions.strike(&mut drafts, &seen(function), &Fleet::default());
            assert_eq!(drafts.len(), left, "{row}");
            let covered = exceptions.take_covered();
            let expected = Covered { evidence: 3 - left as u64, invocations: 1, last: 2 };
            assert_eq!(covered, if left == 3 { vec![] } else { vec![(1, expected)] }, "{row}");
        }
    }
}
