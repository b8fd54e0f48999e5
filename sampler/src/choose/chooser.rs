//! Which goroutines to read at a tick, and how likely each was to be chosen.
//!
//! Certain to be read: all, if there are few enough; else those that run according to the scheduler's own lists, those that
//! are queued there or moved lately (hot) if these are few enough, and some of those whose stacks have not been read yet. If
//! the queued and the hot are too many, each of them is sampled on its own. All others, the cold ones, are sampled in blocks of
//! neighbours in memory, which are cheap to read together. Where the budget is not enough for [`ENOUGH`] reads at each tick,
//! the tick is sampled as well: most are then passed over. The probabilities depend on what was seen at earlier ticks and on
//! the scheduler's lists only, never on what is found by reading: that is what keeps the estimate unbiased
//! (docs/estimator.md).

use fastrand::Rng;
use fgspy_goroutines::{Active, AllGs, Look, Wanted};

use crate::choose::{Budget, FEWEST};
use crate::observe::{Slot, Slots};

/// As many are read at a tick, or none: a reading has a price of its own, however few are read, and on busy CPUs, where all it
/// touches is in no cache, that is the price of ten more reads.
const ENOUGH: f64 = 64.0;
/// Cold goroutines that are drawn together.
const BLOCK: usize = 32;
/// Those that are queued or hot get at most this part of the reads.
const MOVING_SHARE: f64 = 0.6;
/// Of what is left, the part for stacks that have not been read yet, each of which costs about as much as so many reads.
const UNWALKED_SHARE: f64 = 0.5;
const UNWALKED_COST: f64 = 5.0;
/// One in so many stacks is read although the goroutine seems not to have moved: see [`fgspy_goroutines::Fingerprint`].
const DOUBT: u32 = 256;

/// How much to read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reading {
    /// Every goroutine at every tick.
    Everything,
    /// As many as fit into this share of one core (0.01 is 1 %).
    Budget {
        /// In parts of one core.
        max_cpu: f64,
    },
    /// Every goroutine that moved lately, and any other with this probability at each tick.
    Share {
        /// From above 0 to 1.
        probability: f64,
    },
}

/// The odds of one read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Odds {
    /// How likely it was to be chosen if any were to be at this tick, above 0; 1 for what was certain then.
    pub(crate) probability: f64,
    /// Those drawn by the same lot have the same number.
    pub(crate) lot: u32,
    /// How likely it was that any were to be chosen at this tick, above 0.
    pub(crate) of_tick: f64,
}

pub(crate) const CERTAIN: Odds = Odds { probability: 1.0, lot: 0, of_tick: 1.0 };

impl Odds {
    /// How likely it was to be chosen in all.
    pub(crate) fn whole(self) -> f64 {
        self.probability * self.of_tick
    }

    /// The same for all that are read because something is read at this tick.
    fn at(of_tick: f64) -> Odds {
        Odds { of_tick, ..CERTAIN }
    }
}

/// What to read at a tick.
#[derive(Debug, Default)]
pub(crate) struct Choice {
    /// In order of address.
    pub(crate) wanted: Vec<Wanted>,
    /// As long as `wanted`.
    pub(crate) odds: Vec<Odds>,
    picked: Vec<(u64, u32, Look, Odds)>,
    lots: u32,
    /// This tick was sampled, and chosen.
    pub(crate) is_drawn: bool,
}

/// Chooses.
pub(crate) struct Chooser {
    reading: Reading,
    pub(crate) budget: Option<Budget>,
    rng: Rng,
}

impl Chooser {
    pub(crate) fn new(reading: Reading, rng: Rng) -> Chooser {
        let budget = match reading {
            Reading::Budget { max_cpu } => Some(Budget::new(max_cpu)),
            Reading::Everything | Reading::Share { .. } => None,
        };
        Chooser { reading, budget, rng }
    }

