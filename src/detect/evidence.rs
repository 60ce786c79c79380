//! From single surprises to a score, and from a score to words.
//!
//! Surprises of one act (an operation, its table, its statement) are correlated: of each group the strongest counts,
//! the others corroborate a little. Independent groups are added.

use super::{
    fleet::Fleet,
    observation::{Family, Observation, Quantity, Risk, Source},
    verdict::{Evidence, Feature, Measure, OwnedKey},
};

/// What belongs together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Group {
    What,
    Where,
    Who,
    Failure,
    Structure,
    Absence,
    Volume,
    /// Of one call, which may be for one large object.
    Size,
    Time,
    /// Computing of its own, which no slow neighbour explains.
    Work,
    /// How many came, which is rarely the function's doing.
    Load,
    /// What others saw and the function did not tell of.
    Unseen,
    Stolen,
    Control,
    /// An environment, or a rhythm, of its own.
    Beside,
}

impl Group {
    /// Weights, and the most that all of a group may come to, bits.
    const ALL: [(Self, f64, f64); 15] = [
        // The weights temper what benign change moves most: outages bring errors and long durations, refactorings
        // new orders. What others can bring about, failing or coming in crowds, never makes a page by
        // itself, and neither does one large object.
        (Self::What, 1.0, f64::INFINITY),
        (Self::Where, 1.0, f64::INFINITY),
        (Self::Who, 0.6, f64::INFINITY),
        (Self::Failure, 0.5, MOST_BY_OTHERS),
        (Self::Structure, 0.5, f64::INFINITY),
        (Self::Absence, 1.0, f64::INFINITY),
        (Self::Volume, 0.8, f64::INFINITY),
        (Self::Size, 0.8, MOST_BY_OTHERS),
        (Self::Time, 0.5, f64::INFINITY),
        (Self::Work, 0.8, f64::INFINITY),
        (Self::Load, 0.6, MOST_BY_OTHERS),
        (Self::Unseen, 1.0, f64::INFINITY),
        (Self::Stolen, 1.0, f64::INFINITY),
        (Self::Control, 1.0, f64::INFINITY),
        (Self::Beside, 0.8, f64::INFINITY),
    ];

    const fn of(feature: Feature, family: Option<Family>) -> Self {
        match feature {
            Feature::Novelty => match family {
                Some(Family::Destination) => Self::Where,
                Some(Family::Trigger | Family::Identity | Family::Artefact) => Self::Who,
                Some(Family::Error | Family::LogTemplate) => Self::Failure,
                Some(Family::Untraced | Family::Orphan | Family::Silence) => Self::Unseen,
                Some(Family::Credential) => Self::Stolen,
                Some(Family::Change) => Self::Control,
                _ => Self::What,
            },
            Feature::Order | Feature::Shape => Self::Structure,
            Feature::Missing => Self::Absence,
            Feature::Repeats => Self::Volume,
            Feature::Magnitude(quantity) => match quantity {
                Quantity::SelfTimeUs | Quantity::AfterUs => Self::Work,
                Quantity::DurationUs | Quantity::MemoryMb | Quantity::InitUs | Quantity::PlatformUs => Self::Time,
                Quantity::Invocations | Quantity::Concurrency | Quantity::Throttles => Self::Load,
                Quantity::CallBytes => Self::Size,
                Quantity::Failures => Self::Failure,
                _ => Self::Volume,
            },
            Feature::Window(measure) | Feature::Drift(measure) => match measure {
                Measure::Failures => Self::Failure,
                Measure::Duration => Self::Time,
                Measure::Rate => Self::Load,
                _ => Self::Volume,
            },
            Feature::Instance(_) | Feature::Beacon => Self::Beside,
            Feature::Silence => Self::Unseen,
            Feature::AfterChange => Self::Control,
        }
    }
}

