//! Tests by ranks. They assume no distribution, so one run that the machine disturbed does not decide.
//!
//! Both count exactly in how many ways the ranks could have fallen, ties included. For the method see any textbook of
//! nonparametric statistics, such as Hollander and Wolfe, sections 3.1 to 3.3 and 4.1.

use super::median;

/// The highest probability of being wrong that a 95 % interval allows on each side.
const ONE_SIDE: f64 = 0.025;

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
    let probabilities = cumulative(&ways_to_choose_any(&ranks));
    let outside = probabilities.iter().take_while(|probability| **probability <= ONE_SIDE).count();
    let interval = outside.checked_sub(1).map(|index| (means[index], means[means.len() - 1 - index]));
    Some(SignedRank { estimate, interval, p: signed_rank_p(differences) })
}

fn signed_rank_p(differences: &[f64]) -> f64 {
    let changes: Vec<f64> = differences.iter().copied().filter(|difference| *difference != 0.0).collect();
    let ranks = double_ranks(&changes.iter().map(|change| change.abs()).collect::<Vec<_>>());
    let positive = changes.iter().zip(&ranks).filter(|(change, _)| **change > 0.0).map(|(_, rank)| rank).sum();
    two_sided(&ways_to_choose_any(&ranks), positive)
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
    fn no_difference_is_no_evidence() {
        assert_eq!(signed_rank(&[0.0, 0.0, 0.0]).unwrap(), SignedRank { estimate: 0.0, interval: None, p: 1.0 });
        assert_eq!(signed_rank(&[1.0, -1.0, 2.0, -2.0]).unwrap().p, 1.0);
    }
}
