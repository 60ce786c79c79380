//! Every behaviour of the attack catalogue, by its number, at three intensities, and attackers that know what they are
//! up against.
//!
//! [`HELD_OUT`] are the families nobody looks at while designing a detector.

use super::{super::application::Stage, Campaign, adaptive, credentials, evasion, exfiltration, impact, persistence};

/// How much an attacker takes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Intensity {
    /// As little as is worth the trouble.
    Quiet,
    /// As it is usually done.
    Usual,
    /// Without regard.
    Loud,
}

impl Intensity {
    /// From least to most.
    pub const ALL: [Self; 3] = [Self::Quiet, Self::Usual, Self::Loud];

    /// `quiet`, `usual` or `loud`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Quiet => "quiet",
            Self::Usual => "usual",
            Self::Loud => "loud",
        }
    }

    /// The one of three that fits.
    pub const fn pick<T: Copy>(self, [quiet, usual, loud]: [T; 3]) -> T {
        match self {
            Self::Quiet => quiet,
            Self::Usual => usual,
            Self::Loud => loud,
        }
    }
}

/// What kind of telemetry shows a behaviour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// The function's own spans and logs.
    Spans,
    /// What the platform says of each invocation.
    Platform,
    /// Metrics by the minute.
    Metrics,
    /// The account's audit log.
    Trail,
}

impl Source {
    /// `spans`, `platform`, `metrics` or `trail`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Spans => "spans",
            Self::Platform => "platform",
            Self::Metrics => "metrics",
            Self::Trail => "trail",
        }
    }
}

/// Behaviours of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// Data is collected and taken away.
    Exfiltration,
    /// Credentials are stolen, used, widened.
    Credentials,
    /// Something is left behind.
    Persistence,
    /// Data is destroyed, resources are used up.
    Impact,
    /// Ways in, further in, and out of sight.
    Evasion,
    /// The attacker knows the detector.
    Adaptive,
}

impl Family {
    /// As reports call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exfiltration => "exfiltration",
            Self::Credentials => "credentials",
            Self::Persistence => "persistence",
            Self::Impact => "impact",
            Self::Evasion => "evasion",
            Self::Adaptive => "adaptive",
        }
    }
}

/// One behaviour.
#[derive(Clone, Copy, Debug)]
pub struct Behaviour {
    /// Its number and name in the catalogue.
    pub id: &'static str,
    /// Of what kind it is.
    pub family: Family,
    /// Where it leaves a sign.
    pub shows_in: &'static [Source],
    /// How it is carried out from a stage.
    pub plan: fn(&Stage, Intensity) -> Campaign,
}

impl Behaviour {
    /// Whether it is set aside for final evaluations.
    pub fn is_held_out(&self) -> bool {
        HELD_OUT.iter().any(|number| self.id.starts_with(number))
    }

    /// The campaign from `stage`.
    pub fn campaign(&self, stage: &Stage, intensity: Intensity) -> Campaign {
        Campaign { id: self.id, ..(self.plan)(stage, intensity) }
    }
}

/// Set aside for final evaluations, by number: one or two of each family.
pub const HELD_OUT: [&str; 7] = ["A02", "A10", "A14", "A19", "A23", "A30", "X08"];

/// All of them, in order.
pub fn all() -> Vec<Behaviour> {
    let parts: [&[Behaviour]; 6] = [
        exfiltration::BEHAVIOURS,
        credentials::BEHAVIOURS,
        persistence::BEHAVIOURS,
        impact::BEHAVIOURS,
        evasion::BEHAVIOURS,
        adaptive::BEHAVIOURS,
    ];
    parts.concat()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{super::super::applications::ALL, *};

    #[test]
    fn the_catalogue_is_complete_and_every_plan_does_something() {
        let all = all();
        let ids: HashSet<&str> = all.iter().map(|behaviour| behaviour.id).collect();
        assert_eq!(ids.len(), all.len());
        for number in 1..=37 {
            let prefix = format!("A{number:02}-");
            assert!(ids.iter().any(|id| id.starts_with(&prefix)), "{prefix}");
        }
        for held_out in HELD_OUT {
            assert!(all.iter().any(|behaviour| behaviour.id.starts_with(held_out)), "{held_out}");
        }
        for behaviour in &all {
            assert!(!behaviour.shows_in.is_empty(), "{}", behaviour.id);
            for stage in ALL.iter().flat_map(|application| application.stages) {
                for intensity in Intensity::ALL {
                    let campaign = behaviour.campaign(stage, intensity);
                    let acts = !campaign.acts.is_empty() || campaign.omit.is_some() || !campaign.outside.is_empty();
                    assert!(acts || campaign.flood > 1.0 || campaign.replaced, "{}", behaviour.id);
                    assert!(!campaign.signs.is_empty() && !campaign.description.is_empty(), "{}", behaviour.id);
                }
            }
        }
    }
}