    /// Chooses what to read at tick number `tick` (from 1 on). `active` are the numbers of those on the scheduler's lists;
    /// those from `first_new` on are new. Says whether these are too many to read their stacks at once: then they are
    /// left to [`Slots::unwalked`], and their g's are to be looked at now.
    pub(crate) fn choose(
        &mut self,
        choice: &mut Choice,
        slots: &mut Slots,
        all: &AllGs,
        (tick, period_ns): (u32, f64),
        active: &Active<u32>,
        first_new: usize,
    ) -> bool {
        slots.cool(tick);
        choice.clear();
        let affordable = self.budget.as_ref().map_or(f64::INFINITY, |budget| budget.reads(period_ns));
        let enough = ENOUGH.min(slots.all.len() as f64);
        let of_tick = (affordable / enough).min(1.0);
        let reads = affordable.max(enough);
        let is_passed_over = of_tick < 1.0 && self.rng.f64() >= of_tick;
        choice.is_drawn = of_tick < 1.0 && !is_passed_over;
        if !is_passed_over && slots.all.len() as f64 <= reads && !matches!(self.reading, Reading::Share { .. }) {
            slots.unwalked.clear();
            for &index in all.runs().flatten() {
                if let Some(slot) = slots.all.get(index as usize) {
                    let odds = if (index as usize) < first_new { Odds::at(of_tick) } else { CERTAIN };
                    choice.wanted.push(Wanted { index, look: self.look(slot) });
                    choice.odds.push(odds);
                }
            }
            return false;
        }
        let mut picker = Picker { choice, slots: &mut slots.all, all, tick, of_tick };
        let new = first_new..picker.slots.len();
        let too_many = new.len() as f64 * UNWALKED_COST > reads;
        if too_many {
            picker.slots.iter_mut().skip(first_new).for_each(|slot| slot.chosen = tick);
        } else {
            new.for_each(|index| picker.pick(index as u32, CERTAIN, |_| Look::Stack));
        }
        if is_passed_over {
            choice.sort();
            return too_many;
        }
        for &index in &active.running {
            picker.pick(index, Odds::at(of_tick), |slot| self.look(slot));
        }
        let left = (reads - picker.choice.picked.len() as f64).max(0.0);
        let is_cold = |&&index: &&u32| picker.slots.get(index as usize).is_some_and(|slot| slot.hot_until == 0);
        let moving = (slots.hot.len() + active.queued.iter().filter(is_cold).count()) as f64;
        let for_moving = (left * MOVING_SHARE).max(FEWEST).min(moving);
        let left = (left - for_moving).max(0.0);
        let walks = if slots.unwalked.is_empty() { 0.0 } else { left * UNWALKED_SHARE };
        for _ in 0..(walks / UNWALKED_COST + self.rng.f64()) as usize {
            // In any order: those that were read are to stand for those that are not read to the end.
            while !slots.unwalked.is_empty() {
                let index = slots.unwalked.swap_remove(self.rng.usize(..slots.unwalked.len()));
                if picker.slots.get(index as usize).is_some_and(|slot| !slot.walked) {
                    picker.pick(index, Odds::at(of_tick), |_| Look::Stack);
                    break;
                }
            }
        }
        for indices in [&active.queued, &slots.hot] {
            self.draw_each(&mut picker, indices, for_moving / moving);
        }
        let cold = (picker.slots.len() as f64 - moving).max(1.0);
        let odds = match self.reading {
            Reading::Share { probability } => probability,
            _ => (left - walks).max(FEWEST) / cold,
        };
        self.draw_blocks(&mut picker, odds.min(1.0));
        choice.sort();
        too_many
    }

    /// Draws each of these by itself, unless it has been picked or has had its lot.
    fn draw_each(&mut self, picker: &mut Picker<'_>, indices: &[u32], probability: f64) {
        for &index in indices {
            if probability >= 1.0 {
                picker.pick(index, Odds::at(picker.of_tick), |slot| self.look(slot));
            } else if self.rng.f64() < probability {
                let odds = picker.lot(probability);
                picker.pick(index, odds, |slot| self.look(slot));
            } else {
                picker.pass(index);
            }
        }
    }

    /// Draws blocks of cold goroutines, each with the same odds and independently of the others.
    fn draw_blocks(&mut self, picker: &mut Picker<'_>, probability: f64) {
        let all = picker.all;
        let mut next = self.skip(probability);
        for run in all.runs() {
            let blocks = run.len().div_ceil(BLOCK);
            while next < blocks {
                let odds = picker.lot(probability);
                for &index in run.iter().skip(next * BLOCK).take(BLOCK) {
                    // The hot ones have been sampled on their own.
                    if picker.slots.get(index as usize).is_some_and(|slot| slot.hot_until == 0) {
                        picker.pick(index, odds, |slot| self.look(slot));
                    }
                }
                next = next.saturating_add(1).saturating_add(self.skip(probability));
            }
            next -= blocks;
        }
    }

    /// How many fail before the next that succeeds, if each does so with this probability.
    fn skip(&mut self, probability: f64) -> usize {
        if probability >= 1.0 {
            return 0;
        }
        let luck = 1.0 - self.rng.f64();
        (luck.ln() / (-probability).ln_1p()) as usize
    }

    /// How closely to look at a goroutine.
    fn look(&mut self, slot: &Slot) -> Look {
        if slot.walked && self.rng.u32(..DOUBT) != 0 { Look::Since(slot.fingerprint) } else { Look::Stack }
    }
}

struct Picker<'a> {
    choice: &'a mut Choice,
    slots: &'a mut [Slot],
    all: &'a AllGs,
    tick: u32,
    of_tick: f64,
}