/// Corroboration by further evidence of the same group, bits: for each doubling, and at most.
const CORROBORATION: f64 = 1.5;
const MOST_CORROBORATION: f64 = 6.0;
/// What failures, crowds or one large call come to at most: enough for the queue, and no page.
const MOST_BY_OTHERS: f64 = 6.5;
/// What comes with reading one new thing, bits: a call or two more, and what they returned.
const MOST_BESIDE_READING: f64 = 16.0;
/// Evidence that is shown.
const MOST_SHOWN: usize = 12;

/// One surprise, before anybody needs words.
#[derive(Clone, Copy, Debug)]
pub struct Draft {
    pub feature: Feature,
    /// Place among the observation's touches, of evidence about one of them.
    pub touch: Option<usize>,
    /// The key it is about, of evidence about one that is absent.
    pub absent: u64,
    pub bits: f64,
    pub seen_in: u64,
    pub out_of: u64,
    pub observed: u64,
    pub usual: u64,
}

impl Draft {
    /// A draft about `feature`, of no weight yet.
    pub const fn of(feature: Feature) -> Self {
        Self { feature, touch: None, absent: 0, bits: 0.0, seen_in: 0, out_of: 0, observed: 0, usual: 0 }
    }
}

/// Merges within groups, adds over groups; the drafts' bits become their parts of the sum.
pub fn score(drafts: &mut Vec<Draft>, seen: &Observation<'_>) -> f64 {
    let mut total = 0.0;
    // A new step makes a new shape: structure then says nothing of its own, but for what is missing.
    let novel = drafts.iter().any(|draft| is_new_step(draft, seen));
    if novel {
        drafts.retain(|draft| !matches!(draft.feature, Feature::Order | Feature::Shape));
    }
    let act = Act::of(drafts, seen);
    for (wanted, weight, most) in Group::ALL {
        let group = |draft: &Draft| act.group(draft, seen);
        total += merge(drafts, group, wanted, (weight, most));
    }
    total
}

/// Merges one group: the strongest keeps its weight, the others share what they corroborate. Returns the sum.
fn merge(drafts: &mut [Draft], group: impl Fn(&Draft) -> Group, wanted: Group, (weight, most): (f64, f64)) -> f64 {
    let (mut count, mut sum, mut strongest) = (0_u32, 0.0, None);
    for (place, draft) in drafts.iter().enumerate().filter(|(_, draft)| group(draft) == wanted) {
        (count, sum) = (count + 1, sum + draft.bits);
        if strongest.is_none_or(|(_, bits)| draft.bits > bits) {
            strongest = Some((place, draft.bits));
        }
    }
    let Some((strongest, highest)) = strongest.filter(|_| sum > 0.0) else { return 0.0 };
    let corroboration = (CORROBORATION * f64::from(count).log2()).min(MOST_CORROBORATION);
    let merged = (highest + corroboration).min(sum);
    let weight = weight.min(most / merged);
    let others = (sum - highest).max(f64::MIN_POSITIVE);
    for (place, draft) in drafts.iter_mut().enumerate().filter(|(_, draft)| group(draft) == wanted) {
        let share = if place == strongest { highest } else { draft.bits / others * (merged - highest) };
        draft.bits = weight * share;
    }
    weight * merged
}

/// Whether it is about something done, or reached, that was not before.
pub fn is_new_step(draft: &Draft, seen: &Observation<'_>) -> bool {
    draft.feature == Feature::Novelty && matches!(Act::default().group(draft, seen), Group::What | Group::Where)
}

/// Whether it is about what was done and to what.
fn is_about_what(draft: &Draft, seen: &Observation<'_>) -> bool {
    Act::default().group(draft, seen) == Group::What
}

/// What all evidence of one observation has in common: one act shows in several ways.
#[derive(Clone, Copy, Debug, Default)]
struct Act {
    /// Whoever fails takes another way and another time, an outage's more often than not; an hour of failures is one of
    /// waiting and trying again.
    failed: bool,
    /// A crowd asks for more of everything, and has caches cold and queues long.
    crowded: bool,
    /// Who computes for longer runs for longer.
    worked: bool,
}

