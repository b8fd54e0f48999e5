//! What an experiment could have found.

use super::standard_deviation;

/// Standard normal quantile of 0.975: a two-sided test at 5 %.
const TEST: f64 = 1.959_964;
/// Standard normal quantile of 0.8: found in four of five experiments.
const POWER: f64 = 0.841_621;

/// The smallest ratio above 1 that an experiment like this one finds in four of five cases, testing at 5 %, judged by the
/// log ratios of its control (of two arms that are the same); `None` of fewer than three.
pub(crate) fn detectable_ratio(control: &[f64]) -> Option<f64> {
    let freedom = control.len().checked_sub(1).filter(|freedom| *freedom >= 2)? as f64;
    let error = standard_deviation(control)? / (control.len() as f64).sqrt();
    Some(((student(TEST, freedom) + student(POWER, freedom)) * error).exp())
}

/// The quantile of Student's t that belongs to a standard normal quantile (Abramowitz and Stegun, 26.7.5).
fn student(normal: f64, freedom: f64) -> f64 {
    let (z, n) = (normal, freedom);
    let terms = [
        z,
        (z.powi(3) + z) / 4.0,
        (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / 96.0,
        (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z) / 384.0,
    ];
    terms.iter().enumerate().map(|(power, term)| term / n.powi(power as i32)).sum()
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
    fn what_is_detectable_follows_the_spread_of_the_control() {
        assert_eq!(detectable_ratio(&[0.01, -0.01]), None);
        assert_eq!(detectable_ratio(&[0.0, 0.0, 0.0]), Some(1.0));
        // Ten log ratios with a standard deviation of 0.01: (2.262 + 0.883) * 0.01 / sqrt(10).
        let control: Vec<f64> = (0..10).map(|i| if i % 2 == 0 { 1.0 } else { -1.0 } * 0.01 * 0.9_f64.sqrt()).collect();
        assert!((detectable_ratio(&control).unwrap() - (3.145 * 0.01 / 10_f64.sqrt()).exp()).abs() < 1e-5);
    }
}
