//! Where goroutines that are at work will be when they no longer are.

use std::collections::BTreeMap;

use fgspy_profile::State;

use super::{Now, Watch};
use crate::aggregate::{Cell, CellId};
use crate::choose::CERTAIN;
use crate::slots::Slot;

/// Where those that run or are queued waited last, by the number of their g. It has as many as the scheduler's lists.
///
/// Most goroutines that are found at work come from a wait and go back to the like: who is no longer on the scheduler's lists
/// is better taken to wait there than to be at work still. What it is taken to do is put right by lots, as ever; the nearer it
/// is to what it does, the surer are the sums.
#[derive(Debug, Default)]
pub(super) struct Rests(BTreeMap<u32, Rest>);

#[derive(Clone, Copy, Debug)]
struct Rest {
    goid: u64,
    cell: CellId,
    /// The last tick at which it was on the scheduler's lists.
    active: u32,
}

impl Rests {
    /// Bytes of memory that this takes, about.
    pub(super) fn bytes(&self) -> usize {
        self.0.len() * 2 * size_of::<(u32, Rest)>()
    }
}

impl Watch {
    /// Takes those that were at work, and are not among the `active` now, to wait where they did before. This comes before
    /// lots are drawn: they are to find out where it is wrong.
    pub(crate) fn rest(&mut self, active: &[u32], now: Now) {
        let Some(Rests(rests)) = self.rests.as_mut().filter(|rests| !rests.0.is_empty()) else { return };
        for index in active {
            rests.get_mut(index).into_iter().for_each(|rest| rest.active = now.tick);
        }
        for (index, rest) in rests.extract_if(.., |_, rest| rest.active != now.tick).collect::<Vec<_>>() {
            let known = self.slot(index);
            if known.goid == rest.goid && self.is_at_work_for_same(known, rest.cell) {
                let resting = Slot { fingerprint: Default::default(), cell: Some(rest.cell), walked: false, ..known };
                self.change(index, resting, now, CERTAIN);
            }
        }
    }

    /// Remembers where a goroutine waited that is now seen at work, or forgets it if it is seen at rest.
    pub(super) fn note_rest(&mut self, index: u32, known: Slot, seen: Slot, now: Now) {
        let Some(Rests(rests)) = &mut self.rests else { return };
        let state = |slot: Slot| slot.cell.and_then(|cell| self.aggregate.at(cell)).map(|cell| cell.state);
        if known.goid != seen.goid || !state(seen).is_some_and(is_at_work) {
            rests.remove(&index);
        } else if let (Some(State::Waiting), Some(cell)) = (state(known), known.cell) {
            rests.insert(index, Rest { goid: seen.goid, cell, active: now.tick });
        }
    }

    /// Whether it is at work for the request for which it waited.
    fn is_at_work_for_same(&self, known: Slot, rest: CellId) -> bool {
        let whose = |cell: Cell| (cell.serving, cell.labels);
        match (known.cell.and_then(|cell| self.aggregate.at(cell)), self.aggregate.at(rest)) {
            (Some(known), Some(rest)) => is_at_work(known.state) && whose(known) == whose(rest),
            _ => false,
        }
    }
}

fn is_at_work(state: State) -> bool {
    matches!(state, State::Running | State::RunningOffCpu | State::Runnable)
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;
    use fgspy_profile::{Idle, Serving};

    use super::*;
    use crate::aggregate::RawLabelsId;
    use crate::choose::Reading;
    use crate::record::Options;
    use crate::replicates::Replicates;

    const LOTS: Reading = Reading::Share { probability: 0.5 };
    const WAITING: (State, Serving) = (State::Waiting, Serving::Nothing);
    const RUNNING: (State, Serving) = (State::Running, Serving::Nothing);
    const QUEUED: (State, Serving) = (State::Runnable, Serving::Nothing);

    fn at(tick: u32) -> Now {
        let ns = |tick: u32| u64::from(tick) * 10;
        Now { tick, previous_ns: ns(tick - 1), now_ns: ns(tick), due_ns: ns(tick) }
    }

    /// A watch that saw g number 0 do this, at one tick after the other, from tick 1 on; the goroutine's number first.
    fn watch(reading: Reading, sights: &[(u64, (State, Serving))]) -> Watch {
        let replicates = Replicates::new(Rng::with_seed(1));
        let options = Options { reading, system: true, ..Options::default() };
        let mut watch = Watch::new(Default::default(), options, replicates);
        watch.slots.all.push(Slot::default());
        for (tick, &(goid, (state, serving))) in (1..).zip(sights) {
            watch.rest(&[0], at(tick));
            let labels = RawLabelsId::default();
            let cell = Cell { start_pc: 1, go_pc: 2, state, wait_reason: None, labels, serving, stack: None };
            let cell = Some(watch.aggregate.cell(cell));
            let seen = Slot { goid, cell, walked: true, ..watch.slot(0) };
            watch.change(0, seen, at(tick), CERTAIN);
        }
        watch
    }

    /// What g number 0 is taken to do if it is not on the scheduler's lists at the next tick.
    fn rests(reading: Reading, sights: &[(u64, (State, Serving))]) -> State {
        let mut watch = watch(reading, sights);
        watch.rest(&[7], at(sights.len() as u32 + 1));
        watch.aggregate.at(watch.slot(0).cell.unwrap()).unwrap().state
    }

    #[test]
    fn who_was_at_work_and_is_not_now_waits_where_it_did() {
        assert_eq!(rests(LOTS, &[(5, WAITING), (5, RUNNING)]), State::Waiting);
        assert_eq!(rests(LOTS, &[(5, WAITING), (5, QUEUED), (5, RUNNING), (5, RUNNING)]), State::Waiting);
        // Another goroutine's wait, or one for another, says nothing.
        assert_eq!(rests(LOTS, &[(5, WAITING), (6, RUNNING)]), State::Running);
        assert_eq!(rests(LOTS, &[(5, (State::Waiting, Serving::Idle(Idle::Worker))), (5, RUNNING)]), State::Running);
        assert_eq!(rests(LOTS, &[(5, RUNNING)]), State::Running);
        assert_eq!(rests(LOTS, &[(5, WAITING), (5, RUNNING), (5, (State::Syscall, Serving::Nothing))]), State::Syscall);
        // Where all are read nothing is guessed.
        assert_eq!(rests(Reading::Everything, &[(5, WAITING), (5, RUNNING)]), State::Running);
    }

    #[test]
    fn who_is_still_on_the_lists_is_at_work_and_time_adds_up() {
        let mut watch = watch(LOTS, &[(5, WAITING), (5, RUNNING)]);
        watch.rest(&[0], at(3));
        assert_eq!((watch.live, watch.slot(0).since_ns), (1, 10));
        watch.rest(&[], at(4));
        // At rest since the tick before; its stack is to be read when it is drawn.
        let slot = watch.slot(0);
        assert_eq!((watch.live, slot.since_ns, slot.walked, slot.goid), (1, 30, false, 5));
        watch.rest(&[], at(5));
        assert_eq!(watch.slot(0).since_ns, 30);
    }
}
