//! What comparisons say, in sentences.

use super::markdown::{change, interval, probability};
use super::statistics::Comparison;

/// An arm, or a measure of it, and how it compares.
pub(super) struct Line {
    /// Which.
    pub(super) title: String,
    /// With its base.
    pub(super) comparison: Comparison,
    /// The smallest ratio that the experiment could have found, judged by its control.
    pub(super) detectable: Option<f64>,
}

/// What can be concluded, as a list. `more` is what a higher value means (`slower`), `less` what a lower one means.
pub(super) fn conclusions(lines: &[Line], more: &str, less: &str) -> String {
    if lines.iter().all(|line| line.comparison.interval.is_none()) {
        return "\nNothing can be concluded: an interval takes at least six rounds.\n".to_owned();
    }
    let list = lines.iter().map(|line| format!("- {}: {}.\n", line.title, conclusion(line, more, less)));
    format!("\nWhat can be concluded:\n\n{}", list.collect::<String>())
}

fn conclusion(line: &Line, more: &str, less: &str) -> String {
    let Line { comparison, detectable, .. } = line;
    let (ratio, p) = (change(comparison.ratio), probability(comparison.p));
    let Some((low, high)) = comparison.interval else { return format!("{ratio}, in too few rounds for an interval") };
    let found = format!("{ratio}, 95 % interval {}, p = {p}", interval(comparison));
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

    fn line(ratio: f64, interval: Option<(f64, f64)>) -> Line {
        Line { title: "x".to_owned(), comparison: Comparison { ratio, interval, p: 0.002 }, detectable: Some(1.01) }
    }

    #[test]
    fn only_an_interval_without_one_is_a_difference() {
        let lines = [
            line(1.05, Some((1.02, 1.08))),
            line(0.95, Some((0.9, 0.99))),
            line(1.001, Some((0.99, 1.02))),
            line(9.0, None),
        ];
        let expected = "\nWhat can be concluded:\n\n\
            - x: slower (+5.00 %, 95 % interval +2.00 % … +8.00 %, p = 0.002).\n\
            - x: faster (-5.00 %, 95 % interval -10.0 % … -1.00 %, p = 0.002).\n\
            - x: no difference could be shown (+0.10 %, 95 % interval -1.00 % … +2.00 %, p = 0.002); a difference of +1.00 % \
            would have been found in four of five such experiments.\n\
            - x: +800.0 %, in too few rounds for an interval.\n";
        assert_eq!(conclusions(&lines, "slower", "faster"), expected);
    }

    #[test]
    fn too_few_rounds_say_nothing() {
        let said = conclusions(&[line(1.3, None)], "slower", "faster");
        assert_eq!(said, "\nNothing can be concluded: an interval takes at least six rounds.\n");
    }
}