impl Act {
    fn of(drafts: &[Draft], seen: &Observation<'_>) -> Self {
        let has = |feature| drafts.iter().any(|draft| draft.feature == feature);
        Self {
            failed: seen.failed || has(Feature::Window(Measure::Failures)),
            crowded: has(Feature::Window(Measure::Rate)),
            worked: has(Feature::Magnitude(Quantity::SelfTimeUs)),
        }
    }

    fn group(self, draft: &Draft, seen: &Observation<'_>) -> Group {
        let family = draft.touch.and_then(|place| seen.touches.get(place)).map(|touch| touch.key.family);
        let of_hour = matches!(draft.feature, Feature::Window(_));
        match Group::of(draft.feature, family) {
            Group::Structure | Group::Time | Group::Work if self.failed && !of_hour => Group::Failure,
            Group::Time | Group::Volume | Group::Load if self.failed && of_hour => Group::Failure,
            Group::Time | Group::Volume if self.crowded && of_hour => Group::Load,
            Group::Time if self.worked => Group::Work,
            group => group,
        }
    }
}

/// That something was read which was not read before, and nothing much besides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FirstRead {
    /// What was read.
    pub key: u64,
    /// What else there is to say, bits.
    pub rest: f64,
}

/// Whether that is all there is to say. `drafts` are scored.
pub fn first_read(drafts: &[Draft], seen: &Observation<'_>) -> Option<FirstRead> {
    let mut rest = 0.0;
    let mut strongest: Option<(u64, f64)> = None;
    for draft in drafts {
        if !is_about_what(draft, seen) {
            rest += draft.bits;
            continue;
        }
        let key = draft.touch.and_then(|place| seen.touches.get(place)).map(|touch| touch.key);
        let key = key.filter(|key| key.risk == Risk::Read)?;
        // An operation is read everywhere; the thing it reads is what others begin to read too.
        let bits = if key.family == Family::Resource { f64::INFINITY } else { draft.bits };
        if strongest.is_none_or(|(_, most)| bits > most) {
            strongest = Some((key.hash, bits));
        }
    }
    let (key, _) = strongest?;
    (rest < MOST_BESIDE_READING).then_some(FirstRead { key, rest })
}

/// The drafts in words, strongest first.
pub fn explain(drafts: &mut [Draft], seen: &Observation<'_>, fleet: &Fleet) -> Vec<Evidence> {
    drafts.sort_by(|a, b| b.bits.total_cmp(&a.bits));
    drafts.iter().take(MOST_SHOWN).map(|draft| in_words(draft, seen, fleet)).collect()
}

