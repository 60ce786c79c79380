//! 95 % intervals, so that no rate stands alone.

use crate::testbed::rng::Rng;

/// The normal quantile at 97.5 %.
const Z: f64 = 1.959_963_984_540_054;
/// Each tail.
const TAIL: f64 = 0.025;

/// Wilson's interval of a share of `hits` in `trials` (Wilson 1927); all of 0 to 1 where nothing was tried.
pub fn wilson(hits: u64, trials: u64) -> [f64; 2] {
    if trials == 0 {
        return [0.0, 1.0];
    }
    let (n, p) = (trials as f64, hits as f64 / trials as f64);
    let centre = p + Z * Z / (2.0 * n);
    let spread = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    [((centre - spread) / scale).max(0.0), ((centre + spread) / scale).min(1.0)]
}

/// The exact interval of the mean of a Poisson variable that came out as `count` (Garwood 1936).
pub fn poisson(count: u64) -> [f64; 2] {
    let lower = if count == 0 { 0.0 } else { mean_where(|mean| 1.0 - at_most(count - 1, mean) >= TAIL, count) };
    [lower, mean_where(|mean| at_most(count, mean) <= TAIL, count)]
}

/// The interval of a ratio of sums over clusters, `(above, below)` each, that came by chance as a whole: the percentile
/// bootstrap over clusters (Davison and Hinkley 1997), always with the same draws. `None` of fewer than five.
pub fn clustered(clusters: &[(f64, f64)]) -> Option<[f64; 2]> {
    const DRAWS: usize = 2000;
    if clusters.len() < 5 {
        return None;
    }
    let mut rng = Rng::new(0x00c1_u64);
    let mut ratios: Vec<f64> = (0..DRAWS)
        .map(|_| {
            let drawn = clusters.iter().filter_map(|_| clusters.get(rng.below(clusters.len() as u64) as usize));
            let (above, below) = drawn.fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
            if below > 0.0 { above / below } else { 0.0 }
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    let at = |share: f64| ratios.get((DRAWS as f64 * share) as usize).copied().unwrap_or_default();
    Some([at(TAIL), at(1.0 - TAIL)])
}

/// The least mean for which `holds`, which must go from false to true.
fn mean_where(holds: impl Fn(f64) -> bool, count: u64) -> f64 {
    let (mut low, mut high) = (0.0, 20.0 + 3.0 * count as f64);
    for _ in 0..200 {
        let middle = f64::midpoint(low, high);
        if holds(middle) { high = middle } else { low = middle }
    }
    high
}

/// `P(X ≤ count)` of a Poisson variable.
fn at_most(count: u64, mean: f64) -> f64 {
    let mut log_term = -mean;
    let mut sum = log_term.exp();
    for k in 1..=count {
        log_term += (mean / k as f64).ln();
        sum += log_term.exp();
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_those_of_the_tables() {
        #[rustfmt::skip]
        let wilsons = [((0, 10), [0.0, 0.2775]), ((10, 10), [0.7225, 1.0]), ((9, 10), [0.5958, 0.9821]), ((0, 0), [0.0, 1.0])];
        for ((hits, trials), [low, high]) in wilsons {
            let [found_low, found_high] = wilson(hits, trials);
            assert!((found_low - low).abs() < 1e-4 && (found_high - high).abs() < 1e-4, "{hits} of {trials}");
        }
        #[rustfmt::skip]
        let poissons = [(0, [0.0, 3.6889]), (1, [0.0253, 5.5716]), (5, [1.6235, 11.6683]), (100, [81.3640, 121.6272])];
        for (count, [low, high]) in poissons {
            let [found_low, found_high] = poisson(count);
            assert!(
                (found_low - low).abs() < 1e-3 && (found_high - high).abs() < 1e-3,
                "{count}: {found_low} {found_high}"
            );
        }
    }

    #[test]
    fn clusters_that_differ_make_the_interval_wider() {
        let alike = vec![(5.0, 10.0); 40];
        assert_eq!(clustered(&alike), Some([0.5, 0.5]));
        let apart: Vec<(f64, f64)> = (0..40).map(|n| (f64::from(n % 2) * 10.0, 10.0)).collect();
        let [low, high] = clustered(&apart).unwrap();
        // The normal approximation of 40 fair coins.
        assert!((low - 0.345).abs() < 0.03 && (high - 0.655).abs() < 0.03, "{low} to {high}");
        assert_eq!(clustered(&alike[..4]), None);
    }
}
