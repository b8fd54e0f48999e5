//! What a time is made of, and how sure that is.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::Phase;
use crate::quantiles::Z_95;
use crate::replicates::{self, ByReplicate};
use crate::{Sample, StackId};

/// Time in one phase.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PhaseTime {
    /// In nanoseconds.
    pub time_ns: u64,
    /// The part that this is of all the time: 0 to 1.
    pub share: f64,
    /// Lower end of the 95 % interval of that part.
    pub low: f64,
    /// Upper end of the 95 % interval of that part.
    pub high: f64,
}

/// Time that was spent in one phase at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StackTime {
    /// Where.
    pub stack: StackId,
    /// Doing what.
    pub phase: Phase,
    /// In nanoseconds.
    pub time_ns: u64,
}

/// What the time of some goroutines, in requests of one kind, is made of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Breakdown {
    /// How many goroutines there were; one that served several requests counts for each.
    pub goroutines: u64,
    /// At how many ticks one was seen, added up.
    pub observations: u64,
    /// All their time, in nanoseconds.
    pub time_ns: u64,
    /// The same by phase, in the order of [`Phase::ALL`].
    pub phases: [PhaseTime; Phase::COUNT],
    /// The same by place, most time first.
    pub stacks: Vec<StackTime>,
}

impl Breakdown {
    /// The time in one phase.
    pub fn phase(&self, phase: Phase) -> PhaseTime {
        self.phases.get(phase.index()).copied().unwrap_or_default()
    }
}

/// One goroutine in one request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stay {
    pub(super) observations: u64,
    pub(super) time_ns: u64,
    pub(super) by_phase: [u64; Phase::COUNT],
    /// In square microseconds, what comes of not having read every goroutine at every tick.
    choice_us2: [u64; Phase::COUNT],
}

impl Stay {
    pub(super) fn add(&mut self, sample: &Sample, phase: Phase) {
        self.observations = self.observations.saturating_add(sample.count);
        self.time_ns = self.time_ns.saturating_add(sample.time_ns);
        for (sums, part) in [(&mut self.by_phase, sample.time_ns), (&mut self.choice_us2, sample.variance_us2)] {
            sums.get_mut(phase.index()).into_iter().for_each(|sum| *sum = sum.saturating_add(part));
        }
    }
}

/// A breakdown that is being made.
#[derive(Clone, Debug, Default)]
pub(super) struct Sums {
    stays: Vec<Stay>,
    stacks: HashMap<(StackId, Phase), u64, RandomState>,
    by_replicate: [ByReplicate; Phase::COUNT],
}

impl Sums {
    pub(super) fn add_stay(&mut self, stay: Stay) {
        self.stays.push(stay);
    }

    pub(super) fn add_place(&mut self, stack: StackId, phase: Phase, time_ns: u64) {
        let sum = self.stacks.entry((stack, phase)).or_default();
        *sum = sum.saturating_add(time_ns);
    }

    pub(super) fn add_replicates(&mut self, phase: Phase, time_ns: &ByReplicate) {
        self.by_replicate.get_mut(phase.index()).into_iter().for_each(|sum| replicates::add(sum, time_ns));
    }

    /// The sum of all that was added. A goroutine that was seen at all of `ticks` was there throughout. Replicates have in
    /// `duration_ns` what their ticks stand for.
    pub(super) fn finish(self, ticks: u64, duration_ns: &ByReplicate) -> Breakdown {
        let mut sum = Breakdown { goroutines: self.stays.len() as u64, ..Breakdown::default() };
        for stay in &self.stays {
            sum.observations = sum.observations.saturating_add(stay.observations);
            sum.time_ns = sum.time_ns.saturating_add(stay.time_ns);
            for (phase, time_ns) in sum.phases.iter_mut().zip(stay.by_phase) {
                phase.time_ns = phase.time_ns.saturating_add(time_ns);
            }
        }
        if sum.time_ns > 0 {
            for (index, phase) in sum.phases.iter_mut().enumerate() {
                phase.share = phase.time_ns as f64 / sum.time_ns as f64;
                let of_ticks: f64 = self.stays.iter().map(|stay| of_ticks(stay, index, phase.share, ticks)).sum();
                let independent = of_ticks + of_choice(&self.stays, index, phase.share);
                let variance = independent.max(of_replicates(&self.by_replicate, index, phase.share, duration_ns));
                let draws = draws(phase.share, variance / (sum.time_ns as f64).powi(2), sum.observations);
                (phase.low, phase.high) = interval(phase.share, draws);
            }
        }
        let stacks = self.stacks.into_iter();
        sum.stacks = stacks.map(|((stack, phase), time_ns)| StackTime { stack, phase, time_ns }).collect();
        sum.stacks.sort_unstable_by_key(|place| (std::cmp::Reverse(place.time_ns), place.stack, place.phase));
        sum
    }
}

