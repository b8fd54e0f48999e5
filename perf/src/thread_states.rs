//! Which threads are on a CPU, and for how long: what the context switches say.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use crate::record::{Lost, Record};
use crate::sample::Switch;

/// Changes remembered of one thread; beyond this the oldest are forgotten. At 100,000 switches a second this is more
/// than half a second.
const MAX_CHANGES: usize = 1 << 16;

/// Where a thread is, as far as the kernel's scheduler told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ThreadState {
    /// Not known: nothing was heard of the thread yet, or records were lost.
    Unknown,
    /// On a CPU.
    OnCpu,
    /// Off the CPU although it wants to run: preempted, throttled, or new and not yet started.
    Preempted,
    /// Off the CPU because it went to sleep or blocked. It may have been woken since: the kernel does not record that
    /// here, so the time between wake-up and switch counts as blocked.
    Blocked,
    /// It does not exist yet, or not any more.
    Gone,
}

/// How long a thread was where, in nanoseconds. The sum is the length of the interval asked about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ThreadTimes {
    /// In [`ThreadState::OnCpu`].
    pub on_cpu_ns: u64,
    /// In [`ThreadState::Preempted`].
    pub preempted_ns: u64,
    /// In [`ThreadState::Blocked`].
    pub blocked_ns: u64,
    /// In [`ThreadState::Unknown`].
    pub unknown_ns: u64,
    /// In [`ThreadState::Gone`].
    pub gone_ns: u64,
}

/// The recent history of all threads of a target, fed with every [`Record`]. It needs `Config::switches`.
///
/// What holds before the first record about a thread follows from that record (who is taken off was on), together with
/// the state that `ThreadFound` brought. Answers about times after the last drain are those of the last drain.
#[derive(Clone, Debug, Default)]
pub struct ThreadStates {
    threads: FxHashMap<u32, History>,
}

/// The history of one thread.
#[derive(Clone, Debug)]
struct History {
    /// State before the first change.
    before: ThreadState,
    /// `before` comes from a change that was forgotten, so no older change can tell better.
    known_before: bool,
    /// What `/proc` said when the thread was found.
    found_runnable: Option<bool>,
    /// State from each time on; times ascend.
    changes: VecDeque<(u64, ThreadState)>,
}

impl ThreadStates {
    /// Knows nothing yet.
    pub fn new() -> ThreadStates {
        ThreadStates::default()
    }

    /// Takes a record into account. Records should come in the order of [`crate::OnCpu::drain`]; one that comes a
    /// little late is put in its place.
    pub fn observe(&mut self, record: &Record) {
        match *record {
            Record::Switch(Switch { time_ns, tid, on_cpu, preempted }) => {
                let state = match (on_cpu, preempted) {
                    (true, _) => ThreadState::OnCpu,
                    (false, true) => ThreadState::Preempted,
                    (false, false) => ThreadState::Blocked,
                };
                self.thread(tid).change(time_ns, state);
            }
            Record::Sample(ref sample) => self.thread(sample.tid).seen_on_cpu(sample.time_ns),
            Record::ThreadFound { tid, runnable, .. } => self.thread(tid).found(runnable),
            Record::ThreadStart { time_ns, tid } => self.thread(tid).start(time_ns),
            Record::ThreadExit { time_ns, tid } => self.thread(tid).change(time_ns, ThreadState::Gone),
            Record::Lost(Lost { switches: false, .. }) => {}
            Record::Lost(Lost { since_ns, until_ns, .. }) => {
                self.threads.values_mut().for_each(|thread| thread.doubt(since_ns, until_ns));
            }
            Record::Exec { .. } => self.threads.clear(),
        }
        self.threads.remove(&0); // threads without a known id are all the same
    }

    /// Where a thread was at a time.
    pub fn state_at(&self, tid: u32, time_ns: u64) -> ThreadState {
        self.threads.get(&tid).map_or(ThreadState::Unknown, |thread| thread.state_at(time_ns))
    }

    /// How long a thread was where between two times.
    pub fn times(&self, tid: u32, from_ns: u64, to_ns: u64) -> ThreadTimes {
        let mut times = ThreadTimes::default();
        let (mut at, mut state) = (from_ns, self.state_at(tid, from_ns));
        let none = VecDeque::new();
        let changes = self.threads.get(&tid).map_or(&none, |thread| &thread.changes);
        for &(time_ns, next) in changes.range(changes.partition_point(|change| change.0 <= from_ns)..) {
            if time_ns >= to_ns {
                break;
            }
            times.add(state, time_ns - at);
            (at, state) = (time_ns, next);
        }
        times.add(state, to_ns.saturating_sub(at));
        times
    }

