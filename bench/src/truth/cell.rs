//! One cell of the comparison: the estimates of it, each with the truth at the time.

use super::mode::RATE_HZ;
use super::statistics::{Mean, Z_95, mean};

/// A cell in one recording.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Outcome {
    /// Goroutine time by the program's own accounts.
    pub(super) truth_ns: f64,
    /// The same in as long a time shortly before, when nobody recorded.
    pub(super) alone_ns: f64,
    /// Goroutine time by the profile.
    pub(super) estimate_ns: f64,
    /// Goroutine time that the profile says it has no place for, and which may belong here.
    pub(super) unplaced_ns: f64,
    /// The standard error that the profile states.
    pub(super) error_ns: f64,
    /// Length of the recording.
    pub(super) duration_ns: f64,
}

/// To which part of it the truth is known: clocks are read before and after what they time.
const RESOLUTION: f64 = 1e-4;

/// Fewer observations than this have no normal distribution, which the intervals suppose.
const FEW: f64 = 10.0;

impl Outcome {
    /// Whether the 95 % interval contains the truth.
    pub(super) fn covered(&self) -> bool {
        self.off_ns().abs() <= Z_95 * self.error_ns + RESOLUTION * self.truth_ns
    }

    /// How far the estimate is off, in standard errors; unknown where the profile is sure.
    pub(super) fn score(&self) -> Option<f64> {
        (self.error_ns > 0.0).then(|| self.off_ns() / self.error_ns)
    }

    /// How far the estimate is off, whatever of the time without a place belongs here.
    fn off_ns(&self) -> f64 {
        let off = self.estimate_ns - self.truth_ns;
        if off < 0.0 { (off + self.unplaced_ns).min(0.0) } else { off }
    }
}

/// A cell in all recordings of a program in one mode.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    /// What is in it.
    pub(super) name: String,
    /// One for each recording.
    pub(super) outcomes: Vec<Outcome>,
}

impl Cell {
    fn sum(&self, of: impl Fn(&Outcome) -> f64) -> f64 {
        self.outcomes.iter().map(of).sum()
    }

    /// Whether so little of it could be seen in a recording, or so much has no place, that an interval says nothing. That goes by the mean of all
    /// recordings: which of them saw less than was there must not decide which are judged.
    pub(super) fn is_rare(&self) -> bool {
        let observations = self.sum(|outcome| outcome.truth_ns) * RATE_HZ / 1e9;
        observations < FEW * self.outcomes.len() as f64
            || self.sum(|outcome| outcome.error_ns * FEW.sqrt() + outcome.unplaced_ns)
                > self.sum(|outcome| outcome.truth_ns)
    }

    /// Goroutines in it on average, in truth.
    pub(super) fn goroutines(&self) -> f64 {
        self.sum(|outcome| outcome.truth_ns) / self.sum(|outcome| outcome.duration_ns)
    }

    /// The mean standard error, in parts of the truth.
    pub(super) fn relative_error(&self) -> f64 {
        self.sum(|outcome| outcome.error_ns) / self.sum(|outcome| outcome.truth_ns)
    }

    /// In how many recordings the interval contains the truth.
    pub(super) fn covered(&self) -> u64 {
        self.outcomes.iter().filter(|outcome| outcome.covered()).count() as u64
    }

    /// How far the estimates are off on average, in parts of the truth.
    pub(super) fn bias(&self) -> Option<Mean> {
        let truth = self.sum(|outcome| outcome.truth_ns) / self.outcomes.len() as f64;
        let off: Vec<f64> =
            self.outcomes.iter().map(|outcome| (outcome.estimate_ns - outcome.truth_ns) / truth).collect();
        mean(&off)
    }

