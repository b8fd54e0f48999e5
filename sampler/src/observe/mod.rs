//! From what was read at a tick to time in cells.
//!
//! A goroutine is credited for the time since its last change only when it changes again: one that stands still costs
//! nothing but its read.

mod children;
mod cpu_samples;
mod expect;
mod expected;
mod jobs;
mod labels_at;
mod newcomers;
mod passed_over;
mod serving;
mod sighting;
mod slots;

use std::collections::HashMap;

use fgspy_goroutines::{Observation, Owner, Runtime, Sight, Stack, Status};
use fgspy_perf::ThreadState;
use fgspy_profile::{Accounting, Serving, State, replicates};

use crate::choose::{Odds, Reading};
use crate::estimate::{Aggregate, Cell, Corrections, OnCpuPlace, RawStack, Reach, Replicates, Samples, Whose};
use crate::on_cpu::Interval;
use crate::options::Options;
use crate::requests::Requests;
use crate::tick::Now;
use expected::Expected;
use jobs::Jobs;
use labels_at::LabelsAt;
use newcomers::{Arrival, Children};
pub(crate) use slots::{Slot, Slots};

/// What has been seen so far.
pub(crate) struct Observer {
    pub(crate) slots: Slots,
    pub(crate) aggregate: Aggregate,
    pub(crate) accounting: Accounting,
    corrections: Corrections,
    replicates: Replicates,
    pub(crate) requests: Requests,
    /// What goroutines work on that serve no request; `None` if that is not to be told.
    jobs: Option<Jobs>,
    labels_at: LabelsAt,
    /// Goroutines that were first seen at this tick, and serve nothing themselves.
    newcomers: Vec<Arrival>,
    children: Children,
    /// `None` if every goroutine is read at every tick: nothing has to be guessed.
    rests: Option<Expected>,
    /// Slots in a cell.
    pub(crate) live: u64,
    /// Goroutines known to be there, × the time: what all credits must add up to.
    expected_ns: u64,
    /// No goroutine serves a request: the program has no server, or requests are not looked for.
    pub(crate) serves_nothing: bool,
    /// Leave out the runtime's own goroutines while they wait.
    skip_system: bool,
    /// Whose goroutines are started at an address.
    owners: HashMap<u64, Owner>,
    /// The profile does not say which goroutine spent the time, for want of memory.
    anonymous: bool,
}

/// Start addresses that are remembered.
const MAX_OWNERS: usize = 1 << 16;

impl Observer {
    pub(crate) fn new(accounting: Accounting, options: Options, replicates: Replicates) -> Observer {
        let jobs = options.requests.is_some_and(|requests| requests.data);
        Observer {
            slots: Slots::default(),
            aggregate: Aggregate::new(),
            accounting,
            corrections: Corrections::default(),
            replicates,
            requests: Requests::default(),
            jobs: jobs.then(Jobs::default),
            labels_at: LabelsAt::default(),
            newcomers: Vec::new(),
            children: Children::default(),
            rests: (options.reading != Reading::Everything).then(Expected::default),
            live: 0,
            expected_ns: 0,
            serves_nothing: false,
            skip_system: !options.system,
            owners: HashMap::new(),
            anonymous: false,
        }
    }

    /// Takes g number `index` as it was read.
    pub(crate) fn observe(
        &mut self,
        runtime: &Runtime,
        interval: &mut Interval,
        now: Now,
        (index, odds): (u32, Odds),
        sight: Sight<'_>,
    ) {
        match sight {
            Sight::Same => {
                self.accounting.accepted += 1;
                self.accounting.proven += 1;
                self.slots.all.get_mut(index as usize).into_iter().for_each(|slot| slot.looked_again(now));
            }
            Sight::Gone => self.see_none(now, (index, odds)),
            Sight::Seen(observation) => self.see(runtime, interval, now, (index, odds), observation),
        }
    }

    /// Takes g number `index` to be no goroutine's.
    fn see_none(&mut self, now: Now, (index, odds): (u32, Odds)) {
        let known = self.slot(index);
        self.requests.ended(known.goid);
        self.sighted_none(known, now);
        let fingerprint = Default::default();
        let (looked_ns, known_ns) = (now.now_ns, now.clock.tick_ns());
        let gone =
            Slot { fingerprint, goid: 0, cell: None, walked: false, unsure: false, looked_ns, known_ns, ..known };
        self.change(index, gone, now, odds);
    }