/// What one stay adds to the variance of (time in a phase − `share` × all time), in square nanoseconds, by having been seen at
/// ticks only.
///
/// The n ticks at which a goroutine was seen in a request are draws of what it did there, as in
/// [`crate::Profile::class_errors`]. And how many ticks fall into a stay is chance: the time that it is credited with has
/// a variance of a sixth of a squared tick, and of a whole one where it was seen but once, because others like it were
/// not seen at all. What is more or less by that is in the phase or not.
fn of_ticks(stay: &Stay, phase: usize, share: f64, ticks: u64) -> f64 {
    let total = stay.time_ns as f64;
    if total <= 0.0 {
        return 0.0;
    }
    let part = |sums: &[u64; Phase::COUNT]| sums.get(phase).copied().unwrap_or(0) as f64;
    let observations = stay.observations.max(1) as f64;
    let (own, tick) = (part(&stay.by_phase) / total, total / observations);
    let ends = match stay.observations {
        count if count.saturating_add(1) >= ticks => 0.0,
        0 | 1 => 1.0,
        2 => 0.5,
        _ => 1.0 / 6.0,
    };
    let (inside, outside) = ((1.0 - share).powi(2), share.powi(2));
    total * total * own * (1.0 - own) / observations + tick * tick * ends * (own * inside + (1.0 - own) * outside)
}

/// The same for all stays, by not having read every goroutine at every tick.
///
/// A lot that finds a goroutine to have gone on from the phase to another one takes from the first what it gives to the second:
/// their errors are each other's opposites, and what is wrong of the share is the sum of both. A lot that finds a request
/// over, or begun, concerns one phase only. Which of the two it was is not known here, so the worse is assumed.
fn of_choice(stays: &[Stay], phase: usize, share: f64) -> f64 {
    let (mut inside, mut outside) = (0.0, 0.0);
    for (index, us2) in stays.iter().flat_map(|stay| stay.choice_us2.iter().enumerate()) {
        *(if index == phase { &mut inside } else { &mut outside }) += *us2 as f64 * 1e6;
    }
    (inside.sqrt() * (1.0 - share) + outside.sqrt() * share).powi(2)
}

/// The variance of (time in a phase − `share` × all time), in square nanoseconds, by how far replicates of the ticks differ:
/// requests that do the same at the same moment, for example wait for one lock, are not independent.
fn of_replicates(
    by_replicate: &[ByReplicate; Phase::COUNT],
    phase: usize,
    share: f64,
    duration_ns: &ByReplicate,
) -> f64 {
    let off: ByReplicate = std::array::from_fn(|replicate| {
        let of = |times: &ByReplicate| times.get(replicate).copied().unwrap_or(0) as f64;
        let all: f64 = by_replicate.iter().map(of).sum();
        (by_replicate.get(phase).map_or(0.0, of) - share * all) as i64
    });
    replicates::variance(&off, duration_ns)
}

/// How many independent draws give a share this variance. Where all was seen in one phase the variance says nothing, and
/// the number of observations tells how much else could have been missed.
fn draws(share: f64, variance: f64, observations: u64) -> f64 {
    if share <= 0.0 || share >= 1.0 {
        return observations.max(1) as f64;
    }
    if variance <= 0.0 { f64::INFINITY } else { share * (1.0 - share) / variance }
}