impl Picker<'_> {
    /// Picks a g, unless it has been picked, or passed over, already.
    fn pick(&mut self, index: u32, odds: Odds, look: impl FnOnce(&Slot) -> Look) {
        let (Some(slot), Some(address)) = (self.slots.get_mut(index as usize), self.all.address(index)) else { return };
        if slot.chosen != self.tick {
            slot.chosen = self.tick;
            self.choice.picked.push((address, index, look(slot), odds));
        }
    }

    /// A lot of its own.
    fn lot(&mut self, probability: f64) -> Odds {
        self.choice.lots += 1;
        Odds { probability, lot: self.choice.lots, of_tick: self.of_tick }
    }

    /// Leaves a g out at this tick.
    fn pass(&mut self, index: u32) {
        self.slots.get_mut(index as usize).into_iter().for_each(|slot| slot.chosen = self.tick);
    }
}

impl Choice {
    fn clear(&mut self) {
        self.wanted.clear();
        self.odds.clear();
        self.picked.clear();
        self.lots = 0;
    }

    fn sort(&mut self) {
        self.picked.sort_unstable_by_key(|&(address, ..)| address);
        for &(_, index, look, odds) in &self.picked {
            self.wanted.push(Wanted { index, look });
            self.odds.push(odds);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// A chooser that has no budget to speak of.
    fn poor() -> Chooser {
        Chooser::new(Reading::Budget { max_cpu: 1e-9 }, Rng::with_seed(7))
    }

    fn goroutines(count: u32) -> (AllGs, Slots) {
        let all = (1..=u64::from(count)).map(|number| number * 0x200).collect();
        (all, Slots { all: vec![Slot { walked: true, ..Slot::default() }; count as usize], ..Slots::default() })
    }

    /// The sum of 1/p over many ticks without a budget to speak of is the number of ticks, for whomever it is asked: that is
    /// what makes the estimate unbiased. Who runs is read wherever anybody is, who is new at any rate.
    #[test]
    fn the_odds_are_what_they_are_said_to_be() {
        const TICKS: u32 = 500_000;
        const COUNT: u32 = 1000;
        let (all, mut slots) = goroutines(COUNT);
        // The last of the queued are hot too, and one of them runs by the time the threads are looked at.
        let active = Active { running: vec![250, 300], queued: (100..300).collect() };
        (250..350).for_each(|index| slots.heat(index, TICKS));
        let mut chooser = poor();
        let mut choice = Choice::default();
        let (mut reads, mut worth) = (0, vec![0.0; COUNT as usize]);
        for tick in 1..=TICKS {
            assert!(!chooser.choose(&mut choice, &mut slots, &all, (tick, 1e7), &active, COUNT as usize - 1));
            reads += choice.wanted.len();
            let picked: BTreeMap<u32, Odds> =
                choice.wanted.iter().map(|wanted| wanted.index).zip(choice.odds.iter().copied()).collect();
            assert_eq!(picked.len(), choice.wanted.len());
            assert_eq!(picked[&(COUNT - 1)], CERTAIN);
            if choice.is_drawn {
                assert_eq!([250, 300].map(|index| picked[&index]), [Odds::at(FEWEST / ENOUGH); 2]);
            } else {
                assert_eq!(picked.len(), 1);
            }
            picked.into_iter().for_each(|(index, odds)| worth[index as usize] += 1.0 / odds.whole());
        }
        // As many as there are to be, and the new one where there are none.
        let mean = reads as f64 / f64::from(TICKS);
        assert!((mean - (FEWEST + 1.0 - FEWEST / ENOUGH)).abs() < 0.1, "{mean} reads");
        for group in [0..100, 100..250, 251..300, 301..350, 350..999] {
            let len = group.len() as f64;
            let mean = worth[group.clone()].iter().sum::<f64>() / len / f64::from(TICKS);
            assert!((mean - 1.0).abs() < 0.05, "{group:?} count {mean} times");
        }
    }

    #[test]
    fn few_are_read_all_or_none() {
        let (all, mut slots) = goroutines(20);
        let (mut chooser, mut choice) = (poor(), Choice::default());
        let mut worth = 0.0;
        for tick in 1..=100_000 {
            chooser.choose(&mut choice, &mut slots, &all, (tick, 1e7), &Active::default(), 20);
            assert!([0, 20].contains(&choice.wanted.len()));
            assert!(choice.odds.iter().all(|odds| *odds == Odds::at(FEWEST / 20.0)));
            worth += choice.odds.first().map_or(0.0, |odds| 1.0 / odds.whole());
        }
        assert!((worth / 100_000.0 - 1.0f64).abs() < 0.05, "{worth}");
    }
}
