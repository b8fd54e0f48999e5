//! Tests by ranks. They assume no distribution, so one run that the machine disturbed does not decide.
//!
//! Both count exactly in how many ways the ranks could have fallen, ties included; of hundreds of differences the ways are so
//! many that their sum is as good as normally distributed. For the method see any textbook of nonparametric statistics, such
//! as Hollander and Wolfe, sections 3.1 to 3.3 and 4.1.

use super::median;
use super::power::{TEST, two_tails};

/// The highest probability of being wrong that a 95 % interval allows on each side.
const ONE_SIDE: f64 = 0.025;
/// From this many differences on, sums of signed ranks are taken to be normally distributed.
const MANY: usize = 200;

/// What Wilcoxon's signed-rank test says about differences.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SignedRank {
    /// The difference: the median of the means of all pairs of differences (Hodges and Lehmann).
    pub(crate) estimate: f64,
    /// The 95 % interval; none of fewer than six differences.
    pub(crate) interval: Option<(f64, f64)>,
    /// The probability of differences at least as one-sided if there is none, both sides counted.
    pub(crate) p: f64,
}

/// Wilcoxon's signed-rank test; `None` of nothing.
pub(crate) fn signed_rank(differences: &[f64]) -> Option<SignedRank> {
    let mut means = Vec::new();
    for (i, a) in differences.iter().enumerate() {
        means.extend(differences[i..].iter().map(|b| (a + b) / 2.0));
    }
    means.sort_by(f64::total_cmp);
    let estimate = median(&means)?;
    // How many of the means may be left out at each end.
    let ranks: Vec<usize> = (1..=differences.len()).collect();
    let outside = if ranks.len() < MANY { outside(&ranks) } else { outside_of_many(&ranks) };
    let interval = outside.checked_sub(1).map(|index| (means[index], means[means.len() - 1 - index]));
    Some(SignedRank { estimate, interval, p: signed_rank_p(differences) })
}

fn signed_rank_p(differences: &[f64]) -> f64 {
    let changes: Vec<f64> = differences.iter().copied().filter(|difference| *difference != 0.0).collect();
    let ranks = double_ranks(&changes.iter().map(|change| change.abs()).collect::<Vec<_>>());
    let positive = changes.iter().zip(&ranks).filter(|(change, _)| **change > 0.0).map(|(_, rank)| rank).sum();
    if ranks.len() < MANY {
        two_sided(&ways_to_choose_any(&ranks), positive)
    } else {
        two_sided_of_many(&ranks, positive)
    }
}

/// The Mann-Whitney U test: how probable it is that two samples of one distribution differ like this, both sides counted.
/// 1 if there is nothing to compare.
pub(crate) fn mann_whitney(a: &[f64], b: &[f64]) -> f64 {
    let ranks = double_ranks(&[a, b].concat());
    two_sided(&ways_to_choose(&ranks, a.len()), ranks[..a.len()].iter().sum())
}

/// Twice the rank of each value among all, so that the ranks of ties are whole numbers too.
fn double_ranks(values: &[f64]) -> Vec<usize> {
    let rank = |value: &f64| {
        let below = values.iter().filter(|other| *other < value).count();
        let equal = values.iter().filter(|other| *other == value).count();
        2 * below + equal + 1
    };
    values.iter().map(rank).collect()
}

/// How many of the lowest sums of some of `ranks` are as improbable as a 95 % interval leaves out on one side.
fn outside(ranks: &[usize]) -> usize {
    let probabilities = cumulative(&ways_to_choose_any(ranks));
    probabilities.iter().take_while(|probability| **probability <= ONE_SIDE).count()
}

fn outside_of_many(ranks: &[usize]) -> usize {
    let (mean, deviation) = sum_of_any(ranks);
    (mean - TEST * deviation).round() as usize
}

fn two_sided_of_many(double_ranks: &[usize], sum: usize) -> f64 {
    let (mean, deviation) = sum_of_any(double_ranks);
    // Sums of whole ranks are one apart, so those of double ranks two: half a step counts on this side.
    two_tails(((sum as f64 - mean).abs() - 1.0).max(0.0) / deviation)
}

/// Mean and standard deviation of the sum of those of `ranks` that a fair coin chooses.
fn sum_of_any(ranks: &[usize]) -> (f64, f64) {
    let (sum, squares) =
        ranks.iter().map(|rank| *rank as f64).fold((0.0, 0.0), |(s, q), rank| (s + rank, q + rank * rank));
    (sum / 2.0, squares.sqrt() / 2.0)
}

/// For each sum, in how many ways some of `ranks` have that sum.
fn ways_to_choose_any(ranks: &[usize]) -> Vec<f64> {
    let mut ways = vec![0.0; ranks.iter().sum::<usize>() + 1];
    ways[0] = 1.0;
    for &rank in ranks {
        for sum in (rank..ways.len()).rev() {
            ways[sum] += ways[sum - rank];
        }
    }
    ways
}

