//! The latest value of every series, between one scrape and the next.

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    time::{Duration, Instant},
};

use super::translate::{Family, Labels, Sample, Type, Value};

/// Series are kept in so many bytes; what is new beyond is refused.
const MOST_BYTES: usize = 64 << 20;
/// What a series costs besides its text.
const OVERHEAD: usize = 256;

/// Why a point is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There are too many series.
    Full,
    /// The name already means something else.
    Conflict,
    /// A delta that does not begin after what is known: sent twice, for one.
    Old,
}

/// All series, by the name of their family.
#[derive(Debug, Default)]
pub struct Store {
    families: BTreeMap<String, Kept>,
    bytes: usize,
}

/// One family's.
#[derive(Debug)]
pub struct Kept {
    /// What is said of it once.
    pub family: Family,
    series: HashMap<Labels, Series>,
}

/// One series.
#[derive(Debug)]
pub struct Series {
    /// Unix nanoseconds.
    pub time: u64,
    /// What it is at.
    pub value: Value,
    seen: Instant,
    bytes: usize,
}

impl Store {
    /// Takes a point that arrived at `now`.
    pub fn put(&mut self, family: &Family, sample: Sample, now: Instant) -> Result<(), Refused> {
        if !self.families.contains_key(&family.name) {
            let bytes = OVERHEAD + family.name.len() + family.help.len();
            if self.bytes + bytes > MOST_BYTES {
                return Err(Refused::Full);
            }
            self.bytes += bytes;
        }
        let fresh = || Kept { family: family.clone(), series: HashMap::new() };
        let kept = self.families.entry(family.name.clone()).or_insert_with(fresh);
        if kept.family.kind != family.kind {
            return Err(Refused::Conflict);
        }
        let Some(value) = sample.value else {
            // The series has ended.
            if let Some(ended) = kept.series.remove(&sample.labels) {
                self.bytes -= ended.bytes;
            }
            return Ok(());
        };
        match kept.series.entry(sample.labels) {
            Entry::Vacant(vacant) => {
                let bytes = size(vacant.key(), &value);
                if self.bytes + bytes > MOST_BYTES {
                    return Err(Refused::Full);
                }
                self.bytes += bytes;
                vacant.insert(Series { time: sample.time, value, seen: now, bytes });
            }
            Entry::Occupied(mut known) => {
                let labels = size(known.key(), &Value::Number(0.0));
                let series = known.get_mut();
                if sample.delta && sample.time <= series.time {
                    return Err(Refused::Old);
                }
                if sample.delta {
                    add(&mut series.value, &value);
                } else if sample.time >= series.time {
                    series.value = value;
                } else {
                    // Overtaken on the way; what is known says more.
                    return Ok(());
                }
                (series.time, series.seen) = (sample.time, now);
                let bytes = labels + buckets(&series.value);
                self.bytes = self.bytes - series.bytes + bytes;
                series.bytes = bytes;
            }
        }
        Ok(())
    }

    /// Forgets series of which nothing was heard for `expiration`, and families without series.
    pub fn expire(&mut self, expiration: Duration, now: Instant) {
        let bytes = &mut self.bytes;
        self.families.retain(|_, kept| {
            kept.series.retain(|_, series| {
                let stays = now.saturating_duration_since(series.seen) < expiration;
                if !stays {
                    *bytes -= series.bytes;
                }
                stays
            });
            if kept.series.is_empty() {
                *bytes -= OVERHEAD + kept.family.name.len() + kept.family.help.len();
            }
            !kept.series.is_empty()
        });
    }

    /// Every family, by name.
    pub fn families(&self) -> impl Iterator<Item = &Kept> {
        self.families.values()
    }

    /// How many series there are.
    pub fn series(&self) -> usize {
        self.families.values().map(|kept| kept.series.len()).sum()
    }
}

impl Kept {
    /// Its series, in the order of their labels.
    pub fn series(&self) -> Vec<(&Labels, &Series)> {
        let mut all: Vec<_> = self.series.iter().collect();
        all.sort_by_key(|(labels, _)| *labels);
        all
    }

    /// What it is.
    pub const fn kind(&self) -> Type {
        self.family.kind
    }
}

fn size(labels: &Labels, value: &Value) -> usize {
    OVERHEAD + labels.iter().map(|(key, value)| key.len() + value.len() + 48).sum::<usize>() + buckets(value)
}

fn buckets(value: &Value) -> usize {
    match value {
        Value::Number(_) => 0,
        Value::Histogram { buckets, .. } => 16 * buckets.len(),
        Value::Summary { quantiles, .. } => 16 * quantiles.len(),
    }
}

/// Adds what happened since.
fn add(value: &mut Value, since: &Value) {
    match (value, since) {
        (Value::Number(value), Value::Number(since)) => *value += since,
        (
            Value::Histogram { buckets, sum, count },
            Value::Histogram { buckets: new_buckets, sum: new_sum, count: new_count },
        ) => {
            let same = buckets.iter().map(|(bound, _)| bound).eq(new_buckets.iter().map(|(bound, _)| bound));
            if same {
                for ((_, count), (_, new)) in buckets.iter_mut().zip(new_buckets) {
                    *count = count.saturating_add(*new);
                }
            } else {
                merge(buckets, new_buckets);
            }
            *sum = sum.zip(*new_sum).map(|(sum, new)| sum + new);
            *count = count.saturating_add(*new_count);
        }
        (value, since) => value.clone_from(since),
    }
}

