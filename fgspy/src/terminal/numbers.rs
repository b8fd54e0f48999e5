//! Numbers about requests, with no more digits than are known.

use fgspy_export::summary;
use fgspy_profile::{Breakdown, Known, Length, Phase, PhaseTime, RouteBreakdown};

/// Ticks longer than this leave no digit behind the milliseconds.
const COARSE_NS: u64 = 5_000_000;
/// Of how many requests one may be out of the ordinary for their mean to count as sure.
const FEW: u64 = 20;

/// How long a request took: `350 ms`, or `≥350 ms`, or `≤20 ms`.
pub(crate) fn length(length: &Length, tick_ns: u64) -> String {
    format!("{}{}", sign(length.known), rounded(length.ns, tick_ns))
}

/// The sign for what is known of a duration.
const fn sign(known: Known) -> &'static str {
    match known {
        Known::Near => "",
        Known::AtLeast => "≥",
        Known::AtMost => "≤",
    }
}

/// The word for it, for scripts.
pub(crate) const fn known(known: Known) -> &'static str {
    match known {
        Known::Near => "near",
        Known::AtLeast => "at least",
        Known::AtMost => "at most",
    }
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
    /// Many were seen at one look only. There were others like them that were not seen, all shorter than a tick.
    AtMost,
    /// Of many it is only known that they took no less than something.
    AtLeast,
    /// Both, or an estimate.
    About,
}

impl Mean {
    /// What is known of the mean of these.
    pub(crate) fn of(route: &RouteBreakdown) -> Mean {
        let many = |count: u64| count.saturating_mul(FEW) > route.seen;
        match (many(route.seen_once), many(route.at_least)) {
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

/// The mean time of the requests of a route that were seen, in nanoseconds. It is not more than that of the longest: what was
/// seen once counts for a tick in the mean, and may have taken less.
pub(crate) fn mean_ns(route: &RouteBreakdown) -> u64 {
    let mean = route.duration_ns / route.seen.max(1);
    if route.longest.known == Known::AtLeast { mean } else { mean.min(route.longest.ns) }
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
pub(crate) fn error(part: PhaseTime) -> String {
    let points = 100.0 * (part.high - part.share).max(part.share - part.low);
    if points < 0.5 { String::new() } else { format!(" ±{points:.0}") }
}

#[cfg(test)]
mod tests {
    use fgspy_profile::Bounds;

    use super::*;

    const TICK: u64 = 10_101_010;

    #[test]
    fn times_have_the_digits_that_are_known() {
        assert_eq!(rounded(612_345_678, TICK), "612 ms");
        assert_eq!(rounded(2_012_345_678, TICK), "2.01 s");
        assert_eq!(rounded(200_000_000_000, TICK), "3.33 min");
        assert_eq!(rounded(12_345_678, 1_000_000), "12.3 ms");
    }

    #[test]
    fn a_duration_has_a_sign_if_it_is_a_bound() {
        let said = |at_least_ns, at_most_ns| length(&Length::new(Bounds { at_least_ns, at_most_ns }, TICK), TICK);
        assert_eq!(said(602_000_000, Some(622_000_000)), "612 ms");
        assert_eq!(said(602_000_000, Some(802_000_000)), "≥602 ms");
        assert_eq!(said(2_012_000_000, None), "≥2.01 s");
        assert_eq!((said(0, Some(20_000_000)), said(0, Some(201_000_000))), ("≤20 ms".into(), "≤201 ms".into()));
        assert_eq!(said(0, None), "≥0 ms");
    }

    #[test]
    fn shares_that_would_be_nothing_are() {
        assert_eq!((share(0.0049), share(0.005), share(1.0)), (None, Some("0%".into()), Some("100%".into())));
        let shares = shares_of(&[1, 0, 700, 0, 299, 0, 0, 0]);
        assert_eq!(main_phases(&shares), [(Phase::Network, 0.7), (Phase::Channel, 0.299)]);
        assert_eq!(shares_of(&[0; Phase::COUNT]), [0.0; Phase::COUNT]);
    }
}
