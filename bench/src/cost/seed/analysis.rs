//! From runs to comparisons.

use std::collections::BTreeSet;

use super::{Data, Run};
use crate::cost::arms::Arm;
use crate::cost::statistics::{self, Comparison};

impl Data {
    /// The runs of an arm with so many goroutines parked, by round.
    pub(super) fn of(&self, arm: &str, parked: usize) -> Vec<&Run> {
        let mut runs: Vec<&Run> = self.runs.iter().filter(|run| run.arm == arm && run.parked == parked).collect();
        runs.sort_by_key(|run| run.round);
        runs
    }

    /// Of each round, the geometric means of the arm and its base over the benchmarks that both ran.
    pub(super) fn pairs(&self, arm: &Arm, parked: usize) -> Vec<(f64, f64)> {
        let (runs, bases) = (self.of(arm.id, parked), self.of(arm.base, parked));
        let both = runs.iter().filter_map(|run| Some((*run, *bases.iter().find(|base| base.round == run.round)?)));
        both.filter_map(|(run, base)| geometric_means(run, base)).collect()
    }

    /// How the arm compares with its base, over all benchmarks.
    pub(super) fn compare(&self, arm: &Arm, parked: usize) -> Option<Comparison> {
        statistics::compare(&self.pairs(arm, parked))
    }

    /// The names of the benchmarks of an arm.
    pub(super) fn benchmarks(&self, arm: &str) -> BTreeSet<&str> {
        let runs = self.runs.iter().filter(|run| run.arm == arm);
        runs.flat_map(|run| run.ns_per_op.keys().map(String::as_str)).collect()
    }

    /// All times of one benchmark, in nanoseconds.
    pub(super) fn times(&self, arm: &str, parked: usize, benchmark: &str) -> Vec<f64> {
        self.of(arm, parked).iter().filter_map(|run| run.ns_per_op.get(benchmark).copied()).collect()
    }
}

fn geometric_means(run: &Run, base: &Run) -> Option<(f64, f64)> {
    let both = run.ns_per_op.iter().filter_map(|(name, time)| Some((*time, *base.ns_per_op.get(name)?)));
    let (times, bases): (Vec<f64>, Vec<f64>) = both.unzip();
    Some((statistics::geometric_mean(&times)?, statistics::geometric_mean(&bases)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::arms::ARMS;

    fn run(round: usize, arm: &str, times: &[(&str, f64)]) -> Run {
        let ns_per_op = times.iter().map(|(name, time)| ((*name).to_owned(), *time)).collect();
        Run { round, parked: 10, arm: arm.to_owned(), seconds: 1.0, ns_per_op, ticks_per_s: None, fgspy: None }
    }

    #[test]
    fn rounds_are_paired_and_only_common_benchmarks_count() {
        let runs = vec![
            run(1, "none", &[("a", 4.0), ("b", 9.0)]),
            run(0, "none", &[("a", 1.0), ("b", 4.0), ("c", 1000.0)]),
            run(0, "fgspy", &[("a", 2.0), ("b", 8.0)]),
            run(2, "fgspy", &[("a", 1.0)]),
            run(1, "fgspy", &[("b", 18.0)]),
        ];
        let data = Data { go: Default::default(), benchtime_ms: 0, levels: vec![10], runs };
        let arm = ARMS.iter().find(|arm| arm.id == "fgspy").unwrap();
        let pairs = data.pairs(arm, 10);
        assert_eq!(pairs.len(), 2);
        assert!((pairs[0].0 - 4.0).abs() < 1e-12 && (pairs[0].1 - 2.0).abs() < 1e-12);
        assert!((pairs[1].0 - 18.0).abs() < 1e-12 && (pairs[1].1 - 9.0).abs() < 1e-12);
        assert!((data.compare(arm, 10).unwrap().ratio - 2.0).abs() < 1e-12);
        assert_eq!(data.pairs(arm, 1000), []);
        assert_eq!(data.benchmarks("fgspy").into_iter().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(data.times("none", 10, "a"), [1.0, 4.0]);
    }
}