    /// Takes a goroutine as it was read. Not in line: most have not moved, and are not to pay for what only others need.
    #[inline(never)]
    fn see(
        &mut self,
        runtime: &Runtime,
        interval: &mut Interval,
        now: Now,
        (index, odds): (u32, Odds),
        observation: Observation<'_>,
    ) {
        let accounting = &mut self.accounting;
        match observation.stack {
            Stack::Unread => self.slots.unwalked.push(index),
            Stack::Whole(_) | Stack::Cut(_) | Stack::OnThread => accounting.accepted += 1,
            Stack::Changed(_) => accounting.changed += 1,
            Stack::Torn => accounting.torn += 1,
            Stack::Broken => accounting.broken += 1,
            Stack::Unmapped => accounting.unmapped += 1,
        }
        let status = effective(&observation);
        let stands_for_ns = now.interval_ns() as f64 / odds.whole();
        let thread = observation
            .tid
            .map_or(ThreadState::Unknown, |tid| interval.thread_state(runtime, tid, status, now.due_ns, stands_for_ns));
        let state = state(status, thread);
        let hidden = self.skip_system && self.is_hidden(runtime, status, &observation);
        let g = observation.g;
        let known = self.slot(index);
        if known.goid != g.goid {
            self.requests.ended(known.goid);
            self.sighted_none(known, now);
        }
        self.labels_at.set(index, g.goid, g.labels);
        let labels = observation.labels.map(|labels| self.aggregate.labels(labels)).unwrap_or_default();
        let serving = self.serving(runtime, (known, labels), (now, odds), &observation);
        let is_known = self.sighted(known, serving, now, &observation);
        let cell = Cell {
            start_pc: g.start_pc,
            go_pc: g.go_pc,
            state,
            wait_reason: (state == State::Waiting).then_some(g.wait_reason),
            labels,
            serving,
            stack: None,
        };
        let may_serve_another =
            !observation.serves_one && matches!(cell.serving, Serving::Request(_) | Serving::Idle(_));
        let mut reach = match observation.stack {
            Stack::Whole(_) => Some(Reach::Whole),
            Stack::Cut(_) => Some(Reach::Cut),
            // What it served was read after it had moved on, perhaps to another request; these frames are from before.
            Stack::Changed(leaf) => Some(Reach::Begun).filter(|_| !leaf.is_empty() && !may_serve_another),
            Stack::Unmapped | Stack::Broken => Some(Reach::Unreadable),
            Stack::Unread | Stack::OnThread | Stack::Torn => None,
        };
        if matches!(state, State::Running | State::RunningOffCpu) {
            for (stack, is_saved) in interval.unnamed(runtime, &observation) {
                // Frames that were saved are of this tick, as the request is. Of others it is not known what they were for.
                let is_of_tick = is_saved || matches!(cell.serving, Serving::Nothing);
                let whose = Whose::Serving(if is_of_tick { cell.serving } else { Serving::Unknown });
                let labels = Some(labels).filter(|_| is_of_tick);
                let stack = self.aggregate.stack_id(stack);
                // Nor whose: what this goroutine is found to have served all its life, another one with the same start did not.
                let goid = if is_of_tick || self.serves_nothing { self.shown(g.goid) } else { 0 };
                let place = OnCpuPlace { goid, start_pc: g.start_pc, whose, labels, stack };
                self.aggregate.saw_on_cpu(place, 1.0 / odds.whole());
            }
            // The kernel's samples say where it computes; what it left on its stack when it went over to its thread's, or
            // called C, is less. Of a call that waits for a CPU it is all there is.
            if status != Status::Syscall || state == State::Running {
                reach = reach.filter(|reach| *reach == Reach::Whole).map(|_| Reach::Left);
            }
        }
        let walked = reach.is_some_and(|reach| reach != Reach::Unreadable);
        let stack = reach.map(|reach| {
            let user = observation.stack.pcs().to_vec();
            self.aggregate.stack_id(RawStack { kernel: Vec::new(), user, exact_leaf: false, reach })
        });
        let cell = (!hidden).then(|| self.aggregate.cell(Cell { stack, ..cell }));
        // A stack read only now is what it was when the g was first read, if the goroutine has not run since.
        let same = known.fingerprint == observation.fingerprint && known.goid == g.goid;
        let is_proven = same && observation.fingerprint.is_proof() && known.cell.is_some() && cell.is_some();
        let seen = Slot {
            fingerprint: observation.fingerprint,
            goid: g.goid,
            cell,
            walked,
            looked_ns: now.now_ns,
            known_ns: if is_known { now.clock.tick_ns() } else { known.known_ns },
            unsure: !is_known,
            ..known
        };
        if !same {
            self.note_passed_over(known, seen, now, odds);
        }
        if walked && !known.walked && is_proven {
            self.put(index, seen);
        } else {
            self.change(index, seen, now, odds);
        }
    }

