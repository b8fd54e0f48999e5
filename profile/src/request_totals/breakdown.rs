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
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StackTime {
    /// Where.
    pub stack: StackId,
    /// Doing what.
    pub phase: Phase,
    /// How much, and how sure that is.
    pub time: PhaseTime,
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

/// A place, and what was done there.
pub(super) type Doing = (StackId, Phase);

/// One goroutine in one request.
#[derive(Clone, Debug, Default)]
pub(super) struct Stay {
    pub(super) observations: u64,
    time_ns: u64,
    parts: Vec<(Doing, Part)>,
}

/// What a goroutine did at one place.
#[derive(Clone, Copy, Debug, Default)]
struct Part {
    time_ns: u64,
    /// In square microseconds, what comes of not having read every goroutine at every tick.
    choice_us2: u64,
}

impl Part {
    fn add(&mut self, other: Part) {
        self.time_ns = self.time_ns.saturating_add(other.time_ns);
        self.choice_us2 = self.choice_us2.saturating_add(other.choice_us2);
    }
}

impl Stay {
    pub(super) fn add(&mut self, sample: &Sample, doing: Doing) {
        self.observations = self.observations.saturating_add(sample.count);
        self.time_ns = self.time_ns.saturating_add(sample.time_ns);
        self.parts.push((doing, Part { time_ns: sample.time_ns, choice_us2: sample.variance_us2 }));
    }

    /// Its time by phase, in nanoseconds.
    pub(super) fn by_phase(&self) -> [u64; Phase::COUNT] {
        self.phases().map(|part| part.time_ns)
    }

    fn phases(&self) -> [Part; Phase::COUNT] {
        let mut sums = [Part::default(); Phase::COUNT];
        for ((_, phase), part) in &self.parts {
            sums.get_mut(phase.index()).into_iter().for_each(|sum| sum.add(*part));
        }
        sums
    }

    /// Its time by place, each place once.
    fn places(&mut self) -> impl Iterator<Item = (Doing, Part)> {
        self.parts.sort_unstable_by_key(|(doing, _)| *doing);
        self.parts.chunk_by(|a, b| a.0 == b.0).filter_map(|same| {
            let mut sum = Part::default();
            same.iter().for_each(|(_, part)| sum.add(*part));
            same.first().map(|(doing, _)| (*doing, sum))
        })
    }

    /// How many ticks fall into a stay is chance. The time that it is credited with has a variance of a sixth of a squared
    /// tick, and of a whole one where it was seen but once, because others like it were not seen at all. In square
    /// nanoseconds; nothing for one that was seen at all of `ticks`, which was there throughout.
    fn ends_ns2(&self, ticks: u64) -> f64 {
        let tick = self.time_ns as f64 / self.observations.max(1) as f64;
        let ends = match self.observations {
            count if count.saturating_add(1) >= ticks => 0.0,
            0 | 1 => 1.0,
            2 => 0.5,
            _ => 1.0 / 6.0,
        };
        tick * tick * ends
    }
}

/// A part of the time of a breakdown that is being made: all that was spent in a phase, or at a place.
#[derive(Clone, Debug, Default)]
struct Group {
    time_ns: u64,
    /// In square nanoseconds: the n ticks at which a goroutine was seen in a request are draws of what it did there, as in
    /// [`crate::Profile::class_errors`].
    draws_ns2: f64,
    /// What of [`Stay::ends_ns2`] is in the group, as much of each as its share of the stay.
    ends_ns2: f64,
    /// What comes of not having read every goroutine at every tick, in square nanoseconds.
    choice_ns2: f64,
    by_replicate: ByReplicate,
}

impl Group {
    fn add(&mut self, stay_ns: u64, observations: u64, ends_ns2: f64, part: Part) {
        self.time_ns = self.time_ns.saturating_add(part.time_ns);
        self.choice_ns2 += part.choice_us2 as f64 * 1e6;
        if stay_ns > 0 {
            let total = stay_ns as f64;
            let own = part.time_ns as f64 / total;
            self.draws_ns2 += total * total * own * (1.0 - own) / observations.max(1) as f64;
            self.ends_ns2 += ends_ns2 * own;
        }
    }

    /// How much it is of all time, and how sure that is. By `not_seen_ns` it may be more than was seen.
    fn finish(&self, all: &Group, observations: u64, duration_ns: &ByReplicate, not_seen_ns: f64) -> PhaseTime {
        let share = self.time_ns as f64 / all.time_ns.max(1) as f64;
        let (inside, outside) = ((1.0 - share).powi(2), share.powi(2));
        // What a stay is credited with too much or too little is in the group, or outside.
        let of_ends = self.ends_ns2 * inside + (all.ends_ns2 - self.ends_ns2).max(0.0) * outside;
        let independent = self.draws_ns2 + of_ends + self.of_choice(all, share);
        let of_chance = independent.max(of_replicates(&self.by_replicate, &all.by_replicate, share, duration_ns));
        let variance = of_chance + not_seen_ns * not_seen_ns;
        let draws = draws(share, variance / (all.time_ns.max(1) as f64).powi(2), observations);
        let (low, high) = interval(share, draws);
        PhaseTime { time_ns: self.time_ns, share, low, high }
    }

    /// The variance of (time in the group − `share` × all time), in square nanoseconds, by not having read every goroutine at
    /// every tick.
    ///
    /// A goroutine that is read and found to have gone on from the group to something else takes from the group what it gives
    /// to the other: their errors are each other's opposites, and what is wrong of the share is the sum of both. One that is
    /// found to have ended or begun a request concerns one of them only. Which of the two it was is not known here, so the
    /// worse is assumed.
    fn of_choice(&self, all: &Group, share: f64) -> f64 {
        let outside = (all.choice_ns2 - self.choice_ns2).max(0.0);
        (self.choice_ns2.sqrt() * (1.0 - share) + outside.sqrt() * share).powi(2)
    }
}

/// A breakdown that is being made.
#[derive(Clone, Debug)]
pub(super) struct Sums {
    ticks: u64,
    goroutines: u64,
    observations: u64,
    all: Group,
    phases: [Group; Phase::COUNT],
    places: HashMap<Doing, Group, RandomState>,
}

impl Sums {
    /// Nothing yet, in a recording of so many ticks.
    pub(super) fn new(ticks: u64) -> Sums {
        let phases = std::array::from_fn(|_| Group::default());
        Sums { ticks, goroutines: 0, observations: 0, all: Group::default(), phases, places: HashMap::default() }
    }

    pub(super) fn add_stay(&mut self, mut stay: Stay) {
        let Stay { observations, time_ns, .. } = stay;
        let ends_ns2 = stay.ends_ns2(self.ticks);
        self.goroutines = self.goroutines.saturating_add(1);
        self.observations = self.observations.saturating_add(observations);
        for (phase, part) in self.phases.iter_mut().zip(stay.phases()) {
            phase.add(time_ns, observations, ends_ns2, part);
            self.all.choice_ns2 += part.choice_us2 as f64 * 1e6;
        }
        for (doing, part) in stay.places() {
            self.places.entry(doing).or_default().add(time_ns, observations, ends_ns2, part);
        }
        self.all.time_ns = self.all.time_ns.saturating_add(time_ns);
        self.all.ends_ns2 += ends_ns2;
    }

    pub(super) fn add_replicates(&mut self, doing: Doing, time_ns: &ByReplicate) {
        let of_phase = self.phases.get_mut(doing.1.index()).into_iter();
        let groups = of_phase.chain(self.places.get_mut(&doing)).chain([&mut self.all]);
        groups.for_each(|group| replicates::add(&mut group.by_replicate, time_ns));
    }

    /// The sum of all that was added. Replicates have in `duration_ns` what their ticks stand for; the recording took `own_cpu`
    /// of one CPU.
    pub(super) fn finish(self, duration_ns: &ByReplicate, own_cpu: f64) -> Breakdown {
        let Sums { goroutines, observations, all, phases, places, .. } = self;
        // See `queueing.rs`.
        let queued_ns = phases.get(Phase::Runnable.index()).map_or(0, |group| group.time_ns) as f64;
        let not_seen_ns = |phase: Phase, group: &Group| {
            let own_ns = if phase == Phase::Runnable { group.time_ns as f64 } else { 0.0 };
            own_cpu * (own_ns - queued_ns * group.time_ns as f64 / all.time_ns.max(1) as f64)
        };
        let mut sum = Breakdown { goroutines, observations, time_ns: all.time_ns, ..Breakdown::default() };
        if all.time_ns > 0 {
            for ((phase, group), time) in Phase::ALL.into_iter().zip(&phases).zip(&mut sum.phases) {
                *time = group.finish(&all, observations, duration_ns, not_seen_ns(phase, group));
            }
        }
        let places = places.into_iter().map(|((stack, phase), group)| StackTime {
            stack,
            phase,
            time: group.finish(&all, observations, duration_ns, not_seen_ns(phase, &group)),
        });
        sum.stacks = places.collect();
        sum.stacks.sort_unstable_by_key(|place| (std::cmp::Reverse(place.time.time_ns), place.stack, place.phase));
        sum
    }
}

/// The variance of (time in a group − `share` × all time), in square nanoseconds, by how far replicates of the ticks differ:
/// requests that do the same at the same moment, for example wait for one lock, are not independent.
fn of_replicates(group: &ByReplicate, all: &ByReplicate, share: f64, duration_ns: &ByReplicate) -> f64 {
    let off: ByReplicate = std::array::from_fn(|replicate| {
        let of = |times: &ByReplicate| times.get(replicate).copied().unwrap_or(0) as f64;
        (of(group) - share * of(all)) as i64
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

    /// A stay with a place of its own for each phase.
    fn stay(observations: u64, by_phase: &[(Phase, u64)]) -> Stay {
        let part = |&(phase, time_ns)| ((place(phase), phase), Part { time_ns, choice_us2: 0 });
        let time_ns = by_phase.iter().map(|(_, time_ns)| time_ns).sum();
        Stay { observations, time_ns, parts: by_phase.iter().map(part).collect() }
    }

    fn place(phase: Phase) -> StackId {
        StackId(phase.index() as u32)
    }

    fn sums(stays: &[Stay], ticks: u64) -> Sums {
        let mut sums = Sums::new(ticks);
        stays.iter().for_each(|stay| sums.add_stay(stay.clone()));
        sums
    }

    /// The sum. Where each phase has one place, the place has the time and the error of the phase.
    fn sum(stays: &[Stay], ticks: u64) -> Breakdown {
        let sum = sums(stays, ticks).finish(&[0; REPLICATES], 0.0);
        for at in &sum.stacks {
            assert_eq!((at.stack, at.time), (place(at.phase), sum.phase(at.phase)));
        }
        sum
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
        unsure.parts[0].1.choice_us2 = 100 * 100;
        let sum = sum(&[unsure, stay(50, &[(Phase::Sleep, 500_000)])], 50);
        // 100 µs of 1 ms, half of which is left when all grows too.
        assert_near(ends(&sum, Phase::Lock), interval(0.5, 0.25 / (0.05 * 0.05)));
        assert_eq!(ends(&sum, Phase::Lock), ends(&sum, Phase::Sleep));
    }

    #[test]
    fn requests_in_step_are_less_sure_than_independent_ones() {
        // Of 1600 ticks each replicate has 100; the first two saw all requests in the other's phase, the rest half of them.
        let mut sums = sums(&[stay(1600, &[(Phase::Lock, 800), (Phase::Sleep, 800)])], 1600);
        let part = |first, second| {
            std::array::from_fn(|index| match index {
                0 => first,
                1 => second,
                _ => 50,
            })
        };
        sums.add_replicates((place(Phase::Lock), Phase::Lock), &part(100, 0));
        sums.add_replicates((place(Phase::Sleep), Phase::Sleep), &part(0, 100));
        let breakdown = sums.finish(&[100; REPLICATES], 0.0);
        // 50 ns off in two of 16: of 1600 ns, with Student's factor of 15 degrees.
        let variance = 2.0 * 50.0 * 50.0 * 16.0 / 15.0 * (2.1314f64 / 1.96).powi(2) / (1600.0 * 1600.0);
        assert_near(ends(&breakdown, Phase::Lock), interval(0.5, 0.25 / variance));
        assert_near(ends(&breakdown, Phase::Sleep), interval(0.5, 0.25 / variance));
        assert_eq!(breakdown.stacks.iter().map(|at| at.time).collect::<Vec<_>>(), [breakdown.phase(Phase::Lock); 2]);
    }

    #[test]
    fn one_place_is_less_sure_than_the_phase_that_it_is_part_of() {
        // A goroutine that always waits for a lock, half the time at each of two places.
        let mut one = stay(100, &[(Phase::Lock, 500), (Phase::Lock, 300), (Phase::Lock, 200)]);
        one.parts[1].0.0 = StackId(9);
        one.parts[2].0.0 = StackId(9);
        let sum = sums(&[one], 100).finish(&[0; REPLICATES], 0.0);
        assert_eq!(sum.phase(Phase::Lock).share, 1.0);
        let places: Vec<_> = sum.stacks.iter().map(|at| (at.stack, at.time.time_ns, at.time.share)).collect();
        assert_eq!(places, [(place(Phase::Lock), 500, 0.5), (StackId(9), 500, 0.5)]);
        assert_near((sum.stacks[1].time.low, sum.stacks[1].time.high), interval(0.5, 100.0));
    }

    #[test]
    fn who_is_queued_may_have_been_for_longer() {
        let stays = [stay(50, &[(Phase::Runnable, 200_000)]), stay(50, &[(Phase::Lock, 800_000)])];
        let of = |own_cpu| sums(&stays, 50).finish(&[0; REPLICATES], own_cpu);
        assert_eq!(ends(&of(0.0), Phase::Runnable), (0.2, 0.2));
        // A tenth of 200 µs, of which four fifths are left when all grows too: 16 of 1000 µs.
        assert_near(ends(&of(0.1), Phase::Runnable), interval(0.2, 0.16 / (0.016 * 0.016)));
        assert_near(ends(&of(0.1), Phase::Lock), interval(0.8, 0.16 / (0.016 * 0.016)));
    }

    #[test]
    fn nothing_has_no_shares() {
        assert_eq!(sum(&[], 10), Breakdown::default());
        assert_eq!(sum(&[Stay::default()], 10).phase(Phase::Lock), PhaseTime::default());
    }
}
