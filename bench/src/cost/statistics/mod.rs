//! The statistics of the benchmarks. Nothing here knows what was measured.

mod power;
mod ranks;

pub(super) use power::{detectable_by, detectable_ratio};
pub(super) use ranks::{mann_whitney, signed_rank};

/// The value that `share` (0 to 1) of the values do not exceed, interpolated between the two nearest; `None` of nothing.
pub(super) fn quantile(values: &[f64], share: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = share.clamp(0.0, 1.0) * sorted.len().checked_sub(1)? as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    Some(below + (above - below) * place.fract())
}

/// The value in the middle, or between the two in the middle; `None` of nothing.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    quantile(values, 0.5)
}

/// The geometric mean of positive values; `None` of nothing.
pub(super) fn geometric_mean(values: &[f64]) -> Option<f64> {
    let logarithms: f64 = values.iter().map(|value| value.ln()).sum();
    (!values.is_empty()).then(|| (logarithms / values.len() as f64).exp())
}

/// The standard deviation of a sample; `None` of fewer than two values.
fn standard_deviation(values: &[f64]) -> Option<f64> {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (values.len() >= 2).then(|| (squares / (count - 1.0)).sqrt())
}

/// How one arm of an experiment compares with another, from runs that belong together in pairs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Comparison {
    /// How many times as much as the other: the Hodges-Lehmann estimate on the logarithms.
    pub(super) ratio: f64,
    /// Where the ratio is, with 95 % confidence: the interval of Wilcoxon's signed-rank test. It takes at least six pairs.
    pub(super) interval: Option<(f64, f64)>,
    /// How probable differences like these are if there is none: Wilcoxon's signed-rank test, exact and two-sided.
    pub(super) p: f64,
}

/// Compares pairs of positive values, each of the arm and of what it is compared with; `None` of nothing.
pub(super) fn compare(pairs: &[(f64, f64)]) -> Option<Comparison> {
    let tested = signed_rank(&log_ratios(pairs))?;
    Some(Comparison {
        ratio: tested.estimate.exp(),
        interval: tested.interval.map(|(low, high)| (low.exp(), high.exp())),
        p: tested.p,
    })
}

/// The logarithms of the ratios of pairs.
pub(super) fn log_ratios(pairs: &[(f64, f64)]) -> Vec<f64> {
    pairs.iter().map(|(arm, base)| (arm / base).ln()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_interpolated() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[9.0, 1.0, 5.0]), Some(5.0));
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(quantile(&[10.0, 20.0, 30.0, 40.0, 50.0], 0.25), Some(20.0));
        assert_eq!(quantile(&[0.0, 10.0], 0.99), Some(9.9));
        assert_eq!(quantile(&[1.0, 2.0], 1.0), Some(2.0));
    }

    #[test]
    fn geometric_means() {
        assert_eq!(geometric_mean(&[]), None);
        assert!((geometric_mean(&[1.0, 10.0, 100.0]).unwrap() - 10.0).abs() < 1e-12);
    }

    #[test]
    fn deviations_are_of_a_sample() {
        assert_eq!(standard_deviation(&[1.0]), None);
        assert_eq!(standard_deviation(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]), Some((32.0_f64 / 7.0).sqrt()));
    }

    #[test]
    fn a_constant_ratio_is_found_however_much_the_pairs_differ() {
        let pairs: Vec<(f64, f64)> = (1..=6).map(|base| (base as f64 * 1.25, base as f64)).collect();
        let comparison = compare(&pairs).unwrap();
        assert!((comparison.ratio - 1.25).abs() < 1e-12);
        let (low, high) = comparison.interval.unwrap();
        assert!((low - 1.25).abs() < 1e-12 && (high - 1.25).abs() < 1e-12);
        assert_eq!(comparison.p, 0.03125);
        assert_eq!(compare(&[]), None);
    }
}