    fn slot(&self, index: u32) -> Slot {
        self.slots.all.get(index as usize).copied().unwrap_or_default()
    }

    fn put(&mut self, index: u32, slot: Slot) {
        if let Some(place) = self.slots.all.get_mut(index as usize) {
            *place = slot;
        }
    }

    /// Credits what g number `index` was known to do until the previous tick, and takes it to do as `seen` since then.
    fn change(&mut self, index: u32, seen: Slot, now: Now, odds: Odds) {
        let known = self.slot(index);
        if known.cell == seen.cell && known.goid == seen.goid {
            return self.put(index, Slot { since_ns: known.since_ns, since_tick: known.since_tick, ..seen });
        }
        self.note_rest(index, known, seen, now);
        self.credit(known, now.previous_ns, now.tick - 1);
        self.put(index, Slot { since_ns: now.previous_ns, since_tick: now.tick - 1, ..seen });
        self.live = self.live + u64::from(seen.cell.is_some()) - u64::from(known.cell.is_some());
        if !self.aggregate.agree(known.cell, seen.cell) {
            let interval_ns = now.interval_ns() as f64;
            [known.cell, seen.cell].into_iter().flatten().for_each(|cell| self.aggregate.moved(cell));
            known.cell.into_iter().for_each(|cell| self.corrections.note(odds, cell, -interval_ns));
            seen.cell.into_iter().for_each(|cell| self.corrections.note(odds, cell, interval_ns));
        }
        self.slots.heat(index, now.tick);
    }

    fn credit(&mut self, slot: Slot, until_ns: u64, until_tick: u32) {
        if let Some((goid, cell, weight)) = slot.due(until_ns, until_tick) {
            self.draw(slot, until_ns);
            self.replicate(slot, until_tick);
            self.aggregate.credit(self.shown(goid), cell, weight);
        }
    }

    /// Says at the ticks of which replicates a goroutine was where it was until then.
    fn replicate(&mut self, slot: Slot, until_tick: u32) {
        if let Some(time_ns) = slot.cell.and_then(|cell| self.aggregate.by_replicate(cell)) {
            self.replicates.add(time_ns, slot.since_tick, until_tick);
        }
    }

    /// The goroutine's number as the profile is to have it: 0 where they are not kept apart.
    fn shown(&self, goid: u64) -> u64 {
        if self.anonymous { 0 } else { goid }
    }

    /// The tick is over, and the target was there until its end.
    pub(crate) fn commit(&mut self, now: Now) {
        let replicate = self.replicates.tick(now.interval_ns());
        self.corrections.apply(&mut self.aggregate, &mut self.requests, replicate);
        self.expected_ns = self.expected_ns.saturating_add(self.live.saturating_mul(now.interval_ns()));
        self.accounting.goroutine_ticks = self.accounting.goroutine_ticks.saturating_add(self.live);
    }

    /// The recording ended with the tick before the one that was just begun.
    pub(crate) fn abandon(&mut self) {
        self.corrections.clear();
        self.newcomers.clear();
    }

    /// From now on, and for what is past, does not keep apart which goroutine spent the time.
    pub(crate) fn forget_goroutines(&mut self) {
        self.anonymous = true;
        self.aggregate.forget_goroutines();
    }