/// Wilson's 95 % interval of a share of `draws` draws: it stays within 0 and 1, and does not shrink to nothing where all
/// draws agree. (E. B. Wilson, Probable inference, the law of succession, and statistical inference, 1927.)
fn interval(share: f64, draws: f64) -> (f64, f64) {
    let square = Z_95 * Z_95;
    let centre = (share + square / (2.0 * draws)) / (1.0 + square / draws);
    let half = Z_95 / (1.0 + square / draws) * (share * (1.0 - share) / draws + square / (4.0 * draws * draws)).sqrt();
    ((centre - half).clamp(0.0, share), (centre + half).clamp(share, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replicates::REPLICATES;

    fn stay(observations: u64, by_phase: &[(Phase, u64)]) -> Stay {
        let mut stay = Stay { observations, ..Stay::default() };
        for &(phase, time_ns) in by_phase {
            stay.by_phase[phase.index()] = time_ns;
            stay.time_ns += time_ns;
        }
        stay
    }

    fn sum(stays: &[Stay], ticks: u64) -> Breakdown {
        Sums { stays: stays.to_vec(), ..Sums::default() }.finish(ticks, &[0; REPLICATES])
    }

    fn assert_near(found: (f64, f64), expected: (f64, f64)) {
        assert!((found.0 - expected.0).abs() < 5e-5 && (found.1 - expected.1).abs() < 5e-5, "{found:?}");
    }

    fn ends(sum: &Breakdown, phase: Phase) -> (f64, f64) {
        (sum.phase(phase).low, sum.phase(phase).high)
    }

    #[test]
    fn wilson_s_own_numbers() {
        // Known values, as in Newcombe 1998, table I: 81/263, 15/148, 0/20, 1/29.
        assert_near(interval(81.0 / 263.0, 263.0), (0.2553, 0.3662));
        assert_near(interval(15.0 / 148.0, 148.0), (0.0624, 0.1605));
        assert_near(interval(0.0, 20.0), (0.0, 0.1611));
        assert_near(interval(1.0 / 29.0, 29.0), (0.0061, 0.1718));
        assert_eq!(interval(0.25, f64::INFINITY), (0.25, 0.25));
    }

    #[test]
    fn stays_seen_once_are_draws() {
        let of = |phase| stay(1, &[(phase, 10)]);
        let mut stays = vec![of(Phase::Lock); 81];
        stays.extend(vec![of(Phase::Sleep); 182]);
        let sum = sum(&stays, 1000);
        assert_eq!((sum.goroutines, sum.observations, sum.time_ns), (263, 263, 2630));
        assert_eq!(sum.phase(Phase::Lock).time_ns, 810);
        assert_near(ends(&sum, Phase::Lock), (0.2553, 0.3662));
        // Of what was not seen, that much could have been missed.
        assert_near(ends(&sum, Phase::Network), (0.0, 3.8416 / (263.0 + 3.8416)));
    }

    #[test]
    fn long_stays_are_surer_than_as_many_draws() {
        // One goroutine throughout, one half each: p(1 − p)/n of itself and nothing else.
        let one = stay(100, &[(Phase::Lock, 500), (Phase::Sleep, 500)]);
        assert_near(ends(&sum(&[one], 100), Phase::Lock), interval(0.5, 100.0));
        // Each in one phase only: what is unsure is when they began and ended, 1/6 tick² in 50² for each.
        let two = [stay(50, &[(Phase::Lock, 500)]), stay(50, &[(Phase::Sleep, 500)])];
        assert_near(ends(&sum(&two, 1000), Phase::Lock), interval(0.5, 0.25 / (2.0 * 0.25 / 6.0 / 1e4)));
        // Were they there throughout, nothing is.
        assert_eq!(ends(&sum(&two, 50), Phase::Lock), (0.5, 0.5));
    }

    #[test]
    fn what_was_not_read_at_every_tick_says_so() {
        let mut unsure = stay(50, &[(Phase::Lock, 500_000)]);
        unsure.choice_us2[Phase::Lock.index()] = 100 * 100;
        let sum = sum(&[unsure, stay(50, &[(Phase::Sleep, 500_000)])], 50);
        // 100 µs of 1 ms, half of which is left when all grows too.
        assert_near(ends(&sum, Phase::Lock), interval(0.5, 0.25 / (0.05 * 0.05)));
        assert_eq!(ends(&sum, Phase::Lock), ends(&sum, Phase::Sleep));
    }

    #[test]
    fn requests_in_step_are_less_sure_than_independent_ones() {
        // Of 1600 ticks each replicate has 100; the first two saw all requests in the other's phase, the rest half of them.
        let mut sums = Sums { stays: vec![stay(1600, &[(Phase::Lock, 800), (Phase::Sleep, 800)])], ..Sums::default() };
        let part = |first, second| {
            std::array::from_fn(|index| match index {
                0 => first,
                1 => second,
                _ => 50,
            })
        };
        sums.add_replicates(Phase::Lock, &part(100, 0));
        sums.add_replicates(Phase::Sleep, &part(0, 100));
        let breakdown = sums.finish(1600, &[100; REPLICATES]);
        // 50 ns off in two of 16: of 1600 ns, with Student's factor of 15 degrees.
        let variance = 2.0 * 50.0 * 50.0 * 16.0 / 15.0 * (2.1314f64 / 1.96).powi(2) / (1600.0 * 1600.0);
        assert_near(ends(&breakdown, Phase::Lock), interval(0.5, 0.25 / variance));
        assert_near(ends(&breakdown, Phase::Sleep), interval(0.5, 0.25 / variance));
    }

    #[test]
    fn nothing_has_no_shares() {
        assert_eq!(sum(&[], 10), Breakdown::default());
        assert_eq!(sum(&[Stay::default()], 10).phase(Phase::Lock), PhaseTime::default());
    }
}
