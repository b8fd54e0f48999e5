//! Numbers about requests, with no more digits than are known.

use fgspy_export::summary;
use fgspy_profile::{Breakdown, Phase, RouteBreakdown};

/// Ticks longer than this leave no digit behind the milliseconds.
const COARSE_NS: u64 = 5_000_000;
/// Of how many requests one may be out of the ordinary for their mean to count as sure.
const FEW: u64 = 20;

/// How long something took that was seen at so many ticks.
pub(crate) fn length(ns: u64, observations: u64, tick_ns: u64) -> String {
    if observations <= 1 {
        return format!("<{}", rounded(tick_ns.saturating_mul(2), tick_ns));
    }
    rounded(ns, tick_ns)
}

/// A time that is known to a tick or so.
pub(crate) fn rounded(ns: u64, tick_ns: u64) -> String {
    match ns {
        100_000_000_000.. => summary::time(ns),
        1_000_000_000.. => format!("{:.2} s", ns as f64 / 1e9),
        _ if tick_ns > COARSE_NS => format!("{:.0} ms", ns as f64 / 1e6),
        _ => summary::time(ns),
    }
}

/// What is known of the mean time of a route's requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mean {
    /// The mean.
    Is,
    /// Many were seen at one tick only. There were others like them that were not seen, all shorter than a tick.
    AtMost,
    /// Many began before the recording, or went on after it.
    AtLeast,
    /// Both.
    About,
}

impl Mean {
    /// What is known of the mean of these.
    pub(crate) fn of(route: &RouteBreakdown) -> Mean {
        let many = |count: u64| count.saturating_mul(FEW) > route.seen;
        match (many(route.seen_once), many(route.seen - route.whole)) {
            (false, false) => Mean::Is,
            (true, false) => Mean::AtMost,
            (false, true) => Mean::AtLeast,
            (true, true) => Mean::About,
        }
    }

    /// The sign for it.
    pub(crate) const fn sign(self) -> &'static str {
        match self {
            Mean::Is => "",
            Mean::AtMost => "≤",
            Mean::AtLeast => "≥",
            Mean::About => "~",
        }
    }

    /// The word for it, for scripts.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Mean::Is => "exact",
            Mean::AtMost => "at most",
            Mean::AtLeast => "at least",
            Mean::About => "about",
        }
    }
}

/// The mean time of the requests of a route that were seen, in nanoseconds.
pub(crate) fn mean_ns(route: &RouteBreakdown) -> u64 {
    route.duration_ns / route.seen.max(1)
}

/// A share without digits behind the point; nothing for one that would be 0.
pub(crate) fn share(share: f64) -> Option<String> {
    (share >= 0.005).then(|| format!("{:.0}%", share * 100.0))
}

/// The phases of a breakdown that are worth a word, those with the most time first.
pub(crate) fn main_phases(shares: &[f64; Phase::COUNT]) -> Vec<(Phase, f64)> {
    let mut phases: Vec<(Phase, f64)> =
        Phase::ALL.into_iter().zip(*shares).filter(|(_, part)| *part >= 0.005).collect();
    phases.sort_by(|a, b| b.1.total_cmp(&a.1));
    phases
}

/// The shares of a breakdown, in the order of [`Phase::ALL`].
pub(crate) fn shares(breakdown: &Breakdown) -> [f64; Phase::COUNT] {
    Phase::ALL.map(|phase| breakdown.phase(phase).share)
}

/// The shares of these times.
pub(crate) fn shares_of(times: &[u64; Phase::COUNT]) -> [f64; Phase::COUNT] {
    let total: f64 = times.iter().map(|time| *time as f64).sum();
    times.map(|time| if total > 0.0 { time as f64 / total } else { 0.0 })
}

/// How far a share may be off, in whole points of a percent: ` ±3`; nothing for less than a half.
pub(crate) fn error(breakdown: &Breakdown, phase: Phase) -> String {
    let part = breakdown.phase(phase);
    let points = 100.0 * (part.high - part.share).max(part.share - part.low);
    if points < 0.5 { String::new() } else { format!(" ±{points:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: u64 = 10_101_010;

    #[test]
    fn times_have_the_digits_that_are_known() {
        assert_eq!(length(10_101_010, 1, TICK), "<20 ms");
        assert_eq!(length(612_345_678, 61, TICK), "612 ms");
        assert_eq!(length(2_012_345_678, 199, TICK), "2.01 s");
        assert_eq!(length(200_000_000_000, 19_800, TICK), "3.33 min");
        assert_eq!(length(1_000_000, 1, 1_000_000), "<2.00 ms");
        assert_eq!(length(12_345_678, 12, 1_000_000), "12.3 ms");
    }

    #[test]
    fn shares_that_would_be_nothing_are() {
        assert_eq!((share(0.0049), share(0.005), share(1.0)), (None, Some("0%".into()), Some("100%".into())));
        let shares = shares_of(&[1, 0, 700, 0, 299, 0, 0, 0]);
        assert_eq!(main_phases(&shares), [(Phase::Network, 0.7), (Phase::Channel, 0.299)]);
        assert_eq!(shares_of(&[0; Phase::COUNT]), [0.0; Phase::COUNT]);
    }
}