/// Adds buckets with other bounds: of a histogram whose bounds a sender has changed, or a merged exponential one.
fn merge(buckets: &mut Vec<(f64, u64)>, new: &[(f64, u64)]) {
    for (bound, count) in new {
        match buckets.binary_search_by(|(known, _)| known.total_cmp(bound)) {
            Ok(at) => {
                if let Some((_, known)) = buckets.get_mut(at) {
                    *known = known.saturating_add(*count);
                }
            }
            Err(at) => buckets.insert(at, (*bound, *count)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn family(kind: Type) -> Family {
        Family { name: "orders_total".into(), kind, help: String::new() }
    }

    fn sample(label: &str, value: f64, time: u64, delta: bool) -> Sample {
        let labels = vec![("shop".to_owned(), label.to_owned())];
        Sample { labels, start: 0, time, delta, value: Some(Value::Number(value)) }
    }

    fn values(store: &Store) -> Vec<(String, Value)> {
        let all = store.families().flat_map(Kept::series);
        all.map(|(labels, series)| (labels[0].1.clone(), series.value.clone())).collect()
    }

    #[test]
    fn deltas_add_up_once_and_cumulative_values_replace() {
        let (mut store, now, counter) = (Store::default(), Instant::now(), family(Type::Counter));
        for (row, value, time, delta, expected) in [
            ("first", 5.0, 10, true, Ok(())),
            ("next", 2.0, 20, true, Ok(())),
            ("sent again", 2.0, 20, true, Err(Refused::Old)),
            ("late", 1.0, 15, true, Err(Refused::Old)),
        ] {
            assert_eq!(store.put(&counter, sample("a", value, time, delta), now), expected, "{row}");
        }
        assert_eq!(store.put(&counter, sample("b", 9.0, 20, false), now), Ok(()));
        assert_eq!(store.put(&counter, sample("b", 9.0, 20, false), now), Ok(()), "the same again is no harm");
        assert_eq!(store.put(&counter, sample("b", 8.0, 19, false), now), Ok(()), "overtaken on the way");
        assert_eq!(values(&store), [("a".into(), Value::Number(7.0)), ("b".into(), Value::Number(9.0))]);
        assert_eq!(store.put(&family(Type::Gauge), sample("a", 1.0, 99, false), now), Err(Refused::Conflict));
    }

    #[test]
    fn histograms_add_up_by_bound_whatever_the_bounds() {
        let mut value = Value::Histogram { buckets: vec![(1.0, 1), (4.0, 2)], sum: Some(3.0), count: 4 };
        add(&mut value, &Value::Histogram { buckets: vec![(1.0, 1), (4.0, 1)], sum: Some(1.0), count: 3 });
        add(&mut value, &Value::Histogram { buckets: vec![(2.0, 7)], sum: Some(1.0), count: 7 });
        assert_eq!(value, Value::Histogram { buckets: vec![(1.0, 2), (2.0, 7), (4.0, 3)], sum: Some(5.0), count: 14 });
    }

    #[test]
    fn series_that_ended_or_went_silent_are_forgotten_and_their_room_is_given_back() {
        let (mut store, now, counter) = (Store::default(), Instant::now(), family(Type::Counter));
        for label in ["a", "b", "c"] {
            store.put(&counter, sample(label, 1.0, 10, false), now).unwrap();
        }
        store.put(&counter, Sample { value: None, ..sample("a", 0.0, 11, false) }, now).unwrap();
        assert_eq!(store.series(), 2);
        store.put(&counter, sample("b", 2.0, 12, false), now + Duration::from_secs(200)).unwrap();
        store.expire(Duration::from_mins(5), now + Duration::from_secs(299));
        assert_eq!(store.series(), 2, "not yet");
        store.expire(Duration::from_mins(5), now + Duration::from_mins(5));
        assert_eq!(values(&store), [("b".into(), Value::Number(2.0))]);
        store.expire(Duration::ZERO, now + Duration::from_hours(1));
        assert_eq!((store.series(), store.bytes), (0, 0));
    }

    #[test]
    fn series_are_bounded() {
        let (mut store, now, counter) = (Store::default(), Instant::now(), family(Type::Counter));
        let long = "x".repeat(1 << 20);
        let answers: Vec<_> =
            (0..70).map(|n| store.put(&counter, sample(&format!("{n}{long}"), 1.0, 1, false), now)).collect();
        let kept = answers.iter().filter(|answer| answer.is_ok()).count();
        assert!((60..64).contains(&kept), "{kept}");
        assert_eq!(answers.last(), Some(&Err(Refused::Full)));
        assert_eq!(
            store.put(&counter, sample(&format!("0{long}"), 2.0, 2, false), now),
            Ok(()),
            "what is known goes on"
        );
    }
}
