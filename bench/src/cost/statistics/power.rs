//! What an experiment could have found.

use fgspy_profile::quantiles::student;

use super::{Comparison, standard_deviation};

/// Standard normal quantile of 0.975: a two-sided test at 5 %.
pub(super) const TEST: f64 = 1.959_964;
/// Standard normal quantile of 0.8: found in four of five experiments.
const POWER: f64 = 0.841_621;

/// The smallest ratio above 1 that an experiment like this one finds in four of five cases, testing at 5 %, judged by the
/// log ratios of its control (of two arms that are the same); `None` of fewer than three.
pub(crate) fn detectable_ratio(control: &[f64]) -> Option<f64> {
    let freedom = control.len().checked_sub(1).filter(|freedom| *freedom >= 2)? as f64;
    let error = standard_deviation(control)? / (control.len() as f64).sqrt();
    Some(((student(TEST, freedom) + student(POWER, freedom)) * error).exp())
}

/// The same for an experiment with many pairs, judged by the comparison of its control: by the width of its interval, so by how
/// sure the very estimate is that is made of the other arms; `None` if it has no interval.
pub(crate) fn detectable_by(control: &Comparison) -> Option<f64> {
    let (low, high) = control.interval?;
    let error = (high / low).ln() / 2.0 / TEST;
    Some(((TEST + POWER) * error).exp())
}

/// How probable it is that something normally distributed is as far from its mean as this many standard deviations, on either
/// side (Abramowitz and Stegun, 7.1.26: the error is below 1.5e-7).
pub(super) fn two_tails(deviations: f64) -> f64 {
    let x = deviations.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let terms = [0.254_829_592, -0.284_496_736, 1.421_413_741, -1.453_152_027, 1.061_405_429];
    let sum: f64 = terms.iter().rev().fold(0.0, |sum, term| (sum + term) * t);
    sum * (-x * x).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_students_t_are_those_of_the_tables() {
        for (freedom, two_sided, power) in [(4.0, 2.776, 0.941), (9.0, 2.262, 0.883), (30.0, 2.042, 0.854)] {
            assert!((student(TEST, freedom) - two_sided).abs() < 0.01, "{freedom}: {}", student(TEST, freedom));
            assert!((student(POWER, freedom) - power).abs() < 0.001, "{freedom}: {}", student(POWER, freedom));
        }
    }

    #[test]
    fn tails_are_those_of_the_tables() {
        for (deviations, probability) in [(0.0, 1.0), (TEST, 0.05), (-2.575_829, 0.01), (3.290_527, 0.001)] {
            assert!((two_tails(deviations) - probability).abs() < 1e-6, "{deviations}: {}", two_tails(deviations));
        }
    }

    #[test]
    fn what_is_detectable_follows_the_interval_of_the_control() {
        let control = |interval| Comparison { ratio: 1.0, interval, p: 0.5 };
        assert_eq!(detectable_by(&control(None)), None);
        assert_eq!(detectable_by(&control(Some((1.2, 1.2)))), Some(1.0));
        // An interval of 1.4 % to both sides finds 2.0011 % (2.8016 / 1.96 times as much), wherever its middle is.
        let found = detectable_by(&control(Some(((0.05_f64 - 0.014).exp(), (0.05_f64 + 0.014).exp())))).unwrap();
        assert!((found - 0.020_011_f64.exp()).abs() < 1e-5, "{found}");
    }

    #[test]
    fn what_is_detectable_follows_the_spread_of_the_control() {
        assert_eq!(detectable_ratio(&[0.01, -0.01]), None);
        assert_eq!(detectable_ratio(&[0.0, 0.0, 0.0]), Some(1.0));
        // Ten log ratios with a standard deviation of 0.01: (2.262 + 0.883) * 0.01 / sqrt(10).
        let control: Vec<f64> = (0..10).map(|i| if i % 2 == 0 { 1.0 } else { -1.0 } * 0.01 * 0.9_f64.sqrt()).collect();
        assert!((detectable_ratio(&control).unwrap() - (3.145 * 0.01 / 10_f64.sqrt()).exp()).abs() < 1e-5);
    }
}