    /// How much more there was of it while fgspy recorded than without, on average, in parts of what there was without: what a
    /// recording does to the program. Unknown where there was nothing without.
    pub(super) fn moved(&self) -> Option<Mean> {
        let alone = self.sum(|outcome| outcome.alone_ns) / self.outcomes.len() as f64;
        let more: Vec<f64> =
            self.outcomes.iter().map(|outcome| (outcome.truth_ns - outcome.alone_ns) / alone).collect();
        mean(&more).filter(|_| alone > 0.0)
    }

    /// The sum of the scores over the root of their number: standard normal if there is no bias and the errors are true,
    /// nearer to 0 if the errors are larger than need be. 0 where the profile is sure.
    pub(super) fn total_score(&self) -> f64 {
        let scores: Vec<f64> = self.outcomes.iter().filter_map(Outcome::score).collect();
        if scores.is_empty() { 0.0 } else { scores.iter().sum::<f64>() / (scores.len() as f64).sqrt() }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A second with one goroutine in a cell, estimated with these errors in parts of a second.
    pub(in super::super) fn cell(estimates: &[(f64, f64)]) -> Cell {
        let outcome = |&(estimate, error): &(f64, f64)| Outcome {
            truth_ns: 1e9,
            alone_ns: 0.8e9,
            estimate_ns: estimate * 1e9,
            unplaced_ns: 0.0,
            error_ns: error * 1e9,
            duration_ns: 2e9,
        };
        Cell { name: "cell".to_owned(), outcomes: estimates.iter().map(outcome).collect() }
    }

    #[test]
    fn an_interval_covers_up_to_its_ends() {
        let covered = |estimate, error| cell(&[(estimate, error)]).covered();
        assert_eq!(covered(1.195, 0.1), 1);
        assert_eq!(covered(1.197, 0.1), 0);
        assert_eq!(covered(0.805, 0.1), 1);
        assert_eq!(covered(0.803, 0.1), 0);
        // Where the profile is sure, it must be right.
        assert_eq!(covered(1.0, 0.0), 1);
        assert_eq!(covered(1.001, 0.0), 0);
    }

    #[test]
    fn what_has_no_place_may_be_missing_here_but_not_too_much() {
        let of = |estimate, unplaced_ns| {
            let outcome = Outcome { unplaced_ns, ..cell(&[(estimate, 0.1)]).outcomes[0] };
            (outcome.covered(), outcome.score().unwrap())
        };
        assert_eq!(of(0.5, 0.6e9), (true, 0.0));
        assert!(of(0.5, 0.4e9).0 && (of(0.5, 0.4e9).1 + 1.0).abs() < 1e-9);
        assert!(!of(0.5, 0.2e9).0 && !of(1.3, 0.6e9).0);
    }

    #[test]
    fn means_are_over_all_recordings() {
        let cell = cell(&[(1.2, 0.1), (1.0, 0.1), (1.1, 0.1), (0.5, 0.0)]);
        assert_eq!(cell.goroutines(), 0.5);
        assert!((cell.relative_error() - 0.075).abs() < 1e-12);
        assert!((cell.bias().unwrap().mean + 0.05).abs() < 1e-12);
        assert!((cell.moved().unwrap().mean - 0.25).abs() < 1e-12);
        assert!((cell.total_score() - 3.0 / 3f64.sqrt()).abs() < 1e-9);
        assert_eq!(cell.covered(), 2);
    }

    #[test]
    fn what_is_seldom_seen_is_rare() {
        assert!(!cell(&[(1.0, 0.1)]).is_rare());
        // Known to less than a third.
        assert!(cell(&[(1.0, 0.4)]).is_rare());
        assert!(!cell(&[(1.0, 0.4), (1.0, 0.1)]).is_rare());
        let short = Outcome {
            truth_ns: 0.1e9,
            alone_ns: 0.0,
            estimate_ns: 0.0,
            unplaced_ns: 0.0,
            error_ns: 0.0,
            duration_ns: 1e9,
        };
        let short = Cell { name: String::new(), outcomes: vec![short; 2] };
        assert!(short.is_rare());
        assert_eq!(short.moved(), None);
    }
}
