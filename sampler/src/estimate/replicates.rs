//! Which replicate each tick belongs to: see [`fgspy_profile::replicates`].

use std::collections::VecDeque;

use fastrand::Rng;
use fgspy_profile::replicates::{self, ByReplicate, REPLICATES};

/// Blocks that are remembered: eleven minutes at 99 Hz.
const REMEMBERED: usize = 4096;

/// Deals ticks out, one of each block of [`REPLICATES`] to every replicate, in random order: what recurs in step with the
/// ticks must not always meet the same replicate.
#[derive(Debug)]
pub(crate) struct Replicates {
    rng: Rng,
    /// The number of the first block that is remembered.
    first: usize,
    blocks: VecDeque<Block>,
    /// Ticks so far.
    ticks: usize,
}

/// As many ticks as there are replicates.
#[derive(Debug)]
struct Block {
    /// What the ticks before it stand for.
    before: ByReplicate,
    /// Which tick of it belongs to which replicate.
    order: [usize; REPLICATES],
    /// What each stands for, in nanoseconds; 0 for those to come.
    intervals_ns: [i64; REPLICATES],
}

impl Replicates {
    pub(crate) fn new(rng: Rng) -> Replicates {
        Replicates { rng, first: 0, blocks: VecDeque::new(), ticks: 0 }
    }

    /// Takes the next tick, which stands for that many nanoseconds, and says which replicate it belongs to.
    pub(crate) fn tick(&mut self, interval_ns: u64) -> usize {
        let place = self.ticks % REPLICATES;
        if place == 0 {
            let before = self.until(self.ticks as u32);
            let mut order = std::array::from_fn(|index| index);
            self.rng.shuffle(&mut order);
            if self.blocks.len() == REMEMBERED {
                self.blocks.pop_front();
                self.first += 1;
            }
            self.blocks.push_back(Block { before, order, intervals_ns: [0; REPLICATES] });
        }
        self.ticks += 1;
        let Some(block) = self.blocks.back_mut() else { return 0 };
        if let Some(place) = block.intervals_ns.get_mut(place) {
            *place = interval_ns as i64;
        }
        block.order.get(place).copied().unwrap_or(0)
    }

    /// Adds to `time_ns` the time from tick `since` to tick `until`.
    pub(crate) fn add(&self, time_ns: &mut ByReplicate, since: u32, until: u32) {
        if until.saturating_sub(since) as usize > REPLICATES {
            return replicates::add(time_ns, &self.between(since, until));
        }
        // Most are short: tick by tick is less work.
        for tick in since..until {
            if let Some((replicate, interval_ns)) = self.at(tick as usize)
                && let Some(time) = time_ns.get_mut(replicate)
            {
                *time = time.saturating_add(interval_ns);
            }
        }
    }

    /// The time from tick `since` to tick `until`.
    pub(crate) fn between(&self, since: u32, until: u32) -> ByReplicate {
        let (mut time_ns, since) = (self.until(until), self.until(since));
        time_ns.iter_mut().zip(since).for_each(|(time, since)| *time = time.saturating_sub(since));
        time_ns
    }

    /// What the ticks before number `tick` (from 0 on) stand for.
    ///
    /// Of a time that is no longer remembered: as much of what the ticks of each replicate stood for then as is its part.
    pub(crate) fn until(&self, tick: u32) -> ByReplicate {
        let tick = tick as usize;
        let Some(oldest) = self.blocks.front() else { return [0; REPLICATES] };
        if tick < self.first * REPLICATES {
            let part = |time: i64| i128::from(time) * tick as i128 / (self.first * REPLICATES) as i128;
            return oldest.before.map(|time| part(time) as i64);
        }
        // The end of a block that is full may be asked for before there is another.
        let index = (tick / REPLICATES - self.first).min(self.blocks.len() - 1);
        let Some(block) = self.blocks.get(index) else { return [0; REPLICATES] };
        let mut time_ns = block.before;
        let within = tick - (self.first + index) * REPLICATES;
        for (&replicate, interval_ns) in block.order.iter().zip(block.intervals_ns).take(within) {
            if let Some(time) = time_ns.get_mut(replicate) {
                *time = time.saturating_add(interval_ns);
            }
        }
        time_ns
    }

    /// The replicate of tick number `tick` (from 0 on), and what it stands for.
    fn at(&self, tick: usize) -> Option<(usize, i64)> {
        let block = self.blocks.get((tick / REPLICATES).checked_sub(self.first)?)?;
        let place = tick % REPLICATES;
        Some((*block.order.get(place)?, *block.intervals_ns.get(place)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many ticks, the first of 1 ns, each of 1 ns more than the one before; and the replicate of each.
    fn ticks(count: usize) -> (Replicates, Vec<usize>) {
        let mut replicates = Replicates::new(Rng::with_seed(1));
        let of_ticks = (1..=count as u64).map(|interval_ns| replicates.tick(interval_ns)).collect();
        (replicates, of_ticks)
    }

    #[test]
    fn each_replicate_has_one_tick_of_every_block_in_random_order() {
        let (_, of_ticks) = ticks(100 * REPLICATES);
        let mut firsts = [0; REPLICATES];
        for block in of_ticks.chunks(REPLICATES) {
            firsts[block[0]] += 1;
            let mut sorted = block.to_vec();
            sorted.sort_unstable();
            assert!(sorted.iter().copied().eq(0..REPLICATES));
        }
        assert!(firsts.iter().all(|&count| (1..20).contains(&count)), "{firsts:?}");
    }

    #[test]
    fn every_time_is_made_up_of_its_ticks() {
        let (replicates, of_ticks) = ticks(40);
        for since in 0..=40 {
            for until in since..=40 {
                let mut expected = [0; REPLICATES];
                (since..until).for_each(|tick| expected[of_ticks[tick]] += tick as i64 + 1);
                let mut found = [0; REPLICATES];
                replicates.add(&mut found, since as u32, until as u32);
                assert_eq!(found, expected, "{since}..{until}");
            }
        }
    }

    #[test]
    fn what_is_forgotten_is_shared_out_as_all_was() {
        let mut replicates = Replicates::new(Rng::with_seed(1));
        let count = (REMEMBERED + 10) * REPLICATES;
        (0..count).for_each(|_| _ = replicates.tick(1000));
        assert_eq!(replicates.blocks.len(), REMEMBERED);
        let mut time_ns = [0; REPLICATES];
        replicates.add(&mut time_ns, 5 * REPLICATES as u32, count as u32);
        assert_eq!(time_ns, [(REMEMBERED as i64 + 5) * 1000; REPLICATES]);
        // Within what is remembered, to the tick.
        let mut last = [0; REPLICATES];
        replicates.add(&mut last, count as u32 - 3, count as u32);
        assert_eq!((last.iter().sum::<i64>(), last.iter().filter(|time| **time == 1000).count()), (3000, 3));
    }
}
