//! Which goroutines to read at a tick, and how likely each was to be chosen.
//!
//! Certain to be read: all, if there are few enough; else those that moved lately (hot), those that run or are queued
//! according to the scheduler's own lists, and the next few of those whose stacks have not been read yet. All others, the
//! cold ones, are drawn by lot, in blocks of neighbours in memory, which are cheap to read together. The odds depend on
//! what was seen at earlier ticks only, never on what the goroutine is doing now: that is what keeps the estimate
//! unbiased (ARCHITECTURE.md, "The estimator").

use fastrand::Rng;
use fgspy_goroutines::{AllGs, Look, Wanted};

use crate::budget::{Budget, FEWEST};
use crate::slots::{Slot, Slots};

/// Cold goroutines that are drawn together.
const BLOCK: usize = 32;
/// Hot goroutines get at most this part of the reads.
const HOT_SHARE: f64 = 0.6;
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
    /// How likely it was to be chosen, above 0; 1 for what is certain.
    pub(crate) probability: f64,
    /// Those drawn by the same lot have the same number.
    pub(crate) lot: u32,
}

pub(crate) const CERTAIN: Odds = Odds { probability: 1.0, lot: 0 };

/// What to read at a tick.
#[derive(Debug, Default)]
pub(crate) struct Choice {
    /// In order of address.
    pub(crate) wanted: Vec<Wanted>,
    /// As long as `wanted`.
    pub(crate) odds: Vec<Odds>,
    picked: Vec<(u64, u32, Look, Odds)>,
    lots: u32,
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

    /// Chooses what to read at tick number `tick` (from 1 on). `active` are the numbers of those that run or are queued;
    /// those from `first_new` on are new. Says whether these are too many to read their stacks at once: then they are
    /// left to [`Slots::unwalked`], and their g's are to be looked at now.
    pub(crate) fn choose(
        &mut self,
        choice: &mut Choice,
        slots: &mut Slots,
        all: &AllGs,
        (tick, period_ns): (u32, f64),
        active: &[u32],
        first_new: usize,
    ) -> bool {
        slots.cool(tick);
        choice.clear();
        let reads = self.budget.as_ref().map_or(f64::INFINITY, |budget| budget.reads(period_ns));
        if slots.all.len() as f64 <= reads && !matches!(self.reading, Reading::Share { .. }) {
            slots.unwalked.clear();
            for &index in all.runs().flatten() {
                if let Some(slot) = slots.all.get(index as usize) {
                    choice.wanted.push(Wanted { index, look: self.look(slot) });
                    choice.odds.push(CERTAIN);
                }
            }
            return false;
        }
        let mut picker = Picker { choice, slots: &mut slots.all, all, tick };
        let new = first_new..picker.slots.len();
        let too_many = new.len() as f64 * UNWALKED_COST > reads;
        if too_many {
            picker.slots.iter_mut().skip(first_new).for_each(|slot| slot.chosen = tick);
        } else {
            new.for_each(|index| picker.pick(index as u32, CERTAIN, |_| Look::Stack));
        }
        for &index in active {
            picker.pick(index, CERTAIN, |slot| self.look(slot));
        }
        let hot = slots.hot.len() as f64;
        let odds = (reads * HOT_SHARE / hot.max(1.0)).min(1.0);
        for &index in &slots.hot {
            if odds >= 1.0 || self.rng.f64() < odds {
                let odds = Odds { probability: odds, lot: picker.choice.next_lot() };
                picker.pick(index, odds, |slot| self.look(slot));
            }
        }
        let left = (reads - picker.choice.picked.len() as f64).max(0.0);
        let walks = if slots.unwalked.is_empty() { 0.0 } else { left * UNWALKED_SHARE };
        for _ in 0..(walks / UNWALKED_COST + self.rng.f64()) as usize {
            // In any order: those that were read are to stand for those that are not read to the end.
            while !slots.unwalked.is_empty() {
                let index = slots.unwalked.swap_remove(self.rng.usize(..slots.unwalked.len()));
                if picker.slots.get(index as usize).is_some_and(|slot| !slot.walked) {
                    picker.pick(index, CERTAIN, |_| Look::Stack);
                    break;
                }
            }
        }
        let cold = (picker.slots.len() as f64 - hot).max(1.0);
        let odds = match self.reading {
            Reading::Share { probability } => probability,
            _ => (left - walks).max(FEWEST) / cold,
        };
        self.draw(&mut picker, odds.min(1.0));
        choice.sort();
        too_many
    }

    /// Draws blocks of cold goroutines, each with the same odds and independently of the others.
    fn draw(&mut self, picker: &mut Picker<'_>, probability: f64) {
        let all = picker.all;
        let mut next = self.skip(probability);
        for run in all.runs() {
            let blocks = run.len().div_ceil(BLOCK);
            while next < blocks {
                let odds = Odds { probability, lot: picker.choice.next_lot() };
                for &index in run.iter().skip(next * BLOCK).take(BLOCK) {
                    // The hot ones have had their own draw.
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
}

impl Picker<'_> {
    /// Picks a g, unless it has been picked already.
    fn pick(&mut self, index: u32, odds: Odds, look: impl FnOnce(&Slot) -> Look) {
        let (Some(slot), Some(address)) = (self.slots.get_mut(index as usize), self.all.address(index)) else { return };
        if slot.chosen != self.tick {
            slot.chosen = self.tick;
            self.choice.picked.push((address, index, look(slot), odds));
        }
    }
}

impl Choice {
    fn clear(&mut self) {
        self.wanted.clear();
        self.odds.clear();
        self.picked.clear();
        self.lots = 0;
    }

    fn next_lot(&mut self) -> u32 {
        self.lots += 1;
        self.lots
    }

    fn sort(&mut self) {
        self.picked.sort_unstable_by_key(|&(address, ..)| address);
        for &(_, index, look, odds) in &self.picked {
            self.wanted.push(Wanted { index, look });
            self.odds.push(odds);
        }
    }
}
