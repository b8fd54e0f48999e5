//! Times by replicate, which tell how sure they are.
//!
//! Ticks are dealt out to a fixed number of replicates, in random order, the same number to each. Every replicate alone is a
//! recording of the same time, only with fewer ticks: how far they differ says how far other ticks might have led to
//! something else. That supposes nothing about goroutines. Where many of them do the same at the same moment, a tick sees
//! all or none of them, and the replicates show it. (P. C. Mahalanobis, Recent experiments in statistical sampling in the
//! Indian Statistical Institute, 1946; K. M. Wolter, Introduction to Variance Estimation, chapter 2, the random group
//! method.)

use foldhash::fast::RandomState;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::quantiles::{Z_95, student};
use crate::{Sample, SampleKey, Weight};

/// How many replicates there are. Their variance has one degree of freedom less: it is itself sure to 18 %.
pub const REPLICATES: usize = 16;

/// A time in nanoseconds by the replicate whose ticks it was seen at. Estimates of what was not read may be below 0.
pub type ByReplicate = [i64; REPLICATES];

/// The time of all goroutines that agree in everything but their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// In what they agree; the goroutine is 0.
    pub key: SampleKey,
    /// Their time.
    pub time_ns: ByReplicate,
}

/// All time of a profile by replicate; nothing where that is not known (format version 2 and before).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replicates {
    /// For how long a goroutine was seen that was always there: the intervals that the ticks of each replicate stand for.
    pub duration_ns: ByReplicate,
    /// The time of the goroutines. Those that stood still throughout, and only those, may be missing.
    pub parts: Vec<Part>,
}

impl Part {
    /// A sample of no time that has everything else in common with the goroutines.
    pub fn sample(&self) -> Sample {
        self.key.sample(Weight::default())
    }
}

impl Replicates {
    /// The variance, in square nanoseconds, of the sum of the times that `belongs` picks; more where there are few
    /// replicates, so that 1.96 of its roots to each side are a 95 % interval.
    pub(crate) fn variance(&self, belongs: impl Fn(&Sample) -> bool) -> f64 {
        let mut sum = [0; REPLICATES];
        for part in self.parts.iter().filter(|part| belongs(&part.sample())) {
            add(&mut sum, &part.time_ns);
        }
        variance(&sum, &self.duration_ns)
    }
}

/// Adds a time to another.
pub fn add(sum: &mut ByReplicate, time_ns: &ByReplicate) {
    sum.iter_mut().zip(time_ns).for_each(|(sum, time)| *sum = sum.saturating_add(*time));
}

/// The variance of the sum of `time_ns`. Replicates have in `duration_ns` what they would have if the goroutines had always
/// been there.
pub(crate) fn variance(time_ns: &ByReplicate, duration_ns: &ByReplicate) -> f64 {
    let sum = |times: &ByReplicate| times.iter().map(|time| i128::from(*time)).sum::<i128>();
    let (total, duration) = (sum(time_ns), sum(duration_ns));
    let ticking = duration_ns.iter().filter(|duration| **duration > 0).count() as f64;
    // A recording may say anything.
    if ticking < 2.0 || duration <= 0 {
        return 0.0;
    }
    // As whole numbers, so that what never changes has no error at all.
    let difference = |(time, own): (&i64, &i64)| {
        let found = i128::from(*time).saturating_mul(duration);
        let expected = i128::from(*own).saturating_mul(total);
        found.saturating_sub(expected) as f64 / duration as f64
    };
    let squares: f64 = time_ns.iter().zip(duration_ns).map(difference).map(|difference| difference * difference).sum();
    let freedom = ticking - 1.0;
    squares * ticking / freedom * (student(Z_95, freedom) / Z_95).powi(2)
}

/// Times that are being added up.
pub(crate) type Parts = IndexMap<SampleKey, ByReplicate, RandomState>;

#[cfg(test)]
mod tests {
    use super::*;

    /// What `time` gives for each replicate.
    fn by_replicate(time: impl Fn(usize) -> i64) -> ByReplicate {
        std::array::from_fn(time)
    }

    #[test]
    fn what_all_replicates_agree_on_is_sure() {
        let uneven = by_replicate(|index| 1_000_003 * (index as i64 + 1));
        assert_eq!(variance(&uneven.map(|duration| 1_000_000 * duration), &uneven), 0.0);
        assert_eq!(variance(&[0; REPLICATES], &uneven), 0.0);
    }

    #[test]
    fn the_variance_is_that_of_a_sum_of_independent_draws() {
        // One replicate of 16 saw 160 ns, a second 0, the others 80: ± 80 twice.
        let mut times = [80; REPLICATES];
        (times[0], times[1]) = (160, 0);
        let expected = 2.0 * 80.0 * 80.0 * 16.0 / 15.0 * (2.1314f64 / 1.96).powi(2);
        assert!((variance(&times, &[1000; REPLICATES]) / expected - 1.0).abs() < 1e-3);
    }

    #[test]
    fn replicates_without_ticks_say_nothing() {
        let of_two = by_replicate(|index| if index < 2 { 10 } else { 0 });
        let seen = by_replicate(|index| if index == 0 { 10 } else { 0 });
        // ± 5 twice, times two; one degree of freedom.
        let expected = 50.0 * 2.0 * (student(Z_95, 1.0) / Z_95).powi(2);
        assert!((variance(&seen, &of_two) / expected - 1.0).abs() < 1e-9);
        assert_eq!(variance(&seen, &seen), 0.0);
    }

    #[test]
    fn nothing_overflows() {
        assert!(variance(&[i64::MIN; REPLICATES], &[i64::MAX; REPLICATES]).is_finite());
        let cancelled = by_replicate(|index| if index % 2 == 0 { 7 } else { -7 });
        assert_eq!(variance(&[1; REPLICATES], &cancelled), 0.0);
        let mut sum = [i64::MAX; REPLICATES];
        add(&mut sum, &[1; REPLICATES]);
        assert_eq!(sum, [i64::MAX; REPLICATES]);
    }
}