/// For each sum, in how many ways `count` of `ranks` have that sum.
fn ways_to_choose(ranks: &[usize], count: usize) -> Vec<f64> {
    let mut ways = vec![vec![0.0; ranks.iter().sum::<usize>() + 1]; count + 1];
    ways[0][0] = 1.0;
    for &rank in ranks {
        for chosen in (1..=count).rev() {
            for sum in rank..ways[0].len() {
                ways[chosen][sum] += ways[chosen - 1][sum - rank];
            }
        }
    }
    ways.swap_remove(count)
}

/// The probability of each sum or a lower one.
fn cumulative(ways: &[f64]) -> Vec<f64> {
    let all: f64 = ways.iter().sum();
    let up_to = |sum: &mut f64, ways: &f64| {
        *sum += ways;
        Some(*sum / all)
    };
    ways.iter().scan(0.0, up_to).collect()
}

fn two_sided(ways: &[f64], sum: usize) -> f64 {
    let all: f64 = ways.iter().sum();
    let low: f64 = ways[..=sum].iter().sum();
    let high: f64 = ways[sum..].iter().sum();
    (2.0 * low.min(high) / all).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separated_samples() {
        // One of the 20 ways to divide six values is this one, another its mirror image.
        assert_eq!(mann_whitney(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0]), 0.1);
        assert_eq!(mann_whitney(&[4.0, 5.0, 6.0], &[1.0, 2.0, 3.0]), 0.1);
        assert_eq!(mann_whitney(&[1.0, 2.0, 3.0, 4.0, 5.0], &[6.0, 7.0, 8.0, 9.0, 10.0]), 2.0 / 252.0);
    }

    #[test]
    fn mixed_samples() {
        // U = 2 of at most 9; 4 of the 20 ways have at most that.
        assert_eq!(mann_whitney(&[1.0, 2.0, 5.0], &[3.0, 4.0, 6.0]), 0.4);
        assert_eq!(mann_whitney(&[1.0, 2.0], &[1.0, 2.0]), 1.0);
        assert_eq!(mann_whitney(&[], &[]), 1.0);
        assert_eq!(mann_whitney(&[1.0], &[]), 1.0);
    }

    #[test]
    fn ties_share_their_ranks() {
        assert_eq!(double_ranks(&[1.0, 1.0, 2.0, 5.0]), [3, 3, 6, 8]);
        // Ranks 1.5, 1.5, 3.5 have the sum 6.5; of the 20 ways only the two with one or the other 3.5 have it.
        assert_eq!(mann_whitney(&[1.0, 1.0, 2.0], &[2.0, 3.0, 3.0]), 0.2);
    }

    #[test]
    fn signed_ranks_of_one_to_ten() {
        let tested = signed_rank(&(1..=10).map(f64::from).collect::<Vec<_>>()).unwrap();
        assert_eq!(tested.estimate, 5.5);
        // The ninth of the 55 means from each end: the known critical value for ten.
        assert_eq!(tested.interval, Some((3.0, 8.0)));
        assert_eq!(tested.p, 2.0 / 1024.0);
    }

    #[test]
    fn six_differences_are_the_fewest_for_an_interval() {
        assert_eq!(signed_rank(&[1.0, 2.0, 3.0, 4.0, 5.0]).unwrap().interval, None);
        let tested = signed_rank(&[6.0, -1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        assert_eq!(tested.interval, Some((-1.0, 6.0)));
        // The rank sum of the negative one is 1: two of 64 ways are at least as extreme on that side.
        assert_eq!(tested.p, 4.0 / 64.0);
        assert_eq!(signed_rank(&[]), None);
    }

    #[test]
    fn many_differences_are_judged_as_few_are() {
        let ranks: Vec<usize> = (1..MANY).collect();
        let (exact, normal) = (outside(&ranks), outside_of_many(&ranks));
        assert!(exact.abs_diff(normal) * 1000 < exact, "{exact} {normal}");
        let double: Vec<usize> = ranks.iter().map(|rank| 2 * rank).collect();
        let ways = ways_to_choose_any(&double);
        for sum in [19_900, 21_000, 16_000, 24_500] {
            let (exact, normal) = (two_sided(&ways, sum), two_sided_of_many(&double, sum));
            assert!((exact - normal).abs() < 1e-3, "{sum}: {exact} {normal}");
        }
        let differences: Vec<f64> = (0..300).map(|i| f64::from(i * 7919 % 1009) - 440.0).collect();
        let tested = signed_rank(&differences).unwrap();
        let (low, high) = tested.interval.unwrap();
        assert!(0.0 < low && low < tested.estimate && tested.estimate < high && tested.p < 0.05, "{tested:?}");
    }

    #[test]
    fn no_difference_is_no_evidence() {
        assert_eq!(signed_rank(&[0.0, 0.0, 0.0]).unwrap(), SignedRank { estimate: 0.0, interval: None, p: 1.0 });
        assert_eq!(signed_rank(&[1.0, -1.0, 2.0, -2.0]).unwrap().p, 1.0);
    }
}
