//! What a comparison says, in a sentence.

use super::markdown::{change, interval, probability};
use super::statistics::Comparison;

/// What can be concluded about an arm from its comparison with its base. `more` is what a higher value means (`slower`),
/// `less` what a lower one means, and `detectable` the smallest ratio that the experiment could have found.
pub(super) fn conclusion(comparison: &Comparison, more: &str, less: &str, detectable: Option<f64>) -> String {
    let found =
        format!("{}, interval {}, p = {}", change(comparison.ratio), interval(comparison), probability(comparison.p));
    let Some((low, high)) = comparison.interval else {
        return format!("too few runs to conclude anything ({})", change(comparison.ratio));
    };
    if low > 1.0 {
        format!("{more} ({found})")
    } else if high < 1.0 {
        format!("{less} ({found})")
    } else {
        let limit = detectable.map_or(String::new(), |ratio| {
            format!("; a difference of {} would have been found in four of five such experiments", change(ratio))
        });
        format!("no difference could be shown ({found}){limit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(ratio: f64, interval: Option<(f64, f64)>) -> String {
        conclusion(&Comparison { ratio, interval, p: 0.002 }, "slower", "faster", Some(1.01))
    }

    #[test]
    fn only_an_interval_without_one_is_a_difference() {
        assert_eq!(said(1.05, Some((1.02, 1.08))), "slower (+5.00 %, interval +2.00 % … +8.00 %, p = 0.002)");
        assert_eq!(said(0.95, Some((0.9, 0.99))), "faster (-5.00 %, interval -10.0 % … -1.00 %, p = 0.002)");
        assert_eq!(
            said(1.001, Some((0.99, 1.02))),
            "no difference could be shown (+0.10 %, interval -1.00 % … +2.00 %, p = 0.002); a difference of +1.00 % would \
             have been found in four of five such experiments"
        );
        assert_eq!(said(1.3, None), "too few runs to conclude anything (+30.0 %)");
    }
}
