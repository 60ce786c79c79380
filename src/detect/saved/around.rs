//! The saved form of hours, days and environments.

use super::{load_histogram, proto, save_histogram};
use crate::detect::{
    drift::{Clocks, Drift},
    instances::{Instances, Spread},
    windows::{Hour, Sketch, Windows},
};

pub fn save_windows(windows: &Windows) -> proto::Windows {
    let hour = &windows.hour;
    proto::Windows {
        usual: windows.usual.iter().map(save_histogram).collect(),
        profile: windows.profile.to_vec(),
        traced: windows.traced,
        reported: windows.reported,
        hour: hour.number,
        hour_n: hour.n,
        hour_sums: hour.sums.to_vec(),
        hour_present: u32::from(hour.present),
        hour_distinct: hour.distinct.0.to_vec(),
        hour_tainted: hour.tainted,
        hour_reported: hour.reported,
    }
}

pub fn load_windows(saved: proto::Windows) -> Windows {
    let mut windows = Windows { traced: saved.traced, reported: saved.reported, ..Windows::default() };
    windows.usual.iter_mut().zip(saved.usual).for_each(|(usual, saved)| *usual = load_histogram(saved));
    fill(&mut windows.profile, &saved.profile);
    let mut hour = Hour { number: saved.hour, n: saved.hour_n, present: saved.hour_present as u8, ..Hour::default() };
    (hour.tainted, hour.reported) = (saved.hour_tainted, saved.hour_reported);
    fill(&mut hour.sums, &saved.hour_sums);
    let mut words = [0; 16];
    fill(&mut words, &saved.hour_distinct);
    hour.distinct = Sketch(words);
    windows.hour = hour;
    windows.refresh();
    windows
}

pub fn save_drift(drift: &Drift) -> proto::Drift {
    let present = drift.sums.iter().rev().fold(0, |bits, sum| bits << 1 | u32::from(sum.is_some()));
    let clocks = |clocks: &Clocks| proto::Clocks {
        days: u32::from(clocks.days),
        slow: clocks.slow,
        frozen: clocks.frozen,
        spread: clocks.spread,
        evidence: clocks.evidence,
    };
    proto::Drift {
        day: drift.day,
        n: drift.n,
        sums: drift.sums.iter().map(|sum| sum.unwrap_or(0)).collect(),
        present,
        clocks: drift.clocks.iter().map(clocks).collect(),
        promoted_day: drift.promoted,
        deployed: drift.deployed,
    }
}

pub fn load_drift(saved: proto::Drift) -> Drift {
    let mut drift = Drift { day: saved.day, n: saved.n, promoted: saved.promoted_day, ..Drift::default() };
    drift.deployed = saved.deployed;
    for (place, (sum, saved_sum)) in drift.sums.iter_mut().zip(saved.sums).enumerate() {
        *sum = (saved.present >> place & 1 == 1).then_some(saved_sum);
    }
    for (clocks, saved) in drift.clocks.iter_mut().zip(saved.clocks) {
        *clocks = Clocks {
            days: u16::try_from(saved.days).unwrap_or(u16::MAX),
            slow: saved.slow,
            frozen: saved.frozen,
            spread: saved.spread,
            evidence: saved.evidence,
        };
    }
    drift
}

pub fn load_instances(n: u32, mean: &[f32], variance: &[f32]) -> Instances {
    let mut instances = Instances { n, ..Instances::default() };
    for (usual, (mean, variance)) in instances.usual.iter_mut().zip(mean.iter().zip(variance)) {
        *usual = Spread { mean: *mean, variance: *variance };
    }
    instances
}

fn fill<T: Copy>(to: &mut [T], from: &[T]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
}