    pub(crate) fn is_anonymous(&self) -> bool {
        self.anonymous
    }

    /// Bytes of memory that this takes.
    pub(crate) fn bytes(&self) -> usize {
        self.slots.bytes()
            + self.aggregate.bytes()
            + self.requests.bytes()
            + self.children.bytes()
            + self.rests.as_ref().map_or(0, Expected::bytes)
    }

    /// Credits everything up to the end of the recording.
    pub(crate) fn finish(mut self, end_ns: u64, ticks: u32) -> (Samples, Accounting) {
        let slots = std::mem::take(&mut self.slots.all);
        // Most have stood since the same tick: the first.
        let mut since = (0, self.replicates.until(ticks));
        for &slot in slots.iter().filter(|slot| slot.due(end_ns, ticks).is_some()) {
            self.draw(slot, end_ns);
            if slot.since_tick != since.0 {
                since = (slot.since_tick, self.replicates.between(slot.since_tick, ticks));
            }
            let time_ns = slot.cell.and_then(|cell| self.aggregate.by_replicate(cell));
            time_ns.into_iter().for_each(|time_ns| replicates::add(time_ns, &since.1));
        }
        let aggregate = std::mem::take(&mut self.aggregate);
        let sightings = self.requests.all_sightings(&slots);
        let due = slots.into_iter().filter_map(|slot| slot.due(end_ns, ticks));
        self.requests.find_routes();
        let due = due.map(|(goid, cell, weight)| (self.shown(goid), cell, weight));
        let route = |cell: &Cell| self.requests.get(cell.serving.request()?)?.route;
        let (mut samples, added_ns) = aggregate.finish(due, route);
        self.accounting.expected_ns = self.expected_ns.saturating_add_signed(added_ns);
        samples.replicate_ns = self.replicates.until(ticks);
        samples.fit_replicates();
        samples.join(&self.requests.parts());
        samples.give_to(&self.requests.of_lives());
        self.accounting.remarks.extend(self.remark_on_children(&samples, end_ns));
        samples.sightings = sightings;
        samples.requests = self.requests.into_seen();
        (samples, self.accounting)
    }

    /// Whether it is one of the runtime's own goroutines, which do not count while they wait.
    fn is_hidden(&mut self, runtime: &Runtime, status: Status, observation: &Observation<'_>) -> bool {
        if !matches!(status, Status::Waiting | Status::Syscall) {
            return false;
        }
        let start_pc = observation.g.start_pc;
        if self.owners.len() >= MAX_OWNERS {
            self.owners.clear();
        }
        match self.owners.entry(start_pc).or_insert_with(|| runtime.owner(start_pc)) {
            Owner::Program => false,
            Owner::Runtime => true,
            Owner::RuntimeForProgram => runtime.is_system(start_pc, observation.stack.pcs()),
        }
    }
}

/// The status of a goroutine, taking the runtime by its deeds: while the garbage collector works on a goroutine's thread, for
/// itself or as an assistance, it calls that goroutine waiting, so that its stack may be scanned (`runtime/proc.go`,
/// `casGToWaitingForSuspendG`); but one that really waits has given its thread away (`dropg`).
fn effective(observation: &Observation<'_>) -> Status {
    match observation.status {
        Status::Waiting if observation.g.m != 0 => Status::Running,
        status => status,
    }
}

/// What a goroutine was doing, by the runtime's word and the kernel's.
fn state(status: Status, thread: ThreadState) -> State {
    match (status, thread) {
        (Status::Running | Status::CopyStack, ThreadState::Preempted) => State::RunningOffCpu,
        (Status::Running | Status::CopyStack, _) => State::Running,
        // The runtime calls it a system call; the kernel says it computes: in the kernel, or in C.
        (Status::Syscall, ThreadState::OnCpu) => State::Running,
        // It would compute there if it had a CPU.
        (Status::Syscall, ThreadState::Preempted) => State::RunningOffCpu,
        (Status::Syscall, _) => State::Syscall,
        (Status::Runnable | Status::Preempted, _) => State::Runnable,
        (Status::Waiting | Status::Leaked, _) => State::Waiting,
    }
}
