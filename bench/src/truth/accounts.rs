//! The truth about a span of time, from what a program said of its accounts at some moments.

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// All accounts of a program at a moment. Only differences between two of them mean anything.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Totals {
    /// The moment, in nanoseconds of Unix time.
    pub(super) unix_ns: i64,
    /// Goroutine time in each account, in nanoseconds.
    pub(super) spent_ns: Vec<i64>,
}

/// Goroutine time in each account from one moment to another, both in nanoseconds of Unix time.
///
/// `totals` are in order of time. Between two of them time is taken to be spent evenly, so the nearer they are to the ends
/// of the span the better: an error there is at most a part of what was spent between them.
///
/// # Errors
/// When the span is not within the totals.
pub(super) fn spent(totals: &[Totals], from_ns: i64, to_ns: i64) -> Result<Vec<f64>> {
    let (from, to) = (at(totals, from_ns)?, at(totals, to_ns)?);
    ensure!(from.len() == to.len(), "the number of accounts has changed");
    Ok(from.iter().zip(&to).map(|(from, to)| to - from).collect())
}

/// Time in each account at a moment, in nanoseconds since the first of the totals.
fn at(totals: &[Totals], unix_ns: i64) -> Result<Vec<f64>> {
    let first = totals.first().context("there are no totals")?;
    let mut pairs = totals.iter().zip(totals.iter().skip(1));
    let (before, after) = pairs
        .find(|(before, after)| (before.unix_ns..=after.unix_ns).contains(&unix_ns) && before.unix_ns < after.unix_ns)
        .with_context(|| format!("nothing is known of {} ns after the first totals", unix_ns - first.unix_ns))?;
    let part = (unix_ns - before.unix_ns) as f64 / (after.unix_ns - before.unix_ns) as f64;
    let accounts = first.spent_ns.iter().zip(before.spent_ns.iter().zip(&after.spent_ns));
    Ok(accounts.map(|(first, (before, after))| (before - first) as f64 + part * (after - before) as f64).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A Unix time of 2026: too large for a nanosecond to count in a float.
    const NOW: i64 = 1_795_431_176_905_927_749;

    fn totals(at: i64, spent_ns: &[i64]) -> Totals {
        Totals { unix_ns: NOW + at, spent_ns: spent_ns.to_vec() }
    }

    #[test]
    fn time_is_interpolated_at_both_ends() {
        let totals = [
            totals(0, &[5, 1_000_000]),
            totals(10, &[25, 1_000_000]),
            totals(100, &[115, 1_000_090]),
            totals(120, &[115, 1_000_130]),
        ];
        assert_eq!(spent(&totals, NOW, NOW + 120).unwrap(), [110.0, 130.0]);
        assert_eq!(spent(&totals, NOW + 5, NOW + 110).unwrap(), [100.0, 110.0]);
        assert_eq!(spent(&totals, NOW + 10, NOW + 100).unwrap(), [90.0, 90.0]);
    }

    #[test]
    fn what_was_not_asked_about_is_not_known() {
        let two = [totals(0, &[0]), totals(10, &[10])];
        assert_eq!(
            spent(&two, NOW + 5, NOW + 11).unwrap_err().to_string(),
            "nothing is known of 11 ns after the first totals"
        );
        assert!(spent(&two, NOW - 1, NOW + 5).is_err());
        assert!(spent(&two[..1], NOW, NOW).is_err());
        assert!(spent(&[], NOW, NOW).is_err());
    }
}
