//! What the scheduler's lists let one expect of goroutines that are not read.

use fgspy_goroutines::Active;
use fgspy_profile::State;

use super::Observer;
use super::expected::{Expected, Place, Rest};
use crate::choose::CERTAIN;
use crate::estimate::{Cell, CellId};
use crate::observe::Slot;
use crate::tick::Now;

impl Observer {
    /// Predicts what goroutines do: those on the scheduler's lists what the lists say, the others to wait. This comes before
    /// goroutines are sampled, which finds where the prediction is wrong.
    pub(crate) fn expect(&mut self, active: &Active<u32>, now: Now) {
        let Some(Expected(rests)) = &mut self.rests else { return };
        for &index in &active.running {
            let goid = self.slots.all.get(index as usize).map_or(0, |slot| slot.goid);
            rests.entry(index).or_insert(Rest { goid, place: None, active: now.tick });
        }
        for index in active.iter() {
            rests.get_mut(index).into_iter().for_each(|rest| rest.active = now.tick);
        }
        for (index, rest) in rests.extract_if(.., |_, rest| rest.active != now.tick).collect::<Vec<_>>() {
            self.rest(index, rest, now);
        }
        for &index in &active.queued {
            self.queue(index, now);
        }
        for &index in &active.running {
            self.run(index, now);
        }
    }

    /// Takes one that was at work, and is on no list now, to wait where it did before; or, if that is not known, not to run
    /// at least: the lists have all that run, but not all that are queued.
    fn rest(&mut self, index: u32, rest: Rest, now: Now) {
        let known = self.slot(index);
        match rest.place.filter(|_| known.goid == rest.goid) {
            Some(Place::Cell(cell)) if self.is_at_work_for_same(known, cell) => {
                self.change(index, known.taken_to_be_in(Some(cell)), now, CERTAIN);
            }
            Some(Place::Hidden) => self.change(index, known.taken_to_be_in(None), now, CERTAIN),
            None if is_running(self.state(known)) => self.queue(index, now),
            Some(Place::Cell(_)) | None => {}
        }
    }

    /// Takes one to be queued: where it waited, if it did; else its stack is not known.
    fn queue(&mut self, index: u32, now: Now) {
        self.guess(index, now, |cell| {
            let stack = cell.stack.filter(|_| cell.state == State::Waiting);
            let queued = Cell { state: State::Runnable, wait_reason: None, stack, ..cell };
            (cell.state != State::Runnable).then_some(queued)
        });
    }

    /// Takes one to run that a thread has taken on. It may still be in the system call that it was in: threads keep it meanwhile.
    fn run(&mut self, index: u32, now: Now) {
        self.guess(index, now, |cell| {
            let runs = Cell { state: State::Running, wait_reason: None, stack: None, ..cell };
            matches!(cell.state, State::Runnable | State::Waiting).then_some(runs)
        });
    }

    /// Takes one to be where `other` says that it is instead of in its cell, if that says anything.
    fn guess(&mut self, index: u32, now: Now, other: impl FnOnce(Cell) -> Option<Cell>) {
        let known = self.slot(index);
        if let Some(cell) = known.cell.and_then(|cell| self.aggregate.at(cell)).and_then(other) {
            let cell = self.aggregate.cell(cell);
            self.change(index, known.taken_to_be_in(Some(cell)), now, CERTAIN);
        }
    }

    /// Remembers where a goroutine waited that is now at work, or forgets it if it is at rest.
    pub(super) fn note_rest(&mut self, index: u32, known: Slot, seen: Slot, now: Now) {
        let (before, after) = (self.state(known), self.state(seen));
        let Some(Expected(rests)) = &mut self.rests else { return };
        let rest = |place| Rest { goid: seen.goid, place, active: now.tick };
        if !after.is_some_and(is_at_work) {
            rests.remove(&index);
        } else if known.goid != seen.goid {
            rests.entry(index).and_modify(|other| *other = rest(None));
        } else if let (None | Some(State::Waiting), place) = (before, known.cell.map_or(Place::Hidden, Place::Cell)) {
            rests.insert(index, rest(Some(place)));
        }
    }

