//! Numbers and names in reports about requests, with no more digits than are known.

use fgspy_profile::{Breakdown, Known, Length, Phase, PhaseTime, Target, units};

use super::escape::clean;

/// How long a request took: `350 ms`, or `≥350 ms`, or `≤20 ms`.
pub(crate) fn length(length: &Length, tick_ns: u64) -> String {
    format!("{}{}", sign(length.known), units::to_tick(length.ns, tick_ns))
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

/// `1 route`, `3 routes`.
pub(crate) fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// The process that a report is about: `checkout (pid 4711, go1.27.3)`.
pub(crate) fn process(target: &Target) -> String {
    let program = target.executable.rsplit('/').next().unwrap_or_default();
    format!("{} (pid {}, {})", clean(program), target.pid, clean(&target.go_version))
}

#[cfg(test)]
mod tests {
    use fgspy_profile::Bounds;

    use super::*;

    const TICK: u64 = 10_101_010;

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
    fn nouns_have_a_plural() {
        assert_eq!([0, 1, 2].map(|n| count(n, "thread")), ["0 threads", "1 thread", "2 threads"]);
    }

    #[test]
    fn shares_that_would_be_nothing_are() {
        assert_eq!((share(0.0049), share(0.005), share(1.0)), (None, Some("0%".into()), Some("100%".into())));
        let shares = shares_of(&[1, 0, 700, 0, 299, 0, 0, 0]);
        assert_eq!(main_phases(&shares), [(Phase::Network, 0.7), (Phase::Channel, 0.299)]);
        assert_eq!(shares_of(&[0; Phase::COUNT]), [0.0; Phase::COUNT]);
    }
}
