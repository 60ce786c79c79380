//! What a detector can be made to do without, to see what it was worth.

use super::{
    observation::{Family, Quantity},
    verdict::Feature,
};

/// Something to do without: a family of evidence as detection research counts them, or a way of learning. Without it
/// from the first day on, so that the line is drawn without it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// A: what was touched, as whom, how it failed, what it logged.
    Touched,
    /// B: in which order, what is missing, how often in a row.
    Structure,
    /// C: how long and how much, in one invocation.
    Magnitude,
    /// D: how much in a minute, an hour, over weeks; how regularly.
    Windows,
    /// E: what others saw and the function did not tell of, changes to it, its environments side by side.
    Change,
    /// Of D, the reference that does not follow.
    FrozenReference,
    /// What an anomaly showed is learned like all else.
    Quarantine,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Touched,
        Self::Structure,
        Self::Magnitude,
        Self::Windows,
        Self::Change,
        Self::FrozenReference,
        Self::Quarantine,
    ];

    /// As reports call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Touched => "A: what was touched",
            Self::Structure => "B: order and structure",
            Self::Magnitude => "C: magnitude",
            Self::Windows => "D: windows",
            Self::Change => "E: fleet and change",
            Self::FrozenReference => "frozen reference",
            Self::Quarantine => "quarantine",
        }
    }

    /// Whether evidence of `feature`, about a key of `family` if about any, falls away.
    pub(super) const fn covers(self, feature: Feature, family: Option<Family>) -> bool {
        match self {
            Self::FrozenReference => matches!(feature, Feature::Drift(_)),
            Self::Quarantine => false,
            _ => self as u8 == Self::of(feature, family) as u8,
        }
    }

    const fn of(feature: Feature, family: Option<Family>) -> Self {
        match (feature, family) {
            (Feature::Novelty, Some(Family::Untraced | Family::Orphan | Family::Silence | Family::Change))
            | (Feature::Instance(_) | Feature::Silence | Feature::AfterChange, _) => Self::Change,
            (Feature::Novelty, _) => Self::Touched,
            (Feature::Order | Feature::Shape | Feature::Missing | Feature::Repeats, _) => Self::Structure,
            (Feature::Magnitude(quantity), _) => match quantity {
                Quantity::Invocations | Quantity::Failures | Quantity::Throttles | Quantity::Concurrency => {
                    Self::Windows
                }
                _ => Self::Magnitude,
            },
            (Feature::Window(_) | Feature::Drift(_) | Feature::Beacon, _) => Self::Windows,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::verdict::Measure, *};

    #[test]
    fn every_kind_of_evidence_belongs_to_one_family() {
        let table = [
            (Feature::Novelty, Some(Family::Operation), Part::Touched),
            (Feature::Novelty, Some(Family::Credential), Part::Touched),
            (Feature::Novelty, Some(Family::Orphan), Part::Change),
            (Feature::Missing, None, Part::Structure),
            (Feature::Repeats, Some(Family::Operation), Part::Structure),
            (Feature::Magnitude(Quantity::Rows), None, Part::Magnitude),
            (Feature::Magnitude(Quantity::Throttles), None, Part::Windows),
            (Feature::Window(Measure::Rate), None, Part::Windows),
            (Feature::Drift(Measure::Rows), None, Part::Windows),
            (Feature::Instance(Quantity::Calls), None, Part::Change),
        ];
        for (feature, family, expected) in table {
            let lettered = Part::ALL.into_iter().take(5).filter(|part| part.covers(feature, family));
            assert_eq!(lettered.collect::<Vec<_>>(), [expected], "{feature:?} {family:?}");
            let is_reference = Part::FrozenReference.covers(feature, family);
            assert_eq!(is_reference, matches!(feature, Feature::Drift(_)), "{feature:?}");
            assert!(!Part::Quarantine.covers(feature, family));
        }
    }
}