    fn state(&self, slot: Slot) -> Option<State> {
        slot.cell.and_then(|cell| self.aggregate.at(cell)).map(|cell| cell.state)
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

fn is_running(state: Option<State>) -> bool {
    matches!(state, Some(State::Running | State::RunningOffCpu))
}

fn is_at_work(state: State) -> bool {
    matches!(state, State::Running | State::RunningOffCpu | State::Runnable)
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;
    use fgspy_profile::{Idle, Serving};

    use super::*;
    use crate::choose::Reading;
    use crate::estimate::Replicates;
    use crate::estimate::{RawLabelsId, RawStackId};
    use crate::options::Options;
    use crate::tick::Clock;

    const LOTS: Reading = Reading::Share { probability: 0.5 };
    const WAITING: (State, Serving) = (State::Waiting, Serving::Nothing);
    const RUNNING: (State, Serving) = (State::Running, Serving::Nothing);
    const QUEUED: (State, Serving) = (State::Runnable, Serving::Nothing);

    fn at(tick: u32) -> Now {
        let ns = |tick: u32| u64::from(tick) * 10;
        let clock = Clock::stopped(ns(tick));
        Now { tick, previous_ns: ns(tick - 1), now_ns: ns(tick), due_ns: ns(tick), clock }
    }

    /// A watch that saw g number 0 do this, at one tick after the other, from tick 1 on; the goroutine's number first.
    fn observer(reading: Reading, sights: &[(u64, (State, Serving))]) -> Observer {
        let replicates = Replicates::new(Rng::with_seed(1));
        let options = Options { reading, system: true, ..Options::default() };
        let mut observer = Observer::new(Default::default(), options, replicates);
        observer.slots.all.push(Slot::default());
        for (tick, &(goid, (state, serving))) in (1..).zip(sights) {
            observer.expect(&running(&[0]), at(tick));
            let labels = RawLabelsId::default();
            let cell = Cell { start_pc: 1, go_pc: 2, state, wait_reason: None, labels, serving, stack: None };
            let cell = Some(observer.aggregate.cell(cell));
            let seen = Slot { goid, cell, walked: true, ..observer.slot(0) };
            observer.change(0, seen, at(tick), CERTAIN);
        }
        observer
    }

    fn running(indices: &[u32]) -> Active<u32> {
        Active { running: indices.to_vec(), queued: Vec::new() }
    }

    /// What g number 0 is taken to do if it is not on the scheduler's lists at the next tick.
    fn rests(reading: Reading, sights: &[(u64, (State, Serving))]) -> State {
        taken_to_be(reading, sights, &running(&[7]))
    }

    /// What g number 0 is taken to do if these are the scheduler's lists at the next tick.
    fn taken_to_be(reading: Reading, sights: &[(u64, (State, Serving))], active: &Active<u32>) -> State {
        let mut observer = observer(reading, sights);
        observer.expect(active, at(sights.len() as u32 + 1));
        observer.aggregate.at(observer.slot(0).cell.unwrap()).unwrap().state
    }

    #[test]
    fn who_was_at_work_and_is_not_now_waits_where_it_did() {
        assert_eq!(rests(LOTS, &[(5, WAITING), (5, RUNNING)]), State::Waiting);
        assert_eq!(rests(LOTS, &[(5, WAITING), (5, QUEUED), (5, RUNNING), (5, RUNNING)]), State::Waiting);
        // A wait for another says nothing.
        assert_eq!(rests(LOTS, &[(5, (State::Waiting, Serving::Idle(Idle::Worker))), (5, RUNNING)]), State::Running);
        assert_eq!(rests(LOTS, &[(5, WAITING), (5, RUNNING), (5, (State::Syscall, Serving::Nothing))]), State::Syscall);
        // Where all are read nothing is guessed.
        assert_eq!(rests(Reading::Everything, &[(5, WAITING), (5, RUNNING)]), State::Running);
    }

    #[test]
    fn who_ran_and_does_not_now_is_queued_if_it_was_not_seen_to_wait() {
        assert_eq!(rests(LOTS, &[(5, RUNNING)]), State::Runnable);
        assert_eq!(rests(LOTS, &[(5, QUEUED), (5, RUNNING)]), State::Runnable);
        // Another goroutine's wait is not its.
        assert_eq!(rests(LOTS, &[(5, WAITING), (6, RUNNING)]), State::Runnable);
        assert_eq!(rests(LOTS, &[(5, QUEUED)]), State::Runnable);
        assert_eq!(rests(Reading::Everything, &[(5, RUNNING)]), State::Running);
    }

    #[test]
    fn who_is_on_a_queue_is_taken_to_be_queued_where_it_waited() {
        let queued = Active { running: Vec::new(), queued: vec![0] };
        for sights in [&[(5, WAITING)], &[(5, RUNNING)], &[(5, QUEUED)], &[(5, (State::Syscall, Serving::Nothing))]] {
            assert_eq!(taken_to_be(LOTS, sights, &queued), State::Runnable);
        }
        assert_eq!(taken_to_be(Reading::Everything, &[(5, WAITING)], &queued), State::Waiting);
        let mut observer = observer(LOTS, &[(5, WAITING)]);
        let place = |observer: &Observer| observer.aggregate.at(observer.slot(0).cell.unwrap()).unwrap();
        let waits = Cell { stack: Some(RawStackId::new(3)), ..place(&observer) };
        let cell = Some(observer.aggregate.cell(waits));
        observer.change(0, Slot { cell, ..observer.slot(0) }, at(2), CERTAIN);
        observer.expect(&queued, at(3));
        assert_eq!(place(&observer), Cell { state: State::Runnable, ..waits });
        // From there it goes back to where it waited, with the stack that it had.
        observer.expect(&Active::default(), at(4));
        assert_eq!(place(&observer), waits);
    }

    #[test]
    fn who_has_a_thread_is_taken_to_run_unless_it_is_in_a_call() {
        const IN_CALL: (State, Serving) = (State::Syscall, Serving::Nothing);
        for (sight, expected) in [(WAITING, State::Running), (QUEUED, State::Running), (IN_CALL, State::Syscall)] {
            assert_eq!(taken_to_be(LOTS, &[(5, sight)], &running(&[0])), expected);
        }
        // It was queued a moment before.
        let both = Active { running: vec![0], queued: vec![0] };
        assert_eq!(taken_to_be(LOTS, &[(5, WAITING)], &both), State::Running);
        assert_eq!(taken_to_be(Reading::Everything, &[(5, WAITING)], &running(&[0])), State::Waiting);
        // When it has none any more, it waits where it did.
        let mut observer = observer(LOTS, &[(5, WAITING)]);
        let waits = observer.slot(0).cell;
        observer.expect(&running(&[0]), at(2));
        observer.expect(&Active::default(), at(3));
        assert_eq!(observer.slot(0).cell, waits);
    }

    #[test]
    fn the_runtimes_own_are_not_counted_when_they_no_longer_run() {
        let mut observer = observer(LOTS, &[(5, RUNNING)]);
        let (runs, hidden) = (observer.slot(0), Slot { cell: None, ..observer.slot(0) });
        observer.change(0, hidden, at(2), CERTAIN);
        observer.change(0, runs, at(3), CERTAIN);
        assert_eq!(observer.live, 1);
        observer.expect(&Active::default(), at(4));
        assert_eq!((observer.live, observer.slot(0).cell), (0, None));
    }

    #[test]
    fn who_is_still_on_the_lists_is_at_work_and_time_adds_up() {
        let mut observer = observer(LOTS, &[(5, WAITING), (5, RUNNING)]);
        observer.expect(&running(&[0]), at(3));
        assert_eq!((observer.live, observer.slot(0).since_ns), (1, 10));
        observer.expect(&Active::default(), at(4));
        // At rest since the tick before; its stack is to be read when it is drawn.
        let slot = observer.slot(0);
        assert_eq!((observer.live, slot.since_ns, slot.walked, slot.goid), (1, 30, false, 5));
        observer.expect(&Active::default(), at(5));
        assert_eq!(observer.slot(0).since_ns, 30);
    }
}