    /// Forgets what was before a time, to keep memory small. Call it after each tick with the start of the next
    /// interval that will be asked about.
    pub fn forget_before(&mut self, time_ns: u64) {
        self.threads.retain(|_, thread| {
            thread.forget_before(time_ns);
            thread.before != ThreadState::Gone || !thread.changes.is_empty()
        });
    }

    fn thread(&mut self, tid: u32) -> &mut History {
        self.threads.entry(tid).or_insert_with(|| History {
            before: ThreadState::Unknown,
            known_before: false,
            found_runnable: None,
            changes: VecDeque::new(),
        })
    }
}

impl History {
    fn state_at(&self, time_ns: u64) -> ThreadState {
        let after = self.changes.partition_point(|change| change.0 <= time_ns);
        after.checked_sub(1).and_then(|last| self.changes.get(last)).map_or(self.before, |change| change.1)
    }

    /// Notes a change, in its place by time.
    fn change(&mut self, time_ns: u64, state: ThreadState) {
        let place = self.changes.partition_point(|change| change.0 <= time_ns);
        if place == 0 && !self.known_before {
            self.before = match (state, self.found_runnable) {
                (ThreadState::OnCpu, Some(true)) => ThreadState::Preempted,
                (ThreadState::OnCpu, Some(false)) => ThreadState::Blocked,
                (ThreadState::OnCpu | ThreadState::Unknown, _) => ThreadState::Unknown,
                (ThreadState::Preempted | ThreadState::Blocked | ThreadState::Gone, _) => ThreadState::OnCpu,
            };
        }
        self.changes.insert(place, (time_ns, state));
        if self.changes.len() > MAX_CHANGES {
            self.forget_oldest();
        }
    }

    /// A sample proves that the thread was on a CPU then; usually the switches said so already.
    fn seen_on_cpu(&mut self, time_ns: u64) {
        if self.state_at(time_ns) == ThreadState::OnCpu {
            return;
        }
        let unheard = self.changes.is_empty() && !self.known_before;
        self.change(time_ns, ThreadState::OnCpu);
        if unheard && self.found_runnable != Some(false) {
            // No switch was recorded before, so it has been there all the time.
            self.before = ThreadState::OnCpu;
        }
    }

    fn found(&mut self, runnable: bool) {
        self.found_runnable = Some(runnable);
        if self.changes.is_empty() && !self.known_before && !runnable {
            self.before = ThreadState::Blocked;
        }
    }

    fn start(&mut self, time_ns: u64) {
        self.change(time_ns, ThreadState::Preempted);
        if self.changes.front() == Some(&(time_ns, ThreadState::Preempted)) {
            (self.before, self.known_before) = (ThreadState::Gone, true);
        }
    }

    /// Records between two times were lost: the state is unknown from then until the next change.
    fn doubt(&mut self, since_ns: u64, until_ns: u64) {
        if self.state_at(until_ns) == ThreadState::Gone {
            return;
        }
        self.changes.retain(|change| change.0 <= since_ns || change.0 > until_ns);
        let place = self.changes.partition_point(|change| change.0 <= since_ns);
        self.changes.insert(place, (since_ns, ThreadState::Unknown));
    }

    fn forget_before(&mut self, time_ns: u64) {
        while self.changes.front().is_some_and(|change| change.0 <= time_ns) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, state)) = self.changes.pop_front() {
            (self.before, self.known_before) = (state, true);
        }
    }
}

impl ThreadTimes {
    fn add(&mut self, state: ThreadState, ns: u64) {
        let sum = match state {
            ThreadState::Unknown => &mut self.unknown_ns,
            ThreadState::OnCpu => &mut self.on_cpu_ns,
            ThreadState::Preempted => &mut self.preempted_ns,
            ThreadState::Blocked => &mut self.blocked_ns,
            ThreadState::Gone => &mut self.gone_ns,
        };
        *sum = sum.saturating_add(ns);
    }
}

#[cfg(test)]
#[path = "thread_states_tests.rs"]
mod tests;