fn in_words(draft: &Draft, seen: &Observation<'_>, fleet: &Fleet) -> Evidence {
    let touch = draft.touch.and_then(|place| seen.touches.get(place));
    let key = touch.map(|touch| OwnedKey::from(touch.key)).or_else(|| absent_key(draft.absent, fleet));
    let having = key.as_ref().map_or((0, fleet.functions), |key| fleet.having(key.hash));
    let (observed, usual) = match draft.feature {
        Feature::Novelty => (name_of(key.as_ref()), String::new()),
        Feature::Missing => {
            (format!("no {}", name_of(key.as_ref())), format!("in {} of {} invocations", draft.seen_in, draft.out_of))
        }
        Feature::Shape => ("an order of calls not seen before".to_owned(), String::new()),
        Feature::Order => ("an unusual step".to_owned(), String::new()),
        Feature::Repeats => (format!("{} times", draft.observed), format!("at most {} times", draft.usual)),
        Feature::Magnitude(quantity) => {
            (amount(quantity, draft.observed), format!("at most {}", amount(quantity, draft.usual)))
        }
        Feature::Window(Measure::Rate) => (
            format!("{} invocations this hour", draft.observed),
            format!("at most {} in this hour of {} known", draft.usual, draft.out_of),
        ),
        Feature::Window(measure) => (
            format!("{} for 1,000 invocations this hour", of_measure(measure, draft.observed)),
            format!("at most {} in {} hours", of_measure(measure, draft.usual), draft.out_of),
        ),
        Feature::Drift(measure) => (
            format!("{} for 1,000 invocations", of_measure(measure, draft.observed)),
            format!("about {}, over {} days", of_measure(measure, draft.usual), draft.out_of),
        ),
        Feature::Instance(quantity) => (
            format!("{} in one environment", amount(quantity, draft.observed)),
            format!("{} in its {} siblings", amount(quantity, draft.usual), draft.out_of),
        ),
        Feature::Beacon => {
            (format!("every {} s, {} times", draft.observed, draft.out_of), "no rhythm in its invocations".to_owned())
        }
        Feature::Silence => {
            (format!("spans of {} % of its invocations", draft.observed), format!("spans of {} %", draft.usual))
        }
        Feature::AfterChange => (name_of(key.as_ref()), "no such change within a day".to_owned()),
    };
    let source = touch
        .or_else(|| seen.touches.first())
        .map_or_else(|| Source { trust: seen.channel.trust(), ..Source::default() }, |touch| touch.source);
    Evidence {
        feature: draft.feature,
        key,
        bits: draft.bits,
        observed,
        usual,
        seen_in: draft.seen_in,
        out_of: draft.out_of,
        fleet: having,
        amount: draft.observed,
        source,
    }
}

fn absent_key(hash: u64, fleet: &Fleet) -> Option<OwnedKey> {
    let known = fleet.keys.get(&hash)?;
    Some(OwnedKey { family: known.family, risk: known.risk, hash, name: known.name.to_string() })
}

fn name_of(key: Option<&OwnedKey>) -> String {
    key.map(|key| key.name.clone()).unwrap_or_default()
}

fn amount(quantity: Quantity, value: u64) -> String {
    match quantity {
        Quantity::DurationUs | Quantity::SelfTimeUs | Quantity::InitUs | Quantity::AfterUs | Quantity::PlatformUs => {
            match value {
                0..1_000 => format!("{value} µs"),
                1_000..1_000_000 => format!("{:.0} ms", value as f64 / 1e3),
                _ => format!("{:.1} s", value as f64 / 1e6),
            }
        }
        Quantity::BytesOut | Quantity::BytesIn | Quantity::AnswerBytes | Quantity::CallBytes => match value {
            0..10_000 => format!("{value} B"),
            10_000..10_000_000 => format!("{:.0} kB", value as f64 / 1e3),
            _ => format!("{:.0} MB", value as f64 / 1e6),
        },
        Quantity::MemoryMb => format!("{value} MB"),
        Quantity::Calls => format!("{value} calls"),
        Quantity::Rows => format!("{value} rows"),
        Quantity::DistinctResources => format!("{value} resources"),
        Quantity::Invocations => format!("{value} invocations"),
        Quantity::Failures => format!("{value} failures"),
        Quantity::Throttles => format!("{value} throttled"),
        Quantity::Concurrency => format!("{value} at once"),
    }
}

fn of_measure(measure: Measure, value: u64) -> String {
    match measure {
        Measure::Calls => amount(Quantity::Calls, value),
        Measure::Rows => amount(Quantity::Rows, value),
        Measure::BytesOut => amount(Quantity::BytesOut, value),
        Measure::BytesIn => amount(Quantity::BytesIn, value),
        Measure::Failures => amount(Quantity::Failures, value),
        Measure::Duration => amount(Quantity::DurationUs, value),
        Measure::Distinct => amount(Quantity::DistinctResources, value),
        Measure::Rate => amount(Quantity::Invocations, value),
    }
}
