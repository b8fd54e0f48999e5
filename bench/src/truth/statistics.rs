//! Means, shares and how sure they are.

/// The two-sided 95 % quantile of the normal distribution.
pub(super) const Z_95: f64 = 1.96;

/// A mean and half the width of its 95 % confidence interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Mean {
    pub(super) mean: f64,
    pub(super) half_width: f64,
}

/// The mean of independent values, by Student's t; nothing is known of fewer than two.
pub(super) fn mean(values: &[f64]) -> Option<Mean> {
    let n = values.len() as f64;
    if values.len() < 2 {
        return None;
    }
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
    Some(Mean { mean, half_width: t_95(values.len() - 1) * (variance / n).sqrt() })
}

/// The two-sided 95 % quantile of Student's t distribution.
fn t_95(degrees: usize) -> f64 {
    const TABLE: [f64; 30] = [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
        2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
    ];
    match degrees.checked_sub(1) {
        None => f64::INFINITY,
        // Beyond the table, the first term of the expansion in 1/degrees: z + (z³ + z)/(4 degrees).
        Some(index) => TABLE.get(index).copied().unwrap_or(Z_95 + (Z_95.powi(3) + Z_95) / (4.0 * degrees as f64)),
    }
}

/// The ends of Wilson's interval of a share of which `hits` of `trials` were seen; `z` is the quantile.
pub(super) fn wilson(hits: u64, trials: u64, z: f64) -> (f64, f64) {
    if trials == 0 {
        return (0.0, 1.0);
    }
    let (n, share) = (trials as f64, hits as f64 / trials as f64);
    let scale = 1.0 + z * z / n;
    let middle = (share + z * z / (2.0 * n)) / scale;
    let half = z / scale * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    ((middle - half).max(0.0), (middle + half).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_has_students_interval() {
        assert_eq!(mean(&[]), None);
        assert_eq!(mean(&[1.0]), None);
        assert_eq!(mean(&[3.0, 3.0, 3.0]), Some(Mean { mean: 3.0, half_width: 0.0 }));
        // Variance 4, of five values: 2.776 × √(4/5).
        let Mean { mean, half_width } = mean(&[0.0, 2.0, 2.0, 2.0, 4.0].map(|x| x * 2f64.sqrt() + 1.0)).unwrap();
        assert!((mean - 1.0 - 2.0 * 2f64.sqrt()).abs() < 1e-12);
        assert!((half_width - 2.776 * (4.0f64 / 5.0).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn the_quantiles_beyond_the_table_go_on_where_it_ends() {
        assert_eq!(t_95(1), 12.706);
        assert_eq!(t_95(30), 2.042);
        assert!((t_95(31) - 2.040).abs() < 4e-3);
        assert!((t_95(120) - 1.980).abs() < 1e-3);
        assert_eq!(t_95(0), f64::INFINITY);
    }

    #[test]
    fn wilsons_interval_is_the_known_one() {
        // Newcombe (1998), table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
        for (hits, trials, low, high) in
            [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)]
        {
            let interval = wilson(hits, trials, Z_95);
            assert!((interval.0 - low).abs() < 6e-5 && (interval.1 - high).abs() < 6e-5, "{interval:?}");
        }
        assert_eq!(wilson(0, 0, Z_95), (0.0, 1.0));
        assert_eq!(wilson(20, 20, Z_95).1, 1.0);
    }
}
